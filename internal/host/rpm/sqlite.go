// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// What a file of SQLite has (sqlite.org/fileformat2.html): trees of pages. A table's tree has rows by their number, an
// index's has values in order, each with the number of its row.
const (
	sqliteMagic = "SQLite format 3\x00"
	innerIndex  = 2 // the types of pages
	innerTable  = 5
	leafIndex   = 10
	leafTable   = 13
	depthMost   = 20      // of a tree
	namedMost   = 1 << 16 // files of one name
)

// sqlite is a file of SQLite that is read.
type sqlite struct {
	source
	size   int // of a page
	usable int // of it
	log    *wal
}

// visitSQLite calls visit with the header of each package that has a file of a name, until it returns false.
func visitSQLite(f *os.File, name string, visit func(header []byte) bool) error {
	db := &sqlite{source: source{f, databaseMost}}
	if err := db.describe(f.Name()); err != nil {
		return err
	}
	defer db.log.close()
	packages, err := db.root("table", "Packages")
	if err != nil {
		return err
	}
	table, err := db.root("table", "Basenames")
	if err != nil {
		return err
	}
	index, err := db.root("index", "Basenames_key_idx")
	if err != nil {
		return err
	}
	rows, err := db.rows(index, []byte(name), 0, nil)
	if err != nil {
		return err
	}
	seen := map[int64]bool{} // a package may have many files of the name
	for _, row := range rows {
		named, err := db.row(table, row) // key, package, place
		if err != nil {
			return err
		}
		number, ok := named.number(1)
		if !ok {
			return fmt.Errorf("%w: a name of a file without a package", errMalformed)
		}
		if seen[number] {
			continue
		}
		seen[number] = true
		pkg, err := db.row(packages, number)
		if err != nil {
			return err
		}
		if !visit(pkg.bytes(1)) {
			return nil
		}
	}
	return nil
}

