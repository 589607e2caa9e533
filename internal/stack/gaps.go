// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// gap is one thing that Elasticsearch has and the node lacks.
type gap struct {
	why    string
	method string
	path   *regexp.Regexp
	// answer gives the proxy's own answer to a request. nil: the node answers.
	answer func(p *Proxy, r *http.Request, body map[string]any) (int, any)
	// rewrite changes a request that the node would not understand, and returns what is wrong with its shape.
	rewrite func(p *Proxy, r *http.Request, body map[string]any) error
	// after changes the node's answer.
	after func(answer map[string]any)
}

// gaps is everything in which the node is not Elasticsearch, as far as reconbeat asks for it.
var gaps = []gap{
	{
		why: "it says another version", method: http.MethodGet, path: regexp.MustCompile(`^/$`),
		after: func(answer map[string]any) {
			answer["version"] = map[string]any{"number": "9.4.0", "build_flavor": "default"}
			answer["tagline"] = "You Know, for Search"
		},
	},
	{
		why: "it has no licence", method: http.MethodGet, path: regexp.MustCompile(`^/_license$`),
		answer: func(*Proxy, *http.Request, map[string]any) (int, any) {
			return http.StatusOK, map[string]any{
				"license": map[string]any{"status": "active", "uid": "1", "type": "basic", "mode": "basic"},
			}
		},
	},
	{
		why: "it has no lifecycle policies", method: http.MethodGet, path: regexp.MustCompile(`^/_ilm/policy/`),
		answer: func(p *Proxy, r *http.Request, _ map[string]any) (int, any) {
			if policy := p.policy(name(r.URL.Path)); policy != nil {
				return http.StatusOK, map[string]any{name(r.URL.Path): policy}
			}
			return http.StatusNotFound, map[string]any{"error": "lifecycle policy not found"}
		},
	},
	{
		why: "it has no lifecycle policies", method: http.MethodPut, path: regexp.MustCompile(`^/_ilm/policy/`),
		answer: func(p *Proxy, r *http.Request, body map[string]any) (int, any) {
			if err := checkPolicy(body); err != nil {
				p.complain(r, err)
				return http.StatusBadRequest, map[string]any{"error": err.Error()}
			}
			p.setPolicy(name(r.URL.Path), body)
			return http.StatusOK, map[string]any{"acknowledged": true}
		},
	},
	{
		why: "it has no setting index.lifecycle, cannot pass over fields beyond the limit, calls flattened " +
			"flat_object, counts the values of a wildcard only when asked to, " +
			"and wants the value of a constant_keyword beforehand",
		method:  http.MethodPut,
		path:    regexp.MustCompile(`^/_component_template/`),
		rewrite: rewriteComponent,
	},
	{
		why:    "it has no processor geoip; Elasticsearch's is there without its databases",
		method: http.MethodPut, path: regexp.MustCompile(`^/_ingest/pipeline/`),
		rewrite: func(_ *Proxy, _ *http.Request, body map[string]any) error { return WithoutDatabases(body) },
	},
	{
		why:     "it wants every component template to be there",
		method:  http.MethodPut,
		path:    regexp.MustCompile(`^/_index_template/`),
		rewrite: rewriteTemplate,
	},
}

var duration = regexp.MustCompile(`^[1-9][0-9]*[dhms]$`)

// checkPolicy holds a lifecycle policy against the shape that Elasticsearch wants (PUT _ilm/policy).
func checkPolicy(body map[string]any) error {
	rollover, _ := at(body, "policy", "phases", "hot", "actions", "rollover").(map[string]any)
	age, _ := rollover["max_age"].(string)
	size, _ := rollover["max_primary_shard_size"].(string)
	keep, _ := at(body, "policy", "phases", "delete", "min_age").(string)
	_, deletes := at(body, "policy", "phases", "delete", "actions", "delete").(map[string]any)
	if len(body) != 1 || !duration.MatchString(age) || size == "" || !duration.MatchString(keep) || !deletes {
		return fmt.Errorf("no lifecycle policy: %v", body)
	}
	return nil
}

