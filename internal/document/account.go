// SPDX-License-Identifier: Apache-2.0

package document

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/process"
)

// The fields of what an alert's actor may do on the host, and what was changed about the account. ECS has user.group
// and user.changes for the user of one event: here it is the actor's account, which sudo hides from user.*, and a list
// of changes with their own times and authors.
const (
	accountField = "reconbeat.account"
	changesField = accountField + ".changes"
	loginsField  = accountField + ".logins_from_source"
	refusedField = accountField + ".refused_logins"
)

// accountFields are these fields by their types in Elasticsearch.
var accountFields = map[string]string{
	accountField + ".class": "keyword", accountField + ".shell": "keyword", accountField + ".groups": "keyword",
	accountField + ".password.state": "keyword", accountField + ".password.changed": "date",
	accountField + ".expires": "date", accountField + ".expired": "boolean", accountField + ".unread": "keyword",
	accountField + ".sudo.rules": "keyword", accountField + ".sudo.all": "boolean",
	accountField + ".sudo.nopasswd": "boolean", accountField + ".sudo.truncated": "boolean",
	accountField + ".sudo.incomplete":         "boolean",
	accountField + ".authorized_keys.changed": "date", accountField + ".authorized_keys.count": "long",
	accountField + ".authorized_keys.unread": "keyword",
	accountField + ".files.passwd":           "date", accountField + ".files.shadow": "date",
	accountField + ".files.group": "date", accountField + ".files.sudoers": "date",
	changesField + ".time": "date", changesField + ".action": "keyword", changesField + ".group.name": "keyword",
	changesField + ".user.id": "keyword", changesField + ".user.name": "keyword",
	changesField + ".process.name": "keyword", changesField + ".source.ip": "ip",
	refusedField + ".count": "long", refusedField + ".first": "date", refusedField + ".last": "date",
	refusedField + ".source.ip": "ip", refusedField + ".from_source": "long",
	loginsField + ".count": "long", loginsField + ".first": "date", loginsField + ".last": "date",
	loginsField + ".since": "date", loginsField + ".other_users": "keyword", "source.port": "long",
}

// maxSudo bounds what an alert says of sudo's rules, in bytes.
const maxSudo = 2 << 10

// addAccount says in an alert what the actor may do on the host, what was changed about the account, and how well it is
// known from the address of its session.
func (m *Maker) addAccount(fields mapstr.M, e *process.Event, from *Source) {
	who, ok := m.account(e)
	if !ok {
		return
	}
	if m.ours(e, from) {
		m.addRights(fields, m.Machine.Account(who, e.Time))
		m.addLogins(fields, e)
	}
	m.addChanges(fields, m.Table.AccountChanges(e, who), m.ours(e, from))
	addRefused(fields, m.Table.RefusedLogins(e, who), m.Table.RefusedFrom(e, e.Session.Source))
}

// account is the account of an exec's actor; false: it is unknown, or a container's, which are not the host's.
func (m *Maker) account(e *process.Event) (process.User, bool) {
	actor := m.Detector.Actor(e)
	who := process.User{ID: actor.ID, Name: actor.Name}
	return who, who.Known() && e.Container.ID == ""
}

func (m *Maker) addRights(fields mapstr.M, a account.Account) {
	m.unread(fields, a.Unread)
	for name, v := range map[string]string{
		".class": a.Class, ".shell": a.Shell, ".password.state": a.Password, ".authorized_keys.unread": a.Keys.Unread,
	} {
		if v != "" {
			put(fields, accountField+name, valid(v))
		}
	}
	times := map[string]time.Time{
		".password.changed": a.Set, ".expires": a.Expires, ".authorized_keys.changed": a.Keys.Changed,
	}
	for name, at := range a.Changed {
		times[".files."+name] = at
	}
	for name, at := range times {
		if !at.IsZero() {
			put(fields, accountField+name, at)
		}
	}
	if len(a.Groups) > 0 {
		groups := make([]string, len(a.Groups))
		for i, g := range a.Groups {
			groups[i] = valid(g)
		}
		put(fields, accountField+".groups", groups)
	}
	if a.Local {
		put(fields, accountField+".expired", a.Expired)
	}
	if !a.Keys.Changed.IsZero() {
		put(fields, accountField+".authorized_keys.count", int64(a.Keys.Count))
	}
	addSudo(fields, a)
}

// unread says in an alert, counts and logs why it lacks a part of what the host knows of the account. nil: it has all.
func (m *Maker) unread(fields mapstr.M, err error) {
	if err == nil {
		return
	}
	put(fields, accountField+".unread", valid(err.Error()))
	if n := m.AccountsUnread.Add(1); seldom(n) {
		m.Logger.Warnf("An alert lacks a part of what this host knows of its account: %v", err)
	}
}

