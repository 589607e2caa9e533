// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

var update = flag.Bool("update", false, "write the golden files anew")

// normal is what reconbeat understands of a document, as a document.
func normal(e *process.Event) map[string]any {
	doc := Encode(e)
	doc["@timestamp"] = e.Time
	return map[string]any{"kind": e.Kind.String(), "document": doc, "effective": e.Effective, "login": e.Session.User}
}

func TestDocumentsOfEachAgentAreUnderstood(t *testing.T) {
	files, err := filepath.Glob("testdata/documents/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 11)
	var d Decoder
	var e process.Event
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, d.Decode(doc, &e))
			got, err := json.MarshalIndent(normal(&e), "", "  ")
			require.NoError(t, err)
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func decode(t *testing.T, doc string) *process.Event {
	t.Helper()
	var d Decoder
	e := &process.Event{}
	require.NoError(t, d.Decode([]byte(doc), e))
	return e
}

func TestWhatAnActionATypeAndAKindMakeOfADocument(t *testing.T) {
	const alive = `"@timestamp":1700000000000,"process":{"name":"ss","pid":7}`
	for name, row := range map[string]struct {
		fields string
		want   process.Kind
	}{
		"neither action nor type: an exec": {``, process.Exec},
		"Elastic Defend's exec":            {`,"event":{"action":"exec","type":["start"]}`, process.Exec},
		"Elastic Defend's fork, exec and end in one": {
			`,"event":{"action":["fork","exec","end"],"type":["start","end"]}`,
			process.Exec,
		},
		"auditd's executed":         {`,"event":{"action":"executed"}`, process.Exec},
		"auditbeat's changed image": {`,"event":{"action":"process_changed_image","type":["change"]}`, process.Exec},
		"a start without an action": {`,"event":{"type":["start"],"category":["process"]}`, process.Exec},
		"a fork":                    {`,"event":{"action":"fork","type":["start"]}`, process.Fork},
		"an end":                    {`,"event":{"action":"end","type":["end"]}`, process.Exit},
		"an end without an action is nothing that is known": {`,"event":{"type":["end"]}`, 0},
		"a process that ran already":                        {`,"event":{"action":"already_running","type":["info"]}`, 0},
		"a network start without an action":                 {`,"event":{"type":["start"],"category":["network"]}`, 0},
		"an alert on an exec": {
			`,"event":{"kind":"alert","action":"exec","type":["start"]}`,
			0,
		},
		"a state":                             {`,"event":{"kind":"state"}`, 0},
		"an exec on another operating system": {`,"host":{"os":{"type":"windows"}},"event":{"action":"exec"}`, 0},
		"an exec on Linux":                    {`,"host":{"os":{"type":"linux"}},"event":{"action":"exec"}`, process.Exec},
		"a null action is not an action":      {`,"event":{"action":null,"type":null}`, process.Exec},
		"an empty list of actions is none":    {`,"event":{"action":[]}`, process.Exec},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.want, decode(t, `{`+alive+row.fields+`}`).Kind)
		})
	}
	assert.Zero(
		t,
		decode(t, `{"@timestamp":1700000000000,"event":{"action":"exec"}}`).Kind,
		"an exec of nobody knows what",
	)
	assert.Equal(
		t,
		process.Exec,
		decode(t, `{"@timestamp":1700000000000,"process":{"executable":"/usr/bin/ss"}}`).Kind,
		"the executable names the process",
	)
	assert.Zero(
		t,
		decode(t, `{"@timestamp":1700000000000,"event":{"action":"end"},"process":{"name":"ss"}}`).Kind,
		"the end of nobody knows which process",
	)
}

