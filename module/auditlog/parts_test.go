// SPDX-License-Identifier: Apache-2.0

package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// halves are the records of an exec, as a rotation or two writes part them.
const (
	firstHalf = `type=SYSCALL msg=audit(1772500000.100:501): arch=c000003e syscall=59 success=yes exit=0 ppid=1 ` +
		`pid=4001 auid=1000 uid=1000 gid=1000 euid=1000 egid=1000 tty=pts0 ses=3 ` +
		`comm="ss" exe="/usr/bin/ss" key="exec"` + "\n"
	secondHalf = `type=EXECVE msg=audit(1772500000.100:501): argc=2 a0="ss" a1="-tulpn"` + "\n" +
		`type=PROCTITLE msg=audit(1772500000.100:501): proctitle=7373002D74756C706E` + "\n"
)

// followed follows a log that step changes when the first half has been read, and returns the first event.
func followed(t *testing.T, step func(file string)) *process.Event {
	file := filepath.Join(t.TempDir(), "audit.log")
	require.NoError(t, os.WriteFile(file, []byte(firstHalf), 0o600))
	stats := &module.Stats{}
	m, err := New(conf.MustNewConfigFrom(map[string]any{"paths": []string{file}, "from": "beginning"}),
		module.Env{ID: "auditlog", Logger: logp.NewNopLogger(), Stats: stats, Health: &health.Board{}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for stats.Records.Load() == 0 && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(3 * wholeAfter) // the file is at its end for longer than a whole event waits
		step(file)
	}()
	got := &process.Event{}
	require.NoError(t, m.Run(ctx, process.Cursor{}, func(e *process.Event) error {
		got.Copy(e)
		cancel()
		return nil
	}))
	return got
}

func TestTheRestOfAnEventIsWaitedFor(t *testing.T) {
	for name, step := range map[string]func(string){
		"in the next write": func(file string) {
			f, _ := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			_, _ = f.WriteString(secondHalf)
			f.Close()
		},
		"in the next file": func(file string) {
			_ = os.Rename(file, file+".1")
			_ = os.WriteFile(file, []byte(secondHalf), 0o600)
		},
	} {
		e := followed(t, step)
		require.Equal(t, []string{"ss", "-tulpn"}, e.Args, name)
		require.False(t, e.Lossy, name)
	}
}

// A container's runtime makes several lines of a long one.
func TestRecordsInPartsAreRead(t *testing.T) {
	const at = "2026-03-03T01:06:40.1Z stdout "
	var parts strings.Builder
	for line := range strings.Lines(firstHalf + secondHalf) {
		line = strings.TrimSuffix(line, "\n")
		parts.WriteString(at + "P " + line[:30] + "\n" + at + "F " + line[30:] + "\n")
	}
	path := filepath.Join(t.TempDir(), "0.log")
	require.NoError(t, os.WriteFile(path, []byte(parts.String()), 0o600))
	var args [][]string
	stats := replay(t, "paths: ["+path+"]", func(e *process.Event) { args = append(args, slices.Clone(e.Args)) })
	require.Equal(t, [][]string{{"ss", "-tulpn"}}, args)
	require.Zero(t, stats.Malformed.Load()+stats.Incomplete.Load())

	e := followed(t, func(file string) {
		f, _ := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		_, _ = f.WriteString(at + "P " + secondHalf[:30] + "\n" + at + "F " + secondHalf[30:])
		f.Close()
	})
	require.Equal(t, []string{"ss", "-tulpn"}, e.Args)
	require.False(t, e.Lossy)
}

// Recordings are one log in the order of their times, in whatever order they are named.
func TestAnEventInTwoRecordingsIsOne(t *testing.T) {
	dir := t.TempDir()
	older, newer := filepath.Join(dir, "audit.log.1"), filepath.Join(dir, "audit.log")
	require.NoError(t, os.WriteFile(older, []byte(firstHalf), 0o600))
	next := strings.NewReplacer("1772500000", "1772500009", ":501", ":502").Replace(firstHalf + secondHalf)
	require.NoError(t, os.WriteFile(newer, []byte(secondHalf+next), 0o600))
	var out [][]string
	stats := replay(t, "paths: ["+newer+", "+older+"]", func(e *process.Event) {
		c := &process.Event{}
		c.Copy(e)
		out = append(out, c.Args)
		require.False(t, e.Lossy)
	})
	require.Equal(t, [][]string{{"ss", "-tulpn"}, {"ss", "-tulpn"}}, out)
	require.Zero(t, stats.Incomplete.Load()+stats.Malformed.Load())
}

func TestALogOfWhichNothingIsUnderstoodIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for text, want := range map[string]string{
		"----\ntype=CWD msg=audit(03/03/26 01:06:40.100:501) : cwd=/root\n": "the 1 line of FILE is not an audit record: " +
			"line 2: this is not an audit record, but what ausearch -i makes of one: write records with ausearch --raw",
		"Mar 03 01:06:40 web1 audit[4001]: SYSCALL arch=c000003e\n": "what journalctl prints of one, which lacks the " +
			"event's number: journalctl _TRANSPORT=audit -o json | reconbeat replay -",
		"_time,host,_raw\n2026,web1,\"type=EOE msg=audit(1.1:1): \"\n": "FILE is a table (CSV) with the hosts of its lines " +
			"in the column host: export it as JSON",
		"timestamp,source,message\n2026,web1,\"type=EOE msg=audit(1.1:1): \"\n":                     "in the column source",
		"TimeGenerated [UTC],Computer,SyslogMessage\n2026,web1,\"type=EOE msg=audit(1.1:1): \"\n":   "in the column Computer",
		"web1 | CHANGED | rc=0 >>\ntype=EOE msg=audit(1.1:1): \n":                                   "is what ansible or",
		"web1:\n    type=EOE msg=audit(1.1:1): \n":                                                  "is what ansible or",
		"** Alert 1.2: - audit\n2026 Mar 03 01:06:40 (web1) any->/a\ntype=EOE msg=audit(1.1:1): \n": "Wazuh's alerts.log",
		"once\nupon\n": "none of the 2 lines of FILE is an audit record: line 1: this is not an audit record",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		m, err := New(conf.MustNewConfigFrom("paths: ["+path+"]"), module.Env{
			Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}, Replay: true,
		})
		require.NoError(t, err)
		err = m.Run(t.Context(), process.Cursor{}, func(*process.Event) error { return nil })
		require.ErrorContains(t, err, strings.ReplaceAll(want, "FILE", path))
	}
}

