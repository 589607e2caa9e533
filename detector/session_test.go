// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// inSession is an exec in alice's login session.
func inSession(at time.Time, session uint32, command string) *process.Event {
	e := exec(at, "alice", command)
	e.User.ID, e.PID = 1001, uint32(at.Unix()%100000)
	e.Session = process.Session{
		ID: session, User: e.User, Entry: process.EntrySSHD, Source: netip.MustParseAddr("10.1.2.3"),
	}
	return e
}

// see has a detector see an exec as the engine does.
func see(d *Detector, e *process.Event, out []Finding) []Finding {
	out = d.Advance(e.Time, out)
	d.Watch(e)
	rules := d.Match(e)
	out = d.Due(e, out)
	d.Ran(e, rules, func(*process.Event) {})
	return d.Judge(e, rules, out)
}

// atWork is a detector that has seen alice work for thirty days, in each session with a match. It is two hours after
// she is used to.
func atWork(t testing.TB) (*Detector, time.Time) {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	programs := []string{
		"ls", "git", "vim", "make", "go", "less", "grep", "ssh", "tail", "curl", "cp", "mv", "rm", "docker",
	}
	for day := range 30 {
		at := start.AddDate(0, 0, day).Add(9 * time.Hour)
		for i, p := range programs {
			if i == 7 {
				require.Empty(t, alerts(see(d, inSession(at.Add(7*time.Minute-time.Second), uint32(day), "ss -tlnp"), nil)))
			}
			require.Empty(t, alerts(see(d, inSession(at.Add(time.Duration(i)*time.Minute), uint32(day), p), nil)))
		}
	}
	return d, start.AddDate(0, 0, 30).Add(11 * time.Hour)
}

// discover are what an intruder discovers a host with, a few seconds apart.
func discover(d *Detector, at time.Time, session uint32, out []Finding) []Finding {
	for i, p := range []string{"whoami", "id", "uname", "w", "last", "hostname"} {
		out = see(d, inSession(at.Add(time.Duration(5*i)*time.Second), session, p), out)
	}
	return out
}

func TestKnownListsWhatAnAccountRuns(t *testing.T) {
	d, at := atWork(t)
	known := d.Known("alice", at)
	require.Len(t, known, 1)
	programs := known[0].Actors[0].Features[habit.PartNames[habit.Session]]
	require.Len(t, programs, 12, "of fifteen")
	var names []string
	for _, p := range programs {
		names = append(names, p.Value)
		require.InDelta(t, 20, p.Visits, 4, "of 29 sessions that have ended, faded")
	}
	require.Subset(t, names, []string{"ls", "git", "vim"})
	require.Empty(t, d.Known("mallory", at))
}

func TestWhatRanBeforeAMatchIsHeldAgainstTheAccount(t *testing.T) {
	d, at := atWork(t)
	usual := see(d, inSession(at, 100, "ss -tlnp"), nil)
	require.Len(t, usual, 1)
	require.Less(t, usual[0].Score, 10.0)

	d, at = atWork(t)
	require.Empty(t, discover(d, at, 100, nil))
	unusual := see(d, inSession(at.Add(time.Minute), 100, "ss -tlnp"), nil)
	require.Len(t, unusual, 1)
	require.Equal(t, Alert, unusual[0].Kind)
	require.True(t, unusual[0].After.IsZero())
	require.Greater(t, unusual[0].Context.Parts[habit.Session], 4.0)
	require.Contains(t, unusual[0].Reason(), "in the same session ")
	require.Contains(t, unusual[0].Reason(), "whoami")
	require.Contains(t, unusual[0].Explained()[0].Words, "in the same session ")
}

