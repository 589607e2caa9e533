// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// TestAParentThatNoEventToldOfIsReadFromProc takes this test's own process for the parent.
func TestAParentThatNoEventToldOfIsReadFromProc(t *testing.T) {
	l, err := newLocal(nil)
	require.NoError(t, err)
	executable, err := os.Executable()
	require.NoError(t, err)
	table := process.NewTable(process.TableOptions{HostID: "host"})
	e := execOf(time.Now(), "root", "ss")
	e.PID, e.PPID = 1<<22+1, uint32(os.Getpid()) // no kernel gives a process this pid
	table.Observe(e)
	l.complete(e, table)
	require.Equal(t, filepath.Base(executable), e.Parent.Name)
	require.Equal(t, os.Args, e.Parent.Args)
	require.Len(t, e.Parent.EntityID, 20)
	require.EqualValues(t, 1, table.Stats().UnknownParent)
}
