// SPDX-License-Identifier: Apache-2.0

// Package stack is the Elastic Stack of the tests: a real search node, and a proxy in front of it that gives it the
// voice of Elasticsearch and, where a test wants it, its bad days.
//
// No registry has Elasticsearch as a whole; its fork OpenSearch is there, and shares what matters here: bulk requests,
// data streams, composed templates, ingest pipelines, mapping rules and searches are done for real. What it lacks is in
// one table (gaps), and the shape of each request that the proxy answers or rewrites is checked. Nothing of it is
// linked into reconbeat.
package stack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Node is a search node of this process.
type Node struct {
	url  string
	jars string
	data string
	port int
	// its standard input: the node ends when it does, however this process ends, and takes its data along
	life io.Closer
	run  *exec.Cmd
}

var shared struct {
	once sync.Once
	node *Node
	err  error
}

// errNoJava says that the node cannot run on this machine.
var errNoJava = errors.New("NO JDK OR NO MAVEN ON THIS MACHINE (Debian: default-jdk-headless, maven)")

// Start returns the node of this test process, started by the first test that asks (7 seconds; the first time on a
// machine Maven loads 53 MB) and gone with the process. Without JDK or Maven the test is skipped, loudly.
func Start(t testing.TB) *Node {
	t.Helper()
	shared.once.Do(func() { shared.node, shared.err = start() })
	if errors.Is(shared.err, errNoJava) {
		t.Skipf("SKIPPED: %v", shared.err)
	}
	require.NoError(t, shared.err)
	return shared.node
}

// Own returns a node of the test's own, which it may kill and start again.
func Own(t testing.TB) *Node {
	t.Helper()
	n, err := start()
	if errors.Is(err, errNoJava) {
		t.Skipf("SKIPPED: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { n.Kill(t) })
	return n
}

// URL is where the node listens.
func (n *Node) URL() string { return n.url }

// Kill ends the node as a power failure does. Its data stay.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	_ = n.run.Process.Kill() // it may be gone
	_ = n.run.Wait()         // it was killed
}

// Again starts a node that was killed, with its data and where it was.
func (n *Node) Again(t testing.TB) {
	t.Helper()
	require.NoError(t, n.launch())
}

// testdata is the folder of the node's program and of what it depends on.
func testdata() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "testdata")
}

func start() (*Node, error) {
	for _, command := range []string{"javac", "mvn"} { // javac: a JRE does not compile Node.java
		if _, err := exec.LookPath(command); err != nil {
			return nil, errNoJava
		}
	}
	jars, err := dependencies()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "reconbeat-node-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &Node{url: fmt.Sprintf("http://127.0.0.1:%d", port), jars: jars, data: data, port: port}
	return n, n.launch()
}

// launch starts the node and waits until it answers.
func (n *Node) launch() error {
	c := exec.Command("java", "-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.level=ERROR", "-cp", filepath.Join(n.jars, "*"), filepath.Join(testdata(), "Node.java"), n.data,
		strconv.Itoa(n.port))
	var said bytes.Buffer
	c.Stderr = &said
	life, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	ready := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasSuffix(lines.Text(), "READY") { // the runner puts its log's head before it
				ready <- true
				_, _ = io.Copy(io.Discard, out)
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if !ok {
			_ = c.Wait()
			return fmt.Errorf("the node ended before it was ready:\n%s", &said)
		}
	case <-time.After(3 * time.Minute):
		_ = c.Process.Kill()
		return errors.New("the node is not ready after 3 minutes")
	}
	n.life, n.run = life, c
	return nil
}

// freePort finds a port that the node's runner allows, and keeps it from the tests of other packages, as long as this
// process lives: a node listens only seconds later.
func freePort() (int, error) {
	for i := range 90 {
		port := 9205 + (i+os.Getpid())%90
		file := filepath.Join(os.TempDir(), fmt.Sprintf("reconbeat-node-%d.lock", port))
		// An os.File would be closed, and its lock be gone, once nothing refers to it.
		lock, err := syscall.Open(file, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				return port, l.Close()
			}
		}
		if err := syscall.Close(lock); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no port from 9205 to 9294 is free")
}

// dependencies returns the folder of the node's jars, loaded once for each version of pom.xml.
func dependencies() (string, error) {
	pom := filepath.Join(testdata(), "pom.xml")
	text, err := os.ReadFile(pom)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "reconbeat", fmt.Sprintf("search-node-%x", sha256.Sum256(text))[:24])
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // by another process meanwhile
	}
	_ = os.RemoveAll(dir + ".part")
	out, err := exec.Command("mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DoutputDirectory="+dir+".part").
		CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("loading the node with Maven: %w\n%s", err, out)
	}
	return dir, os.Rename(dir+".part", dir)
}

// Request asks the node itself, past every proxy, and returns the answer, which must not be an error.
func (n *Node) Request(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, answer := n.try(t, method, path, body)
	require.Less(t, status, 300, "%s %s: %v", method, path, answer)
	return answer
}

func (n *Node) try(t testing.TB, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		require.NoError(t, err)
	}
	r, err := http.NewRequest(method, n.url+path, bytes.NewReader(text))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	var parsed map[string]any
	content, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	if len(content) > 0 {
		require.NoError(t, json.Unmarshal(content, &parsed), "%s %s: %s", method, path, content)
	}
	return answer.StatusCode, parsed
}

// Search runs a request of the search API over an index, a data stream or a pattern of them. None there is an empty
// answer.
func (n *Node) Search(t testing.TB, index string, request any) map[string]any {
	t.Helper()
	status, answer := n.try(t, http.MethodPost, "/"+index+"/_refresh?ignore_unavailable=true", nil)
	require.Less(t, status, 300, "refreshing %s: %v", index, answer)
	path := "/" + index + "/_search?ignore_unavailable=true"
	for range 300 { // an index that was made this moment has no shard to ask
		if status, answer = n.try(t, http.MethodPost, path, request); status != http.StatusServiceUnavailable {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.Less(t, status, 300, "searching %s: %v", index, answer)
	return answer
}

// Document is one document as the node has it.
type Document struct {
	ID     string
	Index  string // the backing index
	Source map[string]any
}

// Documents returns up to 10,000 documents of an index, a data stream or a pattern, in the order of their time.
func (n *Node) Documents(t testing.TB, index string) []Document {
	t.Helper()
	answer := n.Search(t, index, map[string]any{
		"size": 10000,
		"sort": []any{map[string]any{"@timestamp": map[string]any{"order": "asc", "unmapped_type": "date"}}},
	})
	var docs []Document
	hits, _ := answer["hits"].(map[string]any)
	list, _ := hits["hits"].([]any)
	for _, h := range list {
		hit := h.(map[string]any)
		source, _ := hit["_source"].(map[string]any)
		docs = append(docs, Document{ID: hit["_id"].(string), Index: hit["_index"].(string), Source: source})
	}
	return docs
}

// exists reports whether the node has what a path names.
func (n *Node) exists(path string) bool {
	answer, err := http.Get(n.url + path)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// name is the last part of a path.
func name(path string) string { return path[strings.LastIndex(path, "/")+1:] }
