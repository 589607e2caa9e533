// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// foreign is the architecture that packages are made for and that this machine is not, and Debian's emulator of it.
var foreign, emulator = func() (string, string) {
	if runtime.GOARCH == "arm64" {
		return "amd64", "qemu-x86_64-static"
	}
	return "arm64", "qemu-aarch64-static"
}()

// emulate puts a script in the place of the binary that a foreign package brought into the copy, which has it emulated;
// a kernel that knows qemu would do so itself. It configures a file to be read: the emulator does not know the
// sockets of the kernel's audit.
func (h host) emulate() {
	h.t.Helper()
	const binary = "/usr/share/reconbeat/bin/reconbeat"
	h.run("mv", binary, "/srv/reconbeat")
	h.write(binary, "#!/bin/sh\nexec "+emulator+" /srv/reconbeat \"$@\"\n")
	h.run("chmod", "0755", binary)
	h.configure()
}

// TestTheOtherArchitecturesPackagesRunEmulated runs what cannot run here as it is: the foreign deb is installed, runs
// and is purged, the rpm the same, and what is in the tar.gz judges recordings as the native binary does.
func TestTheOtherArchitecturesPackagesRunEmulated(t *testing.T) {
	need(t, "dpkg", "dpkg-deb", "rpm", emulator)
	deb, rpm, archive := distributionFor(t, foreign, "deb"), distributionFor(t, foreign, "rpm"), distributionFor(t,
		foreign, "tar.gz")
	native := stage(t)

	h := newHost(t)
	said, err := exec.Command("dpkg", "--info", deb).CombinedOutput()
	require.NoError(t, err, string(said))
	assert.Contains(t, string(said), "\n Architecture: "+foreign+"\n")
	assert.Equal(t, contents(t, distribution(t, "deb")), contents(t, deb),
		"both architectures' packages bring the same files")
	h.run("dpkg", "--force-architecture", "-i", h.bring(deb))
	h.emulate()
	h.hasEverything()
	h.run("dpkg", "-P", "reconbeat")
	assert.Empty(t, h.files(), "a purge leaves nothing")

	h = newHost(t)
	out, err := exec.Command("rpm", "--root="+h.root, "--dbpath=/var/lib/rpm", "-i", "--nodeps", "--ignorearch", rpm).
		CombinedOutput()
	require.NoError(t, err, string(out))
	h.emulate()
	h.hasEverything()

	dir := t.TempDir()
	out, err = exec.Command("tar", "-xzf", archive, "--strip-components=1", "-C", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	replays := [][]string{
		{"cmd/recording.ndjson.gz"},
		{"--events", "cmd/recording.ndjson.gz"},
		{"-E", "reconbeat.detector.model=rare", "detector/rare/testdata/B.input.ndjson.gz"},
		{"--records", "detector/rare/testdata/B.input.ndjson.gz"},
	}
	alerts := 0
	for _, args := range replays {
		file := filepath.Join(repository, args[len(args)-1])
		args = append(
			[]string{"replay", "--format", "ndjson", "--path.home", dir},
			append(args[:len(args)-1:len(args)-1], file)...)
		want := output(t, filepath.Join(native, "reconbeat"), args...)
		got := output(t, emulator, append([]string{filepath.Join(dir, "reconbeat")}, args...)...)
		require.NotEmpty(t, want)
		if slices.Contains(args, "--records") {
			want, got = fraction.ReplaceAllFunc(want, rounded), fraction.ReplaceAllFunc(got, rounded)
		}
		require.Equal(t, string(want), string(got), strings.Join(args, " "))
		alerts += bytes.Count(got, []byte(`"kind":"alert"`))
	}
	assert.NotZero(t, alerts)
	t.Logf("EMULATED: deb and rpm of %s are installed and run; %d replays, with %d alerts, give what they give on %s",
		foreign, len(replays), alerts, runtime.GOARCH)
}

// fraction is a number that a processor may round in its own way, because it multiplies and adds at once. Alerts and
// events hold none: theirs are rounded.
var fraction = regexp.MustCompile(`\d+\.\d+`)

func rounded(number []byte) []byte {
	x, _ := strconv.ParseFloat(string(number), 64)
	return strconv.AppendFloat(nil, x, 'g', 10, 64)
}

// contents are the names, modes and owners of what a deb brings.
func contents(t *testing.T, deb string) (names []string) {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--contents", deb).Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // mode, owner, size, day, time, name
		names = append(names, strings.Join(append(f[:2:2], f[5:]...), " "))
	}
	return names
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir, c.Env = t.TempDir(), append(os.Environ(), "TZ=UTC")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), said.String())
	return out
}
