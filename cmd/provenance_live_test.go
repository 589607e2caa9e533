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
)

// livePackage is a package that the live test installs.
const livePackage = "reconbeat-live-test"

// installTool makes a Debian package of a copy of ss, installs it until the end of the test, and returns its path.
func (l *live) installTool() string {
	const path = "/usr/libexec/" + livePackage + "/ss"
	root := filepath.Join(l.dir, "package")
	data, err := os.ReadFile(lookPath(l.t, "ss"))
	require.NoError(l.t, err)
	for name, contents := range map[string][]byte{
		path: data,
		"DEBIAN/control": []byte("Package: " + livePackage + "\nVersion: 1.2-3\nArchitecture: all\n" +
			"Maintainer: nobody <nobody@example.com>\nDescription: a copy of ss\n"),
		"DEBIAN/md5sums": nil,
	} {
		file := filepath.Join(root, name)
		require.NoError(l.t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(l.t, os.WriteFile(file, contents, 0o755))
	}
	run := func(command string) {
		c := exec.Command("sh", "-c", command)
		c.Dir = root
		out, err := c.CombinedOutput()
		require.NoError(l.t, err, string(out))
	}
	run("md5sum usr/libexec/*/* >DEBIAN/md5sums && chmod 0644 DEBIAN/*")
	run("dpkg-deb --build . ../tool.deb")
	l.t.Cleanup(func() { _ = exec.Command("dpkg", "--purge", livePackage).Run() })
	run("dpkg --install ../tool.deb")
	return path
}

// TestLiveWhereToolsComeFrom has strangers run a program of a package, the same with a byte more, and a copy that is
// no package's: the alerts say which is which, and so does their page.
func TestLiveWhereToolsComeFrom(t *testing.T) {
	l := newLive(t, "context")
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("this host has no " + tool)
		}
	}
	installed := l.installTool()
	l.more = fmt.Sprintf("reconbeat.detector.timezone: Etc/GMT%+d\n", noonOffset(time.Now().UTC().Hour()))
	l.learnDays(4, false)
	l.start()
	defer l.stop()
	data, err := os.ReadFile(installed)
	require.NoError(t, err)
	copied := filepath.Join(l.dir, "ss")
	require.NoError(t, os.WriteFile(copied, data, 0o755))
	require.NoError(t, os.Chmod(l.dir, 0o777))
	for _, c := range []struct {
		user, path string
		before     func()
		want       mapstr.M
		page       string // what the alert's page says of the tool
	}{
		{user: liveNewbie, path: installed, want: mapstr.M{
			"reconbeat.executable.state": "unmodified", "reconbeat.executable.package.name": livePackage,
			"reconbeat.executable.package.version": "1.2-3", "reconbeat.executable.parent.package.name": "bash",
			"reconbeat.executable.parent.state": "unmodified",
		}, page: "package " + livePackage + " 1.2-3, as installed"},
		{user: liveAdmin, path: installed, before: func() {
			require.NoError(t, os.Remove(installed))
			require.NoError(t, os.WriteFile(installed, append(data, 0), 0o755))
		}, want: mapstr.M{
			"reconbeat.executable.state": "modified", "reconbeat.executable.package.name": livePackage,
		}, page: "package " + livePackage + " 1.2-3, MODIFIED"},
		{
			user: liveDaemon, path: copied, want: mapstr.M{"reconbeat.executable.state": "unowned"}, page: "of no package",
		},
	} {
		if c.before != nil {
			c.before()
		}
		command := l.as
		if c.user == liveDaemon {
			command = l.daemon
		}
		out, err := command(c.user, c.path+" -H -t sport = :1; true").CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		alert := l.find("alert", mapstr.M{"user.name": c.user})
		if !assert.NotNil(t, alert, "%s; the log:\n%s", c.user, l.log) {
			continue
		}
		for field, want := range c.want {
			assert.Equal(t, want, text(alert, field), "%s: %s", c.user, field)
		}
		assert.Len(t, text(alert, "process.hash.sha256"), 64)
		assert.Len(t, text(alert, "process.parent.hash.sha256"), 64)
		out, err = l.command("alerts", "show", "--", text(alert, "event.id")).CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Regexp(t, "(?m)^Origin +"+c.page+", SHA-256 ", string(out))
	}
}
