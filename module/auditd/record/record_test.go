// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// assemble runs lines through an Assembler, flushes, and returns copies of what came out.
func assemble(t testing.TB, lines string) ([]*process.Event, *module.Stats) {
	var out []*process.Event
	stats := &module.Stats{}
	a := NewAssembler(Options{Stats: stats, Source: "auditlog", Names: true}, func(e *process.Event) error {
		c := &process.Event{}
		c.Copy(e)
		out = append(out, c)
		return nil
	})
	offset := int64(0)
	for line := range strings.Lines(lines) {
		offset += int64(len(line))
		require.NoError(t, a.Line([]byte(line), process.Cursor{Offset: offset}))
	}
	require.NoError(t, a.Flush())
	return out, stats
}

const syscallLine = `type=SYSCALL msg=audit(1700000000.123:%d): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=2 ppid=41 pid=%d auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=7 comm="ss" exe="/usr/bin/ss" subj=unconfined key="reconbeat"` + "\n"

func sys(seq, pid int) string { return fmt.Sprintf(syscallLine, seq, pid) }

func TestAnExecIsPutTogetherOfItsRecords(t *testing.T) {
	events, stats := assemble(t, sys(9, 42)+
		`type=EXECVE msg=audit(1700000000.123:9): argc=3 a0="ss" a1="-tlnp" a2=2F746D702F6120622263
type=CWD msg=audit(1700000000.123:9): cwd="/root"
type=PATH msg=audit(1700000000.123:9): item=0 name="/usr/bin/ss" inode=1 dev=fe:00
type=PROCTITLE msg=audit(1700000000.123:9): proctitle=7373
`)
	require.Len(t, events, 1)
	e := events[0]
	require.Equal(t, process.Exec, e.Kind)
	require.Equal(t, time.UnixMilli(1700000000123).UTC(), e.Time)
	require.EqualValues(t, 9, e.Sequence)
	require.Equal(t, "auditlog", e.Source)
	require.Equal(t, []string{"ss", "-tlnp", `/tmp/a b"c`}, e.Args)
	require.Equal(t, 3, e.ArgsCount)
	require.EqualValues(t, 42, e.PID)
	require.EqualValues(t, 41, e.PPID)
	require.EqualValues(t, 1000, e.Session.User.ID)
	require.EqualValues(t, 7, e.Session.ID)
	require.EqualValues(t, 0, e.User.ID)
	require.Equal(t, "pts0", e.TTY)
	require.True(t, e.Interactive)
	require.Equal(t, "/usr/bin/ss", e.Executable)
	require.Equal(t, "ss", e.Name)
	require.Equal(t, "/root", e.CWD)
	require.Zero(t, e.File, "one of two records is missing")
	require.False(t, e.Deleted)
	require.False(t, e.Lossy)
	require.Zero(t, stats.Malformed.Load()+stats.Incomplete.Load())
}

