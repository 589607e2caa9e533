// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzRestore(f *testing.F) {
	m := New(options)
	at := monday
	for i := range 40 {
		matched(m, person(at, "alice", "bash", "10.1.2.3", "ss -tlnp"))
		if i%10 == 0 {
			matched(m, service(at, "root", "cron", "netstat -rn"))
		}
		at = at.Add(7 * time.Hour)
	}
	kept, err := json.Marshal(m.Snapshot())
	require.NoError(f, err)
	f.Add(kept)
	f.Add([]byte(`{"began":"2026-03-02T00:00:00Z","actors":[{"id":"1","way":"a","known":{}}],` +
		`"visits":[{"id":"1","way":"a","open":{}}]}`))
	f.Fuzz(func(t *testing.T, kept []byte) {
		var s Snapshot
		if json.Unmarshal(kept, &s) != nil {
			return
		}
		m, err := Restore(options, s)
		if err != nil {
			return
		}
		now := at
		for range 3 {
			for _, name := range []string{"alice", "mallory"} {
				if r := matched(m,
					person(now, name, "bash", "10.1.2.3", "ss -tlnp")); r.Score != r.Score || r.Score < 0 ||
					r.Score > 100 {
					t.Fatalf("score %g", r.Score)
				}
			}
			now = now.Add(20 * time.Minute)
			m.Advance(now)
		}
		_, err = json.Marshal(m.Snapshot())
		require.NoError(t, err, "what was taken over can be kept")
	})
}
