// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

var (
	options = Options{Idle: 15 * time.Minute, Longest: 24 * time.Hour, MaxActors: 1000}
	monday  = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
)

// person is a match of somebody who logged in.
func person(at time.Time, name, parent, from, command string) *process.Event {
	e := service(at, name, parent, command)
	e.Session = process.Session{
		ID: 5, User: process.User{ID: process.Unset, Name: name}, Entry: process.EntrySSHD,
		Source: netip.MustParseAddr(from),
	}
	e.TTY, e.Interactive, e.CWD = "pts0", true, "/home/"+name
	return e
}

func service(at time.Time, name, parent, command string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success = process.Exec, at, true
	e.User = process.User{ID: process.Unset, Name: name}
	e.Args = strings.Fields(command)
	e.Name, e.Executable = e.Args[0], "/usr/bin/"+e.Args[0]
	e.Parent.Name, e.Parent.Executable = parent, "/usr/bin/"+parent
	e.CWD = "/"
	return e
}

func matchOf(e *process.Event) Match {
	var r Reader
	return r.Match(e, Ran{Program: e.Name, Args: e.Args[1:]}, time.UTC)
}

func matched(m *Model, e *process.Event) Result {
	l := matchOf(e)
	r := m.Judge(&l)
	m.Learn(&l, r, Lesson{Alerted: r.Score >= 25})
	return r
}

// weeks is a host on which an agent looks every ten minutes, alice on working mornings from the office, and bob in the
// afternoons from wherever he is.
func weeks(n int) (*Model, time.Time) {
	m := New(options)
	r := rand.New(rand.NewPCG(1, 1))
	end := monday.AddDate(0, 0, 7*n)
	for at := monday; at.Before(end); at = at.Add(10 * time.Minute) {
		matched(m, service(at, "root", "check_mk_agent", "ss -s"))
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || at.Minute() != 0 {
			continue
		}
		switch at.Hour() {
		case 9:
			matched(m, person(at.Add(time.Duration(r.IntN(3000))*time.Second), "alice", "bash", "10.1.2.3", "ss -tlnp"))
		case 14:
			from := fmt.Sprintf("%d.%d.1.1", 20+r.IntN(80), r.IntN(250))
			matched(m, person(at.Add(time.Duration(r.IntN(3000))*time.Second), "bob", "zsh", from, "netstat -rn"))
		}
	}
	m.Advance(end)
	return m, end
}

func TestWhatIsUsualScoresLowAndWhatIsNotScoresHigh(t *testing.T) {
	m, end := weeks(8)
	morning, afternoon := end.Add(9*time.Hour+20*time.Minute), end.Add(14*time.Hour+20*time.Minute)
	night := end.Add(27 * time.Hour)
	score := func(e *process.Event) float64 {
		l := matchOf(e)
		return m.Judge(&l).Score
	}
	surprise := func(e *process.Event) float64 {
		l := matchOf(e)
		return m.Judge(&l).Surprise
	}
	for name, c := range map[string]struct {
		e         *process.Event
		low, high float64
	}{
		"the agent as ever":            {e: service(end, "root", "check_mk_agent", "ss -s"), high: 5},
		"alice in the morning":         {e: person(morning, "alice", "bash", "10.1.2.3", "ss -tlnp"), high: 5},
		"bob from yet another address": {e: person(afternoon, "bob", "zsh", "151.7.7.7", "netstat -rn"), high: 10},
		"alice from an address that is not the office": {
			e: person(morning, "alice", "bash", "151.7.7.7", "ss -tlnp"), high: 40,
		},
		"alice at night from elsewhere, through python": {
			e: person(night, "alice", "python3.11", "151.7.7.7", "ss -tunap"), low: 50, high: 100,
		},
		"a web server's account through a shell": {
			e: service(morning, "www-data", "sh", "ss -tunap"), low: 25, high: 100,
		},
		"the root daemon through an interpreter": {
			e: service(morning, "root", "python3.11", "ss -tunap"), low: 25, high: 100,
		},
		"a login that nobody knows, at night from elsewhere": {
			e: person(night, "support", "bash", "151.7.7.7", "ss -s"), low: 25, high: 100,
		},
	} {
		got := score(c.e)
		require.True(t, got >= c.low && got <= c.high, "%s: %.1f", name, got)
	}
	require.Less(t, score(person(afternoon, "bob", "zsh", "151.7.7.7", "netstat -rn")), score(person(afternoon, "alice",
		"zsh", "151.7.7.7", "netstat -rn")),
		"who changes addresses shows nothing by yet another")
	require.Greater(
		t,
		surprise(person(morning, "alice", "bash", "151.7.7.7", "ss -tlnp")),
		1+surprise(person(morning, "alice", "bash", "10.1.2.3", "ss -tlnp")),
		"an address says something of who always comes from one, if not enough for an alert",
	)
}

