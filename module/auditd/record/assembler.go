// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

const (
	// inFlight is how many events may be incomplete at the same time; the oldest is handed on as it is when there are
	// more.
	inFlight = 64
	// patience is by how much the records' time must have gone on since an event began to come, for it to count as
	// complete though its end never came. It does not count from the event's own time, which is that of the system
	// call's entry: an exec from a slow disk is old when its first record comes.
	patience = 2 * time.Second
	// apart is how many events may be incomplete in a recording whose records come in no order.
	apart = 4096
	// recordedPatience is patience with what lacks more than its end mark in a recording, where nobody waits for it: what
	// the receiver sorts without asking.
	recordedPatience = 30 * time.Second
	// setBack is how much older than the newest a record must be to say that the clock was set back, or that the newest
	// was no time at all.
	setBack = time.Hour
	// maxText bounds how much of a command line is kept, in bytes; maxArgs, how many arguments.
	maxText = 64 << 10
	maxArgs = 4096
)

// Options shape an Assembler.
type Options struct {
	Stats  *module.Stats // never nil
	Logger *logp.Logger  // where malformed records are logged, one in a while
	// Malformed receives what is wrong with the record that was handed in last; nil: nobody asks.
	Malformed func(why error)
	Source    string // event.Source of what is emitted: the module's name
	Names     bool   // take over the names of enriched records; not where they are another host's
	// Ordered: an event's records come in the kernel's order, so that after its end mark nothing of it comes.
	Ordered bool
	// Recorded: all of the records are there, and whoever receives the events sorts them. Once a record comes out of turn,
	// as in a log that somebody sorted or shuffled, each event waits for its others until 4,096 more have begun.
	Recorded bool
	// Own says whether a node is the host that reconbeat runs on. nil: none is, and each is a host of its own.
	Own func(node []byte) bool
	// Changed receives the changes of audit itself that one event brings, and in an Event of Kind Tamper who made them:
	// process, users and login session, as far as records say. Both are valid during the call only. nil: they are
	// passed over.
	Changed func(who *process.Event, changes []Change) error
	// Started is called at the first record of each exec, with its pid and time; the rest, the end of all of it too, may
	// come late or never. nil: nobody asks.
	Started func(pid uint32, at time.Time)
}

// Assembler makes process events of records. It belongs to one goroutine.
type Assembler struct {
	o     Options
	emit  func(*process.Event) error
	slots [inFlight]pending
	order []*pending // the ones in use, the oldest first
	free  []*pending
	buf   []byte // reused
	key   []byte // of the last exec's rule, as it stands in the record; reused
	// the events that were completed last, each where its hash says: a record of one comes late, or again
	done   [doneEvents]identity
	last   process.Cursor
	login  process.Event // reused
	newest int64         // the newest time of a record, in milliseconds since 1970
	logged time.Time     // when a malformed record was last logged; wall clock
	// Of a recording: what is in use, by what it is; the newest time of each node, in milliseconds since 1970; and whether
	// records come in no order.
	known    map[identity]*pending
	reached  map[uint64]int64
	shuffled bool
}

// identity is what the records of one event share.
type identity struct {
	node   uint64 // the host, hashed: the log of several hosts has the same numbers
	millis int64  // the time, in milliseconds since 1970: numbers begin anew at a boot
	seq    uint64
}

// doneEvents is how many complete events are remembered.
const doneEvents = 256

func (a *Assembler) place(id identity) *identity {
	const spread = 0x9e3779b97f4a7c15
	return &a.done[(id.node^id.seq*spread^uint64(id.millis)*spread)>>32%doneEvents]
}

// pending is an event that is not complete yet.
type pending struct {
	identity
	// the time, in milliseconds since 1970, of a record that comes so late that no more of this event is expected
	due     int64
	start   process.Cursor // before its first record
	event   process.Event
	ignored bool // no exec, or one that failed
	called  bool // its SYSCALL record came
	sure    bool // SYSCALL says that it is an exec
	ended   bool // its end mark came
	cut     bool
	missing bool
	items   int // how many files SYSCALL says that the kernel opened
	opened  [mostFiles]opened
	command command
	changes []Change // of audit itself; then the event is not an exec
}

