// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

const (
	// summaryCommands is how many distinct command lines a summary has, commandBytes how much of each.
	summaryCommands = 20
	commandBytes    = 1024
)

// EpisodeSummary is what came of an episode, until now or until its close.
type EpisodeSummary struct {
	Last     time.Time // of the last exec
	Execs    int       // how many there were
	Alerts   int       // the opening one and escalations
	MaxScore float64
	Commands []Command // the first distinct ones, at most summaryCommands
	Group    []string  // what its matches have in common, in words; none where that is the actor
	Actors   Tally     // of a group
}

// add counts a match.
func (s *EpisodeSummary) add(f *Finding, e *process.Event) {
	s.MaxScore = max(s.MaxScore, f.Score)
	if f.Kind == Alert {
		s.Alerts++
	}
	if f.counted {
		return
	}
	s.Execs++
	s.Last = latest(s.Last, e.Time)
	if len(s.Group) > 0 {
		s.Actors.add(f.Actor)
	}
	line := commandLine(e, commandBytes)
	for i := range s.Commands {
		if s.Commands[i].Line == line {
			s.Commands[i].Count++
			return
		}
	}
	if len(s.Commands) < summaryCommands {
		s.Commands = append(s.Commands, Command{Line: line, Count: 1})
	}
}

// commandLine is the command line of an exec, the first n bytes of it.
func commandLine(e *process.Event, n int) string {
	line := e.CommandLine
	if line == "" {
		line = strings.Join(e.Args, " ")
	}
	return strings.Clone(line[:min(len(line), n)])
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
