// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/livetest"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/process"
)

// The tests in this file run against the kernel of this host. Audit has one owner and one list of rules per host, so
// they take a lock that all such tests share, and are skipped, loudly, where they cannot run.

const ownerEnv = "RECONBEAT_TEST_AUDIT_OWNER"

var update = flag.Bool("update", false, "capture testdata anew from this host's kernel")

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		os.Exit(ownAudit())
	}
	if os.Getenv(auditctlEnv) != "" {
		os.Exit(playAuditctl(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// ownAudit plays another audit daemon: it takes the audit pid once that is free, says so, and reads until its standard
// input ends.
func ownAudit() int {
	s, err := openSocket(0, 1<<20)
	if err == nil {
		err = register(s, uint32(os.Getpid()))
		for end := time.Now().Add(livetest.Patience); err != nil && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
			err = register(s, uint32(os.Getpid()))
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("owner")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = register(s, 0)
		os.Exit(0)
	}()
	for {
		if _, err := s.Receive(time.Minute); err != nil && err != unix.ENOBUFS && err != os.ErrDeadlineExceeded {
			fmt.Println(err)
			return 1
		}
	}
}

// startOwner starts another audit daemon, and stops it at the end of the test.
func startOwner(t *testing.T) { replaceOwner(t, func() {}) }

// replaceOwner is startOwner where the audit pid is not free: letGo is called until the daemon has it.
func replaceOwner(t *testing.T, letGo func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	said := make(chan string, 1)
	go func() {
		text := make([]byte, 256)
		n, _ := out.Read(text)
		said <- strings.TrimSpace(string(text[:n]))
	}()
	for {
		select {
		case text := <-said:
			require.Equal(t, "owner", text)
			return
		case <-time.After(10 * time.Millisecond):
			letGo()
		}
	}
}

// takeAudit makes this test the only one that touches the host's audit, and checks at its end that everything is as it
// was.
func takeAudit(t *testing.T) *control {
	t.Helper()
	livetest.LockAudit(t)
	c, err := openControl()
	if err != nil {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	before := situationOf(c, nil)
	switch {
	case before.denied != nil:
		t.Skipf("SKIPPED, NOTHING WAS TESTED: the kernel's audit cannot be managed here: %v", before.denied)
	case before.owner != "":
		t.Skipf("SKIPPED, NOTHING WAS TESTED: the audit pid belongs to %s (pid %d)", before.owner, before.status.PID)
	case before.status.Enabled == locked:
		t.Skip("SKIPPED, NOTHING WAS TESTED: audit is immutable until a reboot")
	case before.status.PID != 0: // of a test that was killed
		s, err := openSocket(0, 1<<16)
		require.NoError(t, err)
		require.NoError(t, register(s, uint32(os.Getpid())))
		require.NoError(t, register(s, 0))
		require.NoError(t, s.Close())
	}
	t.Cleanup(func() {
		after := situationOf(c, nil)
		require.NoError(t, after.denied)
		assert.Zero(t, after.status.PID, "the audit pid is free again")
		for _, s := range []setting{failure, rateLimit, backlogLimit, backlogWaitTime, enabled} {
			assert.Equal(t, s.of(before.status), s.of(after.status), "%s is as it was", s.name)
		}
		assert.Equal(t, wires(before.rules), wires(after.rules), "the rules are as they were")
	})
	return c
}

func wires(rules []loadedRule) (out [][]byte) {
	for _, r := range rules {
		out = append(out, r.wire)
	}
	return out
}

// start runs the module with options, and returns when it sees execs.
func start(t *testing.T, options map[string]any) *livetest.Module {
	t.Helper()
	return livetest.Start(t, New, options)
}

// user makes an account for the test.
func user(t *testing.T, name string) (uid string) {
	t.Helper()
	_ = exec.Command("userdel", name).Run()
	out, err := exec.Command("useradd", "--no-create-home", name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { _ = exec.Command("userdel", name).Run() })
	id, err := exec.Command("id", "-u", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(id))
}

// as returns a command line that logs a user in and runs a command as them, as a login program would.
func as(uid string, command ...string) *exec.Cmd {
	script := `echo "$1" > /proc/self/loginuid && uid=$1 && shift && exec setpriv --reuid="$uid" --regid="$uid" ` +
		`--clear-groups -- "$@"`
	return exec.Command("/bin/sh", append([]string{"-c", script, "login", uid}, command...)...)
}

func TestLiveEveryExecOfEveryUserIsSeenOnce(t *testing.T) {
	takeAudit(t)
	alice, bob := user(t, "rbtest-alice"), user(t, "rbtest-bob")
	m := start(t, nil)
	const rounds = 60
	for i := range rounds {
		mark := fmt.Sprintf("once-%d", i)
		for _, uid := range []string{alice, bob} {
			out, err := as(
				uid,
				"/usr/bin/env",
				"-i",
				"X=1",
				"/bin/echo",
				mark,
				"two words",
				`quo"te`,
				"",
				"näh",
				uid,
			).CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
	}
	// A terminal: script(1) opens a pty.
	out, err := exec.Command("script", "-qec", "/bin/echo on-a-terminal", "/dev/null").CombinedOutput()
	require.NoError(t, err, "%s", out)
	m.Canary()
	for i := range rounds {
		mark := fmt.Sprintf("once-%d", i)
		for _, uid := range []string{alice, bob} {
			var echoes []*process.Event
			for _, e := range m.Execs(mark) {
				if e.Name == "echo" && e.Args[len(e.Args)-1] == uid {
					echoes = append(echoes, e)
				}
			}
			require.Len(t, echoes, 1, "%s as %s", mark, uid)
			e := echoes[0]
			assert.Equal(t, []string{"/bin/echo", mark, "two words", `quo"te`, "", "näh", uid}, e.Args)
			assert.Equal(t, uid, fmt.Sprint(e.User.ID))
			assert.Equal(t, uid, fmt.Sprint(e.Effective.ID))
			assert.Equal(t, uid, fmt.Sprint(e.Session.User.ID))
			assert.NotEqual(t, process.Unset, e.Session.ID)
			assert.Empty(t, e.TTY)
			assert.Contains(t, e.Executable, "/bin/echo")
			assert.WithinDuration(t, time.Now(), e.Time, livetest.Patience)
		}
	}
	tty := m.Execs("on-a-terminal")
	require.NotEmpty(t, tty)
	assert.True(t, strings.HasPrefix(tty[len(tty)-1].TTY, "pts"), "tty is %q", tty[len(tty)-1].TTY)
	require.NoError(t, m.Stop())
	assert.Zero(t, m.Stats.LostKernel.Load())
	assert.Zero(t, m.Stats.LostSocket.Load())
	assert.Zero(t, m.Stats.LostSequence.Load())
	assert.Zero(t, m.Stats.Malformed.Load())
}

func TestLiveAStormOfPrograms(t *testing.T) {
	takeAudit(t)
	for _, kind := range []string{unicast, multicast} {
		t.Run(kind, func(t *testing.T) {
			m := start(t, map[string]any{"socket_type": kind})
			const workers, each = 4, 500
			var wait sync.WaitGroup
			for w := range workers {
				wait.Go(func() {
					script := fmt.Sprintf(
						`i=0; while [ $i -lt %d ]; do /bin/true storm %d-$i; i=$((i+1)); done`,
						each,
						w,
					)
					assert.NoError(t, exec.Command("/bin/sh", "-c", script).Run())
				})
			}
			wait.Wait()
			m.Canary()
			count := map[string]int{}
			for _, e := range m.Execs("storm") {
				count[e.Args[2]]++
			}
			assert.Equal(t, workers*each, len(count))
			for id, n := range count {
				assert.Equal(t, 1, n, id)
			}
			time.Sleep(3 * idle) // numbers that are missing are only given up after a while
			require.NoError(t, m.Stop())
			assert.Zero(t, m.Stats.LostKernel.Load())
			assert.Zero(t, m.Stats.LostSocket.Load())
			assert.Zero(t, m.Stats.LostSequence.Load(), "no number is missing that was not lost")
			assert.Zero(t, m.Stats.Incomplete.Load())
			assert.Zero(t, m.Stats.Malformed.Load())
		})
	}
}

func TestLiveRulesAndSettingsOfOthersStay(t *testing.T) {
	c := takeAudit(t)
	stale, err := ownRule(record.ABIs(goarch)[0], 1<<22-1) // of a reconbeat that was killed: no such process
	require.NoError(t, err)
	other := loaded(t, "-a always,exit -F arch=b64 -S mknod -k somebody-else")
	require.NoError(t, c.add(other.wire))
	require.NoError(t, c.add(stale))
	changed := rateLimit
	changed.want = 5000
	require.NoError(t, c.apply(changed))
	before := situationOf(c, nil)
	t.Cleanup(func() {
		changed.want = 0
		assert.NoError(t, c.apply(changed))
		assert.NoError(t, c.delete(other))
	})

	m := start(t, nil)
	during := situationOf(c, nil)
	require.Len(t, during.rules, 1+len(record.ABIs(goarch)), "the stale rule is gone, the other stays, ours are there")
	assert.Equal(t, other.wire, during.rules[0].wire)
	assert.EqualValues(t, os.Getpid(), during.status.PID)
	assert.EqualValues(t, 1, during.status.Enabled)
	assert.EqualValues(t, 8192, during.status.BacklogLimit)
	assert.Zero(t, during.status.BacklogWaitTime)
	assert.Zero(t, during.status.RateLimit)
	assert.Zero(t, during.status.Failure)

	require.NoError(t, m.Stop())
	after := situationOf(c, nil)
	require.Len(t, after.rules, 1)
	assert.Equal(t, other.wire, after.rules[0].wire)
	for _, s := range []setting{failure, rateLimit, backlogLimit, backlogWaitTime, enabled} {
		assert.Equal(t, s.of(before.status), s.of(after.status), s.name)
	}
}

func TestLiveASettingChangedMeanwhileStaysTheirs(t *testing.T) {
	c := takeAudit(t)
	before := situationOf(c, nil).status
	m := start(t, nil)
	theirs := backlogLimit
	theirs.want = 4321
	require.NoError(t, c.apply(theirs))
	require.NoError(t, m.Stop())
	assert.EqualValues(t, 4321, situationOf(c, nil).status.BacklogLimit)
	theirs.want = before.BacklogLimit
	require.NoError(t, c.apply(theirs))
}

func TestLiveRulesComeBackWhenSomebodyFlushesThem(t *testing.T) {
	c := takeAudit(t)
	m := start(t, nil)
	flush := func() {
		for _, r := range situationOf(c, nil).rules {
			require.NoError(t, c.delete(r))
		}
	}
	off := enabled
	off.want = 0
	for name, disturb := range map[string]func(){
		"auditctl -D":   flush,
		"auditctl -e 0": func() { require.NoError(t, c.apply(off)) },
		"both":          func() { flush(); require.NoError(t, c.apply(off)) },
	} {
		t.Run(name, func(t *testing.T) {
			was := m.Stats.RulesLost.Load()
			began := time.Now()
			disturb()
			m.Until("the loss of the rules is noticed", func() bool { return m.Stats.RulesLost.Load() > was })
			t.Logf("noticed after %s", time.Since(began).Round(time.Millisecond))
			m.Canary()
			m.Until("the condition ends", func() bool { return len(m.Board.Active()) == 0 })
		})
	}
	assert.Contains(t, m.Conditions(), "+rules_missing")
	assert.Contains(t, m.Conditions(), "-rules_missing")
}

func TestLiveMulticastWhileAnotherOwnsThePID(t *testing.T) {
	c := takeAudit(t)
	limit := situationOf(c, nil).status.BacklogLimit
	startOwner(t)
	m := start(t, nil)
	s := situationOf(c, nil)
	assert.NotEqualValues(t, os.Getpid(), s.status.PID)
	assert.Equal(t, limit, s.status.BacklogLimit, "the owner's settings are the owner's")
	support := Probe()
	assert.True(t, support.Works)
	assert.Contains(t, support.Why, "multicast")
	assert.Contains(t, support.Why, s.owner)
	require.NoError(t, m.Stop())
	assert.Equal(t, s.status.PID, situationOf(c, nil).status.PID, "the owner keeps the pid")
}

func TestLiveUnicastIsRefusedWhileAnotherOwnsThePID(t *testing.T) {
	takeAudit(t)
	startOwner(t)
	mod := livetest.New(t, New, map[string]any{"socket_type": unicast}, module.Env{})
	err := mod.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
	assert.ErrorContains(t, err, "socket_type is unicast and the audit pid belongs to")
}

func TestLiveAnotherDaemonTakesThePID(t *testing.T) {
	takeAudit(t)
	m := start(t, nil)
	// Only the owner's process may give the pid up: so we do, in place of a kernel that let go of us, until the other
	// daemon has it. The module may take it back before.
	s, err := openSocket(0, 1<<16)
	require.NoError(t, err)
	defer s.Close()
	replaceOwner(t, func() { _ = register(s, 0) })
	m.Until("the module listens by multicast", func() bool { return strings.Contains(Probe().Why, "multicast") })
	m.Canary()
	require.NoError(t, m.Stop())
}

func TestLiveThePIDIsTakenBackWhenTheKernelLetsGo(t *testing.T) {
	c := takeAudit(t)
	m := start(t, nil)
	s, err := openSocket(0, 1<<16)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, register(s, 0))
	m.Until("the pid is ours again", func() bool { return situationOf(c, nil).status.PID == uint32(os.Getpid()) })
	m.Canary()
}

func TestLiveOverloadIsCounted(t *testing.T) {
	c := takeAudit(t)
	small := backlogLimit
	small.old, small.want = situationOf(c, nil).status.BacklogLimit, 64 // a larger one that is set already would stay
	require.NoError(t, c.apply(small))
	t.Cleanup(func() {
		small.want = small.old
		require.NoError(t, c.apply(small))
	})
	for kind, lost := range map[string]func(*module.Stats) uint64{
		unicast:   func(s *module.Stats) uint64 { return s.LostKernel.Load() },
		multicast: func(s *module.Stats) uint64 { return min(s.LostSocket.Load(), s.LostSequence.Load()) },
	} {
		t.Run(kind, func(t *testing.T) {
			m := start(t, map[string]any{"socket_type": kind, "socket_buffer": 65536, "backlog_limit": 64})
			resume := m.Pause()
			began := time.Now()
			require.NoError(
				t,
				exec.Command(
					"/bin/sh",
					"-c",
					`i=0; while [ $i -lt 1000 ]; do /bin/true overload; i=$((i+1)); done`,
				).Run(),
			)
			t.Logf("1000 programs took %s while nobody read", time.Since(began).Round(time.Millisecond))
			resume()
			m.Canary()
			m.Until("the loss is counted", func() bool { return lost(m.Stats) > 0 })
			m.Until("and reported", func() bool { return len(m.Board.Active()) > 0 })
			t.Logf(
				"of 1000 execs %d were seen; lost: kernel %d records, socket %d episodes, %d numbers; %d incomplete",
				len(m.Execs("overload")),
				m.Stats.LostKernel.Load(),
				m.Stats.LostSocket.Load(),
				m.Stats.LostSequence.Load(),
				m.Stats.Incomplete.Load(),
			)
			require.NoError(t, m.Stop())
		})
	}
}

func TestLiveLongCommandLines(t *testing.T) {
	takeAudit(t)
	m := start(t, nil)
	long := strings.Repeat("x", 120_000)
	many := []string{"many-arguments"}
	for i := range 6000 {
		many = append(many, fmt.Sprintf("argument number %d", i))
	}
	odd := strings.Repeat("ä \x01\"", 10_000)
	require.NoError(t, exec.Command("/bin/true", "one-long", long).Run())
	require.NoError(t, exec.Command("/bin/true", many...).Run())
	require.NoError(t, exec.Command("/bin/true", "one-odd", odd).Run())
	m.Canary()
	for mark, want := range map[string][]string{
		"one-long":       {"/bin/true", "one-long", long},
		"many-arguments": append([]string{"/bin/true"}, many...),
		"one-odd":        {"/bin/true", "one-odd", odd},
	} {
		got := m.Execs(mark)
		require.Len(t, got, 1, mark)
		assert.Equal(t, len(want), got[0].ArgsCount, mark)
		if !slices.Equal(want, got[0].Args) {
			total := 0
			for i, a := range got[0].Args {
				require.True(
					t,
					strings.HasPrefix(want[i], a),
					"%s: argument %d is not a prefix of what was given",
					mark,
					i,
				)
				total += len(a)
			}
			t.Logf("%s: %d of %d arguments, %d bytes kept", mark, len(got[0].Args), len(want), total)
			assert.Positive(t, m.Stats.Truncated.Load(), "%s was cut and counted", mark)
		} else {
			t.Logf("%s: whole", mark)
		}
	}
	assert.Zero(t, m.Stats.Malformed.Load())
}

func TestLiveA64BitProgramThatEntersBy32BitGate(t *testing.T) {
	takeAudit(t)
	if goarch != "amd64" {
		t.Skip("SKIPPED, NOTHING WAS TESTED: int 0x80 is x86's")
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "gate.S"), filepath.Join(dir, "gate")
	require.NoError(t, os.WriteFile(source, []byte(`
	.globl _start
_start:	movl $11, %eax
	movl $path, %ebx
	movl $argv, %ecx
	xorl %edx, %edx
	int $0x80
	movl $1, %eax
	movl $7, %ebx
	int $0x80
	.data
path:	.asciz "/bin/true"
arg:	.asciz "through-the-gate"
	.align 4
argv:	.long path, arg, 0
`), 0o600))
	if out, err := exec.Command("gcc", "-nostdlib", "-static", "-no-pie", "-o", program,
		source).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: no C compiler: %v: %s", err, out)
	}
	m := start(t, nil)
	if err := exec.Command(program).Run(); err != nil {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: this kernel takes no 32-bit system calls: %v", err)
	}
	m.Canary()
	got := m.Execs("through-the-gate")
	require.Len(t, got, 1)
	assert.Equal(t, []string{"/bin/true", "through-the-gate"}, got[0].Args)
}

// The kernel decides at fork whether a process is audited: so it is with processes that are older than the first
// enabling of audit since boot, which cannot be tested without a boot, and with those that were forked while a rule
// kept tasks out, which is the same mechanism (audit_alloc).
func TestLiveAProcessForkedOutOfAuditIsABlindSpot(t *testing.T) {
	c := takeAudit(t)
	rule := loaded(t, "-a never,task")
	on, back := enabled, enabled
	on.want, back.want = 1, situationOf(c, nil).status.Enabled
	require.NoError(t, c.apply(on)) // the rule counts only while audit is on
	require.NoError(t, c.add(rule.wire))
	shell := exec.Command("/bin/sh", "-c", "read line; /bin/true forked-by-it; exec /bin/true in-its-place")
	in, err := shell.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, shell.Start())

	assert.False(t, Probe().Works)
	m := livetest.Launch(t, New, nil)
	m.Until("the rule is reported", func() bool { return slices.Contains(m.Conditions(), "+rules_missing") })
	assert.Contains(t, m.Board.Active()[0].Detail, "task,never")
	require.NoError(t, c.delete(rule))
	m.Until("its end is noticed", func() bool { return slices.Contains(m.Conditions(), "-rules_missing") })
	m.Canary()
	_, err = in.Write([]byte("\n"))
	require.NoError(t, err)
	require.NoError(t, shell.Wait())
	m.Canary()
	assert.Len(t, m.Execs("forked-by-it"), 1)
	assert.Empty(t, m.Execs("in-its-place"))
	require.NoError(t, m.Stop())
	require.NoError(t, c.apply(back))
}

func TestLiveItEndsAtOnceAndLeaksNothing(t *testing.T) {
	takeAudit(t)
	before := goleak.IgnoreCurrent()
	m := start(t, nil)
	require.NoError(t, m.Stop())
	// Ended before it began.
	m = livetest.Launch(t, New, nil)
	require.NoError(t, m.Stop())
	goleak.VerifyNone(t, before)
}

func TestLiveAPanicOfTheReceiverLeavesNothingBehind(t *testing.T) {
	c := takeAudit(t)
	mod := livetest.New(t, New, map[string]any{}, module.Env{})
	ctx, cancel := context.WithTimeout(t.Context(), livetest.Patience)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			_ = exec.Command("/bin/true").Run()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	assert.PanicsWithValue(
		t,
		"boom",
		func() { _ = mod.Run(ctx, process.Cursor{}, func(*process.Event) error { panic("boom") }) },
	)
	cancel()
	assert.Empty(t, others(situationOf(c, nil).rules))
}

func TestLiveInNamespacesOfItsOwn(t *testing.T) {
	takeAudit(t)
	self := livetest.Copy(t, os.Args[0])
	for name, c := range map[string]struct {
		unshare []string
		says    string
	}{
		"a pid namespace": {
			[]string{"--pid", "--fork", "--mount-proc"},
			"works=false: it runs in a pid namespace of its own",
		},
		"a net namespace": {[]string{"--net"}, "works=true: the kernel's audit can be read by unicast"},
		"a plain user":    {[]string{"--setuid", "65534"}, "works=false: it needs root"},
	} {
		t.Run(name, func(t *testing.T) {
			probe := exec.Command(
				"unshare",
				append(c.unshare, "--", self, "-test.run", "^TestProbeSaysWhatItFinds$", "-test.v")...)
			probe.Dir = filepath.Dir(self)
			out, err := probe.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), c.says)
		})
	}
}

