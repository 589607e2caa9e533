// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/stack"
)

// shipments are what agents on many hosts have shipped to a cluster: every second host's is Elastic Defend, the others'
// is auditd_manager.
type shipments struct {
	random *rand.Rand
	docs   []shippedDocument
	count  int // of all documents, those that docs does not hold any more included
	pids   map[string]int
}

// shippedDocument is one document, and where it was shipped to.
type shippedDocument struct {
	stream string
	id     string
	at     time.Time
	fields mapstr.M
}

const (
	defendStream = "logs-endpoint.events.process-default"
	auditdStream = "logs-auditd_manager.auditd-default"
)

// daemons are what starts the shells of users who do not come by cron. mallory's is a web shell: unusual at any hour of
// any weekday, because this test runs at all of them.
var daemons = map[string]string{"alice": "sshd", "mallory": "nginx"}

// start has a user of a host start a shell, through a wrapper or not, and from it a tool. Its documents are what its
// agent ships, at is when the tool starts.
func (f *shipments) start(host int, at time.Time, user, uid string, wrapper bool, args ...string) {
	name := fmt.Sprintf("host-%02d", host)
	f.pids[name] += 5
	top := 1000 + f.pids[name]%30000
	chain := []struct {
		pid, ppid int
		args      []string
	}{{top, 1, []string{"/usr/sbin/" + cmp.Or(daemons[user], "cron")}},
		{top + 1, top, []string{"bash", "-c", strings.Join(args, " ")}}}
	if wrapper {
		chain = append(chain, struct {
			pid, ppid int
			args      []string
		}{top + 2, top + 1, append([]string{"sudo"}, args...)})
	}
	chain = append(chain, struct {
		pid, ppid int
		args      []string
	}{top + 3, chain[len(chain)-1].pid, args})
	for i, p := range chain {
		when := at.Add(time.Duration(i+1-len(chain)) * 20 * time.Millisecond).UTC().Truncate(time.Millisecond)
		program := p.args[0][strings.LastIndexByte(p.args[0], '/')+1:]
		doc := mapstr.M{
			"@timestamp": when.Format(time.RFC3339Nano),
			"host":       mapstr.M{"id": "id-of-" + name, "name": name, "hostname": name, "os": mapstr.M{"type": "linux"}},
			"event": mapstr.M{
				"kind": "event", "category": []string{"process"}, "type": []string{"start"},
				"ingested": when.Add(3 * time.Second).Truncate(time.Second).Format(time.RFC3339), // as Fleet's pipeline says it
			},
			"process": mapstr.M{
				"pid": p.pid, "name": program, "executable": "/usr/bin/" + program, "args": p.args, "args_count": len(p.args),
				"working_directory": "/", "parent": mapstr.M{"pid": p.ppid},
			},
		}
		stream := auditdStream
		if host%2 == 0 {
			stream = defendStream
			asDefend(doc, user, uid, fmt.Sprintf("%s-%d-%d", name, p.pid, at.UnixNano()))
			if i > 0 {
				before := chain[i-1]
				parent := before.args[0][strings.LastIndexByte(before.args[0], '/')+1:]
				put(doc, "process.parent", mapstr.M{
					"pid": before.pid, "name": parent, "executable": "/usr/bin/" + parent, "args": before.args,
					"entity_id": fmt.Sprintf("%s-%d-%d", name, before.pid, at.UnixNano()),
				})
			}
			put(doc, "process.entry_leader.entry_meta.type", map[bool]string{true: "sshd", false: "init"}[user == "alice"])
		} else {
			asAuditd(doc, user, uid, f.random.IntN(1<<30))
		}
		f.docs = append(f.docs, shippedDocument{stream: stream, id: fmt.Sprintf("d%07d", f.count), at: when, fields: doc})
		f.count++
	}
}

