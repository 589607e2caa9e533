// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
)

// The parts of an ELF file that lead to the build-id (elf(5)). The standard library's debug/elf reads whole section tables and may allocate what a hostile
// header asks for; this reads the first 64 KiB, where linkers put the notes, and no more.
const (
	elfClass32, elfClass64 = 1, 2
	elfNote                = 4 // PT_NOTE
	gnuBuildID             = 3 // NT_GNU_BUILD_ID
	maxBuildID             = 64
)

// buildID returns the GNU build-id of an ELF file in hex; empty for what has none in its first 64 KiB, or is no ELF file.
func buildID(r io.ReaderAt) string {
	head := make([]byte, headMost)
	n, err := r.ReadAt(head, 0)
	if n == 0 || err != nil && err != io.EOF {
		return ""
	}
	return parseBuildID(head[:n])
}

func parseBuildID(b []byte) string {
	if len(b) < 52 || !bytes.HasPrefix(b, []byte("\x7fELF")) {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[5] == 2 {
		order = binary.BigEndian
	}
	var table, entry, count uint64 // of the program headers
	switch b[4] {
	case elfClass32:
		table, entry, count = uint64(order.Uint32(b[28:])), uint64(order.Uint16(b[42:])), uint64(order.Uint16(b[44:]))
	case elfClass64:
		if len(b) < 64 {
			return ""
		}
		table, entry, count = order.Uint64(b[32:]), uint64(order.Uint16(b[54:])), uint64(order.Uint16(b[56:]))
	default:
		return ""
	}
	for i := range count {
		h := part(b, table+i*entry, entry)
		if len(h) < 32 || order.Uint32(h) != elfNote {
			continue
		}
		var offset, size uint64
		if b[4] == elfClass64 {
			if len(h) < 56 {
				return ""
			}
			offset, size = order.Uint64(h[8:]), order.Uint64(h[32:])
		} else {
			offset, size = uint64(order.Uint32(h[4:])), uint64(order.Uint32(h[16:]))
		}
		if id := findNote(part(b, offset, size), order); id != "" {
			return id
		}
	}
	return ""
}

// findNote walks the notes of one segment: three numbers (length of the name, length of the contents, type), then name and contents, each padded to four bytes.
func findNote(notes []byte, order binary.ByteOrder) string {
	for len(notes) >= 12 {
		name, desc, kind := uint64(order.Uint32(notes)), uint64(order.Uint32(notes[4:])), order.Uint32(notes[8:])
		if name > headMost || desc > headMost {
			return ""
		}
		body := part(notes, 12+padded(name), desc)
		if kind == gnuBuildID && bytes.HasPrefix(notes[12:], []byte("GNU\x00")) && len(body) > 0 && len(body) <= maxBuildID {
			return hex.EncodeToString(body)
		}
		next := 12 + padded(name) + padded(desc)
		if next > uint64(len(notes)) {
			return ""
		}
		notes = notes[next:]
	}
	return ""
}

func padded(n uint64) uint64 { return (n + 3) &^ 3 }

// part is size bytes at offset, as far as b has them; nil when offset or size leads outside what can be in b.
func part(b []byte, offset, size uint64) []byte {
	if offset >= uint64(len(b)) || size > headMost || offset+size > uint64(len(b)) {
		return nil
	}
	return b[offset : offset+size]
}
