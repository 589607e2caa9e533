// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// A document of a cluster is known after a restart, also one that was read before there was a horizon, as all of the
// first search from the beginning are; one from before the horizon may be forgotten.
func TestDocumentsAreKnownAfterARestart(t *testing.T) {
	for _, c := range []struct {
		name     string
		horizons [3]int64 // of the events
		known    [3]bool
	}{
		{name: "from the beginning", horizons: [3]int64{0, 0, 0}, known: [3]bool{true, true, true}},
		{name: "from the beginning, and on", horizons: [3]int64{0, 0, 1500}, known: [3]bool{false, true, true}},
		{name: "from a time", horizons: [3]int64{500, 500, 500}, known: [3]bool{true, true, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after cursors
			for i, horizon := range c.horizons {
				at := int64(i+1) * 1000
				before.set("cluster", process.Cursor{
					Ingested: at, Horizon: horizon, Document: process.Mark{Hash: uint64(i + 1), At: at},
				})
			}
			var snap state.Snapshot
			require.NoError(t, before.snapshot(&snap))
			after.restore(snap)
			require.Equal(t, process.Cursor{Ingested: 3000, Horizon: c.horizons[2]}, after.get("cluster"))
			encoded, err := after.documents("cluster")
			require.NoError(t, err)
			var recent module.Recent
			require.NoError(t, recent.UnmarshalBinary(encoded))
			for i, known := range c.known {
				require.Equal(t, known, recent.Has(uint64(i+1)), "document %d", i+1)
			}
		})
	}
}
