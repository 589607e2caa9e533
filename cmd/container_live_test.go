// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// liveContainer is the id of the live test's container, liveImage and livePod the image and the pod that its processor
// says it has. liveShop is what restarts, new versions and other pods keep of it.
var liveContainer = strings.Repeat("c0ffee00", 8)

const (
	liveImage = "shop/web:1.2"
	livePod   = "web-7c5ddbdf54-2xkvz"
	liveShop  = "shop/web/nginx"
)

// container makes a control group as a container's runtime does. The tests remove it at the end.
func (l *live) container() (group string) {
	for _, hierarchy := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(hierarchy, "cgroup.procs")); err != nil {
			continue
		}
		group = filepath.Join(hierarchy, "docker-"+liveContainer+".scope")
		if err := os.Mkdir(group, 0o755); err == nil {
			l.t.Cleanup(func() { os.Remove(group) })
			return group
		}
	}
	l.t.Skip("SKIPPED: THE LIVE TEST OF CONTAINERS NEEDS A HIERARCHY OF CONTROL GROUPS IN WHICH ONE CAN BE MADE")
	return ""
}

// TestLiveAContainer has a service account run ss in namespaces and a control group of a container: the alert names
// the container, says nothing of the host's account of the same number, and the model has an actor of the image.
func TestLiveAContainer(t *testing.T) {
	l := newLive(t, "context")
	group := l.container()
	// As add_kubernetes_metadata does it, where Kubernetes runs.
	l.module = `, processors: [{add_fields: {target: '', fields: {container.image.name: ` + liveImage +
		`, kubernetes: {namespace: shop, pod.name: ` + livePod + `, container.name: nginx}}, ` +
		`when.has_fields: [container.id]}}]`
	l.learnDays(60, true)
	l.start()
	t.Cleanup(func() { _ = l.beat.Process.Signal(unix.SIGTERM) }) // where the test ends early
	inside := exec.Command("sh", "-c", "echo $$ >"+group+"/cgroup.procs && exec unshare --mount --pid --uts --ipc --fork "+
		"--mount-proc setpriv --reuid "+liveDaemon+" --regid "+liveDaemon+" --init-groups sh -c 'ss -tan; read -r _; true'")
	inside.Dir = "/"
	seen, err := inside.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, inside.Start())
	alert := l.awaitAlert(mapstr.M{"container.id": liveContainer})
	require.NoError(t, seen.Close())
	require.NoError(t, inside.Wait())
	for field, want := range map[string]string{
		"container.image.name":                 liveImage,
		"kubernetes.pod.name":                  livePod,
		"process.entry_leader.entry_meta.type": "container",
		"reconbeat.actor.container":            liveShop,
		"process.command_line":                 "ss -tan",
		"user.id":                              l.uid(liveDaemon),
		"user.name":                            "", // the host's names are not the container's
		"reconbeat.account.class":              "",
	} {
		require.Equal(t, want, text(alert, field), field)
	}
	require.Regexp(t, "^uid [0-9]+ in "+liveShop+" has never looked at network connections", text(alert, "event.reason"))
	out, err := l.command("alerts", "show", "--", text(alert, "event.id")).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Regexp(t, `(?m)^Actor .*container `+liveShop+`$`, string(out))

	// The same number outside is another actor, whose account the host does know.
	run, err := l.daemon(liveDaemon, "ss -tan; true").CombinedOutput()
	require.NoError(t, err, string(run))
	outside := l.awaitAlert(mapstr.M{"user.name": liveDaemon})
	require.Empty(t, text(outside, "container.id"))
	require.Equal(t, "/bin/bash", text(outside, "reconbeat.account.shell"))
	l.canary()
	l.stop()
	out, err = l.command("model", "explain", l.uid(liveDaemon), "--format", "json").Output()
	require.NoError(t, err)
	var known []struct {
		Actors []struct{ Container string }
	}
	require.NoError(t, json.Unmarshal(out, &known))
	var containers []string
	for _, k := range known {
		for _, a := range k.Actors {
			containers = append(containers, a.Container)
		}
	}
	require.ElementsMatch(t, []string{"", liveShop}, containers)
}

// podmanImage is what the test's image is called, podmanShop what new versions keep of it.
const (
	podmanImage = podmanShop + ":1.2"
	podmanShop  = "registry.example:5000/shop/web"
)