// TestTheFileThatRunsIsOneOfThoseThatWereOpened has the records that Linux 6.18 wrote of each kind of start.
func TestTheFileThatRunsIsOneOfThoseThatWereOpened(t *testing.T) {
	file := func(inode uint64) process.FileID { return process.FileID{Device: 0xfe00, Inode: inode} }
	path := func(item int, name string, inode int) string {
		return fmt.Sprintf(
			"type=PATH msg=audit(1700000000.123:1): item=%d name=%s inode=%d dev=fe:00 mode=0100755 ouid=0 ogid=0 "+
				"rdev=00:00 nametype=NORMAL\n",
			item,
			name,
			inode,
		)
	}
	const ld = `"/lib64/ld-linux-x86-64.so.2"`
	for name, c := range map[string]struct {
		items int
		args  string
		paths string
		want  process.FileID
	}{
		"an ELF file and its loader": {
			items: 2,
			args:  `a0="/usr/bin/ss" a1="-V"`,
			paths: path(0, `"/usr/bin/ss"`, 7) + path(1, ld, 8),
			want:  file(7),
		},
		"a static one": {
			items: 1,
			args:  `a0="/bin/busybox"`,
			paths: path(0, `"/bin/busybox"`, 7),
			want:  file(7),
		},
		"from memory": {
			items: 2,
			args:  `a0="x"`,
			paths: strings.Replace(path(0, `""`, 1025), "fe:00", "00:01", 1) + path(1, ld, 8),
			want:  process.FileID{Device: 1, Inode: 1025},
		},
		"a script": {
			items: 3,
			args:  `a0="/bin/sh" a1="/tmp/s"`,
			paths: path(0, `"/tmp/s"`, 6) + path(1, `"/bin/sh"`, 7) + path(2, ld, 8),
			want:  file(7),
		},
		"a script by its descriptor": {
			items: 3,
			args:  `a0="/bin/sh" a1="/dev/fd/9"`,
			paths: path(0, `""`, 6) + path(1, `"/bin/sh"`, 7) + path(2, ld, 8),
			want:  file(7),
		},
		"a script of a script": {
			items: 4,
			args:  `a0="/bin/sh" a1="/tmp/t" a2="/tmp/s"`,
			paths: path(0, `"/tmp/s"`, 5) + path(1, `"/tmp/t"`, 6) + path(2, `"/bin/sh"`, 7) + path(3, ld, 8),
			want:  file(7),
		},
		"a name in hexadecimal": {
			items: 3,
			args:  `a0=2F746D702F6120 a1="/tmp/s"`,
			paths: path(0, `"/tmp/s"`, 6) + path(1, `2F746D702F6120`, 7) + path(2, ld, 8),
			want:  file(7),
		},
		"a static interpreter, or a lie": {
			items: 2,
			args:  `a0="/bin/sh" a1="/tmp/s"`,
			paths: path(0, `"/tmp/s"`, 6) + path(1, `"/bin/sh"`, 7),
			want:  process.FileID{},
		},
		"its loader's name as its own": {
			items: 2,
			args:  `a0="/lib64/ld-linux-x86-64.so.2"`,
			paths: path(0, `"/tmp/x"`, 7) + path(1, ld, 8),
			want:  process.FileID{},
		},
		"records in another order": {
			items: 2,
			args:  `a0="ss"`,
			paths: path(1, ld, 8) + path(0, `"/usr/bin/ss"`, 7),
			want:  file(7),
		},
		"the program's record lost": {items: 2, args: `a0="ss"`, paths: path(1, ld, 8), want: process.FileID{}},
		"the loader's record lost": {
			items: 2,
			args:  `a0="ss"`,
			paths: path(0, `"/usr/bin/ss"`, 7),
			want:  process.FileID{},
		},
		"three files and no interpreter": {
			items: 3,
			args:  `a0="ss"`,
			paths: path(0, `"/tmp/s"`, 6) + path(1, `"/bin/sh"`, 7) + path(2, ld, 8),
			want:  process.FileID{},
		},
		"more files than the kernel opens": {
			items: 200,
			args:  `a0="ss"`,
			paths: path(0, `"/tmp/s"`, 6) + path(199, ld, 8),
			want:  process.FileID{},
		},
		"an inode of 64 bits": {
			items: 1,
			args:  `a0="ss"`,
			paths: strings.Replace(path(0, `"/m/ss"`, 7), "inode=7", "inode=18446744073709551615", 1),
			want:  file(1<<64 - 1),
		},
		"an inode that is none": {
			items: 1,
			args:  `a0="ss"`,
			paths: strings.Replace(path(0, `"/m/ss"`, 7), "inode=7", "inode=18446744073709551616", 1),
			want:  process.FileID{},
		},
		"a device of many bits": {
			items: 1,
			args:  `a0="ss"`,
			paths: strings.Replace(path(0, `"/m/ss"`, 7), "fe:00", "103:abcde", 1),
			want:  process.FileID{Device: unix.Mkdev(0x103, 0xabcde), Inode: 7},
		},
		"a device that is none": {
			items: 1,
			args:  `a0="ss"`,
			paths: strings.Replace(path(0, `"/m/ss"`, 7), "fe:00", "fe", 1),
			want:  process.FileID{},
		},
	} {
		exec := strings.Replace(sys(1, 2), "items=2", fmt.Sprintf("items=%d", c.items), 1)
		events, _ := assemble(
			t,
			exec+"type=EXECVE msg=audit(1700000000.123:1): argc=3 "+c.args+"\n"+c.paths+
				"type=PROCTITLE msg=audit(1700000000.123:1): proctitle=7373\n",
		)
		require.Len(t, events, 1, name)
		require.Equal(t, c.want, events[0].File, name)
	}
	events, _ := assemble(t, sys(1, 2)+path(0, `"/usr/bin/ss"`, 7)+path(1, ld, 8))
	require.Zero(t, events[0].File, "without a command line a script is like a program")
}