// TestWhatRunsAfterAMatchMakesItAnAlert: when ten minutes are over, when the session has ended, and at the next exec.
func TestWhatRunsAfterAMatchMakesItAnAlert(t *testing.T) {
	for name, then := range map[string]func(d *Detector, at time.Time) []Finding{
		"when ten minutes are over": func(d *Detector, at time.Time) []Finding { return d.Advance(at.Add(awaitedFor), nil) },
		"when the session ends": func(d *Detector, at time.Time) []Finding {
			e := inSession(at.Add(2*time.Minute), 100, "sshd")
			e.Kind = process.Logout
			return d.Ended(e, nil)
		},
		"when something comes later": func(d *Detector, at time.Time) []Finding {
			e := inSession(at.Add(awaitedFor+time.Second), 100, "nmap")
			d.Watch(e)
			return d.Due(e, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, at := atWork(t)
			match := inSession(at, 100, "ss -tlnp")
			match.ID = "the match"
			first := see(d, match, nil)
			require.Len(t, first, 1)
			require.Equal(t, Observation, first[0].Kind)
			require.Empty(t, discover(d, at.Add(time.Second), 100, nil))
			require.Empty(t, d.Advance(at.Add(awaitedFor-time.Second), nil))

			found := then(d, at)
			require.Len(t, found, 1)
			f := found[0]
			require.Equal(t, Alert, f.Kind)
			require.Equal(t, "the match", f.Exec.ID)
			require.Equal(t, at, f.Time)
			require.Equal(t, "ss", f.Program)
			require.Equal(t, first[0].Visit.ID, f.Visit.ID)
			require.Equal(t, 1, f.Visit.Matches)
			require.Equal(t, []Command{{Line: "ss -tlnp", Count: 1}}, f.Visit.Commands)
			require.Greater(t, f.Context.Parts[habit.Session], 4.0)
			require.Empty(t, d.awaited)
			require.Empty(t, then(d, at), "it comes once")

			require.True(t, d.models[0].hosts[d.watching.host].model.Traces(f.AlertID), "feedback finds what was learned")
			summaries := d.Advance(at.Add(2*time.Hour), nil)
			require.Equal(t, []Kind{Summary}, kinds(summaries))
			require.Equal(t, 1, summaries[0].Summary.Execs)
			require.Equal(t, 1, summaries[0].Summary.Alerts)
			require.Equal(t, f.AlertID, summaries[0].AlertID)
		})
	}
}

// TestWhatRunsAfterAnAlertMayMakeItAHigherOne: with an id of its own, and the match counted once.
func TestWhatRunsAfterAnAlertMayMakeItAHigherOne(t *testing.T) {
	d, at := atWork(t)
	match := inSession(at, 100, "netstat -anp 10.1.2.3")
	match.Session.Source = netip.MustParseAddr("151.1.2.3")
	first := alerts(see(d, match, nil))
	require.Len(t, first, 1)
	require.Less(t, first[0].Score, 90.0)
	discover(d, at.Add(time.Second), 100, nil)
	higher := d.Advance(at.Add(awaitedFor), nil)
	require.Len(t, alerts(higher), 1)
	require.True(t, higher[0].Escalated)
	require.NotEqual(t, first[0].AlertID, higher[0].AlertID)
	require.Equal(t, first[0].AlertID, higher[0].EarlierID)
	require.Equal(t, first[0].Episode, higher[0].Episode)
	summary := d.Advance(at.Add(2*time.Hour), nil)
	require.Equal(t, 1, summary[0].Summary.Execs)
	require.Equal(t, 2, summary[0].Summary.Alerts)
}

func TestUsualProgramsAfterAMatchChangeNothing(t *testing.T) {
	d, at := atWork(t)
	first := see(d, inSession(at, 100, "ss -tlnp"), nil)
	for i, p := range []string{"git", "vim", "make"} {
		require.Empty(t, see(d, inSession(at.Add(time.Duration(i)*time.Second), 100, p), nil))
	}
	require.Empty(t, d.Advance(at.Add(awaitedFor), nil))
	next := see(d, inSession(at.Add(awaitedFor+time.Minute), 100, "ss -tlnp"), nil)
	require.Equal(t, first[0].Visit.ID, next[0].Visit.ID)
	require.Equal(t, 2, next[0].Visit.Matches)
}

func TestAControlHoldsBackWhatComesAfterAMatch(t *testing.T) {
	d, at := atWork(t)
	o := d.o
	o.Decide = func(_ *process.Event, f *Finding) Decision { return Decision{NoAlert: f.Score >= f.Threshold} }
	require.NoError(t, d.Configure(o))
	see(d, inSession(at, 100, "ss -tlnp"), nil)
	discover(d, at.Add(time.Second), 100, nil)
	require.Empty(t, d.Advance(at.Add(awaitedFor), nil))
}

// TestARestartAwaitsWhatWasAwaited: the same alert, whenever reconbeat was stopped in between.
func TestARestartAwaitsWhatWasAwaited(t *testing.T) {
	run := func(restart int) (out []Finding) {
		d, at := atWork(t)
		again := func() {
			b, err := d.Snapshot()
			require.NoError(t, err)
			o := d.o
			d = mustNew(t, o)
			require.NoError(t, d.Restore(b))
			after, err := d.Snapshot()
			require.NoError(t, err)
			require.JSONEq(t, string(b), string(after))
		}
		events := []*process.Event{inSession(at, 100, "ss -tlnp")}
		for i, p := range []string{"whoami", "id", "uname", "w", "last", "hostname"} {
			events = append(events, inSession(at.Add(time.Duration(5*i+1)*time.Second), 100, p))
		}
		for i, e := range events {
			if i == restart {
				again()
			}
			out = see(d, e, out)
		}
		if restart == len(events) {
			again()
		}
		out = d.Advance(at.Add(awaitedFor), out)
		return out
	}
	said := func(findings []Finding) (lines []string) {
		for _, f := range findings {
			lines = append(lines, fmt.Sprint(f.Kind, f.Score, f.Context.Parts, f.Reason(), f.AlertID, f.Visit, f.After,
				f.Episode))
		}
		return lines
	}
	want := run(-1)
	require.Equal(t, []Kind{Observation, Alert}, kinds(want))
	for restart := range 8 {
		require.Equal(t, said(want), said(run(restart)), restart)
	}
}

