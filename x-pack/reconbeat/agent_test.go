// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/livetest"
)

// output is the policy's output: a file.
func (h *host) output(a *agent, name string) *proto.UnitExpected {
	return a.unit(proto.UnitType_OUTPUT,
		fmt.Sprintf("{id: out, type: file, path: %q, filename: %s, permissions: 0600}", h.dir, name))
}

// following is an input of one stream, which follows the host's file, with more settings of the input's.
func (h *host) following(a *agent, settings string) *proto.UnitExpected {
	return a.unit(proto.UnitType_INPUT, fmt.Sprintf(
		"{id: in, type: reconbeat, data_stream: {namespace: lab}, %s streams: [{id: documents, module: ndjson, from: "+
			"beginning, paths: [%q]}]}",
		settings,
		h.input(),
	))
}

// threshold is a setting of the whole Beat that a test can see the effect of.
func threshold(n int) string {
	return fmt.Sprintf("detector: {rules: [{id: network-connection-discovery, threshold: %d}]},", n)
}

func TestAPolicyRunsChangesIsRejectedRecoversAndStops(t *testing.T) {
	eachManagement(t, aPolicyRunsChangesIsRejectedRecoversAndStops)
}

func aPolicyRunsChangesIsRejectedRecoversAndStops(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t)
	h.learn()
	r := h.start(a)
	good := func() []*proto.UnitExpected {
		return []*proto.UnitExpected{h.output(a, "out"), h.following(a, threshold(0))}
	}
	a.expect(good()...)
	a.wait(r, "in", "HEALTHY", "Healthy")
	a.wait(r, "out", "HEALTHY", "Healthy")
	require.Equal(t, "STARTING HEALTHY", a.states("in"))
	require.Equal(t, "reconbeat", a.version.Name)

	h.Exec("mallory", "ss -tunap")
	alert := r.shipped("out", "alert", "mallory", 1)[0]
	for name, want := range map[string]string{
		"elastic_agent.id": "3f5e0b1c-agent", "elastic_agent.version": "9.4.0", "agent.id": "3f5e0b1c-agent",
		"agent.type": "reconbeat", "agent.version": "9.4.0",
		"data_stream.dataset": "reconbeat.alert", "data_stream.namespace": "lab", "event.dataset": "reconbeat.alert",
	} {
		require.Equal(t, want, field(alert, name), name)
	}

	beat := r.shipped("out", "heartbeat", "", 1)[0]
	require.Equal(t, "3f5e0b1c-agent", field(beat, "elastic_agent.id"))

	t.Log("a new policy: nobody is over the threshold, and the module runs on")
	a.expect(h.output(a, "out"), h.following(a, threshold(100)))
	a.wait(r, "in", "HEALTHY", "Healthy")
	h.Exec("eve", "ss -tunap")
	r.shipped("out", "exec", "eve", 1)
	a.expect(good()...)
	a.wait(r, "in", "HEALTHY", "Healthy")
	h.Exec("trudy", "ss -tunap")
	require.Contains(t, field(r.shipped("out", "alert", "trudy", 1)[0], "reconbeat.anomaly.typical_users"), "root",
		"what was learned is still known")
	require.Empty(t, h.find("out", "alert", "eve"))

	t.Log("a policy with settings that nobody knows: it is applied, and its unit degraded")
	a.expect(h.output(a, "out"), h.following(a, threshold(0)+" detectr: {model: rare}, tags: [x],"))
	a.wait(r, "in", "DEGRADED",
		"leaves aside: detectr, tags; an input may have detector, controls, events, dataset, namespace, heartbeat, "+
			"feedback, processors")
	a.expect(good()...)
	a.wait(r, "in", "HEALTHY", "Healthy")

	t.Log("a bad policy: everything that is wrong is reported, and the last good one runs on")
	bad := h.following(a, "detector: {model: nonsense, learn_for: 24h},")
	bad.Config.Streams = append(
		bad.Config.Streams,
		a.unit(proto.UnitType_INPUT, "{id: x, streams: [{id: y, module: nosuch}]}").Config.Streams...)
	a.expect(h.output(a, "out"), bad)
	message := a.wait(r, "in", "FAILED", "the policy is not applied, the last good one runs on")
	require.Contains(t, message, `reconbeat.detector.model: "nonsense" is not allowed; it must be context or rare`)
	require.Contains(t, message, `module: "nosuch" is not allowed; it must be auto or one of`)
	a.wait(r, "out", "HEALTHY", "Healthy")
	h.Exec("peggy", "ss -tunap")
	r.shipped("out", "exec", "peggy", 1)
	require.Contains(t, a.diagnose("in")["reconbeat-health.json"], `"code": "config_rejected"`)

	t.Log("recovery: back to the very policy that was good before")
	a.expect(good()...)
	a.wait(r, "in", "HEALTHY", "Healthy")
	r.eventually(func() bool { return strings.Contains(a.diagnose("in")["reconbeat-health.json"], `"conditions": []`) },
		func() string { return "the rejected policy stays on the board" })
	files := a.diagnose("in")
	require.Contains(t, files["reconbeat-detector.json"], `"id": "network-connection-discovery"`)
	require.Contains(t, files["beat-rendered-config.yml"], "module: ndjson")
	require.EqualValues(t, 4, metric(t, files, "reconbeat.modules.documents.execs"),
		"the module ran on; all these policies left its own settings alone")

	t.Log("stop: first the input, then everything")
	stopped := h.following(a, threshold(0))
	stopped.State = proto.State_STOPPED
	a.expect(h.output(a, "out"), stopped)
	a.wait(r, "in", "STOPPED", "Stopped")
	h.Exec("late", "ss -tunap")
	gone := h.output(a, "out")
	gone.State = proto.State_STOPPED
	a.expect(gone, stopped)
	require.NoError(t, r.end())
	require.Empty(t, h.find("out", "exec", "late"))
	require.NotContains(t, r.log.All(), "panic")

	t.Log("the next life goes on where the module was stopped")
	r = h.start(a)
	a.expect(good()...)
	r.shipped("out", "exec", "late", 1)
	require.NoError(t, r.signal(syscall.SIGTERM))
}

