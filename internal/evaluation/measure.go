// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// outcome is what one rule of a detector made of one host.
type outcome struct {
	kind, rule string
	months     float64 // of 30 days
	alarms     []peak  // alerts on what was benign
	benign     []peak  // the visits that came over floor
	attacks    []found
}

// peak is the greatest score in a visit, and the finding that had it.
type peak struct {
	score float64
	age   time.Duration // for how long the host had been watched
	why   string
}

// found is what became of one attack.
type found struct {
	*attack
	peak
	alerted bool
	after   time.Duration // from its first match to the alert
}

// floor is the score from which visits are kept.
const floor = 1

// shipped are a new user's options, with the context model.
var shipped = sync.OnceValues(
	func() (detector.Options, error) { return config.Default().Detector.Options("", time.UTC) })

// options are those with another model, for a host of this zone, with the rules that are on, or with all.
func options(model string, zone *time.Location, everyRule bool) (detector.Options, error) {
	o, err := shipped()
	o.Model, o.OneHost, o.Zone, o.OtherZone, o.Rules = model, true, zone, zone, slices.Clone(o.Rules)
	for i := range o.Rules {
		o.Rules[i].Enabled = o.Rules[i].Enabled || everyRule
	}
	o.Rules = slices.DeleteFunc(o.Rules, func(r detector.Rule) bool { return !r.Enabled })
	return o, err
}

// judge lets a detector of the default configuration see a host from beginning to end, and returns the outcome of each
// rule.
func judge(h *host, model string) ([]outcome, error) {
	o, err := options(model, h.zone, h.everyRule)
	if err != nil {
		return nil, err
	}
	d, err := detector.New(o)
	if err != nil {
		return nil, err
	}
	outcomes, place := make([]outcome, len(d.Rules())), map[string]*outcome{}
	for i, r := range d.Rules() {
		outcomes[i] = outcome{kind: h.kind, rule: r.ID, months: h.months()}
		place[r.ID] = &outcomes[i]
	}
	of := map[*attack]int{}
	begun := map[*attack]time.Time{}
	for _, a := range h.attacks {
		out := place[a.rule]
		of[a] = len(out.attacks)
		out.attacks = append(out.attacks, found{attack: a})
	}
	type open struct {
		place int
		last  time.Time
	}
	visits := map[[2]string]*open{}
	var e process.Event
	var findings []detector.Finding
	last := h.began
	judged := map[uint32]*match{} // by their process ids
	for i := range h.matches {
		m := &h.matches[i]
		m.event(h, &e)
		judged[m.pid] = m
		findings = watch(d, last, e.Time, findings[:0])
		last = e.Time
		rules := d.Match(&e)
		if !h.matchesOnly {
			d.Watch(&e)
			findings = d.Due(&e, findings)
			d.Ran(&e, rules, func(*process.Event) {})
		}
		findings = d.Judge(&e, rules, findings)
		if i == len(h.matches)-1 {
			findings = d.Advance(e.Time.Add(time.Hour), findings)
		}
		current := m
		for j := range findings {
			f := &findings[j]
			m, e := current, &e
			if f.Exec != nil { // what came after it has made it an alert
				e = f.Exec
				m = judged[e.PID]
			}
			switch f.Kind {
			case detector.Summary, detector.Correlated, detector.CorrelationEnd: // their parts are counted
				continue
			}
			out := place[f.Rule.ID]
			p := peak{score: f.Score, age: e.Time.Sub(h.began)}
			if f.Learning {
				p.score = 0
			}
			if m.attack != nil {
				if m.attack.rule != f.Rule.ID {
					continue
				}
				att := &out.attacks[of[m.attack]]
				if _, is := begun[m.attack]; !is {
					begun[m.attack], att.age = e.Time, p.age
				}
				if p.score > att.score || att.why == "" {
					att.score, att.why = p.score, why(h, m, f)
				}
				if f.Kind == detector.Alert && !att.alerted {
					att.alerted, att.after = true, e.Time.Sub(begun[m.attack])
				}
				continue
			}
			if p.score >= floor {
				p.why = why(h, m, f)
			}
			if f.Kind == detector.Alert {
				out.alarms = append(out.alarms, p)
			}
			who := [2]string{f.Rule.ID, f.Actor.String()}
			v := visits[who]
			if v != nil && e.Time.Sub(v.last) > o.EpisodeIdle {
				delete(visits, who)
				v = nil
			}
			switch {
			case v == nil && p.score >= floor:
				visits[who] = &open{len(out.benign), e.Time}
				out.benign = append(out.benign, p)
			case v != nil:
				v.last = e.Time
				if p.score > out.benign[v.place].score {
					out.benign[v.place] = p
				}
			}
		}
	}
	return outcomes, nil
}

// watch lets time pass until an exec that a rule means: hour by hour other programs start, of which the detector learns
// no more than that the host is watched.
func watch(d *detector.Detector, from, to time.Time, out []detector.Finding) []detector.Finding {
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		out = d.Advance(at, out)
	}
	return d.Advance(to, out)
}

// why describes a finding in one line, for the person who works on the model.
func why(h *host, m *match, f *detector.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s/%s", h.name, m.at.Format("01-02 15:04"), m.user, m.login)
	if m.attack != nil {
		fmt.Fprintf(&b, " %s %v", m.attack.kind, m.attack.signs)
	}
	fmt.Fprintf(&b, " %.0f:", f.Score)
	if f.Context != nil {
		for p := range habit.Parts {
			if v := f.Context.Parts[p]; v > 0.3 || v < -0.3 {
				fmt.Fprintf(&b, " %s %.1f", habit.PartNames[p], v)
			}
		}
	}
	return b.String()
}