// podmanFiles makes a folder of the files of a container, and an archive of them: busybox and what it is linked with.
const podmanFiles = `mkdir -p files/bin files/etc && cp "$(command -v busybox)" files/bin/busybox &&
{ ldd files/bin/busybox | grep -o '/[^ ]*' | xargs -r cp -L --parents -t files; true; } &&
ln -s busybox files/bin/sh && ln -s busybox files/bin/netstat && tar -C files -cf files.tar .`

// podman is podman with a store of its own, below a folder.
func podman(dir string, args ...string) *exec.Cmd {
	c := exec.Command("podman", append([]string{
		"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs",
		"--events-backend", "file", "--cgroup-manager", "cgroupfs", "--runtime", "runc",
	}, args...)...)
	c.Dir = dir
	return c
}

// TestLivePodman has podman run netstat in a container: the alert has the container's id, and what podman's socket says
// of it by add_docker_metadata, as the model's actor has.
func TestLivePodman(t *testing.T) {
	for _, program := range []string{"podman", "conmon", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("SKIPPED: THE LIVE TEST OF PODMAN NEEDS podman, conmon AND runc (Debian: podman conmon runc)")
		}
	}
	l := newLive(t, "context")
	dir := t.TempDir()
	t.Cleanup(func() { _ = podman(dir, "rm", "--all", "--force", "--time", "0").Run() })
	files := exec.Command("sh", "-c", podmanFiles)
	files.Dir = dir
	out, err := files.CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = podman(dir, "import", "files.tar", podmanImage).CombinedOutput()
	require.NoError(t, err, string(out))
	arguments := func(command string, more ...string) []string {
		return slices.Concat([]string{
			"run", "--interactive", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
		}, more, []string{podmanImage, "sh", "-c", command})
	}
	if out, err := podman(dir, arguments("true")...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: PODMAN RUNS NO CONTAINER HERE: %s", out)
	}
	socket := filepath.Join(dir, "podman.sock")
	service := podman(dir, "system", "service", "--time", "0", "unix://"+socket)
	require.NoError(t, service.Start())
	t.Cleanup(func() { _ = service.Process.Kill(); _ = service.Wait() })
	require.True(t, beattest.Poll(time.Minute, func() bool { _, err := os.Stat(socket); return err == nil }))

	l.module = `, processors: [{add_docker_metadata: {match_fields: [container.id], host: 'unix://` + socket + `'}}]`
	l.learnDays(60, true)
	l.start()
	t.Cleanup(func() { _ = l.beat.Process.Signal(unix.SIGTERM) }) // where the test ends early
	inside := podman(dir, arguments("while read -r _; do netstat -tan; done", "--name", "web-1", "--user", "1234")...)
	lines, err := inside.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, inside.Start())
	var alert mapstr.M
	beattest.Poll(2*time.Minute, func() bool { // podman says that it has started one after the first programs in it
		_, err := lines.Write([]byte("\n"))
		alert = l.find("alert", mapstr.M{"container.name": "web-1"})
		return err != nil || alert != nil
	})
	require.NotNil(t, alert, "no alert of the container; the log:\n%s", l.log)
	id, err := podman(dir, "inspect", "--format", "{{.Id}}", "web-1").Output()
	require.NoError(t, err)
	for field, want := range map[string]string{
		"container.id":                         strings.TrimSpace(string(id)),
		"container.image.name":                 podmanImage,
		"process.entry_leader.entry_meta.type": "container",
		"reconbeat.actor.container":            podmanShop,
		"process.command_line":                 "netstat -tan",
		"user.id":                              "1234",
		"user.name":                            "",
	} {
		require.Equal(t, want, text(alert, field), field)
	}
	if text(alert, "reconbeat.executable.unread") == "" {
		require.Equal(t, "unknown", text(alert, "reconbeat.executable.state"), "the host's packages say nothing of it")
		require.Len(t, text(alert, "process.hash.sha256"), 64)
	}
	require.Regexp(t, "^uid 1234 in "+podmanShop+" has never looked at network connections", text(alert, "event.reason"))
	require.NoError(t, lines.Close())
	require.NoError(t, inside.Wait())
	l.stop()
	require.NotContains(t, l.log.All(), "failed applying processor")
}
