// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// Correlating is when several alerts of a host are one story. The zero value is never.
type Correlating struct {
	Window time.Duration // how long after its last alert a further one still belongs to it; 0: alerts do not correlate
}

// DefaultCorrelating is half an hour: what an intruder tries one after the other comes within minutes.
var DefaultCorrelating = Correlating{Window: 30 * time.Minute}

// The rule that a correlation is of, which no file holds.
const (
	CorrelationRule = "correlation"
	// correlatedBand is that of its severity and risk score, 73: high.
	correlatedBand = 2
)

const (
	maxCorrelations = 1000 // hosts with an alert within the window; the one whose last alert is the oldest ends early
	maxMembers      = 20   // that a correlation names; further ones are counted
)

// Correlation is what several alerts of a host within the window have in common. Every alert has the id of the one that
// it would begin or that it joins, because a document never changes once it has shipped: the first alert ships before
// anybody knows that there will be a second.
type Correlation struct {
	ID     string
	Member bool // the correlation's own document shipped before, or a part of it, that names the same actor

	// Of the correlation's own documents alone.
	Start   time.Time // of the first alert
	Last    time.Time // of the last one
	Alerts  int       // escalations among them
	Members []Member  // the first maxMembers pairs of rule and actor
	Further int       // how many alerts came of other pairs
}

// Member is the first alert of a rule and an actor in a correlation.
type Member struct {
	Rule    string  `json:"rule"`
	Key     string  `json:"key"`   // of the actor, as an episode's
	Actor   string  `json:"actor"` // in words
	AlertID string  `json:"alert_id"`
	Score   float64 `json:"score"`
	Command string  `json:"command,omitempty"` // at most memberCommandBytes
}

// correlation is a Correlation that is open, of one alert or more.
type correlation struct {
	Correlation
	shipped bool // a second rule or actor has come
	// Of the last alert, whose actor and account the closing document names.
	actor Actor
	user  string
}

// closes is when the correlation ends if no further alert comes.
func (c *correlation) closes(o Options) time.Time {
	idle, most := c.Last.Add(o.Correlate.Window), c.Start.Add(max(o.EpisodeMax, o.Correlate.Window))
	return earlier(idle, most)
}

// correlate places an alert into the correlation of its host, and marks alert and episode. What ended before goes to
// out. It reports whether the alert is the one that makes a story of several.
func (d *Detector) correlate(m *match, ep *episode, out []Finding) (completes bool, _ []Finding) {
	f, host := &m.finding, m.key.host
	if d.o.Correlate.Window <= 0 {
		return false, out
	}
	c := d.correlations[host]
	if c != nil && !c.closes(d.o).After(f.Time) {
		out, c = d.endCorrelation(host, c, out), nil
	}
	if c == nil {
		if len(d.correlations) >= maxCorrelations {
			out = d.evictCorrelation(out)
		}
		c = &correlation{Correlation: Correlation{
			ID: process.ID("correlation", host, strconv.FormatInt(f.Time.UnixNano(), 10), f.AlertID), Start: f.Time,
		}}
		d.correlations[host] = c
	}
	c.Start, c.Last = earlier(c.Start, f.Time), latest(c.Last, f.Time)
	c.actor, c.user = f.Actor, f.User
	c.Alerts++
	f.Correlation = Correlation{ID: c.ID, Member: c.shipped && c.names(m.key.actor)}
	if ep.correlation.ID == "" {
		ep.correlation = f.Correlation
	}
	if !c.add(m) || c.shipped {
		return false, out
	}
	c.shipped = len(c.Members) > 1
	if c.shipped { // the summaries that are still to come belong to the story
		for _, other := range d.episodes {
			if other.correlation.ID == c.ID {
				other.correlation.Member = true
			}
		}
	}
	return c.shipped, out
}

// names reports whether an actor is among the members. An alert on another one is news, whatever shipped before.
func (c *correlation) names(actor string) bool {
	return slices.ContainsFunc(c.Members, func(m Member) bool { return m.Key == actor })
}

