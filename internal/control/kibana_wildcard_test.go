// SPDX-License-Identifier: Apache-2.0

package control

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBackslashesInKibanasPatterns(t *testing.T) {
	for _, tt := range []struct {
		text, pattern   string
		exact, possible bool
	}{
		{"ss -*", "ss -*", false, true},
		{"plain", "plain", false, true},
		{`a\*b`, "a*b", true, true},
		{`what\?`, "what?", true, true},
		{`C:\\Tools\\*`, `C:\Tools\*`, false, true},
		{`a\*b*`, "a*b*", false, false},
		{`ends\`, `ends\`, true, true},
	} {
		pattern, exact, possible := fromWildcard(tt.text)
		require.Equal(t, tt.pattern, pattern, tt.text)
		require.Equal(t, tt.exact, exact, tt.text)
		require.Equal(t, tt.possible, possible, tt.text)
	}
	entries, err := KibanaList{}.literal(&Condition{Field: "process.executable", Matches: Texts{`a\*`}}, false)
	require.NoError(t, err)
	require.Equal(t, `a\\*`, entries[0][0].Value)
}
