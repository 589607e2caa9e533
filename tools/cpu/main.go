// SPDX-License-Identifier: Apache-2.0

// Command cpu compares what two agents cost that ship every program start of this host: reconbeat with `events: all`,
// and auditbeat with its auditd module, or two builds of reconbeat. They take turns, each with output to a file, under
// the same two loads: a storm flat out, and a steady rate.
//
//	go run ./cpu [flags] RECONBEAT AUDITBEAT
//
// It needs root and a host whose audit nobody else uses, and puts audit back as it was. What a program is follows from
// its name: auditbeat* is auditbeat, everything else reconbeat.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	runtime.LockOSThread() // Pdeathsig means the thread that started the agent
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cpu:", err)
		os.Exit(1)
	}
}

// load is what the host starts while an agent watches.
type load struct {
	name  string
	execs int
	rate  int // a second; 0: flat out
}

// cost is what an agent needed for a load.
type cost struct {
	cpu   time.Duration // user and system
	found int           // execs in the output, each counted once
}

func run() error {
	turns := flag.Int("turns", 3, "how often each agent has its turn")
	flat := flag.Int("flat", 10_000, "program starts of the storm; 0: no storm")
	rate := flag.Int("rate", 200, "program starts a second of the steady load; 0: no steady load")
	seconds := flag.Int("seconds", 30, "for how long it goes on")
	events := flag.String("events", "all", "reconbeat.events")
	profile := flag.String("profile", "", "folder for the agents' CPU profiles")
	flag.Parse()
	if flag.NArg() != 2 {
		return errors.New("want the paths of two programs")
	}
	if os.Getuid() != 0 {
		return errors.New("the kernel's audit needs root")
	}
	unlock, err := lockAudit()
	if err != nil {
		return err
	}
	defer unlock()
	var loads []load
	if *flat > 0 {
		loads = append(loads, load{name: fmt.Sprintf("%d flat out", *flat), execs: *flat})
	}
	if *rate > 0 {
		loads = append(loads, load{
			name: fmt.Sprintf("%d a second for %d s", *rate, *seconds), execs: *rate * *seconds, rate: *rate,
		})
	}
	for _, l := range loads {
		if err := compare(l, flag.Args(), *turns, *events, *profile); err != nil {
			return err
		}
	}
	return nil
}

// compare prints the table of one load.
func compare(l load, programs []string, turns int, events, profile string) error {
	fmt.Printf("\n%s\n\n| turn | %s | found | %s | found | ratio |\n|---|---|---|---|---|---|\n",
		l.name, filepath.Base(programs[0]), filepath.Base(programs[1]))
	var ratios []float64
	for turn := range turns {
		var costs [2]cost
		for i, program := range programs {
			var err error
			if costs[i], err = measure(l, agent{program, events, profile}); err != nil {
				return fmt.Errorf("%s, %s: %w", program, l.name, err)
			}
		}
		ratio := costs[0].cpu.Seconds() / costs[1].cpu.Seconds()
		ratios = append(ratios, ratio)
		fmt.Printf("| %d | %.2f s | %s | %.2f s | %s | %.2f |\n", turn+1,
			costs[0].cpu.Seconds(), percent(costs[0].found, l.execs), costs[1].cpu.Seconds(),
			percent(costs[1].found, l.execs), ratio)
	}
	slices.Sort(ratios)
	fmt.Printf("| median | | | | | %.2f |\n", ratios[len(ratios)/2])
	return nil
}

func percent(n, of int) string { return fmt.Sprintf("%.2f%%", 100*float64(n)/float64(of)) }

// agent is a program that watches, and how it is run.
type agent struct{ program, events, profile string }

const (
	patience = time.Minute     // for what must come
	quiet    = 5 * time.Second // an output to which nothing is added for so long is complete
)

// measure has an agent watch a load, and takes its processor time from when it sees program starts until its output is
// complete.
func measure(l load, a agent) (c cost, err error) {
	dir, err := os.MkdirTemp("", "reconbeat-cpu-")
	if err != nil {
		return cost{}, err
	}
	defer os.RemoveAll(dir)
	restore, err := auditAsItIs()
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	canary, counted := filepath.Join(dir, "canary"), filepath.Join(dir, "counted")
	for _, copied := range []string{canary, counted} {
		if err := copyProgram("/bin/true", copied); err != nil {
			return cost{}, err
		}
	}
	stop, pid, err := a.start(dir)
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for began := time.Now(); found(dir, canary) == 0; time.Sleep(time.Second) {
		if time.Since(began) > patience {
			return cost{}, fmt.Errorf("sees nothing:\n%s", logOf(dir))
		}
		if err := exec.Command(canary).Run(); err != nil {
			return cost{}, err
		}
	}
	time.Sleep(quiet) // what its start occasioned is done
	before, err := processorTime(pid)
	if err != nil {
		return cost{}, err
	}
	if err := l.run(counted); err != nil {
		return cost{}, err
	}
	for since := time.Now(); c.found < l.execs && time.Since(since) < 3*quiet; time.Sleep(time.Second) {
		if n := found(dir, counted); n > c.found {
			c.found, since = n, time.Now()
		}
	}
	after, err := processorTime(pid)
	c.cpu = after - before
	return c, err
}

