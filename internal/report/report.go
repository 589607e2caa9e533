// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/guide"
)

// The bounds of what a Report keeps. What comes after is counted, and the page says so.
const (
	maxAlerts     = 1000
	maxNotes      = 500
	maxActors     = 5000
	maxCommands   = 64  // of an actor
	maxThresholds = 16  // of rules
	maxText       = 400 // bytes of one text
	shownActors   = 200
	shownHeld     = 500 // visits of which controls held something back
	shown         = 8   // commands of an actor
)

// Report gathers what a replay found. Its methods belong to one goroutine. The zero Report is empty and ready, and
// takes each match that controls held back for a visit of its own.
type Report struct {
	Idle time.Duration // a pause of this length ends a visit of which controls held something back

	first, last time.Time
	hosts       map[string]bool
	timeline    timeline
	alerts      []alert
	notes       []note
	actors      map[actorKey]*actor
	visits      [101]int // visits that could alert, by their highest score
	thresholds  map[float64]bool
	learning    int // visits that could not, because the model was too young
	malformed   malformed
	held        HeldBack
	left        struct{ alerts, notes, actors int }
}

// alert is one alert on the page.
type alert struct {
	id                             string
	At                             time.Time
	Score, Yearly                  float64 // Score is -1 where the alert has none
	Message, Reason, Host          string
	Command, Parent, Folder, Entry string
	Parts                          []Part
	Visit, Usual, Explained        []string
	Line                           []string // the processes through which its program was started, the parent first
	Before, After                  []string // what else ran in its session
	Since                          string   // what ran after it, in a sentence
	Guide                          string
}

// Part is how much one part of the context adds to the surprise, in nats; below 0 it excuses.
type Part struct {
	Name  string
	Value float64
}

// note is a document that is neither a match nor an alert: who was learned, what has become a habit, how audit fared.
type note struct {
	At             time.Time
	Message, Texts string
}

// actorKey distinguishes actors, of several hosts too.
type actorKey struct{ host, kind, id, name, container string }

// actor is somebody who matched a rule.
type actor struct {
	actorKey
	First, Last  time.Time
	Matches      int
	Alerts       int
	Highest      float64 // score, of visits that could alert
	week         [7][24]int
	commands     map[string]int
	otherCommand int // matches of commands that are beyond the bound
	visit        string
	visitScore   float64
	visitLearns  bool
}

// Add adds a document: the raw event of a match, an alert, or another document of a replay.
func (r *Report) Add(doc *beat.Event) {
	f := fields(doc.Fields)
	if host := f.text("host.name"); host != "" && len(r.hosts) < maxActors {
		if r.hosts == nil {
			r.hosts = map[string]bool{}
		}
		r.hosts[host] = true
	}
	switch action := f.text("event.action"); {
	case f.text("event.kind") == "alert":
		r.alert(doc.Timestamp, f)
	case action == "alert-summary" || action == "correlation-summary":
	case action == "alert-follow-up":
		r.followUp(f)
	case f.text("reconbeat.program") != "":
		r.match(doc.Timestamp, f)
		r.held.Idle = r.Idle
		r.held.Add(doc)
	default:
		r.note(doc.Timestamp, f)
	}
}

func (r *Report) match(at time.Time, f fields) {
	if r.first.IsZero() || at.Before(r.first) {
		r.first = at
	}
	if at.After(r.last) {
		r.last = at
	}
	score, learns := f.number("reconbeat.anomaly.score"), f.text("reconbeat.anomaly.learning") == "true"
	if learns {
		score = 0
	}
	if t, err := mapstr.M(f).GetValue("reconbeat.anomaly.threshold"); err == nil && t != nil &&
		len(r.thresholds) < maxThresholds {
		if r.thresholds == nil {
			r.thresholds = map[float64]bool{}
		}
		r.thresholds[f.number("reconbeat.anomaly.threshold")] = true
	}
	r.timeline.add(at, score)
	a := r.actor(f)
	if a == nil {
		r.left.actors++
		return
	}
	if a.First.IsZero() {
		a.First = at
	}
	a.Last = at
	a.Matches++
	a.Highest = max(a.Highest, score)
	if day, hour, ok := f.local(); ok {
		a.week[day][hour]++
	}
	if command := f.text("process.command_line"); a.commands[command] > 0 || len(a.commands) < maxCommands {
		a.commands[command]++
	} else {
		a.otherCommand++
	}
	if visit := f.text("reconbeat.visit.id"); visit != a.visit {
		r.close(a)
		a.visit, a.visitScore, a.visitLearns = visit, 0, learns
	}
	if f.text("reconbeat.control.held") == "" { // else no threshold would have shown it
		a.visitScore = max(a.visitScore, score)
	}
}

