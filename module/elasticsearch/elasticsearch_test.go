// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// document is one of the fake cluster's.
type document struct {
	Index  string
	ID     string
	At     int64 // event.ingested, in milliseconds since 1970
	Seq    int64
	Source map[string]any
}

// fakeCluster answers searches by time as a cluster does, and has bad days. What queries mean is tried on a real node.
type fakeCluster struct {
	t    *testing.T
	mu   sync.Mutex
	docs []document
	// fault answers a request in the cluster's place; false: it does not.
	fault    func(w http.ResponseWriter, r *http.Request, n int) bool
	requests int
	seen     []*http.Request
	byTime   bool // the documents have @timestamp alone
}

func (f *fakeCluster) add(docs ...document) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.docs = append(f.docs, docs...)
}

// ServeHTTP answers a search of the field event.ingested, or as byTime says of @timestamp, by ids or by time.
func (f *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodGet { // libbeat's client asks who is there; without the privilege `monitor`
		w.WriteHeader(http.StatusForbidden)
		return
	}
	f.requests++
	f.seen = append(f.seen, r)
	if f.fault != nil && f.fault(w, r, f.requests) {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/_count") {
		fmt.Fprintf(w, `{"count": %d}`, len(f.docs))
		return
	}
	var request struct {
		Size        int
		Sort        []map[string]any
		SearchAfter []int64 `json:"search_after"`
		Source      any     `json:"_source"`
		Query       json.RawMessage
	}
	if failed(f.t, r, json.NewDecoder(r.Body).Decode(&request)) {
		return
	}
	field := ingested
	if _, ok := request.Sort[0][timestamp]; ok {
		field = timestamp
	}
	var begin, end int64
	var ids []string
	walk(request.Query, func(name string, v map[string]any) {
		if bounds, ok := v[field].(map[string]any); ok && name == "range" {
			begin, end = int64(bounds["gte"].(float64)), int64(bounds["lt"].(float64))
		}
		if values, ok := v["values"].([]any); ok && name == "ids" {
			for _, id := range values {
				ids = append(ids, id.(string))
			}
		}
	})
	hits := []any{}
	if field == ingested || f.byTime {
		sorted := slices.Clone(f.docs)
		slices.SortStableFunc(sorted, func(a, b document) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq))
		})
		for _, d := range sorted {
			after := request.SearchAfter
			if d.At < begin || d.At >= end || len(ids) > 0 && !slices.Contains(ids, d.ID) ||
				len(after) == 2 && (d.At < after[0] || d.At == after[0] && d.Seq <= after[1]) || len(hits) == request.Size {
				continue
			}
			hit := map[string]any{"_index": d.Index, "_id": d.ID, "sort": []int64{d.At, d.Seq}}
			if request.Source != false {
				hit["_source"] = d.Source
			}
			hits = append(hits, hit)
		}
	}
	failed(f.t, r, json.NewEncoder(w).Encode(map[string]any{
		"timed_out": false, "_shards": map[string]any{"failed": 0}, "hits": map[string]any{"hits": hits},
	}))
}

// failed reports whether an answer failed. That fails the test, unless the module was stopped while it asked.
func failed(t *testing.T, r *http.Request, err error) bool {
	if err != nil && r.Context().Err() == nil {
		t.Error(err)
	}
	return err != nil
}

// walk calls f with each object within a JSON text, and the name of its place.
func walk(text []byte, f func(name string, v map[string]any)) {
	var all any
	if json.Unmarshal(text, &all) != nil {
		return
	}
	var down func(name string, v any)
	down = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			f(name, v)
			for n, sub := range v {
				down(n, sub)
			}
		case []any:
			for _, sub := range v {
				down(name, sub)
			}
		}
	}
	down("", all)
}

// start is a document of a program start.
func start(id string, at time.Time, seq int64) document {
	return document{
		Index: ".ds-logs-endpoint.events.process-default-2026.11.01-000001", ID: id, At: at.UnixMilli(), Seq: seq,
		Source: map[string]any{
			"@timestamp": at.UTC().Format(time.RFC3339Nano), "host": map[string]any{"id": "h" + id[:1], "name": "web"},
			"event":   map[string]any{"action": "exec", "type": []string{"start"}, "category": []string{"process"}},
			"process": map[string]any{"name": "ss", "pid": 7, "parent": map[string]any{"name": "sh"}},
		},
	}
}

