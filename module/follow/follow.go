// SPDX-License-Identifier: Apache-2.0

// Package follow reads the lines of a file that somebody else writes: on across rotation and truncation, from where it
// was left at a restart.
//
// A place in a file is a process.Cursor: device, inode, a fingerprint of the first bytes (an inode is soon another
// file's) and the offset. After a restart the file is searched under its name and under its rotated names (PATH.1,
// PATH-20260303 and so on), so that what was written before and after a rotation in between is read. A file that was
// truncated, or written anew in its place, is read from its start; what was not read of it before is searched in the
// copy that logrotate's copytruncate makes.
//
// A path may be a pattern, for writers that name each file by its date: then the file that was changed last is
// followed, and those are read to their ends that came before it.
//
// libbeat's filestream input would do this and much more, but as an input of Filebeat with its own registry; the tail
// libraries at hand resume by offset alone. So this is our own, and it polls: a stat twenty times a second costs
// nothing that can be measured, and works on every file system.
package follow

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

const (
	// pollEvery is how often a file's size is read: the latency that following adds.
	pollEvery = 50 * time.Millisecond
	// headBytes is how many of a file's first bytes make its fingerprint.
	headBytes = 256
)

// Options say what is followed and how.
type Options struct {
	Path      string         // of the file, or a pattern of files that follow one another
	From      process.Cursor // where to go on; the zero Cursor: see FromStart
	FromStart bool           // without a cursor, begin at the start instead of the end
	Stats     *module.Stats  // never nil
	Logger    *logp.Logger   // never nil
	Tail      *Tail          // kept at how far reading is; may be nil
	// Idle is called each time that the end is reached, before waiting; may be nil.
	Idle func() error
}

// Tail says whether a follower is at the end of its file, and how far the times have come that stand in it. It is safe
// for use by many goroutines.
type Tail struct {
	since  atomic.Int64 // when the end was reached; 0: it is not
	newest atomic.Int64 // the newest time that was read; 0: none yet
	exec   atomic.Int64 // the same of program starts alone
}

// AtEnd returns for how long the follower has been at the end; 0 when it is not.
func (t *Tail) AtEnd(now time.Time) time.Duration {
	since := t.since.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}

const (
	// calm is how long a file must have been at its end for the clock to say how far it has come.
	calm = time.Minute
	// lag is how far behind now that is.
	lag = 2 * time.Second
	// setBack is how far behind the newest time one must be to mean that the clock was wrong before.
	setBack = time.Hour
)

// Read notes the time of what was read; exec: it is a program start. One that is still to come is that of a wrong
// clock.
func (t *Tail) Read(at time.Time, exec bool) {
	raise(&t.newest, at)
	if exec {
		raise(&t.exec, at)
	}
}

func raise(newest *atomic.Int64, at time.Time) {
	n, was := at.UnixNano(), newest.Load()
	if n > was && !at.After(time.Now()) || was-n > int64(setBack) {
		newest.Store(n)
	}
}

