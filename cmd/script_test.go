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

// TestCommandLine runs the scripts of testdata/script against the real command line.
func TestCommandLine(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("..", "detector", "rare", "testdata"))
	require.NoError(t, err)
	recorded, err := filepath.Abs(filepath.Join("..", "module", "auditlog", "testdata"))
	require.NoError(t, err)
	played, err := filepath.Abs("recording.ndjson.gz")
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
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
			bin := filepath.Join(env.WorkDir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			build := filepath.Join(env.WorkDir, "clone", "build") // where a clone has it
			if err := os.MkdirAll(build, 0o755); err != nil {
				return err
			}
			return errors.Join(os.Symlink(self, filepath.Join(build, Name)), os.Symlink(self, filepath.Join(bin, Name)))
		},
	})
}
