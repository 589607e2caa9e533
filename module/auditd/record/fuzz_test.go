// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// asKernel writes a value that a user had a hand in, as the kernel's audit_log_untrustedstring does.
func asKernel(v []byte) string {
	for _, c := range v {
		if c == '"' || c < 0x21 || c > 0x7e {
			return strings.ToUpper(hex.EncodeToString(v))
		}
	}
	return `"` + string(v) + `"`
}

func FuzzText(f *testing.F) {
	for _, v := range []string{"ss", "a b", `"`, "\x00\xff", "(null)", "(none)", "?", "DEADBEEF", "deadbee", ""} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		// Whatever stands there, it is appended, and never longer than it was.
		kept := text(v, []byte("before"))
		if !bytes.HasPrefix(kept, []byte("before")) || len(kept) > len("before")+len(v) {
			t.Fatalf("%q became %q", v, kept)
		}
		if got := text([]byte(asKernel(v)), nil); !bytes.Equal(got, v) {
			t.Fatalf("the kernel's %s of %q was read as %q", asKernel(v), v, got)
		}
	})
}

func FuzzParseLine(f *testing.F) {
	for _, line := range execLines() {
		f.Add(line)
		f.Add([]byte("node=web-1 " + string(line)))
		f.Add(bytes.Replace(line, []byte("msg="), nil, 1))
	}
	f.Add([]byte("type=UNKNOWN[1334] msg=audit(1700000000.100:0): prog-id=1 op=LOAD"))
	f.Add([]byte("node= type= msg=audit("))
	f.Add([]byte(`"type=SYSCALL msg=audit(1700000000.100:7): comm=""ss"" exe=""/usr/bin/ss"""`))
	f.Add([]byte(`{"message":"type=SYSCALL msg=audit(1700000000.100:7): comm=\"ss\" exe=\"/usr/bin/ss\""}`))
	f.Add([]byte(`type= audit(=""0`))
	f.Add([]byte("type=SYS\u0270 msg=audit(1700000000.100:7): a0=1")) // a small letter that is its own capital
	f.Add([]byte("type=SYSCALL\u0138 msg=audit(1700000000.100:7): a0=1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		typ, body, node, err := ParseLine(line)
		if err != nil {
			require.ErrorIs(t, err, ErrNoRecord)
			return
		}
		require.True(t, bytes.HasPrefix(body, []byte("audit(")))
		require.True(t, bytes.Contains(line, node))
		require.LessOrEqual(t, len(body), len(line))
		if escaped := bytes.IndexByte(line, '\\') >= 0 || bytes.Contains(line, []byte(`""`)); !escaped {
			require.True(t, bytes.Contains(line, body), "the results share the line's memory")
		}
		millis, seq, rest, ok := header(body)
		if !ok {
			return
		}
		again := fmt.Appendf(nil, "audit(%d.%03d:%d): %s", millis/1000, millis%1000, seq, rest)
		millis2, seq2, rest2, ok := header(again)
		require.True(t, ok)
		require.Equal(
			t,
			[]any{millis, seq, string(bytes.TrimPrefix(rest, []byte(" ")))},
			[]any{millis2, seq2, string(bytes.TrimPrefix(rest2, []byte(" ")))},
			"type %d",
			typ,
		)
		for pairs, key, v := rest, []byte(nil), []byte(nil); ok; {
			before := len(pairs)
			if key, v, pairs, ok = next(pairs); ok && len(pairs) >= before {
				t.Fatalf("no progress at %q=%q", key, v)
			}
		}
	})
}

// FuzzArguments writes a command line as the kernel does, over as many EXECVE records as its pieces need, and wants it
// back.
func FuzzArguments(f *testing.F) {
	f.Add([]byte("ss\x00-tlnp\x00/tmp/a b\x00"), uint16(7500), uint8(3))
	f.Add([]byte("sh\x00-c\x00for i in 1 2 3; do ss; done\x00\"quoted\"\x00\xff\xfe"), uint16(5), uint8(1))
	f.Add([]byte("\x00\x00\x00"), uint16(1), uint8(200))
	f.Fuzz(func(t *testing.T, line []byte, piece uint16, perRecord uint8) {
		args := bytes.Split(line, []byte{0})
		if len(line) > 8000 || len(args) > maxArgs {
			return
		}
		size, room := max(1, int(piece)), max(1, int(perRecord))
		parts := []string{fmt.Sprintf("argc=%d", len(args))}
		for i, arg := range args {
			if len(arg) <= size {
				parts = append(parts, fmt.Sprintf("a%d=%s", i, asKernel(arg)))
				continue
			}
			parts = append(parts, fmt.Sprintf("a%d_len=%d", i, len(arg)))
			for n := 0; len(arg) > 0; n++ {
				now := arg[:min(size, len(arg))]
				parts, arg = append(parts, fmt.Sprintf("a%d[%d]=%s", i, n, asKernel(now))), arg[len(now):]
			}
		}
		var lines strings.Builder
		lines.WriteString(sys(1, 2))
		for len(parts) > 0 {
			n := min(room, len(parts))
			lines.WriteString("type=EXECVE msg=audit(1700000000.123:1): " + strings.Join(parts[:n], " ") + "\n")
			parts = parts[n:]
		}
		events, stats := assemble(t, lines.String())
		require.Len(t, events, 1)
		require.Equal(t, len(args), events[0].ArgsCount)
		require.Equal(t, strings.Split(string(line), "\x00"), events[0].Args)
		require.Zero(t, stats.Malformed.Load()+stats.Incomplete.Load()+stats.Truncated.Load())
	})
}

