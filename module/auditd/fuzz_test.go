// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// FuzzTake hands the module a stretch of messages, as captured: type and length, two bytes each, and the text.
func FuzzTake(f *testing.F) {
	messages, _ := recorded(f)
	var stretch []byte
	for i, m := range messages[:min(60, len(messages))] {
		stretch = binary.LittleEndian.AppendUint16(stretch, m.typ)
		stretch = append(binary.LittleEndian.AppendUint16(stretch, uint16(len(m.body))), m.body...)
		if i%12 == 11 {
			f.Add(stretch)
			stretch = nil
		}
	}
	f.Add([]byte{0x1d, 5, 0, 0, 0x1d, 5, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var scratch process.Event
		r := offline(func(e *process.Event) error {
			scratch.Copy(e)
			return nil
		})
		for len(b) >= 4 {
			typ, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
			b = b[4:]
			n = min(n, len(b))
			require.NoError(t, r.message(typ, b[:n], n%7 != 3))
			b = b[n:]
		}
		r.numbers.Settle()
		require.NoError(t, r.assembler.Flush())
		require.Zero(t, r.assembler.Pending())
	})
}
