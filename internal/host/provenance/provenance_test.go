// SPDX-License-Identifier: Apache-2.0

package provenance

import (
	"crypto/sha256"
	"encoding/hex"
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

// running starts a program that waits, and returns its exec, with this test as its parent.
func running(t testing.TB, path string) *process.Event {
	c := exec.Command(path, "60")
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.PID = process.Exec, time.Now(), uint32(c.Process.Pid)
	e.Executable, e.File = path, identity(t, path)
	self, err := os.Readlink("/proc/self/exe")
	require.NoError(t, err)
	e.Parent.PID, e.Parent.Executable = uint32(os.Getpid()), self
	return e
}

func identity(t testing.TB, path string) process.FileID {
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return process.FileID{Device: st.Dev, Inode: st.Ino}
}

func sumOf(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// settled waits until everything was read, which is not bounded by a time of the test's.
func settled(x *Examiner) {
	for {
		x.mu.Lock()
		var pending chan struct{}
		for _, a := range x.known {
			select {
			case <-a.ready:
			default:
				pending = a.ready
			}
		}
		x.mu.Unlock()
		if pending == nil {
			return
		}
		<-pending
	}
}

func answered(x *Examiner, e *process.Event) (tool, parent Executable) {
	x.Ask(e)
	settled(x)
	return x.Answer(e)
}

// copied makes of a program one of the same file system, changed by a function.
func copied(t *testing.T, from, to string, change func([]byte) []byte) string {
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	if change != nil {
		data = change(data)
	}
	require.NoError(t, os.WriteFile(to, data, 0o755))
	return to
}

// TestOfADebianHost asks about real programs of real packages, one of them overwritten.
func TestOfADebianHost(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/info/coreutils.list"); err != nil {
		t.Skip("this host has no dpkg")
	}
	x := New(Options{})
	tool, parent := answered(x, running(t, "/usr/bin/sleep"))
	require.Equal(t, sumOf(t, "/usr/bin/sleep"), tool.SHA256)
	require.Equal(t, Unmodified, tool.State)
	require.Equal(t, "coreutils", tool.Package)
	require.NotEmpty(t, tool.Version)
	require.Equal(t, Unowned, parent.State, "the test's own program")
	require.Len(t, parent.SHA256, 64)

	e := running(t, copied(t, "/usr/bin/sleep", filepath.Join(t.TempDir(), "sleep"), nil))
	tool, _ = answered(x, e)
	require.Equal(t, Executable{SHA256: sumOf(t, "/usr/bin/sleep"), State: Unowned}, tool)
}

// TestAModifiedProgram has a package's program replaced by one with a byte more, in a system of its own.
func TestAModifiedProgram(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "var/lib/dpkg/info"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg", name), []byte(text), 0o600))
	}
	out, err := exec.Command("md5sum", "/usr/bin/sleep").Output()
	require.NoError(t, err)
	sum, _, _ := strings.Cut(string(out), " ")
	write("status", "Package: coreutils\nVersion: 9\n")
	program := filepath.Join(root, "usr/bin/sleep")
	write("info/coreutils.list", program+"\n") // without a root of its own, the kernel has the whole path
	write("info/coreutils.md5sums", sum+"  "+program[1:]+"\n")
	copied(t, "/usr/bin/sleep", program, nil)
	x := New(Options{})
	x.db = packagesOf(root)
	tool, _ := answered(x, running(t, program))
	require.Equal(t, Unmodified, tool.State)
	require.NoError(t, os.Remove(program))
	copied(t, "/usr/bin/sleep", program, func(b []byte) []byte { return append(b, 0) })
	tool, _ = answered(x, running(t, program))
	require.Equal(t, Modified, tool.State)
	require.Equal(t, "coreutils", tool.Package)
	require.Equal(t, sumOf(t, program), tool.SHA256)

	write("info/coreutils.md5sums", "")
	write("info/other.list", "") // the database is another
	e := running(t, program)
	e.Time = e.Time.Add(time.Second)
	tool, _ = answered(x, e)
	require.Equal(t, Unverified, tool.State)
}

