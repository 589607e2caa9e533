// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/module"
)

// replayed runs documents through a replay and returns the alerts, and what was counted.
func replayed(t *testing.T, lines []string) ([]mapstr.M, ReplayCounts) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "documents.ndjson")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	var alerts []mapstr.M
	r, err := NewReplay(
		ReplayOptions{
			Config: config.Default(),
			HostID: "replay",
			Logger: logp.NewNopLogger(),
			Document: func(doc *beat.Event) error {
				if action, _ := doc.GetValue("event.action"); action == "alert" {
					alerts = append(alerts, doc.Fields.Clone())
				}
				return nil
			},
		},
	)
	require.NoError(t, err)
	require.NoError(t, r.File(t.Context(), "ndjson", file))
	require.NoError(t, r.Finish())
	return alerts, r.Counts()
}

// TestParentKnownByPidAloneIsFoundOnItsHost takes two weeks of a host on which root's agent looks at
// connections, and then a shell of root does. Auditbeat names parents by pid alone; each exec of the tool is the line
// after its parent's.
func TestParentKnownByPidAloneIsFoundOnItsHost(t *testing.T) {
	compressed, err := os.ReadFile("testdata/auditbeat-parent-pid.ndjson.gz")
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	// each is a document of the host with the change of what it says.
	each := func(change func(line string) string) func([]string) []string {
		return func(lines []string) (out []string) {
			for _, l := range lines {
				out = append(out, change(l))
			}
			return out
		}
	}
	parent := func(named string) func([]string) []string { // PID is the parent's pid
		return each(func(l string) string {
			before, rest, _ := strings.Cut(l, `"parent":{"pid":`)
			pid, after, _ := strings.Cut(rest, "}")
			own, _, _ := strings.Cut(before[strings.Index(before, `"pid":`)+len(`"pid":`):], ",")
			return before + strings.NewReplacer("PPID", pid, "PID", own).Replace(named) + after
		})
	}
	// named has each tool's parent by its program, as if it needed no finding.
	named := func(lines []string) []string {
		out := append([]string(nil), lines...)
		for i := 1; i < len(out); i += 2 {
			program := "python3"
			if strings.Contains(out[i-1], "/usr/bin/sh") {
				program = "sh"
			}
			out[i] = strings.Replace(out[i], `"parent":{`,
				`"parent":{"name":"`+program+`","executable":"/usr/bin/`+program+`",`, 1)
		}
		return out
	}
	swapped := func(lines []string) []string {
		out := append([]string(nil), lines...)
		for i := 0; i+1 < len(out); i += 2 {
			out[i], out[i+1] = out[i+1], out[i]
		}
		return out
	}
	score := func(alerts []mapstr.M) any {
		require.Len(t, alerts, 1)
		v, _ := alerts[0].GetValue("reconbeat.anomaly.score")
		return v
	}
	wanted, _ := replayed(t, named(lines))
	for _, c := range []struct {
		name   string
		change func([]string) []string
	}{
		{"as auditbeat writes it", each(func(l string) string { return l })},
		{"of a host without an id", each(func(l string) string { return strings.Replace(l, `,"id":"i1"`, "", 1) })},
		{"as auditbeat 7 wrote it", parent(`"ppid":PPID`)},
		{"with arguments of the parent", parent(`"parent":{"pid":PPID,"args":["x"]}`)},
		{"by entity ids", parent(`"entity_id":"e-PID","parent":{"entity_id":"e-PPID"}`)},
		{"by both", parent(`"entity_id":"e-PID","parent":{"pid":PPID,"entity_id":"e-PPID"}`)},
		{"the parent's line after its child's", swapped},
		{"between documents of a host with the same pids", func(lines []string) (out []string) {
			for _, l := range lines {
				other := strings.NewReplacer(`"id":"i1"`, `"id":"i2"`, "python3", "ruby",
					`"ss"`, `"ls"`, "/ss", "/ls", `"sh"`, `"ruby"`, "/sh", "/ruby").Replace(l)
				out = append(out, l, other)
			}
			return out
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			alerts, counts := replayed(t, c.change(lines))
			require.Len(t, alerts, 1)
			alert := func(field string) any { v, _ := alerts[0].GetValue(field); return v }
			require.Equal(
				t,
				"root has never looked at network connections through sh on this host in 15 days; no terminal",
				alert("event.reason"),
			)
			require.InDelta(t, score(wanted), score(alerts), 0.005, "as where the parents are named")
			require.EqualValues(t, 31000, alert("process.parent.pid"))
			require.Equal(t, "/usr/bin/sh", alert("process.parent.executable"))
			require.EqualValues(t, 721, counts.Matched)
		})
	}
}

