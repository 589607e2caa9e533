// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/reconbeat/reconbeat/tools/kibana/esql"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// titlePrefix is what Kibana's list of dashboards is searched by.
const titlePrefix = "[Logs Reconbeat] "

// columns is how many columns a dashboard's grid has.
const columns = 48

func (l *linter) dashboard(o saved.Object) {
	var d saved.Dashboard
	if !read(l, o.Attributes, &d) {
		return
	}
	at := l.at
	l.described(d.Title, d.Description)
	if !strings.HasPrefix(d.Title, titlePrefix) {
		l.fault("the title %q does not begin with %q", d.Title, titlePrefix)
	}
	if d.Version != 1 {
		l.fault("version is %d, not 1", d.Version)
	}
	if d.TimeRestore != (d.TimeFrom != "" && d.TimeTo != "") {
		l.fault("timeRestore, timeFrom and timeTo do not fit together")
	}
	used := map[string]bool{} // references by name
	l.filters(o, d, used)
	l.controls(o, d, used)
	titles, indexes := map[string]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		l.at = at + ", panel " + p.PanelIndex
		if p.Title != "" && titles[p.Title] {
			l.fault("another panel has the title %q, too", p.Title)
		}
		if p.PanelIndex == "" || indexes[p.PanelIndex] {
			l.fault("its index is another panel's, too, or empty")
		}
		titles[p.Title], indexes[p.PanelIndex] = true, true
		l.grid(p, d.Panels[:i])
		l.panel(o, p, used)
	}
	l.at = at
	l.links(o)
	for _, r := range o.References {
		if !used[r.Name] && r.Type != "tag" {
			l.fault("nothing uses the reference %s", r.Name)
		}
	}
}

// links wants a dashboard's second file to lead to every other dashboard.
func (l *linter) links(o saved.Object) {
	if !strings.HasSuffix(l.at, saved.LinkedSuffix) {
		linked, _ := saved.Unlinked(l.at)
		if l.files.Objects[linked].ID != o.ID {
			l.fault("there is no %s, which has its links", linked)
		}
		return
	}
	for _, other := range l.files.Objects {
		leads := slices.ContainsFunc(o.References, func(r saved.Reference) bool {
			return r.Type == "dashboard" && r.ID == other.ID
		})
		if other.Type == "dashboard" && other.ID != o.ID && !leads {
			l.fault("no link leads to %s", other.ID)
			return
		}
	}
}

// filters wants the one filter on data_stream.dataset, without which controls offer what other integrations' documents
// have.
func (l *linter) filters(o saved.Object, d saved.Dashboard, used map[string]bool) {
	l.query("the dashboard's query", d.Meta.SearchSource.Query)
	dataset := false
	for _, f := range d.Meta.SearchSource.Filter {
		dataset = dataset || f.Meta.Key == "data_stream.dataset"
		l.known("a filter", f.Meta.Key)
		if f.Meta.Field != f.Meta.Key || !strings.Contains(saved.Text(f.Query), `"`+f.Meta.Key+`"`) {
			l.fault("the filter's field %s, key %s and query do not fit together", f.Meta.Field, f.Meta.Key)
		}
		if f.State.Store != "appState" {
			l.fault("a filter is kept in %q, not in appState", f.State.Store)
		}
		if saved.Resolve(o.References, f.Meta.IndexRefName) == "" {
			l.fault("the filter on %s has no data view", f.Meta.Key)
		}
		used[f.Meta.IndexRefName] = true
	}
	if !dataset {
		l.fault("no filter on data_stream.dataset")
	}
}

func (l *linter) controls(o saved.Object, d saved.Dashboard, used map[string]bool) {
	var ignored map[string]bool
	if err := saved.Read([]byte(d.ControlGroup.IgnoreParentSettings), &ignored); err != nil {
		l.fault("controlGroupInput.ignoreParentSettingsJSON: %w", err)
	}
	var controls map[string]saved.Control
	if err := saved.Read([]byte(d.ControlGroup.Panels), &controls); err != nil {
		l.fault("controlGroupInput.panelsJSON: %w", err)
		return
	}
	if len(controls) == 0 {
		l.fault("no controls")
	}
	for _, id := range slices.Sorted(maps.Keys(controls)) {
		c := controls[id]
		if c.Type != "optionsListControl" || c.ExplicitInput.ID != id || c.ExplicitInput.Title == "" {
			l.fault("the control %s is of the type %q, has the id %q and the title %q", id, c.Type, c.ExplicitInput.ID,
				c.ExplicitInput.Title)
		}
		l.countable("the control "+id, c.ExplicitInput.FieldName)
		name := "controlGroup_" + id + ":optionsListDataView"
		if saved.Resolve(o.References, name) == "" {
			l.fault("the control %s has no data view", id)
		}
		used[name] = true
	}
}

