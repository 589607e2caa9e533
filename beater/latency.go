// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"sync/atomic"
	"time"

	"github.com/rcrowley/go-metrics"
)

// latencies are how long the stations of the way take, in microseconds; of matches and of alerts, so that what nobody
// waits for tells nothing. Recent ones weigh more.
type latencies struct {
	judge   metrics.Histogram // completing and judging a match, and making its documents
	judged  metrics.Histogram // from a match's start until it was judged
	publish metrics.Histogram // from an alert's exec until it was handed to libbeat
	ack     metrics.Histogram // from there until the output acknowledged it
}

func newLatencies() *latencies {
	recent := func() metrics.Histogram { return metrics.NewHistogram(metrics.NewExpDecaySample(1028, 0.015)) } // mostly the last five minutes
	return &latencies{recent(), recent(), recent(), recent()}
}

// worst is the longest of some durations, in nanoseconds.
type worst struct{ atomic.Int64 }

func (w *worst) note(d time.Duration) {
	for {
		old := w.Load()
		if int64(d) <= old || w.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// reset returns the longest one and begins anew.
func (w *worst) reset() time.Duration { return time.Duration(w.Swap(0)) }
