// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limit is how many alerts a rule may raise on a host in any stretch of time. The zero Limit is none.
//
// What comes first ships at once. So that a storm of weak alerts hides no strong one, a part of the limit waits for
// those: scores below 50 may take seven tenths of it, below 75 eight, below 90 nine.
type Limit struct {
	Alerts int
	Per    time.Duration
}

// DefaultLimit is that of Elastic's rule: max_signals 100, every 15 minutes.
var DefaultLimit = Limit{Alerts: 100, Per: 15 * time.Minute}

// LimitKind is the kind of the control that names the limit in documents, and LimitID its id.
const (
	LimitKind = "limit"
	LimitID   = "detector.limit.alerts"
)

// Limits reports whether the control is the limit.
func (c Control) Limits() bool { return c.Kind == LimitKind }

// share is how many alerts may have shipped within the stretch so that one of a score's band still may.
func (l Limit) share(band int) int { return l.Alerts - l.Alerts*(highestBand-band)/10 }

// Withheld is what the limit held back from its first alert on, until a stretch of time has passed.
type Withheld struct {
	Host     string    `json:"host,omitempty"` // its id; empty: this host
	Alerts   int       `json:"alerts"`
	Matches  int       `json:"matches"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	MaxScore float64   `json:"max_score"`
	Limit    Limit     `json:"limit"`
	Actors   Tally     `json:"actors"`
}

// Tally counts matches by their actors.
type Tally struct {
	Of     map[string]int `json:"of,omitempty"` // at most mostTallied
	Others int            `json:"others,omitempty"`
}

const (
	mostTallied = 1000 // actors that a tally distinguishes
	topActors   = 10   // that a document names
)

func (t *Tally) add(a Actor) {
	name := a.String()
	if _, known := t.Of[name]; !known && len(t.Of) >= mostTallied {
		t.Others++
		return
	}
	if t.Of == nil {
		t.Of = map[string]int{}
	}
	t.Of[name]++
}

// top are the actors with the most matches, the first ones of a document.
func (t *Tally) top() []string {
	names := slices.SortedFunc(maps.Keys(t.Of), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.Of[b], t.Of[a]), cmp.Compare(a, b))
	})
	return names[:min(topActors, len(names))]
}

// limiter is what a limit must know of a rule on a host.
type limiter struct {
	rule     *Rule
	shipped  []time.Time // the alerts of the last stretch
	withheld *Withheld   // nil: nothing was held back lately
}

type limitKey struct{ rule, host string }

// maxLimiters bounds for how many rules and hosts alerts are counted at a time.
const maxLimiters = 10_000

// within is the match's limiter, with the alerts alone that lie within the stretch around it; nil: there is no limit.
// It appends what another one had held back that makes room for it, or this one in the stretch before.
func (d *Detector) within(m *match, out []Finding) (*limiter, []Finding) {
	if d.o.Limit.Alerts <= 0 {
		return nil, out
	}
	f, key := &m.finding, limitKey{m.key.rule, d.modelHost(m.event)}
	l := d.limits[key]
	if l == nil {
		if len(d.limits) >= maxLimiters {
			out = d.evictLimiter(out)
		}
		key.host = strings.Clone(key.host)
		l = &limiter{rule: f.Rule}
		d.limits[key] = l
	}
	l.shipped = slices.DeleteFunc(l.shipped, func(t time.Time) bool { return f.Time.Sub(t).Abs() >= d.o.Limit.Per })
	if l.withheld != nil && l.withheld.ends().Compare(f.Time) <= 0 {
		out = append(out, l.report())
	}
	return l, out
}

// mayShip reports whether the limit lets an alert of the band pass.
func (l *limiter) mayShip(limit Limit, band int) bool {
	return l == nil || len(l.shipped) < limit.share(band)
}

// ship counts an alert that ships.
func (l *limiter) ship(at time.Time) {
	if l != nil {
		l.shipped = append(l.shipped, at)
	}
}

// withhold counts a match that the limit held back.
func (l *limiter) withhold(f *Finding, host string, limit Limit) {
	w := l.withheld
	if w == nil {
		w = &Withheld{Host: strings.Clone(host), First: f.Time, Last: f.Time, Limit: limit}
		l.withheld = w
	}
	w.Matches++
	if f.Held == HeldAlert {
		w.Alerts++
	}
	w.Last, w.MaxScore = latest(w.Last, f.Time), max(w.MaxScore, f.Score)
	w.Actors.add(f.Actor)
}

// ends is when the summary of what was held back ships.
func (w *Withheld) ends() time.Time { return w.First.Add(w.Limit.Per) }

// report is the summary of what was held back; counting begins anew.
func (l *limiter) report() Finding {
	w := *l.withheld
	l.withheld = nil
	return Finding{Kind: Limited, Rule: l.rule, Time: w.ends(), Threshold: l.rule.Threshold, Withheld: w}
}

func (k limitKey) compare(other limitKey) int {
	return cmp.Or(cmp.Compare(k.rule, other.rule), cmp.Compare(k.host, other.host))
}

// limitsUntil reports what was held back until a time, and forgets what is over.
func (d *Detector) limitsUntil(t time.Time, out []Finding) []Finding {
	var over []limitKey
	for key, l := range d.limits {
		l.shipped = slices.DeleteFunc(l.shipped, func(at time.Time) bool { return t.Sub(at) >= d.o.Limit.Per })
		if l.withheld == nil && len(l.shipped) == 0 || l.withheld != nil && !l.withheld.ends().After(t) {
			over = append(over, key)
		}
	}
	slices.SortFunc(over, limitKey.compare)
	for _, key := range over {
		l := d.limits[key]
		if l.withheld != nil {
			out = append(out, l.report())
		}
		if len(l.shipped) == 0 {
			delete(d.limits, key)
		}
	}
	return out
}

// evictLimiter makes room: the one whose last alert shipped longest ago is forgotten, and what it held back reported.
func (d *Detector) evictLimiter(out []Finding) []Finding {
	var worst limitKey
	var oldest time.Time
	for key, l := range d.limits {
		var last time.Time
		if n := len(l.shipped); n > 0 {
			last = l.shipped[n-1]
		}
		if worst == (limitKey{}) || cmp.Or(last.Compare(oldest), key.compare(worst)) < 0 {
			worst, oldest = key, last
		}
	}
	d.evicted++
	if l := d.limits[worst]; l.withheld != nil {
		out = append(out, l.report())
	}
	delete(d.limits, worst)
	return out
}

type limitSnapshot struct {
	Rule     string      `json:"rule"`
	Host     string      `json:"host,omitempty"`
	Shipped  []time.Time `json:"shipped,omitempty"`
	Withheld *Withheld   `json:"withheld,omitempty"`
}

// snapshotLimits are the limiters, in order.
func (d *Detector) snapshotLimits() (all []limitSnapshot) {
	for _, key := range slices.SortedFunc(maps.Keys(d.limits), limitKey.compare) {
		l := d.limits[key]
		all = append(all, limitSnapshot{Rule: key.rule, Host: key.host, Shipped: l.shipped, Withheld: l.withheld})
	}
	return all
}

// restoreLimits goes on where a snapshot ended, with the rules that are configured.
func (d *Detector) restoreLimits(all []limitSnapshot, rules map[string]*Rule) {
	d.limits = map[limitKey]*limiter{}
	for _, s := range all {
		if r := rules[s.Rule]; r != nil && len(d.limits) < maxLimiters {
			d.limits[limitKey{s.Rule, s.Host}] = &limiter{rule: r, shipped: s.Shipped, withheld: s.Withheld}
		}
	}
}
