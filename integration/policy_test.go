// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/cmd"
	"github.com/reconbeat/reconbeat/integration/fleet"
)

// TestPolicies makes of the variables in _dev/test/policy what an Agent's policy says, and compares it with what is
// expected, in the form that elastic-package's policy tests have: those need a Kibana, these do not.
func TestPolicies(t *testing.T) {
	p, err := fleet.Read(dir)
	require.NoError(t, err)
	for _, stream := range p.Template.DataStreams {
		tests, err := filepath.Glob(filepath.Join(dir, "data_stream", stream, "_dev/test/policy/test-*.yml"))
		require.NoError(t, err)
		require.NotEmpty(t, tests, stream)
		for _, file := range tests {
			name := strings.TrimSuffix(filepath.Base(file), ".yml")
			t.Run(stream+" "+name, func(t *testing.T) {
				policy := tested(t, p, name, stream, file)
				expected := strings.TrimSuffix(file, ".yml") + ".expected"
				if *update {
					text, err := yaml.Marshal(policy)
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(expected, text, 0o644))
				}
				text, err := yaml.Marshal(policy)
				require.NoError(t, err)
				want, err := os.ReadFile(expected)
				require.NoError(t, err)
				require.YAMLEq(t, string(want), string(text))
			})
		}
	}
}

// tested is the policy of an Agent that a file of _dev/test/policy makes, in which nothing but one stream is on.
func tested(t *testing.T, p *fleet.Package, name, stream, file string) map[string]any {
	t.Helper()
	test := read[struct {
		Input      string         `yaml:"input"`
		Vars       map[string]any `yaml:"vars"`
		DataStream struct {
			Vars map[string]any `yaml:"vars"`
		} `yaml:"data_stream"`
	}](t, file)
	policy := p.Defaults("policy", "ep")
	for i := range policy.Inputs {
		in := &policy.Inputs[i]
		in.Enabled = in.Type == test.Input
		for j := range in.Streams {
			in.Streams[j].Enabled = in.Enabled && in.Streams[j].Dataset == "reconbeat."+stream
		}
	}
	for _, given := range []map[string]any{test.Vars, test.DataStream.Vars} {
		for option, value := range given {
			require.NoError(t, policy.Set(test.Input, option, value))
		}
	}
	inputs, err := p.Inputs(policy)
	require.NoError(t, err)
	require.Len(t, inputs, 1)
	input := inputs[0]
	for _, key := range []string{"id", "revision", "package_policy_id"} { // another one each time, for elastic-package
		delete(input, key)
	}
	input["name"] = name + "-reconbeat"
	input["meta"] = map[string]any{"package": map[string]any{"name": p.Name}}
	for _, s := range input["streams"].([]any) {
		delete(s.(map[string]any), "id")
	}
	permissions, err := p.Permissions(policy)
	require.NoError(t, err)
	var indices []any
	for _, one := range permissions {
		indices = append(indices, map[string]any{"names": []any{one.Name}, "privileges": one.Privileges})
	}
	return map[string]any{
		"inputs": []any{input},
		"output_permissions": map[string]any{"default": map[string]any{
			"_elastic_agent_checks":                   map[string]any{"cluster": []any{"monitor"}},
			"_elastic_agent_monitoring":               map[string]any{"indices": []any{}},
			"uuid-for-permissions-on-related-indices": map[string]any{"indices": indices},
		}},
		"secret_references": []any{},
	}
}

func TestTheDataStreamsDifferInNameOnly(t *testing.T) {
	for _, name := range []string{"agent/stream/filestream.yml.hbs", "fields/base-fields.yml"} {
		first, err := os.ReadFile(filepath.Join(dir, "data_stream", Streams[0], name))
		require.NoError(t, err)
		for _, stream := range Streams[1:] {
			other, err := os.ReadFile(filepath.Join(dir, "data_stream", stream, name))
			require.NoError(t, err)
			assert.Equal(t, string(bytes.ReplaceAll(first, []byte(Streams[0]), []byte(stream))), string(other))
		}
	}
	for _, stream := range Streams {
		m := read[fleet.Manifest](t, filepath.Join(dir, "data_stream", stream, "manifest.yml"))
		assert.Equal(t, "reconbeat."+stream, m.Dataset)
	}
}

func TestThePackageHasReconbeatsVersion(t *testing.T) {
	assert.Equal(t, cmd.Version, read[fleet.Manifest](t, filepath.Join(dir, "manifest.yml")).Version)
	assert.Equal(t, cmd.Version, read[[]fleet.Manifest](t, filepath.Join(dir, "changelog.yml"))[0].Version)
}
