// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"
)

func stream(t *testing.T, yaml string) *conf.C {
	c, err := conf.NewConfigWithYAML([]byte(yaml), "policy")
	require.NoError(t, err)
	return c
}

func TestAStreamIsAModuleAndSettingsOfTheWholeBeat(t *testing.T) {
	s, err := ParseStream(stream(t,
		"{id: a, unknown: [detectr, tags], module: ndjson, paths: [/a], events: none, namespace: dmz, detector: "+
			"{model: rare, rules: [{id: network-connection-discovery, threshold: 50}]}}"))
	require.NoError(t, err)
	cfg := s.Whole
	require.Equal(t, EventsNone, cfg.Events)
	require.Equal(t, "dmz", cfg.Namespace)
	require.Equal(t, "rare", cfg.Detector.Model)
	require.Len(t, cfg.Detector.Rules, 1)
	require.Equal(t, Default().Detector.Habit, cfg.Detector.Habit)
	require.ElementsMatch(t, []string{"id", "module", "paths"}, s.Module.GetFields())
	require.Equal(t, []string{"detectr", "tags"}, s.Unknown)

	_, err = ParseStream(stream(t, "{module: ndjson, events: some, detector: {modle: rare}}"))
	require.ErrorContains(t, err, `reconbeat.events: "some" is not allowed`)
	require.ErrorContains(t, err, "reconbeat.detector.modle: no such setting")
}

// Streams differ by the settings that they have; what one leaves out has its default.
func TestStreamsDifferBySettings(t *testing.T) {
	for _, row := range []struct {
		name, a, b string
		want       []string
	}{
		{name: "nothing and nothing", a: "{module: ndjson}", b: "{module: auditd}"},
		{name: "the default and nothing", a: "{detector.model: context}", b: "{}"},
		{name: "one time in two words", a: "{detector.bucket_span: 15m}", b: "{detector.bucket_span: 900s}"},
		{name: "two models", a: "{detector.model: rare}", b: "{}", want: []string{"detector.model"}},
		{
			name: "several", a: "{detector: {model: rare, episode.idle: 5m}, events: none}",
			b: "{namespace: dmz, heartbeat.period: 0, dataset: mine}",
			want: []string{
				"dataset", "detector.episode.idle", "detector.model", "events", "heartbeat.period", "namespace",
			},
		},
		{
			name: "the same rule", a: "{detector.rules: [{id: a, threshold: 5}]}",
			b: "{detector.rules: [{id: a, threshold: 5}]}",
		},
		{
			name: "another threshold", a: "{detector.rules: [{id: a, threshold: 5}]}",
			b: "{detector.rules: [{id: a, threshold: 6}]}", want: []string{"detector.rules.a.threshold"},
		},
		{
			name: "a rule and none", a: "{detector.rules: [{id: a, enabled: true}]}", b: "{}",
			want: []string{"detector.rules.a.enabled"},
		},
		{name: "a rule of which nothing is said", a: "{detector.rules: [{id: a}]}", b: "{}"},
		{
			name: "the rules in another order", a: "{detector.rules: [{id: a, threshold: 5}, {id: b, threshold: 6}]}",
			b: "{detector.rules: [{id: b, threshold: 6}, {id: a, threshold: 5}]}",
		},
		{
			name: "a rule in one piece and in two", a: "{detector.rules: [{id: a, threshold: 5, enabled: true}]}",
			b: "{detector.rules: [{id: a, threshold: 7}, {id: a, enabled: true}, {id: a, threshold: 5}]}",
		},
		{
			name: "rules without a name", a: "{detector.rules: [{threshold: 5}]}",
			b: "{detector.rules: [{threshold: 6}]}", want: []string{"detector.rules.0.threshold"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, err := ParseStream(stream(t, row.a))
			require.NoError(t, err)
			b, err := ParseStream(stream(t, row.b))
			require.NoError(t, err)
			differences, err := Differences(a.Whole, b.Whole)
			require.NoError(t, err)
			var keys []string
			for _, d := range differences {
				keys = append(keys, d.Key)
				require.NotEqual(t, d.Value, d.Other)
			}
			require.Equal(t, row.want, keys)
		})
	}
}
