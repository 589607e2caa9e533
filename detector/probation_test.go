// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// monday is when the tests of contexts begin: after 57 days of habits, at nine.
var monday = start.AddDate(0, 0, 57).Add(9 * time.Hour)

// admin is a match of alice's as on every working morning, agent one of the monitoring's.
func admin(at time.Time) *process.Event {
	e := exec(at, "alice", "ss -tlnp")
	e.User.ID = 1000
	e.Session.User = process.User{ID: 1000, Name: "alice"}
	e.Session.Entry, e.Session.Source = process.EntrySSHD, netip.MustParseAddr("10.1.2.3")
	e.Parent.Name, e.TTY, e.Interactive, e.CWD = "bash", "pts0", true, "/home/alice"
	return e
}

func agent(at time.Time) *process.Event {
	e := exec(at, "zabbix", "ss -s")
	e.User.ID, e.Parent.Name, e.CWD, e.Session.Entry = 111, "zabbix_agentd", "/", process.EntryInit
	return e
}

// webShell is what nobody has done by then.
func webShell(at time.Time) *process.Event {
	e := exec(at, "www-data", "ss -tunap")
	e.User.ID, e.Parent.Name, e.CWD, e.Session.Entry = 33, "sh", "/var/www", process.EntryInit
	return e
}

// settled is a detector with the context model in charge that has seen the agent's and the admin's matches until
// monday.
func settled(t *testing.T, change func(*Options)) *Detector {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	if change != nil {
		change(&o)
	}
	d := mustNew(t, o)
	for day := range 57 {
		at := start.AddDate(0, 0, day).Add(9 * time.Hour)
		d.Advance(at, nil)
		require.NotEqual(t, Alert, one(t, d, agent(at)).Kind)
		if at.Weekday() != time.Saturday && at.Weekday() != time.Sunday {
			one(t, d, admin(at.Add(time.Minute)))
		}
	}
	return d
}

// at lets time pass until an exec, judges it, and returns what came of both.
func at(t *testing.T, d *Detector, e *process.Event) (summaries []Finding, f Finding) {
	t.Helper()
	summaries = d.Advance(e.Time, nil)
	for _, s := range summaries {
		require.Equal(t, Summary, s.Kind)
	}
	return summaries, one(t, d, e)
}

func TestOnProbationNothingAlertsTwice(t *testing.T) {
	d := settled(t, nil)
	_, first := at(t, d, webShell(monday))
	require.Equal(t, Alert, first.Kind)
	require.Equal(t, Habit{Days: 5, Span: 14 * 24 * time.Hour}, first.Habit, "the alert states the terms")

	// A band higher is one further alert, which names the first.
	worse := webShell(monday.Add(time.Minute))
	worse.Executable, worse.Args = "/dev/shm/ss", []string{"ss", "-K"}
	_, escalated := at(t, d, worse)
	require.Equal(t, Alert, escalated.Kind, "%.1f", escalated.Score)
	require.True(t, escalated.Escalated)
	require.Equal(t, first.AlertID, escalated.EarlierID)

	// Episodes in the same context, that of the second across a restart: no alert, and a summary of each under the
	// first alert's id.
	execs := 0
	for hour := 1; hour <= 4; hour++ {
		summaries, f := at(t, d, webShell(monday.Add(time.Duration(hour)*time.Hour)))
		require.Equal(t, Repeat, f.Kind, "hour %d: %.1f", hour, f.Score)
		require.Equal(t, first.AlertID, f.AlertID)
		for _, s := range summaries {
			require.Equal(t, first.AlertID, s.AlertID)
			execs += s.Summary.Execs
		}
		if hour == 2 {
			snapshot, err := d.Snapshot()
			require.NoError(t, err)
			d = mustNew(t, d.o)
			require.NoError(t, d.Restore(snapshot))
		}
	}
	require.Equal(t, 5, execs, "of each match until then")
	require.Len(t, d.Advance(monday.Add(6*time.Hour), nil), 1, "and of the last")

	// What is unusual in another part is an alert of its own, which names the earlier one.
	other := webShell(monday.AddDate(0, 0, 1))
	other.Parent.Name = "python3.11"
	_, another := at(t, d, other)
	require.Equal(t, Alert, another.Kind)
	require.Equal(t, escalated.AlertID, another.EarlierID)
	require.False(t, another.Escalated)
}

