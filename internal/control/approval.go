// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"regexp"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Approval is approved work: an exception with a beginning, when it was created, and an end. `reconbeat approve` writes
// it.
type Approval struct {
	Exception `config:",inline"`
	Ticket    string `config:"ticket"`     // where the work is described
	RevokedBy string `config:"revoked_by"` // who ended it before its time; it expires when they did
}

// KindApproval is what documents call it.
const KindApproval = "approval"

// NewApproval is an approval with the defaults: a permission for some hours teaches nobody.
func NewApproval() Approval { return Approval{Exception: Exception{Action: detector.SkipBoth}} }

// idOfApproval is what the id of an approval may be, because its file has this name.
var idOfApproval = regexp.MustCompile(`^[\pL\pN][\pL\pN._:-]{0,127}$`)

// Check returns everything that is wrong with the approval, each error with the key that it is about.
func (a *Approval) Check() error {
	var wrong mistakes
	if !idOfApproval.MatchString(a.ID) {
		wrong.add("id", "%q is not allowed; it must be letters, digits, -, _, . and :, at most 128", a.ID)
	}
	if a.Expires == "" {
		wrong.add("expires", "is missing; approved work has an end")
	}
	if _, err := time.Parse(time.RFC3339, string(a.Created)); err != nil {
		wrong.add("created", "%q is not allowed; it must be a time such as 2026-01-31T08:00:00Z, when the work begins",
			string(a.Created))
	}
	if a.Ticket == "" {
		wrong.add("ticket", "is missing; it must say where the work is described")
	}
	e := a.Exception
	e.ID = "approval" // whose form is checked above
	return errors.Join(append([]error{e.Check()}, wrong...)...)
}

// begins is when the work does.
func (a *Approval) begins() time.Time {
	t, err := time.Parse(time.RFC3339, string(a.Created))
	if err != nil {
		return time.Time{} // Check has refused it
	}
	return t
}

// End is when an item expires, of a day in a time zone; zero: never.
func (e *Exception) End(zone *time.Location) time.Time {
	end, err := e.Expires.end(zone)
	if err != nil {
		return time.Time{} // Check has refused it
	}
	return end
}
