// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// What a hash of Berkeley DB 4 and 5 has (db_page.h of libdb 5.3): pages with a head of 26 bytes, the first of which
// describes the file, and values that are too long for a page in a chain of pages.
const (
	hashMagic    = 0x061561
	hashHead     = 26
	hashUnsorted = 2 // the types of pages
	hashOverflow = 7
	hashMeta     = 8
	hashSorted   = 13
	hashOffPage  = 3 // the type of a value that is elsewhere
	hashOffSize  = 12
)

// hashFile is a hash that is read from its beginning to its end.
type hashFile struct {
	source
	order binary.ByteOrder // of the machine that made it
	size  int              // of a page
	last  uint32           // the number of the last page
	chain []byte           // a page of a value
	value []byte
}

// visitHash calls visit with the header of each package that may have a file of a name, until it returns false. The
// header is valid until visit returns.
func visitHash(f *os.File, name string, visit func(header []byte) bool) error {
	h := &hashFile{source: source{f, databaseMost}}
	if err := h.describe(); err != nil {
		return err
	}
	name += "\x00"
	page := make([]byte, h.size)
	for n := uint32(1); n <= h.last; n++ {
		if err := h.read(page, int64(n)*int64(h.size)); err != nil {
			return err
		}
		if page[25] != hashSorted && page[25] != hashUnsorted {
			continue
		}
		more, err := h.visit(page, func(header []byte) bool {
			return !bytes.Contains(header, []byte(name)) || visit(header)
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// describe reads the first page.
func (h *hashFile) describe() error {
	b := make([]byte, 72)
	if err := h.read(b, 0); err != nil {
		return err
	}
	for _, h.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if h.order.Uint32(b[12:]) == hashMagic {
			break
		}
	}
	size := h.order.Uint32(b[20:])
	if h.order.Uint32(b[12:]) != hashMagic || b[24] != 0 || b[25] != hashMeta || size < 512 || size > 1<<16 {
		return fmt.Errorf("%w: not a hash of Berkeley DB", errMalformed)
	}
	h.size, h.last, h.chain = int(size), h.order.Uint32(b[32:]), make([]byte, size)
	return nil
}

// visit calls visit with each value of a page that is elsewhere; shorter ones are no headers. It reports whether visit
// wants more.
func (h *hashFile) visit(page []byte, visit func(value []byte) bool) (more bool, err error) {
	for i := 1; i < int(h.order.Uint16(page[20:])); i += 2 { // key and value by turns
		place := hashHead + 2*i
		if place+2 > len(page) {
			return false, fmt.Errorf("%w: a page of %d values", errMalformed, i)
		}
		at := int(h.order.Uint16(page[place:]))
		if at+hashOffSize > len(page) || page[at] != hashOffPage {
			continue
		}
		if err := h.join(h.order.Uint32(page[at+4:]), h.order.Uint32(page[at+8:])); err != nil {
			return false, err
		}
		if !visit(h.value) {
			return false, nil
		}
	}
	return true, nil
}

// join reads a value of a length from the chain of pages that begins with one.
func (h *hashFile) join(n, length uint32) error {
	if length > headerMost {
		return fmt.Errorf("%w: a value of %d bytes", errMalformed, length)
	}
	h.value = h.value[:0]
	for len(h.value) < int(length) {
		if n == 0 || n > h.last {
			return fmt.Errorf("%w: page %d of a value", errMalformed, n)
		}
		if err := h.read(h.chain, int64(n)*int64(h.size)); err != nil {
			return err
		}
		used := int(h.order.Uint16(h.chain[22:]))
		if h.chain[25] != hashOverflow || used == 0 || hashHead+used > h.size {
			return fmt.Errorf("%w: page %d is of no value", errMalformed, n)
		}
		h.value = append(h.value, h.chain[hashHead:hashHead+used]...)
		n = h.order.Uint32(h.chain[16:])
	}
	h.value = h.value[:length]
	return nil
}
