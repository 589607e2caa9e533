// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/reconbeat/reconbeat/detector"
)

// Exception is an item of a file of exceptions.
type Exception struct {
	ID         string      `config:"id"` // stable, unique
	Name       string      `config:"name"`
	Comment    string      `config:"comment"` // why
	Author     string      `config:"author"`
	Created    Moment      `config:"created"`
	Expires    Moment      `config:"expires"` // from then on it is off; zero: never
	Rules      []string    `config:"rules"`   // ids of those that it is for; empty: all
	Action     string      `config:"action"`
	Conditions []Condition `config:"conditions"` // all must hold
}

// KindException is what documents call an exception.
const KindException = "exception"

// NewException is an exception with the defaults.
func NewException() Exception { return Exception{Action: detector.SkipResult} }

// Moment is a point in time as a person writes it: a day, which ends at its end, or a time in RFC 3339.
type Moment string

// Unpack reads it.
func (m *Moment) Unpack(v any) error {
	if t, ok := v.(time.Time); ok { // an Elastic Agent's policy has a day as its midnight
		v = t.Format(time.RFC3339)
		if isDay(t) {
			v = t.Format(time.DateOnly)
		}
	}
	text, ok := v.(string)
	if *m = Moment(text); !ok {
		return errors.New("no time")
	}
	_, err := m.end(time.UTC)
	return err
}

// isDay reports whether a time is a day as some readers of YAML have it.
func isDay(t time.Time) bool { return t.Equal(t.Truncate(24*time.Hour)) && offsetAt(t) == 0 }

// Allowed says what it may be.
func (Moment) Allowed() string {
	return "a day such as 2026-01-31, or a time such as 2026-01-31T08:00:00Z"
}

// end is the moment, of a day the end in a time zone; zero where there is none.
func (m Moment) end(zone *time.Location) (time.Time, error) {
	if m == "" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, string(m), zone); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, string(m))
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the time %q: %w", string(m), err)
	}
	return t, nil
}

// An id is whatever people can read, as those of Kibana's items are, and no longer than what Elasticsearch indexes of a
// keyword (ignore_above).
var (
	idOfItem  = regexp.MustCompile(`^[^\pC\pZ]([^\pC]*[^\pC\pZ])?$`)
	longestID = 1024
)

// Check returns everything that is wrong with the exception, each error with the key that it is about.
func (e *Exception) Check() error {
	var wrong mistakes
	checkID(e.ID, &wrong)
	checkConditions(e.Conditions, &wrong)
	switch e.Action {
	case detector.SkipResult, detector.SkipModelUpdate, detector.SkipBoth:
	default:
		wrong.add("action", "%q is not allowed; it must be skip_result, skip_model_update or both", e.Action)
	}
	return errors.Join(wrong...)
}

func checkID(id string, wrong *mistakes) {
	if !idOfItem.MatchString(id) || utf8.RuneCountInString(id) > longestID {
		wrong.add("id", "%q is not allowed; it must be 1 to %d characters that can be read, without blanks "+
			"around them", id, longestID)
	}
}

func checkConditions(all []Condition, wrong *mistakes) {
	if len(all) == 0 {
		wrong.add("conditions", "is missing; an item without a condition would hold back everything")
	}
	for i := range all {
		all[i].check(fmt.Sprintf("conditions.%d", i), 1, wrong)
	}
}

// Lists are the names of the lists that the conditions are about, by the paths of the settings.
func (e *Exception) Lists() map[string]string {
	names := map[string]string{}
	var visit func(string, []Condition)
	visit = func(path string, all []Condition) {
		for i := range all {
			at := fmt.Sprintf("%s.%d", path, i)
			if all[i].InList != "" {
				names[at+".in_list"] = all[i].InList
			}
			visit(at+".any", all[i].Any)
			visit(at+".all", all[i].All)
		}
	}
	visit("conditions", e.Conditions)
	return names
}