// add counts the alert's rule and actor among the members, and reports whether they are new.
func (c *correlation) add(m *match) bool {
	f := &m.finding
	for i := range c.Members {
		if one := &c.Members[i]; one.Rule == m.key.rule && one.Key == m.key.actor {
			one.Score = max(one.Score, f.Score)
			return false
		}
	}
	if len(c.Members) == maxMembers {
		c.Further++
		return false
	}
	c.Members = append(c.Members, Member{
		Rule: m.key.rule, Key: m.key.actor, Actor: f.Actor.String(), AlertID: f.AlertID, Score: f.Score,
		Command: commandLine(m.event, memberCommandBytes),
	})
	return true
}

// memberCommandBytes bounds the command line of a member.
const memberCommandBytes = 256

// correlated is the alert that several alerts are one story. It names actor and program of the one that showed it.
func (d *Detector) correlated(m *match) Finding {
	c := d.correlations[m.key.host]
	f := m.finding
	return Finding{
		Kind: Correlated, Rule: d.correlationRule(c), Time: f.Time, Local: f.Local, Actor: f.Actor, User: f.User,
		Program: f.Program, AlertID: f.AlertID, Correlation: c.copy(),
	}
}

// copy is the correlation as it stands.
func (c *correlation) copy() Correlation {
	now := c.Correlation
	now.Members = slices.Clone(c.Members)
	return now
}

// correlationRule is the rule that a correlation's documents name: its techniques are those of the members' rules.
func (d *Detector) correlationRule(c *correlation) *Rule {
	r := &Rule{
		ID: CorrelationRule, Name: "Several unusual discovery alerts", Version: 1, Severity: "high",
		RiskScore: float64(bandSeverities[correlatedBand]), Author: []string{"reconbeat"}, License: "Apache-2.0",
		Description: "Several rules, or several accounts, have raised alerts on one host shortly after each other.",
		Habit:       "raised several alerts",
		Note: "One alert may be a colleague who troubleshoots. Several techniques within minutes, or several accounts, " +
			"are how an intruder looks around: begin with this alert, and read its parts in their order. Its values " +
			"are those of the part that came last.",
		FalsePositives: []string{"Software is installed or a host is handed over: many things are new on one day."},
		Tags:           []string{"Domain: Endpoint", "OS: Linux", "Tactic: Discovery", "Use Case: Threat Detection"},
	}
	for _, m := range c.Members {
		for _, member := range d.rules {
			if member.ID == m.Rule {
				r.Threat = mergeThreats(r.Threat, member.Threat)
			}
		}
	}
	return r
}

// mergeThreats adds the techniques of more to those of all, a tactic once.
func mergeThreats(all, more []Threat) []Threat {
	for _, t := range more {
		i := slices.IndexFunc(all, func(o Threat) bool { return o.Tactic.ID == t.Tactic.ID })
		if i < 0 {
			all = append(all, Threat{Tactic: t.Tactic, Technique: slices.Clone(t.Technique)})
			continue
		}
		for _, q := range t.Technique {
			if !slices.Contains(all[i].Technique, q) {
				all[i].Technique = append(all[i].Technique, q)
			}
		}
	}
	return all
}

// endCorrelation forgets a correlation, and appends its closing document where it was a story.
func (d *Detector) endCorrelation(host string, c *correlation, out []Finding) []Finding {
	delete(d.correlations, host)
	if !c.shipped {
		return out
	}
	return append(out, Finding{
		Kind: CorrelationEnd, Rule: d.correlationRule(c), Time: c.closes(d.o), Actor: c.actor, User: c.user,
		AlertID: c.ID, Correlation: c.copy(), host: host,
	})
}

// correlationsUntil ends the correlations that close at or before t, the first to close first.
func (d *Detector) correlationsUntil(t time.Time, out []Finding) []Finding {
	var ended []string
	for host, c := range d.correlations {
		if !c.closes(d.o).After(t) {
			ended = append(ended, host)
		}
	}
	slices.SortFunc(ended, func(a, b string) int {
		return cmp.Or(d.correlations[a].closes(d.o).Compare(d.correlations[b].closes(d.o)), cmp.Compare(a, b))
	})
	for _, host := range ended {
		out = d.endCorrelation(host, d.correlations[host], out)
	}
	return out
}

