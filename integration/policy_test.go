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
	for _, stream := range Streams {
		tests, err := filepath.Glob(filepath.Join(dir, "data_stream", stream, "_dev/test/policy/test-*.yml"))
		require.NoError(t, err)
		require.NotEmpty(t, tests, stream)
		for _, file := range tests {
			name := strings.TrimSuffix(filepath.Base(file), ".yml")
			t.Run(stream+" "+name, func(t *testing.T) {
				test := read[struct {
					Vars       map[string]any `yaml:"vars"`
					DataStream struct {
						Vars map[string]any `yaml:"vars"`
					} `yaml:"data_stream"`
				}](t, file)
				vars := map[string]any{}
				for _, given := range []map[string]any{test.Vars, test.DataStream.Vars} {
					for name, v := range given {
						vars[name] = v
					}
				}
				input := render(t, stream, vars)
				input["data_stream"] = map[string]any{"dataset": "reconbeat." + stream, "type": "logs"}
				permissions := map[string]any{
					"_elastic_agent_checks":     map[string]any{"cluster": []any{"monitor"}},
					"_elastic_agent_monitoring": map[string]any{"indices": []any{}},
					"uuid-for-permissions-on-related-indices": map[string]any{
						"indices": []any{
							map[string]any{
								"names":      []any{"logs-reconbeat." + stream + "-ep"},
								"privileges": []any{"auto_configure", "create_doc"},
							},
						},
					},
				}
				policy := map[string]any{
					"inputs": []any{
						map[string]any{
							"data_stream": map[string]any{
								"namespace": "ep",
							},
							"meta":       map[string]any{"package": map[string]any{"name": "reconbeat"}},
							"name":       name + "-reconbeat",
							"streams":    []any{input},
							"type":       "filestream",
							"use_output": "default",
						},
					},
					"output_permissions": map[string]any{"default": permissions},
					"secret_references":  []any{},
				}
				expected := strings.TrimSuffix(file, ".yml") + ".expected"
				if *update {
					text, err := yaml.Marshal(policy)
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(expected, text, 0o644))
				}
				require.Equal(t, read[map[string]any](t, expected), policy)
			})
		}
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
		assert.Equal(t, "filestream", m.Streams[0].Input)
	}
}

func TestThePackageHasReconbeatsVersion(t *testing.T) {
	assert.Equal(t, cmd.Version, read[fleet.Manifest](t, filepath.Join(dir, "manifest.yml")).Version)
	assert.Equal(t, cmd.Version, read[[]fleet.Manifest](t, filepath.Join(dir, "changelog.yml"))[0].Version)
}
