// SPDX-License-Identifier: Apache-2.0

package saved

import "encoding/json"

// Lens is a chart: columns that are computed from the documents of a data view, and how they are drawn.
type Lens struct {
	Title             string      `json:"title"`
	Description       string      `json:"description"`
	Type              string      `json:"type"` // lens
	VisualizationType string      `json:"visualizationType"`
	References        []Reference `json:"references"`
	State             LensState   `json:"state"`
}

// LensState is the state of a chart.
type LensState struct {
	Query              LensQuery       `json:"query"`
	Filters            []Filter        `json:"filters"`
	AdHocDataViews     struct{}        `json:"adHocDataViews"`
	InternalReferences []Reference     `json:"internalReferences"`
	Datasources        Datasources     `json:"datasourceStates"`
	Visualization      json.RawMessage `json:"visualization"` // of a type in Visualizations
}

// LensQuery is what a chart asks: in KQL, or in ES|QL.
type LensQuery struct {
	*KQL
	ESQL string `json:"esql,omitempty"`
}

// Datasources are the layers of a chart: formBased, or textBased for a chart in ES|QL. The others are in what Kibana
// exports.
type Datasources struct {
	FormBased    FormBased `json:"formBased"`
	IndexPattern struct {
		Layers struct{} `json:"layers"`
	} `json:"indexpattern"`
	TextBased TextBased `json:"textBased"`
}

// TextBased are layers in ES|QL by their ids.
type TextBased struct {
	Layers map[string]TextLayer `json:"layers"`
}

// TextLayer is an ES|QL query, and those of its columns that are drawn.
type TextLayer struct {
	Index     string       `json:"index"` // the id of the data view
	Query     LensQuery    `json:"query"`
	Columns   []TextColumn `json:"columns"`
	TimeField string       `json:"timeField"` // the dashboard's range of time is of this
}

// TextColumn is a column of what an ES|QL query returns.
type TextColumn struct {
	ColumnID          string   `json:"columnId"`
	FieldName         string   `json:"fieldName"` // its name in the query
	Label             string   `json:"label"`
	CustomLabel       bool     `json:"customLabel"`
	Meta              TextMeta `json:"meta"`
	InMetricDimension bool     `json:"inMetricDimension,omitempty"`
}

// TextMeta is the type of a column: Lens's word, and Elasticsearch's.
type TextMeta struct {
	Type   string `json:"type"`
	ESType string `json:"esType"`
}

// FormBased are layers by their ids.
type FormBased struct {
	Layers map[string]Layer `json:"layers"`
}

// Layer is a set of columns: those that part the documents come first, the outermost before the others.
type Layer struct {
	ColumnOrder         []string          `json:"columnOrder"`
	Columns             map[string]Column `json:"columns"`
	IncompleteColumns   struct{}          `json:"incompleteColumns"`
	Sampling            int               `json:"sampling"`
	IgnoreGlobalFilters bool              `json:"ignoreGlobalFilters"`
}

// Column is one operation on a field.
type Column struct {
	Label         string       `json:"label"`
	CustomLabel   bool         `json:"customLabel"`
	DataType      string       `json:"dataType"`
	IsBucketed    bool         `json:"isBucketed"`
	OperationType string       `json:"operationType"`
	Scale         string       `json:"scale"`
	SourceField   string       `json:"sourceField,omitempty"`
	IsStaticValue bool         `json:"isStaticValue,omitempty"` // static_value
	References    []string     `json:"references,omitzero"`     // static_value, which has none
	Filter        *KQL         `json:"filter,omitempty"`
	Params        ColumnParams `json:"params"`
}

// ColumnParams are the settings of an operation; each uses some of them.
type ColumnParams struct {
	Size             int              `json:"size,omitempty"`             // terms
	OrderBy          *OrderBy         `json:"orderBy,omitempty"`          // terms
	OrderAgg         *Column          `json:"orderAgg,omitempty"`         // terms, ordered by what no column shows
	OrderDirection   string           `json:"orderDirection,omitempty"`   // terms
	OtherBucket      *bool            `json:"otherBucket,omitempty"`      // terms
	MissingBucket    *bool            `json:"missingBucket,omitempty"`    // terms
	ParentFormat     *Format          `json:"parentFormat,omitempty"`     // terms
	Interval         string           `json:"interval,omitempty"`         // date_histogram
	IncludeEmptyRows *bool            `json:"includeEmptyRows,omitempty"` // date_histogram
	DropPartials     *bool            `json:"dropPartials,omitempty"`     // date_histogram
	Filters          []LabelledFilter `json:"filters,omitempty"`          // filters
	EmptyAsNull      *bool            `json:"emptyAsNull,omitempty"`      // metrics
	Percentile       int              `json:"percentile,omitempty"`       // percentile
	SortField        string           `json:"sortField,omitempty"`        // last_value
	ShowArrayValues  *bool            `json:"showArrayValues,omitempty"`  // last_value
	Format           *Format          `json:"format,omitempty"`           // metrics
	Value            string           `json:"value,omitempty"`            // static_value
}

