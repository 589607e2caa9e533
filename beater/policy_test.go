// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	"github.com/elastic/beats/v7/libbeat/management/status"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/logp/logptest"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
)

// unit hears what libbeat's management would hear of a stream.
type unit struct{ said []string }

func (u *unit) UpdateStatus(s status.Status, reason string) {
	u.said = append(u.said, s.String()+" "+reason)
}

// testPolicy is a policy of a Beat whose loop runs, and which has no publisher.
func testPolicy(t *testing.T) *policy {
	board, logger := &health.Board{}, logp.NewNopLogger()
	modules := &moduleConfig{agent: fmtstr.FieldsForBeat("reconbeat", "1.2.3"), logger: logger}
	r := &sensor{config: config.Default(), logger: logger, health: board, host: testHost, modules: modules,
		rulesDir: t.TempDir()}
	l := &loop{
		engine:  testEngine(t),
		ring:    engine.NewRing(8),
		cursors: &cursors{},
		running: &moduleSet{},
		health:  board,
		latency: newLatencies(),
		heart:   &heartbeat{},
		logger:  logger,
		direct:  newDirect(logger),
		calls:   make(chan func()),
		ended:   make(chan struct{}),
	}
	l.engine.Tally(time.Now())
	h, err := host.Open(nil)
	require.NoError(t, err)
	f := &factory{
		modules: modules, ring: l.ring, cursors: l.cursors, health: board, running: l.running, paths: paths.New(), host: h,
		retire: l.retire,
	}
	p := &policy{
		modules: modules, detector: r.detectorOptions, loop: l, runners: newRunners(f, nil),
		controls:  newControls(&paths.Path{Config: t.TempDir()}, r.config, board, logp.NewNopLogger()),
		reporters: &reporters{board: board}, whole: r.config,
		kibana: newKibana(l, t.TempDir(), board, logp.NewNopLogger()),
	}
	board.Listen(func(health.State, health.Change) { p.reporters.report() })
	go func() {
		for {
			select {
			case f := <-l.calls:
				f()
			case <-l.ended:
				return
			}
		}
	}()
	t.Cleanup(func() { p.runners.stop(); close(l.ended) })
	return p
}

// streamOf is a stream of an input of the policy, as it comes from libbeat's management.
func streamOf(t *testing.T, input, yaml string) (*reload.ConfigWithMeta, *unit) {
	t.Helper()
	c, err := conf.NewConfigWithYAML([]byte(yaml), "policy")
	require.NoError(t, err)
	u := &unit{}
	return &reload.ConfigWithMeta{Config: c, InputUnitID: input, StatusReporter: u}, u
}

// following is a stream that follows a file of its own, with more settings.
func following(t *testing.T, id, settings string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "documents.ndjson")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	return fmt.Sprintf("{id: %s, module: ndjson, paths: [%s], %s}", id, file, settings)
}

// errorsByUnit are the errors of a rejected policy by unit, and whether libbeat's management tries again.
func errorsByUnit(t *testing.T, err error) (units map[string]string, again bool) {
	t.Helper()
	units = map[string]string{}
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "libbeat's management looks at joined errors only: %v", err)
	for _, e := range joined.Unwrap() {
		var of cfgfile.UnitError
		var unfinished *common.ErrInputNotFinished
		switch {
		case errors.As(e, &of):
			units[of.UnitID] = of.Err.Error()
		case errors.As(e, &unfinished):
			again = true
		default:
			t.Errorf("an error of no unit: %v", e)
		}
	}
	return units, again
}

