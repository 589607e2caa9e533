// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"
	"time"

	_ "github.com/elastic/beats/v7/libbeat/processors/actions" // add_fields
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/process"
)

func testEngine(t testing.TB, change func(*config.Config)) (*Engine, *[]*document.Document) {
	cfg := config.Default()
	if change != nil {
		change(&cfg)
	}
	h := host.Description{ID: "host", Fields: mapstr.M{"id": "host", "name": "web-1"}}
	options, err := DetectorOptions(cfg, t.TempDir(), h)
	require.NoError(t, err)
	var shipped []*document.Document
	s, err := New(Options{
		Config: cfg, Detector: options, Host: h, Logger: logp.NewNopLogger(),
		Publish: func(d *document.Document) { shipped = append(shipped, d) },
	})
	require.NoError(t, err)
	return s, &shipped
}

func execOf(at time.Time, user, program string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success, e.PID, e.PPID = process.Exec, at, true, 4711, 4700
	e.User = process.User{ID: 1000, Name: user}
	e.Executable, e.Name, e.Args = "/usr/bin/"+program, program, []string{program, "-a"}
	return e
}

var kernelSource = &document.Source{Module: config.Module{Module: "auditd", ID: "auditd"}}

func TestWhatAClockSkippedWasNotWatched(t *testing.T) {
	for name, c := range map[string]struct {
		skip bool
		want time.Duration // the age, at most
	}{"it was": {false, 31 * 24 * time.Hour}, "it skipped a month": {true, 3 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			s, _ := testEngine(t, nil)
			at := time.Unix(1700000000, 0)
			for range 2 {
				s.Take(execOf(at, "alice", "ls"), kernelSource)
				at = at.Add(time.Hour)
			}
			at = at.AddDate(0, 0, 30)
			if c.skip {
				s.Skip()
			}
			s.Advance(at)
			s.Take(execOf(at.Add(time.Second), "alice", "ls"), kernelSource)
			age := s.detector.Age(at)
			require.LessOrEqual(t, age, c.want)
			require.Greater(t, age, c.want/2-time.Hour)
		})
	}
}

// TestTheWayOfAnExecThatNoRuleMeansAllocatesNothing goes from the module's emit to the end of the stream.
func TestTheWayOfAnExecThatNoRuleMeansAllocatesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		programs []string
		session  func(n uint32) uint32 // of the n-th exec
		file     bool                  // they stand in a file
	}{
		"again":                {[]string{"ls"}, func(uint32) uint32 { return process.Unset }, false},
		"again, in a file":     {[]string{"ls"}, func(uint32) uint32 { return process.Unset }, true},
		"new in the minute":    {everyday, func(uint32) uint32 { return process.Unset }, false},
		"four sessions":        {everyday, func(n uint32) uint32 { return n % 4 }, false},
		"many short sessions":  {everyday, func(n uint32) uint32 { return n / 3 }, false},
		"more than have rooms": {everyday, func(n uint32) uint32 { return n }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, shipped := testEngine(t, nil)
			from := *kernelSource
			from.Rereadable = c.file
			r := NewRing(8)
			var execs []*process.Event
			for _, p := range c.programs {
				execs = append(execs, execOf(time.Unix(1700000000, 0), "alice", p))
			}
			n := uint32(0)
			way := func() {
				e := execs[int(n)%len(execs)]
				e.Time, e.Session.ID = time.Unix(1700000000+int64(n), 0), c.session(n)
				n++
				if taken, err := r.Send(e, &from); !taken || err != nil {
					t.Fatal(err)
				}
				slot := r.Next()
				s.Take(&slot.Event, slot.Source)
				r.Release()
			}
			for range 3000 {
				way() // the memory of slots and sessions grows to what they need
			}
			require.Zero(t, testing.AllocsPerRun(1000, way))
			require.Empty(t, *shipped)
			require.Positive(t, s.Counts.Execs.Load())
			require.Zero(t, s.Counts.Matched.Load())
		})
	}
}

