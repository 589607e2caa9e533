// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/livetest"
)

var boundingSet = regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.+)$`)

// capabilities are those that the unit leaves, by name (AUDIT_READ).
func capabilities(t *testing.T) []string {
	unit, err := os.ReadFile(filepath.Join("systemd", "reconbeat.service"))
	require.NoError(t, err)
	found := boundingSet.FindSubmatch(unit)
	require.NotNil(t, found)
	return strings.Fields(strings.ReplaceAll(string(found[1]), "CAP_", ""))
}

// userManager makes a copy of this host the root of a mount namespace and runs the unit there for every module, by a
// systemd of its own. It is systemd's manager for a user, since the one for the system must be process 1; the user is
// root, and so the unit's sandbox is the same. What it cannot do is what logind would have done (XDG_RUNTIME_DIR,
// /run/systemd/inaccessible) and directories in /var (StateDirectory=).
const userManager = `
cd "$1"
shift
mount --rbind /sys sys
mkdir -p old
pivot_root . old
exec chroot . /bin/sh -eu /srv/script "$@"
`

// manager starts that systemd, and ends it.
const manager = `
umount -l /old
mkdir -p /run/systemd/system /run/systemd/inaccessible /run/user/0 /root/.config/systemd/user/reconbeat.service.d
cd /run/systemd/inaccessible
: >reg; : >sock; mkdir dir; mkfifo fifo; mknod chr c 0 0; mknod blk b 0 0; chmod 000 *
cd /
cp /usr/lib/systemd/system/reconbeat.service /root/.config/systemd/user/
cat >/root/.config/systemd/user/reconbeat.service.d/user.conf <<END
[Service]
StateDirectory=
LogsDirectory=
ReadWritePaths=/var/lib/reconbeat /var/log/reconbeat
StandardOutput=append:/srv/log
StandardError=append:/srv/log
END
# Other tests have a manager at the same time. Where both versions of control groups are mounted, it takes the second.
own=reconbeat-test-$$
for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
	[ ! -e $group/cgroup.procs ] || { mkdir $group/$own && echo $$ >$group/$own/cgroup.procs; } || exit 77
done
export HOME=/root XDG_RUNTIME_DIR=/run/user/0 SYSTEMD_IGNORE_CHROOT=1
/lib/systemd/systemd --user --log-target=null </dev/null >/dev/null 2>&1 &
manager=$!
trap 'kill $manager; wait $manager || true
for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
	[ -d $group/$own ] || continue
	echo $$ >$group/cgroup.procs
	find $group/$own -depth -type d -exec rmdir {} + || true
done' EXIT
tries=0
until systemctl --user list-units >/dev/null 2>&1; do
	tries=$((tries + 1)); [ $tries -lt 60 ] || exit 77
	sleep 0.5
done
`

const everyModule = manager + `
look() { setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'cd /tmp; ss -tan >/dev/null; sleep 1' || true; }
for module in "$@"; do
	cp /srv/$module.yml /etc/reconbeat/reconbeat.yml
	chmod 600 /etc/reconbeat/reconbeat.yml
	systemctl --user start reconbeat.service
	# A file system that is read-only has room for the socket of the metrics.
	until [ -S $XDG_RUNTIME_DIR/reconbeat/reconbeat.sock ]; do sleep 0.1; done
	until cat /var/log/reconbeat/$module*.ndjson 2>/dev/null | grep -q '"args":\["ss","-tan"\]'; do look; done
	# A busy manager has been seen to answer 0.
	until pid=$(systemctl --user show -p MainPID --value reconbeat.service) && [ "$pid" != 0 ]; do sleep 0.1; done
	cat /proc/$pid/status >/srv/$module.status
	systemctl --user show -p NRestarts --value reconbeat.service >/srv/$module.restarts
	if [ $module = ndjson ]; then
		kill -9 $pid
		until now=$(systemctl --user show -p MainPID --value reconbeat.service)
			[ "$now" != 0 ] && [ "$now" != $pid ]
		do sleep 0.5; done
	fi
	systemctl --user stop reconbeat.service
