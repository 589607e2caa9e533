// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector/context"
	"github.com/reconbeat/reconbeat/process"
)

// Kind tells what a Finding is.
type Kind uint8

// The kinds of Finding.
const (
	Observation Kind = iota + 1 // a match below the threshold
	Alert                       // a match over the threshold that opens an episode, or reaches a higher band in one
	Repeat                      // a match over the threshold in an episode that has alerted, or any in a context that the actor is on probation in
	Suppressed                  // a match over the threshold that a decision kept back
	Summary                     // an episode that closed; from Advance, or from the Judge that opens the next one
	Habitual                    // a context that raised an alert has become a habit; from the Judge of the match that made it one
	Learned                     // a model has become old enough to alert; from Advance
)

// Actor is who a finding is about: the login user when a person is behind it, else the service account.
type Actor struct {
	ID      uint32 // process.Unset where only the name is known
	Name    string // empty where only the id is known
	Service bool   // nobody's presence: a daemon, a cron job
}

// String is the actor's name, or "uid 1000" where there is none.
func (a Actor) String() string {
	if a.Name != "" {
		return a.Name
	}
	if a.ID != process.Unset {
		return fmt.Sprintf("uid %d", a.ID)
	}
	return "an unknown user"
}

// The fields that tell the actor.
const (
	actorName = "reconbeat.actor.name"
	actorID   = "reconbeat.actor.id"
	actorKind = "reconbeat.actor.kind"
)

func (a Actor) name() any { return orNil(a.Name) }

func (a Actor) id() any {
	if a.ID == process.Unset {
		return nil
	}
	return fmt.Sprint(a.ID)
}

func (a Actor) kind() any {
	if a.Service {
		return "service"
	}
	return "login"
}

// Encode puts the actor's fields into the document of an event that there is no finding on. Of an unknown actor there
// are none.
func (a Actor) Encode(into mapstr.M) {
	if a.Name == "" && a.ID == process.Unset {
		return
	}
	for field, v := range map[string]any{actorName: a.name(), actorID: a.id(), actorKind: a.kind()} {
		if v != nil {
			_, _ = into.Put(field, v) // the document is ours: no part of the way is anything but an object
		}
	}
}

// Command is a command line of an episode and how often it was.
type Command struct {
	Line  string `json:"line"`
	Count int    `json:"count"`
}

// Episode is what an actor did under a rule from the first exec on that was over the threshold, or in a context that they are on probation in.
type Episode struct {
	ID       string
	Start    time.Time // of the opening exec
	Last     time.Time // of the last such exec
	Execs    int       // how many there were
	Alerts   int       // the opening one and escalations
	MaxScore float64
	Commands []Command // the first distinct ones, at most episodeCommands
}

// Finding is what the detector has to say of one exec under one rule, or of one episode at its end.
type Finding struct {
	Kind      Kind
	Rule      *Rule
	Time      time.Time // of the exec, or of the episode's close
	Local     time.Time // of the exec, by the clock on the wall of its host; zero in a Summary
	Actor     Actor
	User      string // user.name as the rare model knows it
	Program   string // the rule's program that ran
	Threshold float64

	Score           float64 // of the model in charge, 0 to 100
	RecordScore     float64 // of rare, as if its bucket closed with this exec
	Probability     float64
	FirstOccurrence bool
	BucketStart     time.Time
	BucketSpan      time.Duration
	Buckets         int      // learned so far
	Users           int      // known to the model
	Habit           Habit    // when the actor's probation ends; of alerts only
	TypicalUsers    []string // who usually does this, the most frequent first; of alerts only
	Context         *Context // what the context model says; nil: it is not in charge
	Learning        bool     // the context model is too young to alert

	Visit  Visit  // that the match belongs to; zero where the context model is not in charge
	Became Became // of Habitual
	Report Report // of Learned

	AlertID   string // the _id of the alert; of a Repeat and a Summary, that of the one which opened the episode
	EarlierID string // of an escalation: the alert that opened the episode; else the last one that the actor is on probation for
	Escalated bool
	Episode   Episode // empty for Observation and Suppressed
}

