// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// storm lets unknown accounts run ss, one a second, and returns what was found. again is asked for the detector before
// each, so that a test may restart it.
func storm(from time.Time, n int, again func() *Detector) (out []Finding) {
	for i := range n {
		at := from.Add(time.Duration(i) * time.Second)
		d := again()
		out = d.Advance(at, out)
		out = d.Judge(daemon(at, fmt.Sprintf("u%d", i%400), uint32(2000+i%400)), 1, out)
	}
	return out
}

func ofKind(kind Kind, all []Finding) (some []Finding) {
	for _, f := range all {
		if f.Kind == kind {
			some = append(some, f)
		}
	}
	return some
}

// TestALimitHoldsBackAStorm counts every alert of a storm: it ships, or a summary of a quarter of an hour has it. A
// strong alert within it ships, and a restart changes nothing.
func TestALimitHoldsBackAStorm(t *testing.T) {
	for _, restart := range []bool{false, true} {
		d, end := watched(t, 20, true)
		o := d.o
		o.Limit = DefaultLimit
		require.NoError(t, d.Configure(o))
		n := 0
		all := storm(end, race.Rounds(2000, 1200), func() *Detector {
			if n++; restart && n%100 == 0 {
				b, err := d.Snapshot()
				require.NoError(t, err)
				d = mustNew(t, o)
				require.NoError(t, d.Restore(b))
			}
			return d
		})
		all = d.Advance(end.Add(time.Hour), all)

		alerts := ofKind(Alert, all)
		for i, f := range alerts {
			if i >= o.Limit.Alerts {
				require.GreaterOrEqual(t, f.Time.Sub(alerts[i-o.Limit.Alerts].Time), o.Limit.Per)
			}
		}
		var held, limited int
		for _, f := range all {
			if f.Held == HeldAlert {
				held++
				require.Equal(t, []Control{{ID: LimitID, Kind: LimitKind, Action: SkipResult}}, f.Controls)
			}
		}
		summaries := ofKind(Limited, all)
		for i, f := range summaries {
			limited += f.Withheld.Alerts
			require.Len(t, f.Withheld.Actors.top(), topActors)
			require.GreaterOrEqual(t, f.Withheld.Matches, f.Withheld.Alerts)
			if i > 0 {
				require.False(t, f.Withheld.First.Before(summaries[i-1].Time))
			}
		}
		require.Positive(t, held)
		require.Equal(t, held, limited, "nothing is held back silently")
		require.Empty(t, d.limits, "what is over is forgotten")
		first := summaries[0]
		doc := mapstr.M{}
		Encode(&first, doc)
		require.Equal(t, first.Withheld.Alerts, value(t, doc, "reconbeat.limit.alerts"))
		require.Contains(t, first.Reason(), "beyond the limit of 100 in 15 minutes")
	}
}

func value(t *testing.T, doc mapstr.M, field string) any {
	v, err := doc.GetValue(field)
	require.NoError(t, err)
	return v
}

// TestALimitKeepsAPartForStrongAlerts holds the shares that docs/controls.md states.
func TestALimitKeepsAPartForStrongAlerts(t *testing.T) {
	for _, c := range []struct {
		alerts int
		shares [4]int
	}{
		{alerts: 100, shares: [4]int{70, 80, 90, 100}},
		{alerts: 10, shares: [4]int{7, 8, 9, 10}},
		{alerts: 1, shares: [4]int{1, 1, 1, 1}},
	} {
		for band, want := range c.shares {
			require.Equal(t, want, Limit{Alerts: c.alerts}.share(band), "%d, band %d", c.alerts, band)
		}
	}
}