done
`

// TestTheUnitLetsEveryModuleWork runs the unit under systemd, with its capabilities, its file system and its filter of
// system calls, and has another user look.
func TestTheUnitLetsEveryModuleWork(t *testing.T) {
	need(t, "dpkg", "unshare", "pivot_root", "setpriv", "ss", "systemctl")
	t.Parallel()
	deb := distribution(t, "deb")
	livetest.LockAudit(t)

	h := newHost(t)
	h.run("dpkg", "-i", h.bring(deb))
	support := h.run("sh", "-c", "reconbeat test modules 2>/dev/null")
	var modules []string
	for _, module := range []string{"auditd", "procconn"} {
		if !regexp.MustCompile(`(?m)^` + module + ` +works`).MatchString(support) {
			t.Logf("SKIPPED: MODULE %s DOES NOT WORK ON THIS HOST:\n%s", module, support)
			continue
		}
		modules = append(modules, module)
	}
	modules = append(modules, "auditlog", "ndjson")
	h.write("/srv/script", everyModule)
	options := map[string]string{
		"auditlog": ", from: beginning",
		"ndjson":   ", from: beginning, paths: [/var/log/audit/process.ndjson]",
	}
	for _, module := range modules {
		h.write(
			"/srv/"+module+".yml",
			"reconbeat.modules: [{module: "+module+options[module]+"}]\nreconbeat.detector.model: rare\npath.data: "+
				"/var/lib/reconbeat/"+module+
				"\noutput.file: {path: /var/log/reconbeat, filename: "+module+"}\n"+
				"http: {enabled: true, host: 'unix:///run/user/0/reconbeat/reconbeat.sock'}\n",
		)
	}
	// The logs belong to another, who alone may read them.
	folder := filepath.Join(h.root, "var/log/audit")
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.Mkdir(folder, 0o700))
	h.write("/var/log/audit/audit.log",
		unpacked(t, filepath.Join(repository, "module", "auditlog", "testdata", "audit.log.gz")))
	h.write(
		"/var/log/audit/process.ndjson",
		`{"@timestamp":"2026-01-05T10:00:00Z","event":{"category":["process"],"type":["start"],"action":"exec"},`+
			`"process":{"pid":7,"name":"ss","executable":"/usr/bin/ss","args":["ss","-tan"]},"user":{"id":"1000",`+
			`"name":"alice"}}`+"\n",
	)
	for _, name := range []string{"", "audit.log", "process.ndjson"} {
		require.NoError(t, os.Chown(filepath.Join(folder, name), 1234, 1234))
	}

	h.manage(modules...)

	var mask uint64
	for _, name := range capabilities(t) {
		bits := map[string]uint64{
			"AUDIT_CONTROL":   unix.CAP_AUDIT_CONTROL,
			"AUDIT_READ":      unix.CAP_AUDIT_READ,
			"NET_ADMIN":       unix.CAP_NET_ADMIN,
			"SYS_PTRACE":      unix.CAP_SYS_PTRACE,
			"DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
		}
		bit, known := bits[name]
		require.True(t, known, name)
		mask |= 1 << bit
	}
	for _, module := range modules {
		assert.Equal(t, "0\n", h.read("/srv/"+module+".restarts"), "%s ended by itself:\n%s", module, h.read("/srv/log"))
		status := h.read("/srv/" + module + ".status")
		assert.Contains(t, status, fmt.Sprintf("CapEff:\t%016x\n", mask), module)
		assert.Contains(t, status, fmt.Sprintf("CapBnd:\t%016x\n", mask), module)
		assert.Contains(t, status, "NoNewPrivs:\t1\n", module)
		assert.Contains(t, status, "Seccomp:\t2\n", module)
	}
	for _, module := range modules[:len(modules)-2] {
		doc := h.match(module)
		assert.True(t, filepath.IsAbs(doc.Process.Executable), "%s: %+v", module, doc)
		assert.True(t, filepath.IsAbs(doc.Process.Parent.Executable), "%s does not see another user's parent: %+v",
			module, doc)
	}
}

// manage runs /srv/script under the manager.
func (h host) manage(args ...string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", append(
		[]string{"--mount", "--propagation", "private", "sh", "-eu", "-c", userManager, "sh", h.root}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	out, err := c.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 77 {
		h.t.Skipf("SKIPPED: SYSTEMD DOES NOT RUN HERE: %s", out)
	}
	log, _ := os.ReadFile(filepath.Join(h.root, "srv/log"))
	require.NoError(h.t, err, "%s\n%s", out, log)
}

// everyHook runs the unit as it is, and then with the drop-in that is shipped for programs.
const everyHook = manager + `
systemctl --user start reconbeat.service
until grep -q 'it lacks CAP_SETUID, CAP_SETGID, CAP_KILL' /srv/log; do sleep 0.5; done
! grep -q 'lock-account prints' /srv/log
systemctl --user stop reconbeat.service
sed 's/^#\(CapabilityBoundingSet\|ReadWritePaths\)/\1/' /usr/share/reconbeat/systemd/program.conf \
	>/root/.config/systemd/user/reconbeat.service.d/program.conf
