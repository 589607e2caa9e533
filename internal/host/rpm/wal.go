// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"encoding/binary"
	"fmt"
	"os"
)

// What SQLite's log of pages has that are not in the file yet: a head, and frames of a page each
// (sqlite.org/walformat.html). rpm empties it when a transaction ends; it is not empty while one runs, and after a
// crash.
const (
	walMagic = 0x377f0682 // with the last bit, checksums are big-endian
	walHead  = 32
	walFrame = 24
)

// wal is where the newest version of each page is that the log has. A nil wal has none.
type wal struct {
	source
	f     *os.File
	pages map[uint32]int64
}

// readWAL reads which pages of a file of SQLite the log has that were committed.
func readWAL(f *os.File, db *sqlite) (*wal, error) {
	l := &wal{source: source{f, databaseMost}, f: f, pages: map[uint32]int64{}}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() <= walHead {
		return l, nil
	}
	head := make([]byte, walHead)
	if err := l.read(head, 0); err != nil {
		return nil, err
	}
	magic := binary.BigEndian.Uint32(head)
	if magic&^1 != walMagic || int(binary.BigEndian.Uint32(head[8:])) != db.size {
		return nil, fmt.Errorf("%w: not a log of the file", errMalformed)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 != 0 {
		order = binary.BigEndian
	}
	sum := checksum{order: order}
	sum.add(head[:24])
	if !sum.is(head[24:]) {
		return l, nil // it was about to be begun anew
	}
	uncommitted := map[uint32]int64{}
	frame := make([]byte, walFrame+db.size)
	for at := int64(walHead); at+int64(len(frame)) <= info.Size(); at += int64(len(frame)) {
		if err := l.read(frame, at); err != nil {
			return nil, err
		}
		sum.add(frame[:8])
		sum.add(frame[walFrame:])
		if string(frame[8:16]) != string(head[16:24]) || !sum.is(frame[16:]) {
			break // left of an earlier log
		}
		uncommitted[binary.BigEndian.Uint32(frame)] = at + walFrame
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // the last of a transaction
			for n, at := range uncommitted {
				l.pages[n] = at
			}
			clear(uncommitted)
		}
	}
	return l, nil
}

// place is where the log has a page.
func (l *wal) place(n uint32) (at int64, ok bool) {
	if l == nil {
		return 0, false
	}
	at, ok = l.pages[n]
	return at, ok
}

func (l *wal) close() {
	if l != nil {
		l.f.Close()
	}
}

// checksum is that of the log: two sums of 32 bits, each of all before it.
type checksum struct {
	order binary.ByteOrder
	a, b  uint32
}

// add counts bytes in, a multiple of eight.
func (c *checksum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.a += c.order.Uint32(b) + c.b
		c.b += c.order.Uint32(b[4:]) + c.a
	}
}

// is reports whether the sums are those that stand at the beginning of b.
func (c *checksum) is(b []byte) bool {
	return binary.BigEndian.Uint32(b) == c.a && binary.BigEndian.Uint32(b[4:]) == c.b
}
