// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/common/acker"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/state"
)

// publisher hands what the journal has committed to libbeat's pipeline, in order. While the output is down it waits in
// Publish, and what comes meanwhile stays in the journal. When every entry up to N is settled (delivered, dropped by a
// processor of the user's, or rejected for good) it reports N to the journal.
type publisher struct {
	health  *health.Board
	logger  *logp.Logger
	latency *latencies

	store *state.Store
	ready chan struct{}   // closed once what an earlier run left is handed on: new entries come after it
	next  chan beat.Event // what is handed on next
	quit  chan struct{}
	done  sync.WaitGroup // of what reads the store

	tested   func(alertID string, dropped bool) // hears of settled alerts of tests; nil: nobody does
	filtered atomic.Pointer[string]             // the last alert of a test that a processor dropped

	mu       sync.Mutex
	client   beat.Client // nil until libbeat has an output
	waiting  int         // entries handed on and not settled
	progress time.Time   // when the last entry was settled, or the first began to wait
}

// stalledAfter is how long an output may settle nothing before it is said.
const stalledAfter = time.Minute

func newPublisher(h *health.Board, l *latencies, logger *logp.Logger) *publisher {
	return &publisher{
		health:  h,
		latency: l,
		logger:  logger.Named("publisher"),
		ready:   make(chan struct{}),
		next:    make(chan beat.Event),
		quit:    make(chan struct{}),
	}
}

// start connects to libbeat's pipeline and begins with what an earlier run left unsettled. It does not wait: under an
// Elastic Agent there is no output, and no pipeline to connect to, until the Agent's policy has brought one.
func (p *publisher) start(pipeline beat.Pipeline, store *state.Store) {
	p.store = store
	connected := make(chan error, 1)
	go func() {
		client, err := pipeline.ConnectWith(beat.ClientConfig{
			PublishMode:   beat.GuaranteedSend,
			Processing:    beat.ProcessingConfig{KeepNull: true}, // a module's keep_null was heeded when its document was made
			EventListener: droppedTests{acker.EventPrivateReporter(p.settled), p},
		})
		p.mu.Lock()
		p.client = client
		p.mu.Unlock()
		connected <- err
	}()
	p.done.Go(func() {
		select {
		case <-p.quit:
			return
		case err := <-connected:
			if err != nil { // the pipeline is closing, else its configuration is one that libbeat refuses
				p.health.Set(health.OutputStalled, "", fmt.Sprintf("connecting to libbeat's pipeline: %v", err), time.Now())
				return
			}
		}
		go p.handOn()
		defer close(p.ready)
		left := 0
		err := store.Pending(func(e state.Entry) error { left++; return p.publish(e) })
		if err != nil && !errors.Is(err, errStopping) {
			p.logger.Errorf("reading what an earlier run left in the journal: %v", err)
		}
		if left > 0 {
			p.logger.Infof("shipping %s of an earlier run again, not acknowledged until now", plural.Of(left, "document"))
		}
	})
}

// handOn hands events to libbeat until the publisher stops. It has a goroutine of its own, for which nobody waits: in a
// full queue only the end of libbeat's pipeline frees a Publish.
func (p *publisher) handOn() {
	for {
		select {
		case event := <-p.next:
			p.client.Publish(event)
		case <-p.quit:
			return
		}
	}
}

// committed is given entries by the journal. It blocks as long as the output does.
func (p *publisher) committed(entries []state.Entry) {
	select {
	case <-p.ready:
	case <-p.quit:
		return
	}
	for _, e := range entries {
		if p.publish(e) != nil {
			return // they are in the journal
		}
	}
}

// errStopping ends a publisher; what was not handed on stays in the journal.
var errStopping = errors.New("the publisher is stopping")

func (p *publisher) publish(e state.Entry) error {
	select {
	case <-p.quit:
		return errStopping
	default:
	}
	event, err := decode(e.Document)
	if err != nil {
		p.logger.Errorf("an entry of the journal cannot be read and is given up: %v", err)
		event = beat.Event{
			Timestamp: e.Time,
			Fields:    mapstr.M{"message": "an entry of reconbeat's journal could not be read"},
		}
	}
	on := handedOn{seq: e.Seq}
	if kind, _ := event.Fields.GetValue("event.kind"); kind == "alert" {
		on.alert = time.Now()
		p.latency.publish.Update(on.alert.Sub(event.Timestamp).Microseconds())
		if test, _ := event.Fields.GetValue("reconbeat.alert.test"); test == true {
			id, _ := event.Fields.GetValue("event.id")
			on.test, _ = id.(string)
		}
	}
	event.Private = on
	p.begin()
	select {
	case p.next <- event:
		return nil
	case <-p.quit:
		return errStopping
	}
}

// handedOn is what libbeat returns with the acknowledgement of an entry.
type handedOn struct {
	seq   uint64
	alert time.Time // when it was handed on; zero: it is not an alert
	test  string    // its id where it is an alert of a test
}

// stop ends the publisher; what is not settled stays in the journal. It does not wait for a full queue.
func (p *publisher) stop() {
	close(p.quit)
	p.mu.Lock()
	client := p.client
	p.mu.Unlock()
	if client != nil {
		_ = client.Close()
	}
	p.done.Wait()
}

// begin counts an entry that is handed on.
func (p *publisher) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		p.progress = time.Now()
	}
	p.waiting++
}

// settled hears from libbeat, in order, which events are through: acknowledged by the output, or dropped by a
// processor.
func (p *publisher) settled(_ int, private []any) {
	var upTo uint64
	now := time.Now()
	for _, v := range private {
		on, ok := v.(handedOn)
		if !ok {
			continue
		}
		upTo = max(upTo, on.seq)
		if !on.alert.IsZero() {
			p.latency.ack.Update(now.Sub(on.alert).Microseconds())
			if on.test != "" && p.tested != nil {
				dropped := p.filtered.Load()
				p.tested(on.test, dropped != nil && *dropped == on.test)
			}
		}
	}
	p.mu.Lock()
	p.waiting = max(0, p.waiting-len(private))
	p.progress = now
	p.mu.Unlock()
	p.health.Clear(health.OutputStalled, "")
	p.store.Acknowledged(upTo)
}

// droppedTests notes which alerts of tests a processor dropped: to libbeat, and so to settled, they are settled.
type droppedTests struct {
	beat.EventListener
	publisher *publisher
}

// AddEvent is called for each event before it is settled.
func (d droppedTests) AddEvent(event beat.Event, published bool) {
	if on, ok := event.Private.(handedOn); ok && on.test != "" && !published {
		d.publisher.filtered.Store(&on.test)
	}
	d.EventListener.AddEvent(event, published)
}

// watch says when the output has settled nothing for long, until ctx ends.
func (p *publisher) watch(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.checkStalled(now)
		}
	}
}

func (p *publisher) checkStalled(now time.Time) {
	p.mu.Lock()
	waiting, since := p.waiting, now.Sub(p.progress)
	p.mu.Unlock()
	if waiting > 0 && since > stalledAfter {
		p.health.Set(
			health.OutputStalled,
			"",
			fmt.Sprintf("%s handed on, none acknowledged for %s", plural.Of(waiting, "document"), since.Round(time.Second)),
			now,
		)
	}
}
