// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/printable"
	"github.com/reconbeat/reconbeat/process"
)

// The formats in which documents are shown.
const (
	formatTable  = "table"
	formatNDJSON = "ndjson"
	formatHTML   = "html"
)

// screen shows documents as they come: as rows of a table for people, or one JSON document a line for programs.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	demo   string // what a document of a demonstration is marked with; "": it is none
	format string
	colour bool // ANSI colours; a terminal
	status bool // the last line is a status line, redrawn in place; a terminal
	drawn  bool // the status line is on the screen now
	header bool // the table's head was printed
	live   bool // somebody watches this host
	young  bool // it was said that the model is too young to alert
	shown  alertCounts
	last   string
	err    error // the first one
}

// tooYoung is printed once, above the first row that a young model scored: what looks like an alert, and is none,
// needs a reason.
const tooYoung = "Nothing alerts yet, however unusual it is: for the first 26 hours (the default of " +
	"detector.learn_for) reconbeat only learns what is usual here."

// history stands below it for who watches. Who replays gets the end of the replay.
const history = "A history shortens that: reconbeat replay --learn --path.data DIR FILE, then reconbeat watch " +
	"--path.data DIR. To see an alert now: reconbeat watch --demo."

// learning stands where the score of a model would that only learns yet.
const learning = "learning"

const (
	rowFormat  = "%-19s %8s  %-20s %-38s %-22s %s"
	textFormat = "%-19s %8s  %s"
)

// indent is where the texts of an alert begin.
var indent = fmt.Sprintf(textFormat, "", "", "")

// The marks of a demonstration's documents: recorded, and seen on this host by a model that has learned from the
// recording.
const (
	demoRecorded = "recorded"
	demoLive     = "live"
)

// recordedGutter is in front of the rows that are no news of this host.
const recordedGutter = "REC │ "

// show prints one document.
func (s *screen) show(doc *beat.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	action := text(doc.Fields, "event.action")
	if isAlert(action) {
		s.shown.alerts++
	}
	if text(doc.Fields, "reconbeat.control.held") == detector.HeldAlert {
		s.shown.held++
	}
	if s.format == formatNDJSON {
		if s.demo != "" {
			if _, err := doc.Fields.Put("labels.demo", s.demo); err != nil {
				return fmt.Errorf("marking a document as one of a demonstration: %w", err)
			}
		}
		line, err := documentLine(doc)
		if err != nil {
			return err
		}
		_, err = s.out.Write(line)
		return err
	}
	s.clearStatus()
	if !s.header {
		s.header = true
		s.line(dim, fmt.Sprintf(rowFormat, "TIME", "SCORE", "USER", "COMMAND", "PARENT", "FROM"))
	}
	reason := text(doc.Fields, "event.reason")
	switch action {
	case "alert", "alert-escalated", "correlation":
		s.line(red, fmt.Sprintf(textFormat, stamp(doc), score(doc), "ALERT: "+text(doc.Fields, "message")))
		s.because(red, reason)
	case process.ChangedAudit, process.StoppedAudit, process.ChangedLogin:
		s.line(red, fmt.Sprintf(textFormat, stamp(doc), "", "ALERT: "+reason))
	case process.RestoredAudit:
		s.line(dim, fmt.Sprintf(textFormat, stamp(doc), "", reason))
	case "alert-summary", "correlation-summary", "alert-follow-up":
		s.line(dim, fmt.Sprintf(textFormat, stamp(doc), "", text(doc.Fields, "message")))
	case "habit", "learned", "feedback":
		s.line("", fmt.Sprintf(textFormat, stamp(doc), "", text(doc.Fields, "message")))
		s.because(dim, reason)
	default:
		if !s.young && isLearning(doc) {
			s.young = true
			s.line(dim, tooYoung)
			if s.live {
				s.line(dim, history)
			}
		}
		s.line("", fmt.Sprintf(rowFormat, stamp(doc), score(doc), cut(who(doc), 20), cut(command(doc), 38),
			cut(text(doc.Fields, "process.parent.name"), 22), from(doc)))
		if text(doc.Fields, "reconbeat.alert.id") == "" { // else the alert has said it
			s.because(dim, reason)
		}
		if by := list(doc.Fields, "reconbeat.control.id"); len(by) > 0 {
			s.because(dim, heldBackBy(doc, by))
		}
	}
	s.drawStatus(s.last)
	return s.err
}

// heldBackBy says what controls do with a match.
func heldBackBy(doc *beat.Event, controls []string) string {
	what := "controls say: "
	if held := text(doc.Fields, "reconbeat.control.held"); held != "" {
		what = "the " + held + " is held back: "
	}
	kinds, actions := list(doc.Fields, "reconbeat.control.kind"), list(doc.Fields, "reconbeat.control.action")
	var by []string
	for i, id := range controls {
		if i < len(kinds) && i < len(actions) {
			by = append(by, fmt.Sprintf("%s %s (%s)", kinds[i], id, actions[i]))
		}
	}
	return what + strings.Join(by, ", ")
}

