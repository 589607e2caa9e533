// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsPath is where Prometheus finds the metrics, at the address of http.host and http.port.
const metricsPath = "/metrics"

// gauges are the metrics below `reconbeat` that may fall; all others only grow, until the restart.
var gauges = map[string]bool{
	"model.age_s":              true,
	"model.actors":             true,
	"model.rules":              true,
	"processes.remembered":     true,
	"processes.sessions":       true,
	"journal.pending":          true,
	"journal.pending_bytes":    true,
	"journal.bytes":            true,
	"journal.commit_us":        true,
	"ring.waiting":             true,
	"controls.active":          true,
	"controls.expired":         true,
	"controls.unused":          true,
	"controls.last_use_age_s":  true,
	"modules.last_event_age_s": true,
	"modules.lag_ms":           true,
}

// quantiles are the statistics that a histogram of /stats has.
var quantiles = map[string]string{
	"median": "0.5",
	"p75":    "0.75",
	"p95":    "0.95",
	"p99":    "0.99",
	"p999":   "0.999",
	"max":    "1",
}

// exposition shows what is in /stats to Prometheus, by its conventions: counters end in _total, times are in seconds,
// and what a name of /stats says of a module, a condition or a quantile is a label. libbeat's own metrics, of which no
// kind is known, are untyped.
type exposition struct{ stats *monitoring.Registry }

// expose is the handler of metricsPath.
func expose(stats *monitoring.Registry, logger *logp.Logger) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(exposition{stats}); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	return promhttp.HandlerFor(
		registry,
		promhttp.HandlerOpts{ErrorLog: complaints{logger}, ErrorHandling: promhttp.ContinueOnError},
	), nil
}

// complaints logs what the handler cannot show.
type complaints struct{ logger *logp.Logger }

// Println logs.
func (c complaints) Println(v ...any) {
	c.logger.Warnf("serving %s: %s", metricsPath, strings.TrimSpace(fmt.Sprintln(v...)))
}

// Describe sends nothing: modules come and go, and their metrics with them.
func (exposition) Describe(chan<- *prometheus.Desc) {}

// Collect sends every number as it is now.
func (x exposition) Collect(out chan<- prometheus.Metric) {
	for room, v := range monitoring.CollectStructSnapshot(x.stats, monitoring.Full, false) {
		numbers, is := v.(map[string]any)
		switch {
		case is && room == "reconbeat":
			ours(out, numbers)
		case is:
			untyped(out, room, numbers)
		}
	}
}

// ours are reconbeat's own metrics.
func ours(out chan<- prometheus.Metric, stats map[string]any) {
	for part, v := range stats {
		numbers, _ := v.(map[string]any)
		for name, v := range numbers {
			switch {
			case part == "controls" && name == "items":
				items, _ := v.(map[string]any)
				for id, v := range items {
					item, _ := v.(map[string]any)
					kind, _ := item["kind"].(string)
					for metric, n := range item {
						typed(out, "controls."+metric, n, "id", id, "kind", kind)
					}
				}
			case part == "health":
				send(out, "health_condition", prometheus.GaugeValue, v, "condition", name)
			case part == "modules":
				module, _ := v.(map[string]any)
				kind, _ := module["module"].(string)
				for metric, n := range module {
					typed(out, "modules."+metric, n, "id", name, "module", kind)
				}
			case part == "notify":
				counts, _ := v.(map[string]any)
				for metric, n := range counts {
					typed(out, "notify."+metric, n, "id", name)
				}
			case part == "latency":
				statistics, _ := v.(map[string]any)
				for statistic, q := range quantiles {
					send(
						out,
						"latency_"+strings.TrimSuffix(name, "_us")+"_seconds",
						prometheus.GaugeValue,
						seconds(statistics[statistic]),
						"quantile",
						q,
					)
				}
			default:
				typed(out, part+"."+name, v)
			}
		}
	}
}

// typed sends a metric of ours by its name in /stats.
func typed(out chan<- prometheus.Metric, name string, v any, labels ...string) {
	kind, shown := prometheus.CounterValue, strings.ReplaceAll(name, ".", "_")
	if base, is := strings.CutSuffix(shown, "_us"); is {
		shown, v = base+"_seconds", seconds(v)
	} else if base, is := strings.CutSuffix(shown, "_s"); is {
		shown = base + "_seconds"
	}
	if gauges[name] {
		kind = prometheus.GaugeValue
	} else {
		shown += "_total"
	}
	send(out, shown, kind, v, labels...)
}

// seconds are microseconds as seconds.
func seconds(v any) any {
	n, is := numeric(v)
	if !is {
		return nil
	}
	return n / 1e6
}

// send sends a number and leaves out text. labels are names and values in turn.
func send(out chan<- prometheus.Metric, name string, kind prometheus.ValueType, v any, labels ...string) {
	n, is := numeric(v)
	if !is {
		return
	}
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "\uFFFD"))
	}
	desc := prometheus.NewDesc("reconbeat_"+name, "See docs/monitor.md.", names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, n, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	out <- m
}

// untyped sends what libbeat counts, each number by its whole name.
func untyped(out chan<- prometheus.Metric, name string, numbers map[string]any) {
	for key, v := range numbers {
		whole := name + "_" + key
		if inner, is := v.(map[string]any); is {
			untyped(out, whole, inner)
			continue
		}
		send(out, legal(whole), prometheus.UntypedValue, v)
	}
}

// legal makes a name that Prometheus takes of one of libbeat's.
func legal(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

func numeric(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}
