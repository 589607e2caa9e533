// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is noon and some seconds.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// program is an exec of pid, a child of ppid, in an audit session.
func program(when time.Time, pid, ppid, session uint32, command string) *Event {
	e := &Event{}
	e.Reset()
	e.Kind, e.Time, e.Success, e.PID, e.PPID, e.Session.ID = Exec, when, true, pid, ppid, session
	e.Args = strings.Fields(command)
	e.Executable = e.Args[0]
	e.Name = e.Executable[strings.LastIndexByte(e.Executable, '/')+1:]
	return e
}

func login(when time.Time, pid, session, user uint32) *Event {
	e := &Event{}
	e.Reset()
	e.Kind, e.Time, e.PID = Login, when, pid
	e.Session.ID, e.Session.User.ID = session, user
	return e
}

func observed(t *Table, events ...*Event) *Event {
	for _, e := range events {
		t.Observe(e)
	}
	last := events[len(events)-1]
	t.Complete(last)
	return last
}

func TestAnSSHSessionIsFollowedFromTheDaemonToTheTool(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	table.PutProcess(
		&Process{PID: 1, Name: "systemd", StartTicks: 1, User: User{ID: 0}, Effective: User{ID: 0}},
		0,
		NoSession,
	)
	from := login(at(2), 200, 7, 1000)
	from.Session.Source, from.Session.TTY, from.Session.Entry = netip.MustParseAddr("203.0.113.9"), "pts3", EntrySSHD
	e := observed(table,
		program(at(0), 100, 1, Unset, "/usr/sbin/sshd -D"),
		program(at(1), 200, 100, Unset, "/usr/sbin/sshd -R"),
		login(at(1.5), 200, 7, 1000),
		from,
		program(at(3), 300, 200, 7, "/usr/bin/bash -l"),
		program(at(4), 400, 300, 7, "/usr/bin/sudo ss -tan"),
		program(at(5), 500, 400, 7, "/usr/bin/ss -tan"),
	)
	require.Equal(t, "sudo", e.Parent.Name)
	require.Equal(t, []string{"/usr/bin/sudo", "ss", "-tan"}, e.Parent.Args)
	require.EqualValues(t, 400, e.Parent.PID)
	require.Equal(t, at(4), e.Parent.Start)
	require.Equal(t, "bash", e.Leader.Name, "the oldest of the session")
	require.Equal(t, "bash", e.Entry.Name, "the first process inside")
	require.Equal(
		t,
		Session{
			ID:     7,
			User:   User{ID: 1000},
			Entry:  EntrySSHD,
			Source: netip.MustParseAddr("203.0.113.9"),
			TTY:    "pts3",
			Start:  at(1.5),
		},
		e.Session,
	)
	ids := map[string]bool{}
	for _, p := range []*Process{&e.Process, &e.Parent, &e.Leader} {
		require.Len(t, p.EntityID, 20)
		ids[p.EntityID] = true
	}
	require.Len(t, ids, 3)
	require.Equal(t, e.Leader.EntityID, e.Entry.EntityID, "the same process has the same id")
}

func TestWrappersArePassedOver(t *testing.T) {
	for _, c := range []struct {
		name string
		line []string
		want string
	}{
		{"a shell is who started it", []string{"/bin/bash"}, ""},
		{"sudo is not", []string{"/bin/bash", "/usr/bin/sudo"}, "/bin/bash"},
		{
			"nor is a row of wrappers",
			[]string{"/opt/agent", "/usr/bin/sudo", "/usr/bin/sudo", "/usr/bin/timeout"}, "/opt/agent",
		},
		{"a copy of another program is, whatever it is called", []string{"/usr/sbin/cron", "/tmp/.x/timeout"}, ""},
		{"also behind a wrapper", []string{"/usr/sbin/cron", "/tmp/nice", "/usr/bin/nice"}, "/tmp/nice"},
		{"and in a home", []string{"/bin/bash", "/home/alice/bin/sudo"}, ""},
		{"of whom nothing else is known", []string{"/usr/bin/xargs"}, "init"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host"})
			table.PutProcess(&Process{PID: 1, Name: "init"}, 0, NoSession)
			pid := uint32(1)
			for i, command := range c.line {
				table.Observe(program(at(float64(i)), pid*10, pid, 5, command))
				pid *= 10
			}
			e := observed(table, program(at(60), pid*10, pid, 5, "/usr/bin/ss"))
			require.Equal(t, c.want, e.Starter)
		})
	}
}

