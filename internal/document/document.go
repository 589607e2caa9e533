// SPDX-License-Identifier: Apache-2.0

package document

import (
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/dataset"
)

// Document is what ships: a libbeat event with what the journal must know of it.
type Document struct {
	beat.Event
	ID   string // _id: the same exec, alert or summary has the same one, however often it is read
	Keep Keep
}

// Keep is how safely a document is kept until the output has acknowledged it.
type Keep uint8

// The ways to keep a document, from the least to the most.
const (
	InMemory  Keep = iota // raw events that no rule matched, which only `events: all` ships
	Journaled             // raw events of matches
	Durable               // alerts and what is concluded of several execs: on disk before they are handed on
)

// Address says which data stream a document of a kind belongs to. event.module distinguishes our documents from all
// others, whatever the user calls the data set.
func Address(fields mapstr.M, cfg config.Config, kind dataset.Kind) {
	name := kind.In(cfg.Dataset)
	event := object(fields, "event")
	event["module"], event["dataset"] = "reconbeat", name
	fields["data_stream"] = mapstr.M{"type": dataset.Type, "dataset": name, "namespace": cfg.Namespace}
}

// Identify gives a document its _id, which makes of a second delivery a conflict instead of a double. A data stream
// takes documents by `create` only.
func Identify(doc *beat.Event, id string) {
	doc.Meta["_id"] = id
	doc.Meta["op_type"] = "create"
}

// object is the object of that name in a document of ours, which is made where there is none.
func object(m mapstr.M, name string) mapstr.M {
	o, ok := m[name].(mapstr.M)
	if !ok {
		o = mapstr.M{}
		m[name] = o
	}
	return o
}

// put sets a dotted field. The documents are ours, so that no part of the way can be anything but an object.
func put(m mapstr.M, field string, value any) { _, _ = m.Put(field, value) }

// MarkTest says in an alert that it is a test's, and why it was made.
func (d *Document) MarkTest(f *detector.Finding, reason string) {
	put(d.Fields, "reconbeat.alert.test", true)
	put(d.Fields, "message", "Test of reconbeat: "+f.Message())
	put(d.Fields, "event.reason", reason)
}