// whole says whether nothing that matters can come any more.
func (p *pending) whole() bool {
	return p.called && (p.ignored || len(p.changes) > 0 || p.command.whole(p.event.ArgsCount))
}

// mostFiles is how many files one exec may open: the kernel follows five scripts that are each other's interpreters,
// then come the program and its loader.
const mostFiles = 8

// opened is a file that the kernel opened for an exec, as its PATH record says.
type opened struct {
	name string // as it was asked for
	file process.FileID
}

// NewAssembler makes an Assembler that hands complete events to emit. The Event is valid during the call only.
func NewAssembler(o Options, emit func(*process.Event) error) *Assembler {
	a := &Assembler{o: o, emit: emit}
	for i := range a.slots {
		a.free = append(a.free, &a.slots[i])
	}
	a.order = make([]*pending, 0, inFlight)
	if o.Recorded {
		a.known, a.reached = map[identity]*pending{}, map[uint64]int64{}
	}
	return a
}

// Line is Record for a line of a log. cursor is the place after the line.
func (a *Assembler) Line(line []byte, cursor process.Cursor) error {
	typ, body, node, err := ParseLine(line)
	if err != nil {
		if isSeparator(line) {
			a.last = cursor
			return nil
		}
		a.o.Stats.Records.Add(1)
		a.malformed(line, err)
		a.last = cursor
		return nil
	}
	start := a.last
	for {
		one, more := cut(body)
		if err := a.record(typ, one, node, cursor); err != nil || more == nil {
			return err
		}
		var named []byte
		if typ, body, named, err = ParseLine(more); err != nil {
			return nil // it begins with a type and has a time, so that it is a record
		}
		if named != nil {
			node = named
		}
		a.last = start // to resume there is to read the line again
	}
}

// Record takes one record: its type, its text from `audit(` on, and where reading goes on after it. The Cursor of an
// emitted event is the place after it, or before the first record of the oldest event that is still incomplete: to
// resume there loses nothing and may read some again.
func (a *Assembler) Record(typ uint16, body []byte, cursor process.Cursor) error {
	return a.record(typ, body, nil, cursor)
}