// TestAForgedLoginIsIgnored has a program of a session report a login and a logout in the name of sshd, as root may.
func TestAForgedLoginIsIgnored(t *testing.T) {
	from := func(when float64, pid uint32, address string) *Event {
		e := login(at(when), pid, 7, 1000)
		e.Executable, e.Name = "/usr/sbin/sshd", "sshd"
		e.Session.Entry, e.Session.Source = EntrySSHD, netip.MustParseAddr(address)
		return e
	}
	table := NewTable(TableOptions{HostID: "host"})
	logout := from(6, 400, "192.0.2.1")
	logout.Kind = Logout
	e := observed(table,
		program(at(1), 200, 100, Unset, "/usr/sbin/sshd -R"),
		from(2, 200, "203.0.113.9"),
		program(at(3), 300, 200, 7, "/usr/bin/bash -l"),
		program(at(4), 400, 300, 7, "/usr/bin/python3 forge.py"),
		from(5, 400, "10.1.2.3"),
		logout,
		program(at(7), 500, 300, 7, "/usr/bin/ss -tan"),
	)
	require.Equal(t, netip.MustParseAddr("203.0.113.9"), e.Session.Source)
	require.EqualValues(t, 2, table.Stats().ForgedLogins)

	// cron forks its jobs' sessions without an exec, under a pid that another program of an earlier session had.
	table.Observe(program(at(8), 600, 300, 7, "/usr/bin/python3"))
	job := login(at(9), 600, 8, 1001)
	job.Executable, job.Name, job.Session.Entry = "/usr/sbin/cron", "cron", EntryCron
	e = observed(table, job, program(at(10), 700, 600, 8, "/usr/bin/ss"))
	require.Equal(t, EntryCron, e.Session.Entry)
	require.EqualValues(t, 2, table.Stats().ForgedLogins)
}

// TestAProgramThatStartsTheToolInItsOwnPlace has a process run one program after the other: where one lies where its
// user may have put it, that one started the tool, and not the parent of them all.
func TestAProgramThatStartsTheToolInItsOwnPlace(t *testing.T) {
	for _, c := range []struct {
		name string
		ran  []string // in the process, before the tool
		want string
	}{
		{"a shell", []string{"/usr/bin/bash -c ss"}, ""},
		{"an implant", []string{"/tmp/.x/implant"}, "/tmp/.x/implant"},
		{"an implant, then what it runs", []string{"/tmp/.x/implant", "/usr/bin/env ss"}, "/tmp/.x/implant"},
		{"one in memory", []string{"/memfd:kworker"}, "/memfd:kworker"},
		{"the later of two", []string{"/tmp/one", "/home/alice/two"}, "/home/alice/two"},
	} {
		table := NewTable(TableOptions{HostID: "host"})
		table.Observe(program(at(0), 100, 1, 5, "/usr/bin/bash"))
		for i, command := range c.ran {
			table.Observe(program(at(float64(i+1)), 200, 100, 5, command))
		}
		e := observed(table, program(at(60), 200, 100, 5, "/usr/bin/ss"))
		require.Equal(t, c.want, e.Starter, c.name)
	}
	table := NewTable(TableOptions{HostID: "host"})
	table.Observe(program(at(0), 100, 1, 5, "/usr/bin/bash"))
	table.Observe(program(at(1), 200, 90, 5, "/tmp/implant"))
	e := observed(table, program(at(60), 200, 100, 5, "/usr/bin/ss"))
	require.Empty(t, e.Starter, "of another parent: the pid was used again")
	for name, c := range map[string]struct {
		before, now func(*Event)
		want        string
	}{
		"a user became another one": {now: func(e *Event) { e.User.ID = 1002 }},
		"root became a user": {
			before: func(e *Event) { e.User.ID, e.Effective.ID = 0, 0 }, now: func(e *Event) { e.User.ID = 1002 },
			want: "/tmp/implant",
		},
		"a parent that is known by its name alone": {
			before: func(e *Event) { e.PPID = 0 }, now: func(e *Event) { e.PPID, e.Parent.Name = 0, "agent" },
		},
		"a process that began at another time": {
			before: func(e *Event) { e.StartTicks = 10 }, now: func(e *Event) { e.StartTicks = 11 },
		},
		"the process": {
			before: func(e *Event) { e.StartTicks = 10 }, now: func(e *Event) { e.StartTicks = 10 }, want: "/tmp/implant",
		},
	} {
		table := NewTable(TableOptions{HostID: "host"})
		first, tool := program(at(1), 200, 100, 5, "/tmp/implant"), program(at(60), 200, 100, 5, "/usr/bin/ss")
		first.User.ID, tool.User.ID = 1001, 1001
		if c.before != nil {
			c.before(first)
		}
		c.now(tool)
		table.Observe(first)
		require.Equal(t, c.want, observed(table, tool).Starter, name)
	}

	table = NewTable(TableOptions{HostID: "host"})
	table.Observe(program(at(0), 100, 1, 5, "/home/alice/session"))
	table.Observe(program(at(1), 100, 1, 5, "/usr/bin/bash"))
	table.Observe(&Event{Kind: Fork, Time: at(2), Process: Process{PID: 200}, PPID: 100})
	e = observed(table, program(at(3), 200, 100, 5, "/usr/bin/ss"))
	require.Empty(t, e.Starter, "of a child, its parent's program started it")
}

