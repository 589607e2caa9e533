// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/elastic/elastic-agent-libs/logp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/reconbeat/reconbeat/internal/health"
)

// filled makes a state with every kind of record and returns its files.
func filled(t testing.TB, entries int) map[string][]byte {
	t.Helper()
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	for i := range entries {
		a, e := alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i))
		a.Document, e.Document = make([]byte, 100), make([]byte, 100)
		if i == entries/2 {
			a.Document = make([]byte, 2000)
		}
		appendAll(t, s, a, e)
		if i%10 == 0 {
			flush(t, s)
		}
	}
	save(t, s, Snapshot{Model: make([]byte, 5000)})
	s.Acknowledged(uint64(entries) / 2)
	flush(t, s)
	require.NoError(t, s.Close())
	files := map[string][]byte{}
	for _, name := range []string{"alerts.journal", "events.journal", "snapshot"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		files[name] = b
	}
	return files
}

// use opens a state with this file in it and does everything once: whatever the file holds, it must work and nothing
// may panic.
func use(t testing.TB, dir, name string, content []byte) (readable bool) {
	t.Helper()
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	board := &health.Board{}
	s := mustOpen(t, dir, Options{Health: board})
	_ = s.Pending(func(Entry) error { return nil })
	appendAll(t, s, event("first"))
	flush(t, s)
	appendAll(t, s, alert("new-a"), event("new-e"))
	save(t, s, Snapshot{Model: []byte("new")})
	if s.Stats().SetAside.Load()+s.Stats().Damaged.Load() > 0 {
		require.NotEmpty(t, board.Active(), "what is lost is said")
	}
	readable = s.Stats().SetAside.Load() == 0
	require.NoError(t, s.Close())
	again := &health.Board{}
	s = mustOpen(t, dir, Options{Health: again})
	require.Zero(
		t,
		s.Stats().SetAside.Load(),
		"what was written to a damaged or fresh file is whole: %v",
		again.Active(),
	)
	require.Equal(t, "new", string(s.Snapshot().Model))
	ids := pending(t, s)
	require.Contains(t, ids, "new-a")
	require.NoError(t, s.Close())
	return readable
}

// A crash may leave any beginning of a journal: all that is whole in it comes back, and nothing is set aside.
func TestAJournalCutAnywhereGivesItsWholeRecords(t *testing.T) {
	for name, content := range filled(t, 20) {
		if name == "snapshot" {
			continue
		}
		var ends []int64
		read := func(b []byte) (n, damaged int, end int64) {
			damaged, end, err := scan(bytes.NewReader(b), int64(len(b)), func(_ record, at int64, whole []byte) bool {
				if n++; len(b) == len(content) {
					ends = append(ends, at+int64(len(whole)))
				}
				return true
			})
			require.NoError(t, err)
			return n, damaged, end
		}
		all, damaged, _ := read(content)
		require.Zero(t, damaged)
		require.Greater(t, all, 20)
		for cut := len(journalHead); cut < len(content); cut++ {
			n, damaged, end := read(content[:cut:cut])
			whole := sort.Search(len(ends), func(i int) bool { return ends[i] > int64(cut) })
			if n != whole || damaged != 0 || whole > 0 && end != ends[whole-1] {
				t.Fatalf("%s cut to %d: %d of %d records, %d damaged", name, cut, n, whole, damaged)
			}
		}
	}
}

// One flipped bit, in every byte of a journal, costs the record it is in and no other.
func TestAFlippedBitCostsOneRecord(t *testing.T) {
	content := filled(t, 10)["events.journal"]
	count := func(b []byte) (n, damaged int, end int64) {
		damaged, end, err := scan(bytes.NewReader(b), int64(len(b)), func(record, int64, []byte) bool { n++; return true })
		require.NoError(t, err)
		return n, damaged, end
	}
	all, _, _ := count(content)
	for at := len(journalHead); at < len(content); at++ {
		for bit := range 8 {
			content[at] ^= 1 << bit
			n, damaged, end := count(content)
			content[at] ^= 1 << bit
			// A last record that now seems longer than the file is taken for one that a crash cut off.
			if n != all-1 || damaged == 0 && end == int64(len(content)) {
				t.Fatalf("bit %d of byte %d: %d of %d records, %d damaged", bit, at, n, all, damaged)
			}
		}
	}
}

// One flipped bit is seen in what stands before the model, too, which its checksum does not cover.
func TestAFlippedBitOfASnapshotIsSeen(t *testing.T) {
	content := filled(t, 1)["snapshot"]
	path := filepath.Join(t.TempDir(), "snapshot")
	read := func() error {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := readSnapshot(path)
		return err
	}
	require.NoError(t, read())
	for at := range len(frame("snapshot", snapshotVersion)) + 10 {
		for bit := range 8 {
			content[at] ^= 1 << bit
			require.Error(t, read(), "bit %d of byte %d", bit, at)
			content[at] ^= 1 << bit
		}
	}
}

func TestADamagedFileNeverPanicsAndIsSetAside(t *testing.T) {
	dir := filepath.Join(folder(t), "state")
	seed := rand.Uint64()
	t.Logf("of seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	files := filled(t, 20)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		require.True(t, use(t, dir, name, content), name)
		for range 30 {
			b := append([]byte(nil), content...)
			at := rng.IntN(len(b) * 9 / 10) // before the last record
			for range 1 + rng.IntN(4) {
				b[min(at+rng.IntN(8), len(b)-1)] ^= 1 << rng.IntN(8)
			}
			if !bytes.Equal(b, content) {
				require.False(t, use(t, dir, name, b), "%s at %d", name, at)
			}
		}
		garbage := make([]byte, 50_000)
		for i := range garbage {
			garbage[i] = byte(rng.Uint32())
		}
		for _, foreign := range [][]byte{nil, []byte("reconbeat journal 2\n"), []byte("reconbeat snapshot 2\n"), garbage} {
			require.False(t, use(t, dir, name, foreign), "%s of %d bytes", name, len(foreign))
		}
		for range 10 {
			use(t, dir, name, content[:rng.IntN(len(content))])
		}
	}
}

