// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/process"
)

// heartbeat reports once a period that this host is watched and how that goes, so that a host that falls silent can be
// an alert. It has a client of its own and bypasses the journal: a heartbeat that could not ship in its minute is of no
// use an hour later. While the output takes none, none is made; its counts go into the next one.
type heartbeat struct {
	health   *health.Board
	modules  *moduleSet
	ring     *engine.Ring
	engine   *engine.Engine
	host     host.Description
	lag      *worst // since the last heartbeat: from a program's start until it was judged
	pipeline beat.Pipeline
	journal  *state.Stats
	direct   *direct

	made atomic.Uint64

	mu     sync.Mutex // guards what follows
	period time.Duration
	client beat.Client
	next   chan beat.Event // to the client, which waits as long as the output does
	began  time.Time       // zero: not connected, or at an end
	over   bool
	last   time.Time // when the last one was made; zero: none yet
	counts tally     // what had been counted by then
}

// pulse is what one heartbeat reports.
type pulse struct {
	tally
	status     string
	conditions []string // their codes
	says       []string // the same, each with how often it came
	uptime     time.Duration
	lag        time.Duration // 0: no exec came
	model      engine.Known
	pending    int64
	modules    []string
	controls   inUse
}

// HeartbeatField is a field that heartbeats have beside those of every document.
type HeartbeatField struct {
	Name string
	Type string // as in Elasticsearch: keyword, long, float
	get  func(*pulse) any
}

// HeartbeatFields is the table of them.
var HeartbeatFields = []HeartbeatField{
	{"reconbeat.health.status", "keyword", func(p *pulse) any { return p.status }},
	{"reconbeat.health.conditions", "keyword", func(p *pulse) any { return listed(p.conditions) }},
	{"reconbeat.health.uptime", "long", func(p *pulse) any { return int64(p.uptime / time.Second) }},
	{"reconbeat.health.execs", "long", func(p *pulse) any { return p.execs }},
	{"reconbeat.health.matched", "long", func(p *pulse) any { return p.matched }},
	{"reconbeat.health.alerts", "long", func(p *pulse) any { return p.alerts }},
	{"reconbeat.health.malformed", "long", func(p *pulse) any { return p.malformed }},
	{"reconbeat.health.lost", "long", func(p *pulse) any { return p.lost + min(1, p.lostBytes) }},
	{"reconbeat.health.lag.ms", "long", func(p *pulse) any {
		if p.lag == 0 {
			return nil
		}
		return p.lag.Milliseconds()
	}},
	{
		"reconbeat.health.model.age_days",
		"float",
		func(p *pulse) any { return math.Round(p.model.Age.Hours()/24*100) / 100 },
	},
	{"reconbeat.health.model.actors", "long", func(p *pulse) any { return p.model.Actors }},
	{"reconbeat.health.journal.pending", "long", func(p *pulse) any { return p.pending }},
	{"reconbeat.health.modules", "keyword", func(p *pulse) any { return listed(p.modules) }},
	{"reconbeat.health.rules", "keyword", func(p *pulse) any { return listed(p.model.Rules) }},
	{"reconbeat.health.controls.active", "long", func(p *pulse) any { return p.controls.active }},
	{"reconbeat.health.controls.unused", "long", func(p *pulse) any { return p.controls.unused }},
	{"reconbeat.health.controls.expired", "keyword", func(p *pulse) any { return listed(p.controls.expired) }},
	{"reconbeat.health.controls.most_used", "keyword", func(p *pulse) any { return listed(p.controls.mostUsed) }},
	{"reconbeat.health.controls.held_alerts", "long", func(p *pulse) any { return p.held }},
}

func listed(values []string) any {
	if len(values) == 0 {
		return nil
	}
	return values
}

// start begins to beat; the first beat is that of the next call of beat. Under an Elastic Agent there is no output, and
// no pipeline to connect to, until the Agent's policy has brought one: whoever is in that case does not wait for start.
func (h *heartbeat) start() error {
	client, err := h.pipeline.ConnectWith(beat.ClientConfig{})
	if err != nil {
		return fmt.Errorf("connecting heartbeats to libbeat's pipeline: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return client.Close()
	}
	next := make(chan beat.Event, 1)
	h.client, h.next, h.began = client, next, time.Now()
	go func() { // nobody waits for it: in a full queue only the end of libbeat's pipeline frees a Publish
		for event := range next {
			client.Publish(event)
		}
	}()
	return nil
}

// every changes the period; 0: no heartbeats.
func (h *heartbeat) every(period time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.period = period
}

// beat makes a heartbeat when one is due.
func (h *heartbeat) beat(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() || h.period == 0 || now.Sub(h.last) < h.period || len(h.next) == cap(h.next) {
		return
	}
	kind := "info"
	if h.last.IsZero() {
		kind = "start"
	}
	h.next <- h.make(kind, now)
}

// end stops, and makes the last heartbeat, which passes whatever waits. It gives a full queue a moment: there a client
// waits even with DropIfFull, which drops only while many others wait, too.
func (h *heartbeat) end(now time.Time) {
	if last, ok := h.stop(now); ok {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if client, err := h.pipeline.ConnectWith(beat.ClientConfig{PublishMode: beat.DropIfFull}); err == nil {
				client.Publish(last)
				_ = client.Close()
			}
		}()
		select {
		case <-sent:
		case <-time.After(lastMoment):
		}
	}
}

