// SPDX-License-Identifier: Apache-2.0

// Package procfs reads from /proc what no event says: the processes that were there before the first event, and the one
// parent that never called exec.
//
// Everything here is about now. A process may be gone, or its pid another's, by the time it is read: Read gives the
// time of the fork, so that the caller can see whether the process is old enough to be the one meant.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// FS is a mounted proc file system. It belongs to one goroutine.
type FS struct {
	root   string
	boot   time.Time         // when the kernel started
	groups map[string]string // the container that each text of /proc/PID/cgroup names; empty: none
}

// userHz is the unit of times in /proc/PID/stat: fixed at 100 for programs on every architecture that Go supports
// (include/asm-generic/param.h, USER_HZ).
const userHz = 100

// readMost bounds what is read of any one file.
const readMost = 64 << 10

// Open opens the file system at root, "/proc" in production.
func Open(root string) (*FS, error) {
	stat, err := os.ReadFile(filepath.Join(root, "stat"))
	if err != nil {
		return nil, fmt.Errorf("reading when the kernel started: %w", err)
	}
	_, after, ok := bytes.Cut(stat, []byte("\nbtime "))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	seconds, err := strconv.ParseInt(string(line), 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s has no btime", filepath.Join(root, "stat"))
	}
	return &FS{root: root, boot: time.Unix(seconds, 0), groups: map[string]string{}}, nil
}

// HostRoot is where the host's own file system is, whatever mount namespace a container or a unit has put us in: as
// process 1 sees it, where that may be asked.
func HostRoot() string {
	const first = "/proc/1/root"
	if _, err := os.Stat(first + "/"); err == nil {
		return first
	}
	return "/"
}

// BootID returns the id of the running kernel; empty when it cannot be read.
func (fs *FS) BootID() string {
	b, _ := os.ReadFile(filepath.Join(fs.root, "sys/kernel/random/boot_id"))
	return strings.TrimSpace(string(b))
}

// ErrGone says that the process is not there (any more).
var ErrGone = errors.New("the process is gone")

// Read reads one process into p, its parent's pid, and its login session (id and user). A process that ends meanwhile
// is ErrGone; a file that may not be read (another user's exe) leaves its facts unknown.
func (fs *FS) Read(pid uint32, p *process.Process) (ppid uint32, s process.Session, err error) {
	*p, s = process.NoProcess, process.NoSession
	dir := filepath.Join(fs.root, strconv.FormatUint(uint64(pid), 10))
	stat, err := readFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, s, ErrGone
	}
	st, err := parseStat(stat)
	if err != nil {
		return 0, s, fmt.Errorf("reading %s/stat: %w", dir, err)
	}
	p.PID, p.Name, p.StartTicks = pid, st.comm, st.startTicks
	p.Start = fs.start(st)
	p.TTY = st.terminal.String()
	p.Interactive = p.TTY != ""
	if exe, file, err := executable(filepath.Join(dir, "exe")); err == nil {
		p.Executable, p.Deleted = process.TrimDeleted(exe)
		p.Name, p.File = filepath.Base(p.Executable), file
	}
	p.CWD, _ = os.Readlink(filepath.Join(dir, "cwd"))
	if line, err := readFile(filepath.Join(dir, "cmdline")); err == nil {
		p.Args = parseCmdline(line)
		p.ArgsCount = len(p.Args)
	}
	if status, err := readFile(filepath.Join(dir, "status")); err == nil {
		p.User.ID, p.Effective.ID = ids(status, "Uid:")
		p.Group.ID, p.EffGroup.ID = ids(status, "Gid:")
	}
	s.ID = number(filepath.Join(dir, "sessionid"))
	s.User.ID = number(filepath.Join(dir, "loginuid"))
	return st.ppid, s, nil
}

// StartTicks reads when one process was forked, in ticks of the kernel's clock since boot and as a time.
func (fs *FS) StartTicks(pid uint32) (ticks uint64, at time.Time, err error) {
	dir := filepath.Join(fs.root, strconv.FormatUint(uint64(pid), 10))
	b, err := readFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, time.Time{}, ErrGone
	}
	st, err := parseStat(b)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("reading %s/stat: %w", dir, err)
	}
	return st.startTicks, fs.start(st), nil
}

