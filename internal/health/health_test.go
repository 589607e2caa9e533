// SPDX-License-Identifier: Apache-2.0

package health

import (
	"os"
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
		require.False(t, strings.HasSuffix(c.Title, "."), "a title is not a sentence: %s", c.Title)
		require.True(t, strings.HasSuffix(c.Help, "."), "help is a sentence: %s", c.Help)
		require.Contains(t, []Severity{Degraded, Failed}, c.Severity)
	}
	source, err := os.ReadFile("health.go")
	require.NoError(t, err)
	require.Equal(t, strings.Count(string(source), " = &Condition{"), len(seen), "Conditions leaves out one of the table")
}

func TestListenersHearOfBeginningAndEnd(t *testing.T) {
	var b Board
	heard := listen(&b)
	began := time.Unix(1000, 0)
	b.Clear(RingFull, "") // it never held
	require.True(t, b.Set(RingFull, "", "1 event", began))
	require.False(t, b.Set(RingFull, "", "2 events", began.Add(time.Minute)))
	b.Set(SourceFailed, "a", "", began)
	b.Set(SourceFailed, "b", "", began)
	require.Equal(t, []State{
		{SourceFailed, "a", "", began, 1}, {SourceFailed, "b", "", began, 1}, {RingFull, "", "2 events", began, 1},
	}, b.Active(),
		"the worst first; the detail is the newest, the time that of the beginning")
	b.Clear(SourceFailed, "a")
	b.Clear(SourceFailed, "a")
	b.Clear(RingFull, "")
	b.Settle(began.Add(time.Hour))
	require.Equal(t,
		[]string{
			"begins ring_full", "begins source_failed a", "begins source_failed b", "ends source_failed a",
			"ends ring_full",
		},
		*heard)
	require.Equal(t, "failed", Failed.String())
	require.Equal(t, "degraded", Degraded.String())
}

// A disk that is full fails one write and accepts the next, a hundred times a second: listeners hear of it once a
// minute, with how often it came.
func TestAConditionThatComesAndGoes(t *testing.T) {
	b := Board{HoldOff: time.Minute}
	heard := listen(&b)
	now := time.Unix(0, 0)
	for range 125 { // seconds
		for range 10 {
			b.Set(StateNotWritten, "events.journal", "no space left", now)
			b.Clear(StateNotWritten, "events.journal")
		}
		b.Settle(now)
		now = now.Add(time.Second)
	}
	require.Equal(t,
		[]string{
			"begins state_not_written events.journal", "again state_not_written (610 times) events.journal",
			"again state_not_written (1210 times) events.journal",
		},
		*heard)
	require.Equal(t, "degraded", b.Status())
	for range 59 {
		b.Settle(now)
		now = now.Add(time.Second)
	}
	require.Equal(t, "degraded", b.Status(), "it was absent for less than a minute")
	require.Len(t, *heard, 4, "the rest of what came is reported, too")
	b.Settle(now)
	require.Equal(t, "healthy", b.Status())
	require.Equal(t, "ends state_not_written (1250 times) events.journal", (*heard)[4])
	b.Set(StateNotWritten, "events.journal", "", now)
	require.Equal(t, "state_not_written", b.Active()[0].String(), "it begins anew")
}

func TestWhatHoldsOnIsReportedOnce(t *testing.T) {
	b := Board{HoldOff: time.Minute}
	heard := listen(&b)
	for s := range 600 {
		b.Set(RulesMissing, "auditd", "gone", time.Unix(int64(s), 0))
		b.Settle(time.Unix(int64(s), 0))
	}
	b.End(RulesMissing, "auditd")
	require.Equal(t, []string{"begins rules_missing auditd", "ends rules_missing auditd"}, *heard,
		"who has decided that it is over waits for nothing")
}

// What holds while its module ends is not over: nobody knows.
func TestWhatNobodyWatchesAnyMore(t *testing.T) {
	b := Board{HoldOff: time.Minute}
	heard := listen(&b)
	b.Set(RulesMissing, "auditd", "gone", time.Unix(0, 0))
	b.Set(SocketOverflow, "auditd", "1 overflow so far", time.Unix(0, 0))
	b.Clear(SocketOverflow, "auditd")
	for _, c := range Conditions() {
		b.Leave(c, "auditd")
	}
	require.Equal(t,
		[]string{
			"begins rules_missing auditd", "begins socket_overflow auditd",
			"leaves rules_missing auditd", "ends socket_overflow auditd",
		},
		*heard)
	require.Equal(t, "healthy", b.Status())
}

func listen(b *Board) *[]string {
	var heard []string
	words := map[Change]string{Begins: "begins", Again: "again", Ends: "ends", Leaves: "leaves"}
	b.Listen(func(s State, c Change) {
		heard = append(heard, strings.TrimSpace(words[c]+" "+s.String()+" "+s.Subject))
	})
	return &heard
}

func TestABoardIsSafeForManyGoroutines(t *testing.T) {
	var b Board
	var mu sync.Mutex
	open := map[string]int{}
	b.Listen(func(s State, c Change) {
		mu.Lock()
		defer mu.Unlock()
		if c == Begins {
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
				b.Settle(time.Time{})
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
