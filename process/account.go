// SPDX-License-Identifier: Apache-2.0

package process

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

const (
	// accounts is how many accounts a Table knows changes of: of the host, and of all others.
	accounts = 1024
	// accountChanges is how many changes of one account are kept; the oldest makes room.
	accountChanges = 8
	// refused is of how many accounts and addresses refused logins are counted.
	refused = 4096
	// RefusedFor is for how long nothing must be refused for a count to begin anew.
	RefusedFor = 24 * time.Hour
	// oneAct is within which time two records of the same change are one: programs write several.
	oneAct = 2 * time.Second
)

// Changed is what somebody did to an account.
type Changed struct {
	Time    time.Time
	Action  string // AccountCreated and its like
	Group   string // that the account joined or left; empty: unknown
	By      User   // who did it: the login user, else the real user
	Program string // base name; empty: unknown
	Source  netip.Addr
}

// changed is a Changed as it is kept. Its strings are interned.
type changed struct {
	time                           int64 // in nanoseconds since 1970
	action, group, byName, program string
	by                             uint32
	source                         netip.Addr
}

// accountEntry is what is known of one account.
type accountEntry struct {
	key     uint64 // whose it is, unlike the slab's place, which outlives its holder
	changes [accountChanges]changed
	n       int // how many there ever were
}

// Refused counts logins that were refused. Its zero value: none was.
type Refused struct {
	Count       int
	First, Last time.Time
	Source      netip.Addr // the address of the last that had one
}

// refusals is a Refused as it is kept. A login leaves up to one word of sshd's and one of PAM's.
type refusals struct {
	key           uint64
	first, last   int64
	logins, auths uint32
	source        netip.Addr
}

// What keys of accounts and addresses differ in.
const (
	accountByID   = 0x9fb21c651e98df25 // odd; a user's number is no session's
	accountByName = 0x2545f4914f6cdd1d
	byAddress     = 0x5851f42d4c957f2d
)

// accountKeys are the keys of an account, by its id and by its name; 0: unknown. Sources know one or the other.
func (t *Table) accountKeys(s scope, u User) (keys [2]uint64) {
	if u.ID != Unset {
		keys[0] = s.key(u.ID) ^ accountByID
	}
	if u.Name != "" {
		keys[1] = s.host ^ maphash.String(t.seed, u.Name) ^ accountByName
	}
	return keys
}

func (t *Table) addressKey(s scope, a netip.Addr) uint64 {
	b := a.As16()
	return s.host ^ maphash.Bytes(t.seed, b[:]) ^ byAddress
}

// account notes what an AccountChange event says.
func (t *Table) account(s scope, e *Event) {
	keys := t.accountKeys(s, e.Account.User)
	if e.Account.Action == AccountLoginFailed || e.Account.Action == AccountAuthFailed {
		for _, key := range keys {
			t.refuse(s, key, e)
		}
		if e.Session.Source.IsValid() {
			t.refuse(s, t.addressKey(s, e.Session.Source), e)
		}
		return
	}
	c := changed{
		time: e.Time.UnixNano(), action: t.texts.of(e.Account.Action), group: t.texts.of(e.Account.Group),
		program: t.texts.of(e.Name), by: e.Session.User.ID, byName: t.texts.of(e.Session.User.Name),
		source: e.Session.Source,
	}
	if !e.Session.User.Known() {
		c.by, c.byName = e.User.ID, t.texts.of(e.User.Name)
	}
	if e.Session.ID != Unset && !c.source.IsValid() {
		if session := s.sessions.get(s.key(e.Session.ID)); session != nil {
			c.source = session.Source
		}
	}
	for _, key := range keys {
		if key == 0 {
			continue
		}
		a := s.accounts.put(key)
		if a.key != key {
			*a = accountEntry{key: key}
		}
		if a.n > 0 && a.changes[(a.n-1)%accountChanges].same(&c) {
			continue
		}
		a.changes[a.n%accountChanges] = c
		a.n++
	}
}

// same says whether two records are of one change.
func (c *changed) same(d *changed) bool {
	return c.action == d.action && c.group == d.group && c.by == d.by && c.program == d.program &&
		time.Duration(max(c.time-d.time, d.time-c.time)) <= oneAct
}

func (t *Table) refuse(s scope, key uint64, e *Event) {
	if key == 0 {
		return
	}
	r := s.refused.put(key)
	now := e.Time.UnixNano()
	if r.key != key || now-r.last > int64(RefusedFor) {
		*r = refusals{key: key, first: now}
	}
	r.last = max(r.last, now)
	if e.Session.Source.IsValid() {
		r.source = e.Session.Source
	}
	switch e.Account.Action {
	case AccountLoginFailed:
		r.logins++
	default:
		r.auths++
	}
}

// AccountChanges are the latest changes of an account of the event's host up to the event, the oldest first. They share
// no memory with the Table.
func (t *Table) AccountChanges(e *Event, account User) (out []Changed) {
	s := t.scope(e)
	for _, key := range t.accountKeys(s, account) {
		a := s.accounts.get(key)
		if key == 0 || a == nil || a.key != key {
			continue
		}
		for _, c := range a.changes[:min(a.n, accountChanges)] {
			at := time.Unix(0, c.time).UTC()
			if at.After(e.Time) {
				continue
			}
			out = append(out, Changed{
				Time: at, Action: c.action, Group: c.group, By: User{ID: c.by, Name: c.byName}, Program: c.program,
				Source: c.source,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Changed) int { return a.Time.Compare(b.Time) })
	return out[max(0, len(out)-accountChanges):]
}

// RefusedLogins counts the logins to an account of the event's host that were refused before the event.
func (t *Table) RefusedLogins(e *Event, account User) (r Refused) {
	s := t.scope(e)
	for _, key := range t.accountKeys(s, account) {
		r = r.more(t.refusedBefore(s, key, e))
	}
	return r
}

// RefusedFrom counts the logins from an address to the event's host, to whatever account, that were refused before the
// event.
func (t *Table) RefusedFrom(e *Event, from netip.Addr) Refused {
	if !from.IsValid() {
		return Refused{}
	}
	s := t.scope(e)
	return t.refusedBefore(s, t.addressKey(s, from), e)
}

func (t *Table) refusedBefore(s scope, key uint64, e *Event) Refused {
	r := s.refused.get(key)
	if key == 0 || r == nil || r.key != key {
		return Refused{}
	}
	first, last := time.Unix(0, r.first).UTC(), time.Unix(0, r.last).UTC()
	if first.After(e.Time) || e.Time.Sub(last) > RefusedFor {
		return Refused{}
	}
	return Refused{Count: int(max(r.logins, r.auths)), First: first, Last: last, Source: r.source}
}

// more is the count of the key that knows more: sshd's word has the id of an account, PAM's its name.
func (r Refused) more(s Refused) Refused {
	if s.Count > r.Count {
		return s
	}
	return r
}
