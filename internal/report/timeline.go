// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"time"
)

// maxBins is how many bins a timeline has at most.
const maxBins = 240

// timeline counts matches over a time of which neither end is known beforehand: when it outgrows its bins, they become
// twice as wide. The zero timeline is empty.
type timeline struct {
	width       int64         // of a bin, in seconds; 0: nothing came yet
	bins        map[int64]bin // by the number of widths since 1970
	first, last int64         // number
}

// bin is what came in one stretch of time.
type bin struct {
	start   time.Time
	matches int
	highest float64 // score
}

// add counts a match.
func (t *timeline) add(at time.Time, score float64) {
	if t.width == 0 {
		t.width, t.bins = 1, map[int64]bin{}
		t.first, t.last = at.Unix(), at.Unix()
	}
	n := floor(at.Unix(), t.width)
	for max(t.last, n)-min(t.first, n) >= maxBins {
		t.widen()
		n = floor(at.Unix(), t.width)
	}
	t.first, t.last = min(t.first, n), max(t.last, n)
	t.bins[n] = t.bins[n].and(bin{matches: 1, highest: score})
}

// floor divides towards the past, also before 1970.
func floor(seconds, width int64) int64 {
	n := seconds / width
	if seconds%width < 0 {
		n--
	}
	return n
}

// and is two bins as one.
func (b bin) and(o bin) bin {
	return bin{matches: b.matches + o.matches, highest: max(b.highest, o.highest)}
}

func (t *timeline) widen() {
	t.width *= 2
	wide := make(map[int64]bin, len(t.bins)/2+1)
	for n, b := range t.bins {
		half := floor(n, 2)
		wide[half] = wide[half].and(b)
	}
	t.bins, t.first, t.last = wide, floor(t.first, 2), floor(t.last, 2)
}

// sorted are the bins in which something came, in order of time.
func (t *timeline) sorted() []bin {
	out := make([]bin, 0, len(t.bins))
	for n, b := range t.bins {
		b.start = time.Unix(n*t.width, 0).UTC()
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b bin) int { return cmp.Compare(a.start.Unix(), b.start.Unix()) })
	return out
}
