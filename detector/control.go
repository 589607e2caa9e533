// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// Control is what a person has decided about some matches beforehand, such as an exception, as far as documents name
// it.
type Control struct {
	ID      string
	Kind    string    // such as exception
	Action  string    // what it does, in the words of its file
	Expires time.Time // zero: never
}

// Decision is what controls say of a match that is scored and not yet learned. The zero Decision changes nothing.
type Decision struct {
	NoAlert  bool      // it raises no alert, and belongs to none
	NoLesson bool      // no model learns it
	Welcome  bool      // what is held back teaches its actor at once, and nobody else
	By       []Control // those that apply; the detector may change the list
}

// Decide is asked about each match when it is scored, and before anything is learned from it.
type Decide func(*process.Event, *Finding) Decision

// decide asks the controls about a match.
func (d *Detector) decide(m *match) {
	if d.o.Decide == nil {
		return
	}
	f := &m.finding
	m.decision = d.o.Decide(m.event, f)
	m.held = m.decision.NoAlert && !f.Learning && f.Score >= f.Threshold
	// What would not have alerted needs no permission, and a document names none.
	f.Controls = slices.DeleteFunc(m.decision.By, func(c Control) bool { return c.Action == SkipResult && !m.held })
}

// The actions of a control, in the words of Elastic's custom rules of machine learning jobs.
const (
	SkipResult      = "skip_result"       // no alert
	SkipModelUpdate = "skip_model_update" // nothing is learned
	SkipBoth        = "both"
	Tag             = "tag"     // the control is named, nothing else
	Welcome         = "welcome" // no alert, and learned at once: of newcomers
)

// NoAlert reports whether the control holds alerts back.
func (c Control) NoAlert() bool {
	return c.Action == SkipResult || c.Action == SkipBoth || c.Action == Welcome
}

// NoLesson reports whether the control keeps matches out of the models.
func (c Control) NoLesson() bool { return c.Action == SkipModelUpdate || c.Action == SkipBoth }

// VisitCommands are the command lines of the visit until now, that of the finding included, as an alert lists them.
func (f *Finding) VisitCommands() []string { return linesOf(commandsOf(f.Context, false)) }

// FirstSeen is when the actor of a finding was first seen under its rule; zero: never, or the model does not know. It
// may be asked while the finding is being decided about.
func (d *Detector) FirstSeen(f *Finding) time.Time {
	i := slices.IndexFunc(d.rules, func(r *Rule) bool { return r.ID == f.Rule.ID })
	if i < 0 || f.Context == nil || i >= len(d.watching.hosts) {
		return time.Time{}
	}
	return d.watching.hosts[i].model.FirstSeen(&f.Context.Match)
}

// What of a match a control held back.
const (
	HeldAlert  = "alert"  // it would have raised an alert
	HeldRepeat = "repeat" // it would have belonged to one
)

// placeHeld places a match whose alert is held back into an episode that nobody hears of, to know how many alerts that
// is.
func (d *Detector) placeHeld(m *match, out []Finding) []Finding {
	f := &m.finding
	key, group := d.groupOf(m)
	key.held = true
	ep, out := d.current(key, f.Time, out)
	if ep == nil {
		ep, out = d.open(key, m, group, out)
	}
	f.Held = HeldRepeat
	if band(f.Score) > ep.band {
		f.Held, ep.band = HeldAlert, band(f.Score)
	}
	ep.alertID, ep.over = ep.ID, latest(ep.over, f.Time)
	ep.add(f, m.event)
	return out
}

// try learns from a match whose alert was held back. A permission is no habit: the model learns nothing until the
// context was seen on as many days as a habit is, over as long. Until then the same context alerts where no control
// holds it back. From then on it teaches as a match that alerts does, and a finding reports it.
func (d *Detector) try(m *match, out []Finding) []Finding {
	f, key := &m.finding, m.key
	key.held = true
	at := f.Time
	list := slices.DeleteFunc(d.probations[key], func(p *probation) bool { return at.Sub(p.Last) > forgetAfter })
	d.setProbations(key, list)
	i := slices.IndexFunc(list, func(p *probation) bool { return p.contains(&f.Context.Match) })
	if i < 0 {
		d.remember(key, &probation{
			Name: strings.Clone(f.Context.Match.Name), Values: f.Context.unusual(), First: at, Last: at, Days: 1,
		})
		return out
	}
	p := list[i]
	was := p.habitual(d.o.Habit)
	p.count(at)
	if !p.habitual(d.o.Habit) {
		return out
	}
	m.habits.Learn(&f.Context.Match, f.Context.Result, habit.Lesson{Alerted: true, Daily: true})
	if was {
		return out
	}
	m.habits.Accept(&f.Context.Match, "")
	report := becameHabit(f, p, d.o.Habit)
	report.Controls = f.Controls
	return append(out, report)
}
