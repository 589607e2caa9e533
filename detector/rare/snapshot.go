// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// snapshotVersion is the version of a Snapshot. 0 has past raw scores as exact counts, and users by name;
// Restore reads it, too.
const snapshotVersion = 1

// Snapshot is a Model as it is kept: plain values, in an order that is the same for the same Model.
type Snapshot struct {
	Version    int            `json:"version,omitempty"`
	BucketSpan time.Duration  `json:"bucket_span"` // in nanoseconds
	Bucket     int64          `json:"bucket"`      // number of the open bucket since the epoch; -1: nothing seen yet
	First      int64          `json:"first"`
	Buckets    int            `json:"buckets"`
	Total      float64        `json:"total"`
	Unit       float64        `json:"unit"`
	Users      []UserSnapshot `json:"users"`           // in the order they became known; in version 0 by name
	Ahead      []Ahead        `json:"ahead,omitempty"` // appearances in buckets that are still to open
	Run        float64        `json:"run"`
	InRun      int            `json:"in_run"`
	All        [][3]uint64    `json:"all,omitempty"`  // of all raw scores: end, span and count of the digest's nodes
	High       [][3]uint64    `json:"high,omitempty"` // of those above Cut
	Cut        uint32         `json:"cut,omitempty"`
	Below      uint64         `json:"below,omitempty"`  // how many are at most Cut
	Faded      int64          `json:"faded,omitempty"`  // the bucket up to which the digests have faded
	Scores     [][2]float64   `json:"scores,omitempty"` // of version 0: raw scores in thousandths, how often each was
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
	Present bool    `json:"present,omitempty"` // in the open bucket
	Max     float64 `json:"max,omitempty"`
	MaxAt   int64   `json:"max_at,omitempty"`
}

// Snapshot returns what Restore needs to go on identically.
func (m *Model) Snapshot() Snapshot {
	s := Snapshot{
		Version: snapshotVersion, BucketSpan: m.o.BucketSpan,
		Bucket: m.bucket, First: m.first, Buckets: m.buckets, Total: m.total, Unit: m.unit,
		Run: m.history.run, InRun: m.history.inRun, All: m.history.all.snapshot(), High: m.history.high.snapshot(),
		Cut: m.history.cut, Below: m.history.below, Faded: m.history.faded, Evicted: m.evicted, Late: m.late,
	}
	known := slices.SortedFunc(maps.Values(m.users), func(a, b *user) int { return cmp.Compare(a.nth, b.nth) })
	for _, u := range known {
		s.Users = append(s.Users, UserSnapshot{
			Name: u.name, Weight: u.weight, Last: u.last, Present: u.present, Max: u.max, MaxAt: u.maxAt,
		})
	}
	for _, a := range m.ahead {
		s.Ahead = append(s.Ahead, Ahead{Bucket: a.bucket, Name: a.name})
	}
	return s
}

// maxWeight is more than any user's weight can become. Of one who is in every bucket it tends to the bucket's part of a
// fade: 4000 at 15 minutes, 120,000 at 30 seconds.
const maxWeight = 1e6

