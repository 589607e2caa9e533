// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"

	"github.com/reconbeat/reconbeat/tools/kibana/fields"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// dashboard is a dashboard as a person thinks of it; object makes of it what Kibana stores.
type dashboard struct {
	id, title, description string
	from                   string   // the range of time that it opens with; empty: the one that is set
	datasets               []string // of which the documents come; the controls offer no others' values
	controls               []control
	rows                   []row
}

// row is panels beside one another.
type row struct {
	height int
	panels []panel
}

// control is a list of a field's values above the dashboard, of which the user picks.
type control struct {
	id, title, field string
	view             dataView
}

// frame is what every panel has.
type frame struct {
	id, title, description string
	width                  int // of 48 columns
}

// panel is one of the kinds below. It says what stands in it and what that refers to.
type panel interface {
	about() frame
	kind() string // Kibana's word
	content(fields.Types) (attributes any, references []saved.Reference)
}

func (f frame) about() frame { return f }

// chart is what the kinds of chart share: whose documents they count, and how these are computed.
type chart struct {
	frame
	view    dataView
	query   string // in KQL
	columns []column
}

func (chart) kind() string { return "lens" }

// metric is one number, of one column.
type metric struct {
	chart
	subtitle string
}

// table is a table of its columns: first those that part the documents, then values.
type table struct {
	chart
	sort   string // the column by which it is ordered
	upward bool
	rows   int
}

// bars are bars over the first column, parted by the second where that parts, as high as the values.
type bars struct {
	chart
	series string // bar_stacked, line ...
	line   *line  // across the bars; nil: none
}

// line is a value that bars are held against.
type line struct {
	label string
	value int
}

// heatmap is a value over two columns: the first to the right, the second upward. Its colours begin at the scale's
// values; without a scale they are fifths of the highest value.
type heatmap struct {
	chart
	scale []shade
}

// shade is the colour of values from one on.
type shade struct {
	from  float64
	color string
}

// palette is the scale as Lens has it.
func palette(scale []shade, highest float64) *saved.Palette {
	if len(scale) == 0 {
		return nil
	}
	b := &saved.Borders{Name: "custom", RangeType: "number", RangeMin: scale[0].from, Continuity: "above",
		Progression: "fixed", Steps: len(scale)}
	for i, s := range scale {
		end := highest
		if i+1 < len(scale) {
			end = scale[i+1].from
		}
		b.ColorStops = append(b.ColorStops, saved.Stop{Color: s.color, Stop: s.from})
		b.Stops = append(b.Stops, saved.Stop{Color: s.color, Stop: end})
	}
	return &saved.Palette{Type: "palette", Name: "custom", Params: b}
}

// list is the documents themselves, those first that have most of the field by.
type list struct {
	frame
	view   dataView
	query  string
	by     string
	fields []string
}

// computed is what an ES|QL query returns: a table, or one number where it has one column. It is for what terms get
// wrong: package esql says why.
type computed struct {
	frame
	view    dataView
	esql    string
	columns []result
	sort    string
	upward  bool
	rows    int
}

// result is a column of what an ES|QL query returns, by the name that it has there.
type result struct{ name, label, esType string }

// links lead to the other dashboards.
type links struct {
	frame
	to []link
}

type link struct{ dashboard, label string }

// column is a column of a chart, by an id that is unique in it.
type column struct {
	id string
	saved.Column
}

func ptr[T any](v T) *T { return &v }

func value(id, label, operation, field string) column {
	return column{
		id,
		saved.Column{
			Label:         label,
			CustomLabel:   true,
			DataType:      "number",
			OperationType: operation,
			Scale:         "ratio",
			SourceField:   field,
			Params:        saved.ColumnParams{EmptyAsNull: ptr(false)},
		},
	} // none is shown as 0
}

// count counts documents.
func count(id, label string) column { return value(id, label, "count", "___records___") }

// unique counts different values.
func unique(id, label, field string) column { return value(id, label, "unique_count", field) }

// sum adds up.
func sum(id, label, field string) column { return value(id, label, "sum", field) }

// most is the highest value: of @timestamp, when something was last seen.
func most(id, label, field string) column { return value(id, label, "max", field) }

// least is the lowest value.
func least(id, label, field string) column { return value(id, label, "min", field) }

