// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"errors"
	"io"
	"slices"
)

// Source is what a recording is read into: one thing after the other, each of a time.
type Source interface {
	// Next reads the next thing. io.EOF: there is none.
	Next() error
	// Time is when it happened, in nanoseconds since 1970.
	Time() int64
	// Take hands it on.
	Take() error
	// First is when the first one happens, as far as the sample shows, without reading. 0: nobody knows.
	First() int64
	// Close ends reading.
	Close()
}

// Merge hands on what is in all sources, in the order of their times as far as each is in order itself. A source is
// opened when its time comes, so that of the parts of a rotated log one is open.
func Merge(ctx context.Context, sources []Source) error {
	later := slices.Clone(sources)
	slices.SortStableFunc(later, func(a, b Source) int {
		switch {
		case a.First() < b.First():
			return -1
		case a.First() > b.First():
			return 1
		}
		return 0
	})
	var open []Source
	defer func() {
		for _, s := range open {
			s.Close()
		}
	}()
	advance := func(s Source) error { // reads on, and puts the source where its time is
		err := s.Next()
		if errors.Is(err, io.EOF) {
			s.Close()
			return nil
		}
		i, _ := slices.BinarySearchFunc(open, s, func(o, s Source) int {
			if o.Time() <= s.Time() {
				return -1
			}
			return 1
		})
		open = slices.Insert(open, i, s)
		return err
	}
	for len(open)+len(later) > 0 && ctx.Err() == nil {
		if len(open) == 0 || len(later) > 0 && later[0].First() <= open[0].Time() {
			first := later[0]
			later = later[1:]
			if err := advance(first); err != nil {
				return err
			}
			continue
		}
		first := open[0]
		for len(open) == 1 && (len(later) == 0 || first.Time() < later[0].First()) { // nearly always
			if err := first.Take(); err != nil {
				return err
			}
			if err := first.Next(); err != nil {
				open = open[:0]
				first.Close()
				if !errors.Is(err, io.EOF) {
					return err
				}
				break
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		if len(open) == 0 || len(open) == 1 && len(later) > 0 {
			continue
		}
		open = open[1:]
		if err := first.Take(); err != nil {
			first.Close()
			return err
		}
		if err := advance(first); err != nil {
			return err
		}
	}
	return nil
}
