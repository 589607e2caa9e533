// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// Clock is what a clock on the wall shows, without a time zone, as a person writes it: a day, which begins at midnight,
// or a day and a time. The location of its Time is UTC and means nothing, so that it can be counted with: on the wall
// each day has 24 hours.
type Clock struct {
	time.Time
	Day bool // it is the whole day
}

// The forms of a Clock; the first ones are how it is written.
var clockForms = []string{
	"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly, "2006-01-02 15:04", "2006-01-02 15:04:05", fleets,
}

// fleets is how Fleet hands on a day or a time that stands in a policy's YAML without quotes: as what a clock in UTC
// would show, a day as its midnight.
const fleets = "2006-01-02T15:04:05.000Z"

// Unpack reads it.
func (c *Clock) Unpack(v any) (err error) {
	text, _ := textOf(v)
	if t, ok := v.(time.Time); ok && isDay(t) { // an Elastic Agent's policy has a day as its midnight
		text = t.Format(time.DateOnly)
	}
	for _, form := range clockForms {
		if c.Time, err = time.Parse(form, text); err == nil {
			c.Day = form == time.DateOnly || form == fleets && isDay(c.Time)
			return nil
		}
	}
	return fmt.Errorf("reading the time %q: %w", text, err)
}

// Allowed says what it may be.
func (Clock) Allowed() string {
	return "a day such as 2026-01-31, or a day and a time such as 2026-01-31T22:00; its time zone is timezone"
}

// String writes it as it is read.
func (c Clock) String() string {
	switch {
	case c.Day:
		return c.Format(time.DateOnly)
	case c.Second() != 0:
		return c.Format(clockForms[1])
	}
	return c.Format(clockForms[0])
}

// At is the moment at which the clocks of a zone show it, as RFC 5545 has it. Where they show it twice, as in the night
// in which summer time ends, it is the first of the two. Where they never show it, because they are put forward, it is
// the moment at which they would have shown it.
func (c Clock) At(zone *time.Location) time.Time {
	near := time.Date(c.Year(), c.Month(), c.Time.Day(), c.Hour(), c.Minute(), c.Second(), 0, zone)
	with := func(offset int) time.Time { return c.Add(-time.Duration(offset) * time.Second).In(zone) }
	begin, end := near.ZoneBounds()
	offsets := []int{offsetAt(near)}
	for _, change := range []time.Time{begin, end} {
		if change.IsZero() {
			continue
		}
		before, after := offsetAt(change.Add(-1)), offsetAt(change)
		if late := with(before); !late.Before(change) && with(after).Before(change) {
			return late // put forward
		}
		offsets = append(offsets, before, after)
	}
	slices.Sort(offsets)
	for _, offset := range slices.Backward(offsets) { // the greater it is, the earlier is the moment
		if at := with(offset); offsetAt(at) == offset {
			return at
		}
	}
	return near
}

func offsetAt(t time.Time) int { _, offset := t.Zone(); return offset }

// ClockOf is what the clocks of a zone show at a moment.
func ClockOf(t time.Time, zone *time.Location) Clock {
	t = t.In(zone)
	return Clock{Time: time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)}
}

// Length is how long an occurrence lasts: days, at whose end the clocks show the same time again, and then a time that
// goes by.
type Length struct {
	Days int
	Time time.Duration
}

var days = regexp.MustCompile(`^(\d{1,3})d`)

// Unpack reads it.
func (l *Length) Unpack(v any) (err error) {
	text, _ := textOf(v)
	*l = Length{}
	rest := text
	if m := days.FindStringSubmatch(text); m != nil {
		l.Days, _ = strconv.Atoi(m[1]) // three digits
		rest = text[len(m[0]):]
	}
	if rest != "" {
		if l.Time, err = time.ParseDuration(rest); err != nil {
			return fmt.Errorf("reading the duration %q: %w", text, err)
		}
	}
	return l.Check()
}

// Check reports a duration that is too short or too long.
func (l Length) Check() error {
	whole := l.Time + time.Duration(l.Days)*24*time.Hour
	switch {
	case l == Length{}:
		return fmt.Errorf("it lasts no time; it must be %s", l.Allowed())
	case l.Time < 0 || l.Days < 0:
		return fmt.Errorf("it ends before it begins; it must be %s", l.Allowed())
	case l.Time > longest || whole > longest || whole < time.Second:
		return fmt.Errorf("it lasts %s; it must be %s", cmp.Or(l.String(), l.Time.String()), l.Allowed())
	}
	return nil
}

// longest is how long an occurrence may last.
const longest = 366 * 24 * time.Hour

// Allowed says what it may be.
func (Length) Allowed() string { return "a duration from 1s to 366d, such as 90m, 1d or 1d12h" }

// String writes it as it is read.
func (l Length) String() string {
	text := ""
	for _, part := range []struct {
		n    int
		unit string
	}{
		{l.Days, "d"}, {int(l.Time / time.Hour), "h"}, {int(l.Time / time.Minute % 60), "m"},
		{int(l.Time / time.Second % 60), "s"},
	} {
		if part.n > 0 {
			text += strconv.Itoa(part.n) + part.unit
		}
	}
	return text
}

