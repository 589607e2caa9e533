// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// watching is a running `reconbeat watch`.
type watching struct {
	cmd      *exec.Cmd
	out, err *logBuffer
	temp     string // where it may put what it needs while it runs
}

// startWatch runs `watch`, as root or as somebody else, or in a network namespace of its own. As in a clone, the folder
// has a configuration with an output, which watch ignores.
func startWatch(t *testing.T, before []string, args ...string) *watching {
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	data, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	self := filepath.Join(dir, Name) // where a plain user may run it, unlike in the folder of `go test`
	require.NoError(t, os.WriteFile(self, data, 0o755))
	line := append(append(append([]string{}, before...), self, "watch"), args...)
	w := &watching{
		cmd: exec.Command(line[0], line[1:]...), out: &logBuffer{}, err: &logBuffer{}, temp: filepath.Join(dir, "tmp"),
	}
	require.NoError(t, os.Mkdir(w.temp, 0o755))
	require.NoError(t, os.Chmod(w.temp, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, Name+".yml"),
		[]byte("output.elasticsearch.hosts: ['127.0.0.1:9']\n"), 0o644))
	w.cmd.Dir = dir
	w.cmd.Env = append(os.Environ(), asReconbeat+"=1", "TMPDIR="+w.temp)
	w.cmd.Stdout, w.cmd.Stderr = w.out, w.err
	require.NoError(t, w.cmd.Start())
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// until runs a match again and again until watch shows it.
func (w *watching) until(t *testing.T, what string) {
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		match := exec.Command("sh", "-c", "ss -H -t state closing; sleep 0.2")
		require.NoError(t, match.Run())
		if strings.Contains(w.out.All(), what) {
			return
		}
		require.True(t, time.Now().Before(deadline), "watch shows nothing:\n%s\n%s", w.out.All(), w.err.All())
	}
}

// interrupt ends it as ctrl-C does, and nothing stays behind.
func (w *watching) interrupt(t *testing.T) {
	require.NoError(t, w.cmd.Process.Signal(os.Interrupt))
	done := make(chan error, 1)
	go func() { done <- w.cmd.Wait() }()
	select {
	case err := <-done:
		require.NoError(t, err, w.err.All())
		left, err := os.ReadDir(w.temp)
		require.NoError(t, err)
		require.Empty(t, left)
	case <-time.After(time.Minute):
		t.Fatalf("watch does not end:\n%s", w.err.All())
	}
}

func TestLiveWatchAsRoot(t *testing.T) {
	takeAudit(t)
	before := auditSettings(t)
	for _, format := range []string{formatTable, formatNDJSON} {
		w := startWatch(t, nil, "--format", format)
		w.until(t, "ss -H -t state closing")
		w.interrupt(t)
		require.Contains(t, w.err.All(), "Watching with auditd")
		require.Regexp(t, `\d+s: \d+ execs? seen, \d+ matched, 0 alerts, \d+ lost\.`, w.err.All())
		if format == formatTable {
			require.Regexp(t, `TIME +SCORE +USER +COMMAND +PARENT +FROM`, w.out.All())
			require.Equal(t, 1, strings.Count(w.out.All(),
				"Nothing alerts yet, however unusual it is: for the first 26 hours (the default of detector.learn_for)"))
			require.Regexp(t, ` learning  root +ss -H -t state closing +\S+`, w.out.All())
			require.Contains(t, w.out.All(), "root has never looked at network connections on this host",
				"the reason, in words")
			require.NotContains(t, w.err.All(), "log.level", "sentences, no log")
			require.NotContains(t, w.err.All(), fqdn)
			continue
		}
		for line := range strings.Lines(w.out.All()) {
			var doc mapstr.M
			require.NoError(t, json.Unmarshal([]byte(line), &doc), line)
			require.Equal(t, "event", text(doc, "event.kind"))
			require.Equal(t, "root", text(doc, "user.name"))
		}
	}
	require.Equal(t, before, auditSettings(t), "audit's rules and settings are as before")
}

// TestLiveWatchCountsTheAlertsThatItShows holds that the summary is true of alerts that no rule raised.
func TestLiveWatchCountsTheAlertsThatItShows(t *testing.T) {
	takeAudit(t)
	before := auditSettings(t)
	w := startWatch(t, nil)
	w.until(t, "ss -H -t state closing")
	require.NoError(t, exec.Command("auditctl", "-e", "0").Run())
	w.until(t, "ALERT: ")
	w.interrupt(t)
	require.Regexp(
		t,
		fmt.Sprintf(`s: \d+ execs? seen, \d+ matched, %d alerts?, `, strings.Count(w.out.All(), "ALERT: ")),
		w.err.All(),
	)
	require.Equal(t, 1, strings.Count(w.out.All(), "switched the kernel's audit off"), "the row says it")
	require.NotContains(t, w.err.All(), "switched the kernel's audit off", "and no note repeats it")
	require.Equal(t, before, auditSettings(t), "audit's rules and settings are as before")
}

