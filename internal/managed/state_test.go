// SPDX-License-Identifier: Apache-2.0

package managed_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/agent/wire"
	"github.com/reconbeat/reconbeat/internal/agenttest"
	"github.com/reconbeat/reconbeat/internal/beattest"
)

// TestTwoAgentsDoNotShareAState has a second Agent, of another version, start reconbeat on the state of the first, as
// where an upgrade did not end the old one: the second reconbeat says why it ends, and the first goes on. When that
// has ended, the second has what was learned and what was not shipped.
func TestTwoAgentsDoNotShareAState(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	h.Expect(h.Unit(wire.Kind_KIND_OUTPUT, "{id: out, type: elasticsearch, hosts: ['http://127.0.0.1:1']}"),
		h.following(""))
	first := h.start()
	first.becomes("in", "HEALTHY", "Healthy")
	h.Exec("mallory", "ss -tunap")
	first.Until(func() string { return "the alert does not wait in the journal" }, func() bool {
		return metric(t, h.Diagnose("in"), "reconbeat.detector.alerts") == 1
	})

	newer := &host{Host: h.Host, t: t, data: h.data,
		Agent: agenttest.New(t, func(s *wire.StartUp) { s.Agent.Version = "9.5.0" })}
	newer.Expect(newer.output("out"), newer.following(""))
	second := newer.start()
	require.Error(t, second.Wait())
	require.Contains(t, second.Log.All(), fmt.Sprintf("another reconbeat uses this state: directory %s, ",
		filepath.Join(h.data, "state")))
	require.Contains(t, second.Log.All(), fmt.Sprint(first.PID()), "it names who has it")
	first.becomes("in", "HEALTHY", "Healthy")
	require.NoError(t, first.Signal(syscall.SIGTERM))

	second = newer.start()
	second.becomes("in", "HEALTHY", "Healthy")
	alert := second.Shipped("out", "alert", "mallory", 1)[0]
	require.Equal(t, "9.5.0", beattest.Field(alert, "elastic_agent.version"))
	require.NoError(t, second.Signal(syscall.SIGTERM))
}

// TestWhatWasLearnedMoves takes what a service has learned into an Agent's component, and back: each has a state of its
// own, and what was learned moves by model export and import, while reconbeat runs.
func TestWhatWasLearnedMoves(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	service, component := filepath.Join(h.Dir, "service"), h.data
	model := func(data string, args ...string) string {
		was := h.data
		h.data = data
		defer func() { h.data = was }()
		config := filepath.Join(h.Dir, "reconbeat.yml")
		require.NoError(t, os.WriteFile(config, []byte("output.file: {path: unused}\n"), 0o600))
		out, err := h.command(append([]string{"model", "-c", config}, args...)...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return string(out)
	}
	h.data = service
	h.learn()
	h.data = component
	moved := filepath.Join(h.Dir, "moved.json")
	model(service, "export", moved)

	r := h.start()
	h.Expect(h.output("out"), h.following(threshold(0)))
	r.becomes("in", "HEALTHY", "Healthy")
	model(component, "import", "--yes", moved)
	r.Until(func() string { return "what was imported is not taken over" }, func() bool {
		return strings.Contains(h.Diagnose("in")["reconbeat-model.json"], "has learned for 60.")
	})
	h.Exec("mallory", "ss -tunap")
	alert := r.Shipped("out", "alert", "mallory", 1)[0]
	require.Contains(t, beattest.Field(alert, "reconbeat.anomaly.typical_users"), "root")
	require.NoError(t, r.Signal(syscall.SIGTERM))

	model(component, "export", moved)
	model(service, "import", "--yes", moved)
	require.Contains(t, model(service, "show"), "mallory", "what the component has learned")
}

// TestAFullDiskUnderAnAgent fills the disk that the state lies on: the unit is DEGRADED with the reason, detection goes
// on, and nothing is lost.
func TestAFullDiskUnderAnAgent(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.NoError(t, os.Mkdir(h.data, 0o700))
	if err := unix.Mount("tmpfs", h.data, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("SKIPPED: A FULL DISK NEEDS THE RIGHT TO MOUNT A TMPFS: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(h.data, unix.MNT_DETACH)) })
	h.learn()
	r := h.start()
	h.Expect(h.output("out"), h.following(""))
	r.becomes("in", "HEALTHY", "Healthy")
	ballast := filepath.Join(h.data, "ballast")
	f, err := os.Create(ballast)
	require.NoError(t, err)
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
	execs := 0
	r.Until(func() string { return "not DEGRADED: " + h.Describe("in") }, func() bool {
		h.Exec("root", "ss -s")
		execs++
		state, said, _ := h.StateOf("in")
		return state == "DEGRADED" && strings.Contains(said, "state_not_written: the state cannot be written: ")
	})
	h.Exec("mallory", "ss -tunap")
	r.Shipped("out", "alert", "mallory", 1)
	require.Contains(t, h.Diagnose("in")["reconbeat-health.json"], "no space left on device")

	require.NoError(t, os.Remove(ballast))
	r.Shipped("out", "exec", "root", execs)
	require.NoError(t, r.Signal(syscall.SIGTERM))
	require.NotContains(t, h.States("in"), "FAILED")
}
