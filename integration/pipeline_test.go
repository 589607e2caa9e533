// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/integration/fleet"
	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/stack"
)

// events are the documents of a pipeline test, expected those that it is to make of them.
type (
	events   struct{ Events []map[string]any }
	expected struct{ Expected []map[string]any }
)

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, v), file)
}

// installPipeline gives the node a data stream's pipeline under the name that Fleet would give it.
func installPipeline(t *testing.T, node *stack.Node, stream string) string {
	t.Helper()
	pipeline := read[map[string]any](t,
		filepath.Join(dir, "data_stream", stream, "elasticsearch/ingest_pipeline/default.yml"))
	name := "logs-reconbeat." + stream + "-" + read[fleet.Manifest](t, filepath.Join(dir, "manifest.yml")).Version
	require.NoError(t, stack.WithoutDatabases(pipeline))
	node.Request(t, http.MethodPut, "/_ingest/pipeline/"+name, pipeline)
	return name
}

// TestPipelines runs the ingest pipelines on a real node over the documents in _dev/test/pipeline, and compares as
// elastic-package does: fields that are dynamic must match their pattern, everything else must be equal. With -update
// it also writes the sample events, of what the pipelines made.
func TestPipelines(t *testing.T) {
	node := stack.Start(t)
	for _, stream := range append(slices.Clone(Streams), string(dataset.Rejected)) {
		pipeline := installPipeline(t, node, stream)
		folder := filepath.Join(dir, "data_stream", stream, "_dev/test/pipeline")
		dynamic := read[struct {
			Fields map[string]string `yaml:"dynamic_fields"`
		}](t, filepath.Join(folder, "test-common-config.yml")).Fields
		tests, err := filepath.Glob(filepath.Join(folder, "test-*.json"))
		require.NoError(t, err)
		ran := 0
		for _, file := range tests {
			if strings.HasSuffix(file, "-expected.json") {
				continue
			}
			ran++
			t.Run(stream+" "+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				var given events
				readJSON(t, file, &given)
				var docs []any
				for _, event := range given.Events {
					docs = append(docs,
						map[string]any{"_index": "logs-reconbeat." + stream + "-default", "_source": event})
				}
				answer := node.Request(t, http.MethodPost, "/_ingest/pipeline/"+pipeline+"/_simulate",
					map[string]any{"docs": docs})
				var made []map[string]any
				for _, d := range answer["docs"].([]any) {
					doc, ok := d.(map[string]any)["doc"].(map[string]any)
					require.True(t, ok, "%v", d)
					made = append(made, withDatabases(doc["_source"].(map[string]any)))
				}
				if *update && strings.HasSuffix(file, "test-recording.json") {
					writeJSON(t, filepath.Join(dir, "data_stream", stream, "sample_event.json"), made[0])
				}
				for _, doc := range made {
					for field, pattern := range dynamic {
						assert.Regexp(t, regexp.MustCompile(pattern), text(doc, field), field)
						_ = mapstr.M(doc).Delete(field)
					}
				}
				if *update {
					writeJSON(t, file+"-expected.json", map[string]any{"expected": made})
				}
				var want expected
				readJSON(t, file+"-expected.json", &want)
				require.Equal(t, want.Expected, made)
			})
		}
		require.NotZero(t, ran, "%s has no pipeline test", stream)
	}
}

// withDatabases takes out of a document the tags of databases that are not there: elastic-package's Elasticsearch has
// them, and finds none of the tests' addresses in them.
func withDatabases(doc map[string]any) map[string]any {
	tags, _ := doc["tags"].([]any)
	tags = slices.DeleteFunc(tags, func(tag any) bool {
		return strings.HasPrefix(tag.(string), stack.DatabaseUnavailable)
	})
	if doc["tags"] = tags; len(tags) == 0 {
		delete(doc, "tags")
	}
	return doc
}

