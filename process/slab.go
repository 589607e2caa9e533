// SPDX-License-Identifier: Apache-2.0

package process

// slab is a fixed number of places for values with a key; the least recently used makes room. A place keeps its
// value's memory for the next.
type slab[V any] struct {
	index   map[uint64]int32
	places  []place[V]
	newest  int32 // ends of the list by age; -1: empty
	oldest  int32
	free    int32 // first of the free places, linked by older; -1: none
	max     int
	uses    uint32 // until now; it may begin anew
	settles uint32 // a place that was made the newest stays where it is for so many uses; 0: its order is exact
	evicted uint64
}

type place[V any] struct {
	value        V
	key          uint64
	newer, older int32
	newest       uint32 // at which use it was made the newest
	free         bool
}

func newSlab[V any](max int) slab[V] {
	return slab[V]{index: make(map[uint64]int32), newest: -1, oldest: -1, free: -1, max: max}
}

func (s *slab[V]) len() int { return len(s.index) }

// get returns the value of a key, nil when there is none.
func (s *slab[V]) get(key uint64) *V {
	i, ok := s.index[key]
	if !ok {
		return nil
	}
	return &s.places[i].value
}

// put returns the place of a key, as it was or as another key left it, and makes it the newest. Growing may move
// values: a pointer from get is stale after it.
func (s *slab[V]) put(key uint64) *V { return &s.places[s.putAt(key)].value }

// putAt is put, and returns where the place is.
func (s *slab[V]) putAt(key uint64) int32 { return s.putFound(s.find(key), key) }

// find is where the value of a key is, -1 when there is none.
func (s *slab[V]) find(key uint64) int32 {
	if s.newest >= 0 && s.places[s.newest].key == key { // one session's execs come in bursts
		return s.newest
	}
	if i, ok := s.index[key]; ok {
		return i
	}
	return -1
}

// putFound is putAt for what find has returned.
func (s *slab[V]) putFound(i int32, key uint64) int32 {
	switch {
	case i >= 0 && i == s.newest:
		return i
	case i >= 0:
		s.renew(i)
		return i
	case s.free >= 0:
		i = s.free
		s.free = s.places[i].older
	case len(s.places) < s.max:
		i = int32(len(s.places)) // bounded by max
		s.places = append(s.places, place[V]{})
	default:
		i = s.oldest
		s.unlink(i)
		delete(s.index, s.places[i].key)
		s.evicted++
	}
	s.index[key] = i
	p := &s.places[i]
	p.key, p.free = key, false
	s.uses++
	s.link(i)
	return i
}

// use makes a key's value the newest and returns it, nil when there is none.
func (s *slab[V]) use(key uint64) *V {
	i, ok := s.index[key]
	if !ok {
		return nil
	}
	s.renew(i)
	return &s.places[i].value
}

func (s *slab[V]) renew(i int32) {
	if s.uses++; i != s.newest && s.uses-s.places[i].newest > s.settles {
		s.unlink(i)
		s.link(i)
	}
}

// at returns the value of a key that has been at i, nil where it is there no longer. It is get without a search.
func (s *slab[V]) at(i int32, key uint64) *V {
	if s.holds(i, key) {
		return &s.places[i].value
	}
	return nil
}

func (s *slab[V]) holds(i int32, key uint64) bool {
	return int(i) < len(s.places) && s.places[i].key == key && !s.places[i].free
}

// link makes a place the newest.
func (s *slab[V]) link(i int32) {
	p := &s.places[i]
	p.newer, p.older, p.newest = -1, s.newest, s.uses
	if s.newest >= 0 {
		s.places[s.newest].newer = i
	}
	s.newest = i
	if s.oldest < 0 {
		s.oldest = i
	}
}

// remove frees the place of a key.
func (s *slab[V]) remove(key uint64) {
	i, ok := s.index[key]
	if !ok {
		return
	}
	s.unlink(i)
	delete(s.index, key)
	s.places[i].older, s.places[i].free = s.free, true
	s.free = i
}

func (s *slab[V]) unlink(i int32) {
	p := &s.places[i]
	if p.newer >= 0 {
		s.places[p.newer].older = p.older
	} else {
		s.newest = p.older
	}
	if p.older >= 0 {
		s.places[p.older].newer = p.newer
	} else {
		s.oldest = p.newer
	}
}
