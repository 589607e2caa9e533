// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"
)

func TestAnEmptyFileIsTheDefault(t *testing.T) {
	c, err := Parse(nil)
	require.NoError(t, err)
	require.Equal(t, Default(), c)
	require.NoError(t, c.check())
}

// Every wrong setting is reported at once, with its path, its value and what is allowed.
func TestEveryWrongSettingIsReported(t *testing.T) {
	_, err := Parse(conf.MustNewConfigFrom(`
events: some
namespace: My-Space
dataset: logs-x
detector:
  model: magic
  actor: nobody
  timezone: Mars/Olympus
  bucket_span: 7m
  max_users: 3
  episode.idle: 48h
  treshold: 3
  learn_for: -1h
  half_life: 1h
  habit: {days: 0, span: -1s}
heartbeat.period: 10ms
config.modules.reload: {enabled: true, period: 1ms}
`))
	for _, want := range []string{
		`reconbeat.events: "some" is not allowed; it must be matched, all or none`,
		`reconbeat.namespace: "My-Space" is not allowed`,
		`reconbeat.dataset: "logs-x" is not allowed`,
		`reconbeat.detector.model: "magic" is not allowed; it must be context or rare`,
		`reconbeat.detector.learn_for: -1h0m0s is not allowed; it must be 0 to 720h`,
		`reconbeat.detector.half_life: 1h0m0s`,
		`reconbeat.detector.habit.days: 0`,
		`reconbeat.detector.habit.span: -1s`,
		`reconbeat.detector.actor: "nobody"`,
		`reconbeat.detector.timezone: "Mars/Olympus"`,
		`reconbeat.detector.bucket_span: 7m0s`,
		`reconbeat.detector.max_users: 3`,
		`reconbeat.detector.episode.idle: 48h0m0s`,
		`reconbeat.detector.treshold: no such setting; known here are`,
		`reconbeat.heartbeat.period: 10ms is not allowed; it must be 1s to 24h, or 0 for none`,
		`reconbeat.config.modules.reload.period: 1ms`,
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestListsAndNestedNamesAreKnown(t *testing.T) {
	c, err := Parse(conf.MustNewConfigFrom(`
modules: [{module: auditd, processors: [{add_locale: ~}], tags: [a]}]
config.modules.path: modules.d/*.yml
detector.rules: [{id: x, threshold: 50}]
events: none
`))
	require.NoError(t, err)
	require.Len(t, c.Modules, 1)
	m, err := ParseModule(c.Modules[0])
	require.NoError(t, err)
	require.Equal(t, "auditd", m.ID)
	require.Equal(t, []string{"a"}, m.Tags)
	require.Len(t, m.Processors, 1)
}

func TestAModuleWithoutANameIsRefused(t *testing.T) {
	_, err := ParseModule(conf.MustNewConfigFrom(`{tags: [a]}`))
	require.ErrorContains(t, err, "module: is missing")
}
