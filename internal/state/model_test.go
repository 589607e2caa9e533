// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// crash makes what a kill -9 would have left: a copy of the directory while the Store is open.
func crash(t *testing.T, dir string) string {
	to := folder(t)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		if f.Name() == "lock" || f.IsDir() {
			continue
		}
		src, err := os.Open(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		dst, err := os.OpenFile(filepath.Join(to, f.Name()), os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = io.Copy(dst, src)
		require.NoError(t, err)
		src.Close()
		require.NoError(t, dst.Close())
	}
	return to
}

// what a Store should hold, said as simply as can be.
type expectation struct {
	seq               uint64
	ids               map[string]uint64 // recognised
	pending           []Entry           // not acknowledged, in order
	settled           uint64
	snapshot, earlier uint64
}

// append takes an entry that the Store took, or reports what is wrong with taking it or leaving it out.
func (x *expectation) append(e Entry, taken bool, maxEvents int) error {
	if seq, ok := x.ids[e.ID]; ok {
		may := seq <= min(x.earlier, x.settled) // needed no more: it may be forgotten, sooner or later
		if taken && !may {
			return fmt.Errorf("%s is a repeat and was taken", e.ID)
		}
		if !taken {
			return nil
		}
	} else if !taken {
		return fmt.Errorf("%s is new and was left out", e.ID)
	}
	x.seq++
	e.Seq = x.seq
	x.ids[e.ID] = e.Seq
	x.pending = append(x.pending, e)
	raw := 0
	for i := len(x.pending) - 1; i >= 0; i-- {
		if !x.pending[i].Durable {
			if raw++; raw > maxEvents {
				x.pending = slices.Delete(x.pending, i, i+1)
			}
		}
	}
	return nil
}

func (x *expectation) acknowledge(to uint64) {
	x.settled = max(x.settled, to)
	x.pending = slices.DeleteFunc(x.pending, func(e Entry) bool { return e.Seq <= x.settled })
}

func TestAnyOrderOfStepsGivesWhatAModelSays(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		o := Options{MaxEvents: 20 + rng.IntN(60)}
		dir := folder(t)
		r := &receiver{}
		o.Committed = r.committed
		s := mustOpen(t, dir, o)
		x := &expectation{ids: map[string]uint64{}}
		handed := 0
		for step := range 150 {
			switch n := rng.IntN(20); {
			case n < 12: // append a few, some of them repeats
				for range 1 + rng.IntN(12) {
					e := event(fmt.Sprintf("e%d", rng.IntN(400)))
					if rng.IntN(4) == 0 {
						e = alert(fmt.Sprintf("a%d", rng.IntN(400)))
					}
					e.Document = make([]byte, rng.IntN(3000))
					got := appendAll(t, s, e)
					handed += got
					require.NoError(t, x.append(e, got == 1, o.MaxEvents), "seed %d step %d", seed, step)
				}
			case n < 15:
				flush(t, s) // acknowledged is what was handed over
				to := x.seq - min(x.seq, uint64(rng.IntN(30)))
				s.Acknowledged(to)
				x.acknowledge(to)
			case n < 17:
				flush(t, s)
				save(t, s, Snapshot{Model: fmt.Append(nil, x.seq)})
				x.earlier, x.snapshot = x.snapshot, x.seq
			default: // a crash, or an orderly end
				flush(t, s)
				require.Len(t, r.got, handed, "seed %d step %d", seed, step)
				if rng.IntN(2) == 0 {
					dir = crash(t, dir)
				}
				require.NoError(t, s.Close())
				r.got, handed = nil, 0
				s = mustOpen(t, dir, o)
				require.Zero(t, s.Stats().SetAside.Load()+s.Stats().Damaged.Load(), "seed %d step %d", seed, step)
				if x.snapshot > 0 {
					require.Equal(t, fmt.Sprint(x.snapshot), string(s.Snapshot().Model))
				}
				var got []Entry
				require.NoError(t, s.Pending(func(e Entry) error { got = append(got, e); return nil }))
				require.Len(t, got, len(x.pending), "seed %d step %d", seed, step)
				for i, e := range x.pending {
					require.Equal(t, e.Seq, got[i].Seq)
					require.Equal(t, e.ID, got[i].ID)
					require.Equal(t, len(e.Document), len(got[i].Document))
				}
			}
			flush(t, s)
		}
		require.NoError(t, s.Close())
	}
}
