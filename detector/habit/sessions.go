// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"container/heap"
	"encoding/binary"
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
	near     [1 << nearBits]*session // the latest of the open ones, each at its key's place
	queue    queue                   // the open ones
	longest  time.Time               // no session has run for Longest before
	due      time.Time               // no session is over before
	ended    []*session              // that are to be closed; reused
	spare    []*session              // that are closed; their memory is used again
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

// near is the place of a session among the latest ones. Others may have the same.
func (k *SessionKey) near() uint32 {
	h := k.Session*0x9e3779b1 ^ k.User*0x85ebca6b // odd: all of their bits count
	if len(k.Container) >= 4 {
		h ^= binary.LittleEndian.Uint32([]byte(k.Container[:4])) * 0xc2b2ae35
	}
	return h >> (32 - nearBits)
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
	key     SessionKey
	who     member
	used    []used
	silent  time.Time  // Last, or what it was before: it is written anew when that matters
	place   int        // in the queue; -1: none
	places  [256]uint8 // where in used a program may be, at its name's place
}

// queue is a heap of sessions by what is known of their last programs: the one that was silent for the longest time
// stands first, or another one that is taken for it.
type queue []*session

// Len is one of the methods of a heap.
func (q queue) Len() int { return len(q) }

// Less is one of the methods of a heap.
func (q queue) Less(i, j int) bool {
	if c := q[i].silent.Compare(q[j].silent); c != 0 {
		return c < 0
	}
	return q[i].key.compare(q[j].key) < 0
}

// Swap is one of the methods of a heap.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is one of the methods of a heap.
func (q *queue) Push(x any) {
	open := x.(*session)
	open.place = len(*q)
	*q = append(*q, open)
}

// Pop is one of the methods of a heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	open := (*q)[last]
	(*q)[last], *q = nil, (*q)[:last]
	open.place = -1
	return open
}

// first is the session that was silent for the longest time, of sessions of which there are some.
func (q *queue) first() *session {
	for {
		open := (*q)[0]
		if open.silent.Equal(open.Last) {
			return open
		}
		open.silent = open.Last
		heap.Fix(q, 0)
	}
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
	// maxSpare bounds of how many closed sessions the memory is kept.
	maxSpare = 16
	// nearBits is the logarithm of how many sessions are found without a search.
	nearBits = 6
)

// NewSessions makes Sessions of which nothing is known.
func NewSessions(o Options) *Sessions {
	o.HalfLife = cmp.Or(o.HalfLife, halfLife)
	return &Sessions{o: o, accounts: map[member]*account{}, open: map[SessionKey]*session{}}
}

// Again notes that a program was started in a session, where the session is one of the latest and has run it before, as
// is mostly so. Else it returns false: it is for Ran to note.
func (s *Sessions) Again(k *SessionKey, at time.Time, program string) bool {
	near := &s.near[k.near()]
	open := *near
	if open == nil || open.key != *k {
		return false
	}
	r := open.find(unversioned(program))
	if r == nil {
		return false
	}
	now := s.goOn(at)
	if *near != open {
		return false // that session is over
	}
	if now.After(open.Last) {
		open.Last = now
	}
	r.minute = max(r.minute, minuteOf(at))
	return true
}