// follower is a module that follows a fake cluster.
type follower struct {
	t       *testing.T
	cluster *fakeCluster
	url     string
	stats   module.Stats
	health  health.Board

	mu      sync.Mutex
	read    []string // ids
	cursor  process.Cursor
	recent  module.Recent
	options map[string]any
}

func newFollower(t *testing.T, options map[string]any) *follower {
	f := &follower{t: t, cluster: &fakeCluster{t: t}, options: options}
	server := httptest.NewServer(f.cluster)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// run follows the cluster until the condition is met.
func (f *follower) run(until func() bool) {
	f.t.Helper()
	c := map[string]any{
		"module": "elasticsearch", "hosts": []string{f.url}, "from": "beginning", "query_delay": "0s", "period": "100ms",
		"backoff_init": "1ms", "backoff_max": "5ms", "page_size": 10,
	}
	for name, v := range f.options {
		c[name] = v
	}
	recent, err := f.recent.MarshalBinary()
	require.NoError(f.t, err)
	m, err := New(conf.MustNewConfigFrom(c), module.Env{
		ID: "cluster", Logger: logp.NewNopLogger(), Stats: &f.stats, Health: &f.health, Recent: recent,
	})
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx, f.cursor, f.take) }()
	for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Errorf("it does not come to an end: %v; %v", f.ids(), f.health.Active())
			break
		}
	}
	cancel()
	require.NoError(f.t, <-ended)
}

func (f *follower) take(e *process.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Kind != 0 {
		f.read = append(f.read, strings.Clone(e.Origin.ID))
	}
	f.recent.Add(e.Cursor.Document)
	f.recent.Forget(e.Cursor.Horizon)
	f.cursor = e.Cursor
	f.cursor.Document = process.Mark{}
	return nil
}

func (f *follower) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.read)
}

// has waits for so many documents.
func (f *follower) has(n int) func() bool { return func() bool { return len(f.ids()) >= n } }

// many are documents of which many share their time and number, as those of several shards do.
func many(n int, at time.Time) (docs []document, ids []string) {
	for i := range n {
		id := fmt.Sprintf("%d-%04d", i%4, i)
		docs = append(docs, start(id, at.Add(time.Duration(i/7)*time.Second), int64(i%3)))
		ids = append(ids, id)
	}
	return docs, ids
}

// What the filters let through and is no program start is reported with its place, and a replay of nothing else fails.
func TestWhatIsPassedOverIsReported(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	fork, record, torn := start("1-fork", at, 1), start("1-record", at, 2), start("1-torn", at, 3)
	fork.Source["event"] = map[string]any{"action": "setuid", "category": []string{"process"}}
	record.Source = map[string]any{
		"@timestamp": at.UTC().Format(time.RFC3339Nano), "message": "type=SYSCALL msg=audit(1.1:1): arch=1",
	}
	torn.Source = map[string]any{"event": map[string]any{"action": "exec"}}
	replayed := func(docs ...document) (others, bad []string, err error) {
		cluster := &fakeCluster{t: t, byTime: true}
		cluster.add(docs...)
		server := httptest.NewServer(cluster)
		defer server.Close()
		m, err := New(conf.MustNewConfigFrom(map[string]any{
			"module": "elasticsearch", "hosts": []string{server.URL}, "from": "beginning", "backoff_init": "1ms",
		}), module.Env{
			ID: "cluster", Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}, Replay: true,
			Other:     func(o module.Other) { others = append(others, o.ID+": "+o.What) },
			Malformed: func(m module.Malformed) { bad = append(bad, m.ID+": "+m.Kind) },
		})
		require.NoError(t, err)
		return others, bad, m.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
	}
	others, bad, err := replayed(start("1-exec", at, 0), fork, record, torn)
	require.NoError(t, err)
	require.Len(t, others, 2)
	require.Equal(t, "1-fork: another event of a process (event.action, event.type)", others[0])
	require.Contains(t, others[1], "1-record: a single record of audit")
	require.Equal(t, []string{"1-torn: no @timestamp, or none that can be read"}, bad)
	_, _, err = replayed(record, torn)
	require.ErrorContains(t, err, "of 2 documents in logs-endpoint.events.process-*, logs-auditd_manager.auditd-*, "+
		"auditbeat-* none can be understood: the first is .ds-logs-endpoint.events.process-default-2026.11.01-000001/_doc/"+
		"1-record, a single record of audit")
}

