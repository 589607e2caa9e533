// SPDX-License-Identifier: Apache-2.0

package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// hostile steers a terminal (ESC, and the one byte of it above ASCII), ends lines, turns the direction of writing,
// hides, and is broken; é and the picture of a face are as good as any text.
const hostile = "ss \x1b[2J\u009b2J \u202etxt.exe\u2066\u200b\u2028\r\n\t\x00\x7f\ufeff\U000e0041 é \U0001f600 \xff\"\\"

func TestText(t *testing.T) {
	for _, r := range Text(hostile) {
		require.True(t, unicode.IsPrint(r), "%U", r)
	}
	require.True(t, strings.HasPrefix(Text(hostile), "ss �[2J�2J �txt.exe"))
	require.Contains(t, Text(hostile), " é \U0001f600 ")
	require.Equal(t, "plain", Text("plain"))
	require.True(t, Plain("plain é"))
	require.False(t, Plain(hostile))
	require.False(t, Plain("\xff"))
}

func TestJSONSaysTheSameAndPrints(t *testing.T) {
	in := map[string]any{"text": hostile, "n": 1.5, hostile: []any{hostile}}
	b, err := JSON(in)
	require.NoError(t, err)
	for _, r := range string(b) {
		require.True(t, unicode.IsPrint(r), "%U", r)
	}
	require.Contains(t, string(b), `\u202etxt`)
	require.Contains(t, string(b), `\udb40\udc41`)
	var out map[string]any
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, strings.ToValidUTF8(hostile, "\ufffd"), out["text"])
	require.Len(t, out, 3)

	indented, err := json.MarshalIndent(in, "", "  ")
	require.NoError(t, err)
	require.JSONEq(t, string(b), string(Escape(indented)))
	require.Equal(t, strings.Count(string(indented), "\n"), strings.Count(string(Escape(indented)), "\n"))

	_, err = JSON(func() {})
	require.Error(t, err)
}

func FuzzEscape(f *testing.F) {
	f.Add(hostile)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := JSON(s)
		require.NoError(t, err)
		var out string
		require.NoError(t, json.Unmarshal(b, &out))
		require.Equal(t, strings.ToValidUTF8(s, "\ufffd"), out)
		for _, r := range string(b) {
			require.True(t, unicode.IsPrint(r), "%U", r)
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	text := []byte(strings.Repeat(`{"command_line":"ss -tan"}`, 200))
	b.ReportAllocs()
	for b.Loop() {
		Escape(text)
	}
}