// isAlert reports whether a document of this action is shown as an alert.
func isAlert(action string) bool {
	switch action {
	case "alert", "alert-escalated", process.ChangedAudit, process.StoppedAudit, process.ChangedLogin:
		return true
	}
	return false
}

// isStory reports whether a document of this action says that several alerts are one story.
func isStory(action string) bool { return action == "correlation" }

// alertCounts are alerts that a screen has shown, and those that controls held back.
type alertCounts struct{ alerts, held int }

// counted are the alerts so far.
func (s *screen) counted() alertCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

// forgetAlerts begins to count alerts anew.
func (s *screen) forgetAlerts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = alertCounts{}
}

// line prints one line, and keeps the first error.
func (s *screen) line(style, text string) {
	if s.demo == demoRecorded {
		text = recordedGutter + text
	}
	if _, err := fmt.Fprintln(s.out, s.paint(style, text)); err != nil && s.err == nil {
		s.err = err
	}
}

// because prints the parts of a reason below the row that it is about.
func (s *screen) because(style, reason string) {
	if reason == "" {
		return
	}
	for part := range strings.SplitAfterSeq(reason, "; ") {
		s.line(style, indent+strings.TrimSuffix(part, " "))
	}
}

// note prints a sentence that is about watching itself, beside the table.
func (s *screen) note(out io.Writer, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearStatus()
	fmt.Fprintln(out, line)
	s.drawStatus(s.last)
}

// draw sets how documents are shown from now on; tty: on a terminal. A status line may have been set before.
func (s *screen) draw(format string, tty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.format = format
	s.status = tty && format == formatTable
	s.colour = s.status && os.Getenv("NO_COLOR") == ""
}

// setStatus replaces the status line.
func (s *screen) setStatus(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.status || line == s.last {
		return
	}
	s.clearStatus()
	s.drawStatus(line)
}

func (s *screen) drawStatus(line string) {
	s.last = line
	if s.status && line != "" {
		fmt.Fprint(s.out, s.paint(dim, line))
		s.drawn = true
	}
}

func (s *screen) clearStatus() {
	if s.drawn {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.drawn = false
	}
}

const (
	red = "1;31"
	dim = "2"
)

func (s *screen) paint(style, line string) string {
	if !s.colour || style == "" {
		return line
	}
	return "\x1b[" + style + "m" + line + "\x1b[0m"
}

func stamp(doc *beat.Event) string { return doc.Timestamp.UTC().Format("2006-01-02 15:04:05") }

func isLearning(doc *beat.Event) bool {
	return text(doc.Fields, "reconbeat.anomaly.learning") == "true"
}

func score(doc *beat.Event) string {
	if isLearning(doc) {
		return learning
	}
	if v, ok := number(doc.Fields, "reconbeat.anomaly.score"); ok {
		return fmt.Sprintf("%.1f", v)
	}
	return ""
}

// who is the user as a person reads it: the login user first, then whom they became.
func who(doc *beat.Event) string {
	login, real := name(doc.Fields, "user.audit"), name(doc.Fields, "user")
	if login != "" && login != real {
		return login + "→" + real
	}
	return real
}

func name(m mapstr.M, user string) string {
	if n := text(m, user+".name"); n != "" {
		return n
	}
	return text(m, user+".id")
}

func command(doc *beat.Event) string {
	if c := text(doc.Fields, "process.command_line"); c != "" {
		return c
	}
	return text(doc.Fields, "process.name")
}

func from(doc *beat.Event) string {
	entry, ip := text(doc.Fields, "process.entry_leader.entry_meta.type"), text(doc.Fields,
		"process.entry_leader.entry_meta.source.ip")
	return strings.TrimSpace(entry + " " + ip)
}

func text(m mapstr.M, field string) string {
	v, err := m.GetValue(field)
	if err != nil || v == nil {
		return ""
	}
	return printable.Text(fmt.Sprint(v))
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// documentLine is a document as Elasticsearch would hold it, on one line.
func documentLine(doc *beat.Event) ([]byte, error) {
	fields := doc.Fields.Clone()
	fields["@timestamp"] = doc.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z")
	line, err := printable.JSON(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding a document: %w", err)
	}
	return append(line, '\n'), nil
}

// writeJSON prints a value for programs, indented, so that it may be printed on a terminal, too.
func writeJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = out.Write(append(printable.Escape(text), '\n'))
	}
	if err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// writeLines prints values for programs, one a line.
func writeLines[T any](out io.Writer, all []T) error {
	for _, v := range all {
		line, err := printable.JSON(v)
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return fmt.Errorf("printing JSON: %w", err)
		}
	}
	return nil
}

// since is a duration as people say it.
func since(d time.Duration) string { return d.Round(time.Second).String() }