func TestOnProbationADayTeachesOnce(t *testing.T) {
	d := settled(t, nil)
	for hour := range 12 {
		at(t, d, webShell(monday.Add(time.Duration(hour)*time.Hour)))
	}
	command := func() float64 {
		known := d.Known("www-data", monday.Add(12*time.Hour))
		return known[0].Actors[0].Features[habit.PartNames[habit.Command]][0].Visits
	}
	require.InDelta(t, 0.5, command(), 0.05, "what is not a habit yet weighs half")
	at(t, d, webShell(monday.Add(24*time.Hour)))
	require.InDelta(t, 1, command(), 0.1)
	require.NotEmpty(t, d.probations)
}

func TestAHabitIsWhatWasSeenOnFiveDaysOverFourteen(t *testing.T) {
	for _, c := range []struct {
		name string
		days []int // on which the context is seen, after the alert
		left bool  // whether the probation is left
	}{
		{"on thirteen days more, not over fourteen", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, true},
		{"over fourteen, not on five", []int{5, 10, 15}, true},
		{"on five over fourteen", []int{3, 7, 11, 14}, false},
		{"every day", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := settled(t, nil)
			_, first := at(t, d, webShell(monday))
			require.Equal(t, Alert, first.Kind)
			var last []Finding
			for _, day := range c.days {
				require.NotContains(t, kinds(last), Habitual)
				e := webShell(monday.AddDate(0, 0, day))
				d.Advance(e.Time, nil)
				last = d.Judge(e, 1, nil)
				require.NotContains(t, kinds(last), Alert, "day %d", day)
			}
			require.Equal(t, c.left, len(d.probations) > 0)
			if c.left {
				require.NotContains(t, kinds(last), Habitual)
				return
			}
			require.Equal(t, Habitual, last[len(last)-1].Kind, "nothing becomes usual without a trace")
			became := last[len(last)-1]
			require.Equal(t, first.AlertID, became.AlertID)
			require.Equal(t, monday, became.Became.Since)
			require.Equal(t, []string{"parent sh"}, became.Became.Context)
			require.Regexp(t,
				"^www-data has looked at network connections on [0-9]+ days since 2026-04-27T09:00:00Z: parent sh; "+
					"alerts on it end$",
				became.Reason())
		})
	}
	t.Run("as configured", func(t *testing.T) {
		d := settled(t, func(o *Options) { o.Habit = Habit{Days: 2, Span: 24 * time.Hour} })
		_, first := at(t, d, webShell(monday))
		require.Equal(t, Habit{Days: 2, Span: 24 * time.Hour}, first.Habit)
		e := webShell(monday.AddDate(0, 0, 1))
		d.Advance(e.Time, nil)
		require.Contains(t, kinds(d.Judge(e, 1, nil)), Habitual)
		require.Empty(t, d.probations)
	})
}

func TestAContextThatWasAwayForThirtyDaysAlertsAgain(t *testing.T) {
	away := func(days int) (first, back Finding) {
		d := settled(t, nil)
		_, first = at(t, d, webShell(monday))
		for day := 1; day < days; day++ {
			at(t, d, agent(monday.AddDate(0, 0, day)))
			if day == 50 { // what the account does in another way, after the thirty days, changes nothing of that
				other := webShell(monday.AddDate(0, 0, day))
				other.Parent.Name = "python3.11"
				_, otherwise := at(t, d, other)
				require.Equal(t, Alert, otherwise.Kind)
			}
		}
		_, back = at(t, d, webShell(monday.AddDate(0, 0, days).Add(time.Hour)))
		return first, back
	}
	first, back := away(29)
	require.Equal(t, Alert, first.Kind)
	require.Equal(t, Repeat, back.Kind)
	require.Equal(t, first.AlertID, back.AlertID)
	require.False(t, back.Context.New)
	_, back = away(31)
	require.True(t, back.Context.New, "it is as if it had never been")
	first, back = away(60)
	require.Equal(t, Alert, back.Kind, "%.1f", back.Score)
	require.False(t, back.Escalated)
	require.Equal(t, first.AlertID, back.EarlierID, "the analyst finds the one before")
	require.Equal(t, "www-data had not looked at network connections through sh on this host for 60 days, since an "+
		"alert; no terminal; usually zabbix and alice do", back.Reason())
}

