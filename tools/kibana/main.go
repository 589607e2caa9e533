// SPDX-License-Identifier: Apache-2.0

// Kibana makes what reconbeat ships for Kibana, out of a source that a person can read: data views, a tag, saved queries, dashboards and detection rules.
//
//	go run ./kibana write     write _meta/kibana and rules.sum anew; `go tool mage update` does it
//	go run ./kibana check     look for everything that can be found wrong in _meta/kibana without a Kibana; `go tool mage check` does it
//	go run ./kibana queries   print what every panel, control, saved query and rule asks of Elasticsearch
//
// All three run in the folder tools. The files under _meta/kibana/7 are in the layout that libbeat's `setup --dashboards` reads, one object in each; rules/reconbeat.ndjson
// is what Kibana's import of detection rules takes, one rule in a line.
//
// # Queries
//
// queries reads the committed files, not the source, and prints a line of JSON for each question:
//
//	{"name":"reconbeat-overview/top-actors","index":"logs-reconbeat.alert-*","search":{"size":0,"query":{...},"aggs":{...}}}
//
// name is the dashboard and the panel (or control:ID), or the id of a saved query or rule. search is the body of POST INDEX/_search, without the range of time, so that
// a test can run it over the documents that it has, and see whether something comes back: `hits.total` is not 0, and no bucket of `aggregations` is missing.
// A rule in ES|QL has "esql" in place of index and search. A last value is asked for by top_hits, which is in every Elasticsearch and OpenSearch.
// OpenSearch counts the values of a wildcard field, process.command_line, only where its mapping says doc_values: true; Elasticsearch always does.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/reconbeat/reconbeat/tools/kibana/fields"
	"github.com/reconbeat/reconbeat/tools/kibana/lint"
	"github.com/reconbeat/reconbeat/tools/kibana/query"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// Where the files are, from the folder tools.
const (
	folder   = "../_meta/kibana"
	declared = "../fields.yml"
	sums     = "kibana/rules.sum"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("one of write, check, queries is wanted, not %q", args)
	}
	text, err := os.ReadFile(declared)
	if err != nil {
		return fmt.Errorf("reading the fields: %w", err)
	}
	types, err := fields.Read(text)
	if err != nil {
		return err
	}
	switch args[0] {
	case "write":
		return write(types)
	case "check":
		return lint.Check(os.DirFS(folder), types, os.DirFS(filepath.Dir(sums)), filepath.Base(sums))
	case "queries":
		questions, err := query.All(os.DirFS(folder))
		if err != nil {
			return err
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		for _, q := range questions {
			if err := e.Encode(q); err != nil {
				return fmt.Errorf("printing the query of %s: %w", q.Name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("%q is none of write, check, queries", args[0])
}

// objects are all saved objects.
func objects(types fields.Types) []saved.Object {
	all := []saved.Object{alertView.object(), processView.object(), healthView.object(), tag}
	for _, q := range savedQueries {
		all = append(all, object("query", q.id, saved.SavedQuery{Title: q.title, Description: q.description, Query: saved.Kuery(q.query)},
			saved.Reference{Type: "tag", ID: tag.ID, Name: "tag-ref-" + tag.ID}))
	}
	for _, d := range []dashboard{overview, investigation, sensorHealth} {
		all = append(all, d.object(types))
	}
	return all
}

// files are the contents of all files, by their paths in the folder.
func files(types fields.Types) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, o := range objects(types) {
		kind := o.Type
		if kind == "query" {
			kind = "dashboard" // the one folder of which libbeat loads every file, whatever it holds
		}
		var b bytes.Buffer
		if err := json.Indent(&b, saved.Raw(o), "", "  "); err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.ID, err)
		}
		b.WriteByte('\n')
		all[filepath.Join("7", kind, o.ID+".json")] = b.Bytes()
	}
	var b bytes.Buffer
	for _, r := range rules {
		b.Write(saved.Raw(r))
		b.WriteByte('\n')
	}
	all[filepath.Join("rules", "reconbeat.ndjson")] = b.Bytes()
	return all, nil
}

// write writes all files anew. A rule that changed without a higher version is an error.
func write(types fields.Types) error {
	all, err := files(types)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(sums)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("reading the rules' sums: %w", err)
	}
	after, err := lint.Sum(rules, before)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("clearing %s: %w", folder, err)
	}
	for name, text := range all {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("making the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := os.WriteFile(sums, after, 0o644); err != nil {
		return fmt.Errorf("writing the rules' sums: %w", err)
	}
	return nil
}
