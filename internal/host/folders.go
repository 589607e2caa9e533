// SPDX-License-Identifier: Apache-2.0

package host

import (
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// folders says who can write the folders that executables lie in: by their owner, group and mode, without access
// lists. It belongs to one goroutine.
type folders struct {
	proc, root string // the file system of processes, and the host's own
	accounts   *account.Reader
	seen       map[folder]string // where executables were found to lie that their users can write
	asks       atomic.Bool       // a path that a process chose is being followed
	patience   time.Duration     // for how long it is
}

// folder is one that an executable of a user lies in.
type folder struct {
	container, path string
	user            uint32
}

const (
	// foldersMost bounds what is remembered.
	foldersMost = 1024
	// folderWait is for how long a folder is waited for: its file system may be a server that does not answer.
	folderWait = race.Slower * 50 * time.Millisecond
)

func newFolders(proc, root string, accounts *account.Reader) *folders {
	return &folders{proc: proc, root: root, accounts: accounts, seen: map[folder]string{}, patience: folderWait}
}

// place is where the executable of a process lies that its user can write, in the words of process.Place; empty where
// its path alone says so, or nothing does. A folder that is gone says what it said before: an upgrade may have removed
// it. p is e's own process or one above it.
func (f *folders) place(e *process.Event, p *process.Process) string {
	if !strings.HasPrefix(p.Executable, "/") || process.Place(p.Executable) != "" {
		return ""
	}
	key := folder{e.Container.ID, path.Dir(p.Executable), p.User.ID}
	roots := make([]string, 0, 3)
	for _, pid := range []uint32{p.PID, e.Parent.PID} {
		if pid != 0 && (len(roots) == 0 || p.PID == e.PID) {
			roots = append(roots, f.proc+"/"+strconv.FormatUint(uint64(pid), 10)+"/root")
		}
	}
	if e.Container.ID == "" {
		roots = append(roots, f.root)
	}
	who := f.writer(e, p)
	place, found := f.ask(func() (string, bool) { return who.place(roots, key.path) })
	switch {
	case !found:
		return f.seen[key]
	case place == "":
		delete(f.seen, key)
		return ""
	case len(f.seen) >= foldersMost:
		clear(f.seen)
	}
	key.container, key.path = strings.Clone(key.container), strings.Clone(key.path)
	f.seen[key] = place
	return place
}

// ask waits for an answer that the file system may owe; none where it does not come at once, and while one from before
// has not come.
func (f *folders) ask(question func() (string, bool)) (place string, found bool) {
	if !f.asks.CompareAndSwap(false, true) {
		return "", false
	}
	type answer struct {
		place string
		found bool
	}
	answers := make(chan answer, 1)
	go func() {
		place, found := question()
		f.asks.Store(false)
		answers <- answer{place, found}
	}()
	deadline := time.NewTimer(f.patience)
	defer deadline.Stop()
	select {
	case a := <-answers:
		return a.place, a.found
	case <-deadline.C:
		return "", false
	}
}

// writer is who may write a folder.
type writer struct {
	users, groups []uint32 // real and effective
	home          string   // of the account; empty: it has none here
}

func (f *folders) writer(e *process.Event, p *process.Process) writer {
	w := writer{users: []uint32{p.User.ID, p.Effective.ID}, groups: []uint32{p.Group.ID, p.EffGroup.ID}}
	if e.Container.ID != "" || p.User.ID == 0 || p.User.ID == process.Unset {
		return w
	}
	if a, ok := f.accounts.Entry(p.User.ID); ok {
		w.groups = append(w.groups, a.Group)
		if home := path.Clean(a.Home); home != "/" && home[0] == '/' {
			w.home = home
		}
	}
	return w
}

// place looks a folder up under the first of the roots that has it; not found where none has.
func (w writer) place(roots []string, dir string) (place string, found bool) {
	for _, root := range roots {
		at, ok := folderAt(root, dir)
		if !ok {
			continue
		}
		if place := w.writes(&at); place != "" {
			return place, true
		}
		if w.home != "" && strings.HasPrefix(dir, w.home+"/") {
			if home, ok := folderAt(root, w.home); ok && home.Uid == w.users[0] {
				return process.InHome, true
			}
		}
		return "", true
	}
	return "", false
}

// writes says whether everybody can write a folder, or the user. Root can write every folder: of root's only those of
// another user say anything.
func (w writer) writes(at *unix.Stat_t) string {
	if at.Mode&unix.S_IWOTH != 0 {
		return process.InTemporary
	}
	for _, user := range w.users {
		if user != process.Unset && at.Uid != 0 && (user == at.Uid || user == 0) && at.Mode&unix.S_IWUSR != 0 {
			return process.InHome
		}
	}
	for i, group := range w.groups {
		root := i < len(w.users) && w.users[i] == 0
		if !root && group == at.Gid && group != 0 && at.Mode&unix.S_IWGRP != 0 {
			return process.InHome
		}
	}
	return ""
}

// folderAt looks at a folder under a root. The kernel's path of an executable leads through no link. One that stands
// there now may lead out of a container.
func folderAt(root, dir string) (st unix.Stat_t, ok bool) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return st, false
	}
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			break
		}
		at := fd
		fd = -1
		if name != ".." {
			fd, err = unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		unix.Close(at)
		if fd < 0 || err != nil {
			return st, false
		}
	}
	defer unix.Close(fd)
	return st, unix.Fstat(fd, &st) == nil
}
