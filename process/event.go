// SPDX-License-Identifier: Apache-2.0

package process

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
	"unsafe"
)

// Kind is what happened.
type Kind uint8

// The kinds of event. The zero Kind is not an event.
const (
	Exec   Kind = iota + 1 // a program started in the process: execve or execveat succeeded
	Fork                   // the process came to be as a copy of its parent, still running its parent's program
	Exit                   // the process ended
	Login                  // a login session began, or more of it became known; Session says what
	Logout                 // a login session ended; Session.ID says which
	// somebody changed what the source reports, or it is as before again; Change says what, Process and Session who
	Tamper
	// somebody changed an account of the host, or failed to log in; Account says what, Process and Session who
	AccountChange
)

// String returns the kind in lower case, "unknown" for any other than the constants.
func (k Kind) String() string {
	switch k {
	case Exec:
		return "exec"
	case Fork:
		return "fork"
	case Exit:
		return "exit"
	case Login:
		return "login"
	case Logout:
		return "logout"
	case Tamper:
		return "tamper"
	case AccountChange:
		return "account change"
	}
	return "unknown"
}

// Unset is the id that the kernel itself uses for "none": the login user and the session of a daemon, or an id that a
// source does not give.
const Unset uint32 = 1<<32 - 1

// User is an account. Sources of the kernel give the id only, recordings of other agents often the name only.
type User struct {
	ID   uint32 // Unset when unknown or none
	Name string // empty when not (yet) resolved
}

// Known reports whether there is a user: an id or a name.
func (u User) Known() bool { return u.ID != Unset || u.Name != "" }

// Binary identifies the contents of an executable, whatever it is called. The zero value: not read.
type Binary struct {
	BuildID string // the GNU build-id from the ELF notes, lower-case hex
	SHA256  string // lower-case hex; only where it was worth reading the file
	// Tool is the program that the contents are known to be, one of a rule's ("ss" for a copy of ss under another
	// name), of MultiCalls ("busybox") or the dynamic loader that one of these asks for ("ld-linux-x86-64.so.2"); empty
	// when they are none's.
	Tool string
}

// FileID is a file as the kernel knows it, whatever path leads to it. The zero value: unknown.
type FileID struct {
	// Device is st_dev of stat(2), or of a record of audit that of the whole file system: on btrfs and overlayfs they
	// can differ.
	Device uint64
	Inode  uint64
}

// removed is what the kernel appends to the path of a file that has been removed.
const removed = " (deleted)"

// TrimDeleted cuts off what the kernel appends to the path of a file that has been removed, and reports whether it was
// there.
func TrimDeleted(path string) (string, bool) { return strings.CutSuffix(path, removed) }

// Process is one program that runs in one process. Its zero value is not "nothing known", because id 0 is root: start
// from NoProcess.
type Process struct {
	PID uint32 // in the host's pid namespace; 0 when unknown
	// process.entity_id: the same process has the same id in every event and after a restart of reconbeat
	EntityID string
	Start    time.Time // when the program started; zero when unknown
	// when the process was forked, in clock ticks since boot (/proc/PID/stat field 22); 0 when unknown
	StartTicks  uint64
	Name        string   // base name of the executable; what the source calls it where no path is known
	Executable  string   // path of the executable as the kernel resolved it; empty when unknown
	File        FileID   // the executable as the kernel opened it; zero: unknown
	Deleted     bool     // the executable's file had been removed when the program started, or so the source says
	Args        []string // the arguments, args[0] included
	ArgsCount   int      // how many arguments there were; more than len(Args) when they were cut
	CommandLine string   // as the source gave it; empty: Args joined by spaces
	CWD         string   // working directory
	TTY         string   // controlling terminal: "pts0", "tty1", "ttyS0"; empty: none
	Interactive bool     // it has a controlling terminal, or its source says that somebody sits before it
	User        User     // the real user
	Effective   User     // the effective user
	Group       User     // the real group
	EffGroup    User     // the effective group
	Binary      Binary
}

