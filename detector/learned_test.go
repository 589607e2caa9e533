// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// Of many hosts an event concerns those on which a visit is open, and those that become old enough to alert: no other
// is asked, and none of these is left out, also after a restart and after a clock that was set back.
func TestAnEventConcernsFewOfManyHosts(t *testing.T) {
	const hosts = 200
	o := options(mission())
	o.Model, o.LearnFor, o.MaxHosts = ModelContext, 24*time.Hour, hosts+1
	d := mustNew(t, o)
	learned := map[string]int{}
	for day := range 4 {
		for i := range hosts {
			at := start.AddDate(0, 0, day).Add(time.Duration(i) * 5 * time.Minute)
			if day == 3 {
				at = at.AddDate(0, 0, -2) // the clock was set back
			}
			e := exec(at, "root", "ss -s")
			e.Host = process.Host{ID: fmt.Sprint("host-", i), OSType: "linux"}
			for _, f := range d.Advance(at, nil) {
				if f.Kind == Learned {
					learned[f.Report.Host]++
				}
			}
			l := d.models[0]
			require.LessOrEqual(t, len(l.open), 10)
			for name, h := range l.hosts {
				require.Equal(t, h.model.Visited(), h.open, name)
				require.True(t, h.reported || h.model.Age(at) < o.LearnFor, name)
			}
			d.Judge(e, d.Match(e), nil)
		}
		state, err := d.Snapshot()
		require.NoError(t, err)
		d = mustNew(t, o)
		require.NoError(t, d.Restore(state))
	}
	require.Len(t, learned, hosts)
	for name, times := range learned {
		require.Equal(t, 1, times, name)
	}
}
