// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Match is what a Set is asked about: the fields that the alert on a match would have.
type Match interface {
	// Value is a field's value: a text, a number, true or false, a time, or a list of them; nil where there is none.
	Value(field string) any
}

// Items are what a Set is made of.
type Items struct {
	Exceptions []Exception
	Windows    []Window
	Newcomers  []Newcomer
	Approvals  []Approval
	Known      []Known          // those that are on
	Lists      map[string]*List // by the names that conditions have for them
	Zone       *time.Location   // of days and times without one; nil: UTC
}

// entry is an item of any kind, as far as all have it in common.
type entry struct {
	kind string
	*Exception
	schedule func(zone *time.Location) (*schedule, error) // nil: at any time
	grace    time.Duration                                // since the actor was first seen; 0: for ever
	approval *Approval
}

// always reports whether it holds at any time until it expires.
func (e *entry) always() bool { return e.kind == KindException || e.kind == KindKnown }

// entries are all items, in the order of the Set.
func (all *Items) entries() (list []entry) {
	for i := range all.Exceptions {
		list = append(list, entry{kind: KindException, Exception: &all.Exceptions[i]})
	}
	for i := range all.Windows {
		w := &all.Windows[i]
		list = append(list, entry{kind: KindWindow, Exception: &w.Exception, schedule: w.schedule})
	}
	for i := range all.Newcomers {
		n := &all.Newcomers[i]
		e := n.Exception
		e.Conditions = n.who()
		list = append(list, entry{kind: KindOnboarding, Exception: &e, grace: n.grace()})
	}
	for i := range all.Approvals {
		list = append(list, entry{
			kind: KindApproval, Exception: &all.Approvals[i].Exception, approval: &all.Approvals[i],
		})
	}
	for i := range all.Known {
		list = append(list, entry{kind: KindKnown, Exception: &all.Known[i].Exception})
	}
	return list
}

// Set is all controls, made ready. It belongs to one goroutine, but for Lists and Usage.
type Set struct {
	items  []*item
	byID   map[key]*item
	fields []string // that conditions are about
	byName map[string]int
	lists  []string // names of those that conditions are about
	index  index
	// nextEnd is when the next control expires that Lapse has not returned; zero: none does.
	nextEnd time.Time
	// reused
	subject subject
	found   []*item
	turn    uint64
}

// item is one control, made ready.
type item struct {
	detector.Control
	name  string
	rules []string
	tests []test
	// schedule is when it holds; nil: always.
	schedule *schedule
	grace    time.Duration // after the actor was first seen, in which it holds; 0: always
	approval *Approval     // nil: it is none
	begins   time.Time     // zero: it has always held
	place    int           // in the Set
	turn     uint64        // in which it was last tried
	tally
}

// key is what an item is called: two of one kind have different ids.
type key struct{ kind, id string }

// New makes a Set. The error names the items that cannot be made ready; Check finds what is wrong with one beforehand.
func New(all Items) (*Set, error) {
	if all.Zone == nil {
		all.Zone = time.UTC
	}
	s := &Set{byID: map[key]*item{}, byName: map[string]int{}, lists: slices.Sorted(maps.Keys(all.Lists))}
	var errs []error
	var anchors [][]anchor
	for _, e := range all.entries() {
		it, possible, err := s.ready(e, all)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", e.kind, e.ID, err))
			continue
		}
		k := key{it.Kind, it.ID}
		if s.byID[k] != nil {
			errs = append(errs, fmt.Errorf("%s %q: two have this id", e.kind, e.ID))
			continue
		}
		it.place, s.byID[k] = len(s.items), it
		s.endsBy(it.Expires)
		s.items, anchors = append(s.items, it), append(anchors, possible)
	}
	s.index = makeIndex(s.items, anchors)
	s.subject = subject{known: make([]bool, len(s.fields)), values: make([][]string, len(s.fields))}
	return s, errors.Join(errs...)
}