// NoProcess is a Process of which nothing is known.
var NoProcess = Process{
	User:      User{ID: Unset},
	Effective: User{ID: Unset},
	Group:     User{ID: Unset},
	EffGroup:  User{ID: Unset},
}

// Known reports whether anything at all is known of the process.
func (p *Process) Known() bool {
	return p.PID != 0 || p.Name != "" || p.Executable != "" || p.EntityID != ""
}

// The ways into a host, in the words of ECS (process.entry_leader.entry_meta.type), and two of ours: cron and
// container.
const (
	EntrySSHD      = "sshd"
	EntryInit      = "init" // a daemon, started by the init system
	EntryTerminal  = "terminal"
	EntryCron      = "cron"
	EntryContainer = "container"
	EntryKernel    = "kernel" // a helper that the kernel itself starts
)

// Session is a login session: everything between a login and its end shares the kernel's session id.
type Session struct {
	ID     uint32     // the audit session (ses); Unset for what no login started
	User   User       // the login user (auid): stays through sudo and su
	Entry  string     // how they came in, one of the Entry constants or the source's own word; empty when unknown
	Source netip.Addr // the remote address; the zero Addr when local or unknown
	TTY    string     // the terminal of the login; empty when none
	Leader uint32     // the pid of the process that opened the session; 0 when unknown
	Start  time.Time
	// NoShell: the login user's shell lets nobody in (nologin, false); false: it does, or nobody has asked
	NoShell bool
}

// NoSession is a Session of which nothing is known.
var NoSession = Session{ID: Unset, User: User{ID: Unset}}

// Host is the host that an event happened on. The zero Host is the one that reconbeat runs on.
type Host struct {
	ID     string
	Name   string
	OSType string // host.os.type, "linux"
}

// Key is different for different hosts: the id, or the name where no id is known. It is empty for the host that
// reconbeat runs on.
func (h Host) Key() string { return cmp.Or(h.ID, h.Name) }

// Container is the container that a process runs in. The zero Container: none, or unknown.
type Container struct {
	ID    string
	Name  string
	Image string

	// Of Kubernetes: the pod, and which of its containers this is.
	Namespace string
	Pod       string
	Part      string
}

// Cursor says where reading goes on after an event. The zero Cursor: the source cannot be read again.
// It is opaque to all but its source; it is kept across restarts as JSON. The first four are a place in a file, the
// others one in a cluster.
type Cursor struct {
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	// of the file's first bytes: a later file with the same inode has another one
	Fingerprint uint64 `json:"fingerprint,omitempty"`
	Offset      int64  `json:"offset,omitempty"` // of the first byte not yet read, in bytes

	// the time, in milliseconds since 1970, up to which the documents that have event.ingested were read
	Ingested int64 `json:"ingested,omitempty"`
	// and the documents that have @timestamp alone
	Timestamp int64 `json:"timestamp,omitempty"`
	Horizon   int64 `json:"horizon,omitempty"` // documents from before are never read again
	Document  Mark  `json:"-"`                 // the event's own document
}

// Mark is by what a document of a cluster is recognised when it is read again. The zero Mark: there is none.
type Mark struct {
	Hash uint64 // of its _id and of where it is kept
	At   int64  // its place in the order of reading, in milliseconds since 1970
}

// Origin is the document of a cluster, or of an export of one, that an event was read from. The zero Origin: it came
// from elsewhere.
type Origin struct {
	Index string // the index that holds the document; of a data stream, the backing index
	ID    string // its _id there
}

// What a Tamper event reports, in the words of Elastic's integrations for the same records; the last one is ours.
const (
	ChangedAudit  = "changed-audit-configuration"  // rules, settings or features of the kernel's audit
	ChangedLogin  = "changed-login-id"             // a process became another login user's without a login
	StoppedAudit  = "shutdown-audit"               // the audit daemon whose log is read ended
	RestoredAudit = "restored-audit-configuration" // program starts are reported as before
)

