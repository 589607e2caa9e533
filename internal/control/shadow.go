// SPDX-License-Identifier: Apache-2.0

package control

import (
	"reflect"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// shadows finds of each item one that does all that it does, and more. Of 10,000 items it compares few with each other:
// those that have a value, or a condition, in common.
type shadows struct {
	entries []entry
	zone    *time.Location
	tests   map[*Condition]func(string) bool
	// By one condition of each item that holds at any time.
	byValue     map[named][]int  // that names values
	byCondition map[string][]int // any other, by its words
	byField     map[string][]int // any other that values may pass
}

// named is a value that a condition names.
type named struct{ field, value string }

func newShadows(entries []entry, lists map[string]*List, now time.Time, zone *time.Location) *shadows {
	s := &shadows{
		entries: entries, zone: zone, tests: map[*Condition]func(string) bool{},
		byValue: map[named][]int{}, byCondition: map[string][]int{}, byField: map[string][]int{},
	}
	shared := map[named]int{}
	for i := range entries {
		for j := range entries[i].Conditions {
			c := &entries[i].Conditions[j]
			if c.Field != "" {
				s.tests[c] = c.valueTest(lists)
			}
			for _, v := range c.exact() {
				shared[named{c.Field, v}]++
			}
		}
	}
	for i, e := range entries {
		if e.always() && !e.expired(now, zone) && len(e.Conditions) > 0 {
			s.add(i, shared)
		}
	}
	return s
}

// add has an item found by that of its conditions which the fewest share.
func (s *shadows) add(i int, shared map[named]int) {
	all := s.entries[i].Conditions
	var rarest *Condition
	least := 0
	for j := range all {
		c, n := &all[j], 0
		for _, v := range c.exact() {
			n += shared[named{c.Field, v}]
		}
		if n > 0 && !c.Not && (rarest == nil || n < least) {
			rarest, least = c, n
		}
	}
	if rarest != nil {
		for _, v := range rarest.exact() {
			at := named{rarest.Field, v}
			s.byValue[at] = append(s.byValue[at], i)
		}
		return
	}
	c := &all[0]
	s.byCondition[c.String()] = append(s.byCondition[c.String()], i)
	if c.Field != "" && !c.Not {
		s.byField[c.Field] = append(s.byField[c.Field], i)
	}
}

// of is the first item that shadows another; ok is false where none does.
func (s *shadows) of(i int) (wider entry, ok bool) {
	e := s.entries[i]
	var candidates []int
	for j := range e.Conditions {
		c := &e.Conditions[j]
		candidates = append(candidates, s.byCondition[c.String()]...)
		if c.Not || c.Field == "" {
			continue
		}
		candidates = append(candidates, s.byField[c.Field]...)
		if values := c.exact(); len(values) > 0 {
			candidates = append(candidates, s.byValue[named{c.Field, values[0]}]...)
		}
	}
	slices.Sort(candidates)
	for _, j := range slices.Compact(candidates) {
		other := s.entries[j]
		twins := e.always() && i < j && s.includes(&e, &other) // else one may hold when the other does not
		if i != j && s.includes(&other, &e) && !twins {
			return other, true
		}
	}
	return entry{}, false
}

// includes reports whether an item does all that another does.
func (s *shadows) includes(wide, narrow *entry) bool {
	until, err := wide.Expires.end(s.zone)
	narrowUntil, errNarrow := narrow.Expires.end(s.zone)
	lasts := until.IsZero() || !narrowUntil.IsZero() && !until.Before(narrowUntil)
	rules := len(wide.Rules) == 0 || len(narrow.Rules) > 0 && !slices.ContainsFunc(narrow.Rules, func(r string) bool {
		return !slices.Contains(wide.Rules, r)
	})
	action := wide.Action == narrow.Action || wide.Action == detector.SkipBoth && narrow.Action != detector.Tag
	if err != nil || errNarrow != nil || !lasts || !rules || !action {
		return false
	}
	for i := range wide.Conditions { // each of its conditions is one of the other's
		met := false
		for j := range narrow.Conditions {
			met = met || s.covers(&wide.Conditions[i], &narrow.Conditions[j])
		}
		if !met {
			return false
		}
	}
	return true
}

// covers reports whether a condition holds wherever another does, as far as it is easily seen.
func (s *shadows) covers(c, other *Condition) bool {
	if c.Field != other.Field {
		return false
	}
	values := other.exact()
	switch test := s.tests[c]; {
	case reflect.DeepEqual(c, other):
		return true
	case c.Field == "" || c.Not || other.Not:
		return false
	case c.Exists != nil:
		return *c.Exists && other.Exists == nil
	default:
		return test != nil && len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !test(v) })
	}
}