func TestTheWayInFollowsFromTheAncestors(t *testing.T) {
	for _, c := range []struct {
		name    string
		line    []string // from below init down to the parent
		session uint32
		want    string
		entry   string
	}{
		{"a daemon of init", []string{"/usr/sbin/apache2", "/bin/sh"}, Unset, EntryInit, "apache2"},
		{"a job of cron", []string{"/usr/sbin/cron", "/usr/sbin/cron", "/bin/sh"}, 5, EntryCron, "sh"},
		{"a console", []string{"/bin/login", "/bin/bash"}, 5, EntryTerminal, "bash"},
		{"an ssh session", []string{"/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/bin/bash"}, 5, EntrySSHD, "bash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host"})
			table.PutProcess(&Process{PID: 1, Name: "systemd"}, 0, NoSession)
			pid := uint32(1)
			for i, command := range c.line {
				session := Unset
				if entryOf(command[strings.LastIndexByte(command, '/')+1:]) == "" {
					session = c.session
				}
				table.Observe(program(at(float64(i)), pid*10, pid, session, command))
				pid *= 10
			}
			e := observed(table, program(at(60), pid*10, pid, c.session, "/usr/bin/ss"))
			require.Equal(t, c.want, e.Session.Entry)
			require.Equal(t, c.entry, e.Entry.Name)
		})
	}
}

func TestAFactOfTheEventIsNeverWrittenOver(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := program(at(2), 20, 10, 7, "/usr/bin/ss")
	e.Parent = NoProcess
	e.Parent.Name, e.Parent.PID, e.Parent.EntityID = "named", 10, "an id"
	e.Session.Entry, e.EntityID = "theirs", "mine"
	got := observed(table, program(at(0), 10, 1, 7, "/bin/bash"), login(at(1), 10, 7, 1000), e)
	require.Equal(t, "named", got.Parent.Name)
	require.Equal(t, "an id", got.Parent.EntityID)
	require.Equal(t, "theirs", got.Session.Entry)
	require.Equal(t, "mine", got.EntityID)
}

func TestAPidThatWasReusedIsNobodysParent(t *testing.T) {
	for _, c := range []struct {
		name  string
		seen  []*Event
		match *Event
		want  string
	}{
		{
			name:  "of another login session",
			seen:  []*Event{program(at(0), 10, 1, 3, "/bin/old")},
			match: program(at(9), 20, 10, 4, "/usr/bin/ss"),
			want:  "",
		},
		{
			name:  "that began after the match",
			seen:  []*Event{program(at(30), 10, 1, 3, "/bin/late")},
			match: program(at(9), 20, 10, 3, "/usr/bin/ss"),
			want:  "",
		},
		{
			name:  "that began a moment after the match: two processors reported it",
			seen:  []*Event{program(at(9.01), 10, 1, 3, "/bin/sh")},
			match: program(at(9), 20, 10, 3, "/usr/bin/ss"),
			want:  "sh",
		},
		{
			name:  "that began right after the match",
			seen:  []*Event{program(at(9.02), 10, 1, 3, "/bin/late")},
			match: program(at(9), 20, 10, 3, "/usr/bin/ss"),
			want:  "",
		},
		{
			name:  "that ended long ago",
			seen:  []*Event{program(at(0), 10, 1, 3, "/bin/old"), {Kind: Exit, Time: at(1), Process: Process{PID: 10}}},
			match: program(at(500), 20, 10, 3, "/usr/bin/ss"),
			want:  "",
		},
		{
			name:  "that ended a moment ago is the parent still",
			seen:  []*Event{program(at(0), 10, 1, 3, "/bin/sh"), {Kind: Exit, Time: at(1), Process: Process{PID: 10}}},
			match: program(at(2), 20, 10, 3, "/usr/bin/ss"),
			want:  "sh",
		},
		{
			name:  "a login program is a parent across sessions",
			seen:  []*Event{program(at(0), 10, 1, 3, "/usr/sbin/sshd"), login(at(1), 10, 4, 1000)},
			match: program(at(2), 20, 10, 4, "/usr/bin/ss"),
			want:  "sshd",
		},
		{
			name:  "a process is not its own parent",
			seen:  []*Event{program(at(0), 20, 1, 3, "/bin/sh")},
			match: program(at(2), 20, 20, 3, "/usr/bin/ss"),
			want:  "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host"})
			e := observed(table, append(c.seen, c.match)...)
			require.Equal(t, c.want, e.Parent.Name)
			require.Equal(t, e.PPID, e.Parent.PID, "its pid is known in any case")
		})
	}
}

