// SPDX-License-Identifier: Apache-2.0

package procconn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/reconbeat/reconbeat/module"
)

// Probe says whether the module works here for this user: it listens, starts a program, and waits until it sees that.
// It takes two seconds at most.
func Probe() module.Support {
	c, err := connect(defaults().SocketBuffer)
	switch {
	case errors.Is(err, errNoAnswer):
		return module.Support{
			Why:  "the kernel does not answer: it sends process events to the host's pid and user namespaces only",
			Help: "Run it on the host, or the container with the host's pid namespace (--pid=host).",
		}
	case errors.Is(err, syscall.EPERM), errors.Is(err, errRefused):
		return module.Support{
			Why:  "before Linux 6.6 listening to process events needs CAP_NET_ADMIN",
			Help: "Run it as root, or use a newer kernel.",
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return module.Support{
			Why:  "it runs in a network namespace of its own, which has no process connector",
			Help: "Run it in the host's network namespace (--network=host).",
		}
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return module.Support{
			Why:  "the kernel was built without the process connector",
			Help: "Use a kernel with CONFIG_PROC_EVENTS.",
		}
	case err != nil:
		return module.Support{Why: err.Error()}
	}
	defer c.Close()
	if err := canary(c); err != nil {
		return module.Support{Why: err.Error(), Help: "Run it on the host, in its pid and network namespaces."}
	}
	s := module.Support{
		Works: true,
		Why:   "the kernel's process connector answers, and reported a program that was started to try it",
		Sees: []string{
			"programs that run for more than a moment, with arguments, users, login user and session, terminal, parent",
		},
		Blind: []string{
			"programs that end, or start another in their place, before /proc is read: 2 or 3 in 100 usually, a tenth to a " +
				"third in a storm of short programs (all counted)",
			"arguments as they were given: /proc shows them as the program has left them",
		},
	}
	if os.Geteuid() != 0 {
		s.Help = "Run it as root for the kernel's audit (module auditd), which misses nothing."
		s.Blind = append(s.Blind,
			"executable and working directory of other users' programs",
			"other users' programs altogether where /proc is mounted with hidepid",
		)
	}
	return s
}

// canary starts a program and waits until the connector reports it.
func canary(c *connection) error {
	cmd := exec.Command("/bin/true")
	err := cmd.Start()
	if errors.Is(err, fs.ErrNotExist) { // an image that has nothing but reconbeat
		cmd = exec.Command("/proc/self/exe", "version")
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("starting a program to see whether it is reported: %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(time.Second); time.Until(end) > 0; {
		n, err := c.socket.Receive(time.Until(end))
		if err != nil {
			continue // too many at once, or none yet
		}
		for i := range n {
			_, body, ok := c.socket.Message(i)
			if e, ok2 := parse(body); ok && ok2 && e.what == eventExec && e.pid == uint32(cmd.Process.Pid) {
				return nil
			}
		}
	}
	return errors.New("the kernel did not report a program that was started to try it")
}
