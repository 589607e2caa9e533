// SPDX-License-Identifier: Apache-2.0

package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case []string:
		return strings.Join(v, ", ")
	case []mapstr.M:
		return noteList(v)
	}
	return fmt.Sprint(v)
}

// noteList is a list of programs, or of changes of an account, as text, the latest first: of many, the earliest go.
func noteList(list []mapstr.M) string {
	var texts []string
	for _, one := range slices.Backward(list) {
		value := func(field string) string {
			v, err := one.GetValue(field)
			if err != nil {
				return ""
			}
			return fmt.Sprint(v)
		}
		if action := value("action"); action != "" {
			if at, ok := one["time"].(time.Time); ok {
				action = at.UTC().Format(time.RFC3339) + " " + action
			}
			if by := cmp.Or(value("user.name"), value("user.id")); by != "" {
				action += " by " + by
			}
			texts = append(texts, action)
			continue
		}
		texts = append(texts, cmp.Or(value("command_line"), value("name")))
	}
	return strings.Join(texts, "; ")
}
