// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/internal/plural"
)

// Facts are what the page says of the replay as a whole.
type Facts struct {
	Files    []string      // that were read
	Version  string        // of reconbeat
	LearnFor time.Duration // how long a host is learned before anything alerts
	Silence  string        // why nothing alerted; empty where something did

	Execs, Matched, Alerts uint64
	Malformed              uint64 // records that could not be read
	Unnamed                uint64 // matches without a user
}

//go:embed page.html
var source string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"day":   func(t time.Time) string { return t.UTC().Format("2006-01-02") },
	"score": func(v float64) string { return fmt.Sprintf("%.1f", v) },
	"band":  band,
	"span":  Span,
	"noun":  noun,
}).Parse(source))

// Write renders the page. The documents end with it.
func (r *Report) Write(w io.Writer, f Facts) error {
	for _, a := range r.actors {
		r.close(a)
	}
	if err := page.Execute(w, r.view(f)); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// view is what the template shows.
type view struct {
	Facts
	First, Last              time.Time
	Span                     string
	Hosts                    []string
	Bars                     []bar
	Dots                     []dot
	Ticks                    []tick
	Thresholds               []threshold
	Found                    []alert
	Held                     []*HeldLine
	Notes                    []note
	Actors                   []actorView
	Others                   int
	WhatIf                   []whatIf
	Monthly                  bool // what a threshold would have shown is listed by month, too
	Learning                 int
	MalformedKinds           []malformedRow
	OtherKinds               int
	Samples                  []sample
	UnshownMalformed         uint64
	LeftAlerts, LeftNotes    int
	LeftActors, HostsInTotal int
	LeftHeld                 int
}

// The size of the time line's picture, in units of its own.
const (
	width, height = 960., 180.
	baseline      = 150.
)

type bar struct {
	X, Y, Width, Height float64
	Title               string
}

type dot struct {
	X, Y  float64
	Band  string
	Title string
}

// threshold is the score from which on a rule alerts, and its place in the picture.
type threshold struct{ Score, Y float64 }

type tick struct {
	X     float64
	Label string
}

type whatIf struct {
	Threshold float64
	Visits    int
	Monthly   string
	Now       bool
}

type actorView struct {
	*actor
	Host, Name, Kind string
	Cells            []cell
	Commands         []command
	More             int
}

// cell is an hour of a week, in the units of the picture.
type cell struct {
	X, Y    int
	Opacity string
	Title   string
}

type command struct {
	Line    string
	Matches int
}

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

func (r *Report) view(f Facts) view {
	hosts := slices.Sorted(maps.Keys(r.hosts))
	v := view{
		Facts: f, First: r.first, Last: r.last, Span: Span(r.last.Sub(r.first)), Hosts: hosts[:min(len(hosts), 20)],
		HostsInTotal: len(hosts), Found: r.alerts, Notes: r.notes, Learning: r.learning,
		MalformedKinds: r.malformed.rows(), OtherKinds: r.malformed.others, Samples: r.malformed.samples,
		LeftAlerts: r.left.alerts, LeftNotes: r.left.notes, LeftActors: r.left.actors,
	}
	if n := uint64(len(v.Samples)); n > 0 && f.Malformed > n {
		v.UnshownMalformed = f.Malformed - n
	}
	for _, t := range slices.Sorted(maps.Keys(r.thresholds)) {
		v.Thresholds = append(v.Thresholds, threshold{Score: t, Y: y(t)})
	}
	r.draw(&v)
	months := r.last.Sub(r.first).Hours() / 24 / 30
	v.Monthly = months >= 1
	for _, t := range r.compared() {
		n := 0
		for _, visits := range r.visits[int(math.Ceil(t)):] {
			n += visits
		}
		row := whatIf{Threshold: t, Visits: n, Now: r.thresholds[t]}
		if v.Monthly {
			row.Monthly = fmt.Sprintf("%.1f", float64(n)/months)
		}
		v.WhatIf = append(v.WhatIf, row)
	}
	actors := r.sorted()
	for _, a := range actors[:min(len(actors), shownActors)] {
		v.Actors = append(v.Actors, a.view())
	}
	v.Others = len(actors) - len(v.Actors)
	v.Held = r.held.Lines()[:min(len(r.held.Lines()), shownHeld)]
	v.LeftHeld = len(r.held.Lines()) - len(v.Held)
	return v
}

// compared are the thresholds that the page compares, the rules' own among them.
func (r *Report) compared() []float64 {
	out := slices.AppendSeq([]float64{5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 90}, maps.Keys(r.thresholds))
	slices.Sort(out)
	return slices.Compact(out)
}

// draw places the time line.
func (r *Report) draw(v *view) {
	bins := r.timeline.sorted()
	if len(bins) == 0 {
		return
	}
	wide := time.Duration(r.timeline.width) * time.Second
	first, last := bins[0].start, bins[len(bins)-1].start.Add(wide)
	x := func(t time.Time) float64 {
		return round(width * min(1, max(0, t.Sub(first).Seconds()/last.Sub(first).Seconds())))
	}
	most := 0
	for _, b := range bins {
		most = max(most, b.matches)
	}
	for _, b := range bins {
		tall := max(1, (baseline-10)*math.Log1p(float64(b.matches))/math.Log1p(float64(most)))
		v.Bars = append(v.Bars, bar{
			X: x(b.start), Y: round(baseline - tall), Width: round(max(1,
				x(b.start.Add(wide))-x(b.start))), Height: round(tall),
			Title: fmt.Sprintf("%s: %s, highest score %.1f", b.start.Format("2006-01-02 15:04"),
				plural.Of(b.matches, "match"), b.highest),
		})
	}
	for _, a := range r.alerts {
		v.Dots = append(v.Dots, dot{
			X: x(a.At), Y: y(drawnAt(a)), Band: band(a.Score), Title: a.At.Format("2006-01-02 15:04") + " " + a.Message,
		})
	}
	for i := range 6 {
		at := first.Add(time.Duration(float64(last.Sub(first)) * float64(i) / 6))
		layout := "2006-01-02"
		if last.Sub(first) < 6*24*time.Hour {
			layout = "01-02 15:04:05"
		}
		v.Ticks = append(v.Ticks, tick{X: x(at), Label: at.Format(layout)})
	}
}

// drawnAt is the score at which an alert is drawn: one without a score is about audit itself, and is at the top.
func drawnAt(a alert) float64 {
	if a.Score < 0 {
		return 100
	}
	return a.Score
}

// y is where a score is in the time line.
func y(score float64) float64 { return round(baseline - (baseline-10)*score/100) }

func round(v float64) float64 { return math.Round(v*10) / 10 }

// noun is the form of a word that goes with n.
func noun(n any, one, more string) string {
	if fmt.Sprint(n) == "1" {
		return one
	}
	return more
}

// band is the severity that a score has in Kibana's anomaly views.
func band(score float64) string {
	switch {
	case score < 0 || score >= 75:
		return "critical"
	case score >= 50:
		return "major"
	case score >= 25:
		return "minor"
	}
	return "low"
}

// Span is how long something took, as people say it.
func Span(d time.Duration) string {
	hours := int(d.Round(time.Minute).Hours())
	minutes := int(d.Round(time.Minute).Minutes()) - 60*hours
	switch {
	case d < 2*time.Minute:
		return plural.Of(int(d.Round(time.Second).Seconds()), "second")
	case d < time.Hour:
		return plural.Of(minutes+60*hours, "minute")
	case d < 48*time.Hour && minutes == 0:
		return plural.Of(hours, "hour")
	case d < 48*time.Hour:
		return plural.Of(hours, "hour") + " " + plural.Of(minutes, "minute")
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Hours()/24), ".0") + " days"
}

