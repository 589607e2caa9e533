// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// other is an executable that is not a tool of these tests.
const other = "/usr/bin/sleep"

// TestAProcessThatRunsAnotherProgramByNow has events of a program whose process runs cat, the tool, when
// it is read: bash -c 'cat'.
func TestAProcessThatRunsAnotherProgramByNow(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	now := running(t, stays)
	removed := copyOf(t, other, "removed")
	for name, before := range map[string]*process.Event{
		"which is still there":      ended(t, other),
		"of which no file is known": {Process: process.Process{Executable: other}},
		"that was removed": {Process: process.Process{
			Executable: removed,
			Deleted:    true,
			File:       fileID(t, removed),
		}},
		"whose device differs": {Process: process.Process{
			Executable: other,
			File:       process.FileID{Device: 12345, Inode: fileID(t, other).Inode},
		}},
		"with the tool's inode, elsewhere": {Process: process.Process{
			Executable: other,
			File:       process.FileID{Device: 12345, Inode: fileID(t, stays).Inode},
		}},
		"without a path": {},
	} {
		before.PID, before.Time = now.PID, now.Time
		id.Identify(before)
		require.Empty(t, before.Binary.Tool, "a program %s", name)
	}
	id.Identify(now)
	require.Equal(t, "cat", now.Binary.Tool)
	require.EqualValues(t, 5, id.Stats().Gone, "only the one that is still there is known")
}

// TestWhatWasSeenAtTheFirstRecordIsRemembered has a process that has ended, and whose file is removed, when all records
// have come.
func TestWhatWasSeenAtTheFirstRecordIsRemembered(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	copied := copyOf(t, stays, "x")
	e := running(t, copied)
	id.Glimpse(e.PID, e.Time)
	require.NoError(t, os.Remove(copied))
	pid := e.PID
	for name, change := range map[string]func(e *process.Event){
		"of another file":    func(e *process.Event) { e.File = fileID(t, other) },
		"of another time":    func(e *process.Event) { e.Time = e.Time.Add(time.Millisecond) },
		"of no file":         func(e *process.Event) { e.File = process.FileID{} },
		"of another process": func(e *process.Event) { e.PID++ },
	} {
		wrong := *e
		change(&wrong)
		require.False(t, id.byGlimpse(&wrong), name)
	}
	require.Empty(t, e.Binary)
	unseen := New(Options{Tools: []string{"cat"}, Root: t.TempDir()}) // where no process is
	unseen.Identify(e)
	require.Empty(t, e.Binary)
	id.o.Root = t.TempDir()
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.EqualValues(t, pid, e.PID)
	id.o.Root = "/proc"
	require.Zero(t, testing.AllocsPerRun(100, func() { id.Glimpse(e.PID, e.Time); id.Identify(e) }))
}

func TestThePathCountsOnlyWhereItIsTheStartedFile(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	copied := copyOf(t, stays, "x")
	e := ended(t, copied)
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)

	later := ended(t, copied) // an inode that was free and is used again
	later.Time = later.Time.Add(-time.Minute)
	id.Identify(later)
	require.Empty(t, later.Binary.Tool, "it was written after the program had started")

	container := ended(t, other) // the same path in another root
	container.Executable = stays
	id.Identify(container)
	require.Empty(t, container.Binary)

	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	waits := ended(t, pipe)
	id.Identify(waits)
	require.Empty(t, waits.Binary)
	require.EqualValues(t, 3, id.Stats().Gone)
}

// TestWhereDevicesDifferThePathMustBeTheSame is btrfs, and overlayfs over two file systems: stat(2) has a device for
// each subvolume or layer, the records of audit have another one.
func TestWhereDevicesDifferThePathMustBeTheSame(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	copied := copyOf(t, stays, "x")
	gone := ended(t, copied)
	gone.File.Device = 4711
	id.Identify(gone)
	require.Empty(t, gone.Binary, "nothing says that 4711 is this file system")

	e := running(t, copied)
	e.File.Device = 4711
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.Zero(t, testing.AllocsPerRun(100, func() { id.Identify(e) }))

	id.Identify(gone)
	require.Equal(t, "cat", gone.Binary.Tool, "now it is known")
	gone.File.Device, gone.Binary = 4712, process.Binary{}
	id.Identify(gone)
	require.Empty(t, gone.Binary)
}

func TestALinkOfAnyKindIsTheFile(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	copied := copyOf(t, stays, "x")
	hard := copied + "-hard"
	require.NoError(t, os.Link(copied, hard))
	e := running(t, hard)
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	read := id.Stats().Read
	e = running(t, copied)
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.Equal(t, read, id.Stats().Read, "it is one file")
}