// TestWhatWasRemovedIsStillCalledWhatItWas is after elastic/beats#29678.
func TestWhatWasRemovedIsStillCalledWhatItWas(t *testing.T) {
	lines, err := os.ReadFile("testdata/removed.log")
	require.NoError(t, err)
	events, _ := assemble(t, string(lines))
	require.Len(t, events, 3)
	require.Equal(t, "/usr/bin/ss", events[0].Executable)
	require.Equal(t, "ss", events[0].Name)
	require.True(t, events[0].Deleted)
	require.Equal(t, process.FileID{Device: 0xfd00, Inode: 11}, events[0].File)
	require.Equal(t, "/memfd:kworker", events[1].Executable)
	require.Equal(t, "memfd:kworker", events[1].Name)
	require.True(t, events[1].Deleted)
	require.Equal(t, process.Login, events[2].Kind, "an sshd that was upgraded while it runs opens sessions")
	require.Equal(t, "sshd", events[2].Name)
}

func TestAnExecIsReportedAtItsFirstRecord(t *testing.T) {
	var pids []uint32
	started := func(pid uint32, at time.Time) {
		require.Equal(t, time.UnixMilli(1700000000123).UTC(), at)
		pids = append(pids, pid)
	}
	a := NewAssembler(Options{Stats: &module.Stats{}, Started: started}, func(*process.Event) error { return nil })
	for _, line := range []string{
		sys(1, 10),
		strings.Replace(sys(2, 20), "success=yes", "success=no", 1),
		strings.Replace(sys(3, 30), "syscall=59", "syscall=42", 1),
	} {
		require.NoError(t, a.Line([]byte(line), process.Cursor{}))
	}
	require.Equal(t, []uint32{10}, pids)
}

func TestWhatCountsAsAnExec(t *testing.T) {
	line := func(arch, call, success string) string {
		return strings.NewReplacer(
			"arch=c000003e",
			"arch="+arch,
			"syscall=59",
			"syscall="+call,
			"success=yes",
			"success="+success,
		).Replace(
			sys(1, 2),
		)
	}
	const execve = `type=EXECVE msg=audit(1700000000.123:1): argc=1 a0="ss"` + "\n"
	for name, c := range map[string]struct {
		lines string
		want  int
	}{
		"execve of x86_64":                            {line("c000003e", "59", "yes") + execve, 1},
		"execveat of x86_64":                          {line("c000003e", "322", "yes") + execve, 1},
		"execve of a 32-bit program":                  {line("40000003", "11", "yes") + execve, 1},
		"execveat of a 32-bit program":                {line("40000003", "358", "yes") + execve, 1},
		"execve of x32":                               {line("c000003e", "1073742344", "yes") + execve, 1},
		"execve of aarch64":                           {line("c00000b7", "221", "yes") + execve, 1},
		"an unknown architecture with a command line": {line("c0000016", "11", "yes") + execve, 1},
		"an exec that failed":                         {line("c000003e", "59", "no") + execve, 0},
		"another system call of another rule":         {line("c000003e", "42", "yes"), 0},
		"a command line whose system call was lost":   {execve, 0},
		"a system call without success":               {strings.Replace(sys(1, 2), " success=yes", "", 1) + execve, 0},
	} {
		events, _ := assemble(t, c.lines)
		require.Len(t, events, c.want, name)
	}
}

