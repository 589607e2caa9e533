// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/process"
)

// breadthSpan is how long before a match of the first rule other rules' matches of its actor count into its breadth: as
// long as a visit's pause.
const breadthSpan = 15 * time.Minute

// mostBreadth is the last row of the table of breadths: so many other rules and more.
const mostBreadth = 3

// mostRules is up to how many rules stories are distinguished by.
const mostRules = 5

// togetherness is what all rules together make of hosts, and what they cost.
type togetherness struct {
	hosts                  int
	months                 float64
	attacks                int
	matches, missionOf     int // matches of all rules, and of the mission's
	alone, each            int // false alarms of the mission's rule, and of all rules
	stories, withoutRule   int // benign stories, and those in which the mission's rule has no part
	raised                 int // false alarms of the mission's rule that such a story makes high
	foundAlone, foundStory int
	afterAlone, afterStory []time.Duration
	wide                   [mostRules + 1]int // benign stories of so many rules and more
	afterWide              [mostRules + 1][]time.Duration
	benign, intruding      [mostBreadth + 1]int // visits under the mission's rule by their breadth
	benignOver             [mostBreadth + 1]int // the same, of other rules whose score is over the threshold
	intrudingOver          [mostBreadth + 1]int
}

func (t *togetherness) add(o *togetherness) {
	t.hosts += o.hosts
	t.months += o.months
	t.attacks += o.attacks
	t.matches += o.matches
	t.missionOf += o.missionOf
	t.alone += o.alone
	t.each += o.each
	t.stories += o.stories
	t.withoutRule += o.withoutRule
	t.raised += o.raised
	t.foundAlone += o.foundAlone
	t.foundStory += o.foundStory
	t.afterAlone, t.afterStory = append(t.afterAlone, o.afterAlone...), append(t.afterStory, o.afterStory...)
	for i := range t.wide {
		t.wide[i] += o.wide[i]
		t.afterWide[i] = append(t.afterWide[i], o.afterWide[i]...)
	}
	for i := range t.benign {
		t.benign[i] += o.benign[i]
		t.intruding[i] += o.intruding[i]
		t.benignOver[i] += o.benignOver[i]
		t.intrudingOver[i] += o.intrudingOver[i]
	}
}

// use is a match of a rule other than the mission's.
type use struct {
	at   time.Time
	rule string
	over bool // its score is over the threshold
}

// together lets a detector with every rule see a host from beginning to end.
func together(h *host) (t togetherness, err error) {
	o, err := options("context", h.zone, true)
	if err != nil {
		return t, err
	}
	d, err := detector.New(o)
	if err != nil {
		return t, err
	}
	t.hosts, t.months = 1, h.months()
	began := time.Time{} // of the attack
	if len(h.attacks) > 0 {
		t.attacks = 1
	}
	type seen struct {
		breadth, over int
		attack        bool
	}
	visits := map[string]*seen{} // under the mission's rule
	recent := map[string][]use{} // by actor
	missions := map[string]bool{}
	intruded := map[string]bool{} // the rules that alerted on the attack
	var e process.Event
	var findings []detector.Finding
	last := h.began
	for i := range h.matches {
		m := &h.matches[i]
		m.event(h, &e)
		findings = watch(d, last, e.Time, findings[:0])
		last = e.Time
		if m.attack != nil && began.IsZero() {
			began = e.Time
		}
		for _, f := range d.Judge(&e, d.Match(&e), findings) {
			switch {
			case f.Kind == detector.Correlated && m.attack != nil:
				if t.foundStory == 0 {
					t.foundStory, t.afterStory = 1, append(t.afterStory, e.Time.Sub(began))
				}
				continue
			case f.Kind == detector.CorrelationEnd || f.Kind == detector.Correlated && m.attack == nil:
				continue // counted below, with all of its parts
			case !f.OfExec():
				continue
			}
			who := f.Actor.String()
			t.matches++
			if f.Rule.ID != mission {
				uses := slices.DeleteFunc(recent[who], func(u use) bool { return e.Time.Sub(u.at) > breadthSpan })
				recent[who] = append(uses, use{e.Time, f.Rule.ID, !f.Learning && f.Score >= f.Threshold})
			} else {
				t.missionOf++
				v := visits[f.Visit.ID]
				if v == nil {
					v = &seen{attack: m.attack != nil}
					visits[f.Visit.ID] = v
				}
				any, over := breadthOf(recent[who], e.Time)
				v.breadth, v.over = max(v.breadth, any), max(v.over, over)
			}
			if f.Kind != detector.Alert {
				continue
			}
			if m.attack != nil && !intruded[f.Rule.ID] {
				intruded[f.Rule.ID] = true
				if n := len(intruded); n <= mostRules {
					t.afterWide[n] = append(t.afterWide[n], e.Time.Sub(began))
				}
			}
			switch {
			case m.attack == nil:
				t.each++
				if f.Rule.ID == mission {
					t.alone++
					missions[f.AlertID] = true
				}
			case f.Rule.ID == mission && t.foundAlone == 0:
				t.foundAlone, t.afterAlone = 1, append(t.afterAlone, e.Time.Sub(began))
			}
		}
		t.benignEnds(findings, began, missions)
	}
	t.benignEnds(d.Advance(last.Add(48*time.Hour), nil), began, missions)
	for _, v := range visits {
		any, over := &t.benign, &t.benignOver
		if v.attack {
			any, over = &t.intruding, &t.intrudingOver
		}
		any[min(v.breadth, mostBreadth)]++
		over[min(v.over, mostBreadth)]++
	}
	return t, nil
}

