// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// busy keeps every processor busy until the end of the test, with n loops that never sleep.
func busy(t *testing.T, n int) {
	for range n {
		c := exec.Command("sh", "-c", "while :; do :; done")
		require.NoError(t, c.Start())
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	}
}

// matches are the raw events of the output but for the canaries, by the words of their command line.
func (l *live) matches() map[string][]mapstr.M {
	matches := map[string][]mapstr.M{}
	for _, doc := range l.documents() {
		if text(doc, "event.kind") == "event" && text(doc, "event.action") == "exec" && !isCanary(doc) {
			line := flat(doc, "process.args")
			matches[line] = append(matches[line], doc)
		}
	}
	return matches
}

// TestLiveInPlaceExecs has processes start one program after the other while the host is busy: what a process runs by
// now is not what the event is about.
func TestLiveInPlaceExecs(t *testing.T) {
	l := newLive(t, "context")
	l.start()
	defer l.stop()
	busy(t, 8)
	chains := []string{"bash -c '%s'", "bash -c 'exec %s'", "env %s", "nice %s", "setsid %s",
		"sh -c 'exec env nice setsid %s'", "timeout 60 env %s"}
	ss := lookPath(t, "ss")
	const rounds = 200
	for i := range rounds {
		command := fmt.Sprintf("exec "+chains[i%len(chains)], fmt.Sprintf("ss -H -t sport = :%d", 10000+i))
		if out, err := exec.Command("bash", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", command, err, out)
		}
	}
	l.canary()
	found := 0
	for line, docs := range l.matches() {
		for _, doc := range docs {
			found++
			assert.Equal(t, ss, text(doc, "process.executable"), line)
			assert.True(t, strings.HasPrefix(line, "ss -H -t sport = :"), line)
		}
		assert.Len(t, docs, 1, line)
	}
	assert.Equal(t, rounds, found)
}

