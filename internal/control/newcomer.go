// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector"
)

// Newcomer is an item of a file of onboarding: people who are in a grace period. What they do is learned and raises no
// alert.
type Newcomer struct {
	Exception `config:",inline"`
	Users     Texts `config:"users"`  // names of actors
	Groups    Texts `config:"groups"` // names of groups of the account that runs, real or effective
	Days      int   `config:"days"`   // since the actor was first seen on the host; 0: until it expires
}

// KindOnboarding is what documents call it.
const KindOnboarding = "onboarding"

// longestGrace is for how many days somebody may be new.
const longestGrace = 365

// NewNewcomer is an item of onboarding with the defaults.
func NewNewcomer() Newcomer { return Newcomer{Exception: Exception{Action: detector.Welcome}} }

// Check returns everything that is wrong with the item, each error with the key that it is about.
func (n *Newcomer) Check() error {
	var wrong mistakes
	checkID(n.ID, &wrong)
	if n.Action != detector.Welcome {
		wrong.add("action", "%q is not allowed; it must be %s", n.Action, detector.Welcome)
	}
	if n.Days < 0 || n.Days > longestGrace {
		wrong.add("days", "%d is not allowed; it must be 1 to %d, or 0 for none", n.Days, longestGrace)
	}
	if n.Days == 0 && n.Expires == "" {
		wrong.add("days", "is missing, and so is expires; one of them must end the grace period")
	}
	if len(n.Users)+len(n.Groups)+len(n.Conditions) == 0 {
		wrong.add("users", "is missing, and so are groups and conditions; one of them must say who is new")
	}
	for _, list := range []struct {
		key   string
		names Texts
	}{{"users", n.Users}, {"groups", n.Groups}} {
		if slices.Contains(list.names, "") {
			wrong.add(list.key, `"" is not allowed; it must be a name, or a list of them`)
		}
		for _, name := range list.names {
			if strings.ContainsAny(name, "*?") {
				wrong.add(list.key, "%q is not allowed; it must be a name. A pattern is a condition with matches", name)
			}
		}
	}
	if len(n.Conditions) > 0 {
		checkConditions(n.Conditions, &wrong)
	}
	return errors.Join(wrong...)
}

// who are the conditions of a match of the newcomers.
func (n *Newcomer) who() []Condition {
	var people []Condition
	if len(n.Users) > 0 {
		people = append(people, Condition{Field: "reconbeat.actor.name", IsOneOf: n.Users})
	}
	if len(n.Groups) > 0 {
		people = append(people, Condition{Field: "user.group.name", IsOneOf: n.Groups},
			Condition{Field: "user.effective.group.name", IsOneOf: n.Groups})
	}
	switch len(people) {
	case 0:
		return n.Conditions
	case 1:
		return append(people, n.Conditions...)
	}
	return append([]Condition{{Any: people}}, n.Conditions...)
}

// grace is how long somebody is new; 0: until the item expires.
func (n *Newcomer) grace() time.Duration { return time.Duration(n.Days) * 24 * time.Hour }

// meaning says what the item does with which matches.
func (n *Newcomer) meaning() string {
	e, when := n.Exception, ""
	e.Conditions = n.who()
	if n.Days > 0 {
		when = fmt.Sprintf(" for %d days from when the actor was first seen", n.Days)
	}
	return e.meaning(when)
}
