// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/state"
)

// host is a folder in which reconbeat runs as its own process, again and again.
type host struct {
	*beattest.Host
	t       *testing.T
	dir     string
	sockets int
}

// run is one life of reconbeat on a host.
type run struct {
	*beattest.Run
	h      *host
	log    *logBuffer
	socket string
}

// logBuffer is what a process has written so far.
type logBuffer = beattest.Log

func newHost(t *testing.T) *host {
	h := &host{Host: beattest.NewHost(t), t: t}
	h.dir = h.Dir
	require.NoError(t, os.Mkdir(filepath.Join(h.dir, "modules.d"), 0o755))
	return h
}

func (h *host) input() string { return h.Input() }

const (
	// theFile is an output that works, deadElasticsearch one that is down.
	theFile           = "output.file: {path: \"${path.home}\", filename: out, permissions: 0600}\n"
	deadElasticsearch = "output.elasticsearch: {hosts: ['http://127.0.0.1:9'], backoff: {init: 50ms, max: " +
		"100ms}}\nsetup: {ilm.enabled: false, template.enabled: false}\n"
	// oneModule follows the host's file.
	oneModule = "reconbeat.modules: [{module: ndjson, id: documents, from: beginning, paths: " +
		"[\"${path.home}/input.ndjson\"]}]\n"
)

// command makes a command of reconbeat on this host.
func (h *host) command(config string, args ...string) (*exec.Cmd, string) {
	h.sockets++
	socket := filepath.Join(h.dir, fmt.Sprintf("%d.sock", h.sockets))
	file := filepath.Join(h.dir, fmt.Sprintf("reconbeat-%d.yml", h.sockets))
	if !strings.Contains(config, "heartbeat") {
		config += "\nreconbeat.heartbeat.period: 0s" // most tests count documents
	}
	config += fmt.Sprintf(
		"\nhttp: {enabled: true, host: 'unix://%s'}\nlogging: {to_stderr: true, level: info, metrics.enabled: false}\n",
		socket)
	require.NoError(h.t, os.WriteFile(file, []byte(config), 0o600))
	binary := os.Args[0]
	if args[0] != "run" {
		binary = withoutRaceDetector(h.t)
	}
	end := slices.Index(args, "--") // of the options; an id may begin with a dash
	if end < 0 {
		end = len(args)
	}
	c := exec.Command(binary, slices.Insert(slices.Clone(args), end, "-c", file, "--path.home", h.dir, "--path.data",
		filepath.Join(h.dir, "data"), "--path.config", h.dir)...)
	c.Env = append(os.Environ(), asReconbeat+"=1")
	return c, socket
}

// start runs reconbeat until the test ends it.
func (h *host) start(config string) *run {
	c, socket := h.command(config, "run")
	r := h.Start(c)
	return &run{Run: r, h: h, log: r.Log, socket: socket}
}

// end sends a signal and waits until the process is gone.
func (r *run) end(sig os.Signal) error { return r.Signal(sig) }

// stat is one of reconbeat's own metrics, by its dotted name; -1 while nothing answers, or knows it.
func (r *run) stat(name string) int { return beattest.Metric(r.socket, "reconbeat."+name) }

// wait waits until a metric has reached n: on a busy machine as long as it grows.
func (r *run) wait(name string, n int) {
	r.h.t.Helper()
	for is, before := -2, -2; is < n; before = is {
		r.h.eventually(func() bool { is = r.stat(name); return is >= n || is > before },
			"%s does not reach %d; the log:\n%s", name, n, r.log)
	}
}

func (h *host) eventually(condition func() bool, format string, args ...any) {
	h.t.Helper()
	if !beattest.Poll(2*time.Minute, condition) {
		h.t.Fatalf(format, args...)
	}
}

// learn has sixty days learned in which root's agent runs ss every hour.
func (h *host) learn(users ...string) {
	if len(users) == 0 {
		users = []string{"root"}
	}
	c, _ := h.command(oneModule+theFile, "replay", "--learn", "--module", "ndjson", h.History(users...))
	out, err := c.CombinedOutput()
	require.NoError(h.t, err, string(out))
}

