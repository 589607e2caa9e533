// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/process"
)

func TestThisProcessIsReadAsItIs(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	require.NotEmpty(t, fs.BootID())
	var p process.Process
	ppid, s, err := fs.Read(uint32(os.Getpid()), &p)
	require.NoError(t, err)
	require.EqualValues(t, os.Getppid(), ppid)
	exe, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, exe, p.Executable)
	var st unix.Stat_t
	require.NoError(t, unix.Stat(exe, &st))
	require.Equal(t, process.FileID{Device: st.Dev, Inode: st.Ino}, p.File)
	require.False(t, p.Deleted)
	require.Equal(t, os.Args, p.Args)
	cwd, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, cwd, p.CWD)
	require.EqualValues(t, os.Getuid(), p.User.ID)
	require.EqualValues(t, os.Geteuid(), p.Effective.ID)
	require.WithinDuration(t, time.Now(), p.Start, 10*time.Minute)
	require.NotZero(t, p.StartTicks)
	_ = s
}

func TestAnExecutableThatWasRemovedIsCalledWhatItWas(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	path := t.TempDir() + "/x"
	data, err := os.ReadFile("/usr/bin/cat")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o755))
	c := exec.Command(path)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	defer func() { in.Close(); _ = c.Wait() }()
	require.NoError(t, os.Remove(path))
	var p process.Process
	_, _, err = fs.Read(uint32(c.Process.Pid), &p)
	require.NoError(t, err)
	require.Equal(t, path, p.Executable)
	require.Equal(t, "x", p.Name)
	require.True(t, p.Deleted)
	require.NotZero(t, p.File)
}

func TestAProcessThatEndedIsGone(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	c := exec.Command("true")
	require.NoError(t, c.Run())
	var p process.Process
	_, _, err = fs.Read(uint32(c.Process.Pid), &p)
	require.ErrorIs(t, err, ErrGone)
}

func TestTheSnapshotHasInitAndThisProcess(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	found := map[uint32]bool{}
	require.NoError(t, fs.Snapshot(func(p *process.Process, _ uint32, _ process.Session) { found[p.PID] = true }))
	require.True(t, found[1])
	require.True(t, found[uint32(os.Getpid())])
}

