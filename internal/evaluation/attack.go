// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// intrude lets an intruder look a few times, each time as l says, with commands from the pool where it names none.
func (h *host) intrude(kind string, signs []string, l look, own []string) {
	h.visit(kind, signs, 2+h.IntN(4), l, own)
}

// visit is intrude with so many matches.
func (h *host) visit(kind string, signs []string, looks int, l look, own []string) {
	a := &attack{kind: kind, signs: signs, rule: mission}
	h.attacks = append(h.attacks, a)
	if own == nil {
		own = commands
	}
	l.attack = a
	for range looks {
		l.command = pick(h, own)
		h.exec(l)
		l.at = l.at.Add(time.Duration(1+h.ExpFloat64()*30) * time.Second)
	}
}

// late is a moment in the later part of the stream; hour below 0: any hour.
func (h *host) late(hour float64) time.Time {
	if hour < 0 {
		hour = h.between(0, 24)
	}
	return h.moment(int(h.between(0.5, 0.95)*float64(h.days)), hour)
}

// unusedRunner is a shell or an interpreter that the daemons of a user do not start by habit.
func (h *host) unusedRunner(user string) string {
	usual := map[string]bool{}
	for i := range h.looks {
		if l := &h.looks[i]; l.user == user && l.login == "" {
			usual[l.parent] = true
		}
	}
	return pick(h, slices.DeleteFunc(slices.Clone(runners), func(r string) bool { return usual[r] }))
}

// webShell is a service account that starts a shell. known: the account looks by habit, from another parent.
func (h *host) webShell(user string, known bool) {
	signs := []string{"who", "parent"}
	if known {
		signs = signs[1:]
	}
	h.intrude(
		"web shell",
		signs,
		look{
			at:     h.late(-1),
			user:   user,
			parent: h.unusedRunner(user),
			entry:  process.EntryInit,
			folder: pick(h, folders[4:]),
		},
		nil,
	)
}

// rootExploit is a daemon of root that starts a shell.
func (h *host) rootExploit() {
	h.intrude(
		"root exploit",
		[]string{"parent"},
		look{
			at:     h.late(-1),
			user:   "root",
			parent: h.unusedRunner("root"),
			entry:  process.EntryInit,
			folder: pick(h, folders[4:]),
		},
		nil,
	)
}

// stolenAccount is somebody else behind a person's login, with two signs of four, or more.
func (h *host) stolenAccount(name string) {
	h.stolen(name, sample(h, []string{"address", "hour", "parent", "terminal"}, pick(h, []int{2, 2, 3, 4})))
}

// stolen is somebody else behind a person's login, with these signs.
func (h *host) stolen(name string, signs []string) {
	p := h.people[name]
	slices.Sort(signs)
	l := look{
		user:   name,
		login:  name,
		parent: p.shell,
		tty:    true,
		entry:  process.EntrySSHD,
		source: pick(h, p.sources),
		folder: pick(h, folders),
	}
	hour := h.around(p.hours[0], p.hours[1])
	for _, sign := range signs {
		switch sign {
		case "address":
			l.source = h.elsewhere()
		case "hour":
			hour = math.Mod(p.hours[1]+h.between(4, 10), 24)
		case "parent":
			l.parent = pick(h,
				slices.DeleteFunc(slices.Concat(shells, runners), func(s string) bool { return s == p.shell }))
		case "terminal":
			l.tty = false
		}
	}
	l.at = h.late(hour)
	h.intrude("stolen account", signs, l, nil)
}

// dormantAccount is an account that looked on one day, long ago, and comes back with somebody else.
func (h *host) dormantAccount(name string, day int) {
	p := h.newPerson(name)
	h.works(p, 5, day, day+1)
	l := look{
		at:     h.moment(int(h.between(0.75, 0.95)*float64(h.days)), h.between(0, 24)),
		user:   name,
		login:  name,
		parent: p.shell,
		tty:    true,
		entry:  process.EntrySSHD,
		source: pick(h, p.sources),
		folder: pick(h, folders),
	}
	sign := pick(h, []string{"address", "parent"})
	if sign == "address" {
		l.source = h.elsewhere()
	} else {
		l.parent = pick(h, slices.DeleteFunc(slices.Clone(shells), func(s string) bool { return s == p.shell }))
	}
	h.intrude("dormant account", []string{"silence", sign}, l, nil)
}

