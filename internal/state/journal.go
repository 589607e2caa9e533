// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	journalHead = "reconbeat journal 1\n"
	slack       = 1 << 20 // bytes that nobody needs any more and that are not worth a rewrite
)

var (
	// errBroken says that the file itself is not a journal any more: trying again does not help.
	errBroken  = errors.New("damaged")
	errNotOpen = errors.New("the journal is not open")
)

// journal is a file to which records are appended, with what it holds, so that neither bounds nor acknowledgements
// need to read it. What is settled leaves it by a mark at first, and by a rewrite when that is worth it.
type journal struct {
	path    string
	durable bool          // flushed at every commit that brings entries
	out     *bufio.Writer // the writer's

	mu      sync.RWMutex // guards what follows. Only the writer changes it, and reads it without
	file    *os.File
	size    int64 // of the whole records; what may follow is left of a write that failed
	pending []slot
	bytes   int64  // of pending
	gone    uint64 // entries up to here are settled, or were dropped
	rest    int64  // what was in the file beside pending when it was opened or rewritten last
}

// slot is where an entry stands in the file.
type slot struct {
	seq      uint64
	at, size int64
}

// identity is the ID of an entry that was appended.
type identity struct {
	seq uint64
	id  string
}

// contents is what a journal held when it was opened.
type contents struct {
	ids                []identity
	last, acknowledged uint64
	damaged            int
	cut                int64 // bytes at the end that a crash had left half-written
}

// open opens the file, or makes it when there is none, and reads it. An error that wraps errBroken is about its
// contents.
func (j *journal) open() (c contents, err error) {
	fi, err := os.Lstat(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		// A crash while a damaged file was replaced leaves its successor under this name, complete.
		if os.Rename(j.next(), j.path) != nil {
			if err := writeFile(j.path, []byte(journalHead)); err != nil {
				return c, err
			}
		}
		fi, err = os.Lstat(j.path)
	}
	if err != nil {
		return c, fmt.Errorf("opening %s: %w", j.path, err)
	}
	if !fi.Mode().IsRegular() {
		return c, fmt.Errorf("%w: not a regular file", errBroken)
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return c, fmt.Errorf("opening %s: %w", j.path, err)
	}
	if err := f.Chmod(0o600); err != nil {
		f.Close()
		return c, fmt.Errorf("opening %s: %w", j.path, err)
	}
	if c, err = j.adopt(f, fi.Size()); err != nil {
		f.Close()
	}
	return c, err
}

func (j *journal) next() string { return j.path + ".next" }

// adopt reads a file and makes it the journal's.
func (j *journal) adopt(f *os.File, size int64) (c contents, err error) {
	head := make([]byte, len(journalHead))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return c, fmt.Errorf("%w: %w", errBroken, err)
	}
	if string(head) != journalHead {
		if strings.HasPrefix(string(head), journalHead[:len(journalHead)-2]) {
			return c, fmt.Errorf("%w: %w", errBroken, errNewer)
		}
		return c, fmt.Errorf("%w: no journal of reconbeat", errBroken)
	}
	var pending []slot
	var gone uint64
	damaged, end, err := scan(f, size, func(r record, at int64, whole []byte) bool {
		switch r.kind {
		case entryRecord:
			if len(pending) > 0 && r.entry.Seq <= pending[len(pending)-1].seq {
				return false
			}
			pending = append(pending, slot{r.entry.Seq, at, int64(len(whole))})
		case markRecord:
			gone, c.acknowledged = max(gone, r.entry.Seq), max(c.acknowledged, r.acknowledged)
		}
		if r.entry.ID != "" {
			c.ids = append(c.ids, identity{r.entry.Seq, r.entry.ID})
		}
		c.last = max(c.last, r.entry.Seq)
		return true
	})
	if err == nil && end < size {
		c.cut = size - end
		err = f.Truncate(end)
	}
	if err != nil {
		return c, fmt.Errorf("%w: reading it: %w", errBroken, err)
	}
	c.damaged = damaged
	pending = pending[len(pending)-countAfter(pending, gone):]
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.pending, j.bytes, j.gone = f, end, pending, 0, gone
	for _, sl := range pending {
		j.bytes += sl.size
	}
	j.rest = j.size - j.bytes
	return c, nil
}

// close lets go of the file and of what is known of it.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.file
	j.file, j.pending, j.bytes = nil, nil, 0
	if f == nil {
		return nil
	}
	return f.Close()
}

