// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// judged is what a Model says of a match, which it does not learn.
func judged(m *Model, e *process.Event) Result {
	l := matchOf(e)
	return m.Judge(&l)
}

// quiet is a host on which for so many days programs start, and none that the rule means.
func quiet(days int) (*Model, time.Time) {
	m := New(options)
	return m, watch(m, monday, 10*time.Minute, time.Duration(days)*day)
}

// attended is a host on which for so many days an agent matches, and people on their first days, one each.
func attended(days, people int) (*Model, time.Time) {
	m := New(options)
	end := monday.AddDate(0, 0, days)
	for at := monday; at.Before(end); at = at.Add(10 * time.Minute) {
		matched(m, service(at, "root", "check_mk_agent", "ss -s"))
		if n := int(at.Sub(monday) / day); n < people && at.Hour() == 10 && at.Minute() == 0 {
			matched(m, person(at, fmt.Sprintf("user%d", n), "bash", "10.1.2.3", "ss -tlnp"))
		}
	}
	m.Advance(end)
	return m, end
}

// TestEvidenceThatNeedsNoHistory: where nobody has ever matched, how somebody comes for the first time speaks for or
// against them.
func TestEvidenceThatNeedsNoHistory(t *testing.T) {
	m, end := quiet(20)
	noon, night := end.Add(12*time.Hour), end.Add(27*time.Hour)
	come := func(at time.Time, from string) *process.Event {
		e := person(at, "support", "bash", "10.1.2.3", "ss -tlnp")
		e.Session.User.ID, e.User.ID = 1007, 1007
		if e.Session.Source = netip.MustParseAddr(from); from == "::" {
			e.Session.Entry, e.Session.Source = process.EntryTerminal, netip.Addr{}
		}
		return e
	}
	asSystem := come(noon, "10.1.2.3")
	asSystem.Session.User.ID, asSystem.User.ID = 33, 33
	inTmp := come(noon, "10.1.2.3")
	inTmp.Executable = "/tmp/ss"
	for _, c := range []struct {
		name       string
		less, more *process.Event
	}{
		{name: "by night", less: come(noon, "10.1.2.3"), more: come(night, "10.1.2.3")},
		{name: "from the Internet", less: come(noon, "10.1.2.3"), more: come(noon, "203.0.113.7")},
		{name: "from the Internet, not the console", less: come(noon, "::"), more: come(noon, "203.0.113.7")},
		{name: "from an address of the Internet in IPv6", less: come(noon, "fd00::7"), more: come(noon, "2001:db9::7")},
		{name: "a system account", less: come(noon, "10.1.2.3"), more: asSystem},
		{name: "a tool in /tmp", less: come(noon, "10.1.2.3"), more: inTmp},
		{
			name: "a shell between a daemon and the tool", less: service(noon, "www-data", "telegraf", "ss -s"),
			more: service(noon, "www-data", "sh", "ss -s"),
		},
		{
			name: "a server that starts the tool", less: service(noon, "www-data", "telegraf", "ss -s"),
			more: service(noon, "www-data", "nginx", "ss -s"),
		},
		{
			name: "a shell of root's daemon", less: service(noon, "root", "check_mk_agent", "ss -s"),
			more: service(noon, "root", "sh", "ss -s"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			less, more := judged(m, c.less), judged(m, c.more)
			require.Greater(t, more.Score, less.Score+5)
			require.GreaterOrEqual(t, more.Score, 25.0, "it alerts by itself")
		})
	}
}

// TestWhoIsUndiscoveredDependsOnTheParent: on a young host an agent may not have matched yet, but no daemon of it
// starts the tools through a shell.
func TestWhoIsUndiscoveredDependsOnTheParent(t *testing.T) {
	for _, days := range []int{3, 5, 7} {
		m, end := attended(days, 2)
		at := end.Add(11 * time.Hour)
		for _, user := range []string{"www-data", "root"} {
			require.GreaterOrEqual(t, judged(m, service(at, user, "sh", "ss -tan")).Score, 25.0, "%s, %d", user, days)
			require.GreaterOrEqual(t, judged(m, service(at, user, "perl", "ss -tan")).Score, 25.0, "%s, %d", user, days)
		}
		require.Less(t, judged(m, service(at, "root", "zabbix_agentd", "ss -tan")).Score, 25.0, "day %d", days)
	}
}

// TestAHostTeachesHowManyComeToIt: the longer nobody comes the more a stranger surprises, and where people come less.
func TestAHostTeachesHowManyComeToIt(t *testing.T) {
	newness := func(m *Model, end time.Time) float64 {
		return judged(m, person(end.Add(12*time.Hour), "support", "bash", "10.1.2.3", "ss -tlnp")).Parts[Newness]
	}
	last := 0.0
	for _, days := range []int{2, 5, 10, 20} {
		m, end := attended(days, 0)
		require.Greater(t, newness(m, end), last+0.2, "after %d days without anybody", days)
		last = newness(m, end)
	}
	for _, people := range []int{1, 4, 12} {
		m, end := attended(20, people)
		require.Less(t, newness(m, end), last-0.5, "after %d came", people)
		last = newness(m, end)
	}
}

// TestWhoSetsAHostUpIsNotRare: somebody who came on the first day is back the day after, and one who came once is after
// weeks as rare as they are.
func TestWhoSetsAHostUpIsNotRare(t *testing.T) {
	back := func(days int) float64 {
		m, end := attended(days, 1)
		return judged(m, person(end.Add(6*time.Hour), "user0", "bash", "10.1.2.3", "ss -tlnp")).Parts[Frequency]
	}
	require.Less(t, back(1), 0.5)
	require.Less(t, back(1)+0.5, back(3))
	require.Less(t, back(3)+0.5, back(7))
	require.Greater(t, back(21), 2.0)
}

// TestAVisitIsChargedForItsStrangestHour: who works through the night has come at night once.
func TestAVisitIsChargedForItsStrangestHour(t *testing.T) {
	m, end := weeks(6)
	at := func(hour, minute int) *process.Event {
		return person(end.Add(time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute), "alice", "bash",
			"10.1.2.3", "ss -tlnp")
	}
	strangest := 0.0
	for hour := 9; hour < 33; hour++ {
		strangest = max(strangest, judged(m, at(hour, 20)).Parts[Hour])
	}
	require.Greater(t, strangest, 1.0)
	var r Result
	for hour := 9; hour < 32; hour++ {
		for minute := 0; minute < 60; minute += 10 {
			before := r.Parts[Hour]
			r = matched(m, at(hour, minute))
			require.LessOrEqual(t, r.Parts[Hour], strangest, "at %d:%d", hour, minute)
			require.True(t, hour == 9 && minute == 0 || r.Parts[Hour] >= before, "what it was charged for stays")
		}
	}
	require.Greater(t, r.Parts[Hour], 1.0, "the night was charged")
	require.Equal(t, 138, r.Visit.Matches+1)
}
