// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// roomForEach is what a chunk's other fields and the length of each unit need at most.
const roomForEach = 64

// chunks are the messages in which an observation goes out that is larger than one may be. They have one time, the
// first of them has all that is not a unit, and the last has no units. A unit is never parted: one that is too large
// goes alone, and the connection refuses it. The observation is the caller's no more.
func chunks(all *wire.Observed, limit int, now time.Time) []*wire.Observed {
	if proto.Size(all) <= limit {
		return []*wire.Observed{all}
	}
	at := timestamppb.New(now)
	units := all.Units
	all.Units = nil
	chunk := proto.CloneOf(all)
	chunk.ChunkedAt = at
	var list []*wire.Observed
	size := proto.Size(chunk) + roomForEach
	for _, unit := range units {
		needs := proto.Size(unit) + roomForEach
		if size+needs > limit && len(chunk.Units) > 0 {
			list = append(list, chunk)
			chunk = &wire.Observed{Token: all.Token, ChunkedAt: at}
			size = proto.Size(chunk) + roomForEach
		}
		chunk.Units = append(chunk.Units, unit)
		size += needs
	}
	return append(list, chunk, &wire.Observed{Token: all.Token, ChunkedAt: at})
}

// assembly puts together what is expected, when it comes in several messages.
type assembly struct{ first *wire.Expected }

// add takes the next message, and returns what is expected once it is complete. A later beginning replaces what has
// come so far; what is left of an earlier one is dropped.
func (a *assembly) add(m *wire.Expected) *wire.Expected {
	switch {
	case m.ChunkedAt == nil: // all of it
		a.first = nil
		return m
	case a.first == nil || m.ChunkedAt.AsTime().After(a.first.ChunkedAt.AsTime()):
		if len(m.Units) == 0 { // all of it: nothing is to run
			a.first = nil
			return m
		}
		a.first = m
		return nil
	case m.ChunkedAt.AsTime().Before(a.first.ChunkedAt.AsTime()):
		return nil
	case len(m.Units) > 0:
		a.first.Units = append(a.first.Units, m.Units...)
		return nil
	}
	complete := a.first
	a.first = nil
	return complete
}