// TestAMatchWaitsForItsParentsExec has a host's documents in an order that is not that of their times.
func TestAMatchWaitsForItsParentsExec(t *testing.T) {
	began := time.Unix(1700000000, 0).UTC()
	recording := &document.Source{Module: config.Module{Module: "ndjson", ID: "ndjson"}, Rereadable: true}
	for _, c := range []struct {
		name   string
		parent time.Duration // after the match
		behind time.Duration // what comes before the parent's exec, after the match; 0: nothing does
		waits  bool
		want   string
	}{
		{"before", -3 * time.Millisecond, 0, true, "sh"},
		{"a moment after, by another processor's clock", 3 * time.Millisecond, 0, true, "sh"},
		{"with others between them", -3 * time.Millisecond, 200 * time.Millisecond, true, "sh"},
		{"what it ran later was not the parent", 300 * time.Millisecond, 0, true, ""},
		{"too late", -3 * time.Millisecond, 2 * time.Second, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, shipped := testEngine(t, func(cfg *config.Config) { cfg.Events = config.EventsMatched })
			match := execOf(began, "root", "ss")
			s.Take(match, recording)
			require.Empty(t, *shipped)
			if c.behind != 0 {
				other := execOf(began.Add(c.behind), "root", "ls")
				other.PID = 5000
				s.Take(other, recording)
				require.Equal(t, c.waits, len(*shipped) == 0)
			}
			parent := execOf(began.Add(c.parent), "root", "sh")
			parent.PID, parent.PPID = 4700, 1
			s.Take(parent, recording)
			s.Settle()
			require.Len(t, *shipped, 1)
			name, _ := (*shipped)[0].GetValue("process.parent.name")
			if c.want == "" {
				require.Nil(t, name)
			} else {
				require.Equal(t, c.want, name)
			}
		})
	}

	s, shipped := testEngine(t, func(cfg *config.Config) { cfg.Events = config.EventsMatched })
	for i := range 3 * waitMax {
		e := execOf(began.Add(time.Duration(i)*time.Millisecond), "root", "ss")
		e.PID += uint32(i)
		if i == 10 {
			e.Parent.Name = "named" // it stays behind those before it
		}
		s.Take(e, recording)
	}
	require.Len(t, *shipped, 2*waitMax, "no more than these wait")
	s.Settle()
	require.Len(t, *shipped, 3*waitMax)
	for i, d := range *shipped {
		require.Equal(t, began.Add(time.Duration(i)*time.Millisecond), d.Timestamp, "in the order in which they came")
	}
	s.Take(execOf(began, "root", "ss"), &document.Source{Module: recording.Module})
	require.Len(t, *shipped, 3*waitMax+1, "the kernel is not waited for")
}

func TestAReplayCountsMatchesWithoutAUser(t *testing.T) {
	doc := `{"@timestamp":"2026-03-03T01:06:42.000Z","event":{"action":"exec","category":["process"]},` +
		`"process":{"pid":1,"name":"ss","parent":{"pid":9}}}`
	_, counts := replayed(t, []string{doc})
	require.Equal(t, ReplayCounts{Execs: 1, Matched: 1, Unnamed: 1, Records: 1}, counts)
}

// Whatever a replay counts as malformed it hands on, with file, line and reason.
func TestAReplayHandsOnWhatIsMalformed(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	const exec = `{"@timestamp":"2026-03-03T01:06:42Z","process":{"name":"ss"}}`
	const login = "type=USER_LOGIN msg=audit(17x): pid=1"
	const noRecord = "this is not an audit record"
	const badHeader = "its time and number cannot be read (want audit(SECONDS.MILLISECONDS:NUMBER))"
	for _, c := range []struct {
		module string
		lines  []string
		want   []module.Malformed
	}{
		{
			module: "ndjson",
			lines:  []string{exec, "", `{"a":1}`, long, "[1]", exec, "{", `{} {}`, "\x1b[2Jx"},
			want: []module.Malformed{
				{
					Line: 3, Kind: "no @timestamp, or none that can be read", Text: []byte(`{"a":1}`),
					Why: "no @timestamp, or none that can be read; it is not of the Elastic Common Schema: its keys are \"a\"",
				},
				{
					Line: 4, Kind: "the line is too long", Why: "the line is too long: it has more than 1048576 bytes",
					Text: []byte(long[:1<<10]),
				},
				{Line: 5, Kind: "not a JSON object", Text: []byte("[1]")},
				{
					Line: 7, Kind: "malformed JSON", Text: []byte("{"),
					Why: "malformed JSON: it ends in the middle: jsontext: unexpected EOF after offset 1; it may be " +
						"pretty-printed JSON: write one document a line (jq -c)",
				},
				{
					Line: 8, Kind: "malformed JSON", Text: []byte("{} {}"),
					Why: "malformed JSON: something follows the object at byte 4",
				},
				{
					Line: 9, Kind: "malformed JSON", Text: []byte("\x1b[2Jx"),
					Why: `malformed JSON: jsontext: invalid character '\x1b' at start of value`,
				},
			},
		},
		{
			module: "auditlog",
			lines:  []string{"Once upon a time", long, login, "type=EOE msg=audit(1.1:1): "},
			want: []module.Malformed{
				{Line: 1, Kind: noRecord, Text: []byte("Once upon a time")},
				{
					Line: 2, Kind: "the line is too long", Why: "the line is too long: it has more than 1048576 bytes",
					Text: []byte(long[:1<<10]),
				},
				{Line: 3, Kind: badHeader, Text: []byte(login)},
			},
		},
	} {
		t.Run(c.module, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "recording")
			require.NoError(t, os.WriteFile(file, []byte(strings.Join(c.lines, "\n")), 0o600))
			var got []module.Malformed
			r, err := NewReplay(ReplayOptions{
				Config: config.Default(), Logger: logp.NewNopLogger(),
				Document: func(*beat.Event) error { return nil },
				Malformed: func(m module.Malformed) {
					m.Text = bytes.Clone(m.Text)
					got = append(got, m)
				},
			})
			require.NoError(t, err)
			require.NoError(t, r.File(t.Context(), c.module, file))
			for i := range c.want {
				c.want[i].File = file
				if c.want[i].Why == "" {
					c.want[i].Why = c.want[i].Kind
				}
			}
			require.Equal(t, c.want, got)
			require.EqualValues(t, len(got), r.Counts().Malformed)
		})
	}
}

