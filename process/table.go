// SPDX-License-Identifier: Apache-2.0

package process

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// TableOptions shape a Table.
type TableOptions struct {
	Processes int    // how many processes of the host are remembered, and four times as many of all others; 0: 16384
	Sessions  int    // how many login sessions of the host, and four times as many of all others; 0: 4096
	HostID    string // the host of events that name none
	BootID    string // of its running kernel (/proc/sys/kernel/random/boot_id); empty in a replay
}

const (
	defaultProcesses = 16384
	defaultSessions  = 4096
	others           = 4 // times what is remembered of the host is remembered of all others
	// keptText is how much of a process's arguments is kept; enough for what an analyst reads of a parent.
	keptText = 1 << 10
	// ancestors bounds the walk from a process to the way in.
	ancestors = 64
	// exitedFor is how long a process stays known after its exit, because its children's execs may be reported after
	// it.
	exitedFor = 2 * time.Minute
	// disorder is by how much the times of two execs may be the wrong way round. What a pid runs later than that is
	// nobody's parent.
	disorder = 10 * time.Millisecond
)

// TableStats count what a Table could not remember.
type TableStats struct {
	Processes       int    // remembered now
	Sessions        int    // remembered now
	EvictedProcess  uint64 // given up for want of room
	EvictedSessions uint64
	UnknownParent   uint64 // matches whose parent was not known
	ForgedLogins    uint64 // logins and logouts that another program reported than they say; they are ignored
}

// Table remembers the processes that are alive: what runs in each, its parent, its login session. Its places are
// fixed, the least recently used process makes room for a new one, and Observe allocates nothing once they are warm.
//
// Documents of other agents are of many hosts. Theirs have places of their own, so that no number of them makes the
// Table forget what runs here, and each host has its own pids, sessions and entity ids (process.entity_id).
//
// The kernel's audit reports execs, not forks: a process that its parent forked without an exec (a subshell) is
// unknown here. PutProcess adds what was read from /proc, at start and where a parent turned out to be unknown. Pids
// are reused; a process whose login session is not that of its supposed child is taken for an earlier holder of the
// pid, unless a session began in between (login programs are parents across sessions).
//
// A Table is pure and belongs to one goroutine.
type Table struct {
	o        TableOptions
	own      memory // of the host
	foreign  memory // of all others
	seed     maphash.Seed
	programs executables
	texts    interned
	stats    TableStats
	ancestry [ancestors]*procEntry // reused
}

// memory is what is known of processes and sessions.
type memory struct {
	procs    slab[procEntry]
	sessions slab[Session]
	rings    slab[ring]            // the latest execs of sessions and actors
	near     *[1 << nearBits]int32 // where rings are, by a part of their keys; another may be there by now
	accounts slab[accountEntry]    // the latest changes of accounts
	refused  slab[refusals]        // logins that were refused, by account and by address
	entities slab[uint64]          // the keys of the processes that documents give an entity id, by its hash
}

func newMemory(processes, sessions int) memory {
	m := memory{
		procs:    newSlab[procEntry](processes),
		sessions: newSlab[Session](sessions),
		rings:    newSlab[ring](recents),
		near:     new([1 << nearBits]int32),
		accounts: newSlab[accountEntry](accounts),
		refused:  newSlab[refusals](refused),
		entities: newSlab[uint64](processes),
	}
	// What makes room need not be the oldest of all.
	m.procs.settles, m.entities.settles = uint32(processes/4), uint32(processes/4)
	m.rings.settles = recents / 4
	return m
}

// scope is what is known of one host.
type scope struct {
	*memory
	host uint64 // one for each host; 0: the Table's own
}

// scope is that of the event's host. A host is known by a hash of 64 bits with a seed that nobody outside knows.
func (t *Table) scope(e *Event) scope {
	if host := e.Host.Key(); host != "" && host != t.o.HostID {
		return scope{&t.foreign, maphash.String(t.seed, host) | 1} // 0 is the Table's own
	}
	return scope{&t.own, 0}
}

// key is one for each process, or session, of all hosts.
func (s scope) key(id uint32) uint64 {
	const spread = 0x9e3779b97f4a7c15 // odd, so that no two ids of one host meet
	return s.host + uint64(id)*spread
}

// process is the one with the pid; nil: none is known.
func (s scope) process(pid uint32) *procEntry { return s.procs.get(s.key(pid)) }

// put is the place for the process with the pid, with what another left there.
func (s scope) put(pid uint32, now int64) *procEntry {
	p := s.procs.put(s.key(pid))
	s.makeRoom(p, now)
	return p
}

