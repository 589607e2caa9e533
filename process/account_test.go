// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// accountEvent is what somebody did to an account.
func accountEvent(at time.Duration, action string, account User) *Event {
	e := &Event{}
	e.Reset()
	e.Kind, e.Time = AccountChange, time.Unix(1700000000, 0).UTC().Add(at)
	e.Name, e.User.ID, e.Session.User.ID, e.Session.ID = "useradd", 0, 1000, 7
	e.Account = Account{Action: action, User: account}
	return e
}

var (
	ann   = User{ID: 1001, Name: "ann"}
	annID = User{ID: 1001}
	named = User{ID: Unset, Name: "ann"}
)

// Records know an account by its id or by its name; the account's changes are all of them, in their order, with who.
func TestChangesOfAnAccount(t *testing.T) {
	table := NewTable(TableOptions{})
	from := netip.MustParseAddr("192.0.2.9")
	login := accountEvent(0, "", User{ID: Unset})
	login.Kind, login.Session.Source = Login, from
	table.Observe(login)
	table.Observe(accountEvent(1*time.Second, AccountCreated, annID))
	table.Observe(accountEvent(2*time.Second, AccountCreated, annID)) // another record of the same
	password := accountEvent(3*time.Second, AccountPassword, named)
	password.Name, password.Session.User, password.Session.ID = "passwd", User{ID: Unset}, Unset
	table.Observe(password)
	joined := accountEvent(9*time.Second, AccountJoined, named)
	joined.Account.Group = "sudo"
	table.Observe(joined)
	table.Observe(accountEvent(time.Minute, AccountShell, annID))
	elsewhere := accountEvent(0, AccountCreated, annID)
	elsewhere.Host.Name = "web-2"
	table.Observe(elsewhere)

	at := accountEvent(30*time.Second, "", User{})
	admin := User{ID: 1000}
	require.Equal(t, []Changed{
		{Time: at.Time.Add(-29 * time.Second), Action: AccountCreated, By: admin, Program: "useradd", Source: from},
		{Time: at.Time.Add(-27 * time.Second), Action: AccountPassword, By: User{ID: 0}, Program: "passwd"},
		{
			Time: at.Time.Add(-21 * time.Second), Action: AccountJoined, Group: "sudo", By: admin, Program: "useradd",
			Source: from,
		},
	}, table.AccountChanges(at, ann), "what comes later is not there, nor what another host did")
	require.Empty(t, table.AccountChanges(at, User{ID: 1002, Name: "bob"}))
	require.Empty(t, table.AccountChanges(at, User{ID: Unset}))
}

// The latest changes stay, of as many accounts as there is room for.
func TestChangesOfAccountsAreBounded(t *testing.T) {
	table := NewTable(TableOptions{})
	for i := range 3 * accountChanges {
		e := accountEvent(time.Duration(i)*time.Minute, AccountJoined, ann)
		e.Account.Group = fmt.Sprint("g", i)
		table.Observe(e)
	}
	at := accountEvent(time.Hour, "", User{})
	list := table.AccountChanges(at, ann)
	require.Len(t, list, accountChanges)
	require.Equal(t, fmt.Sprint("g", 3*accountChanges-1), list[accountChanges-1].Group)
	for i := range 2 * accounts {
		table.Observe(accountEvent(0, AccountShell, User{ID: 5000 + uint32(i)}))
		failed := accountEvent(0, AccountLoginFailed, User{ID: Unset, Name: fmt.Sprint("guess", i)})
		failed.Session.Source = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		table.Observe(failed)
	}
	require.Empty(t, table.AccountChanges(at, ann), "it made room")
	require.LessOrEqual(t, table.own.accounts.len(), accounts)
	require.LessOrEqual(t, table.own.refused.len(), refused)
}

// Refused logins count by account and by address, each attempt once though sshd and PAM both write of it.
func TestRefusedLogins(t *testing.T) {
	table := NewTable(TableOptions{})
	from := netip.MustParseAddr("203.0.113.5")
	for i := range 3 {
		for _, action := range []string{AccountAuthFailed, AccountLoginFailed} {
			e := accountEvent(time.Duration(i)*time.Second, action, named)
			e.Session.Source = from
			table.Observe(e)
		}
	}
	guess := accountEvent(5*time.Second, AccountAuthFailed, User{ID: Unset, Name: "admin"})
	guess.Session.Source = from
	table.Observe(guess)
	at := accountEvent(time.Minute, "", User{})
	first := at.Time.Add(-time.Minute)
	require.Equal(t, Refused{Count: 3, First: first, Last: first.Add(2 * time.Second), Source: from},
		table.RefusedLogins(at, ann))
	require.Equal(t, Refused{Count: 4, First: first, Last: first.Add(5 * time.Second), Source: from},
		table.RefusedFrom(at, from))
	require.Zero(t, table.RefusedFrom(at, netip.Addr{}))
	require.Zero(t, table.RefusedLogins(at, User{ID: 1002, Name: "bob"}))
	require.Zero(t, table.RefusedLogins(accountEvent(-time.Second, "", User{}), ann), "it was before them")
	require.Zero(t, table.RefusedLogins(accountEvent(RefusedFor+time.Hour, "", User{}), ann), "it was a day after")

	table.Observe(accountEvent(RefusedFor+time.Hour, AccountAuthFailed, named))
	late := table.RefusedLogins(accountEvent(RefusedFor+2*time.Hour, "", User{}), ann)
	require.Equal(t, 1, late.Count, "after a quiet day the count begins anew")
	require.Zero(t, testing.AllocsPerRun(100, func() { table.Observe(guess) }))
}
