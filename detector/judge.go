// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// match is one exec under one rule, as Judge takes it through its steps.
type match struct {
	event   *process.Event
	args    []string     // those after the program
	key     episodeKey   // whose it is
	learned *learned     // what the rule has learned
	habits  *habit.Model // of the actor's host; nil: the context model is not in charge

	finding Finding // what is reported of it: score and place fill it

	// probation is the context that the actor was on probation in before, and still is; nil: none.
	probation *probation
	// lapsed is the probation of an actor who was new in it and was away for so long that they are new again; nil: none.
	lapsed *probation
	// accepted are the probations that end with this match, because their contexts have become habits.
	accepted []*probation
	decision Decision
	seasoned *verdict         // the benign alert whose context the class learns from now on; nil: none
	said     *verdict         // what a person has said of the context; nil: nothing
	held     bool             // its score is over the threshold, and a control holds the alert back
	limited  bool             // the limit of alerts does
	session  habit.SessionKey // that it belongs to
	again    bool             // it has been judged before, without what came after it
	// completes is set where its alert makes a story of those of its host.
	completes bool
}

// typicalUsers is how many of the usual users an alert names.
const typicalUsers = 5

// Judge appends to out what there is to report of an exec that matched rules, and learns from it. A command line that a
// rule excepts gives no finding, but the rare model learns it, as Elastic's job does, which sees names alone.
func (d *Detector) Judge(e *process.Event, set RuleSet, out []Finding) []Finding {
	for set != 0 {
		var i int
		i, set = set.next()
		out = d.judge(i, e, out)
	}
	return out
}

// judge takes a match through five steps, in this order:
//
//	score  asks the models what they know. It comes first: no match is judged by what it has taught.
//	decide asks the controls whether they hold its alert, or its lesson, back. They may go by the score.
//	recall asks what people have said of alerts in its context.
//	place  finds the episode and the probations of a match by its score: it is an alert, a repeat, or makes a habit.
//	teach  changes the models. It comes last: what a match teaches depends on its place.
func (d *Detector) judge(i int, e *process.Event, out []Finding) []Finding {
	m := d.matchOf(i, e)
	if m.finding.User == "" {
		d.unnamed++
	}
	if !m.finding.Rule.means(m.finding.Program, m.args) {
		m.teachRare()
		return out
	}
	d.score(&m, i)
	d.decide(&m)
	d.recall(&m)
	out = d.place(&m, out)
	if m.completes {
		out = append(out, d.correlated(&m))
	}
	out = d.teach(&m, out)
	if m.habits == nil {
		return out
	}
	if m.finding.Kind == Alert || m.decision.NoLesson {
		d.watching.sessions.Discard(m.session)
	}
	d.await(&m)
	return out
}

// matchOf is an exec under the rule of an index, with nothing found of it yet.
func (d *Detector) matchOf(i int, e *process.Event) match {
	r := d.rules[i]
	program, args := r.program(e)
	actor := d.Actor(e)
	return match{
		event: e, args: args, learned: d.models[i],
		key: episodeKey{rule: r.ID, host: d.hostOf(e), actor: actor.key()},
		finding: Finding{
			Kind: Observation, Rule: r, Time: e.Time, Local: e.Time.In(d.zone(e)), Actor: actor, User: rareUser(e),
			Banded:  d.o.Severity == SeverityBanded,
			Program: program, Threshold: r.Threshold, Rarity: Rarity{BucketSpan: d.o.Rare.BucketSpan},
		},
	}
}

// ran is what the match's exec ran.
func (m *match) ran() habit.Ran {
	return habit.Ran{Program: m.finding.Program, Args: m.args, Tools: m.finding.Rule.Programs}
}

// score asks both models how unusual a match is; the one in charge gives the score, rounded as it is published: what a
// person reads is what thresholds, bands and conditions of controls are compared with. A context that was away for too
// long is forgotten before.
func (d *Detector) score(m *match, rule int) {
	f, rare := &m.finding, m.learned.rare
	f.Buckets, f.Users, f.BucketStart = rare.Buckets(), rare.Users(), rare.BucketStart(f.Time)
	if f.User != "" { // rare, as Elastic's job, passes over what has no user
		r := rare.AtOnce(f.Time, f.User)
		f.Score, f.RecordScore, f.Probability = cents(r.Score), r.Score, r.Probability
		f.FirstOccurrence = r.FirstOccurrence
	}
	if d.o.Model != ModelContext {
		return
	}
	d.Watch(m.event)
	m.learned.opened(d.watching.hosts[rule])
	m.habits = d.watching.hosts[rule].model
	f.Context = &Context{Match: d.reader.Match(m.event, m.ran(), d.zone(m.event))}
	var company habit.Company
	m.session, company = d.company(m.event, f.Rule)
	f.Context.Match.Beside(company)
	if m.lapsed = d.lapse(m.key, &f.Context.Match); m.lapsed != nil {
		m.habits.ForgetUnless(&f.Context.Match, m.lapsed.Account, d.o.Habit.Days, forgetAfter)
	}
	f.Context.Result = m.habits.Judge(&f.Context.Match)
	if f.Context.New || f.Context.Score >= f.Threshold {
		d.weighAftermath(m)
	}
	f.Score = cents(f.Context.Score)
	f.Learning = m.habits.Age(f.Time) < d.o.LearnFor
	f.Visit = visitOf(m.key, f.Context)
}

