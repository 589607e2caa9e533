// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
	"github.com/reconbeat/reconbeat/process"
)

// factory makes the runners of modules, whoever configured them: reconbeat.yml, modules.d, or Fleet.
type factory struct {
	modules *moduleConfig
	ring    *engine.Ring
	cursors *cursors
	health  *health.Board
	running *moduleSet
	paths   *paths.Path
	host    *host.Host
	// programs are those that execs must be of to be of interest; see engine.Engine.Programs
	programs func() []string
	// retire publishes what is still to come of a module, while its processors run
	retire func(*document.Source)
}

// CheckConfig reports whether a runner could be made; it opens nothing.
func (f *factory) CheckConfig(c *conf.C) error { return f.modules.check(c) }

// Create makes a runner. The pipeline is not used: all documents go through the one publisher, so that they are in
// order and in the journal.
func (f *factory) Create(_ beat.PipelineConnector, c *conf.C) (cfgfile.Runner, error) {
	b, err := f.modules.blueprint(c)
	if err != nil {
		return nil, err
	}
	return &runner{blueprint: b, factory: f, stats: &module.Stats{}}, nil
}

// runners is the set of modules that libbeat's list keeps running.
type runners struct{ list *cfgfile.RunnerList }

func newRunners(f *factory, pipeline beat.PipelineConnector) *runners {
	return &runners{cfgfile.NewRunnerList("modules", f, pipeline, f.modules.logger)}
}

// apply makes these modules run, and no others.
func (r *runners) apply(modules []*conf.C) error {
	with := make([]*reload.ConfigWithMeta, len(modules))
	for i, m := range modules {
		with[i] = &reload.ConfigWithMeta{Config: m}
	}
	return r.list.Reload(with)
}

// stop stops all, and waits until what they read has been judged.
func (r *runners) stop() { r.list.Stop() }

// runner runs one module, again after a while when its source was lost, until it is stopped.
type runner struct {
	*blueprint
	factory *factory
	stats   *module.Stats

	mu      sync.Mutex
	current module.Module // the one that runs now
	records uint64        // what stats.Records was when it last moved
	moved   time.Time     // and when that was
	mark    time.Time     // the watermark of the last tick, what is in the ring considered; the loop's alone
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// String names the module.
func (r *runner) String() string { return r.kind.Name + " (" + r.source.ID + ")" }

// Start begins to run the module and returns at once.
func (r *runner) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if err := r.source.SetPaths(r.factory.paths); err != nil {
		r.logger.Errorf("preparing the processors: %v", err)
	}
	r.factory.running.add(r)
	if r.kind.Name == "procconn" {
		r.factory.health.Set(health.LossyModule, r.source.ID, "", time.Now())
	}
	r.done.Go(func() { r.run(ctx) })
}

// Stop ends the module and waits until what it sent has been judged.
func (r *runner) Stop() {
	r.cancel()
	r.done.Wait()
	r.factory.ring.Drained()
	r.factory.retire(r.source)
	r.factory.running.remove(r)
	if err := r.source.Close(); err != nil {
		r.logger.Debugf("closing the processors: %v", err)
	}
	for _, c := range health.Conditions() {
		r.factory.health.Leave(c, r.source.ID)
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
		if ctx.Err() != nil || errors.Is(err, engine.ErrRingClosed) {
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
	r.factory.ring.Drained() // what an earlier try has sent lies before the place
	recent, err := r.factory.cursors.documents(r.source.ID)
	if err != nil {
		return err
	}
	m, err := r.open(module.Env{
		ID: r.source.ID, Logger: r.logger, Stats: r.stats, Health: r.factory.health, Started: r.factory.host.Glimpse,
		Programs: r.factory.programs, Recent: recent,
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.current = m
	r.mu.Unlock()
	return m.Run(ctx, r.factory.cursors.get(r.source.ID), func(e *process.Event) error {
		r.factory.health.Clear(health.SourceFailed, r.source.ID)
		if e.Kind == 0 || e.Earlier {
			_, err := r.factory.ring.Send(e, r.source)
			return err
		}
		r.stats.LastEvent.Store(e.Time.UnixNano())
		if e.Kind == process.Exec && r.source.Local && e.Host == (process.Host{}) {
			r.factory.host.Identify(e)
		}
		taken, err := r.factory.ring.Send(e, r.source)
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

// watermark is the time before which the module will send nothing more. A followed file knows better than the clock,
// until it is silent.
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

// read is how far the module itself says that it has read; t where it says nothing.
func (r *runner) read(t, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.current.(module.Watermarker); ok {
		return w.Watermark(now)
	}
	return t
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

// tally is what heartbeats count.
type tally struct{ execs, matched, alerts, held, malformed, lost, lostBytes uint64 }

// since is what was counted after b.
func (t tally) since(b tally) tally {
	return tally{
		t.execs - b.execs,
		t.matched - b.matched,
		t.alerts - b.alerts,
		t.held - b.held,
		t.malformed - b.malformed,
		t.lost - b.lost,
		t.lostBytes - b.lostBytes,
	}
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

// sources returns what the engine knows of the modules that run.
func (s *moduleSet) sources() []*document.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*document.Source, len(s.runners))
	for i, r := range s.runners {
		list[i] = r.source
	}
	return list
}

// list returns the modules that run.
func (s *moduleSet) list() []*runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runners)
}

// watermark is the least of the modules' watermarks, what is in the ring considered; now less kernelLag when none runs.
func (s *moduleSet) watermark(now time.Time, ring *engine.Ring) time.Time {
	mark := now.Add(-kernelLag)
	for _, r := range s.list() {
		r.mark = r.watermark(now)
		if oldest, ok := ring.Oldest(r.source); ok {
			r.mark = earlier(r.mark, oldest)
		}
		mark = earlier(mark, r.mark)
	}
	return mark
}

// passed is the time before which no module sends anything more, once one has sent an event of time t. The others are
// where the last tick has found them. A time that is still to come is that of a wrong clock, and moves nothing.
func (s *moduleSet) passed(t time.Time, from *document.Source) time.Time {
	now := time.Now()
	if t.After(now) {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runners {
		switch {
		case r.source == from:
			t = earlier(t, r.read(t, now))
		case r.source.Rereadable:
			t = earlier(t, r.mark)
		default:
			t = earlier(t, now.Add(-kernelLag))
		}
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// String names the modules that run, and says why `auto` chose one.
func (s *moduleSet) String() string {
	var names []string
	for _, r := range s.list() {
		name := r.kind.Name
		if id := r.source.ID; id != name && id != catalog.Auto {
			name += " " + id
		}
		if r.why != "" {
			name += " (chosen by auto: " + r.why + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no module"
	}
	return strings.Join(names, " and ")
}
