// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/reconbeat/reconbeat/module/procconn"
)

// manifest reads the objects of deploy/kubernetes as the API server does, and lets no field pass that Kubernetes does
// not know.
func manifest(t *testing.T) (daemons apps.DaemonSet, config core.ConfigMap) {
	text, err := os.ReadFile(filepath.Join("kubernetes", "reconbeat.yml"))
	require.NoError(t, err)
	kinds := map[string]any{
		"v1 Namespace":      &core.Namespace{},
		"v1 ServiceAccount": &core.ServiceAccount{},
		"v1 ConfigMap":      &config,
		"rbac.authorization.k8s.io/v1 ClusterRole":        &rbac.ClusterRole{},
		"rbac.authorization.k8s.io/v1 ClusterRoleBinding": &rbac.ClusterRoleBinding{},
		"apps/v1 DaemonSet":                               &daemons,
	}
	seen := map[string]bool{}
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		require.NoError(t, yaml.Unmarshal(doc, &head))
		kind := head.APIVersion + " " + head.Kind
		into := kinds[kind]
		require.NotNil(t, into, kind)
		require.NoError(t, yaml.UnmarshalStrict(doc, into), kind)
		seen[kind] = true
	}
	require.Len(t, seen, len(kinds))
	return daemons, config
}

func TestTheDaemonSetMayDoWhatTheUnitMay(t *testing.T) {
	daemons, _ := manifest(t)
	pod := daemons.Spec.Template.Spec
	assert.True(t, pod.HostPID)
	assert.Equal(t, daemons.Spec.Selector.MatchLabels, daemons.Spec.Template.Labels)
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	require.NotNil(t, c.SecurityContext)
	assert.False(t, *c.SecurityContext.Privileged)
	assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	assert.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)

	ofUnit := []core.Capability{"AUDIT_WRITE"} // for a profile of seccomp
	for _, name := range capabilities(t) {
		ofUnit = append(ofUnit, core.Capability(name))
	}
	assert.ElementsMatch(t, ofUnit, c.SecurityContext.Capabilities.Add)

	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		assert.True(t, volumes[m.Name], "nothing is mounted at %s", m.MountPath)
	}
}

// TestTheDaemonSetsProbesAskWhatItsConfigurationAnswers holds the port of the probes against the configuration's, and
// that a version that does not start stops the rollout.
func TestTheDaemonSetsProbesAskWhatItsConfigurationAnswers(t *testing.T) {
	daemons, config := manifest(t)
	var answers struct {
		HTTP struct {
			Enabled bool
			Host    string
			Port    int
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(config.Data["reconbeat.yml"]), &answers))
	require.True(t, answers.HTTP.Enabled)
	c := daemons.Spec.Template.Spec.Containers[0]
	for name, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe,
		"liveness": c.LivenessProbe} {
		require.NotNil(t, probe, name)
		require.NotNil(t, probe.HTTPGet, name)
		assert.Equal(t, answers.HTTP.Port, probe.HTTPGet.Port.IntValue(), name)
		assert.Equal(t, answers.HTTP.Host, probe.HTTPGet.Host, "the node's network is the pod's")
	}
	assert.Equal(t, apps.RollingUpdateDaemonSetStrategyType, daemons.Spec.UpdateStrategy.Type)
	assert.Equal(t, "10%", daemons.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String())
	assert.Positive(t, daemons.Spec.MinReadySeconds)
	assert.False(t, c.Resources.Requests.Memory().IsZero())
	assert.Positive(t, c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()))
}

