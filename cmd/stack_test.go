// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/mapping"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/internal/stack"
)

// strict refuses every document with a field that the templates do not declare, or a value that does not fit: what
// production forgives, these tests do not.
const strict = `{"template": {
  "settings": {"index": {"mapping": {"ignore_malformed": false}, "refresh_interval": "1s"}},
  "mappings": {"dynamic": "strict", "properties": {"reconbeat": {"type": "object", "dynamic": "strict"}}}
}}`

// cluster is a node behind a proxy in which `reconbeat setup` has installed everything, strictly.
func cluster(t *testing.T, h *host) (*stack.Node, *stack.Proxy) {
	t.Helper()
	node := stack.Start(t)
	es := node.Elasticsearch(t)
	node.Request(t, http.MethodPut, "/_component_template/reconbeat@custom", strict)
	c, _ := h.command(toElasticsearch(es, "setup"), "setup", "--index-management", "--pipelines")
	out, err := c.CombinedOutput()
	require.NoError(t, err, complaints(out))
	require.Contains(t, string(out), "Index setup finished.")
	require.Contains(t, string(out), "Loaded Ingest pipelines")
	return node, es
}

// complaints is what of a log is not merely information.
func complaints(out []byte) string {
	l := &logBuffer{}
	_, _ = l.Write(out)
	return l.String()
}

// toElasticsearch is the configuration of an output. Each test has a namespace of its own, and so its own data streams.
func toElasticsearch(es *stack.Proxy, namespace string) string {
	return fmt.Sprintf(
		"output.elasticsearch: {hosts: ['%s'], backoff: {init: 50ms, max: 200ms}}\nreconbeat.namespace: %s\n", es.URL(),
		namespace)
}

// everyRule is the configuration in which every shipped rule is on, and alerts of what is a little unusual.
func everyRule(t *testing.T) (string, []detector.Rule) {
	rules, err := config.LoadRules(t.TempDir(), nil)
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString("reconbeat.detector: {model: context, episode.idle: 1m, rules: [")
	for _, r := range rules {
		fmt.Fprintf(&b, "{id: %s, enabled: true, threshold: 1},", r.ID)
	}
	b.WriteString("]}\n")
	return b.String(), rules
}

// matching is a command line that a rule means.
func matching(r detector.Rule) []string {
	if r.ID == "network-tool-discovery" {
		return []string{"lsof", "-i"}
	}
	return []string{r.Programs[0]}
}

// exec is a document of an agent.
func execDocument(at time.Time, user, parent string, args []string) mapstr.M {
	return mapstr.M{
		"@timestamp": at.UTC().Format(time.RFC3339Nano),
		"event":      mapstr.M{"id": fmt.Sprintf("%s-%s-%d", user, args[0], at.UnixNano())},
		"user":       mapstr.M{"name": user},
		"process": mapstr.M{
			"name":       args[0],
			"executable": "/usr/bin/" + args[0],
			"args":       args,
			"pid":        4711,
			"parent":     mapstr.M{"name": parent},
		},
	}
}

// rich is a document that has every field that reconbeat knows of an exec.
func rich(at time.Time, user, parent string, args []string) mapstr.M {
	doc := execDocument(at, user, parent, args)
	for f := range ecs.Fields() {
		// Those of the host are this host's, and those of events say what kind of event it is.
		if has, _ := doc.HasKey(
			f.Name); has || strings.HasPrefix(f.Name, "host.") || strings.HasPrefix(f.Name, "event.") ||
			f.Name == "process.exit_code" {
			continue
		}
		var v any
		switch f.Type {
		case ecs.Date:
			v = at.Add(-time.Hour).UTC().Format(time.RFC3339Nano)
		case ecs.Long:
			v = 7
		case ecs.Boolean:
			v = true
		case ecs.IP:
			v = "2001:db8::7"
		case ecs.Keywords:
			v = []string{"one", "two"}
		default:
			v = "rich"
			if strings.HasSuffix(f.Name, ".id") {
				v = "1007" // of users and groups numbers
			}
		}
		put(doc, f.Name, v)
	}
	put(doc, "event.timezone", "Europe/Berlin")
	put(doc, "event.sequence", 7)
	put(doc, "event.provider", "rich")
	put(doc, "reconbeat.process.tty", "pts0")
	for _, of := range []string{"user.audit.name", "process.real_user.name"} {
		put(doc, of, user)
	}
	for _, of := range []string{"user.id", "user.audit.id", "process.real_user.id"} {
		put(doc, of, strconv.Itoa(1000+len(user)))
	}
	put(doc, "process.entry_leader.entry_meta.type", "sshd")
	put(doc, "reconbeat.process.tool", args[0]) // what it is by its contents goes before its name
	put(doc, "process.args_count", len(args))
	return doc
}

