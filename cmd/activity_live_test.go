// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// TestLiveAnAlertTellsItsSession has an unknown account look around by ssh: the alert has what it ran before, and its
// follow-up, when the session ends, what it ran after.
func TestLiveAnAlertTellsItsSession(t *testing.T) {
	l := newLive(t, "context")
	l.learnDays(60, true)
	l.start()
	defer l.stop()
	before := []string{"id", "whoami", "uname -a", "hostname"}
	after := []string{"ps -e", "groups", "df", "last"}
	run := slices.Concat(before, []string{"ss -tan"}, after)
	c := l.ssh(liveNewbie, strings.Join(run, " >/dev/null; ")+" >/dev/null; true")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))

	alert := mapstr.M{}
	require.True(t, beattest.Poll(30*time.Second, func() bool {
		alert = l.find("alert", mapstr.M{"user.name": liveNewbie})
		return alert != nil
	}), "no alert; the log:\n%s", l.log)
	follow := mapstr.M{}
	require.True(t, beattest.Poll(30*time.Second, func() bool {
		follow = l.find("event", mapstr.M{"event.action": "alert-follow-up"})
		return follow != nil
	}), "no follow-up; the log:\n%s", l.log)

	require.Subset(t, commandsIn(alert, "reconbeat.activity.before"), before)
	require.NotContains(t, commandsIn(alert, "reconbeat.activity.before"), "ps -e")
	got := commandsIn(follow, "reconbeat.activity.after")
	require.Subset(t, got, after)
	require.NotContains(t, got, "whoami")
	require.Equal(t, text(alert, "event.id"), text(follow, "reconbeat.alert.id"))
	require.Equal(t, liveNewbie, text(follow, "user.name"))
	require.Regexp(t, `^After the alert: [4-9] other programs started in the session within [0-9]+ seconds?$`,
		text(follow, "message"))

	techniques := map[string]any{}
	for _, p := range append(objects(alert, "reconbeat.activity.before"), objects(follow, "reconbeat.activity.after")...) {
		techniques[text(p, "command_line")], _ = p.GetValue("technique.id") // some have none
	}
	require.Equal(t, []any{"T1033"}, techniques["whoami"], "of a rule that is off")
	require.Equal(t, []any{"T1057"}, techniques["ps -e"])
}

// commandsIn are the command lines in a list of programs.
func commandsIn(doc mapstr.M, field string) (lines []string) {
	for _, p := range objects(doc, field) {
		lines = append(lines, text(p, "command_line"))
	}
	return lines
}