// Watermark is the time before which nothing more comes: the newest that was read, and shortly before now once the file
// has been at its end for a minute. Before the end it is that of a program start, at which a replay lets time go on;
// zero: nothing is known yet.
func (t *Tail) Watermark(now time.Time) time.Time {
	newest := &t.exec
	switch atEnd := t.AtEnd(now); {
	case atEnd >= calm:
		return now.Add(-lag)
	case atEnd > 0:
		newest = &t.newest
	}
	if n := newest.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

func (t *Tail) reached(end bool) {
	switch {
	case t == nil:
	case !end:
		t.since.Store(0)
	case t.since.Load() == 0:
		t.since.Store(time.Now().UnixNano())
	}
}

// Follow calls line with each complete line, without its newline, and the place after it, until ctx ends or line
// returns an error. A file that is not there (yet, or any more) is waited for. The line is valid during the call only.
func Follow(ctx context.Context, o Options, line func(line []byte, next process.Cursor) error) error {
	f := &follower{Options: o, line: line}
	defer f.close()
	if err := f.resume(); err != nil {
		return err
	}
	wait := time.NewTimer(0)
	<-wait.C
	defer wait.Stop()
	for ctx.Err() == nil {
		more, err := f.read(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		f.Tail.reached(true)
		if f.Idle != nil {
			if err := f.Idle(); err != nil {
				return err
			}
		}
		wait.Reset(pollEvery)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
	}
	return nil
}

type follower struct {
	Options
	line func([]byte, process.Cursor) error

	file    *os.File
	reader  *recording.Lines
	id      process.Cursor // device and inode of file
	head    []byte         // its first bytes
	tail    []byte         // the bytes before the place where the end was
	rested  bool           // the end was reached; head and tail are those of then
	written time.Time      // when the file had been written to last
	size    int64          // when read last
	rotated []string       // older files still to read before Path, the oldest first
	started bool           // the first file was opened
	newest  string         // of a pattern's files
	listed  time.Time      // when that was found
	logged  time.Time      // when a missing file was last logged
}

// resume finds the file that the cursor is in, and those that came after it.
func (f *follower) resume() error {
	if f.From == (process.Cursor{}) {
		return nil
	}
	candidates := f.files()
	for _, holds := range []func(*os.File, process.Cursor) bool{holds, isCopy} {
		for i, path := range candidates {
			file, err := opened(path)
			if err != nil {
				continue
			}
			if !holds(file, f.From) {
				file.Close()
				continue
			}
			f.rotated = candidates[i+1 : max(i+1, len(candidates)-1)]
			return f.use(file, f.From.Offset)
		}
	}
	f.Logger.Warnf(
		"%s: the file that was read last is gone, and what was not read of it; reading goes on at the start of the one "+
			"that is there",
		f.Path,
	)
	f.Stats.LostFile.Add(1)
	f.FromStart = true
	return nil
}

// files are those that may be read, the oldest first, and last the one that is written to.
func (f *follower) files() []string {
	if f.pattern() {
		all := plain(f.Path)
		if len(all) == 0 {
			return []string{f.Path}
		}
		return all
	}
	return append(plain(escaped(f.Path)+".*", escaped(f.Path)+"-*"), f.Path)
}

// pattern says whether the path is one.
func (f *follower) pattern() bool {
	if !strings.ContainsAny(f.Path, `*?[`) {
		return false
	}
	_, err := os.Stat(f.Path)
	return err != nil // a file may be called so
}

// present is the file that is written to.
func (f *follower) present() string {
	if !f.pattern() {
		return f.Path
	}
	if now := time.Now(); f.newest == "" || now.Sub(f.listed) > listEvery {
		files := f.files()
		f.newest, f.listed = files[len(files)-1], now
	}
	return f.newest
}

// listEvery is how often a pattern's folder is read.
const listEvery = time.Second

// Rotated returns the rotated files beside a path that are plain and were written since then, the oldest first.
func Rotated(path string, since time.Time) []string {
	return slices.DeleteFunc(plain(escaped(path)+".*", escaped(path)+"-*"), func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || info.ModTime().Before(since)
	})
}

// plain are the files of patterns that are neither folders nor compressed, in the order in which they were changed
// last. Where a file system's clock does not separate two, their names do.
func plain(patterns ...string) (all []string) {
	for _, p := range patterns {
		some, err := filepath.Glob(p)
		if err == nil {
			all = append(all, some...)
		}
	}
	times := map[string]time.Time{}
	for _, p := range all {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && !compressed(p) {
			times[p] = info.ModTime()
		}
	}
	all = slices.DeleteFunc(all, func(p string) bool { _, ok := times[p]; return !ok })
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(times[a].Compare(times[b]), cmp.Compare(generation(b), generation(a)), cmp.Compare(len(a), len(b)),
			strings.Compare(a, b))
	})
	return all
}

// generation is how often a file was rotated whose name logrotate numbers: PATH.2 is older than PATH.1. A longer number
// is a date.
func generation(path string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(path), "."))
	if err != nil || n > 999 {
		return 0
	}
	return n
}

