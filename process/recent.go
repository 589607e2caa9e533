// SPDX-License-Identifier: Apache-2.0

package process

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

const (
	// recents is how many sessions and actors have a ring of their latest execs: of the host, and of all others.
	recents = 512
	// recentExecs is how many execs a ring holds; the oldest makes room.
	recentExecs = 32
	// recentText is how much of a command line a ring keeps, in bytes.
	recentText = 256
	// RecentFor is how far back Table.Recent looks.
	RecentFor = 10 * time.Minute
	// askedFor is for how long after an exec somebody may ask for it, in nanoseconds: RecentFor, and as much for what
	// comes late.
	askedFor = int64(2 * RecentFor)
	// nearBits is the logarithm of how many rings are found without a search.
	nearBits = 8
)

// Recent is an exec that a Table remembers beside a later one.
type Recent struct {
	Time     time.Time
	Process         // pid, name, executable and arguments; ArgsCount is more than len(Args) where they were cut
	Parent   string // base name of the parent's program; empty: unknown
	ExitCode int32  // where Exited
	Exited   bool   // the source has reported the end of the process while it ran this program
}

// recent is a Recent in a ring. What the program is and its arguments stay in the table's place of its process for as
// long as that runs it: to write them twice would cost every exec more than all else about it.
type recent struct {
	time   int64  // in nanoseconds since 1970
	parent string // interned
	pid    uint32
	exit   int32
	exited bool
	moved  bool     // the process has gone on to something else: kept has what it ran
	kept   *keptRun // its memory is used again; nil: there is none yet
}

// keptRun is what a process ran.
type keptRun struct {
	exe, name string // interned
	text      []byte // the arguments, each followed by a zero byte
	argc      int
}

// ring is the ring of one session or actor.
type ring struct {
	key   uint64   // whose it is, unlike the slab's place, which outlives its holder
	execs []recent // of a ring that has a key: recentExecs
	n     int      // how many of them there are
	next  int      // where the next exec goes, the place of the oldest once the ring is full
	names [ranNames]ranName
}

// ranNames is how many programs that a session runs again and again are known to have run in this minute.
const ranNames = 16

// ranName is a program that ran in a minute. Others with the same place among ranNames take it over.
type ranName struct {
	name   string // interned
	minute int64  // since 1970
}

// fresh reports whether a program may not have run in this minute before. It is true at least once, and of a program
// that runs another of its arguments always.
func (c *ring) fresh(name string, now int64) bool {
	if name == "" {
		return false
	}
	r := &c.names[(len(name)*5+int(name[0])+3*int(name[len(name)-1]))%ranNames]
	minute := now / int64(time.Minute)
	if r.minute == minute && r.name == name {
		return false
	}
	if !RunsArgument(name) {
		r.name, r.minute = name, minute
	}
	return true
}

// ringKey is whose ring an exec belongs to: its login session, else its real user in its container. 0: neither is
// known.
func (t *Table) ringKey(s scope, e *Event) uint64 {
	if e.Session.ID != Unset {
		return s.key(e.Session.ID)
	}
	const actor = 0xd1342543de82ef95 // odd; a user's number is no session's
	var key uint64
	switch {
	case e.User.ID != Unset:
		key = s.key(e.User.ID) ^ actor
	case e.User.Name != "":
		key = s.host ^ maphash.String(t.seed, e.User.Name) ^ actor
	default:
		return 0
	}
	if e.Container.ID != "" {
		key ^= maphash.String(t.seed, e.Container.ID)
	}
	return key
}

// remember puts an exec into the ring that it belongs to, and reports whether its program may not have run there in
// this minute before.
func (t *Table) remember(s scope, p *procEntry, e *Event, parent string, ran int64) (fresh bool) {
	key := t.ringKey(s, e)
	if key == 0 {
		return false
	}
	at := s.ringAt(key)
	c := &s.rings.places[at].value
	if c.key != key {
		if c.execs == nil {
			c.execs = make([]recent, recentExecs)
		}
		c.key, c.n, c.next, c.names = key, 0, 0, [ranNames]ranName{}
	}
	r := &c.execs[c.next]
	r.time, r.parent, r.pid = ran, parent, p.pid
	r.exit, r.exited, r.moved = 0, false, false
	p.ring, p.ringAt, p.slot, p.ran = key, at, uint8(c.next), ran
	c.next = (c.next + 1) % recentExecs
	c.n = min(c.n+1, recentExecs)
	return c.fresh(p.name, ran)
}

