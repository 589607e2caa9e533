// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"math/bits"
	"time"
)

// sequenceWindow is how many sequence numbers are remembered as seen or not seen. At 10,000 events a second it holds a
// second and a half.
const sequenceWindow = 1 << 14

// Sequences counts the audit sequence numbers that never arrived. The kernel takes a number when an event begins and
// queues the record when it is complete, so on several CPUs numbers arrive out of order, and a number is lost only when
// it is still missing a while after a later one: Settle says when. Numbers are 32 bits wide and wrap. The zero value
// has seen nothing.
type Sequences struct {
	seen    [sequenceWindow / 64]uint64 // a bit a number, of base and those that follow it
	base    uint32                      // the first number that is not settled
	newest  uint32                      // the newest number seen
	older   uint32                      // what newest was at the last Settle
	started bool
}

// Add says that a record of an event has arrived; it returns how many numbers had to be given up as lost because the
// window is full.
func (s *Sequences) Add(n uint32) (lost uint64) {
	if !s.started {
		s.started, s.base, s.newest, s.older = true, n, n, n-1
	}
	ahead := n - s.base
	if int32(ahead) < 0 {
		return 0 // settled already, or from before the first
	}
	if ahead >= sequenceWindow {
		lost = s.retire(n - sequenceWindow/2)
	}
	s.seen[n%sequenceWindow/64] |= 1 << (n % 64)
	if int32(n-s.newest) > 0 {
		s.newest = n
	}
	return lost
}

// Settle is called at least a second after the previous call. It returns how many of the numbers before the newest of
// that time are missing still.
func (s *Sequences) Settle() (lost uint64) {
	if !s.started {
		return 0
	}
	lost = s.retire(s.older + 1)
	s.older = s.newest
	return lost
}

// retire settles the numbers before end and returns how many of them were not seen.
func (s *Sequences) retire(end uint32) (lost uint64) {
	count := end - s.base
	if int32(count) <= 0 {
		return 0
	}
	if count > sequenceWindow { // nothing remembered is that far ahead
		lost = uint64(count - sequenceWindow)
		count = sequenceWindow
	}
	for n := s.base; count > 0; {
		step := min(64-n%64, count)
		mask := (^uint64(0) >> (64 - step)) << (n % 64)
		word := &s.seen[n%sequenceWindow/64]
		lost += uint64(bits.OnesCount64(^*word & mask))
		*word &^= mask
		n, count = n+step, count-step
	}
	s.base = end
	return lost
}

// Sequence returns the sequence number of a record: `audit(1795517743.742:2): ...`.
func Sequence(body []byte) (n uint32, ok bool) {
	head := body[:min(len(body), 48)]
	colon := bytes.IndexByte(head, ':')
	if colon < 0 {
		return 0, false
	}
	for _, c := range head[colon+1:] {
		switch {
		case c >= '0' && c <= '9':
			n, ok = n*10+uint32(c-'0'), true
		case c == ')':
			return n, ok
		default:
			return 0, false
		}
	}
	return 0, false
}

// MadeAt returns when a record was made: `audit(1795517743.742:2): ...`.
func MadeAt(body []byte) (at time.Time, ok bool) {
	millis, _, _, ok := header(body)
	return time.UnixMilli(millis).UTC(), ok
}
