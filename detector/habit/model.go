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

// Options shape a Model.
type Options struct {
	Idle      time.Duration // a visit ends after this long without a match
	Longest   time.Duration // and after this long at the latest
	MaxActors int           // how many actors are remembered; the one who looked least recently is forgotten first
	HalfLife  time.Duration // after how long something counts half as much. 0: 30 days
}

const day = 24 * time.Hour

// Model is what is known of the matches of one rule on one host. It belongs to one goroutine.
type Model struct {
	o        Options
	watched  watched
	unit     time.Time // what happens at it weighs 1; watched time, as all times that are not said to be the clock's
	actors   map[key]*actor
	accounts map[member]presence
	groups   [classes]group // of those outside of containers
	// contained are the groups of those in containers, whose root and services are no measure for the host's.
	contained [classes]group
	visits    map[key]*visit
	due       time.Time         // no visit is over before
	traces    map[string]*trace // by the ids of alerts
	evicted   uint64
}

// key says whose matches belong together. A person is two actors, one on a terminal and one without, because a playbook
// that runs under somebody's login is not like them; an account without a login is one for each parent, and one for the
// same parent under cron, so that nothing hides among the matches of an agent or a job.
type key struct {
	Who Account
	Way text
}

// presence is what is known of an account, whatever its ways: its name, how many actors it is, on how many days they
// looked, each way counted, and how many of the actors have taught their class.
type presence struct {
	name               string
	ways, days, taught int
}

// group is the one whose actors an account's are held against.
func (m *Model) group(of member) *group {
	if of.Container == nothing {
		return &m.groups[of.Class]
	}
	return &m.contained[of.Class]
}

// once reports whether an account of the class was seen on one day only.
func (p presence) once() bool { return p.taught > 0 && p.days == 1 }

// member is an account in a class.
type member struct {
	Account
	Class
}

func (l *Match) member() member { return member{l.Who, l.Class} }

func (l *Match) key() key {
	return key{l.Who, l.values[l.Class.SplitBy()]}
}

// actor is how an account looks in one way.
type actor struct {
	Class    Class             `json:"class"`
	Name     string            `json:"name,omitempty"`
	First    time.Time         `json:"first"`  // the clock's
	Last     time.Time         `json:"last"`   // the clock's
	Since    time.Time         `json:"since"`  // First, in watched time
	Until    time.Time         `json:"until"`  // Last, in watched time
	Days     int               `json:"days"`   // on how many days they looked
	Weight   float64           `json:"weight"` // the same, faded
	Visits   int               `json:"visits"`
	Features [features]counter `json:"features"`
	Hours    hours             `json:"hours"`
	// Taught: the class has learned from the actor. It does so when a visit is over that raised no alert, or when what
	// did has become a habit.
	Taught bool `json:"taught,omitempty"`
}

// group is a class of actors.
type group struct {
	// First counts what actors showed on their first visit, Later what was new to them on a later one: a newcomer is
	// not like somebody known who tries something.
	First  [features]counter        `json:"first"`
	Later  [features]counter        `json:"later"`
	Hours  hours                    `json:"hours"`
	Actors int                      `json:"-"`     // who have taught it
	Came   [arrivals][kinds]float64 `json:"came"`  // weight of those who came after the others, by their parent's kind
	Found  [arrivals][kinds]float64 `json:"found"` // and of those who came before that; it does not fade
	Once   int                      `json:"-"`     // accounts seen on one day only
	Past   past                     `json:"past"`  // of all visits but those of strangers
	// Strangers is the same of people whose account had never been seen; nil of other classes, and of people in what an
	// older reconbeat wrote.
	Strangers *past `json:"strangers,omitempty"`
}

// hours is the weight of the visits in each hour of the day.
type hours [24]float64

// past is the weight of the visits of the past by their surprise.
type past struct {
	weights [surpriseBins]float64
	last    split
}

// split is what the past holds on both sides of a bin.
type split struct {
	at      int     // the bin
	known   bool    // the rest belongs to it
	below   float64 // what the visits that surprised less speak for the bin before it
	highest int     // no visit surprised by this bin or more
}

// add counts a visit.
func (p *past) add(s, w float64) {
	p.weights[binOf(s)] += w
	p.last = split{}
}

// scale makes all visits weigh by so much more.
func (p *past) scale(by float64) {
	for i := range p.weights {
		p.weights[i] *= by
	}
	p.last = split{}
}

