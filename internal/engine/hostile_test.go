// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
)

// An alert on whatever somebody has made as long as it can be has no more than its bound, and says so; the raw event is
// whole.
func TestAHostileAlertHasItsBound(t *testing.T) {
	for name, long := range map[string]string{
		"letters":          strings.Repeat("x", 60<<10),
		"two-byte letters": strings.Repeat("é", 30<<10),
		"control codes":    strings.Repeat("\x1b", 60<<10),
		"invalid UTF-8":    strings.Repeat("\xff", 60<<10),
		"many arguments":   strings.Repeat("a ", 4000),
		"empty arguments":  strings.Repeat("  ", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			eng, shipped := testEngine(t, nil)
			start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			for day := range 10 {
				at := start.AddDate(0, 0, day)
				eng.Advance(at)
				e := execOf(at, "root", "ss")
				e.User.ID, e.PID, e.PPID, e.Parent.Name = 0, 900, 800, "agent"
				eng.Take(e, kernelSource)
			}
			*shipped = nil
			at := start.AddDate(0, 0, 10)
			for i := range 40 { // each the child of the one before
				e := execOf(at.Add(time.Duration(i)*time.Second), "www-data", "sh")
				e.User.ID, e.PID, e.PPID, e.CWD = 33, uint32(100+i), uint32(99+i), "/"+long[:min(len(long), 4095)]
				e.Executable, e.Name = "/tmp/"+long[:min(len(long), 4000)]+"/sh", "sh"
				if i == 39 {
					e.Executable, e.Name = "/usr/bin/ss", "ss"
				}
				e.Args = append([]string{fmt.Sprint("arg", i)}, strings.Split(long, " ")...)
				eng.Take(e, kernelSource)
			}
			var alert, raw *document.Document
			for _, doc := range *shipped {
				switch kind, _ := doc.Fields.GetValue("event.kind"); kind {
				case "alert":
					alert = doc
				default:
					raw = doc
				}
			}
			require.NotNil(t, alert)
			text, err := json.Marshal(alert.Fields)
			require.NoError(t, err)
			require.LessOrEqual(t, len(text), document.MaxAlert)
			flat := alert.Fields.Flatten()
			if name != "invalid UTF-8" { // of which one character is left
				require.Equal(t, true, flat["reconbeat.alert.truncated"])
			}
			require.Equal(t, "ss", flat["process.name"])
			require.Equal(t, "arg39", flat["process.args"].([]string)[0])
			require.Contains(t, flat["rule.note"], "## Investigate")
			require.NotEmpty(t, flat["reconbeat.ancestry"].([]mapstr.M))
			require.NotEmpty(t, flat["reconbeat.activity.before"].([]mapstr.M))

			whole := raw.Fields.Flatten()
			require.Len(t, whole["process.args"], len(strings.Split(long, " "))+1)
			require.NotContains(t, whole, "reconbeat.alert.truncated")
		})
	}
}
