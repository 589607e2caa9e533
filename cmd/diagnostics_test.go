// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"archive/zip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// TestDiagnosticsHaveEverythingButSecrets asks beside a running Beat, whose configuration has a secret in every
// place that has room for one.
func TestDiagnosticsHaveEverythingButSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("reconbeat.yml", `
reconbeat.modules: [{module: ndjson, paths: ['${path.home}/none.ndjson']}]
reconbeat.config.modules.path: ${path.config}/modules.d/*.yml
http: {enabled: true, host: 'unix://`+filepath.Join(dir, "socket")+`'}
logging: {to_files: true, level: info}
output.elasticsearch:
  hosts: ['https://elastic:SECRET1@elastic.test:9200']
  enabled: false
  username: elastic
  password: SECRET2
  api_key: 'id:SECRET3'
  headers: {X-Anything: SECRET4}
  ssl: {key_passphrase: SECRET5, key: "-----BEGIN RSA PRIVATE KEY-----\nSECRET6"}
output.elasticsearch.proxy_url: http://user:SECRET7@proxy.test
setup.kibana: {password: '${KIBANA_PASSWORD}', service_token: SECRET8}
reconbeat.notify:
- {id: chat, webhook: {url: 'http://127.0.0.1:9/SECRET12', shape: slack, headers: {X-Key: SECRET13}}}
- {id: pager, webhook.url: 'http://127.0.0.1:9/SECRET14', webhook.shape: pagerduty,
  webhook.variables: {routing_key: SECRET15}}
output.file: {path: '${path.home}', filename: out} # SECRET10
`)
	write("modules.d/ndjson.yml.disabled", "- {module: ndjson, id: other, paths: [/tmp/none], processors: [{script: "+
		"{params: {token: SECRET11}}}]}\n")
	write("rules.d/mine.yml", "id: mine\nname: Matches\nhabit: looked\nprograms: [nothing]\n")
	write("exceptions.d/mine.yml", "- {id: backup, conditions: [{field: user.name, is: backup}]}\n")
	reconbeat := func(args ...string) *exec.Cmd {
		c := exec.Command(os.Args[0], args...)
		c.Dir = dir
		c.Env = append(os.Environ(), asReconbeat+"=1", installed("home")+"="+dir)
		return c
	}
	running := reconbeat("run")
	log := &logBuffer{}
	running.Stdout, running.Stderr = log, log
	require.NoError(t, running.Start())
	t.Cleanup(func() { _ = running.Process.Kill() })
	require.True(t, beattest.Poll(time.Minute, func() bool { // it answers, and has said what it does
		said := ""
		for _, file := range glob(t, filepath.Join(dir, "logs", "*")) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			said += string(text)
		}
		return strings.Contains(said, "watching with ndjson") &&
			beattest.Metric(filepath.Join(dir, "socket"), "reconbeat.detector.execs") == 0
	}), log)

	refused, err := reconbeat("diagnostics", "all.tar.gz").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(refused), `the archive is a zip file: invalid name "all.tar.gz" (want FILE.zip)`)
	out, err := reconbeat("diagnostics", "all.zip").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Wrote all.zip.")
	require.NoError(t, running.Process.Signal(syscall.SIGTERM))
	require.NoError(t, running.Wait(), log.All())

	info, err := os.Stat(filepath.Join(dir, "all.zip"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	texts := unzipped(t, filepath.Join(dir, "all.zip"))
	for name, text := range texts {
		assert.NotContains(t, text, "SECRET", name)
	}
	for name, says := range map[string][]string{
		"versions.txt": {"reconbeat version ", "kernel "},
		"paths.txt":    {"Data path: [" + filepath.Join(dir, "data") + "]", "reconbeat.yml"},
		"config/reconbeat.yml": {"https://xxxxx@elastic.test:9200", "username: elastic",
			"${KIBANA_PASSWORD}", "http://xxxxx@proxy.test", "id: pager"},
		"config/modules.d/ndjson.yml.disabled": {"id: other"},
		"config/rules.d/mine.yml":              {"id: mine"},
		"config/exceptions.d/mine.yml":         {"id: backup"},
		"modules.txt":                          {"auditd", "auto would"},
		"rules.txt":                            {"mine", "whoever starts nothing has looked"},
		"state.txt":                            {"state/alerts.journal"},
		"running/info.json":                    {`"beat": "reconbeat"`},
		"running/state.json":                   {`"output"`},
		"running/stats.json":                   {`"reconbeat"`, `"health"`},
		"log.txt":                              {"watching with ndjson"},
	} {
		for _, what := range says {
			assert.Contains(t, texts[name], what, name)
		}
	}
	assert.NotContains(t, texts, "errors.txt", texts["errors.txt"])

	// Short commands leave the folder of the log as it is: each would begin a file there.
	logs, err := filepath.Glob(filepath.Join(dir, "logs", "*"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	out, err = reconbeat("test", "config").CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = reconbeat("controls", "list").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "no end")
	after, err := filepath.Glob(filepath.Join(dir, "logs", "*"))
	require.NoError(t, err)
	assert.Equal(t, logs, after)

	// A broken configuration, and a Beat that does not run, take away only what they must.
	write("reconbeat.yml", "http.enabled: true\nbroken: [SECRET\n")
	out, err = reconbeat("diagnostics", "less.zip").CombinedOutput()
	require.NoError(t, err, string(out))
	texts = unzipped(t, filepath.Join(dir, "less.zip"))
	assert.Contains(t, texts["errors.txt"], "the configuration: ")
	assert.Contains(t, texts["errors.txt"], "config/reconbeat.yml: left out, because it is not YAML whose secrets "+
		"could be masked")
	assert.Contains(t, texts["errors.txt"],
		"metrics and health: where to ask a running reconbeat is in the configuration")
	assert.Contains(t, texts["versions.txt"], "reconbeat version ")
	assert.Contains(t, texts["state.txt"], "state/alerts.journal")
	assert.Contains(t, texts["log.txt"], "watching with ndjson", "a short command took the log's place")
	assert.NotContains(t, texts, "config/reconbeat.yml")
	for name, text := range texts {
		assert.NotContains(t, text, "SECRET", name)
	}

	// What is there is not written over.
	out, err = reconbeat("diagnostics", "less.zip").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "less.zip is there already: remove it, or name another file")
}

func unzipped(t *testing.T, file string) map[string]string {
	r, err := zip.OpenReader(file)
	require.NoError(t, err)
	defer r.Close()
	texts := map[string]string{}
	for _, f := range r.File {
		in, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(in)
		require.NoError(t, err)
		texts[f.Name] = string(text)
	}
	return texts
}

// TestEveryCommandHasExamplesThatAreUnderstood looks at what --help and the manual pages show.
func TestEveryCommandHasExamplesThatAreUnderstood(t *testing.T) {
	root := &NewRootCommand().Command
	var each func(c *cobra.Command)
	used := map[string]bool{}
	each = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		lines := examples[pathTo(c)]
		used[pathTo(c)] = true
		assert.NotEmpty(t, lines, "`%s` has no example", c.CommandPath())
		for _, line := range lines {
			assert.Contains(t, c.Example, line)
			line, _, _ = strings.Cut(line, "   ")
			line = strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")")
			for _, one := range commands(line) {
				words := strings.Fields(one)
				if words[0] == "sudo" {
					words = words[1:]
				}
				if words[0] == Name {
					assert.NoError(t, understood(&NewRootCommand().Command, words[1:], true), line)
				}
			}
		}
		for _, below := range c.Commands() {
			each(below)
		}
	}
	each(root)
	for path := range examples {
		assert.True(t, used[path], "examples of `%s`, which is not a command", path)
	}
}
