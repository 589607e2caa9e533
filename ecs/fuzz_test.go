// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// FuzzKeys writes the same document three ways, dotted, nested and cut anywhere between, and wants the same event of
// each. field is one of the table, value any JSON.
func FuzzKeys(f *testing.F) {
	values := []string{
		`"ss"`,
		`42`,
		`["a","b"]`,
		`"2026-03-02T00:00:00Z"`,
		`true`,
		`null`,
		`{"x":1}`,
		`"10.0.0.9"`,
		`1e400`,
		`[[],{},null,7]`,
	}
	for i := range table {
		f.Add(uint16(i), uint8(i), values[i%len(values)], "process.name")
	}
	f.Add(uint16(0), uint8(1), `"x"`, "..")
	f.Add(uint16(9), uint8(1), `"x"`, "_source.process.pid")
	f.Fuzz(func(t *testing.T, field uint16, cut uint8, value, key string) {
		if !json.Valid([]byte(value)) {
			return
		}
		names.find([]byte(key))
		parts := table[int(field)%len(table)].path
		at := int(cut) % len(parts)
		ways := [][]string{
			{strings.Join(parts, ".")},
			parts,
			{strings.Join(parts[:at+1], "."), strings.Join(parts[at+1:], ".")},
		}
		var first *process.Event
		for _, way := range ways {
			member, close := "", ""
			for _, k := range way {
				if k != "" {
					member, close = member+`{"`+k+`":`, close+"}"
				}
			}
			member = strings.TrimPrefix(member, "{") + value + strings.TrimSuffix(close, "}")
			doc := `{"@timestamp":"2026-03-02T00:00:00Z","process":{"name":"ss","pid":7},` + member + `}`
			var d Decoder
			e := &process.Event{}
			require.NoError(t, d.Decode([]byte(doc), e), "%s", doc)
			if first == nil {
				first = e
				continue
			}
			for i := range table {
				require.Equal(t, table[i].Value(first), table[i].Value(e), "%s of %s", table[i].Name, doc)
			}
		}
	})
}
