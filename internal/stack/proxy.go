// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy is Elasticsearch to the one who asks, and the node behind it. It has lifecycle policies, and faults.
type Proxy struct {
	t     testing.TB
	node  *Node
	serve *httptest.Server
	pass  *httputil.ReverseProxy

	mu       sync.Mutex
	fault    Fault
	policies map[string]map[string]any
	attempts int
}

// Fault is what goes wrong. The zero value is a good day.
type Fault struct {
	Down   bool          // every connection is closed without an answer
	Delay  time.Duration // before every answer
	Status int           // of the answer to every bulk request, which does nothing
	// Item is the status of one document of a bulk request, by its _id; 0 is for the node to say. A document that fails
	// does not reach the node.
	Item      func(id string) int
	Forbidden bool // the user may do nothing but index
	// Lost has the node index everything of a bulk request, and the answer lost on its way.
	Lost bool
}

// Elasticsearch puts a proxy before the node for the time of a test. A request whose shape is wrong fails the test.
func (n *Node) Elasticsearch(t testing.TB) *Proxy {
	t.Helper()
	target, err := url.Parse(n.url)
	require.NoError(t, err)
	p := &Proxy{t: t, node: n, pass: httputil.NewSingleHostReverseProxy(target), policies: map[string]map[string]any{}}
	p.pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	p.serve = httptest.NewServer(p)
	t.Cleanup(p.serve.Close)
	return p
}

// URL is where it listens.
func (p *Proxy) URL() string { return p.serve.URL }

// SetFault changes what goes wrong from now on.
func (p *Proxy) SetFault(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Attempts is how many requests have come so far.
func (p *Proxy) Attempts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts
}

func (p *Proxy) policy(name string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policies[name]
}

func (p *Proxy) setPolicy(name string, body map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policies[name] = body
}

func (p *Proxy) complain(r *http.Request, err error) {
	p.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
}

// ServeHTTP answers a request: the fault first, then the gap, then the node.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	f := p.fault
	p.attempts++
	p.mu.Unlock()
	if f.Down {
		hangUp(w)
		return
	}
	time.Sleep(f.Delay)
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	body, err := plain(r)
	if err != nil {
		p.complain(r, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if isBulk(r) {
		p.bulk(w, r, body, f)
		return
	}
	if f.Forbidden && strings.HasPrefix(r.URL.Path, "/_i") ||
		f.Forbidden && strings.HasPrefix(r.URL.Path, "/_component") {
		writeJSON(w, http.StatusForbidden, map[string]any{
			"error":  map[string]any{"type": "security_exception", "reason": "action is unauthorized"},
			"status": http.StatusForbidden,
		})
		return
	}
	g := gapOf(r)
	if g == nil {
		p.forward(w, r, body)
		return
	}
	m, err := readJSON(bytes.NewReader(body))
	if err == nil && g.rewrite != nil {
		err = g.rewrite(p, r, m)
	}
	if err != nil {
		p.complain(r, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch {
	case g.answer != nil:
		status, answer := g.answer(p, r, m)
		writeJSON(w, status, answer)
	case g.after != nil:
		status, answer, err := p.ask(r, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		g.after(answer)
		writeJSON(w, status, answer)
	default:
		body, err = json.Marshal(m)
		if err != nil {
			p.complain(r, err)
		}
		p.forward(w, r, body)
	}
}

// plain reads a request's body, without its compression.
func plain(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unzipped, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	r.Header.Del("Content-Encoding")
	return io.ReadAll(unzipped)
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	p.pass.ServeHTTP(w, r)
}

// ask has the node answer a request, for the proxy to read.
func (p *Proxy) ask(r *http.Request, body []byte) (int, map[string]any, error) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, p.node.url+r.URL.RequestURI(),
		bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	m, err := readJSON(answer.Body)
	return answer.StatusCode, m, err
}

// hangUp closes a connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			c.Close()
		}
	}
}

// bulk answers a bulk request as the fault wants it.
func (p *Proxy) bulk(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	if f.Status != 0 {
		writeJSON(w, f.Status,
			map[string]any{"error": map[string]any{"type": "fault", "reason": "of the test"}, "status": f.Status})
		return
	}
	if f.Item == nil && !f.Lost {
		p.forward(w, r, body)
		return
	}
	kept, failed, err := split(body, f.Item)
	if err != nil {
		p.complain(r, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := map[string]any{"took": 1, "items": []any{}}
	if len(kept) > 0 {
		status, m, err := p.ask(r, kept)
		if err != nil || status != http.StatusOK {
			writeJSON(w, http.StatusBadGateway, map[string]any{"error": fmt.Sprint(status, err)})
			return
		}
		answer = m
	}
	if f.Lost {
		hangUp(w)
		return
	}
	// The answer has an item for each document, in the order of the request.
	indexed, _ := answer["items"].([]any)
	var items []any
	for _, item := range failed {
		if item != nil {
			items = append(items, item)
			continue
		}
		items, indexed = append(items, indexed[0]), indexed[1:]
	}
	answer["items"], answer["errors"] = items, true
	writeJSON(w, http.StatusOK, answer)
}

// split takes the documents that fail out of a bulk request. failed has an element for each document; nil for those
// that are kept.
func split(body []byte, fails func(id string) int) (kept []byte, failed []any, err error) {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var action map[string]struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
		head := bytes.Clone(lines.Bytes())
		if len(head) == 0 {
			continue // libbeat ends some documents twice
		}
		if err := json.Unmarshal(head, &action); err != nil || len(action) != 1 || !lines.Scan() {
			return nil, nil, fmt.Errorf("no bulk request: %q: %w", head, err)
		}
		for verb, target := range action {
			status := 0
			if fails != nil {
				status = fails(target.ID)
			}
			if status == 0 {
				kept = append(append(append(append(kept, head...), '\n'), lines.Bytes()...), '\n')
				failed = append(failed, nil)
				continue
			}
			failed = append(failed, map[string]any{verb: map[string]any{
				"_index": target.Index,
				"_id":    target.ID,
				"status": status,
				"error":  map[string]any{"type": "fault", "reason": "of the test"},
			}})
		}
	}
	return kept, failed, lines.Err()
}
