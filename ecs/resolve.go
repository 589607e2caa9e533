// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// draft is an event in the making: what a document says so far, and what can be understood only when all of it was
// read.
type draft struct {
	*process.Event

	kinds facts

	user, effective, real process.User // user.*, user.effective.*, user.Ext.real.*
	group, effectiveGroup process.User // user.group.* or group.*, user.effective.group.*
	primary               string       // auditd.summary.actor.primary
	source                netip.Addr   // source.ip
	provider, module      string
	hostname              string            // host.hostname
	fallbacks             [fallbacks]string // what else names the host, the best first
	nickname              string            // user, or process.user, where it is a name and no object
	metric                bool              // it has a metric set
	tty                   string            // auditd.data.tty
	terminals             [roles]process.Terminal
	said                  [roles]bool // process.interactive, of each process

	hit     bool   // it is a search's hit
	sourced bool   // the hit has a source
	system  string // host.os.platform, family, name or full
	message []byte // a document in a text; reused
	line    bool   // a text holds neither a document nor a record
	record  bool   // a text holds a record of audit
	single  bool   // it is a record of audit, taken to pieces
	ran     bool   // the action says that the process ran already
	other   other  // what it is that is not an event

	untimed  []byte // what stands in @timestamp and cannot be read; reused
	unquoted []byte // the text of a string with escapes
	utc      []byte // a time without its offset
}

// What names the host where host.* does not, the best first.
const (
	fromHost       = iota // a text in the place of the object
	fromAgentHost         // agent.hostname, or of Beats before 7 beat.hostname
	fromHostname          // hostname, as many programs have it
	fromAgentName         // agent.name, beat.name
	fromKubernetes        // kubernetes.node.name
	fallbacks             // how many
)

// untimedBytes is how much is kept of a time that cannot be read.
const untimedBytes = 64

// facts is what event.kind, event.category, event.type and event.action say.
type facts uint16

const (
	saysCategory facts = 1 << iota
	isProcess          // category
	saysType
	isStart // type
	isEnd
	saysAction
	didExec // action
	didFork
	didEnd
	isOther // kind: an alert, a metric, a state
)

// other says what a document is that makes no event.
type other string

const (
	otherKind        other = "an alert, a metric, a state or an error (event.kind)"
	otherMetric      other = "a metric"
	otherCategory    other = "an event of something else than a process (event.category)"
	otherSystem      other = "an event of another operating system"
	otherAction      other = "another event of a process (event.action, event.type)"
	otherNameless    other = "an event of a process without a name"
	otherRecord      other = "a single record of audit, of which an event has several: --module auditlog reads it"
	otherIntegration other = "a document of the integration Auditd Logs, which has one record of an event's several: " +
		"read auditd's log itself, or what the integration auditd_manager ships"
	otherText    other = "a text that says nothing of a process"
	otherNothing other = "a document that says nothing of a process"
)

func (d *draft) addKind(v value) {
	if string(d.bytes(v)) != "event" {
		d.kinds |= isOther
	}
}

func (d *draft) addCategory(v value) {
	d.kinds |= saysCategory
	switch string(d.bytes(v)) {
	case "process", "audit-rule": // auditbeat before ECS had categories
		d.kinds |= isProcess
	}
}

func (d *draft) addType(v value) {
	d.kinds |= saysType
	switch string(d.bytes(v)) {
	case "start", "process_started", "process_start", "creation": // the latter of Endgame and of Beats before ECS 1.5
		d.kinds |= isStart
	case "end", "process_stopped", "process_end", "termination":
		d.kinds |= isEnd
	}
}

func (d *draft) addAction(v value) {
	d.kinds |= saysAction
	switch string(d.bytes(v)) {
	case "exec", // Elastic Defend
		"executed",                                                // auditd_manager, auditbeat's auditd
		"process_started", "process_ran", "process_changed_image", // auditbeat's system/process
		"exec_event": // Endgame
		d.kinds |= didExec
	case "fork", "fork_event":
		d.kinds |= didFork
	case "end", "exit", "process_stopped", "termination_event":
		d.kinds |= didEnd
	case "existing_process", "already_running", "SyntheticProcessRollup2":
		d.ran = true
	}
}

// addSystem takes what a document calls the host's operating system beside its type.
func (d *draft) addSystem(v value) {
	b := d.bytes(v)
	switch {
	case len(b) >= 7 && strings.EqualFold(d.view(v)[:7], "windows"):
		d.system = "windows"
	case len(b) >= 5 && strings.EqualFold(d.view(v)[:5], "macos"), strings.HasPrefix(d.view(v), "Mac OS"),
		strings.EqualFold(d.view(v), "darwin"):
		d.system = "macos"
	}
}

