// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// recordsOf is the records of an exec of `ss -tulpn`, without PATH.
func recordsOf(seq, pid int) []string {
	return []string{
		sys(seq, pid),
		fmt.Sprintf("type=EXECVE msg=audit(1700000000.123:%d): argc=2 a0=\"ss\" a1=\"-tulpn\"\n", seq),
		fmt.Sprintf("type=CWD msg=audit(1700000000.123:%d): cwd=\"/root\"\n", seq),
		fmt.Sprintf("type=PROCTITLE msg=audit(1700000000.123:%d): proctitle=7373002D74756C706E\n", seq),
	}
}

// permuted calls f with every order of the list.
func permuted(list []string, f func([]string)) {
	var walk func(n int)
	walk = func(n int) {
		if n == len(list) {
			f(list)
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			walk(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	walk(0)
}

// ausearch prints the records of an event last to first; logs that were sorted or merged have them in any order.
func TestRecordsOfAnEventComeInAnyOrder(t *testing.T) {
	permuted(recordsOf(1, 10), func(lines []string) {
		events, stats := assemble(t, strings.Join(lines, "")+strings.Join(recordsOf(2, 20), ""))
		require.Len(t, events, 2, "%q", lines)
		slices.SortFunc(events, func(a, b *process.Event) int { return int(a.PID) - int(b.PID) })
		for _, e := range events {
			require.Equal(t, []string{"ss", "-tulpn"}, e.Args, "%q", lines)
			require.False(t, e.Lossy, "%q", lines)
		}
		require.EqualValues(t, 10, events[0].PID)
		require.Zero(t, stats.Incomplete.Load()+stats.Malformed.Load())
	})
}

// A long command line is several EXECVE records, and those may come last to first, too.
func TestPiecesOfArgumentsComeInAnyOrder(t *testing.T) {
	lines := []string{
		sys(1, 10),
		"type=EXECVE msg=audit(1700000000.123:1): argc=4 a0=\"ss\" a1_len=6 a1[0]=\"ab\"\n",
		"type=EXECVE msg=audit(1700000000.123:1): a1[1]=\"cd\" a1[2]=\"ef\" a2=\"x\"\n",
		"type=EXECVE msg=audit(1700000000.123:1): a3=\"y\"\n",
	}
	permuted(lines, func(lines []string) {
		events, _ := assemble(t, strings.Join(lines, ""))
		require.Len(t, events, 1)
		require.Equal(t, []string{"ss", "abcdef", "x", "y"}, events[0].Args, "%q", lines)
		require.False(t, events[0].Lossy)
	})
}

func TestAnEventThatComesAgainIsOne(t *testing.T) {
	exec := recordsOf(1, 10)
	var twice strings.Builder
	for _, line := range exec {
		twice.WriteString(line + line)
	}
	for name, lines := range map[string]string{
		"each record twice":        twice.String(),
		"the whole event twice":    strings.Join(exec, "") + strings.Join(exec, ""),
		"again after another":      strings.Join(exec, "") + strings.Join(recordsOf(2, 20), "") + strings.Join(exec, ""),
		"its end once more":        strings.Join(exec, "") + exec[3],
		"its first record late":    strings.Join(exec, "") + exec[0],
		"an end mark of its own":   strings.Join(exec, "") + "type=EOE msg=audit(1700000000.123:1): \n",
		"an end mark before it":    "type=EOE msg=audit(1700000000.123:1): \n" + strings.Join(exec, ""),
		"the end mark in between":  exec[0] + exec[3] + exec[1] + exec[2],
		"the same number, later":   strings.Join(exec, "") + strings.Join(exec[1:], ""),
		"torn in its first record": strings.Join(exec, "") + exec[0][:60] + "\n",
	} {
		events, stats := assemble(t, lines)
		events = slices.DeleteFunc(events, func(e *process.Event) bool { return e.PID == 20 })
		require.Len(t, events, 1, name)
		require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args, name)
		require.False(t, events[0].Lossy, name)
		require.Zero(t, stats.Incomplete.Load(), name)
	}
}

// A boot begins the numbers anew.
func TestTheSameNumberAtAnotherTimeIsAnotherEvent(t *testing.T) {
	later := strings.NewReplacer("1700000000.123", "1700000000.124")
	a, b := strings.Join(recordsOf(1, 10), ""), later.Replace(strings.Join(recordsOf(1, 20), ""))
	events, _ := assemble(t, a+b)
	require.Len(t, events, 2)
	events, _ = assemble(t, recordsOf(1, 10)[0]+later.Replace(recordsOf(1, 20)[0])+recordsOf(1, 10)[1]+
		later.Replace(strings.Replace(recordsOf(1, 20)[1], "-tulpn", "-x", 1)))
	require.Len(t, events, 2)
	require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args)
	require.Equal(t, []string{"ss", "-x"}, events[1].Args)
}

func TestWhatStandsBeforeARecordIsCutOff(t *testing.T) {
	for before, host := range map[string]string{
		"": "",
		"Mar  3 01:06:40 web1 audisp-syslog[812]: ":                    "web1",
		"Mar  3 01:06:40 web1 audisp-syslog[812]: node=web2 ":          "web2",
		"Mar 13 2026 01:06:40 web1 audispd: ":                          "web1",
		"2026-03-03T01:06:40.100+00:00 web1 tag_audit_log: ":           "web1",
		"2026-03-03 01:06:40 web1 tag_audit_log: ":                     "web1",
		"2026-03-03 01:06:40.100\tweb1\tlocal6.info\taudit\t":          "web1",
		"2026-03-03 01:06:40 tag_audit_log: ":                          "",
		"<14>1 2026-03-03T01:06:40.100Z web1.example.org audit - - - ": "web1.example.org",
		"<14>Mar  3 01:06:40 10.1.2.3 audispd: ":                       "10.1.2.3",
		"312 <14>1 2026-03-03T01:06:40.100Z web1 audit - - - ":         "web1",
		"99 <14>Mar  3 01:06:40 web1 audispd: ":                        "web1",
		"x9 <14>Mar  3 01:06:40 web1 audispd: ":                        "",
		"Mar  3 01:06:40 web1 kernel: [  712.334455] audit: ":          "web1",
		"[  712.334455] audit: ":                                       "",
		"Tue 2026-03-03 01:06:40 UTC web1 audit[7]: ":                  "web1",
		"Mar  3 01:06:40 UTC web1 audit: ":                             "web1",
		"2026-03-03T01:06:40.100Z web1 ":                               "web1",
		"2026-03-03T01:06:40.100Z {name=web1} ":                        "web1",
		"2026-03-03T01:06:40.100Z {\"name\":\"web1\"} ":                "web1",
		"2026-03-03T01:06:40.100Z %{host} ":                            "",
		`2026-03-03T01:06:40Z {filename="/a.log", host="web1"} `:       "web1",
		`2026-03-03T01:06:40Z {hostname="web1", job="x"}     `:         "web1",
		`2026-03-03T01:06:40Z {localhost="x", job="host"} `:            "",
		"2026-03-03T01:06:40.100Z ":                                    "",
		"2026-03-03T01:06:40.100Z audit: ":                             "",
		"[Tue Mar  3 01:06:40 2026] audit: ":                           "",
		"2026-03-03T01:06:40.100000000Z stdout F ":                     "",
		"2026 Mar 03 01:06:40 (web1) any->/var/log/audit/audit.log ":   "web1",
		"2026 Mar 03 01:06:40 web1->/var/log/audit/audit.log ":         "web1",
		"web1: ":                  "web1",
		"db-2.example.org: ":      "db-2.example.org",
		"17: ":                    "",
		"audit: ":                 "",
		"kernel: ":                "",
		"audispd: ":               "",
		"tag_audit_log: ":         "",
		"message: ":               "",
		"auditd-1  | ":            "",
		"Mar  3 01:06:40 audit: ": "",
		"node=web3 ":              "web3",
		"\t":                      "",
		"Mar 03 01:06:40 web1 audispd[1]: type=notarecord node=x y ":                                "web1",
		"2026-03-03T01:06:40+01:00 fe80::1 audit ":                                                  "fe80::1",
		"<134>2026-03-03T01:06:40+01:00 web1 audit[7]: ":                                            "web1",
		"<134>1 2026-03-03T01:06:40+01:00 - audit 7 - - ":                                           "",
		"Mar  3 01:06:40 web1 audisp-syslog[812]: node=web2.example.org ":                           "web2.example.org",
		"Mar  3 01:06:40 web1 journal: type=SYSCALL msg=audit: is what follows, node=web1 ":         "web1",
		"Mar  3 01:06:40 relay audispd: forwarded Mar  3 01:06:39 web1 audisp-syslog: node=origin ": "origin",
	} {
		var lines strings.Builder
		for _, line := range recordsOf(1, 10) {
			lines.WriteString(before + line)
		}
		events, stats := assemble(t, lines.String())
		require.Len(t, events, 1, "%q", before)
		require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args, before)
		require.Equal(t, host, events[0].Host.Name, "%q", before)
		require.Zero(t, stats.Malformed.Load(), "%q", before)
	}
}

