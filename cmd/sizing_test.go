// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// TestWhatADocumentCosts holds the figures of docs/sizing.md: how many bytes a document of each kind has when it is
// sent, and how many it takes in an index of our templates, merged to one segment, without replicas. The documents are
// real ones of a run, repeated as if of many hosts and moments.
func TestWhatADocumentCosts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	node, es := cluster(t, h)
	h.learn()
	r := h.start(theFile + oneModule + "reconbeat.heartbeat.period: 1s\n")
	h.Exec("root", "ss -tlnp")
	h.Exec("mallory", "ss -tunap")
	r.wait("journal.committed", 3)
	r.wait("heartbeats.made", 2)
	require.NoError(t, r.end(syscall.SIGTERM))

	samples := map[string]mapstr.M{}
	for _, doc := range h.documents() {
		if kind := text(doc, "data_stream.dataset"); text(doc, "event.type") != "[end]" {
			samples[kind] = doc
		}
	}
	// What docs/sizing.md says, with room for a longer name of a host or a kernel.
	for kind, most := range map[string]struct{ sent, kept int }{
		"reconbeat.health": {1300, 450}, "reconbeat.process": {2500, 900}, "reconbeat.alert": {9000, 2500},
	} {
		sample := samples[kind]
		require.NotNil(t, sample, kind)
		delete(sample, "@metadata")
		line, err := json.Marshal(sample)
		require.NoError(t, err)
		const n = 5000
		var bulk bytes.Buffer
		for i := range n {
			doc := sample.Clone()
			vary(doc, i)
			body, err := json.Marshal(doc)
			require.NoError(t, err)
			fmt.Fprintf(&bulk, "{\"create\":{\"_id\":\"%020d\"}}\n%s\n", i*7919, body)
		}
		stream := "logs-" + kind + "-sizing"
		answer, err := http.Post(es.URL()+"/"+stream+"/_bulk", "application/x-ndjson", &bulk)
		require.NoError(t, err)
		var result struct{ Errors bool }
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&result))
		answer.Body.Close()
		require.False(t, result.Errors)
		node.Request(t, http.MethodPost, "/"+stream+"/_forcemerge?max_num_segments=1&flush=true", nil)
		kept := 1 << 30 // the segments that were merged go after a while
		h.eventually(func() bool {
			node.Request(t, http.MethodPost, "/"+stream+"/_refresh", nil)
			stats := mapstr.M(node.Request(t, http.MethodGet, "/"+stream+"/_stats/store", nil))
			size, err := stats.GetValue("_all.primaries.store.size_in_bytes")
			require.NoError(t, err, "%v", stats)
			now := int(size.(float64)) / n
			settled := now == kept
			kept = now
			return settled && now < most.kept
		}, "%s: %d bytes a document are kept", kind, kept)
		t.Logf("%s: %d bytes sent, %d bytes kept", kind, len(line), kept)
		require.Less(t, len(line), most.sent, kind)
	}
}

// vary makes a document that of another host and moment.
func vary(doc mapstr.M, i int) {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	doc["@timestamp"] = time.Date(2026, 11, 1, 0, 0, i, i%1000*1e6, time.UTC).Format("2006-01-02T15:04:05.000Z")
	host := fmt.Sprintf("host-%03d", i%200)
	for field, v := range map[string]any{
		"host.name": host, "host.hostname": host, "agent.name": host, "data_stream.namespace": "sizing",
		"host.id":            fmt.Sprintf("%032x", (i%200)*104729),
		"agent.id":           fmt.Sprintf("%08x-0000-4000-8000-%012x", i%200, i%200),
		"agent.ephemeral_id": fmt.Sprintf("%08x-0000-4000-8000-%012x", i%200, i%200),
		"event.id":           fmt.Sprintf("%020x", random.Uint64()),
	} {
		put(doc, field, v)
	}
	for _, field := range []string{"reconbeat.health.execs", "reconbeat.health.matched", "reconbeat.health.uptime",
		"process.pid", "process.parent.pid", "event.duration"} {
		if has, _ := doc.HasKey(field); has {
			put(doc, field, random.IntN(100000))
		}
	}
	for _, field := range []string{"process.entity_id", "process.parent.entity_id", "reconbeat.visit.id",
		"reconbeat.episode.id"} {
		if has, _ := doc.HasKey(field); has {
			put(doc, field, fmt.Sprintf("%020x", random.Uint64()))
		}
	}
	for _, field := range []string{"reconbeat.anomaly.score", "reconbeat.anomaly.surprise", "reconbeat.anomaly.yearly",
		"reconbeat.anomaly.probability"} {
		if has, _ := doc.HasKey(field); has {
			put(doc, field, random.Float64()*100)
		}
	}
}
