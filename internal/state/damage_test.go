// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/reconbeat/reconbeat/internal/health"
)

// filled makes a state with something in every bucket, of several pages each, and returns its files.
func filled(t testing.TB, entries int) map[string][]byte {
	t.Helper()
	dir := folder(t)
	s := mustOpen(t, dir, Options{})
	for i := range entries {
		a, e := alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i))
		a.Document, e.Document = make([]byte, 700), make([]byte, 700)
		if i == entries/2 {
			a.Document = make([]byte, 20_000) // overflow pages
		}
		appendAll(t, s, a, e)
		if i%10 == 0 {
			flush(t, s)
		}
	}
	save(t, s, Snapshot{Model: make([]byte, 5000)})
	s.Acknowledged(uint64(entries) / 2) // free pages
	flush(t, s)
	require.NoError(t, s.Close())
	files := map[string][]byte{}
	for _, name := range []string{"alerts.db", "events.db", "snapshot"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		files[name] = b
	}
	return files
}

// use opens a state with this file in it and does everything once: whatever the file holds, it must work and nothing may panic.
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
	s.Acknowledged(1)
	appendAll(t, s, alert("new-a"), event("new-e"))
	save(t, s, Snapshot{Model: []byte("new")})
	if s.Stats().SetAside.Load()+s.Stats().Damaged.Load() > 0 {
		require.NotEmpty(t, board.Active(), "what is lost is said")
	}
	readable = s.Stats().SetAside.Load() == 0
	require.NoError(t, s.Close())
	again := &health.Board{}
	s = mustOpen(t, dir, Options{Health: again})
	require.Zero(t, s.Stats().SetAside.Load(), "what was written to a damaged or fresh file is whole: %v", again.Active())
	require.Equal(t, "new", string(s.Snapshot().Model))
	ids := pending(t, s)
	require.Contains(t, ids, "new-a")
	require.NoError(t, s.Close())
	return readable
}

func TestATornFileOfAnyLengthIsSetAside(t *testing.T) {
	dir := filepath.Join(folder(t), "state")
	for name, content := range filled(t, 60) {
		lengths := []int{0, 1, 15, 16, 79, 80, 1000, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 16384}
		if name == "snapshot" {
			lengths = []int{0, 1, 10, 20, 21, 33, 34, 40, len(content) - 1}
		}
		for range 10 {
			lengths = append(lengths, rand.IntN(len(content)))
		}
		whole := use(t, dir, name, content)
		require.True(t, whole, name)
		for _, n := range lengths {
			if n >= len(content) {
				continue
			}
			// bbolt's file is longer than what it uses: only a cut into that is damage.
			readable := use(t, dir, name, content[:n])
			if name == "snapshot" || n <= 16384 {
				require.False(t, readable, "%s cut to %d bytes", name, n)
			}
		}
	}
}

func TestFlippedBitsAndGarbageNeverPanic(t *testing.T) {
	flips := 150
	if testing.Short() {
		flips = 30
	}
	dir := filepath.Join(folder(t), "state")
	rng := rand.New(rand.NewPCG(rand.Uint64(), 2))
	for name, content := range filled(t, 60) {
		aside := 0
		for i := range flips {
			b := append([]byte(nil), content...)
			used := len(b)
			if name != "snapshot" {
				used = min(used, 40*4096)
			}
			for range 1 + i%4 {
				at := rng.IntN(used)
				if i%2 == 0 && name != "snapshot" {
					at = at/4096*4096 + rng.IntN(64) // heads of pages and of their first elements
				}
				b[at] ^= 1 << rng.IntN(8)
			}
			if !use(t, dir, name, b) {
				aside++
			}
		}
		t.Logf("%s: %d of %d damaged files set aside, the others used", name, aside, flips)
		require.Positive(t, aside)
		garbage := make([]byte, 50_000)
		for i := range garbage {
			garbage[i] = byte(rng.Uint32())
		}
		require.False(t, use(t, dir, name, garbage))
	}
}

func TestAForeignOrNewerDatabaseIsSetAside(t *testing.T) {
	make := func(fill func(*bolt.Tx) error) []byte {
		path := filepath.Join(folder(t), "db")
		db, err := bolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(fill))
		require.NoError(t, db.Close())
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return b
	}
	meta := func(tx *bolt.Tx, product, format string) error {
		b, err := tx.CreateBucket([]byte("meta"))
		return errors.Join(err, b.Put([]byte("product"), []byte(product)), b.Put([]byte("format"), []byte(format)))
	}
	dir := filepath.Join(folder(t), "state")
	for name, fill := range map[string]func(*bolt.Tx) error{
		"an empty database":           func(tx *bolt.Tx) error { return nil },
		"another product's":           func(tx *bolt.Tx) error { return meta(tx, "etcd", "1") },
		"a newer version's":           func(tx *bolt.Tx) error { return meta(tx, product, "2") },
		"one without a format":        func(tx *bolt.Tx) error { return meta(tx, product, "") },
		"one without its buckets":     func(tx *bolt.Tx) error { return meta(tx, product, "1") },
		"one whose meta is no bucket": func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err },
		"one with buckets in a bucket": func(tx *bolt.Tx) error {
			b, _ := tx.CreateBucket([]byte("x"))
			_, err := b.CreateBucket([]byte("y"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := make(fill)
			path := filepath.Join(folder(t), "db")
			require.NoError(t, os.WriteFile(path, b, 0o600))
			require.NoError(t, inspect(path), "it is a whole bbolt file, only not ours")
			assert.False(t, use(t, dir, "alerts.db", b))
			broken, _ := filepath.Glob(filepath.Join(dir, "alerts.db.broken-*"))
			assert.Len(t, broken, 1)
		})
	}
}

func TestOnlyTheLastFilesThatWereSetAsideAreKept(t *testing.T) {
	dir := folder(t)
	for i := range keptBroken + 3 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.db"), fmt.Append(nil, "garbage ", i), 0o600))
		require.NoError(t, mustOpen(t, dir, Options{}).Close())
	}
	broken, _ := filepath.Glob(filepath.Join(dir, "alerts.db.broken-*"))
	require.Len(t, broken, keptBroken)
	b, err := os.ReadFile(broken[keptBroken-1])
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint("garbage ", keptBroken+2), string(b))
}

// A file that is damaged under a running Beat: the writer sets it aside and goes on.
func TestAFileCutShortWhileTheBeatRunsIsReplaced(t *testing.T) {
	for _, name := range []string{"alerts.db", "events.db"} {
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

// The input is edits of a whole file, 4 bytes each: page, place in it, new byte.
func FuzzInspect(f *testing.F) {
	whole := filled(f, 20)["alerts.db"]
	f.Add([]byte{0, 0, 20, 1})
	f.Add([]byte{2, 0, 8, 0xff, 3, 0, 24, 7})
	f.Add([]byte{5, 0, 10, 0xff, 5, 0, 11, 0xff, 6, 15, 0xff, 1})
	dir := filepath.Join(f.TempDir(), "state")
	f.Fuzz(func(t *testing.T, edits []byte) {
		content := append([]byte(nil), whole...)
		for ; len(edits) >= 4; edits = edits[4:] {
			at := int(edits[0])*4096 + int(edits[1])%16<<8 + int(edits[2])
			content[at%len(content)] = edits[3]
		}
		use(t, dir, "alerts.db", content)
	})
}
