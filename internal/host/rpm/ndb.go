// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"os"
)

// What ndb's file of headers has (rpm's lib/backend/ndb/rpmpkg.c), all numbers little-endian: pages of slots, one for
// each package, the first two of which are the file's head, and blocks of 16 bytes, some of which are a package's blob.
const (
	ndbMagic     = "RpmP"
	ndbSlotMagic = "Slot"
	ndbBlobBegin = "BlbS"
	ndbBlobEnd   = "BlbE"
	ndbPage      = 4096
	ndbSlot      = 16
	ndbBlock     = 16
	ndbHead      = 32 // of the file
	ndbBlobHead  = 16 // before a header
	ndbBlobTail  = 12 // after it, and after what fills its last block
)

// ndb is a file of headers that is read, without rpm's lock: a reader that a slow disk stops would stop rpm. rpm counts
// the generation up before it changes what a slot, or an index that is up to date, leads to.
type ndb struct {
	source
	generation uint32
	pages      uint32 // of slots
	size       int64  // of the file
	blob       []byte
}

// visitNDB calls visit with the header of each package that has a file of a name, until it returns false. Where the
// index beside the file is not up to date, or is none, these are the packages that may have one. The header is valid
// until visit returns.
func visitNDB(f *os.File, name string, visit func(header []byte) bool) error {
	db := &ndb{source: source{f, databaseMost}}
	if err := db.describe(f); err != nil {
		return err
	}
	numbers, indexed := db.named(f.Name(), name)
	more, err := db.visit(func(number uint32) bool {
		wanted := !indexed || numbers[number]
		delete(numbers, number)
		return wanted
	}, func(header []byte) bool {
		return !bytes.Contains(header, []byte(name+"\x00")) || visit(header)
	})
	if err != nil {
		return err
	}
	if more && len(numbers) > 0 {
		return fmt.Errorf("%w: the index has packages that are not there", errMalformed)
	}
	head := make([]byte, ndbHead)
	if err := db.read(head, 0); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[8:]) != db.generation {
		return errChanging
	}
	return nil
}

// describe reads the head of the file.
func (db *ndb) describe(f *os.File) error {
	head := make([]byte, ndbHead)
	if err := db.read(head, 0); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	db.generation, db.pages = binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
	db.size = info.Size()
	if string(head[:4]) != ndbMagic || binary.LittleEndian.Uint32(head[4:]) != 0 {
		return fmt.Errorf("%w: not a file of ndb, version 0", errMalformed)
	}
	return nil
}

// visit calls visit with the header of each package whose number is wanted, until it returns false. It reports whether
// visit wants more.
func (db *ndb) visit(wanted func(number uint32) bool, visit func(header []byte) bool) (more bool, err error) {
	page := make([]byte, ndbPage)
	for n := range int64(db.pages) {
		if err := db.read(page, n*ndbPage); err != nil {
			return false, err
		}
		slots := page
		if n == 0 {
			slots = page[ndbHead:]
		}
		for ; len(slots) > 0; slots = slots[ndbSlot:] {
			if string(slots[:4]) != ndbSlotMagic {
				return false, fmt.Errorf("%w: page %d of slots", errMalformed, n)
			}
			number, block := binary.LittleEndian.Uint32(slots[4:]), binary.LittleEndian.Uint32(slots[8:])
			if block == 0 || !wanted(number) { // no package's, or another one's
				continue
			}
			header, err := db.header(number, block, binary.LittleEndian.Uint32(slots[12:]))
			if err != nil || !visit(header) {
				return false, err
			}
		}
	}
	return true, nil
}

// header reads the header of a package from its blob, which has a number of blocks.
func (db *ndb) header(number, block, blocks uint32) ([]byte, error) {
	at, size := int64(block)*ndbBlock, int64(blocks)*ndbBlock
	if size < ndbBlobHead+ndbBlobTail || size > headerMost || at+size > db.size {
		return nil, fmt.Errorf("%w: package %d has %d bytes at %d", errMalformed, number, size, at)
	}
	if int64(cap(db.blob)) < size {
		db.blob = make([]byte, size)
	}
	blob := db.blob[:size]
	if err := db.read(blob, at); err != nil {
		return nil, err
	}
	length, tail := binary.LittleEndian.Uint32(blob[12:]), blob[size-ndbBlobTail:]
	if string(blob[:4]) != ndbBlobBegin || binary.LittleEndian.Uint32(blob[4:]) != number ||
		int64(length) > size-ndbBlobHead-ndbBlobTail || binary.LittleEndian.Uint32(tail[4:]) != length ||
		string(tail[8:]) != ndbBlobEnd || binary.LittleEndian.Uint32(tail) != adler32.Checksum(blob[:size-ndbBlobTail]) {
		return nil, fmt.Errorf("%w: the header of package %d at %d", errMalformed, number, at)
	}
	return blob[ndbBlobHead : ndbBlobHead+length], nil
}
