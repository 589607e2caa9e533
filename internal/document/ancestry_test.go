// SPDX-License-Identifier: Apache-2.0

package document

import (
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// A process that has said nothing of itself is left out field by field.
func TestAnAncestorOfWhichLittleIsKnown(t *testing.T) {
	p := process.NoProcess
	p.PID, p.Name = 7, "\xff"
	require.Equal(t, mapstr.M{"pid": int64(7), "name": "\ufffd"}, encodeAncestor(&p))
}
