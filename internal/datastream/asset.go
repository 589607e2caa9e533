// SPDX-License-Identifier: Apache-2.0

package datastream

import (
	"fmt"

	"github.com/elastic/beats/v7/libbeat/template"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/version"

	"github.com/reconbeat/reconbeat/internal/dataset"
)

// lifecycles says for how long each kind is kept, and when a new backing index begins. A document lives between keep
// and keep plus rollover.
var lifecycles = map[dataset.Kind]struct{ rollover, keep string }{
	dataset.Alert:    {"30d", "365d"},
	dataset.Process:  {"7d", "30d"},
	dataset.Health:   {"1d", "7d"},
	dataset.Rejected: {"7d", "30d"},
}

// Type is what an asset is in Elasticsearch: the first part of its path.
type Type string

// The types of assets, in the order in which they must be installed: what is named by others comes first.
const (
	Pipeline          Type = "_ingest/pipeline"
	Policy            Type = "_ilm/policy"
	ComponentTemplate Type = "_component_template"
	IndexTemplate     Type = "_index_template"
)

// Asset is one thing that Elasticsearch must know.
type Asset struct {
	Type Type
	Name string
	Body mapstr.M
}

// Path is where Elasticsearch has the asset.
func (a Asset) Path() string { return "/" + string(a.Type) + "/" + a.Name }

// Options say how assets are made.
type Options struct {
	Dataset    string         // the first part of the data sets
	Version    string         // of reconbeat
	Fields     []byte         // fields.yml
	Settings   map[string]any // index settings of the user's
	Lifecycle  bool           // whether documents are deleted some day
	Serverless bool           // Elastic Cloud Serverless has the lifecycle of data streams instead of policies
}

// priority is above that of Elastic's own templates for logs-*-* (100) and of Fleet's packages (200).
const priority = 250

// Make makes every asset, in the order in which they must be installed.
func Make(o Options) ([]Asset, error) {
	number, err := versionNumber(o.Version)
	if err != nil {
		return nil, err
	}
	mappings, err := o.mappings()
	if err != nil {
		return nil, err
	}
	finalPipeline := o.Dataset + "@final-pipeline"
	assets := []Asset{{Pipeline, finalPipeline, mapstr.M{
		"description": "Last step of every document of reconbeat: when it arrived, and where its remote address is.",
		"processors":  append(arrived(), located()...),
	}}}
	add := func(t Type, name string, body mapstr.M) {
		body["version"] = number
		body["_meta"] = mapstr.M{"managed_by": "reconbeat", "version": o.Version}
		assets = append(assets, Asset{t, name, body})
	}
	if o.Lifecycle && !o.Serverless {
		for _, k := range dataset.Kinds() {
			assets = append(assets, Asset{Policy, o.lifecycleOf(k), policy(k)})
		}
	}
	// Elasticsearch checks a component template by itself: more than 1,000 fields need the limit beside them.
	limits := mapstr.M{
		"index": mapstr.M{
			"mapping": mapstr.M{"total_fields": mapstr.M{"limit": 12500, "ignore_dynamic_beyond_limit": true}},
		},
	}
	add(
		ComponentTemplate,
		o.Dataset+"@mappings",
		mapstr.M{"template": mapstr.M{"mappings": mappings, "settings": limits}},
	)
	add(
		ComponentTemplate,
		dataset.Rejected.In(o.Dataset)+"@mappings",
		mapstr.M{"template": mapstr.M{"mappings": rejectedMappings()}},
	)
	add(
		ComponentTemplate,
		o.Dataset+"@settings",
		mapstr.M{"template": mapstr.M{"settings": mapstr.M{"index": o.settings(finalPipeline)}}},
	)
	for _, k := range dataset.Kinds() {
		if !o.Lifecycle {
			break
		}
		body := mapstr.M{"settings": mapstr.M{"index": mapstr.M{"lifecycle": mapstr.M{"name": o.lifecycleOf(k)}}}}
		if o.Serverless {
			body = mapstr.M{"lifecycle": mapstr.M{"data_retention": lifecycles[k].keep}}
		}
		add(ComponentTemplate, o.lifecycleOf(k), mapstr.M{"template": body})
	}
	for _, k := range dataset.Kinds() {
		add(IndexTemplate, o.templateOf(k), o.indexTemplate(k))
	}
	return assets, nil
}

// arrived are the processors that say when a document arrived.
func arrived() []mapstr.M {
	return []mapstr.M{{"set": mapstr.M{"field": "event.ingested", "value": "{{{_ingest.timestamp}}}"}}}
}

// located are the processors that say where a remote address is, and whose network it is of, by the databases that
// Elasticsearch has. A document without an address, or with one that no database knows, stays as it is. The condition
// is beside ignore_missing because a processor whose database is not there tags every document that it is given.
func located() []mapstr.M {
	geoip := func(more mapstr.M) mapstr.M {
		more["if"] = "ctx.source?.ip != null"
		more["field"], more["ignore_missing"], more["ignore_failure"] = "source.ip", true, true
		return mapstr.M{"geoip": more}
	}
	rename := func(from, to string) mapstr.M {
		return mapstr.M{"rename": mapstr.M{
			"field": "source.as." + from, "target_field": "source.as." + to, "ignore_missing": true, "ignore_failure": true,
		}}
	}
	return []mapstr.M{
		geoip(mapstr.M{"target_field": "source.geo"}),
		geoip(mapstr.M{
			"target_field": "source.as", "database_file": "GeoLite2-ASN.mmdb",
			"properties": []string{"asn", "organization_name"},
		}),
		rename("asn", "number"), rename("organization_name", "organization.name"),
	}
}

func (o Options) lifecycleOf(k dataset.Kind) string { return k.In(o.Dataset) + "@lifecycle" }