func (l *linter) grid(p saved.Panel, before []saved.Panel) {
	g := p.Grid
	if g.I != p.PanelIndex {
		l.fault("gridData.i is %q", g.I)
	}
	if g.X < 0 || g.Y < 0 || g.W <= 0 || g.H <= 0 || g.X+g.W > columns {
		l.fault("it does not stand on the grid: x %d, y %d, w %d, h %d", g.X, g.Y, g.W, g.H)
	}
	for _, other := range before {
		b := other.Grid
		if g.X < b.X+b.W && b.X < g.X+g.W && g.Y < b.Y+b.H && b.Y < g.Y+g.H {
			l.fault("it lies over the panel %s", other.PanelIndex)
		}
	}
}

func (l *linter) panel(o saved.Object, p saved.Panel, used map[string]bool) {
	content, err := p.Content()
	if err != nil {
		l.fault("%w", err)
		return
	}
	// inside are the references that the panel has within itself. Each must stand in the dashboard, too.
	inside := func(references []saved.Reference) {
		for _, r := range references {
			outer := p.PanelIndex + ":" + r.Name
			used[outer] = true
			if got := saved.Resolve(o.References, outer); got != r.ID {
				l.fault("the reference %s is to %q, in the dashboard to %q", r.Name, r.ID, got)
			}
		}
	}
	switch c := content.(type) {
	case *saved.Lens:
		l.named(p.Title, c.Description)
		inside(c.References)
		l.lens(c)
	case *saved.Search:
		l.named(p.Title, c.Description)
		inside(c.References)
		l.search(c)
	case *saved.Links:
		for _, to := range c.Links {
			outer := p.PanelIndex + ":" + to.DestinationRefName
			if to.Type != "dashboardLink" || to.Label == "" || saved.Resolve(o.References, outer) == "" {
				l.fault("the link %s has no label, or leads nowhere", to.ID)
			}
			used[outer] = true
		}
	}
}

func (l *linter) search(s *saved.Search) {
	source := s.Meta.SearchSource
	l.query("the query", source.Query)
	if source.Query.Query == "" {
		l.fault("no query")
	}
	if saved.Resolve(s.References, source.IndexRefName) == "" {
		l.fault("no data view")
	}
	for _, field := range s.Columns {
		l.known("a column", field)
	}
	for _, by := range s.Sort {
		if len(by) != 2 || by[1] != "asc" && by[1] != "desc" {
			l.fault("it is sorted by %q", by)
			continue
		}
		l.countable("the order", by[0])
	}
}

func (l *linter) lens(c *saved.Lens) {
	if c.Type != "lens" || c.References == nil || c.State.InternalReferences == nil {
		l.fault("the type is %q, or a list of references is missing", c.Type)
	}
	drawn, err := c.Drawn()
	if err != nil {
		l.fault("%w", err)
		return
	}
	if c.State.Query.KQL == nil {
		l.computed(c, drawn)
		return
	}
	l.query("the query", *c.State.Query.KQL)
	if c.State.Query.Query == "" {
		l.fault("no query")
	}
	layers := maps.Clone(c.State.Datasources.FormBased.Layers)
	if len(c.References) != len(layers) {
		l.fault("%d references for %d layers", len(c.References), len(layers))
	}
	for id := range layers {
		if saved.Resolve(c.References, saved.LayerReference(id)) == "" {
			l.fault("the layer %s has no data view", id)
		}
	}
	if xy, ok := drawn.(*saved.XY); ok {
		for _, id := range xy.Lines() {
			l.line(id, layers[id], xy)
			delete(layers, id)
		}
	}
	if len(layers) != 1 || len(c.State.Datasources.TextBased.Layers) > 0 {
		l.fault("%d layers, not one", len(layers)+len(c.State.Datasources.TextBased.Layers))
		return
	}
	for id, layer := range layers {
		l.layer(layer)
		l.drawn(id, layer, drawn)
	}
}

