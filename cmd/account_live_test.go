// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// liveFresh is an account that another one makes while reconbeat runs.
const liveFresh = "rbfresh"

// TestLiveAccountMadeByAnother has an admin make an account with sudo, by the real useradd, usermod and chpasswd, and a
// stranger try keys on it, before it logs in by ssh and runs ss: the alert says when, by whom and with what.
func TestLiveAccountMadeByAnother(t *testing.T) {
	l := newLive(t, "context")
	for _, tool := range []string{"usermod", "chpasswd"} {
		lookPath(t, tool)
	}
	remove := func() {
		_ = exec.Command("userdel", "-rf", liveFresh).Run()
		_ = exec.Command("groupdel", "rbopsteam").Run()
	}
	remove()
	t.Cleanup(remove)
	out, err := exec.Command("groupadd", "rbopsteam").CombinedOutput()
	require.NoError(t, err, string(out))
	rules := "/etc/sudoers.d/beat-live-test-of-accounts"
	require.NoError(t, os.WriteFile(rules, []byte("%rbopsteam ALL=(ALL:ALL) NOPASSWD: ALL\n"), 0o440))
	t.Cleanup(func() { os.Remove(rules) })
	l.learnDays(4, false)
	l.start()
	defer l.stop()

	began := time.Now()
	out, err = l.as(liveAdmin, strings.Join([]string{
		"sudo -n useradd -m -s /bin/bash " + liveFresh,
		"echo " + liveFresh + ":Xk9-secret-of-the-test | sudo -n chpasswd",
		"sudo -n gpasswd -a " + liveFresh + " rbopsteam",
		"sudo -n install -d -m 700 -o " + liveFresh + " /home/" + liveFresh + "/.ssh",
		"sudo -n install -m 600 -o " + liveFresh + " " + filepath.Join(l.dir, "key.pub") + " /home/" + liveFresh +
			"/.ssh/authorized_keys",
	}, " && ")).CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(l.dir, "other")).
		CombinedOutput()
	require.NoError(t, err, string(out))
	const tried = 3
	for range tried {
		c := l.ssh(liveFresh, "true")
		c.Args[2] = filepath.Join(l.dir, "other")
		require.Error(t, c.Run(), "a key that nobody has allowed")
	}
	for _, before := range []string{liveAdmin, liveFresh} { // with a terminal: a login of the history
		c := l.ssh(before, "true")
		c.Args = append(c.Args[:1], append([]string{"-tt"}, c.Args[1:]...)...)
		out, err = c.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	time.Sleep(1100 * time.Millisecond) // the history has seconds
	session := l.ssh(liveFresh, "ss -tan; read -r _; true")
	seen, err := session.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, session.Start())
	alert := l.awaitAlert(mapstr.M{"user.name": liveFresh})
	require.NoError(t, seen.Close())
	require.NoError(t, session.Wait())
	ended := time.Now()

	for field, want := range map[string]string{
		"class": "person", "shell": "/bin/bash", "groups": liveFresh + " rbopsteam", "password.state": "set",
		"expired": "false", "sudo.rules": "(ALL : ALL) NOPASSWD: ALL", "sudo.all": "true", "sudo.nopasswd": "true",
		"authorized_keys.count": "1", "refused_logins.count": "3", "refused_logins.source.ip": "127.0.0.1",
		"refused_logins.from_source": "3",
	} {
		require.Equal(t, want, flat(alert, "reconbeat.account."+field), field)
	}
	require.Empty(t, text(alert, "reconbeat.account.unread"))
	var actions []string
	for _, change := range objects(alert, "reconbeat.account.changes") {
		action := text(change, "action")
		actions = append(actions, action)
		require.Equal(t, liveAdmin, text(change, "user.name"), "%s: sudo hides nobody", action)
		require.Equal(t, map[string]string{"created": "useradd", "password": "chpasswd", "joined-group": "gpasswd"}[action],
			text(change, "process.name"))
		at, err := time.Parse(time.RFC3339, text(change, "time"))
		require.NoError(t, err)
		require.WithinRange(t, at, began.Add(-time.Second), ended)
		if action == "joined-group" {
			require.Equal(t, "rbopsteam", text(change, "group.name"))
		}
	}
	require.Equal(t, []string{"created", "password", "joined-group"}, actions)
	for _, field := range []string{"files.passwd", "files.shadow", "files.group", "authorized_keys.changed"} {
		at, err := time.Parse(time.RFC3339, text(alert, "reconbeat.account."+field))
		require.NoError(t, err, field)
		require.WithinRange(t, at, began.Add(-time.Second), ended, field)
	}
	require.Contains(t, flat(alert, "related.user"), liveAdmin)
	last, err := time.Parse(time.RFC3339, text(alert, "reconbeat.account.logins_from_source.last"))
	require.NoError(t, err, "an account of this name may have logged in in an earlier run, too")
	require.WithinRange(t, last, began.Add(-time.Second), ended)
	require.Contains(t, flat(alert, "reconbeat.account.logins_from_source.other_users"), liveAdmin)
	require.NotEmpty(t, flat(alert, "source.port"), "the connection is there until the alert is")
	require.NotContains(t, l.log.All(), "Xk9-secret-of-the-test")
	l.documented("new-account", alert)
}
