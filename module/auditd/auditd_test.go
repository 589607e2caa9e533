// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

func TestAnEventThatHasBegunIsGivenUpOnlyInSilence(t *testing.T) {
	messages, execs := recorded(t)
	seen := 0
	r := offline(func(e *process.Event) error {
		if e.Kind == process.Exec {
			seen++
		}
		return nil
	})
	for _, m := range messages {
		require.NoError(t, r.message(m.typ, m.body, true))
		require.NoError(t, r.settle(false), "after every record")
	}
	assert.Equal(t, execs, seen)
	assert.Zero(t, r.stats.Incomplete.Load())

	require.NoError(
		t,
		r.message(
			1300,
			[]byte(`audit(1795517743.742:4000000000): arch=c000003e syscall=59 success=yes exit=0 pid=7 uid=0`),
			true,
		),
	)
	require.NoError(t, r.settle(false))
	assert.Equal(t, 1, r.assembler.Pending(), "the rest may be next")
	require.NoError(t, r.settle(true))
	assert.Zero(t, r.assembler.Pending(), "nothing more comes")
}