// rsyslog writes the group separator of the enriched format as #035.
func TestAnEscapedSeparatorIsOne(t *testing.T) {
	exec := recordsOf(1, 10)
	exec[0] = strings.Replace(exec[0], "key=\"reconbeat\"\n", "key=(null)#035ARCH=x86_64 AUID=\"carol\" UID=\"root\"\n", 1)
	events, _ := assemble(t, strings.Join(exec, "")+"Mar  3 01:06:40 web1 a: type=LOGIN msg=audit(1700000000.200:2): "+
		"pid=50 uid=0 auid=1000 tty=(none) ses=7 res=1#035UID=\"root\" AUID=\"carol\"\n")
	require.Len(t, events, 2)
	require.Equal(t, "carol", events[0].Session.User.Name)
	require.Equal(t, "root", events[0].User.Name)
	require.Equal(t, process.Login, events[1].Kind)
	require.Equal(t, "web1", events[1].Host.Name)
}

// The kernel's own log has numbers for types.
func TestTypesMayBeNumbers(t *testing.T) {
	numbers := strings.NewReplacer("type=SYSCALL msg=", "type=1300 ", "type=EXECVE msg=", "type=1309 ",
		"type=CWD msg=", "type=1307 ", "type=PROCTITLE msg=", "type=1327 ")
	events, _ := assemble(t, numbers.Replace(strings.Join(recordsOf(1, 10), "")))
	require.Len(t, events, 1)
	require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args)
	unknown := strings.NewReplacer("type=EXECVE ", "type=UNKNOWN[1309] ", "type=PROCTITLE ", "type=UNKNOWN[1327] ")
	events, _ = assemble(t, unknown.Replace(strings.Join(recordsOf(1, 10), "")))
	require.Len(t, events, 1)
	require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args)
}

