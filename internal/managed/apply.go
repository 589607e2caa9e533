// SPDX-License-Identifier: Apache-2.0

package managed

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/features"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/secret"
)

// againAfter is when a policy is tried again that may be good by then: what was wrong may be mended on the host.
const againAfter = 10 * time.Second

// applied is what is in force: what the goroutine that applies has done so far.
type applied struct {
	output  mapstr.M // nil: none so far; libbeat takes no other one, even where it has refused this
	ships   bool     // libbeat has taken it
	inputs  []mapstr.M
	good    bool                 // those inputs were taken; else they are handed over again, whatever is expected
	once    bool                 // some inputs were taken
	streams map[string][]*stream // of the inputs that run, by unit

	wrongOutput, wrong string // with the output and the inputs, as it has been logged

	level      wire.Level
	processors uint64

	// For the diagnostics, without secrets.
	renderedOutput any
	renderedInputs []any
}

// policy is what is to be applied: the units, in the order of the Agent, as they are expected now.
type policy struct {
	outputs, inputs []planned
	features        numbered[*wire.Features]
	component       numbered[*wire.Component]
}

// planned is a unit as it is expected when a policy is begun. The unit itself may be expected otherwise before the end.
type planned struct {
	unit    *unit
	config  *wire.Configuration
	stopped bool
	level   wire.Level
}

// run applies what is expected, one policy after the other, until the Beat ends.
func (b *Beat) run() {
	again := time.NewTimer(0)
	again.Stop()
	for {
		select {
		case <-b.done:
			return
		case <-b.wanted:
		case <-again.C:
		}
		if b.apply() {
			again.Reset(againAfter)
		} else {
			again.Stop()
		}
	}
}

// apply makes what is expected true, and reports whether it must be tried again.
func (b *Beat) apply() (again bool) {
	p, ok := b.begin()
	if !ok {
		return false
	}
	b.switchFeatures(p)
	b.limit(p)
	b.log(p)
	good, goesOn := b.applyOutput(p)
	if !goesOn {
		return false
	}
	return b.applyInputs(p) || !good
}

// begin takes what is expected, and says that it is being applied.
func (b *Beat) begin() (p policy, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ending {
		return p, false
	}
	p.features, p.component = b.features, b.component
	for _, u := range b.units {
		stopped := u.want == wire.State_STATE_STOPPED
		if u.config == nil && !stopped {
			continue // the Agent is asked for it
		}
		if u.seen != u.index || stopped != (u.changing && u.phase == wire.State_STATE_STOPPED) {
			u.begin()
		}
		one := planned{unit: u, config: u.config, stopped: stopped, level: u.level}
		if u.kind == wire.Kind_KIND_OUTPUT {
			p.outputs = append(p.outputs, one)
		} else {
			p.inputs = append(p.inputs, one)
		}
	}
	b.changed()
	return p, true
}

// settle says that a unit's part of the policy has been applied, or what is wrong with it.
func (b *Beat) settle(one planned, wrong string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one.unit.settle(one.stopped, wrong)
	b.changed()
}