// FuzzEnriched has auditd resolve the ids of an exec to names that anybody may have chosen, in its enriched format.
func FuzzEnriched(f *testing.F) {
	f.Add("alice", "root", "ss")
	f.Add("unset", "unknown(4242)", "a=b")
	f.Add("DOMAIN\\user", "ü", "\x1d")
	f.Fuzz(func(t *testing.T, login, name, comm string) {
		line := strings.Replace(sys(1, 2), `comm="ss"`, "comm="+asKernel([]byte(comm)), 1)
		line = strings.TrimSuffix(
			line,
			"\n",
		) + "\x1dARCH=x86_64 SYSCALL=execve AUID=" + asKernel(
			[]byte(login),
		) + " UID=" + asKernel(
			[]byte(name),
		) + "\n"
		events, stats := assemble(t, line+`type=EXECVE msg=audit(1700000000.123:1): argc=1 a0="ss"`+"\n")
		require.Len(t, events, 1)
		want := func(name string) string {
			if name == "unset" || strings.HasPrefix(name, "unknown(") {
				return ""
			}
			return name
		}
		require.Equal(t, want(login), events[0].Session.User.Name)
		require.Equal(t, want(name), events[0].User.Name)
		require.EqualValues(t, 1000, events[0].Session.User.ID, "names change no id")
		require.EqualValues(t, 0, events[0].User.ID)
		require.Zero(t, stats.Malformed.Load())
	})
}

// FuzzRecord is what the kernel's socket may bring: a type and a text.
func FuzzRecord(f *testing.F) {
	f.Add(
		uint16(unix.AUDIT_SYSCALL),
		[]byte(
			"audit(1700000000.123:1): arch=c000003e syscall=59 success=yes ppid=1 pid=2 auid=0 uid=0 tty=(none) ses=1 "+
				"comm=\"ss\" exe=\"/usr/bin/ss\"",
		),
		uint16(unix.AUDIT_EXECVE),
		[]byte("audit(1700000000.123:1): argc=2 a0=\"ss\" a1=2D74"),
	)
	f.Add(
		uint16(unix.AUDIT_LOGIN),
		[]byte("audit(1.001:1): pid=1 old-auid=4294967295 auid=1 tty=(none) old-ses=4294967295 ses=1 res=1"),
		userStart,
		[]byte("audit(1.001:2): pid=1 ses=1 msg='exe=\"/usr/sbin/sshd\" addr=::1 terminal=ssh res=success'"),
	)
	f.Add(uint16(unix.AUDIT_EOE), []byte("audit(1.001:1): "), uint16(0), []byte{})
	f.Add(
		uint16(unix.AUDIT_CONFIG_CHANGE),
		[]byte("audit(1.001:1): op=set audit_enabled=0 old=1 auid=1000 ses=7 res=1"),
		uint16(unix.AUDIT_SYSCALL),
		[]byte(
			"audit(1.001:1): arch=c000003e syscall=44 success=yes ppid=1 pid=2 auid=1000 uid=0 exe=\"/usr/sbin/auditctl\"",
		),
	)
	f.Add(
		uint16(unix.AUDIT_CONFIG_CHANGE),
		[]byte("audit(1.001:1): auid=1000 ses=7 op=add_rule key=(null) list=5 res=1"),
		uint16(unix.AUDIT_PROCTITLE),
		[]byte("audit(1.001:1): proctitle=617564697463746C002D65"),
	)
	f.Add(
		uint16(unix.AUDIT_FEATURE_CHANGE),
		[]byte("audit(1.001:1): pid=2 feature=loginuid_immutable old=1 new=0 old_lock=0 new_lock=0 res=1"),
		uint16(unix.AUDIT_DAEMON_END),
		[]byte("audit(1.001:2): op=terminate auid=0 pid=1 res=success"),
	)
	f.Add(
		uint16(unix.AUDIT_LOGIN),
		[]byte("audit(1.001:1): pid=1 old-auid=1000 auid=1 tty=(none) old-ses=7 ses=1 res=1"),
		uint16(unix.AUDIT_DAEMON_START),
		[]byte("audit(9.001:2): op=start"),
	)
	f.Fuzz(func(t *testing.T, typ1 uint16, body1 []byte, typ2 uint16, body2 []byte) {
		stats := &module.Stats{}
		emit := func(e *process.Event) error {
			if e.Time.Before(time.Unix(0, 0)) || e.Kind == 0 || (e.Kind == process.Tamper) != (e.Change.Text != "") {
				t.Fatalf("%s at %s: %q", e.Kind, e.Time, e.Change.Text)
			}
			return nil
		}
		board := &health.Board{}
		tampering := NewTampering(module.Env{Logger: logp.NewNopLogger(), Health: board, Replay: true}, emit)
		a := NewAssembler(Options{Stats: stats, Names: true, Changed: tampering.Changed}, tampering.Watch(emit))
		require.NoError(t, a.Record(typ1, body1, process.Cursor{}))
		require.NoError(t, a.Record(typ2, body2, process.Cursor{}))
		require.NoError(t, a.Flush())
		require.Zero(t, a.Pending())
		require.NoError(t, tampering.Advance(time.Unix(1<<40, 0)))
		require.Equal(t, len(tampering.blind) > 0, len(board.Active()) > 0)
		require.EqualValues(t, 2, stats.Records.Load())
	})
}

func FuzzSequence(f *testing.F) {
	f.Add([]byte("audit(1795517743.742:2): a=b"), uint32(7))
	f.Add([]byte("audit(1795517743.742:99999999999): "), uint32(0))
	f.Add([]byte(":)"), ^uint32(0))
	f.Fuzz(func(t *testing.T, body []byte, want uint32) {
		Sequence(body)
		n, ok := Sequence(fmt.Appendf(nil, "audit(1795517743.742:%d): %s", want, body))
		require.True(t, ok)
		require.Equal(t, want, n)
	})
}
