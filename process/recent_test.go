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

func TestRecentKeepsWhatProcessesLeaveBehind(t *testing.T) {
	for name, host := range map[string]string{"own host": "", "another host": "other"} {
		t.Run(name, func(t *testing.T) {
			table := NewTable(TableOptions{HostID: "host", Processes: 4})
			observe := func(second float64, pid uint32, command string) *Event {
				e := program(at(second), pid, 10, 5, command)
				e.Host.ID = host
				table.Observe(e)
				return e
			}
			observe(0, 11, "/bin/sh -c id")
			observe(1, 11, "/usr/bin/id -u") // the shell makes way for it
			for i := range uint32(20) {      // and the table gives up its process
				observe(2+float64(i), 100+i, fmt.Sprint("/bin/echo ", i))
			}
			lines := linesOf(table.Recent(observe(30, 12, "/usr/bin/ss")))
			require.Len(t, lines, 22)
			require.Equal(t, []string{"/bin/sh -c id < ", "/usr/bin/id -u < ", "/bin/echo 0 < "}, lines[:3])
			require.Equal(t, "/bin/echo 19 < ", lines[21])
			exit := program(at(31), 11, 10, 5, "/usr/bin/id")
			exit.Kind, exit.ExitCode, exit.Host.ID = Exit, 3, host
			table.Observe(exit)
			require.NotContains(t, strings.Join(linesOf(table.Recent(observe(32, 13, "/usr/bin/ss"))), "\n"), "= 3",
				"nobody knows any more that it was process 11")
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

func TestLaterIsWhatCameAfter(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	observe := func(second float64, pid, session uint32, command string) *Event {
		e := program(at(second), pid, 10, session, command)
		table.Observe(e)
		return e
	}
	observe(1, 11, 5, "/usr/bin/id")
	e := observe(2, 12, 5, "/usr/bin/ss -tan")
	after, whole := table.Later(e, at(600))
	require.Empty(t, after)
	require.True(t, whole)
	observe(2, 13, 5, "/usr/bin/last") // in the same millisecond
	observe(3, 14, 6, "/usr/bin/w")
	observe(4, 15, 5, "/usr/bin/crontab -l")
	observe(700, 16, 5, "/usr/bin/make")
	after, whole = table.Later(e, at(600))
	require.Equal(t, []string{"/usr/bin/last < ", "/usr/bin/crontab -l < "}, linesOf(after))
	require.True(t, whole)

	for i := range recentExecs {
		observe(700+float64(i), uint32(100+i), 5, "/usr/bin/make")
	}
	after, whole = table.Later(e, at(900))
	require.Len(t, after, recentExecs)
	require.False(t, whole, "the exec itself is no longer remembered")
	for i := range 600 {
		observe(800, uint32(1000+i), uint32(1000+i), "/usr/bin/make")
	}
	after, whole = table.Later(e, at(900))
	require.Empty(t, after)
	require.False(t, whole, "others have taken the place of the session")
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

// TestAProgramIsFreshOnceAMinute: in each session, and of a program that is many in one file always.
func TestAProgramIsFreshOnceAMinute(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	fresh := func(second float64, session uint32, command string) bool {
		return table.Observe(program(at(second), 100+session, 10, session, command))
	}
	require.True(t, fresh(0, 5, "/usr/bin/make"))
	require.False(t, fresh(1, 5, "/usr/bin/make all"))
	require.True(t, fresh(1, 6, "/usr/bin/make"), "another session")
	require.True(t, fresh(2, 5, "/usr/bin/cc1"))
	require.False(t, fresh(59, 5, "/usr/bin/make"))
	require.True(t, fresh(60, 5, "/usr/bin/make"), "the next minute")
	for range 2 {
		require.True(t, fresh(61, 5, "/usr/bin/busybox id"))
		require.True(t, fresh(61, 5, "/lib64/ld-linux-x86-64.so.2 /usr/bin/id"))
	}
	seen := map[string]int{}
	for i := range 3000 { // more programs than are kept apart
		name := fmt.Sprint("program-", i%60)
		if fresh(120+float64(i%50), 7, "/usr/bin/"+name) {
			seen[name]++
		}
	}
	require.Len(t, seen, 60, "each at least once")
	fork := program(at(200), 900, 10, 8, "/usr/bin/make")
	fork.Kind = Fork
	require.False(t, table.Observe(fork))
}
