// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/race"
)

// asReconbeat in the environment makes the test binary be reconbeat, so that tests run the real command line without a
// build of their own.
const asReconbeat = beattest.AsReconbeat

// fromMemory in the environment makes the test binary a program that loads the file named there into memory and becomes
// it, as malware without files does.
const fromMemory = "RECONBEAT_TEST_FROM_MEMORY"

func TestMain(m *testing.M) {
	if tool := os.Getenv(fromMemory); tool != "" {
		fmt.Fprintln(os.Stderr, becomeFromMemory(tool, os.Args[1:]))
		os.Exit(1)
	}
	if os.Getenv(asReconbeat) != "" {
		if err := NewRootCommand().Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if unraced.dir != "" {
		os.RemoveAll(unraced.dir)
	}
	os.Exit(code)
}

var unraced struct {
	once   sync.Once
	dir    string
	binary string
	err    error
}

// withoutRaceDetector returns a reconbeat for tests of what a command says and keeps, and for what comes before a
// test's subject: under the race detector each command costs some ten times as much. Where this test binary has none,
// it is that itself; else one is built, once, as `mage build` does.
func withoutRaceDetector(t testing.TB) string {
	t.Helper()
	unraced.once.Do(func() {
		if unraced.binary, unraced.err = os.Executable(); !race.Enabled || unraced.err != nil {
			return
		}
		if unraced.dir, unraced.err = os.MkdirTemp("", "reconbeat-unraced-"); unraced.err != nil {
			return
		}
		if unraced.err = os.Chmod(unraced.dir, 0o755); unraced.err != nil { // other users run it, too
			return
		}
		unraced.binary = filepath.Join(unraced.dir, Name)
		out, err := exec.Command("go", "-C", "..", "build", "-buildvcs=false", "-o", unraced.binary, ".").CombinedOutput()
		if err != nil {
			unraced.err = fmt.Errorf("building reconbeat: %w\n%s", err, out)
		}
	})
	require.NoError(t, unraced.err)
	return unraced.binary
}

// becomeFromMemory returns only when it failed.
func becomeFromMemory(tool string, args []string) error {
	data, err := os.ReadFile(tool)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("kworker", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), args, nil)
}
