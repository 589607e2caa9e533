// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
)

// The bounds that options do not set.
const (
	maxWaitingRaw     = 8192     // raw events that wait for the writer; beyond: dropped, counted in DroppedWaiting
	maxWaitingBytes   = 16 << 20 // their bytes together
	maxWaitingDurable = 4096     // durable entries that wait for the writer; beyond: Append waits
	maxUnwritten      = 4096     // durable entries kept in memory to be written again; beyond: the oldest is given up
	maxOutboxBytes    = 8 << 20  // documents in memory that wait for Committed; beyond: read from the journal again
	maxOutboxDurable  = 64 << 20 // the same for durable entries that are not in the journal; beyond: lost, and counted
	handOver          = 256      // entries given to one call of Committed
	settleDelay       = time.Second
	retryDelay        = 5 * time.Second
)

// ErrClosed says that the Store was closed.
var ErrClosed = errors.New("the state is closed")

// Options are the settings of a Store. The zero value of each is a usable default.
type Options struct {
	Logger        *logp.Logger  // nil: says nothing
	Health        *health.Board // nil: one of its own
	MaxEvents     int           // raw events in the journal; the oldest is dropped first. 0: 10,000
	MaxEventBytes int64         // their size together in bytes. 0: 32 MiB
	// Committed is given what was committed, each entry once, in the order of Seq, from one goroutine. It may block as
	// long as the output does: meanwhile entries wait in the journal. It must return before Close can. nil: nothing
	// is called.
	Committed func([]Entry)
	Now       func() time.Time // for conditions and names of files. nil: time.Now
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = logp.NewNopLogger()
	}
	if o.Health == nil {
		o.Health = &health.Board{}
	}
	if o.MaxEvents <= 0 {
		o.MaxEvents = 10_000
	}
	if o.MaxEventBytes <= 0 {
		o.MaxEventBytes = 32 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Stats counts what a Store did and, above all, what it could not keep. All are safe to read at any time.
type Stats struct {
	Appended       atomic.Uint64 // entries accepted by Append
	Repeated       atomic.Uint64 // entries that Append left out because their ID was there already
	DroppedWaiting atomic.Uint64 // raw events refused because the writer did not keep up
	Waited         atomic.Uint64 // times that Append had to wait for the writer
	Committed      atomic.Uint64 // entries passed on after the writer was done with them, on disk or not
	Commits        atomic.Uint64 // groups of entries written
	CommitNanos    atomic.Int64  // how long the last of them took
	Dropped        atomic.Uint64 // raw events deleted unacknowledged, because the journal is at its bound
	Unwritten      atomic.Uint64 // entries that were passed on without being in the journal
	Lost           atomic.Uint64 // entries neither in the journal nor passed on: disk failed and output blocked
	Forgotten      atomic.Uint64 // IDs forgotten early, for want of room: their repeats would not be recognised
	WriteErrors    atomic.Uint64 // transactions and snapshots that failed
	Damaged        atomic.Uint64 // entries and IDs that could not be read
	SetAside       atomic.Uint64 // files set aside
	Snapshots      atomic.Uint64 // snapshots written
	Pending        atomic.Int64  // entries in the journal that are not acknowledged
	PendingBytes   atomic.Int64  // their bytes
	FileBytes      atomic.Int64  // size of both databases on disk
}

// Store is the state of one Beat. It is safe for use by many goroutines.
type Store struct {
	dir   string
	o     Options
	log   *logp.Logger
	stats Stats
	lock  *os.File

	opened   uint64 // the last sequence number at Open: what Pending gives ends here
	atOpen   Snapshot
	wake     chan struct{} // something waits for the writer
	lazily   chan struct{} // something to be deleted when there is time
	closing  chan struct{}
	writer   sync.WaitGroup
	outbox   outbox
	closeErr error
	once     sync.Once

	mu             sync.Mutex // guards everything that follows but the journals, which have locks of their own
	room           sync.Cond  // signalled when the writer took what waits
	closed         bool
	seq            uint64 // the last given
	waiting        []Entry
	waitingDurable int
	waitingBytes   int64             // of raw events
	snapshot       *Snapshot         // the newest that waits to be written
	rereading      bool              // since the last SaveSnapshot, something of an earlier run was met again
	reached        uint64            // all sources are known to be behind this entry
	seen           map[string]uint64 // ID to sequence number
	seenOrder      []identity
	forgetTo       uint64 // IDs up to here are forgotten
	settled        uint64 // acknowledged up to here
	alerts, events journal

	// The writer's own.
	alertLog    *alertLog
	unlogged    []Entry // durable entries that could not be written there yet
	unwritten   []Entry // durable entries that could not be written yet
	snapshotSeq uint64  // what the snapshot on disk stands for
	previousSeq uint64  // the one before
}

// Open opens the state in dir, which is made when there is none, and holds it until Close. The error wraps ErrLocked
// when another Store has it open. Contents that cannot be read are not an error: they are set aside, see the package
// comment.
func Open(dir string, o Options) (*Store, error) {
	o.defaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state's directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("closing the state's directory to others: %w", err)
	}
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, o: o, log: o.Logger.Named("state"), lock: held,
		wake: make(chan struct{}, 1), lazily: make(chan struct{}, 1), closing: make(chan struct{}),
		seen: map[string]uint64{},
	}
	s.room.L = &s.mu
	s.alerts.path, s.alerts.durable = filepath.Join(dir, "alerts.journal"), true
	s.events.path = filepath.Join(dir, "events.journal")
	s.nameOldFiles()
	if s.alertLog, err = openAlertLog(dir); err == nil {
		err = s.read()
	}
	if err != nil {
		s.alerts.close()
		s.events.close()
		held.Close()
		return nil, err
	}
	s.outbox.init()
	s.count()
	s.writer.Add(2)
	go s.write()
	go s.pass()
	return s, nil
}

