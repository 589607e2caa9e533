// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/reconbeat/reconbeat/internal/health"
)

// group is what the writer takes at once.
type group struct {
	entries  []Entry
	snapshot *Snapshot
	settled  uint64
}

// write is the writer's goroutine.
func (s *Store) write() {
	defer s.writer.Done()
	defer s.outbox.close()
	later := time.NewTimer(time.Hour)
	defer later.Stop()
	later.Stop()
	due := false // later runs
	postpone := func(d time.Duration) {
		if !due {
			later.Reset(d)
			due = true
		}
	}
	for {
		select {
		case <-s.wake:
		case <-s.lazily:
			postpone(settleDelay)
			continue
		case <-later.C:
			due = false
		case <-s.closing:
			s.closeErr = s.process(s.takeAll())
			return
		}
		if s.process(s.takeAll()) != nil {
			postpone(retryDelay)
		}
	}
}

func (s *Store) takeAll() group {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := group{entries: s.waiting, snapshot: s.snapshot, settled: s.settled}
	s.waiting, s.snapshot = nil, nil
	s.waitingDurable, s.waitingBytes = 0, 0
	s.room.Broadcast()
	return g
}

// process writes a group and passes it on. Its error says what could not be written and will be tried again.
func (s *Store) process(g group) error {
	start := time.Now()
	var durable, raw []Entry
	for _, e := range g.entries {
		if e.Durable {
			durable = append(durable, e)
		} else {
			raw = append(raw, e)
		}
	}
	// Alerts first: they are what may be in a hurry.
	errAlerts := s.writeAlerts(durable, g.settled)
	errEvents := s.writeEvents(raw, g.settled)
	if len(g.entries) > 0 {
		s.stats.Commits.Add(1)
		s.stats.CommitNanos.Store(int64(time.Since(start)))
		s.stats.Lost.Add(uint64(s.outbox.put(g.entries, s.journaled)))
	}
	err := errors.Join(errAlerts, errEvents, s.writeSnapshot(g.snapshot))
	s.count()
	return err
}

// writeAlerts writes durable entries, those of earlier failures first.
func (s *Store) writeAlerts(entries []Entry, settled uint64) error {
	s.unwritten = slices.DeleteFunc(append(s.unwritten, entries...), func(e Entry) bool { return e.Seq <= settled })
	c := change{entries: s.unwritten, settled: settled}
	if err := s.commit(&s.alerts, c); err != nil {
		s.stats.Unwritten.Add(uint64(len(entries)))
		if over := len(s.unwritten) - maxUnwritten; over > 0 {
			s.unwritten = append([]Entry(nil), s.unwritten[over:]...)
		}
		return err
	}
	s.unwritten = nil
	return nil
}

// writeEvents writes raw events, and drops the oldest that exceed the bounds. Those that cannot be written are passed on and not tried again.
func (s *Store) writeEvents(entries []Entry, settled uint64) error {
	dropTo, dropped := s.overBound(entries, settled)
	if err := s.commit(&s.events, change{entries: entries, settled: max(settled, dropTo)}); err != nil {
		s.stats.Unwritten.Add(uint64(len(entries)))
		return err
	}
	if dropped > 0 {
		s.o.Health.Set(health.JournalFull, "", fmt.Sprintf("%d raw events dropped, of at most %d and %d bytes", s.stats.Dropped.Add(uint64(dropped)), s.o.MaxEvents, s.o.MaxEventBytes), s.o.Now())
		s.outbox.drop(dropTo, 2*s.o.MaxEvents)
		return nil
	}
	s.mu.Lock()
	low := len(s.events.pending) <= s.o.MaxEvents*9/10 && s.events.bytes <= s.o.MaxEventBytes*9/10
	s.mu.Unlock()
	if low {
		s.o.Health.Clear(health.JournalFull, "")
	}
	return nil
}

// overBound returns up to which entry raw events must go so that the rest and the new ones fit the bounds, and how many of those are not acknowledged.
func (s *Store) overBound(entries []Entry, settled uint64) (dropTo uint64, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.events.pending[len(s.events.pending)-countAfter(s.events.pending, settled):]
	count, bytes := len(all)+len(entries), int64(0)
	for _, sl := range all {
		bytes += sl.size
	}
	for i := range entries {
		bytes += entries[i].size()
	}
	for i := 0; count > s.o.MaxEvents || bytes > s.o.MaxEventBytes && count > 0; i++ {
		var sl slot
		if i < len(all) {
			sl = all[i]
		} else {
			e := &entries[i-len(all)]
			sl = slot{e.Seq, e.size()}
		}
		dropTo = sl.seq
		count--
		bytes -= sl.size
		dropped++
	}
	return dropTo, dropped
}

