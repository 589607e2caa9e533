// SPDX-License-Identifier: Apache-2.0

package process

import (
	"slices"
	"strings"
	"time"
)

// TableOptions shape a Table.
type TableOptions struct {
	Processes int    // how many processes are remembered; 0: 16384
	Sessions  int    // how many login sessions are remembered; 0: 4096
	HostID    string // the host whose processes these are
	BootID    string // of the host's running kernel (/proc/sys/kernel/random/boot_id); empty in a replay
}

const (
	defaultProcesses = 16384
	defaultSessions  = 4096
	// keptText is how much of a process's arguments is kept; enough for what an analyst reads of a parent.
	keptText = 1 << 10
	// ancestors bounds the walk from a process to the way in.
	ancestors = 64
	// exitedFor is how long a process stays known after its exit, because its children's execs may be reported after it.
	exitedFor = 2 * time.Minute
)

// TableStats count what a Table could not remember.
type TableStats struct {
	Processes       int    // remembered now
	Sessions        int    // remembered now
	EvictedProcess  uint64 // given up for want of room
	EvictedSessions uint64
	UnknownParent   uint64 // matches whose parent was not known
}

// Table remembers the processes that are alive on one host: what runs in each, its parent, its login session. Its places are fixed, the least recently
// used process makes room for a new one, and Observe allocates nothing once they are warm.
//
// The kernel's audit tells of execs, not of forks: a process that its parent forked without an exec (a subshell) is unknown here. PutProcess adds what was
// read from /proc, at start and where a parent turned out to be unknown. Pids are reused; a process whose login session is not that of its supposed child is
// taken for an earlier holder of the pid, unless a session began in between (login programs are parents across sessions).
//
// A Table is pure and belongs to one goroutine. Events of another host are passed over: documents of other agents bring parent and session themselves.
type Table struct {
	o        TableOptions
	procs    slab[procEntry]
	sessions slab[Session]
	programs interned
	stats    TableStats
	ancestry [ancestors]*procEntry // reused
}

// procEntry is what is known of one process. Its text is its own memory, reused.
type procEntry struct {
	pid, ppid uint32
	session   uint32 // audit session; Unset: none
	login     uint32 // login user
	uid       uint32
	euid      uint32
	started   time.Time // of the program
	ticks     uint64    // of the process; 0 unknown
	exited    time.Time // zero: alive
	exe, name string    // interned
	file      FileID
	deleted   bool
	cwd, tty  string // interned
	text      []byte // the arguments, each followed by a zero byte
	argc      int
}

// NewTable makes an empty Table.
func NewTable(o TableOptions) *Table {
	if o.Processes <= 0 {
		o.Processes = defaultProcesses
	}
	if o.Sessions <= 0 {
		o.Sessions = defaultSessions
	}
	return &Table{o: o, procs: newSlab[procEntry](o.Processes), sessions: newSlab[Session](o.Sessions), programs: interned{}}
}

// Stats returns the counts so far.
func (t *Table) Stats() TableStats {
	s := t.stats
	s.Processes, s.Sessions, s.EvictedProcess, s.EvictedSessions = t.procs.len(), t.sessions.len(), t.procs.evicted, t.sessions.evicted
	return s
}

func (t *Table) foreign(e *Event) bool { return e.Host.ID != "" && e.Host.ID != t.o.HostID }

// Observe notes what an event says. It is called with every event, before the event is judged.
func (t *Table) Observe(e *Event) {
	if t.foreign(e) {
		return
	}
	switch e.Kind {
	case Exec:
		if e.PID == 0 || !e.Success {
			return
		}
		p := t.procs.put(e.PID)
		t.fill(p, &e.Process, e.PPID, e.Session.ID, e.Session.User.ID)
		p.started = e.Time
	case Fork:
		t.fork(e)
	case Exit:
		if p := t.procs.get(e.PID); p != nil {
			p.exited = e.Time
		}
	case Login:
		t.login(e)
	case Logout:
		t.sessions.remove(e.Session.ID)
	}
}

