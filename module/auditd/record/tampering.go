// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// Tampering judges changes of audit by their records alone: those of a log, or where the kernel's rules cannot be
// read. It emits what is tampering, and when program starts are reported again; the rest it logs. What one host hides
// is not over when another one reports. It belongs to one goroutine.
type Tampering struct {
	host    process.Host          // the zero Host: the one that reconbeat runs on
	others  map[string]*Tampering // of the other hosts of a log that several write, by their names
	subject string                // of the condition
	env     module.Env
	emit    func(*process.Event) error
	blind   map[string]blindness // what keeps execs from being reported now
	deleted map[string]deletion  // rules for execs, by their key, that may come back in a moment
	cursor  process.Cursor       // of the newest event
	source  string               // of the newest change
}

// blindness is one thing that keeps execs from being reported.
type blindness struct {
	since    time.Time
	reported bool // as tampering
	text     string
}

// deletion is that a rule was deleted, and by whom.
type deletion struct {
	who    *process.Event
	change Change
}

// NewTampering makes a Tampering for a module that hands its events to emit.
func NewTampering(env module.Env, emit func(*process.Event) error) *Tampering {
	return &Tampering{
		env: env, emit: emit, subject: env.ID,
		blind: map[string]blindness{}, deleted: map[string]deletion{}, others: map[string]*Tampering{},
	}
}

// mostHosts bounds of how many other hosts changes are judged.
const mostHosts = 10000

// of is the Tampering of an event's host; nil: there are too many.
func (t *Tampering) of(e *process.Event) *Tampering {
	if e.Host.Name == "" {
		return t
	}
	other, ok := t.others[e.Host.Name]
	if !ok && len(t.others) < mostHosts {
		other = NewTampering(t.env, t.emit)
		other.host = process.Host{Name: strings.Clone(e.Host.Name), OSType: "linux"}
		other.subject = t.env.ID + " of " + other.host.Name
		t.others[other.host.Name] = other
	}
	return other
}

// reload is for how long a rule may be gone: who loads all rules anew deletes them first.
const reload = 5 * time.Second

