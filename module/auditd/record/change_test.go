// SPDX-License-Identifier: Apache-2.0

package record

import (
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// sendto is the SYSCALL record of who changes audit, and its PROCTITLE, in the event with a number.
func sendto(at, seq, auid, exe, title string) string {
	return strings.NewReplacer(
		"(AT",
		"("+at,
		":SEQ",
		":"+seq,
		"=AUID",
		"="+auid,
		"=\"EXE",
		"=\""+exe,
		"=TITLE",
		"="+title,
	).Replace(
		`type=SYSCALL msg=audit(AT:SEQ): arch=c000003e syscall=44 success=yes exit=60 a0=3 items=0 ppid=70 pid=71 auid=AUID uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=7 comm="auditctl" exe="EXE" key=(null)
type=SOCKADDR msg=audit(AT:SEQ): saddr=100000000000000000000000
type=PROCTITLE msg=audit(AT:SEQ): proctitle=TITLE
type=EOE msg=audit(AT:SEQ):
`,
	)
}

// execOf is an exec that a rule with the key exec reports.
func execOf(at, seq string) string {
	return strings.NewReplacer("(AT", "("+at, ":SEQ", ":"+seq).Replace(
		`type=SYSCALL msg=audit(AT:SEQ): arch=c000003e syscall=59 success=yes exit=0 ppid=70 pid=72 auid=1000 uid=0 gid=0 euid=0 egid=0 tty=pts1 ses=7 comm="ss" exe="/usr/bin/ss" key="exec"
type=EXECVE msg=audit(AT:SEQ): argc=1 a0="ss"
type=EOE msg=audit(AT:SEQ):
`,
	)
}

const auditctlOff = "617564697463746C002D650030" // auditctl -e 0

// judged runs lines through an Assembler and a Tampering, and returns what was reported and which conditions hold at
// the end.
func judged(t *testing.T, lines string) (reported []*process.Event, holds []health.State) {
	board := &health.Board{}
	keep := func(e *process.Event) error {
		c := &process.Event{}
		c.Copy(e)
		if c.Kind == process.Tamper {
			reported = append(reported, c)
		}
		return nil
	}
	tampering := NewTampering(
		module.Env{ID: "auditlog", Logger: logp.NewNopLogger(), Health: board, Replay: true},
		keep,
	)
	a := NewAssembler(
		Options{Stats: &module.Stats{}, Source: "auditlog", Names: true, Changed: tampering.Changed},
		tampering.Watch(keep),
	)
	offset := int64(0)
	for line := range strings.Lines(lines) {
		offset += int64(len(line))
		require.NoError(t, a.Line([]byte(line), process.Cursor{Offset: offset}))
	}
	require.NoError(t, a.Flush())
	return reported, board.Active()
}

func TestAChangeOfAuditIsPutTogetherOfItsRecords(t *testing.T) {
	reported, holds := judged(t, execOf("1700000000.000", "1")+
		"type=CONFIG_CHANGE msg=audit(1700000001.500:2): op=set audit_enabled=0 old=1 auid=1000 ses=7 "+
		"res=1\x1dAUID=\"alice\"\n"+
		sendto("1700000001.500", "2", "1000", "/usr/sbin/auditctl", auditctlOff))
	require.Len(t, reported, 1)
	e := reported[0]
	require.Equal(
		t,
		process.Change{
			Action: process.ChangedAudit,
			Text:   "switched the kernel's audit off",
			Record: "op=set audit_enabled=0 old=1 auid=1000 ses=7 res=1",
		},
		e.Change,
	)
	require.Equal(t, time.UnixMilli(1700000001500).UTC(), e.Time)
	require.EqualValues(t, 2, e.Sequence)
	require.EqualValues(t, 71, e.PID)
	require.EqualValues(t, 70, e.PPID)
	require.EqualValues(t, 1000, e.Session.User.ID)
	require.Equal(t, "alice", e.Session.User.Name)
	require.EqualValues(t, 7, e.Session.ID)
	require.Equal(t, "/usr/sbin/auditctl", e.Executable)
	require.Equal(t, []string{"auditctl", "-e", "0"}, e.Args)
	require.NotZero(t, e.Cursor)
	require.Len(t, holds, 1)
	require.Equal(t, health.AuditTampered, holds[0].Condition)
}

func TestWhatIsTamperingByTheRecordsOfALog(t *testing.T) {
	config := func(at, seq, rest string) string {
		return "type=CONFIG_CHANGE msg=audit(" + at + ":" + seq + "): " + rest + "\n"
	}
	const t1, t2, t3, t20 = "1700000001.000", "1700000002.000", "1700000003.000", "1700000020.000"
	exec := execOf("1700000000.000", "1")
	never := "617564697463746C002D41006E657665722C65786974002D5300657865637665" // auditctl -A never,exit -S execve
	for name, c := range map[string]struct {
		lines string
		want  []string
		holds bool
	}{
		"off": {
			lines: exec + config(t1, "2", "op=set audit_enabled=0 old=1 auid=1000 ses=7 res=1"),
			want:  []string{"switched the kernel's audit off"},
			holds: true,
		},
		"off, of an older kernel": {
			lines: config(t1, "2", "audit_enabled=0 old=1 auid=1000 ses=7 res=1"),
			want:  []string{"switched the kernel's audit off"},
			holds: true,
		},
		"off, and on again": {
			lines: config(t1, "2", "op=set audit_enabled=0 old=1 auid=1000 ses=7 res=1") + sendto(t1, "2", "1000",
				"/usr/sbin/auditctl", auditctlOff) + execOf(t3, "3"),
			want: []string{
				"switched the kernel's audit off",
				"program starts are reported again; those of 2s from 2023-11-14T22:13:21.000Z on may be missing",
			},
			holds: false,
		},
		"off, refused": {
			lines: config(t1, "2", "op=set audit_enabled=0 old=2 auid=1000 ses=7 res=0"),
			want:  nil,
			holds: false,
		},
		"off as it was": {
			lines: config(t1, "2", "op=set audit_enabled=0 old=0 auid=1000 ses=7 res=1"),
			want:  nil,
			holds: false,
		},
		"on": {
			lines: config(t1, "2", "op=set audit_enabled=1 old=1 auid=1000 ses=7 res=1"),
			want:  nil,
			holds: false,
		},
		"locked": {
			lines: config(t1, "2", "op=set audit_enabled=2 old=1 auid=1000 ses=7 res=1"),
			want:  nil,
			holds: false,
		},
		"a rate of one": {
			lines: config(t1, "2", "op=set audit_rate_limit=1 old=0 auid=1000 ses=7 res=1"),
			want:  []string{"limited audit to 1 record a second"},
			holds: true,
		},
		"a rate of one, lifted": {
			lines: config(t1, "2", "op=set audit_rate_limit=1 old=0 auid=1000 ses=7 res=1") + config(t2, "3",
				"op=set audit_rate_limit=0 old=1 auid=1000 ses=7 res=1"),
			want: []string{
				"limited audit to 1 record a second",
				"program starts are reported again; those of 1s from 2023-11-14T22:13:21.000Z on may be missing",
			},
			holds: false,
		},
		"a rate that will do": {
			lines: config(t1, "2", "op=set audit_rate_limit=5000 old=0 auid=1000 ses=7 res=1"),
			want:  nil,
			holds: false,
		},
		"a backlog of one": {
			lines: config(t1, "2", "op=set audit_backlog_limit=1 old=8192 auid=1000 ses=7 res=1"),
			want:  []string{"limited audit's backlog to 1 record"},
			holds: true,
		},
		"panic on failure": {
			lines: config(t1, "2", "op=set audit_failure=2 old=1 auid=1000 ses=7 res=1"),
			want:  nil,
			holds: false,
		},
		"auditd restarts": {
			lines: config(t1, "2", "op=set audit_pid=0 old=700 auid=4294967295 ses=4294967295 res=1") + config(t2, "3",
				"op=set audit_pid=800 old=0 auid=4294967295 ses=4294967295 res=1"),
			want:  nil,
			holds: false,
		},
		"login users are frozen": {
			lines: "type=FEATURE_CHANGE msg=audit(" + t1 + ":2): ppid=70 pid=71 auid=1000 uid=0 feature=loginuid_immutable " +
				"old=0 new=1 old_lock=0 new_lock=1 res=1\n",
			want:  nil,
			holds: false,
		},
		"login users are let loose": {
			lines: "type=FEATURE_CHANGE msg=audit(" + t1 + ":2): ppid=70 pid=71 auid=1000 uid=0 feature=loginuid_immutable " +
				"old=1 new=0 old_lock=0 new_lock=0 res=1\n",
			want:  []string{"let login users be changed without a login (loginuid_immutable 0)"},
			holds: false,
		},
		"a task rule": {
			lines: config(t1, "2", `auid=1000 ses=7 op=add_rule key=(null) list=1 res=1`),
			want:  []string{"added an audit rule to the list task"},
			holds: true,
		},
		"an exclude rule of a person's, taken back": {
			lines: config(t1, "2", `auid=1000 ses=7 op=add_rule key=(null) list=5 res=1`) + config(t2, "3",
				`auid=1000 ses=7 op=remove_rule key=(null) list=5 res=1`),
			want: []string{
				"added an audit rule to the list exclude",
				"program starts are reported again; those of 1s from 2023-11-14T22:13:21.000Z on may be missing",
			},
			holds: false,
		},
		"an exclude rule that auditd's service loads": {
			lines: config(t1, "2", `auid=4294967295 ses=4294967295 op=add_rule key=(null) list=5 res=1`),
			want:  nil,
			holds: false,
		},
		"a never rule": {
			lines: config(t1, "2", `auid=1000 ses=7 op=add_rule key=(null) list=4 res=1`) + sendto(t1, "2", "1000",
				"/usr/sbin/auditctl", never),
			want:  []string{"added an audit rule to the list exit"},
			holds: true,
		},
		"some other rule": {
			lines: config(t1, "2", `auid=1000 ses=7 op=add_rule key="mine" list=4 res=1`),
			want:  nil,
			holds: false,
		},
		"rules are loaded": {
			lines: exec + config(t1, "2", `auid=1000 ses=7 op=remove_rule key="exec" list=4 res=1`) + config(t2, "3", `auid=1000 ses=7 op=add_rule key="exec" list=4 res=1`) + execOf(t20, "4"),
			want:  nil,
			holds: false,
		},
		"the rule of execs is deleted": {
			lines: exec + config(t1, "2", `auid=1000 ses=7 op=remove_rule key="exec" list=4 res=1`) + sendto(t1, "2", "1000", "/usr/sbin/auditctl", "617564697463746C002D44") +
				"type=LOGIN msg=audit(" + t20 + ":4): pid=9 uid=0 old-auid=4294967295 auid=1000 tty=(none) old-ses=4294967295 ses=8 res=1\n",
			want:  []string{"deleted an audit rule from the list exit (key exec)"},
			holds: true,
		},
		"some other rule is deleted": {
			lines: exec + config(t1, "2", `auid=1000 ses=7 op=remove_rule key="mine" list=4 res=1`),
			want:  nil,
			holds: false,
		},
		"auditd is ended by a person": {
			lines: "type=DAEMON_END msg=audit(" + t1 + ":2): op=terminate auid=1000 uid=0 ses=7 pid=71 res=success\n" + "type=DAEMON_START msg=audit(" + t3 + ":3): op=start ver=3.1 auid=4294967295 pid=800 uid=0 ses=4294967295 res=success\n",
			want: []string{
				"ended auditd, whose log is read",
				"program starts are reported again; those of 2s from 2023-11-14T22:13:21.000Z on may be missing",
			},
			holds: false,
		},
		"auditd is ended by the service manager": {
			lines: "type=DAEMON_END msg=audit(" + t1 + ":2): op=terminate auid=4294967295 uid=0 ses=4294967295 pid=1 res=success\n",
			want:  nil,
			holds: true,
		},
		"a login user that changes": {
			lines: "type=LOGIN msg=audit(" + t1 + ":2): pid=71 uid=0 old-auid=1000 auid=1001 tty=(none) old-ses=7 ses=8 res=1\n" + sendto(t1, "2", "1001", "/usr/bin/dash", "7368"),
			want:  []string{"changed the login user of the process from uid 1000 to uid 1001 without a login"},
			holds: false,
		},
		"a job of a cron that a person restarted": {
			lines: "type=LOGIN msg=audit(" + t1 + ":2): pid=71 uid=0 old-auid=1000 auid=0 tty=(none) old-ses=7 ses=8 res=1\n" + sendto(t1, "2", "0", "/usr/sbin/cron", "63726F6E"),
			want:  nil,
			holds: false,
		},
		"a login": {
			lines: "type=LOGIN msg=audit(" + t1 + ":2): pid=71 uid=0 old-auid=4294967295 auid=1001 tty=(none) old-ses=4294967295 ses=8 res=1\n" + sendto(t1, "2", "1001", "/usr/bin/dash", "7368"),
			want:  nil,
			holds: false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			reported, holds := judged(t, c.lines)
			var got []string
			for _, e := range reported {
				got = append(got, e.Change.Text)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.holds, len(holds) > 0)
		})
	}
}