func (a *Assembler) record(typ uint16, body, node []byte, cursor process.Cursor) error {
	a.o.Stats.Records.Add(1)
	before := a.last
	a.last = cursor
	switch typ {
	case unix.AUDIT_SYSCALL, unix.AUDIT_EXECVE, unix.AUDIT_CWD, unix.AUDIT_PATH, unix.AUDIT_EOE, unix.AUDIT_PROCTITLE:
	case unix.AUDIT_LOGIN, userLogin, userLogout, userStart, userEnd:
		millis, seq, rest, ok := header(body)
		if !ok {
			a.malformed(body, noHeader(body))
			return nil
		}
		if err := a.session(typ, millis, seq, node, rest); err != nil || a.o.Changed == nil || typ != unix.AUDIT_LOGIN ||
			!relabels(rest) {
			if err == nil && typ == userLogin {
				return a.account(typ, millis, seq, node, rest)
			}
			return err
		}
	case userAuth, userAcct, userMgmt, userChauthtok, addUser, delUser, grpMgmt, acctLock, acctUnlock:
		millis, seq, rest, ok := header(body)
		if !ok {
			a.malformed(body, noHeader(body))
			return nil
		}
		return a.account(typ, millis, seq, node, rest)
	case unix.AUDIT_CONFIG_CHANGE,
		unix.AUDIT_FEATURE_CHANGE,
		unix.AUDIT_DAEMON_START,
		unix.AUDIT_DAEMON_END,
		unix.AUDIT_DAEMON_ABORT:
		if a.o.Changed == nil {
			return nil
		}
	default:
		return nil
	}
	millis, seq, rest, ok := header(body)
	if !ok {
		a.malformed(body, noHeader(body))
		return nil
	}
	if millis > a.newest || a.newest-millis > setBack.Milliseconds() {
		a.newest = millis
	}
	id := identity{node: hashed(node), millis: millis, seq: seq}
	a.outOfTurn(id)
	if err := a.overdue(millis); err != nil {
		return err
	}
	p := a.find(id)
	if p == nil {
		if typ == unix.AUDIT_EOE || !changes(typ) && *a.place(id) == id {
			return nil // late, or again
		}
		var err error
		if p, err = a.begin(id, node, before); err != nil {
			return err
		}
	}
	switch typ {
	case unix.AUDIT_SYSCALL:
		if !p.called { // not again
			a.syscall(p, rest)
		}
	case unix.AUDIT_EXECVE:
		if !p.ignored {
			a.execve(p, rest)
		}
	case unix.AUDIT_CWD:
		if !p.ignored {
			for key, v, more, ok := next(rest); ok; key, v, more, ok = next(more) {
				if string(key) == "cwd" {
					a.buf = text(v, a.buf[:0])
					p.event.CWD = p.event.Text(a.buf)
				}
			}
		}
	case unix.AUDIT_PATH:
		if !p.ignored {
			a.path(p, rest)
		}
	case unix.AUDIT_PROCTITLE:
		p.ended = true
		if len(p.changes) > 0 {
			a.title(p, rest)
		} else if !p.ignored {
			p.command.named(rest)
		}
	case unix.AUDIT_EOE:
		p.ended = true
		if a.o.Ordered {
			return a.complete(p)
		}
	default:
		return a.change(p, typ, rest)
	}
	if p.ended && p.whole() && !a.shuffled {
		return a.complete(p)
	}
	return nil
}

// outOfTurn notices that the records of a recording come in no order.
func (a *Assembler) outOfTurn(id identity) {
	if !a.o.Recorded || a.shuffled {
		return
	}
	newest := a.reached[id.node]
	a.shuffled = id.millis < newest-patience.Milliseconds()
	a.reached[id.node] = max(newest, id.millis)
}

// changes says whether a record reports a change of audit itself, and may stand alone.
func changes(typ uint16) bool {
	switch typ {
	case unix.AUDIT_SYSCALL, unix.AUDIT_EXECVE, unix.AUDIT_CWD, unix.AUDIT_PATH, unix.AUDIT_PROCTITLE:
		return false
	}
	return true
}

// Whole hands on the events that lack nothing but their end mark: none came for a while, and not every log has one.
func (a *Assembler) Whole() error {
	for i := 0; i < len(a.order); {
		if !a.order[i].whole() {
			i++
			continue
		}
		if err := a.complete(a.order[i]); err != nil {
			return err
		}
	}
	return nil
}

// Flush hands on everything that is incomplete: nothing more comes, or nothing has for a while.
func (a *Assembler) Flush() error {
	for len(a.order) > 0 {
		if err := a.complete(a.order[0]); err != nil {
			return err
		}
	}
	return nil
}

// Pending is how many events are incomplete.
func (a *Assembler) Pending() int { return len(a.order) }

// overdue completes the events that an end never came for.
func (a *Assembler) overdue(millis int64) error {
	if a.shuffled {
		return nil
	}
	for i := 0; i < len(a.order); {
		p := a.order[i]
		if millis <= p.due || a.o.Recorded && p.waits(millis) {
			i++
			continue
		}
		if err := a.complete(a.order[i]); err != nil {
			return err
		}
	}
	return nil
}

// waits says whether an event of a recording waits for more than its end mark: what nobody receives without it for
// ever, and the rest for a while.
func (p *pending) waits(millis int64) bool {
	if p.whole() || len(p.changes) > 0 {
		return false
	}
	return !p.called || millis <= p.due+(recordedPatience-patience).Milliseconds()
}

