// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector/habit"
)

// Field is one field of the documents that a Finding fills.
type Field struct {
	Name string
	Type string // as in Elasticsearch: keyword, long, float, double, boolean, date, text
	// Raw fields are in raw events as well: who did it, when by their clock, how unusual that is, and which alert it
	// belongs to.
	Raw bool
	get func(*Finding) any // nil: the document has no such field
}

// Fields is the table of what a Finding adds to a document. The process and the host come from the exec's own document.
var Fields = slices.Concat(fields, partFields())

// partFields are the context model's parts, a field each.
func partFields() []Field {
	var out []Field
	for p, name := range habit.PartNames {
		part := func(c *Context) any {
			if v := cents(c.Parts[p]); v != 0 {
				return v
			}
			return nil
		}
		out = append(out, Field{
			Name: "reconbeat.anomaly.parts." + name, Type: "float", Raw: true, get: inContext(part),
		})
	}
	return out
}

var fields = []Field{
	{Name: "message", Type: "match_only_text", get: func(f *Finding) any { return f.Message() }},
	{Name: "event.reason", Type: "keyword", Raw: true, get: func(f *Finding) any {
		if f.OfExec() && f.Score < f.Threshold && !f.FirstOccurrence && f.Kind != Alert {
			return nil
		}
		return f.Reason()
	}},
	{Name: "event.severity", Type: "long", get: alertOnly(func(f *Finding) any { return f.severity() })},
	{Name: "event.risk_score", Type: "float", get: alertOnly(func(f *Finding) any { return f.riskScore() })},
	{Name: "event.reference", Type: "keyword", get: func(f *Finding) any { return first(f.Rule.References) }},

	{Name: "rule.id", Type: "keyword", get: func(f *Finding) any { return f.Rule.ID }},
	{Name: "rule.name", Type: "keyword", get: func(f *Finding) any { return f.Rule.Name }},
	{Name: "rule.version", Type: "keyword", get: func(f *Finding) any { return fmt.Sprint(f.Rule.Version) }},
	{Name: "rule.description", Type: "keyword", get: func(f *Finding) any { return orNil(f.Rule.Description) }},
	{Name: "rule.category", Type: "keyword", get: func(f *Finding) any { return firstTactic(f.Rule) }},
	{Name: "rule.reference", Type: "keyword", get: func(f *Finding) any { return first(f.Rule.References) }},
	{Name: "rule.author", Type: "keyword", get: func(f *Finding) any { return listOrNil(f.Rule.Author) }},
	{Name: "rule.license", Type: "keyword", get: func(f *Finding) any { return orNil(f.Rule.License) }},
	{
		Name: "rule.false_positives", Type: "keyword",
		get: alertOnly(func(f *Finding) any { return listOrNil(f.Rule.FalsePositives) }),
	},
	{Name: "rule.tags", Type: "keyword", get: alertOnly(func(f *Finding) any { return listOrNil(f.Rule.Tags) })},
	{Name: "rule.ruleset", Type: "keyword", get: func(*Finding) any { return "reconbeat" }},

	{
		Name: "threat.framework", Type: "keyword",
		get: func(f *Finding) any { return ifAny(len(f.Rule.Threat), "MITRE ATT&CK") },
	},
	{Name: "threat.tactic.id", Type: "keyword", get: tactics(func(t Technique) string { return t.ID })},
	{Name: "threat.tactic.name", Type: "keyword", get: tactics(func(t Technique) string { return t.Name })},
	{Name: "threat.tactic.reference", Type: "keyword", get: tactics(Technique.Reference)},
	{Name: "threat.technique.id", Type: "keyword", get: techniques(func(t Technique) string { return t.ID })},
	{Name: "threat.technique.name", Type: "keyword", get: techniques(func(t Technique) string { return t.Name })},
	{Name: "threat.technique.reference", Type: "keyword", get: techniques(Technique.Reference)},

	{Name: actorName, Type: "keyword", Raw: true, get: func(f *Finding) any { return f.Actor.name() }},
	{Name: actorID, Type: "keyword", Raw: true, get: actorOnly(func(a Actor) any { return a.id() })},
	{Name: actorKind, Type: "keyword", Raw: true, get: actorOnly(func(a Actor) any { return a.kind() })},
	{Name: actorContainer, Type: "keyword", Raw: true, get: actorOnly(func(a Actor) any { return orNil(a.Container) })},

	// Keywords whose order is that of time, so that they can be the axes of a heat map of the week.
	{
		Name: "reconbeat.local.weekday", Type: "keyword", Raw: true,
		get: execOnly(func(f *Finding) any { return weekday(f.Local) }),
	},
	{
		Name: "reconbeat.local.hour", Type: "keyword", Raw: true,
		get: execOnly(func(f *Finding) any { return f.Local.Format("15") }),
	},

	{Name: "reconbeat.actor.first_seen", Type: "date", get: usual(func(p *habit.Profile) any { return date(p.First) })},
	{Name: "reconbeat.actor.last_seen", Type: "date", get: usual(func(p *habit.Profile) any { return date(p.Last) })},
	{Name: "reconbeat.actor.active_days", Type: "long", get: usual(func(p *habit.Profile) any { return p.Days })},
	{Name: "reconbeat.actor.usual.commands", Type: "keyword", get: usual(usualValues(habit.Command))},
	{Name: "reconbeat.actor.usual.parents", Type: "keyword", get: usual(usualValues(habit.Parent))},
	{Name: "reconbeat.actor.usual.networks", Type: "keyword", get: usual(usualValues(habit.Network))},
	{Name: "reconbeat.actor.usual.hours", Type: "long", get: usual(func(p *habit.Profile) any {
		if len(p.Hours) == 0 {
			return nil
		}
		return p.Hours
	})},

	{Name: "reconbeat.anomaly.score", Type: "float", Raw: true, get: func(f *Finding) any {
		switch {
		case f.Kind == Summary:
			return cents(f.Summary.MaxScore)
		case f.Kind == Limited:
			return cents(f.Withheld.MaxScore)
		case f.Kind == Correlated || f.Kind == CorrelationEnd:
			return cents(f.Correlation.maxScore())
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
	{
		Name: "reconbeat.anomaly.surprise", Type: "float", Raw: true,
		get: inContext(func(c *Context) any { return cents(c.Surprise) }),
	},
	{
		Name: "reconbeat.anomaly.learned_days", Type: "float", Raw: true,
		get: inContext(func(c *Context) any { return cents(c.Days) }),
	},
	{Name: "reconbeat.anomaly.learning", Type: "boolean", Raw: true, get: func(f *Finding) any {
		if !f.Learning {
			return nil
		}
		return true
	}},
	{Name: "reconbeat.anomaly.explained", Type: "keyword", get: alertOnly(func(f *Finding) any {
		var lines []string
		for _, p := range f.Explained() {
			lines = append(lines, p.String())
		}
		return listOrNil(lines)
	})},
	{
		Name: "reconbeat.anomaly.record_score", Type: "float", Raw: true,
		get: execOnly(func(f *Finding) any { return cents(f.RecordScore) }),
	},
	{
		Name: "reconbeat.anomaly.probability", Type: "double", Raw: true,
		get: execOnly(func(f *Finding) any { return significant(f.Probability) }),
	},
	{Name: "reconbeat.anomaly.threshold", Type: "float", Raw: true, get: func(f *Finding) any {
		if f.Kind == Correlated || f.Kind == CorrelationEnd { // each part has its own
			return nil
		}
		return f.Threshold
	}},
	{
		Name: "reconbeat.anomaly.first_occurrence", Type: "boolean", Raw: true,
		get: execOnly(func(f *Finding) any { return f.FirstOccurrence }),
	},
	{
		Name: "reconbeat.anomaly.typical_users", Type: "keyword",
		get: execOnly(func(f *Finding) any { return listOrNil(f.TypicalUsers) }),
	},
	{
		Name: "reconbeat.anomaly.bucket.start", Type: "date",
		get: execOnly(func(f *Finding) any { return date(f.BucketStart) }),
	},
	{
		Name: "reconbeat.anomaly.bucket.span", Type: "long",
		get: execOnly(func(f *Finding) any { return int64(f.BucketSpan / time.Second) }),
	},
	{Name: "reconbeat.anomaly.buckets", Type: "long", get: execOnly(func(f *Finding) any { return f.Buckets })},
	{Name: "reconbeat.anomaly.users", Type: "long", get: execOnly(func(f *Finding) any { return f.Users })},

	{
		Name: "reconbeat.process.disguise", Type: "keyword", Raw: true,
		get: inContext(func(c *Context) any { return orNil(c.Match.Disguised()) }),
	},
	{Name: "reconbeat.visit.id", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.Visit.ID) }},
	{Name: "reconbeat.visit.start", Type: "date", Raw: true, get: func(f *Finding) any { return date(f.Visit.Start) }},
	{
		Name: "reconbeat.visit.matches", Type: "long", Raw: true,
		get: func(f *Finding) any { return orNone(f.Visit.Matches) },
	},
	{
		Name: "reconbeat.visit.commands", Type: "keyword",
		get: func(f *Finding) any { return listOrNil(linesOf(f.Visit.Commands)) },
	},

	{Name: "reconbeat.alert.id", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.AlertID) }},
	{Name: "reconbeat.alert.earlier_id", Type: "keyword", get: func(f *Finding) any { return orNil(f.EarlierID) }},
	{
		Name: "reconbeat.alert.after_id", Type: "keyword",
		get: alertOnly(func(f *Finding) any { return orNil(f.Aftermath.AlertID) }),
	},
	{Name: "reconbeat.alert.escalated", Type: "boolean", get: alertOnly(func(f *Finding) any { return f.Escalated })},
	{
		Name: "reconbeat.control.id", Type: "keyword", Raw: true,
		get: controls(func(c Control) string { return c.ID }),
	},
	{
		Name: "reconbeat.control.kind", Type: "keyword", Raw: true,
		get: controls(func(c Control) string { return c.Kind }),
	},
	{
		Name: "reconbeat.control.action", Type: "keyword", Raw: true,
		get: controls(func(c Control) string { return c.Action }),
	},
	{
		Name: "reconbeat.control.expires", Type: "date", Raw: true,
		get: controls(func(c Control) string {
			if c.Expires.IsZero() {
				return ""
			}
			return date(c.Expires).(string)
		}),
	},
	{Name: "reconbeat.control.held", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.Held) }},
	{
		Name: "reconbeat.feedback.alert_id", Type: "keyword", Raw: true,
		get: inFeedback(func(fb *Feedback) any { return fb.AlertID }),
	},
	{
		Name: "reconbeat.feedback.verdict", Type: "keyword", Raw: true,
		get: inFeedback(func(fb *Feedback) any { return fb.Verdict }),
	},
	{
		Name: "reconbeat.feedback.by", Type: "keyword", Raw: true,
		get: inFeedback(func(fb *Feedback) any { return orNil(fb.By) }),
	},
	{Name: "reconbeat.feedback.note", Type: "keyword", get: inFeedback(func(fb *Feedback) any { return orNil(fb.Note) })},
	{Name: "reconbeat.feedback.given", Type: "date", get: inFeedback(func(fb *Feedback) any { return date(fb.At) })},
	{Name: "reconbeat.habit.days", Type: "long", get: func(f *Finding) any { return orNone(f.Habit.Days) }},
	{
		Name: "reconbeat.habit.span", Type: "long",
		get: func(f *Finding) any { return orNone(int(f.Habit.Span / time.Second)) },
	},
	{
		Name: "reconbeat.habit.context", Type: "keyword",
		get: func(f *Finding) any { return listOrNil(f.Became.Context) },
	},
	{Name: "reconbeat.habit.since", Type: "date", get: func(f *Finding) any { return date(f.Became.Since) }},
	{Name: "reconbeat.habit.seen_days", Type: "long", get: func(f *Finding) any { return orNone(f.Became.Days) }},
	{
		Name: "reconbeat.learned.days", Type: "float",
		get: learnedOnly(func(f *Finding) any { return cents(f.Report.Days) }),
	},
	{
		Name: "reconbeat.learned.actors", Type: "keyword",
		get: learnedOnly(func(f *Finding) any { return listOrNil(f.Report.actorLines(0)) }),
	},
	{
		Name: "reconbeat.learned.unusual", Type: "keyword",
		get: learnedOnly(func(f *Finding) any { return listOrNil(f.Report.actorLines(f.Threshold)) }),
	},
	{Name: "reconbeat.program", Type: "keyword", Raw: true, get: func(f *Finding) any { return orNil(f.Program) }},
	{Name: "reconbeat.episode.id", Type: "keyword", get: func(f *Finding) any { return orNil(f.Episode.ID) }},
	{Name: "reconbeat.episode.start", Type: "date", get: func(f *Finding) any { return date(f.Episode.Start) }},
	{
		Name: "reconbeat.episode.last", Type: "date",
		get: summaryOnly(func(f *Finding) any { return date(f.Summary.Last) }),
	},
	{Name: "reconbeat.episode.execs", Type: "long", get: summaryOnly(func(f *Finding) any { return f.Summary.Execs })},
	{
		Name: "reconbeat.episode.alerts", Type: "long",
		get: summaryOnly(func(f *Finding) any { return f.Summary.Alerts }),
	},
	{
		Name: "reconbeat.episode.commands", Type: "keyword",
		get: summaryOnly(func(f *Finding) any { return listOrNil(linesOf(f.Summary.Commands)) }),
	},
	{
		Name: "reconbeat.episode.group", Type: "keyword",
		get: summaryOnly(func(f *Finding) any { return listOrNil(f.Summary.Group) }),
	},
	{
		Name: "reconbeat.episode.actors", Type: "keyword",
		get: summaryOnly(func(f *Finding) any { return listOrNil(f.Summary.Actors.top()) }),
	},
	{Name: "reconbeat.correlation.id", Type: "keyword", get: func(f *Finding) any { return orNil(f.Correlation.ID) }},
	{Name: "reconbeat.correlation.member", Type: "boolean", get: func(f *Finding) any {
		if !f.Correlation.Member {
			return nil
		}
		return true
	}},
	{Name: "reconbeat.correlation.start", Type: "date", get: func(f *Finding) any { return date(f.Correlation.Start) }},
	{Name: "reconbeat.correlation.last", Type: "date", get: func(f *Finding) any { return date(f.Correlation.Last) }},
	{
		Name: "reconbeat.correlation.alerts", Type: "long",
		get: func(f *Finding) any { return orNone(f.Correlation.Alerts) },
	},
	{Name: "reconbeat.correlation.members", Type: "keyword", get: func(f *Finding) any {
		return listOrNil(f.Correlation.values(func(m Member) string { return m.AlertID }))
	}},
	{
		Name: "reconbeat.correlation.rules", Type: "keyword",
		get: func(f *Finding) any { return listOrNil(f.Correlation.Rules()) },
	},
	{
		Name: "reconbeat.correlation.actors", Type: "keyword",
		get: func(f *Finding) any { return listOrNil(f.Correlation.actors()) },
	},
	{Name: "reconbeat.correlation.commands", Type: "keyword", get: func(f *Finding) any {
		return listOrNil(f.Correlation.values(func(m Member) string { return m.Command }))
	}},
	{Name: "reconbeat.limit.alerts", Type: "long", get: limitedOnly(func(w *Withheld) any { return w.Alerts })},
	{Name: "reconbeat.limit.matches", Type: "long", get: limitedOnly(func(w *Withheld) any { return w.Matches })},
	{Name: "reconbeat.limit.first", Type: "date", get: limitedOnly(func(w *Withheld) any { return date(w.First) })},
	{Name: "reconbeat.limit.last", Type: "date", get: limitedOnly(func(w *Withheld) any { return date(w.Last) })},
	{
		Name: "reconbeat.limit.top_actors", Type: "keyword",
		get: limitedOnly(func(w *Withheld) any { return listOrNil(w.Actors.top()) }),
	},
	{
		Name: "reconbeat.limit.actors", Type: "long",
		get: limitedOnly(func(w *Withheld) any { return len(w.Actors.Of) }),
	},
	{Name: "reconbeat.limit.most", Type: "long", get: limitedOnly(func(w *Withheld) any { return w.Limit.Alerts })},
	{
		Name: "reconbeat.limit.span", Type: "long",
		get: limitedOnly(func(w *Withheld) any { return int64(w.Limit.Per / time.Second) }),
	},
}

