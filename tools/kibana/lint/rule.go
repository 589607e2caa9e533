// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// scores are the risk scores that belong to the severities.
var scores = map[string]int{"low": 21, "medium": 47, "high": 73, "critical": 99}

// attack are the names of what our rules are about in MITRE ATT&CK.
var attack = map[string]string{
	"TA0005": "Defense Evasion", "TA0007": "Discovery",
	"T1049": "System Network Connections Discovery", "T1562": "Impair Defenses", "T1562.001": "Disable or Modify Tools",
}

func (l *linter) rule(r saved.Rule) {
	l.named(r.Name, r.Description)
	if !uuid.MatchString(r.RuleID) {
		l.fault("the rule_id %q is not a UUID", r.RuleID)
	}
	if r.Version < 1 {
		l.fault("the version is %d", r.Version)
	}
	if r.Note == "" || r.Setup == "" {
		l.fault("no investigation guide or no setup")
	}
	l.guide(r.Note)
	l.asked(r)
	l.times(r)
	l.severity(r)
	l.ruleFields(r)
	for _, t := range r.Threat {
		l.attack("tactics", t.Tactic)
		for _, q := range t.Technique {
			l.attack("techniques", q)
			for _, s := range q.Subtechnique {
				l.attack("techniques", s)
			}
		}
	}
}

// button finds the searches of a guide, which Kibana shows as buttons, and searched the fields that they are by.
var button, searched = regexp.MustCompile(`!\{investigate\{.*\}\}`), regexp.MustCompile(`"field":"([^"]*)"`)

// guide wants searches that can find something.
func (l *linter) guide(text string) {
	for _, search := range button.FindAllString(text, -1) {
		for _, m := range searched.FindAllStringSubmatch(search, -1) {
			l.known("a search of the guide", m[1])
		}
	}
}

// from finds the data streams that an ES|QL query reads.
var from = regexp.MustCompile(`^FROM ([^\s|]+)\s*\|`)

// What an ES|QL query says in quotes, and the names in it that are fields': a column that it makes itself has no dot.
var literal, dotted = regexp.MustCompile(`"[^"]*"`), regexp.MustCompile(`[A-Za-z_]+(\.[A-Za-z_]+)+`)

// asked checks what the rule searches for, and in what.
func (l *linter) asked(r saved.Rule) {
	index := r.Index
	switch r.Type {
	case "query", "threshold":
		l.query("the query", saved.KQL{Language: r.Language, Query: r.Query})
		if (r.Type == "threshold") != (r.Threshold != nil) {
			l.fault("it has a threshold, or is of the type threshold, not both")
		}
		if t := r.Threshold; t != nil {
			if t.Value < 1 {
				l.fault("the threshold is %d", t.Value)
			}
			for _, f := range t.Field {
				l.countable("the threshold", f)
			}
		}
	case "esql":
		m := from.FindStringSubmatch(r.Query)
		if r.Language != "esql" || len(r.Index) > 0 || len(r.Filters) > 0 || m == nil {
			l.fault("a rule in ES|QL has that language, no index, no filters, and begins with FROM")
			return
		}
		index = strings.Split(m[1], ",")
		rest := literal.ReplaceAllString(r.Query[len(m[0]):], "")
		for _, f := range dotted.FindAllString(rest, -1) {
			l.known("the query", f)
		}
	default:
		l.fault("invalid type %q (want query, threshold or esql)", r.Type)
	}
	if len(index) == 0 {
		l.fault("no index")
	}
	for _, pattern := range index {
		found := false
		for _, title := range l.views {
			found = found || title == pattern
		}
		if !found {
			l.fault("it reads %s, of which there is no data view", pattern)
		}
	}
}

// times wants searches that overlap: one that comes late misses nothing.
func (l *linter) times(r saved.Rule) {
	interval, err := time.ParseDuration(r.Interval)
	if err != nil || interval <= 0 {
		l.fault("the interval is %q", r.Interval)
		return
	}
	back, err := time.ParseDuration(strings.TrimPrefix(r.From, "now-"))
	if err != nil || !strings.HasPrefix(r.From, "now-") || r.To != "now" {
		l.fault("it searches from %q to %q", r.From, r.To)
		return
	}
	if back < 2*interval {
		l.fault("it searches the last %s every %s: a search that comes late leaves a gap", back, interval)
	}
	if r.MaxSignals < 1 || r.MaxSignals > 1000 {
		l.fault("max_signals is %d", r.MaxSignals)
	}
}