func (s *Set) ready(e entry, all Items) (*item, []anchor, error) {
	until, err := e.Expires.end(all.Zone)
	if err != nil {
		return nil, nil, err
	}
	it := &item{
		Control: detector.Control{ID: e.ID, Kind: e.kind, Action: e.Action, Expires: until},
		name:    e.Name, rules: e.Rules, grace: e.grace, approval: e.approval,
	}
	if e.approval != nil {
		it.begins = e.approval.begins()
	}
	if e.schedule != nil {
		if it.schedule, err = e.schedule(all.Zone); err != nil {
			return nil, nil, err
		}
	}
	var possible []anchor
	for i := range e.Conditions {
		t, err := e.Conditions[i].compile(s, all.Lists)
		if err != nil {
			return nil, nil, err
		}
		it.tests = append(it.tests, t)
		if a, ok := anchorOf(&e.Conditions[i], t.field); ok {
			possible = append(possible, a)
		}
	}
	return it, possible, nil
}

// fieldIndex is the number of a field.
func (s *Set) fieldIndex(name string) int {
	i, known := s.byName[name]
	if !known {
		i = len(s.fields)
		s.fields, s.byName[name] = append(s.fields, name), i
	}
	return i
}

// Len is how many controls there are.
func (s *Set) Len() int { return len(s.items) }

// Lists are the names of the lists that its conditions are about. Every goroutine may call it.
func (s *Set) Lists() []string { return s.lists }

// Decide asks the Set about a match of a rule at the event's time. Where several controls apply they are named in the
// order of the files.
func (s *Set) Decide(rule string, at time.Time, m Match) (d detector.Decision) {
	if len(s.items) == 0 {
		return d
	}
	s.subject.begin(s.fields, m)
	s.turn++
	s.found = s.found[:0]
	s.index.candidates(&s.subject, func(it *item) {
		if it.turn == s.turn {
			return // another of its values has led here
		}
		it.turn = s.turn
		if it.applies(rule, at, &s.subject) {
			s.found = append(s.found, it)
		}
	})
	slices.SortFunc(s.found, func(a, b *item) int { return a.place - b.place })
	for _, it := range s.found {
		it.hit(at)
		d.By = append(d.By, it.Control)
		d.NoAlert, d.NoLesson = d.NoAlert || it.NoAlert(), d.NoLesson || it.NoLesson()
		d.Welcome = d.Welcome || it.Action == detector.Welcome
	}
	return d
}

func (it *item) applies(rule string, at time.Time, s *subject) bool {
	return (it.Expires.IsZero() || at.Before(it.Expires)) && !at.Before(it.begins) &&
		(len(it.rules) == 0 || slices.Contains(it.rules, rule)) && allHold(it.tests, s) &&
		(it.schedule == nil || it.schedule.has(at)) && (it.grace == 0 || s.firstSeen(at).Add(it.grace).After(at))
}

// subject is a match whose fields are read once.
type subject struct {
	fields []string
	match  Match
	known  []bool
	values [][]string
}

func (s *subject) begin(fields []string, m Match) {
	s.fields, s.match = fields, m
	clear(s.known)
}

// FirstSeen is the field that says when the actor of a match was first seen; it has no value of one who never was.
const FirstSeen = "reconbeat.actor.first_seen"

// firstSeen is when the actor was first seen: now, of one who never was.
func (s *subject) firstSeen(now time.Time) time.Time {
	if t, ok := s.match.Value(FirstSeen).(time.Time); ok {
		return t
	}
	return now
}

// texts are the values of a field.
func (s *subject) texts(field int) []string {
	if !s.known[field] {
		s.known[field] = true
		s.values[field] = appendTexts(s.values[field][:0], s.match.Value(s.fields[field]))
	}
	return s.values[field]
}

// TextsOf are the values of a field as conditions compare them.
func TextsOf(v any) []string { return appendTexts(nil, v) }

func appendTexts(to []string, v any) []string {
	switch v := v.(type) {
	case nil:
		return to
	case []string:
		return append(to, v...)
	case []any:
		for _, one := range v {
			to = appendTexts(to, one)
		}
		return to
	case []int:
		for _, one := range v {
			to = appendTexts(to, one)
		}
		return to
	}
	if text, ok := textOf(v); ok {
		return append(to, text)
	}
	return to
}

// anchor is a condition by which an item is found: of the values of its field one must be, begin with, or lie in one of
// these.
type anchor struct {
	field    int
	texts    []string
	begin    bool // the texts are beginnings
	networks []netip.Prefix
}

