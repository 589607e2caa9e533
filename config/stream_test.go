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
	s, err := ParseStream(stream(t, "{id: a, unknown: [detectr, tags], module: ndjson, paths: [/a], events: none, namespace: dmz, detector: {model: rare, rules: [{id: network-connection-discovery, threshold: 50}]}}"))
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

func TestStreamsDisagreeBySettingsAndNotByWhatTheyLeaveOut(t *testing.T) {
	for _, row := range []struct {
		name, a, b string
		want       []string
	}{
		{"nothing and nothing", "{module: ndjson}", "{module: auditd}", nil},
		{"the default and nothing", "{detector.model: context}", "{}", nil},
		{"one time in two words", "{detector.bucket_span: 15m}", "{detector.bucket_span: 900s}", nil},
		{"two models", "{detector.model: rare}", "{}", []string{"detector.model"}},
		{"several", "{detector: {model: rare, episode.idle: 5m}, events: none}", "{namespace: dmz, heartbeat.period: 0, dataset: mine}", []string{"dataset", "detector.episode.idle", "detector.model", "events", "heartbeat.period", "namespace"}},
		{"the same rule", "{detector.rules: [{id: a, threshold: 5}]}", "{detector.rules: [{id: a, threshold: 5}]}", nil},
		{"another threshold", "{detector.rules: [{id: a, threshold: 5}]}", "{detector.rules: [{id: a, threshold: 6}]}", []string{"detector.rules.a.threshold"}},
		{"a rule and none", "{detector.rules: [{id: a, enabled: true}]}", "{}", []string{"detector.rules.a.enabled"}},
		{"a rule of which nothing is said", "{detector.rules: [{id: a}]}", "{}", nil},
		{"the rules in another order", "{detector.rules: [{id: a, threshold: 5}, {id: b, threshold: 6}]}", "{detector.rules: [{id: b, threshold: 6}, {id: a, threshold: 5}]}", nil},
		{"a rule in one piece and in two", "{detector.rules: [{id: a, threshold: 5, enabled: true}]}", "{detector.rules: [{id: a, threshold: 7}, {id: a, enabled: true}, {id: a, threshold: 5}]}", nil},
		{"rules without a name", "{detector.rules: [{threshold: 5}]}", "{detector.rules: [{threshold: 6}]}", []string{"detector.rules.0.threshold"}},
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
