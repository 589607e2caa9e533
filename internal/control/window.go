// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Window is an item of a file of windows: an exception that holds at certain times, which may recur. They are by the
// clocks of a time zone, summer time included.
type Window struct {
	Exception `config:",inline"`
	Timezone  string     `config:"timezone"` // an IANA name; empty: of days that are written without one
	Start     Clock      `config:"start"`    // of the first occurrence
	Duration  Length     `config:"duration"` // of each
	Rule      Recurrence `config:"rrule"`    // further ones
	Dates     []Clock    `config:"dates"`    // starts of single ones beside those
	Except    []Clock    `config:"except"`   // starts of those that do not take place, or days on which none does
}

// KindWindow is what documents call a window.
const KindWindow = "window"

// NewWindow is a window with the defaults.
func NewWindow() Window { return Window{Exception: Exception{Action: detector.Tag}} }

// Check returns everything that is wrong with the window, each error with the key that it is about.
func (w *Window) Check() error {
	var wrong mistakes
	checkID(w.ID, &wrong)
	switch w.Action {
	case detector.SkipResult, detector.SkipModelUpdate, detector.SkipBoth:
		checkConditions(w.Conditions, &wrong)
	case detector.Tag: // holds nothing back, and may be about every match
		if len(w.Conditions) > 0 {
			checkConditions(w.Conditions, &wrong)
		}
	default:
		wrong.add("action", "%q is not allowed; it must be tag, skip_result, skip_model_update or both", w.Action)
	}
	if w.Duration == (Length{}) {
		wrong.add("duration", "is missing; it must be %s", w.Duration.Allowed())
	}
	if w.Start.IsZero() && (len(w.Dates) == 0 || w.Rule.text != "") {
		wrong.add("start", "is missing; it must be %s", w.Start.Allowed())
	}
	if _, err := w.schedule(time.UTC); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// firstYear is the earliest in which a window may begin: the library for rules fails before year 1, and nothing that is
// watched is older than this.
const firstYear = 1970

// schedule is when it holds; zone is where its times are without a time zone.
func (w *Window) schedule(zone *time.Location) (*schedule, error) {
	if w.Timezone != "" {
		var err error
		if zone, err = time.LoadLocation(w.Timezone); err != nil || w.Timezone == "Local" {
			return nil, fmt.Errorf("timezone: %q is not allowed; it must be an IANA time zone such as Europe/Berlin",
				w.Timezone)
		}
	}
	if !w.Start.IsZero() && w.Start.Year() < firstYear {
		return nil, fmt.Errorf("start: %s is not allowed; it must be in %d or later", w.Start, firstYear)
	}
	s := &schedule{zone: zone, length: w.Duration, recurs: w.Rule.text != "", except: map[Clock]bool{}}
	for _, c := range w.Dates {
		s.singles = append(s.singles, Clock{Time: c.Time})
	}
	for _, c := range w.Except {
		s.except[c] = true
	}
	switch {
	case w.Start.IsZero():
	case !s.recurs:
		s.singles = append(s.singles, Clock{Time: w.Start.Time})
	default:
		var err error
		if s.rule, err = w.Rule.starting(w.Start, zone); err != nil {
			return nil, fmt.Errorf("rrule: %q is not allowed: %w", w.Rule, err)
		}
	}
	return s, nil
}
