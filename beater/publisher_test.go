// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/outputs"
	_ "github.com/elastic/beats/v7/libbeat/processors/actions" // drop_event
	libbeat "github.com/elastic/beats/v7/libbeat/publisher"
	"github.com/elastic/beats/v7/libbeat/publisher/pipeline"
	"github.com/elastic/beats/v7/libbeat/publisher/processing"
	"github.com/elastic/beats/v7/libbeat/publisher/queue/memqueue"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
)

// sink is an output behind libbeat's pipeline. It takes every document, and acknowledges those that may pass.
type sink struct {
	pass chan struct{} // closed: what comes is acknowledged

	mu    sync.Mutex
	taken []string
}

func (s *sink) Publish(_ context.Context, b libbeat.Batch) error {
	s.mu.Lock()
	for _, e := range b.Events() {
		m, _ := e.Content.Fields.GetValue("message")
		s.taken = append(s.taken, fmt.Sprint(m))
	}
	s.mu.Unlock()
	go func() {
		<-s.pass
		b.ACK()
	}()
	return nil
}

func (s *sink) Close() error   { return nil }
func (s *sink) String() string { return "sink" }

func (s *sink) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.taken...)
}

// newPipeline is libbeat's pipeline with a queue that hands on at once, before a sink. What drops says is dropped by a
// processor at the root.
func newPipeline(t *testing.T, s *sink, drops string) *pipeline.Pipeline {
	t.Helper()
	logger := logp.NewNopLogger()
	settings, err := conf.NewConfigWithYAML(
		[]byte("processors: [{drop_event.when.equals.message: '"+drops+"'}]"),
		"test",
	)
	require.NoError(t, err)
	processors, err := processing.MakeDefaultSupport(true, nil)(beat.Info{Logger: logger}, logger, settings)
	require.NoError(t, err)
	p, err := pipeline.New(
		beat.Info{Logger: logger},
		pipeline.Monitors{Logger: logger},
		conf.Namespace{},
		outputs.Group{
			Clients:      []outputs.Client{s},
			BatchSize:    10,
			QueueFactory: memqueue.FactoryForSettings(memqueue.Settings{Events: 64, MaxGetRequest: 1}),
		},
		pipeline.Settings{Processors: processors},
	)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// testJournal is a store in a folder, with a publisher that has not started.
func testJournal(t *testing.T, dir string) (*state.Store, *publisher) {
	t.Helper()
	p := newPublisher(&health.Board{}, newLatencies(), logp.NewNopLogger())
	store, err := state.Open(dir, state.Options{Health: p.health, Committed: p.committed})
	require.NoError(t, err)
	return store, p
}

func appendDocuments(t *testing.T, store *state.Store, kind string, messages ...string) {
	t.Helper()
	for _, m := range messages {
		text, err := encode(
			&beat.Event{Timestamp: time.Now(), Fields: mapstr.M{"message": m, "event": mapstr.M{"kind": kind}}},
		)
		require.NoError(t, err)
		_, err = store.Append(state.Entry{ID: m, Durable: true, Time: time.Now(), Document: text})
		require.NoError(t, err)
	}
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, time.Millisecond, what)
}

// settles waits until the output has these documents, in this order, and the journal owes none.
func settles(t *testing.T, store *state.Store, out *sink, messages ...string) {
	t.Helper()
	eventually(
		t,
		func() bool { return len(out.messages()) >= len(messages) && store.Stats().Pending.Load() == 0 },
		"all are settled",
	)
	require.Equal(t, messages, out.messages())
}

func TestUnacknowledgedShipFirstAcknowledgedNever(t *testing.T) {
	dir := t.TempDir()
	store, p := testJournal(t, dir)
	out := &sink{pass: make(chan struct{})}
	appendDocuments(t, store, "event", "one", "two")
	p.start(newPipeline(t, out, ""), store)
	eventually(
		t,
		func() bool { return len(out.messages()) == 2 && store.Stats().Pending.Load() == 2 },
		"both are handed on, and nothing is settled before the output says so",
	)
	p.stop()
	require.NoError(t, store.Close())

	store, p = testJournal(t, dir)
	out = &sink{pass: make(chan struct{})}
	close(out.pass)
	appendDocuments(t, store, "event", "three") // committed while nobody is connected
	p.start(newPipeline(t, out, ""), store)
	appendDocuments(t, store, "event", "four")
	settles(t, store, out, "one", "two", "three", "four")
	p.stop()
	require.NoError(t, store.Close())

	store, p = testJournal(t, dir)
	out = &sink{pass: make(chan struct{})}
	p.start(newPipeline(t, out, ""), store)
	<-p.ready
	require.EqualValues(t, 0, store.Stats().Pending.Load())
	require.Empty(t, out.messages())
	p.stop()
	require.NoError(t, store.Close())
}

