// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
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

	"github.com/reconbeat/reconbeat/internal/livetest"
)

// typed is a command as the test types it.
type typed struct {
	words  string
	stays  bool // runs until it is ended
	cannot bool // has no state, and asks for none

	refused string // what it says in the place of doing anything, here
}

// every is each command of reconbeat's that is not a group of others.
var every = []typed{
	{words: "run", stays: true},
	{words: "watch", stays: true},
	{words: "replay look.ndjson"},
	{words: "replay --learn look.ndjson"},

	{words: "model show"},
	{words: "model explain root"},
	{words: "model export"},
	{words: "model import model.json"},
	{words: "model forget root"},
	{words: "model reset"},
	{words: "model revert"},

	{words: "alerts list"},
	{words: "alerts show none"},
	{words: "exception from none"},
	{words: "exception from none --in alert.ndjson", cannot: true},
	{words: "exception export"},
	{words: "exception import list.ndjson", cannot: true},

	{words: "controls list"},
	{words: "controls known"},
	{words: "windows import -", cannot: true},
	{words: "approve --list"},
	{words: "feedback none benign"},
	{words: "feedback undo none"},
	{words: "feedback list"},

	{words: "agent install --home nowhere", cannot: true, refused: "no Elastic Agent is installed in nowhere"},
	{words: "agent status --home nowhere", cannot: true, refused: "no Elastic Agent is installed in nowhere"},
	{words: "agent remove --home nowhere", cannot: true, refused: "no Elastic Agent is installed in nowhere"},

	{words: "modules list"},
	{words: "modules enable none"},
	{words: "modules disable none"},

	{words: "keystore create"},
	{words: "keystore add secret --stdin --force"},
	{words: "keystore remove secret"},
	{words: "keystore list"},

	{words: "setup"},
	{words: "setup --rules"},

	{words: "export config"},
	{words: "export template"},
	{words: "export ilm-policy"},
	{words: "export pipeline"},
	{words: "export index-pattern"},
	{words: "export dashboard --id none --folder out"},

	{words: "test config"},
	{words: "test output"},
	{words: "test rules"},
	{words: "test controls"},
	{words: "test alert --timeout 1s"},
	{words: "test alert --exec --timeout 1s"},
	{words: "test notify"},
	{words: "test modules", cannot: true},

	{words: "diagnostics out.zip", cannot: true},
	{words: "version", cannot: true},
	{words: "help", cannot: true},
	{words: "completion bash", cannot: true},
	{words: "completion zsh", cannot: true},
	{words: "completion fish", cannot: true},
	{words: "completion powershell", cannot: true},
}

// oneAlert is an alert in a file, as Kibana exports it.
const oneAlert = `{"@timestamp":"2026-03-11T16:43:00Z","event":{"kind":"alert","action":"alert","id":"none"},` +
	`"rule":{"id":"network-connection-discovery"},"host":{"name":"web-1"},"user":{"name":"www-data"},` +
	`"reconbeat":{"anomaly":{"score":60}},` +
	`"process":{"name":"ss","executable":"/usr/bin/ss","args":["ss"],"parent":{"executable":"/usr/bin/dash"}}}` + "\n"

// oneItem is an exception list of Kibana's.
const oneItem = `{"item_id":"one","entries":[{"field":"user.name","type":"match","value":"bob"}]}`

func TestEveryCommandIsTypedWithPathFlags(t *testing.T) {
	root := &NewRootCommand().Command
	var leaves func(c *cobra.Command)
	leaves = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			leaves(below)
		}
		if c.HasSubCommands() {
			return
		}
		path := strings.TrimPrefix(c.CommandPath(), Name+" ")
		assert.True(t, contains(path), "no test types `%s %s`", Name, path)
	}
	leaves(root)
}

func contains(path string) bool {
	for _, c := range every {
		if c.words == path || strings.HasPrefix(c.words, path+" ") {
			return true
		}
	}
	return false
}

