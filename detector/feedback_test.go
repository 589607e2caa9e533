// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// saying is a feedback on an alert.
func saying(f *Finding, verdict string, at time.Time) Feedback {
	return Feedback{
		AlertID: f.AlertID, Verdict: verdict, Note: "because", By: "bob", At: at, Rule: f.Rule.ID, Actor: f.Actor,
	}
}

// again is the same detector after a restart.
func again(t *testing.T, d *Detector) *Detector {
	t.Helper()
	snapshot, err := d.Snapshot()
	require.NoError(t, err)
	restarted := mustNew(t, d.o)
	require.NoError(t, restarted.Restore(snapshot))
	second, err := restarted.Snapshot()
	require.NoError(t, err)
	require.JSONEq(t, string(snapshot), string(second))
	return restarted
}

// strange is what alice has never done: at night, from the Internet, by an interpreter.
func strange(at time.Time) *process.Event {
	e := admin(at)
	e.Session.Source = netip.MustParseAddr("203.0.113.9")
	e.Parent.Name, e.CWD, e.Args = "python3", "/srv", []string{"ss", "-tunap"}
	return e
}

// A benign alert is a habit at once, across a restart: the same is silent from the next match on and scores low, and
// neighbours alert. Undo brings the probation back.
func TestABenignAlertIsAHabitAtOnce(t *testing.T) {
	for name, make := range map[string]func(time.Time) *process.Event{"service": webShell, "person": strange} {
		t.Run(name, func(t *testing.T) {
			d := settled(t, nil)
			_, first := at(t, d, make(monday))
			require.Equal(t, Alert, first.Kind)
			untouched, err := d.Snapshot()
			require.NoError(t, err)

			said := d.Said(saying(&first, Benign, monday.Add(time.Minute)))
			require.Equal(t, Answered, said.Kind)
			require.Equal(t, "its context is a habit from now on", said.Answer)
			require.Empty(t, d.probations)
			require.Equal(t, said.Answer, d.Said(saying(&first, Benign, monday.Add(time.Minute))).Answer, "it may come twice")
			d = again(t, d)
			require.Len(t, d.Verdicts(), 1)

			undone := mustNew(t, d.o)
			snapshot, err := d.Snapshot()
			require.NoError(t, err)
			require.NoError(t, undone.Restore(snapshot))
			undone.Said(saying(&first, Undone, monday.Add(2*time.Minute)))
			require.Empty(t, undone.Verdicts())
			after, err := undone.Snapshot()
			require.NoError(t, err)
			requireAlike(t, untouched, after)

			_, same := at(t, d, make(monday.Add(2*time.Minute)))
			require.Equal(t, Observation, same.Kind, "in the same visit")
			for _, later := range []time.Duration{2 * time.Hour, 24 * time.Hour, 8 * 24 * time.Hour} {
				_, same = at(t, d, make(monday.Add(later)))
				require.Equal(t, Observation, same.Kind, "%s later", later)
				require.Less(t, same.Score, first.Score/2, "%s later", later)
			}
			other := make(monday.Add(9 * 24 * time.Hour))
			other.Executable, other.Args = "/dev/shm/ss", []string{"ss", "-K"}
			_, neighbour := at(t, d, other)
			require.Equal(t, Alert, neighbour.Kind, "%.1f", neighbour.Score)
		})
	}
	d := settled(t, nil)
	_, first := at(t, d, webShell(monday))
	d.Said(saying(&first, Benign, monday.Add(time.Minute)))
	other := webShell(monday.Add(time.Hour))
	other.User = process.User{ID: 34, Name: "backup"}
	_, neighbour := at(t, d, other)
	require.Equal(t, Alert, neighbour.Kind, "another account")
}

// requireUndone has a person take back what they said of an alert, in a detector that was restarted, which knows then
// what it had learned before. It returns that detector.
func requireUndone(t *testing.T, d *Detector, alert *Finding, said time.Time, learned []byte) *Detector {
	t.Helper()
	undone := again(t, d)
	undone.Said(saying(alert, Undone, said.Add(time.Second)))
	after, err := undone.Snapshot()
	require.NoError(t, err)
	requireAlike(t, learned, after)
	return undone
}