// TestALaterAlertOfAVisitKnowsWhatLapsed has an account come back after sixty days, and show more a minute later,
// across a restart.
func TestALaterAlertOfAVisitKnowsWhatLapsed(t *testing.T) {
	d := settled(t, nil)
	_, first := at(t, d, webShell(monday))
	require.Equal(t, Alert, first.Kind)
	for day := 1; day < 60; day++ {
		at(t, d, agent(monday.AddDate(0, 0, day)))
	}
	back := monday.AddDate(0, 0, 60)
	_, again := at(t, d, webShell(back))
	require.Equal(t, Alert, again.Kind)
	require.Equal(t, first.AlertID, again.EarlierID)

	snapshot, err := d.Snapshot()
	require.NoError(t, err)
	d = mustNew(t, d.o)
	require.NoError(t, d.Restore(snapshot))
	worse := webShell(back.Add(time.Minute))
	worse.Executable, worse.Args = "/dev/shm/ss", []string{"ss", "-K"}
	_, escalated := at(t, d, worse)
	require.Equal(t, Alert, escalated.Kind, "%.1f", escalated.Score)
	require.True(t, escalated.Escalated)
	require.Equal(t, again.AlertID, escalated.EarlierID)
	require.Regexp(t, "^www-data had not looked at network connections on this host for 60 days, since an alert; ",
		escalated.Reason())
}

// TestTypicalUsersAreNoneOfEarlierAlerts has a web server's account alert, and then an account that
// nobody knows either.
func TestTypicalUsersAreNoneOfEarlierAlerts(t *testing.T) {
	nobody := func(at time.Time) *process.Event {
		e := exec(at, "nobody", "ss -tan")
		e.User.ID, e.Parent.Name, e.CWD, e.Session.Entry = 65534, "bash", "/", process.EntryInit
		return e
	}
	d := settled(t, nil)
	_, first := at(t, d, webShell(monday))
	require.Equal(t, Alert, first.Kind)
	require.Equal(t, []string{"zabbix", "alice"}, first.TypicalUsers)
	at(t, d, webShell(monday.Add(2*time.Hour))) // on probation, and no alert
	_, second := at(t, d, nobody(monday.Add(3*time.Hour)))
	require.Equal(t, Alert, second.Kind)
	require.Equal(t, []string{"zabbix", "alice"}, second.TypicalUsers)
	require.Contains(t, second.Reason(), "usually zabbix and alice do")

	// Across a restart, too.
	snapshot, err := d.Snapshot()
	require.NoError(t, err)
	d = mustNew(t, d.o)
	require.NoError(t, d.Restore(snapshot))
	other := nobody(monday.Add(4 * time.Hour))
	other.User = process.User{ID: 13, Name: "proxy"}
	_, third := at(t, d, other)
	require.Equal(t, Alert, third.Kind)
	require.Equal(t, []string{"zabbix", "alice"}, third.TypicalUsers)

	// What has become a habit is usual.
	for day := 1; day <= 15; day++ {
		d.Advance(monday.AddDate(0, 0, day), nil)
		d.Judge(webShell(monday.AddDate(0, 0, day)), 1, nil)
	}
	late := nobody(monday.AddDate(0, 0, 16))
	late.User, late.Executable = process.User{ID: 8, Name: "mail"}, "/dev/shm/ss"
	_, fourth := at(t, d, late)
	require.Equal(t, Alert, fourth.Kind)
	require.Contains(t, fourth.TypicalUsers, "www-data")
	require.NotContains(t, fourth.TypicalUsers, "proxy")
	require.NotContains(t, fourth.TypicalUsers, "nobody")
}

