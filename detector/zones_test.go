// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAZoneIsANameOrAnOffset(t *testing.T) {
	var z zones
	winter := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for name, hour := range map[string]int{
		"Europe/Berlin": 13, "+02:00": 14, "-0530": 6, "UTC": 12, "Asia/Kolkata": 17,
	} {
		require.NotNil(t, z.of(name), name)
		require.Equal(t, hour, winter.In(z.of(name)).Hour(), name)
	}
	for _, none := range []string{"Local", "Middle/Earth", "../etc/passwd", "25"} {
		require.Nil(t, z.of(none), none)
	}
	for i := range 2 * maxZones {
		z.of(fmt.Sprintf("no/zone%d", i))
	}
	require.LessOrEqual(t, len(z), maxZones)
}
