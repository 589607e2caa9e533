// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

const (
	// maxEpisodes bounds how many episodes may be open; the one without an exec for the longest time closes early.
	maxEpisodes = 1000
	// episodeCommands is how many distinct command lines an episode remembers, commandBytes how much of each.
	episodeCommands = 20
	commandBytes    = 1024
)

type episodeKey struct{ rule, host, actor string }

func (k episodeKey) compare(other episodeKey) int {
	return cmp.Or(cmp.Compare(k.rule, other.rule), cmp.Compare(k.host, other.host), cmp.Compare(k.actor, other.actor))
}

// episode is an Episode that is open.
type episode struct {
	Episode
	rule    *Rule
	actor   Actor
	user    string
	visit   string    // the id of the visit that opened it
	alertID string    // that its findings belong to: its own, or the one that put the actor on probation
	band    int       // that a further alert must exceed; -1: nothing in it came over the threshold, all of it is in a context that the actor is on probation in
	over    time.Time // of the last exec over the threshold
}

// band is which of the steps 50, 75 and 90 a score has reached.
func band(score float64) int {
	switch {
	case score >= 90:
		return 3
	case score >= 75:
		return 2
	case score >= 50:
		return 1
	}
	return 0
}

// closes is when the episode ends if nothing more happens. What is below the threshold prolongs only an episode of such: one that alerted ends as if it were not there.
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

func (ep *episode) add(f *Finding, e *process.Event) {
	ep.Execs++
	ep.MaxScore = max(ep.MaxScore, f.Score)
	if f.Kind == Alert {
		ep.Alerts++
	}
	ep.Last = latest(ep.Last, e.Time)
	line := e.CommandLine
	if line == "" {
		line = strings.Join(e.Args, " ")
	}
	if len(line) > commandBytes {
		line = line[:commandBytes]
	}
	for i := range ep.Commands {
		if ep.Commands[i].Line == line {
			ep.Commands[i].Count++
			return
		}
	}
	if len(ep.Commands) < episodeCommands {
		ep.Commands = append(ep.Commands, Command{strings.Clone(line), 1})
	}
}

// close ends an episode.
func (d *Detector) close(key episodeKey, ep *episode) Finding {
	delete(d.episodes, key)
	return Finding{
		Kind: Summary, Rule: ep.rule, Time: ep.closes(d.o), Actor: ep.actor, User: ep.user, Threshold: ep.rule.Threshold,
		AlertID: ep.alertID, Episode: ep.Episode, Visit: Visit{ID: ep.visit},
	}
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
		out = append(out, d.close(key, d.episodes[key]))
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
	return append(out, d.close(worst, oldest))
}

// visitOf is the visit that a match belongs to, as it stands with it.
func visitOf(key episodeKey, c *Context) Visit {
	v := c.Result.Visit
	container := c.Look.Who.Container.Value()
	return Visit{
		ID:    process.ID("visit", key.host, key.rule, key.actor, container, v.Way, strconv.FormatInt(v.Opened.UnixNano(), 10)),
		Start: v.Opened, Matches: v.Looks + 1,
	}
}

// commandsOf are the commands of the visit that an exec belongs to, its own included; nil where the context model is not in charge.
func commandsOf(c *Context) []Command {
	if c == nil {
		return nil
	}
	var out []Command
	for _, l := range c.Result.Visit.Lines {
		out = append(out, Command{l.Text, l.Count})
	}
	line := c.Look.Line()
	for i := range out {
		if out[i].Line == line {
			out[i].Count++
			return out
		}
	}
	return append(out, Command{line, 1})
}
