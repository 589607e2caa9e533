// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/process"
)

func TestWhoCanWriteAFolder(t *testing.T) {
	const ann, bob, team = 1000, 1001, 50
	of := func(user, group uint32) writer {
		return writer{users: []uint32{user, user}, groups: []uint32{group, group}}
	}
	for _, c := range []struct {
		name       string
		who        writer
		uid, gid   uint32
		mode       uint32
		wantsPlace string
	}{
		{"root's, to a user", of(ann, ann), 0, 0, 0o755, ""},
		{"one's own", of(ann, ann), ann, ann, 0o755, process.InHome},
		{"one's own, without the right to write", of(ann, ann), ann, ann, 0o555, ""},
		{"another's", of(ann, ann), bob, bob, 0o755, ""},
		{"everybody's", of(ann, ann), 0, 0, 0o1777, process.InTemporary},
		{"one's group's", of(ann, team), 0, team, 0o2775, process.InHome},
		{"one's group's, to be read", of(ann, team), 0, team, 0o755, ""},
		{"another group's", of(ann, ann), 0, team, 0o775, ""},
		{"root's group's", of(ann, 0), 0, 0, 0o775, ""},
		{"root's, to root", of(0, 0), 0, 0, 0o755, ""},
		{"a group's, to root", of(0, team), 0, team, 0o775, ""},
		{"a user's, to root", of(0, 0), ann, ann, 0o755, process.InHome},
		{"everybody's, to root", of(0, 0), 0, 0, 0o777, process.InTemporary},
		{"the real user's, as root", writer{users: []uint32{ann, 0}}, ann, ann, 0o700, process.InHome},
		{"a user's, to nobody knows whom", of(process.Unset, process.Unset), ann, ann, 0o755, ""},
	} {
		st := unix.Stat_t{Uid: c.uid, Gid: c.gid, Mode: c.mode}
		require.Equal(t, c.wantsPlace, c.who.writes(&st), c.name)
	}
}

func TestWhereAnExecutableLies(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	root, proc := t.TempDir(), t.TempDir()
	const postgres = 117
	for dir, uid := range map[string]int{
		"etc": 0, "opt/own": postgres, "opt/root": 0, "pg": postgres, "pg/data": 0, "srv/share": 0,
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		require.NoError(t, os.Chown(filepath.Join(root, dir), uid, 0))
	}
	require.NoError(t, os.Chmod(filepath.Join(root, "srv/share"), 0o1777))
	require.NoError(t, os.Symlink("own", filepath.Join(root, "opt/link")))
	passwd := "postgres:x:" + strconv.Itoa(postgres) + ":120::/pg:/bin/bash\nother:x:118:120::/pg:/bin/sh\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644))
	f := newFolders(proc, root, account.New(root))
	f.patience = time.Minute
	place := func(executable string, uid uint32, container string) string {
		e := process.Event{PPID: 1, Process: process.NoProcess, Parent: process.NoProcess}
		e.Container.ID, e.PID, e.Executable, e.User.ID = container, 7, executable, uid
		return f.place(&e, &e.Process)
	}
	require.Equal(t, process.InHome, place("/opt/own/ss", postgres, ""))
	require.Empty(t, place("/opt/own/ss", 118, ""))
	require.Equal(t, process.InHome, place("/opt/own/ss", 0, ""))
	require.Empty(t, place("/opt/root/ss", postgres, ""))
	require.Equal(t, process.InTemporary, place("/srv/share/ss", postgres, ""))
	require.Equal(t, process.InHome, place("/pg/data/ss", postgres, ""), "in its home")
	require.Empty(t, place("/pg/data/ss", 118, ""), "a home that is another's")
	require.Empty(t, place("/opt/link/ss", postgres, ""), "the kernel's path has no link")
	require.Empty(t, place("/opt/../opt/own/ss", postgres, ""))
	require.Empty(t, place("/memfd:ss", postgres, ""))
	require.Empty(t, place("/tmp/ss", postgres, ""), "its path says so")
	require.Empty(t, place("ss", postgres, ""))
	require.Empty(t, place("/opt/own/ss", postgres, "c1"), "a container whose root is gone")

	require.NoError(t, os.Mkdir(filepath.Join(proc, "7"), 0o755))
	require.NoError(t, os.Symlink(root, filepath.Join(proc, "7/root")))
	require.Equal(t, process.InHome, place("/opt/own/ss", postgres, "c1"))

	require.NoError(t, os.RemoveAll(filepath.Join(root, "opt/own")))
	require.Equal(t, process.InHome, place("/opt/own/ss", postgres, ""), "an upgrade has removed it")
	require.Empty(t, place("/opt/gone/ss", postgres, ""), "it was never seen")
	require.NoError(t, os.Mkdir(filepath.Join(root, "opt/own"), 0o755))
	require.Empty(t, place("/opt/own/ss", postgres, ""), "it is root's now")
	require.Len(t, f.seen, 4)
}

// TestAFolderThatDoesNotAnswerHoldsNobodyUp has a file system that does not answer: nothing is known, and it is not
// asked again until it does.
func TestAFolderThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	f := newFolders("/proc", "/", account.New("/"))
	f.patience = time.Millisecond
	answers, asked := make(chan bool), make(chan bool)
	slow := func() (string, bool) { asked <- true; <-answers; return process.InHome, true }
	go func() { <-asked }()
	_, found := f.ask(slow)
	require.False(t, found)
	_, found = f.ask(func() (string, bool) { return process.InHome, true })
	require.False(t, found)
	answers <- true
	f.patience = time.Minute
	require.Eventually(t, func() bool {
		_, found := f.ask(func() (string, bool) { return process.InHome, true })
		return found
	}, time.Minute, time.Millisecond)
}

func BenchmarkPlace(b *testing.B) {
	f := newFolders("/proc", "/", account.New("/"))
	pid := uint32(os.Getpid())
	e := process.Event{Process: process.NoProcess, Parent: process.NoProcess}
	e.PID, e.Executable, e.User.ID, e.Parent.PID = pid, "/usr/bin/ss", 1, pid
	b.ReportAllocs()
	for b.Loop() {
		f.place(&e, &e.Process)
	}
}
