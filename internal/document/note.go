// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/guide"
)

// noteField is the guide in an alert. The Elastic Common Schema has no field for it; Kibana's own alerts have
// kibana.alert.rule.note.
const noteField = "rule.note"

// noteFields are the fields of the guide, by their types in Elasticsearch.
var noteFields = map[string]string{noteField: "match_only_text"}

// addNote puts the guide of an alert into its document, with the concrete values of its other fields.
func (m *Maker) addNote(fields mapstr.M, f *detector.Finding) {
	g := guide.Alert{
		Value: func(field string) string { return m.noteValue(fields, field) },
		Note:  f.Rule.Note, FalsePositives: f.Rule.FalsePositives, References: f.Rule.References,
	}
	for _, p := range f.Explained() {
		g.Parts = append(g.Parts, guide.Part{Nats: p.Nats, Words: p.Words})
	}
	put(fields, noteField, g.Markdown())
}

// noteValue is a field of an alert as text; empty: it has none. libbeat adds this host's name only on the way out.
func (m *Maker) noteValue(fields mapstr.M, field string) string {
	v, err := fields.GetValue(field)
	if err != nil || v == nil {
		if field == "host.id" {
			return m.Host.ID
		}
		return ""
	}
	if at, ok := v.(time.Time); ok {
		return at.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}
