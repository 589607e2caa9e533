// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestALineIsBrokenBetweenWords(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		column int
		width  int
		want   string
	}{
		"what fits stays on its line":                         {"the audit pid is free", 4, 25, "the audit pid is free"},
		"what does not goes on below its beginning":           {"the audit pid is free", 4, 24, "the audit pid is\n    free"},
		"a letter of two bytes takes one place":               {"é é", 0, 3, "é é"},
		"a word that fits nowhere stands on a line by itself": {"see /var/log/audit/audit.log there", 2, 10, "see\n  /var/log/audit/audit.log\n  there"},
		"nothing stays nothing":                               {"", 17, 80, ""},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, wrap(c.text, c.column, c.width)) })
	}
}
