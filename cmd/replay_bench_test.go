// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkReplay runs `reconbeat replay` on one processor over a million documents in the shape of Elastic Defend's, a
// month of a host, at the default configuration. mixed: one in a hundred looks, by one of thirty users, the others are
// what else a host runs. looks: every document is a match.
//
//	go test ./cmd -run '^$' -bench Replay -benchtime 1x
func BenchmarkReplay(b *testing.B) {
	const documents = 1_000_000
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		b.Skip("SKIPPED: ONE PROCESSOR IS GIVEN BY taskset (Debian: util-linux)")
	}
	for _, c := range []struct {
		name  string
		every int // which document is a match
	}{{"mixed", 100}, {"looks", 1}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			file := filepath.Join(dir, "documents.ndjson")
			f, err := os.Create(file)
			require.NoError(b, err)
			require.NoError(b, writeDocuments(f, documents, c.every))
			size, err := f.Seek(0, io.SeekEnd)
			require.NoError(b, err)
			require.NoError(b, f.Close())
			var cpu, wall time.Duration
			var memory int64
			for b.Loop() {
				replay := exec.Command(taskset, "-c", "0", os.Args[0], "replay", "--format", "ndjson", "--path.home",
					dir, file)
				replay.Env = append(os.Environ(), asReconbeat+"=1")
				var said bytes.Buffer
				replay.Stderr = &said
				began := time.Now()
				require.NoError(b, replay.Run(), said.String())
				wall += time.Since(began)
				require.Contains(b, said.String(), fmt.Sprintf("%d execs, %d matched,", documents, documents/c.every))
				used := replay.ProcessState.SysUsage().(*syscall.Rusage)
				cpu += time.Duration(used.Utime.Nano() + used.Stime.Nano())
				memory = max(memory, used.Maxrss)
			}
			n := float64(b.N) * documents
			b.ReportMetric(n/wall.Seconds(), "documents/s")
			b.ReportMetric(n/cpu.Seconds(), "documents/cpu-s")
			b.ReportMetric(float64(memory)/1024, "MiB-at-most")
			b.ReportMetric(float64(size)/documents, "B/document")
		})
	}
}

// writeDocuments writes a month of a host as Elastic Defend writes it, without what reconbeat does not read.
func writeDocuments(w io.Writer, n, every int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	others := []string{"ls -l", "cat /etc/hosts", "git status", "grep -r needle .", "systemctl status nginx",
		"python3 manage.py migrate", "date +%s", "sleep 1", "curl -s http://127.0.0.1/health"}
	commands := []string{"ss -tlnp", "ss -s", "netstat -rn", "route -n"}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		at := start.Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(n))
		command, user := others[i%len(others)], i/7%30
		if i%every == 0 {
			command = commands[i/every/11%len(commands)]
		}
		args := bytes.Fields([]byte(command))
		quoted := bytes.Join(args, []byte(`","`))
		_, err := fmt.Fprintf(
			out,
			`{"@timestamp":%q,"event":{"action":"exec","category":["process"],"id":"%08x","kind":"event",`+
				`"module":"endpoint","outcome":"unknown","type":["start"]},`+
				`"host":{"id":"9a61f3a4c1a84c6e8c9b0a8d7f2e4b11","name":"db-07","os":{"type":"linux"}},`+
				`"user":{"id":%d,"name":"user%d"},`+
				`"process":{"args":["%s"],"command_line":%q,"entity_id":"YTEt%d",`+
				`"entry_leader":{"entry_meta":{"source":{"ip":"10.20.%d.7"},"type":"sshd"}},"executable":"/usr/bin/`+
				`%s","interactive":true,"name":"%s",`+
				`"parent":{"executable":"/usr/bin/bash","name":"bash","pid":%d},"pid":%d,`+
				`"tty":{"char_device":{"major":136,"minor":%d}},"working_directory":"/home/user%d"}}`+"\n",
			at.Format(time.RFC3339Nano),
			i,
			1000+user,
			user,
			quoted,
			command,
			i,
			user,
			args[0],
			args[0],
			3000+i%30000,
			3001+i%30000,
			user,
			user,
		)
		if err != nil {
			return err
		}
	}
	return out.Flush()
}
