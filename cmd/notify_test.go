// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A webhook that answers 500, over a restart, delays no detection and loses no alert; a program gets each alert under
// the filter of system calls, as nobody; `test notify` says what each target answered.
func TestAlertsAreDeliveredToPeople(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	var away atomic.Bool
	away.Store(true)
	var mu sync.Mutex
	arrived := map[string]int{} // by user
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if away.Load() {
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		var doc struct{ User struct{ Name string } }
		if json.Unmarshal(body, &doc) == nil {
			mu.Lock()
			defer mu.Unlock()
			arrived[doc.User.Name]++
		}
	}))
	defer server.Close()
	hook, out := h.hook()
	targets := fmt.Sprintf("reconbeat.notify:\n- {id: chat, webhook: {url: '%s/s3cret'}}\n- {id: hook, program: {path: %s}}\n",
		server.URL, hook)

	r := h.start(oneModule + theFile + targets)
	h.Exec("mallory", "ss -tunap")
	r.wait("detector.alerts", 1)
	r.wait("notify.chat.failed", 1)
	h.Exec("www-data", "ss -s")
	r.wait("detector.alerts", 2)
	h.eventually(func() bool { return len(h.shipped("alert")) == 2 }, "the output waits for a webhook:\n%s", r.log)
	r.wait("notify.hook.delivered", 2)
	require.Equal(t, 1, r.stat("health.notification_failing"))
	require.Zero(t, r.stat("notify.chat.delivered"))
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Contains(t, r.log.All(), "notification_failing (chat)")
	require.NotContains(t, r.log.All(), "s3cret")

	away.Store(false)
	r = h.start(oneModule + theFile + targets)
	r.wait("notify.chat.delivered", 2)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Equal(t, map[string]int{"mallory": 1, "www-data": 1}, arrived)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	want := "mallory ss -tunap\nwww-data ss -s\n"
	if os.Geteuid() == 0 {
		want = strings.ReplaceAll(want, "\n", " as nobody\n")
	}
	require.Equal(t, want, string(text))

	command, _ := h.command(oneModule+theFile+targets, "test", "notify", "chat")
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Regexp(t, `(?m)^chat: delivered after \d+m?s$`, string(said))
	server.Close()
	command, _ = h.command(oneModule+theFile+targets, "test", "notify")
	said, err = command.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `(?m)^chat: failed: posting: .*connection refused$`, string(said))
	require.Regexp(t, `(?m)^hook: delivered after `, string(said))
	require.NotContains(t, string(said), "s3cret")
}

// hook is a program that writes a line for each alert into a file.
func (h *host) hook() (program, out string) {
	dir, err := os.MkdirTemp("", "reconbeat-hook") // the host's folder is root's alone
	require.NoError(h.t, err)
	h.t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(h.t, os.Chmod(dir, os.ModeSticky|0o777)) //nolint:gosec // nobody writes here
	program, out = filepath.Join(dir, "hook"), filepath.Join(dir, "out")
	script := "#!/bin/sh\ncat > /dev/null\necho \"$RECONBEAT_USER $RECONBEAT_COMMAND\"" +
		"$([ \"$(id -u)\" = 65534 ] && echo ' as nobody') >> " + out + "\n"
	require.NoError(h.t, os.WriteFile(program, []byte(script), 0o600))
	require.NoError(h.t, os.Chmod(program, 0o755)) //nolint:gosec // nobody runs it
	return program, out
}
