// SPDX-License-Identifier: Apache-2.0

package kql

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"nothing finds everything", ` `, `{"match_all":{}}`},
		{"a field has a value", `event.kind:alert`, `{"match":{"event.kind":"alert"}}`},
		{"blanks do not matter", ` event.kind : alert `, `{"match":{"event.kind":"alert"}}`},
		{"a phrase is in quotes", `process.command_line:"ss -tan \"x\""`, `{"match_phrase":{"process.command_line":"ss -tan \"x\""}}`},
		{"a quoted keyword is a value", `user.name:"and"`, `{"match_phrase":{"user.name":"and"}}`},
		{"a lone star asks for any value", `source.ip:*`, `{"exists":{"field":"source.ip"}}`},
		{"a star in a word stands for any text", `process.name:net*`, `{"wildcard":{"process.name":{"value":"net*"}}}`},
		{"a star behind a backslash is a star", `process.name:net\*`, `{"match":{"process.name":"net*"}}`},
		{"a number is compared", `reconbeat.anomaly.score >= 25`, `{"range":{"reconbeat.anomaly.score":{"gte":"25"}}}`},
		{"a time is compared", `@timestamp < "now-1h"`, `{"range":{"@timestamp":{"lt":"now-1h"}}}`},
		{"not binds strongest, and before or", `a:1 or not b:2 and c:3`,
			`{"bool":{"minimum_should_match":1,"should":[{"match":{"a":"1"}},{"bool":{"filter":[{"bool":{"must_not":[{"match":{"b":"2"}}]}},{"match":{"c":"3"}}]}}]}}`},
		{"brackets bind before that", `(a:1 or b:2) and c:3`,
			`{"bool":{"filter":[{"bool":{"minimum_should_match":1,"should":[{"match":{"a":"1"}},{"match":{"b":"2"}}]}},{"match":{"c":"3"}}]}}`},
		{"a field has one of several values", `status:(degraded or failed)`,
			`{"bool":{"minimum_should_match":1,"should":[{"match":{"status":"degraded"}},{"match":{"status":"failed"}}]}}`},
		{"a field has all of several values", `rules:(a and "b c")`, `{"bool":{"filter":[{"match":{"rules":"a"}},{"match_phrase":{"rules":"b c"}}]}}`},
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

// FuzzParse looks for queries that crash the parser, or of which it makes what is no query.
func FuzzParse(f *testing.F) {
	for _, q := range []string{``, `event.kind:alert and not user.name:("x y" or z*)`, `a >= 3 or (b:*)`, `not not a:"\""`, `((((`, `a:{b:1}`, "a:\xff"} {
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
