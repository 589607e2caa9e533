// SPDX-License-Identifier: Apache-2.0

package rare

import (
	"math"
	"sort"

	"gonum.org/v1/gonum/mathext"
)

// history is what the normaliser remembers of all users' raw scores: of every few in a row the greatest, in
// thousandths. All are in one digest; those above about nine of ten, among which the anomalies are, also in a second
// one, where they are not joined with the many small ones.
type history struct {
	every  int     // how many in a row
	run    float64 // the greatest of the row that is not full yet
	inRun  int     // how many it has
	all    digest
	high   digest  // those above cut, since there is a cut
	cut    uint32  // noCut until there are enough to say where the highest tenth begins
	below  uint64  // how many are at most cut
	fading float64 // the factor of one bucket
	faded  int64   // the bucket up to which the counts have faded

	steps, highs []step // room to work in
}

const (
	noCut = math.MaxUint32
	// highShare is where the second digest begins.
	highShare = 0.9
	// fadeRows is after how many rows' worth of buckets the counts fade by one bucket's factor. They are to last
	// longer than anything else.
	fadeRows = 20
	// maxFades bounds the work after a long silence, or a leap of the clock: more than a year at 15 minutes.
	maxFades = 1000
	// sure is the part of the posterior of a rank that is left out at either end.
	sure = 0.15
)

func thousandths(score float64) uint32 { return uint32(1000*score + 0.5) }

// copyFrom makes h the same as another, in the room that h has already.
func (h *history) copyFrom(from *history) {
	all, high, steps, highs := h.all, h.high, h.steps, h.highs
	*h = *from
	h.all, h.high, h.steps, h.highs = all, high, steps, highs
	h.all.copyFrom(&from.all)
	h.high.copyFrom(&from.high)
}

// reach lets the counts fade up to a bucket.
func (h *history) reach(bucket int64) {
	every := int64(fadeRows * h.every)
	for range min((bucket-h.faded)/every, maxFades) {
		if n := h.all.n; n > 0 {
			h.all.fade(h.fading)
			h.high.fade(h.fading)
			h.below = uint64(float64(h.all.n)/float64(n)*float64(h.below) + 0.5)
		}
	}
	h.faded = bucket - (bucket-h.faded)%every
}

func (h *history) add(score float64) {
	h.run = math.Max(h.run, score)
	if h.inRun++; h.inRun < h.every {
		return
	}
	value := thousandths(h.run)
	h.run, h.inRun = 0, 0
	if h.all.n+1 == digestSize {
		h.steps = h.all.steps(h.steps[:0]) // nothing is joined yet
		h.begin(h.steps)
	}
	h.all.add(value, 1)
	if value <= h.cut {
		h.below++
	} else {
		h.high.add(value, 1)
	}
	if h.all.n > digestSize && h.all.n%digestSize == 0 {
		h.move()
	}
}

// begin makes the second digest of what there is: distinct values, ascending, with how many are at most each.
func (h *history) begin(steps []step) {
	target := uint64(highShare*float64(steps[len(steps)-1].count) + 0.5)
	i := 1
	for i < len(steps) && steps[i].count <= target {
		i++
	}
	h.cut, h.below = steps[i-1].value, steps[i-1].count
	for ; i < len(steps); i++ {
		h.high.add(steps[i].value, steps[i].count-steps[i-1].count)
	}
}

// move puts the cut where the highest tenth begins now. When it moves up, the second digest keeps what it has; when it
// moves down, the first gives it what it lacks.
func (h *history) move() {
	target := uint64(highShare*float64(h.all.n) + 0.5)
	if h.below <= target {
		h.cut = h.all.quantile(highShare)
		low, _ := h.all.atMost(h.cut)
		h.below = uint64(float64(h.all.n)*low + 0.5)
		return
	}
	h.steps = h.all.steps(h.steps[:0])
	steps := h.steps
	first := min(sort.Search(len(steps), func(i int) bool { return steps[i].count >= target }), len(steps)-1)
	sum := steps[first].count
	h.highs = h.high.steps(h.highs[:0])
	highs := h.highs
	j := sort.Search(len(highs), func(i int) bool { return highs[i].value > steps[first].value })
	j = max(0, min(j, len(highs)-1))
	for i := first + 1; i < len(steps) && steps[first].count+h.high.n < h.all.n; i++ {
		for ; j < len(highs) && highs[j].value <= steps[i].value; j++ {
			sum += highs[j].count
			if j > 0 {
				sum -= highs[j-1].count
			}
		}
		if lacks := steps[i].count; lacks > sum {
			h.high.add(steps[i].value, lacks-sum)
			sum = lacks
		}
	}
	h.cut, h.below = steps[first].value, steps[first].count
}

// score is the least of the normaliser's ceilings: by noise, by rank among all scores, by the user's own greatest
// score, and by the probability itself.
func (h *history) score(p, max float64) float64 {
	s := raw(p)
	if s == 0 || h.all.n == 0 {
		return 0
	}
	absolute := 5 + 95*math.Log(0.05/p)/math.Log(500)
	own := s / max
	return math.Min(math.Min(100, absolute), math.Min(100*math.Min(1.5*own, 0.5+0.5*own),
		math.Min(h.byRank(thousandths(s)), h.byNoise(thousandths(s)))))
}

// byRank places a raw score among all that were: its percentile, between the bounds that the digest gives and of which
// only a part is sure (the 15% and 85% points of the posterior), mapped through fixed knots.
func (h *history) byRank(value uint32) float64 {
	n := float64(h.all.n)
	below := float64(h.below) / n
	cutLow, cutHigh := posterior(n, below, sure), posterior(n, below, 1-sure)
	var low, high float64
	if value <= h.cut || h.high.n == 0 {
		low, high = h.all.atMost(value)
		densityLow, densityHigh := h.all.density(value)
		low = math.Min(math.Max(low-densityHigh, 0), cutLow)
		high = math.Min(math.Max(high-densityLow, 0), cutHigh)
	} else {
		atCutLow, atCutHigh := h.high.atMost(h.cut)
		low, high = h.high.atMost(value)
		densityLow, densityHigh := h.high.density(value)
		const least = 0x1p-52 // against a division by 0
		low = cutLow + (1-cutLow)*math.Max(low-atCutHigh-densityHigh, 0)/math.Max(1-atCutHigh, least)
		high = cutHigh + (1-cutHigh)*math.Max(high-atCutLow-densityLow, 0)/math.Max(1-atCutLow, least)
	}
	return (knotted(100*posterior(n, low, sure)) + knotted(100*posterior(n, high, 1-sure))) / 2
}

// posterior is the point below which a share's true value is with probability q, when it was share of n.
func posterior(n, share, q float64) float64 {
	share = math.Min(math.Max(share, 0), 1)
	return mathext.InvRegIncBeta(n*share+1.0/3, n*(1-share)+1.0/3, q)
}

// byNoise keeps a score near 1 that is no higher than half of all scores, unless most are 0.
func (h *history) byNoise(value uint32) float64 {
	low, high := h.all.atMost(0)
	above := (float64(value) - float64(h.all.quantile(0.5))) / 1000
	return math.Max(0, 1+10*above) + 100*math.Max(0, 2*math.Min(1, low+high)-1)
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
