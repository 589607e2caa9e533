// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/process"
)

// Machine is what the engine asks the running host.
type Machine interface {
	document.Machine
	// Complete fills an exec of this host with what the host knows of it.
	Complete(e *process.Event, t *process.Table)
	// Watch changes which programs are known by their contents.
	Watch(programs []string)
	// Inspect fills a match, which is complete, with what the host's files say of it.
	Inspect(e *process.Event, t *process.Table)
	// Examine has the executables of a match, and of its parent, read beside the engine. It waits for nothing.
	Examine(e *process.Event)
}

// Options are what an engine is made of.
type Options struct {
	Config   config.Config             // what ships, and under which names
	Detector detector.Options          // rules and model: what Config says of them, checked
	Host     host.Description          // the host whose events bring no host of their own
	Machine  Machine                   // the running host; nil: no host may be asked
	Publish  func(*document.Document)  // receives every document, in order
	Controls *control.Set              // nil: none
	Running  func() []*document.Source // the modules that run now; nil: those that events came from
	// Passed is the time before which nothing more comes of any module, once one has sent an event of a time; zero: that
	// is not known. Nil: it is the event's.
	Passed func(t time.Time, from *document.Source) time.Time
	Logger *logp.Logger
}

// Engine judges events. It belongs to one goroutine, but for Counts.
type Engine struct {
	// Counts may be read from every goroutine.
	Counts *Counts

	table     *process.Table
	detector  *detector.Detector
	machine   Machine // nil: no host may be asked
	documents document.Maker
	publish   func(*document.Document)
	running   func() []*document.Source
	passed    func(time.Time, *document.Source) time.Time
	logger    *logp.Logger

	programs  atomic.Pointer[[]string]
	current   *document.Exec              // the exec that is being reported
	trial     *Trial                      // the self test whose program start has not come; nil: none
	origins   map[string]*document.Source // of open episodes, by their ids
	findings  []detector.Finding          // reused
	waiting   waiting
	followUps followUps
}

// New makes an engine that knows nothing yet. The error is the detector's.
func New(o Options) (*Engine, error) {
	eng := &Engine{
		Counts:  &Counts{},
		table:   process.NewTable(process.TableOptions{HostID: o.Host.ID, BootID: o.Host.BootID}),
		machine: o.Machine,
		publish: o.Publish,
		running: o.Running,
		passed:  o.Passed,
		logger:  o.Logger,
		origins: map[string]*document.Source{},
	}
	o.Detector.Decide, o.Detector.Value = eng.decide, eng.value
	var err error
	if eng.detector, err = detector.New(o.Detector); err != nil {
		return nil, fmt.Errorf("making the detector: %w", err)
	}
	eng.documents = document.Maker{
		Config: o.Config, Host: o.Host, Table: eng.table, Detector: eng.detector, Misfits: &eng.Counts.Misfits,
		Logger: o.Logger, AccountsUnread: &eng.Counts.AccountsUnread,
	}
	if o.Machine != nil {
		eng.documents.Machine = o.Machine
		o.Machine.Watch(eng.detector.Programs())
	}
	if o.Controls != nil {
		eng.SetControls(o.Controls)
	}
	eng.setPrograms()
	return eng, nil
}

// setPrograms makes what a source need not leave out readable for every goroutine.
func (eng *Engine) setPrograms() {
	var wanted []string
	if eng.documents.Config.Events != config.EventsAll {
		wanted = eng.detector.Programs()
	}
	eng.programs.Store(&wanted)
}

// Programs returns the names of the programs that execs must be of to be of interest; none: every exec is. It may be
// called from every goroutine.
func (eng *Engine) Programs() []string { return *eng.programs.Load() }

// DetectorOptions are what a configuration says of the detector of a host. rules is the folder of the user's own rules.
func DetectorOptions(cfg config.Config, rules string, h host.Description) (detector.Options, error) {
	options, err := cfg.Detector.Options(rules, time.Local)
	options.HostID = h.ID
	return options, err
}

