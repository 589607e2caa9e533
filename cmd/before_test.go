// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// What a hostile command line holds reaches no terminal.
func TestThePageShowsWhatRanBefore(t *testing.T) {
	var out bytes.Buffer
	printActivity(&out, mapstr.M{"reconbeat": mapstr.M{"activity": mapstr.M{"before": []any{map[string]any{
		"time": "2026-03-01T00:00:00Z", "command_line": "id \x1b[2J\u009b \u202etxt.x\u2028", "exit_code": int64(1),
		"parent": map[string]any{"name": "bash"}, "technique": map[string]any{"id": []any{"T1033"}},
	}}}}}, "Before", "reconbeat.activity.before")
	require.Equal(t, "Before        2026-03-01T00:00:00Z  id �[2J� �txt.x�, by bash, exit code 1, T1033\n", out.String())
}