// fork makes the child a copy of its parent.
func (t *Table) fork(e *Event) {
	parent := t.procs.get(e.PPID)
	if e.PID == 0 || parent == nil {
		return
	}
	text := parent.text // put may evict any entry, the parent's too, but it leaves its memory alone until fill
	copied := *parent
	p := t.procs.put(e.PID)
	own := p.text[:0]
	*p = copied
	p.text = append(own, text...)
	p.pid, p.ppid, p.ticks, p.exited = e.PID, e.PPID, e.StartTicks, time.Time{}
}

// login joins what an event tells of a session with what is known: the kernel gives the ids, the login program the terminal and the address.
func (t *Table) login(e *Event) {
	id := e.Session.ID
	if id == Unset {
		return
	}
	s := t.sessions.get(id)
	if s == nil || e.Session.User.ID != Unset && s.User.ID != Unset && s.User.ID != e.Session.User.ID {
		s = t.sessions.put(id)
		*s = NoSession
		s.ID, s.Start = id, e.Time
	}
	if e.Session.User.ID != Unset {
		s.User.ID = e.Session.User.ID
	}
	if e.Session.Entry != "" {
		s.Entry = t.programs.of(e.Session.Entry)
	}
	if e.Session.Source.IsValid() {
		s.Source = e.Session.Source
	}
	if e.Session.TTY != "" {
		s.TTY = t.programs.of(e.Session.TTY)
	}
	if s.Leader == 0 {
		s.Leader = e.Session.Leader
	}
	if s.Entry == "" {
		s.Entry = t.entryOfLogin(e)
	}
}

// entryOfLogin tells the way in by the program that set the login user.
func (t *Table) entryOfLogin(e *Event) string {
	name := e.Name
	if name == "" {
		p := t.procs.get(e.PID)
		if p == nil {
			return ""
		}
		name = p.name
	}
	return entryOf(name)
}

// OpensSession reports whether a program, by its base name, opens login sessions: sshd, login, cron and their like. sudo and su act within one.
func OpensSession(program string) bool { return entryOf(program) != "" }

// entryOf is the way in that a program stands for; empty: none.
func entryOf(program string) string {
	switch program {
	case "sshd", "sshd-session", "sshd-auth", "dropbear":
		return EntrySSHD
	case "cron", "crond", "anacron", "atd":
		return EntryCron
	case "login", "agetty", "getty", "mingetty", "gdm-session-worker", "lightdm", "sddm-helper", "xdm":
		return EntryTerminal
	}
	return ""
}

// PutProcess adds a process that was read from /proc.
func (t *Table) PutProcess(p *Process, ppid uint32, s Session) {
	if p.PID == 0 {
		return
	}
	entry := t.procs.put(p.PID)
	t.fill(entry, p, ppid, s.ID, s.User.ID)
	entry.started, entry.ticks = p.Start, p.StartTicks
}

func (t *Table) fill(p *procEntry, from *Process, ppid, session, login uint32) {
	text := p.text[:0]
	for _, a := range from.Args {
		if len(text)+len(a) >= keptText {
			break
		}
		text = append(append(text, a...), 0)
	}
	name := from.Name
	if from.Executable != "" {
		name = from.Executable[strings.LastIndexByte(from.Executable, '/')+1:]
	}
	*p = procEntry{
		pid: from.PID, ppid: ppid, session: session, login: login, uid: from.User.ID, euid: from.Effective.ID, ticks: from.StartTicks,
		exe: t.programs.of(from.Executable), name: t.programs.of(name), cwd: t.programs.of(from.CWD), tty: t.programs.of(from.TTY),
		file: from.File, deleted: from.Deleted, text: text, argc: len(from.Args),
	}
}

