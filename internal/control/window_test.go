// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // on a machine without zoneinfo

	"github.com/stretchr/testify/require"
	"github.com/teambition/rrule-go"

	"github.com/reconbeat/reconbeat/detector"
)

func clock(t testing.TB, text string) (c Clock) {
	require.NoError(t, c.Unpack(text))
	return c
}

// windowOf is a window; dates and except are lists of clocks.
func windowOf(t testing.TB, zone, start, duration, rule string, dates, except []string) *Window {
	w := NewWindow()
	w.ID, w.Timezone = "w", zone
	if start != "" {
		w.Start = clock(t, start)
	}
	require.NoError(t, w.Duration.Unpack(duration))
	if rule != "" {
		require.NoError(t, w.Rule.Unpack(rule))
	}
	for _, text := range dates {
		w.Dates = append(w.Dates, clock(t, text))
	}
	for _, text := range except {
		w.Except = append(w.Except, clock(t, text))
	}
	require.NoError(t, w.Check())
	return &w
}

func TestWindows(t *testing.T) {
	const berlin = "Europe/Berlin" // summer time from 2026-03-29 02:00 (01:00Z) to 2026-10-25 03:00 (01:00Z)
	for _, c := range []struct {
		name                        string
		zone, start, duration, rule string
		dates, except               []string
		open, closed                []string // times in UTC
	}{
		{
			name: "once", start: "2026-03-01T22:00", duration: "4h",
			open:   []string{"2026-03-01T22:00:00Z", "2026-03-02T01:59:59Z"},
			closed: []string{"2026-03-01T21:59:59Z", "2026-03-02T02:00:00Z", "2026-03-08T22:30:00Z"},
		},
		{
			name: "weekly, on both sides of summer time", zone: berlin, start: "2026-03-01T22:00", duration: "4h",
			rule:   "FREQ=WEEKLY;BYDAY=SU",
			open:   []string{"2026-03-22T21:00:00Z", "2026-03-29T20:00:00Z", "2026-10-18T20:00:00Z", "2026-10-25T21:00:00Z"},
			closed: []string{"2026-03-22T20:30:00Z", "2026-03-30T00:30:00Z", "2026-10-19T00:30:00Z", "2026-10-25T20:30:00Z"},
		},
		{
			name: "across the hour that is left out", zone: berlin, start: "2026-03-01T01:00", duration: "4h",
			rule: "FREQ=WEEKLY", open: []string{"2026-03-29T00:00:00Z", "2026-03-29T03:59:59Z"}, // 06:00 on the wall
			closed: []string{"2026-03-28T23:59:59Z", "2026-03-29T04:00:00Z"},
		},
		{
			name: "across the hour that comes twice", zone: berlin, start: "2026-03-01T01:00", duration: "4h",
			rule: "FREQ=WEEKLY", open: []string{"2026-10-24T23:00:00Z", "2026-10-25T02:59:59Z"}, // 04:00 on the wall
			closed: []string{"2026-10-24T22:59:59Z", "2026-10-25T03:00:00Z"},
		},
		{
			name: "begins in the hour that is left out", zone: berlin, start: "2026-03-01T02:30", duration: "30m",
			rule: "FREQ=DAILY", open: []string{"2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
			closed: []string{"2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		},
		{
			name: "begins in the hour that comes twice", zone: berlin, start: "2026-10-01T02:30", duration: "30m",
			rule: "FREQ=DAILY", open: []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
			closed: []string{"2026-10-25T01:30:00Z", "2026-10-26T00:30:00Z"},
		},
		{
			name: "days are as long as the clocks have them", zone: berlin, start: "2026-03-29", duration: "1d",
			rule: "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU", open: []string{"2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z",
				"2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"},
			closed: []string{"2026-03-28T22:59:59Z", "2026-03-29T22:00:00Z", "2026-10-24T21:59:59Z", "2026-10-25T23:00:00Z"},
		},
		{
			name: "south of the equator, half an hour", zone: "Australia/Lord_Howe", start: "2026-04-05T01:45",
			duration: "20m", open: []string{"2026-04-04T14:45:00Z"}, closed: []string{"2026-04-04T15:15:00Z"},
		},
		{
			name: "a day that never was", zone: "Pacific/Apia", start: "2011-12-30T10:00", duration: "1h",
			open: []string{"2011-12-30T20:00:00Z"}, closed: []string{"2011-12-29T20:30:00Z"},
		},
		{
			name: "the first Tuesday of a month, every other one", start: "2026-01-06T22:00", duration: "2h",
			rule:   "FREQ=MONTHLY;INTERVAL=2;BYDAY=1TU",
			open:   []string{"2026-01-06T22:00:00Z", "2026-03-03T23:00:00Z", "2036-01-01T23:00:00Z"},
			closed: []string{"2026-02-03T23:00:00Z", "2036-02-05T23:00:00Z"},
		},
		{
			name: "a leap day", start: "2024-02-29", duration: "1d", rule: "FREQ=YEARLY",
			open:   []string{"2024-02-29T12:00:00Z", "2028-02-29T12:00:00Z", "2096-02-29T12:00:00Z", "2104-02-29T12:00:00Z"},
			closed: []string{"2025-02-28T12:00:00Z", "2100-03-01T12:00:00Z"},
		},
		{
			name: "so many times", start: "2026-01-01T08:00", duration: "1h", rule: "FREQ=DAILY;COUNT=3",
			open:   []string{"2026-01-03T08:30:00Z"},
			closed: []string{"2026-01-04T08:30:00Z", "2025-12-31T08:30:00Z"},
		},
		{
			name: "until a moment", zone: berlin, start: "2026-06-01T08:00", duration: "1h",
			rule: "FREQ=DAILY;UNTIL=20260603T060000Z", open: []string{"2026-06-03T06:30:00Z"},
			closed: []string{"2026-06-04T06:30:00Z"},
		},
		{
			name: "until a day", start: "2026-06-01T08:00", duration: "1h", rule: "FREQ=DAILY;UNTIL=20260603",
			open: []string{"2026-06-03T08:30:00Z"}, closed: []string{"2026-06-04T08:30:00Z"},
		},
		{
			name: "several times a day", start: "2026-06-01T08:00", duration: "1h", rule: "FREQ=DAILY;BYHOUR=8,12,16",
			open: []string{"2026-06-09T12:30:00Z", "2026-06-09T16:59:00Z"}, closed: []string{"2026-06-09T13:00:00Z"},
		},
		{
			name: "single ones, and some that do not take place", start: "2026-06-01T08:00", duration: "1h",
			rule: "FREQ=DAILY;BYHOUR=8,12", dates: []string{"2026-06-05T20:00", "2027-06-05T20:00"},
			except: []string{"2026-06-04", "2026-06-05T08:00"},
			open:   []string{"2026-06-05T20:30:00Z", "2027-06-05T20:30:00Z", "2026-06-05T12:30:00Z"},
			closed: []string{"2026-06-04T08:30:00Z", "2026-06-04T12:30:00Z", "2026-06-05T08:30:00Z"},
		},
		{
			name: "single ones alone", duration: "1h", dates: []string{"2026-06-05T20:00"},
			open: []string{"2026-06-05T20:30:00Z"}, closed: []string{"2026-06-06T20:30:00Z"},
		},
		{
			name: "longer than the pause to the next", start: "2026-06-01", duration: "36h", rule: "FREQ=DAILY;COUNT=4",
			open:   []string{"2026-06-02T11:00:00Z", "2026-06-02T23:00:00Z", "2026-06-05T11:59:59Z"},
			closed: []string{"2026-06-05T12:00:00Z"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := windowOf(t, c.zone, c.start, c.duration, c.rule, c.dates, c.except)
			s, err := w.schedule(time.UTC)
			require.NoError(t, err)
			all := slices.Concat(c.open, c.closed)
			random := rand.New(rand.NewPCG(1, 2))
			for range 5 { // time may go back
				for _, text := range all {
					at, err := time.Parse(time.RFC3339, text)
					require.NoError(t, err)
					require.Equal(t, slices.Contains(c.open, text), s.has(at), text)
				}
				random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			}
		})
	}
}

// TestAWindowIsWhatItsRuleSays compares what a schedule says, which looks for occurrences near a time, with those that
// are counted from the first one on.
func TestAWindowIsWhatItsRuleSays(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	tried := 0
	for range 150 {
		rule := "FREQ=" + pick("DAILY", "WEEKLY", "MONTHLY", "YEARLY") +
			pick("", ";INTERVAL=2", ";INTERVAL=3", ";INTERVAL=13") + pick("", "", ";COUNT=30", ";UNTIL=20280315T120000Z") +
			pick("", "", ";BYDAY=MO,TH", ";BYMONTHDAY=1,15,-1", ";BYMONTH=3,10", ";BYSETPOS=1;BYDAY=MO,TU") +
			pick("", ";BYHOUR=2,14", ";BYMINUTE=0,30") + pick("", ";WKST=SU")
		start := Clock{Time: time.Date(2025, 1+time.Month(random.IntN(12)), 1+random.IntN(28), random.IntN(24), 15, 0, 0,
			time.UTC)}
		var r Recurrence
		require.NoError(t, r.Unpack(rule), rule)
		w := Window{Exception: Exception{ID: "w", Action: detector.Tag}, Start: start, Rule: r,
			Duration: Length{Days: random.IntN(3), Time: time.Hour}, Timezone: "Europe/Berlin"}
		s, err := w.schedule(zone)
		if err != nil {
			require.ErrorContains(t, err, "never occurs", rule)
			continue
		}
		tried++
		options, err := r.parse(zone)
		require.NoError(t, err)
		options.Dtstart = start.Time
		whole, err := rrule.NewRRule(options)
		require.NoError(t, err)
		var spans [][2]time.Time
		for _, at := range whole.Between(start.Time, start.AddDate(6, 0, 0), true) {
			begin := Clock{Time: at}.At(zone)
			end := Clock{Time: at.AddDate(0, 0, w.Duration.Days)}.At(zone).Add(w.Duration.Time)
			if w.Duration.Days == 0 {
				end = begin.Add(w.Duration.Time)
			}
			spans = append(spans, [2]time.Time{begin, end})
		}
		for range 100 {
			at := start.Add(time.Duration(random.Int64N(int64(4 * 365 * 24 * time.Hour)))).Add(-48 * time.Hour)
			if len(spans) > 0 && random.IntN(2) == 0 {
				edge := spans[random.IntN(len(spans))][random.IntN(2)]
				at = edge.Add(time.Duration(random.IntN(3)-1) * time.Second)
			}
			if at.After(start.AddDate(5, 0, 0)) {
				continue
			}
			want := slices.ContainsFunc(spans, func(s [2]time.Time) bool { return !at.Before(s[0]) && at.Before(s[1]) })
			require.Equal(t, want, s.has(at), "%s from %s for %s at %s", rule, start, w.Duration, at)
		}
	}
	require.Greater(t, tried, 100)
}

func TestWrongWindows(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Window)
		want string
	}{
		{"an action", func(w *Window) { w.Action = "drop" }, `action: "drop" is not allowed; it must be tag, skip_result, ` +
			`skip_model_update or both`},
		{"no conditions", func(w *Window) { w.Action = detector.SkipBoth }, "conditions: is missing; an item without a " +
			"condition would hold back everything"},
		{"no duration", func(w *Window) { w.Duration = Length{} }, "duration: is missing; it must be a duration from 1s to " +
			"366d, such as 90m, 1d or 1d12h"},
		{"no start", func(w *Window) { w.Start = Clock{} }, "start: is missing; it must be a day such as 2026-01-31, or a " +
			"day and a time such as 2026-01-31T22:00; its time zone is timezone"},
		{
			"a year that no rule can begin in",
			func(w *Window) {
				w.Start, w.Rule.text = Clock{Time: time.Date(0, 1, 1, 8, 0, 0, 0, time.UTC)}, "FREQ=MONTHLY"
			},
			`start: 0000-01-01T08:00 is not allowed; it must be in 1970 or later`,
		},
		{"a time zone", func(w *Window) { w.Timezone = "Mars/Phobos" },
			`timezone: "Mars/Phobos" is not allowed; it must be an IANA time zone such as Europe/Berlin`},
		{"a rule that never occurs", func(w *Window) { w.Rule.text = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" },
			`rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30" is not allowed: it never occurs from ` +
				`2026-01-01T08:00 on`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := windowOf(t, "", "2026-01-01T08:00", "1h", "", nil, nil)
			c.edit(w)
			require.EqualError(t, w.Check(), c.want)
		})
	}
	for rule, want := range map[string]string{
		"FREQ=SECONDLY": "several times a day are BYHOUR", "FREQ=HOURLY": "several times a day are BYHOUR",
		"BYDAY=MO": "FREQ is required", "FREQ=MONTHLY;BYDAY=-53MO": "BYDAY has -53MO",
		"FREQ=WEEKLY;BYDAY=2MO":     "BYDAY has +2MO",
		"FREQ=DAILY;INTERVAL=99999": "INTERVAL may be at most", "FREQ=DAILY;COUNT=99999": "COUNT 10000",
		"FREQ=YEARLY;BYEASTER=400": "are no part of a rule", "FREQ=DAILY;BYHOUR=24": "byhour must be between",
		"FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19": "100 times a day",
	} {
		var r Recurrence
		require.ErrorContains(t, r.Unpack(rule), want, rule)
	}
	for _, text := range []string{"", "0s", "-1h", "1y", "367d", "8785h", "1d-1h"} {
		var l Length
		require.Error(t, l.Unpack(text), text)
	}
	midnight := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC) // as a policy has a day
	var c Clock
	require.NoError(t, c.Unpack(midnight))
	require.Equal(t, "2026-01-31", c.String())
	require.Error(t, c.Unpack(midnight.Add(time.Hour)), "whose clocks show it is not known")
	var m Moment
	require.NoError(t, m.Unpack(midnight))
	require.Equal(t, Moment("2026-01-31"), m)
	for text, want := range map[string]string{"90m": "1h30m", "1d": "1d", "36h": "36h", "1d12h5s": "1d12h5s"} {
		var l Length
		require.NoError(t, l.Unpack(text), text)
		require.Equal(t, want, l.String())
	}
}

