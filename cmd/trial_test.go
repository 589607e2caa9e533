// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tries runs the self test against the reconbeat that runs with the same configuration.
func (h *host) tries(config, timeout string) (said string, err error) {
	c, _ := h.command(config, "test", "alert", "--exec", "--timeout", timeout)
	out, err := c.CombinedOutput()
	return string(out), err
}

// The self test says that no reconbeat runs, that it has no module for this host's program starts, or no rule.
func TestASelfTestSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	said, err := h.tries(oneModule+theFile, "5s")
	require.Error(t, err)
	require.Contains(t, said, "no reconbeat runs with the state in "+h.dir)

	r := h.start(oneModule + theFile)
	r.wait("detector.execs", 0)
	said, err = h.tries(oneModule+theFile, "1m")
	require.Error(t, err)
	require.Regexp(t, `(?m)^service  takes the test up, after `, said)
	require.Contains(t, said, "no module that reports this host's program starts runs (running: documents)")
	require.NoError(t, r.end(syscall.SIGTERM))

	off := oneModule + theFile + "reconbeat.detector.rules: [{id: network-connection-discovery, enabled: false}]\n"
	r = h.start(off)
	r.wait("detector.execs", 0)
	said, err = h.tries(off, "1m")
	require.Error(t, err)
	require.Contains(t, said, "no rule is enabled")
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Empty(t, h.shipped("alert"))
}

// The self test goes through the kernel's audit, the module, the detector and the output, and says where it stops. Its
// alert is marked, and nothing else is made of its program start.
func TestLiveSelfTest(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: THE LIVE TEST NEEDS ROOT: it loads audit rules")
	}
	takeAudit(t)
	const audit = "reconbeat.modules: [{module: auditd}]\n"
	const dropping = "reconbeat.modules: [{module: auditd, " +
		"processors: [{drop_event.when.contains.process.name: netstat}]}]\n"
	for _, c := range []struct {
		name, config, timeout string
		stopped               bool // reconbeat is
		says                  []string
		fails                 bool
		alerts                int
	}{
		{
			name: "it arrives", config: audit + theFile, timeout: "60s", alerts: 1,
			says: []string{
				`(?m)^service  takes the test up, after `, `(?m)^kernel   netstat ran as pid \d+, after `,
				`(?m)^module   auditd\S* reported it, after `, `(?m)^detector rule network-connection-discovery matched it, after `,
				`(?m)^alert    _id \S{20}, after `, `(?m)^output   acknowledged it, after `,
			},
		},
		{
			name: "a module's processor drops it", config: dropping + theFile, timeout: "60s", fails: true,
			says: []string{`a processor of module auditd\S* dropped the program start`},
		},
		{
			name: "a processor drops the alert", timeout: "60s", fails: true,
			config: audit + theFile + "processors: [{drop_event.when.equals.event.kind: alert}]\n",
			says:   []string{`detector rule`, `a processor of the configuration dropped the alert`},
		},
		{
			name: "the output is away", config: audit + deadElasticsearch, timeout: "15s", fails: true,
			says: []string{`detector rule`, `the alert is in the journal, and the output has not acknowledged it`},
		},
		{
			name: "it does not answer", config: audit + theFile, timeout: "2s", stopped: true, fails: true,
			says: []string{`did not take the request up`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			r := h.start(c.config)
			h.eventually(func() bool { // on a quiet host nobody else starts a program
				_ = exec.Command("true").Run()
				return r.stat("detector.execs") >= 1
			}, "it sees no program start:\n%s", r.log)
			if c.stopped {
				require.NoError(t, syscall.Kill(r.PID(), syscall.SIGSTOP))
			}
			said, err := h.tries(c.config, c.timeout)
			if c.stopped {
				require.NoError(t, syscall.Kill(r.PID(), syscall.SIGCONT))
			}
			require.Equal(t, c.fails, err != nil, said)
			for _, line := range c.says {
				require.Regexp(t, line, said)
			}
			require.NoError(t, r.end(syscall.SIGTERM))
			require.Len(t, h.shipped("alert"), c.alerts)
			for _, doc := range h.documents() {
				if !strings.Contains(text(doc, "process.args"), "reconbeat-test=") {
					continue
				}
				require.Equal(t, "alert", text(doc, "event.action"))
				require.Equal(t, "true", text(doc, "reconbeat.alert.test"))
				require.Empty(t, text(doc, "reconbeat.correlation.id"))
				require.Contains(t, text(doc, "message"), "Test of reconbeat: ")
			}
		})
	}
}
