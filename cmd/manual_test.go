// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/stack"
)

// block is a fenced block of shell commands in the manual. Those that are fenced with "sh run" run here as they stand;
// with "sh stack", where there is a model, Elasticsearch and Kibana; with "sh live", as root on the kernel's audit;
// with "sh clone", in a clone of the repository; with "sh cluster", beside a cluster that other agents ship to. Those
// with "sh package" run where the packages are tested, those with "sh campaign" in the campaign.
// What is fenced with "sh" alone is what `.ci/run` types.
type block struct{ file, text, fence string }

// named stands for the fence of a command that a sentence names.
const named = "named"

var (
	fenced = regexp.MustCompile("(?ms)^```sh(| run| stack| live| package| clone| cluster| campaign)\n(.*?)^```$")
	inText = regexp.MustCompile("`((?:[A-Z]+=\\S+ )?(?:reconbeat|go tool mage|go test) [^`]+)`")
)

// pages are the texts of the manual, by their files.
func pages(t *testing.T) map[string]string {
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/modules/*.md", "../integration/reconbeat/" +
		"docs/*.md", "../x-pack/reconbeat/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		for _, file := range found {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			texts[file] = string(text)
		}
	}
	return texts
}

func manual(t *testing.T) (blocks []block) {
	texts := pages(t)
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		for _, m := range fenced.FindAllStringSubmatch(texts[file], -1) {
			blocks = append(blocks, block{file, m[2], m[1]})
		}
	}
	require.NotEmpty(t, blocks)
	return blocks
}

// TestEveryBlockOfTheManualIsTyped holds that no command is only shown: a block's fence says which test types it; those
// without are what `.ci/run` types, and the campaign's are its steps.
func TestEveryBlockOfTheManualIsTyped(t *testing.T) {
	ci, err := os.ReadFile("../.ci/run")
	require.NoError(t, err)
	shown := regexp.MustCompile(
		"(?ms)^```\\w*(?: \\w+)?\n(?:[A-Z]+=\\S+ )?(?:\\S*reconbeat|sudo|go|curl|docker|kubectl) .*?^```$")
	indented := regexp.MustCompile(
		`(?m)^(?: {4}|\t)(?:[A-Z]+=\S+ )?(?:\S*reconbeat|sudo|go|curl|docker|kubectl) [\w./-]`)
	for file, text := range pages(t) {
		for _, m := range shown.FindAllString(text, -1) {
			assert.Regexp(t, fenced, m, file)
		}
		assert.NotRegexp(t, indented, text, "%s: a block without a fence", file)
	}
	steps, err := os.ReadFile("../tools/campaign/steps.go")
	require.NoError(t, err)
	steps = regexp.MustCompile(`" \+\n\s*"`).ReplaceAll(steps, nil) // a command on two lines of Go
	for _, b := range manual(t) {
		switch b.fence {
		case "":
			assert.Contains(t, string(ci), "\n"+b.text, b.file)
		case " campaign":
			words := strings.Fields(comment.ReplaceAllString(strings.TrimSpace(b.text), ""))
			assert.True(t, slices.ContainsFunc(strings.Split(string(steps), "\n"), func(line string) bool {
				return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
			}), "%s: no step of the campaign: %s", b.file, b.text)
		}
	}
}

// TestTheManualsCommandsExist looks up every command of reconbeat's, every target of mage, and every test and benchmark
// that the manual names, be it in a block or in a sentence.
func TestTheManualsCommandsExist(t *testing.T) {
	root := &NewRootCommand().Command
	magefile, err := os.ReadFile("../magefile.go")
	require.NoError(t, err)
	blocks := manual(t)
	for file, text := range pages(t) {
		for _, m := range inText.FindAllStringSubmatch(text, -1) {
			blocks = append(blocks, block{file, m[1], named})
		}
	}
	for _, b := range blocks {
		for _, line := range commands(b.text) {
			words := strings.Fields(line)
			for len(words) > 0 && (words[0] == "sudo" || strings.Contains(words[0], "=")) {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			switch at := strings.Join(words[:min(3, len(words))], " "); {
			case filepath.Base(words[0]) == Name:
				assert.NoError(t, understood(root, words[1:], b.fence != named), "%s: %s", b.file, line)
			case at == "go run .":
				assert.NoError(t, understood(root, words[3:], b.fence != named), "%s: %s", b.file, line)
			case at == "go tool mage" && words[3] == "-l":
			case strings.HasPrefix(at, "go test "):
				assert.NoError(t, tested(words[2:]), "%s: %s", b.file, line)
			case at == "go tool mage":
				require.Len(t, words, 4, line)
				assert.Regexp(t, `(?mi)^func `+words[3]+`\(`, string(magefile), "%s: %s", b.file, line)
			default:
				assert.Contains(t, others, words[0], "%s: a command that nobody has looked at: %s", b.file, line)
			}
		}
	}
}

// tested reports whether `go test` with these words finds a test or a benchmark of each name.
func tested(words []string) error {
	dir, found := strings.CutPrefix(words[0], "./")
	if !found {
		return nil // names no package
	}
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no tests in %s: %w", dir, err)
	}
	var source []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		source = append(source, text...)
	}
	for i, kind := range words[:len(words)-1] {
		name := map[string]string{"-run": "Test", "-bench": "Benchmark"}[kind]
		if pattern := strings.Trim(words[i+1],
			"'"); name != "" && pattern != "^$" && pattern != "-" && pattern != "." &&
			pattern != "QUOTED" {
			if !regexp.MustCompile(`(?m)^func ` + name + `\w*` + strings.TrimPrefix(pattern, name)).Match(source) {
				return fmt.Errorf("no %s in %s is called %s", name, dir, pattern)
			}
		}
	}
	return nil
}

// others are the commands of others in the manual.
var others = []string{
	"ansible-playbook",
	"apt-get",
	"auditctl",
	"cat",
	"cd",
	"chmod",
	"cp",
	"curl",
	"diff",
	"docker",
	"dpkg",
	"echo",
	"getcap",
	"go",
	"grep",
	"jq",
	"join",
	"journalctl",
	"kubectl",
	"ls",
	"mkdir",
	"printf",
	"rpm",
	"setcap",
	"sha512sum",
	"sort",
	"ss",
	"systemctl",
	"tar",
	"test",
}

var (
	comment = regexp.MustCompile(`(^|\s)#.*$`)
	here    = regexp.MustCompile(`(?ms)<<'?(\w+)'?[^\n]*\n.*?^\w+$`)
	apart   = regexp.MustCompile(`\s*(\||&&|;|>>?\s*\S+|<\s*\S+)\s*`)
)

// commands takes a shell text apart: a command each, without what it reads and writes.
func commands(text string) (list []string) {
	text = here.ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	text = regexp.MustCompile(`'[^']*'|"[^"]*"`).ReplaceAllString(text, "QUOTED")
	for line := range strings.Lines(text) {
		line = comment.ReplaceAllString(strings.TrimSpace(line), "")
		for _, c := range apart.Split(line, -1) {
			if c != "" {
				list = append(list, c)
			}
		}
	}
	return list
}

// understood reports whether a command line of reconbeat's names a command and flags that exist, without running it.
// One that is not typed, but named, may leave out its arguments.
func understood(root *cobra.Command, words []string, typed bool) error {
	c, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	var args []string
	for i := 0; i < len(rest); i++ {
		w := rest[i]
		if w == "--" {
			args = append(args, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(w, "-") || w == "-" {
			args = append(args, w)
			continue
		}
		name, _, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
		f := flagOf(c, name)
		if f == nil {
			return fmt.Errorf("%q has no flag %s", c.CommandPath(), w)
		}
		if !given && f.NoOptDefVal == "" {
			i++
			if i < len(rest) && f.Value.Type() == "string" { // how many arguments there may be can depend on it
				if err := f.Value.Set(rest[i]); err != nil {
					return err
				}
				defer func() { _ = f.Value.Set(f.DefValue) }()
			}
		}
	}
	if len(args) == 0 && !typed {
		return nil
	}
	return c.ValidateArgs(args)
}

func flagOf(c *cobra.Command, name string) *pflag.Flag {
	for ; c != nil; c = c.Parent() {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			if f := set.Lookup(name); f != nil {
				return f
			}
			if len(name) == 1 {
				if f := set.ShorthandLookup(name); f != nil {
					return f
				}
			}
		}
	}
	return nil
}

// TestTheManualsCommandsRun runs the blocks that are marked so, page by page, in a folder as somebody has it who
// follows the page.
func TestTheManualsCommandsRun(t *testing.T) {
	blocks := manual(t)
	var pages []string
	for _, b := range blocks {
		if b.fence == " run" && !slices.Contains(pages, b.file) {
			pages = append(pages, b.file)
		}
	}
	require.NotEmpty(t, pages)
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			dir := reader(t)
			for _, b := range blocks {
				if b.file != page || b.fence != " run" {
					continue
				}
				if _, err := exec.LookPath("jq"); err != nil &&
					slices.ContainsFunc(commands(b.text), func(c string) bool { return strings.HasPrefix(c, "jq ") }) {
					t.Logf("SKIPPED, BECAUSE THERE IS NO jq:\n%s", b.text)
					continue
				}
				b.runs(t, dir)
			}
		})
	}
}

var asksForASecret = regexp.MustCompile(`keystore add|curl -u \w+ `)

// runs types a block in a reader's folder.
func (b block) runs(t *testing.T, dir string, env ...string) {
	t.Helper()
	c := exec.Command("sh", "-euc", b.text)
	if asksForASecret.MatchString(b.text) { // on a terminal
		c = exec.Command("script", "-qec", b.text, "/dev/null")
		c.Stdin = strings.NewReader("secret\n")
	}
	c.Dir = dir
	c.Env = append(os.Environ(), asReconbeat+"=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	c.Env = append(c.Env, env...)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s: %s\n%s", b.file, b.text, out[max(0, len(out)-2000):])
}

var day = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)

// TestStackRunsTheManual types what the manual says to those who have a model, Elasticsearch and Kibana, after they
// have said in reconbeat.yml where the latter are.
func TestStackRunsTheManual(t *testing.T) {
	node := stack.Start(t)
	k := newKibana(t, "")
	dir := reader(t)
	h := &host{Host: &beattest.Host{T: t, Dir: dir}, t: t, dir: dir}
	require.NoError(t, os.WriteFile(h.input(), nil, 0o644))
	shipped, err := filepath.Abs("../_meta/kibana")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(shipped, filepath.Join(h.dir, "kibana")))

	h.learn("root", "alice")
	r := h.start(oneModule + theFile)
	h.Exec("alice", "ss -s")
	r.wait("detector.matched", 1)
	require.NoError(t, r.end(syscall.SIGTERM))

	file := filepath.Join(h.dir, "reconbeat.yml")
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	for said, says := range map[string]string{
		`hosts: ["localhost:9200"]`: `hosts: ["` + node.Elasticsearch(t).URL() + `"]`,
		`#username: "elastic"`:      `username: "elastic"`, `#password: "changeme"`: `password: "secret"`,
		`#host: "localhost:5601"`: `host: "` + k.URL + `"`, "namespace: default": "namespace: manual",
	} {
		require.Equal(t, 1, bytes.Count(config, []byte(said)), said)
		config = bytes.Replace(config, []byte(said), []byte(says), 1)
	}
	require.NoError(t, os.WriteFile(file, config, 0o600))
	typed := 0
	for _, b := range manual(t) {
		if b.fence == " stack" {
			b.text = day.ReplaceAllString(b.text, time.Now().UTC().Format(time.DateOnly)) // of which a snapshot is kept
			// Each block finds the model that was learned above: no reconbeat runs that would take over what the last
			// one left.
			require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "data", "state", "inbox")))
			b.runs(t, h.dir)
			typed++
		}
	}
	require.Greater(t, typed, 5)
	require.Empty(t, k.faults)
	require.Len(t, k.rules, 3)
	require.Contains(t, k.objects, "dashboard/reconbeat-overview")
	alerts := node.Documents(t, "logs-reconbeat.alert-manual")
	require.NotEmpty(t, alerts)
	for _, d := range alerts {
		require.Equal(t, "true", text(d.Source, "reconbeat.alert.test"))
	}
}

// TestLiveTypesTheManual types what the manual says to root: to watch, to run, and to look at what runs.
func TestLiveTypesTheManual(t *testing.T) {
	takeAudit(t)
	for _, tool := range []string{"sudo", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: THE MANUAL USES %s", tool)
		}
	}
	dir := reader(t)
	file := filepath.Join(dir, "reconbeat.yml")
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	toFile := "output.file: {path: " + dir + "/out, filename: alerts}\nhttp.enabled: true\n"
	config, ours, _ := bytes.Cut(config, []byte("output.elasticsearch:"))
	_, rest, _ := bytes.Cut(ours, []byte("# ------"))
	require.NoError(t, os.WriteFile(file, slices.Concat(config, []byte(toFile), []byte("# ------"), rest), 0o600))

	// sudo has a path and an environment of its own.
	installed := "/usr/local/bin/" + Name
	self, err := os.Executable()
	require.NoError(t, err)
	f, err := os.OpenFile(installed, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	require.NoError(t, err, "reconbeat is installed here")
	t.Cleanup(func() { assert.NoError(t, os.Remove(installed)) })
	_, err = fmt.Fprintf(f, "#!/bin/sh\nexport %s=1\nexec %s \"$@\"\n", asReconbeat, self)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	var watching, listing []block
	for _, b := range manual(t) {
		switch {
		case b.fence != " live":
		case strings.Contains(b.text, Name+" watch"), strings.Contains(b.text, Name+" run"):
			watching = append(watching, b)
		default:
			listing = append(listing, b)
		}
	}
	require.Len(t, watching, 3)
	require.Len(t, listing, 2)
	for _, b := range watching {
		b.watches(t, dir, func(until func(func() bool)) {
			until(func() bool { return len(glob(t, filepath.Join(dir, "out", "alerts*"))) > 0 })
			for _, l := range listing {
				l.runs(t, dir)
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "out")))
		})
	}
}

// watches types a command that watches this host until Ctrl-C. When it is no `watch`, which shows what it sees, and
// runs, meanwhile is called.
func (b block) watches(t *testing.T, dir string, meanwhile func(until func(func() bool))) {
	t.Helper()
	before := auditSettings(t)
	log := b.runsUntilInterrupted(t, dir, func(log *logBuffer, until func(func() bool)) {
		until(func() bool { return audited(t) })
		require.NoError(t, exec.Command("ss", "-tan").Run())
		if strings.Contains(b.text, " watch") {
			until(func() bool { return strings.Contains(log.All(), "ss -tan  ") }) // as a row
		} else {
			meanwhile(until)
		}
	})
	require.Regexp(t, `execs? seen|reconbeat stopped`, log, b.text)
	require.Equal(t, before, auditSettings(t))
}

// audited reports whether the kernel reports program starts: its rules are there, and audit is on, which it switches
// on when they are.
func audited(t *testing.T) bool {
	settings := auditSettings(t)
	return strings.Contains(settings, "enabled 1\n") && strings.Count(settings, "key=reconbeat") == 2
}

// runsUntilInterrupted types a block that ends by Ctrl-C, which is typed when meanwhile has returned. It returns what
// was printed.
func (b block) runsUntilInterrupted(t *testing.T, dir string,
	meanwhile func(log *logBuffer, until func(func() bool))) string {
	t.Helper()
	log := &logBuffer{}
	c := exec.Command("sh", "-euc", b.text)
	c.Dir = dir
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	meanwhile(log, func(condition func() bool) {
		t.Helper()
		require.Eventually(t, condition, 5*time.Minute, 50*time.Millisecond, "%s: %s", b.text, log)
	})
	require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
	_ = c.Wait() // the shell was interrupted, too
	return log.All()
}

// TestTheManualIsTypedInAClone types what the manual says to those who have the source: to build, to make what Kibana
// is given, to upload it, to begin the campaign, and, as root, to watch and to run what was built.
func TestTheManualIsTypedInAClone(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"git", "curl", "script"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: THE MANUAL USES %s", tool)
		}
	}
	dir := clone(t)
	uploads := newFleet(t)
	watched, campaigned := 0, 0
	for _, b := range manual(t) {
		if b.fence != " clone" {
			continue
		}
		b.text = strings.Replace(b.text, "https://KIBANA:5601", uploads.URL, 1)
		if !endless.MatchString(b.text) {
			b.runs(t, dir, "CURL_CA_BUNDLE="+uploads.ca)
			continue
		}
		for line := range strings.Lines(b.text) {
			typed := block{b.file, line, b.fence}
			switch {
			case !endless.MatchString(line):
				typed.runs(t, dir)
			case strings.Contains(line, "campaign"):
				typed.runsUntilInterrupted(t, dir, func(log *logBuffer, until func(func() bool)) {
					until(func() bool { return begun.MatchString(log.All()) })
				})
				campaigned++
			default:
				t.Run(strings.TrimSpace(line), func(t *testing.T) {
					takeAudit(t)
					typed.watches(t, dir, func(func(func() bool)) {})
				})
				watched++
			}
		}
	}
	require.Equal(t, 2, watched)
	require.Equal(t, 3, campaigned)
	for _, made := range []string{"reconbeat", "kibana/rules/reconbeat.ndjson",
		"distributions/reconbeat-" + Version + ".zip"} {
		assert.FileExists(t, filepath.Join(dir, "build", made))
	}
	assert.Equal(t, []string{"reconbeat-" + Version}, uploads.packages)
	status, err := exec.Command("git", "-C", dir, "status", "--porcelain").Output()
	require.NoError(t, err)
	assert.Empty(t, string(status), "what a clone's commands make lies in build/")
}

var (
	endless = regexp.MustCompile(`(?m) watch( --demo)?$| -e | campaign\b`) // ends by Ctrl-C, or hours later
	begun   = regexp.MustCompile(`(?m)^1 of \d+, .*: (go|sh|good) `)
)

// clone makes a clone of this repository with what is not committed yet, as a commit.
func clone(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "reconbeat")
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("git", args...).CombinedOutput()
		require.NoError(t, err, "git %s\n%s", strings.Join(args, " "), out)
		return string(out)
	}
	if err := exec.Command("git", "-C", "..", "rev-parse", "HEAD").Run(); err != nil {
		t.Skip("SKIPPED: THIS IS NO CLONE OF THE REPOSITORY")
	}
	git("clone", "--quiet", "..", dir)
	for name := range strings.SplitSeq(git("-C", "..", "ls-files", "-z", "--modified", "--deleted", "--others",
		"--exclude-standard", "--deduplicate"), "\x00") {
		if name == "" {
			continue
		}
		to := filepath.Join(dir, name)
		text, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			require.NoError(t, os.RemoveAll(to))
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, text, 0o644))
	}
	git("-C", dir, "add", "--all")
	git("-C", dir, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--allow-empty",
		"--message", "What is not committed yet")
	return dir
}

// fleet is where Kibana takes packages.
type fleet struct {
	*httptest.Server
	ca       string // the file of its certificate
	packages []string
}

// newFleet starts what answers to an upload as Kibana does, over TLS, with a certificate that curl trusts when it is
// given its file.
func newFleet(t *testing.T) *fleet {
	f := &fleet{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/fleet/epm/packages", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		if !assert.Equal(t, "elastic:secret", user+":"+password) || !assert.NotEmpty(t, r.Header.Get("kbn-xsrf")) ||
			!assert.Equal(t, "application/zip", r.Header.Get("Content-Type")) {
			http.Error(w, "refused", http.StatusBadRequest)
			return
		}
		archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		if !assert.NoError(t, err) || !assert.NotEmpty(t, archive.File) {
			http.Error(w, "refused", http.StatusBadRequest)
			return
		}
		top, _, _ := strings.Cut(archive.File[0].Name, "/")
		_, err = archive.Open(top + "/manifest.yml")
		assert.NoError(t, err)
		f.packages = append(f.packages, top)
		fmt.Fprint(w, `{"items":[],"_meta":{"install_source":"upload","name":"reconbeat"}}`)
	})
	f.Server = httptest.NewTLSServer(mux)
	t.Cleanup(f.Close)
	f.ca = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t,
		os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600))
	return f
}

func glob(t *testing.T, pattern string) []string {
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return found
}

// reader makes the folder of somebody who reads the manual: reconbeat as it comes out of the archive, and recordings.
func reader(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.Symlink(withoutRaceDetector(t), filepath.Join(dir, Name)))
	config, err := os.ReadFile("../reconbeat.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "reconbeat.yml"), config, 0o600))
	for _, folder := range []string{"modules.d", "rules.d"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join("..", folder))))
	}
	more, err := os.ReadFile("../detector/rare/testdata/B.input.ndjson.gz")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.ndjson.gz"), more, 0o600))
	own, err := os.Hostname()
	require.NoError(t, err)
	for name, from := range map[string]string{"audit.log": "../module/auditlog/testdata/audit.log.gz",
		"events.ndjson": "../detector/rare/testdata/A.input.ndjson.gz"} {
		f, err := os.Open(from)
		require.NoError(t, err)
		plain, err := gzip.NewReader(f)
		require.NoError(t, err)
		text, err := io.ReadAll(plain)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		text = bytes.ReplaceAll(text, []byte(`"host01"`), []byte(`"`+own+`"`)) // the reader's own
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	// The records of a job over these events, as a search of the job's results gives them.
	golden, err := os.ReadFile("../detector/rare/testdata/A.expected.ndjson")
	require.NoError(t, err)
	var job bytes.Buffer
	for line := range bytes.Lines(golden) {
		var r struct {
			Start int64   `json:"bucket_start"`
			User  string  `json:"user.name"`
			Score float64 `json:"record_score"`
		}
		require.NoError(t, json.Unmarshal(line, &r))
		fmt.Fprintf(&job,
			`{"_source":{"result_type":"record","timestamp":%d,"by_field_value":%q,"initial_record_score":%v}}`+"\n",
			r.Start*1000, r.User, r.Score)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "job.ndjson"), job.Bytes(), 0o600))
	return dir
}
