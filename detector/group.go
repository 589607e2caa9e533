// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// Grouping is what matches over the threshold have in common that belong to one episode. Without fields it is the
// actor, on a host, under a rule; with fields it is the rule and the fields' values, as in Elastic's alert suppression.
type Grouping struct {
	Fields  []string // at most MaxGroupFields
	Missing string   // what becomes of a match without one of the fields; empty: MissingSuppress
}

// What a Grouping does with a match that lacks one of the fields, in the words of Elastic's rules.
const (
	MissingSuppress      = "suppress"      // it is of one group with the others that lack it
	MissingDoNotSuppress = "doNotSuppress" // it is an episode of its own
)

// MaxGroupFields is as many as Elastic's rules allow.
const MaxGroupFields = 3

// Value is a field of the alert that a match would be; nil: it has none.
type Value func(*process.Event, *Finding, string) any

// groups reports whether the episode that an alert opened is a group's and goes on: who comes is reported in it.
func (d *Detector) groups(alert string) bool {
	if len(d.o.Group.Fields) == 0 {
		return false
	}
	for _, ep := range d.episodes {
		if ep.alertID == alert && len(ep.Group) > 0 {
			return true
		}
	}
	return false
}

// groupOf is whose episode a match belongs to, and the group in words; none where it is the actor's.
func (d *Detector) groupOf(m *match) (key episodeKey, group []string) {
	g := d.o.Group
	if len(g.Fields) == 0 {
		return m.key, nil
	}
	missing := false
	for _, field := range g.Fields {
		var v any
		if d.o.Value != nil {
			v = d.o.Value(m.event, &m.finding, field)
		} else {
			v = m.finding.Value(field)
		}
		if v == nil || v == "" {
			missing = true
			group = append(group, field+": none")
			continue
		}
		text := fmt.Sprint(v)
		if list, ok := v.([]string); ok {
			text = strings.Join(list, ", ")
		}
		group = append(group, field+": "+text)
	}
	id := process.ID(append([]string{"group"}, group...)...)
	if missing && g.Missing == MissingDoNotSuppress {
		id = m.alertID()
	}
	for i, text := range group { // the id has all of it
		if len(text) > commandBytes {
			text = text[:commandBytes]
		}
		group[i] = strings.Clone(text)
	}
	return episodeKey{rule: m.key.rule, actor: "group " + id}, slices.Clip(group)
}
