// SPDX-License-Identifier: Apache-2.0

package fields

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	types, err := Read([]byte(`
- key: ecs
  fields:
    - {name: "@timestamp", type: date}
    - name: process
      type: group
      fields:
        - {name: name}
        - {name: pid, type: long}
        - {name: command_line, type: wildcard, multi_fields: [{name: text, type: match_only_text}]}
    - {name: message, type: match_only_text}
`))
	require.NoError(t, err)
	require.Equal(
		t,
		Types{
			"@timestamp":                "date",
			"process.name":              "keyword",
			"process.pid":               "long",
			"process.command_line":      "wildcard",
			"process.command_line.text": "match_only_text",
			"message":                   "match_only_text",
		},
		types,
	)
	require.Equal(t, "string", types.DataType("process.command_line"))
	require.Empty(t, types.DataType("message"), "it is taken apart into words")
	require.Empty(t, types.DataType("process.parent"))
	_, err = Read([]byte("fields: ["))
	require.ErrorContains(t, err, "reading the fields")
}
