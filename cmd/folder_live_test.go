// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLiveFoldersThatUsersCanWrite has ss, and shells that start it, lie in folders that no list knows: who can write
// them says whether their user may have put them there. A folder of root's is an agent's, wherever it is.
func TestLiveFoldersThatUsersCanWrite(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	top, err := os.MkdirTemp("/opt", "live-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	require.NoError(t, os.Chmod(top, 0o755))
	u, err := user.Lookup(liveDaemon)
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	for _, f := range []struct {
		name     string
		uid, gid int
		mode     os.FileMode
	}{
		{"own", uid, gid, 0o755}, {"share", 0, 0, os.ModeSticky | 0o777}, {"group", 0, gid, 0o775}, {"root", 0, 0, 0o755},
	} {
		dir := filepath.Join(top, f.name)
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.Chown(dir, f.uid, f.gid))
		require.NoError(t, os.Chmod(dir, f.mode))
		for file, from := range map[string]string{"ss": "ss", "agent": "bash", "nice": "bash"} {
			data, err := os.ReadFile(lookPath(t, from))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o755))
		}
	}
	const temporary, home = "in a temporary folder", "in a home"
	for i, c := range []struct {
		run             func(command string) *exec.Cmd
		tool            string // the folder of ss; empty: it is the system's
		parent          string // the program that starts it
		starter         string // that is said to have had it started, where that is not the parent
		place, disguise string
		starterPlace    string
	}{
		{tool: "own", place: home, disguise: home},
		{tool: "share", place: temporary, disguise: temporary},
		{tool: "group", place: home, disguise: home},
		{tool: "root"},
		{parent: "own/agent", starterPlace: home},
		{parent: "share/agent", starterPlace: temporary},
		{parent: "root/agent"},
		{parent: "own/nice", starter: "own/nice", starterPlace: home},
		{parent: "own/agent", run: func(s string) *exec.Cmd { return l.as(liveAdmin, s) }}, // it is another's
		{parent: "own/agent", run: func(s string) *exec.Cmd { return exec.Command("sh", "-c", s) }, starterPlace: home},
	} {
		command := "ss"
		if c.tool != "" {
			command = filepath.Join(top, c.tool, "ss")
		}
		command += " -H -t sport = :" + strconv.Itoa(300+i)
		args := command
		if c.parent != "" {
			command = filepath.Join(top, c.parent) + " -c '" + command + "; true'"
		}
		run := c.run
		if run == nil {
			run = func(s string) *exec.Cmd { return l.daemon(liveDaemon, s) }
		}
		out, err := run(command + "; true").CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		docs := l.matches()[args]
		if !assert.Len(t, docs, 1, command) {
			continue
		}
		if c.starter != "" {
			c.starter = filepath.Join(top, c.starter)
		}
		for field, want := range map[string]string{
			"reconbeat.process.place": c.place, "reconbeat.process.disguise": c.disguise,
			"reconbeat.process.starter": c.starter, "reconbeat.process.starter_place": c.starterPlace,
		} {
			assert.Equal(t, want, text(docs[0], field), "%s: %s", command, field)
		}
	}
	alert := l.find("alert", mapstr.M{"user.name": liveDaemon, "reconbeat.process.disguise": home})
	assert.NotNil(t, alert, "the log:\n%s", l.log)
}
