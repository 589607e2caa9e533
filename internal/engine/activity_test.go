// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"

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
		before, err := doc.Fields.GetValue("reconbeat.activity.before")
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
		eng.SetControls(setOf(t, control.Condition{Field: "reconbeat.activity.before.name", Is: control.Texts{value}}))
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
