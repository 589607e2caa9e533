// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/report"
)

// TestWhatWasHeldBackCannotSteerTheTerminal has a process choose its command line, and its user a name.
func TestWhatWasHeldBackCannotSteerTheTerminal(t *testing.T) {
	held := report.HeldBack{Idle: time.Minute}
	for _, command := range []string{"ss\x1b[2J", "ss\n2026 root\t99", "ss \u009b1A"} {
		doc := mapstr.M{}
		for name, v := range map[string]any{
			"reconbeat.control.held": "alert", "reconbeat.control.id": []string{"web-check"},
			"reconbeat.rules": []string{"network-connection-discovery"}, "reconbeat.anomaly.score": 58.3,
			"reconbeat.visit.id":   "v1",
			"reconbeat.actor.name": "eve\x1b]0;owned\a", "process.command_line": command,
		} {
			put(doc, name, v)
		}
		require.True(t, held.Add(&beat.Event{Fields: doc}))
	}
	var out bytes.Buffer
	printHeld(&out, &held)
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")), "a head and one visit:\n%q", out.String())
	require.Contains(t, out.String(), `ss\x1b[2J; ss�2026 root\t99; ss \u009b1A`)
	require.NotContains(t, out.String(), "\x1b")
}

// The counts are those of the saved state, which may be some seconds old.
func TestTheListOfControlsSaysHowOldItIs(t *testing.T) {
	taken := time.Date(2026, 11, 29, 16, 56, 0, 0, time.UTC)
	all := []control.Usage{{Kind: control.KindException, ID: "backup", Matches: 3, Alerts: 1, Last: taken}}
	var out bytes.Buffer
	printControls(&out, all, taken, taken.Add(time.Minute))
	require.Contains(t, out.String(), "3        1                 2026-11-29T16:56:00Z")
	require.Contains(t, out.String(), "\nCounted until 2026-11-29T16:56:00Z, when the state was saved.\n")
	out.Reset()
	printControls(&out, all[:0], taken, taken)
	require.NotContains(t, out.String(), "Counted")
	out.Reset()
	printControls(&out, all, time.Time{}, taken)
	require.NotContains(t, out.String(), "Counted", "nothing was saved yet")
}

// While exceptions change every second, and every other change is broken, each program start ships once, each alert
// that none of them covers comes, and a broken file leaves the last good ones in force.
func TestExceptionsAreReloadedInAStorm(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	dir := filepath.Join(h.dir, "exceptions.d")
	require.NoError(t, os.Mkdir(dir, 0o755))
	file := filepath.Join(dir, "storm.yml")
	write := func(text string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	good := func(n int) string { // it is longer each time: the file system's clock is coarse
		return "- {id: storm, conditions: [{field: user.name, is: covered}]}" + strings.Repeat("\n", n)
	}
	write(good(0))
	r := h.start("reconbeat.controls.reload.period: 1s\n" + oneModule + theFile)
	r.wait("controls.active", 1)

	const changes, users = 6, 15
	for n := range changes {
		for u := range users {
			h.Exec(fmt.Sprintf("stranger-%d-%d", n, u), "ss -tunap")
			h.Exec("covered", fmt.Sprintf("ss -a %d", n*users+u))
		}
		rejected, reloaded := strings.Count(r.log.All(), "not applied"), strings.Count(r.log.All(), "controls reloaded")
		if n%2 == 0 {
			write("- {id: storm, conditions: [{field: user.name}]}" + strings.Repeat("\n", n))
			h.eventually(func() bool {
				return r.stat("health.config_rejected") == 1 || strings.Count(r.log.All(), "not applied") > rejected
			}, "the broken file is not rejected:\n%s", r.log)
			require.Equal(t, 1, r.stat("controls.active"))
			continue
		}
		write(good(n))
		h.eventually(func() bool { return strings.Count(r.log.All(), "controls reloaded") > reloaded },
			"the good file is not taken up:\n%s", r.log)
	}
	r.wait("detector.matched", 2*changes*users)
	h.eventually(func() bool { return len(h.shipped("exec")) >= 2*changes*users }, "not all shipped:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))

	seen := map[string]int{}
	for _, one := range h.shipped("exec") {
		seen[one]++
	}
	require.Len(t, seen, 2*changes*users)
	require.Len(t, h.shipped("exec"), 2*changes*users)
	alerts := h.shipped("alert")
	require.Len(t, alerts, changes*users, "one of each stranger, none of whom is covered")
	for _, one := range alerts {
		require.True(t, strings.HasPrefix(one, "stranger-"), one)
	}
	require.Contains(t, r.log.All(), "storm.yml line 1: 0.conditions.0: has no test")
}
