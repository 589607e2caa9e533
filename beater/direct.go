// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/health"
)

// direct hands raw events that no rule matched, which only `events: all` ships, to libbeat past the journal. They are
// by far the most, and the least important: whoever brings them never waits. While the output takes none they wait
// here, and once too many do, the newest are dropped and counted.
//
// It has a client of its own, so that an alert waits for libbeat's queue, never behind what waits here.
type direct struct {
	logger  *logp.Logger
	dropped atomic.Uint64 // documents

	quit chan struct{}
	wake chan struct{} // holds a token when what waits is to be handed on

	mu      sync.Mutex
	client  beat.Client // nil until libbeat has an output
	waiting []*document.Document
	busy    bool // some have been taken, and are not all handed on yet
	stopped bool // what comes is the journal's

	dropsNoted uint64    // how many were dropped when last looked
	dropAt     time.Time // and when that number last grew
}

const (
	directAtOnce  = 256  // so many that wait are handed on without waiting for the next tick
	directChunk   = 64   // so many are handed on at once
	directWaiting = 4096 // so many may wait: about 30 MB
)

func newDirect(logger *logp.Logger) *direct {
	return &direct{logger: logger.Named("direct"), quit: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// start connects to libbeat's pipeline, without waiting for it, and begins to hand on.
func (d *direct) start(pipeline beat.Pipeline) {
	connected := make(chan error, 1)
	go func() {
		plain := false // the engine has made all values plain
		client, err := pipeline.ConnectWith(beat.ClientConfig{
			PublishMode:    beat.GuaranteedSend, // it waits here, where more may wait than in libbeat's queue
			Processing:     beat.ProcessingConfig{KeepNull: true, EventNormalization: &plain},
			ClientListener: dropListener{&d.dropped},
		})
		d.mu.Lock()
		d.client = client
		d.mu.Unlock()
		connected <- err
	}()
	go func() {
		select {
		case <-d.quit:
			return
		case err := <-connected:
			if err != nil {
				d.logger.Errorf("connecting to libbeat's pipeline: %v", err)
				return
			}
		}
		d.run()
	}()
}

// run hands on what waits, whenever it is to, until stop.
func (d *direct) run() {
	events := make([]beat.Event, 0, directChunk)
	for {
		select {
		case <-d.quit:
			return
		case <-d.wake:
		}
		for events = d.take(events[:0]); len(events) > 0; events = d.take(events[:0]) {
			d.client.PublishAll(events)
			clear(events)
		}
	}
}

// take takes the next of what waits; none once stopped.
func (d *direct) take(into []beat.Event) []beat.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(directChunk, len(d.waiting))
	for _, doc := range d.waiting[:n] {
		into = append(into, doc.Event)
	}
	clear(d.waiting[:n])
	d.waiting = d.waiting[n:]
	d.busy = n > 0
	return into
}

// write takes a document, and reports whether it is this way that it goes: once stopped it is the journal's.
func (d *direct) write(doc *document.Document) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch n := len(d.waiting); {
	case d.stopped:
		return false
	case n >= directWaiting:
		d.dropped.Add(1)
	default:
		d.waiting = append(d.waiting, doc)
		if n+1 == directAtOnce {
			d.poke()
		}
	}
	return true
}

// flush has handed on what waits.
func (d *direct) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) > 0 {
		d.poke()
	}
}

func (d *direct) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// drain waits until all that waits is handed on, at most for so long.
func (d *direct) drain(most time.Duration) {
	for until := time.Now().Add(most); time.Now().Before(until); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		idle := len(d.waiting) == 0 && !d.busy || d.stopped
		d.mu.Unlock()
		if idle {
			return
		}
		d.flush()
	}
}

// stop ends it and returns what was not handed on, which is the journal's, and so is what comes afterwards. It does not
// wait for a Publish under way: in a full queue only the end of libbeat's pipeline frees that, which comes later.
func (d *direct) stop() (left []*document.Document) {
	d.mu.Lock()
	if d.stopped {
		d.mu.Unlock()
		return nil
	}
	d.stopped = true
	client := d.client
	left, d.waiting = d.waiting, nil
	d.mu.Unlock()
	close(d.quit)
	if client != nil {
		_ = client.Close()
	}
	return left
}

// note keeps the condition as long as documents were dropped within the last minute.
func (d *direct) note(board *health.Board, now time.Time) {
	n := d.dropped.Load()
	switch {
	case n > d.dropsNoted:
		d.dropsNoted, d.dropAt = n, now
		board.Set(health.EventsDropped, "", fmt.Sprintf("%d in all", n), now)
	case now.Sub(d.dropAt) > time.Minute:
		board.Clear(health.EventsDropped, "")
	}
}

// dropListener counts what libbeat was given and could not take, because it was closing.
type dropListener struct{ dropped *atomic.Uint64 }

// DroppedOnPublish counts one.
func (l dropListener) DroppedOnPublish(beat.Event) { l.dropped.Add(1) }

// Closing does nothing.
func (dropListener) Closing() {}

// Closed does nothing.
func (dropListener) Closed() {}

// NewEvent does nothing.
func (dropListener) NewEvent() {}

// Filtered does nothing: what a processor of the user's drops is meant to be dropped.
func (dropListener) Filtered() {}

// Published does nothing.
func (dropListener) Published() {}
