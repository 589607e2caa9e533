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
	HalfLife  time.Duration // after how long something counts half as much. 0: 30 days
}

const day = 24 * time.Hour

// Model is what is known of the looks of one rule on one host. It belongs to one goroutine.
type Model struct {
	o        Options
	began    time.Time // the first look; zero: none yet
	unit     time.Time // what happens at it weighs 1
	actors   map[key]*actor
	accounts map[member]presence
	groups   [classes]group
	visits   map[key]*visit
	due      time.Time // no visit is over before
	evicted  uint64
}

// key tells whose looks belong together. A person is two actors, one on a terminal and one without, because a playbook that runs under somebody's login is not like them;
// an account without a login is one for each parent, so that nothing hides among the looks of an agent.
type key struct {
	Who Account
	Way text
}

// presence is what is known of an account, whatever its ways: its name, how many actors it is, and on how many days they looked, each way counted.
type presence struct {
	name       string
	ways, days int
}

// member is an account in a class.
type member struct {
	Account
	Class
}

func (l *Look) key() key {
	return key{l.Who, l.values[l.Class.ToldApart()]}
}

// actor is how an account looks in one way.
type actor struct {
	Class    Class             `json:"class"`
	Name     string            `json:"name,omitempty"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Days     int               `json:"days"`   // on how many days they looked
	Weight   float64           `json:"weight"` // the same, faded
	Visits   int               `json:"visits"`
	Features [features]counter `json:"features"`
	Hours    hours             `json:"hours"`
}

// group is a class of actors.
type group struct {
	// First counts what actors showed on their first visit, Later what was new to them on a later one: a newcomer is not like somebody known who tries something.
	First  [features]counter        `json:"first"`
	Later  [features]counter        `json:"later"`
	Hours  hours                    `json:"hours"`
	Actors int                      `json:"actors"`
	Came   [arrivals][kinds]float64 `json:"came"` // weight of those who came when the others were known, by the kind of their parent
	Once   int                      `json:"-"`    // accounts seen on one day only
	Past   past                     `json:"past"`
}

// hours is the weight of the visits in each hour of the day.
type hours [24]float64

// past is the weight of the visits of the past by their surprise.
type past [surpriseBins]float64

// visit is what an actor does without a pause.
type visit struct {
	Class   Class          `json:"class"`
	Start   time.Time      `json:"start"`
	Last    time.Time      `json:"last"`
	First   bool           `json:"first,omitempty"`  // the actor's first
	Capped  bool           `json:"capped,omitempty"` // it teaches nothing
	Parts   [Parts]float64 `json:"parts"`
	Sum     float64        `json:"sum"` // of the parts
	Alerted bool           `json:"alerted,omitempty"`
	Silent  time.Duration  `json:"silent,omitempty"` // how long the actor had not looked before
	unusual Look           // what the parts are about
	seen    sights         // what was counted
}

// sights are the values and hours that a visit has shown. Of a feature they are at most maxValues; what comes after them counts as shown.
type sights struct {
	values [features][]text
	hours  uint32 // a bit each
}

func (s *sights) has(f int, v text) bool {
	return len(s.values[f]) >= maxValues || slices.Contains(s.values[f], v)
}

func (s *sights) hasHour(hour int) bool { return s.hours&(1<<hour) != 0 }

// add reports whether the value was not there.
func (s *sights) add(f int, v text) bool {
	if s.has(f, v) {
		return false
	}
	s.values[f] = append(s.values[f], v)
	return true
}

func (s *sights) addHour(hour int) bool {
	was := s.hours
	s.hours |= 1 << hour
	return s.hours != was
}

// New makes a Model that has seen nothing.
func New(o Options) *Model {
	if o.HalfLife == 0 {
		o.HalfLife = halfLife
	}
	return &Model{o: o, actors: map[key]*actor{}, accounts: map[member]presence{}, visits: map[key]*visit{}}
}

// Actors returns how many actors are remembered.
func (m *Model) Actors() int { return len(m.actors) }

// Evicted returns how many actors were forgotten for want of room.
func (m *Model) Evicted() uint64 { return m.evicted }

// Age is for how long the model has learned at t.
func (m *Model) Age(t time.Time) time.Duration {
	if m.began.IsZero() {
		return 0
	}
	return max(0, t.Sub(m.began))
}

// Result is what the Model says of a Look.
type Result struct {
	Score    float64        // 0 to 100
	Yearly   float64        // how many visits a year are expected to be at least this unusual; infinite where nothing is known
	Parts    [Parts]float64 // what each part adds to the surprise, in nats
	Surprise float64        // their sum
	// Unusual is what the parts are about: of each the last value of the visit that added to it. Its Name is empty.
	Unusual Look
	New     bool // the actor was never seen
	First   bool // never before this visit
	// KnownElsewise: an actor who is New or First is of an account that was seen, a person on the other side of a terminal, another account by another parent.
	KnownElsewise bool
	Silent        time.Duration // how long the actor had not looked before this visit; 0 for a new one
	Days          float64       // how many days the model has learned
}

// Judge says how unusual a Look is by what is known, together with what the same visit showed before. It learns nothing.
func (m *Model) Judge(l *Look) Result {
	r := Result{Days: days(m.Age(l.At)), Unusual: *l}
	r.Unusual.Name = "" // a view into the event
	if m.began.IsZero() {
		r.Yearly, r.New, r.First = math.Inf(1), true, true
		return r
	}
	a, sibling, v := m.known(l), m.sibling(l), m.open(l)
	r.New, r.First = a == nil, a == nil
	switch {
	case v != nil:
		r.Parts, r.Unusual, r.First, r.Silent = v.Parts, v.unusual, v.First, v.Silent
	case a != nil:
		r.Silent = max(0, l.At.Sub(a.Last))
		m.arrival(l, a, &r)
	default:
		m.arrival(l, a, &r)
	}
	if r.First {
		ways := m.ways(l)
		r.KnownElsewise = ways > 1 || r.New && ways > 0
	}
	// What is usual excuses a visit when it begins, not what came before it: the account's owner may be at work beside the intruder.
	later := func(evidence float64) float64 {
		if v != nil {
			return max(0, evidence)
		}
		return evidence
	}
	fade := m.faded(l.At)
	for f := range features {
		if f == l.Class.ToldApart() || l.values[f] == untold || v != nil && v.seen.has(f, l.values[f]) {
			continue
		}
		if r.add(l.Class, f, later(m.evidence(l, a, sibling, f, fade))) {
			r.Unusual.values[f] = l.values[f]
		}
	}
	if v == nil || !v.seen.hasHour(l.Hour) {
		if r.add(l.Class, Hour, later(m.hour(l, a, sibling, fade))) {
			r.Unusual.Hour = l.Hour
		}
	}
	for p := range Parts {
		r.Surprise += r.Parts[p]
	}
	r.Yearly = 365 * m.rate(l.Class, r.Surprise, l.At)
	r.Score = Score(r.Yearly)
	return r
}

// ToldApart is the feature that tells the actors of an account apart, a part before Hour: what it says is in the arrival.
func (c Class) ToldApart() int {
	if c == Person {
		return TTY
	}
	return Parent
}

// add adds evidence to a part, weighted, and bounds it. It reports whether there is more of it now.
func (r *Result) add(c Class, part int, evidence float64) (more bool) {
	was := r.Parts[part]
	r.Parts[part] = min(most, max(least, was+weights[c][part]*evidence))
	return r.Parts[part] > was
}

func days(d time.Duration) float64 { return float64(d) / float64(day) }

// grown is the weight of something that happens at t, faded what undoes it at t. Both are finite and not 0, whatever a clock says; what is older than the unit counts as if it happened at it.
func (m *Model) grown(t time.Time) float64 {
	return math.Exp2(max(0, min(mostGrown, m.halfLives(t))))
}
func (m *Model) faded(t time.Time) float64 { return 1 / m.grown(t) }

// halfLives is how often weights have halved from unit to t.
func (m *Model) halfLives(t time.Time) float64 {
	return float64(t.Sub(m.unit)) / float64(m.o.HalfLife)
}

// SetHalfLife changes after how long something counts half as much (0: 30 days), from the last look on: what has faded until then stays as it is.
func (m *Model) SetHalfLife(d time.Duration) {
	d = cmp.Or(d, halfLife)
	if d == m.o.HalfLife {
		return
	}
	last := m.unit
	for _, a := range m.actors {
		last = latest(last, a.Last)
	}
	m.renew(last)
	m.o.HalfLife = d
}

// renew makes t the unit.
func (m *Model) renew(t time.Time) {
	fade := m.faded(t)
	counters := func(all *[features]counter) {
		for f := range all {
			for i := range all[f] {
				all[f][i].weight *= fade
			}
		}
	}
	scale := func(weights []float64) {
		for i := range weights {
			weights[i] *= fade
		}
	}
	for _, a := range m.actors {
		a.Weight *= fade
		counters(&a.Features)
		scale(a.Hours[:])
	}
	for i := range m.groups {
		g := &m.groups[i]
		counters(&g.First)
		counters(&g.Later)
		scale(g.Hours[:])
		scale(g.Past[:])
		for how := range g.Came {
			scale(g.Came[how][:])
		}
	}
	m.unit = t
}

// memory is how many days from from on are remembered at t, faded; 0 where t is before, as it is when a clock was set back.
func (m *Model) memory(from, t time.Time) float64 {
	return days(m.o.HalfLife) / math.Ln2 * (1 - math.Exp2(-max(0, float64(t.Sub(from)))/float64(m.o.HalfLife)))
}

// rate is how many visits a day are expected to surprise at least as much as s.
func (m *Model) rate(c Class, s float64, t time.Time) float64 {
	fade, like := m.faded(t), &hostsLike[c]
	sum := like.days * like.yearly / 365 * math.Exp(-max(0, s-like.from)/like.scale)
	past := &m.groups[c].Past
	// Those that surprised less speak for s, too, by a factor less with every bin between: summed from the lowest on, that takes no power for each.
	higher := max(0, min(surpriseBins, int((s-lowest)*binsPerNat+0.5))) // the first bin whose middle is not below s
	below, step := 0.0, math.Exp(-1./(binsPerNat*kernelScale))
	for _, w := range past[:higher] {
		below = below*step + w
	}
	if below != 0 {
		sum += below * fade * math.Exp(-max(0, s-surpriseOf(higher-1))/kernelScale)
	}
	for _, w := range past[higher:] {
		if w != 0 {
			sum += w * fade
		}
	}
	age := days(m.Age(t))
	experience := max(0, m.memory(m.began, t)-warmUp*(1-math.Exp(-age/warmUp)))
	return (sum/(experience+like.days) + bound*math.Exp(-s)/365) / like.share
}

// binOf and surpriseOf turn a surprise into its place among those of the past, and back.
func binOf(s float64) int      { return max(0, min(surpriseBins-1, int((s-lowest)*binsPerNat))) }
func surpriseOf(i int) float64 { return lowest + (float64(i)+0.5)/binsPerNat }

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

// known is the actor, nil where they were never seen.
func (m *Model) known(l *Look) *actor {
	a := m.actors[l.key()]
	if a != nil && renamed(a.Name, l.Name) {
		return nil
	}
	return a
}

// sibling is the same person's other way.
func (m *Model) sibling(l *Look) *actor {
	if l.Class != Person {
		return nil
	}
	way := terminal
	if l.values[TTY] == terminal {
		way = noTerminal
	}
	a := m.actors[key{l.Who, way}]
	if a != nil && renamed(a.Name, l.Name) {
		return nil
	}
	return a
}

// renamed reports whether an id has another name by now: it is somebody else's.
func renamed(was, is string) bool { return was != "" && is != "" && was != is }

// open is the visit that the look belongs to, nil when it begins one.
func (m *Model) open(l *Look) *visit {
	if v := m.visits[l.key()]; v != nil && !m.over(v, l.At) {
		return v
	}
	return nil
}

func (m *Model) over(v *visit, t time.Time) bool {
	return t.Sub(v.Last) > m.o.Idle || t.Sub(v.Start) > m.o.Longest
}

// Lesson says how much a look that Judge saw teaches.
type Lesson struct {
	Alerted bool // it became an alert, or belongs to one
	// Daily: the actor teaches once a day only, because they are on probation.
	Daily bool
}

// Learn takes a look into account that Judge gave r for.
func (m *Model) Learn(l *Look, r Result, lesson Lesson) {
	if m.began.IsZero() {
		m.began, m.unit = l.At, l.At
	}
	m.Advance(l.At)
	if m.halfLives(l.At) >= renewAt { // before the weights grow out of what a number holds: with a half-life of a day that takes more than a year
		m.renew(l.At)
	}
	w := m.grown(l.At)
	g := &m.groups[l.Class]
	k := l.key()
	if renamed(m.accounts[member{l.Who, l.Class}].name, l.Name) {
		m.leave(member{l.Who, l.Class})
	}
	a := m.actors[k]
	sameDay := a != nil && dayOf(a.Last) == dayOf(l.At)
	if a == nil {
		a = m.join(l, w)
	}
	if !sameDay {
		a.Weight += w
		a.Days++
		m.present(k.Who, l.Class, 0, 1)
	}
	v := m.visits[k]
	if v == nil {
		v = &visit{Class: l.Class, Start: l.At, First: a.Visits == 0, Silent: r.Silent, Capped: lesson.Daily && sameDay}
		m.visits[k] = v
		m.dueBy(v)
		a.Visits++
	}
	for f := range features {
		if l.values[f] == untold || !v.seen.add(f, l.values[f]) {
			continue
		}
		if !v.Capped && a.Features[f].add(l.values[f], w) {
			into := &g.Later[f]
			if v.First {
				into = &g.First[f]
			}
			into.add(l.values[f], w)
		}
	}
	if v.seen.addHour(l.Hour) && !v.Capped {
		a.Hours[l.Hour] += w
		g.Hours[l.Hour] += w
	}
	v.Parts, v.unusual, v.Sum, v.Alerted = r.Parts, r.Unusual, r.Surprise, v.Alerted || lesson.Alerted
	v.Last, a.Last = latest(v.Last, l.At), latest(a.Last, l.At)
	if a.Name == "" && l.Name != "" {
		a.Name = strings.Clone(l.Name)
		m.named(k.Who, a)
	}
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// join makes an actor known.
func (m *Model) join(l *Look, w float64) *actor {
	if len(m.actors) >= m.o.MaxActors {
		m.evict()
	}
	g := &m.groups[l.Class]
	kind := kindOf(l)
	if kind == unknown {
		kind = other
	}
	g.Came[m.arrives(l)][kind] += w * (1 - math.Exp(-days(m.Age(l.At))/settled))
	g.Actors++
	m.present(l.Who, l.Class, 1, 0)
	a := &actor{Class: l.Class, First: l.At, Name: strings.Clone(l.Name)}
	m.actors[l.key()] = a
	m.named(l.Who, a)
	return a
}

// named takes note of an account's name.
func (m *Model) named(who Account, a *actor) {
	k := member{who, a.Class}
	if p := m.accounts[k]; a.Name != "" && p.name != a.Name {
		p.name = a.Name
		m.accounts[k] = p
	}
}

// leave forgets all ways of an account, which is somebody else's from now on.
func (m *Model) leave(who member) {
	for k, a := range m.actors {
		if k.Who == who.Account && a.Class == who.Class {
			m.forget(k)
		}
	}
}

// evict forgets the actor who looked least recently, of several the first by name.
func (m *Model) evict() {
	var worst key
	var oldest *actor
	for k, a := range m.actors {
		if oldest == nil || cmp.Or(a.Last.Compare(oldest.Last), compare(k, worst)) < 0 {
			worst, oldest = k, a
		}
	}
	m.forget(worst)
	m.evicted++
}

// forget makes an actor unknown again.
func (m *Model) forget(k key) {
	a := m.actors[k]
	g := &m.groups[a.Class]
	g.Actors--
	m.present(k.Who, a.Class, -1, -a.Days)
	delete(m.actors, k)
	delete(m.visits, k)
}

// present changes what is known of an account.
func (m *Model) present(who Account, c Class, ways, days int) {
	k := member{who, c}
	p := m.accounts[k]
	if p.days == 1 {
		m.groups[c].Once--
	}
	p.ways += ways
	p.days += days
	if p.days == 1 {
		m.groups[c].Once++
	}
	if p.ways == 0 {
		delete(m.accounts, k)
		return
	}
	m.accounts[k] = p
}

// Forget makes an account unknown again, by its id or its name, and returns the ids that were known. What it taught about its class stays.
func (m *Model) Forget(idOrName string) (ids []string) {
	var which []key
	for k, a := range m.actors {
		if k.Who.ID.Value() == idOrName || a.Name == idOrName {
			which = append(which, k)
		}
	}
	for _, k := range which {
		m.forget(k)
		ids = append(ids, k.Who.ID.Value())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// ForgetUnless makes the actor of a look unknown again, unless they looked on so many days before, or within so long.
func (m *Model) ForgetUnless(l *Look, days int, within time.Duration) {
	if a := m.known(l); a != nil && a.Days < days && l.At.Sub(a.Last) > within {
		m.forget(l.key())
	}
}

// dueBy takes note of when a visit is over at the earliest.
func (m *Model) dueBy(v *visit) {
	end := v.Last.Add(m.o.Idle)
	if longest := v.Start.Add(m.o.Longest); longest.Before(end) {
		end = longest
	}
	if v.Last.IsZero() {
		end = v.Start
	}
	if m.due.IsZero() || end.Before(m.due) {
		m.due = end
	}
}

func compare(a, b key) int {
	return cmp.Or(cmp.Compare(a.Who.Container.Value(), b.Who.Container.Value()), cmp.Compare(a.Who.ID.Value(), b.Who.ID.Value()), cmp.Compare(a.Way.Value(), b.Way.Value()))
}

// Advance says that nothing more comes before t: the visits that are over by then become part of the past.
func (m *Model) Advance(t time.Time) {
	if !t.After(m.due) || len(m.visits) == 0 {
		return
	}
	var ended []key
	m.due = time.Time{}
	for k, v := range m.visits {
		if m.over(v, t) {
			ended = append(ended, k)
		} else {
			m.dueBy(v)
		}
	}
	slices.SortFunc(ended, func(a, b key) int { return cmp.Or(m.visits[a].Last.Compare(m.visits[b].Last), compare(a, b)) })
	for _, k := range ended {
		v := m.visits[k]
		delete(m.visits, k)
		w := m.grown(v.Last) * (1 - math.Exp(-days(m.Age(v.Last))/warmUp))
		if v.Alerted {
			w *= alertedWeight
		}
		m.groups[v.Class].Past[binOf(v.Sum)] += w
	}
}