// line checks a line across a chart: a value that is always the same.
func (l *linter) line(id string, layer saved.Layer, xy *saved.XY) {
	for _, drawn := range xy.Layers {
		if drawn.LayerID != id {
			continue
		}
		for _, column := range drawn.Accessors {
			c := layer.Columns[column]
			_, err := strconv.ParseFloat(c.Params.Value, 64)
			if err != nil || c.OperationType != "static_value" || !c.IsStaticValue || c.Label == "" {
				l.fault("the line %s is not a value with a label", id)
			}
		}
	}
}

// computed checks a chart in ES|QL.
func (l *linter) computed(c *saved.Lens, drawn saved.Visualization) {
	layers := c.State.Datasources.TextBased.Layers
	if len(layers) != 1 || len(c.State.Datasources.FormBased.Layers) > 0 || len(c.References) != 1 {
		l.fault("a chart in ES|QL has one layer and one reference")
		return
	}
	for id, layer := range layers {
		view := saved.Resolve(c.References, saved.TextLayerReference(id))
		q, err := esql.Parse(layer.Query.ESQL)
		if err != nil {
			l.fault("%w", err)
			return
		}
		reads := view == layer.Index && l.views[view] == q.Index && l.types.DataType(layer.TimeField) == "date"
		if layer.Query.ESQL != c.State.Query.ESQL || !reads {
			l.fault("the layer %s reads %q by the data view %q and the time %q; its query is not the chart's, "+
				"or reads something else", id, q.Index, view, layer.TimeField)
		}
		for _, field := range q.Fields() {
			l.countable("the query", field)
		}
		stored := saved.Layer{Columns: map[string]saved.Column{}}
		for _, column := range layer.Columns {
			if !slices.Contains(q.Columns, column.FieldName) {
				l.fault("the column %s is of %q, which the query does not return", column.ColumnID, column.FieldName)
			}
			stored.ColumnOrder = append(stored.ColumnOrder, column.ColumnID)
			stored.Columns[column.ColumnID] = saved.Column{IsBucketed: !column.InMetricDimension}
		}
		l.drawn(id, stored, drawn)
	}
}

// layer checks the columns.
func (l *linter) layer(layer saved.Layer) {
	if !slices.Equal(slices.Sorted(slices.Values(layer.ColumnOrder)), slices.Sorted(maps.Keys(layer.Columns))) {
		l.fault("columnOrder %q has not the columns %q", layer.ColumnOrder, slices.Sorted(maps.Keys(layer.Columns)))
	}
	metric := ""
	for _, id := range layer.ColumnOrder {
		c := layer.Columns[id]
		if !c.IsBucketed {
			metric = id
		} else if metric != "" {
			l.fault("the column %s parts the documents behind the value %s", id, metric)
		}
		l.column(id, c, layer)
	}
}

// operation is what an operation asks of its column.
type operation struct {
	bucketed bool
	scale    string   // empty: by the type of the field
	of       []string // types of fields as Lens calls them; nil: all that can be counted
	result   string   // type of its values; empty: the field's
}

var operations = map[string]operation{
	"terms":          {bucketed: true, scale: "ordinal"},
	"date_histogram": {bucketed: true, scale: "interval", of: []string{"date"}},
	"filters":        {bucketed: true, scale: "ordinal", result: "string"},
	"count":          {scale: "ratio", result: "number"},
	"unique_count":   {scale: "ratio", result: "number"},
	"sum":            {scale: "ratio", of: []string{"number"}},
	"min":            {scale: "ratio", of: []string{"number", "date"}},
	"max":            {scale: "ratio", of: []string{"number", "date"}},
	"percentile":     {scale: "ratio", of: []string{"number"}},
	"last_value":     {},
}

