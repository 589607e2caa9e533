// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/process"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RECONBEAT_STATE_CHILD"); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// receiver is a publisher that remembers.
type receiver struct {
	mu  sync.Mutex
	got []Entry
}

func (r *receiver) committed(entries []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, entries...)
}

func (r *receiver) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, e := range r.got {
		ids = append(ids, e.ID)
	}
	return ids
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// flush waits until what was appended and acknowledged is written, counted and passed on, without waiting for
// settleDelay.
func flush(t testing.TB, s *Store) {
	t.Helper()
	wait(t, s, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		var bytes int64
		for _, j := range []*journal{&s.alerts, &s.events} {
			if settles(j, s.settled) {
				return false
			}
			bytes += size(j)
		}
		return len(s.waiting) == 0 && s.stats.FileBytes.Load() == bytes &&
			s.stats.Appended.Load() == s.stats.Committed.Load()+s.stats.Lost.Load()
	})
}

func settles(j *journal, upTo uint64) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return countAfter(j.pending, upTo) < len(j.pending)
}

func size(j *journal) int64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.size
}

// save hands a snapshot to the writer and waits until it is on disk.
func save(t testing.TB, s *Store, snap Snapshot) {
	t.Helper()
	before := s.Stats().Snapshots.Load()
	require.NoError(t, s.SaveSnapshot(snap))
	wait(t, s, func() bool { return s.Stats().Snapshots.Load() > before })
	flush(t, s)
}

// wait keeps the writer busy until something is so.
func wait(t testing.TB, s *Store, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Microsecond) {
		require.True(t, time.Now().Before(deadline), "the writer does not get there")
		poke(s.wake)
	}
}

// folder is in memory where the host can do that: no test here is about the disk's speed.
func folder(t testing.TB) string {
	t.Helper()
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "reconbeat-state-*")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func appendAll(t testing.TB, s *Store, entries ...Entry) int {
	t.Helper()
	n, err := s.Append(entries...)
	require.NoError(t, err)
	return n
}

func alert(id string) Entry {
	return Entry{
		ID:       id,
		Durable:  true,
		Time:     time.Unix(1700000000, 42).UTC(),
		Document: []byte(`{"alert":"` + id + `"}`),
	}
}

func event(id string) Entry {
	return Entry{ID: id, Time: time.Unix(1700000000, 7).UTC(), Document: []byte(`{"event":"` + id + `"}`)}
}

func pending(t testing.TB, s *Store) (ids []string) {
	t.Helper()
	last := uint64(0)
	require.NoError(t, s.Pending(func(e Entry) error {
		require.Greater(t, e.Seq, last, "Pending is in the order of Seq")
		last = e.Seq
		ids = append(ids, e.ID)
		return nil
	}))
	return ids
}

func TestBothJournalsKeepOneOrder(t *testing.T) {
	dir, r := folder(t), &receiver{}
	s := mustOpen(t, dir, Options{Committed: r.committed})
	want := []string{"a1", "e1", "e2", "a2", "e3"}
	for _, id := range want {
		e := event(id)
		if id[0] == 'a' {
			e = alert(id)
		}
		require.Equal(t, 1, appendAll(t, s, e))
	}
	flush(t, s)
	assert.Equal(t, want, r.ids())
	assert.Empty(t, pending(t, s), "what this run appended is not pending from an earlier one")
	require.NoError(t, s.Close())

	s = mustOpen(t, dir, Options{})
	assert.Equal(t, want, pending(t, s))
	var first Entry
	require.ErrorIs(t, s.Pending(func(e Entry) error { first = e; return os.ErrClosed }), os.ErrClosed)
	expected := alert("a1")
	expected.Seq = 1
	assert.Equal(t, expected, first, "an entry comes back as it went in")
}

func TestWhatIsAcknowledgedDoesNotComeBack(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	appendAll(t, s, alert("a1"), event("e1"), alert("a2"), event("e2"))
	flush(t, s)
	s.Acknowledged(3)
	s.Acknowledged(2) // older news changes nothing
	flush(t, s)
	assert.EqualValues(t, 1, s.Stats().Pending.Load())
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, Options{})
	assert.Equal(t, []string{"e2"}, pending(t, s))
	s.Acknowledged(1 << 60) // more than there is: settles what there is, and nothing that comes
	appendAll(t, s, alert("a3"))
	flush(t, s)
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, Options{})
	assert.Equal(t, []string{"a3"}, pending(t, s))
}

func TestSequenceNumbersAreNeverGivenTwice(t *testing.T) {
	dir := folder(t)
	last := uint64(0)
	for i := range 4 {
		r := &receiver{}
		s := mustOpen(t, dir, Options{Committed: r.committed})
		appendAll(t, s, event(fmt.Sprint("e", i)), alert(fmt.Sprint("a", i)))
		flush(t, s)
		for _, e := range r.got {
			assert.Greater(t, e.Seq, last)
			last = e.Seq
		}
		s.Acknowledged(last)
		require.NoError(t, s.Close())
	}
	assert.EqualValues(t, 8, last)
}

