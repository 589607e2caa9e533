// SPDX-License-Identifier: Apache-2.0

package habit

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/reconbeat/reconbeat/process"
)

// Class is the kind of an actor: what is unusual for one kind is usual for another.
type Class uint8

// The classes.
const (
	Person  Class = iota // somebody who logged in
	Service              // an account without a login
	Root                 // root without a login: daemons and jobs of the system
	classes
)

// The parts of a surprise. Those before Hour are the features of a Match, values without an order.
const (
	As          = iota // whom the actor acts as
	Parent             // the program that started the tool, without its version
	TTY                // a terminal, or none
	Entry              // the way in
	Network            // the remote network: /24, or /64 of IPv6
	NetworkWide        // a wider one: /16, or /48
	Command            // the command line, normalised
	Folder             // the working folder
	Week               // a working day, or a weekend
	Origin             // the kind of network: none, a private one, the Internet
	SystemLogin        // whether the account that logged in is one of the system's, and no person's
	Disguise           // how the tool hides what it is: another name, a folder that its user can write ...
	Session            // what else ran in the session, of which a visit shows many values and a match none
	Hour               // the hour of the day
	Frequency          // how seldom the actor looks, and for how long they have not
	Newness            // the actor was never seen
	Parts              // how many there are

	features = Hour
)

// PartNames are the names of the parts, as fields and explanations have them.
var PartNames = [Parts]string{
	"as",
	"parent",
	"tty",
	"entry",
	"network",
	"network_wide",
	"command",
	"folder",
	"week",
	"origin",
	"system_login",
	"disguise",
	"session",
	"hour",
	"frequency",
	"actor",
}

// Match is an exec as the Model sees it.
type Match struct {
	At    time.Time
	Class Class
	Who   Account
	Name  string // of the account; a view into the event. Empty: only the id is known
	Hour  int    // 0 to 23, of the host's day

	values  [features]text
	company Company
	// inAftermath: somebody else who had never been seen has alerted shortly before.
	inAftermath bool
	unlike      [mostUnlike]unlike // what of the company speaks most against the actor, the first most
	lapsed      time.Time          // when the actor was last seen who is forgotten by now; zero: nobody is
	line        string             // the command line, a view into the event; empty: args joined by blanks
	args        []string           // a view, too
}

// mostUnlike is how many programs of a match's company are named.
const mostUnlike = 3

// unlike is a program of a match's company that speaks against the actor.
type unlike struct {
	program  text
	evidence float64
}

// InCompany reports whether it is known what else runs in the session of the match.
func (l *Match) InCompany() bool { return l.company.of != nil }

// Beside sets what runs in the session of the match.
func (l *Match) Beside(c Company) { l.company = c }

// InAftermath says that somebody else who had never been seen has alerted on the host shortly before, and that nobody
// has explained it.
func (l *Match) InAftermath() { l.inAftermath = true }

// add takes a program among those that speak most against the actor.
func (l *Match) add(u unlike) {
	for i := range l.unlike {
		if u.evidence > l.unlike[i].evidence {
			u, l.unlike[i] = l.unlike[i], u
		}
	}
}

// says reports whether text is the match's command line, as Line gives it.
func (l *Match) says(text string) bool {
	if l.line != "" {
		return text == l.line[:min(len(l.line), maxLine)]
	}
	for i, a := range l.args {
		if i > 0 {
			if text == "" {
				return true // cut off
			}
			if text[0] != ' ' {
				return false
			}
			text = text[1:]
		}
		rest, same := strings.CutPrefix(text, a)
		if !same {
			return strings.HasPrefix(a, text) && len(text) > 0
		}
		text = rest
	}
	return text == ""
}

// Line is the match's command line, of its first 256 bytes.
func (l *Match) Line() string {
	line := l.line
	if line == "" {
		line = strings.Join(l.args, " ")
	}
	return strings.Clone(line[:min(len(line), maxLine)])
}

// maxLine bounds a command line that a visit remembers, in bytes.
const maxLine = 256

// Account identifies an account of a host.
type Account struct {
	Container text // what the container is one of; "" outside of one
	ID        text // the user id, or the name where no id is known
}

// Value returns the value of a feature, a part before Hour.
func (l *Match) Value(feature int) string { return l.values[feature].Value() }

// OnTerminal reports whether there was one.
func (l *Match) OnTerminal() bool { return l.values[TTY] == terminal }

// AsSelf reports whether the actor acts as themselves, and not as another account.
func (l *Match) AsSelf() bool { return l.values[As] == self }

