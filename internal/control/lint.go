// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Lint returns what is legal in controls and yet probably a mistake. known gives the type of a field in Elasticsearch,
// empty where there is none; rules are the ids of all rules, now is when.
func Lint(all Items, known func(field string) string, rules []string, now time.Time) (notes []string) {
	zone := all.Zone
	if zone == nil {
		zone = time.UTC
	}
	entries := all.entries()
	shadows := newShadows(entries, all.Lists, now, zone)
	for i, e := range entries {
		note := func(format string, args ...any) {
			notes = append(notes, fmt.Sprintf("%s %q: ", e.kind, e.ID)+fmt.Sprintf(format, args...))
		}
		if e.expired(now, zone) {
			note("expires: it has expired (%s) and holds nothing back", e.Expires)
		}
		if e.Comment == "" && e.kind != KindApproval { // which has a ticket
			note("comment: is missing; whoever reviews it does not learn why it is there")
		}
		for _, r := range e.Rules {
			if !slices.Contains(rules, r) {
				note("rules: %q is the id of no rule; the rules are %s", r, strings.Join(rules, ", "))
			}
		}
		if e.schedule != nil {
			lintSchedule(e, now, zone, note)
		}
		lintConditions(e.Conditions, "conditions", known, note)
		lintValues(e.Conditions, "conditions", rules, note)
		if why := contradiction(e.Conditions, all.Lists); why != "" {
			note("conditions: it can never apply: %s", why)
		}
		if !slices.ContainsFunc(e.Conditions, Condition.names) && e.Action != detector.Tag {
			note("conditions: none of them names a value, the beginning of one, or a network, so that it is wide, and " +
				"tried at every match")
		}
		if wider, ok := shadows.of(i); ok && !e.expired(now, zone) {
			note("it is shadowed by %q, which holds back the same and more", wider.ID)
		}
	}
	return notes
}

// lintSchedule notes what the times of a window have to say.
func lintSchedule(e entry, now time.Time, zone *time.Location, note func(string, ...any)) {
	s, err := e.schedule(zone)
	if err != nil {
		return // Check has refused it
	}
	until, err := e.Expires.end(zone)
	switch open := s.has(now); {
	case !open && s.to.Sub(now) == longest:
		note("none of its times is within the next year")
	case !open && err == nil && now.Before(until) && !s.to.Before(until):
		note("expires: it expires (%s) before the next of its times", e.Expires)
	}
	for _, c := range s.unmet() {
		note("except: %s is none of its times", c)
	}
}

// names reports whether what meets the condition has a value, the beginning of one, or a network that it names.
func (c Condition) names() bool {
	if c.Field != "" {
		_, ok := anchorOf(&c, 0)
		return ok || (c.InList != "" || len(c.exact()) > 0) && !c.Not
	}
	return slices.ContainsFunc(c.All, Condition.names) ||
		len(c.Any) > 0 && !slices.ContainsFunc(c.Any, func(c Condition) bool { return !c.names() })
}

func (e *Exception) expired(now time.Time, zone *time.Location) bool {
	until, err := e.Expires.end(zone)
	return err == nil && !until.IsZero() && !now.Before(until)
}

// lintConditions notes what a field's type has to say of its tests.
func lintConditions(all []Condition, path string, known func(string) string, note func(string, ...any)) {
	for i := range all {
		c, at := &all[i], fmt.Sprintf("%s.%d", path, i)
		lintConditions(c.Any, at+".any", known, note)
		lintConditions(c.All, at+".all", known, note)
		if c.Field == "" {
			continue
		}
		kind := known(c.Field)
		switch {
		case kind == "":
			note("%s.field: %q is unknown; no alert has it, unless a module's `fields` or `processors` add it", at, c.Field)
		case len(c.CIDR) > 0 && kind != "ip":
			note("%s.cidr: %s holds no addresses; it is of type %s", at, c.Field, kind)
		}
		for _, v := range c.exact() {
			if why := unlike(kind, v); why != "" {
				note("%s: %s %s", at, c.Field, why)
			}
		}
		for _, b := range c.Range.bounds() {
			if len(b.value) == 0 {
				continue
			}
			if q, _ := quantityOf(b.value[0]); q.isTime && numeric(kind) || !q.isTime && kind == "date" {
				note("%s.range.%s: %s is of type %s, and %q is not", at, b.key, c.Field, kind, b.value[0])
			}
		}
	}
}

