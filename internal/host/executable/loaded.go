// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

const (
	// lookupMost is for how long a path that somebody chose is followed: it may lead to a server that does not answer.
	lookupMost = 100 * time.Millisecond
	// loadersMost is how many loaders may run each other.
	loadersMost = 3
)

// identifyLoaded finds what a loader or an emulator was started to run: its file is named by an argument alone, which
// no record of the exec resolves.
func (id *Identifier) identifyLoaded(e *process.Event) {
	loader, args := e.Binary.Tool, e.Args
	if !process.RunsArgument(loader) {
		loader = path.Base(e.Executable)
	}
	for range loadersMost {
		if !process.IsLoader(loader) && !process.IsEmulator(loader) {
			return
		}
		at, _ := process.Loaded(loader, args)
		if at == 0 {
			return
		}
		args = args[at:]
		e.Loads = id.toolAt(e, args[0])
		if loader = e.Loads; loader == "" {
			loader = path.Base(args[0])
		}
	}
}

// toolAt is the tool whose contents the file has that the process calls by a path; empty where it is none's, or cannot
// be read any more.
func (id *Identifier) toolAt(e *process.Event, file string) string {
	for _, p := range id.pathsOf(e, file) {
		f := id.chosen(p)
		if f == nil {
			continue
		}
		b, ok := id.readChosen(f, e.Time)
		f.Close()
		if ok {
			return b.Tool
		}
	}
	id.stats.Gone++
	return ""
}

// pathsOf are the paths here of what the process, and its parent, call by that path.
func (id *Identifier) pathsOf(e *process.Event, file string) []string {
	of := func(pid uint32, rest string) string {
		return id.o.Root + "/" + strconv.FormatUint(uint64(pid), 10) + rest
	}
	if !path.IsAbs(file) { // also without a slash, for musl
		file = path.Join(e.CWD, file)
	}
	for _, own := range []string{"/proc/self/", "/proc/thread-self/", "/dev/"} {
		if rest, ok := strings.CutPrefix(file, own); ok && strings.HasPrefix(rest, "fd/") {
			return []string{of(e.PID, "/"+rest), of(e.PPID, "/"+rest)}
		}
	}
	return []string{of(e.PID, "/root"+file), file, of(e.PPID, "/root"+file)}
}

// chosen opens a regular file of a local file system by a path that a process chose; nil for anything else, where
// the answer does not come at once, and while one from before has not come.
func (id *Identifier) chosen(path string) *os.File {
	if !id.asks.CompareAndSwap(false, true) {
		return nil
	}
	opened := make(chan *os.File)
	late := make(chan struct{})
	go func() {
		f := openChosen(path)
		id.asks.Store(false)
		select {
		case opened <- f:
		case <-late:
			f.Close()
		}
	}()
	deadline := time.NewTimer(id.patience)
	defer deadline.Stop()
	select {
	case f := <-opened:
		return f
	case <-deadline.C:
		close(late)
		return nil
	}
}

// openChosen opens a regular file of a local file system: what else the path leads to is not opened, for a device may
// act on that.
func openChosen(path string) *os.File {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(at)
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(at, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG ||
		unix.Fstatfs(at, &fs) != nil || Remote(int64(fs.Type)) { //nolint:unconvert // its type differs by architecture
		return nil
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(at))
	if err != nil {
		return nil
	}
	return f
}

// readChosen finds what an open file contains; not ok where it has changed since the event, and where it is not read
// now.
func (id *Identifier) readChosen(f *os.File, at time.Time) (b process.Binary, ok bool) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || time.Unix(st.Ctim.Unix()).After(at.Add(clockStep)) {
		return b, false
	}
	key := fileOf(&st)
	if c, known := id.known[key]; known {
		return c.Binary, true
	}
	if !id.mayRead(at) {
		return b, false
	}
	id.stats.Read++
	b = id.contents(f, st.Size)
	id.keep(key, contents{Binary: b})
	return b, true
}
