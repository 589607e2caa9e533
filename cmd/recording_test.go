// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module/catalog"
)

var update = flag.Bool("update", false, "write the generated files anew")

// recorded is one exec of the bundled recording.
type recorded struct {
	at                  time.Time
	user, login         string
	command, parent     string
	tty                 bool
	entry, source, home string
}

// TestTheBundledRecordingIsWhatThisGeneratorMakes keeps recording.ndjson.gz readable: ten days of a web server, on
// which a monitoring agent looks every ten minutes and two admins several times a day, until its web server's account
// opens a shell and looks, too.
func TestTheBundledRecordingIsWhatThisGeneratorMakes(t *testing.T) {
	var lines bytes.Buffer
	for i, l := range tenDays() {
		doc := map[string]any{
			"@timestamp": l.at.Format("2006-01-02T15:04:05.000Z"),
			"event": map[string]any{
				"id":       fmt.Sprintf("recording-%05d", i+1),
				"kind":     "event",
				"category": []string{"process"},
				"type":     []string{"start"},
				"action":   "exec",
				"module":   "endpoint",
			},
			"host": map[string]any{"id": "recording", "name": "web-1", "os": map[string]any{"type": "linux"}},
			"user": map[string]any{"id": accountIDs[l.user], "name": l.user},
		}
		if l.login != "" {
			doc["user"].(map[string]any)["audit"] = map[string]any{"id": accountIDs[l.login], "name": l.login}
		}
		args := strings.Fields(l.command)
		p := map[string]any{
			"pid":               4000 + i,
			"name":              args[0],
			"executable":        "/usr/bin/" + args[0],
			"args":              args,
			"command_line":      l.command,
			"working_directory": l.home,
			"interactive":       l.tty,
			"parent": map[string]any{
				"pid":        3000 + i,
				"name":       l.parent[strings.LastIndex(l.parent, "/")+1:],
				"executable": l.parent,
			},
		}
		if l.tty {
			p["tty"] = map[string]any{"char_device": map[string]any{"major": 136, "minor": 0}}
		}
		meta := map[string]any{"type": l.entry}
		if l.source != "" {
			meta["source"] = map[string]any{"ip": l.source}
		}
		p["entry_leader"] = map[string]any{"entry_meta": meta}
		doc["process"] = p
		line, err := json.Marshal(doc)
		require.NoError(t, err)
		lines.Write(append(line, '\n'))
	}
	if *update {
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		require.NoError(t, err)
		_, err = w.Write(lines.Bytes())
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, os.WriteFile("recording.ndjson.gz", z.Bytes(), 0o644))
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(recording))
	require.NoError(t, err)
	bundled, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, lines.String(), string(bundled), "run: go test ./cmd -run Recording -update")
}

var accountIDs = map[string]string{"root": "0", "www-data": "33", "alice": "1000", "bob": "1001"}

func tenDays() []recorded {
	r := rand.New(rand.NewPCG(20260301, 1049))
	start := recordingEnd.AddDate(0, 0, -10)
	var all []recorded
	for at := start.Add(3 * time.Minute); at.Before(recordingEnd); at = at.Add(10 * time.Minute) {
		all = append(all, recorded{
			at:      at.Add(time.Duration(r.IntN(900)) * time.Millisecond),
			user:    "root",
			command: "ss -s",
			parent:  "/usr/bin/check_mk_agent",
			entry:   "init",
			home:    "/",
		})
	}
	admins := []recorded{
		{login: "alice", source: "10.20.0.14", home: "/home/alice"},
		{login: "bob", source: "10.20.0.31", home: "/home/bob"},
	}
	commands := []string{"ss -tlnp", "ss -tan", "netstat -tulpn", "ss -s", "route -n"}
	for day := range 10 {
		for _, a := range admins {
			for range 5 + r.IntN(4) {
				a.at = start.AddDate(0, 0, day).Add(7*time.Hour + time.Duration(r.IntN(11*3600))*time.Second)
				a.user, a.parent, a.command, a.tty, a.entry = a.login, "/usr/bin/bash", commands[r.IntN(len(commands))],
					true, "sshd"
				if r.IntN(3) == 0 {
					a.user, a.parent = "root", "/usr/bin/sudo"
				}
				all = append(all, a)
			}
		}
	}
	intrusion := recordingEnd.Add(-17 * time.Minute)
	for i, c := range []string{"ss -tunap", "netstat -rn", "ss -xlp"} {
		all = append(all, recorded{
			at:      intrusion.Add(time.Duration(i*23) * time.Second),
			user:    "www-data",
			command: c,
			parent:  "/usr/bin/sh",
			entry:   "init",
			home:    "/var/www/html",
		})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at.Before(all[j].at) })
	return all
}

// TestEndOfARecordingCountsInEnglish holds that one alert is one alert.
func TestEndOfARecordingCountsInEnglish(t *testing.T) {
	stderr, read := os.Stderr, (*os.File)(nil)
	read, os.Stderr, _ = os.Pipe()
	err := showRecording(&screen{out: io.Discard}, formatTable, &catalog.NoSourceError{Reasons: []string{"auditd: no"}})
	os.Stderr.Close()
	os.Stderr = stderr
	require.NoError(t, err)
	said, err := io.ReadAll(read)
	require.NoError(t, err)
	require.Contains(t, string(said), "End of the RECORDING: 1567 execs seen, 1567 matched, 1 alert.\n")
	for n, want := range map[int]string{0: "0 matches", 1: "1 match", 2: "2 matches"} {
		require.Equal(t, want, plural.Of(n, "match"))
	}
}