// shift adds another past, or with the sign -1 takes it out.
func (p *past) shift(by *past, sign float64) {
	shift(p.weights[:], by.weights[:], sign)
	p.last = split{}
}

// splitAt remembers its last answer, because repeated matches ask the same until a visit ends.
func (p *past) splitAt(at int) split {
	if p.last.known && p.last.at == at {
		return p.last
	}
	s := split{at: at, known: true, highest: surpriseBins}
	// Summed from the lowest on, that takes no power for each.
	for _, w := range p.weights[:at] {
		s.below = s.below*binStep + w
	}
	for s.highest > at && p.weights[s.highest-1] == 0 {
		s.highest--
	}
	p.last = s
	return s
}

// visit is what an actor does without a pause.
type visit struct {
	Class   Class          `json:"class"`
	Opened  time.Time      `json:"opened"` // the clock's
	Start   time.Time      `json:"start"`
	Last    time.Time      `json:"last"`
	First   bool           `json:"first,omitempty"`  // the actor's first
	Capped  bool           `json:"capped,omitempty"` // it teaches nothing
	Parts   [Parts]float64 `json:"-"`
	Sum     float64        `json:"sum"` // of the parts
	Alerted bool           `json:"alerted,omitempty"`
	Silent  time.Duration  `json:"silent,omitempty"` // how long the actor had not looked before
	// Of the actor's first visit: how and by which kind of parent they came.
	How  int `json:"how,omitempty"`
	Kind int `json:"kind,omitempty"`
	// What was known of the actor before: on how many days they had looked, and, by the clock, when last.
	DaysBefore int       `json:"days_before,omitempty"`
	Before     time.Time `json:"before,omitzero"`
	Lapsed     time.Time `json:"lapsed,omitzero"`   // when they had last looked who were forgotten then
	Matches    int       `json:"looks"`             // how many there were
	Lines      []Line    `json:"lines,omitempty"`   // the first distinct command lines, at most maxLines
	Alert      string    `json:"alert,omitempty"`   // whose trace has what the visit teaches; empty: none
	Weight     float64   `json:"weight,omitempty"`  // that it added to the actor's days
	Days       int       `json:"days,omitempty"`    // and how many
	Against    int       `json:"against,omitempty"` // how many programs of its sessions speak against the actor
	actor      *actor    // whose it is
	unusual    Match     // what the parts are about
	seen       sights    // what was counted
}

// ofStranger reports whether it is the first visit of a person whose account had never been seen.
func (v *visit) ofStranger() bool { return v.Class == Person && v.First && v.How == newAccount }

// Line is a command line of a visit and how often it was.
type Line struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// maxLines is how many distinct command lines a visit remembers.
const maxLines = 20

// note counts a match and its command line.
func (v *visit) note(l *Match) {
	v.Matches++
	for i := range v.Lines {
		if l.says(v.Lines[i].Text) {
			v.Lines[i].Count++
			return
		}
	}
	if len(v.Lines) < maxLines {
		v.Lines = append(v.Lines, Line{l.Line(), 1})
	}
}

// sights are the values and hours that a visit has shown. Of a feature they are at most maxValues; what comes after
// them counts as shown.
type sights struct {
	values [features][]sight
	hours  uint32 // a bit each
}

// sight is a value that a visit has shown.
type sight struct {
	text   text
	weight float64 // that it added to what is known of the actor; 0: it taught nothing
	novel  bool    // it was new to the actor
}

func (s *sights) has(f int, v text) bool {
	return len(s.values[f]) >= maxValues || s.of(f, v) != nil
}

// of is the sight of a value, nil where the visit has not shown it.
func (s *sights) of(f int, v text) *sight {
	for i := range s.values[f] {
		if x := &s.values[f][i]; x.text == v {
			return x
		}
	}
	return nil
}

// all reports whether the visit has shown everything that the match shows.
func (s *sights) all(l *Match) bool {
	if l.company.later() {
		return s.met(&l.company)
	}
	for f, v := range l.values {
		if v != noEvidence && !s.has(f, v) {
			return false
		}
	}
	return s.hasHour(l.Hour) && s.met(&l.company)
}

// met reports whether the visit has shown all of a company.
func (s *sights) met(c *Company) bool {
	for i := range c.most() {
		if v, is := c.program(i); is && !s.has(Session, v) {
			return false
		}
	}
	return true
}