// TestAWindowAppliesInItsTime holds what a Set says of a window, and that one with tag holds nothing back.
// TestTimesAsFleetHandsThemOn has a day or a time that stands in a policy without quotes be what was written.
func TestTimesAsFleetHandsThemOn(t *testing.T) {
	var c Clock
	require.NoError(t, c.Unpack("2026-12-01T00:00:00.000Z"))
	require.Equal(t, "2026-12-01", c.String())
	require.True(t, c.Day)
	require.NoError(t, c.Unpack("2026-12-01T22:00:05.000Z"))
	require.Equal(t, "2026-12-01T22:00:05", c.String())
	require.False(t, c.Day)
}

func TestAWindowAppliesInItsTime(t *testing.T) {
	patch := windowOf(t, "", "2026-03-02T08:00", "2h", "FREQ=DAILY", nil, nil)
	patch.ID, patch.Action = "patch", detector.SkipBoth
	patch.Conditions = []Condition{{Field: "user.name", Is: Texts{"mallory"}}}
	tag := windowOf(t, "", "2026-03-02", "1d", "", nil, nil)
	s, err := New(Items{Windows: []Window{*patch, *tag}})
	require.NoError(t, err)
	d := s.Decide("rule", at, mallory)
	require.True(t, d.NoAlert && d.NoLesson)
	require.Len(t, d.By, 2)
	require.Equal(t, "window", d.By[0].Kind)
	d = s.Decide("rule", at.Add(time.Hour), mallory)
	require.False(t, d.NoAlert || d.NoLesson)
	require.Equal(t, []detector.Control{{ID: "w", Kind: "window", Action: detector.Tag}}, d.By)
	require.Empty(t, s.Decide("rule", at.AddDate(0, 0, 1).Add(time.Hour), mallory).By)
}

