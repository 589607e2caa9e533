// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// started is the exec of a loader of that name with arguments, by a process that has ended; its parent is this one.
func started(loader string, args ...string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.PID, e.PPID, e.Time = process.Exec, noProcess, uint32(os.Getpid()), time.Now()
	e.Executable, e.Args = "/no/such/"+loader, append([]string{loader}, args...)
	return e
}

func TestWhatALoaderLoadsIsKnownByItsContents(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	id.patience = time.Minute // on a busy machine an answer comes late
	copied := copyOf(t, stays, "kworker")
	dir := filepath.Dir(copied)
	require.NoError(t, os.Symlink(copied, filepath.Join(dir, "note.txt")))
	open, err := os.Open(copyOf(t, stays, "removed"))
	require.NoError(t, err)
	defer open.Close()
	require.NoError(t, os.Remove(open.Name()))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	another := copyOf(t, "/usr/bin/sleep", "cat")
	for _, c := range []struct {
		name string
		e    *process.Event
		want string
	}{
		{"by its path", started("ld-linux-x86-64.so.2", "--argv0", "x", copied, "-n"), "cat"},
		{"by a link", started("ld-linux-x86-64.so.2", filepath.Join(dir, "note.txt")), "cat"},
		{"from the working folder", started("ld-linux-x86-64.so.2", "./kworker"), "cat"},
		{"a removed file that the parent has open", started("ld.so", fmt.Sprintf("/proc/self/fd/%d", open.Fd())), "cat"},
		{"the same as a device", started("ld.so", fmt.Sprintf("/dev/fd/%d", open.Fd())), "cat"},
		{"in an emulator", started("qemu-x86_64-static", "-cpu", "max", copied), "cat"},
		{"by a loader in an emulator", started("qemu-x86_64", "/lib64/ld-linux-x86-64.so.2", copied), "cat"},
		{"another program", started("ld.so", another), ""},
		{"a pipe", started("ld.so", filepath.Join(dir, "pipe")), ""},
		{"a device", started("ld.so", "/dev/null"), ""},
		{"no file", started("ld.so", filepath.Join(dir, "none")), ""},
		{"in the working folder", started("ld-musl-x86_64.so.1", "kworker"), "cat"},
		{"nothing", started("ld.so", "--list", copied), ""},
		{"an argument of another program", started("cat", copied), ""},
	} {
		c.e.CWD = dir
		id.Identify(c.e)
		require.Equal(t, c.want, c.e.Loads, c.name)
		require.Empty(t, c.e.Binary.Tool, c.name)
	}
}

func TestWhatWasWrittenAfterTheStartIsNotWhatWasLoaded(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	e := started("ld.so", copyOf(t, stays, "kworker"))
	e.Time = e.Time.Add(-time.Minute)
	id.Identify(e)
	require.Empty(t, e.Loads)
	require.NotZero(t, id.Stats().Gone)
}

// TestAPathThatLeadsToNoAnswer follows one path at a time, and none while the one before has no answer yet.
func TestAPathThatLeadsToNoAnswer(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	copied := copyOf(t, stays, "kworker")
	id.patience = time.Minute
	id.asks.Store(true)
	require.Nil(t, id.chosen(copied))
	id.asks.Store(false)
	f := id.chosen(copied)
	require.NotNil(t, f)
	require.NoError(t, f.Close())
}
