// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// login is whose session it is: a person's.
func login(name string) func() (Account, Class) {
	return func() (Account, Class) { return Account{nothing, unique.Make(name)}, Person }
}

func sessionKey(id int) SessionKey { return SessionKey{Session: uint32(id), User: process.Unset} }

// work has somebody run programs in a session of their own, a minute apart.
func work(s *Sessions, id int, at time.Time, name string, programs ...string) {
	for i, p := range programs {
		s.Ran(sessionKey(id), at.Add(time.Duration(i)*time.Minute), unique.Make(p), true, login(name))
	}
}

// offices are Sessions of thirty days, in which alice and bob do their work each day; the next free session.
func offices() (*Sessions, time.Time, int) {
	s, id := NewSessions(options, &Spare{}), 1
	for day := range 30 {
		at := monday.AddDate(0, 0, day).Add(9 * time.Hour)
		work(s, id, at, "alice", "ls", "git", "vim", "make", "git", "go", "less")
		work(s, id+1, at.Add(time.Hour), "bob", "ls", "systemctl", "journalctl", "tail", "grep", "apt", "curl")
		id += 2
	}
	return s, monday.AddDate(0, 0, 30).Add(9 * time.Hour), id
}

// evidenceOf is what each program that alice's session shows before a match says of an intruder.
func evidenceOf(s *Sessions, at time.Time, id int, name string, programs ...string) map[string]float64 {
	work(s, id, at, name, programs...)
	c := s.Before(sessionKey(id), at.Add(time.Duration(len(programs))*time.Minute), []string{"ss"})
	out := map[string]float64{}
	for i := range c.most() {
		if p, is := c.program(i); is {
			out[p.Value()] = c.evidence(p)
		}
	}
	return out
}

func TestWhatSomebodyRunsIsHeldAgainstTheirHabit(t *testing.T) {
	s, at, id := offices()
	e := evidenceOf(s, at, id, "alice", "git", "whoami", "systemctl", "strace", "ss")
	require.Negative(t, e["git"])
	require.Greater(t, e["whoami"], 3.0)
	require.Greater(t, e["strace"], 1.0, "nobody here has run it")
	require.Greater(t, e["whoami"], e["strace"])
	require.Greater(t, e["systemctl"], 1.0, "it is bob's habit, not hers")
	require.NotContains(t, e, "ss", "the rule's own program")

	for day := range 20 { // who troubleshoots every day
		work(s, id+1+day, at.AddDate(0, 0, day), "bob", "ps", "whoami", "id", "w")
	}
	e = evidenceOf(s, at.AddDate(0, 0, 20), id+50, "bob", "whoami", "id", "w", "ps")
	for program, v := range e {
		require.Less(t, v, 0.3, program)
	}
}

// TestWhoTriesNewProgramsMayTryAnother: how much is new of somebody is learned.
func TestWhoTriesNewProgramsMayTryAnother(t *testing.T) {
	s, at, id := offices()
	for day := range 30 {
		work(s, id+day, at.AddDate(0, 0, day), "carol", "ls", fmt.Sprint("new-", 2*day), fmt.Sprint("new-", 2*day+1))
	}
	at = at.AddDate(0, 0, 30)
	restless := evidenceOf(s, at, id+100, "carol", "strace")["strace"]
	steady := evidenceOf(s, at, id+101, "alice", "strace")["strace"]
	require.Greater(t, steady, restless+1)
}

func TestAProgramCountsOnceASession(t *testing.T) {
	s := NewSessions(options, &Spare{})
	for range 100 {
		work(s, 1, monday, "alice", "make", "cc1", "make", "cc1")
	}
	s.End(1)
	alice := s.accounts[member{Account{nothing, unique.Make("alice")}, Person}]
	require.Len(t, alice.Programs, 2)
	require.Equal(t, alice.Programs[0].weight, alice.Weight)
	require.InDelta(t, tentative, alice.Weight, 1e-3, "of the first day nothing else speaks for it")
	work(s, 1, monday.Add(48*time.Hour), "alice", "make")
	work(s, 1, monday.Add(49*time.Hour), "alice", "make") // after a pause
	work(s, 1, monday.Add(50*time.Hour), "alice", "make")
	require.Greater(t, alice.Weight, 2.4)
}