func TestTheDaemonSetsConfigurationIsUnderstood(t *testing.T) {
	daemons, config := manifest(t)
	binary := filepath.Join(stage(t), "reconbeat")
	dir := t.TempDir()
	check := func(text string) (string, error) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "reconbeat.yml"), []byte(text), 0o600))
		c := exec.Command(binary, "test", "config", "-c", filepath.Join(dir, "reconbeat.yml"), "--path.home", dir)
		for _, e := range daemons.Spec.Template.Spec.Containers[0].Env {
			c.Env = append(c.Env, e.Name+"="+cmp.Or(e.Value, "given"))
		}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	out, err := check(config.Data["reconbeat.yml"])
	require.NoError(t, err, out)
	assert.Contains(t, out, "Config OK")
	// That the processor is linked in shows in that another one is refused.
	out, err = check(strings.Replace(config.Data["reconbeat.yml"], "add_kubernetes_metadata", "add_nothing", 1))
	require.Error(t, err, out)
	assert.Contains(t, out, "add_nothing")
}

var (
	entrypoint  = regexp.MustCompile(`(?m)^ENTRYPOINT (\[.+\])$`)
	environment = regexp.MustCompile(`(?m)^ENV (.+)$`)
)

// image makes a root that holds what the image gets, the base image's os-release, what a runtime mounts, and nothing
// else: no shell, no library. run runs the Dockerfile's entry point in it.
func image(t *testing.T) (root string, run func(user uint32, more ...string) *exec.Cmd) {
	need(t, "tar")
	archive := distribution(t, "tar.gz")
	text, err := os.ReadFile(filepath.Join("docker", "Dockerfile"))
	require.NoError(t, err)
	found := entrypoint.FindSubmatch(text)
	require.NotNil(t, found)
	var args []string
	require.NoError(t, json.Unmarshal(found[1], &args))
	env := environment.FindSubmatch(text)
	require.NotNil(t, env)
	root = t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	home := filepath.Join(root, "usr/share/reconbeat")
	for dir, mode := range map[string]os.FileMode{home: 0o755, filepath.Join(root, "etc/reconbeat"): 0o755,
		filepath.Join(root, "var/lib/reconbeat"): 0o770, filepath.Join(root, "var/log/reconbeat"): 0o770} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.Chmod(dir, mode))
		if mode == 0o770 {
			require.NoError(t, os.Chown(dir, 65532, 0))
		}
	}
	out, err := exec.Command("tar", "-xzf", archive, "--strip-components=1", "-C", home).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{"modules.d", "rules.d"} {
		require.NoError(t, os.Rename(filepath.Join(home, name), filepath.Join(root, "etc/reconbeat", name)))
	}
	config, err := os.ReadFile(filepath.Join(repository, "reconbeat.docker.yml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/reconbeat/reconbeat.yml"), config, 0o644))
	release, err := os.ReadFile("/etc/os-release") // the base image has one, and libbeat does not start without
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/os-release"), release, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(root, "proc"), 0o555))
	mount(t, "proc", filepath.Join(root, "proc"), "proc", 0, "")
	require.NoError(t, os.Mkdir(filepath.Join(root, "dev"), 0o755))
	mount(t, "/dev", filepath.Join(root, "dev"), "", unix.MS_BIND, "") // as every runtime does
	return root, func(user uint32, more ...string) *exec.Cmd {
		all := slices.Concat(args, more)
		return &exec.Cmd{Path: all[0], Args: all, Dir: "/", Env: strings.Fields(string(env[1])),
			SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user}}}
	}
}

// following are flags that have the image's configuration read documents from a file in the place of the host's program
// starts.
var following = []string{"-E", "reconbeat.modules.0.module=ndjson", "-E",
	"reconbeat.modules.0.paths.0=/var/log/reconbeat/process.ndjson", "-E", "reconbeat.modules.0.from=beginning"}

