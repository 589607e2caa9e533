// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
	"github.com/reconbeat/reconbeat/internal/stack"
)

// sizeOf is a size that the environment says, or another one.
func sizeOf(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(b, err, name)
	return n
}

// benched is a folder in which reconbeat runs for a benchmark.
type benched struct {
	b   *testing.B
	dir string
}

// command is reconbeat with a configuration, a model of many hosts and a file as output.
func (in benched) command(config string, args ...string) *exec.Cmd {
	in.b.Helper()
	file := filepath.Join(in.dir, "reconbeat.yml")
	text := fmt.Sprintf("%s\nreconbeat.detector.max_hosts: 100000\noutput.file: {path: %s, filename: out}\n"+
		"logging: {to_stderr: true, metrics.enabled: false}\n", config, in.dir)
	require.NoError(in.b, os.WriteFile(file, []byte(text), 0o600))
	c := exec.Command(os.Args[0], append(args, "-c", file, "--path.home", in.dir)...)
	c.Env = append(os.Environ(), asReconbeat+"=1")
	return c
}

// replay runs a replay to its end, and returns what the process took.
func (in benched) replay(config string, args ...string) (took time.Duration, cpu time.Duration, megabytes float64) {
	in.b.Helper()
	c := in.command(config, append([]string{"replay", "--format", "ndjson"}, args...)...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	begun := time.Now()
	require.NoError(in.b, c.Run(), "%s", &complaint)
	in.b.Log(complaint.String()[max(0, complaint.Len()-1500):])
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(begun), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), float64(usage.Maxrss) / 1024
}

// emptyCluster is the node that the benchmarks share, without the documents of the one before.
func emptyCluster(b *testing.B) *stack.Node {
	b.Helper()
	node := stack.Start(b)
	node.Request(b, http.MethodDelete, "/_data_stream/logs-*", nil)
	streams(b, node)
	return node
}

// BenchmarkClusterReplay replays what agents on 50 hosts have shipped in twenty days, from a cluster and as a file. A
// tenth of the documents matches. DOCUMENTS says how many there are.
//
//	DOCUMENTS=1000000 go test ./cmd -run '^$' -bench ClusterReplay -benchtime 1x -timeout 3h
func BenchmarkClusterReplay(b *testing.B) {
	const hosts, days = 50, 20
	documents := sizeOf(b, "DOCUMENTS", 20_000)
	in := benched{b, b.TempDir()}
	node := emptyCluster(b)
	file, err := os.Create(filepath.Join(in.dir, "documents.ndjson"))
	require.NoError(b, err)
	lines := bufio.NewWriter(file)
	f := &shipments{random: rand.New(rand.NewPCG(1, 2)), pids: map[string]int{}}
	const each = 3 // of a program start: cron or sshd, a shell, the program
	starts := documents / each
	begin := time.Now().AddDate(0, 0, -days)
	for i := range starts {
		at := begin.Add(time.Duration(float64(i) / float64(starts) * days * 24 * float64(time.Hour)))
		program := []string{"ls", "cat", "grep", "ss"}[[]int{0, 1, 2, 0, 1, 2, 0, 3, 3, 3}[f.random.IntN(10)]]
		f.start(f.random.IntN(hosts), at, "root", "0", false, program, "-s")
		if len(f.docs) < 3000 && i < starts-1 {
			continue
		}
		for _, d := range f.docs {
			require.NoError(b, json.NewEncoder(lines).Encode(d.fields))
		}
		ship(b, node, f.docs)
		f.docs = nil
		if i%(starts/4) < 1000 {
			rollover(b, node)
		}
	}
	require.NoError(b, lines.Flush())
	require.NoError(b, file.Close())
	module := fmt.Sprintf("reconbeat.modules: [{module: elasticsearch, hosts: ['%s']}]", node.URL())
	for _, way := range []struct {
		name string
		args []string
	}{
		{"cluster", []string{"--module", "elasticsearch", "--from", "beginning"}},
		{"file", []string{"--module", "ndjson", file.Name()}},
	} {
		b.Run(way.name, func(b *testing.B) {
			for range b.N {
				took, cpu, megabytes := in.replay(module, way.args...)
				b.ReportMetric(float64(f.count)/took.Seconds(), "documents/s")
				b.ReportMetric(cpu.Seconds(), "cpu-s")
				b.ReportMetric(megabytes, "MB")
			}
		})
	}
}