func TestAMissingPieceIsNeverJoinedOver(t *testing.T) {
	execve := func(parts ...string) (lines string) {
		for _, p := range parts {
			lines += "type=EXECVE msg=audit(1700000000.123:1): " + p + "\n"
		}
		return lines
	}
	const title = "type=PROCTITLE msg=audit(1700000000.123:1): proctitle="
	for name, c := range map[string]struct {
		lines string
		args  []string
		whole bool
	}{
		"an empty argument that the title confirms": {
			execve(`argc=4 a0="ss" a2="dst" a3="10.9.8.7"`) + title + "73730000647374003130\n",
			[]string{"ss", "", "dst", "10.9.8.7"}, true,
		},
		"an empty argument, left out": {execve(`argc=3 a0="ss" a2="dst"`), []string{"ss", "", "dst"}, false},
		"the record in between":       {execve(`argc=3 a0="ss"`, `a2="dst"`), []string{"ss", gap, "dst"}, false},
		"the record before": {
			execve(`a2="sport" a3="=" a4=":22"`), []string{gap, gap, "sport", "=", ":22"}, false,
		},
		"the record before, and title": {execve(`a2="sport"`) + title + "73730078\n", []string{"ss", "x", "sport"}, false},
		"the last record":              {execve(`argc=3 a0="ss" a1="-t"`), []string{"ss", "-t"}, false},
		"the last record, and title": {
			execve(`argc=3 a0="ss" a1="-t"`) + title + "7373002D740078\n", []string{"ss", "-t", "x"}, true,
		},
		"every record but the title": {title + "7373002D74\n", []string{"ss", "-t"}, false},
		"a title that may be cut off": {
			execve(`argc=2 a0="ss"`) + title + "737300" + strings.Repeat("61", 125) + "\n", []string{"ss"}, false,
		},
		"the title of the program before": {
			execve(`argc=3 a0="ss" a2="dst"`) + title + "7368002D630078\n", []string{"ss", "", "dst"}, false,
		},
		"the title before a long argument": {
			execve(`argc=3 a0_len=3 a0[0]="ss"`, `a0[1]="x"`) + title + "73002D740078\n", []string{"ssx"}, false,
		},
		"a piece in the middle": {
			execve(`argc=2 a0="ss" a1_len=6 a1[0]="ab"`, `a1[2]="ef"`), []string{"ss", "ab" + gap + "ef"}, false,
		},
		"the first piece": {execve(`argc=2 a0="ss"`, `a1[1]="cd"`), []string{"ss", gap + "cd"}, false},
		"the last piece":  {execve(`argc=2 a0="ss" a1_len=6 a1[0]="ab" a1[1]="cd"`), []string{"ss", "abcd" + gap}, false},
		"a line torn in an argument": {
			execve(`argc=3 a0="ss" a1="-tu`), []string{"ss", "-tu"}, false,
		},
	} {
		events, stats := assemble(t, sys(1, 10)+c.lines)
		require.Len(t, events, 1, name)
		require.Equal(t, c.args, events[0].Args, name)
		require.Equal(t, !c.whole, events[0].Lossy, name)
		require.Equal(t, !c.whole, stats.Incomplete.Load() == 1, name)
	}
}

// A part of a number is another number: of a line that ends in the middle the last value is not believed.
func TestATornLineGivesNobodyElsesID(t *testing.T) {
	line := strings.TrimSuffix(sys(1, 4001), "\n")
	for end := strings.Index(line, " items="); end < len(line); end++ {
		torn := line[:end]
		events, _ := assemble(t, torn+"\n"+strings.Join(recordsOf(1, 10)[1:], ""))
		require.Len(t, events, 1, torn)
		e := events[0]
		require.Contains(t, []uint32{0, 4001}, e.PID, torn)
		require.Contains(t, []uint32{1000, process.Unset}, e.Session.User.ID, torn)
		require.Contains(t, []string{"", "ss"}, e.Name, torn)
		if !strings.Contains(torn, ` exe="/usr/bin/ss"`) {
			require.True(t, e.Lossy, torn)
		}
	}
}

