// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/stack"
)

// repository is the folder of the whole.
var repository = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// machines is what the field calls an architecture, in the names of a kind of package.
var machines = map[string]map[string]string{
	"amd64": {"deb": "amd64", "rpm": "x86_64", "tar.gz": "linux-x86_64"},
	"arm64": {"deb": "arm64", "rpm": "aarch64", "tar.gz": "linux-arm64"},
}

// distribution is the package of a kind that was made for this architecture.
func distribution(t *testing.T, kind string) string {
	t.Helper()
	return distributionFor(t, runtime.GOARCH, kind)
}

func distributionFor(t *testing.T, arch, kind string) string {
	t.Helper()
	return made(t, arch, "distributions", "reconbeat-*-"+machines[arch][kind]+"."+kind)
}

// stage is the folder whose contents were packed for this architecture.
func stage(t *testing.T) string {
	t.Helper()
	return made(t, runtime.GOARCH, "package", "reconbeat-*-"+machines[runtime.GOARCH]["tar.gz"])
}

func made(t *testing.T, arch, folder, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(repository, "build", folder, name))
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skipf("SKIPPED: NO %s IS MADE: run `ARCH=%s go tool mage package`", name, arch)
	}
	require.Len(t, found, 1, "remove the older ones with `go tool mage clean`")
	return found[0]
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: THE PACKAGE TESTS NEED ROOT: they install packages")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: THIS TEST NEEDS %s", tool)
		}
	}
}

// host is a copy of this host's file system in which everything can be done for real: what is written stays in memory.
type host struct {
	t    *testing.T
	root string
}

// mount mounts until the test's end.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("SKIPPED: THIS HOST DOES NOT LET %s BE MOUNTED: %v", kind, err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(target, unix.MNT_DETACH)) })
}

func newHost(t *testing.T) host {
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", 0, "size=2g")
	h := host{t: t, root: filepath.Join(dir, "root")}
	for _, name := range []string{"root", "upper", "work"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	mount(t, "overlay", h.root, "overlay", 0,
		"lowerdir=/,upperdir="+filepath.Join(dir, "upper")+",workdir="+filepath.Join(dir, "work"))
	mount(t, "proc", filepath.Join(h.root, "proc"), "proc", 0, "")
	mount(t, "tmpfs", filepath.Join(h.root, "run"), "tmpfs", 0, "")
	mount(t, "/dev", filepath.Join(h.root, "dev"), "", unix.MS_BIND, "")
	_ = os.Remove(
		filepath.Join(h.root, "var/lib/man-db/auto-update"),
	) // or each installation indexes all the manual pages of the host, for minutes
	if present := h.files(); len(present) > 0 {
		t.Skipf("SKIPPED: RECONBEAT IS INSTALLED ON THIS HOST: %v", present)
	}
	return h
}

func (h host) command(name string, args ...string) *exec.Cmd {
	c := exec.Command("/usr/bin/env", append([]string{"-C", "/", name}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: h.root}
	c.Dir = "/"
	// In /usr/local/bin, a live test of package cmd has a reconbeat for a while.
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
		"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "HOME=/root"}
	return c
}

// run runs a command in the copy; it must succeed.
func (h host) run(name string, args ...string) string {
	h.t.Helper()
	out, err := h.command(name, args...).CombinedOutput()
	require.NoError(h.t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

func (h host) read(path string) string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.root, path))
	require.NoError(h.t, err)
	return string(data)
}

func (h host) write(path, text string) {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.root, path), os.O_WRONLY|os.O_TRUNC|os.O_CREATE, 0o600)
	require.NoError(h.t, err)
	_, err = f.WriteString(text)
	require.NoError(h.t, err)
	require.NoError(h.t, f.Close())
}

// bring puts a file of the repository into the copy's /srv.
func (h host) bring(file string) string {
	h.t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(h.t, err)
	h.write(filepath.Join("/srv", filepath.Base(file)), string(data))
	return filepath.Join("/srv", filepath.Base(file))
}

