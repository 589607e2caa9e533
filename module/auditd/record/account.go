// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// membersMost is of how many members one record may say that they are a group's.
const membersMost = 64

// account hands on what a record says of an account: that somebody changed it, or failed to log in to it.
//
// The records are those of the shadow utilities, PAM and sshd. What was done stands in op, in words that differ by
// version and distribution ("adding user", "add-user"), and blanks part them without quotes. The account is named by id
// or by acct, rarely by both.
func (a *Assembler) account(typ uint16, millis int64, seq uint64, node, b []byte) error {
	op := operation(b)
	var action string
	var members, group []byte
	switch typ {
	case userLogin:
		action = process.AccountLoginFailed
	case userAuth:
		action = process.AccountAuthFailed
	case acctLock:
		action = process.AccountLocked
	case acctUnlock:
		action = process.AccountUnlocked
	case userAcct:
		action, members, group = gpasswd(op)
	default:
		action = a.action(op)
	}
	if action == "" || typ == delUser && action != process.AccountDeleted {
		return nil // PAM's, at every login, or a part of what another record says, too
	}
	e := &a.login
	e.Reset()
	a.host(e, node)
	e.Kind, e.Time, e.Sequence = process.AccountChange, time.UnixMilli(millis).UTC(), seq
	e.Source, e.Cursor = a.o.Source, a.resume()
	e.Account.Action = action
	failed := a.accountWho(e, b)
	switch refusal := typ == userLogin || typ == userAuth; {
	case refusal && !failed:
		return nil
	case !refusal && failed && !bytes.HasPrefix(op, []byte("updating pass")):
		return nil // usermod -L and -U of shadow 4.13 and earlier write that they failed when they have not
	}
	if members == nil {
		return a.emitAccount(e)
	}
	e.Account.Group, e.Account.User = e.Text(group), process.User{ID: process.Unset}
	for i := 0; i < membersMost && len(members) > 0; i++ {
		var one []byte
		one, members, _ = bytes.Cut(members, []byte(","))
		e.Account.User.Name = e.Text(one)
		if err := a.emitAccount(e); err != nil {
			return err
		}
	}
	return nil
}

// emitAccount hands an event on, unless the record names no account: sshd calls one that does not exist "(invalid
// user)" or "(unknown)", and then its address is what counts.
func (a *Assembler) emitAccount(e *process.Event) error {
	if !e.Account.User.Known() && !e.Session.Source.IsValid() {
		return nil
	}
	return a.emit(e)
}

// accountWho takes from a record which account it is about, and who acted. It reports whether what was tried failed.
func (a *Assembler) accountWho(e *process.Event, b []byte) (failed bool) {
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		switch string(key) {
		case "id":
			e.Account.User.ID = id(v)
		case "acct":
			if a.buf = text(v, a.buf[:0]); len(a.buf) > 0 && a.buf[0] != '(' && a.buf[0] != '?' {
				e.Account.User.Name = e.Text(a.buf)
			}
		case "grp", "new_group":
			a.buf = text(v, a.buf[:0])
			e.Account.Group = e.Text(a.buf)
		case "addr":
			a.buf = text(v, a.buf[:0])
			if addr, err := netip.ParseAddr(e.Text(a.buf)); err == nil {
				e.Session.Source = addr.Unmap()
			}
		case "res":
			failed = string(v) == "failed" || string(v) == "0" || string(v) == "no"
		default:
			a.who(e, key, v)
		}
	}
	return failed
}

// operation is what op says, which may have blanks: up to the next key.
func operation(b []byte) []byte {
	_, b, ok := bytes.Cut(b, []byte("op="))
	if !ok {
		return nil
	}
	if end := bytes.IndexByte(b, '='); end >= 0 {
		b = b[:end]
		b = b[:max(0, bytes.LastIndexByte(b, ' '))]
	}
	return b
}

// action is what an operation of the shadow utilities or PAM does; empty: nothing that counts here, or a part of what
// another record says, too (shadow groups, home directories, mail).
func (a *Assembler) action(op []byte) string {
	a.buf = append(a.buf[:0], op...)
	for i, c := range a.buf {
		if c == '-' {
			a.buf[i] = ' '
		}
	}
	return accountActions[string(a.buf)]
}

// accountActions are the operations that count, with blanks for dashes: those of shadow 4.13 as Debian builds it, of
// shadow as Red Hat has it and upstream since 4.17, and of PAM.
var accountActions = map[string]string{
	"adding user":                  process.AccountCreated,
	"add user":                     process.AccountCreated,
	"deleting user entries":        process.AccountDeleted,
	"delete user":                  process.AccountDeleted,
	"PAM:chauthtok":                process.AccountPassword,
	"changing password":            process.AccountPassword,
	"change password":              process.AccountPassword,
	"updating passwd":              process.AccountPassword,
	"updating password":            process.AccountPassword,
	"adding user to group":         process.AccountJoined,
	"add user to group":            process.AccountJoined,
	"removing group member":        process.AccountLeft,
	"removing user from group":     process.AccountLeft,
	"delete user from group":       process.AccountLeft,
	"deleting user from group":     process.AccountLeft,
	"changing primary group":       process.AccountPrimaryGroup,
	"changing user shell":          process.AccountShell,
	"changing shell":               process.AccountShell,
	"changing name":                process.AccountName,
	"changing uid":                 process.AccountID,
	"changing home directory":      process.AccountHome,
	"changing home dir":            process.AccountHome,
	"changing expiration date":     process.AccountExpiry,
	"changing inactive days":       process.AccountExpiry,
	"change passwd expiration":     process.AccountExpiry,
	"change max age":               process.AccountExpiry,
	"change all aging information": process.AccountExpiry,
}

// gpasswd reads an operation of gpasswd(1): members, and the group that they joined or left. The action is empty for
// any other. "user ann added by root to group sudo", "user ann removed by root from group sudo", "members of group sudo
// set by root to ann,bob".
func gpasswd(op []byte) (action string, members, group []byte) {
	if rest, ok := bytes.CutPrefix(op, []byte("user ")); ok {
		name, rest, _ := bytes.Cut(rest, []byte(" "))
		_, group, _ = bytes.Cut(rest, []byte(" group "))
		switch {
		case len(group) == 0:
		case bytes.HasPrefix(rest, []byte("added by ")):
			return process.AccountJoined, name, group
		case bytes.HasPrefix(rest, []byte("removed by ")):
			return process.AccountLeft, name, group
		}
		return "", nil, nil
	}
	rest, ok := bytes.CutPrefix(op, []byte("members of group "))
	if !ok {
		return "", nil, nil
	}
	group, rest, ok = bytes.Cut(rest, []byte(" set by "))
	if _, members, _ = bytes.Cut(rest, []byte(" to ")); !ok || len(members) == 0 {
		return "", nil, nil
	}
	return process.AccountJoined, members, group
}