// A replay that is interrupted while the cluster has too much to do says so.
func TestAnInterruptedReplaySaysWhatFailed(t *testing.T) {
	cluster := &fakeCluster{t: t, fault: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		http.Error(w, `{"error":{"type":"es_rejected_execution_exception","reason":"busy"}}`, http.StatusTooManyRequests)
		return true
	}}
	server := httptest.NewServer(cluster)
	defer server.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	stats := &module.Stats{}
	m, err := New(conf.MustNewConfigFrom(map[string]any{
		"module": "elasticsearch", "hosts": []string{server.URL}, "from": "beginning",
		"backoff_init": "1h", "backoff_max": "1h",
	}), module.Env{ID: "cluster", Logger: logp.NewNopLogger(), Stats: stats, Health: &health.Board{}, Replay: true})
	require.NoError(t, err)
	go func() {
		beattest.Poll(time.Minute, func() bool { return stats.Retries.Load() > 0 })
		interrupt()
	}()
	err = m.Run(ctx, process.Cursor{}, func(*process.Event) error { return nil })
	require.ErrorContains(t, err, "es_rejected_execution_exception: busy")
}

// Every document of a cluster is handed on once, in every kind of bad day.
func TestABadDayLosesNothing(t *testing.T) {
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request, n int) bool{
		"none": nil,
		"429": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				http.Error(w, `{"error":{"type":"es_rejected_execution_exception","reason":"busy"}}`, http.StatusTooManyRequests)
			}
			return n%2 == 1
		},
		"503": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%3 != 0 {
				http.Error(w, "away", http.StatusServiceUnavailable)
			}
			return n%3 != 0
		},
		"the connection is cut": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				c, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					c.Close()
				}
			}
			return n%2 == 1
		},
		"the body is torn": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, `{"hits":{"hits":[{"_index":"a","_id":"torn","sort":[1,`)
			}
			return n%2 == 1
		},
		"the body is torn and nobody says so": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				fmt.Fprint(w, `{"hits":{"hits":[{"_index":"a","_id":"torn","sort":[1,2],"_source":{}}`)
			}
			return n%2 == 1
		},
		"a shard is missing": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				fmt.Fprint(w, `{"timed_out":false,"_shards":{"failed":1},"hits":{"hits":[]}}`)
			}
			return n%2 == 1
		},
		"it times out": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				fmt.Fprint(w, `{"timed_out":true,"_shards":{"failed":0},"hits":{"hits":[]}}`)
			}
			return n%2 == 1
		},
		"a remote cluster is left out": func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n%2 == 1 {
				fmt.Fprint(w, `{"timed_out":false,"_shards":{"failed":0},"_clusters":{"skipped":1},"hits":{"hits":[]}}`)
			}
			return n%2 == 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t, nil)
			docs, ids := many(100, time.Now().Add(-time.Hour))
			f.cluster.add(docs...)
			f.cluster.fault = fault
			f.run(f.has(len(ids)))
			require.ElementsMatch(t, ids, f.ids())
			require.Equal(t, fault != nil, f.stats.Retries.Load() > 0)
			require.Zero(t, f.stats.Malformed.Load())
		})
	}
}

// A cluster that is away is a condition, which ends when it is back.
func TestAClusterThatIsAwayIsReported(t *testing.T) {
	f := newFollower(t, nil)
	var back atomic.Bool // the answer to a request that was given up may still be in the making
	f.cluster.fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		away := !back.Load()
		if away {
			http.Error(w, `{"error":{"type":"security_exception","reason":"no right to read"},"status":403}`,
				http.StatusForbidden)
		}
		return away
	}
	f.run(func() bool { return len(f.health.Active()) == 1 })
	require.Equal(t, health.ClusterAway, f.health.Active()[0].Condition)
	require.Contains(t, f.health.Active()[0].Detail, "403 Forbidden: security_exception: no right to read")
	back.Store(true)
	f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
	f.run(f.has(1))
	f.run(func() bool { return len(f.health.Active()) == 0 })
}