func TestAnExecutableThatIsReplacedWhileItRuns(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	copied := copyOf(t, stays, "x")
	e := running(t, copied)
	require.NoError(t, os.Rename(copyOf(t, other, "y"), copied))
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.NoError(t, os.Remove(copied))
	e.Binary = process.Binary{}
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	e.Binary, e.File = process.Binary{}, process.FileID{}
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool, "its path is the same, but for the kernel's remark")
}

// TestAProgramFromMemoryIsFoundInItsParent is a process that has ended; this process, its parent, holds the memory.
func TestAProgramFromMemoryIsFoundInItsParent(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	fd, err := unix.MemfdCreate("kworker", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "kworker")
	defer f.Close()
	data, err := os.ReadFile(stays)
	require.NoError(t, err)
	_, err = f.Write(data)
	require.NoError(t, err)
	e := ended(t, fmt.Sprintf("/proc/self/fd/%d", fd))
	e.Executable, e.Deleted, e.PPID = "/memfd:kworker", true, uint32(os.Getpid())
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
	require.NoError(t, f.Close())
	e.Binary, e.File.Inode = process.Binary{}, e.File.Inode+1000
	id.Identify(e)
	require.Empty(t, e.Binary)
}

// TestAPathInAnotherRootIsFoundThere is a short-lived program in a chroot or a container, whose parent is still there.
func TestAPathInAnotherRootIsFoundThere(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: chroot needs root")
	}
	id := New(Options{Tools: []string{"cat"}})
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	for _, static := range []string{"busybox", "sh"} {
		if err := exec.Command("cp", "/usr/bin/busybox", filepath.Join(root, "bin", static)).Run(); err != nil {
			t.Skip("SKIPPED, NOTHING WAS TESTED: busybox is not there")
		}
	}
	libraries, err := exec.Command("ldd", "/usr/bin/busybox").Output()
	if err == nil {
		for _, word := range strings.Fields(string(libraries)) {
			if strings.HasPrefix(word, "/") {
				require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(word)), 0o755))
				require.NoError(t, exec.Command("cp", "-L", word, filepath.Join(root, word)).Run())
			}
		}
	}
	parent := exec.Command("chroot", root, "/bin/sh", "-c", "echo; read x")
	in, err := parent.StdinPipe()
	require.NoError(t, err)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	defer func() { in.Close(); _ = parent.Wait() }()
	_, err = out.Read(make([]byte, 1)) // it is inside
	require.NoError(t, err)

	data, err := os.ReadFile(stays)
	require.NoError(t, err)
	inside := filepath.Join(root, "bin", "copy")
	require.NoError(t, os.WriteFile(inside, data, 0o755))
	e := ended(t, inside)
	e.Executable, e.PPID = "/bin/copy", uint32(parent.Process.Pid)
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)
}

// TestAPathOfWhichNoFileIsNamedIsTheParents is a process that has ended, whose source names no file.
func TestAPathOfWhichNoFileIsNamedIsTheParents(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	e := ended(t, stays)
	e.File = process.FileID{}
	id.Identify(e)
	require.Empty(t, e.Binary, "its root is unknown")

	e.PPID = uint32(os.Getpid())
	id.Identify(e)
	require.Equal(t, "cat", e.Binary.Tool)

	later := ended(t, copyOf(t, stays, "x"))
	later.File, later.PPID, later.Time = process.FileID{}, e.PPID, later.Time.Add(-time.Minute)
	id.Identify(later)
	require.Empty(t, later.Binary, "it was written after the program had started")
}

// changed is a copy of an ELF file with something changed.
func changed(t testing.TB, tool string, change func(f *elf.File, data []byte)) string {
	data, err := os.ReadFile(tool)
	require.NoError(t, err)
	f, err := elf.NewFile(bytes.NewReader(data))
	require.NoError(t, err)
	change(f, data)
	path := filepath.Join(t.TempDir(), "changed")
	require.NoError(t, os.WriteFile(path, data, 0o755))
	return path
}

func TestAToolIsKnownByItsCodeWhereItsBuildIDIsNot(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	note := func(f *elf.File) *elf.Section { return f.Section(".note.gnu.build-id") }
	for name, path := range map[string]string{
		"zeroed": changed(t, stays,
			func(f *elf.File, b []byte) { clear(b[note(f).Offset+16 : note(f).Offset+note(f).Size]) }),
		"changed": changed(t, stays, func(f *elf.File, b []byte) { b[note(f).Offset+17]++ }),
		"cut off": changed(t, stays, func(f *elf.File, b []byte) {
			for i, p := range f.Progs {
				if p.Type == elf.PT_NOTE {
					binary.NativeEndian.PutUint32(b[binary.NativeEndian.Uint64(b[32:])+uint64(i)*56:], uint32(elf.PT_NULL))
				}
			}
		}),
	} {
		e := ended(t, path)
		id.Identify(e)
		require.Equal(t, "cat", e.Binary.Tool, name)
	}
	for _, command := range [][]string{
		{"objcopy", "--remove-section", ".note.gnu.build-id"},
		{"strip", "--strip-all"},
		{"strip", "--strip-section-headers"},
	} {
		path := copyOf(t, stays, "x")
		if out, err := exec.Command(command[0], append(command[1:], path)...).CombinedOutput(); err != nil {
			t.Logf("SKIPPED, NOT TESTED: %v: %v %s", command, err, out)
			continue
		}
		e := ended(t, path)
		id.Identify(e)
		require.Equal(t, "cat", e.Binary.Tool, command)
	}
	e := ended(t, changed(t, stays, func(f *elf.File, b []byte) {
		clear(b[note(f).Offset+16 : note(f).Offset+note(f).Size])
		b[f.Section(".text").Offset+100]++
	}))
	id.Identify(e)
	require.Empty(t, e.Binary.Tool, "it is another program")
}