func (s *sights) hasHour(hour int) bool { return s.hours&(1<<hour) != 0 }

// add reports whether the value was not there.
func (s *sights) add(f int, v text) bool {
	if s.has(f, v) {
		return false
	}
	s.values[f] = append(s.values[f], sight{text: v})
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
	m := &Model{o: o, actors: map[key]*actor{}, accounts: map[member]presence{}, visits: map[key]*visit{}}
	m.groups[Person].Strangers, m.contained[Person].Strangers = new(past), new(past)
	return m
}

// Actors returns how many actors are remembered.
func (m *Model) Actors() int { return len(m.actors) }

// Evicted returns how many actors were forgotten for want of room.
func (m *Model) Evicted() uint64 { return m.evicted }

// Watch says that the host is watched, and that its clock says t. It is to be called for whatever happens there,
// matched or not.
func (m *Model) Watch(t time.Time) {
	if m.watched.Began.IsZero() {
		m.unit = t
	}
	m.watched.observe(t)
}

// Stop says that nothing is watched from now on until the next Watch, Learn or Advance.
func (m *Model) Stop() { m.watched.Stopped = !m.watched.Began.IsZero() }

// Began is what the host's clock said when watching began; zero: it has not.
func (m *Model) Began() time.Time { return m.watched.Began }

// Age is for how long the host was watched when its clock says t.
func (m *Model) Age(t time.Time) time.Duration {
	if m.watched.Began.IsZero() {
		return 0
	}
	return m.age(m.watched.at(t))
}

func (m *Model) age(now time.Time) time.Duration { return max(0, now.Sub(m.watched.Began)) }

// Result is what the Model says of a Match.
type Result struct {
	Score    float64        // 0 to 100
	Yearly   float64        // how many visits a year are expected to be at least this unusual; +Inf: nothing is known
	Parts    [Parts]float64 // what each part adds to the surprise, in nats
	Surprise float64        // their sum
	// Unusual is what the parts are about: of each the last value of the visit that added to it. Its Name is empty.
	Unusual Match
	New     bool // the actor was never seen
	First   bool // never before this visit
	// KnownElsewise: the account of an actor who is New or First was seen before: a person on the other side of a
	// terminal, another account by another parent.
	KnownElsewise bool
	Silent        time.Duration // how long the actor had not looked before this visit; 0 for a new one
	Lapsed        time.Time     // when an actor had last looked whom ForgetUnless forgot; zero: it was none such
	Days          float64       // for how many days the host has been watched
	Visit         Visit         // that the match belongs to, as far as it had come before
	repeats       bool          // the visit has shown everything that the match shows
	against       int           // how many programs of the session speak against the actor
}

// Visit is what an actor did without a pause until now.
type Visit struct {
	Variant string    // which of the account's actors it is: its value of SplitBy
	Opened  time.Time // when it began, by the clock
	Matches int       // how many there were
	Lines   []Line    // the first distinct command lines, a view into the Model
}

// Judge says how unusual a Match is by what is known, together with what the same visit showed before. It learns
// nothing.
func (m *Model) Judge(l *Match) Result {
	now := m.watched.at(l.At)
	r := Result{Unusual: *l, Lapsed: l.lapsed, Visit: Visit{Variant: l.Value(l.Class.SplitBy()), Opened: l.At}}
	r.Unusual.line, r.Unusual.args, r.Unusual.company = "", nil, Company{}
	r.Unusual.Name = "" // a view into the event
	if m.watched.Began.IsZero() {
		r.Yearly, r.New, r.First = math.Inf(1), true, true
		return r
	}
	r.Days = days(m.age(now))
	v := m.open(l, now)
	a := m.knownBy(l, v)
	r.New, r.First = a == nil, a == nil
	switch {
	case v != nil:
		r.Parts, r.Unusual, r.First, r.Silent, r.against = v.Parts, v.unusual, v.First, v.Silent, v.Against
		r.Visit.Opened, r.Visit.Matches, r.Visit.Lines = v.Opened, v.Matches, v.Lines
		r.Lapsed = v.Lapsed
	case a != nil:
		r.Silent = max(0, now.Sub(a.Until))
		m.arrival(l, a, now, &r)
	default:
		m.arrival(l, a, now, &r)
	}
	if r.First {
		ways := m.ways(l)
		r.KnownElsewise = ways > 1 || r.New && ways > 0
	}
	stranger := l.Class == Person && r.New && m.arrives(l) == newAccount
	if v != nil {
		stranger = v.ofStranger()
	}
	fade := m.faded(now)
	if r.repeats = v != nil && v.seen.all(l); !r.repeats {
		m.weigh(l, a, v, stranger, fade, &r)
	}
	r.Surprise = r.sum()
	r.Yearly = 365 * m.rate(l.member(), r.First, stranger, r.Surprise, now, fade)
	r.Score = Score(r.Yearly)
	return r
}

