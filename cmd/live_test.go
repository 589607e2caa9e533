// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/livetest"
)

// The people of the live test. Their names are unlikely to be anybody's.
const (
	liveAdmin  = "rbadmin"  // looks every day
	liveNewbie = "rbnewbie" // has never looked
	liveDaemon = "rbdaemon" // a service account that has never looked
)

// looker is one exec of the live test: what is run, and what reconbeat must say of it.
type looker struct {
	name   string
	run    func(l *live) *exec.Cmd
	want   mapstr.M // fields of the raw event, dotted; "process.args" as one string
	silent bool     // no event at all is expected
}

// TestLiveExecsOfRealUsers is the main job: real users run real commands under the real kernel's audit, and the output
// file holds exactly the events and alerts expected, each exec once.
func TestLiveExecsOfRealUsers(t *testing.T) {
	l := newLive(t, "rare")
	l.learnTenDays()
	l.start()
	defer l.stop()

	ss := lookPath(t, "ss")
	copied := filepath.Join(l.dir, "session-helper")
	data, err := os.ReadFile(ss)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(copied, data, 0o755))

	cases := []looker{
		{
			name: "the admin looks as every day",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "ss -tlnp; true") },
			want: mapstr.M{
				"process.name":        "ss",
				"process.args":        "ss -tlnp",
				"user.name":           liveAdmin,
				"user.audit.name":     liveAdmin,
				"process.parent.name": "bash",
				"process.parent.args": "bash -c ss -tlnp; true",
			},
		},
		{
			name: "a newcomer looks from bash",
			run:  func(l *live) *exec.Cmd { return l.as(liveNewbie, "ss -tan; true") },
			want: mapstr.M{
				"process.name":        "ss",
				"process.args":        "ss -tan",
				"user.name":           liveNewbie,
				"user.audit.name":     liveNewbie,
				"process.parent.name": "bash",
			},
		},
		{
			name: "the newcomer looks through sudo, which hides nobody",
			run:  func(l *live) *exec.Cmd { return l.as(liveNewbie, "sudo -n netstat -rn; true") },
			want: mapstr.M{
				"process.name":        "netstat",
				"process.args":        "netstat -rn",
				"user.name":           "root",
				"user.audit.name":     liveNewbie,
				"process.parent.name": "sudo",
			},
		},
		{
			name: "timeout is a wrapper and the tool is an exec of its own",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "timeout 5 ss -s; true") },
			want: mapstr.M{
				"process.name":        "ss",
				"process.args":        "ss -s",
				"user.name":           liveAdmin,
				"process.parent.name": "timeout",
			},
		},
		{
			name: "an applet of busybox is the tool",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "busybox netstat -tln; true") },
			want: mapstr.M{
				"process.name":        "busybox",
				"process.args":        "busybox netstat -tln",
				"user.name":           liveAdmin,
				"process.parent.name": "bash",
			},
		},
		{
			name: "the dynamic loader is looked through",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, loader+" "+ss+" -tn; true") },
			want: mapstr.M{
				"process.args":        loader + " " + ss + " -tn",
				"user.name":           liveAdmin,
				"process.parent.name": "bash",
			},
		},
		{
			name: "a copy under another name is known by its contents",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, copied+" -tan; true") },
			want: mapstr.M{
				"process.name":        "session-helper",
				"process.executable":  copied,
				"user.name":           liveAdmin,
				"process.parent.name": "bash",
			},
		},
		{
			name: "showmount counts, even if nobody answers",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "timeout 5 showmount -e 127.0.0.1; true") },
			want: mapstr.M{
				"process.name":        "showmount",
				"process.args":        "showmount -e 127.0.0.1",
				"user.name":           liveAdmin,
				"process.parent.name": "timeout",
			},
		},
		{
			name: "route -n is a match",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "route -n; true") },
			want: mapstr.M{"process.name": "route", "process.args": "route -n", "user.name": liveAdmin},
		},
		{
			name:   "route add is none",
			run:    func(l *live) *exec.Cmd { return l.as(liveAdmin, "route add -net nonsense; true") },
			silent: true,
		},
		{
			name: "a terminal is seen",
			run:  func(l *live) *exec.Cmd { return l.as(liveAdmin, "script -qec 'ss -lu; true' /dev/null") },
			want: mapstr.M{
				"process.name":                  "ss",
				"process.args":                  "ss -lu",
				"user.name":                     liveAdmin,
				"process.interactive":           "true",
				"process.tty.char_device.major": "136",
			},
		},
		{
			name: "a daemon is its service account",
			run:  func(l *live) *exec.Cmd { return l.daemon(liveDaemon, "sh -c 'ss -tunap; true'") },
			want: mapstr.M{
				"process.name":        "ss",
				"process.args":        "ss -tunap",
				"user.name":           liveDaemon,
				"process.parent.name": "dash",
			},
		},
		{
			name: "an ssh session has its address",
			run:  func(l *live) *exec.Cmd { return l.ssh(liveAdmin, "ss -xl; true") },
			want: mapstr.M{
				"process.name":                              "ss",
				"process.args":                              "ss -xl",
				"user.name":                                 liveAdmin,
				"user.audit.name":                           liveAdmin,
				"process.parent.name":                       "bash",
				"process.entry_leader.entry_meta.type":      "sshd",
				"process.entry_leader.entry_meta.source.ip": "127.0.0.1",
			},
		},
	}
	for _, c := range cases {
		_ = c.run(l).Run() // a tool may well end with an error; that it ran is what counts
	}
	l.canary()

	var wanted, got []string
	for _, c := range cases {
		if c.silent {
			continue
		}
		doc := l.find("event", c.want)
		if doc == nil {
			t.Errorf("%s: no such event, wanted %v", c.name, c.want)
			continue
		}
		wanted = append(wanted, text(doc, "process.command_line"))
	}
	for _, doc := range l.documents() {
		if text(doc, "event.kind") == "event" && text(doc, "event.action") == "exec" && !isCanary(doc) {
			got = append(got, text(doc, "process.command_line"))
		}
	}
	sort.Strings(wanted)
	sort.Strings(got)
	require.Equal(t, wanted, got, "each exec once, none more")

	alerted := map[string]string{}
	for _, doc := range l.documents() {
		if text(doc, "event.kind") != "alert" || text(doc, "event.action") == "correlation" {
			continue
		}
		who := text(doc, "user.name")
		require.NotContains(t, alerted, who, "one alert an episode")
		alerted[who] = text(doc, "process.command_line")
		for _, field := range []string{"message", "event.reason", "event.risk_score", "event.severity", "rule.id",
			"rule.name", "threat.technique.id", "host.name", "host.id",
			"agent.type", "process.entity_id", "process.parent.entity_id", "process.parent.executable", "related.user",
			"reconbeat.anomaly.score", "reconbeat.anomaly.threshold", "reconbeat.episode.id"} {
			require.NotEmpty(t, text(doc, field), field)
		}
	}
	require.Equal(t, map[string]string{liveNewbie: "ss -tan", liveDaemon: "ss -tunap"}, alerted)
}

