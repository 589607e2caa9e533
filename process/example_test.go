// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// A table completes an event from those before it: who started the program, and how they came in.
func ExampleTable() {
	table := process.NewTable(process.TableOptions{HostID: "web-1"})
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	event := func(kind process.Kind, pid, ppid uint32, executable string) *process.Event {
		e := &process.Event{}
		e.Reset()
		at = at.Add(time.Second)
		e.Kind, e.Time, e.PID, e.PPID, e.Executable = kind, at, pid, ppid, executable
		e.Session.ID, e.Session.User = 7, process.User{ID: 1000, Name: "alice"}
		return e
	}
	login := event(process.Login, 200, 100, "/usr/sbin/sshd")
	login.Name, login.Session.Leader, login.Session.Source = "sshd", 200, netip.MustParseAddr("203.0.113.9")
	table.Observe(event(process.Exec, 200, 100, "/usr/sbin/sshd"))
	table.Observe(login)
	table.Observe(event(process.Exec, 300, 200, "/usr/bin/bash"))

	ss := event(process.Exec, 400, 300, "/usr/bin/ss")
	table.Observe(ss)
	table.Complete(ss)
	fmt.Println("parent: ", ss.Parent.Executable)
	fmt.Println("user:   ", ss.Session.User.Name)
	fmt.Println("way in: ", ss.Session.Entry, "from", ss.Session.Source)
	// Output:
	// parent:  /usr/bin/bash
	// user:    alice
	// way in:  sshd from 203.0.113.9
}

// A terminal has one name, whoever reports it.
func ExampleParseTerminal() {
	slash, _ := process.ParseTerminal("pts/300")
	fmt.Println(slash, slash.Major, slash.Minor)
	fmt.Println(process.Terminal{Major: 229, Minor: 0})
	// Output:
	// pts300 136 300
	// hvc0
}
