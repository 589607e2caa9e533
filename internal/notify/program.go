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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/printable"
)

// program runs a program for each alert.
type program struct {
	path    string
	user    string // as whom it runs; empty: as reconbeat
	timeout time.Duration
	logger  *logp.Logger // is given what the program prints
}

func newProgram(p *Program, logger *logp.Logger) *program {
	run := &program{path: p.Path, user: p.User, timeout: cmp.Or(p.Timeout, 30*time.Second), logger: logger}
	if run.user == "" && os.Geteuid() == 0 {
		run.user = "nobody"
	}
	return run
}

// credential is of the user as whom the program runs; nil: as reconbeat. A directory of users may be away for a while:
// it is asked for every alert.
func (p *program) credential() (*syscall.Credential, error) {
	if p.user == "" {
		return nil, nil
	}
	u, err := user.Lookup(p.user)
	if err != nil {
		return nil, fmt.Errorf("looking up user %q of program %s: %w", p.user, p.path, err)
	}
	uid, errUser := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGroup := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(errUser, errGroup); err != nil {
		return nil, fmt.Errorf("reading the ids of user %q: %w", p.user, err)
	}
	if int(uid) == os.Geteuid() {
		return nil, nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, mayChangeUser(p.user)
}

// mayChangeUser returns what is missing to run a program as another user, and to kill it when it takes too long.
func mayChangeUser(name string) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("reading reconbeat's capabilities: %w", err)
	}
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{
		{unix.CAP_SETUID, "CAP_SETUID"}, {unix.CAP_SETGID, "CAP_SETGID"}, {unix.CAP_KILL, "CAP_KILL"},
	} {
		if have[0].Effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("reconbeat may not run a program as user %q: it lacks %s; docs/notify.md says how to grant that",
			name, strings.Join(missing, ", "))
	}
	return nil
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
	credential, err := p.credential()
	if err != nil {
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
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
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
	said := printable.Text(strings.TrimSpace(out.String()))
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // that is a child in a session of its own
		return fmt.Errorf("running %s: %w: %s", p.path, err, said)
	}
	if said != "" {
		p.logger.Infof("alert %s: %s prints: %s", a.ID, p.path, said)
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

// trusted returns why a program must not run: somebody else could have written it, or could put another one, or a link,
// in its place.
func trusted(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("program: %w", err)
		}
		owner := info.Sys().(*syscall.Stat_t).Uid
		switch {
		case at == path && !info.Mode().IsRegular():
			return fmt.Errorf("program %s must be a file", at)
		case info.Mode().Perm()&0o022 != 0 && info.Mode()&(os.ModeDir|os.ModeSticky) != os.ModeDir|os.ModeSticky:
			return fmt.Errorf("%s must be writable by its owner only; its mode is %04o", at, info.Mode().Perm())
		case owner != 0 && int(owner) != os.Geteuid():
			return fmt.Errorf("%s must belong to root, or to the user who runs reconbeat", at)
		case at == "/":
			return nil
		}
	}
}

// environment is what a program finds of an alert in its environment. No value holds a NUL, which would end it.
func environment(a *Alert) []string {
	var env []string
	for _, v := range [][2]string{
		{"ALERT_ID", a.ID}, {"TIME", a.Time.Format(time.RFC3339Nano)}, {"HOST", a.Host}, {"RULE", a.Rule},
		{"USER", a.User}, {"SESSION", a.Session}, {"COMMAND", a.Command}, {"TEST", strconv.FormatBool(a.Test)},
		{"SCORE", strconv.FormatFloat(a.Score, 'f', -1, 64)},
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