// FuzzRecurrence takes whatever a file may have for a rule, and asks for the times of it.
func FuzzRecurrence(f *testing.F) {
	for _, seed := range []string{
		"FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=-1", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
		"FREQ=DAILY;UNTIL=20260101;BYHOUR=1,2", "FREQ=YEARLY;BYYEARDAY=-366", "RRULE:FREQ=DAILY;COUNT=7;WKST=SU",
	} {
		f.Add(seed, int64(1767225600), int64(1900000000))
	}
	f.Fuzz(func(t *testing.T, rule string, start, at int64) {
		const century = 100 * 365 * 24 * 3600
		w := Window{Exception: Exception{ID: "w", Action: detector.Tag}, Duration: Length{Time: time.Hour}}
		if w.Rule.Unpack(rule) != nil {
			return
		}
		w.Start = ClockOf(time.Unix(start%century, 0), time.UTC)
		s, err := w.schedule(time.UTC)
		if err != nil {
			return
		}
		moment := time.Unix(at%century, 0)
		open := s.has(moment)
		require.False(t, moment.Before(s.from) || !moment.Before(s.to))
		again, err := w.schedule(time.UTC)
		require.NoError(t, err)
		again.has(moment.AddDate(-1, 0, 0))
		require.Equal(t, open, again.has(moment))
	})
}

