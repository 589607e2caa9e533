// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/process"
)

// Encode returns what the event says as a nested ECS document. It shares no memory with e. What is unknown is left out,
// and so is @timestamp, which libbeat keeps beside the document. Bytes that are not UTF-8 become U+FFFD, as JSON has no
// way to say them. Dates are strings, as in JSON.
//
// Who ships the document adds what is said of it rather than by it: event.module, event.dataset, data_stream.*, and
// host.* where the event is this host's.
func Encode(e *process.Event) mapstr.M {
	s := sketches.Get().(*sketch)
	defer sketches.Put(s)
	s.read(e)
	return s.document()
}

// sketch is a document of which the values are known, and how many each object has, so that the maps are made in their
// final sizes.
type sketch struct {
	values  []any      // by their fields in the table; nil: unknown
	sizes   []int      // by objects
	objects []mapstr.M // nil: it has no fields
	texts   texts
}

var sketches = sync.Pool{New: func() any {
	return &sketch{
		values: make([]any, len(table)), sizes: make([]int, len(objects)), objects: make([]mapstr.M, len(objects)),
	}
}}

// room is for how many fields more than the table's the document has room, and so does each of its objects: those that
// who ships it, and libbeat, add.
const (
	room       = 6
	roomObject = 2
)

// read takes the values from an event.
func (s *sketch) read(e *process.Event) {
	clear(s.sizes)
	for i := range table {
		f := &table[i]
		if s.values[i] = s.value(f, e); s.values[i] == nil {
			continue
		}
		for at := f.in; ; at = objects[at].in {
			s.sizes[at]++
			if at == 0 || s.sizes[at] > 1 {
				break // the objects around it count this one already
			}
		}
	}
}

// value is an event's value of a field, in memory of its own.
func (s *sketch) value(f *Field, e *process.Event) any {
	if f.Name == "@timestamp" {
		return nil
	}
	if f.text != nil {
		if t := f.text(e); t != "" {
			return s.texts.own(t)
		}
		return nil
	}
	switch v := f.get(e).(type) {
	case string:
		return s.texts.own(v)
	case []string:
		list := make([]string, len(v))
		for i, one := range v {
			list[i] = s.texts.own(one)
		}
		return list
	case netip.Addr:
		return v.String()
	case time.Time:
		return v.Format(time.RFC3339Nano)
	default:
		return v
	}
}

// document makes the maps, and lets go of the values.
func (s *sketch) document() mapstr.M {
	s.objects[0] = make(mapstr.M, s.sizes[0]+room)
	for i, n := range s.sizes[1:] {
		if n > 0 {
			o := &objects[i+1]
			s.objects[i+1] = make(mapstr.M, n+roomObject)
			s.objects[o.in][o.name] = s.objects[i+1]
		}
	}
	for i, v := range s.values {
		if v != nil {
			path := table[i].path
			s.objects[table[i].in][path[len(path)-1]] = v
		}
	}
	doc := s.objects[0]
	clear(s.values)
	clear(s.objects)
	s.texts = nil
	return doc
}

// texts is memory for the strings of one document: many small ones in few allocations.
type texts []byte

// textBytes holds the strings of nearly every document.
const textBytes = 512

// own returns a copy of a view into an event.
func (t *texts) own(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if s == "" {
		return s
	}
	if cap(*t)-len(*t) < len(s) {
		*t = make(texts, 0, max(textBytes, len(s)))
	}
	begin := len(*t)
	*t = append(*t, s...)
	return unsafe.String(&(*t)[begin], len(s)) // nothing is written there again
}