// TestARedHatHost has rpm note a package in a database of its own, where its program is run as installed and with a
// byte more, beside another that is no package's.
func TestARedHatHost(t *testing.T) {
	for _, tool := range []string{"rpm", "rpmbuild"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("SKIPPED: THE TEST NEEDS rpm (Debian: rpm)")
		}
	}
	root := t.TempDir()
	program := filepath.Join(root, "usr/bin/sleep")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Dir(program), 0o755))
	copied(t, "/usr/bin/sleep", program, nil)
	spec := "Name: sleep\nVersion: 9\nRelease: 1.el9\nSummary: sleep\nLicense: Apache-2.0\nBuildArch: noarch\n" +
		"%global _build_id_links none\n%define __os_install_post %{nil}\n%description\nsleep\n" +
		"%install\ninstall -D " + program + " %{buildroot}" + program + "\n%files\n" + program + "\n"
	file := filepath.Join(root, "sleep.spec")
	require.NoError(t, os.WriteFile(file, []byte(spec), 0o600))
	for _, command := range []string{
		"rpmbuild --quiet -bb --define '_topdir " + root + "' --define '_binaries_in_noarch_packages_terminate_build 0' " +
			file,
		"rpm --dbpath " + root + "/var/lib/rpm --justdb --nodeps -i " + root + "/RPMS/noarch/*.rpm",
	} {
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
	x := New(Options{})
	x.db = packagesOf(root)
	tool, parent := answered(x, running(t, program))
	require.Equal(t, Executable{
		SHA256: sumOf(t, program), State: Unmodified, Package: "sleep", Version: "9-1.el9",
	}, tool)
	require.Equal(t, Unowned, parent.State)
	require.NoError(t, os.Remove(program))
	copied(t, "/usr/bin/sleep", program, func(b []byte) []byte { return append(b, 0) })
	tool, _ = answered(x, running(t, program))
	require.Equal(t, Modified, tool.State)
	require.Equal(t, "sleep", tool.Package)

	// A host of SUSE may have dpkg, too. Here its own database is a folder, which cannot be read.
	require.NoError(t, os.RemoveAll(filepath.Join(root, "var/lib/rpm")))
	for _, name := range []string{"var/lib/dpkg/info", "usr/lib/sysimage/rpm/Packages.db"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, name), 0o755))
	}
	e := running(t, program)
	e.Time = e.Time.Add(time.Second)
	tool, _ = answered(x, e)
	require.Equal(t, Unknown, tool.State)
}

func TestAHostOfAnotherPackageManager(t *testing.T) {
	x := New(Options{})
	x.db = packagesOf(t.TempDir())
	tool, _ := answered(x, running(t, "/usr/bin/sleep"))
	require.Equal(t, Executable{SHA256: sumOf(t, "/usr/bin/sleep"), State: Unknown}, tool)
}

// TestAToolOfAContainerThatEnded has a tool be gone, and its parent see the container's files. No link that somebody
// has put there is followed.
func TestAToolOfAContainerThatEnded(t *testing.T) {
	proc, root := t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "4700"), 0o755))
	require.NoError(t, os.Symlink(root, filepath.Join(proc, "4700/root")))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755))
	require.NoError(t, os.Symlink("/usr/bin", filepath.Join(root, "bin")))
	tool := copied(t, "/usr/bin/sleep", filepath.Join(root, "usr/bin/ss"), nil)
	hosts := copied(t, "/usr/bin/sleep", filepath.Join(t.TempDir(), "hosts"), nil)
	require.NoError(t, os.Symlink(hosts, filepath.Join(root, "usr/bin/link")))
	gone := Executable{Unread: Gone}
	for path, c := range map[string]struct {
		file   string
		parent uint32
		want   Executable
	}{
		"/usr/bin/ss":   {file: tool, parent: 4700, want: Executable{SHA256: sumOf(t, tool), State: Unknown}},
		"/bin/ss":       {file: tool, parent: 4700, want: gone},
		"/usr/bin/link": {file: hosts, parent: 4700, want: gone},
		hosts:           {file: hosts, parent: 4700, want: gone},
		"/usr/bin":      {file: filepath.Join(root, "usr/bin"), parent: 4700, want: gone},
		"/usr/../../ss": {file: tool, parent: 4700, want: gone},
		"//usr/bin/ss":  {file: tool, parent: 4701, want: gone}, // a parent that is gone, too
	} {
		e := &process.Event{}
		e.Reset()
		e.Kind, e.Time, e.PID = process.Exec, time.Now().Add(time.Second), 4711
		e.Executable, e.File, e.Parent.PID = path, identity(t, c.file), c.parent
		e.Container.ID = strings.Repeat("c0ffee00", 8)
		x := New(Options{Proc: proc})
		x.db = packagesOf(t.TempDir())
		got, _ := answered(x, e)
		require.Equal(t, c.want, got, path)
	}
}