// addLogins says how well the account is known from the address of its session, which it does not count. Of a session
// that began before reconbeat it is not known when it began.
func (m *Maker) addLogins(fields mapstr.M, e *process.Event) {
	s := &e.Session
	if port, ok := m.Machine.Port(s); ok {
		put(fields, "source.port", int64(port))
	}
	if !s.Source.IsValid() || s.User.Name == "" || s.Start.IsZero() {
		return
	}
	known, err := m.Machine.Logins(s.User.Name, s.Source, s.Start.Truncate(time.Second)) // the history has seconds
	m.unread(fields, err)
	if known.Since.IsZero() {
		return // the host has no history
	}
	put(fields, loginsField+".count", int64(known.Logins))
	put(fields, loginsField+".since", known.Since)
	if known.Logins > 0 {
		put(fields, loginsField+".first", known.First)
		put(fields, loginsField+".last", known.Last)
	}
	var others []string
	for _, name := range known.Others {
		others = append(others, valid(name))
		addRelated(fields, "user", valid(name))
	}
	if len(others) > 0 {
		put(fields, loginsField+".other_users", others)
	}
}

func addSudo(fields mapstr.M, a account.Account) {
	var rules []string
	all, nopasswd, size, truncated := false, false, 0, a.Sudo.Truncated
	for _, r := range a.Sudo.Rules {
		all, nopasswd = all || r.All(), nopasswd || r.NoPassword()
		text := valid(r.String())
		if size += len(text); size > maxSudo {
			truncated = true
			continue
		}
		rules = append(rules, text)
	}
	if len(rules) > 0 {
		put(fields, accountField+".sudo.rules", rules)
	}
	for name, v := range map[string]bool{
		"all": all, "nopasswd": nopasswd, "truncated": truncated, "incomplete": a.Sudo.Incomplete,
	} {
		if v {
			put(fields, accountField+".sudo."+name, true)
		}
	}
}

// addChanges says what was changed about an account. names: those of who did it are this host's.
func (m *Maker) addChanges(fields mapstr.M, changes []process.Changed, names bool) {
	var list []mapstr.M
	for i := range changes {
		c := &changes[i]
		if names {
			m.Machine.Name(&c.By)
		}
		one := mapstr.M{"time": c.Time, "action": c.Action}
		for name, v := range map[string]string{
			"group.name": c.Group, "user.name": c.By.Name, "process.name": c.Program, "source.ip": ip(c.Source),
		} {
			if v != "" {
				put(one, name, valid(v))
			}
		}
		if c.By.ID != process.Unset {
			put(one, "user.id", strconv.FormatUint(uint64(c.By.ID), 10))
		}
		if c.By.Name != "" {
			addRelated(fields, "user", valid(c.By.Name))
		}
		list = append(list, one)
	}
	if len(list) > 0 {
		put(fields, changesField, list)
	}
}

func addRefused(fields mapstr.M, account, source process.Refused) {
	if source.Count > 0 {
		put(fields, refusedField+".from_source", int64(source.Count))
	}
	if account.Count == 0 {
		return
	}
	put(fields, refusedField+".count", int64(account.Count))
	put(fields, refusedField+".first", account.First)
	put(fields, refusedField+".last", account.Last)
	if account.Source.IsValid() {
		put(fields, refusedField+".source.ip", ip(account.Source))
		addRelated(fields, "ip", ip(account.Source))
	}
}

// accountValue is a field of the actor's account; of its changes, the values in all that have it; nil: there is none.
func (m *Maker) accountValue(e *process.Event, from *Source, field string) any {
	who, ok := m.account(e)
	if !ok {
		return nil
	}
	fields, ours := mapstr.M{}, m.ours(e, from)
	name, ofChanges := strings.CutPrefix(field, changesField+".")
	switch {
	case ofChanges:
		m.addChanges(fields, m.Table.AccountChanges(e, who), ours)
	case strings.HasPrefix(field, refusedField):
		addRefused(fields, m.Table.RefusedLogins(e, who), m.Table.RefusedFrom(e, e.Session.Source))
	case !ours:
	case strings.HasPrefix(field, loginsField), field == "source.port":
		m.addLogins(fields, e)
	default:
		m.addRights(fields, m.Machine.Account(who, e.Time))
	}
	if !ofChanges {
		v, err := fields.GetValue(field)
		if err != nil {
			return nil
		}
		return v
	}
	list, _ := fields.GetValue(changesField)
	changes, _ := list.([]mapstr.M)
	var values []string
	for _, one := range changes {
		if v, err := one.GetValue(name); err == nil {
			values = append(values, fmt.Sprint(v))
		}
	}
	if values == nil {
		return nil
	}
	return values
}

// addRelated adds what an analyst pivots on to related.*.
func addRelated(fields mapstr.M, kind, value string) {
	list, _ := object(fields, "related")[kind].([]string)
	if !slices.Contains(list, value) {
		object(fields, "related")[kind] = append(slices.Clone(list), value)
	}
}

// valid is a text of the host as a document may have it: of bounded length, and UTF-8.
func valid(text string) string { return cutCommand(strings.ToValidUTF8(text, "\ufffd"), false) }

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.WithZone("").String()
}