// backdoor is an account that an intruder made.
func (h *host) backdoor(name string) {
	h.intrude(
		"backdoor account",
		[]string{"who", "address"},
		look{
			at:     h.late(-1),
			user:   name,
			login:  name,
			parent: pick(h, shells),
			tty:    h.chance(0.7),
			entry:  process.EntrySSHD,
			source: h.elsewhere(),
			folder: pick(h, folders),
		},
		nil,
	)
}

// insider is somebody of the house who has an account and never looked: at noon, from the office.
func (h *host) insider(name string) {
	h.intrude(
		"insider",
		[]string{"who"},
		look{
			at:     h.late(h.between(11, 14)),
			user:   name,
			login:  name,
			parent: pick(h, shells),
			tty:    true,
			entry:  process.EntrySSHD,
			source: h.address(pick(h, h.networks)),
			folder: "~",
		},
		nil,
	)
}

// mimic does what the person does whose account it is: at noon, from the office, with their shell, folders and
// commands.
func (h *host) mimic(name string) {
	p := h.people[name]
	h.intrude(
		"mimic",
		nil,
		look{
			at:     h.late(h.between(11, 14)),
			user:   name,
			login:  name,
			parent: p.shell,
			tty:    true,
			entry:  process.EntrySSHD,
			source: pick(h, p.sources),
			folder: pick(h, p.folders),
		},
		p.commands,
	)
}

// neutral are the features that ablation takes an attack's sign of: how a match gets another's. begun is when the
// attack began.
var neutral = map[string]func(l, from *look, begun time.Time){
	"as": func(l, from *look, _ time.Time) {
		if l.user = from.user; from.user == from.login {
			l.user = l.login
		}
	},
	"parent":  func(l, from *look, _ time.Time) { l.parent = from.parent },
	"tty":     func(l, from *look, _ time.Time) { l.tty = from.tty },
	"entry":   func(l, from *look, _ time.Time) { l.entry = from.entry },
	"network": func(l, from *look, _ time.Time) { l.source = from.source },
	"command": func(l, from *look, _ time.Time) { l.command = from.command },
	"folder":  func(l, from *look, _ time.Time) { l.folder = from.folder },
	"hour": func(l, from *look, begun time.Time) {
		y, m, d := begun.Date()
		l.at = l.at.Add(
			time.Date(y, m, d, from.at.Hour(), from.at.Minute(), from.at.Second(), 0, begun.Location()).Sub(begun))
	},
}

// ablate draws one feature of each attack anew, from what the same account did before, or, where it did nothing,
// another of its kind: once for the attack, the command for each match.
func (h *host) ablate(feature string) {
	var seen []look
	drawn := map[*attack]*look{}
	begun := map[*attack]time.Time{}
	for i := range h.looks {
		l := &h.looks[i]
		if l.attack == nil {
			seen = append(seen, *l)
			continue
		}
		if drawn[l.attack] == nil {
			begun[l.attack] = l.at
		}
		if drawn[l.attack] == nil || feature == "command" {
			same := func(x *look) bool { return x.user == l.user && x.login == l.login }
			if l.login != "" {
				same = func(x *look) bool { return x.login == l.login }
			}
			from := anyOf(h, seen, same)
			if from == nil {
				from = anyOf(h, seen, func(x *look) bool { return (x.login == "") == (l.login == "") })
			}
			drawn[l.attack] = from
		}
		if from := drawn[l.attack]; from != nil {
			neutral[feature](l, from, begun[l.attack])
		}
	}
	h.sorted()
}

func anyOf(h *host, from []look, fits func(*look) bool) *look {
	var found []*look
	for i := range from {
		if fits(&from[i]) {
			found = append(found, &from[i])
		}
	}
	if len(found) == 0 {
		return nil
	}
	return pick(h, found)
}
