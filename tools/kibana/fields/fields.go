// SPDX-License-Identifier: Apache-2.0

// Package fields knows the fields that reconbeat's documents have, from fields.yml.
package fields

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Types are the types of all fields by their full names, as Elasticsearch calls them.
type Types map[string]string

// dataTypes are what Lens calls the types of values that can be counted and sorted. Text is none of them: it is taken
// apart into words.
var dataTypes = map[string]string{
	"keyword":          "string",
	"constant_keyword": "string",
	"wildcard":         "string",
	"version":          "string",
	"date":             "date",
	"ip":               "ip",
	"boolean":          "boolean",
	"long":             "number",
	"integer":          "number",
	"short":            "number",
	"byte":             "number",
	"unsigned_long":    "number",
	"double":           "number",
	"float":            "number",
	"half_float":       "number",
	"scaled_float":     "number",
}

// DataType is the field's type as Lens calls it: string, number, date, ip or boolean. It is empty where there is no
// such field, or none that can be counted.
func (t Types) DataType(field string) string { return dataTypes[t[field]] }

// field is an entry of fields.yml.
type field struct {
	Name   string  `yaml:"name"`
	Type   string  `yaml:"type"`
	Fields []field `yaml:"fields"`
	Multi  []field `yaml:"multi_fields"`
}

// Read reads a fields.yml.
func Read(text []byte) (Types, error) {
	var sections []struct {
		Fields []field `yaml:"fields"`
	}
	if err := yaml.Unmarshal(text, &sections); err != nil {
		return nil, fmt.Errorf("reading the fields: %w", err)
	}
	types := Types{}
	for _, s := range sections {
		types.add("", s.Fields)
	}
	return types, nil
}

func (t Types) add(prefix string, list []field) {
	for _, f := range list {
		name := strings.TrimPrefix(prefix+"."+f.Name, ".")
		if f.Type == "group" || len(f.Fields) > 0 {
			t.add(name, f.Fields)
			continue
		}
		if f.Type == "" {
			f.Type = "keyword" // libbeat's default
		}
		t[name] = f.Type
		t.add(name, f.Multi)
	}
}
