// SPDX-License-Identifier: Apache-2.0

// Package lint finds in saved objects and detection rules what Kibana would find, or would silently not show, without a
// Kibana: references that lead nowhere, fields that do not exist or cannot be counted, charts whose columns do not fit,
// panels over one another, queries that find nothing, links that libbeat's import does not survive, rules that changed
// under the same version.
package lint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/reconbeat/reconbeat/tools/kibana/fields"
	"github.com/reconbeat/reconbeat/tools/kibana/kql"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// linter checks all files, and gathers what is wrong.
type linter struct {
	types  fields.Types
	files  saved.Files
	views  map[string]string // data views' titles by their ids
	faults []error
	at     string // what is being checked
}

func (l *linter) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Errorf("%s: %w", l.at, fmt.Errorf(format, args...)))
}

// Check checks a folder like _meta/kibana, and at the rules' sums. The error has a line for each fault.
func Check(folder fs.FS, types fields.Types, sumsIn fs.FS, sums string) error {
	files, err := saved.Load(folder)
	if err != nil {
		return err
	}
	l := &linter{types: types, files: files, views: map[string]string{}}
	for _, o := range files.Objects {
		var v saved.DataView
		if o.Type == "index-pattern" && saved.Read(o.Attributes, &v) == nil {
			l.views[o.ID] = v.Title
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files.Objects)) {
		l.object(name, files.Objects[name])
	}
	l.graph()
	ids := map[string]bool{}
	for _, r := range files.Rules {
		l.at = "rule " + r.Name
		if ids[r.RuleID] {
			l.fault("the rule_id %s is another rule's, too", r.RuleID)
		}
		ids[r.RuleID] = true
		l.rule(r)
	}
	recorded, err := fs.ReadFile(sumsIn, sums)
	if err != nil {
		return fmt.Errorf("reading the rules' sums: %w", err)
	}
	l.at = sums
	if want, err := Sum(files.Rules, recorded); err != nil {
		l.faults = append(l.faults, err)
	} else if string(want) != string(recorded) {
		l.fault("not up to date")
	}
	return errors.Join(l.faults...)
}

// folders are where libbeat looks for the types of objects. It loads every file of dashboard, so that saved queries
// ride along there.
var folders = map[string]string{
	"index-pattern": "index-pattern",
	"tag":           "tag",
	"dashboard":     "dashboard",
	"query":         "dashboard",
}

func (l *linter) object(name string, o saved.Object) {
	l.at = name
	if o.ID != strings.TrimSuffix(strings.TrimSuffix(path.Base(name), saved.LinkedSuffix), ".json") {
		l.fault("its id is %q", o.ID)
	}
	if !strings.HasPrefix(o.ID, "reconbeat-") {
		l.fault("the id does not begin with reconbeat-")
	}
	if o.CoreVersion != saved.CoreVersion {
		l.fault("coreMigrationVersion is %q, not %s", o.CoreVersion, saved.CoreVersion)
	}
	if want, known := saved.Versions[o.Type]; !known {
		l.fault("%q is not a type that we ship", o.Type)
		return
	} else if o.TypeVersion != want {
		l.fault("typeMigrationVersion is %q, not %s", o.TypeVersion, want)
	}
	if dir := path.Base(path.Dir(name)); dir != folders[o.Type] {
		l.fault("a %s belongs into the folder %s", o.Type, folders[o.Type])
	}
	names := map[string]bool{}
	for _, r := range o.References {
		if r.Name == "" || names[r.Name] {
			l.fault("two references are called %q, or one has no name", r.Name)
		}
		names[r.Name] = true
		if r.Type == "index-pattern" {
			if _, ok := l.views[r.ID]; !ok {
				l.fault("the reference %s is to the data view %s, which we do not ship", r.Name, r.ID)
			}
		} else if target, ok := l.files.Objects[path.Join("7", r.Type, r.ID+".json")]; !ok || target.Type != r.Type {
			l.fault("the reference %s is to the %s %s, which we do not ship", r.Name, r.Type, r.ID)
		}
	}
	switch o.Type {
	case "index-pattern":
		l.dataView(o)
	case "tag":
		read(l, o.Attributes, &saved.Tag{})
	case "query":
		var q saved.Query
		if read(l, o.Attributes, &q) {
			l.named(q.Title, q.Description)
			l.query("the query", q.Query)
		}
	case "dashboard":
		l.dashboard(o)
	}
}

func read(l *linter, data []byte, into any) bool {
	err := saved.Read(data, into)
	if err != nil {
		l.fault("%w", err)
	}
	return err == nil
}

// named wants a title and a description, and keeps the prefix for dashboards.
func (l *linter) named(title, description string) {
	l.described(title, description)
	if strings.HasPrefix(title, "[") {
		l.fault("the title %q begins with a prefix in brackets, which is a dashboard's", title)
	}
}

func (l *linter) described(title, description string) {
	if strings.TrimSpace(title) == "" {
		l.fault("no title")
	}
	if strings.TrimSpace(description) == "" {
		l.fault("no description")
	}
}

func (l *linter) dataView(o saved.Object) {
	var v saved.DataView
	if !read(l, o.Attributes, &v) {
		return
	}
	l.named(v.Title, v.Name)
	if l.types.DataType(v.TimeFieldName) != "date" {
		l.fault("the time field %q is not a date", v.TimeFieldName)
	}
	for field, text := range map[string]string{"fieldAttrs": v.FieldAttrs, "fieldFormatMap": v.FieldFormatMap,
		"runtimeFieldMap": v.RuntimeFieldMap} {
		var any map[string]any
		if saved.Read([]byte(text), &any) != nil {
			l.fault("%s is not an object in a string", field)
		}
	}
	for field, text := range map[string]string{"fields": v.Fields, "sourceFilters": v.SourceFilters} {
		var any []any
		if saved.Read([]byte(text), &any) != nil {
			l.fault("%s is not a list in a string", field)
		}
	}
}

// query holds a query against the language and the fields.
func (l *linter) query(what string, q saved.KQL) {
	if q.Language != "kuery" {
		l.fault("%s is in %q, not in kuery", what, q.Language)
		return
	}
	parsed, err := kql.Parse(q.Query)
	if err != nil {
		l.fault("%s: %w", what, err)
		return
	}
	for _, field := range kql.Fields(parsed) {
		l.known(what, field)
	}
}

// known says when there is no such field.
func (l *linter) known(what, field string) {
	if _, ok := l.types[field]; !ok {
		l.fault("%s names the field %s, which is in no document", what, field)
	}
}

// countable says when a field cannot be counted and ordered by its values.
func (l *linter) countable(what, field string) {
	if _, ok := l.types[field]; !ok {
		l.known(what, field)
	} else if l.types.DataType(field) == "" {
		l.fault("%s counts the values of %s, which is %s and has none", what, field, l.types[field])
	}
}

// graph walks the references: libbeat's import does not end in a circle.
func (l *linter) graph() {
	const walking, done = 1, 2
	state := map[string]int{}
	var walk func(name string)
	walk = func(name string) {
		state[name] = walking
		for _, r := range l.files.Objects[name].References {
			target := path.Join("7", r.Type, r.ID+".json")
			if _, ok := l.files.Objects[target]; !ok {
				continue
			}
			switch state[target] {
			case walking:
				l.at = name
				l.fault("leads back to itself by way of %s: libbeat's import would not end", target)
			case 0:
				walk(target)
			}
		}
		state[name] = done
	}
	for _, name := range slices.Sorted(maps.Keys(l.files.Objects)) {
		if state[name] == 0 {
			walk(name)
		}
	}
}
