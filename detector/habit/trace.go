// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// trace is a part of what a Model knows that can be taken out of it, and put back: what it has learned under an alert,
// or what a person has said in one sentence. Its weights grow as all others of the Model do.
type trace struct {
	keyOf
	At         time.Time          `json:"at"` // when it began
	Class      Class              `json:"class"`
	Name       string             `json:"name,omitempty"`
	Visits     int                `json:"visits,omitempty"`
	Days       int                `json:"days,omitempty"`
	Weight     float64            `json:"weight,omitempty"`
	Features   [features]counter  `json:"features,omitzero"`
	Hours      hours              `json:"hours,omitzero"`
	Span       span               `json:"span,omitzero"`
	Kind       int                `json:"kind,omitempty"` // of the parent
	How        int                `json:"how,omitempty"`  // the actor came
	Welcome    *welcome           `json:"welcome,omitempty"`
	ClassFirst *[features]counter `json:"class_first,omitempty"` // what the class has learned of newcomers
	ClassLater *[features]counter `json:"class_later,omitempty"` // and of others
	OfClass    hours              `json:"class_hours,omitzero"`
	Past       past               `json:"past,omitzero"`
	Stranger   past               `json:"strangers,omitzero"`
	// Gone: the actor was known from it alone and is gone with it; GoneTaught: the class had learned from them.
	Gone       bool `json:"gone,omitempty"`
	GoneTaught bool `json:"gone_taught,omitempty"`
}

// span says from when to when an actor was seen: in all, before a trace, and with it.
type span struct {
	First      time.Time `json:"first"`
	Since      time.Time `json:"since"`
	LastBefore time.Time `json:"last_before"`
	Before     time.Time `json:"before"` // the same in watched time
	Last       time.Time `json:"last"`
	Until      time.Time `json:"until"` // the same in watched time
}

// welcome is what counts an actor among those of the class.
type welcome struct {
	Came  float64 `json:"came"`
	Found float64 `json:"found"`
}

// maxTraces bounds how many alerts a Model can take out of what it knows; the oldest stay in it for ever.
const maxTraces = 256

// traceFor is the id of the trace of what an actor teaches under an alert: the alert's, or of the same account's other
// actors one of their own. It is empty for those of other accounts, whom an alert of a group covers.
func (m *Model) traceFor(alert string, k key) string {
	switch t := m.traces[alert]; {
	case t == nil || t.key() == k:
		return alert
	case t.key().Who == k.Who:
		return alert + " " + k.Way.Value()
	}
	return ""
}