func TestLinesComeInManyForms(t *testing.T) {
	plain := sys(1, 2) + `type=EXECVE msg=audit(1700000000.123:1): argc=1 a0="ss"` + "\n"
	for name, lines := range map[string]string{
		"as auditd writes them":     plain,
		"without msg=":              strings.ReplaceAll(plain, "msg=", ""),
		"with the node before them": "node=web-1 " + strings.Replace(plain, "\ntype", "\nnode=web-1 type", 1),
		"with carriage returns":     strings.ReplaceAll(plain, "\n", "\r\n"),
		"enriched": strings.ReplaceAll(plain, "key=\"reconbeat\"\n",
			"key=\"reconbeat\"\x1dARCH=x86_64 SYSCALL=execve AUID=\"alice\" UID=\"root\" GID=\"root\"\n"),
		"with strange records around": "type=UNKNOWN[1334] msg=audit(1700000000.100:0): prog-id=1 op=LOAD\n" + plain +
			"type=BPF msg=audit(1700000000.200:2): prog-id=1\n",
	} {
		events, stats := assemble(t, lines)
		require.Len(t, events, 1, name)
		require.Equal(t, []string{"ss"}, events[0].Args, name)
		require.Zero(t, stats.Malformed.Load(), name)
		if name == "enriched" {
			require.Equal(t, "root", events[0].User.Name)
			require.Equal(t, "alice", events[0].Session.User.Name)
		}
	}
}

func TestInterleavedEventsStayApart(t *testing.T) {
	var b strings.Builder
	for i := range 5 {
		b.WriteString(sys(i+1, 100+i))
	}
	for i := range 5 {
		fmt.Fprintf(&b, "type=EXECVE msg=audit(1700000000.123:%d): argc=2 a0=\"ss\" a1=\"%d\"\n", i+1, i)
	}
	for i := range 5 {
		fmt.Fprintf(&b, "type=EOE msg=audit(1700000000.123:%d): \n", i+1)
	}
	events, _ := assemble(t, b.String())
	require.Len(t, events, 5)
	for i, e := range events {
		require.Equal(t, []string{"ss", fmt.Sprint(i)}, e.Args)
		require.EqualValues(t, 100+i, e.PID)
	}
}

func TestTheSameNumberOfTwoHostsIsTwoEvents(t *testing.T) {
	events, _ := assemble(t, "node=a "+sys(1, 10)+"node=b "+sys(1, 20)+
		"node=a type=EXECVE msg=audit(1700000000.123:1): argc=1 a0=\"a\"\nnode=b type=EXECVE "+
		"msg=audit(1700000000.123:1): argc=1 a0=\"b\"\n")
	require.Len(t, events, 2)
	require.Equal(t, []string{"a"}, events[0].Args)
	require.Equal(t, []string{"b"}, events[1].Args)
}

func TestALongCommandLineComesInPiecesAndRecords(t *testing.T) {
	long := strings.Repeat("x y", 5000)
	hexed := fmt.Sprintf("%X", long)
	half := len(hexed) / 4 * 2
	events, stats := assemble(t, sys(1, 2)+
		"type=EXECVE msg=audit(1700000000.123:1): argc=3 a0=\"ss\" a1_len=30000 a1[0]="+hexed[:half]+"\n"+
		"type=EXECVE msg=audit(1700000000.123:1): a1[1]="+hexed[half:]+" a2=\"end\"\n")
	require.Len(t, events, 1)
	require.Equal(t, []string{"ss", long, "end"}, events[0].Args)
	require.Zero(t, stats.Truncated.Load()+stats.Incomplete.Load())
}