func TestEachNodeIsAHost(t *testing.T) {
	own := func(node []byte) bool { return string(node) == "here" }
	var out []process.Host
	a := NewAssembler(Options{Stats: &module.Stats{}, Own: own}, func(e *process.Event) error {
		out = append(out, process.Host{Name: strings.Clone(e.Host.Name), OSType: strings.Clone(e.Host.OSType)})
		return nil
	})
	for _, node := range []string{"", "node=here ", "node=east ", "node=west "} {
		const login = "type=LOGIN msg=audit(1700000000.200:2): pid=50 auid=1000 ses=7 res=1\n"
		for i, line := range append(recordsOf(1, 10), login) {
			if i == 0 && node != "" { // behind the type
				kind, rest, _ := strings.Cut(line, " ")
				line = kind + " " + node + rest
				require.NoError(t, a.Line([]byte(line), process.Cursor{}))
				continue
			}
			require.NoError(t, a.Line([]byte(node+line), process.Cursor{}))
		}
	}
	east, west := process.Host{Name: "east", OSType: "linux"}, process.Host{Name: "west", OSType: "linux"}
	require.Equal(t, []process.Host{{}, {}, {}, {}, east, east, west, west}, out)
}

func TestSeparatorsAreNoRecordsAndNoMistakes(t *testing.T) {
	for _, line := range []string{
		"----", "", "  ", "time->Tue Mar  3 01:06:40 2026", "-- Boot 5a91 --", "-- No entries --",
	} {
		events, stats := assemble(t, line+"\n"+strings.Join(recordsOf(1, 10), ""))
		require.Len(t, events, 1, "%q", line)
		require.Zero(t, stats.Malformed.Load(), "%q", line)
	}
}

// The records of an event stand on one line where a crash tore off its newline, and where programs join them.
func TestRecordsOnOneLineAreEachRead(t *testing.T) {
	exec, want := recordsOf(1, 10), []string{"ss", "-tulpn"}
	lines := make([]string, len(exec))
	for i, line := range exec {
		lines[i] = strings.TrimSuffix(line, "\n")
	}
	whole, err := json.Marshal(strings.Join(exec, ""))
	require.NoError(t, err)
	for name, text := range map[string]string{
		"nothing between":    strings.Join(lines, ""),
		"a blank":            strings.Join(lines, " "),
		"a carriage return":  strings.Join(lines, "\r"),
		"a zero byte":        strings.Join(lines, "\x00"),
		"an escaped newline": strings.Join(lines, `\n`),
		"in a text of JSON":  `{"host":"","message":` + string(whole) + `}`,
		"as Wazuh has them":  `{"full_log":"` + strings.ReplaceAll(strings.Join(lines, " "), `"`, `\"`) + `"}`,
		"with nodes":         "node=east " + strings.Join(lines, " node=east "),
		"behind a torn one":  "type=SYSCALL msg=audit(1699999999.123:7): arch=c00000" + strings.Join(lines, "\n"),
		"behind a torn type": "type=SYSC" + strings.Join(lines, "\n"),
		"behind a torn time": "type=SYSCALL msg=audit(16999" + strings.Join(lines, "\n"),
		"behind a torn head": "Mar  3 01:06:40 web1 au" + strings.Join(lines, "\nMar  3 01:06:40 web1 audit: "),
		"of another kind":    "type=BPF msg=audit(1699999999.123:7): prog-id=1" + strings.Join(lines, "\n"),
	} {
		events, _ := assemble(t, text+"\n")
		require.Len(t, events, 1, name)
		require.Equal(t, want, events[0].Args, name)
		require.EqualValues(t, 10, events[0].PID, name)
		require.False(t, events[0].Lossy, name)
	}
	said := `type=USER msg=audit(1700000000.100:9): pid=1 uid=0 auid=0 ses=1 msg='` + strings.Join(lines, " ") + `'`
	events, _ := assemble(t, said+"\n")
	require.Empty(t, events, "what a program says is not a record")
}

// To resume within a line would lose its other records.
func TestALineOfSeveralRecordsIsReadAgain(t *testing.T) {
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { return nil })
	line := strings.ReplaceAll(strings.Join(recordsOf(1, 10)[:2], "")+sys(2, 20), "\n", " ")
	require.NoError(t, a.Line([]byte("type=CWD msg=audit(1.1:1): cwd=1\n"), process.Cursor{Offset: 33}))
	require.NoError(t, a.Line([]byte(line), process.Cursor{Offset: 900}))
	require.Len(t, a.order, 2)
	for ; len(a.order) > 0; a.order = a.order[1:] {
		require.EqualValues(t, 33, a.resume().Offset)
	}
}

