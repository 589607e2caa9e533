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
)

// Recent is an exec that a Table remembers beside a later one.
type Recent struct {
	Time     time.Time
	Process         // pid, name, executable and arguments; ArgsCount is more than len(Args) where they were cut
	Parent   string // base name of the parent's program; empty: unknown
	ExitCode int32  // where Exited
	Exited   bool   // the source has reported the end of the process while it ran this program
}

// recent is a Recent in a ring. Its text is its own memory, reused.
type recent struct {
	time      int64  // in nanoseconds since 1970
	exe, name string // interned
	parent    string // interned
	text      []byte // the arguments, each followed by a zero byte
	argc      int
	pid       uint32
	exit      int32
	exited    bool
}

// ring is the ring of one session or actor.
type ring struct {
	key   uint64 // whose it is, unlike the slab's place, which outlives its holder
	execs []recent
	next  int // where the next exec goes once the ring is full
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

// remember puts an exec into the ring that it belongs to.
func (t *Table) remember(s scope, p *procEntry, e *Event, parent string) {
	key := t.ringKey(s, e)
	p.ring = key
	if key == 0 {
		return
	}
	c := s.rings.put(key)
	if c.key != key {
		c.key, c.execs, c.next = key, c.execs[:0], 0
	}
	var r *recent
	switch n := len(c.execs); {
	case n == recentExecs:
		r = &c.execs[c.next]
		c.next = (c.next + 1) % recentExecs
	case n < cap(c.execs):
		c.execs = c.execs[:n+1] // with the text's memory of an earlier holder
		r = &c.execs[n]
	default:
		c.execs = append(c.execs, recent{})
		r = &c.execs[n]
	}
	text := p.text
	if len(text) > recentText {
		text = text[:recentText]
	}
	r.text = append(r.text[:0], text...)
	r.time, r.exe, r.name, r.parent = e.Time.UnixNano(), p.exe, p.name, parent
	r.pid, r.argc, r.exit, r.exited = p.pid, p.argc, 0, false
}

// ended notes how the latest program of a process ended.
func (t *Table) ended(s scope, p *procEntry, e *Event) {
	c := s.rings.get(p.ring)
	if c == nil || p.ring == 0 || c.key != p.ring {
		return
	}
	var latest *recent
	for i := range c.execs {
		if r := &c.execs[i]; r.pid == p.pid && (latest == nil || r.time >= latest.time) {
			latest = r
		}
	}
	if latest != nil && !latest.exited {
		latest.exit, latest.exited = e.ExitCode, true
	}
}

// Recent returns what else ran before an exec, the oldest first: in its login session, or where there is none by its
// real user in its container. It goes back RecentFor, or 32 execs of the session, and shares no memory with the Table.
func (t *Table) Recent(e *Event) []Recent {
	c := t.ring(e)
	if c == nil {
		return nil
	}
	var before []Recent
	now := e.Time.UnixNano()
	for i := range c.execs {
		r := &c.execs[i]
		if r.time > now || now-r.time > int64(RecentFor) || r.is(e) {
			continue
		}
		before = append(before, r.describe())
	}
	slices.SortStableFunc(before, inTime)
	return before
}

// Later returns what else has run since an exec was observed, in the same session and order, until a time. Of more than
// 32 execs it knows the latest; whole reports whether these are all.
func (t *Table) Later(e *Event, until time.Time) (after []Recent, whole bool) {
	c := t.ring(e)
	if c == nil {
		return nil, false
	}
	for i := range c.execs {
		r := &c.execs[(c.next+i)%len(c.execs)] // in the order in which they were observed
		switch {
		case r.is(e):
			after, whole = nil, true
		case r.time <= until.UnixNano():
			after = append(after, r.describe())
		}
	}
	slices.SortStableFunc(after, inTime)
	return after, whole
}

// ring is the ring that an exec belongs to; nil: none, or another session has its place by now.
func (t *Table) ring(e *Event) *ring {
	s := t.scope(e)
	key := t.ringKey(s, e)
	if c := s.rings.get(key); c != nil && c.key == key && key != 0 {
		return c
	}
	return nil
}

// is reports whether it is the exec of the event.
func (r *recent) is(e *Event) bool { return r.pid == e.PID && r.time == e.Time.UnixNano() }

func inTime(a, b Recent) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.PID, b.PID)) }

func (r *recent) describe() Recent {
	p := NoProcess
	p.PID, p.Name, p.Executable, p.ArgsCount = r.pid, r.name, r.exe, r.argc
	if text := string(r.text); text != "" {
		whole := strings.HasSuffix(text, "\x00")
		p.Args = strings.Split(strings.TrimSuffix(text, "\x00"), "\x00")
		if !whole { // the last one was cut
			p.ArgsCount = max(p.ArgsCount, len(p.Args)) + 1
		}
	}
	return Recent{Time: time.Unix(0, r.time).UTC(), Process: p, Parent: r.parent, ExitCode: r.exit, Exited: r.exited}
}