// Restore makes a Model of a Snapshot. One with another bucket span, or with values that no Model can have, is refused.
func Restore(o Options, s Snapshot) (*Model, error) {
	if s.Version < 0 || s.Version > snapshotVersion {
		return nil, fmt.Errorf("model of version %d; this reconbeat reads versions 0 to %d", s.Version, snapshotVersion)
	}
	if s.BucketSpan != o.BucketSpan {
		return nil, fmt.Errorf("the model was learned with a bucket span of %s, not %s", s.BucketSpan, o.BucketSpan)
	}
	if !(s.Unit > 1e-110 && s.Unit <= 1) || !(s.Total >= 0) || math.IsInf(s.Total, 0) {
		return nil, fmt.Errorf("invalid totals of the model: total %g, unit %g", s.Total, s.Unit)
	}
	if s.InRun < 0 || !(s.Run >= 0 && s.Run <= 100) {
		return nil, fmt.Errorf("invalid row of scores: the greatest of %d is %g", s.InRun, s.Run)
	}
	m := New(o)
	m.bucket, m.first, m.buckets, m.total, m.unit = s.Bucket, s.First, s.Buckets, s.Total, s.Unit
	m.evicted, m.late = s.Evicted, s.Late
	sum := 0.0
	for _, u := range s.Users {
		sum += u.Weight * s.Unit
		if !(u.Weight*s.Unit >= 0 && u.Weight*s.Unit <= maxWeight) || !(u.Max >= 0 && u.Max <= 100) || u.MaxAt > s.Bucket {
			return nil, fmt.Errorf("invalid user %q: weight %g, greatest score %g in bucket %d of %d", u.Name, u.Weight,
				u.Max, u.MaxAt, s.Bucket)
		}
		if m.users[u.Name] != nil {
			return nil, fmt.Errorf("the model has the user %q twice", u.Name)
		}
		n := m.meet(&user{name: u.Name, weight: u.Weight, last: u.Last, present: u.Present, max: u.Max, maxAt: u.MaxAt})
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
	if err := m.history.restore(s); err != nil {
		return nil, err
	}
	return m, nil
}

// greatestScore is the greatest raw score in thousandths.
const greatestScore = 100000

// maxCount is more than a digest can have counted.
const maxCount = 1 << 50

func (h *history) restore(s Snapshot) error {
	h.run, h.inRun = s.Run, s.InRun%h.every
	if s.Version == 0 {
		return h.restoreCounts(s)
	}
	if err := h.all.restore(s.All); err != nil {
		return err
	}
	if err := h.high.restore(s.High); err != nil {
		return err
	}
	if s.Below > h.all.n || s.Faded > s.Bucket {
		return fmt.Errorf("invalid scores of the model: %d of %d are at most %d, faded at %d",
			s.Below, h.all.n, s.Cut, s.Faded)
	}
	h.cut, h.below, h.faded = s.Cut, s.Below, s.Faded
	return nil
}

// restoreCounts makes digests of exact counts.
func (h *history) restoreCounts(s Snapshot) error {
	h.faded = s.Bucket
	counts := slices.Clone(s.Scores)
	slices.SortFunc(counts, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	var steps []step
	sum := uint64(0)
	for _, c := range counts {
		if !(c[0] >= 0 && c[0] <= greatestScore) || !(c[1] >= 0 && c[1] <= maxCount) {
			return fmt.Errorf("invalid score of the model: %g, %g times", c[0], c[1])
		}
		if uint64(c[1]) == 0 {
			continue
		}
		sum += uint64(c[1])
		h.all.add(uint32(c[0]), uint64(c[1]))
		steps = append(steps, step{uint32(c[0]), sum})
	}
	if h.below = sum; sum >= digestSize { // with one less, the next value begins it
		h.begin(steps)
	}
	return nil
}

func (d *digest) snapshot() (nodes [][3]uint64) {
	for _, n := range d.nodes {
		nodes = append(nodes, [3]uint64{uint64(n.max), uint64(n.span), n.count})
	}
	return nodes
}

// restore makes a digest of its nodes, if they are those of one.
func (d *digest) restore(nodes [][3]uint64) error {
	for i, v := range nodes {
		n := node{uint32(v[0]), uint32(v[1]), v[2]}
		isRoot := i == len(nodes)-1
		switch {
		case i >= maxNodes, v[0] >= 4*greatestScore, v[1] == 0 || v[1]&(v[1]-1) != 0 || (v[0]+1)%v[1] != 0,
			v[2] > maxCount || v[2] == 0 && !isRoot, i > 0 && before(d.nodes[i-1], n) >= 0,
			isRoot && (n.span < 2 || n.min() != 0):
			return fmt.Errorf("invalid scores of the model: up to %d, %d values, %d times", v[0], v[1], v[2])
		}
		d.nodes = append(d.nodes, n)
		d.n += n.count
	}
	if len(nodes) > 0 {
		d.compress() // changes nothing in a digest that was written whole
	}
	return nil
}