// TestLiveContexts runs what the context model weighs for real, by ssh, sudo, su and cron, and looks what it has
// learned of it. Strangers who do so by sudo and by su raise alerts that answer every question.
func TestLiveContexts(t *testing.T) {
	l := newLive(t, "context")
	cron, err := exec.LookPath("cron")
	if err != nil {
		t.Skip("SKIPPED: THE LIVE TEST OF CONTEXTS NEEDS cron (Debian: cron)")
	}
	guest := l.guest()
	l.learnDays(60, true)
	l.start()
	t.Cleanup(func() { _ = l.beat.Process.Signal(syscall.SIGTERM) }) // where the test ends early
	job := "/etc/cron.d/live-test-of-contexts"
	require.NoError(t, os.WriteFile(job, []byte("* * * * * "+liveDaemon+" ss -tn >/dev/null 2>&1; true\n"), 0o644))
	defer os.Remove(job)
	daemon := exec.Command(cron, "-f")
	require.NoError(t, daemon.Start())
	defer func() { _ = daemon.Process.Kill(); _ = daemon.Wait() }()

	began := time.Now()
	for _, command := range []string{"ss -tlnp; true", "sudo -n netstat -rn; true",
		"sudo -n su " + liveNewbie + " -c 'ss -s; true'; true"} {
		c := l.ssh(liveAdmin, command)
		c.Args = append(c.Args[:1], append([]string{"-tt"}, c.Args[1:]...)...)
		_ = c.Run()
	}
	l.alertsByRightsOfOthers(guest)
	var alert mapstr.M
	require.True(t, beattest.Poll(3*time.Minute, func() bool { // cron may miss the first full minute
		alert = l.find("alert", mapstr.M{"user.name": liveDaemon})
		return alert != nil
	}), "a new job of an account without a login is unusual; the log:\n%s", l.log)
	require.Regexp(t,
		"^"+liveDaemon+" has never looked at network connections on this host in [56][0-9] days; parent dash "+
			"under cron, no terminal",
		text(alert, "event.reason"))
	require.Equal(t, "cron", text(alert, "process.entry_leader.entry_meta.type"))
	for _, field := range []string{"reconbeat.anomaly.surprise", "reconbeat.anomaly.yearly",
		"reconbeat.anomaly.learned_days", "reconbeat.anomaly.parts.actor", "reconbeat.habit.days"} {
		require.NotEmpty(t, text(alert, field), field)
	}
	l.canary()
	l.stop()

	learned := func(user, way string) map[string][]string {
		out, err := l.command("model", "explain", user, "--format", "json").Output()
		require.NoError(t, err)
		var known []struct {
			Actors []struct {
				Way      string
				Features map[string][]struct{ Value string }
				Hours    []int
			}
		}
		require.NoError(t, json.Unmarshal(out, &known))
		values := map[string][]string{}
		for _, k := range known {
			for _, a := range k.Actors {
				if a.Way != way {
					continue
				}
				for feature, list := range a.Features {
					for _, v := range list {
						values[feature] = append(values[feature], v.Value)
					}
				}
				values["hours"] = strings.Fields(strings.Trim(fmt.Sprint(a.Hours), "[]"))
			}
		}
		return values
	}
	admin := learned(liveAdmin, "terminal")
	for feature, want := range map[string]string{
		"as": "0", "parent": "bash", "tty": "terminal", "entry": "sshd", "network": "127.0.0.0/24",
		"network_wide": "127.0.0.0/16", "command": "netstat -nr", "folder": "~",
		"hours": fmt.Sprint(began.Hour()),
	} {
		require.Contains(t, admin[feature], want, "%s of %v", feature, admin)
	}
	require.Contains(t, learned(liveAdmin, "none")["as"], l.uid(liveNewbie),
		"su hides nobody; it takes the terminal away")
	require.NotContains(t, admin["parent"], "sudo", "who calls sudo is behind it")
	require.NotEmpty(t, admin["week"])
	job1 := learned(liveDaemon, "dash under cron")
	for feature, want := range map[string]string{
		"as": "self", "parent": "dash under cron", "tty": "none", "entry": "cron", "network": "none",
		"network_wide": "none", "command": "ss -nt", "folder": "~",
	} {
		require.Contains(t, job1[feature], want, "%s of %v", feature, job1)
	}
	require.NotEmpty(t, job1["hours"])
}

