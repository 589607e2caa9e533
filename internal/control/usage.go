// SPDX-License-Identifier: Apache-2.0

package control

import (
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Usage is how often a control was used.
type Usage struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Action  string    `json:"action"`
	Expires time.Time `json:"expires,omitzero"`
	Matches uint64    `json:"matches"`       // to which it applied
	Alerts  uint64    `json:"alerts"`        // that it held back
	Last    time.Time `json:"last,omitzero"` // the last match's time; zero: never
	// Lapsed: that it has expired was reported.
	Lapsed bool `json:"lapsed,omitempty"`
	// Reported is what was reported of an approval: that it was given, or taken back.
	Reported string `json:"reported,omitempty"`
}

// What is reported of an approval.
const (
	Approved = "approved"
	Revoked  = "approval-revoked"
)

// Expired reports whether the control is off at a time.
func (u *Usage) Expired(at time.Time) bool { return !u.Expires.IsZero() && !at.Before(u.Expires) }

// tally is the part of a Usage that grows. Every goroutine may read it.
type tally struct {
	matches atomic.Uint64
	alerts  atomic.Uint64
	last    atomic.Int64 // in Unix nanoseconds; 0: never
	lapsed  atomic.Bool
	// reported is what Usage says.
	reported atomic.Pointer[string]
}

// hit notes that the control applies to a match.
func (t *tally) hit(at time.Time) {
	t.matches.Add(1)
	t.last.Store(max(t.last.Load(), at.UnixNano()))
}

// Count notes that the controls that a finding names have held its alert back.
func (s *Set) Count(f *detector.Finding) {
	for _, c := range f.Controls {
		if it := s.byID[key{c.Kind, c.ID}]; it != nil && f.Held == detector.HeldAlert && c.NoAlert() {
			it.alerts.Add(1)
		}
	}
}

// Usage returns how often each control was used, in the order of the files. Every goroutine may call it.
func (s *Set) Usage() []Usage {
	all := make([]Usage, len(s.items))
	for i, it := range s.items {
		all[i] = Usage{
			Kind: it.Kind, ID: it.ID, Name: it.name, Action: it.Action, Expires: it.Expires,
			Matches: it.matches.Load(), Alerts: it.alerts.Load(), Lapsed: it.lapsed.Load(),
		}
		if last := it.last.Load(); last != 0 {
			all[i].Last = time.Unix(0, last).UTC()
		}
		if r := it.reported.Load(); r != nil {
			all[i].Reported = *r
		}
	}
	return all
}

// Inherit goes on counting where another Set, or an earlier run, has ended.
func (s *Set) Inherit(earlier []Usage) {
	for _, u := range earlier {
		it := s.byID[key{u.Kind, u.ID}]
		if it == nil {
			continue
		}
		it.matches.Store(u.Matches)
		it.alerts.Store(u.Alerts)
		it.lapsed.Store(u.Lapsed && u.Expires.Equal(it.Expires)) // one that was prolonged will end again
		if u.Reported != "" {
			it.reported.Store(&u.Reported)
		}
		if !u.Last.IsZero() {
			it.last.Store(u.Last.UnixNano())
		}
	}
}

// News returns the approvals of which it was not reported yet that they were given, or taken back, each once.
func (s *Set) News() (given, takenBack []*Approval) {
	for _, it := range s.items {
		if it.approval == nil {
			continue
		}
		was := it.reported.Load()
		if was == nil {
			now := Approved
			it.reported.Store(&now)
			given = append(given, it.approval)
		}
		if it.approval.RevokedBy != "" && (was == nil || *was != Revoked) {
			now := Revoked
			it.reported.Store(&now)
			takenBack = append(takenBack, it.approval)
		}
	}
	return given, takenBack
}

// Lapse returns the controls that have come to their end at a time, each once.
func (s *Set) Lapse(at time.Time) (ended []Usage) {
	if s.nextEnd.IsZero() || at.Before(s.nextEnd) {
		return nil
	}
	all := s.Usage()
	s.nextEnd = time.Time{}
	for i, it := range s.items {
		switch {
		case all[i].Expired(at) && !it.lapsed.Swap(true):
			ended = append(ended, all[i])
		case !all[i].Expired(at):
			s.endsBy(it.Expires)
		}
	}
	return ended
}

// endsBy notes that a control ends at a time; zero: it does not.
func (s *Set) endsBy(t time.Time) {
	if !t.IsZero() && (s.nextEnd.IsZero() || t.Before(s.nextEnd)) {
		s.nextEnd = t
	}
}
