// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
)

// An alert has what the same account ran before; what a service of another account ran is not in it.
func TestAnAlertHasWhatRanBefore(t *testing.T) {
	eng, shipped := testEngine(t, nil)
	webShell(eng)
	alerts := 0
	for _, doc := range *shipped {
		before, err := doc.Fields.GetValue(beforeField)
		if kind, _ := doc.Fields.GetValue("event.kind"); kind != "alert" {
			require.Error(t, err)
			continue
		}
		alerts++
		list := before.([]mapstr.M)
		require.Len(t, list, 2)
		require.Equal(t, "/usr/sbin/nginx -g daemon", list[0]["command_line"])
		require.Equal(t, mapstr.M{"name": "nginx"}, list[1]["parent"])
		require.True(t, strings.HasSuffix(list[1]["command_line"].(string), " …"))
	}
	require.Equal(t, 1, alerts)
}

func TestAnExceptionMayBeAboutWhatRanBefore(t *testing.T) {
	for value, alerts := range map[string]int{"nginx": 0, "apache2": 1} {
		eng, shipped := testEngine(t, nil)
		eng.SetControls(setOf(t, control.Condition{Field: beforeField + ".name", Is: control.Texts{value}}))
		webShell(eng)
		seen := 0
		for _, doc := range *shipped {
			if kind, _ := doc.Fields.GetValue("event.kind"); kind == "alert" {
				seen++
			}
		}
		require.Equal(t, alerts, seen, value)
	}
}

// Hostile and long arguments leave the latest execs, within the bound, and a mark; a rule's technique is named.
func TestActivityIsBounded(t *testing.T) {
	eng, _ := testEngine(t, nil)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 40 {
		e := execOf(at.Add(time.Duration(i)*time.Second), "www-data", "ss")
		e.User.ID, e.PID, e.PPID = 33, uint32(100+i), 1
		e.Args = []string{"ss", strings.Repeat("\x1b<script>\xff", 60)}
		eng.table.Observe(e)
	}
	e := execOf(at.Add(time.Minute), "www-data", "ss")
	e.User.ID, e.PID = 33, 999
	list, truncated := eng.activity(e)
	require.True(t, truncated)
	text, err := json.Marshal(list)
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), maxActivity+64)
	require.EqualValues(t, 139, list[len(list)-1]["pid"])
	require.Equal(t, mapstr.M{"id": []string{"T1049"}}, list[0]["technique"])
}
