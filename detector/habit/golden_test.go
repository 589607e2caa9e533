// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is every tenth result of a stream.
type golden struct {
	Surprise, Yearly []float64
}

// TestEveryArchitectureComputesTheSame: a processor that fuses multiplication and addition rounds otherwise, and no
// more than that may come of it.
func TestEveryArchitectureComputesTheSame(t *testing.T) {
	var got golden
	for i, r := range run(New(options), traffic(7, 3000)) {
		if i%10 == 9 {
			got.Surprise, got.Yearly = append(got.Surprise, r.Surprise), append(got.Yearly, r.Yearly)
		}
	}
	file := filepath.Join("testdata", "surprise.json")
	if *update {
		b, err := json.Marshal(got)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, append(b, '\n'), 0o644))
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var want golden
	require.NoError(t, json.Unmarshal(b, &want))
	require.Len(t, got.Surprise, len(want.Surprise))
	for i := range want.Surprise {
		require.InDelta(t, want.Surprise[i], got.Surprise[i], 1e-9, "match %d", i)
		require.InEpsilon(t, want.Yearly[i], got.Yearly[i], 1e-9, "match %d", i)
		require.False(t, math.IsInf(want.Yearly[i], 0))
	}
}