// switchFeatures sets what holds for whatever the Agent runs.
func (b *Beat) switchFeatures(p policy) {
	if p.features.index == p.features.observed {
		return
	}
	c, err := conf.NewConfigFrom(map[string]any{
		"features": map[string]any{"fqdn": map[string]any{"enabled": p.features.value.GetFullName().GetEnabled()}},
	})
	if err == nil {
		err = features.UpdateFromConfig(c)
	}
	if err != nil {
		b.logger.Errorf("setting the features that the Elastic Agent wants: %v", err)
		return // its number is not observed, so the Agent sends it again
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.features.observed = p.features.index
}

// limit sets what the whole program may use.
func (b *Beat) limit(p policy) {
	if n := p.component.value.GetLimits().GetProcessors(); n != b.applied.processors {
		if n == 0 {
			runtime.SetDefaultGOMAXPROCS()
		} else {
			runtime.GOMAXPROCS(int(min(n, 1<<16)))
		}
		b.applied.processors = n
		b.logger.Infof("the Elastic Agent limits the processors to %d (0: all)", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.component.observed = p.component.index
}

// levels are zap's for the Agent's.
var levels = map[wire.Level]zapcore.Level{
	wire.Level_LEVEL_ERROR: zapcore.ErrorLevel,
	wire.Level_LEVEL_WARN:  zapcore.WarnLevel,
	wire.Level_LEVEL_INFO:  zapcore.InfoLevel,
	wire.Level_LEVEL_DEBUG: zapcore.DebugLevel,
	wire.Level_LEVEL_TRACE: zapcore.DebugLevel,
}

// log logs as much as the unit wants that wants most. The level is the process's.
func (b *Beat) log(p policy) {
	most := wire.Level_LEVEL_ERROR
	units := slices.Concat(p.outputs, p.inputs)
	for _, one := range units {
		most = max(most, one.level)
	}
	if level, known := levels[most]; known && len(units) > 0 && most != b.applied.level {
		logp.SetLevel(level)
		b.applied.level = most
	}
}

// ofTheAgent are what the Agent puts into an output, or changes with each revision; no output of libbeat has them.
var ofTheAgent = []string{"type", "id", "name", "original_id", "revision", "policy", "meta", "log_level"}

// applyOutput has documents go where the policy says. It reports whether they do, and whether the Beat goes on.
func (b *Beat) applyOutput(p policy) (good, goesOn bool) {
	var output *planned
	for i, one := range p.outputs {
		if !one.stopped {
			output = &p.outputs[i]
		}
	}
	if output == nil {
		for _, one := range p.outputs {
			b.settle(one, "")
		}
		if len(p.outputs) > 0 || b.applied.output != nil {
			b.end("the policy has no output any more; reconbeat ends, and keeps what it has not shipped")
			return true, false
		}
		return true, true
	}
	want := mapstr.M{output.config.GetType(): outputOf(output.config)}
	same := reflect.DeepEqual(want, b.applied.output)
	if same && b.applied.ships {
		b.settle(*output, "")
		return true, true
	}
	if b.applied.output != nil && !same && b.settings.RestartOnOutputChange {
		b.end("the policy has another output; reconbeat ends for the Elastic Agent to start it again, and ships to it what " +
			"it has not shipped")
		return true, false
	}
	c, err := b.reloadOutput(want)
	b.applied.output, b.applied.ships = want, err == nil
	if err != nil {
		if text := err.Error(); text != b.applied.wrongOutput {
			b.logger.Error(text)
			b.applied.wrongOutput = text
		}
		b.settle(*output, err.Error())
		return false, true // what is watched waits in the journal
	}
	b.applied.wrongOutput = ""
	b.applied.renderedOutput = masked(c)
	b.render()
	b.settle(*output, "")
	return true, true
}

// outputOf is what libbeat's output of the type reads.
func outputOf(config *wire.Configuration) mapstr.M {
	settings := nested(config.GetSource())
	for _, name := range ofTheAgent {
		delete(settings, name)
	}
	return settings
}

// reloadOutput hands the output to libbeat, and returns the configuration as the Beat has completed it.
func (b *Beat) reloadOutput(want mapstr.M) (*conf.C, error) {
	c, err := conf.NewConfigFrom(want.Clone())
	if err != nil {
		return nil, fmt.Errorf("reading the output: %w", err)
	}
	output := b.registry.GetReloadableOutput()
	if output == nil {
		return nil, errors.New("the Beat has no output that can be changed")
	}
	if err := output.Reload(&reload.ConfigWithMeta{Config: c}); err != nil {
		return nil, fmt.Errorf("setting the output: %w", err)
	}
	return c, nil
}

// end has the Beat end in order. The Agent starts it again where it is to run.
func (b *Beat) end(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logger.Info(why)
	b.ending = true
	for _, u := range b.units {
		u.end()
	}
	b.changed()
	if b.ended != nil {
		go b.ended() // it waits for what it ends, us among it
	}
}

// modulesOf are the modules of an input that is to run.
type modulesOf struct {
	input   planned
	configs []*reload.ConfigWithMeta
	streams []*stream
}

// applyInputs has the Beat watch what the policy says. It reports whether that must be tried again.
func (b *Beat) applyInputs(p policy) (again bool) {
	var running []modulesOf
	var all []*reload.ConfigWithMeta
	var want []mapstr.M
	wrong := map[string][]string{}
	for _, one := range p.inputs {
		if one.stopped {
			continue
		}
		m, err := b.modulesOf(one)
		if err != nil {
			wrong[one.unit.id] = append(wrong[one.unit.id], b.verdict()+": "+err.Error())
			continue
		}
		running = append(running, m)
		for _, c := range m.configs {
			all = append(all, c)
			want = append(want, mapstr.M{"unit": one.unit.id, "config": settingsOf(c.Config)})
		}
	}
	adopt := false // the streams of this policy are those that run
	switch {
	case len(wrong) > 0: // all or nothing
		b.applied.good = false
	case b.applied.good && reflect.DeepEqual(want, b.applied.inputs):
	case len(all) == 0 && !b.applied.once && len(b.applied.inputs) == 0: // nothing is to run, and nothing does
	default:
		err := b.reloadInputs(all)
		again = err != nil && errors.As(err, new(*common.ErrInputNotFinished))
		wrong = mistakesOf(err)
		b.applied.inputs, b.applied.good = want, err == nil
		b.applied.once = b.applied.once || err == nil
		adopt = err == nil || slices.ContainsFunc(running, reported)
		if err == nil {
			b.applied.renderedInputs = nil
			for _, c := range all {
				b.applied.renderedInputs = append(b.applied.renderedInputs, masked(c.Config))
			}
			b.render()
		}
	}
	b.settleInputs(p, running, wrong, adopt)
	return again
}

// modulesOf makes the modules of an input, each with whoever says how it is.
func (b *Beat) modulesOf(one planned) (modulesOf, error) {
	m := modulesOf{input: one}
	configs, err := Modules(one.config)
	if err != nil {
		return m, err
	}
	for _, c := range configs {
		c.InputUnitID = one.unit.id
		if c.Config.Enabled() {
			id, err := c.Config.String("id", -1)
			if err != nil {
				return m, fmt.Errorf("reading the id of a stream of input %q: %w", one.config.GetId(), err)
			}
			s := &stream{id: id, changed: func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.changed()
			}}
			m.streams = append(m.streams, s)
			c.StatusReporter = s
		}
		m.configs = append(m.configs, c)
	}
	return m, nil
}

func reported(m modulesOf) bool {
	return slices.ContainsFunc(m.streams, func(s *stream) bool { return s.get() != report{} })
}

// reloadInputs hands the modules to the Beat.
func (b *Beat) reloadInputs(all []*reload.ConfigWithMeta) error {
	list := b.registry.GetInputList()
	if list == nil {
		return errors.New("the Beat has no modules that can be changed")
	}
	return list.Reload(all)
}

// settleInputs says of each input whether it has been applied. Where a policy was rejected, the inputs that nobody
// blames are not applied either.
func (b *Beat) settleInputs(p policy, running []modulesOf, wrong map[string][]string, adopt bool) {
	var everything []string
	for _, id := range slices.Sorted(maps.Keys(wrong)) {
		everything = append(everything, wrong[id]...)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.changed()
	if adopt {
		b.applied.streams = map[string][]*stream{}
		for _, m := range running {
			b.applied.streams[m.input.unit.id] = m.streams
		}
	}
	for _, one := range p.inputs {
		// Also where it is what it was: a unit that went and came before that was applied has forgotten its streams.
		one.unit.streams = b.applied.streams[one.unit.id]
		said := slices.Concat(wrong[one.unit.id], wrong[""])
		if len(said) == 0 && len(everything) > 0 && !one.stopped {
			said = everything
		}
		one.unit.settle(one.stopped, strings.Join(said, "; "))
	}
	text := strings.Join(everything, "; ")
	if text != "" && text != b.applied.wrong {
		b.logger.Error(text)
	}
	b.applied.wrong = text
}

// verdict begins the message about a policy that the Beat never sees.
func (b *Beat) verdict() string {
	if b.applied.once {
		return "the policy is not applied, the last good one runs on"
	}
	return "the policy is not applied, and nothing is watched"
}

// mistakesOf are what is wrong by the units that are to blame; under "" is what no single one is.
func mistakesOf(err error) map[string][]string {
	wrong := map[string][]string{}
	var collect func(error)
	collect = func(err error) {
		if about, ok := err.(cfgfile.UnitError); ok { //nolint:errorlint // what wraps one is taken apart below
			if !errors.As(err, new(*common.ErrInputNotFinished)) {
				wrong[about.UnitID] = append(wrong[about.UnitID], about.Err.Error())
			}
			return
		}
		if several, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // likewise
			for _, one := range several.Unwrap() {
				collect(one)
			}
			return
		}
		if !errors.As(err, new(*common.ErrInputNotFinished)) {
			wrong[""] = append(wrong[""], err.Error())
		}
	}
	if err != nil {
		collect(err)
	}
	return wrong
}

// settingsOf are a configuration's as they can be compared.
func settingsOf(c *conf.C) mapstr.M {
	m := map[string]any{}
	if err := c.Unpack(&m); err != nil {
		return mapstr.M{"unreadable": err.Error()}
	}
	return m
}

// render keeps the configuration in force for the diagnostics, without its secrets.
func (b *Beat) render() {
	text, err := yaml.Marshal(map[string]any{"outputs": b.applied.renderedOutput, "inputs": b.applied.renderedInputs})
	if err != nil {
		text = []byte(err.Error())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rendered = text
}

// masked are a configuration's settings without its secrets.
func masked(c *conf.C) any { return secret.Mask("", map[string]any(settingsOf(c))) }
