// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/tools/kibana/esql"
	"github.com/reconbeat/reconbeat/tools/kibana/kql"
)

// Node is a search node, and what a person has set above the dashboards.
type Node struct {
	URL       string
	Namespace string // of the data streams; empty: all
	From, To  time.Time
	Query     string // in KQL, of panels alone; empty: everything
}

// Answer is a question and what the node said: to a search its answer, to ES|QL the rows of the table.
type Answer struct {
	Name   string         `json:"name"`
	Answer map[string]any `json:"answer,omitempty"`
	Rows   []esql.Row     `json:"rows,omitempty"`
}

// Ask asks the node a question, in the range of time.
func (n Node) Ask(ctx context.Context, q Question) (Answer, error) {
	a := Answer{Name: q.Name}
	if q.Search == nil {
		return a, fmt.Errorf("%s is in ES|QL, which the node does not have", q.Name)
	}
	if err := n.narrow(q.Search); err != nil {
		return a, err
	}
	if q.ESQL == "" {
		answer, err := n.search(ctx, q.Index, q.Search)
		a.Answer = answer
		return a, err
	}
	parsed, err := esql.Parse(q.ESQL)
	if err != nil {
		return a, err
	}
	filter := q.Search["query"].(map[string]any)["bool"].(map[string]any)["filter"].([]any) // Search made it
	var rows []esql.Row
	for body := q.Search; ; {
		answer, err := n.search(ctx, q.Index, body)
		if err != nil {
			return a, err
		}
		page, after := parsed.Read(answer)
		rows = append(rows, page...)
		if after == nil {
			break
		}
		body = parsed.Search(filter, after)
	}
	now := n.To
	if now.IsZero() {
		now = time.Now()
	}
	a.Rows = parsed.Table(rows, now)
	return a, nil
}

// narrow puts the range of time and the query into a search, and makes the steps of time such that they fit.
func (n Node) narrow(search map[string]any) error {
	query, ok := search["query"].(map[string]any)["bool"].(map[string]any)
	if !ok {
		return fmt.Errorf("the search has no filter: %v", search)
	}
	filter, _ := query["filter"].([]any)
	if !n.From.IsZero() {
		within := map[string]any{"gte": n.From, "lt": n.To}
		filter = append(filter, map[string]any{"range": map[string]any{"@timestamp": within}})
	}
	if n.Query != "" {
		parsed, err := kql.Parse(n.Query)
		if err != nil {
			return err
		}
		filter = append(filter, parsed.DSL())
	}
	query["filter"] = filter
	if !n.From.IsZero() {
		n.step(search)
	}
	return nil
}

// steps are the widths that Kibana's automatic interval has; it takes the first that gives no more than a hundred.
var steps = []struct {
	name string
	time.Duration
}{
	{"1m", time.Minute}, {"5m", 5 * time.Minute}, {"10m", 10 * time.Minute}, {"30m", 30 * time.Minute},
	{"1h", time.Hour}, {"3h", 3 * time.Hour}, {"12h", 12 * time.Hour}, {"1d", 24 * time.Hour},
}

func (n Node) step(search map[string]any) {
	aggs, _ := search["aggs"].(map[string]any)
	for _, agg := range aggs {
		histogram, ok := agg.(map[string]any)["date_histogram"].(map[string]any)
		if !ok {
			continue
		}
		// Steps in which nothing was are there, too.
		histogram["extended_bounds"] = map[string]any{"min": n.From.UnixMilli(), "max": n.To.UnixMilli() - 1}
		for _, s := range steps {
			histogram["fixed_interval"] = s.name
			if n.To.Sub(n.From) <= 100*s.Duration {
				break
			}
		}
	}
}

// search does a search. A data stream that is not there is an empty one.
func (n Node) search(ctx context.Context, index string, body map[string]any) (map[string]any, error) {
	if n.Namespace != "" {
		index = strings.TrimSuffix(strings.TrimSuffix(index, "*"), "-") + "*-" + n.Namespace
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("writing a search: %w", err)
	}
	address := n.URL + "/" + index + "/_search?ignore_unavailable=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the node's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the node answers %s: %s", response.Status, content)
	}
	var answer map[string]any
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, fmt.Errorf("reading the node's answer: %w", err)
	}
	return answer, nil
}
