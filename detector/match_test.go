// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/process"
)

// mission is the shipped rule, as far as matching and judging need it.
func mission() Rule {
	return Rule{
		ID: "network-connection-discovery", Name: "Unusual network connection discovery", Version: 1, Enabled: true, Habit: "looked at network connections",
		Programs: []string{"netstat", "ss", "route", "showmount"}, Except: []Except{{Programs: []string{"route"}, AnyArg: []string{"add", "del", "flush"}}},
		Threshold: 25, Severity: "low", RiskScore: 21,
		Threat:     []Threat{{Tactic: Technique{"TA0007", "Discovery"}, Technique: []Technique{{"T1049", "System Network Connections Discovery"}}}},
		References: []string{"https://attack.mitre.org/techniques/T1049/"},
	}
}

func options(rules ...Rule) Options {
	return Options{
		Rules: rules, HostID: "host-1", EpisodeIdle: 15 * time.Minute, EpisodeMax: 24 * time.Hour,
		Model: ModelRare, Rare: rare.Options{BucketSpan: 15 * time.Minute, MaxUsers: 1000},
	}
}

func mustNew(t testing.TB, o Options) *Detector {
	d, err := New(o)
	require.NoError(t, err)
	return d
}

// exec is an exec of a command line, with a program of /usr/bin.
func exec(at time.Time, user, command string) *process.Event {
	args := strings.Fields(command)
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success = process.Exec, at, true
	e.User = process.User{ID: process.Unset, Name: user}
	e.Args, e.Name = args, base(args[0])
	e.Executable = args[0]
	if !strings.Contains(args[0], "/") {
		e.Executable = "/usr/bin/" + args[0]
	}
	return e
}

func TestTheProgramThatRunsIsKnownWhateverStartedIt(t *testing.T) {
	for _, c := range []struct {
		name       string
		executable string
		args       string
		want       string
		rest       string
	}{
		{"a program is the base of its executable", "/usr/bin/ss", "ss -tan", "ss", "-tan"},
		{"argv[0] does not count", "/usr/bin/ss", "innocent -tan", "ss", "-tan"},
		{"a login shell's dash does not count", "/usr/bin/bash", "-bash", "bash", ""},
		{"busybox is the applet that it is told", "/bin/busybox", "busybox netstat -tln", "netstat", "-tln"},
		{"busybox is the applet that it is called", "/bin/busybox", "/usr/sbin/netstat -tln", "netstat", "-tln"},
		{"busybox may call itself", "/bin/busybox", "busybox busybox netstat -a", "netstat", "-a"},
		{"busybox alone is busybox", "/bin/busybox", "busybox", "busybox", ""},
		{"toybox is as busybox", "/usr/bin/toybox", "toybox netstat", "netstat", ""},
		{"the loader is what it loads", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2 /usr/bin/ss -tn", "ss", "-tn"},
		{"the loader's options are passed over", "/usr/lib/ld-linux-aarch64.so.1", "ld.so --library-path /lib --argv0 x /usr/bin/netstat -r", "netstat", "-r"},
		{"an option of the loader in one word", "/usr/lib/ld-linux-aarch64.so.1", "ld.so --inhibit-cache /usr/bin/netstat", "netstat", ""},
		{"musl's loader is a loader", "/lib/ld-musl-x86_64.so.1", "ld-musl-x86_64.so.1 --preload x.so -- /usr/bin/ss", "ss", ""},
		{"the loader that lists runs nothing", "/usr/bin/ld.so", "ld.so --list /usr/bin/ss", "ld.so", "--list /usr/bin/ss"},
		{"the loader that verifies runs nothing", "/usr/bin/ld.so", "ld.so --verify /usr/bin/ss", "ld.so", "--verify /usr/bin/ss"},
		{"the loader that helps runs nothing", "/usr/bin/ld.so", "ld.so --help", "ld.so", "--help"},
		{"ldd is no loader", "/usr/bin/ldd", "ldd /usr/bin/ss", "ldd", "/usr/bin/ss"},
		{"sudo is itself", "/usr/bin/sudo", "sudo ss -tan", "sudo", "ss -tan"},
		{"without arguments a program is its name", "/usr/bin/ss", "", "ss", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &process.Process{Executable: c.executable, Name: base(c.executable), Args: strings.Fields(c.args)}
			got, rest := Program(p)
			require.Equal(t, c.want, got)
			require.Equal(t, strings.Fields(c.rest), append([]string{}, rest...))
		})
	}
}

