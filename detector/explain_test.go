// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reconbeat/reconbeat/process"
)

func TestARuleSaysWhatItMeansAndWhy(t *testing.T) {
	r := Rule{
		ID: "r", Name: "Unusual match", Habit: "looked", Programs: []string{"ss", "route"},
		Threshold: 25, Severity: "low", RiskScore: 21,
		Except: []Except{{Programs: []string{"route"}, AnyArg: []string{"add", "del*"}},
			{NoArg: []string{"-t"}, NoArgs: true}},
		Threat: []Threat{{Tactic: Technique{ID: "TA0007", Name: "Discovery"},
			Technique: []Technique{{ID: "T1049", Name: "System Network Connections Discovery"}}}},
	}
	assert.Equal(t, []string{
		`"Unusual match": whoever starts ss or route has looked.`,
		`It leaves out route with an argument add or del*.`,
		`It leaves out ss or route without an argument -t and without any argument.`,
		`A score of 25 or more raises an alert of severity low (21), risk 21, ` +
			`T1049 System Network Connections Discovery.`,
	}, r.Meaning())
	for _, c := range []struct {
		executable string
		args       []string
		matches    bool
		why        string
	}{
		{"/usr/bin/ss", []string{"ss", "-K", "dst", "1.2.3.4"}, true, "what runs is ss, which the rule is about"},
		{"/usr/sbin/route", []string{"route", "delete", "default"}, false,
			"what runs is route, but the rule leaves out route with an argument add or del*"},
		{"/usr/bin/ss", []string{"ss"}, false, "what runs is ss, but the rule leaves out ss or route without " +
			"an argument -t and without any argument"},
		{"/bin/busybox", []string{"route", "-n"}, true, "what runs is route, which the rule is about"},
		{"/lib64/ld-linux-x86-64.so.2", []string{"ld-linux-x86-64.so.2", "/usr/bin/ss", "-t"}, true,
			"what runs is ss, which the rule is about"},
		{"/usr/bin/ls", []string{"ls"}, false, "what runs is ls, and the rule is about ss or route"},
		{"/usr/bin/sudo", []string{"sudo", "/usr/bin/ss", "-t"}, false,
			"what runs is sudo, and the rule is about ss or route; if sudo starts ss, that is a program start of " +
				"its own"},
	} {
		matches, why := r.Explain(&process.Process{Executable: c.executable, Args: c.args})
		assert.Equal(t, c.matches, matches, "%v", c.args)
		assert.Equal(t, c.why, why, "%v", c.args)
	}
}
