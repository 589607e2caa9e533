// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// TestUnknownAncestorsAreReadFromProc takes this test's own process for a parent that no event reported.
func TestUnknownAncestorsAreReadFromProc(t *testing.T) {
	h, err := Open(nil)
	require.NoError(t, err)
	executable, err := os.Executable()
	require.NoError(t, err)
	table := process.NewTable(process.TableOptions{HostID: "host"})
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success, e.Name = process.Exec, time.Now(), true, "ss"
	e.PID, e.PPID = 1<<22+1, uint32(os.Getpid()) // no kernel gives a process this pid
	table.Observe(e)
	h.Complete(e, table)
	require.Equal(t, filepath.Base(executable), e.Parent.Name)
	require.Equal(t, os.Args, e.Parent.Args)
	require.Len(t, e.Parent.EntityID, 20)
	require.Zero(t, table.Stats().UnknownParent)
	line := table.Ancestry(e)
	require.Greater(t, len(line), 1, "who runs the test has a parent, too")
	require.EqualValues(t, os.Getppid(), line[1].PID)
	require.NotEmpty(t, line[1].Name)
	require.Zero(t, table.Unknown(e), "up to init")
}