systemctl --user daemon-reload
systemctl --user start reconbeat.service
until grep -q 'lock-account prints: locked account alice' /srv/log && grep -q 'nobody prints: 65534' /srv/log &&
	grep -q 'it was killed after 2s' /srv/log && grep -q 'end-session prints: would end session 7 of alice' /srv/log
do sleep 0.5; done
systemctl --user stop reconbeat.service
`

// TestTheUnitRunsPrograms has the unit deliver an alert to programs: one as nobody, one that has to be killed, and the
// hooks that are shipped. As the unit is, it has not the rights, and says which; the drop-in grants them.
func TestTheUnitRunsPrograms(t *testing.T) {
	need(t, "dpkg", "unshare", "pivot_root", "systemctl", "useradd")
	t.Parallel()
	h := newHost(t)
	h.run("dpkg", "-i", h.bring(distribution(t, "deb")))
	h.run("useradd", "--uid", "4711", "--no-create-home", "--password", "secret", "alice")
	hooks := "/usr/local/lib/reconbeat/"
	h.run("mkdir", "-p", hooks)
	h.write(hooks+"nobody", "#!/bin/sh\nid -u\n")
	h.write(hooks+"hangs", "#!/bin/sh\nsleep 3600\n")
	h.run("sh", "-ec", "cd "+hooks+"; cp /usr/share/reconbeat/hooks/* .; chmod 755 *\n"+
		"sed -i 's/^dry_run=yes/dry_run=no/' lock-account")
	h.write("/etc/reconbeat/reconbeat.yml", `
reconbeat.modules: [{module: ndjson, from: beginning, paths: [/srv/process.ndjson]}]
reconbeat.detector: {learn_for: 0s, rules: [{id: network-connection-discovery, threshold: 0}]}
reconbeat.notify:
- {id: nobody, program: {path: /usr/local/lib/reconbeat/nobody}}
- {id: hangs, program: {path: /usr/local/lib/reconbeat/hangs, timeout: 2s}}
- {id: lock, program: {path: /usr/local/lib/reconbeat/lock-account, user: root}}
- {id: end, program: {path: /usr/local/lib/reconbeat/end-session, user: root}}
output.file: {path: /var/log/reconbeat, filename: alerts}
`)
	h.write("/srv/process.ndjson", `{"@timestamp":"2026-01-05T10:00:00Z","event":{"category":["process"],`+
		`"type":["start"],"action":"exec"},"process":{"pid":7,"name":"ss","executable":"/usr/bin/ss",`+
		`"args":["ss","-tan"]},"user":{"id":"4711","name":"alice"},"auditd":{"session":"7"}}`+"\n")
	h.write("/srv/script", everyHook)
	h.manage()
	account := strings.Split(h.run("getent", "shadow", "alice"), ":")
	assert.Equal(t, "!secret", account[1])
	assert.Equal(t, "1", account[7])
}

// agentUpgraded has an Agent unpack a new version as its upgrades do: first its folder, later the components.
const agentUpgraded = manager + `
mkdir /root/.config/systemd/user/reconbeat-agent.service.d
cp /usr/lib/systemd/system/reconbeat-agent.* /root/.config/systemd/user/
printf '[Service]\nStandardOutput=append:/srv/log\nStandardError=append:/srv/log\n' \
	>/root/.config/systemd/user/reconbeat-agent.service.d/user.conf
