// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// snapshotVersion is the version of what Snapshot writes. Restore refuses others than it knows; the caller then begins
// anew and says so.
const snapshotVersion = 3

// oldestVersion is the oldest that Restore reads.
const oldestVersion = 1

type snapshot struct {
	Version  int                      `json:"version"`
	Clock    time.Time                `json:"clock"`
	Rare     map[string]rare.Snapshot `json:"rare"`              // by rule id
	Context  map[string]hostSnapshots `json:"context,omitempty"` // by rule id
	Episodes []episodeSnapshot        `json:"episodes,omitempty"`
	// HeldEpisodes are those of which a control held the alerts back.
	HeldEpisodes []episodeSnapshot `json:"held_episodes,omitempty"`
	// Probations are in order of rule, host and actor.
	Probations []probationSnapshot `json:"probations,omitempty"`
	Held       []probationSnapshot `json:"held,omitempty"` // the same, of which a control held the alert back
	Limits     []limitSnapshot     `json:"limits,omitempty"`
	Verdicts   []verdictSnapshot   `json:"verdicts,omitempty"` // in order of time
	Former     []formerProbation   `json:"former,omitempty"`   // probations that have become habits
	Evicted    uint64              `json:"evicted,omitempty"`
	// Correlations are of hosts with an alert within the window. Older versions had none.
	Correlations []correlationSnapshot `json:"correlations,omitempty"`
	// Sessions are what accounts run beside the matches, by host. Versions before 3 had none.
	Sessions map[string]sessionsSnapshot `json:"sessions,omitempty"`
	Awaited  []awaitedSnapshot           `json:"awaited,omitempty"` // in order
}

// sessionsSnapshot are the sessions of a host.
type sessionsSnapshot struct {
	Used  time.Time              `json:"used"`
	Known habit.SessionsSnapshot `json:"known"`
}

// awaitedSnapshot is a match whose session goes on.
type awaitedSnapshot struct {
	Rule    string           `json:"rule"`
	Host    string           `json:"host"`
	Key     string           `json:"key"`
	Session habit.SessionKey `json:"session"`
	Due     time.Time        `json:"due"`
	Counted bool             `json:"counted,omitempty"`
	Event   *process.Event   `json:"event"`
}

// hostSnapshots are the contexts of hosts, by their ids.
type hostSnapshots map[string]hostSnapshot

type hostSnapshot struct {
	Used     time.Time      `json:"used"`
	Reported bool           `json:"reported,omitempty"` // what it had learned when it became old enough to alert
	Model    habit.Snapshot `json:"model"`
}

type probationSnapshot struct {
	Rule  string       `json:"rule"`
	Host  string       `json:"host"`
	Key   string       `json:"key"`
	Since []*probation `json:"since"`
}

type episodeSnapshot struct {
	Rule     string    `json:"rule"`
	Host     string    `json:"host"`
	Key      string    `json:"key"`
	ActorID  uint32    `json:"actor_id"`
	Actor    string    `json:"actor"`
	Service  bool      `json:"service,omitempty"`
	Image    string    `json:"image,omitempty"` // what the actor's container is one of
	User     string    `json:"user"`
	ID       string    `json:"id"`
	Start    time.Time `json:"start"`
	Last     time.Time `json:"last"`
	Over     time.Time `json:"over,omitzero"` // of the last exec over the threshold; zero, as of older versions: Last
	Execs    int       `json:"execs"`
	Alerts   int       `json:"alerts"`
	MaxScore float64   `json:"max_score"`
	AlertID  string    `json:"alert_id"`
	Visit    string    `json:"visit,omitempty"`
	Band     int       `json:"band"`
	Said     string    `json:"said,omitempty"`
	Commands []Command `json:"commands"`
	Group    []string  `json:"group,omitempty"`
	Actors   *Tally    `json:"actors,omitempty"` // of a group

	Correlation string `json:"correlation,omitempty"` // its id
	Member      bool   `json:"member,omitempty"`      // of a correlation that has shipped
}

func (s *episodeSnapshot) key(held bool) episodeKey {
	return episodeKey{rule: s.Rule, host: s.Host, actor: s.Key, held: held}
}

func (s probationSnapshot) key(held bool) episodeKey {
	return episodeKey{rule: s.Rule, host: s.Host, actor: s.Key, held: held}
}