// always are the fields of which every alert that can be held back has one of few values.
var always = map[string][]string{
	"event.kind": {"alert"}, "event.action": {"alert"}, "event.type": {"info"}, "host.os.type": {"linux"},
}

// scores are the fields from 0 to 100.
var scores = []string{"reconbeat.anomaly.score", "reconbeat.anomaly.record_score"}

// raised are the fields, or their beginnings, that an alert has only when it has been raised.
var raised = []string{
	"event.id", "reconbeat.alert.", "reconbeat.anomaly.typical_users", "reconbeat.correlation.", "reconbeat.episode.",
	"reconbeat.habit.", "rule.note",
}

// lintValues notes values that no alert has, or none yet when controls are asked.
func lintValues(all []Condition, path string, rules []string, note func(string, ...any)) {
	for i := range all {
		c, at := &all[i], fmt.Sprintf("%s.%d", path, i)
		lintValues(c.Any, at+".any", rules, note)
		lintValues(c.All, at+".all", rules, note)
		if slices.ContainsFunc(raised, func(f string) bool { return strings.HasPrefix(c.Field, f) }) {
			note("%s.field: %s is known only when the alert is raised, after the controls", at, c.Field)
		}
		possible := always[c.Field]
		if c.Field == "rule.id" {
			possible = rules
		}
		if c.Not {
			continue
		}
		for _, v := range c.exact() {
			if len(possible) > 0 && !slices.Contains(possible, v) {
				note("%s: %s is %s, and never %q", at, c.Field, strings.Join(possible, " or "), v)
			}
		}
		if slices.Contains(scores, c.Field) && !c.Range.empty() &&
			impossible(c.Range, Range{GTE: Texts{"0"}, LTE: Texts{"100"}}) && !impossible(c.Range) {
			note("%s.range: %s lies between 0 and 100", at, c.Field)
		}
	}
}

// unlike says why no field of a type in Elasticsearch has a value; empty where it may have it.
func unlike(kind, value string) string {
	if value == "" {
		return "is never empty; write exists: false where it has no value"
	}
	switch {
	case numeric(kind):
		if q, ok := quantityOf(value); !ok || q.isTime {
			return fmt.Sprintf("is a number (%s), and %q is none", kind, value)
		}
	case kind == "boolean" && value != "true" && value != "false":
		return fmt.Sprintf("is true or false, and never %q", value)
	case kind == "date":
		if _, ok := instantOf(value); !ok {
			return fmt.Sprintf("is a time such as 2026-01-31T08:00:00Z, and %q is none; a day is a range", value)
		}
	case kind == "ip":
		address, ok := canonical(value)
		switch {
		case isNetwork(value):
			return fmt.Sprintf("is an address, and %q a network; write cidr", value)
		case !ok:
			return fmt.Sprintf("is an address, and %q is none", value)
		case address != value:
			return fmt.Sprintf("has this address as %q; write it so, or write cidr", address)
		}
	}
	return ""
}

func numeric(kind string) bool {
	return slices.Contains([]string{"long", "integer", "short", "byte", "float", "double", "scaled_float"}, kind)
}