func TestASessionWithAnAlertTeachesNothing(t *testing.T) {
	s, at, id := offices()
	work(s, id, at, "alice", "whoami", "id")
	s.Discard(sessionKey(id))
	work(s, id, at.Add(2*time.Minute), "alice", "uname")
	s.End(uint32(id))
	for _, v := range s.accounts[member{Account{nothing, unique.Make("alice")}, Person}].Programs {
		require.NotContains(t, []string{"whoami", "id", "uname"}, v.text.Value())
	}
	require.Greater(t, evidenceOf(s, at.AddDate(0, 0, 1), id+1, "alice", "id")["id"], 3.0)
}

// TestWhereMatchesOnlyAreSeenNothingIsSaid: a source may report no more than what rules mean.
func TestWhereMatchesOnlyAreSeenNothingIsSaid(t *testing.T) {
	s := NewSessions(options, &Spare{})
	for day := range 60 {
		for i, p := range []string{
			"id", "whoami", "ps", "uname", "ss", "gcc", "nmap", "sudo", "w", "ip", "arp", "last", "who",
		} {
			s.Ran(sessionKey(day), monday.AddDate(0, 0, day).Add(time.Duration(i)*time.Minute), unique.Make(p), false,
				login("alice"))
		}
	}
	at := monday.AddDate(0, 0, 60)
	require.Empty(t, evidenceOf(s, at, 100, "alice", "ls", "users"))
	known := s.Before(sessionKey(100), at.Add(time.Hour), nil)
	require.False(t, known.Known())
}

func TestCompanyIsWithinTenMinutes(t *testing.T) {
	s, at, id := offices()
	work(s, id, at, "alice", "first", "second")
	work(s, id, at.Add(9*time.Minute), "alice", "third", "first", "fourth")
	names := func(c Company) (out []string) {
		for i := range c.most() {
			if p, is := c.program(i); is {
				out = append(out, p.Value())
			}
		}
		return out
	}
	match := at.Add(9*time.Minute + 30*time.Second)
	require.Equal(t, []string{"first", "second", "third"}, names(s.Before(sessionKey(id), match, nil)))
	require.Equal(t, []string{"fourth"}, names(s.After(sessionKey(id), match, match.Add(beside), nil)),
		"first has run before")
	require.Empty(t, names(s.After(sessionKey(id), match, match.Add(time.Minute), nil)), "fourth comes later")
	late := at.Add(20 * time.Minute)
	require.Equal(t, []string{"first", "fourth"}, names(s.Before(sessionKey(id), late, nil)))
	require.Empty(t, names(s.Before(sessionKey(id+1), late, nil)), "another session")
}

func TestSessionsAreBounded(t *testing.T) {
	o := options
	o.MaxActors = 50
	s := NewSessions(o, &Spare{})
	r := rand.New(rand.NewPCG(1, 1))
	at := monday
	for i := range 30000 {
		at = at.Add(time.Second)
		s.Ran(sessionKey(r.IntN(2000)), at, unique.Make(fmt.Sprint("p", r.IntN(500))), true,
			login(fmt.Sprint("u", i%200)))
	}
	require.LessOrEqual(t, s.open.n, maxSessions)
	require.Equal(t, 50, len(s.accounts))
	require.Positive(t, s.Evicted())
	require.LessOrEqual(t, len(s.others), maxValues)
	for open := s.open.first; open != nil; open = open.later {
		require.LessOrEqual(t, len(open.used), maxValues)
	}
	for _, a := range s.accounts {
		require.LessOrEqual(t, len(a.Programs), maxValues)
	}
}

// storedOf is what Sessions know, as a snapshot has it.
func storedOf(t *testing.T, s *Sessions) string {
	b, err := json.Marshal(s.Snapshot())
	require.NoError(t, err)
	return string(b)
}