func TestAHabitIsLearned(t *testing.T) {
	m, end := weeks(6)
	first := matched(m, service(end.Add(time.Hour), "backup", "python3.11", "ss -ltn"))
	require.Greater(t, first.Score, 25.0)
	require.True(t, first.New)
	var last Result
	for d := range 20 {
		last = matched(m, service(end.AddDate(0, 0, d+1), "backup", "python3.11", "ss -ltn"))
	}
	require.Less(t, last.Score, 5.0)
	require.Less(t, matched(m, service(end.AddDate(0, 0, 21), "backup", "python3.12", "ss -ltn")).Score, 10.0,
		"an upgrade is no other program")
}

func TestThePartsAddUpAndWeakSignalsOfAVisitTogether(t *testing.T) {
	m, end := weeks(6)
	morning := end.Add(9*time.Hour + 20*time.Minute)
	a := matched(m, person(morning, "alice", "bash", "151.7.7.7", "ss -tlnp"))
	b := matched(m, person(morning.Add(time.Minute), "alice", "python3", "10.1.2.3", "ss -tlnp"))
	require.Greater(t, b.Surprise, a.Surprise)
	require.GreaterOrEqual(t, b.Parts[Network], a.Parts[Network], "what the visit showed stays")
	require.Equal(t, b.Surprise,
		matched(m, person(morning.Add(2*time.Minute), "alice", "python3", "10.1.2.3", "ss -tlnp")).Surprise,
		"repeats add nothing")
	require.Equal(t, "from 151.7.7.0/24, parent python",
		Describe(Network, b.Unusual.Text(Network))+", "+Describe(Parent, b.Unusual.Text(Parent)),
		"each part with the value that it is about")
	sum := 0.0
	for _, p := range b.Parts {
		require.GreaterOrEqual(t, p, least)
		require.LessOrEqual(t, p, float64(most))
		sum += p
	}
	require.InDelta(t, b.Surprise, sum, 1e-9)
}

func TestScoresStandForNumbersAYear(t *testing.T) {
	for yearly, want := range map[float64]float64{1e9: 0, 365: 0, 3: 25, 1: 50, 0.3: 75, 0.1: 90, 0.001: 100, 0: 100} {
		require.InDelta(t, want, Score(yearly), 1e-9, "%v a year", yearly)
	}
	require.Zero(t, Score(math.Inf(1)))
	last := 0.0
	for yearly := 1000.0; yearly > 1e-5; yearly *= 0.97 {
		require.GreaterOrEqual(t, Score(yearly), last)
		last = Score(yearly)
	}
}

// traffic is a random stream.
func traffic(seed uint64, n int) []*process.Event {
	r := rand.New(rand.NewPCG(seed, 1))
	at := monday
	all := make([]*process.Event, n)
	for i := range all {
		at = at.Add(time.Duration(r.ExpFloat64() * float64(20*time.Minute)))
		name := fmt.Sprintf("u%d", int(r.ExpFloat64()*5))
		if r.IntN(2) == 0 {
			all[i] = service(at, name, []string{"sh", "agent", "cron", "python3"}[r.IntN(4)], "ss -s")
		} else {
			all[i] = person(at, name, []string{"bash", "zsh"}[r.IntN(2)],
				fmt.Sprintf("10.%d.%d.1", r.IntN(4), r.IntN(100)), "netstat -rn")
		}
	}
	return all
}

func run(m *Model, events []*process.Event) (results []Result) {
	for _, e := range events {
		r := matched(m, e)
		r.Unusual.At = time.Time{} // nobody asks when it was
		results = append(results, r)
	}
	return results
}

func TestARestoredModelGoesOnIdentically(t *testing.T) {
	for seed := range uint64(race.Rounds(5, 2)) {
		events := traffic(seed, 3000)
		cut := rand.New(rand.NewPCG(seed, 2)).IntN(len(events))
		whole := New(options)
		run(whole, events[:cut])
		b, err := json.Marshal(whole.Snapshot())
		require.NoError(t, err)
		var s Snapshot
		require.NoError(t, json.Unmarshal(b, &s))
		restored, err := Restore(options, s)
		require.NoError(t, err)
		require.Equal(t, run(whole, events[cut:]), run(restored, events[cut:]), "seed %d, cut at %d", seed, cut)
	}
}

func TestTheSameStreamGivesTheSameScores(t *testing.T) {
	events := traffic(3, 2000)
	require.Equal(t, run(New(options), events), run(New(options), events))
}

