// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	const names = "it must be auto or one of audisp, auditd, auditlog, elasticsearch, ndjson, procconn"
	for _, c := range []struct{ name, want, wrong string }{
		{name: "ndjson", want: "ndjson"},
		{name: "ecs", want: "ndjson"}, // its former name
		{name: "auditd", want: "auditd"},
		{name: "", wrong: `module: "" is not allowed; ` + names},
		{name: "auto", wrong: `module: "auto" is not allowed; ` + names},
	} {
		kind, err := Find(c.name)
		if c.wrong != "" {
			require.EqualError(t, err, c.wrong)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, kind.Name)
		require.Equal(t, []any{kind.Options}, Options(c.name))
	}
}

func TestOptionsOfAuto(t *testing.T) {
	require.Len(t, Options(Auto), 4, "audisp, auditd, auditlog and procconn")
	require.Len(t, Options("auditdd"), len(All()), "which module is meant is unknown")
}