// weigh adds to r what the match shows that its visit v, nil where it begins one, has not shown.
func (m *Model) weigh(l *Match, a *actor, v *visit, stranger bool, fade float64, r *Result) {
	m.weighCompany(l, v, r)
	if l.company.later() {
		return // all else has been weighed when the match came
	}
	// What is usual excuses a visit when it begins, not what came before it: the account's owner may be at work beside
	// the intruder.
	later := func(evidence float64) float64 {
		if v != nil {
			return max(0, evidence)
		}
		return evidence
	}
	sibling := m.sibling(l)
	if r.First && m.group(l.member()).Actors < alone {
		a = nil // what they showed some moments ago is not a habit
	}
	for f := range features {
		if f == l.Class.SplitBy() && !stranger || l.values[f] == noEvidence || v != nil && v.seen.has(f, l.values[f]) {
			continue
		}
		if (f == Origin || f == SystemLogin) && !r.First {
			continue // their own networks say more, and what account they have is known
		}
		evidence := m.evidence(l, a, sibling, f, fade)
		if f == Origin { // it stands in for what the networks of those who are known would say
			evidence *= strangers / (strangers + float64(m.group(l.member()).Actors))
		}
		if r.add(l.Class, f, later(evidence)) {
			r.Unusual.values[f] = l.values[f]
		}
	}
	if v == nil || !v.seen.hasHour(l.Hour) {
		// A visit is charged for one hour, the strangest: who works through the night has come at night once.
		if e := weights[l.Class][Hour] * m.hour(l, a, sibling, fade); v == nil || e > r.Parts[Hour] {
			r.Parts[Hour] = min(most, max(least, e))
			r.Unusual.Hour = l.Hour
		}
	}
}

// weighCompany adds to r what the session of the match shows that its visit v has not shown. What is usual excuses a
// visit when it begins, within the bound of a part, and takes nothing from what is not.
func (m *Model) weighCompany(l *Match, v *visit, r *Result) {
	weight := weights[l.Class][Session]
	if weight == 0 {
		return
	}
	var against, usual float64
	for i := range l.company.most() {
		program, is := l.company.program(i)
		if !is || v != nil && v.seen.has(Session, program) {
			continue
		}
		e := weight * l.company.evidence(program)
		if e <= 0 {
			usual += e
			continue
		}
		e /= 1 + burst*float64(r.against)
		r.against++
		against += e
		r.Unusual.add(unlike{program, e})
	}
	if v != nil {
		usual = 0
	}
	r.Parts[Session] = min(most, r.Parts[Session]+against+max(least, usual))
}

// sum is the surprise that the parts make together. A disguise is deliberate: what is usual beside it does not excuse
// it.
func (r *Result) sum() (sum float64) {
	for p, v := range r.Parts {
		if p != Disguise {
			sum += v
		}
	}
	if r.Parts[Disguise] >= WorthNaming {
		sum = max(sum, 0)
	}
	return sum + r.Parts[Disguise]
}

// SplitBy is the feature that splits an account into its actors, a part before Hour: what it says is in the
// arrival.
func (c Class) SplitBy() int {
	if c == Person {
		return TTY
	}
	return Parent
}

// add adds evidence to a part, weighted, and bounds it. It reports whether it spoke against the actor, also where the
// part can grow no more.
func (r *Result) add(c Class, part int, evidence float64) (against bool) {
	added := weights[c][part] * evidence
	r.Parts[part] = min(most, max(least, r.Parts[part]+added))
	return added > 0
}

func days(d time.Duration) float64 { return float64(d) / float64(day) }

// grown is the weight of something that happens at t, faded what undoes it at t. Both are finite and not 0, whatever a
// clock says; what is older than the unit counts as if it happened at it.
func (m *Model) grown(t time.Time) float64 {
	return math.Exp2(max(0, min(mostGrown, m.halfLives(t))))
}
func (m *Model) faded(t time.Time) float64 { return 1 / m.grown(t) }