// Complete fills what a matched exec lacks and the table knows: parent, session, session leader, entry leader, and the entity ids of them all. A fact that the
// event brings is never written over. It reports whether the parent is known.
func (t *Table) Complete(e *Event) bool {
	if t.foreign(e) {
		return true
	}
	t.completeSession(e)
	parent := t.parentOf(e)
	if parent != nil && !e.Parent.Known() {
		t.describe(&e.Parent, parent)
	}
	if !e.Parent.Known() && e.PPID != 0 {
		t.stats.UnknownParent++
		e.Parent.PID = e.PPID
	}
	t.completeLeaders(e, parent)
	for _, p := range []*Process{&e.Process, &e.Parent, &e.Leader, &e.Entry} {
		if p.EntityID == "" && p.PID != 0 {
			p.EntityID = t.entityID(e, p)
		}
	}
	return e.Parent.Name != ""
}

func (t *Table) completeSession(e *Event) {
	if e.Session.ID == Unset {
		return
	}
	s := t.sessions.get(e.Session.ID)
	if s == nil || e.Session.User.ID != Unset && s.User.ID != Unset && s.User.ID != e.Session.User.ID {
		return
	}
	if e.Session.User.ID == Unset {
		e.Session.User.ID = s.User.ID
	}
	if e.Session.Entry == "" {
		e.Session.Entry = s.Entry
	}
	if !e.Session.Source.IsValid() {
		e.Session.Source = s.Source
	}
	if e.Session.TTY == "" {
		e.Session.TTY = s.TTY
	}
	if e.Session.Leader == 0 {
		e.Session.Leader = s.Leader
	}
	if e.Session.Start.IsZero() {
		e.Session.Start = s.Start
	}
}

// program is the base name of what the process runs.
func (p *procEntry) program() string {
	if p.exe != "" {
		return p.exe[strings.LastIndexByte(p.exe, '/')+1:]
	}
	return p.name
}

// wrappers start another program, as somebody else, with a limit, elsewhere, again and again; who uses one is behind it.
var wrappers = map[string]bool{
	"chroot": true, "chrt": true, "doas": true, "env": true, "ionice": true, "nice": true, "nohup": true, "nsenter": true, "runuser": true, "script": true, "setpriv": true,
	"setsid": true, "stdbuf": true, "sudo": true, "taskset": true, "time": true, "timeout": true, "unshare": true, "watch": true, "xargs": true,
}

// MultiCalls are the programs, by their base names, that are many in one file: what they do depends on what they are
// called.
func MultiCalls() []string { return slices.Clone(multiCalls) }

var multiCalls = []string{"busybox", "toybox"}

// IsMultiCall reports whether a program, by its base name, is one of MultiCalls.
func IsMultiCall(program string) bool { return slices.Contains(multiCalls, program) }

// IsWrapper reports whether a program, by its base name, is one that starts another for whoever calls it.
func IsWrapper(program string) bool { return wrappers[program] }

// parentOf finds the event's parent, unless what is known of its pid is an earlier process's.
func (t *Table) parentOf(e *Event) *procEntry {
	p := t.procs.get(e.PPID)
	if p == nil || e.PPID == 0 || p.gone(e.Time) || e.PPID == e.PID {
		return nil
	}
	if p.session != e.Session.ID && p.session != Unset && e.Session.ID != Unset {
		if s := t.sessions.get(e.Session.ID); s == nil || s.Start.Before(p.started) {
			return nil
		}
	}
	return p
}

func (p *procEntry) gone(at time.Time) bool {
	return !p.exited.IsZero() && at.Sub(p.exited) > exitedFor || p.started.After(at.Add(time.Second))
}