// usual is what is usual for the actor of an alert.
func usual(get func(*habit.Profile) any) func(*Finding) any {
	return alertOnly(func(f *Finding) any {
		if f.Context == nil || !f.Context.Known {
			return nil
		}
		return get(&f.Context.Profile)
	})
}

func usualValues(part int) func(*habit.Profile) any {
	return func(p *habit.Profile) any {
		var values []string
		for _, seen := range p.Features[habit.PartNames[part]] {
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

func inFeedback(get func(*Feedback) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Feedback == nil {
			return nil
		}
		return get(f.Feedback)
	}
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
			_, _ = into.Put(Fields[i].Name, v) // the document is ours: every part of the path is an object
		}
	}
}

// fieldsByName are the fields of the table.
var fieldsByName = func() map[string]*Field {
	all := make(map[string]*Field, len(Fields))
	for i := range Fields {
		all[Fields[i].Name] = &Fields[i]
	}
	return all
}()

// Value is the value of a field in a document of the finding; nil: it has no such field.
func (f *Finding) Value(field string) any {
	if known := fieldsByName[field]; known != nil {
		return known.get(f)
	}
	return nil
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
		if f.Kind != Alert && f.Kind != Correlated {
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

// actorOnly are the findings about one actor.
func actorOnly(get func(Actor) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind == Learned || f.Kind == Limited {
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

// linesOf are the commands' lines.
func linesOf(commands []Command) []string {
	lines := make([]string, len(commands))
	for i, c := range commands {
		lines[i] = c.Line
	}
	return lines
}

func summaryOnly(get func(*Finding) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind != Summary {
			return nil
		}
		return get(f)
	}
}

func limitedOnly(get func(*Withheld) any) func(*Finding) any {
	return func(f *Finding) any {
		if f.Kind != Limited {
			return nil
		}
		return get(&f.Withheld)
	}
}

// tactics is a property of each of the rule's tactics.
func tactics(property func(Technique) string) func(*Finding) any {
	return func(f *Finding) any {
		var out []string
		for _, t := range f.Rule.Threat {
			out = append(out, property(t.Tactic))
		}
		return listOrNil(out)
	}
}

// techniques is a property of each of the rule's techniques.
func techniques(property func(Technique) string) func(*Finding) any {
	return func(f *Finding) any {
		var out []string
		for _, t := range f.Rule.Threat {
			for _, q := range t.Technique {
				out = append(out, property(q))
			}
		}
		return listOrNil(out)
	}
}

func firstTactic(r *Rule) any {
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

// controls is a property of each control that is named, where it has it.
func controls(property func(Control) string) func(*Finding) any {
	return func(f *Finding) any {
		var out []string
		for _, c := range f.Controls {
			if v := property(c); v != "" {
				out = append(out, v)
			}
		}
		return listOrNil(out)
	}
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
