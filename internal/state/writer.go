// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
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
		tidy := false
		select {
		case <-s.wake:
		case <-s.lazily:
			postpone(settleDelay)
			continue
		case <-later.C:
			due = false
			tidy = true
		case <-s.closing:
			s.closeErr = errors.Join(s.process(s.takeAll()), s.alertLog.files.Close())
			return
		}
		err := s.process(s.takeAll())
		if tidy {
			err = errors.Join(err, s.tidy(&s.alerts), s.tidy(&s.events))
			s.count()
		}
		switch {
		case err != nil:
			postpone(retryDelay)
		case s.alerts.wasteful() || s.events.wasteful():
			postpone(settleDelay)
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
	s.count() // before anything is passed on: who has been given an entry finds it in the gauges
	if len(g.entries) > 0 {
		s.stats.Commits.Add(1)
		s.stats.CommitNanos.Store(int64(time.Since(start)))
		s.stats.Lost.Add(uint64(s.outbox.put(g.entries, s.journaled)))
	}
	return errors.Join(errAlerts, errEvents, s.logAlerts(durable), s.writeSnapshot(g.snapshot))
}

// logAlerts writes durable entries, which were passed on, into the alert log, those of earlier failures first.
func (s *Store) logAlerts(entries []Entry) error {
	s.unlogged = append(s.unlogged, entries...)
	if len(s.unlogged) == 0 {
		return nil
	}
	for len(s.unlogged) > 0 {
		err := s.alertLog.add(s.unlogged[0].Document)
		if errors.Is(err, errTooLong) {
			s.log.Warnf("alert %s is not kept for people on this host: %v", s.unlogged[0].ID, err)
		} else if err != nil {
			s.unlogged = slices.Clone(s.unlogged[max(0, len(s.unlogged)-maxUnwritten):])
			s.notWritten(alertLogDir, err)
			return err
		}
		s.unlogged = s.unlogged[1:]
	}
	s.unlogged = nil
	s.o.Health.Clear(health.StateNotWritten, alertLogDir)
	return nil
}

// writeAlerts writes durable entries, those of earlier failures first.
func (s *Store) writeAlerts(entries []Entry, settled uint64) error {
	s.unwritten = slices.DeleteFunc(append(s.unwritten, entries...), func(e Entry) bool { return e.Seq <= settled })
	if err := s.commit(&s.alerts, s.unwritten, settled, settled); err != nil {
		s.stats.Unwritten.Add(uint64(len(entries)))
		if over := len(s.unwritten) - maxUnwritten; over > 0 {
			s.unwritten = append([]Entry(nil), s.unwritten[over:]...)
		}
		return err
	}
	s.unwritten = nil
	return nil
}

// writeEvents writes raw events, and drops the oldest that exceed the bounds. Those that cannot be written are passed
// on and not tried again.
func (s *Store) writeEvents(entries []Entry, settled uint64) error {
	dropTo, dropped := s.overBound(entries, settled)
	if err := s.commit(&s.events, entries, max(settled, dropTo), settled); err != nil {
		s.stats.Unwritten.Add(uint64(len(entries)))
		return err
	}
	if dropped > 0 {
		all := s.stats.Dropped.Add(uint64(dropped))
		s.o.Health.Set(health.JournalFull, "", fmt.Sprintf("%s dropped, of at most %d and %d bytes",
			plural.Of(all, "raw event"), s.o.MaxEvents, s.o.MaxEventBytes), s.o.Now())
		s.outbox.drop(dropTo, 2*s.o.MaxEvents)
		return nil
	}
	low := len(s.events.pending) <= s.o.MaxEvents*9/10 && s.events.bytes <= s.o.MaxEventBytes*9/10
	if low {
		s.o.Health.Clear(health.JournalFull, "")
	}
	return nil
}

// overBound returns up to which entry raw events must go so that the rest and the new ones fit the bounds, and how many
// of those are not acknowledged.
func (s *Store) overBound(entries []Entry, settled uint64) (dropTo uint64, dropped int) {
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
			sl = slot{seq: e.Seq, size: e.size()}
		}
		dropTo = sl.seq
		count--
		bytes -= sl.size
		dropped++
	}
	return dropTo, dropped
}