func TestWhatAProcessorDropsIsSettled(t *testing.T) {
	store, p := testJournal(t, t.TempDir())
	out := &sink{pass: make(chan struct{})}
	close(out.pass)
	p.start(newPipeline(t, out, "secret"), store)
	appendDocuments(t, store, "event", "one", "secret", "two")
	settles(t, store, out, "one", "two")
	p.stop()
	require.NoError(t, store.Close())
}

// late is a pipeline that there is only once it is opened, as under an Elastic Agent whose policy has no output yet.
type late struct {
	beat.Pipeline
	open chan struct{}
}

func (l *late) ConnectWith(c beat.ClientConfig) (beat.Client, error) {
	<-l.open
	return l.Pipeline.ConnectWith(c)
}

func TestPublisherWithoutOutputKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	store, p := testJournal(t, dir)
	pipeline := &late{newPipeline(t, &sink{}, ""), make(chan struct{})}
	p.start(pipeline, store)
	appendDocuments(t, store, "alert", "one")
	p.stop()
	require.NoError(t, store.Close())
	close(pipeline.open)

	store, p = testJournal(t, dir)
	out := &sink{pass: make(chan struct{})}
	close(out.pass)
	pipeline = &late{newPipeline(t, out, ""), make(chan struct{})}
	p.start(pipeline, store)
	appendDocuments(t, store, "alert", "two")
	require.Empty(t, out.messages())
	close(pipeline.open)
	settles(t, store, out, "one", "two")
	p.stop()
	require.NoError(t, store.Close())
}

func TestAnOutputThatSettlesNothingIsReported(t *testing.T) {
	store, p := testJournal(t, t.TempDir())
	out := &sink{pass: make(chan struct{})}
	p.start(newPipeline(t, out, ""), store)
	appendDocuments(t, store, "event", "one")
	eventually(t, func() bool { return len(out.messages()) == 1 }, "it is handed on")
	p.checkStalled(time.Now().Add(stalledAfter / 2))
	require.Equal(t, "healthy", p.health.Status(), "not yet")
	p.checkStalled(time.Now().Add(2 * stalledAfter))
	require.Equal(t, health.OutputStalled, p.health.Active()[0].Condition)
	require.Contains(t, p.health.Active()[0].Detail, "1 document handed on, none acknowledged for 2m")
	close(out.pass)
	eventually(t, func() bool { return p.health.Status() == "healthy" }, "it is over")
	p.checkStalled(time.Now().Add(2 * stalledAfter))
	require.Equal(t, "healthy", p.health.Status(), "an output that owes nothing is not stalled")
	p.stop()
	require.NoError(t, store.Close())
}

func TestUnreadableEntryIsGivenUpAndTheRestShips(t *testing.T) {
	store, p := testJournal(t, t.TempDir())
	out := &sink{pass: make(chan struct{})}
	close(out.pass)
	_, err := store.Append(state.Entry{ID: "torn", Durable: true, Time: time.Now(), Document: []byte(`{"fields":`)})
	require.NoError(t, err)
	appendDocuments(t, store, "event", "one")
	p.start(newPipeline(t, out, ""), store)
	settles(t, store, out, "an entry of reconbeat's journal could not be read", "one")
	p.stop()
	require.NoError(t, store.Close())
}

func TestNumbersComeBackFromTheJournalAsTheyWent(t *testing.T) {
	text, err := encode(
		&beat.Event{
			Meta:   mapstr.M{"n": 1},
			Fields: mapstr.M{"big": int64(1)<<62 + 1, "float": 2.5, "list": []any{int64(7), mapstr.M{"small": 3}}},
		},
	)
	require.NoError(t, err)
	e, err := decode(text)
	require.NoError(t, err)
	require.Equal(t, mapstr.M{"n": int64(1)}, e.Meta)
	require.Equal(
		t,
		mapstr.M{"big": int64(1)<<62 + 1, "float": 2.5, "list": []any{int64(7), mapstr.M{"small": int64(3)}}},
		e.Fields,
	)
}