// Recurrence is a rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=SU. The zero Recurrence is none.
type Recurrence struct{ text string }

// Bounds of a rule, so that finding the next occurrence takes microseconds, and counting them no more than a second.
const (
	mostADay      = 96
	mostIntervals = 1000
	mostCounted   = 10000
)

var wholeDay = regexp.MustCompile(`UNTIL=\d{8}(;|$)`)

// Unpack reads it.
func (r *Recurrence) Unpack(v any) error {
	text, ok := textOf(v)
	if !ok || strings.TrimSpace(text) == "" {
		return errors.New("no rule")
	}
	*r = Recurrence{text: strings.ToUpper(strings.TrimPrefix(strings.TrimSpace(text), "RRULE:"))}
	_, err := r.parse(time.UTC)
	return err
}

// Allowed says what it may be.
func (Recurrence) Allowed() string {
	return "a rule of RFC 5545 such as FREQ=WEEKLY;BYDAY=SU, with FREQ DAILY, WEEKLY, MONTHLY or YEARLY"
}

// String is the rule as it was written.
func (r Recurrence) String() string { return r.text }

// parse reads the rule; the end that it has is by the clocks of a zone.
func (r *Recurrence) parse(zone *time.Location) (o rrule.ROption, err error) {
	if r.text == "" {
		return o, nil
	}
	parsed, err := rrule.StrToROptionInLocation(r.text, zone)
	if err != nil {
		return o, fmt.Errorf("reading the rule: %w", err)
	}
	o = *parsed
	if !o.Dtstart.IsZero() || len(o.Byeaster) > 0 {
		return o, fmt.Errorf("DTSTART and BYEASTER are no part of a rule")
	}
	if o.Freq > rrule.DAILY {
		return o, fmt.Errorf("FREQ may be DAILY, WEEKLY, MONTHLY or YEARLY; several times a day are BYHOUR=8,12,16")
	}
	if o.Interval > mostIntervals || o.Count > mostCounted || o.Interval < 0 || o.Count < 0 {
		return o, fmt.Errorf("INTERVAL may be at most %d, and COUNT %d", mostIntervals, mostCounted)
	}
	times := max(1, len(o.Byhour)) * max(1, len(o.Byminute)) * max(1, len(o.Bysecond))
	if times > mostADay {
		return o, fmt.Errorf("BYHOUR, BYMINUTE and BYSECOND are %d times a day; they may be %d", times, mostADay)
	}
	for _, d := range o.Byweekday { // rrule-go looks for the 53rd Monday of a month outside of its tables
		if n := d.N(); o.Freq > rrule.MONTHLY && n != 0 || n > 53 || n < -53 ||
			(n > 5 || n < -5) && (o.Freq == rrule.MONTHLY || len(o.Bymonth) > 0) {
			return o, fmt.Errorf("BYDAY has %s, which there is not", d)
		}
	}
	if !o.Until.IsZero() {
		until := ClockOf(o.Until, zone).Time
		if wholeDay.MatchString(r.text) {
			until = until.Add(24*time.Hour - time.Second)
		}
		o.Until = until
	}
	if _, err := rrule.NewRRule(o); err != nil {
		return o, fmt.Errorf("reading the rule: %w", err)
	}
	return o, nil
}

// starting completes the rule with what it leaves to its first occurrence, and counts its occurrences where it says how
// many there are, so that one may begin to look for them anywhere.
func (r *Recurrence) starting(first Clock, zone *time.Location) (o rrule.ROption, err error) {
	if o, err = r.parse(zone); err != nil || r.text == "" {
		return o, err
	}
	o.Dtstart, o.Interval = first.Time, max(1, o.Interval)
	fill := func(to *[]int, n int) {
		if len(*to) == 0 {
			*to = []int{n}
		}
	}
	fill(&o.Byhour, first.Hour())
	fill(&o.Byminute, first.Minute())
	fill(&o.Bysecond, first.Second())
	rule, err := rrule.NewRRule(o)
	if err != nil {
		return o, fmt.Errorf("reading the rule: %w", err)
	}
	o = rule.Options // which has the weekday, the day of the month or the month of the first occurrence
	next := rule.Iterator()
	last, ok := next()
	if !ok {
		return o, fmt.Errorf("it never occurs from %s on", first)
	}
	if o.Count > 0 {
		for at, ok := next(); ok; at, ok = next() {
			last = at
		}
		o.Count, o.Until = 0, last
	}
	return o, nil
}

// schedule is when a window holds. It remembers the last answer and from when to when that is the answer, so that most
// questions are two comparisons. It belongs to one goroutine.
type schedule struct {
	zone    *time.Location
	length  Length
	rule    rrule.ROption // zero: none
	recurs  bool
	singles []Clock        // in order
	except  map[Clock]bool // an occurrence, or all of a day

	from, to time.Time // between which the answer is
	open     bool
	ahead    ahead
}

// has reports whether an occurrence covers a moment.
func (s *schedule) has(at time.Time) bool {
	if at.Before(s.from) || !at.Before(s.to) {
		s.find(at)
	}
	return s.open
}

