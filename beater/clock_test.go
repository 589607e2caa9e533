// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClockSkipsWhatNobodyWatched(t *testing.T) {
	for name, c := range map[string]struct {
		wall, ran time.Duration // since it was looked at last
		want      bool
	}{
		"a second":                    {time.Second, time.Second, false},
		"a busy day":                  {24 * time.Hour, 24 * time.Hour, false},
		"the host slept for a night":  {8 * time.Hour, time.Second, true},
		"it was set a month forward":  {30 * 24 * time.Hour, time.Second, true},
		"it was set back":             {-time.Hour, time.Second, false},
		"it was corrected by minutes": {5 * time.Minute, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newClock()
			start := k.wall
			require.False(t, k.goOn(start.Add(time.Minute), time.Minute))
			require.Equal(t, c.want, k.goOn(start.Add(time.Minute+c.wall), time.Minute+c.ran))
			require.False(t, k.goOn(start.Add(time.Hour+c.wall), time.Hour+c.ran), "once")
		})
	}
	k := newClock()
	require.False(t, k.skipped(time.Now().Add(3*time.Hour)), "time.Time has both")
}
