// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp/logptest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest/observer"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a module under test and what it counted and logged.
type rig struct {
	module.Module
	stats module.Stats
	log   *observer.ObservedLogs
}

func newRig(t *testing.T, replay bool, options map[string]any) *rig {
	t.Helper()
	logger, log := logptest.NewTestingLoggerWithObserver(t, "ndjson")
	r := &rig{log: log}
	m, err := New(
		conf.MustNewConfigFrom(options),
		module.Env{ID: "ndjson", Logger: logger, Stats: &r.stats, Health: &health.Board{}, Replay: replay},
	)
	require.NoError(t, err)
	r.Module = m
	return r
}

// replayed reads a file and returns copies of the events.
func (r *rig) replayed(t *testing.T) []*process.Event {
	t.Helper()
	var events []*process.Event
	require.NoError(t, r.Run(t.Context(), process.Cursor{}, func(e *process.Event) error {
		c := &process.Event{}
		c.Copy(e)
		events = append(events, c)
		return nil
	}))
	return events
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	require.NoError(t, errors.Join(err, f.Close()))
}

// exec is a document of an exec in a second since 1970, by pid.
func exec(second, pid int) string {
	return fmt.Sprintf(`{"@timestamp":%d000,"process":{"name":"ss","pid":%d},"event":{"action":"exec"}}`, second, pid)
}

func TestTheDocumentsOfEveryAgentAreReplayed(t *testing.T) {
	r := newRig(t, true, map[string]any{"paths": []string{"testdata/agents.ndjson"}})
	events := r.replayed(t)
	var sources, users []string
	for _, e := range events {
		assert.Equal(t, process.Exec, e.Kind)
		sources, users = append(sources, e.Source), append(users, e.User.Name)
	}
	// existing_process, ran-command and connection_attempted are documents of something else.
	assert.Equal(
		t,
		[]string{"auditd", "system", "auditd", "ndjson", "endpoint", "ndjson", "endpoint", "ndjson"},
		sources,
	)
	assert.Equal(t, []string{"www-data", "bob", "root", "carol", "alice", "root", "bob", "bob"}, users)
	assert.False(t, events[0].Success)
	assert.EqualValues(t, 11, r.stats.Records.Load())
	assert.Zero(t, r.stats.Malformed.Load())
	assert.Zero(t, r.log.Len())
}

func TestEveryExecOfASimulatedHostIsCounted(t *testing.T) {
	r := newRig(t, true, map[string]any{"paths": []string{"testdata/scenario.ndjson.gz"}})
	events := r.replayed(t)
	require.Len(t, events, 400)
	for i, e := range events {
		assert.Equal(t, fmt.Sprintf("web-1-%06d", i+1), e.ID)
		assert.Equal(t, "web-1", e.Host.ID)
		assert.True(t, e.User.Known())
		assert.NotZero(t, e.PID)
		assert.NotEmpty(t, e.Args)
		assert.NotEmpty(t, e.Parent.Executable)
	}
	assert.EqualValues(t, 400, r.stats.Records.Load())
}

func TestMalformedLinesAreCountedAndLoggedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	write(
		t,
		path,
		"\xef\xbb\xbf"+exec(1700000000, 1),
		"",
		`{"torn`,
		`{"process":{"name":"ss"}}`,
		"no json at all",
		exec(1700000001, 2)+"\r",
		`{"@timestamp":1700000002000,"event":{"action":"x"}}`,
	)
	r := newRig(t, true, map[string]any{"paths": []string{path}})
	assert.Len(t, r.replayed(t), 2)
	assert.EqualValues(t, 6, r.stats.Records.Load())
	assert.EqualValues(t, 3, r.stats.Malformed.Load())
	logs := r.log.All()
	require.Len(t, logs, 2, "the first at once, what follows within a minute in one line")
	assert.Contains(t, logs[0].Message, "line 3: malformed JSON")
	assert.Contains(t, logs[1].Message, "2 lines are not documents")
	assert.Contains(t, logs[1].Message, "line 5")
}

func TestPrettyPrintedJSONIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	write(t, path, "{", `  "@timestamp": "2026-03-02T10:00:00Z",`, `  "process": {"name": "ss"}`, "}")
	r := newRig(t, true, map[string]any{"paths": []string{path}})
	require.Len(t, r.replayed(t), 1)
	assert.Zero(t, r.stats.Malformed.Load())
}

func TestAFileThatCannotBeReadIsAnErrorInAReplay(t *testing.T) {
	r := newRig(t, true, map[string]any{"paths": []string{"testdata/missing.ndjson"}})
	require.ErrorIs(t, r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil }), os.ErrNotExist)
	broken := filepath.Join(t.TempDir(), "cut.ndjson.gz")
	whole, err := os.ReadFile("testdata/scenario.ndjson.gz")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(broken, whole[:len(whole)/2], 0o600))
	r = newRig(t, true, map[string]any{"paths": []string{broken}})
	require.ErrorContains(t, r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil }), broken)
}

func TestAnErrorOfTheReceiverEndsTheReading(t *testing.T) {
	full := errors.New("full")
	r := newRig(t, true, map[string]any{"paths": []string{"testdata/scenario.ndjson.gz"}})
	require.ErrorIs(t, r.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return full }), full)
	assert.EqualValues(t, 1, r.stats.Records.Load())
}

// following runs a module on a file that grows; next waits for an event's pid and cursor.
type following struct {
	*rig
	next func() (uint32, process.Cursor)
	stop func()
}

