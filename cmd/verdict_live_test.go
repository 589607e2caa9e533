// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// TestLiveStrangersOnAQuietHost has three unknown accounts match on a host where for three days nobody but an agent
// has: each is an alert, whatever the one before, and at noon, too, when most people work. It is about noon there
// whenever the test runs.
func TestLiveStrangersOnAQuietHost(t *testing.T) {
	l := newLive(t, "context")
	l.more = fmt.Sprintf("reconbeat.detector.timezone: Etc/GMT%+d\n", noonOffset(time.Now().UTC().Hour()))
	l.learnDays(3, false)
	l.start()
	defer l.stop()
	visits := map[string]bool{}
	for _, stranger := range []struct {
		name string
		run  *exec.Cmd
	}{
		{liveNewbie, l.as(liveNewbie, "ss -tan; true")},
		{liveDaemon, l.daemon(liveDaemon, "ss -tlnp; true")},
		{liveAdmin, l.as(liveAdmin, "ss -s; ss -tunap; true")},
	} {
		out, err := stranger.run.CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		alert := l.find("alert", mapstr.M{"user.name": stranger.name})
		if !assert.NotNil(t, alert, "%s; the log:\n%s", stranger.name, l.log) {
			continue
		}
		assert.Regexp(t, "^"+stranger.name+" has never looked at network connections on this host in [23] days",
			text(alert, "event.reason"))
		visit := text(alert, "reconbeat.visit.id")
		assert.NotEmpty(t, visit)
		assert.NotNil(t, l.find("event", mapstr.M{"user.name": stranger.name, "reconbeat.visit.id": visit}),
			"the raw event is of the same visit")
		visits[visit] = true
	}
	assert.Len(t, visits, 3)
}

// noonOffset is the number of the zone Etc/GMT in which it is about noon at an hour of UTC. Those zones count
// westward: +5 is five hours behind.
func noonOffset(utc int) int { return utc - 12 }

// TestLiveADailyUserInDisguise has an account that looks every day do so with a copy of ss, a removed file, and one in
// memory.
func TestLiveADailyUserInDisguise(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.more = "reconbeat.detector.episode.idle: 1s\n" // within an episode, only a higher band would alert again
	l.start()
	defer l.stop()
	data, err := os.ReadFile(lookPath(t, "ss"))
	require.NoError(t, err)
	put := func(name string) string {
		path := filepath.Join(l.dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o755))
		return path
	}
	require.NoError(t, os.Chmod(l.dir, 0o777))
	copied, renamed, removed := put("ss"), put("session-helper"), put("removed")
	for _, c := range []struct {
		command  string
		holds    *os.File // as descriptor 3; nil: none
		disguise string
	}{
		{command: copied + " -H -t sport = :1", disguise: "in a temporary folder"},
		{command: renamed + " -H -t sport = :2", disguise: "under another name"},
		{
			command: "exec 9<" + removed + " && rm " + removed +
				" && (exec -a ss /proc/self/fd/9 -H -t sport = :3)",
			disguise: "a deleted file",
		},
		{
			command:  "/proc/self/fd/3 -H -t sport = :4",
			holds:    inMemory(t, data),
			disguise: "a file in memory",
		},
	} {
		// On a busy machine ss ends before reconbeat reads its file. The shell holds that open until reconbeat has.
		shell := l.as(liveAdmin, c.command+"; read -r _; true")
		if c.holds != nil {
			shell.ExtraFiles = []*os.File{c.holds}
		}
		var said beattest.Log
		shell.Stdout, shell.Stderr = &said, &said
		seen, err := shell.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, shell.Start())
		l.seesDisguise(c.disguise)
		require.NoError(t, seen.Close())
		require.NoError(t, shell.Wait(), said.All())
		l.alertsInDisguise(c.disguise)
		time.Sleep(1500 * time.Millisecond) // the episode is over
	}
}

// TestLiveADailyUserUnderAnotherName has an account that looks every day start ss itself under other names: as a thread
// of the kernel, and by a link. The first is an alert, whose context the second is in.
func TestLiveADailyUserUnderAnotherName(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	ss := lookPath(t, "ss")
	link := filepath.Join(l.dir, "report")
	require.NoError(t, os.Symlink(ss, link))
	require.NoError(t, os.Chmod(l.dir, 0o777))
	const disguise = "under another name"
	for _, c := range []struct{ command, args, disguise string }{
		{"ss -H -t sport = :5; true", "ss -H -t sport = :5", ""},
		{"(exec -a '[kworker/0:1]' ss -H -t sport = :6)", "[kworker/0:1] -H -t sport = :6", disguise},
		{link + " -H -t sport = :7; true", link + " -H -t sport = :7", disguise},
	} {
		out, err := l.as(liveAdmin, c.command).CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		docs := l.matches()[c.args]
		if assert.Len(t, docs, 1, c.args) {
			assert.Equal(t, ss, text(docs[0], "process.executable"))
			assert.Equal(t, c.disguise, text(docs[0], "reconbeat.process.disguise"), c.args)
		}
	}
	l.alertsInDisguise(disguise)
}

// inDisguise are the fields of what the admin does in a disguise.
func inDisguise(disguise string) mapstr.M {
	return mapstr.M{"user.audit.name": liveAdmin, "reconbeat.process.disguise": disguise}
}

// seesDisguise waits until reconbeat reports that the admin's tool runs in a disguise.
func (l *live) seesDisguise(disguise string) {
	l.t.Helper()
	seen := func() bool { return l.find("event", inDisguise(disguise)) != nil }
	require.True(l.t, beattest.Poll(time.Minute, seen), "no raw event of a tool %s; the log:\n%s", disguise, l.log)
}

// alertsInDisguise looks for the alert of the admin that is about a disguise.
func (l *live) alertsInDisguise(disguise string) {
	l.canary() // an alert is in the output by now
	alert := l.find("alert", inDisguise(disguise))
	if alert == nil {
		l.t.Errorf("no alert of a tool %s; the raw event: %s; the log:\n%s", disguise,
			l.find("event", inDisguise(disguise)), l.log)
		return
	}
	part, err := alert.GetValue("reconbeat.anomaly.parts.disguise")
	require.NoError(l.t, err)
	assert.Greater(l.t, part, 3.0, disguise)
}

// TestLiveALoginWithoutAShell has two accounts of people's numbers log in for the first time: the one whose shell lets
// nobody in is one of the system's.
func TestLiveALoginWithoutAShell(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	out, err := exec.Command("usermod", "-s", "/usr/sbin/nologin", liveDaemon).CombinedOutput()
	require.NoError(t, err, string(out))
	l.start()
	defer l.stop()
	for name, noShell := range map[string]bool{liveNewbie: false, liveDaemon: true} {
		out, err := l.as(name, "ss -tan; true").CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		alert := l.find("alert", mapstr.M{"user.audit.name": name})
		require.NotNil(t, alert, "%s; the log:\n%s", name, l.log)
		_, err = alert.GetValue("reconbeat.session.no_shell")
		assert.Equal(t, noShell, err == nil, name)
		part, _ := alert.GetValue("reconbeat.anomaly.parts.system_login")
		if noShell {
			assert.Greater(t, part, 1.0, name)
		} else if part != nil {
			assert.Less(t, part, 0.0, name)
		}
	}
}
