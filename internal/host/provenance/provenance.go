// SPDX-License-Identifier: Apache-2.0

// Package provenance finds out where an executable comes from, for the alert about it: its SHA-256, the package that
// owns it, and whether it is as the package installed it.
//
// Ask is called at a match, while the process may still live, and Answer when an alert is made of it. Ask opens the
// files and reads nothing; one goroutine of the Examiner's reads, and ends when nothing is left to do. Answer waits for
// it no longer than a stated time: a disk that is slow delays no alert by more. What was read once is remembered by
// device, inode and ctime, as long as the package database is the same, so that the tool of a thousand matches is read
// once, and an alert finds the answer there.
//
// Nothing on a network or FUSE file system is read, no file above a stated size, and no more than a stated number of
// files a minute. What is not read says why.
package provenance

import (
	"crypto/md5" //nolint:gosec // it is what dpkg's database has, and rpm's before RHEL 6
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/host/executable"
	"github.com/reconbeat/reconbeat/internal/host/procfs"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// What the package database says of a file.
const (
	Unmodified = "unmodified" // a package's, with the contents that it installed
	Modified   = "modified"   // a package's, with other contents
	Unverified = "unverified" // a package's, which has given no checksum for it
	Unowned    = "unowned"    // no package's
	Unknown    = "unknown"    // nothing: no database could be read, or the file is not of the host's own file system
)

// Why a file was not read.
const (
	Gone    = "gone"    // the process had ended, or ran another program, and no path led to the file any more
	Remote  = "remote"  // it is on a network or FUSE file system
	Large   = "large"   // it is larger than FileMost
	Limited = "limited" // more files than FilesPerMinute
	Late    = "late"    // not all was known within AnswerWait; the checksum may be
	Failed  = "failed"  // it could not be read
)

// Bounds of what an Examiner does.
const (
	// FileMost is the size of the largest file that is read, in bytes: 64 MiB takes 0.1 to 0.4 s of one processor.
	FileMost = 64 << 20
	// FilesPerMinute is how many files are read in a minute of event time.
	FilesPerMinute = 30
	// AnswerWait is how long Answer waits for the files of one exec.
	AnswerWait = race.Slower * 200 * time.Millisecond
	// filesMost is how many files are remembered.
	filesMost = 1024
	// queued is how many files may wait, each with an open descriptor.
	queued = 16
)

// Executable is what is known of an executable. Its zero value: nothing was asked.
type Executable struct {
	SHA256  string // lower-case hex; empty: not read
	Unread  string // why it was not read, one of the constants above; empty: it was
	State   string // what the package database says, one of the constants above; empty: not read
	Package string // the package that owns it; empty: none
	Version string // its version, where State is not Unowned
}

// Options shape an Examiner.
type Options struct {
	Proc string // the proc file system; empty: /proc
	Root string // where the host's files are, with the package database; empty: as process 1 sees them, else /
}

// Examiner answers for this host's executables. Its methods may be called by one goroutine.
type Examiner struct {
	o  Options
	db packages

	minute int64 // of the limit, event time
	opened int   // in it
	second int64 // of event time, in which mark was read
	mark   marks
	late   *answer // the last that did not come in time; nil: none

	mu      sync.Mutex
	known   map[file]*answer
	queue   []job
	working bool
}

// file identifies the contents of a file as far as the kernel knows them without reading it.
type file struct {
	device, inode uint64
	changed       unix.Timespec
}

// answer is what is known of a file, once ready is closed.
type answer struct {
	Executable
	mark  marks
	early string // SHA256 while the rest is still to come, under the Examiner's lock
	ready chan struct{}
}

// pending reports whether an answer is still to come.
func (a *answer) pending() bool {
	if a == nil {
		return false
	}
	select {
	case <-a.ready:
		return false
	default:
		return true
	}
}

// job is a file to be read: open already, though not for reading.
type job struct {
	f  *os.File
	to *answer
}

// New makes an Examiner that has read nothing.
func New(o Options) *Examiner {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.Root == "" {
		o.Root = procfs.HostRoot()
	}
	return &Examiner{o: o, db: packagesOf(o.Root), known: map[file]*answer{}}
}

// Ask has the executables of an exec that has just happened, and of its parent, read. It waits for nobody.
func (x *Examiner) Ask(e *process.Event) {
	x.find(e, &e.Process)
	x.find(e, &e.Parent)
}

// Answer says what is known of the executables of an exec and of its parent. It waits for at most AnswerWait. While
// what it last waited for in vain is still being read, it waits for nothing: a disk that hangs holds nobody up again.
func (x *Examiner) Answer(e *process.Event) (tool, parent Executable) {
	late := time.NewTimer(AnswerWait)
	defer late.Stop()
	over := x.late.pending()
	wait := func(a *answer) Executable {
		if !over {
			select {
			case <-a.ready:
			case <-late.C:
				over, x.late = true, a
			}
		}
		if !a.pending() {
			return a.Executable
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return Executable{SHA256: a.early, Unread: Late}
	}
	t, p := x.find(e, &e.Process), x.find(e, &e.Parent)
	return wait(t), wait(p)
}

// done is the answer that nothing need be waited for.
func done(x Executable) *answer {
	ready := make(chan struct{})
	close(ready)
	return &answer{Executable: x, ready: ready}
}

// find finds the answer for the program of p, which is e's process or its parent, and has it read where there is none.
func (x *Examiner) find(e *process.Event, p *process.Process) *answer {
	if p.PID == 0 || p.Executable == "" {
		return done(Executable{})
	}
	if s := e.Time.Unix(); s != x.second {
		x.second, x.mark = s, x.db.marks()
	}
	link := x.o.Proc + "/" + strconv.FormatUint(uint64(p.PID), 10) + "/exe"
	if key, ok := runs(link, p); ok {
		if a := x.remembered(key); a != nil {
			return a
		}
	}
	f, key := x.open(e, p, link)
	if f == nil {
		return done(Executable{Unread: Gone})
	}
	if a := x.remembered(key); a != nil {
		f.Close()
		return a
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if m := e.Time.Unix() / 60; m != x.minute {
		x.minute, x.opened = m, 0
	}
	if x.opened >= FilesPerMinute || len(x.queue) >= queued {
		f.Close()
		return done(Executable{Unread: Limited})
	}
	x.opened++
	if len(x.known) >= filesMost {
		clear(x.known)
	}
	a := &answer{mark: x.mark, ready: make(chan struct{})}
	x.known[key] = a
	x.queue = append(x.queue, job{f: f, to: a})
	if !x.working {
		x.working = true
		go x.work()
	}
	return a
}

// remembered is what is known of a file, in the state that the package database is in; nil: nothing.
func (x *Examiner) remembered(key file) *answer {
	x.mu.Lock()
	defer x.mu.Unlock()
	if a, ok := x.known[key]; ok && a.mark == x.mark {
		return a
	}
	return nil
}

// runs identifies what a link of /proc says that a process runs, where that is what p was started from: the same file,
// or the same path where the source names no file, or another device than stat(2) does (btrfs, overlayfs).
func runs(link string, p *process.Process) (file, bool) {
	var st unix.Stat_t
	if unix.Stat(link, &st) != nil || p.File.Inode != 0 && p.File.Inode != st.Ino {
		return file{}, false
	}
	if p.File.Inode == 0 || p.File.Device != st.Dev {
		target, err := os.Readlink(link)
		if path, _ := process.TrimDeleted(target); err != nil || path != p.Executable {
			return file{}, false
		}
	}
	return fileOf(&st), true
}

// open opens the file that p was started from, by what it runs now or by its path, where that is the same file; nil:
// neither is. It is opened as a place, which no server is asked for.
func (x *Examiner) open(e *process.Event, p *process.Process, link string) (*os.File, file) {
	if key, ok := runs(link, p); ok {
		f, opened, ok := place(link)
		if ok && opened == key {
			return f, key
		}
		if ok {
			f.Close() // it runs another program by now
		}
	}
	if p.Deleted || p.File.Inode == 0 || !strings.HasPrefix(p.Executable, "/") {
		return nil, file{}
	}
	find := place
	if e.Container.ID != "" { // whose files the tool's parent sees
		if p != &e.Process || e.Parent.PID == 0 {
			return nil, file{}
		}
		find = func(path string) (*os.File, file, bool) { return x.placeSeenBy(e.Parent.PID, path) }
	}
	f, key, ok := find(p.Executable)
	switch {
	case !ok:
		return nil, file{}
	// An inode number is given to another file once it is free.
	case key.inode != p.File.Inode, time.Unix(key.changed.Unix()).After(e.Time.Add(clockStep)):
		f.Close()
		return nil, file{}
	}
	return f, key
}

// clockStep is by how much the kernel's clock of files may be ahead of the time of an event.
const clockStep = 11 * time.Millisecond

func place(path string) (*os.File, file, bool) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, file{}, false
	}
	return regular(fd, path)
}

// placeSeenBy is the place that a path has for a process in a container. The kernel's path of an executable leads
// through no link. One that stands there now may lead out of the container.
func (x *Examiner) placeSeenBy(pid uint32, path string) (*os.File, file, bool) {
	fd, err := unix.Open(x.o.Proc+"/"+strconv.FormatUint(uint64(pid), 10)+"/root", unix.O_PATH|unix.O_CLOEXEC, 0)
	for name := range strings.SplitSeq(path[1:], "/") {
		if err != nil || name == ".." {
			break
		}
		at := fd
		fd, err = unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(at)
	}
	if err != nil {
		return nil, file{}, false
	}
	return regular(fd, path)
}

// regular is a place that was opened, where a regular file is there.
func regular(fd int, path string) (*os.File, file, bool) {
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, file{}, false
	}
	return f, fileOf(&st), true
}