// completeLeaders walks up from the parent: the session leader is the oldest ancestor of the same audit session, the entry leader the one that came in from outside:
// the first process below a login program, below init, or below the container's runtime.
func (t *Table) completeLeaders(e *Event, parent *procEntry) {
	line := t.ancestry[:0]
	for p := parent; p != nil && len(line) < ancestors; p = t.procs.get(p.ppid) {
		if len(line) > 0 && (p.pid == line[len(line)-1].pid || p.started.After(line[len(line)-1].started.Add(time.Second)) && line[len(line)-1].ticks == 0) {
			break // a pid that was reused by a later process is nobody's ancestor
		}
		line = append(line, p)
	}
	if e.Session.Entry == "" {
		e.Session.Entry = entryFrom(e, line)
	}
	if len(line) == 0 {
		return
	}
	if IsWrapper(line[0].program()) {
		for _, p := range line[1:] {
			if name := p.program(); !IsWrapper(name) {
				e.Starter = name
				break
			}
		}
	}
	if !e.Leader.Known() && e.Session.ID != Unset {
		for i := len(line) - 1; i >= 0; i-- {
			if line[i].session == e.Session.ID {
				t.describe(&e.Leader, line[i])
				break
			}
		}
	}
	if !e.Entry.Known() {
		if p := entryLeader(e, line); p != nil {
			t.describe(&e.Entry, p)
		}
	}
}

// entryFrom tells the way in by the ancestors where no login program said it.
func entryFrom(e *Event, line []*procEntry) string {
	if e.Container.ID != "" {
		return EntryContainer
	}
	for _, p := range line {
		if entry := entryOf(p.name); entry != "" {
			return entry
		}
	}
	if n := len(line); n > 0 && e.Session.ID == Unset {
		switch top := line[n-1]; {
		case top.pid == 1 || top.ppid == 1:
			return EntryInit
		case top.pid == 2 || top.ppid == 2:
			return EntryKernel
		}
	}
	return ""
}

// entryLeader is the first process inside: of the ancestors, the one whose parent is the login program, or init.
func entryLeader(e *Event, line []*procEntry) *procEntry {
	for i, p := range line {
		outside := p.ppid == 1 || p.ppid == 2 || p.ppid == 0 || i+1 < len(line) && entryOf(line[i+1].name) != "" && entryOf(p.name) == ""
		if outside && p.pid != 1 {
			return p
		}
	}
	if top := line[len(line)-1]; top.pid != 1 {
		return top
	}
	return nil
}

// describe writes what is known of a process into an event. The strings are cloned: the entry may change while the event is kept.
func (t *Table) describe(to *Process, p *procEntry) {
	id := to.EntityID
	*to = NoProcess
	to.EntityID, to.PID, to.Start, to.StartTicks = id, p.pid, p.started, p.ticks
	to.Name, to.Executable, to.CWD, to.TTY, to.Interactive = p.name, p.exe, p.cwd, p.tty, p.tty != ""
	to.User.ID, to.Effective.ID, to.File, to.Deleted = p.uid, p.euid, p.file, p.deleted
	for rest := string(p.text); rest != ""; {
		var a string
		a, rest, _ = strings.Cut(rest, "\x00")
		to.Args = append(to.Args, a)
	}
	to.ArgsCount = p.argc
}

// entityID identifies a process: by when it was forked where that is known, which a restart of reconbeat does not change; else by when its program started,
// which a replay of the same recording gives again.
func (t *Table) entityID(e *Event, p *Process) string {
	start := p.Start
	if p == &e.Process && start.IsZero() {
		start = e.Time
	}
	return EntityID(t.o.HostID, t.o.BootID, p.PID, p.StartTicks, start)
}

// interned keeps one copy of each text that many processes share: paths of programs and folders, terminals. It begins anew when it has become large.
type interned map[string]string

const internedMax = 1 << 14

func (in interned) of(s string) string {
	if s == "" {
		return ""
	}
	if kept, ok := in[s]; ok {
		return kept
	}
	if len(in) >= internedMax {
		clear(in) // entries keep their strings
	}
	kept := strings.Clone(s)
	in[kept] = kept
	return kept
}