// shipped returns the documents in the output file that have this event.action, as lines "USER COMMAND".
func (h *host) shipped(action string) []string {
	var out []string
	for _, doc := range h.documents() {
		if text(doc, "event.action") == action {
			out = append(out, text(doc, "user.name")+" "+text(doc, "process.command_line"))
		}
	}
	return out
}

func (h *host) documents() []mapstr.M { return h.Documents("out") }

func TestNothingIsLostAndNothingShipsTwice(t *testing.T) {
	t.Parallel()
	wantEvents := []string{"mallory ss -tunap", "mallory netstat -rn"}
	wantAlerts := []string{"mallory ss -tunap"}
	t.Run("SIGTERM while the output works", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		h.learn()
		r := h.start(oneModule + theFile)
		h.Exec("mallory", "ss -tunap", "netstat -rn")
		r.wait("detector.alerts", 1)
		r.wait("detector.matched", 2)
		require.NoError(t, r.end(syscall.SIGTERM))
		r = h.start(oneModule + theFile)
		h.Exec("root", "ss -s")
		h.eventually(func() bool { return len(h.shipped("exec")) == 3 },
			"the exec of the second life is not shipped:\n%s", r.log)
		require.NoError(t, r.end(syscall.SIGTERM))
		require.ElementsMatch(t, append(wantEvents, "root ss -s"), h.shipped("exec"))
		require.Equal(t, wantAlerts, h.shipped("alert"))
	})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String()+" while the output is down", func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.learn()
			r := h.start(oneModule + deadElasticsearch)
			h.Exec("mallory", "ss -tunap", "netstat -rn")
			r.wait("journal.committed", 3)
			err := r.end(sig)
			require.Equal(t, sig == syscall.SIGTERM, err == nil, "%v", err)
			require.Empty(t, h.documents())

			r = h.start(oneModule + theFile)
			h.eventually(func() bool { return len(h.documents()) >= 3 }, "what was journaled is not shipped:\n%s",
				r.log)
			h.Exec("mallory", "ss -xl") // of the same episode: no alert
			h.eventually(func() bool { return len(h.shipped("exec")) == 3 },
				"the exec of the second life is not shipped:\n%s", r.log)
			require.NoError(t, r.end(syscall.SIGTERM))
			require.ElementsMatch(t, append(wantEvents, "mallory ss -xl"), h.shipped("exec"))
			require.Equal(t, wantAlerts, h.shipped("alert"))
		})
	}
	t.Run("the output comes back while reconbeat runs", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		h.learn()
		address := beattest.Address(t)
		r := h.start(oneModule + strings.Replace(deadElasticsearch, "127.0.0.1:9", address, 1))
		h.Exec("mallory", "ss -tunap", "netstat -rn")
		r.wait("journal.committed", 3)
		require.Equal(t, 3, r.stat("journal.pending"))

		es := beattest.Serve(t, address)
		h.eventually(func() bool { return len(es.Indices()) >= 3 }, "nothing arrives:\n%s", r.log)
		h.eventually(func() bool { return r.stat("journal.pending") == 0 }, "nothing is settled:\n%s", r.log)
		require.NoError(t, r.end(syscall.SIGTERM))
		require.ElementsMatch(
			t,
			[]string{"logs-reconbeat.alert-default", "logs-reconbeat.process-default",
				"logs-reconbeat.process-default"},
			es.Indices(),
		)
	})
}

