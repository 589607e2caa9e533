// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

var update = flag.Bool("update", false, "write the golden files anew")

// start is when the tests' history begins, now when it ends: ten days in which root looks every ten minutes and alice
// every morning.
var (
	start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now   = start.AddDate(0, 0, 10)
)

func taught(t testing.TB, o Options) *Detector {
	d := mustNew(t, o)
	for at := start; at.Before(now); at = at.Add(10 * time.Minute) {
		d.Advance(at, nil)
		require.Empty(t, alerts(d.Judge(exec(at, "root", "ss -s"), 1, nil)))
		if at.Hour() == 8 {
			d.Judge(exec(at.Add(time.Minute), "alice", "ss -tan"), 1, nil)
		}
	}
	d.Advance(now, nil)
	return d
}

func alerts(findings []Finding) (out []Finding) {
	for _, f := range findings {
		if f.Kind == Alert {
			out = append(out, f)
		}
	}
	return out
}

// one judges an exec that matches the first rule and gives one finding.
func one(t *testing.T, d *Detector, e *process.Event) Finding {
	t.Helper()
	require.NotZero(t, d.Match(e))
	out := d.Judge(e, 1, nil)
	require.Len(t, out, 1)
	return out[0]
}

// kinds are the kinds of findings, in order.
func kinds(findings []Finding) (out []Kind) {
	for i := range findings {
		out = append(out, findings[i].Kind)
	}
	return out
}

func TestAStrangerAlertsOnceInAnEpisode(t *testing.T) {
	d := taught(t, options(mission()))
	usual := one(t, d, exec(now, "root", "ss -s"))
	require.Equal(t, Observation, usual.Kind)
	require.Less(t, usual.Score, 1.0)

	first := one(t, d, exec(now.Add(time.Second), "mallory", "ss -tunap"))
	require.Equal(t, Alert, first.Kind)
	require.Greater(t, first.Score, 50.0)
	require.True(t, first.FirstOccurrence)
	require.Equal(t, []string{"root", "alice"}, first.TypicalUsers)
	require.Equal(t, "ss", first.Program)
	require.NotEmpty(t, first.AlertID)
	require.Equal(t, first.AlertID, first.Episode.ID)

	for i, command := range []string{"netstat -rn", "netstat -rn", "ss -xl"} {
		again := one(t, d, exec(now.Add(time.Duration(i+1)*time.Minute), "mallory", command))
		require.Equal(t, Repeat, again.Kind)
		require.Equal(t, first.AlertID, again.AlertID)
	}
	other := one(t, d, exec(now.Add(5*time.Minute), "eve", "ss"))
	require.Equal(t, Alert, other.Kind, "another actor, another episode")

	require.Empty(t, d.Advance(now.Add(17*time.Minute+59*time.Second), nil))
	closed := d.Advance(now.Add(time.Hour), nil)
	require.Len(t, closed, 2)
	require.Equal(t, Summary, closed[0].Kind)
	require.Equal(t, now.Add(18*time.Minute), closed[0].Time, "15 minutes after the last")
	require.Equal(t, first.AlertID, closed[0].AlertID)
	require.Equal(t, 4, closed[0].Summary.Execs)
	require.Equal(t, []Command{{"ss -tunap", 1}, {"netstat -rn", 2}, {"ss -xl", 1}}, closed[0].Summary.Commands)
	require.Equal(t, now.Add(time.Second), closed[0].Episode.Start)
	require.Equal(t, now.Add(3*time.Minute), closed[0].Summary.Last)

	back := one(t, d, exec(now.Add(time.Hour), "eve", "ss"))
	require.Equal(t, Alert, back.Kind, "a new episode")
	require.NotEqual(t, other.AlertID, back.AlertID)
}

func TestAnEpisodeThatDoesNotPauseEndsAfterADay(t *testing.T) {
	o := options(mission())
	o.EpisodeMax = time.Hour
	d := taught(t, o)
	kinds := map[Kind]int{}
	for i := range 13 {
		for _, f := range d.Judge(exec(now.Add(time.Duration(i)*5*time.Minute), "mallory", "ss"), 1, nil) {
			kinds[f.Kind]++
		}
	}
	require.Equal(t, map[Kind]int{Alert: 2, Repeat: 11, Summary: 1}, kinds,
		"the thirteenth, an hour later, closes the episode and opens another")
}