// files are reconbeat's files in the copy, with mode and owner.
func (h host) files() map[string]string {
	found := map[string]string{}
	for _, top := range []string{"etc", "usr/bin", "usr/lib/systemd/system", "usr/share", "var/lib", "var/log",
		"var/cache"} {
		_ = filepath.WalkDir(filepath.Join(h.root, top), func(path string, d fs.DirEntry, err error) error {
			name := strings.TrimPrefix(path, h.root)
			if err != nil || !strings.Contains(name, "reconbeat") || strings.HasPrefix(name, "/var/lib/dpkg/") {
				return nil
			}
			info, err := d.Info()
			require.NoError(h.t, err)
			stat := info.Sys().(*syscall.Stat_t)
			found[name] = fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
			return nil
		})
	}
	return found
}

// installed are files that a package must have brought, with mode and owner.
var installed = map[string]string{
	"/usr/share/reconbeat/bin/reconbeat":                              "-rwxr-xr-x 0:0",
	"/usr/bin/reconbeat":                                              "-rwxr-xr-x 0:0",
	"/usr/lib/systemd/system/reconbeat.service":                       "-rw-r--r-- 0:0",
	"/usr/lib/systemd/system/reconbeat-agent.path":                    "-rw-r--r-- 0:0",
	"/usr/lib/systemd/system/reconbeat-agent.service":                 "-rw-r--r-- 0:0",
	"/usr/share/reconbeat/systemd/program.conf":                       "-rw-r--r-- 0:0",
	"/usr/share/reconbeat/hooks/end-session":                          "-rwxr-xr-x 0:0",
	"/usr/share/reconbeat/hooks/lock-account":                         "-rwxr-xr-x 0:0",
	"/etc/reconbeat":                                                  "drwxr-xr-x 0:0",
	"/etc/reconbeat/reconbeat.yml":                                    "-rw------- 0:0",
	"/etc/reconbeat/reconbeat.reference.yml":                          "-rw-r--r-- 0:0",
	"/etc/reconbeat/fields.yml":                                       "-rw-r--r-- 0:0",
	"/etc/reconbeat/modules.d/auditd.yml.disabled":                    "-rw-r--r-- 0:0",
	"/etc/reconbeat/rules.d/example.yml.disabled":                     "-rw-r--r-- 0:0",
	"/etc/reconbeat/exceptions.d/example.yml.disabled":                "-rw-r--r-- 0:0",
	"/etc/reconbeat/windows.d/example.yml.disabled":                   "-rw-r--r-- 0:0",
	"/etc/reconbeat/onboarding.d/example.yml.disabled":                "-rw-r--r-- 0:0",
	"/usr/share/reconbeat/LICENSE":                                    "-rw-r--r-- 0:0",
	"/usr/share/reconbeat/NOTICE.txt":                                 "-rw-r--r-- 0:0",
	"/usr/share/reconbeat/kibana":                                     "drwxr-xr-x 0:0",
	"/usr/share/reconbeat/kibana/7/dashboard/reconbeat-overview.json": "-rw-r--r-- 0:0",
	"/usr/share/man/man1/reconbeat.1.gz":                              "-rw-r--r-- 0:0",
	"/usr/share/bash-completion/completions/reconbeat":                "-rw-r--r-- 0:0",
	"/usr/share/fish/vendor_completions.d/reconbeat.fish":             "-rw-r--r-- 0:0",
	"/var/lib/reconbeat":                                              "drwxr-x--- 0:0",
	"/var/log/reconbeat":                                              "drwxr-x--- 0:0",
}

