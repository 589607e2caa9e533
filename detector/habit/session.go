// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"time"
)

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

// session is what an account runs without a pause.
type session struct {
	Start   time.Time `json:"start"` // in watched time, as Last
	Last    time.Time `json:"last"`
	Ignored bool      `json:"ignored,omitempty"` // it teaches nothing
	key     SessionKey
	who     member
	used    []used
	chained *session // the next one of the same bucket
	earlier *session // the one that is over before it; nil: none
	later   *session // the one that is over next
}

// used is a program of a session.
type used struct {
	program text
	since   time.Time // the clock's: the first time
	minute  int64     // of the clock, since 1970: the last one
	other   bool      // no rule means it
}

// ran notes a program. There is room for maxValues.
func (o *session) ran(program text, at time.Time, other bool) {
	minute := minuteOf(at)
	for i := range o.used {
		if u := &o.used[i]; u.program == program {
			u.minute = max(u.minute, minute)
			return
		}
	}
	if len(o.used) < maxValues {
		o.used = append(o.used, used{program, at, minute, other})
	}
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// compare orders sessions by when they are over if nothing more is run in them.
func (o *session) compare(other *session) int {
	if c := o.Last.Compare(other.Last); c != 0 {
		return c
	}
	return o.key.compare(other.key)
}

// Spare is the memory of sessions that are over, of whatever host, for those that begin. The zero Spare is ready. It
// belongs to one goroutine.
type Spare struct{ sessions []*session }

// maxSpare bounds of how many sessions a Spare keeps the memory.
const maxSpare = 64

// session is an empty one.
func (s *Spare) session() *session {
	last := len(s.sessions) - 1
	if last < 0 {
		return &session{}
	}
	empty := s.sessions[last]
	s.sessions = s.sessions[:last]
	return empty
}

// keep empties a session, and keeps its memory.
func (s *Spare) keep(over *session) {
	if len(s.sessions) < maxSpare {
		clear(over.used)
		*over = session{used: over.used[:0]}
		s.sessions = append(s.sessions, over)
	}
}
