// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// running starts an executable that stays, and returns the event of its exec.
func running(t testing.TB, path string, args ...string) *process.Event {
	c := exec.Command(path, args...)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { in.Close(); _ = c.Process.Kill(); _ = c.Wait() })
	e := &process.Event{}
	e.Reset()
	e.Kind, e.PID, e.Executable, e.Time = process.Exec, uint32(c.Process.Pid), path, time.Now()
	e.File = fileID(t, path)
	return e
}

// fileID is what a record of audit says of an executable.
func fileID(t testing.TB, path string) process.FileID {
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return process.FileID{Device: st.Dev, Inode: st.Ino}
}

// ended is the event of the exec of a file whose process has ended.
func ended(t testing.TB, path string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.PID, e.Executable, e.Time, e.File = process.Exec, noProcess, path, time.Now(), fileID(t, path)
	return e
}

// noProcess is a pid that no process has (the kernel's limit is 1<<22).
const noProcess = 1<<22 + 1

func copyOf(t testing.TB, tool, name string) string {
	data, err := os.ReadFile(tool)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o755))
	return path
}

// stays is a program on every Debian that waits for its input: the stand-in for a tool that runs long enough to be
// read.
const stays = "/usr/bin/cat"

func TestACopyUnderAnotherNameIsKnownByItsContents(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	e := running(t, copyOf(t, stays, "session-helper"))
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.NotEmpty(t, e.Binary.BuildID)
}

func TestAnotherProgramIsNoTool(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	e := running(t, "/usr/bin/sleep", "60")
	id.Identify(e)
	require.Empty(t, e.Binary.Tool)
	require.NotEmpty(t, e.Binary.BuildID)
}

func TestAToolThatIsALinkToAnotherProgramTeachesNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/usr/bin/sleep", filepath.Join(dir, "ss")))
	require.Zero(t, New(Options{Tools: []string{"ss"}, Dirs: []string{dir}}).Tools())
}

func TestAToolWithoutABuildIDIsKnownByItsSum(t *testing.T) {
	dir := t.TempDir()
	script := []byte("#!/bin/sh\nsleep 60\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ss"), script, 0o755))
	id := New(Options{Tools: []string{"ss"}, Dirs: []string{dir}})
	copied := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(copied, script, 0o755))
	e := ended(t, copied)
	id.Identify(e)
	require.Equal(t, "ss", e.Binary.Tool)
	require.Len(t, e.Binary.SHA256, 64)
}

func TestAnUpgradedToolIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "ss")
	require.NoError(t, os.WriteFile(tool, []byte("#!/bin/sh\nold\n"), 0o755))
	id := New(Options{Tools: []string{"ss"}, Dirs: []string{dir}})
	e := ended(t, tool)
	id.Identify(e)
	require.Equal(t, "ss", e.Binary.Tool)

	require.NoError(t, os.WriteFile(tool+".new", []byte("#!/bin/sh\nnew!\n"), 0o755))
	require.NoError(t, os.Rename(tool+".new", tool))
	was := *e
	e.Binary, e.Time = process.Binary{}, e.Time.Add(2*time.Minute)
	id.Identify(e)
	require.Empty(t, e.Binary.Tool, "the file that was started is no more")
	e.File = fileID(t, tool)
	id.Identify(e)
	require.Equal(t, "ss", e.Binary.Tool)
	require.NotEqual(t, was.File, e.File)
}

func TestNoMoreFilesAreReadInASecondThanAllowed(t *testing.T) {
	id := New(Options{Tools: []string{"ss"}, ReadsPerSecond: 2})
	dir := t.TempDir()
	now := time.Now().Add(time.Second)
	var e *process.Event
	for _, name := range []string{"a", "b", "c", "d"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(name), 0o755))
		e = ended(t, path)
		e.Time = now
		id.Identify(e)
	}
	require.EqualValues(t, 2, id.Stats().Read)
	require.EqualValues(t, 2, id.Stats().Limited)
	e.Time = e.Time.Add(time.Second)
	id.Identify(e)
	require.EqualValues(t, 3, id.Stats().Read)
}

func TestAProcessAndAFileThatAreGoneAreCounted(t *testing.T) {
	id := New(Options{Tools: []string{"ss"}})
	e := &process.Event{}
	e.Reset()
	e.Time, e.PID, e.Executable = time.Now(), noProcess, "/nowhere/at/all"
	id.Identify(e)
	require.EqualValues(t, 1, id.Stats().Gone)
}

func TestAnExecutableThatWasSeenCostsNoAllocation(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	e := running(t, stays)
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.Zero(t, testing.AllocsPerRun(100, func() { id.Identify(e) }))
	e.Binary, e.File = process.Binary{}, process.FileID{} // no PATH record
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.Zero(t, testing.AllocsPerRun(100, func() { id.Identify(e) }))
}

// TestManyNewProgramsHideNoTool starts hundreds of programs that nobody has seen, all in one second, before a copy of a
// tool.
func TestManyNewProgramsHideNoTool(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}, Dirs: []string{"/usr/bin"}})
	dir := t.TempDir()
	copied := copyOf(t, stays, "kworker")
	now := time.Now().Add(time.Second)
	for i := range 500 {
		path := filepath.Join(dir, strconv.Itoa(i))
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/true"), 0o755))
		e := ended(t, path)
		e.Time = now
		id.Identify(e)
	}
	e := ended(t, copied)
	e.Time = now
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.Zero(t, id.Stats().Limited)
}

// BenchmarkIdentifyNew is what a program costs that nobody has seen.
func BenchmarkIdentifyNew(b *testing.B) {
	id := New(Options{Tools: []string{"cat"}, ReadsPerSecond: math.MaxInt})
	e := running(b, "/usr/bin/sleep", "60")
	b.ReportAllocs()
	for b.Loop() {
		clear(id.known)
		id.Identify(e)
	}
}

func BenchmarkIdentifyKnown(b *testing.B) {
	id := New(Options{Tools: []string{"cat"}})
	e := running(b, stays)
	b.ReportAllocs()
	for b.Loop() {
		id.Identify(e)
	}
}

func FuzzImage(f *testing.F) {
	for _, path := range []string{"/usr/bin/cat", "/usr/bin/sleep"} {
		if head, err := os.ReadFile(path); err == nil {
			f.Add(head[:min(len(head), 2048)])
		}
	}
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		im := readImage(bytes.NewReader(b), make([]byte, headMost))
		if len(im.buildID) > 2*maxBuildID || len(im.loader) > maxInterp {
			t.Fatal("too long")
		}
		if s := im.shape(); s == (shape{}) {
			return
		} else if s.bytes > codeMost || s.bytes < codeLeast || s.spans > spansMost {
			t.Fatalf("%+v", s)
		}
		if sum, err := im.sumOfCode(bytes.NewReader(b)); err == nil && len(sum) != 64 {
			t.Fatal(sum)
		}
	})
}
