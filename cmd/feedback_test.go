// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

// alertOf is the id of the first alert of a user.
func (h *host) alertOf(user string) string {
	for _, doc := range h.documents() {
		if isAlert(text(doc, "event.action")) && text(doc, "user.name") == user {
			return text(doc, "event.id")
		}
	}
	return ""
}

// of returns the documents of an action and a user, in order of time.
func (h *host) of(action, user string) (out []mapstr.M) {
	for _, doc := range h.documents() {
		if text(doc, "event.action") == action && text(doc, "user.name") == user {
			out = append(out, doc)
		}
	}
	slices.SortFunc(out, func(a, b mapstr.M) int { return cmp.Compare(text(a, "@timestamp"), text(b, "@timestamp")) })
	return out
}

// What a person says of an alert is taken up by the service that runs, by one that was stopped at its next start, and
// survives restarts: benign makes the same silent and leaves neighbours alone, malicious raises the same again, a band
// higher. Each is shipped, listed, and can be undone.
func TestFeedbackTeachesTheService(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.Equal(t, "No feedback holds.\n", h.output("feedback", "list"))
	h.learn()
	r := h.start(oneModule + theFile)
	h.Exec("mallory", "ss -tunap", "ss -tunap")
	h.Exec("www-data", "ss -s")
	h.eventually(func() bool { return len(h.shipped("alert")) == 2 }, "no two alerts:\n%s", r.log)

	// Benign, to the service that runs.
	id := h.alertOf("mallory")
	h.output("feedback", "--note", "a new script", "--by", "carol", "--", id[:10], "benign")
	h.eventually(func() bool { return len(h.of("feedback", "carol")) == 1 }, "it does not ship:\n%s", r.log)
	said := h.of("feedback", "carol")[0]
	for field, want := range map[string]string{
		"reconbeat.alert.id": id, "reconbeat.feedback.verdict": "benign", "reconbeat.feedback.note": "a new script",
		"reconbeat.feedback.by": "carol", "reconbeat.actor.name": "mallory", "rule.id": "network-connection-discovery",
		"message": "Feedback on Unusual network connection discovery by mallory: benign",
		"event.reason": "carol says that alert " + id + " of mallory is benign (a new script): " +
			"its context is a habit from now on",
	} {
		require.Equal(t, want, text(said, field), field)
	}
	h.eventually(func() bool { return len(h.of("exec", "mallory")) == 2 }, "no two matches:\n%s", r.log)
	h.Exec("mallory", "ss -tunap")
	h.Exec("eve", "ss -tunap")
	h.eventually(func() bool { return h.alertOf("eve") != "" && len(h.of("exec", "mallory")) == 3 },
		"no alert of the neighbour:\n%s", r.log)
	require.Len(t, h.shipped("alert"), 3)
	same := h.of("exec", "mallory")[2]
	require.Equal(t, id, text(same, "reconbeat.feedback.alert_id"))
	require.Equal(t, "benign", text(same, "reconbeat.feedback.verdict"))
	require.Contains(t, h.output("alerts", "show", "--", id), "carol says that alert "+id+" of mallory is benign")
	require.NoError(t, r.end(syscall.SIGTERM))

	// Malicious, to a service that is stopped: until it starts, the list counts it in.
	attack := h.alertOf("www-data")
	h.output("feedback", "--", attack, "malicious")
	list := h.output("feedback", "list")
	require.Regexp(t, `(?m)^20.* +benign +mallory +network-connection-discovery +carol +a new script +`+id+`$`, list)
	require.Regexp(t, `(?m)^20.* +malicious +www-data +network-connection-discovery +\S+.* +- +`+attack+`$`, list)
	r = h.start(oneModule + theFile)
	h.Exec("www-data", "ss -s")
	h.Exec("mallory", "ss -tunap")
	h.eventually(func() bool { return len(h.of("alert", "www-data")) == 2 }, "it is not raised again:\n%s", r.log)
	first, raised := h.of("alert", "www-data")[0], h.of("alert", "www-data")[1]
	require.Equal(t, attack, text(raised, "reconbeat.alert.earlier_id"))
	require.Equal(t, "malicious", text(raised, "reconbeat.feedback.verdict"))
	require.Equal(t, "21", text(first, "event.severity"))
	require.Contains(t, []string{"47", "73", "99"}, text(raised, "event.severity"))
	require.Contains(t, text(raised, "event.reason"), "called alert "+attack+" in this context malicious; ")

	// Undone it is as it was: the context is on probation.
	h.output("feedback", "undo", "--by", "dave", "--", attack[:12])
	h.eventually(func() bool { return len(h.of("feedback", "dave")) == 1 }, "it does not ship:\n%s", r.log)
	require.Equal(t, "undone", text(h.of("feedback", "dave")[0], "reconbeat.feedback.verdict"))
	require.NoError(t, r.end(syscall.SIGTERM))
	var left detector.Feedback
	require.NoError(t, json.Unmarshal([]byte(h.output("feedback", "list", "--format", "json")), &left), "one line")
	require.Equal(t, id, left.AlertID)
	r = h.start(oneModule + theFile)
	h.Exec("www-data", "ss -s")
	h.eventually(func() bool { return len(h.of("exec", "www-data")) > 2 }, "no match:\n%s", r.log)
	require.NoError(t, r.end(syscall.SIGTERM))
	require.Len(t, h.of("alert", "www-data"), 2)
	require.Len(t, h.of("alert", "mallory"), 1)

	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"feedback", "nonesuch", "benign"}, `alert "nonesuch": no alert of this host that is kept has this id`},
		{[]string{"feedback", "--", id, "harmless"}, `"harmless" is not allowed; it must be benign, malicious or unsure`},
		{[]string{"feedback", "--", id}, `the verdict is missing; it must be benign, malicious or unsure; usage:`},
		{
			[]string{"feedback", "--", "malicious", id},
			`the alert's id comes first, and then malicious; usage: reconbeat feedback`,
		},
		{[]string{"feedback", "benign"}, `the alert's id comes first, and then benign; usage: reconbeat feedback`},
		{[]string{"feedback", "--", id, "undo"}, `undo comes first: reconbeat feedback undo`},
		{[]string{"feedback", "undo", "--", attack}, `no feedback that holds is on it; reconbeat feedback list has them`},
		{
			[]string{"feedback", "--note", strings.Repeat("x", 5000), "--", id, "unsure"},
			`the note has 5000 bytes; at most 4096`,
		},
		{[]string{"feedback", "list", "--format", "xml"}, `--format "xml" is not allowed`},
	} {
		command, _ := h.command(oneModule+theFile, c.args...)
		_, err := command.Output()
		var failed *exec.ExitError
		require.ErrorAs(t, err, &failed, "%v", c.args)
		require.Contains(t, string(failed.Stderr), c.says)
	}
}