func TestTheImageNeedsNothingElse(t *testing.T) {
	root, command := image(t)
	for _, user := range []uint32{0, 65532} {
		run := func(more ...string) (string, error) {
			out, err := command(user, more...).CombinedOutput()
			return string(out), err
		}
		out, err := run("version")
		require.NoError(t, err, out)
		assert.Contains(t, out, "reconbeat version ")
		out, err = run(append([]string{"test", "config"}, following...)...)
		require.NoError(t, err, out)
		assert.Contains(t, out, "Config OK")
		if here := procconn.Probe(); user == 0 && here.Works {
			out, err = run("test", "modules")
			require.NoError(t, err, out)
			assert.Regexp(t, `(?m)^procconn +works `, out, "without a program to try it with")
		}
		out, err = run("keystore", "create", "--force", "--path.data", "/var/log/reconbeat/elsewhere")
		require.NoError(t, err, out)
		assert.FileExists(t, filepath.Join(root, "var/log/reconbeat/elsewhere/reconbeat.keystore"),
			"a flag wins over the image's path")
		require.NoError(t, os.RemoveAll(filepath.Join(root, "var/log/reconbeat/elsewhere")))
		out, err = run("keystore", "create", "--force")
		require.NoError(t, err, "%d may write its data: %s", user, out)
		written, err := filepath.Glob(filepath.Join(root, "var/lib/reconbeat/*"))
		require.NoError(t, err)
		for _, name := range written {
			require.NoError(t, os.RemoveAll(name)) // a volume belongs to one user
		}
	}
}

// document is what the tests read of a document.
type document struct {
	Event     struct{ Action string }
	Container struct {
		ID, Name string
		Image    struct{ Name string }
		Labels   map[string]string
	}
	Kubernetes struct {
		Namespace string
		Node, Pod struct{ Name string }
	}
}

// containerID is that of the container in which the execs of inContainer run.
const containerID = "4c01db0b339c1f7e4a8b2d6c5e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b"

// inContainer runs the image on execs in a container, one after the other, until one ships with what was wanted.
func inContainer(t *testing.T, root string, c *exec.Cmd, wanted func(document) bool) document {
	t.Helper()
	log := filepath.Join(root, "var/log/reconbeat")
	input, err := os.Create(filepath.Join(log, "process.ndjson"))
	require.NoError(t, err)
	defer input.Close()
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	require.NoError(t, c.Start())
	var doc document
	found := assert.Eventually(t, func() bool {
		_, err := fmt.Fprintf(
			input,
			`{"@timestamp":%q,"event":{"category":["process"],"type":["start"],"action":"exec"},`+
				`"process":{"pid":4000000,"name":"ss","executable":"/usr/bin/ss","args":["ss","-tan"]},`+
				`"user":{"id":"33","name":"www-data"},"container":{"id":%q}}`+"\n",
			time.Now().UTC().Format(time.RFC3339Nano),
			containerID,
		)
		if err != nil {
			return false
		}
		files, err := filepath.Glob(filepath.Join(log, "documents*.ndjson"))
		if err != nil {
			return false
		}
		for _, name := range files {
			text, _ := os.ReadFile(name)
			for line := range bytes.Lines(text) {
				doc = document{}
				if json.Unmarshal(line, &doc) == nil && doc.Event.Action == "exec" && wanted(doc) {
					return true
				}
			}
		}
		return false
	}, time.Minute, 200*time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), said.String())
	require.True(t, found, "%+v\n%s", doc, &said)
	return doc
}

// toFile are flags that have documents go to a file.
var toFile = []string{"-E", "output.elasticsearch.enabled=false", "-E", "output.file.path=/var/log/reconbeat", "-E",
	"output.file.filename=documents"}

// serve answers at a listener until the test ends. gone is closed then, for requests that wait for news.
func serve(t *testing.T, listener net.Listener,
	answer func(w http.ResponseWriter, r *http.Request, gone <-chan struct{})) {
	gone, served := make(chan struct{}), make(chan struct{})
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			answer(w, r, gone)
		}),
	}
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { close(gone); _ = server.Close(); <-served })
}