// run starts the program as often as the load says.
func (l load) run(program string) error {
	began := time.Now()
	for i := range l.execs {
		if l.rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(l.rate))))
		}
		if err := exec.Command(program).Run(); err != nil {
			return err
		}
	}
	return nil
}

// start runs the agent in a folder.
func (a agent) start(dir string) (stop func() error, pid int, err error) {
	name := filepath.Base(a.program)
	cfg := fmt.Sprintf(reconbeatConfig, a.events)
	if strings.HasPrefix(name, "auditbeat") {
		cfg = auditbeatConfig
	}
	cfg += fmt.Sprintf("path.home: %[1]s\noutput.file: {path: %[1]s, filename: out, rotate_every_kb: 1000000}\n", dir)
	if a.profile != "" {
		cfg += "seccomp.enabled: false\n" // it forbids the profiler's timers
	}
	file := filepath.Join(dir, "agent.yml")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		return nil, 0, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, 0, err
	}
	arguments := []string{"-e", "-c", file, "--strict.perms=false"}
	if a.profile != "" {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		arguments = append(arguments, "--cpuprofile", filepath.Join(a.profile, name+"-"+at+".pprof"))
	}
	run := exec.Command(a.program, arguments...)
	run.Stdout, run.Stderr = log, log
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it does not outlive this command
	if err := run.Start(); err != nil {
		return nil, 0, err
	}
	return func() error {
		defer log.Close()
		if err := run.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		if err := run.Wait(); err != nil {
			return fmt.Errorf("%w:\n%s", err, logOf(dir))
		}
		return nil
	}, run.Process.Pid, nil
}

// The agents' configurations differ from their defaults only in that every program start ships, and nothing else.
const (
	reconbeatConfig = `
reconbeat.modules: [{module: auditd}]
reconbeat.events: %s
setup: {ilm.enabled: false, template.enabled: false}
`
	auditbeatConfig = `
auditbeat.modules:
- module: auditd
  audit_rules: |
    -a always,exit -F arch=b64 -S execve,execveat -k exec
    -a always,exit -F arch=b32 -S execve,execveat -k exec
setup: {ilm.enabled: false, template.enabled: false}
`
)

// found counts the starts of a program in an agent's output, each once: by the sequence number that audit gave it.
func found(dir, program string) int {
	files, _ := filepath.Glob(filepath.Join(dir, "out*"))
	mark, number := []byte(`"executable":"`+program+`"`), []byte(`"sequence":`)
	seen := map[string]bool{}
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(lines) {
			_, sequence, ok := bytes.Cut(line, number)
			if !ok || !bytes.Contains(line, mark) {
				continue
			}
			end := bytes.IndexAny(sequence, ",}")
			seen[string(sequence[:max(0, end)])] = true
		}
	}
	return len(seen)
}

func logOf(dir string) string {
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	return string(log[:min(4000, len(log))])
}

// processorTime is what a process has used so far, all its threads together.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("the agent has ended: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const user, system = 11, 12 // proc_pid_stat(5), after the name
	var ticks int64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the processor time of %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// lockAudit waits until nobody else, of reconbeat's tests, uses the host's audit.
func lockAudit() (unlock func(), err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "reconbeat-audit.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { lock.Close() }, nil
}

// auditAsItIs returns what puts audit's settings and rules back. Rules that are loaded now are refused: an agent would
// delete them.
func auditAsItIs() (restore func() error, err error) {
	rules, err := auditctl("-l")
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(rules, "No rules") {
		return nil, fmt.Errorf("the host has audit rules, which the agents would replace:\n%s", rules)
	}
	status, err := auditctl("-s")
	if err != nil {
		return nil, err
	}
	was := map[string]string{}
	for line := range strings.Lines(status) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			was[name] = value
		}
	}
	if was["pid"] != "0" {
		return nil, fmt.Errorf("process %s owns the host's audit", was["pid"])
	}
	return func() error {
		_, err := auditctl("-D")
		for _, setting := range [][2]string{
			{"-e", "enabled"}, {"-f", "failure"}, {"-r", "rate_limit"}, {"-b", "backlog_limit"},
			{"--backlog_wait_time", "backlog_wait_time"},
		} {
			_, errSet := auditctl(setting[0], was[setting[1]])
			err = errors.Join(err, errSet)
		}
		return err
	}, nil
}

func auditctl(arguments ...string) (string, error) {
	said, err := exec.Command("auditctl", arguments...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("auditctl %s: %w: %s", strings.Join(arguments, " "), err, said)
	}
	return string(said), nil
}