func TestWhoIsWhoInTheDocumentsOfEachAgent(t *testing.T) {
	alice, root := process.User{ID: 1000, Name: "alice"}, process.User{ID: 0, Name: "root"}
	for name, row := range map[string]struct {
		fields          string
		real, effective process.User
	}{
		"auditd: user is real, effective left out where it is the same": {
			fields: `"event":{"module":"auditd"},"user":{"id":"1000","name":"alice"}`, real: alice, effective: alice},
		"auditd: effective where it differs": {
			fields:    `"event":{"module":"auditd"},"user":{"id":"1000","name":"alice","effective":{"id":"0","name":"root"}}`,
			real:      alice,
			effective: root},
		"Elastic Defend: user is effective, Ext.real is real": {
			fields:    `"event":{"module":"endpoint"},"user":{"id":0,"name":"root","Ext":{"real":{"id":1000,"name":"alice"}}}`,
			real:      alice,
			effective: root},
		"Elastic Defend: process.user is effective, process.real_user is real": {
			fields:    `"event":{"module":"endpoint"},"user":{"id":0,"name":"root"},"process":{"user":{"id":0,"name":"root"},"real_user":{"id":1000,"name":"alice"}}`,
			real:      alice,
			effective: root},
		"the order of fields does not matter": {
			fields:    `"process":{"real_user":{"id":1000,"name":"alice"},"user":{"id":0,"name":"root"}},"user":{"Ext":{"real":{"id":1000,"name":"alice"}},"id":0,"name":"root"}`,
			real:      alice,
			effective: root},
		"a name comes from another field of the same id": {
			fields: `"process":{"real_user":{"id":1000}},"user":{"id":"1000","name":"alice"}`, real: alice, effective: nobody},
		"a name alone": {
			fields:    `"user.name":"alice"`,
			real:      process.User{ID: process.Unset, Name: "alice"},
			effective: nobody,
		},
		"nobody": {fields: `"user":{"id":"4294967295"}`, real: nobody, effective: nobody},
		"an id that is not a number (a Windows SID) is none": {
			fields:    `"user":{"id":"S-1-5-18","name":"alice"}`,
			real:      process.User{ID: process.Unset, Name: "alice"},
			effective: nobody,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := decode(t, `{"@timestamp":1700000000000,`+row.fields+`}`)
			assert.Equal(t, row.real, e.User, "real")
			assert.Equal(t, row.effective, e.Effective, "effective")
		})
	}
}

func TestTheLoginUserOfAuditdDocuments(t *testing.T) {
	for name, row := range map[string]struct {
		fields string
		want   process.User
	}{
		"auditbeat": {`"user":{"audit":{"id":"1000","name":"alice"}}`, process.User{ID: 1000, Name: "alice"}},
		"auditd_manager": {
			`"auditd":{"user":{"audit":{"id":"1000","name":"alice"}}}`,
			process.User{ID: 1000, Name: "alice"},
		},
		"the summary's actor": {
			`"event.module":"auditd","auditd.summary.actor.primary":"alice"`,
			process.User{ID: process.Unset, Name: "alice"},
		},
		"an actor without a name": {`"event.module":"auditd","auditd.summary.actor.primary":"1000"`, process.User{ID: 1000}},
		"unset": {
			`"event.module":"auditd","auditd.summary.actor.primary":"unset","user.audit":{"id":"4294967295","name":"unset"}`,
			nobody,
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.want, decode(t, `{"@timestamp":1700000000000,`+row.fields+`}`).Session.User)
		})
	}
}