// entity is the process to which a document gave the entity id; nil: none is known.
func (t *Table) entity(s scope, id string) *procEntry {
	if id == "" || s.entities.len() == 0 {
		return nil
	}
	k := s.entities.get(t.entityKey(s, id))
	if k == nil {
		return nil
	}
	if p := s.procs.get(*k); p != nil && string(p.entity) == id {
		return p
	}
	return nil // the pid is another process's by now
}

func (t *Table) entityKey(s scope, id string) uint64 { return s.host ^ maphash.String(t.seed, id) }

// name notes the entity id that a document gives a process.
func (t *Table) name(s scope, p *procEntry, id string) {
	p.entity = append(p.entity[:0], id...)
	if id != "" {
		*s.entities.put(t.entityKey(s, id)) = s.key(p.pid)
	}
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
	chosen    bool      // its user may have put exe where it lies
	before    string    // what ran in the process before and lies where its user may have put it; empty: nothing
	file      FileID
	deleted   bool
	cwd, tty  string // interned
	text      []byte // the arguments, each followed by a zero byte
	argc      int
	entity    []byte // the entity id in a document; empty: none had one
	ring      uint64 // the key of the ring that its program is in; 0: none, or no exec of its own
	ran       int64  // when the exec was that is there
	ringAt    int32  // the place of the ring
	slot      uint8  // and where in it
}

// NewTable makes an empty Table.
func NewTable(o TableOptions) *Table {
	if o.Processes <= 0 {
		o.Processes = defaultProcesses
	}
	if o.Sessions <= 0 {
		o.Sessions = defaultSessions
	}
	return &Table{
		o: o, own: newMemory(o.Processes, o.Sessions), foreign: newMemory(others*o.Processes, others*o.Sessions),
		seed: maphash.MakeSeed(), programs: executables{}, texts: interned{},
	}
}

// Stats returns the counts so far.
func (t *Table) Stats() TableStats {
	s := t.stats
	for _, m := range []*memory{&t.own, &t.foreign} {
		s.Processes += m.procs.len()
		s.Sessions += m.sessions.len()
		s.EvictedProcess += m.procs.evicted
		s.EvictedSessions += m.sessions.evicted
	}
	return s
}

// Observe notes what an event says. It is called with every event, before the event is judged. fresh: it is the start
// of a program that may not have started in its session in this minute before. Of a session, or of a user where there
// is none, that is so at least once for every program and minute.
func (t *Table) Observe(e *Event) (fresh bool) {
	s := t.scope(e)
	switch e.Kind {
	case Exec:
		if e.PID != 0 && e.Success {
			return t.exec(s, e)
		}
	case Fork:
		t.fork(s, e)
	case Exit:
		if p := s.process(e.PID); p != nil {
			p.exited = e.Time
			s.ended(p, e)
		}
	case Login, Logout:
		switch {
		case s.forged(e):
			t.stats.ForgedLogins++
		case e.Kind == Login:
			t.login(s, e)
		default:
			s.sessions.remove(s.key(e.Session.ID))
		}
	case AccountChange:
		t.account(s, e)
	}
	return false
}

func (t *Table) exec(s scope, e *Event) (fresh bool) {
	ppid := t.ppid(s, e)
	var parent string
	if by := s.procs.use(s.key(ppid)); by != nil { // who starts programs is not forgotten
		parent = by.name
	} else {
		parent = t.texts.of(e.Parent.Name)
	}
	now := e.Time.UnixNano()
	key, before := s.key(e.PID), ""
	at := s.procs.find(key)
	if at >= 0 {
		before = s.procs.places[at].value.ranBefore(e, ppid)
	}
	p := &s.procs.places[s.procs.putFound(at, key)].value
	s.makeRoom(p, now)
	t.fill(p, &e.Process, ppid, e.Session.ID, e.Session.User.ID)
	p.before = before
	t.name(s, p, e.EntityID)
	p.started = e.Time
	if !e.Start.IsZero() && e.Start.Before(e.Time) {
		p.started = e.Start
	}
	if e.Kind != Exec {
		return false
	}
	return t.remember(s, p, e, parent, now)
}

// ranBefore is what the process of an exec ran until then and lies where its user may have put it.
func (p *procEntry) ranBefore(e *Event, ppid uint32) string {
	switch {
	case !p.chosen && p.before == "": // as almost always
		return ""
	case e.Kind != Exec || !p.goesOn(e, ppid) || p.gone(e.Time):
		return "" // another process had the pid
	case p.chosen:
		return p.exe
	}
	return p.before
}

