// SPDX-License-Identifier: Apache-2.0

package context

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Options shape a Model.
type Options struct {
	Idle      time.Duration // a visit ends after this long without a look
	Longest   time.Duration // and after this long at the latest
	MaxActors int           // how many actors are remembered; the one who looked least recently is forgotten first
}

const (
	day = 24 * time.Hour
	// halfLife is after how long something counts half as much.
	halfLife = 30 * day
	// prior is how many days of a host like others every model begins with.
	prior = 30
	// warmUp is how a young model's visits count: by 1-exp(-age/warmUp), because at first everything is new.
	warmUp = 7
	// settled is after how many days an actor who was never seen is a newcomer, by the same law, and not one who had not looked yet.
	settled = 14
	// alertedWeight is what a visit that alerted counts for among the visits of the past: it may have been an intruder's.
	alertedWeight = 0.4

	// strength and discount are the parameters of the Pitman-Yor process by which a feature's values are expected (Teh 2006, "A hierarchical Bayesian language model based
	// on Pitman-Yor processes", section 3).
	strength = 0.5
	discount = 0.3
	// hourStrength is how many visits the class's hours are worth against the actor's own.
	hourStrength = 3
	// quietFrom is the shortest silence that may surprise.
	quietFrom = 2 * day

	// priorScale is how fast a prior host's visits become fewer with their surprise, kernelScale how far a visit of the past speaks for somewhat greater ones.
	priorScale  = 1.6
	kernelScale = 0.7

	// binsPerNat and surpriseBins are the resolution and the range in which surprises of the past are kept.
	binsPerNat   = 4
	surpriseBins = 160

	maxValues = 64 // of one feature of one actor or class; the lightest is forgotten first
	gapBins   = 12
)

// priorVisits is how many visits a day a host like others has, and priorNewcomers how many newcomers, by class.
var (
	priorVisits    = [classes]float64{Person: 1, Service: 0.3, Root: 0.5}
	priorNewcomers = [classes]float64{Person: 1. / 60, Service: 1. / 300, Root: 1. / 100}
)

// weights say how much a part counts. The features depend on each other (who uses sudo acts as root, has sudo as the parent, and a terminal), so their weights are less
// than one; a service has no hours, and a machine that was off is silent.
var weights = [classes][Parts]float64{
	Person:  {As: 0.4, Parent: 1, Starter: 0, TTY: 0.8, Entry: 0.7, Network: 0.5, NetworkWide: 0.5, Command: 0.3, Folder: 0.3, Week: 0.4, Hour: 0.9, Silence: 0.8, Newness: 1},
	Service: {As: 0.5, Parent: 1, Starter: 0.7, TTY: 1, Entry: 0.7, Network: 0.5, NetworkWide: 0.5, Command: 0.5, Folder: 0.5, Week: 0.2, Hour: 0.4, Silence: 0.4, Newness: 1},
	Root:    {As: 0.5, Parent: 1, Starter: 0.7, TTY: 1, Entry: 0.7, Network: 0.5, NetworkWide: 0.5, Command: 0.5, Folder: 0.5, Week: 0.2, Hour: 0.4, Silence: 0.3, Newness: 1},
}

// Model is what is known of the looks of one rule on one host. It belongs to one goroutine.
type Model struct {
	o       Options
	began   time.Time // the first look; zero: none yet
	actors  map[string]*actor
	groups  [classes]group
	visits  map[string]*visit
	evicted uint64
}

// All weights grow with time instead of fading (a look at t adds 2^(t/halfLife)), so that nothing is to be done as time passes; faded turns them back.

// profile is how an actor, or a class of them, looks.
type profile struct {
	Features [features]counter `json:"features"`
	Hours    [24]float64       `json:"hours"`
	HoursAll float64           `json:"hours_all"`
	Gaps     [gapBins]float64  `json:"gaps"` // how often a silence was of this length
	GapsAll  float64           `json:"gaps_all"`
}

// counter counts the values of one feature, in how many visits each was seen.
type counter struct {
	All    float64 `json:"all"`
	Values []value `json:"values,omitempty"`
}

type value struct {
	Text   string  `json:"v"`
	Weight float64 `json:"w"`
}

