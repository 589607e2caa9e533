// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	pubtest "github.com/elastic/beats/v7/libbeat/publisher/testing"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// testHeart is a heart that beats into a channel of one.
func testHeart(t *testing.T) (*heartbeat, *runner, <-chan beat.Event) {
	e := testEngine(t)
	out := pubtest.NewChanClient(1)
	r := &runner{
		blueprint: &blueprint{kind: catalog.Kind{Name: "auditd"}, source: &document.Source{}}, stats: &module.Stats{},
	}
	h := &heartbeat{
		period: time.Minute, health: &health.Board{}, modules: &moduleSet{runners: []*runner{r}}, ring: engine.NewRing(1),
		engine: e, host: testHost, lag: &worst{}, pipeline: pubtest.PublisherWithClient(out), journal: &state.Stats{},
		direct: newDirect(logp.NewNopLogger()),
	}
	require.NoError(t, h.start())
	t.Cleanup(func() {
		ended := make(chan struct{})
		go func() { defer close(ended); h.end(time.Now()) }()
		for {
			select {
			case <-out.Channel: // the last heartbeat must find room: this client blocks, whatever its mode
			case <-ended:
				return
			}
		}
	})
	return h, r, out.Channel
}

func value(t *testing.T, e beat.Event, field string) any {
	t.Helper()
	v, err := e.Fields.GetValue(field)
	require.NoError(t, err)
	return v
}

func TestAHeartbeatSaysWhatIsWrongAndWhatWasLost(t *testing.T) {
	h, r, out := testHeart(t)
	now := time.Now()
	h.beat(now)
	first := <-out
	require.Equal(t, "reconbeat is healthy", value(t, first, "message"))
	for _, missing := range []string{"reconbeat.health.conditions", "reconbeat.health.lag.ms", "event.duration"} {
		_, err := first.Fields.GetValue(missing)
		require.Error(t, err, missing)
	}

	h.health.Set(health.OutputStalled, "", "", now)
	h.health.Set(health.SourceFailed, "a", "", now)
	h.health.Set(health.SourceFailed, "b", "", now)
	h.ring.Dropped.Add(2)
	h.journal.Dropped.Add(3)
	h.journal.Pending.Store(7)
	r.stats.LostKernel.Add(10)
	r.stats.LostFile.Add(4096)
	r.stats.Malformed.Add(5)
	h.lag.note(40 * time.Millisecond)
	h.lag.note(30 * time.Millisecond)
	h.engine.Tally(now)
	h.beat(now.Add(time.Minute))
	got := <-out
	for field, want := range map[string]any{
		"message":                          "reconbeat is failed: output_stalled, source_failed",
		"reconbeat.health.status":          "failed",
		"reconbeat.health.conditions":      []string{"output_stalled", "source_failed"},
		"reconbeat.health.lost":            uint64(16),
		"reconbeat.health.malformed":       uint64(5),
		"reconbeat.health.journal.pending": int64(7),
		"reconbeat.health.lag.ms":          int64(40),
		"reconbeat.health.modules":         []string{"auditd"},
		"reconbeat.health.rules":           []string{"network-connection-discovery"},
		"event.duration":                   time.Minute.Nanoseconds(),
		"host.name":                        "web-1",
	} {
		require.Equal(t, want, value(t, got, field), field)
	}

	h.modules.remove(r) // a module that ends takes nothing back
	h.beat(now.Add(2 * time.Minute))
	got = <-out
	require.Equal(t, uint64(0), value(t, got, "reconbeat.health.lost"))
	_, err := got.Fields.GetValue("reconbeat.health.modules")
	require.Error(t, err)
}

func TestWhatAStalledOutputMissedIsInTheNextHeartbeat(t *testing.T) {
	h, _, out := testHeart(t)
	now := time.Now()
	total := uint64(0)
	for i := range 10 { // nobody reads: the output has room for one, and one waits on either side of the door
		h.engine.Counts.Execs.Add(1)
		total++
		h.beat(now.Add(time.Duration(i) * time.Minute))
	}
	reported := uint64(0)
	for i := 10; reported < total; i++ {
		reported += value(t, <-out, "reconbeat.health.execs").(uint64)
		h.beat(now.Add(time.Duration(i) * time.Minute))
	}
	require.Equal(t, total, reported)
}

func TestAPeriodOfZeroIsSilence(t *testing.T) {
	out := pubtest.NewChanClient(1)
	h := &heartbeat{pipeline: pubtest.PublisherWithClient(out), journal: &state.Stats{}}
	require.NoError(t, h.start())
	h.beat(time.Now())
	h.end(time.Now())
	require.Empty(t, out.Channel)
}

func TestAHeartThatConnectsAfterItsEndIsSilent(t *testing.T) {
	out := pubtest.NewChanClient(1)
	h := &heartbeat{period: time.Minute, pipeline: pubtest.PublisherWithClient(out), journal: &state.Stats{}}
	h.end(time.Now()) // an Agent that never named an output
	require.NoError(t, h.start())
	h.beat(time.Now())
	require.Empty(t, out.Channel)
}