// halfLives is how often weights have halved from unit to t.
func (m *Model) halfLives(t time.Time) float64 {
	return float64(t.Sub(m.unit)) / float64(m.o.HalfLife)
}

// SetHalfLife changes after how long something counts half as much (0: 30 days), as of now: what has faded until then
// stays as it is.
func (m *Model) SetHalfLife(d time.Duration) {
	d = cmp.Or(d, halfLife)
	if d == m.o.HalfLife {
		return
	}
	m.renew(latest(m.unit, m.watched.Now))
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
	renewed := func(g *group) {
		counters(&g.First)
		counters(&g.Later)
		scale(g.Hours[:])
		g.Past.scale(fade)
		if g.Strangers != nil {
			g.Strangers.scale(fade)
		}
		for how := range g.Came {
			scale(g.Came[how][:])
		}
	}
	for c := range classes {
		renewed(&m.groups[c])
		renewed(&m.contained[c])
	}
	for _, t := range m.traces {
		t.scale(fade)
	}
	m.unit = t
}

// memory is how many days from from on are remembered at t, faded; 0 where t is before, as it is when a clock was set
// back.
func (m *Model) memory(from, t time.Time) float64 {
	return days(m.o.HalfLife) / math.Ln2 * (1 - math.Exp2(-max(0, float64(t.Sub(from)))/float64(m.o.HalfLife)))
}

// past is what a visit's surprise is held against. Strangers have one of their own: what they show is weighed by what
// newcomers show, and not by habits, so that one surprise is not as usual of them as of people who are known.
func (m *Model) past(of member, stranger bool) *past {
	if stranger {
		return m.group(of).Strangers
	}
	return &m.group(of).Past
}

// rate is how many visits a day are expected to surprise at least as much as s at now, when weights have faded by fade.
// first: it is the actor's first; stranger: and the first of a person's account.
func (m *Model) rate(of member, first, stranger bool, s float64, now time.Time, fade float64) float64 {
	like := &hostsLike[of.Class]
	if stranger {
		like = &strangersLike
	}

	sum := like.days * like.yearly / 365 * math.Exp(-max(0, s-like.from)/like.scale)
	benign := bound * math.Exp(-s)
	if first {
		activity := m.activity(of, now)
		sum *= activity
		benign *= 1 - firstVisits + firstVisits*activity
	}
	// Those that surprised less speak for s, too, by a factor less with every bin between.
	higher := max(0, min(surpriseBins, int((s-lowest)*binsPerNat+0.5))) // the first bin whose middle is not below s
	past := m.past(of, stranger)
	around := past.splitAt(higher)
	if around.below != 0 {
		sum += around.below * fade * math.Exp(-max(0, s-surpriseOf(higher-1))/kernelScale)
	}
	for _, w := range past.weights[higher:around.highest] {
		sum += w * fade
	}
	age := days(m.age(now))
	experience := max(0, m.memory(m.watched.Began, now)-warmUp*(1-math.Exp(-age/warmUp)))
	return sum/((experience+like.days)*like.share) + benign/365
}

// binStep is how much less a bin's visits speak for a surprise of the bin above.
var binStep = math.Exp(-1. / (binsPerNat * kernelScale))

// binOf and surpriseOf turn a surprise into its place among those of the past, and back.
func binOf(s float64) int      { return max(0, min(surpriseBins-1, int((s-lowest)*binsPerNat))) }
func surpriseOf(i int) float64 { return lowest + (float64(i)+0.5)/binsPerNat }

// Score turns a number of visits a year into a score: 365 are 0, 3 are 25, 1 is 50, 0.3 are 75, 0.1 are 90, with
// logarithms in between.
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

// actorOf is the actor of a key whose open visit is v; v is nil where there is none.
func (m *Model) actorOf(k key, v *visit) *actor {
	if v != nil {
		return v.actor
	}
	return m.actors[k]
}

// known is the actor, nil where they were never seen.
func (m *Model) known(l *Match) *actor { return m.knownBy(l, nil) }

// knownBy is known of a match that belongs to the open visit v, or to none.
func (m *Model) knownBy(l *Match, v *visit) *actor {
	a := m.actorOf(l.key(), v)
	if a != nil && renamed(a.Name, l.Name) {
		return nil
	}
	return a
}

// otherWay is the key of a person on the other side of a terminal.
func (l *Match) otherWay() key {
	if l.values[TTY] == terminal {
		return key{l.Who, noTerminal}
	}
	return key{l.Who, terminal}
}

