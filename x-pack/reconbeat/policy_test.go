// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-client/v7/pkg/proto"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// setting is a line of the reference that is a setting in a comment; prose has one blank after the #.
var setting = regexp.MustCompile(`^(\s*)#(\S.*|  .*)$`)

// reference is policy.reference.yml with every setting out of its comment: an input.
func reference(t *testing.T) map[string]any {
	text, err := os.ReadFile("policy.reference.yml")
	require.NoError(t, err)
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := setting.FindStringSubmatch(line); m != nil {
			line = m[1] + m[2]
		}
		b.WriteString(line + "\n")
	}
	var policy struct{ Inputs []map[string]any }
	require.NoError(t, yaml.Unmarshal([]byte(b.String()), &policy), b.String())
	require.Len(t, policy.Inputs, 1)
	return policy.Inputs[0]
}

// TestTheReferenceOfPoliciesIsTrue has every setting of it read by whoever reads it, and an Agent run one of its
// streams with everything that its input says.
func TestTheReferenceOfPoliciesIsTrue(t *testing.T) {
	input := reference(t)
	text, err := yaml.Marshal(input)
	require.NoError(t, err)
	a := newAgent(t)
	configs, err := modules(a.unit(proto.UnitType_INPUT, string(text)).Config, nil)
	require.NoError(t, err)
	require.Len(t, configs, 1+len(catalog.All()), "auto and every module")
	for _, c := range configs {
		s, err := config.ParseStream(c.Config)
		require.NoError(t, err)
		require.NotEmpty(t, s.Whole.Detector.Rules)
		require.Empty(t, s.Unknown)
		_, err = config.ParseModule(s.Module)
		require.NoError(t, err)
	}
	given := configs[0].Config.FlattenedKeys()
	for _, key := range config.WholeBeat {
		require.True(t, slices.ContainsFunc(given, func(k string) bool { return strings.HasPrefix(k, key) }),
			"%s is missing", key)
	}

	h := newHost(t)
	input["streams"] = slices.DeleteFunc(input["streams"].([]any),
		func(s any) bool { return s.(map[string]any)["module"] != "ndjson" })
	input["streams"].([]any)[0].(map[string]any)["paths"] = []any{h.input()}
	input["id"] = "in"
	// No Kibana is here to be asked, and the reference has two ways to log in to one.
	input["feedback.from_kibana"].(map[string]any)["enabled"] = false
	text, err = yaml.Marshal(input)
	require.NoError(t, err)
	r := h.start(a)
	a.expect(h.output(a, "out"), a.unit(proto.UnitType_INPUT, string(text)))
	a.wait(r, "in", "HEALTHY", "Healthy")
	require.NoError(t, r.signal(syscall.SIGTERM))
}

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
			configs, err := modules((&agent{t: t}).unit(proto.UnitType_INPUT, row.input).Config, nil)
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
	_, err := modules((&agent{t: t}).unit(proto.UnitType_INPUT, "{id: in, type: reconbeat}").Config, nil)
	require.EqualError(t, err, `input "in" has no streams; each stream is a module`)
}
