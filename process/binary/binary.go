// SPDX-License-Identifier: Apache-2.0

// Package binary knows an executable by its contents, so that a copy of `ss` under another name is still `ss`.
//
// Contents are told by the GNU build-id, which the linker computes and a copy keeps; where a tool has none, by SHA-256, and then only of
// files that have exactly that tool's size. What was read once is remembered by device, inode and ctime, so that an executable that runs a thousand times
// is read once, and one that is replaced is read again.
//
// The host comes first: at most 64 KiB are read for a build-id, nothing on network and FUSE file systems, and no more than a stated number of files a
// second. What is not read is judged by its name, and counted.
package binary

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// Options shape an Identifier.
type Options struct {
	Tools          []string // base names of the programs to know by their contents
	Dirs           []string // where they are looked for; nil: the usual folders of a PATH
	Root           string   // the proc file system; empty: /proc
	ReadsPerSecond int      // of event time; 0: 50
	Remember       int      // executables; 0: 8192
}

// Stats count what an Identifier did and did not do.
type Stats struct {
	Read    uint64 // executables read
	Skipped uint64 // not read: on a network or FUSE file system
	Limited uint64 // not read: more than ReadsPerSecond
	Gone    uint64 // not read: process and file were gone
}

// Identifier fills Event.Binary. It belongs to one goroutine.
type Identifier struct {
	o       Options
	byID    map[string]string // build-id -> tool
	bySum   map[string]string // SHA-256 -> tool, of tools without a build-id
	sizes   map[int64]bool    // of tools without a build-id
	files   map[string]file   // the tools' own files, to see when they change
	known   map[file]process.Binary
	looked  time.Time // when the tools' files were last looked at, event time
	second  int64     // of the limit
	inLimit int
	path    []byte // reused, with a zero byte at its end
	stats   Stats
}

// file identifies the contents of a file as far as the kernel tells without reading it.
type file struct {
	dev, ino          uint64
	ctimeSec, ctimeNs int64
}

const (
	defaultReads    = 50
	defaultRemember = 8192
	// toolsEvery is how often it is looked whether the tools' own files changed: an upgrade of iproute2 is no emergency.
	toolsEvery = time.Minute
	// headMost is how much of a file is read for its build-id.
	headMost = 64 << 10
)

// usualDirs are where Linux distributions put the tools.
var usualDirs = []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"}

// New makes an Identifier and reads the tools.
func New(o Options) *Identifier {
	if o.Dirs == nil {
		o.Dirs = usualDirs
	}
	if o.Root == "" {
		o.Root = "/proc"
	}
	if o.ReadsPerSecond <= 0 {
		o.ReadsPerSecond = defaultReads
	}
	if o.Remember <= 0 {
		o.Remember = defaultRemember
	}
	id := &Identifier{o: o}
	id.readTools()
	return id
}

// Stats returns the counts so far.
func (id *Identifier) Stats() Stats { return id.stats }

// Tools returns how many files of tools are known by their contents.
func (id *Identifier) Tools() int { return len(id.files) }

// readTools learns what the tools' files contain. A tool that is a link to a program of another name, as in a host of busybox, is not: that program is no tool.
func (id *Identifier) readTools() {
	id.byID, id.bySum, id.sizes, id.files = map[string]string{}, map[string]string{}, map[int64]bool{}, map[string]file{}
	id.known = map[file]process.Binary{}
	names := map[string]bool{}
	for _, t := range id.o.Tools {
		names[t] = true
	}
	for _, dir := range id.o.Dirs {
		for _, tool := range id.o.Tools {
			path := filepath.Join(dir, tool)
			real, err := filepath.EvalSymlinks(path)
			if err != nil || !names[filepath.Base(real)] {
				continue
			}
			id.readTool(tool, path)
		}
	}
}

func (id *Identifier) readTool(tool, path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if st, ok := statOf(f); ok {
		id.files[path] = st
	}
	if build := buildID(f); build != "" {
		id.byID[build] = tool
		return
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if sum, err := sumOf(f); err == nil {
		id.bySum[sum] = tool
		id.sizes[info.Size()] = true
	}
}

// refresh reads the tools anew when one of their files changed, came or went.
func (id *Identifier) refresh(now time.Time) {
	if now.Sub(id.looked) < toolsEvery {
		return
	}
	first := id.looked.IsZero()
	id.looked = now
	if first {
		return
	}
	found := 0
	for _, dir := range id.o.Dirs {
		for _, tool := range id.o.Tools {
			path := filepath.Join(dir, tool)
			was, known := id.files[path]
			var st unix.Stat_t
			if unix.Stat(path, &st) != nil {
				continue
			}
			if known {
				found++
			}
			if known && was != fileOf(&st) {
				id.readTools()
				return
			}
		}
	}
	if found != len(id.files) {
		id.readTools()
	}
}

// Identify fills e.Binary of a local exec that has just happened. Of an executable that was seen before it costs one stat and no allocation.
func (id *Identifier) Identify(e *process.Event) {
	id.refresh(e.Time)
	var st unix.Stat_t
	id.path = append(append(id.path[:0], id.o.Root...), '/')
	id.path = append(strconv.AppendUint(id.path, uint64(e.PID), 10), "/exe\x00"...)
	fromProc := stat(id.path, &st) == nil
	if !fromProc {
		// The process has ended. Its executable, by the name that the kernel gave, is most likely still what it was.
		if e.Container.ID != "" || !strings.HasPrefix(e.Executable, "/") {
			id.stats.Gone++
			return
		}
		id.path = append(append(id.path[:0], e.Executable...), 0)
		if stat(id.path, &st) != nil {
			id.stats.Gone++
			return
		}
	}
	key := fileOf(&st)
	b, ok := id.known[key]
	if !ok {
		if b, ok = id.read(e.Time, string(id.path[:len(id.path)-1]), st.Size); !ok {
			return
		}
		if len(id.known) >= id.o.Remember {
			clear(id.known)
		}
		id.known[key] = b
	}
	e.Binary = b
}

// read tells what a file contains; false when it was not read and may be another time.
func (id *Identifier) read(now time.Time, path string, size int64) (process.Binary, bool) {
	if s := now.Unix(); s != id.second {
		id.second, id.inLimit = s, 0
	}
	if id.inLimit >= id.o.ReadsPerSecond {
		id.stats.Limited++
		return process.Binary{}, false
	}
	id.inLimit++
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil && remote(int64(fs.Type)) { //nolint:unconvert // its type differs by architecture
		id.stats.Skipped++
		return process.Binary{}, true
	}
	f, err := os.Open(path)
	if err != nil {
		id.stats.Gone++
		return process.Binary{}, false
	}
	defer f.Close()
	id.stats.Read++
	b := process.Binary{BuildID: buildID(f)}
	b.Tool = id.byID[b.BuildID]
	if b.BuildID == "" && id.sizes[size] {
		if sum, err := sumOf(f); err == nil {
			b.SHA256, b.Tool = sum, id.bySum[sum]
		}
	}
	return b, true
}

func remote(magic int64) bool {
	switch magic {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.NCP_SUPER_MAGIC:
		return true
	}
	return false
}

func statOf(f *os.File) (file, bool) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return file{}, false
	}
	return fileOf(&st), true
}

func fileOf(st *unix.Stat_t) file {
	return file{st.Dev, st.Ino, int64(st.Ctim.Sec), int64(st.Ctim.Nsec)} //nolint:unconvert // the types differ by architecture
}

// sumMost bounds the size of a file that is read whole; the tools are a few hundred kilobytes.
const sumMost = 16 << 20

func sumOf(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, sumMost)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
