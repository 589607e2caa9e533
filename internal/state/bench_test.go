// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// quantiles reports how long single operations took.
func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
}

// One alert at a time, from Append to Committed: what the journal adds to an alert's way. Its raw event travels along,
// and what came before is acknowledged.
func BenchmarkAlertToCommitted(b *testing.B) {
	committed := make(chan uint64, 16)
	s := mustOpen(b, benchDir(b), Options{Committed: func(e []Entry) {
		for _, e := range e {
			if e.Durable {
				committed <- e.Seq
			}
		}
	}})
	document := make([]byte, 4000)
	var took []time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a, e := alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i))
		a.Document, e.Document = document, document
		start := time.Now()
		appendAll(b, s, e, a)
		seq := <-committed
		took = append(took, time.Since(start))
		s.Acknowledged(seq)
	}
	quantiles(b, took)
}

// Append alone: what the one goroutine of detection pays.
func BenchmarkAppendRaw(b *testing.B) {
	s := mustOpen(b, benchDir(b), Options{})
	document := make([]byte, 2000)
	ids := make([]string, 1<<20)
	for i := range ids {
		ids[i] = fmt.Sprint("event-", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Append(Entry{ID: ids[i%len(ids)], Document: document}); err != nil {
			b.Fatal(err)
		}
		if i%4096 == 4095 { // or the writer falls behind, and what is measured is dropping
			b.StopTimer()
			flush(b, s)
			s.Acknowledged(s.Stats().Committed.Load())
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(s.Stats().DroppedWaiting.Load()), "dropped")
}

// Opening a state with 10,000 raw events and 1,000 alerts that nobody acknowledged: the worst at the default bounds.
func BenchmarkOpen(b *testing.B) {
	dir := benchDir(b)
	s := mustOpen(b, dir, Options{})
	for i := range 10_000 {
		e := event(fmt.Sprintf("event-%064d", i))
		e.Document = make([]byte, 2000)
		appendAll(b, s, e)
		if i%10 == 0 {
			a := alert(fmt.Sprintf("alert-%064d", i))
			a.Document = make([]byte, 4000)
			appendAll(b, s, a)
		}
		if i%500 == 0 {
			flush(b, s)
		}
	}
	save(b, s, Snapshot{Model: make([]byte, 1<<20)})
	size := float64(s.Stats().FileBytes.Load()) / (1 << 20)
	s.Close()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
	quantiles(b, took)
	b.ReportMetric(size, "MiB")
}

// A snapshot of 1 MiB of model.
func BenchmarkSaveSnapshot(b *testing.B) {
	s := mustOpen(b, benchDir(b), Options{})
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		save(b, s, Snapshot{Model: make([]byte, 1<<20)})
		took = append(took, time.Since(start))
	}
	quantiles(b, took)
}

// benchDir is on a disk, not on a tmpfs: RECONBEAT_BENCH_DIR names another one.
func benchDir(b *testing.B) string {
	if dir := os.Getenv("RECONBEAT_BENCH_DIR"); dir != "" {
		sub, err := os.MkdirTemp(dir, "state-*")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(sub) })
		return sub
	}
	return b.TempDir()
}
