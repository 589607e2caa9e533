// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-libaudit/v2/rule"
	"github.com/elastic/go-libaudit/v2/rule/flags"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/livetest"
	"github.com/reconbeat/reconbeat/process"
)

const auditctlEnv = "RECONBEAT_TEST_AUDITCTL"

// playAuditctl does what auditctl does with its arguments, several commands one after the other with `;` between them.
func playAuditctl(args []string) int {
	c, err := openControl()
	for _, line := range strings.Split(strings.Join(args, " "), ";") {
		if err == nil {
			err = auditctl(c, strings.Fields(line))
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func auditctl(c *control, args []string) error {
	settings := map[string]setting{"-e": enabled, "-r": rateLimit, "-b": backlogLimit, "-f": failure}
	if s, ok := settings[args[0]]; ok {
		n, err := strconv.ParseUint(args[1], 10, 32)
		if err != nil {
			return err
		}
		s.want = uint32(n)
		return c.apply(s)
	}
	if args[0] == "-D" {
		rules, err := c.rules()
		for _, r := range rules {
			if err == nil {
				err = c.delete(r)
			}
		}
		return err
	}
	add := args[0] != "-d"
	if !add {
		args = append([]string{"-a"}, args[1:]...)
	}
	parsed, err := flags.Parse(strings.Join(args, " "))
	if err != nil {
		return err
	}
	wire, err := rule.Build(parsed)
	if err != nil {
		return err
	}
	if args[0] == "-A" {
		binary.NativeEndian.PutUint32(wire, binary.NativeEndian.Uint32(wire)|unix.AUDIT_FILTER_PREPEND)
	}
	if add {
		return c.add(wire)
	}
	return c.delete(loadedRule{wire: wire})
}

// tamper runs auditctl in a login session of an account, as root.
func tamper(t *testing.T, login string, line string) {
	t.Helper()
	cmd := exec.Command(
		"/bin/sh",
		"-c",
		`[ -z "$1" ] || echo "$1" > /proc/self/loginuid; shift; exec "$@"`,
		"sh",
		login,
		os.Args[0],
		line,
	)
	cmd.Env = append(os.Environ(), auditctlEnv+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// tampering returns what was reported as tampering, by event.action; empty: all.
func tampering(m *livetest.Module, action string) []*process.Event {
	return m.Events(func(e *process.Event) bool {
		return e.Kind == process.Tamper && (action == "" || e.Change.Action == action)
	})
}

// tampered says whether the condition holds.
func tampered(m *livetest.Module) bool {
	return slices.ContainsFunc(m.Board.Active(), func(s health.State) bool {
		return s.Condition == health.AuditTampered
	})
}

func TestLiveTamperingIsReportedWithTheAccount(t *testing.T) {
	c := takeAudit(t)
	login := user(t, "rbtest-mallory")
	for _, kind := range []string{unicast, multicast} {
		t.Run(kind, func(t *testing.T) {
			if kind == multicast {
				startOwner(t)
			}
			m := start(t, map[string]any{"socket_type": kind})
			const never = " never,exit -F arch=b64 -S execve -F uid=33"
			const untraced = " always,exclude -F msgtype=CONFIG_CHANGE"
			rows := []struct{ name, do, undo, says string }{
				{
					name: "a never rule before ours",
					do:   "-A" + never, undo: "-d" + never, says: "never,exit",
				}, {
					name: "an exclude rule",
					do:   "-a always,exclude -F msgtype=EXECVE", undo: "-d always,exclude -F msgtype=EXECVE", says: "EXECVE",
				}, {
					name: "an exclude rule against its own trace",
					do:   "-a" + untraced, undo: "-d" + untraced, says: "CONFIG_CHANGE",
				}, {
					name: "a task rule",
					do:   "-a never,task", undo: "-d never,task", says: "never,task",
				}, {
					name: "off",
					do:   "-e 0", undo: "-e 1", says: "switched the kernel's audit off",
				}, {
					name: "off and on at once",
					do:   "-e 0; -e 1", says: "switched the kernel's audit off",
				}, {
					// With a key of its own: records name rules by list and key, and one that was listed a moment
					// ago is known.
					name: "added and deleted at once",
					do:   "-A" + never + " -k other; -d" + never + " -k other", says: "other",
				}, {
					name: "our rules",
					do:   "-D", says: "deleted the audit rules",
				}, {
					name: "a rate of one record",
					do:   "-r 1", undo: "-r 0", says: "limited audit to 1 records a second",
				},
			}
			for _, row := range rows {
				t.Run(row.name, func(t *testing.T) {
					m.T = t
					defer func() { m.Canary() }()
					before, ends := len(tampering(m, process.ChangedAudit)), len(tampering(m, process.RestoredAudit))
					began := time.Now()
					tamper(t, login, row.do)
					m.Until("it is reported", func() bool { return len(tampering(m, process.ChangedAudit)) > before })
					took := time.Since(began)
					e := tampering(m, process.ChangedAudit)[before]
					t.Logf(
						"reported after %s: %s: %s: %s",
						took.Round(time.Millisecond),
						e.Change.Text,
						e.Change.Record,
						e.Executable,
					)
					assert.Contains(t, e.Change.Text, row.says)
					if row.do != "-a"+untraced && !strings.HasPrefix(row.do, "-r") {
						assert.Equal(t, login, fmt.Sprint(e.Session.User.ID))
						assert.EqualValues(t, 0, e.User.ID)
						assert.Equal(t, os.Args[0], e.Executable)
						assert.NotEmpty(t, e.Change.Record)
					}
					if row.undo != "" {
						tamper(t, login, row.undo)
					}
					m.Until(
						"its end is reported",
						func() bool { return len(tampering(m, process.RestoredAudit)) > ends },
					)
					end := tampering(m, process.RestoredAudit)[ends]
					t.Logf("%s", end.Change.Text)
					assert.True(t, end.Time.After(end.Change.Since))
					m.Until("the condition ends", func() bool { return !tampered(m) })
				})
			}
			m.T = t
			time.Sleep(grace + watchPeriod)
			assert.Len(t, tampering(m, process.ChangedAudit), len(rows), "each once")
			assert.Contains(t, m.Conditions(), "+audit_tampered")
			require.NoError(t, m.Stop())
		})
	}
	assert.NotEqual(t, uint32(locked), situationOf(c, nil).status.Enabled)
}

func TestLiveALoginUserThatChangesWithoutALogin(t *testing.T) {
	takeAudit(t)
	alice, bob := user(t, "rbtest-alice"), user(t, "rbtest-bob")
	m := start(t, nil)
	script := fmt.Sprintf(
		"echo %s > /proc/self/loginuid; /bin/true mark-of-alice; echo %s > /proc/self/loginuid",
		alice,
		bob,
	)
	require.NoError(t, exec.Command("/bin/sh", "-c", script).Run())
	m.Until("it is reported", func() bool { return len(tampering(m, process.ChangedLogin)) > 0 })
	e := tampering(m, process.ChangedLogin)[0]
	assert.Equal(t, alice, fmt.Sprint(e.Session.User.ID))
	session := m.Execs("mark-of-alice")
	require.Len(t, session, 1)
	assert.Equal(t, session[0].Session.ID, e.Session.ID)
	assert.Contains(t, e.Change.Text, "from uid "+alice+" to uid "+bob)
	assert.Equal(t, "sh", e.Args[0][strings.LastIndexByte(e.Args[0], '/')+1:])
	assert.NotContains(t, m.Conditions(), "+audit_tampered")
}

func TestLiveWhatHidesNothingIsNoTampering(t *testing.T) {
	c := takeAudit(t)
	login := user(t, "rbtest-admin")
	before := situationOf(c, nil).status
	m := start(t, nil)
	for _, line := range []string{
		"-a always,exit -F arch=b64 -S mknod -k theirs", "-d always,exit -F arch=b64 -S mknod -k theirs",
		"-a never,exit -F arch=b64 -S execve -F uid=33", "-d never,exit -F arch=b64 -S execve -F uid=33", // behind ours
		"-a always,exclude -F msgtype=CWD", "-d always,exclude -F msgtype=CWD",
		"-b 4096", "-f 1", "-f 0", "-b " + fmt.Sprint(max(before.BacklogLimit, 8192)),
	} {
		tamper(t, login, line)
		m.Canary()
		time.Sleep(watchPeriod) // a rule that is deleted before an inspection cannot be known to be harmless
	}
	time.Sleep(2 * grace)
	other := start(t, map[string]any{"socket_type": multicast}) // another reconbeat beside it
	require.NoError(t, other.Stop())
	m.Canary()
	time.Sleep(2 * grace)
	require.NoError(t, m.Stop())
	for _, e := range tampering(m, "") {
		t.Errorf("reported: %s: %s (pid %d, %s)", e.Change.Text, e.Change.Record, e.PID, e.Executable)
	}
	assert.False(t, slices.Contains(m.Conditions(), "+audit_tampered"))
}
