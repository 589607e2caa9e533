// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// TestWhatWasHeldBackCannotSteerTheTerminal has a process choose its command line, and its user a name.
func TestWhatWasHeldBackCannotSteerTheTerminal(t *testing.T) {
	held := heldBack{idle: time.Minute}
	for _, command := range []string{"ss\x1b[2J", "ss\n2026 root\t99", "ss \u009b1A"} {
		doc := mapstr.M{}
		for name, v := range map[string]any{
			"reconbeat.control.held": "alert", "reconbeat.control.id": []string{"web-check"},
			"reconbeat.rules": []string{"network-connection-discovery"}, "reconbeat.anomaly.score": 58.3,
			"reconbeat.actor.name": "eve\x1b]0;owned\a", "process.command_line": command,
		} {
			put(doc, name, v)
		}
		require.True(t, held.add(&beat.Event{Fields: doc}))
	}
	var out bytes.Buffer
	held.print(&out)
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")), "a head and one visit:\n%q", out.String())
	require.Contains(t, out.String(), "ss�[2J; ss�2026 root�99; ss �1A")
	require.NotContains(t, out.String(), "\x1b")
}