// Visit is what an actor does under a rule without a pause.
type Visit struct {
	ID       string
	Start    time.Time // of its first match
	Matches  int       // until now, this one included
	Commands []Command // the first distinct ones, this one's included; of alerts alone
}

// Became is a context that has become a habit.
type Became struct {
	Context []string // in words
	Since   time.Time
	Days    int // on how many it was seen
}

// Report is what a rule has learned of a host by the time from which on it may alert.
type Report struct {
	Host   string            // its id; empty: this host
	Days   float64           // for how long it was watched
	Actors []context.Profile // all that looked
}

// Context is what the context model says of an exec, and what it saw.
type Context struct {
	context.Result
	Look    context.Look    // its strings are views into the event
	Profile context.Profile // what is usual for the actor; of execs over the threshold
	Known   bool            // there is a Profile: the actor was seen before
}

// OfExec reports whether the finding is about one exec, which has a document of its own.
func (f *Finding) OfExec() bool { return f.Kind <= Suppressed }

// Message is the alert's short title: the rule and the actor.
func (f *Finding) Message() string {
	switch f.Kind {
	case Habitual:
		return fmt.Sprintf("%s by %s has become a habit", f.Rule.Name, f.Actor)
	case Learned:
		return fmt.Sprintf("%s: alerts begin, %s learned in %s", f.Rule.Name, plural(len(f.Report.Actors), "actor"), hours(f.Report.Days))
	case Summary:
		title := fmt.Sprintf("%s by %s: %s", f.Rule.Name, f.Actor, plural(f.Episode.Execs, "exec"))
		if span := f.Episode.Last.Sub(f.Episode.Start).Round(time.Second); span > 0 {
			title += " over " + span.String()
		}
		return title
	}
	return fmt.Sprintf("%s by %s", f.Rule.Name, f.Actor)
}

// Reason is one sentence on why this is unusual, for the person who must decide.
func (f *Finding) Reason() string {
	switch f.Kind {
	case Habitual:
		return fmt.Sprintf("%s has %s on %s since %s: %s; alerts on it end", f.Actor, f.Rule.Habit, plural(f.Became.Days, "day"),
			f.Became.Since.UTC().Format(time.RFC3339), strings.Join(f.Became.Context, ", "))
	case Learned:
		return f.Report.reason(f.Rule)
	case Summary:
		lines := make([]string, len(f.Episode.Commands))
		for i, c := range f.Episode.Commands {
			lines[i] = c.Line
		}
		start, last := f.Episode.Start.UTC().Format(time.RFC3339), f.Episode.Last.UTC().Format(time.RFC3339)
		when := "at " + start
		if last != start {
			when = "between " + start + " and " + last
		}
		times := plural(f.Episode.Execs, "time")
		return fmt.Sprintf("%s %s %s %s: %s", f.Actor, f.Rule.Habit, times, when, strings.Join(lines, "; "))
	}
	if f.Context != nil {
		return f.contextReason()
	}
	var b strings.Builder
	who := account(f.User)
	if a := f.Actor; a.Name != "" && a.Name != f.User && account(f.User) != (Actor{ID: a.ID}).String() {
		who = fmt.Sprintf("%s (logged in as %s)", who, a.Name)
	}
	if f.FirstOccurrence {
		fmt.Fprintf(&b, "%s has never %s before", who, f.Rule.Habit)
	} else {
		fmt.Fprintf(&b, "%s has rarely %s", who, f.Rule.Habit)
	}
	fmt.Fprintf(&b, " in %s of %s", plural(f.Buckets, "interval"), minutes(f.BucketSpan))
	if len(f.TypicalUsers) > 0 {
		b.WriteString(typical(f.TypicalUsers))
	}
	return b.String()
}

// account is a user as the rare model knows it, a name or a decimal id, in words.
func account(user string) string {
	if id, err := strconv.ParseUint(user, 10, 32); err == nil {
		return Actor{ID: uint32(id)}.String()
	}
	return cmp.Or(user, Actor{ID: process.Unset}.String())
}

