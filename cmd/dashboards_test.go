// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/stack"
)

// The week that the dashboards are looked at for: of simulated hosts that have been watched for a month, and four of
// which are attacked in it.
var (
	weekFrom = time.Date(2024, 4, 4, 0, 0, 0, 0, time.UTC)
	weekTo   = weekFrom.AddDate(0, 0, 7)
)

// ofTheWeek finds the documents of the week without decoding the others.
var ofTheWeek = regexp.MustCompile(`^\{"@timestamp":"2024-04-(0[4-9]|10)T`)

// attackedHosts are kinds of simulated hosts. On web, a stolen account looks at night, while agents look every few
// minutes and other people by day.
const attackedHosts = "web,build,application,automation,oncall"

// workplace is a host on which everything that runs is seen, and its seed; in the week an intruder works under the
// account of one of its people.
const (
	workplace     = "workplace"
	workplaceSeed = "12"
)

// approved is the control of that week: root's work on automation-1 is approved, and its alert held back.
const approved = `
- id: OPS-4711
  name: Kernel update on automation-1
  conditions: [{field: host.name, is: automation-1}, {field: user.name, is: root}]
`

// index puts documents into their data streams, in the namespace.
func index(t *testing.T, node *stack.Node, namespace string, docs []mapstr.M) {
	var bulk bytes.Buffer
	send := func() {
		if bulk.Len() > 0 {
			answer := node.Request(t, http.MethodPost, "/_bulk", bulk.String())
			require.Equal(t, false, answer["errors"], "%v", answer)
			bulk.Reset()
		}
	}
	for _, doc := range docs {
		put(doc, "data_stream.namespace", namespace)
		line, err := json.Marshal(doc)
		require.NoError(t, err)
		dataset := text(doc, "data_stream.dataset")
		fmt.Fprintf(&bulk, `{"create":{"_index":"logs-%s-%s"}}`+"\n%s\n", dataset, namespace, line)
		if bulk.Len() > 4<<20 {
			send()
		}
	}
	send()
	node.Request(t, http.MethodPost, "/logs-*/_refresh", nil) // a search sees them from now on
}

