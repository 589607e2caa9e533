// SPDX-License-Identifier: Apache-2.0

// Package beater is the Beat: it runs the configured modules, takes their events through one goroutine in order (stream), and ships what is to be said of
// them through the journal (state) and libbeat's publisher pipeline.
//
//	module ─> ring ─> stream (table, match, complete, judge) ─> state (journal) ─> publisher ─> libbeat
//	                                                                ^── acknowledged up to N ──┘
//
// The way is one way. The ring and the journal are where the three speeds meet: modules never wait for detection (kernel sources drop and count), detection never
// waits for the disk, the disk never waits for the output.
package beater

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/health"
	"github.com/reconbeat/reconbeat/process"
	"github.com/reconbeat/reconbeat/state"
)

// reconbeat is the Beat.
type reconbeat struct {
	config  config.Config // under an Elastic Agent, what its policy says of the whole Beat
	logger  *logp.Logger
	health  *health.Board
	ring    *ring
	modules *moduleSet
	cursors *cursors
	stream  *stream
	set     *configured
	initial []*conf.C // the modules that New found valid
	pulse   *heartbeat
	latency *latencies
	policy  *policy // nil: no Elastic Agent is in charge
	calls   chan func()
	ended   chan struct{} // closed when the loop has ended

	began  time.Time // when Run began to watch
	saved  time.Time // when model and cursors were last saved
	drops  uint64    // events dropped by the ring when last looked
	dropAt time.Time // and when that number last grew

	rejected rejections

	rulesDir string
	stateDir string
	stop     chan struct{}
	once     sync.Once
}

// New checks the whole configuration, the modules' and the rules' included, and opens nothing: `test config` calls it too.
func New(b *beat.Beat, c *conf.C) (beat.Beater, error) {
	cfg, err := config.Parse(c)
	logger := b.Info.Logger.Named("reconbeat")
	r := &reconbeat{
		config:   cfg,
		logger:   logger,
		health:   &health.Board{HoldOff: health.HoldOff},
		ring:     newRing(ringSlots),
		modules:  &moduleSet{},
		cursors:  &cursors{},
		latency:  newLatencies(),
		calls:    make(chan func()),
		ended:    make(chan struct{}),
		rulesDir: rulesDir(b.Paths, cfg),
		stateDir: StateDir(b.Paths),
		stop:     make(chan struct{}),
	}
	r.health.Listen(func(s health.State, c health.Change) { logCondition(logger, s, c, time.Now()) })
	errs := []error{err}
	host, err := thisHost(b.Info.Name)
	errs = append(errs, err)
	if errs[0] == nil {
		r.stream, err = newStream(cfg, r.rulesDir, host, logger)
	} else { // no detector can be made, but the rules may be wrong, too
		_, err = config.LoadRules(r.rulesDir, cfg.Detector.Rules)
	}
	errs = append(errs, err)
	if r.stream != nil {
		r.stream.modules = r.modules
	}

	f := &factory{ring: r.ring, cursors: r.cursors, health: r.health, logger: logger, modules: r.modules, agent: fmtstr.FieldsForBeat(b.Info.Beat, b.Info.Version), paths: b.Paths}
	r.set = &configured{
		static:  cfg.Modules,
		dynamic: cfg.ConfigModules,
		factory: f,
		list:    cfgfile.NewRunnerList("modules", f, b.Publisher, logger),
		health:  r.health,
		logger:  logger,
	}
	if p := cfg.ConfigModules.Path; p != "" {
		r.set.glob = p
		if !filepath.IsAbs(p) {
			r.set.glob = b.Paths.Resolve(paths.Config, p)
		}
	}
	if b.Manager.Enabled() {
		err = r.manage(b)
	} else {
		r.initial, err = r.set.load()
	}
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.pulse = &heartbeat{period: cfg.Heartbeat.Period, health: r.health, modules: r.modules, ring: r.ring, stream: r.stream, pipeline: b.Publisher}
	b.Publisher = &lastWord{b.Publisher, func() {
		if r.policy != nil {
			r.policy.stop() // no settings change under the last heartbeat
		}
		r.pulse.end(time.Now())
	}}
	return r, nil
}

