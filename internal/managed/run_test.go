// SPDX-License-Identifier: Apache-2.0

package managed_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/cmd"
	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/agenttest"
	"github.com/reconbeat/reconbeat/internal/beattest"
)

func TestMain(m *testing.M) {
	if os.Getenv(beattest.AsReconbeat) != "" {
		if err := cmd.NewRootCommand().Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The tests wait for what they have started, two of them for a minute: as many as the processors are too few at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Fprintln(os.Stderr, "letting four tests run at once:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// host is a folder in which an Agent runs reconbeat, again and again.
type host struct {
	*beattest.Host
	*agenttest.Agent
	t    *testing.T
	data string // where it keeps its state
}

func newHost(t *testing.T, changes ...func(*wire.StartUp)) *host {
	h := &host{Host: beattest.NewHost(t), Agent: agenttest.New(t, changes...), t: t}
	h.data = filepath.Join(h.Dir, "data")
	return h
}

// arguments are an Agent's.
var arguments = []string{
	"-E", "setup.ilm.enabled=false", "-E", "setup.template.enabled=false",
	"-E", "management.enabled=true", "-E", "management.restart_on_output_change=true",
	"-E", "logging.level=info", "-E", "logging.to_stderr=true",
}

// command makes a command of reconbeat on this host.
func (h *host) command(args ...string) *exec.Cmd {
	for _, path := range []string{"home", "config"} {
		args = append(args, "-E", "path."+path+"="+h.Dir)
	}
	c := exec.Command(os.Args[0], append(args, "-E", "path.data="+h.data)...)
	c.Env = append(os.Environ(), beattest.AsReconbeat+"=1")
	return c
}

// run is one life of reconbeat.
type run struct {
	*beattest.Run
	h *host
}

// start runs reconbeat as an Agent does.
func (h *host) start() *run {
	c := h.command(arguments...)
	c.Stdin = bytes.NewReader(h.Agent.Start())
	return &run{h.Host.Start(c), h}
}

// output is the policy's output: a file.
func (h *host) output(file string) *wire.ExpectedUnit {
	return h.Unit(wire.Kind_KIND_OUTPUT,
		fmt.Sprintf("{id: out, type: file, path: %q, filename: %s, permissions: 0600}", h.Dir, file))
}

// input is an input of one stream, which follows the host's file, with more settings of the input's.
func (h *host) input(id, settings string) *wire.ExpectedUnit {
	return h.Unit(wire.Kind_KIND_INPUT, fmt.Sprintf(
		"{id: %s, type: reconbeat, data_stream: {namespace: lab}, %s streams: [{id: %s-documents, module: ndjson, from: "+
			"beginning, paths: [%q]}]}", id, settings, id, h.Input()))
}

// becomes waits until a unit is in a state by the newest configuration, with this in its message, which it returns.
func (r *run) becomes(unit, state, message string) string {
	r.h.t.Helper()
	return r.h.Becomes(r.Until, unit, state, message)
}

// TestAnAgentRunsReconbeat runs the binary of the packages under an Agent: what the policy says is true, and the Agent
// sees it.
func TestAnAgentRunsReconbeat(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*wire.StartUp)
	}{
		{name: "over TCP", change: func(*wire.StartUp) {}},
		{name: "over a socket", change: func(s *wire.StartUp) { s.Address = "unix" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, row.change)
			r := h.start()
			h.Expect(h.output("out"), h.input("in", ""))
			require.Equal(t, "Healthy", r.becomes("in", "HEALTHY", ""))
			r.becomes("out", "HEALTHY", "Healthy")
			require.Equal(t, "STARTING HEALTHY", h.States("in"))
			require.Equal(t, map[string]any{"streams": map[string]any{
				"in-documents": map[string]any{"status": "HEALTHY", "error": ""},
			}}, h.Payload("in"))
			require.Equal(t, "reconbeat", h.Introduced().Version.Name)
			require.Equal(t, cmd.Version, h.Introduced().Version.Meta["version"])

			h.Exec("root", "ss -tan")
			doc := r.Shipped("out", "exec", "root", 1)[0]
			for name, want := range map[string]string{
				"elastic_agent.id": "3f5e0b1c-agent", "elastic_agent.version": "9.4.0", "agent.version": "9.4.0",
				"data_stream.dataset": "reconbeat.process", "data_stream.namespace": "lab",
			} {
				require.Equal(t, want, beattest.Field(doc, name), name)
			}

			stopped := h.input("in", "")
			stopped.State = wire.State_STATE_STOPPED
			h.Expect(h.output("out"), stopped)
			r.becomes("in", "STOPPED", "Stopped")
			gone := h.output("out")
			gone.State = wire.State_STATE_STOPPED
			h.Expect(gone, stopped)
			require.NoError(t, r.Wait())
			state, _, _ := h.StateOf("out")
			require.Equal(t, "STOPPED", state, "said before the end")
		})
	}
}