func TestAdvancingInStepsIsAdvancingAtOnce(t *testing.T) {
	one, steps := New(options), New(options)
	events := traffic(4, 1500)
	run(one, events)
	run(steps, events)
	end := events[len(events)-1].Time.Add(50 * time.Hour)
	for at := events[len(events)-1].Time; at.Before(end); at = at.Add(7 * time.Minute) {
		steps.CloseUntil(at)
	}
	steps.CloseUntil(end)
	one.CloseUntil(end)
	a, err := json.Marshal(one.Snapshot())
	require.NoError(t, err)
	b, err := json.Marshal(steps.Snapshot())
	require.NoError(t, err)
	require.Equal(t, string(a), string(b))
}

func TestEverythingIsBounded(t *testing.T) {
	o := options
	o.MaxActors = 50
	m := New(o)
	at := monday
	for i := range 5000 {
		at = at.Add(time.Minute)
		matched(m,
			person(at, fmt.Sprintf("u%d", i%200), fmt.Sprintf("p%d", i), fmt.Sprintf("10.%d.%d.1", i%250, i/250),
				fmt.Sprintf("ss --x%d", i)))
	}
	require.Equal(t, 50, m.Actors())
	require.Positive(t, m.Evicted())
	for _, g := range m.groups {
		for f := range features {
			require.LessOrEqual(t, len(g.First[f]), maxValues)
			require.LessOrEqual(t, len(g.Later[f]), maxValues)
		}
		require.GreaterOrEqual(t, g.Once, 0)
	}
	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	t.Logf("50 actors with 25 contexts each: a snapshot of %d KiB", len(b)>>10)
}

func TestCommandLinesAreNormalised(t *testing.T) {
	for line, want := range map[string]string{
		"ss -tunap":             "ss -anptu",
		"ss -t -u -n -p -a":     "ss -anptu",
		"ss --tcp --options":    "ss --options --tcp",
		"showmount -e 10.0.0.1": "showmount -e <address>",
		"ss -o 4711 sport":      "ss -o <number> <word>",
		"netstat":               "netstat",
	} {
		args := strings.Fields(line)
		require.Equal(t, want, normal(args[0], args[1:]), line)
	}
	require.Less(t, len(normal("ss", strings.Fields(strings.Repeat("--option ", 100000)))), 1000)
}

func TestASnapshotThatMakesNoSenseIsRefused(t *testing.T) {
	for name, bad := range map[string]string{
		"an actor of whom nothing is known":    `{"actors":[{"id":"x","way":"y"}]}`,
		"a class that is none":                 `{"actors":[{"id":"x","way":"y","known":{"class":9}}]}`,
		"a negative weight":                    `{"actors":[{"id":"x","way":"y","known":{"weight":-5}}]}`,
		"a negative hour":                      `{"actors":[{"id":"x","way":"y","known":{"hours":{"3":-5}}}]}`,
		"an hour that no day has":              `{"actors":[{"id":"x","way":"y","known":{"hours":{"24":5}}}]}`,
		"values without weights":               `{"actors":[{"known":{"features":[{"v":["a"],"w":[]}]}}]}`,
		"a visit of nobody":                    `{"open":[{"id":"x","way":"y","open":{"class":1}}]}`,
		"a newcomer who counts less than none": `{"groups":[{"came":[[-1,0,0,0],[0,0,0,0]]}]}`,
		"the same in containers":               `{"contained":[{"came":[[-1,0,0,0],[0,0,0,0]]}]}`,
		"a past beyond what can be surprise":   `{"groups":[{"past":{"100000":1}}]}`,
	} {
		var s Snapshot
		err := json.Unmarshal([]byte(bad), &s)
		if err == nil {
			_, err = Restore(options, s)
		}
		require.ErrorIs(t, err, errNumbers, name)
	}
}

func TestAnIdThatHasAnotherNameIsSomebodyElse(t *testing.T) {
	m, end := weeks(4)
	alice := person(end.Add(9*time.Hour), "alice", "bash", "10.1.2.3", "ss -tlnp")
	alice.Session.User.ID, alice.User.ID = 1000, 1000
	matched(m, alice)
	l := matchOf(alice)
	require.False(t, m.Judge(&l).New)
	mallory := person(end.Add(33*time.Hour), "mallory", "bash", "10.1.2.3", "ss -tlnp")
	mallory.Session.User.ID, mallory.User.ID = 1000, 1000
	l = matchOf(mallory)
	require.True(t, m.Judge(&l).New)
	matched(m, mallory)
	_, known := m.Profile(&l)
	require.False(t, known, "before this visit they had not been seen")
	mallory.Time = mallory.Time.Add(time.Hour)
	l = matchOf(mallory)
	p, known := m.Profile(&l)
	require.True(t, known)
	require.Equal(t, "mallory", p.Name)
	require.Equal(t, 1, p.Visits)
	require.Equal(t, []string{"alice"}, m.Forget("alice"), "alice without an id is another")
	require.Equal(t, []string{"1000"}, m.Forget("1000"))
	_, known = m.Profile(&l)
	require.False(t, known)
}