// weighAftermath holds against an account that had never been seen that another new actor has alerted on the host,
// within forgetAfter and with a score of 50 or more, and that nobody has explained it.
func (d *Detector) weighAftermath(m *match) {
	c := m.finding.Context
	permitted := m.key
	permitted.held = true
	explained := d.probations[permitted] != nil || d.episodes[permitted] != nil // by a person's control
	if explained || !c.newAccount() {
		return
	}
	key, p := d.unexplained(m.key, c.Visit.Opened)
	if p == nil || d.groups(p.AlertID) {
		return
	}
	id, _ := accountOf(key.actor)
	m.finding.Aftermath = Aftermath{AlertID: p.AlertID, Account: account(cmp.Or(p.Name, id)), Alerted: p.First}
	if c.New { // what the visit has shown by then was weighed so
		c.Match.InAftermath()
		c.Result = m.habits.Judge(&c.Match)
	}
}

// place counts a match in the probations of its actor, finds its place in the actor's episode, and appends it to out,
// behind the summary of an episode that closed before it.
func (d *Detector) place(m *match, out []Finding) []Finding {
	f := &m.finding
	if f.Context != nil {
		permitted := m.decision.NoAlert || m.decision.NoLesson || m.malicious() // which makes no habit
		m.probation, m.accepted = d.attend(m.key, &f.Context.Match, !permitted)
	}
	switch {
	case f.Learning:
	case m.held:
		out = d.placeHeld(m, out)
	case m.decision.NoAlert:
	case m.malicious():
		out = d.placeOver(m, out)
	case f.Score >= f.Threshold:
		if v := d.excused(m); v != nil {
			m.placeExcused(v)
		} else {
			out = d.placeOver(m, out)
		}
	case m.probation != nil:
		out = d.placeBelow(m, out)
	}
	return append(out, *f)
}

// placeOver places a match over the threshold: it opens an episode, escalates one, belongs to one, or is held back by
// the limit of alerts.
func (d *Detector) placeOver(m *match, out []Finding) []Finding {
	f := &m.finding
	if f.Context != nil {
		f.Context.Profile, f.Context.Known = m.habits.Profile(&f.Context.Match)
	}
	key, group := d.groupOf(m)
	ep, out := d.current(key, f.Time, out)
	if m.malicious() {
		f.Raised = m.said.raised()
	}
	known := d.standing(m, ep)
	raises := f.band() > known.band
	if raises {
		var l *limiter
		if l, out = d.within(m, out); !l.mayShip(d.o.Limit, f.band()) {
			return d.placeLimited(m, ep, l, out)
		}
		l.ship(f.Time)
	}
	if ep == nil {
		ep, out = d.open(key, m, group, out)
	}
	if ep.band < 0 {
		ep.alertID = known.alertID
		if len(group) == 0 { // what covers one actor of a group covers no other
			ep.band = known.band
		}
	}
	if raises {
		f.Kind, f.AlertID, ep.band = Alert, m.alertID(), f.band()
		f.EarlierID = known.earlierID
		if f.Escalated = f.AlertID != known.alertID; f.Escalated {
			f.EarlierID = known.alertID
		}
		if m.malicious() {
			ep.alertID, ep.said = f.AlertID, m.said.AlertID
		} else {
			d.putOnProbation(m.key, f)
		}
	} else {
		f.Kind, f.AlertID = Repeat, known.alertID
	}
	ep.over = latest(ep.over, f.Time)
	ep.add(f, m.event)
	f.Episode = ep.Episode
	if f.Kind == Alert {
		f.TypicalUsers = d.typical(m.learned, f)
		f.Visit.Commands = commandsOf(f.Context, m.again)
		if f.Context != nil {
			f.Habit = d.o.Habit
		}
		m.completes, out = d.correlate(m, ep, out)
	}
	return out
}

// standing is what was reported before of what a match over the threshold is about.
type standing struct {
	band      int    // that a further alert must exceed; -1: nothing was reported
	alertID   string // that the match belongs to: the one that was reported, or its own
	earlierID string // the last alert of the actor's probations, about something else
}

// standing looks into the episode that is open, and into the actor's probations, with the one that has lapsed: those
// decide what an episode begins with, and in a group, where the episode is not the actor's, each match.
func (d *Detector) standing(m *match, ep *episode) standing {
	s := standing{band: -1, alertID: m.alertID()}
	if m.malicious() { // it raises again once in an episode, whatever was reported before
		if ep != nil && ep.said == m.said.AlertID {
			return standing{band: ep.band, alertID: ep.alertID}
		}
		s.earlierID = m.said.AlertID
		return s
	}
	if ep != nil && ep.band >= 0 {
		s = standing{band: ep.band, alertID: ep.alertID}
		if len(ep.Group) == 0 {
			return s
		}
	}
	switch covering, last := d.probationFor(m.key, &m.finding); {
	case covering != nil && covering.Band > s.band:
		return standing{band: covering.Band, alertID: covering.AlertID}
	case m.lapsed != nil && s.band < 0:
		s.earlierID = m.lapsed.AlertID
	case last != nil && s.band < 0:
		s.earlierID = last.AlertID
	}
	return s
}