// as is whom the actor acts as. It is empty where that is the actor, and where it cannot be told, because one is known
// by id and the other by name.
func (f *Finding) as() string {
	user := f.Context.Look.Value(context.As)
	id, err := strconv.ParseUint(user, 10, 32)
	switch {
	case user == "" || f.Context.Look.AsSelf():
		return ""
	case err == nil && f.Actor.ID != process.Unset && uint32(id) != f.Actor.ID:
	case f.Actor.Name != "" && f.Actor.Name != f.User && account(f.User) == f.User:
	default:
		return ""
	}
	return account(f.User)
}

// told is how much a part must add to the surprise to be told, and toldMost how many are.
const (
	told     = 0.7
	toldMost = 5
)

// contextReason tells the parts that surprise most, each with the value that did, which may be an earlier look's of the visit.
func (f *Finding) contextReason() string {
	c := f.Context
	look := &c.Unusual
	who, as, parent := f.Actor.String(), f.as(), look.Value(context.Parent)
	if as != "" {
		who += " (as " + as + ")"
	}
	var tells []int
	var b strings.Builder
	then := "; "
	switch {
	case c.First:
		// A look that escalates comes when the actor is known, by the one that began the visit.
		has, until := "has", ""
		if c.Known && !c.New {
			has, until = "had", ", until "+ago(f.Time.Sub(c.Profile.First))
		}
		fmt.Fprintf(&b, "%s %s never %s", who, has, f.Rule.Habit)
		switch {
		case !c.KnownElsewise:
			tells = append(tells, context.Parent, context.TTY)
		case look.Class == context.Person:
			b.WriteString(map[bool]string{true: " on a terminal", false: " without a terminal"}[look.OnTerminal()])
			tells = append(tells, context.Parent)
		default:
			if parent != "" {
				b.WriteString(" through " + parent)
			}
			tells = append(tells, context.TTY)
		}
		fmt.Fprintf(&b, " on this host%s%s", within(c.Days), until)
	case c.Parts[context.Frequency] >= told && c.Silent >= 48*time.Hour:
		fmt.Fprintf(&b, "%s had not %s on this host for %s", who, f.Rule.Habit, plural(int(c.Silent/(24*time.Hour)), "day"))
	case c.Parts[context.Frequency] >= told:
		fmt.Fprintf(&b, "%s has rarely %s on this host%s", who, f.Rule.Habit, within(c.Days))
	default:
		fmt.Fprintf(&b, "%s has %s in an unusual way", who, f.Rule.Habit)
		then = ": "
	}
	if parent == "" {
		tells = slices.DeleteFunc(tells, func(p int) bool { return p == context.Parent })
	}
	given := len(tells)
	parts := c.Parts
	parts[context.Network] += parts[context.NetworkWide] + parts[context.Origin]
	for p := range context.Parts {
		named := p == context.Newness || p == context.Frequency || p == context.NetworkWide || p == context.Origin ||
			p == context.As && as != "" || p == context.Parent && parent == ""
		if parts[p] >= told && !named && !slices.Contains(tells, p) {
			tells = append(tells, p)
		}
	}
	slices.SortStableFunc(tells[given:], func(a, b int) int { return cmp.Compare(parts[b], parts[a]) })
	for i, p := range tells[:min(toldMost, len(tells))] {
		b.WriteString([]string{then, ", "}[min(i, 1)])
		b.WriteString(context.Tell(p, look.Text(p)))
	}
	if len(f.TypicalUsers) > 0 {
		b.WriteString(typical(f.TypicalUsers))
	}
	return b.String()
}

// reason names those who would have raised an alert a month later, and counts the others.
func (r *Report) reason(rule *Rule) string {
	var unusual []string
	for i := range r.Actors {
		if a := &r.Actors[i]; a.AfterAMonth >= rule.Threshold {
			unusual = append(unusual, actorLine(a))
		}
	}
	others := len(r.Actors) - len(unusual)
	if len(unusual) == 0 {
		return fmt.Sprintf("until now %s %s, none of whom would be unusual on a host of a month", plural(others, "actor"), rule.Habit)
	}
	reason := "would be unusual on a host of a month, and are usual from now on: " + strings.Join(unusual, "; ")
	if others > 0 {
		reason += "; beside " + plural(others, "other actor")
	}
	return reason
}

