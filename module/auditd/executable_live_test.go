// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

// TestLiveTheFileThatWasStarted holds what the records of each kind of start say against the files themselves.
func TestLiveTheFileThatWasStarted(t *testing.T) {
	takeAudit(t)
	m := start(t, nil)
	dir := t.TempDir()
	put := func(name string, contents []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, contents, 0o755))
		return path
	}
	file := func(path string) process.FileID {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(path, &st))
		return process.FileID{Device: st.Dev, Inode: st.Ino}
	}
	echo, err := os.ReadFile("/bin/echo")
	require.NoError(t, err)
	copied := put("copied", echo)
	hard, soft := filepath.Join(dir, "hard"), filepath.Join(dir, "soft")
	require.NoError(t, os.Link(copied, hard))
	require.NoError(t, os.Symlink(copied, soft))
	script := put("script", []byte("#!/bin/sh\n:\n"))
	nested := put("nested", []byte("#!"+script+"\n"))
	shell, err := filepath.EvalSymlinks("/bin/sh")
	require.NoError(t, err)
	fd, err := unix.MemfdCreate("memory", 0)
	require.NoError(t, err)
	memory := os.NewFile(uintptr(fd), "memory")
	defer memory.Close()
	_, err = memory.Write(echo)
	require.NoError(t, err)
	inMemory := fmt.Sprintf("/proc/self/fd/%d", fd)
	removed, err := os.Open(put("removed", echo))
	require.NoError(t, err)
	defer removed.Close()
	require.NoError(t, os.Remove(removed.Name()))
	isRemoved := fmt.Sprintf("/proc/self/fd/%d", removed.Fd())
	unset := process.FileID{}
	loader := "/lib64/ld-linux-x86-64.so.2"
	for i, c := range []struct {
		name, path, argv0 string
		file              process.FileID
		executable        string
		deleted           bool
	}{
		{"a program", copied, "", file(copied), copied, false},
		{"a hard link", hard, "", file(copied), hard, false},
		{"a link", soft, "", file(copied), copied, false},
		{"a script", script, "", file(shell), shell, false},
		{"a script of a script", nested, "", file(shell), shell, false},
		{"from memory", inMemory, "", file(inMemory), "/memfd:memory", true},
		{"removed", isRemoved, "", file(isRemoved), removed.Name(), true},
		{"by its loader's name", copied, loader, unset, copied, false},
	} {
		if c.argv0 != "" {
			if _, err := os.Stat(loader); err != nil {
				continue // another architecture
			}
		}
		mark := fmt.Sprintf("file-%d", i)
		cmd := &exec.Cmd{Path: c.path, Args: []string{c.path, mark}}
		if c.argv0 != "" {
			cmd.Args[0] = c.argv0
		}
		require.NoError(t, cmd.Run(), c.name)
		m.Until("it is seen: "+c.name, func() bool { return len(m.Execs(mark)) > 0 })
		e := m.Execs(mark)[0]
		assert.Equal(t, c.file, e.File, c.name)
		assert.Equal(t, c.executable, e.Executable, c.name)
		assert.Equal(t, filepath.Base(c.executable), e.Name, c.name)
		assert.Equal(t, c.deleted, e.Deleted, c.name)
	}
}