// TestLiveWatchBesideTheService holds that watch is a guest: with the paths of a package it runs beside the service,
// which goes on, and leaves alone what that keeps.
func TestLiveWatchBesideTheService(t *testing.T) {
	takeAudit(t)
	alone := auditSettings(t)
	dir := t.TempDir()
	t.Setenv(installed("home"), dir)
	t.Setenv(installed("config"), dir)
	t.Setenv(installed("data"), filepath.Join(dir, "data"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "reconbeat.yml"),
		[]byte("reconbeat.modules: [{module: auditd}]\n"+
			"output.file: {path: '${path.home}', filename: out}\nlogging.to_stderr: true\n"), 0o600))
	service := exec.Command(os.Args[0], "run")
	service.Env = append(os.Environ(), asReconbeat+"=1")
	log := &logBuffer{}
	service.Stderr = log
	require.NoError(t, service.Start())
	t.Cleanup(func() { _ = service.Process.Kill() })
	sees := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			require.NoError(t, exec.Command("sh", "-c", "ss -H -t state "+what+"; sleep 0.2").Run())
			files, err := filepath.Glob(filepath.Join(dir, "out*"))
			require.NoError(t, err)
			for _, file := range files {
				if docs, err := os.ReadFile(file); err == nil && strings.Contains(string(docs), what) {
					return
				}
			}
			require.True(t, time.Now().Before(deadline), "the service does not see it:\n%s", log.All())
		}
	}
	sees("syn-sent")
	before := auditSettings(t)
	w := startWatch(t, nil)
	w.until(t, "ss -H -t state closing")
	w.interrupt(t)
	require.Contains(t, w.err.All(), "Watching with auditd")
	require.Equal(t, before, auditSettings(t), "the service's rules are there as before")
	sees("syn-recv")
	require.NoError(t, service.Process.Signal(syscall.SIGTERM))
	require.NoError(t, service.Wait())
	require.NotContains(t, log.All(), `"message":"audit_tampered`, "a guest is not an intruder")
	require.Equal(t, alone, auditSettings(t))
}

func TestLiveWatchDemoAlertsAtOnce(t *testing.T) {
	takeAudit(t)
	data := t.TempDir()
	t.Setenv(installed("data"), data)
	w := startWatch(t, nil, "--demo")
	w.until(t, "ss -H -t state closing")
	w.interrupt(t)
	rows := strings.Split(w.out.All(), "\n")
	var recorded, live []string
	for _, row := range rows {
		if strings.HasPrefix(row, recordedGutter) {
			recorded = append(recorded, row)
		} else {
			live = append(live, row)
		}
	}
	require.Contains(t, strings.Join(recorded, "\n"), "ALERT: Unusual network connection discovery by www-data")
	require.Regexp(
		t,
		`ALERT: Unusual network connection discovery by root\n +root has never looked at network connections through`,
		strings.Join(live, "\n"),
	)
	require.Contains(t, w.err.All(), "DEMO. First a RECORDING, not this host")
	require.Contains(t, w.err.All(), "From here on THIS HOST, live, as if those ten days had been its own.")
	left, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is kept")
}

func TestLiveWatchEndsInOrderWhenNobodyReadsAnyMore(t *testing.T) {
	takeAudit(t)
	before := auditSettings(t)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	w := &watching{cmd: exec.Command(os.Args[0], "watch", "--format", "ndjson"), out: &logBuffer{}, err: &logBuffer{}}
	w.cmd.Env = append(os.Environ(), asReconbeat+"=1")
	w.cmd.Stdout, w.cmd.Stderr = write, w.err
	require.NoError(t, w.cmd.Start())
	require.NoError(t, write.Close())
	require.NoError(t, read.Close())
	done := make(chan error, 1)
	go func() { done <- w.cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); ; {
		_ = exec.Command("ss", "-H", "-t", "state", "closing").Run()
		select {
		case err := <-done:
			require.NoError(t, err, w.err.All())
			require.Equal(t, before, auditSettings(t), "audit's rules and settings are as before")
			return
		case <-time.After(100 * time.Millisecond):
		}
		require.True(t, time.Now().Before(deadline), "watch goes on:\n%s", w.err.All())
	}
}

func TestLiveWatchAsAPlainUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: BECOMING ANOTHER USER NEEDS ROOT")
	}
	plain := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	w := startWatch(t, plain)
	begins := regexp.MustCompile("Watching with|No source")
	require.Eventually(t, func() bool { return begins.MatchString(w.err.All()) }, time.Minute, 20*time.Millisecond,
		"watch says nothing:\n%s", w.err)
	if !strings.Contains(w.err.All(), "Watching with procconn") {
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		t.Skipf("SKIPPED: NO PROCESS CONNECTOR FOR A PLAIN USER HERE:\n%s", w.err.All())
	}
	w.until(t, " ss ")
	w.interrupt(t)
	require.Contains(t, w.err.All(), "lossy_module")
	require.Contains(t, w.err.All(), "not auditd: it needs root")
}