func TestAHigherBandAlertsOnceMoreAndNamesTheFirst(t *testing.T) {
	d := mustNew(t, options(mission()))
	var first string
	for i, c := range []struct {
		score float64
		want  Kind
	}{
		{score: 30, want: Alert}, {score: 49.9, want: Repeat}, {score: 50, want: Alert}, {score: 60, want: Repeat},
		{score: 40, want: Repeat}, {score: 76, want: Alert}, {score: 74, want: Repeat}, {score: 99, want: Alert},
		{score: 100, want: Repeat},
	} {
		m := d.matchOf(0, exec(now.Add(time.Duration(i)*time.Second), "mallory", "ss"))
		f := &m.finding
		f.Score = c.score
		require.Empty(t, d.placeOver(&m, nil))
		require.Equal(t, c.want, f.Kind, "score %v", c.score)
		switch {
		case i == 0:
			first = f.AlertID
			require.False(t, f.Escalated)
		case f.Kind == Alert:
			require.True(t, f.Escalated)
			require.Equal(t, first, f.EarlierID)
			require.NotEqual(t, first, f.AlertID)
		default:
			require.Equal(t, first, f.AlertID)
		}
		require.Equal(t, first, f.Episode.ID)
	}
}

func TestTheActorIsWhoLoggedIn(t *testing.T) {
	login := process.Session{User: process.User{ID: 1000, Name: "alice"}, Entry: "sshd"}
	cron := process.Session{User: process.User{ID: 1000, Name: "alice"}, Entry: process.EntryCron}
	nobody := process.Session{User: process.User{ID: process.Unset}}
	root := process.User{ID: 0, Name: "root"}
	for _, c := range []struct {
		name    string
		option  string
		session process.Session
		want    Actor
	}{
		{"sudo hides nobody", ActorLogin, login, Actor{ID: 1000, Name: "alice"}},
		{"a daemon is its service account", ActorLogin, nobody, Actor{ID: 0, Name: "root", Service: true}},
		{"cron's login is nobody's presence", ActorLogin, cron, Actor{ID: 0, Name: "root", Service: true}},
		{"who asks for the user gets the user", ActorUser, login, Actor{ID: 0, Name: "root"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(mission())
			o.Actor = c.option
			e := exec(now, "root", "ss")
			e.User, e.Session = root, c.session
			require.Equal(t, c.want, mustNew(t, o).Actor(e))
		})
	}
}

func TestAnExecThatNamesNoUserIsNeitherScoredNorLearned(t *testing.T) {
	d := taught(t, options(mission()))
	users := d.models[0].rare.Users()
	f := one(t, d, exec(now, "", "ss"))
	require.Equal(t, Observation, f.Kind)
	require.Zero(t, f.Score)
	require.Equal(t, users, d.models[0].rare.Users())
	require.EqualValues(t, 1, d.Unnamed())
	e := exec(now, "", "ss")
	e.User.ID = 4711
	f = one(t, d, e)
	require.Equal(t, Alert, f.Kind, "an id is enough to be somebody")
	require.Equal(t, "4711", f.User)
}

func TestAMatchIsScoredBeforeItIsLearned(t *testing.T) {
	d := taught(t, options(mission()))
	users := d.models[0].rare.Users()
	f := one(t, d, exec(now, "mallory", "ss"))
	require.True(t, f.FirstOccurrence)
	require.Equal(t, users, f.Users, "its user is none of them")
	require.Equal(t, users+1, d.models[0].rare.Users())
}

func TestWhatComesLateIsJudgedNotLearned(t *testing.T) {
	d := taught(t, options(mission()))
	users := d.models[0].rare.Users()
	require.Equal(t, Alert, one(t, d, exec(now.Add(-time.Hour), "mallory", "ss")).Kind)
	require.Equal(t, users, d.models[0].rare.Users())
	require.EqualValues(t, 1, d.Late())
}

