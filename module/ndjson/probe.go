// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"errors"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
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

// Recognises reports whether a file that begins with the sample is one for this module: its first line is a JSON
// object, or is the beginning of one that is longer than the sample.
func Recognises(sample []byte) bool {
	sample = bytes.TrimLeft(bytes.TrimPrefix(sample, utf8Mark), " \t\r\n")
	line, _, complete := bytes.Cut(sample, []byte{'\n'})
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' {
		return false
	}
	if !complete {
		rest := bytes.TrimLeft(line[1:], " \t")
		return len(rest) > 0 && (rest[0] == '"' || rest[0] == '}')
	}
	var d ecs.Decoder
	var e process.Event
	err := d.Decode(line, &e)
	return err == nil || errors.Is(err, ecs.ErrNoTimestamp)
}
