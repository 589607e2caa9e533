// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestATimelineWidensToWhatComes(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for name, c := range map[string]struct {
		times []int64
		width int64
		bins  map[int64]int // matches by the second at which the bin begins
	}{
		"nothing":         {nil, 0, map[int64]int{}},
		"one":             {[]int64{1000}, 1, map[int64]int{1000: 1}},
		"a minute":        {[]int64{1000, 1060, 1060}, 1, map[int64]int{1000: 1, 1060: 2}},
		"an hour":         {[]int64{0, 3600}, 16, map[int64]int{0: 1, 3600: 1}},
		"newest first":    {[]int64{3600, 0}, 16, map[int64]int{0: 1, 3600: 1}},
		"before 1970":     {[]int64{-3600, 0, 5}, 16, map[int64]int{-3600: 1, 0: 2}},
		"beyond all time": {[]int64{0, 253402300799}, 1 << 30, map[int64]int{0: 1, 235 << 30: 1}},
	} {
		var line timeline
		for _, s := range c.times {
			line.add(at(s), 1)
		}
		bins := map[int64]int{}
		for _, b := range line.sorted() {
			bins[b.start.Unix()] = b.matches
		}
		require.Equal(t, c.width, line.width, name)
		require.Equal(t, c.bins, bins, name)
	}
}

func TestABinKeepsItsHighestScore(t *testing.T) {
	var line timeline
	for i, score := range []float64{3, 40, 7} {
		line.add(time.Unix(int64(i)*200, 0), score)
	}
	require.Equal(t,
		[]bin{{time.Unix(0, 0).UTC(), 1, 3}, {time.Unix(200, 0).UTC(), 1, 40}, {time.Unix(400, 0).UTC(), 1, 7}},
		line.sorted())
	line.add(time.Unix(3000, 0), 1)
	require.Equal(t, 40.0, line.sorted()[1].highest)
}