func TestAPolicyIsAppliedWholeOrNotAtAll(t *testing.T) {
	p := testPolicy(t)
	good, goodUnit := streamOf(
		t,
		"one",
		following(
			t,
			"a",
			"detector: {rules: [{id: network-connection-discovery, threshold: 50}]}, namespace: lab, heartbeat.period: 5m",
		),
	)
	bad, _ := streamOf(
		t,
		"two",
		"{id: b, module: ndjson, path: [/nowhere], detector: {rules: [{id: network-connection-discovery, threshold: 50}]}, "+
			"namespace: lab, heartbeat.period: 5m}",
	)

	units, again := errorsByUnit(t, p.Reload([]*reload.ConfigWithMeta{good, bad}))
	require.True(t, again)
	require.Contains(t, units["two"], "the policy is not applied, and nothing is watched: ")
	require.Contains(t, units["two"], "module b: path: no such setting")
	require.Equal(t, units["two"], units["one"], "a unit without a mistake says why it does not run")
	require.Empty(t, p.loop.running.list())
	require.Equal(t, config.Default().Namespace, p.whole.Namespace)
	require.Equal(t, health.ConfigRejected, p.loop.health.Active()[0].Condition)
	require.Empty(t, goodUnit.said)

	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{good}))
	require.Equal(t, "healthy", p.loop.health.Status())
	require.Equal(t, "lab", p.whole.Namespace)
	require.Equal(t, 5*time.Minute, p.loop.heart.period)
	require.EqualValues(t, 50, p.loop.engine.Rules()[0].Threshold)
	require.Len(t, p.loop.running.list(), 1)
	runs := p.loop.running.list()[0]
	require.Equal(t, []string{"Running "}, goodUnit.said)

	units, _ = errorsByUnit(t, p.Reload([]*reload.ConfigWithMeta{good, bad}))
	require.Contains(t, units["one"], "the policy is not applied, the last good one runs on: ")
	require.Same(t, runs, p.loop.running.list()[0])

	p.stop()
	require.NoError(t, p.Reload(nil))
	require.Same(t, runs, p.loop.running.list()[0], "after the stop no policy is applied")
}

func TestAPolicyIsRejectedForWhatItsStreamsSayTogether(t *testing.T) {
	for _, row := range []struct{ name, one, two, want string }{
		{
			"two models", following(t, "a", "detector.model: rare"), following(t, "b", ""),
			`detector.model: stream "a" says "rare" and stream "b" says "context"; it is a setting of the whole Beat`,
		},
		{
			"rules and none", following(t, "a", ""), following(t, "b", "detector.rules: [{id: x, threshold: 5}]"),
			`detector.rules.x.threshold: stream "a" says nothing and stream "b" says 5; it is`,
		},
		{"one id twice", following(t, "a", ""), following(t, "a", ""), `"a"`},
		{
			"two sources of this host's execs", "{id: a, module: auditlog}", "{id: b, module: procconn}",
			"a and b would each report this host's execs",
		},
		{
			"a rule that does not exist", following(t, "a", "detector.rules: [{id: nosuch, threshold: 1}]"),
			following(t, "b", "detector.rules: [{id: nosuch, threshold: 1}]"), "nosuch",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := testPolicy(t)
			one, _ := streamOf(t, "one", row.one)
			two, _ := streamOf(t, "two", row.two)
			units, _ := errorsByUnit(t, p.Reload([]*reload.ConfigWithMeta{one, two}))
			for _, u := range []string{"one", "two"} {
				require.Contains(t, units[u], row.want)
			}
			require.Empty(t, p.loop.running.list())
		})
	}
}

func TestAStreamThatIsSwitchedOffSaysNothing(t *testing.T) {
	p := testPolicy(t)
	on, _ := streamOf(t, "in", following(t, "a", ""))
	off, unit := streamOf(t, "in", following(t, "b", "enabled: false, detector.model: rare, unknown: [tags]"))
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{on, off}))
	require.Len(t, p.loop.running.list(), 1)
	require.Equal(t, "healthy", p.loop.health.Status())
	require.Empty(t, unit.said)
}