// A malicious alert leaves nothing in the model, and the next match of its actor in its context alerts again, a band
// higher, once in each episode, however long it goes on. Undo puts everything back.
func TestAMaliciousAlertIsUnlearned(t *testing.T) {
	for name, make := range map[string]func(time.Time) *process.Event{"service": webShell, "person": strange} {
		t.Run(name, func(t *testing.T) {
			d := settled(t, nil)
			never := settled(t, nil) // who has never attacked
			_, first := at(t, d, make(monday))
			require.Equal(t, Alert, first.Kind)
			for i := range 3 {
				at(t, d, make(monday.AddDate(0, 0, i).Add(time.Hour)))
			}
			for _, passed := range []int{0, 1, 25, 49, 72} {
				never.Advance(monday.Add(time.Duration(passed)*time.Hour), nil)
			}
			said := monday.AddDate(0, 0, 3)
			d.Advance(said, nil)
			learned, err := d.Snapshot()
			require.NoError(t, err)
			d.Said(saying(&first, Malicious, said))
			requireSameModel(t, never, d, said)

			undone := requireUndone(t, d, &first, said, learned)
			_, quiet := at(t, undone, make(said.Add(time.Minute)))
			require.Equal(t, Repeat, quiet.Kind, "%.1f", quiet.Score)

			for day := range 30 {
				d = again(t, d)
				for _, after := range []time.Duration{time.Minute, 2 * time.Minute} {
					never.Advance(said.AddDate(0, 0, day).Add(after), nil)
				}
				_, next := at(t, d, make(said.AddDate(0, 0, day).Add(time.Minute)))
				require.Equal(t, Alert, next.Kind, "day %d", day)
				require.Equal(t, first.AlertID, next.EarlierID)
				require.Equal(t, bandSeverities[min(highestBand, band(first.Score)+1)], next.severity())
				require.Contains(t, next.Reason(), "bob called alert "+first.AlertID+" in this context malicious")
				_, repeat := at(t, d, make(said.AddDate(0, 0, day).Add(2*time.Minute)))
				require.Equal(t, Repeat, repeat.Kind)
				require.Equal(t, next.AlertID, repeat.AlertID)
			}
			requireSameModel(t, never, d, said.AddDate(0, 0, 31))
			_, usual := at(t, d, admin(said.AddDate(0, 0, 31).Add(24*time.Hour)))
			require.NotEqual(t, Alert, usual.Kind, "what is usual stays so")
		})
	}
}

// requireSameModel compares what two detectors have learned of contexts.
func requireSameModel(t *testing.T, want, got *Detector, at time.Time) {
	t.Helper()
	var models [2]any
	for i, d := range []*Detector{want, got} {
		d.Advance(at, nil)
		text, err := d.Learned()
		require.NoError(t, err)
		var s map[string]any
		require.NoError(t, json.Unmarshal(text, &s))
		models[i] = s["context"]
	}
	alike(t, "", models[0], models[1])
}

// requireAlike compares snapshots but for what rounding leaves in the last digits.
func requireAlike(t *testing.T, want, got []byte) {
	t.Helper()
	var a, b any
	require.NoError(t, json.Unmarshal(want, &a))
	require.NoError(t, json.Unmarshal(got, &b))
	alike(t, "", a, b)
}

func alike(t *testing.T, path string, a, b any) {
	t.Helper()
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		require.True(t, ok, path)
		for k := range other {
			require.Contains(t, a, k, path)
		}
		for k, v := range a {
			require.Contains(t, other, k, path)
			alike(t, path+"."+k, v, other[k])
		}
	case []any:
		other, ok := b.([]any)
		require.True(t, ok, path)
		require.Len(t, other, len(a), path)
		for i := range a {
			alike(t, path, a[i], other[i])
		}
	case float64:
		require.InDelta(t, a, b, 1e-9*max(1, a), path)
	default:
		require.Equal(t, a, b, path)
	}
}
