// SPDX-License-Identifier: Apache-2.0

package document

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/process"
)

// Hostile and long arguments leave the latest execs, within the bound, and a mark; a rule's technique is named.
func TestActivityIsBounded(t *testing.T) {
	options, err := config.Default().Detector.Options("", time.UTC)
	require.NoError(t, err)
	found, err := detector.New(options)
	require.NoError(t, err)
	m := Maker{Table: process.NewTable(process.TableOptions{}), Detector: found}
	exec := func(at time.Time, pid uint32) *process.Event {
		e := &process.Event{}
		e.Reset()
		e.Kind, e.Time, e.Success = process.Exec, at, true
		e.PID, e.PPID, e.User.ID = pid, 1, 33
		e.Name, e.Args = "ss", []string{"ss", strings.Repeat("\x1b<script>\xff", 60)}
		return e
	}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 40 {
		m.Table.Observe(exec(at.Add(time.Duration(i)*time.Second), uint32(100+i)))
	}
	list, truncated := m.before(exec(at.Add(time.Minute), 999))
	require.True(t, truncated)
	text, err := json.Marshal(list)
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), maxActivity+64)
	require.EqualValues(t, 139, list[len(list)-1]["pid"])
	require.Equal(t, mapstr.M{"id": []string{"T1049"}}, list[0]["technique"])
}

// A field of the user's own that is called like a part of another stays the user's.
func TestOnlyFieldsOfTheGroupAreBefore(t *testing.T) {
	for field, want := range map[string]bool{
		"reconbeat.activity.before.name": true, "reconbeat.activity.truncated": true,
		"name": false, "time": false, "reconbeat.activity.after.name": false, "reconbeat.activity.before.none": false,
	} {
		require.Equal(t, want, isBefore(field), field)
	}
}
