// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

// kinds are the types of some fields.
func kinds(field string) string {
	if field == "source.ip" {
		return "ip"
	}
	return "keyword"
}

// kibanaMeans is what Kibana takes over of an export: not the ids that it gives itself.
func kibanaMeans(t *testing.T, text []byte) (items []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var item map[string]any
		require.NoError(t, json.Unmarshal(line, &item))
		for _, own := range []string{"_version", "id", "tie_breaker_id", "updated_at", "updated_by"} {
			delete(item, own)
		}
		if comments, is := item["comments"].([]any); is {
			if len(comments) == 0 {
				delete(item, "comments")
			}
			for _, c := range comments {
				delete(c.(map[string]any), "id")
			}
		}
		if item["item_id"] != nil {
			items = append(items, item)
		}
	}
	return items
}

// What is imported from Kibana and exported again is the same to Kibana.
func TestKibanasListsComeBackEqual(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "kibana.ndjson"))
	require.NoError(t, err)
	all, notes, err := ReadKibana(bytes.NewReader(text), kinds)
	require.NoError(t, err)
	require.Equal(t, []string{
		`line 3: item "7d9c1c3c-7b0e-4b0c-8f43-9c6c1b9f0a01": its tags are left out: global`,
		`line 3: item "7d9c1c3c-7b0e-4b0c-8f43-9c6c1b9f0a01": put the values of the list "web-hosts.txt" into a file of ` +
			`this name beside it`,
		`line 3: item "7d9c1c3c-7b0e-4b0c-8f43-9c6c1b9f0a01": put the values of the list "bad-addresses" into a file of ` +
			`this name beside it`,
		`line 5: item "windows" is for windows and left out`,
	}, notes)
	require.Equal(t, Exception{
		ID: "backup-check", Name: "Backup's check", Author: "alice", Created: "2026-03-02T09:05:00.000Z",
		Expires: "2027-05-31T18:00:00.000Z", Action: detector.SkipResult,
		Comment: "Backup looks at its ports\n[2026-03-03T10:00:00.000Z, alice] agreed with the backup team",
		Conditions: []Condition{
			{Field: "user.name", Is: Texts{"backup"}},
			{Field: "process.parent.executable", IsOneOf: Texts{"/opt/backup/bin/check", "/opt/backup/bin/verify"}},
			{Field: "process.command_line", Matches: Texts{"ss -t*"}},
			{Field: "source.ip", Exists: no()},
		},
	}, all[0])
	require.Equal(t, []string{"network-connection-discovery"}, all[1].Rules)
	require.Equal(t, Condition{Field: "source.ip", CIDR: Texts{"10.1.0.0/16", "192.0.2.7"}}, all[1].Conditions[0])
	require.Equal(t, Condition{Field: "process.parent.name", Matches: Texts{"*sh"}, Not: true}, all[2].Conditions[1])

	var out bytes.Buffer
	notes, err = KibanaList{ID: "recon-exceptions", Name: "Recon exceptions", Exceptions: all, Known: kinds}.Write(&out)
	require.NoError(t, err)
	require.Empty(t, notes)
	before, after := kibanaMeans(t, text), kibanaMeans(t, out.Bytes())
	for i := range 2 {
		if i == 1 { // what the notes have said, and what exceptions of ours do not distinguish
			before[i]["os_types"], before[i]["tags"] = []any{}, []any{}
		}
		require.Equal(t, before[i], after[i])
	}
	again, notes, err := ReadKibana(&out, kinds)
	require.NoError(t, err)
	require.Len(t, notes, 2) // the lists
	require.Equal(t, all, again)
}

