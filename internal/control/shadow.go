// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
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
	bySpot      map[spot][]int   // that names values, beginnings of values, or networks
	byCondition map[string][]int // any other, by its words
	byField     map[string][]int // any other, by its fields
	// Of the spots, by field: how long beginnings are, and how many bits networks have, each once.
	lengths, bits map[string][]int
}

// spot is a value that a condition names, a beginning of one, or a network.
type spot struct {
	field   string
	begin   bool
	text    string
	network netip.Prefix
}

func newShadows(entries []entry, lists map[string]*List, now time.Time, zone *time.Location) *shadows {
	s := &shadows{
		entries: entries, zone: zone, tests: map[*Condition]func(string) bool{},
		bySpot: map[spot][]int{}, byCondition: map[string][]int{}, byField: map[string][]int{},
		lengths: map[string][]int{}, bits: map[string][]int{},
	}
	shared := map[spot]int{}
	for i := range entries {
		for j := range entries[i].Conditions {
			c := &entries[i].Conditions[j]
			s.prepare(c, lists)
			for _, v := range c.spots() {
				shared[v]++
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

// prepare has the tests of a condition and of those within it ready.
func (s *shadows) prepare(c *Condition, lists map[string]*List) {
	if c.Field != "" {
		s.tests[c] = c.valueTest(lists)
	}
	for _, within := range [][]Condition{c.Any, c.All} {
		for i := range within {
			s.prepare(&within[i], lists)
		}
	}
}

// spots are those of which one leads to whatever the condition covers; none where it may cover more.
func (c *Condition) spots() (all []spot) {
	if c.Not {
		return nil
	}
	if a, ok := anchorOf(c, 0); ok {
		for _, p := range a.places() {
			all = append(all, spot{field: c.Field, begin: p.begin, text: p.text, network: p.network})
		}
		return all
	}
	for i := range c.Any {
		of := c.Any[i].spots()
		if len(of) == 0 {
			return nil
		}
		all = append(all, of...)
	}
	for i := range c.All {
		if of := c.All[i].spots(); len(of) > 0 {
			return of
		}
	}
	return all
}

// fields are those that a condition tests.
func (c *Condition) fields() (names []string) {
	if c.Field != "" {
		return []string{c.Field}
	}
	for _, within := range [][]Condition{c.Any, c.All} {
		for i := range within {
			names = append(names, within[i].fields()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// add has an item found by that of its conditions which the fewest share.
func (s *shadows) add(i int, shared map[spot]int) {
	all := s.entries[i].Conditions
	var rarest []spot
	least := 0
	for j := range all {
		spots, n := all[j].spots(), 0
		for _, v := range spots {
			n += shared[v]
		}
		if n > 0 && (rarest == nil || n < least) {
			rarest, least = spots, n
		}
	}
	for _, at := range rarest {
		s.bySpot[at] = append(s.bySpot[at], i)
		switch {
		case at.begin:
			s.lengths[at.field] = insert(s.lengths[at.field], len(at.text))
		case at.network.IsValid():
			s.bits[at.field] = insert(s.bits[at.field], at.network.Bits())
		}
	}
	if rarest != nil {
		return
	}
	c := &all[0]
	s.byCondition[c.String()] = append(s.byCondition[c.String()], i)
	for _, field := range c.fields() {
		s.byField[field] = append(s.byField[field], i)
	}
}

// candidates adds the items that may cover a condition.
func (s *shadows) candidates(c *Condition, list []int) []int {
	list = append(list, s.byCondition[c.String()]...)
	switch {
	case len(c.Any) > 0:
		list = s.candidates(&c.Any[0], list) // whatever covers all of them covers this one
	case len(c.All) > 0:
		for i := range c.All {
			list = s.candidates(&c.All[i], list)
		}
	default:
		list = append(list, s.byField[c.Field]...)
		if of := c.spots(); len(of) > 0 { // whatever covers it covers this one
			list = s.around(of[0], list)
		}
	}
	return list
}

// around adds the items of a spot, and of those that include it.
func (s *shadows) around(at spot, list []int) []int {
	if !at.begin {
		list = append(list, s.bySpot[at]...)
	}
	for _, n := range s.lengths[at.field] {
		if n <= len(at.text) {
			list = append(list, s.bySpot[spot{field: at.field, begin: true, text: at.text[:n]}]...)
		}
	}
	narrow := at.network
	if !narrow.IsValid() && !at.begin {
		narrow, _ = network(at.text) // most texts are none
	}
	for _, n := range s.bits[at.field] {
		if !narrow.IsValid() || n > narrow.Bits() {
			break
		}
		if wide, err := narrow.Addr().Prefix(n); err == nil {
			list = append(list, s.bySpot[spot{field: at.field, network: wide}]...)
		}
	}
	return list
}

// of is the first item that shadows another; ok is false where none does.
func (s *shadows) of(i int) (wider entry, ok bool) {
	e := s.entries[i]
	var candidates []int
	for j := range e.Conditions {
		candidates = s.candidates(&e.Conditions[j], candidates)
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
	covered := func(one Condition) bool { return s.covers(c, &one) }
	covering := func(one Condition) bool { return s.covers(&one, other) }
	switch {
	case reflect.DeepEqual(c, other):
		return true
	case (c.Field == "" && c.Not) || (other.Field == "" && other.Not):
		return false
	case len(other.Any) > 0:
		return !slices.ContainsFunc(other.Any, func(one Condition) bool { return !covered(one) })
	case len(c.All) > 0:
		return !slices.ContainsFunc(c.All, func(one Condition) bool { return !covering(one) })
	case len(other.All) > 0:
		return slices.ContainsFunc(other.All, covered)
	case len(c.Any) > 0:
		return slices.ContainsFunc(c.Any, covering)
	}
	return c.Field == other.Field && s.coversTest(c, other)
}

// coversTest is covers for two tests of one field.
func (s *shadows) coversTest(c, other *Condition) bool {
	present, absent := c.Exists != nil && *c.Exists != c.Not, c.Exists != nil && *c.Exists == c.Not
	switch {
	case present:
		return other.Exists == nil && !other.Not || other.Exists != nil && *other.Exists != other.Not
	case absent:
		return other.Exists != nil && *other.Exists == other.Not
	case other.Exists != nil: // a missing field passes what is negated
		return c.Not && *other.Exists == other.Not
	case c.Not && other.Not:
		return s.passes(other, c)
	case c.Not:
		values, test := other.exact(), s.tests[c]
		return test != nil && len(values) > 0 && !several(c.Field) && !slices.ContainsFunc(values, test)
	case other.Not:
		return false
	}
	return s.passes(c, other)
}

// passes reports whether each value that passes the test of other passes that of c, whatever not says.
func (s *shadows) passes(c, other *Condition) bool {
	switch values, test := other.exact(), s.tests[c]; {
	case len(values) > 0:
		return test != nil && !slices.ContainsFunc(values, func(v string) bool { return !test(v) })
	case len(c.CIDR) > 0 && len(other.CIDR) > 0:
		return !slices.ContainsFunc(other.CIDR, func(narrow string) bool {
			return !slices.ContainsFunc(c.CIDR, func(wide string) bool { return encloses(wide, narrow) })
		})
	case len(c.Matches) > 0 && len(other.Matches) > 0:
		return !slices.ContainsFunc(other.Matches, func(narrow string) bool {
			return !slices.ContainsFunc(c.Matches, func(wide string) bool { return generalises(wide, narrow) })
		})
	case !c.Range.empty() && !other.Range.empty():
		return c.Range.encloses(other.Range)
	}
	return c.InList != "" && c.InList == other.InList || c.Regexp != "" && c.Regexp == other.Regexp
}

// encloses reports whether a network has all addresses of another.
func encloses(wide, narrow string) bool {
	w, errWide := network(wide)
	n, errNarrow := network(narrow)
	return errWide == nil && errNarrow == nil && w.Bits() <= n.Bits() && w.Contains(n.Addr())
}

// generalises reports whether a pattern fits every text that another fits. The * of the narrow one is text to the wide
// one, which only its own * may take; a ? is not to.
func generalises(wide, narrow string) bool {
	return wildcard(wide, narrow) && !(strings.Contains(wide, "?") && strings.Contains(narrow, "*"))
}

// encloses reports whether an interval has all quantities of another.
func (r Range) encloses(narrow Range) bool {
	for _, b := range r.bounds() {
		if len(b.value) > 0 && !b.bindsAll(narrow) {
			return false
		}
	}
	return true
}

// bindsAll reports whether every quantity of an interval keeps a bound, by that of the interval's bounds which lies on
// the same side.
func (b bound) bindsAll(interval Range) bool {
	at, ok := quantityOf(b.value[0])
	for _, other := range interval.bounds() {
		if len(other.value) == 0 || other.holds(1) != b.holds(1) {
			continue
		}
		q, okOther := quantityOf(other.value[0])
		if !ok || !okOther || q.isTime != at.isTime {
			continue
		}
		if c := q.compare(at); b.holds(c) || c == 0 && !other.holds(0) {
			return true
		}
	}
	return false
}
