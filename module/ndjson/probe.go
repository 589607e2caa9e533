// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/recording"
)

// Probe says whether the module works here. It works everywhere; what it sees is what the agent that writes the file
// sees.
func Probe() module.Support {
	return module.Support{
		Works: true,
		Why:   "it needs no more than the right to read a file that another agent writes",
		Sees: []string{
			"the program starts that Elastic Defend, auditd_manager, auditbeat or another agent has written to the file, " +
				"of one host or of many",
		},
		Blind: []string{
			"what that agent does not see or does not write",
			"anything between the last time the agent wrote and now",
		},
		Help: "Name the file in paths; a file output of NDJSON is what it wants.",
	}
}

// Recognises reports whether a recording that begins with the sample is one for this module, or one of documents in a
// form of which it can say how to make it readable.
func Recognises(sample []byte) bool { return recording.FormOf(sample) != recording.Unknown }
