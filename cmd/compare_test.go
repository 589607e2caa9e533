// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector/rare"
)

// What a job and reconbeat have found is compared by user and bucket, and each side's own comes first.
func TestAJobAndAReplayAreCompared(t *testing.T) {
	c, err := newComparison("v3_linux_network_connection_discovery_ea", config.Default(), "")
	require.NoError(t, err)
	bucket := time.Date(2026, 11, 20, 10, 15, 0, 0, time.UTC)
	match := func(after time.Duration, rule, user, command string, score float64, more mapstr.M) {
		fields := mapstr.M{
			"event.action": "exec", "reconbeat.rules": []string{rule}, "user.name": user,
			"process.command_line": command, "host.name": "web-1",
			"reconbeat.anomaly.score": score, "event.reason": "because",
		}.Clone()
		doc := mapstr.M{}
		fields.DeepUpdate(more)
		for name, v := range fields {
			put(doc, name, v)
		}
		c.document(&beat.Event{Timestamp: bucket.Add(after), Fields: doc})
	}
	const rule = "network-connection-discovery"
	match(time.Minute, rule, "eve", "ss -s", 3, nil)
	match(2*time.Minute, rule, "eve", "ss -tunap", 80, nil)                                 // both
	match(14*time.Minute, rule, "alice", "netstat -rn", 2.5, nil)                           // the job alone
	match(16*time.Minute, rule, "carol", "route", 30, nil)                                  // reconbeat alone
	match(time.Minute, rule, "dan", "ss", 99, mapstr.M{"reconbeat.anomaly.learning": true}) // only learned
	match(time.Minute, "sudo-use", "frank", "sudo", 99, nil)                                // another rule
	match(time.Minute, rule, "grace", "ss", 99, mapstr.M{"event.action": "alert"})          // its exec counts
	match(-24*time.Hour, rule, "heidi", "ss", 99, nil)                                      // before
	ours := func(user string, score float64) {
		c.record(c.rule, rare.Record{BucketStart: bucket, User: user, Result: rare.Result{Score: score}})
	}
	theirs := func(user string, score float64) { c.recordOfJob(bucket, user, score) }
	ours("eve", 60)
	theirs("eve", 1) // of another host, by which the job is split
	theirs("eve", 60.5)
	theirs("eve", 2)
	theirs("alice", 40)
	theirs("dan", 50)
	theirs("ivan", 26)  // whose match was not read
	theirs("judy", 0.1) // below the threshold
	c.within(bucket.Add(time.Minute), bucket.Add(16*time.Minute))

	var out bytes.Buffer
	require.NoError(t, c.write(&out, formatTable))
	require.Equal(t, `Only the job: 3
  BUCKET              JOB   RARE    SCORE  USER                 HOST                 COMMAND
  2026-11-20 10:15   40.0             2.5  alice                web-1                netstat -rn
  2026-11-20 10:15   50.0        learning  dan                                       
  2026-11-20 10:15   26.0          unread  ivan                                      

Only reconbeat: 1
  BUCKET              JOB   RARE    SCORE  USER                 HOST                 COMMAND
  2026-11-20 10:30                   30.0  carol                web-1                route

Both: 1
  BUCKET              JOB   RARE    SCORE  USER                 HOST                 COMMAND
  2026-11-20 10:15   60.5   60.0     80.0  eve                  web-1                ss -tunap

Of the job's 5 records, reconbeat's rare model has 1, with scores that differ by at most 0.5. `+
		"A score of 25 and more counts as found.\n", out.String())
	out.Reset()
	require.NoError(t, c.write(&out, formatNDJSON))
	require.Equal(t, 5, bytes.Count(out.Bytes(), []byte("\n")))
	require.Contains(t, out.String(), `{"@timestamp":"2026-11-20T10:15:00Z","user":"eve","found_by":"both","job":60.5,`+
		`"rare":60,"score":80,"matches":2,"host":"web-1","command":"ss -tunap","reason":"because"}`)
}

// A job is compared with the rule that is about its programs, which must be enabled.
func TestAJobHasARule(t *testing.T) {
	for _, row := range []struct{ job, rule, wrong string }{
		{job: "v3_linux_network_connection_discovery", rule: "network-connection-discovery"},
		{job: "space-b-linux_network_connection_discovery_ea", rule: "network-connection-discovery"},
		{job: "our_own", rule: "network-connection-discovery"}, // the only one that is enabled
		{job: "v3_linux_rare_sudo_user", wrong: "the rule sudo-use, which is about the job's programs, is not enabled"},
	} {
		c, err := newComparison(row.job, config.Default(), "")
		if row.wrong != "" {
			require.ErrorContains(t, err, row.wrong)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.rule, c.rule.ID, row.job)
	}
}