// percentile is the value that so many of a hundred are not above.
func percentile(id, label, field string, p int) column {
	c := value(id, label, "percentile", field)
	c.Params = saved.ColumnParams{Percentile: p}
	return c
}

// latest is the value of the newest document that has the field.
func latest(id, label, field string) column {
	c := value(id, label, "last_value", field)
	c.Filter = ptr(saved.Kuery(field + ":*"))
	c.Params = saved.ColumnParams{SortField: "@timestamp", ShowArrayValues: ptr(false)}
	return c
}

// latestOf is latest of a field that is a list.
func latestOf(id, label, field string) column {
	c := latest(id, label, field)
	c.Params.ShowArrayValues = ptr(true)
	return c
}

// where counts, or computes, only of the documents that a query finds.
func (c column) where(query string) column {
	c.Filter = ptr(saved.Kuery(query))
	return c
}

// decimals shows so many digits behind the point, and what the number is of.
func (c column) decimals(n int, suffix string) column {
	c.Params.Format = &saved.Format{ID: "number", Params: &saved.FormatParams{Decimals: n, Suffix: suffix}}
	return c
}

// by parts the documents by the values of a field: the size values that have most of what the column orderBy counts.
func by(id, label, field string, size int, orderBy string) column {
	return column{
		id,
		saved.Column{
			Label:         label,
			CustomLabel:   true,
			IsBucketed:    true,
			OperationType: "terms",
			Scale:         "ordinal",
			SourceField:   field,
			Params: saved.ColumnParams{
				Size:           size,
				OrderBy:        &saved.OrderBy{Type: "column", ColumnID: orderBy},
				OrderDirection: "desc",
				OtherBucket:    ptr(false),
				MissingBucket:  ptr(false),
				ParentFormat:   &saved.Format{ID: "terms"},
			},
		},
	}
}

// orNone takes in the documents that have not the field.
func (c column) orNone() column {
	c.Params.MissingBucket = ptr(true)
	return c
}

// first keeps one value, the one with most of another field, which need be no column of its own.
func first(id, label, field string, most column) column {
	c := by(id, label, field, 1, "")
	c.Params.OrderBy = &saved.OrderBy{Type: "custom"}
	c.Params.OrderAgg = &most.Column
	return c
}

// inOrder parts the documents by the values of a field, in alphabetical order.
func inOrder(id, label, field string, size int) column {
	c := by(id, label, field, size, "")
	c.Params.OrderBy, c.Params.OrderDirection = &saved.OrderBy{Type: "alphabetical", Fallback: ptr(false)}, "asc"
	return c
}

// overTime parts the documents by time.
func overTime() column {
	return column{
		"time",
		saved.Column{
			Label:         "Time",
			CustomLabel:   true,
			DataType:      "date",
			IsBucketed:    true,
			OperationType: "date_histogram",
			Scale:         "interval",
			SourceField:   "@timestamp",
			Params:        saved.ColumnParams{Interval: "auto", IncludeEmptyRows: ptr(true), DropPartials: ptr(false)},
		},
	}
}

// part is a label and the query of the documents that it stands for.
type part struct{ label, query string }

// parts parts the documents by queries.
func parts(id, label string, of ...part) column {
	c := column{
		id,
		saved.Column{
			Label:         label,
			CustomLabel:   true,
			DataType:      "string",
			IsBucketed:    true,
			OperationType: "filters",
			Scale:         "ordinal",
		},
	}
	for _, p := range of {
		c.Params.Filters = append(c.Params.Filters, saved.LabelledFilter{Label: p.label, Input: saved.Kuery(p.query)})
	}
	return c
}

// layer is the name of a chart's one layer: its panel's id, so that a reference names the panel.
func (c chart) layer() string { return c.id }