// TestLiveDisguises runs ss as a user who has looked every day would not: from a copy, from one whose build-id is gone,
// from a file that is removed, from none at all.
func TestLiveDisguises(t *testing.T) {
	l := newLive(t, "context")
	l.start()
	defer l.stop()
	ss := lookPath(t, "ss")
	data, err := os.ReadFile(ss)
	require.NoError(t, err)
	put := func(name string, contents []byte) string {
		path := filepath.Join(l.dir, name)
		require.NoError(t, os.WriteFile(path, contents, 0o755))
		return path
	}
	copied := put("session-helper", data)
	patched := put("patched", withNotes(t, data, func(note []byte) { clear(note[len(note)-8:]) }))
	noteless := put("noteless", withoutNotes(t, data))
	removed := filepath.Join(l.dir, "removed")
	linked := filepath.Join(l.dir, "hard")
	require.NoError(t, os.Link(copied, linked))
	symlink := filepath.Join(l.dir, "soft")
	require.NoError(t, os.Symlink(copied, symlink))
	box, err := os.ReadFile(lookPath(t, "busybox"))
	require.NoError(t, err)
	bb := put("bb", box)
	dynamic, err := os.ReadFile(loader)
	require.NoError(t, err)
	ld := put("ld", dynamic)
	byLoader := put("by-loader", []byte("#!"+loader+" "+copied+"\n"))
	script := put("script", []byte("#!/bin/sh\nexec ss -H -t sport = :10\n"))
	note := filepath.Join(l.dir, "note.txt")
	require.NoError(t, os.Symlink(copied, note))
	long := strings.Repeat("x", 120_000) // more than is kept of a command line
	layered := l.overlay(data)
	chroot := l.chroot(map[string][]byte{"usr/bin/cat": data, "bin/busybox": box})
	for _, c := range []struct{ name, command, args, tool string }{
		{name: "a copy", command: copied + " -H -t sport = :1", args: copied + " -H -t sport = :1", tool: "ss"},
		{
			name: "its build-id changed", command: patched + " -H -t sport = :2", args: patched + " -H -t sport = :2",
			tool: "ss",
		},
		{
			name: "its build-id removed", command: noteless + " -H -t sport = :3", args: noteless + " -H -t sport = :3",
			tool: "ss",
		},
		{name: "a hard link", command: linked + " -H -t sport = :4", args: linked + " -H -t sport = :4", tool: "ss"},
		{name: "a link", command: symlink + " -H -t sport = :5", args: symlink + " -H -t sport = :5", tool: "ss"},
		{
			// The shell that holds it outlives it, as the program that unpacked it does.
			name: "removed before it starts",
			command: "cp " + copied + " " + removed + " && exec 9<" + removed + " && rm " + removed +
				" && (exec -a sshd /proc/self/fd/9 -H -t sport = :6); sleep 1; true",
			args: "sshd -H -t sport = :6", tool: "ss",
		},
		{
			name: "another loader's name", command: ld + " " + ss + " -H -t sport = :8",
			args: ld + " " + ss + " -H -t sport = :8", tool: filepath.Base(loader),
		},
		{
			name: "a copy by the loader", command: loader + " " + copied + " -H -t sport = :13",
			args: loader + " " + copied + " -H -t sport = :13", tool: filepath.Base(loader),
		},
		{
			name: "a link by the loader", command: loader + " --argv0 x " + note + " -H -t sport = :14",
			args: loader + " --argv0 x " + note + " -H -t sport = :14", tool: filepath.Base(loader),
		},
		{
			name: "a removed copy by the loader",
			command: "cp " + copied + " " + removed + " && exec 9<" + removed + " && rm " + removed +
				" && " + loader + " /proc/self/fd/9 -H -t sport = :15; sleep 1; true",
			args: loader + " /proc/self/fd/9 -H -t sport = :15", tool: filepath.Base(loader),
		},
		{
			// Its records name no file for certain: the shell's root does.
			name: "a copy by a script of the loader", command: byLoader + " -H -t sport = :16; sleep 1; true",
			args: loader + " " + copied + " " + byLoader + " -H -t sport = :16", tool: filepath.Base(loader),
		},
		{
			name:    "behind more than is kept",
			command: loader + " --library-path $(head -c 120000 /dev/zero | tr '\\0' x) " + ss + " -H -t; true",
			args:    loader + " --library-path " + long[:maxKept-len(loader+"--library-path")], tool: filepath.Base(loader),
		},
		{
			name: "an applet as in a login shell", command: "exec -a -netstat busybox -tl", args: "-netstat -tl",
			tool: "busybox",
		},
		{
			name:    "an applet behind more than is kept",
			command: "exec -a busybox$(head -c 120000 /dev/zero | tr '\\0' x) busybox netstat -tl",
			args:    "busybox" + long[:maxKept-len("busybox")], tool: "busybox",
		},
		{
			name: "an applet by the name it is called by", command: "exec -a netstat " + bb + " -tln",
			args: "netstat -tln", tool: "busybox",
		},
		{
			name: "an applet by its argument", command: bb + " netstat -tn; true", args: bb + " netstat -tn",
			tool: "busybox",
		},
		{
			name: "called by its loader's name", command: "exec -a " + loader + " " + copied + " -H -t sport = :9",
			args: loader + " -H -t sport = :9", tool: "ss",
		},
		{name: "by a script", command: script, args: "ss -H -t sport = :10", tool: "ss"},
		{
			name:    "from an overlay over another file system",
			command: layered + "-waits 1; " + layered + " -H -t sport = :11; true",
			args:    layered + " -H -t sport = :11", tool: "ss",
		},
		{
			name:    "in another root, called as a program of ours",
			command: "sudo chroot " + chroot + " /bin/busybox sh -c '/usr/bin/cat -H -t sport = :12; sleep 1; true'",
			args:    "/usr/bin/cat -H -t sport = :12", tool: "ss",
		},
	} {
		require.NoError(t, os.Chmod(l.dir, 0o777))
		// On a busy machine a program, and the shell of another root by which it is found, may end before it is read.
		var docs []mapstr.M
		for range 5 {
			if out, err := l.as(liveAdmin, c.command).CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", c.name, err, out)
			}
			l.canary()
			if docs = l.matches()[c.args]; len(docs) > 0 {
				break
			}
		}
		if assert.Len(t, docs, 1, "%s: %v", c.name, c.command) {
			assert.Equal(t, c.tool, text(docs[0], "reconbeat.process.tool"), c.name)
			assert.Equal(t, liveAdmin, text(docs[0], "user.audit.name"), c.name)
		}
	}

	// From memory that the parent, this process, holds: it is found there where the program has ended.
	memory := inMemory(t, data)
	for i := range 50 {
		c := &exec.Cmd{
			Path: fmt.Sprintf("/proc/self/fd/%d", memory.Fd()),
			Args: []string{"kworker", "-H", "-t", "sport", "=", fmt.Sprintf(":%d", 100+i)},
		}
		require.NoError(t, c.Run())
	}
	l.canary()
	matches := l.matches()
	for i := range 50 {
		docs := matches[fmt.Sprintf("kworker -H -t sport = :%d", 100+i)]
		if assert.Len(t, docs, 1) {
			assert.Equal(t, "ss", text(docs[0], "reconbeat.process.tool"))
			assert.Equal(t, "/memfd:kworker", text(docs[0], "process.executable"))
		}
	}
}

