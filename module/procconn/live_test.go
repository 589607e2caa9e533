// SPDX-License-Identifier: Apache-2.0

package procconn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/livetest"
	"github.com/reconbeat/reconbeat/process"
)

const (
	nobody   = 65534
	plainEnv = "RECONBEAT_TEST_PLAIN_USER"
)

// start runs the module and returns when it sees execs.
func start(t *testing.T, options map[string]any) *livetest.Module {
	t.Helper()
	if s := Probe(); !s.Works {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: %s", s.Why)
	}
	return livetest.Start(t, New, options)
}

func TestLiveAProgramThatRunsAWhileIsSeen(t *testing.T) {
	m := start(t, nil)
	for i := range 20 {
		began := time.Now()
		pid, finish := livetest.Linger(t, fmt.Sprintf("linger-%d", i))
		e := m.Await(pid, process.Exec)
		assert.Equal(t, []string{"/bin/cat", "-", "/dev/null", fmt.Sprintf("linger-%d", i)}, e.Args)
		assert.Equal(t, "cat", e.Name)
		assert.EqualValues(t, os.Getuid(), e.User.ID)
		assert.EqualValues(t, os.Getpid(), e.PPID)
		assert.True(t, e.Lossy)
		assert.WithinRange(t, e.Time, began.Add(-50*time.Millisecond), time.Now())
		fork := m.Await(pid, process.Fork)
		assert.EqualValues(t, os.Getpid(), fork.PPID)
		assert.False(t, fork.Time.After(e.Time))
		finish()
		exit := m.Await(pid, process.Exit)
		assert.EqualValues(t, 128+9, exit.ExitCode)
		assert.False(t, exit.Time.Before(e.Time))
	}
}

func TestLiveAShortProgramIsSeenOrCounted(t *testing.T) {
	m := start(t, nil)
	const programs = 500
	before := m.Stats.LostRace.Load()
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do /bin/true short-program; i=$((i+1)); done`, programs)
	require.NoError(t, exec.Command("/bin/sh", "-c", script).Run())
	m.Canary()
	seen := len(m.Events(func(e *process.Event) bool {
		return e.Kind == process.Exec && e.Name == "true" && slices.Contains(e.Args, "short-program")
	}))
	bare := len(m.Events(func(e *process.Event) bool {
		return e.Kind == process.Exec && e.Name == "true" && len(e.Args) == 0
	}))
	lost := int(m.Stats.LostRace.Load() - before)
	t.Logf(
		"of %d short programs %d were seen, %d without arguments, and %d execs were counted as lost",
		programs,
		seen,
		bare,
		lost,
	)
	assert.GreaterOrEqual(t, int(m.Stats.Incomplete.Load()), bare, "what is seen without arguments is counted")
	assert.Zero(t, m.Stats.LostSocket.Load())
	assert.GreaterOrEqual(t, seen+bare+lost, programs, "what is not seen is counted")
}

func TestLiveAProgramThatStartsAnotherInItsPlace(t *testing.T) {
	m := start(t, nil)
	for range 50 {
		c := exec.Command("/bin/sh", "-c", "exec /bin/sh -c 'exec /bin/cat - in-its-place'")
		in, err := c.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		pid := c.Process.Pid
		m.Until("cat is seen", func() bool { return len(named(m, pid, "cat")) > 0 })
		_ = c.Process.Kill()
		_ = c.Wait()
		in.Close()
		m.Await(pid, process.Exit)
		// The kernel shows the new program in /proc a moment before it reports it: then the program before is missed,
		// and the new one reported in its stead.
		assert.Contains(t, []int{1, 2}, len(named(m, pid, "cat")))
	}
}

// named returns the execs of a process with a name.
func named(m *livetest.Module, pid int, name string) []*process.Event {
	return m.Events(func(e *process.Event) bool {
		return e.PID == uint32(pid) && e.Kind == process.Exec && e.Name == name
	})
}

func TestLiveAnOverloadIsCounted(t *testing.T) {
	m := start(t, map[string]any{"socket_buffer": 65536})
	resume := m.Pause()
	require.NoError(t, exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done`).Run())
	resume()
	m.Canary()
	for range 100 { // a gap shows at the next event of the same processor
		if m.Stats.LostSequence.Load() > 0 {
			break
		}
		m.Canary()
	}
	t.Logf("overflows %d, numbers lost %d", m.Stats.LostSocket.Load(), m.Stats.LostSequence.Load())
	assert.Positive(t, m.Stats.LostSocket.Load())
	assert.Positive(t, m.Stats.LostSequence.Load())
}

func TestLiveItEndsAtOnceAndLeaksNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	m := start(t, nil)
	require.NoError(t, m.Stop())
	goleak.VerifyNone(t, before)
}

// The tests above run as whoever runs them; this one runs them as a plain user.
func TestLiveAsAPlainUser(t *testing.T) {
	if os.Getenv(plainEnv) != "" {
		t.Skip("this is the plain user")
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: it is a plain user already")
	}
	self := livetest.Copy(t, os.Args[0])
	c := exec.Command(self, "-test.run", "^Test(LiveA[^s]|Probe)", "-test.v")
	c.Dir, c.Env = filepath.Dir(self), append(os.Environ(), plainEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "SKIPPED") {
			t.Skip("as a plain user: " + line)
		}
		if strings.Contains(line, "short programs") || strings.Contains(line, "works=") {
			t.Log("as a plain user: " + strings.TrimSpace(line))
		}
	}
}

func TestProbeSaysWhatItFinds(t *testing.T) {
	s := Probe()
	t.Logf("works=%v: %s", s.Works, s.Why)
	assert.NotEmpty(t, s.Why)
	if s.Works {
		assert.NotEmpty(t, s.Sees)
		assert.NotEmpty(t, s.Blind)
	}
}

func TestLiveInNamespacesOfItsOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: making namespaces needs root")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		unshare []string
		says    string
	}{
		"a pid namespace": {[]string{"--pid", "--fork", "--mount-proc"}, "works=false: the kernel does not answer"},
		"a net namespace": {[]string{"--net"}, "works=false: it runs in a network namespace of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(
				"unshare",
				append(c.unshare, "--", self, "-test.run", "^TestProbeSaysWhatItFinds$", "-test.v")...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), c.says)
		})
	}
}
