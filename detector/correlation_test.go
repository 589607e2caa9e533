// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// story has a detector that correlates, twenty days old, and lets accounts run ss at times after that.
func story(t *testing.T, window time.Duration) (*Detector, time.Time) {
	d, end := watched(t, 20, true)
	o := d.o
	o.Correlate = Correlating{Window: window}
	require.NoError(t, d.Configure(o))
	return d, end
}

// Several accounts within half an hour are one story: the second alert makes it, one document closes it. A further
// account is news, and its alert not marked.
func TestSeveralAlertsAreOneStory(t *testing.T) {
	for _, restart := range []bool{false, true} {
		d, end := story(t, 30*time.Minute)
		var all []Finding
		for i, name := range []string{"one", "two", "three", "four"} {
			at := end.Add(time.Duration(i) * 20 * time.Minute)
			if restart {
				b, err := d.Snapshot()
				require.NoError(t, err)
				d = mustNew(t, d.o)
				require.NoError(t, d.Restore(b))
			}
			all = d.Advance(at, all)
			all = d.Judge(daemon(at, name, uint32(2001+i)), 1, all)
		}
		all = d.Advance(end.Add(24*time.Hour), all)
		alerts, stories, ends := ofKind(Alert, all), ofKind(Correlated, all), ofKind(CorrelationEnd, all)
		require.Len(t, alerts, 4)
		require.Len(t, stories, 1)
		require.Len(t, ends, 1)
		id := stories[0].Correlation.ID
		for i := range alerts {
			require.Equal(t, id, alerts[i].Correlation.ID)
			require.False(t, alerts[i].Correlation.Member)
		}
		require.Equal(t, alerts[1].AlertID, stories[0].AlertID)
		require.Equal(t, alerts[1].Time, stories[0].Time, "it ships at once")
		require.Len(t, stories[0].Correlation.Members, 2)
		require.Len(t, ends[0].Correlation.Members, 4)
		require.Equal(t, end.Add(90*time.Minute), ends[0].Time)
		require.Equal(t, id, ends[0].AlertID)
		for _, s := range ofKind(Summary, all) {
			require.Equal(t, id, s.Correlation.ID)
			// The first one's episode closed before the second came.
			require.Equal(t, s.Actor.Name == "two", s.Correlation.Member, s.Actor.Name)
		}
		require.Empty(t, d.correlations, "what is over is forgotten")

		doc := mapstr.M{}
		Encode(&stories[0], doc)
		require.Equal(t, 73, value(t, doc, "event.severity"))
		require.InDelta(t, 73., value(t, doc, "event.risk_score"), 0)
		require.Equal(t, []string{alerts[0].AlertID, alerts[1].AlertID}, value(t, doc, "reconbeat.correlation.members"))
		require.Equal(t, []string{"one", "two"}, value(t, doc, "reconbeat.correlation.actors"))
		require.Equal(t, []string{"T1049"}, value(t, doc, "threat.technique.id"))
		require.Equal(t, "Several unusual discovery alerts: 2 alerts of 1 rule on 2 actors within 20m0s",
			value(t, doc, "message"))
		require.Contains(t, stories[0].Reason(), "one ran ss")
	}
}

// What is no further rule or account, comes later than the window, or is held back makes no story.
func TestWhatMakesNoStory(t *testing.T) {
	second := func(name string, id uint32, after time.Duration) func(*Detector, time.Time) []Finding {
		return func(d *Detector, end time.Time) []Finding {
			at := end.Add(after)
			return d.Judge(daemon(at, name, id), 1, d.Advance(at, nil))
		}
	}
	for name, c := range map[string]struct {
		window  time.Duration
		held    bool
		second  func(*Detector, time.Time) []Finding
		stories int
	}{
		"another account":     {window: time.Hour, second: second("two", 2002, time.Minute), stories: 1},
		"the same":            {window: time.Hour, second: second("one", 2001, time.Minute)},
		"too late":            {window: time.Hour, second: second("two", 2002, time.Hour)},
		"just in time":        {window: time.Hour, second: second("two", 2002, time.Hour-1), stories: 1},
		"off":                 {window: 0, second: second("two", 2002, time.Minute)},
		"an exception has it": {window: time.Hour, held: true, second: second("two", 2002, time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			d, end := story(t, c.window)
			out := d.Judge(daemon(end, "one", 2001), 1, nil)
			require.Len(t, ofKind(Alert, out), 1)
			require.Equal(t, c.window == 0, out[0].Correlation.ID == "")
			if c.held {
				o := d.o
				o.Decide = func(*process.Event, *Finding) Decision {
					return Decision{NoAlert: true, By: []Control{{ID: "x", Kind: "exception", Action: SkipResult}}}
				}
				require.NoError(t, d.Configure(o))
			}
			out = append(out, c.second(d, end)...)
			require.Len(t, ofKind(Correlated, out), c.stories)
			out = d.Advance(end.Add(48*time.Hour), out)
			require.Len(t, ofKind(CorrelationEnd, out), c.stories)
		})
	}
}

// A story names twenty members and counts the others; hosts beyond the bound are forgotten, with what they had.
func TestStoriesAreBounded(t *testing.T) {
	d, end := story(t, time.Hour)
	o := d.o
	o.OneHost = false
	require.NoError(t, d.Configure(o))
	var all []Finding
	for i := range 30 {
		all = d.Judge(daemon(end.Add(time.Duration(i)*time.Second), "u", uint32(3000+i)), 1, all)
	}
	all = d.Advance(end.Add(24*time.Hour), all)
	ends := ofKind(CorrelationEnd, all)
	require.Len(t, ends, 1)
	require.Len(t, ends[0].Correlation.Members, maxMembers)
	require.Equal(t, 10, ends[0].Correlation.Further)
	require.Equal(t, 30, ends[0].Correlation.Alerts)
	require.Contains(t, ends[0].Reason(), "and 10 further alerts")
	size, err := json.Marshal(ends[0].Correlation)
	require.NoError(t, err)
	require.Less(t, len(size), 12_000)

	for i := range maxCorrelations + 5 {
		d.correlations[string(rune('a'+i))] = &correlation{Correlation: Correlation{Start: end, Last: end}}
		if len(d.correlations) > maxCorrelations {
			d.evictCorrelation(nil)
		}
	}
	require.Len(t, d.correlations, maxCorrelations)
}

// An account that is forgotten is no part of a story any more.
func TestAForgottenAccountIsInNoStory(t *testing.T) {
	d, end := story(t, time.Hour)
	d.Judge(daemon(end, "one", 2001), 1, nil)
	require.Len(t, d.correlations, 1)
	d.Forget("2001")
	require.Empty(t, d.correlations)
}