// addMessage takes a text that may carry a document.
func (d *draft) addMessage(v value) {
	b := bytes.TrimSpace(d.bytes(v))
	switch {
	case len(b) > 1 && b[0] == '{' && b[len(b)-1] == '}':
		d.message = append(d.message[:0], b...)
	case bytes.Contains(b, []byte("audit(")):
		d.record = true
	case len(b) > 0:
		d.line = true
	}
}

func (d *draft) addOutcome(v value) {
	switch string(d.bytes(v)) {
	case "failure", "fail":
		d.Success = false
	case "success", "unknown":
		d.Success = true
	}
}

// kind is what the document is about. Where neither an action nor a type is said, a document with a process is an exec.
// A document of a whole life (exec and end in one) is an exec. Agents have many words for an exec in event.action; what
// they agree on is the category process and the type start.
func (d *draft) kind() process.Kind {
	k := d.kinds
	known := k&(didExec|didFork|didEnd) != 0 || d.ran
	switch {
	case d.record && k&didExec == 0:
		return d.no(otherRecord)
	case d.single && k&didExec == 0:
		return d.no(otherIntegration)
	case k&isOther != 0:
		return d.no(otherKind)
	case d.metric && k&didExec == 0:
		return d.no(otherMetric)
	case k&saysCategory != 0 && k&isProcess == 0:
		return d.no(otherCategory)
	case d.foreign():
		return d.no(otherSystem)
	case k&didExec != 0, k&saysAction == 0 && (k&isStart != 0 || k&saysType == 0),
		!known && k&isProcess != 0 && k&isStart != 0:
		switch {
		case k&(saysAction|saysType|saysCategory) == 0 && d.logs():
			return d.no(otherNothing)
		case d.Name != "":
			return process.Exec
		case k&(saysAction|saysType|saysCategory) != 0:
			return d.no(otherNameless)
		case len(d.message) > 0:
			return d.no(otherText)
		}
		return d.no(otherNothing)
	case d.PID == 0 && d.EntityID == "":
		return d.no(otherAction)
	case k&didFork != 0:
		return process.Fork
	case k&didEnd != 0, !known && k&isProcess != 0 && k&isEnd != 0:
		return process.Exit
	}
	return d.no(otherAction)
}

func (d *draft) no(what other) process.Kind {
	d.other = what
	return 0
}

// logs says whether all that a document says of its process is what a line of a log does: a name, and a number.
func (d *draft) logs() bool {
	return d.line && d.Executable == "" && len(d.Args) == 0 && d.EntityID == "" &&
		!d.Parent.Known() && !d.User.Known()
}

// foreign says whether the host runs something else than Linux. Where no document says what, paths do.
func (d *draft) foreign() bool {
	if d.Host.OSType == "" {
		d.Host.OSType = d.system
	}
	for r := subject; r < roles && d.Host.OSType == ""; r++ {
		d.Host.OSType = systemOf(r.of(d.Event).Executable)
	}
	if strings.EqualFold(d.Host.OSType, "linux") { // some agents capitalise it
		d.Host.OSType = "linux"
	}
	return d.Host.OSType != "" && d.Host.OSType != "linux"
}

// systemOf is the operating system that has programs at such a path; empty: Linux may have.
func systemOf(path string) string {
	if len(path) > 2 && path[1] == ':' && path[2] == '\\' {
		return "windows"
	}
	for _, folder := range []string{"/System/", "/Applications/", "/Library/", "/Users/", "/private/", "/sbin/launchd"} {
		if strings.HasPrefix(path, folder) {
			return "macos"
		}
	}
	return ""
}

// begin starts with an event of which nothing is known.
func (d *draft) begin(e *process.Event) {
	e.Reset()
	*d = draft{
		Event:          e,
		user:           nobody,
		effective:      nobody,
		real:           nobody,
		group:          nobody,
		effectiveGroup: nobody,
		message:        d.message[:0],
		untimed:        d.untimed[:0],
		unquoted:       d.unquoted,
		utc:            d.utc,
	}
	for r := range d.terminals {
		d.terminals[r] = process.Terminal{Major: process.Unset, Minor: process.Unset}
	}
}

// resolve works out what needed the whole document.
func (d *draft) resolve() {
	for r := range roles {
		d.complete(r)
	}
	d.Source = d.module
	if d.Source == "" {
		d.Source = d.provider
	}
	if d.Host.Name == "" {
		d.Host.Name = d.hostname
	}
	for _, name := range d.fallbacks {
		if d.Host.Name == "" && d.Host.ID == "" {
			d.Host.Name = name
		}
	}
	d.accounts()
	d.login()
	d.Kind = d.kind()
}

