// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"bytes"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// holding is a Decide that holds the matches of www-data back while *on.
func holding(on *bool, action string) Decide {
	return func(e *process.Event, _ *Finding) Decision {
		if !*on || e.User.Name != "www-data" {
			return Decision{}
		}
		return Decision{
			NoAlert:  action == SkipResult || action == SkipBoth,
			NoLesson: action == SkipModelUpdate || action == SkipBoth,
			By:       []Control{{ID: "x", Kind: "exception", Action: action, Expires: monday.AddDate(1, 0, 0)}},
		}
	}
}

// TestAControlHoldsBackWhatItSays compares a day on which a control held a stranger's match back with one without it:
// whether it alerted then, and whether the same alerts an hour later, when no control holds any more.
func TestAControlHoldsBackWhatItSays(t *testing.T) {
	for _, c := range []struct {
		action        string
		first, second Kind
		named         bool
	}{
		{action: "", first: Alert, second: Repeat},
		{action: Tag, first: Alert, second: Repeat, named: true},
		{action: SkipModelUpdate, first: Alert, second: Repeat, named: true},
		{action: SkipResult, first: Observation, second: Alert, named: true},
		{action: SkipBoth, first: Observation, second: Alert, named: true},
	} {
		t.Run("action "+c.action, func(t *testing.T) {
			on := c.action != ""
			d := settled(t, func(o *Options) { o.Decide = holding(&on, c.action) })
			_, first := at(t, d, webShell(monday))
			require.Equal(t, c.first, first.Kind)
			require.Equal(t, map[bool]string{true: HeldAlert}[c.first == Observation], first.Held)
			require.Equal(t, c.named, len(first.Controls) == 1)
			raw := mapstr.M{}
			first.EncodeRaw(raw)
			id, err := raw.GetValue("reconbeat.control.id")
			if c.named {
				require.NoError(t, err)
				require.Equal(t, []string{"x"}, id)
				until, err := raw.GetValue("reconbeat.control.expires")
				require.NoError(t, err)
				require.Equal(t, []string{"2027-04-27T09:00:00.000Z"}, until)
			} else {
				require.Error(t, err)
			}
			on = false
			summaries, second := at(t, d, webShell(monday.Add(time.Hour)))
			require.Equal(t, c.second, second.Kind)
			if c.first == Observation {
				_, fresh := at(t, settled(t, nil), webShell(monday.Add(time.Hour)))
				require.InDelta(t, fresh.Score, second.Score, 0.01, "nothing was learned of what was held back")
				require.Empty(t, summaries, "nor was an episode open")
			}
		})
	}
}

// TestANewcomerIsLearned holds that what a grace period holds back is usual for its actor soon after, and that it makes
// nobody else less unusual.
func TestANewcomerIsLearned(t *testing.T) {
	stranger := func(d *Detector, when time.Time) Finding {
		e := webShell(when)
		e.User = process.User{ID: 34, Name: "deploy"}
		_, f := at(t, d, e)
		return f
	}
	on := true
	d := settled(t, func(o *Options) {
		o.Decide = func(e *process.Event, f *Finding) Decision {
			decision := holding(&on, Welcome)(e, f)
			decision.NoAlert, decision.Welcome = len(decision.By) > 0, len(decision.By) > 0
			return decision
		}
	})
	e := webShell(monday)
	d.Advance(e.Time, nil)
	first := d.Judge(e, 1, nil)[0]
	require.Equal(t, HeldAlert, first.Held)
	require.Equal(t, []Control{{ID: "x", Kind: "exception", Action: Welcome, Expires: monday.AddDate(1, 0, 0)}},
		first.Controls)
	for day := 1; day < 6; day++ {
		_, f := at(t, d, webShell(monday.AddDate(0, 0, day)))
		require.NotEqual(t, Alert, f.Kind)
		require.Len(t, f.Controls, 1, "it is tagged, whatever its score")
	}
	require.Equal(t, monday, d.FirstSeen(&first))
	on = false
	_, after := at(t, d, webShell(monday.AddDate(0, 0, 6)))
	require.Equal(t, Observation, after.Kind)
	require.Equal(t, Alert, stranger(d, monday.AddDate(0, 0, 7)).Kind)
}

