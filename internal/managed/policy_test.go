// SPDX-License-Identifier: Apache-2.0

package managed_test

import (
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/agenttest"
	"github.com/reconbeat/reconbeat/internal/managed"
)

// TestEachStreamIsAModule holds that each stream of a policy is a module that has the settings of the whole Beat.
func TestEachStreamIsAModule(t *testing.T) {
	for _, row := range []struct {
		name, input string
		want        []mapstr.M
	}{
		{
			name: "what the input says is copied into every stream",
			input: "{id: in, type: reconbeat, detector: {model: rare}, events: none, data_stream: {namespace: dmz}, " +
				"streams: [{id: a, module: auditd}, {id: b, module: ndjson, paths: [/x]}]}",
			want: []mapstr.M{
				{"id": "a", "module": "auditd", "events": "none", "namespace": "dmz",
					"detector": map[string]any{"model": "rare"}},
				{"id": "b", "module": "ndjson", "paths": []any{"/x"}, "events": "none", "namespace": "dmz",
					"detector": map[string]any{"model": "rare"}},
			},
		},
		{
			name: "what a stream says itself stays",
			input: "{id: in, type: reconbeat, detector: {model: rare, actor: user}, events: none, streams: [{id: a, " +
				"module: auditd, events: all, detector: {model: context}, data_stream: {dataset: x, namespace: lab}}]}",
			want: []mapstr.M{{"id": "a", "module": "auditd", "events": "all", "namespace": "lab",
				"detector": map[string]any{"model": "context", "actor": "user"}}},
		},
		{
			name:  "a stream without an id gets its place",
			input: "{id: in, type: reconbeat, streams: [{module: auditd}, {module: ndjson}]}",
			want:  []mapstr.M{{"id": "in.0", "module": "auditd"}, {"id": "in.1", "module": "ndjson"}},
		},
		{
			name: "the input's processors run before the stream's",
			input: "{id: in, type: reconbeat, processors: [{a: 1}], streams: [{id: a, module: ndjson, processors: " +
				"[{b: 2}]}, {id: c, module: ndjson}]}",
			want: []mapstr.M{
				{"id": "a", "module": "ndjson", "processors": []any{map[string]any{"a": 1.0},
					map[string]any{"b": 2.0}}},
				{"id": "c", "module": "ndjson", "processors": []any{map[string]any{"a": 1.0}}},
			},
		},
		{
			name: "what the Agent and Fleet put into an input is theirs",
			input: "{id: in, original_id: i, type: reconbeat, name: n, revision: 3, policy: {revision: 7}, " +
				"package_policy_id: p, meta: {package: {name: reconbeat}}, data_stream: {namespace: dmz}, streams: " +
				"[{id: a, module: auditd}]}",
			want: []mapstr.M{{"id": "a", "module": "auditd", "namespace": "dmz"}},
		},
		{
			name: "a dotted key is a path, as in a Beat's file",
			input: "{id: in, type: reconbeat, detector.model: rare, detector: {actor: user}, data_stream.namespace: dmz, " +
				"detector.threshold: 30, streams: [{id: a, module: auditd, data_stream.dataset: x, detector.model: context}, " +
				"{id: b, module: ndjson, data_stream.namespace: lab, processors: [{drop_event.when.equals.user.name: eve}]}]}",
			want: []mapstr.M{
				{"id": "a", "module": "auditd", "namespace": "dmz",
					"detector": map[string]any{"model": "context", "actor": "user", "threshold": 30.0}},
				{"id": "b", "module": "ndjson", "namespace": "lab",
					"detector": map[string]any{"model": "rare", "actor": "user", "threshold": 30.0},
					"processors": []any{map[string]any{"drop_event": map[string]any{"when": map[string]any{
						"equals": map[string]any{"user": map[string]any{"name": "eve"}}}}}}},
			},
		},
		{
			name: "what nobody knows is named in every stream",
			input: "{id: in, type: reconbeat, tags: [x], detectr: {model: rare}, streams: [{id: a, module: auditd}, " +
				"{id: b, module: auditd}]}",
			want: []mapstr.M{{"id": "a", "module": "auditd", "unknown": []any{"detectr", "tags"}}, {"id": "b",
				"module": "auditd", "unknown": []any{"detectr", "tags"}}},
		},
		{
			name: "whoever edits a policy runs no program on a host, and gets no alert of its",
			input: "{id: in, type: reconbeat, notify: [{id: hook, program: {path: /bin/sh}}], " +
				"streams: [{id: a, module: auditd}]}",
			want: []mapstr.M{{"id": "a", "module": "auditd", "unknown": []any{"notify"}}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			configs, err := managed.Modules(agenttest.Configuration(t, row.input))
			require.NoError(t, err)
			var got []mapstr.M
			for _, c := range configs {
				var m map[string]any
				require.NoError(t, c.Config.Unpack(&m))
				got = append(got, m)
			}
			require.Equal(t, row.want, got)
		})
	}
	_, err := managed.Modules(agenttest.Configuration(t, "{id: in, type: reconbeat}"))
	require.EqualError(t, err, `input "in" has no streams; each stream is a module`)
}
