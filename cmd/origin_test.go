// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// An alert's page says in words where its tool and the parent come from; a hostile path reaches no terminal.
func TestThePageSaysWhereAToolComesFrom(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		fields mapstr.M
		want   string
	}{
		"as installed": {
			mapstr.M{"state": "unmodified", "package": mapstr.M{"name": "iproute2", "version": "6.1"}},
			"package iproute2 6.1, as installed, SHA-256 " + sum,
		},
		"changed": {
			mapstr.M{"state": "modified", "package": mapstr.M{"name": "iproute2", "version": "6.1"}},
			"package iproute2 6.1, MODIFIED, SHA-256 " + sum,
		},
		"no checksum": {
			mapstr.M{"state": "unverified", "package": mapstr.M{"name": "iproute2"}},
			"package iproute2, which has no checksum of it, SHA-256 " + sum,
		},
		"nobody's": {mapstr.M{"state": "unowned"}, "of no package, SHA-256 " + sum},
		"a script": {mapstr.M{"script": "/tmp/\x1b[2J"}, "script /tmp/\ufffd[2J, SHA-256 " + sum},
		"unknown":  {mapstr.M{"state": "unknown", "unread": "late"}, "SHA-256 " + sum + ", not read: late"},
	} {
		t.Run(name, func(t *testing.T) {
			hash := mapstr.M{"hash": mapstr.M{"sha256": sum}}
			var out strings.Builder
			printAlert(&out, &beat.Event{Fields: mapstr.M{
				"process": hash, "reconbeat": mapstr.M{"executable": c.fields},
			}})
			require.Contains(t, out.String(), "\nOrigin        "+c.want+"\n")
			require.NotContains(t, out.String(), "\x1b")
		})
	}
}
