// SPDX-License-Identifier: Apache-2.0

package control

import (
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Usage is how often a control was used. What a control did not change, because nothing would have alerted without it,
// is no use.
type Usage struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Action  string    `json:"action"`
	Expires time.Time `json:"expires,omitzero"`
	Matches uint64    `json:"matches"`       // that it held something back of, or tagged
	Alerts  uint64    `json:"alerts"`        // matches over the threshold among them, that would have alerted
	Last    time.Time `json:"last,omitzero"` // the last match's time; zero: never
}

// Expired reports whether the control is off at a time.
func (u *Usage) Expired(at time.Time) bool { return !u.Expires.IsZero() && !at.Before(u.Expires) }

// tally is the part of a Usage that grows. Every goroutine may read it.
type tally struct {
	matches atomic.Uint64
	alerts  atomic.Uint64
	last    atomic.Int64 // in Unix nanoseconds; 0: never
}

// Count notes that the controls that a finding names were used.
func (s *Set) Count(f *detector.Finding) {
	for _, c := range f.Controls {
		it := s.byID[key{c.Kind, c.ID}]
		if it == nil || !f.OfExec() {
			continue
		}
		it.matches.Add(1)
		if f.Held && c.Action != detector.Tag && c.Action != detector.SkipModelUpdate {
			it.alerts.Add(1)
		}
		it.last.Store(max(it.last.Load(), f.Time.UnixNano()))
	}
}

// Usage returns how often each control was used, in the order of the files. Every goroutine may call it.
func (s *Set) Usage() []Usage {
	all := make([]Usage, len(s.items))
	for i, it := range s.items {
		all[i] = Usage{
			Kind: it.Kind, ID: it.ID, Name: it.name, Action: it.Action, Expires: it.Expires,
			Matches: it.matches.Load(), Alerts: it.alerts.Load(),
		}
		if last := it.last.Load(); last != 0 {
			all[i].Last = time.Unix(0, last).UTC()
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
		if !u.Last.IsZero() {
			it.last.Store(u.Last.UnixNano())
		}
	}
}
