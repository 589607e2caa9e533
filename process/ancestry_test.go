// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func names(line []Process) (all []string) {
	for _, p := range line {
		all = append(all, p.Name)
	}
	return all
}

func TestTheAncestryEndsAtTheWayIn(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := observed(table,
		program(at(0), 100, 1, Unset, "/usr/sbin/sshd -D"),
		program(at(1), 200, 100, Unset, "/usr/sbin/sshd -R"),
		login(at(1.5), 200, 7, 1000),
		program(at(3), 300, 200, 7, "/usr/bin/bash -l"),
		program(at(4), 400, 300, 7, "/usr/bin/sudo ss -tan"),
		program(at(5), 500, 400, 7, "/usr/bin/ss -tan"),
	)
	line := table.Ancestry(e)
	require.Equal(t, []string{"sudo", "bash"}, names(line))
	require.Equal(t, e.Parent.EntityID, line[0].EntityID)
	require.Equal(t, e.Entry.EntityID, line[1].EntityID)
	require.Equal(t, []string{"/usr/bin/sudo", "ss", "-tan"}, line[0].Args)
	require.Equal(t, at(4), line[0].Start)

	unknown := observed(table, program(at(6), 600, 599, 7, "/usr/bin/ss"))
	require.Nil(t, table.Ancestry(unknown), "its parent was never seen")
}

// Of a long line the nearest and the last are kept, and a process that is its own ancestor ends it.
func TestALongAncestryIsBounded(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	events := []*Event{program(at(0), 1000, 1, Unset, "/usr/bin/dash")}
	for i := range uint32(40) {
		events = append(events, program(at(float64(i)/10), 1001+i, 1000+i, Unset, "/usr/bin/bash"))
	}
	e := observed(table, append(events, program(at(5), 2000, 1040, Unset, "/usr/bin/ss"))...)
	line := table.Ancestry(e)
	require.Len(t, line, 16)
	require.EqualValues(t, 1040, line[0].PID)
	require.Equal(t, "dash", line[15].Name)

	table = NewTable(TableOptions{HostID: "host"})
	e = observed(table, program(at(0), 10, 11, Unset, "/usr/bin/bash"), program(at(0), 11, 10, Unset, "/usr/bin/dash"),
		program(at(1), 12, 11, Unset, "/usr/bin/ss"))
	require.Equal(t, []string{"dash", "bash"}, names(table.Ancestry(e)))
}

// What is kept of a command is bounded, and says so.
func TestTheArgumentsOfAnAncestorAreBounded(t *testing.T) {
	table := NewTable(TableOptions{HostID: "host"})
	e := observed(table,
		program(at(0), 10, 1, Unset, "/usr/bin/bash "+strings.Repeat("argument ", 1000)),
		program(at(1), 12, 10, Unset, "/usr/bin/ss"))
	line := table.Ancestry(e)
	require.Len(t, line, 1)
	require.Equal(t, 1001, line[0].ArgsCount)
	require.Less(t, len(strings.Join(line[0].Args, " ")), keptText)
}