// Config returns the settings in force.
func (eng *Engine) Config() config.Config { return eng.documents.Config }

// Rules returns the enabled rules.
func (eng *Engine) Rules() []*detector.Rule { return eng.detector.Rules() }

// Remember puts the processes that are alive into the table, as snapshot finds them.
func (eng *Engine) Remember(snapshot func(*process.Table) error) error { return snapshot(eng.table) }

// Configure changes the settings between two events. What was learned, the open episodes and the table stay.
func (eng *Engine) Configure(cfg config.Config, o detector.Options) error {
	eng.Settle()
	programs := eng.detector.Programs()
	o.Decide, o.Value = eng.decide, eng.value
	if err := eng.detector.Configure(o); err != nil {
		return fmt.Errorf("changing the detector's settings: %w", err)
	}
	if eng.machine != nil && !slices.Equal(programs, eng.detector.Programs()) {
		eng.machine.Watch(eng.detector.Programs())
	}
	eng.documents.Config = cfg
	eng.setPrograms()
	return nil
}

// Snapshot returns what has been learned, and what is open, for Restore.
func (eng *Engine) Snapshot() ([]byte, error) {
	eng.Settle() // what waits lies behind the cursors
	return eng.detector.Snapshot()
}

// Restore replaces what has been learned by a snapshot, of this host or of another. The time since then was not
// watched.
func (eng *Engine) Restore(model []byte) error {
	if err := eng.restore(model); err != nil {
		return err
	}
	eng.Skip()
	return nil
}

func (eng *Engine) restore(model []byte) error {
	if err := eng.detector.Restore(model); err != nil {
		return err
	}
	clear(eng.origins)
	return nil
}

// behind is how far time must have been behind the clock to mean that the past was being read.
const behind = time.Hour

// Resume is Restore for what this Beat has saved itself, at a time. Where it was reading the past, it goes on there,
// and no time was missed.
func (eng *Engine) Resume(model []byte, saved time.Time) error {
	if err := eng.restore(model); err != nil {
		return err
	}
	if saved.Sub(eng.detector.Clock()) < behind {
		eng.Skip()
	}
	return nil
}

// Skip says that nothing was watched from the last event on until the next: the host slept, or its clock was set.
func (eng *Engine) Skip() { eng.detector.Stop() }

// Forget makes an account, by id or name, unknown again. It returns how many models knew it.
func (eng *Engine) Forget(account string) int { return eng.detector.Forget(account) }

// Said takes in what a person has said of an alert, and publishes that. It returns the same in words.
func (eng *Engine) Said(fb detector.Feedback) string {
	eng.Settle()
	f := eng.detector.Said(fb)
	eng.conclude(&f, nil)
	return f.Reason()
}

// Verdicts are what people have said of alerts and what still holds, the latest last.
func (eng *Engine) Verdicts() []detector.Feedback { return eng.detector.Verdicts() }

// Reset forgets everything that was learned.
func (eng *Engine) Reset() {
	eng.detector.Reset()
	clear(eng.origins)
}

// Take brings one event through, and reports whether a rule matched it. e is the engine's until Take returns.
func (eng *Engine) Take(e *process.Event, from *document.Source) bool {
	if e.Kind == process.Exec && !e.Earlier {
		eng.reach(e.Time, from)
	}
	fresh := eng.table.Observe(e)
	if e.Earlier {
		return false
	}
	if eng.waiting.n > 0 {
		eng.release(e)
	}
	eng.detector.Watch(e)
	switch e.Kind {
	case process.Tamper:
		eng.tampered(e, from)
	case process.Logout:
		eng.followUps.end(func(u *document.FollowUp) bool { return u.EndsWith(e) }, e.Time, eng.followUp)
		eng.advanced(eng.detector.Ended(e, eng.findings[:0]))
	}
	if e.Kind != process.Exec {
		return false
	}
	eng.Counts.Execs.Add(1)
	rules := eng.detector.Match(e)
	if fresh || rules != 0 {
		eng.advanced(eng.detector.Due(e, eng.findings[:0]))
		eng.detector.Ran(e, rules, eng.table.CompleteSession)
	}
	if rules == 0 && eng.documents.Config.Events != config.EventsAll {
		return false
	}
	switch {
	case from.Local && eng.machine != nil && e.Host == (process.Host{}):
		eng.machine.Complete(e, eng.table)
		if rules != 0 {
			eng.machine.Inspect(e, eng.table)
			eng.machine.Examine(e)
		}
	case !eng.table.Complete(e) && rules != 0 && e.Parent.Known() && from.Rereadable, eng.waiting.n > 0:
		eng.wait(e, from, rules)
		return rules != 0
	}
	eng.report(e, from, rules)
	return rules != 0
}

