// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"slices"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/process"
)

// stream is the one way of every event, in order, on one goroutine: table, match, completion, judgement, documents. A live Beat and a
// replay run the same stream; they differ in what it may ask of the host (local) and in where the documents go (publish).
type stream struct {
	host     hostFields
	table    *process.Table
	detector *detector.Detector
	local    *local // what the running host can be asked; nil in a replay
	config   config.Config
	publish  func(*document)
	counts   *counts
	logger   *logp.Logger

	modules *moduleSet         // those that run; nil in a replay
	origins map[string]*source // of open episodes, by their ids

	findings []detector.Finding // reused
	waiting  waiting
}

// configure changes the settings between two events. What was learned, the open episodes and the table stay.
func (s *stream) configure(cfg config.Config, o detector.Options) error {
	s.settle()
	programs := s.detector.Programs()
	if err := s.detector.Configure(o); err != nil {
		return fmt.Errorf("changing the detector's settings: %w", err)
	}
	if s.local != nil && !slices.Equal(programs, s.detector.Programs()) {
		s.local.watch(s.detector.Programs())
	}
	s.config = cfg
	return nil
}

// take brings one event through, and reports whether a rule is about it. e is the stream's until take returns.
func (s *stream) take(e *process.Event, from *source) bool {
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
	s.counts.execs.Add(1)
	rules := s.detector.Match(e)
	if rules == 0 && s.config.Events != config.EventsAll {
		return false
	}
	switch {
	case from.local && s.local != nil:
		s.local.complete(e, s.table)
	case !s.table.Complete(e) && rules != 0 && e.Parent.Known() && from.rereadable, s.waiting.n > 0:
		s.wait(e, from, rules)
		return rules != 0
	}
	s.report(e, from, rules)
	return rules != 0
}

// report judges an exec that is complete, and publishes what is to be said of it. The document is made only where
// somebody will see it: a processor of the module, or the output.
func (s *stream) report(e *process.Event, from *source, rules detector.RuleSet) {
	var doc *beat.Event
	if from.hasProcessors() {
		var ok bool
		if doc, ok = s.processed(s.document(e, from), from); !ok {
			s.counts.dropped.Add(1)
			return
		}
		readBack(doc, e)
	}
	s.findings = s.detector.Judge(e, rules, nil, s.findings[:0])
	if rules != 0 {
		s.counts.matched.Add(1)
	}
	raw := s.config.Events == config.EventsAll
	for i := range s.findings {
		f := &s.findings[i]
		s.count(f)
		raw = raw || s.config.Events == config.EventsMatched && f.OfExec()
		if !f.OfExec() {
			s.conclude(f, from)
			continue
		}
		if f.Episode.ID != "" {
			s.origins[f.Episode.ID] = from
		}
		if f.Kind != detector.Alert {
			continue
		}
		if doc == nil {
			doc, _ = s.processed(s.document(e, from), from)
		}
		s.publish(s.alert(doc, e, from, f))
	}
	if !raw {
		return
	}
	if doc == nil {
		doc, _ = s.processed(s.document(e, from), from)
	}
	s.publish(s.raw(doc, e, from, s.findings))
}

// conclude publishes what there is to be said of more than one exec: the summary of an episode, a habit, what was learned. from is the module that occasioned it, nil where time did.
func (s *stream) conclude(f *detector.Finding, from *source) {
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

// processed is a document with what the module's configuration does to it. false: a processor dropped it.
func (s *stream) processed(doc *beat.Event, from *source) (*beat.Event, bool) {
	doc, err := from.process(doc)
	if err != nil {
		s.trouble(from, err)
	}
	return doc, doc != nil
}

// trouble counts that a module's configuration does not fit a document, and tells it now and then.
func (s *stream) trouble(from *source, err error) {
	if n := s.counts.processorErrors.Add(1); seldom(n) {
		s.logger.Warnf("module %s: %v (%s so far, shipped all the same)", from.ID, err, plural(n, "document"))
	}
}

// advance tells the detector that nothing before t will come any more.
func (s *stream) advance(t time.Time) {
	if s.waiting.n > 0 {
		if first := s.waiting.first().Time; first.Before(t) {
			t = first
		}
	}
	s.findings = s.detector.Advance(t, s.findings[:0])
	for i := range s.findings {
		s.count(&s.findings[i])
		s.conclude(&s.findings[i], nil)
	}
}

// tell publishes what the parts of the stream have counted until now.
func (s *stream) tell(now time.Time) {
	learned := learnedSoFar{age: s.detector.Age(now), actors: s.detector.Actors()}
	for _, r := range s.detector.Rules() {
		learned.rules = append(learned.rules, r.ID)
	}
	s.counts.model.Store(&learned)
	s.counts.unnamed.Store(s.detector.Unnamed())
	s.counts.late.Store(s.detector.Late())
	s.counts.evicted.Store(s.detector.Evicted())
	processes := s.table.Stats()
	s.counts.processes.Store(&processes)
	if s.local != nil {
		executables := s.local.identified()
		s.counts.executables.Store(&executables)
	}
}

func (s *stream) count(f *detector.Finding) {
	switch f.Kind {
	case detector.Alert:
		s.counts.alerts.Add(1)
	case detector.Suppressed:
		s.counts.suppressed.Add(1)
	case detector.Repeat:
		s.counts.repeats.Add(1)
	case detector.Summary:
		s.counts.summaries.Add(1)
	}
}
