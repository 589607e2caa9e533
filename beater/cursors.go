// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"maps"
	"sync"

	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// cursors remembers where each module has read to: the place after the last event that was judged, never after one that
// is still in the ring.
type cursors struct {
	mu     sync.Mutex
	at     map[string]process.Cursor
	recent map[string]*module.Recent // of modules that read a cluster: the documents near the place
}

func (c *cursors) get(id string) process.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[id]
}

func (c *cursors) set(id string, at process.Cursor) {
	if at == (process.Cursor{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[string]process.Cursor{}
	}
	// A module that reads a cluster from its beginning has no horizon yet.
	if at.Horizon != 0 || at.Document != (process.Mark{}) {
		c.near(id).Add(at.Document)
		c.near(id).Forget(at.Horizon)
		at.Document = process.Mark{}
	}
	c.at[id] = at
}

// near are the documents that a module has read near its place.
func (c *cursors) near(id string) *module.Recent {
	if c.recent == nil {
		c.recent = map[string]*module.Recent{}
	}
	if c.recent[id] == nil {
		c.recent[id] = &module.Recent{}
	}
	return c.recent[id]
}

// documents encodes the documents that a module has read near its place; nil where it reads no cluster.
func (c *cursors) documents(id string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent[id] == nil {
		return nil, nil
	}
	return c.recent[id].MarshalBinary()
}

// snapshot puts all places, and what was read near them, into a snapshot.
func (c *cursors) snapshot(s *state.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Cursors = maps.Clone(c.at)
	for id, r := range c.recent {
		b, err := r.MarshalBinary()
		if err != nil {
			return fmt.Errorf("encoding the documents that %s has read: %w", id, err)
		}
		if s.Recent == nil {
			s.Recent = map[string][]byte{}
		}
		s.Recent[id] = b
	}
	return nil
}

// restore takes the places over from a snapshot. Documents that cannot be read are forgotten, and the module goes on as
// if none was known.
func (c *cursors) restore(s state.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.recent = maps.Clone(s.Cursors), nil
	for id, b := range s.Recent {
		if err := c.near(id).UnmarshalBinary(b); err != nil {
			delete(c.recent, id)
		}
	}
}