// complete works out one process. Its executable rules its name: auditd's documents have the kernel's comm there, which
// is cut to 15 bytes and may be anything.
func (d *draft) complete(r role) {
	p := r.of(d.Event)
	p.Executable, p.Deleted = process.TrimDeleted(p.Executable)
	p.Name, _ = process.TrimDeleted(p.Name)
	// Some agents have the path there. Only of what starts now: later a process may call itself by any path.
	if r == subject && p.Executable == "" && strings.HasPrefix(p.Name, "/") && !strings.ContainsAny(p.Name, blanks) {
		p.Executable = p.Name
	}
	if r == subject && len(p.Args) == 0 && p.CommandLine != "" {
		d.words(p)
	}
	if base := p.Executable[strings.LastIndexByte(p.Executable, '/')+1:]; base != "" {
		p.Name = base
	} else if r == subject && p.Name == "" && len(p.Args) > 0 {
		p.Name = p.Args[0][strings.LastIndexByte(p.Args[0], '/')+1:]
	}
	p.ArgsCount = max(p.ArgsCount, len(p.Args))
	if r == subject && p.TTY == "" && d.tty != "(none)" && d.tty != "?" {
		p.TTY = d.tty
	}
	if p.TTY == "" {
		d.unquoted = d.terminals[r].AppendName(d.unquoted[:0])
		p.TTY = d.Text(d.unquoted)
	}
	if !d.said[r] {
		p.Interactive = p.TTY != ""
	}
}

// words makes the arguments of a command line that is all that a document has: its words, as a shell parts them.
func (d *draft) words(p *process.Process) {
	line := p.CommandLine
	for line = strings.TrimLeft(line, blanks); line != ""; line = strings.TrimLeft(line, blanks) {
		d.unquoted = d.unquoted[:0]
		quote, end := byte(0), 0
		for ; end < len(line) && (quote != 0 || strings.IndexByte(blanks, line[end]) < 0); end++ {
			switch c := line[end]; {
			case quote == 0 && (c == '\'' || c == '"') && strings.IndexByte(line[end+1:], c) >= 0:
				quote = c
			case c == quote && quote != 0:
				quote = 0
			default:
				d.unquoted = append(d.unquoted, c)
			}
		}
		line = line[end:]
		d.AddArg(p, d.unquoted)
	}
}

// accounts works out who the real and the effective user are.
func (d *draft) accounts() {
	elastic := d.real.Known() // Elastic Defend's user.* is the effective user, and this the real one
	d.User = first(d.User, d.real, d.user)
	d.Effective = first(d.Effective, d.effective)
	if !d.User.Known() { // who it acts as is all that is said
		d.User = d.Effective
	}
	if !d.User.Known() {
		d.User.Name = d.nickname
	}
	if elastic {
		d.Effective = first(d.Effective, d.user)
	}
	d.Group = first(d.Group, d.group)
	d.EffGroup = first(d.EffGroup, d.effectiveGroup)
	if d.module == "auditd" { // it leaves out what is the same
		d.Effective = first(d.Effective, d.User)
		d.EffGroup = first(d.EffGroup, d.Group)
	}
}

// first returns the first account that is known, with the name that a later one has for its id.
func first(accounts ...process.User) process.User {
	for i, a := range accounts {
		if !a.Known() {
			continue
		}
		for _, b := range accounts[i+1:] {
			if a.Name == "" && a.ID == b.ID {
				a.Name = b.Name
			}
		}
		return a
	}
	return nobody
}

// login works out the login session.
func (d *draft) login() {
	s := &d.Session
	if !s.Source.IsValid() {
		s.Source = d.source
	}
	if s.User.Name == "unset" { // auditd's word for no login user
		s.User.Name = ""
	}
	if s.User.Known() {
		return
	}
	if d.primary == "" || d.primary == "unset" || d.module != "auditd" {
		s.User = d.loggedIn()
		return
	}
	if !decimal(d.primary) {
		s.User.Name = d.primary
	} else if id, err := strconv.ParseUint(d.primary, 10, 32); err == nil { // names were not resolved
		s.User.ID = uint32(id)
	}
}

// loggedIn is who logged in where a document has no login user, as those of Elastic Defend: the user of the first
// process of the way in, or where that is the daemon that let them in, of the session's leader. Neither sudo nor su
// changes it. Nobody has logged in to a service or a container.
func (d *draft) loggedIn() process.User {
	switch d.Session.Entry {
	case process.EntrySSHD, process.EntryTerminal, "console", "ssm", "teleport":
	default:
		return nobody
	}
	for _, p := range [...]*process.Process{&d.Entry, &d.Leader} {
		switch p.Name {
		case "sshd", "sshd-session", "login", "agetty", "ssm-session-worker", "ssm-agent-worker", "teleport":
			continue
		}
		if who := first(p.User, p.Effective); who.Known() {
			return who
		}
	}
	return nobody
}
