// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/esleg/eslegclient"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/transport/httpcommon"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"

	"github.com/reconbeat/reconbeat/internal/plural"
)

// client asks the nodes of one cluster, one after the other: the next one where the last did not answer. It belongs to
// one goroutine.
type client struct {
	nodes   []*eslegclient.Connection
	current int
	indices string // as they stand in a path
}

// connect makes a client. Nothing is wrong with it before it is asked.
func connect(ctx context.Context, o Connection, indices []string, logger *logp.Logger) (*client, error) {
	transport := httpcommon.DefaultHTTPTransportSettings()
	transport.TLS, transport.Timeout = o.SSL, o.Timeout
	if o.ProxyURL != "" {
		proxy, err := httpcommon.NewProxyURIFromString(o.ProxyURL)
		if err != nil {
			return nil, fmt.Errorf("proxy_url: %w", err)
		}
		transport.Proxy.URL = proxy
	}
	c := &client{indices: strings.Join(indices, ",")}
	for _, host := range o.Hosts {
		u, err := nodeURL(host)
		if err != nil {
			return nil, err
		}
		node, err := eslegclient.NewConnection(eslegclient.ConnectionSettings{
			URL: u.String(), Beatname: "reconbeat", Username: o.Username, Password: o.Password, Transport: transport,
			APIKey: plainKey(o.APIKey),
		}, logger.WithOptions(zap.IncreaseLevel(zap.WarnLevel))) // every start would have lines about each node
		if err != nil {
			return nil, fmt.Errorf("preparing to ask %s: %w", u.Redacted(), err)
		}
		// It only takes the context over: GET /, which it sends besides, needs the privilege `monitor`, and what it
		// answers is of no use here.
		_ = node.Connect(ctx)
		c.nodes = append(c.nodes, node)
	}
	return c, nil
}

// plainKey is an API key as ID:KEY, also where it is given as Kibana shows it first: in base64.
func plainKey(key string) string {
	if plain, err := base64.StdEncoding.DecodeString(key); err == nil && strings.Contains(string(plain), ":") {
		return string(plain)
	}
	return key
}

func (c *client) close() {
	for _, n := range c.nodes {
		_ = n.Close()
	}
}

// errRefused says that the cluster understood a request and will not answer it, however often it is asked.
var errRefused = errors.New("the cluster refuses")

// ask sends one request. The answer is valid until the next one. An error that wraps errRefused will come again.
func (c *client) ask(action string, params map[string]string, body []byte) ([]byte, error) {
	node := c.nodes[c.current]
	status, answer, err := node.Request(http.MethodPost, "/"+c.indices+"/"+action, "", params,
		eslegclient.RawEncoding{Encoding: body})
	if err == nil {
		return answer, nil
	}
	c.current = (c.current + 1) % len(c.nodes)
	where, _ := url.Parse(node.URL)
	err = fmt.Errorf("asking %s: %w", where.Redacted(), shortened(err))
	switch {
	case status < 400, status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errRefused, err)
}

// reason is why the cluster does not do what it was asked.
type reason struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

func (r reason) String() string {
	if r.Reason == "" {
		return r.Type
	}
	return r.Type + ": " + r.Reason
}

// shortened is an error of the client, with the reason alone of an answer of the cluster.
func shortened(err error) error {
	text := err.Error()
	at := strings.Index(text, "{")
	if at < 0 {
		return err
	}
	var answer struct {
		Error struct {
			reason
			Root  []reason `json:"root_cause"`
			Cause reason   `json:"caused_by"` // says it where there is no root, as of an index without a shard
		}
	}
	if json.Unmarshal([]byte(text[at:]), &answer) != nil || answer.Error.Type == "" {
		return err
	}
	said, deeper := answer.Error.reason.String(), answer.Error.Cause
	if len(answer.Error.Root) > 0 {
		deeper = answer.Error.Root[0]
	}
	if deeper.Reason != "" && deeper.Reason != answer.Error.Reason {
		said += " (" + deeper.String() + ")"
	}
	return errors.New(text[:at] + said)
}

// params go with every search. An answer without some of the shards is an error: what it lacks would be lost.
var params = map[string]string{
	"ignore_unavailable": "true", "allow_no_indices": "true", "allow_partial_search_results": "false",
}

// answer is what a search is answered with.
type answer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Clusters struct {
		Skipped int               `json:"skipped"`
		Details map[string]remote `json:"details"` // since Elasticsearch 8.10
	} `json:"_clusters"`
	Hits struct {
		Hits []hit `json:"hits"`
	} `json:"hits"`
}

// hit is one document.
type hit struct {
	Index  string         `json:"_index"`
	ID     string         `json:"_id"`
	Source jsontext.Value `json:"_source"`
	Fields fields         `json:"fields"`
	Sort   []int64        `json:"sort"` // time and sequence number
}

// key is a document's place in the order of reading.
type key struct{ at, seq int64 }

func (h *hit) key() key { return key{h.Sort[0], h.Sort[1]} }

// remote is how a remote cluster has answered.
type remote struct {
	Status   string `json:"status"`
	Failures []struct {
		Reason reason `json:"reason"`
	} `json:"failures"`
}

// skipped names the remote clusters that have not answered, each with its first reason; it is empty where the answer
// does not say.
func (a *answer) skipped() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.Clusters.Details)) {
		r := a.Clusters.Details[name]
		if r.Status != "skipped" {
			continue
		}
		text.WriteString("; " + name)
		if len(r.Failures) > 0 {
			text.WriteString(": " + r.Failures[0].Reason.String())
		}
	}
	return text.String()
}

// whole returns an error for an answer that lacks something.
func (a *answer) whole() error {
	switch {
	case a.TimedOut:
		return errors.New("a search timed out in the cluster")
	case a.Shards.Failed > 0:
		return fmt.Errorf("a search lacks the documents of %s", plural.Of(a.Shards.Failed, "shard"))
	case a.Clusters.Skipped > 0:
		return fmt.Errorf("a search lacks the documents of %s%s", plural.Of(a.Clusters.Skipped, "remote cluster"),
			a.skipped())
	}
	for i := range a.Hits.Hits {
		if len(a.Hits.Hits[i].Sort) != 2 {
			return errors.New("a document comes without its place in the order")
		}
	}
	return nil
}

// search returns the documents of one search.
func (c *client) search(request object) ([]hit, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encoding a search: %w", err)
	}
	text, err := c.ask("_search", params, body)
	if err != nil {
		return nil, err
	}
	var a answer
	if err := jsonv2.Unmarshal(text, &a, lenient); err != nil {
		return nil, fmt.Errorf("reading the answer to a search: %w", err)
	}
	return a.Hits.Hits, a.whole()
}

// lenient reads what agents have shipped, whatever they have shipped.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// count returns how many documents there are.
func (c *client) count(filters []any) (int64, error) {
	body, err := json.Marshal(object{"query": all(filters...)})
	if err != nil {
		return 0, fmt.Errorf("encoding a search: %w", err)
	}
	text, err := c.ask("_count", map[string]string{"ignore_unavailable": "true", "allow_no_indices": "true"}, body)
	if err != nil {
		return 0, err
	}
	var n struct {
		Count int64 `json:"count"`
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return 0, fmt.Errorf("reading the answer to a count: %w", err)
	}
	return n.Count, nil
}
