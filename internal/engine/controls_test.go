// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

func setOf(t testing.TB, conditions ...control.Condition) *control.Set {
	e := control.Exception{ID: "x", Action: "both", Conditions: conditions}
	require.NoError(t, e.Check())
	set, err := control.New(control.Items{Exceptions: []control.Exception{e}})
	require.NoError(t, err)
	return set
}

// TestConditionsMaySeeAllThatTheAlertHas holds, field by field, that an exception sees what the alert would have, also
// what the module's configuration adds to it.
func TestConditionsMaySeeAllThatTheAlertHas(t *testing.T) {
	from := &document.Source{Module: config.Module{Module: "auditd", ID: "auditd"}}
	from.Tags, from.Fields, from.FieldsUnderRoot = []string{"dmz"}, mapstr.M{"labels": mapstr.M{"site": "north"}}, true
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := start.AddDate(0, 0, 10)
	for field, value := range map[string]string{
		"user.name": "mallory", "user.audit.name": "eve", "user.audit.id": "1001", "user.group.name": "staff",
		"process.executable": "/usr/bin/ss", "process.args": "-a", "process.parent.name": "bash", "process.pid": "4711",
		"process.working_directory": "/tmp", "reconbeat.process.tty": "pts0", "process.interactive": "true",
		"process.entry_leader.entry_meta.type": "sshd", "source.ip": "10.1.2.3", "container.id": "c0ffee",
		"host.name": "web-1", "related.user": "eve", "tags": "dmz", "labels.site": "north",
		"rule.id": "network-connection-discovery", "event.severity": "21", "event.module": "reconbeat",
		"reconbeat.actor.name": "eve", "reconbeat.actor.kind": "login", "reconbeat.actor.container": "c0ffee",
		"reconbeat.anomaly.first_occurrence": "true",
		"threat.technique.id":                "T1049", "@timestamp": "2026-03-11T00:00:01Z",
		"event.kind": "alert", "event.action": "alert", "event.type": "info", "event.dataset": "reconbeat.alert",
		"data_stream.dataset": "reconbeat.alert", "data_stream.namespace": "default",
		"reconbeat.rules": "network-connection-discovery", "reconbeat.visit.commands": "ss -a",
	} {
		t.Run(field, func(t *testing.T) {
			s, shipped := testEngine(t, func(cfg *config.Config) {
				if cfg.Detector.Model = "rare"; field == "reconbeat.visit.commands" { // which that model does not know
					cfg.Detector.Model = "context"
				}
			})
			for at := start; at.Before(now); at = at.Add(2 * time.Hour) {
				s.Advance(at)
				e := execOf(at, "root", "ss")
				e.User.ID, e.Args, e.PID = 0, []string{"ss"}, 1
				s.Take(e, kernelSource)
			}
			s.SetControls(setOf(t, control.Condition{Field: field, Is: control.Texts{value}}))
			before := len(*shipped)
			s.Advance(now)
			e := execOf(now.Add(time.Second), "mallory", "ss")
			e.Session = process.Session{ID: 7, User: process.User{ID: 1001, Name: "eve"}, Entry: process.EntrySSHD,
				Source: netip.MustParseAddr("10.1.2.3")}
			e.Group = process.User{ID: 50, Name: "staff"}
			e.Parent.Name, e.CWD, e.TTY, e.Interactive, e.Container.ID = "bash", "/tmp", "pts0", true, "c0ffee"
			s.Take(e, from)
			require.Len(t, *shipped, before+1, "the raw event alone")
			raw := (*shipped)[before]
			id, err := raw.Fields.GetValue("reconbeat.control.id")
			require.NoError(t, err)
			require.Equal(t, []string{"x"}, id)
			require.EqualValues(t, 1, s.Counts.Held.Load())
			require.EqualValues(t, 1, s.Counts.Unlearned.Load())
			require.Zero(t, s.Counts.Alerts.Load())
		})
	}
}

// TestTheIdOfTheExecIsNotTheAlerts holds that controls, which come before an alert has its id, do not see the exec's.
func TestTheIdOfTheExecIsNotTheAlerts(t *testing.T) {
	s, shipped := testEngine(t, nil)
	yes := true
	s.SetControls(setOf(t, control.Condition{Field: "event.id", Exists: &yes}))
	e := execOf(time.Unix(1700000000, 0), "alice", "ss")
	e.ID = "of-the-source"
	s.Take(e, kernelSource)
	require.NotEmpty(t, *shipped)
	require.Zero(t, s.Counts.Controls.Load().Usage()[0].Matches)
	s.SetControls(setOf(t, control.Condition{Field: "reconbeat.process.event_id", Is: control.Texts{"of-the-source"}}))
	e = execOf(time.Unix(1700000001, 0), "alice", "ss")
	e.ID = "of-the-source"
	s.Take(e, kernelSource)
	require.EqualValues(t, 1, s.Counts.Controls.Load().Usage()[0].Matches)
}

// TestControlsCostNothingWhereNoRuleMatches holds that a program start that no rule names allocates nothing, however
// many controls there are.
func TestControlsCostNothingWhereNoRuleMatches(t *testing.T) {
	s, shipped := testEngine(t, nil)
	s.SetControls(setOf(t, control.Condition{Field: "user.name", Is: control.Texts{"alice"}}))
	e := execOf(time.Unix(1700000000, 0), "alice", "ls")
	s.Take(e, kernelSource)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.Take(e, kernelSource) }))
	require.Empty(t, *shipped)
	require.Zero(t, s.Counts.Controls.Load().Usage()[0].Matches)
}

// BenchmarkMatchUnderControls is one match with an exception that applies to it, its document included.
func BenchmarkMatchUnderControls(b *testing.B) {
	cfg := config.Default()
	s, _ := testEngine(b, func(c *config.Config) { *c = cfg })
	s.logger = logp.NewNopLogger()
	s.publish = func(*document.Document) {}
	s.SetControls(setOf(b, control.Condition{Field: "user.name", Is: control.Texts{"alice"}}))
	e := execOf(time.Unix(1700000000, 0), "alice", "ss")
	b.ReportAllocs()
	for b.Loop() {
		s.Take(e, kernelSource)
	}
}