// reach lets time go on to an exec of a source that is read, whose days may go by within a second: so they are judged
// alike, live and in a replay. What the kernel reports comes with the clock, which the Beat's calls of Advance follow.
func (eng *Engine) reach(t time.Time, from *document.Source) {
	if !from.Rereadable {
		return
	}
	if eng.passed != nil {
		t = eng.passed(t, from)
	}
	eng.Advance(t)
}

// report judges an exec that is complete, and publishes what comes of it.
func (eng *Engine) report(e *process.Event, from *document.Source, rules detector.RuleSet) {
	exec := eng.documents.Exec(e, from)
	if rules != 0 && eng.expected(e) {
		eng.tried(&exec, e, from, rules)
		return
	}
	if !exec.Process() {
		eng.Counts.Dropped.Add(1)
		return
	}
	eng.current = &exec
	eng.findings = eng.detector.Judge(e, rules, eng.findings[:0])
	eng.current = nil
	if rules != 0 {
		eng.Counts.Matched.Add(1)
	}
	events := eng.documents.Config.Events
	raw := events == config.EventsAll
	for i := range eng.findings {
		f := &eng.findings[i]
		eng.Counts.add(f)
		raw = raw || events == config.EventsMatched && f.OfExec()
		if f.Kind == detector.Alert || f.Kind == detector.Correlated {
			alert := exec.Alert(f)
			if f.Kind == detector.Alert && !f.Escalated {
				eng.followUps.add(exec.FollowUp(alert), eng.followUp)
			}
			eng.publish(alert)
		}
		switch {
		case f.Kind == detector.Correlated:
		case !f.OfExec():
			eng.conclude(f, from)
		case f.Episode.ID != "":
			eng.origins[f.Episode.ID] = from
		}
	}
	if raw {
		eng.publish(exec.Raw(rules != 0, eng.findings))
	}
}

// conclude publishes a finding about more than one exec: the summary of an episode, a habit, what was learned. from is
// the module that occasioned it, nil where time did.
func (eng *Engine) conclude(f *detector.Finding, from *document.Source) {
	if f.Kind == detector.Summary {
		from = eng.origin(f.Episode.ID)
		delete(eng.origins, f.Episode.ID)
	}
	if f.Kind == detector.Limited {
		eng.logger.Warnf("detector.limit.alerts: %s", f.Reason())
	}
	if from == nil {
		from = eng.origin("")
	}
	if doc := eng.documents.Conclusion(f, from); doc != nil {
		eng.publish(doc)
	}
}

// origin is the module that an open episode came from, as it is configured now. Of an episode that an earlier run
// opened that is not known; where one module runs, it is that one.
func (eng *Engine) origin(episode string) *document.Source {
	from := eng.origins[episode]
	if eng.running == nil {
		return cmp.Or(from, &document.Source{})
	}
	running := eng.running()
	for _, r := range running {
		if from != nil && r.ID == from.ID || from == nil && len(running) == 1 {
			return r
		}
	}
	return cmp.Or(from, &document.Source{})
}

// LogAction is the key under which a line of the log names the event.action of the document that says the same.
const LogAction = "event.action"