func TestWhatNobodyKnowsIsLeftAsideAndReported(t *testing.T) {
	p := testPolicy(t)
	file := following(t, "a", "unknown: [tags, detectr]")
	typo, u := streamOf(t, "in", file)
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{typo}))
	runs := p.loop.running.list()[0]
	require.Equal(
		t,
		[]string{
			"Degraded setting_unknown: the Elastic Agent's policy has settings that reconbeat does not know and leaves aside: " +
				"detectr, tags; an input may have detector, controls, events, dataset, namespace, heartbeat, feedback, " +
				"processors",
		},
		u.said,
	)
	since := p.loop.health.Active()[0].Since
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{typo}))
	require.Equal(t, since, p.loop.health.Active()[0].Since, "the log hears of it once")

	c, err := conf.NewConfigWithYAML([]byte(file), "policy")
	require.NoError(t, err)
	_, err = c.Remove(config.Unknown, -1)
	require.NoError(t, err)
	typo.Config = c
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{typo}))
	require.Equal(t, "Running ", u.said[len(u.said)-1])
	require.Same(t, runs, p.loop.running.list()[0], "the module ran on")
}

func TestAStreamIsAsTheWorstThatHoldsForIt(t *testing.T) {
	b := &health.Board{}
	mine, other := &unit{}, &unit{}
	r := &reporters{board: b, streams: []reporter{{id: "mine", to: mine}, {id: "other", to: other}}}
	b.Listen(func(health.State, health.Change) { r.report() })
	r.report()
	now := time.Now()
	b.Set(health.LossyModule, "mine", "", now)
	b.Set(health.OutputStalled, "", "7 documents", now)
	b.Set(health.SourceFailed, "mine", "no such file", now)
	b.Clear(health.OutputStalled, "")
	b.Clear(health.SourceFailed, "mine")
	b.Clear(health.LossyModule, "mine")
	lossy := "lossy_module: " + health.LossyModule.Title
	stalled := "output_stalled: " + health.OutputStalled.Title + ": 7 documents"
	failed := "source_failed: " + health.SourceFailed.Title + ": no such file"
	require.Equal(t, []string{
		"Running ",
		"Degraded " + lossy,
		"Running ",
		"Degraded " + lossy + "; " + stalled, // another reason for the same status is heard only behind another status
		"Failed " + failed + "; " + lossy + "; " + stalled,
		"Running ",
		"Failed " + failed + "; " + lossy,
		"Degraded " + lossy,
		"Running ",
	}, mine.said)
	require.Equal(
		t,
		[]string{"Running ", "Degraded " + stalled, "Running "},
		other.said,
		"it hears of the Beat, and not of another's module",
	)
}

// TestFlappingConditionIsReportedAlikeEverywhere lets a disk fail one write and take the next, for a
// minute.
func TestFlappingConditionIsReportedAlikeEverywhere(t *testing.T) {
	h, _, out := testHeart(t)
	h.health.HoldOff = health.HoldOff
	logger, said := logptest.NewTestingLoggerWithObserver(t, "")
	stream := &unit{}
	r := &reporters{board: h.health, streams: []reporter{{id: "auditd", to: stream}}}
	start := time.Now()
	now := start
	h.health.Listen(func(health.State, health.Change) { r.report() })
	h.health.Listen(func(s health.State, c health.Change) { logCondition(logger, s, c, now) })
	r.report()
	var messages []any
	second := func(flaps int) {
		for range flaps {
			h.health.Set(health.StateNotWritten, "events.journal", "no space left", now)
			h.health.Clear(health.StateNotWritten, "events.journal")
		}
		h.health.Settle(now)
		made := h.made.Load()
		if h.beat(now); h.made.Load() > made {
			messages = append(messages, value(t, <-out, "message"))
		}
		now = now.Add(time.Second)
	}
	for range 61 {
		second(10)
	}
	for range 120 {
		second(0)
	}
	var lines []string
	for _, e := range said.All() {
		lines = append(lines, e.Message)
	}
	require.Len(t, lines, 3, "%q", lines)
	require.Contains(t, lines[0], "state_not_written (events.journal): the state cannot be written: no space left. ")
	require.Contains(t, lines[1], "state_not_written (events.journal) comes and goes; it came 610 times since ")
	require.Equal(t, "state_not_written (events.journal) is over after 2m0s; it came 610 times", lines[2])
	title := ": " + health.StateNotWritten.Title + ": no space left"
	require.Equal(t, []string{
		"Running ", "Degraded state_not_written" + title,
		"Running ", "Degraded state_not_written (610 times)" + title, "Running ",
	}, stream.said)
	require.Contains(t, messages, "reconbeat is degraded: state_not_written (610 times)")
	require.Equal(t, "reconbeat is healthy", messages[len(messages)-1])
}