// close counts the actor's visit, which is over.
func (r *Report) close(a *actor) {
	switch {
	case a.visit == "":
	case a.visitLearns:
		r.learning++
	default:
		r.visits[int(math.Floor(min(100, max(0, a.visitScore))))]++
	}
	a.visit = ""
}

func (r *Report) actor(f fields) *actor {
	k := actorKey{
		host: f.text("host.name"), kind: f.text("reconbeat.actor.kind"), id: f.text("reconbeat.actor.id"),
		name:      cmp.Or(f.text("reconbeat.actor.name"), f.text("user.name")),
		container: f.text("reconbeat.actor.container"),
	}
	a := r.actors[k]
	if a == nil && len(r.actors) < maxActors {
		a = &actor{actorKey: k, commands: map[string]int{}}
		if r.actors == nil {
			r.actors = map[actorKey]*actor{}
		}
		r.actors[k] = a
	}
	return a
}

func (r *Report) alert(at time.Time, f fields) {
	if a := r.actor(f); a != nil && f.text("event.action") != "correlation" { // its parts are counted
		a.Alerts++
	}
	if len(r.alerts) == maxAlerts {
		r.left.alerts++
		return
	}
	a := alert{
		id: f.text("event.id"), At: at.UTC(), Score: -1, Message: f.text("message"), Reason: f.text("event.reason"),
		Host:    f.text("host.name"),
		Command: f.text("process.command_line"), Parent: f.text("process.parent.name"),
		Folder: f.text("process.working_directory"), Entry: f.text("process.entry_leader.entry_meta.type"),
		Yearly: f.number("reconbeat.anomaly.yearly"), Parts: f.parts(), Visit: f.texts("reconbeat.visit.commands"),
		Explained: f.texts("reconbeat.anomaly.explained"), Guide: f.guide(), Line: f.line(),
		Before: f.activity("reconbeat.activity.before"),
	}
	if ip := f.text("process.entry_leader.entry_meta.source.ip"); ip != "" {
		a.Entry += " from " + ip
	}
	if _, err := mapstr.M(f).GetValue("reconbeat.anomaly.score"); err == nil {
		a.Score = f.number("reconbeat.anomaly.score")
	}
	for _, what := range []string{"commands", "parents", "networks"} {
		if v := f.texts("reconbeat.actor.usual." + what); len(v) > 0 {
			a.Usual = append(a.Usual, what+": "+strings.Join(v, ", "))
		}
	}
	r.alerts = append(r.alerts, a)
}

// followUp adds to an alert what came after it.
func (r *Report) followUp(f fields) {
	id := f.text("reconbeat.alert.id")
	if i := slices.IndexFunc(r.alerts, func(a alert) bool { return a.id == id }); i >= 0 {
		r.alerts[i].Since, r.alerts[i].After = f.text("message"), f.activity("reconbeat.activity.after")
	}
}

func (r *Report) note(at time.Time, f fields) {
	if len(r.notes) == maxNotes {
		r.left.notes++
		return
	}
	r.notes = append(r.notes, note{At: at.UTC(), Message: f.text("message"), Texts: f.text("event.reason")})
}

// sorted are the actors, those who alerted first, then the most unusual.
func (r *Report) sorted() []*actor {
	out := slices.Collect(maps.Values(r.actors))
	slices.SortFunc(out, func(a, b *actor) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(b.Highest,
			a.Highest), cmp.Compare(b.Matches, a.Matches),
			cmp.Compare(a.host,
				b.host), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id),
			cmp.Compare(a.container, b.container))
	})
	return out
}