// under are the ids of the traces of all actors who have taught under an alert, in order.
func (m *Model) under(alert string) []string {
	var ids []string
	for id := range m.traces {
		if id == alert || strings.HasPrefix(id, alert+" ") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// attach begins the trace of an alert with what the open visit has taught, or adds it to the one that is there.
func (m *Model) attach(l *Match, v *visit, a *actor, alert string) {
	id := m.traceFor(alert, l.key())
	if id == "" {
		return
	}
	t := m.traces[id]
	if t == nil {
		t = m.begin(id, &trace{
			keyOf: l.key().stored(), At: l.At, Class: l.Class, Name: strings.Clone(a.Name),
			Kind: m.kindOf(l), How: m.arrivesWith(l),
			Span: span{First: a.First, Since: a.Since, LastBefore: v.Before, Before: v.Start.Add(-v.Silent)},
		})
	}
	v.Alert = id
	t.Visits++
	t.Days += v.Days
	t.Weight += v.Weight
	for f := range features {
		for _, s := range v.seen.values[f] {
			if s.weight > 0 {
				t.Features[f].add(s.text, s.weight)
			}
		}
	}
	if first := v.seen.values[Command]; len(first) > 0 {
		for hour := range t.Hours {
			if v.seen.hasHour(hour) {
				t.Hours[hour] += first[0].weight
			}
		}
	}
	t.Span.Last, t.Span.Until = a.Last, a.Until
}

// begin keeps a trace, in the place of the oldest where there are too many.
func (m *Model) begin(id string, t *trace) *trace {
	if len(m.traces) >= maxTraces {
		oldest := slices.MinFunc(slices.Sorted(maps.Keys(m.traces)), func(a, b string) int {
			return cmp.Or(m.traces[a].At.Compare(m.traces[b].At), cmp.Compare(a, b))
		})
		delete(m.traces, oldest)
	}
	if m.traces == nil {
		m.traces = map[string]*trace{}
	}
	m.traces[id] = t
	return t
}

// taught takes note of what the class has learned of a newcomer, or of somebody known. Without a trace it is of none.
func (t *trace) taught(first bool, f int, v text, w float64) {
	if t == nil {
		return
	}
	into := &t.ClassLater
	if first {
		into = &t.ClassFirst
	}
	if *into == nil {
		*into = new([features]counter)
	}
	(*into)[f].add(v, w)
}

// Traces reports whether the Model knows what it has learned under an alert.
func (m *Model) Traces(alert string) bool { return m.traces[alert] != nil }

// adopted is the id of the trace of what Adopt has taught.
func adopted(alert string) string { return "adopted " + alert }

// Adopt makes a habit of what the actor of an alert has shown under it, as if that had been seen on so many days until
// at. The class learns from them when Accept says so. It reports whether anything is known of the alert.
func (m *Model) Adopt(alert string, days int, at time.Time) bool {
	known := false
	for _, id := range m.under(alert) {
		known = m.adopt(id, days, at) || known
	}
	return known
}

func (m *Model) adopt(id string, days int, at time.Time) bool {
	of := m.traces[id]
	if of == nil || m.actors[of.key()] == nil || m.traces[adopted(id)] != nil {
		return false
	}
	own := m.grown(m.watched.at(at)) * float64(days)
	t := &trace{
		keyOf: of.keyOf, At: at, Class: of.Class, Kind: of.Kind, How: of.How, Days: days, Visits: days, Weight: own,
	}
	for f := range features {
		for _, v := range of.Features[f] {
			t.Features[f].add(v.text, own)
		}
	}
	for hour, seen := range of.Hours {
		if seen > 0 {
			t.Hours[hour] = own
		}
	}
	m.begin(adopted(id), t)
	m.apply(t, 1)
	return true
}

// newcomer calls each with what the class learns from an actor who is accepted.
func (m *Model) newcomer(a *actor, how int, w float64, each func(f int, v text)) {
	for f := range features {
		if f == TTY && a.Class == Person && how != newAccount {
			continue
		}
		for _, v := range a.Features[f] {
			if v.weight >= forgotten*w {
				each(f, v.text)
			}
		}
	}
}

// Disown takes back what Adopt has taught.
func (m *Model) Disown(alert string) bool {
	ids := m.under(adopted(alert))
	for _, id := range ids {
		m.apply(m.traces[id], -1)
		delete(m.traces, id)
	}
	return len(ids) > 0
}

// Withdraw takes out of the Model what it has learned under an alert. It reports whether anything is known of it.
func (m *Model) Withdraw(alert string) bool {
	known := false
	for _, id := range m.under(alert) {
		known = m.withdraw(id) || known
	}
	return known
}

func (m *Model) withdraw(id string) bool {
	t := m.traces[id]
	if t == nil || t.Gone {
		return false
	}
	k := t.key()
	if v := m.visits[k]; v != nil && v.Alert == id { // what comes next begins a visit, and is judged by itself
		delete(m.visits, k)
	}
	m.apply(t, -1)
	a := m.actors[k]
	if a == nil {
		return true
	}
	if a.Visits == 0 {
		t.Gone, t.GoneTaught = true, a.Taught
		m.forget(k)
		m.traces[id] = t
		return true
	}
	if !a.Last.After(t.Span.Last) && !t.Span.LastBefore.IsZero() {
		a.Last, a.Until = t.Span.LastBefore, t.Span.Before
	}
	return true
}

// Reinstate puts back what Withdraw took out.
func (m *Model) Reinstate(alert string) bool {
	ids := m.under(alert)
	for _, id := range ids {
		if t := m.traces[id]; t != nil { // room for the one before may have been made at its cost
			m.reinstate(t)
		}
	}
	return len(ids) > 0
}

func (m *Model) reinstate(t *trace) {
	k := t.key()
	a := m.actors[k]
	if a == nil {
		if len(m.actors) >= m.o.MaxActors {
			m.evict()
		}
		m.present(k.Who, t.Class, presence{ways: 1})
		a = &actor{Class: t.Class, Name: t.Name, First: t.Span.First, Since: t.Span.Since}
		m.actors[k] = a
		m.named(k.Who, a)
		if t.GoneTaught {
			m.group(member{k.Who, a.Class}).Actors++
			a.Taught = true
			m.present(k.Who, a.Class, presence{taught: 1})
		}
	}
	t.Gone, t.GoneTaught = false, false
	a.Last, a.Until = latest(a.Last, t.Span.Last), latest(a.Until, t.Span.Until)
	m.apply(t, 1)
}

// apply adds a trace to what is known, or with the sign -1 takes it out. What has been forgotten meanwhile stays so.
func (m *Model) apply(t *trace, sign float64) {
	k := t.key()
	g := m.group(member{k.Who, t.Class})
	if a := m.actors[k]; a != nil {
		n := max(-a.Days, int(sign)*t.Days)
		a.Days += n
		m.present(k.Who, a.Class, presence{days: n})
		a.Visits = max(0, a.Visits+int(sign)*t.Visits)
		a.Weight = max(0, a.Weight+sign*t.Weight)
		shiftAll(&a.Features, &t.Features, sign)
		shift(a.Hours[:], t.Hours[:], sign)
		if t.Welcome != nil && a.Taught == (sign < 0) {
			g.Came[t.How][known(t.Kind)] = max(0, g.Came[t.How][known(t.Kind)]+sign*t.Welcome.Came)
			g.Found[t.How][known(t.Kind)] = max(0, g.Found[t.How][known(t.Kind)]+sign*t.Welcome.Found)
			g.Actors = max(0, g.Actors+int(sign))
			a.Taught = sign > 0
			m.present(k.Who, a.Class, presence{taught: int(sign)})
		}
	}
	shiftAll(&g.First, t.ClassFirst, sign)
	shiftAll(&g.Later, t.ClassLater, sign)
	shift(g.Hours[:], t.OfClass[:], sign)
	g.Past.shift(&t.Past, sign)
	if g.Strangers != nil {
		g.Strangers.shift(&t.Stranger, sign)
	}
}

func shift(into, by []float64, sign float64) {
	for i, w := range by {
		into[i] = settle(into[i] + sign*w)
	}
}

func shiftAll(into, by *[features]counter, sign float64) {
	if by == nil {
		return
	}
	for f := range by {
		for _, v := range by[f] {
			if sign > 0 {
				into[f].add(v.text, v.weight)
			} else {
				into[f].remove(v.text, v.weight)
			}
		}
	}
}

// settle is a weight that was taken out of, without what rounding leaves.
func settle(w float64) float64 {
	if w < 1e-9 {
		return 0
	}
	return w
}

// remove takes a value's weight back, and the value where nothing is left of it.
func (c *counter) remove(v text, w float64) {
	for i := range *c {
		if x := &(*c)[i]; x.text == v {
			if x.weight = settle(x.weight - w); x.weight == 0 {
				*c = slices.Delete(*c, i, i+1)
			}
			return
		}
	}
}

// known is a kind of parent, the usual one where it is unknown.
func known(kind int) int {
	if kind == unknown {
		return other
	}
	return kind
}

// welcomeOf is what an actor who came at since counts among those of the class.
func (m *Model) welcomeOf(since time.Time) *welcome {
	k := 1 - math.Exp(-days(m.age(since))/settled)
	return &welcome{Came: m.grown(since) * k, Found: 1 - k}
}

// traceOf is a trace with its alert's id.
type traceOf struct {
	Alert string `json:"alert"`
	Of    *trace `json:"of"`
}

// valid reports whether the trace's numbers are possible.
func (t *trace) valid() bool {
	return t != nil && t.Class < classes && usable(t.Weight) && t.Days >= 0 && t.Visits >= 0 &&
		t.How >= 0 && t.How < arrivals && t.Kind >= unknown && t.Kind < kinds &&
		(t.Welcome == nil || usable(t.Welcome.Came, t.Welcome.Found))
}

// scale multiplies all weights of a trace.
func (t *trace) scale(by float64) {
	t.Weight *= by
	for _, c := range []*[features]counter{&t.Features, t.ClassFirst, t.ClassLater} {
		if c == nil {
			continue
		}
		for f := range c {
			for i := range c[f] {
				c[f][i].weight *= by
			}
		}
	}
	t.Past.scale(by)
	t.Stranger.scale(by)
	for _, list := range [][]float64{t.Hours[:], t.OfClass[:]} {
		for i := range list {
			list[i] *= by
		}
	}
	if t.Welcome != nil {
		t.Welcome.Came *= by // what was found does not fade
	}
}