func asDefend(doc mapstr.M, user, uid, entity string) {
	put(doc, "agent", mapstr.M{"type": "endpoint", "version": "9.1.0"})
	put(doc, "data_stream.dataset", "endpoint.events.process")
	put(doc, "event.module", "endpoint")
	put(doc, "event.dataset", "endpoint.events.process")
	put(doc, "event.action", "exec")
	put(doc, "event.id", "N"+entity)
	put(doc, "process.entity_id", entity)
	put(doc, "user", mapstr.M{"id": uid, "name": user, "Ext": mapstr.M{"real": mapstr.M{"id": uid, "name": user}}})
}

func asAuditd(doc mapstr.M, user, uid string, sequence int) {
	put(doc, "agent", mapstr.M{"type": "auditbeat", "version": "9.1.0"})
	put(doc, "data_stream.dataset", "auditd_manager.auditd")
	put(doc, "event.module", "auditd")
	put(doc, "event.dataset", "auditd_manager.auditd")
	put(doc, "event.action", "executed")
	put(doc, "event.outcome", "success")
	put(doc, "event.sequence", sequence)
	session, audit := "4294967295", mapstr.M(nil)
	if user == "alice" {
		session, audit = "7", mapstr.M{"id": uid, "name": user}
	}
	put(doc, "auditd", mapstr.M{"session": session, "result": "success", "data": mapstr.M{"syscall": "execve"}})
	if audit != nil {
		put(doc, "auditd.user.audit", audit)
	}
	put(doc, "user", mapstr.M{"id": uid, "name": user})
}

// habits is what the hosts do for a time: an agent of root's that looks every few hours, and alice now and then.
func (f *shipments) habits(hosts int, from, until time.Time) {
	for at := from; at.Before(until); at = at.Add(6 * time.Hour) {
		for h := range hosts {
			when := at.Add(time.Duration(f.random.IntN(14400)) * time.Second)
			if !when.Before(until) {
				continue
			}
			f.start(h, when, "root", "0", false, "ss", "-s")
			if f.random.IntN(8) == 0 {
				f.start(h, when.Add(time.Minute), "alice", "1000", true, "netstat", "-rn")
			}
		}
	}
}

// ship puts documents into the cluster, as they are of their data streams.
func ship(t testing.TB, node *stack.Node, docs []shippedDocument) {
	t.Helper()
	for len(docs) > 0 {
		n := min(len(docs), 2000)
		var body bytes.Buffer
		for _, d := range docs[:n] {
			fmt.Fprintf(&body, `{"create":{"_index":%q,"_id":%q}}`+"\n", d.stream, d.id)
			require.NoError(t, json.NewEncoder(&body).Encode(d.fields))
		}
		answer := node.Request(t, http.MethodPost, "/_bulk", body.String())
		require.Equal(t, false, answer["errors"], "%.2000v", answer)
		docs = docs[n:]
	}
	node.Request(t, http.MethodPost, "/logs-*/_refresh", nil)
}

// streams makes the data streams' template, with the types that ECS has.
func streams(t testing.TB, node *stack.Node) {
	node.Request(t, http.MethodPut, "/_index_template/agents", `{
  "index_patterns": ["logs-endpoint.events.process-*", "logs-auditd_manager.auditd-*"],
  "data_stream": {}, "priority": 500,
  "template": {
    "settings": {"number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "1s"},
    "mappings": {
      "dynamic_templates": [
        {"text": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}}
      ],
      "properties": {"@timestamp": {"type": "date"}, "event": {"properties": {"ingested": {"type": "date"}}},
        "process": {"properties": {"pid": {"type": "long"}, "parent": {"properties": {"pid": {"type": "long"}}}}}}
    }
  }
}`)
}

func rollover(t testing.TB, node *stack.Node) {
	for _, stream := range []string{defendStream, auditdStream} {
		node.Request(t, http.MethodPost, "/"+stream+"/_rollover", nil)
	}
}

// asFile writes documents as a file that module ndjson reads, in the order of their times.
func asFile(t *testing.T, path string, docs []shippedDocument) {
	docs = slices.Clone(docs)
	slices.SortStableFunc(docs, func(a, b shippedDocument) int { return a.at.Compare(b.at) })
	var text bytes.Buffer
	for _, d := range docs {
		require.NoError(t, json.NewEncoder(&text).Encode(d.fields))
	}
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
}

