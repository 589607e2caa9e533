// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/livetest"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// execOf are the lines of an exec with a number.
func execOf(n int) string {
	return fmt.Sprintf(`type=SYSCALL msg=audit(1795879311.%03[1]d:%[1]d): arch=c000003e syscall=59 success=yes exit=0 `+
		`items=1 ppid=1 pid=%[1]d auid=1000 uid=0 gid=0 euid=0 tty=(none) ses=1 comm="ss" exe="/usr/bin/ss"
type=EXECVE msg=audit(1795879311.%03[1]d:%[1]d): argc=2 a0="ss" a1="%[1]d"
type=CWD msg=audit(1795879311.%03[1]d:%[1]d): cwd="/root"
type=PROCTITLE msg=audit(1795879311.%03[1]d:%[1]d): proctitle="ss"
`, n)
}

// dispatcher plays auditd: it accepts one client after the other.
type dispatcher struct {
	t      *testing.T
	socket string
	net.Listener
}

func listen(t *testing.T, socket string) *dispatcher {
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	return &dispatcher{t: t, socket: socket, Listener: l}
}

// hand gives a client some text, and closes the connection.
func (d *dispatcher) hand(text string) {
	d.t.Helper()
	conn, err := d.Accept()
	require.NoError(d.t, err)
	_, err = conn.Write([]byte(text))
	require.NoError(d.t, err)
	require.NoError(d.t, conn.Close())
}

// TestWhatPassesBetweenConnectionsIsReadFromTheLog: 12 and 13 pass while nobody is connected; 13 is in the log that was
// rotated away, 12 in none.
func TestWhatPassesBetweenConnectionsIsReadFromTheLog(t *testing.T) {
	dir := t.TempDir()
	socket, log := filepath.Join(dir, "events"), filepath.Join(dir, "audit.log")
	daemon := "type=DAEMON_START msg=audit(1795879311.100:12): op=start ver=3.0.9 auid=0 pid=1 res=success\n"
	require.NoError(t, os.WriteFile(log+".1", []byte(execOf(10)+execOf(11)+daemon+execOf(13)), 0o600))
	require.NoError(t, os.WriteFile(log, []byte(execOf(14)+execOf(15)), 0o600))
	d := listen(t, socket)
	m := livetest.Launch(t, New, map[string]any{"socket": socket, "log": log})
	d.hand(execOf(10) + execOf(11))
	d.hand(daemon + execOf(15))
	d.hand(execOf(16))
	m.Until("all are there", func() bool { return len(m.Execs("16")) == 1 })
	require.NoError(t, d.Close())
	var order []uint32
	for _, e := range m.Events(func(e *process.Event) bool { return e.Kind == process.Exec }) {
		order = append(order, e.PID)
		require.False(t, e.Lossy)
		require.Equal(t, "audisp", e.Source)
	}
	require.Equal(t, []uint32{10, 11, 13, 14, 15, 16}, order)
}

// TestLostNumbersAreCounted: what neither came nor is in the log is a condition that ends with the module.
func TestLostNumbersAreCounted(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "events")
	d := listen(t, socket)
	m := livetest.Launch(t, New, map[string]any{"socket": socket, "log": ""})
	conn, err := d.Accept()
	require.NoError(t, err)
	for _, n := range []int{20, 21, 25} {
		_, err = conn.Write([]byte(execOf(n)))
		require.NoError(t, err)
	}
	m.Until("three are lost, and it says so", func() bool {
		active := m.Board.Active()
		return len(active) == 1 && active[0].Detail == "3 records so far"
	})
	require.Equal(t, health.DispatcherLost, m.Board.Active()[0].Condition)
	require.EqualValues(t, 3, m.Stats.LostSequence.Load())
	require.NoError(t, conn.Close())
	require.NoError(t, d.Close())
	require.NoError(t, m.Stop())
	require.Empty(t, m.Board.Active())
}

// TestABrokenStreamIsConnectedAgain counts what cannot be understood, and goes on with a new connection.
func TestABrokenStreamIsConnectedAgain(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "events")
	d := listen(t, socket)
	m := livetest.Launch(t, New, map[string]any{"socket": socket, "log": ""})
	d.hand("\x01\x00\x00\x00 this is no header of a record")
	d.hand("no record\n" + execOf(30))
	m.Until("it goes on", func() bool { return len(m.Execs("30")) == 1 })
	require.EqualValues(t, 2, m.Stats.Malformed.Load())
	require.NoError(t, d.Close())
}

// TestASocketThatIsNotThereIsWaitedFor is a condition until it is there.
func TestASocketThatIsNotThereIsWaitedFor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "events")
	stats, board := &module.Stats{}, &health.Board{}
	m, err := New(conf.MustNewConfigFrom(map[string]any{"socket": socket}), module.Env{
		ID: "audisp", Logger: logp.NewNopLogger(), Stats: stats, Health: board,
	})
	require.NoError(t, err)
	m.(*Dispatcher).patience = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = m.Run(ctx, process.Cursor{}, func(*process.Event) error { return nil }) })
	holds := func(n int) func() bool { return func() bool { return len(board.Active()) == n } }
	require.Eventually(t, holds(1), livetest.Patience, time.Millisecond)
	require.Equal(t, health.SourceFailed, board.Active()[0].Condition)
	require.Contains(t, board.Active()[0].Detail, "no such file or directory")
	d := listen(t, socket)
	defer d.Close()
	require.Eventually(t, holds(0), livetest.Patience, time.Millisecond)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		options map[string]any
		replay  bool
		want    string
	}{
		{options: map[string]any{}},
		{options: map[string]any{"socket": "/run/audit/events", "log": ""}},
		{options: map[string]any{"socket": ""}, want: `socket: "" is not allowed; it must be the path of a socket`},
		{options: map[string]any{}, replay: true, want: "no recording"},
	} {
		_, err := New(conf.MustNewConfigFrom(c.options), module.Env{Replay: c.replay})
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.want)
		}
	}
}