// BenchmarkTenThousandWindows is one match under 10,000 windows, of which 100 are about it, in time that goes on by a
// minute a match.
func BenchmarkTenThousandWindows(b *testing.B) {
	var all []Window
	for i := range 10000 {
		w := windowOf(b, "Europe/Berlin", fmt.Sprintf("2016-01-01T%02d:00", i%24), "1h", "FREQ=DAILY", nil, nil)
		w.ID = fmt.Sprintf("w%d", i)
		w.Conditions = []Condition{{Field: "user.name", Is: Texts{fmt.Sprintf("user%d", i%100)}}}
		all = append(all, *w)
	}
	s, err := New(Items{Windows: all})
	require.NoError(b, err)
	now, match := at, fields{"user.name": "user1"}
	for b.Loop() {
		s.Decide("rule", now, match)
		now = now.Add(time.Minute)
	}
}

// A window that was asked about other moments before, later and earlier ones, answers as one that was never asked.
func TestAWindowRemembersWithoutErring(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for _, rule := range []string{
		"FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=MONTHLY;BYDAY=1TU", "FREQ=DAILY;COUNT=20",
		"FREQ=WEEKLY;UNTIL=20270301T000000Z", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=DAILY;INTERVAL=3;BYHOUR=1,2,14",
	} {
		w := windowOf(t, "Europe/Berlin", "2026-01-05T01:30", "26h", rule, nil, nil)
		asked, err := w.schedule(time.UTC)
		require.NoError(t, err)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, berlin)
		for range 300 {
			now = now.Add(time.Duration(r.IntN(300)-60) * time.Hour / 4)
			if r.IntN(50) == 0 {
				now = now.AddDate(r.IntN(3)-1, 0, 0)
			}
			fresh, err := w.schedule(time.UTC)
			require.NoError(t, err)
			require.Equal(t, fresh.has(now), asked.has(now), "%s at %s", rule, now)
		}
	}
}
