// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
	"unique"

	"github.com/reconbeat/reconbeat/process"
)

// Sessions is what the accounts of one host run in their sessions, whatever a rule means: how much likelier a program
// beside a match is to be an intruder's than the account's own. A program counts once a session. It belongs to one
// goroutine.
type Sessions struct {
	o        Options // Idle and Longest end a session, MaxActors bounds the accounts
	spare    *Spare
	watched  watched
	unit     time.Time
	accounts map[member]*account
	classes  [classes]counter // by how many accounts each program was run
	others   counter          // programs that no rule means, of all accounts
	open     openSessions
	earliest time.Time // no open session began before
	due      time.Time // no session is over before; zero: not known
	evicted  uint64
}

// account is what is known of the programs of one account.
type account struct {
	Programs counter   `json:"programs"` // in how many sessions each was run
	Weight   float64   `json:"weight"`   // sessions, faded
	Until    time.Time `json:"until"`    // the last one, in watched time
}

const (
	// beside is how long before and after a match what runs in its session is weighed.
	beside = 10 * time.Minute
	// maxSessions bounds how many sessions are open; the one that was silent for the longest time makes room.
	maxSessions = 512
)

// NewSessions makes Sessions of which nothing is known. Those of all hosts may have one Spare.
func NewSessions(o Options, spare *Spare) *Sessions {
	o.HalfLife = cmp.Or(o.HalfLife, halfLife)
	return &Sessions{o: o, spare: spare, accounts: map[member]*account{}}
}

// Ran notes that a program was started in a session. It may come once for each minute in which it was, or more often:
// that makes no difference. who says whose a session is that begins with it.
func (s *Sessions) Ran(k SessionKey, at time.Time, program text, other bool, who func() (Account, Class)) {
	if s.watched.Began.IsZero() {
		s.unit = at
	}
	now := s.goOn(at)
	open := s.open.get(&k)
	if open == nil {
		open = s.begin(&k, now)
		open.who.Account, open.who.Class = who()
	}
	s.open.goOn(open, now)
	open.ran(program, at, other)
}

// goOn goes on to a time, and closes the sessions that are over by then.
func (s *Sessions) goOn(t time.Time) (now time.Time) {
	s.watched.observe(t)
	now = s.watched.at(t)
	if now.After(s.due) {
		s.closeUntil(now)
	}
	return now
}

// Discard says that a session teaches nothing: an alert was raised in it, so that it may be an intruder's.
func (s *Sessions) Discard(k SessionKey) {
	if open := s.open.get(&k); open != nil {
		open.Ignored = true
	}
}

// End ends a login session. What runs outside of one (process.Unset) goes on.
func (s *Sessions) End(id uint32) {
	if id == process.Unset {
		return // their keys are in no common bucket
	}
	of := SessionKey{Session: id}
	for s.open.n > 0 {
		var first *session
		for open := *s.open.bucket(&of); open != nil; open = open.chained {
			if open.key.Session == id && (first == nil || open.compare(first) < 0) {
				first = open
			}
		}
		if first == nil {
			return
		}
		s.close(first)
	}
}

// Stop says that nothing is watched from now on until the next Ran.
func (s *Sessions) Stop() { s.watched.Stopped = !s.watched.Began.IsZero() }

// begin opens a session.
func (s *Sessions) begin(k *SessionKey, now time.Time) *session {
	if s.open.n >= maxSessions {
		s.close(s.open.first)
	}
	open := s.spare.session()
	open.Start, open.Last, open.key = now, now, *k
	s.put(open)
	return open
}

// put makes a session one of the open ones.
func (s *Sessions) put(open *session) {
	s.open.add(open)
	if open == s.open.first || open.Start.Before(s.earliest) {
		s.earliest, s.due = sooner(s.earliest, open.Start), time.Time{}
	}
}

// sooner is the earlier time, of which the zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// closeUntil closes the sessions that are over, in their order: the silent ones come before those that go on for too
// long.
func (s *Sessions) closeUntil(now time.Time) {
	for s.open.n > 0 && now.Sub(s.open.first.Last) > s.o.Idle {
		s.close(s.open.first)
	}
	if now.Sub(s.earliest) > s.o.Longest {
		s.closeLongest(now)
	}
	if s.open.n > 0 {
		s.due = sooner(s.earliest.Add(s.o.Longest), s.open.first.Last.Add(s.o.Idle))
	}
}

// closeLongest closes the sessions that go on for too long.
func (s *Sessions) closeLongest(now time.Time) {
	s.earliest = time.Time{}
	for open := s.open.first; open != nil; {
		later := open.later
		if now.Sub(open.Start) > s.o.Longest {
			s.close(open)
		} else {
			s.earliest = sooner(s.earliest, open.Start)
		}
		open = later
	}
}

// close ends a session that is over.
func (s *Sessions) close(open *session) {
	if !open.Ignored {
		s.learn(open)
	}
	s.drop(open)
}

// drop forgets a session.
func (s *Sessions) drop(open *session) {
	s.open.remove(open)
	s.spare.keep(open)
}

// learn lets the account and its class learn from a session.
func (s *Sessions) learn(open *session) {
	age := s.halfLives(open.Last)
	if age >= renewAt {
		s.renew(open.Last)
		age = 0
	}
	w := grownBy(age)
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
	for i := range open.used {
		r := &open.used[i]
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
	for open := s.open.first; open != nil; {
		later := open.later
		if ids[open.who.ID.Value()] {
			s.drop(open)
		}
		open = later
	}
}

func (s *Sessions) halfLives(t time.Time) float64 {
	return float64(t.Sub(s.unit)) / float64(s.o.HalfLife)
}

// grown is the weight of something that happens at t, and faded what undoes it at t, as of a Model.
func (s *Sessions) grown(t time.Time) float64 { return grownBy(s.halfLives(t)) }

func grownBy(halfLives float64) float64 { return math.Exp2(max(0, min(mostGrown, halfLives))) }

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
	open := s.open.get(&k)
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