// mappings makes of a data stream's fields what Fleet makes of them, and refuses what they do not declare.
func mappings(t *testing.T, stream string) map[string]any {
	t.Helper()
	properties := map[string]any{}
	for _, file := range []string{"base-fields.yml", "ecs.yml", "fields.yml"} {
		fields, err := readFields(filepath.Join(dir, "data_stream", stream, "fields", file))
		require.NoError(t, err)
		for name, f := range fields {
			p := map[string]any{"type": f.Type}
			if f.ScalingFactor != 0 {
				p["scaling_factor"] = f.ScalingFactor
			}
			switch f.Type {
			case "constant_keyword":
				p["value"] = map[string]string{"data_stream.type": "logs", "data_stream.dataset": "reconbeat." + stream,
					"data_stream.namespace": "policy"}[name] + f.Value
			case "object":
				p["dynamic"] = true
			}
			for _, m := range f.MultiFields {
				p["fields"] = map[string]any{m.Name: map[string]any{"type": m.Type}}
			}
			properties[name] = p
		}
	}
	return map[string]any{"dynamic": "strict", "date_detection": false, "properties": properties}
}

// TestTheAgentsDocumentsAreIndexedOnce has an Agent's Filebeat ship what reconbeat wrote to a real node with the
// package's mappings, strict, and its pipelines: twice, the second time by an Agent that has forgotten what it read.
func TestTheAgentsDocumentsAreIndexedOnce(t *testing.T) {
	node := stack.Start(t)
	for _, stream := range Streams {
		node.Request(t, http.MethodPut, "/_index_template/logs-reconbeat."+stream, map[string]any{
			"index_patterns": []any{"logs-reconbeat." + stream + "-policy"},
			"data_stream":    map[string]any{},
			"priority":       200,
			"template": map[string]any{
				"settings": map[string]any{
					"index.default_pipeline": installPipeline(t, node, stream),
					"number_of_replicas":     0,
				},
				"mappings": mappings(t, stream),
			},
		})
	}
	from := recorded(t)
	es := node.Elasticsearch(t)
	wrote := documents(t, from)
	for _, forgot := range []bool{false, true} {
		home := t.TempDir()
		socket := filepath.Join(home, "http.sock")
		p := start(t, "filebeat", home, map[string]any{
			"filebeat.inputs":      inputs(t, from, nil),
			"output.elasticsearch": map[string]any{"hosts": []any{es.URL()}},
			"setup": map[string]any{
				"template.enabled": false,
				"ilm.enabled":      false,
			},
			"http": map[string]any{"enabled": true, "host": "unix://" + socket},
		})
		counter := "acked"
		if forgot {
			counter = "duplicates"
		}
		eventually(t, "Elasticsearch has every document", func() bool {
			return beattest.Metric(socket, "libbeat.output.events."+counter) >= len(wrote)
		})
		require.Zero(t, beattest.Metric(socket, "libbeat.output.events.dropped"))
		p.end()
	}
	indexed := map[string]map[string]any{}
	for _, stream := range Streams {
		for _, doc := range node.Documents(t, "logs-reconbeat."+stream+"-policy") {
			require.NotContains(t, indexed, doc.ID)
			indexed[doc.ID] = doc.Source
		}
	}
	require.Len(t, indexed, len(wrote))
	for _, direct := range wrote {
		doc := indexed[text(direct, "@metadata._id")]
		require.NotNil(t, doc)
		ingested, err := time.Parse(time.RFC3339Nano, text(doc, "event.ingested"))
		require.NoError(t, err)
		assert.False(t, ingested.IsZero())
		tagged := strings.Contains(fmt.Sprint(doc["tags"]), stack.DatabaseUnavailable)
		assert.Equal(t, text(doc, "source.ip") != "", tagged, "only an address is looked up: %v", doc["tags"])
		for _, name := range []string{"@timestamp", "event.id", "event.kind", "event.action", "message",
			"process.command_line", "host.id", "agent.version"} {
			assert.Equal(t, text(direct, name), text(doc, name), name)
		}
	}
}