// TestAnAwaitedEventSurvivesASnapshot: all that an alert's document is made of.
func TestAnAwaitedEventSurvivesASnapshot(t *testing.T) {
	e := inSession(now, 7, "ss -tlnp")
	e.ID, e.Sequence, e.Source, e.Timezone, e.Starter = "id", 7, "auditd", "+02:00", "agent"
	e.Host = process.Host{ID: "h", Name: "n", OSType: "linux"}
	e.Container = process.Container{ID: "c", Name: "n", Image: "i"}
	e.Parent = process.Process{
		PID: 5, Name: "bash", Executable: "/bin/bash", Args: []string{"bash"}, ArgsCount: 1, Start: now,
	}
	e.Binary.Tool = "ss"
	b, err := json.Marshal(e)
	require.NoError(t, err)
	var got process.Event
	got.Reset()
	require.NoError(t, json.Unmarshal(b, &got))
	var plain process.Event
	plain.Copy(e)
	require.Equal(t, fmt.Sprintf("%+v", without(plain)), fmt.Sprintf("%+v", without(got)))
}

// without is an event without its own memory.
func without(e process.Event) []any {
	return []any{
		e.Kind, e.Time.UTC(), e.ID, e.Sequence, e.Source, e.Timezone, e.Success, e.Host, e.Process, e.PPID, e.Parent,
		e.Leader, e.Entry, e.Starter, e.Session, e.Container, e.Origin, e.Cursor,
	}
}

// TestAnOlderSnapshotHasNoSessions: what version 2 wrote is read, and sessions begin with what comes.
func TestAnOlderSnapshotHasNoSessions(t *testing.T) {
	d, at := atWork(t)
	b, err := d.Snapshot()
	require.NoError(t, err)
	var older map[string]any
	require.NoError(t, json.Unmarshal(b, &older))
	require.Contains(t, older, "sessions")
	delete(older, "sessions")
	delete(older, "awaited")
	older["version"] = 2
	b, err = json.Marshal(older)
	require.NoError(t, err)
	require.NoError(t, d.Restore(b))
	discover(d, at, 100, nil)
	f := see(d, inSession(at.Add(time.Minute), 100, "ss -tlnp"), nil)
	require.Zero(t, f[0].Context.Parts[habit.Session], "nothing is known of what runs here")
	require.Less(t, f[0].Score, 10.0)
}

func TestAwaitedMatchesAreBounded(t *testing.T) {
	d, at := atWork(t)
	for i := range uint32(200) {
		e := inSession(at.Add(time.Duration(i)*time.Second), 1000+i, "git")
		e.User.ID, e.Session.User.ID = 2000+i, 2000+i
		see(d, e, nil)
		e = inSession(at.Add(time.Duration(i)*time.Second), 1000+i, "ss -tlnp")
		e.User.ID, e.Session.User.ID = 2000+i, 2000+i
		see(d, e, nil)
	}
	require.Len(t, d.awaited, maxAwaited)
	other := inSession(at.Add(time.Hour), 7, "git")
	other.Host = process.Host{ID: "another host"}
	see(d, other, nil)
	require.Less(t, len(d.awaited), maxAwaited, "room is made")
	snapshot := d.sessions["another host"].Snapshot()
	require.Len(t, snapshot.Open, 1, "what runs there is held against its own habits")
	require.Empty(t, snapshot.Accounts)
	require.True(t, slices.IsSortedFunc(d.awaited, func(a, b *awaited) int { return a.due.Compare(b.due) }))
	d.Advance(at.Add(2*time.Hour), nil)
	require.Empty(t, d.awaited)
	require.LessOrEqual(t, len(d.idle), maxAwaited+1)
}

// TestWhatRunsCostsNoMemory: a program that no rule means, and a match in a context that repeats itself.
func TestWhatRunsCostsNoMemory(t *testing.T) {
	d, at := atWork(t)
	var out []Finding
	e := inSession(at, 100, "git")
	step := func() {
		e.Time = e.Time.Add(time.Second)
		d.Watch(e)
		rules := d.Match(e)
		out = d.Due(e, out[:0])
		d.Ran(e, rules, func(*process.Event) {})
	}
	for range 100 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(100, step))
}
