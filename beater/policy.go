// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/management/status"
	"github.com/elastic/beats/v7/libbeat/outputs/elasticsearch"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/health"
	cluster "github.com/reconbeat/reconbeat/module/elasticsearch"
)

// policy makes what an Elastic Agent wants run, in place of reconbeat.modules and modules.d. Each stream of the Agent's
// policy is a module, and brings the settings of the whole Beat. Everything is checked before anything is touched: a
// policy with a mistake leaves the last good one running, and its units fail with what is wrong. A module whose own
// settings did not change runs on, whatever else did.
type policy struct {
	modules   *moduleConfig
	detector  func(config.Config) (detector.Options, error) // what a detector of these settings is made of
	controls  *controls
	kibana    *kibana
	loop      *loop
	runners   *runners
	reporters *reporters

	mu       sync.Mutex // one policy at a time
	stopped  bool
	whole    config.Config // what the policy that runs says of the whole Beat
	applied  atomic.Bool   // some policy was good
	rejected string        // what was wrong with the last one, reported already
	unknown  string        // what is left aside of the one that runs
}

// wanted is a policy that was found good.
type wanted struct {
	whole     config.Config
	detector  detector.Options
	controls  *control.Set
	triage    *cluster.Triage // nil: none is configured
	modules   []*reload.ConfigWithMeta
	reporters []reporter
	unknown   []string // settings that nobody knows
}

// policySubject is the subject of the health condition of a rejected policy.
const policySubject = "policy"

// register offers the modules, and what can be diagnosed, to the Agent.
func (p *policy) register(b *beat.Beat) error {
	p.loop.health.Listen(func(health.State, health.Change) { p.reporters.report() })
	b.Manager.RegisterDiagnosticHook("reconbeat-health", "what is wrong with reconbeat, and what can be done about it",
		"reconbeat-health.json", "application/json", p.describeHealth)
	b.Manager.RegisterDiagnosticHook(
		"reconbeat-detector",
		"the rules in force, and the settings that every stream shares",
		"reconbeat-detector.json",
		"application/json",
		p.describeDetector,
	)
	b.Manager.RegisterDiagnosticHook("reconbeat-model", "how much is known, and when alerts begin; it names nobody",
		"reconbeat-model.json", "application/json", p.describeModel)
	if err := b.Registry.RegisterList(reload.InputRegName, p); err != nil {
		return fmt.Errorf("offering the modules to the Elastic Agent: %w", err)
	}
	return nil
}

// labelled is libbeat's pipeline with fields that every document gets: whose Agent runs this.
type labelled struct {
	beat.Pipeline
	fields mapstr.M
}

// ConnectWith connects a client whose documents have the fields.
func (l *labelled) ConnectWith(c beat.ClientConfig) (beat.Client, error) {
	c.Processing.Fields = l.fields.Clone()
	return l.Pipeline.ConnectWith(c)
}

// Close closes the pipeline.
func (l *labelled) Close() error {
	if c, ok := l.Pipeline.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// ownOutput gives an Elasticsearch output of the Agent's what reconbeat.yml gives its own. It hands on every event at
// once: the presets that Fleet sets gather events for up to 20 s, far too late for an alert; everything else of a
// preset stays. And it keeps what Elasticsearch refuses to index. A policy that says something of either is obeyed.
func ownOutput(output *reload.ConfigWithMeta) error {
	es, err := output.Config.Child("elasticsearch", -1)
	if err != nil {
		return nil // another output; none of them has presets or refuses a document
	}
	own := map[string]any{}
	if !es.HasField("non_indexable_policy") {
		names := config.Default()
		own["non_indexable_policy.dead_letter_index.index"] = dataset.Rejected.Stream(names.Dataset, names.Namespace)
	}
	if preset, err := es.String("preset", -1); err == nil && preset != "" && preset != "custom" {
		if _, _, err := elasticsearch.ApplyPreset(preset, es); err != nil {
			return fmt.Errorf("output.elasticsearch.preset: %w", err)
		}
		if _, err := es.Remove("preset", -1); err != nil {
			return fmt.Errorf("output.elasticsearch.preset: %w", err)
		}
		own["queue.mem.flush"] = map[string]any{"min_events": 1, "timeout": 0}
	}
	if err := es.Merge(own); err != nil {
		return fmt.Errorf("output.elasticsearch: %w", err)
	}
	return nil
}

// Reload implements reload.ReloadableList. An error says for each unit what is wrong with it, in the shape that
// libbeat's management understands.
func (p *policy) Reload(streams []*reload.ConfigWithMeta) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	want, wrong := p.check(streams)
	if len(wrong) > 0 {
		return p.reject(streams, wrong)
	}
	err := p.controls.configure(want.whole, func() error {
		return p.loop.configure(want.whole, want.detector, want.controls)
	})
	if err != nil {
		return p.reject(streams, mistakes{"": {err}})
	}
	p.whole = want.whole
	p.kibana.use(want.triage)
	p.reporters.replace(want.reporters)
	if err := p.runners.list.Reload(want.modules); err != nil {
		return errors.Join(err, again())
	}
	p.applied.Store(true)
	p.rejected = ""
	p.loop.health.End(health.ConfigRejected, policySubject)
	p.leaveAside(want.unknown)
	p.reporters.report()
	p.loop.logger.Info(greeting(p.loop.running, p.loop.engine.Counts.Model.Load(), p.whole.Detector, 0))
	return nil
}