// missingShards is what Elasticsearch 9.4.3 answers to a search of a data stream that rolls over.
const missingShards = `{"error":{"root_cause":[],"type":"search_phase_execution_exception","reason":"",` +
	`"phase":"query","grouped":true,"failed_shards":[],"caused_by":{"type":"search_phase_execution_exception",` +
	`"reason":"Search rejected due to missing shards [[.ds-logs-x-default-2026.11.30-000002][0]].",` +
	`"phase":"query","grouped":true,"failed_shards":[]}},"status":503}`

// A search that fails once is sent again, and is no condition; one that fails again is, with the cluster's reason.
func TestARolloverIsNoOutage(t *testing.T) {
	f := newFollower(t, nil)
	docs, ids := many(10, time.Now().Add(-time.Hour))
	f.cluster.add(docs...)
	var lacking atomic.Bool
	f.cluster.fault = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		fails := n == 1 || lacking.Load()
		if fails {
			http.Error(w, missingShards, http.StatusServiceUnavailable)
		}
		return fails
	}
	f.run(f.has(len(ids)))
	require.EqualValues(t, 1, f.stats.Retries.Load())
	require.Empty(t, f.health.Active())

	lacking.Store(true)
	f.run(func() bool { return len(f.health.Active()) == 1 })
	require.Contains(t, f.health.Active()[0].Detail, "503 Service Unavailable: search_phase_execution_exception "+
		"(search_phase_execution_exception: Search rejected due to missing shards "+
		"[[.ds-logs-x-default-2026.11.30-000002][0]].)")
}

// What becomes visible behind the place of reading is read and counted, also after a restart; nothing is read twice.
func TestLateDocumentsAreReadOnce(t *testing.T) {
	f := newFollower(t, nil)
	docs, ids := many(50, time.Now().Add(-5*time.Minute))
	f.cluster.add(docs...)
	f.run(f.has(len(ids)))
	f.cluster.add(start("1-late", time.UnixMilli(docs[20].At), 77))
	// The same document in the next backing index, as after a rollover.
	again := docs[40]
	again.Index = strings.Replace(again.Index, "000001", "000002", 1)
	again.Seq = 99
	f.cluster.add(again)
	f.run(f.has(len(ids) + 1))
	f.cluster.add(start("2-new", time.Now(), 1))
	f.run(f.has(len(ids) + 2))
	require.ElementsMatch(t, append(ids, "1-late", "2-new"), f.ids())
	require.EqualValues(t, 1, f.stats.Late.Load())
}

// A document is the same in every backing index of its data stream, of Elasticsearch and of OpenSearch, and another one
// in another data stream or cluster.
func TestADocumentIsKnownThroughARollover(t *testing.T) {
	of := func(index string) uint64 { return hash(&hit{Index: index, ID: "1"}) }
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{a: ".ds-logs-x-default-2026.11.01-000001", b: ".ds-logs-x-default-2026.12.01-000002", same: true},
		{a: ".ds-logs-x-default-000001", b: ".ds-logs-x-default-000002", same: true},
		{a: "eu:.ds-logs-x-default-2026.11.01-000001", b: "eu:.ds-logs-x-default-2026.11.02-000002", same: true},
		{a: "eu:.ds-logs-x-default-2026.11.01-000001", b: ".ds-logs-x-default-2026.11.01-000001"},
		{a: ".ds-logs-x-default-2026.11.01-000001", b: ".ds-logs-x-other-2026.11.01-000001"},
		{a: "auditbeat-1", b: "auditbeat-2"},
	} {
		require.Equal(t, c.same, of(c.a) == of(c.b), "%s and %s", c.a, c.b)
	}
}

// What was there before reading began at the end is never read, however late it is looked for.
func TestTheEndIsTheEnd(t *testing.T) {
	f := newFollower(t, map[string]any{"from": "end"})
	docs, _ := many(50, time.Now().Add(-5*time.Minute))
	f.cluster.add(docs...)
	f.run(func() bool { return f.stats.Pages.Load() > 3 })
	f.cluster.add(start("1-between", time.Now(), 1)) // after reading began, while nobody reads
	f.run(f.has(1))
	require.Equal(t, []string{"1-between"}, f.ids())
}