// TestLiveParentsInDisguise has ss started by copies of a shell: one that is called like a wrapper, one behind a
// wrapper, and one that starts it in its own place.
func TestLiveParentsInDisguise(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	shell, err := os.ReadFile(lookPath(t, "bash"))
	require.NoError(t, err)
	require.NoError(t, os.Chmod(l.dir, 0o777))
	put := func(name string) string {
		path := filepath.Join(l.dir, name)
		require.NoError(t, os.WriteFile(path, shell, 0o755))
		return path
	}
	nice, agent, implant := put("nice"), put("agent"), put("implant")
	for _, c := range []struct {
		run    *exec.Cmd
		args   string
		parent string // in the alert; empty: root has an episode already, of the canaries
	}{
		{
			run:  l.as(liveNewbie, nice+" -c 'ss -H -t sport = :21; true'; true"),
			args: "ss -H -t sport = :21", parent: "nice in a temporary folder",
		},
		{
			run:  l.daemon(liveDaemon, implant+" -c 'exec env ss -H -t sport = :22'; true"),
			args: "ss -H -t sport = :22", parent: "implant in a temporary folder",
		},
		{
			run:  exec.Command(agent, "-c", "timeout 5 ss -H -t sport = :23; true"),
			args: "ss -H -t sport = :23",
		},
	} {
		out, err := c.run.CombinedOutput()
		require.NoError(t, err, string(out))
		l.canary()
		docs := l.matches()[c.args]
		require.Len(t, docs, 1, c.args)
		score, err := docs[0].GetValue("reconbeat.anomaly.score")
		require.NoError(t, err)
		assert.Greater(t, score, 25.0, c.args)
		alert := l.find("alert", mapstr.M{"process.args": c.args})
		if c.parent != "" && assert.NotNil(t, alert, "%s; the raw event: %s", c.args, docs[0]) {
			assert.Contains(t, text(alert, "event.reason"), c.parent)
		}
	}
}

// maxKept is how much of a command line is kept, in bytes.
const maxKept = 64 << 10

// inMemory is a file of the name kworker that lies in memory alone, open until the test ends.
func inMemory(t *testing.T, data []byte) *os.File {
	fd, err := unix.MemfdCreate("kworker", 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "kworker")
	t.Cleanup(func() { _ = f.Close() })
	_, err = f.Write(data)
	require.NoError(t, err)
	return f
}

