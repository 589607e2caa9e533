// SPDX-License-Identifier: Apache-2.0

package datastream

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/dataset"
)

func fields(t *testing.T) []byte {
	data, err := os.ReadFile("../../fields.yml")
	require.NoError(t, err)
	return data
}

func setup(t *testing.T, yml string) (*Setup, error) {
	c, err := config.NewConfigWithYAML([]byte(yml), "test")
	require.NoError(t, err)
	return ReadSetup(beat.Info{Beat: "reconbeat", Version: "1.2.3", Logger: logp.NewNopLogger()}, c, fields(t))
}

func assets(t *testing.T, yml string, serverless bool) map[string]mapstr.M {
	s, err := setup(t, yml)
	require.NoError(t, err)
	list, err := s.Assets(serverless)
	require.NoError(t, err)
	made := map[string]mapstr.M{}
	for _, a := range list {
		text, err := json.Marshal(a.Body)
		require.NoError(t, err)
		for named := range strings.SplitSeq("@mappings @settings @lifecycle @final-pipeline", " ") {
			// Elasticsearch refuses a template that names what is not there yet.
			for _, part := range strings.Split(string(text), `"`) {
				if strings.HasSuffix(part, named) {
					require.Contains(t, names(made), part, "%s names it and comes first", a.Path())
				}
			}
		}
		var body mapstr.M
		require.NoError(t, json.Unmarshal(text, &body))
		made[a.Path()] = body
	}
	return made
}

func names(made map[string]mapstr.M) []string {
	var list []string
	for path := range made {
		list = append(list, path[strings.LastIndex(path, "/")+1:])
	}
	return list
}

func value(t *testing.T, m mapstr.M, path string) any {
	v, err := m.GetValue(path)
	require.NoError(t, err, path)
	return v
}

func TestEveryKindHasItsDataStream(t *testing.T) {
	made := assets(t, "reconbeat.dataset: acme", false)
	for _, k := range dataset.Kinds() {
		name := "acme." + string(k)
		template := made["/_index_template/logs-"+name+"@template"]
		require.Equal(t, []any{"logs-" + name + "-*"}, template["index_patterns"])
		require.Equal(t, name, value(t, template, "template.mappings.properties.data_stream.properties.dataset.value"))
		require.EqualValues(t, 1002003, template["version"])
		require.Equal(t, []any{"acme@custom"}, template["ignore_missing_component_templates"])
		composed := template["composed_of"].([]any)
		require.Equal(t, "acme@custom", composed[len(composed)-1], "what the user says comes last, and holds")
		require.Contains(t, composed, name+"@lifecycle")
		require.Equal(
			t,
			name+"@lifecycle",
			value(t, made["/_component_template/"+name+"@lifecycle"], "template.settings.index.lifecycle.name"),
		)
		kept := map[dataset.Kind]string{
			dataset.Alert: "365d", dataset.Process: "30d", dataset.Health: "7d", dataset.Rejected: "30d",
		}
		require.Equal(t, kept[k], value(t, made["/_ilm/policy/"+name+"@lifecycle"], "policy.phases.delete.min_age"))
	}
	require.Equal(t, "acme@final-pipeline",
		value(t, made["/_component_template/acme@settings"], "template.settings.index.final_pipeline"))
	pipeline := made["/_ingest/pipeline/acme@final-pipeline"]["processors"].([]any)
	require.Equal(t, "event.ingested", value(t, mapstr.M(pipeline[0].(map[string]any)), "set.field"))
	for i, target := range []string{"source.geo", "source.as"} {
		processor := mapstr.M(pipeline[1+i].(map[string]any))
		require.Equal(t, "ctx.source?.ip != null", value(t, processor, "geoip.if"), "others would be tagged, too")
		require.Equal(t, "source.ip", value(t, processor, "geoip.field"))
		require.Equal(t, target, value(t, processor, "geoip.target_field"))
		require.Equal(t, true, value(t, processor, "geoip.ignore_missing"))
	}
	mappings := value(t, made["/_component_template/acme@mappings"], "template.mappings.properties").(map[string]any)
	for path, want := range map[string]string{
		"@timestamp": "date", "process.properties.command_line": "wildcard",
		"process.properties.entry_leader.properties.name.fields.text": "match_only_text",
		"reconbeat.properties.anomaly.properties.score":               "float",
		"reconbeat.properties.episode.properties.start":               "date", "source.properties.ip": "ip",
		"source.properties.geo.properties.location": "geo_point", "source.properties.as.properties.number": "long",
	} {
		require.Equal(t, want, value(t, mapstr.M(mappings), path+".type"), path)
	}
	require.Equal(t, false, value(t, mapstr.M(mappings), "reconbeat.dynamic"))
}

func TestServerlessHasTheLifecycleOfDataStreams(t *testing.T) {
	made := assets(t, "", true)
	require.Equal(t, "365d",
		value(t, made["/_component_template/reconbeat.alert@lifecycle"], "template.lifecycle.data_retention"))
	for path := range made {
		require.NotContains(t, path, "_ilm")
	}
}

func TestDocumentsAreKeptForEverWithoutLifecycle(t *testing.T) {
	for path, body := range assets(t, "setup.ilm.enabled: false", false) {
		require.NotContains(t, path+body.String(), "lifecycle")
	}
}

func TestTheSettingsOfTheUserHold(t *testing.T) {
	made := assets(t, "setup.template.settings.index: {number_of_shards: 3, refresh_interval: 1m}", false)
	settings := made["/_component_template/reconbeat@settings"]
	require.EqualValues(t, 3, value(t, settings, "template.settings.index.number_of_shards"))
	require.Equal(t, "1m", value(t, settings, "template.settings.index.refresh_interval"))
	require.Equal(t, "best_compression", value(t, settings, "template.settings.index.codec"))
}

func TestWhereADocumentGoes(t *testing.T) {
	inStream := mapstr.M{
		"data_stream": mapstr.M{"type": "logs", "dataset": "acme.alert", "namespace": "prod"},
		"event":       mapstr.M{"kind": "alert"},
	}
	for _, c := range []struct {
		name, output string
		meta         mapstr.M
		want         string
	}{
		{name: "to its data stream", output: "{}", want: "logs-acme.alert-prod"},
		{name: "to the index of the output", output: "index: Private-%{[event.kind]}", want: "private-alert"},
		{
			name: "to the index of the output whose condition holds",
			output: "indices: [{index: others, when.equals.event.kind: event}, {index: alerts, " +
				"when.equals.event.kind: alert}]",
			want: "alerts",
		},
		{
			name:   "to its data stream when no condition holds",
			output: "indices: [{index: others, when.equals.event.kind: event}]", want: "logs-acme.alert-prod",
		},
		{
			name: "to the index of its module", output: "index: private", meta: mapstr.M{"raw_index": "Module"},
			want: "module",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := setup(t, "")
			require.NoError(t, err)
			output, err := config.NewConfigWithYAML([]byte(c.output), "test")
			require.NoError(t, err)
			sel, err := s.Support().BuildSelector(output)
			require.NoError(t, err)
			index, err := sel.Select(&beat.Event{Fields: inStream.Clone(), Meta: c.meta})
			require.NoError(t, err)
			require.Equal(t, c.want, index)
		})
	}
}
