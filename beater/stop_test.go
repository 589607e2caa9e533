// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/publisher/pipeline"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
)

// fullPipeline is libbeat's pipeline before an output that acknowledges nothing, with a full queue: whoever publishes
// waits until the pipeline closes.
func fullPipeline(t *testing.T) *pipeline.Pipeline {
	t.Helper()
	out := &sink{pass: make(chan struct{})}
	p := newPipeline(t, out, "")
	client, err := p.Connect()
	require.NoError(t, err)
	go func() {
		for range 1000 {
			client.Publish(beat.Event{Timestamp: time.Now(), Fields: mapstr.M{"message": "flood"}})
		}
	}()
	eventually(t, func() bool { return len(out.messages()) > 0 }, "the output has its batch")
	return p
}

// returns holds that f ends although the queue is full.
func returns(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		require.FailNow(t, what+" waits for a full queue")
	}
}

// TestThePublisherStopsBeforeAFullQueue has both ways into libbeat wait: what an earlier run left, and what the journal
// commits. What was not handed on stays in the journal.
func TestThePublisherStopsBeforeAFullQueue(t *testing.T) {
	const n = 200
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprint(i)
	}
	dir := t.TempDir()
	for _, run := range []string{"what comes", "what was left"} {
		store, p := testJournal(t, dir)
		full := fullPipeline(t)
		if run == "what comes" {
			p.start(full, store)
			<-p.ready
			appendDocuments(t, store, "event", messages...)
		} else {
			p.start(full, store)
		}
		eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.waiting > 0 }, "one is handed on")
		returns(t, run, func() {
			p.stop()
			require.NoError(t, store.Close())
		})
		require.EqualValues(t, n, store.Stats().Pending.Load())
	}
	store, p := testJournal(t, dir)
	out := &sink{pass: make(chan struct{})}
	close(out.pass)
	p.start(newPipeline(t, out, ""), store)
	settles(t, store, out, messages...)
	p.stop()
	require.NoError(t, store.Close())
}

func TestTheHeartStopsBeforeAFullQueue(t *testing.T) {
	h := &heartbeat{
		period: time.Minute, health: &health.Board{}, modules: &moduleSet{}, ring: engine.NewRing(1),
		engine: testEngine(t), host: testHost, lag: &worst{}, pipeline: fullPipeline(t), journal: &state.Stats{},
		direct: newDirect(logp.NewNopLogger()),
	}
	require.NoError(t, h.start())
	now := time.Now()
	h.beat(now)
	h.beat(now.Add(time.Minute))
	returns(t, "the heart", func() { h.end(now.Add(2 * time.Minute)) })
}
