// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// moduleSet is the set of the modules that run, for watermarks and metrics.
type moduleSet struct {
	mu      sync.Mutex
	runners []*runner
	ended   tally // what the modules that run no more had counted
}

func (s *moduleSet) add(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runners = append(s.runners, r)
}

func (s *moduleSet) remove(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runners = slices.DeleteFunc(s.runners, func(o *runner) bool { return o == r })
	s.ended.add(r.stats)
}

// tally is what all modules have counted, those that run no more among them: malformed and lost.
func (s *moduleSet) tally() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.ended
	for _, r := range s.runners {
		t.add(r.stats)
	}
	return t
}

func (t *tally) add(s *module.Stats) {
	t.malformed += s.Malformed.Load()
	t.lost += s.LostKernel.Load() + s.LostSocket.Load() + s.LostSequence.Load() + s.LostRace.Load()
	t.lostBytes += s.LostFile.Load()
}

// sources returns what the engine knows of the modules that run.
func (s *moduleSet) sources() []*engine.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*engine.Source, len(s.runners))
	for i, r := range s.runners {
		list[i] = r.source
	}
	return list
}

// list returns the modules that run.
func (s *moduleSet) list() []*runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runners)
}

// watermark is the least of the modules' watermarks; now less kernelLag when none runs.
func (s *moduleSet) watermark(now time.Time) time.Time {
	mark := now.Add(-kernelLag)
	for _, r := range s.list() {
		if m := r.watermark(now); m.Before(mark) {
			mark = m
		}
	}
	return mark
}

// String names the modules that run, and tells why `auto` chose one.
func (s *moduleSet) String() string {
	var names []string
	for _, r := range s.list() {
		name := r.kind.Name
		if id := r.source.ID; id != name && id != catalog.Auto {
			name += " " + id
		}
		if r.why != "" {
			name += " (chosen by auto: " + r.why + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no module"
	}
	return strings.Join(names, " and ")
}