// Every host is read by one of the parts.
func TestPartsShareTheHosts(t *testing.T) {
	docs, ids := many(40, time.Now().Add(-5*time.Minute))
	var all []string
	for part := 1; part <= 3; part++ {
		f := newFollower(t, map[string]any{"partition": fmt.Sprintf("%d/3", part)})
		f.cluster.add(docs...)
		f.run(func() bool { return len(f.ids())+int(f.stats.Elsewhere.Load()) == len(ids) })
		hosts := map[string]int{}
		for _, id := range f.ids() {
			hosts[id[:1]]++
		}
		for host, n := range hosts {
			require.Equal(t, 10, n, "all of host %s", host)
		}
		require.EqualValues(t, len(ids)-len(f.ids()), f.stats.Elsewhere.Load())
		all = append(all, f.ids()...)
	}
	require.ElementsMatch(t, ids, all)
}

// The one who takes the events ends the module.
func TestAnErrorOfTheTakerEndsTheModule(t *testing.T) {
	f := newFollower(t, nil)
	f.cluster.add(start("1", time.Now().Add(-time.Minute), 1))
	m, err := New(conf.MustNewConfigFrom(map[string]any{"hosts": []string{f.url}, "from": "beginning"}), module.Env{
		Logger: logp.NewNopLogger(), Stats: &f.stats, Health: &f.health,
	})
	require.NoError(t, err)
	full := errors.New("full")
	err = m.Run(context.Background(), process.Cursor{}, func(e *process.Event) error {
		if e.Kind != 0 {
			return full
		}
		return nil
	})
	require.ErrorIs(t, err, full)
}

// All wrong options are reported at once, each with what is allowed.
func TestWrongOptionsAreReported(t *testing.T) {
	_, err := New(conf.MustNewConfigFrom(map[string]any{
		"hosts": []string{"ftp://x"}, "indices": []string{"Logs-*"}, "api_key": "a:b", "username": "u", "from": "yesterday",
		"order_by": "time", "query_delay": "2h", "page_size": 1, "partition": "3/2", "proxy_url": "x", "timeout": "0s",
		"period": "1ms", "late_within": "25h", "parents_within": "-1s", "backoff_init": "2m",
	}), module.Env{})
	require.Error(t, err)
	for _, want := range []string{
		`hosts.0: "ftp://x" is not allowed; it must be a URL`, `indices.0: "Logs-*" is not allowed`,
		"api_key: it is set beside username", `from: "yesterday" is not allowed; it must be end, beginning`,
		`order_by: "time" is not allowed; it must be event.ingested or @timestamp`, "query_delay: 2h0m0s is not allowed",
		"page_size: 1 is not allowed; it must be 10 to 10000", `partition: "3/2" is not allowed`, `proxy_url: "x"`,
		"timeout: 0s", "period: 1ms", "late_within: 25h", "parents_within: -1s", "backoff_max: 1m0s is not allowed",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 14)
}

func TestTimesAreRead(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now":                       now,
		"now-90m":                   now.Add(-90 * time.Minute),
		"now-60d":                   now.AddDate(0, 0, -60),
		"now-2w":                    now.AddDate(0, 0, -14),
		"2026-11-01":                time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-01T08:30":          time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC),
		"2026-11-01T08:30:00+02:00": time.Date(2026, 11, 1, 6, 30, 0, 0, time.UTC),
	} {
		got, err := ParseTime(text, now)
		require.NoError(t, err, text)
		require.WithinDuration(t, want, got, 0, text)
	}
	for _, text := range []string{
		"", "now-", "now-d", "now-1y", "now--1d", "now-99999d", "60d", "1969-01-01", "yesterday",
	} {
		_, err := ParseTime(text, now)
		require.Error(t, err, text)
	}
}

// A key of Kibana's, in base64, and one as ID:KEY log in alike.
func TestAKeyLogsIn(t *testing.T) {
	for _, key := range []string{"id:secret", "aWQ6c2VjcmV0"} {
		f := newFollower(t, map[string]any{"api_key": key})
		f.run(func() bool { return f.stats.Pages.Load() > 0 })
		f.cluster.mu.Lock()
		require.Equal(t, "ApiKey aWQ6c2VjcmV0", f.cluster.seen[0].Header.Get("Authorization"))
		f.cluster.mu.Unlock()
	}
}
