// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/stack"
)

// fleetHost is the name of a host of the fleet.
func fleetHost(i int) string { return fmt.Sprintf("host-%05d", i) }

// fleetHeartbeats sends a heartbeat of each host that alive names, all in the minute of at, in an order that changes
// with the round.
func fleetHeartbeats(
	t *testing.T, node *stack.Node, at time.Time, round, hosts int, alive func(i int) bool, lost func(i int) int,
) {
	const batch = 2500
	for first := 0; first < hosts; first += batch {
		var bulk bytes.Buffer
		for i := first; i < first+batch; i++ {
			if !alive(i) {
				continue
			}
			after := time.Duration((i*7919+round*104729)%59000) * time.Millisecond
			stamp := at.Add(after).UTC().Format("2006-01-02T15:04:05.000Z")
			fmt.Fprintf(&bulk, `{"create":{}}`+"\n"+
				`{"@timestamp":%q,"event":{"dataset":"reconbeat.health","kind":"metric"},"host":{"name":%q},`+
				`"data_stream":{"type":"logs","dataset":"reconbeat.health","namespace":"fleet"},`+
				`"reconbeat":{"health":{"status":"healthy","lost":%d}}}`+"\n", stamp, fleetHost(i), lost(i))
		}
		answer := node.Request(t, http.MethodPost, "/logs-reconbeat.health-fleet/_bulk", bulk.String())
		require.Equal(t, false, answer["errors"], "%v", answer)
	}
	node.Request(t, http.MethodPost, "/logs-*/_refresh", nil) // a search sees them from now on
}

// answersOf are the answers to the panels of a dashboard, by their names.
func answersOf(t *testing.T, dashboard string, flags ...string) map[string]panelAnswer {
	args := []string{"-C", "../tools", "run", "./kibana", "answers", "-only", dashboard}
	c := exec.Command("go", append(args, flags...)...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	require.NoError(t, err, complaint.String())
	answers := map[string]panelAnswer{}
	for line := range strings.Lines(string(out)) {
		var a panelAnswer
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		answers[strings.TrimPrefix(a.Name, dashboard+"/")] = a
	}
	return answers
}

// panelAnswer is what a node said to a panel's question: to a search its answer, to ES|QL the rows of the table.
type panelAnswer struct {
	Name   string           `json:"name"`
	Answer map[string]any   `json:"answer,omitempty"`
	Rows   []map[string]any `json:"rows,omitempty"`
}

// TestStackFindsTheSilentOfTenThousandHosts has the fleet's data stream rolled over, with three hosts that have been
// silent since, and two that lose events in either index.
func TestStackFindsTheSilentOfTenThousandHosts(t *testing.T) {
	h := newHost(t)
	node, es := cluster(t, h)
	const hosts = 10_000
	silent := map[string]bool{fleetHost(17): true, fleetHost(4711): true, fleetHost(9999): true}
	all := func(int) bool { return true }
	losers := map[int]int{3: 40, 8000: 50}
	lost := func(i int) int { return losers[i] }
	now := time.Now().Truncate(time.Minute)
	fleetHeartbeats(t, node, now.Add(-11*time.Hour), 1, hosts, all, lost)
	fleetHeartbeats(t, node, now.Add(-10*time.Hour), 2, hosts, all, lost)
	node.Request(t, http.MethodPost, "/logs-reconbeat.health-fleet/_rollover", nil)
	fleetHeartbeats(t, node, now.Add(-2*time.Minute), 3, hosts, func(i int) bool { return !silent[fleetHost(i)] }, lost)

	// What terms make of it, ordered by the last heartbeat, shows hosts that live as silent for ten hours: that the
	// panels are right is not an accident of this fleet. How many depends on which host lies in which shard.
	terms := node.Search(t, "logs-reconbeat.health-fleet", json.RawMessage(`{"size": 0, "aggs": {"host": {
		"terms": {"field": "host.name", "size": 500, "order": {"seen": "asc"}},
		"aggs": {"seen": {"max": {"field": "@timestamp"}}}}}}`))
	wrong := 0
	for _, b := range terms["aggregations"].(map[string]any)["host"].(map[string]any)["buckets"].([]any) {
		bucket := b.(map[string]any)
		seen := time.UnixMilli(int64(bucket["seen"].(map[string]any)["value"].(float64)))
		if now.Sub(seen) > time.Hour && !silent[bucket["key"].(string)] {
			wrong++
		}
	}
	require.Positive(t, wrong)

	answers := answersOf(t, "reconbeat-sensor-health", "-node", es.URL(), "-namespace", "fleet",
		"-from", now.Add(-24*time.Hour).Format(time.RFC3339), "-to", now.Format(time.RFC3339))
	require.Equal(t, []map[string]any{{"hosts": 1.0 * hosts}}, answers["reporting"].Rows)
	require.Equal(t, []map[string]any{{"hosts": 3.0}}, answers["silent-hosts"].Rows)
	table := answers["silent"].Rows
	require.Len(t, table, 1000, "as many as the panel shows")
	for i, row := range table {
		seen := time.UnixMilli(int64(row["seen"].(float64)))
		require.Equal(t, i < 3, silent[row["host.name"].(string)], "%v", row)
		require.Equal(t, i < 3, now.Sub(seen) > time.Hour, "%v", row)
	}
	losses := answers["losses-by-host"].Rows
	require.Len(t, losses, 2)
	for i, want := range []struct {
		host string
		lost float64
	}{{fleetHost(8000), 150}, {fleetHost(3), 120}} {
		require.Equal(t, want.host, losses[i]["host.name"])
		require.Equal(t, want.lost, losses[i]["lost"])
	}
	sensors := answers["sensors"].Answer["aggregations"].(map[string]any)["host"].(map[string]any)["buckets"].([]any)
	require.Len(t, sensors, 1000)
	for i, b := range sensors {
		require.Equal(t, fleetHost(i), b.(map[string]any)["key"], "by name, which every shard agrees on")
	}
}
