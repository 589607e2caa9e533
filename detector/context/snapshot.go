// SPDX-License-Identifier: Apache-2.0

package context

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Snapshot is everything that a Model knows.
type Snapshot struct {
	Began   time.Time      `json:"began"`
	Actors  []actorOf      `json:"actors"`
	Groups  [classes]group `json:"groups"`
	Visits  []visitOf      `json:"visits,omitempty"`
	Evicted uint64         `json:"evicted,omitempty"`
}

type actorOf struct {
	Name  string `json:"name"`
	Known *actor `json:"known"`
}

type visitOf struct {
	Key  string `json:"key"`
	Open *visit `json:"open"`
}

// Snapshot returns what Restore needs to go on identically. It is a view: to be encoded before the Model goes on.
func (m *Model) Snapshot() Snapshot {
	s := Snapshot{Began: m.began, Groups: m.groups, Evicted: m.evicted}
	for _, name := range slices.Sorted(maps.Keys(m.actors)) {
		s.Actors = append(s.Actors, actorOf{name, m.actors[name]})
	}
	for _, key := range slices.Sorted(maps.Keys(m.visits)) {
		s.Visits = append(s.Visits, visitOf{key, m.visits[key]})
	}
	return s
}

// Restore makes a Model of a decoded Snapshot, which is the Model's from then on. The error says why it makes no sense.
func Restore(o Options, s Snapshot) (*Model, error) {
	m := New(o)
	m.began, m.groups, m.evicted = s.Began, s.Groups, s.Evicted
	for i := range m.groups {
		if err := m.groups[i].check(); err != nil {
			return nil, fmt.Errorf("class %d: %w", i, err)
		}
	}
	for _, a := range s.Actors {
		if a.Known == nil || a.Known.Class >= classes {
			return nil, fmt.Errorf("actor %q: it has no class", a.Name)
		}
		if err := a.Known.check(); err != nil {
			return nil, fmt.Errorf("actor %q: %w", a.Name, err)
		}
		m.actors[a.Name] = a.Known
	}
	for len(m.actors) > o.MaxActors {
		m.evict()
	}
	for _, v := range s.Visits {
		if v.Open == nil || v.Open.Class >= classes || !usable(v.Open.Parts[:]...) || !usable(v.Open.Sum) {
			return nil, fmt.Errorf("visit %q makes no sense", v.Key)
		}
		if v.Open.Seen == nil {
			v.Open.Seen = map[uint32]bool{}
		}
		m.visits[v.Key] = v.Open
	}
	return m, nil
}

var errNumbers = errors.New("its numbers are no weights")

func (g *group) check() error {
	if !usable(g.Newcomers) || !usable(g.Past[:]...) || g.Once < 0 {
		return errNumbers
	}
	return g.profile.check()
}

func (p *profile) check() error {
	if !usable(p.Hours[:]...) || !usable(p.Gaps[:]...) || !usable(p.HoursAll, p.GapsAll) {
		return errNumbers
	}
	for i := range p.Features {
		c := &p.Features[i]
		if len(c.Values) > maxValues || !usable(c.All) {
			return errNumbers
		}
		for _, v := range c.Values {
			if !usable(v.Weight) {
				return errNumbers
			}
		}
	}
	return nil
}

// usable reports whether all numbers are finite and not negative, with room for rounding.
func usable(numbers ...float64) bool {
	for _, x := range numbers {
		if math.IsNaN(x) || math.IsInf(x, 0) || x < -1e-6 {
			return false
		}
	}
	return true
}