// verdicts are alerts by their ids. A killed reconbeat ships again, under the same _id, what was not acknowledged.
func verdicts(t *testing.T, docs []mapstr.M) map[string]mapstr.M {
	t.Helper()
	found := map[string]mapstr.M{}
	for _, doc := range docs {
		if text(doc, "event.kind") == "alert" {
			id := text(doc, "event.id")
			if before, again := found[id]; again {
				require.Equal(t, text(before, "@metadata._id"), text(doc, "@metadata._id"), "an alert ships once")
			}
			found[id] = doc
		}
	}
	return found
}

// replayed are the documents that a replay prints.
func (h *host) replayed(config string, args ...string) []mapstr.M {
	h.t.Helper()
	c, _ := h.command(config, append([]string{"replay", "--format", "ndjson"}, args...)...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	require.NoError(h.t, c.Run(), complaint.String())
	h.t.Log(complaint.String())
	var docs []mapstr.M
	for line := range bytes.Lines(out.Bytes()) {
		var doc mapstr.M
		require.NoError(h.t, json.Unmarshal(line, &doc))
		docs = append(docs, doc)
	}
	return docs
}

// TestStackFollowsACluster has documents of 50 hosts in data streams of several backing indices, ones that come late
// and ones that come twice, a node that is killed in the middle, and a reconbeat that ends and is killed. Each alert of
// a replay of the same documents ships exactly once.
func TestStackFollowsACluster(t *testing.T) {
	t.Parallel()
	const hosts = 50
	h := newHost(t)
	node := stack.Own(t)
	es := node.Elasticsearch(t)
	streams(t, node)
	// A replay of nothing is a failed one, as a file of which nothing is understood is.
	nothing, _ := h.command(fmt.Sprintf("reconbeat.modules: [{module: elasticsearch, hosts: ['%s']}]", es.URL()),
		"replay", "--module", "elasticsearch", "--from", "2026-11-01")
	said, err := nothing.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, `there is no document in logs-endpoint.events.process-\*, logs-auditd_manager.auditd-\*, `+
		`auditbeat-\* `+
		`from 2026-11-01 00:00 UTC to `, string(said))
	f := &shipments{random: rand.New(rand.NewPCG(1, 2)), pids: map[string]int{}}
	now := time.Now().Add(-time.Hour)
	f.habits(hosts, now.AddDate(0, 0, -14), now)
	for i := range 6 { // people who are there once, on hosts that no attack comes to
		f.start(hosts-1-i, now.AddDate(0, 0, -i-1), fmt.Sprint("guest-", i), strconv.Itoa(2000+i), false, "ss", "-tunap")
	}
	slices.SortStableFunc(f.docs, func(a, b shippedDocument) int { return a.at.Compare(b.at) })
	for i, third := 0, len(f.docs)/3; i < 3; i++ {
		ship(t, node, f.docs[i*third:(i+1)*third])
		rollover(t, node)
	}
	ship(t, node, f.docs[len(f.docs)/3*3:])
	cluster := leastPrivileges(t, es.URL())
	config := fmt.Sprintf("reconbeat.modules: [{module: elasticsearch, id: cluster, hosts: ['%s'], from: beginning, "+
		"api_key: secret, query_delay: 1s, period: 200ms, backoff_init: 100ms, backoff_max: 1s}]\n",
		cluster) + theFile
	matches := func() (n int) {
		for _, d := range f.docs {
			if name := text(d.fields, "process.name"); name == "ss" || name == "netstat" {
				n++
			}
		}
		return n
	}
	r := h.start(config)
	r.wait("detector.matched", matches()/4)
	require.Error(t, r.end(syscall.SIGKILL)) // it has saved what it knew some seconds ago, or nothing
	r = h.start(config)
	h.eventually(func() bool { // it is in the middle, or at the end where the life before had come far
		lag := r.stat("modules.cluster.lag_ms")
		return r.stat("detector.matched") >= matches()/4 || lag > 0 && lag < 3000
	}, "it does not read on:\n%s", r.log)
	node.Kill(t)
	r.wait("health.cluster_away", 1)
	node.Again(t)
	h.eventually(func() bool {
		return r.stat("modules.cluster.lag_ms") < 3000 && r.stat("health.cluster_away") >= 0 &&
			r.stat("modules.cluster.lag_ms") > 0
	}, "it does not catch up:\n%s", r.log)

	strange := func(host int, at time.Time) []shippedDocument {
		n := len(f.docs)
		f.start(host, at, "mallory", "666", host%4 == 0, "ss", "-tunap")
		return f.docs[n:]
	}
	// Attacks on ten hosts.
	for i := range 10 {
		ship(t, node, strange(i, time.Now().Add(-3*time.Second)))
	}
	alerted := func(n int) {
		t.Helper()
		h.eventually(func() bool { return strings.Count(strings.Join(h.shipped("alert"), "\n"), "mallory") >= n },
			"%d attacks raise no alert:\n%s", n, r.log)
	}
	alerted(10)
	// The same documents come again, in a new backing index.
	rollover(t, node)
	again := slices.Clone(f.docs[len(f.docs)-20:])
	ship(t, node, again)
	// Documents that become visible behind the place of reading.
	for i := 10; i < 15; i++ {
		ship(t, node, strange(i, time.Now().Add(-2*time.Minute)))
	}
	h.eventually(func() bool { return r.stat("modules.cluster.late") >= 5 }, "nothing is late:\n%s", r.log)
	alerted(15)
	require.NoError(t, r.end(syscall.SIGTERM))
	// While nobody reads.
	for i := 15; i < 20; i++ {
		ship(t, node, strange(i, time.Now().Add(-3*time.Second)))
	}
	r = h.start(config)
	alerted(20)
	// A document that the output had not acknowledged when reconbeat was killed ships again, with its id.
	shipped := func() map[string]string {
		ids := map[string]string{}
		for _, doc := range h.documents() {
			if text(doc, "event.action") != "exec" {
				continue
			}
			origin, id := text(doc, "reconbeat.origin.id"), text(doc, "event.id")
			require.Contains(t, []string{"", id}, ids[origin], "%s is judged twice", origin)
			ids[origin] = id
		}
		return ids
	}
	h.eventually(func() bool { return len(shipped()) == matches() }, "not every match ships:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))

	file := filepath.Join(h.dir, "documents.ndjson")
	asFile(t, file, f.docs)
	want := verdicts(t, h.replayed(config, "--module", "ndjson", file))
	got := verdicts(t, h.documents())
	require.GreaterOrEqual(t, len(want), 20)
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	for id, alert := range got {
		require.NotEmpty(t, text(alert, "reconbeat.origin.index"))
		require.NotEmpty(t, text(alert, "reconbeat.origin.id"))
		for _, field := range []string{
			"process.parent.name", "process.command_line", "user.name", "host.name",
			"process.entry_leader.entry_meta.type", "reconbeat.process.starter",
		} {
			require.Equal(t, text(want[id], field), text(alert, field), "%s of %s", field, id)
		}
	}
	require.Len(t, shipped(), matches(), "every match ships")

	history := verdicts(t, h.replayed(config, "--module", "elasticsearch", "--from", "now-60d"))
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(history)))

	// A job that has found what the same function finds here, but for one record, and one that is its own.
	const job = "v3_linux_network_connection_discovery_ea"
	results := h.replayed(config, "--module", "elasticsearch", "--from", "now-60d", "--records")
	results = slices.DeleteFunc(results, func(m mapstr.M) bool { return text(m, "result_type") != "record" })
	require.Greater(t, len(results), 5)
	asJob(t, node, job, results[1:], mapstr.M{"by_field_value": "trent", "initial_record_score": 91.5})
	compared := h.replayed(config, "--module", "elasticsearch", "--from", "now-60d", "--compare-job", job)
	found := map[string]int{}
	for _, m := range compared {
		found[text(m, "found_by")]++
		if text(m, "user") == "trent" {
			require.Equal(t, "job 91.5 0", text(m, "found_by")+" "+text(m, "job")+" "+text(m, "matches"))
		}
		if text(m, "found_by") == "both" {
			require.InDelta(t, m["job"], m["rare"], 0.01)
		}
	}
	t.Log(found)
	require.Positive(t, found["both"])
	require.Positive(t, found["reconbeat"])

	// What the manual says to those who have a cluster.
	pages, env := map[string]string{}, []string(nil) // the reader's folder of each
	for _, b := range manual(t) {
		if b.fence != " cluster" {
			continue
		}
		if pages[b.file] == "" {
			pages[b.file] = reader(t)
			clusterOfTheReader(t, pages[b.file], cluster)
			if !strings.HasSuffix(b.file, "quick-start.md") { // others begin where that has ended
				modules := filepath.Join(pages[b.file], "modules.d", "elasticsearch.yml")
				require.NoError(t, os.Rename(modules+".disabled", modules))
				env = []string{"ES_API_KEY=secret"}
			}
		}
		b.runs(t, pages[b.file], env...)
	}
	require.Len(t, pages, 3)
}