func TestAProcessThatEnded(t *testing.T) {
	x := New(Options{})
	e := running(t, "/usr/bin/sleep")
	e.PID = 1 << 30
	tool, _ := answered(x, e)
	require.Equal(t, sumOf(t, "/usr/bin/sleep"), tool.SHA256, "the path leads to the file")
	e.File.Inode++
	tool, _ = answered(x, e)
	require.Equal(t, Executable{Unread: Gone}, tool)
	e.File = process.FileID{}
	tool, _ = answered(x, e)
	require.Equal(t, Executable{Unread: Gone}, tool, "nothing says that the path leads to it still")
}

func TestAProcessThatRunsAnother(t *testing.T) {
	x := New(Options{})
	e := running(t, "/usr/bin/sleep")
	e.Executable, e.File = "/usr/bin/nowhere", process.FileID{}
	tool, _ := answered(x, e)
	require.Equal(t, Executable{Unread: Gone}, tool)
}

func TestARemovedProgramIsReadWhileItRuns(t *testing.T) {
	x := New(Options{})
	path := copied(t, "/usr/bin/sleep", filepath.Join(t.TempDir(), "sleep"), nil)
	e := running(t, path)
	require.NoError(t, os.Remove(path))
	tool, _ := answered(x, e)
	require.Equal(t, Executable{SHA256: sumOf(t, "/usr/bin/sleep"), State: Unknown}, tool)
}

func TestALargeProgramIsLeftAlone(t *testing.T) {
	x := New(Options{})
	path := copied(t, "/usr/bin/sleep", filepath.Join(t.TempDir(), "sleep"), nil)
	require.NoError(t, os.Truncate(path, FileMost+1))
	tool, _ := answered(x, running(t, path))
	require.Equal(t, Executable{Unread: Large}, tool)
}

func TestTooManyFilesAreLimited(t *testing.T) {
	x := New(Options{})
	e := running(t, "/usr/bin/sleep")
	x.minute, x.opened = e.Time.Unix()/60, FilesPerMinute
	tool, _ := answered(x, e)
	require.Equal(t, Executable{Unread: Limited}, tool)
	e.Time = e.Time.Add(time.Minute)
	tool, _ = answered(x, e)
	require.NotEmpty(t, tool.SHA256)
}

// TestAnAnswerWaitsNoLonger has a file read that nobody reads.
func TestAnAnswerWaitsNoLonger(t *testing.T) {
	x := New(Options{})
	e := running(t, "/usr/bin/sleep")
	x.working = true // by nobody
	tool, parent := x.Answer(e)
	require.Equal(t, Executable{Unread: Late}, tool)
	require.Equal(t, Executable{Unread: Late}, parent)
	x.work()
	tool, _ = x.Answer(e)
	require.NotEmpty(t, tool.SHA256)
}

// TestNothingIsReadTwice asks for the same programs, and finds no file read and none left open.
func TestNothingIsReadTwice(t *testing.T) {
	x := New(Options{})
	e := running(t, "/usr/bin/sleep")
	answered(x, e)
	opened, before := x.opened, descriptors(t)
	for range 100 {
		answered(x, e)
	}
	require.Equal(t, opened, x.opened)
	require.Equal(t, before, descriptors(t))
}

func descriptors(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

func BenchmarkAskKnown(b *testing.B) {
	x := New(Options{})
	e := running(b, "/usr/bin/sleep")
	x.Ask(e)
	settled(x)
	b.ReportAllocs()
	for b.Loop() {
		x.Ask(e)
	}
}