// lens makes the chart's state.
func (c chart) lens(types fields.Types, visualization string, drawn any) (any, []saved.Reference) {
	l := saved.Layer{Columns: map[string]saved.Column{}, Sampling: 1}
	for _, col := range c.columns {
		stored := col.Column
		switch stored.OperationType {
		case "terms", "last_value", "min", "max":
			stored.DataType = types.DataType(stored.SourceField)
		}
		if agg := stored.Params.OrderAgg; agg != nil {
			agg.DataType = types.DataType(agg.SourceField)
		}
		if stored.OperationType == "last_value" && stored.DataType == "string" {
			stored.Scale = "ordinal"
		}
		l.ColumnOrder = append(l.ColumnOrder, col.id)
		l.Columns[col.id] = stored
	}
	references := []saved.Reference{
		{Type: "index-pattern", ID: c.view.id, Name: "indexpattern-datasource-layer-" + c.layer()},
	}
	return saved.Lens{
		Title:             c.title,
		Description:       c.description,
		Type:              "lens",
		VisualizationType: visualization,
		References:        references,
		State: saved.LensState{
			Query:   saved.LensQuery{KQL: ptr(saved.Kuery(c.query))},
			Filters: []saved.Filter{}, InternalReferences: []saved.Reference{},
			Datasources: saved.Datasources{
				FormBased: saved.FormBased{Layers: map[string]saved.Layer{c.layer(): l}},
				TextBased: saved.TextBased{Layers: map[string]saved.TextLayer{}},
			},
			Visualization: saved.Raw(drawn),
		},
	}, references
}

func (m metric) content(types fields.Types) (any, []saved.Reference) {
	return m.lens(types, "lnsMetric",
		saved.Metric{LayerID: m.layer(), LayerType: "data", MetricAccessor: m.columns[0].id, Subtitle: m.subtitle})
}

func (t table) content(types fields.Types) (any, []saved.Reference) {
	v := saved.Table{LayerID: t.layer(), LayerType: "data", Sorting: saved.Sorting{ColumnID: t.sort, Direction: "desc"},
		Paging: saved.Paging{Enabled: true, Size: t.rows}, RowHeight: "single"}
	if t.upward {
		v.Sorting.Direction = "asc"
	}
	for _, c := range t.columns {
		v.Columns = append(v.Columns,
			saved.TableColumn{ColumnID: c.id, IsMetric: !c.IsBucketed, OneClickFilter: c.OperationType == "terms"})
	}
	return t.lens(types, "lnsDatatable", v)
}

func (b bars) content(types fields.Types) (any, []saved.Reference) {
	l := saved.XYLayer{
		LayerID:    b.layer(),
		LayerType:  "data",
		SeriesType: b.series,
		Position:   "top",
		XAccessor:  b.columns[0].id,
	}
	for _, c := range b.columns[1:] {
		if c.IsBucketed {
			l.SplitAccessor = c.id
			if c.OperationType == "filters" {
				l.Palette = &saved.Palette{Type: "palette", Name: "status"} // they go from good to bad
			}
			if c.Params.Size == 1 {
				l.CollapseFn = "max" // the one value is a choice, not a colour
			}
		} else {
			l.Accessors = append(l.Accessors, c.id)
		}
	}
	several := len(l.Accessors) > 1 || l.SplitAccessor != "" && l.CollapseFn == ""
	drawn := saved.XY{PreferredSeriesType: b.series,
		Legend:      saved.Legend{IsVisible: several, Position: "right", LegendSize: "large"},
		ValueLabels: "hide", FittingFunction: "None", Layers: []saved.XYLayer{l}}
	if b.line == nil {
		return b.lens(types, "lnsXY", drawn)
	}
	drawn.Layers = append(drawn.Layers, saved.XYLayer{
		LayerID: b.lineLayer(), LayerType: saved.ReferenceLine, Accessors: []string{"line"},
		YConfig: []saved.YStyle{{ForAccessor: "line", AxisMode: "left", Color: "#BD271E", LineStyle: "dashed",
			LineWidth: 2, Fill: "none", TextVisibility: true}},
	})
	attributes, _ := b.lens(types, "lnsXY", drawn)
	lens := attributes.(saved.Lens) // lens makes one
	value := saved.Column{Label: b.line.label, CustomLabel: true, DataType: "number", OperationType: "static_value",
		Scale: "ratio", IsStaticValue: true, References: []string{},
		Params: saved.ColumnParams{Value: strconv.Itoa(b.line.value)}}
	lens.State.Datasources.FormBased.Layers[b.lineLayer()] = saved.Layer{
		Sampling: 1, ColumnOrder: []string{"line"}, Columns: map[string]saved.Column{"line": value}}
	lens.References = append(lens.References, saved.Reference{
		Type: "index-pattern", ID: b.view.id, Name: saved.LayerReference(b.lineLayer())})
	return lens, lens.References
}

// lineLayer is the name of the layer that is the line.
func (b bars) lineLayer() string { return b.id + "-line" }