func TestWhatShipsFollowsFromEvents(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	for _, c := range []struct {
		name   string
		events string
		want   []string
	}{
		{"matched: the execs that rules are about", config.EventsMatched, []string{"ss"}},
		{"all: every exec", config.EventsAll, []string{"ls", "ss"}},
		{"none", config.EventsNone, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, shipped := testEngine(t, func(cfg *config.Config) { cfg.Events = c.events })
			for _, program := range []string{"ls", "ss"} {
				e := execOf(at, "root", program)
				e.Session = process.Session{ID: 7, User: process.User{ID: 1000, Name: "alice"}, Entry: process.EntrySSHD}
				s.Take(e, kernelSource)
			}
			var got []string
			for _, d := range *shipped {
				name, err := d.Fields.GetValue("process.name")
				require.NoError(t, err)
				got = append(got, name.(string))
				require.Equal(t, map[string]document.Keep{"ls": document.InMemory, "ss": document.Journaled}[name.(string)], d.Keep)
				for field, want := range map[string]string{
					"reconbeat.actor.name": "alice", "reconbeat.actor.id": "1000", "reconbeat.actor.kind": "login",
				} {
					who, err := d.Fields.GetValue(field)
					require.NoError(t, err, "%s of %s: a search for all that an actor did finds it by that", field, name)
					require.Equal(t, want, who, field)
				}
				rules, err := d.Fields.GetValue("reconbeat.rules")
				require.Equal(t, name == "ss", err == nil, "%v", rules)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// TestEveryExecsActorHasWhatProcessorsKnow has a processor know the image of a container, as add_docker_metadata does.
func TestEveryExecsActorHasWhatProcessorsKnow(t *testing.T) {
	cfg := config.Module{Module: "auditd", ID: "auditd"}
	require.NoError(t, conf.MustNewConfigFrom(map[string]any{
		"processors": []any{map[string]any{"add_fields": map[string]any{
			"target": "container", "fields": map[string]any{"image.name": "shop/web:1.2"},
		}}},
	}).Unpack(&cfg))
	from, err := document.NewSource(cfg, false, false, nil, logp.NewNopLogger())
	require.NoError(t, err)
	s, shipped := testEngine(t, func(cfg *config.Config) { cfg.Events = config.EventsAll })
	for _, program := range []string{"ls", "ss"} {
		e := execOf(time.Unix(1700000000, 0), "root", program)
		e.Container.ID = strings.Repeat("c0ffee00", 8)
		s.Take(e, from)
	}
	require.Len(t, *shipped, 2)
	for _, d := range *shipped {
		container, err := d.Fields.GetValue("reconbeat.actor.container")
		require.NoError(t, err)
		require.Equal(t, "shop/web", container)
	}
}

// TestTheWholeAlert looks at an alert as it goes into the journal: the exec's own document, and beside it everything an
// analyst and Kibana want.
func TestTheWholeAlert(t *testing.T) {
	s, shipped := testEngine(t, func(cfg *config.Config) { cfg.Detector.Model = "rare" })
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := start.AddDate(0, 0, 10)
	for at := start; at.Before(now); at = at.Add(10 * time.Minute) {
		s.Advance(at)
		s.Take(execOf(at, "root", "ss"), kernelSource)
	}
	*shipped = nil
	s.Advance(now)
	e := execOf(now.Add(time.Second), "mallory", "ss")
	e.Session = process.Session{ID: 7, User: process.User{ID: 1001, Name: "eve"}, Entry: process.EntrySSHD}
	s.Take(e, kernelSource)
	require.Len(t, *shipped, 2, "the alert and the raw event")
	alert, raw := (*shipped)[0], (*shipped)[1]
	require.Equal(t, document.Durable, alert.Keep)
	for field, want := range map[string]any{
		"event.kind":                           "alert",
		"event.action":                         "alert",
		"event.dataset":                        "reconbeat.alert",
		"event.module":                         "reconbeat",
		"event.risk_score":                     21.0,
		"event.severity":                       21,
		"event.id":                             alert.ID,
		"reconbeat.alert.id":                   alert.ID,
		"reconbeat.process.event_id":           raw.ID,
		"rule.id":                              "network-connection-discovery",
		"message":                              "Unusual network connection discovery by eve",
		"host.name":                            "web-1",
		"process.name":                         "ss",
		"process.pid":                          int64(4711),
		"user.name":                            "mallory",
		"user.audit.name":                      "eve",
		"related.user":                         []string{"mallory", "eve"},
		"related.hosts":                        []string{"web-1"},
		"data_stream.dataset":                  "reconbeat.alert",
		"data_stream.type":                     "logs",
		"data_stream.namespace":                "default",
		"reconbeat.actor.name":                 "eve",
		"process.entry_leader.entry_meta.type": "sshd", "reconbeat.anomaly.typical_users": []string{"root"},
		"event.reason": "mallory (logged in as eve) has never looked at network connections before in " +
			"960 intervals of 15 minutes; usually root does",
	} {
		got, err := alert.Fields.GetValue(field)
		require.NoError(t, err, field)
		require.EqualValues(t, want, got, field)
	}
	require.Equal(t, mapstr.M{"_id": alert.ID, "op_type": "create"}, alert.Meta)
	require.Equal(t, mapstr.M{"_id": raw.ID, "op_type": "create"}, raw.Meta)
	for field, want := range map[string]any{
		"event.kind": "event", "reconbeat.alert.id": alert.ID, "reconbeat.program": "ss",
		"reconbeat.actor.name": "eve", "reconbeat.actor.id": "1001", "reconbeat.actor.kind": "login",
	} {
		got, err := raw.Fields.GetValue(field)
		require.NoError(t, err, field)
		require.Equal(t, want, got, field)
	}
	for _, doc := range []*document.Document{alert, raw} {
		hour, err := doc.Fields.GetValue("reconbeat.local.hour")
		require.NoError(t, err)
		require.Equal(t, now.Local().Format("15"), hour)
	}

	again, _ := testEngine(t, nil)
	same := again.documents.Exec(e, kernelSource)
	require.Equal(t, raw.ID, same.Raw(true, nil).ID, "what is read again has the same _id")

	*shipped = nil
	s.Advance(now.Add(time.Hour))
	require.Len(t, *shipped, 2, "what came after it, and its summary")
	summary := (*shipped)[1]
	action, err := summary.Fields.GetValue("event.action")
	require.NoError(t, err)
	require.Equal(t, "alert-summary", action)
	require.Equal(t, document.Durable, summary.Keep)
	require.NotEqual(t, alert.ID, summary.ID)
}

// everyday are programs as a script runs them.
var everyday = strings.Fields("ls cat grep sed awk cut tr sort uniq head tail find xargs rm cp mv mkdir chmod ln " +
	"sleep date git make gcc cc1 as ld curl tar gzip dirname basename")

// BenchmarkWay is the whole way of an exec through the Beat, from the module's emit to the end of the stream.
func BenchmarkWay(b *testing.B) {
	for name, c := range map[string]struct {
		programs []string // one after the other
		step     time.Duration
		sessions uint32 // that run each of them in turn
		logins   int    // after how many execs the next session begins; 0: never
		file     bool   // they stand in a file
	}{
		"of an exec that no rule means":                   {programs: []string{"ls"}, step: 10 * time.Millisecond},
		"of an exec that no rule means, read from a file": {programs: []string{"ls"}, step: time.Second, file: true},
		"of an exec that no rule means, new in its session's minute": {
			programs: everyday, step: time.Minute / time.Duration(len(everyday)),
		},
		"of an exec that no rule means, new in the minute of each session": {
			programs: everyday, step: time.Minute / time.Duration(4*len(everyday)), sessions: 4,
		},
		"of an exec that no rule means, in one of many short sessions": {
			programs: everyday[:4], step: time.Second, logins: 4,
		},
		"of a match, to the journal's door": {programs: []string{"ss"}, step: 10 * time.Millisecond},
	} {
		b.Run(name, func(b *testing.B) {
			s, _ := testEngine(b, nil)
			s.publish = func(*document.Document) {}
			from := *kernelSource
			from.Rereadable = c.file
			r := NewRing(8)
			var execs []*process.Event
			at := time.Unix(1700000000, 0)
			for _, p := range c.programs {
				if c.sessions == 0 {
					execs = append(execs, execOf(at, "alice", p))
				}
				for session := range c.sessions {
					e := execOf(at, "alice", p)
					e.Session.ID = session
					execs = append(execs, e)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e := execs[i%len(execs)]
				at = at.Add(c.step)
				e.Time = at
				if c.logins > 0 {
					e.Session.ID = uint32(i / c.logins)
				}
				if _, err := r.Send(e, &from); err != nil {
					b.Fatal(err)
				}
				slot := r.Next()
				s.Take(&slot.Event, slot.Source)
				r.Release()
			}
		})
	}
}

func TestTamperingIsAnAlertWithItsAccount(t *testing.T) {
	s, shipped := testEngine(t, nil)
	at := time.Unix(1700000000, 0).UTC()
	who := execOf(at, "root", "auditctl")
	who.Kind, who.Sequence = process.Tamper, 17
	who.User = process.User{ID: 0, Name: "root"}
	who.Session = process.Session{ID: 7, User: process.User{ID: 1001, Name: "eve"}}
	who.Change = process.Change{
		Action: process.ChangedAudit,
		Text:   "switched the kernel's audit off",
		Record: "op=set audit_enabled=0 old=1",
	}
	require.False(t, s.Take(who, kernelSource))
	login := execOf(at, "root", "sh")
	login.Kind, login.Session = process.Tamper, who.Session
	login.Change = process.Change{
		Action: process.ChangedLogin,
		Text:   "changed the login user of the process from uid 1001 to uid 0 without a login",
	}
	s.Take(login, kernelSource)
	over := &process.Event{}
	over.Reset()
	over.Kind, over.Time = process.Tamper, at.Add(3*time.Second)
	over.Change = process.Change{Action: process.RestoredAudit, Text: "program starts are reported again", Since: at}
	s.Take(over, kernelSource)
	unknown := &process.Event{}
	unknown.Reset()
	unknown.Kind, unknown.Time, unknown.Change = process.Tamper, at, who.Change
	s.Take(unknown, kernelSource)

	require.Len(t, *shipped, 4)
	ids := map[string]bool{}
	for i, want := range []map[string]any{
		{
			"event.kind":       "alert",
			"event.action":     "changed-audit-configuration",
			"event.category":   []string{"process", "configuration"},
			"event.type":       []string{"change"},
			"event.module":     "reconbeat",
			"event.dataset":    "reconbeat.alert",
			"event.severity":   73,
			"event.risk_score": 73.0,
			"event.sequence":   int64(17),
			"event.reason": "eve (as root), with /usr/bin/auditctl (process 4711), " +
				"switched the kernel's audit off",
			"message":                          "Tampering with the Linux audit system by eve",
			"rule.name":                        "Tampering with the Linux audit system",
			"user.audit.name":                  "eve",
			"user.name":                        "root",
			"process.executable":               "/usr/bin/auditctl",
			"process.pid":                      int64(4711),
			"host.name":                        "web-1",
			"threat.tactic.id":                 []string{"TA0005"},
			"threat.technique.id":              []string{"T1562"},
			"threat.technique.subtechnique.id": []string{"T1562.012"},
			"reconbeat.tampering.text":         "switched the kernel's audit off",
			"reconbeat.tampering.record":       "op=set audit_enabled=0 old=1",
			"reconbeat.actor.name":             "eve", "reconbeat.actor.id": "1001", "reconbeat.actor.kind": "login",
		},
		{"event.kind": "alert", "event.action": "changed-login-id", "threat.technique.id": []string{"T1036"}},
		{
			"event.kind":     "event",
			"event.action":   "restored-audit-configuration",
			"event.duration": int64(3e9),
			"event.start":    "2023-11-14T22:13:20.000Z",
			"event.end":      "2023-11-14T22:13:23.000Z",
			"event.reason":   "program starts are reported again",
		},
		{"event.kind": "alert", "event.reason": "somebody whom no record names switched the kernel's audit off"},
	} {
		d := (*shipped)[i]
		require.Equal(t, document.Durable, d.Keep)
		require.Equal(t, mapstr.M{"_id": d.ID, "op_type": "create"}, d.Meta)
		ids[d.ID] = true
		for field, v := range want {
			got, err := d.Fields.GetValue(field)
			require.NoError(t, err, "%d: %s", i, field)
			require.Equal(t, v, got, "%d: %s", i, field)
		}
	}
	require.Len(t, ids, 4)
	require.EqualValues(t, 3, s.Counts.Tampered.Load())
	*shipped = nil
	s.Take(who, kernelSource)
	require.True(t, ids[(*shipped)[0].ID], "what is read again has the same id")
}

// alertAmong is the first alert among documents.
func alertAmong(t testing.TB, shipped []*document.Document) *document.Document {
	t.Helper()
	for _, doc := range shipped {
		if kind, _ := doc.Fields.GetValue("event.kind"); kind == "alert" {
			return doc
		}
	}
	t.Fatal("no alert")
	return nil
}
