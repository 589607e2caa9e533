// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/guide"
)

// An alert has the guide with its own values in the commands, in a bounded document; nothing else has it.
func TestAnAlertHasItsGuide(t *testing.T) {
	eng, shipped := testEngine(t, nil)
	webShell(eng)
	alerts := 0
	for _, doc := range *shipped {
		v, err := doc.Fields.GetValue("rule.note")
		if kind, _ := doc.Fields.GetValue("event.kind"); kind != "alert" {
			require.Error(t, err)
			continue
		}
		alerts++
		note := v.(string)
		require.LessOrEqual(t, len(note), guide.MaxBytes)
		for _, want := range []string{
			"- Actor: `www-data`, id `33`, kind `service`", "- Command: `/usr/bin/ss -a`",
			"`sudo usermod --lock --expiredate 1 -- www-data`",
			"`sudo reconbeat feedback -- " + doc.ID + " malicious`",
			"treat it as an intrusion", "- Known: An engineer troubleshoots", "https://attack.mitre.org/techniques/T1049/",
		} {
			require.Contains(t, note, want)
		}
		require.NotContains(t, note, "loginctl", "nobody has logged in: there is no session to end")
		require.NotEmpty(t, doc.Fields["rule"].(mapstr.M)["false_positives"])
		require.Contains(t, doc.Fields["rule"].(mapstr.M)["tags"], "Tactic: Discovery")
		explained, err := doc.Fields.GetValue("reconbeat.anomaly.explained")
		require.NoError(t, err)
		for _, line := range explained.([]string) {
			weight, words, _ := strings.Cut(line, " ")
			require.Contains(t, note, "| "+weight+" | `"+words+"` |")
		}
		size, err := json.Marshal(doc.Fields)
		require.NoError(t, err)
		require.Less(t, len(size), 20_000)
	}
	require.Equal(t, 1, alerts)
}
