// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
)

// rawEvents are documents of execs that no rule matched, numbered from 0.
func rawEvents(n int) []*document.Document {
	docs := make([]*document.Document, n)
	for i := range docs {
		docs[i] = &document.Document{
			Event: beat.Event{
				Timestamp: time.Now(), Meta: mapstr.M{}, Fields: mapstr.M{"message": fmt.Sprint(i)},
			},
			ID: fmt.Sprint(i), Keep: document.InMemory,
		}
	}
	return docs
}

// messagesOf are the messages of so many rawEvents.
func messagesOf(n int) []string {
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	return want
}

// TestRawEventsGoPastTheJournal ships more than libbeat's queue holds, in order.
func TestRawEventsGoPastTheJournal(t *testing.T) {
	store, _ := testJournal(t, t.TempDir())
	out := &sink{pass: make(chan struct{})}
	close(out.pass)
	d := newDirect(logp.NewNopLogger())
	j := &journal{store: store, direct: d, logger: logp.NewNopLogger()}
	for _, doc := range rawEvents(700) { // before there is an output
		j.ship(doc)
	}
	d.start(newPipeline(t, out, ""))
	d.flush()
	eventually(t, func() bool { return len(out.messages()) == 700 }, "all have shipped")
	require.Equal(t, messagesOf(700), out.messages())
	require.Zero(t, store.Stats().Appended.Load())
	require.Zero(t, d.dropped.Load())
	require.Empty(t, d.stop())
	require.NoError(t, store.Close())
}

// TestAnAlertPassesAFloodThatWaits has an output that acknowledges, one by one, long after it was flooded: an alert
// waits for libbeat's queue, not for the flood behind it.
func TestAnAlertPassesAFloodThatWaits(t *testing.T) {
	store, p := testJournal(t, t.TempDir())
	out := &sink{pass: make(chan struct{})}
	pipeline := newPipeline(t, out, "")
	p.start(pipeline, store)
	<-p.ready
	d := newDirect(logp.NewNopLogger())
	j := &journal{store: store, direct: d, logger: logp.NewNopLogger()}
	flood := rawEvents(directWaiting)
	for _, doc := range flood {
		j.ship(doc)
	}
	d.start(pipeline)
	d.flush()
	eventually(t, func() bool { return len(out.messages()) > 0 }, "libbeat's queue is full of the flood")
	j.ship(&document.Document{
		Event: beat.Event{Timestamp: time.Now(), Fields: mapstr.M{"message": "alert"}}, ID: "alert", Keep: document.Durable,
	})
	eventually(t, func() bool { return store.Stats().Commits.Load() == 1 }, "the alert is on disk")
	close(out.pass)
	eventually(t, func() bool { return len(out.messages()) == len(flood)+1 }, "everything has shipped")
	at := 0
	for i, m := range out.messages() {
		if m == "alert" {
			at = i
		}
	}
	require.Less(t, at, len(flood)/2, "the alert was not the last")
	d.stop()
	p.stop()
	require.NoError(t, store.Close())
}

// TestAStalledOutputDropsWhatIsTooMuch counts what is dropped, says so, and keeps the rest for the next start.
func TestAStalledOutputDropsWhatIsTooMuch(t *testing.T) {
	store, err := state.Open(t.TempDir(), state.Options{})
	require.NoError(t, err)
	out := &sink{pass: make(chan struct{})} // acknowledges nothing
	d := newDirect(logp.NewNopLogger())
	d.start(newPipeline(t, out, ""))
	j := &journal{store: store, direct: d, logger: logp.NewNopLogger()}
	ship := func(n int) {
		for _, doc := range rawEvents(n) {
			j.ship(doc)
		}
	}
	ship(directChunk)
	d.flush()
	eventually(t, func() bool { return len(out.messages()) > 0 }, "the output has some, and libbeat's queue the rest")
	ship(3 * directWaiting)
	d.drain(time.Millisecond)

	board := &health.Board{}
	dropped := d.dropped.Load()
	require.GreaterOrEqual(t, dropped, uint64(directWaiting), "no more wait than may")
	now := time.Now()
	d.note(board, now)
	require.Equal(t, health.EventsDropped, board.Active()[0].Condition)
	d.note(board, now.Add(2*time.Minute))
	require.Equal(t, "healthy", board.Status())

	left := d.stop()
	require.Empty(t, d.stop(), "once")
	handedOn := directChunk + 3*directWaiting - int(d.dropped.Load()) - len(left)
	require.GreaterOrEqual(t, handedOn, directChunk)
	require.LessOrEqual(t, handedOn, 2*directChunk, "no more than libbeat's queue of 64 and its batch")
	j.ship(rawEvents(1)[0])
	require.EqualValues(t, 1, store.Stats().Appended.Load(), "what comes afterwards is the journal's")
	require.NoError(t, store.Close())
}
