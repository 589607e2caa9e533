// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
)

// Entry is a document on its way to the output.
type Entry struct {
	Seq      uint64    // its place in the order of all entries, from 1; given by Append
	ID       string    // the document's _id; empty: never recognised as a repeat. At most 64 KiB
	Durable  bool      // an alert or a summary: on disk, flushed, before it is passed on. False: a raw event
	Time     time.Time // of the event, kept to the nanosecond, in UTC
	Document []byte    // JSON, at most 64 MiB
}

// A record of a journal is a marker, the length of its body (4 bytes), the CRC-32C of length and body (4 bytes), and
// the body: a letter that says what it is, a sequence number (8 bytes), and what goes with that letter.
const (
	entryRecord = 'e' // time (8 bytes, nanoseconds since 1970), length of the ID (2 bytes), ID, document
	idRecord    = 'i' // ID of an entry that is gone but could still be repeated
	markRecord  = 'm' // entries up to the number are gone; up to which of them they were acknowledged (8 bytes)

	recordHead = 12
	bodyHead   = 9
	entryHead  = bodyHead + 8 + 2
	maxRecord  = 65 << 20
	maxSeq     = 1 << 62 // more than any Beat ever gives: beyond is damage
)

// marker begins a record. No JSON and no UTF-8 holds its first byte, so nobody can hide a record in a document.
var marker = []byte("\xff\x00RB")

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errChecksum = errors.New("checksum does not fit")
	errDamaged  = errors.New("damaged record")
)

// size is what an entry takes of its journal, and what it counts against the bounds on bytes.
func (e *Entry) size() int64 { return int64(recordHead + entryHead + len(e.ID) + len(e.Document)) }

// check says whether an entry fits a record.
func (e *Entry) check() error {
	if len(e.ID) > 1<<16-1 || e.size() > maxRecord {
		return fmt.Errorf("an entry with an ID of %d and a document of %d bytes is too long", len(e.ID), len(e.Document))
	}
	return nil
}

// appendRecord appends a record whose body is in parts.
func appendRecord(b []byte, kind byte, seq uint64, parts ...[]byte) []byte {
	start := len(b)
	b = append(append(b, marker...), make([]byte, 8)...)
	b = binary.BigEndian.AppendUint64(append(b, kind), seq)
	for _, p := range parts {
		b = append(b, p...)
	}
	head := b[start:]
	binary.BigEndian.PutUint32(head[4:], uint32(len(head)-recordHead))
	binary.BigEndian.PutUint32(head[8:], checksum(head))
	return b
}

func (e *Entry) appendTo(b []byte) []byte {
	var head [10]byte
	binary.BigEndian.PutUint64(head[:], uint64(e.Time.UnixNano()))
	binary.BigEndian.PutUint16(head[8:], uint16(len(e.ID)))
	return appendRecord(b, entryRecord, e.Seq, head[:], []byte(e.ID), e.Document)
}

func appendMark(b []byte, gone, acknowledged uint64) []byte {
	return appendRecord(b, markRecord, gone, binary.BigEndian.AppendUint64(nil, acknowledged))
}

func checksum(whole []byte) uint32 {
	return crc32.Update(crc32.Checksum(whole[4:8], castagnoli), castagnoli, whole[recordHead:])
}

// record is one that was read.
type record struct {
	kind         byte
	acknowledged uint64 // of a mark
	entry        Entry  // Document shares memory with what was read
}

// parse reads a whole record, and nothing behind it.
func parse(b []byte) (r record, err error) {
	if len(b) < recordHead+bodyHead || !bytes.HasPrefix(b, marker) ||
		int64(binary.BigEndian.Uint32(b[4:])) != int64(len(b)-recordHead) || binary.BigEndian.Uint32(b[8:]) != checksum(b) {
		return r, errDamaged
	}
	body := b[recordHead:]
	r.kind, r.entry.Seq = body[0], binary.BigEndian.Uint64(body[1:])
	if r.entry.Seq > maxSeq || r.entry.Seq == 0 && r.kind != markRecord {
		return r, errDamaged
	}
	rest := body[bodyHead:]
	switch {
	case r.kind == entryRecord && len(rest) >= 10:
		r.entry.Time = time.Unix(0, int64(binary.BigEndian.Uint64(rest))).UTC()
		n := int(binary.BigEndian.Uint16(rest[8:]))
		if rest = rest[10:]; n > len(rest) {
			return r, errDamaged
		}
		r.entry.ID, r.entry.Document = string(rest[:n]), rest[n:]
	case r.kind == idRecord:
		r.entry.ID = string(rest)
	case r.kind == markRecord && len(rest) == 8:
		r.acknowledged = binary.BigEndian.Uint64(rest)
	default:
		return r, errDamaged
	}
	return r, nil
}

// scan reads the records of a journal of this size, and calls each, which says whether a record is in its place. What
// is damaged is passed over and counted; end is behind the last whole record. A record that the file ends within is one
// whose writing a crash cut off, and no damage.
func scan(
	f io.ReaderAt,
	size int64,
	each func(r record, at int64, whole []byte) bool,
) (damaged int, end int64, err error) {
	at, suspects, torn := int64(len(journalHead)), 0, false
	end = at
	in := bufio.NewReaderSize(io.NewSectionReader(f, at, size-at), 64<<10)
	var whole []byte
	for at < size {
		whole, err = readRecord(in, whole, size-at)
		var r record
		if err == nil {
			r, err = parse(whole)
		}
		if err == nil && !each(r, at, whole) {
			err = errDamaged
		}
		if err == nil {
			at += int64(len(whole))
			end, damaged, suspects = at, damaged+suspects, 0
			continue
		}
		if !errors.Is(err, errDamaged) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return damaged, end, err
		}
		if suspects++; suspects == 1 {
			torn = errors.Is(err, io.ErrUnexpectedEOF)
		}
		in.Reset(io.NewSectionReader(f, at+1, size-at-1))
		n, err := findMarker(in)
		if err != nil {
			return damaged, end, err
		}
		at += 1 + n
	}
	if suspects > 1 || !torn {
		damaged += suspects
	}
	return damaged, end, nil
}

// readRecord reads what claims to be a record, into b's memory. left is how much there is.
func readRecord(in *bufio.Reader, b []byte, left int64) ([]byte, error) {
	head, err := in.Peek(recordHead)
	if n := min(len(head), len(marker)); !bytes.Equal(head[:n], marker[:n]) {
		return b, errDamaged
	}
	if err == io.EOF {
		return b, io.ErrUnexpectedEOF
	}
	if err != nil {
		return b, err
	}
	n := recordHead + int64(binary.BigEndian.Uint32(head[4:]))
	if n > maxRecord {
		return b, errDamaged
	}
	if n > left {
		return b, io.ErrUnexpectedEOF
	}
	b = slices.Grow(b[:0], int(n))[:n]
	_, err = io.ReadFull(in, b)
	return b, err
}

// findMarker goes to the next marker, or to the end, and returns how far that is.
func findMarker(in *bufio.Reader) (n int64, err error) {
	for {
		b, err := in.Peek(in.Size())
		if i := bytes.Index(b, marker); i >= 0 {
			_, err := in.Discard(i)
			return n + int64(i), err
		}
		if err == io.EOF {
			return n + int64(len(b)), nil
		}
		if err != nil {
			return n, err
		}
		d, err := in.Discard(len(b) - len(marker) + 1)
		if n += int64(d); err != nil {
			return n, err
		}
	}
}
