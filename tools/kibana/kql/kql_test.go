// SPDX-License-Identifier: Apache-2.0

package kql

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{name: "nothing finds everything", query: ` `, want: `{"match_all":{}}`},
		{name: "a field has a value", query: `event.kind:alert`, want: `{"match":{"event.kind":"alert"}}`},
		{name: "blanks do not matter", query: ` event.kind : alert `, want: `{"match":{"event.kind":"alert"}}`},
		{
			name: "a phrase is in quotes", query: `process.command_line:"ss -tan \"x\""`,
			want: `{"match_phrase":{"process.command_line":"ss -tan \"x\""}}`,
		},
		{name: "a quoted keyword is a value", query: `user.name:"and"`, want: `{"match_phrase":{"user.name":"and"}}`},
		{name: "a lone star asks for any value", query: `source.ip:*`, want: `{"exists":{"field":"source.ip"}}`},
		{
			name: "a star in a word stands for any text", query: `process.name:net*`,
			want: `{"wildcard":{"process.name":{"value":"net*"}}}`,
		},
		{
			name: "a star behind a backslash is a star", query: `process.name:net\*`,
			want: `{"match":{"process.name":"net*"}}`,
		},
		{
			name: "a number is compared", query: `reconbeat.anomaly.score >= 25`,
			want: `{"range":{"reconbeat.anomaly.score":{"gte":"25"}}}`,
		},
		{name: "a time is compared", query: `@timestamp < "now-1h"`, want: `{"range":{"@timestamp":{"lt":"now-1h"}}}`},
		{
			name: "not binds strongest, and before or", query: `a:1 or not b:2 and c:3`,
			want: `{"bool":{"minimum_should_match":1,"should":[{"match":{"a":"1"}},` +
				`{"bool":{"filter":[{"bool":{"must_not":[{"match":{"b":"2"}}]}},{"match":{"c":"3"}}]}}]}}`,
		},
		{
			name: "brackets bind before that", query: `(a:1 or b:2) and c:3`,
			want: `{"bool":{"filter":[{"bool":{"minimum_should_match":1,"should":[{"match":{"a":"1"}},` +
				`{"match":{"b":"2"}}]}},{"match":{"c":"3"}}]}}`,
		},
		{
			name: "a field has one of several values", query: `status:(degraded or failed)`,
			want: `{"bool":{"minimum_should_match":1,"should":[{"match":{"status":"degraded"}},` +
				`{"match":{"status":"failed"}}]}}`,
		},
		{
			name: "a field has all of several values", query: `rules:(a and "b c")`,
			want: `{"bool":{"filter":[{"match":{"rules":"a"}},{"match_phrase":{"rules":"b c"}}]}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := Parse(c.query)
			require.NoError(t, err)
			got, err := json.Marshal(q.DSL())
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"an operator at the end, which Kibana takes", `event.kind:alert and`, "the end where a field should be"},
		{"an operator at the beginning", `or event.kind:alert`, "`or` where a field should be"},
		{"a negation of nothing", `not`, "the end where a field should be"},
		{"operators in upper case", `a:1 AND b:2`, "`AND` where the query should end"},
		{"two words without quotes", `process.command_line:ss -tan`, "`-tan` where the query should end"},
		{"a value without a field", `alert`, "`alert` without a field"},
		{"a quoted value without a field", `"alert"`, `the value "alert" where a field should be`},
		{"a pattern of fields", `user.*:root`, "`user.*` where a field should be"},
		{"a field without a value", `event.kind:`, "the end where a value should be"},
		{"a quote that does not end", `user.name:"root`, "a quote that does not end"},
		{"a quote that ends in a backslash", `user.name:"root\`, "a quote that does not end"},
		{"a backslash at the end", `user.name:root\`, "a backslash with nothing behind it"},
		{"a bracket that does not close", `(a:1 or b:2`, "the end where a bracket should close"},
		{"a list that does not close", `a:(1 or 2`, "the end where a bracket should close"},
		{"a bracket that was not opened", `a:1)`, "`)` where the query should end"},
		{"an empty list", `a:()`, "`)` where a value should be"},
		{"a pattern that is compared", `a > 1*`, "`1*` behind >"},
		{"nested fields", `a:{b:1}`, "nested fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.query)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestFields(t *testing.T) {
	q, err := Parse(`event.kind:alert and not (host.name:(a or b) or score > 3)`)
	require.NoError(t, err)
	require.Equal(t, []string{"event.kind", "host.name", "host.name", "score"}, Fields(q))
}

// FuzzParse looks for queries that crash the parser, or that it turns into an invalid query.
func FuzzParse(f *testing.F) {
	for _, q := range []string{``, `event.kind:alert and not user.name:("x y" or z*)`, `a >= 3 or (b:*)`,
		`not not a:"\""`, `((((`, `a:{b:1}`, "a:\xff"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			return
		}
		_, err = json.Marshal(q.DSL())
		require.NoError(t, err)
		for _, field := range Fields(q) {
			require.NotEmpty(t, field)
		}
	})
}