// TestHeldBackAlertsAreCountedAsAlerts holds that further matches of an episode are no further alerts.
func TestHeldBackAlertsAreCountedAsAlerts(t *testing.T) {
	on := true
	d := settled(t, func(o *Options) { o.Decide = holding(&on, SkipBoth) })
	var held []string
	for i := range 3 {
		_, f := at(t, d, webShell(monday.Add(time.Duration(i)*time.Minute)))
		held = append(held, f.Held)
		snapshot, err := d.Snapshot()
		require.NoError(t, err)
		require.NoError(t, d.Restore(snapshot))
	}
	_, f := at(t, d, webShell(monday.Add(time.Hour)))
	require.Equal(t, []string{HeldAlert, HeldRepeat, HeldRepeat, HeldAlert}, append(held, f.Held))
	require.Empty(t, d.Advance(monday.Add(3*time.Hour), nil), "no summary of what nobody has heard of")
}

// TestWhatWouldNotAlertNeedsNoPermission holds that documents name a control only where it held something back.
func TestWhatWouldNotAlertNeedsNoPermission(t *testing.T) {
	d := settled(t, func(o *Options) {
		o.Decide = func(*process.Event, *Finding) Decision {
			return Decision{NoAlert: true, By: []Control{{ID: "x", Kind: "exception", Action: SkipResult}}}
		}
	})
	_, usual := at(t, d, agent(monday))
	require.Empty(t, usual.Controls)
	require.Empty(t, usual.Held)
}

// TestWhatIsHeldBackBecomesAHabitInTime holds that skip_result learns as slowly as from what alerts, and says so.
func TestWhatIsHeldBackBecomesAHabitInTime(t *testing.T) {
	for action, habitual := range map[string]bool{SkipResult: true, SkipBoth: false} {
		t.Run(action, func(t *testing.T) {
			on := true
			d := settled(t, func(o *Options) { o.Decide = holding(&on, action) })
			var reports []Finding
			for day := range 40 {
				e := webShell(monday.AddDate(0, 0, day))
				d.Advance(e.Time, nil)
				for _, f := range d.Judge(e, 1, nil) {
					if f.Kind == Habitual {
						reports = append(reports, f)
					}
					require.NotEqual(t, Alert, f.Kind)
				}
				if day == 10 { // a restart in between changes nothing
					snapshot, err := d.Snapshot()
					require.NoError(t, err)
					require.NoError(t, d.Restore(snapshot))
					again, err := d.Snapshot()
					require.NoError(t, err)
					require.True(t, bytes.Equal(snapshot, again))
				}
			}
			on = false
			_, after := at(t, d, webShell(monday.AddDate(0, 0, 40)))
			if habitual {
				require.Len(t, reports, 1)
				require.Equal(t, monday.AddDate(0, 0, 14), reports[0].Time, "five days, over two weeks")
				require.Equal(t, "x", reports[0].Controls[0].ID)
				require.Equal(t, Observation, after.Kind)
			} else {
				require.Empty(t, reports)
				require.Equal(t, Alert, after.Kind)
			}
		})
	}
}

// TestAPermissionEndsNoProbation holds that days on which a control holds back do not count towards a habit.
func TestAPermissionEndsNoProbation(t *testing.T) {
	for _, action := range []string{"", SkipResult, SkipBoth, SkipModelUpdate} {
		t.Run("action "+action, func(t *testing.T) {
			on := false
			d := settled(t, func(o *Options) { o.Decide = holding(&on, action) })
			_, first := at(t, d, webShell(monday))
			require.Equal(t, Alert, first.Kind)
			on = action != ""
			habits := 0
			for day := 1; day <= 20; day++ {
				e := webShell(monday.AddDate(0, 0, day))
				d.Advance(e.Time, nil)
				for _, f := range d.Judge(e, 1, nil) {
					if f.Kind == Habitual && f.AlertID == first.AlertID {
						habits++
					}
				}
			}
			require.Equal(t, action == "", habits == 1)
		})
	}
}
