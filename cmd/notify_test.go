// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// webhook is an HTTP endpoint that can be away in several ways, and notes whose alerts arrive.
type webhook struct {
	*httptest.Server
	status  atomic.Int64 // of its answers; 0: it does not answer
	release chan struct{}

	mu      sync.Mutex
	arrived map[string]int // by user
}

func newWebhook(t *testing.T, status int) *webhook {
	w := &webhook{arrived: map[string]int{}, release: make(chan struct{})}
	w.status.Store(int64(status))
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	t.Cleanup(func() { close(w.release) })
	return w
}

// ServeHTTP answers.
func (w *webhook) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	status := int(w.status.Load())
	if status == 0 {
		select {
		case <-r.Context().Done():
		case <-w.release:
		}
		return
	}
	var doc struct{ User struct{ Name string } }
	if json.Unmarshal(body, &doc) == nil && status == http.StatusOK {
		w.mu.Lock()
		w.arrived[doc.User.Name]++
		w.mu.Unlock()
	}
	answer.WriteHeader(status)
	fmt.Fprint(answer, "not now")
}

func (w *webhook) got() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.arrived)
}

// A webhook that answers 500, one that hangs and one that refuses connections delay neither detection nor the output;
// each is counted, and the heartbeat names the condition. Over a SIGTERM and a kill -9 no alert is lost. A program gets
// each alert, as nobody, under a filter of system calls. `test notify` says what each target answered.
func TestAlertsAreDeliveredToPeople(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	failing, hanging := newWebhook(t, http.StatusInternalServerError), newWebhook(t, 0)
	closed := beattest.Address(t)
	hook, out := h.hook()
	config := oneModule + theFile + fmt.Sprintf("reconbeat.heartbeat.period: 1s\n"+
		"reconbeat.detector.correlation.enabled: false\nreconbeat.notify:\n"+
		"- {id: chat, webhook: {url: '%s/s3cret'}}\n- {id: slow, webhook: {url: '%s/s3cret', timeout: 500ms}}\n"+
		"- {id: gone, webhook: {url: 'http://%s/s3cret'}}\n- {id: hook, program: {path: %s}}\n",
		failing.URL, hanging.URL, closed, hook)
	webhooks := []string{"chat", "slow", "gone"}
	names := func(codes any) bool { return strings.Contains(fmt.Sprint(codes), "notification_failing") }

	r := h.start(config)
	h.Exec("mallory", "ss -tunap")
	r.wait("detector.alerts", 1)
	for _, id := range webhooks {
		r.wait("notify."+id+".failed", 1)
	}
	h.Exec("www-data", "ss -s")
	r.wait("detector.alerts", 2)
	h.eventually(func() bool { return len(h.shipped("alert")) == 2 }, "the output waits for a webhook:\n%s", r.log)
	r.wait("notify.hook.delivered", 2)
	r.wait("health.notification_failing", 3)
	require.Equal(t, 3, r.stat("health.notification_failing"))
	h.eventually(func() bool {
		return slices.ContainsFunc(h.documents(), func(doc mapstr.M) bool {
			codes, err := doc.GetValue("reconbeat.health.conditions")
			return err == nil && names(codes)
		})
	}, "no heartbeat names the condition:\n%s", r.log)
	for _, id := range webhooks {
		require.Zero(t, r.stat("notify."+id+".delivered"), id)
	}
	require.NoError(t, r.end(syscall.SIGTERM))
	for _, id := range webhooks {
		require.Contains(t, r.log.All(), "notification_failing ("+id+")")
	}
	require.Contains(t, r.log.All(), "prints: seen")

	r = h.start(config)
	h.Exec("eve", "ss -tan")
	r.wait("detector.alerts", 1)
	r.wait("notify.hook.delivered", 1)
	r.wait("notify.slow.failed", 1)
	_ = r.end(syscall.SIGKILL)
	require.NotContains(t, r.log.All(), "s3cret")

	failing.status.Store(http.StatusOK)
	hanging.status.Store(http.StatusOK)
	reopened := newWebhook(t, http.StatusOK)
	config = strings.Replace(config, "http://"+closed, reopened.URL, 1)
	// What is taken after its timeout comes again, and once is held below.
	config = strings.Replace(config, "timeout: 500ms", "timeout: 1m", 1)
	r = h.start(config)
	for _, id := range webhooks {
		r.wait("notify."+id+".delivered", 3)
	}
	require.NoError(t, r.end(syscall.SIGTERM))
	for i, w := range []*webhook{failing, hanging, reopened} {
		require.Equal(t, map[string]int{"mallory": 1, "www-data": 1, "eve": 1}, w.got(), webhooks[i])
	}
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	name, err := os.Hostname()
	require.NoError(t, err)
	want := []string{"mallory ss -tunap", "www-data ss -s", "eve ss -tan"}
	for i := range want {
		want[i] += " on " + name + " filter 2 privileges 1"
		if os.Geteuid() == 0 {
			want[i] += " as nobody"
		}
	}
	require.Equal(t, want, slices.Compact(lines), "the last one may come twice after a kill -9")

	h.notifies(config, failing)
}

