// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"strings"
)

// paths splits the names of fields into their parts.
func paths(fields []Field) []Field {
	for i := range fields {
		fields[i].path = strings.Split(fields[i].Name, ".")
	}
	return fields
}

// object is one of a document's objects.
type object struct {
	name string
	in   int // the object that it stands in; the root's own is 0
}

// nest says of each field in which object it stands, and returns the objects, the document itself first.
func nest(fields []Field) []object {
	nested := []object{{}}
	at := map[string]int{"": 0}
	for i := range fields {
		in, path := 0, ""
		for _, part := range fields[i].path[:len(fields[i].path)-1] {
			path += "." + part
			if _, known := at[path]; !known {
				at[path] = len(nested)
				nested = append(nested, object{part, in})
			}
			in = at[path]
		}
		fields[i].in = in
	}
	return nested
}

func index(fields []Field) map[string]*Field {
	m := make(map[string]*Field, len(fields))
	for i := range fields {
		m[fields[i].Name] = &fields[i]
	}
	return m
}

// node is a part of field names: what may follow it, and the field that ends with it.
type node struct {
	next  map[string]*node
	field *Field // nil: none ends here
}

// grow makes the tree of the names of fields.
func grow(sets ...[]Field) *node {
	root := &node{}
	for _, fields := range sets {
		for i := range fields {
			n := root
			for _, part := range fields[i].path {
				if n.next == nil {
					n.next = map[string]*node{}
				}
				if n.next[part] == nil {
					n.next[part] = &node{}
				}
				n = n.next[part]
			}
			n.field = &fields[i]
		}
	}
	root.next["_source"] = root // documents as a search returns them
	return root
}

// ofHit finds the name of a field in a search's hit: next, or the document where the hit has its fields as lists, and
// no source or one that leaves out the time. What a user calls fields is not part of it.
func (d *draft) ofHit(name []byte, next *node) *node {
	switch string(name) {
	case "_index":
		d.hit = true
		return originIndex
	case "_id":
		d.hit = true
		return originID
	case "_source":
		d.sourced = true
	case "fields":
		if d.hit && (!d.sourced || d.Time.IsZero()) {
			return names
		}
	case "doc": // of an update in bulk
		if d.Time.IsZero() {
			return names
		}
	}
	return next
}

// originIndex and originID are the fields that a search's hit has under names of its own.
var (
	originIndex = names.find([]byte("reconbeat.origin.index"))
	originID    = names.find([]byte("reconbeat.origin.id"))
)

// find follows a key, which may be dotted. It returns nil where no field lies.
func (n *node) find(key []byte) *node {
	for n != nil {
		part, rest, dotted := bytes.Cut(key, dot)
		n = n.next[string(part)]
		if !dotted {
			return n
		}
		key = rest
	}
	return nil
}

var dot = []byte{'.'}
