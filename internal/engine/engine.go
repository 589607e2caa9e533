// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/process"
)

// Machine is what the engine asks the running host.
type Machine interface {
	// Complete fills an exec of this host with what the host knows of it.
	Complete(e *process.Event, t *process.Table)
	// Name fills in the names of users of whom only the ids are known.
	Name(users ...*process.User)
	// Watch changes which programs are known by their contents.
	Watch(programs []string)
}

// Options are what an engine is made of.
type Options struct {
	Config   config.Config    // what ships, and under which names
	Detector detector.Options // rules and model: what Config says of them, checked
	Host     host.Description // the host whose events bring no host of their own
	Machine  Machine          // the running host; nil: no host may be asked
	Publish  func(*Document)  // receives every document, in order
	Controls *control.Set     // nil: none
	Running  func() []*Source // the modules that run now; nil: those that events came from
	Logger   *logp.Logger
}

// Engine judges events. It belongs to one goroutine, but for Counts.
type Engine struct {
	// Counts may be read from every goroutine.
	Counts *Counts

	host     host.Description
	table    *process.Table
	detector *detector.Detector
	machine  Machine // nil: no host may be asked
	config   config.Config
	publish  func(*Document)
	running  func() []*Source
	logger   *logp.Logger

	current  *draft             // of the exec that is being reported
	origins  map[string]*Source // of open episodes, by their ids
	findings []detector.Finding // reused
	waiting  waiting
}

// New makes an engine that knows nothing yet. The error is the detector's.
func New(o Options) (*Engine, error) {
	s := &Engine{
		Counts:  &Counts{},
		host:    o.Host,
		table:   process.NewTable(process.TableOptions{HostID: o.Host.ID, BootID: o.Host.BootID}),
		machine: o.Machine,
		config:  o.Config,
		publish: o.Publish,
		running: o.Running,
		logger:  o.Logger,
		origins: map[string]*Source{},
	}
	o.Detector.Decide = s.decide
	var err error
	if s.detector, err = detector.New(o.Detector); err != nil {
		return nil, fmt.Errorf("making the detector: %w", err)
	}
	if o.Machine != nil {
		o.Machine.Watch(s.detector.Programs())
	}
	if o.Controls != nil {
		s.SetControls(o.Controls)
	}
	return s, nil
}

// DetectorOptions are what a configuration says of the detector of a host. rules is the folder of the user's own rules.
func DetectorOptions(cfg config.Config, rules string, h host.Description) (detector.Options, error) {
	options, err := cfg.Detector.Options(rules, time.Local)
	options.HostID = h.ID
	return options, err
}

// Config returns the settings in force.
func (s *Engine) Config() config.Config { return s.config }

// Rules returns the enabled rules.
func (s *Engine) Rules() []*detector.Rule { return s.detector.Rules() }

// Remember puts the processes that are alive into the table, as snapshot finds them.
func (s *Engine) Remember(snapshot func(*process.Table) error) error { return snapshot(s.table) }

// Configure changes the settings between two events. What was learned, the open episodes and the table stay.
func (s *Engine) Configure(cfg config.Config, o detector.Options) error {
	s.Settle()
	programs := s.detector.Programs()
	o.Decide = s.decide
	if err := s.detector.Configure(o); err != nil {
		return fmt.Errorf("changing the detector's settings: %w", err)
	}
	if s.machine != nil && !slices.Equal(programs, s.detector.Programs()) {
		s.machine.Watch(s.detector.Programs())
	}
	s.config = cfg
	return nil
}

// Snapshot returns what has been learned, and what is open, for Restore.
func (s *Engine) Snapshot() ([]byte, error) {
	s.Settle() // what waits lies behind the cursors
	return s.detector.Snapshot()
}

// Restore replaces what has been learned by a snapshot, of this host or of another. The time since then was not
// watched.
func (s *Engine) Restore(model []byte) error {
	if err := s.detector.Restore(model); err != nil {
		return err
	}
	s.detector.Stop()
	clear(s.origins)
	return nil
}

// Forget makes an account, by id or name, unknown again. It returns how many models knew it.
func (s *Engine) Forget(account string) int { return s.detector.Forget(account) }

// Reset forgets everything that was learned.
func (s *Engine) Reset() {
	s.detector.Reset()
	clear(s.origins)
}

