// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unique"

	"github.com/reconbeat/reconbeat/process"
)

// Snapshot is everything that a Model knows.
type Snapshot struct {
	Watched watched   `json:"watched"`
	Began   time.Time `json:"began,omitzero"` // the first match, of older versions, which knew no watched time
	Unit    time.Time `json:"unit,omitzero"`  // what happens at it weighs 1; zero, of older versions: Began
	// HalfLife is what the weights grew by; 0: 30 days. A Model of another one goes on with what has faded until then.
	HalfLife time.Duration  `json:"half_life,omitempty"`
	Actors   []actorOf      `json:"actors"`
	Groups   [classes]group `json:"groups"`
	// Contained are the groups of those in containers. Older versions counted them in Groups.
	Contained *[classes]group `json:"contained,omitempty"`
	// Open are the open visits. Older versions wrote "visits", which is ignored: the next match begins another.
	Open    []visitOf `json:"open,omitempty"`
	Evicted uint64    `json:"evicted,omitempty"`
	// Traces are what feedback can take out, in the order of the alerts' ids.
	Traces []traceOf `json:"traces,omitempty"`
}

type keyOf struct {
	Container string `json:"container,omitempty"`
	ID        string `json:"id"`
	Way       string `json:"way"`
}

type actorOf struct {
	keyOf
	Known *actor `json:"known"`
}

type visitOf struct {
	keyOf
	Open    *visit             `json:"open"`
	Seen    []sightOf          `json:"seen"`
	Parts   map[string]float64 `json:"parts"`             // of the surprise, by their names
	Unusual map[string]string  `json:"unusual,omitempty"` // the values that the parts are about
	Hour    int                `json:"hour"`              // and the hour
	Unlike  []unlikeOf         `json:"unlike,omitempty"`  // and the company
}

// unlikeOf is a program of a visit's company that speaks against the actor.
type unlikeOf struct {
	Program  string  `json:"program"`
	Evidence float64 `json:"evidence"`
}

// sightOf is what a visit has shown.
type sightOf struct {
	Part   string  `json:"part"` // the name of a feature, or of Hour
	Text   string  `json:"text"` // its value, or the hour
	Weight float64 `json:"weight,omitempty"`
	Novel  bool    `json:"novel,omitempty"`
}

func (k key) stored() keyOf { return keyOf{k.Who.Container.Value(), k.Who.ID.Value(), k.Way.Value()} }

func (k keyOf) key() key {
	return key{Account{unique.Make(k.Container), unique.Make(k.ID)}, unique.Make(k.Way)}
}

// Snapshot returns what Restore needs to go on identically. It is a view: to be encoded before the Model goes on.
func (m *Model) Snapshot() Snapshot {
	s := Snapshot{
		Watched: m.watched, Unit: m.unit, HalfLife: m.o.HalfLife, Groups: m.groups, Contained: &m.contained,
		Evicted: m.evicted,
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.actors), compare) {
		s.Actors = append(s.Actors, actorOf{k.stored(), m.actors[k]})
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.visits), compare) {
		v := m.visits[k]
		open := visitOf{
			keyOf: k.stored(), Open: v, Hour: v.unusual.Hour, Parts: map[string]float64{}, Unusual: map[string]string{},
		}
		for p, x := range v.Parts {
			if x != 0 {
				open.Parts[PartNames[p]] = x
			}
		}
		for _, u := range v.unusual.unlike {
			if u.evidence > 0 {
				open.Unlike = append(open.Unlike, unlikeOf{u.program.Value(), u.evidence})
			}
		}
		for f := range features {
			open.Unusual[PartNames[f]] = v.unusual.Value(f)
			for _, x := range v.seen.values[f] {
				open.Seen = append(open.Seen, sightOf{PartNames[f], x.text.Value(), x.weight, x.novel})
			}
		}
		for hour := range 24 {
			if v.seen.hasHour(hour) {
				open.Seen = append(open.Seen, sightOf{Part: PartNames[Hour], Text: strconv.Itoa(hour)})
			}
		}
		s.Open = append(s.Open, open)
	}
	for _, alert := range slices.Sorted(maps.Keys(m.traces)) {
		s.Traces = append(s.Traces, traceOf{alert, m.traces[alert]})
	}
	return s
}

