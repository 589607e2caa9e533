// SPDX-License-Identifier: Apache-2.0

// Package icalendar makes windows of the events of a calendar (RFC 5545): each with its rule, the dates added to it,
// the dates taken out, and those that were moved or cancelled.
package icalendar

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/reconbeat/reconbeat/internal/control"
)

// Zones resolve the names of time zones.
type Zones struct {
	Floating string            // of times without a zone, and of whole days; empty: the window leaves it open
	Named    map[string]string // IANA names by names that are neither IANA's nor Windows'
}

// Windows reads a calendar. What cannot be a window is left out and said, each with its event.
func Windows(r io.Reader, zones Zones) (windows []control.Window, left []error, err error) {
	calendar, err := ics.ParseCalendarWithOptions(r, ics.WithUnknownPropertyHandler(ics.AcceptUnknownPropertyHandler))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the calendar: %w", err)
	}
	c := reader{zones: zones, aliases: map[string]string{}}
	for _, z := range calendar.Timezones() {
		c.alias(z)
	}
	var order []string
	events := map[string][]*ics.VEvent{} // by UID; the first is the one that the others change
	for i, e := range calendar.Events() {
		id := cmp.Or(text(&e.ComponentBase, ics.ComponentPropertyUniqueId), fmt.Sprint("event ", i+1))
		if events[id] == nil {
			order = append(order, id)
		}
		events[id] = append(events[id], e)
	}
	for _, id := range order {
		made, errs := c.windows(id, events[id])
		windows = append(windows, made...)
		left = append(left, errs...)
	}
	return windows, left, nil
}

// reader makes windows of events.
type reader struct {
	zones   Zones
	aliases map[string]string // what the calendar itself says of its time zones
}

func text(c *ics.ComponentBase, name ics.ComponentProperty) string {
	if p := c.GetProperty(name); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

// alias remembers what a calendar says of a time zone that it defines: its IANA name, or that it has one offset.
func (c *reader) alias(z *ics.VTimezone) {
	id := text(&z.ComponentBase, ics.ComponentPropertyTzid)
	if name := text(&z.ComponentBase, "X-LIC-LOCATION"); name != "" {
		if _, err := time.LoadLocation(name); err == nil {
			c.aliases[id] = name
			return
		}
	}
	offsets := map[string]bool{}
	for _, part := range z.Components {
		for _, p := range part.UnknownPropertiesIANAProperties() {
			if p.IANAToken == "TZOFFSETTO" {
				offsets[p.Value] = true
			}
		}
	}
	for offset := range offsets {
		if m := wholeHours.FindStringSubmatch(offset); m != nil && len(offsets) == 1 {
			hours, _ := strconv.Atoi(m[2]) // two digits
			sign := map[string]string{"+": "-", "-": "+"}[m[1]]
			if c.aliases[id] = "Etc/GMT" + sign + strconv.Itoa(hours); hours == 0 {
				c.aliases[id] = "UTC"
			}
		}
	}
}

var wholeHours = regexp.MustCompile(`^([+-])(\d\d)00$`)

// zone is a time zone by a name in a calendar.
func (c *reader) zone(name string) (*time.Location, error) {
	name = strings.Trim(name, `"`)
	candidates := []string{c.zones.Named[name], name, windowsZones()[strings.ToLower(name)], c.aliases[name]}
	// Some calendars put something of their own before the name, such as /example.com/20250101/Europe/Berlin.
	parts := strings.Split(name, "/")
	for i := 1; i < len(parts); i++ {
		candidates = append(candidates, strings.Join(parts[i:], "/"))
	}
	for _, n := range candidates {
		if n == "" || n == "Local" {
			continue
		}
		if z, err := time.LoadLocation(n); err == nil {
			return z, nil
		}
	}
	return nil, fmt.Errorf("the time zone %q is unknown; say which it is by --zone %q", name, name+"=Europe/Berlin")
}

// moment is a time of a calendar. Its zone is nil where it has none, as of whole days.
type moment struct {
	control.Clock
	zone *time.Location
}

// when is the moment by the clocks of a window.
func (m moment) when(zone *time.Location) control.Clock {
	if m.zone == nil || m.Day || m.zone.String() == zone.String() {
		return m.Clock
	}
	return control.ClockOf(m.At(m.zone), zone)
}

const (
	dayForm  = "20060102"
	timeForm = "20060102T150405"
)

// moments are the times of a property, which may list several. Of periods, it is their beginnings and lengths.
func (c *reader) moments(p *ics.IANAProperty) (all []moment, lengths []control.Length, err error) {
	for one := range strings.SplitSeq(p.Value, ",") {
		begin, end, period := strings.Cut(strings.TrimSpace(one), "/")
		m, err := c.moment(begin, p.ICalParameters["TZID"])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.IANAToken, err)
		}
		var length control.Length
		switch {
		case !period:
		case strings.HasPrefix(strings.TrimLeft(end, "+-"), "P"):
			length, err = duration(end)
		default:
			var until moment
			if until, err = c.moment(end, p.ICalParameters["TZID"]); err == nil {
				length, err = between(m, until)
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.IANAToken, err)
		}
		all, lengths = append(all, m), append(lengths, length)
	}
	return all, lengths, nil
}

