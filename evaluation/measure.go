// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/context"
	"github.com/reconbeat/reconbeat/process"
)

// outcome is what one detector made of one host.
type outcome struct {
	kind    string
	months  float64 // of 30 days
	falses  int     // alerts on what was benign
	benign  []peak  // the visits that came over floor
	attacks []found
}

// peak is the greatest score in a visit, and the finding that had it.
type peak struct {
	score float64
	why   string
}

// found is what became of one attack.
type found struct {
	*attack
	peak
	alerted bool
	after   time.Duration // from its first look to the alert
}

// floor is the score from which visits are kept.
const floor = 1

// options are a new user's: the default configuration, with rule 1 alone.
func options(model string, zone *time.Location) (detector.Options, error) {
	c := config.Default().Detector
	c.Model = model
	o, err := c.Options("", zone)
	if err != nil {
		return o, err
	}
	o.OtherZone = zone
	o.Rules = slices.DeleteFunc(o.Rules, func(r detector.Rule) bool { return !r.Enabled })
	return o, nil
}

// judge lets a detector of the default configuration see a host from beginning to end.
func judge(h *host, model string) (outcome, error) {
	o, err := options(model, h.zone)
	if err != nil {
		return outcome{}, err
	}
	d, err := detector.New(o)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{kind: h.kind, months: float64(h.days) / 30}
	of := map[*attack]int{}
	begun := make([]time.Time, len(h.attacks))
	for i, a := range h.attacks {
		of[a] = i
		out.attacks = append(out.attacks, found{attack: a})
	}
	type open struct {
		place int
		last  time.Time
	}
	visits := map[string]*open{}
	var e process.Event
	var findings []detector.Finding
	for i := range h.looks {
		l := &h.looks[i]
		l.event(h, &e)
		findings = d.Advance(e.Time, findings[:0])
		findings = d.Judge(&e, d.Match(&e), nil, findings)
		for j := range findings {
			f := &findings[j]
			if f.Kind == detector.Summary {
				continue
			}
			score := f.Score
			if f.Learning {
				score = 0
			}
			if l.attack != nil {
				a := of[l.attack]
				if begun[a].IsZero() {
					begun[a] = e.Time
				}
				if att := &out.attacks[a]; score > att.score || att.why == "" {
					att.peak = peak{score, why(h, l, f)}
				}
				if att := &out.attacks[a]; f.Kind == detector.Alert && !att.alerted {
					att.alerted, att.after = true, e.Time.Sub(begun[a])
				}
				continue
			}
			if f.Kind == detector.Alert {
				out.falses++
			}
			who := f.Actor.String()
			v := visits[who]
			if v != nil && e.Time.Sub(v.last) > o.EpisodeIdle {
				delete(visits, who)
				v = nil
			}
			switch {
			case v == nil && score >= floor:
				visits[who] = &open{len(out.benign), e.Time}
				out.benign = append(out.benign, peak{score, why(h, l, f)})
			case v != nil:
				v.last = e.Time
				if score > out.benign[v.place].score {
					out.benign[v.place] = peak{score, why(h, l, f)}
				}
			}
		}
	}
	return out, nil
}

// why tells a finding in one line, for the person who works on the model.
func why(h *host, l *look, f *detector.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s/%s", h.name, l.at.Format("01-02 15:04"), l.user, l.login)
	if l.attack != nil {
		fmt.Fprintf(&b, " %s %v", l.attack.kind, l.attack.tells)
	}
	fmt.Fprintf(&b, " %.0f:", f.Score)
	if f.Context != nil {
		for p := range context.Parts {
			if v := f.Context.Parts[p]; v > 0.3 || v < -0.3 {
				fmt.Fprintf(&b, " %s %.1f", context.PartNames[p], v)
			}
		}
	}
	return b.String()
}

// run lets a model see every kind with every seed, as many at once as there are processors, in order.
func run(which []kind, seeds []int, days int, model, ablated string) ([]outcome, error) {
	outcomes := make([]outcome, len(which)*len(seeds))
	errs := make([]error, len(outcomes))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range outcomes {
		wait.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; wait.Done() }()
			h := which[i/len(seeds)].host(seeds[i%len(seeds)], days)
			if ablated != "" {
				h.ablate(ablated)
			}
			outcomes[i], errs[i] = judge(h, model)
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// tally adds outcomes up.
type tally struct {
	months         float64
	attacks, found int
	falses         int
	after          []time.Duration
}

func (t *tally) add(o *outcome) {
	t.months += o.months
	t.falses += o.falses
	for i := range o.attacks {
		t.attacks++
		if o.attacks[i].alerted {
			t.found++
			t.after = append(t.after, o.attacks[i].after)
		}
	}
}

func (t *tally) recall() float64 { return float64(t.found) / float64(max(1, t.attacks)) }

func (t *tally) rate() float64 { return float64(t.falses) / t.months }

// median is the time from an attack's first look to its alert that half of those found stay below.
func (t *tally) median() time.Duration {
	if len(t.after) == 0 {
		return 0
	}
	slices.Sort(t.after)
	return t.after[len(t.after)/2]
}

// point is one threshold of the curve.
type point struct {
	threshold, rate, recall, precision float64
}

// curve says, for every threshold at which something changes, how many visits of a host-month and what share of the attacks come over it.
func curve(outcomes []outcome) []point {
	type scored struct {
		score  float64
		attack bool
	}
	var all []scored
	var months float64
	attacks := 0
	for i := range outcomes {
		months += outcomes[i].months
		for _, p := range outcomes[i].benign {
			all = append(all, scored{p.score, false})
		}
		for _, a := range outcomes[i].attacks {
			attacks++
			all = append(all, scored{a.score, true})
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var points []point
	hits, falses := 0, 0
	for i, s := range all {
		if s.score < floor {
			break
		}
		if s.attack {
			hits++
		} else {
			falses++
		}
		if i+1 == len(all) || all[i+1].score < s.score {
			points = append(points, point{s.score, float64(falses) / months, float64(hits) / float64(attacks), float64(hits) / float64(hits+falses)})
		}
	}
	return points
}

// at is the point of the curve with the most attacks at no more than so many false alarms a host-month.
func at(points []point, rate float64) point {
	best := point{threshold: 100}
	for _, p := range points {
		if p.rate <= rate {
			best = p
		}
	}
	return best
}

// bands are the scores that stand for 3, 1, 0.3 and 0.1 benign episodes a year.
var bands = []struct {
	from, to       float64
	expectedYearly float64
}{{25, 50, 2}, {50, 75, 0.7}, {75, 90, 0.2}, {90, 101, 0.1}}

// calibration counts the benign visits of every band.
func calibration(outcomes []outcome) (observed []int, years float64) {
	observed = make([]int, len(bands))
	for i := range outcomes {
		years += outcomes[i].months * 30 / 365
		for _, p := range outcomes[i].benign {
			for b, band := range bands {
				if p.score >= band.from && p.score < band.to {
					observed[b]++
				}
			}
		}
	}
	return observed, years
}

// tallyOf adds up the outcomes of a kind of host, or of all.
func tallyOf(outcomes []outcome, kind string) tally {
	var t tally
	for i := range outcomes {
		if kind == "" || outcomes[i].kind == kind {
			t.add(&outcomes[i])
		}
	}
	return t
}
