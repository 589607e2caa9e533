// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/tools/kibana/fields"
	"github.com/reconbeat/reconbeat/tools/kibana/query"
)

func TestTheCommittedFilesAreWhatTheSourceMakes(t *testing.T) {
	t.Chdir("..")
	text, err := os.ReadFile(declared)
	require.NoError(t, err)
	types, err := fields.Read(text)
	require.NoError(t, err)
	want, err := files(types)
	require.NoError(t, err)
	found := 0
	require.NoError(t, filepath.WalkDir(folder, func(name string, d os.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		found++
		rel, err := filepath.Rel(folder, name)
		require.NoError(t, err)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(want[rel]), string(got), "%s: run `go tool mage update`", rel)
		return nil
	}))
	require.Len(t, want, found)
	require.NoError(t, run([]string{"check"}, nil))
}

// TestQueries checks the three kinds of question, and that there is one for each panel.
func TestQueries(t *testing.T) {
	t.Chdir("..")
	var b bytes.Buffer
	require.NoError(t, run([]string{"queries"}, &b))
	byName := map[string]string{}
	for line := range bytes.Lines(b.Bytes()) {
		var q query.Question
		require.NoError(t, json.Unmarshal(line, &q))
		require.NotContains(t, byName, q.Name)
		byName[q.Name] = string(line)
		require.NotEmpty(t, q.ESQL+q.Index, "%s is asked of nothing", q.Name)
	}
	panels := len(savedQueries) + len(rules)
	for _, d := range dashboards {
		panels += len(d.controls)
		for _, r := range d.rows {
			panels += len(r.panels)
		}
	}
	require.Len(t, byName, panels, "every one asks")

	const alerts = `{"bool":{"filter":[{"match":{"event.kind":"alert"}},{"bool":{"must_not":[{"match":{"reconbeat.alert.test":"true"}}]}},` +
		`{"bool":{"must_not":[{"match":{"event.action":"correlation"}}]}}]}}`
	const datasets = `{"bool":{"minimum_should_match":1,"should":[{"match_phrase":{"data_stream.dataset":"reconbeat.alert"}},` +
		`{"match_phrase":{"data_stream.dataset":"reconbeat.process"}}]}}`
	for name, want := range map[string]string{
		"reconbeat-alerts": `{"index":"logs-reconbeat.*","search":{"size":1,"query":{"bool":{"filter":[` + alerts + `]}}}}`,
		"reconbeat-overview/top-actors": `{"index":"logs-reconbeat.alert-*","search":{"size":0,"query":{"bool":{"filter":[` + datasets + `,` + alerts + `]}},"aggs":{"actor":{
			"terms":{"field":"reconbeat.actor.name","size":50,"order":{"score":"desc"}},"aggs":{"score":{"max":{"field":"reconbeat.anomaly.score"}},"seen":{"max":{"field":"@timestamp"}}}}}}}`,
		"reconbeat-overview/control:host": `{"index":"logs-reconbeat.alert-*","search":{"size":0,"query":{"bool":{"filter":[` + datasets + `]}},"aggs":{"values":{"terms":{"field":"host.name","size":10}}}}}`,
		"reconbeat-sensor-health/lost": `{"index":"logs-reconbeat.health-*","search":{"size":0,"query":{"bool":{"filter":[{"match_phrase":{"data_stream.dataset":"reconbeat.health"}},
			{"match":{"event.dataset":"reconbeat.health"}}]}},"aggs":{"count":{"sum":{"field":"reconbeat.health.lost"}}}}}`,
		"reconbeat-sensor-health/unwell": `{"index":"logs-reconbeat.health-*","search":{"size":0,"query":{"bool":{"filter":[{"match_phrase":{"data_stream.dataset":"reconbeat.health"}},
			{"match":{"event.dataset":"reconbeat.health"}}]}},"aggs":{"count":{"aggs":{"count":{"cardinality":{"field":"host.name"}}},
			"filter":{"bool":{"minimum_should_match":1,"should":[{"match":{"reconbeat.health.status":"degraded"}},{"match":{"reconbeat.health.status":"failed"}}]}}}}}}`,
		"reconbeat-sensor-health/silent": `{"index":"logs-reconbeat.health-*","esql":"FROM logs-reconbeat.health-*\n| WHERE event.dataset == \"reconbeat.health\"\n| STATS seen = MAX(@timestamp) BY host.name\n| SORT seen ASC\n| LIMIT 1000",
			"search":{"size":0,"query":{"bool":{"filter":[{"match_phrase":{"data_stream.dataset":"reconbeat.health"}},{"term":{"event.dataset":"reconbeat.health"}}]}},
			"aggs":{"groups":{"composite":{"size":1000,"sources":[{"host.name":{"terms":{"field":"host.name"}}}]},"aggs":{"seen":{"max":{"field":"@timestamp"}}}}}}}`,
		degraded.RuleID: `{"index":"logs-reconbeat.health-*","search":{"size":0,"query":{"bool":{"filter":[{"bool":{"filter":[{"match":{"event.dataset":"reconbeat.health"}},
			{"bool":{"minimum_should_match":1,"should":[{"match":{"reconbeat.health.status":"degraded"}},{"match":{"reconbeat.health.status":"failed"}}]}}]}}]}},
			"aggs":{"host.name":{"terms":{"field":"host.name","size":1000,"min_doc_count":5}}}}}`,
	} {
		got := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(byName[name]), &got), name)
		delete(got, "name")
		text, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, want, string(text), name)
	}
}

// TestEveryPartIsDrawn wants each part of the score among those that the investigation draws.
func TestEveryPartIsDrawn(t *testing.T) {
	text, err := os.ReadFile("../" + declared)
	require.NoError(t, err)
	types, err := fields.Read(text)
	require.NoError(t, err)
	drawn := map[string]bool{}
	for _, p := range partsOf {
		drawn["reconbeat.anomaly.parts."+p.id] = true
	}
	parts := 0
	for field := range types {
		if strings.HasPrefix(field, "reconbeat.anomaly.parts.") {
			parts++
			require.True(t, drawn[field], "%s is drawn nowhere", field)
		}
	}
	require.Len(t, partsOf, parts)
}

// TestTheColoursOfAScoreBeginWhereItsBandsDo checks every heat map of scores: without borders of ours, the highest
// score is red, be it 6.
func TestTheColoursOfAScoreBeginWhereItsBandsDo(t *testing.T) {
	drawn := 0
	for _, d := range dashboards {
		for _, r := range d.rows {
			for _, p := range r.panels {
				h, ok := p.(heatmap)
				if !ok || h.columns[2].id != mostUnusual().id {
					continue
				}
				drawn++
				var begin, end []float64
				params := palette(h.scale, 100).Params
				for i, s := range params.ColorStops {
					begin, end = append(begin, s.Stop), append(end, params.Stops[i].Stop)
				}
				require.Equal(t, []float64{0, threshold, 50, 75, 90}, begin, h.title)
				require.Equal(t, []float64{threshold, 50, 75, 90, 100}, end, h.title)
				require.Equal(t, "number", params.RangeType)
			}
		}
	}
	require.NotZero(t, drawn)
}

func TestUsage(t *testing.T) {
	t.Chdir("..")
	require.ErrorContains(t, run(nil, nil), "one of write, check, queries, answers")
	require.ErrorContains(t, run([]string{"show"}, nil), `invalid command "show"`)
}
