// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
	"unique"
)

// Sessions is what the accounts of one host run in their sessions, whatever a rule means: how much likelier a program
// beside a match is to be an intruder's than the account's own. A program counts once a session. It belongs to one
// goroutine.
type Sessions struct {
	o        Options // Idle and Longest end a session, MaxActors bounds the accounts
	watched  watched
	unit     time.Time
	accounts map[member]*account
	classes  [classes]counter // by how many accounts each program was run
	others   counter          // programs that no rule means, of all accounts
	open     map[SessionKey]*session
	last     SessionKey // of the last Ran, and its session; nil: it is over
	lastOpen *session
	due      time.Time // no session is over before
	evicted  uint64
}

// SessionKey identifies a session of a host: the login session, or where there is none the user in a container.
type SessionKey struct {
	Session   uint32 `json:"session"` // process.Unset: none
	User      uint32 `json:"user"`    // the login user; without a session the real one; process.Unset: unknown
	Name      string `json:"name,omitempty"`
	Container string `json:"container,omitempty"` // its id
}

func (k SessionKey) compare(other SessionKey) int {
	return cmp.Or(cmp.Compare(k.Session, other.Session), cmp.Compare(k.User, other.User),
		cmp.Compare(k.Name, other.Name), cmp.Compare(k.Container, other.Container))
}

// account is what is known of the programs of one account.
type account struct {
	Programs counter   `json:"programs"` // in how many sessions each was run
	Weight   float64   `json:"weight"`   // sessions, faded
	Until    time.Time `json:"until"`    // the last one, in watched time
}

// session is what an account runs without a pause.
type session struct {
	Start   time.Time `json:"start"` // in watched time, as Last
	Last    time.Time `json:"last"`
	Ignored bool      `json:"ignored,omitempty"` // it teaches nothing
	who     member
	used    []used
}

// used is a program of a session.
type used struct {
	program text
	since   time.Time // the clock's: the first time
	minute  int64     // of the clock, since 1970: the last one
	other   bool      // no rule means it
}

const (
	// beside is how long before and after a match what runs in its session is weighed.
	beside = 10 * time.Minute
	// maxSessions bounds how many sessions are open; the one that was silent for the longest time makes room.
	maxSessions = 512
)

// NewSessions makes Sessions of which nothing is known.
func NewSessions(o Options) *Sessions {
	o.HalfLife = cmp.Or(o.HalfLife, halfLife)
	return &Sessions{o: o, accounts: map[member]*account{}, open: map[SessionKey]*session{}}
}

// Ran notes that a program was started in a session. It may come once for each minute in which it was, or more often:
// that makes no difference. who says whose a session is that begins with it.
func (s *Sessions) Ran(k SessionKey, at time.Time, program text, other bool, who func() (Account, Class)) {
	if s.watched.Began.IsZero() {
		s.unit = at
	}
	s.watched.observe(at)
	now := s.watched.at(at)
	s.closeUntil(now)
	open := s.lastOpen
	if open == nil || s.last != k {
		open = s.open[k]
	}
	if open == nil {
		if len(s.open) >= maxSessions {
			s.closeOldest()
		}
		open = &session{Start: now, Last: now}
		open.who.Account, open.who.Class = who()
		s.open[k] = open
		s.dueBy(open)
	}
	s.last, s.lastOpen = k, open
	open.Last = latest(open.Last, now)
	minute := at.Unix() / 60
	for i := range open.used {
		if r := &open.used[i]; r.program == program {
			r.minute = max(r.minute, minute)
			return
		}
	}
	if len(open.used) < maxValues {
		open.used = append(open.used, used{program, at, minute, other})
	}
}

// Discard says that a session teaches nothing: an alert was raised in it, so that it may be an intruder's.
func (s *Sessions) Discard(k SessionKey) {
	if open := s.open[k]; open != nil {
		open.Ignored = true
	}
}

// End ends a login session.
func (s *Sessions) End(session uint32) {
	var ended []SessionKey
	for k := range s.open {
		if k.Session == session {
			ended = append(ended, k)
		}
	}
	slices.SortFunc(ended, s.inOrder)
	for _, k := range ended {
		s.close(k, s.open[k])
	}
}

