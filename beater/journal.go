// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/state"
)

// journal writes documents into the state, which hands them on to the publisher. What need not be kept goes past it.
type journal struct {
	store       *state.Store
	direct      *direct
	logger      *logp.Logger
	unencodable atomic.Uint64 // documents that could not be encoded; should always be 0
}

// ship takes a document on its way.
func (j *journal) ship(d *document.Document) {
	if d.Keep == document.InMemory && j.direct.write(d) {
		return
	}
	j.write(d)
}

func (j *journal) write(d *document.Document) {
	line, err := encode(&d.Event)
	if err != nil {
		j.unencodable.Add(1)
		j.logger.Errorf("a document cannot be encoded and does not ship: %v", err)
		return
	}
	entry := state.Entry{ID: d.ID, Durable: d.Keep == document.Durable, Time: d.Timestamp, Document: line}
	if _, err := j.store.Append(entry); err != nil {
		j.logger.Errorf("a document does not ship: %v", err)
	}
}

// journaled is how a document stands in the journal.
type journaled struct {
	Timestamp time.Time `json:"@timestamp"`
	Meta      mapstr.M  `json:"@metadata"`
	Fields    mapstr.M  `json:"fields"`
}

func encode(e *beat.Event) ([]byte, error) {
	return json.Marshal(journaled{e.Timestamp, e.Meta, e.Fields})
}

// decode makes of a journal entry the event that it was. Whole numbers come back as integers: Elasticsearch takes 3.0
// for a long, but ids above 2^53 would change.
func decode(line []byte) (beat.Event, error) {
	var j journaled
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&j); err != nil {
		return beat.Event{}, fmt.Errorf("decoding a document: %w", err)
	}
	numbers(j.Meta)
	numbers(j.Fields)
	return beat.Event{Timestamp: j.Timestamp, Meta: j.Meta, Fields: j.Fields}, nil
}

// numbers turns the decoder's numbers and maps into those that libbeat's outputs know.
func numbers(m map[string]any) {
	for k, v := range m {
		m[k] = number(v)
	}
}

func number(v any) any {
	switch v := v.(type) {
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			if n, err := v.Int64(); err == nil {
				return n
			}
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		numbers(v)
		return mapstr.M(v)
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	}
	return v
}