// TestAPolicyMayComeInPieces has policies, and what is observed, be larger than a message, and parted by the library.
func TestAPolicyMayComeInPieces(t *testing.T) { eachManagement(t, aPolicyMayComeInPieces) }

func aPolicyMayComeInPieces(t *testing.T, h *host) {
	t.Parallel()
	a := newAgentWith(t, 2<<10)
	r := h.start(a)
	units := []*proto.UnitExpected{h.output(a, "out")}
	for i := range 20 {
		units = append(units, a.unit(proto.UnitType_INPUT, fmt.Sprintf(
			"{id: in-%d, type: reconbeat, streams: [{id: stream-%d, module: ndjson, paths: [%q]}]}", i, i, h.input())))
	}
	require.Greater(t, protobuf.Size(&proto.CheckinExpected{Units: units}), 2*a.limit)
	a.expect(units...)
	for i := range 20 {
		a.wait(r, fmt.Sprint("in-", i), "HEALTHY", "Healthy")
	}
	a.expect(units[:2]...)
	a.wait(r, "in-0", "HEALTHY", "Healthy")
	require.NoError(t, r.signal(syscall.SIGTERM))
}

func TestStreamsThatDisagreeFail(t *testing.T) { eachManagement(t, streamsThatDisagreeFail) }

func streamsThatDisagreeFail(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t)
	r := h.start(a)
	input := func(id, settings, stream string) *proto.UnitExpected {
		return a.unit(proto.UnitType_INPUT,
			fmt.Sprintf("{id: %s, type: reconbeat, %s streams: [{id: %s-stream, %s}]}", id, settings, id, stream))
	}
	ndjson := fmt.Sprintf("module: ndjson, paths: [%q]", h.input())
	a.expect(h.output(a, "out"), input("one", "detector: {model: rare},", ndjson), input("two", "", ndjson))
	for _, unit := range []string{"one", "two"} {
		message := a.wait(r, unit, "FAILED", "the policy is not applied, and nothing is watched")
		require.Regexp(t,
			`detector\.model: stream "(one|two)-stream" says "(rare|context)" and stream "(one|two)-stream" says `+
				`"(rare|context)"`,
			message)
	}
	a.expect(h.output(a, "out"), input("one", "detector: {model: rare},", ndjson),
		input("two", "detector: {model: rare},", ndjson))
	a.wait(r, "one", "HEALTHY", "Healthy")
	a.wait(r, "two", "HEALTHY", "Healthy")

	a.expect(h.output(a, "out"),
		input("one", "detector: {model: rare},", "module: auditd, socket_type: carrier pigeon"),
		input("two", "detector: {model: rare},", ndjson))
	for _, unit := range []string{"one", "two"} { // all or nothing: the other unit is not applied either
		a.wait(r, unit, "FAILED", `socket_type: "carrier pigeon" is not allowed; it must be auto, unicast or multicast`)
	}
	require.NoError(t, r.signal(syscall.SIGTERM))
}

func TestASourceThatFailsFailsItsUnitUntilItWorks(t *testing.T) {
	eachManagement(t, aSourceThatFailsFailsItsUnitUntilItWorks)
}

