// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// stranger is somebody whom nobody has seen, by ssh.
func stranger(at time.Time, name string, uid uint32, from string) *process.Event {
	e := exec(at, name, "ss -tunap")
	e.User.ID = uid
	e.Session.User = process.User{ID: uid, Name: name}
	e.Session.Entry, e.Session.Source = process.EntrySSHD, netip.MustParseAddr(from)
	e.Parent.Name, e.TTY, e.Interactive, e.CWD = "bash", "pts0", true, "/home/"+name
	return e
}

// daemon is a service account that nobody has seen, through a shell.
func daemon(at time.Time, name string, uid uint32) *process.Event {
	e := webShell(at)
	e.User = process.User{ID: uid, Name: name}
	return e
}

// watched is a detector that has watched a host for some days on which an agent looked, or nobody did.
func watched(t *testing.T, days int, withAgent bool) (*Detector, time.Time) {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	end := start.AddDate(0, 0, days)
	ls := exec(start, "root", "ls -l")
	for at := start; at.Before(end); at = at.Add(10 * time.Minute) {
		d.Advance(at, nil)
		if withAgent {
			require.NotContains(t, kinds(d.Judge(agent(at), 1, nil)), Alert, "at %v", at)
			continue
		}
		ls.Time = at
		require.Zero(t, d.Match(ls))
		d.Watch(ls)
	}
	return d, end
}

func TestTheFirstMatchOnAQuietHostIsUnusual(t *testing.T) {
	for _, days := range []int{3, 12, 50} {
		for _, withAgent := range []bool{true, false} {
			d, end := watched(t, days, withAgent)
			night := end.Add(3 * time.Hour)
			for name, e := range map[string]*process.Event{
				"stranger": stranger(night, "support", 1007, "203.0.113.7"), "daemon": daemon(night, "www-data", 33),
			} {
				b, err := d.Snapshot()
				require.NoError(t, err)
				again := mustNew(t, d.o)
				require.NoError(t, again.Restore(b))
				_, f := at(t, again, e)
				require.Equal(t, Alert, f.Kind, "%s after %d days, agent %v: %.1f", name, days, withAgent, f.Score)
				require.InDelta(t, days, f.Context.Days, 0.2, "age is watched time")
			}
		}
	}
}

func TestAnAlertTeachesNobodyElse(t *testing.T) {
	d, end := watched(t, 20, true)
	_, first := at(t, d, daemon(end, "www-data", 33))
	require.Equal(t, Alert, first.Kind)
	for i, after := range []time.Duration{time.Minute, 3 * time.Hour, 7 * 24 * time.Hour, 25 * 24 * time.Hour} {
		e := daemon(end.Add(after), fmt.Sprintf("service%d", i), uint32(200+i))
		for at := end; at.Before(e.Time); at = at.Add(6 * time.Hour) {
			d.Advance(at, nil)
		}
		_, next := at(t, d, e)
		require.Equal(t, Alert, next.Kind, "after %v: %.1f", after, next.Score)
		require.GreaterOrEqual(t, band(next.Score), band(first.Score), "after %v: %.1f, first %.1f", after, next.Score,
			first.Score)
	}
}

func TestAStormOfUnknownAccountsIsAnAlertForEach(t *testing.T) {
	d, end := watched(t, 20, true)
	alerts := 0
	for i := range 600 {
		out := d.Judge(daemon(end.Add(time.Duration(i)*time.Second), fmt.Sprintf("u%d", i), uint32(2000+i)), 1, nil)
		for _, f := range out {
			if f.Kind == Alert {
				alerts++
			}
		}
	}
	require.Equal(t, 600, alerts)
}

func TestNobodyIsAnActorOfTheirOwn(t *testing.T) {
	d, end := watched(t, 20, true)
	nobody := webShell(end)
	nobody.User = process.NoProcess.User
	_, f := at(t, d, nobody)
	require.Equal(t, Alert, f.Kind, "%.1f", f.Score)
	require.Equal(t, f.Rule.Name+" by an unknown user", f.Message())
	require.True(t, strings.HasPrefix(f.Reason(), "an unknown user has never"), f.Reason())
	require.EqualValues(t, 1, d.Unnamed())
}