// TestSessionsShareNothingButMemory: two hosts whose sessions use each other's memory again know what each would know
// alone, whoever reads it next: a match, a logout, a snapshot, a restart, whatever the clock does.
func TestSessionsShareNothingButMemory(t *testing.T) {
	var spare Spare
	type host struct {
		sharing, alone *Sessions
		at             time.Time
	}
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		var hosts [2]host
		for i := range hosts {
			hosts[i] = host{NewSessions(options, &spare), NewSessions(options, &Spare{}), monday}
		}
		pause := []time.Duration{time.Second, time.Minute, 5 * time.Minute}[seed%3]
		sessions := []int{400, 8, 2}[seed%3] // of two users each
		for range 5000 {
			h := &hosts[r.IntN(2)]
			both := [2]*Sessions{h.sharing, h.alone}
			h.at = h.at.Add(time.Duration(r.Int64N(int64(pause))))
			switch r.IntN(2000) {
			case 0:
				h.at = h.at.Add(-2 * time.Hour) // the clock is set back
			case 1:
				h.at = h.at.Add(90 * day)
			}
			when := h.at.Add(-time.Duration(r.IntN(2)) * time.Duration(r.Int64N(int64(2*time.Minute))))
			k := SessionKey{Session: uint32(r.IntN(sessions)), User: uint32(r.IntN(2))}
			if r.IntN(5) == 0 {
				k = SessionKey{Session: process.Unset, User: 33, Container: fmt.Sprint("0f3a", r.IntN(3))}
			}
			name, other := unique.Make(fmt.Sprint("tool-", r.IntN(100))), r.IntN(9) > 0
			for _, s := range both {
				s.Ran(k, when, name, other, login(fmt.Sprint("u", k.Session%9)))
			}
			switch r.IntN(400) {
			case 0:
				h.sharing.End(k.Session)
				h.alone.End(k.Session)
			case 1:
				h.sharing.Stop()
				h.alone.Stop()
			case 2:
				h.sharing.Discard(k)
				h.alone.Discard(k)
			case 3:
				h.sharing.Forget(map[string]bool{"u3": true})
				h.alone.Forget(map[string]bool{"u3": true})
			case 4:
				var stored SessionsSnapshot
				require.NoError(t, json.Unmarshal([]byte(storedOf(t, h.sharing)), &stored))
				var err error
				h.sharing, err = RestoreSessions(options, &spare, stored)
				require.NoError(t, err)
			case 5, 6, 7, 8:
				companies := [2][]string{}
				for i, s := range both {
					c := s.Before(k, when, nil)
					for j := range c.most() {
						if p, is := c.program(j); is {
							companies[i] = append(companies[i], fmt.Sprint(p.Value(), c.evidence(p)))
						}
					}
				}
				require.Equal(t, companies[1], companies[0], "seed %d: before a match", seed)
				fallthrough
			case 9, 10, 11, 12:
				require.Equal(t, storedOf(t, h.alone), storedOf(t, h.sharing), "seed %d", seed)
			}
		}
		for _, h := range hosts {
			h.sharing.goOn(h.at.Add(day))
		}
		require.NotEmpty(t, spare.sessions)
		require.LessOrEqual(t, len(spare.sessions), maxSpare)
		for _, kept := range spare.sessions {
			require.Zero(t, kept.key)
			for _, u := range kept.used[:cap(kept.used)] {
				require.Zero(t, u, "no name stays with it")
			}
		}
	}
}

// TestATextIsHeldAsItIs: whatever text was at its place before.
func TestATextIsHeldAsItIs(t *testing.T) {
	var reader Reader
	r := rand.New(rand.NewPCG(1, 5))
	for range 20000 {
		middle := strings.Repeat("\xff-é"[r.IntN(3):], r.IntN(3)*r.IntN(60))
		text := fmt.Sprintf("%c%s%c", 'a'+r.IntN(3), middle, 'a'+r.IntN(3))
		want := strings.ToValidUTF8(text[:min(len(text), maxValue)], "\uFFFD")
		require.Equal(t, want, reader.Text(text))
	}
	require.Empty(t, reader.Text(""))
}