// lines tell the actors whose score after a month is at least least.
func (r *Report) lines(least float64) any {
	var out []string
	for i := range r.Actors {
		if a := &r.Actors[i]; a.AfterAMonth >= least {
			out = append(out, actorLine(a))
		}
	}
	return listOrNil(out)
}

// actorLine tells an actor in one line: who, in which way, how often, by which command, from where.
func actorLine(p *context.Profile) string {
	who := p.Name
	if who == "" {
		who = "uid " + p.ID
	}
	if p.ID == "" && p.Name == "" {
		who = Actor{ID: process.Unset}.String()
	}
	way := context.Parent
	if p.Class == context.Person.String() {
		way = context.TTY
	}
	line := fmt.Sprintf("%s (%s, %s), %s", who, p.Class, context.Tell(way, p.Way), plural(p.Visits, "visit"))
	for _, part := range []int{context.Command, context.Network} {
		if seen := p.Features[context.PartNames[part]]; len(seen) > 0 && seen[0].Value != "none" {
			line += ", " + context.Tell(part, seen[0].Value)
		}
	}
	return line
}

// hours tells a short time in days as hours.
func hours(days float64) string {
	n := int(days*24 + 0.5)
	if n == 0 {
		return "less than an hour"
	}
	return plural(n, "hour")
}

// within tells in how many days something has never been, or rarely. A young model has watched for less than one.
func within(days float64) string {
	if days < 1 {
		return ", watched for less than a day"
	}
	return " in " + plural(int(days), "day")
}

// ago tells how long something is past.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "a moment ago"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	}
	return plural(int(d/time.Hour), "hour") + " ago"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return plural(int(d/time.Minute), "minute")
	}
	return d.String()
}