func TestADisguisedToolOfADailyUserIsUnusual(t *testing.T) {
	for name, change := range map[string]func(*process.Event){
		"a copy in /tmp":     func(e *process.Event) { e.Executable = "/tmp/ss" },
		"a copy in /dev/shm": func(e *process.Event) { e.Executable = "/dev/shm/.x/ss" },
		"a copy in a home":   func(e *process.Event) { e.Executable = "/home/alice/ss" },
		"a copy in a folder of one's own": func(e *process.Event) {
			e.Executable, e.Place = "/opt/tools/ss", process.InHome
		},
		"a copy in a folder of everybody's": func(e *process.Event) {
			e.Executable, e.Place = "/srv/share/ss", process.InTemporary
		},
		"a copy in a hidden folder": func(e *process.Event) { e.Executable = "/usr/lib/.x/ss" },
		"a copy under another name": func(e *process.Event) {
			e.Name, e.Executable, e.Binary.Tool = "kworker", "/opt/kworker", "ss"
		},
		"a copy in /tmp under another name": func(e *process.Event) {
			e.Name, e.Executable, e.Binary.Tool = "kworker", "/tmp/.x/kworker", "ss"
		},
		"a link of another name": func(e *process.Event) { e.Args = []string{"/home/alice/x", "-tlnp"} },
		"called as a thread of the kernel": func(e *process.Event) {
			e.Args = []string{"[kworker/0:1]", "-tlnp"}
		},
		"a deleted file":   func(e *process.Event) { e.Deleted = true },
		"a file in memory": func(e *process.Event) { e.Executable, e.Binary.Tool = "/memfd:x", "ss" },
		"the dynamic loader": func(e *process.Event) {
			e.Name = "ld-linux-x86-64.so.2"
			e.Executable = "/usr/lib/x86_64-linux-gnu/" + e.Name
			e.Args = []string{"ld.so", "/usr/bin/ss", "-tlnp"}
		},
	} {
		d := settled(t, nil)
		e := admin(monday.Add(time.Minute))
		e.Executable = "/usr/bin/ss"
		change(e)
		_, f := at(t, d, e)
		require.Equal(t, Alert, f.Kind, "%s: %.1f %v", name, f.Score, f.Context.Parts)
		require.Contains(t, f.Reason(), "the tool ", name)
	}
}

func TestAParentIsAFileNotABaseName(t *testing.T) {
	for _, c := range []struct {
		file        string
		place       string // what the file system says
		new, alerts bool
	}{
		{file: "/opt/agents/check_mk_agent", place: process.InHome, new: true, alerts: true},
		{file: "/srv/share/check_mk_agent", place: process.InTemporary, new: true, alerts: true},
		{file: "/opt/checkmk/2.4/bin/check_mk_agent", place: "nowhere that anybody knows"},
		{file: "/opt/checkmk/2.4/bin/check_mk_agent"}, // an upgrade moved it
		{file: "/tmp/check_mk_agent", new: true, alerts: true},
		{file: "/memfd:x", new: true, alerts: true},
		{file: "/home/ann/check_mk_agent", new: true, alerts: true},
		{file: "/root/check_mk_agent", new: true, alerts: true},
		{file: "/home/deploy/app/bin/server", new: true}, // named like no other
	} {
		d, end := watched(t, 20, false)
		like := func(at time.Time, parent string) *process.Event {
			e := exec(at, "root", "ss -s")
			e.User.ID, e.CWD, e.Session.Entry = 0, "/", process.EntryInit
			e.Parent.Name, e.Parent.Executable = parent[strings.LastIndexByte(parent, '/')+1:], parent
			return e
		}
		for i := range 20 * 24 {
			d.Judge(like(end.Add(time.Duration(i)*time.Hour), "/usr/bin/check_mk_agent"), 1, nil)
		}
		e := like(end.AddDate(0, 0, 20).Add(time.Minute), c.file)
		e.StarterPlace = c.place
		_, f := at(t, d, e)
		require.Equal(t, c.new, f.Context.New, c.file)
		require.Equal(t, c.alerts, f.Kind == Alert, "%s: %.1f", c.file, f.Score)
	}
}

