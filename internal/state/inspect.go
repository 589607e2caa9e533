// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// The file format of bbolt, version 2 (go.etcd.io/bbolt/internal/common: page.go, meta.go, inode.go): pages in the byte order of the machine,
// each with a head of 16 bytes (id, flags, count, overflow); two meta pages; a tree of branch and leaf pages; one list of free pages.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketElement = 0x01

	pageHead    = 16
	elementHead = 16
	metaSize    = 64
	bucketHead  = 16
	maxDepth    = 24 // of the tree; a real one has 4
)

var order = binary.NativeEndian

// inspection checks that a bbolt file can be opened and used: bbolt itself takes its file for granted, reads it through a memory map, and panics,
// recurses for ever or faults on a damaged one, partly in goroutines where nobody can recover; its own Tx.Check does too.
type inspection struct {
	f        io.ReaderAt
	pageSize int64
	pages    uint64   // the high-water mark: every page is below it
	used     []uint64 // a bit for each page that is reachable
	free     []uint64 // a bit for each page that is free
	buffers  [maxDepth + 1][]byte
}

// inspect returns nil when the bbolt file at path is whole. It reads only the pages in use.
func inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	m, err := newestMeta(f, fi.Size())
	if err != nil {
		return err
	}
	if m.pages < 4 || m.pages > uint64(fi.Size()/m.pageSize) {
		return fmt.Errorf("cut short: %d bytes, %d pages of %d bytes expected", fi.Size(), m.pages, m.pageSize)
	}
	in := &inspection{f: f, pageSize: m.pageSize, pages: m.pages, used: make([]uint64, m.pages/64+1), free: make([]uint64, m.pages/64+1)}
	mark(in.used, 0)
	mark(in.used, 1)
	if err := in.freelist(m.freelist); err != nil {
		return err
	}
	if err := in.tree(m.root, 0, new([]byte), nil); err != nil {
		return err
	}
	for id := range m.pages {
		if !marked(in.used, id) && !marked(in.free, id) {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}

type boltMeta struct {
	pageSize                    int64
	root, freelist, pages, txid uint64
}

// newestMeta returns the meta page that bbolt would use: the newer of those that are whole.
func newestMeta(f io.ReaderAt, size int64) (boltMeta, error) {
	var best boltMeta
	found := false
	read := func(at int64) (m boltMeta, ok bool) {
		var b [pageHead + metaSize]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return m, false
		}
		v := b[pageHead:]
		h := fnv.New64a()
		h.Write(v[:metaSize-8])
		if order.Uint32(v) != boltMagic || order.Uint32(v[4:]) != boltVersion || order.Uint64(v[56:]) != h.Sum64() {
			return m, false
		}
		m = boltMeta{int64(order.Uint32(v[8:])), order.Uint64(v[16:]), order.Uint64(v[32:]), order.Uint64(v[40:]), order.Uint64(v[48:])}
		// bbolt asserts the head of the meta pages nowhere, their size it trusts.
		return m, m.pageSize >= 1024 && m.pageSize <= 1<<24 && m.pageSize&(m.pageSize-1) == 0 && size >= 2*m.pageSize
	}
	if m, ok := read(0); ok {
		best, found = m, true
	}
	for pageSize := int64(1024); pageSize <= 1<<24 && pageSize < size; pageSize <<= 1 {
		if m, ok := read(pageSize); ok && m.pageSize == pageSize && (!found || m.pageSize == best.pageSize) {
			if !found || m.txid > best.txid {
				best = m
			}
			found = true
			break
		}
	}
	if !found {
		return best, errors.New("no whole meta page")
	}
	return best, nil
}

func mark(set []uint64, id uint64)        { set[id/64] |= 1 << (id % 64) }
func marked(set []uint64, id uint64) bool { return set[id/64]&(1<<(id%64)) != 0 }

// page reads a page with its overflow pages, and marks them as used.
func (in *inspection) page(id uint64, depth int) (b []byte, flags, count uint16, err error) {
	if id < 2 || id >= in.pages {
		return nil, 0, 0, fmt.Errorf("page %d is not one of %d", id, in.pages)
	}
	var head [pageHead]byte
	if _, err := in.f.ReadAt(head[:], int64(id)*in.pageSize); err != nil {
		return nil, 0, 0, fmt.Errorf("reading page %d: %w", id, err)
	}
	overflow := uint64(order.Uint32(head[12:]))
	if order.Uint64(head[:]) != id || id+overflow >= in.pages {
		return nil, 0, 0, fmt.Errorf("page %d is damaged", id)
	}
	for i := id; i <= id+overflow; i++ {
		if marked(in.used, i) || marked(in.free, i) {
			return nil, 0, 0, fmt.Errorf("page %d is used twice", i)
		}
		mark(in.used, i)
	}
	n := int(in.pageSize * int64(overflow+1))
	b = slices.Grow(in.buffers[depth][:0], n)[:n]
	in.buffers[depth] = b
	if _, err := in.f.ReadAt(b, int64(id)*in.pageSize); err != nil {
		return nil, 0, 0, fmt.Errorf("reading page %d: %w", id, err)
	}
	return b, order.Uint16(b[8:]), order.Uint16(b[10:]), nil
}