func TestAChangeOfRulesResetsNothing(t *testing.T) {
	d := taught(t, options(mission()))
	before, err := d.Learned()
	require.NoError(t, err)
	off := mission()
	off.Enabled = false
	require.NoError(t, d.Configure(options(off)))
	require.Zero(t, d.Match(exec(now, "root", "ss")))
	on := mission()
	on.Threshold = 90
	require.NoError(t, d.Configure(options(on)))
	after, err := d.Learned()
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	require.Equal(t, Observation, one(t, d, exec(now, "mallory", "ss")).Kind, "the new threshold holds")

	fewer := options(on)
	fewer.Rare.MaxUsers = 1
	require.NoError(t, d.Configure(fewer))
	require.Equal(t, 1, d.models[0].rare.Users(), "the new bound holds at once, but for whom the open bucket has")
	bad := mission()
	bad.Threshold = -1
	require.Error(t, d.Configure(options(bad)))
	require.NotZero(t, d.Match(exec(now, "root", "ss")), "after an error nothing has changed")
}

func TestEpisodesAreBounded(t *testing.T) {
	d := taught(t, options(mission()))
	var summaries int
	for i := range maxEpisodes + 10 {
		e := exec(now.Add(time.Duration(i)*time.Millisecond), "x", "ss")
		e.User = process.User{ID: uint32(10000 + i)}
		m := d.matchOf(0, e)
		m.finding.Score = 80
		summaries += len(d.placeOver(&m, nil))
	}
	require.Len(t, d.episodes, maxEpisodes)
	require.Equal(t, 10, summaries)
	require.EqualValues(t, 10, d.Evicted())
}

// traffic is a random stream of matches by a handful of users over some weeks.
func traffic(seed uint64, n int) []*process.Event {
	r := rand.New(rand.NewPCG(seed, 7))
	at := start
	all := make([]*process.Event, n)
	commands := []string{"ss -tan", "ss -s", "netstat -rn", "route -n", "route add default", "busybox netstat"}
	for i := range all {
		at = at.Add(time.Duration(r.ExpFloat64() * float64(6*time.Minute)))
		user := fmt.Sprintf("user%d", int(r.ExpFloat64()*4))
		if r.IntN(60) == 0 {
			user = fmt.Sprintf("stranger%d", r.IntN(1000))
		}
		all[i] = exec(at, user, commands[r.IntN(len(commands))])
		if r.IntN(3) == 0 {
			all[i].Session.User = process.User{ID: uint32(1000 + r.IntN(4)), Name: "login"}
		}
	}
	return all
}

// run judges a stream, and returns what was found, as JSON.
func run(t testing.TB, d *Detector, events []*process.Event) string {
	var out []Finding
	for _, e := range events {
		out = d.Advance(e.Time, out)
		out = d.Judge(e, d.Match(e), out)
	}
	for i := range out {
		out[i].Rule = nil
		if c := out[i].Context; c != nil && math.IsInf(c.Yearly, 1) {
			c.Yearly = -1 // JSON has no infinity
		}
	}
	b, err := json.Marshal(out)
	require.NoError(t, err)
	return string(b)
}

func TestARestoredDetectorGoesOnIdentically(t *testing.T) {
	second := mission()
	second.ID, second.Programs, second.Except, second.Threshold = "netstat-only", []string{"netstat"}, nil, 10
	for seed := range uint64(race.Rounds(6, 2)) {
		o := options(mission(), second)
		o.Model = []string{ModelRare, ModelContext}[seed%2]
		events := traffic(seed, 3000)
		cut := rand.New(rand.NewPCG(seed, 8)).IntN(len(events))
		whole := mustNew(t, o)
		run(t, whole, events[:cut])
		snapshot, err := whole.Snapshot()
		require.NoError(t, err)
		restored := mustNew(t, o)
		require.NoError(t, restored.Restore(snapshot))
		want, got := run(t, whole, events[cut:]), run(t, restored, events[cut:])
		require.Equal(t, want, got, "seed %d, cut at %d", seed, cut)
		a, err := whole.Snapshot()
		require.NoError(t, err)
		b, err := restored.Snapshot()
		require.NoError(t, err)
		require.Equal(t, string(a), string(b))
	}
}

func TestTheSameStreamGivesTheSameBytes(t *testing.T) {
	for _, model := range []string{ModelRare, ModelContext} {
		o := options(mission())
		o.Model = model
		events := traffic(1, 2000)
		first := run(t, mustNew(t, o), events)
		if model == ModelRare {
			require.True(t, strings.Contains(first, `"Kind":2`), "there are alerts in it")
		}
		for range race.Rounds(3, 1) {
			require.Equal(t, first, run(t, mustNew(t, o), events))
		}
	}
}

