// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

func TestAReasonTellsOnlyWhatIsKnown(t *testing.T) {
	const carol, nobody = 1000, process.Unset
	user := func(id uint32, name string) process.User { return process.User{ID: id, Name: name} }
	known := habit.Result{First: true, KnownElsewise: true, Days: 15}
	first := habit.Result{First: true, New: true, Days: 15}
	for _, c := range []struct {
		name        string
		login, user process.User
		parent      string
		result      habit.Result
		since       time.Duration // since the actor was first seen; 0: never
		want        string
	}{
		{"all", user(carol, "carol"), user(0, "root"), "bash", first, 0, "carol (as root) has never looked on this host in 15 days; parent bash, no terminal"},
		{"an unknown parent", user(carol, "carol"), user(carol, "carol"), "", first, 0, "carol has never looked on this host in 15 days; no terminal"},
		{"a person's unknown parent", user(carol, "carol"), user(carol, "carol"), "", known, 0, "carol has never looked without a terminal on this host in 15 days"},
		{"a service's unknown parent", user(nobody, ""), user(33, "www-data"), "", known, 0, "www-data has never looked on this host in 15 days; no terminal"},
		{"a service's parent", user(nobody, ""), user(33, "www-data"), "sh", known, 0, "www-data has never looked through sh on this host in 15 days; no terminal"},
		{"no name", user(nobody, ""), user(33, ""), "sh", first, 0, "uid 33 has never looked on this host in 15 days; parent sh, no terminal"},
		{"no names", user(carol, ""), user(0, ""), "sh", first, 0, "uid 1000 (as uid 0) has never looked on this host in 15 days; parent sh, no terminal"},
		{"the same id, one name", user(carol, ""), user(carol, "carol"), "sh", first, 0, "uid 1000 has never looked on this host in 15 days; parent sh, no terminal"},
		{"the same id, the other name", user(carol, "carol"), user(carol, ""), "sh", first, 0, "carol has never looked on this host in 15 days; parent sh, no terminal"},
		{"names alone", user(nobody, "carol"), user(nobody, "root"), "sh", first, 0, "carol (as root) has never looked on this host in 15 days; parent sh, no terminal"},
		{"the same name", user(nobody, "carol"), user(nobody, "carol"), "sh", first, 0, "carol has never looked on this host in 15 days; parent sh, no terminal"},
		{"an id and a name, which may be the same", user(carol, ""), user(nobody, "carol"), "sh", first, 0, "uid 1000 has never looked on this host in 15 days; parent sh, no terminal"},
		{"a name and an id, which may be the same", user(nobody, "carol"), user(carol, ""), "sh", first, 0, "carol has never looked on this host in 15 days; parent sh, no terminal"},
		{"a moment", user(carol, "carol"), user(carol, "carol"), "sh", known, time.Millisecond, "carol had never looked without a terminal on this host in 15 days, until a moment ago; parent sh"},
		{"a minute", user(carol, "carol"), user(carol, "carol"), "sh", known, time.Minute, "carol had never looked without a terminal on this host in 15 days, until 1 minute ago; parent sh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := exec(start, "", "ss -tan")
			e.User, e.Session.User, e.Parent.Name = c.user, c.login, c.parent
			var r habit.Reader
			look := r.Look(e, "ss", nil, time.UTC)
			c.result.Unusual = look
			d := &Detector{}
			f := Finding{Kind: Alert, Rule: &Rule{Habit: "looked"}, Time: e.Time, Actor: d.Actor(e), User: rareUser(e), Context: &Context{Result: c.result, Match: look}}
			if c.since != 0 {
				f.Context.Known, f.Context.Profile.First = true, e.Time.Add(-c.since)
			}
			require.Equal(t, c.want, f.Reason())
		})
	}
}

func TestTheReasonOfRareTellsUsersByNameOrID(t *testing.T) {
	for _, c := range []struct {
		actor Actor
		user  string
		usual []string
		want  string
	}{
		{Actor{ID: 33, Service: true}, "33", nil, "uid 33 has never looked before in 4 intervals of 15 minutes"},
		{Actor{ID: 1000, Name: "carol"}, "root", []string{"0", "zabbix"}, "root (logged in as carol) has never looked before in 4 intervals of 15 minutes; usually uid 0 and zabbix do"},
		{Actor{ID: 1000, Name: "carol"}, "1000", []string{"0"}, "uid 1000 has never looked before in 4 intervals of 15 minutes; usually uid 0 does"},
		{Actor{ID: 1000, Name: "carol"}, "0", nil, "uid 0 (logged in as carol) has never looked before in 4 intervals of 15 minutes"},
	} {
		f := Finding{Kind: Alert, Rule: &Rule{Habit: "looked"}, Actor: c.actor, User: c.user, Rarity: Rarity{FirstOccurrence: true, Buckets: 4, BucketSpan: 15 * time.Minute}, TypicalUsers: c.usual}
		require.Equal(t, c.want, f.Reason())
	}
}

func TestASummaryTellsNoSpanThatIsNone(t *testing.T) {
	for _, c := range []struct {
		span            time.Duration
		execs           int
		message, reason string
	}{
		{0, 1, "Rule by carol: 1 exec", "carol looked 1 time at 2026-03-01T12:00:00Z: ss"},
		{3 * time.Millisecond, 2, "Rule by carol: 2 execs", "carol looked 2 times at 2026-03-01T12:00:00Z: ss"},
		{90 * time.Second, 2, "Rule by carol: 2 execs over 1m30s", "carol looked 2 times between 2026-03-01T12:00:00Z and 2026-03-01T12:01:30Z: ss"},
	} {
		began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		f := Finding{
			Kind: Summary, Rule: &Rule{Name: "Rule", Habit: "looked"}, Actor: Actor{ID: 1000, Name: "carol"},
			Episode: Episode{Start: began},
			Summary: EpisodeSummary{
				Last: began.Add(c.span), Execs: c.execs, Commands: []Command{{Line: "ss", Count: c.execs}},
			},
		}
		require.Equal(t, c.message, f.Message())
		require.Equal(t, c.reason, f.Reason())
	}
}
