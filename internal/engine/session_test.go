// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// work has alice run a program in a login session.
func work(eng *Engine, at time.Time, session uint32, program string) {
	e := execOf(at, "alice", program)
	e.User.ID, e.PID, e.PPID = 1001, uint32(5000+at.Unix()%20000), 4000
	e.Session = process.Session{ID: session, User: e.User, Entry: process.EntrySSHD}
	eng.Advance(at)
	eng.Take(e, kernelSource)
}

// TestWhatRunsAfterAMatchShipsAsAnAlert: the exec was reported when it came; ten minutes later its session makes it an
// alert, which is followed up.
func TestWhatRunsAfterAMatchShipsAsAnAlert(t *testing.T) {
	eng, shipped := testEngine(t, nil)
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for day := range uint32(30) {
		at := start.AddDate(0, 0, int(day))
		for i := range 14 {
			work(eng, at.Add(time.Duration(i)*time.Minute), day, "work-"+string(rune('a'+i)))
		}
		work(eng, at.Add(15*time.Minute), day, "ss")
	}
	at := start.AddDate(0, 0, 30).Add(3 * time.Hour)
	*shipped = nil
	work(eng, at, 100, "ss")
	require.Len(t, *shipped, 1, "the match")
	raw := (*shipped)[0]
	for i, program := range []string{"whoami", "id", "uname", "hostname", "last", "lscpu"} {
		work(eng, at.Add(time.Duration(10*(i+1))*time.Second), 100, program)
	}
	eng.Advance(at.Add(10*time.Minute - time.Second))
	require.Len(t, *shipped, 1)
	eng.Advance(at.Add(10 * time.Minute))
	alert := alertAmong(t, *shipped)
	for field, want := range map[string]any{
		"process.name": "ss", "user.name": "alice", "reconbeat.process.event_id": raw.ID, "event.action": "alert",
	} {
		v, err := alert.Fields.GetValue(field)
		require.NoError(t, err, field)
		require.Equal(t, want, v, field)
	}
	require.Equal(t, at, alert.Timestamp)
	reason, err := alert.Fields.GetValue("event.reason")
	require.NoError(t, err)
	require.Contains(t, reason, "in the same session ")
	part, err := alert.Fields.GetValue("reconbeat.anomaly.parts.session")
	require.NoError(t, err)
	require.Greater(t, part, 3.0)
	follow := followed(*shipped)
	require.Len(t, follow, 1)
	message, err := follow[0].GetValue("message")
	require.NoError(t, err)
	require.Contains(t, message, "6 other programs")
}
