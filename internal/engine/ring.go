// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// RingSlots is how many events may wait between the modules and the one goroutine that judges: half a second of the
// busiest host measured. A judge under the race detector takes longer, and the kernel does not wait for it.
const RingSlots = race.Slower * 1024

// slotBytes is the memory that a slot keeps between events; a longer command line's is given back.
const slotBytes = 16 << 10

// ErrRingClosed ends a module that emits after the ring was closed.
var ErrRingClosed = errors.New("reconbeat is stopping")

// Ring is the fixed queue between the modules, which only send, and the stream, which only takes. Events are copied
// into its slots, so that neither side allocates.
type Ring struct {
	mu     sync.Mutex
	space  *sync.Cond // a slot became free, or the ring was closed
	slots  []Slot
	first  int // index of the oldest event
	count  int
	put    uint64 // events ever put
	taken  uint64 // events ever released
	closed bool

	Filled  chan struct{} // holds a token when there may be an event
	Dropped atomic.Uint64 // events of kernel sources for which there was no slot
}

// Slot is an event in the ring, and the module that it came from.
type Slot struct {
	Event  process.Event
	Source *document.Source
}

// NewRing makes a ring of that many slots.
func NewRing(slots int) *Ring {
	r := &Ring{slots: make([]Slot, slots), Filled: make(chan struct{}, 1)}
	r.space = sync.NewCond(&r.mu)
	return r
}

// Send copies e into the ring. When the ring is full, a source that can be read again waits; a kernel source's event is
// dropped and counted, for to wait would only move the loss into the kernel, where it is counted worse. It reports
// whether the event was taken.
func (r *Ring) Send(e *process.Event, s *document.Source) (bool, error) {
	r.mu.Lock()
	for r.count == len(r.slots) && !r.closed {
		if !s.Rereadable {
			r.mu.Unlock()
			r.Dropped.Add(1)
			return false, nil
		}
		r.space.Wait()
	}
	if r.closed {
		r.mu.Unlock()
		return false, ErrRingClosed
	}
	t := &r.slots[(r.first+r.count)%len(r.slots)]
	t.Event.Copy(e)
	t.Source = s
	r.count++
	r.put++
	r.mu.Unlock()
	select {
	case r.Filled <- struct{}{}:
	default:
	}
	return true, nil
}

// Next returns the oldest event, nil when there is none. It stays the taker's until release.
func (r *Ring) Next() *Slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		return nil
	}
	return &r.slots[r.first]
}

// Release frees the slot that next returned.
func (r *Ring) Release() {
	r.slots[r.first].Event.Shrink(slotBytes)
	r.mu.Lock()
	r.slots[r.first].Source = nil
	r.first = (r.first + 1) % len(r.slots)
	r.count--
	r.taken++
	r.mu.Unlock()
	r.space.Broadcast()
}

// Drained waits until everything that was sent before the call has been taken, or the ring is closed.
func (r *Ring) Drained() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for until := r.put; r.taken < until && !r.closed; {
		r.space.Wait()
	}
}

// Close makes every waiting and later send fail.
func (r *Ring) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.space.Broadcast()
}

// Waiting is how many events are in the ring.
func (r *Ring) Waiting() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(r.count) // never negative
}

// Oldest returns the earliest time of the events of a module in the ring; false when there is none.
func (r *Ring) Oldest(of *document.Source) (oldest time.Time, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.count {
		s := &r.slots[(r.first+i)%len(r.slots)]
		if s.Source == of && (!found || s.Event.Time.Before(oldest)) {
			oldest, found = s.Event.Time, true
		}
	}
	return oldest, found
}
