// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzParseFeedback: what is read passes Check, is read again as the same, and can be taken in by a detector that knows
// the alert, in every order, without a trace after undo.
func FuzzParseFeedback(f *testing.F) {
	for _, verdict := range []string{Benign, Malicious, Unsure, Undone} {
		text, err := json.Marshal(Feedback{
			AlertID: "alert", Verdict: verdict, Note: "why", By: "bob", At: monday, Rule: "network-connection-discovery",
			Actor: Actor{ID: 33, Name: "www-data", Service: true},
		})
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"alert_id":"alert","verdict":"benign","at":"2026-03-02T09:00:00Z","rule":"r"} {}`))
	f.Add([]byte(`{"alert_id":"alert","verdict":"benign","at":"9999-12-31T23:59:59Z","rule":"r","more":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fb, err := ParseFeedback(text)
		if err != nil {
			return
		}
		require.NoError(t, fb.Check())
		again, err := json.Marshal(fb)
		require.NoError(t, err)
		same, err := ParseFeedback(again)
		require.NoError(t, err)
		require.True(t, sameFeedback(fb, same))

		o := options(mission())
		o.Model, o.LearnFor = ModelContext, time.Hour
		d := mustNew(t, o)
		d.Judge(agent(monday.AddDate(0, 0, -30)), 1, nil)
		out := d.Judge(webShell(monday), 1, nil)
		for i := range out {
			if out[i].Kind == Alert {
				fb.AlertID = out[i].AlertID
			}
		}
		d.Said(fb)
		snapshot, err := d.Snapshot()
		require.NoError(t, err)
		require.NoError(t, mustNew(t, o).Restore(snapshot))
		fb.Verdict = Undone
		fb.At = fb.At.Add(1)
		d.Said(fb)
		require.Empty(t, d.Verdicts())
	})
}

// Everything that is wrong with feedback is reported at once.
func TestWrongFeedbackIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"no JSON":       {"x", []string{"reading feedback: invalid character"}},
		"empty":         {"", []string{"reading feedback: EOF"}},
		"unknown field": {`{"alert":"x"}`, []string{`unknown field "alert"`}},
		"more": {`{"alert_id":"a","verdict":"benign","at":"2026-03-02T09:00:00Z","rule":"r"} 1`,
			[]string{"something follows it"}},
		"nothing said": {`{}`, []string{
			"the alert's id has 0 bytes; it must have 1 to 128",
			`the verdict "" is not allowed; it must be benign, malicious, unsure or undone`,
			"the time at which it was said is missing", "the alert's rule is missing",
		}},
		"too long": {`{"alert_id":"a","verdict":"benign","at":"2026-03-02T09:00:00Z","rule":"r","note":"` +
			strings.Repeat("x", maxNote+1) + `"}`, []string{"the note has 4097 bytes; at most 4096 are possible"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFeedback([]byte(c.text))
			for _, says := range c.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}
