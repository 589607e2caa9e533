// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheFirstSnapshotOfEachOfTenDaysIsKept(t *testing.T) {
	dir := folder(t)
	none, err := Days(dir)
	require.NoError(t, err)
	require.Empty(t, none)
	s := mustOpen(t, dir, Options{})
	first := time.Date(2026, 3, 1, 23, 59, 0, 0, time.FixedZone("", -3600))
	for day := range 14 {
		for hour := range 3 {
			at := first.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
			save(t, s, Snapshot{Model: fmt.Appendf(nil, "day %d hour %d", day, hour), Taken: at})
		}
	}
	require.NoError(t, s.Close())
	days, err := Days(dir)
	require.NoError(t, err)
	require.Len(t, days, 10)
	require.Equal(t, "2026-03-06", days[0], "a day is one of UTC")
	require.Equal(t, "2026-03-15", days[9])
	snap, err := ReadDay(dir, "2026-03-15")
	require.NoError(t, err)
	require.Equal(t, "day 13 hour 0", string(snap.Model), "the first of the day")
	last, err := ReadSnapshot(dir)
	require.NoError(t, err)
	require.Equal(t, "day 13 hour 2", string(last.Model))
	_, err = ReadDay(dir, "2026-03-01")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ReadDay(dir, "../snapshot")
	require.ErrorContains(t, err, "it must be YYYY-MM-DD")
}