// TestWhatALimitHoldsBackStaysNew has an account alert, once there is room, as if it had not been there before.
func TestWhatALimitHoldsBackStaysNew(t *testing.T) {
	d, end := watched(t, 20, true)
	o := d.o
	o.Limit = Limit{Alerts: 1, Per: time.Hour}
	require.NoError(t, d.Configure(o))
	_, first := at(t, d, daemon(end, "one", 2001))
	require.Equal(t, Alert, first.Kind)
	_, held := at(t, d, daemon(end.Add(time.Minute), "two", 2002))
	require.Equal(t, HeldAlert, held.Held)
	require.Empty(t, held.AlertID)
	_, again := at(t, d, daemon(end.Add(2*time.Minute), "two", 2002))
	require.Equal(t, HeldRepeat, again.Held)
	require.Len(t, ofKind(Limited, d.Advance(end.Add(90*time.Minute), nil)), 1)
	_, later := at(t, d, daemon(end.Add(2*time.Hour), "two", 2002))
	require.Equal(t, Alert, later.Kind)
	require.Equal(t, band(held.Score), band(later.Score))
	require.False(t, later.Escalated)
}

// TestOneHostsStormHidesNoOtherHost has documents of two hosts.
func TestOneHostsStormHidesNoOtherHost(t *testing.T) {
	o := options(mission())
	o.Limit = Limit{Alerts: 1, Per: time.Hour}
	d := mustNew(t, o)
	on := func(host string) *limiter {
		m := &match{event: &process.Event{Host: process.Host{ID: host}}, key: episodeKey{rule: "r", host: host}}
		m.finding.Time, m.finding.Rule = monday, d.rules[0]
		l, _ := d.within(m, nil)
		return l
	}
	on("a").ship(monday)
	require.False(t, on("a").mayShip(o.Limit, highestBand))
	require.True(t, on("b").mayShip(o.Limit, highestBand))
}

// TestEpisodesAreGroupedByFields compares how many alerts four strangers make: two with one parent, one with another,
// one without any.
func TestEpisodesAreGroupedByFields(t *testing.T) {
	for _, c := range []struct {
		name   string
		group  Grouping
		alerts int
		actors []int // of the summaries, in their order
	}{
		{name: "actors", alerts: 5, actors: []int{0, 0, 0, 0, 0}},
		{name: "parents", group: Grouping{Fields: []string{"parent"}}, alerts: 3, actors: []int{2, 1, 2}},
		{
			name: "what lacks a parent is alone", alerts: 4, actors: []int{2, 1, 1, 1},
			group: Grouping{Fields: []string{"parent"}, Missing: MissingDoNotSuppress},
		},
		{
			name: "parent and actor", alerts: 5, actors: []int{1, 1, 1, 1, 1},
			group: Grouping{Fields: []string{"parent", "reconbeat.actor.name"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, end := watched(t, 20, true)
			o := d.o
			o.Group = c.group
			o.Value = func(e *process.Event, f *Finding, field string) any {
				if field == "parent" {
					return orNil(e.Parent.Name)
				}
				return f.Value(field)
			}
			require.NoError(t, d.Configure(o))
			var all []Finding
			for i, parent := range []string{"bash", "bash", "python3", "", ""} {
				e := daemon(end.Add(time.Duration(i)*time.Second), fmt.Sprintf("u%d", i), uint32(2000+i))
				e.Parent.Name = parent
				all = d.Judge(e, 1, all)
			}
			require.Len(t, ofKind(Alert, all), c.alerts)
			b, err := d.Snapshot()
			require.NoError(t, err)
			d = mustNew(t, o)
			require.NoError(t, d.Restore(b))
			var actors []int
			for _, f := range ofKind(Summary, d.Advance(end.Add(time.Hour), nil)) {
				actors = append(actors, len(f.Summary.Actors.Of))
			}
			require.Equal(t, c.actors, actors)
		})
	}
}

// TestAProbationCoversNoOtherActorOfAGroup has alice, whose alert is a week old, come again in one group with bob.
func TestAProbationCoversNoOtherActorOfAGroup(t *testing.T) {
	d, end := watched(t, 20, true)
	o := d.o
	o.Group = Grouping{Fields: []string{"rule.id"}}
	require.NoError(t, d.Configure(o))
	_, first := at(t, d, daemon(end, "alice", 2001))
	require.Equal(t, Alert, first.Kind)
	d.Advance(end.Add(2*time.Hour), nil)
	_, again := at(t, d, daemon(end.Add(3*time.Hour), "alice", 2001))
	require.Equal(t, Repeat, again.Kind)
	_, other := at(t, d, daemon(end.Add(3*time.Hour+time.Minute), "bob", 2002))
	require.Equal(t, Alert, other.Kind)
}