func TestASubshellThatWasForkedIsLikeItsParent(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	fork := &Event{Kind: Fork, Time: at(1), Process: Process{PID: 11}, PPID: 10}
	e := observed(
		table,
		program(at(0), 10, 1, 3, "/bin/bash script.sh"),
		fork,
		program(at(2), 20, 11, 3, "/usr/bin/ss"),
	)
	require.Equal(t, "bash", e.Parent.Name)
	require.EqualValues(t, 11, e.Parent.PID)
	require.Equal(t, []string{"/bin/bash", "script.sh"}, e.Parent.Args)
}

func TestEntityIDsAreTheSameAfterARestart(t *testing.T) {
	var ids [2][]string
	for i := range ids {
		table := NewTable(TableOptions{HostID: "host", BootID: "boot"})
		// After a restart the parent is read from /proc, and the time that its program started is not known as exactly.
		table.PutProcess(
			&Process{PID: 10, Name: "bash", StartTicks: 4711, Start: at(float64(i) / 100)},
			1,
			Session{ID: 3},
		)
		e := program(at(5), 20, 10, 3, "/usr/bin/ss")
		e.StartTicks = 5000
		observed(table, e)
		ids[i] = []string{e.EntityID, e.Parent.EntityID}
	}
	require.Equal(t, ids[0], ids[1])
	require.NotEqual(t, ids[0][0], ids[0][1])
	require.NotEqual(t, EntityID("host", "boot", 10, 4711, noon), EntityID("host", "later boot", 10, 4711, noon))
}

// on moves an event to another host.
func on(h Host, e *Event) *Event {
	e.Host = h
	return e
}

