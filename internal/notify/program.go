// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program runs a program for each alert.
type program struct {
	path       string
	timeout    time.Duration
	credential *syscall.Credential // nil: as reconbeat
}

func newProgram(p *Program) (*program, error) {
	run := &program{path: p.Path, timeout: cmp.Or(p.Timeout, 30*time.Second)}
	name := p.User
	if name == "" && os.Geteuid() == 0 {
		name = "nobody"
	}
	if name == "" {
		return run, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("looking up user %q of program %s: %w", name, p.Path, err)
	}
	uid, errUser := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGroup := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUser, errGroup); err != nil {
		return nil, fmt.Errorf("reading the ids of user %q: %w", name, err)
	}
	if int(uid) != os.Geteuid() {
		run.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return run, nil
}

// mostOutput bounds what is kept of what a program prints, and mostValue a value in its environment, in bytes.
const (
	mostOutput = 1024
	mostValue  = 32 << 10
)

func (p *program) deliver(ctx context.Context, a *Alert) error {
	doc, err := a.json()
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if err := trusted(p.path); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c := exec.CommandContext(limited, p.path)
	c.Dir = "/"
	c.Stdin = bytes.NewReader(append(doc, '\n'))
	out := &head{}
	c.Stdout, c.Stderr = out, out
	c.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, environment(a)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.credential}
	c.Cancel = func() error { return killGroup(c.Process.Pid) }
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting %w", err)
	}
	awaited(c.Process.Pid)
	err = c.Wait()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("it was killed after %v", p.timeout)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // that is a child in a session of its own
		return fmt.Errorf("running %s: %w: %s", p.path, err, printable(strings.TrimSpace(out.String())))
	}
	return nil
}

// awaited waits until a process has ended, and kills the children that it left. It is not reaped before, so that its
// group's number is nobody else's.
func awaited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = killGroup(pid)
}

// killGroup kills a program and its children.
func killGroup(pid int) error {
	err := unix.Kill(-pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// trusted returns why a program must not run: somebody else could have written it.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("program %s must be a file", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("program %s must be writable by its owner only; its mode is %04o", path, info.Mode().Perm())
	case owner != 0 && int(owner) != os.Geteuid():
		return fmt.Errorf("program %s must belong to root, or to the user who runs reconbeat", path)
	}
	return nil
}

// environment is what a program finds of an alert in its environment. No value holds a NUL, which would end it.
func environment(a *Alert) []string {
	var env []string
	for _, v := range [][2]string{
		{"ALERT_ID", a.ID}, {"TIME", a.Time.Format(time.RFC3339Nano)}, {"HOST", a.Host}, {"RULE", a.Rule},
		{"USER", a.User}, {"SESSION", a.Session}, {"TEST", strconv.FormatBool(a.Test)}, {"COMMAND", a.Command}, {"SCORE", strconv.FormatFloat(a.Score, 'f', -1, 64)},
		{"SEVERITY", strconv.FormatInt(a.Severity, 10)}, {"MESSAGE", a.Line()}, {"HELD_BACK", strconv.Itoa(a.HeldBack)},
	} {
		value := strings.ReplaceAll(strings.ToValidUTF8(v[1], "\uFFFD"), "\x00", "\uFFFD")
		env = append(env, "RECONBEAT_"+v[0]+"="+shortened(value, mostValue))
	}
	return env
}

func (*program) close() {}

// head keeps the beginning of what is written.
type head struct{ bytes.Buffer }

// Write takes all and keeps what there is room for.
func (h *head) Write(b []byte) (int, error) {
	h.Buffer.Write(b[:min(len(b), mostOutput-h.Len())])
	return len(b), nil
}
