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

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/race"
)

// asReconbeat in the environment makes the test binary be reconbeat, so that tests run the real command line without a
// build of their own.
const asReconbeat = beattest.AsReconbeat

func TestMain(m *testing.M) {
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
// test's subject: under the race detector each command costs some seven times as much. Where this test binary has none,
// it is that itself; else one is built, once.
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
		// Without tables for a debugger the linker takes half its time.
		out, err := exec.Command("go", "-C", "..", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", unraced.binary, ".").
			CombinedOutput()
		if err != nil {
			unraced.err = fmt.Errorf("building reconbeat: %w\n%s", err, out)
		}
	})
	require.NoError(t, unraced.err)
	return unraced.binary
}