func TestAnIdThatHasAnotherNameKeepsNeitherOfItsWays(t *testing.T) {
	m, end := weeks(4)
	as := func(name, from string, terminal bool) *process.Event {
		e := person(end.Add(9*time.Hour), name, "bash", from, "ss -tlnp")
		e.Session.User.ID, e.User.ID = 1000, 1000
		if !terminal {
			e.TTY, e.Interactive = "", false
		}
		return e
	}
	matched(m, as("alice", "10.1.2.3", true))
	l := matchOf(as("alice", "10.1.2.3", false))
	require.True(t, m.Judge(&l).KnownElsewise, "alice is known on a terminal")
	stranger := matchOf(as("mallory", "10.1.2.3", false))
	r := m.Judge(&stranger)
	require.True(t, r.New)
	require.False(t, r.KnownElsewise, "and mallory, who has her id, is not")
	matched(m, as("mallory", "151.7.7.7", false))
	require.Equal(t, []string{"1000"}, m.Forget("mallory"))
	l = matchOf(as("alice", "10.1.2.3", true))
	require.True(t, m.Judge(&l).New, "nothing is left of her")
}

// A clock may be wrong at a boot, a recording may be read in the wrong order, and a document may say anything.
func TestNoOrderOfTimesMakesNonsense(t *testing.T) {
	o := options
	o.HalfLife = 24 * time.Hour
	for seed := range uint64(race.Rounds(20, 4)) {
		r := rand.New(rand.NewPCG(seed, 9))
		m := New(o)
		for i, e := range traffic(seed, 1500) {
			if r.IntN(20) == 0 {
				e.Time = e.Time.AddDate(r.IntN(500)-200, 0, r.IntN(90)-45)
			}
			got := matched(m, e)
			require.True(t, finite(got.Parts[:]...) && finite(got.Surprise, got.Score), "seed %d, look %d at %v: %+v",
				seed, i, e.Time, got)
			require.GreaterOrEqual(t, got.Score, 0.0)
		}
		b, err := json.Marshal(m.Snapshot())
		require.NoError(t, err)
		var s Snapshot
		require.NoError(t, json.Unmarshal(b, &s))
		_, err = Restore(o, s)
		require.NoError(t, err)
	}
}

func TestAnotherHalfLifeChangesNothingThatIsLearned(t *testing.T) {
	m, end := weeks(8)
	before := m.Profiles("alice", end)[0].Features["command"][0].Visits
	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	for _, halfLife := range []time.Duration{5 * 24 * time.Hour, 365 * 24 * time.Hour} {
		o := options
		o.HalfLife = halfLife
		var s Snapshot
		require.NoError(t, json.Unmarshal(b, &s))
		restored, err := Restore(o, s)
		require.NoError(t, err)
		running, _ := weeks(8)
		running.SetHalfLife(halfLife)
		for _, m := range []*Model{restored, running} {
			require.InDelta(t, before, m.Profiles("alice", end)[0].Features["command"][0].Visits, 0.1)
			require.Less(t,
				matched(m, person(end.Add(9*time.Hour+20*time.Minute), "alice", "bash", "10.1.2.3", "ss -tlnp")).Score,
				5.0)
			require.Greater(t,
				matched(m, person(end.Add(27*time.Hour), "mallory", "python3", "151.7.7.7", "ss -tunap")).Score, 25.0)
		}
	}
}

func TestACappedActorTeachesOnceADay(t *testing.T) {
	m, end := weeks(4)
	for i := range 10 {
		e := service(end.Add(time.Duration(i)*time.Hour), "www-data", "sh", "ss -tunap")
		l := matchOf(e)
		m.Learn(&l, m.Judge(&l), Lesson{Alerted: true, Daily: true})
	}
	l := matchOf(service(end.Add(12*time.Hour), "www-data", "sh", "ss -tunap"))
	p, _ := m.Profile(&l)
	require.Equal(t, 10, p.Visits)
	require.Equal(t, 1, p.Days)
	require.InDelta(t, tentative, p.Features["command"][0].Visits, 0.02)
}