func follows(t *testing.T, path, from string, at process.Cursor) following {
	t.Helper()
	r := newRig(t, false, map[string]any{"paths": []string{path}, "from": from})
	ctx, cancel := context.WithCancel(context.Background())
	type seen struct {
		pid uint32
		at  process.Cursor
	}
	events, done := make(chan seen), make(chan error, 1)
	go func() {
		done <- r.Run(ctx, at, func(e *process.Event) error {
			select {
			case events <- seen{e.PID, e.Cursor}:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return following{r, func() (uint32, process.Cursor) {
		t.Helper()
		select {
		case s := <-events:
			return s.pid, s.at
		case <-time.After(time.Minute):
			t.Fatal("no event")
			return 0, process.Cursor{}
		}
	}, stop}
}

func TestAFileIsFollowedAndGoesOnWhereItWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	write(t, path, exec(1700000000, 1), exec(1700000001, 2))
	f := follows(t, path, fromBeginning, process.Cursor{})
	pid, _ := f.next()
	assert.EqualValues(t, 1, pid)
	pid, at := f.next()
	assert.EqualValues(t, 2, pid)
	assert.NotZero(t, at)
	write(t, path, exec(1700000002, 3))
	pid, _ = f.next()
	assert.EqualValues(t, 3, pid)
	f.stop()

	write(t, path, exec(1700000003, 4))
	f = follows(t, path, fromEnd, at) // a cursor outranks the option
	pid, _ = f.next()
	assert.EqualValues(t, 3, pid, "what was read after the cursor is read again")
	pid, _ = f.next()
	assert.EqualValues(t, 4, pid)
}

// Docker makes several lines of a long one, and Kubernetes, too.
func TestADocumentInPartsIsFollowedAndReplayed(t *testing.T) {
	const docker, cri = `{"log":%q,"stream":"stdout","time":"2026-03-03T01:06:40Z"}`, "2026-03-03T01:06:40.1Z stdout %s %s"
	doc := exec(1700000000, 1)
	lines := []string{
		fmt.Sprintf(docker, doc[:40]), fmt.Sprintf(docker, doc[40:]+"\n"),
		fmt.Sprintf(cri, "P", exec(1700000001, 2)[:40]), fmt.Sprintf(cri, "F", exec(1700000001, 2)[40:]),
	}
	path := filepath.Join(t.TempDir(), "json.log")
	write(t, path, lines...)
	f := follows(t, path, fromBeginning, process.Cursor{})
	for want := range uint32(2) {
		pid, _ := f.next()
		assert.Equal(t, want+1, pid)
	}
	f.stop()
	assert.Zero(t, f.stats.Malformed.Load())

	write(t, path, fmt.Sprintf(docker, doc[:40])) // its end never came
	r := newRig(t, true, map[string]any{"paths": []string{path}})
	assert.Len(t, r.replayed(t), 2)
	assert.EqualValues(t, 1, r.stats.Malformed.Load())
}

func TestTheWatermarkIsTheNewestDocumentForAMinute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	write(
		t,
		path,
		exec(1700000005, 1),
		exec(1700000001, 2),
		`{"@timestamp":1700000007000,"event":{"action":"x"}}`,
		exec(1700000006, 3),
	)
	idle := newRig(t, false, map[string]any{"paths": []string{path}})
	assert.Zero(t, idle.Module.(module.Watermarker).Watermark(time.Now()), "nothing is known before the first document")
	f := follows(t, path, fromBeginning, process.Cursor{})
	mark := f.Module.(module.Watermarker)
	for range 3 {
		f.next()
	}
	require.Eventually(t, func() bool { // the end is reached within a moment
		later := time.Now().Add(2 * time.Minute)
		return mark.Watermark(later).Equal(later.Add(-2 * time.Second))
	}, time.Minute, 10*time.Millisecond)
	assert.Equal(t, time.Unix(1700000007, 0), mark.Watermark(time.Now()),
		"not for a minute yet, and documents of other things have a time, too")
}

func TestWrongOptionsAreNamedAllAtOnce(t *testing.T) {
	logger, _ := logptest.NewTestingLoggerWithObserver(t, "ndjson")
	env := module.Env{ID: "ndjson", Logger: logger, Stats: &module.Stats{}, Health: &health.Board{}}
	for name, row := range map[string]struct {
		options map[string]any
		want    []string
	}{
		"nothing is named": {map[string]any{}, []string{"paths: it is empty"}},
		"two files":        {map[string]any{"paths": []string{"a", "b"}}, []string{`paths: ["a" "b"] are 2 files`}},
		"standard input":   {map[string]any{"paths": []string{"-"}}, []string{`paths.0: "-" is not allowed`}},
		"two things at once": {
			map[string]any{"from": "middle"},
			[]string{"paths: it is empty", `from: "middle" is not allowed; it must be end or beginning`},
		},
		"a path that is none": {map[string]any{"paths": []string{""}}, []string{`paths.0: "" is not allowed`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(conf.MustNewConfigFrom(row.options), env)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestWhatCountsAsDocuments(t *testing.T) {
	long := `{"@timestamp":"2026-03-02T10:00:00Z","message":"` + strings.Repeat("x", 70_000)
	for sample, want := range map[string]bool{
		exec(1700000000, 1) + "\n":                  true,
		"\n\n  " + exec(1700000000, 1) + "\r\n{":    true,
		"\xef\xbb\xbf" + exec(1700000000, 1):        true,
		`{"index":{}}` + "\n" + exec(1700000000, 1): true,
		long:                          true,
		"":                            false,
		"{\n  \"@timestamp\": 1\n}\n": true, // pretty-printed
		"[{}]\n":                      true,
		"{torn\n":                     false,
		"type=SYSCALL msg=audit(1700000000.1:5): arch=1\n": false,
	} {
		assert.Equal(t, want, Recognises([]byte(sample)), "%.60q", sample)
	}
}

func TestReadingADocumentAllocatesNothing(t *testing.T) {
	r := newRig(t, true, map[string]any{"paths": []string{"-"}})
	m := r.Module.(*documents)
	m.emit = func(*process.Event) error { return nil }
	line := []byte(firstLine(t))
	require.NoError(t, m.line(line, process.Cursor{}))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = m.line(line, process.Cursor{}) }))
}

func firstLine(t testing.TB) string {
	t.Helper()
	f, err := os.Open("testdata/scenario.ndjson.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b := make([]byte, 4096)
	n, err := z.Read(b)
	require.NotZero(t, n, err)
	line, _, ok := strings.Cut(string(b[:n]), "\n")
	require.True(t, ok)
	return line
}
