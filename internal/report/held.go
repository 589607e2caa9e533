// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
)

// The bounds of what HeldBack keeps.
const (
	maxHeld         = 10000
	maxHeldCommands = 5 // of a visit
)

// HeldBack gathers the matches whose alert, or whose part in one, controls held back, a line for each visit. Its
// methods belong to one goroutine. The zero HeldBack is empty, and has a line for each match.
type HeldBack struct {
	Idle time.Duration // a pause of this length ends a visit: what is held back opens none that the model knows

	lines []*HeldLine
	last  map[string]*HeldLine
	more  int
}

// HeldLine is what was held back of one visit. Its texts are harmless on a page, and may have line breaks.
type HeldLine struct {
	From     time.Time // UTC
	Actor    string    // a name, or "uid 1000" where there is none, and the container
	Host     string
	Rules    string   // comma separated
	Controls []string // ids
	Score    float64  // 0 to 100, the highest
	Matches  int
	Commands []string // the first five that differ

	to time.Time
}

// Add takes a document, and reports whether it is a raw event of which something was held back.
func (h *HeldBack) Add(doc *beat.Event) bool {
	f := fields(doc.Fields)
	if f.text("reconbeat.control.held") == "" {
		return false
	}
	line := &HeldLine{
		From: doc.Timestamp.UTC(), to: doc.Timestamp, Host: f.text("host.name"),
		Rules:    strings.Join(f.texts("reconbeat.rules"), ", "),
		Actor:    cmp.Or(f.text("reconbeat.actor.name"), "uid "+f.text("reconbeat.actor.id")),
		Controls: f.texts("reconbeat.control.id"), Score: f.number("reconbeat.anomaly.score"), Matches: 1,
		Commands: []string{f.text("process.command_line")},
	}
	if c := f.text("reconbeat.actor.container"); c != "" {
		line.Actor += " in " + c
	}
	key := strings.Join(append([]string{line.Actor, line.Host, line.Rules}, line.Controls...), "\x00")
	if same := h.last[key]; same != nil && line.From.Sub(same.to) < h.Idle {
		same.join(line)
		return true
	}
	if len(h.lines) == maxHeld {
		h.more++
		return true
	}
	if h.last == nil {
		h.last = map[string]*HeldLine{}
	}
	h.lines, h.last[key] = append(h.lines, line), line
	return true
}

// join adds a later match of the same visit.
func (l *HeldLine) join(o *HeldLine) {
	l.to, l.Score, l.Matches = o.to, max(l.Score, o.Score), l.Matches+1
	if !slices.Contains(l.Commands, o.Commands[0]) && len(l.Commands) < maxHeldCommands {
		l.Commands = append(l.Commands, o.Commands[0])
	}
}

// Lines are the visits of which something was held back, in the order of their first matches.
func (h *HeldBack) Lines() []*HeldLine { return h.lines }

// More is how many matches came after there were 10,000 lines.
func (h *HeldBack) More() int { return h.more }