func fileOf(st *unix.Stat_t) file { return file{st.Dev, st.Ino, st.Ctim} }

// work reads what waits.
func (x *Examiner) work() {
	for {
		x.mu.Lock()
		if len(x.queue) == 0 {
			x.working, x.queue = false, nil
			x.mu.Unlock()
			return
		}
		j := x.queue[0]
		x.queue = x.queue[1:]
		x.mu.Unlock()
		j.to.Executable = x.examine(j.f, j.to)
		j.f.Close()
		close(j.to.ready)
	}
}

// examine reads the file of a place.
func (x *Examiner) examine(at *os.File, to *answer) Executable {
	link := fmt.Sprintf("/proc/self/fd/%d", at.Fd())
	var fs unix.Statfs_t
	if err := unix.Statfs(link, &fs); err != nil {
		return Executable{Unread: Failed}
	}
	if executable.Remote(int64(fs.Type)) { //nolint:unconvert // its type differs by architecture
		return Executable{Unread: Remote}
	}
	fd, err := unix.Open(link, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Executable{Unread: Failed}
	}
	f := os.NewFile(uintptr(fd), link)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return Executable{Unread: Failed}
	}
	if st.Size > FileMost {
		return Executable{Unread: Large}
	}
	long, short := sha256.New(), md5.New() //nolint:gosec // as above
	n, err := io.Copy(io.MultiWriter(long, short), io.LimitReader(f, FileMost+1))
	switch {
	case err != nil:
		return Executable{Unread: Failed}
	case n > FileMost: // it grows
		return Executable{Unread: Large}
	}
	found := Executable{SHA256: hex.EncodeToString(long.Sum(nil)), State: Unknown}
	x.mu.Lock()
	to.early = found.SHA256
	x.mu.Unlock()
	if path, err := os.Readlink(link); err == nil { // without links, which the path of an event may have
		x.own(&found, fileOf(&st), path, map[bool]string{true: hex.EncodeToString(short.Sum(nil)), false: found.SHA256})
	}
	return found
}

// own says which package a file belongs to, and whether it has its contents: where the host has it under this path, for
// its packages say nothing of a container's files. sums are those of its contents, the MD5 under true.
func (x *Examiner) own(found *Executable, key file, path string, sums map[bool]string) {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(x.o.Root, path), &st) != nil || st.Dev != key.device || st.Ino != key.inode {
		return
	}
	owner, err := x.db.owner(path)
	switch {
	case err != nil:
		return
	case owner.name == "":
		found.State = Unowned
	case owner.sum == "":
		found.State = Unverified
	case owner.sum == sums[owner.md5]:
		found.State = Unmodified
	default:
		found.State = Modified
	}
	found.Package, found.Version = owner.name, owner.version
}