func TestEveryHostHasItsOwnProcessesAndSessions(t *testing.T) {
	east, west := Host{ID: "e", Name: "east"}, Host{Name: "west"}
	for _, c := range []struct {
		name  string
		seen  []*Event
		match *Event
		want  string
	}{
		{
			name:  "another host's",
			seen:  []*Event{on(east, program(at(0), 10, 1, 3, "/bin/sh"))},
			match: on(east, program(at(1), 20, 10, 3, "/usr/bin/ss")),
			want:  "sh",
		},
		{
			name:  "a host that has no id",
			seen:  []*Event{on(west, program(at(0), 10, 1, 3, "/bin/sh"))},
			match: on(west, program(at(1), 20, 10, 3, "/usr/bin/ss")),
			want:  "sh",
		},
		{
			name:  "not of another",
			seen:  []*Event{on(east, program(at(0), 10, 1, 3, "/bin/sh"))},
			match: on(west, program(at(1), 20, 10, 3, "/usr/bin/ss")),
			want:  "",
		},
		{
			name:  "nor of the table's own",
			seen:  []*Event{program(at(0), 10, 1, 3, "/bin/sh")},
			match: on(west, program(at(1), 20, 10, 3, "/usr/bin/ss")),
			want:  "",
		},
		{
			name:  "nor the other way round",
			seen:  []*Event{on(west, program(at(0), 10, 1, 3, "/bin/sh"))},
			match: program(at(1), 20, 10, 3, "/usr/bin/ss"),
			want:  "",
		},
		{
			name:  "the table's own by its id",
			seen:  []*Event{program(at(0), 10, 1, 3, "/bin/sh")},
			match: on(Host{ID: "host"}, program(at(1), 20, 10, 3, "/usr/bin/ss")),
			want:  "sh",
		},
		{name: "one pid on three hosts", seen: []*Event{
			on(east, program(at(0), 10, 1, 3, "/bin/sh")),
			on(west, program(at(0), 10, 1, 3, "/bin/zsh")),
			program(at(0), 10, 1, 3, "/bin/ksh"),
		}, match: on(east, program(at(1), 20, 10, 3, "/usr/bin/ss")), want: "sh"},
		{name: "a fork of another host's", seen: []*Event{
			on(east, program(at(0), 10, 1, 3, "/bin/sh")),
			on(east, &Event{Kind: Fork, Time: at(1), Process: Process{PID: 11}, PPID: 10}),
		}, match: on(east, program(at(2), 20, 11, 3, "/usr/bin/ss")), want: "sh"},
		{name: "an end on another host", seen: []*Event{
			on(east, program(at(0), 10, 1, 3, "/bin/sh")), on(west, &Event{Kind: Exit, Time: at(1), Process: Process{PID: 10}}),
		}, match: on(east, program(at(900), 20, 10, 3, "/usr/bin/ss")), want: "sh"},
		{name: "a session that another host's login began", seen: []*Event{
			on(east, program(at(0), 10, 1, 3, "/usr/sbin/sshd")), on(west, login(at(1), 10, 4, 1000)),
		}, match: on(east, program(at(2), 20, 10, 4, "/usr/bin/ss")), want: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host", BootID: "boot"})
			e := observed(table, append(c.seen, c.match)...)
			require.Equal(t, c.want, e.Parent.Name)
		})
	}

	table := NewTable(TableOptions{HostID: "host"})
	theirs := on(east, login(at(0), 5, 7, 1000))
	theirs.Session.Source, theirs.Session.Entry = netip.MustParseAddr("203.0.113.9"), EntrySSHD
	table.Observe(theirs)
	require.Equal(t, EntrySSHD, observed(table, on(east, program(at(1), 20, 10, 7, "/usr/bin/ss"))).Session.Entry)
	require.Empty(t, observed(table, on(west, program(at(1), 20, 10, 7, "/usr/bin/ss"))).Session.Entry)
	require.Empty(t, observed(table, program(at(1), 20, 10, 7, "/usr/bin/ss")).Session.Entry)
	table.Observe(on(west, &Event{Kind: Logout, Session: Session{ID: 7}}))
	require.Equal(t, EntrySSHD, observed(table, on(east, program(at(1), 21, 10, 7, "/usr/bin/ss"))).Session.Entry)
}

func TestEntityIDsAreOfTheHostOfTheEvent(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host", BootID: "boot"})
	for _, h := range []Host{{}, {ID: "e", Name: "east"}, {Name: "west"}} {
		e := observed(
			table,
			on(h, program(at(0), 10, 1, 3, "/bin/sh")),
			on(h, program(at(1), 20, 10, 3, "/usr/bin/ss")),
		)
		host := h.Key()
		if host == "" {
			host = "host"
		}
		require.Equal(t, EntityID(host, "", 10, 0, at(0)), e.Parent.EntityID, "it was not said")
		require.Equal(t, EntityID(host, "", 20, 0, at(1)), e.EntityID)
		require.Empty(
			t,
			observed(table, on(h, program(at(1), 30, 29, 3, "/usr/bin/ss"))).Parent.EntityID,
			"nobody knows when it began",
		)
	}
	shell, child := program(at(0), 10, 1, 3, "/bin/sh"), program(at(1), 20, 10, 3, "/usr/bin/ss")
	shell.EntityID, child.EntityID = "theirs", "its"
	e := observed(table, on(Host{ID: "e"}, shell), on(Host{ID: "e"}, child))
	require.Equal(t, "theirs", e.Parent.EntityID, "what the parent's own document says wins")
	require.Equal(t, "its", e.EntityID)
	begun := program(at(60), 10, 1, 3, "/bin/sh")
	begun.Start = at(2)
	e = observed(table, on(Host{ID: "e"}, begun), on(Host{ID: "e"}, program(at(61), 20, 10, 3, "/usr/bin/ss")))
	require.Equal(t, at(2), e.Parent.Start)
	require.Equal(t, EntityID("e", "", 10, 0, at(2)), e.Parent.EntityID, "theirs was an earlier process's")
}

