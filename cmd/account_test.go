// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"strings"
	"testing"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// An alert's page says what the account may do and what was changed about it; a hostile name reaches no terminal.
func TestThePageSaysWhatAnAccountMayDo(t *testing.T) {
	var out strings.Builder
	printAlert(&out, &beat.Event{Fields: mapstr.M{"reconbeat": mapstr.M{"account": mapstr.M{
		"class": "person", "shell": "/bin/bash", "groups": []any{"ann", "sudo"}, "expired": true,
		"password":        mapstr.M{"state": "set", "changed": "2026-11-20T00:00:00.000Z"},
		"sudo":            mapstr.M{"rules": []any{"(ALL : ALL) NOPASSWD: ALL", "(root) /bin/\x1b[2J"}},
		"authorized_keys": mapstr.M{"changed": "2026-11-25T20:52:03.000Z", "count": int64(2)},
		"changes": []any{
			map[string]any{
				"time": "2026-11-25T20:52:01.113Z", "action": "created", "user": map[string]any{"id": "1000", "name": "mallory"},
				"process": map[string]any{"name": "useradd"}, "source": map[string]any{"ip": "203.0.113.5"},
			},
			map[string]any{
				"time": "2026-11-25T20:52:02.113Z", "action": "joined-group", "group": map[string]any{"name": "sudo"},
				"user": map[string]any{"id": "0"},
			},
		},
		"logins_from_source": mapstr.M{
			"count": int64(0), "since": "2026-01-15T06:25:00.000Z", "other_users": []any{"bob", "eve"},
		},
		"refused_logins": mapstr.M{
			"count": int64(14), "last": "2026-11-25T20:50:12.000Z", "source": mapstr.M{"ip": "203.0.113.5"},
			"from_source": int64(31),
		},
	}}}})
	_, account, found := strings.Cut(out.String(), "\nAccount ")
	require.True(t, found)
	account, _, _ = strings.Cut(account, "\nCommand ")
	require.Equal(t, strings.TrimSpace(`
      person, shell /bin/bash, groups ann sudo, password set, set on 2026-11-20, EXPIRED
May by sudo   (ALL : ALL) NOPASSWD: ALL
              (root) /bin/`+"\ufffd"+`[2J
Keys          changed 2026-11-25T20:52:03.000Z, number 2
Changed       2026-11-25T20:52:01.113Z, created, by mallory, with useradd, from 203.0.113.5
              2026-11-25T20:52:02.113Z, joined-group sudo, by uid 0
Address       logins from it before 0, others from there bob eve, the history begins 2026-01-15T06:25:00.000Z
Refused       logins 14, the last 2026-11-25T20:50:12.000Z, from 203.0.113.5, from this address in all 31
`), strings.TrimSpace(account))
}
