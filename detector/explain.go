// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// Meaning says in sentences what matches, what the exceptions leave out, and what an alert of the rule is worth.
func (r *Rule) Meaning() []string {
	lines := []string{fmt.Sprintf("%q: whoever starts %s has %s.", r.Name, listed(r.Programs), r.Habit)}
	for _, e := range r.Except {
		lines = append(lines, "It leaves out "+e.meaning(r.Programs)+".")
	}
	worth := fmt.Sprintf("A score of %v or more raises an alert of severity %s (%d), risk %v", r.Threshold,
		r.Severity, r.SeverityNumber(), r.RiskScore)
	var techniques []string
	for _, t := range r.Threat {
		for _, q := range t.Technique {
			techniques = append(techniques, q.ID+" "+q.Name)
		}
	}
	if len(techniques) > 0 {
		worth += ", " + strings.Join(techniques, ", ")
	}
	return append(lines, worth+".")
}

// meaning is the kind of command line in words.
func (e *Except) meaning(programs []string) string {
	if len(e.Programs) > 0 {
		programs = e.Programs
	}
	var conditions []string
	if len(e.AnyArg) > 0 {
		conditions = append(conditions, "with an argument "+listed(e.AnyArg))
	}
	if len(e.NoArg) > 0 {
		conditions = append(conditions, "without an argument "+listed(e.NoArg))
	}
	if e.NoArgs {
		conditions = append(conditions, "without any argument")
	}
	return listed(programs) + " " + strings.Join(conditions, " and ")
}

// Explain says whether the rule matches a program start, and why.
func (r *Rule) Explain(p *process.Process) (matches bool, why string) {
	e := &process.Event{Process: *p}
	program, args := r.program(e)
	if program == "" {
		runs, args := Program(e)
		why = fmt.Sprintf("what runs is %s, and the rule is about %s", runs, listed(r.Programs))
		if i := slices.IndexFunc(args, func(a string) bool { return slices.Contains(r.Programs, base(a)) }); i >= 0 {
			why += fmt.Sprintf("; if %s starts %s, that is a program start of its own", runs, base(args[i]))
		}
		return false, why
	}
	for i := range r.Except {
		if r.Except[i].holds(program, args) {
			return false, fmt.Sprintf("what runs is %s, but the rule leaves out %s", program,
				r.Except[i].meaning(r.Programs))
		}
	}
	return true, "what runs is " + program + ", which the rule is about"
}

// listed are alternatives in words.
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Techniques are the ids of ATT&CK of the rules that mean an exec, enabled or not, each once; nil: no rule does.
func (d *Detector) Techniques(p *process.Process) []string {
	var ids []string
	for i := range d.o.Rules {
		r := &d.o.Rules[i]
		program, args := r.program(&process.Event{Process: *p})
		if program == "" || !r.means(program, args) {
			continue
		}
		for _, t := range r.Threat {
			for _, q := range t.Technique {
				if !slices.Contains(ids, q.ID) {
					ids = append(ids, q.ID)
				}
			}
		}
	}
	return ids
}