// fields are a document's.
type fields mapstr.M

// text is a field as text, made harmless and cut to its bound; empty where there is none.
func (f fields) text(name string) string {
	v, err := mapstr.M(f).GetValue(name)
	if err != nil || v == nil {
		return ""
	}
	return limited(fmt.Sprint(v))
}

// limited cuts a text to its bound, and writes as Go would what is not UTF-8, what controls a terminal, and what makes
// a text run from right to left or be seen as another.
func limited(s string) string {
	more := ""
	if len(s) > maxText {
		cut := maxText
		for cut > maxText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s, more = s[:cut], " …"
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r) || r == '\n':
			b.WriteString(s[:n])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String() + more
}

// guide is the guide of an alert. It has a bound of its own, and its values are harmless already.
func (f fields) guide() string {
	v, _ := mapstr.M(f).GetValue("rule.note")
	note, _ := v.(string)
	var b strings.Builder
	for l := range strings.Lines(note[:min(len(note), guide.MaxBytes)]) {
		b.WriteString(limited(l))
	}
	return b.String()
}

func (f fields) texts(name string) (out []string) {
	switch v, _ := mapstr.M(f).GetValue(name); v := v.(type) {
	case []string:
		for _, s := range v {
			out = append(out, limited(s))
		}
	case []any:
		for _, s := range v {
			out = append(out, limited(fmt.Sprint(s)))
		}
	case string:
		out = []string{limited(v)}
	}
	return out
}

// objects are those of a field that holds a list of them.
func (f fields) objects(name string) (out []fields) {
	v, _ := mapstr.M(f).GetValue(name)
	list, _ := v.([]mapstr.M)
	for _, one := range list {
		out = append(out, fields(one))
	}
	return out
}

// line says through which processes the alert's program was started.
func (f fields) line() (out []string) {
	for _, p := range f.objects("reconbeat.ancestry") {
		what := cmp.Or(p.text("command_line"), p.text("executable"), p.text("name"))
		if by := cmp.Or(p.text("user.name"), p.text("user.id")); by != "" {
			what += " (" + by + ")"
		}
		out = append(out, what)
	}
	return out
}

// activity says what else ran in the alert's session.
func (f fields) activity(name string) (out []string) {
	for _, p := range f.objects(name) {
		what := cmp.Or(p.text("command_line"), p.text("name"))
		if at, err := mapstr.M(p).GetValue("time"); err == nil {
			if t, ok := at.(time.Time); ok {
				what = t.UTC().Format(time.TimeOnly) + "  " + what
			}
		}
		if ids := p.texts("technique.id"); len(ids) > 0 {
			what += "  " + strings.Join(ids, " ")
		}
		out = append(out, what)
	}
	return out
}

func (f fields) number(name string) float64 {
	switch v, _ := mapstr.M(f).GetValue(name); v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return 0
}

// local is the host's own day of the week, Monday 0, and hour.
func (f fields) local() (day, hour int, ok bool) {
	number, _, _ := strings.Cut(f.text("reconbeat.local.weekday"), " ") // "4 Thursday"
	day, err := strconv.Atoi(number)
	if err != nil || day < 1 || day > 7 {
		return 0, 0, false
	}
	hour, err = strconv.Atoi(f.text("reconbeat.local.hour"))
	return day - 1, hour, err == nil && hour >= 0 && hour < 24
}

// parts are the parts of the surprise that are worth showing, the greatest first.
func (f fields) parts() (out []Part) {
	v, _ := mapstr.M(f).GetValue("reconbeat.anomaly.parts")
	m, _ := v.(mapstr.M)
	for name := range m {
		if value := m[name]; value != nil {
			out = append(out, Part{Name: name, Value: fields(m).number(name)})
		}
	}
	slices.SortFunc(out,
		func(a, b Part) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name)) })
	return slices.DeleteFunc(out, func(p Part) bool { return math.Abs(p.Value) < 0.05 })
}
