// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// What a hostile process may be called: it steers a terminal, by ESC and by the one byte of it above ASCII, turns the
// direction of writing, hides, and has an end of line of its own. Fields would split at blanks.
const (
	hostileName = "mal\u202elory\x1b[2J\u009b2J"
	hostileArgs = "-tan\u202etxt.exe\u2066\x1b]0;owned\x07\u200bé\U000e0041\x7f"
)

// TestHostileTextsInEveryPlace has somebody with a hostile name start ss with hostile arguments. Whatever shows it to
// people has marks in their place; whatever is for programs says them exactly, in JSON and YAML that print.
func TestHostileTextsInEveryPlace(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.learn()
	history := h.History("root")
	hook, said := h.hook()
	script := "#!/bin/sh\ncat >>" + said + "\nenv | grep ^RECONBEAT_ >>" + said + "\n"
	beattest.WriteProgram(t, hook, script)
	r := h.start(oneModule + theFile + "reconbeat.notify: [{id: hook, program: {path: " + hook + "}}]\n")
	h.Exec(hostileName, "id "+hostileArgs, "ss "+hostileArgs)
	r.wait("detector.alerts", 1)
	r.wait("notify.hook.delivered", 1)
	id := strings.TrimSpace(h.output("alerts", "list"))
	id = id[strings.LastIndexByte(id, ' ')+1:]
	line := "ss " + hostileArgs

	people := map[string][]string{
		"list": {"alerts", "list"}, "page": {"alerts", "show", "--", id}, "feedback": {"feedback", "--", id, "unsure"},
		"feedbacks": {"feedback", "list"}, "table": {"replay", "--module", "ndjson", history, h.Input()},
		"page of a replay": {"replay", "--module", "ndjson", "--format", "html", history, h.Input()},
	}
	programs := map[string][]string{
		"list": {"alerts", "list", "--format", "json"}, "alert": {"alerts", "show", "--format", "json", "--", id},
		"feedbacks": {"feedback", "list", "--format", "json"}, "exception": {"exception", "from", "--", id},
		"replay": {"replay", "--module", "ndjson", "--format", "ndjson", history, h.Input()},
	}
	require.NoError(t, r.end(syscall.SIGTERM))
	people["model"], people["account"] = []string{"model", "show"}, []string{"model", "explain", hostileName}
	programs["model"] = []string{"model", "show", "--format", "json"}
	programs["account"] = []string{"model", "explain", hostileName, "--format", "json"}
	for _, name := range []string{ // in this order, for feedback is listed once it is given
		"list", "page", "feedback", "feedbacks", "table", "page of a replay", "model", "account",
	} {
		c, _ := h.command(oneModule+theFile, people[name]...)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		printed(t, name, string(out))
		assert.Contains(t, string(out), "lory", name)
	}
	for name, args := range programs {
		out := h.output(args...)
		printed(t, name, out)
		if name == "exception" {
			continue
		}
		var texts []string
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var v any
			require.NoError(t, d.Decode(&v), "%s: %s", name, out)
			texts = append(texts, textsIn(v)...)
		}
		assert.Contains(t, texts, hostileName, name)
	}

	// The exception is read again, and is about exactly this.
	folder := filepath.Join(h.dir, "exceptions.d")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "x.yml"), []byte(h.output(programs["exception"]...)), 0o600))
	var listed []struct{ Conditions any }
	require.NoError(t, json.Unmarshal([]byte(h.output("controls", "list", "--format", "json")), &listed))

	heard, err := os.ReadFile(said)
	require.NoError(t, err)
	first, rest, _ := strings.Cut(string(heard), "\n")
	printed(t, "a hook's standard input", first)
	assert.Contains(t, rest, "RECONBEAT_COMMAND="+line+"\n", "the environment has it as it is")
	var doc mapstr.M
	require.NoError(t, json.Unmarshal([]byte(first), &doc))
	raw, err := doc.GetValue("process.command_line")
	require.NoError(t, err)
	assert.Equal(t, line, raw)
	printed(t, "log", r.log.All())
}

// printed asserts that a text steers no terminal.
func printed(t *testing.T, name, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			assert.Failf(t, "what steers a terminal", "%s has %U:\n%q", name, r, text)
			return
		}
	}
}

// textsIn are all texts of decoded JSON.
func textsIn(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			all = append(all, textsIn(one)...)
		}
	case map[string]any:
		for _, one := range v {
			all = append(all, textsIn(one)...)
		}
	}
	return all
}