// attackedWeek is what reconbeat ships of the week.
func attackedWeek(t *testing.T, h *host) (docs []mapstr.M) {
	dir := t.TempDir()
	for kinds, seed := range map[string]string{attackedHosts: "1", workplace: workplaceSeed} {
		out, err := exec.Command("go", "-C", "../internal/evaluation", "run", ".", "-write", dir, "-kinds", kinds,
			"-from", seed, "-to", seed, "-days", "40").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	recordings, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	require.NoError(t, err)
	require.Len(t, recordings, strings.Count(attackedHosts, ",")+2)
	controls := filepath.Join(h.dir, "exceptions.d")
	require.NoError(t, os.Mkdir(controls, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(controls, "approved.yml"), []byte(approved), 0o600))
	for _, recording := range recordings {
		c, _ := h.command("", "replay", "--module", "ndjson", "--events", "--format", "ndjson", recording)
		out, err := c.Output()
		require.NoError(t, err)
		for line := range bytes.Lines(out) {
			if !ofTheWeek.Match(line) {
				continue // most are of the month before
			}
			var doc mapstr.M
			require.NoError(t, json.Unmarshal(line, &doc))
			at, err := time.Parse(time.RFC3339, text(doc, "@timestamp"))
			if err == nil && !at.Before(weekFrom) && at.Before(weekTo) {
				docs = append(docs, doc)
			}
		}
	}
	return docs
}

// heartbeatsOfAFleet are those of the week's last day, every five minutes: one host falls silent, one loses events, one
// has a full disk.
func heartbeatsOfAFleet() (docs []mapstr.M) {
	for i := range 40 {
		name := fmt.Sprintf("web-%d", i+1)
		for at := weekTo.AddDate(0, 0, -1); at.Before(weekTo); at = at.Add(5 * time.Minute) {
			execs := 900 + 300*((at.Hour()+18)%24)/24 + 37*i%101
			doc := mapstr.M{"@timestamp": at.Add(time.Duration(i) * time.Second).Format(time.RFC3339)}
			for field, value := range map[string]any{
				"event.dataset": "reconbeat.health", "event.kind": "metric", "host.name": name,
				"data_stream.dataset": "reconbeat.health", "data_stream.type": "logs",
				"agent.version":           map[bool]string{true: "0.1.0", false: "0.2.0"}[i%7 == 0],
				"reconbeat.health.status": "healthy", "reconbeat.health.lag.ms": 4 + (at.Hour()*7+i)%9,
				"reconbeat.health.execs": execs, "reconbeat.health.matched": execs / 90,
				"reconbeat.health.lost": 0, "reconbeat.health.malformed": 0,
				"reconbeat.health.modules":        []string{"auditd"},
				"reconbeat.health.rules":          []string{"network-connection-discovery"},
				"reconbeat.health.model.age_days": 41 + i%5, "reconbeat.health.model.actors": 5 + i%4,
				"reconbeat.health.journal.pending": 0, "reconbeat.health.uptime": 86400 + at.Hour()*3600,
			} {
				put(doc, field, value)
			}
			switch {
			case i == 11 && at.After(weekTo.Add(-3*time.Hour)):
				continue
			case i == 23 && at.Hour() >= 9 && at.Hour() < 12:
				put(doc, "reconbeat.health.status", "degraded")
				put(doc, "reconbeat.health.conditions", []string{"events_lost"})
				put(doc, "reconbeat.health.lost", 40+at.Minute())
				put(doc, "reconbeat.health.lag.ms", 900)
			case i == 30 && at.Hour() >= 20:
				put(doc, "reconbeat.health.status", "degraded")
				put(doc, "reconbeat.health.conditions", []string{"state_not_written"})
			}
			docs = append(docs, doc)
		}
	}
	return docs
}

// TestStackShowsTheAttack looks at the dashboards for a week in which accounts of people are stolen and services broken
// into, among the thousands of matches of agents: what an analyst must see first is the attack. With RECONBEAT_ANSWERS,
// the answers go into that folder, for `tools/dashboards` to draw.
func TestStackShowsTheAttack(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	node, es := cluster(t, h)
	index(t, node, "attacks", attackedWeek(t, h))
	index(t, node, "attacks", heartbeatsOfAFleet())
	keep := os.Getenv("RECONBEAT_ANSWERS")
	ask := func(dashboard, query string, from time.Time) map[string]panelAnswer {
		answers := answersOf(t, dashboard, "-node", es.URL(), "-namespace", "attacks", "-query", query,
			"-from", from.Format(time.RFC3339), "-to", weekTo.Format(time.RFC3339))
		if keep != "" {
			text, err := json.Marshal(map[string]any{"from": from, "to": weekTo, "query": query, "answers": answers})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(keep, dashboard+".json"), text, 0o644))
		}
		return answers
	}
	health := ask("reconbeat-sensor-health", "", weekTo.AddDate(0, 0, -1))
	overview := ask("reconbeat-overview", "", weekFrom)
	investigation := ask("reconbeat-investigation", "host.name:web-1", weekFrom)
	// The last one is drawn.
	worked := ask("reconbeat-investigation", "host.name:"+workplace+"-"+workplaceSeed, weekFrom)

	// The stolen account of web-1: alice looks at 23:54 by way of ssh, which she never does.
	stolen := time.Date(2024, 4, 8, 23, 54, 48, 0, time.UTC)
	steps := func(a panelAnswer) []any {
		return a.Answer["aggregations"].(map[string]any)["time"].(map[string]any)["buckets"].([]any)
	}
	first := func(a panelAnswer, names ...string) map[string]any {
		at := a.Answer["aggregations"].(map[string]any)
		var bucket map[string]any
		for _, name := range names {
			bucket = at[name].(map[string]any)["buckets"].([]any)[0].(map[string]any)
			at = bucket
		}
		return bucket
	}
	value := func(bucket map[string]any, name string) float64 {
		v, _ := mapstr.M(bucket).GetValue(name + ".value")
		f, _ := v.(float64)
		return f
	}
	require.Equal(t, "alice", alertOf(t, overview["list"], stolen)["reconbeat.actor.name"])
	require.Greater(t, value(first(overview["top-actors"], "actor"), "score"), 90.0)
	require.Contains(t, []any{"web-1", "oncall-1", workplace + "-" + workplaceSeed},
		first(overview["top-hosts"], "host")["key"], "the hosts of stolen accounts")
	held := first(overview["held-back"], "control")
	require.Equal(t, "OPS-4711", held["key"])
	require.EqualValues(t, 1, held["doc_count"], "its alert once, without the repeats")
	require.Greater(t, value(held, "score"), 25.0)

	step := 3 * time.Hour
	var highest, scored float64
	for _, b := range steps(investigation["score-over-time"]) {
		bucket := b.(map[string]any)
		score := value(bucket, "score")
		if time.UnixMilli(int64(bucket["key"].(float64))).Equal(stolen.Truncate(step)) {
			scored = score
		} else {
			highest = max(highest, score)
		}
	}
	require.Greater(t, scored, 90.0, "the attack stands over the line")
	require.Less(t, highest, 25.0, "and nothing else does")

	// The parts that are drawn there are those of the match itself, whatever the agents did in the same three hours.
	match := hit(investigation["most-unusual"], 0)
	require.Equal(t, "alice", match["user"].(map[string]any)["name"])
	parts, err := mapstr.M(match).GetValue("reconbeat.anomaly.parts")
	require.NoError(t, err)
	drawn := map[string]any{}
	for _, b := range steps(investigation["score-parts"]) {
		bucket := b.(map[string]any)
		if !time.UnixMilli(int64(bucket["key"].(float64))).Equal(stolen.Truncate(step)) {
			continue
		}
		visits := bucket["visit"].(map[string]any)["buckets"].([]any)
		require.Len(t, visits, 1)
		for name, part := range visits[0].(map[string]any) {
			if v, ok := part.(map[string]any); ok && name != "ordering" && v["value"] != nil {
				drawn[name] = v["value"]
			}
		}
	}
	for name, part := range parts.(map[string]any) {
		require.InDelta(t, part, drawn[name], 0.011, "the part %s", name)
	}
	for panel, names := range map[string][]string{
		"commands": {"command"}, "parents": {"parent", "parent-path"}, "contexts": {"entry", "as"},
	} {
		score := value(first(investigation[panel], names...), "score")
		require.Greater(t, score, 90.0, "%s begins with the attack", panel)
	}
	var before, after []any
	for i := range worked["session"].Answer["hits"].(map[string]any)["hits"].([]any) {
		doc := mapstr.M(hit(worked["session"], i))
		for field, commands := range map[string]*[]any{"before": &before, "after": &after} {
			if ran, err := doc.GetValue("reconbeat.activity." + field); err == nil {
				*commands = append(*commands, ran.([]any)...)
			}
		}
	}
	require.NotEmpty(t, before, "what ran before the alert")
	require.NotEmpty(t, after, "what ran after it")
	require.Equal(t, []map[string]any{{"hosts": 1.0}}, health["silent-hosts"].Rows)
	require.Equal(t, "web-12", health["silent"].Rows[0]["host.name"])
	require.Equal(t, "web-24", health["losses-by-host"].Rows[0]["host.name"])
}

// hit is the document at a place of a list.
func hit(a panelAnswer, i int) map[string]any {
	return a.Answer["hits"].(map[string]any)["hits"].([]any)[i].(map[string]any)["_source"].(map[string]any)
}

// alertOf is the alert of a time in a list.
func alertOf(t *testing.T, a panelAnswer, at time.Time) mapstr.M {
	for i := range a.Answer["hits"].(map[string]any)["hits"].([]any) {
		doc := mapstr.M(hit(a, i))
		if found, err := time.Parse(time.RFC3339, text(doc, "@timestamp")); err == nil && found.Equal(at) {
			return doc.Flatten()
		}
	}
	require.Fail(t, "there is no alert", "at %s", at)
	return nil
}
