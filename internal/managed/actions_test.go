// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
)

// TestACPUProfileIsMadeWhereItIsAskedFor holds for which requests there is one.
func TestACPUProfileIsMadeWhereItIsAskedFor(t *testing.T) {
	b, _, _ := applying(t, settings{})
	b.profileFor = time.Millisecond
	for _, row := range []struct {
		name       string
		scope      wire.ActionRequest_Scope
		parameters string
		want       bool
	}{
		{name: "the component, and CPU", scope: wire.ActionRequest_SCOPE_COMPONENT,
			parameters: `{"additional_metrics":["CPU"]}`, want: true},
		{name: "everything, CPU, and something of later", scope: wire.ActionRequest_SCOPE_ALL,
			parameters: `{"additional_metrics":["LATER","CPU"],"later":1}`, want: true},
		{name: "the component alone", scope: wire.ActionRequest_SCOPE_COMPONENT, parameters: `{}`},
		{name: "the component, and no parameters", scope: wire.ActionRequest_SCOPE_COMPONENT},
	} {
		t.Run(row.name, func(t *testing.T) {
			answer := b.Act(t.Context(), &wire.ActionRequest{Type: wire.ActionRequest_TYPE_DIAGNOSTICS, Scope: row.scope,
				Parameters: []byte(row.parameters)})
			require.Equal(t, wire.ActionResponse_STATUS_SUCCESS, answer.Status, string(answer.Result))
			found := false
			for _, d := range answer.Diagnostics {
				if d.File == "cpu.pprof" {
					found = true
					require.Equal(t, "\x1f\x8b", string(d.Content[:2]), "a profile is compressed: %q", d.Content)
				}
			}
			require.Equal(t, row.want, found)
		})
	}
}

// TestWhatIsKeptOfTheLog holds which lines are kept: the newest, of every logger that is made, without documents.
func TestWhatIsKeptOfTheLog(t *testing.T) {
	observed, _ := observer.New(zapcore.InfoLevel)
	logger, err := logp.NewZapLogger(zap.New(observed))
	require.NoError(t, err)
	r := keepRecent(logger)
	child := logger.Named("output").With("host", "es01")
	child.Errorw("it does not answer", "error", errors.New("refused"))
	child.Debug("nobody has asked for this")
	child.Warnw("document {...}", logp.TypeKey, logp.EventType)
	child.With(logp.TypeKey, logp.EventType).Warn("document {...}")
	text := string(r.content())
	require.Equal(t, 1, strings.Count(text, "\n"), text)
	require.Contains(t, text, `"message":"it does not answer","host":"es01","error":"refused"`)
	require.Contains(t, text, `"logger":"output"`)

	logger.Info(strings.Repeat("ä", longestLine))
	for i := range 2000 {
		logger.Infof("line %d, %s", i, strings.Repeat("x", 100))
	}
	text = string(r.content())
	require.LessOrEqual(t, len(text), recentBytes)
	require.Greater(t, len(text), recentBytes-longestLine)
	require.Contains(t, text, `"message":"line 1999, `)
	require.NotContains(t, text, `"message":"line 0, `)
	require.Len(t, strings.Split(strings.TrimSuffix(text, "\n"), "\n"), len(r.lines))
	for _, line := range r.lines {
		require.LessOrEqual(t, len(line), longestLine+len(" ...\n"), fmt.Sprintf("%.100s", line))
	}
}
