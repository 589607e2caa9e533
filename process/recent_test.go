// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// linesOf are command lines with parents and ends, as Recent gives them.
func linesOf(all []Recent) (lines []string) {
	for _, r := range all {
		line := strings.Join(r.Args, " ") + " < " + r.Parent
		if r.Exited {
			line += fmt.Sprint(" = ", r.ExitCode)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestRecentIsOfTheSession(t *testing.T) {
	for name, host := range map[string]string{"own host": "", "another host": "other"} {
		t.Run(name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host"})
			observe := func(second float64, pid, session uint32, command string) *Event {
				e := program(at(second), pid, 10, session, command)
				e.Host.ID = host
				table.Observe(e)
				return e
			}
			observe(0, 10, 5, "/bin/bash -i") // of which nobody knows the parent
			observe(1, 11, 5, "/usr/bin/id -u")
			exit := program(at(2), 11, 10, 5, "/usr/bin/id")
			exit.Kind, exit.ExitCode, exit.Host.ID = Exit, 3, host
			table.Observe(exit)
			observe(3, 12, 6, "/usr/bin/whoami")
			e := observe(4, 13, 5, "/usr/bin/ss -tan")
			observe(5, 14, 5, "/usr/bin/last")
			before := linesOf(table.Recent(e))
			require.Len(t, before, 2)
			require.Equal(t, "/usr/bin/id -u < bash = 3", before[1])
			late := observe(600.5, 15, 5, "/usr/bin/ss")
			require.Equal(t, []string{
				"/usr/bin/id -u < bash = 3", "/usr/bin/ss -tan < bash", "/usr/bin/last < bash",
			}, linesOf(table.Recent(late)))
		})
	}
}

func TestRecentOfDaemonsIsByUser(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	observe := func(pid, uid uint32, container string) *Event {
		e := program(at(float64(pid)), pid, 1, Unset, "/usr/bin/tool")
		e.User.ID, e.Container.ID = uid, container
		table.Observe(e)
		return e
	}
	observe(1, 33, "")
	observe(2, 34, "")
	observe(3, 33, "pod")
	last := observe(4, 33, "")
	require.Len(t, table.Recent(last), 1)
	require.EqualValues(t, 1, table.Recent(last)[0].PID)
}

func TestRecentIsBounded(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	var last *Event
	for i := range 3 * recentExecs {
		last = program(at(float64(i)), uint32(100+i), 1, 5, "/bin/echo "+strings.Repeat("x", 2*i+150))
		table.Observe(last)
	}
	all := table.Recent(last)
	require.Len(t, all, recentExecs-1)
	for _, r := range all {
		require.LessOrEqual(t, len(strings.Join(r.Args, " ")), recentText)
		require.Greater(t, r.ArgsCount, len(r.Args), "what is cut says so")
	}
	for i := range uint32(2 * recents) { // sessions make room for sessions, with nothing of their holders' left
		e := program(at(float64(1000+i)), 7, 1, 100+i, "/bin/true")
		table.Observe(e)
		require.Empty(t, table.Recent(e))
	}
	require.Empty(t, table.Recent(last))
	require.Equal(t, recents, table.own.rings.len())
}

func TestRememberingAllocatesNothing(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := program(at(0), 100, 1, 5, "/usr/bin/some-program with arguments")
	step := func() {
		e.Time = e.Time.Add(time.Second)
		e.Session.ID = (e.Session.ID + 1) % 700
		table.Observe(e)
	}
	for range 700 * 2 * recentExecs {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
}