// leaveAside reports settings that nobody knows. The policy holds all the same: its inputs are open to whatever an
// Agent or Fleet adds, and what the next version of those adds must not end detection. A typo shows as a unit that is
// degraded.
func (p *policy) leaveAside(names []string) {
	slices.Sort(names)
	text := strings.Join(slices.Compact(names), ", ")
	if text == p.unknown {
		return
	}
	p.unknown = text
	p.loop.health.End(health.SettingUnknown, policySubject)
	if text != "" {
		known := append(slices.Clone(config.WholeBeat), "processors")
		p.loop.health.Set(
			health.SettingUnknown,
			policySubject,
			fmt.Sprintf("%s; an input may have %s", text, strings.Join(known, ", ")),
			time.Now(),
		)
	}
}

// stop makes sure that no policy is applied any more.
func (p *policy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// mistakes are what is wrong with a policy, by unit; what no single unit is to blame for, under "".
type mistakes map[string][]error

// add takes a mistake once: what the input says is in every stream.
func (m mistakes) add(unit string, errs ...error) {
	for _, err := range errs {
		if err != nil && !slices.ContainsFunc(m[unit], func(o error) bool { return o.Error() == err.Error() }) {
			m[unit] = append(m[unit], err)
		}
	}
}

// check looks at all streams, alone and against each other, and touches nothing.
func (p *policy) check(streams []*reload.ConfigWithMeta) (want wanted, wrong mistakes) {
	wrong = mistakes{}
	want.whole = p.whole
	var modules []*conf.C
	var first string // the stream that the others are held against
	for _, s := range streams {
		parsed, err := config.ParseStream(s.Config)
		wrong.add(s.InputUnitID, err)
		if parsed.Module == nil || !parsed.Module.Enabled() {
			continue
		}
		want.unknown = append(want.unknown, parsed.Unknown...)
		m, cfg, errModule := p.module(parsed.Module)
		wrong.add(s.InputUnitID, errModule)
		if err != nil || errModule != nil {
			continue
		}
		if first == "" {
			first, want.whole = cfg.ID, parsed.Whole
		}
		wrong.add("", disagreement(first, want.whole, cfg.ID, parsed.Whole)...)
		modules = append(modules, m)
		want.modules = append(want.modules, &reload.ConfigWithMeta{Config: m, InputUnitID: s.InputUnitID})
		if s.StatusReporter != nil {
			want.reporters = append(want.reporters, reporter{id: cfg.ID, to: s.StatusReporter})
		}
	}
	wrong.add("", together(modules)...)
	options, err := p.detector(want.whole)
	if err == nil {
		_, err = detector.New(options)
	}
	wrong.add("", err)
	want.detector = options
	want.controls, err = p.controls.load(want.whole)
	wrong.add("", err)
	want.triage, err = triage(want.whole, p.loop.logger)
	wrong.add("", err)
	return want, wrong
}

// module checks the part of a stream that is a module's.
func (p *policy) module(c *conf.C) (*conf.C, config.Module, error) {
	c, err := resolved(c)
	if err != nil {
		return nil, config.Module{}, err
	}
	cfg, err := config.ParseModule(c)
	if err != nil {
		return nil, cfg, err
	}
	return c, cfg, settings.At("module "+cfg.ID+": ", errors.Join(p.modules.check(c), misspelt(c)))
}

// disagreement says about which settings of the whole Beat two streams disagree.
func disagreement(a string, of config.Config, b string, other config.Config) []error {
	differences, err := config.Differences(of, other)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for _, d := range differences {
		errs = append(
			errs,
			fmt.Errorf(
				"%s: stream %q says %s and stream %q says %s; it is a setting of the whole Beat, so all streams must say the same",
				d.Key,
				a,
				said(d.Value),
				b,
				said(d.Other),
			),
		)
	}
	return errs
}

func said(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// reject says why a policy is not applied: to its units, the log and the board.
func (p *policy) reject(streams []*reload.ConfigWithMeta, wrong mistakes) error {
	verdict := "the policy is not applied, and nothing is watched"
	if p.applied.Load() {
		verdict = "the policy is not applied, the last good one runs on"
	}
	var units []string
	var all []error
	for _, s := range streams {
		if !slices.Contains(units, s.InputUnitID) {
			units = append(units, s.InputUnitID)
			all = append(all, wrong[s.InputUnitID]...)
		}
	}
	all = append(all, wrong[""]...)
	errs := []error{again()}
	for _, unit := range units {
		about := slices.Concat(wrong[unit], wrong[""])
		if len(about) == 0 {
			about = all // another unit's mistake
		}
		errs = append(errs, cfgfile.UnitError{UnitID: unit, Err: fmt.Errorf("%s: %w", verdict, errors.Join(about...))})
	}
	if text := errors.Join(all...).Error(); text != p.rejected {
		p.rejected = text
		p.loop.health.End(health.ConfigRejected, policySubject)
		p.loop.health.Set(health.ConfigRejected, policySubject, text, time.Now())
	}
	return errors.Join(errs...)
}

// again is the error by which libbeat's management tries a policy again after 10 s. What was wrong may lie on the host
// and be mended there: no module works yet, a file in rules.d. Without it, the board would not hear that the Agent went
// back to the last good policy, which libbeat does not apply a second time.
func again() error {
	return fmt.Errorf(
		"the policy is tried again: %w",
		&common.ErrInputNotFinished{State: "rejected", File: policySubject},
	)
}

// reporter reports one stream to the Agent.
type reporter struct {
	id     string // of the stream, which is the module's
	to     status.StatusReporter
	status status.Status // the last one reported
	reason string
}

// reporters report to the Agent how each stream is: by the conditions on the board that are about its module, or about
// no module.
type reporters struct {
	board   *health.Board
	mu      sync.Mutex
	streams []reporter
}

// replace takes the streams of a new policy.
func (r *reporters) replace(streams []reporter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams = streams
}

// report reports what has changed.
func (r *reporters) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	active := r.board.Active()
	for i := range r.streams {
		s := &r.streams[i]
		now, reason := r.statusOf(s.id, active)
		if now == s.status && reason == s.reason {
			continue
		}
		if now == s.status && now != status.Running {
			s.to.UpdateStatus(status.Running, "") // libbeat's management passes over another reason for the same status
		}
		s.to.UpdateStatus(now, reason)
		s.status, s.reason = now, reason
	}
}

func (r *reporters) statusOf(id string, active []health.State) (status.Status, string) {
	now := status.Running
	var reasons []string
	for _, a := range active {
		if a.Subject != id && slices.ContainsFunc(r.streams, func(o reporter) bool { return o.id == a.Subject }) {
			continue // another stream's
		}
		if a.Condition.Severity == health.Failed {
			now = status.Failed
		} else if now != status.Failed {
			now = status.Degraded
		}
		reason := a.String() + ": " + a.Condition.Title
		if a.Detail != "" {
			reason += ": " + a.Detail
		}
		reasons = append(reasons, reason)
	}
	return now, strings.Join(reasons, "; ")
}

// describeHealth is the board, for the Agent's diagnostics.
func (p *policy) describeHealth() []byte {
	type condition struct {
		Code     string    `json:"code"`
		Severity string    `json:"severity"`
		Title    string    `json:"title"`
		Subject  string    `json:"subject,omitempty"`
		Detail   string    `json:"detail,omitempty"`
		Help     string    `json:"help"`
		Since    time.Time `json:"since"`
		Count    int       `json:"count"`
	}
	conditions := []condition{}
	for _, s := range p.loop.health.Active() {
		c := s.Condition
		conditions = append(conditions,
			condition{c.Code, c.Severity.String(), c.Title, s.Subject, s.Detail, c.Help, s.Since, s.Count})
	}
	return indented(map[string]any{"conditions": conditions})
}

// describeDetector is what the detector goes by, for the Agent's diagnostics. Nobody's name or command line is in it.
func (p *policy) describeDetector() []byte {
	about := map[string]any{}
	err := p.loop.call(func() {
		type rule struct {
			ID        string  `json:"id"`
			Threshold float64 `json:"threshold"`
		}
		rules := []rule{}
		for _, d := range p.loop.engine.Rules() {
			rules = append(rules, rule{ID: d.ID, Threshold: d.Threshold})
		}
		cfg := p.loop.engine.Config()
		about["model"], about["events"], about["namespace"] = cfg.Detector.Model, cfg.Events, cfg.Namespace
		about["rules"] = rules
	})
	if err != nil {
		return []byte(err.Error())
	}
	return indented(about)
}

// describeModel is how much has been learned, for the Agent's diagnostics. Nobody's name is in it.
func (p *policy) describeModel() []byte {
	about := map[string]any{}
	err := p.loop.call(func() {
		eng, now := p.loop.engine, time.Now()
		eng.Tally(now)
		cfg, known := eng.Config().Detector, eng.Counts.Model.Load()
		about["model"], about["rules"] = cfg.Model, eng.Extents()
		about["summary"] = knowledge(known, cfg)
		about["learned_for"], about["learn_for"] = known.Age.Round(time.Second).String(), cfg.LearnFor.String()
		about["late"], about["evicted"], about["unnamed"] = eng.Counts.Late.Load(), eng.Counts.Evicted.Load(),
			eng.Counts.Unnamed.Load()
	})
	if err != nil {
		return []byte(err.Error())
	}
	return indented(about)
}

func indented(v any) []byte {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return []byte(err.Error())
	}
	return append(text, '\n')
}