// OrderBy is what values are ordered by.
type OrderBy struct {
	Type     string `json:"type"` // column, alphabetical or custom
	ColumnID string `json:"columnId,omitempty"`
	Fallback *bool  `json:"fallback,omitempty"` // alphabetical
}

// Format is how a value is shown.
type Format struct {
	ID     string        `json:"id"`
	Params *FormatParams `json:"params,omitempty"`
}

// FormatParams are the settings of a Format.
type FormatParams struct {
	Decimals int    `json:"decimals"`
	Suffix   string `json:"suffix,omitempty"`
}

// LabelledFilter is one of several queries that part the documents.
type LabelledFilter struct {
	Label string `json:"label"`
	Input KQL    `json:"input"`
}

// Visualizations makes an empty state of each kind of chart.
var Visualizations = map[string]func() Visualization{
	"lnsMetric":    func() Visualization { return &Metric{} },
	"lnsDatatable": func() Visualization { return &Table{} },
	"lnsXY":        func() Visualization { return &XY{} },
	"lnsHeatmap":   func() Visualization { return &Heatmap{} },
}

// Visualization is how a chart is drawn.
type Visualization interface {
	// Roles returns the layer that is drawn, and its columns: those that must part the documents, and those that must
	// be values.
	Roles() (layer string, buckets, metrics []string)
}

// Metric is one number.
type Metric struct {
	LayerID        string `json:"layerId"`
	LayerType      string `json:"layerType"`
	MetricAccessor string `json:"metricAccessor"`
	Subtitle       string `json:"subtitle,omitempty"`
}

// Roles is Visualization's.
func (v *Metric) Roles() (layer string, buckets, metrics []string) {
	return v.LayerID, nil, []string{v.MetricAccessor}
}

// Table is a table.
type Table struct {
	LayerID   string        `json:"layerId"`
	LayerType string        `json:"layerType"`
	Columns   []TableColumn `json:"columns"`
	Sorting   Sorting       `json:"sorting"`
	Paging    Paging        `json:"paging"`
	RowHeight string        `json:"rowHeight"`
}

// TableColumn is a column of a table.
type TableColumn struct {
	ColumnID       string `json:"columnId"`
	IsMetric       bool   `json:"isMetric"`
	IsTransposed   bool   `json:"isTransposed"`
	OneClickFilter bool   `json:"oneClickFilter,omitempty"`
}

// Sorting is a table's order.
type Sorting struct {
	ColumnID  string `json:"columnId"`
	Direction string `json:"direction"`
}

// Paging is how many rows a table shows.
type Paging struct {
	Enabled bool `json:"enabled"`
	Size    int  `json:"size"`
}

// Roles is Visualization's.
func (v *Table) Roles() (layer string, buckets, metrics []string) {
	for _, c := range v.Columns {
		if c.IsMetric {
			metrics = append(metrics, c.ColumnID)
		} else {
			buckets = append(buckets, c.ColumnID)
		}
	}
	return v.LayerID, buckets, metrics
}

// XY is bars or lines over an axis.
type XY struct {
	PreferredSeriesType string    `json:"preferredSeriesType"`
	Legend              Legend    `json:"legend"`
	ValueLabels         string    `json:"valueLabels"`
	FittingFunction     string    `json:"fittingFunction"`
	Layers              []XYLayer `json:"layers"`
}

// Legend is a chart's legend.
type Legend struct {
	Type       string `json:"type,omitempty"`
	IsVisible  bool   `json:"isVisible"`
	Position   string `json:"position"`
	LegendSize string `json:"legendSize"` // its width: medium has room for a range of numbers, large for a name
}