// typical tells who usually does it.
func typical(users []string) string {
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

// Field is one field of the documents that a Finding fills.
type Field struct {
	Name string
	Type string // as in Elasticsearch: keyword, long, float, double, boolean, date, text
	// Raw: it is in raw events as well: who looked, when by their clock, how unusual that is, and which alert it belongs to.
	Raw bool
	get func(*Finding) any // nil: the document has no such field
}

// Fields is the table of what a Finding adds to a document. The process and the host come from the exec's own document.
var Fields = slices.Concat(fields, partFields())

// partFields are the context model's parts, a field each.
func partFields() []Field {
	var out []Field
	for p, name := range context.PartNames {
		out = append(out, Field{Name: "reconbeat.anomaly.parts." + name, Type: "float", Raw: true, get: inContext(func(c *Context) any {
			if v := cents(c.Parts[p]); v != 0 {
				return v
			}
			return nil
		})})
	}
	return out
}

var fields = []Field{
	{Name: "message", Type: "match_only_text", get: func(f *Finding) any { return f.Message() }},
	{Name: "event.reason", Type: "keyword", Raw: true, get: func(f *Finding) any {
		if f.OfExec() && f.Score < f.Threshold && !f.FirstOccurrence {
			return nil
		}
		return f.Reason()
	}},
	{Name: "event.severity", Type: "long", get: alertOnly(func(f *Finding) any { return f.Rule.SeverityNumber() })},
	{Name: "event.risk_score", Type: "float", get: alertOnly(func(f *Finding) any { return f.Rule.RiskScore })},
	{Name: "event.reference", Type: "keyword", get: func(f *Finding) any { return first(f.Rule.References) }},

	{Name: "rule.id", Type: "keyword", get: func(f *Finding) any { return f.Rule.ID }},
	{Name: "rule.name", Type: "keyword", get: func(f *Finding) any { return f.Rule.Name }},
	{Name: "rule.version", Type: "keyword", get: func(f *Finding) any { return fmt.Sprint(f.Rule.Version) }},
	{Name: "rule.description", Type: "keyword", get: func(f *Finding) any { return orNil(f.Rule.Description) }},
	{Name: "rule.category", Type: "keyword", get: func(f *Finding) any { return tactics(f.Rule) }},
	{Name: "rule.reference", Type: "keyword", get: func(f *Finding) any { return first(f.Rule.References) }},
	{Name: "rule.author", Type: "keyword", get: func(f *Finding) any { return listOrNil(f.Rule.Author) }},
	{Name: "rule.license", Type: "keyword", get: func(f *Finding) any { return orNil(f.Rule.License) }},
	{Name: "rule.ruleset", Type: "keyword", get: func(*Finding) any { return "reconbeat" }},

	{Name: "threat.framework", Type: "keyword", get: func(f *Finding) any { return ifAny(len(f.Rule.Threat), "MITRE ATT&CK") }},
	{Name: "threat.tactic.id", Type: "keyword", get: threats(true, func(t Technique) string { return t.ID })},
	{Name: "threat.tactic.name", Type: "keyword", get: threats(true, func(t Technique) string { return t.Name })},
	{Name: "threat.tactic.reference", Type: "keyword", get: threats(true, Technique.Reference)},
	{Name: "threat.technique.id", Type: "keyword", get: threats(false, func(t Technique) string { return t.ID })},
	{Name: "threat.technique.name", Type: "keyword", get: threats(false, func(t Technique) string { return t.Name })},
	{Name: "threat.technique.reference", Type: "keyword", get: threats(false, Technique.Reference)},

	{Name: actorName, Type: "keyword", Raw: true, get: func(f *Finding) any { return f.Actor.name() }},
	{Name: actorID, Type: "keyword", Raw: true, get: someonesOnly(func(a Actor) any { return a.id() })},
	{Name: actorKind, Type: "keyword", Raw: true, get: someonesOnly(func(a Actor) any { return a.kind() })},

	// Keywords whose order is that of time, so that they can be the axes of a heat map of the week.
	{Name: "reconbeat.local.weekday", Type: "keyword", Raw: true, get: execOnly(func(f *Finding) any { return weekday(f.Local) })},
	{Name: "reconbeat.local.hour", Type: "keyword", Raw: true, get: execOnly(func(f *Finding) any { return f.Local.Format("15") })},

	{Name: "reconbeat.actor.first_seen", Type: "date", get: usual(func(p *context.Profile) any { return date(p.First) })},
	{Name: "reconbeat.actor.last_seen", Type: "date", get: usual(func(p *context.Profile) any { return date(p.Last) })},
	{Name: "reconbeat.actor.active_days", Type: "long", get: usual(func(p *context.Profile) any { return p.Days })},
	{Name: "reconbeat.actor.usual.commands", Type: "keyword", get: usual(usualValues(context.Command))},
	{Name: "reconbeat.actor.usual.parents", Type: "keyword", get: usual(usualValues(context.Parent))},
	{Name: "reconbeat.actor.usual.networks", Type: "keyword", get: usual(usualValues(context.Network))},
	{Name: "reconbeat.actor.usual.hours", Type: "long", get: usual(func(p *context.Profile) any {
		if len(p.Hours) == 0 {
			return nil
		}
		return p.Hours
	})},

	{Name: "reconbeat.anomaly.score", Type: "float", Raw: true, get: func(f *Finding) any {
		switch {
		case f.Kind == Summary:
			return cents(f.Episode.MaxScore)
		case !f.OfExec():
			return nil
		}
		return cents(f.Score)
	}},
	{Name: "reconbeat.anomaly.yearly", Type: "double", Raw: true, get: inContext(func(c *Context) any {
		if math.IsInf(c.Yearly, 1) {
			return nil
		}
		return significant(c.Yearly)
	})},
	{Name: "reconbeat.anomaly.surprise", Type: "float", Raw: true, get: inContext(func(c *Context) any { return cents(c.Surprise) })},
	{Name: "reconbeat.anomaly.learned_days", Type: "float", Raw: true, get: inContext(func(c *Context) any { return cents(c.Days) })},
	{Name: "reconbeat.anomaly.learning", Type: "boolean", Raw: true, get: func(f *Finding) any {
		if !f.Learning {
			return nil
		}
		return true
	}},
	{Name: "reconbeat.anomaly.record_score", Type: "float", Raw: true, get: execOnly(func(f *Finding) any { return cents(f.RecordScore) })},
	{Name: "reconbeat.anomaly.probability", Type: "double", Raw: true, get: execOnly(func(f *Finding) any { return significant(f.Probability) })},
	{Name: "reconbeat.anomaly.threshold", Type: "float", Raw: true, get: func(f *Finding) any { return f.Threshold }},
	{Name: "reconbeat.anomaly.first_occurrence", Type: "boolean", Raw: true, get: execOnly(func(f *Finding) any { return f.FirstOccurrence })},
	{Name: "reconbeat.anomaly.typical_users", Type: "keyword", get: execOnly(func(f *Finding) any { return listOrNil(f.TypicalUsers) })},
	{Name: "reconbeat.anomaly.bucket.start", Type: "date", get: execOnly(func(f *Finding) any { return date(f.BucketStart) })},
	{Name: "reconbeat.anomaly.bucket.span", Type: "long", get: execOnly(func(f *Finding) any { return int64(f.BucketSpan / time.Second) })},
	{Name: "reconbeat.anomaly.buckets", Type: "long", get: execOnly(func(f *Finding) any { return f.Buckets })},
	{Name: "reconbeat.anomaly.users", Type: "long", get: execOnly(func(f *Finding) any { return f.Users })},

	{Name: "reconbeat.process.disguise", Type: "keyword", Raw: true, get: inContext(func(c *Context) any { return orNil(c.Look.Disguised()) })},
	{Name: "reconbeat.visit.id", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.Visit.ID) }},
	{Name: "reconbeat.visit.start", Type: "date", Raw: true, get: func(f *Finding) any { return date(f.Visit.Start) }},
	{Name: "reconbeat.visit.matches", Type: "long", Raw: true, get: func(f *Finding) any { return orNone(f.Visit.Matches) }},
	{Name: "reconbeat.visit.commands", Type: "keyword", get: func(f *Finding) any { return lines(f.Visit.Commands) }},

	{Name: "reconbeat.alert.id", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.AlertID) }},
	{Name: "reconbeat.alert.earlier_id", Type: "keyword", get: func(f *Finding) any { return orNil(f.EarlierID) }},
	{Name: "reconbeat.alert.escalated", Type: "boolean", get: alertOnly(func(f *Finding) any { return f.Escalated })},
	{Name: "reconbeat.habit.days", Type: "long", get: func(f *Finding) any { return orNone(f.Habit.Days) }},
	{Name: "reconbeat.habit.span", Type: "long", get: func(f *Finding) any { return orNone(int(f.Habit.Span / time.Second)) }},
	{Name: "reconbeat.habit.context", Type: "keyword", get: func(f *Finding) any { return listOrNil(f.Became.Context) }},
	{Name: "reconbeat.habit.since", Type: "date", get: func(f *Finding) any { return date(f.Became.Since) }},
	{Name: "reconbeat.habit.seen_days", Type: "long", get: func(f *Finding) any { return orNone(f.Became.Days) }},
	{Name: "reconbeat.learned.days", Type: "float", get: learnedOnly(func(f *Finding) any { return cents(f.Report.Days) })},
	{Name: "reconbeat.learned.actors", Type: "keyword", get: learnedOnly(func(f *Finding) any { return f.Report.lines(0) })},
	{Name: "reconbeat.learned.unusual", Type: "keyword", get: learnedOnly(func(f *Finding) any { return f.Report.lines(f.Threshold) })},
	{Name: "reconbeat.program", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.Program) }},
	{Name: "reconbeat.episode.id", Type: "keyword", get: func(f *Finding) any { return orNil(f.Episode.ID) }},
	{Name: "reconbeat.episode.start", Type: "date", get: func(f *Finding) any { return date(f.Episode.Start) }},
	{Name: "reconbeat.episode.last", Type: "date", get: summaryOnly(func(f *Finding) any { return date(f.Episode.Last) })},
	{Name: "reconbeat.episode.execs", Type: "long", get: summaryOnly(func(f *Finding) any { return f.Episode.Execs })},
	{Name: "reconbeat.episode.alerts", Type: "long", get: summaryOnly(func(f *Finding) any { return f.Episode.Alerts })},
	{Name: "reconbeat.episode.commands", Type: "keyword", get: summaryOnly(func(f *Finding) any { return lines(f.Episode.Commands) })},
}

