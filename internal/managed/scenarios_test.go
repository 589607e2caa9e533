// SPDX-License-Identifier: Apache-2.0

package managed_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/livetest"
)

// following is an input of one stream, which follows the host's file, with more settings of the input's.
func (h *host) following(settings string) *wire.ExpectedUnit {
	return h.Unit(wire.Kind_KIND_INPUT, fmt.Sprintf(
		"{id: in, type: reconbeat, data_stream: {namespace: lab}, %s streams: [{id: documents, module: ndjson, from: "+
			"beginning, paths: [%q]}]}",
		settings,
		h.Input(),
	))
}

// threshold is a setting of the whole Beat that a test can see the effect of.
func threshold(n int) string {
	return fmt.Sprintf("detector: {rules: [{id: network-connection-discovery, threshold: %d}]},", n)
}

// learn has sixty days learned in which root's agent runs ss every hour.
func (h *host) learn() {
	history, config := h.History("root"), filepath.Join(h.Dir, "reconbeat.yml")
	require.NoError(h.t, os.WriteFile(config, []byte("output.file: {path: unused}\n"), 0o600))
	out, err := h.command("replay", "--learn", "--yes", "--module", "ndjson", history, "-c", config).CombinedOutput()
	require.NoError(h.t, err, string(out))
}

func TestAPolicyRunsChangesIsRejectedRecoversAndStops(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	r := h.start()
	good := func() []*wire.ExpectedUnit {
		return []*wire.ExpectedUnit{h.output("out"), h.following(threshold(0))}
	}
	h.Expect(good()...)
	r.becomes("in", "HEALTHY", "Healthy")
	r.becomes("out", "HEALTHY", "Healthy")
	require.Equal(t, "STARTING HEALTHY", h.States("in"))
	require.Equal(t, "reconbeat", h.Introduced().Version.Name)

	h.Exec("mallory", "ss -tunap")
	alert := r.Shipped("out", "alert", "mallory", 1)[0]
	for name, want := range map[string]string{
		"elastic_agent.id": "3f5e0b1c-agent", "elastic_agent.version": "9.4.0", "agent.id": "3f5e0b1c-agent",
		"agent.type": "reconbeat", "agent.version": "9.4.0",
		"data_stream.dataset": "reconbeat.alert", "data_stream.namespace": "lab", "event.dataset": "reconbeat.alert",
	} {
		require.Equal(t, want, beattest.Field(alert, name), name)
	}

	beat := r.Shipped("out", "heartbeat", "", 1)[0]
	require.Equal(t, "3f5e0b1c-agent", beattest.Field(beat, "elastic_agent.id"))

	t.Log("a new policy: nobody is over the threshold, and the module runs on")
	h.Expect(h.output("out"), h.following(threshold(100)))
	r.becomes("in", "HEALTHY", "Healthy")
	h.Exec("eve", "ss -tunap")
	r.Shipped("out", "exec", "eve", 1)
	h.Expect(good()...)
	r.becomes("in", "HEALTHY", "Healthy")
	h.Exec("trudy", "ss -tunap")
	alert = r.Shipped("out", "alert", "trudy", 1)[0]
	require.Contains(t, beattest.Field(alert, "reconbeat.anomaly.typical_users"), "root",
		"what was learned is still known")
	require.Empty(t, h.Find("out", "alert", "eve"))

	t.Log("a policy with settings that nobody knows: it is applied, and its unit degraded")
	h.Expect(h.output("out"), h.following(threshold(0)+" detectr: {model: rare}, tags: [x],"))
	r.becomes("in", "DEGRADED",
		"leaves aside: detectr, tags; an input may have detector, controls, events, dataset, namespace, heartbeat, "+
			"feedback, processors")
	h.Expect(good()...)
	r.becomes("in", "HEALTHY", "Healthy")

	t.Log("a bad policy: everything that is wrong is reported, and the last good one runs on")
	bad := h.following("detector: {model: nonsense, learn_for: 24h},")
	bad.Configuration.Streams = append(
		bad.Configuration.Streams,
		h.Unit(wire.Kind_KIND_INPUT, "{id: x, streams: [{id: y, module: nosuch}]}").Configuration.Streams...)
	h.Expect(h.output("out"), bad)
	message := r.becomes("in", "FAILED", "the policy is not applied, the last good one runs on")
	require.Contains(t, message, `reconbeat.detector.model: "nonsense" is not allowed; it must be context or rare`)
	require.Contains(t, message, `module: "nosuch" is not allowed; it must be auto or one of`)
	r.becomes("out", "HEALTHY", "Healthy")
	h.Exec("peggy", "ss -tunap")
	r.Shipped("out", "exec", "peggy", 1)
	require.Contains(t, h.Diagnose("in")["reconbeat-health.json"], `"code": "config_rejected"`)

	t.Log("recovery: back to the very policy that was good before")
	h.Expect(good()...)
	r.becomes("in", "HEALTHY", "Healthy")
	r.Until(func() string { return "the rejected policy stays on the board" }, func() bool {
		return strings.Contains(h.Diagnose("in")["reconbeat-health.json"], `"conditions": []`)
	})
	files := h.Diagnose("in")
	require.Contains(t, files["reconbeat-detector.json"], `"id": "network-connection-discovery"`)
	require.Contains(t, files["beat-rendered-config.yml"], "module: ndjson")
	require.EqualValues(t, 4, metric(t, files, "reconbeat.modules.documents.execs"),
		"the module ran on; all these policies left its own settings alone")

	t.Log("stop: first the input, then everything")
	stopped := h.following(threshold(0))
	stopped.State = wire.State_STATE_STOPPED
	h.Expect(h.output("out"), stopped)
	r.becomes("in", "STOPPED", "Stopped")
	h.Exec("late", "ss -tunap")
	gone := h.output("out")
	gone.State = wire.State_STATE_STOPPED
	h.Expect(gone, stopped)
	require.NoError(t, r.Wait())
	require.Empty(t, h.Find("out", "exec", "late"))
	require.NotContains(t, r.Log.All(), "panic")

	t.Log("the next life goes on where the module was stopped")
	r = h.start()
	h.Expect(good()...)
	r.Shipped("out", "exec", "late", 1)
	require.NoError(t, r.Signal(syscall.SIGTERM))
	for _, doc := range h.Documents("out") { // those of the health, too: the Agent's key is for the policy's alone
		require.Equal(t, "lab", beattest.Field(doc, "data_stream.namespace"), "%v", doc)
	}
}