func aSourceThatFailsFailsItsUnitUntilItWorks(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t)
	require.NoError(t, os.Remove(h.input()))
	require.NoError(t, os.Mkdir(h.input(), 0o700)) // a folder where the file of documents should be
	other := filepath.Join(h.dir, "other.ndjson")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	r := h.start(a)
	a.expect(h.output(a, "out"), h.following(a, ""), a.unit(proto.UnitType_INPUT, fmt.Sprintf(
		"{id: well, type: reconbeat, data_stream: {namespace: lab}, streams: [{id: other, module: ndjson, paths: "+
			"[%q]}]}",
		other,
	)))
	a.wait(r, "in", "FAILED", "source_failed: a module could not start or ended with an error: ")
	a.wait(r, "well", "HEALTHY", "Healthy")
	require.NoError(t, os.Remove(h.input()))
	require.NoError(t, os.WriteFile(h.input(), nil, 0o600))
	h.Exec("root", "ss -s")
	a.wait(r, "in", "HEALTHY", "Healthy")
	r.shipped("out", "exec", "root", 1)
	require.NotContains(t, a.states("well"), "FAILED")
	require.NoError(t, r.signal(syscall.SIGTERM))
}

// TestAnOutputThatIsDownDegradesTheUnit takes more than a minute: so long may an output be silent before it is said.
func TestAnOutputThatIsDownDegradesTheUnit(t *testing.T) {
	eachManagement(t, anOutputThatIsDownDegradesTheUnit)
}

func anOutputThatIsDownDegradesTheUnit(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	listener.Close()
	r := h.start(a)
	a.expect(
		a.unit(proto.UnitType_OUTPUT, fmt.Sprintf(
			"{id: out, type: elasticsearch, hosts: ['http://%s'], preset: throughput, backoff: {init: 50ms, max: "+
				"100ms}}",
			address,
		)),
		h.following(a, ""),
	)
	a.wait(r, "in", "HEALTHY", "Healthy")
	rendered := a.diagnose("in")["beat-rendered-config.yml"]
	require.Regexp(t, `(?s)flush:\s+min_events: 1\s+timeout: 0`, rendered, "no preset keeps an alert back")
	require.Regexp(t, `worker: 4`, rendered, "the rest of the preset holds")
	require.NotContains(t, rendered, "preset")
	require.Contains(t, rendered, "index: logs-reconbeat.rejected-default")
	h.Exec("root", "ss -s")
	message := a.wait(r, "in", "DEGRADED",
		"output_stalled: the output acknowledges nothing: 1 document handed on, none acknowledged for ")
	require.NotContains(t, message, "\n")

	es := beattest.Serve(t, address)
	a.wait(r, "in", "HEALTHY", "Healthy")
	require.NotContains(t, a.states("in"), "FAILED")
	require.NoError(t, r.signal(syscall.SIGTERM))
	require.Contains(t, es.Indices(), "logs-reconbeat.process-lab")
}

func TestNothingIsLostWhenTheAgentKillsAndRestarts(t *testing.T) {
	eachManagement(t, nothingIsLostWhenTheAgentKillsAndRestarts)
}

func nothingIsLostWhenTheAgentKillsAndRestarts(t *testing.T, h *host) {
	t.Parallel()
	const lives, execs = 4, 100
	a := newAgent(t)
	h.learn()
	a.expect(h.output(a, "out"), h.following(a, ""))
	commands := map[string]bool{}
	for life := range lives {
		r := h.start(a)
		for i := range execs {
			command := fmt.Sprintf("ss -o exec-%d-%d", life, i)
			commands[command] = true
			h.Exec("root", command)
			if i == execs/2 { // the kill comes while it is busy
				r.shipped("out", "exec", "root", 1)
			}
		}
		require.Error(t, r.signal(syscall.SIGKILL))
	}
	r := h.start(a)
	ids := map[string]string{}
	r.eventually(func() bool {
		for _, doc := range h.find("out", "exec", "root") {
			ids[field(doc, "@metadata._id")] = field(doc, "process.command_line")
		}
		return len(ids) >= len(commands)
	}, func() string { return fmt.Sprintf("%d of %d execs are shipped", len(ids), len(commands)) })
	a.wait(r, "in", "HEALTHY", "Healthy")
	h.Exec("mallory", "ss -tunap")
	r.shipped("out", "alert", "mallory", 1) // what was learned before the kills is still known
	require.NoError(t, r.signal(syscall.SIGTERM))
	require.Len(t, ids, len(commands), "one _id an exec")
	seen := map[string]bool{}
	for _, command := range ids {
		seen[command] = true
	}
	require.Equal(t, commands, seen)
}

