// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// What stands in a file already is judged alike, whether reconbeat follows the file from its beginning or replays it,
// and also where it was stopped halfway.
func TestABacklogIsJudgedAsInAReplay(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		module, model string
		line          func(at time.Time, user, command string) string
		lives         int
	}{
		"documents":              {"ndjson", "context", beattest.Line, 1},
		"documents by rare":      {"ndjson", "rare", beattest.Line, 1},
		"documents after a stop": {"ndjson", "context", beattest.Line, 2},
		"auditd's log":           {"auditlog", "context", auditLine, 1},
		"auditd's log by rare":   {"auditlog", "rare", auditLine, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			lines := backlog(row.line)
			config := fmt.Sprintf("reconbeat.modules: [{module: %s, from: beginning, paths: ['%s']}]\n"+
				"reconbeat.detector: {model: %s, timezone: UTC}\nreconbeat.events: matched\n", row.module, h.input(), row.model)
			for life := range row.lives {
				read := (life + 1) * len(lines) / row.lives
				require.NoError(t, os.WriteFile(h.input(), []byte(strings.Join(lines[:read], "")), 0o600))
				r := h.start(config + theFile)
				h.eventually(func() bool { return len(h.shipped("exec")) >= read }, "not all is judged:\n%s", r.log)
				require.NoError(t, r.end(syscall.SIGTERM))
			}
			c, _ := h.command(config+theFile, "replay", "--module", row.module, "--events", "--format", "ndjson", h.input())
			out, err := c.Output()
			require.NoError(t, err)
			var replayed []mapstr.M
			for line := range bytes.Lines(out) {
				var doc mapstr.M
				require.NoError(t, json.Unmarshal(line, &doc))
				replayed = append(replayed, doc)
			}
			want := judgements(replayed)
			require.Contains(t, strings.Join(want, ""), "alert-summary")
			for i, got := range judgements(h.documents()) {
				require.Less(t, i, len(want), got)
				require.Equal(t, want[i], got)
			}
		})
	}
}

// backlog is 25 days of a host: what root's agent and bob do, and in the end two who have never been there before.
func backlog(line func(at time.Time, user, command string) string) (lines []string) {
	begin := time.Date(2026, 2, 2, 0, 0, 3, 0, time.UTC)
	intruders := map[int]string{21*48 + 20: "tomcat", 23*48 + 7: "guest"}
	for i := range 25 * 48 {
		at := begin.Add(time.Duration(i)*30*time.Minute + time.Duration(i*i%977)*time.Second)
		lines = append(lines, line(at, "root", "ss -s")+"\n")
		if hour := i % 48; hour == 19 || hour == 31 && i%5 > 0 {
			lines = append(lines, line(at.Add(time.Minute), "bob", "ss -tlpn")+"\n")
		}
		if user := intruders[i]; user != "" {
			lines = append(lines, line(at.Add(2*time.Minute), user, "netstat -tunap")+"\n")
		}
	}
	return lines
}

// auditLine is an exec on another host in a log of auditd's.
func auditLine(at time.Time, user, command string) string {
	ids := map[string]int{"root": 0, "bob": 1001, "tomcat": 999, "guest": 1010}
	login, tty, ses := 1<<32-1, "(none)", 1<<32-1 // daemons have none
	if ids[user] > 1000 {
		login, tty, ses = ids[user], "pts0", 3
	}
	args := strings.Fields(command)
	stamp := fmt.Sprintf("node=web1 type=%%s msg=audit(%d.000:%d): ", at.Unix(), at.Unix()%100000)
	execve := fmt.Sprintf("argc=%d", len(args))
	for i, arg := range args {
		execve += fmt.Sprintf(" a%d=%q", i, arg)
	}
	id := ids[user]
	return fmt.Sprintf(stamp, "SYSCALL") + fmt.Sprintf("arch=c000003e syscall=59 success=yes exit=0 a0=0 a1=0 a2=0 a3=0 "+
		"items=2 ppid=800 pid=4711 auid=%[5]d uid=%[1]d gid=%[1]d euid=%[1]d suid=%[1]d fsuid=%[1]d egid=%[1]d sgid=%[1]d "+
		"fsgid=%[1]d tty=%[6]s ses=%[7]d comm=%[2]q exe=%[3]q key=\"exec\"\x1dARCH=x86_64 SYSCALL=execve UID=%[4]q "+
		"GID=%[4]q EUID=%[4]q\n", id, args[0], "/usr/bin/"+args[0], user, login, tty, ses) +
		fmt.Sprintf(stamp, "EXECVE") + execve + "\n" + fmt.Sprintf(stamp, "EOE")
}

// judgements are what documents say of the events that they are about, in one order: without what a Beat adds of
// itself, and what follows from its host's id.
func judgements(docs []mapstr.M) (out []string) {
	for _, doc := range docs {
		v := text(doc, "@timestamp") + " " + text(doc, "event.action") + " " + text(doc, "user.name") + " " +
			text(doc, "event.reason")
		if anomaly, err := doc.GetValue("reconbeat.anomaly"); err == nil {
			b, _ := json.Marshal(anomaly)
			v += " " + string(b)
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}