func (ep *episode) snapshot(key episodeKey) episodeSnapshot {
	s := episodeSnapshot{
		Rule: key.rule, Host: key.host, Key: key.actor,
		ActorID: ep.actor.ID, Actor: ep.actor.Name, Service: ep.actor.Service, Image: ep.actor.Container,
		User: ep.user,
		ID:   ep.ID, Start: ep.Start, Last: ep.Last, Over: ep.over,
		Execs: ep.Execs, Alerts: ep.Alerts, MaxScore: ep.MaxScore, Commands: ep.Commands,
		AlertID: ep.alertID, Visit: ep.visit, Band: ep.band, Said: ep.said, Group: ep.Group,
	}
	s.Correlation, s.Member = ep.correlation.ID, ep.correlation.Member
	if len(ep.Group) > 0 {
		s.Actors = &ep.Actors
	}
	return s
}

// restore is the open episode, of a rule that is configured.
func (s *episodeSnapshot) restore(r *Rule) *episode {
	ep := &episode{
		Episode: Episode{ID: s.ID, Start: s.Start},
		EpisodeSummary: EpisodeSummary{
			Last: s.Last, Execs: s.Execs, Alerts: s.Alerts, MaxScore: s.MaxScore, Commands: s.Commands, Group: s.Group,
		},
		rule: r, actor: Actor{ID: s.ActorID, Name: s.Actor, Service: s.Service, Container: s.Image}, user: s.User,
		visit:   s.Visit,
		alertID: cmp.Or(s.AlertID, s.ID), band: s.Band, said: s.Said, over: cmp.Or(s.Over, s.Last),
	}
	ep.correlation = Correlation{ID: s.Correlation, Member: s.Member}
	if s.Actors != nil {
		ep.Actors = *s.Actors
	}
	return ep
}

// Snapshot returns everything that Restore needs to go on identically: models and open episodes, as JSON.
func (d *Detector) Snapshot() ([]byte, error) { return d.encode(true) }

// Learned returns the models alone, for another reconbeat to go on with, which has raised no alert yet.
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
			model := h.model.Snapshot()
			if !episodes {
				model.Traces = nil
			}
			s.Context[id][host] = hostSnapshot{Used: h.used, Reported: h.reported, Model: model}
		}
	}
	for host, h := range d.sessions {
		if s.Sessions == nil {
			s.Sessions = map[string]sessionsSnapshot{}
		}
		s.Sessions[host] = sessionsSnapshot{Used: h.used, Known: h.Snapshot()}
	}
	if episodes {
		for _, w := range d.awaited {
			s.Awaited = append(s.Awaited, awaitedSnapshot{
				Rule: w.key.rule, Host: w.key.host, Key: w.key.actor, Session: w.session, Due: w.due, Counted: w.counted,
				Event: w.event,
			})
		}
		for key, ep := range d.episodes {
			if key.held {
				s.HeldEpisodes = append(s.HeldEpisodes, ep.snapshot(key))
			} else {
				s.Episodes = append(s.Episodes, ep.snapshot(key))
			}
		}
		s.Correlations = d.snapshotCorrelations()
		s.Limits, s.Verdicts, s.Former = d.snapshotLimits(), d.snapshotVerdicts(), d.former
		for key, list := range d.probations {
			one := probationSnapshot{Rule: key.rule, Host: key.host, Key: key.actor, Since: list}
			if key.held {
				s.Held = append(s.Held, one)
			} else {
				s.Probations = append(s.Probations, one)
			}
		}
		for _, list := range [][]probationSnapshot{s.Probations, s.Held} {
			slices.SortFunc(list, func(a, b probationSnapshot) int { return a.key(false).compare(b.key(false)) })
		}
		for _, list := range [][]episodeSnapshot{s.Episodes, s.HeldEpisodes} {
			slices.SortFunc(list, func(a, b episodeSnapshot) int { return cmp.Compare(a.ID, b.ID) })
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the detector's snapshot: %w", err)
	}
	return b, nil
}

// accounts are keys of actors without their containers.
type accounts map[string]bool

// has reports whether the account of an actor's key is among them.
func (a accounts) has(key string) bool {
	account, _ := accountOf(key)
	return a[account]
}