// What Splunk calls the source is a file.
func TestATableOfOneHostsRecordsIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "export.csv")
	text := "_time,source,_raw\n"
	for line := range strings.Lines(firstHalf + secondHalf) {
		text += `2026,/var/log/audit/audit.log,"` + strings.ReplaceAll(strings.TrimSpace(line), `"`, `""`) + "\"\n"
	}
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	execs := 0
	replay(t, "paths: ["+path+"]", func(*process.Event) { execs++ })
	require.Equal(t, 1, execs)
}

func TestANodeThatIsThisHostIsKnown(t *testing.T) {
	own := ownNode()
	name, err := os.Hostname()
	require.NoError(t, err)
	short, _, _ := strings.Cut(name, ".")
	for _, node := range []string{name, short, strings.ToUpper(short), "127.0.0.1"} {
		require.True(t, own([]byte(node)), node)
	}
	for _, node := range []string{"another-host", "192.0.2.1", "x" + short, ""} {
		require.False(t, own([]byte(node)), node)
	}
	foreign := []byte("another-host")
	require.Zero(t, testing.AllocsPerRun(100, func() { own(foreign) }))
}

// Documents that carry records are read in every form that an export has.
func TestRecordsInDocumentsOfEveryForm(t *testing.T) {
	var docs, hits []string
	for line := range strings.Lines(firstHalf + secondHalf) {
		text, err := json.Marshal(strings.TrimSpace(line))
		require.NoError(t, err)
		doc := `{"@timestamp":"2026-03-03T01:06:41Z","host":{"name":"web1"},"message":` + string(text) + `}`
		docs = append(docs, doc)
		hits = append(hits, `{"_index":"x","_source":`+doc+`}`)
	}
	pretty := &bytes.Buffer{}
	for _, doc := range docs {
		require.NoError(t, json.Indent(pretty, []byte(doc), "", "  "))
	}
	for name, text := range map[string]string{
		"lines":                  strings.Join(docs, "\n"),
		"an array":               "[" + strings.Join(docs, ",") + "]",
		"an array, a line each":  "[\n" + strings.Join(docs, ",\n") + "\n]",
		"pretty":                 pretty.String(),
		"hits":                   strings.Join(hits, "\n"),
		"an answer":              `{"took":1,"hits":{"hits":[` + strings.Join(hits, ",") + `]}}`,
		"AWS's logs":             `{"events":[` + strings.Join(docs, ",") + `]}`,
		"behind a syslog header": "Mar  3 01:06:40 web1 x: " + strings.Join(docs, "\nMar  3 01:06:40 web1 x: "),
		"Fluent Bit's":           "[1772500001.1, " + strings.Join(docs, "]\n[1772500001.1, ") + "]",
	} {
		path := filepath.Join(t.TempDir(), "export")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.True(t, Recognises([]byte(text)), name)
		var got []*process.Event
		replay(t, "paths: ["+path+"]", func(e *process.Event) {
			c := &process.Event{}
			c.Copy(e)
			got = append(got, c)
		})
		require.Len(t, got, 1, name)
		require.Equal(t, []string{"ss", "-tulpn"}, got[0].Args, name)
		require.Equal(t, "web1", got[0].Host.Name, name)
	}
}
