// SPDX-License-Identifier: Apache-2.0

package esql

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const silent = `FROM logs-reconbeat.health-*
| WHERE event.dataset == "reconbeat.health"
| STATS seen = MAX(@timestamp), lost = SUM(reconbeat.health.lost) BY host.name`

// TestTable takes groups as a node has them through the rest of a query.
func TestTable(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	answer := func() map[string]any {
		var a map[string]any
		require.NoError(t, json.Unmarshal([]byte(`{"aggregations":{"groups":{"after_key":{"host.name":"c"},"buckets":[
			{"key":{"host.name":"a"},"doc_count":3,"seen":{"value":990000},"lost":{"value":2}},
			{"key":{"host.name":"b"},"doc_count":3,"seen":{"value":100000},"lost":{"value":0}},
			{"key":{"host.name":"c"},"doc_count":3,"seen":{"value":400000},"lost":{"value":9}}]}}}`), &a))
		return a
	}
	a := Row{"host.name": "a", "seen": 990000.0, "lost": 2.0}
	b := Row{"host.name": "b", "seen": 100000.0, "lost": 0.0}
	c := Row{"host.name": "c", "seen": 400000.0, "lost": 9.0}
	each, counted := []string{"seen", "lost", "host.name"}, []string{"hosts"}
	for _, c := range []struct {
		name, rest string
		columns    []string
		want       []Row
	}{
		{name: "the longest silent first", rest: "\n| SORT seen ASC\n| LIMIT 2", columns: each, want: []Row{b, c}},
		{name: "those that lose", rest: "\n| WHERE lost > 0\n| SORT lost DESC", columns: each, want: []Row{c, a}},
		{
			name: "how many are silent", rest: "\n| WHERE seen < NOW() - 5 minutes\n| STATS hosts = COUNT(*)",
			columns: counted, want: []Row{{"hosts": 2.0}},
		},
		{
			name: "none is", rest: "\n| WHERE seen < NOW() - 1 day\n| STATS hosts = COUNT(*)", columns: counted,
			want: []Row{{"hosts": 0.0}},
		},
		{
			name: "by name", rest: "\n| WHERE seen >= NOW() - 10 seconds AND lost <= 2\n| SORT host.name DESC",
			columns: each, want: []Row{a},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := Parse(silent + c.rest)
			require.NoError(t, err)
			require.Equal(t, c.columns, q.Columns)
			rows, after := q.Read(answer())
			require.Equal(t, map[string]any{"host.name": "c"}, after)
			require.Equal(t, c.want, q.Table(rows, now))
		})
	}
}

func TestSearch(t *testing.T) {
	q, err := Parse(silent)
	require.NoError(t, err)
	require.Equal(t, "logs-reconbeat.health-*", q.Index)
	require.Equal(t, []string{"host.name", "event.dataset", "@timestamp", "reconbeat.health.lost"}, q.Fields())
	filter := []any{map[string]any{"term": map[string]any{"a": 1}}}
	text, err := json.Marshal(q.Search(filter, map[string]any{"host.name": "c"}))
	require.NoError(t, err)
	require.JSONEq(
		t,
		`{"size":0,"query":{"bool":{"filter":[{"term":{"a":1}},{"term":{"event.dataset":"reconbeat.health"}}]}},
		"aggs":{"groups":{"composite":{"size":1000,"sources":[{"host.name":{"terms":{"field":"host.name"}}}],
			"after":{"host.name":"c"}},
		"aggs":{"seen":{"max":{"field":"@timestamp"}},
			"lost":{"sum":{"field":"reconbeat.health.lost"}}}}}}`,
		string(text),
	)
	recent, err := Parse("FROM a | WHERE @timestamp >= NOW() - 2 hours | STATS n = COUNT(*) BY host.name")
	require.NoError(t, err)
	text, err = json.Marshal(recent.Search(nil, nil)["query"])
	require.NoError(t, err)
	require.JSONEq(t, `{"bool":{"filter":[{"range":{"@timestamp":{"gte":"now-7200s"}}}]}}`, string(text))
}

func TestWhatIsNotKnownIsAnError(t *testing.T) {
	for query, want := range map[string]string{
		"STATS a = MAX(b) BY c":             "FROM comes first",
		"FROM x | FROM y":                   "FROM comes first",
		"FROM x":                            "no FROM or no STATS",
		"FROM x | EVAL a = 1":               `unknown command "EVAL"`,
		"FROM x | STATS a = MEDIAN(b) BY c": "is not a column = FUNCTION(field)",
		"FROM x | STATS a = MAX(b)":         "no BY",
		silent + " | STATS a = MAX(lost)":   "a second STATS counts the rows",
		silent + " | WHERE heard > 1":       "no column heard any more",
		silent + " | WHERE lost":            "is not a comparison",
		silent + " | WHERE lost > many":     "is not a value",
		silent + " | SORT heard ASC":        "is not a column and ASC or DESC",
		silent + " | LIMIT all":             "invalid syntax",
	} {
		_, err := Parse(query)
		require.ErrorContains(t, err, want, query)
	}
}
