// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

// followed are the follow-ups among documents.
func followed(shipped []*document.Document) (out []mapstr.M) {
	for _, doc := range shipped {
		if action, _ := doc.Fields.GetValue("event.action"); action == "alert-follow-up" {
			out = append(out, doc.Fields)
		}
	}
	return out
}

// strange has a stranger of a login session match at a time, on a host that has been watched for ten days.
func strange(eng *Engine, at time.Time) {
	for day := range 10 {
		at := at.AddDate(0, 0, day-10)
		eng.Advance(at)
		e := execOf(at, "root", "ss")
		e.User.ID, e.PID, e.PPID, e.Parent.Name = 0, 900, 800, "agent"
		eng.Take(e, kernelSource)
	}
	eng.Advance(at)
	later(eng, at, "ss -a")
}

// later has the stranger run a program.
func later(eng *Engine, at time.Time, command string) {
	e := execOf(at, "mallory", command[:2])
	e.User.ID, e.Session.ID, e.PID, e.PPID, e.Args = 1500, 7, uint32(5000+at.Unix()%1000), 4000, []string{command}
	eng.Take(e, kernelSource)
}

func TestAnAlertIsFollowedUpOnce(t *testing.T) {
	at := time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)
	logout := func(eng *Engine, session uint32) {
		e := &process.Event{}
		e.Reset()
		e.Kind, e.Time, e.Session.ID = process.Logout, at.Add(time.Minute), session
		eng.Take(e, kernelSource)
	}
	for name, c := range map[string]struct {
		then    func(*Engine)
		end     string
		message string
	}{
		"when ten minutes are over": {
			then:    func(eng *Engine) { eng.Advance(at.Add(time.Hour)) },
			end:     "2026-03-11T00:10:00.000Z",
			message: "After the alert: 2 other programs started in the session within 10 minutes",
		},
		"when the session ends": {
			then:    func(eng *Engine) { logout(eng, 7) },
			end:     "2026-03-11T00:01:00.000Z",
			message: "After the alert: 2 other programs started in the session within 1 minute",
		},
		"when its module ends": {
			then:    func(eng *Engine) { eng.Retire(kernelSource, at.Add(80*time.Second)) },
			end:     "2026-03-11T00:01:20.000Z",
			message: "After the alert: 2 other programs started in the session within 80 seconds",
		},
		"when reconbeat ends": {
			then:    func(eng *Engine) { eng.Stop(at.Add(90 * time.Second)) },
			end:     "2026-03-11T00:01:30.000Z",
			message: "After the alert: 2 other programs started in the session within 90 seconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eng, shipped := testEngine(t, nil)
			strange(eng, at)
			alert := (*shipped)[len(*shipped)-2]
			later(eng, at.Add(2*time.Second), "id -u")
			later(eng, at.Add(3*time.Second), "ss -t")
			logout(eng, 8)
			eng.Advance(at.Add(9 * time.Minute / 10))
			eng.Retire(&document.Source{}, at.Add(time.Minute))
			require.Empty(t, followed(*shipped), "the session, the time and the module go on")
			c.then(eng)
			all := followed(*shipped)
			require.Len(t, all, 1)
			flat := all[0].Flatten()
			require.Equal(t, alert.ID, flat["reconbeat.alert.id"])
			require.Equal(t, "mallory", flat["reconbeat.actor.name"])
			require.Equal(t, "network-connection-discovery", flat["rule.id"])
			require.Equal(t, "2026-03-11T00:00:00.000Z", flat["event.start"])
			require.Equal(t, c.end, flat["event.end"])
			require.Equal(t, c.message, flat["message"])
			require.NotContains(t, flat, "reconbeat.activity.truncated")
			list := flat["reconbeat.activity.after"].([]mapstr.M)
			require.Len(t, list, 2)
			require.Equal(t, "id -u", list[0]["command_line"])
			require.Equal(t, mapstr.M{"id": []string{"T1049"}}, list[1]["technique"])

			eng.Advance(at.Add(2 * time.Hour))
			logout(eng, 7)
			eng.Stop(at.Add(3 * time.Hour))
			require.Len(t, followed(*shipped), 1)
		})
	}
}

// Of more alerts than may wait, the oldest are followed up at once.
func TestSoManyAlertsWaitForTheirFollowUps(t *testing.T) {
	eng, shipped := testEngine(t, func(c *config.Config) { c.Detector.Limit.Alerts = 0 })
	at := time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)
	strange(eng, at)
	for i := range followUpsMost + 9 {
		e := execOf(at.Add(time.Duration(i)*time.Millisecond), "", "ss")
		e.User.ID, e.PID, e.PPID = uint32(10000+i), uint32(10000+i), 1
		eng.Take(e, kernelSource)
	}
	require.Len(t, followed(*shipped), 10)
	require.Len(t, eng.followUps, followUpsMost)
	eng.Stop(at.Add(time.Minute))
	require.Len(t, followed(*shipped), followUpsMost+10)
}
