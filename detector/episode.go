// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// maxEpisodes bounds how many episodes may be open; the one without an exec for the longest time closes early.
const maxEpisodes = 1000

// episodeKey is whose episode it is: an actor's under a rule on a host.
type episodeKey struct {
	rule, host, actor string
	held              bool // what a control held back: it raised no alert, and no summary follows
}

func (k episodeKey) compare(other episodeKey) int {
	c := cmp.Or(
		cmp.Compare(k.rule, other.rule), cmp.Compare(k.host, other.host), cmp.Compare(k.actor, other.actor),
	)
	switch {
	case c != 0 || k.held == other.held:
		return c
	case k.held:
		return 1
	}
	return -1
}

// episode is an Episode that is open, with what its summary has until now.
type episode struct {
	Episode
	EpisodeSummary
	rule    *Rule
	actor   Actor
	user    string
	visit   string    // the id of the visit that opened it
	alertID string    // that its findings belong to: its own, or the one that put the actor on probation
	band    int       // that a further alert must exceed; -1: nothing in it came over the threshold yet
	over    time.Time // of the last exec over the threshold
	// correlation is that of its first alert, by id; Member is set when its document ships.
	correlation Correlation
	said        string // the malicious alert whose context has raised again in it; empty: none
}

// current is the episode of a key that is open at a time, nil where none is; what ended before goes to out.
func (d *Detector) current(key episodeKey, at time.Time, out []Finding) (*episode, []Finding) {
	ep := d.episodes[key]
	if ep != nil && !ep.closes(d.o).After(at) {
		return nil, d.end(key, ep, out)
	}
	return ep, out
}

// open opens the episode of a key with a match. What is closed early to make room goes to out.
func (d *Detector) open(key episodeKey, m *match, group []string, out []Finding) (*episode, []Finding) {
	if len(d.episodes) >= maxEpisodes {
		out = d.evict(out)
	}
	f := &m.finding
	ep := &episode{
		rule: f.Rule, actor: f.Actor, user: f.User, visit: f.Visit.ID, band: -1,
		Episode: Episode{ID: m.alertID(), Start: f.Time}, EpisodeSummary: EpisodeSummary{Group: group},
	}
	d.episodes[key] = ep
	return ep, out
}

// alertID is the id of the alert that a match becomes, or of the one that what came after it makes of it.
func (m *match) alertID() string {
	e := m.event
	of := []string{
		"alert", m.key.host, m.key.rule, m.key.actor, strconv.FormatInt(e.Time.UnixNano(), 10),
		strconv.FormatUint(uint64(e.PID), 10), strconv.FormatUint(e.Sequence, 10), e.ID,
	}
	if m.again {
		of = append(of, "after")
	}
	return process.ID(of...)
}

// highestBand is the band of the highest scores.
const highestBand = 3

// band is which of the steps 50, 75 and 90 a score has reached.
func band(score float64) int {
	switch {
	case score >= 90:
		return highestBand
	case score >= 75:
		return 2
	case score >= 50:
		return 1
	}
	return 0
}

// band is which step the finding has reached: by its score, or by what a person has said of its context.
func (f *Finding) band() int { return max(band(f.Score), f.Raised) }

// closes is when the episode ends if nothing more happens. Execs below the threshold prolong an episode only until one
// comes over it: an episode that alerted ends as if they were not there.
func (ep *episode) closes(o Options) time.Time {
	last := ep.over
	if ep.band < 0 {
		last = ep.Last
	}
	idle, most := last.Add(o.EpisodeIdle), ep.Start.Add(o.EpisodeMax)
	if most.Before(idle) {
		return most
	}
	return idle
}

// end ends an episode. It appends its summary to out, unless nobody has heard of it.
func (d *Detector) end(key episodeKey, ep *episode, out []Finding) []Finding {
	delete(d.episodes, key)
	if key.held {
		return out
	}
	return append(out, Finding{
		Kind: Summary, Rule: ep.rule, Time: ep.closes(d.o), Actor: ep.actor, User: ep.user,
		Threshold: ep.rule.Threshold, Visit: Visit{ID: ep.visit},
		AlertID: ep.alertID, Episode: ep.Episode, Summary: ep.EpisodeSummary, Correlation: ep.correlation,
	})
}

// closeUntil closes the episodes that end at or before t, the first to end first.
func (d *Detector) closeUntil(t time.Time, out []Finding) []Finding {
	var ended []episodeKey
	for key, ep := range d.episodes {
		if !ep.closes(d.o).After(t) {
			ended = append(ended, key)
		}
	}
	slices.SortFunc(ended, func(a, b episodeKey) int {
		return cmp.Or(d.episodes[a].closes(d.o).Compare(d.episodes[b].closes(d.o)), a.compare(b))
	})
	for _, key := range ended {
		out = d.end(key, d.episodes[key], out)
	}
	return out
}

// evict closes the open episode that has been without an exec for the longest time.
func (d *Detector) evict(out []Finding) []Finding {
	var worst episodeKey
	var oldest *episode
	for key, ep := range d.episodes {
		if oldest == nil || ep.Last.Before(oldest.Last) || ep.Last.Equal(oldest.Last) && ep.ID < oldest.ID {
			worst, oldest = key, ep
		}
	}
	d.evicted++
	return d.end(worst, oldest, out)
}

// visitOf is the visit that a match belongs to, as it stands with it.
func visitOf(key episodeKey, c *Context) Visit {
	v := c.Result.Visit
	container, opened := c.Match.Who.Container.Value(), strconv.FormatInt(v.Opened.UnixNano(), 10)
	return Visit{
		ID:    process.ID("visit", key.host, key.rule, key.actor, container, v.Variant, opened),
		Start: v.Opened, Matches: v.Matches + 1,
	}
}

// commandsOf are the commands of the visit that an exec belongs to, its own included; nil where the context model is
// not in charge.
// again: the visit has that one already.
func commandsOf(c *Context, again bool) []Command {
	if c == nil {
		return nil
	}
	var out []Command
	for _, l := range c.Result.Visit.Lines {
		out = append(out, Command{Line: l.Text, Count: l.Count})
	}
	if again {
		return out
	}
	line := c.Match.Line()
	for i := range out {
		if out[i].Line == line {
			out[i].Count++
			return out
		}
	}
	return append(out, Command{Line: line, Count: 1})
}