// start is when a process was forked.
func (fs *FS) start(st stat) time.Time {
	return fs.boot.Add(time.Duration(st.startTicks) * time.Second / userHz)
}

// executable reads path and file of an executable at once: between two readings of the link the process may start
// another program.
func executable(link string) (path string, file process.FileID, err error) {
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", file, fmt.Errorf("opening %s: %w", link, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", file, fmt.Errorf("reading what %s is: %w", link, err)
	}
	if path, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil {
		return "", file, fmt.Errorf("following %s: %w", link, err)
	}
	return path, process.FileID{Device: st.Dev, Inode: st.Ino}, nil
}

// Snapshot reads every process that is there now, the oldest pid first as the directory has them.
func (fs *FS) Snapshot(each func(p *process.Process, ppid uint32, s process.Session)) error {
	dir, err := os.Open(fs.root)
	if err != nil {
		return fmt.Errorf("listing processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("listing processes: %w", err)
	}
	var p process.Process
	for _, name := range names {
		pid, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue
		}
		if ppid, s, err := fs.Read(uint32(pid), &p); err == nil {
			each(&p, ppid, s)
		}
	}
	return nil
}

type stat struct {
	comm       string
	ppid       uint32
	terminal   process.Terminal
	startTicks uint64
}

// parseStat reads /proc/PID/stat. The command's name stands in parentheses and may hold anything, parentheses and
// newlines too: it ends at the last one.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, errors.New("there is no command in parentheses")
	}
	const first, wanted = 3, 20 // the state, and up to the time of start
	var f [wanted][]byte
	n := 0
	for field := range bytes.FieldsSeq(b[end+1:]) {
		f[n] = field
		if n++; n == wanted {
			break
		}
	}
	if n < wanted {
		return stat{}, fmt.Errorf("there are %d fields, fewer than %d", n+first-1, wanted+first-1)
	}
	ppid, err1 := strconv.ParseUint(string(f[1]), 10, 32)
	tty, err2 := strconv.ParseInt(string(f[4]), 10, 32)
	start, err3 := strconv.ParseUint(string(f[19]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return stat{}, err
	}
	dev := uint32(tty) // the kernel prints the device number as a signed int
	return stat{
		comm: string(b[open+1 : end]), ppid: uint32(ppid), startTicks: start,
		terminal: process.Terminal{Major: dev >> 8 & 0xfff, Minor: dev&0xff | dev>>12&0xfff00},
	}, nil
}

// parseCmdline reads /proc/PID/cmdline: a NUL behind each argument, but where the process has written over it. It is
// empty for threads of the kernel and for what has ended. A process that sets its title, as sshd does, fills what is
// left of the place with NULs: two and more empty arguments at the end are none.
func parseCmdline(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	text := strings.TrimSuffix(string(b), "\x00")
	if title := strings.TrimRight(text, "\x00"); len(text)-len(title) > 1 {
		text = title
	}
	return strings.Split(text, "\x00")
}

// ids returns the real and effective id of a line of /proc/PID/status.
func ids(status []byte, key string) (real, effective uint32) {
	real, effective = process.Unset, process.Unset
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			f := bytes.Fields(rest)
			if len(f) < 2 {
				return
			}
			if n, err := strconv.ParseUint(string(f[0]), 10, 32); err == nil {
				real = uint32(n)
			}
			if n, err := strconv.ParseUint(string(f[1]), 10, 32); err == nil {
				effective = uint32(n)
			}
			return
		}
	}
	return
}

func number(file string) uint32 {
	b, err := readFile(file)
	if err != nil {
		return process.Unset
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return process.Unset
	}
	return uint32(n)
}

// readFile reads a file of /proc. os.File would cost as much again: it registers with the poller, which refuses it.
func readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 512)
	for len(b) < readMost {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		b = b[:len(b)+n]
		if len(b) < cap(b) {
			break // the kernel writes each of these files in one go, so that a short read has all of it
		}
	}
	return b, nil
}
