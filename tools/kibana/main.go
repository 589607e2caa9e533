// SPDX-License-Identifier: Apache-2.0

// Kibana makes what reconbeat ships for Kibana, out of a source that a person can read: data views, a tag, saved
// queries, dashboards and detection rules.
//
//	go run ./kibana write     write _meta/kibana and rules.sum anew; `go tool mage update` does it
//	go run ./kibana check     find what is wrong in _meta/kibana without a Kibana; `go tool mage check` does it
//	go run ./kibana queries   print what every panel, control, saved query and rule asks of Elasticsearch
//	go run ./kibana answers   ask it of a node and print the answers; -help has the flags
//
// All run in the folder tools. The files under _meta/kibana/7 are in the layout that libbeat's `setup --dashboards`
// reads, one object in each; rules/reconbeat.ndjson is what Kibana's import of detection rules takes, one rule in a
// line.
//
// # Queries
//
// queries reads the committed files, not the source, and prints a line of JSON for each question:
//
//	{"name":"reconbeat-overview/top-actors","index":"logs-reconbeat.alert-*",
//	 "search":{"size":0,"query":{...},"aggs":{...}}}
//
// name is the dashboard and the panel (or control:ID), or the id of a saved query or rule. search is the body of POST
// INDEX/_search, without the range of time, so that a test can run it over the documents that it has, and see whether
// something comes back: `hits.total` is not 0, and no bucket of `aggregations` is missing. A panel in ES|QL has "esql"
// beside the search of the same groups, a rule in ES|QL has it in place of index and search. A last value is asked for
// by top_hits, which is in every Elasticsearch and OpenSearch. OpenSearch counts the values of a wildcard field,
// process.command_line, only where its mapping says doc_values: true; Elasticsearch always does.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	if len(args) == 0 || len(args) > 1 && args[0] != "answers" {
		return fmt.Errorf("one of write, check, queries, answers is wanted, not %q", args)
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
	case "answers":
		return answer(args[1:], out)
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
	return fmt.Errorf("invalid command %q (want write, check, queries or answers)", args[0])
}

// answer asks a node the questions of panels, and prints a line of JSON for each answer.
func answer(args []string, out io.Writer) error {
	var n query.Node
	flags := flag.NewFlagSet("answers", flag.ContinueOnError)
	flags.StringVar(&n.URL, "node", "", "the address of the search node")
	flags.StringVar(&n.Namespace, "namespace", "", "the namespace of the data streams; empty: all")
	flags.StringVar(&n.Query, "query", "", "what is typed into the search bar, in KQL")
	only := flags.String("only", "", "the id of the one dashboard that is asked about; empty: all")
	flags.TextVar(&n.From, "from", time.Time{}, "the beginning of the range of time, in RFC 3339")
	flags.TextVar(&n.To, "to", time.Time{}, "its end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	questions, err := query.All(os.DirFS(folder))
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for _, q := range questions {
		if dashboard, _, panel := strings.Cut(q.Name, "/"); !panel || *only != "" && dashboard != *only {
			continue
		}
		a, err := n.Ask(context.Background(), q)
		if err != nil {
			return fmt.Errorf("asking %s: %w", q.Name, err)
		}
		if err := e.Encode(a); err != nil {
			return fmt.Errorf("printing the answer to %s: %w", q.Name, err)
		}
	}
	return nil
}

// objects are all saved objects by their files' names; saved.Unlinked says why each dashboard has two.
func objects(types fields.Types) map[string]saved.Object {
	all := map[string]saved.Object{}
	add := func(o saved.Object, suffix string) {
		kind := o.Type
		if kind == "query" {
			kind = "dashboard" // the one folder of which libbeat loads every file, whatever it holds
		}
		all[filepath.Join("7", kind, o.ID+suffix)] = o
	}
	for _, o := range []saved.Object{alertView.object(), processView.object(), healthView.object(), tag} {
		add(o, ".json")
	}
	for _, q := range savedQueries {
		attributes := saved.Query{Title: q.title, Description: q.description, Query: saved.Kuery(q.query)}
		tagged := saved.Reference{Type: "tag", ID: tag.ID, Name: "tag-ref-" + tag.ID}
		add(object("query", q.id, attributes, tagged), ".json")
	}
	for _, d := range dashboards {
		add(d.object(types, false), ".json")
		add(d.object(types, true), saved.LinkedSuffix)
	}
	return all
}

// files are the contents of all files, by their paths in the folder.
func files(types fields.Types) (map[string][]byte, error) {
	all := map[string][]byte{}
	for name, o := range objects(types) {
		var b bytes.Buffer
		if err := json.Indent(&b, saved.Raw(o), "", "  "); err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.ID, err)
		}
		b.WriteByte('\n')
		all[name] = b.Bytes()
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