// NewTelling is New, and tells which sources the Beat is about to watch.
func NewTelling(tell func([]Watched)) beat.Creator {
	return func(b *beat.Beat, c *conf.C) (beat.Beater, error) {
		made, err := New(b, c)
		if err != nil {
			return nil, err
		}
		tell(watched(made.(*reconbeat).initial))
		return made, nil
	}
}

// rulesDir is the folder of the user's own rules.
func rulesDir(p *paths.Path, cfg config.Config) string {
	if filepath.IsAbs(cfg.Detector.RulesPath) {
		return cfg.Detector.RulesPath
	}
	return p.Resolve(paths.Config, cfg.Detector.RulesPath)
}

// newStream makes a stream that knows nothing yet, and can ask no host.
func newStream(cfg config.Config, rules string, host hostFields, logger *logp.Logger) (*stream, error) {
	options, err := detectorOptions(cfg, rules, host)
	if err != nil {
		return nil, err
	}
	d, err := detector.New(options)
	if err != nil {
		return nil, fmt.Errorf("making the detector: %w", err)
	}
	return &stream{
		host:     host,
		table:    process.NewTable(process.TableOptions{HostID: host.id, BootID: host.bootID}),
		detector: d,
		config:   cfg,
		counts:   &counts{},
		origins:  map[string]*source{},
		logger:   logger,
	}, nil
}

func detectorOptions(cfg config.Config, rules string, host hostFields) (detector.Options, error) {
	options, err := cfg.Detector.Options(rules, time.Local)
	options.HostID = host.id
	return options, err
}

func logCondition(logger *logp.Logger, s health.State, change health.Change, now time.Time) {
	if s.Condition == health.AuditTampered {
		logger = logger.With(LogAction, process.ChangedAudit)
	}
	about := s.Condition.Code
	if s.Subject != "" {
		about += " (" + s.Subject + ")"
	}
	say := logger.Warnf
	if s.Condition.Severity == health.Failed {
		say = logger.Errorf
	}
	var often string
	if s.Count > 1 {
		often = fmt.Sprintf("; it came %d times", s.Count)
	}
	switch {
	case change == health.Ends:
		logger.Infof("%s is over after %s%s", about, now.Sub(s.Since).Round(time.Second), often)
	case change == health.Again:
		say("%s comes and goes%s since %s: %s", about, often, s.Since.Format(time.TimeOnly), s.Detail)
	case s.Detail == "":
		say("%s: %s. %s", about, s.Condition.Title, s.Condition.Help)
	default:
		say("%s: %s: %s. %s", about, s.Condition.Title, s.Detail, s.Condition.Help)
	}
}