func (h host) hasEverything() {
	h.t.Helper()
	found := h.files()
	for name, mode := range installed {
		assert.Equal(h.t, mode, found[name], name)
	}
	assert.Regexp(h.t, `^reconbeat version \d+\.\d+\.\d+ `, h.run("reconbeat", "version"))
	assert.Contains(h.t, h.run("reconbeat", "test", "config"), "Config OK")
	assert.Contains(h.t, h.run("reconbeat", "test", "rules"), "Rules OK")
	out, err := h.command("reconbeat", "setup", "--rules").CombinedOutput() // it reads them before it looks for Kibana
	assert.Error(h.t, err)
	assert.Contains(h.t, string(out), "connecting to Kibana", "setup finds the rules")
	assert.Contains(h.t, h.run("sh", "-c", "reconbeat export config 2>/dev/null"), "config: /etc/reconbeat")
	h.linksLeadSomewhere("/usr/share/doc/reconbeat")
}

// linksLeadSomewhere looks up the files to which the installed pages link.
func (h host) linksLeadSomewhere(folder string) {
	h.t.Helper()
	link := regexp.MustCompile(`\]\(([^)\s#]+)`)
	pages, links := 0, 0
	require.NoError(h.t, filepath.WalkDir(h.root+folder, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".md" {
			return err
		}
		pages++
		text, err := os.ReadFile(name)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "://") {
				links++
				_, missing := os.Stat(filepath.Join(filepath.Dir(name), m[1]))
				assert.NoError(h.t, missing, "%s links to %s", name, m[1])
			}
		}
		return err
	}))
	assert.Greater(h.t, pages, 30)
	assert.Greater(h.t, links, 100)
}

const configuration = `reconbeat:
  config.modules.path: ${path.config}/modules.d/*.yml
output.file: {path: /var/log/reconbeat, filename: alerts}
`

// configure has reconbeat read a file, in which nothing is yet.
func (h host) configure() {
	h.t.Helper()
	h.write("/etc/reconbeat/reconbeat.yml", configuration)
	h.run("reconbeat", "modules", "enable", "ndjson")
	h.write("/etc/reconbeat/modules.d/ndjson.yml", "- module: ndjson\n  paths: [/srv/process.ndjson]\n")
	h.write("/srv/process.ndjson", "")
}

