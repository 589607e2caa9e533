// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule says which programs match, which score raises an alert, and what the alert says. A rule is data:
// shipped ones are the files of detector/rules, a user's own are those of rules.d.
type Rule struct {
	ID             string   `config:"id"`      // stable, lower case with dashes
	Name           string   `config:"name"`    // a title
	Version        int      `config:"version"` // counts up with every change
	Enabled        bool     `config:"enabled"`
	Description    string   `config:"description"`
	Habit          string   `config:"habit"`     // follows "has never": "looked at network connections"
	Programs       []string `config:"programs"`  // base names, exact and case-sensitive, as of the machine learning job
	Except         []Except `config:"except"`    // command lines that are not matches, though the program is
	Threshold      float64  `config:"threshold"` // the least score that alerts, 0 to 100
	Severity       string   `config:"severity"`  // low, medium, high or critical
	RiskScore      float64  `config:"risk_score"`
	Threat         []Threat `config:"threat"`
	References     []string `config:"references"`
	FalsePositives []string `config:"false_positives"`
	Note           string   `config:"note"` // the investigation guide, Markdown
	Tags           []string `config:"tags"`
	Author         []string `config:"author"`
	License        string   `config:"license"`
}

// Except is a kind of command line that a rule leaves out: one for which all of the conditions hold.
type Except struct {
	Programs []string `config:"programs"` // of the rule's programs; empty: all
	AnyArg   []string `config:"any_arg"`  // one of the arguments after the program matches one of these, with * and ?
	NoArg    []string `config:"no_arg"`   // no argument after the program matches one of these
	NoArgs   bool     `config:"no_args"`  // there are no arguments after the program
}

// Threat is a tactic of MITRE ATT&CK with techniques.
type Threat struct {
	Tactic    Technique   `config:"tactic"`
	Technique []Technique `config:"technique"`
}

// Technique is an id of MITRE ATT&CK with its name; the reference follows from the id.
type Technique struct {
	ID   string `config:"id"`
	Name string `config:"name"`
}

// Reference is the page about a tactic or technique.
func (t Technique) Reference() string {
	kind := "techniques"
	if strings.HasPrefix(t.ID, "TA") {
		kind = "tactics"
	}
	return "https://attack.mitre.org/" + kind + "/" + strings.ReplaceAll(t.ID, ".", "/") + "/"
}

// severities maps the words to the numbers that Elastic's rule for external alerts expects in event.severity.
var severities = map[string]int{"low": 21, "medium": 47, "high": 73, "critical": 99}

// SeverityNumber is the rule's event.severity; 0 for an unknown word.
func (r *Rule) SeverityNumber() int { return severities[r.Severity] }

// Check returns everything that is wrong with the rule, each error with the key that it is about.
func (r *Rule) Check() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	if r.ID == "" || strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		wrong("id", "%q is not allowed; it must be lower-case letters, digits, - and _", r.ID)
	}
	if r.ID == CorrelationRule {
		wrong("id", "%q is not allowed; documents about several alerts have it", r.ID)
	}
	if r.Name == "" {
		wrong("name", "is missing")
	}
	if r.Habit == "" {
		wrong("habit", `is missing; say what the programs do, to follow "has never": "looked at network connections"`)
	}
	if len(r.Programs) == 0 {
		wrong("programs", "is missing; name at least one program")
	}
	seen := map[string]bool{}
	for i, p := range r.Programs {
		if p == "" || strings.Contains(p, "/") {
			wrong(fmt.Sprintf("programs.%d", i),
				"%q is not allowed; it must be the base name of an executable, without folders", p)
		}
		if seen[p] {
			wrong(fmt.Sprintf("programs.%d", i), "%q is listed twice", p)
		}
		seen[p] = true
	}
	for i, e := range r.Except {
		key := fmt.Sprintf("except.%d", i)
		if len(e.AnyArg) == 0 && len(e.NoArg) == 0 && !e.NoArgs {
			wrong(key, "has no condition; it must have any_arg, no_arg or no_args")
		}
		for _, p := range e.Programs {
			if !seen[p] {
				wrong(key+".programs", "%q is missing from the rule's programs", p)
			}
		}
		for _, pattern := range slices.Concat(e.AnyArg, e.NoArg) {
			if _, err := path.Match(pattern, ""); err != nil {
				wrong(key, "invalid pattern %q: %v", pattern, err)
			}
		}
	}
	if r.Version < 0 {
		wrong("version", "%d is not allowed; it must be 0 or more", r.Version)
	}
	if !(r.Threshold >= 0 && r.Threshold <= 100) {
		wrong("threshold", "%v is not allowed; it must be 0 to 100", r.Threshold)
	}
	if r.SeverityNumber() == 0 {
		wrong("severity", "%q is not allowed; it must be low, medium, high or critical", r.Severity)
	}
	if !(r.RiskScore >= 0 && r.RiskScore <= 100) {
		wrong("risk_score", "%v is not allowed; it must be 0 to 100", r.RiskScore)
	}
	for i, t := range r.Threat {
		if !strings.HasPrefix(t.Tactic.ID, "TA") {
			wrong(fmt.Sprintf("threat.%d.tactic.id", i),
				"%q is not allowed; it must be a tactic of ATT&CK such as TA0007", t.Tactic.ID)
		}
		for j, q := range t.Technique {
			if !strings.HasPrefix(q.ID, "T") || strings.HasPrefix(q.ID, "TA") {
				wrong(fmt.Sprintf("threat.%d.technique.%d.id", i, j),
					"%q is not allowed; it must be a technique of ATT&CK such as T1049", q.ID)
			}
		}
	}
	return errors.Join(errs...)
}

// means reports whether the rule is about this command line of one of its programs: no exception holds. args are those
// after the program.
func (r *Rule) means(program string, args []string) bool {
	for i := range r.Except {
		if r.Except[i].holds(program, args) {
			return false
		}
	}
	return true
}

func (e *Except) holds(program string, args []string) bool {
	if len(e.Programs) > 0 && !slices.Contains(e.Programs, program) {
		return false
	}
	if e.NoArgs && len(args) > 0 {
		return false
	}
	return (len(e.AnyArg) == 0 || anyMatches(e.AnyArg, args)) && (len(e.NoArg) == 0 || !anyMatches(e.NoArg, args))
}

func anyMatches(patterns, args []string) bool {
	for _, a := range args {
		for _, p := range patterns {
			if p == a {
				return true
			}
			if ok, _ := path.Match(p, a); ok {
				return true
			}
		}
	}
	return false
}
