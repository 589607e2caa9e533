// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/internal/plural"
)

// What a person says of an alert.
const (
	// Benign makes a habit of the alert's context at once.
	Benign = "benign"
	// Malicious keeps the alert's episode out of the model, and the next match of its actor in its context alerts again.
	Malicious = "malicious"
	// Unsure is only kept.
	Unsure = "unsure"
	// Undone takes back what was said before.
	Undone = "undone"
)

// FeedbackKind is the kind of the control that names a benign alert in documents.
const FeedbackKind = "feedback"

// FromKibana is the source of feedback that is an analyst's mark on an alert in Kibana.
const FromKibana = "kibana"

// Feedback is what a person has said of an alert.
type Feedback struct {
	AlertID string    `json:"alert_id"`
	Verdict string    `json:"verdict"`
	Note    string    `json:"note,omitempty"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"`
	// Source is where it was said, when that was not on the host: FromKibana, or empty.
	Source string `json:"source,omitempty"`
	// What the alert is about, by its document.
	Rule  string `json:"rule"`
	Host  string `json:"host,omitempty"` // its id
	Actor Actor  `json:"actor"`
}

// The bounds of a Feedback's texts, in bytes.
const (
	maxID   = 128
	maxNote = 4096
	maxBy   = 256
)

// Check returns everything that is wrong with a feedback.
func (f *Feedback) Check() error {
	var errs []error
	if f.AlertID == "" || len(f.AlertID) > maxID {
		errs = append(errs, fmt.Errorf("the alert's id has %d bytes; it must have 1 to %d", len(f.AlertID), maxID))
	}
	if !slices.Contains([]string{Benign, Malicious, Unsure, Undone}, f.Verdict) {
		errs = append(errs, fmt.Errorf("the verdict %q is not allowed; it must be benign, malicious, unsure or undone",
			f.Verdict))
	}
	if len(f.Note) > maxNote {
		errs = append(errs, fmt.Errorf("the note has %d bytes; at most %d are possible", len(f.Note), maxNote))
	}
	if len(f.By) > maxBy {
		errs = append(errs, fmt.Errorf("the name of who says it has %d bytes; at most %d are possible", len(f.By), maxBy))
	}
	if f.Source != "" && f.Source != FromKibana {
		errs = append(errs, fmt.Errorf("the source %q is not allowed; it must be kibana, or missing", f.Source))
	}
	if f.At.IsZero() {
		errs = append(errs, errors.New("the time at which it was said is missing"))
	}
	if f.Rule == "" || len(f.Rule) > maxID || len(f.Host) > maxBy || len(f.Actor.Name) > maxBy {
		errs = append(errs, errors.New("the alert's rule is missing, or its rule, host or actor is too long"))
	}
	return errors.Join(errs...)
}

// ParseFeedback reads a Feedback as JSON has it. The error says everything that is wrong with it.
func ParseFeedback(text []byte) (f Feedback, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Feedback{}, fmt.Errorf("reading feedback: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Feedback{}, errors.New("reading feedback: something follows it")
	}
	if err := f.Check(); err != nil {
		return Feedback{}, fmt.Errorf("reading feedback: %w", err)
	}
	return f, nil
}

// verdict is a Feedback that holds, with the context that it is about.
type verdict struct {
	Feedback
	// Probation is what the alert had left behind; nil: nothing was known of it any more, and the verdict has no effect.
	Probation *probation `json:"probation,omitempty"`
	// Lifted: the actor was on this probation until then.
	Lifted bool `json:"lifted,omitempty"`
	// Last is when the context of a benign alert was last seen, Days on how many days since it was called so.
	Last time.Time `json:"last,omitzero"`
	Days int       `json:"days,omitempty"`
	// Accepted: it was seen as often as any habit, and the class has learned from it.
	Accepted bool `json:"accepted,omitempty"`
}

// raised is the band of an alert that a malicious context raises again: one higher.
func (v *verdict) raised() int { return min(highestBand, v.Probation.Band+1) }

// root is the alert whose trace a model has: of an escalation, the one that opened the episode.
func (p *probation) root() string { return cmp.Or(p.Opened, p.AlertID) }

