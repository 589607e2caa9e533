// SPDX-License-Identifier: Apache-2.0

// Package beattest runs reconbeat as a process of its own, for tests: in a folder, again and again, following a file of
// documents that the test writes.
package beattest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// AsReconbeat in the environment makes a test binary be reconbeat, so that tests run the real command line without a
// build of their own. Its TestMain asks for it.
const AsReconbeat = "RECONBEAT_TEST_AS_RECONBEAT"

// patience is for how long a test waits for a process to end.
const patience = time.Minute

// Host is a folder in which reconbeat runs.
type Host struct {
	T   testing.TB
	Dir string

	mu      sync.Mutex
	outputs map[string]*written // by path
}

// NewHost makes a host that nothing has happened on.
func NewHost(t testing.TB) *Host {
	h := &Host{T: t, Dir: t.TempDir()}
	require.NoError(t, os.WriteFile(h.Input(), nil, 0o600))
	return h
}

// Input is the file that module ndjson follows.
func (h *Host) Input() string { return filepath.Join(h.Dir, "input.ndjson") }

// Exec has a user start programs, a second apart, the last one now.
func (h *Host) Exec(user string, commands ...string) {
	f, err := os.OpenFile(h.Input(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(h.T, err)
	defer f.Close()
	for i, command := range commands {
		at := time.Now().Add(time.Duration(i+1-len(commands)) * time.Second)
		_, err := fmt.Fprintln(f, Line(at, user, command))
		require.NoError(h.T, err)
	}
}

// Line is the document of one program start.
func Line(at time.Time, user, command string) string {
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
			"name": args[0], "executable": "/usr/bin/" + args[0], "args": args, "pid": 4711, "parent.name": parent,
		},
	})
	return string(line)
}

// History writes a recording of sixty days in which each user's agent runs ss every hour, and returns its path.
func (h *Host) History(users ...string) string {
	var b strings.Builder
	now := time.Now()
	for at := now.AddDate(0, 0, -60); at.Before(now.Add(-20 * time.Minute)); at = at.Add(time.Hour) {
		for _, user := range users {
			b.WriteString(Line(at, user, "ss -s") + "\n")
		}
	}
	history := filepath.Join(h.Dir, "history.ndjson")
	require.NoError(h.T, os.WriteFile(history, []byte(b.String()), 0o600))
	return history
}

// Documents are all that an output file, of this name and its rotations, holds. Tests ask again and again until what
// they wait for is there: only what was written since is read.
func (h *Host) Documents(output string) []mapstr.M {
	files, err := filepath.Glob(filepath.Join(h.Dir, output+"*.ndjson"))
	require.NoError(h.T, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outputs == nil {
		h.outputs = map[string]*written{}
	}
	var docs []mapstr.M
	for _, file := range files {
		if h.outputs[file] == nil {
			h.outputs[file] = &written{}
		}
		require.NoError(h.T, h.outputs[file].follow(file))
		docs = append(docs, h.outputs[file].docs...)
	}
	return docs
}

// Find returns the documents of an output file that are about an action (event.action) of a user (user.name; empty:
// of nobody), in the order in which they were written.
func (h *Host) Find(output, action, user string) (found []mapstr.M) {
	for _, doc := range h.Documents(output) {
		if Field(doc, "event.action") == action && Field(doc, "user.name") == user {
			found = append(found, doc)
		}
	}
	return found
}

// written is what an output file held when it was last read.
type written struct {
	file os.FileInfo
	read int64
	docs []mapstr.M
}

// follow reads the lines that the file got since; one that is still being written it leaves for the next time.
func (w *written) follow(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if w.file == nil || !os.SameFile(w.file, now) || now.Size() < w.read {
		*w = written{}
	}
	w.file = now
	text, err := io.ReadAll(io.NewSectionReader(f, w.read, now.Size()-w.read))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		w.read += int64(len(line))
		var doc mapstr.M
		if json.Unmarshal(line, &doc) == nil { // a line may have been cut where a process was killed
			w.docs = append(w.docs, doc)
		}
	}
	return nil
}

// Poll asks again and again until a condition holds, and reports whether it did in that time. It rests four times as
// long as asking takes: a test that waits leaves the processor to what it waits for.
func Poll(patience time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(patience)
	for {
		asked := time.Now()
		if condition() {
			return true
		}
		now := time.Now()
		if now.After(deadline) {
			return false
		}
		time.Sleep(max(20*time.Millisecond, 4*now.Sub(asked)))
	}
}

// Field is a document's field as text; empty where it has none.
func Field(doc mapstr.M, name string) string {
	v, err := doc.GetValue(name)
	if err != nil {
		return ""
	}
	return fmt.Sprint(v)
}

// Body reads what was posted, compressed or not.
func Body(r *http.Request) ([]byte, error) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	return io.ReadAll(body)
}

// Run is one life of reconbeat on a host.
type Run struct {
	Log *Log

	host  *Host
	t     testing.TB // the host's
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
}

// Start runs a command until it ends, or the test does.
func (h *Host) Start(c *exec.Cmd) *Run {
	r := &Run{Log: &Log{}, host: h, t: h.T, cmd: c, ended: make(chan struct{})}
	c.Stdout, c.Stderr = r.Log, r.Log
	require.NoError(h.T, c.Start())
	go func() {
		r.err = c.Wait()
		close(r.ended)
	}()
	h.T.Cleanup(func() {
		_ = c.Process.Kill()
		if h.T.Failed() {
			h.T.Logf("a reconbeat's log:\n%s", r.Log)
		}
	})
	return r
}

// PID is the process's.
func (r *Run) PID() int { return r.cmd.Process.Pid }

// Ended is closed when the process is gone.
func (r *Run) Ended() <-chan struct{} { return r.ended }

// Until waits up to two minutes for a condition, as long as the process lives. The test fails with why unless it
// holds by then.
func (r *Run) Until(why func() string, condition func() bool) {
	r.t.Helper()
	holds := Poll(2*time.Minute, func() bool {
		if condition() {
			return true
		}
		select {
		case <-r.ended:
			r.t.Fatalf("%s: reconbeat has ended: %v", why(), r.err)
		default:
		}
		return false
	})
	if !holds {
		r.t.Fatal(why())
	}
}

// Shipped waits until an output file has at least n documents about an action of a user, as Find does, and returns
// them.
func (r *Run) Shipped(output, action, user string, n int) (found []mapstr.M) {
	r.t.Helper()
	r.Until(func() string {
		return fmt.Sprintf("%d documents of action %s by %s are shipped, not %d", len(found), action, user, n)
	}, func() bool {
		found = r.host.Find(output, action, user)
		return len(found) >= n
	})
	return found
}

// Wait waits until the process is gone, and returns how it ended.
func (r *Run) Wait() error {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatalf("reconbeat does not end; its log:\n%s", r.Log)
	}
	return r.err
}

// Signal sends a signal and waits until the process is gone.
func (r *Run) Signal(sig os.Signal) error {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(sig))
	return r.Wait()
}

// Log is what a process has written so far.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends; it is safe beside the other methods.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// All is all of it.
func (l *Log) All() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// String is what matters of it: what is not merely information.
func (l *Log) String() string {
	var b strings.Builder
	for line := range strings.Lines(l.All()) {
		if !strings.Contains(line, `"log.level":"info"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}