// learnDays makes a history of so many days that ends now: an agent of root's, and, if there is one, an admin who comes
// by ssh from the office, and has it learned.
func (l *live) learnDays(days int, admin bool) {
	var b bytes.Buffer
	now := time.Now()
	write := func(at time.Time, fields map[string]any) {
		fields["@timestamp"] = at.UTC().Format(time.RFC3339Nano)
		line, err := json.Marshal(fields)
		require.NoError(l.t, err)
		b.Write(append(line, '\n'))
	}
	for at := now.AddDate(0, 0, -days); at.Before(now.Add(-2 * time.Hour)); at = at.Add(time.Hour) {
		write(at, map[string]any{
			"user.name":           "root",
			"user.id":             "0",
			"process.name":        "ss",
			"process.executable":  "/usr/bin/ss",
			"process.args":        []string{"ss", "-s"},
			"process.parent.name": "agent",
		})
		if admin && (at.Hour()-now.Hour())%4 == 0 { // the hour of this run, too: unusual is what it does anew
			write(at, map[string]any{
				"user.name":                                 liveAdmin,
				"user.id":                                   l.uid(liveAdmin),
				"user.audit.name":                           liveAdmin,
				"user.audit.id":                             l.uid(liveAdmin),
				"process.name":                              "ss",
				"process.executable":                        "/usr/bin/ss",
				"process.args":                              []string{"ss", "-tlnp"},
				"process.parent.name":                       "bash",
				"process.interactive":                       true,
				"process.working_directory":                 "/home/" + liveAdmin,
				"process.entry_leader.entry_meta.type":      "sshd",
				"process.entry_leader.entry_meta.source.ip": "10.9.8.7",
			})
		}
	}
	history := filepath.Join(l.dir, "history.ndjson")
	require.NoError(l.t, os.WriteFile(history, b.Bytes(), 0o644))
	out, err := l.command("replay", "--learn", "--module", "ndjson", history).CombinedOutput()
	require.NoError(l.t, err, string(out))
}

