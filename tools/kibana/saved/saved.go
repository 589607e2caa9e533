// SPDX-License-Identifier: Apache-2.0

// Package saved has the shapes in which Kibana stores what reconbeat ships: data views, a tag, saved queries,
// dashboards with their panels, detection rules. The generator fills them, and the linter reads the committed files
// back into them, without tolerance for what they do not know.
//
// The shapes are those of Kibana 8.9 to 9.x. Versions that are older than the reader's are migrated by Kibana; newer
// ones it refuses.
package saved

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// CoreVersion is the version of the envelope of every object.
const CoreVersion = "8.8.0"

// Versions are the versions of the types' attributes, the oldest that suffice. Without one Kibana runs every migration
// since 7.x and breaks the panels.
var Versions = map[string]string{"index-pattern": "8.0.0", "tag": "8.0.0", "query": "10.1.0", "dashboard": "10.2.0"}

// Object is a saved object.
type Object struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	CoreVersion string          `json:"coreMigrationVersion"`
	TypeVersion string          `json:"typeMigrationVersion"`
	Attributes  json.RawMessage `json:"attributes"`
	References  []Reference     `json:"references"`
}

// Reference is what an object needs of another one, under a name that is its own.
type Reference struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// DataView is a set of data streams under a name. The strings hold JSON.
type DataView struct {
	Title           string `json:"title"`
	Name            string `json:"name"`
	TimeFieldName   string `json:"timeFieldName"`
	FieldAttrs      string `json:"fieldAttrs"`
	FieldFormatMap  string `json:"fieldFormatMap"`
	Fields          string `json:"fields"`
	RuntimeFieldMap string `json:"runtimeFieldMap"`
	SourceFilters   string `json:"sourceFilters"`
}

// Tag marks objects.
type Tag struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Color       string `json:"color"`
}

// SavedQuery is a query that a user picks from a list.
type SavedQuery struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Query       KQL    `json:"query"`
}

// KQL is a query in the Kibana Query Language.
type KQL struct {
	Language string `json:"language"` // kuery
	Query    string `json:"query"`
}

// Kuery makes a KQL.
func Kuery(q string) KQL { return KQL{Language: "kuery", Query: q} }

// Dashboard is panels on a grid of 48 columns, with a filter and controls over all of them.
type Dashboard struct {
	Title        string       `json:"title"`
	Description  string       `json:"description"`
	Version      int          `json:"version"`
	TimeRestore  bool         `json:"timeRestore"`
	TimeFrom     string       `json:"timeFrom,omitempty"`
	TimeTo       string       `json:"timeTo,omitempty"`
	Options      Options      `json:"optionsJSON"`
	Meta         Meta         `json:"kibanaSavedObjectMeta"`
	ControlGroup ControlGroup `json:"controlGroupInput"`
	Panels       []Panel      `json:"panelsJSON"`
}

// Options is how a dashboard looks.
type Options struct {
	UseMargins      bool `json:"useMargins"`
	SyncColors      bool `json:"syncColors"`
	SyncCursor      bool `json:"syncCursor"`
	SyncTooltips    bool `json:"syncTooltips"`
	HidePanelTitles bool `json:"hidePanelTitles"`
}

// Meta holds a search source.
type Meta struct {
	SearchSource SearchSource `json:"searchSourceJSON"`
}

// SearchSource is a query with filters, of a data view.
type SearchSource struct {
	Query        KQL      `json:"query"`
	Filter       []Filter `json:"filter"`
	IndexRefName string   `json:"indexRefName,omitempty"`
}

// Filter is a filter as Kibana shows it (Meta), and the query that it stands for.
type Filter struct {
	State FilterState    `json:"$state"`
	Meta  FilterMeta     `json:"meta"`
	Query map[string]any `json:"query"`
}

// FilterState says where a filter is kept: appState.
type FilterState struct {
	Store string `json:"store"`
}

// FilterMeta describes a filter: of one value (phrase) or of several (phrases).
type FilterMeta struct {
	Alias        *string         `json:"alias"`
	Disabled     bool            `json:"disabled"`
	Negate       bool            `json:"negate"`
	Type         string          `json:"type"`
	Key          string          `json:"key"`
	Field        string          `json:"field"`
	Params       json.RawMessage `json:"params"`
	IndexRefName string          `json:"indexRefName"`
}