// Stop says that nothing is watched from now on until the next Ran.
func (s *Sessions) Stop() { s.watched.Stopped = !s.watched.Began.IsZero() }

func (s *Sessions) over(open *session, now time.Time) bool {
	return now.Sub(open.Last) > s.o.Idle || now.Sub(open.Start) > s.o.Longest
}

// dueBy takes note of when a session is over at the earliest. What runs in it later only puts that off.
func (s *Sessions) dueBy(open *session) {
	if end := earliest(open.Last.Add(s.o.Idle), open.Start.Add(s.o.Longest)); s.due.IsZero() || end.Before(s.due) {
		s.due = end
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// closeUntil closes the sessions that are over, the first to end first.
func (s *Sessions) closeUntil(now time.Time) {
	if len(s.open) == 0 || !now.After(s.due) {
		return
	}
	var ended []SessionKey
	s.due = time.Time{}
	for k, open := range s.open {
		if s.over(open, now) {
			ended = append(ended, k)
		} else {
			s.dueBy(open)
		}
	}
	slices.SortFunc(ended, s.inOrder)
	for _, k := range ended {
		s.close(k, s.open[k])
	}
}

func (s *Sessions) inOrder(a, b SessionKey) int {
	return cmp.Or(s.open[a].Last.Compare(s.open[b].Last), a.compare(b))
}

func (s *Sessions) closeOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Keys(s.open)), s.inOrder)
	s.close(oldest, s.open[oldest])
}

// close lets the account and its class learn from a session that is over.
func (s *Sessions) close(k SessionKey, open *session) {
	delete(s.open, k)
	s.lastOpen = nil
	if open.Ignored {
		return
	}
	if s.halfLives(open.Last) >= renewAt {
		s.renew(open.Last)
	}
	w := s.grown(open.Last)
	own := w
	if open.Last.Sub(s.watched.Began) < day { // of the first day nothing else speaks for it
		own *= tentative
	}
	a := s.accounts[open.who]
	if a == nil {
		if len(s.accounts) >= s.o.MaxActors {
			s.evict()
		}
		a = &account{}
		s.accounts[open.who] = a
	}
	a.Weight += own
	a.Until = latest(a.Until, open.Last)
	for _, r := range open.used {
		if a.Programs.add(r.program, own) {
			s.classes[open.who.Class].add(r.program, w)
		}
		if r.other {
			s.others.add(r.program, w)
		}
	}
}

// evict forgets the account whose last session is the oldest.
func (s *Sessions) evict() {
	worst := slices.MinFunc(slices.Collect(maps.Keys(s.accounts)), func(a, b member) int {
		return cmp.Or(s.accounts[a].Until.Compare(s.accounts[b].Until), a.compare(b))
	})
	delete(s.accounts, worst)
	s.evicted++
}

func (m member) compare(other member) int {
	return cmp.Or(cmp.Compare(m.Class, other.Class), cmp.Compare(m.Container.Value(), other.Container.Value()),
		cmp.Compare(m.ID.Value(), other.ID.Value()))
}

// Evicted is how many accounts were forgotten for want of room.
func (s *Sessions) Evicted() uint64 { return s.evicted }

// Forget makes accounts with one of the ids unknown again.
func (s *Sessions) Forget(ids map[string]bool) {
	maps.DeleteFunc(s.accounts, func(m member, _ *account) bool { return ids[m.ID.Value()] })
	maps.DeleteFunc(s.open, func(_ SessionKey, open *session) bool { return ids[open.who.ID.Value()] })
	s.lastOpen = nil
}

func (s *Sessions) halfLives(t time.Time) float64 {
	return float64(t.Sub(s.unit)) / float64(s.o.HalfLife)
}

// grown is the weight of something that happens at t, and faded what undoes it at t, as of a Model.
func (s *Sessions) grown(t time.Time) float64 {
	return math.Exp2(max(0, min(mostGrown, s.halfLives(t))))
}