func (computed) kind() string { return "lens" }

func (c computed) content(fields.Types) (any, []saved.Reference) {
	query := saved.LensQuery{ESQL: c.esql}
	l := saved.TextLayer{Index: c.view.id, Query: query, TimeField: "@timestamp"}
	kind, drawn := "lnsMetric", any(saved.Metric{LayerID: c.id, LayerType: "data", MetricAccessor: c.columns[0].name})
	direction := map[bool]string{true: "asc", false: "desc"}[c.upward]
	t := saved.Table{LayerID: c.id, LayerType: "data", Sorting: saved.Sorting{ColumnID: c.sort, Direction: direction},
		Paging: saved.Paging{Enabled: true, Size: c.rows}, RowHeight: "single"}
	for _, r := range c.columns {
		meta := saved.TextMeta{Type: map[string]string{"keyword": "string", "date": "date"}[r.esType], ESType: r.esType}
		if meta.Type == "" {
			meta.Type = "number"
		}
		metric := r.esType != "keyword"
		l.Columns = append(l.Columns, saved.TextColumn{ColumnID: r.name, FieldName: r.name, Label: r.label,
			CustomLabel: true, Meta: meta, InMetricDimension: metric})
		t.Columns = append(t.Columns, saved.TableColumn{ColumnID: r.name, IsMetric: metric, OneClickFilter: !metric})
	}
	if c.sort != "" {
		kind, drawn = "lnsDatatable", t
	}
	references := []saved.Reference{{Type: "index-pattern", ID: c.view.id, Name: saved.TextLayerReference(c.id)}}
	state := saved.LensState{
		Query: query, Filters: []saved.Filter{}, InternalReferences: []saved.Reference{},
		Datasources: saved.Datasources{
			FormBased: saved.FormBased{Layers: map[string]saved.Layer{}},
			TextBased: saved.TextBased{Layers: map[string]saved.TextLayer{c.id: l}},
		},
		Visualization: saved.Raw(drawn),
	}
	return saved.Lens{Title: c.title, Description: c.description, Type: "lens", VisualizationType: kind,
		References: references, State: state}, references
}

func (h heatmap) content(types fields.Types) (any, []saved.Reference) {
	return h.lens(types, "lnsHeatmap", saved.Heatmap{Shape: "heatmap", LayerID: h.layer(), LayerType: "data",
		XAccessor: h.columns[0].id, YAccessor: h.columns[1].id, ValueAccessor: h.columns[2].id,
		Palette:    palette(h.scale, 100),
		GridConfig: saved.GridConfig{Type: "heatmap_grid", IsXAxisLabelVisible: true, IsYAxisLabelVisible: true},
		Legend:     saved.Legend{Type: "heatmap_legend", IsVisible: true, Position: "right", LegendSize: "medium"}})
}

func (list) kind() string { return "search" }

func (l list) content(fields.Types) (any, []saved.Reference) {
	const name = "kibanaSavedObjectMeta.searchSourceJSON.index"
	references := []saved.Reference{{Type: "index-pattern", ID: l.view.id, Name: name}}
	return saved.Search{
		Title:       l.title,
		Description: l.description,
		Columns:     l.fields,
		Sort:        [][]string{{l.by, "desc"}},
		HideChart:   true,
		RowsPerPage: 25,
		Meta: saved.Meta{
			SearchSource: saved.SearchSource{Query: saved.Kuery(l.query), Filter: []saved.Filter{}, IndexRefName: name},
		},
		References: references,
	}, references
}

func (links) kind() string { return "links" }

func (l links) content(fields.Types) (any, []saved.Reference) {
	v := saved.Links{Layout: "horizontal"}
	var references []saved.Reference
	for i, to := range l.to {
		name := "link_" + to.dashboard + "_dashboard"
		v.Links = append(
			v.Links,
			saved.Link{Type: "dashboardLink", ID: to.dashboard, Order: i, Label: to.label, DestinationRefName: name,
				Options: saved.LinkOptions{UseCurrentDateRange: true, UseCurrentFilters: true}},
		)
		references = append(references, saved.Reference{Type: "dashboard", ID: to.dashboard, Name: name})
	}
	return v, references
}

