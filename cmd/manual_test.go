// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
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

	"github.com/reconbeat/reconbeat/stack"
)

// block is a fenced block of shell commands in the manual. Those that are fenced with "sh run" run here as they stand; with "sh stack", where there is a model, Elasticsearch and
// Kibana; with "sh live", as root on the kernel's audit. Those with "sh package" run where the packages are tested.
type block struct{ file, text, fence string }

var fenced = regexp.MustCompile("(?ms)^```sh(| run| stack| live| package)\n(.*?)^```$")

func manual(t *testing.T) (blocks []block) {
	var files []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/modules/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
			blocks = append(blocks, block{file, m[2], m[1]})
		}
	}
	require.NotEmpty(t, blocks)
	return blocks
}

// TestTheManualsCommandsExist looks up every command of reconbeat's, and every target of mage, that the manual tells to type.
func TestTheManualsCommandsExist(t *testing.T) {
	root := &NewRootCommand().Command
	magefile, err := os.ReadFile("../magefile.go")
	require.NoError(t, err)
	for _, b := range manual(t) {
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
				assert.NoError(t, understood(root, words[1:]), "%s: %s", b.file, line)
			case at == "go run .":
				assert.NoError(t, understood(root, words[3:]), "%s: %s", b.file, line)
			case at == "go tool mage":
				require.Len(t, words, 4, line)
				assert.Regexp(t, `(?mi)^func `+words[3]+`\(`, string(magefile), "%s: %s", b.file, line)
			default:
				assert.Contains(t, others, words[0], "%s: a command that nobody has looked at: %s", b.file, line)
			}
		}
	}
}

// others are the commands of others in the manual.
var others = []string{
	"ansible-playbook", "apt-get", "auditctl", "cat", "cd", "chmod", "cp", "curl", "diff", "docker", "dpkg", "echo", "getcap", "go", "grep", "jq", "join", "journalctl", "kubectl", "ls", "printf", "rpm",
	"setcap", "sha512sum", "sort", "ss", "systemctl", "tar", "test",
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
func understood(root *cobra.Command, words []string) error {
	c, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	var args []string
	for i := 0; i < len(rest); i++ {
		w := rest[i]
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
		}
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

// TestTheManualsCommandsRun runs the blocks that are marked so, page by page, in a folder as somebody has it who follows the page.
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
			dir := reader(t)
			for _, b := range blocks {
				if b.file != page || b.fence != " run" {
					continue
				}
				if _, err := exec.LookPath("jq"); err != nil && slices.ContainsFunc(commands(b.text), func(c string) bool { return strings.HasPrefix(c, "jq ") }) {
					t.Logf("SKIPPED, BECAUSE THERE IS NO jq:\n%s", b.text)
					continue
				}
				b.runs(t, dir)
			}
		})
	}
}

// runs types a block in a reader's folder.
func (b block) runs(t *testing.T, dir string) {
	t.Helper()
	c := exec.Command("sh", "-euc", b.text)
	if strings.Contains(b.text, "keystore add") { // asks for the secret, on a terminal
		c = exec.Command("script", "-qec", b.text, "/dev/null")
		c.Stdin = strings.NewReader("secret\n")
	}
	c.Dir = dir
	c.Env = append(os.Environ(), asReconbeat+"=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s: %s\n%s", b.file, b.text, out[max(0, len(out)-2000):])
}

var day = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)

// TestStackRunsTheManual types what the manual says to those who have a model, Elasticsearch and Kibana, after they have said in reconbeat.yml where the latter are.
func TestStackRunsTheManual(t *testing.T) {
	node := stack.Start(t)
	k := newKibana(t, "")
	h := &host{t: t, dir: reader(t)}
	require.NoError(t, os.WriteFile(h.input(), nil, 0o644))
	shipped, err := filepath.Abs("../_meta/kibana")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(shipped, filepath.Join(h.dir, "kibana")))

	h.learn("root", "alice")
	r := h.start(oneModule + theFile)
	h.look("alice", "ss -s")
	r.wait("detector.matched", 1)
	require.NoError(t, r.end(syscall.SIGTERM))

	file := filepath.Join(h.dir, "reconbeat.yml")
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	for said, says := range map[string]string{
		`hosts: ["localhost:9200"]`: `hosts: ["` + node.Elasticsearch(t).URL() + `"]`, `#username: "elastic"`: `username: "elastic"`, `#password: "changeme"`: `password: "secret"`,
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
	before := auditSettings(t)
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

	var watching, looking []block
	for _, b := range manual(t) {
		switch {
		case b.fence != " live":
		case strings.Contains(b.text, Name+" watch"), strings.Contains(b.text, Name+" run"):
			watching = append(watching, b)
		default:
			looking = append(looking, b)
		}
	}
	require.Len(t, watching, 3)
	require.Len(t, looking, 2)
	for _, b := range watching {
		log := &logBuffer{}
		c := exec.Command("sh", "-euc", b.text)
		c.Dir = dir
		c.Stdout, c.Stderr = log, log
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, c.Start())
		t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
		until := func(condition func() bool) {
			t.Helper()
			require.Eventually(t, condition, time.Minute, 50*time.Millisecond, "%s: %s", b.text, log)
		}
		until(func() bool { return strings.Contains(auditSettings(t), "key=reconbeat") })
		require.NoError(t, exec.Command("ss", "-tan").Run())
		if strings.Contains(b.text, " watch") {
			until(func() bool { return strings.Contains(log.all(), "ss -tan") })
		} else {
			until(func() bool { return len(glob(t, filepath.Join(dir, "out", "alerts*"))) > 0 })
			for _, l := range looking {
				l.runs(t, dir)
			}
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "out")))
		}
		require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
		_ = c.Wait() // the shell was interrupted, too
		require.Regexp(t, `execs? seen|reconbeat stopped`, log.all(), b.text)
		require.Equal(t, before, auditSettings(t))
	}
}

func glob(t *testing.T, pattern string) []string {
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return found
}

// reader makes the folder of somebody who reads the manual: reconbeat as it comes out of the archive, and recordings.
func reader(t *testing.T) string {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, Name)))
	config, err := os.ReadFile("../reconbeat.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "reconbeat.yml"), config, 0o600))
	for _, folder := range []string{"modules.d", "rules.d"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join("..", folder))))
	}
	for name, from := range map[string]string{"audit.log": "../module/auditlog/testdata/audit.log.gz", "events.ndjson": "../detector/rare/testdata/A.input.ndjson.gz"} {
		f, err := os.Open(from)
		require.NoError(t, err)
		plain, err := gzip.NewReader(f)
		require.NoError(t, err)
		text, err := io.ReadAll(plain)
		require.NoError(t, err)
		require.NoError(t, f.Close())
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
		fmt.Fprintf(&job, `{"_source":{"result_type":"record","timestamp":%d,"by_field_value":%q,"initial_record_score":%v}}`+"\n", r.Start*1000, r.User, r.Score)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "job.ndjson"), job.Bytes(), 0o600))
	return dir
}