// Forget makes an account, by id or name, unknown again to every rule, on every host, and ends its episodes and
// probations. It returns in how many models it was known.
func (d *Detector) Forget(idOrName string) (n int) {
	keys := accounts{"uid " + idOrName: true, "name " + idOrName: true}
	for _, l := range d.kept {
		if l.rare.Forget(idOrName) {
			n++
		}
		for _, h := range l.hosts {
			ids := h.model.Forget(idOrName)
			for _, id := range ids {
				keys["uid "+id], keys["name "+id] = true, true
			}
			n += len(ids)
		}
	}
	known := map[string]bool{idOrName: true}
	for key := range keys {
		_, id, _ := strings.Cut(key, " ")
		known[id] = true
	}
	for _, h := range d.sessions {
		h.Forget(known)
	}
	d.awaited = slices.DeleteFunc(d.awaited, func(w *awaited) bool { return keys.has(w.key.actor) })
	maps.DeleteFunc(d.probations, func(k episodeKey, _ []*probation) bool { return keys.has(k.actor) })
	maps.DeleteFunc(d.episodes, func(k episodeKey, ep *episode) bool {
		return keys.has(k.actor) || keys.has(ep.actor.key())
	})
	d.forgetVerdicts(keys)
	d.forgetCorrelated(keys)
	return n
}

// Reset forgets everything.
func (d *Detector) Reset() {
	d.watching = watching{}
	clear(d.kept)
	clear(d.episodes)
	clear(d.probations)
	clear(d.limits)
	clear(d.correlations)
	clear(d.verdicts)
	clear(d.sessions)
	d.former, d.awaited = nil, nil
	for i, r := range d.rules {
		d.kept[r.ID] = newLearned(rare.New(d.o.Rare))
		d.models[i] = d.kept[r.ID]
	}
}

// Known is what one rule has learned of one host's actors.
type Known struct {
	Rule   string          `json:"rule"` // its id
	Host   string          `json:"host,omitempty"`
	Began  time.Time       `json:"began"`
	Actors []habit.Profile `json:"actors"`
	Users  []string        `json:"users"` // of the rare model, which knows no hosts: the most frequent first
	// Probations are the contexts that actors have alerted in and that are not habits yet.
	Probations []Probation `json:"probations,omitempty"`
}

// Probation is a context that an actor is on probation in.
type Probation struct {
	Actor   string    `json:"actor"` // id or name, and the container
	AlertID string    `json:"alert_id"`
	Context []string  `json:"context"` // what is unusual, in words
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Days    int       `json:"days"`  // on how many days the context was seen
	Habit   Habit     `json:"habit"` // when it ends
}

// Known returns what was learned until t, of the account with an id or a name, or of all: by rule and host, in order.
func (d *Detector) Known(idOrName string, t time.Time) []Known {
	var out []Known
	for _, id := range slices.Sorted(maps.Keys(d.kept)) {
		l := d.kept[id]
		users := l.rare.Typical(l.rare.Users(), "")
		if idOrName != "" {
			users = slices.DeleteFunc(users, func(u string) bool { return u != idOrName })
		}
		for _, host := range slices.Sorted(maps.Keys(l.hosts)) {
			m := l.hosts[host].model
			actors := m.Profiles(idOrName, t)
			if s := d.sessions[host]; s != nil {
				for i := range actors {
					if programs := s.Usual(&actors[i], t); len(programs) > 0 {
						actors[i].Features[habit.PartNames[habit.Session]] = programs
					}
				}
			}
			out = append(out, Known{
				Rule: id, Host: host, Began: m.Began(), Actors: actors, Users: users,
				Probations: d.onProbation(id, host, actors),
			})
			users = nil
		}
		if users != nil {
			out = append(out, Known{Rule: id, Users: users})
		}
	}
	return slices.DeleteFunc(out, func(k Known) bool { return len(k.Actors)+len(k.Users) == 0 })
}

// onProbation are the probations of actors of a host, in the order of their alerts. A host without an id is this one,
// whose probations have its id all the same.
func (d *Detector) onProbation(rule, host string, actors []habit.Profile) []Probation {
	names := map[string]string{}
	for _, a := range actors {
		for _, key := range []string{"uid " + a.ID, "name " + a.ID, "name " + a.Name} {
			names[key] = cmp.Or(a.Name, a.ID)
		}
	}
	var out []Probation
	for key, list := range d.probations {
		here := key.host == host || host == "" && d.kept[rule].hosts[key.host] == nil
		account, container := accountOf(key.actor)
		name, known := names[account]
		if key.rule != rule || !here || !known || key.held {
			continue
		}
		if container != "" {
			name += " in " + container
		}
		for _, p := range list {
			public := Probation{
				Actor: name, AlertID: p.AlertID, First: p.First, Last: p.Last, Days: p.Days, Habit: d.o.Habit,
				Context: p.describe(),
			}
			out = append(out, public)
		}
	}
	slices.SortFunc(out, func(a, b Probation) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.AlertID, b.AlertID))
	})
	return out
}