// Restore makes a Model of a decoded Snapshot, which is the Model's from then on. The error says what is invalid in it.
func Restore(o Options, s Snapshot) (*Model, error) {
	if s.HalfLife < 0 || s.Watched.Hours < 0 || s.Watched.Now.Before(s.Watched.Began) {
		return nil, fmt.Errorf("half-life and watched time: %w", errNumbers)
	}
	m := New(o)
	m.o.HalfLife = cmp.Or(s.HalfLife, halfLife)
	m.watched, m.unit, m.groups, m.evicted = s.Watched, s.Unit, s.Groups, s.Evicted
	older := s.Watched.Began.IsZero() && !s.Began.IsZero()
	if older {
		m.watchedSince(&s)
	}
	if m.unit.IsZero() {
		m.unit = m.watched.Began
	}
	for i := range m.groups {
		if err := m.groups[i].restored(Class(i)); err != nil {
			return nil, err
		}
	}
	if s.Contained == nil { // an older one kept one group of all: each goes on with it
		for i := range m.groups {
			m.contained[i] = m.groups[i].clone()
		}
	} else {
		m.contained = *s.Contained
		for i := range m.contained {
			if err := m.contained[i].restored(Class(i)); err != nil {
				return nil, fmt.Errorf("in containers: %w", err)
			}
		}
	}
	for _, a := range s.Actors {
		if a.Known == nil || !a.Known.valid() {
			return nil, fmt.Errorf("actor %q: %w", a.ID, errNumbers)
		}
		k := a.key()
		if m.actors[k] != nil {
			return nil, fmt.Errorf("two actors %q", a.ID)
		}
		if older {
			a.Known.Since, a.Known.Until, a.Known.Taught = a.Known.First, a.Known.Last, true
		}
		by := presence{ways: 1, days: a.Known.Days}
		if a.Known.Taught {
			by.taught = 1
			m.group(member{k.Who, a.Known.Class}).Actors++
		}
		m.actors[k] = a.Known
		m.present(k.Who, a.Known.Class, by)
		m.named(k.Who, a.Known)
	}
	if s.Contained == nil {
		m.scheduleApart(s.Actors)
	}
	for _, v := range s.Open {
		if err := m.reopen(&v); err != nil {
			return nil, fmt.Errorf("visit of %q: %w", v.ID, err)
		}
	}
	for _, t := range s.Traces {
		if t.Alert == "" || !t.Of.valid() || m.traces[t.Alert] != nil || len(m.traces) >= maxTraces {
			return nil, fmt.Errorf("what was learned under alert %q: %w", t.Alert, errNumbers)
		}
		m.begin(t.Alert, t.Of)
	}
	for len(m.actors) > o.MaxActors {
		m.evict()
	}
	m.SetHalfLife(o.HalfLife)
	return m, nil
}

// scheduleApart makes actors of their own of what cron has started for those of an older version, which did not keep it
// apart from what daemons have started by the same parent.
func (m *Model) scheduleApart(actors []actorOf) {
	for _, older := range actors {
		k, a := older.key(), *older.Known
		scheduled := slices.ContainsFunc(a.Features[Entry], func(v value) bool { return v.text.Value() == process.EntryCron })
		if a.Class == Person || !scheduled || k.Way == nothing {
			continue
		}
		k.Way = unique.Make(k.Way.Value() + underCron)
		if m.actors[k] != nil { // a program may be called so
			continue
		}
		for f := range a.Features {
			a.Features[f] = slices.Clone(a.Features[f])
		}
		for i := range a.Features[Parent] {
			a.Features[Parent][i].text = k.Way
		}
		by := presence{ways: 1, days: a.Days}
		if a.Taught {
			by.taught = 1
			m.group(member{k.Who, a.Class}).Actors++
		}
		m.actors[k] = &a
		m.present(k.Who, a.Class, by)
		m.named(k.Who, &a)
	}
}

// restored makes a decoded group of a class whole.
func (g *group) restored(c Class) error {
	for _, weights := range slices.Concat(g.Came[:], g.Found[:]) {
		if !usable(weights[:]...) {
			return fmt.Errorf("class %d: %w", c, errNumbers)
		}
	}
	if c == Person && g.Strangers == nil { // an older one kept one past of all people: each kind goes on with it
		strangers := g.Past
		g.Strangers = &strangers
	}
	return nil
}

