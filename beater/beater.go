// SPDX-License-Identifier: Apache-2.0

// Package beater is the Beat: it runs the configured modules, has the engine judge their events on one goroutine, and
// ships the documents through the journal (state) and libbeat's publisher pipeline.
//
//	module ─> ring ─> engine ─> state (journal) ─> publisher ─> libbeat
//	                                ^── acknowledged up to N ──┘
//
// Documents go one way. The ring and the journal are where three speeds meet: modules never wait for detection (kernel
// sources drop and count), detection never waits for the disk, the disk never waits for the output.
//
// New checks the configuration. What exists only while the Beat runs is made in Run.
package beater

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/process"
)

// sensor is the Beat as it is configured.
type sensor struct {
	config   config.Config
	logger   *logp.Logger
	health   *health.Board
	host     host.Description
	modules  *moduleConfig
	controls *controls
	initial  []*conf.C // the modules that New found valid; none under an Elastic Agent, whose policy names them
	managed  bool      // an Elastic Agent is in charge
	last     *lastWord
	paths    *paths.Path
	rulesDir string
	stop     chan struct{}
	once     sync.Once
}

// New checks the whole configuration, that of the modules and the rules included. It changes nothing on the host and
// opens no source: `test config` calls it too.
func New(b *beat.Beat, c *conf.C) (beat.Beater, error) {
	cfg, errConfig := config.Parse(c)
	logger := b.Info.Logger.Named("reconbeat")
	r := &sensor{
		config:   cfg,
		logger:   logger,
		health:   &health.Board{HoldOff: health.HoldOff},
		managed:  b.Manager.Enabled(),
		paths:    b.Paths,
		rulesDir: rulesDir(b.Paths, cfg),
		stop:     make(chan struct{}),
	}
	r.health.Listen(func(s health.State, c health.Change) { logCondition(logger, s, c, time.Now()) })
	var errHost, errModules error
	r.host, errHost = host.Describe(b.Info.Name)
	r.modules = &moduleConfig{
		static:  cfg.Modules,
		dynamic: cfg.ConfigModules,
		glob:    modulesGlob(b.Paths, cfg),
		agent:   fmtstr.FieldsForBeat(b.Info.Beat, b.Info.Version),
		logger:  logger,
	}
	if r.managed {
		errModules = r.manage(b)
	} else {
		r.initial, errModules = r.modules.load()
	}
	r.controls = newControls(b.Paths, cfg, r.health, logger)
	_, errControls := r.controls.load(cfg)
	_, errTriage := triage(cfg, logger)
	err := errors.Join(errConfig, errHost, r.checkDetector(errConfig == nil), errControls, errTriage, errModules)
	if err != nil {
		return nil, err
	}
	r.last = &lastWord{Pipeline: b.Publisher}
	b.Publisher = r.last
	return r, nil
}

// manage puts the Agent in charge of a Beat that is about to be made.
func (r *sensor) manage(b *beat.Beat) error {
	if len(r.config.Modules) > 0 || r.config.ConfigModules.Path != "" {
		return errors.New("reconbeat.modules and reconbeat.config.modules are not allowed under an Elastic Agent; " +
			"its policy names the modules")
	}
	if len(r.config.Notify) > 0 {
		return errors.New("reconbeat.notify is not allowed under an Elastic Agent; its alerts go to the policy's output")
	}
	b.OutputConfigReloader = reload.ReloadableFunc(ownOutput)
	agent := b.Manager.AgentInfo()
	b.Publisher = &labelled{b.Publisher, mapstr.M{
		"elastic_agent": mapstr.M{"id": agent.ID, "version": agent.Version, "snapshot": agent.Snapshot},
		"agent":         mapstr.M{"id": agent.ID},
	}}
	return nil
}

// NewGuest is New for somebody who watches: it reports the sources that the Beat is about to watch. The Beat leaves
// people and Kibana alone: it delivers no alert to a target of reconbeat.notify, and reads no answer.
func NewGuest(report func([]Watched)) beat.Creator {
	return func(b *beat.Beat, c *conf.C) (beat.Beater, error) {
		made, err := New(b, c)
		if err != nil {
			return nil, err
		}
		guest := made.(*sensor)
		guest.config.Notify, guest.config.Feedback.FromKibana = nil, nil
		report(watched(guest.initial))
		return guest, nil
	}
}