// sibling is the same person's other way.
func (m *Model) sibling(l *Match) *actor {
	if l.Class != Person {
		return nil
	}
	a := m.actors[l.otherWay()]
	if a != nil && renamed(a.Name, l.Name) {
		return nil
	}
	return a
}

// renamed reports whether an id has another name by now: it is somebody else's.
func renamed(was, is string) bool { return was != "" && is != "" && was != is }

// open is the visit that the match belongs to, nil when it begins one.
func (m *Model) open(l *Match, now time.Time) *visit {
	if v := m.visits[l.key()]; v != nil && !m.over(v, now) {
		return v
	}
	return nil
}

func (m *Model) over(v *visit, t time.Time) bool {
	return t.Sub(v.Last) >= m.o.Idle || t.Sub(v.Start) >= m.o.Longest
}

// Lesson says how much a match that Judge saw teaches.
type Lesson struct {
	Alerted bool // it became an alert, or belongs to one: the visit teaches nobody but its actor
	// Daily: the actor teaches once a day only, because they are on probation.
	Daily bool
	// Learning: the model is too young to alert. What the visit has shown until its age is reached is learned, and no
	// evidence against it later.
	Learning bool
	// Alert is the alert under which it is learned: Withdraw can take it out again. Empty: none.
	Alert string
}

// Learn takes a match into account that Judge gave r for.
func (m *Model) Learn(l *Match, r Result, lesson Lesson) {
	m.Watch(l.At)
	now := m.watched.at(l.At)
	m.closeUntil(now)
	// Before the weights grow out of what a number holds: with a half-life of a day that takes more than a year.
	if m.halfLives(now) >= renewAt {
		m.renew(now)
	}
	k := l.key()
	if renamed(m.accounts[member{l.Who, l.Class}].name, l.Name) {
		m.leave(member{l.Who, l.Class})
	}
	v := m.visits[k]
	a := m.actorOf(k, v)
	sameDay := a != nil && dayOf(a.Last) == dayOf(l.At)
	if a == nil {
		a = m.join(l, now)
	}
	repeats := r.repeats && v != nil
	if v == nil {
		v = &visit{
			actor: a, Class: l.Class, Opened: l.At, Start: now, First: a.Visits == 0, Silent: r.Silent,
			Capped: lesson.Daily && sameDay, DaysBefore: a.Days, Before: a.Last, Lapsed: r.Lapsed,
		}
		if v.First {
			v.Kind, v.How, v.Before = m.kindOf(l), m.arrivesWith(l), time.Time{}
		}
		m.visits[k] = v
		m.dueBy(v)
		a.Visits++
	}
	under := m.traces[v.Alert]
	if !sameDay || !repeats {
		m.learnOf(a, l, v, under, sameDay, lesson, now)
	}
	if !repeats {
		v.met(l)
	}
	v.Parts, v.unusual, v.Against, v.Alerted = r.Parts, r.Unusual, r.against, v.Alerted || lesson.Alerted
	if lesson.Learning {
		for p := range v.Parts {
			v.Parts[p] = min(0, v.Parts[p])
		}
	}
	v.Sum = r.Surprise
	v.note(l)
	v.Last = latest(v.Last, now)
	a.Last, a.Until = latest(a.Last, l.At), latest(a.Until, now)
	switch {
	case under != nil:
		under.Span.Last, under.Span.Until = a.Last, a.Until
	case lesson.Alert != "":
		m.attach(l, v, a, lesson.Alert)
	}
	if a.Name == "" && l.Name != "" {
		a.Name = strings.Clone(l.Name)
		m.named(k.Who, a)
	}
}

// met takes note of the company that a visit has been weighed with.
func (v *visit) met(l *Match) {
	for i := range l.company.most() {
		if program, is := l.company.program(i); is {
			v.seen.add(Session, program)
		}
	}
}

// Visiting reports whether the visit that a match belongs to is still open.
func (m *Model) Visiting(l *Match) bool { return m.open(l, m.watched.at(l.At)) != nil }

// Extend takes into account what Judge gave r for: a match that has been learned, with what came into its company
// since. The visit must be open. alert is what it has raised by it; empty: nothing.
func (m *Model) Extend(l *Match, r Result, alert string) {
	v := m.open(l, m.watched.at(l.At))
	v.met(l)
	v.Parts, v.unusual, v.Against, v.Sum = r.Parts, r.Unusual, r.against, r.Surprise
	if alert != "" {
		v.Alerted = true
		if v.Alert == "" {
			m.attach(l, v, v.actor, alert)
		}
	}
}