func TestOutputOfAnAgentHandsOnAtOnce(t *testing.T) {
	const deadLetters = "logs-reconbeat.rejected-default"
	for _, row := range []struct {
		name, output string
		want         map[string]any // nil: not there
	}{
		{"a preset keeps everything but its queue", "elasticsearch: {hosts: [a], preset: throughput}",
			map[string]any{
				"preset": nil, "worker": 4.0, "queue.mem.flush.min_events": 1.0, "queue.mem.flush.timeout": 0.0,
				"non_indexable_policy.dead_letter_index.index": deadLetters,
			}},
		{"without a preset the queue is the policy's", "elasticsearch: {hosts: [a], queue.mem.flush.timeout: 5s}",
			map[string]any{
				"queue.mem.flush.timeout": "5s", "queue.mem.flush.min_events": nil,
				"non_indexable_policy.dead_letter_index.index": deadLetters,
			}},
		{
			"custom is not a preset", "elasticsearch: {hosts: [a], preset: custom}",
			map[string]any{"preset": "custom", "queue": nil},
		},
		{
			"a policy of refused documents is obeyed", "elasticsearch: {hosts: [a], non_indexable_policy.drop: {}}",
			map[string]any{"non_indexable_policy.dead_letter_index": nil},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			output, _ := streamOf(t, "out", row.output)
			require.NoError(t, ownOutput(output))
			var got struct {
				ES mapstr.M `config:"elasticsearch"`
			}
			require.NoError(t, output.Config.Unpack(&got))
			for name, want := range row.want {
				v, err := got.ES.GetValue(name)
				if want == nil {
					require.Error(t, err, "%s is %v", name, v)
					continue
				}
				require.NoError(t, err, name)
				require.EqualValues(t, want, v, name)
			}
		})
	}
	other, _ := streamOf(t, "out", "logstash: {hosts: [a]}")
	require.NoError(t, ownOutput(other))
	require.Equal(t, []string{"logstash.hosts.0"}, other.Config.FlattenedKeys())
	wrong, _ := streamOf(t, "out", "elasticsearch: {preset: nonsense}")
	require.ErrorContains(t, ownOutput(wrong), "output.elasticsearch.preset: ")
}

// TestAPolicyBringsItsExceptions holds that a policy's exceptions come into force with it, and that one with a wrong
// exception leaves those of the last good one.
func TestAPolicyBringsItsExceptions(t *testing.T) {
	p := testPolicy(t)
	const controls = "controls.exceptions: [{id: fleet, %s: [{field: user.name, is: backup}]}]"
	good, _ := streamOf(t, "one", following(t, "a", fmt.Sprintf(controls, "conditions")))
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{good}))
	inForce := func() (ids []string) {
		for _, u := range p.loop.engine.Counts.Controls.Load().Usage() {
			ids = append(ids, u.ID)
		}
		return ids
	}
	require.Equal(t, []string{"fleet"}, inForce())
	bad, _ := streamOf(t, "one", following(t, "a", fmt.Sprintf(controls, "condition")))
	units, _ := errorsByUnit(t, p.Reload([]*reload.ConfigWithMeta{bad}))
	require.Contains(t, units["one"], "reconbeat.controls.exceptions.0.condition: no such setting")
	require.Contains(t, units["one"], "reconbeat.controls.exceptions.0.conditions: is missing")
	require.Equal(t, []string{"fleet"}, inForce())
	none, _ := streamOf(t, "one", following(t, "a", "events: matched"))
	require.NoError(t, p.Reload([]*reload.ConfigWithMeta{none}))
	require.Empty(t, inForce())
}