// TestTypicalUsersOfRareWouldNotAlert has two accounts match that nobody knows, an hour apart.
func TestTypicalUsersOfRareWouldNotAlert(t *testing.T) {
	d := taught(t, options(mission()))
	_, first := at(t, d, exec(now, "mallory", "ss -tunap"))
	require.Equal(t, Alert, first.Kind)
	_, second := at(t, d, exec(now.Add(time.Hour), "eve", "ss -tunap"))
	require.Equal(t, Alert, second.Kind)
	require.Equal(t, []string{"root", "alice"}, second.TypicalUsers)
}

// TestAnotherContainerIsAnotherActor has one user id alert outside, and in containers of two images: what one has
// raised holds back no other's alert, in its episode or on probation, and its own whatever the container's id is.
func TestAnotherContainerIsAnotherActor(t *testing.T) {
	d := settled(t, nil)
	ids := 0
	in := func(at time.Time, image string) *process.Event {
		ids++
		e := webShell(at)
		e.Container = process.Container{ID: fmt.Sprint("id-", ids), Image: fmt.Sprint(image, ":", ids)}
		return e
	}
	_, outside := at(t, d, webShell(monday))
	require.Equal(t, Alert, outside.Kind)
	_, shop := at(t, d, in(monday.Add(time.Minute), "shop"))
	require.Equal(t, Alert, shop.Kind)
	require.Equal(t, "www-data in shop", shop.Actor.String())
	require.Regexp(t, "^www-data in shop has never ", shop.Reason())
	requireContainer := func(f *Finding) {
		doc := mapstr.M{}
		Encode(f, doc)
		v, err := doc.GetValue(actorContainer)
		require.NoError(t, err)
		require.Equal(t, "shop", v)
	}
	requireContainer(&shop)
	require.Empty(t, shop.EarlierID)
	for hour := range 3 {
		_, again := at(t, d, in(monday.Add(time.Duration(hour)*time.Hour+2*time.Minute), "shop"))
		require.Equal(t, Repeat, again.Kind, hour)
		require.Equal(t, shop.AlertID, again.AlertID)
		snapshot, err := d.Snapshot()
		require.NoError(t, err)
		d = mustNew(t, d.o)
		require.NoError(t, d.Restore(snapshot))
	}
	summaries := 0
	closed := d.Advance(monday.Add(150*time.Minute), nil)
	for i := range closed {
		if closed[i].Kind == Summary && closed[i].AlertID == shop.AlertID {
			summaries++
			requireContainer(&closed[i])
			require.Contains(t, closed[i].Message(), "by www-data in shop")
		}
	}
	require.Equal(t, 1, summaries)
	_, blog := at(t, d, in(monday.Add(3*time.Hour), "blog"))
	require.Equal(t, Alert, blog.Kind)

	var probations []string
	for _, k := range d.Known("www-data", monday.Add(3*time.Hour)) {
		for _, p := range k.Probations {
			probations = append(probations, p.Actor)
		}
	}
	require.ElementsMatch(t, []string{"www-data", "www-data in shop", "www-data in blog"}, probations)
	require.Positive(t, d.Forget("www-data"))
	require.Empty(t, d.probations)
	require.Empty(t, d.episodes)
}

// newcomer is a match of bob's, by day and from the team's network, on a terminal or without one.
func newcomer(at time.Time, onTerminal bool) *process.Event {
	e := admin(at)
	e.User = process.User{ID: 1001, Name: "bob"}
	e.Session.User, e.CWD = e.User, "/home/bob"
	if !onTerminal {
		e.TTY, e.Interactive = "", false
	}
	return e
}

