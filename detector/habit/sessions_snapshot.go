// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
	"unique"
)

// SessionsSnapshot is everything that Sessions know.
type SessionsSnapshot struct {
	Watched  watched          `json:"watched"`
	Unit     time.Time        `json:"unit,omitzero"`
	HalfLife time.Duration    `json:"half_life"`
	Accounts []accountOf      `json:"accounts,omitempty"`
	Classes  [classes]counter `json:"classes"`
	Others   counter          `json:"others"`
	Open     []sessionOf      `json:"open,omitempty"`
	Evicted  uint64           `json:"evicted,omitempty"`
}

type accountOf struct {
	whoOf
	Known *account `json:"known"`
}

type whoOf struct {
	Class     Class  `json:"class"`
	Container string `json:"container,omitempty"`
	ID        string `json:"id"`
}

func (m member) stored() whoOf { return whoOf{m.Class, m.Container.Value(), m.ID.Value()} }

func (w whoOf) member() member {
	return member{Account{unique.Make(w.Container), unique.Make(w.ID)}, w.Class}
}

type sessionOf struct {
	Key  SessionKey `json:"key"`
	Who  whoOf      `json:"who"`
	Open *session   `json:"open"`
	Used []usedOf   `json:"used"`
}

type usedOf struct {
	Program string    `json:"program"`
	Since   time.Time `json:"since"`
	Minute  int64     `json:"minute"`
	Other   bool      `json:"other,omitempty"`
}

// Snapshot returns what RestoreSessions needs to go on identically. It is a view: to be encoded before the Sessions go
// on.
func (s *Sessions) Snapshot() SessionsSnapshot {
	out := SessionsSnapshot{
		Watched: s.watched, Unit: s.unit, HalfLife: s.o.HalfLife, Classes: s.classes, Others: s.others, Evicted: s.evicted,
	}
	for _, who := range slices.SortedFunc(maps.Keys(s.accounts), member.compare) {
		out.Accounts = append(out.Accounts, accountOf{who.stored(), s.accounts[who]})
	}
	for open := s.open.first; open != nil; open = open.later {
		one := sessionOf{Key: open.key, Who: open.who.stored(), Open: open}
		for _, u := range open.used {
			one.Used = append(one.Used, usedOf{u.program.Value(), u.since, u.minute, u.other})
		}
		out.Open = append(out.Open, one)
	}
	slices.SortFunc(out.Open, func(a, b sessionOf) int { return a.Key.compare(b.Key) })
	return out
}

// RestoreSessions makes Sessions of a decoded SessionsSnapshot, which is theirs from then on. The error says what is
// invalid in it.
func RestoreSessions(o Options, spare *Spare, in SessionsSnapshot) (*Sessions, error) {
	if in.HalfLife < 0 || in.Watched.Hours < 0 || in.Watched.Now.Before(in.Watched.Began) {
		return nil, fmt.Errorf("half-life and watched time: %w", errNumbers)
	}
	s := NewSessions(o, spare)
	s.o.HalfLife = cmp.Or(in.HalfLife, halfLife)
	s.watched, s.unit, s.classes, s.others, s.evicted = in.Watched, in.Unit, in.Classes, in.Others, in.Evicted
	for _, a := range in.Accounts {
		if a.Known == nil || a.Class >= classes || !usable(a.Known.Weight) || s.accounts[a.member()] != nil {
			return nil, fmt.Errorf("sessions of account %q: %w", a.ID, errNumbers)
		}
		s.accounts[a.member()] = a.Known
	}
	for _, open := range in.Open {
		if open.Open == nil || open.Who.Class >= classes || len(open.Used) > maxValues ||
			s.open.get(&open.Key) != nil || s.open.n >= maxSessions {
			return nil, fmt.Errorf("open session of account %q: %w", open.Who.ID, errNumbers)
		}
		open.Open.key, open.Open.who = open.Key, open.Who.member()
		for _, u := range open.Used {
			open.Open.used = append(open.Open.used, used{unique.Make(u.Program), u.Since, u.Minute, u.Other})
		}
		s.put(open.Open)
	}
	for len(s.accounts) > o.MaxActors {
		s.evict()
	}
	s.SetHalfLife(o.HalfLife)
	return s, nil
}
