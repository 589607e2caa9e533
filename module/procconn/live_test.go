// SPDX-License-Identifier: Apache-2.0

package procconn

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

const (
	patience = 20 * time.Second
	nobody   = 65534
	plainEnv = "RECONBEAT_TEST_PLAIN_USER"
)

// running is the module at work.
type running struct {
	t     *testing.T
	stats *module.Stats
	stop  func() error
	done  chan struct{}
	pause atomic.Pointer[chan struct{}] // emit waits for it to be closed

	mu     sync.Mutex
	events []process.Event
}

// start runs the module and returns when it sees execs.
func start(t *testing.T, options map[string]any) *running {
	t.Helper()
	if s := Probe(); !s.Works {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: %s", s.Why)
	}
	m := &running{t: t, stats: &module.Stats{}, done: make(chan struct{})}
	cfg, err := conf.NewConfigFrom(options)
	require.NoError(t, err)
	mod, err := New(cfg, module.Env{ID: "procconn", Logger: logp.NewNopLogger(), Stats: m.stats, Health: &health.Board{}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var result error
	go func() {
		defer close(m.done)
		result = mod.Run(ctx, process.Cursor{}, func(e *process.Event) error {
			if wait := m.pause.Load(); wait != nil {
				<-*wait
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.events = append(m.events, process.Event{})
			m.events[len(m.events)-1].Copy(e)
			return nil
		})
	}()
	m.stop = sync.OnceValue(func() error {
		cancel()
		<-m.done
		return result
	})
	t.Cleanup(func() { assert.NoError(t, m.stop()) })
	m.canary()
	return m
}

// canary starts programs until one is seen.
func (m *running) canary() {
	m.t.Helper()
	for end := time.Now().Add(patience); ; {
		c := linger(m.t, "canary")
		seen := m.await(c.Process.Pid, process.Exec, 500*time.Millisecond)
		finish(c)
		if seen != nil {
			return
		}
		require.True(m.t, time.Now().Before(end), "no exec was seen within %s", patience)
	}
}

// linger starts a program with an argument that runs until finish.
func linger(t *testing.T, arg string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/bin/cat", "-", "/dev/null", arg)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { in.Close() })
	return c
}

func finish(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}

// await waits for an event of a process.
func (m *running) await(pid int, kind process.Kind, wait time.Duration) *process.Event {
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		m.mu.Lock()
		for i := range m.events {
			if e := &m.events[i]; e.PID == uint32(pid) && e.Kind == kind {
				m.mu.Unlock()
				return e
			}
		}
		m.mu.Unlock()
		if time.Now().After(end) {
			return nil
		}
	}
}

func TestLiveAProgramThatRunsAWhileIsSeen(t *testing.T) {
	m := start(t, nil)
	for i := range 20 {
		began := time.Now()
		c := linger(t, fmt.Sprintf("linger-%d", i))
		e := m.await(c.Process.Pid, process.Exec, patience)
		require.NotNil(t, e)
		assert.Equal(t, []string{"/bin/cat", "-", "/dev/null", fmt.Sprintf("linger-%d", i)}, e.Args)
		assert.Equal(t, "cat", e.Name)
		assert.EqualValues(t, os.Getuid(), e.User.ID)
		assert.EqualValues(t, os.Getpid(), e.PPID)
		assert.True(t, e.Lossy)
		assert.WithinRange(t, e.Time, began.Add(-50*time.Millisecond), time.Now())
		fork := m.await(c.Process.Pid, process.Fork, patience)
		require.NotNil(t, fork)
		assert.EqualValues(t, os.Getpid(), fork.PPID)
		assert.False(t, fork.Time.After(e.Time))
		finish(c)
		exit := m.await(c.Process.Pid, process.Exit, patience)
		require.NotNil(t, exit)
		assert.EqualValues(t, 128+9, exit.ExitCode)
		assert.False(t, exit.Time.Before(e.Time))
	}
}

func TestLiveAShortProgramIsSeenOrCounted(t *testing.T) {
	m := start(t, nil)
	const programs = 500
	before := m.stats.LostRace.Load()
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do /bin/true short-program; i=$((i+1)); done`, programs)
	require.NoError(t, exec.Command("/bin/sh", "-c", script).Run())
	m.canary()
	seen, bare := 0, 0
	m.mu.Lock()
	for i := range m.events {
		switch e := &m.events[i]; {
		case e.Kind != process.Exec || e.Name != "true":
		case slices.Contains(e.Args, "short-program"):
			seen++
		case len(e.Args) == 0:
			bare++
		}
	}
	m.mu.Unlock()
	lost := int(m.stats.LostRace.Load() - before)
	t.Logf("of %d short programs %d were seen, %d without arguments, and %d execs were counted as lost", programs, seen, bare, lost)
	assert.GreaterOrEqual(t, int(m.stats.Incomplete.Load()), bare, "what is seen without arguments is counted")
	assert.Zero(t, m.stats.LostSocket.Load())
	assert.GreaterOrEqual(t, seen+bare+lost, programs, "what is not seen is counted")
}

func TestLiveAProgramThatStartsAnotherInItsPlaceIsNotTakenForIt(t *testing.T) {
	m := start(t, nil)
	for range 50 {
		c := exec.Command("/bin/sh", "-c", "exec /bin/sh -c 'exec /bin/cat - in-its-place'")
		in, err := c.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		var cats int
		for end := time.Now().Add(patience); cats == 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			cats = m.named(c.Process.Pid, "cat")
		}
		finish(c)
		in.Close()
		assert.NotNil(t, m.await(c.Process.Pid, process.Exit, patience))
		// The kernel shows the new program in /proc a moment before it reports it: then the program before is missed, and the new one reported in its stead.
		assert.Contains(t, []int{1, 2}, m.named(c.Process.Pid, "cat"))
	}
}

// named counts the execs of a process with a name.
func (m *running) named(pid int, name string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.events {
		if e := &m.events[i]; e.PID == uint32(pid) && e.Kind == process.Exec && e.Name == name {
			n++
		}
	}
	return n
}

func TestLiveAnOverloadIsCounted(t *testing.T) {
	m := start(t, map[string]any{"socket_buffer": 65536})
	wait := make(chan struct{})
	m.pause.Store(&wait)
	require.NoError(t, exec.Command("/bin/sh", "-c", `i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done`).Run())
	m.pause.Store(nil)
	close(wait)
	m.canary()
	for range 100 { // a gap shows at the next event of the same processor
		if m.stats.LostSequence.Load() > 0 {
			break
		}
		m.canary()
	}
	t.Logf("overflows %d, numbers lost %d", m.stats.LostSocket.Load(), m.stats.LostSequence.Load())
	assert.Positive(t, m.stats.LostSocket.Load())
	assert.Positive(t, m.stats.LostSequence.Load())
}

func TestLiveItEndsAtOnceAndLeaksNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	m := start(t, nil)
	require.NoError(t, m.stop())
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
	dir, err := os.MkdirTemp("", "procconn")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	binary := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(binary, self, 0o755))
	c := exec.Command(binary, "-test.run", "^Test(LiveA[^s]|Probe)", "-test.v")
	c.Dir, c.Env = dir, append(os.Environ(), plainEnv+"=1")
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
			out, err := exec.Command("unshare", append(c.unshare, "--", self, "-test.run", "^TestProbeSaysWhatItFinds$", "-test.v")...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), c.says)
		})
	}
}
