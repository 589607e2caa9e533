// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
)

// What ndb's file of indexes has (rpm's lib/backend/ndb/rpmxdb.c and rpmidx.c), all numbers little-endian: a head,
// slots that say on which pages the index of a tag is, and the indexes. Each is a hash: a head, its entries, what is
// too long for them, and the keys.
const (
	indexFileMagic = "RpmX"
	indexFileHead  = 32
	indexSlotMagic = "Slo\x00" // the last byte: what rpm makes anew of an index has 1
	indexSlot      = 16
	indexMagic     = "RpmI"
	indexHead      = 64
	indexEntry     = 8
	indexMore      = 4 // of an entry
	indexFree      = 0xffffffff
	indexMultiply  = 0x5bd1e995
)

// nameIndex is the index from the names of files to the packages.
type nameIndex struct {
	source
	at      int64 // in the file
	entries uint32
	mask    uint32 // what of an entry's key is of the hash; the rest is its place
	keys    uint32 // how many bytes they have
}

// named returns the numbers of the packages that have a file of a name, where an index of the file's generation is
// beside it. rpm makes one anew that is not, so what is wrong with it is no error.
func (db *ndb) named(path, name string) (numbers map[uint32]bool, ok bool) {
	f, err := open(filepath.Join(filepath.Dir(path), indexName))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	x := &nameIndex{source: source{f, databaseMost}}
	if err := x.describe(db.generation); err != nil {
		return nil, false
	}
	numbers, err = x.packages(name)
	return numbers, err == nil
}

// describe finds the index in the file.
func (x *nameIndex) describe(generation uint32) error {
	head := make([]byte, indexHead)
	if err := x.read(head[:indexFileHead], 0); err != nil {
		return err
	}
	pages, size := binary.LittleEndian.Uint32(head[12:]), binary.LittleEndian.Uint32(head[16:])
	if string(head[:4]) != indexFileMagic || binary.LittleEndian.Uint32(head[4:]) != 0 || size < 256 || size > 1<<16 ||
		size%indexSlot != 0 {
		return fmt.Errorf("%w: not a file of ndb's indexes, version 0", errMalformed)
	}
	if binary.LittleEndian.Uint32(head[20:]) != generation {
		return errChanging
	}
	page, err := x.page(pages, size)
	if err != nil {
		return err
	}
	x.at = int64(page) * int64(size)
	if err := x.read(head, x.at); err != nil {
		return err
	}
	x.entries, x.mask = binary.LittleEndian.Uint32(head[12:]), binary.LittleEndian.Uint32(head[24:])
	x.keys = binary.LittleEndian.Uint32(head[28:])
	if string(head[:4]) != indexMagic || binary.LittleEndian.Uint32(head[4:]) != 0 || x.entries == 0 ||
		x.entries&(x.entries-1) != 0 {
		return fmt.Errorf("%w: not an index of ndb, version 0", errMalformed)
	}
	return nil
}

// page returns on which page the index begins, of the slots on the first pages of a size.
func (x *nameIndex) page(pages, size uint32) (uint32, error) {
	page := make([]byte, size)
	for n := range int64(pages) {
		if err := x.read(page, n*int64(size)); err != nil {
			return 0, err
		}
		slots := page
		if n == 0 {
			slots = page[indexFileHead:]
		}
		for ; len(slots) > 0; slots = slots[indexSlot:] {
			if string(slots[:4]) == indexSlotMagic && binary.LittleEndian.Uint32(slots[4:]) == tagBasenames &&
				binary.LittleEndian.Uint32(slots[12:]) != 0 {
				return binary.LittleEndian.Uint32(slots[8:]), nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no index of the names of files", errMalformed)
}

// packages returns the numbers of the packages that have a file of a name.
func (x *nameIndex) packages(name string) (map[uint32]bool, error) {
	numbers := map[uint32]bool{}
	hash := indexHash(name)
	var key uint32 // the name's; 0: not seen yet
	entry := make([]byte, indexEntry)
	for n, i := uint32(0), hash&(x.entries-1); n < x.entries && n < namedMost; n++ {
		if err := x.read(entry, x.at+indexHead+indexEntry*int64(i)); err != nil {
			return nil, err
		}
		k, data := binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:])
		if k == 0 { // the end of all whose hash is like the name's
			return numbers, nil
		}
		if key == 0 && k != indexFree && (k^hash)&x.mask == 0 {
			same, err := x.keyIs(k&^x.mask, name)
			if err != nil {
				return nil, err
			}
			if same {
				key = k
			}
		}
		if k == key {
			number, err := x.number(i, data)
			if err != nil {
				return nil, err
			}
			numbers[number] = true
		}
		i = (i + 7 + n) & (x.entries - 1)
	}
	return nil, fmt.Errorf("%w: the index of the name %q", errMalformed, name)
}

// keyIs reports whether a name is the key at a place. Before a key is its length, in one byte, or in three where it is
// a file system's longest.
func (x *nameIndex) keyIs(at uint32, name string) (bool, error) {
	want := []byte{byte(len(name))}
	if len(name) >= 255 {
		want = binary.LittleEndian.AppendUint16([]byte{255}, uint16(len(name)))
	}
	want = append(want, name...)
	if int64(at)+int64(len(want)) > int64(x.keys) {
		return false, nil
	}
	key := make([]byte, len(want))
	err := x.read(key, x.at+indexHead+(indexEntry+indexMore)*int64(x.entries)+int64(at))
	return string(key) == string(want), err
}

// number is the package of an entry, which may be too large for it.
func (x *nameIndex) number(entry, data uint32) (uint32, error) {
	switch {
	case data>>30 == 0:
		return data & 0xfffff, nil
	case data>>30 == 1:
		return data & 0xffffff, nil
	}
	more := make([]byte, indexMore)
	err := x.read(more, x.at+indexHead+indexEntry*int64(x.entries)+indexMore*int64(entry))
	return binary.LittleEndian.Uint32(more), err
}

// indexHash is rpm's variant of MurmurHash.
func indexHash(name string) uint32 {
	b, h := []byte(name), uint32(len(name))*indexMultiply
	for ; len(b) >= 4; b = b[4:] {
		h += binary.LittleEndian.Uint32(b)
		h *= indexMultiply
		h ^= h >> 16
	}
	if len(b) > 0 {
		h += binary.LittleEndian.Uint32(append(append(make([]byte, 0, 4), b...), make([]byte, 4-len(b))...))
		h *= indexMultiply
		h ^= h >> 16
	}
	h *= indexMultiply
	h ^= h >> 10
	h *= indexMultiply
	return h ^ h>>17
}
