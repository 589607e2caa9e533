// SPDX-License-Identifier: Apache-2.0

package procconn

import (
	"encoding/binary"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
)

// message builds a message as the kernel does: struct cn_msg, struct proc_event, the words of the event.
func message(what, cpu, sequence uint32, words ...uint32) []byte {
	var b []byte
	for _, v := range []uint32{cnProc, cnProc, sequence, 0} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	b = binary.NativeEndian.AppendUint32(b, 40) // len, flags
	b = binary.NativeEndian.AppendUint32(b, what)
	b = binary.NativeEndian.AppendUint32(b, cpu)
	b = binary.NativeEndian.AppendUint64(b, 1234567890)
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

func TestParse(t *testing.T) {
	const thread = ^uint32(0)
	for name, c := range map[string]struct {
		message []byte
		want    notice
		ok      bool
	}{
		"an exec": {
			message: message(eventExec, 1, 7, 100, 100),
			want:    notice{what: eventExec, pid: 100},
			ok:      true,
		},
		"an exec by a thread, now the process": {
			message: message(eventExec, 1, 7, 101, 100),
			want:    notice{what: eventExec, pid: 100},
			ok:      true,
		},
		"a fork": {
			message: message(eventFork, 1, 7, 51, 50, 100, 100),
			want:    notice{what: eventFork, pid: 100, parent: 50},
			ok:      true,
		},
		"a new thread": {
			message: message(eventFork, 1, 7, 51, 50, 101, 100),
			want:    notice{what: thread},
			ok:      true,
		},
		"an exit": {
			message: message(eventExit, 1, 7, 100, 100, 3<<8, 17, 50, 50),
			want:    notice{what: eventExit, pid: 100, parent: 50, exit: 3},
			ok:      true,
		},
		"an exit by a signal": {
			message: message(eventExit, 1, 7, 100, 100, 9, 17, 50, 50),
			want:    notice{what: eventExit, pid: 100, parent: 50, exit: 137},
			ok:      true,
		},
		"an exit on an old kernel": {
			message: message(eventExit, 1, 7, 100, 100, 0, 17),
			want:    notice{what: eventExit, pid: 100},
			ok:      true,
		},
		"the end of a thread": {
			message: message(eventExit, 1, 7, 101, 100, 0, 17, 50, 50),
			want:    notice{what: thread},
			ok:      true,
		},
		"a change of the user": {message: message(4, 1, 7, 100, 100, 0, 0), want: notice{what: 4}, ok: true},
		"a refusal": {
			message: message(eventNone, 1, 7, 1),
			want:    notice{what: eventNone, errno: 1},
			ok:      true,
		},
		"a torn exec":            {message: message(eventExec, 1, 7, 100), want: notice{}, ok: false},
		"a torn fork":            {message: message(eventFork, 1, 7, 51, 50, 100), want: notice{}, ok: false},
		"a torn acknowledgement": {message: message(eventNone, 1, 7), want: notice{}, ok: false},
		"a torn header":          {message: message(eventExec, 1, 7)[:30], want: notice{}, ok: false},
		"nothing":                {message: nil, want: notice{}, ok: false},
		"somebody else's connector": {
			message: append([]byte{2, 0, 0, 0}, message(eventExec, 1, 7, 1, 1)[4:]...),
			want:    notice{},
			ok:      false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parse(c.message)
			require.Equal(t, c.ok, ok)
			if ok {
				c.want.cpu, c.want.sequence, c.want.time = 1, 7, 1234567890
				assert.Equal(t, c.want, got)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(eventExec, 0, 1, 100, 100))
	f.Add(message(eventFork, 0, 1, 51, 50, 100, 100))
	f.Add(message(eventExit, 0, 1, 100, 100, 9, 17, 50, 50))
	f.Add(message(eventNone, 0, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := parse(b); ok && n.what == eventFork && n.pid == 0 {
			t.Error("a fork of no process")
		}
	})
}

func TestNumbersAreCountedPerCPUAndWrap(t *testing.T) {
	var s numbers
	lost := func(cpu, sequence uint32) uint64 { return s.add(notice{what: eventExec, cpu: cpu, sequence: sequence}) }
	assert.Zero(t, lost(0, 100))
	assert.Zero(t, lost(1, 1<<32-1))
	assert.Zero(t, lost(0, 101))
	assert.Zero(t, lost(1, 0))
	assert.EqualValues(t, 3, lost(0, 105))
	assert.EqualValues(t, 1, lost(1, 2))
	assert.Zero(
		t,
		s.add(notice{what: eventNone, cpu: ^uint32(0), sequence: 5000}),
		"an older kernel's acknowledgement has the request's number",
	)
	assert.Zero(t, lost(0, 106))
}

func TestClockTurnsTheKernelsTimeIntoTheTimeOfDay(t *testing.T) {
	var c clock
	c.set()
	var mono unix.Timespec
	began := time.Now()
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono))
	assert.WithinRange(t, c.time(uint64(mono.Nano())), began.Add(-time.Second), time.Now().Add(time.Second))
}

func TestNewChecksItsOptions(t *testing.T) {
	for value, wrong := range map[int]string{
		1 << 20: "",
		1:       "socket_buffer: 1 is not allowed; it must be 65536 to 1073741824 (bytes)",
	} {
		cfg, err := conf.NewConfigFrom(map[string]any{"socket_buffer": value})
		require.NoError(t, err)
		_, err = New(cfg, module.Env{})
		if wrong == "" {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, wrong)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	m := message(eventExec, 0, 1, 100, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := parse(m); !ok {
			b.Fatal("it is not understood")
		}
	}
}