// checkDetector reports whether a detector can be made. Where the rest of the configuration is wrong none can, but the
// rules may be wrong, too.
func (r *sensor) checkDetector(configured bool) error {
	if !configured {
		_, err := config.LoadRules(r.rulesDir, r.config.Detector.Rules)
		return err
	}
	options, err := r.detectorOptions(r.config)
	if err != nil {
		return err
	}
	if _, err := detector.New(options); err != nil {
		return fmt.Errorf("making the detector: %w", err)
	}
	return nil
}

// detectorOptions are what a detector of these settings is made of.
func (r *sensor) detectorOptions(cfg config.Config) (detector.Options, error) {
	return engine.DetectorOptions(cfg, r.rulesDir, r.host)
}

// rulesDir is the folder of the user's own rules.
func rulesDir(p *paths.Path, cfg config.Config) string {
	if filepath.IsAbs(cfg.Detector.RulesPath) {
		return cfg.Detector.RulesPath
	}
	return p.Resolve(paths.Config, cfg.Detector.RulesPath)
}

// modulesGlob is the absolute pattern of the files of modules.d; empty: there are none.
func modulesGlob(p *paths.Path, cfg config.Config) string {
	glob := cfg.ConfigModules.Path
	if glob == "" || filepath.IsAbs(glob) {
		return glob
	}
	return p.Resolve(paths.Config, glob)
}

// StateDir is where the Beat with these paths keeps its state.
func StateDir(p *paths.Path) string { return p.Resolve(paths.Data, "state") }

// logCondition logs that a condition begins, comes and goes, ends, or is watched no more.
func logCondition(logger *logp.Logger, s health.State, change health.Change, now time.Time) {
	if s.Condition == health.AuditTampered {
		logger = logger.With(engine.LogAction, process.ChangedAudit)
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
	case change == health.Leaves:
		logger.Infof("%s still held when its module ended, after %s%s", about, now.Sub(s.Since).Round(time.Second),
			often)
	case change == health.Again:
		say("%s comes and goes%s since %s: %s", about, often, s.Since.Format(time.TimeOnly), s.Detail)
	case s.Detail == "":
		say("%s: %s. %s", about, s.Condition.Title, s.Condition.Help)
	default:
		say("%s: %s: %s. %s", about, s.Condition.Title, s.Detail, s.Condition.Help)
	}
}

