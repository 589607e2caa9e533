// SPDX-License-Identifier: Apache-2.0

// Package executable knows an executable by its contents, so that a copy of `ss` under another name is still `ss`.
//
// Contents are known by the GNU build-id, which the linker computes and a copy keeps; where that is nobody's or gone,
// by the SHA-256 of the code, read only of files whose code has exactly the size of a tool's; of other files by
// the SHA-256 of all of it, read only of files of exactly a tool's size. Programs that are many in one file (busybox)
// are always among the tools, and so is the dynamic loader that a tool asks for: what they run as is for the detector
// to say.
//
// The source says whose contents they are: it names the file that the kernel opened, by device and inode
// (process.FileID). /proc/PID/exe is believed only where it leads to that file, for by the time it is read the
// process may run another program; and so is the path, which may lead elsewhere by now, or be of another mount
// namespace. What was read once is remembered by device, inode and ctime, so that an executable that runs a thousand
// times is read once, and one that is replaced is read again.
//
// The host comes first: at most 64 KiB are read for a build-id, at most 8 MiB of code, nothing on network and FUSE file
// systems, and no more than a stated number of files, and of bytes of code, a second. Those are more than a host starts
// of new programs while it is at work: who starts many before a tool must not get it past. What is not read is judged
// by its name, and counted.
package executable

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// Options shape an Identifier.
type Options struct {
	Tools          []string // base names of the programs to know by their contents
	Dirs           []string // where they are searched; nil: the usual folders of a PATH
	Root           string   // the proc file system; empty: /proc
	ReadsPerSecond int      // of event time; 0: 1000
	Remember       int      // executables; 0: 8192
}

// Stats count what an Identifier did and did not do.
type Stats struct {
	Read    uint64 // executables read
	Skipped uint64 // not read: on a network or FUSE file system
	Limited uint64 // not read, or their code not: more than ReadsPerSecond, or than codePerSecond
	Gone    uint64 // not read: the process had ended, or ran another program, and no path led to the file any more
}

// Identifier fills Event.Binary. It belongs to one goroutine.
type Identifier struct {
	o       Options
	byID    map[string]string // build-id -> tool
	byCode  map[string]string // SHA-256 of the code -> tool
	bySum   map[string]string // SHA-256 -> tool, of tools that are not ELF files
	shapes  map[shape]bool    // of the tools' code
	sizes   map[int64]bool    // of tools that are not ELF files
	tools   int               // files that are known
	files   map[string]file   // what lies where tools may be, to see when that changes
	known   map[file]contents
	devices map[uint64]uint64 // st_dev -> the device that records of audit have for it, where they differ
	checked time.Time         // when the tools' files were last checked, event time
	second  int64             // of the limit
	inLimit int
	summed  uint64            // bytes of code in this second
	head    []byte            // reused
	seen    [glimpses]glimpse // a ring
	next    int               // place in it
	path    []byte            // reused, with a zero byte at its end
	asks    atomic.Bool       // a path that a process chose is being followed

	patience time.Duration // for how long it is
	stats    Stats
}

// file identifies the contents of a file as far as the kernel knows them without reading it.
type file struct {
	dev, ino          uint64
	ctimeSec, ctimeNs int64
}

// glimpse is what a process ran when the first record of an exec came.
type glimpse struct {
	pid  uint32
	at   time.Time // of the event
	file file
}

// contents is what is known of a file.
type contents struct {
	process.Binary
	path string // by which a process was seen to run it, where that had to be read
}

const (
	defaultReads    = 1000
	defaultRemember = 8192
	// toolsEvery is how often the tools' own files are checked for changes: an upgrade of iproute2 is no
	// emergency.
	toolsEvery = time.Minute
	// codePerSecond is how much code is summed up in a second, in bytes: a tenth of what a processor does.
	codePerSecond = 128 << 20
	// headMost is how much of a file is read for its headers.
	headMost = 64 << 10
	// clockStep is by how much the kernel's clock of files may be ahead of the time in a record: records have
	// milliseconds, and that clock ticks at 100 Hz at the slowest.
	clockStep = 11 * time.Millisecond
	// descriptors is how many open files of a parent are read.
	descriptors = 64
	// glimpses is how many execs may be between their first record and their last.
	glimpses = 64
	// devicesMost is how many file systems with devices of their own are remembered.
	devicesMost = 1024
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
	o.Tools = append(process.MultiCalls(), o.Tools...)
	id := &Identifier{o: o, devices: map[uint64]uint64{}, patience: lookupMost}
	id.readTools()
	return id
}