// loader is the dynamic loader of this test's machine.
const loader = "/lib64/ld-linux-x86-64.so.2"

// live is a running reconbeat with real users.
type live struct {
	t      *testing.T
	dir    string
	out    *beattest.Host // reads the output in dir
	data   string
	beat   *exec.Cmd
	log    *beattest.Log
	sshd   *exec.Cmd
	port   string
	rules  string // audit's rules and settings before
	model  string // in charge
	module string // settings of the module
	more   string // settings beside those that every live test has

	canaries int // so far
}

func newLive(t *testing.T, model string) *live {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: THE LIVE TEST NEEDS ROOT: it loads audit rules and makes users")
	}
	for _, tool := range []string{"ss", "netstat", "route", "showmount", "busybox", "sudo", "timeout", "script",
		"setpriv", "ssh", "sshd", "auditctl", "useradd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf(
				"SKIPPED: THE LIVE TEST NEEDS %s (Debian: net-tools nfs-common busybox sudo openssh-server auditd "+
					"iproute2)",
				tool,
			)
		}
	}
	takeAudit(t)
	l := &live{t: t, model: model, dir: t.TempDir(), log: &beattest.Log{}, rules: auditSettings(t)}
	l.out = &beattest.Host{T: t, Dir: l.dir}
	require.NoError(t, os.Chmod(l.dir, 0o755))
	for d := l.dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755)) // real users must reach the copied binary
	}
	l.data = filepath.Join(l.dir, "data")
	for _, name := range []string{liveAdmin, liveNewbie, liveDaemon} {
		_ = exec.Command("userdel", "-rf", name).Run()
		out, err := exec.Command("useradd", "-m", "-s", "/bin/bash", name).CombinedOutput()
		require.NoError(t, err, string(out))
		t.Cleanup(func() { _ = exec.Command("userdel", "-rf", name).Run() })
	}
	// The tests of the packages, which run beside this one on a copy of this host, look for files with reconbeat's name.
	sudoers := "/etc/sudoers.d/beat-live-test"
	require.NoError(
		t,
		os.WriteFile(sudoers, []byte(liveNewbie+" ALL=(ALL) NOPASSWD: ALL\n"+liveAdmin+" ALL=(ALL) NOPASSWD: ALL\n"),
			0o440),
	)
	t.Cleanup(func() { os.Remove(sudoers) })
	l.startSSHD()
	return l
}

// takeAudit takes the kernel's audit for one test at a time, whatever package it is of.
func takeAudit(t testing.TB) {
	livetest.LockAudit(t)
	if out, err := exec.Command("auditctl", "-s").
		CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "\npid 0\n") {
		t.Skipf("SKIPPED: THE LIVE TEST NEEDS THE KERNEL'S AUDIT WITH NO OTHER OWNER: %v %s", err, out)
	}
}

func lookPath(t testing.TB, tool string) string {
	p, err := exec.LookPath(tool)
	require.NoError(t, err)
	p, err = filepath.EvalSymlinks(p)
	require.NoError(t, err)
	return p
}

