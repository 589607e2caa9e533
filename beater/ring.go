// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// ringSlots is how many events may wait between the modules and the one goroutine that judges: half a second of the busiest host measured.
const ringSlots = 1024

// slotBytes is the memory that a slot keeps between events; a longer command line's is given back.
const slotBytes = 16 << 10

// errRingClosed ends a module that emits after the ring was closed.
var errRingClosed = errors.New("reconbeat is stopping")

// ring is the fixed queue between the modules, which only send, and the stream, which only takes. Events are copied into its slots,
// so that neither side allocates.
type ring struct {
	mu     sync.Mutex
	space  *sync.Cond // a slot became free, or the ring was closed
	slots  []slot
	first  int // index of the oldest event
	count  int
	put    uint64 // events ever put
	taken  uint64 // events ever released
	closed bool

	filled  chan struct{} // holds a token when there may be an event
	dropped atomic.Uint64 // events of kernel sources for which there was no slot
}

type slot struct {
	event  process.Event
	source *source
}

func newRing(slots int) *ring {
	r := &ring{slots: make([]slot, slots), filled: make(chan struct{}, 1)}
	r.space = sync.NewCond(&r.mu)
	return r
}

// send copies e into the ring. When the ring is full, a source that can be read again waits; a kernel source's event is dropped and
// counted, for to wait would only move the loss into the kernel, where it is counted worse. It reports whether the event was taken.
func (r *ring) send(e *process.Event, s *source) (bool, error) {
	r.mu.Lock()
	for r.count == len(r.slots) && !r.closed {
		if !s.rereadable {
			r.mu.Unlock()
			r.dropped.Add(1)
			return false, nil
		}
		r.space.Wait()
	}
	if r.closed {
		r.mu.Unlock()
		return false, errRingClosed
	}
	t := &r.slots[(r.first+r.count)%len(r.slots)]
	t.event.Copy(e)
	t.source = s
	r.count++
	r.put++
	r.mu.Unlock()
	select {
	case r.filled <- struct{}{}:
	default:
	}
	return true, nil
}

// next returns the oldest event, nil when there is none. It stays the taker's until release.
func (r *ring) next() *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		return nil
	}
	return &r.slots[r.first]
}

// release frees the slot that next returned.
func (r *ring) release() {
	r.slots[r.first].event.Shrink(slotBytes)
	r.mu.Lock()
	r.slots[r.first].source = nil
	r.first = (r.first + 1) % len(r.slots)
	r.count--
	r.taken++
	r.mu.Unlock()
	r.space.Broadcast()
}

// drained waits until everything that was sent before the call has been taken, or the ring is closed.
func (r *ring) drained() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for until := r.put; r.taken < until && !r.closed; {
		r.space.Wait()
	}
}

// close makes every waiting and later send fail.
func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.space.Broadcast()
}

// waiting is how many events are in the ring.
func (r *ring) waiting() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(r.count) // never negative
}

// oldest returns the earliest time of the events in the ring; false when there is none.
func (r *ring) oldest() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var t time.Time
	for i := range r.count {
		if at := r.slots[(r.first+i)%len(r.slots)].event.Time; i == 0 || at.Before(t) {
			t = at
		}
	}
	return t, r.count > 0
}
