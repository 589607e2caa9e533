// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
)

// Alert is what targets are given: an alert, or the message that a limit held some back.
type Alert struct {
	ID       string
	Time     time.Time
	Host     string
	Rule     string // its id
	Message  string // one line
	Reason   string
	User     string
	Session  string // the login session, as the kernel's audit numbers it
	Test     bool   // made by a test
	Command  string
	Score    float64
	Severity int64
	HeldBack int // of that message: how many
	Document mapstr.M
}

// of makes an Alert of a document. One of this host's names no host, since libbeat adds that on the way to the output.
func of(doc *beat.Event, host string) *Alert {
	f := doc.Fields.Clone()
	if _, err := f.GetValue("host.name"); err != nil && host != "" {
		_, _ = f.Put("host.name", host) // what is no object there stays, as the output has it
	}
	a := &Alert{
		ID: text(f, "event.id"), Time: doc.Timestamp.UTC(), Host: text(f, "host.name"), Rule: text(f, "rule.id"),
		Message: text(f, "message"), Reason: text(f, "event.reason"), User: text(f, "reconbeat.actor.name"),
		Command: text(f, "process.command_line"), Session: text(f, "reconbeat.session.id"),
		Test: text(f, "reconbeat.alert.test") == "true",
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
	a.Document = f
	a.Document["@timestamp"] = a.Time.Format(stamp)
	return a
}

// isAlert reports whether a document is an alert, and no conclusion of some.
func isAlert(doc *beat.Event) bool { return text(doc.Fields, "event.kind") == "alert" }

// wanted reports whether a target is for an alert.
func (i *Item) wanted(doc *beat.Event) bool {
	if !isAlert(doc) {
		return false
	}
	if text(doc.Fields, "event.action") == "correlation" { // several alerts together matter, however weak each is
		return len(i.Rules) == 0 || slices.ContainsFunc(i.Rules, func(rule string) bool {
			return slices.Contains(texts(doc.Fields, "reconbeat.correlation.rules"), rule)
		})
	}
	severity, _ := number(doc.Fields, "event.severity")
	spoken := text(doc.Fields, "reconbeat.correlation.member") == "true" && severity <= correlated
	if len(i.Rules) == 0 && spoken { // of other targets' rules, the correlation may have had none
		return false
	}
	if len(i.Rules) > 0 && !slices.Contains(i.Rules, text(doc.Fields, "rule.id")) {
		return false
	}
	score, scored := number(doc.Fields, "reconbeat.anomaly.score")
	return !scored || score >= i.MinScore
}

// correlated is the severity of a correlation: it speaks for its further parts, unless one is more severe.
const correlated = 73

// mostLine bounds a line, in bytes: a command may be as long as the kernel allows.
const mostLine = 4096

// Line is the alert in one line, which a hostile process cannot break.
func (a *Alert) Line() string {
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
	return shortened(printable.Text(line), mostLine)
}

// heldBack is the message that a limit held n alerts of a host back.
func heldBack(host string, n int, now time.Time) *Alert {
	now = now.UTC()
	a := &Alert{
		ID: "held-back-" + now.Format("20060102T150405.000Z"), Time: now, Host: host, HeldBack: n,
		Message: "reconbeat held back " + plural.Of(uint64(n), "alert"),
		Reason:  "more came than the limit per_hour of this target; `reconbeat alerts list` has them",
	}
	a.Document = mapstr.M{
		"@timestamp": now.Format(stamp), "message": a.Message,
		"event": mapstr.M{"id": a.ID, "reason": a.Reason}, "reconbeat": mapstr.M{"notify": mapstr.M{"held_back": n}},
	}
	if host != "" {
		a.Document["host"] = mapstr.M{"name": host}
	}
	return a
}

// stamp is how Elasticsearch writes a time.
const stamp = "2006-01-02T15:04:05.000Z"

// shortened is a text of at most n bytes that ends where a character does.
func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}

// level is the severity in words, by Elastic's borders: low below 47, medium below 73, high below 99.
func (a *Alert) level() string {
	switch {
	case a.Severity >= 99:
		return "critical"
	case a.Severity >= 73:
		return "error"
	case a.Severity >= 47:
		return "warning"
	}
	return "info"
}

// json is the document.
func (a *Alert) json() ([]byte, error) {
	b, err := printable.JSON(a.Document)
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

// texts are the values of a field that has several.
func texts(m mapstr.M, field string) []string {
	v, _ := m.GetValue(field) // there may be none
	switch v := v.(type) {
	case []string:
		return v
	case []any: // it went through the journal
		all := make([]string, len(v))
		for i := range v {
			all[i] = fmt.Sprint(v[i])
		}
		return all
	}
	return nil
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

// Sample is an alert, marked as a test, with which templates and targets are tried.
func Sample(host string, now time.Time) *Alert {
	doc := mapstr.M{
		"message": "Unusual network connection discovery by mallory (a test)",
		"event": mapstr.M{
			"id": "test-" + now.UTC().Format("20060102T150405.000Z"), "kind": "alert", "severity": int64(21),
			"reason": "this alert was made by `reconbeat test notify`; nothing has happened",
		},
		"host": mapstr.M{"name": host}, "rule": mapstr.M{"id": "network-connection-discovery"},
		"process": mapstr.M{"command_line": `ss -t "x" \ <&>`},
		"reconbeat": mapstr.M{
			"actor": mapstr.M{"name": "mallory"}, "anomaly": mapstr.M{"score": 85.5}, "alert": mapstr.M{"test": true},
		},
	}
	return of(&beat.Event{Timestamp: now, Fields: doc}, host)
}
