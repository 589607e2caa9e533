// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// values are many small numbers, mostly 0, and a few great ones, as raw scores are.
func values(seed uint64, n int) []uint32 {
	r := rand.New(rand.NewPCG(seed, 3))
	zeros, scale := []float64{0, 0.5, 0.95}[seed%3], []float64{3, 50, 2000}[seed/3%3]
	all := make([]uint32, n)
	for i := range all {
		if r.Float64() >= zeros {
			all[i] = uint32(min(r.ExpFloat64()*scale*math.Exp(r.NormFloat64()), greatestScore))
		}
	}
	return all
}

func TestADigestsRanksAreBetweenItsBounds(t *testing.T) {
	for seed := range uint64(9) {
		var d digest
		all := values(seed, 5000)
		for i, v := range all {
			d.add(v, 1)
			require.LessOrEqual(t, len(d.nodes), 3*digestSize)
			if i%97 != 0 {
				continue
			}
			sorted := slices.Sorted(slices.Values(all[:i+1]))
			n := float64(len(sorted))
			require.EqualValues(t, n, d.n)
			median, high := sorted[len(sorted)/2], sorted[len(sorted)*9/10]
			for _, x := range []uint32{0, 1, v, v + 1, median, high, 3 * greatestScore} {
				rank, _ := slices.BinarySearch(sorted, x+1)
				low, high := d.atMost(x)
				require.LessOrEqual(t, low, float64(rank)/n)
				require.GreaterOrEqual(t, high, float64(rank)/n)
				require.LessOrEqual(t, high-low, 18.0/digestSize, "a value cuts one range a level")
			}
			for _, q := range []float64{0.1, 0.5, 0.9, 1} {
				_, high := d.atMost(d.quantile(q))
				require.GreaterOrEqual(t, high, q-1/n)
			}
		}
	}
}

func TestASmallDigestIsExact(t *testing.T) {
	var d digest
	all := values(5, digestSize-1)
	for _, v := range all {
		d.add(v, 1)
	}
	slices.Sort(all)
	for _, x := range all {
		rank, _ := slices.BinarySearch(all, x+1)
		low, high := d.atMost(x)
		require.Equal(t, low, high)
		require.InDelta(t, float64(rank)/float64(len(all)), low, 1e-12)
	}
}

// Snapshots of version 0 have exact counts; they become the digests that the same scores would have made.
func TestExactCountsBecomeDigests(t *testing.T) {
	for _, n := range []int{1, digestSize - 2, digestSize - 1, digestSize} {
		want, got := New(options), Snapshot{BucketSpan: options.BucketSpan, Bucket: -1, Unit: 1}
		counts := map[uint32]float64{}
		for _, v := range values(4, n) {
			want.history.add(0)
			want.history.add(float64(v) / 1000)
			counts[v]++
		}
		for v, times := range counts {
			got.Scores = append(got.Scores, [2]float64{float64(v), times})
		}
		m, err := Restore(options, got)
		require.NoError(t, err)
		want.history.add(0)
		want.history.add(0.002)
		m.history.add(0)
		m.history.add(0.002)
		if n < digestSize {
			require.Equal(t, want.Snapshot(), m.Snapshot(), "%d values", n)
		}
		require.Equal(t, want.history.cut, m.history.cut)
		require.Equal(t, want.history.below, m.history.below)
		require.Equal(t, want.history.high.n, m.history.high.n)
	}
}

func TestADigestFadesButForgetsNoValue(t *testing.T) {
	var d digest
	d.add(0, 5000)
	d.add(7, 1)
	d.fade(0.99)
	require.EqualValues(t, 4951, d.n)
	for range 2000 {
		d.fade(0.99)
	}
	n := d.n
	d.fade(0.99)
	require.Equal(t, n, d.n, "small counts stay")
	low, _ := d.atMost(6)
	require.Less(t, low, 1.0, "the 7 is there still")
}

func TestARestoredDigestIsTheSame(t *testing.T) {
	for seed := range uint64(9) {
		for _, n := range []int{0, 1, 150, 201, 1000, 4321} {
			var d, again digest
			for _, v := range values(seed, n) {
				d.add(v, 1)
			}
			require.NoError(t, again.restore(d.snapshot()))
			require.Equal(t, d, again, "seed %d, %d values", seed, n)
		}
	}
}