// TestTheHeartReportsFromStartToEnd reads what a host says of itself, over a life that ends in order.
func TestTheHeartReportsFromStartToEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	r := h.start(oneModule + theFile + "reconbeat.heartbeat.period: 1s\n")
	beats := func() (all []mapstr.M) {
		for _, doc := range h.documents() {
			if text(doc, "event.action") == "heartbeat" {
				all = append(all, doc)
			}
		}
		return all
	}
	h.eventually(func() bool { return len(beats()) >= 1 }, "no heartbeat:\n%s", r.log)
	h.Exec("mallory", "ss -tunap", "ls -l")
	r.wait("detector.execs", 2)
	for _, station := range []string{"judge", "start_to_judge", "start_to_publish", "publish_to_ack"} {
		r.wait("latency."+station+"_us.count", 1)
	}
	h.eventually(func() bool {
		all := beats()
		return len(all) >= 3 && text(all[len(all)-1], "reconbeat.health.execs") == "0"
	}, "no quiet heartbeat:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))

	all := beats()
	execs, alerts := 0.0, 0.0
	for i, doc := range all {
		kind := "info"
		switch i {
		case 0:
			kind = "start"
		case len(all) - 1:
			kind = "end"
		}
		for field, want := range map[string]string{
			"event.type": "[" + kind + "]", "event.kind": "metric", "event.dataset": "reconbeat.health",
			"data_stream.dataset": "reconbeat.health", "message": "reconbeat is healthy",
			"data_stream.namespace": "default", "@metadata.op_type": "create", "reconbeat.health.status": "healthy",
			"reconbeat.health.modules": "[ndjson]",
			"reconbeat.health.rules":   "[network-connection-discovery]", "reconbeat.health.lost": "0",
			"reconbeat.health.malformed": "0",
		} {
			require.Equal(t, want, text(doc, field), "%s of heartbeat %d", field, i)
		}
		require.NotEmpty(t, text(doc, "host.id"))
		require.Regexp(t, `^\d+\.\d+\.\d+`, text(doc, "agent.version"))
		require.Equal(t, i == 0, text(doc, "event.duration") == "", "the first one counts from nothing")
		age, err := doc.GetValue("reconbeat.health.model.age_days")
		require.NoError(t, err)
		require.InDelta(t, 60, age, 1)
		number := func(field string) float64 {
			v, err := doc.GetValue(field)
			require.NoError(t, err, field)
			return v.(float64)
		}
		execs += number("reconbeat.health.execs")
		alerts += number("reconbeat.health.alerts")
		require.Equal(t, number("reconbeat.health.execs") > 0, text(doc, "reconbeat.health.lag.ms") != "",
			"a lag is reported where there was an exec")
	}
	require.InDelta(t, 2, execs, 0, "every exec is counted once")
	require.InDelta(t, 1, alerts, 0)
}

// TestTheLogIsQuiet reads what reconbeat itself says over a life in which nothing is wrong: a line at the start, one at
// the end, and here one for the model that was learned before.
func TestTheLogIsQuiet(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	r := h.start(oneModule + theFile)
	h.Exec("mallory", "ss -tunap")
	r.wait("detector.alerts", 1)
	r.wait("journal.committed", 2)
	h.eventually(func() bool { return r.stat("journal.pending") == 0 }, "nothing is settled:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	var said []string
	for line := range strings.Lines(r.log.All()) {
		var entry struct {
			Logger  string `json:"log.logger"`
			Level   string `json:"log.level"`
			Message string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		require.Equal(t, "info", entry.Level, line)
		if entry.Logger == "reconbeat" || strings.HasPrefix(entry.Logger, "reconbeat.module.") ||
			strings.HasPrefix(entry.Logger, "reconbeat.publisher") {
			said = append(said, entry.Message)
		}
	}
	require.Contains(
		t,
		r.log.All(),
		"Syscall filter successfully installed",
		"libbeat's filter of system calls is on, in all these tests",
	)
	require.Len(t, said, 3, "%q", said)
	require.Equal(t, "the model that was handed over has been taken over", said[0])
	require.Regexp(t,
		`^watching with ndjson documents; rules network-connection-discovery; the context model has learned for `+
			`\d\d\.\d days and knows 1 actor$`,
		said[1])
	require.Regexp(t, `^watched for (\d+m)?\d+s: 1 program start, 1 matched, 1 alert; the journal keeps 1 document `+
		`for the next start$`, said[2], "the alert's follow-up")
}

// TestAnEndAtAnyMomentLosesNothing ends reconbeat again and again while it is busy, and looks that every exec ships,
// with one _id.
func TestAnEndAtAnyMomentLosesNothing(t *testing.T) {
	t.Parallel()
	const lives, execs = 6, 300
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.learn()
			wanted := map[string]bool{}
			began := time.Now().Add(-time.Minute)
			for life := range lives {
				r := h.start(oneModule + theFile)
				f, err := os.OpenFile(h.input(), os.O_APPEND|os.O_WRONLY, 0)
				require.NoError(t, err)
				var lines strings.Builder
				for i := range execs {
					command := fmt.Sprintf("ss -o exec-%d-%d", life, i)
					wanted[command] = true
					lines.WriteString(beattest.Line(began.Add(time.Duration(life*execs+i)*time.Millisecond), "root", command) + "\n")
				}
				r.wait("detector.matched", 0)
				_, err = f.WriteString(lines.String())
				require.NoError(t, err)
				require.NoError(t, f.Close())
				time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond) // wherever it is by then
				err = r.end(sig)
				require.Equal(t, sig == syscall.SIGTERM, err == nil, "%v", err)
			}
			r := h.start(oneModule + theFile)
			h.eventually(func() bool { return len(h.shippedIDs()) >= len(wanted) }, "not everything is shipped:\n%s",
				r.log)
			require.NoError(t, r.end(syscall.SIGTERM))
			ids := h.shippedIDs()
			require.Len(t, ids, len(wanted), "one _id an exec")
			seen, again := map[string]bool{}, 0
			for _, doc := range h.documents() {
				command := text(doc, "process.command_line")
				if seen[command] {
					again++
				}
				seen[command] = true
			}
			require.Equal(t, wanted, seen)
			t.Logf("%d of %d documents were delivered more than once, with the same _id", again, len(wanted))
		})
	}
}