func put(m mapstr.M, field string, value any) { _, _ = m.Put(field, value) }

// write adds documents to the host's file.
func (h *host) write(docs ...mapstr.M) {
	f, err := os.OpenFile(h.input(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(h.t, err)
	defer f.Close()
	for _, d := range docs {
		line, err := json.Marshal(d)
		require.NoError(h.t, err)
		_, err = f.Write(append(line, '\n'))
		require.NoError(h.t, err)
	}
}

// learnRules has sixty days learned in which two accounts do every hour what the rules are about: root's agent, and a
// keeper who logs in. The keeper has never come at this time of the day and of the week, so that a match now is
// a little unusual in that, too, whenever the test runs.
func (h *host) learnRules(config string, rules []detector.Rule) {
	var b bytes.Buffer
	now := time.Now()
	berlin, err := time.LoadLocation("Europe/Berlin") // rich's
	require.NoError(h.t, err)
	weekend := func(at time.Time) bool { return at.Weekday() == time.Saturday || at.Weekday() == time.Sunday }
	free := now.Add(-15 * time.Minute).In(berlin)
	for at := now.AddDate(0, 0, -60); at.Before(now.Add(-20 * time.Minute)); at = at.Add(time.Hour) {
		local := at.In(berlin)
		apart := (local.Hour() - free.Hour() + 24) % 24
		for _, r := range rules {
			docs := []mapstr.M{execDocument(at, "root", "agent", matching(r))}
			if apart > 2 && apart < 22 && weekend(local) != weekend(free) {
				docs = append(docs, rich(at, "keeper", "bash", matching(r)))
			}
			for _, doc := range docs {
				line, err := json.Marshal(doc)
				require.NoError(h.t, err)
				b.Write(append(line, '\n'))
			}
		}
	}
	history := filepath.Join(h.dir, "history.ndjson")
	require.NoError(h.t, os.WriteFile(history, b.Bytes(), 0o644))
	c, _ := h.command(oneModule+theFile+config, "replay", "--learn", "--yes", "--module", "ndjson", history)
	out, err := c.CombinedOutput()
	require.NoError(h.t, err, complaints(out))
}

// limitedFields are the fields of what another host ships, which groups matches, reaches the limit of alerts, and has
// feedback on one.
func limitedFields(t *testing.T, node *stack.Node, es *stack.Proxy) map[string]bool {
	h := newHost(t)
	h.learn()
	r := h.start(oneModule + toElasticsearch(es, "limited") + "reconbeat.detector.limit: {alerts: 3, per: 1m}\n" +
		"reconbeat.detector.episode: {group_by: [user.name], idle: 1s, max: 1m}\n")
	at := time.Now().Add(-10 * time.Minute)
	shell := execDocument(at.Add(-2*time.Second), "zoe", "sshd", []string{"sh", "-c", "ss -tunap"}) // its tool's ancestry
	tool := execDocument(at.Add(-time.Second), "zoe", "sh", []string{"ss", "-tunap"})
	for field, v := range map[string]any{"process.pid": 4720, "process.working_directory": "/srv", "user.id": "1005"} {
		put(shell, field, v)
	}
	put(tool, "process.parent.pid", 4720)
	put(tool, "user.id", "1005") // whose shell is what ran before
	h.write(shell, tool)
	for i, user := range []string{"mallory", "eve", "oscar", "trudy", "carol", "dave"} {
		h.write(execDocument(at.Add(time.Duration(i)*time.Second), user, "sh", []string{"ss", "-tunap"}))
	}
	h.write(execDocument(time.Now(), "root", "agent", []string{"ss", "-s"}))
	var first mapstr.M
	h.eventually(func() bool {
		listed, _, _ := strings.Cut(h.output("alerts", "list", "--format", "json"), "\n")
		return json.Unmarshal([]byte(listed), &first) == nil
	}, "no alert; the log:\n%s", r.log)
	h.output("feedback", "--note", "an intruder", "--", text(first, "event.id"), "malicious")
	filled := map[string]bool{}
	h.eventually(func() bool {
		for _, d := range node.Documents(t, "logs-reconbeat.*-limited") {
			namesIn(d.Source, "", filled)
		}
		return filled["reconbeat.limit.alerts"] && filled["reconbeat.episode.group"] && filled["reconbeat.feedback.note"]
	}, "no group, no limit, or no feedback; the log:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Empty(t, node.Documents(t, "logs-reconbeat.rejected-limited"), "what the templates do not declare")
	return filled
}

// namesIn adds the names of a document's fields, those of the objects in lists too.
func namesIn(doc map[string]any, prefix string, names map[string]bool) {
	for name, v := range doc {
		name = prefix + name
		names[name] = true
		switch v := v.(type) {
		case map[string]any:
			namesIn(v, name+".", names)
		case []any:
			for _, one := range v {
				if m, ok := one.(map[string]any); ok {
					namesIn(m, name+".", names)
				}
			}
		}
	}
}

// aSession is what an account of another host runs in a session with a match, and an hour later before another match.
func aSession(at time.Time, match []string) (docs []mapstr.M) {
	run := func(args ...string) {
		doc := execDocument(at, "tomcat", "java", args)
		put(doc, "host.id", "seen")
		docs = append(docs, doc)
		at = at.Add(time.Second)
	}
	for i := range 16 {
		run("program-" + string(rune('a'+i)))
	}
	run(match...)
	at = at.Add(time.Hour)
	run("lsusb")
	run("capsh")
	run(match...)
	return docs
}

// TestStack has every kind of document of every shipped rule indexed by strict templates that `reconbeat setup`
// installed.
func TestStack(t *testing.T) {
	h := newHost(t)
	node, es := cluster(t, h)
	config, rules := everyRule(t)
	h.learnRules(config, rules)
	config += oneModule + toElasticsearch(es,
		"stack") + "reconbeat.heartbeat.period: 1s\nreconbeat.detector.habit: {days: 1, span: 2s}\n" +
		"reconbeat.controls.exceptions:\n" +
		"- {id: permitted, expires: 2099-01-01, conditions: [{field: user.name, is: backup}]}\n" +
		"- {id: over, expires: 2020-01-01, conditions: [{field: user.name, is: backup}]}\n"

	r := h.start(config)
	// Another host, whose first day is over: a report of what was learned.
	young := execDocument(time.Now().Add(-26*time.Hour), "www-data", "sh", matching(rules[0]))
	put(young, "host.id", "young")
	h.write(young)
	h.write(aSession(time.Now().Add(-3*time.Hour), matching(rules[0]))...)
	at := time.Now().Add(-15 * time.Minute)
	for _, rule := range rules {
		args := matching(rule)
		late := rich(at, "keeper", "bash", args) // a little unusual
		odd := rich(at.Add(time.Second), "keeper", "bash", append(args, "--odd"))
		put(odd, "process.entry_leader.entry_meta.source.ip", "198.51.100.9")
		put(odd, "source.ip", "198.51.100.9")
		put(odd, "reconbeat.process.starter", "httpd")
		disguised := execDocument(at.Add(3*time.Second), "tomcat", "java", args)
		put(disguised, "process.executable", "/tmp/"+args[0])
		h.write(late, odd, rich(at.Add(2*time.Second), "mallory", "httpd", args), disguised)
		at = at.Add(10 * time.Second)
	}
	again := execDocument(at, "tomcat", "java", matching(rules[len(rules)-1]))
	put(again, "process.executable", "/tmp/"+matching(rules[len(rules)-1])[0])
	h.write(again) // what raised an alert becomes a habit
	held := execDocument(at.Add(time.Second), "backup", "java", matching(rules[0]))
	put(held, "process.executable", "/tmp/"+matching(rules[0])[0])
	h.write(held) // an exception holds its alert back
	h.write(execDocument(time.Now(), "root", "agent", matching(rules[0])))
	r.wait("detector.matched", 4*len(rules)+6)
	r.wait("detector.summaries", 3*len(rules))
	for command, want := range map[string]string{"alert": "acknowledged after", "output": "talk to server... OK"} {
		c, _ := h.command(config, "test", command)
		out, err := c.CombinedOutput()
		require.NoError(t, err, complaints(out))
		require.Contains(t, string(out), want)
	}
	h.eventually(func() bool { return r.stat("journal.pending") == 0 && r.stat("heartbeats.made") > 1 },
		"not everything is acknowledged:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))

	require.Empty(t, node.Documents(t, "logs-reconbeat.rejected-stack"), "what the templates do not declare")

	// A second life in which something is wrong, for heartbeats that report it.
	r = h.start(
		strings.Replace(config, "id: documents,", "id: documents, fields_under_root: true, fields: {undeclared: 1},",
			1),
	)
	h.Exec("root", "ss -s")
	r.wait("output.rejected", 1)
	r.wait("heartbeats.made", r.stat("heartbeats.made")+6)
	require.NoError(t, r.end(syscall.SIGTERM))
	made := map[string]map[string]int{}
	filled := map[string]bool{}
	for _, d := range node.Documents(t, "logs-reconbeat.*-stack") {
		doc := mapstr.M(d.Source)
		if strings.Contains(d.Index, "reconbeat.rejected") {
			continue // of the second life
		}
		stream := strings.TrimPrefix(text(doc, "data_stream.dataset"), "reconbeat.") + " " + text(doc, "event.action")
		if text(doc, "reconbeat.alert.test") == "true" {
			stream += " test"
		}
		require.Contains(t, d.Index, "logs-"+text(doc, "data_stream.dataset")+"-stack")
		require.NotEmpty(t, text(doc, "event.ingested"), "the pipeline runs on every document")
		tagged := strings.Contains(fmt.Sprint(doc["tags"]), stack.DatabaseUnavailable)
		require.Equal(t, text(doc, "source.ip") != "", tagged, "only an address is looked up: %v", doc["tags"])
		if !strings.HasPrefix(stream, "process") { // raw events keep the id that their source gave them
			require.Equal(t, d.ID, text(doc, "event.id"))
		}
		require.Equal(t, "9.0.0", text(doc, "ecs.version"))
		if made[stream] == nil {
			made[stream] = map[string]int{}
		}
		made[stream][text(doc, "rule.id")]++
		namesIn(doc, "", filled)
	}
	for name := range limitedFields(t, node, es) {
		filled[name] = true
	}
	for _, rule := range rules {
		for stream, n := range map[string]int{"alert alert": 3, "alert alert-escalated": 1, "alert alert-summary": 3} {
			require.Equal(t, n, made[stream][rule.ID], "documents of %s for the rule %s", stream, rule.ID)
		}
	}
	require.Equal(t, 4*len(rules)+6, made["process exec"][""])
	require.Equal(t, 1, made["alert learned"][rules[0].ID])
	require.Equal(t, 1, made["alert habit"][rules[len(rules)-1].ID])
	require.Equal(t, 1, made["alert alert test"]["network-connection-discovery"])
	require.NotZero(t, made["health heartbeat"][""])

	declared, err := mapping.LoadFieldsYaml("../_meta/fields.yml")
	require.NoError(t, err)
	var empty []string
	for _, name := range declared.GetKeys() {
		if !filled[name] && !elsewhere[name] {
			empty = append(empty, name)
		}
	}
	require.Empty(t, empty, "_meta/fields.yml declares them, and no document has them")
	askWhatKibanaAsks(t, node, "stack")
	askWhatTheGuideAsks(t, node, "stack")
}

// button finds the searches of an investigation guide, which Kibana shows as buttons.
var button = regexp.MustCompile(`!\{investigate(\{.*\})\}`)

// askWhatTheGuideAsks presses the buttons of the guide on an alert: each must open what happened around it, and the
// session's what Session View looks for.
func askWhatTheGuideAsks(t *testing.T, node *stack.Node, namespace string) {
	rules, err := os.ReadFile("../_meta/kibana/rules/reconbeat.ndjson")
	require.NoError(t, err)
	var rule struct{ Note string }
	require.NoError(t, json.NewDecoder(bytes.NewReader(rules)).Decode(&rule))
	buttons := button.FindAllStringSubmatch(rule.Note, -1)
	require.Len(t, buttons, 5)
	var alert mapstr.M // of a login session
	for _, d := range node.Documents(t, "logs-reconbeat.alert-"+namespace) {
		doc := mapstr.M(d.Source)
		if text(doc, "event.kind") == "alert" && text(doc, "process.entry_leader.entity_id") != "" {
			alert = doc
		}
	}
	require.NotNil(t, alert)
	for _, b := range buttons {
		var search struct {
			Label     string
			Providers [][]struct{ Field, Value string }
		}
		require.NoError(t, json.Unmarshal([]byte(b[1]), &search), "%s", b[1])
		var filter []any
		for _, p := range search.Providers[0] {
			value := p.Value
			if field, templated := strings.CutPrefix(value, "{{"); templated {
				value = text(alert, strings.TrimSuffix(field, "}}"))
				require.NotEmpty(t, value, "%s: the alert has no %s", search.Label, p.Field)
			}
			filter = append(filter, map[string]any{"term": map[string]any{p.Field: value}})
		}
		if strings.Contains(b[1], `"signal"`) {
			continue // among the alerts of Elastic Security
		}
		filter = append(filter, map[string]any{"term": map[string]any{"event.action": "exec"}})
		query := map[string]any{"bool": map[string]any{"filter": filter}}
		answer := node.Search(t, "logs-*-"+namespace, map[string]any{"query": query})
		total, err := mapstr.M(answer).GetValue("hits.total.value")
		require.NoError(t, err)
		require.NotZero(t, total, "%s opens nothing", search.Label)
	}
}

// askWhatKibanaAsks runs the query of every panel, control, saved query and rule over the documents of a namespace.
// Each must find something.
func askWhatKibanaAsks(t *testing.T, node *stack.Node, namespace string) {
	c := exec.Command("go", "-C", "../tools", "run", "./kibana", "queries")
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	require.NoError(t, err, complaint.String())
	questions := 0
	for line := range strings.Lines(string(out)) {
		var q struct {
			Name, Index string
			Search      map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(line), &q))
		if q.Search == nil {
			continue // a rule in ES|QL, which the node does not have
		}
		questions++
		answer := node.Search(t, strings.TrimSuffix(strings.TrimSuffix(q.Index, "*"), "-")+"*-"+namespace, q.Search)
		total, err := mapstr.M(answer).GetValue("hits.total.value")
		require.NoError(t, err)
		assert.NotZero(t, total, "%s finds nothing", q.Name)
		aggregations, _ := answer["aggregations"].(map[string]any)
		empty := slices.DeleteFunc(emptyBuckets("", aggregations), func(name string) bool {
			return strings.HasPrefix(name, "time/visit/") // of one visit: not each has every part
		})
		assert.Empty(t, empty, "%s: these aggregations find nothing", q.Name)
	}
	require.Greater(t, questions, 30)
}

// emptyBuckets are the names of the aggregations that found nothing: no bucket, or no value in any bucket.
func emptyBuckets(prefix string, aggregations map[string]any) []string {
	found, all := map[string]bool{}, map[string]bool{}
	var compare func(prefix string, aggregations map[string]any)
	compare = func(prefix string, aggregations map[string]any) {
		for name, v := range aggregations {
			a, ok := v.(map[string]any)
			if !ok || name == "key" { // that of a composite aggregation's bucket
				continue
			}
			all[prefix+name] = true
			buckets, _ := a["buckets"].([]any)
			if keyed, ok := a["buckets"].(map[string]any); ok {
				buckets = slices.Collect(maps.Values(keyed))
			}
			for _, b := range buckets {
				if b, ok := b.(map[string]any); ok && b["doc_count"] != 0.0 {
					found[prefix+name] = true
					compare(prefix+name+"/", b)
				}
			}
			if _, has := a["buckets"]; !has && a["value"] != nil {
				found[prefix+name] = true
			}
			for _, several := range []string{"values", "hits", "top", "doc_count"} {
				if a[several] != nil {
					found[prefix+name] = true
				}
			}
		}
	}
	compare(prefix, aggregations)
	var empty []string
	for name := range all {
		if !found[name] {
			empty = append(empty, name)
		}
	}
	slices.Sort(empty)
	return empty
}

// elsewhere are the fields that only other tests fill.
var elsewhere = map[string]bool{
	"reconbeat.anomaly.learning":   true, // before anything is known
	"reconbeat.ancestry.user.name": true, // of this host's own accounts: live tests do
	// Of sources that report exits, of a second tool in a session, and of long command lines: package engine's tests do.
	"reconbeat.activity.before.exit_code":    true,
	"reconbeat.activity.before.technique.id": true,
	"reconbeat.activity.after.exit_code":     true,
	"reconbeat.activity.truncated":           true,
	// Of this host's own executables: package engine's tests and live tests do.
	"reconbeat.executable.state": true, "reconbeat.executable.unread": true, "reconbeat.executable.script": true,
	"reconbeat.executable.package.name": true, "reconbeat.executable.package.version": true,
	"reconbeat.executable.parent.state": true, "reconbeat.executable.parent.unread": true,
	"reconbeat.executable.parent.script":       true,
	"reconbeat.executable.parent.package.name": true, "reconbeat.executable.parent.package.version": true,
	// Of this host's own accounts: package engine's tests and live tests do.
	"reconbeat.account.class":                      true,
	"reconbeat.account.shell":                      true,
	"reconbeat.account.groups":                     true,
	"reconbeat.account.password.state":             true,
	"reconbeat.account.password.changed":           true,
	"reconbeat.account.expires":                    true,
	"reconbeat.account.expired":                    true,
	"reconbeat.account.unread":                     true,
	"reconbeat.account.sudo.rules":                 true,
	"reconbeat.account.sudo.all":                   true,
	"reconbeat.account.sudo.nopasswd":              true,
	"reconbeat.account.sudo.truncated":             true,
	"reconbeat.account.sudo.incomplete":            true,
	"reconbeat.account.authorized_keys.changed":    true,
	"reconbeat.account.authorized_keys.count":      true,
	"reconbeat.account.authorized_keys.unread":     true,
	"reconbeat.account.files.passwd":               true,
	"reconbeat.account.files.shadow":               true,
	"reconbeat.account.files.group":                true,
	"reconbeat.account.files.sudoers":              true,
	"reconbeat.account.changes.time":               true,
	"reconbeat.account.changes.action":             true,
	"reconbeat.account.changes.group.name":         true,
	"reconbeat.account.changes.user.id":            true,
	"reconbeat.account.changes.user.name":          true,
	"reconbeat.account.changes.process.name":       true,
	"reconbeat.account.changes.source.ip":          true,
	"reconbeat.account.refused_logins.count":       true,
	"reconbeat.account.refused_logins.first":       true,
	"reconbeat.account.refused_logins.last":        true,
	"reconbeat.account.refused_logins.source.ip":   true,
	"reconbeat.account.refused_logins.from_source": true,
	"reconbeat.account.logins_from_source.count":   true, "reconbeat.account.logins_from_source.first": true,
	"reconbeat.account.logins_from_source.last": true, "reconbeat.account.logins_from_source.since": true,
	"reconbeat.account.logins_from_source.other_users": true, "source.port": true,
	"reconbeat.alert.truncated": true, // of hostile arguments
	// Of those who tamper with the kernel's audit: module auditd's live tests do.
	"reconbeat.tampering.text": true, "reconbeat.tampering.record": true,
}

// TestStackIsInstalledByTheOutput has an output find templates missing, older, and forbidden.
func TestStackIsInstalledByTheOutput(t *testing.T) {
	h := newHost(t)
	node := stack.Start(t)
	es := node.Elasticsearch(t)
	const template = "/_index_template/logs-fresh.process@template"
	config := oneModule + toElasticsearch(es,
		"installed") + "reconbeat: {dataset: fresh, events: all, heartbeat.period: 0}\n"
	shipped := 0
	ship := func() *run {
		t.Helper()
		r := h.start(config)
		h.Exec("root", "ss -s")
		shipped++
		h.eventually(func() bool { return r.stat("journal.committed") >= 1 && r.stat("journal.pending") == 0 },
			"it does not ship:\n%s", r.log)
		require.NoError(t, r.end(syscall.SIGTERM))
		require.Len(t, node.Documents(t, "logs-fresh.process-installed"), shipped)
		return r
	}
	installed := func() map[string]any {
		list := node.Request(t, http.MethodGet, template, nil)["index_templates"].([]any)
		return list[0].(map[string]any)["index_template"].(map[string]any)
	}

	r := ship()
	require.Contains(t, r.log.All(), "were missing or older, and are installed")
	require.EqualValues(t, 1000, installed()["version"])
	require.NotContains(t, ship().log.All(), "are installed", "what is there is left as it is")

	older := installed()
	older["version"] = 1
	// Elasticsearch 9 says when a template was made and changed, and does not take that back.
	maps.DeleteFunc(older, func(name string, _ any) bool { return strings.Contains(name, "_date") })
	node.Request(t, http.MethodPut, template, older)
	ship()
	require.EqualValues(t, 1000, installed()["version"])

	es.SetFault(stack.Fault{Forbidden: true})
	r = ship()
	require.Contains(t, r.log.All(), "the templates of the data streams are not installed")
	require.Contains(t, r.log.All(), "the user of the output may not install them: 403 Forbidden: ")
	require.NotRegexp(t, "action is unauthorized.*action is unauthorized", r.log.All(), "it is said once")
}

// TestStackTakesAnIndexAndAPipelineOfOnesOwn has a module's documents go where the module says, and by the pipeline
// that it names.
func TestStackTakesAnIndexAndAPipelineOfOnesOwn(t *testing.T) {
	h := newHost(t)
	h.learn()
	node, es := cluster(t, h)
	node.Request(t, http.MethodPut, "/_ingest/pipeline/ours",
		`{"processors": [{"set": {"field": "labels.by", "value": "ours"}}]}`)
	r := h.start(
		strings.Replace(oneModule, "id: documents,",
			`id: documents, pipeline: ours, index: "private-%{[event.dataset]}",`, 1) + toElasticsearch(es,
			"own") + "reconbeat.heartbeat.period: 0\n",
	)
	h.Exec("mallory", "ss -tunap")
	r.wait("detector.alerts", 1)
	h.eventually(func() bool { return r.stat("journal.committed") >= 2 && r.stat("journal.pending") == 0 },
		"not everything is acknowledged:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	for index, action := range map[string]string{"private-reconbeat.process": "exec",
		"private-reconbeat.alert": "alert"} {
		docs := node.Documents(t, index)
		require.Len(t, docs, 1, index)
		require.Equal(t, action, text(docs[0].Source, "event.action"))
		require.Equal(t, "ours", text(docs[0].Source, "labels.by"))
	}
	require.Empty(t, node.Documents(t, "logs-reconbeat.*-own"))
}

// TestStackKeepsWhatTheMappingRejects has documents refused by the mapping: each is kept with its reason, counted,
// logged, and settled.
func TestStackKeepsWhatTheMappingRejects(t *testing.T) {
	h := newHost(t)
	node, es := cluster(t, h)
	r := h.start(
		strings.Replace(oneModule, "id: documents,", "id: documents, fields_under_root: true, fields: {undeclared: 1},",
			1) +
			toElasticsearch(es, "refused") + "reconbeat.heartbeat.period: 0\n",
	)
	h.Exec("root", "ss -s", "netstat -rn")
	r.wait("output.rejected", 2)
	h.eventually(func() bool { return r.stat("journal.pending") == 0 && r.stat("health.documents_rejected") == 1 },
		"the rejected documents are not settled:\n%s", r.log)
	require.Zero(t, r.stat("output.rejected_lost"))
	require.NoError(t, r.end(syscall.SIGTERM))
	logs, err := filepath.Glob(
		filepath.Join(h.dir, "logs", "reconbeat-events-data*.ndjson"),
	) // what has documents in it libbeat logs by itself
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	logged, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	require.Contains(t, string(logged), "mapping set to strict, dynamic introduction of [undeclared]")

	require.Empty(t, node.Documents(t, "logs-reconbeat.process-refused"))
	kept := node.Documents(t, "logs-reconbeat.rejected-refused")
	require.Len(t, kept, 2)
	for _, d := range kept {
		doc := mapstr.M(d.Source)
		require.Contains(t, text(doc, "error.message"), "strict_dynamic_mapping_exception")
		require.Equal(t, "400", text(doc, "error.type"))
		require.NotEmpty(t, text(doc, "event.ingested"))
		var original mapstr.M
		require.NoError(t, json.NewDecoder(strings.NewReader(text(doc, "message"))).Decode(&original),
			"the whole document is there") // and a stray byte of libbeat's
		require.Equal(t, "root", text(original, "user.name"))
		require.Contains(t, text(original, "event.id"), "root-")
	}
}

// TestStackLosesNothingOnABadDay has Elasticsearch be down, slow, overloaded, or of two minds, and looks that in the
// end each document is there once.
func TestStackLosesNothingOnABadDay(t *testing.T) {
	const execs = 40
	for _, c := range []struct {
		name  string
		fault func() stack.Fault
	}{
		{name: "it is down", fault: func() stack.Fault { return stack.Fault{Down: true} }},
		{name: "it is slow", fault: func() stack.Fault { return stack.Fault{Delay: 300 * time.Millisecond} }},
		{
			name:  "it is overloaded (429)",
			fault: func() stack.Fault { return stack.Fault{Status: http.StatusTooManyRequests} },
		},
		{
			name:  "it is unavailable (503)",
			fault: func() stack.Fault { return stack.Fault{Status: http.StatusServiceUnavailable} },
		},
		{
			name: "it takes some and is too busy for others",
			fault: func() stack.Fault {
				var mu sync.Mutex
				asked := map[string]int{}
				return stack.Fault{Item: func(id string) int {
					mu.Lock()
					defer mu.Unlock()
					asked[id]++
					switch {
					case asked[id] > 2:
						return 0
					case id[0]%3 == 0:
						return http.StatusTooManyRequests
					case id[0]%3 == 1:
						return http.StatusServiceUnavailable
					}
					return 0
				}}
			},
		},
		{
			name:  "its answers are lost and it has what comes again (409)",
			fault: func() stack.Fault { return stack.Fault{Lost: true} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			node, es := cluster(t, h)
			namespace := fmt.Sprintf("bad_day_%d", time.Now().UnixNano())
			es.SetFault(c.fault())
			r := h.start(oneModule + toElasticsearch(es, namespace) + "reconbeat: {heartbeat.period: 0}\n")
			var commands []string
			for i := range execs {
				commands = append(commands, fmt.Sprintf("ss exec-%d", i))
			}
			h.Exec("root", commands...)
			r.wait("journal.committed", execs)
			tried := es.Attempts()
			h.eventually(func() bool { return es.Attempts() >= tried+2 || r.stat("journal.pending") == 0 },
				"the output does not try again:\n%s", r.log)
			es.SetFault(stack.Fault{})
			h.eventually(func() bool { return r.stat("journal.pending") == 0 }, "not everything is acknowledged:\n%s",
				r.log)
			require.Zero(t, r.stat("output.rejected")+r.stat("output.rejected_lost"))
			require.NoError(t, r.end(syscall.SIGTERM))
			var arrived []string
			for _, d := range node.Documents(t, "logs-reconbeat.process-"+namespace) {
				arrived = append(arrived, text(d.Source, "process.command_line"))
			}
			require.ElementsMatch(t, commands, arrived)
		})
	}
}
