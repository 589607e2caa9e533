// SPDX-License-Identifier: Apache-2.0

package recording

import (
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
