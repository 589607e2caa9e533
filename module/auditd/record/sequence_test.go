// SPDX-License-Identifier: Apache-2.0

package record

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSequencesCountsOnlyWhatNeverArrives(t *testing.T) {
	feed := func(s *Sequences, numbers ...uint32) (lost uint64) {
		for _, n := range numbers {
			lost += s.Add(n)
		}
		return lost
	}
	rest := func(s *Sequences) uint64 { return s.Settle() + s.Settle() }
	for name, c := range map[string]struct {
		numbers []uint32
		lost    uint64
	}{
		"numbers in order":                      {[]uint32{5, 6, 7, 8}, 0},
		"several records of each event":         {[]uint32{5, 5, 5, 6, 6, 7}, 0},
		"numbers that overtake each other":      {[]uint32{5, 8, 7, 6, 9}, 0},
		"one missing":                           {[]uint32{5, 6, 8}, 1},
		"a hole of many":                        {[]uint32{100, 200}, 99},
		"the counter wraps":                     {[]uint32{1<<32 - 2, 1<<32 - 1, 0, 1}, 0},
		"one missing where the counter wraps":   {[]uint32{1<<32 - 1, 1}, 1},
		"numbers from before the first":         {[]uint32{50, 3, 4, 51}, 0},
		"a hole that is larger than the window": {[]uint32{1, 1 + 3*sequenceWindow}, 3*sequenceWindow - 1},
		"a hole just as large as the window":    {[]uint32{1, 1 + sequenceWindow}, sequenceWindow - 1},
		"a hole that is larger, and then the end": {
			[]uint32{1, 2, 3 * sequenceWindow, 3*sequenceWindow + 2},
			3*sequenceWindow - 3 + 1,
		},
		"nothing":         {nil, 0},
		"a single number": {[]uint32{7}, 0},
		"a number that comes while still awaited":   {[]uint32{10, 10 + sequenceWindow/2, 11}, sequenceWindow/2 - 2},
		"the last missing one waits for one behind": {[]uint32{10, 11}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sequences
			lost := feed(&s, c.numbers...)
			assert.Equal(t, c.lost, lost+rest(&s))
			assert.Zero(t, rest(&s), "nothing is counted twice")
		})
	}
}

func TestSequencesWaitsASettleBeforeItCounts(t *testing.T) {
	var s Sequences
	s.Add(1)
	s.Add(3)
	assert.Zero(t, s.Settle(), "3 came only just now")
	s.Add(2)
	s.Add(5)
	assert.Zero(t, s.Settle(), "2 came in time")
	assert.EqualValues(t, 1, s.Settle(), "4 did not")
}

func TestSequencesAgreesWithCountingBySet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s Sequences
		start := random.Uint32()
		present := map[uint32]bool{}
		var numbers []uint32
		length := uint32(random.IntN(3000) + 2)
		for i := range length {
			if i == 0 || i == length-1 || random.IntN(10) > 0 {
				numbers = append(numbers, start+i)
				present[start+i] = true
			}
		}
		for i := 1; i+3 < len(numbers); i += 3 { // neighbours overtake each other
			numbers[i], numbers[i+2] = numbers[i+2], numbers[i]
		}
		var lost uint64
		for _, n := range numbers {
			lost += s.Add(n)
		}
		lost += s.Settle() + s.Settle()
		assert.EqualValues(t, int(length)-len(present), lost)
	}
}

func TestSequencesOfARecord(t *testing.T) {
	for body, want := range map[string]struct {
		n  uint32
		ok bool
	}{
		"audit(1795517743.742:2): argc=2":      {2, true},
		"audit(1795517743.742:4294967295): ":   {1<<32 - 1, true},
		"audit(1795517743.742:): ":             {0, false},
		"audit(1795517743.742:2":               {0, false},
		"audit(1795517743.742:2x): ":           {0, false},
		"":                                     {0, false},
		"something else entirely without one ": {0, false},
	} {
		n, ok := Sequence([]byte(body))
		assert.Equal(t, want.ok, ok, body)
		if ok {
			assert.Equal(t, want.n, n, body)
		}
	}
}