func TestAParentThatIsNamedInPartIsCompleted(t *testing.T) {
	for _, c := range []struct {
		name  string
		seen  string // what is known of pid 10
		named Process
		want  Process // name, executable, arguments
	}{
		{
			name:  "the pid",
			seen:  "/bin/sh -c x",
			named: Process{PID: 10},
			want:  Process{Name: "sh", Executable: "/bin/sh", Args: []string{"/bin/sh", "-c", "x"}},
		},
		{
			name:  "the pid and arguments",
			seen:  "/bin/sh -c x",
			named: Process{PID: 10, Args: []string{"sh"}},
			want:  Process{Name: "sh", Executable: "/bin/sh", Args: []string{"sh"}},
		},
		{
			name:  "the name",
			seen:  "/bin/sh -c x",
			named: Process{PID: 10, Name: "sh"},
			want:  Process{Name: "sh", Executable: "/bin/sh", Args: []string{"/bin/sh", "-c", "x"}},
		},
		{
			name:  "the entity id",
			seen:  "/bin/sh -c x",
			named: Process{EntityID: "ten"},
			want:  Process{Name: "sh", Executable: "/bin/sh", Args: []string{"/bin/sh", "-c", "x"}},
		},
		{
			name:  "its executable by another way",
			seen:  "/bin/sh",
			named: Process{PID: 10, Executable: "/usr/bin/sh", Name: "sh"},
			want:  Process{Name: "sh", Executable: "/usr/bin/sh", Args: []string{"/bin/sh"}},
		},
		{name: "another entity id", seen: "/bin/sh", named: Process{PID: 10, EntityID: "eleven"}, want: Process{}},
		{name: "an entity id of nobody", seen: "/bin/sh", named: Process{EntityID: "eleven"}, want: Process{}},
		{
			name:  "another executable",
			seen:  "/bin/sh",
			named: Process{PID: 10, Executable: "/bin/zsh", Name: "zsh"},
			want:  Process{Name: "zsh", Executable: "/bin/zsh"},
		},
		{name: "another name", seen: "/bin/sh", named: Process{PID: 10, Name: "zsh"}, want: Process{Name: "zsh"}},
		{name: "nothing", seen: "/bin/sh", named: Process{}, want: Process{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host"})
			parent, e := program(at(0), 10, 1, 3, c.seen), program(at(1), 20, c.named.PID, 3, "/usr/bin/ss")
			parent.EntityID = "ten"
			c.named.User, c.named.Effective = NoProcess.User, NoProcess.Effective
			e.Parent = c.named
			observed(table, on(Host{ID: "e"}, parent), on(Host{ID: "e"}, e))
			require.Equal(t, c.want, Process{Name: e.Parent.Name, Executable: e.Parent.Executable, Args: e.Parent.Args})
			if c.named.EntityID != "" {
				require.Equal(t, c.named.EntityID, e.Parent.EntityID)
			}
			if len(c.want.Args) > 0 {
				require.EqualValues(t, 10, e.Parent.PID)
				require.EqualValues(t, 10, e.PPID)
				require.Zero(t, table.Stats().UnknownParent)
			}
		})
	}
}

func TestLeadersThatAreNamedByPidAreCompleted(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := program(at(2), 20, 10, 3, "/usr/bin/ss")
	e.Leader, e.Entry = NoProcess, NoProcess
	e.Leader.PID, e.Entry.EntityID = 9, "ten"
	shell := program(at(1), 10, 9, 3, "/bin/sh")
	shell.EntityID = "ten"
	observed(table, program(at(0), 9, 1, 3, "/bin/bash"), shell, e)
	require.Equal(t, "bash", e.Leader.Name)
	require.Equal(t, "sh", e.Entry.Name)
}

func TestALineOfAncestorsByEntityIDs(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	var last *Event
	for i, command := range []string{"/usr/sbin/sshd", "/bin/bash", "/usr/bin/sudo", "/usr/bin/ss"} {
		last = on(Host{ID: "e"}, program(at(float64(i)), uint32(10+i), 0, 3, command))
		last.EntityID, last.Parent = fmt.Sprint("id", i), NoProcess
		last.Parent.EntityID = fmt.Sprint("id", i-1)
		table.Observe(last)
	}
	require.True(t, table.Complete(last))
	require.Equal(t, []string{"sudo", "/bin/bash", EntrySSHD},
		[]string{last.Parent.Name, last.Starter, last.Session.Entry})
}