// Run runs the Beat until Stop. What the output has not acknowledged by then stays in the journal and ships at the next start.
func (r *reconbeat) Run(b *beat.Beat) error {
	publisher := newPublisher(r.health, r.latency, r.logger)
	store, err := state.Open(r.stateDir, state.Options{Logger: r.logger, Health: r.health, Committed: publisher.committed})
	if err != nil {
		return fmt.Errorf("opening the state in %s: %w", r.stateDir, err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			r.logger.Errorf("closing the state: %v", err)
		}
		if !r.began.IsZero() {
			r.farewell(store.Stats().Pending.Load())
		}
	}()
	r.restore(store.Snapshot())
	if err := store.Inbox(r.accept); err != nil {
		r.logger.Errorf("reading the inbox: %v", err)
	}
	r.stream.publish = func(d *document) { r.journal(store, d) }
	if r.stream.local, err = newLocal(r.stream.detector.Programs()); err != nil {
		return err
	}
	r.set.factory.local = r.stream.local
	if err := r.stream.local.snapshot(r.stream.table); err != nil {
		return err
	}
	r.rejected.libbeat = b.Monitoring.StatsRegistry().GetOrCreateRegistry("libbeat")
	r.register(b.Monitoring.StatsRegistry().GetOrCreateRegistry("reconbeat"), store.Stats())
	if b.API != nil { // http.enabled
		metrics, err := expose(b.Monitoring.StatsRegistry(), r.logger)
		if err != nil {
			return err
		}
		if err := b.API.AttachHandler(metricsPath, metrics); err != nil {
			return fmt.Errorf("serving %s: %w", metricsPath, err)
		}
	}

	publisher.start(b.Publisher, store)
	defer publisher.stop()
	r.pulse.journal = store.Stats()
	if r.policy != nil {
		go func() { _ = r.pulse.start() }() // it fails only when all ends before there was an output
	} else if err := r.pulse.start(); err != nil {
		return err
	}
	defer func() { r.pulse.end(time.Now()) }()

	r.began = time.Now()
	r.stream.tell(r.began)
	waiting := store.Stats().Pending.Load()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	err = r.set.apply(r.initial) // before the first tick, which may close episodes that belong to these modules
	go func() { defer close(r.ended); r.loop(ctx, store) }()
	if err == nil {
		if err = b.Manager.Start(); err != nil {
			err = fmt.Errorf("connecting to the Elastic Agent: %w", err)
		} else {
			defer b.Manager.Stop()
		}
	}
	if err == nil {
		if r.policy == nil { // else each policy that is applied greets
			r.greet(waiting)
		}
		wg.Go(func() { r.set.watch(ctx) })
		wg.Go(func() { publisher.watch(ctx) })
		<-r.stop
	}

	if r.policy != nil {
		r.policy.stop()
	}
	r.set.list.Stop() // waits until what was read has been judged
	cancel()
	wg.Wait()
	<-r.ended
	r.ring.close()
	r.save(store)
	if err != nil {
		return fmt.Errorf("starting the modules: %w", err)
	}
	return nil
}

// restore takes over what an earlier run had learned.
func (r *reconbeat) restore(snap state.Snapshot) {
	if snap.Model == nil {
		return
	}
	if err := r.stream.detector.Restore(snap.Model); err != nil {
		r.health.Set(health.ModelNotRestored, "", err.Error(), time.Now())
		return
	}
	r.stream.detector.Stop() // nobody watched since
	r.cursors.restore(snap.Cursors)
}

// save hands model and cursors of this moment to the state. It runs where nothing is being judged.
func (r *reconbeat) save(store *state.Store) {
	r.stream.settle() // what waits is behind the cursors
	model, err := r.stream.detector.Snapshot()
	if err == nil {
		err = store.SaveSnapshot(state.Snapshot{Model: model, Cursors: r.cursors.all(), Taken: time.Now()})
	}
	if err != nil {
		r.logger.Errorf("saving what was learned: %v", err)
	}
}

// The kinds of messages by which other processes change the model of the Beat on this host.
const (
	InboxModel  = "model"  // what was learned, or exported, takes the place of what is known
	InboxForget = "forget" // an account, by id or name, is unknown again
	InboxReset  = "reset"  // everything is
)

// StateDir is where the Beat with these paths keeps its state.
func StateDir(p *paths.Path) string { return p.Resolve(paths.Data, "state") }

// accept takes a message of another process from the state's inbox.
func (r *reconbeat) accept(kind string, payload []byte) error {
	switch kind {
	case InboxModel:
		if err := r.stream.detector.Restore(payload); err != nil {
			r.logger.Errorf("the model that was handed over is not taken: %v", err)
			return nil // it would not be better the next time
		}
		r.stream.detector.Stop()
		clear(r.stream.origins)
		r.health.End(health.ModelNotRestored, "")
		r.logger.Infof("the model that was handed over has been taken over")
	case InboxForget:
		r.logger.Infof("forgot %q, who was known to %s", payload, plural(r.stream.detector.Forget(string(payload)), "model"))
	case InboxReset:
		r.stream.detector.Reset()
		clear(r.stream.origins)
		r.health.End(health.ModelNotRestored, "")
		r.logger.Infof("everything that was learned has been forgotten, as was asked for")
	default:
		r.logger.Warnf("a message of the unknown kind %q is passed over", kind)
		return nil
	}
	r.saved = time.Time{} // soon
	return nil
}