// commit makes a change to a journal. One that turns out to be damaged is opened anew, once.
func (s *Store) commit(j *journal, entries []Entry, gone, acknowledged uint64) error {
	s.mu.Lock()
	s.forget()
	s.mu.Unlock()
	if len(entries) == 0 && countAfter(j.pending, gone) == len(j.pending) {
		return nil
	}
	name := filepath.Base(j.path)
	err := j.commit(entries, gone, acknowledged)
	if errors.Is(err, errBroken) {
		held := len(j.pending)
		s.setAside(j.path, j.path, name, err)
		j.close()
		s.stats.Damaged.Add(uint64(held))
		err = errNotOpen
	}
	if errors.Is(err, errNotOpen) {
		if _, err = s.openJournal(j); err == nil {
			err = j.commit(entries, gone, acknowledged)
		}
	}
	if err != nil {
		s.notWritten(name, err)
		return fmt.Errorf("writing %s: %w", j.path, err)
	}
	s.o.Health.Clear(health.StateNotWritten, name)
	return nil
}

// tidy rewrites a journal when most of it is needed no more.
func (s *Store) tidy(j *journal) error {
	if !j.wasteful() {
		return nil
	}
	s.mu.Lock()
	forget, acknowledged := s.forgetTo, s.settled
	s.mu.Unlock()
	damaged, err := j.rewrite(j.path, forget, acknowledged)
	s.damaged(j, damaged)
	if err == nil {
		if _, err = j.open(); err != nil {
			j.close() // of the old file, which has no name any more
		}
	}
	if err != nil {
		s.notWritten(filepath.Base(j.path), err)
		return fmt.Errorf("rewriting %s: %w", j.path, err)
	}
	return nil
}

func (s *Store) notWritten(subject string, err error) {
	s.stats.WriteErrors.Add(1)
	s.o.Health.Set(health.StateNotWritten, subject, err.Error(), s.o.Now())
}

// forget forgets the IDs that are needed no more: appended before the snapshot before the last, and acknowledged.
// Called with s.mu held.
func (s *Store) forget() {
	to := min(s.previousSeq, s.settled)
	// With an output that stays down nothing is acknowledged; then the number of IDs is the bound.
	if over := len(s.seenOrder) - (4*s.o.MaxEvents + maxWaitingRaw); over > 0 && s.seenOrder[over-1].seq > to {
		s.stats.Forgotten.Add(uint64(over))
		to = s.seenOrder[over-1].seq
	}
	to = max(to, s.forgetTo)
	s.forgetTo = to
	n := 0
	for ; n < len(s.seenOrder) && s.seenOrder[n].seq <= to; n++ {
		if i := s.seenOrder[n]; s.seen[i.id] == i.seq {
			delete(s.seen, i.id)
		}
	}
	s.seenOrder = s.seenOrder[n:]
}

// writeSnapshot writes the snapshot, or the one that failed before. It waits for all durable entries that came before
// it.
func (s *Store) writeSnapshot(snap *Snapshot) error {
	if snap == nil {
		return nil
	}
	err := s.trySnapshot(snap)
	if err == nil {
		s.stats.Snapshots.Add(1)
		s.o.Health.Clear(health.StateNotWritten, "snapshot")
		// Before it came all that the journals owed, and what they have tried in vain is owed no more where it was delivered:
		// without this, the condition would hold until the next alert.
		for _, j := range []*journal{&s.alerts, &s.events} {
			s.o.Health.Clear(health.StateNotWritten, filepath.Base(j.path))
		}
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
	// From here on the sources are not read again before the cursors, so what came before must be on disk, raw events
	// too.
	if err := s.events.sync(); err != nil {
		return fmt.Errorf("flushing %s: %w", s.events.path, err)
	}
	return writeSnapshot(s.dir, snap)
}

// journaled reports whether an entry is in a journal.
func (s *Store) journaled(e *Entry) bool {
	if e.Durable {
		return s.alerts.holds(e.Seq)
	}
	return s.events.holds(e.Seq)
}

// count brings the gauges up to date.
func (s *Store) count() {
	s.stats.Pending.Store(int64(len(s.alerts.pending) + len(s.events.pending)))
	s.stats.PendingBytes.Store(s.alerts.bytes + s.events.bytes)
	s.stats.FileBytes.Store(s.alerts.size + s.events.size)
}