// TestTheUsersPathsWin types every command with path.data in every place of the command line, beside one that the
// installation names.
func TestTheUsersPathsWin(t *testing.T) {
	const config = "reconbeat.modules: [{module: ndjson, paths: ['${path.home}/look.ndjson']}]\n" +
		"reconbeat.config.modules.path: '${path.config}/modules.d/*.yml'\n" +
		"output.file: {path: '${path.home}', filename: out}\nsetup.kibana.host: '127.0.0.1:9'\n"
	binary := withoutRaceDetector(t)
	for _, c := range every {
		for where, line := range map[string]func(words []string) []string{
			"behind": func(words []string) []string { return append(words, "--path.data", "wanted") },
			"before": func(words []string) []string { return append([]string{"--path.data", "wanted"}, words...) },
			"both": func(words []string) []string {
				return append(append([]string{"--path.data=before"}, words...), "--path.data=wanted")
			},
			"as -E": func(words []string) []string {
				return append(append([]string{"-E", "path.data=before"}, words...), "-E", "path.data=wanted")
			},
		} {
			t.Run(c.words+" "+where, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				for name, text := range map[string]string{
					"reconbeat.yml": config,
					"model.json":    `{"format": "reconbeat-model", "version": 1, "model": {}}`,
					"list.ndjson":   oneItem,
					"alert.ndjson":  oneAlert,
					"look.ndjson": `{"@timestamp":"2024-01-01T00:00:00Z","user.name":"root","process.name":"ss"}` +
						"\n",
				} {
					require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
				}
				words := strings.Fields(c.words)
				if c.words == "watch" {
					words = append(words, "-c", "reconbeat.yml") // which needs neither root nor the kernel
				}
				cmd := exec.Command(binary, line(words)...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), asReconbeat+"=1",
					installed("data")+"="+filepath.Join(dir, "installed"), installed("home")+"="+dir)
				out := &logBuffer{}
				cmd.Stdout, cmd.Stderr = out, out
				require.NoError(t, cmd.Start())
				if c.stays {
					meets(t, filepath.Join(dir, "wanted", "state", "lock"), out)
					require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
				}
				_ = cmd.Wait() // other tests hold what it ends with
				for _, name := range []string{"before", "installed"} {
					assert.NoDirExists(t, filepath.Join(dir, name), out.All())
				}
				if !c.cannot {
					assert.FileExists(t, filepath.Join(dir, "wanted", "meta.json"), out.All())
				}
			})
		}
	}
}

// meets waits for a file.
func meets(t *testing.T, file string, out fmt.Stringer) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "%s does not come:\n%s", file, out)
	}
}

// installation is one that belongs to root, and what somebody else needs to run it.
type installation struct{ binary, etc, data, home string }