// ringAt is the place of a ring, which becomes the newest.
func (s scope) ringAt(key uint64) int32 {
	hint := &s.near[key>>(64-nearBits)]
	if s.rings.holds(*hint, key) {
		s.rings.renew(*hint)
		return *hint
	}
	*hint = s.rings.putAt(key)
	return *hint
}

// slotOf is where the ring of a process has what it runs; nil: it has it no longer, or never had.
func (s scope) slotOf(p *procEntry) *recent {
	if p.ring == 0 {
		return nil
	}
	c := s.rings.at(p.ringAt, p.ring)
	if c == nil || c.key != p.ring {
		return nil
	}
	if r := &c.execs[p.slot]; r.pid == p.pid && r.time == p.ran && !r.moved {
		return r
	}
	return nil
}

// makeRoom saves for the ring what stands in a place of the table, which is about to be used for something else. What
// ran so long ago that nobody will ask for it is not worth the search.
func (s scope) makeRoom(p *procEntry, now int64) {
	if p.ring == 0 || now-p.ran > askedFor {
		return
	}
	r := s.slotOf(p)
	if r == nil {
		return
	}
	if r.kept == nil {
		r.kept = &keptRun{}
	}
	r.moved = true
	k := r.kept
	k.exe, k.name, k.argc = p.exe, p.name, p.argc
	k.text = append(k.text[:0], p.text[:min(len(p.text), recentText)]...)
}

// ended notes how the latest program of a process ended.
func (s scope) ended(p *procEntry, e *Event) {
	if r := s.slotOf(p); r != nil && !r.exited {
		r.exit, r.exited = e.ExitCode, true
	}
}

// Recent returns what else ran before an exec, the oldest first: in its login session, or where there is none by its
// real user in its container. It goes back RecentFor, or 32 execs of the session, and shares no memory with the Table.
func (t *Table) Recent(e *Event) []Recent {
	s := t.scope(e)
	c := t.ring(s, e)
	if c == nil {
		return nil
	}
	var before []Recent
	now := e.Time.UnixNano()
	for i := range c.execs[:c.n] {
		r := &c.execs[i]
		if r.time > now || now-r.time > int64(RecentFor) || r.is(e) {
			continue
		}
		before = append(before, r.describe(s))
	}
	slices.SortStableFunc(before, inTime)
	return before
}

// Later returns what else has run since an exec was observed, in the same session and order, until a time. Of more than
// 32 execs it knows the latest; whole reports whether these are all.
func (t *Table) Later(e *Event, until time.Time) (after []Recent, whole bool) {
	s := t.scope(e)
	c := t.ring(s, e)
	if c == nil {
		return nil, false
	}
	for i := range c.n { // in the order in which they were observed
		r := &c.execs[(c.next+recentExecs-c.n+i)%recentExecs]
		switch {
		case r.is(e):
			after, whole = nil, true
		case r.time <= until.UnixNano():
			after = append(after, r.describe(s))
		}
	}
	slices.SortStableFunc(after, inTime)
	return after, whole
}

// ring is the ring that an exec belongs to; nil: none, or another session has its place by now.
func (t *Table) ring(s scope, e *Event) *ring {
	key := t.ringKey(s, e)
	if c := s.rings.get(key); c != nil && c.key == key && key != 0 {
		return c
	}
	return nil
}

// is reports whether it is the exec of the event.
func (r *recent) is(e *Event) bool { return r.pid == e.PID && r.time == e.Time.UnixNano() }

func inTime(a, b Recent) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.PID, b.PID)) }

// describe makes a Recent of an exec in a ring of the scope.
func (r *recent) describe(s scope) Recent {
	var ran keptRun
	if r.moved {
		ran = *r.kept
	} else if p := s.process(r.pid); p != nil && p.ran == r.time {
		ran = keptRun{exe: p.exe, name: p.name, argc: p.argc, text: p.text[:min(len(p.text), recentText)]}
	}
	p := NoProcess
	p.PID, p.Name, p.Executable, p.ArgsCount = r.pid, ran.name, ran.exe, ran.argc
	if text := string(ran.text); text != "" {
		whole := strings.HasSuffix(text, "\x00")
		p.Args = strings.Split(strings.TrimSuffix(text, "\x00"), "\x00")
		if !whole { // the last one was cut
			p.ArgsCount = max(p.ArgsCount, len(p.Args)) + 1
		}
	}
	return Recent{Time: time.Unix(0, r.time).UTC(), Process: p, Parent: r.parent, ExitCode: r.exit, Exited: r.exited}
}