// read reads the directory.
func (s *Store) read() error {
	now := s.o.Now()
	removeTemps(s.dir, now) // nobody else writes here
	removeTemps(filepath.Join(s.dir, "inbox"), now.Add(-time.Hour))
	s.readSnapshots()
	s.seq = s.snapshotSeq
	var ids []identity
	for _, j := range []*journal{&s.alerts, &s.events} {
		c, err := s.openJournal(j)
		if err != nil {
			return fmt.Errorf("opening the state: %w", err)
		}
		ids = append(ids, c.ids...)
		s.seq, s.settled = max(s.seq, c.last), max(s.settled, c.acknowledged)
	}
	s.opened = s.seq
	slices.SortFunc(ids, func(a, b identity) int { return int(int64(a.seq - b.seq)) })
	for _, i := range ids {
		if i.seq > min(s.previousSeq, s.settled) {
			s.seen[i.id] = i.seq
			s.seenOrder = append(s.seenOrder, i)
		}
	}
	return s.readUnlogged()
}

// readUnlogged finds what is not in the alert log yet; the writer begins with it.
func (s *Store) readUnlogged() error {
	var seqs []uint64
	for _, sl := range s.alerts.pending {
		seqs = append(seqs, sl.seq)
	}
	if len(seqs) == 0 {
		return nil
	}
	entries, err := s.load(seqs)
	if err == nil {
		s.unlogged, err = unlogged(s.dir, entries)
	}
	if err != nil {
		return fmt.Errorf("comparing the journal with the alert log: %w", err)
	}
	if len(s.unlogged) > 0 {
		poke(s.wake)
	}
	return nil
}

