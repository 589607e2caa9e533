// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// liveGuest is an account that has never looked, and knows liveNewbie's password.
const liveGuest = "rbguest"

const livePassword = "Wq7-password-of-the-test"

// guest makes liveGuest until the end of the test, and gives liveNewbie the password. It returns the name.
func (l *live) guest() string {
	_ = exec.Command("userdel", "-rf", liveGuest).Run()
	l.t.Cleanup(func() { _ = exec.Command("userdel", "-rf", liveGuest).Run() })
	out, err := exec.Command("useradd", "-m", "-s", "/bin/bash", liveGuest).CombinedOutput()
	require.NoError(l.t, err, string(out))
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(liveNewbie + ":" + livePassword + "\n")
	out, err = set.CombinedOutput()
	require.NoError(l.t, err, string(out))
	return liveGuest
}

// alertsByRightsOfOthers has strangers log in by ssh and start ss by sudo, and by su with a password. The alerts are of
// who logged in, answer every question as fields, and belong to one story.
func (l *live) alertsByRightsOfOthers(guest string) {
	stories := map[string]bool{}
	for _, c := range []struct {
		who, command, through string
		want                  map[string]string // flat fields
		note                  string            // what the steps of investigation name
	}{
		{
			who: liveNewbie, command: "id; uname -a; sudo -n ss -tan", through: "sudo",
			want: map[string]string{
				"user.name": "root", "process.parent.name": "sudo", "reconbeat.account.sudo.rules": "(ALL) NOPASSWD: ALL",
				"reconbeat.account.sudo.all": "true", "reconbeat.account.password.state": "set",
			},
			note: "`(ALL) NOPASSWD: ALL`",
		},
		{
			who: guest, through: "su",
			command: "id; uname -a; echo " + livePassword + " | su " + liveNewbie + " -c 'ss -tan; true'",
			want: map[string]string{
				"user.name": liveNewbie, "process.parent.name": "bash", "reconbeat.account.sudo.rules": "",
				"reconbeat.account.password.state": "none",
			},
			note: "Acts as: `" + liveNewbie + "`",
		},
	} {
		session := l.ssh(c.who, c.command+"; read -r _; true")
		seen, err := session.StdinPipe()
		require.NoError(l.t, err)
		session.Stdout, session.Stderr = io.Discard, l.log
		require.NoError(l.t, session.Start())
		alert := l.awaitAlert(mapstr.M{"user.audit.name": c.who})
		require.NoError(l.t, seen.Close())
		require.NoError(l.t, session.Wait())
		for field, want := range map[string]string{
			"reconbeat.actor.name": c.who, "reconbeat.actor.id": l.uid(c.who), "reconbeat.actor.kind": "login",
			"process.command_line": "ss -tan", "process.executable": lookPath(l.t, "ss"),
			"process.entry_leader.entry_meta.type": "sshd", "source.ip": "127.0.0.1",
			"reconbeat.account.class": "person", "reconbeat.account.shell": "/bin/bash", "reconbeat.account.groups": c.who,
			"reconbeat.executable.state": "unmodified", "reconbeat.executable.parent.state": "unmodified",
			"threat.technique.id": "T1049",
		} {
			assert.Equal(l.t, want, flat(alert, field), "%s: %s", c.who, field)
		}
		for field, want := range c.want {
			assert.Equal(l.t, want, flat(alert, field), "%s: %s", c.who, field)
		}
		for _, field := range []string{
			"source.port", "process.hash.sha256", "process.parent.hash.sha256", "reconbeat.session.id",
			"reconbeat.anomaly.score", "reconbeat.anomaly.explained", "reconbeat.anomaly.typical_users",
			"reconbeat.account.files.passwd", "reconbeat.account.logins_from_source.count",
		} {
			assert.NotEmpty(l.t, flat(alert, field), "%s: %s", c.who, field)
		}
		before := commandsIn(alert, "reconbeat.activity.before")
		assert.Subset(l.t, before, []string{"id", "uname -a"})
		var through []string
		for _, p := range objects(alert, "reconbeat.ancestry") {
			through = append(through, text(p, "name"))
		}
		assert.Subset(l.t, through, []string{c.through, "bash"}, c.who)
		assert.Regexp(l.t, "^"+c.who+` \(as [a-z]+\) has never looked at network connections`, text(alert, "event.reason"))
		assert.Contains(l.t, text(alert, "rule.note"), c.note)
		assert.Contains(l.t, text(alert, "rule.note"), "Actor: `"+c.who+"`")
		stories[text(alert, "reconbeat.correlation.id")] = true
		data, err := json.Marshal(alert)
		require.NoError(l.t, err)
		assert.LessOrEqual(l.t, len(data), 25_000, "20 kB, and what libbeat adds")
	}
	require.Len(l.t, stories, 1)
	for id := range stories {
		story := l.awaitAlert(mapstr.M{"event.action": "correlation", "reconbeat.correlation.id": id})
		require.Equal(l.t, "73", text(story, "event.severity"))
	}
}
