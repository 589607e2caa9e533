// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// intrude lets an intruder run a few tools, each time as m says, with the commands of own, or else of the pool.
func (h *host) intrude(kind string, signs []string, m match, own []string) {
	h.visit(kind, signs, 2+h.IntN(4), m, own)
}

// visit is intrude with so many matches.
func (h *host) visit(kind string, signs []string, matches int, m match, own []string) {
	a := &attack{kind: kind, signs: signs, rule: mission}
	h.attacks = append(h.attacks, a)
	if own == nil {
		own = commands
	}
	m.attack = a
	for range matches {
		m.command = pick(h, own)
		h.exec(m)
		m.at = m.at.Add(time.Duration(1+h.ExpFloat64()*30) * time.Second)
	}
}

// late is a moment in the later part of the stream; hour below 0: any hour.
func (h *host) late(hour float64) time.Time {
	if hour < 0 {
		hour = h.between(0, 24)
	}
	return h.moment(int(h.between(0.5, 0.95)*float64(h.days)), hour)
}

// unusedRunner is a shell or an interpreter that the daemons of a user do not start by habit outside of containers.
func (h *host) unusedRunner(user string) string {
	usual := map[string]bool{}
	for i := range h.matches {
		if m := &h.matches[i]; m.user == user && m.login == "" && m.image == "" {
			usual[m.parent] = true
		}
	}
	return pick(h, slices.DeleteFunc(slices.Clone(runners), func(r string) bool { return usual[r] }))
}

// webShell is a service account that starts a shell. known: the account has a habit of its own, from another parent.
func (h *host) webShell(user string, known bool) {
	signs := []string{"who", "parent"}
	if known {
		signs = signs[1:]
	}
	h.intrude(
		"web shell",
		signs,
		match{
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
		match{
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
	m := h.asStolen(h.people[name], signs)
	h.intrude("stolen account", signs, m, nil)
}

// asStolen is a match of somebody else behind a person's login, with these signs.
func (h *host) asStolen(p *person, signs []string) match {
	slices.Sort(signs)
	m := match{
		user:   p.name,
		login:  p.name,
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
			m.source = h.elsewhere()
		case "hour":
			hour = math.Mod(p.hours[1]+h.between(4, 10), 24)
		case "parent":
			m.parent = pick(h,
				slices.DeleteFunc(slices.Concat(shells, runners), func(s string) bool { return s == p.shell }))
		case "terminal":
			m.tty = false
		}
	}
	m.at = h.late(hour)
	return m
}

// dormantAccount is an account that was active on one day, long ago, and comes back with somebody else.
func (h *host) dormantAccount(name string, day int) {
	p := h.newPerson(name)
	h.works(p, 5, day, day+1)
	m := match{
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
		m.source = h.elsewhere()
	} else {
		m.parent = pick(h, slices.DeleteFunc(slices.Clone(shells), func(s string) bool { return s == p.shell }))
	}
	h.intrude("dormant account", []string{"silence", sign}, m, nil)
}

// backdoor is an account that an intruder made.
func (h *host) backdoor(name string) {
	h.intrude(
		"backdoor account",
		[]string{"who", "address"},
		match{
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

// insider is somebody of the house with an account and without a match so far: at noon, from the office.
func (h *host) insider(name string) {
	h.intrude(
		"insider",
		[]string{"who"},
		match{
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
		match{
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
var neutral = map[string]func(to, from *match, begun time.Time){
	"as": func(to, from *match, _ time.Time) {
		if to.user = from.user; from.user == from.login {
			to.user = to.login
		}
	},
	"parent":  func(to, from *match, _ time.Time) { to.parent = from.parent },
	"tty":     func(to, from *match, _ time.Time) { to.tty = from.tty },
	"entry":   func(to, from *match, _ time.Time) { to.entry = from.entry },
	"network": func(to, from *match, _ time.Time) { to.source = from.source },
	"command": func(to, from *match, _ time.Time) { to.command = from.command },
	"folder":  func(to, from *match, _ time.Time) { to.folder = from.folder },
	"hour": func(to, from *match, begun time.Time) {
		y, m, d := begun.Date()
		to.at = to.at.Add(
			time.Date(y, m, d, from.at.Hour(), from.at.Minute(), from.at.Second(), 0, begun.Location()).Sub(begun))
	},
}

// ablate draws one feature of each attack anew, from what the same account did before, or, where it did nothing,
// another of its kind: once for the attack, the command for each match.
func (h *host) ablate(feature string) {
	var seen []match
	drawn := map[*attack]*match{}
	begun := map[*attack]time.Time{}
	for i := range h.matches {
		m := &h.matches[i]
		if m.attack == nil {
			seen = append(seen, *m)
			continue
		}
		if drawn[m.attack] == nil {
			begun[m.attack] = m.at
		}
		if drawn[m.attack] == nil || feature == "command" {
			same := func(x *match) bool { return x.user == m.user && x.login == m.login }
			if m.login != "" {
				same = func(x *match) bool { return x.login == m.login }
			}
			from := anyOf(h, seen, same)
			if from == nil {
				from = anyOf(h, seen, func(x *match) bool { return (x.login == "") == (m.login == "") })
			}
			drawn[m.attack] = from
		}
		if from := drawn[m.attack]; from != nil {
			neutral[feature](m, from, begun[m.attack])
		}
	}
	h.sorted()
}

func anyOf(h *host, from []match, fits func(*match) bool) *match {
	var found []*match
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