func TestAnEntryIsRecognisedUntilTwoSnapshotsLater(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	require.Equal(t, 2, appendAll(t, s, alert("a"), event("e")))
	require.Equal(t, 0, appendAll(t, s, alert("a"), event("e")), "while it waits")
	flush(t, s)
	s.Acknowledged(2)
	flush(t, s)
	require.Equal(t, 0, appendAll(t, s, alert("a"), event("e")), "after it was acknowledged")
	for range 2 {
		require.NoError(t, s.Close())
		s = mustOpen(t, dir, Options{})
		require.Equal(
			t,
			0,
			appendAll(t, s, alert("a"), event("e")),
			"after a restart, the snapshot being older or the next one",
		)
		save(t, s, Snapshot{Model: []byte("m")})
		s.Acknowledged(2)
	}
	for range 2 { // between which nothing of an earlier run was met
		save(t, s, Snapshot{Model: []byte("m")})
	}
	appendAll(t, s, event("later"))
	flush(t, s)
	require.Equal(t, 2, appendAll(t, s, alert("a"), event("e")), "forgotten")
	require.Equal(
		t,
		2,
		appendAll(t, s, Entry{Document: []byte("{}")}, Entry{Document: []byte("{}")}),
		"without an ID nothing is a repeat",
	)
	flush(t, s)
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, Options{})
	require.Len(t, s.seenOrder, 3)
}

func TestSnapshotsKeepWhatSourcesReadAgain(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	const n = 50
	for i := range n {
		appendAll(t, s, event(fmt.Sprint(i)))
		if i == 9 {
			save(t, s, Snapshot{Model: []byte("at 10")})
		}
	}
	flush(t, s)
	s.Acknowledged(n)
	require.NoError(t, s.Close())

	s = mustOpen(t, dir, Options{})
	defer s.Close()
	s.Acknowledged(n)
	for i := 10; i < n; i++ {
		require.Zero(t, appendAll(t, s, event(fmt.Sprint(i))), "%d was appended before the restart", i)
		if i%10 == 0 {
			save(t, s, Snapshot{Model: fmt.Appendf(nil, "at %d", i+1)})
		}
	}
	for i := n; i < n+3; i++ { // new ones, and two snapshots behind them: what is old is forgotten again
		require.Equal(t, 1, appendAll(t, s, event(fmt.Sprint(i))))
		save(t, s, Snapshot{Model: fmt.Appendf(nil, "at %d", i+1)})
		s.Acknowledged(uint64(i))
	}
	require.Equal(t, 1, appendAll(t, s, event("9")), "needed no more")
}

func TestUnacknowledgedIsRecognisedAfterSnapshots(t *testing.T) {
	s := mustOpen(t, folder(t), Options{})
	appendAll(t, s, alert("a"))
	for range 4 {
		require.NoError(t, s.SaveSnapshot(Snapshot{}))
		appendAll(t, s, event(strconv.Itoa(int(time.Now().UnixNano()))))
		flush(t, s)
	}
	assert.Equal(t, 0, appendAll(t, s, alert("a")))
	assert.EqualValues(t, 1, s.Stats().Repeated.Load())
}

func TestSnapshotIsReadableWhileTheBeatRuns(t *testing.T) {
	dir := folder(t)
	_, err := ReadSnapshot(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	s := mustOpen(t, dir, Options{})
	assert.Equal(t, Snapshot{}, s.Snapshot())
	want := Snapshot{
		Model:   []byte("a model\x00\xff"),
		Cursors: map[string]process.Cursor{"auditlog": {Device: 1, Inode: 2, Fingerprint: 1<<64 - 1, Offset: 4}},
		Taken:   time.Unix(1700000000, 0).UTC(),
	}
	save(t, s, Snapshot{Model: []byte("older")})
	save(t, s, want)
	got, err := ReadSnapshot(dir)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, Options{})
	assert.Equal(t, want, s.Snapshot())

	// A damaged one: the one before is used, and the damaged one stands beside it.
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, "snapshot"), 60))
	board := &health.Board{}
	s = mustOpen(t, dir, Options{Health: board})
	assert.Equal(t, "older", string(s.Snapshot().Model))
	require.Len(t, board.Active(), 1)
	assert.Equal(t, health.StateUnreadable, board.Active()[0].Condition)
	broken, _ := filepath.Glob(filepath.Join(dir, "snapshot.broken-*"))
	assert.Len(t, broken, 1)
}