// tampered publishes and logs that somebody changed what the source reports, or that it is as before.
func (eng *Engine) tampered(e *process.Event, from *document.Source) {
	restored := e.Change.Action == process.RestoredAudit
	if !restored {
		eng.Counts.Tampered.Add(1)
	}
	if from.Local && eng.machine != nil && e.PID != 0 && e.Host == (process.Host{}) {
		eng.machine.Complete(e, eng.table)
	} else if e.PID != 0 {
		eng.table.Complete(e)
	}
	if eng.machine != nil && e.Container.ID == "" && e.Host == (process.Host{}) {
		eng.machine.Name(&e.User, &e.Session.User)
	}
	doc, text := eng.documents.Tampering(e, from)
	logger := eng.logger.With(LogAction, e.Change.Action)
	if restored {
		logger.Infof("module %s: %s.", from.ID, text)
	} else {
		logger.Warnf("module %s: %s.", from.ID, text)
	}
	if doc == nil {
		eng.Counts.Dropped.Add(1)
		return
	}
	eng.publish(doc)
}

// followUp publishes what ran after an alert until a time.
func (eng *Engine) followUp(u *document.FollowUp, until time.Time) {
	if doc := u.Document(until); doc != nil {
		eng.publish(doc)
	}
}

// Retire publishes what waits for time to come and is a module's, whose processors end with it.
func (eng *Engine) Retire(from *document.Source, now time.Time) {
	eng.Settle()
	eng.followUps.end(func(u *document.FollowUp) bool { return u.From() == from }, now, eng.followUp)
}

// Stop publishes what waits for time to come: no more will come after now.
func (eng *Engine) Stop(now time.Time) {
	eng.Settle()
	eng.followUps.all(now, eng.followUp)
}

// Advance says that nothing before t will come any more: what time closes is closed. Zero says nothing.
func (eng *Engine) Advance(t time.Time) {
	if t.IsZero() {
		return
	}
	if eng.waiting.n > 0 {
		if first := eng.waiting.first().Time; first.Before(t) {
			t = first
		}
	}
	eng.followUps.due(t, eng.followUp)
	eng.advanced(eng.detector.Advance(t, eng.findings[:0]))
}

// advanced publishes what time has brought about.
func (eng *Engine) advanced(findings []detector.Finding) {
	eng.findings = findings
	for i := range eng.findings {
		f := &eng.findings[i]
		eng.Counts.add(f)
		if f.Exec == nil {
			eng.conclude(f, nil)
			continue
		}
		eng.reconsidered(f)
	}
}

// reconsidered publishes an alert on an exec that was reported before: what came after it has made it one.
func (eng *Engine) reconsidered(f *detector.Finding) {
	from := eng.origin(f.Episode.ID)
	exec := eng.documents.Exec(f.Exec, from)
	if !exec.Process() {
		eng.Counts.Dropped.Add(1)
		return
	}
	alert := exec.Alert(f)
	after := exec.FollowUp(alert)
	if f.Episode.ID != "" {
		eng.origins[f.Episode.ID] = from
	}
	eng.publish(alert)
	if f.Kind == detector.Alert && !f.Escalated {
		eng.followUp(after, f.After)
	}
}

// Extents are how much is known for the sake of each rule.
func (eng *Engine) Extents() []detector.Extent { return eng.detector.Extents() }

// Tally makes what the engine's parts have counted until now readable in Counts.
func (eng *Engine) Tally(now time.Time) {
	known := Known{Age: eng.detector.Age(now), Actors: eng.detector.Actors()}
	for _, r := range eng.detector.Rules() {
		known.Rules = append(known.Rules, r.ID)
	}
	eng.Counts.Model.Store(&known)
	eng.Counts.Unnamed.Store(eng.detector.Unnamed())
	eng.Counts.Late.Store(eng.detector.Late())
	eng.Counts.Evicted.Store(eng.detector.Evicted())
	processes := eng.table.Stats()
	eng.Counts.Processes.Store(&processes)
}