// What is whole around the damage comes back, and so it does when a crash interrupts the replacement.
func TestWhatIsWholeAroundDamageComesBack(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	appendAll(t, s, alert("a1"), alert("a2"), alert("a3"))
	flush(t, s)
	require.NoError(t, s.Close())
	path := filepath.Join(dir, "alerts.journal")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[bytes.Index(b, []byte(`{"alert":"a2"}`))] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	s = mustOpen(t, dir, Options{})
	require.Equal(t, []string{"a1", "a3"}, pending(t, s))
	require.EqualValues(t, 1, s.Stats().Damaged.Load())
	require.EqualValues(t, 1, s.Stats().SetAside.Load())
	require.NoError(t, s.Close())
	require.NoError(t, os.Rename(path, path+".next"))
	s = mustOpen(t, dir, Options{})
	require.Equal(t, []string{"a1", "a3"}, pending(t, s))
}

// A journal does not keep what nobody needs, and its rewrite loses nothing.
func TestAJournalIsRewrittenWhenMostIsSettled(t *testing.T) {
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	for i := range 100 {
		e := event(fmt.Sprint("e", i))
		e.Document = make([]byte, 50_000)
		appendAll(t, s, e)
	}
	flush(t, s)
	require.Greater(t, s.Stats().FileBytes.Load(), int64(5_000_000))
	s.Acknowledged(99)
	require.Eventually(t, func() bool { return s.Stats().FileBytes.Load() < 200_000 }, time.Minute, time.Millisecond)
	require.NoError(t, s.Close())
	s = mustOpen(t, dir, Options{})
	require.Equal(t, []string{"e99"}, pending(t, s))
	require.Zero(t, appendAll(t, s, event("e5")), "its ID is remembered")
}

// The journals of a development build are named in the log and left alone.
func TestAnOldJournalIsNamedInTheLog(t *testing.T) {
	dir := folder(t)
	old := filepath.Join(dir, "alerts.db")
	require.NoError(t, os.WriteFile(old, []byte("old"), 0o600))
	core, lines := observer.New(zapcore.WarnLevel)
	log, err := logp.NewZapLogger(zap.New(core))
	require.NoError(t, err)
	mustOpen(t, dir, Options{Logger: log})
	require.Equal(t, 1, lines.FilterMessageSnippet(old+" is the journal of a development build").Len())
	require.FileExists(t, old)
}

func TestOnlyTheLastFilesThatWereSetAsideAreKept(t *testing.T) {
	dir := folder(t)
	for i := range keptBroken + 3 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.journal"), fmt.Append(nil, "garbage ", i), 0o600))
		require.NoError(t, mustOpen(t, dir, Options{}).Close())
	}
	broken, _ := filepath.Glob(filepath.Join(dir, "alerts.journal.broken-*"))
	require.Len(t, broken, keptBroken)
	b, err := os.ReadFile(broken[keptBroken-1])
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint("garbage ", keptBroken+2), string(b))
}

// A file that is damaged under a running Beat: the writer sets it aside and goes on.
func TestAFileCutShortWhileTheBeatRunsIsReplaced(t *testing.T) {
	for _, name := range []string{"alerts.journal", "events.journal"} {
		dir, board, r := folder(t), &health.Board{}, &receiver{}
		s := mustOpen(t, dir, Options{Health: board, Committed: r.committed})
		var want []string
		for i := range 50 {
			appendAll(t, s, alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i)))
			want = append(want, fmt.Sprint("a", i), fmt.Sprint("e", i))
		}
		flush(t, s)
		require.NoError(t, os.Truncate(filepath.Join(dir, name), 0))
		for i := 50; i < 55; i++ {
			appendAll(t, s, alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i)))
			want = append(want, fmt.Sprint("a", i), fmt.Sprint("e", i))
			flush(t, s)
		}
		assert.Equal(t, want, r.ids(), "all is passed on")
		assert.EqualValues(t, 1, s.Stats().SetAside.Load())
		require.NoError(t, s.Close())
		s = mustOpen(t, dir, Options{})
		assert.Subset(t, pending(t, s), want[100:])
		require.NoError(t, s.Close())
	}
}

// FuzzJournal reads any bytes as the records of a journal, and edits of a whole one: place (2 bytes), new byte.
func FuzzJournal(f *testing.F) {
	whole := filled(f, 5)["alerts.journal"]
	f.Add([]byte{0, 20, 1, 0, 40, 0xff})
	f.Add(appendMark(nil, 1, 1))
	f.Add((&Entry{Seq: 7, ID: "a", Document: []byte("{}")}).appendTo(nil))
	f.Add(append(marker, 0xff, 0xff, 0xff, 0xff))
	dir := filepath.Join(folder(f), "state")
	f.Fuzz(func(t *testing.T, b []byte) {
		use(t, dir, "alerts.journal", append([]byte(journalHead), b...))
		edited := append([]byte(nil), whole...)
		for ; len(b) >= 3; b = b[3:] {
			edited[(int(b[0])<<8|int(b[1]))%len(edited)] = b[2]
		}
		use(t, dir, "alerts.journal", edited)
	})
}