func (a *actor) view() actorView {
	v := actorView{actor: a, Host: a.host, Name: a.name, Kind: a.kind}
	if v.Name == "" {
		v.Name = "uid " + a.id
	}
	if a.container != "" {
		v.Name += " in " + a.container
	}
	most := 0
	for _, day := range a.week {
		most = max(most, slices.Max(day[:]))
	}
	for day, hours := range a.week {
		for hour, n := range hours {
			if n > 0 {
				v.Cells = append(v.Cells, cell{
					X: 24 + 12*hour, Y: 12 * day, Opacity: fmt.Sprintf("%.2f",
						0.15+0.85*math.Sqrt(float64(n)/float64(most))),
					Title: fmt.Sprintf("%s %02d:00: %s", weekdays[day], hour, plural.Of(n, "match")),
				})
			}
		}
	}
	for line, n := range a.commands {
		v.Commands = append(v.Commands, command{Line: line, Matches: n})
	}
	slices.SortFunc(v.Commands, func(x, y command) int {
		if x.Matches != y.Matches {
			return y.Matches - x.Matches
		}
		return strings.Compare(x.Line, y.Line)
	})
	if len(v.Commands) > shown {
		for _, c := range v.Commands[shown:] {
			v.More += c.Matches
		}
		v.Commands = v.Commands[:shown]
	}
	v.More += a.otherCommand
	return v
}
