// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALineIsBrokenBetweenWords(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		column int
		width  int
		want   string
	}{
		"what fits stays on its line": {
			text: "the audit pid is free", column: 4, width: 25, want: "the audit pid is free",
		},
		"what does not goes on below its beginning": {
			text: "the audit pid is free", column: 4, width: 24, want: "the audit pid is\n    free",
		},
		"a letter of two bytes takes one place": {text: "é é", width: 3, want: "é é"},
		"a word that fits nowhere stands on a line by itself": {
			text: "see /var/log/audit/audit.log there", column: 2, width: 10,
			want: "see\n  /var/log/audit/audit.log\n  there",
		},
		"nothing stays nothing": {column: 17, width: 80},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, wrap(c.text, c.column, c.width)) })
	}
}

// TestProgressFitsOnALine holds that the line which replay redraws in place neither wraps nor counts past the end of a
// file that grows.
func TestProgressFitsOnALine(t *testing.T) {
	for _, c := range []struct {
		file       string
		read, size int64
		want       string
	}{
		{"/var/log/audit/audit.log", 0, 64 << 20, "audit.log: 0 of 64 MB, 0%"},
		{"audit.log", 16<<20 + 1, 64 << 20, "audit.log: 16 of 64 MB, 25%"},
		{"audit.log", 65 << 20, 64 << 20, "audit.log: 64 of 64 MB, 100%"},
		{strings.Repeat("x", 300), 1 << 40, 1 << 40, strings.Repeat("x", 39) + "…: 1048576 of 1048576 MB, 100%"},
	} {
		require.Equal(t, c.want, progress(c.file, c.read, c.size))
	}
	var out bytes.Buffer
	s := &screen{out: &out, status: true}
	s.setStatus("a: 1 of 2 MB, 50%")
	s.setStatus("a: 1 of 2 MB, 50%")
	s.setStatus("")
	require.Equal(t, "a: 1 of 2 MB, 50%\r\x1b[K", out.String(), "it is drawn once, and removed at the end")
}

// An alert that a control held back is counted beside those that are shown, once for its visit.
func TestTheScreenCountsWhatControlsHoldBack(t *testing.T) {
	s := &screen{out: io.Discard, format: formatTable}
	for _, fields := range []mapstr.M{
		{"event.action": "exec", "reconbeat.control.held": "alert", "reconbeat.control.id": []string{"web-check"}},
		{"event.action": "exec", "reconbeat.control.held": "repeat", "reconbeat.control.id": []string{"web-check"}},
		{"event.action": "alert"},
		{"event.action": "exec"},
	} {
		doc := mapstr.M{}
		for name, v := range fields {
			put(doc, name, v)
		}
		require.NoError(t, s.show(&beat.Event{Timestamp: time.Unix(0, 0), Fields: doc}))
	}
	require.Equal(t, alertCounts{alerts: 1, held: 1}, s.counted())
}
