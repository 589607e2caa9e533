// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// BenchmarkLiveAlert runs ss for real, each time as a user who never did, and takes the time from just before the fork
// until the alert is a line of the output file: the kernel's audit, the detector, the journal's fsync, libbeat's queue
// and output. Everything is at its default but the threshold: 0, so that every exec alerts.
//
//	go test ./cmd -run '^$' -bench LiveAlert -benchtime 200x
func BenchmarkLiveAlert(b *testing.B) {
	takeAudit(b)
	ss := lookPath(b, "ss")
	dir := b.TempDir()
	config := filepath.Join(dir, "reconbeat.yml")
	require.NoError(b, os.WriteFile(config, []byte(fmt.Sprintf(`
reconbeat.modules: [{module: auditd}]
reconbeat.detector.rules: [{id: network-connection-discovery, threshold: 0}]
output.file: {path: %s, filename: out, permissions: 0600}
logging: {to_stderr: true, level: warning, metrics.enabled: false}
`, dir)), 0o600))
	reconbeat := func(args ...string) *exec.Cmd {
		c := exec.Command(
			os.Args[0],
			append(args, "-c", config, "--path.home", dir, "--path.data", filepath.Join(dir, "data"))...)
		c.Env = append(os.Environ(), asReconbeat+"=1")
		return c
	}
	var history bytes.Buffer // longer than learn_for, and no more: what alerts are made of is not the matter here
	for at := time.Now().AddDate(0, 0, -2); at.Before(time.Now()); at = at.Add(time.Hour) {
		history.WriteString(beattest.Line(at, "root", "ss -s") + "\n")
	}
	learn := reconbeat("replay", "--learn", "--module", "ndjson", "-")
	learn.Stdin = &history
	out, err := learn.CombinedOutput()
	require.NoError(b, err, string(out))

	beat, log := reconbeat("run"), &logBuffer{}
	beat.Stdout, beat.Stderr = log, log
	require.NoError(b, beat.Start())
	defer func() {
		require.NoError(b, beat.Process.Signal(syscall.SIGTERM))
		require.NoError(b, beat.Wait(), log.All())
	}()

	var file *os.File
	var written []byte
	chunk := make([]byte, 1<<20)
	alerted := func(pid int) bool {
		if file == nil {
			names, _ := filepath.Glob(filepath.Join(dir, "out*.ndjson"))
			if len(names) == 0 {
				return false
			}
			file, err = os.Open(names[0])
			require.NoError(b, err)
		}
		n, _ := file.Read(chunk)
		written = append(written, chunk[:n]...)
		for line := range bytes.Lines(written) {
			var doc mapstr.M
			if json.Unmarshal(line, &doc) == nil && text(doc, "event.action") == "alert" &&
				text(doc, "process.pid") == strconv.Itoa(pid) {
				return true
			}
		}
		written = written[bytes.LastIndexByte(written, '\n')+1:]
		return false
	}
	nobody := uint32(200_000) // and up: users that no host has
	match := func(patience time.Duration) (time.Duration, bool) {
		c := exec.Command(ss, "-H", "-t", "state", "closing")
		nobody++
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		c.Dir = "/"
		began := time.Now()
		require.NoError(b, c.Start())
		ended := make(chan struct{})
		go func() { _ = c.Wait(); close(ended) }()
		defer func() { <-ended }()
		for time.Since(began) < patience {
			if alerted(c.Process.Pid) {
				return time.Since(began), true
			}
			time.Sleep(50 * time.Microsecond)
		}
		return 0, false
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, ok := match(time.Second); ok {
			break
		}
		require.True(b, time.Now().Before(deadline), "nothing alerts; the log:\n%s", log.All())
	}
	var took []time.Duration
	for b.Loop() {
		d, ok := match(10 * time.Second)
		require.True(b, ok, "an exec does not alert; the log:\n%s", log.All())
		took = append(took, d)
		time.Sleep(20 * time.Millisecond) // one at a time
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.95), "p95-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(0, "ns/op") // it holds the pauses
	require.NotContains(b, strings.ToLower(log.All()), "panic")
}