// ControlGroup are the controls above a dashboard. libbeat puts no object into a string here, so that the strings are
// made before.
type ControlGroup struct {
	ControlStyle         string `json:"controlStyle"`
	ChainingSystem       string `json:"chainingSystem"`
	ShowApplySelections  bool   `json:"showApplySelections"`
	IgnoreParentSettings string `json:"ignoreParentSettingsJSON"`
	Panels               string `json:"panelsJSON"` // map[string]Control
}

// Control is a list of a field's values to choose from.
type Control struct {
	Type          string       `json:"type"` // optionsListControl
	Order         int          `json:"order"`
	Width         string       `json:"width"`
	Grow          bool         `json:"grow"`
	ExplicitInput ControlInput `json:"explicitInput"`
}

// ControlInput is what a control is set to.
type ControlInput struct {
	ID              string   `json:"id"`
	FieldName       string   `json:"fieldName"`
	Title           string   `json:"title"`
	SelectedOptions []string `json:"selectedOptions"`
	SearchTechnique string   `json:"searchTechnique"`
	Sort            Sort     `json:"sort"`
}

// Sort is the order of a control's values.
type Sort struct {
	By        string `json:"by"`
	Direction string `json:"direction"`
}

// Panel is a rectangle of a dashboard.
type Panel struct {
	Type       string     `json:"type"` // lens, search, links
	PanelIndex string     `json:"panelIndex"`
	Grid       Grid       `json:"gridData"`
	Title      string     `json:"title"`
	Embeddable Embeddable `json:"embeddableConfig"`
}

// Grid is where a panel stands: columns 0 to 47, rows from 0.
type Grid struct {
	X int    `json:"x"`
	Y int    `json:"y"`
	W int    `json:"w"`
	H int    `json:"h"`
	I string `json:"i"` // the panel's index
}

// Embeddable is what stands in a panel.
type Embeddable struct {
	Enhancements    struct{}        `json:"enhancements"`
	HidePanelTitles bool            `json:"hidePanelTitles"`
	Attributes      json.RawMessage `json:"attributes"` // Lens, Search or Links, by the panel's type
}

// Search is a list of documents.
type Search struct {
	Title             string      `json:"title"`
	Description       string      `json:"description"`
	Columns           []string    `json:"columns"`
	Sort              [][]string  `json:"sort"`
	Grid              struct{}    `json:"grid"`
	HideChart         bool        `json:"hideChart"`
	IsTextBasedQuery  bool        `json:"isTextBasedQuery"`
	TimeRestore       bool        `json:"timeRestore"`
	UsesAdHocDataView bool        `json:"usesAdHocDataView"`
	RowsPerPage       int         `json:"rowsPerPage"`
	Meta              Meta        `json:"kibanaSavedObjectMeta"`
	References        []Reference `json:"references"`
}

// Links lead to other dashboards.
type Links struct {
	Layout string `json:"layout"`
	Links  []Link `json:"links"`
}

// Link leads to a dashboard, or to an address outside.
type Link struct {
	Type               string      `json:"type"` // dashboardLink or externalLink
	ID                 string      `json:"id"`
	Order              int         `json:"order"`
	Label              string      `json:"label"`
	DestinationRefName string      `json:"destinationRefName,omitempty"`
	Destination        string      `json:"destination,omitempty"`
	Options            LinkOptions `json:"options"`
}

// LinkOptions say what a link takes along.
type LinkOptions struct {
	OpenInNewTab        bool `json:"openInNewTab"`
	UseCurrentDateRange bool `json:"useCurrentDateRange"`
	UseCurrentFilters   bool `json:"useCurrentFilters"`
}

// Read decodes JSON into a shape, and refuses what the shape does not have.
func Read(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading a %T: %w", into, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading a %T: something follows it", into)
	}
	return nil
}

// Raw encodes a part of an object.
func Raw(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the shapes of this package have nothing that JSON cannot say
	}
	return bytes.TrimSpace(b.Bytes())
}

// Text encodes a part of an object for a field that holds JSON in a string.
func Text(v any) string { return string(Raw(v)) }
