// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/internal/host/sudoers"
	"github.com/reconbeat/reconbeat/process"
)

// here is a source of this host's own events.
var here = &document.Source{Local: true}

// changedBy is a change of this process's account, or a refused login to it.
func changedBy(at time.Time, action string, id uint32) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time = process.AccountChange, at
	e.Name, e.User.ID, e.Session.User = "useradd", 0, process.User{ID: 0}
	e.Account = process.Account{Action: action, User: process.User{ID: id}}
	return e
}

// newcomer has an account of this host, made two minutes before, run ss after ten quiet days, and returns the alert.
func newcomer(t *testing.T, from *document.Source, change func(*process.Event)) *document.Document {
	t.Helper()
	eng, shipped := testEngine(t, nil)
	machine, err := host.Open(nil)
	require.NoError(t, err)
	eng.machine = patient{machine}
	eng.documents.Machine = eng.machine
	return alertOfNewcomer(t, eng, shipped, from, change)
}

func alertOfNewcomer(
	t *testing.T, eng *Engine, shipped *[]*document.Document, from *document.Source, change func(*process.Event),
) *document.Document {
	t.Helper()
	now := time.Now()
	for day := 10; day > 0; day-- {
		e := execOf(now.AddDate(0, 0, -day), "root", "ss")
		e.User.ID, e.PID, e.PPID, e.Parent.Name = 0, 900, 800, "agent"
		change(e)
		eng.Take(e, from)
		eng.Advance(e.Time)
	}
	self, err := user.Lookup("nobody")
	require.NoError(t, err)
	n, err := strconv.ParseUint(self.Uid, 10, 32)
	require.NoError(t, err)
	id, address := uint32(n), netip.MustParseAddr("203.0.113.5")
	created := changedBy(now.Add(-2*time.Minute), process.AccountCreated, id)
	joined := changedBy(now.Add(-time.Minute), process.AccountJoined, id)
	joined.Account.User, joined.Account.Group = process.User{ID: process.Unset, Name: "nobody"}, "sudo\xff"
	for _, e := range []*process.Event{created, joined} {
		change(e)
		eng.Take(e, from)
	}
	for i := range 3 {
		e := changedBy(now.Add(time.Duration(i-30)*time.Second), process.AccountLoginFailed, id)
		e.Session.Source = address
		change(e)
		eng.Take(e, from)
	}
	e := execOf(now, "nobody", "ss")
	e.User.ID, e.PID, e.PPID, e.Session.Source = id, 1<<22-1, 1<<22-2, address
	change(e)
	eng.Take(e, from)
	return alertAmong(t, *shipped)
}

func TestAnAlertSaysWhatItsAccountMayDo(t *testing.T) {
	alert := newcomer(t, here, func(*process.Event) {})
	for field, want := range map[string]any{
		"reconbeat.account.class": account.System, "reconbeat.account.password.state": account.PasswordNone,
		"reconbeat.account.expired":                    false,
		"reconbeat.account.refused_logins.count":       int64(3),
		"reconbeat.account.refused_logins.from_source": int64(3),
		"reconbeat.account.refused_logins.source.ip":   "203.0.113.5",
	} {
		v, err := alert.Fields.GetValue(field)
		require.NoError(t, err, field)
		require.Equal(t, want, v, field)
	}
	for _, field := range []string{".shell", ".groups"} { // distributions differ
		v, err := alert.Fields.GetValue("reconbeat.account" + field)
		require.NoError(t, err, field)
		require.NotEmpty(t, v, field)
	}
	for _, file := range []string{"passwd", "shadow", "group"} {
		v, err := alert.Fields.GetValue("reconbeat.account.files." + file)
		require.NoError(t, err, file)
		require.WithinRange(t, v.(time.Time), time.Unix(1, 0), time.Now())
	}
	list, err := alert.Fields.GetValue("reconbeat.account.changes")
	require.NoError(t, err)
	changes := list.([]mapstr.M)
	require.Len(t, changes, 2)
	require.Equal(t, mapstr.M{
		"time": changes[0]["time"], "action": "created", "process": mapstr.M{"name": "useradd"},
		"user": mapstr.M{"id": "0", "name": "root"},
	}, changes[0])
	require.Equal(t, mapstr.M{"name": "sudo\ufffd"}, changes[1]["group"])
	users, err := alert.Fields.GetValue("related.user")
	require.NoError(t, err)
	require.Contains(t, users, "root", "who made the account")
	_, err = json.Marshal(alert.Fields)
	require.NoError(t, err)
}