// goesOn reports whether it is the process of an exec, and not another one that had its pid.
func (p *procEntry) goesOn(e *Event, ppid uint32) bool {
	switch {
	case ppid == 0 || p.ppid != ppid || p.session != e.Session.ID:
		return false
	case p.ticks != 0 && e.StartTicks != 0:
		return p.ticks == e.StartTicks
	}
	// Only root becomes another user, by itself or through a program such as sudo.
	return p.uid == e.User.ID || p.uid == 0 || p.euid == 0
}

// ppid is the parent's pid, also where a document has the parent's entity id alone; 0: unknown.
func (t *Table) ppid(s scope, e *Event) uint32 {
	if e.PPID == 0 {
		if p := t.entity(s, e.Parent.EntityID); p != nil {
			return p.pid
		}
	}
	return e.PPID
}

// fork makes the child a copy of its parent. Of a parent that is unknown, the event itself may say what runs in the
// child.
func (t *Table) fork(s scope, e *Event) {
	ppid := t.ppid(s, e)
	parent := s.process(ppid)
	switch {
	case e.PID == 0 || parent == nil && e.Name == "":
		return
	case parent == nil:
		t.exec(s, e)
		return
	}
	s.procs.use(s.key(ppid))
	text := parent.text // put may evict any entry, the parent's too, but it leaves its memory alone until fill
	copied := *parent
	p := s.put(e.PID, e.Time.UnixNano())
	own, entity := p.text[:0], p.entity
	*p = copied
	p.text, p.entity = append(own, text...), entity
	p.pid, p.ppid, p.ticks, p.exited, p.ring, p.before = e.PID, ppid, e.StartTicks, time.Time{}, 0, ""
	t.name(s, p, e.EntityID)
}

// forged reports whether a login or a logout says that one program reported it, and another one did: root may send
// audit what it likes, but not as another process. Only a program that was started in that very session is known to be
// another: who opens a session was there before it, and may have forked since without an exec.
func (s scope) forged(e *Event) bool {
	p := s.process(e.PID)
	return p != nil && e.Executable != "" && p.exe != "" && p.exe != e.Executable &&
		e.Session.ID != Unset && p.session == e.Session.ID
}

// login joins what an event says of a session with what is known: the kernel gives the ids, the login program the
// terminal and the address.
func (t *Table) login(m scope, e *Event) {
	id := e.Session.ID
	if id == Unset {
		return
	}
	s := m.sessions.get(m.key(id))
	if s == nil || e.Session.User.ID != Unset && s.User.ID != Unset && s.User.ID != e.Session.User.ID {
		s = m.sessions.put(m.key(id))
		*s = NoSession
		s.ID, s.Start = id, e.Time
	}
	if e.Session.User.ID != Unset {
		s.User.ID = e.Session.User.ID
	}
	if e.Session.Entry != "" {
		s.Entry = t.texts.of(e.Session.Entry)
	}
	if e.Session.Source.IsValid() {
		s.Source = e.Session.Source
	}
	if e.Session.TTY != "" {
		s.TTY = t.texts.of(e.Session.TTY)
	}
	if s.Leader == 0 {
		s.Leader = e.Session.Leader
	}
	if s.Entry == "" {
		s.Entry = entryOfLogin(m, e)
	}
}

// entryOfLogin finds the way in by the program that set the login user.
func entryOfLogin(s scope, e *Event) string {
	name := e.Name
	if name == "" {
		p := s.process(e.PID)
		if p == nil {
			return ""
		}
		name = p.name
	}
	return entryOf(name)
}

// OpensSession reports whether a program, by its base name, opens login sessions: sshd, login, cron and their like.
// sudo and su act within one.
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

// PutProcess adds a process of the host that was read from /proc.
func (t *Table) PutProcess(p *Process, ppid uint32, s Session) {
	if p.PID == 0 {
		return
	}
	entry := scope{&t.own, 0}.put(p.PID, 0)
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
	exe := t.programs.of(from.Executable)
	name := exe.name
	if name == "" {
		name = t.texts.of(from.Name)
	}
	*p = procEntry{
		pid:     from.PID,
		ppid:    ppid,
		session: session,
		login:   login,
		uid:     from.User.ID,
		euid:    from.Effective.ID,
		ticks:   from.StartTicks,
		exe:     exe.path,
		chosen:  exe.chosen,
		name:    name,
		cwd:     t.texts.of(from.CWD),
		tty:     t.texts.of(from.TTY),
		file:    from.File,
		deleted: from.Deleted,
		text:    text,
		argc:    len(from.Args),
		entity:  p.entity[:0],
	}
}

