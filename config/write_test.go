// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/printable"
)

// What is written is read as it was, whatever the texts are.
func TestExceptionsAreWrittenAsTheyAreRead(t *testing.T) {
	yes, no := true, false
	want := []control.Exception{
		{
			ID: "all", Name: "Every test: #1", Comment: "two\nlines", Author: "alice", Created: "2026-11-28",
			Expires: "2027-05-31T18:00:00Z", Rules: []string{"network-connection-discovery", "sudo-use"},
			Action: detector.SkipBoth,
			Conditions: []control.Condition{
				{Field: "user.name", Is: control.Texts{"null"}},
				{Field: "process.args", Is: control.Texts{"- {x: y}"}, Not: true},
				{Field: "process.command_line", Is: control.Texts{""}},
				{Field: "process.pid", IsOneOf: control.Texts{"1", "007", "true", "~"}},
				{Field: "source.ip", Exists: &no},
				{Field: "host.name", Exists: &yes},
				{Field: "process.executable", Matches: control.Texts{"/opt/*/check?"}},
				{Field: "process.executable", Matches: control.Texts{"*", "?x"}},
				{Field: "process.name", Is: control.Texts{"\x1b[2J\u009b \u202etxt.exe\U000e0041 \x7f"}},
				{Field: "process.name", Regexp: `^\w+["']$`},
				{Field: "source.ip", CIDR: control.Texts{"10.0.0.0/8"}},
				{Field: "reconbeat.anomaly.score", Range: control.Range{GTE: control.Texts{"25"}, LT: control.Texts{"50.5"}}},
				{Any: []control.Condition{
					{Field: "user.id", Is: control.Texts{"0"}},
					{All: []control.Condition{{Field: "group.name", Is: control.Texts{"\u2028wheel\t"}}}, Not: true},
				}},
			},
		},
		{
			ID: "short", Action: detector.SkipResult,
			Conditions: []control.Condition{{Field: "user.name", Is: control.Texts{"2026-11-28"}}},
		},
	}
	var text strings.Builder
	require.NoError(t, WriteExceptions(&text, want))
	require.True(t, printable.Plain(strings.ReplaceAll(text.String(), "\n", "")), text.String())
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yml"), []byte(text.String()), 0o600))
	items, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
	require.NoError(t, err, text.String())
	require.Equal(t, want, items.Exceptions, text.String())
}

// What an approval or a window says is kept whole, conditions of any kind included: somebody may have edited its file.
func TestControlsOfAllKindsAreWritten(t *testing.T) {
	const approvals = `- id: a
  ticket: OPS-1
  author: alice
  created: "2026-11-28T10:00:00Z"
  expires: "2026-11-28T14:00:00Z"
  revoked_by: bob
  action: both
  conditions:
    - {field: user.name, is: tomcat}
    - {field: source.ip, cidr: 10.0.0.0/8, not: true}
`
	const windows = `- id: w
  timezone: Europe/Berlin
  start: 2026-12-01T22:00
  duration: 4h
  rrule: FREQ=MONTHLY;BYDAY=1TU
  dates: ['2027-01-12T22:00']
  except: ["2027-01-05"]
  rules: [sudo-use]
  action: skip_result
  conditions:
    - {field: user.name, matches: dba*}
`
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yml"), []byte(approvals), 0o600))
	items, err := Controls{}.Items(ControlFolders{Approvals: dir}, time.UTC)
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, WriteApprovals(&text, items.Approvals))
	require.Equal(t, approvals, text.String())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yml"), []byte(windows), 0o600))
	items, err = Controls{}.Items(ControlFolders{Windows: dir}, time.UTC)
	require.NoError(t, err)
	text.Reset()
	require.NoError(t, WriteWindows(&text, items.Windows))
	require.Equal(t, windows, text.String())
}

// An id of Kibana's is read as it was written; one of an approval, whose file is called so, leads to no other folder.
func TestIDsAreWrittenAsTheyAreRead(t *testing.T) {
	dir := t.TempDir()
	id := `Our backup (nightly)/2: "quoted", # no comment`
	e := control.NewException()
	e.ID, e.Conditions = id, []control.Condition{{Field: "user.name", Is: control.Texts{"x"}}}
	var text strings.Builder
	require.NoError(t, WriteExceptions(&text, []control.Exception{e}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yml"), []byte(text.String()), 0o600))
	items, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
	require.NoError(t, err)
	require.Equal(t, id, items.Exceptions[0].ID)

	a := control.NewApproval()
	a.ID, a.Ticket, a.Conditions = "../../x", "OPS-1", e.Conditions
	a.Created, a.Expires = "2026-11-28T20:00:00Z", "2026-11-29T00:00:00Z"
	text.Reset()
	require.NoError(t, WriteApprovals(&text, []control.Approval{a}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.yml"), []byte(text.String()), 0o600))
	_, err = Controls{}.Items(ControlFolders{Approvals: dir}, time.UTC)
	require.ErrorContains(t, err, `x.yml line 1: 0.id: "../../x" is not allowed; it must be letters, digits`)
}
