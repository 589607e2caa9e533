// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	r := newRing(4)
	s := &source{}
	for n := range 6 {
		taken, err := r.send(numbered(n), s)
		require.NoError(t, err)
		require.Equal(t, n < 4, taken)
	}
	require.EqualValues(t, 2, r.dropped.Load())
	for n := range 4 {
		require.EqualValues(t, n, r.next().event.Sequence)
		r.release()
	}
	require.Nil(t, r.next())
}

func TestASourceThatCanBeReadAgainWaitsAndLosesNothing(t *testing.T) {
	r := newRing(4)
	s := &source{rereadable: true}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 1000 {
			_, err := r.send(numbered(n), s)
			require.NoError(t, err)
		}
		r.drained()
	})
	for n := 0; n < 1000; {
		slot := r.next()
		if slot == nil {
			<-r.filled
			continue
		}
		require.EqualValues(t, n, slot.event.Sequence)
		r.release()
		n++
	}
	wg.Wait()
	require.Zero(t, r.dropped.Load())
}

func TestAClosedRingLetsNobodyWait(t *testing.T) {
	r := newRing(1)
	s := &source{rereadable: true}
	_, err := r.send(numbered(1), s)
	require.NoError(t, err)
	done := make(chan error)
	go func() { _, err := r.send(numbered(2), s); done <- err }()
	r.close()
	require.ErrorIs(t, <-done, errRingClosed)
	r.drained()
}

func BenchmarkRing(b *testing.B) {
	r, s, e := newRing(64), &source{}, numbered(1)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.send(e, s)
		r.next()
		r.release()
	}
}