// maxVerdicts bounds how many verdicts are remembered, and maxHabits how many probations that became habits.
const (
	maxVerdicts = 1000
	maxHabits   = 256
)

// formerProbation is one that has ended because its context had become a habit.
type formerProbation struct {
	Rule      string     `json:"rule"`
	Host      string     `json:"host"`
	Key       string     `json:"key"`
	Probation *probation `json:"probation"`
}

// opened finds what an alert has left behind; nil: nothing that is still known. live: the actor is on probation in it.
func (d *Detector) opened(alert string) (key episodeKey, p *probation, live bool) {
	for key, list := range d.probations {
		for _, p := range list {
			if p.AlertID == alert && !key.held {
				return key, p, true
			}
		}
	}
	for _, f := range d.former {
		if f.Probation.AlertID == alert {
			return episodeKey{rule: f.Rule, host: f.Host, actor: f.Key}, f.Probation, false
		}
	}
	return episodeKey{rule: alert}, nil, false
}

// tracing is the model that knows what was learned under an alert, nil where none does.
func (d *Detector) tracing(rule, alert string) *habit.Model {
	l := d.kept[rule]
	if l == nil {
		return nil
	}
	for _, h := range l.hosts {
		if h.model.Traces(alert) {
			return h.model
		}
	}
	return nil
}

// Said takes in what a person has said of an alert, and returns what is to be reported of it. The same feedback may
// come twice; one on the same alert takes the place of the one before.
func (d *Detector) Said(fb Feedback) Finding {
	out := Finding{
		Kind: Answered, Rule: d.ruleOf(fb.Rule), Time: fb.At, Actor: fb.Actor, AlertID: fb.AlertID, Feedback: &fb,
	}
	key, before := d.verdictOn(fb.AlertID)
	if before != nil && sameFeedback(before.Feedback, fb) {
		out.Answer = before.answer(d)
		return out
	}
	if before != nil {
		d.unsay(key, before)
	}
	if fb.Verdict == Undone {
		out.Answer = "what was said of it before is taken back"
		if before == nil {
			out.Answer = "nothing had been said of it"
		}
		return out
	}
	v := &verdict{Feedback: fb}
	key, p, live := d.opened(fb.AlertID)
	v.Probation = p
	switch {
	case fb.Verdict == Unsure || p == nil:
	case fb.Verdict == Benign:
		v.Last, v.Lifted = latest(fb.At, p.Last), live
		d.setProbations(key, slices.DeleteFunc(d.probations[key], func(q *probation) bool { return q == p }))
		if m := d.tracing(key.rule, p.root()); m != nil {
			m.Adopt(p.root(), d.o.Habit.Days, fb.At)
		}
	case fb.Verdict == Malicious:
		if m := d.tracing(key.rule, p.root()); m != nil {
			m.Withdraw(p.root())
		}
	}
	d.keep(key, v)
	out.Answer = v.answer(d)
	return out
}

// sameFeedback reports whether two are one that came twice.
func sameFeedback(a, b Feedback) bool {
	return a.Verdict == b.Verdict && a.Note == b.Note && a.By == b.By && a.At.Equal(b.At)
}

// answer says what a verdict does.
func (v *verdict) answer(d *Detector) string {
	switch {
	case v.Verdict == Unsure:
		return "it is only kept"
	case v.Probation == nil && d.o.Model != ModelContext:
		return "it is only kept, because the model rare has no contexts"
	case v.Probation == nil:
		return "it is only kept, because the context of this alert is no longer known"
	case v.Verdict == Benign:
		return "its context is a habit from now on"
	}
	return "nothing of its episode is learned, and the next match in its context alerts again"
}

// unsay takes a verdict back, with what it has changed.
func (d *Detector) unsay(key episodeKey, v *verdict) {
	list := slices.DeleteFunc(d.verdicts[key], func(w *verdict) bool { return w == v })
	if len(list) == 0 {
		delete(d.verdicts, key)
	} else {
		d.verdicts[key] = list
	}
	p := v.Probation
	if p == nil || v.Verdict == Unsure {
		return
	}
	m := d.tracing(key.rule, p.root())
	if v.Verdict == Malicious {
		if m != nil {
			m.Reinstate(p.root())
		}
		return
	}
	if m != nil {
		m.Disown(p.root())
	}
	if v.Lifted {
		d.remember(key, p)
	}
}