// Ran notes that a program was started in a session. It may come once for each minute in which it was, or more often:
// that makes no difference. who says whose a session is that begins with it.
func (s *Sessions) Ran(k SessionKey, at time.Time, program text, other bool, who func() (Account, Class)) {
	if s.watched.Began.IsZero() {
		s.unit = at
	}
	now := s.goOn(at)
	open := s.near[k.near()]
	if open == nil || open.key != k {
		open = s.open[k]
	}
	if open == nil {
		if len(s.open) >= maxSessions {
			s.close(s.queue.first())
		}
		open = s.begin(k, now)
		open.who.Account, open.who.Class = who()
	}
	s.near[k.near()] = open
	open.Last = latest(open.Last, now)
	minute := minuteOf(at)
	i := slices.IndexFunc(open.used, func(r used) bool { return r.program == program })
	switch {
	case i >= 0:
		open.used[i].minute = max(open.used[i].minute, minute)
	case len(open.used) < maxValues:
		open.used = append(open.used, used{program, at, minute, other})
	}
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

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// find is the program of a name, which is no version's; nil: the session has not run it.
func (o *session) find(name string) *used {
	if name == "" || len(name) > maxValue {
		return nil
	}
	place := &o.places[placeOf(name)]
	if i := int(*place); i < len(o.used) && o.used[i].program.Value() == name {
		return &o.used[i]
	}
	i := slices.IndexFunc(o.used, func(r used) bool { return r.program.Value() == name })
	if i < 0 {
		return nil
	}
	*place = uint8(i)
	return &o.used[i]
}

// placeOf is where a session notes which one the program of a name is, which is not empty. Another may have the same.
func placeOf(name string) uint8 {
	n := len(name)
	h := uint32(name[0]) | uint32(name[n/2])<<8 | uint32(name[n-1])<<16 | uint32(n)<<24
	return uint8(h * 0x9e3779b1 >> 24)
}

// Discard says that a session teaches nothing: an alert was raised in it, so that it may be an intruder's.
func (s *Sessions) Discard(k SessionKey) {
	if open := s.open[k]; open != nil {
		open.Ignored = true
	}
}

// End ends a login session.
func (s *Sessions) End(session uint32) {
	for _, open := range s.queue {
		if open.key.Session == session {
			s.ended = append(s.ended, open)
		}
	}
	s.closeEnded()
}

// Stop says that nothing is watched from now on until the next Ran.
func (s *Sessions) Stop() { s.watched.Stopped = !s.watched.Began.IsZero() }

// begin opens a session.
func (s *Sessions) begin(k SessionKey, now time.Time) *session {
	var open *session
	if last := len(s.spare) - 1; last >= 0 {
		open, s.spare = s.spare[last], s.spare[:last]
	} else {
		open = &session{}
	}
	*open = session{Start: now, Last: now, key: k, used: open.used[:0]}
	s.put(open)
	return open
}

// put makes a session one of the open ones.
func (s *Sessions) put(open *session) {
	s.open[open.key] = open
	open.silent = open.Last
	heap.Push(&s.queue, open)
	s.longest = sooner(s.longest, open.Start.Add(s.o.Longest))
	s.due = sooner(s.due, sooner(s.longest, open.Last.Add(s.o.Idle)))
}

// sooner is the earlier time, of which the zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// closeUntil closes the sessions that are over, the first to end first.
func (s *Sessions) closeUntil(now time.Time) {
	s.due = time.Time{}
	for len(s.queue) > 0 {
		open := s.queue.first()
		if now.Sub(open.Last) <= s.o.Idle {
			s.due = open.Last.Add(s.o.Idle)
			break
		}
		s.ended = append(s.ended, heap.Pop(&s.queue).(*session))
	}
	if now.After(s.longest) {
		s.longest = time.Time{}
		for _, open := range s.queue {
			if now.Sub(open.Start) > s.o.Longest {
				s.ended = append(s.ended, open)
			} else {
				s.longest = sooner(s.longest, open.Start.Add(s.o.Longest))
			}
		}
	}
	if len(s.queue) > 0 {
		s.due = sooner(s.due, s.longest)
	}
	s.closeEnded()
}

// closeEnded closes the sessions that have been found to be over.
func (s *Sessions) closeEnded() {
	slices.SortFunc(s.ended, inOrder)
	for _, open := range s.ended {
		s.close(open)
	}
	clear(s.ended)
	s.ended = s.ended[:0]
}

func inOrder(a, b *session) int { return cmp.Or(a.Last.Compare(b.Last), a.key.compare(b.key)) }

// drop forgets a session.
func (s *Sessions) drop(open *session) {
	delete(s.open, open.key)
	if open.place >= 0 {
		heap.Remove(&s.queue, open.place)
	}
	if len(s.spare) < maxSpare {
		s.spare = append(s.spare, open)
	}
	if near := &s.near[open.key.near()]; *near == open {
		*near = nil
	}
}

// close lets the account and its class learn from a session that is over.
func (s *Sessions) close(open *session) {
	s.drop(open)
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
	for _, open := range slices.Clone(s.queue) {
		if ids[open.who.ID.Value()] {
			s.drop(open)
		}
	}
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