// TestALogoutEndsAllOfASession: of each of its users, and no other one.
func TestALogoutEndsAllOfASession(t *testing.T) {
	s := NewSessions(options, &Spare{})
	for _, id := range []uint32{1, 5, 9, 13} { // they share a bucket of four
		for user := range uint32(3) {
			s.Ran(SessionKey{Session: id, User: user}, monday, unique.Make("ls"), true, login("alice"))
		}
	}
	s.End(5)
	s.End(2)
	require.Equal(t, 9, s.open.n)
	for open := s.open.first; open != nil; open = open.later {
		require.NotEqual(t, uint32(5), open.key.Session)
		require.Same(t, open, s.open.get(&open.key))
	}
	require.Nil(t, s.open.get(&SessionKey{Session: 5}))
}

// TestSessionsEndWhenTheyAreOver: each at the first program after its pause or its longest time, none before; where
// there are too many, the one that was silent for the longest time makes room.
func TestSessionsEndWhenTheyAreOver(t *testing.T) {
	type times struct{ start, last time.Time }
	for _, pause := range []time.Duration{20 * time.Second, 2 * time.Second, 300 * time.Millisecond} {
		o := options
		o.Longest = 40 * time.Minute
		s, want, at := NewSessions(o, &Spare{}), map[SessionKey]times{}, monday
		r := rand.New(rand.NewPCG(uint64(pause), 4))
		for i := range 6000 {
			at = at.Add(time.Duration(r.Int64N(int64(2 * pause))))
			when := at
			if r.IntN(20) == 0 {
				when = at.Add(-time.Duration(r.Int64N(int64(10 * time.Minute)))) // it comes late
			}
			k := sessionKey(r.IntN(12))
			if r.IntN(2) == 0 {
				k = sessionKey(100 + r.IntN(2000))
			}
			s.Ran(k, when, unique.Make("ls"), true, login("alice"))
			now := s.watched.at(when)
			maps.DeleteFunc(want, func(_ SessionKey, o times) bool {
				return now.Sub(o.last) > s.o.Idle || now.Sub(o.start) > s.o.Longest
			})
			if _, is := want[k]; !is && len(want) == maxSessions {
				delete(want, slices.MinFunc(slices.Collect(maps.Keys(want)), func(a, b SessionKey) int {
					return cmp.Or(want[a].last.Compare(want[b].last), a.compare(b))
				}))
			}
			o, is := want[k]
			if !is {
				o = times{now, now}
			}
			want[k] = times{o.start, latest(o.last, now)}
			if i%20 > 0 {
				continue
			}
			got := map[SessionKey]times{}
			for open := s.open.first; open != nil; open = open.later {
				got[open.key] = times{open.Start, open.Last}
				require.Same(t, open, s.open.get(&open.key))
			}
			require.Equal(t, want, got)
			require.Equal(t, len(want), s.open.n)
		}
	}
}

// TestShortSessionsCostNoMemory: the memory of those that are over is used again.
func TestShortSessionsCostNoMemory(t *testing.T) {
	s, at, id := NewSessions(options, &Spare{}), monday, 0
	programs, who := []text{unique.Make("sh"), unique.Make("ls"), unique.Make("cat")}, login("alice")
	step := func() {
		id++
		for _, p := range programs {
			at = at.Add(time.Second)
			s.Ran(sessionKey(id), at, p, true, who)
		}
	}
	for range 2000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(100, step))
}

func TestWeightsOfWhichNoSumIsFiniteAreRefused(t *testing.T) {
	var stored SessionsSnapshot
	require.NoError(t, json.Unmarshal([]byte(`{"others": {"v": ["a"], "w": [1e270]}}`), &stored))
	for _, bad := range []string{"1e308", "-1"} {
		require.ErrorIs(t, json.Unmarshal([]byte(`{"others": {"v": ["a"], "w": [`+bad+`]}}`), &stored), errNumbers, bad)
	}
}

