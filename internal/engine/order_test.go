// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// ordered sends events of these times, in seconds since a day, through an order, and returns their times as they come
// out, with the numbers that they had.
func ordered(t *testing.T, times []int64) (out, numbers []int64, late int, err error) {
	o := &order{late: func(*process.Event) { late++ }, take: func(e *process.Event) error {
		out, numbers = append(out, e.Time.Unix()), append(numbers, int64(e.Sequence))
		return nil
	}}
	defer o.close()
	var e process.Event
	for i, at := range times {
		e.Reset()
		e.Kind, e.Time, e.Sequence = process.Exec, time.Unix(at, 0).UTC(), uint64(i)
		e.Name = e.Text([]byte("ss"))
		if err = o.add(&e); err != nil {
			return out, numbers, late, err
		}
	}
	return out, numbers, late, o.end()
}

func TestEventsComeInTheOrderOfTheirTimes(t *testing.T) {
	rising := make([]int64, race.Rounds(3*orderEvents, orderEvents+orderEvents/4))
	for i := range rising {
		rising[i] = 1_700_000_000 + int64(i)
	}
	falling := slices.Clone(rising)
	slices.Reverse(falling)
	shuffled := slices.Clone(rising)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	near := slices.Clone(rising)
	for i := range near {
		near[i] += r.Int64N(orderEvents / 4)
	}
	for name, times := range map[string][]int64{
		"none": nil, "a few, newest first": {9, 7, 5}, "in order": rising, "newest first": falling, "shuffled": shuffled,
		"nearly in order": near, "a clock that was wrong at first": append([]int64{215}, rising...),
		"a clock that was wrong in between": slices.Insert(slices.Clone(rising), 100, 215),
	} {
		out, _, late, err := ordered(t, times)
		require.NoError(t, err, name)
		want := slices.Clone(times)
		slices.Sort(want)
		require.Equal(t, want, out, name)
		require.Zero(t, late, name)
	}
}

// Of the same time those come first that happened first: where the newest come first, the last.
func TestEventsOfOneTimeKeepTheirOrder(t *testing.T) {
	_, numbers, _, err := ordered(t, []int64{1, 1, 2, 2, 3})
	require.NoError(t, err)
	require.Equal(t, []int64{0, 1, 2, 3, 4}, numbers)
	_, numbers, _, err = ordered(t, []int64{3, 2, 2, 1, 1})
	require.NoError(t, err)
	require.Equal(t, []int64{4, 3, 2, 1, 0}, numbers)
	var pairs []int64
	for i := race.Rounds(2*orderEvents, orderEvents*5/8); i > 0; i-- {
		pairs = append(pairs, int64(i)*1000, int64(i)*1000)
	}
	_, numbers, _, err = ordered(t, pairs)
	require.NoError(t, err)
	require.True(t, slices.IsSortedFunc(numbers, func(a, b int64) int { return int(b - a) }), "from a file, too")
}

// A long input that goes back after most of it was judged is not a history to judge by.
func TestHistoryInTheWrongOrderIsAnError(t *testing.T) {
	var times []int64
	for i := range int64(2 * orderEvents) {
		times = append(times, 1_700_000_000+i*60)
	}
	few := slices.Insert(slices.Clone(times), 30_000, 1_700_000_000, 1_700_000_060)
	_, _, late, err := ordered(t, few)
	require.NoError(t, err)
	require.Equal(t, 2, late, "two of them are passed over and counted")
	_, _, _, err = ordered(t, append(times, times...))
	require.ErrorIs(t, err, errOrder)
	require.ErrorContains(t, err, "by up to 546h")
}

// What goes through the temporary file comes back as it was.
func TestAnEventSurvivesTheFile(t *testing.T) {
	var e process.Event
	e.Reset()
	e.Kind, e.Time, e.Lossy = process.Exec, time.Unix(1_700_000_000, 5).UTC(), true
	e.User, e.Session.ID = process.User{ID: 0, Name: "root"}, 7
	e.Session.Source = netip.MustParseAddr("10.0.0.9")
	e.Host = process.Host{ID: "h", Name: "web-01", OSType: "linux"}
	e.AddArg(&e.Process, []byte("ss"))
	e.AddArg(&e.Process, nil)
	r, err := newRuns()
	require.NoError(t, err)
	defer r.file.Close()
	o := &order{runs: r}
	require.NoError(t, o.add(&e))
	require.NoError(t, r.write(o))
	var got *process.Event
	require.NoError(t, r.merge(false, func(e *process.Event) error { got = e; return nil }))
	require.Empty(t, cmp.Diff(&e, got, cmpopts.IgnoreUnexported(process.Event{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()))
}