// overlay mounts an overlay of two file systems, where stat(2) and the records of audit have devices of their own, and
// returns the path of an executable in it.
func (l *live) overlay(data []byte) string {
	dir := filepath.Join(l.dir, "overlay")
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		require.NoError(l.t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	mount := func(target string, args ...string) {
		out, err := exec.Command("mount", append(args, filepath.Join(dir, target))...).CombinedOutput()
		require.NoError(l.t, err, string(out))
		l.t.Cleanup(func() { _ = exec.Command("umount", filepath.Join(dir, target)).Run() })
	}
	mount("lower", "-t", "tmpfs", "tmpfs")
	require.NoError(l.t, os.WriteFile(filepath.Join(dir, "lower", "looks"), data, 0o755))
	// It lives long enough to show which device is which.
	waits, err := os.ReadFile(lookPath(l.t, "sleep"))
	require.NoError(l.t, err)
	require.NoError(l.t, os.WriteFile(filepath.Join(dir, "lower", "looks-waits"), waits, 0o755))
	mount("merged", "-t", "overlay", "-o",
		fmt.Sprintf("xino=off,lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir), "overlay")
	return filepath.Join(dir, "merged", "looks")
}

// chroot makes a root with some programs and what they load, and returns its folder.
func (l *live) chroot(programs map[string][]byte) string {
	dir := filepath.Join(l.dir, "root")
	for path, data := range programs {
		require.NoError(l.t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755))
		require.NoError(l.t, os.WriteFile(filepath.Join(dir, path), data, 0o755))
	}
	for _, shared := range []string{"lib", "lib64", "usr/lib", "usr/lib64"} {
		if info, err := os.Stat("/" + shared); err != nil || !info.IsDir() {
			continue
		}
		require.NoError(l.t, os.MkdirAll(filepath.Join(dir, shared), 0o755))
		out, err := exec.Command("mount", "--bind", "/"+shared, filepath.Join(dir, shared)).CombinedOutput()
		require.NoError(l.t, err, string(out))
		l.t.Cleanup(func() { _ = exec.Command("umount", filepath.Join(dir, shared)).Run() })
	}
	return dir
}

// withNotes is an ELF file with its build-id changed in place.
func withNotes(t *testing.T, data []byte, change func(note []byte)) []byte {
	f, err := elf.NewFile(bytes.NewReader(data))
	require.NoError(t, err)
	s := f.Section(".note.gnu.build-id")
	require.NotNil(t, s)
	data = bytes.Clone(data)
	change(data[s.Offset : s.Offset+s.Size])
	return data
}

// withoutNotes is an ELF file whose notes are not notes.
func withoutNotes(t *testing.T, data []byte) []byte {
	f, err := elf.NewFile(bytes.NewReader(data))
	require.NoError(t, err)
	data = bytes.Clone(data)
	for i, p := range f.Progs { // ELF of 64 bits: the kind of a program header is its first word
		if p.Type == elf.PT_NOTE {
			table := f.ByteOrder.Uint64(data[32:])
			f.ByteOrder.PutUint32(data[table+uint64(i)*56:], uint32(elf.PT_NULL))
		}
	}
	return data
}

// TestLiveFromMemoryInPlace counts how many programs from memory are known that nobody holds open and that end at once:
// a race, which is measured and not won.
func TestLiveFromMemoryInPlace(t *testing.T) {
	l := newLive(t, "context")
	l.start()
	defer l.stop()
	ss := lookPath(t, "ss")
	// A program of its own: it starts in a millisecond, this test binary in a hundred.
	loader := filepath.Join(t.TempDir(), "loader")
	out, err := exec.Command("go", "build", "-o", loader, "./testdata/memory").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, load := range []int{0, 8} {
		busy(t, load)
		const rounds = 100
		for i := range rounds {
			port := fmt.Sprintf(":%d", 20000+1000*load+i)
			out, err := exec.Command(loader, ss, "kworker", "-H", "-t", "sport", "=", port).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		l.canary()
		found := 0
		for line := range l.matches() {
			if strings.HasPrefix(line, fmt.Sprintf("kworker -H -t sport = :%d", (20000+1000*load)/1000)) {
				found++
			}
		}
		t.Logf("at a load of %d: %d of %d", load, found, rounds)
		assert.NotZero(t, found)
	}
}
