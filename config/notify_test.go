// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/notify"
)

func parse(text string) (Config, error) {
	c, err := conf.NewConfigWithYAML([]byte(text), "test")
	if err != nil {
		return Config{}, err
	}
	return Parse(c)
}

// Targets have their defaults, and come in the order of the list.
func TestTargetsAreRead(t *testing.T) {
	cfg, err := parse(`
notify:
- {id: slack, min_score: 50, webhook: {url: "https://hooks.example/1", shape: slack}}
- {id: central, rules: [a, b], per_hour: 5, syslog.network: tls, syslog.address: "syslog.example:6514"}
- {id: hook, program: {path: /usr/local/lib/hook, user: alice, timeout: 5s}}
`)
	require.NoError(t, err)
	items, err := cfg.Targets()
	require.NoError(t, err)
	require.Equal(t, []notify.Item{
		{ID: "slack", MinScore: 50, PerHour: 60, Webhook: &notify.Webhook{URL: "https://hooks.example/1", Shape: "slack"}},
		{
			ID: "central", Rules: []string{"a", "b"}, PerHour: 5,
			Syslog: &notify.Syslog{Network: "tls", Address: "syslog.example:6514"},
		},
		{ID: "hook", PerHour: 60, Program: &notify.Program{Path: "/usr/local/lib/hook", User: "alice", Timeout: 5e9}},
	}, items)
	cfg, err = parse("events: all")
	require.NoError(t, err)
	items, err = cfg.Targets()
	require.NoError(t, err)
	require.Empty(t, items, "there are none unless somebody lists them")
}

// Everything that is wrong with all targets is reported at once, with its path, its value and what is allowed; a URL,
// which is a secret, is not shown.
func TestAllThatIsWrongWithTargetsIsReported(t *testing.T) {
	_, err := parse(`
notify:
- {id: slack, min_score: 101, per_hour: many, webhook: {url: s3cret, shape: xml, variable: {a: b}}}
- {id: slack, syslog: {network: sctp, address: x}, program: {path: hook}}
- {syslog: {address: "a:514", timeout: soon}, rules: {a: b}}
- {id: pager, webhook: {url: "https://x", shape: pagerduty}}
- {id: typo, wehbook: {url: "https://x"}}
`)
	require.EqualError(t, err, `reconbeat.notify.0.per_hour: "many" is not allowed; it must be a whole number
reconbeat.notify.0.webhook.variable: no such setting; known here are headers, proxy_url, shape, ssl, template, `+
		`timeout, url, variables
reconbeat.notify.0.min_score: 101 is not allowed; it must be 0 to 100
reconbeat.notify.0.webhook.url: is missing, or not allowed; it must be a URL that begins with http:// or https://
reconbeat.notify.0.webhook.shape: "xml" is not allowed; it must be json, slack, teams or pagerduty
reconbeat.notify.1.webhook: 2 of webhook, syslog and program are set; it must be exactly one
reconbeat.notify.1.syslog.network: "sctp" is not allowed; it must be udp, tcp, tls, unix
reconbeat.notify.1.syslog.address: "x" is not allowed; it must be host:port
reconbeat.notify.1.program.path: "hook" is not allowed; it must be an absolute path
reconbeat.notify.1.id: "slack" is used already in reconbeat.notify.0; choose another
reconbeat.notify.2.syslog.timeout: "soon" is not allowed; it must be a duration such as 90s, 15m or 24h
reconbeat.notify.2.rules: a mapping is not allowed; it must be a list
reconbeat.notify.2.id: "" is not allowed; it must be letters, digits, -, _ and ., at most 64
reconbeat.notify.3.webhook.variables.routing_key: is missing; it must be the integration key of the service
reconbeat.notify.4.wehbook: no such setting; known here are id, min_score, per_hour, program, rules, syslog, webhook
reconbeat.notify.4.webhook: 0 of webhook, syslog and program are set; it must be exactly one`)
}