func TestAnotherOutputIsAnotherLife(t *testing.T) { eachManagement(t, anotherOutputIsAnotherLife) }

func anotherOutputIsAnotherLife(t *testing.T, h *host) {
	t.Parallel()
	a := newAgent(t)
	r := h.start(a)
	a.expect(h.output(a, "first"), h.following(a, ""))
	a.wait(r, "in", "HEALTHY", "Healthy")
	h.Exec("root", "ss -s")
	r.shipped("first", "exec", "root", 1)
	a.expect(h.output(a, "second"), h.following(a, ""))
	require.NoError(t, r.end(), "it ends in order, and the Agent starts it again")
	h.Exec("root", "ss -a")
	r = h.start(a)
	a.wait(r, "in", "HEALTHY", "Healthy")
	r.shipped("second", "exec", "root", 1)
	require.NoError(t, r.signal(syscall.SIGTERM))
	require.Len(t, h.find("first", "exec", "root"), 1)
	require.Len(t, h.find("second", "exec", "root"), 1)
}

// TestNoExecIsLostWhilePoliciesChange runs the tool itself under the kernel's audit, while one policy after the other
// comes: the settings of the whole Beat change, the file module changes and is started anew, a policy is wrong. Every
// exec that the kernel reported, and every document of the file, ships once.
func TestNoExecIsLostWhilePoliciesChange(t *testing.T) {
	eachManagement(t, noExecIsLostWhilePoliciesChange)
}

func noExecIsLostWhilePoliciesChange(t *testing.T, h *host) {
	ownAudit(t)
	a := newAgent(t)
	r := h.start(a)
	policy := func(settings, tag string) *proto.UnitExpected {
		return a.unit(proto.UnitType_INPUT, fmt.Sprintf(
			"{id: in, type: reconbeat, %s streams: [{id: kernel, module: auditd}, {id: documents, module: ndjson, "+
				"from: beginning, tags: [%s], paths: [%q]}]}",
			settings,
			tag,
			h.input(),
		))
	}
	a.expect(h.output(a, "out"), policy(threshold(25), "first"))
	a.wait(r, "in", "HEALTHY", "Healthy")

	// A kernel source is HEALTHY as soon as it is started; it sees execs from the moment on in which its rules are
	// loaded.
	r.eventually(func() bool {
		_ = exec.Command("ss", "-s").Run()
		return len(h.find("out", "exec", "root")) > 0
	}, func() string { return "the kernel's module sees nothing" })

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
	for i, p := range []*proto.UnitExpected{
		policy(threshold(50), "first"), policy(threshold(50), "second"), policy("detector: {model: nonsense},",
			"third"), policy(threshold(75)+"events: matched,", "fourth"),
	} {
		a.expect(h.output(a, "out"), p)
		if i == 2 {
			a.wait(r, "in", "FAILED", "the last good one runs on")
			continue
		}
		a.wait(r, "in", "HEALTHY", "Healthy")
	}
	close(quit)
	done.Wait()
	require.False(t, t.Failed())

	shipped := map[string]int{}
	r.eventually(func() bool {
		clear(shipped)
		for _, doc := range h.documents("out") {
			if command := field(doc, "process.command_line"); field(doc, "event.action") == "exec" &&
				(real[command] || written[command]) {
				shipped[command]++
			}
		}
		return len(shipped) >= len(real)+len(written)
	}, func() string {
		return fmt.Sprintf("%d of %d execs and %d documents are shipped", len(shipped), len(real), len(written))
	})
	for command, n := range shipped {
		require.Equal(t, 1, n, command)
	}
	require.GreaterOrEqual(t, metric(t, a.diagnose("in"), "reconbeat.modules.kernel.execs"), float64(len(real)),
		"the kernel's module ran on")
	require.NoError(t, r.signal(syscall.SIGTERM))
	t.Logf("%d execs under the kernel's audit and %d documents went through four policies", len(real), len(written))
}

// ownAudit waits for the kernel's audit, which is one for the whole machine, and skips the test where it cannot be had.
func ownAudit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: THE LIVE TEST NEEDS ROOT: it loads audit rules")
	}
	for _, tool := range []string{"ss", "auditctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: THE LIVE TEST NEEDS %s (Debian: iproute2 auditd)", tool)
		}
	}
	livetest.LockAudit(t)
	if out, err := exec.Command("auditctl", "-s").
		CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "\npid 0\n") {
		t.Skipf("SKIPPED: THE LIVE TEST NEEDS THE KERNEL'S AUDIT WITH NO OTHER OWNER: %v %s", err, out)
	}
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
