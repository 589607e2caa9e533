// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryConditionIsCompleteAndItsCodeUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Conditions() {
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, c.Code)
		require.False(t, seen[c.Code], c.Code)
		seen[c.Code] = true
		require.NotEmpty(t, c.Title)
		require.False(t, strings.HasSuffix(c.Title, "."), "a title is no sentence: %s", c.Title)
		require.True(t, strings.HasSuffix(c.Help, "."), "help is a sentence: %s", c.Help)
		require.Contains(t, []Severity{Degraded, Failed}, c.Severity)
	}
}

func TestListenersHearWhenAConditionBeginsAndEndsOnceEach(t *testing.T) {
	var b Board
	var heard []string
	b.Listen(func(s State, active bool) {
		word := "ends"
		if active {
			word = "begins"
		}
		heard = append(heard, s.Condition.Code+" "+s.Subject+" "+word)
	})
	began := time.Unix(1000, 0)
	b.Clear(RingFull, "") // it never held
	b.Set(RingFull, "", "1 event", began)
	b.Set(RingFull, "", "2 events", began.Add(time.Minute))
	b.Set(SourceFailed, "a", "", began)
	b.Set(SourceFailed, "b", "", began)
	require.Equal(t, []State{{SourceFailed, "a", "", began}, {SourceFailed, "b", "", began}, {RingFull, "", "2 events", began}}, b.Active(),
		"the worst first; the detail is the newest, the time that of the beginning")
	b.Clear(SourceFailed, "a")
	b.Clear(SourceFailed, "a")
	b.Clear(RingFull, "")
	require.Equal(t, []string{"ring_full  begins", "source_failed a begins", "source_failed b begins", "source_failed a ends", "ring_full  ends"}, heard)
	require.Equal(t, "failed", Failed.String())
	require.Equal(t, "degraded", Degraded.String())
}

func TestABoardIsSafeForManyGoroutines(t *testing.T) {
	var b Board
	var mu sync.Mutex
	open := map[string]int{}
	b.Listen(func(s State, active bool) {
		mu.Lock()
		defer mu.Unlock()
		if active {
			open[s.Subject]++
		} else {
			open[s.Subject]--
		}
	})
	var wg sync.WaitGroup
	for _, subject := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 500 {
				b.Set(RingFull, subject, "", time.Time{})
				b.Active()
				b.Clear(RingFull, subject)
			}
		})
	}
	wg.Wait()
	require.Empty(t, b.Active())
	for subject, n := range open {
		require.Zero(t, n, subject)
	}
}
