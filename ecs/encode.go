// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"net/netip"
	"strings"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/process"
)

// Encode returns what the event says as a nested ECS document. It shares no memory with e. What is unknown is left out,
// and so is @timestamp, which libbeat keeps beside the document. Bytes that are no UTF-8 become U+FFFD, as JSON has no
// way to say them.
//
// Who ships the document adds what is said of it rather than by it: event.module, event.dataset, data_stream.*, and
// host.* where the event is this host's.
func Encode(e *process.Event) mapstr.M {
	doc := mapstr.M{}
	for i := range table {
		f := &table[i]
		if f.Name == "@timestamp" {
			continue
		}
		if v := f.get(e); v != nil {
			put(doc, f.path, own(v))
		}
	}
	return doc
}

// put sets a nested field.
func put(m mapstr.M, path []string, v any) {
	for _, part := range path[:len(path)-1] {
		next, ok := m[part].(mapstr.M)
		if !ok {
			next = mapstr.M{}
			m[part] = next
		}
		m = next
	}
	m[path[len(path)-1]] = v
}

// own makes of a value that is a view into an event one that stays.
func own(v any) any {
	switch v := v.(type) {
	case string:
		return clean(v)
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = clean(s)
		}
		return list
	case netip.Addr:
		return v.String()
	}
	return v
}

func clean(s string) string { return strings.Clone(strings.ToValidUTF8(s, "\uFFFD")) }