// TestTheLoginUserIsTheOneOfTheWayIn has documents without a login user, as Elastic Defend's.
func TestTheLoginUserIsTheOneOfTheWayIn(t *testing.T) {
	alice, root := `"user":{"id":1000,"name":"alice"}`, `"user":{"id":0,"name":"root"}`
	leader := func(entry, name, user string) string {
		return `"entry_leader":{"entry_meta":{"type":"` + entry + `"},"name":"` + name + `",` + user + `}`
	}
	known := process.User{ID: 1000, Name: "alice"}
	for _, row := range []struct {
		name, leaders, rest string
		want                process.User
	}{
		{"by ssh, and sudo since", leader("sshd", "bash", alice), ``, known},
		{"on a terminal", leader("terminal", "bash", alice), ``, known},
		{"on the console", leader("console", "zsh", alice), ``, known},
		{"root by ssh, and su since", leader("sshd", "bash", root), ``, process.User{Name: "root"}},
		{
			"the daemon is the entry leader",
			leader("sshd", "sshd", root) + `,"session_leader":{"name":"bash",` + alice + `}`, ``, known,
		},
		{
			"of newer OpenSSH, by its path",
			leader("sshd", "", root+`,"executable":"/usr/lib/openssh/sshd-session"`) +
				`,"session_leader":{"name":"bash",` + alice + `}`, ``, known,
		},
		{"the real user of the leader", leader("sshd", "bash", `"real_user":{"id":1000,"name":"alice"},`+root), ``, known},
		{"the daemon and no session leader", leader("sshd", "sshd", root), ``, nobody},
		{"a service", leader("init", "nginx", `"user":{"id":33,"name":"www-data"}`), ``, nobody},
		{"a container", leader("container", "sh", root), ``, nobody},
		{"an unknown way in", `"entry_leader":{"name":"bash",` + alice + `}`, ``, nobody},
		{
			"a login user counts", leader("sshd", "bash", alice), `,"user":{"audit":{"id":"1001","name":"bob"}}`,
			process.User{ID: 1001, Name: "bob"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := decode(t, `{"@timestamp":1700000000000,"process":{"name":"ss",`+row.leaders+`}`+row.rest+`}`)
			assert.Equal(t, row.want, e.Session.User)
		})
	}
}

func TestTimesAreReadAsElasticsearchReadsThem(t *testing.T) {
	want := time.Date(2026, 3, 2, 10, 0, 5, 0, time.UTC)
	for in, want := range map[string]time.Time{
		`"2026-03-02T10:00:05Z"`:            want,
		`"2026-03-02T10:00:05.5Z"`:          want.Add(500 * time.Millisecond),
		`"2026-03-02T10:00:05,5Z"`:          want.Add(500 * time.Millisecond),
		`"2026-03-02T10:00:05.123456789Z"`:  want.Add(123456789),
		`"2026-03-02T10:00:05.1234567891Z"`: want.Add(123456789),
		`"2026-03-02T12:00:05+02:00"`:       want,
		`"2026-03-02T04:30:05.000-0530"`:    want,
		`"2026-03-02T12:00:05+02"`:          want,
		`"2026-03-02T10:00:05"`:             want,
		`"2026-03-02 10:00:05.000"`:         want,
		`"2026-03-02T10:00Z"`:               want.Add(-5 * time.Second),
		`"2026-03-02"`:                      want.Truncate(24 * time.Hour),
		`1772445605000`:                     want,
		`"1772445605000"`:                   want,
		`1772445605000.25`:                  want.Add(250 * time.Microsecond),
		`["2026-03-02T10:00:05Z"]`:          want,
		`"2026-03-02T10:00:05\u005a"`:       want,
		// as other programs write them
		`"20260302T100005Z"`:                        want,
		`"20260302T100005.5Z"`:                      want.Add(500 * time.Millisecond),
		`"20260302T110005+0100"`:                    want,
		`"2026-03-02T11:00:05+01:00[Europe/Paris]"`: want,
		`"2026-03-02T11:00:05 +0100"`:               want,
		`"2026-03-02 10:00:05 UTC"`:                 want,
		`"2026-03-02 10:00:05.5 +0000 UTC"`:         want.Add(500 * time.Millisecond),
		`"2026/03/02 10:00:05"`:                     want,
		`"Mon, 02 Mar 2026 10:00:05 GMT"`:           want,
		`"Mon, 02 Mar 2026 11:00:05 +0100"`:         want,
		`"02/Mar/2026:11:00:05 +0100"`:              want,
		`{"$date":"2026-03-02T10:00:05Z"}`:          want,
		`{"$date":{"$numberLong":"1772445605000"}}`: want,
	} {
		e := decode(t, `{"@timestamp":`+in+`}`)
		assert.Equal(t, want, e.Time, in)
	}
	for _, in := range []string{
		`""`,
		`"now"`,
		`"2026-13-02T10:00:05Z"`,
		`"0001-01-01T00:00:00Z"`,
		`"9999-01-01T00:00:00Z"`,
		`"2026-03-02T10:00:05+0x:00"`,
		`true`,
		`null`,
		`{}`,
		`-5`,
		`1e30`,
		`"` + strings.Repeat("2", 500) + `"`,
		`"Mon, 02 Mar 2026 10:00:05 CET"`, // a name of several zones
		`"Mar 2, 2026 @ 10:00:05.000"`,    // Kibana's, of the browser's zone
		`"03/02/2026 10:00:05"`,           // of which day nobody knows
		`"Mon Mar  2 10:00:05 2026"`,
	} {
		var d Decoder
		var e process.Event
		assert.ErrorIs(t, d.Decode([]byte(`{"@timestamp":`+in+`}`), &e), ErrNoTimestamp, in)
	}
}

