// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"
)

// output runs a command of reconbeat on this host and returns what it prints.
func (h *host) output(args ...string) string {
	h.t.Helper()
	c, _ := h.command(oneModule+theFile, args...)
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	require.NoError(h.t, err, "%v: %s", args, &complaint)
	return string(out)
}

// What is kept of alerts is listed and shown while reconbeat runs and after, whether the output has them or not; an
// exception made of one covers it.
func TestAlertsAreReadOnTheHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.Equal(t, "There is no alert yet.\n", h.output("alerts", "list"))
	require.Empty(t, h.output("alerts", "list", "--format", "json"))
	h.learn()
	follows, _ := h.command(oneModule+theFile, "alerts", "list", "--follow", "--format", "json")
	followed, err := os.Create(filepath.Join(h.dir, "followed"))
	require.NoError(t, err)
	defer followed.Close()
	follows.Stdout = followed
	require.NoError(t, follows.Start())
	t.Cleanup(func() { _ = follows.Process.Kill() })

	r := h.start(oneModule + deadElasticsearch)
	h.Exec("mallory", "ss -tunap", "ss -tunap")
	h.Exec("www-data", "ss -s")
	r.wait("detector.alerts", 2)
	ids := func() []string {
		rows := strings.Split(strings.TrimSpace(h.output("alerts", "list")), "\n")
		var ids []string
		for _, row := range rows[min(1, len(rows)):] {
			if strings.Contains(row, " correlation ") {
				continue // the two are one story
			}
			columns := strings.Fields(row)
			ids = append(ids, columns[len(columns)-1])
		}
		return ids
	}
	h.eventually(func() bool { return len(ids()) == 2 }, "no two alerts:\n%s", r.log)
	require.Regexp(t, `(?m)^TIME +SCORE +USER +COMMAND +RULE +ALERT$`, h.output("alerts", "list"))
	require.Regexp(t, `(?m)^20.* +mallory +ss -tunap +network-connection-discovery +\S+$`, h.output("alerts", "list"))
	require.Contains(t, h.output("alerts", "list", "--since", "1ns"), "There is no alert since 20")

	id := ids()[0]
	page := h.output("alerts", "show", "--", id[:8])
	for _, line := range []string{
		`^Unusual network connection discovery by mallory$`, `^Alert +` + id + `$`,
		`^Why +mallory has never looked at network connections on this host`, `^Actor +mallory, service$`,
		`^Command +ss -tunap$`,
		`^Score +\d\d\.\d, the threshold is 25, severity 21$`,
		`^ +0\.\d+ benign visits a year are as unusual$`,
		`^Parts \(nats\) +\+\d\.\d\d an actor who was never seen in this way$`,
		`sudo usermod --lock --expiredate 1 -- mallory`,
		`sudo reconbeat feedback -- ` + id + ` benign`,
		`^Technique +T1049, System Network Connections Disc`,
	} {
		require.Regexp(t, `(?m)`+line, page)
	}
	var doc mapstr.M
	require.NoError(t, json.Unmarshal([]byte(h.output("alerts", "show", "--format", "json", "--", id)), &doc))
	require.Equal(t, "mallory", text(doc, "user.name"))
	require.NoError(t, r.end(syscall.SIGTERM))

	// A restart takes none away, and repeats none; what came after an alert is shown with it.
	r = h.start(oneModule + theFile)
	h.eventually(func() bool { return len(h.shipped("alert")) == 2 }, "no alerts shipped:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Len(t, ids(), 2)
	h.eventually(func() bool {
		text, err := os.ReadFile(followed.Name())
		return err == nil && strings.Count(string(text), "\n") == 3
	}, "not both, and their story, were followed")
	require.NoError(t, follows.Process.Signal(syscall.SIGINT))
	require.NoError(t, follows.Wait())

	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"alerts", "show", "nonesuch"}, `alert "nonesuch": no alert of this host that is kept has this id`},
		{[]string{"alerts", "show", ""}, `alert "": no alert of this host`},
		{[]string{"alerts", "list", "--format", "xml"}, `--format "xml" is not allowed`},
		{[]string{"alerts", "list", "--since", "-1h"}, `--since -1h0m0s is not allowed`},
		{[]string{"exception", "from", "--for", "0s", "--", id}, `--for 0s is not allowed`},
	} {
		command, _ := h.command(oneModule+theFile, c.args...)
		_, err := command.Output()
		var failed *exec.ExitError
		require.ErrorAs(t, err, &failed, "%v", c.args)
		require.Contains(t, string(failed.Stderr), c.says)
	}

	// The exception made of the alert holds it back, and not the other one.
	require.NoError(t, os.Mkdir(filepath.Join(h.dir, "exceptions.d"), 0o755))
	file := filepath.Join(h.dir, "exceptions.d", "mallory.yml")
	require.NoError(t, os.WriteFile(file, []byte(h.output("exception", "from", "--", id)), 0o600))
	require.Contains(t, h.output("controls", "list"), "alert-"+id)
	replayed := h.output("replay", "--module", "ndjson", "--format", "ndjson", h.History("root"), h.input())
	require.False(t, strings.Contains(replayed, `by mallory"`))
	require.True(t, strings.Contains(replayed, `by www-data"`))
}
