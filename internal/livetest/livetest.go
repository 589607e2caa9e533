// SPDX-License-Identifier: Apache-2.0

// Package livetest runs a module against the kernel of this host, for tests: it keeps what the module emits and which
// conditions it raises, and knows when the module sees what starts.
package livetest

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
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// Patience is for how long a test waits for what must come.
const Patience = time.Minute

// LockAudit makes this test the only one that touches the host's audit, of all packages: it has one owner and one list
// of rules. It needs root.
func LockAudit(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: the kernel's audit needs root")
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "reconbeat-audit.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { lock.Close() })
	require.NoError(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
}

// OwnAudit is LockAudit for a test in which reconbeat owns the kernel's audit, and which runs these tools. It skips the
// test where that cannot be.
func OwnAudit(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range append(tools, "auditctl") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: THE LIVE TEST NEEDS %s (Debian: iproute2 auditd)", tool)
		}
	}
	LockAudit(t)
	out, err := exec.Command("auditctl", "-s").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\npid 0\n") {
		t.Skipf("SKIPPED: THE LIVE TEST NEEDS THE KERNEL'S AUDIT WITH NO OTHER OWNER: %v %s", err, out)
	}
}

// Constructor makes a module, as those of package module's folders do.
type Constructor func(*conf.C, module.Env) (module.Module, error)

// Module is a module at work.
type Module struct {
	T     testing.TB // whose failure it is when something does not come
	Stats *module.Stats
	Board *health.Board
	Stop  func() error // ends it, and returns what Run returned

	ended chan struct{}
	pause atomic.Pointer[chan struct{}] // emit waits for it to be closed

	mu         sync.Mutex
	events     []*process.Event
	conditions []string
}

// New makes a module with options, and nothing that it reports to.
func New(t testing.TB, construct Constructor, options map[string]any, env module.Env) module.Module {
	t.Helper()
	cfg, err := conf.NewConfigFrom(options)
	require.NoError(t, err)
	if env.Stats == nil {
		env.Stats = &module.Stats{}
	}
	if env.Health == nil {
		env.Health = &health.Board{}
	}
	env.ID, env.Logger = "live", logp.NewNopLogger()
	m, err := construct(cfg, env)
	require.NoError(t, err)
	return m
}

// Launch runs a module with options until the test ends, or Stop is called.
func Launch(t testing.TB, construct Constructor, options map[string]any) *Module {
	t.Helper()
	m := &Module{T: t, Stats: &module.Stats{}, Board: &health.Board{}, ended: make(chan struct{})}
	m.Board.Listen(m.note)
	running := New(t, construct, options, module.Env{Stats: m.Stats, Health: m.Board})
	ctx, cancel := context.WithCancel(context.Background())
	var result error
	go func() {
		defer close(m.ended)
		result = running.Run(ctx, process.Cursor{}, m.emit)
	}()
	m.Stop = sync.OnceValue(func() error {
		cancel()
		<-m.ended
		return result
	})
	t.Cleanup(func() { assert.NoError(t, m.Stop()) })
	return m
}

// Start is Launch, and returns when the module sees program starts.
func Start(t testing.TB, construct Constructor, options map[string]any) *Module {
	t.Helper()
	m := Launch(t, construct, options)
	m.Canary()
	return m
}

func (m *Module) note(s health.State, change health.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sign := "-"
	if change == health.Begins {
		sign = "+"
	}
	m.conditions = append(m.conditions, sign+s.Condition.Code)
}

func (m *Module) emit(e *process.Event) error {
	if wait := m.pause.Load(); wait != nil {
		<-*wait
	}
	kept := &process.Event{}
	kept.Copy(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, kept)
	return nil
}

// Pause has the module wait at its next event until resume is called, as behind a detector that is slow.
func (m *Module) Pause() (resume func()) {
	wait := make(chan struct{})
	m.pause.Store(&wait)
	return func() {
		m.pause.Store(nil)
		close(wait)
	}
}

// Events returns the events so far that are chosen.
func (m *Module) Events(chosen func(*process.Event) bool) (out []*process.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if chosen(e) {
			out = append(out, e)
		}
	}
	return out
}

// Execs returns the execs so far with an argument.
func (m *Module) Execs(arg string) []*process.Event {
	return m.Events(func(e *process.Event) bool { return e.Kind == process.Exec && slices.Contains(e.Args, arg) })
}

// Conditions returns the conditions that began (+CODE) and ended (-CODE), in their order.
func (m *Module) Conditions() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.conditions)
}

// Until waits until something holds.
func (m *Module) Until(what string, holds func() bool) {
	m.T.Helper()
	for end := time.Now().Add(Patience); !holds(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-m.ended:
			m.T.Fatalf("waiting until %s: the module ended: %v", what, m.Stop())
		default:
		}
		if time.Now().After(end) {
			m.T.Fatalf("waited for %s until %s, in vain; health: %v", Patience, what, m.Conditions())
		}
	}
}

// Await waits until a process has an event of a kind, and returns the first one.
func (m *Module) Await(pid int, kind process.Kind) *process.Event {
	m.T.Helper()
	var found []*process.Event
	m.Until(fmt.Sprintf("process %d has its %s", pid, kind), func() bool {
		found = m.Events(func(e *process.Event) bool { return e.PID == uint32(pid) && e.Kind == kind })
		return len(found) > 0
	})
	return found[0]
}

var canaries atomic.Int64

// Canary starts programs until one is seen: the module then sees everything that starts after it, and has emitted all
// that came before.
func (m *Module) Canary() {
	m.T.Helper()
	var names []string
	m.Until("an exec is seen", func() bool {
		name := fmt.Sprintf("canary-%d-%d", os.Getpid(), canaries.Add(1))
		names = append(names, name)
		_, finish := Linger(m.T, name)
		defer finish()
		for range 50 {
			// One of those before, too: on a busy machine each may take longer than this.
			if slices.ContainsFunc(names, func(name string) bool { return len(m.Execs(name)) > 0 }) {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	})
}

// Linger starts a program with an argument that runs until finish is called.
func Linger(t testing.TB, arg string) (pid int, finish func()) {
	t.Helper()
	c := exec.Command("/bin/cat", "-", "/dev/null", arg)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	return c.Process.Pid, func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		in.Close()
	}
}

// Copy copies a program to where a plain user may run it, unlike in the folders of `go test`: into a folder of its own.
func Copy(t testing.TB, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reconbeat-plain-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	binary, err := os.ReadFile(program)
	require.NoError(t, err)
	to := filepath.Join(dir, "reconbeat")
	require.NoError(t, os.WriteFile(to, binary, 0o755))
	return to
}