func hashed(node []byte) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range node {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func (a *Assembler) find(id identity) *pending {
	if a.known != nil {
		return a.known[id]
	}
	for _, p := range a.order {
		if p.identity == id {
			return p
		}
	}
	return nil
}

func (a *Assembler) begin(id identity, node []byte, start process.Cursor) (*pending, error) {
	switch {
	case len(a.free) > 0:
	case a.o.Recorded && len(a.order) < apart:
		a.free = append(a.free, &pending{})
	default:
		if err := a.complete(a.order[0]); err != nil {
			return nil, err
		}
	}
	p := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	event, command := p.event, p.command
	command.reset()
	*p = pending{
		identity: id, due: a.newest + patience.Milliseconds(), start: start, event: event, command: command,
	}
	p.event.Reset()
	p.event.Kind, p.event.Sequence, p.event.Source = process.Exec, id.seq, a.o.Source
	p.event.Time = time.UnixMilli(id.millis).UTC()
	a.host(&p.event, node)
	a.order = append(a.order, p)
	if a.known != nil {
		a.known[id] = p
	}
	return p, nil
}

// host says which host an event is of.
func (a *Assembler) host(e *process.Event, node []byte) {
	if len(node) > 0 && (a.o.Own == nil || !a.o.Own(node)) {
		e.Host = process.Host{Name: e.Text(node), OSType: "linux"}
	}
}

// complete hands an event on, if it is an exec that succeeded, and frees its place.
func (a *Assembler) complete(p *pending) error {
	a.order = slices.DeleteFunc(a.order, func(o *pending) bool { return o == p })
	a.free = append(a.free, p)
	delete(a.known, p.identity)
	if p.called || p.command.came { // of the others what matters may still come
		*a.place(p.identity) = p.identity
	}
	if len(p.changes) > 0 {
		return a.changed(p)
	}
	if p.ignored || !p.sure && !p.command.came {
		return nil
	}
	if !p.called { // its SYSCALL record was lost: who did it is not known, and a guess is worse than a count
		a.o.Stats.Incomplete.Add(1)
		return nil
	}
	e := &p.event
	a.buf = p.command.fill(e, a.buf)
	e.File = p.executable()
	if e.Name == "" && len(e.Args) > 0 { // its record is torn before the program
		e.Name = e.Args[0][strings.LastIndexByte(e.Args[0], '/')+1:]
	}
	if p.missing || p.command.missing || len(e.Args) < e.ArgsCount && !p.cut {
		a.o.Stats.Incomplete.Add(1)
		e.Lossy = true
	}
	if p.cut {
		a.o.Stats.Truncated.Add(1)
	}
	e.Cursor = a.resume()
	err := a.emit(e)
	e.Shrink(2 * maxText)
	return err
}

// resume is where reading goes on after what is complete: before the oldest event that is not, or after the last
// record.
func (a *Assembler) resume() process.Cursor {
	for _, p := range a.order {
		if !p.ignored {
			return p.start
		}
	}
	return a.last
}

func (a *Assembler) syscall(p *pending, b []byte) {
	var arch []byte
	ended, success, exe := false, false, false
	e := &p.event
	p.called = true
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		if len(rest) == 0 && !exe && string(key) != "exe" && p.sure { // torn: a part of a number is another number
			p.missing = true
			break
		}
		switch string(key) {
		case "exe":
			if exe = !torn(v) && (len(rest) > 0 || len(v) > 0 && v[0] == '"'); exe {
				a.who(e, key, v)
			}
		case "arch":
			arch = v
		case "syscall":
			known, starts := startsProgram(arch, v)
			if p.sure = starts; known && !starts && len(p.changes) == 0 {
				p.ignored = true
				return
			}
		case "success":
			if ended, success = true, string(v) == "yes"; !success && len(p.changes) == 0 {
				p.ignored = true
				return
			}
		case "items":
			n, _ := number(v)
			p.items = int(n)
		case "key":
			if p.sure && len(p.changes) == 0 {
				a.key = append(a.key[:0], v...)
			}
		default:
			a.who(e, key, v)
		}
	}
	switch {
	case !ended && !exe && len(p.changes) == 0: // torn before it says who did it: as if it had not come
		p.called = false
		return
	case !success:
		p.ignored = true
		return
	}
	p.missing = p.missing || !exe && p.sure
	if p.sure && a.o.Started != nil {
		a.o.Started(e.PID, e.Time)
	}
}