// Complete fills what a matched exec lacks and the table knows: parent, session, session leader, entry leader, and the
// entity ids of them all. A fact that the event brings is never written over; a process that it names by pid or entity
// id alone is completed. It reports whether the parent is known.
func (t *Table) Complete(e *Event) bool {
	s := t.scope(e)
	t.completeSession(s, e)
	parent := t.parentOf(s, e)
	if parent != nil {
		e.PPID = parent.pid
		t.describe(&e.Parent, parent)
	}
	if e.PPID != 0 && e.Parent.PID == 0 {
		e.Parent.PID = e.PPID
	}
	known := e.Parent.Name != ""
	if !known && !e.orphan && e.Parent.Known() {
		t.stats.UnknownParent++
		e.orphan = true
	}
	for _, p := range []*Process{&e.Leader, &e.Entry} {
		if entry := t.named(s, p, e.Time); entry != nil {
			t.describe(p, entry)
		}
	}
	t.completeLeaders(s, e, parent)
	for _, p := range []*Process{&e.Process, &e.Parent, &e.Leader, &e.Entry} {
		if p.EntityID == "" && p.PID != 0 {
			p.EntityID = t.entityID(s, e, p)
		}
	}
	return known
}

// CompleteSession fills what an exec lacks of its login session and the table knows: whose it is and by which way it
// came in. It is a part of Complete, for an exec that no rule means.
func (t *Table) CompleteSession(e *Event) {
	s := t.scope(e)
	t.completeSession(s, e)
	if e.Session.Entry == "" {
		e.Session.Entry = entryFrom(e, t.line(s, s.process(e.PPID)))
	}
}

func (t *Table) completeSession(m scope, e *Event) {
	if e.Session.ID == Unset {
		return
	}
	s := m.sessions.get(m.key(e.Session.ID))
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
	return cmp.Or(base(p.exe), p.name)
}

// wraps reports whether the process runs a wrapper. One that lies where its user may have put it can be anything that
// is called after one.
func (p *procEntry) wraps() bool { return IsWrapper(p.program()) && !p.chosen }

// wrappers start another program, as somebody else, with a limit, elsewhere, again and again; who uses one is behind
// it.
var wrappers = map[string]bool{
	"chroot":  true,
	"chrt":    true,
	"doas":    true,
	"env":     true,
	"ionice":  true,
	"nice":    true,
	"nohup":   true,
	"nsenter": true,
	"runuser": true,
	"script":  true,
	"setpriv": true,
	"setsid":  true,
	"stdbuf":  true,
	"sudo":    true,
	"taskset": true,
	"time":    true,
	"timeout": true,
	"unshare": true,
	"watch":   true,
	"xargs":   true,
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
func (t *Table) parentOf(s scope, e *Event) *procEntry {
	e.Parent.PID = cmp.Or(e.Parent.PID, e.PPID)
	p := t.named(s, &e.Parent, e.Time)
	if p == nil || p.pid == e.PID {
		return nil
	}
	if e.Parent.EntityID != "" && string(p.entity) == e.Parent.EntityID {
		return p
	}
	if p.session != e.Session.ID && p.session != Unset && e.Session.ID != Unset {
		if session := s.sessions.get(s.key(e.Session.ID)); session == nil || session.Start.Before(p.started) {
			return nil
		}
	}
	return p
}

// named finds the process that an event names, by its pid or else its entity id.
func (t *Table) named(s scope, named *Process, at time.Time) *procEntry {
	var p *procEntry
	if named.PID != 0 {
		p = s.process(named.PID)
	} else {
		p = t.entity(s, named.EntityID)
	}
	if p == nil || p.gone(at) || !p.is(named) {
		return nil
	}
	return p
}

// is reports whether a process that an event names can be this one: what was known of the pid may be an earlier
// holder's.
func (p *procEntry) is(named *Process) bool {
	switch {
	case named.EntityID != "" && len(p.entity) > 0:
		return named.EntityID == string(p.entity)
	case named.Executable != "" && p.exe != "":
		return base(named.Executable) == base(p.exe) // /bin is /usr/bin
	case named.Name != "" && p.name != "" && named.Name != p.name:
		arg0, _, _ := strings.Cut(string(p.text), "\x00") // dash may be called as sh
		return named.Name == base(arg0)
	}
	return true
}

// base is the last part of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func (p *procEntry) gone(at time.Time) bool {
	late := disorder
	if p.ticks != 0 {
		late = time.Second // /proc has seconds only
	}
	return !p.exited.IsZero() && at.Sub(p.exited) > exitedFor || p.started.After(at.Add(late))
}

