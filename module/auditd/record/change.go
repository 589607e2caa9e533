// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// Operation is what a Change did.
type Operation uint8

// The operations. The zero Operation is one that nothing is known of.
const (
	SetSetting  Operation = iota + 1 // a setting of the kernel's audit, or a feature: Setting, Old, New
	AddRule                          // a rule: List, Key
	DeleteRule                       // a rule: List, Key
	SetLogin                         // the login user of a process that had one already: Old, New
	StartDaemon                      // auditd began to write its log
	StopDaemon                       // auditd ended
)

// The settings that matter here, as records call them.
const (
	Enabled      = "audit_enabled"       // 0: off; 1: on; 2: on, and locked until a reboot
	RateLimit    = "audit_rate_limit"    // records a second; 0: no limit
	BacklogLimit = "audit_backlog_limit" // records that wait for the daemon; 0: no limit
	DaemonPID    = "audit_pid"           // the daemon that the kernel sends its records to; 0: none
)

// listNames are the lists of rules as auditctl calls them.
var listNames = map[uint32]string{
	unix.AUDIT_FILTER_USER:       "user",
	unix.AUDIT_FILTER_TASK:       "task",
	unix.AUDIT_FILTER_EXIT:       "exit",
	unix.AUDIT_FILTER_EXCLUDE:    "exclude",
	unix.AUDIT_FILTER_FS:         "filesystem",
	unix.AUDIT_FILTER_URING_EXIT: "io_uring",
}

// Change is what one record says of a change of audit itself. It owns its strings.
type Change struct {
	Operation Operation
	Setting   string // its name in the record
	Old, New  uint32 // of settings, and login users
	List      uint32 // of a rule: AUDIT_FILTER_*
	Key       string // of a rule; empty: it has none
	ForExecs  bool   // the key is that of the rule which reported the newest exec
	Failed    bool   // it was tried, and refused
	Record    string // what the record says, without its header

	session uint32 // of SetLogin: the login session before
}

// protectsLogins says whether a feature, as records call it, keeps login users from being changed.
func protectsLogins(feature string) bool {
	return feature == "loginuid_immutable" || feature == "only_unset_loginuid"
}

// starving is the least rate, and the least backlog, that can carry the execs of a host: an exec is about seven
// records.
const starving = 64

// Starves says whether a limit of records, by rate or in the backlog, is too low for a host's execs. 0 is not a limit.
func Starves(limit uint32) bool { return limit > 0 && limit < starving }

// Blinds says whether the change alone keeps execs, or who is behind them, from being reported. Of rules it never says
// so: their record has no fields.
func (c *Change) Blinds() bool {
	if c.Failed {
		return false
	}
	switch c.Operation {
	case SetLogin, StopDaemon:
		return true
	case SetSetting:
		switch {
		case c.Setting == Enabled:
			return c.New == 0 && c.Old != 0
		case c.Setting == RateLimit, c.Setting == BacklogLimit:
			return Starves(c.New) && c.Old != c.New
		}
		return protectsLogins(c.Setting) && c.New == 0 && c.Old != 0
	}
	return false
}

// Action is the event.action of the change.
func (c *Change) Action() string {
	switch c.Operation {
	case SetLogin:
		return process.ChangedLogin
	case StopDaemon:
		return process.StoppedAudit
	}
	return process.ChangedAudit
}

// Text says what was done, in words that follow the name of who did it.
func (c *Change) Text() string {
	text := c.text()
	if c.Failed {
		return "tried in vain: " + text
	}
	return text
}

func (c *Change) text() string {
	switch c.Operation {
	case AddRule:
		return "added an audit rule to " + c.rule()
	case DeleteRule:
		return "deleted an audit rule from " + c.rule()
	case SetLogin:
		return fmt.Sprintf("changed the login user of the process from uid %d to %s without a login", c.Old, uid(c.New))
	case StartDaemon:
		return "started auditd"
	case StopDaemon:
		return "ended auditd, whose log is read"
	case SetSetting:
		return c.setting()
	}
	return "changed audit: " + c.Record
}

func (c *Change) setting() string {
	switch c.Setting {
	case Enabled:
		switch c.New {
		case 0:
			return "switched the kernel's audit off"
		case 1:
			return "switched the kernel's audit on"
		}
		return "locked audit's configuration until a reboot"
	case RateLimit:
		if c.New > 0 {
			return "limited audit to " + plural.Of(c.New, "record") + " a second"
		}
	case BacklogLimit:
		return "limited audit's backlog to " + plural.Of(c.New, "record")
	case DaemonPID:
		if c.New > 0 {
			return fmt.Sprintf("made process %d the audit daemon", c.New)
		}
		return fmt.Sprintf("ended the registration of process %d as the audit daemon", c.Old)
	}
	if protectsLogins(c.Setting) && c.New == 0 {
		return "let login users be changed without a login (" + c.Setting + " 0)"
	}
	return fmt.Sprintf("set %s from %d to %d", c.Setting, c.Old, c.New)
}