func TestAVisitRemembersSoManyValuesOfAFeatureAndNoMore(t *testing.T) {
	m, end := weeks(2)
	at := end.Add(9 * time.Hour)
	for i := range 5 * maxValues {
		matched(m,
			person(at.Add(time.Duration(i)*time.Millisecond), "alice", "bash", "10.1.2.3",
				fmt.Sprintf("ss --option%c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676)))
	}
	l := matchOf(person(at.Add(time.Minute), "alice", "bash", "10.1.2.3", "ss --never-before"))
	v := m.open(&l, m.watched.at(l.At))
	require.NotNil(t, v)
	require.Len(t, v.seen.values[Command], maxValues)
	before := v.Parts
	require.Equal(t, before[Command], m.Judge(&l).Parts[Command], "what comes after them counts as shown")
	elsewhere := matchOf(person(at.Add(time.Minute), "alice", "bash", "198.51.100.7", "ss -s"))
	require.Greater(t, m.Judge(&elsewhere).Parts[Network], before[Network], "the other features are judged as ever")

	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	var s Snapshot
	require.NoError(t, json.Unmarshal(b, &s))
	restored, err := Restore(options, s)
	require.NoError(t, err)
	require.Equal(t, m.Judge(&elsewhere).Parts, restored.Judge(&elsewhere).Parts)
}

// TestTheRateIsTheSumOverThePast holds the sum that takes few powers against the one that it stands for.
func TestTheRateIsTheSumOverThePast(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	m, end := weeks(2)
	for range 200 {
		past := &m.groups[Person].Past
		past.scale(0)
		for range r.IntN(30) {
			past.add(surpriseOf(r.IntN(surpriseBins)), r.ExpFloat64())
		}
		s := lowest - 2 + r.Float64()*(surpriseBins/binsPerNat+4)
		if r.IntN(3) == 0 {
			s = surpriseOf(r.IntN(surpriseBins)) // the very middle of a bin
		}
		with := m.rate(people, false, false, s, end, m.faded(end))
		require.Equal(t, with, m.rate(people, false, false, s, end, m.faded(end)), "asked again")
		want := 0.0
		for i, w := range past.weights {
			want += w * m.faded(end) * math.Exp(-max(0, s-surpriseOf(i))/kernelScale)
		}
		past.scale(0)
		without := m.rate(people, false, false, s, end, m.faded(end))
		experience := m.memory(m.watched.Began, end) - warmUp*(1-math.Exp(-days(m.Age(end))/warmUp))
		want /= (experience + hostsLike[Person].days) * hostsLike[Person].share
		require.InDelta(t, want, with-without, 1e-9, "of a surprise of %v", s)
	}
}

// people is whoever of the host's own people it is.
var people = member{Account{nothing, nothing}, Person}

// office is a host of ten weeks to which twelve people come, three of them without a terminal now and then, and every
// week somebody new, from the office and on a terminal.
func office() (*Model, time.Time) {
	m := New(options)
	for d := range 70 {
		at := monday.AddDate(0, 0, d).Add(10 * time.Hour)
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			m.Advance(at)
			continue
		}
		for i := range 12 {
			e := person(
				at.Add(time.Duration(i)*time.Minute),
				fmt.Sprintf("user%d", i),
				"bash",
				fmt.Sprintf("10.1.2.%d", i+1),
				"ss -tlnp",
			)
			if i < 3 && d%9 == 2 {
				e.TTY, e.Interactive = "", false
			}
			if i < 6 && d%5 == i%5 { // they travel, the newcomers do not
				e.Session.Source = netip.AddrFrom4([4]byte{151, byte(d), byte(i), 1})
			}
			matched(m, e)
		}
		if d%7 == 1 {
			matched(m, person(at.Add(3*time.Hour), fmt.Sprintf("starter%d", d), "bash", "10.1.2.99", "ss -tlnp"))
		}
	}
	end := monday.AddDate(0, 0, 70)
	m.Advance(end)
	return m, end
}

// TestStrangersAreHeldAgainstStrangers: how often people who are known surprise says nothing of how often strangers do.
func TestStrangersAreHeldAgainstStrangers(t *testing.T) {
	m, end := office()
	l := matchOf(person(end.Add(10*time.Hour), "support", "bash", "151.7.7.7", "ss -tlnp"))
	r := m.Judge(&l)
	require.True(t, r.First)
	fade := m.faded(end)
	known := m.rate(people, false, false, r.Surprise, end, fade)
	require.Greater(t, known, m.rate(people, true, true, r.Surprise, end, fade))
	visits := func(p *past) (sum float64) {
		for _, w := range p.weights {
			sum += w * m.faded(end)
		}
		return sum
	}
	known, strangers := visits(&m.groups[Person].Past), visits(m.groups[Person].Strangers)
	require.Greater(t, strangers, 3.0, "those who came every week")
	require.Less(t, strangers, 10.0)
	require.Greater(t, known, 100.0)

	// Whose visit goes on in another way meanwhile is no less a stranger.
	m.Learn(&l, r, Lesson{Alerted: true})
	other := matchOf(person(end.Add(10*time.Hour+time.Minute), "support", "bash", "151.7.7.7", "ss -tlnp"))
	other.values[TTY] = flip(other.values[TTY])
	m.Learn(&other, m.Judge(&other), Lesson{Alerted: true})
	again := l
	again.At = l.At.Add(2 * time.Minute)
	require.InDelta(t, r.Score, m.Judge(&again).Score, 0.1)
}

func flip(way text) text {
	if way == terminal {
		return noTerminal
	}
	return terminal
}

// TestHowAStrangerComesIsEvidence: where newcomers come on a terminal, one without is unusual; of an account that is
// known the two ways are two actors.
func TestHowAStrangerComesIsEvidence(t *testing.T) {
	m, end := office()
	on := matchOf(person(end.Add(10*time.Hour), "support", "bash", "10.1.2.98", "ss -tlnp"))
	on.values[TTY] = terminal
	off := on
	off.values[TTY] = noTerminal
	require.Greater(t, m.Judge(&off).Parts[TTY], 0.7)
	require.Less(t, m.Judge(&on).Parts[TTY], 0.0)
	known := matchOf(person(end.Add(10*time.Hour), "user7", "bash", "10.1.2.8", "ss -tlnp"))
	known.values[TTY] = noTerminal
	require.Zero(t, m.Judge(&known).Parts[TTY])
}

// TestASystemAccountThatLogsInIsEvidence: nobody should log in to an account of the system's, unless this host's
// people do.
func TestASystemAccountThatLogsInIsEvidence(t *testing.T) {
	visit := func(m *Model, at time.Time, id uint32, noShell bool) Result {
		e := person(at, "somebody", "bash", "10.1.2.98", "ss -tlnp")
		e.Session.User = process.User{ID: id, Name: fmt.Sprintf("user-%d", id)}
		e.Session.NoShell = noShell
		return matched(m, e)
	}
	for _, c := range []struct {
		name   string
		id     uint32
		people uint32 // the id of the first who is known here
		want   func(part float64) bool
		// the account's shell lets nobody in; those of the people who are known
		noShell, theirs bool
	}{
		{name: "a daemon's", id: 33, people: 1000, want: func(part float64) bool { return part > 1 }},
		{name: "a package's", id: 999, people: 1000, want: func(part float64) bool { return part > 1 }},
		{name: "one of Debian's for good", id: 64030, people: 1000, want: func(part float64) bool { return part > 1 }},
		{name: "a home's of systemd", id: 60001, people: 1000, want: func(part float64) bool { return part <= 0 }},
		{name: "nobody", id: 65534, people: 1000, want: func(part float64) bool { return part > 1 }},
		{name: "a person's", id: 1001, people: 1100, want: func(part float64) bool { return part <= 0 }},
		{
			name: "a person's, without a shell", id: 1001, people: 1100, noShell: true,
			want: func(part float64) bool { return part > 1 },
		},
		{
			name: "one without a shell, where nobody has one", id: 1001, people: 1100, noShell: true, theirs: true,
			want: func(part float64) bool { return part < 0 },
		},
		{name: "root's", id: 0, people: 1000, want: func(part float64) bool { return part <= 0 }},
		{name: "a directory's", id: 1_200_000_033, people: 1000, want: func(part float64) bool { return part <= 0 }},
		{name: "a person's where ids begin at 500", id: 533, people: 500, want: func(part float64) bool { return part < 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(options)
			for day := range 30 {
				visit(m, monday.AddDate(0, 0, day).Add(9*time.Hour), c.people+uint32(day%10), c.theirs)
			}
			r := visit(m, monday.AddDate(0, 0, 30).Add(9*time.Hour), c.id, c.noShell)
			require.True(t, r.First)
			require.True(t, c.want(r.Parts[SystemLogin]), r.Parts[SystemLogin])
			again := visit(m, monday.AddDate(0, 0, 31).Add(9*time.Hour), c.id, c.noShell)
			require.Zero(t, again.Parts[SystemLogin], "the account is known")
		})
	}
}

// TestAnOlderPastOfPeopleGoesOnAsThatOfBoth: what an older reconbeat wrote does not distinguish strangers.
func TestAnOlderPastOfPeopleGoesOnAsThatOfBoth(t *testing.T) {
	m, _ := office()
	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	var s Snapshot
	require.NoError(t, json.Unmarshal(b, &s))
	s.Groups[Person].Strangers = nil
	restored, err := Restore(options, s)
	require.NoError(t, err)
	require.Equal(t, m.groups[Person].Past.weights, restored.groups[Person].Strangers.weights)
	require.NotSame(t, &restored.groups[Person].Past, restored.groups[Person].Strangers)
	require.Nil(t, restored.groups[Service].Strangers)
}

func BenchmarkJudgeARepeatedContext(b *testing.B) {
	m, end := weeks(6)
	var r Reader
	e := person(end.Add(9*time.Hour), "alice", "bash", "10.1.2.3", "ss -tlnp")
	matched(m, e)
	b.ReportAllocs()
	for b.Loop() {
		l := r.Match(e, Ran{Program: e.Name, Args: e.Args[1:]}, time.UTC)
		m.Learn(&l, m.Judge(&l), Lesson{})
	}
}

func BenchmarkJudgeANewContext(b *testing.B) {
	m, end := weeks(6)
	var r Reader
	e := person(end.Add(9*time.Hour), "alice", "python3", "151.1.2.3", "ss -tlnp")
	e.CWD = "/dev/shm"
	b.ReportAllocs()
	for b.Loop() {
		l := r.Match(e, Ran{Program: e.Name, Args: e.Args[1:]}, time.UTC)
		m.Judge(&l)
	}
}

// TestSlowPoisoningTakesDays is the attack on every model that learns: whoever holds alice's login gets it used to the
// address, then to python, then to the night, one at a time and each below the threshold, before they do what they came
// for. The model cannot distinguish it from alice changing her ways; it makes it slow, and every step is in the raw
// events.
func TestSlowPoisoningTakesDays(t *testing.T) {
	goal := func(at time.Time) *process.Event {
		return person(at.Truncate(24*time.Hour).Add(3*time.Hour), "alice", "python3", "151.7.7.7", "ss -tlnp")
	}
	m, end := weeks(8)
	require.Greater(t, matched(m, goal(end)).Score, 50.0, "at once it alerts")

	days := 0
	for ; days < 60; days++ {
		m, end = weeks(8)
		at := end
		highest := 0.0
		poison := func(change func(*process.Event)) {
			for range days {
				e := person(at.Add(9*time.Hour+30*time.Minute), "alice", "bash", "10.1.2.3", "ss -tlnp")
				change(e)
				highest = max(highest, matched(m, e).Score)
				at = at.AddDate(0, 0, 1)
			}
		}
		poison(func(e *process.Event) { e.Session.Source = netip.MustParseAddr("151.7.7.7") })
		poison(func(e *process.Event) {
			e.Session.Source = netip.MustParseAddr("151.7.7.7")
			e.Parent.Name, e.Parent.Executable = "python3", "/usr/bin/python3"
		})
		poison(func(e *process.Event) { *e = *goal(e.Time) })
		if highest = max(highest, matched(m, goal(at)).Score); highest < 25 {
			break
		}
	}
	t.Logf("unseen after %d days for each of three steps", days)
	require.GreaterOrEqual(t, days, 1)
	require.Less(t, days, 10, "it is possible, and docs/model.md says so")
}

// TestAParentBehindAWrapperIsAFile has a shell that is called like the agent start its command through timeout: where
// it lies counts there, too, and the agent itself may use timeout.
func TestAParentBehindAWrapperIsAFile(t *testing.T) {
	for _, c := range []struct {
		starter string
		alerts  bool
	}{
		{"/usr/bin/check_mk_agent", false},
		{"/usr/local/lib/check_mk/check_mk_agent", false},
		{"/tmp/.x/check_mk_agent", true},
		{"/home/alice/check_mk_agent", true},
	} {
		m, end := weeks(8)
		e := service(end, "root", "timeout", "ss -s")
		e.Starter = c.starter
		score := matched(m, e).Score
		require.Equal(t, c.alerts, score >= 25, "%s: %.1f", c.starter, score)
	}
}

// crowded is a model of actors with so many contexts each: other parents, networks, folders and commands.
func crowded(actors, contexts int) *Model {
	m := New(options)
	var r Reader
	at := monday
	for c := range contexts {
		for a := range actors {
			at = at.Add(time.Second)
			e := person(at, fmt.Sprintf("user%d", a), fmt.Sprintf("shell%c", 'a'+c%20),
				fmt.Sprintf("10.%d.%d.7", c, a%250), "ss -tlnp --filter"+strings.Repeat("x", c%50))
			e.CWD = fmt.Sprintf("/srv/project%d/%d", a%100, c)
			l := r.Match(e, Ran{Program: e.Name, Args: e.Args[1:]}, time.UTC)
			m.Learn(&l, m.Judge(&l), Lesson{})
		}
		at = at.Add(20 * time.Minute)
	}
	m.Advance(at.Add(25 * time.Hour))
	return m
}

func TestAThousandActorsWithFiftyContextsFitInto16MiB(t *testing.T) {
	if race.Enabled {
		t.Skip("SKIPPED UNDER THE RACE DETECTOR: this measures memory")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := crowded(1000, 50)
	runtime.GC()
	runtime.GC() // the second frees what the first found only weak pointers to
	runtime.ReadMemStats(&after)
	t.Logf("%d actors: %.1f MiB", m.Actors(), float64(after.HeapAlloc-before.HeapAlloc)/(1<<20))
	require.Equal(t, 1000, m.Actors())
	require.Less(t, after.HeapAlloc-before.HeapAlloc, uint64(16<<20))
	runtime.KeepAlive(m)
}

func TestAHundredActorsFitInto256KiBOnDisk(t *testing.T) {
	b, err := json.Marshal(crowded(100, 50).Snapshot())
	require.NoError(t, err)
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed) // as the state keeps it
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	t.Logf("100 actors with 50 contexts each: %d KiB of JSON, %d KiB compressed", len(b)>>10, z.Len()>>10)
	require.Less(t, z.Len(), 256<<10)
}

func BenchmarkRestore(b *testing.B) {
	data, err := json.Marshal(crowded(100, 12).Snapshot())
	require.NoError(b, err)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var s Snapshot
		if err := json.Unmarshal(data, &s); err != nil {
			b.Fatal(err)
		}
		if _, err := Restore(options, s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestARepeatedContextAllocatesNothing(t *testing.T) {
	m, end := weeks(6)
	var r Reader
	e := person(end.Add(9*time.Hour), "alice", "bash", "10.1.2.3", "ss -tlnp")
	matched(m, e)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		l := r.Match(e, Ran{Program: e.Name, Args: e.Args[1:]}, time.UTC)
		m.Learn(&l, m.Judge(&l), Lesson{})
	}))
}

func TestAClockThatWasWrongLeavesEveryNumberUsable(t *testing.T) {
	for name, at := range map[string]time.Time{
		"set back by weeks":        monday.AddDate(0, 0, -25),
		"set back to 1970":         time.Unix(0, 0).UTC(),
		"ahead by a century":       monday.AddDate(130, 0, 0),
		"set back by a moment":     monday.Add(-time.Second),
		"back and ahead of it all": time.Date(2161, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		m, end := weeks(4)
		for i := range 3 {
			for _, at := range []time.Time{
				at.Add(time.Duration(i) * time.Hour), end.Add(time.Duration(i) * time.Hour),
			} {
				for _, e := range []*process.Event{
					person(at, "alice", "bash", "10.1.2.3", "ss -tlnp"),
					person(at, "mallory", "bash", "10.9.9.9", "ss"), service(at, "root", "check_mk_agent", "ss -s"),
				} {
					r := matched(m, e)
					require.True(t, finite(r.Score, r.Surprise) && r.Score >= 0 && r.Score <= 100, "%s: %+v", name, r)
				}
			}
		}
		m.Advance(end.AddDate(200, 0, 0))
		b, err := json.Marshal(m.Snapshot())
		require.NoError(t, err, name)
		var s Snapshot
		require.NoError(t, json.Unmarshal(b, &s), name)
		_, err = Restore(options, s)
		require.NoError(t, err, "%s: what was learned is known after a restart", name)
	}
}

func TestLearningGoesOnForYearsWithAShortHalfLife(t *testing.T) {
	o := options
	o.HalfLife = day
	m := New(o)
	var last Result
	at := monday
	for range 260 * 7 {
		last = matched(m, service(at, "root", "check_mk_agent", "ss -s"))
		at = at.Add(day)
	}
	require.True(t, m.unit.After(m.watched.Began), "weights began anew")
	require.True(t, finite(last.Score, last.Surprise))
	young := New(o)
	at = monday
	var then Result
	for range 42 * 7 {
		then = matched(young, service(at, "root", "check_mk_agent", "ss -s"))
		at = at.Add(day)
	}
	require.InDelta(t, then.Surprise, last.Surprise, 0.05, "the habit is what it was in the first year")
}

// TestNoiseIsAHandfulOfAlerts is the attack on the tail of the past: visits as unusual as the one that is to come, by
// somebody else, until it is no longer unusual enough. Each of them is an alert of its own, which counts a tenth.
func TestNoiseIsAHandfulOfAlerts(t *testing.T) {
	goal := func(at time.Time) *process.Event {
		return person(at.Truncate(24*time.Hour).Add(3*time.Hour), "alice", "python3", "151.7.7.7", "ss -tlnp")
	}
	m, end := weeks(8)
	l := matchOf(goal(end))
	before := m.Judge(&l)
	require.Greater(t, before.Score, 50.0)
	alerts, score := 0, before.Score
	for day := range 60 {
		at := end.AddDate(0, 0, day)
		l := matchOf(goal(at))
		if score = m.Judge(&l).Score; score < 25 {
			break
		}
		e := person(at.Truncate(24*time.Hour).Add(2*time.Hour), "bob", fmt.Sprintf("perl-of-%c", 'a'+day%20),
			fmt.Sprintf("%d.7.7.7", 120+day), "ss -tlnp")
		e.CWD = fmt.Sprintf("/srv/%d", day)
		if matched(m, e).Score >= 25 {
			alerts++
		}
	}
	t.Logf("from %.0f to %.0f, after %d alerts", before.Score, score, alerts)
	require.Less(t, score, 25.0, "it is possible, and docs/model.md says so")
	require.GreaterOrEqual(t, alerts, 2)
}