// usual tells of an alert what is usual for its actor.
func usual(get func(*context.Profile) any) func(*Finding) any {
	return alertOnly(func(f *Finding) any {
		if f.Context == nil || !f.Context.Known {
			return nil
		}
		return get(&f.Context.Profile)
	})
}

func usualValues(part int) func(*context.Profile) any {
	return func(p *context.Profile) any {
		var values []string
		for _, seen := range p.Features[context.PartNames[part]] {
			values = append(values, seen.Value)
		}
		return listOrNil(values)
	}
}

func orNone(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func inContext(get func(*Context) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Context == nil {
			return nil
		}
		return get(f.Context)
	}
}

// Encode puts the finding's fields into a document.
func Encode(f *Finding, into mapstr.M) {
	for i := range Fields {
		if v := Fields[i].get(f); v != nil {
			_, _ = into.Put(Fields[i].Name, v) // the document is ours: no part of the way is anything but an object
		}
	}
}

// EncodeRaw puts only what raw events carry.
func (f *Finding) EncodeRaw(into mapstr.M) {
	for i := range Fields {
		if Fields[i].Raw {
			if v := Fields[i].get(f); v != nil {
				_, _ = into.Put(Fields[i].Name, v)
			}
		}
	}
}

func alertOnly(get func(*Finding) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind != Alert {
			return nil
		}
		return get(f)
	}
}

