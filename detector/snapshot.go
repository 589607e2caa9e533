// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector/context"
	"github.com/reconbeat/reconbeat/detector/rare"
)

// snapshotVersion is the version of what Snapshot writes. Restore refuses what it does not know; the caller then begins anew and says so.
const snapshotVersion = 1

type snapshot struct {
	Version  int                      `json:"version"`
	Clock    time.Time                `json:"clock"`
	Rare     map[string]rare.Snapshot `json:"rare"`              // by rule id
	Context  map[string]hostSnapshots `json:"context,omitempty"` // by rule id
	Episodes []episodeSnapshot        `json:"episodes,omitempty"`
	Evicted  uint64                   `json:"evicted,omitempty"`
}

// hostSnapshots are the contexts of hosts, by their ids.
type hostSnapshots map[string]hostSnapshot

type hostSnapshot struct {
	Used  time.Time        `json:"used"`
	Model context.Snapshot `json:"model"`
}

type episodeSnapshot struct {
	Rule     string    `json:"rule"`
	Host     string    `json:"host"`
	Key      string    `json:"key"`
	ActorID  uint32    `json:"actor_id"`
	Actor    string    `json:"actor"`
	Service  bool      `json:"service,omitempty"`
	User     string    `json:"user"`
	ID       string    `json:"id"`
	Start    time.Time `json:"start"`
	Last     time.Time `json:"last"`
	Execs    int       `json:"execs"`
	Alerts   int       `json:"alerts"`
	MaxScore float64   `json:"max_score"`
	Commands []Command `json:"commands"`
}

// Snapshot returns everything that Restore needs to go on identically: models and open episodes, as JSON.
func (d *Detector) Snapshot() ([]byte, error) { return d.encode(true) }

// Learned returns the models alone: what another reconbeat may take over, which has alerted of nothing yet.
func (d *Detector) Learned() ([]byte, error) { return d.encode(false) }

func (d *Detector) encode(episodes bool) ([]byte, error) {
	s := snapshot{Version: snapshotVersion, Clock: d.clock, Rare: map[string]rare.Snapshot{}, Evicted: d.evicted}
	for id, l := range d.kept {
		s.Rare[id] = l.rare.Snapshot()
		for host, h := range l.hosts {
			if s.Context == nil {
				s.Context = map[string]hostSnapshots{}
			}
			if s.Context[id] == nil {
				s.Context[id] = hostSnapshots{}
			}
			s.Context[id][host] = hostSnapshot{h.used, h.model.Snapshot()}
		}
	}
	if episodes {
		for key, ep := range d.episodes {
			s.Episodes = append(s.Episodes, episodeSnapshot{
				Rule: key.rule, Host: key.host, Key: key.actor, ActorID: ep.actor.ID, Actor: ep.actor.Name, Service: ep.actor.Service, User: ep.user,
				ID: ep.ID, Start: ep.Start, Last: ep.Last, Execs: ep.Execs, Alerts: ep.Alerts, MaxScore: ep.MaxScore, Commands: ep.Commands,
			})
		}
		slices.SortFunc(s.Episodes, func(a, b episodeSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the detector's snapshot: %w", err)
	}
	return b, nil
}

// Restore takes over what Snapshot or Learned returned. On an error nothing changes. Models of rules that are not configured are kept for the day
// they are; episodes of rules that are gone are dropped.
func (d *Detector) Restore(b []byte) error {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading the detector's snapshot: %w", err)
	}
	if s.Version != snapshotVersion {
		return fmt.Errorf("the detector's snapshot is of version %d; this reconbeat knows version %d", s.Version, snapshotVersion)
	}
	kept := map[string]*learned{}
	for id, m := range s.Rare {
		model, err := rare.Restore(d.o.Rare, m)
		if err != nil {
			return fmt.Errorf("reading what rule %q had learned: %w", id, err)
		}
		kept[id] = newLearned(model)
	}
	for id, hosts := range s.Context {
		l := kept[id]
		if l == nil {
			return fmt.Errorf("rule %q has learned contexts and no users", id)
		}
		for host, h := range hosts {
			model, err := context.Restore(contextOptions, h.Model)
			if err != nil {
				return fmt.Errorf("reading the contexts of rule %q on host %q: %w", id, host, err)
			}
			l.hosts[host] = &hostContexts{model, h.Used}
		}
	}
	d.kept, d.episodes, d.clock, d.evicted = kept, map[episodeKey]*episode{}, s.Clock, s.Evicted
	d.models = d.models[:0]
	rules := map[string]*Rule{}
	for _, r := range d.rules {
		rules[r.ID] = r
		if kept[r.ID] == nil {
			kept[r.ID] = newLearned(rare.New(d.o.Rare))
		}
		d.models = append(d.models, kept[r.ID])
	}
	for _, e := range s.Episodes {
		r := rules[e.Rule]
		if r == nil || len(d.episodes) >= maxEpisodes {
			continue
		}
		d.episodes[episodeKey{e.Rule, e.Host, e.Key}] = &episode{
			rule: r, actor: Actor{e.ActorID, e.Actor, e.Service}, user: e.User,
			Episode: Episode{ID: e.ID, Start: e.Start, Last: e.Last, Execs: e.Execs, Alerts: e.Alerts, MaxScore: e.MaxScore, Commands: e.Commands},
		}
	}
	return nil
}
