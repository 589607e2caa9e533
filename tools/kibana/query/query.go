// SPDX-License-Identifier: Apache-2.0

// Package query makes of saved objects and rules what Kibana would ask of Elasticsearch for them, so that a test can
// ask it of a node without a Kibana.
//
// The translation is as near as a test of "does it find something, and are its fields what they should be" needs: the
// query, the filters of the dashboard, buckets within buckets and the values in the innermost. The range of time is
// left to who asks.
package query

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/reconbeat/reconbeat/tools/kibana/esql"
	"github.com/reconbeat/reconbeat/tools/kibana/kql"
	"github.com/reconbeat/reconbeat/tools/kibana/saved"
)

// Question is what is asked for one panel, control, saved query or rule. One in ES|QL has a search beside it that
// returns the same groups, by package esql; a rule's has none.
type Question struct {
	Name   string         `json:"name"`
	Index  string         `json:"index,omitempty"`
	Search map[string]any `json:"search,omitempty"`
	ESQL   string         `json:"esql,omitempty"`
}

// everywhere is where a saved query is asked: it has no data view.
const everywhere = "logs-reconbeat.*"

// All returns the questions of a folder like _meta/kibana, in the order of its files.
func All(folder fs.FS) ([]Question, error) {
	files, err := saved.Load(folder)
	if err != nil {
		return nil, err
	}
	views := map[string]string{}
	for _, o := range files.Objects {
		if o.Type == "index-pattern" {
			var v saved.DataView
			if err := saved.Read(o.Attributes, &v); err != nil {
				return nil, fmt.Errorf("data view %s: %w", o.ID, err)
			}
			views[o.ID] = v.Title
		}
	}
	var all []Question
	for _, name := range slices.Sorted(maps.Keys(files.Objects)) {
		o := files.Objects[name]
		if linked, is := saved.Unlinked(name); is && files.Objects[linked].ID != "" {
			continue // the same once more
		}
		var found []Question
		switch o.Type {
		case "dashboard":
			found, err = ofDashboard(o, views)
		case "query":
			found, err = ofSavedQuery(o)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
	}
	for _, r := range files.Rules {
		q, err := ofRule(r)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.Name, err)
		}
		all = append(all, q)
	}
	return all, nil
}

func ofSavedQuery(o saved.Object) ([]Question, error) {
	var s saved.Query
	if err := saved.Read(o.Attributes, &s); err != nil {
		return nil, err
	}
	q, err := filtered(nil, s.Query)
	return []Question{{Name: o.ID, Index: everywhere, Search: map[string]any{"size": 1, "query": q}}}, err
}

func ofRule(r saved.Rule) (Question, error) {
	out := Question{Name: r.RuleID}
	if r.Type == "esql" {
		out.ESQL = r.Query
		return out, nil
	}
	for i, pattern := range r.Index {
		out.Index += map[bool]string{true: ","}[i > 0] + pattern
	}
	q, err := filtered(r.Filters, saved.Kuery(r.Query))
	if err != nil {
		return out, err
	}
	out.Search = map[string]any{"size": 1, "query": q}
	if r.Threshold != nil {
		var within map[string]any
		for _, field := range slices.Backward(r.Threshold.Field) {
			terms := map[string]any{
				"terms": map[string]any{"field": field, "size": r.MaxSignals, "min_doc_count": r.Threshold.Value},
			}
			if within != nil {
				terms["aggs"] = within
			}
			within = map[string]any{field: terms}
		}
		out.Search["size"], out.Search["aggs"] = 0, within
	}
	return out, nil
}

func ofDashboard(o saved.Object, views map[string]string) ([]Question, error) {
	var d saved.Dashboard
	if err := saved.Read(o.Attributes, &d); err != nil {
		return nil, err
	}
	above := d.Meta.SearchSource
	var all []Question
	var controls map[string]saved.Control
	if err := saved.Read([]byte(d.ControlGroup.Panels), &controls); err != nil {
		return nil, err
	}
	for _, ref := range o.References {
		id, ok := saved.ControlID(ref.Name)
		if !ok {
			continue
		}
		q, err := filtered(above.Filter, above.Query)
		if err != nil {
			return nil, err
		}
		terms := map[string]any{"terms": map[string]any{"field": controls[id].ExplicitInput.FieldName, "size": 10}}
		all = append(all, Question{
			o.ID + "/control:" + id,
			views[ref.ID],
			map[string]any{"size": 0, "query": q, "aggs": map[string]any{"values": terms}},
			"",
		})
	}
	for _, p := range d.Panels {
		content, err := p.Content()
		if err != nil {
			return nil, fmt.Errorf("panel %s: %w", p.PanelIndex, err)
		}
		var q Question
		switch content := content.(type) {
		case *saved.Lens:
			q, err = ofLens(content, above, views)
		case *saved.Search:
			q, err = ofSearch(content, above, views)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("panel %s: %w", p.PanelIndex, err)
		}
		q.Name = o.ID + "/" + p.PanelIndex
		all = append(all, q)
	}
	return all, nil
}

func ofSearch(s *saved.Search, above saved.SearchSource, views map[string]string) (Question, error) {
	own := s.Meta.SearchSource
	q, err := filtered(slices.Concat(above.Filter, own.Filter), above.Query, own.Query)
	var sort []any
	for _, by := range s.Sort {
		sort = append(sort, map[string]any{by[0]: by[1]})
	}
	return Question{Index: views[saved.Resolve(s.References, own.IndexRefName)],
		Search: map[string]any{"size": s.RowsPerPage, "query": q, "sort": sort, "fields": s.Columns}}, err
}