// What Kibana allows as an id, a comment or an address comes back as it was.
func TestWhatKibanaAllowsComesBackEqual(t *testing.T) {
	head := `{"list_id":"l","description":"d\n  more","type":"simple","namespace_type":"single","os_types":[],"tags":[],` +
		`"created_by":"alice","created_at":"2026-01-01T00:00:00.000Z",`
	var lines []string
	for _, part := range []string{
		`"item_id":"Our backup (nightly)/2: \"quoted\", # no comment","name":"blanks","comments":[` +
			`{"comment":"line 1\n\n  line 3\n[a, b] c","created_at":"2026-01-02T00:00:00.000Z","created_by":"bob, admin"},` +
			`{"comment":" blanks around ","created_at":"2026-01-03T00:00:00.000Z","created_by":"eve"}],` +
			`"entries":[{"field":"user.name","operator":"included","type":"match","value":" x "}]`,
		`"item_id":"Überwachung","name":"letters","entries":[` +
			`{"field":"source.ip","operator":"included","type":"match","value":"2001:DB8::7"},` +
			`{"field":"source.ip","operator":"excluded","type":"match_any","value":["::ffff:192.0.2.7","10.0.0.0/8"]}]`,
	} {
		lines = append(lines, head+part+"}\n")
	}
	text := strings.Join(lines, "")
	all, _, err := ReadKibana(strings.NewReader(text), kinds)
	require.NoError(t, err)
	require.Equal(t, `Our backup (nightly)/2: "quoted", # no comment`, all[0].ID)
	require.Equal(t, Texts{"2001:DB8::7"}, all[1].Conditions[0].CIDR, "documents write it otherwise")
	var out bytes.Buffer
	_, err = KibanaList{ID: "l", Exceptions: all, Known: kinds}.Write(&out)
	require.NoError(t, err)
	require.Equal(t, kibanaMeans(t, []byte(text)), kibanaMeans(t, out.Bytes()))

	// An item for a further alternative gets an id that no other has.
	one := NewException()
	one.ID, one.Conditions = "a", []Condition{{Any: []Condition{
		{Field: "user.name", Is: Texts{"x"}}, {Field: "user.name", Is: Texts{"y"}},
	}}}
	other := one
	other.ID = "a:2"
	out.Reset()
	_, err = KibanaList{ID: "l", Exceptions: []Exception{one, other}, Known: kinds}.Write(&out)
	require.NoError(t, err)
	var ids []any
	for _, item := range kibanaMeans(t, out.Bytes()) {
		ids = append(ids, item["item_id"])
	}
	require.Equal(t, []any{"a", "a:3", "a:2", "a:2:2"}, ids)
}

// An exception of ours applies to the same matches after it was in Kibana, which knows neither any nor all.
func TestExceptionsMeanTheSameInKibana(t *testing.T) {
	is := func(field, value string) Condition { return Condition{Field: field, Is: Texts{value}} }
	not := func(c Condition) Condition { c.Not = true; return c }
	for name, conditions := range map[string][]Condition{
		"any":     {{Any: []Condition{is("a", "1"), is("b", "1")}}, is("c", "1")},
		"not any": {{Any: []Condition{is("a", "1"), is("b", "1")}, Not: true}},
		"not all": {{All: []Condition{is("a", "1"), not(is("b", "1"))}, Not: true}},
		"deep": {{Any: []Condition{
			{All: []Condition{is("a", "1"), is("b", "1")}}, {Any: []Condition{is("c", "1")}, Not: true},
		}}},
		"patterns":      {{Field: "a", Matches: Texts{"?", "x*"}}},
		"no patterns":   {{Field: "a", Matches: Texts{"?", "x*"}, Not: true}, is("b", "1")},
		"exists":        {{Field: "a", Exists: yes()}, {Field: "b", Exists: no()}, {Field: "c", Exists: no(), Not: true}},
		"one of":        {{Field: "a", IsOneOf: Texts{"1", "2"}}, {Field: "b", IsOneOf: Texts{"1"}, Not: true}},
		"two any":       {{Any: []Condition{is("a", "1"), is("b", "1")}}, {Any: []Condition{is("b", "1"), is("c", "1")}}},
		"double denial": {not(Condition{All: []Condition{not(is("a", "1"))}})},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewException()
			e.ID, e.Conditions = "one", conditions
			var out bytes.Buffer
			notes, err := KibanaList{ID: "l", Name: "l", Exceptions: []Exception{e}, Zone: time.UTC, Known: kinds}.Write(&out)
			require.NoError(t, err)
			require.Empty(t, notes)
			back, _, err := ReadKibana(&out, kinds)
			require.NoError(t, err)
			ours, err := New(Items{Exceptions: []Exception{e}})
			require.NoError(t, err)
			theirs, err := New(Items{Exceptions: back})
			require.NoError(t, err)
			values := []any{nil, "1", "2", "xy", []string{"1", "xy"}}
			held := 0
			for i := range len(values) * len(values) * len(values) {
				m := fields{"a": values[i%5], "b": values[i/5%5], "c": values[i/25]}
				want := ours.Decide("r", time.Now(), m).NoAlert
				require.Equal(t, want, theirs.Decide("r", time.Now(), m).NoAlert, "%v", m)
				if want {
					held++
				}
			}
			require.NotZero(t, held)
			require.Less(t, held, 125)
		})
	}
}

