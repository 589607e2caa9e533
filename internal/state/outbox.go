// SPDX-License-Identifier: Apache-2.0

package state

import (
	"sync"

	"github.com/reconbeat/reconbeat/internal/plural"
)

// outbox is what the writer is done with and Committed has not been given yet.
type outbox struct {
	mu     sync.Mutex // guards everything that follows
	filled sync.Cond
	items  []item
	bytes  int64 // of the documents among them
	closed bool
}

// item is an entry to pass on.
type item struct {
	entry Entry
	read  bool // the document is to be read from the journal
}

func (o *outbox) init() { o.filled.L = &o.mu }

// put adds entries. When there are too many bytes, the documents that are in the journal are let go; those that are not
// are lost, raw ones at once and durable ones at a higher bound. It returns how many are lost.
func (o *outbox) put(entries []Entry, journaled func(*Entry) bool) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		it := item{entry: e}
		switch n := o.bytes + e.size(); {
		case n <= maxOutboxBytes:
			o.bytes = n
		case journaled(&e):
			it.entry, it.read = Entry{Seq: e.Seq, Durable: e.Durable}, true
		case e.Durable && n <= maxOutboxDurable:
			o.bytes = n
		default:
			lost++
			continue
		}
		o.items = append(o.items, it)
	}
	o.filled.Signal()
	return lost
}

// drop forgets raw events below seq that are in neither memory nor journal any more, once they are many.
func (o *outbox) drop(seq uint64, many int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) <= many {
		return
	}
	kept := o.items[:0]
	for _, it := range o.items {
		if it.read && !it.entry.Durable && it.entry.Seq <= seq {
			continue
		}
		kept = append(kept, it)
	}
	clear(o.items[len(kept):])
	o.items = kept
}

// take waits for items and takes up to n of them. It returns none when the outbox is closed: at once what is in the
// journal is left there, what is nowhere else is given first.
func (o *outbox) take(n int, journaled func(*Entry) bool) []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.items) == 0 && !o.closed {
		o.filled.Wait()
	}
	if o.closed {
		kept := o.items[:0]
		for _, it := range o.items {
			if !it.read && !journaled(&it.entry) {
				kept = append(kept, it)
			}
		}
		o.items = kept
	}
	n = min(n, len(o.items))
	taken := append([]item(nil), o.items[:n]...)
	for i := range taken {
		if !taken[i].read {
			o.bytes -= taken[i].entry.size()
		}
	}
	rest := copy(o.items, o.items[n:])
	clear(o.items[rest:])
	o.items = o.items[:rest]
	return taken
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.filled.Signal()
}

// pass is the goroutine that gives Committed what is committed.
func (s *Store) pass() {
	defer s.writer.Done()
	for {
		items := s.outbox.take(handOver, s.journaled)
		if len(items) == 0 {
			return
		}
		var batch []Entry
		for i := 0; i < len(items); i++ {
			switch it := items[i]; {
			case it.read:
				var seqs []uint64
				for ; i < len(items) && items[i].read; i++ {
					seqs = append(seqs, items[i].entry.Seq)
				}
				i--
				batch = append(batch, s.reread(seqs)...)
			default:
				batch = append(batch, it.entry)
			}
		}
		s.give(batch)
	}
}

// reread reads from the journal what was let go from memory. What is gone by now was dropped at the bound, and counted
// there.
func (s *Store) reread(seqs []uint64) []Entry {
	entries, err := s.load(seqs)
	if err != nil {
		s.stats.Damaged.Add(uint64(len(seqs)))
		s.log.Warnf(
			"leaving out %s of the journal that cannot be read: %v",
			plural.Of(len(seqs), "entry"),
			err,
		)
	}
	return entries
}

func (s *Store) give(batch []Entry) {
	if len(batch) == 0 {
		return
	}
	if s.o.Committed != nil {
		s.o.Committed(batch)
	}
	s.stats.Committed.Add(uint64(len(batch)))
}