// freelist marks the free pages.
func (in *inspection) freelist(id uint64) error {
	b, flags, count, err := in.page(id, 0)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	if flags != freelistPage {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	b = b[pageHead:]
	n := uint64(count)
	if count == 0xFFFF { // the number does not fit into the head: it comes first
		n, b = order.Uint64(b), b[8:]
	}
	if n > uint64(len(b)/8) {
		return fmt.Errorf("the list of free pages claims %d", n)
	}
	for i := range n {
		free := order.Uint64(b[8*i:])
		if free < 2 || free >= in.pages || marked(in.used, free) || marked(in.free, free) {
			return fmt.Errorf("page %d is in the list of free pages", free)
		}
		mark(in.free, free)
	}
	return nil
}

// tree checks the pages of one bucket from a page downwards. last is the key before, nil at first. named is the key under which the page's
// parent knows it, nil for a root: bbolt looks its pages up by their first key when it writes them back, and where the two differ it enters a page twice.
func (in *inspection) tree(id uint64, depth int, last *[]byte, named []byte) error {
	if depth >= maxDepth {
		return errors.New("the tree is too deep")
	}
	b, flags, count, err := in.page(id, depth)
	if err != nil {
		return err
	}
	switch {
	case flags == leafPage:
		return in.leaf(id, b, count, depth, last, named)
	case flags != branchPage || count == 0:
		return fmt.Errorf("page %d is neither branch nor leaf", id)
	}
	for i := range int(count) {
		key, _, err := element(b, i, int(count), true)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		if *last != nil && bytes.Compare(*last, key) >= 0 || i == 0 && named != nil && !bytes.Equal(key, named) {
			return fmt.Errorf("page %d: keys out of order", id)
		}
		if err := in.tree(order.Uint64(b[pageHead+elementHead*i+8:]), depth+1, last, key); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) leaf(id uint64, b []byte, count uint16, depth int, last *[]byte, named []byte) error {
	if count == 0 && named != nil { // only a root may be empty
		return fmt.Errorf("page %d is empty", id)
	}
	for i := range int(count) {
		key, value, err := element(b, i, int(count), false)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		if *last != nil && bytes.Compare(*last, key) >= 0 || i == 0 && named != nil && !bytes.Equal(key, named) {
			return fmt.Errorf("page %d: keys out of order", id)
		}
		*last = append((*last)[:0:0], key...)
		switch order.Uint32(b[pageHead+elementHead*i:]) {
		case 0:
		case bucketElement:
			if err := in.bucket(value, depth); err != nil {
				return fmt.Errorf("bucket %q: %w", key, err)
			}
		default:
			return fmt.Errorf("page %d: unknown kind of element", id)
		}
	}
	return nil
}

// bucket checks a bucket inside another: its head names its root page, or 0 when a small one follows in place.
func (in *inspection) bucket(v []byte, depth int) error {
	if len(v) < bucketHead {
		return errors.New("too short")
	}
	if root := order.Uint64(v); root != 0 {
		return in.tree(root, depth+1, new([]byte), nil)
	}
	if v = v[bucketHead:]; len(v) < pageHead || order.Uint16(v[8:]) != leafPage {
		return errors.New("no leaf in place")
	}
	return in.leaf(0, v, order.Uint16(v[10:]), depth+1, new([]byte), nil)
}

// element returns the key and value of element i of a branch or leaf page.
func element(b []byte, i, count int, branch bool) (key, value []byte, err error) {
	at := pageHead + elementHead*i
	if pageHead+elementHead*count > len(b) {
		return nil, nil, fmt.Errorf("%d elements do not fit", count)
	}
	var pos, ksize, vsize uint64
	if branch {
		pos, ksize = uint64(order.Uint32(b[at:])), uint64(order.Uint32(b[at+4:]))
	} else {
		pos, ksize, vsize = uint64(order.Uint32(b[at+4:])), uint64(order.Uint32(b[at+8:])), uint64(order.Uint32(b[at+12:]))
	}
	start := uint64(at) + pos
	if start < uint64(pageHead+elementHead*count) || start+ksize+vsize > uint64(len(b)) || ksize == 0 {
		return nil, nil, fmt.Errorf("element %d reaches beyond the page", i)
	}
	return b[start : start+ksize], b[start+ksize : start+ksize+vsize], nil
}
