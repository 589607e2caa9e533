// SPDX-License-Identifier: Apache-2.0

// Package integration is the Fleet package: what Kibana's "Integrations" installs so that Elastic Agents run reconbeat,
// or collect the documents of one that runs as a service of its own.
//
// The package lies in the folder reconbeat, as package-spec wants it. Manifests, the templates of the Agent's inputs,
// and the ingest pipelines are written by hand. What the rest of the repository knows better is made of it by
// [Generate]: the fields with their types, what Kibana is given, the manual, the screenshot, the licence. The sample
// events are documents of a real reconbeat, read by a real filestream input; the tests write them with -update.
package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/elastic/beats/v7/libbeat/mapping"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/document"
)

// Streams are the package's data streams of what reconbeat ships, each a folder of data_stream and the last part of a
// data set's name. The package has one more, rejected, whose documents Elasticsearch's refusals make.
var Streams = kinds()

func kinds() (names []string) {
	for _, k := range dataset.Shipped() {
		names = append(names, string(k))
	}
	return names
}

// field is an entry of a fields file.
type field struct {
	Name          string  `yaml:"name"`
	Type          string  `yaml:"type"`
	Description   string  `yaml:"description,omitempty"`
	Unit          string  `yaml:"unit,omitempty"`
	MetricType    string  `yaml:"metric_type,omitempty"`
	IgnoreAbove   int     `yaml:"ignore_above,omitempty"`
	ScalingFactor int     `yaml:"scaling_factor,omitempty"`
	ObjectType    string  `yaml:"object_type,omitempty"`
	Index         *bool   `yaml:"index,omitempty"`
	DocValues     *bool   `yaml:"doc_values,omitempty"`
	Value         string  `yaml:"value,omitempty"`
	MultiFields   []field `yaml:"multi_fields,omitempty"`
}

// around are the prefixes of the fields that others put beside ours: libbeat and its processors on the host, the Agent
// on the way.
var around = []string{"agent.", "cloud.", "container.", "data_stream.", "ecs.", "error.", "host.", "orchestrator.",
	"tags"}

// onTheWay are the fields that the Agent, its input and Fleet's final pipeline add and that no fields.yml of a Beat
// declares.
var onTheWay = []field{
	{Name: "elastic_agent.id", Type: "keyword", Description: "Id of the Elastic Agent that shipped the document."},
	{Name: "elastic_agent.snapshot", Type: "boolean", Description: "Whether that Elastic Agent is a snapshot."},
	{Name: "elastic_agent.version", Type: "keyword", Description: "Version of that Elastic Agent."},
	{
		Name:        "event.agent_id_status",
		Type:        "keyword",
		Description: "Whether the document comes from the agent that it says it comes from.",
	},
	{Name: "event.ingested", Type: "date", Description: "When the document arrived in Elasticsearch."},
	{Name: "input.type", Type: "keyword", Description: "The Agent's input that read the document: filestream."},
	{Name: "log.file.device_id", Type: "keyword", Description: "Device of the file that the document was read from."},
	{Name: "log.file.fingerprint", Type: "keyword", Description: "What the input knows that file by."},
	{Name: "log.file.inode", Type: "keyword", Description: "Inode of that file."},
	{Name: "log.file.path", Type: "keyword", Description: "Path of that file."},
	{Name: "log.offset", Type: "long", Description: "Where in that file the document begins."},
}

// beats are the fields of every document that the Beat itself fills, without a table of them in the code.
var beats = []string{"event.id", "message", "related.hash", "related.hosts", "related.ip", "related.user"}

// located are the fields that the pipelines of alerts and program starts add.
var located = []string{
	"source.as.number", "source.as.organization.name", "source.geo.city_name", "source.geo.continent_name",
	"source.geo.country_iso_code", "source.geo.country_name", "source.geo.location", "source.geo.region_iso_code",
	"source.geo.region_name",
}

