// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// child is a Beat in a process of its own, to be killed: it reads a source of numbered events from the snapshot's
// cursor, every tenth an alert, acknowledges in the order of Seq, and says on standard output what was reported to it
// as committed ("c ID") and what it acknowledged ("a ID").
func child(dir string) {
	committed := make(chan []Entry, 1<<16)
	s, err := Open(dir, Options{Committed: func(e []Entry) { committed <- e }})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("o 0") // it is open
	var again []Entry
	if err := s.Pending(func(e Entry) error { again = append(again, e); return nil }); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for _, e := range again {
		fmt.Println("p", e.ID)
	}
	go func() {
		n := 0
		settle := func(e Entry) {
			if n++; n%5 == 0 { // acknowledged in groups
				fmt.Println("a", e.ID)
				s.Acknowledged(e.Seq)
			}
		}
		for _, e := range again {
			settle(e)
		}
		for group := range committed {
			for _, e := range group {
				fmt.Println("c", e.ID)
			}
			for _, e := range group {
				settle(e)
			}
		}
	}()
	for at := s.Snapshot().Cursors["source"].Offset; ; at++ {
		e := Entry{ID: strconv.FormatInt(at, 10), Durable: at%10 == 0, Document: []byte(strings.Repeat("x", int(at%500)))}
		if _, err := s.Append(e); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		if at%100 == 99 {
			if err := s.SaveSnapshot(
				Snapshot{Model: []byte(e.ID), Cursors: map[string]process.Cursor{"source": {Offset: at + 1}}},
			); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
		}
		if at%7 == 0 {
			time.Sleep(200 * time.Microsecond)
		}
	}
}

// run lets a child work on dir for a while, kills it, and returns its lines. once says that the while begins when the
// child has opened dir, so that it gets to work on a busy machine; else it may be killed while it opens it.
func run(t *testing.T, dir string, d time.Duration, once bool) []string {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "RECONBEAT_STATE_CHILD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill := func() { _ = cmd.Process.Kill() }
	timer := time.AfterFunc(time.Minute, kill)
	defer timer.Stop()
	if !once {
		timer.Reset(d)
	}
	var lines []string
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break // a last line cut short was not said
		}
		require.NoError(t, err)
		if once && len(lines) == 0 {
			timer.Reset(d)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	require.Error(t, cmd.Wait(), "it was killed")
	return lines
}

func TestAKilledBeatLosesNothingAndDuplicatesNothing(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	committed, acked := map[int64]bool{}, map[int64]bool{}
	var snapshot int64
	for round := range rounds {
		last := int64(-1)
		// By Seq: an alert may have survived a kill that the raw events before it did not, so IDs have gaps.
		var order []int64
		for _, line := range run(t, dir, time.Duration(20+rand.IntN(120))*time.Millisecond, round%3 > 0) {
			what, id, _ := strings.Cut(line, " ")
			n, err := strconv.ParseInt(id, 10, 64)
			require.NoError(t, err, line)
			switch what {
			case "c":
				require.False(t, committed[n], "round %d: %d was committed before: a duplicate", round, n)
				committed[n] = true
				require.Greater(t, n, last, "round %d: out of order", round)
				last = n
				order = append(order, n)
			case "a":
				for len(order) > 0 {
					first := order[0]
					order, acked[first] = order[1:], true
					if first == n {
						break
					}
				}
			case "p":
				committed[n] = true // it may have been committed without having been reported
				order = append(order, n)
			}
		}
		s, err := Open(dir, Options{})
		require.NoError(t, err)
		left := map[int64]bool{}
		for _, id := range pending(t, s) {
			n, err := strconv.ParseInt(id, 10, 64)
			require.NoError(t, err)
			left[n] = true
		}
		at := s.Snapshot().Cursors["source"].Offset
		require.GreaterOrEqual(t, at, snapshot, "snapshots do not go back")
		snapshot = at
		if at > 0 {
			require.Equal(
				t,
				strconv.FormatInt(at-1, 10),
				string(s.Snapshot().Model),
				"model and cursor are of the same moment",
			)
		}
		for n := range committed {
			require.True(t, left[n] || acked[n], "round %d: %d was committed, not acknowledged, and is gone", round, n)
		}
		for n := range at {
			require.True(t, left[n] || acked[n], "round %d: %d is before the cursor, not acknowledged, and gone", round, n)
		}
		require.Zero(t, s.Stats().SetAside.Load()+s.Stats().Damaged.Load())
		require.NoError(t, s.Close())
	}
	require.Greater(t, len(committed), rounds)
	t.Logf(
		"%d rounds, %d entries committed, %d acknowledged, snapshot at %d",
		rounds,
		len(committed),
		len(acked),
		snapshot,
	)
}