func TestTheFirstDayEndsWithAReport(t *testing.T) {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	var reports []Finding
	advance := func(at time.Time) {
		for _, f := range d.Advance(at, nil) {
			if f.Kind == Learned {
				reports = append(reports, f)
			}
		}
	}
	for at := start; at.Before(start.Add(26 * time.Hour)); at = at.Add(10 * time.Minute) {
		advance(at)
		d.Judge(agent(at), 1, nil)
		if at.Sub(start) == 10*time.Hour {
			out := d.Judge(webShell(at.Add(time.Minute)), 1, nil)
			require.True(t, out[0].Learning)
			require.NotEqual(t, Alert, out[0].Kind)
		}
		if at.Sub(start) == 20*time.Hour {
			b, err := d.Snapshot()
			require.NoError(t, err)
			d = mustNew(t, o)
			require.NoError(t, d.Restore(b))
		}
	}
	require.Len(t, reports, 1, "once")
	r := reports[0]
	require.WithinDuration(t, start.Add(24*time.Hour), r.Time, 10*time.Minute)
	require.Len(t, r.Report.Actors, 2)
	require.Equal(t, "would be unusual on a host watched for a month, and are usual from now on: "+
		"www-data (service, parent sh), 1 visit, command ss -anptu; "+
		"zabbix (service, parent zabbix_agentd), 1 visit, command ss -s", r.Reason())
}

// What began while the model learned is learned: an agent that never pauses alerts neither when learning ends nor
// later.
func TestWhatBeganWhileLearningIsLearned(t *testing.T) {
	steps := []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute, 14 * time.Minute, time.Hour}
	if race.Enabled {
		steps = steps[4:] // the shorter, the more there are
	}
	for _, user := range []string{"zabbix", "root"} {
		for _, parent := range []string{"sh", "python3", "zabbix_agentd"} {
			for _, step := range steps {
				for _, begin := range []time.Duration{time.Minute, time.Hour, 9 * time.Hour, 23 * time.Hour} {
					o := options(mission())
					o.Model, o.LearnFor = ModelContext, 24*time.Hour
					d := mustNew(t, o)
					at := start
					d.Judge(admin(at), 1, nil)
					for at = start.Add(begin); at.Before(start.Add(4 * 24 * time.Hour)); at = at.Add(step) {
						e := agent(at)
						e.User = process.User{ID: map[string]uint32{"zabbix": 111, "root": 0}[user], Name: user}
						e.Parent.Name = parent
						d.Advance(at, nil)
						require.NotContains(t, kinds(d.Judge(e, 1, nil)), Alert, "%s by %s every %v from %v on, at %v",
							user, parent, step, begin, at)
					}
				}
			}
		}
	}
}

func TestAnAlertHasWhatItsVisitDidBefore(t *testing.T) {
	d, end := watched(t, 20, true)
	o := d.o
	o.Rules[0].Threshold = 100 // the first matches are below it
	require.NoError(t, d.Configure(o))
	night := end.Add(3 * time.Hour)
	support := func(i int, command string) *process.Event {
		e := stranger(night.Add(time.Duration(i)*time.Minute), "support", 1007, "203.0.113.7")
		e.Args = strings.Fields(command)
		return e
	}
	var ids []string
	for i, command := range []string{"ss -s", "ss -s", "ss -tan"} {
		_, f := at(t, d, support(i, command))
		require.Equal(t, Observation, f.Kind)
		ids = append(ids, f.Visit.ID)
	}
	o.Rules[0].Threshold = 25
	require.NoError(t, d.Configure(o))
	_, alert := at(t, d, support(3, "ss -tunap"))
	require.Equal(t, Alert, alert.Kind)
	require.Equal(t, []string{alert.Visit.ID, alert.Visit.ID, alert.Visit.ID}, ids)
	require.Equal(t, 4, alert.Visit.Matches)
	require.Equal(t, night, alert.Visit.Start)
	require.Equal(t, []Command{{"ss -s", 2}, {"ss -tan", 1}, {"ss -tunap", 1}}, alert.Visit.Commands)
	require.False(t, alert.Context.Known, "what they did some minutes ago is not a habit")
	summary := d.Advance(night.Add(time.Hour), nil)
	require.Equal(t, []Kind{Summary}, kinds(summary))
	require.Equal(t, alert.Visit.ID, summary[0].Visit.ID)

	_, later := at(t, d, support(600, "ss -s"))
	require.NotEqual(t, alert.Visit.ID, later.Visit.ID)
}