// TestPoliciesThatComeAtOnce has policies come in pieces, by the dozen, and with units removed and added in one step.
func TestPoliciesThatComeAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	h.ExpectInPieces(h.output("out"), h.input("first", ""), h.input("second", ""))
	r.becomes("first", "HEALTHY", "Healthy")
	r.becomes("second", "HEALTHY", "Healthy")

	h.Expect(h.output("out"), h.input("second", ""), h.input("third", ""))
	r.becomes("third", "HEALTHY", "Healthy")
	r.becomes("second", "HEALTHY", "Healthy")
	r.Until(func() string { return "the unit that is gone is still observed" }, func() bool {
		for _, u := range h.Last().Units {
			if u.Id == "first" {
				return false
			}
		}
		return true
	})
	for i := range 50 {
		h.Expect(h.output("out"), h.input("second", fmt.Sprintf("detector: {threshold: %d},", i)))
		h.ExpectInPieces(h.output("out"), h.input("second", "detector: {model: nonsense},"))
	}
	r.becomes("second", "FAILED", "the last good one runs on: reconbeat.detector.model: \"nonsense\" is not allowed")
	h.Expect(h.output("out"), h.input("second", ""))
	r.becomes("second", "HEALTHY", "Healthy")
	h.Exec("root", "ss -tan")
	r.Shipped("out", "exec", "root", 1)
	require.NoError(t, r.Signal(syscall.SIGTERM))
	require.NotContains(t, r.Log.All(), "panic")
}

// TestAnAgentThatIsAway takes the Agent away while reconbeat watches, and breaks its streams: what is found meanwhile
// ships, and the policy that comes with the Agent is applied.
func TestAnAgentThatIsAway(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	h.Expect(h.output("out"), h.input("in", ""))
	r.becomes("in", "HEALTHY", "Healthy")
	h.Break()
	r.Until(func() string { return "no stream is opened after a break" }, func() bool { return h.Streams() == 2 })

	h.Down()
	h.Exec("root", "ss -tan")
	r.Shipped("out", "exec", "root", 1)
	h.Expect(h.output("out"), h.input("in", "detector: {model: nonsense},"))
	h.Up()
	r.becomes("in", "FAILED", `"nonsense" is not allowed`)
	require.NoError(t, r.Signal(syscall.SIGTERM))
	require.Contains(t, r.Log.All(), "the Elastic Agent answers again")
}

// TestAnotherOutputRestarts has the output change while a document waits: it ships to the new one.
func TestAnotherOutputRestarts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	closed := "{id: out, type: elasticsearch, hosts: ['http://127.0.0.1:1'], username: u, password: SECRET}"
	h.Expect(h.Unit(wire.Kind_KIND_OUTPUT, closed), h.input("in", ""))
	r.becomes("in", "HEALTHY", "Healthy")
	files := h.Diagnose("in")
	require.Contains(t, files["beat-rendered-config.yml"], "http://127.0.0.1:1")
	require.Contains(t, files["beat-rendered-config.yml"], "module: ndjson")
	require.NotContains(t, files["beat-rendered-config.yml"], "SECRET")
	require.Contains(t, files["reconbeat-model.json"], "the context model knows nobody yet")
	require.Contains(t, files["reconbeat-model.json"], `"rule": "network-connection-discovery"`)
	h.Exec("root", "ss -tan")
	r.Until(func() string { return "nothing waits" }, func() bool {
		var m mapstr.M
		require.NoError(t, json.Unmarshal([]byte(h.Diagnose("in")["beat_metrics.json"]), &m))
		execs, err := m.GetValue("reconbeat.modules.in-documents.execs")
		return err == nil && execs == 1.0
	})
	h.Expect(h.output("out"), h.input("in", ""))
	require.NoError(t, r.Wait(), "it ends in order, and the Agent starts it again")
	r = h.start()
	r.becomes("in", "HEALTHY", "Healthy")
	require.Len(t, r.Shipped("out", "exec", "root", 1), 1)
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// TestAnOutputThatIsWrong has detection go on while the output cannot be made: what is found waits.
func TestAnOutputThatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	h.Expect(h.Unit(wire.Kind_KIND_OUTPUT, "{id: out, type: elasticsearch, hosts: ['http://127.0.0.1:1'], "+
		"worker: nonsense}"), h.input("in", ""))
	r.becomes("out", "FAILED", "setting the output: ")
	r.becomes("in", "HEALTHY", "Healthy")
	h.Exec("root", "ss -tan")
	h.Expect(h.output("out"), h.input("in", ""))
	require.NoError(t, r.Wait(), "libbeat takes no other output")
	r = h.start()
	r.becomes("out", "HEALTHY", "Healthy")
	r.Shipped("out", "exec", "root", 1)
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// TestWhatHoldsForTheWholeProgram has the Agent set how much is logged, how many processors there are, and a feature.
func TestWhatHoldsForTheWholeProgram(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start()
	out, in := h.output("out"), h.input("in", "")
	in.Level = wire.Level_LEVEL_DEBUG
	h.ExpectWith(&wire.Expected{
		Features:  &wire.Features{FullName: &wire.FullName{Enabled: true}},
		Component: &wire.Component{Limits: &wire.Limits{Processors: 1}},
	}, out, in)
	r.becomes("in", "HEALTHY", "Healthy")
	require.Equal(t, h.Newest(), h.Last().FeaturesIndex)
	require.Equal(t, h.Newest(), h.Last().ComponentIndex)
	require.Contains(t, r.Log.All(), "limits the processors to 1")
	h.Exec("root", "ss -tan")
	r.Shipped("out", "exec", "root", 1)
	r.Until(func() string { return "nothing is logged for a debugger" }, func() bool {
		return strings.Contains(r.Log.All(), `"log.level":"debug"`)
	})

	answer := h.Ask(&wire.ActionRequest{Id: "component", Type: wire.ActionRequest_TYPE_DIAGNOSTICS,
		Scope: wire.ActionRequest_SCOPE_COMPONENT})
	var names []string
	for _, d := range answer.Diagnostics {
		require.NotEmpty(t, d.Content, d.Name)
		require.NotNil(t, d.At, d.Name)
		names = append(names, d.File)
	}
	require.Contains(t, names, "goroutine.pprof.gz")
	require.NotContains(t, names, "cpu.pprof", "nobody has asked for it")
	logged := answer.Diagnostics[slices.Index(names, "reconbeat-log.ndjson")]
	require.Contains(t, string(logged.Content), "limits the processors to 1", "of the management")
	require.Contains(t, string(logged.Content), "watching with ndjson", "of the Beat")
	require.Contains(t, string(logged.Content), `"logger":"publisher`, "of libbeat")
	for _, refused := range []struct {
		request *wire.ActionRequest
		reason  string
	}{
		{
			request: &wire.ActionRequest{Id: "1", Name: "explode", Parameters: []byte("{}")},
			reason:  `{"error":"reconbeat has no action \"explode\""}`,
		},
		{
			request: &wire.ActionRequest{Id: "2", Type: wire.ActionRequest_TYPE_DIAGNOSTICS,
				Scope: wire.ActionRequest_SCOPE_UNIT, Unit: "nosuch"},
			reason: `{"error":"reconbeat has no unit \"nosuch\""}`,
		},
		{
			request: &wire.ActionRequest{Id: "3", Type: 7},
			reason:  `{"error":"reconbeat knows no actions of type 7"}`,
		},
		{
			request: &wire.ActionRequest{Id: "4", Type: wire.ActionRequest_TYPE_DIAGNOSTICS, Parameters: []byte("nonsense")},
			reason: `{"error":"reading the parameters of a request for diagnostics: invalid character 'o' in literal null ` +
				`(expecting 'u')"}`,
		},
	} {
		answer := h.Ask(refused.request)
		require.Equal(t, wire.ActionResponse_STATUS_FAILED, answer.Status)
		require.JSONEq(t, refused.reason, string(answer.Result))
	}
	require.NoError(t, r.Signal(syscall.SIGTERM))
}