// keep remembers a verdict, in the place of the oldest where there are too many: of those that are not malicious first.
func (d *Detector) keep(key episodeKey, v *verdict) {
	n := 0
	var oldest *verdict
	var at episodeKey
	for k, list := range d.verdicts {
		n += len(list)
		for _, w := range list {
			if oldest == nil || w.goesBefore(oldest) {
				oldest, at = w, k
			}
		}
	}
	if n >= maxVerdicts {
		d.evicted++
		d.verdicts[at] = slices.DeleteFunc(d.verdicts[at], func(w *verdict) bool { return w == oldest })
		if len(d.verdicts[at]) == 0 {
			delete(d.verdicts, at)
		}
	}
	d.verdicts[key] = append(d.verdicts[key], v)
}

func (v *verdict) goesBefore(w *verdict) bool {
	if (v.Verdict == Malicious) != (w.Verdict == Malicious) {
		return w.Verdict == Malicious
	}
	return cmp.Or(v.At.Compare(w.At), cmp.Compare(v.AlertID, w.AlertID)) < 0
}

// verdictOn is what was said of an alert; nil: nothing.
func (d *Detector) verdictOn(alert string) (episodeKey, *verdict) {
	for key, list := range d.verdicts {
		for _, v := range list {
			if v.AlertID == alert {
				return key, v
			}
		}
	}
	return episodeKey{}, nil
}

// ruleOf is the rule with an id; one that is not configured has nothing but the id.
func (d *Detector) ruleOf(id string) *Rule {
	for _, r := range d.rules {
		if r.ID == id {
			return r
		}
	}
	return &Rule{ID: id, Name: id, Habit: "done what " + id + " is about"}
}

// Verdicts returns what people have said of alerts and what still holds, the latest last.
func (d *Detector) Verdicts() (all []Feedback) {
	for _, list := range d.verdicts {
		for _, v := range list {
			all = append(all, v.Feedback)
		}
	}
	slices.SortFunc(all, func(a, b Feedback) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.AlertID, b.AlertID))
	})
	return all
}

// recall finds what was said of the context that a match is in. Malicious comes before benign.
func (d *Detector) recall(m *match) {
	if len(d.verdicts) == 0 || m.finding.Context == nil {
		return
	}
	list := d.verdicts[m.key]
	for _, v := range list {
		if v.Probation == nil || v.Verdict == Unsure || !v.Probation.contains(&m.finding.Context.Match) {
			continue
		}
		if v.Verdict == Malicious {
			m.said, m.finding.Feedback = v, &v.Feedback
			return
		}
		if m.finding.Time.Sub(v.Last) <= forgetAfter { // a habit that is not kept for so long is none
			m.said, m.finding.Feedback = v, &v.Feedback
			d.keepUp(m, v)
		}
	}
}

// keepUp counts a match in the context of a benign alert. The actor's habit holds at once; others of their class are
// held against it when it was seen as often as any habit.
func (d *Detector) keepUp(m *match, v *verdict) {
	at := m.finding.Time
	if v.Days == 0 || at.Unix()/86400 > v.Last.Unix()/86400 {
		v.Days++
	}
	v.Last = latest(v.Last, at)
	if !v.Accepted && v.Days >= d.o.Habit.Days && v.Last.Sub(v.Probation.First) >= d.o.Habit.Span {
		v.Accepted = true
		m.seasoned = v
	}
}

// malicious reports whether a person has said that of the context.
func (m *match) malicious() bool { return m.said != nil && m.said.Verdict == Malicious }

// excused is the benign alert whose context covers all that is unusual about a match; nil: none does.
func (d *Detector) excused(m *match) *verdict {
	f := &m.finding
	if len(d.verdicts) == 0 || f.Context == nil {
		return nil
	}
	values := f.Context.unusual()
	for _, v := range d.verdicts[m.key] {
		if v.Verdict == Benign && v.Probation != nil && f.Time.Sub(v.Last) <= forgetAfter &&
			v.Probation.covers(&f.Context.Match, values, f.Score) {
			return v
		}
	}
	return nil
}

