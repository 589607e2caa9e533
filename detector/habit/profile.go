// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"slices"
	"time"
)

// Seen is a value of a feature and in how many visits it was seen, faded.
type Seen struct {
	Value  string  `json:"value"`
	Visits float64 `json:"visits"`
}

// Profile is what is usual for an actor.
type Profile struct {
	Container string            `json:"container,omitempty"`
	ID        string            `json:"id"` // the user id, or the name where no id is known
	Name      string            `json:"name,omitempty"`
	Class     string            `json:"class"`
	Way       string            `json:"way"` // of a person: on a terminal, or none; else the parent
	First     time.Time         `json:"first_seen"`
	Last      time.Time         `json:"last_seen"`
	Days      int               `json:"active_days"`
	Visits    int               `json:"visits"`
	Features  map[string][]Seen `json:"features"` // by the names of parts, the most frequent first; of session, programs
	Hours     []int             `json:"hours"`    // in order, those that are not all but forgotten
	// AfterAMonth is the score that all this would have made on a host watched for a month where nobody else had come; of
	// Profiles alone.
	AfterAMonth float64 `json:"after_a_month"`
}

var classNames = [classes]string{Person: "person", Service: "service", Root: "root"}

// String is "person", "service" or "root".
func (c Class) String() string { return classNames[c] }

// profileValues is how many values of a feature a Profile has.
const profileValues = 5

func (m *Model) profile(k key, a *actor, t time.Time) Profile {
	fade := m.faded(m.watched.at(t))
	p := Profile{
		Container: k.Who.Container.Value(), ID: k.Who.ID.Value(), Name: a.Name,
		Class: a.Class.String(), Way: k.Way.Value(),
		First: a.First, Last: a.Last, Days: a.Days, Visits: a.Visits, Features: map[string][]Seen{},
	}
	for f := range features {
		if top := a.Features[f].top(profileValues, fade); len(top) > 0 {
			p.Features[PartNames[f]] = top
		}
	}
	for h, w := range a.Hours {
		if w*fade >= forgotten {
			p.Hours = append(p.Hours, h)
		}
	}
	return p
}

// Profile is what was usual for the actor of a match before the visit that the match belongs to. false: they were never
// seen.
func (m *Model) Profile(l *Match) (Profile, bool) {
	a, now := m.known(l), m.watched.at(l.At)
	v := m.open(l, now)
	if a == nil || v != nil && v.First {
		return Profile{}, false
	}
	if v == nil {
		return m.profile(l.key(), a, l.At), true
	}
	before := *a
	before.Last, before.Days, before.Visits = v.Before, v.DaysBefore, a.Visits-1
	for f := range features {
		before.Features[f] = slices.Clone(a.Features[f])
		for i := range before.Features[f] {
			if s := v.seen.of(f, before.Features[f][i].text); s != nil {
				before.Features[f][i].weight -= s.weight
			}
		}
	}
	for hour := range before.Hours {
		if v.seen.hasHour(hour) && !v.Capped {
			before.Hours[hour] = max(0, before.Hours[hour]-m.grown(v.Last))
		}
	}
	return m.profile(l.key(), &before, l.At), true
}

// FirstSeen is when the account of a match was first seen, in whatever way; zero: never.
func (m *Model) FirstSeen(l *Match) (first time.Time) {
	for k, a := range m.actors {
		if k.Who == l.Who && !renamed(a.Name, l.Name) && (first.IsZero() || a.First.Before(first)) {
			first = a.First
		}
	}
	return first
}

// Profiles are all actors' at t, of one account's actors the more frequent first. idOrName chooses an account; empty:
// all.
func (m *Model) Profiles(idOrName string, t time.Time) []Profile {
	var out []Profile
	for k, a := range m.actors {
		if idOrName == "" || k.Who.ID.Value() == idOrName || a.Name == idOrName {
			p := m.profile(k, a, t)
			p.AfterAMonth = m.afterAMonth(k, a)
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Profile) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.ID, b.ID), cmp.Compare(b.Visits, a.Visits), cmp.Compare(a.Way, b.Way))
	})
	return out
}

// Usual reports whether the account with an id or a name has matched, and whether that is usual: one of its contexts
// raised no alert or has become a habit, or an account of which that is true acts as it.
func (m *Model) Usual(idOrName string) (known, usual bool) {
	ids := map[text]bool{}
	for who, p := range m.accounts {
		if p.name == idOrName || who.ID.Value() == idOrName {
			ids[who.ID] = true
			usual = usual || p.taught > 0
		}
	}
	if len(ids) == 0 || usual {
		return len(ids) > 0, usual
	}
	for k, a := range m.actors {
		if v := m.visits[k]; !a.Taught && (v == nil || !v.First || v.Alerted) {
			continue
		}
		as := slices.ContainsFunc(a.Features[As], func(v value) bool { return ids[v.text] })
		if as || ids[k.Who.ID] {
			return true, true
		}
	}
	return true, false
}
