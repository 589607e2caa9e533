// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watch lets a Model see something every step from begin on, for so long.
func watch(m *Model, begin time.Time, step, long time.Duration) (end time.Time) {
	for end = begin; end.Before(begin.Add(long)); end = end.Add(step) {
		m.Watch(end)
	}
	return end
}

func TestAgeIsWatchedTime(t *testing.T) {
	const busy, tenDays = 10 * time.Minute, 10 * day
	for name, c := range map[string]struct {
		watch func(m *Model) time.Time
		least time.Duration // the age is from least
		most  time.Duration // to most
	}{
		"ten days": {func(m *Model) time.Time { return watch(m, monday, busy, tenDays) }, tenDays, tenDays},
		"the first time is 1970": {func(m *Model) time.Time {
			m.Watch(time.Unix(215, 0))
			m.Watch(time.Unix(300, 0))
			return watch(m, monday, busy, tenDays)
		}, tenDays, tenDays + time.Hour},
		"the first time is 2099": {func(m *Model) time.Time {
			m.Watch(monday.AddDate(73, 0, 0))
			return watch(m, monday, busy, tenDays)
		}, tenDays, tenDays + time.Hour},
		"the first time is thirty days ahead": {func(m *Model) time.Time {
			m.Watch(monday.AddDate(0, 0, 30))
			return watch(m, monday, busy, tenDays)
		}, tenDays, tenDays + time.Hour},
		"and those days come": {func(m *Model) time.Time {
			m.Watch(monday.AddDate(0, 0, 5))
			return watch(m, monday, busy, tenDays)
		}, tenDays - time.Hour, tenDays + time.Hour},
		"one time lies a year ahead": {func(m *Model) time.Time {
			end := watch(m, monday, busy, tenDays/2)
			m.Watch(end.AddDate(1, 0, 0))
			return watch(m, end, busy, tenDays/2)
		}, tenDays - time.Hour, tenDays + time.Hour},
		"one time lies a month behind": {func(m *Model) time.Time {
			end := watch(m, monday, busy, tenDays/2)
			m.Watch(end.AddDate(0, -1, 0))
			return watch(m, end, busy, tenDays/2)
		}, tenDays - time.Hour, tenDays + time.Hour},
		"every boot begins in 1970": {func(m *Model) time.Time {
			at := monday
			for range 5 {
				watch(m, time.Unix(100, 0), time.Second, time.Minute)
				at = watch(m, at, busy, tenDays/5)
			}
			return at
		}, tenDays - 5*time.Hour, tenDays + 5*time.Hour},
		"a month without anything on a busy host": {func(m *Model) time.Time {
			end := watch(m, monday, busy, tenDays/2)
			return watch(m, end.AddDate(0, 1, 0), busy, tenDays/2)
		}, tenDays, tenDays + 2*day},
		"a month of silence on a host where something happens once a month": {func(m *Model) time.Time {
			return watch(m, monday, 30*day, 300*day)
		}, 270 * day, 300 * day},
		"a stop of a month": {func(m *Model) time.Time {
			end := watch(m, monday, busy, tenDays/2)
			m.Stop()
			return watch(m, end.AddDate(0, 1, 0), busy, tenDays/2)
		}, tenDays - time.Hour, tenDays},
		"something happens once a week": {func(m *Model) time.Time {
			return watch(m, monday, 7*day, 70*day)
		}, 62 * day, 70 * day},
		"and then all the time": {func(m *Model) time.Time {
			return watch(m, watch(m, monday, 7*day, 70*day), busy, tenDays)
		}, 70 * day, 80 * day},
		"three hours lie a month behind": {func(m *Model) time.Time {
			watch(m, monday.AddDate(0, -1, 0), time.Minute, 3*time.Hour)
			return watch(m, monday, busy, tenDays)
		}, tenDays, tenDays + 8*day},
		"six hours lie a month behind": {func(m *Model) time.Time {
			watch(m, monday.AddDate(0, -1, 0), time.Minute, 6*time.Hour)
			return watch(m, monday, busy, tenDays)
		}, tenDays, tenDays + 3*day},
		"a day lies a month behind": {func(m *Model) time.Time {
			watch(m, monday.AddDate(0, -1, 0), time.Minute, day)
			return watch(m, monday, busy, tenDays)
		}, tenDays + day, tenDays + 9*day/4},
		"nothing but the boot, and a match after a month": {func(m *Model) time.Time {
			m.Watch(monday)
			return monday.AddDate(0, 1, 0)
		}, 28 * day, 31 * day},
		"out of order by minutes": {func(m *Model) time.Time {
			var end time.Time
			for at := monday; at.Before(monday.Add(tenDays)); at = at.Add(busy) {
				m.Watch(at.Add(7 * time.Minute))
				m.Watch(at)
				end = at
			}
			return end
		}, tenDays - time.Hour, tenDays},
	} {
		m := New(options)
		end := c.watch(m)
		age := m.Age(end)
		require.GreaterOrEqual(t, age, c.least, name)
		require.LessOrEqual(t, age, c.most, name)
	}
}

func TestAClockThatJumpsChangesNoVerdict(t *testing.T) {
	stranger := func(end time.Time) *Match {
		l := matchOf(service(end.Add(10*time.Hour), "www-data", "sh", "ss -tunap"))
		return &l
	}
	m, end := weeks(3)
	want := m.Judge(stranger(end))
	for name, at := range map[string]time.Time{
		"to 1970": time.Unix(0, 0), "thirty days ahead": end.AddDate(0, 0, 30), "to 2099": end.AddDate(73, 0, 0),
	} {
		m, end := weeks(3)
		m.Watch(at)
		m.Watch(end.Add(time.Minute))
		got := m.Judge(stranger(end))
		require.InDelta(t, want.Score, got.Score, 2, name)
		require.InDelta(t, want.Days, got.Days, 2, name)
	}
}

func TestWatchingAllocatesNothing(t *testing.T) {
	m := New(options)
	at := monday
	m.Watch(at)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		at = at.Add(time.Minute)
		m.Watch(at)
	}))
}

// TestAGlanceAtTheTimeIsEnough: within an hour, time goes on in the short way as it does in the long one.
func TestAGlanceAtTheTimeIsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 20 {
		w, at, glances := watched{}, monday, 0
		w.observe(at)
		for i := range 5000 {
			pause := time.Duration(r.ExpFloat64() * float64([]time.Duration{time.Second, time.Minute, time.Hour}[r.IntN(3)]))
			switch r.IntN(500) {
			case 0:
				pause = -time.Duration(r.Int64N(int64(3 * time.Hour))) // the clock is set back
			case 1:
				pause = time.Duration(r.Int64N(int64(300 * day)))
			case 2:
				w.Stopped = true
			case 3:
				w.Hours += r.IntN(4000) // long watched
			}
			at = at.Add(pause)
			when := at.Add(-time.Duration(r.IntN(3)) * time.Duration(r.Int64N(int64(time.Minute)))) // some come late
			short, long := w, w
			if short.goOn(when) {
				glances++
				long.goTo(when)
				require.Equal(t, long, short, "step %d", i)
			} else {
				require.Equal(t, w, short, "step %d", i)
			}
			w.observe(when)
		}
		require.Greater(t, glances, 2000)
	}
}
