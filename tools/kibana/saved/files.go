// SPDX-License-Identifier: Apache-2.0

package saved

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Files are all objects and rules of a folder like _meta/kibana.
type Files struct {
	Objects map[string]Object // by their paths
	Rules   []Rule
}

// RulesFile is where the rules are.
const RulesFile = "rules/reconbeat.ndjson"

// Load reads a folder.
func Load(folder fs.FS) (Files, error) {
	f := Files{Objects: map[string]Object{}}
	names, err := fs.Glob(folder, "7/*/*")
	if err != nil {
		return f, fmt.Errorf("searching for objects: %w", err)
	}
	for _, name := range names {
		if path.Ext(name) != ".json" {
			return f, fmt.Errorf("%s: libbeat reads .json only", name)
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return f, fmt.Errorf("reading an object: %w", err)
		}
		var o Object
		if err := Read(text, &o); err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
		f.Objects[name] = o
	}
	text, err := fs.ReadFile(folder, RulesFile)
	if err != nil {
		return f, fmt.Errorf("reading the rules: %w", err)
	}
	for line := range bytes.Lines(text) {
		var r Rule
		if err := Read(line, &r); err != nil {
			return f, fmt.Errorf("%s, line %d: %w", RulesFile, len(f.Rules)+1, err)
		}
		f.Rules = append(f.Rules, r)
	}
	return f, nil
}

// Content decodes what stands in a panel: a *Lens, a *Search or *Links.
func (p Panel) Content() (any, error) {
	var v any
	switch p.Type {
	case "lens":
		v = &Lens{}
	case "search":
		v = &Search{}
	case "links":
		v = &Links{}
	default:
		return nil, fmt.Errorf("a panel has the type %q (want lens, search or links)", p.Type)
	}
	return v, Read(p.Embeddable.Attributes, v)
}

// Drawn decodes how the chart is drawn.
func (l Lens) Drawn() (Visualization, error) {
	empty, known := Visualizations[l.VisualizationType]
	if !known {
		return nil, fmt.Errorf("%q is not a kind of chart that is known here", l.VisualizationType)
	}
	v := empty()
	return v, Read(l.State.Visualization, v)
}

// Resolve returns the id of what a reference of that name leads to.
func Resolve(references []Reference, name string) string {
	for _, r := range references {
		if r.Name == name {
			return r.ID
		}
	}
	return ""
}

// LayerReference is the name of the reference to a layer's data view.
func LayerReference(layer string) string { return "indexpattern-datasource-layer-" + layer }

// TextLayerReference is the name of the reference to the data view of a layer in ES|QL.
func TextLayerReference(layer string) string { return "textBasedLanguages-datasource-layer-" + layer }

// Unlinked says of a dashboard's file in which file it is once more, with its links to the others. libbeat's import
// follows references without end where they lead in a circle; it reads the files in the order of their names, and no
// referenced file twice. So each dashboard comes first without links, and then with them.
func Unlinked(name string) (linked string, is bool) {
	stem, json := strings.CutSuffix(name, ".json")
	first := json && !strings.HasSuffix(name, LinkedSuffix)
	return stem + LinkedSuffix, first && path.Base(path.Dir(name)) == "dashboard"
}

// LinkedSuffix is the end of the name of a dashboard's second file, behind its id.
const LinkedSuffix = ".links.json"

// ControlID is the id of the control to which a reference of a dashboard belongs.
func ControlID(reference string) (string, bool) {
	id, ok := strings.CutPrefix(reference, "controlGroup_")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(id, ":optionsListDataView")
}