func execOnly(get func(*Finding) any) func(*Finding) any {
	return func(f *Finding) any {
		if !f.OfExec() {
			return nil
		}
		return get(f)
	}
}

// someonesOnly tells the actor of findings that are about one.
func someonesOnly(get func(Actor) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind == Learned {
			return nil
		}
		return get(f.Actor)
	}
}

func learnedOnly(get func(*Finding) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind != Learned {
			return nil
		}
		return get(f)
	}
}

// lines are the commands' lines.
func lines(commands []Command) any {
	out := make([]string, len(commands))
	for i, c := range commands {
		out[i] = c.Line
	}
	return listOrNil(out)
}

func summaryOnly(get func(*Finding) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind != Summary {
			return nil
		}
		return get(f)
	}
}

func threats(tactic bool, of func(Technique) string) func(*Finding) any {
	return func(f *Finding) any {
		var out []string
		for _, t := range f.Rule.Threat {
			if tactic {
				out = append(out, of(t.Tactic))
				continue
			}
			for _, q := range t.Technique {
				out = append(out, of(q))
			}
		}
		return listOrNil(out)
	}
}

func tactics(r *Rule) any {
	for _, t := range r.Threat {
		return t.Tactic.Name
	}
	return nil
}

func first(s []string) any {
	if len(s) == 0 {
		return nil
	}
	return s[0]
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func listOrNil(s []string) any {
	if len(s) == 0 {
		return nil
	}
	return s
}

func ifAny(n int, v any) any {
	if n == 0 {
		return nil
	}
	return v
}

func date(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// weekday is the day of the week, by its number and its name: the week begins on Monday, as ISO 8601 has it.
func weekday(t time.Time) string {
	return fmt.Sprintf("%d %s", (t.Weekday()+6)%7+1, t.Weekday())
}

// cents rounds a score to two decimals: what is published is the same on every architecture.
func cents(v float64) float64 { return math.Round(v*100) / 100 }

// significant rounds a probability to six significant digits, for the same reason.
func significant(p float64) float64 {
	if p <= 0 {
		return p
	}
	unit := math.Pow(10, 5-math.Floor(math.Log10(p)))
	return math.Round(p*unit) / unit
}