func (c *reader) moment(text string, zone []string) (m moment, err error) {
	switch {
	case len(text) == len(dayForm):
		m.Day = true
		if m.Time, err = time.Parse(dayForm, text); err != nil {
			return m, fmt.Errorf("the day %q is invalid", text)
		}
		return m, nil
	case strings.HasSuffix(text, "Z"):
		m.zone = time.UTC
	case len(zone) > 0:
		if m.zone, err = c.zone(zone[0]); err != nil {
			return m, err
		}
	}
	if m.Time, err = time.Parse(timeForm, strings.TrimSuffix(text, "Z")); err != nil {
		return m, fmt.Errorf("the time %q is invalid", text)
	}
	return m, nil
}

// between is how long it is from one moment to another: days of whole days, else the time that goes by.
func between(begin, end moment) (l control.Length, err error) {
	if begin.Day {
		l.Days = int(end.Sub(begin.Time) / (24 * time.Hour))
		return l, l.Check()
	}
	from, to := cmp.Or(begin.zone, time.UTC), cmp.Or(end.zone, begin.zone, time.UTC)
	l.Time = end.At(to).Sub(begin.At(from))
	return l, l.Check()
}

var durationForm = regexp.MustCompile(
	`^([+-]?)P(?:(\d{1,3})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?$`)

func duration(text string) (l control.Length, err error) {
	m := durationForm.FindStringSubmatch(text)
	if m == nil {
		return l, fmt.Errorf("the duration %q is invalid; it must be one such as PT4H or P1D", text)
	}
	var n [5]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+2]) // digits, or none
	}
	l.Days = 7*n[0] + n[1]
	l.Time = time.Duration(n[2])*time.Hour + time.Duration(n[3])*time.Minute + time.Duration(n[4])*time.Second
	if m[1] == "-" {
		l.Days, l.Time = -l.Days, -l.Time
	}
	if err := l.Check(); err != nil {
		return l, fmt.Errorf("the duration %q: %w", text, err)
	}
	return l, nil
}

// windows are the windows of the events of one UID.
func (c *reader) windows(uid string, events []*ics.VEvent) (all []control.Window, left []error) {
	say := func(e *ics.VEvent, err error) {
		name := cmp.Or(text(&e.ComponentBase, ics.ComponentPropertySummary), uid)
		left = append(left, fmt.Errorf("%q: %w", name, err))
	}
	var main *ics.VEvent
	var changes []*ics.VEvent
	for _, e := range events {
		switch {
		case e.HasProperty(ics.ComponentPropertyRecurrenceId):
			changes = append(changes, e)
		case main == nil || sequence(e) >= sequence(main):
			main = e
		}
	}
	var whole *control.Window
	var zone *time.Location
	if main != nil && !cancelled(main) {
		w, z, more, err := c.window(uid, main)
		if err != nil {
			say(main, err)
			return nil, left
		}
		zone, whole, all = z, &w, append([]control.Window{w}, more...)
	} else if main != nil {
		say(main, errors.New("it is cancelled"))
		return nil, left
	}
	for _, e := range latest(changes) {
		replaced, _, err := c.moments(e.GetProperty(ics.ComponentPropertyRecurrenceId))
		if err == nil && len(e.GetProperty(ics.ComponentPropertyRecurrenceId).ICalParameters["RANGE"]) > 0 {
			err = errors.New("a change of this and all later occurrences (RANGE) is left out, and the window goes " +
				"on as before; write them as two windows")
		}
		if err != nil {
			say(e, err)
			continue
		}
		at := replaced[0]
		if whole != nil {
			whole.Except = append(whole.Except, at.when(zone))
		}
		if cancelled(e) {
			continue
		}
		w, _, more, err := c.window(uid+" "+at.String(), e)
		if err != nil {
			say(e, err)
			continue
		}
		if whole != nil && len(more) == 0 && w.Timezone == whole.Timezone && w.Duration == whole.Duration {
			whole.Dates = append(whole.Dates, w.Start)
			continue
		}
		all = append(append(all, w), more...)
	}
	if whole != nil {
		all[0] = *whole
	}
	return all, left
}

func sequence(e *ics.VEvent) int {
	n, _ := strconv.Atoi(text(&e.ComponentBase, ics.ComponentPropertySequence)) // 0 where there is none
	return n
}

func cancelled(e *ics.VEvent) bool {
	return strings.EqualFold(text(&e.ComponentBase, ics.ComponentPropertyStatus), "CANCELLED")
}