// shippedIDs is the set of _ids in the output file.
func (h *host) shippedIDs() map[string]bool {
	ids := map[string]bool{}
	for _, doc := range h.documents() {
		ids[text(doc, "@metadata._id")] = true
	}
	return ids
}

// TestAnOutputsReasonIsReported sends the test alert to an Elasticsearch that does not want it.
func TestAnOutputsReasonIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, item, want string }{
		{name: "taken", item: `{"create":{"status":201}}`},
		{
			name: "there already: delivered once is delivered",
			item: `{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}`,
		},
		{
			name: "a mapping that does not fit",
			item: `{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse ` +
				`field [user.id]"}}}`,
			want: `the output rejected the alert: .*failed to parse field \[user.id\]`,
		},
		{
			name: "no right to write",
			item: `{"create":{"status":403,"error":{"type":"security_exception","reason":"action ` +
				`[indices:data/write/bulk[s]] is unauthorized"}}}`,
			want: `rejected the alert: .*unauthorized`,
		},
		{
			name: "put aside by the data stream", item: `{"create":{"status":201,"failure_store":"used"}}`,
			want: `into its failure store`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var puts atomic.Pointer[[]string]
			puts.Store(&[]string{})
			es := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					all := append(slices.Clone(*puts.Load()), r.URL.Path)
					puts.Store(&all)
				}
				w.Header().Set("X-Elastic-Product", "Elasticsearch")
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/_bulk") {
					fmt.Fprintf(w, `{"took":1,"errors":true,"items":[%s]}`, c.item)
					return
				}
				fmt.Fprint(
					w,
					`{"cluster_name":"test","version":{"number":"9.4.0","build_flavor":"default"},"tagline":"You `+
						`Know, for Search"}`,
				)
			}))
			defer es.Close()
			cmd, _ := newHost(
				t,
			).command(fmt.Sprintf("output.elasticsearch.hosts: [%q]\nsetup.template.enabled: %v\n", es.URL,
				c.want == ""), "test", "alert", "--timeout", "1m")
			out, err := cmd.CombinedOutput()
			require.Equal(t, c.want == "", err == nil, "%v: %s", err, out)
			require.Contains(t, string(out), "data stream logs-reconbeat.alert-default\n")
			require.Equal(t, c.want == "",
				slices.Contains(*puts.Load(), "/_index_template/logs-reconbeat.alert@template"),
				"templates are there before the first document, unless they are not wanted: %v", *puts.Load())
			if c.want == "" {
				require.Contains(t, string(out), "acknowledged after")
			} else {
				require.Regexp(t, c.want, string(out))
			}
		})
	}
}