// evictCorrelation ends the correlation whose last alert is the oldest.
func (d *Detector) evictCorrelation(out []Finding) []Finding {
	oldest := slices.MinFunc(slices.Sorted(maps.Keys(d.correlations)), func(a, b string) int {
		return d.correlations[a].Last.Compare(d.correlations[b].Last)
	})
	d.evicted++
	return d.endCorrelation(oldest, d.correlations[oldest], out)
}

// forgetCorrelated takes an actor out of the correlations.
func (d *Detector) forgetCorrelated(keys accounts) {
	for host, c := range d.correlations {
		c.Members = slices.DeleteFunc(c.Members, func(m Member) bool { return keys.has(m.Key) })
		if len(c.Members) == 0 {
			delete(d.correlations, host)
		}
	}
}

// values are a property of each member, each once, in the order of the members.
func (c *Correlation) values(of func(Member) string) (all []string) {
	for _, m := range c.Members {
		if v := of(m); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// Rules are the ids of the members' rules.
func (c *Correlation) Rules() []string  { return c.values(func(m Member) string { return m.Rule }) }
func (c *Correlation) actors() []string { return c.values(func(m Member) string { return m.Actor }) }

// maxScore is the highest score of the members.
func (c *Correlation) maxScore() (most float64) {
	for _, m := range c.Members {
		most = max(most, m.Score)
	}
	return most
}

// title says how much came together.
func (c *Correlation) title() string {
	title := plural.Of(c.Alerts, "alert") + " of " + plural.Of(len(c.Rules()), "rule") + " on " +
		plural.Of(len(c.actors()), "actor")
	if span := c.Last.Sub(c.Start).Round(time.Second); span > 0 {
		title += " within " + span.String()
	}
	return title
}

// reason names who did what, in one sentence.
func (c *Correlation) reason() string {
	var did []string
	for _, m := range c.Members {
		part := m.Actor + " (" + m.Rule + ")"
		if m.Command != "" {
			part = m.Actor + " ran " + strings.TrimRight(m.Command, " ") + " (" + m.Rule + ")"
		}
		did = append(did, part)
	}
	reason := c.title() + ": " + strings.Join(did, "; ")
	if c.Further > 0 {
		reason += "; and " + plural.Of(c.Further, "further alert")
	}
	return reason
}

type correlationSnapshot struct {
	Host    string    `json:"host"`
	ID      string    `json:"id"`
	Start   time.Time `json:"start"`
	Last    time.Time `json:"last"`
	Alerts  int       `json:"alerts"`
	Further int       `json:"further,omitempty"`
	Members []Member  `json:"members"`
	Shipped bool      `json:"shipped,omitempty"`
	Actor   Actor     `json:"actor"`
	User    string    `json:"user,omitempty"`
}

// snapshotCorrelations are the open correlations, in order of their hosts.
func (d *Detector) snapshotCorrelations() (all []correlationSnapshot) {
	for _, host := range slices.Sorted(maps.Keys(d.correlations)) {
		c := d.correlations[host]
		all = append(all, correlationSnapshot{
			Host: host, ID: c.ID, Start: c.Start, Last: c.Last, Alerts: c.Alerts, Further: c.Further,
			Members: slices.Clone(c.Members), Shipped: c.shipped, Actor: c.actor, User: c.user,
		})
	}
	return all
}

// restoreCorrelations goes on where a snapshot ended. What goes beyond a bound is left out.
func (d *Detector) restoreCorrelations(all []correlationSnapshot) {
	d.correlations = map[string]*correlation{}
	for _, s := range all {
		if len(s.Members) == 0 || len(s.Members) > maxMembers || len(d.correlations) >= maxCorrelations {
			continue
		}
		d.correlations[s.Host] = &correlation{
			Correlation: Correlation{
				ID: s.ID, Start: s.Start, Last: s.Last, Alerts: s.Alerts, Further: s.Further, Members: s.Members,
			},
			shipped: s.Shipped, actor: s.Actor, user: s.User,
		}
	}
}