// benignEnds counts the stories that are over and that no attack was in: it is the last thing on its host.
func (t *togetherness) benignEnds(findings []detector.Finding, began time.Time, missions map[string]bool) {
	for _, f := range findings {
		if f.Kind != detector.CorrelationEnd || !began.IsZero() && !f.Correlation.Last.Before(began) {
			continue
		}
		t.stories++
		for n := 2; n <= min(mostRules, len(f.Correlation.Rules())); n++ {
			t.wide[n]++
		}
		own := 0
		for _, m := range f.Correlation.Members {
			if missions[m.AlertID] {
				own++
			}
		}
		if own == 0 {
			t.withoutRule++
		}
		t.raised += own
	}
}

// breadthOf is how many other rules an actor's matches were of shortly before, and of how many over the threshold.
func breadthOf(uses []use, at time.Time) (any, over int) {
	rules, high := map[string]bool{}, map[string]bool{}
	for _, u := range uses {
		if at.Sub(u.at) <= breadthSpan {
			rules[u.rule] = true
			if u.over {
				high[u.rule] = true
			}
		}
	}
	return len(rules), len(high)
}

// measureTogether lets every rule see the hosts of the kind that all rules are about.
func measureTogether(seeds []int) (togetherness, error) {
	all, errs := make([]togetherness, len(seeds)), make([]error, len(seeds))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range seeds {
		wait.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; wait.Done() }()
			all[i], errs[i] = together(siblings[0].host(seeds[i], days))
		}()
	}
	wait.Wait()
	var t togetherness
	for i := range all {
		if errs[i] != nil {
			return t, errs[i]
		}
		t.add(&all[i])
	}
	return t, nil
}

// stories writes what all rules together find and cost.
func stories(w io.Writer, seeds []int) error {
	t, err := measureTogether(seeds)
	if err != nil {
		return err
	}
	a := tally{after: t.afterAlone}
	s := tally{after: t.afterStory}
	monthly := func(n int) string { return fmt.Sprintf("%.3f", float64(n)/t.months) }
	fmt.Fprintf(w, "### As building blocks\n\nThe same hosts. A *story* is several rules, or several accounts, that "+
		"alert within half an hour (`detector.correlation`). **after** counts from the intruder's first command of any "+
		"rule.\n\n"+
		"| what alerts | found | after | false alarms a host-month |\n|---|---|---|---|\n")
	fmt.Fprintf(w, "| `%s` alone | %d of %d | %s | %s |\n", mission, t.foundAlone, t.attacks,
		a.median().Round(time.Second), monthly(t.alone))
	fmt.Fprintf(w, "| every rule, each for itself | | | %s |\n", monthly(t.each))
	fmt.Fprintf(w, "| stories of all rules | %d of %d | %s | %s |\n", t.foundStory, t.attacks,
		s.median().Round(time.Second), monthly(t.stories))
	fmt.Fprintf(w, "| of them without `%s` | | | %s |\n", mission, monthly(t.withoutRule))
	for n := 3; n <= mostRules; n++ {
		wide := tally{after: t.afterWide[n]}
		fmt.Fprintf(w, "| stories of %d rules and more | %d of %d | %s | %s |\n", n, len(wide.after), t.attacks,
			wide.median().Round(time.Second), monthly(t.wide[n]))
	}
	fmt.Fprintf(w, "\n%d of %d false alarms of `%s` became part of a story, which is high. All rules have %.0f times as "+
		"many matches: %.0f a host-day instead of %.0f.\n", t.raised, t.alone, mission,
		float64(t.matches)/float64(t.missionOf), float64(t.matches)/t.months/30, float64(t.missionOf)/t.months/30)
	fmt.Fprintf(w, "\nA visit's *breadth* is how many other rules its actor's commands of the last 15 minutes matched, "+
		"or came over the threshold of.\n\n| other rules | benign visits | intruders' | benign, over the threshold | "+
		"intruders', over the threshold |\n|---|---|---|---|---|\n")
	for i := range t.benign {
		name := fmt.Sprint(i)
		if i == mostBreadth {
			name += " and more"
		}
		share := func(n [mostBreadth + 1]int) string {
			sum := 0
			for _, v := range n {
				sum += v
			}
			return fmt.Sprintf("%.2f%%", 100*float64(n[i])/float64(max(1, sum)))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", name, share(t.benign), share(t.intruding), share(t.benignOver),
			share(t.intrudingOver))
	}
	fmt.Fprintln(w)
	return nil
}
