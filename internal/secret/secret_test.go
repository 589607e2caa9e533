// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSecretsAreKnownByTheNamesOfSettings(t *testing.T) {
	for _, c := range []struct {
		key         string
		value, want any
	}{
		{"cloud.auth", "elastic:changeme", Hidden},
		{"cloud", map[string]any{"auth": "elastic:changeme", "id": "x"}, map[string]any{"auth": Hidden, "id": "x"}},
		{"output.elasticsearch.PASSWORD", "changeme", Hidden},
		{"output.kafka.password", 1234, Hidden},
		{"a", []any{map[string]any{"api_key": "k"}, "https://u:p@h"},
			[]any{map[string]any{"api_key": Hidden}, "https://" + Hidden + "@h"}},
		{"headers", map[string]any{"x": map[string]any{"y": true}}, map[string]any{"x": map[string]any{"y": Hidden}}},
		{"password", "${ES_PWD}", "${ES_PWD}"},
		{"password", "${ES_PWD:changeme}", Hidden},
		{"password", nil, nil},
		{"username", "elastic", "elastic"},
		{"reconbeat.notify", []any{map[string]any{"id": "chat", "webhook": map[string]any{
			"url": "https://hooks.slack.com/services/T0/B0/x", "shape": "slack", "proxy_url": "http://u:p@h",
			"variables": map[string]any{"routing_key": "k", "team": "${TEAM}"},
		}}}, []any{map[string]any{"id": "chat", "webhook": map[string]any{
			"url": Hidden, "shape": "slack", "proxy_url": "http://" + Hidden + "@h",
			"variables": map[string]any{"routing_key": Hidden, "team": "${TEAM}"},
		}}}},
		{"reconbeat.notify.webhook.url", "${SLACK_URL}", "${SLACK_URL}"},
		{"workers", 3, 3},
	} {
		assert.Equal(t, c.want, Mask(c.key, c.value), c.key)
	}
}
