// SPDX-License-Identifier: Apache-2.0

package sudoers

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// User is an account that is asked about.
type User struct {
	Name   string
	ID     uint32
	Groups []Group
}

// Group is a group that an account is in.
type Group struct {
	Name string
	ID   uint32
}

// Host is the host on which a rule must hold.
type Host struct {
	Name      string // with or without a domain
	Addresses []netip.Prefix
}

// Answer is what a policy allows an account.
type Answer struct {
	Rules      []Rule
	Truncated  bool // there are more
	Incomplete bool // what may allow more is not known
}

// Rule is what one line allows: commands with the same conditions.
type Rule struct {
	Users, Groups []string // as whom; both empty: as root
	Tags          []string // NOPASSWD, NOEXEC ...
	Commands      []string // as they stand in the file; what an exclamation mark stands before is excluded
	root          bool
}

// String is the rule as sudo -l writes it.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString("(" + strings.Join(r.Users, ", "))
	if len(r.Users) == 0 && len(r.Groups) == 0 {
		b.WriteString("root")
	}
	if len(r.Groups) > 0 {
		b.WriteString(" : " + strings.Join(r.Groups, ", "))
	}
	b.WriteString(") ")
	for _, t := range r.Tags {
		b.WriteString(t + ": ")
	}
	return b.String() + strings.Join(r.Commands, ", ")
}

// All reports whether the rule allows every command as root, but for those that it excludes.
func (r Rule) All() bool { return r.root && slices.Contains(r.Commands, "ALL") }

// NoPassword reports whether sudo asks for no password.
func (r Rule) NoPassword() bool { return slices.Contains(r.Tags, "NOPASSWD") }

// Of answers for an account on a host.
func (p *Policy) Of(u User, h Host) Answer {
	q := question{policy: p, user: u, host: h, steps: stepsMost}
	a := Answer{Incomplete: p.Incomplete}
	for i := range p.rules {
		spec := &p.rules[i]
		if !q.matches(users, spec.users, q.isUser) || !q.matches(hosts, spec.hosts, q.isHost) {
			continue
		}
		for _, r := range q.rules(spec) {
			if len(a.Rules) == rulesMost {
				a.Truncated = true
				break
			}
			a.Rules = append(a.Rules, r)
		}
	}
	a.Incomplete = a.Incomplete || q.unknown || q.steps <= 0
	return a
}

// question is an answer in the making.
type question struct {
	policy  *Policy
	user    User
	host    Host
	steps   int  // how many comparisons may still be made
	unknown bool // a netgroup was asked about, or a group that is not of this host's files
}

// matches reports whether a list names what is asked about; the last item that does decides.
func (q *question) matches(kind string, l list, is func(string) bool) bool {
	v, _ := q.decide(kind, l, is, 0)
	return v
}

func (q *question) decide(kind string, l list, is func(string) bool, depth int) (matches, decided bool) {
	for i := len(l) - 1; i >= 0; i-- {
		if q.steps--; q.steps <= 0 || depth > depthMost {
			return false, false
		}
		name := l[i].name
		if members, ok := q.policy.aliases[kind+" "+name]; ok {
			if v, ok := q.decide(kind, members, is, depth+1); ok {
				return v != l[i].not, true
			}
			continue
		}
		if name == "ALL" || is(name) {
			return !l[i].not, true
		}
	}
	return false, false
}

func (q *question) isUser(name string) bool {
	switch {
	case strings.HasPrefix(name, "+"), strings.HasPrefix(name, "%:"):
		q.unknown = true
		return false
	case strings.HasPrefix(name, "%#"):
		return slices.ContainsFunc(q.user.Groups, func(g Group) bool { return isID(name[2:], g.ID) })
	case strings.HasPrefix(name, "%"):
		return slices.ContainsFunc(q.user.Groups, func(g Group) bool { return g.Name == name[1:] })
	case strings.HasPrefix(name, "#"):
		return isID(name[1:], q.user.ID)
	}
	return name == q.user.Name
}

func isID(text string, id uint32) bool { return text == strconv.FormatUint(uint64(id), 10) }

func (q *question) isHost(name string) bool {
	if strings.HasPrefix(name, "+") {
		q.unknown = true
		return false
	}
	if network, err := netip.ParsePrefix(name); err == nil {
		return slices.ContainsFunc(q.host.Addresses, func(a netip.Prefix) bool { return network.Contains(a.Addr()) })
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return slices.ContainsFunc(q.host.Addresses, func(a netip.Prefix) bool { return a.Addr() == addr })
	}
	short, _, _ := strings.Cut(q.host.Name, ".")
	return name != "" && (strings.EqualFold(name, q.host.Name) || strings.EqualFold(name, short))
}

// rules are the rules of one line: its commands, those with the same conditions together.
func (q *question) rules(spec *userSpec) (out []Rule) {
	for i := range spec.commands {
		c := &spec.commands[i]
		r := Rule{Users: q.texts(c.runUsers), Groups: q.texts(c.runGroups), Tags: c.tags}
		r.root = !c.runs || q.matches(runas, c.runUsers, func(name string) bool { return name == "root" || name == "#0" })
		if c.runs && len(c.runUsers) == 0 { // as themselves, with another group
			r.Users = []string{q.user.Name}
		}
		r.Commands = q.expand(nil, commands, c.item, 0)
		if n := len(out); n > 0 && slices.Equal(out[n-1].Users, r.Users) && slices.Equal(out[n-1].Groups, r.Groups) &&
			slices.Equal(out[n-1].Tags, r.Tags) {
			out[n-1].Commands = append(out[n-1].Commands, r.Commands...)
			continue
		}
		out = append(out, r)
	}
	return out
}

// expand writes an item, or those of an alias.
func (q *question) expand(out []string, kind string, it item, depth int) []string {
	if q.steps--; q.steps <= 0 || depth > depthMost {
		return out
	}
	members, ok := q.policy.aliases[kind+" "+it.name]
	if !ok {
		return append(out, text(it))
	}
	for _, m := range members {
		m.not = m.not != it.not
		out = q.expand(out, kind, m, depth+1)
	}
	return out
}

func text(it item) string {
	if it.not {
		return "!" + it.name
	}
	return it.name
}

// texts writes users or groups as whom a command may be run.
func (q *question) texts(l list) (out []string) {
	for _, it := range l {
		out = q.expand(out, runas, it, 0)
	}
	return out
}
