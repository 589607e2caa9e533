// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"fmt"
	"strings"

	"github.com/reconbeat/reconbeat/module"
)

// Probe says whether the module works on this host with its default options. It changes nothing and takes at most a
// second or two.
func Probe() module.Support {
	c, err := openControl()
	s := situationOf(c, err)
	if err == nil {
		defer c.Close()
	}
	return support(s, decide(s, defaults()))
}

// support says in words what a plan means.
func support(s situation, p plan) module.Support {
	if p.refused != "" {
		return module.Support{Why: p.refused, Help: p.help}
	}
	out := module.Support{
		Works: true,
		Why:   fmt.Sprintf("the kernel's audit can be read by %s: %s", p.socket, p.why),
		Sees: []string{
			"every program that starts, in containers too, 32-bit ones included, with all its arguments",
			"its real and effective user, login user (auid) and session, terminal, working directory and executable",
			"logins, with terminal and remote address, from programs that report them to audit (sshd, login, cron through PAM)",
		},
		Blind: []string{
			"programs started without a fork by processes that are older than the first enabling of audit since boot " +
				"(their children are seen)",
			"the container that a program runs in",
			"what the kernel drops under overload (counted)",
		},
		Help: p.help,
	}
	if p.incomplete != "" {
		// Something is seen at best: not what `auto` should choose while another source works.
		return module.Support{Why: p.incomplete, Help: p.help}
	}
	if p.socket == multicast {
		out.Blind = append(out.Blind,
			"what overflows its socket: the kernel does not send it again (overflows and missing numbers are counted)",
		)
	}
	if len(p.notes) > 0 {
		out.Why += "; " + strings.Join(p.notes, "; ")
	}
	if p.socket == unicast && s.status.Enabled == 0 {
		out.Why += "; audit is off and is switched on while reconbeat runs"
	}
	return out
}