func TestACommandLineBeyondTheBoundIsCutAndCounted(t *testing.T) {
	var b strings.Builder
	b.WriteString(sys(1, 2))
	fmt.Fprintf(&b, "type=EXECVE msg=audit(1700000000.123:1): argc=40 a0=\"ss\"")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, " a%d=\"%s\"", i, strings.Repeat("z", 4000))
	}
	b.WriteString("\n")
	events, stats := assemble(t, b.String())
	require.Len(t, events, 1)
	require.Equal(t, 40, events[0].ArgsCount)
	require.Less(t, len(events[0].Args), 40)
	total := 0
	for _, a := range events[0].Args {
		total += len(a)
	}
	require.LessOrEqual(t, total, maxText)
	require.Equal(t, "ss", events[0].Args[0])
	require.EqualValues(t, 1, stats.Truncated.Load())
}

func TestALostRecordIsCountedAndSaid(t *testing.T) {
	events, stats := assemble(t, sys(1, 2)+
		"type=EXECVE msg=audit(1700000000.123:1): argc=3 a0=\"ss\" a2=\"end\"\n"+sys(2, 3)+sys(3, 4)+
		"type=EXECVE msg=audit(1700000000.123:3): argc=1 a0=\"ss\"\n")
	require.Len(t, events, 3)
	require.True(t, events[0].Lossy, "the second argument is missing")
	require.True(t, events[1].Lossy, "there is no command line")
	require.False(t, events[2].Lossy)
	require.EqualValues(t, 2, stats.Incomplete.Load())
}

func TestAnEventWithoutAnEndIsCompleteLater(t *testing.T) {
	var out int
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { out++; return nil })
	lines := strings.SplitAfter(
		sys(
			1,
			2,
		)+"type=EXECVE msg=audit(1700000000.123:1): argc=1 a0=\"ss\"\n"+strings.Replace(
			sys(2, 3),
			"1700000000.123",
			"1700000003.123",
			1,
		),
		"\n",
	)
	for _, l := range lines[:2] {
		require.NoError(t, a.Line([]byte(l), process.Cursor{}))
	}
	require.Zero(t, out)
	require.NoError(t, a.Line([]byte(lines[2]), process.Cursor{}))
	require.Equal(t, 1, out)
}

func TestAnExecThatTookLongToStartIsWhole(t *testing.T) {
	now := strings.NewReplacer("1700000000.123", "1700000009.123")
	events, stats := assemble(t, now.Replace(sys(1, 10))+sys(2, 20)+now.Replace(sys(3, 30))+
		"type=EXECVE msg=audit(1700000000.123:2): argc=1 a0=\"ss\"\ntype=EOE msg=audit(1700000000.123:2): \n")
	require.Len(t, events, 3)
	require.EqualValues(t, 20, events[0].PID)
	require.Equal(t, []string{"ss"}, events[0].Args)
	require.EqualValues(t, 2, stats.Incomplete.Load(), "the two others")
}

func TestAClockThatWasSetBackLeavesNoEventWaiting(t *testing.T) {
	var out []uint32
	a := NewAssembler(
		Options{Stats: &module.Stats{}},
		func(e *process.Event) error { out = append(out, e.PID); return nil },
	)
	for i, at := range []string{"1900000000.123", "1700000000.123", "1700000001.123", "1700000003.000"} {
		require.NoError(t, a.Line([]byte(strings.Replace(sys(i+1, i+1), "1700000000.123", at, 1)), process.Cursor{}))
	}
	require.Equal(t, []uint32{2}, out)
}