func TestMatch(t *testing.T) {
	long := mission()
	long.ID, long.Programs, long.Except = "long", []string{"systemd-resolve-monitor", "ss"}, nil
	d := mustNew(t, options(mission(), long))
	both, first, second := RuleSet(3), RuleSet(1), RuleSet(2)
	for _, c := range []struct {
		name string
		e    process.Event
		want RuleSet
	}{
		{"a program of two rules", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Executable: "/usr/bin/ss"}}, both},
		{"a program of one", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Executable: "/bin/netstat"}}, first},
		{"a name without an executable", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Name: "route"}}, first},
		{"a name that the kernel cut off", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Name: "systemd-resolve"}}, second},
		{"a program that is really called so", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Name: "systemd-resolve", Executable: "/usr/bin/systemd-resolve"}}, 0},
		{"a copy under another name", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Executable: "/tmp/kworker", Binary: process.Binary{Tool: "ss"}}}, both},
		{"busybox under another name", called("netstat", "/tmp/bb", "busybox"), first},
		{"busybox under another name, by its first argument", called("bb netstat", "/tmp/bb", "busybox"), first},
		{"a download of busybox", called("./busybox-x86_64 netstat -tn", "/tmp/busybox-x86_64", "busybox"), first},
		{"an applet that is a file", called("route add default", "/bin/route", "busybox"), first},
		{"another applet of it", called("bb ls netstat", "/tmp/bb", "busybox"), 0},
		{"toybox under another name", called("tb netstat", "/tmp/tb", "toybox"), first},
		{"the loader under another name", called("ld --library-path /x /usr/bin/ss -tan", "/tmp/ld", "ld-linux-x86-64.so.2"), both},
		{"the loader loads another program", called("ld /usr/bin/ls ss", "/tmp/ld", "ld-linux-x86-64.so.2"), 0},
		{"ss under the name of busybox", called("busybox ls", "/tmp/busybox", "ss"), both},
		{"case matters", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Executable: "/usr/bin/SS"}}, 0},
		{"a longer name is another program", process.Event{Kind: process.Exec, Success: true, Process: process.Process{Executable: "/usr/bin/ssh"}}, 0},
		{"an exec that failed ran nothing", process.Event{Kind: process.Exec, Process: process.Process{Executable: "/usr/bin/ss"}}, 0},
		{"a fork is no exec", process.Event{Kind: process.Fork, Success: true, Process: process.Process{Executable: "/usr/bin/ss"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, d.Match(&c.e)) })
	}
}

// TestRealCommandLines runs the command lines of attack tools and of monitoring agents through the rule: it matches
// those of its programs, and no others.
func TestRealCommandLines(t *testing.T) {
	f, err := os.Open("testdata/commands.tsv")
	require.NoError(t, err)
	defer f.Close()
	d := mustNew(t, options(mission()))
	matched := 0
	lines := bufio.NewScanner(f)
	lines.Scan() // the head
	for lines.Scan() {
		command := strings.Split(lines.Text(), "\t")[2]
		if strings.HasPrefix(command, "read:") || command == "" {
			continue
		}
		e := exec(time.Unix(1700000000, 0), "root", command)
		switch strings.Fields(command)[0] {
		case "netstat", "ss", "route", "showmount":
			matched++
			require.EqualValues(t, 1, d.Match(e), command)
			findings := d.Judge(e, 1, nil)
			if strings.HasPrefix(command, "route add") {
				require.Empty(t, findings, "%s changes the table and shows nothing", command)
			} else {
				require.Len(t, findings, 1, command)
			}
		default:
			require.Zero(t, d.Match(e), command)
		}
	}
	require.NoError(t, lines.Err())
	require.Greater(t, matched, 30)
}

// called is the exec of an executable that is known to be a tool by its contents.
func called(command, executable, tool string) process.Event {
	return process.Event{Kind: process.Exec, Success: true, Process: process.Process{
		Executable: executable, Args: strings.Fields(command), Binary: process.Binary{Tool: tool},
	}}
}

func TestTheArgumentsOfAnAppletAreItsOwn(t *testing.T) {
	for _, c := range []struct{ command, executable, tool, want string }{
		{"bb netstat -tn", "/tmp/bb", "busybox", "netstat [-tn]"},
		{"netstat -tn", "/tmp/bb", "busybox", "netstat [-tn]"},
		{"busybox busybox netstat -tn", "/bin/busybox", "busybox", "netstat [-tn]"},
		{"busybox", "/bin/busybox", "", "busybox []"},
		{"ld --argv0 x /usr/bin/ss -t", "/tmp/ld", "ld-linux-x86-64.so.2", "ss [-t]"},
	} {
		e := called(c.command, c.executable, c.tool)
		name, args := Program(&e.Process)
		require.Equal(t, c.want, fmt.Sprint(name, " ", args), c.command)
	}
	route := called("route add default", "/bin/route", "busybox")
	name, args := (&Rule{Programs: []string{"route"}}).program(&route)
	require.Equal(t, "route [add default]", fmt.Sprint(name, " ", args))
}

func TestMatchingAllocatesNothing(t *testing.T) {
	d := mustNew(t, options(mission()))
	for _, command := range []string{"ls -la /tmp", "ss -tan", "busybox netstat", "/lib64/ld-linux-x86-64.so.2 --library-path /x /usr/bin/ss"} {
		e := exec(time.Unix(1700000000, 0), "root", command)
		require.Zero(t, testing.AllocsPerRun(100, func() { d.Match(e) }), command)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/usr/bin/ss", "ss\x00-tan", "")
	f.Add("/bin/busybox", "busybox\x00busybox\x00netstat", "")
	f.Add("", "ld.so\x00--argv0", "ss")
	f.Add("/lib/ld-linux.so.2", "ld.so\x00--\x00\x00", "netstat")
	d, err := New(options(mission()))
	if err != nil {
		f.Fatal(err)
	}
	at := time.Unix(1700000000, 0)
	f.Fuzz(func(t *testing.T, executable, args, tool string) {
		e := exec(at, "root", "x")
		e.Executable, e.Name, e.Args, e.Binary.Tool = executable, base(executable), strings.Split(args, "\x00"), tool
		set := d.Match(e)
		for _, finding := range d.Judge(e, set, nil) {
			require.Contains(t, finding.Rule.Programs, finding.Program)
		}
	})
}

func BenchmarkMatchNoRule(b *testing.B) { benchmarkMatch(b, "systemd-resolve --status example.org") }
func BenchmarkMatchARule(b *testing.B)  { benchmarkMatch(b, "ss -tulpn") }

func benchmarkMatch(b *testing.B, command string) {
	d := mustNew(b, options(mission()))
	e := exec(time.Unix(1700000000, 0), "root", command)
	b.ReportAllocs()
	for b.Loop() {
		d.Match(e)
	}
}