// placeLimited places a match whose alert the limit holds back. Where it escalates an episode it belongs to that one.
func (d *Detector) placeLimited(m *match, ep *episode, l *limiter, out []Finding) []Finding {
	f := &m.finding
	m.limited = true
	f.Controls = append(f.Controls, Control{ID: LimitID, Kind: LimitKind, Action: SkipResult})
	if ep != nil && ep.band >= 0 {
		f.Kind, f.AlertID, f.Held, f.Episode = Repeat, ep.alertID, HeldAlert, ep.Episode
		ep.over = latest(ep.over, f.Time)
		ep.add(f, m.event)
	} else {
		out = d.placeHeld(m, out)
	}
	l.withhold(f, d.modelHost(m.event), d.o.Limit)
	return out
}

// placeBelow places a match that is below the threshold only because its context is no longer new, and that the actor
// is on probation in: a summary reports it.
func (d *Detector) placeBelow(m *match, out []Finding) []Finding {
	f := &m.finding
	key, group := d.groupOf(m)
	ep, out := d.current(key, f.Time, out)
	if ep == nil {
		ep, out = d.open(key, m, group, out)
	}
	if ep.band < 0 {
		ep.alertID = m.probation.AlertID
	}
	f.Kind, f.AlertID = Repeat, ep.alertID
	ep.add(f, m.event)
	f.Episode = ep.Episode
	return out
}

// teach lets the models learn from a match in the measure that its place allows, and reports the contexts that have
// become habits with it.
func (d *Detector) teach(m *match, out []Finding) []Finding {
	if m.decision.NoLesson || m.malicious() {
		return out
	}
	m.teachRare()
	f := &m.finding
	switch {
	case f.Context == nil:
		return out
	case m.held && !m.decision.Welcome:
		return d.try(m, out)
	case !m.limited: // what nobody has heard of stays new
		m.habits.Learn(&f.Context.Match, f.Context.Result, habit.Lesson{
			Alerted:  m.held || f.Kind == Alert || f.Kind == Repeat && f.Score >= f.Threshold,
			Daily:    m.probation != nil || f.Kind == Alert,
			Learning: f.Learning,
			Alert:    d.under(m),
		})
	}
	if m.seasoned != nil {
		m.habits.Accept(&f.Context.Match, m.seasoned.Probation.root())
	}
	for _, p := range m.accepted {
		m.habits.Accept(&f.Context.Match, p.root())
		d.wasHabit(m.key, p)
		out = append(out, becameHabit(f, p, d.o.Habit))
	}
	return out
}

// teachRare counts the user of a match in the rare model's bucket.
func (m *match) teachRare() {
	if m.finding.User != "" {
		m.learned.rare.Add(m.finding.Time, m.finding.User)
	}
}

// zone is the time zone of the day of the host that the event happened on: the event's own, else the configured one.
func (d *Detector) zone(e *process.Event) *time.Location {
	if e.Timezone != "" {
		if z := d.zones.of(e.Timezone); z != nil {
			return z
		}
	}
	if e.Host.ID != "" && e.Host.ID != d.o.HostID || e.Host.ID == "" && e.Host.Name != "" {
		return d.o.OtherZone
	}
	return d.o.Zone
}

// hostOf identifies the host of an event.
func (d *Detector) hostOf(e *process.Event) string {
	switch {
	case e.Host.ID != "":
		return strings.Clone(e.Host.ID)
	case e.Host.Name != "":
		return strings.Clone(e.Host.Name)
	}
	return d.o.HostID
}

// modelHost is the host whose contexts an event belongs to, a view into the event. This host's own has no id, so that a
// model may go to another host.
func (d *Detector) modelHost(e *process.Event) string {
	if d.o.OneHost {
		return ""
	}
	host := e.Host.ID
	if host == "" {
		host = e.Host.Name
	}
	if host == d.o.HostID {
		return ""
	}
	return host
}

// typical are those who usually do what a finding is about, the most frequent first. Accounts known from alerts alone
// are left out: rare, as Elastic's job, learns intruders, too.
func (d *Detector) typical(l *learned, f *Finding) []string {
	var usual []string
	for _, user := range l.rare.Typical(l.rare.Users(), f.User) {
		if len(usual) == typicalUsers {
			break
		}
		if d.o.Model == ModelRare && l.rare.AtOnce(f.Time, user).Score < f.Threshold ||
			d.o.Model == ModelContext && !l.suspect(user) {
			usual = append(usual, user)
		}
	}
	return usual
}
