// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"maps"
	"sync"

	"github.com/reconbeat/reconbeat/process"
)

// cursors remembers where each module has read to: the place after the last event that was judged, never after one that
// is still in the ring.
type cursors struct {
	mu sync.Mutex
	at map[string]process.Cursor
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
	c.at[id] = at
}

func (c *cursors) all() map[string]process.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.at)
}

func (c *cursors) restore(at map[string]process.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = maps.Clone(at)
}