// learn configures reconbeat, has it learn from a recording, and runs it as the unit does, until it has taken over what
// was learned.
func (h host) learn() {
	h.t.Helper()
	h.configure()
	h.run("reconbeat", "replay", "--learn", "--host", "host02",
		h.bring(filepath.Join(repository, "detector", "rare", "testdata", "B.input.ndjson.gz")))
	h.serve()
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=(.+)$`)
var option = regexp.MustCompile(`(?m)^Environment="BEAT_CONFIG_OPTS=(.+)"$`)

// serve runs what the unit starts until the model can be shown, and ends it as systemd does.
func (h host) serve() {
	h.t.Helper()
	unit := h.read("/usr/lib/systemd/system/reconbeat.service")
	line := execStart.FindStringSubmatch(unit)
	opts := option.FindStringSubmatch(unit)
	require.NotNil(h.t, line)
	require.NotNil(h.t, opts)
	args := strings.Fields(strings.Replace(line[1], "$BEAT_CONFIG_OPTS", opts[1], 1))
	log, err := os.Create(filepath.Join(h.root, "srv", "log"))
	require.NoError(h.t, err)
	defer log.Close()
	c := h.command(args[0], args[1:]...)
	c.Stdout, c.Stderr = log, log
	require.NoError(h.t, c.Start())
	require.Eventually(h.t, func() bool {
		return strings.Contains(h.read("/srv/log"), "start running") && strings.Contains(h.model(), "mallory")
	}, time.Minute, 200*time.Millisecond)
	require.NoError(h.t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(h.t, c.Wait(), h.read("/srv/log"))
}

// guests runs commands that must not touch what the service keeps: with a path of their own, and those that never do,
// as root and as a plain user.
func (h host) guests() {
	h.t.Helper()
	history := h.bring(filepath.Join(repository, "detector", "rare", "testdata", "B.input.ndjson.gz"))
	h.run("chmod", "0644", history)
	kept := h.run("sh", "-c", "cd /var/lib/reconbeat && find . -type f -exec sha512sum {} + | sort")
	h.run("reconbeat", "replay", "--learn", "--host", "host02", history, "--path.data", "/srv/scratch")
	h.run("reconbeat", "model", "reset", "--yes", "--path.data", "/srv/scratch")
	h.run("reconbeat", "--path.data", "/srv/scratch", "keystore", "create", "--force")
	assert.FileExists(h.t, filepath.Join(h.root, "srv/scratch/reconbeat.keystore"))
	plain := []string{"--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for _, before := range [][]string{{"env"}, append([]string{"setpriv"}, plain...)} {
		out := h.run(before[0], append(before[1:len(before):len(before)], "reconbeat", "replay", history)...)
		assert.Contains(h.t, out, "5634 execs, 5634 matched")
	}
	out := h.run("setpriv", append(plain, "reconbeat", "replay", history)...)
	assert.Contains(h.t, out, "/etc/reconbeat/reconbeat.yml cannot be read by this user: these files are judged "+
		"with the settings that are built in.")
	out = h.run("setpriv", append(plain, "reconbeat", "test", "rules")...)
	assert.Contains(h.t, out, "/etc/reconbeat/reconbeat.yml cannot be read by this user: these are the rules that "+
		"are built in, and the files that you name.")
	assert.Contains(h.t, out, "Rules OK")
	said, err := h.command("setpriv", append(plain, "reconbeat", "test", "config")...).CombinedOutput()
	assert.Error(h.t, err)
	assert.Equal(
		h.t,
		"Error: /etc/reconbeat/reconbeat.yml cannot be read by this user: run `sudo reconbeat test config`, "+
			"or name another file with -c\n",
		string(said),
	)
	assert.Equal(h.t, kept, h.run("sh", "-c", "cd /var/lib/reconbeat && find . -type f -exec sha512sum {} + | sort"))
}

// agent makes the folders of an Elastic Agent of a version, and returns where the component's binary would be.
func (h host) agent(version string) (binary string) {
	h.t.Helper()
	folder := filepath.Join(h.root, "opt/Elastic/Agent/data/elastic-agent-"+version, "components")
	require.NoError(h.t, os.MkdirAll(folder, 0o755))
	return filepath.Join(folder, "reconbeat")
}

// model is what `reconbeat model show` says; nothing where there is none.
func (h host) model() string {
	out, _ := h.command("reconbeat", "model", "show").Output()
	return string(out)
}

// newer makes the next version of a package, whose configuration differs from the present one.
func newer(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	table, err := os.ReadFile("nfpm.yml")
	require.NoError(t, err)
	config, err := os.ReadFile(filepath.Join(repository, "reconbeat.yml"))
	require.NoError(t, err)
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "reconbeat.yml"), append(config, "# Said by the next version.\n"...), 0o600))
	changed := strings.Replace(string(table), "src: reconbeat.yml,", "src: "+filepath.Join(dir, "reconbeat.yml")+",", 1)
	require.NotEqual(t, string(table), changed)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nfpm.yml"), []byte(changed), 0o644))
	target := filepath.Join(dir, "reconbeat-next."+kind)
	c := exec.Command("go", "tool", "-modfile=tools/go.mod", "nfpm", "package", "-f", filepath.Join(dir, "nfpm.yml"),
		"-p", kind, "-t", target)
	c.Dir = repository
	c.Env = append(os.Environ(), "VERSION=999.0.0", "ARCH="+runtime.GOARCH, "STAGE="+stage(t),
		"SOURCE_DATE_EPOCH=1700000000")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	return target
}

func TestTheDebIsInstalledUpgradedRemovedAndPurged(t *testing.T) {
	need(t, "dpkg")
	t.Parallel()
	deb := distribution(t, "deb")
	h := newHost(t)

	h.run("dpkg", "-i", h.bring(deb))
	h.hasEverything()
	assert.Contains(t, h.files(), "/usr/share/zsh/vendor-completions/_reconbeat")
	agent := h.agent("9.1.0-abc")
	assert.NoFileExists(t, agent, "nobody has asked for a component")
	h.run("reconbeat", "agent", "install")
	require.NoError(t, os.WriteFile(agent, []byte("an older reconbeat"), 0o755))
	h.learn()
	model := h.model()
	h.guests()
	assert.Equal(t, model, h.model(), "the service's model is as it was")

	h.run("dpkg", "--force-confold", "-i", h.bring(newer(t, "deb")))
	assert.Contains(t, h.run("dpkg-query", "-W", "reconbeat"), "999.0.0")
	assert.Equal(t, configuration, h.read("/etc/reconbeat/reconbeat.yml"), "what was configured stays")
	assert.Contains(t, h.read("/etc/reconbeat/reconbeat.yml.dpkg-dist"), "Said by the next version")
	assert.Contains(t, h.run("reconbeat", "modules", "list"), "Enabled:\nndjson\n")
	assert.NotContains(t, h.files(), "/etc/reconbeat/modules.d/ndjson.yml.disabled",
		"a module that was enabled is not there twice")
	assert.Equal(t, model, h.model(), "what was learned stays")
	assert.Contains(t, h.run("reconbeat", "agent", "status"), "elastic-agent-9.1.0-abc  installed ",
		"an Agent that had an older reconbeat has the new one")
	h.serve()

	h.run("dpkg", "-r", "reconbeat")
	assert.NoFileExists(t, agent)
	assert.NoFileExists(t, agent+".spec.yml", "an Agent would not start with it")
	left := h.files()
	assert.NotContains(t, left, "/usr/bin/reconbeat")
	assert.NotContains(t, left, "/usr/share/reconbeat/bin/reconbeat")
	assert.NotContains(t, left, "/usr/lib/systemd/system/reconbeat.service")
	assert.NotContains(t, left, "/usr/lib/systemd/system/reconbeat-agent.path")
	assert.Equal(t, configuration, h.read("/etc/reconbeat/reconbeat.yml"))
	assert.Contains(t, left, "/var/lib/reconbeat/state", "what was learned stays until the purge")

	h.run("dpkg", "-P", "reconbeat")
	assert.Empty(t, h.files(), "a purge leaves nothing")
}

var toType = regexp.MustCompile("(?ms)^```sh package\n(.*?)^```$")

// manual is a page of the manual, and the blocks of it that are typed where packages are installed.
func manual(t *testing.T, name string) (page string, blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", name))
	require.NoError(t, err)
	for _, m := range toType.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return string(text), blocks
}

// TestTheManualOfThePackagesIsTyped types the commands of docs/packages.md in their order, where the packages lie under
// the names that the page gives them; then what docs/fleet.md says of a host with the package, with the output that it
// says.
func TestTheManualOfThePackagesIsTyped(t *testing.T) {
	need(t, "dpkg", "systemctl")
	if runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: THE MANUAL NAMES THE PACKAGES OF amd64")
	}
	t.Parallel()
	deb := distribution(t, "deb")
	es := stack.Start(t).Elasticsearch(t)
	h := newHost(t)
	h.bring(deb)
	h.bring(deb + ".sha512")
	next, err := os.ReadFile(newer(t, "deb"))
	require.NoError(t, err)
	h.write("/srv/reconbeat-0.2.0-amd64.deb", string(next))

	_, blocks := manual(t, "packages.md")
	require.Len(t, blocks, 4, "verify, install, look and start, upgrade")
	for i, block := range blocks {
		if i == 2 { // "There is no output yet. Set it."
			h.write("/etc/reconbeat/reconbeat.yml", "output.elasticsearch.hosts: ["+es.URL()+"]\n")
		}
		text := strings.Replace(block, "enable --now", "enable",
			1) // no systemd runs in the copy; TestTheUnitLetsEveryModuleWork starts the unit
		c := h.command("sh", "-euc", "cd /srv\n"+text)
		c.Stdin = strings.NewReader("N\n") // keep the configuration: an upgrade asks
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s\n%s", block, out)
	}
	assert.Contains(t, h.run("dpkg-query", "-W", "reconbeat"), "999.0.0")
	assert.Contains(t, h.read("/etc/reconbeat/reconbeat.yml"), es.URL())
	_, err = os.Lstat(filepath.Join(h.root, "/etc/systemd/system/multi-user.target.wants/reconbeat.service"))
	assert.NoError(t, err, "it starts when the host does")

	fleet, blocks := manual(t, "fleet.md")
	require.Len(t, blocks, 2, "agent install, test alert")
	component := h.agent("9.1.0-abc")
	assert.Contains(t, h.run("sh", "-euc", blocks[0]), "run `elastic-agent restart`")
	assert.FileExists(t, component)
	output := regexp.MustCompile("(?ms)^```yaml\n(output.file:.*?)^```$").FindStringSubmatch(fleet)
	require.NotNil(t, output)
	h.write("/etc/reconbeat/reconbeat.yml", output[1])
	said := h.run("sh", "-euc", blocks[1])
	files, err := filepath.Glob(filepath.Join(h.root, "/var/lib/reconbeat/output/*.ndjson"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	var alert struct {
		Metadata struct {
			ID string `json:"_id"`
		} `json:"@metadata"`
		Reconbeat struct {
			Alert struct {
				Test bool `json:"test"`
			} `json:"alert"`
		} `json:"reconbeat"`
	}
	require.NoError(t, json.Unmarshal([]byte(h.read(strings.TrimPrefix(files[0], h.root))), &alert), "one document")
	assert.True(t, alert.Reconbeat.Alert.Test)
	assert.Contains(t, said, alert.Metadata.ID)
}

func TestTheRPMIsInstalledUpgradedAndRemoved(t *testing.T) {
	need(t, "rpm")
	t.Parallel()
	pkg := distribution(t, "rpm")
	h := newHost(t)
	rpm := func(args ...string) string {
		out, err := exec.Command("rpm", append([]string{"--root=" + h.root, "--dbpath=/var/lib/rpm"}, args...)...).
			CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}

	rpm("-i", "--nodeps", pkg)
	h.hasEverything()
	assert.Contains(t, h.files(), "/usr/share/zsh/site-functions/_reconbeat")
	assert.Contains(t, rpm("-qc", "reconbeat"), "/etc/reconbeat/reconbeat.yml\n")
	h.learn()
	model := h.model()

	rpm("-U", "--nodeps", newer(t, "rpm"))
	assert.Contains(t, rpm("-q", "reconbeat"), "999.0.0")
	assert.Equal(t, configuration, h.read("/etc/reconbeat/reconbeat.yml"), "what was configured stays")
	assert.Contains(t, h.read("/etc/reconbeat/reconbeat.yml.rpmnew"), "Said by the next version")
	assert.Equal(t, model, h.model(), "what was learned stays")
	assert.Contains(t, h.run("reconbeat", "modules", "list"), "Enabled:\nndjson\n")
	h.serve()

	rpm("-e", "reconbeat")
	left := h.files()
	assert.NotContains(t, left, "/usr/bin/reconbeat")
	assert.NotContains(t, left, "/usr/share/reconbeat/bin/reconbeat")
	assert.Equal(t, configuration, h.read("/etc/reconbeat/reconbeat.yml.rpmsave"), "what was configured is saved")
	assert.Contains(t, left, "/var/lib/reconbeat/state", "what was learned stays")
}

func TestEveryPackageHasAChecksumAndABillOfMaterials(t *testing.T) {
	archive := distribution(t, "tar.gz")
	bill := strings.TrimSuffix(archive, ".tar.gz") + ".cdx.json"
	for _, file := range []string{distribution(t, "deb"), distribution(t, "rpm"), archive, bill} {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		sum, err := os.ReadFile(file + ".sha512")
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("%x  %s\n", sha512.Sum512(data), filepath.Base(file)), string(sum))
	}

	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct {
			Name    string `json:"name"`
			Version string `json:"version"`
			PURL    string `json:"purl"`
		} `json:"components"`
	}
	data, err := os.ReadFile(bill)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &bom))
	assert.Equal(t, "CycloneDX", bom.Format)
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	assert.NotContains(t, listed, "github.com/elastic/elastic-agent-client/v7",
		"no package has what is under the Elastic License")
	// What the binary says it is made of is what the bill says.
	info, err := exec.Command("go", "version", "-m", filepath.Join(stage(t), "reconbeat")).Output()
	require.NoError(t, err)
	var linked []string
	for line := range strings.Lines(string(info)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 3 && f[0] == "dep":
			linked = append(linked, f[1])
		case len(f) >= 3 && f[0] == "=>":
			linked[len(linked)-1] = f[1] // one replaced by another
		}
	}
	assert.Greater(t, len(linked), 50)
	assert.Subset(t, slices.Collect(maps.Keys(listed)), linked)
	assert.Contains(t, listed, "std")
}

func TestTheTarballRunsWhereItIsUnpacked(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("tar", "-xzf", distribution(t, "tar.gz"), "--strip-components=1", "-C", dir).
		CombinedOutput()
	require.NoError(t, err, string(out))
	for name, mode := range map[string]os.FileMode{"reconbeat": 0o755, "reconbeat.yml": 0o600,
		"reconbeat.reference.yml": 0o644, "fields.yml": 0o644, "LICENSE": 0o644, "NOTICE.txt": 0o644,
		"README.md": 0o644, "docs/how-it-works.md": 0o644, "modules.d/auditd.yml.disabled": 0o644,
		"rules.d/example.yml.disabled": 0o644, "exceptions.d/example.yml.disabled": 0o644,
		"windows.d/example.yml.disabled": 0o644, "onboarding.d/example.yml.disabled": 0o644,
		"deploy/systemd/reconbeat.service": 0o644, "deploy/systemd/reconbeat-agent.path": 0o644,
		"deploy/systemd/program.conf": 0o644, "deploy/hooks/end-session": 0o755, "deploy/hooks/lock-account": 0o755,
		"man/reconbeat.1.gz": 0o644, "completion/reconbeat.bash": 0o644, "completion/_reconbeat": 0o644,
		"completion/reconbeat.fish": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if assert.NoError(t, err) {
			assert.Equal(t, mode, info.Mode(), name)
		}
	}
	c := exec.Command("./reconbeat", "test", "config")
	c.Dir = dir
	out, err = c.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "Config OK")
	out, err = exec.Command("file", "-b", filepath.Join(dir, "reconbeat")).CombinedOutput()
	if err == nil {
		assert.Contains(t, string(out), "statically linked")
	}
}

func TestTheManualPagesAndCompletionsKnowTheCommands(t *testing.T) {
	dir := stage(t)
	page := exec.Command("gzip", "-dc", filepath.Join(dir, "man", "reconbeat-replay.1.gz"))
	out, err := page.Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), `reconbeat replay`)
	assert.Contains(t, string(out), `--learn`)
	// what stands in columns is no paragraph
	out, err = exec.Command("gzip", "-dc", filepath.Join(dir, "man", "reconbeat.1.gz")).Output()
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^\.EX\n *reconbeat watch --demo   see [^\n]+\n *reconbeat watch          see `, string(out))
	shells := map[string][]string{
		"bash": {"bash", "-n", filepath.Join(dir, "completion", "reconbeat.bash")},
		"zsh":  {"zsh", "-n", filepath.Join(dir, "completion", "_reconbeat")},
		"fish": {"fish", "--no-execute", filepath.Join(dir, "completion", "reconbeat.fish")},
	}
	for shell, args := range shells {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("SKIPPED: NO %s TO READ ITS COMPLETION", shell)
			continue
		}
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		assert.NoError(t, err, "%s: %s", shell, out)
	}
	// The completions ask the binary, through the wrapper's flags.
	out, err = exec.Command(filepath.Join(dir, "reconbeat"), "--path.home", dir, "--path.config", dir, "--path.data",
		t.TempDir(), "__complete", "mod").
		Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "model\t")
	assert.Contains(t, string(out), "modules\t")
}
