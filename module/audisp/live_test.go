// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/livetest"
)

// daemon is a real auditd with a configuration, a log and a socket of its own.
type daemon struct {
	t                *testing.T
	dir, socket, log string
	running          *exec.Cmd
}

// newDaemon starts auditd, which has the kernel report execs, until the test ends.
func newDaemon(t *testing.T, format string) *daemon {
	t.Helper()
	livetest.LockAudit(t)
	for _, tool := range []string{"auditd", "auditctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, NOTHING WAS TESTED: %v", err)
		}
	}
	status, err := exec.Command("auditctl", "-s").Output()
	require.NoError(t, err)
	if !strings.Contains(string(status), "\npid 0\n") {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: the host's audit has an owner:\n%s", status)
	}
	d := &daemon{t: t, dir: t.TempDir()}
	d.socket, d.log = filepath.Join(d.dir, "events"), filepath.Join(d.dir, "audit.log")
	plugins := filepath.Join(d.dir, "plugins")
	require.NoError(t, os.Mkdir(plugins, 0o750))
	for file, text := range map[string]string{
		filepath.Join(d.dir, "auditd.conf"): "local_events = yes\nwrite_logs = yes\nlog_file = " + d.log + "\n" +
			"log_format = ENRICHED\nflush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 8\nnum_logs = 5\n" +
			"max_log_file_action = ROTATE\nspace_left = 75\nspace_left_action = IGNORE\nadmin_space_left = 50\n" +
			"admin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n" +
			"q_depth = 20000\noverflow_action = IGNORE\nplugin_dir = " + plugins + "\n",
		filepath.Join(plugins, "af_unix.conf"): "active = yes\ndirection = out\npath = builtin_af_unix\ntype = builtin\n" +
			"args = 0640 " + d.socket + "\nformat = " + format + "\n",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o640))
	}
	was := "0"
	if strings.HasPrefix(string(status), "enabled 1\n") {
		was = "1"
	}
	d.start()
	for _, arch := range []string{"b64", "b32"} {
		rule := []string{"always,exit", "-F", "arch=" + arch, "-S", "execve,execveat", "-F", "success=1", "-k", "audisp-test"}
		out, err := exec.Command("auditctl", append([]string{"-a"}, rule...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		t.Cleanup(func() { assert.NoError(t, exec.Command("auditctl", append([]string{"-d"}, rule...)...).Run()) })
	}
	t.Cleanup(func() {
		d.stop()
		assert.NoError(t, exec.Command("auditctl", "-e", was).Run())
	})
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	d.running = exec.Command("auditd", "-n", "-c", d.dir)
	d.running.Stderr = os.Stderr
	require.NoError(d.t, d.running.Start())
	require.Eventually(d.t, func() bool {
		status, err := exec.Command("auditctl", "-s").Output()
		return err == nil && strings.Contains(string(status), fmt.Sprintf("\npid %d\n", d.running.Process.Pid))
	}, livetest.Patience, 5*time.Millisecond, "auditd has the kernel's audit")
}

func (d *daemon) stop() {
	_ = d.running.Process.Signal(syscall.SIGTERM)
	_ = d.running.Wait()
}

// wrote is all that is in the daemon's logs.
func (d *daemon) wrote() string {
	d.t.Helper()
	logs, err := filepath.Glob(d.log + "*")
	require.NoError(d.t, err)
	require.Greater(d.t, len(logs), 1, "it was rotated")
	var all []byte
	for _, log := range logs {
		text, err := os.ReadFile(log)
		require.NoError(d.t, err)
		all = append(all, text...)
	}
	return string(all)
}

func (d *daemon) options() map[string]any {
	return map[string]any{"socket": d.socket, "log": d.log}
}

// whole reports whether a log has the records of an exec with an argument: auditd takes one from the kernel at its end,
// and writes it no more.
func whole(log, arg string) bool {
	for line := range strings.Lines(log) {
		if rest, ok := strings.CutPrefix(line, "type=EXECVE "); ok && strings.Contains(rest, "=\""+arg+"\"") {
			stamp, _, _ := strings.Cut(rest, " ")
			return strings.Contains(log, "type=SYSCALL "+stamp)
		}
	}
	return false
}

// TestLiveEveryExecOnceFromARealAuditd runs programs while auditd rotates its log and starts anew. All that it wrote to
// its log is there once.
func TestLiveEveryExecOnceFromARealAuditd(t *testing.T) {
	for _, format := range []string{"string", "binary"} {
		t.Run(format, func(t *testing.T) {
			d := newDaemon(t, format)
			m := livetest.Start(t, New, d.options())
			end := make(chan struct{})
			var ran atomic.Int64
			mark := fmt.Sprintf("audisp-%s-%d-", format, os.Getpid())
			var programs sync.WaitGroup
			programs.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
						_ = exec.Command("/bin/true", fmt.Sprint(mark, ran.Load()), "with a blank").Run()
						ran.Add(1)
					}
				}
			})
			pause := func() { // a moment, in which programs run however slow the host is
				time.Sleep(300 * time.Millisecond)
				for then := ran.Load() + 30; ran.Load() < then; time.Sleep(time.Millisecond) {
				}
			}
			pause()
			require.NoError(t, d.running.Process.Signal(syscall.SIGUSR1)) // rotate
			require.Eventually(t, func() bool {
				_, err := os.Stat(d.log + ".1")
				return err == nil
			}, livetest.Patience, time.Millisecond)
			pause()
			restart := func() {
				d.stop()
				d.start()
				pause()
			}
			restart()
			require.NoError(t, d.running.Process.Signal(syscall.SIGUSR1))
			restart()
			close(end)
			programs.Wait()
			m.Canary()
			wrote, never := d.wrote(), 0
			m.Until("what auditd wrote is there", func() bool {
				for i := range ran.Load() {
					arg := fmt.Sprint(mark, i)
					if len(m.Execs(arg)) == 0 && whole(wrote, arg) {
						return false
					}
				}
				return true
			})
			for i := range ran.Load() {
				found := m.Execs(fmt.Sprint(mark, i))
				if len(found) == 0 && !whole(wrote, fmt.Sprint(mark, i)) { // nothing is kept for an auditd that ends
					never++
					continue
				}
				if len(found) != 1 {
					t.Errorf("program %d of %d is there %d times", i, ran.Load(), len(found))
					continue
				}
				assert.Equal(t, []string{"/bin/true", fmt.Sprint(mark, i), "with a blank"}, found[0].Args)
				assert.False(t, found[0].Lossy)
			}
			t.Logf("%d programs, %d of which auditd never had", ran.Load(), never)
			require.Greater(t, int(ran.Load())-never, 50)
			require.Zero(t, m.Stats.Malformed.Load())
		})
	}
}