// Meanings say in a sentence each what the items are about, in the order of the Set.
func (all Items) Meanings() (sentences []string) {
	for i := range all.Exceptions {
		sentences = append(sentences, all.Exceptions[i].meaning(""))
	}
	for i := range all.Windows {
		sentences = append(sentences, all.Windows[i].meaning())
	}
	for i := range all.Newcomers {
		sentences = append(sentences, all.Newcomers[i].meaning())
	}
	for i := range all.Approvals {
		sentences = append(sentences, all.Approvals[i].meaning(" for "+all.Approvals[i].Ticket))
	}
	for i := range all.Known {
		sentences = append(sentences, all.Known[i].meaning(""))
	}
	return sentences
}

// meaning says what the item does with which matches, and when.
func (e *Exception) meaning(when string) string {
	what := map[string]string{
		detector.SkipResult:      "raises no alert",
		detector.SkipModelUpdate: "is not learned",
		detector.SkipBoth:        "raises no alert and is not learned",
		detector.Tag:             "is tagged",
		detector.Welcome:         "raises no alert and is learned",
	}[e.Action]
	of := "A match"
	if len(e.Rules) > 0 {
		of += " of " + strings.Join(e.Rules, " or ")
	}
	var conditions []string
	for i := range e.Conditions {
		conditions = append(conditions, e.Conditions[i].String())
	}
	if len(conditions) > 0 {
		of += " with " + strings.Join(conditions, " and ")
	}
	until := ""
	if e.Expires != "" {
		until = ", until " + string(e.Expires)
	}
	return fmt.Sprintf("%s %s%s%s.", of, what, when, until)
}

func (w *Window) meaning() string {
	list := func(all []Clock) string {
		var texts []string
		for _, c := range all {
			texts = append(texts, c.String())
		}
		return strings.Join(texts, ", ")
	}
	when := fmt.Sprintf(" for %s from", w.Duration)
	if !w.Start.IsZero() {
		when += " " + w.Start.String()
	}
	if w.Rule.text != "" {
		when += " by " + w.Rule.text
	}
	if len(w.Dates) > 0 {
		if !w.Start.IsZero() {
			when += " and"
		}
		when += " on " + list(w.Dates)
	}
	if w.Timezone != "" {
		when += " (" + w.Timezone + ")"
	}
	if len(w.Except) > 0 {
		when += ", except " + list(w.Except)
	}
	return w.Exception.meaning(when)
}

// String is the condition in words.
func (c *Condition) String() string {
	list := func(values Texts) string { return strings.Join(values, " or ") }
	is := map[bool]string{false: "is", true: "is not"}[c.Not]
	does := map[bool]string{false: "", true: "not "}[c.Not]
	group := func(all []Condition, joint string) string {
		var parts []string
		for i := range all {
			parts = append(parts, all[i].String())
		}
		return does + "(" + strings.Join(parts, joint) + ")"
	}
	switch {
	case len(c.Any) > 0:
		return group(c.Any, " or ")
	case len(c.All) > 0:
		return group(c.All, " and ")
	case c.Exists != nil:
		return c.Field + map[bool]string{true: " present", false: " absent"}[*c.Exists != c.Not]
	case len(c.exact()) > 0:
		return fmt.Sprintf("%s that %s %s", c.Field, is, list(c.exact()))
	case len(c.Matches) > 0:
		return fmt.Sprintf("%s that %s like %s", c.Field, is, list(c.Matches))
	case c.Regexp != "":
		return fmt.Sprintf("%s that %s like the regular expression %s", c.Field, is, c.Regexp)
	case len(c.CIDR) > 0:
		return fmt.Sprintf("%s that %s in %s", c.Field, is, list(c.CIDR))
	case c.InList != "":
		return fmt.Sprintf("%s that %s in the list %s", c.Field, is, c.InList)
	}
	var bounds []string
	for _, b := range c.Range.bounds() {
		if len(b.value) > 0 {
			sign := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[b.key]
			bounds = append(bounds, sign+" "+b.value[0])
		}
	}
	return fmt.Sprintf("%s that %s %s", c.Field, is, strings.Join(bounds, " and "))
}
