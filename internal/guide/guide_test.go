// SPDX-License-Identifier: Apache-2.0

package guide

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the text of Kibana's detection rule anew")

// kibanas is the file from which tools/kibana, a module of its own, makes the detection rule.
const kibanas = "../../tools/kibana/guides/steps.md"

// TestKibanasGuideIsMadeOfTheSteps holds the generated file against its source.
func TestKibanasGuideIsMadeOfTheSteps(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile(kibanas, []byte(Fields()), 0o644))
	}
	text, err := os.ReadFile(kibanas)
	require.NoError(t, err)
	require.Equal(t, Fields(), string(text), "go test ./internal/guide -update")
}

// values are those of an alert of which everything is known.
func values(field string) string { return "value-of-" + field }

// TestEveryPointOfTheResponseIsThere looks for the points that a response must have, with their commands.
func TestEveryPointOfTheResponseIsThere(t *testing.T) {
	known := map[string]string{
		"reconbeat.actor.name": "alice", "reconbeat.actor.id": "1000", "host.name": "web-1", "host.id": "h",
		"reconbeat.session.id": "7", "user.audit.id": "1000", "event.id": "-aZ", "reconbeat.alert.id": "-aZ",
		"reconbeat.session.start": "2026-11-29T05:00:00Z",
	}
	text := Alert{
		Value: func(f string) string { return known[f] }, Note: "Of this rule.",
		FalsePositives: []string{"A new job."}, References: []string{"https://example.org"},
		Parts: []Part{{Nats: 4.2, Words: "parent bash"}, {Nats: -0.5, Words: "as root"}},
	}.Markdown()
	for _, want := range []string{
		"| +4.20 | `parent bash` |", "| -0.50 | `as root` |", "Of this rule.", "- Known: A new job.", "- https://example.org",
		"**Isolate the host.**", "- Host: `web-1`, id `h`",
		"**End the sessions**", "`sudo loginctl terminate-session 7`", "`sudo loginctl terminate-user 1000`",
		"**Review what was done**", "-newermt 2026-11-29T05:00:00Z`",
		"**Reset credentials and MFA.**", "`sudo usermod --lock --expiredate 1 -- alice`",
		"**Look at other hosts**", "**Escalate**", "**Improve the rules.**",
		"`sudo reconbeat feedback -- -aZ malicious`", "`sudo reconbeat feedback -- -aZ benign`",
		"`sudo reconbeat alerts show -- -aZ`", "`last -i -- alice`", "`ps -o pid,ppid,lstart,args -U alice`",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "- Address:", "the alert has none")

	// A container's user id is another account's on the host, whose sessions nobody ends.
	known = map[string]string{
		"reconbeat.actor.id": "1000", "user.id": "1000", "reconbeat.actor.container": "shop/web", "container.id": "c0ffee",
	}
	inside := Alert{Value: func(f string) string { return known[f] }}.Markdown()
	require.Contains(t, inside, "- In the container: `shop/web`, there as user id `1000`")
	require.NotContains(t, inside, "terminate-user")
	require.NotContains(t, inside, "usermod")
	require.NotContains(t, inside, " -U ")
	require.Contains(t, inside, "`ps -e -o pid,ppid,lstart,cgroup,args | grep -- c0ffee`")
	require.NotContains(t, text, "{")
	require.Greater(t, len(Alert{Value: values}.Markdown()), len(text)-200, "all lines are there")
}

// hostile are values that try to leave their place in Markdown or in a command.
var hostile = []string{
	"`id`", "```\n# owned", "a'; touch PWNED; '", "$(touch PWNED)", "a|b", "-rf", "x\x1b[2Jy", "a\u202eb", "\xff\xfe",
	"a b",
	"</code><script>", "'", "a\nb", "!{investigate{\"label\":\"x\"}}", "*", "~", "~root", "a\\", "#x", "&", "!1",
}

// TestAHostileValueStaysInItsPlace puts hostile values into every place.
func TestAHostileValueStaysInItsPlace(t *testing.T) {
	plain := Alert{Value: func(string) string { return "x" }, Parts: []Part{{Words: "x"}}}.Markdown()
	for _, v := range hostile {
		text := Alert{Value: func(string) string { return v }, Parts: []Part{{Words: v}}}.Markdown()
		require.Equal(t, strings.Count(plain, "\n"), strings.Count(text, "\n"), "%q ends a line", v)
		require.True(t, utf8.ValidString(text))
		require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool {
			return r != '\n' && r != utf8.RuneError && !unicode.IsPrint(r)
		}), "%q", v)
		for line := range strings.Lines(text) {
			outside := spans(line)
			require.NotContains(t, outside, "</code>")
			require.NotContains(t, outside, "investigate{")
			require.NotContains(t, outside, "PWNED")
		}
	}
}

// spans is a line without its code spans, as CommonMark finds them: a run of backticks up to the next one as long.
func spans(line string) (outside string) {
	for {
		start := strings.IndexByte(line, '`')
		if start < 0 {
			return outside + line
		}
		n := start
		for n < len(line) && line[n] == '`' {
			n++
		}
		outside += line[:start]
		rest, run := line[n:], n-start
		end := -1
		for i := 0; i < len(rest); i++ {
			j := i
			for j < len(rest) && rest[j] == '`' {
				j++
			}
			if j-i == run {
				end = j
				break
			}
			i = max(i, j-1)
		}
		if end < 0 {
			return outside + rest
		}
		line = rest[end:]
	}
}

// TestAShellSeesOneWord has a shell say what it was given.
func TestAShellSeesOneWord(t *testing.T) {
	for _, v := range append(hostile, "alice", "o'neill", strings.Repeat("x", 1000)) {
		want := v
		if len(v) > maxValue || shown(v) != v {
			want = "(unprintable)"
		}
		for _, shell := range []string{"sh", "bash"} {
			out, err := exec.Command(shell, "-c", "printf '%s|%s' "+Quote(v)+" end").Output()
			require.NoError(t, err)
			require.Equal(t, want+"|end", string(out), "%s", shell)
		}
	}
}

// TestTheTextIsBounded gives more of everything than there is room for.
func TestTheTextIsBounded(t *testing.T) {
	long := strings.Repeat("é`", 20000)
	lists := make([]string, 100)
	parts := make([]Part, 100)
	for i := range lists {
		lists[i], parts[i].Words = long, long
	}
	text := Alert{
		Value: func(string) string { return long }, Note: long, FalsePositives: lists, References: lists, Parts: parts,
	}.Markdown()
	require.LessOrEqual(t, len(text), MaxBytes)
	require.True(t, utf8.ValidString(text))
	require.Contains(t, text, " …")
	usual := Alert{Value: values, Note: strings.Repeat("x", maxNote)}.Markdown()
	require.Contains(t, usual, "## When it is benign", "a rule's note leaves room for the steps")
}
