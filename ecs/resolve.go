// SPDX-License-Identifier: Apache-2.0

package ecs

import (
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
	hostname              string
	tty                   string // auditd.data.tty
	terminals             [roles]process.Terminal
	said                  [roles]bool // process.interactive, of each process

	unquoted []byte // the text of a string with escapes
	utc      []byte // a time without its offset
}

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

func (d *draft) addKind(v value) {
	if string(d.bytes(v)) != "event" {
		d.kinds |= isOther
	}
}

func (d *draft) addCategory(v value) {
	d.kinds |= saysCategory
	if string(d.bytes(v)) == "process" {
		d.kinds |= isProcess
	}
}

func (d *draft) addType(v value) {
	d.kinds |= saysType
	switch string(d.bytes(v)) {
	case "start":
		d.kinds |= isStart
	case "end":
		d.kinds |= isEnd
	}
}

func (d *draft) addAction(v value) {
	d.kinds |= saysAction
	switch string(d.bytes(v)) {
	case "exec", // Elastic Defend
		"executed",                                                // auditd_manager, auditbeat's auditd
		"process_started", "process_ran", "process_changed_image": // auditbeat's system/process
		d.kinds |= didExec
	case "fork":
		d.kinds |= didFork
	case "end", "exit", "process_stopped":
		d.kinds |= didEnd
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
// A document of a whole life (exec and end in one) is an exec.
func (d *draft) kind() process.Kind {
	k := d.kinds
	switch {
	case k&isOther != 0, k&saysCategory != 0 && k&isProcess == 0, d.Host.OSType != "" && d.Host.OSType != "linux":
		return 0
	case k&didExec != 0, k&saysAction == 0 && (k&isStart != 0 || k&saysType == 0):
		if d.Name == "" {
			return 0
		}
		return process.Exec
	case d.PID == 0 && d.EntityID == "":
		return 0
	case k&didFork != 0:
		return process.Fork
	case k&didEnd != 0:
		return process.Exit
	}
	return 0
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
	if base := p.Executable[strings.LastIndexByte(p.Executable, '/')+1:]; base != "" {
		p.Name = base
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

// accounts works out who the real and the effective user are.
func (d *draft) accounts() {
	elastic := d.real.Known() // Elastic Defend's user.* is the effective user, and this the real one
	d.User = first(d.User, d.real, d.user)
	d.Effective = first(d.Effective, d.effective)
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
	if s.User.Known() || d.primary == "" || d.primary == "unset" || d.module != "auditd" {
		return
	}
	if !decimal(d.primary) {
		s.User.Name = d.primary
	} else if id, err := strconv.ParseUint(d.primary, 10, 32); err == nil { // names were not resolved
		s.User.ID = uint32(id)
	}
}