// Nothing is said of this host's accounts where a container's, or another host's, is meant.
func TestRightsAreThoseOfThisHost(t *testing.T) {
	for name, c := range map[string]struct {
		from    *document.Source
		change  func(*process.Event)
		changes bool
	}{
		"container": {here, func(e *process.Event) { e.Container.ID = "c0ffee" }, false},
		"another host": {
			&document.Source{Local: true}, func(e *process.Event) { e.Host = process.Host{ID: "other", Name: "other"} }, true,
		},
	} {
		alert := newcomer(t, c.from, c.change)
		_, err := alert.Fields.GetValue("reconbeat.account.shell")
		require.Error(t, err, name)
		_, err = alert.Fields.GetValue("reconbeat.account.changes")
		require.Equal(t, c.changes, err == nil, "%s: changes come from its own records", name)
	}
}

// sudoer is a host whose accounts have rules without end, and whose files cannot all be read.
type sudoer struct{ Machine }

func (s sudoer) Account(process.User, time.Time) account.Account {
	rule := sudoers.Rule{Tags: []string{"NOPASSWD"}, Commands: []string{"/bin/" + strings.Repeat("x\xff", 200)}}
	a := account.Account{Sudo: sudoers.Answer{Incomplete: true}, Unread: errors.New("open /etc/shadow: not today")}
	for range 32 {
		a.Sudo.Rules = append(a.Sudo.Rules, rule)
	}
	return a
}

func TestRightsAreBounded(t *testing.T) {
	eng, shipped := testEngine(t, nil)
	machine, err := host.Open(nil)
	require.NoError(t, err)
	eng.machine = sudoer{patient{machine}}
	eng.documents.Machine = eng.machine
	alert := alertOfNewcomer(t, eng, shipped, here, func(*process.Event) {})
	rules, err := alert.Fields.GetValue("reconbeat.account.sudo.rules")
	require.NoError(t, err)
	size := 0
	for _, r := range rules.([]string) {
		size += len(r)
	}
	require.LessOrEqual(t, size, 2<<10)
	require.NotEmpty(t, rules)
	for field, want := range map[string]any{
		".sudo.truncated": true, ".sudo.incomplete": true, ".sudo.nopasswd": true, ".unread": "open /etc/shadow: not today",
	} {
		v, err := alert.Fields.GetValue("reconbeat.account" + field)
		require.NoError(t, err, field)
		require.Equal(t, want, v, field)
	}
	require.EqualValues(t, 1, eng.Counts.AccountsUnread.Load())
}

func TestAnExceptionMayBeAboutAnAccount(t *testing.T) {
	for _, c := range []struct {
		field, value string
		alerts       int
	}{
		{"reconbeat.account.class", account.System, 0}, {"reconbeat.account.class", account.Person, 1},
		{"reconbeat.account.changes.action", process.AccountCreated, 0}, {"reconbeat.account.changes.user.name", "bob", 1},
	} {
		eng, shipped := testEngine(t, nil)
		machine, err := host.Open(nil)
		require.NoError(t, err)
		eng.machine = patient{machine}
		eng.documents.Machine = eng.machine
		eng.SetControls(setOf(t, control.Condition{Field: c.field, Is: control.Texts{c.value}}))
		seen := 0
		if c.alerts > 0 {
			alertOfNewcomer(t, eng, shipped, here, func(*process.Event) {})
			continue
		}
		e := changedBy(time.Now().Add(-2*time.Minute), process.AccountCreated, 65534)
		eng.Take(e, here)
		for day := 10; day >= 0; day-- {
			e := execOf(time.Now().AddDate(0, 0, -day), "root", "ss")
			e.User.ID, e.PID, e.PPID = 0, 900, 800
			if day == 0 {
				e.User = process.User{ID: 65534, Name: "nobody"}
			}
			eng.Take(e, here)
			eng.Advance(e.Time)
		}
		for _, doc := range *shipped {
			if kind, _ := doc.Fields.GetValue("event.kind"); kind == "alert" {
				seen++
			}
		}
		require.Zero(t, seen, "%s %s", c.field, c.value)
	}
}
