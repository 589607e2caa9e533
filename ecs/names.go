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