// A copy of a file, or documents that were shipped twice, are judged once.
func TestWhatComesAgainIsJudgedOnce(t *testing.T) {
	const rest = `"process":{"name":"ss","pid":1},"user":{"id":"33"}}`
	const one = `{"@timestamp":"2026-03-03T01:06:42Z","event":{"id":"a"},` + rest
	const two = `{"@timestamp":"2026-03-03T01:06:42Z","event":{"id":"b"},` + rest
	const nameless = `{"@timestamp":"2026-03-03T01:06:42Z",` + rest
	const later = `{"@timestamp":"2026-03-03T01:06:43Z","event":{"id":"a"},` + rest
	const hit = `{"_index":"x","_id":"c","_source":` + nameless + "}"
	const neighbour = `{"@timestamp":"2026-03-03T01:06:42Z","process":{"name":"ss","args":["ss","-a"],"pid":1}}`
	const nothing = `{"@timestamp":"2026-03-03T01:06:42Z","process":{"name":"ss"}}` // of which nobody knows
	all := []string{one, two, nameless, later, hit, neighbour}
	_, counts := replayed(t, append(append(slices.Clone(all), nothing), all...))
	require.EqualValues(t, len(all)+1, counts.Execs)
	_, counts = replayed(t, []string{nothing, nothing})
	require.EqualValues(t, 2, counts.Execs)
}

// TestOnlyThisHostTeachesUnasked learns from documents of this host, however they name it, and refuses those of others
// until somebody says whose habits are meant.
func TestOnlyThisHostTeachesUnasked(t *testing.T) {
	own, err := host.Describe("")
	require.NoError(t, err)
	name, err := os.Hostname()
	require.NoError(t, err)
	line := func(minute int, of string) string {
		return fmt.Sprintf(`{"@timestamp":"2026-01-01T00:%02d:00Z","process.name":"ss","user.name":"root"%s}`, minute, of)
	}
	const web, db = `,"host":{"id":"w","name":"web"}`, `,"host.name":"db"`
	ours := `,"host.name":"` + name + `"`
	for _, c := range []struct {
		name     string
		of       []string // what each document says of its host
		onlyHost string
		execs    uint64
		adopted  string
		err      string
	}{
		{name: "nobody says whose they are", of: []string{"", ""}, execs: 2},
		{name: "by this host's name", of: []string{ours, ours}, execs: 2},
		{name: "by its id, under another name", of: []string{`,"host":{"id":"` + own.ID + `","name":"before"}`}, execs: 1},
		{
			name: "with its id and without", execs: 2,
			of: []string{`,"host":{"id":"` + own.ID + `","name":"` + name + `"}`, ours},
		},
		{name: "among others", of: []string{web, ours, db}, execs: 1},
		{name: "another host", of: []string{"", web}, execs: 2, adopted: "web"},
		{name: "another host, by its id alone", of: []string{`,"host.id":"w"`}, execs: 1, adopted: "w"},
		{name: "another host, with its id and without", of: []string{web, `,"host.name":"web"`}, execs: 2, adopted: "web"},
		{name: "another host that is meant", of: []string{web, `,"host.name":"WEB"`}, onlyHost: "web", execs: 2},
		{name: "other hosts", of: []string{web, db}, err: "about 2 hosts, and none of them is this one: say with --host " +
			"whose they should be; there are db, web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for i, of := range c.of {
				lines = append(lines, line(i, of))
			}
			file := filepath.Join(t.TempDir(), "documents.ndjson")
			require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
			r, err := NewReplay(ReplayOptions{
				Config: config.Default(), Logger: logp.NewNopLogger(), OwnHost: true, OnlyHost: c.onlyHost,
				Document: func(*beat.Event) error { return nil },
			})
			require.NoError(t, err)
			if err = r.File(t.Context(), "ndjson", file); c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.execs, r.Counts().Execs)
			require.Equal(t, c.adopted, r.Adopted())
		})
	}
}