func TestAParentThatWasAskedForIsKnown(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := program(at(1), 20, 10, 3, "/usr/bin/ss")
	table.Observe(e)
	require.False(t, table.Complete(e))
	table.PutProcess(&Process{PID: 10, Name: "bash", Start: at(0), StartTicks: 5}, 1, Session{ID: 3})
	require.True(t, table.Complete(e))
	require.Equal(t, "bash", e.Parent.Name)
	require.Equal(t, EntityID("host", "", 10, 5, time.Time{}), e.Parent.EntityID)
	require.EqualValues(t, 1, table.Stats().UnknownParent, "an exec is counted once")
}

func TestAForkOfAnUnknownParentIsWhatItsDocumentSays(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	fork := program(at(0), 10, 9, 3, "/bin/bash -i")
	fork.Kind = Fork
	require.Equal(t, "bash", observed(table, fork, program(at(1), 20, 10, 3, "/usr/bin/ss")).Parent.Name)
}

func TestWhoStartsProgramsIsNotForgotten(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host", Processes: 10})
	table.Observe(program(at(0), 10, 1, Unset, "/opt/agent"))
	for i := range 100 {
		e := observed(table, program(at(float64(i)), uint32(1000+i), 10, Unset, "/usr/bin/ss"))
		require.Equal(t, "agent", e.Parent.Name)
	}
}

func TestOtherHostsDoNotMakeTheTableForgetItsOwn(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host", Processes: 10, Sessions: 10})
	table.Observe(program(at(0), 10, 1, 3, "/bin/sh"))
	table.Observe(login(at(0), 10, 3, 1000))
	for i := range uint32(1000) {
		h := Host{ID: fmt.Sprint("host", i)}
		e := program(at(0), 10, 1, i, "/bin/true")
		e.EntityID = fmt.Sprint("id", i)
		table.Observe(on(h, e))
		table.Observe(on(h, login(at(0), 10, i, 1001)))
	}
	require.Equal(t, TableStats{Processes: 41, Sessions: 41, EvictedProcess: 960, EvictedSessions: 960}, table.Stats())
	require.Equal(t, 40, table.foreign.entities.len())
	e := observed(table, program(at(1), 20, 10, 3, "/usr/bin/ss"))
	require.Equal(t, "sh", e.Parent.Name)
	require.EqualValues(t, 1000, e.Session.User.ID)
}

func TestTheBoundedTableForgetsTheLeastRecentlyUsed(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host", Processes: 100, Sessions: 10})
	for i := range uint32(1000) {
		table.Observe(program(at(float64(i)), 1000+i, 1, Unset, "/bin/true"))
		table.Observe(login(at(float64(i)), 1000+i, i, 1000))
	}
	require.Equal(t, TableStats{Processes: 100, Sessions: 10, EvictedProcess: 900, EvictedSessions: 990}, table.Stats())
	require.Equal(t, "true", observed(table, program(at(1001), 5000, 1999, Unset, "/usr/bin/ss")).Parent.Name)
	require.Empty(t, observed(table, program(at(1002), 5001, 1000, Unset, "/usr/bin/ss")).Parent.Name)
	require.EqualValues(t, 1, table.Stats().UnknownParent)
}

// TestATableAgreesWithAHostThatRemembersEverything runs random lives of processes past a table and past a plain map.
func TestATableAgreesWithAHostThatRemembersEverything(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		table := NewTable(TableOptions{HostID: "host", Processes: 1 << 12})
		type proc struct{ name string }
		alive := map[uint32]proc{1: {"init"}}
		table.PutProcess(&Process{PID: 1, Name: "init"}, 0, NoSession)
		pids := []uint32{1}
		for i := range 3000 {
			now := at(float64(i))
			parent := pids[r.IntN(len(pids))]
			switch n := r.IntN(10); {
			case n < 6:
				pid := uint32(2 + i)
				name := fmt.Sprintf("program%d", r.IntN(300))
				e := program(now, pid, parent, Unset, "/bin/"+name)
				table.Observe(e)
				table.Complete(e)
				require.Equal(t, alive[parent].name, e.Parent.Name, "seed %d, step %d", seed, i)
				alive[pid] = proc{name}
				pids = append(pids, pid)
			case n < 8:
				pid := uint32(2 + i)
				table.Observe(&Event{Kind: Fork, Time: now, Process: Process{PID: pid}, PPID: parent})
				alive[pid] = alive[parent]
				pids = append(pids, pid)
			default:
				name := fmt.Sprintf("replaced%d", r.IntN(300))
				if parent != 1 {
					table.Observe(program(now, parent, 1, Unset, "/bin/"+name))
					alive[parent] = proc{name}
				}
			}
		}
	}
}

