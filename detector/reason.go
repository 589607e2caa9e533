// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// Message is the finding's short title: the rule and the actor.
func (f *Finding) Message() string {
	switch f.Kind {
	case Habitual:
		return fmt.Sprintf("%s by %s has become a habit", f.Rule.Name, f.Actor)
	case Learned:
		return fmt.Sprintf("%s: alerts begin, %s learned in %s",
			f.Rule.Name, plural.Of(len(f.Report.Actors), "actor"), hours(f.Report.Days))
	case Limited:
		return fmt.Sprintf("%s: %s held back by the limit", f.Rule.Name, plural.Of(f.Withheld.Alerts, "alert"))
	case Correlated:
		return f.Rule.Name + ": " + f.Correlation.title()
	case CorrelationEnd:
		return f.Rule.Name + ", ended: " + f.Correlation.title()
	case Answered:
		return fmt.Sprintf("Feedback on %s by %s: %s", f.Rule.Name, f.Actor, f.Feedback.Verdict)
	case Summary:
		title := fmt.Sprintf("%s by %s: %s", f.Rule.Name, f.actors(), plural.Of(f.Summary.Execs, "exec"))
		if span := f.Summary.Last.Sub(f.Episode.Start).Round(time.Second); span > 0 {
			title += " over " + span.String()
		}
		return title
	}
	return fmt.Sprintf("%s by %s", f.Rule.Name, f.Actor)
}

// Reason is one sentence on why this is unusual, for the person who must decide.
func (f *Finding) Reason() string {
	switch {
	case f.Kind == Habitual:
		return fmt.Sprintf("%s has %s on %s since %s: %s; alerts on it end",
			f.Actor, f.Rule.Habit, plural.Of(f.Became.Days, "day"), f.Became.Since.UTC().Format(time.RFC3339),
			strings.Join(f.Became.Context, ", "))
	case f.Kind == Learned:
		return f.Report.reason(f.Rule)
	case f.Kind == Limited:
		return f.Withheld.reason(f.Rule)
	case f.Kind == Summary:
		return f.summaryReason()
	case f.Kind == Answered:
		return f.answerReason()
	case f.Kind == Correlated || f.Kind == CorrelationEnd:
		return f.Correlation.reason()
	case f.Context != nil:
		return f.contextReason()
	}
	return f.rareReason()
}

// summaryReason says what the actor did in an episode, and when.
func (f *Finding) summaryReason() string {
	start, last := f.Episode.Start.UTC().Format(time.RFC3339), f.Summary.Last.UTC().Format(time.RFC3339)
	when := "at " + start
	if last != start {
		when = "between " + start + " and " + last
	}
	return fmt.Sprintf("%s %s %s %s: %s",
		f.actors(), f.Rule.Habit, plural.Of(f.Summary.Execs, "time"), when, strings.Join(linesOf(f.Summary.Commands), "; "))
}

// actors is the actor of a summary, and how many others there are in a group.
func (f *Finding) actors() string {
	others := len(f.Summary.Actors.Of) - 1
	if others < 1 {
		return f.Actor.String()
	}
	return fmt.Sprintf("%s and %s", f.Actor, plural.Of(others, "other"))
}

// reason says what the limit held back, and of whom.
func (w *Withheld) reason(r *Rule) string {
	who := strings.Join(w.Actors.top(), ", ")
	if more := len(w.Actors.Of) - topActors; more > 0 || w.Actors.Others > 0 {
		who += " and others"
	}
	return fmt.Sprintf("%s of rule %s between %s and %s, beyond the limit of %d in %s (%s); the highest score is %.1f; "+
		"most often %s", plural.Of(w.Alerts, "alert"), r.ID, w.First.UTC().Format(time.RFC3339),
		w.Last.UTC().Format(time.RFC3339), w.Limit.Alerts, minutes(w.Limit.Per), plural.Of(w.Matches, "match"), w.MaxScore,
		who)
}

// rareReason says how rare the user is, and who is common.
func (f *Finding) rareReason() string {
	who := account(f.User)
	if a := f.Actor; a.Name != "" && a.Name != f.User && who != (Actor{ID: a.ID}).String() {
		who = fmt.Sprintf("%s (logged in as %s)", who, a.Name)
	}
	often := "has rarely %s"
	if f.FirstOccurrence {
		often = "has never %s before"
	}
	return fmt.Sprintf("%s "+often+" in %s of %s%s",
		who, f.Rule.Habit, plural.Of(f.Buckets, "interval"), minutes(f.BucketSpan), usually(f.TypicalUsers))
}

// account is a user as the rare model knows it, a name or a decimal id, in words.
func account(user string) string {
	if id, err := strconv.ParseUint(user, 10, 32); err == nil {
		return Actor{ID: uint32(id)}.String()
	}
	return cmp.Or(user, Actor{ID: process.Unset}.String())
}