// latest are the changes of which there is none later of the same occurrence.
func latest(changes []*ics.VEvent) (kept []*ics.VEvent) {
	id := func(e *ics.VEvent) string { return text(&e.ComponentBase, ics.ComponentPropertyRecurrenceId) }
	for _, e := range changes {
		i := slices.IndexFunc(kept, func(k *ics.VEvent) bool { return id(k) == id(e) })
		switch {
		case i < 0:
			kept = append(kept, e)
		case sequence(e) >= sequence(kept[i]):
			kept[i] = e
		}
	}
	return kept
}

// window makes the window of an event. more are those of dates that last longer or shorter than the others.
func (c *reader) window(
	uid string, e *ics.VEvent,
) (w control.Window, zone *time.Location, more []control.Window, err error) {
	w = control.NewWindow()
	w.Name = oneLine(text(&e.ComponentBase, ics.ComponentPropertySummary), 100)
	w.Comment = oneLine(text(&e.ComponentBase, ics.ComponentPropertyDescription), 200)
	w.ID = idOf(w.Name, uid)
	start := e.GetProperty(ics.ComponentPropertyDtStart)
	if start == nil {
		return w, nil, nil, errors.New("DTSTART: is missing")
	}
	begins, _, err := c.moments(start)
	if err != nil {
		return w, nil, nil, err
	}
	begin := begins[0]
	w.Start, w.Timezone, zone = begin.Clock, c.zones.Floating, time.UTC
	if begin.zone != nil {
		w.Timezone = begin.zone.String()
	}
	if w.Timezone != "" {
		if zone, err = time.LoadLocation(w.Timezone); err != nil {
			return w, nil, nil, fmt.Errorf("the time zone %q: %w", w.Timezone, err)
		}
	}
	if w.Duration, err = c.length(e, begin); err != nil {
		return w, zone, nil, err
	}
	if e.HasProperty(ics.ComponentPropertyExrule) {
		return w, zone, nil, errors.New("EXRULE: is no part of RFC 5545; write the days as EXDATE")
	}
	rules := e.GetProperties(ics.ComponentPropertyRrule)
	if len(rules) > 1 {
		return w, zone, nil, errors.New("RRULE: there are several; an event may have one")
	}
	for _, p := range rules {
		if err := w.Rule.Unpack(p.Value); err != nil {
			return w, zone, nil, fmt.Errorf("RRULE: %s: %w", p.Value, err)
		}
	}
	for _, p := range e.GetProperties(ics.ComponentPropertyExdate) {
		days, _, err := c.moments(p)
		if err != nil {
			return w, zone, nil, err
		}
		for _, m := range days {
			w.Except = append(w.Except, m.when(zone))
		}
	}
	for _, p := range e.GetProperties(ics.ComponentPropertyRdate) {
		dates, lengths, err := c.moments(p)
		if err != nil {
			return w, zone, nil, err
		}
		for i, m := range dates {
			if lengths[i] == (control.Length{}) || lengths[i] == w.Duration {
				w.Dates = append(w.Dates, m.when(zone))
				continue
			}
			other := control.NewWindow()
			other.ID, other.Name, other.Comment = idOf(w.Name, uid+" "+m.String()), w.Name, w.Comment
			other.Timezone, other.Start, other.Duration = w.Timezone, m.when(zone), lengths[i]
			more = append(more, other)
		}
	}
	return w, zone, more, w.Check()
}

// length is how long an event lasts.
func (c *reader) length(e *ics.VEvent, begin moment) (control.Length, error) {
	if p := e.GetProperty(ics.ComponentPropertyDtEnd); p != nil {
		ends, _, err := c.moments(p)
		if err != nil {
			return control.Length{}, err
		}
		l, err := between(begin, ends[0])
		if err != nil {
			return l, fmt.Errorf("DTEND: %w", err)
		}
		return l, nil
	}
	if d := text(&e.ComponentBase, ics.ComponentPropertyDuration); d != "" {
		l, err := duration(d)
		if err != nil {
			return l, fmt.Errorf("DURATION: %w", err)
		}
		return l, nil
	}
	if begin.Day {
		return control.Length{Days: 1}, nil
	}
	return control.Length{}, errors.New("DTEND: is missing, and so is DURATION; it lasts no time")
}

// oneLine is the first line of a text that has one, cut.
func oneLine(s string, most int) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

var noID = regexp.MustCompile(`[^\pL\pN]+`)

// idOf is an id that is the same at each import: the name for people, and of the UID what makes it unique.
func idOf(name, uid string) string {
	sum := sha256.Sum256([]byte(uid))
	words := strings.Trim(noID.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if r := []rune(words); len(r) > 40 {
		words = strings.TrimRight(string(r[:40]), "-")
	}
	return cmp.Or(words, "window") + "-" + hex.EncodeToString(sum[:4])
}
