// SPDX-License-Identifier: Apache-2.0

package beattest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Elasticsearch takes documents as the real one's _bulk does, and remembers the index of each.
type Elasticsearch struct {
	mu      sync.Mutex
	indices []string
}

// Serve makes an Elasticsearch that answers at an address until the test ends.
func Serve(t testing.TB, address string) *Elasticsearch {
	t.Helper()
	es := &Elasticsearch{}
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: es, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return es
}

// Indices are those of the documents so far, in order.
func (es *Elasticsearch) Indices() []string {
	es.mu.Lock()
	defer es.mu.Unlock()
	return slices.Clone(es.indices)
}

// ServeHTTP answers what an output asks: every document must be created, with an _id.
func (es *Elasticsearch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasSuffix(r.URL.Path, "/_bulk") {
		fmt.Fprint(w, `{"cluster_name":"test","cluster_uuid":"test","tagline":"You Know, for Search",`+
			`"version":{"number":"9.4.0","build_flavor":"default"}}`)
		return
	}
	body, err := Body(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var items []string
	es.mu.Lock()
	defer es.mu.Unlock()
	// libbeat may end a document with an empty line of its own, which Elasticsearch passes over.
	lines := strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' })
	for i := 0; i+1 < len(lines); i += 2 { // an action, its document
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			} `json:"create"`
		}
		if err := json.Unmarshal([]byte(lines[i]), &action); err != nil || action.Create.ID == "" {
			http.Error(w, "every document is created, with an _id, unlike "+lines[i], http.StatusBadRequest)
			return
		}
		es.indices = append(es.indices, action.Create.Index)
		items = append(items, `{"create":{"status":201}}`)
	}
	fmt.Fprintf(w, `{"took":1,"errors":false,"items":[%s]}`, strings.Join(items, ","))
}
