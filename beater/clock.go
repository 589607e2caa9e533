// SPDX-License-Identifier: Apache-2.0

package beater

import "time"

// clock notices that the host's clock was set forward, or that the host slept: what lies between was not watched. Go's
// monotonic clock does neither.
type clock struct {
	began time.Time     // when it was first looked at
	wall  time.Time     // what the host's clock said when it was looked at last
	ran   time.Duration // and for how long the monotonic one had run since began
}

// unwatched is how much longer must have gone by on the host's clock than on the monotonic one to count as a gap.
const unwatched = time.Hour

// newClock is a clock that is looked at now.
func newClock() clock {
	now := time.Now()
	return clock{began: now, wall: now.Round(0)}
}

// skipped looks at the clock, and reports whether it has skipped a time since it was looked at last.
func (c *clock) skipped(now time.Time) bool { return c.goOn(now.Round(0), now.Sub(c.began)) }

func (c *clock) goOn(wall time.Time, ran time.Duration) (skipped bool) {
	skipped = wall.Sub(c.wall)-(ran-c.ran) > unwatched
	c.wall, c.ran = wall, ran
	return skipped
}