// object makes the dashboard as it is stored, with or without its links to the others.
func (d dashboard) object(types fields.Types, linked bool) saved.Object {
	const filter = "kibanaSavedObjectMeta.searchSourceJSON.filter[0].meta.index"
	references := []saved.Reference{{Type: "index-pattern", ID: d.controls[0].view.id, Name: filter}}
	controls := map[string]saved.Control{}
	for i, c := range d.controls {
		controls[c.id] = saved.Control{
			Type:  "optionsListControl",
			Order: i,
			Width: "medium",
			Grow:  true,
			ExplicitInput: saved.ControlInput{
				ID:              c.id,
				FieldName:       c.field,
				Title:           c.title,
				SelectedOptions: []string{},
				SearchTechnique: "prefix",
				Sort:            saved.Sort{By: "_count", Direction: "desc"},
			},
		}
		references = append(references, saved.Reference{
			Type: "index-pattern",
			ID:   c.view.id,
			Name: "controlGroup_" + c.id + ":optionsListDataView",
		})
	}
	var panels []saved.Panel
	y := 0
	rows := d.rows
	if linked {
		rows = append([]row{{3, []panel{linksFrom(d.id)}}}, rows...)
	}
	for _, r := range rows {
		x := 0
		for _, p := range r.panels {
			f := p.about()
			attributes, refers := p.content(types)
			panels = append(panels, saved.Panel{
				Type:       p.kind(),
				PanelIndex: f.id,
				Grid:       saved.Grid{X: x, Y: y, W: f.width, H: r.height, I: f.id},
				Title:      f.title,
				Embeddable: saved.Embeddable{HidePanelTitles: f.title == "", Attributes: saved.Raw(attributes)},
			})
			for _, ref := range refers {
				ref.Name = f.id + ":" + ref.Name
				references = append(references, ref)
			}
			x += f.width
		}
		y += r.height
	}
	references = append(references, saved.Reference{Type: "tag", ID: tag.ID, Name: "tag-ref-" + tag.ID})
	return object("dashboard", d.id, saved.Dashboard{
		Title:       d.title,
		Description: d.description,
		Version:     1,
		TimeRestore: d.from != "",
		TimeFrom:    d.from,
		TimeTo:      map[bool]string{true: "now"}[d.from != ""],
		Options:     saved.Options{UseMargins: true, SyncColors: true, SyncCursor: true, SyncTooltips: true},
		Meta: saved.Meta{
			SearchSource: saved.SearchSource{
				Query:  saved.Kuery(""),
				Filter: []saved.Filter{ofDatasets(d.datasets, filter)},
			},
		},
		ControlGroup: saved.ControlGroup{
			ControlStyle:   "oneLine",
			ChainingSystem: "HIERARCHICAL",
			Panels:         saved.Text(controls),
			IgnoreParentSettings: `{"ignoreFilters":false,"ignoreQuery":false,"ignoreTimerange":false,` +
				`"ignoreValidations":false}`,
		},
		Panels: panels,
	}, references...)
}

// ofDatasets is the filter that lets the documents of some data sets through.
func ofDatasets(datasets []string, reference string) saved.Filter {
	const field = "data_stream.dataset"
	f := saved.Filter{
		State: saved.FilterState{Store: "appState"},
		Meta:  saved.FilterMeta{Type: "phrase", Key: field, Field: field, IndexRefName: reference},
	}
	if len(datasets) == 1 {
		f.Meta.Params = saved.Raw(map[string]string{"query": datasets[0]})
		f.Query = map[string]any{"match_phrase": map[string]string{field: datasets[0]}}
		return f
	}
	f.Meta.Type, f.Meta.Params = "phrases", saved.Raw(datasets)
	var should []any
	for _, d := range datasets {
		should = append(should, map[string]any{"match_phrase": map[string]string{field: d}})
	}
	f.Query = map[string]any{"bool": map[string]any{"should": should, "minimum_should_match": 1}}
	return f
}

func object(kind, id string, attributes any, references ...saved.Reference) saved.Object {
	version, known := saved.Versions[kind]
	if !known {
		panic(fmt.Sprintf("no version is known of the type %s", kind))
	}
	if references == nil {
		references = []saved.Reference{}
	}
	return saved.Object{
		ID:          id,
		Type:        kind,
		CoreVersion: saved.CoreVersion,
		TypeVersion: version,
		Attributes:  saved.Raw(attributes),
		References:  references,
	}
}
