// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"os"
	"testing"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// FuzzDocuments reads lines as they may stand in a file of documents.
func FuzzDocuments(f *testing.F) {
	b, err := os.ReadFile("testdata/agents.ndjson")
	require.NoError(f, err)
	for line := range bytes.Lines(b) {
		f.Add(bytes.Clone(line))
	}
	f.Add([]byte("\xef\xbb\xbf{\"@timestamp\":\"2026-03-02T00:00:00Z\",\"process.name\":\"ss\"}\r\n\n[\n{\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var scratch process.Event
		m := &documents{
			env: module.Env{Stats: &module.Stats{}, Logger: logp.NewNopLogger()},
			emit: func(e *process.Event) error {
				require.NotZero(t, e.Kind)
				require.False(t, e.Time.IsZero())
				require.NotEmpty(t, e.Source)
				scratch.Copy(e)
				return nil
			},
		}
		var lines uint64
		for line := range bytes.Lines(b) {
			require.NoError(t, m.line(line, process.Cursor{}))
			if len(recording.Document(line)) > 0 {
				lines++
			}
		}
		require.Equal(t, lines, m.env.Stats.Records.Load(), "every line that may be a document is counted")
		require.LessOrEqual(t, m.env.Stats.Malformed.Load(), lines)
	})
}