// Stats returns the counts so far.
func (id *Identifier) Stats() Stats { return id.stats }

// Tools returns how many files of tools are known by their contents.
func (id *Identifier) Tools() int { return id.tools }

// readTools learns what the tools' files contain. A tool that is a link to a program of another name, as in a host of
// busybox, is that program.
func (id *Identifier) readTools() {
	id.byID, id.byCode, id.bySum = map[string]string{}, map[string]string{}, map[string]string{}
	id.shapes, id.sizes, id.files, id.tools = map[shape]bool{}, map[int64]bool{}, map[string]file{}, 0
	id.known = map[file]contents{}
	names := map[string]bool{}
	for _, t := range id.o.Tools {
		names[t] = true
	}
	loaders := map[string]bool{}
	for _, tool := range id.o.Tools {
		for _, dir := range id.o.Dirs {
			path := filepath.Join(dir, tool)
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				continue
			}
			if st, ok := stated(path); ok {
				id.files[path] = st
			}
			if name := filepath.Base(real); names[name] {
				loaders[id.readTool(name, real)] = true
			}
		}
	}
	for loader := range loaders {
		if st, ok := stated(loader); ok {
			id.files[loader] = st
			id.readTool(filepath.Base(loader), loader)
		}
	}
}

// readTool learns one tool, and returns the loader that it asks for.
func (id *Identifier) readTool(tool, path string) (loader string) {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	im := readImage(f, make([]byte, headMost))
	learned := im.buildID != ""
	if learned {
		learn(id.byID, im.buildID, tool)
	}
	if s := im.shape(); s != (shape{}) {
		if sum, err := im.sumOfCode(f); err == nil {
			learn(id.byCode, sum, tool)
			id.shapes[s], learned = true, true
		}
	}
	if !learned {
		if sum, err := sumOf(f); err == nil {
			learn(id.bySum, sum, tool)
			id.sizes[info.Size()], learned = true, true
		}
	}
	if learned {
		id.tools++
	}
	return im.loader
}

// learn notes whose contents these are. Where two tools have the same (links to one file), they are not evidence of
// either, unless one of them is many programs in one.
func learn(known map[string]string, contents, tool string) {
	was, ok := known[contents]
	switch {
	case !ok || process.IsMultiCall(tool):
		known[contents] = tool
	case was != tool && !process.IsMultiCall(was):
		known[contents] = ""
	}
}

// refresh reads the tools anew when one of their files changed, came or went.
func (id *Identifier) refresh(now time.Time) {
	if now.Sub(id.checked) < toolsEvery {
		return
	}
	first := id.checked.IsZero()
	id.checked = now
	if !first && id.changed() {
		id.readTools()
	}
}

func (id *Identifier) changed() bool {
	for path, was := range id.files {
		if now, ok := stated(path); !ok || now != was {
			return true
		}
	}
	for _, dir := range id.o.Dirs {
		for _, tool := range id.o.Tools {
			path := filepath.Join(dir, tool)
			if _, known := id.files[path]; known {
				continue
			}
			if _, there := stated(path); there {
				return true
			}
		}
	}
	return false
}

// Glimpse reads what the process runs, as soon as a source knows that it has started something and not yet what: on
// a busy host the rest of that may come when the process has ended. Identify believes what was seen only where it is
// the file that the source then names.
func (id *Identifier) Glimpse(pid uint32, at time.Time) {
	var st unix.Stat_t
	id.toProcess(pid)
	if stat(id.path, &st) != nil {
		return
	}
	key := fileOf(&st)
	if _, ok := id.known[key]; !ok {
		b, read, _ := id.read(at, key)
		if !read {
			return
		}
		id.keep(key, contents{Binary: b})
	}
	id.seen[id.next] = glimpse{pid, at, key}
	id.next = (id.next + 1) % glimpses
}