func TestRestoredSessionsGoOnIdentically(t *testing.T) {
	run := func(s *Sessions, from, to int) *Sessions {
		for i := from; i < to; i++ {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			at := monday.Add(time.Duration(i) * 7 * time.Minute)
			s.Ran(sessionKey(r.IntN(9)), at, unique.Make(fmt.Sprint("p", r.IntN(200))), r.IntN(3) > 0,
				login(fmt.Sprint("u", r.IntN(9))))
			if r.IntN(40) == 0 {
				s.Discard(sessionKey(r.IntN(9)))
			}
			if r.IntN(40) == 0 {
				s.End(uint32(r.IntN(9)))
			}
		}
		return s
	}
	for _, n := range []int{0, 1, 333, 4000} {
		var stored SessionsSnapshot
		require.NoError(t, json.Unmarshal([]byte(storedOf(t, run(NewSessions(options, &Spare{}), 0, n))), &stored))
		restored, err := RestoreSessions(options, &Spare{}, stored)
		require.NoError(t, err)
		require.Equal(t, storedOf(t, run(NewSessions(options, &Spare{}), 0, 5000)), storedOf(t, run(restored, n, 5000)))
	}
	for _, bad := range []string{
		`{"half_life": -1}`,
		`{"accounts": [{"class": 9, "id": "1", "known": {}}]}`,
		`{"accounts": [{"class": 0, "id": "1", "known": {"weight": -1}}]}`,
		`{"accounts": [{"class": 0, "id": "1", "known": {"weight": 1e300}}]}`,
		`{"open": [{"key": {"session": 1}}]}`,
	} {
		var stored SessionsSnapshot
		require.NoError(t, json.Unmarshal([]byte(bad), &stored))
		_, err := RestoreSessions(options, &Spare{}, stored)
		require.Error(t, err, bad)
	}
}

func TestSessionsFadeAndKeepTheirNumbers(t *testing.T) {
	o := options
	o.HalfLife = 24 * time.Hour
	s := NewSessions(o, &Spare{})
	for day := range 1500 {
		work(s, day, monday.AddDate(0, 0, day), "alice", "ls", "git")
	}
	alice := s.accounts[member{Account{nothing, unique.Make("alice")}, Person}]
	s.End(1499)
	now := s.watched.Now
	require.True(t, finite(alice.Weight))
	require.InDelta(t, 2, alice.Weight/s.grown(now), 0.1)
	s.SetHalfLife(48 * time.Hour)
	require.InDelta(t, 2, alice.Weight/s.grown(now), 0.1, "what has faded stays as it is")
}

// TestCompanyIsAPartOfTheSurprise: what else runs in the session adds to a visit once, and an agent's is not asked.
func TestCompanyIsAPartOfTheSurprise(t *testing.T) {
	m, end := weeks(6)
	s, _, id := offices()
	at := end.Add(9 * time.Hour)
	beside := func(l Match) Match {
		l.Beside(s.Before(sessionKey(id), l.At, []string{"ss"}))
		return l
	}
	work(s, id, at, "alice", "git", "whoami", "id", "uname")
	e := person(at.Add(4*time.Minute), "alice", "bash", "10.1.2.3", "ss -tlnp")
	plain := matchOf(e)
	l := beside(plain)
	with, without := m.Judge(&l), m.Judge(&plain)
	require.Zero(t, without.Parts[Session])
	require.Greater(t, with.Parts[Session], 1.5)
	require.InDelta(t, with.Surprise, without.Surprise+with.Parts[Session], 1e-9)
	require.Contains(t, with.Unusual.Text(Session), "whoami")
	require.NotContains(t, with.Unusual.Text(Session), "git")
	require.Contains(t, Describe(Session, with.Unusual.Text(Session)), "in the same session ")

	m.Learn(&l, with, Lesson{})
	again := m.Judge(&l)
	require.Equal(t, with.Parts[Session], again.Parts[Session], "it adds up once")
	require.Zero(t, testing.AllocsPerRun(100, func() { m.Learn(&l, m.Judge(&l), Lesson{}) }))

	work(s, id, at.Add(5*time.Minute), "alice", "last")
	l.Beside(s.After(sessionKey(id), l.At, at.Add(10*time.Minute), []string{"ss"}))
	require.True(t, m.Visiting(&l))
	more := m.Judge(&l)
	require.Greater(t, more.Parts[Session], with.Parts[Session])
	m.Extend(&l, more, "an alert")
	require.True(t, m.visits[l.key()].Alerted)
	require.True(t, m.Traces("an alert"), "feedback can take it out")

	agent := matchOf(service(at.Add(4*time.Minute), "root", "check_mk_agent", "ss -s"))
	agent = beside(agent)
	require.Zero(t, m.Judge(&agent).Parts[Session])
}

