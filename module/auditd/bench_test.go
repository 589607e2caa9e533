// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

type message struct {
	typ  uint16
	body []byte
}

// recorded returns the messages that this module once received from a kernel, and how many execs they report.
func recorded(tb testing.TB) (messages []message, execs int) {
	tb.Helper()
	b, err := os.ReadFile(captured)
	require.NoError(tb, err)
	for len(b) > 0 {
		typ, n := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		messages = append(messages, message{typ, b[4 : 4+n]})
		b = b[4+n:]
		if typ == unix.AUDIT_EXECVE { // the capture has system calls of others too: writes to loginuid
			execs++
		}
	}
	return messages, execs
}

// offline is a reader without a kernel.
func offline(emit func(*process.Event) error) *reader {
	env := module.Env{ID: "auditd", Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}}
	r := &run{auditd: &auditd{Options: defaults(), env: env}, emit: emit, exchange: newExchange(), losses: &losses{}}
	return r.newReader(&setup{auditd: r.auditd})
}

func TestRecordedMessagesGiveEveryExec(t *testing.T) {
	messages, execs := recorded(t)
	var got int
	r := offline(func(e *process.Event) error {
		if e.Kind == process.Exec {
			got++
		}
		return nil
	})
	for _, m := range messages {
		require.NoError(t, r.message(m.typ, m.body, true))
	}
	require.NotZero(t, execs)
	require.Equal(t, execs, got)
	require.Zero(t, r.stats.Malformed.Load())
}

func TestReadingRecordsDoesNotAllocate(t *testing.T) {
	messages, _ := recorded(t)
	r := offline(func(*process.Event) error { return nil })
	all := func() {
		for _, m := range messages {
			if err := r.message(m.typ, m.body, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	all() // its memory grows to what it needs
	require.Zero(t, testing.AllocsPerRun(5, all))
}

// BenchmarkExec is what one exec costs from the socket to the event, without the kernel: its records read, numbered,
// parsed, and put together.
func BenchmarkExec(b *testing.B) {
	messages, execs := recorded(b)
	var copied process.Event
	for name, emit := range map[string]func(*process.Event) error{
		"emitted": func(*process.Event) error { return nil },
		"copied":  func(e *process.Event) error { copied.Copy(e); return nil },
	} {
		b.Run(name, func(b *testing.B) {
			r := offline(emit)
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range messages {
					if err := r.message(m.typ, m.body, true); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(execs), "ns/exec")
			b.ReportMetric(float64(len(messages))/float64(execs), "records/exec")
		})
	}
}