// What Kibana has no words for is named.
func TestWhatKibanaHasNoWordsForIsNamed(t *testing.T) {
	many := Condition{}
	for i := range 9 {
		many.All = append(many.All, Condition{Any: []Condition{
			{Field: "a", Is: Texts{fmt.Sprint(i)}}, {Field: "b", Is: Texts{fmt.Sprint(i)}},
		}})
	}
	for _, c := range []struct {
		e    Exception
		says string
		left bool
	}{
		{e: Exception{Action: detector.SkipModelUpdate}, says: "it raises alerts", left: true},
		{e: one(Condition{Field: "a", Is: Texts{"1"}}), says: "that nothing is learned is said here alone"},
		{
			e:    Exception{Conditions: []Condition{{Field: "a", Regexp: "x"}}},
			says: "no test of Kibana's exceptions is like that of a", left: true,
		},
		{
			e:    Exception{Conditions: []Condition{{Field: "a", Range: Range{GT: Texts{"1"}}}}},
			says: "no test of Kibana's exceptions is like that of a", left: true,
		},
		{e: Exception{Conditions: []Condition{{Field: "a", InList: "/etc/x"}}}, says: "is a path", left: true},
		{e: Exception{Conditions: []Condition{many}}, says: "more than 64 alternatives", left: true},
	} {
		c.e.ID = "x"
		if c.e.Action == "" {
			c.e.Action = detector.SkipResult
		}
		var out bytes.Buffer
		notes, err := KibanaList{ID: "l", Exceptions: []Exception{c.e}, Zone: time.UTC, Known: kinds}.Write(&out)
		require.NoError(t, err)
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], c.says)
		require.Equal(t, c.left, !strings.Contains(out.String(), `"item_id":"x"`))
	}
}

// Everything that is wrong is named at once, with its line.
func TestABrokenListOfKibanasIsRefused(t *testing.T) {
	item := func(id, entry string) string {
		return fmt.Sprintf(`{"item_id":%q,"list_id":"l","name":"n","type":"simple","entries":[%s]}`+"\n", id, entry)
	}
	_, _, err := ReadKibana(strings.NewReader("{\n"+
		item("ok", `{"field":"a","operator":"included","type":"match","value":"x"}`)+
		item("ok", `{"field":"a","operator":"included","type":"match","value":"x"}`)+
		item("operator", `{"field":"a","operator":"maybe","type":"match","value":"x"}`)+
		item("kind", `{"field":"a","operator":"included","type":"fuzzy","value":"x"}`)+
		item("value", `{"field":"a","operator":"included","type":"match","value":7}`)+
		item("none", `{"field":"a","operator":"included","type":"wildcard"}`)+
		item("list", `{"field":"a","operator":"included","type":"list","list":{"id":"../../etc/shadow","type":"keyword"}}`)+
		item("a\u200bb", `{"field":"a","operator":"included","type":"match","value":"x"}`)+
		item("empty", ``)+
		`{"item_id":"time","entries":[{"field":"a","type":"exists"}],"expire_time":"soon"}`+"\n"+
		`{"some":"document"}`), kinds)
	require.Error(t, err)
	for _, says := range []string{
		"line 1: reading an item", `line 3: item_id: "ok" is used already`,
		`line 4: item "operator": entries.0.operator: "maybe"`,
		`line 5: item "kind": entries.0.type: "fuzzy"`, `line 6: item "value": entries.0.value`,
		`line 7: item "none": entries.0.value: is missing`, `line 8: item "list": entries.0.list.id`,
		`line 9: item "a\u200bb": id: "a\u200bb" is not allowed; it must be 1 to 1024 characters that can be read`,
		`line 10: item "empty": conditions: is missing`,
		`line 11: item "time": reading the time "soon"`, "line 12: it is neither an exception list",
	} {
		require.ErrorContains(t, err, says)
	}
	_, _, err = ReadKibana(strings.NewReader("\n"), kinds)
	require.ErrorContains(t, err, "it has no item of an exception list")
}

// What is read is written, and read the same.
func FuzzReadKibana(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "kibana.ndjson"))
	require.NoError(f, err)
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _, err := ReadKibana(bytes.NewReader(text), kinds)
		if err != nil || len(all) == 0 {
			return
		}
		var out bytes.Buffer
		notes, err := KibanaList{ID: "l", Exceptions: all, Zone: time.UTC, Known: kinds}.Write(&out)
		require.NoError(t, err)
		require.Empty(t, notes)
		again, _, err := ReadKibana(&out, kinds)
		require.NoError(t, err)
		require.Len(t, again, len(all))
		for i := range all {
			require.Equal(t, all[i].Conditions, again[i].Conditions)
			require.Equal(t, all[i].Rules, again[i].Rules)
		}
	})
}