// TestTheImageKnowsWhatDockerKnows puts a daemon's answers where Docker's socket is mounted.
func TestTheImageKnowsWhatDockerKnows(t *testing.T) {
	root, command := image(t)
	require.NoError(t, os.Mkdir(filepath.Join(root, "var/run"), 0o755))
	listener, err := net.Listen("unix", filepath.Join(root, "var/run/docker.sock"))
	require.NoError(t, err)
	serve(t, listener, func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}) {
		switch path.Base(r.URL.Path) {
		case "_ping":
			w.Header().Set("Api-Version", "1.45")
		case "info":
			fmt.Fprint(w, "{}")
		case "json":
			fmt.Fprintf(w, `[{"Id": %q, "Names": ["/shop"], "Image": "nginx:1.29", "Labels": {"team": "blue"}}]`,
				containerID)
		case "events":
			<-gone
		}
	})
	doc := inContainer(t, root, command(0, slices.Concat([]string{"run"}, toFile, following)...),
		func(d document) bool { return d.Container.Name != "" })
	assert.Equal(t, containerID, doc.Container.ID)
	assert.Equal(t, "nginx:1.29", doc.Container.Image.Name)
	assert.Equal(t, "shop", doc.Container.Name)
	assert.Equal(t, map[string]string{"team": "blue"}, doc.Container.Labels)
}

// TestTheDaemonSetKnowsWhatKubernetesKnows runs the image with the DaemonSet's configuration, and an API server's
// answers.
func TestTheDaemonSetKnowsWhatKubernetesKnows(t *testing.T) {
	root, command := image(t)
	_, config := manifest(t)
	require.NoError(t,
		os.WriteFile(filepath.Join(root, "etc/reconbeat/reconbeat.yml"), []byte(config.Data["reconbeat.yml"]), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	lists := map[string]any{
		"/version":      map[string]string{"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
		"/api/v1/nodes": core.NodeList{Items: []core.Node{{ObjectMeta: meta.ObjectMeta{Name: "node-1"}}}},
		"/api/v1/pods": core.PodList{
			Items: []core.Pod{
				{
					ObjectMeta: meta.ObjectMeta{Name: "shop-7d9f", Namespace: "shop"},
					Spec:       core.PodSpec{NodeName: "node-1"},
					Status: core.PodStatus{
						ContainerStatuses: []core.ContainerStatus{
							{Name: "web", Image: "nginx:1.29", ContainerID: "containerd://" + containerID},
						},
					},
				},
			},
		},
		"/api/v1/namespaces": core.NamespaceList{Items: []core.Namespace{{ObjectMeta: meta.ObjectMeta{Name: "shop"}}}},
	}
	ofNode := make(chan string, 100)
	serve(t, listener, func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}) {
		list, known := lists[r.URL.Path]
		switch {
		case !known:
			http.NotFound(w, r)
		case r.URL.Query().Get("watch") != "":
			<-gone
		default:
			if r.URL.Path == "/api/v1/pods" {
				ofNode <- r.URL.Query().Get("fieldSelector")
			}
			_ = json.NewEncoder(w).Encode(list)
		}
	})
	require.NoError(t, os.WriteFile(
		filepath.Join(root, "etc/kube.yml"),
		fmt.Appendf(nil,
			"{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "+
				"'http://%s'}}], contexts: [{name: c, context: {cluster: c}}]}",
			listener.Addr()),
		0o600,
	))
	c := command(
		0,
		slices.Concat(
			[]string{"run", "-E", "reconbeat.modules.0.processors.0.add_kubernetes_metadata.kube_config=/etc/kube.yml"},
			toFile, following)...)
	c.Env = append(c.Env, "NODE_NAME=node-1", "ELASTICSEARCH_HOSTS=http://127.0.0.1:1", "ELASTICSEARCH_API_KEY=a:b")
	doc := inContainer(t, root, c, func(d document) bool { return d.Kubernetes.Pod.Name != "" })
	assert.Equal(t, "spec.nodeName=node-1", <-ofNode, "it asks for the pods of its node alone")
	assert.Equal(t, "shop-7d9f", doc.Kubernetes.Pod.Name)
	assert.Equal(t, "shop", doc.Kubernetes.Namespace)
	assert.Equal(t, "node-1", doc.Kubernetes.Node.Name)
	assert.Equal(t, containerID, doc.Container.ID)
	assert.Equal(t, "nginx:1.29", doc.Container.Image.Name)
}