// who takes one fact of the process that a record is about, and of its users.
func (a *Assembler) who(e *process.Event, key, v []byte) {
	switch string(key) {
	case "ppid":
		e.PPID, _ = number(v)
	case "pid":
		e.PID, _ = number(v)
	case "auid":
		a.userOf(e, &e.Session.User, v)
	case "uid":
		a.userOf(e, &e.User, v)
	case "gid":
		a.userOf(e, &e.Group, v)
	case "euid":
		a.userOf(e, &e.Effective, v)
	case "egid":
		a.userOf(e, &e.EffGroup, v)
	case "ses":
		e.Session.ID = id(v)
	case "tty":
		if string(v) != "(none)" {
			a.buf = text(v, a.buf[:0])
			e.TTY = e.Text(a.buf)
			e.Interactive = e.TTY != ""
		}
	case "comm":
		a.buf = text(v, a.buf[:0])
		e.Name = e.Text(a.buf)
	case "exe":
		a.buf = text(v, a.buf[:0])
		e.Executable, e.Deleted = process.TrimDeleted(e.Text(a.buf))
		if i := strings.LastIndexByte(e.Executable, '/'); i >= 0 {
			e.Name = e.Executable[i+1:]
		}
	case "AUID", "UID", "EUID":
		if a.o.Names {
			a.name(e, key, v)
		}
	}
}

// userOf takes an id, or where somebody has interpreted the record the name that it stood for.
func (a *Assembler) userOf(e *process.Event, to *process.User, v []byte) {
	n, ok := number(v)
	if to.ID = process.Unset; ok {
		to.ID = n
	} else if len(v) > 0 && string(v) != "unset" && v[0] != '(' && v[0] != '?' {
		a.buf = append(a.buf[:0], bytes.Trim(v, `"`)...)
		to.Name = e.Text(a.buf)
	}
}

// name takes over what auditd resolved an id to when it wrote the log.
func (a *Assembler) name(e *process.Event, key, v []byte) {
	a.buf = text(v, a.buf[:0])
	if string(a.buf) == "unset" || bytes.HasPrefix(a.buf, []byte("unknown(")) {
		return
	}
	switch string(key) {
	case "AUID":
		e.Session.User.Name = e.Text(a.buf)
	case "UID":
		e.User.Name = e.Text(a.buf)
	case "EUID":
		e.Effective.Name = e.Text(a.buf)
	}
}

func id(v []byte) uint32 {
	if n, ok := number(v); ok {
		return n
	}
	return process.Unset
}

// execve takes the arguments of one EXECVE record.
func (a *Assembler) execve(p *pending, b []byte) {
	c := &p.command
	c.came = true
	c.records++
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		if string(key) == "argc" {
			n, ok := number(v)
			p.event.ArgsCount, c.counted = int(n), ok
			continue
		}
		index, number, ok := argument(key)
		if !ok {
			continue
		}
		if len(c.text) >= maxText || index >= maxArgs {
			p.cut = true
			continue
		}
		p.cut = c.add(index, number, v) || p.cut
	}
}

// path takes a PATH record: one of the files that the kernel opened for the exec.
func (a *Assembler) path(p *pending, b []byte) {
	item := mostFiles
	var o opened
	// Of a dozen pairs dev is the fourth, and the last that counts.
	for key, v, rest, ok := next(b); ok && o.file.Device == 0; key, v, rest, ok = next(rest) {
		switch string(key) {
		case "item":
			if n, ok := number(v); ok {
				item = int(n)
			}
		case "name":
			a.buf = text(v, a.buf[:0])
			o.name = p.event.Text(a.buf)
		case "inode":
			o.file.Inode, _ = decimal(v)
		case "dev":
			o.file.Device = device(v)
		}
	}
	if o.file.Device == 0 || o.file.Inode == 0 {
		o.file = process.FileID{} // half of it says nothing
	}
	if item < mostFiles {
		p.opened[item] = o
	}
}