func escaped(path string) string {
	var b []byte
	for i := range len(path) {
		if bytes.IndexByte([]byte(`*?[\`), path[i]) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

func compressed(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".xz", ".bz2", ".zst":
		return true
	}
	return false
}

// holds reports whether a cursor is a place in this file.
func holds(file *os.File, c process.Cursor) bool {
	dev, ino, size, err := identity(file)
	if err != nil || dev != c.Device || ino != c.Inode || size < c.Offset {
		return false
	}
	return begins(file, c)
}

func begins(file *os.File, c process.Cursor) bool {
	head := make([]byte, min(headBytes, c.Offset))
	n, _ := file.ReadAt(head, 0)
	return fingerprint(head[:n]) == c.Fingerprint
}

// isCopy reports whether a file is a copy of the one that a cursor is a place in.
func isCopy(file *os.File, c process.Cursor) bool {
	_, ino, size, err := identity(file)
	return err == nil && ino != c.Inode && size >= c.Offset && c.Offset >= headBytes && begins(file, c)
}

func fingerprint(head []byte) uint64 {
	h := fnv.New64a()
	h.Write(head)
	return h.Sum64()
}

func identity(file *os.File) (dev, ino uint64, size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return 0, 0, 0, fmt.Errorf("reading what %s is: %w", file.Name(), err)
	}
	return uint64(st.Dev), st.Ino, st.Size, nil //nolint:unconvert // the types differ by architecture
}

// use begins to read a file at an offset; -1 is its end.
func (f *follower) use(file *os.File, offset int64) error {
	f.close()
	if err := followable(file); err != nil {
		file.Close()
		return fmt.Errorf("following %s: %w", file.Name(), err)
	}
	dev, ino, size, err := identity(file)
	if err != nil {
		file.Close()
		return err
	}
	if offset < 0 {
		offset = size
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return fmt.Errorf("going to the place in %s: %w", file.Name(), err)
	}
	f.file, f.id, f.head, f.size, f.started = file, process.Cursor{Device: dev, Inode: ino}, f.head[:0], size, true
	f.tail, f.rested, f.written = f.tail[:0], false, time.Time{}
	if f.reader == nil {
		f.reader = &recording.Lines{}
	}
	f.reader.Reset(f, offset)
	return nil
}

// opened opens a file, without waiting for the writer of a named pipe, which use refuses.
func opened(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) }

// errNoFile says that a path names something that does not grow.
var errNoFile = errors.New("it is not a file: name one, or a pattern of files; a pipe is what reconbeat replay reads")

// followable is an error where nothing can be read as it is written.
func followable(file *os.File) error {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(errNoFile, err)
	}
	head := make([]byte, recording.HeadBytes)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading how it begins: %w", err)
	}
	return recording.Growing(head[:n])
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// read reads on until the end of what is there; more says that it is worth to read again at once.
func (f *follower) read(ctx context.Context) (more bool, err error) {
	if f.file == nil {
		return f.open()
	}
	for ctx.Err() == nil {
		line, err := f.reader.Next()
		if errors.Is(err, io.EOF) {
			return f.atEnd()
		}
		if errors.Is(err, errAnew) {
			return true, f.anew(errAnew.Error())
		}
		if errors.Is(err, recording.ErrTooLong) {
			f.Stats.Records.Add(1)
			f.Stats.Malformed.Add(1)
			f.Logger.Warnf(
				"%s: a line of more than %d bytes ends at byte %d and is passed over",
				f.file.Name(),
				recording.MaxLine,
				f.reader.Offset,
			)
			continue
		}
		if err != nil {
			return false, fmt.Errorf("reading %s: %w", f.file.Name(), err)
		}
		f.Tail.reached(false)
		if err := f.line(line, f.place()); err != nil {
			return false, err
		}
	}
	return false, nil
}

var errAnew = errors.New("was written anew in its place")

// Read reads the file for the reader of lines. What it reads first after the end was reached may be of new contents:
// asked afterwards, the file knows.
func (f *follower) Read(b []byte) (int, error) {
	n, err := f.file.Read(b)
	if f.rested {
		if size, changed := f.changed(); changed && size >= f.reader.Offset && !f.same() {
			return 0, errAnew
		}
		f.rested = n == 0
	}
	return n, err
}

// place is the place after the line just read.
func (f *follower) place() process.Cursor {
	c := f.id
	c.Offset = f.reader.Offset
	if want := min(headBytes, c.Offset); int64(len(f.head)) < want {
		f.head = slices.Grow(f.head[:0], headBytes)[:want]
		n, _ := f.file.ReadAt(f.head, 0)
		f.head = f.head[:n]
		f.id.Fingerprint = fingerprint(f.head)
	}
	c.Fingerprint = f.id.Fingerprint
	return c
}

// open opens the next file: an older one that is still to read, or the one under the path.
func (f *follower) open() (more bool, err error) {
	path, offset := f.present(), int64(0)
	if len(f.rotated) > 0 {
		path, f.rotated = f.rotated[0], f.rotated[1:]
	} else if !f.started && !f.FromStart {
		offset = -1
	}
	file, err := opened(path)
	if err != nil {
		if now := time.Now(); now.Sub(f.logged) > 10*time.Minute {
			f.logged = now
			f.Logger.Warnf("%s cannot be read and is waited for: %v", path, err)
		}
		f.started = true // what is written there later is new
		return len(f.rotated) > 0, nil
	}
	return true, f.use(file, offset)
}

// atEnd finds what became of the file whose end was reached: grown, cut, or rotated away.
func (f *follower) atEnd() (more bool, err error) {
	_, _, size, err := identity(f.file)
	if err != nil {
		return false, err
	}
	if size < f.reader.Offset {
		return true, f.anew("was truncated")
	}
	grown := size > f.size
	f.size = size
	if grown && size > f.reader.End() {
		return true, nil
	}
	f.remember()
	path := f.present()
	if f.file.Name() != path && !f.pattern() {
		err := f.rest() // an older file: nobody writes to it any more
		f.close()
		return true, err
	}
	if f.file.Name() == path {
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil ||
			uint64(st.Dev) == f.id.Device && st.Ino == f.id.Inode { //nolint:unconvert // the types differ by architecture
			return false, nil
		}
	}
	// Another file is the present one by now. The writer may have written to the old one since its end was reached, and
	// before it began the other: the old one is read once more to its end, and then left.
	if _, _, size, err = identity(f.file); err != nil || size > f.reader.End() {
		return true, err
	}
	return true, f.after()
}

// after leaves a file that was rotated away for those that were rotated away after it, and then the present one.
func (f *follower) after() error {
	files := f.files()
	at := slices.IndexFunc(files, func(name string) bool {
		var st unix.Stat_t
		return unix.Stat(name, &st) == nil && st.Ino == f.id.Inode &&
			uint64(st.Dev) == f.id.Device //nolint:unconvert // the types differ by architecture
	})
	f.rotated = nil
	if at >= 0 && at < len(files)-1 {
		f.rotated = files[at+1 : len(files)-1]
	}
	err := f.rest()
	f.close()
	return err
}

// rest hands on the last line of a file to which nobody writes any more, which may lack its newline.
func (f *follower) rest() error {
	if rest := f.reader.Rest(); len(rest) > 0 {
		return f.line(rest, f.place())
	}
	return nil
}

// tailBytes is how much before the place is compared with what stood there.
const tailBytes = 64

// remember keeps what stands before the place.
func (f *follower) remember() {
	f.rested = true
	if _, changed := f.changed(); !changed {
		return
	}
	f.place()
	end := f.reader.End()
	f.tail = slices.Grow(f.tail[:0], tailBytes)[:min(tailBytes, end)]
	n, _ := f.file.ReadAt(f.tail, end-int64(len(f.tail)))
	f.tail = f.tail[:n]
	if info, err := f.file.Stat(); err == nil {
		f.written = info.ModTime()
	}
}

// changed says whether the file was written to since its end was reached, and how long it is.
func (f *follower) changed() (int64, bool) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, false
	}
	return info.Size(), !info.ModTime().Equal(f.written) || info.Size() != f.reader.End()
}

// same says whether what was read stands in the file as it did.
func (f *follower) same() bool {
	head, tail := make([]byte, len(f.head)), make([]byte, len(f.tail))
	n, _ := f.file.ReadAt(head, 0)
	m, _ := f.file.ReadAt(tail, f.reader.End()-int64(len(tail)))
	return bytes.Equal(head[:n], f.head) && bytes.Equal(tail[:m], f.tail)
}

// anew reads the file from its start, whose contents are others now; and before it what was not read of the former
// ones, where somebody made a copy of them.
func (f *follower) anew(what string) error {
	place := f.place()
	for _, path := range f.files() {
		file, err := opened(path)
		if err != nil {
			continue
		}
		if isCopy(file, place) {
			f.Logger.Infof("%s %s; its former contents are read on in %s", f.file.Name(), what, path)
			return f.use(file, place.Offset)
		}
		file.Close()
	}
	if lost := max(f.size, f.reader.End()) - f.reader.Offset; lost > 0 {
		f.Stats.LostFile.Add(uint64(lost))
		f.Logger.Warnf("%s %s before all of it was read; at least %d bytes are lost, and reading goes on at its start",
			f.file.Name(), what, lost)
	} else {
		f.Logger.Warnf("%s %s; reading goes on at its start", f.file.Name(), what)
	}
	file := f.file
	f.file = nil
	return f.use(file, 0)
}