func TestStreamsThatDisagreeFail(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	input := func(id, settings, stream string) *wire.ExpectedUnit {
		return h.Unit(wire.Kind_KIND_INPUT,
			fmt.Sprintf("{id: %s, type: reconbeat, %s streams: [{id: %s-stream, %s}]}", id, settings, id, stream))
	}
	ndjson := fmt.Sprintf("module: ndjson, paths: [%q]", h.Input())
	h.Expect(h.output("out"), input("one", "detector: {model: rare},", ndjson), input("two", "", ndjson))
	for _, unit := range []string{"one", "two"} {
		message := r.becomes(unit, "FAILED", "the policy is not applied, and nothing is watched")
		require.Regexp(t,
			`detector\.model: stream "(one|two)-stream" says "(rare|context)" and stream "(one|two)-stream" says `+
				`"(rare|context)"`,
			message)
	}
	h.Expect(h.output("out"), input("one", "detector: {model: rare},", ndjson),
		input("two", "detector: {model: rare},", ndjson))
	r.becomes("one", "HEALTHY", "Healthy")
	r.becomes("two", "HEALTHY", "Healthy")

	h.Expect(h.output("out"),
		input("one", "detector: {model: rare},", "module: auditd, socket_type: carrier pigeon"),
		input("two", "detector: {model: rare},", ndjson))
	for _, unit := range []string{"one", "two"} { // all or nothing: the other unit is not applied either
		r.becomes(unit, "FAILED", `socket_type: "carrier pigeon" is not allowed; it must be auto, unicast or multicast`)
	}
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

func TestASourceThatFailsFailsItsUnitUntilItWorks(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.NoError(t, os.Remove(h.Input()))
	require.NoError(t, os.Mkdir(h.Input(), 0o700)) // a folder where the file of documents should be
	other := filepath.Join(h.Dir, "other.ndjson")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	r := h.start()
	h.Expect(h.output("out"), h.following(""), h.Unit(wire.Kind_KIND_INPUT, fmt.Sprintf(
		"{id: well, type: reconbeat, data_stream: {namespace: lab}, streams: [{id: other, module: ndjson, paths: "+
			"[%q]}]}",
		other,
	)))
	r.becomes("in", "FAILED", "source_failed: a module could not start or ended with an error: ")
	r.becomes("well", "HEALTHY", "Healthy")
	require.NoError(t, os.Remove(h.Input()))
	require.NoError(t, os.WriteFile(h.Input(), nil, 0o600))
	h.Exec("root", "ss -s")
	r.becomes("in", "HEALTHY", "Healthy")
	r.Shipped("out", "exec", "root", 1)
	require.NotContains(t, h.States("well"), "FAILED")
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// TestAnOutputThatIsDownDegradesTheUnit takes more than a minute: so long may an output be silent before it is said.
func TestAnOutputThatIsDownDegradesTheUnit(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	address := beattest.Address(t)
	r := h.start()
	h.Expect(
		h.Unit(wire.Kind_KIND_OUTPUT, fmt.Sprintf(
			"{id: out, type: elasticsearch, hosts: ['http://%s'], preset: throughput, backoff: {init: 50ms, max: "+
				"100ms}}",
			address,
		)),
		h.following(""),
	)
	r.becomes("in", "HEALTHY", "Healthy")
	rendered := h.Diagnose("in")["beat-rendered-config.yml"]
	require.Regexp(t, `(?s)flush:\s+min_events: 1\s+timeout: 0`, rendered, "no preset keeps an alert back")
	require.Regexp(t, `worker: 4`, rendered, "the rest of the preset holds")
	require.NotContains(t, rendered, "preset")
	require.Contains(t, rendered, "index: logs-reconbeat.rejected-default")
	h.Exec("root", "ss -s")
	message := r.becomes("in", "DEGRADED",
		"output_stalled: the output acknowledges nothing: 1 document handed on, none acknowledged for ")
	require.NotContains(t, message, "\n")

	es := beattest.Serve(t, address)
	r.Until(func() string { return "nothing ships to the output that is back" }, func() bool {
		return slices.Contains(es.Indices(), "logs-reconbeat.process-lab")
	})
	require.NotContains(t, h.States("in"), "FAILED")
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

func TestNothingIsLostWhenTheAgentKillsAndRestarts(t *testing.T) {
	t.Parallel()
	const lives, execs = 4, 100
	h := newHost(t)
	h.learn()
	h.Expect(h.output("out"), h.following(""))
	commands := map[string]bool{}
	for life := range lives {
		r := h.start()
		for i := range execs {
			command := fmt.Sprintf("ss -o exec-%d-%d", life, i)
			commands[command] = true
			h.Exec("root", command)
			if i == execs/2 { // the kill comes while it is busy
				r.Shipped("out", "exec", "root", 1)
			}
		}
		require.Error(t, r.Signal(syscall.SIGKILL))
	}
	r := h.start()
	ids := map[string]string{}
	r.Until(func() string { return fmt.Sprintf("%d of %d execs are shipped", len(ids), len(commands)) }, func() bool {
		for _, doc := range h.Find("out", "exec", "root") {
			ids[beattest.Field(doc, "@metadata._id")] = beattest.Field(doc, "process.command_line")
		}
		return len(ids) >= len(commands)
	})
	r.becomes("in", "HEALTHY", "Healthy")
	h.Exec("mallory", "ss -tunap")
	r.Shipped("out", "alert", "mallory", 1) // what was learned before the kills is still known
	require.NoError(t, r.Signal(syscall.SIGTERM))
	require.Len(t, ids, len(commands), "one _id an exec")
	seen := map[string]bool{}
	for _, command := range ids {
		seen[command] = true
	}
	require.Equal(t, commands, seen)
}

// TestNoExecIsLostWhilePoliciesChange runs the tool itself under the kernel's audit, while one policy after the other
// comes: the settings of the whole Beat change, the file module changes and is started anew, a policy is wrong. Every
// exec that the kernel reported, and every document of the file, ships once.
func TestNoExecIsLostWhilePoliciesChange(t *testing.T) {
	livetest.OwnAudit(t, "ss")
	h := newHost(t)
	r := h.start()
	policy := func(settings, tag string) *wire.ExpectedUnit {
		return h.Unit(wire.Kind_KIND_INPUT, fmt.Sprintf(
			"{id: in, type: reconbeat, %s streams: [{id: kernel, module: auditd}, {id: documents, module: ndjson, "+
				"from: beginning, tags: [%s], paths: [%q]}]}",
			settings,
			tag,
			h.Input(),
		))
	}
	h.Expect(h.output("out"), policy(threshold(25), "first"))
	r.becomes("in", "HEALTHY", "Healthy")

	// A kernel source is HEALTHY as soon as it is started; it sees execs from the moment on in which its rules are
	// loaded.
	r.Until(func() string { return "the kernel's module sees nothing" }, func() bool {
		_ = exec.Command("ss", "-s").Run()
		return len(h.Find("out", "exec", "root")) > 0
	})

	real, written := map[string]bool{}, map[string]bool{}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			command := fmt.Sprintf("ss -Htn dport = :%d", i)
			if out, err := exec.Command("ss", strings.Fields(command)[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", command, err, out)
				return
			}
			real[command] = true
			command = fmt.Sprintf("ss -o document-%d", i)
			h.Exec("writer", command)
			written[command] = true
		}
	})
	end := sync.OnceFunc(func() { close(quit); done.Wait() })
	defer end()
	for i, p := range []*wire.ExpectedUnit{
		policy(threshold(50), "first"), policy(threshold(50), "second"), policy("detector: {model: nonsense},",
			"third"), policy(threshold(75)+"events: matched,", "fourth"),
	} {
		h.Expect(h.output("out"), p)
		if i == 2 {
			r.becomes("in", "FAILED", "the last good one runs on")
			continue
		}
		r.becomes("in", "HEALTHY", "Healthy")
	}
	end()
	require.False(t, t.Failed())

	shipped := map[string]int{}
	r.Until(func() string {
		return fmt.Sprintf("%d of %d execs and %d documents are shipped", len(shipped), len(real), len(written))
	}, func() bool {
		clear(shipped)
		for _, doc := range h.Documents("out") {
			if command := beattest.Field(doc, "process.command_line"); beattest.Field(doc, "event.action") == "exec" &&
				(real[command] || written[command]) {
				shipped[command]++
			}
		}
		return len(shipped) >= len(real)+len(written)
	})
	for command, n := range shipped {
		require.Equal(t, 1, n, command)
	}
	require.GreaterOrEqual(t, metric(t, h.Diagnose("in"), "reconbeat.modules.kernel.execs"), float64(len(real)),
		"the kernel's module ran on")
	require.NoError(t, r.Signal(syscall.SIGTERM))
	t.Logf("%d execs under the kernel's audit and %d documents went through four policies", len(real), len(written))
}

// metric is one of libbeat's metrics, out of the diagnostics.
func metric(t *testing.T, diagnostics map[string]string, name string) float64 {
	var all mapstr.M
	require.NoError(t, json.Unmarshal([]byte(diagnostics["beat_metrics.json"]), &all))
	v, err := all.GetValue(name)
	require.NoError(t, err, diagnostics["beat_metrics.json"])
	n, ok := v.(float64)
	require.True(t, ok, "%s is %v", name, v)
	return n
}