// Generate makes in the package's folder what is made of the rest of the repository: its fields.yml, _meta/kibana,
// LICENSE and the picture of `watch`, and the tables of fields in the code.
func Generate(dir, root string) error {
	yml, err := os.ReadFile(filepath.Join(root, "fields.yml"))
	if err != nil {
		return fmt.Errorf("making the Fleet package's fields: %w", err)
	}
	all, err := mapping.LoadFields(yml)
	if err != nil {
		return fmt.Errorf("making the Fleet package's fields: fields.yml: %w", err)
	}
	declared := map[string]field{}
	flatten("", all, declared)
	for _, stream := range Streams {
		if err := writeFields(filepath.Join(dir, "data_stream", stream, "fields"), stream, declared); err != nil {
			return fmt.Errorf("making the fields of the Fleet package's data stream %s: %w", stream, err)
		}
	}
	licence, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return fmt.Errorf("making the Fleet package's licence: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), licence, 0o644); err != nil {
		return fmt.Errorf("making the Fleet package's licence: %w", err)
	}
	picture, err := os.ReadFile(filepath.Join(root, "docs", "terminal-watch.svg"))
	if err != nil {
		return fmt.Errorf("making the Fleet package's screenshot: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "img", "watch.svg"), picture, 0o644); err != nil {
		return fmt.Errorf("making the Fleet package's screenshot: %w", err)
	}
	if err := writeKibana(dir, filepath.Join(root, "_meta", "kibana")); err != nil {
		return fmt.Errorf("making what the Fleet package brings for Kibana: %w", err)
	}
	if err := writeManual(dir); err != nil {
		return fmt.Errorf("making the Fleet package's manual: %w", err)
	}
	return nil
}

// flatten puts the leaves of a tree of fields by their full names.
func flatten(prefix string, fields mapping.Fields, into map[string]field) {
	for _, f := range fields {
		name := strings.TrimPrefix(prefix+"."+f.Name, ".")
		if f.Type == "group" || len(f.Fields) > 0 {
			flatten(name, f.Fields, into)
			continue
		}
		into[name] = leaf(name, f)
	}
}

func leaf(name string, f mapping.Field) field {
	l := field{
		Name:          name,
		Type:          f.Type,
		Description:   strings.Join(strings.Fields(f.Description), " "),
		Unit:          f.Unit,
		MetricType:    f.MetricType,
		IgnoreAbove:   f.IgnoreAbove,
		ScalingFactor: f.ScalingFactor,
		ObjectType:    f.ObjectType,
		Index:         f.Index,
		DocValues:     f.DocValues,
	}
	if l.Type == "" {
		l.Type = "keyword"
	}
	if l.Type != "keyword" && l.Type != "wildcard" {
		l.IgnoreAbove = 0
	}
	for _, m := range f.MultiFields {
		multi := leaf(m.Name, m)
		multi.Description, multi.IgnoreAbove = "", 0
		l.MultiFields = append(l.MultiFields, multi)
	}
	return l
}

// writeFields writes what beside the hand-written base-fields.yml a data stream's documents may have: ecs.yml and
// fields.yml, which has our own.
func writeFields(dir, stream string, declared map[string]field) error {
	taken, err := readFields(filepath.Join(dir, "base-fields.yml"))
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, name := range beats {
		names[name] = true
	}
	if stream == string(dataset.Health) {
		for _, name := range []string{"event.action", "event.category", "event.duration", "event.kind", "event.type"} {
			names[name] = true
		}
	} else {
		for name := range document.Fields() {
			names[name] = true
		}
		for _, name := range located {
			names[name] = true
		}
	}
	added := map[string]field{}
	for _, f := range onTheWay {
		added[f.Name] = f
	}
	var schema, own []field
	for name, f := range declared {
		health := strings.HasPrefix(name, "reconbeat.health.")
		switch {
		case taken[name].Name != "" || added[name].Name != "" || f.Type == "alias":
		case strings.HasPrefix(name, "reconbeat."):
			if health == (stream == string(dataset.Health)) {
				own = append(own, f)
			}
		case names[name] && strings.HasPrefix(name, "user.audit."):
			own = append(own, f)
		case names[name] || slices.ContainsFunc(around, func(prefix string) bool {
			return strings.HasPrefix(name,
				prefix)
		}):
			schema = append(schema, f)
		}
	}
	schema = append(schema, onTheWay...)
	if err := write(filepath.Join(dir, "ecs.yml"), schema); err != nil {
		return err
	}
	return write(filepath.Join(dir, "fields.yml"), own)
}

func readFields(file string) (map[string]field, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []field
	if err := yaml.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := map[string]field{}
	for _, f := range list {
		m[f.Name] = f
	}
	return m, nil
}

func write(file string, fields []field) error {
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	b.WriteString("# Made by go tool mage update. DO NOT EDIT.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if len(fields) == 0 {
		fields = []field{}
	}
	if err := e.Encode(fields); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// Fields are the fields that a data stream of the package in dir declares, by their names, with their types.
func Fields(dir, stream string) (map[string]string, error) {
	types := map[string]string{}
	for _, file := range []string{"base-fields.yml", "ecs.yml", "fields.yml"} {
		fields, err := readFields(filepath.Join(dir, "data_stream", stream, "fields", file))
		if err != nil {
			return nil, fmt.Errorf("reading the fields of the Fleet package: %w", err)
		}
		for name, f := range fields {
			types[name] = f.Type
		}
	}
	return types, nil
}

// writeManual makes docs/README.md of its template, which may call for the table of a data stream's fields and for its
// sample event.
func writeManual(dir string) error {
	source := filepath.Join(dir, "_dev", "build", "docs", "README.md")
	manual, err := template.New(filepath.Base(source)).Funcs(template.FuncMap{
		"fields": func(stream string) (string, error) { return fieldsTable(dir, stream) },
		"event":  func(stream string) (string, error) { return sample(dir, stream) },
	}).ParseFiles(source)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := manual.Execute(&b, nil); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "docs", "README.md"), b.Bytes(), 0o644)
}

func fieldsTable(dir, stream string) (string, error) {
	var all []field
	for _, file := range []string{"base-fields.yml", "ecs.yml", "fields.yml"} {
		fields, err := readFields(filepath.Join(dir, "data_stream", stream, "fields", file))
		if err != nil {
			return "", err
		}
		for _, f := range fields {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString("**Exported fields**\n\n| Field | Description | Type | Unit |\n|---|---|---|---|\n")
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, strings.ReplaceAll(f.Description, "|", `\|`), f.Type, f.Unit)
	}
	return b.String(), nil
}

func sample(dir, stream string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "data_stream", stream, "sample_event.json"))
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "    "); err != nil {
		return "", err
	}
	return "An example event for `" + stream + "` looks as following:\n\n```json\n" + b.String() + "\n```\n", nil
}
