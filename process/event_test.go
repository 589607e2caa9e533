// SPDX-License-Identifier: Apache-2.0

package process

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sample() *Event {
	e := &Event{}
	e.Reset()
	e.Kind, e.Time, e.Source = Exec, time.Unix(1700000000, 5), "auditd"
	e.PID, e.PPID = 42, 41
	e.Name, e.Executable = e.Text([]byte("ss")), e.Text([]byte("/usr/bin/ss"))
	e.CWD, e.TTY = e.Text([]byte("/tmp")), e.Text([]byte("pts0"))
	e.File, e.Deleted = FileID{Device: 0xfe00, Inode: 247777}, true
	e.AddArg(&e.Process, []byte("ss"))
	e.AddArg(&e.Parent, []byte("bash"))
	e.AddArg(&e.Process, []byte("-tlnp"))
	e.AddArg(&e.Parent, []byte("-l"))
	e.Session = Session{
		ID:     3,
		User:   User{ID: 1000, Name: "alice"},
		Entry:  EntrySSHD,
		Source: netip.MustParseAddr("10.0.0.9"),
	}
	e.Account = Account{
		User: User{ID: 7, Name: e.Text([]byte("ann"))}, Action: AccountJoined, Group: e.Text([]byte("sudo")),
	}
	return e
}

func TestInterleavedArgumentsOfTwoProcessesStayApart(t *testing.T) {
	e := sample()
	require.Equal(t, []string{"ss", "-tlnp"}, e.Args)
	require.Equal(t, []string{"bash", "-l"}, e.Parent.Args)
}

func TestACopySharesNothingWithItsSource(t *testing.T) {
	src, dst := sample(), &Event{}
	want := sample()
	dst.Copy(src)
	src.Reset()
	src.Text([]byte("overwritten overwritten overwritten overwritten"))
	require.Equal(t, want.Args, dst.Args)
	require.Equal(t, want.Parent.Args, dst.Parent.Args)
	require.Equal(t, want.Executable, dst.Executable)
	require.Equal(t, want.File, dst.File)
	require.True(t, dst.Deleted)
	require.Equal(t, want.Session, dst.Session)
	require.Equal(t, want.Source, dst.Source)
	require.Equal(t, want.Account, dst.Account)
}

func TestCopyingIntoAUsedEventAllocatesNothing(t *testing.T) {
	src, dst := sample(), &Event{}
	dst.Copy(src)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst.Copy(src) }))
}

func TestAResetEventKnowsNobodyAndNotRoot(t *testing.T) {
	var e Event
	e.Reset()
	require.False(t, e.User.Known())
	require.False(t, e.Session.User.Known())
	require.False(t, e.Process.Known())
	require.Zero(t, e.File)
	require.False(t, e.Deleted)
	require.True(t, e.Success)
}
