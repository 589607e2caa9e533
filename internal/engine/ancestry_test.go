// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
)

// webShell has a service's worker start a shell, and that a tool, after ten quiet days.
func webShell(eng *Engine) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for day := range 10 {
		at := start.AddDate(0, 0, day)
		eng.Advance(at)
		e := execOf(at, "root", "ss")
		e.User.ID, e.PID, e.PPID = 0, 900, 800
		e.Parent.Name = "agent"
		eng.Take(e, kernelSource)
	}
	at := start.AddDate(0, 0, 10)
	for i, command := range []string{
		"/usr/sbin/nginx -g daemon", "/bin/dash -c " + strings.Repeat("é", 600), "/usr/bin/ss -a",
	} {
		e := execOf(at.Add(time.Duration(i)*time.Second), "www-data", "ss")
		e.User.ID, e.Args = 33, strings.Fields(command)
		e.Executable = e.Args[0]
		e.Name = e.Executable[strings.LastIndexByte(e.Executable, '/')+1:]
		e.PID, e.PPID = uint32(100+i), uint32(99+i)
		if i == 0 {
			e.PPID = 1
		}
		eng.Take(e, kernelSource)
	}
}

// An alert has the processes through which its tool was started, the parent first; raw events do not.
func TestAnAlertHasItsAncestry(t *testing.T) {
	eng, shipped := testEngine(t, nil)
	webShell(eng)
	alerts := 0
	for _, doc := range *shipped {
		kind, err := doc.Fields.GetValue("event.kind")
		require.NoError(t, err)
		if kind != "alert" {
			require.Nil(t, doc.Fields["reconbeat"].(mapstr.M)["ancestry"])
			continue
		}
		alerts++
		line := doc.Fields["reconbeat"].(mapstr.M)["ancestry"].([]mapstr.M)
		require.Len(t, line, 2)
		require.Equal(t, "dash", line[0]["name"])
		require.Equal(t, "/usr/sbin/nginx", line[1]["executable"])
		require.Equal(t, "/usr/sbin/nginx -g daemon", line[1]["command_line"])
		require.Equal(t, mapstr.M{"id": "33"}, line[1]["user"])
		command := line[0]["command_line"].(string)
		require.LessOrEqual(t, len(command), 512+len(" …"))
		require.True(t, strings.HasSuffix(command, "é …") || strings.HasSuffix(command, "-c …"), command)
		ids, err := doc.Fields.GetValue("process.Ext.ancestry")
		require.NoError(t, err)
		require.Equal(t, []string{line[0]["entity_id"].(string), line[1]["entity_id"].(string)}, ids)
		parent, err := doc.Fields.GetValue("process.parent.entity_id")
		require.NoError(t, err)
		require.Equal(t, parent, line[0]["entity_id"])
	}
	require.Equal(t, 1, alerts)
}

// An exception may be about any of them.
func TestAnExceptionMayBeAboutAnAncestor(t *testing.T) {
	for field, value := range map[string]string{
		"reconbeat.ancestry.name": "nginx", "reconbeat.ancestry.executable": "/bin/dash",
		"reconbeat.ancestry.user.id": "33", "reconbeat.ancestry.pid": "100",
		"reconbeat.ancestry.command_line": "/usr/sbin/nginx -g daemon",
	} {
		t.Run(field, func(t *testing.T) {
			for _, other := range []string{"", "other"} {
				eng, shipped := testEngine(t, nil)
				eng.SetControls(setOf(t, control.Condition{Field: field, Is: control.Texts{value + other}}))
				webShell(eng)
				alerts := 0
				for _, doc := range *shipped {
					if kind, err := doc.Fields.GetValue("event.kind"); err == nil && kind == "alert" {
						alerts++
					}
				}
				require.Equal(t, map[string]int{"": 0, "other": 1}[other], alerts)
			}
		})
	}
}