// as is whom the actor acts as. It is empty where that is the actor, and where nobody can know, because one is known by
// id and the other by name.
func (f *Finding) as() string {
	user := f.Context.Match.Value(habit.As)
	id, err := strconv.ParseUint(user, 10, 32)
	switch {
	case user == "" || f.Context.Match.AsSelf():
		return ""
	case err == nil && f.Actor.ID != process.Unset && uint32(id) != f.Actor.ID:
	case f.Actor.Name != "" && f.Actor.Name != f.User && account(f.User) == f.User:
	default:
		return ""
	}
	return account(f.User)
}

// mostNamed is how many parts a reason names.
const mostNamed = 5

// contextReason says how new the actor is, and names the parts that surprise most, each with the value that did, which
// may be that of an earlier match of the visit.
func (f *Finding) contextReason() string {
	opening, first, then := f.opening()
	reason := opening
	for i, p := range f.namedParts(first) {
		reason += []string{then, ", "}[min(i, 1)] + habit.Describe(p, f.Context.Unusual.Text(p))
	}
	if f.Aftermath.AlertID != "" {
		reason += fmt.Sprintf("; %s alerted %s before", f.Aftermath.Account, before(f.Visit.Start.Sub(f.Aftermath.Alerted)))
	}
	return f.again() + reason + usually(f.TypicalUsers)
}

// opening is the first half of the sentence, the parts that must follow it, and what joins the two.
func (f *Finding) opening() (text string, first []int, then string) {
	c, who := f.Context, f.Actor.String()
	if as := f.as(); as != "" {
		who += " (as " + as + ")"
	}
	switch {
	case c.First:
		text, first = f.neverBefore(who)
		return text, first, "; "
	case c.Parts[habit.Frequency] >= habit.WorthNaming && c.Silent >= 48*time.Hour:
		silent := plural.Of(int(c.Silent/(24*time.Hour)), "day")
		return fmt.Sprintf("%s had not %s on this host for %s", who, f.Rule.Habit, silent), nil, "; "
	case c.Parts[habit.Frequency] >= habit.WorthNaming:
		return fmt.Sprintf("%s has rarely %s on this host%s", who, f.Rule.Habit, within(c.Days)), nil, "; "
	}
	return fmt.Sprintf("%s has %s in an unusual way", who, f.Rule.Habit), nil, ": "
}

// neverBefore is the opening on an actor who is new, and the parts that say how they came.
func (f *Finding) neverBefore(who string) (text string, first []int) {
	c := f.Context
	by, parent := "", c.Unusual.Value(habit.Parent)
	switch {
	case !c.KnownElsewise:
		first = []int{habit.Parent, habit.TTY}
	case c.Unusual.Class == habit.Person:
		by = map[bool]string{true: " on a terminal", false: " without a terminal"}[c.Unusual.OnTerminal()]
		first = []int{habit.Parent}
	default:
		by = " through " + cmp.Or(parent, "an unknown parent")
		first = []int{habit.TTY}
	}
	if parent == "" {
		first = slices.DeleteFunc(first, func(p int) bool { return p == habit.Parent })
	}
	did := f.Rule.Habit + by
	switch {
	case !c.Lapsed.IsZero(): // only an alert makes somebody be forgotten
		away := plural.Of(int(f.Visit.Start.Sub(c.Lapsed)/(24*time.Hour)), "day")
		return fmt.Sprintf("%s had not %s on this host for %s, since an alert", who, did, away), first
	case f.Visit.Matches > 1:
		return fmt.Sprintf("%s had never %s on this host%s, until this visit", who, did, within(c.Days)), first
	}
	return fmt.Sprintf("%s has never %s on this host%s", who, did, within(c.Days)), first
}

// Explained is what a part of the score says, in words.
type Explained struct {
	Nats  float64 // what it adds to the surprise; negative: it speaks against
	Words string  // such as "parent bash", at most partBytes long
}

// String is the part on one line, the number first.
func (e Explained) String() string { return fmt.Sprintf("%+.2f %s", e.Nats, e.Words) }

// partBytes bounds the words of a part.
const partBytes = 160

// Explained are the parts of the score in words, the greatest first, without those that are nearly 0; none where the
// context model is not in charge.
func (f *Finding) Explained() (all []Explained) {
	if f.Context == nil {
		return nil
	}
	for p, nats := range f.Context.Parts {
		if nats = cents(nats); nats >= leastExplained || nats <= -leastExplained {
			all = append(all, Explained{Nats: nats, Words: f.partInWords(p)})
		}
	}
	slices.SortStableFunc(all, func(a, b Explained) int { return cmp.Compare(b.Nats, a.Nats) })
	return all
}

// leastExplained is from where on a part is worth a line.
const leastExplained = 0.05