// anchorOf is the anchor that a condition of an item makes; ok is false where every value of the field, or none, may
// pass it.
func anchorOf(c *Condition, field int) (a anchor, ok bool) {
	a.field = field
	switch {
	case c.Not:
		return a, false
	case len(c.exact()) > 0:
		a.texts = c.exact()
		isTime := func(text string) bool { _, ok := instantOf(text); return ok } // which may be written otherwise
		return a, !slices.ContainsFunc(a.texts, isTime)
	case len(c.Matches) > 0:
		a.begin = true
		for _, p := range c.Matches {
			end := slices.IndexFunc([]byte(p), func(b byte) bool { return b == '*' || b == '?' })
			switch {
			case end < 0:
				a.texts = append(a.texts, p)
			case end == 0:
				return a, false
			default:
				a.texts = append(a.texts, p[:end])
			}
		}
		return a, true
	case len(c.CIDR) > 0:
		for _, text := range c.CIDR {
			n, err := network(text)
			if err != nil {
				return a, false
			}
			a.networks = append(a.networks, n)
		}
		return a, true
	}
	return a, false
}

// place is where an anchor leads from: a value of a field, a beginning of one, or a network.
type place struct {
	field   int
	begin   bool
	text    string
	network netip.Prefix
}

func (a *anchor) places() (all []place) {
	for _, text := range a.texts {
		all = append(all, place{field: a.field, begin: a.begin, text: text})
	}
	for _, n := range a.networks {
		all = append(all, place{field: a.field, network: n})
	}
	return all
}

// index finds the items that may apply to a match, by one anchor of each.
type index struct {
	exact   []int // fields, each once
	lengths map[int][]int
	bits    map[int][]int
	items   map[place][]*item
	rest    []*item // without an anchor: they are tried at every match
}

func makeIndex(items []*item, anchors [][]anchor) index {
	shared, different := map[place]int{}, map[int]int{}
	for _, possible := range anchors {
		for i := range possible {
			for _, p := range possible[i].places() {
				if shared[p]++; shared[p] == 1 {
					different[p.field]++
				}
			}
		}
	}
	// What an anchor costs is how many items would be tried with it. The more different values items name of a field, the
	// less likely a match has this one.
	cost := func(a *anchor) float64 {
		n := 0
		for _, p := range a.places() {
			n += shared[p]
		}
		return float64(n) / float64(different[a.field])
	}
	x := index{lengths: map[int][]int{}, bits: map[int][]int{}, items: map[place][]*item{}}
	for i, it := range items {
		best := -1
		for j := range anchors[i] {
			if best < 0 || cost(&anchors[i][j]) < cost(&anchors[i][best]) {
				best = j
			}
		}
		if best < 0 {
			x.rest = append(x.rest, it)
			continue
		}
		a := &anchors[i][best]
		for _, p := range a.places() {
			x.items[p] = append(x.items[p], it)
			switch {
			case p.begin:
				x.lengths[a.field] = insert(x.lengths[a.field], len(p.text))
			case p.network.IsValid():
				x.bits[a.field] = insert(x.bits[a.field], p.network.Bits())
			default:
				x.exact = insert(x.exact, a.field)
			}
		}
	}
	return x
}

// insert adds a number to those in order, where it is missing.
func insert(to []int, n int) []int {
	i, there := slices.BinarySearch(to, n)
	if there {
		return to
	}
	return slices.Insert(to, i, n)
}

// candidates calls try with each item that may apply, perhaps more than once.
func (x *index) candidates(s *subject, try func(*item)) {
	for _, it := range x.rest {
		try(it)
	}
	at := func(p place) {
		for _, it := range x.items[p] {
			try(it)
		}
	}
	for _, field := range x.exact {
		for _, text := range s.texts(field) {
			at(place{field: field, text: text})
		}
	}
	for field, lengths := range x.lengths {
		for _, text := range s.texts(field) {
			for _, n := range lengths {
				if n > len(text) {
					break
				}
				at(place{field: field, begin: true, text: text[:n]})
			}
		}
	}
	for field, bits := range x.bits {
		for _, text := range s.texts(field) {
			for _, n := range networksOf(text, bits) {
				at(place{field: field, network: n})
			}
		}
	}
}