versions=/opt/Elastic/Agent/data
mkdir -p $versions/elastic-agent-9.1.0-abc/components /var/lib/elastic-agent/data/elastic-agent-9.1.0-abc/components
reconbeat agent install --home /opt/Elastic/Agent
systemctl --user daemon-reload
systemctl --user start reconbeat-agent.path
mkdir $versions/elastic-agent-9.2.0-def
until grep -q 'waiting for the components in /opt/Elastic/Agent/data/elastic-agent-9.2.0-def' /srv/log
do sleep 0.1; done
mkdir /srv/components && chown 4711:4712 /srv/components && mv /srv/components $versions/elastic-agent-9.2.0-def/
while [ "$(systemctl --user show -p Result -p ActiveState --value reconbeat-agent.service | tr '\n' ' ')" != \
	'success inactive ' ]
do sleep 0.1; done
`

// TestAnUpgradedAgentKeepsReconbeat runs the unit that sees an Agent's upgrade: the new version gets the component, as
// its own. An Agent that never had it is left alone.
func TestAnUpgradedAgentKeepsReconbeat(t *testing.T) {
	need(t, "dpkg", "unshare", "pivot_root", "systemctl", "systemd-analyze")
	t.Parallel()
	h := newHost(t)
	h.run("mkdir", "-p", "/run/systemd/system") // as if systemd ran, which is kept from being asked
	h.run("env", "SYSTEMD_OFFLINE=1", "dpkg", "-i", h.bring(distribution(t, "deb")))
	h.run("systemd-analyze", "verify", "--man=no", "reconbeat-agent.path", "reconbeat-agent.service")
	enabled := filepath.Join(h.root, "/etc/systemd/system/multi-user.target.wants/reconbeat-agent.path")
	_, err := os.Lstat(enabled)
	require.NoError(t, err, "the unit is enabled")
	h.write("/srv/script", agentUpgraded)
	h.manage()
	said := h.read("/srv/log")
	assert.Contains(t, said, "elastic-agent-9.2.0-def/components: installed now")
	found := h.run("stat", "-c", "%n %U %u:%g %a", "/opt/Elastic/Agent/data/elastic-agent-9.2.0-def/components/reconbeat",
		"/opt/Elastic/Agent/data/elastic-agent-9.2.0-def/components/reconbeat.spec.yml")
	assert.Contains(t, found, "reconbeat UNKNOWN 4711:4712 755\n")
	assert.Contains(t, found, "reconbeat.spec.yml UNKNOWN 4711:4712 644\n")
	states := h.run("reconbeat", "agent", "status")
	assert.Regexp(t, `elastic-agent-9.2.0-def +installed +/opt/Elastic`, states)
	assert.Regexp(t, `elastic-agent-9.1.0-abc +not installed +/var/lib/elastic-agent`, states)

	h.run("env", "SYSTEMD_OFFLINE=1", "dpkg", "-r", "reconbeat")
	_, err = os.Lstat(enabled)
	assert.ErrorIs(t, err, os.ErrNotExist, "it goes with the package")
}

// matched is what a raw event says of a match.
type matched struct {
	User    struct{ ID string }
	Process struct {
		Args       []string
		Executable string
		Parent     struct{ Executable string }
	}
}

// match is the event of the match of user 65534 in what a module has written.
func (h host) match(module string) matched {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.root, "var/log/reconbeat", module+"*.ndjson"))
	require.NoError(h.t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(h.t, err)
		for line := range bytes.Lines(text) {
			var doc matched
			require.NoError(h.t, json.Unmarshal(line, &doc))
			if doc.User.ID == "65534" && strings.Join(doc.Process.Args, " ") == "ss -tan" {
				return doc
			}
		}
	}
	h.t.Errorf("%s has not seen the match", module)
	return matched{}
}

func unpacked(t *testing.T, file string) string {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(text)
}
