// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/module"
)

// read is a module that has read up to a time.
type read struct {
	module.Module
	until time.Time
}

func (r read) Watermark(time.Time) time.Time { return r.until }

func TestAnExecOfAFileMovesTimeNoFurtherThanAll(t *testing.T) {
	now := time.Now()
	at := now.AddDate(0, 0, -20)
	before := at.Add(-time.Hour)
	file := func(until, mark time.Time) *runner {
		source := &document.Source{Rereadable: true}
		return &runner{blueprint: &blueprint{source: source}, current: read{until: until}, mark: mark}
	}
	kernel := &runner{blueprint: &blueprint{source: &document.Source{}}}
	for name, c := range map[string]struct {
		exec time.Time
		from *runner
		with []*runner
		want time.Time
	}{
		"alone":                               {at, file(at, time.Time{}), nil, at},
		"a clock that is wrong":               {now.AddDate(70, 0, 0), file(at, at), nil, time.Time{}},
		"a clock that was wrong":              {at.AddDate(0, 0, 9), file(at, at), nil, at},
		"beside the kernel":                   {at, file(at, at), []*runner{kernel}, at},
		"beside a file that is further":       {at, file(at, at), []*runner{file(now, now)}, at},
		"beside a file that is behind":        {at, file(at, at), []*runner{file(at, before)}, before},
		"beside a file that was not read yet": {at, file(at, at), []*runner{file(at, time.Time{})}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &moduleSet{runners: append(c.with, c.from)}
			require.Equal(t, c.want, s.passed(c.exec, c.from.source))
			require.Zero(t, testing.AllocsPerRun(100, func() { s.passed(c.exec, c.from.source) }))
		})
	}
}