// Reader makes Matches of events. It remembers what it made of texts that come again and again, and belongs to one
// goroutine. The zero Reader is ready.
type Reader struct {
	commands map[string]text
	networks map[netip.Addr][2]text
	ids      map[uint32]text
	texts    map[string]text // values that a hostile process may have chosen
	near     [256]text       // the latest of texts, each at its place
	parents  map[starter]text
	places   map[string]text // where executables lie, plain where nothing is hidden by it
	buffer   []byte
}

// starter is a parent by its file.
type starter struct {
	file      string
	placed    text // what the file system says of its folder
	scheduled bool // cron has started it for an account without a login
}

// underCron ends the name of a parent that is scheduled.
const underCron = " under cron"

// Text is a text that outlives the event that it is of.
func (r *Reader) Text(s string) string {
	if s == "" {
		return ""
	}
	return r.hold(s).Value()
}

// Program is a program's name as Sessions know it, without its version.
func (r *Reader) Program(name string) text { return r.hold(unversioned(name)) }

// Account says whose session it is that begins with an exec.
func (r *Reader) Account(e *process.Event) (Account, Class) {
	who, class := whose(e)
	return Account{r.hold(e.Container.Identity()), r.account(who)}, class
}

// whose is the actor of an exec: the login user, where somebody logged in, else the real one.
func whose(e *process.Event) (process.User, Class) {
	switch login := e.Session.User; {
	case login.Known() && e.Session.Entry != process.EntryCron:
		return login, Person
	case e.User.ID == 0 || e.User.Name == "root":
		return e.User, Root
	}
	return e.User, Service
}

// maxRemembered bounds what a Reader remembers of one kind; at the bound it forgets all.
const maxRemembered = 4096

// Ran is what an exec ran under a rule.
type Ran struct {
	Program string
	Args    []string // after the program's name
	Tools   []string // the rule's programs
}

// Match describes an exec. zone is the time zone of the host.
func (r *Reader) Match(e *process.Event, ran Ran, zone *time.Location) Match {
	l := Match{At: e.Time, line: e.CommandLine, args: e.Args}
	var who process.User
	who, l.Class = whose(e)
	l.Who, l.Name = Account{r.hold(e.Container.Identity()), r.account(who)}, who.Name
	l.values[As] = self
	if e.User != who {
		if as := r.account(e.User); as != l.Who.ID {
			l.values[As] = as
		}
	}
	l.values[Parent] = r.parent(e, l.Class)
	l.values[SystemLogin] = noEvidence
	if l.Class == Person {
		l.values[SystemLogin] = systemLogin(who, e.Session.NoShell)
	}
	l.values[Disguise], l.values[Session] = r.disguise(e, ran), noEvidence
	l.values[TTY] = noTerminal
	if e.Interactive || e.TTY != "" {
		l.values[TTY] = terminal
	}
	l.values[Entry] = r.hold(e.Session.Entry)
	l.values[Network], l.values[NetworkWide] = r.network(e.Session.Source)
	l.values[Origin] = origin(e.Session.Source)
	l.values[Command] = r.command(ran.Program, ran.Args)
	l.values[Folder] = r.hold(folder(e.CWD, e.Session.User.Name, e.User.Name))
	local := e.Time.In(zone)
	l.Hour = local.Hour()
	l.values[Week] = workday
	if d := local.Weekday(); d == time.Saturday || d == time.Sunday {
		l.values[Week] = weekend
	}
	return l
}

var (
	noEvidence = unique.Make("") // no evidence, and nothing to learn
	self       = unique.Make("self")
	terminal   = unique.Make("terminal")
	noTerminal = unique.Make("none")
	workday    = unique.Make("workday")
	weekend    = unique.Make("weekend")
	noNetwork  = unique.Make("none")

	local   = unique.Make("local")
	inside  = unique.Make("a private network")
	outside = unique.Make("the Internet")

	ofPerson = unique.Make("a person's account")
	ofSystem = unique.Make("a system account")

	plain       = unique.Make("in the open")
	nothing     = unique.Make("")
	renamedTool = unique.Make("under another name")
	deleted     = unique.Make("a deleted file")
	inMemory    = unique.Make(process.InMemory)
	byLoader    = unique.Make("through the dynamic loader")
	inTemporary = unique.Make(process.InTemporary)
	inHome      = unique.Make(process.InHome)
	inHidden    = unique.Make(process.InHidden)
)

// maxValue bounds a value in bytes.
const maxValue = 256

// hold holds a value that a hostile process may have chosen.
func (r *Reader) hold(s string) text {
	if s == "" {
		return nothing
	}
	s = s[:min(len(s), maxValue)]
	near := &r.near[placeOf(s)]
	if *near != (text{}) && near.Value() == s {
		return *near // as mostly, without a search
	}
	t, known := r.texts[s]
	if !known {
		t = unique.Make(strings.ToValidUTF8(s, "\uFFFD"))
		r.texts = remember(r.texts, strings.Clone(s), t)
	}
	*near = t
	return t
}

