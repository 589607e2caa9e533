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
		ID: "network-connection-discovery", Name: "Unusual network connection discovery", Version: 1, Enabled: true,
		Habit:     "looked at network connections",
		Programs:  []string{"netstat", "ss", "route", "showmount"},
		Except:    []Except{{Programs: []string{"route"}, AnyArg: []string{"add", "del", "flush"}}},
		Threshold: 25, Severity: "low", RiskScore: 21,
		Threat: []Threat{{
			Tactic:    Technique{ID: "TA0007", Name: "Discovery"},
			Technique: []Technique{{ID: "T1049", Name: "System Network Connections Discovery"}},
		}},
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
		{
			name: "a program is the base of its executable", executable: "/usr/bin/ss", args: "ss -tan", want: "ss",
			rest: "-tan",
		},
		{name: "argv[0] does not count", executable: "/usr/bin/ss", args: "innocent -tan", want: "ss", rest: "-tan"},
		{name: "a login shell's dash does not count", executable: "/usr/bin/bash", args: "-bash", want: "bash"},
		{
			name: "busybox is the applet of its first argument", executable: "/bin/busybox",
			args: "busybox netstat -tln", want: "netstat", rest: "-tln",
		},
		{
			name: "busybox is the applet that it is called", executable: "/bin/busybox", args: "/usr/sbin/netstat -tln",
			want: "netstat", rest: "-tln",
		},
		{
			name: "busybox may call itself", executable: "/bin/busybox", args: "busybox busybox netstat -a",
			want: "netstat", rest: "-a",
		},
		{name: "busybox alone is busybox", executable: "/bin/busybox", args: "busybox", want: "busybox"},
		{name: "toybox is as busybox", executable: "/usr/bin/toybox", args: "toybox netstat", want: "netstat"},
		{
			name: "the loader is what it loads", executable: "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
			args: "/lib64/ld-linux-x86-64.so.2 /usr/bin/ss -tn", want: "ss", rest: "-tn",
		},
		{
			name: "the loader's options are passed over", executable: "/usr/lib/ld-linux-aarch64.so.1",
			args: "ld.so --library-path /lib --argv0 x /usr/bin/netstat -r", want: "netstat", rest: "-r",
		},
		{
			name: "an option of the loader in one word", executable: "/usr/lib/ld-linux-aarch64.so.1",
			args: "ld.so --inhibit-cache /usr/bin/netstat", want: "netstat",
		},
		{
			name: "musl's loader is a loader", executable: "/lib/ld-musl-x86_64.so.1",
			args: "ld-musl-x86_64.so.1 --preload x.so -- /usr/bin/ss", want: "ss",
		},
		{
			name: "the loader that lists runs nothing", executable: "/usr/bin/ld.so", args: "ld.so --list /usr/bin/ss",
			want: "ld.so", rest: "--list /usr/bin/ss",
		},
		{
			name: "the loader that verifies runs nothing", executable: "/usr/bin/ld.so",
			args: "ld.so --verify /usr/bin/ss", want: "ld.so", rest: "--verify /usr/bin/ss",
		},
		{
			name: "the loader that helps runs nothing", executable: "/usr/bin/ld.so", args: "ld.so --help",
			want: "ld.so", rest: "--help",
		},
		{
			name: "ldd is not a loader", executable: "/usr/bin/ldd", args: "ldd /usr/bin/ss", want: "ldd",
			rest: "/usr/bin/ss",
		},
		{name: "sudo is itself", executable: "/usr/bin/sudo", args: "sudo ss -tan", want: "sudo", rest: "ss -tan"},
		{name: "without arguments a program is its name", executable: "/usr/bin/ss", want: "ss"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, rest := Program(&process.Event{Process: process.Process{
				Executable: c.executable, Name: base(c.executable), Args: strings.Fields(c.args),
			}})
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
		{name: "a program of two rules", e: ran(process.Process{Executable: "/usr/bin/ss"}), want: both},
		{name: "a program of one", e: ran(process.Process{Executable: "/bin/netstat"}), want: first},
		{name: "a name without an executable", e: ran(process.Process{Name: "route"}), want: first},
		{name: "a name that the kernel cut off", e: ran(process.Process{Name: "systemd-resolve"}), want: second},
		{
			name: "a program that is really called so",
			e:    ran(process.Process{Name: "systemd-resolve", Executable: "/usr/bin/systemd-resolve"}),
		},
		{name: "a copy under another name", e: called("kworker", "/tmp/kworker", "ss"), want: both},
		{name: "busybox under another name", e: called("netstat", "/tmp/bb", "busybox"), want: first},
		{name: "busybox by its first argument", e: called("bb netstat", "/tmp/bb", "busybox"), want: first},
		{
			name: "a download of busybox",
			e:    called("./busybox-x86_64 netstat -tn", "/tmp/busybox-x86_64", "busybox"), want: first,
		},
		{name: "an applet that is a file", e: called("route add default", "/bin/route", "busybox"), want: first},
		{name: "another applet of it", e: called("bb ls netstat", "/tmp/bb", "busybox")},
		{name: "toybox under another name", e: called("tb netstat", "/tmp/tb", "toybox"), want: first},
		{
			name: "the loader under another name",
			e:    called("ld --library-path /x /usr/bin/ss -tan", "/tmp/ld", "ld-linux-x86-64.so.2"), want: both,
		},
		{name: "the loader loads another program", e: called("ld /usr/bin/ls ss", "/tmp/ld", "ld-linux-x86-64.so.2")},
		{name: "what the loader loads is a copy", e: loading("/lib64/ld.so /tmp/kworker -tan", "ss"), want: both},
		{name: "it is busybox", e: loading("/lib64/ld.so --argv0 netstat /tmp/bb -tln", "busybox"), want: first},
		{
			name: "it is called as in a login shell",
			e:    loading("/lib64/ld.so --argv0 -netstat /tmp/bb", "busybox"), want: first,
		},
		{name: "it is another applet", e: loading("/lib64/ld.so --argv0 ls /tmp/bb netstat", "busybox")},
		{name: "busybox by its name through the loader", e: loading("/lib64/ld.so /bin/busybox netstat", ""), want: first},
		{name: "an emulator", e: loading("/usr/bin/qemu-aarch64-static -L /arm -cpu max /arm/bin/ss -tan", ""), want: both},
		{name: "a copy in an emulator", e: loading("/usr/bin/qemu-x86_64 -0 sshd /tmp/sshd -tan", "ss"), want: both},
		{name: "the loader in an emulator", e: loading("/usr/bin/qemu-arm /arm/ld-2.31.so /arm/bin/ss", ""), want: both},
		{name: "an emulator of a machine", e: loading("/usr/bin/qemu-system-x86_64 -hda ss", "")},
		{name: "an applet as in a login shell", e: called("-netstat -tln", "/bin/busybox", "busybox"), want: first},
		{
			name: "the loader's program is cut off",
			e:    cut(loading("/lib64/ld.so --library-path xxx", "")), want: both,
		},
		{name: "the applet is cut off", e: cut(called("busyboxxx", "/bin/busybox", "busybox")), want: both},
		{name: "arguments of the loaded are cut off", e: cut(loading("/lib64/ld.so /usr/bin/ls -l", ""))},
		{name: "arguments of another program are cut off", e: cut(called("ls -l", "/bin/ls", ""))},
		{name: "ss under the name of busybox", e: called("busybox ls", "/tmp/busybox", "ss"), want: both},
		{name: "a file in memory by its name", e: called("x -tan", "/memfd:ss", ""), want: both},
		{name: "one without the slash", e: called("x -tan", "memfd:netstat", ""), want: first},
		{name: "a file in memory by what it is called", e: called("ss -tan", "/memfd:x", ""), want: both},
		{name: "called by a path, as in a login shell", e: called("-/x/route", "/memfd:", ""), want: first},
		{name: "busybox in memory by its name", e: called("busybox netstat", "/memfd:busybox", ""), want: first},
		{name: "busybox in memory by its call", e: called("busybox netstat", "/memfd:3", ""), want: first},
		{name: "another program in memory", e: called("kworker ss", "/memfd:kworker", "")},
		{name: "a file in memory without arguments", e: ran(process.Process{Executable: "/memfd:x"})},
		{name: "another file is not what it is called", e: called("ss -tan", "/usr/bin/x", "")},
		{name: "case matters", e: ran(process.Process{Executable: "/usr/bin/SS"})},
		{name: "a longer name is another program", e: ran(process.Process{Executable: "/usr/bin/ssh"})},
		{
			name: "an exec that failed ran nothing",
			e:    process.Event{Kind: process.Exec, Process: process.Process{Executable: "/usr/bin/ss"}},
		},
		{
			name: "a fork is not an exec",
			e:    process.Event{Kind: process.Fork, Success: true, Process: process.Process{Executable: "/usr/bin/ss"}},
		},
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

// ran is an exec that succeeded.
func ran(p process.Process) process.Event {
	return process.Event{Kind: process.Exec, Success: true, Process: p}
}

// called is the exec of an executable that is known to be a tool by its contents.
func called(command, executable, tool string) process.Event {
	return process.Event{Kind: process.Exec, Success: true, Process: process.Process{
		Executable: executable, Args: strings.Fields(command), Binary: process.Binary{Tool: tool},
	}}
}

// loading is the exec of a loader or an emulator; the contents of what it loads are known to be a tool's.
func loading(command, tool string) process.Event {
	path, _, _ := strings.Cut(command, " ")
	e := called(command, path, "")
	e.Loads = tool
	return e
}

// TestAProgramThatIsCutOffIsJudged has a loader started with more arguments than are kept before the program.
func TestAProgramThatIsCutOffIsJudged(t *testing.T) {
	d := mustNew(t, options(mission()))
	e := cut(loading("/lib64/ld.so --library-path xxx", ""))
	e.User, e.Time = process.User{ID: 1000}, time.Unix(1700000000, 0)
	findings := d.Judge(&e, d.Match(&e), nil)
	require.Len(t, findings, 1)
	require.Equal(t, "ld.so", findings[0].Program)
}

// cut is an exec with one argument more than its source has kept.
func cut(e process.Event) process.Event {
	e.ArgsCount = len(e.Args) + 1
	return e
}

func TestTheArgumentsOfAnAppletAreItsOwn(t *testing.T) {
	for _, c := range []struct{ command, executable, tool, want string }{
		{"bb netstat -tn", "/tmp/bb", "busybox", "netstat [-tn]"},
		{"netstat -tn", "/tmp/bb", "busybox", "netstat [-tn]"},
		{"busybox busybox netstat -tn", "/bin/busybox", "busybox", "netstat [-tn]"},
		{"busybox", "/bin/busybox", "", "busybox []"},
		{"ld --argv0 x /usr/bin/ss -t", "/tmp/ld", "ld-linux-x86-64.so.2", "ss [-t]"},
		{"ld --argv0 -netstat /bin/busybox -tn", "/tmp/ld", "ld-linux-x86-64.so.2", "netstat [-tn]"},
		{"ld /bin/busybox netstat -tn", "/tmp/ld", "ld-linux-x86-64.so.2", "netstat [-tn]"},
		{"-netstat -tn", "/bin/busybox", "", "netstat [-tn]"},
	} {
		e := called(c.command, c.executable, c.tool)
		name, args := Program(&e)
		require.Equal(t, c.want, fmt.Sprint(name, " ", args), c.command)
	}
	route := called("route add default", "/bin/route", "busybox")
	name, args := (&Rule{Programs: []string{"route"}}).program(&route)
	require.Equal(t, "route [add default]", fmt.Sprint(name, " ", args))
}

func TestMatchingAllocatesNothing(t *testing.T) {
	d := mustNew(t, options(mission()))
	for _, command := range []string{
		"ls -la /tmp", "ss -tan", "busybox netstat", "/lib64/ld-linux-x86-64.so.2 --library-path /x /usr/bin/ss",
	} {
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
