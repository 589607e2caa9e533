// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnIDCanBeTyped(t *testing.T) {
	ids := map[string]bool{}
	for i := range 1000 {
		id := ID("alert", strconv.Itoa(i))
		require.Regexp(t, `^\w[\w-]{19}$`, id)
		ids[id] = true
	}
	require.Len(t, ids, 1000)
	require.NotEqual(t, ID("a", "bc"), ID("ab", "c"), "parts are kept apart")
}
