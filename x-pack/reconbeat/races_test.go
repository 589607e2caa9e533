// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// librariesRaces are the data races within what manages us, each by a function of either access. They are not ours to
// mend, and an exit code that is theirs would hide one of ours.
var librariesRaces = [][2]string{
	// BeatV2Manager.isRunning is written by Start after it has started the listener, which writes it when it is asked to
	// stop.
	{"management.(*BeatV2Manager).unitListen()", "management.(*BeatV2Manager).Start()"},
	// A unit's payload is compared by reflection while the check-in that sends it has protobuf note types and sizes in
	// it.
	{"client.(*clientV2).sendObserved()", "client.(*Unit).UpdateState()"},
}

// races has the race detector of a process, by its environment, report to a file instead of by the exit code.
func (h *host) races() string {
	return "GORACE=" + os.Getenv("GORACE") + " exitcode=0 log_path=" + filepath.Join(h.dir, "race")
}

// expectNoRaceOfOurs fails the test for each race in a process of this host that is not a library's.
func (h *host) expectNoRaceOfOurs() {
	files, err := filepath.Glob(filepath.Join(h.dir, "race.*"))
	require.NoError(h.t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(h.t, err)
		for _, report := range ours(string(text)) {
			h.t.Errorf("a race: %s", report)
		}
	}
}

// ours are the reports of a race detector's log that are not of librariesRaces.
func ours(log string) []string {
	return slices.DeleteFunc(strings.Split(log, "==================\n"), func(report string) bool {
		if !strings.Contains(report, "DATA RACE") {
			return true
		}
		// The two accesses come first, then the goroutines that made them, each with an empty line before it.
		stacks := strings.SplitN(report, "\n\n", 3)
		if len(stacks) < 2 {
			return false
		}
		return slices.ContainsFunc(librariesRaces, func(known [2]string) bool {
			a, b := stacks[0], stacks[1]
			return strings.Contains(a, known[0]) && strings.Contains(b, known[1]) ||
				strings.Contains(a, known[1]) && strings.Contains(b, known[0])
		})
	})
}

func TestOnlyRacesOfLibrariesAreLetPass(t *testing.T) {
	const known = `==================
WARNING: DATA RACE
Write at 0x00c000515608 by goroutine 55:
  github.com/elastic/beats/v7/x-pack/libbeat/management.(*BeatV2Manager).unitListen()
      managerV2.go:514 +0xcb0

Previous write at 0x00c000515608 by main goroutine:
  github.com/elastic/beats/v7/x-pack/libbeat/management.(*BeatV2Manager).Start()
      managerV2.go:307 +0x45d

Goroutine 55 (running) created at:
  github.com/elastic/beats/v7/x-pack/libbeat/management.(*BeatV2Manager).Start()
      managerV2.go:306 +0x44a
==================
`
	require.Empty(t, ours(known))
	require.Len(t, ours(known+strings.ReplaceAll(known, ".unitListen()", ".reload()")), 1)
	require.Len(t, ours("==================\nWARNING: DATA RACE\ntorn"), 1)
}