// Change is what a Tamper event is about. Its zero value: nothing, as in every other event.
type Change struct {
	Action string    // one of the constants above
	Text   string    // what was done, in words that follow the name of who did it: "switched the kernel's audit off"
	Record string    // what the source's own record says of it; empty: there is none
	Since  time.Time // of RestoredAudit: since when, at the earliest, program starts were not all reported
}

// What an AccountChange event reports.
const (
	AccountCreated      = "created"
	AccountDeleted      = "deleted"
	AccountPassword     = "password" // it was set, locked or unlocked
	AccountLocked       = "locked"
	AccountUnlocked     = "unlocked"
	AccountJoined       = "joined-group"
	AccountLeft         = "left-group"
	AccountPrimaryGroup = "primary-group"
	AccountShell        = "shell"
	AccountName         = "name"
	AccountID           = "id"
	AccountHome         = "home"
	AccountExpiry       = "expiry"                // of the account or of its password
	AccountLoginFailed  = "login-failed"          // a login was refused: sshd's own word, at most one an attempt
	AccountAuthFailed   = "authentication-failed" // a password or key was refused: PAM's word, at most one an attempt
)

// Account is what an AccountChange event is about. Its zero value: nothing, as in every other event.
type Account struct {
	User   User   // the account; sources know its id or its name alone
	Action string // one of the constants above
	Group  string // that the account joined or left; empty: the source does not say
}

// Event is something that happened to a process. A source fills one Event again and again; see the package comment on
// who owns its strings.
type Event struct {
	Kind     Kind
	Time     time.Time // when it happened; event time, never the time of reading
	ID       string    // the source's own event id (event.id); empty: the publisher makes one
	Sequence uint64    // the source's sequence number (event.sequence); 0: none
	Source   string    // event.module of the document that it was read from, else the module's name
	Timezone string    // of the host's clock (event.timezone), an IANA name or "+02:00"; empty: unknown
	Success  bool      // false: the exec failed (sources that report failures too)
	ExitCode int32     // of Exit events

	Host    Host
	Process        // the process, after the event
	PPID    uint32 // its parent; 0 when unknown
	Parent  Process
	Leader  Process // the session leader (process.session_leader)
	Entry   Process // the entry leader: the first process of the way in (process.entry_leader)
	// the executable that had the process started, by its path, or by its name where no path is known: where the parent
	// is a wrapper such as sudo, that of the nearest ancestor that is none; where the process itself ran one before
	// that lies where its user may have put it, that one. Empty: the parent it is
	Starter string
	// what the file system says of the folders that the executable, and that of Starter or else of the parent, lie in:
	// InTemporary where everybody can write it, InHome where its user can. Empty: neither, or nobody has asked
	Place, StarterPlace string
	// the program that the contents of what a loader or an emulator was started to run are known to be, as Binary.Tool
	// is; empty where they are none's
	Loads     string
	Session   Session
	Container Container
	Change    Change  // of Tamper events
	Account   Account // of AccountChange events

	Origin Origin

	Lossy bool // the source may have missed facts of this event (arguments, users) and says so
	// Earlier: an ancestor's exec, which its source has looked up for the event that comes next. It is remembered, not
	// judged.
	Earlier bool
	Cursor  Cursor

	orphan bool // a Table has counted that it does not know the parent
	arena  []byte
	args   []string
}

// Reset makes e an event of which nothing is known, and keeps its memory.
func (e *Event) Reset() {
	arena, args := e.arena[:0], e.args[:0]
	*e = Event{
		Process: NoProcess,
		Parent:  NoProcess,
		Leader:  NoProcess,
		Entry:   NoProcess,
		Session: NoSession,
		Account: Account{User: User{ID: Unset}},
		Success: true,
		arena:   arena,
		args:    args,
	}
}

// Text copies b into e's memory and returns it as a string that is valid until e's next Reset or Copy.
func (e *Event) Text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	n := len(e.arena)
	e.arena = append(e.arena, b...)
	return unsafe.String(&e.arena[n], len(b))
}