func TestTheStateIsGuarded(t *testing.T) {
	t.Parallel()
	t.Run("a second instance says so and exits", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		first := h.start(oneModule + theFile)
		first.wait("detector.execs", 0)
		second := h.start(oneModule + theFile)
		require.Error(t, second.Wait())
		require.Contains(t, second.log.String(), "already locked by another beat")
		h.Exec("root", "ss -s")
		first.wait("detector.matched", 1)
		require.NoError(t, first.end(syscall.SIGTERM))
	})
	for name, content := range map[string][]byte{"torn": []byte("{"), "foreign": bytes.Repeat([]byte("not ours\n"),
		3000)} {
		t.Run("a "+name+" state is set aside", func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.learn()
			r := h.start(oneModule + theFile)
			r.wait("detector.execs", 0)
			require.NoError(t, r.end(syscall.SIGTERM))
			var files []string
			for _, file := range []string{"snapshot", "alerts.journal", "events.journal"} {
				found, err := filepath.Glob(filepath.Join(h.dir, "data", "state", file))
				require.NoError(t, err)
				require.Len(t, found, 1)
				require.NoError(t, os.WriteFile(found[0], content, 0o600))
				files = append(files, found...)
			}
			r = h.start(oneModule + theFile)
			h.Exec("root", "ss -s")
			r.wait("detector.matched", 1)
			require.Positive(t, r.stat("health.state_unreadable"))
			require.NoError(t, r.end(syscall.SIGTERM))
			for _, file := range files {
				aside, err := filepath.Glob(file + ".broken-*")
				require.NoError(t, err)
				require.Len(t, aside, 1, file)
			}
			require.Contains(t, r.log.String(), "set aside")
		})
	}
}

// An older reconbeat on the state of a newer one: it says so and learns anew, and leaves what the newer one may go back
// to alone.
func TestTheModelOfANewerReconbeatIsNotRead(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := filepath.Join(h.dir, "data", "state")
	newer, err := state.Open(dir, state.Options{})
	require.NoError(t, err)
	taken := time.Now().AddDate(0, 0, -3)
	require.NoError(t,
		newer.SaveSnapshot(state.Snapshot{Model: []byte(`{"version":99,"what":"nobody knows yet"}`), Taken: taken}))
	require.NoError(t, newer.Close())
	day := filepath.Join(dir, "daily", taken.UTC().Format(time.DateOnly))
	before, err := os.ReadFile(day)
	require.NoError(t, err)

	c, _ := h.command(oneModule+theFile, "model", "show")
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "the detector's snapshot has version 99; this reconbeat reads versions 1 to 3")
	r := h.start(oneModule + theFile)
	h.Exec("root", "ss -s")
	r.wait("detector.matched", 1)
	require.EqualValues(t, 1, r.stat("health.model_not_restored"))
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Contains(t, h.model("show"), "root", "it has learned anew")
	after, err := os.ReadFile(day)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Contains(t, h.model("revert"), filepath.Base(day))
}

func TestModulesAreReloadedWhileReconbeatRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	dynamic := "reconbeat.config.modules: {path: '${path.config}/modules.d/*.yml', reload: {enabled: true, period: " +
		"1s}}\n"
	file := filepath.Join(h.dir, "modules.d", "documents.yml")
	write := func(module string) {
		require.NoError(t, os.WriteFile(file+".new", []byte(module), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	good := fmt.Sprintf("- module: ndjson\n  id: documents\n  from: beginning\n  paths: [%s]\n", h.input())
	write(good)
	r := h.start(dynamic + theFile)
	h.Exec("root", "ss -s")
	r.wait("modules.documents.execs", 1)

	// The file system's clock is coarse, and the watcher goes by modification times.
	time.Sleep(1100 * time.Millisecond)
	write("- module: ndjson\n  paths: []\n  from: nowhere\n")
	r.wait("health.config_rejected", 1)
	h.Exec("root", "ss -a")
	r.wait("modules.documents.execs", 2)
	require.Contains(t, r.log.String(),
		`documents.yml line 2: 0.paths: it is empty; name the file of documents to read\n`)
	require.Contains(t, r.log.String(),
		`documents.yml line 3: 0.from: \"nowhere\" is not allowed; it must be end or beginning`)

	time.Sleep(1100 * time.Millisecond)
	write(good + `  tags: [seen]
  fields: {team: blue}
  index: private
  pipeline: enrich
  processors:
    - drop_event.when.equals.user.name: mallory
`)
	h.eventually(func() bool {
		return strings.Contains(r.log.All(), "modules reloaded: watching with ndjson documents") &&
			r.stat("health.config_rejected") < 1
	}, "the module is not reloaded:\n%s", r.log)
	h.Exec("mallory", "ss -tunap")
	h.Exec("eve", "ss -tunap")
	r.wait("detector.alerts", 1)
	h.eventually(func() bool { return len(h.shipped("alert")) == 1 }, "no alert:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Equal(t, []string{"eve ss -tunap"}, h.shipped("alert"), "what a processor drops is not judged")
	require.ElementsMatch(t, []string{"root ss -s", "root ss -a", "eve ss -tunap"}, h.shipped("exec"),
		"what was read before is not read again")
	for _, doc := range h.documents() {
		if text(doc, "user.name") != "eve" {
			continue
		}
		require.Equal(t, "[seen]", text(doc, "tags"))
		require.Equal(t, "blue", text(doc, "fields.team"))
		require.Equal(t, "enrich", text(doc, "@metadata.pipeline"))
		require.Equal(t, "private", text(doc, "@metadata.raw_index"))
	}
}

// TestWhatAModuleIsConfiguredWithIsInAllThatShips looks at a raw event, an alert and a summary of a module that has
// every setting that modules have, as they are published; and at those of a module that has none.
func TestWhatAModuleIsConfiguredWithIsInAllThatShips(t *testing.T) {
	t.Parallel()
	const null = "{script: {lang: javascript, source: 'function process(e) { e.Put(\"labels.none\", null); }'}}"
	for _, c := range []struct {
		name, module string
		want         map[string]string
		host, null   bool
	}{
		{
			name: "everything",
			module: `, tags: [seen], fields: {team: blue}, pipeline: enrich, keep_null: true,
				publisher_pipeline.disable_host: true,
				index: "Private-%{[agent.version]}-%{[event.dataset]}-%{+yyyy}",
				processors: [{drop_event.when.equals.user.name: backup}, ` + null + `]`,
			want: map[string]string{
				"tags": "[seen]", "fields.team": "blue", "@metadata.pipeline": "enrich", "@metadata.op_type": "create",
				"@metadata.raw_index": fmt.Sprintf("Private-%s-DATASET-%d", Version, time.Now().UTC().Year()),
			},
			null: true,
		},
		{
			name: "fields under the root", module: ", fields_under_root: true, fields: {labels.team: blue}",
			want: map[string]string{"labels.team": "blue", "fields": "", "@metadata.raw_index": ""}, host: true,
		},
		{
			name: "nulls are left out", module: ", processors: [" + null + "]",
			want: map[string]string{"labels": "", "tags": ""}, host: true,
		},
		{
			name: "an index that does not fit a document", module: `, index: "private-%{[no.such.field]}"`,
			want: map[string]string{"@metadata.raw_index": ""}, host: true,
		},
		{
			name:   "a processor has the last word on where it goes",
			module: `, index: private, processors: [{add_fields: {target: "@metadata", fields: {raw_index: mine}}}]`,
			want:   map[string]string{"@metadata.raw_index": "mine"}, host: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.learn()
			config := theFile + "reconbeat.detector.episode.idle: 1s\n" +
				`reconbeat.modules: [{module: ndjson, id: documents, from: beginning, paths: ` +
				`["${path.home}/input.ndjson"]` + c.module + "}]\n"
			r := h.start(config)
			h.Exec("backup", "ss -s")
			h.Exec("mallory", "ss -tunap")
			r.wait("detector.alerts", 1)
			require.EqualValues(t, strings.Count(c.module, "drop_event"), r.stat("detector.processors_dropped"),
				"what a processor drops is counted")
			// The summary is made by another life, which has to know where the episode came from.
			require.NoError(t, r.end(syscall.SIGTERM))
			r = h.start(config)
			f, err := os.OpenFile(h.input(), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			fmt.Fprintln(f, beattest.Line(time.Now().Add(2*time.Second), "root", "ss -s")) // nothing comes before it any more
			require.NoError(t, f.Close())
			h.eventually(func() bool { return len(h.shipped("alert-summary")) > 0 }, "no summary:\n%s", r.log)
			require.NoError(t, r.end(syscall.SIGTERM))
			for action, dataset := range map[string]string{"exec": "reconbeat.process", "alert": "reconbeat.alert",
				"alert-summary": "reconbeat.alert"} {
				seen := 0
				for _, doc := range h.documents() {
					if text(doc, "event.action") != action {
						continue
					}
					seen++
					for field, want := range c.want {
						require.Equal(t, strings.Replace(want, "DATASET", dataset, 1), text(doc, field), "%s of %s",
							field, action)
					}
					require.Equal(t, c.host, text(doc, "host.name") != "" || text(doc, "host.id") != "", "host.* of %s",
						action)
					labels, err := doc.GetValue("labels")
					require.Equal(t, c.null, err == nil && fmt.Sprint(labels) == "map[none:<nil>]", "%v of %s", labels,
						action)
				}
				require.Positive(t, seen, "%s", action)
			}
			backup := slices.Contains(h.shipped("exec"), "backup ss -s")
			require.Equal(t, !strings.Contains(c.module, "drop_event"), backup, "what a processor drops is gone")
			require.Equal(t, c.name == "an index that does not fit a document",
				strings.Contains(r.log.String(), "does not fit a document"), r.log.String())
		})
	}
}

// A real full disk, of which now and then a page is free: one write fails, and the next one fits. Nothing is lost, and
// the log, which usually lies on that very disk, does not fill with it.
func TestOnAFullDiskNothingIsLostAndItIsLoggedOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	data := filepath.Join(h.dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("NOT TESTED: a full disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(data, unix.MNT_DETACH)) })
	r := h.start(theFile + oneModule)
	h.Exec("root", slices.Repeat([]string{"ss -tlnp"}, 100)...)
	r.wait("journal.committed", 100)
	ballast, err := os.Create(filepath.Join(data, "ballast"))
	require.NoError(t, err)
	for page := make([]byte, 4096); err == nil; {
		_, err = ballast.Write(page)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, ballast.Close())

	written := 100
	for range 150 {
		h.Exec("root", slices.Repeat([]string{"ss -tlnp"}, 10)...)
		written += 10
		time.Sleep(2 * time.Millisecond) // many commits, not one
	}
	// On a busy machine one commit may take what comes in a long time.
	h.eventually(func() bool {
		if r.stat("journal.write_errors") > 10 {
			return true
		}
		h.Exec("root", "ss -tlnp")
		written++
		return false
	}, "the disk was full for few commits:\n%s", r.log)
	r.wait("journal.committed", written)
	require.Positive(t, r.stat("health.state_not_written"))
	require.Equal(
		t,
		1,
		strings.Count(r.log.All(), "state_not_written (events.journal): the state cannot be written"),
		"%s",
		r.log,
	)
	require.LessOrEqual(
		t,
		strings.Count(r.log.All(), "state_not_written (snapshot)"),
		1,
		"where a snapshot was due meanwhile: %s",
		r.log,
	)
	require.NotContains(t, r.log.All(), "state_not_written (events.journal) is over")
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Len(t, h.shipped("exec"), written)
}

// An orderly stop ends no condition: a cluster that never answered is still away.
func TestWhatHoldsAtTheEndIsNotOver(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.start(theFile + "reconbeat.modules: [{module: elasticsearch, hosts: ['http://127.0.0.1:9']}]\n")
	r.wait("health.cluster_away", 1)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Contains(t, r.log.All(), "cluster_away (elasticsearch) still held when its module ended, after ")
	require.NotContains(t, r.log.All(), "is over")
}

// model runs a command of `reconbeat model` and returns what it prints.
func (h *host) model(args ...string) string {
	h.t.Helper()
	c, _ := h.command(oneModule+theFile, append([]string{"model"}, args...)...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	require.NoError(h.t, c.Run(), "model %v: %s", args, &complaint)
	return out.String()
}

func TestTheModelIsManaged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	r := h.start(oneModule + theFile)
	h.Exec("root", "ss -s")
	r.wait("detector.matched", 1)
	saved := func(what string, yes bool) {
		t.Helper()
		h.eventually(func() bool {
			c, _ := h.command(oneModule+theFile, "model", "show")
			out, err := c.CombinedOutput()
			taken := !strings.Contains(string(out), "not yet taken over by reconbeat")
			return err == nil && taken && strings.Contains(string(out), what) == yes
		}, "%s: not %v in what is known; the log:\n%s", what, yes, r.log.All())
	}
	saved("root", true)
	require.Regexp(t, `rule network-connection-discovery on this host, learned since 20`, h.model("show"))
	require.Regexp(t, `root +root +agent +6\d +14\d\d `, h.model("show"))
	require.Regexp(t, `command +ss -s \(\d`, h.model("explain", "root"))
	var known []struct {
		Actors []struct {
			Way  string
			Days int `json:"active_days"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(h.model("explain", "root", "--format", "json")), &known))
	require.Equal(t, "agent", known[0].Actors[0].Way)
	c, _ := h.command(oneModule+theFile, "model", "explain", "nobody")
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), `nobody with the name or id "nobody" is known`)

	file := filepath.Join(h.dir, "model.json")
	h.model("export", file)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// One user is forgotten, and is a stranger again.
	h.model("forget", "root")
	saved("agent", false)
	h.model("reset", "--yes")
	h.eventually(
		func() bool { return strings.Contains(r.log.All(), "everything that was learned has been forgotten") },
		"no reset:\n%s",
		r.log,
	)

	// What was exported comes back, while reconbeat runs.
	h.model("import", file, "--yes")
	saved("agent", true)

	// The day's snapshot is there to go back to; a Beat that does not run takes it over at its start.
	h.model("reset", "--yes")
	saved("agent", false)
	require.Equal(t, "No actor is known: there was no match since learning began.\n", h.model("show"))
	require.NoError(t, r.end(syscall.SIGTERM))
	days := strings.Fields(h.model("revert"))
	require.NotEmpty(t, days)
	c, _ = h.command(oneModule+theFile, "model", "revert", "2020-01-01")
	out, err = c.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `no snapshot of 2020-01-01 is kept in .*; kept are: `+days[0], string(out))
	h.model("import", file)
	c, _ = h.command(oneModule+theFile, "model", "show")
	out, err = c.CombinedOutput()
	require.NoError(t, err)
	require.Regexp(t, `(?m)^1 change \(model\) in .*, not yet taken over by reconbeat, counted in what follows\.\n`+
		`rule network-connection-discovery on this host`, string(out))
	r = h.start(oneModule + theFile)
	saved("agent", true)
	h.Exec("mallory", "ss -tunap")
	r.wait("detector.alerts", 1)
	require.NoError(t, r.end(syscall.SIGTERM))
	mallory := h.model("explain", "mallory")
	require.Regexp(t, `seen +on 1 day in 1 visit, from 20`, mallory)
	require.Regexp(t,
		`mallory is on probation since the alert \S+ of 20\S+\n  context +parent \S+.*\n  seen +on 1 day, last at `+
			`20\S+; a habit at 5 days over 14 days`,
		mallory)
	c, _ = h.command(oneModule+theFile, "model", "revert", days[0])
	out, err = c.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `this would put what was known on `+days[0]+` in the place of what was learned in .*: say --yes`,
		string(out))
	h.model("revert", days[0], "--yes")

	for what, broken := range map[string]string{
		"is not an export":            `{}`,
		"knows version 1":             `{"format":"reconbeat-model","version":9}`,
		"has version 0":               `{"format":"reconbeat-model","version":1,"model":{}}`,
		"unexpected end of JSON inpu": `{"format":`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(broken), 0o600))
		c, _ := h.command(oneModule+theFile, "model", "import", file, "--yes")
		out, err := c.CombinedOutput()
		require.Error(t, err, what)
		require.Contains(t, string(out), what)
	}
}
