// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// history is what the normaliser remembers of all users' raw scores: of every few in a row the greatest, rounded to a thousandth.
type history struct {
	every   int             // how many in a row
	run     float64         // the greatest of the row that is not full yet
	inRun   int             // how many it has
	counts  map[int]float64 // how often each rounded score was
	samples float64         // the sum of counts
}

// historyValues bounds how many different values are kept. Beyond it neighbouring ones are joined, so that the memory does not grow with the years.
const historyValues = 4096

func thousandths(score float64) int { return int(1000*score + 0.5) }

func (h *history) add(score float64) {
	h.run = math.Max(h.run, score)
	if h.inRun++; h.inRun < h.every {
		return
	}
	if h.counts == nil {
		h.counts = map[int]float64{}
	}
	h.counts[thousandths(h.run)]++
	h.samples++
	h.run, h.inRun = 0, 0
	if len(h.counts) > historyValues {
		h.join()
	}
}

// join halves the number of different values: of two neighbours the lower takes the upper's count.
func (h *history) join() {
	values := slices.Sorted(maps.Keys(h.counts))
	for i := 1; i+1 < len(values); i += 2 { // 0, no score at all, stays by itself
		h.counts[values[i]] += h.counts[values[i+1]]
		delete(h.counts, values[i+1])
	}
}

// peek returns h as it would be after one more score, without changing it.
func (h *history) peek(score float64) historyView {
	v := historyView{history: h, samples: h.samples}
	if h.inRun+1 >= h.every {
		v.samples++
		v.extra, v.hasExtra = thousandths(math.Max(h.run, score)), true
	}
	return v
}

// historyView is a history with one more value.
type historyView struct {
	*history
	samples  float64
	extra    int
	hasExtra bool
}

func (h *history) score(p, max float64) float64 {
	return historyView{history: h, samples: h.samples}.score(p, max)
}

// score is the least of the normaliser's ceilings: by noise, by rank among all scores, by the user's own greatest score, and by the probability itself.
func (h historyView) score(p, max float64) float64 {
	s := raw(p)
	if s == 0 || p >= 0.05 {
		return 0
	}
	absolute := 5 + 95*math.Log(0.05/p)/math.Log(500)
	own := s / max
	return math.Min(math.Min(100, absolute), math.Min(100*math.Min(1.5*own, 0.5+0.5*own), math.Min(h.byRank(s), h.byNoise(s))))
}

// byRank places a raw score among all that were: its percentile, of which only a part is sure (the 15% and 85% points of its posterior), mapped through
// fixed knots.
func (h historyView) byRank(s float64) float64 {
	if h.samples == 0 {
		return 100
	}
	less := h.less(thousandths(s))
	a, b := less+1.0/3, h.samples-less+1.0/3
	low, high := mathext.InvRegIncBeta(a, b, 0.15), mathext.InvRegIncBeta(a, b, 0.85)
	return (knotted(100*low) + knotted(100*high)) / 2
}

// byNoise keeps a score near 1 that is no higher than half of all scores, unless most are 0.
func (h historyView) byNoise(s float64) float64 {
	zeros := 1.0
	if h.samples > 0 {
		zeros = h.less(1) / h.samples
	}
	return math.Max(0, 1+10*(s-h.median())) + 100*math.Max(0, 2*math.Min(1, 2*zeros)-1)
}

func (h historyView) less(value int) float64 {
	sum := 0.0
	if h.hasExtra && h.extra < value {
		sum++
	}
	for v, n := range h.counts {
		if v < value {
			sum += n // whole numbers: their order does not matter
		}
	}
	return sum
}

func (h historyView) median() float64 {
	if zeros := h.less(1); 2*zeros >= h.samples {
		return 0
	}
	values := slices.Sorted(maps.Keys(h.counts))
	sum := 0.0
	for _, v := range values {
		if sum += h.counts[v]; 2*sum >= h.samples {
			return float64(v) / 1000
		}
	}
	return 0
}

// knots are ml-cpp's: percentile of a raw score, and the greatest score it may have.
var knots = [...][2]float64{{0, 0}, {70, 1}, {85, 1.2}, {90, 1.5}, {95, 3}, {97, 20}, {99, 50}, {99.9, 90}, {100, 100}}

func knotted(percentile float64) float64 {
	for i := 1; i < len(knots); i++ {
		if a, b := knots[i-1], knots[i]; percentile <= b[0] {
			return a[1] + (percentile-a[0])/(b[0]-a[0])*(b[1]-a[1])
		}
	}
	return 100
}