// openJournal opens a journal. A file that is none is set aside and begun anew. Of one that is damaged in places the
// rest goes into a new file, and the damaged one is set aside.
func (s *Store) openJournal(j *journal) (contents, error) {
	c, err := j.open()
	if errors.Is(err, errBroken) {
		j.close()
		s.setAside(j.path, j.path, filepath.Base(j.path), err)
		return j.open()
	}
	if err != nil {
		return c, err
	}
	if c.cut > 0 {
		s.log.Infof("%s: the last write was not finished; its %d bytes are cut off", j.path, c.cut)
	}
	if c.damaged == 0 {
		return c, nil
	}
	s.damaged(j, c.damaged)
	if _, err := j.rewrite(j.next(), 0, c.acknowledged); err != nil {
		s.notWritten(filepath.Base(j.path), err) // it goes on as it is
		return c, nil
	}
	s.setAside(j.path, j.path, filepath.Base(j.path), fmt.Errorf("it has %s", plural.Of(c.damaged, "damaged record")))
	return j.open()
}

// nameOldFiles says what becomes of journals of a reconbeat before 0.1.0.
func (s *Store) nameOldFiles() {
	for _, name := range []string{"alerts.db", "events.db"} {
		path := filepath.Join(s.dir, name)
		if _, err := os.Lstat(path); err == nil {
			s.log.Warnf("%s is the journal of a development build and is not read: documents in it that were not "+
				"acknowledged do not ship. Run that build until its journal is empty, then remove the file.", path)
		}
	}
}

// readSnapshots reads the last snapshot, or the one before, and sets aside what cannot be read.
func (s *Store) readSnapshots() {
	read := func(name string) (Snapshot, bool) {
		path := filepath.Join(s.dir, name)
		snap, err := readSnapshot(path)
		if err == nil {
			return snap, true
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.setAside(path, path, name, err)
		}
		return Snapshot{}, false
	}
	last, ok := read("snapshot")
	previous, okPrevious := read("snapshot.previous")
	if !ok && okPrevious {
		last = previous
	}
	s.atOpen = last
	s.snapshotSeq, s.previousSeq = last.seq, previous.seq
	s.reached = last.seq
}

// Snapshot returns the snapshot as it was at Open; the zero Snapshot when there was none that could be read.
func (s *Store) Snapshot() Snapshot { return s.atOpen }

// Stats returns the counters of s.
func (s *Store) Stats() *Stats { return &s.stats }

// Append hands entries to the writer in this order and returns how many it took: a repeat of an ID is left out (counted
// in Repeated), and so is a raw event when too many wait for a slow disk (DroppedWaiting). It does not wait for the
// disk, but for durable entries beyond maxWaitingDurable. Documents belong to s from then on. The error is ErrClosed,
// or names an entry that is too long.
func (s *Store) Append(entries ...Entry) (int, error) {
	taken := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if s.closed {
			return taken, ErrClosed
		}
		if seq, repeat := s.seen[e.ID]; repeat && e.ID != "" {
			s.rereading = s.rereading || seq <= s.opened
			s.stats.Repeated.Add(1)
			continue
		}
		if err := e.check(); err != nil {
			return taken, err
		}
		if e.Durable {
			if err := s.makeRoom(); err != nil {
				return taken, err
			}
			s.waitingDurable++
		} else {
			if len(s.waiting)-s.waitingDurable >= maxWaitingRaw || s.waitingBytes+e.size() > maxWaitingBytes {
				s.stats.DroppedWaiting.Add(1)
				continue
			}
			s.waitingBytes += e.size()
		}
		s.seq++
		e.Seq = s.seq
		if e.ID != "" {
			s.seen[e.ID] = e.Seq
			s.seenOrder = append(s.seenOrder, identity{e.Seq, e.ID})
		}
		s.waiting = append(s.waiting, e)
		taken++
	}
	s.stats.Appended.Add(uint64(taken))
	if taken > 0 {
		poke(s.wake)
	}
	return taken, nil
}

// makeRoom waits, with s.mu held, until another durable entry may wait for the writer.
func (s *Store) makeRoom() error {
	for s.waitingDurable >= maxWaitingDurable && !s.closed {
		s.stats.Waited.Add(1)
		poke(s.wake)
		s.room.Wait()
	}
	if s.closed {
		return ErrClosed
	}
	return nil
}