// What is left of a torn SYSCALL record counts: who it was, and the program as the arguments name it.
func TestATornCallKeepsWhatItSays(t *testing.T) {
	exec := recordsOf(1, 10)
	call, rest := strings.TrimSpace(exec[0]), "\n"+strings.Join(exec[1:], "")
	whole := strings.Index(call, " comm=")
	events, stats := assemble(t, call[:whole]+rest)
	require.Len(t, events, 1)
	require.Equal(t, "ss", events[0].Name)
	require.EqualValues(t, 1000, events[0].Session.User.ID)
	require.True(t, events[0].Lossy)
	require.EqualValues(t, 1, stats.Incomplete.Load())

	for _, end := range []string{" success", " ppid", " syscall"} {
		events, stats = assemble(t, call[:strings.Index(call, end)]+rest)
		if end != " ppid" { // then nobody knows whether it succeeded
			require.Empty(t, events, end)
		}
		require.EqualValues(t, 1, stats.Incomplete.Load(), end)
	}
	events, stats = assemble(t, strings.Replace(call, " success=yes exit=0", "", 1)+rest)
	require.Empty(t, events, "a call that did not return")
	require.Zero(t, stats.Incomplete.Load())
}

// Somebody has put names in the place of numbers: of users, the call and the architecture.
func TestInterpretedValuesAreRead(t *testing.T) {
	exec := recordsOf(1, 10)
	for from, to := range map[string]string{
		"arch=c000003e syscall=59": "arch=x86_64 syscall=execve", "auid=1000": "auid=carol", "euid=0": "euid=root",
		" uid=0": " uid=root", `comm="ss"`: "comm=ss", `exe="/usr/bin/ss"`: "exe=/usr/bin/ss", "tty=pts0": "tty=(none)",
	} {
		exec[0] = strings.ReplaceAll(exec[0], from, to)
	}
	events, _ := assemble(t, strings.Join(exec, ""))
	require.Len(t, events, 1)
	e := events[0]
	require.Equal(t, "carol", e.Session.User.Name)
	require.Equal(t, process.User{ID: process.Unset, Name: "root"}, e.User)
	require.Equal(t, "/usr/bin/ss", e.Executable)
	require.Equal(t, []string{"ss", "-tulpn"}, e.Args)

	for _, unset := range []string{"unset", "(unknown)", "4294967295", "-1", "?"} {
		exec[0] = strings.Replace(sys(1, 10), "auid=1000", "auid="+unset, 1)
		events, _ = assemble(t, strings.Join(exec, ""))
		require.Equal(t, process.User{ID: process.Unset}, events[0].Session.User, unset)
	}
	exec[0] = strings.Replace(sys(1, 10), "syscall=59", "syscall=openat", 1)
	events, _ = assemble(t, strings.Join(exec, ""))
	require.Empty(t, events)
}

// Machines that reconbeat is not built for have logs, too, and some lack their EXECVE record.
func TestExecsOfEveryMachineAreKnown(t *testing.T) {
	for machine, call := range map[string]string{
		"s390x": "80000016 syscall=11", "ppc64le": "c0000015 syscall=11", "riscv64": "c00000f3 syscall=221",
		"loongarch64": "c0000102 syscall=281", "mips64el": "c0000008 syscall=5057", "aarch64": "c00000b7 syscall=221",
		"in capitals": "C00000B7 syscall=221", "with a mark": "0xc00000b7 syscall=221",
	} {
		exec := recordsOf(1, 10)
		exec[0] = strings.Replace(exec[0], "c000003e syscall=59", call, 1)
		events, _ := assemble(t, exec[0]+exec[3])
		require.Len(t, events, 1, machine)
		require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args, machine)
		require.True(t, events[0].Lossy, machine)
		exec[0] = strings.Replace(exec[0], call, strings.Fields(call)[0]+" syscall=63", 1)
		events, _ = assemble(t, strings.Join(exec, ""))
		require.Empty(t, events, machine)
	}
}