// unmet are the exceptions that none of its times is.
func (s *schedule) unmet() (all []Clock) {
	for c := range s.except {
		day := c.Truncate(24 * time.Hour)
		is := func(start time.Time) bool {
			return start.Equal(c.Time) || c.Day && start.Truncate(24*time.Hour).Equal(day)
		}
		met := slices.ContainsFunc(s.singles, func(one Clock) bool { return is(one.Time) })
		if s.recurs && !met {
			next := s.near(day)
			for start, ok := next(); ok && !met && !start.After(day.Add(24*time.Hour)); start, ok = next() {
				met = is(start)
			}
		}
		if !met {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Clock) int { return a.Compare(b.Time) })
	return all
}

// slack is more than clocks were ever changed by at once.
const slack = 26 * time.Hour

// find looks for the occurrences around a moment: those that may still last a day before it, and the next one.
func (s *schedule) find(at time.Time) {
	s.open, s.from, s.to = false, at.Add(-24*time.Hour), at.Add(longest)
	consider := func(start Clock) time.Time {
		begin := start.At(s.zone)
		if s.except[Clock{Time: start.Time}] || s.except[Clock{Time: start.Truncate(24 * time.Hour), Day: true}] {
			return begin
		}
		end := begin
		if s.length.Days > 0 {
			end = Clock{Time: start.AddDate(0, 0, s.length.Days)}.At(s.zone)
		}
		end = end.Add(s.length.Time)
		s.open = s.open || !at.Before(begin) && at.Before(end)
		for _, edge := range []time.Time{begin, end} {
			if edge.After(at) && edge.Before(s.to) {
				s.to = edge
			} else if !edge.After(at) && edge.After(s.from) {
				s.from = edge
			}
		}
		return begin
	}
	for _, one := range s.singles {
		consider(one)
	}
	if !s.recurs {
		return
	}
	lasts := time.Duration(s.length.Days)*24*time.Hour + s.length.Time
	low := ClockOf(at, s.zone).Add(-lasts - 24*time.Hour - slack)
	if !s.ahead.cover(low, at.Add(slack), s.zone) {
		s.ahead = s.readAhead(low, at.Add(slack))
	}
	first, _ := slices.BinarySearchFunc(s.ahead.starts, low, time.Time.Compare)
	for _, start := range s.ahead.starts[first:] {
		if consider(Clock{Time: start}).After(at.Add(slack)) {
			break
		}
	}
}

// ahead are occurrences of a rule, read in advance: the library takes as long for the first as for the next hundred.
type ahead struct {
	low    time.Time   // on the clock of the window: none that begins later is missing, up to the last one
	starts []time.Time // in order, on that clock
	all    bool        // the rule has none after the last one
}

// How many occurrences are read beyond those that are asked for, and how far: a rule may have one in a century.
const (
	farther  = 16
	farthest = 366 * 24 * time.Hour
)

// cover reports whether the occurrences reach from a time on the window's clock to one that begins after a moment.
func (a *ahead) cover(low, until time.Time, zone *time.Location) bool {
	return !a.low.IsZero() && !low.Before(a.low) &&
		(a.all || Clock{Time: a.starts[len(a.starts)-1]}.At(zone).After(until))
}

// readAhead reads the occurrences from a time on, until one begins after a moment, and some more.
func (s *schedule) readAhead(low, until time.Time) ahead {
	a := ahead{low: low}
	next := s.near(low)
	for beyond := 0; beyond <= farther; {
		start, ok := next()
		if !ok {
			a.all = true
			break
		}
		if start.Before(low) {
			continue
		}
		a.starts = append(a.starts, start)
		if begin := (Clock{Time: start}).At(s.zone); begin.After(until) {
			if beyond++; begin.Sub(until) > farthest {
				break
			}
		}
	}
	return a
}

// near are the occurrences of the rule from a time on, and perhaps some before.
func (s *schedule) near(wall time.Time) rrule.Next {
	o := s.rule
	if wall.After(o.Dtstart) {
		y, m, d := o.Dtstart.Date()
		first := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		// One interval before the time is early enough.
		skip := func(passed int) int { return max(0, passed/o.Interval-1) * o.Interval }
		months := (wall.Year()-y)*12 + int(wall.Month()-m)
		gone := int(wall.Sub(first) / (24 * time.Hour))
		switch o.Freq {
		case rrule.YEARLY:
			if n := skip(wall.Year() - y); n > 0 {
				o.Dtstart = time.Date(y+n, time.January, 1, 0, 0, 0, 0, time.UTC)
			}
		case rrule.MONTHLY:
			if n := skip(months); n > 0 {
				o.Dtstart = time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
			}
		case rrule.WEEKLY:
			if n := skip(gone / 7); n > 0 {
				o.Dtstart = first.AddDate(0, 0, 7*n)
			}
		default:
			if n := skip(gone); n > 0 {
				o.Dtstart = first.AddDate(0, 0, n)
			}
		}
	}
	rule, err := rrule.NewRRule(o)
	if err != nil {
		return func() (time.Time, bool) { return time.Time{}, false } // starting has refused it
	}
	return rule.Iterator()
}