func TestWatchPlaysARecordingWhereNothingElseWorks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: BECOMING ANOTHER USER IN A NAMESPACE OF ITS OWN NEEDS ROOT")
	}
	w := startWatch(t, []string{"unshare", "--net", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"})
	require.NoError(t, w.cmd.Wait(), w.err.All())
	require.Contains(t, w.err.All(), "No source of live program starts works on this host:")
	require.Contains(t, w.err.All(), "auditd: it needs root")
	require.Contains(t, w.err.All(), "What would help:")
	require.Contains(t, w.err.All(), "here is a RECORDING")
	require.Contains(t, w.out.All(), "ALERT: Unusual network connection discovery by www-data")
	require.Contains(t, w.err.All(), "End of the RECORDING")
}

// TestLiveWatchEndsWheneverItIsInterrupted interrupts it at its first word, and while it plays the recording.
func TestLiveWatchEndsWheneverItIsInterrupted(t *testing.T) {
	takeAudit(t)
	before := auditSettings(t)
	for _, at := range []string{"Watching with auditd", "DEMO. ", "End of the RECORDING"} {
		w := startWatch(t, nil, "--demo")
		require.Eventually(t, func() bool { return strings.Contains(w.err.All(), at) }, time.Minute, time.Millisecond, at)
		w.interrupt(t)
		require.NotContains(t, w.err.All(), "Error")
	}
	require.Equal(t, before, auditSettings(t), "audit's rules and settings are as before")
}

// TestWatchNamesTheSourcesOfAConfiguration has the user's own configuration name its modules.
func TestWatchNamesTheSourcesOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	documents, file := filepath.Join(dir, "documents.ndjson"), filepath.Join(dir, "own.yml")
	require.NoError(t, os.WriteFile(documents, nil, 0o600))
	for name, c := range map[string]struct {
		modules string
		said    []string
	}{
		"documents": {"[{module: ndjson, paths: ['" + documents + "']}]", []string{
			"Watching with ndjson: it reads " + documents + ".\nIt sees ", "\nIt does not see "}},
		"two": {"[{module: ndjson, id: a, paths: ['" + documents + "']}, {module: ndjson, id: b, enabled: true, " +
			"paths: [/nowhere]}, {module: procconn, enabled: false}]", []string{
			"Watching with ndjson: it reads " + documents + ".", "Watching with ndjson: it reads /nowhere."}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, []byte("reconbeat.modules: "+c.modules+
				"\noutput.elasticsearch.hosts: ['127.0.0.1:9']\nlogging: {to_stderr: true, level: warning}\n"), 0o600))
			w := startWatch(t, nil, "-c", file)
			for _, want := range c.said {
				require.Eventually(t, func() bool { return strings.Contains(w.err.All(), want) }, time.Minute,
					20*time.Millisecond, "%s", want)
			}
			require.NotContains(t, w.err.All(), "procconn")
			w.interrupt(t)
		})
	}
}

// TestWatchStaysOnTheTerminal has somebody watch with the configuration of a service that runs: nobody else notices.
func TestWatchStaysOnTheTerminal(t *testing.T) {
	h := beattest.NewHost(t)
	var asked atomic.Int64
	others := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(others.Close)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	service := filepath.Join(h.Dir, "service")
	require.NoError(t, os.Mkdir(service, 0o755))
	file := filepath.Join(h.Dir, "service.yml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
reconbeat:
  modules: [{module: ndjson, paths: ['%[1]s']}]
  notify: [{id: team, webhook.url: '%[2]s/team'}]
  feedback.from_kibana: {hosts: ['%[2]s'], api_key: 'a:b', period: 1s}
output.elasticsearch.hosts: ['%[2]s']
monitoring: {enabled: true, elasticsearch.hosts: ['%[2]s']}
setup: {dashboards.enabled: true, kibana.host: '%[2]s'}
http: {enabled: true, port: %[3]d}
queue.disk: {path: '%[4]s/queue', max_size: 100MB}
logging.files.path: '%[4]s'
`, h.Input(), others.URL, taken.Addr().(*net.TCPAddr).Port, service), 0o600))
	kept := filepath.Join(h.Dir, "watched")
	learn := exec.Command(os.Args[0], "replay", "--learn", "--path.data", kept, h.History("root"))
	learn.Env = append(os.Environ(), asReconbeat+"=1")
	out, err := learn.CombinedOutput()
	require.NoError(t, err, string(out))

	w := startWatch(t, nil, "-c", file, "--path.data", kept)
	require.True(t, beattest.Poll(time.Minute, func() bool {
		h.Exec("mallory", "ss -tan")
		return strings.Contains(w.out.All(), "ALERT: Unusual network connection discovery by mallory")
	}), "%s\n%s", w.out.All(), w.err.All())
	input, err := os.OpenFile(h.Input(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = input.WriteString("no document\n")
	require.NoError(t, errors.Join(err, input.Close()))
	require.True(t, beattest.Poll(time.Minute, func() bool { return strings.Contains(w.err.All(), "Note: ") }),
		"what is wrong with a source is said: %s", w.err.All())
	w.interrupt(t)
	require.Zero(t, asked.Load(), "nobody was sent anything")
	left, err := os.ReadDir(service)
	require.NoError(t, err)
	require.Empty(t, left, "no queue and no log of the service's")
}