func (l *linter) severity(r saved.Rule) {
	if want, known := scores[r.Severity]; !known || r.RiskScore != want {
		l.fault("the severity %q with the risk score %d; they go together as %v", r.Severity, r.RiskScore, scores)
	}
	for _, m := range r.SeverityMapping {
		l.known("severity_mapping", m.Field)
		if want := scores[m.Severity]; want == 0 || m.Operator != "equals" || m.Value != fmt.Sprint(want) {
			l.fault("severity_mapping takes %q for %q", m.Value, m.Severity)
		}
	}
	for _, m := range r.RiskScoreMapping {
		l.known("risk_score_mapping", m.Field)
		if m.Operator != "equals" || m.Value != "" || l.types.DataType(m.Field) != "number" {
			l.fault("risk_score_mapping does not take the number in a field: %+v", m)
		}
	}
}

// ruleFields checks the fields that a rule names.
func (l *linter) ruleFields(r saved.Rule) {
	if r.TimestampOverride != "" && l.types.DataType(r.TimestampOverride) != "date" {
		l.fault("timestamp_override is %s, which is not a date", r.TimestampOverride)
	}
	if r.RuleNameOverride != "" {
		l.known("rule_name_override", r.RuleNameOverride)
	}
	if s := r.AlertSuppression; s != nil {
		for _, f := range s.GroupBy {
			l.countable("alert_suppression", f)
		}
		byFields := r.Type != "threshold" // which groups by its threshold's
		if byFields &&
			(len(s.GroupBy) < 1 || len(s.GroupBy) > 3 || s.Missing != "suppress" && s.Missing != "doNotSuppress") ||
			!byFields && (len(s.GroupBy) > 0 || s.Missing != "") {
			l.fault("alert_suppression groups by %q, and where one is missing: %q", s.GroupBy, s.Missing)
		}
		if s.Duration == nil || s.Duration.Value < 1 || !slices.Contains([]string{"s", "m", "h"}, s.Duration.Unit) {
			l.fault("alert_suppression has no duration")
		}
	}
	if r.InvestigationFields == nil || len(r.InvestigationFields.Names) == 0 {
		l.fault("no investigation fields")
	} else {
		for _, f := range r.InvestigationFields.Names {
			l.known("investigation_fields", f)
		}
	}
	for _, f := range r.RequiredFields {
		if l.types[f.Name] != f.Type {
			l.fault("required_fields has %s as %s, which is %q", f.Name, f.Type, l.types[f.Name])
		}
	}
	if (r.TimelineID == "") != (r.TimelineTitle == "") || r.TimelineID != "" && !uuid.MatchString(r.TimelineID) {
		l.fault("the timeline has the id %q and the title %q", r.TimelineID, r.TimelineTitle)
	}
}

func (l *linter) attack(kind string, a saved.Attack) {
	want := "https://attack.mitre.org/" + kind + "/" + strings.ReplaceAll(a.ID, ".", "/") + "/"
	if name := attack[a.ID]; name == "" || name != a.Name || a.Reference != want {
		l.fault("ATT&CK's %s is not %q at %s", a.ID, a.Name, a.Reference)
	}
}

// Sum makes the file that remembers of each rule the version and a sum of everything else. A rule whose sum is another
// than the recorded one and whose version is not higher is an error: Kibana and reconbeat's setup would take it for the
// one that they have.
func Sum(rules []saved.Rule, recorded []byte) ([]byte, error) {
	type line struct {
		version int
		sum     string
	}
	before := map[string]line{}
	for text := range strings.Lines(string(recorded)) {
		var id string
		var l line
		if _, err := fmt.Sscan(text, &id, &l.version, &l.sum); err != nil {
			return nil, fmt.Errorf("a line of the rules' sums cannot be read: %q: %w", text, err)
		}
		before[id] = l
	}
	var b bytes.Buffer
	for _, r := range rules {
		version := r.Version
		r.Version = 0
		sum := fmt.Sprintf("%x", sha256.Sum256(saved.Raw(r)))
		old, known := before[r.RuleID]
		if known && old.sum != sum && version <= old.version {
			return nil, fmt.Errorf("rule %s: it changed and is still of version %d; give it version %d", r.Name,
				version, old.version+1)
		}
		if known && version < old.version {
			return nil, fmt.Errorf("rule %s: version %d, where %d was before", r.Name, version, old.version)
		}
		fmt.Fprintln(&b, r.RuleID, version, sum)
	}
	return b.Bytes(), nil
}
