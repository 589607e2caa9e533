// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
)

// Alert is what targets are given: an alert, or how many were held back by a limit.
type Alert struct {
	ID       string
	Time     time.Time
	Host     string
	Rule     string // its id
	Message  string // one line
	Reason   string
	User     string
	Command  string
	Score    float64
	Severity int64
	HeldBack int // how many alerts a limit held back since the one before
	Document mapstr.M
}

// of makes an Alert of a document.
func of(doc *beat.Event) *Alert {
	f := doc.Fields
	a := &Alert{
		ID: text(f, "event.id"), Time: doc.Timestamp.UTC(), Host: text(f, "host.name"), Rule: text(f, "rule.id"),
		Message: text(f, "message"), Reason: text(f, "event.reason"), User: text(f, "reconbeat.actor.name"),
		Command: text(f, "process.command_line"),
	}
	for _, field := range []string{"user.audit.name", "user.name"} {
		if a.User == "" {
			a.User = text(f, field)
		}
	}
	if a.Message == "" {
		a.Message = a.Reason
	}
	a.Score, _ = number(f, "reconbeat.anomaly.score")
	severity, _ := number(f, "event.severity")
	a.Severity = int64(severity)
	a.Document = f.Clone()
	a.Document["@timestamp"] = a.Time.Format("2006-01-02T15:04:05.000Z")
	return a
}

// isAlert reports whether a document is an alert, and no conclusion of some.
func isAlert(doc *beat.Event) bool { return text(doc.Fields, "event.kind") == "alert" }

// wanted reports whether a target is for an alert.
func (i *Item) wanted(doc *beat.Event) bool {
	if !isAlert(doc) || len(i.Rules) > 0 && !slices.Contains(i.Rules, text(doc.Fields, "rule.id")) {
		return false
	}
	score, scored := number(doc.Fields, "reconbeat.anomaly.score")
	return !scored || score >= i.MinScore
}

// Line is the alert in one line, which a hostile process cannot break.
func (a *Alert) Line() string {
	if a.HeldBack > 0 {
		return fmt.Sprintf("reconbeat: %d more alerts were not delivered one by one", a.HeldBack)
	}
	line := a.Message
	if a.Host != "" {
		line += " on " + a.Host
	}
	if a.Reason != "" && a.Reason != a.Message {
		line += ": " + a.Reason
	}
	if a.Command != "" {
		line += " [" + a.Command + "]"
	}
	return printable(line)
}

// printable replaces what controls a terminal or ends a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// json is the document, or where alerts were held back, how many.
func (a *Alert) json() ([]byte, error) {
	doc := a.Document
	if a.HeldBack > 0 {
		doc = mapstr.M{
			"@timestamp": a.Time.Format("2006-01-02T15:04:05.000Z"), "message": a.Line(),
			"reconbeat": mapstr.M{"notify": mapstr.M{"held_back": a.HeldBack}},
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding an alert: %w", err)
	}
	return b, nil
}

func text(m mapstr.M, field string) string {
	v, err := m.GetValue(field)
	if err != nil || v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func number(m mapstr.M, field string) (float64, bool) {
	switch v, _ := m.GetValue(field); v := v.(type) {
	case float64:
		return v, true
	case int64: // a whole number that went through the journal
		return float64(v), true
	case int:
		return float64(v), true
	}
	return 0, false
}

// sample is an alert on which templates are tried.
func sample() *Alert {
	return &Alert{
		ID: "88hzw_QyImae_D3EEukq", Time: time.Date(2026, 11, 28, 3, 40, 53, 0, time.UTC), Host: "web-1",
		Rule: "network-connection-discovery", Message: "Unusual network connection discovery by mallory",
		Reason: "mallory has never looked at network connections on this host", User: "mallory", Command: `ss -t "x" \ <&>`,
		Score: 85.5, Severity: 21, Document: mapstr.M{"message": "sample"},
	}
}
