// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

// Agents, and auditd on a host of several processors, may write the exec of a parent a few milliseconds after that of
// its child. So a match whose parent is named and unknown waits, and what comes behind it waits, too, until the
// parent's exec has come or it is clear that it will not.
const (
	waitFor = time.Second // how much later an event may be, by the events' own time
	waitMax = 64          // how many execs wait
)

// waiting is a queue of execs that match, the first first. Its places keep their memory.
type waiting struct {
	places [waitMax]waiter
	head   int
	n      int
	old    int // how many of the first were there when SettleOld was called last
}

type waiter struct {
	process.Event
	from  *document.Source
	rules detector.RuleSet
}

func (w *waiting) first() *waiter { return &w.places[w.head] }

// wait puts an exec at the end of the queue.
func (eng *Engine) wait(e *process.Event, from *document.Source, rules detector.RuleSet) {
	if eng.waiting.n == waitMax {
		eng.releaseFirst()
	}
	w := &eng.waiting
	last := &w.places[(w.head+w.n)%waitMax]
	last.Copy(e)
	last.from, last.rules = from, rules
	w.n++
}

// release reports those at the head of the queue that need not wait any longer, now that the table has observed e.
func (eng *Engine) release(e *process.Event) {
	first := eng.waiting.first()
	known := (first.PPID == e.PID || first.PPID == 0) && eng.table.Complete(&first.Event)
	for known || e.Time.Sub(first.Time).Abs() > waitFor {
		eng.releaseFirst()
		if eng.waiting.n == 0 {
			return
		}
		first = eng.waiting.first()
		known = eng.table.Complete(&first.Event) // its parent may have come while it waited for the one before it
	}
}

func (eng *Engine) releaseFirst() {
	w := &eng.waiting
	first := w.first()
	w.head = (w.head + 1) % waitMax
	w.n--
	w.old = max(0, w.old-1)
	eng.table.Complete(&first.Event)
	eng.reach(first.Time, first.from) // no further while it was waiting for others
	eng.report(&first.Event, first.from, first.rules)
	first.Shrink(maxWaiting)
}

// maxWaiting is how many bytes the memory of a place may keep.
const maxWaiting = 16 << 10

// Settle reports all execs that wait for their parents.
func (eng *Engine) Settle() {
	for eng.waiting.n > 0 {
		eng.releaseFirst()
	}
}

// SettleOld reports those that have waited since it was called last. One whose parent stands on the next line of a file
// has not.
func (eng *Engine) SettleOld() {
	for eng.waiting.old > 0 {
		eng.releaseFirst()
	}
	eng.waiting.old = eng.waiting.n
}