func TestResumingAtACursorLosesNoIncompleteEvent(t *testing.T) {
	lines := []string{
		sys(1, 10), sys(2, 20),
		"type=EXECVE msg=audit(1700000000.123:2): argc=1 a0=\"b\"\n", "type=EOE msg=audit(1700000000.123:2): \n",
		"type=EXECVE msg=audit(1700000000.123:1): argc=1 a0=\"a\"\n", "type=EOE msg=audit(1700000000.123:1): \n",
	}
	events, _ := assemble(t, strings.Join(lines, ""))
	require.Len(t, events, 2)
	require.EqualValues(t, 20, events[0].PID)
	require.EqualValues(t, 0, events[0].Cursor.Offset, "event 1 began at the start and is incomplete")
	require.EqualValues(t, len(strings.Join(lines, "")), events[1].Cursor.Offset)
}

func TestMoreIncompleteEventsThanPlacesHandTheOldestOn(t *testing.T) {
	var b strings.Builder
	for i := range inFlight + 10 {
		b.WriteString(sys(i+1, i+1))
	}
	events, stats := assemble(t, b.String())
	require.Len(t, events, inFlight+10)
	require.EqualValues(t, inFlight+10, stats.Incomplete.Load())
	require.EqualValues(t, 1, events[0].PID)
}

func TestLoginSessionsBeginAndEnd(t *testing.T) {
	events, _ := assemble(
		t,
		`type=LOGIN msg=audit(1700000000.000:1): pid=50 uid=0 old-auid=4294967295 auid=1000 tty=(none) old-ses=4294967295 ses=7 res=1
type=LOGIN msg=audit(1700000000.000:2): login pid=51 uid=0 old auid=4294967295 new auid=1001 old ses=4294967295 new ses=8
type=USER_START msg=audit(1700000000.001:3): pid=50 uid=0 auid=1000 ses=7 msg='op=PAM:session_open grantors=pam_selinux,pam_unix acct="alice" exe="/usr/sbin/sshd" hostname=10.0.0.9 addr=10.0.0.9 terminal=ssh res=success'
type=USER_LOGIN msg=audit(1700000000.002:4): pid=50 uid=0 auid=1000 ses=7 msg='op=login id=1000 exe="/usr/sbin/sshd" hostname=? addr=::ffff:10.0.0.9 terminal=/dev/pts/0 res=success'
type=USER_START msg=audit(1700000000.003:5): pid=60 uid=1000 auid=1000 ses=7 msg='op=PAM:session_open acct="root" exe="/usr/bin/sudo" hostname=? addr=? terminal=/dev/pts/0 res=success'
type=USER_LOGIN msg=audit(1700000000.003:6): pid=61 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct="mallory" exe="/usr/sbin/sshd" hostname=? addr=10.6.6.6 terminal=ssh res=failed'
type=USER_END msg=audit(1700000000.004:7): pid=50 uid=0 auid=1000 ses=7 msg='op=PAM:session_close acct="alice" exe="/usr/sbin/sshd" hostname=10.0.0.9 addr=10.0.0.9 terminal=ssh res=success'
`,
	)
	require.Len(t, events, 6)
	require.Equal(t, process.AccountChange, events[4].Kind, "a login that failed begins no session")
	require.Equal(t, process.Account{User: process.User{ID: process.Unset, Name: "mallory"},
		Action: process.AccountLoginFailed}, events[4].Account)
	require.EqualValues(t, 7, events[0].Session.ID)
	require.EqualValues(t, 1000, events[0].Session.User.ID)
	require.EqualValues(t, 50, events[0].Session.Leader)
	require.EqualValues(t, 8, events[1].Session.ID)
	require.EqualValues(t, 1001, events[1].Session.User.ID)
	require.Equal(t, netip.MustParseAddr("10.0.0.9"), events[2].Session.Source)
	require.Equal(t, "sshd", events[2].Name)
	require.Equal(t, netip.MustParseAddr("10.0.0.9"), events[3].Session.Source)
	require.Equal(t, "pts/0", events[3].Session.TTY)
	require.Equal(t, process.Logout, events[5].Kind)
}

