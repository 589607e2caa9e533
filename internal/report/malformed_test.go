// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/module"
)

// hostileLine is a line that would clear a terminal, run in a browser, and read backwards.
var hostileLine = module.Malformed{
	File: "audit.log", Line: 7, Kind: "this is not an audit record", Why: "this is not an audit record",
	Text: []byte("\x1b[2J\x00\xff<script>document.title='run'</script>\u202etxt.exe\u200b\u2028 \\x é"),
}

func TestThePageShowsWhatWasMalformed(t *testing.T) {
	var r Report
	r.AddMalformed(hostileLine)
	for i := range 300 {
		r.AddMalformed(module.Malformed{
			File: "b.ndjson", Line: uint64(i + 1), Kind: "malformed JSON", Why: fmt.Sprint("malformed JSON: at byte ", i),
			Text: []byte(strings.Repeat("é", 1<<20)),
		})
	}
	r.AddMalformed(module.Malformed{File: "-", Line: 1, Kind: "not a JSON object", Why: "not a JSON object"})
	page := read(t, &r, Facts{Malformed: 302})
	for _, want := range []string{
		"302 records could not be read and are passed over",
		`<tr><td class="n">300</td><td class="line">b.ndjson</td><td>malformed JSON</td></tr>`,
		`<tr><td class="n">1</td><td class="line">audit.log</td><td>this is not an audit record</td></tr>`,
		`<tr><td class="n">1</td><td class="line">standard input</td><td>not a JSON object</td></tr>`,
		`<h3 class="files">audit.log, line 7</h3>`, "<p>malformed JSON: at byte 4</p>",
		`<h3 class="files">standard input, line 1</h3>`,
		`<p class="line">\x1b[2J\x00\xff<script>document.title='run'</script>\u202etxt.exe\u200b\u2028 \x é</p>`,
		"295 more are counted above and left out here",
	} {
		require.Contains(t, page, want)
	}
	require.NotContains(t, page, "at byte 5", "a flood of one kind leaves room for the others")
	require.NotContains(t, written(t, &r, Facts{Malformed: 302}), "<script")
	require.Less(t, len(page), 64<<10)
}

// However many files there are, and however much is wrong with them, the page is bounded.
func TestMalformedInputIsBounded(t *testing.T) {
	var r Report
	for i := range 10 * maxKinds {
		r.AddMalformed(module.Malformed{File: fmt.Sprint(i, strings.Repeat("x", 1<<10)), Line: 1, Kind: "malformed JSON"})
	}
	page := read(t, &r, Facts{Malformed: 10 * maxKinds})
	require.Equal(t, maxSamples, strings.Count(page, ", line 1</h3>"))
	require.Equal(t, maxKinds, strings.Count(page, "<td>malformed JSON</td>"))
	require.Contains(t, page, `<tr><td class="n">900</td><td class="dim" colspan="2">in other files</td></tr>`)
}

func TestAPageWithoutMalformedInputIsSilent(t *testing.T) {
	require.NotContains(t, read(t, &Report{}, Facts{}), "<h2>Malformed</h2>")
}
