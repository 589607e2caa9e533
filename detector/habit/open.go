// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"hash/maphash"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// openSessions are the sessions of a host that are not over: by their keys, and in their order. The sessions themselves
// are the links of both, so that to begin and to end one costs no search.
type openSessions struct {
	n       int
	buckets []*session // as many as there are sessions, or more; a power of two
	first   *session   // the one that was silent for the longest time
	last    *session
}

// get is the session of a key; nil: it is not open.
func (s *openSessions) get(k *SessionKey) *session {
	if s.n == 0 {
		return nil
	}
	open := *s.bucket(k)
	for open != nil && open.key != *k {
		open = open.chained
	}
	return open
}

// bucket is where the sessions of a key begin that share its bucket. There is one.
func (s *openSessions) bucket(k *SessionKey) **session {
	return &s.buckets[k.hash()&uint32(len(s.buckets)-1)]
}

// keySeed differs with each run, so that nobody chooses names that share a bucket.
var keySeed = maphash.MakeSeed()

// hash is the same of all keys of a login session. The kernel counts those, so that they spread by themselves.
func (k *SessionKey) hash() uint32 {
	if k.Session != process.Unset {
		return k.Session
	}
	h := k.User
	for _, s := range [...]string{k.Name, k.Container} {
		if s != "" {
			h ^= uint32(maphash.String(keySeed, s))
		}
	}
	return h
}

// add opens a session, whose key is no other one's.
func (s *openSessions) add(open *session) {
	s.n++
	if s.n > len(s.buckets) {
		s.buckets = make([]*session, max(4, 2*len(s.buckets)))
		for other := s.first; other != nil; other = other.later {
			s.chain(other)
		}
	}
	s.chain(open)
	s.queue(open)
}

func (s *openSessions) chain(open *session) {
	bucket := s.bucket(&open.key)
	open.chained, *bucket = *bucket, open
}

// queue places a session in the order, nearly always at its end.
func (s *openSessions) queue(open *session) {
	before := s.last
	for before != nil && open.compare(before) < 0 {
		before = before.earlier
	}
	open.earlier, open.later = before, s.first
	if before != nil {
		open.later = before.later
	}
	*s.laterThan(open.earlier), *s.earlierThan(open.later) = open, open
}

// laterThan is where it stands which session follows one; nil: which is the first.
func (s *openSessions) laterThan(one *session) **session {
	if one == nil {
		return &s.first
	}
	return &one.later
}

// earlierThan is where it stands which session one follows; nil: which is the last.
func (s *openSessions) earlierThan(one *session) **session {
	if one == nil {
		return &s.last
	}
	return &one.earlier
}

// goOn notes that a session was not silent until now.
func (s *openSessions) goOn(open *session, now time.Time) {
	if !now.After(open.Last) {
		return
	}
	open.Last = now
	if open != s.last {
		s.unqueue(open)
		s.queue(open)
	}
}

func (s *openSessions) unqueue(open *session) {
	*s.laterThan(open.earlier), *s.earlierThan(open.later) = open.later, open.earlier
}

// remove takes out a session that is open.
func (s *openSessions) remove(open *session) {
	at := s.bucket(&open.key)
	for *at != open {
		at = &(*at).chained
	}
	*at = open.chained
	s.unqueue(open)
	s.n--
}