// stop stops the beating, and returns the last heartbeat if there is to be one.
func (h *heartbeat) stop(now time.Time) (last beat.Event, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.began.IsZero() {
		return beat.Event{}, false
	}
	if ok = h.period > 0; ok {
		last = h.make("end", now)
	}
	h.began = time.Time{}
	close(h.next)
	_ = h.client.Close()
	return last, ok
}

// make makes the heartbeat of now. h.mu is held.
func (h *heartbeat) make(kind string, now time.Time) beat.Event {
	h.made.Add(1)
	counted := h.count()
	p := pulse{
		tally:   counted.since(h.counts),
		status:  h.health.Status(),
		uptime:  now.Sub(h.began),
		lag:     h.lag.reset(),
		pending: max(0, h.journal.Pending.Load()),
	}
	if m := h.engine.Counts.Model.Load(); m != nil {
		p.model = *m
	}
	p.controls = reportUsage(h.engine.Counts.Controls.Load(), now)
	for _, s := range h.health.Active() {
		p.conditions = append(p.conditions, s.Condition.Code)
		p.says = append(p.says, s.String())
	}
	for _, r := range h.modules.list() {
		p.modules = append(p.modules, r.kind.Name)
	}
	for _, list := range []*[]string{&p.conditions, &p.says, &p.modules} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	event := h.document(&p, kind, now)
	if !h.last.IsZero() {
		put(event.Fields, "event.duration", now.Sub(h.last).Nanoseconds())
	}
	h.last, h.counts = now, counted
	return event
}

// document is the heartbeat as it ships.
func (h *heartbeat) document(p *pulse, kind string, now time.Time) beat.Event {
	doc := beat.Event{Timestamp: now, Fields: mapstr.M{}, Meta: mapstr.M{}}
	if len(h.host.Fields) > 0 {
		doc.Fields["host"] = h.host.Fields.Clone()
	}
	message := "reconbeat is " + p.status
	if len(p.says) > 0 {
		message += ": " + strings.Join(p.says, ", ")
	}
	for field, value := range map[string]any{
		"message":        message,
		"event.kind":     "metric",
		"event.category": []string{"host"},
		"event.type":     []string{kind},
		"event.action":   "heartbeat",
	} {
		put(doc.Fields, field, value)
	}
	document.Address(doc.Fields, h.engine.Config(), dataset.Health)
	for _, f := range HeartbeatFields {
		if v := f.get(p); v != nil {
			put(doc.Fields, f.Name, v)
		}
	}
	id := process.ID("heartbeat", h.host.ID, strconv.FormatInt(now.UnixNano(), 10))
	put(doc.Fields, "event.id", id)
	document.Identify(&doc, id)
	return doc
}

// count is what has been counted so far, all that was lost added up.
func (h *heartbeat) count() tally {
	c := h.engine.Counts
	t := h.modules.tally()
	t.execs, t.matched, t.alerts = c.Execs.Load(), c.Matched.Load(), c.Alerts.Load()
	t.held = c.Held.Load()
	t.lost += h.ring.Dropped.Load() + h.direct.dropped.Load()
	t.lost += h.journal.Lost.Load() + h.journal.Dropped.Load() + h.journal.DroppedWaiting.Load()
	return t
}

// put sets a dotted field. The documents are ours, so that no part of the way can be anything but an object.
func put(m mapstr.M, field string, value any) { _, _ = m.Put(field, value) }

// lastWord is libbeat's pipeline with a last word: libbeat closes the pipeline before it asks the Beat to stop, and
// what is published afterwards is lost.
type lastWord struct {
	beat.Pipeline
	mu  sync.Mutex
	say func() // nil: there is nothing to say yet
}

// set sets the last word.
func (w *lastWord) set(say func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say = say
}

// Close says the last word and closes the pipeline, which waits a second for what is on its way.
func (w *lastWord) Close() error {
	w.mu.Lock()
	say := w.say
	w.mu.Unlock()
	if say != nil {
		say()
	}
	if c, ok := w.Pipeline.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