// Changed judges the changes of one event. It is an Assembler's Options.Changed.
func (t *Tampering) Changed(who *process.Event, changes []Change) error {
	if t = t.of(who); t == nil {
		return nil
	}
	t.cursor, t.source = who.Cursor, strings.Clone(who.Source)
	for i := range changes {
		if err := t.change(who, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tampering) change(who *process.Event, c *Change) error {
	rule := fmt.Sprintf("rule %d %s", c.List, c.Key)
	switch {
	case c.Failed:
	case c.Operation == SetSetting && (c.Setting == Enabled || c.Setting == RateLimit || c.Setting == BacklogLimit):
		if c.Blinds() {
			return t.begin(c.Setting, who, c, true)
		}
		if c.Setting != Enabled && Starves(c.New) {
			return nil // as before
		}
		t.log(who, c)
		return t.end(c.Setting, who.Time)
	case c.Operation == SetLogin && !IsLogin(who, !t.env.Replay && t.host.Name == ""),
		c.Operation == SetSetting && c.Blinds():
		return t.send(Tampered(who, c, c.Text()))
	case c.Operation == StopDaemon:
		// The service manager ends auditd, too, at every restart and shutdown: nobody's login.
		return t.begin("daemon", who, c, who.Session.User.ID != process.Unset)
	case c.Operation == StartDaemon:
		t.log(who, c)
		return t.end("daemon", who.Time)
	case c.Operation == AddRule:
		delete(t.deleted, c.Key)
		if err := t.end("deleted "+c.Key, who.Time); err != nil {
			return err
		}
		if t.hides(who, c) {
			return t.begin(rule, who, c, true)
		}
	case c.Operation == DeleteRule:
		if c.ForExecs && c.List == unix.AUDIT_FILTER_EXIT {
			t.deleted[c.Key] = deletion{Tampered(who, c, c.Text()), *c}
		}
		if _, hid := t.blind[rule]; hid {
			t.log(who, c)
			return t.end(rule, who.Time)
		}
	}
	t.log(who, c)
	return nil
}

// hides says whether a rule hides execs, as far as that shows without its fields. Lists that only hide are whole
// services' rules at boot, so it is who adds that counts; in the list of system calls the command line of auditctl says
// never.
func (t *Tampering) hides(who *process.Event, c *Change) bool {
	switch c.List {
	case unix.AUDIT_FILTER_TASK, unix.AUDIT_FILTER_EXCLUDE:
		return !IsReload(who)
	case unix.AUDIT_FILTER_EXIT:
		return slices.ContainsFunc(who.Args, func(arg string) bool {
			return slices.Contains(strings.Split(strings.ToLower(arg), ","), "never")
		})
	}
	return false
}

// send emits an event. The place after it is that of the newest one, which it may be older than.
func (t *Tampering) send(e *process.Event) error {
	e.Cursor = t.cursor
	return t.emit(e)
}

// Watch returns an emit that takes note of the events which go through it: time goes on, and whatever hid all execs is
// over when one is reported.
func (t *Tampering) Watch(emit func(*process.Event) error) func(*process.Event) error {
	return func(e *process.Event) error {
		of := t
		if len(t.others) > 0 && e.Host.Name != "" {
			of = t.others[e.Host.Name]
		} else if e.Host.Name != "" {
			of = nil
		}
		if of != nil && len(of.blind)+len(of.deleted) > 0 {
			if err := of.watch(e); err != nil {
				return err
			}
		}
		return emit(e)
	}
}

func (t *Tampering) watch(e *process.Event) error {
	t.cursor = e.Cursor
	if err := t.Advance(e.Time); err != nil || e.Kind != process.Exec {
		return err
	}
	for key, d := range t.deleted { // in any order: nothing is reported
		if e.Time.After(d.who.Time.Add(time.Second)) { // another rule reports them
			delete(t.deleted, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t.blind)) {
		all := key == Enabled || key == "daemon" || strings.HasPrefix(key, "deleted ")
		if all && e.Time.After(t.blind[key].since) {
			if err := t.end(key, e.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// Advance says that nothing before a time will come any more: rules that did not come back by then are deleted.
func (t *Tampering) Advance(now time.Time) error {
	for _, name := range slices.Sorted(maps.Keys(t.others)) {
		if err := t.others[name].Advance(now); err != nil {
			return err
		}
	}
	if len(t.deleted) == 0 {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(t.deleted)) {
		d := t.deleted[key]
		if now.Sub(d.who.Time) <= reload {
			continue
		}
		delete(t.deleted, key)
		if err := t.begin("deleted "+key, d.who, &d.change, true); err != nil {
			return err
		}
	}
	return nil
}

// Close leaves the condition of what holds still: nobody watches any more.
func (t *Tampering) Close() {
	t.env.Health.Leave(health.AuditTampered, t.subject)
	for _, other := range t.others {
		other.Close()
	}
}

func (t *Tampering) begin(what string, who *process.Event, c *Change, report bool) error {
	if _, holds := t.blind[what]; !holds {
		t.blind[what] = blindness{since: who.Time, reported: report, text: c.Text()}
	}
	t.env.Health.Set(health.AuditTampered, t.subject, By(who)+" "+c.Text(), who.Time)
	if !report {
		t.log(who, c)
		return nil
	}
	return t.send(Tampered(who, c, c.Text()))
}

func (t *Tampering) end(what string, at time.Time) error {
	b, held := t.blind[what]
	if !held {
		return nil
	}
	delete(t.blind, what)
	if len(t.blind) == 0 {
		t.env.Health.Clear(health.AuditTampered, t.subject)
	}
	if !b.reported {
		return nil
	}
	restored := Restored(t.source, b.since, at)
	restored.Host = t.host
	return t.send(restored)
}

func (t *Tampering) log(who *process.Event, c *Change) {
	t.env.Logger.Infof("%s %s: %s", By(who), c.Text(), c.Record)
}

// Tampered is the event that reports a change as tampering. It owns its memory.
func Tampered(who *process.Event, c *Change, text string) *process.Event {
	e := &process.Event{}
	e.Copy(who)
	e.Kind, e.Change = process.Tamper, process.Change{Action: c.Action(), Text: text, Record: c.Record}
	return e
}

// Restored is the event which says that execs are reported again, and since when they were not.
func Restored(source string, since, at time.Time) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Source = process.Tamper, at, source
	e.Change = process.Change{Action: process.RestoredAudit, Since: since, Text: fmt.Sprintf(
		"program starts are reported again; those of %s from %s on may be missing",
		at.Sub(since).Round(time.Millisecond),
		since.UTC().Format("2006-01-02T15:04:05.000Z"),
	)}
	return e
}

// By names who made a change by the ids in records.
func By(who *process.Event) string {
	name := "a service"
	if id := who.Session.User.ID; id != process.Unset {
		name = fmt.Sprintf("login user %d", id)
	}
	if who.PID == 0 {
		return name
	}
	if who.Executable == "" {
		return fmt.Sprintf("%s (process %d)", name, who.PID)
	}
	return fmt.Sprintf("%s (process %d, %s)", name, who.PID, who.Executable)
}

// IsReload says whether a change is of the kind that auditd's own service makes when it loads its rules: by auditctl,
// of nobody's login, on no terminal.
func IsReload(who *process.Event) bool {
	return who.Session.User.ID == process.Unset && who.TTY == "" &&
		(who.Executable == "" || installed(who.Executable) && who.Name == "auditctl")
}

// IsLogin says whether a process that gets another login user is a program that opens sessions: a cron that an
// administrator restarted has theirs, and its jobs get their own. ask: the process may be read where no record
// says what it runs.
func IsLogin(who *process.Event, ask bool) bool {
	program := who.Executable
	if program == "" && ask {
		program, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", who.PID))
	}
	name := filepath.Base(program)
	return installed(program) && (process.OpensSession(name) || name == "systemd" || name == "systemd-executor")
}

// installed says whether a program is where only root can put one.
func installed(path string) bool {
	for _, folder := range []string{"/usr/bin/", "/usr/sbin/", "/usr/lib", "/bin/", "/sbin/", "/lib"} {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return false
}