// completeLeaders walks up from the parent: the session leader is the oldest ancestor of the same audit session, the
// entry leader the one that came in from outside: the first process below a login program, below init, or below the
// container's runtime.
func (t *Table) completeLeaders(s scope, e *Event, parent *procEntry) {
	line := t.line(s, parent)
	if e.Session.Entry == "" {
		e.Session.Entry = entryFrom(e, line)
	}
	if p := s.process(e.PID); p != nil && p.before != "" && p.started.Equal(e.Time) {
		e.Starter = p.before
	}
	if len(line) == 0 {
		return
	}
	if e.Starter == "" && line[0].wraps() {
		for _, p := range line[1:] {
			if !p.wraps() {
				e.Starter = cmp.Or(p.exe, base(p.name))
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

// line is a process and its ancestors, the nearest first, valid until the next call.
func (t *Table) line(s scope, from *procEntry) []*procEntry {
	line := t.ancestry[:0]
	for p := from; p != nil && len(line) < ancestors; p = s.process(p.ppid) {
		if len(line) > 0 &&
			(p.pid == line[len(line)-1].pid || p.started.After(line[len(line)-1].started.Add(time.Second)) &&
				line[len(line)-1].ticks == 0) {
			break // a pid that was reused by a later process is nobody's ancestor
		}
		line = append(line, p)
	}
	return line
}

// entryFrom finds the way in from the ancestors, where no login program has named it.
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
		outside := p.ppid == 1 || p.ppid == 2 || p.ppid == 0 ||
			i+1 < len(line) && entryOf(line[i+1].name) != "" && entryOf(p.name) == ""
		if outside && p.pid != 1 {
			return p
		}
	}
	if top := line[len(line)-1]; top.pid != 1 {
		return top
	}
	return nil
}

// describe adds what is known of a process to what an event says of it. The strings are cloned: the entry may change
// while the event is kept.
func (t *Table) describe(to *Process, p *procEntry) {
	if to.EntityID == "" {
		to.EntityID = string(p.entity)
	}
	to.PID = p.pid
	if to.Executable == "" {
		to.File, to.Deleted = p.file, p.deleted
	}
	to.Name, to.Executable, to.CWD = cmp.Or(to.Name, p.name), cmp.Or(to.Executable, p.exe), cmp.Or(to.CWD, p.cwd)
	if to.Start.IsZero() {
		to.Start = p.started
	}
	if to.StartTicks == 0 {
		to.StartTicks = p.ticks
	}
	if to.TTY == "" && p.tty != "" {
		to.TTY, to.Interactive = p.tty, true
	}
	if !to.User.Known() {
		to.User.ID = p.uid
	}
	if !to.Effective.Known() {
		to.Effective.ID = p.euid
	}
	if len(to.Args) > 0 || to.CommandLine != "" {
		return
	}
	for rest := string(p.text); rest != ""; {
		var a string
		a, rest, _ = strings.Cut(rest, "\x00")
		to.Args = append(to.Args, a)
	}
	to.ArgsCount = p.argc
}

// entityID identifies a process: by when it was forked where that is known, which a restart of reconbeat does not
// change; else by when its program started, which a replay of the same recording gives again. A process of which
// neither is known has none. The kernel that another host runs is unknown.
func (t *Table) entityID(s scope, e *Event, p *Process) string {
	start := p.Start
	if p == &e.Process && start.IsZero() {
		start = e.Time
	}
	if start.IsZero() && p.StartTicks == 0 {
		return ""
	}
	host, boot := t.o.HostID, t.o.BootID
	if s.host != 0 {
		host, boot = e.Host.Key(), ""
	}
	return EntityID(host, boot, p.PID, p.StartTicks, start)
}

// executables keeps one copy of each path of a program, with its base name and whether its user may have put it there.
// It begins anew when it has become large.
type executables map[string]executable

type executable struct {
	path, name string
	chosen     bool
}

func (x executables) of(path string) executable {
	kept, ok := x[path]
	if ok || path == "" {
		return kept
	}
	if len(x) >= internedMax {
		clear(x) // entries keep their strings
	}
	path = strings.Clone(path)
	kept = executable{path: path, name: base(path), chosen: Place(path) != ""}
	x[path] = kept
	return kept
}

// interned keeps one copy of each text that many processes share: names, folders, terminals. It begins anew when it has
// become large.
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
