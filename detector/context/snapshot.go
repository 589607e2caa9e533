// SPDX-License-Identifier: Apache-2.0

package context

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unique"
)

// Snapshot is everything that a Model knows.
type Snapshot struct {
	Began time.Time `json:"began"`
	Unit  time.Time `json:"unit,omitzero"` // what happens at it weighs 1; zero: Began, as older ones wrote it
	// HalfLife is what the weights grew by; 0: 30 days. A Model of another one goes on with what has faded until then.
	HalfLife time.Duration  `json:"half_life,omitempty"`
	Actors   []actorOf      `json:"actors"`
	Groups   [classes]group `json:"groups"`
	Visits   []visitOf      `json:"visits,omitempty"`
	Evicted  uint64         `json:"evicted,omitempty"`
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
	Open    *visit    `json:"open"`
	Seen    []sightOf `json:"seen"`
	Unusual []string  `json:"unusual,omitempty"` // the values that the parts are about, by feature
	Hour    int       `json:"hour"`              // and the hour
}

// sightOf is what a visit has shown.
type sightOf struct {
	Part int    `json:"part"` // a feature, or Parts and the hour
	Text string `json:"text,omitempty"`
}

func (k key) stored() keyOf { return keyOf{k.Who.Container.Value(), k.Who.ID.Value(), k.Way.Value()} }

func (k keyOf) key() key {
	return key{Account{unique.Make(k.Container), unique.Make(k.ID)}, unique.Make(k.Way)}
}

// Snapshot returns what Restore needs to go on identically. It is a view: to be encoded before the Model goes on.
func (m *Model) Snapshot() Snapshot {
	s := Snapshot{Began: m.began, Unit: m.unit, HalfLife: m.o.HalfLife, Groups: m.groups, Evicted: m.evicted}
	for _, k := range slices.SortedFunc(maps.Keys(m.actors), compare) {
		s.Actors = append(s.Actors, actorOf{k.stored(), m.actors[k]})
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.visits), compare) {
		v := m.visits[k]
		open := visitOf{keyOf: k.stored(), Open: v, Hour: v.unusual.Hour}
		for f := range features {
			open.Unusual = append(open.Unusual, v.unusual.Value(f))
		}
		for f := range features {
			for _, value := range v.seen.values[f] {
				open.Seen = append(open.Seen, sightOf{f, value.Value()})
			}
		}
		for hour := range 24 {
			if v.seen.hasHour(hour) {
				open.Seen = append(open.Seen, sightOf{Part: Parts + hour})
			}
		}
		s.Visits = append(s.Visits, open)
	}
	return s
}

// Restore makes a Model of a decoded Snapshot, which is the Model's from then on. The error says why it makes no sense.
func Restore(o Options, s Snapshot) (*Model, error) {
	if s.HalfLife < 0 {
		return nil, fmt.Errorf("half-life: %w", errNumbers)
	}
	m := New(o)
	m.o.HalfLife = cmp.Or(s.HalfLife, halfLife)
	m.began, m.unit, m.groups, m.evicted = s.Began, s.Unit, s.Groups, s.Evicted
	if m.unit.IsZero() {
		m.unit = m.began
	}
	for i := range m.groups {
		g := &m.groups[i]
		for _, c := range g.Came {
			if !usable(c[:]...) {
				return nil, fmt.Errorf("class %d: %w", i, errNumbers)
			}
		}
		if g.Actors < 0 {
			return nil, fmt.Errorf("class %d: %w", i, errNumbers)
		}
	}
	for _, a := range s.Actors {
		if a.Known == nil || a.Known.Class >= classes || !usable(a.Known.Weight) || a.Known.Days < 0 || a.Known.Last.Before(a.Known.First) {
			return nil, fmt.Errorf("actor %q: %w", a.ID, errNumbers)
		}
		k := a.key()
		if m.actors[k] != nil {
			return nil, fmt.Errorf("actor %q stands there twice", a.ID)
		}
		m.actors[k] = a.Known
		m.present(k.Who, a.Known.Class, 1, a.Known.Days)
		m.named(k.Who, a.Known)
	}
	for _, v := range s.Visits {
		k := v.key()
		if v.Unusual == nil { // as older ones wrote it
			v.Unusual = make([]string, features)
		}
		if v.Open == nil || v.Open.Class >= classes || !finite(v.Open.Parts[:]...) || !finite(v.Open.Sum) || m.actors[k] == nil ||
			len(v.Unusual) != features || v.Hour < 0 || v.Hour > 23 {
			return nil, fmt.Errorf("visit of %q: %w", v.ID, errNumbers)
		}
		v.Open.unusual = Look{At: v.Open.Last, Class: v.Open.Class, Who: k.Who, Hour: v.Hour}
		for f, value := range v.Unusual {
			v.Open.unusual.values[f] = unique.Make(value)
		}
		for _, seen := range v.Seen {
			switch {
			case 0 <= seen.Part && seen.Part < features:
				v.Open.seen.add(seen.Part, unique.Make(seen.Text))
			case Parts <= seen.Part && seen.Part < Parts+24:
				v.Open.seen.addHour(seen.Part - Parts)
			default:
				return nil, fmt.Errorf("visit of %q: it shows %d: %w", v.ID, seen.Part, errNumbers)
			}
		}
		m.visits[k] = v.Open
		m.dueBy(v.Open)
	}
	for len(m.actors) > o.MaxActors {
		m.evict()
	}
	m.SetHalfLife(o.HalfLife)
	return m, nil
}

var errNumbers = errors.New("its numbers make no sense")

// MarshalJSON writes the hours that are not 0 alone.
func (h hours) MarshalJSON() ([]byte, error) { return sparse(h[:]) }

// UnmarshalJSON refuses what MarshalJSON would not have written.
func (h *hours) UnmarshalJSON(b []byte) error { return dense(b, h[:]) }

// MarshalJSON writes the surprises that were seen alone.
func (p past) MarshalJSON() ([]byte, error) { return sparse(p[:]) }

// UnmarshalJSON refuses what MarshalJSON would not have written.
func (p *past) UnmarshalJSON(b []byte) error { return dense(b, p[:]) }

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
