// SPDX-License-Identifier: Apache-2.0

// Package account reads what this host's files know of an account, for the alert about it: its groups, what sudo allows
// it, its shell, whether it is a person's, locked or expired, and when its key file and the files of accounts changed.
// No hash of a password leaves the function that reads it.
//
// It reads passwd(5), group(5), shadow(5), login.defs(5) and sudoers(5), none above a stated size, runs no command, and
// asks no directory server. What lies in the account's home directory is read by a goroutine of its own and waited for
// no longer than a stated time; nothing on a network, FUSE or automounted file system is read.
package account

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/host/executable"
	"github.com/reconbeat/reconbeat/internal/host/sudoers"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// Whose an account is.
const (
	Root   = "root"
	System = "system" // a daemon's: below UID_MIN of login.defs, or above UID_MAX
	Person = "person"
)

// What an account's password is.
const (
	PasswordSet    = "set"
	PasswordNone   = "none"   // none was ever set: no password opens the account
	PasswordLocked = "locked" // one is set, and was locked (usermod -L)
	PasswordEmpty  = "empty"  // anybody may log in without one where PAM allows that
)

// Why a key file was not read.
const (
	Remote = "remote" // the home directory is on a network, FUSE or automounted file system
	Late   = "late"   // it was not read within HomeWait
	Failed = "failed" // it cannot be read, or is no plain file within the home directory
)

// Bounds of what is read.
const (
	// HomeWait is how long Of waits for what lies in a home directory.
	HomeWait = race.Slower * 200 * time.Millisecond
	// Kept is for how long an answer holds while the host's files stay the same.
	Kept       = 10 * time.Second
	fileMost   = 4 << 20 // of one file, in bytes
	keysMost   = 1 << 20 // of a key file, in bytes
	groupsMost = 64      // of an account
	keptMost   = 64      // answers
	// entriesMost is how many lines of passwd(5) are remembered.
	entriesMost = 1024
)

// Account is what the host knows of an account. Times are zero, and texts empty, where it knows nothing.
type Account struct {
	Local     bool // it stands in passwd(5): what is said of shell, class and password is known only then
	Class     string
	Shell     string
	Groups    []string // the primary one first
	Password  string
	Set       time.Time // the day on which the password was set
	Expires   time.Time // the day on which the account ends
	Expired   bool      // it has ended, or its password was not changed in time
	Sudo      sudoers.Answer
	Keys      Keys
	HomeSince time.Time            // when the home directory was made
	Unread    error                // why a part of this is missing; nil: none is
	Changed   map[string]time.Time // when each of Files was last written: no account changed after it
}

// Keys are the keys that open an account by ssh: ~/.ssh/authorized_keys.
type Keys struct {
	Changed time.Time // zero: there are none
	Count   int
	Unread  string // why they were not read, one of the constants above; empty: they were
}

// Files are those in which accounts, and what they may do, stand: their names in documents, and their paths.
var Files = map[string]string{
	"passwd": "/etc/passwd", "shadow": "/etc/shadow", "group": "/etc/group", "sudoers": sudoers.File,
}

// Reader reads accounts of this host. It belongs to one goroutine.
type Reader struct {
	root     string
	owner    uint32 // of sudo's files
	hostname func() (string, error)
	mark     mark
	kept     map[question]answer
	entries  map[uint32]Entry // of passwd(5), in the state of passwd; without a name: it has none
	passwd   unix.Timespec
	late     chan Keys // of the home directory that was last waited for in vain; nil: none
}

type question struct {
	id   uint32
	name string
}

type answer struct {
	Account
	at time.Time
}

// mark is different for different states of the host's files.
type mark [5]unix.Timespec

// New makes a Reader of the host whose files are under root.
func New(root string) *Reader {
	return &Reader{root: root, hostname: os.Hostname, kept: map[question]answer{}}
}

// Of says what the host knows at a time of the account with an id or, where that is unknown (process.Unset), a name.
func (r *Reader) Of(id uint32, name string, at time.Time) Account {
	if m := r.state(); m != r.mark || len(r.kept) >= keptMost {
		r.mark = m
		clear(r.kept)
	}
	q := question{id, name}
	if a, ok := r.kept[q]; ok && at.Sub(a.at).Abs() < Kept {
		return a.Account
	}
	a := r.read(id, name, at)
	r.kept[q] = answer{Account: a, at: at}
	return a
}

// Entry is what passwd(5) has of an account.
type Entry struct {
	Name, Home, Shell string
	Group             uint32
}

// LetsNobodyIn reports whether the account's shell ends every login: nologin(8), or false(1).
func (e Entry) LetsNobodyIn() bool {
	shell := filepath.Base(e.Shell)
	return shell == "nologin" || shell == "false"
}

