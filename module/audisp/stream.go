// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/reconbeat/reconbeat/module/auditd/record"
)

// message is a record as the dispatcher hands it on. It is valid until the stream is filled again.
type message struct {
	typ  uint16
	body []byte // from `audit(` on; nil where the line is not a record
	line []byte // the whole line, where the dispatcher made one
}

// stream takes apart what the plugin af_unix writes, in the one format or the other.
//
// With `format = string` each record is a line, as in the log. With `format = binary` it has a header before it
// (audit_dispatcher_header in libaudit.h): four numbers of 32 bits in the host's order, which are the protocol's
// version, the length of the header, the type of the record, and how many bytes of it follow. Of version 0 these are
// what the kernel wrote, of version 1 a line. auditd 3.0 writes the whole buffer of a record, whatever its size: what
// stands behind the record there is left over from others.
type stream struct {
	in     io.Reader
	buffer []byte
	from   int // what is not taken apart yet is buffer[from:]

	format  format
	padding padding
	size    int   // of the last record in the binary format, where it is unknown what follows it
	tooLong bool  // the rest of a line that was too long is passed over
	bad     int   // how many lines or headers could not be understood, since malformed
	broken  error // why nothing more can be understood
}

type format int

const (
	unknown format = iota
	text
	framed
)

// padding says whether the binary format has whole buffers.
type padding int

const (
	undecided padding = iota
	exact
	padded
)

const (
	// bufferSize is that of auditd's buffer for a record (MAX_AUDIT_MESSAGE_LENGTH of libaudit.h).
	bufferSize = 8970
	// maxRecord bounds a record in bytes.
	maxRecord  = 8 * bufferSize
	headerSize = 16
)

// fill reads once. The error is the reader's, or broken.
func (s *stream) fill() error {
	if s.broken != nil {
		return s.broken
	}
	if s.buffer == nil {
		s.buffer = make([]byte, 0, 2*maxRecord)
	}
	rest := copy(s.buffer[:cap(s.buffer)], s.buffer[s.from:])
	s.buffer, s.from = s.buffer[:rest], 0
	n, err := s.in.Read(s.buffer[rest:cap(s.buffer)])
	s.buffer = s.buffer[:rest+n]
	return err
}

// next returns the next whole message; more is false where the stream must be filled first.
func (s *stream) next() (m message, more bool) {
	for s.broken == nil {
		rest := s.buffer[s.from:]
		if s.format == unknown {
			if len(rest) < 4 {
				return message{}, false
			}
			s.format = text
			if binary.NativeEndian.Uint32(rest) <= 1 {
				s.format = framed
			}
		}
		if s.format == framed {
			m, more = s.frame(rest)
			return m, more
		}
		end := bytes.IndexByte(rest, '\n')
		switch {
		case end < 0 && len(rest) < maxRecord:
			return message{}, false
		case end < 0 || end > maxRecord:
			if !s.tooLong {
				s.bad++
			}
			s.tooLong = end < 0
			s.from += len(rest)
			if end >= 0 {
				s.from += end + 1 - len(rest)
			}
		case s.tooLong:
			s.tooLong = false
			s.from += end + 1
		default:
			s.from += end + 1
			if end > 0 {
				return lineOf(rest[:end]), true
			}
		}
	}
	return message{}, false
}

// frame is next in the binary format.
func (s *stream) frame(rest []byte) (m message, more bool) {
	if s.padding == undecided && s.size > 0 { // the first header but one shows it
		if len(rest) < headerSize {
			return message{}, false
		}
		if _, err := headerOf(rest); err == nil {
			s.padding = exact
		} else if s.size >= bufferSize || len(rest) < bufferSize-s.size {
			return message{}, s.fail(s.size >= bufferSize, err)
		} else {
			s.padding = padded
			s.from += bufferSize - s.size
			rest = s.buffer[s.from:]
		}
	}
	if len(rest) < headerSize {
		return message{}, false
	}
	h, err := headerOf(rest)
	if err != nil {
		return message{}, s.fail(true, err)
	}
	whole := h.size
	if s.padding == padded {
		whole = max(whole, bufferSize)
	}
	if len(rest) < headerSize+whole {
		return message{}, false
	}
	s.from += headerSize + whole
	s.size = h.size
	body := bytes.TrimRight(rest[headerSize:headerSize+h.size], "\x00\n")
	if h.version == 0 && bytes.HasPrefix(body, []byte("audit(")) {
		return message{typ: h.typ, body: body}, true
	}
	return lineOf(body), true
}

// fail ends the stream, if it is broken, and returns false.
func (s *stream) fail(broken bool, why error) bool {
	if broken {
		s.bad++
		s.broken = why
	}
	return false
}

// header is that of a record in the binary format.
type header struct {
	version uint32
	typ     uint16
	size    int // bytes
}

// headerOf reads the header that b begins with.
func headerOf(b []byte) (header, error) {
	version, length := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	typ, size := binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
	if version > 1 || length != headerSize || typ > 0xffff || size > maxRecord {
		return header{}, fmt.Errorf("the dispatcher's binary format cannot be understood: version %d, a header of %d "+
			"bytes, type %d, %d bytes", version, length, typ, size)
	}
	return header{version: version, typ: uint16(typ), size: int(size)}, nil
}

// lineOf is the message of a line.
func lineOf(line []byte) message {
	typ, body, _, err := record.ParseLine(line)
	if err != nil {
		body = nil
	}
	return message{typ: typ, body: body, line: line}
}

// malformed is how many lines or headers could not be understood since it was asked last. A whole line that is no
// record is counted by who reads it.
func (s *stream) malformed() uint64 {
	n := s.bad
	s.bad = 0
	return uint64(n)
}
