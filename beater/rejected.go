// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"time"

	"github.com/elastic/elastic-agent-libs/monitoring"

	"github.com/reconbeat/reconbeat/internal/health"
)

// rejections are the documents that the output refused for good. To libbeat they are settled, and so they are to the
// journal; libbeat's output keeps them in the data stream of rejected documents, and counts them among its own metrics,
// which are read here.
type rejections struct {
	libbeat *monitoring.Registry // nil: nothing is counted

	seen  uint64    // how many there were at the last tick
	since time.Time // when that number last grew
}

// kept is how many are in the data stream of rejected documents, or in the failure store of their own one.
func (r *rejections) kept() uint64 {
	return r.count("output.events.dead_letter") + r.count("output.events.failure_store")
}

// lost is how many are nowhere but in the log.
func (r *rejections) lost() uint64 { return r.count("output.events.dropped") }

// refused is how many never came to their data stream.
func (r *rejections) refused() uint64 { return r.kept() + r.lost() }

func (r *rejections) count(name string) uint64 {
	if r.libbeat == nil {
		return 0
	}
	if n, ok := r.libbeat.Get(name).(*monitoring.Uint); ok {
		return n.Get()
	}
	return 0
}

// rejectedFor is how long a rejection is a condition.
const rejectedFor = 10 * time.Minute

// note keeps the condition as long as documents were rejected within the last minutes.
func (r *rejections) note(board *health.Board, now time.Time) {
	kept, lost := r.kept(), r.lost()
	switch n := kept + lost; {
	case n > r.seen:
		r.seen, r.since = n, now
		board.Set(health.DocumentsRejected, "", fmt.Sprintf("%d kept as rejected, %d lost", kept, lost), now)
	case now.Sub(r.since) > rejectedFor:
		board.Clear(health.DocumentsRejected, "")
	}
}
