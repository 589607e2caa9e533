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