// SaveSnapshot hands a snapshot to the writer, which writes it after all entries that were appended before. It does not
// wait. When several wait, the newest is written. Model and Cursors belong to s from then on.
func (s *Store) SaveSnapshot(snap Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	// A source that still reads again what an earlier run had read is behind the newest entries: their IDs must not be
	// forgotten before it met them.
	if !s.rereading {
		s.reached = s.seq
	}
	s.rereading = false
	snap.seq = s.reached
	s.snapshot = &snap
	poke(s.wake)
	return nil
}

// Acknowledged says that every entry with a Seq up to upTo is settled: delivered, or dropped or rejected for good. They
// leave the journal within about a second; their IDs stay until two snapshots later. The numbers that Committed sees
// have gaps where raw events were dropped.
func (s *Store) Acknowledged(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upTo = min(upTo, s.seq); upTo > s.settled {
		s.settled = upTo
		poke(s.lazily)
	}
}

// Pending calls each with the entries that an earlier run left unacknowledged, in the order of Seq, and ends with its
// first error. They are not given to Committed; Acknowledged settles them as any other.
func (s *Store) Pending(each func(Entry) error) error {
	s.mu.Lock()
	var seqs []uint64
	for _, j := range []*journal{&s.alerts, &s.events} {
		j.mu.RLock()
		for _, sl := range j.pending {
			if sl.seq <= s.opened {
				seqs = append(seqs, sl.seq)
			}
		}
		j.mu.RUnlock()
	}
	s.mu.Unlock()
	slices.Sort(seqs)
	// In pieces, outside of transactions: a transaction kept open for a slow output would hold the writer up.
	for len(seqs) > 0 {
		n := min(handOver, len(seqs))
		entries, err := s.load(seqs[:n])
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		for _, e := range entries {
			if err := each(e); err != nil {
				return err
			}
		}
		seqs = seqs[n:]
	}
	return nil
}

// load reads entries from both journals, in the order of Seq. What is in neither is left out.
func (s *Store) load(seqs []uint64) ([]Entry, error) {
	var out []Entry
	for _, j := range []*journal{&s.alerts, &s.events} {
		damaged, err := j.load(seqs, func(e Entry) { out = append(out, e) })
		s.damaged(j, damaged)
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return int(int64(a.Seq - b.Seq)) })
	return out, nil
}

// Close writes what waits and lets the directory go. What was not passed on to Committed by then stays in the journal
// for the next start; what could not be written is passed on first. Its error says what was lost.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.room.Broadcast()
		s.mu.Unlock()
		close(s.closing)
		s.writer.Wait()
		s.closeErr = errors.Join(s.closeErr, s.events.sync(), s.alerts.close(), s.events.close(), s.lock.Close())
	})
	return s.closeErr
}

// damaged says that values of a journal could not be read.
func (s *Store) damaged(j *journal, n int) {
	if n == 0 {
		return
	}
	s.stats.Damaged.Add(uint64(n))
	lost := plural.Of(n, "damaged record") + " left out"
	s.log.Warnf("%s: %s", j.path, lost)
	s.o.Health.Set(health.StateUnreadable, filepath.Base(j.path), lost, s.o.Now())
}

// setAside sets a file aside, warns and raises the condition.
func (s *Store) setAside(path, pattern, subject string, why error) {
	now := s.o.Now()
	s.stats.SetAside.Add(1)
	to, err := setAside(path, pattern, now)
	if err != nil {
		s.log.Warnf("%s cannot be read (%v) and cannot be set aside: %v", path, why, err)
	} else {
		s.log.Warnf("%s cannot be read (%v): it is set aside as %s", path, why, to)
	}
	s.o.Health.Set(health.StateUnreadable, subject, why.Error(), now)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
