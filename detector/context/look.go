// SPDX-License-Identifier: Apache-2.0

package context

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

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

// The parts of a surprise. Those before Hour are the features of a Look, values without an order.
const (
	As          = iota // whom the actor acts as
	Parent             // the program that started the tool, without its version
	Starter            // what kind of program that is: a shell, an interpreter, another
	TTY                // a terminal, or none
	Entry              // the way in
	Network            // the remote network: /24, or /64 of IPv6
	NetworkWide        // a wider one: /16, or /48
	Command            // the command line, normalised
	Folder             // the working folder
	Week               // a working day, or a weekend
	Hour               // the hour of the day
	Silence            // how long the actor has not looked
	Newness            // the actor was never seen
	Parts              // how many there are

	features = Hour
)

// PartNames are the names of the parts, as fields and explanations have them.
var PartNames = [Parts]string{"as", "parent", "starter", "tty", "entry", "network", "network_wide", "command", "folder", "week", "hour", "silence", "actor"}

// Look is an exec as the Model sees it. Its strings may be views into the event.
type Look struct {
	At     time.Time
	Actor  string
	Class  Class
	Values [features]string
	Hour   int // 0 to 23, of the host's day
}

// LookOf describes an exec of program with args, the arguments after its name. zone is the host's time zone.
func LookOf(e *process.Event, program string, args []string, zone *time.Location) Look {
	l := Look{At: e.Time}
	switch login := e.Session.User; {
	case login.Known() && e.Session.Entry != process.EntryCron:
		l.Actor, l.Class = account(login), Person
	case e.User.ID == 0 || e.User.Name == "root":
		l.Actor, l.Class = account(e.User), Root
	default:
		l.Actor, l.Class = account(e.User), Service
	}
	l.Values[As] = "self"
	if who := account(e.User); who != l.Actor {
		l.Values[As] = who
	}
	parent := e.Parent.Name
	if e.Parent.Executable != "" {
		parent = path.Base(e.Parent.Executable)
	}
	l.Values[Parent] = unversioned(parent)
	l.Values[Starter] = starter(l.Values[Parent])
	l.Values[TTY] = "no"
	if e.Interactive || e.TTY != "" {
		l.Values[TTY] = "yes"
	}
	l.Values[Entry] = e.Session.Entry
	l.Values[Network], l.Values[NetworkWide] = networks(e.Session.Source)
	l.Values[Command] = normal(program, args)
	l.Values[Folder] = folder(e.CWD, e.Session.User.Name, e.User.Name)
	local := e.Time.In(zone)
	l.Hour = local.Hour()
	l.Values[Week] = "workday"
	if d := local.Weekday(); d == time.Saturday || d == time.Sunday {
		l.Values[Week] = "weekend"
	}
	return l
}

// account is a user by id, by name where no id is known.
func account(u process.User) string {
	if u.ID != process.Unset {
		return strconv.FormatUint(uint64(u.ID), 10)
	}
	return u.Name
}

// unversioned is a program's name without its version: python3.11 and python3.12 are one.
func unversioned(name string) string {
	if s := strings.TrimRight(name, "0123456789.-"); s != "" {
		return s
	}
	return name
}

// starter is the kind of a parent. That a service starts tools through a shell or an interpreter is how a web shell looks; that a person does is how people look.
func starter(program string) string {
	switch program {
	case "sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "busybox", "tcsh", "csh":
		return "shell"
	case "python", "perl", "ruby", "php", "php-fpm", "node", "lua", "tclsh", "java", "pwsh", "awk", "gawk", "mawk":
		return "interpreter"
	}
	return "other"
}

func networks(a netip.Addr) (narrow, wide string) {
	if !a.IsValid() {
		return "none", "none"
	}
	a = a.Unmap()
	bits := [2]int{24, 16}
	if a.Is6() {
		bits = [2]int{64, 48}
	}
	n, _ := a.Prefix(bits[0]) // both fit
	w, _ := a.Prefix(bits[1])
	return n.String(), w.String()
}

// normal is a command line without what changes from call to call: its options as a set, what is no option by its kind.
func normal(program string, args []string) string {
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
	slices.Sort(letters)
	slices.Sort(words)
	return strings.Join(slices.Concat([]string{program, strings.Join(slices.Compact(letters), "")}, slices.Compact(words)), " ")
}

// maxWords bounds what is kept of a hostile command line.
const maxWords = 32

func folder(cwd, login, user string) string {
	for _, who := range []string{login, user} {
		if home := "/home/" + who; who != "" && (cwd == home || strings.HasPrefix(cwd, home+"/")) {
			return "~"
		}
	}
	return cwd
}

// Tell says a part's value of the look in words, to follow "unusual:".
func (l *Look) Tell(part int) string {
	switch part {
	case As:
		if l.Values[As] == "self" {
			return "as themselves"
		}
		return "as user " + l.Values[As]
	case Parent:
		return "parent " + l.Values[Parent]
	case TTY:
		if l.Values[TTY] == "yes" {
			return "on a terminal"
		}
		return "no terminal"
	case Entry:
		return "came in by " + cmp.Or(l.Values[Entry], "an unknown way")
	case Network:
		if l.Values[Network] == "none" {
			return "from no remote address"
		}
		return "from " + l.Values[Network]
	case Command:
		return "options " + l.Values[Command]
	case Folder:
		return "in " + cmp.Or(l.Values[Folder], "an unknown folder")
	case Week:
		return "on a " + l.Values[Week]
	case Hour:
		return fmt.Sprintf("between %02d:00 and %02d:00", l.Hour, (l.Hour+1)%24)
	}
	return PartNames[part]
}
