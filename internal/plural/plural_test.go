// SPDX-License-Identifier: Apache-2.0

package plural_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/plural"
)

func TestANumberOfThings(t *testing.T) {
	for want, got := range map[string]string{
		"0 days":          plural.Of(0, "day"),
		"1 match":         plural.Of(1, "match"),
		"2 matches":       plural.Of(uint64(2), "match"),
		"3 entries":       plural.Of(int64(3), "entry"),
		"16384 processes": plural.Of(uint32(16384), "process"),
	} {
		require.Equal(t, want, got)
	}
}
