// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// The parts of an ELF file that are read (elf(5)). The standard library's debug/elf reads whole section tables and
// may allocate what a hostile header asks for; this reads the first 64 KiB, where linkers put headers and notes, a
// table of program headers that lies elsewhere, and no more.
const (
	elfClass32, elfClass64 = 1, 2
	elfLoad                = 1 // PT_LOAD
	elfInterp              = 3 // PT_INTERP
	elfNote                = 4 // PT_NOTE
	elfExecutable          = 1 // PF_X
	gnuBuildID             = 3 // NT_GNU_BUILD_ID
	maxBuildID             = 64
	maxInterp              = 4096
)

const (
	// codeMost bounds how much code of one file is read, in bytes; a program with more is known by its build-id alone.
	// busybox has one or two million.
	codeMost = 8 << 20
	// codeLeast is how much code must be there to know one program from another, in bytes: a stub that calls a library
	// is like the next one.
	codeLeast = 2 << 10
	// spansMost is in how many pieces the code may lie.
	spansMost = 8
)

// image is what the headers of an ELF file say. The zero value: it is none.
type image struct {
	buildID string // in hex; empty: none
	loader  string // the path of the dynamic loader that it asks for; empty: none
	code    []span // the executable segments, as they lie in the file
}

// span is a piece of a file, in bytes.
type span struct{ offset, size uint64 }

// shape is what files of the same code have in common, as far as their headers say. The zero shape: no code that says
// anything.
type shape struct {
	spans int
	bytes uint64
}

// readImage reads the headers of an ELF file into head; the zero image for what is none.
func readImage(r io.ReaderAt, head []byte) image {
	n, err := r.ReadAt(head, 0)
	if n == 0 || err != nil && err != io.EOF {
		return image{}
	}
	return parseImage(head[:n], r)
}

// header is one program header.
type header struct {
	kind, flags            uint32
	offset, address, bytes uint64
}

// parseImage reads the headers of an ELF file that begins with b. What lies beyond b is read from r, where that is not
// nil.
func parseImage(b []byte, r io.ReaderAt) image {
	if len(b) < 52 || !bytes.HasPrefix(b, []byte("\x7fELF")) {
		return image{}
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[5] == 2 {
		order = binary.BigEndian
	}
	var entry, table, size, count uint64 // where the program begins; the program headers
	wide := b[4] == elfClass64
	switch {
	case wide && len(b) >= 64:
		entry, table = order.Uint64(b[24:]), order.Uint64(b[32:])
		size, count = uint64(order.Uint16(b[54:])), uint64(order.Uint16(b[56:]))
	case b[4] == elfClass32:
		entry, table = uint64(order.Uint32(b[24:])), uint64(order.Uint32(b[28:]))
		size, count = uint64(order.Uint16(b[42:])), uint64(order.Uint16(b[44:]))
	default:
		return image{}
	}
	headers := part(b, table, size*count)
	if headers == nil && r != nil && size*count <= headMost && table < 1<<62 {
		headers = make([]byte, size*count) // patchelf puts a table that has grown at the end
		if n, err := r.ReadAt(headers, int64(table)); n < len(headers) || err != nil && err != io.EOF {
			return image{}
		}
	}
	var im image
	for i := range count {
		h, ok := parseHeader(part(headers, i*size, size), order, wide)
		if !ok {
			break
		}
		switch {
		case h.kind == elfNote && im.buildID == "":
			im.buildID = findNote(part(b, h.offset, h.bytes), order)
		case h.kind == elfInterp && h.bytes <= maxInterp:
			name, _, _ := bytes.Cut(part(b, h.offset, h.bytes), []byte{0})
			im.loader = string(name)
		case h.kind == elfLoad && h.flags&elfExecutable != 0 && h.bytes > 0:
			im.code = append(im.code, codeOf(h, entry))
		}
	}
	return im
}

func parseHeader(b []byte, order binary.ByteOrder, wide bool) (header, bool) {
	switch {
	case wide && len(b) >= 56:
		return header{
			kind: order.Uint32(b), flags: order.Uint32(b[4:]),
			offset: order.Uint64(b[8:]), address: order.Uint64(b[16:]), bytes: order.Uint64(b[32:]),
		}, true
	case !wide && len(b) >= 32:
		return header{
			kind: order.Uint32(b), flags: order.Uint32(b[24:]),
			offset: uint64(order.Uint32(b[4:])), address: uint64(order.Uint32(b[8:])),
			bytes: uint64(order.Uint32(b[16:])),
		}, true
	}
	return header{}, false
}

// codeOf is the code of an executable segment. Where linkers do not separate code, the segment begins with the file's
// headers and notes, which change when a note is removed: there the code counts from where the program begins.
func codeOf(h header, entry uint64) span {
	code := span{h.offset, h.bytes}
	if h.offset == 0 {
		skip := min(entry-min(h.address, entry), h.bytes)
		code = span{skip, h.bytes - skip}
	}
	return code
}

// shape returns the shape of the file's code.
func (im image) shape() shape {
	s := shape{spans: len(im.code)}
	for _, c := range im.code {
		if c.size > codeMost || c.offset > 1<<62 {
			return shape{}
		}
		s.bytes += c.size
	}
	if s.spans > spansMost || s.bytes < codeLeast || s.bytes > codeMost {
		return shape{}
	}
	return s
}

// sumOfCode is the SHA-256 of the code, for an image that has a shape.
func (im image) sumOfCode(r io.ReaderAt) (string, error) {
	h := sha256.New()
	for _, c := range im.code {
		n, err := io.Copy(h, io.NewSectionReader(r, int64(c.offset), int64(c.size)))
		if err == nil && uint64(n) != c.size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", fmt.Errorf("reading the code: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// findNote walks the notes of one segment: three numbers (length of the name, length of the contents, type), then name
// and contents, each padded to four bytes.
func findNote(notes []byte, order binary.ByteOrder) string {
	for len(notes) >= 12 {
		name, desc, kind := uint64(order.Uint32(notes)), uint64(order.Uint32(notes[4:])), order.Uint32(notes[8:])
		if name > headMost || desc > headMost {
			return ""
		}
		body := part(notes, 12+padded(name), desc)
		if kind == gnuBuildID && bytes.HasPrefix(notes[12:], []byte("GNU\x00")) && len(body) > 0 &&
			len(body) <= maxBuildID {
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