// placeOf is where a text that is not empty is found without a search, unless another one was there later.
func placeOf(s string) uint8 {
	n := len(s)
	h := uint32(s[0]) | uint32(s[n/2])<<8 | uint32(s[n-1])<<16 | uint32(n)<<24
	return uint8(h * 0x9e3779b1 >> 24)
}

// account is a user by id, by name where no id is known.
func (r *Reader) account(u process.User) text {
	if u.ID == process.Unset {
		return r.hold(u.Name)
	}
	id, known := r.ids[u.ID]
	if !known {
		id = unique.Make(strconv.FormatUint(uint64(u.ID), 10))
		r.ids = remember(r.ids, u.ID, id)
	}
	return id
}

func remember[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil || len(m) >= maxRemembered {
		m = map[K]V{}
	}
	m[k] = v
	return m
}

// unversioned is a program's name without its version: python3.11 and python3.12 are one.
func unversioned(name string) string {
	end := len(name)
	for end > 0 && (name[end-1] >= '0' && name[end-1] <= '9' || name[end-1] == '.' || name[end-1] == '-') {
		end--
	}
	if end == 0 {
		return name
	}
	return name[:end]
}

// origin is the kind of network that an address is of.
func origin(a netip.Addr) text {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsLoopback():
		return local
	case a.IsPrivate() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a):
		return inside
	}
	return outside
}

// sharedSpace are the addresses of carriers and overlay networks (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// lastSystemID is the highest user id of an account that a distribution or a package makes (SYS_UID_MAX of
// /etc/login.defs). From firstDynamic on systemd makes the users of units (https://systemd.io/UIDS-GIDS), and Debian
// has given ids to daemons for good (policy, 9.2.2: slurm is 64030); nobodyID is the last of these, and stands for no
// account.
const (
	lastSystemID = 999
	firstDynamic = 61184
	nobodyID     = 65534
)

// systemLogin says whether somebody logged in whose account is for daemons: such an account has no password, and often
// no shell (ATT&CK T1078.003, T1098). One that is known to have none is such an account, whatever its user id.
func systemLogin(login process.User, noShell bool) text {
	switch {
	case noShell:
		return ofSystem
	case login.ID == process.Unset:
		return noEvidence
	case login.ID > 0 && login.ID <= lastSystemID, login.ID >= firstDynamic && login.ID <= nobodyID:
		return ofSystem
	}
	return ofPerson
}

// disguise is how a tool hides what it is (ATT&CK T1036, T1564); plain where it does not.
func (r *Reader) disguise(e *process.Event, ran Ran) text {
	file := path.Base(e.Executable)
	switch {
	case e.Executable == "":
		return noEvidence
	case process.IsInMemory(e.Executable):
		return inMemory
	case e.Deleted:
		return deleted
	case file == "busybox" || file == "toybox":
	case process.IsLoader(file):
		return byLoader
	case file != ran.Program || process.IsEmulator(file) || e.CalledOtherwise(ran.Tools):
		return renamedTool
	}
	where, known := r.places[e.Executable]
	if !known {
		where = plain
		if p := process.Place(e.Executable); p != "" {
			where = unique.Make(p)
		}
		r.places = remember(r.places, strings.Clone(e.Executable), where)
	}
	if where == plain {
		return placed(e.Place, plain)
	}
	return where
}

// placed is what the file system says of an executable's folder, in the words of process.Place; else where it says
// nothing.
func placed(place string, otherwise text) text {
	switch place {
	case process.InTemporary:
		return inTemporary
	case process.InHome:
		return inHome
	}
	return otherwise
}

// Disguised is how the tool hides what it is, in words; empty where it does not.
func (l *Match) Disguised() string {
	if v := l.values[Disguise]; v != noEvidence && v != plain {
		return v.Value()
	}
	return ""
}

// parent is the name of the program that started the tool, with where it lies when that is a place of its user's
// choice: a copy of a shell in /tmp is not the agent that it is called after. Where a package puts it is no part of it,
// so that upgrades and moves change nothing. Whether cron has started it is: the jobs of an interpreter are none of
// its daemons.
func (r *Reader) parent(e *process.Event, class Class) text {
	file := cmp.Or(e.Starter, e.Parent.Executable)
	if file == "" {
		return r.hold(unversioned(e.Parent.Name))
	}
	of := starter{file, placed(e.StarterPlace, nothing), class != Person && e.Session.Entry == process.EntryCron}
	p, known := r.parents[of]
	if !known {
		name := unversioned(path.Base(file))
		switch where := cmp.Or(process.Place(file), of.placed.Value()); where {
		case "":
		case process.InMemory:
			name += ", " + where
		default:
			name += " " + where
		}
		if of.scheduled {
			name += underCron
		}
		p = r.hold(name)
		of.file = strings.Clone(file)
		r.parents = remember(r.parents, of, p)
	}
	return p
}