// Take brings one event through, and reports whether a rule matched it. e is the engine's until Take returns.
func (s *Engine) Take(e *process.Event, from *Source) bool {
	s.table.Observe(e)
	if s.waiting.n > 0 {
		s.release(e)
	}
	s.detector.Watch(e)
	if e.Kind == process.Tamper {
		s.tampered(e, from)
	}
	if e.Kind != process.Exec {
		return false
	}
	s.Counts.Execs.Add(1)
	rules := s.detector.Match(e)
	if rules == 0 && s.config.Events != config.EventsAll {
		return false
	}
	switch {
	case from.Local && s.machine != nil && e.Host == (process.Host{}):
		s.machine.Complete(e, s.table)
	case !s.table.Complete(e) && rules != 0 && e.Parent.Known() && from.Rereadable, s.waiting.n > 0:
		s.wait(e, from, rules)
		return rules != 0
	}
	s.report(e, from, rules)
	return rules != 0
}

// draft is the document of an exec, made when somebody wants to see it first: a processor of the module, or the output.
type draft struct {
	exec    *process.Event
	from    *Source
	doc     *beat.Event
	dropped bool // a processor of the module dropped it
}

// document is the draft's document; nil: a processor dropped it.
func (s *Engine) document(d *draft) *beat.Event {
	if d.doc == nil && !d.dropped {
		d.doc = s.processed(s.execDocument(d.exec, d.from), d.from)
		d.dropped = d.doc == nil
	}
	return d.doc
}

// report judges an exec that is complete, and publishes what comes of it.
func (s *Engine) report(e *process.Event, from *Source, rules detector.RuleSet) {
	d := draft{exec: e, from: from}
	if from.hasProcessors() {
		doc := s.document(&d)
		if doc == nil {
			s.Counts.Dropped.Add(1)
			return
		}
		readBack(doc, e)
	}
	s.current = &d
	s.findings = s.detector.Judge(e, rules, s.findings[:0])
	s.current = nil
	if rules != 0 {
		s.Counts.Matched.Add(1)
	}
	raw := s.config.Events == config.EventsAll
	for i := range s.findings {
		f := &s.findings[i]
		s.Counts.add(f)
		raw = raw || s.config.Events == config.EventsMatched && f.OfExec()
		if !f.OfExec() {
			s.conclude(f, from)
			continue
		}
		if f.Episode.ID != "" {
			s.origins[f.Episode.ID] = from
		}
		if f.Kind == detector.Alert {
			s.publish(s.alert(s.document(&d), e, from, f))
		}
	}
	if raw {
		s.publish(s.raw(s.document(&d), e, from, rules != 0, s.findings))
	}
}

// conclude publishes a finding about more than one exec: the summary of an episode, a habit, what was learned. from is
// the module that occasioned it, nil where time did.
func (s *Engine) conclude(f *detector.Finding, from *Source) {
	if f.Kind == detector.Summary {
		from = s.origin(f.Episode.ID)
		delete(s.origins, f.Episode.ID)
	}
	if from == nil {
		from = s.origin("")
	}
	if doc := s.conclusion(f, from); doc != nil {
		s.publish(doc)
	}
}

// processed is a document with what the module's configuration does to it; nil: a processor dropped it.
func (s *Engine) processed(doc *beat.Event, from *Source) *beat.Event {
	doc, err := from.process(doc)
	if err != nil {
		s.misfit(from, err)
	}
	return doc
}

// misfit counts that a module's configuration does not fit a document, and logs it now and then.
func (s *Engine) misfit(from *Source, err error) {
	if n := s.Counts.Misfits.Add(1); seldom(n) {
		s.logger.Warnf("module %s: %v (%d %s so far, shipped all the same)", from.ID, err, n,
			english.PluralWord(int(n), "document", ""))
	}
}

// Advance says that nothing before t will come any more: what time closes is closed.
func (s *Engine) Advance(t time.Time) {
	if s.waiting.n > 0 {
		if first := s.waiting.first().Time; first.Before(t) {
			t = first
		}
	}
	s.findings = s.detector.Advance(t, s.findings[:0])
	for i := range s.findings {
		s.Counts.add(&s.findings[i])
		s.conclude(&s.findings[i], nil)
	}
}

// Tally makes what the engine's parts have counted until now readable in Counts.
func (s *Engine) Tally(now time.Time) {
	known := Known{Age: s.detector.Age(now), Actors: s.detector.Actors()}
	for _, r := range s.detector.Rules() {
		known.Rules = append(known.Rules, r.ID)
	}
	s.Counts.Model.Store(&known)
	s.Counts.Unnamed.Store(s.detector.Unnamed())
	s.Counts.Late.Store(s.detector.Late())
	s.Counts.Evicted.Store(s.detector.Evicted())
	processes := s.table.Stats()
	s.Counts.Processes.Store(&processes)
}

// seldom is true for 1, 2, 4, 8 ...: what happens with every event is logged that often.
func seldom(n uint64) bool { return bits.OnesCount64(n) == 1 }
