// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/processors"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
	"github.com/reconbeat/reconbeat/process"
)

// factory makes the runners of modules, whoever configured them: reconbeat.yml, modules.d, or Fleet.
type factory struct {
	ring    *ring
	cursors *cursors
	health  *health.Board
	logger  *logp.Logger
	modules *moduleSet
	agent   mapstr.M // see source
	paths   *paths.Path
	local   *local // nil before the Beat runs
}

// CheckConfig reports whether a runner could be made; it opens nothing.
func (f *factory) CheckConfig(c *conf.C) error {
	_, err := f.make(c)
	return err
}

// Create makes a runner. The pipeline is not used: all documents go through the one publisher, so that they are in order and in the journal.
func (f *factory) Create(_ beat.PipelineConnector, c *conf.C) (cfgfile.Runner, error) {
	r, err := f.make(c)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (f *factory) make(c *conf.C) (*runner, error) {
	cfg, errCommon := config.ParseModule(c)
	if cfg.Module == "" {
		return nil, errCommon
	}
	r := &runner{factory: f, stats: &module.Stats{}}
	kind, err := r.kind(cfg.Module)
	if err != nil {
		return nil, errors.Join(errCommon, settings.At("module "+cfg.ID+": ", err))
	}
	r.logger = f.logger.Named("module").With("module", kind.Name, "id", cfg.ID)
	var errSource error
	r.source, errSource = newSource(cfg, kind, r.stats, f.agent, r.logger)
	r.new = func() (module.Module, error) {
		env := module.Env{ID: cfg.ID, Logger: r.logger, Stats: r.stats, Health: f.health}
		if f.local != nil {
			env.Started = f.local.glimpse
		}
		return kind.New(c, env)
	}
	_, err = r.new()
	if err := errors.Join(errCommon, errSource, settings.At("module "+cfg.ID+": ", err)); err != nil {
		return nil, err
	}
	return r, nil
}

// runner runs one module, again after a while when its source was lost, until it is stopped.
type runner struct {
	factory *factory
	source  *source
	stats   *module.Stats
	logger  *logp.Logger
	why     string // why `auto` chose this module; empty where the user did
	new     func() (module.Module, error)

	mu      sync.Mutex
	current module.Module // the one that runs now
	records uint64        // what stats.Records was when it last moved
	moved   time.Time     // and when that was
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// kind finds the module that a configuration names.
func (r *runner) kind(name string) (catalog.Kind, error) {
	if name != catalog.Auto {
		return catalog.Find(name)
	}
	kind, support, err := catalog.Choose()
	if err != nil {
		return catalog.Kind{}, err
	}
	r.why = support.Why
	return kind, nil
}

// String names the module.
func (r *runner) String() string { return r.source.kind.Name + " (" + r.source.ID + ")" }

// Start begins to run the module and returns at once.
func (r *runner) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if err := r.source.setPaths(r.factory.paths); err != nil {
		r.logger.Errorf("preparing the processors: %v", err)
	}
	r.factory.modules.add(r)
	if r.source.kind.Name == "procconn" {
		r.factory.health.Set(health.LossyModule, r.source.ID, "", time.Now())
	}
	r.done.Go(func() { r.run(ctx) })
}

// Stop ends the module and waits until what it sent has been judged.
func (r *runner) Stop() {
	r.cancel()
	r.done.Wait()
	r.factory.ring.drained()
	r.factory.modules.remove(r)
	if err := processors.Close(r.source.processors); err != nil {
		r.logger.Debugf("closing the processors: %v", err)
	}
	for _, c := range health.Conditions() {
		r.factory.health.End(c, r.source.ID)
	}
}

const (
	retryFirst = time.Second
	retryMost  = time.Minute
)

func (r *runner) run(ctx context.Context) {
	for wait := retryFirst; ctx.Err() == nil; wait = min(2*wait, retryMost) {
		began := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil || errors.Is(err, errRingClosed) {
			return
		}
		if err == nil {
			err = errors.New("the source ended")
		}
		if time.Since(began) > retryMost {
			wait = retryFirst
		}
		if !r.factory.health.Set(health.SourceFailed, r.source.ID, err.Error(), time.Now()) {
			r.logger.Debugf("%s has failed again, and is tried again in %s: %v", r, wait, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (r *runner) once(ctx context.Context) error {
	m, err := r.new()
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.current = m
	r.mu.Unlock()
	return m.Run(ctx, r.factory.cursors.get(r.source.ID), func(e *process.Event) error {
		r.factory.health.Clear(health.SourceFailed, r.source.ID)
		r.stats.LastEvent.Store(e.Time.UnixNano())
		if e.Kind == process.Exec && r.source.local && r.factory.local != nil {
			r.factory.local.identify(e)
		}
		taken, err := r.factory.ring.send(e, r.source)
		if taken && e.Kind == process.Exec {
			r.stats.Execs.Add(1)
		}
		return err
	})
}

// kernelLag is how far behind now the watermark of a kernel source is: longer than any of its events is on the way.
const kernelLag = 2 * time.Second

// silence is how long a source may say nothing before it no longer holds the others back.
const silence = 5 * time.Minute

// watermark is the time before which the module will send nothing more. A followed file knows better than the clock, until it is silent.
func (r *runner) watermark(now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.stats.Records.Load(); n != r.records || r.moved.IsZero() {
		r.records, r.moved = n, now
	}
	mark := now.Add(-kernelLag)
	if w, ok := r.current.(module.Watermarker); ok && now.Sub(r.moved) < silence {
		if m := w.Watermark(now); m.Before(mark) {
			return m
		}
	}
	return mark
}

// moduleSet is the set of the modules that run, for watermarks and metrics.
type moduleSet struct {
	mu      sync.Mutex
	runners []*runner
	ended   tally // what the modules that run no more had counted
}

func (s *moduleSet) add(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runners = append(s.runners, r)
}

func (s *moduleSet) remove(r *runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runners = slices.DeleteFunc(s.runners, func(o *runner) bool { return o == r })
	s.ended.add(r.stats)
}

// tally is what all modules have counted, those that run no more among them: malformed and lost.
func (s *moduleSet) tally() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.ended
	for _, r := range s.runners {
		t.add(r.stats)
	}
	return t
}

func (t *tally) add(s *module.Stats) {
	t.malformed += s.Malformed.Load()
	t.lost += s.LostKernel.Load() + s.LostSocket.Load() + s.LostSequence.Load() + s.LostRace.Load()
	t.lostBytes += s.LostFile.Load()
}

// list returns the modules that run.
func (s *moduleSet) list() []*runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runners)
}

// watermark is the least of the modules' watermarks; now less kernelLag when none runs.
func (s *moduleSet) watermark(now time.Time) time.Time {
	mark := now.Add(-kernelLag)
	for _, r := range s.list() {
		if m := r.watermark(now); m.Before(mark) {
			mark = m
		}
	}
	return mark
}