// XYLayer is one set of bars or lines.
type XYLayer struct {
	LayerID       string   `json:"layerId"`
	LayerType     string   `json:"layerType"`
	SeriesType    string   `json:"seriesType"`
	XAccessor     string   `json:"xAccessor"`
	Accessors     []string `json:"accessors"`
	SplitAccessor string   `json:"splitAccessor,omitempty"`
	CollapseFn    string   `json:"collapseFn,omitempty"` // makes one of the parts that splitAccessor makes: max
	Position      string   `json:"position,omitempty"`
	ShowGridlines bool     `json:"showGridlines"`
	Palette       *Palette `json:"palette,omitempty"` // of the parts that splitAccessor makes
	YConfig       []YStyle `json:"yConfig,omitempty"`
}

// Palette is a set of colours: one that Kibana has, or our own with its borders.
type Palette struct {
	Type   string   `json:"type"` // palette
	Name   string   `json:"name"` // of Kibana's; custom: of our own
	Params *Borders `json:"params,omitempty"`
}

// Borders are the colours of values and where one ends and the next begins.
type Borders struct {
	Name        string   `json:"name"` // custom
	Reverse     bool     `json:"reverse"`
	RangeType   string   `json:"rangeType"`  // number: the borders are values, not parts of the highest
	RangeMin    float64  `json:"rangeMin"`   // where the first colour begins
	RangeMax    *float64 `json:"rangeMax"`   // where the last one ends; null: nowhere
	Continuity  string   `json:"continuity"` // above: the last colour is that of all higher values, too
	Progression string   `json:"progression"`
	Steps       int      `json:"steps"`
	ColorStops  []Stop   `json:"colorStops"` // where each colour begins
	Stops       []Stop   `json:"stops"`      // where each colour ends
}

// Stop is a border of a colour.
type Stop struct {
	Color string  `json:"color"`
	Stop  float64 `json:"stop"`
}

// YStyle is how the values of a column are drawn.
type YStyle struct {
	ForAccessor    string `json:"forAccessor"`
	AxisMode       string `json:"axisMode,omitempty"`
	Color          string `json:"color,omitempty"`
	LineStyle      string `json:"lineStyle,omitempty"`
	LineWidth      int    `json:"lineWidth,omitempty"`
	Fill           string `json:"fill,omitempty"`
	TextVisibility bool   `json:"textVisibility,omitempty"`
	IconPosition   string `json:"iconPosition,omitempty"`
}

// ReferenceLine is the type of a layer that is a line across a chart.
const ReferenceLine = "referenceLine"

// Lines are the layers that are lines across the chart.
func (v *XY) Lines() (ids []string) {
	for _, l := range v.Layers {
		if l.LayerType == ReferenceLine {
			ids = append(ids, l.LayerID)
		}
	}
	return ids
}

// Roles is Visualization's. We draw one layer of data; lines across it are not data.
func (v *XY) Roles() (layer string, buckets, metrics []string) {
	if len(v.Layers)-len(v.Lines()) != 1 || v.Layers[0].LayerType == ReferenceLine {
		return "", nil, nil
	}
	l := v.Layers[0]
	buckets = []string{l.XAccessor}
	if l.SplitAccessor != "" {
		buckets = append(buckets, l.SplitAccessor)
	}
	return l.LayerID, buckets, l.Accessors
}

// Heatmap is a value over two axes, by colour.
type Heatmap struct {
	Shape         string     `json:"shape"`
	LayerID       string     `json:"layerId"`
	LayerType     string     `json:"layerType"`
	XAccessor     string     `json:"xAccessor"`
	YAccessor     string     `json:"yAccessor"`
	ValueAccessor string     `json:"valueAccessor"`
	Palette       *Palette   `json:"palette,omitempty"` // of the values; nil: fifths of the highest
	GridConfig    GridConfig `json:"gridConfig"`
	Legend        Legend     `json:"legend"`
}

// GridConfig is how a heat map's grid looks.
type GridConfig struct {
	Type                string `json:"type"`
	IsCellLabelVisible  bool   `json:"isCellLabelVisible"`
	IsXAxisLabelVisible bool   `json:"isXAxisLabelVisible"`
	IsYAxisLabelVisible bool   `json:"isYAxisLabelVisible"`
	IsXAxisTitleVisible bool   `json:"isXAxisTitleVisible"`
	IsYAxisTitleVisible bool   `json:"isYAxisTitleVisible"`
}

// Roles is Visualization's.
func (v *Heatmap) Roles() (layer string, buckets, metrics []string) {
	return v.LayerID, []string{v.XAccessor, v.YAccessor}, []string{v.ValueAccessor}
}