// countAfter counts the slots behind seq.
func countAfter(slots []slot, seq uint64) int {
	return len(slots) - sort.Search(len(slots), func(i int) bool { return slots[i].seq > seq })
}

// commit makes a change to a journal and to what is known of it. A journal that turns out to be damaged is set aside and begun anew, once.
func (s *Store) commit(j *journal, c change) error {
	s.mu.Lock()
	c.forget = s.forgettable()
	nothing := len(c.entries) == 0 && c.forget <= j.forgot && countAfter(j.pending, c.settled) == len(j.pending)
	s.mu.Unlock()
	if nothing {
		return nil
	}
	name := filepath.Base(j.path)
	err := errNotOpen
	if j.db.Load() != nil {
		err = j.commit(c)
	}
	if errors.Is(err, errBroken) {
		s.setAside(j.path, j.path, name, err)
		j.abandon()
		s.mu.Lock()
		j.pending, j.bytes = nil, 0
		s.mu.Unlock()
		err = errNotOpen
	}
	if errors.Is(err, errNotOpen) {
		if err = j.open(); err == nil {
			err = j.commit(c)
		}
	}
	if err != nil {
		s.notWritten(name, err)
		return fmt.Errorf("writing %s: %w", j.path, err)
	}
	s.o.Health.Clear(health.StateNotWritten, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range c.entries {
		if e := &c.entries[i]; e.Seq > c.settled {
			j.pending = append(j.pending, slot{e.Seq, e.size()})
			j.bytes += e.size()
		}
	}
	gone := len(j.pending) - countAfter(j.pending, c.settled)
	for _, sl := range j.pending[:gone] {
		j.bytes -= sl.size
	}
	j.pending = append(j.pending[:0], j.pending[gone:]...)
	j.forgot = max(j.forgot, c.forget)
	return nil
}

func (s *Store) notWritten(subject string, err error) {
	s.stats.WriteErrors.Add(1)
	s.o.Health.Set(health.StateNotWritten, subject, err.Error(), s.o.Now())
}

// forgettable returns up to which entry IDs are needed no more: appended before the snapshot before the last, and acknowledged. Called with s.mu held.
func (s *Store) forgettable() uint64 {
	to := min(s.previousSeq, s.settled)
	// With an output that stays down nothing is acknowledged; then the number of IDs is the bound.
	if over := len(s.seenOrder) - (4*s.o.MaxEvents + maxWaitingRaw); over > 0 && s.seenOrder[over-1].seq > to {
		s.stats.Forgotten.Add(uint64(over))
		to = s.seenOrder[over-1].seq
	}
	to = max(to, s.forgetTo) // both journals forget the same
	s.forgetTo = to
	n := 0
	for ; n < len(s.seenOrder) && s.seenOrder[n].seq <= to; n++ {
		if i := s.seenOrder[n]; s.seen[i.id] == i.seq {
			delete(s.seen, i.id)
		}
	}
	s.seenOrder = s.seenOrder[n:]
	return to
}

// writeSnapshot writes the snapshot, or the one that failed before. It waits for all durable entries that came before it.
func (s *Store) writeSnapshot(snap *Snapshot) error {
	if snap == nil {
		return nil
	}
	err := s.trySnapshot(snap)
	if err == nil {
		s.stats.Snapshots.Add(1)
		s.o.Health.Clear(health.StateNotWritten, "snapshot")
		s.previousSeq, s.snapshotSeq = s.snapshotSeq, snap.seq
		return nil
	}
	s.notWritten("snapshot", err)
	s.mu.Lock()
	if s.snapshot == nil { // unless a newer one came
		s.snapshot = snap
	}
	s.mu.Unlock()
	return err
}

func (s *Store) trySnapshot(snap *Snapshot) error {
	if len(s.unwritten) > 0 {
		return errors.New("alerts that came before the snapshot are not written yet")
	}
	// From here on the sources are not read again before the cursors, so what came before must be on disk, raw events too.
	if err := s.events.sync(); err != nil {
		return fmt.Errorf("flushing %s: %w", s.events.path, err)
	}
	return writeSnapshot(s.dir, snap)
}

// journaled reports whether an entry is in a journal.
func (s *Store) journaled(e *Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &s.events
	if e.Durable {
		j = &s.alerts
	}
	i := sort.Search(len(j.pending), func(i int) bool { return j.pending[i].seq >= e.Seq })
	return i < len(j.pending) && j.pending[i].seq == e.Seq
}

// count brings the gauges up to date.
func (s *Store) count() {
	s.mu.Lock()
	n, bytes := len(s.alerts.pending)+len(s.events.pending), s.alerts.bytes+s.events.bytes
	s.mu.Unlock()
	s.stats.Pending.Store(int64(n))
	s.stats.PendingBytes.Store(bytes)
	s.stats.FileBytes.Store(s.alerts.size() + s.events.size())
}