// verify checks that the file is the one that was opened, and no shorter than what was written.
func (j *journal) verify() error {
	if j.file == nil {
		return errNotOpen
	}
	mine, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	there, err := os.Lstat(j.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	if !os.SameFile(mine, there) || there.Size() < j.size {
		return fmt.Errorf("%w: it was replaced or cut short", errBroken)
	}
	if there.Size() > j.size { // what a write left that failed, on a disk that would not even take it back
		return j.file.Truncate(j.size)
	}
	return nil
}

// commit appends entries and settles those up to gone, all of it or nothing.
func (j *journal) commit(entries []Entry, gone, acknowledged uint64) error {
	if err := j.verify(); err != nil {
		return err
	}
	at, bytes, slots := j.size, j.bytes, j.pending
	if j.out == nil {
		j.out = bufio.NewWriterSize(nil, 64<<10)
	}
	out := j.out
	out.Reset(io.NewOffsetWriter(j.file, at))
	var b []byte
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Seq > gone:
			b = e.appendTo(b[:0])
			slots = append(slots, slot{e.Seq, at, e.size()})
			bytes += e.size()
		case e.ID != "":
			b = appendRecord(b[:0], idRecord, e.Seq, []byte(e.ID))
		default:
			continue
		}
		at += int64(len(b))
		_, _ = out.Write(b) // Flush says whether it failed
	}
	settled := len(slots) - countAfter(slots, gone)
	if settled > 0 || gone > j.gone && len(entries) > 0 {
		b = appendMark(b[:0], gone, acknowledged)
		at += int64(len(b))
		_, _ = out.Write(b)
	}
	err := out.Flush()
	if err == nil && j.durable && len(entries) > 0 {
		err = unix.Fdatasync(int(j.file.Fd()))
	}
	if err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, sl := range slots[:settled] {
		bytes -= sl.size
	}
	j.size, j.bytes, j.gone = at, bytes, max(j.gone, gone)
	j.pending = append(j.pending[:0], slots[settled:]...)
	return nil
}

// wasteful reports whether a rewrite would free more than it writes.
func (j *journal) wasteful() bool { return j.file != nil && j.size > 2*(j.bytes+j.rest)+slack }

// rewrite writes what is still needed into a file: pending entries, and the IDs behind forget of those that are gone.
// It returns how many records could not be read.
func (j *journal) rewrite(path string, forget, acknowledged uint64) (damaged int, err error) {
	err = replaceFile(path, func(w io.Writer) error {
		out := bufio.NewWriterSize(w, 64<<10)
		_, _ = out.WriteString(journalHead)
		_, _ = out.Write(appendMark(nil, j.gone, acknowledged))
		var b []byte
		var last uint64
		damaged, _, err = scan(j.file, j.size, func(r record, _ int64, whole []byte) bool {
			switch {
			case r.kind == entryRecord && r.entry.Seq <= last:
				return false
			case r.kind == entryRecord && r.entry.Seq > j.gone:
				last = r.entry.Seq
				_, _ = out.Write(whole)
			case r.entry.ID != "" && r.entry.Seq > forget:
				b = appendRecord(b[:0], idRecord, r.entry.Seq, []byte(r.entry.ID))
				_, _ = out.Write(b)
			}
			return true
		})
		return errors.Join(err, out.Flush())
	})
	return damaged, err
}

// countAfter counts the slots behind seq.
func countAfter(slots []slot, seq uint64) int {
	return len(slots) - sort.Search(len(slots), func(i int) bool { return slots[i].seq > seq })
}

// holds reports whether an entry is in the file and not settled.
func (j *journal) holds(seq uint64) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	n := countAfter(j.pending, seq-1)
	return n > 0 && j.pending[len(j.pending)-n].seq == seq
}

// load reads the entries of these sequence numbers that are in the file. damaged counts those that are, and cannot be
// read.
func (j *journal) load(seqs []uint64, each func(Entry)) (damaged int, err error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, seq := range seqs {
		n := countAfter(j.pending, seq-1)
		if n == 0 || j.pending[len(j.pending)-n].seq != seq {
			continue
		}
		sl := j.pending[len(j.pending)-n]
		b := make([]byte, sl.size)
		if _, err := j.file.ReadAt(b, sl.at); err != nil && err != io.EOF {
			return damaged, fmt.Errorf("reading %s: %w", j.path, err)
		}
		r, err := parse(b)
		if err != nil || r.entry.Seq != seq {
			damaged++
			continue
		}
		r.entry.Durable = j.durable
		each(r.entry)
	}
	return damaged, nil
}

// sync flushes the file.
func (j *journal) sync() error {
	if j.file == nil {
		return errNotOpen
	}
	return unix.Fdatasync(int(j.file.Fd()))
}