// executable says which of the files that the kernel opened runs now. Of an ELF file that is the first, and its loader
// the second. Of a script they are the script, its interpreter, and the loader of that; the interpreter's name is the
// first argument, which the kernel makes so. The zero FileID where it is not certain: records were lost, or somebody
// called an ELF file by the name of its loader.
func (p *pending) executable() process.FileID {
	n := p.items
	if n < 1 || n > mostFiles {
		return process.FileID{}
	}
	if n == 1 {
		return p.opened[0].file
	}
	for _, o := range p.opened[:n] {
		if o.file == (process.FileID{}) {
			return process.FileID{}
		}
	}
	if len(p.event.Args) == 0 {
		return process.FileID{}
	}
	for i := n - 1; i > 0; i-- {
		if p.opened[i].name == p.event.Args[0] {
			if n == 2 {
				return process.FileID{}
			}
			return p.opened[i].file
		}
	}
	if n > 2 {
		return process.FileID{}
	}
	return p.opened[0].file
}

// session hands on what a record says of a login session.
func (a *Assembler) session(typ uint16, millis int64, seq uint64, node, b []byte) error {
	e := &a.login
	e.Reset()
	a.host(e, node)
	e.Kind, e.Time, e.Sequence = process.Login, time.UnixMilli(millis).UTC(), seq
	e.Source, e.Cursor = a.o.Source, a.resume()
	res := true
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		switch string(key) {
		case "pid":
			e.PID, _ = number(v)
		case "uid":
			e.User.ID = id(v)
		case "auid":
			e.Session.User.ID = id(v)
		case "ses":
			e.Session.ID = id(v)
		case "exe":
			a.buf = text(v, a.buf[:0])
			// An sshd that was upgraded while it runs is still sshd.
			e.Executable, e.Deleted = process.TrimDeleted(e.Text(a.buf))
			e.Name = e.Executable[strings.LastIndexByte(e.Executable, '/')+1:]
		case "addr":
			a.buf = text(v, a.buf[:0])
			if addr, err := netip.ParseAddr(e.Text(a.buf)); err == nil {
				e.Session.Source = addr.Unmap()
			}
		case "tty", "terminal":
			a.buf = text(v, a.buf[:0])
			tty := e.Text(bytes.TrimPrefix(a.buf, []byte("/dev/")))
			if isTTY(tty) {
				e.Session.TTY = tty
			}
		case "res":
			res = string(v) == "1" || string(v) == "success" || string(v) == "yes"
		}
	}
	if !res || e.Session.ID == process.Unset {
		return nil
	}
	switch typ {
	case unix.AUDIT_LOGIN:
		e.Session.Leader = e.PID
	case userEnd, userLogout:
		e.Kind = process.Logout
	}
	if typ != unix.AUDIT_LOGIN && !process.OpensSession(e.Name) {
		return nil // sudo, su and their like begin no login session
	}
	return a.emit(e)
}

// isTTY says whether a record names a terminal: there stand "ssh", "cron" and ":0", too. Drivers that the kernel's own
// list has no room for name their devices tty and something, as all do by custom.
func isTTY(name string) bool {
	_, listed := process.ParseTerminal(name)
	return listed || strings.HasPrefix(name, "tty")
}

// malformed counts what is not a record, and logs one in a while.
func (a *Assembler) malformed(b []byte, why error) {
	a.o.Stats.Malformed.Add(1)
	if a.o.Malformed != nil {
		a.o.Malformed(why)
	}
	if now := time.Now(); a.o.Logger != nil && now.Sub(a.logged) > time.Minute {
		a.logged = now
		a.o.Logger.Warnf("%s: %v: %q", a.o.Source, why, b[:min(len(b), 200)])
	}
}