// clusterOfTheReader sets hosts and key in the module's file, as the reader of the manual does.
func clusterOfTheReader(t *testing.T, dir, cluster string) {
	t.Helper()
	file := filepath.Join(dir, "modules.d", "elasticsearch.yml.disabled")
	settings, err := os.ReadFile(file)
	require.NoError(t, err)
	for said, says := range map[string]string{
		`"http://localhost:9200"`: `"` + cluster + `"`, `#api_key: `: `api_key: `,
	} {
		require.Contains(t, string(settings), said)
		settings = bytes.ReplaceAll(settings, []byte(said), []byte(says))
	}
	require.NoError(t, os.WriteFile(file, settings, 0o600))
}

// leastPrivileges is a cluster for the one API key `secret`, whose role is the manual's: read on the indices of the
// module and of the jobs' results. It refuses everything else, as Elasticsearch does.
func leastPrivileges(t *testing.T, cluster string) string {
	t.Helper()
	target, err := url.Parse(cluster)
	require.NoError(t, err)
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.ErrorLog = log.New(io.Discard, "", 0) // the node is killed
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	mayRead := regexp.MustCompile(`^/(?:(?:logs-endpoint\.events\.process-\*|logs-auditd_manager\.auditd-\*|` +
		`auditbeat-\*|\.ml-anomalies-\*),?)+/_(?:search|count)$`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, reason := 0, ""
		switch {
		case r.Header.Get("Authorization") != "ApiKey c2VjcmV0":
			status, reason = http.StatusUnauthorized, "missing authentication credentials"
		case !mayRead.MatchString(r.URL.Path):
			status, reason = http.StatusForbidden, "action is unauthorized for API key id"
			if r.URL.Path != "/" { // libbeat's client asks who is there; nothing depends on it
				t.Errorf("%s %s needs more than the manual's privileges", r.Method, r.URL.Path)
			}
		default:
			pass.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"type":"security_exception","reason":%q},"status":%d}`, reason, status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// asJob writes records of a machine learning job into the cluster, and one more at the time of the last one that has
// these values.
func asJob(t *testing.T, node *stack.Node, job string, records []mapstr.M, own mapstr.M) {
	t.Helper()
	const index = ".ml-anomalies-shared-000001"
	node.Request(t, http.MethodPut, "/"+index, `{"settings": {"number_of_replicas": 0}, "mappings": {
  "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
  "properties": {"timestamp": {"type": "date"}}}}`)
	more := records[len(records)-1].Clone()
	more.Update(own)
	var body bytes.Buffer
	for i, r := range append(slices.Clone(records), more) {
		r = r.Clone()
		r["job_id"] = job
		fmt.Fprintf(&body, `{"create":{"_index":%q,"_id":"record-%d"}}`+"\n", index, i)
		require.NoError(t, json.NewEncoder(&body).Encode(r))
	}
	answer := node.Request(t, http.MethodPost, "/_bulk?refresh=true", body.String())
	require.Equal(t, false, answer["errors"], "%.2000v", answer)
}
