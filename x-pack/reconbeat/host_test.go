// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// asReconbeat in the environment makes the test binary be reconbeat, so that tests run the real main without a build of
// their own.
const asReconbeat = "RECONBEAT_TEST_AS_RECONBEAT"

func TestMain(m *testing.M) {
	if os.Getenv(asReconbeat) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// host is a folder in which an Agent runs reconbeat, again and again.
type host struct {
	t   *testing.T
	dir string
}

// run is one life of reconbeat.
type run struct {
	h     *host
	cmd   *exec.Cmd
	log   *logBuffer
	ended chan error
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHost(t *testing.T) *host {
	h := &host{t: t, dir: t.TempDir()}
	require.NoError(t, os.WriteFile(h.input(), nil, 0o600))
	t.Cleanup(h.expectNoRaceOfOurs)
	return h
}

func (h *host) input() string { return filepath.Join(h.dir, "input.ndjson") }

// specification is reconbeat.spec.yml as the Agent reads it.
type specification struct {
	Version int
	Inputs  []struct {
		Name, Description  string
		Platforms, Outputs []string
		Command            struct{ Args []string }
	}
}

var variable = regexp.MustCompile(`\$\{[A-Z_]+:([^}]*)\}`)

func readSpecification(t *testing.T) specification {
	text, err := os.ReadFile("reconbeat.spec.yml")
	require.NoError(t, err)
	var s specification
	require.NoError(t, yaml.Unmarshal(text, &s))
	require.Len(t, s.Inputs, 1)
	for i, arg := range s.Inputs[0].Command.Args {
		s.Inputs[0].Command.Args[i] = variable.ReplaceAllString(arg, "$1")
	}
	return s
}

// command makes a command of reconbeat on this host.
func (h *host) command(args ...string) *exec.Cmd {
	for _, path := range []string{"home", "config"} {
		args = append(args, "-E", "path."+path+"="+h.dir)
	}
	c := exec.Command(os.Args[0], append(args, "-E", "path.data="+filepath.Join(h.dir, "data"))...)
	c.Env = append(os.Environ(), asReconbeat+"=1", h.races())
	return c
}

// start runs reconbeat as the Agent does: by the specification, with how to reach the Agent on standard input.
func (h *host) start(a *agent) *run {
	r := &run{h: h, log: &logBuffer{}, ended: make(chan error, 1)}
	r.cmd = h.command(readSpecification(h.t).Inputs[0].Command.Args...)
	r.cmd.Stdin = bytes.NewReader(a.startUp)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	require.NoError(h.t, r.cmd.Start())
	go func() { r.ended <- r.cmd.Wait() }()
	h.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if h.t.Failed() {
			h.t.Logf("a reconbeat's log:\n%s", r.log)
		}
	})
	return r
}

// end waits until the process is gone.
func (r *run) end() error {
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(time.Minute):
		r.h.t.Fatalf("reconbeat does not end; its log:\n%s", r.log)
		return nil
	}
}

func (r *run) signal(sig syscall.Signal) error {
	require.NoError(r.h.t, r.cmd.Process.Signal(sig))
	return r.end()
}

// eventually waits for a condition, as long as the process lives.
func (r *run) eventually(condition func() bool, why func() string) {
	r.h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-r.ended:
			r.ended <- err
			r.h.t.Fatalf("%s: reconbeat has ended: %v", why(), err)
		default:
		}
		if time.Now().After(deadline) {
			r.h.t.Fatal(why())
		}
	}
}

// look has a user look at the host's connections: one exec, now, in the file that module ndjson follows.
func (h *host) look(user, command string) {
	f, err := os.OpenFile(h.input(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(h.t, err)
	defer f.Close()
	_, err = f.WriteString(execLine(time.Now(), user, command) + "\n")
	require.NoError(h.t, err)
}

func execLine(at time.Time, user, command string) string {
	args := strings.Fields(command)
	parent := "sh"
	if user == "root" {
		parent = "agent"
	}
	line, _ := json.Marshal(map[string]any{
		"@timestamp": at.UTC().Format(time.RFC3339Nano),
		"event":      map[string]any{"id": fmt.Sprintf("%s-%d", user, at.UnixNano())},
		"user":       map[string]any{"name": user},
		"process": map[string]any{
			"name":        args[0],
			"executable":  "/usr/bin/" + args[0],
			"args":        args,
			"pid":         4711,
			"parent.name": parent,
		},
	})
	return string(line)
}

// learn has sixty days learned in which root's agent looks every hour.
func (h *host) learn() {
	var b strings.Builder
	now := time.Now()
	for at := now.AddDate(0, 0, -60); at.Before(now.Add(-20 * time.Minute)); at = at.Add(time.Hour) {
		b.WriteString(execLine(at, "root", "ss -s") + "\n")
	}
	history, config := filepath.Join(h.dir, "history.ndjson"), filepath.Join(h.dir, "reconbeat.yml")
	require.NoError(h.t, os.WriteFile(history, []byte(b.String()), 0o600))
	require.NoError(h.t, os.WriteFile(config, []byte("output.file: {path: unused}\n"), 0o600))
	out, err := h.command("replay", "--learn", "--yes", "--module", "ndjson", history, "-c", config).CombinedOutput()
	require.NoError(h.t, err, string(out))
}

// documents are all that an output file, of this name and its rotations, holds.
func (h *host) documents(output string) []mapstr.M {
	files, err := filepath.Glob(filepath.Join(h.dir, output+"*.ndjson"))
	require.NoError(h.t, err)
	var docs []mapstr.M
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(h.t, err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var doc mapstr.M
			if json.Unmarshal(lines.Bytes(), &doc) == nil { // the last line may still be being written
				docs = append(docs, doc)
			}
		}
		f.Close()
	}
	return docs
}

// find returns the documents of an action and a user.
func (h *host) find(output, action, user string) []mapstr.M {
	var found []mapstr.M
	for _, doc := range h.documents(output) {
		if field(doc, "event.action") == action && field(doc, "user.name") == user {
			found = append(found, doc)
		}
	}
	return found
}

// field is a document's field as text.
func field(doc mapstr.M, name string) string {
	v, err := doc.GetValue(name)
	if err != nil {
		return ""
	}
	return fmt.Sprint(v)
}

// shipped waits until so many documents of an action and a user are in the output.
func (r *run) shipped(output, action, user string, n int) []mapstr.M {
	r.h.t.Helper()
	var found []mapstr.M
	r.eventually(func() bool { found = r.h.find(output, action, user); return len(found) >= n }, func() string {
		return fmt.Sprintf("%d documents of action %s by %s are shipped, not %d", len(found), action, user, n)
	})
	return found
}

// bodyOf reads what was posted, compressed or not.
func bodyOf(r *http.Request) (string, error) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return "", err
		}
		body = z
	}
	text, err := io.ReadAll(body)
	return string(text), err
}