func TestProbeSaysWhatItFinds(t *testing.T) {
	s := Probe()
	t.Logf("works=%v: %s", s.Works, s.Why)
	assert.NotEmpty(t, s.Why)
	if s.Works {
		assert.NotEmpty(t, s.Sees)
		assert.NotEmpty(t, s.Blind)
	} else {
		assert.NotEmpty(t, s.Help)
	}
}

// captured holds messages as they came, each with its type and the length of its body before it, little-endian words of
// 16 bits.
const captured = "testdata/execs.records"

func TestLiveCaptureForTheBenchmark(t *testing.T) {
	if !*update {
		t.Skip("captures only with -update")
	}
	takeAudit(t)
	uid := user(t, "rbtest-capture")
	s, err := openSocket(unix.AUDIT_NLGRP_READLOG, 8<<20)
	require.NoError(t, err)
	defer s.Close()
	m := start(t, nil)
	for range 20 {
		c := as(uid, "/bin/sh", "-c", "ss -tulpn; netstat -an; id -u; ls -la /tmp; grep -c root /etc/passwd; exit 0")
		c.Dir = "/"
		require.NoError(t, c.Run())
	}
	m.Canary()
	require.NoError(t, m.Stop())
	var records []message
	ours := map[uint32]bool{} // events of the test's user, and of nobody who works on this host
	for {
		n, err := s.Receive(time.Second)
		if err != nil {
			break
		}
		for i := range n {
			typ, body, ok := s.Message(i)
			if !ok || typ < unix.AUDIT_FIRST_USER_MSG {
				continue
			}
			records = append(records, message{typ, bytes.Clone(body)})
			if number, ok := record.Sequence(body); ok && typ == unix.AUDIT_SYSCALL &&
				bytes.Contains(body, []byte(" auid="+uid+" ")) {
				ours[number] = true
			}
		}
	}
	var out bytes.Buffer
	for _, r := range records {
		if number, ok := record.Sequence(r.body); ok && ours[number] {
			out.Write(binary.LittleEndian.AppendUint16(nil, r.typ))
			out.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(r.body))))
			out.Write(r.body)
		}
	}
	require.NotZero(t, out.Len())
	require.NoError(t, os.WriteFile(captured, out.Bytes(), 0o600))
}