func TestWhoChangesTheLoginUserIsTheOneBefore(t *testing.T) {
	reported, _ := judged(
		t,
		"type=LOGIN msg=audit(1700000001.000:2): pid=71 uid=0 old-auid=1000 auid=1001 tty=(none) old-ses=7 ses=8 res=1\x1dUID=\"root\" OLD-AUID=\"alice\" AUID=\"bob\"\n"+
			sendto(
				"1700000001.000",
				"2",
				"1001",
				"/usr/bin/dash",
				"7368",
			),
	)
	require.Len(t, reported, 1)
	require.Equal(t, process.ChangedLogin, reported[0].Change.Action)
	require.Equal(t, process.User{ID: 1000}, reported[0].Session.User)
	require.EqualValues(t, 7, reported[0].Session.ID)
	require.Equal(t, "/usr/bin/dash", reported[0].Executable)
}

// TestWhoMadeAChangeIsNamedByWhatIsKnown leaves out what no record says, such as the program of a process that is gone.
func TestWhoMadeAChangeIsNamedByWhatIsKnown(t *testing.T) {
	who := process.Event{}
	who.Session.User.ID = process.Unset
	require.Equal(t, "a service", By(&who))
	who.PID = 71
	require.Equal(t, "a service (process 71)", By(&who))
	who.Session.User.ID, who.Executable = 1000, "/usr/sbin/auditctl"
	require.Equal(t, "login user 1000 (process 71, /usr/sbin/auditctl)", By(&who))
}