// renew makes t the unit.
func (s *Sessions) renew(t time.Time) {
	fade := 1 / s.grown(t)
	scale := func(c counter) {
		for i := range c {
			c[i].weight *= fade
		}
	}
	for _, a := range s.accounts {
		a.Weight *= fade
		scale(a.Programs)
	}
	for _, c := range s.classes {
		scale(c)
	}
	scale(s.others)
	s.unit = t
}

// SetHalfLife changes after how long something counts half as much (0: 30 days), as of now.
func (s *Sessions) SetHalfLife(d time.Duration) {
	d = cmp.Or(d, halfLife)
	if d == s.o.HalfLife {
		return
	}
	s.renew(latest(s.unit, s.watched.Now))
	s.o.HalfLife = d
}

// sessionPrograms is how many programs of an account Usual returns.
const sessionPrograms = 12

// Usual are the programs that the account of a Profile mostly runs in its sessions, by their number of sessions, faded
// until t.
func (s *Sessions) Usual(p *Profile, t time.Time) []Seen {
	who := Account{unique.Make(p.Container), unique.Make(p.ID)}
	a := s.accounts[member{who, Class(max(0, slices.Index(classNames[:], p.Class)))}]
	if a == nil {
		return nil
	}
	return a.Programs.top(sessionPrograms, 1/s.grown(s.watched.at(t)))
}

// Company is what runs beside a match in its session. The zero Company is of a match of which nobody knows.
type Company struct {
	of       *Sessions
	session  *session
	from     int64     // the minute of the clock since 1970 in which a program must have run, or later
	after    time.Time // after which it must have run for the first time; zero: whenever
	until    time.Time // and until when
	programs []string  // the rule's own, which are no company
}

// Before is what ran in a session in the ten minutes before a match at a time, but for the rule's programs. Nobody
// knows of a session in which only what rules mean is reported: where hardly any other program has been seen on the
// host, it is no company.
func (s *Sessions) Before(k SessionKey, at time.Time, programs []string) Company {
	open := s.open[k]
	if open == nil || weights[open.who.Class][Session] == 0 || !s.enough(at) {
		return Company{}
	}
	return Company{of: s, session: open, from: at.Add(-beside).Unix() / 60, until: at, programs: programs}
}

// After is what ran for the first time in the ten minutes after it, until a time.
func (s *Sessions) After(k SessionKey, at, until time.Time, programs []string) Company {
	c := s.Before(k, at, programs)
	if c.Known() {
		c.after, c.until = at, until
	}
	return c
}

// enough reports whether the host shows more programs than those of rules.
func (s *Sessions) enough(at time.Time) bool {
	fade, kinds := 1/s.grown(s.watched.at(at)), 0.0
	for i := range s.others {
		kinds += min(1, s.others[i].weight*fade)
	}
	return kinds >= leastPrograms
}

// Known reports whether the company of a match is known.
func (c *Company) Known() bool { return c.of != nil }

// later reports whether it is what came after the match.
func (c *Company) later() bool { return !c.after.IsZero() }

// most is how many programs there may be.
func (c *Company) most() int {
	if c.of == nil {
		return 0
	}
	return len(c.session.used)
}

// program is the one at a place below most; false: what stands there is no company.
func (c *Company) program(i int) (text, bool) {
	r := &c.session.used[i]
	switch {
	case r.minute < c.from, r.since.After(c.until):
		return text{}, false
	case c.later() && (!r.since.After(c.after) || r.since.Equal(c.until)):
		return text{}, false
	}
	return r.program, !slices.Contains(c.programs, r.program.Value())
}

// evidence is the logarithm of how much likelier a program is to be an intruder's than the account's own.
func (c *Company) evidence(program text) float64 {
	s, who := c.of, c.session.who
	fade := 1 / s.grown(s.watched.at(c.until))
	own, known := tally{novel: 1}, 0.0
	if a := s.accounts[who]; a != nil {
		own, known = a.Programs.tally(program, fade), a.Weight*fade
	}
	class := s.classes[who.Class].tally(program, fade)
	common, listed := discovery[program]
	e := odds(own, nil, class, tally{novel: 1}, known, novelty[Session], common, listed)
	return e * known / (known + acquainted)
}
