// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/stretchr/testify/require"
)

// scraped is what Prometheus gets of a registry.
func scraped(t *testing.T, reg *monitoring.Registry) string {
	t.Helper()
	h, err := expose(reg, logp.NewNopLogger())
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", metricsPath, nil))
	require.Equal(t, 200, w.Code, w.Body.String())
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain; version=0.0.4")
	return w.Body.String()
}

// TestPrometheusGetsEveryMetric holds the exposition and docs/monitor.md against each other: each metric is there, as
// the kind that the manual names.
func TestPrometheusGetsEveryMetric(t *testing.T) {
	body := scraped(t, counted(t))
	manual, err := os.ReadFile("../docs/monitor.md")
	require.NoError(t, err)
	table, _, _ := strings.Cut(string(manual), "\n## Heartbeats")
	rows := metricRow.FindAllStringSubmatch(table, -1)
	require.Greater(t, len(rows), 50)
	for _, row := range rows {
		for _, name := range strings.Split(strings.Trim(row[1], "`"), "`, `") {
			var want string
			base := strings.TrimPrefix(name, "reconbeat.")
			switch kind := row[2]; {
			case kind == "text" && strings.HasPrefix(base, "controls."):
				want = `reconbeat_controls_matches_total{id="ID",kind="exception"} 0`
			case kind == "text": // a label of the module's metrics
				want = `reconbeat_modules_records_total{id="ID",module="auditd"} 0`
			case strings.HasPrefix(base, "health."):
				want = "# TYPE reconbeat_health_condition gauge\n"
				require.Contains(t, body, `reconbeat_health_condition{condition="rules_missing"} 0`)
			case kind == "histogram":
				want = "# TYPE reconbeat_" + strings.ReplaceAll(strings.TrimSuffix(base, "_us"), ".", "_") + "_seconds gauge\n"
			default:
				for _, of := range []string{"modules", "controls.items", "notify"} {
					base = strings.Replace(base, of+".ID", strings.TrimSuffix(of, ".items"), 1)
				}
				base = strings.ReplaceAll(base, ".", "_")
				if s, is := strings.CutSuffix(base, "_us"); is {
					base = s + "_seconds"
				} else if s, is := strings.CutSuffix(base, "_s"); is {
					base = s + "_seconds"
				}
				want = "# TYPE reconbeat_" + base + " gauge\n"
				if kind == "counter" {
					want = "# TYPE reconbeat_" + base + "_total counter\n"
				}
			}
			require.Contains(t, body, want, name)
		}
	}
	require.Contains(t, body, `reconbeat_latency_judge_seconds{quantile="0.5"} 0.0025`)
}

func TestPrometheusGetsLibbeatsNumbersToo(t *testing.T) {
	reg := monitoring.NewRegistry()
	libbeat := reg.GetOrCreateRegistry("libbeat").GetOrCreateRegistry("output")
	monitoring.NewUint(libbeat.GetOrCreateRegistry("events"), "acked").Set(7)
	monitoring.NewBool(libbeat, "connected-now").Set(true)
	monitoring.NewString(libbeat, "type").Set("elasticsearch")
	body := scraped(t, reg)
	require.Contains(
		t,
		body,
		"# TYPE reconbeat_libbeat_output_events_acked untyped\nreconbeat_libbeat_output_events_acked 7\n",
	)
	require.Contains(t, body, "reconbeat_libbeat_output_connected_now 1\n")
	require.NotContains(t, body, "elasticsearch")
}

func TestAHostileModuleIdIsALabelToPrometheus(t *testing.T) {
	reg := monitoring.NewRegistry()
	monitoring.NewFunc(reg.GetOrCreateRegistry("reconbeat"), "modules", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		monitoring.ReportNamespace(v, "a\"\n\xff{}", func() {
			monitoring.ReportString(v, "module", "auditlog")
			monitoring.ReportInt(v, "records", 3)
		})
	}, monitoring.Report)
	require.Contains(t, scraped(t, reg), `reconbeat_modules_records_total{id="a\"\n`+"\uFFFD"+`{}",module="auditlog"} 3`)
}