func TestAdvancingInStepsIsAdvancingAtOnce(t *testing.T) {
	events := traffic(2, 1000)
	end := events[len(events)-1].Time.Add(30 * time.Hour)
	o := options(mission())
	o.Model = ModelContext
	steps, atOnce := mustNew(t, o), mustNew(t, o)
	run(t, steps, events)
	run(t, atOnce, events)
	var a, b []Finding
	for at := events[len(events)-1].Time; at.Before(end); at = at.Add(11 * time.Minute) {
		a = steps.Advance(at, a)
	}
	a = steps.Advance(end, a)
	b = atOnce.Advance(end, b)
	require.Equal(t, b, a)
	require.Empty(t, steps.episodes)
}

func TestRestoreRefusesWhatItDoesNotKnow(t *testing.T) {
	d := taught(t, options(mission()))
	before, err := d.Snapshot()
	require.NoError(t, err)
	for _, bad := range []string{"", "{", "[]", `{"version":99}`, `{"version":1,"rare":{"x":{"bucket_span":-1}}}`} {
		require.Error(t, d.Restore([]byte(bad)), bad)
	}
	after, err := d.Snapshot()
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func FuzzRestore(f *testing.F) {
	d := taught(f, options(mission()))
	d.Judge(exec(now, "mallory", "ss"), 1, nil)
	snapshot, err := d.Snapshot()
	require.NoError(f, err)
	f.Add(snapshot)
	atWork, at := atWork(f)
	snapshot, err = atWork.Snapshot() // with what accounts run, one session open
	require.NoError(f, err)
	f.Add(snapshot)
	f.Add([]byte(`{"version":3,"sessions":{"":{"watched":{},"half_life":-1,"classes":[null,null,null],"others":null}}}`))
	f.Add([]byte(`{"version":1,"episodes":[{"rule":"network-connection-discovery","execs":-5,"max_score":1e300}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := mustNew(t, options(mission()))
		if d.Restore(b) != nil {
			return
		}
		d.Known("", now)
		events := traffic(3, 20)
		for i, command := range []string{"whoami", "id", "ss -tan"} { // in the session that is open
			events = append(events, inSession(at.Add(time.Duration(i)*time.Second), 29, command))
		}
		for _, e := range events {
			for _, finding := range see(d, e, nil) {
				require.False(t, finding.Score < 0 || finding.Score > 100 || finding.Score != finding.Score,
					"a score of %v", finding.Score)
			}
		}
	})
}

// TestDocuments holds what a finding adds to a document against golden files.
func TestDocuments(t *testing.T) {
	d := taught(t, options(mission()))
	e := exec(now.Add(time.Second), "root", "ss -tunap")
	e.User = process.User{ID: 33, Name: "www-data"}
	e.Sequence, e.PID = 17, 4711
	alert := one(t, d, e)
	one(t, d, exec(now.Add(2*time.Minute), "root", "ss -s"))
	closed := d.Advance(now.Add(time.Hour), nil)
	require.Len(t, closed, 1)
	for name, f := range map[string]Finding{"alert": alert, "summary": closed[0]} {
		doc := mapstr.M{}
		Encode(&f, doc)
		got, err := json.MarshalIndent(doc, "", "  ")
		require.NoError(t, err)
		golden := filepath.Join("testdata", name+".json")
		if *update {
			require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	}
}

func TestAFindingHasTheTimeOfItsHostsClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	monday := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name          string
		at            time.Time
		zone          string
		host          process.Host
		weekday, hour string
	}{
		{
			name: "this host is in the zone of the options", at: monday.Add(7 * time.Hour), weekday: "1 Monday",
			hour: "09",
		},
		{name: "a day begins before UTC's does", at: monday.Add(-time.Hour), weekday: "1 Monday", hour: "01"},
		{name: "the week ends on Sunday", at: monday.Add(-4 * time.Hour), weekday: "7 Sunday", hour: "22"},
		{
			name: "another host is in the other zone", at: monday.Add(7 * time.Hour), host: process.Host{ID: "other"},
			weekday: "1 Monday", hour: "07",
		},
		{
			name: "an event that names its zone is in that", at: monday.Add(7 * time.Hour), zone: "-08:00",
			host: process.Host{ID: "other"}, weekday: "7 Sunday", hour: "23",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(mission())
			o.Zone = berlin
			e := exec(c.at, "root", "ss -s")
			e.Timezone, e.Host = c.zone, c.host
			f := one(t, mustNew(t, o), e)
			doc := mapstr.M{}
			f.EncodeRaw(doc)
			require.Equal(t, mapstr.M{"weekday": c.weekday, "hour": c.hour}, doc["reconbeat"].(mapstr.M)["local"])
			require.Equal(t, mapstr.M{"name": "root", "kind": "service"}, doc["reconbeat"].(mapstr.M)["actor"])
		})
	}
}

func TestInContextAUsualUserIsUnusualToo(t *testing.T) {
	o := options(mission())
	o.Model, o.LearnFor = ModelContext, 24*time.Hour
	d := mustNew(t, o)
	usual := func(at time.Time) *process.Event {
		e := exec(at, "alice", "ss -tlnp")
		e.Session.User, e.Session.Entry = process.User{ID: 1000, Name: "alice"}, process.EntrySSHD
		e.Parent.Name, e.TTY, e.Interactive, e.Session.Source = "bash", "pts0", true, netip.MustParseAddr("10.1.2.3")
		return e
	}
	first := one(t, d, usual(start.Add(9*time.Hour)))
	require.True(t, first.Learning)
	require.Equal(t, Observation, first.Kind)
	for day := 1; day < 40; day++ {
		at := start.AddDate(0, 0, day).Add(9 * time.Hour)
		d.Advance(at, nil)
		one(t, d, usual(at))
	}
	at := start.AddDate(0, 0, 40).Add(9 * time.Hour)
	require.Less(t, one(t, d, usual(at)).Score, 5.0)
	stolen := usual(at.Add(18 * time.Hour))
	stolen.Parent.Name, stolen.TTY, stolen.Interactive = "python3.11", "", false
	stolen.Session.Source = netip.MustParseAddr("151.7.7.7")
	f := one(t, d, stolen)
	require.Equal(t, Alert, f.Kind)
	require.Less(t, f.RecordScore, 5.0, "rare sees a user who comes every day")
	require.Equal(t,
		"alice has never looked at network connections without a terminal on this host in 40 days; parent python, "+
			"between 03:00 and 04:00 local time, from 151.7.7.0/24",
		f.Reason())
	doc := mapstr.M{}
	Encode(&f, doc)
	for _, field := range []string{
		"reconbeat.anomaly.yearly", "reconbeat.anomaly.parts.hour", "reconbeat.anomaly.parts.parent",
		"reconbeat.anomaly.parts.network",
	} {
		v, err := doc.GetValue(field)
		require.NoError(t, err, field)
		require.Positive(t, v, field)
	}
}

func TestTheReasonNamesWhatIsUnusual(t *testing.T) {
	for _, c := range []struct {
		name   string
		e      *process.Event
		change func(*process.Event)
		want   string
	}{
		{
			name: "whom they act as", e: admin(monday),
			change: func(e *process.Event) { e.User = process.User{ID: 0, Name: "root"} },
			want:   "alice (as root) has looked at network connections in an unusual way; usually zabbix and alice do",
		},
		{
			name: "the parent", e: admin(monday), change: func(e *process.Event) { e.Parent.Name = "python3.11" },
			want: "alice has looked at network connections in an unusual way: parent python; usually zabbix does",
		},
		{
			name: "a person's terminal", e: admin(monday),
			change: func(e *process.Event) { e.TTY, e.Interactive = "", false },
			want: "alice has never looked at network connections without a terminal on this host in 57 days; " +
				"parent bash; usually zabbix does",
		},
		{
			name: "a daemon's terminal", e: agent(monday),
			change: func(e *process.Event) { e.TTY, e.Interactive = "pts1", true },
			want:   "zabbix has looked at network connections in an unusual way: on a terminal; usually alice does",
		},
		{
			name: "the entry", e: admin(monday),
			change: func(e *process.Event) { e.Session.Entry, e.Session.Source = process.EntryTerminal, netip.Addr{} },
			want: "alice has looked at network connections in an unusual way: from no remote address, came in by " +
				"terminal; usually zabbix does",
		},
		{
			name: "the network", e: admin(monday),
			change: func(e *process.Event) { e.Session.Source = netip.MustParseAddr("151.7.7.7") },
			want:   "alice has looked at network connections in an unusual way: from 151.7.7.0/24; usually zabbix does",
		},
		{
			name: "the command", e: admin(monday),
			change: func(e *process.Event) {
				e.Name, e.Executable, e.Args = "netstat", "/usr/bin/netstat", []string{"netstat", "-rn"}
			},
			want: "alice has looked at network connections in an unusual way: command netstat -nr; usually zabbix does",
		},
		{
			name: "the folder", e: admin(monday), change: func(e *process.Event) { e.CWD = "/dev/shm" },
			want: "alice has looked at network connections in an unusual way: in /dev/shm; usually zabbix does",
		},
		{
			name: "the day", e: admin(monday.AddDate(0, 0, 5)), change: func(*process.Event) {},
			want: "alice has looked at network connections in an unusual way: on a weekend; usually zabbix does",
		},
		{
			name: "the hour", e: admin(monday.Add(18 * time.Hour)), change: func(*process.Event) {},
			want: "alice has looked at network connections in an unusual way: between 03:00 and 04:00 local time; " +
				"usually zabbix does",
		},
		{
			name: "the silence", e: admin(monday.AddDate(0, 0, 49)), change: func(*process.Event) {},
			want: "alice had not looked at network connections on this host for 51 days; usually zabbix does",
		},
		{
			name: "a new account", e: agent(monday),
			change: func(e *process.Event) { e.User, e.Parent.Name = process.User{ID: 112, Name: "tomcat"}, "sh" },
			want: "tomcat has never looked at network connections on this host in 57 days; parent sh, no " +
				"terminal; usually zabbix and alice do",
		},
		{
			name: "a new parent of one", e: agent(monday), change: func(e *process.Event) { e.Parent.Name = "sh" },
			want: "zabbix has never looked at network connections through sh on this host in 57 days; no terminal; " +
				"usually alice does",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := settled(t, func(o *Options) {
				o.Rules[0].Threshold = 0 // one unusual thing alone is not an alert by default
				o.LearnFor = 57 * 24 * time.Hour
			})
			c.change(c.e)
			for at := monday; at.Before(c.e.Time); at = at.AddDate(0, 0, 1) {
				d.Advance(at, nil) // the host is watched
			}
			d.Advance(c.e.Time, nil)
			f := one(t, d, c.e)
			require.Equal(t, Alert, f.Kind)
			require.Equal(t, c.want, f.Reason())

			// The parts in the document add up to the surprise there.
			doc := mapstr.M{}
			Encode(&f, doc)
			sum := 0.0
			for _, name := range habit.PartNames {
				if v, err := doc.GetValue("reconbeat.anomaly.parts." + name); err == nil {
					sum += v.(float64)
				}
			}
			surprise, err := doc.GetValue("reconbeat.anomaly.surprise")
			require.NoError(t, err)
			require.InDelta(t, surprise, sum, 0.005*float64(habit.Parts+1), "to the rounding")
		})
	}
}

func TestRecordsGoToWhoWantsThem(t *testing.T) {
	var users []string
	o := options(mission())
	o.OnRecord = func(_ *Rule, r rare.Record) { users = append(users, r.User) }
	d := taught(t, o)
	users = nil
	d.Judge(exec(now, "mallory", "ss"), 1, nil)
	d.Advance(now.Add(time.Hour), nil)
	require.Equal(t, []string{"mallory"}, users)
}

func BenchmarkJudgeAUsualUser(b *testing.B) {
	d := taught(b, options(mission()))
	e := exec(now, "root", "ss -s")
	var out []Finding
	b.ReportAllocs()
	for b.Loop() {
		out = d.Judge(e, 1, out[:0])
	}
}

func BenchmarkJudgeAStranger(b *testing.B) {
	d := taught(b, options(mission()))
	e := exec(now, "mallory", "ss -s")
	var out []Finding
	b.ReportAllocs()
	for b.Loop() {
		out = d.Judge(e, 1, out[:0])
	}
}

func BenchmarkEncodeActor(b *testing.B) {
	a := Actor{ID: 1000, Name: "mallory"}
	b.ReportAllocs()
	for b.Loop() {
		a.Encode(mapstr.M{})
	}
}

func BenchmarkEncode(b *testing.B) {
	d := taught(b, options(mission()))
	f := d.Judge(exec(now, "mallory", "ss -s"), 1, nil)[0]
	b.ReportAllocs()
	for b.Loop() {
		Encode(&f, mapstr.M{})
	}
}