// replayed is the reconbeat that a recorded session is replayed to.
type replayed struct {
	*beattest.Run
	host *beattest.Host
	make func(args ...string) *exec.Cmd
}

// Start implements agenttest.Program.
func (p *replayed) Start(standardInput []byte) {
	c := p.make(arguments...)
	c.Stdin = bytes.NewReader(standardInput)
	p.Run = p.host.Start(c)
}

// End implements agenttest.Program.
func (p *replayed) End() error { return p.Signal(syscall.SIGTERM) }

// Answered implements agenttest.Program. An answer of today may have more.
func (p *replayed) Answered(files, recorded []string) { require.Subset(p.host.T, files, recorded) }

// TestTheSessionsOfRealAgents replays what real Agents said.
func TestTheSessionsOfRealAgents(t *testing.T) {
	for _, version := range agenttest.Sessions(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			for _, name := range []string{"in.ndjson", "in2.ndjson"} {
				require.NoError(t, os.WriteFile(filepath.Join(h.Dir, name), nil, 0o600))
			}
			a := agenttest.Replay(t, version, &replayed{host: h.Host, make: h.command},
				"FOLDER", h.Dir, "ELASTICSEARCH", "http://127.0.0.1:1", "OTHER", "http://127.0.0.1:2")
			require.Equal(t, cmd.Version, a.Introduced().Version.Meta["version"])
		})
	}
}

// TestReconbeatWithoutAnAgentSaysSo has people type what only an Agent may.
func TestReconbeatWithoutAnAgentSaysSo(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	file := filepath.Join(h.Dir, "reconbeat.yml")
	require.NoError(t, os.WriteFile(file, []byte("output.file: {path: out}\nmanagement.enabled: true\n"), 0o600))
	for _, row := range []struct {
		args []string
		want string
	}{
		{args: arguments, want: "standard input is empty; an Elastic Agent writes there how it is reached"},
		{args: append([]string{"-E", "management.insecure_grpc_url_for_testing=localhost:1"}, arguments...),
			want: "management.insecure_grpc_url_for_testing is not allowed"},
		{args: []string{"-e", "-c", file}, want: "management.enabled is not allowed in a file"},
	} {
		out, err := h.command(row.args...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), row.want)
	}
}