// TestANewAccountAlertsOnceOnATerminalOrWithout has somebody come for the first time on one side of a terminal, and
// some days later on the other.
func TestANewAccountAlertsOnceOnATerminalOrWithout(t *testing.T) {
	for _, onTerminal := range []bool{true, false} {
		t.Run(fmt.Sprintf("first on a terminal %v", onTerminal), func(t *testing.T) {
			d := quietHost(t)
			_, first := at(t, d, newcomer(monday, onTerminal))
			require.Equal(t, Alert, first.Kind, "%.1f", first.Score)

			snapshot, err := d.Snapshot()
			require.NoError(t, err)
			d = mustNew(t, d.o)
			require.NoError(t, d.Restore(snapshot))

			_, other := at(t, d, newcomer(monday.AddDate(0, 0, 2), !onTerminal))
			require.GreaterOrEqual(t, other.Score, other.Threshold)
			require.Equal(t, Repeat, other.Kind)
			require.Equal(t, first.AlertID, other.AlertID)
			summaries := d.Advance(monday.AddDate(0, 0, 2).Add(time.Hour), nil)
			require.Len(t, summaries, 1, "where the analyst finds it")
			require.Equal(t, first.AlertID, summaries[0].AlertID)

			// Both together make a habit.
			var last []Finding
			for _, day := range []int{4, 8, 16} {
				e := newcomer(monday.AddDate(0, 0, day), day != 8)
				d.Advance(e.Time, nil)
				last = d.Judge(e, 1, nil)
				require.NotContains(t, kinds(last), Alert, "day %d", day)
			}
			require.Equal(t, Habitual, last[len(last)-1].Kind)
			require.Equal(t, "bob has looked at network connections on 5 days since 2026-04-27T09:00:00Z: on a "+
				"terminal or without one; alerts on it end", last[len(last)-1].Reason())
		})
	}
}

// quietHost is a detector that has seen nobody but an agent until monday.
func quietHost(t *testing.T) *Detector {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	for day := range 57 {
		e := agent(start.AddDate(0, 0, day).Add(9 * time.Hour))
		d.Advance(e.Time, nil)
		one(t, d, e)
	}
	return d
}

// TestWhatElseIsUnusualOfANewAccountAlerts has a new account come on the other side of a terminal, and by night, from
// elsewhere, or under another's name: each is news.
func TestWhatElseIsUnusualOfANewAccountAlerts(t *testing.T) {
	for name, change := range map[string]func(e *process.Event){
		"from the Internet": func(e *process.Event) { e.Session.Source = netip.MustParseAddr("185.1.2.3") },
		"by night":          func(e *process.Event) { e.Time = e.Time.Add(-6 * time.Hour) },
		"a disguise":        func(e *process.Event) { e.Executable = "/dev/shm/ss" },
		"another name": func(e *process.Event) {
			e.User.Name = "mallory"
			e.Session.User = e.User
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := quietHost(t)
			_, first := at(t, d, newcomer(monday, true))
			require.Equal(t, Alert, first.Kind)
			e := newcomer(monday.AddDate(0, 0, 2), false)
			change(e)
			_, other := at(t, d, e)
			require.Equal(t, Alert, other.Kind, "%.1f", other.Score)
			require.NotEqual(t, first.AlertID, other.AlertID)
		})
	}
}

// TestANewAccountThatWasAwayIsNewBothWays has somebody come both ways, and not for 31 days.
func TestANewAccountThatWasAwayIsNewBothWays(t *testing.T) {
	for _, onTerminal := range []bool{true, false} {
		d := quietHost(t)
		_, first := at(t, d, newcomer(monday, true))
		require.Equal(t, Alert, first.Kind)
		_, other := at(t, d, newcomer(monday.AddDate(0, 0, 2), false))
		require.Equal(t, Repeat, other.Kind)
		for day := 3; day < 33; day++ {
			at(t, d, agent(monday.AddDate(0, 0, day)))
		}
		_, back := at(t, d, newcomer(monday.AddDate(0, 0, 33).Add(time.Hour), onTerminal))
		require.Equal(t, Alert, back.Kind, "%.1f", back.Score)
		require.Equal(t, first.AlertID, back.EarlierID)
		require.Regexp(t, "^bob had not looked at network connections on this host for 31 days, since an alert; ",
			back.Reason())
		require.False(t, back.Context.KnownElsewise)
	}
}