// Records come out of other texts with what those put around quotes, and from a terminal with its colours.
func TestRecordsOutOfAnotherTextAreRead(t *testing.T) {
	for name, around := range map[string]func(line string) string{
		"JSON's quotes":      func(line string) string { return strings.ReplaceAll(line, `"`, `\"`) },
		"a text of JSON":     func(line string) string { return fmt.Sprintf("%q,", line) },
		"a member of JSON":   func(line string) string { return fmt.Sprintf(`"host":"a","message":%q,"x":"y"`, line) },
		"CSV":                func(line string) string { return `"` + strings.ReplaceAll(line, `"`, `""`) + `"` },
		"a column of CSV":    func(line string) string { return `x,"` + strings.ReplaceAll(line, `"`, `""`) + `","y z"` },
		"quotes around":      func(line string) string { return `message="` + line + `"` },
		"a quote alone":      func(line string) string { return `"` + line },
		"grep's context":     func(line string) string { return "audit.log-12-" + line },
		"a diff":             func(line string) string { return "+" + line },
		"semicolons":         func(line string) string { return "web1;" + line },
		"a terminal":         func(line string) string { return "\x1b[01;31m\x1b[K" + line + "\x1b[m\x1b[K" },
		"within colours":     func(line string) string { return strings.ReplaceAll(line, "ss", "\x1b[1mss\x1b[0m") },
		"an opening bracket": func(line string) string { return "(" + line },
		"a page of HTML":     func(line string) string { return strings.ReplaceAll(line, `"`, "&quot;") },
		"XML":                func(line string) string { return strings.ReplaceAll(line, `"`, "&#34;") },
		"Fluent Bit's hash": func(line string) string {
			return `[0] audit: [[1.1, {}], {"log"=>"` + strings.ReplaceAll(line, `"`, `\"`) + `", "x"=>"y"}]`
		},
		"types in lower case": func(line string) string {
			name, rest, _ := strings.Cut(line, " ")
			return strings.ToLower(name) + " " + rest
		},
	} {
		var text strings.Builder
		for _, line := range recordsOf(1, 10) {
			text.WriteString(around(strings.TrimSuffix(line, "\n")) + "\n")
		}
		events, stats := assemble(t, text.String())
		require.Len(t, events, 1, name)
		require.Equal(t, []string{"ss", "-tulpn"}, events[0].Args, name)
		require.Equal(t, "/usr/bin/ss", events[0].Executable, name)
		require.False(t, events[0].Lossy, name)
		require.Zero(t, stats.Malformed.Load(), name)
	}
	empty := strings.ReplaceAll(strings.Join(recordsOf(1, 10), ""), `argc=2 a0="ss" a1="-tulpn"`,
		`argc=3 a0="ss" a1="" a2=""`)
	events, _ := assemble(t, empty)
	require.Equal(t, []string{"ss", "", ""}, events[0].Args, "two quotes are an empty argument")
}

func TestWhatIsNoRecordIsCalledByItsName(t *testing.T) {
	for line, want := range map[string]error{
		`type=EXECVE msg=audit(03/03/26 01:06:40.100:501) : argc=2 a0=ss a1=-tulpn`: errInterpreted,
		`type=SYSCALL msg=audit(03.03.2026 01:06:40.100:501) : arch=x86_64`:         errInterpreted,
		`node=a type=CWD msg=audit(2026-03-03 01:06:40.100:501) : cwd=/`:            errInterpreted,
		`type=SYSCALL msg=audit(yesterday:501): arch=x86_64`:                        errNoHeader,
		`SYSCALL arch=c000003e syscall=59 success=yes exit=0`:                       errJournal,
		`{"@timestamp":1,"process":{},"message":"type=CWD msg=audit(1.1:1): a=1"}`:  ErrNoRecord,
		`{"message":"audit is on"}`:                                                 ErrNoRecord,
		`Mar 03 01:06:40 web1 audit[4001]: SYSCALL arch=c000003e syscall=59`:        errJournal,
		`Mar 03 01:06:40 web1 audit: BPF prog-id=12 op=LOAD`:                        errJournal,
		`Mar 03 01:06:40 web1 sshd[1]: Accepted publickey for root`:                 ErrNoRecord,
	} {
		var got error
		a := NewAssembler(Options{Stats: &module.Stats{}, Malformed: func(why error) { got = why }}, nil)
		require.NoError(t, a.Line([]byte(line), process.Cursor{}))
		require.Equal(t, want, got, line)
	}
}

// What lacks only its end mark is handed on when nothing more comes for a while; what lacks more waits longer.
func TestWhatIsWholeNeedNotWait(t *testing.T) {
	var out int
	a := NewAssembler(Options{Stats: &module.Stats{}}, func(*process.Event) error { out++; return nil })
	exec := recordsOf(1, 10)
	require.NoError(t, a.Line([]byte(exec[0]), process.Cursor{}))
	require.NoError(t, a.Whole())
	require.Zero(t, out)
	require.NoError(t, a.Line([]byte(exec[1]), process.Cursor{}))
	require.NoError(t, a.Whole())
	require.Equal(t, 1, out)
	require.Zero(t, a.Pending())
}

