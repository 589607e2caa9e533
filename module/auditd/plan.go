// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize/english"
	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module/auditd/record"
)

// locked is the value of enabled at which the kernel changes neither rules nor settings until a reboot.
const locked = 2

// situation is all that the module knows of the host before it touches anything.
type situation struct {
	status  libaudit.AuditStatus
	rules   []loadedRule
	denied  error  // why the kernel refused status or rules; nil: it did not
	self    uint32 // our pid
	owner   string // the name of the process that has the audit pid; empty: none, or it is gone
	beside  bool   // that is another reconbeat
	pidNS   bool   // we are in the host's pid namespace
	netNS   bool   // we are in the host's network namespace
	control bool   // CAP_AUDIT_CONTROL
	read    bool   // CAP_AUDIT_READ
}

// plan is what the module will do.
type plan struct {
	refused    string // why nothing can be done, and nothing below holds; empty: it can
	help       string // what would make it possible, or better
	socket     string // unicast or multicast
	why        string // why this socket
	blind      bool   // status and rules can be neither read nor changed
	settings   []setting
	addRules   bool
	incomplete string   // which execs no rule will report, and why; empty: all are reported
	notes      []string // what a person should know, and is not ours to change
}

// decide makes a plan from a situation and options. It reads nothing else.
func decide(s situation, o Options) plan {
	if !s.pidNS {
		return plan{
			refused: "it runs in a pid namespace of its own (a container), where the kernel lets nobody manage audit and " +
				"the pids of audit mean nothing",
			help: "Run it on the host, or the container with the host's pid namespace (--pid=host) and CAP_AUDIT_CONTROL, " +
				"CAP_AUDIT_READ.",
		}
	}
	if s.denied != nil {
		return decideBlind(s, o)
	}
	free := s.status.PID == 0 || s.owner == "" || s.status.PID == s.self
	owner := fmt.Sprintf("the audit pid belongs to %s (pid %d)", s.owner, s.status.PID)
	p := plan{socket: o.SocketType}
	switch {
	case o.SocketType == unicast && !free:
		return plan{
			refused: "socket_type is unicast and " + owner,
			help:    "Stop that daemon, or set socket_type to auto or multicast.",
		}
	case o.SocketType == unicast:
		p.why = "socket_type says so"
	case o.SocketType == multicast:
		p.why = "socket_type says so"
	case !free:
		p.socket, p.why = multicast, owner
	case s.status.Enabled == locked:
		p.socket, p.why = multicast, "audit is immutable (enabled 2), so the kernel could not be made to drop records "+
			"rather than to hold programs up"
	default:
		p.socket, p.why = unicast, "the audit pid is free"
	}
	if p.socket == multicast && !s.netNS {
		return plan{
			refused: "it runs in a network namespace of its own, which the kernel sends no audit records to by multicast (" +
				p.why + ")",
			help: "Run it in the host's network namespace (--network=host).",
		}
	}
	if p.socket == multicast && !s.read {
		return plan{
			refused: "it lacks CAP_AUDIT_READ, which listening in needs (" + p.why + ")",
			help:    "Give it CAP_AUDIT_READ.",
		}
	}
	missing := uncovered(s.rules)
	all := len(missing) == len(record.ABIs(goarch))
	switch {
	case s.status.Enabled == locked && all:
		return plan{
			refused: "audit is immutable (enabled 2) until a reboot and no rule reports execs",
			help:    "Add `" + exampleRule + "` to the rules that are loaded at boot, or load them without -e 2, and reboot.",
		}
	case s.status.Enabled == locked && len(missing) > 0:
		p.incomplete = fmt.Sprintf(
			"audit is immutable (enabled 2) and no rule reports execs through %s",
			abiNames(missing),
		)
	case !o.LoadRules && len(missing) > 0:
		p.incomplete = fmt.Sprintf("load_rules is false and no rule reports execs through %s", abiNames(missing))
	}
	p.addRules = o.LoadRules && s.status.Enabled != locked
	if p.addRules && len(record.ABIs(goarch)) == 0 {
		return plan{
			refused: "it does not know the system calls of " + goarch,
			help:    "Load exec rules by hand and set load_rules to false.",
		}
	}
	if s.status.Enabled != locked {
		p.settings = changes(s.status, p.socket, o)
	}
	p.note(s)
	return p
}

// exampleRule is what an administrator would write for one ABI.
const exampleRule = "-a always,exit -F arch=b64 -S execve,execveat -F success=1 -k exec"

// decideBlind plans without the kernel's status and rules: a process that may only listen.
func decideBlind(s situation, o Options) plan {
	switch {
	case errors.Is(s.denied, syscall.EPROTONOSUPPORT), errors.Is(s.denied, syscall.EAFNOSUPPORT):
		return plan{refused: "the kernel was built without audit, or booted with audit=0",
			help: "Use a kernel with CONFIG_AUDITSYSCALL; remove audit=0 from its command line."}
	case errors.Is(s.denied, syscall.ECONNREFUSED):
		return plan{
			refused: "the kernel refuses audit here: it runs in a user namespace of its own (a rootless container)",
			help:    "Run it on the host as root.",
		}
	case errors.Is(s.denied, syscall.EINVAL):
		// It is podman's and CRI-O's profile; Docker's and containerd's lets everybody try.
		return plan{
			refused: "a seccomp profile hides the kernel's audit: the container's runtime opens its socket only to who has " +
				"CAP_AUDIT_WRITE",
			help: "Give the container CAP_AUDIT_WRITE as well, or no seccomp profile (seccomp=unconfined): libbeat has one " +
				"of its own.",
		}
	case s.control:
		return plan{refused: "the kernel did not answer: " + s.denied.Error()}
	case s.read && s.netNS && o.SocketType == multicast:
		return plan{socket: multicast, why: "socket_type says so", blind: true,
			notes: []string{
				"without CAP_AUDIT_CONTROL it cannot see whether audit is on and exec rules are loaded; it depends on " +
					"somebody else for both",
			}}
	case s.read:
		return plan{
			refused: "it may listen (CAP_AUDIT_READ) but not see or load rules (CAP_AUDIT_CONTROL)",
			help: "Run it as root or with CAP_AUDIT_CONTROL; or, where another daemon has loaded exec rules, set " +
				"socket_type to multicast.",
		}
	}
	return plan{
		refused: "it needs root, or CAP_AUDIT_CONTROL (beside another audit daemon CAP_AUDIT_READ, too)",
		help:    "Run it as root.",
	}
}

