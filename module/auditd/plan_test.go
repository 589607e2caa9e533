// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	libaudit "github.com/elastic/go-libaudit/v2"
	"github.com/elastic/go-libaudit/v2/rule"
	"github.com/elastic/go-libaudit/v2/rule/flags"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loaded returns a rule, written as for auditctl, as the kernel would list it.
func loaded(t *testing.T, line string) loadedRule {
	t.Helper()
	parsed, err := flags.Parse(line)
	require.NoError(t, err, line)
	wire, err := rule.Build(parsed)
	require.NoError(t, err, line)
	r, err := parseRule(wire)
	require.NoError(t, err, line)
	return r
}

func TestDecide(t *testing.T) {
	exec64 := loaded(t, "-a always,exit -F arch=b64 -S execve,execveat -k exec")
	exec32 := loaded(t, "-a always,exit -F arch=b32 -S execve,execveat -k exec")
	ours := loaded(t, "-a always,exit -F arch=b64 -S execve,execveat -F success=1 -F pid!=99 -k reconbeat")
	ours32 := loaded(t, "-a always,exit -F arch=b32 -S execve,execveat -F success=1 -F pid!=99 -k reconbeat")
	root := situation{self: 42, pidNS: true, netNS: true, control: true, read: true,
		status: libaudit.AuditStatus{Failure: 1, BacklogLimit: 64, BacklogWaitTime: 15000}}
	with := func(change func(*situation)) situation {
		s := root
		change(&s)
		return s
	}
	owned := with(func(s *situation) { s.status.PID, s.owner, s.status.Enabled = 7, "auditd", 1 })
	options := func(kind string) Options {
		o := defaults()
		o.SocketType = kind
		return o
	}
	foreign := defaults()
	foreign.LoadRules = false

	for name, c := range map[string]struct {
		s situation
		o Options

		refused    string // a part of it
		socket     string
		settings   string
		addRules   bool
		incomplete string
		note       string
	}{
		"a host that never used audit": {s: root, o: defaults(), socket: unicast, addRules: true,
			settings: "failure 1>0, backlog_wait_time 15000>0, backlog_limit 64>8192, enabled 0>1"},
		"settings that are right already stay": {
			s:        with(func(s *situation) { s.status = libaudit.AuditStatus{Enabled: 1, BacklogLimit: 16384} }),
			o:        defaults(),
			socket:   unicast,
			addRules: true},
		"a rate limit goes": {
			s: with(func(s *situation) {
				s.status = libaudit.AuditStatus{Enabled: 1, BacklogLimit: 8192, RateLimit: 100}
			}), o: defaults(), socket: unicast, addRules: true,
			settings: "rate_limit 100>0"},
		"auditd owns the pid and has no exec rules": {
			s:        owned,
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			note:     "audit has no rules for execs of b64 and b32: reconbeat loads its own",
		},
		"another reconbeat owns the pid and has exec rules of its own": {
			s: with(func(s *situation) {
				*s = owned
				s.owner, s.beside, s.rules = "reconbeat", true, []loadedRule{ours, ours32}
			}),
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			note:     "the rules for execs are those of reconbeat, which deletes them when it stops: this one loads its own",
		},
		"auditd owns the pid and has exec rules": {
			s:        with(func(s *situation) { *s = owned; s.rules = []loadedRule{exec64, exec32} }),
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			note:     "audit has rules for execs already"},
		"auditd owns the pid but audit is off: it is switched on, the rest is auditd's": {
			s:        with(func(s *situation) { *s = owned; s.status.Enabled = 0 }),
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			settings: "enabled 0>1"},
		"the owner of the pid is gone": {
			s: with(func(s *situation) { s.status.PID = 7 }), o: defaults(), socket: unicast, addRules: true,
			settings: "failure 1>0, backlog_wait_time 15000>0, backlog_limit 64>8192, enabled 0>1"},
		"we have the pid ourselves, from an earlier socket": {
			s: with(func(s *situation) {
				s.status = libaudit.AuditStatus{Enabled: 1, BacklogLimit: 8192, PID: 42}
				s.owner = "reconbeat"
			}), o: defaults(),
			socket: unicast, addRules: true},
		"unicast demanded, but auditd owns the pid": {
			s:       owned,
			o:       options(unicast),
			refused: "the audit pid belongs to auditd (pid 7)",
		},
		"multicast demanded, although the pid is free": {
			s:        root,
			o:        options(multicast),
			socket:   multicast,
			addRules: true,
			settings: "enabled 0>1",
		},
		"programs are held up by a slow owner": {
			s:        with(func(s *situation) { *s = owned; s.status.BacklogWaitTime = 60 }),
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			note:     "held up while auditd is slow"},
		"the kernel would panic": {
			s:        with(func(s *situation) { *s = owned; s.status.Failure = 2 }),
			o:        defaults(),
			socket:   multicast,
			addRules: true,
			note:     "the kernel panics"},

		"immutable without exec rules": {
			s:       with(func(s *situation) { s.status.Enabled = 2 }),
			o:       defaults(),
			refused: "immutable (enabled 2) until a reboot and no rule reports execs"},
		"immutable with exec rules": {
			s:      with(func(s *situation) { s.status.Enabled = 2; s.rules = []loadedRule{exec64, exec32} }),
			o:      defaults(),
			socket: multicast},
		"immutable with rules for 64-bit programs only": {
			s:          with(func(s *situation) { s.status.Enabled = 2; s.rules = []loadedRule{exec64} }),
			o:          defaults(),
			socket:     multicast,
			incomplete: "no rule reports execs through b32"},
		"immutable with the rules of a reconbeat that was killed": {
			s:      with(func(s *situation) { s.status.Enabled = 2; s.rules = []loadedRule{ours, exec32} }),
			o:      defaults(),
			socket: multicast},
		"immutable and owned by auditd": {
			s:      with(func(s *situation) { *s = owned; s.status.Enabled = 2; s.rules = []loadedRule{exec64, exec32} }),
			o:      defaults(),
			socket: multicast},
		"immutable, and unicast demanded all the same": {
			s:      with(func(s *situation) { s.status.Enabled = 2; s.rules = []loadedRule{exec64, exec32} }),
			o:      options(unicast),
			socket: unicast},

		"rules are to be left to others, who have none": {
			s:          root,
			o:          foreign,
			socket:     unicast,
			incomplete: "load_rules is false and no rule reports execs through b64 and b32",
			settings:   "failure 1>0, backlog_wait_time 15000>0, backlog_limit 64>8192, enabled 0>1",
		},
		"a distribution that keeps all tasks out of audit": {
			s:          with(func(s *situation) { *s = owned; s.rules = []loadedRule{loaded(t, "-a task,never")} }),
			o:          defaults(),
			socket:     multicast,
			addRules:   true,
			incomplete: "task,never"},
		"a rule of others hides some execs": {
			s: with(func(s *situation) {
				*s = owned
				s.rules = []loadedRule{loaded(t, "-a never,exit -F arch=b64 -S execve -F exe=/usr/bin/ss")}
			}), o: defaults(), socket: multicast, addRules: true, note: "1 rule with the action never stands before ours"},
		"a rule of others drops the arguments": {
			s: with(func(s *situation) {
				*s = owned
				s.rules = []loadedRule{loaded(t, "-a exclude,always -F msgtype=EXECVE")}
			}), o: defaults(), socket: multicast, addRules: true, note: "1 exclude rules"},

		"in a container": {
			s:       with(func(s *situation) { s.pidNS = false }),
			o:       defaults(),
			refused: "pid namespace of its own",
		},
		"in a network namespace, unicast works": {
			s: with(func(s *situation) { s.netNS = false }), o: defaults(), socket: unicast, addRules: true,
			settings: "failure 1>0, backlog_wait_time 15000>0, backlog_limit 64>8192, enabled 0>1"},
		"in a network namespace, multicast does not": {
			s: with(func(s *situation) { *s = owned; s.netNS = false }), o: defaults(), refused: "network namespace of its own"},
		"multicast without CAP_AUDIT_READ": {
			s:       with(func(s *situation) { *s = owned; s.read = false }),
			o:       defaults(),
			refused: "CAP_AUDIT_READ",
		},
		"a plain user": {
			s: situation{pidNS: true, netNS: true, denied: syscall.EPERM}, o: defaults(), refused: "needs root"},
		"a listener": {
			s:       situation{pidNS: true, netNS: true, read: true, denied: syscall.EPERM},
			o:       defaults(),
			refused: "may listen (CAP_AUDIT_READ)"},
		"a listener by its setting": {
			s:      situation{pidNS: true, netNS: true, read: true, denied: syscall.EPERM},
			o:      options(multicast),
			socket: multicast,
			note:   "without CAP_AUDIT_CONTROL"},
		"a kernel without audit": {
			s:       situation{pidNS: true, netNS: true, denied: fmt.Errorf("socket: %w", syscall.EPROTONOSUPPORT)},
			o:       defaults(),
			refused: "built without audit"},
		"in a container whose runtime hides audit": {
			s:       situation{pidNS: true, netNS: true, control: true, denied: fmt.Errorf("socket: %w", syscall.EINVAL)},
			o:       defaults(),
			refused: "CAP_AUDIT_WRITE"},
		"a rootless container": {
			s:       situation{pidNS: true, netNS: true, control: true, denied: syscall.ECONNREFUSED},
			o:       defaults(),
			refused: "user namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			p := decide(c.s, c.o)
			if c.refused != "" {
				assert.Contains(t, p.refused, c.refused)
				assert.NotEmpty(t, p.help)
				assert.False(t, support(c.s, p).Works)
				return
			}
			require.Empty(t, p.refused)
			assert.Equal(t, c.socket, p.socket)
			assert.Equal(t, c.addRules, p.addRules)
			var settings []string
			for _, s := range p.settings {
				settings = append(settings, fmt.Sprintf("%s %d>%d", s.name, s.old, s.want))
			}
			assert.Equal(t, c.settings, strings.Join(settings, ", "))
			if c.incomplete == "" {
				assert.Empty(t, p.incomplete)
				assert.True(t, support(c.s, p).Works)
			} else {
				assert.Contains(t, p.incomplete, c.incomplete)
			}
			assert.Contains(t, strings.Join(p.notes, "; "), c.note)
		})
	}
}
