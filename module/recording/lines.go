// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"errors"
	"io"
)

// ErrTooLong says that a line was longer than MaxLine; it has been passed over.
var ErrTooLong = errors.New("the line is too long")

// MaxLine bounds a line in bytes; a longer one is passed over.
const MaxLine = 1 << 20

// longBytes is how much is kept of a line that is too long.
const longBytes = 1 << 10

// Lines cuts a stream into lines within one buffer. Unlike bufio.Scanner it goes on after the end, when a file has
// grown, and after a line that is too long.
type Lines struct {
	in         io.Reader
	buf        []byte
	start, fin int    // the part of buf that was read and not given
	seen       int    // up to here there is no newline
	zeros      int    // bytes that stood before the part: of a hole, or of what a crash left
	Offset     int64  // in the stream, after the line that was given last
	skipping   bool   // within a line that is too long
	Whole      bool   // the end of the stream ends a line
	Long       []byte // how the line begins that was too long
}

// Reset begins to read a stream that is at an offset.
func (l *Lines) Reset(in io.Reader, offset int64) {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	l.in, l.Offset, l.start, l.fin, l.seen, l.zeros, l.skipping = in, offset, 0, 0, 0, 0, false
}

// End is the offset of what was read from the stream, given or not.
func (l *Lines) End() int64 { return l.Offset + int64(l.zeros+l.fin-l.start) }

// Next returns the next line without its newline and the zero bytes before it, valid until the next call; io.EOF when
// there is no complete one yet.
func (l *Lines) Next() ([]byte, error) {
	for {
		l.passZeros()
		if i := bytes.IndexByte(l.buf[l.seen:l.fin], '\n'); i >= 0 {
			end := l.seen + i
			line := l.buf[l.start:end]
			l.pass(end + 1)
			switch {
			case l.skipping:
				l.skipping = false
				return nil, ErrTooLong
			case len(line) > MaxLine:
				l.Long = append(l.Long[:0], line[:longBytes]...)
				return nil, ErrTooLong
			}
			return line, nil
		}
		l.seen = l.fin
		if l.fin-l.start > MaxLine {
			if !l.skipping {
				l.Long = append(l.Long[:0], l.buf[l.start:l.start+longBytes]...)
			}
			l.pass(l.fin)
			l.start, l.seen, l.fin, l.skipping = 0, 0, 0, true
		}
		l.room()
		n, err := l.in.Read(l.buf[l.fin:])
		l.fin += n
		if n > 0 {
			continue
		}
		if !errors.Is(err, io.EOF) {
			if err == nil {
				err = io.ErrNoProgress
			}
			return nil, err
		}
		if !l.Whole {
			return nil, io.EOF
		}
		rest, long := l.buf[l.start:l.fin], l.skipping
		l.pass(l.fin)
		l.skipping = false
		switch {
		case long:
			return nil, ErrTooLong
		case len(rest) > 0:
			return rest, nil
		}
		return nil, io.EOF
	}
}

// Rest returns what stands behind the last complete line, and passes it over.
func (l *Lines) Rest() []byte {
	rest := l.buf[l.start:l.fin]
	l.pass(l.fin)
	if l.skipping {
		return nil
	}
	return rest
}

// pass leaves behind what was read up to an index of buf.
func (l *Lines) pass(end int) {
	l.Offset += int64(l.zeros + end - l.start)
	l.zeros, l.start, l.seen = 0, end, end
}

// passZeros leaves out the zero bytes before a line: a file that was cut off while somebody wrote begins with a hole,
// and a crash leaves some.
func (l *Lines) passZeros() {
	from := l.start
	for l.start < l.fin && l.buf[l.start] == 0 && !l.skipping {
		l.start++
	}
	l.zeros += l.start - from
	l.seen = max(l.seen, l.start)
}

// room makes place for more: by moving what is left to the front, or by growing.
func (l *Lines) room() {
	if l.fin < len(l.buf) {
		return
	}
	if l.start > 0 {
		n := copy(l.buf, l.buf[l.start:l.fin])
		l.seen -= l.start
		l.start, l.fin = 0, n
		return
	}
	l.buf = append(l.buf, make([]byte, len(l.buf))...)
}
