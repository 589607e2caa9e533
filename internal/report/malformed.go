// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"

	"github.com/reconbeat/reconbeat/module"
)

// The bounds of what a Report keeps of malformed input.
const (
	maxKinds   = 100 // pairs of a file and what was wrong in it
	maxSamples = 20
)

// malformed is what a recording held that could not be understood.
type malformed struct {
	kinds   map[malformedKind]int
	others  int // beyond the bound
	samples []sample
}

// malformedKind is what was wrong in one file.
type malformedKind struct{ File, Kind string }

// sample is one malformed line.
type sample struct {
	File, Why, Text string
	Line            uint64
}

// AddMalformed adds a line that could not be understood.
func (r *Report) AddMalformed(m module.Malformed) {
	k := malformedKind{File: limited(m.File), Kind: limited(m.Kind)}
	if m.File == "-" {
		k.File = "standard input"
	}
	before, known := r.malformed.kinds[k]
	if !known && len(r.malformed.kinds) == maxKinds {
		r.malformed.others++
		return
	}
	if r.malformed.kinds == nil {
		r.malformed.kinds = map[malformedKind]int{}
	}
	r.malformed.kinds[k] = before + 1
	// A flood of one kind leaves room for the others.
	const ofOneKind = maxSamples / 4
	if len(r.malformed.samples) == maxSamples || before >= ofOneKind {
		return
	}
	text := limited(string(m.Text[:min(len(m.Text), maxText+1)]))
	r.malformed.samples = append(r.malformed.samples,
		sample{File: k.File, Line: m.Line, Why: limited(m.Why), Text: text})
}

// malformedRow is a row of the page's table: how often something was wrong in a file.
type malformedRow struct {
	malformedKind
	Count int
}

// rows are the counts, the greatest first.
func (m *malformed) rows() []malformedRow {
	var out []malformedRow
	for k, n := range m.kinds {
		out = append(out, malformedRow{malformedKind: k, Count: n})
	}
	slices.SortFunc(out, func(a, b malformedRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.File, b.File), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}
