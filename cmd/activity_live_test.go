// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// TestLiveTheSessionOfAnAlert has an unknown account look around by ssh: the alert has what it ran before, and its
// follow-up, when the session ends, what it ran after.
func TestLiveTheSessionOfAnAlert(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	before := []string{"id", "whoami", "uname -a", "hostname", "uptime", "getent passwd", "nproc", "lscpu"}
	after := []string{"ps -e", "groups", "df", "last", "w", "free", "lsblk", "env"}
	run := slices.Concat(before, []string{"ss -tan"}, after)
	c := l.ssh(liveNewbie, strings.Join(run, " >/dev/null; ")+" >/dev/null; true")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))

	alert := l.awaitAlert(mapstr.M{"user.name": liveNewbie})
	follow := mapstr.M{}
	require.True(t, beattest.Poll(time.Minute, func() bool {
		follow = l.find("event", mapstr.M{"event.action": "alert-follow-up"})
		return follow != nil
	}), "no follow-up; the log:\n%s", l.log)

	require.Subset(t, commandsIn(alert, "reconbeat.activity.before"), before)
	require.NotContains(t, commandsIn(alert, "reconbeat.activity.before"), "ps -e")
	got := commandsIn(follow, "reconbeat.activity.after")
	require.Subset(t, got, after)
	require.NotContains(t, got, "whoami")
	require.Equal(t, text(alert, "event.id"), text(follow, "reconbeat.alert.id"))
	require.Equal(t, liveNewbie, text(follow, "user.name"))
	require.Regexp(t, `^After the alert: ([89]|1[0-2]) other programs started in the session within [0-9]+ seconds?$`,
		text(follow, "message"))

	l.documented("ssh", alert)
	l.documented("ssh-follow-up", follow)

	techniques := map[string]any{}
	for _, p := range append(objects(alert, "reconbeat.activity.before"), objects(follow, "reconbeat.activity.after")...) {
		techniques[text(p, "command_line")], _ = p.GetValue("technique.id") // some have none
	}
	require.Equal(t, []any{"T1033"}, techniques["whoami"], "of a rule that is off")
	require.Equal(t, []any{"T1057"}, techniques["ps -e"])
}

// commandsIn are the command lines in a list of programs.
func commandsIn(doc mapstr.M, field string) (lines []string) {
	for _, p := range objects(doc, field) {
		lines = append(lines, text(p, "command_line"))
	}
	return lines
}

// TestLiveAWebShell has a real web server run a script that somebody has put there: the alert leads from the tool to
// the server, and has what else the script ran.
func TestLiveAWebShell(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	root := filepath.Join(l.dir, "www")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "cgi-bin"), 0o755))
	// On a busy machine the answer would be complete, and the server's worker gone, before anybody reads who that was.
	script := "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid\nuname -a\nss -tan\ncat seen\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "cgi-bin", "status.cgi"), []byte(script), 0o755))
	address := beattest.Address(t)
	l.start()
	defer l.stop()

	// It becomes a daemon, a child of init as on other hosts.
	server := exec.Command("setpriv", "--reuid", liveDaemon, "--regid", liveDaemon, "--init-groups",
		lookPath(t, "busybox"), "httpd", "-p", address, "-h", root)
	server.Dir = "/"
	out, err := server.CombinedOutput()
	require.NoError(t, err, string(out))
	defer func() { _ = exec.Command("pkill", "-u", liveDaemon, "busybox").Run() }()
	seen := filepath.Join(root, "cgi-bin", "seen")
	require.NoError(t, unix.Mkfifo(seen, 0o666))
	require.True(t, beattest.Poll(time.Minute, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}), "the web server does not answer")
	page := make(chan string, 1)
	go func() {
		answer, err := http.Get("http://" + address + "/cgi-bin/status.cgi")
		if err != nil {
			page <- err.Error()
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		page <- fmt.Sprint(string(text), err)
	}()
	alert := l.awaitAlert(mapstr.M{"user.name": liveDaemon})
	require.NoError(t, os.WriteFile(seen, nil, 0)) // the script's last command reads it
	require.Contains(t, <-page, liveDaemon)

	line := objects(alert, "reconbeat.ancestry")
	require.GreaterOrEqual(t, len(line), 2)
	require.Contains(t, text(line[0], "command_line"), "status.cgi")
	require.Contains(t, text(line[1], "command_line"), "httpd -p "+address)
	require.Equal(t, liveDaemon, text(line[1], "user.name"))
	require.Subset(t, commandsIn(alert, "reconbeat.activity.before"), []string{"id", "uname -a"})
	require.Regexp(t, "^"+liveDaemon+" has never looked at network connections", text(alert, "event.reason"))
	l.documented("web-shell", alert)
}

// awaitAlert waits for an alert with all the fields wanted.
func (l *live) awaitAlert(want mapstr.M) (alert mapstr.M) {
	l.t.Helper()
	require.True(l.t, beattest.Poll(time.Minute, func() bool {
		alert = l.find("alert", want)
		return alert != nil
	}), "no alert with %v; the log:\n%s", want, l.log)
	return alert
}

// TestLiveAStolenKey has the key of an administrator, who looks every day, used for a tool that was removed while it
// runs.
func TestLiveAStolenKey(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	data, err := os.ReadFile(lookPath(t, "ss"))
	require.NoError(t, err)
	require.NoError(t, os.Chmod(l.dir, 0o777))
	tool := filepath.Join(l.dir, ".x")
	require.NoError(t, os.WriteFile(tool, data, 0o755))
	c := l.ssh(liveAdmin, "exec 9<"+tool+" && rm -f "+tool+" && (exec -a '[kworker/1:2]' /proc/self/fd/9 -tan); read -r _")
	c.Args = append(c.Args[:1], append([]string{"-tt"}, c.Args[1:]...)...)
	seen, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	alert := l.awaitAlert(mapstr.M{"user.audit.name": liveAdmin, "reconbeat.process.disguise": "a deleted file"})
	_, err = seen.Write([]byte("\n"))
	require.NoError(t, err)
	require.NoError(t, c.Wait())
	require.Equal(t, "ss", text(alert, "reconbeat.process.tool"))
	require.Equal(t, "[kworker/1:2] -tan", text(alert, "process.command_line"))
	l.documented("disguise", alert)
}
