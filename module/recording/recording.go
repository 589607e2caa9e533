// SPDX-License-Identifier: Apache-2.0

// Package recording reads files once, from their beginnings to their ends: plain or compressed, in UTF-8 or UTF-16,
// also pipes, which can be read only once. What it cannot read it calls by its name, with the command that makes it
// readable.
//
// Several recordings are read as one: in the order of their times, not of their names (Merge).
package recording

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
)

// SampleBytes is how much of a recording's text can be seen before it is read.
const SampleBytes = 64 << 10

// Recording is one file. It belongs to one goroutine.
type Recording struct {
	Path string // "-" is standard input
	Size int64  // in bytes of the file; 0 of what is not a plain file

	sample []byte
	read   *atomic.Int64 // bytes of the file
	file   *os.File      // nil: closed, to be opened again
	text   *bufio.Reader
	unpack string // the command that unpacks the file; empty: it is not packed
	decode string // the command that makes UTF-8 of what is unpacked; empty: it is UTF-8
	close  func() // of what unpacks
	lines  Lines
	number uint64 // of the line that was read last
}

// Open opens a file, or standard input for "-", and reads its first bytes. read is kept at the number of bytes of the
// file that were read; nil: nobody asks.
func Open(path string, read *atomic.Int64) (*Recording, error) {
	if read == nil {
		read = &atomic.Int64{}
	}
	r := &Recording{Path: path, read: read}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	sample, err := r.text.Peek(SampleBytes)
	if err != nil && len(sample) == 0 && !errors.Is(err, io.EOF) {
		r.Close()
		return nil, fmt.Errorf("cannot read %s: %w", path, torn(path, err, r.unpack))
	}
	r.sample = bytes.Clone(sample)
	if r.Size > 0 { // it can be opened again: of a thousand files one is open
		r.read.Add(-r.position())
		r.Close()
	}
	return r, nil
}

// OpenAll opens files. The error names each that cannot be read.
func OpenAll(paths []string, read *atomic.Int64) (list []*Recording, err error) {
	var errs []error
	for _, path := range paths {
		r, err := Open(path, read)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, r)
	}
	if len(errs) > 0 {
		CloseAll(list)
		return nil, errors.Join(errs...)
	}
	return list, nil
}

// CloseAll closes recordings.
func CloseAll(list []*Recording) {
	for _, r := range list {
		r.Close()
	}
}

// Sample is how the text begins, at most SampleBytes of it.
func (r *Recording) Sample() []byte { return r.sample }

// Shell is how a command in a shell (bash) names the text of the recording: unpacked, and in UTF-8.
func (r *Recording) Shell() string {
	name := shellName(r.Path)
	switch {
	case r.unpack != "" && r.decode != "":
		return fmt.Sprintf("<(%s %s | %s)", r.unpack, name, r.decode)
	case r.unpack != "" || r.decode != "":
		return fmt.Sprintf("<(%s%s %s)", r.unpack, r.decode, name)
	}
	return name
}

// plain is a path that a shell takes as it is.
var plain = regexp.MustCompile(`^[\w./,:@%+=-]+$`)

// shellName is how a command in a shell names a file; FILE stands for one that only this process has.
func shellName(path string) string {
	switch {
	case path == "-", path == "/dev/stdin", strings.HasPrefix(path, "/dev/fd/"), strings.HasPrefix(path, "/proc/self/fd/"):
		return "FILE"
	case strings.HasPrefix(path, "-"):
		return shellName("./" + path)
	case plain.MatchString(path):
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// Stranger says what a text is that no module reads, and what gives one that is read; nil: nobody knows.
func (r *Recording) Stranger() error { return stranger(r.Path, r.Shell(), r.sample) }

// Whole says whether the sample is all of the text.
func (r *Recording) Whole() bool { return len(r.sample) < SampleBytes }

// Number is the number of the line that was read last, from 1.
func (r *Recording) Number() uint64 { return r.number }

// Line returns the next line without its newline, valid until the next call; io.EOF at the end, where the last line
// counts even without a newline, and ErrTooLong for a line that was passed over.
func (r *Recording) Line() ([]byte, error) {
	if err := r.reopen(); err != nil {
		return nil, err
	}
	r.number++
	line, err := r.lines.Next()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrTooLong) {
		return nil, fmt.Errorf("reading %s: %w", r.Path, torn(r.Path, err, r.unpack))
	}
	return line, err
}

// Long is how the line begins that Line passed over.
func (r *Recording) Long() []byte { return r.lines.Long }

// Read reads the text, for who does not want lines.
func (r *Recording) Read(b []byte) (int, error) {
	if err := r.reopen(); err != nil {
		return 0, err
	}
	n, err := r.text.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading %s: %w", r.Path, torn(r.Path, err, r.unpack))
	}
	return n, err
}

// Close ends reading.
func (r *Recording) Close() {
	if r.close != nil {
		r.close()
		r.close = nil
	}
	if r.file != nil && r.file != os.Stdin {
		r.file.Close()
	}
	r.file, r.text = nil, nil
}

func (r *Recording) reopen() error {
	if r.file != nil {
		return nil
	}
	if err := r.open(); err != nil {
		return fmt.Errorf("cannot read %s: %w", r.Path, err)
	}
	return nil
}

func (r *Recording) open() error {
	r.file = os.Stdin
	if r.Path != "-" {
		file, err := os.Open(r.Path)
		if err != nil {
			return err
		}
		r.file = file
	}
	if info, err := r.file.Stat(); err == nil && info.Mode().IsRegular() && r.Path != "-" {
		if at, err := r.file.Seek(0, io.SeekCurrent); err == nil && at == 0 {
			r.Size = info.Size()
		}
	}
	text, command, decode, closing, err := unpacked(bufio.NewReaderSize(&counted{r.file, r.read}, SampleBytes), r.Path)
	r.close, r.unpack, r.decode = closing, command, decode
	if err != nil {
		r.Close()
		return torn(r.Path, err, command)
	}
	r.text = text
	r.lines.Whole = true
	r.lines.Reset(text, 0)
	return nil
}

// position is how much of the file was read.
func (r *Recording) position() int64 {
	at, _ := r.file.Seek(0, io.SeekCurrent)
	return at
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
