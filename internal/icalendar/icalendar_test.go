// SPDX-License-Identifier: Apache-2.0

package icalendar

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // on a machine without zoneinfo

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
)

func calendar(lines ...string) string {
	text := "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//y//EN\n" + strings.Join(lines, "\n") + "\nEND:VCALENDAR\n"
	return strings.ReplaceAll(text, "\n", "\r\n")
}

func event(lines ...string) string {
	return "BEGIN:VEVENT\nUID:u1@example.com\nDTSTAMP:20260101T000000Z\nSUMMARY:Patch night\n" +
		strings.Join(lines, "\n") + "\nEND:VEVENT"
}

// lengths is how long windows may last.
var lengths = control.Length{}.Allowed()

// other is an event with another UID.
func other(uid string, lines ...string) string {
	return strings.Replace(event(lines...), "u1@", uid+"@", 1)
}

// TestEventsBecomeWindows compares what is written of a calendar, without the lines that all have in common.
func TestEventsBecomeWindows(t *testing.T) {
	const start = "DTSTART;TZID=Europe/Berlin:20260106T220000\nDTEND;TZID=Europe/Berlin:20260107T020000"
	for _, c := range []struct {
		name  string
		zones Zones
		text  string
		want  []string
		left  string
	}{
		{
			name: "a rule, with dates taken out and added",
			text: calendar(event(start, "RRULE:FREQ=MONTHLY;BYDAY=1TU", "EXDATE;TZID=Europe/Berlin:20260203T220000",
				"EXDATE;VALUE=DATE:20260303", "EXDATE:20260407T200000Z", "RDATE;TZID=Europe/Berlin:20260210T220000",
				"DESCRIPTION:All of us\\nsecond line")),
			want: []string{"comment: All of us", "timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 4h",
				"rrule: FREQ=MONTHLY;BYDAY=1TU", "dates: [2026-02-10T22:00]",
				"except: [2026-02-03T22:00, 2026-03-03, 2026-04-07T22:00]"},
		},
		{
			name: "moved, cancelled, and changed in length",
			text: calendar(event(start, "RRULE:FREQ=WEEKLY"),
				event("RECURRENCE-ID;TZID=Europe/Berlin:20260113T220000", "DTSTART;TZID=Europe/Berlin:20260114T220000",
					"DURATION:PT4H"),
				event("RECURRENCE-ID:20260120T210000Z", "STATUS:CANCELLED", "DTSTART:20260120T210000Z"),
				event("RECURRENCE-ID;TZID=Europe/Berlin:20260127T220000", "DTSTART;TZID=Europe/Berlin:20260127T230000",
					"DURATION:PT1H30M")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 4h", "rrule: FREQ=WEEKLY",
				"dates: [2026-01-14T22:00]", "except: [2026-01-13T22:00, 2026-01-20T22:00, 2026-01-27T22:00]",
				"timezone: Europe/Berlin", "start: 2026-01-27T23:00", "duration: 1h30m"},
		},
		{
			name: "a zone of Windows", text: calendar(event("DTSTART;TZID=\"W. Europe Standard Time\":20260106T220000",
				"DURATION:P1DT2H")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 1d2h"},
		},
		{
			name: "zones that the calendar defines",
			text: calendar("BEGIN:VTIMEZONE\nTZID:Ours\nX-LIC-LOCATION:Europe/Paris\nBEGIN:STANDARD\nDTSTART:19700101T000000",
				"TZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VTIMEZONE\nTZID:Fixed",
				"BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0300\nEND:STANDARD\nEND:VTIMEZONE",
				event("DTSTART;TZID=Ours:20260106T220000", "DURATION:PT1H"),
				strings.Replace(event("DTSTART;TZID=Fixed:20260106T220000", "DURATION:PT1H"), "u1", "u2", 1)),
			want: []string{"timezone: Europe/Paris", "start: 2026-01-06T22:00", "duration: 1h",
				"timezone: Etc/GMT-3", "start: 2026-01-06T22:00", "duration: 1h"},
		},
		{
			name: "a name before the zone's", text: calendar(event("DTSTART;TZID=/example.com/2025/America/Argentina/Salta:"+
				"20260106T220000", "DURATION:PT1H")),
			want: []string{"timezone: America/Argentina/Salta", "start: 2026-01-06T22:00", "duration: 1h"},
		},
		{
			name: "an unknown zone", text: calendar(event("DTSTART;TZID=Ours:20260106T220000", "DURATION:PT1H")),
			left: `"Patch night": DTSTART: the time zone "Ours" is unknown; say which it is by --zone "Ours=Europe/Berlin"`,
		},
		{
			name: "an unknown zone that was named", zones: Zones{Named: map[string]string{"Ours": "Asia/Tokyo"}},
			text: calendar(event("DTSTART;TZID=Ours:20260106T220000", "DURATION:PT1H")),
			want: []string{"timezone: Asia/Tokyo", "start: 2026-01-06T22:00", "duration: 1h"},
		},
		{
			name: "whole days", text: calendar(event("DTSTART;VALUE=DATE:20260328", "DTEND;VALUE=DATE:20260330")),
			want: []string{"start: 2026-03-28", "duration: 2d"},
		},
		{
			name: "a whole day, in a zone", zones: Zones{Floating: "Europe/Berlin"},
			text: calendar(event("DTSTART;VALUE=DATE:20260328", "RRULE:FREQ=YEARLY")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-03-28", "duration: 1d", "rrule: FREQ=YEARLY"},
		},
		{
			name: "by no clock in particular", text: calendar(event("DTSTART:20260106T220000", "DURATION:PT15M")),
			want: []string{"start: 2026-01-06T22:00", "duration: 15m"},
		},
		{
			name: "by UTC's", text: calendar(event("DTSTART:20260106T220000Z", "DTEND:20260106T221500Z")),
			want: []string{"timezone: UTC", "start: 2026-01-06T22:00", "duration: 15m"},
		},
		{
			name: "across a change of the clocks, as long as it is",
			text: calendar(event("DTSTART;TZID=Europe/Berlin:20260328T220000", "DTEND;TZID=Europe/Berlin:20260329T060000")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-03-28T22:00", "duration: 7h"},
		},
		{
			name: "periods", text: calendar(event(start, "RDATE;VALUE=PERIOD;TZID=Europe/Berlin:20260210T220000/PT1H,"+
				"20260211T220000/20260212T020000")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 4h", "dates: [2026-02-11T22:00]",
				"timezone: Europe/Berlin", "start: 2026-02-10T22:00", "duration: 1h"},
		},
		{
			name: "later versions", text: calendar(event(start, "SEQUENCE:2"), event("DTSTART:20200101T000000Z",
				"DURATION:PT1H", "SEQUENCE:1")),
			want: []string{"timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 4h"},
		},
		{
			name: "cancelled", text: calendar(event(start, "STATUS:CANCELLED")), left: `"Patch night": it is cancelled`,
		},
		{
			name: "no time", text: calendar(event("DTSTART:20260106T220000Z")),
			left: `"Patch night": DTEND: is missing, and so is DURATION; it lasts no time`,
		},
		{
			name: "durations that are none", text: calendar(
				event("DTSTART:20260106T220000Z", "DURATION:-PT4H"),
				other("u2", "DTSTART:20260106T220000Z", "DURATION:PT0S"),
				other("u3", "DTSTART:20260106T220000Z", "DURATION:4 hours"),
				other("u4", "DTSTART:20260106T220000Z", "DURATION:P9999D"),
				other("u5", "DTSTART:20260106T220000Z", "DTEND:20260106T210000Z"),
				other("u6", "DTSTART;VALUE=DATE:20260106", "DTEND;VALUE=DATE:20260106"),
				other("u7", "DTSTART:20260106T220000Z", "DURATION:PT1H", "RDATE;VALUE=PERIOD:20260210T220000Z/-PT1H"),
			),
			left: `"Patch night": DURATION: the duration "-PT4H": it ends before it begins; it must be ` + lengths + `
"Patch night": DURATION: the duration "PT0S": it lasts no time; it must be ` + lengths + `
"Patch night": DURATION: the duration "4 hours" is invalid; it must be one such as PT4H or P1D
"Patch night": DURATION: the duration "P9999D": it lasts 9999d; it must be ` + lengths + `
"Patch night": DTEND: it ends before it begins; it must be ` + lengths + `
"Patch night": DTEND: it lasts no time; it must be ` + lengths + `
"Patch night": RDATE: the duration "-PT1H": it ends before it begins; it must be ` + lengths,
		},
		{
			name: "a place of which nobody has heard", text: calendar("BEGIN:VTIMEZONE\nTZID:X\nX-LIC-LOCATION:No/Where\n"+
				"BEGIN:STANDARD\nTZOFFSETTO:+0200\nEND:STANDARD\nEND:VTIMEZONE",
				event("DTSTART;TZID=X:20260106T220000", "DURATION:PT4H")),
			want: []string{"timezone: Etc/GMT-2", "start: 2026-01-06T22:00", "duration: 4h"},
		},
		{
			name: "a rule that is none here", text: calendar(event(start, "RRULE:FREQ=HOURLY")),
			left: `"Patch night": RRULE: FREQ=HOURLY: FREQ may be DAILY, WEEKLY, MONTHLY or YEARLY; several times a day are ` +
				`BYHOUR=8,12,16`,
		},
		{
			name: "all later ones", text: calendar(event(start, "RRULE:FREQ=WEEKLY"),
				event("RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260113T220000", start)),
			want: []string{"timezone: Europe/Berlin", "start: 2026-01-06T22:00", "duration: 4h", "rrule: FREQ=WEEKLY"},
			left: `"Patch night": a change of this and all later occurrences (RANGE) is left out, and the window goes on as ` +
				`before; write them as two windows`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			windows, left, err := Windows(strings.NewReader(c.text), c.zones)
			require.NoError(t, err)
			var said []string
			for _, e := range left {
				said = append(said, e.Error())
			}
			require.Equal(t, c.left, strings.Join(said, "\n"))
			var out bytes.Buffer
			require.NoError(t, config.WriteWindows(&out, windows))
			var lines []string
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- "))
				line = strings.NewReplacer(`"`, "", "'", "").Replace(line)
				if !strings.HasPrefix(line, "id: ") && line != "name: Patch night" && line != "action: tag" && line != "[]" {
					lines = append(lines, line)
				}
			}
			require.Equal(t, c.want, lines)
			require.Equal(t, windows, readBack(t, out.Bytes()))
		})
	}
	_, _, err := Windows(strings.NewReader("BEGIN:VEVENT\n"), Zones{})
	require.ErrorContains(t, err, "reading the calendar")
}

// readBack reads windows that were written.
func readBack(t testing.TB, text []byte) []control.Window {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.yml"), text, 0o600))
	items, err := config.Controls{}.Items(config.ControlFolders{Windows: dir}, time.UTC)
	require.NoError(t, err)
	return items.Windows
}

// TestEveryZoneOfWindowsIsKnown holds that Go's database has each.
func TestEveryZoneOfWindowsIsKnown(t *testing.T) {
	require.Greater(t, len(windowsZones()), 130)
	for name, zone := range windowsZones() {
		_, err := time.LoadLocation(zone)
		require.NoError(t, err, name)
	}
}

// FuzzCalendar takes whatever a file may hold; what becomes of it can be read back.
func FuzzCalendar(f *testing.F) {
	f.Add(calendar(event("DTSTART;TZID=Europe/Berlin:20260106T220000", "DURATION:PT4H", "RRULE:FREQ=MONTHLY;BYDAY=1TU")))
	f.Add(calendar(event("DTSTART;VALUE=DATE:20260328", "EXDATE;VALUE=DATE:20270328", "RRULE:FREQ=YEARLY;COUNT=3")))
	f.Add(calendar(event("DTSTART:20260106T220000Z", "RDATE;VALUE=PERIOD:20260210T220000Z/PT1H")))
	f.Add(calendar("BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nTZOFFSETTO:-0330\nEND:STANDARD\nEND:VTIMEZONE"))
	f.Fuzz(func(t *testing.T, text string) {
		windows, _, err := Windows(strings.NewReader(text), Zones{})
		if err != nil {
			return
		}
		var out bytes.Buffer
		require.NoError(t, config.WriteWindows(&out, windows))
		require.Len(t, readBack(t, out.Bytes()), len(windows))
	})
}
