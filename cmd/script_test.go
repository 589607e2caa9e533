// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestCommandLine runs the scripts of testdata/script against the real command line. Its commands run one after the
// other on one goroutine; `test alert` alone starts others, and so runs under the race detector. `watch` and
// `run`, which start more, have tests of their own.
func TestCommandLine(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("..", "detector", "rare", "testdata"))
	require.NoError(t, err)
	recorded, err := filepath.Abs(filepath.Join("..", "module", "auditlog", "testdata"))
	require.NoError(t, err)
	played, err := filepath.Abs("recording.ndjson.gz")
	require.NoError(t, err)
	raced, err := os.Executable()
	require.NoError(t, err)
	unraced := withoutRaceDetector(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv(asReconbeat, "1")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("GOLDEN", golden)
			env.Setenv("RECORDED", recorded)
			env.Setenv("RECORDING", played)
			env.Setenv("HOME", env.WorkDir)
			binary := unraced
			if filepath.Base(env.WorkDir) == "script-alert" {
				binary = raced
			}
			bin := filepath.Join(env.WorkDir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			build := filepath.Join(env.WorkDir, "clone", "build") // where a clone has it
			if err := os.MkdirAll(build, 0o755); err != nil {
				return err
			}
			return errors.Join(os.Symlink(binary, filepath.Join(build, Name)), os.Symlink(binary, filepath.Join(bin, Name)))
		},
	})
}