func TestObservingAllocatesNothingOnceWarm(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host", Processes: 64})
	events := make([]*Event, 256)
	for i := range events {
		events[i] = program(at(float64(i)), uint32(100+i), uint32(99+i), 5, "/usr/bin/some-program with arguments")
	}
	all := func() {
		for _, e := range events {
			table.Observe(e)
		}
	}
	all()
	require.Zero(t, testing.AllocsPerRun(10, all))
	for i, e := range events {
		e.Host.ID, e.EntityID = fmt.Sprint("host", i%7), fmt.Sprint("entity id of the process ", i)
	}
	all()
	require.Zero(t, testing.AllocsPerRun(10, all), "documents of other hosts")
}

func TestASlabKeepsItsOrderAndItsBound(t *testing.T) {
	s := newSlab[int](3)
	for _, k := range []uint64{1, 2, 3} {
		*s.put(k) = int(k)
	}
	s.put(1) // now 2 is the oldest
	*s.put(4) = 4
	require.Nil(t, s.get(2))
	require.Equal(t, 1, *s.get(1))
	require.EqualValues(t, 1, s.evicted)
	s.remove(3)
	s.remove(99)
	require.Equal(t, 2, s.len())
	*s.put(5) = 5
	require.EqualValues(t, 1, s.evicted, "a free place is taken first")
	s.put(6)
	require.Nil(t, s.get(1))

	// Against a plain model.
	r := rand.New(rand.NewPCG(3, 3))
	s = newSlab[int](8)
	var order []uint64 // the oldest first
	drop := func(k uint64) {
		for i := range order {
			if order[i] == k {
				order = append(order[:i], order[i+1:]...)
				return
			}
		}
	}
	for range 5000 {
		k := uint64(r.IntN(20))
		if r.IntN(4) == 0 {
			s.remove(k)
			drop(k)
		} else {
			*s.put(k) = int(k)
			drop(k)
			if order = append(order, k); len(order) > 8 {
				order = order[1:]
			}
		}
		require.Equal(t, len(order), s.len())
		for _, k := range order {
			require.NotNil(t, s.get(k))
			require.EqualValues(t, k, *s.get(k))
		}
	}
}

func BenchmarkTableObserve(b *testing.B) {
	table := NewTable(TableOptions{HostID: "host"})
	events := make([]*Event, 4096)
	for i := range events {
		events[i] = program(at(float64(i)), uint32(1000+i), uint32(999+i%7), 5, "/usr/bin/some-program with arguments")
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Observe(events[i%len(events)])
		i++
	}
}

// BenchmarkTableObserveDocuments is of fifty hosts whose agent gives entity ids.
func BenchmarkTableObserveDocuments(b *testing.B) {
	table := NewTable(TableOptions{HostID: "host"})
	events := make([]*Event, 4096)
	for i := range events {
		events[i] = program(at(float64(i)), uint32(1000+i), uint32(999+i%7), 5, "/usr/bin/some-program with arguments")
		events[i].Host.ID, events[i].EntityID = fmt.Sprint("host", i%50), fmt.Sprint("entity id ", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Observe(events[i%len(events)])
		i++
	}
}

func BenchmarkTableComplete(b *testing.B) {
	table := NewTable(TableOptions{HostID: "host"})
	table.PutProcess(&Process{PID: 1, Name: "systemd"}, 0, NoSession)
	for i, command := range []string{"/usr/sbin/sshd", "/usr/sbin/sshd", "/bin/bash", "/usr/bin/sudo"} {
		table.Observe(program(at(float64(i)), uint32(10+i), uint32(9+i), 5, command))
	}
	e := program(at(9), 100, 13, 5, "/usr/bin/ss -tan")
	b.ReportAllocs()
	for b.Loop() {
		e.Parent, e.Leader, e.Entry = NoProcess, NoProcess, NoProcess
		e.EntityID, e.Session.Entry = "", ""
		table.Complete(e)
	}
}