// textOf is Text for a string.
func (e *Event) textOf(s string) string {
	if s == "" {
		return ""
	}
	n := len(e.arena)
	e.arena = append(e.arena, s...)
	return unsafe.String(&e.arena[n], len(s))
}

// AddArg appends one argument, copied, to the Args of p, which is one of e's own processes (&e.Process, &e.Parent ...).
func (e *Event) AddArg(p *Process, b []byte) {
	n := len(p.Args)
	if n > 0 && (len(e.args) < n || &e.args[len(e.args)-1] != &p.Args[n-1]) {
		e.args = append(e.args, p.Args...) // another process's arguments came in between
	}
	e.args = append(e.args, e.Text(b))
	p.Args = e.args[len(e.args)-n-1 : len(e.args) : len(e.args)]
}

// Copy makes e a copy of src that shares no memory with it. It allocates only where e's memory is too small.
func (e *Event) Copy(src *Event) {
	arena, args := e.arena[:0], e.args[:0]
	*e = *src
	e.arena, e.args = arena, args
	e.own(&e.ID)
	e.own(&e.Source)
	e.own(&e.Timezone)
	e.own(&e.Starter)
	e.own(&e.Place)
	e.own(&e.StarterPlace)
	e.own(&e.Loads)
	e.own(&e.Host.ID)
	e.own(&e.Host.Name)
	e.own(&e.Host.OSType)
	e.ownProcess(&e.Process)
	e.ownProcess(&e.Parent)
	e.ownProcess(&e.Leader)
	e.ownProcess(&e.Entry)
	e.own(&e.Session.User.Name)
	e.own(&e.Session.Entry)
	e.own(&e.Session.TTY)
	e.own(&e.Change.Action)
	e.own(&e.Change.Text)
	e.own(&e.Change.Record)
	e.own(&e.Account.User.Name)
	e.own(&e.Account.Group)
	e.own(&e.Account.Action)
	e.own(&e.Origin.Index)
	e.own(&e.Origin.ID)
	e.own(&e.Container.ID)
	e.own(&e.Container.Name)
	e.own(&e.Container.Image)
	e.own(&e.Container.Namespace)
	e.own(&e.Container.Pod)
	e.own(&e.Container.Part)
}

// own moves a text of e into its memory. Most are empty, and cost no more than to see that.
func (e *Event) own(s *string) {
	if *s != "" {
		*s = e.textOf(*s)
	}
}

func (e *Event) ownProcess(p *Process) {
	if p.wordless() { // as the parent and the leaders of an exec are for most sources
		p.Args = nil
		return
	}
	e.own(&p.EntityID)
	e.own(&p.Name)
	e.own(&p.Executable)
	e.own(&p.CommandLine)
	e.own(&p.CWD)
	e.own(&p.TTY)
	e.own(&p.User.Name)
	e.own(&p.Effective.Name)
	e.own(&p.Group.Name)
	e.own(&p.EffGroup.Name)
	e.own(&p.Binary.BuildID)
	e.own(&p.Binary.SHA256)
	e.own(&p.Binary.Tool)
	if len(p.Args) == 0 {
		p.Args = nil
		return
	}
	start := len(e.args)
	for _, a := range p.Args {
		e.args = append(e.args, e.textOf(a))
	}
	p.Args = e.args[start:len(e.args):len(e.args)]
}

// wordless reports whether a process has no text at all.
func (p *Process) wordless() bool {
	return len(p.EntityID)|len(p.Name)|len(p.Executable)|len(p.CommandLine)|len(p.CWD)|len(p.TTY)|len(p.User.Name)|
		len(p.Effective.Name)|len(p.Group.Name)|len(p.EffGroup.Name)|len(p.Binary.BuildID)|len(p.Binary.SHA256)|
		len(p.Binary.Tool)|len(p.Args) == 0
}

// Shrink gives memory beyond max bytes back, so that one hostile command line does not stay with e for ever.
func (e *Event) Shrink(max int) {
	if cap(e.arena) > max {
		e.arena = nil
	}
	if cap(e.args) > max/16 {
		e.args = nil
	}
}
