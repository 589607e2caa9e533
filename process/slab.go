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
	evicted uint64
}

type place[V any] struct {
	value        V
	key          uint64
	newer, older int32
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
func (s *slab[V]) put(key uint64) *V {
	if s.newest >= 0 && s.places[s.newest].key == key { // one session's execs come in bursts
		return &s.places[s.newest].value
	}
	if i, ok := s.index[key]; ok {
		s.renew(i)
		return &s.places[i].value
	}
	var i int32
	switch {
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
	p.key = key
	s.link(i)
	return &p.value
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
	if i != s.newest {
		s.unlink(i)
		s.link(i)
	}
}

// link makes a place the newest.
func (s *slab[V]) link(i int32) {
	p := &s.places[i]
	p.newer, p.older = -1, s.newest
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
	s.places[i].older = s.free
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