// newInstallation makes an installation whose configuration and state only root may read.
func newInstallation(t *testing.T) installation {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: BECOMING ANOTHER USER NEEDS ROOT")
	}
	binary := livetest.Copy(t, withoutRaceDetector(t))
	dir := filepath.Dir(binary)
	in := installation{
		binary: binary,
		etc:    filepath.Join(dir, "etc"),
		data:   filepath.Join(dir, "data"),
		home:   filepath.Join(dir, "home"),
	}
	require.NoError(t, os.Mkdir(in.etc, 0o755))
	require.NoError(t, os.Mkdir(in.data, 0o700))
	require.NoError(t, os.Mkdir(in.home, 0o777))
	require.NoError(t, os.Chmod(in.home, 0o777))
	for file, text := range map[string]string{
		filepath.Join(in.etc, "reconbeat.yml"):       "reconbeat.modules: [{module: auditd}]\n",
		filepath.Join(in.data, "reconbeat.keystore"): "secret",
		filepath.Join(in.data, "meta.json"):          "{}",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	for file, text := range map[string]string{
		"list.ndjson":  oneItem,
		"alert.ndjson": oneAlert,
		"look.ndjson":  `{"@timestamp":"2024-01-01T00:00:00Z","user.name":"root","process.name":"ss"}` + "\n",
		"model.json":   `{"format": "reconbeat-model", "version": 1, "model": {}}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(in.home, file), []byte(text), 0o644))
	}
	return in
}

// nobody is reconbeat, started in the home by somebody who is not root.
func (in installation) nobody(words ...string) *exec.Cmd {
	args := []string{"--reuid", "65534", "--regid", "65534", "--clear-groups", "timeout", "300", in.binary}
	cmd := exec.Command("setpriv", append(args, words...)...)
	cmd.Dir = in.home
	cmd.Env = append(os.Environ(), asReconbeat+"=1", "XDG_STATE_HOME=",
		installed("config")+"="+in.etc, installed("data")+"="+in.data, installed("logs")+"="+in.data)
	return cmd
}

// TestAPlainUserOfAnInstallation types every command as somebody who may read neither the service's configuration nor
// its state. What can do without them does, and the rest says how to run it.
func TestAPlainUserOfAnInstallation(t *testing.T) {
	in := newInstallation(t)
	t.Run("reads nothing", in.refuses)
	require.NoError(t, os.Chmod(in.etc, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(in.etc, "reconbeat.yml"), 0o644))
	require.NoError(t, os.Remove(filepath.Join(in.home, "out.zip")))
	t.Run("reads the configuration", in.refuses)
	left, err := filepath.Glob(filepath.Join(in.home, "data*"))
	require.NoError(t, err)
	assert.Empty(t, left, "what a command has made where it was typed")
}

func (in installation) refuses(t *testing.T) {
	for _, c := range every {
		if c.words == "watch" {
			continue // TestLiveWatchAsAPlainUser
		}
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			said, err := in.nobody(strings.Fields(c.words)...).CombinedOutput()
			command, _, _ := strings.Cut(c.words+" ", " look.ndjson")
			command = strings.TrimSpace(command)
			if c.refused != "" {
				assert.Error(t, err)
				assert.Contains(t, string(said), c.refused)
				return
			}
			if c.cannot || command == "replay" || command == "test rules" || command == "test controls" ||
				command == "controls known" {
				assert.NoError(t, err, "%s", said)
				return
			}
			assert.Error(t, err)
			assert.Contains(t, string(said), "cannot be read by this user: run `sudo reconbeat "+c.words+"`, or")
			assert.Equal(t, 1, strings.Count(string(said), "Error: "), "%s", said)
		})
	}
}

// TestAPlainUsersOwnConfiguration types every command as somebody with a configuration of their own, who may not enter
// the installation's folders. Their state and log are at home.
func TestAPlainUsersOwnConfiguration(t *testing.T) {
	in := newInstallation(t)
	const own = "reconbeat.modules: [{module: ndjson, paths: [/nowhere.ndjson]}]\n" +
		"output.file: {path: '${path.data}', filename: out}\nsetup.kibana.host: '127.0.0.1:9'\n" +
		"reconbeat.config.modules.path: '${path.config}/modules.d/*.yml'\n"
	for _, c := range every {
		if c.words == "watch" {
			continue // keeps nothing
		}
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			home := filepath.Join(in.home, strings.ReplaceAll(c.words, " ", "-"))
			require.NoError(t, os.Mkdir(home, 0o755))
			config := filepath.Join(home, "own.yml")
			require.NoError(t, os.WriteFile(config, []byte(own), 0o644))
			for _, name := range []string{home, config} {
				require.NoError(t, os.Chown(name, 65534, 65534))
			}
			cmd := in.nobody(append(strings.Fields(c.words), "-c", config)...)
			cmd.Env = append(cmd.Env, "HOME="+home)
			out := &logBuffer{}
			cmd.Stdout, cmd.Stderr = out, out
			require.NoError(t, cmd.Start())
			state := filepath.Join(home, ".local", "state", Name, "data")
			if c.stays {
				meets(t, filepath.Join(state, "state", "lock"), out)
				require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			}
			_ = cmd.Wait() // other tests hold what it ends with
			assert.NotContains(t, out.All(), in.data)
			forgets := c.words == "replay look.ndjson" || c.words == "test rules" || c.words == "test controls" ||
				c.words == "controls known"
			if !c.cannot && !forgets {
				assert.FileExists(t, filepath.Join(state, "meta.json"), out.All())
			}
		})
	}
}