// TestCodeCountsFromTheProgramsBeginning is the layout of arm64: one segment holds headers, notes
// and code.
func TestCodeCountsFromTheProgramsBeginning(t *testing.T) {
	segment := header{kind: elfLoad, flags: elfExecutable, offset: 0, address: 0x400000, bytes: 0x5000}
	require.Equal(t, span{0x1234, 0x5000 - 0x1234}, codeOf(segment, 0x401234))
	require.Equal(t, span{0, 0x5000}, codeOf(segment, 0x300000), "a beginning elsewhere")
	require.Equal(t, span{0x5000, 0}, codeOf(segment, 0x900000), "beyond it there is no code")
	segment.offset = 0x1000
	require.Equal(t, span{0x1000, 0x5000}, codeOf(segment, 0x401234))
}

func TestOnlyCodeOfAToolsSizeIsRead(t *testing.T) {
	for _, im := range []image{
		{},
		{code: []span{{0, codeMost + 1}}},
		{code: []span{{0, codeMost}, {0, 1}}},
		{code: []span{{0, codeLeast - 1}}},
		{code: []span{{1<<63 + 1, codeLeast}}},
		{code: make([]span, spansMost+1)},
	} {
		require.Zero(t, im.shape())
	}
	require.NotZero(t, image{code: []span{{0, codeLeast}}}.shape())
	sum, err := image{code: []span{{10, 100}}}.sumOfCode(bytes.NewReader(make([]byte, 50)))
	require.Error(t, err, sum)
}

func TestBusyboxAndTheLoaderAreKnownUnderAnyName(t *testing.T) {
	id := New(Options{Tools: []string{"cat"}})
	if _, err := os.Stat("/usr/bin/busybox"); err == nil {
		e := running(t, copyOf(t, "/usr/bin/busybox", "busybox-of-mine"), "cat")
		id.Identify(e)
		require.Equal(t, "busybox", e.Binary.Tool)
	} else {
		t.Log("SKIPPED, NOT TESTED: busybox is not there")
	}
	f, err := os.Open(stays)
	require.NoError(t, err)
	defer f.Close()
	loader := readImage(f, make([]byte, headMost)).loader
	require.NotEmpty(t, loader)
	e := running(t, copyOf(t, loader, "ld"), stays)
	id.Identify(e)
	require.Equal(t, filepath.Base(loader), e.Binary.Tool)
}

// TestHardLinksOfBusyboxAreBusybox is busybox's own image, where every applet is the same file; and a host where two
// tools are one that is neither.
func TestHardLinksOfBusyboxAreBusybox(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(stays)
	require.NoError(t, err)
	first := filepath.Join(dir, "netstat")
	require.NoError(t, os.WriteFile(first, data, 0o755))
	for _, name := range []string{"route", "ls"} {
		require.NoError(t, os.Link(first, filepath.Join(dir, name)))
	}
	tools := []string{"netstat", "route"}
	e := ended(t, filepath.Join(dir, "ls"))
	New(Options{Tools: tools, Dirs: []string{dir}}).Identify(e)
	require.Empty(t, e.Binary.Tool)
	require.NoError(t, os.Link(first, filepath.Join(dir, "busybox")))
	e.Time = time.Now()
	New(Options{Tools: tools, Dirs: []string{dir}}).Identify(e)
	require.Equal(t, "busybox", e.Binary.Tool)
}

func TestAToolThatIsInstalledLaterIsLearned(t *testing.T) {
	dir := t.TempDir()
	id := New(Options{Tools: []string{"ss"}, Dirs: []string{dir}})
	e := ended(t, copyOf(t, stays, "x"))
	id.Identify(e)
	require.Empty(t, e.Binary.Tool)
	data, err := os.ReadFile(stays)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ss"), data, 0o755))
	e.Time = e.Time.Add(2 * time.Minute)
	id.Identify(e)
	require.Equal(t, "ss", e.Binary.Tool)
}