func TestATimeThatCannotBeReadIsQuoted(t *testing.T) {
	var d Decoder
	var e process.Event
	err := d.Decode([]byte(`{"@timestamp":"Mar 2, 2026 @ 10:00:05.000"}`), &e)
	require.EqualError(t, err, ErrNoTimestamp.Error()+`: it is "Mar 2, 2026 @ 10:00:05.000"`)
	require.Equal(t, ErrNoTimestamp, d.Decode([]byte(`{"a":1}`), &e))
}

func TestHostileInputIsAnErrorOrIsSkipped(t *testing.T) {
	var d Decoder
	var e process.Event
	for name, doc := range map[string]string{
		"nothing":                  ``,
		"torn":                     `{"@timestamp":1700000000000,"process":{"na`,
		"the first line of pretty": `{`,
		"something follows":        `{"@timestamp":1700000000000} {}`,
		"a bare control character": "{\"@timestamp\":1700000000000,\"x\":\"\x01\"}",
		"a bad escape":             `{"@timestamp":1700000000000,"x":"\q"}`,
		"nested without end":       strings.Repeat(`{"a":`, 100_000),
		"nested too deep":          `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"a list of documents":      `[{"@timestamp":1700000000000}]`,
		"a number":                 `17`,
	} {
		t.Run(name, func(t *testing.T) {
			err := d.Decode([]byte(doc), &e)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrNoTimestamp)
		})
	}
	require.ErrorIs(t, d.Decode([]byte(`[]`), &e), ErrNoObject)

	for name, row := range map[string]struct {
		doc   string
		check func(*testing.T)
	}{
		"a leaf where an object belongs": {
			`"process":"ss","user":[{"name":"x"}]`,
			func(t *testing.T) { assert.Equal(t, "", e.Name) },
		},
		"an object where a leaf belongs": {
			`"process":{"name":{"a":1},"pid":[[1]]}`,
			func(t *testing.T) { assert.Equal(t, "", e.Name); assert.Zero(t, e.PID) },
		},
		"a pid that is none": {
			`"process":{"pid":-1,"name":"ss","parent":{"pid":99999999999}}`,
			func(t *testing.T) { assert.Zero(t, e.PID); assert.Zero(t, e.PPID) },
		},
		"a pid as a float": {
			`"process.pid":17.0,"process.parent.pid":1.2e1`,
			func(t *testing.T) { assert.EqualValues(t, 17, e.PID); assert.EqualValues(t, 12, e.PPID) },
		},
		"the last of duplicates counts": {
			`"process":{"name":"a","args":["a","b"]},"process.name":"ss","process.args":["ss"]`,
			func(t *testing.T) { assert.Equal(t, "ss", e.Name); assert.Equal(t, []string{"ss"}, e.Args) },
		},
		"escaped keys": {
			`"pro\u0063ess":{"n\u0061me":"s\u0073"}`,
			func(t *testing.T) { assert.Equal(t, "ss", e.Name) },
		},
		"lone surrogates": {
			`"process.name":"s\ud800s"`,
			func(t *testing.T) { assert.Equal(t, "s\uFFFDs", e.Name) },
		},
		"bytes that are not UTF-8 stay": {
			"\"process.name\":\"s\xffs\"",
			func(t *testing.T) { assert.Equal(t, "s\xffs", e.Name) },
		},
		"keys of dots": {
			`".":1,"..":{"":2},"process.":{"name":"x"},".process.name":"x","process..name":"x"`,
			func(t *testing.T) { assert.Equal(t, "", e.Name) },
		},
		"numbers and nulls as arguments": {
			`"process.args":[null,"ss",5,{"a":1},["x"],true]`,
			func(t *testing.T) { assert.Equal(t, []string{"ss", "5", "true"}, e.Args) },
		},
		"an address that is none": {
			`"source.ip":"10.0.0.256"`,
			func(t *testing.T) { assert.False(t, e.Session.Source.IsValid()) },
		},
		"a field that only differs in case": {`"Process":{"Name":"ss"}`, func(t *testing.T) { assert.Equal(t, "", e.Name) }},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, d.Decode([]byte(`{"@timestamp":1700000000000,`+row.doc+`}`), &e))
			row.check(t)
		})
	}
}

func TestNothingOfADocumentStaysForTheNext(t *testing.T) {
	full, err := os.ReadFile("testdata/documents/elastic-defend-exec.json")
	require.NoError(t, err)
	bare := []byte(`{"@timestamp":1700000000000,"process.name":"ss"}`)
	var d Decoder
	var used process.Event
	require.NoError(t, d.Decode(full, &used))
	require.Error(t, d.Decode(full[:len(full)/2], &used))
	require.NoError(t, d.Decode(bare, &used))
	fresh := decode(t, string(bare))
	assert.Empty(
		t,
		cmp.Diff(normal(fresh), normal(&used), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })),
	)
}

func TestTheDocumentMayBeOverwrittenAfterDecoding(t *testing.T) {
	doc, err := os.ReadFile("testdata/documents/elastic-defend-exec.json")
	require.NoError(t, err)
	before := string(doc)
	var d Decoder
	var e process.Event
	require.NoError(t, d.Decode(doc, &e))
	require.Equal(t, before, string(doc), "decoding leaves the document alone")
	want, err := json.Marshal(normal(&e))
	require.NoError(t, err)
	for i := range doc {
		doc[i] = 'x'
	}
	got, err := json.Marshal(normal(&e))
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(got))
}

func TestDecodingAllocatesNothing(t *testing.T) {
	files, err := filepath.Glob("testdata/documents/*.json")
	require.NoError(t, err)
	var d Decoder
	var e process.Event
	for _, file := range files {
		doc, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, d.Decode(doc, &e))
		assert.Zero(t, testing.AllocsPerRun(50, func() { _ = d.Decode(doc, &e) }), file)
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/documents/*.json")
	require.NoError(f, err)
	for _, file := range files {
		doc, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(doc)
	}
	f.Add([]byte(`{"@timestamp":1e400,"process.args":"a  b","process.tty.char_device":{"major":143,"minor":255}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var d Decoder
		var e process.Event
		if d.Decode(doc, &e) != nil {
			return
		}
		if e.Kind == 0 {
			return
		}
		require.False(t, e.Time.IsZero())
		ours := Encode(&e)
		ours["@timestamp"] = e.Time
		again, err := json.Marshal(ours)
		require.NoError(t, err)
		var second process.Event
		require.NoError(
			t,
			d.Decode(again, &second),
			"what was understood can be said, and is understood again: %s",
			again,
		)
		require.Equal(t, e.Kind, second.Kind)
		require.Equal(t, len(e.Args), len(second.Args))
		require.True(t, e.Time.Equal(second.Time))
	})
}

func BenchmarkDecode(b *testing.B) {
	files, err := filepath.Glob("testdata/documents/*.json")
	require.NoError(b, err)
	for _, file := range files {
		doc, err := os.ReadFile(file)
		require.NoError(b, err)
		b.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(b *testing.B) {
			var d Decoder
			var e process.Event
			b.ReportAllocs()
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				if err := d.Decode(doc, &e); err != nil && !errors.Is(err, ErrNoTimestamp) {
					b.Fatal(err)
				}
			}
		})
	}
}