// What hides one host's program starts is over when that host reports one, not when another does.
func TestTamperingIsOfItsHost(t *testing.T) {
	var out []string
	emit := func(e *process.Event) error {
		if e.Kind == process.Tamper {
			out = append(out, e.Host.Name+" "+e.Change.Action)
		}
		return nil
	}
	board := &health.Board{}
	tampering := NewTampering(module.Env{ID: "log", Logger: logp.NewNopLogger(), Health: board, Replay: true}, emit)
	a := NewAssembler(Options{Stats: &module.Stats{}, Changed: tampering.Changed}, tampering.Watch(emit))
	later := func(node string, seconds, seq int) {
		for _, line := range recordsOf(seq, 10) {
			line = strings.Replace(line, "1700000000.123", fmt.Sprintf("%d.123", 1700000000+seconds), 1)
			require.NoError(t, a.Line([]byte(node+line), process.Cursor{}))
		}
	}
	later("node=east ", 0, 1)
	require.NoError(t, a.Line([]byte("node=east type=CONFIG_CHANGE msg=audit(1700000001.000:2): op=set "+
		"audit_enabled=0 old=1 auid=1000 ses=7 res=1"), process.Cursor{}))
	require.NoError(t, a.Flush())
	later("node=west ", 10, 3)
	later("", 11, 4)
	require.NoError(t, a.Flush())
	require.Equal(t, []string{"east changed-audit-configuration"}, out)
	require.Len(t, board.Active(), 1)
	later("node=east ", 20, 5)
	require.NoError(t, a.Flush())
	require.Equal(t, []string{"east changed-audit-configuration", "east restored-audit-configuration"}, out)
	require.Empty(t, board.Active())
}

// A document around a record is taken off, whoever put it there; the host is the one that the record names, else the
// one that the document does.
func TestADocumentAroundARecordIsTakenOff(t *testing.T) {
	const text = `type=CWD msg=audit(1772500000.100:501): cwd=\"/\"`
	carrying := func(key, doc string) string {
		inner, err := json.Marshal(doc)
		require.NoError(t, err)
		return `{"` + key + `":` + string(inner) + `}`
	}
	for doc, node := range map[string]string{
		`{"log":"` + text + `\n","stream":"stdout","time":"2026-03-03T01:06:40Z"}`:                            "",
		`{"host":"web1","tag":"audit:","message":"` + text + `"}`:                                             "web1",
		`{"host":{"name":"web1"},"message":"node=east ` + text + `"}`:                                         "east",
		`{"host":{"name":"web1"},"event":{"original":"` + text + `"}}`:                                        "web1",
		`{"message":"Mar  3 01:06:40 west audispd: ` + text + `"}`:                                            "west",
		`{"_index":"x","_source":{"host":{"name":"web1"},"message":"` + text + `"}}`:                          "web1",
		`{"_index":"x","fields":{"host.name":["web1"],"message":["` + text + `"]}}`:                           "web1",
		`{"agent":{"name":"web1"},"location":"x","full_log":"` + text + `"}`:                                  "web1",
		`{"beat":{"hostname":"web1"},"message":"` + text + `"}`:                                               "web1",
		`{"time":1,"host":"web1","sourcetype":"linux:audit","event":"` + text + `"}`:                          "web1",
		`{"preview":false,"result":{"_raw":"` + text + `","host":"web1"}}`:                                    "web1",
		`{"textPayload":"` + text + `","labels":{"host":"web1"}}`:                                             "web1",
		`{"jsonPayload":{"message":"` + text + `"},"labels":{"compute.googleapis.com/resource_name":"web1"}}`: "web1",
		`{"id":"x","content":{"host":"web1","message":"` + text + `"}}`:                                       "web1",
		`{"_raw":"` + text + `","_sourcehost":"web1"}`:                                                        "web1",
		`{"@rawstring":"` + text + `","#host":"web1"}`:                                                        "web1",
		carrying("payload", `{"message":"`+text+`","host":{"name":"web1"}}`):                                  "web1",
		carrying("log", carrying("message", `{"message":"`+text+`","host":{"name":"web1"}}`)):                 "web1",
		`{"host":"east",` + carrying("message", `{"message":"`+text+`"}`)[1:]:                                 "east",
		`{"timestamp":1,"message":"` + text + `","logStreamName":"i-0abc"}`:                                   "i-0abc",
		`{"@timestamp":"x","@message":"` + text + `","@logStream":"i-0abd","@ptr":"y"}`:                       "i-0abd",
		`{"topic":"x","value":"` + text + `"}`:                                                                "",
		`{"HOST":"web1","HOST_FROM":"relay","MESSAGE":"` + text + `"}`:                                        "web1",
		`{"Hostname":"web1","Message":"parsed","raw_event":"` + text + `"}`:                                   "web1",
		`{"Body":"` + text + `","Resource":{"host.name":"web1"}}`:                                             "web1",
		`{"attributes":{"host":"web1","message":"` + text + `"}}`:                                             "web1",
		`{"kubernetes":{"host":"web1"},"log":"` + text + `"}`:                                                 "web1",
		`{"resource":{"labels":{"instance_id":"web1"}},"textPayload":"` + text + `"}`:                         "web1",
		`{"host":"10.0.0.1","logsource":"web1","message":"` + text + `"}`:                                     "web1",
		`{"Computer":"web1","SyslogMessage":"` + text + `"}`:                                                  "web1",
		`{"source":"web1","message":"` + text + `"}`:                                                          "web1",
		`{"source":"/var/log/audit/audit.log","message":"` + text + `"}`:                                      "",
		`{"source":"stdout","log":"` + text + `"}`:                                                            "",
		`{"log":{"syslog":{"hostname":"web1"}},"message":"` + text + `"}`:                                     "web1",
		`{"message":"parsed","x":{"y":{"z":"` + text + `"}},"host":"web1"}`:                                   "web1",
		`Mar  3 01:06:40 web1 audit: @cee: {"msg":"` + text + `"}`:                                            "web1",
		`Mar  3 01:06:40 relay audit: {"host":"web1","msg":"` + text + `"}`:                                   "web1",
		`2026-03-03T01:06:40Z {host="web1"} {"msg":"` + text + `"}`:                                           "web1",
		"2026-03-03T01:06:40+00:00\taudit\t" + `{"message":"` + text + `"}`:                                   "",
		`[0] audit: [[1.1, {}], {"log"=>"` + text + `", "host"=>"web1"}]`:                                     "web1",
		`{"auditd":{"log":{"record_type":"CWD"}},"process":{"pid":1},"host":{"name":"web1"},` +
			`"event":{"original":"` + text + `"}}`: "web1",
		"\x1e" + `{"_HOSTNAME":"web1","_AUDIT_TYPE":"1307","_AUDIT_TYPE_NAME":"CWD","_AUDIT_ID":"501",` +
			`"_SOURCE_REALTIME_TIMESTAMP":"1772500000100000","MESSAGE":"CWD cwd=\"/\""}`: "web1",
		`{"host":"web1","_AUDIT_TYPE_NAME":"CWD","_AUDIT_ID":"501","_SOURCE_REALTIME_TIMESTAMP":"1772500000100000",` +
			`"message":"CWD cwd=\"/\""}`: "web1", // as Vector reads it
		`{"_HOSTNAME":["web1","web1"],"_AUDIT_TYPE_NAME":"CWD","_AUDIT_ID":"501",` +
			`"__REALTIME_TIMESTAMP":"1772500000100000","MESSAGE":"CWD cwd=\"/\""}`: "web1",
		// the journal has the bytes where some cannot be printed
		`{"_HOSTNAME":"web1","_AUDIT_TYPE_NAME":"CWD","_AUDIT_ID":"501","__REALTIME_TIMESTAMP":"1772500000100000",` +
			`"MESSAGE":[67,87,68,32,99,119,100,61,34,47,34]}`: "web1",
	} {
		typ, body, got, err := ParseLine([]byte(doc))
		require.NoError(t, err, doc)
		require.EqualValues(t, unix.AUDIT_CWD, typ, doc)
		require.Equal(t, `audit(1772500000.100:501): cwd="/"`, string(body), doc)
		require.Equal(t, node, string(got), doc)
		require.True(t, Recognises([]byte(doc)), doc)
	}
}