func ofLens(l *saved.Lens, above saved.SearchSource, views map[string]string) (Question, error) {
	for id, layer := range l.State.Datasources.TextBased.Layers {
		return ofTextLayer(layer, above, views[saved.Resolve(l.References, saved.TextLayerReference(id))])
	}
	filters, queries := l.State.Filters, []saved.KQL{*l.State.Query.KQL}
	drawn, err := l.Drawn()
	if err != nil {
		return Question{}, err
	}
	id, _, _ := drawn.Roles()
	layer, exists := l.State.Datasources.FormBased.Layers[id]
	if !exists {
		return Question{}, fmt.Errorf("there is no layer %q", id)
	}
	if !layer.IgnoreGlobalFilters {
		filters, queries = slices.Concat(above.Filter, filters), append(queries, above.Query)
	}
	q, err := filtered(filters, queries...)
	if err != nil {
		return Question{}, err
	}
	aggs, err := aggregations(layer)
	view := saved.Resolve(l.References, saved.LayerReference(id))
	return Question{Index: views[view], Search: map[string]any{"size": 0, "query": q, "aggs": aggs}}, err
}

// ofTextLayer has what the dashboard filters by beside the ES|QL query, as Kibana sends it.
func ofTextLayer(l saved.TextLayer, above saved.SearchSource, index string) (Question, error) {
	parsed, err := esql.Parse(l.Query.ESQL)
	if err != nil {
		return Question{}, err
	}
	filters, err := filterList(above.Filter, above.Query)
	return Question{Index: index, ESQL: l.Query.ESQL, Search: parsed.Search(filters, nil)}, err
}

// filtered is the conjunction of filters and queries.
func filtered(filters []saved.Filter, queries ...saved.KQL) (map[string]any, error) {
	list, err := filterList(filters, queries...)
	return map[string]any{"bool": map[string]any{"filter": list}}, err
}

func filterList(filters []saved.Filter, queries ...saved.KQL) ([]any, error) {
	list := []any{}
	for _, f := range filters {
		list = append(list, f.Query)
	}
	for _, k := range queries {
		q, err := kql.Parse(k.Query)
		if err != nil {
			return nil, err
		}
		if k.Query != "" {
			list = append(list, q.DSL())
		}
	}
	return list, nil
}

// aggregations nests the columns that part the documents, and puts the values into the innermost.
func aggregations(l saved.Layer) (map[string]any, error) {
	metrics := map[string]any{}
	var buckets []string
	for _, id := range l.ColumnOrder {
		c := l.Columns[id]
		if c.IsBucketed {
			buckets = append(buckets, id)
			continue
		}
		agg := metric(c)
		if agg == nil {
			continue // the count, which every bucket has
		}
		if c.Filter != nil {
			q, err := kql.Parse(c.Filter.Query)
			if err != nil {
				return nil, err
			}
			agg = map[string]any{"filter": q.DSL(), "aggs": map[string]any{id: agg}}
		}
		metrics[id] = agg
	}
	within := metrics
	for _, id := range slices.Backward(buckets) {
		agg, err := bucket(l.Columns[id], metrics)
		if err != nil {
			return nil, err
		}
		if len(within) > 0 {
			agg["aggs"] = within
		}
		// What a bucket is ordered by must be beside it, also where buckets within it have the values.
		if by := l.Columns[id].Params.OrderBy; by != nil && metrics[by.ColumnID] != nil && agg["aggs"] != nil {
			nested := maps.Clone(agg["aggs"].(map[string]any))
			nested[by.ColumnID] = metrics[by.ColumnID]
			agg["aggs"] = nested
		}
		if by := l.Columns[id].Params.OrderAgg; by != nil {
			nested, _ := agg["aggs"].(map[string]any)
			nested = maps.Clone(nested)
			nested[ordering] = metric(*by)
			agg["aggs"] = nested
		}
		within = map[string]any{id: agg}
	}
	return within, nil
}

// ordering is the name of the value by which buckets are ordered and which no column shows.
const ordering = "ordering"

func metric(c saved.Column) map[string]any {
	field := map[string]any{"field": c.SourceField}
	switch c.OperationType {
	case "unique_count":
		return map[string]any{"cardinality": field}
	case "sum", "min", "max":
		return map[string]any{c.OperationType: field}
	case "percentile":
		field["percents"] = []int{c.Params.Percentile}
		return map[string]any{"percentiles": field}
	case "last_value":
		return map[string]any{
			"top_hits": map[string]any{
				"size":    1,
				"sort":    []any{map[string]any{c.Params.SortField: "desc"}},
				"_source": []string{c.SourceField},
			},
		}
	}
	return nil
}

func bucket(c saved.Column, metrics map[string]any) (map[string]any, error) {
	switch c.OperationType {
	case "date_histogram":
		return map[string]any{"date_histogram": map[string]any{"field": c.SourceField, "fixed_interval": "1h"}}, nil
	case "filters":
		filters := map[string]any{}
		for _, f := range c.Params.Filters {
			q, err := kql.Parse(f.Input.Query)
			if err != nil {
				return nil, err
			}
			filters[f.Label] = q.DSL()
		}
		return map[string]any{"filters": map[string]any{"filters": filters}}, nil
	case "terms":
		order := "_count"
		if c.Params.OrderAgg != nil {
			order = ordering
		} else if by := c.Params.OrderBy; by != nil && by.Type == "alphabetical" {
			order = "_key"
		} else if by != nil && metrics[by.ColumnID] != nil {
			order = by.ColumnID
		}
		terms := map[string]any{
			"field": c.SourceField,
			"size":  c.Params.Size,
			"order": map[string]any{order: c.Params.OrderDirection},
		}
		return map[string]any{"terms": terms}, nil
	}
	return nil, fmt.Errorf("%q is not an operation that parts documents", c.OperationType)
}