func (c *Change) rule() string {
	list := listNames[c.List]
	if list == "" {
		list = fmt.Sprint(c.List)
	}
	if c.Key == "" {
		return "the list " + list
	}
	return fmt.Sprintf("the list %s (key %s)", list, c.Key)
}

func uid(id uint32) string {
	if id == process.Unset {
		return "none"
	}
	return fmt.Sprintf("uid %d", id)
}

// relabels says whether a LOGIN record is of a process that had a login user already, and got another one.
func relabels(b []byte) bool {
	before, after := process.Unset, process.Unset
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		switch string(key) {
		case "old-auid":
			before = id(v)
		case "auid":
			after = id(v)
		}
	}
	return before != process.Unset && before != after
}

// maxChanges bounds how many changes one event may bring.
const maxChanges = 64

// change notes what a record says of audit itself, and who the record says did it. A SYSCALL record that follows says
// more.
func (a *Assembler) change(p *pending, typ uint16, b []byte) error {
	e := &p.event
	e.Kind, p.ignored = process.Tamper, false
	if len(p.changes) < maxChanges {
		p.changes = append(p.changes, a.parseChange(typ, b, e))
	}
	if typ == unix.AUDIT_DAEMON_START || typ == unix.AUDIT_DAEMON_END || typ == unix.AUDIT_DAEMON_ABORT {
		return a.complete(p) // auditd's own: one record
	}
	return nil
}

func (a *Assembler) parseChange(typ uint16, b []byte, e *process.Event) Change {
	plain, _, _ := bytes.Cut(b, []byte{0x1d})
	c := Change{session: process.Unset, Record: strings.ToValidUTF8(string(plain[:min(len(plain), 1024)]), "\uFFFD")}
	switch typ {
	case unix.AUDIT_FEATURE_CHANGE:
		c.Operation = SetSetting
	case unix.AUDIT_LOGIN:
		c.Operation = SetLogin
	case unix.AUDIT_DAEMON_START:
		c.Operation = StartDaemon
	case unix.AUDIT_DAEMON_END, unix.AUDIT_DAEMON_ABORT:
		c.Operation = StopDaemon
	}
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		switch string(key) {
		case "op":
			a.buf = text(v, a.buf[:0])
			switch string(a.buf) {
			case "add_rule", "add rule":
				c.Operation = AddRule
			case "remove_rule", "remove rule":
				c.Operation = DeleteRule
			}
		case "list":
			c.List, _ = number(v)
		case "key":
			a.buf = text(v, a.buf[:0])
			c.Key, c.ForExecs = strings.ToValidUTF8(string(a.buf), "\uFFFD"), len(v) > 0 && bytes.Equal(v, a.key)
		case "feature":
			c.Setting = string(v)
		case "old":
			c.Old, _ = number(v)
		case "new":
			c.New, _ = number(v)
		case "old-auid":
			c.Old = id(v)
		case "old-ses":
			c.session = id(v)
		case "res":
			c.Failed = string(v) == "0" || string(v) == "no" || string(v) == "failed"
		case "auid":
			if typ == unix.AUDIT_LOGIN {
				c.New = id(v)
				continue
			}
			a.who(e, key, v)
		case "ses":
			if typ != unix.AUDIT_LOGIN {
				a.who(e, key, v)
			}
		default:
			if typ == unix.AUDIT_CONFIG_CHANGE && bytes.HasPrefix(key, []byte("audit_")) {
				c.Operation, c.Setting = SetSetting, string(key)
				c.New, _ = number(v)
				continue
			}
			a.who(e, key, v)
		}
	}
	return c
}

// title takes the command line of who made changes from PROCTITLE, which has its first 128 bytes, as the process itself
// may have written them.
func (a *Assembler) title(p *pending, b []byte) {
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		if string(key) != "proctitle" {
			continue
		}
		a.buf = text(v, a.buf[:0])
		for arg := range bytes.SplitSeq(bytes.TrimRight(a.buf, "\x00"), []byte{0}) {
			p.event.AddArg(&p.event.Process, arg)
		}
		p.event.ArgsCount = len(p.event.Args)
	}
}

// changed hands on the changes of an event, and who made them.
func (a *Assembler) changed(p *pending) error {
	e := &p.event
	e.Cursor = a.resume()
	for i := range p.changes {
		// SYSCALL says who they are by then; who they were is what counts.
		if c := &p.changes[i]; c.Operation == SetLogin && e.Session.User.ID != c.Old {
			e.Session.User = process.User{ID: c.Old}
			e.Session.ID = c.session
		}
	}
	err := a.o.Changed(e, p.changes)
	p.changes = nil
	return err
}