func (l *linter) column(id string, c saved.Column, layer saved.Layer) {
	what := "the column " + id
	op, known := operations[c.OperationType]
	if !known {
		l.fault("%s has the operation %q, which is not known here", what, c.OperationType)
		return
	}
	if strings.TrimSpace(c.Label) == "" || !c.CustomLabel {
		l.fault("%s has no label of its own", what)
	}
	if c.Filter != nil {
		l.query("the filter of "+what, *c.Filter)
	}
	of := l.types.DataType(c.SourceField)
	switch c.OperationType {
	case "filters":
		if len(c.Params.Filters) == 0 || c.SourceField != "" {
			l.fault("%s has a field, or no filters", what)
		}
		for _, f := range c.Params.Filters {
			l.query("the part "+f.Label+" of "+what, f.Input)
		}
	case "count":
		if c.SourceField != "___records___" {
			l.fault("%s counts %q, not ___records___", what, c.SourceField)
		}
	default:
		l.countable(what, c.SourceField)
		if op.of != nil && of != "" && !slices.Contains(op.of, of) {
			l.fault("%s: %s of %s, which is %s", what, c.OperationType, c.SourceField, l.types[c.SourceField])
		}
	}
	result, scale := op.result, op.scale
	if result == "" {
		result = of
	}
	if scale == "" {
		scale = map[bool]string{true: "ordinal", false: "ratio"}[of == "string"]
	}
	if c.IsBucketed != op.bucketed || c.Scale != scale || of != "" && c.DataType != result {
		l.fault("%s is of the type %q and the scale %q, parts the documents: %t; a %s of %s does not", what, c.DataType,
			c.Scale, c.IsBucketed, c.OperationType, c.SourceField)
	}
	l.params(id, what, c, layer)
}

// params checks what each operation needs.
func (l *linter) params(id, what string, c saved.Column, layer saved.Layer) {
	p := c.Params
	switch c.OperationType {
	case "terms":
		if p.Size <= 0 || p.OrderDirection != "asc" && p.OrderDirection != "desc" || p.OrderBy == nil {
			l.fault("%s has no size or no order", what)
			return
		}
		if p.OrderBy.Type == "alphabetical" && p.OrderBy.ColumnID == "" {
			return
		}
		by, exists := layer.Columns[p.OrderBy.ColumnID]
		if p.OrderBy.Type == "custom" && p.OrderAgg != nil {
			by, exists = *p.OrderAgg, true
			l.column(id+"'s order", by, layer)
		} else if p.OrderBy.Type != "column" {
			exists = false
		}
		// Each shard names its own first values. What is highest somewhere is among the highest there; what is lowest
		// on one shard may be high on another.
		right := map[bool]string{true: "asc", false: "desc"}[by.OperationType == "min"]
		if exists && p.OrderDirection != right {
			l.fault("%s is ordered by a %s, %s: over several shards that is wrong; ask in ES|QL",
				what, by.OperationType, p.OrderDirection)
		}
		unordered := []string{"last_value", "percentile"}
		if !exists || by.IsBucketed || by.Filter != nil || slices.Contains(unordered, by.OperationType) {
			l.fault("%s is ordered by %q, which is not a value that one can order by", what, p.OrderBy.ColumnID)
		}
	case "date_histogram":
		if p.Interval == "" {
			l.fault("%s has no interval", what)
		}
	case "percentile":
		if p.Percentile <= 0 || p.Percentile >= 100 {
			l.fault("%s is the percentile %d", what, p.Percentile)
		}
	case "last_value":
		if l.types.DataType(p.SortField) != "date" || p.ShowArrayValues == nil || c.Filter == nil {
			l.fault("%s is the last by %q; it needs a date, showArrayValues and a filter", what, p.SortField)
		}
	}
}

// drawn holds how the chart is drawn against its columns.
func (l *linter) drawn(id string, layer saved.Layer, v saved.Visualization) {
	of, buckets, metrics := v.Roles()
	if of != id {
		l.fault("the layer %q is drawn, not %s", of, id)
		return
	}
	shown := map[string]bool{}
	for i, column := range slices.Concat(buckets, metrics) {
		c, exists := layer.Columns[column]
		switch parts := i < len(buckets); {
		case !exists:
			l.fault("the column %q is drawn, which does not exist", column)
		case c.IsBucketed != parts:
			l.fault("the column %s is drawn in the other role", column)
		case shown[column]:
			l.fault("the column %s is drawn twice", column)
		}
		shown[column] = true
	}
	for _, column := range layer.ColumnOrder {
		if !shown[column] {
			l.fault("the column %s is not drawn", column)
		}
	}
	if t, ok := v.(*saved.Table); ok && !shown[t.Sorting.ColumnID] {
		l.fault("it is sorted by the column %q, which it does not have", t.Sorting.ColumnID)
	}
}
