// SPDX-License-Identifier: Apache-2.0

// Package follow reads the lines of a file that somebody else writes: on across rotation and truncation, from where it
// was left at a restart, or once from beginning to end in a replay.
//
// A place in a file is a process.Cursor: device, inode, a fingerprint of the first bytes (an inode is soon another
// file's) and the offset. After a restart the file is searched under its name and under its rotated names (PATH.1 and
// so on), so that what was written before and after a rotation in between is read.
//
// libbeat's filestream input would do this and much more, but as an input of Filebeat with its own registry; the tail
// libraries at hand resume by offset alone. So this is our own, and it polls: a stat twenty times a second costs
// nothing that can be measured, and works on every file system.
package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

const (
	// pollEvery is how often a file's size is read: the latency that following adds.
	pollEvery = 50 * time.Millisecond
	// maxLine bounds a line in bytes; a longer one is passed over and counted.
	maxLine = 1 << 20
	// headBytes is how many of a file's first bytes make its fingerprint.
	headBytes = 256
)

// Options say what is followed and how.
type Options struct {
	Path      string
	From      process.Cursor // where to go on; the zero Cursor: see FromStart
	FromStart bool           // without a cursor, begin at the start instead of the end
	Stats     *module.Stats  // never nil
	Logger    *logp.Logger   // never nil
	Tail      *Tail          // kept at how far reading is; may be nil
	// Idle is called each time that the end is reached, before waiting; may be nil.
	Idle func() error
}

// Tail says whether a follower is at the end of its file. It is safe for use by many goroutines.
type Tail struct{ since atomic.Int64 }

// AtEnd returns for how long the follower has been at the end; 0 when it is not.
func (t *Tail) AtEnd(now time.Time) time.Duration {
	since := t.since.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
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
	reader  *lines
	id      process.Cursor // device and inode of file
	head    []byte         // its first bytes
	size    int64          // when read last
	rotated []string       // older files still to read before Path, the oldest first
	started bool           // the first file was opened
	logged  time.Time      // when a missing file was last logged
}

// resume finds the file that the cursor is in, and those that came after it.
func (f *follower) resume() error {
	if f.From == (process.Cursor{}) {
		return nil
	}
	candidates := append(siblings(f.Path), f.Path)
	for i, path := range candidates {
		file, err := os.Open(path)
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
	f.Logger.Warnf(
		"%s: the file that was read last is gone, and what was not read of it; reading goes on at the start of the one "+
			"that is there",
		f.Path,
	)
	f.Stats.LostFile.Add(1)
	f.FromStart = true
	return nil
}

// Rotated returns the rotated files beside a path that are plain and were written since then, the oldest first.
func Rotated(path string, since time.Time) []string {
	return slices.DeleteFunc(siblings(path), func(p string) bool {
		info, err := os.Stat(p)
		return err != nil || info.ModTime().Before(since)
	})
}

// siblings returns the rotated files beside a path that are plain, the oldest first.
func siblings(path string) []string {
	all, err := filepath.Glob(escaped(path) + ".*")
	if err != nil {
		return nil
	}
	times := map[string]time.Time{}
	for _, p := range all {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && !compressed(p) {
			times[p] = info.ModTime()
		}
	}
	all = slices.DeleteFunc(all, func(p string) bool { _, ok := times[p]; return !ok })
	slices.SortFunc(all, func(a, b string) int { return times[a].Compare(times[b]) })
	return all
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
	head := make([]byte, min(headBytes, c.Offset))
	n, _ := file.ReadAt(head, 0)
	return fingerprint(head[:n]) == c.Fingerprint
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
	if f.reader == nil {
		f.reader = &lines{}
	}
	f.reader.reset(file, offset)
	return nil
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
		line, err := f.reader.next()
		if errors.Is(err, io.EOF) {
			return f.atEnd()
		}
		if errors.Is(err, errTooLong) {
			f.Stats.Records.Add(1)
			f.Stats.Malformed.Add(1)
			f.Logger.Warnf(
				"%s: a line of more than %d bytes ends at byte %d and is passed over",
				f.file.Name(),
				maxLine,
				f.reader.offset,
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

// place is the place after the line just read.
func (f *follower) place() process.Cursor {
	c := f.id
	c.Offset = f.reader.offset
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
	path, offset := f.Path, int64(0)
	if len(f.rotated) > 0 {
		path, f.rotated = f.rotated[0], f.rotated[1:]
	} else if !f.started && !f.FromStart {
		offset = -1
	}
	file, err := os.Open(path)
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
	if size < f.reader.offset {
		if f.size > f.reader.offset {
			f.Stats.LostFile.Add(uint64(f.size - f.reader.offset)) // more than 0
		}
		f.Logger.Infof("%s was truncated; reading goes on at its start", f.file.Name())
		file := f.file
		f.file = nil
		return true, f.use(file, 0)
	}
	grown := size > f.size
	f.size = size
	if grown && size > f.reader.end() {
		return true, nil
	}
	if f.file.Name() != f.Path {
		f.close() // an older file: nobody writes to it any more
		return true, nil
	}
	var st unix.Stat_t
	if unix.Stat(f.Path, &st) != nil ||
		uint64(st.Dev) == f.id.Device && st.Ino == f.id.Inode { //nolint:unconvert // the types differ by architecture
		return false, nil
	}
	// Another file stands under the path. The writer may have written to the old one a moment ago: it is read once more
	// to its end, and then left.
	if size > f.reader.end() {
		return true, nil
	}
	f.close()
	return true, nil
}

// Read calls line with each line of a recording, and its number from 1: a plain or gzip-compressed file, or standard
// input for "-". env.Progress is kept at the number of bytes of the file that were read. The last line counts even
// without a newline.
func Read(ctx context.Context, path string, env module.Env, line func(line []byte, number uint64) error) error {
	var in io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", path, err)
		}
		defer file.Close()
		in = file
	}
	progress := env.Progress
	if progress == nil {
		progress = &atomic.Int64{}
	}
	r := &lines{whole: true}
	in, err := unpacked(&counted{in, progress})
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	r.reset(in, 0)
	for number := uint64(1); ctx.Err() == nil; number++ {
		l, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLong):
			env.Stats.Records.Add(1)
			env.Stats.Malformed.Add(1)
			env.Logger.Warnf("%s: line %d has more than %d bytes and is passed over", path, number, maxLine)
			if env.Malformed != nil {
				env.Malformed(module.Malformed{
					File: path, Line: number, Kind: errTooLong.Error(), Text: r.long,
					Why: fmt.Sprintf("it has more than %d bytes", maxLine),
				})
			}
			continue
		case err != nil:
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if err := line(l, number); err != nil {
			return err
		}
	}
	return nil
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// unpacked reads the first bytes, and unpacks what is gzip-compressed.
func unpacked(in io.Reader) (io.Reader, error) {
	magic := make([]byte, 2)
	n, err := io.ReadFull(in, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	in = io.MultiReader(bytes.NewReader(magic[:n]), in)
	if n < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return in, nil
	}
	return gzip.NewReader(in)
}