// Entry returns the line of passwd(5) that the account with an id has.
func (r *Reader) Entry(id uint32) (Entry, bool) {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(r.root, Files["passwd"]), &st) != nil {
		return Entry{}, false
	}
	if st.Ctim != r.passwd || len(r.entries) >= entriesMost || r.entries == nil {
		r.passwd, r.entries = st.Ctim, map[uint32]Entry{}
	}
	entry, known := r.entries[id]
	if !known {
		text, _ := r.file(Files["passwd"])
		wanted := strconv.FormatUint(uint64(id), 10)
		if p, ok := find(text, 7, func(f []string) bool { return f[2] == wanted }); ok {
			entry = Entry{Name: p[0], Home: p[5], Shell: p[6]}
			entry.Group, _ = number(p[3])
		}
		r.entries[id] = entry
	}
	return entry, entry.Name != ""
}

// state is the state that the host's files are in.
func (r *Reader) state() (m mark) {
	for i, path := range []string{"/etc/passwd", "/etc/shadow", "/etc/group", sudoers.File, "/etc/sudoers.d"} {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(r.root, path), &st) == nil {
			m[i] = st.Ctim
		}
	}
	return m
}

func (r *Reader) read(id uint32, name string, at time.Time) (a Account) {
	passwd, unread := r.file("/etc/passwd")
	group, err := r.file("/etc/group")
	unread = errors.Join(unread, err)
	user := sudoers.User{Name: name, ID: id}
	if p, ok := find(passwd, 7, func(f []string) bool {
		return id != process.Unset && f[2] == strconv.FormatUint(uint64(id), 10) || id == process.Unset && f[0] == name
	}); ok {
		user.Name = p[0]
		user.ID, _ = number(p[2])
		primary, _ := number(p[3])
		a.Local, a.Shell, a.Class = true, p[6], r.class(user.ID)
		if a.Shell == "" {
			a.Shell = "/bin/sh" // passwd(5)
		}
		user.Groups = append(user.Groups, sudoers.Group{Name: groupName(group, primary), ID: primary})
		unread = errors.Join(unread, r.shadow(&a, p, at))
		r.home(&a, p[5])
	}
	if user.Name != "" {
		user.Groups = append(user.Groups, memberships(group, user.Name)...)
	}
	for _, g := range user.Groups {
		if g.Name == "" {
			g.Name = strconv.FormatUint(uint64(g.ID), 10)
		}
		if !slices.Contains(a.Groups, g.Name) && len(a.Groups) < groupsMost {
			a.Groups = append(a.Groups, g.Name)
		}
	}
	unread = errors.Join(unread, r.sudo(&a, user))
	if unread != nil {
		a.Unread = fmt.Errorf("reading this host's accounts: %w", unread)
	}
	a.Changed = map[string]time.Time{}
	for name, path := range Files {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(r.root, path), &st) == nil {
			a.Changed[name] = time.Unix(st.Mtim.Unix()).UTC().Truncate(time.Millisecond)
		}
	}
	return a
}

// file reads one of the host's files.
func (r *Reader) file(path string) ([]byte, error) {
	f, err := os.Open(filepath.Join(r.root, path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileMost+1))
	if err == nil && len(text) > fileMost {
		err = fmt.Errorf("%s is larger than %d MiB", path, fileMost>>20)
	}
	return text, err
}

// find returns the first line of fields, as many as are wanted and parted by colons, that is.
func find(text []byte, fields int, is func([]string) bool) ([]string, bool) {
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimRight(string(line), "\n"), ":")
		if len(f) >= fields && is(f) {
			return f, true
		}
	}
	return nil, false
}

func number(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return process.Unset, false
	}
	return uint32(n), true
}

func groupName(group []byte, id uint32) string {
	g, _ := find(group, 3, func(f []string) bool { return f[2] == strconv.FormatUint(uint64(id), 10) })
	if g == nil {
		return ""
	}
	return g[0]
}

