// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// Type is the type of a field's values.
type Type uint8

// The types, and what Field.Value returns for each.
const (
	Keyword  Type = iota + 1 // string
	Keywords                 // []string
	Long                     // int64
	Boolean                  // bool
	Date                     // time.Time
	IP                       // netip.Addr
)

// String returns the name of the type in an Elasticsearch mapping. There a list has the type of its elements.
func (t Type) String() string {
	switch t {
	case Keyword, Keywords:
		return "keyword"
	case Long:
		return "long"
	case Boolean:
		return "boolean"
	case Date:
		return "date"
	case IP:
		return "ip"
	}
	return "unknown"
}

// Field is one field of the table.
type Field struct {
	Name        string // dotted: "process.parent.name"
	Type        Type
	Description string

	path []string                 // Name's parts
	in   int                      // the object that it stands in: an index of objects
	get  func(*process.Event) any // nil when the event does not say
	// text is get without an interface around a string: empty when the event does not say. nil: there is get only
	text func(*process.Event) string
	set  func(d *draft, v value) // takes what a document says; what makes no sense is taken as not said
	each bool                    // a list's elements are all set, one after the other; otherwise its first is the value
}

// Value returns what e says in the field, of the Type's kind, or nil when it says nothing. Strings are views into e's
// memory.
func (f Field) Value(e *process.Event) any { return f.get(e) }

// Lookup returns the field of a dotted name. Names are case-sensitive, as they are in Elasticsearch.
func Lookup(name string) (Field, bool) {
	f, ok := byName[name]
	if !ok {
		return Field{}, false
	}
	return *f, true
}

// Fields returns the fields of the table in its order.
func Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range table {
			if !yield(table[i]) {
				return
			}
		}
	}
}

// The kinds of field. Each says how a fact is read from the event and how a document's value becomes one; at finds its
// place.

func text(name, description string, at func(*process.Event) *string) Field {
	return Field{
		Name: name, Type: Keyword, Description: description,
		get:  func(e *process.Event) any { return known(*at(e)) },
		text: func(e *process.Event) string { return *at(e) },
		set:  func(d *draft, v value) { d.text(at(d.Event), v) },
	}
}

func number(name, description string, at func(*process.Event) *uint32) Field {
	return Field{
		Name: name, Type: Long, Description: description,
		get: func(e *process.Event) any {
			if n := *at(e); n != 0 {
				return int64(n)
			}
			return nil
		},
		set: func(d *draft, v value) {
			if n, ok := v.uint(32); ok {
				*at(d.Event) = uint32(n)
			}
		},
	}
}

func boolean(name, description string, at func(*process.Event) *bool) Field {
	return Field{
		Name: name, Type: Boolean, Description: description,
		get: func(e *process.Event) any {
			if *at(e) {
				return true
			}
			return nil
		},
		set: func(d *draft, v value) {
			if b, ok := v.bool(); ok {
				*at(d.Event) = b
			}
		},
	}
}

func date(name, description string, at func(*process.Event) *time.Time) Field {
	return Field{
		Name: name, Type: Date, Description: description,
		get: func(e *process.Event) any {
			if t := *at(e); !t.IsZero() {
				return t
			}
			return nil
		},
		set: func(d *draft, v value) {
			if t, ok := d.time(v); ok {
				*at(d.Event) = t
			}
		},
	}
}

// address is an IP address; to is where a document's value waits until resolve.
func address(name, description string, to func(*draft) *netip.Addr) Field {
	return Field{
		Name: name, Type: IP, Description: description,
		get: func(e *process.Event) any {
			if a := e.Session.Source; a.IsValid() {
				return a
			}
			return nil
		},
		set: func(d *draft, v value) {
			if a, err := netip.ParseAddr(d.view(v)); err == nil {
				*to(d) = a.WithZone("").Unmap()
			}
		},
	}
}

// account is the id and the name of a user or a group: what is the event's (from), and where a document's values wait
// until resolve (to).
func account(prefix, of string, from func(*process.Event) *process.User, to func(*draft) *process.User) []Field {
	return []Field{
		identifier(
			prefix+".id",
			"Id of "+of+".",
			func(e *process.Event) uint32 { return from(e).ID },
			func(d *draft) *uint32 { return &to(d).ID },
		),
		{
			Name: prefix + ".name", Type: Keyword, Description: "Name of " + of + ".",
			get:  func(e *process.Event) any { return known(from(e).Name) },
			text: func(e *process.Event) string { return from(e).Name },
			set:  func(d *draft, v value) { d.text(&to(d).Name, v) },
		},
	}
}

// identifier is an id that documents ship as a string, though it is a number.
func identifier(name, description string, from func(*process.Event) uint32, to func(*draft) *uint32) Field {
	return Field{
		Name: name, Type: Keyword, Description: description,
		get: func(e *process.Event) any {
			if id := from(e); id != process.Unset {
				return strconv.FormatUint(uint64(id), 10)
			}
			return nil
		},
		set: func(d *draft, v value) {
			if n, ok := v.uint(32); ok {
				*to(d) = uint32(n)
			}
		},
	}
}

// constant is a field that follows from the kind of event.
func constant(name, description string, t Type, get func(*process.Event) any, set func(*draft, value)) Field {
	return Field{Name: name, Type: t, Description: description, each: true, get: get, set: set}
}

// known is a string, or nil for none.
func known(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// commandLine is the command line that an event says or that its arguments make.
func commandLine(p *process.Process) string {
	if p.CommandLine != "" {
		return p.CommandLine
	}
	return strings.Join(p.Args, " ")
}
