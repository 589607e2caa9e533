// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/process"
)

func numbered(n int) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Sequence, e.Time = process.Exec, uint64(n), time.Unix(int64(n), 0)
	e.Name = e.Text([]byte("ss"))
	return e
}

func TestAKernelSourceLosesAndCountsWhatDoesNotFit(t *testing.T) {
	r := NewRing(4)
	s := &document.Source{}
	for n := range 6 {
		taken, err := r.Send(numbered(n), s)
		require.NoError(t, err)
		require.Equal(t, n < 4, taken)
	}
	require.EqualValues(t, 2, r.Dropped.Load())
	for n := range 4 {
		require.EqualValues(t, n, r.Next().Event.Sequence)
		r.Release()
	}
	require.Nil(t, r.Next())
}

func TestASourceThatCanBeReadAgainWaitsAndLosesNothing(t *testing.T) {
	r := NewRing(4)
	s := &document.Source{Rereadable: true}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 1000 {
			_, err := r.Send(numbered(n), s)
			require.NoError(t, err)
		}
		r.Drained()
	})
	for n := 0; n < 1000; {
		slot := r.Next()
		if slot == nil {
			<-r.Filled
			continue
		}
		require.EqualValues(t, n, slot.Event.Sequence)
		r.Release()
		n++
	}
	wg.Wait()
	require.Zero(t, r.Dropped.Load())
}

func TestAClosedRingLetsNobodyWait(t *testing.T) {
	r := NewRing(1)
	s := &document.Source{Rereadable: true}
	_, err := r.Send(numbered(1), s)
	require.NoError(t, err)
	done := make(chan error)
	go func() { _, err := r.Send(numbered(2), s); done <- err }()
	r.Close()
	require.ErrorIs(t, <-done, ErrRingClosed)
	r.Drained()
}

func BenchmarkRing(b *testing.B) {
	r, s, e := NewRing(64), &document.Source{}, numbered(1)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.Send(e, s)
		r.Next()
		r.Release()
	}
}