// TestAVisitEndsWithItsEpisode: to the second, so that none has two alerts of the same.
func TestAVisitEndsWithItsEpisode(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 15*time.Minute - time.Second, 15 * time.Minute} {
		d, end := watched(t, 10, true)
		visits := map[string]int{}
		for at := end.Add(8 * time.Hour); at.Before(end.Add(40 * time.Hour)); at = at.Add(step) {
			d.Advance(at, nil)
			for _, f := range d.Judge(stranger(at, "alice", 1007, "10.0.0.7"), 1, nil) {
				if f.Kind == Alert && !f.Escalated {
					visits[f.Visit.ID]++
				}
			}
		}
		require.NotEmpty(t, visits, step)
		for _, alerts := range visits {
			require.Equal(t, 1, alerts, "of a visit with a match every %v", step)
		}
	}
}

func TestAnAlertHasWhatWasUsualBeforeItsVisit(t *testing.T) {
	d := settled(t, nil)
	intruder := func(minute int) *process.Event {
		e := admin(monday.Add(18*time.Hour + time.Duration(minute)*time.Minute))
		e.Parent.Name, e.Session.Source, e.Args = "python3.11", netip.MustParseAddr("151.7.7.7"), []string{"ss", "-K"}
		return e
	}
	o := d.o
	o.Rules[0].Threshold = 100
	require.NoError(t, d.Configure(o))
	at(t, d, intruder(0))
	at(t, d, intruder(1))
	o.Rules[0].Threshold = 25
	require.NoError(t, d.Configure(o))
	_, alert := at(t, d, intruder(2))
	require.Equal(t, Alert, alert.Kind)
	require.True(t, alert.Context.Known)
	p := alert.Context.Profile
	require.Equal(t, 40, p.Days)
	require.Equal(t, 40, p.Visits)
	require.Equal(t, monday.AddDate(0, 0, -3).Add(time.Minute), p.Last, "on Friday")
	require.Equal(t, []int{9}, p.Hours)
	for part, want := range map[int]string{
		habit.Parent: "bash", habit.Command: "ss -lnpt", habit.Network: "10.1.2.0/24",
	} {
		require.Len(t, p.Features[habit.PartNames[part]], 1)
		require.Equal(t, want, p.Features[habit.PartNames[part]][0].Value)
	}
}

func TestASnapshotOfTheFirstVersionIsRead(t *testing.T) {
	b, err := os.ReadFile("testdata/snapshot-1.json")
	require.NoError(t, err)
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	require.NoError(t, d.Restore(b))
	known := d.Known("", monday.Add(3*time.Minute))
	require.Len(t, known, 1)
	require.Len(t, known[0].Actors, 3)
	require.Equal(t, []string{"parent sh"}, known[0].Probations[0].Context)
	require.InDelta(t, 57, d.Age(monday).Hours()/24, 0.1)
	_, repeat := at(t, d, webShell(monday.Add(3*time.Minute)))
	require.Equal(t, Repeat, repeat.Kind)
	require.Equal(t, known[0].Probations[0].AlertID, repeat.AlertID)
	_, usual := at(t, d, admin(monday.AddDate(0, 0, 1).Add(time.Minute)))
	require.Less(t, usual.Score, 5.0)
	require.NotContains(t, kinds(d.Advance(monday.AddDate(0, 0, 2), nil)), Learned,
		"what was learned long ago is no news")
}

// A clock that was wrong when the first match came changes no verdict.
func TestAWrongFirstTimeChangesNoVerdict(t *testing.T) {
	for name, first := range map[string]time.Time{
		"1970": time.Unix(215, 0), "2099": start.AddDate(73, 0, 0), "thirty days ahead": start.AddDate(0, 0, 30),
	} {
		o := options(mission())
		o.Model, o.LearnFor = ModelContext, 24*time.Hour
		d := mustNew(t, o)
		at(t, d, agent(first))
		end := start.AddDate(0, 0, 20)
		var reports []time.Time
		for at := start; at.Before(end); at = at.Add(time.Hour) {
			for _, f := range d.Advance(at, nil) {
				if f.Kind == Learned {
					reports = append(reports, f.Time)
				}
			}
			out := d.Judge(agent(at), 1, nil)
			require.NotContains(t, kinds(out), Alert, name)
			if since := at.Sub(start); since < 23*time.Hour || since > 25*time.Hour {
				require.Equal(t, since < 24*time.Hour, out[len(out)-1].Learning,
					"%s: a day of real time is learned, at %v", name, at)
			}
		}
		require.Len(t, reports, 1, name)
		_, f := at(t, d, webShell(end))
		require.Equal(t, Alert, f.Kind, "%s: %.1f", name, f.Score)
		require.Equal(t, []Kind{Summary}, kinds(d.Advance(end.Add(time.Hour), nil)), name)
	}
}
