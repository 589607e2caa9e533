// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/stack"
)

// alertsOfKibana is the mapping of an index of alerts, as far as it matters here: Elastic's is strict about the rest.
const alertsOfKibana = `{
  "aliases": {".alerts-security.alerts-%s": {"is_write_index": true}},
  "mappings": {"dynamic": false, "properties": {
    "@timestamp": {"type": "date"},
    "event": {"properties": {"id": {"type": "keyword"}, "kind": {"type": "keyword"}}},
    "kibana": {"properties": {"alert": {"properties": {
      "ancestors": {"properties": {"id": {"type": "keyword"}, "index": {"type": "keyword"}}},
      "original_event": {"properties": {"id": {"type": "keyword"}}},
      "workflow_reason": {"type": "keyword"}, "workflow_status": {"type": "keyword"},
      "workflow_tags": {"type": "keyword"}, "workflow_user": {"type": "keyword"}
    }}}}
  }}
}`

// promote makes an alert in Kibana's shape of one of ours: its own fields with dots in their names, ours as objects.
func promote(t *testing.T, node *stack.Node, index, id string, tags ...string) {
	node.Request(t, http.MethodPut, "/"+index+"/_doc/k-"+id+"?refresh=true", mapstr.M{
		"@timestamp": "2026-11-28T10:00:00.000Z",
		"event":      mapstr.M{"id": id, "kind": "signal", "module": "reconbeat"},
		"kibana.alert.ancestors": []mapstr.M{
			{"id": id, "type": "event", "index": ".ds-logs-reconbeat.alert-default-2026.11.28-000001", "depth": 0},
		},
		"kibana.alert.original_event.id": id, "kibana.alert.workflow_status": "open",
		"kibana.alert.workflow_tags": append([]string{}, tags...), "kibana.alert.rule.name": "Reconbeat alert",
	})
}

// mark changes an alert as Kibana's script does when an analyst tags or closes it.
func mark(t *testing.T, node *stack.Node, index, id, status, reason string, tags ...string) {
	node.Request(t, http.MethodPost, "/"+index+"/_update/k-"+id+"?refresh=true", mapstr.M{"script": mapstr.M{
		"source": "ctx._source['kibana.alert.workflow_status'] = params.status; " +
			"ctx._source['kibana.alert.workflow_tags'] = params.tags; " +
			"if (params.reason == '') { ctx._source.remove('kibana.alert.workflow_reason') } " +
			"else { ctx._source['kibana.alert.workflow_reason'] = params.reason }",
		"params": mapstr.M{"status": status, "tags": append([]string{}, tags...), "reason": reason},
	}})
}

// An analyst who never logs in to the host tags and closes alerts in Kibana. That teaches the service that runs, once,
// also after a restart; it is undone with the mark; what was said on the host goes before it; and nobody can say
// something of an alert that is not this host's.
func TestStackReadsFeedbackFromKibana(t *testing.T) {
	node := stack.Start(t)
	const space = "triage"
	index := ".internal.alerts-security.alerts-" + space + "-000001"
	h := newHost(t)
	h.learn()
	config := oneModule + theFile + fmt.Sprintf(
		"reconbeat.feedback.from_kibana: {hosts: ['%s'], space: %s, period: 1s}\n", node.URL(), space)
	r := h.start(config)
	h.Exec("mallory", "ss -tunap", "ss -tunap")
	h.Exec("eve", "ss -ltn", "ss -ltn")
	h.eventually(func() bool { return len(h.shipped("alert")) == 2 }, "no two alerts:\n%s", r.log)
	id, other := h.alertOf("mallory"), h.alertOf("eve")

	// No rule has made an alert in the space.
	r.wait("health.feedback_unread", 1)
	require.Contains(t, r.log.All(), "no such index [.alerts-security.alerts-"+space+"]")
	node.Request(t, http.MethodPut, "/"+index, fmt.Sprintf(alertsOfKibana, space))
	promote(t, node, index, id)
	promote(t, node, index, other)
	promote(t, node, index, "of-another-host", "True Positive")
	polls := r.stat("feedback.polls")
	r.wait("feedback.polls", polls+2)
	require.Equal(t, 0, r.stat("feedback.applied"))

	said := func(n int) mapstr.M {
		t.Helper()
		h.eventually(func() bool { return len(h.of("feedback", "an analyst in Kibana")) == n },
			"not said:\n%s", r.log)
		return h.of("feedback", "an analyst in Kibana")[n-1]
	}
	mark(t, node, index, id, "open", "", "False Positive")
	first := said(1)
	require.Equal(t, id, text(first, "reconbeat.alert.id"))
	require.Equal(t, "benign", text(first, "reconbeat.feedback.verdict"))
	require.Equal(t, "Kibana: False Positive", text(first, "reconbeat.feedback.note"))
	h.Exec("mallory", "ss -tunap")
	h.eventually(func() bool { return len(h.of("exec", "mallory")) == 3 }, "no third match:\n%s", r.log)
	require.Len(t, h.shipped("alert"), 2, "it is a habit")
	require.Equal(t, "benign", text(h.of("exec", "mallory")[2], "reconbeat.feedback.verdict"))

	// After a restart the same is not said again.
	require.NoError(t, r.end(syscall.SIGTERM))
	r = h.start(config)
	r.wait("feedback.polls", 3)
	require.Equal(t, 0, r.stat("feedback.applied"))
	require.Equal(t, 0, r.stat("health.feedback_unread"))

	// Taken away, and closed as malicious: it alerts again.
	mark(t, node, index, id, "open", "")
	require.Equal(t, "undone", text(said(2), "reconbeat.feedback.verdict"))
	h.eventually(func() bool { return h.output("feedback", "list") == "No feedback holds.\n" }, "it still holds")
	mark(t, node, index, id, "closed", "true_positive")
	require.Equal(t, "malicious", text(said(3), "reconbeat.feedback.verdict"))
	h.Exec("mallory", "ss -tunap")
	h.eventually(func() bool { return len(h.shipped("alert")) == 3 }, "no alert again:\n%s", r.log)

	// What is said on the host goes before, and the mark counts again when that is taken back.
	h.output("feedback", "--by", "carol", "--", other, "unsure")
	h.eventually(func() bool { return len(h.of("feedback", "carol")) == 1 }, "it does not ship:\n%s", r.log)
	mark(t, node, index, other, "closed", "false_positive")
	r.wait("feedback.polls", r.stat("feedback.polls")+2)
	require.Len(t, h.of("feedback", "an analyst in Kibana"), 3)
	h.output("feedback", "undo", "--by", "carol", "--", other)
	require.Equal(t, "benign", text(said(4), "reconbeat.feedback.verdict"))
	h.eventually(func() bool { return strings.Count(h.output("feedback", "list"), "Kibana:") == 2 }, "it is not saved")
	c, _ := h.command(oneModule+theFile, "feedback", "undo", "--", other)
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "it was said in Kibana")
	require.Equal(t, 2, r.stat("feedback.applied"), "of this run")
	require.Equal(t, 1, r.stat("feedback.undone"))
	require.NoError(t, r.end(syscall.SIGTERM))
}