func TestWhatIsNoRecordIsCounted(t *testing.T) {
	for _, line := range []string{
		"x",
		"hello",
		"type=",
		"type=SYSCALL",
		"type=SYSCALL msg=",
		"type=SYSCALL msg=audit(",
		"type=SYSCALL msg=audit(1:2",
		"type=SYSCALL msg=audit(1.x:2): a=b",
		"node=",
		"node=x",
		"type=SYSCALL msg=audit(99999999999999999999.1:1): a=1",
	} {
		_, stats := assemble(t, line+"\n")
		require.EqualValues(t, 1, stats.Malformed.Load(), "%q", line)
	}
}

func TestTheSteadyStateAllocatesNothing(t *testing.T) {
	out := 0
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { out++; return nil })
	lines := manyExecs()
	run := func() {
		for _, l := range lines {
			if err := a.Line(l, process.Cursor{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(20, run))
	require.Equal(t, 22*manyEvents, out)
}

// manyEvents is more than an Assembler remembers of those that are complete.
const manyEvents = 4 * doneEvents

// manyExecs are the lines of one exec after the other.
func manyExecs() (lines [][]byte) {
	for i := range manyEvents {
		for _, line := range execLines() {
			lines = append(lines, bytes.Replace(line, []byte(":9)"), fmt.Appendf(nil, ":%d)", 10+i), 1))
		}
	}
	return lines
}

func execLines() [][]byte {
	var lines [][]byte
	for line := range strings.Lines(sys(9,
		42) + `type=EXECVE msg=audit(1700000000.123:9): argc=3 a0="ss" a1="-tlnp" a2=2F746D702F6120622263
type=CWD msg=audit(1700000000.123:9): cwd="/root"
type=PATH msg=audit(1700000000.123:9): item=0 name="/usr/bin/ss" inode=247777 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0
type=PATH msg=audit(1700000000.123:9): item=1 name="/lib64/ld-linux-x86-64.so.2" inode=325835 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0
type=PROCTITLE msg=audit(1700000000.123:9): proctitle=7373002D746C6E70
`) {
		lines = append(lines, []byte(line))
	}
	return lines
}

func BenchmarkExec(b *testing.B) {
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { return nil })
	lines := manyExecs()
	each := len(lines) / manyEvents
	b.ReportAllocs()
	for i := 0; b.Loop(); i = (i + each) % len(lines) {
		for _, l := range lines[i : i+each] {
			_ = a.Line(l, process.Cursor{})
		}
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add(
		[]byte(
			sys(
				1,
				2,
			) + "type=EXECVE msg=audit(1700000000.123:1): argc=3 a0=\"ss\" a1_len=4 a1[0]=4142 a1[1]=43 a2=\"x\"\n",
		),
	)
	f.Add(
		[]byte(
			"type=LOGIN msg=audit(1.1:1): pid=1 auid=1 ses=1 res=1\nnode=a type=USER_START msg=audit(1.1:2): ses=1 " +
				"msg='exe=\"/usr/sbin/sshd\" addr=::1 terminal=/dev/pts/0 res=success'\n",
		),
	)
	f.Add([]byte("type=CWD msg=audit(1.1:1): cwd=\"\x1d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var scratch process.Event
		a := NewAssembler(Options{Stats: &module.Stats{}, Names: true}, func(e *process.Event) error {
			scratch.Copy(e)
			if len(e.Args) > maxArgs || e.Kind == 0 {
				t.Fatalf("%d arguments of kind %s", len(e.Args), e.Kind)
			}
			return nil
		})
		for i, line := 0, []byte(nil); len(b) > 0; i++ {
			if n := strings.IndexByte(string(b), '\n'); n >= 0 {
				line, b = b[:n+1], b[n+1:]
			} else {
				line, b = b, nil
			}
			if err := a.Line(line, process.Cursor{Offset: int64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Flush(); err != nil || a.Pending() != 0 {
			t.Fatal(err, a.Pending())
		}
	})
}