// memberships are the groups that name a user.
func memberships(group []byte, name string) (out []sudoers.Group) {
	for line := range bytes.Lines(group) {
		f := strings.Split(strings.TrimRight(string(line), "\n"), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		id, _ := number(f[2])
		out = append(out, sudoers.Group{Name: f[0], ID: id})
	}
	return out
}

// class says whose an account is, by the range that login.defs has for people.
func (r *Reader) class(id uint32) string {
	least, most := uint32(1000), uint32(60000)
	if text, err := r.file("/etc/login.defs"); err == nil {
		for line := range bytes.Lines(text) {
			words := strings.Fields(string(line))
			if len(words) < 2 {
				continue
			}
			n, ok := number(words[1])
			switch {
			case ok && words[0] == "UID_MIN":
				least = n
			case ok && words[0] == "UID_MAX":
				most = n
			}
		}
	}
	switch {
	case id == 0:
		return Root
	case id < least || id > most:
		return System
	}
	return Person
}

// shadow reads the account's password: whether there is one, since when, and until when. p is its line in passwd.
func (r *Reader) shadow(a *Account, p []string, at time.Time) error {
	text, err := r.file("/etc/shadow")
	if err != nil {
		return err
	}
	s, ok := find(text, 8, func(f []string) bool { return f[0] == p[0] })
	if !ok {
		a.Password = password(p[1])
		return nil
	}
	a.Password = password(s[1])
	today := days(at)
	set, isSet := day(s[2])
	if isSet && set > 0 {
		a.Set = date(set)
	}
	if ends, ok := day(s[7]); ok {
		a.Expires, a.Expired = date(ends), ends <= today
	}
	most, ok := day(s[4])
	if idle, isIdle := day(s[6]); ok && isIdle && isSet && most < 99999 && set+most+idle < today {
		a.Expired = true // shadow(5): the password is too old, and was so for too long
	}
	return nil
}

// password says what a password field is. The field itself goes nowhere.
func password(field string) string {
	switch {
	case field == "":
		return PasswordEmpty
	case strings.HasPrefix(field, "!") && strings.Contains(field, "$"):
		return PasswordLocked
	case strings.HasPrefix(field, "$"), strings.HasPrefix(field, "_"), len(field) == 13:
		return PasswordSet
	}
	return PasswordNone // *, !, !!, !*, x and the like: no hash is ever equal to them
}

func days(at time.Time) int64 { return at.Unix() / 86400 }

func day(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	return n, err == nil && n >= 0
}

func date(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }

// sudo asks what sudo allows a user.
func (r *Reader) sudo(a *Account, user sudoers.User) error {
	name, err := r.hostname()
	if err != nil {
		a.Sudo.Incomplete = true
		return fmt.Errorf("asking for this host's name: %w", err)
	}
	p, err := sudoers.Read(sudoers.Options{Root: r.root, Owner: r.owner, Host: name})
	if err != nil {
		a.Sudo.Incomplete = true
		return err
	}
	a.Sudo = p.Of(user, sudoers.Host{Name: name, Addresses: addresses()})
	a.Sudo.Incomplete = a.Sudo.Incomplete || !a.Local || r.directory()
	return nil
}

// directory says whether sudo has rules from elsewhere than files, as nsswitch.conf says.
func (r *Reader) directory() bool {
	text, err := r.file("/etc/nsswitch.conf")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("sudoers:")); ok {
			return strings.Join(strings.Fields(string(rest)), " ") != "files"
		}
	}
	return false
}

// addresses are those of this host's interfaces, without loopback, as sudo compares them.
func addresses() (out []netip.Prefix) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, p)
		}
	}
	return out
}

// home reads what lies in the account's home directory. While a directory that it waited for in vain does not answer,
// it waits for none: a server that is away holds nobody up again.
func (r *Reader) home(a *Account, path string) {
	if r.late != nil {
		select {
		case <-r.late:
			r.late = nil
		default:
			a.Keys.Unread = Late
			return
		}
	}
	done := make(chan Keys, 1)
	go func() { done <- readHome(filepath.Join(r.root, path)) }()
	select {
	case a.Keys = <-done:
	case <-time.After(HomeWait):
		a.Keys.Unread, r.late = Late, done
	}
}

// autofs is the type of a file system that mounts what is asked for (linux/magic.h, AUTOFS_SUPER_MAGIC).
const autofs = 0x0187

func readHome(path string) Keys {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Keys{} // no home directory, and no keys in it
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return Keys{Unread: Failed}
	}
	if kind := int64(fs.Type); kind == autofs || executable.Remote(kind) { //nolint:unconvert // differs by architecture
		return Keys{Unread: Remote}
	}
	dir, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return Keys{Unread: Failed}
	}
	defer dir.Close()
	return keys(dir)
}

// keys reads a key file. Whoever owns the directory may put anything there: it is read only as a plain file in it.
func keys(dir *os.Root) Keys {
	const name = ".ssh/authorized_keys"
	f, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case os.IsNotExist(err):
		return Keys{}
	case err != nil:
		return Keys{Unread: Failed}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > keysMost {
		return Keys{Unread: Failed}
	}
	text, err := io.ReadAll(io.LimitReader(f, keysMost))
	if err != nil {
		return Keys{Unread: Failed}
	}
	k := Keys{Changed: info.ModTime().UTC().Truncate(time.Millisecond)}
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			k.Count++
		}
	}
	return k
}