// byGlimpse finds what was seen of the process when the first record of this exec came.
func (id *Identifier) byGlimpse(e *process.Event) bool {
	for i := 1; i <= glimpses; i++ {
		g := &id.seen[(id.next+glimpses-i)%glimpses]
		if g.pid != e.PID || !g.at.Equal(e.Time) ||
			g.file.ino != e.File.Inode || !id.device(g.file.dev, e.File.Device) {
			continue
		}
		c, ok := id.known[g.file]
		if ok {
			e.Binary = c.Binary
		}
		return ok
	}
	return false
}

// toProcess makes id.path what a process runs.
func (id *Identifier) toProcess(pid uint32) {
	id.path = append(append(id.path[:0], id.o.Root...), '/')
	id.path = append(strconv.AppendUint(id.path, uint64(pid), 10), "/exe\x00"...)
}

// keep remembers what a file contains.
func (id *Identifier) keep(key file, c contents) {
	if len(id.known) >= id.o.Remember {
		clear(id.known)
	}
	id.known[key] = c
}

// Identify fills e.Binary of a local exec that has just happened. Of an executable that was seen before it costs one
// stat (none where Glimpse has done it) and no allocation.
func (id *Identifier) Identify(e *process.Event) {
	id.refresh(e.Time)
	if !id.byGlimpse(e) && !id.byProcess(e) && !id.byPath(e) && !id.byParent(e) {
		id.stats.Gone++
	}
	id.identifyLoaded(e)
}

// byProcess reads what the process runs now. It is what the event is about only where it is the file that the source
// names. Where it names none, the path must be the same.
func (id *Identifier) byProcess(e *process.Event) bool {
	var st unix.Stat_t
	id.toProcess(e.PID)
	if stat(id.path, &st) != nil {
		return false
	}
	named := e.File != (process.FileID{})
	switch {
	case named && st.Ino != e.File.Inode:
		return false
	case named && id.device(st.Dev, e.File.Device):
		return id.take(e, &st, "")
	case !named:
		if c, ok := id.known[fileOf(&st)]; ok && c.path != "" && c.path == e.Executable {
			e.Binary = c.Binary
			return true
		}
	}
	link, st, ok := followed(id.name())
	path, _ := process.TrimDeleted(link)
	if !ok || path != e.Executable || path == "" || named && st.Ino != e.File.Inode {
		return false
	}
	if named {
		if len(id.devices) >= devicesMost {
			clear(id.devices)
		}
		id.devices[st.Dev] = e.File.Device
	}
	return id.take(e, &st, path)
}

// device reports whether a device of stat(2) is the one that the source names.
func (id *Identifier) device(st, named uint64) bool {
	return st == named || id.devices[st] == named && named != 0
}

// byPath reads where the kernel found the executable: from here, and from the parent's root, for the path may be of a
// container. The process has ended, or runs another program. Where the source names no file, as of a script that the
// loader runs, only the parent's root says whose path it is.
func (id *Identifier) byPath(e *process.Event) bool {
	if e.Deleted || !strings.HasPrefix(e.Executable, "/") {
		return false
	}
	if e.File != (process.FileID{}) {
		id.path = append(append(id.path[:0], e.Executable...), 0)
		if id.at(e) {
			return true
		}
	}
	if e.PPID == 0 {
		return false
	}
	id.path = append(append(id.path[:0], id.o.Root...), '/')
	id.path = append(strconv.AppendUint(id.path, uint64(e.PPID), 10), "/root"...)
	id.path = append(append(id.path, e.Executable...), 0)
	return id.at(e)
}

// byParent searches the open files of the parent: who runs a program from memory, or one that is removed, often
// holds it open.
func (id *Identifier) byParent(e *process.Event) bool {
	if e.File == (process.FileID{}) || !e.Deleted || e.PPID == 0 {
		return false
	}
	dir := id.o.Root + "/" + strconv.FormatUint(uint64(e.PPID), 10) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(descriptors)
	for _, name := range names {
		id.path = append(append(append(append(id.path[:0], dir...), '/'), name...), 0)
		if id.at(e) {
			return true
		}
	}
	return false
}