type actor struct {
	profile
	Class Class     `json:"class"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Days  int       `json:"days"` // on how many days they looked
}

// group is a class of actors.
type group struct {
	profile
	Newcomers float64               `json:"newcomers"` // weight of the actors who came when the others were known
	Once      int                   `json:"once"`      // actors seen on one day only
	Past      [surpriseBins]float64 `json:"past"`      // weight of the visits of the past by their surprise
}

// visit is what an actor does without a pause; of a service, what it does by one parent.
type visit struct {
	Class   Class           `json:"class"`
	Start   time.Time       `json:"start"`
	Last    time.Time       `json:"last"`
	Parts   [Parts]float64  `json:"parts"`
	Sum     float64         `json:"sum"`
	Hours   [24]bool        `json:"hours"`
	Alerted bool            `json:"alerted,omitempty"`
	Seen    map[uint32]bool `json:"seen"` // the values that were counted: feature and place
}

// New makes a Model that has seen nothing.
func New(o Options) *Model {
	return &Model{o: o, actors: map[string]*actor{}, visits: map[string]*visit{}}
}

// Actors returns how many actors are remembered.
func (m *Model) Actors() int { return len(m.actors) }

// Evicted returns how many actors were forgotten for want of room.
func (m *Model) Evicted() uint64 { return m.evicted }

// Result is what the Model says of a Look.
type Result struct {
	Score    float64        // 0 to 100
	Yearly   float64        // how many visits a year are expected to be at least this unusual
	Parts    [Parts]float64 // what each part adds to the surprise, in nats
	Surprise float64        // their sum
	New      bool           // the actor was never seen
	Silent   time.Duration  // how long the actor has not looked; 0 for a new one
	Days     float64        // how many days the model has learned
}

// Judge says how unusual a Look is by what is known, together with what the same visit showed before. It learns nothing.
func (m *Model) Judge(l *Look) Result {
	if m.began.IsZero() {
		return Result{Yearly: math.Inf(1), New: true}
	}
	fade := m.faded(l.At)
	g := &m.groups[l.Class]
	a := m.actors[l.Actor]
	r := Result{New: a == nil, Days: days(l.At.Sub(m.began))}
	var own profile
	if a != nil {
		own = a.profile
		r.Silent = max(0, l.At.Sub(a.Last))
		r.Parts[Silence] = surprise(silent(&own, &g.profile, r.Silent))
	} else {
		r.Parts[Newness] = surprise(m.newcomer(l.Class, l.At))
	}
	for f := range features {
		r.Parts[f] = surprise(unlikely(&own.Features[f], &g.Features[f], l.Values[f], fade))
	}
	r.Parts[Hour] = surprise(hour(&own, &g.profile, l.Hour, fade))
	v := m.open(l)
	for p := range Parts {
		r.Parts[p] *= weights[l.Class][p]
		if v != nil {
			r.Parts[p] = max(r.Parts[p], v.Parts[p])
		}
		r.Surprise += r.Parts[p]
	}
	r.Yearly = 365 * m.rate(l.Class, r.Surprise, l.At)
	r.Score = Score(r.Yearly)
	return r
}

// surprise is the information in something of probability p, in nats.
func surprise(p float64) float64 { return -math.Log(min(1, max(p, 1e-12))) }

func days(d time.Duration) float64 { return float64(d) / float64(day) }

// grown is the weight of something that happens at t, faded what undoes it at t.
func (m *Model) grown(t time.Time) float64 {
	return math.Exp2(float64(t.Sub(m.began)) / float64(halfLife))
}
func (m *Model) faded(t time.Time) float64 { return 1 / m.grown(t) }

// experience is how many days the model has seen at t, faded.
func (m *Model) experience(t time.Time) float64 {
	return days(halfLife) / math.Ln2 * (1 - m.faded(t))
}

// newcomer is the probability that somebody of the class who was never seen looks on a day: by the newcomers of the past, and by those who were seen once only: where there are many
// of these there are many who have not looked yet (Good 1953, "The population frequencies of species").
func (m *Model) newcomer(c Class, t time.Time) float64 {
	g := &m.groups[c]
	rate := (g.Newcomers*m.faded(t) + priorNewcomers[c]*prior) / (m.experience(t) + prior)
	return min(1, max(rate, float64(g.Once)/max(1, days(t.Sub(m.began)))))
}

// unlikely is the probability that an actor shows a value of a feature that is as unlikely as v, given how much novelty he, and his class, are used to.
func unlikely(own, class *counter, v string, fade float64) float64 {
	ownAll, classAll := own.All*fade, class.All*fade
	ownNew := min(1, (strength+discount*own.distinct(fade))/(ownAll+strength))
	classNew := min(1, (strength+discount*class.distinct(fade))/(classAll+strength))
	p := func(v string) float64 {
		return max(0, own.weight(v)*fade-discount)/(ownAll+strength) + ownNew*max(0, class.weight(v)*fade-discount)/(classAll+strength)
	}
	this, sum := p(v), ownNew*classNew
	for i := range class.Values {
		if q := p(class.Values[i].Text); q <= this {
			sum += q
		}
	}
	for i := range own.Values {
		if text := own.Values[i].Text; class.place(text) < 0 { // the class has forgotten it
			if q := p(text); q <= this {
				sum += q
			}
		}
	}
	return sum
}

// hour is the probability of an hour of the day as unlikely as h.
func hour(own, class *profile, h int, fade float64) float64 {
	p := func(h int) float64 {
		c := (around(&class.Hours, h)*fade + hourStrength/24.) / (class.HoursAll*fade + hourStrength)
		return (around(&own.Hours, h)*fade + hourStrength*c) / (own.HoursAll*fade + hourStrength)
	}
	this, sum := p(h), 0.0
	for i := range 24 {
		if q := p(i); q <= this*(1+1e-9) {
			sum += q
		}
	}
	return sum
}

// around is an hour together with a share of its neighbours: nobody keeps to the minute.
func around(hours *[24]float64, h int) float64 {
	return 0.5*hours[h] + 0.25*hours[(h+1)%24] + 0.25*hours[(h+23)%24]
}

// silent is the probability of a silence at least as long as d.
func silent(own, class *profile, d time.Duration) float64 {
	if d < quietFrom {
		return 1
	}
	var o, c float64
	for i := gapBin(d); i < gapBins; i++ {
		o += own.Gaps[i]
		c += class.Gaps[i]
	}
	return (o + (c+0.5)/(class.GapsAll+1)) / (own.GapsAll + 1)
}

func gapBin(d time.Duration) int {
	if d < day {
		return 0
	}
	return min(gapBins-1, 1+int(1.5*math.Log2(days(d))))
}

// rate is how many visits a day are expected to surprise at least as much as s.
func (m *Model) rate(c Class, s float64, t time.Time) float64 {
	fade := m.faded(t)
	sum := prior * priorVisits[c] * math.Exp(-s/priorScale)
	past := &m.groups[c].Past
	for i := range past {
		if past[i] == 0 {
			continue
		}
		at := (float64(i) + 0.5) / binsPerNat
		sum += past[i] * fade * math.Exp(-max(0, s-at)/kernelScale)
	}
	age := days(t.Sub(m.began))
	experience := max(0, m.experience(t)-warmUp*(1-math.Exp(-age/warmUp)))
	return float64(classes-1) * sum / (experience + prior) // the classes share the alerts of a year
}

// Score turns a number of visits a year into a score: 365 are 0, 3 are 25, 1 is 50, 0.3 are 75, 0.1 are 90, with logarithms in between.
func Score(yearly float64) float64 {
	points := [...]struct{ yearly, score float64 }{{365, 0}, {3, 25}, {1, 50}, {0.3, 75}, {0.1, 90}, {0.001, 100}}
	if yearly >= points[0].yearly {
		return 0
	}
	for i := 1; i < len(points); i++ {
		if a, b := points[i-1], points[i]; yearly >= b.yearly {
			return a.score + (b.score-a.score)*math.Log(a.yearly/yearly)/math.Log(a.yearly/b.yearly)
		}
	}
	return 100
}

// visitKey tells visits apart: a person's are one, whatever shell they use; a service's are told by their parents, so that nothing hides among the looks of an agent.
func visitKey(l *Look) string {
	if l.Class == Person {
		return l.Actor
	}
	return l.Actor + "\x00" + l.Values[Parent]
}

// open is the visit that the look belongs to, nil when it begins one.
func (m *Model) open(l *Look) *visit {
	if v := m.visits[visitKey(l)]; v != nil && !m.over(v, l.At) {
		return v
	}
	return nil
}

func (m *Model) over(v *visit, t time.Time) bool {
	return t.Sub(v.Last) > m.o.Idle || t.Sub(v.Start) > m.o.Longest
}

// Learn takes a look into account that Judge gave r for. alerted says that it became an alert.
func (m *Model) Learn(l *Look, r Result, alerted bool) {
	if m.began.IsZero() {
		m.began = l.At
	}
	m.Advance(l.At)
	w := m.grown(l.At)
	g := &m.groups[l.Class]
	a := m.actor(l)
	key := visitKey(l)
	v := m.visits[key]
	if v == nil {
		v = &visit{Class: l.Class, Start: l.At, Seen: map[uint32]bool{}}
		m.visits[strings.Clone(key)] = v
		if gap := l.At.Sub(a.Last); !a.Last.IsZero() && gap >= 0 {
			for _, p := range []*profile{&a.profile, &g.profile} {
				p.Gaps[gapBin(gap)]++
				p.GapsAll++
			}
		}
	}
	for f := range features {
		own := &a.Features[f]
		place, isNew := own.put(l.Values[f], w)
		if isNew {
			g.Features[f].add(l.Values[f], w)
		}
		if id := uint32(f)<<16 | uint32(place); !v.Seen[id] {
			v.Seen[id] = true
			own.Values[place].Weight += w
			own.All += w
		}
	}
	if !v.Hours[l.Hour] {
		v.Hours[l.Hour] = true
		for _, p := range []*profile{&a.profile, &g.profile} {
			p.Hours[l.Hour] += w
			p.HoursAll += w
		}
	}
	v.Parts, v.Sum, v.Alerted = r.Parts, max(v.Sum, r.Surprise), v.Alerted || alerted
	v.Last, a.Last = later(v.Last, l.At), later(a.Last, l.At)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// actor returns who looks, as a newcomer where they were never seen, and counts the days.
func (m *Model) actor(l *Look) *actor {
	g := &m.groups[l.Class]
	a := m.actors[l.Actor]
	if a == nil {
		if len(m.actors) >= m.o.MaxActors {
			m.evict()
		}
		a = &actor{Class: l.Class, First: l.At}
		m.actors[strings.Clone(l.Actor)] = a
		g.Newcomers += m.grown(l.At) * (1 - math.Exp(-days(l.At.Sub(m.began))/settled))
	}
	if a.Last.IsZero() || l.At.Unix()/86400 != a.Last.Unix()/86400 {
		switch a.Days++; a.Days {
		case 1:
			m.groups[a.Class].Once++
		case 2:
			m.groups[a.Class].Once--
		}
	}
	return a
}

// evict forgets the actor who looked least recently, of several the first by name.
func (m *Model) evict() {
	var worst string
	var oldest *actor
	for name, a := range m.actors {
		if oldest == nil || a.Last.Before(oldest.Last) || a.Last.Equal(oldest.Last) && name < worst {
			worst, oldest = name, a
		}
	}
	if oldest.Days == 1 {
		m.groups[oldest.Class].Once--
	}
	delete(m.actors, worst)
	m.evicted++
}

// Advance says that nothing more comes before t: the visits that are over by then become part of the past.
func (m *Model) Advance(t time.Time) {
	var ended []string
	for key, v := range m.visits {
		if m.over(v, t) {
			ended = append(ended, key)
		}
	}
	slices.SortFunc(ended, func(a, b string) int {
		return cmp.Or(m.visits[a].Last.Compare(m.visits[b].Last), cmp.Compare(a, b))
	})
	for _, key := range ended {
		v := m.visits[key]
		delete(m.visits, key)
		w := m.grown(v.Last) * (1 - math.Exp(-days(v.Last.Sub(m.began))/warmUp))
		if v.Alerted {
			w *= alertedWeight
		}
		m.groups[v.Class].Past[min(surpriseBins-1, int(v.Sum*binsPerNat))] += w
	}
}

// distinct is how many values there are, those that have faded for a part only.
func (c *counter) distinct(fade float64) (n float64) {
	for i := range c.Values {
		n += min(1, c.Values[i].Weight*fade)
	}
	return n
}

func (c *counter) place(v string) int {
	return slices.IndexFunc(c.Values, func(x value) bool { return x.Text == v })
}

func (c *counter) weight(v string) float64 {
	if i := c.place(v); i >= 0 {
		return c.Values[i].Weight
	}
	return 0
}

// put returns the place of a value, made where it is new, or has all but faded.
func (c *counter) put(v string, w float64) (place int, isNew bool) {
	if i := c.place(v); i >= 0 {
		return i, c.Values[i].Weight < 0.05*w
	}
	if len(c.Values) < maxValues {
		c.Values = append(c.Values, value{Text: strings.Clone(v)})
		return len(c.Values) - 1, true
	}
	lightest := 0
	for i := range c.Values {
		if c.Values[i].Weight < c.Values[lightest].Weight {
			lightest = i
		}
	}
	c.All -= c.Values[lightest].Weight
	c.Values[lightest] = value{Text: strings.Clone(v)}
	return lightest, true
}

func (c *counter) add(v string, w float64) {
	i, _ := c.put(v, w)
	c.Values[i].Weight += w
	c.All += w
}