// BenchmarkClusterHosts learns from and then watches so many hosts: what a host's model takes, how fast their
// matches are judged, and how long a restart takes. Three users of each host match on ten days.
//
//	HOSTS=10000 go test ./cmd -run '^$' -bench ClusterHosts -benchtime 1x -timeout 3h
func BenchmarkClusterHosts(b *testing.B) {
	const days = 10
	hosts := sizeOf(b, "HOSTS", 100)
	in := benched{b, b.TempDir()}
	node := emptyCluster(b)
	f := &shipments{random: rand.New(rand.NewPCG(1, 2)), pids: map[string]int{}}
	users := []string{"root", "alice", "tomcat"}
	begin := time.Now().AddDate(0, 0, -days)
	var docs []shippedDocument
	for day := range days {
		for host := range hosts {
			for i, user := range users {
				at := begin.AddDate(0, 0, day).Add(time.Duration(host) * 20 * time.Hour / time.Duration(hosts))
				f.start(host, at.Add(time.Duration(i)*time.Minute), user, strconv.Itoa(i*999), false, "ss", "-s")
				docs = append(docs, f.docs[len(f.docs)-1]) // without its parents
				f.docs = nil
			}
			if len(docs) >= 3000 || day == days-1 && host == hosts-1 {
				ship(b, node, docs)
				docs = nil
			}
		}
	}
	module := fmt.Sprintf("reconbeat.modules: [{module: elasticsearch, hosts: ['%s'], parents_within: 0s}]", node.URL())
	for range b.N {
		took, _, megabytes := in.replay(module, "--module", "elasticsearch", "--from", "beginning", "--learn", "--yes")
		b.ReportMetric(float64(days*hosts*len(users))/took.Seconds(), "matches/s")
		b.ReportMetric(megabytes, "MB-replay")
		in.run(module, func(time.Duration, *beattest.Run) {}) // takes over what was learned, and saves it
		in.run(module, func(took time.Duration, r *beattest.Run) {
			b.ReportMetric(took.Seconds(), "s-restart")
			b.ReportMetric(resident(b, r.PID()), "MB-running")
		})
		saved, err := os.Stat(filepath.Join(in.dir, "data", "state", "snapshot"))
		require.NoError(b, err)
		b.ReportMetric(float64(saved.Size())/float64(hosts), "B/host-saved")
	}
}

// run has reconbeat run until it says that it watches, and then what the benchmark does.
func (in benched) run(config string, then func(took time.Duration, r *beattest.Run)) {
	in.b.Helper()
	begun := time.Now()
	r := (&beattest.Host{T: in.b, Dir: in.dir}).Start(in.command(config, "run"))
	for !strings.Contains(r.Log.All(), "watching with") {
		select {
		case <-r.Ended():
			in.b.Fatal(r.Log)
		case <-time.After(time.Millisecond):
		}
	}
	then(time.Since(begun), r)
	require.NoError(in.b, r.Signal(syscall.SIGTERM))
}

// resident is how much memory a process has, in megabytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	_, size, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(size)[0], 64)
	require.NoError(b, err)
	return kilobytes / 1024
}

// BenchmarkClusterDelay ships one document after the other, each of a user who never matched, and takes the time from
// event.ingested until the alert is a line of the output file, less query_delay.
//
//	go test ./cmd -run '^$' -bench ClusterDelay -benchtime 100x
func BenchmarkClusterDelay(b *testing.B) {
	const delay = 5 * time.Second
	in := benched{b, b.TempDir()}
	node := emptyCluster(b)
	f := &shipments{random: rand.New(rand.NewPCG(1, 2)), pids: map[string]int{}}
	f.habits(2, time.Now().AddDate(0, 0, -10), time.Now())
	ship(b, node, f.docs)
	f.docs = nil
	module := fmt.Sprintf("reconbeat.modules: [{module: elasticsearch, hosts: ['%s'], query_delay: %s}]",
		node.URL(), delay)
	in.replay(module, "--module", "elasticsearch", "--from", "beginning", "--learn", "--yes")
	alerts := "\nreconbeat.detector.rules: [{id: network-connection-discovery, threshold: 0}]"
	in.run(module+alerts, func(time.Duration, *beattest.Run) {
		ingested, delays := map[string]time.Time{}, map[string]time.Duration{}
		for i := 0; len(delays) < b.N; time.Sleep(20 * time.Millisecond) {
			if i < b.N && (i == 0 || time.Since(ingested[fmt.Sprint("stranger-", i-1)]) > 500*time.Millisecond) {
				user := fmt.Sprint("stranger-", i)
				now := time.Now()
				f.start(i%2, now, user, strconv.Itoa(2000+i), false, "ss", "-tunap")
				for _, d := range f.docs {
					put(d.fields, "event.ingested", now.UTC().Format("2006-01-02T15:04:05.000Z"))
				}
				ship(b, node, f.docs)
				f.docs, ingested[user] = nil, now
				i++
			}
			for _, doc := range (&beattest.Host{T: b, Dir: in.dir}).Documents("out") {
				user := beattest.Field(doc, "user.name")
				if delays[user] == 0 && beattest.Field(doc, "event.action") == "alert" {
					delays[user] = time.Since(ingested[user]) - delay
				}
			}
		}
		sorted := slices.Sorted(maps.Values(delays))
		b.ReportMetric(sorted[len(sorted)/2].Seconds(), "s-median")
		b.ReportMetric(sorted[len(sorted)-1].Seconds(), "s-most")
		b.ReportMetric(0, "ns/op")
	})
}