// learnOf lets the actor learn from what their visit shows for the first time. under is the trace of the alert under
// which they do; nil: none.
func (m *Model) learnOf(a *actor, l *Match, v *visit, under *trace, sameDay bool, lesson Lesson, now time.Time) {
	own := m.grown(now)
	if lesson.Alerted || lesson.Daily || lesson.Learning {
		own *= tentative
	}
	if !sameDay {
		a.Weight += own
		a.Days++
		m.present(l.Who, l.Class, presence{days: 1})
		v.Weight += own
		v.Days++
		if under != nil {
			under.Weight += own
			under.Days++
		}
	}
	for f := range features {
		if l.values[f] == noEvidence || !v.seen.add(f, l.values[f]) || v.Capped {
			continue
		}
		s := v.seen.of(f, l.values[f])
		s.weight, s.novel = own, a.Features[f].add(l.values[f], own)
		if under != nil {
			under.Features[f].add(l.values[f], own)
		}
	}
	if v.seen.addHour(l.Hour) && !v.Capped {
		a.Hours[l.Hour] += own
		if under != nil {
			under.Hours[l.Hour] += own
		}
	}
}

// afterAMonth is the score that what is known of an actor would have made on a host watched for a month where nobody
// else had looked.
func (m *Model) afterAMonth(k key, a *actor) float64 {
	alone := New(m.o)
	alone.watched.observe(a.First)
	alone.watched.Now = a.First.Add(30 * day)
	alone.watched.Last = alone.watched.Now
	l := Match{At: alone.watched.Now, Class: a.Class, Who: k.Who}
	for f := range features {
		l.values[f] = nothing
		if top := a.Features[f].heaviest(); top != nil {
			l.values[f] = top.text
		}
	}
	l.values[a.Class.SplitBy()] = k.Way
	for hour, w := range a.Hours {
		if w > a.Hours[l.Hour] {
			l.Hour = hour
		}
	}
	return alone.Judge(&l).Score
}

// teach lets the class learn from a visit that is over and raised no alert.
func (m *Model) teach(k key, v *visit) {
	a, g, w := m.actors[k], m.group(member{k.Who, v.Class}), m.grown(v.Last)
	under := m.traces[v.Alert]
	switch {
	case v.First && !a.Taught:
		m.welcome(k, a, v.How, v.Kind, v.Start)
	case !a.Taught:
		return
	}
	for f := range features {
		if f == TTY && v.Class == Person && !v.ofStranger() {
			continue // an account that is known has two ways, which are two actors; what counts is how strangers come
		}
		into := &g.Later[f]
		if v.First {
			into = &g.First[f]
		}
		for _, s := range v.seen.values[f] {
			if s.novel {
				into.add(s.text, w)
				under.taught(v.First, f, s.text, w)
			}
		}
	}
	if v.Capped {
		return
	}
	for hour := range g.Hours {
		if v.seen.hasHour(hour) {
			g.Hours[hour] += w
			if under != nil {
				under.OfClass[hour] += w
			}
		}
	}
}

// welcome counts an actor among those of the class.
func (m *Model) welcome(k key, a *actor, how, kind int, since time.Time) {
	g, as := m.group(member{k.Who, a.Class}), m.welcomeOf(since)
	g.Came[how][known(kind)] += as.Came
	g.Found[how][known(kind)] += as.Found
	g.Actors++
	a.Taught = true
	m.present(k.Who, a.Class, presence{taught: 1})
}

// Accept says that what the actor of a match raised an alert for has become a habit: the class learns from them what it
// has not yet. alert is the one that it is learned under.
func (m *Model) Accept(l *Match, alert string) {
	k := l.key()
	a := m.known(l)
	if a == nil || a.Taught {
		return
	}
	how := m.arrivesWith(l)
	m.welcome(k, a, how, m.kindOf(l), a.Since)
	under := m.traces[m.traceFor(alert, k)]
	if under != nil {
		under.Welcome, under.How, under.Kind = m.welcomeOf(a.Since), how, m.kindOf(l)
	}
	w := m.grown(m.watched.at(l.At))
	g := m.group(l.member())
	m.newcomer(a, how, w, func(f int, v text) {
		g.First[f].add(v, w)
		under.taught(true, f, v, w)
	})
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// join makes an actor known.
func (m *Model) join(l *Match, now time.Time) *actor {
	if len(m.actors) >= m.o.MaxActors {
		m.evict()
	}
	m.present(l.Who, l.Class, presence{ways: 1})
	a := &actor{Class: l.Class, First: l.At, Since: now, Until: now, Name: strings.Clone(l.Name)}
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
		if oldest == nil || cmp.Or(a.Until.Compare(oldest.Until), compare(k, worst)) < 0 {
			worst, oldest = k, a
		}
	}
	m.forget(worst)
	m.evicted++
}