// TestARestoredVisitKnowsItsCompany: what a visit was weighed with is weighed no second time.
func TestARestoredVisitKnowsItsCompany(t *testing.T) {
	m, end := weeks(6)
	s, _, id := offices()
	at := end.Add(9 * time.Hour)
	work(s, id, at, "alice", "git", "whoami", "id", "uname")
	l := matchOf(person(at.Add(4*time.Minute), "alice", "bash", "10.1.2.3", "ss -tlnp"))
	l.Beside(s.Before(sessionKey(id), l.At, nil))
	m.Learn(&l, m.Judge(&l), Lesson{})
	b, err := json.Marshal(m.Snapshot())
	require.NoError(t, err)
	var stored Snapshot
	require.NoError(t, json.Unmarshal(b, &stored))
	restored, err := Restore(options, stored)
	require.NoError(t, err)
	work(s, id, at.Add(5*time.Minute), "alice", "last", "w")
	l = matchOf(person(at.Add(8*time.Minute), "alice", "bash", "10.1.2.3", "ss -tlnp"))
	l.Beside(s.Before(sessionKey(id), l.At, nil))
	want, got := m.Judge(&l), restored.Judge(&l)
	require.Equal(t, want.Parts, got.Parts)
	require.Equal(t, want.Unusual.Text(Session), got.Unusual.Text(Session))
	require.Equal(t, want.Score, got.Score)
}

func BenchmarkSessionsRan(b *testing.B) {
	s, at, id := offices()
	program := unique.Make("git")
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		s.Ran(sessionKey(id), at, program, true, login("alice"))
	}
}

// TestAHundredAccountsFitInto128KiBOnDisk: of 64 programs each, and as many open sessions, compressed as the state
// keeps them.
func TestAHundredAccountsFitInto128KiBOnDisk(t *testing.T) {
	s := NewSessions(options, &Spare{})
	r := rand.New(rand.NewPCG(3, 3))
	for day := range 90 {
		for who := range 100 {
			var programs []string
			for range 20 {
				programs = append(programs, fmt.Sprintf("program-%c%c", 'a'+r.IntN(12), 'a'+int(r.ExpFloat64()*8)%26))
			}
			at := monday.AddDate(0, 0, day).Add(time.Duration(r.IntN(600)) * time.Minute)
			if day == 89 {
				at = monday.AddDate(0, 0, day).Add(12 * time.Hour)
			}
			for _, p := range programs {
				s.Ran(sessionKey(100*day+who), at, unique.Make(p), true, login(fmt.Sprint("user", who)))
			}
		}
	}
	b, err := json.Marshal(s.Snapshot())
	require.NoError(t, err)
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	t.Logf("100 accounts: %d KiB of JSON, %d KiB compressed, %d open", len(b)>>10, z.Len()>>10, s.open.n)
	require.Equal(t, 100, s.open.n)
	require.Len(t, s.accounts, 100)
	require.Less(t, z.Len(), 128<<10)
}