// notifies has the targets tried.
func (h *host) notifies(config string, chat *webhook) {
	t := h.t
	command, _ := h.command(config, "test", "notify", "chat")
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Regexp(t, `(?m)^chat: delivered after [0-9.]+m?s$`, string(said))
	chat.Close()
	command, _ = h.command(config, "test", "notify")
	said, err = command.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `(?m)^chat: failed: posting: .*connection refused$`, string(said))
	require.Regexp(t, `(?m)^hook: delivered after `, string(said))
	require.NotContains(t, string(said), "s3cret")
	command, _ = h.command(config, "test", "notify", "chta")
	said, err = command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), `target "chta" is not configured; there are chat, slow, gone, hook`)
	wrong := "reconbeat.notify: [{id: hook, rules: [network-connection-discovery, typo], program: {path: /nowhere}}]\n"
	command, _ = h.command(oneModule+theFile+wrong, "test", "notify")
	said, err = command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), `reconbeat.notify.0.rules.1: "typo" is the id of no rule; the rules are `)
	command, _ = h.command(oneModule+theFile, "test", "notify")
	said, err = command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "no target is configured; name one under reconbeat.notify")
}

// A program gets another filter of system calls than libbeat's, however its target is written, unless the user chooses
// one; and every call in it is known on the architectures that there are packages for.
func TestAProgramHasAFilterOfItsOwn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"reconbeat.notify: [{id: a, program: {path: /a}}]":                                                  true,
		"reconbeat: {notify: [{id: b, webhook: {url: '${NOT_SET}'}}, {id: a, program.path: '${NOT_SET}'}]}": true,
		"reconbeat.notify: [{id: b, webhook: {url: 'https://x'}}]":                                          false,
		"reconbeat.notify: {}": false,
		"reconbeat.notify: [{id: a, program: {path: /a}}]\nseccomp.enabled: false": false,
		"name: a": false,
	} {
		c, err := conf.NewConfigWithYAML([]byte(text), "test")
		require.NoError(t, err)
		require.Equal(t, want, runsPrograms(c), text)
	}
	var filter struct {
		Syscalls []struct{ Names []string } `config:"seccomp.syscalls"`
	}
	require.NoError(t, filterForPrograms().Unpack(&filter))
	refused := filter.Syscalls[1].Names
	require.Contains(t, refused, "ptrace")
	for _, a := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		for _, name := range refused {
			require.Contains(t, a.SyscallNames, name, a.Name)
		}
	}
}

// hook is a program that writes a line for each alert into a file.
func (h *host) hook() (program, out string) {
	dir, err := os.MkdirTemp("", "reconbeat-hook") // the host's folder is root's alone
	require.NoError(h.t, err)
	h.t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(h.t, os.Chmod(dir, os.ModeSticky|0o777))
	program, out = filepath.Join(dir, "hook"), filepath.Join(dir, "out")
	script := "#!/bin/sh\ncat > /dev/null\nown() { sed -n \"s/^$1:\\t//p\" /proc/self/status; }\necho seen\n" +
		"echo \"$RECONBEAT_USER $RECONBEAT_COMMAND on ${RECONBEAT_HOST:-nowhere}" +
		" filter $(own Seccomp) privileges $(own NoNewPrivs)\"" +
		"$([ \"$(id -u)\" = 65534 ] && echo ' as nobody') >> " + out + "\n"
	beattest.WriteProgram(h.t, program, script)
	return program, out
}