// forget makes an actor unknown again.
func (m *Model) forget(k key) {
	a := m.actors[k]
	gone := presence{ways: -1, days: -a.Days}
	if a.Taught {
		m.group(member{k.Who, a.Class}).Actors--
		gone.taught = -1
	}
	m.present(k.Who, a.Class, gone)
	delete(m.actors, k)
	delete(m.visits, k)
	stored := k.stored()
	maps.DeleteFunc(m.traces, func(_ string, t *trace) bool { return t.keyOf == stored })
}

// present changes what is known of an account by so many ways, days and actors who have taught.
func (m *Model) present(who Account, c Class, by presence) {
	k := member{who, c}
	p := m.accounts[k]
	if p.once() {
		m.group(k).Once--
	}
	p.ways += by.ways
	p.days += by.days
	p.taught += by.taught
	if p.once() {
		m.group(k).Once++
	}
	if p.ways == 0 {
		delete(m.accounts, k)
		return
	}
	m.accounts[k] = p
}

// Forget makes an account unknown again, by its id or its name, and returns the ids that were known. What it taught
// about its class stays.
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

// ForgetUnless makes the actor of a match unknown again, unless they looked on so many days before, or within so long.
// The match remembers when they last did. bothWays: the same person's other way is forgotten, too, as far as this holds
// of it.
func (m *Model) ForgetUnless(l *Match, bothWays bool, days int, within time.Duration) {
	forget := func(a *actor, k key) {
		if a != nil && a.Days < days && m.watched.at(l.At).Sub(a.Until) > within {
			l.lapsed = latest(l.lapsed, a.Last)
			m.forget(k)
		}
	}
	other := m.sibling(l)
	forget(m.known(l), l.key())
	if bothWays {
		forget(other, l.otherWay())
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
	return cmp.Or(
		cmp.Compare(a.Who.Container.Value(), b.Who.Container.Value()),
		cmp.Compare(a.Who.ID.Value(), b.Who.ID.Value()),
		cmp.Compare(a.Way.Value(), b.Way.Value()),
	)
}

// Advance says that the host is watched, and that nothing more comes before t: the visits that are over by then become
// part of the past.
func (m *Model) Advance(t time.Time) {
	m.Watch(t)
	m.closeUntil(m.watched.at(t))
}

// Visited says whether a visit is open.
func (m *Model) Visited() bool { return len(m.visits) > 0 }

// CloseUntil is Advance for a host that may not be watched at t: what comes from it may come later.
func (m *Model) CloseUntil(t time.Time) { m.closeUntil(m.watched.at(t)) }

func (m *Model) closeUntil(now time.Time) {
	if now.Before(m.due) || len(m.visits) == 0 {
		return
	}
	var ended []key
	m.due = time.Time{}
	for k, v := range m.visits {
		if m.over(v, now) {
			ended = append(ended, k)
		} else {
			m.dueBy(v)
		}
	}
	slices.SortFunc(
		ended,
		func(a, b key) int { return cmp.Or(m.visits[a].Last.Compare(m.visits[b].Last), compare(a, b)) },
	)
	for _, k := range ended {
		v := m.visits[k]
		delete(m.visits, k)
		w := m.grown(v.Last) * (1 - math.Exp(-days(m.age(v.Last))/warmUp))
		if v.Alerted {
			if w *= alertedWeight; !m.actors[k].Taught {
				w = 0 // one unknown account makes the next no less unusual
			}
		} else {
			m.teach(k, v)
		}
		m.past(member{k.Who, v.Class}, v.ofStranger()).add(v.Sum, w)
		if under := m.traces[v.Alert]; under != nil {
			into := &under.Past
			if v.ofStranger() {
				into = &under.Stranger
			}
			into.add(v.Sum, w)
		}
	}
}