// at reads id.path, and believes it where it leads to the file that was started, if the source names one, and nobody
// has changed that since: the inode of a file that was removed is given to another.
func (id *Identifier) at(e *process.Event) bool {
	var st unix.Stat_t
	if stat(id.path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	if e.File != (process.FileID{}) && (st.Ino != e.File.Inode || !id.device(st.Dev, e.File.Device)) {
		return false
	}
	if time.Unix(st.Ctim.Unix()).After(e.Time.Add(clockStep)) {
		return false
	}
	return id.take(e, &st, "")
}

// name is id.path as a string.
func (id *Identifier) name() string { return string(id.path[:len(id.path)-1]) }

// take fills e.Binary with what is known of the file st, which id.path leads to and a process was seen to run by path
// (empty: not read). It reads the file where nothing is known; false when it was another one by then.
func (id *Identifier) take(e *process.Event, st *unix.Stat_t, path string) bool {
	key := fileOf(st)
	c, known := id.known[key]
	if !known {
		b, read, there := id.read(e.Time, key)
		if !read {
			return there
		}
		c.Binary = b
	}
	if !known || path != "" {
		c.path = path
		id.keep(key, c)
	}
	e.Binary = c.Binary
	return true
}

// read finds what the file at id.path contains. It is not ok when it was not read and may be another time, and not
// there when the path leads to another file by now.
func (id *Identifier) read(now time.Time, key file) (b process.Binary, ok, there bool) {
	if !id.mayRead(now) {
		return process.Binary{}, false, true
	}
	path := id.name()
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil && Remote(int64(fs.Type)) { //nolint:unconvert // its type differs by architecture
		id.stats.Skipped++
		return process.Binary{}, true, true
	}
	// Another file may be there by now; a pipe would make us wait, and a device may act on being opened.
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return process.Binary{}, false, false
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if unix.Fstat(at, &st) != nil || fileOf(&st) != key || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return process.Binary{}, false, false
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(at))
	if err != nil {
		return process.Binary{}, false, false
	}
	defer f.Close()
	id.stats.Read++
	return id.contents(f, st.Size), true, true
}

// mayRead reports whether one more file may be read in this second, and counts where it may not.
func (id *Identifier) mayRead(now time.Time) bool {
	if s := now.Unix(); s != id.second {
		id.second, id.inLimit, id.summed = s, 0, 0
	}
	if id.inLimit >= id.o.ReadsPerSecond {
		id.stats.Limited++
		return false
	}
	id.inLimit++
	return true
}

// maySum reports whether so much more code may be summed up in this second, and counts where it may not.
func (id *Identifier) maySum(bytes uint64) bool {
	if id.summed+bytes > codePerSecond {
		id.stats.Limited++
		return false
	}
	id.summed += bytes
	return true
}

// contents finds what an open file contains.
func (id *Identifier) contents(f *os.File, size int64) process.Binary {
	if id.head == nil {
		id.head = make([]byte, headMost)
	}
	im := readImage(f, id.head)
	b := process.Binary{BuildID: im.buildID, Tool: id.byID[im.buildID]}
	if s := im.shape(); b.Tool == "" && id.shapes[s] && id.maySum(s.bytes) {
		if sum, err := im.sumOfCode(f); err == nil {
			b.Tool = id.byCode[sum]
		}
	}
	if b.Tool == "" && b.BuildID == "" && id.sizes[size] {
		if sum, err := sumOf(f); err == nil {
			b.SHA256, b.Tool = sum, id.bySum[sum]
		}
	}
	return b
}

// Remote reports whether a file system, by its magic number of statfs(2), is a network or FUSE one: to read it may wait
// for a server or for a program of a user.
func Remote(magic int64) bool {
	switch magic {
	case unix.NFS_SUPER_MAGIC,
		unix.SMB_SUPER_MAGIC,
		unix.SMB2_SUPER_MAGIC,
		unix.CIFS_SUPER_MAGIC,
		unix.FUSE_SUPER_MAGIC,
		unix.AFS_SUPER_MAGIC,
		unix.CODA_SUPER_MAGIC,
		unix.V9FS_MAGIC,
		unix.CEPH_SUPER_MAGIC,
		unix.NCP_SUPER_MAGIC:
		return true
	}
	return false
}

// stated identifies what a path leads to.
func stated(path string) (file, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return file{}, false
	}
	return fileOf(&st), true
}

// followed follows a link of /proc once, and returns where it leads and what is there.
func followed(link string) (path string, st unix.Stat_t, ok bool) {
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", st, false
	}
	defer unix.Close(fd)
	if unix.Fstat(fd, &st) != nil {
		return "", st, false
	}
	path, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return path, st, err == nil
}

func fileOf(st *unix.Stat_t) file {
	return file{st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec}
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