// TestFeedbackOnANewAccountHoldsBothWays has a person answer the alert of a new account, who has come on
// both sides of a terminal by then, and comes on the other once more.
func TestFeedbackOnANewAccountHoldsBothWays(t *testing.T) {
	for said, want := range map[string]Kind{Benign: Observation, Malicious: Alert} {
		d, never := quietHost(t), quietHost(t)
		_, first := at(t, d, newcomer(monday, true))
		require.Equal(t, Alert, first.Kind)
		_, other := at(t, d, newcomer(monday.AddDate(0, 0, 2), false))
		require.Equal(t, Repeat, other.Kind)
		for _, passed := range []int{0, 48, 72} {
			never.Advance(monday.Add(time.Duration(passed)*time.Hour), nil)
		}
		later := monday.AddDate(0, 0, 3)
		d.Advance(later, nil)
		learned, err := d.Snapshot()
		require.NoError(t, err)
		d.Said(saying(&first, said, later))
		if said == Malicious {
			requireSameModel(t, never, d, later)
		}

		requireUndone(t, d, &first, later, learned)

		_, other = at(t, d, newcomer(later.Add(time.Minute), false))
		require.Equal(t, want, other.Kind, said)
		require.NotNil(t, other.Feedback)
		if said == Benign {
			require.Less(t, other.Score, 5.0, "what was seen is a habit")
		}
	}
}

// TestAMaliciousAlertUnlearnsEachWayOfItsEpisode has a web shell go on through another parent.
func TestAMaliciousAlertUnlearnsEachWayOfItsEpisode(t *testing.T) {
	d, never := settled(t, nil), settled(t, nil)
	_, first := at(t, d, webShell(monday))
	require.Equal(t, Alert, first.Kind)
	other := webShell(monday.Add(time.Minute))
	other.Parent.Name = "dash"
	_, repeat := at(t, d, other)
	require.Equal(t, Repeat, repeat.Kind)
	later := monday.Add(3 * time.Hour)
	for _, at := range []time.Time{monday, monday.Add(time.Minute), later} {
		never.Advance(at, nil)
	}
	d.Advance(later, nil)
	d.Said(saying(&first, Malicious, later))
	requireSameModel(t, never, d, later)
}

// TestTheAftermathOfAnAlert has somebody new come two days after a web shell's alert, and
// after what a person has said of it.
func TestTheAftermathOfAnAlert(t *testing.T) {
	come := func(t *testing.T, after func(d *Detector, attack *Finding)) Finding {
		d := settled(t, nil)
		if after != nil {
			_, attack := at(t, d, webShell(monday))
			require.Equal(t, Alert, attack.Kind)
			require.GreaterOrEqual(t, attack.Score, 50.0)
			require.Zero(t, attack.Aftermath)
			after(d, &attack)
		}
		d = again(t, d)
		e := newcomer(monday.AddDate(0, 0, 2), true)
		e.Session.Source = netip.MustParseAddr("185.1.2.3")
		_, f := at(t, d, e)
		return f
	}
	answered := func(verdict string) func(*Detector, *Finding) {
		return func(d *Detector, attack *Finding) { d.Said(saying(attack, verdict, monday.Add(time.Hour))) }
	}
	before := come(t, nil)
	require.Equal(t, Alert, before.Kind)
	for name, after := range map[string]func(*Detector, *Finding){
		"open": func(*Detector, *Finding) {}, Malicious: answered(Malicious), Unsure: answered(Unsure),
	} {
		f := come(t, after)
		require.InDelta(t, before.Context.Parts[habit.Newness]+1, f.Context.Parts[habit.Newness], 0.05, name)
		require.Greater(t, f.Score, before.Score, name)
		require.Contains(t, f.Reason(), "; www-data alerted 2 days before", name)
		doc := mapstr.M{}
		Encode(&f, doc)
		v, err := doc.GetValue("reconbeat.alert.after_id")
		require.NoError(t, err)
		require.Equal(t, f.Aftermath.AlertID, v)
	}
	f := come(t, answered(Benign))
	require.Zero(t, f.Aftermath, "somebody has explained it")
	require.InDelta(t, before.Context.Parts[habit.Newness], f.Context.Parts[habit.Newness], 0.05)

	// Who is known is not held against.
	d := settled(t, nil)
	at(t, d, webShell(monday))
	_, known := at(t, d, admin(monday.Add(time.Minute)))
	require.Zero(t, known.Aftermath)
	require.Equal(t, Observation, known.Kind)
}