func TestRawEventsBeyondTheBoundAreDroppedOldestFirst(t *testing.T) {
	for name, o := range map[string]Options{"by count": {MaxEvents: 10}, "by bytes": {MaxEventBytes: 10 * 80}} {
		t.Run(name, func(t *testing.T) {
			dir, board := folder(t), &health.Board{}
			o.Health = board
			s := mustOpen(t, dir, o)
			appendAll(t, s, alert("alert"))
			for i := range 25 {
				e := event(fmt.Sprintf("e%02d", i))
				e.Document = make([]byte, 80-recordHead-entryHead-len(e.ID))
				appendAll(t, s, e)
				if i%7 == 0 {
					flush(t, s)
				}
			}
			flush(t, s)
			assert.EqualValues(t, 15, s.Stats().Dropped.Load())
			require.Len(t, board.Active(), 1)
			assert.Equal(t, health.JournalFull, board.Active()[0].Condition)
			require.NoError(t, s.Close())

			s = mustOpen(t, dir, o)
			want := []string{"alert"}
			for i := 15; i < 25; i++ {
				want = append(want, fmt.Sprintf("e%02d", i))
			}
			assert.Equal(t, want, pending(t, s))
			s.Acknowledged(26)
			flush(t, s)
			assert.Empty(t, board.Active(), "room again")
		})
	}
}

func TestBlockedOutputStopsNeitherJournalNorMemory(t *testing.T) {
	dir := folder(t)
	release, r := make(chan struct{}), &receiver{}
	s := mustOpen(t, dir, Options{Committed: func(e []Entry) { <-release; r.committed(e) }})
	var want []string
	big := make([]byte, 100<<10)
	for i := range 200 { // 20 MB of documents
		e := event(fmt.Sprintf("e%03d", i))
		if i%2 == 0 {
			e.Durable = true
		}
		e.Document = big
		want = append(want, e.ID)
		appendAll(t, s, e)
		if i%20 == 19 {
			require.Eventually(t, func() bool { return s.Stats().Pending.Load() == int64(i+1) }, time.Minute, time.Millisecond)
		}
	}
	s.outbox.mu.Lock()
	assert.LessOrEqual(t, s.outbox.bytes, int64(maxOutboxBytes))
	s.outbox.mu.Unlock()
	close(release)
	flush(t, s)
	assert.Equal(t, want, r.ids())
	for _, e := range r.got {
		require.Len(t, e.Document, len(big))
	}
}

func TestASecondInstanceLearnsWhoHoldsTheState(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	assert.Contains(t, err.Error(), dir)
	assert.Contains(t, err.Error(), strconv.Itoa(os.Getpid()))
	require.NoError(t, s.Close())
	mustOpen(t, dir, Options{})
}

func TestNobodyElseCanReadTheState(t *testing.T) {
	dir := filepath.Join(folder(t), "data", "state")
	s := mustOpen(t, dir, Options{})
	appendAll(t, s, alert("a"))
	save(t, s, Snapshot{})
	require.NoError(t, WriteInbox(dir, "learned", []byte("x")))
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		fi, err := d.Info()
		require.NoError(t, err)
		assert.Zero(t, fi.Mode().Perm()&0o077, path)
		return nil
	}))
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := mustOpen(t, folder(t), Options{})
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := s.Append(alert("a"))
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, s.SaveSnapshot(Snapshot{}), ErrClosed)
}

func TestInboxIsReadInOrderOnce(t *testing.T) {
	dir := folder(t)
	began := time.Now()
	for i := range 3 {
		require.NoError(t, WriteInbox(dir, "learned_model", []byte{byte(i)}))
	}
	require.Error(t, WriteInbox(dir, "../x", nil))
	waiting := func(n int) {
		t.Helper()
		messages, err := Waiting(dir)
		require.NoError(t, err)
		require.Len(t, messages, n)
		for i, m := range messages {
			assert.Equal(t, "learned_model", m.Kind)
			assert.Equal(t, []byte{byte(3 - n + i)}, m.Payload)
			assert.False(t, m.Written.Before(began) || m.Written.After(time.Now()), "%s", m.Written)
		}
	}
	waiting(3)
	s := mustOpen(t, dir, Options{})
	box := filepath.Join(dir, "inbox")
	files, err := os.ReadDir(box)
	require.NoError(t, err)
	require.Len(t, files, 3)
	for i := range 5 { // junk, more of it than is kept
		require.NoError(
			t,
			os.WriteFile(filepath.Join(box, fmt.Sprintf("0000%d-junk-learned%s", i, inboxSuffix)), []byte("reconbeat"), 0o600),
		)
	}
	var got []byte
	fail := errors.New("not now")
	err = s.Inbox(func(kind string, payload []byte) error {
		if payload[0] == 1 {
			return fail
		}
		got = append(got, payload...)
		return nil
	})
	require.ErrorIs(t, err, fail)
	waiting(2)
	require.NoError(t, s.Inbox(func(kind string, payload []byte) error {
		assert.Equal(t, "learned_model", kind)
		got = append(got, payload...)
		return nil
	}))
	assert.Equal(t, []byte{0, 1, 2}, got)
	waiting(0)
	assert.EqualValues(t, 5, s.Stats().SetAside.Load())
	files, err = os.ReadDir(box)
	require.NoError(t, err)
	assert.Len(t, files, keptBroken)
	for _, f := range files {
		assert.True(t, strings.Contains(f.Name(), ".broken-"), f.Name())
	}
}
