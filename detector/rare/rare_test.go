// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var options = Options{BucketSpan: 15 * time.Minute, MaxUsers: 1000}

type seen struct {
	at   time.Time
	user string
}

// stream reads a golden input.
func stream(t testing.TB, name string) []seen {
	f, err := os.Open(filepath.Join("testdata", name+".input.ndjson.gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var all []seen
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var d struct {
			At   time.Time `json:"@timestamp"`
			User string    `json:"user.name"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &d))
		all = append(all, seen{d.At, d.User})
	}
	return all
}

func learn(m *Model, all []seen) (records []Record) {
	for _, s := range all {
		records = m.Advance(s.at, records)
		m.Add(s.at, s.user)
	}
	return records
}

func finish(m *Model, all []seen, records []Record) []Record {
	return m.Advance(all[len(all)-1].at.Add(options.BucketSpan), records)
}

// expected is a record of the reference simulation.
type expected struct {
	Start       int64   `json:"bucket_start"`
	User        string  `json:"user.name"`
	Probability float64 `json:"probability"`
	Score       float64 `json:"record_score"`
	First       *bool   `json:"first_occurrence"` // nil: unknown
}

// expectations reads a golden output, without the records of score 0, which only the filter by the smallest
// probability of a bucket writes.
func expectations(t testing.TB, name string) (all []expected) {
	f, err := os.Open(filepath.Join("testdata", name+".expected.ndjson"))
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e expected
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		if e.Probability < recordBelow {
			all = append(all, e)
		}
	}
	return all
}

func TestTheReferenceSimulationsRecordsAreReproduced(t *testing.T) {
	for _, name := range []string{"A", "B", "C", "D", "F"} {
		t.Run(name, func(t *testing.T) {
			all := stream(t, name)
			m := New(options)
			records := finish(m, all, learn(m, all))
			want := expectations(t, name)
			require.Len(t, records, len(want))
			for i, want := range want {
				got := records[i]
				require.Equal(t, want.Start, got.BucketStart.Unix())
				require.Equal(t, want.User, got.User)
				require.InDelta(t, want.Probability, got.Probability, 1e-6)
				require.InDelta(t, want.Score, got.Score, 1e-3, "%d %s", want.Start, want.User)
				if want.First != nil {
					require.Equal(t, *want.First, got.FirstOccurrence)
				}
			}
		})
	}
}

// The snapshots are of C's first half. Version 0 knows the counts exactly, but not in which order they came.
func TestASnapshotOfEveryVersionGoesOn(t *testing.T) {
	for version, tolerance := range []float64{0: 0.5, 1: 1e-3} {
		kept, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("C.snapshot-%d.json", version)))
		require.NoError(t, err)
		var s Snapshot
		require.NoError(t, json.Unmarshal(kept, &s))
		require.Equal(t, version, s.Version)
		m, err := Restore(options, s)
		require.NoError(t, err)
		require.Equal(t, snapshotVersion, m.Snapshot().Version)

		all := stream(t, "C")
		rest := all[len(all)/2:]
		begin := m.BucketStart(rest[0].at).Unix()
		got := map[string]Record{}
		for _, r := range finish(m, all, learn(m, rest)) {
			got[fmt.Sprint(r.BucketStart.Unix(), r.User)] = r
		}
		compared := 0
		for _, want := range expectations(t, "C") {
			if want.Start < begin {
				continue
			}
			compared++
			r, found := got[fmt.Sprint(want.Start, want.User)]
			require.True(t, found, "%d %s", want.Start, want.User)
			require.InDelta(t, want.Probability, r.Probability, 1e-6)
			require.InDelta(t, want.Score, r.Score, tolerance, "%d %s", want.Start, want.User)
		}
		require.Len(t, got, compared)
		require.Greater(t, compared, 50)
	}
}

func TestAskingAllocatesNothing(t *testing.T) {
	all := stream(t, "C")
	m := New(options)
	learn(m, all)
	at := all[len(all)-1].at
	for _, user := range []string{"user01", "user28", "a stranger"} {
		ask := func() {
			m.ranked.valid = false
			m.AtOnce(at, user)
			m.Add(at, "user01")
		}
		ask()
		require.Zero(t, testing.AllocsPerRun(100, ask), user)
	}
}

// What AtOnce says of the last who comes into a bucket is what the bucket ends with.
func TestAtOnceIsWhatTheBucketEndsWith(t *testing.T) {
	compared := 0
	for _, name := range []string{"A", "B", "C", "D", "F"} {
		m := New(options)
		all := stream(t, name)
		type key struct {
			bucket time.Time
			user   string
		}
		atOnce, last := map[key]Result{}, map[time.Time]key{}
		var records []Record
		for _, s := range all {
			records = m.Advance(s.at, records)
			k := key{m.BucketStart(s.at), s.user}
			if _, again := atOnce[k]; !again {
				atOnce[k], last[k.bucket] = m.AtOnce(s.at, s.user), k
			}
			m.Add(s.at, s.user)
		}
		records = finish(m, all, records)
		for _, r := range records {
			k := key{r.BucketStart, r.User}
			if last[r.BucketStart] != k {
				continue // somebody new came into the bucket after
			}
			compared++
			require.InDelta(t, r.Probability, atOnce[k].Probability, 1e-12, "%s %s", name, r.User)
			require.Equal(t, r.FirstOccurrence, atOnce[k].FirstOccurrence)
			require.InDelta(t, r.Score, atOnce[k].Score, 1e-9, "%s %s", name, r.User)
		}
	}
	require.Greater(t, compared, 10)
}

func TestAskingChangesNothing(t *testing.T) {
	all := stream(t, "F")
	asked, silent := New(options), New(options)
	var a, b []Record
	for _, s := range all {
		a = asked.Advance(s.at, a)
		asked.AtOnce(s.at, s.user)
		asked.AtOnce(s.at, "somebody else")
		asked.Add(s.at, s.user)
		b = silent.Advance(s.at, b)
		silent.Add(s.at, s.user)
	}
	require.Equal(t, finish(silent, all, b), finish(asked, all, a))
}

func random(seed uint64, n int) []seen {
	r := rand.New(rand.NewPCG(seed, 1))
	at := time.Date(2024, 1, 1, 0, 7, 0, 0, time.UTC)
	all := make([]seen, n)
	for i := range all {
		at = at.Add(time.Duration(r.ExpFloat64() * float64(4*time.Minute)))
		if r.IntN(200) == 0 {
			at = at.Add(time.Duration(r.IntN(100)) * time.Hour)
		}
		all[i] = seen{at, fmt.Sprintf("user%d", int(r.ExpFloat64()*6))}
	}
	return all
}

func TestARestoredModelGoesOnIdentically(t *testing.T) {
	for seed := range uint64(5) {
		all := random(seed, 3000)
		cut := rand.New(rand.NewPCG(seed, 2)).IntN(len(all))
		whole := New(options)
		want := learn(whole, all)
		m := New(options)
		got := learn(m, all[:cut])
		kept, err := json.Marshal(m.Snapshot())
		require.NoError(t, err)
		var s Snapshot
		require.NoError(t, json.Unmarshal(kept, &s))
		m, err = Restore(options, s)
		require.NoError(t, err)
		got = append(got, learn(m, all[cut:])...)
		require.Equal(t, want, got)
		require.Equal(t, whole.Snapshot(), m.Snapshot())
	}
}

func TestAdvancingInStepsIsAdvancingAtOnce(t *testing.T) {
	all := random(9, 500)
	one, steps := New(options), New(options)
	learn(one, all)
	learn(steps, all)
	end := all[len(all)-1].at.Add(100 * time.Hour)
	var a, b []Record
	a = one.Advance(end, a)
	for at := all[len(all)-1].at; at.Before(end); at = at.Add(7 * time.Minute) {
		b = steps.Advance(at, b)
	}
	b = steps.Advance(end, b)
	require.Equal(t, a, b)
	require.Equal(t, one.Snapshot(), steps.Snapshot())
}

func TestNoMoreUsersAreRememberedThanTheBound(t *testing.T) {
	m := New(Options{BucketSpan: 15 * time.Minute, MaxUsers: 100})
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		m.Advance(at, nil)
		m.Add(at, fmt.Sprintf("user%d", i))
		m.Add(at, "root")
		at = at.Add(15 * time.Minute)
	}
	require.LessOrEqual(t, m.Users(), 100)
	require.EqualValues(t, 1001-m.Users(), m.Evicted())
	require.Equal(t, []string{"root"}, m.Typical(1, ""), "who is seen all the time is not forgotten")
	var sum float64
	for _, u := range m.users {
		sum += u.weight * m.unit
	}
	require.InDelta(t, sum, m.total, 1e-9)
}

func TestAnAppearanceAheadWaitsForItsBucket(t *testing.T) {
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	inOrder, mixed := New(options), New(options)
	inOrder.Add(at, "root")
	inOrder.Add(at, "slow")
	inOrder.Advance(at.Add(15*time.Minute), nil)
	inOrder.Add(at.Add(15*time.Minute), "fast")
	inOrder.Advance(at.Add(time.Hour), nil)
	mixed.Add(at, "root")
	require.True(t, mixed.Add(at.Add(15*time.Minute), "fast"))
	require.True(t, mixed.Add(at, "slow"))
	mixed.Advance(at.Add(time.Hour), nil)
	require.Equal(t, inOrder.Snapshot(), mixed.Snapshot())
	require.Zero(t, mixed.Late())
}

func TestWhatComesAfterItsBucketClosedIsNotLearned(t *testing.T) {
	m := New(options)
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	require.True(t, m.Add(at, "root"))
	m.Advance(at.Add(time.Hour), nil)
	before := m.Snapshot()
	require.False(t, m.Add(at, "late"))
	require.EqualValues(t, 1, m.Late())
	before.Late = 1
	require.Equal(t, before, m.Snapshot())
}

func TestTheCutBucketThatAStreamBeginsWithIsIgnored(t *testing.T) {
	m := New(options)
	at := time.Date(2024, 1, 1, 0, 7, 0, 0, time.UTC)
	require.False(t, m.Add(at, "root"))
	m.Advance(at.Add(15*time.Minute), nil)
	require.True(t, m.Add(at.Add(15*time.Minute), "root"))
}

func TestASnapshotThatMakesNoSenseIsRefused(t *testing.T) {
	good := New(options).Snapshot()
	_, err := Restore(options, good)
	require.NoError(t, err)
	for name, spoil := range map[string]func(*Snapshot){
		"another bucket span":  func(s *Snapshot) { s.BucketSpan = time.Hour },
		"a unit of 0":          func(s *Snapshot) { s.Unit = 0 },
		"a negative weight":    func(s *Snapshot) { s.Users = []UserSnapshot{{Name: "a", Weight: -1}} },
		"a user twice":         func(s *Snapshot) { s.Users = []UserSnapshot{{Name: "a"}, {Name: "a"}} },
		"a version to come":    func(s *Snapshot) { s.Version = 2 },
		"a score beyond bound": func(s *Snapshot) { s.Version, s.Scores = 0, [][2]float64{{1e9, 1}} },
		"a count below 0":      func(s *Snapshot) { s.Version, s.Scores = 0, [][2]float64{{1, -1}} },
		"a node of 3 values":   func(s *Snapshot) { s.All = [][3]uint64{{2, 3, 1}, {3, 4, 0}} },
		"a node between two":   func(s *Snapshot) { s.All = [][3]uint64{{2, 2, 1}, {3, 4, 0}} },
		"a node without count": func(s *Snapshot) { s.All = [][3]uint64{{1, 1, 0}, {3, 4, 0}} },
		"nodes out of order":   func(s *Snapshot) { s.All = [][3]uint64{{2, 1, 1}, {1, 1, 1}, {3, 4, 0}} },
		"a node beyond bound":  func(s *Snapshot) { s.High = [][3]uint64{{1<<20 - 1, 1 << 20, 1}} },
		"a node without root":  func(s *Snapshot) { s.High = [][3]uint64{{2, 1, 1}} },
		"more below than all":  func(s *Snapshot) { s.Below = 1 },
		"a later fading":       func(s *Snapshot) { s.Faded = s.Bucket + 1 },
	} {
		s := good
		spoil(&s)
		_, err := Restore(options, s)
		require.Error(t, err, name)
	}
}

func FuzzRestore(f *testing.F) {
	m := New(options)
	learn(m, random(1, 300))
	kept, _ := json.Marshal(m.Snapshot())
	f.Add(kept)
	f.Add([]byte(`{"bucket_span":900000000000,"unit":1,"users":[{"name":"a","weight":1e308}]}`))
	for _, name := range []string{"C.snapshot-0.json", "C.snapshot-1.json"} {
		kept, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(kept)
	}
	f.Fuzz(func(t *testing.T, kept []byte) {
		var s Snapshot
		if json.Unmarshal(kept, &s) != nil {
			return
		}
		m, err := Restore(options, s)
		if err != nil {
			return
		}
		at := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
		for i := range 5 {
			m.Advance(at, nil)
			if r := m.AtOnce(at, "x"); r.Score < 0 || r.Score > 100 || r.Score != r.Score {
				t.Fatalf("score %g", r.Score)
			}
			m.Add(at, fmt.Sprint("x", i))
			at = at.Add(15 * time.Minute)
		}
		require.LessOrEqual(t, len(m.history.all.nodes), maxNodes+10)
		require.LessOrEqual(t, len(m.history.high.nodes), maxNodes+10)
	})
}

func benchmark(b *testing.B, users int, who string, again bool) {
	m := New(Options{BucketSpan: 15 * time.Minute, MaxUsers: 100000})
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 2000 {
		m.Advance(at, nil)
		for i := range users {
			if n%(i+1) == 0 {
				m.Add(at, fmt.Sprint("user", i))
			}
		}
		at = at.Add(15 * time.Minute)
	}
	m.Advance(at, nil)
	m.Add(at, "user0")
	b.ReportAllocs()
	for b.Loop() {
		if !again {
			m.ranked.valid = false
		}
		m.AtOnce(at, who)
	}
}

func BenchmarkAtOnceAgainInTheBucket(b *testing.B)     { benchmark(b, 1000, "user0", true) }
func BenchmarkAtOnceFirstInTheBucket100(b *testing.B)  { benchmark(b, 100, "user0", false) }
func BenchmarkAtOnceAStranger(b *testing.B)            { benchmark(b, 10, "a stranger", false) }
func BenchmarkAtOnceFirstInTheBucket1000(b *testing.B) { benchmark(b, 1000, "user0", false) }

func TestWhoIsForgottenIsAStranger(t *testing.T) {
	m := New(Options{BucketSpan: 15 * time.Minute, MaxUsers: 100})
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		m.Advance(at, nil)
		m.Add(at, "root")
		if i%7 == 0 {
			m.Add(at, "alice")
		}
		at = at.Add(15 * time.Minute)
	}
	require.False(t, m.AtOnce(at, "alice").FirstOccurrence)
	require.True(t, m.Forget("alice"))
	require.False(t, m.Forget("alice"))
	require.True(t, m.AtOnce(at, "alice").FirstOccurrence)
	require.True(t, m.Forget("root"), "who is in the open bucket too")
	again, err := Restore(Options{BucketSpan: 15 * time.Minute, MaxUsers: 100}, m.Snapshot())
	require.NoError(t, err, "and what is left makes sense")
	require.Equal(t, 1, again.Users(), "root is in the open bucket still")
}
