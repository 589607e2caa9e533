// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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