// partInWords names a part and the value that it was judged by.
func (f *Finding) partInWords(part int) string {
	c := f.Context
	switch part {
	case habit.Newness:
		if c.Parts[part] > 0 {
			return "an actor who was never seen in this way"
		}
		return "an actor who is known"
	case habit.Frequency:
		if c.Silent > 0 {
			return "how seldom they do this; the last time is " + ago(c.Silent)
		}
		return "how seldom they do this"
	case habit.NetworkWide:
		return "the wider network: " + habit.Describe(part, c.Unusual.Text(part))
	}
	words := habit.Describe(part, c.Unusual.Text(part))
	if len(words) > partBytes {
		words = strings.ToValidUTF8(words[:partBytes-len("…")], "") + "…"
	}
	return words
}

// namedParts are the parts that the reason names: those that come first, then the greatest.
func (f *Finding) namedParts(first []int) []int {
	parts := f.Context.Parts
	parts[habit.Network] += parts[habit.NetworkWide] + parts[habit.Origin]
	// The opening has these, or Network stands for them.
	skip := []int{habit.Newness, habit.Frequency, habit.NetworkWide, habit.Origin}
	if f.as() != "" {
		skip = append(skip, habit.As)
	}
	if f.Context.Unusual.Value(habit.Parent) == "" {
		skip = append(skip, habit.Parent)
	}
	named := slices.Clone(first)
	for p := range habit.Parts {
		if parts[p] >= habit.WorthNaming && !slices.Contains(skip, p) && !slices.Contains(first, p) {
			named = append(named, p)
		}
	}
	slices.SortStableFunc(named[len(first):], func(a, b int) int { return cmp.Compare(parts[b], parts[a]) })
	return named[:min(mostNamed, len(named))]
}

// reason names those who would have raised an alert a month later, and counts the others.
func (r *Report) reason(rule *Rule) string {
	unusual := r.actorLines(rule.Threshold)
	others := len(r.Actors) - len(unusual)
	if len(unusual) == 0 {
		return fmt.Sprintf("until now %s %s, none of whom would be unusual on a host watched for a month",
			plural.Of(others, "actor"), rule.Habit)
	}
	reason := "would be unusual on a host watched for a month, and are usual from now on: " + strings.Join(unusual, "; ")
	if others > 0 {
		reason += "; beside " + plural.Of(others, "other actor")
	}
	return reason
}

// actorLines describe the actors whose score after a month is at least least, one a line.
func (r *Report) actorLines(least float64) (lines []string) {
	for i := range r.Actors {
		if a := &r.Actors[i]; a.AfterAMonth >= least {
			lines = append(lines, actorLine(a))
		}
	}
	return lines
}

// actorLine describes an actor: who, by which parent or on a terminal, how often, by which command, from where.
func actorLine(p *habit.Profile) string {
	who := p.Name
	if who == "" {
		who = "uid " + p.ID
	}
	if p.ID == "" && p.Name == "" {
		who = Actor{ID: process.Unset}.String()
	}
	if p.Container != "" {
		who += " in " + p.Container
	}
	by := habit.Parent
	if p.Class == habit.Person.String() {
		by = habit.TTY
	}
	line := fmt.Sprintf("%s (%s, %s), %s", who, p.Class, habit.Describe(by, p.Way), plural.Of(p.Visits, "visit"))
	for _, part := range []int{habit.Command, habit.Network} {
		if seen := p.Features[habit.PartNames[part]]; len(seen) > 0 && seen[0].Value != "none" {
			line += ", " + habit.Describe(part, seen[0].Value)
		}
	}
	return line
}

// hours is a short time in days as hours.
func hours(days float64) string {
	n := int(days*24 + 0.5)
	if n == 0 {
		return "less than an hour"
	}
	return plural.Of(n, "hour")
}

// within is in how many days something has never been, or rarely. A young model has watched for less than one.
func within(days float64) string {
	if days < 1 {
		return ", watched for less than a day"
	}
	return " in " + plural.Of(int(days), "day")
}

// ago is how long something is past.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "a moment ago"
	case d < time.Hour:
		return plural.Of(int(d/time.Minute), "minute") + " ago"
	}
	return plural.Of(int(d/time.Hour), "hour") + " ago"
}

// before is how long something was before something else, in its greatest unit.
func before(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "moments"
	case d < 2*time.Hour:
		return plural.Of(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return plural.Of(int(d/time.Hour), "hour")
	}
	return plural.Of(int(d/(24*time.Hour)), "day")
}

func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return plural.Of(int(d/time.Minute), "minute")
	}
	return d.String()
}

// usually names who usually does it, behind a semicolon; empty where nobody does.
func usually(users []string) string {
	if len(users) == 0 {
		return ""
	}
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = account(u)
	}
	return "; usually " + list(names) + map[bool]string{true: " does", false: " do"}[len(users) == 1]
}

func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