func (o Options) templateOf(k dataset.Kind) string {
	return dataset.Type + "-" + k.In(o.Dataset) + "@template"
}

// versionNumber makes of 1.2.3 the number 1002003: Elasticsearch keeps an integer beside each template.
func versionNumber(v string) (int, error) {
	parsed, err := version.New(v)
	if err != nil {
		return 0, fmt.Errorf("the version %q of reconbeat: %w", v, err)
	}
	return parsed.Major*1000000 + parsed.Minor*1000 + parsed.Bugfix, nil
}

// mappings makes the mapping of fields.yml with libbeat's generator.
func (o Options) mappings() (mapstr.M, error) {
	v, err := version.New(oldestElasticsearch)
	if err != nil {
		return nil, err
	}
	// The generator's `elastic licensed` means a cluster that knows wildcard and match_only_text; every one has since
	// 7.14.
	t, err := template.New(o.Serverless, o.Version, "reconbeat", true, *v, template.TemplateConfig{Enabled: true},
		false, logp.NewNopLogger())
	if err != nil {
		return nil, fmt.Errorf("preparing the mapping: %w", err)
	}
	made, err := t.LoadBytes(o.Fields)
	if err != nil {
		return nil, fmt.Errorf("making the mapping of fields.yml: %w", err)
	}
	v2, err := made.GetValue("template.mappings")
	if err != nil {
		return nil, fmt.Errorf("making the mapping of fields.yml: %w", err)
	}
	mappings := v2.(mapstr.M)
	delete(mappings, "_meta")
	// Our own fields are all declared. One that is not is kept in the document, and never makes the mapping grow.
	_, _ = mappings.Put("properties.reconbeat.dynamic", false)
	return mappings, nil
}

// oldestElasticsearch is the oldest version that understands everything that is made here.
const oldestElasticsearch = "8.14.0"

// rejectedMappings are those of the documents into which libbeat's output wraps what Elasticsearch refused
// (dead_letter_index).
func rejectedMappings() mapstr.M {
	return mapstr.M{
		"dynamic": false,
		"properties": mapstr.M{
			"@timestamp": mapstr.M{"type": "date"},
			"message":    mapstr.M{"type": "match_only_text"},
			"error": mapstr.M{"properties": mapstr.M{
				"type":    mapstr.M{"type": "keyword"},
				"message": mapstr.M{"type": "match_only_text"},
			}},
			"event": mapstr.M{"properties": mapstr.M{"ingested": mapstr.M{"type": "date"}}},
			"data_stream": mapstr.M{"properties": mapstr.M{
				"type":      mapstr.M{"type": "constant_keyword"},
				"dataset":   mapstr.M{"type": "constant_keyword"},
				"namespace": mapstr.M{"type": "constant_keyword"},
			}},
		},
	}
}

// defaultFields are searched when a query names no field.
var defaultFields = []string{
	"message",
	"event.action",
	"event.reason",
	"rule.name",
	"user.name",
	"user.audit.name",
	"user.effective.name",
	"process.name",
	"process.executable",
	"process.command_line",
	"process.parent.name",
	"process.parent.command_line",
	"host.name",
	"container.name",
	"container.image.name",
	"related.ip",
	"reconbeat.actor.name",
	"reconbeat.program",
}

func (o Options) settings(finalPipeline string) mapstr.M {
	s := mapstr.M{
		"codec":          "best_compression",
		"final_pipeline": finalPipeline,
		// A value that does not fit its field is kept and marked in _ignored; the document is not refused for it.
		"mapping":          mapstr.M{"ignore_malformed": true},
		"query":            mapstr.M{"default_field": defaultFields},
		"refresh_interval": "5s",
	}
	s.DeepUpdate(o.Settings)
	return s
}

// policy is when a kind's data stream begins a new backing index, and when an old one is deleted.
func policy(k dataset.Kind) mapstr.M {
	l := lifecycles[k]
	return mapstr.M{"policy": mapstr.M{
		"_meta": mapstr.M{"managed_by": "reconbeat"},
		"phases": mapstr.M{
			"hot": mapstr.M{
				"actions": mapstr.M{"rollover": mapstr.M{"max_age": l.rollover, "max_primary_shard_size": "50gb"}},
			},
			"delete": mapstr.M{"min_age": l.keep, "actions": mapstr.M{"delete": mapstr.M{}}},
		},
	}}
}

// indexTemplate composes the template of a kind. What is the same in all its documents is a constant there, which costs
// no room and skips a search of other values.
func (o Options) indexTemplate(k dataset.Kind) mapstr.M {
	constant := func(value string) mapstr.M { return mapstr.M{"type": "constant_keyword", "value": value} }
	name := k.In(o.Dataset)
	properties := mapstr.M{
		"data_stream": mapstr.M{"properties": mapstr.M{"type": constant(dataset.Type), "dataset": constant(name)}},
	}
	mappings := o.Dataset + "@mappings"
	if k == dataset.Rejected {
		mappings = dataset.Rejected.In(o.Dataset) + "@mappings"
	} else {
		properties["event"] = mapstr.M{"properties": mapstr.M{"module": constant("reconbeat"), "dataset": constant(name)}}
	}
	custom := o.Dataset + "@custom"
	parts := []string{mappings, o.Dataset + "@settings"}
	if o.Lifecycle {
		parts = append(parts, o.lifecycleOf(k))
	}
	return mapstr.M{
		"index_patterns":                     []string{k.Stream(o.Dataset, "*")},
		"data_stream":                        mapstr.M{},
		"priority":                           priority,
		"composed_of":                        append(parts, custom),
		"ignore_missing_component_templates": []string{custom},
		"template":                           mapstr.M{"mappings": mapstr.M{"properties": properties}},
	}
}
