// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/notify"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// metricRow is a row of the table of metrics in docs/monitor.md: names, kind, unit, meaning, what to do.
var metricRow = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\|$")

// statistics are what a histogram shows.
var statistics = regexp.MustCompile(`\.(count|max|mean|median|min|p75|p95|p99|p999|stddev)$`)

// counted is the registry of /stats with everything that reconbeat counts in it.
func counted(t *testing.T) *monitoring.Registry {
	h, err := host.Open(nil)
	require.NoError(t, err)
	b := metricsOf{&loop{
		engine: testEngine(t), logger: logp.NewNopLogger(), health: &health.Board{}, ring: engine.NewRing(1), host: h,
		running: &moduleSet{}, latency: newLatencies(), heart: &heartbeat{}, journal: &journal{},
		direct: newDirect(logp.NewNopLogger()),
	}, &state.Stats{}, nil, &kibana{}}
	target := notify.Item{ID: "ID", PerHour: 1, Syslog: &notify.Syslog{Address: "127.0.0.1:514"}}
	n, err := notify.New(target, "", nil, nil, logp.NewNopLogger())
	require.NoError(t, err)
	b.notifiers = notifiers{n}
	r := &runner{
		blueprint: &blueprint{
			kind: catalog.Kind{Name: "auditd"}, source: &document.Source{Module: config.Module{ID: "ID"}},
		},
		stats: &module.Stats{},
	}
	r.stats.LastEvent.Store(1)
	b.running.add(r)
	controls, err := control.New(control.Items{Exceptions: []control.Exception{{
		ID: "ID", Action: "both", Conditions: []control.Condition{{Field: "user.name", Is: control.Texts{"x"}}},
	}}})
	require.NoError(t, err)
	controls.Inherit([]control.Usage{{Kind: "exception", ID: "ID", Last: time.Now()}})
	b.engine.SetControls(controls)
	b.engine.Tally(time.Now())
	b.latency.judge.Update(2500)
	reg := monitoring.NewRegistry()
	b.register(reg.GetOrCreateRegistry("reconbeat"))
	return reg
}

// TestManualListsEveryMetric holds docs/monitor.md and the registry against each other, name by name.
func TestManualListsEveryMetric(t *testing.T) {
	reg := counted(t)
	shown := map[string]bool{} // by name: it is a histogram
	snapshot := monitoring.CollectFlatSnapshot(reg, monitoring.Full, false)
	for name := range snapshot.Ints {
		shown[statistics.ReplaceAllString(name, "")] = statistics.MatchString(name)
	}
	for name := range snapshot.Floats {
		shown[statistics.ReplaceAllString(name, "")] = statistics.MatchString(name)
	}
	for name := range snapshot.Strings {
		shown[name] = false
	}
	for _, c := range health.Conditions() {
		assert.Contains(t, shown, "reconbeat.health."+c.Code)
		delete(shown, "reconbeat.health."+c.Code)
	}
	shown["reconbeat.health.CONDITION"] = false

	manual, err := os.ReadFile("../docs/monitor.md")
	require.NoError(t, err)
	table, _, found := strings.Cut(string(manual), "\n## Heartbeats")
	require.True(t, found)
	documented := map[string]bool{}
	for _, row := range metricRow.FindAllStringSubmatch(table, -1) {
		kind, unit := row[2], row[3]
		assert.Contains(t, []string{"counter", "gauge", "histogram", "text"}, kind, row[0])
		assert.NotEmpty(t, row[4], "the meaning of %s", row[1])
		assert.NotEmpty(t, row[5], "what to do about %s", row[1])
		for _, name := range strings.Split(strings.Trim(row[1], "`"), "`, `") {
			documented[name] = true
			assert.Equal(t, shown[name], kind == "histogram", "%s is a histogram", name)
			assert.Equal(t, strings.HasSuffix(name, "_us"), unit == "µs", name)
			assert.Equal(t, strings.HasSuffix(name, "_s"), unit == "s", name)
		}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(documented)))
}