func rewriteComponent(p *Proxy, _ *http.Request, body map[string]any) error {
	index, _ := at(body, "template", "settings", "index").(map[string]any)
	if lifecycle, ok := index["lifecycle"].(map[string]any); ok {
		named, _ := lifecycle["name"].(string)
		if p.policy(named) == nil || len(lifecycle) != 1 {
			return fmt.Errorf("the lifecycle %v names no policy that is there", lifecycle)
		}
		delete(index, "lifecycle")
	}
	if limit, ok := at(index, "mapping", "total_fields").(map[string]any); ok {
		if limit["ignore_dynamic_beyond_limit"] != true {
			return fmt.Errorf("index.mapping.total_fields: %v", limit)
		}
		delete(limit, "ignore_dynamic_beyond_limit")
	}
	mappings, _ := at(body, "template", "mappings").(map[string]any)
	rename(mappings)
	return nil
}

// geoIP is what a processor geoip of Elasticsearch 8.14 may say.
var geoIP = []string{
	"field", "target_field", "database_file", "properties", "ignore_missing", "ignore_failure", "first_only", "if", "tag",
}

// WithoutDatabases replaces the processors geoip of a pipeline, which the node has not, by what Elasticsearch's do
// where it has no database: they tag every document that their condition lets through. The error is what Elasticsearch
// would find wrong with one.
func WithoutDatabases(pipeline map[string]any) error {
	processors, _ := pipeline["processors"].([]any)
	for i, p := range processors {
		one, _ := p.(map[string]any)
		options, ok := one["geoip"].(map[string]any)
		if !ok {
			continue
		}
		if field, _ := options["field"].(string); field == "" || len(one) != 1 {
			return fmt.Errorf("the processor geoip has no field: %v", p)
		}
		for name := range options {
			if !slices.Contains(geoIP, name) {
				return fmt.Errorf("the processor geoip has no option %s", name)
			}
		}
		database, ok := options["database_file"].(string)
		if !ok {
			database = "GeoLite2-City.mmdb"
		}
		tags := map[string]any{
			"field": "tags", "value": DatabaseUnavailable + database, "allow_duplicates": false,
		}
		if condition, ok := options["if"]; ok {
			tags["if"] = condition
		}
		processors[i] = map[string]any{"append": tags}
	}
	return nil
}

// DatabaseUnavailable begins the tag of a document whose address was looked up in a database that is not there.
const DatabaseUnavailable = "_geoip_database_unavailable_"

// rename goes through a mapping and gives types the names, or the kin, that the node knows.
func rename(m map[string]any) {
	switch m["type"] {
	case "flattened":
		m["type"] = "flat_object"
		delete(m, "ignore_above")
	case "wildcard":
		m["doc_values"] = true
	case "constant_keyword":
		if m["value"] == nil {
			m["type"] = "keyword"
		}
	}
	for _, v := range m {
		switch v := v.(type) {
		case map[string]any:
			rename(v)
		case []any:
			for _, e := range v {
				if sub, ok := e.(map[string]any); ok {
					rename(sub)
				}
			}
		}
	}
}

func rewriteTemplate(p *Proxy, _ *http.Request, body map[string]any) error {
	composed, _ := body["composed_of"].([]any)
	may, _ := body["ignore_missing_component_templates"].([]any)
	delete(body, "ignore_missing_component_templates")
	_, stream := body["data_stream"].(map[string]any)
	if patterns, _ := body["index_patterns"].([]any); len(composed) == 0 || !stream || len(patterns) != 1 {
		return fmt.Errorf("no template of a data stream: %v", body)
	}
	var there []any
	for _, c := range composed {
		switch {
		case p.node.exists(fmt.Sprintf("/_component_template/%v", c)):
			there = append(there, c)
		case !slices.Contains(may, c):
			return fmt.Errorf("the component template %v is not there and may not be missing", c)
		}
	}
	body["composed_of"] = there
	return nil
}

// at follows names through maps; nil where one is missing.
func at(m map[string]any, names ...string) any {
	var v any = m
	for _, n := range names {
		sub, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = sub[n]
	}
	return v
}

// gapOf finds the gap that a request falls into.
func gapOf(r *http.Request) *gap {
	for i := range gaps {
		if gaps[i].method == r.Method && gaps[i].path.MatchString(r.URL.Path) {
			return &gaps[i]
		}
	}
	return nil
}

func readJSON(r io.Reader) (map[string]any, error) {
	var m map[string]any
	d := json.NewDecoder(r)
	d.UseNumber()
	err := d.Decode(&m)
	if err == io.EOF {
		return nil, nil
	}
	return m, err
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// isBulk reports whether a request is one of the bulk API.
func isBulk(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/_bulk") }