// changes returns the settings that are not yet as a socket needs them. Where another daemon owns the audit pid its
// settings are its own, but for enabled: without that nothing comes at all.
func changes(now libaudit.AuditStatus, socket string, o Options) []setting {
	var out []setting
	change := func(s setting, want uint32) {
		if s.old, s.want = s.of(now), want; s.old != want {
			out = append(out, s)
		}
	}
	if socket == unicast {
		change(failure, unix.AUDIT_FAIL_SILENT)
		change(rateLimit, 0)
		change(backlogWaitTime, 0)
		// 0 is not a limit at all, which a host that comes first cannot have.
		if limit := uint32(o.BacklogLimit); now.BacklogLimit < limit { // its check has bounds
			change(backlogLimit, limit)
		}
	}
	change(enabled, 1)
	return out
}

// note says which rules of others keep execs from us, and what else a person should know of the status.
func (p *plan) note(s situation) {
	never, excluded := 0, 0
	for _, r := range s.rules {
		switch {
		case r.hidesTasks():
			p.incomplete = "a rule `-a task,never` keeps all processes that start while it is loaded out of audit"
			p.help = "Remove that rule from /etc/audit/rules.d. Of processes that run already only what they fork is seen then."
		case r.hidesExecs(record.ABIs(goarch)[0]):
			never++
		case r.excludesRecords():
			excluded++
		}
	}
	if never > 0 {
		p.notes = append(p.notes, fmt.Sprintf(
			"%s with the action never %s before ours; execs that match are not seen", plural.Of(never, "rule"),
			english.PluralWord(never, "stands", "stand")))
	}
	if excluded > 0 {
		p.notes = append(p.notes, fmt.Sprintf(
			"%d exclude rules drop records that execs are made of; those execs are not seen, or not whole", excluded))
	}
	if p.socket == multicast {
		missing := uncovered(others(s.rules))
		switch {
		case len(missing) == 0:
			p.notes = append(p.notes, "audit has rules for execs already")
		case p.addRules && s.beside && len(uncovered(s.rules)) == 0:
			p.notes = append(p.notes, fmt.Sprintf("the rules for execs are those of %s, which deletes them when it stops: "+
				"this one loads its own", s.owner))
		case p.addRules:
			p.notes = append(p.notes, fmt.Sprintf(
				"audit has no rules for execs of %s: reconbeat loads its own, and %s gets their records, too",
				abiNames(missing), cmp.Or(s.owner, "whoever else reads audit")))
		}
		if s.status.Failure == unix.AUDIT_FAIL_PANIC {
			p.notes = append(p.notes,
				"failure is 2: the kernel panics when the audit queue overflows, which more rules make likelier")
		}
		if s.status.BacklogWaitTime > 0 && s.status.PID != 0 {
			p.notes = append(p.notes, fmt.Sprintf(
				"backlog_wait_time is %d: programs are held up while %s is slow", s.status.BacklogWaitTime, s.owner))
		}
	}
}

// others returns the rules that are not ours.
func others(rules []loadedRule) (out []loadedRule) {
	for _, r := range rules {
		if !r.own() {
			out = append(out, r)
		}
	}
	return out
}

func abiNames(list []record.ABI) string {
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	return strings.Join(names, " and ")
}

// situationOf gathers the situation of this process on this host. c is nil where err says why there is no control
// socket.
func situationOf(c *control, err error) situation {
	s := situation{self: uint32(os.Getpid()), pidNS: inHostPIDNamespace(), netNS: inHostNetNamespace(), denied: err}
	s.control, s.read = capable(unix.CAP_AUDIT_CONTROL), capable(unix.CAP_AUDIT_READ)
	if err != nil || !s.pidNS {
		return s
	}
	if s.status, s.denied = c.status(); s.denied != nil {
		return s
	}
	s.rules, s.denied = c.rules()
	s.owner = processName(s.status.PID)
	s.beside = s.status.PID != s.self && isReconbeat(s.status.PID)
	return s
}

// processName returns the name of a running process, empty when there is none.
func processName(pid uint32) string {
	if pid == 0 {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// inHostPIDNamespace compares with the number that the kernel gives the first pid namespace (PROC_PID_INIT_INO,
// include/linux/proc_ns.h).
func inHostPIDNamespace() bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return err != nil || ns == "pid:[4026531836]"
}

// inHostNetNamespace compares with process 1, since the first network namespace has no number of its own on most
// kernels. Where that cannot be read, it is taken to be the same.
func inHostNetNamespace() bool {
	own, err1 := os.Readlink("/proc/self/ns/net")
	host, err2 := os.Readlink("/proc/1/ns/net")
	return err1 != nil || err2 != nil || own == host
}

// capable says whether this process has a capability in effect.
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}
