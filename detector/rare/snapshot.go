// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Snapshot is a Model as it is kept: plain values, in an order that is the same for the same Model.
type Snapshot struct {
	BucketSpan time.Duration  `json:"bucket_span"` // in nanoseconds
	Bucket     int64          `json:"bucket"`      // number of the open bucket since the epoch; -1: nothing seen yet
	First      int64          `json:"first"`
	Buckets    int            `json:"buckets"`
	Total      float64        `json:"total"`
	Unit       float64        `json:"unit"`
	Users      []UserSnapshot `json:"users"`
	Ahead      []Ahead        `json:"ahead,omitempty"` // appearances in buckets that are still to open
	Run        float64        `json:"run"`
	InRun      int            `json:"in_run"`
	Scores     [][2]float64   `json:"scores"` // a raw score in thousandths, and how often it was
	Evicted    uint64         `json:"evicted,omitempty"`
	Late       uint64         `json:"late,omitempty"`
}

// Ahead is an appearance in a bucket that is still to open.
type Ahead struct {
	Bucket int64  `json:"bucket"`
	Name   string `json:"name"`
}

// UserSnapshot is one user of a Snapshot.
type UserSnapshot struct {
	Name    string  `json:"name"`
	Weight  float64 `json:"weight"`
	Last    int64   `json:"last"`
	Present bool    `json:"present,omitempty"`
	Max     float64 `json:"max,omitempty"`
	MaxAt   int64   `json:"max_at,omitempty"`
}

// Snapshot returns what Restore needs to go on identically.
func (m *Model) Snapshot() Snapshot {
	s := Snapshot{
		BucketSpan: m.o.BucketSpan, Bucket: m.bucket, First: m.first, Buckets: m.buckets, Total: m.total, Unit: m.unit,
		Run: m.history.run, InRun: m.history.inRun, Evicted: m.evicted, Late: m.late,
	}
	for _, u := range m.users {
		s.Users = append(s.Users, UserSnapshot{u.name, u.weight, u.last, u.present, u.max, u.maxAt})
	}
	slices.SortFunc(s.Users, func(a, b UserSnapshot) int { return cmp.Compare(a.Name, b.Name) })
	for v, n := range m.history.counts {
		s.Scores = append(s.Scores, [2]float64{float64(v), n})
	}
	for _, a := range m.ahead {
		s.Ahead = append(s.Ahead, Ahead{a.bucket, a.name})
	}
	slices.SortFunc(s.Scores, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	return s
}

// maxWeight is more than any user's weight can become: seen in every bucket for ever it tends to 1/decay, 4000 at 15 minutes and 120,000 at 30 seconds.
const maxWeight = 1e6

// Restore makes a Model of a Snapshot. One with another bucket span, or with values that no Model can have, is refused.
func Restore(o Options, s Snapshot) (*Model, error) {
	if s.BucketSpan != o.BucketSpan {
		return nil, fmt.Errorf("the model was learned with a bucket span of %s, not %s", s.BucketSpan, o.BucketSpan)
	}
	if !(s.Unit > 1e-110 && s.Unit <= 1) || !(s.Total >= 0) || math.IsInf(s.Total, 0) || s.InRun < 0 || !(s.Run >= 0 && s.Run <= 100) {
		return nil, fmt.Errorf("the model's totals make no sense: total %g, unit %g", s.Total, s.Unit)
	}
	m := New(o)
	m.bucket, m.first, m.buckets, m.total, m.unit, m.evicted, m.late = s.Bucket, s.First, s.Buckets, s.Total, s.Unit, s.Evicted, s.Late
	sum := 0.0
	for _, u := range s.Users {
		sum += u.Weight * s.Unit
		if !(u.Weight*s.Unit >= 0 && u.Weight*s.Unit <= maxWeight) || !(u.Max >= 0 && u.Max <= 100) || m.users[u.Name] != nil {
			return nil, fmt.Errorf("the model's user %s makes no sense: weight %g, greatest score %g", strconv.Quote(u.Name), u.Weight, u.Max)
		}
		n := &user{name: u.Name, weight: u.Weight, last: u.Last, present: u.Present, max: u.Max, maxAt: u.MaxAt}
		m.users[u.Name] = n
		if n.present {
			m.open = append(m.open, n)
		}
	}
	if math.Abs(sum-s.Total) > 1e-6*(1+sum) {
		return nil, fmt.Errorf("the model's total %g is not the sum of its users' weights, %g", s.Total, sum)
	}
	for len(m.users) > o.MaxUsers {
		before := len(m.users)
		if m.evict(); len(m.users) == before {
			break
		}
	}
	for _, a := range s.Ahead {
		if a.Bucket > m.bucket && len(m.ahead) < maxAhead {
			m.ahead = append(m.ahead, ahead{a.Bucket, a.Name})
		}
	}
	m.history.run, m.history.inRun = s.Run, s.InRun%m.history.every
	for _, v := range s.Scores {
		if !(v[0] >= 0 && v[0] <= 100000) || !(v[1] >= 0) || math.IsInf(v[1], 0) {
			return nil, fmt.Errorf("the model's scores make no sense: %g, %g times", v[0], v[1])
		}
		if m.history.counts == nil {
			m.history.counts = map[int]float64{}
		}
		m.history.counts[int(v[0])] += v[1]
		m.history.samples += v[1]
	}
	return m, nil
}