// Restore replaces what was learned by what Snapshot or Learned returned. On an error nothing changes. Models of rules
// that are absent from the configuration are kept for their return; their episodes are dropped.
func (d *Detector) Restore(b []byte) error {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading the detector's snapshot: %w", err)
	}
	if s.Version < oldestVersion || s.Version > snapshotVersion {
		return fmt.Errorf("the detector's snapshot has version %d; this reconbeat reads versions %d to %d",
			s.Version, oldestVersion, snapshotVersion)
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
			model, err := habit.Restore(contextOptions(d.o.HalfLife), h.Model)
			if err != nil {
				return fmt.Errorf("reading the contexts of rule %q on host %q: %w", id, host, err)
			}
			// Version 1 had no reports: what was learned long ago is no news.
			reported := h.Reported || s.Version < 2 && model.Age(h.Used) >= d.o.LearnFor
			l.hosts[host] = &hostContexts{model: model, used: h.Used, reported: reported}
			l.opened(l.hosts[host])
		}
	}
	sessions := map[string]*hostSessions{}
	for host, h := range s.Sessions {
		known, err := habit.RestoreSessions(contextOptions(d.o.HalfLife), &d.spare, h.Known)
		if err != nil {
			return fmt.Errorf("reading the sessions of host %q: %w", host, err)
		}
		sessions[host] = &hostSessions{Sessions: known, used: h.Used}
	}
	noEvent := func(w awaitedSnapshot) bool { return w.Event == nil }
	if len(s.Awaited) > maxAwaited+maxRules || slices.ContainsFunc(s.Awaited, noEvent) {
		return fmt.Errorf("%s await their sessions' end (want at most %d, none missing)",
			plural.Of(len(s.Awaited), "match"), maxAwaited+maxRules)
	}
	probations := map[episodeKey][]*probation{}
	for i, p := range slices.Concat(s.Probations, s.Held) {
		if len(p.Since) == 0 || len(p.Since) > maxProbations || slices.Contains(p.Since, nil) {
			return fmt.Errorf("probations of %q: %d contexts (want 1 to %d)", p.Key, len(p.Since), maxProbations)
		}
		if len(probations) >= maxOnProbation {
			return fmt.Errorf("more than %d actors on probation", maxOnProbation)
		}
		probations[p.key(i >= len(s.Probations))] = p.Since
	}
	verdicts, err := verdictsOf(s.Verdicts)
	if err != nil {
		return fmt.Errorf("reading what was said of alerts: %w", err)
	}
	missing := func(f formerProbation) bool { return f.Probation == nil }
	if len(s.Former) > maxHabits || slices.ContainsFunc(s.Former, missing) {
		return fmt.Errorf("%s have become habits (want at most %d, none missing)", plural.Of(len(s.Former), "probation"),
			maxHabits)
	}
	d.verdicts, d.former = verdicts, s.Former
	d.kept, d.episodes, d.probations = kept, map[episodeKey]*episode{}, probations
	d.clock, d.evicted, d.sessions, d.awaited = s.Clock, s.Evicted, sessions, nil
	for _, w := range s.Awaited {
		d.awaited = append(d.awaited, &awaited{
			key: episodeKey{rule: w.Rule, host: w.Host, actor: w.Key}, session: w.Session, due: w.Due,
			counted: w.Counted, event: w.Event,
		})
	}
	d.models, d.watching = d.models[:0], watching{}
	rules := map[string]*Rule{}
	for _, r := range d.rules {
		rules[r.ID] = r
		if kept[r.ID] == nil {
			kept[r.ID] = newLearned(rare.New(d.o.Rare))
		}
		d.models = append(d.models, kept[r.ID])
	}
	for i, e := range slices.Concat(s.Episodes, s.HeldEpisodes) {
		r := rules[e.Rule]
		if r == nil || len(d.episodes) >= maxEpisodes {
			continue
		}
		d.episodes[e.key(i >= len(s.Episodes))] = e.restore(r)
	}
	d.restoreLimits(s.Limits, rules)
	d.restoreCorrelations(s.Correlations)
	return nil
}
