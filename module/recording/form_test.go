// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzForms cuts documents out of whatever there is.
func FuzzForms(f *testing.F) {
	const doc = `{"@timestamp":1,"process":{"name":"ss"}}`
	f.Add([]byte("[" + doc + "," + doc + "]"))
	f.Add([]byte(`{"took":1,"responses":[{"hits":{"hits":[{"_source":` + doc + `}]}}]}`))
	f.Add([]byte("{\n \"a\": 1\n}\n{\n \"b\": 2\n}"))
	f.Add([]byte(`{"hits":[[{"hits":{}}]]}`))
	f.Add([]byte(`["x", 1, null, {}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		FormOf(text)
		for _, form := range []Form{Values, Answers} {
			c := NewCutter(strings.NewReader(string(text)), form)
			for n := 0; ; n++ {
				doc, line, err := c.Next()
				if err != nil {
					break
				}
				if len(doc) == 0 || line == 0 || n > len(text) {
					t.Fatalf("document %d, on line %d: %q", n, line, doc)
				}
			}
		}
	})
}

func TestColumnsAreAnAnswersByTheirNames(t *testing.T) {
	require.Equal(t, Columns, FormOf([]byte(`{"columns":[{"name":"@timestamp","type":"date"}],"values":[["x"]]}`)))
	require.Equal(t, FormLines, FormOf([]byte(`{"columns":[{"id":"@timestamp"}],"title":"a timeline of Kibana's"}`)))
}

// What stands where a document should is handed on, so that somebody counts it.
func TestWhatIsNoDocumentIsCutOutToo(t *testing.T) {
	c := NewCutter(strings.NewReader(`["a", {"b":1}, null]`), Values)
	for _, want := range []string{`"a"`, `{"b":1}`, `null`} {
		doc, line, err := c.Next()
		require.NoError(t, err)
		require.EqualValues(t, 1, line)
		require.Equal(t, want, string(doc))
	}
}

// What an answer leaves out, by its own words, is said; pages of one search make up for each other.
func TestAnswersSayWhatTheyLeaveOut(t *testing.T) {
	answer := func(head, total string, documents int) string {
		hit := `{"_source":{"a":1}}`
		return `{` + head + `"hits":{"total":` + total + `,"hits":[` + strings.Repeat(hit+",", documents-1) + hit + `]}}`
	}
	for name, row := range map[string]struct {
		texts []string
		want  string
	}{
		"all of them":      {[]string{answer("", `{"value":2,"relation":"eq"}`, 2)}, ""},
		"before version 7": {[]string{answer("", "3", 2)}, "2 of at least 3 documents"},
		"the first ten":    {[]string{answer("", `{"value":12,"relation":"eq"}`, 10)}, "10 of at least 12 documents"},
		"not counted":      {[]string{answer("", `{"value":2,"relation":"gte"}`, 2)}, "2 of at least 3 documents"},
		"two pages": {
			[]string{answer("", `{"value":3,"relation":"eq"}`, 2), answer("", `{"value":3,"relation":"eq"}`, 1)}, "",
		},
		"a shard failed":  {[]string{answer(`"_shards":{"total":2,"failed":1},`, "1", 1)}, "shards or searches"},
		"no shard failed": {[]string{answer(`"_shards":{"total":2,"failed":0},"timed_out":false,`, "1", 1)}, ""},
		"out of time":     {[]string{answer(`"timed_out":true,`, "1", 1)}, "shards or searches"},
		"still running":   {[]string{`{"is_partial":true,"response":` + answer("", "1", 1) + `}`}, "shards or searches"},
		"a search failed": {
			[]string{`{"responses":[` + answer("", "1", 1) + `,{"error":{"type":"x"}}]}`}, "shards or searches",
		},
		"shards of Kibana": {[]string{`{"rawResponse":` + answer("", "1", 1) + `,"total":12,"loaded":12}`}, ""},
		"of another kind":  {[]string{`{"_shards":{"failed":"x"},"error":{"failed":1},"records":[{"a":1}]}`}, "shards"},
		"no answers":       {[]string{"{\n\"total\":{\"value\":2}}"}, ""},
	} {
		var s Shortfall
		for i, text := range row.texts {
			c := NewCutter(strings.NewReader(text), FormOf([]byte(text)))
			for {
				if _, _, err := c.Next(); err != nil {
					require.ErrorIs(t, err, io.EOF, name)
					break
				}
			}
			s.Add(fmt.Sprint("file", i), c)
		}
		s.Add("plain", nil)
		what, path := s.What()
		require.Contains(t, what, row.want, name)
		require.Equal(t, row.want == "", what == "", name)
		require.Equal(t, row.want == "", path == "", name)
	}
}