// placeExcused places a match over the threshold that a benign alert excuses: it is learned, and its document names
// the alert.
func (m *match) placeExcused(v *verdict) {
	f := &m.finding
	m.said = v
	f.Feedback, f.Held = &v.Feedback, HeldAlert
	f.Controls = append(f.Controls, Control{ID: v.AlertID, Kind: FeedbackKind, Action: Welcome})
}

// under is the alert under which the model learns a match; empty: none.
func (d *Detector) under(m *match) string {
	f := &m.finding
	alert := ""
	switch {
	case m.said != nil:
		return m.said.Probation.root()
	case f.Kind == Alert && f.Escalated:
		alert = f.EarlierID
	case f.Kind == Alert || f.Kind == Repeat:
		alert = f.AlertID
	}
	if alert != "" {
		for _, p := range d.probations[m.key] {
			if p.AlertID == alert {
				return p.root()
			}
		}
	}
	return alert
}

// answerReason says who has said what of an alert.
func (f *Finding) answerReason() string {
	fb := f.Feedback
	said := fmt.Sprintf("%s says that alert %s of %s is %s", cmp.Or(fb.By, "somebody"), fb.AlertID, f.Actor, fb.Verdict)
	if fb.Verdict == Undone {
		said = fmt.Sprintf("%s takes back what was said of alert %s of %s", cmp.Or(fb.By, "somebody"), fb.AlertID, f.Actor)
	}
	if fb.Note != "" {
		said += " (" + fb.Note + ")"
	}
	return said + ": " + f.Answer
}

// again says that a person has called the context of an alert malicious.
func (f *Finding) again() string {
	if f.Feedback == nil || f.Feedback.Verdict != Malicious {
		return ""
	}
	return fmt.Sprintf("%s called alert %s in this context malicious; ", cmp.Or(f.Feedback.By, "somebody"),
		f.Feedback.AlertID)
}

type verdictSnapshot struct {
	Rule string   `json:"rule"`
	Host string   `json:"host"`
	Key  string   `json:"key"`
	Said *verdict `json:"said"`
}

// snapshotVerdicts are the verdicts, in order.
func (d *Detector) snapshotVerdicts() (all []verdictSnapshot) {
	for key, list := range d.verdicts {
		for _, v := range list {
			all = append(all, verdictSnapshot{key.rule, key.host, key.actor, v})
		}
	}
	slices.SortFunc(all, func(a, b verdictSnapshot) int {
		return cmp.Or(a.Said.At.Compare(b.Said.At), cmp.Compare(a.Said.AlertID, b.Said.AlertID))
	})
	return all
}

// verdictsOf reads what snapshotVerdicts wrote.
func verdictsOf(all []verdictSnapshot) (map[episodeKey][]*verdict, error) {
	out := map[episodeKey][]*verdict{}
	if len(all) > maxVerdicts {
		return nil, fmt.Errorf("%s; at most %d are possible", plural.Of(len(all), "verdict"), maxVerdicts)
	}
	for _, s := range all {
		if s.Said == nil {
			return nil, errors.New("a verdict is missing")
		}
		if err := s.Said.Check(); err != nil {
			return nil, err
		}
		key := episodeKey{rule: s.Rule, host: s.Host, actor: s.Key}
		out[key] = append(out[key], s.Said)
	}
	return out, nil
}

// wasHabit remembers a probation that has ended because its context had become a habit: somebody may call it malicious
// when they read of it.
func (d *Detector) wasHabit(key episodeKey, p *probation) {
	if len(d.former) >= maxHabits {
		d.former = slices.Delete(d.former, 0, 1)
	}
	d.former = append(d.former, formerProbation{key.rule, key.host, key.actor, p})
}

// forgetVerdicts forgets what was said of the alerts of some actors.
func (d *Detector) forgetVerdicts(keys accounts) {
	for key, list := range d.verdicts {
		list = slices.DeleteFunc(list, func(v *verdict) bool {
			return keys.has(key.actor) || keys.has(v.Actor.key())
		})
		if d.verdicts[key] = list; len(list) == 0 {
			delete(d.verdicts, key)
		}
	}
	d.former = slices.DeleteFunc(d.former, func(f formerProbation) bool { return keys.has(f.Key) })
}
