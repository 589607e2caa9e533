// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

func TestAReasonNamesOnlyWhatIsKnown(t *testing.T) {
	const carol, nobody = 1000, process.Unset
	user := func(id uint32, name string) process.User { return process.User{ID: id, Name: name} }
	known := habit.Result{First: true, KnownElsewise: true, Days: 15}
	first := habit.Result{First: true, New: true, Days: 15}
	for _, c := range []struct {
		name        string
		login, user process.User
		parent      string
		result      habit.Result
		matches     int // of the visit until then; 0: this is the first
		want        string
	}{
		{
			name: "all", login: user(carol, "carol"), user: user(0, "root"), parent: "bash", result: first,
			want: "carol (as root) has never looked on this host in 15 days; parent bash, no terminal",
		},
		{
			name: "an unknown parent", login: user(carol, "carol"), user: user(carol, "carol"), result: first,
			want: "carol has never looked on this host in 15 days; no terminal",
		},
		{
			name: "a person's unknown parent", login: user(carol, "carol"), user: user(carol, "carol"), result: known,
			want: "carol has never looked without a terminal on this host in 15 days",
		},
		{
			name: "a service's unknown parent", login: user(nobody, ""), user: user(33, "www-data"), result: known,
			want: "www-data has never looked through an unknown parent on this host in 15 days; no terminal",
		},
		{
			name: "a service's parent", login: user(nobody, ""), user: user(33, "www-data"), parent: "sh",
			result: known, want: "www-data has never looked through sh on this host in 15 days; no terminal",
		},
		{
			name: "no name", login: user(nobody, ""), user: user(33, ""), parent: "sh", result: first,
			want: "uid 33 has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "no names", login: user(carol, ""), user: user(0, ""), parent: "sh", result: first,
			want: "uid 1000 (as uid 0) has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "the same id, one name", login: user(carol, ""), user: user(carol, "carol"), parent: "sh",
			result: first, want: "uid 1000 has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "the same id, the other name", login: user(carol, "carol"), user: user(carol, ""), parent: "sh",
			result: first, want: "carol has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "names alone", login: user(nobody, "carol"), user: user(nobody, "root"), parent: "sh", result: first,
			want: "carol (as root) has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "the same name", login: user(nobody, "carol"), user: user(nobody, "carol"), parent: "sh",
			result: first, want: "carol has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "an id and a name, which may be the same", login: user(carol, ""), user: user(nobody, "carol"),
			parent: "sh", result: first,
			want: "uid 1000 has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "a name and an id, which may be the same", login: user(nobody, "carol"), user: user(carol, ""),
			parent: "sh", result: first, want: "carol has never looked on this host in 15 days; parent sh, no terminal",
		},
		{
			name: "later in a visit", login: user(carol, "carol"), user: user(carol, "carol"), parent: "sh",
			result: known, matches: 2,
			want: "carol had never looked without a terminal on this host in 15 days, until this visit; parent sh",
		},
		{
			name: "later in a visit of the first day", login: user(carol, "carol"), user: user(carol, "carol"),
			parent: "sh", result: habit.Result{First: true, Days: 0.5}, matches: 1,
			want: "carol had never looked on this host, watched for less than a day, until this visit; parent sh, " +
				"no terminal",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := exec(start, "", "ss -tan")
			e.User, e.Session.User, e.Parent.Name = c.user, c.login, c.parent
			var r habit.Reader
			match := r.Match(e, habit.Ran{Program: "ss"}, time.UTC)
			c.result.Unusual = match
			d := &Detector{}
			f := Finding{
				Kind: Alert, Rule: &Rule{Habit: "looked"}, Time: e.Time, Actor: d.Actor(e), User: rareUser(e),
				Context: &Context{Result: c.result, Match: match}, Visit: Visit{Matches: c.matches + 1},
			}
			require.Equal(t, c.want, f.Reason())
		})
	}
}

func TestTheReasonOfRareNamesUsersByNameOrID(t *testing.T) {
	for _, c := range []struct {
		actor Actor
		user  string
		usual []string
		want  string
	}{
		{
			actor: Actor{ID: 33, Service: true}, user: "33",
			want: "uid 33 has never looked before in 4 intervals of 15 minutes",
		},
		{
			actor: Actor{ID: 1000, Name: "carol"}, user: "root", usual: []string{"0", "zabbix"},
			want: "root (logged in as carol) has never looked before in 4 intervals of 15 minutes; usually uid 0 " +
				"and zabbix do",
		},
		{
			actor: Actor{ID: 1000, Name: "carol"}, user: "1000", usual: []string{"0"},
			want: "uid 1000 has never looked before in 4 intervals of 15 minutes; usually uid 0 does",
		},
		{
			actor: Actor{ID: 1000, Name: "carol"}, user: "0",
			want: "uid 0 (logged in as carol) has never looked before in 4 intervals of 15 minutes",
		},
	} {
		f := Finding{
			Kind: Alert, Rule: &Rule{Habit: "looked"}, Actor: c.actor, User: c.user,
			Rarity: Rarity{FirstOccurrence: true, Buckets: 4, BucketSpan: 15 * time.Minute}, TypicalUsers: c.usual,
		}
		require.Equal(t, c.want, f.Reason())
	}
}

func TestASummaryOfAMomentHasNoSpan(t *testing.T) {
	for _, c := range []struct {
		span            time.Duration
		execs           int
		message, reason string
	}{
		{execs: 1, message: "Rule by carol: 1 exec", reason: "carol looked 1 time at 2026-03-01T12:00:00Z: ss"},
		{
			span: 3 * time.Millisecond, execs: 2, message: "Rule by carol: 2 execs",
			reason: "carol looked 2 times at 2026-03-01T12:00:00Z: ss",
		},
		{
			span: 90 * time.Second, execs: 2, message: "Rule by carol: 2 execs over 1m30s",
			reason: "carol looked 2 times between 2026-03-01T12:00:00Z and 2026-03-01T12:01:30Z: ss",
		},
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