// describe reads the head of the file, and what stands beside it.
func (db *sqlite) describe(path string) error {
	b := make([]byte, 100)
	if err := db.read(b, 0); err != nil {
		return err
	}
	db.size = int(binary.BigEndian.Uint16(b[16:]))
	if db.size == 1 {
		db.size = 1 << 16
	}
	db.usable = db.size - int(b[20])
	if string(b[:16]) != sqliteMagic || db.size < 512 || db.size&(db.size-1) != 0 || db.usable < 480 {
		return fmt.Errorf("%w: not a file of SQLite", errMalformed)
	}
	log, err := open(path + strings.TrimPrefix(walName, sqliteName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	db.log, err = readWAL(log, db)
	if err != nil {
		return errors.Join(fmt.Errorf("reading %s: %w", log.Name(), err), log.Close())
	}
	return nil
}

// page reads a page of the file; the first one is number 1.
func (db *sqlite) page(n uint32) ([]byte, error) {
	if n == 0 {
		return nil, fmt.Errorf("%w: page 0", errMalformed)
	}
	b := make([]byte, db.size)
	if at, ok := db.log.place(n); ok {
		return b, db.log.read(b, at)
	}
	return b, db.read(b, int64(n-1)*int64(db.size))
}

// node is a page of a tree.
type node struct {
	db    *sqlite
	page  []byte
	kind  byte
	cells []byte // where its cells are, two bytes each
	right uint32 // the last child; 0: a leaf
}

func (db *sqlite) node(n uint32) (node, error) {
	page, err := db.page(n)
	if err != nil {
		return node{}, err
	}
	head := page[:db.usable]
	if n == 1 {
		head = head[100:] // the file's head stands before it
	}
	t := node{db: db, page: page[:db.usable], kind: head[0]}
	count, from := int(binary.BigEndian.Uint16(head[3:])), 8
	switch t.kind {
	case innerIndex, innerTable:
		from, t.right = 12, binary.BigEndian.Uint32(head[8:])
	case leafIndex, leafTable:
	default:
		return node{}, fmt.Errorf("%w: page %d is of no tree", errMalformed, n)
	}
	if from+2*count > len(head) {
		return node{}, fmt.Errorf("%w: page %d of %d cells", errMalformed, n, count)
	}
	t.cells = head[from : from+2*count]
	return t, nil
}

// cell is a cell of a node: a child, the number of a row, the beginning of a record, as the kind of the node has it.
type cell struct {
	child  uint32
	row    int64
	length uint64
	rest   []byte // from the record on
}

func (t *node) cell(i int) (c cell, err error) {
	at := int(binary.BigEndian.Uint16(t.cells[2*i:]))
	if at+4 > len(t.page) {
		return c, fmt.Errorf("%w: a cell at %d", errMalformed, at)
	}
	b, ok := t.page[at:], true
	if t.kind == innerIndex || t.kind == innerTable {
		c.child, b = binary.BigEndian.Uint32(b), b[4:]
	}
	if t.kind != innerTable {
		c.length, b, ok = varint(b)
	}
	if ok && (t.kind == innerTable || t.kind == leafTable) {
		var row uint64
		row, b, ok = varint(b)
		c.row = int64(row)
	}
	if !ok || c.length > headerMost {
		return c, fmt.Errorf("%w: a cell with a record of %d bytes", errMalformed, c.length)
	}
	c.rest = b
	return c, nil
}

// record reads the record of a cell, with what of it is on other pages.
func (t *node) record(c cell) (record, error) {
	usable := t.db.usable
	local, most := int(c.length), usable-35
	if t.kind != leafTable {
		most = (usable-12)*64/255 - 23
	}
	if local > most {
		least := (usable-12)*32/255 - 23
		if local = least + (int(c.length)-least)%(usable-4); local > most {
			local = least
		}
	}
	if local > len(c.rest) {
		return nil, fmt.Errorf("%w: a record of %d bytes in %d", errMalformed, local, len(c.rest))
	}
	whole := bytes.Clone(c.rest[:local])
	if local == int(c.length) {
		return parseRecord(whole)
	}
	if len(c.rest) < local+4 {
		return nil, fmt.Errorf("%w: a record without its second page", errMalformed)
	}
	next := binary.BigEndian.Uint32(c.rest[local:])
	for left := int(c.length) - local; left > 0; {
		page, err := t.db.page(next)
		if err != nil {
			return nil, err
		}
		part := page[4:min(usable, 4+left)]
		whole, left, next = append(whole, part...), left-len(part), binary.BigEndian.Uint32(page)
	}
	return parseRecord(whole)
}

// root is the first page of the tree of a table or an index.
func (db *sqlite) root(kind, name string) (page uint32, err error) {
	err = db.visit(1, 0, func(r record) bool { // type, name, tbl_name, rootpage, sql
		if string(r.bytes(0)) == kind && string(r.bytes(1)) == name {
			n, _ := r.number(3)
			page = uint32(n)
		}
		return page == 0
	})
	if err == nil && page == 0 {
		err = fmt.Errorf("%w: no %s %s", errMalformed, kind, name)
	}
	return page, err
}

// visit calls visit with each row of a table, until it returns false.
func (db *sqlite) visit(page uint32, depth int, visit func(record) bool) error {
	t, err := db.node(page)
	if err != nil {
		return err
	}
	if depth > depthMost {
		return fmt.Errorf("%w: a tree without an end", errMalformed)
	}
	for i := range len(t.cells) / 2 {
		c, err := t.cell(i)
		if err != nil {
			return err
		}
		if t.kind == innerTable {
			if err := db.visit(c.child, depth+1, visit); err != nil {
				return err
			}
			continue
		}
		r, err := t.record(c)
		if err != nil || !visit(r) {
			return err
		}
	}
	if t.right != 0 {
		return db.visit(t.right, depth+1, visit)
	}
	return nil
}

// row is the row of a table with a number.
func (db *sqlite) row(page uint32, number int64) (record, error) {
	for range depthMost {
		t, err := db.node(page)
		if err != nil {
			return nil, err
		}
		page = t.right
		for i := range len(t.cells) / 2 {
			c, err := t.cell(i)
			if err != nil {
				return nil, err
			}
			if t.kind == leafTable && c.row == number {
				return t.record(c)
			}
			if t.kind == innerTable && number <= c.row {
				page = c.child
				break
			}
		}
		if t.kind == leafTable {
			break
		}
	}
	return nil, fmt.Errorf("%w: no row %d", errMalformed, number)
}

// rows appends to out the numbers of the rows that an index has for a value.
func (db *sqlite) rows(page uint32, value []byte, depth int, out []int64) ([]int64, error) {
	t, err := db.node(page)
	if err != nil {
		return nil, err
	}
	if depth > depthMost {
		return nil, fmt.Errorf("%w: a tree without an end", errMalformed)
	}
	for i := range len(t.cells) / 2 {
		c, err := t.cell(i)
		if err != nil {
			return nil, err
		}
		r, err := t.record(c)
		if err != nil {
			return nil, err
		}
		order := bytes.Compare(r.bytes(0), value)
		if order < 0 {
			continue
		}
		if t.kind == innerIndex { // what stands before the cell
			if out, err = db.rows(c.child, value, depth+1, out); err != nil {
				return nil, err
			}
		}
		if order > 0 {
			return out, nil
		}
		row, ok := r.number(1)
		if !ok || len(out) >= namedMost {
			return nil, fmt.Errorf("%w: the index of the name %q", errMalformed, value)
		}
		out = append(out, row)
	}
	if t.right != 0 {
		return db.rows(t.right, value, depth+1, out)
	}
	return out, nil
}

// record is the columns of a row.
type record []column

type column struct {
	kind uint64
	data []byte
}

// parseRecord reads the types of the columns, which stand before all of them.
func parseRecord(b []byte) (record, error) {
	size, types, ok := varint(b)
	if !ok || size > uint64(len(b)) || int(size) < len(b)-len(types) {
		return nil, fmt.Errorf("%w: a record of %d bytes", errMalformed, len(b))
	}
	data := b[size:]
	types = b[len(b)-len(types) : size]
	var r record
	for len(types) > 0 {
		var c column
		if c.kind, types, ok = varint(types); !ok {
			return nil, fmt.Errorf("%w: the types of a record", errMalformed)
		}
		length := columnSize(c.kind)
		if length > uint64(len(data)) {
			return nil, fmt.Errorf("%w: a column of %d bytes", errMalformed, length)
		}
		c.data, data = data[:length], data[length:]
		r = append(r, c)
	}
	return r, nil
}

// columnSize is how long a column of a type is.
func columnSize(kind uint64) uint64 {
	switch {
	case kind >= 12:
		return (kind - 12) / 2
	case kind >= 8:
		return 0 // the constants 0 and 1
	}
	return []uint64{0, 1, 2, 3, 4, 6, 8, 8}[kind]
}

// bytes is a column that is a text or a blob.
func (r record) bytes(i int) []byte {
	if i >= len(r) || r[i].kind < 12 {
		return nil
	}
	return r[i].data
}

// number is a column that is a whole number.
func (r record) number(i int) (int64, bool) {
	switch {
	case i >= len(r), r[i].kind == 0, r[i].kind == 7, r[i].kind > 9:
		return 0, false
	case r[i].kind >= 8:
		return int64(r[i].kind - 8), true
	}
	n := int64(int8(r[i].data[0]))
	for _, b := range r[i].data[1:] {
		n = n<<8 | int64(b)
	}
	return n, true
}

// varint reads a number of one to nine bytes, the high ones first.
func varint(b []byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b {
		if i == 8 {
			return n<<8 | uint64(c), b[9:], true
		}
		n = n<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}
