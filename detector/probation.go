// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
)

// Habit is when a context that an actor was alerted for becomes theirs: it was seen on at least Days different days,
// over at least Span. Until then the actor is on probation in this context.
type Habit struct {
	Days int           `json:"days"`
	Span time.Duration `json:"span"`
}

// probation is what an alert leaves behind: the context that made it. Further matches in it raise no second alert: they
// are in summaries, and teach once a day only. It ends when the context is a habit, or was away for forgetAfter. Then
// it alerts again, because an actor who was new in it is forgotten with it.
type probation struct {
	AlertID string         `json:"alert_id"`
	Band    int            `json:"band"`
	Values  []unusualValue `json:"values"`
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`
	Days    int            `json:"days"`          // on how many days the context was seen
	New     bool           `json:"new,omitempty"` // the actor was
	// Account: so was the account, a person's. Then the context is the account, on a terminal or without one.
	Account bool `json:"account,omitempty"`
	// Name is the account's, whose id may become somebody else's; empty: unknown.
	Name string `json:"name,omitempty"`
	// Opened is the alert that opened the episode, where that is another one.
	Opened string `json:"opened,omitempty"`
}

// unusualValue is a value of a part that an alert was about.
type unusualValue struct {
	Part int
	Text string
}

// storedValue is an unusualValue as JSON has it: the part by its name. Older versions, which had ten parts, wrote the
// part's number.
type storedValue struct {
	Part any    `json:"part"`
	Text string `json:"text"`
}

// MarshalJSON writes the part's name.
func (v unusualValue) MarshalJSON() ([]byte, error) {
	return json.Marshal(storedValue{habit.PartNames[v.Part], v.Text})
}

// UnmarshalJSON refuses an unknown part.
func (v *unusualValue) UnmarshalJSON(b []byte) error {
	var s storedValue
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	part := -1
	switch p := s.Part.(type) {
	case string:
		part = slices.Index(habit.PartNames[:habit.Hour+1], p)
	case float64:
		part = int(p)
		if part == olderHour {
			part = habit.Hour
		} else if part > olderHour {
			part = -1
		}
	}
	if part < 0 {
		return fmt.Errorf("unusual value: unknown part %v", s.Part)
	}
	*v = unusualValue{part, s.Text}
	return nil
}

// olderHour was the number of the part hour until version 1 of the snapshot, and the last that can be an unusual value.
const olderHour = 9

const (
	// forgetAfter is how long a context may be away before it alerts again.
	forgetAfter = 30 * 24 * time.Hour
	// maxProbations bounds how many contexts one actor is on probation in, and how many actors are; the oldest goes
	// first.
	maxProbations  = 16
	maxOnProbation = 1000
)

// unusual are the values that an alert is about: first the one that splits the account into its actors, then those of
// the parts that add most.
func (c *Context) unusual() []unusualValue {
	identity := c.Match.Class.SplitBy()
	out := []unusualValue{{Part: identity, Text: c.Unusual.Text(identity)}}
	for p := range habit.Hour + 1 {
		if c.Parts[p] >= habit.WorthNaming {
			out = append(out, unusualValue{Part: p, Text: c.Unusual.Text(p)})
		}
	}
	return out
}

// newAccount reports whether the match is on the first visit of an account that had never been seen.
func (c *Context) newAccount() bool { return c.First && !c.KnownElsewise }

// asks reports whether the context has the part's value in it: a new account is one on a terminal and without.
func (p *probation) asks(part int) bool { return !p.Account || part != habit.TTY }

// another reports whether the match is another account's, which has got the id by now.
func (p *probation) another(m *habit.Match) bool {
	return p.Name != "" && m.Name != "" && p.Name != m.Name
}

// covers reports whether all that is unusual of a match now, its values, was unusual then.
func (p *probation) covers(m *habit.Match, values []unusualValue, score float64) bool {
	if band(score) > p.Band || p.another(m) {
		return false
	}
	if p.Account && p.contains(m) {
		values = values[1:]
	}
	return !slices.ContainsFunc(values, func(v unusualValue) bool {
		return !slices.ContainsFunc(p.Values, func(was unusualValue) bool {
			return v.Part == was.Part && (v.Text == was.Text || v.Part == habit.Hour && nearby(v.Text, was.Text) ||
				v.Part == habit.Session && allOf(v.Text, was.Text))
		})
	})
}

// nearby reports whether two hours of the day are neighbours.
func nearby(a, b string) bool {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	d := (x - y + 24) % 24
	return d <= 1 || d == 23
}

// allOf reports whether every name of a list is in another.
func allOf(names, was string) bool {
	list := strings.Split(was, ", ")
	return !slices.ContainsFunc(strings.Split(names, ", "), func(name string) bool { return !slices.Contains(list, name) })
}

// contains reports whether a match is in the context of the probation. What else runs in its session is not asked: most
// of it comes after the match.
func (p *probation) contains(m *habit.Match) bool {
	return !p.another(m) && !slices.ContainsFunc(p.Values, func(v unusualValue) bool {
		now := m.Text(v.Part)
		return p.asks(v.Part) && v.Part != habit.Session && now != v.Text &&
			(v.Part != habit.Hour || !nearby(now, v.Text))
	})
}

// lapse ends the probations of an actor whose contexts were away for forgetAfter. It returns the last in which the
// actor was new; nil: in none. Those of the account's other actors stay: each is forgotten with its own when it comes.
func (d *Detector) lapse(key episodeKey, m *habit.Match) (wasNew *probation) {
	identity := m.Class.SplitBy()
	own := unusualValue{Part: identity, Text: m.Text(identity)}
	d.setProbations(key, slices.DeleteFunc(d.probations[key], func(p *probation) bool {
		if m.At.Sub(p.Last) <= forgetAfter || !p.Account && !slices.Contains(p.Values, own) {
			return false
		}
		if p.New {
			wasNew = p
		}
		return true
	}))
	return wasNew
}

// unexplained is the last probation that another account's alert has left on the host of key, within forgetAfter before
// a time: one of the second band or higher, of an actor who had never been seen, which no person has called benign and
// which is no habit yet; nil: none.
func (d *Detector) unexplained(key episodeKey, before time.Time) (of episodeKey, last *probation) {
	for other, list := range d.probations {
		if other.rule != key.rule || other.host != key.host || other.actor == key.actor || other.held {
			continue
		}
		for _, p := range list {
			if !p.New || p.Band < 1 || !p.First.Before(before) || before.Sub(p.First) > forgetAfter {
				continue
			}
			if last == nil || cmp.Or(p.First.Compare(last.First), cmp.Compare(p.AlertID, last.AlertID)) > 0 {
				of, last = other, p
			}
		}
	}
	return of, last
}

// setProbations replaces the probations of an actor.
func (d *Detector) setProbations(key episodeKey, list []*probation) {
	if len(list) == 0 {
		delete(d.probations, key)
	} else {
		d.probations[key] = list
	}
}

// count counts a match in the context of the probation.
func (p *probation) count(at time.Time) {
	if at.Unix()/86400 > p.Last.Unix()/86400 {
		p.Days++
	}
	p.Last = latest(at, p.Last)
}

// habitual reports whether the context was seen as often as a habit is.
func (p *probation) habitual(h Habit) bool { return p.Days >= h.Days && p.Last.Sub(p.First) >= h.Span }

// attend finds the contexts that the actor of a match is on probation in. Where the match counts, it ends those that
// have become a habit with it. It returns the last probation that is left, nil where none is, and those that have
// ended.
func (d *Detector) attend(
	key episodeKey, m *habit.Match, counts bool,
) (attended *probation, accepted []*probation) {
	list := d.probations[key]
	if len(list) == 0 {
		return nil, nil
	}
	list = slices.DeleteFunc(list, func(p *probation) bool {
		if !p.contains(m) {
			return false
		}
		if counts {
			p.count(m.At)
			if p.habitual(d.o.Habit) {
				accepted = append(accepted, p)
				return true
			}
		}
		attended = p
		return false
	})
	d.setProbations(key, list)
	return attended, accepted
}

// becameHabit reports, with the alert's id, that the context of an alert is a habit from a match on: nothing becomes
// usual without a trace.
func becameHabit(f *Finding, p *probation, h Habit) Finding {
	out := Finding{
		Kind: Habitual, Rule: f.Rule, Time: f.Time, Local: f.Local, Actor: f.Actor, User: f.User,
		Threshold: f.Threshold, Visit: Visit{ID: f.Visit.ID}, AlertID: p.AlertID,
		Habit: h, Became: Became{Since: p.First, Days: p.Days},
	}
	out.Became.Context = p.describe()
	return out
}

// describe says in words what the context is.
func (p *probation) describe() []string {
	var out []string
	if p.Account {
		out = append(out, "on a terminal or without one")
	}
	for _, v := range p.Values {
		if p.asks(v.Part) {
			out = append(out, habit.Describe(v.Part, v.Text))
		}
	}
	return out
}

// probationFor is the probation of the actor that covers what is unusual now, and the last of any.
func (d *Detector) probationFor(key episodeKey, f *Finding) (covering, last *probation) {
	if f.Context == nil {
		return nil, nil
	}
	values := f.Context.unusual()
	for _, p := range d.probations[key] {
		if p.covers(&f.Context.Match, values, f.Score) {
			covering = p
		}
		last = p
	}
	return covering, last
}

// putOnProbation remembers what an alert was about.
func (d *Detector) putOnProbation(key episodeKey, f *Finding) {
	if f.Context == nil {
		return
	}
	opened := ""
	if f.Escalated {
		opened = f.EarlierID
		for _, p := range d.probations[key] {
			if p.AlertID == opened {
				opened = p.root()
			}
		}
	}
	d.remember(key, &probation{
		AlertID: f.AlertID, Band: band(f.Score), Values: f.Context.unusual(), First: f.Time, Last: f.Time, Days: 1,
		New: f.Context.First, Account: f.Context.newAccount() && f.Context.Match.Class == habit.Person,
		Name: strings.Clone(f.Context.Match.Name), Opened: opened,
	})
}

// remember adds a probation, in the place of the oldest where there are too many.
func (d *Detector) remember(key episodeKey, p *probation) {
	list := append(d.probations[key], p)
	if len(list) > maxProbations {
		list = slices.Delete(list, 0, 1)
	}
	if len(d.probations) >= maxOnProbation && d.probations[key] == nil {
		d.forgetProbation()
	}
	d.probations[key] = list
}

// forgetProbation ends those of the actor who was seen least recently.
func (d *Detector) forgetProbation() {
	var worst episodeKey
	var oldest time.Time
	for key, list := range d.probations {
		last := list[len(list)-1].Last
		if oldest.IsZero() || cmp.Or(last.Compare(oldest), key.compare(worst)) < 0 {
			worst, oldest = key, last
		}
	}
	delete(d.probations, worst)
}