// clone is a group that has learned the same. It has no actors.
func (g *group) clone() group {
	c := *g
	c.Actors, c.Once = 0, 0
	for f := range features {
		c.First[f], c.Later[f] = slices.Clone(g.First[f]), slices.Clone(g.Later[f])
	}
	if g.Strangers != nil {
		strangers := *g.Strangers
		c.Strangers = &strangers
	}
	return c
}

// valid reports whether the actor's numbers are possible.
func (a *actor) valid() bool {
	return a.Class < classes && usable(a.Weight) && a.Days >= 0 && !a.Last.Before(a.First)
}

// watchedSince makes the watched time of what an older version wrote: from the first match to the last.
func (m *Model) watchedSince(s *Snapshot) {
	last := s.Began
	for _, a := range s.Actors {
		if a.Known != nil {
			last = latest(last, a.Known.Last)
		}
	}
	m.watched = watched{Began: s.Began, Now: last, Last: last, Hours: 1 + int(last.Sub(s.Began)/time.Hour)}
}

// reopen goes on with a visit that was open.
func (m *Model) reopen(v *visitOf) error {
	k := v.key()
	if v.Open == nil || v.Open.Class >= classes || !finite(v.Open.Sum) || m.actors[k] == nil ||
		v.Hour < 0 || v.Hour > 23 || v.Open.Against < 0 || v.Open.How < 0 || v.Open.How >= arrivals ||
		v.Open.Kind < unknown || v.Open.Kind >= kinds {
		return errNumbers
	}
	for p, name := range PartNames {
		if v.Open.Parts[p] = v.Parts[name]; !finite(v.Parts[name]) {
			return errNumbers
		}
	}
	v.Open.unusual = Match{At: v.Open.Last, Class: v.Open.Class, Who: k.Who, Hour: v.Hour}
	for f := range features {
		v.Open.unusual.values[f] = unique.Make(v.Unusual[PartNames[f]])
	}
	for _, u := range v.Unlike {
		if !usable(u.Evidence) {
			return errNumbers
		}
		v.Open.unusual.add(unlike{unique.Make(u.Program), u.Evidence})
	}
	for _, seen := range v.Seen {
		f := slices.Index(PartNames[:Hour+1], seen.Part)
		hour, err := strconv.Atoi(seen.Text)
		switch {
		case f < 0 || !usable(seen.Weight), f == Hour && (err != nil || hour < 0 || hour > 23):
			return fmt.Errorf("it shows %q of %q: %w", seen.Text, seen.Part, errNumbers)
		case f == Hour:
			v.Open.seen.addHour(hour)
		case v.Open.seen.add(f, unique.Make(seen.Text)):
			*v.Open.seen.of(f, unique.Make(seen.Text)) = sight{unique.Make(seen.Text), seen.Weight, seen.Novel}
		}
	}
	v.Open.actor = m.actors[k]
	m.visits[k] = v.Open
	m.dueBy(v.Open)
	return nil
}

var errNumbers = errors.New("invalid numbers")

// MarshalJSON writes only the hours that have a weight.
func (h hours) MarshalJSON() ([]byte, error) { return sparse(h[:]) }

// UnmarshalJSON refuses what MarshalJSON would not have written.
func (h *hours) UnmarshalJSON(b []byte) error { return dense(b, h[:]) }

// MarshalJSON writes only the surprises that were seen.
func (p past) MarshalJSON() ([]byte, error) { return sparse(p.weights[:]) }

// UnmarshalJSON refuses what MarshalJSON would not have written.
func (p *past) UnmarshalJSON(b []byte) error { return dense(b, p.weights[:]) }

func sparse(weights []float64) ([]byte, error) {
	m := map[int]float64{}
	for i, w := range weights {
		if w != 0 {
			m[i] = w
		}
	}
	return json.Marshal(m)
}

func dense(b []byte, into []float64) error {
	var m map[int]float64
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for i, w := range m {
		if i < 0 || i >= len(into) || !usable(w) {
			return errNumbers
		}
		into[i] = w
	}
	return nil
}
