// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	lumber "github.com/elastic/go-lumber/server"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// logstash is where Logstash would be: it takes Beats' protocol and acknowledges. The configuration is of an output to
// it.
func logstash(t *testing.T) (configuration string, arrived func() []mapstr.M) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, err := lumber.NewWithListener(listener, lumber.V2(true))
	require.NoError(t, err)
	var mu sync.Mutex
	var docs []mapstr.M
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for batch := range server.ReceiveChan() {
			mu.Lock()
			for _, e := range batch.Events {
				if doc, ok := e.(map[string]any); ok {
					docs = append(docs, doc)
				}
			}
			mu.Unlock()
			batch.ACK()
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return fmt.Sprintf("output.logstash: {hosts: ['%s']}\n", listener.Addr()), func() []mapstr.M {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(docs)
	}
}

// redisServer is Debian's, on a socket of its own.
func redisServer(t *testing.T) (configuration string, arrived func() []mapstr.M) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("SKIPPED: NO REDIS ON THIS MACHINE (Debian: redis-server)")
	}
	address := beattest.Address(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	c := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	var client redis.Conn
	require.Eventually(t, func() bool { client, err = redis.Dial("tcp", address); return err == nil }, time.Minute,
		20*time.Millisecond)
	t.Cleanup(func() { _ = client.Close() })
	return fmt.Sprintf("output.redis: {hosts: ['%s'], key: reconbeat}\n", address), func() []mapstr.M {
		lines, err := redis.ByteSlices(client.Do("LRANGE", "reconbeat", 0, -1))
		require.NoError(t, err)
		docs := make([]mapstr.M, len(lines))
		for i, line := range lines {
			require.NoError(t, json.Unmarshal(line, &docs[i]))
		}
		return docs
	}
}

// TestDocumentsArriveUnchanged sends the same events through several outputs, and looks for the same documents behind
// each.
func TestDocumentsArriveUnchanged(t *testing.T) {
	first := newHost(t)
	first.learn()
	learned := filepath.Join(first.dir, "data")
	now := time.Now()
	input := beattest.Line(
		now.Add(-2*time.Second),
		"root",
		"ss -s",
	) + "\n" + beattest.Line(
		now.Add(-time.Second),
		"mallory",
		"ss -tunap",
	) + "\n" + beattest.Line(
		now,
		"mallory",
		"netstat -rn",
	) + "\n"
	const want = 4 // three execs and an alert
	const config = oneModule + "reconbeat.heartbeat.period: 0\n"
	through := func(t *testing.T, output string, arrived func(*host) []mapstr.M) map[string]string {
		h := newHost(t)
		require.NoError(t, os.CopyFS(filepath.Join(h.dir, "data"), os.DirFS(learned)))
		require.NoError(t, os.WriteFile(h.input(), []byte(input), 0o644))
		if strings.Contains(output, "logstash") { // libbeat tests neither files nor Redis
			c, _ := h.command(config+output, "test", "output")
			out, err := c.CombinedOutput()
			require.NoError(t, err, complaints(out))
			require.Regexp(t, `(talk to server|connection)\.\.\. OK`, string(out))
		}
		r := h.start(config + output)
		h.eventually(func() bool { return len(arrived(h)) >= want && r.stat("journal.pending") == 0 },
			"not everything arrives:\n%s", r.log)
		require.NoError(t, r.end(syscall.SIGTERM))
		docs := map[string]string{}
		for _, doc := range arrived(h) {
			id := text(doc, "@metadata._id")
			require.NotContains(t, docs, id)
			require.Equal(t, "create", text(doc, "@metadata.op_type"))
			for _, own := range []string{"@metadata", "agent"} { // of the one run
				delete(doc, own)
			}
			line, err := json.Marshal(doc) // in the order of the names
			require.NoError(t, err)
			docs[id] = string(line)
		}
		require.Len(t, docs, want)
		return docs
	}
	file := through(t, theFile, func(h *host) []mapstr.M { return h.documents() })
	for _, output := range []struct {
		name  string
		serve func(*testing.T) (string, func() []mapstr.M)
	}{{"Logstash", logstash}, {"Redis", redisServer}} {
		t.Run(output.name, func(t *testing.T) {
			configuration, arrived := output.serve(t)
			require.Equal(t, file, through(t, configuration, func(*host) []mapstr.M { return arrived() }))
		})
	}
}