// The records of a recording may come in any order, and those of all events before the rest of each.
func TestTheRecordsOfARecordingComeInAnyOrder(t *testing.T) {
	var lines []string
	const events = 500
	for i := range events {
		for _, line := range recordsOf(i+1, 10+i) {
			lines = append(lines, strings.Replace(line, "1700000000", strconv.Itoa(1700000000+i*3600), 1))
		}
	}
	sorted := slices.Sorted(slices.Values(lines))
	shuffled := slices.Clone(lines)
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	var interleaved []string // two events at a time, five seconds apart
	for i := 0; i < len(lines); i += 8 {
		for j := range 4 {
			later := strings.NewReplacer("0.123", "5.123").Replace(lines[i+j])
			interleaved = append(interleaved, lines[i+j], strings.Replace(later, fmt.Sprintf(":%d)", i/4+1),
				fmt.Sprintf(":%d)", i/4+2), 1))
		}
	}
	newest := slices.Clone(lines)
	slices.Reverse(newest)
	for name, lines := range map[string][]string{
		"as auditd wrote them": lines, "sorted by their text": sorted, "shuffled": shuffled, "the newest first": newest,
		"interleaved": interleaved,
	} {
		var stats module.Stats
		whole := map[uint64]int{}
		a := NewAssembler(Options{Stats: &stats, Recorded: true}, func(e *process.Event) error {
			if !e.Lossy && len(e.Args) > 0 && e.CWD != "" {
				whole[e.Sequence]++
			}
			return nil
		})
		for _, line := range lines {
			require.NoError(t, a.Line([]byte(line), process.Cursor{}))
		}
		require.NoError(t, a.Flush())
		incomplete := int(stats.Incomplete.Load())
		require.Equal(t, events, len(whole)+incomplete, name)
		require.LessOrEqual(t, incomplete, map[string]int{"shuffled": 1}[name], name) // until it is noticed
	}
}