// journal hands a document to the journal, which hands it on to the publisher.
func (r *reconbeat) journal(store *state.Store, d *document) {
	line, err := encode(&d.Event)
	if err != nil {
		r.stream.counts.unencodable.Add(1)
		r.logger.Errorf("a document cannot be encoded and does not ship: %v", err)
		return
	}
	if _, err := store.Append(state.Entry{ID: d.id, Durable: d.durable, Time: d.Timestamp, Document: line}); err != nil {
		r.logger.Errorf("a document does not ship: %v", err)
	}
}

// Stop makes Run return. libbeat has closed the publisher by then; the journal keeps what it did not ship.
func (r *reconbeat) Stop() { r.once.Do(func() { close(r.stop) }) }

const (
	tickEvery = time.Second      // how often buckets and episodes may close
	saveEvery = 30 * time.Second // how often model and cursors are saved
)

// loop is the one goroutine that owns the stream.
func (r *reconbeat) loop(ctx context.Context, store *state.Store) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.tick(store, time.Now())
		case call := <-r.calls:
			call()
		default:
		}
		if s := r.ring.next(); s != nil {
			r.take(s)
			r.cursors.set(s.source.ID, s.event.Cursor)
			r.ring.release()
			continue
		}
		select {
		case <-r.ring.filled:
		case <-tick.C:
			r.tick(store, time.Now())
		case call := <-r.calls:
			call()
		case <-ctx.Done():
			return
		}
	}
}

// take has the stream judge an event, and notes how long that took and how late it was.
func (r *reconbeat) take(s *slot) {
	began := time.Now()
	matched := r.stream.take(&s.event, s.source)
	if s.event.Kind != process.Exec {
		return
	}
	now := time.Now()
	late := now.Sub(s.event.Time)
	r.stream.counts.lag.note(late)
	if matched {
		r.latency.judge.Update(now.Sub(began).Microseconds())
		r.latency.judged.Update(late.Microseconds())
	}
}

// inLoop calls f between two events, where it may touch the stream, and returns when it has.
func (r *reconbeat) inLoop(f func()) error {
	done := make(chan struct{})
	select {
	case r.calls <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-r.ended:
		return errors.New("reconbeat is stopping")
	}
}

// options are what a detector of these settings is made of.
func (r *reconbeat) options(cfg config.Config) (detector.Options, error) {
	return detectorOptions(cfg, r.rulesDir, r.stream.host)
}

// configure changes the settings of the whole Beat while modules run. What was learned stays.
func (r *reconbeat) configure(cfg config.Config, o detector.Options) error {
	var err error
	errLoop := r.inLoop(func() {
		err = r.stream.configure(cfg, o)
		r.stream.tell(time.Now())
	})
	if err := errors.Join(errLoop, err); err != nil {
		return err
	}
	r.config = cfg
	r.pulse.every(cfg.Heartbeat.Period)
	return nil
}

// tick closes what time closes: buckets, episodes, and the interval between two savings.
func (r *reconbeat) tick(store *state.Store, now time.Time) {
	if err := store.Inbox(r.accept); err != nil {
		r.logger.Errorf("reading the inbox: %v", err)
	}
	r.stream.settle()
	mark := r.modules.watermark(now)
	if oldest, ok := r.ring.oldest(); ok && oldest.Before(mark) {
		mark = oldest
	}
	if r.policy == nil || r.policy.applied.Load() { // episodes that close belong to modules, which the first policy brings
		r.stream.advance(mark)
	}
	r.stream.tell(now)
	r.noteDrops(now)
	r.rejected.note(r.health, now)
	r.health.Settle(now)
	r.pulse.beat(now)
	if now.Sub(r.saved) >= saveEvery {
		r.save(store)
		r.saved = now
	}
}

// noteDrops keeps the condition of a full ring as long as events were dropped within the last minute.
func (r *reconbeat) noteDrops(now time.Time) {
	n := r.ring.dropped.Load()
	switch {
	case n > r.drops:
		r.drops, r.dropAt = n, now
		r.health.Set(health.RingFull, "", plural(n, "event")+" in all", now)
	case now.Sub(r.dropAt) > time.Minute:
		r.health.Clear(health.RingFull, "")
	}
}