// Run runs the Beat until Stop. What the output has not acknowledged by then stays in the journal and ships at the next
// start.
func (r *sensor) Run(b *beat.Beat) error {
	latency := newLatencies()
	publisher := newPublisher(r.health, latency, r.logger)
	dir := StateDir(r.paths)
	store, err := state.Open(dir, state.Options{Logger: r.logger, Health: r.health, Committed: publisher.committed})
	if err != nil {
		return fmt.Errorf("opening the state in %s: %w", dir, err)
	}
	var began time.Time // zero: it never came to watching
	var l *loop
	defer func() {
		if err := store.Close(); err != nil {
			r.logger.Errorf("closing the state: %v", err)
		}
		if !began.IsZero() {
			r.logger.Info(farewell(l.engine.Counts, time.Since(began), store.Stats().Pending.Load()))
		}
	}()
	running := &moduleSet{}
	if l, err = r.newLoop(store, running, latency); err != nil {
		return err
	}
	factory := &factory{
		modules: r.modules, ring: l.ring, cursors: l.cursors, health: r.health,
		running: running, paths: r.paths, host: l.host, programs: l.engine.Programs,
		retire: l.retire,
	}
	runners := newRunners(factory, b.Publisher)
	l.heart = &heartbeat{
		health: r.health, modules: running, ring: l.ring, engine: l.engine,
		host: r.host, lag: &l.lag, pipeline: b.Publisher, journal: store.Stats(),
		direct: l.direct,
	}
	if !r.managed { // else the first policy says so, and where heartbeats go: elsewhere the Agent may not write
		l.heart.period = r.config.Heartbeat.Period
	}
	fromKibana := newKibana(l, dir, r.health, r.logger)
	reader, err := triage(r.config, r.logger)
	if err != nil {
		return err
	}
	fromKibana.use(reader)
	var agent *policy
	if r.managed {
		agent = &policy{
			modules: r.modules, detector: r.detectorOptions, controls: r.controls, loop: l, runners: runners,
			kibana:    fromKibana,
			reporters: &reporters{board: r.health}, whole: r.config,
		}
		if err := agent.register(b); err != nil {
			return err
		}
		l.applied = agent.applied.Load
	}
	targets, err := newNotifiers(r.config, dir, b.Info.Name, r.health, r.logger)
	if err != nil {
		return err
	}
	m := metricsOf{loop: l, journal: store.Stats(), notifiers: targets, kibana: fromKibana}
	l.rejected.libbeat = b.Monitoring.StatsRegistry().GetOrCreateRegistry("libbeat")
	if err := m.show(b); err != nil {
		return err
	}

	defer targets.start()() // before the state is closed
	publisher.tested = l.trial.settled
	l.trial.refused = l.rejected.refused
	publisher.start(b.Publisher, store)
	defer publisher.stop()
	l.direct.start(b.Publisher)
	defer l.keepDirect()
	if agent != nil {
		go func() { _ = l.heart.start() }() // it fails only when all ends before there was an output
	} else if err := l.heart.start(); err != nil {
		return err
	}
	end := func() {
		if agent != nil {
			agent.stop() // no settings change under the last heartbeat
		}
		l.direct.drain(lastMoment)
		l.keepDirect()
		l.heart.end(time.Now())
	}
	r.last.set(end)
	defer end()

	began = time.Now()
	l.engine.Tally(began)
	pending := store.Stats().Pending.Load()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	err = runners.apply(r.initial) // before the first tick, which may close episodes that belong to these modules
	if err != nil {
		err = fmt.Errorf("starting the modules: %w", err)
	}
	go l.run(ctx)
	if err == nil {
		if err = b.Manager.Start(); err != nil {
			err = fmt.Errorf("connecting to the Elastic Agent: %w", err)
		} else {
			defer b.Manager.Stop()
		}
	}
	if err == nil {
		if agent == nil { // else each policy that is applied greets
			r.logger.Info(greeting(running, l.engine.Counts.Model.Load(), r.config.Detector, pending))
		}
		reload := &reloader{config: r.modules, runners: runners, health: r.health, running: running, logger: r.logger}
		wg.Go(func() { reload.watch(ctx) })
		wg.Go(func() { r.controls.watch(ctx, l) })
		wg.Go(func() { publisher.watch(ctx) })
		wg.Go(func() { fromKibana.run(ctx) })
		<-r.stop
	}

	if agent != nil {
		agent.stop()
	}
	runners.stop() // waits until what was read has been judged
	cancel()
	wg.Wait()
	<-l.ended
	l.ring.Close()
	l.engine.Stop(time.Now())
	l.save()
	return err
}

// lastMoment is how long what is on its way past the journal may take at the end; the rest is then kept in the journal.
const lastMoment = time.Second

// newLoop makes the one goroutine's work, with what an earlier run had learned.
func (r *sensor) newLoop(store *state.Store, running *moduleSet, latency *latencies) (*loop, error) {
	options, err := r.detectorOptions(r.config)
	if err != nil {
		return nil, err
	}
	controls, err := r.controls.start()
	if err != nil {
		return nil, err
	}
	here, err := host.Open(nil)
	if err != nil {
		return nil, err
	}
	direct := newDirect(r.logger)
	journal := &journal{store: store, direct: direct, logger: r.logger}
	e, err := engine.New(engine.Options{
		Config: r.config, Detector: options, Host: r.host, Machine: here, Logger: r.logger,
		Controls: controls, Publish: journal.ship, Running: running.sources, Passed: running.passed,
	})
	if err != nil {
		return nil, err
	}
	if err := e.Remember(here.Snapshot); err != nil {
		return nil, err
	}
	l := &loop{
		engine: e, ring: engine.NewRing(engine.RingSlots), cursors: &cursors{}, host: here, store: store,
		journal: journal, direct: direct, running: running, health: r.health, latency: latency, logger: r.logger,
		trial:   &trial{dir: StateDir(r.paths), logger: r.logger},
		applied: func() bool { return true },
		calls:   make(chan func()), ended: make(chan struct{}), clock: newClock(),
	}
	l.restore(store.Snapshot())
	taken := 0
	if err := store.Inbox(func(kind string, payload []byte) error {
		taken++
		return l.accept(kind, payload)
	}); err != nil {
		r.logger.Errorf("reading the inbox: %v", err)
	}
	if taken > 0 { // what has left the inbox is in the snapshot, for the commands that read both
		l.save()
	}
	return l, nil
}

// Stop makes Run return. libbeat has closed the publisher by then; the journal keeps what it did not ship.
func (r *sensor) Stop() { r.once.Do(func() { close(r.stop) }) }