// network is the narrow and the wide network of an address.
func (r *Reader) network(a netip.Addr) (narrow, wide text) {
	if !a.IsValid() {
		return noNetwork, noNetwork
	}
	if n, known := r.networks[a]; known {
		return n[0], n[1]
	}
	bits := [2]int{24, 16}
	if a.Unmap().Is6() {
		bits = [2]int{64, 48}
	}
	var n [2]text
	for i := range n {
		p, _ := a.Unmap().Prefix(bits[i]) // it fits
		n[i] = unique.Make(p.String())
	}
	r.networks = remember(r.networks, a, n)
	return n[0], n[1]
}

// command is normal of what may have come before.
func (r *Reader) command(program string, args []string) text {
	r.buffer = append(r.buffer[:0], program...)
	for _, a := range args {
		r.buffer = append(append(r.buffer, 0), a...)
		if len(r.buffer) > maxCommand {
			return r.hold(normal(program, args))
		}
	}
	if c, known := r.commands[string(r.buffer)]; known {
		return c
	}
	c := r.hold(normal(program, args))
	r.commands = remember(r.commands, string(r.buffer), c)
	return c
}

// maxCommand is how long a command line may be to be remembered, in bytes.
const maxCommand = 512

// normal is a command line without what changes from call to call: its options as a set, all else by its kind.
func normal(program string, args []string) string {
	line := []string{program}
	var letters, words []string
	for _, a := range args {
		switch {
		case strings.HasPrefix(a, "--"):
			name, _, _ := strings.Cut(a, "=")
			words = append(words, name)
		case strings.HasPrefix(a, "-") && len(a) > 1:
			letters = append(letters, strings.Split(a[1:], "")...)
		case a != "" && strings.Trim(a, "0123456789") == "":
			words = append(words, "<number>")
		default:
			kind := "<word>"
			if _, err := netip.ParseAddr(a); err == nil {
				kind = "<address>"
			}
			words = append(words, kind)
		}
		if len(letters)+len(words) > maxWords {
			break
		}
	}
	if len(letters) > 0 {
		slices.Sort(letters)
		line = append(line, "-"+strings.Join(slices.Compact(letters), ""))
	}
	slices.Sort(words)
	return strings.Join(append(line, slices.Compact(words)...), " ")
}

// maxWords bounds what is kept of a hostile command line.
const maxWords = 32

func folder(cwd, login, user string) string {
	for _, who := range []string{login, user} {
		if rest, home := strings.CutPrefix(cwd, "/home/"); home && who != "" {
			if rest, own := strings.CutPrefix(rest, who); own && (rest == "" || rest[0] == '/') {
				return "~"
			}
		}
	}
	return cwd
}

// Text is a part's value of the match, a part up to Hour.
func (l *Match) Text(part int) string {
	switch part {
	case Hour:
		return strconv.Itoa(l.Hour)
	case Session:
		var names []string
		for _, u := range l.unlike {
			if u.evidence > 0 {
				names = append(names, u.program.Value())
			}
		}
		return strings.Join(names, ", ")
	}
	return l.Value(part)
}

// Describe says a part's value in words, as one of a list of circumstances. text is what Match.Text says of it.
func Describe(part int, text string) string {
	switch part {
	case As:
		switch text {
		case self.Value():
			return "as themselves"
		case "0":
			return "as root"
		}
		return "as user " + text
	case Parent:
		if text == "" {
			return "unknown parent"
		}
		return "parent " + text
	case TTY:
		if text == terminal.Value() {
			return "on a terminal"
		}
		return "no terminal"
	case Entry:
		return "came in by " + cmp.Or(text, "an unknown way")
	case Network, NetworkWide:
		if text == noNetwork.Value() {
			return "from no remote address"
		}
		return "from " + text
	case Command:
		return "command " + text
	case Folder:
		return "in " + cmp.Or(text, "an unknown folder")
	case Week:
		return "on a " + text
	case Origin:
		if text == local.Value() {
			return "from this host"
		}
		return "from " + text
	case SystemLogin:
		return text + " that logged in"
	case Disguise:
		return "the tool " + text
	case Session:
		if text == "" {
			return "the session's other programs"
		}
		return "in the same session " + text
	case Hour:
		hour, _ := strconv.Atoi(text)
		return fmt.Sprintf("between %02d:00 and %02d:00 local time", hour, (hour+1)%24)
	}
	return PartNames[part]
}