// auditSettings is what reconbeat must leave as it was.
func auditSettings(t testing.TB) string {
	status, err := exec.Command("auditctl", "-s").Output()
	require.NoError(t, err)
	rules, err := exec.Command("auditctl", "-l").Output()
	require.NoError(t, err)
	var kept []string
	for line := range strings.Lines(string(status)) {
		for _, setting := range []string{"enabled", "failure", "pid", "rate_limit", "backlog_limit",
			"backlog_wait_time "} {
			if strings.HasPrefix(line, setting) {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "") + string(rules)
}

func (l *live) uid(name string) string {
	u, err := user.Lookup(name)
	require.NoError(l.t, err)
	return u.Uid
}

// as runs a shell command as a person with a login of his own: the login user is set before the privileges are dropped,
// as PAM does it.
func (l *live) as(name, command string) *exec.Cmd {
	c := exec.Command("bash", "-c",
		`echo "$1" > /proc/self/loginuid && exec setpriv --reuid "$2" --regid "$2" --init-groups bash -c "$3"`, "login",
		l.uid(name), name, command)
	c.Dir = "/"
	return c
}

// daemon runs a command as a service account, without a login.
func (l *live) daemon(name, command string) *exec.Cmd {
	c := exec.Command("setpriv", "--reuid", name, "--regid", name, "--init-groups", "sh", "-c", command)
	c.Dir = "/"
	return c
}

func (l *live) ssh(name, command string) *exec.Cmd {
	return exec.Command("ssh", "-i", filepath.Join(l.dir, "key"), "-p", l.port, "-o",
		"StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		name+"@127.0.0.1", command)
}

func (l *live) startSSHD() {
	t := l.t
	for _, key := range []string{"key", "hostkey"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(l.dir, key)).
			CombinedOutput()
		require.NoError(t, err, string(out))
	}
	u, err := user.Lookup(liveAdmin)
	require.NoError(t, err)
	pub, err := os.ReadFile(filepath.Join(l.dir, "key.pub"))
	require.NoError(t, err)
	authorized := filepath.Join(l.dir, "authorized_keys")
	require.NoError(t, os.WriteFile(authorized, pub, 0o644))
	_ = u
	_, l.port, err = net.SplitHostPort(beattest.Address(t))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	conf := fmt.Sprintf(
		"Port %s\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nUsePAM yes\nStrictModes no\nAuthorizedKeysFile "+
			"%s\nPasswordAuthentication no\nLogLevel ERROR\n",
		l.port,
		filepath.Join(l.dir, "hostkey"),
		authorized,
	)
	file := filepath.Join(l.dir, "sshd_config")
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
	l.sshd = exec.Command(lookPath(t, "sshd"), "-D", "-e", "-f", file)
	l.sshd.Stderr = os.Stderr
	require.NoError(t, l.sshd.Start())
	t.Cleanup(func() { _ = l.sshd.Process.Kill(); _ = l.sshd.Wait() })
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+l.port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond)
}

// learnTenDays makes a history of ten days that ends now, and has it learned.
func (l *live) learnTenDays() {
	var b bytes.Buffer
	now := time.Now().UTC()
	line := func(at time.Time, name string) {
		fmt.Fprintf(&b,
			`{"@timestamp":%q,"user":{"name":%q,"id":%q},"process":{"name":"ss","executable":"/usr/bin/ss",`+
				`"args":["ss","-s"]}}`+"\n",
			at.Format(time.RFC3339Nano), name, l.uid(name))
	}
	for at := now.AddDate(0, 0, -10); at.Before(now); at = at.Add(10 * time.Minute) {
		line(at, "root")
		if at.Hour() >= 8 && at.Hour() < 18 && at.Minute() < 20 {
			line(at.Add(time.Minute), liveAdmin)
		}
	}
	history := filepath.Join(l.dir, "history.ndjson")
	require.NoError(l.t, os.WriteFile(history, b.Bytes(), 0o644))
	out, err := l.command("replay", "--learn", "--module", "ndjson", history).CombinedOutput()
	require.NoError(l.t, err, string(out))
}

// command is reconbeat itself, with this test's configuration.
func (l *live) command(args ...string) *exec.Cmd {
	file := filepath.Join(l.dir, "reconbeat.yml")
	conf := fmt.Sprintf(`
reconbeat.modules: [{module: auditd%s}]
reconbeat.detector.model: %s
output.file: {path: %s, filename: out, permissions: 0600}
logging: {to_stderr: true, level: info}
%s`, l.module, l.model, l.dir, l.more)
	require.NoError(l.t, os.WriteFile(file, []byte(conf), 0o600))
	binary := os.Args[0]
	if args[0] != "run" {
		binary = withoutRaceDetector(l.t)
	}
	end := slices.Index(args, "--") // of the options; an id may begin with a dash
	if end < 0 {
		end = len(args)
	}
	c := exec.Command(binary,
		slices.Insert(slices.Clone(args), end, "-c", file, "--path.data", l.data, "--path.home", l.dir)...)
	c.Env = append(os.Environ(), asReconbeat+"=1")
	return c
}

func (l *live) start() {
	l.beat = l.command("run")
	l.beat.Stderr, l.beat.Stdout = l.log, l.log
	require.NoError(l.t, l.beat.Start())
	l.canary()
}

// canaryCommand is a match that the usual user root makes so that the test knows how far reconbeat is.
const canaryCommand = "ss -H -o state closing sport = :%d"

func isCanary(doc mapstr.M) bool {
	return strings.HasPrefix(text(doc, "process.command_line"), "ss -H -o state closing")
}

// canary runs a match of its own and waits until it is in the output: everything before it is there too.
func (l *live) canary() {
	var commands []string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		l.canaries++ // each another one: what is waited for must not be there from before
		command := fmt.Sprintf(canaryCommand, l.canaries)
		commands = append(commands, command)
		_ = exec.Command("sh", "-c", command).Run()
		for range 50 {
			// One of those before, too: on a busy machine each may take longer than this.
			if slices.ContainsFunc(commands, func(command string) bool {
				return l.find("event", mapstr.M{"process.command_line": command}) != nil
			}) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	l.t.Fatalf("reconbeat reports nothing; its log:\n%s", l.log)
}

// stop ends reconbeat as systemd does, and looks whether the kernel's audit is as it was.
func (l *live) stop() {
	require.NoError(l.t, l.beat.Process.Signal(syscall.SIGTERM))
	err := l.beat.Wait()
	require.NoError(l.t, err, l.log.All())
	require.Equal(l.t, l.rules, auditSettings(l.t), "audit's rules and settings are as before")
	if l.t.Failed() {
		l.t.Logf("reconbeat's log:\n%s", l.log)
	}
}

// documents returns what the output file holds.
func (l *live) documents() []mapstr.M { return l.out.Documents("out") }

// find returns the document of a kind with all the fields wanted.
func (l *live) find(kind string, want mapstr.M) mapstr.M {
	for _, doc := range l.documents() {
		if text(doc, "event.kind") != kind {
			continue
		}
		fits := true
		for field, v := range want {
			fits = fits && flat(doc, field) == v
		}
		if fits {
			return doc
		}
	}
	return nil
}

// flat is a field as text, a list joined by blanks.
func flat(doc mapstr.M, field string) string {
	v, _ := doc.GetValue(field)
	if list, ok := v.([]any); ok {
		words := make([]string, len(list))
		for i := range list {
			words[i] = fmt.Sprint(list[i])
		}
		return strings.Join(words, " ")
	}
	return text(doc, field)
}

// TestLiveRightsOfTheManual holds the table of capabilities in docs/secure.md against the kernel: what module auditd
// says with no rights but these.
func TestLiveRightsOfTheManual(t *testing.T) {
	takeAudit(t)
	setpriv := lookPath(t, "setpriv")
	dir, err := os.MkdirTemp("", "reconbeat-rights-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.ReadFile(withoutRaceDetector(t))
	require.NoError(t, err)
	binary := filepath.Join(dir, Name) // where a plain user may start it
	require.NoError(t, os.WriteFile(binary, self, 0o755))
	for caps, want := range map[string]string{
		"":                             `auditd +no +it needs root`,
		"+audit_control":               `auditd +works`,
		"+audit_control,+audit_read":   `auditd +works`,
		"+audit_read":                  `auditd +no +it may listen \(CAP_AUDIT_READ\) but not see or load rules`,
		"+net_admin,+dac_read_search":  `auditd +no`,
		"+sys_ptrace,+dac_read_search": `procconn +(works|no +before Linux 6\.6)`,
	} {
		args := []string{"--reuid", "65534", "--regid", "65534", "--clear-groups"}
		if caps != "" {
			args = append(args, "--inh-caps", caps, "--ambient-caps", caps)
		}
		c := exec.Command(setpriv, append(args, binary, "test", "modules")...)
		c.Env = append(os.Environ(), asReconbeat+"=1")
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s: %s", caps, out)
		require.Regexp(t, `(?m)^`+want, string(out), "with %q", caps)
	}
}