// run lets a model see every kind with every seed, as many at once as there are processors, in order.
func run(which []kind, seeds []int, days int, model, ablated string) ([]outcome, error) {
	all := make([][]outcome, len(which)*len(seeds))
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range all {
		wait.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; wait.Done() }()
			h := which[i/len(seeds)].host(seeds[i%len(seeds)], days)
			if ablated != "" {
				h.ablate(ablated)
			}
			all[i], errs[i] = judge(h, model)
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(all...), nil
}

// tally adds outcomes up.
type tally struct {
	hosts                 int
	months                float64
	attacks, found        int
	falses, month, twoDay int // false alarms: all, and those of the hosts' first 30 days and 48 hours
	after                 []time.Duration
}

func (t *tally) add(o *outcome) {
	t.hosts++
	t.months += o.months
	t.falses += len(o.alarms)
	for _, a := range o.alarms {
		if a.age < month {
			t.month++
		}
		if a.age < 48*time.Hour {
			t.twoDay++
		}
	}
	for i := range o.attacks {
		t.attacks++
		if o.attacks[i].alerted {
			t.found++
			t.after = append(t.after, o.attacks[i].after)
		}
	}
}

const month = 30 * 24 * time.Hour

// age is a span of a host's watched time.
type age struct {
	name     string
	from, to time.Duration
}

var (
	ages = []age{
		{
			name: "0 to 2 days",
			to:   48 * time.Hour,
		},
		{name: "2 to 7 days", from: 48 * time.Hour, to: 7 * 24 * time.Hour},
		{
			name: "7 to 30 days", from: 7 * 24 * time.Hour, to: month,
		},
		{
			name: "30 days and more", from: month, to: math.MaxInt64,
		},
	}
	anyAge, firstMonth, later = age{"all", 0, math.MaxInt64}, age{"younger than 30 days", 0, month}, ages[3]
)

func (a age) has(t time.Duration) bool { return t >= a.from && t < a.to }

// months is how much of so many months is of the age.
func (a age) months(months float64) float64 {
	return max(0, min(months, a.to.Hours()/month.Hours())-a.from.Hours()/month.Hours())
}

// of counts what is of the age: attacks by their first match.
func (a age) of(outcomes []outcome) tally {
	var t tally
	for i := range outcomes {
		o := &outcomes[i]
		t.months += a.months(o.months)
		for j := range o.attacks {
			if !a.has(o.attacks[j].age) {
				continue
			}
			t.attacks++
			if o.attacks[j].alerted {
				t.found++
			}
		}
		for _, p := range o.alarms {
			if a.has(p.age) {
				t.falses++
			}
		}
	}
	return t
}

func (t *tally) recall() float64 { return float64(t.found) / float64(max(1, t.attacks)) }

func (t *tally) rate() float64 { return float64(t.falses) / t.months }

// monthly are the false alarms of the first 30 days, for each host.
func (t *tally) monthly() float64 { return float64(t.month) / float64(t.hosts) }

// median is the time from an attack's first match to its alert that half of those found stay below.
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

// curve says, for every threshold at which something changes, how many visits of a host-month and what share of the
// attacks come over it.
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
			points = append(points, point{s.score, float64(falses) / months, float64(hits) / float64(attacks),
				float64(hits) / float64(hits+falses)})
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

// calibration counts the benign visits of every band, to hosts of the age.
func calibration(outcomes []outcome, when age) (observed []int, years float64) {
	observed = make([]int, len(bands))
	for i := range outcomes {
		years += when.months(outcomes[i].months) * 30 / 365
		for _, p := range outcomes[i].benign {
			for b, band := range bands {
				if when.has(p.age) && p.score >= band.from && p.score < band.to {
					observed[b]++
				}
			}
		}
	}
	return observed, years
}

// tallyOf adds up the outcomes that fit.
func tallyOf(outcomes []outcome, fits func(*outcome) bool) tally {
	var t tally
	for i := range outcomes {
		if fits(&outcomes[i]) {
			t.add(&outcomes[i])
		}
	}
	return t
}

func everything(*outcome) bool { return true }

func ofKind(name string) func(*outcome) bool {
	return func(o *outcome) bool { return o.kind == name }
}

func ofRule(id string) func(*outcome) bool {
	return func(o *outcome) bool { return o.rule == id }
}

// of are the outcomes of a group's kinds.
func (g *group) of(outcomes []outcome) []outcome {
	var own []outcome
	for _, o := range outcomes {
		if slices.ContainsFunc(g.kinds, func(k kind) bool { return k.name == o.kind }) {
			own = append(own, o)
		}
	}
	return own
}

// oneRule are the outcomes of hosts that the default rule alone judged.
func oneRule(outcomes []outcome) []outcome {
	return slices.DeleteFunc(slices.Clone(outcomes), func(o outcome) bool {
		return slices.ContainsFunc(siblings, func(k kind) bool { return k.name == o.kind })
	})
}

// rulesOf are the ids of the rules in their order.
func rulesOf(outcomes []outcome) []string {
	var ids []string
	for i := range outcomes {
		if !slices.Contains(ids, outcomes[i].rule) {
			ids = append(ids, outcomes[i].rule)
		}
	}
	return ids
}

// attackKinds are the names of all kinds of attacks, in order.
func attackKinds(outcomes []outcome) []string {
	var names []string
	for i := range outcomes {
		for _, a := range outcomes[i].attacks {
			names = append(names, a.kind)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// attacksOf counts the attacks of a kind.
func attacksOf(outcomes []outcome, kind string) tally {
	var t tally
	for i := range outcomes {
		for _, a := range outcomes[i].attacks {
			if a.kind != kind {
				continue
			}
			t.attacks++
			if a.alerted {
				t.found++
			}
		}
	}
	return t
}