func TestACommandMayBeCalledAnything(t *testing.T) {
	const rest = " S 41 42 42 34817 43 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"
	for _, comm := range []string{"bash", "a b", ") R 1 1 (", "new\nline", "", "(sd-pam)"} {
		s, err := parseStat([]byte("40 (" + comm + ")" + rest))
		require.NoError(t, err)
		require.Equal(
			t,
			stat{comm: comm, ppid: 41, terminal: process.Terminal{Major: 136, Minor: 1}, startTicks: 987654},
			s,
		)
	}
	for _, bad := range []string{"", "40 (bash", "40 (bash) S 1", "40 (bash)" + strings.Replace(rest, "41", "x", 1)} {
		_, err := parseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestContainersAreKnownByTheirControlGroups(t *testing.T) {
	const (
		id   = "3dc25ec3b1f9d3c7b7b0f5c0c1f0e7a2c3d4e5f60718293a4b5c6d7e8f901234"
		step = "vnmdpgywd9ornfufzg8fn5roz"
	)
	for name, c := range map[string]struct{ cgroup, want string }{
		"docker on cgroup v1":              {"12:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", id},
		"docker on cgroup v2 with systemd": {"0::/system.slice/docker-" + id + ".scope\n", id},
		"podman": {
			"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container\n",
			id,
		},
		"containerd below the kubelet": {
			"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5f1.slice/cri-containerd-" + id + ".scope\n",
			id,
		},
		"cri-o":                              {"0::/kubepods.slice/kubepods-pod5f1.slice/crio-" + id + ".scope\n", id},
		"the kubelet with cgroupfs":          {"11:memory:/kubepods/besteffort/pod5f1/" + id + "\n", id},
		"containerd's own prefix with colon": {"0::/system.slice/kubepods-pod5f1.slice:cri-containerd:" + id + "\n", id},
		"lxc":                                {"0::/lxc.payload.web1\n", "web1"},
		"nspawn, a unit":                     {"0::/machine.slice/systemd-nspawn@web.service/payload/init.scope\n", "web"},
		"nspawn, a scope":                    {"0::/machine.slice/machine-my\\x2dweb.scope/payload\n", "my-web"},
		"what starts it":                     {"0::/machine.slice/systemd-nspawn@web.service/supervisor\n", ""},
		"a virtual machine":                  {"0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator\n", ""},
		"a payload of nobody":                {"0::/payload\n", ""},
		"old lxc":                            {"5:cpuset:/lxc/web2\n", "web2"},
		"podman without systemd":             {"8:pids:/libpod_parent/libpod-" + id + "\n", id},
		"what starts podman's":               {"0::/machine.slice/libpod-conmon-" + id + ".scope\n", ""},
		"what starts CRI-O's":                {"0::/kubepods.slice/kubepods-pod5f1.slice/crio-conmon-" + id + ".scope\n", ""},
		"what starts it without systemd":     {"8:pids:/libpod_parent/conmon\n0::/init.scope\n", ""},
		"a step of docker build":             {"8:pids:/docker/buildkit/" + step + "\n", step},
		"a step of docker build, a scope":    {"0::/system.slice/docker-" + step + ".scope\n", step},
		"a step of podman build":             {"9:name=systemd:/init.scope/buildah-buildah56027421\n", "buildah56027421"},
		"a step of podman build, a scope":    {"0::/machine.slice/buildah-buildah56027421.scope\n", "buildah56027421"},
		"containers' builder itself":         {"0::/system.slice/buildkit.service\n", ""},
		"what ctr runs has any name":         {"8:pids:/k8s.io/demo\n0::/k8s.io/demo\n", ""},
		"a service of the host":              {"0::/system.slice/ssh.service\n", ""},
		"a person's session":                 {"0::/user.slice/user-1000.slice/session-3.scope\n", ""},
		"nothing":                            {"", ""},
		"nonsense":                           {"::::\nx\n", ""},
	} {
		require.Equal(t, c.want, containerID([]byte(c.cgroup)), name)
	}
}

// A process that ends is at the top of its hierarchies, and says nothing of where it was.
func TestWhatEndsSaysNothingOfItsContainer(t *testing.T) {
	for cgroup, want := range map[string]bool{
		"9:name=systemd:/\n8:pids:/\n0::/init.scope\n": true,
		"9:name=systemd:/\n8:pids:/\n0::/\n":           true,
		"9:name=systemd:/x.service\n8:pids:/\n0::/\n":  false,
		"0::/\n": false, "0::/system.slice/x.service\n": false, "": false,
	} {
		require.Equal(t, want, ends([]byte(cgroup)), cgroup)
	}
	fs, err := Open("/proc")
	require.NoError(t, err)
	c := exec.Command("true")
	require.NoError(t, c.Start())
	defer func() { require.NoError(t, c.Wait()) }()
	pid := uint32(c.Process.Pid)
	require.Eventually(t, func() bool { // until it waits for its parent to take note
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && bytes.Contains(b, []byte(") Z "))
	}, time.Minute, time.Millisecond)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	if strings.Trim(string(b), "\n") == "" || strings.HasPrefix(string(b), "0::") {
		t.Skip("SKIPPED: THIS HOST HAS NO HIERARCHY OF THE FIRST VERSION")
	}
	_, known := fs.Container(pid)
	require.False(t, known, string(b))
}

func TestContainersAreRememberedByControlGroups(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	for i := range 2*groupsMost + 1 {
		name := strconv.Itoa(i)
		require.Equal(t, name, fs.containerOf([]byte("0::/lxc.payload."+name+"\n")))
		require.LessOrEqual(t, len(fs.groups), groupsMost)
	}
	again := []byte("0::/lxc.payload.web1\n")
	require.Equal(t, "web1", fs.containerOf(again))
	require.Zero(t, testing.AllocsPerRun(100, func() { fs.containerOf(again) }))
}

// A file of /proc is read to its end, whether it needs one read or several.
func TestFilesOfProcAreReadWhole(t *testing.T) {
	long := exec.Command("sleep", "60")
	long.Args = append(long.Args, strings.Repeat("0", 2*512), strings.Repeat("0", 40<<10))
	require.NoError(t, long.Start())
	defer func() { _ = long.Process.Kill(); _ = long.Wait() }()
	for _, name := range []string{
		"/proc/self/limits", "/proc/self/cgroup", "/proc/self/loginuid", fmt.Sprintf("/proc/%d/cmdline", long.Process.Pid),
	} {
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		got, err := readFile(name)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
}

// What the container of an exec costs: nearly all of it is the kernel's.
func BenchmarkContainer(b *testing.B) {
	fs, err := Open("/proc")
	require.NoError(b, err)
	pid := uint32(os.Getpid())
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := fs.Container(pid); !ok {
			b.Fatal("this process is gone")
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add(
		[]byte("40 (bash) S 41 42 42 34817 43 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"),
		"bash",
		uint32(41),
		uint64(987654),
	)
	f.Add([]byte(")("), ") R 1 (", uint32(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, comm string, ppid uint32, start uint64) {
		_, _ = parseStat(b)
		line := fmt.Sprintf("40 (%s) S %d 42 42 34817 43 4194304 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1", comm, ppid, start)
		s, err := parseStat([]byte(line))
		require.NoError(t, err)
		require.Equal(
			t,
			stat{comm: comm, ppid: ppid, terminal: process.Terminal{Major: 136, Minor: 1}, startTicks: start},
			s,
		)
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("Name:\tbash\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t7\t8\n"), uint32(1000), uint32(0))
	f.Add([]byte("Uid:\nUid:\t1"), ^uint32(0), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, real, effective uint32) {
		ids(b, "Uid:")
		gotReal, gotEffective := ids(fmt.Appendf(nil, "Name:\tx\nUid:\t%d\t%d\t3\t4\n%s", real, effective, b), "Uid:")
		require.Equal(t, []uint32{real, effective}, []uint32{gotReal, gotEffective})
	})
}

func FuzzParseCmdline(f *testing.F) {
	f.Add([]byte("ss\x00-tan\x00"))
	f.Add([]byte("sshd: alice [priv]\x00\x00\x00"))
	f.Add([]byte("written over"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		args := parseCmdline(b)
		require.Equal(t, len(b) == 0, len(args) == 0)
		if len(args) > 0 {
			require.Equal(t, strings.TrimRight(string(b), "\x00"), strings.TrimRight(strings.Join(args, "\x00"), "\x00"))
		}
	})
}

func TestATitleIsOneArgument(t *testing.T) {
	for text, want := range map[string][]string{
		"ss\x00-tan\x00":                        {"ss", "-tan"},
		"echo\x00\x00":                          {"echo", ""},
		"sshd: alice@notty\x00\x00\x00\x00\x00": {"sshd: alice@notty"},
		"\x00":                                  {""},
		"\x00\x00\x00\x00":                      {""},
		"written over":                          {"written over"},
	} {
		require.Equal(t, want, parseCmdline([]byte(text)), "%q", text)
	}
}

func FuzzContainerID(f *testing.F) {
	f.Add([]byte("0::/system.slice/docker-3dc25ec3b1f9d3c7b7b0f5c0c1f0e7a2c3d4e5f60718293a4b5c6d7e8f901234.scope\n"))
	f.Add(
		[]byte("12:pids:/docker/3dc25ec3b1f9d3c7b7b0f5c0c1f0e7a2c3d4e5f60718293a4b5c6d7e8f901234\n1:name=systemd:/\n"),
	)
	f.Add([]byte("0::/machine.slice/machine-my\\x2dweb.scope/payload\n"))
	f.Add([]byte("0::/lxc.payload.web1\n5:cpuset:/lxc/web2\n::::"))
	f.Fuzz(func(t *testing.T, cgroup []byte) {
		unescaped := strings.ReplaceAll(string(cgroup), `\x2d`, "-")
		if id := containerID(cgroup); id != "" && !strings.Contains(string(cgroup), id) && !strings.Contains(unescaped, id) {
			t.Fatalf("%q is not in %q", id, cgroup)
		}
	})
}

// TestAPersonOnAConsoleHasATerminal is of the consoles that guests and boards have, and of one that no table has a name
// for.
func TestAPersonOnAConsoleHasATerminal(t *testing.T) {
	for name, number := range map[string]string{
		"": "0", "pts300": "1083436", "hvc0": "58624", "ttyAMA0": "52288", "ttyUSB0": "48128", "250:7": "64007",
	} {
		s, err := parseStat(
			[]byte("40 (bash) S 41 42 42 " + number + " 43 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"),
		)
		require.NoError(t, err)
		require.Equal(t, name, s.terminal.String())
	}
}
