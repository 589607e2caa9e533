// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/elastic/elastic-agent-libs/monitoring/adapter"
	"github.com/rcrowley/go-metrics"

	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
)

// metricsOf shows what a running Beat counts.
type metricsOf struct {
	*loop
	journal   *state.Stats
	notifiers notifiers
	kibana    *kibana
}

// show shows the metrics: in /stats, in the log's metrics line, and to Prometheus where HTTP is enabled.
func (b metricsOf) show(of *beat.Beat) error {
	b.register(of.Monitoring.StatsRegistry().GetOrCreateRegistry("reconbeat"))
	if of.API == nil { // http.enabled
		return nil
	}
	handler, err := expose(of.Monitoring.StatsRegistry(), b.logger)
	if err != nil {
		return err
	}
	if err := of.API.AttachHandler(metricsPath, handler); err != nil {
		return fmt.Errorf("serving %s: %w", metricsPath, err)
	}
	return nil
}

// register shows everything that is counted under `reconbeat`. docs/monitor.md names all of it.
func (b metricsOf) register(reg *monitoring.Registry) {
	journal := b.journal
	c := b.engine.Counts
	show(reg, "detector", func() readings {
		return readings{
			"execs":              c.Execs.Load(),
			"matched":            c.Matched.Load(),
			"alerts":             c.Alerts.Load(),
			"repeats":            c.Repeats.Load(),
			"held_alerts":        c.Held.Load(),
			"held_lessons":       c.Unlearned.Load(),
			"summaries":          c.Summaries.Load(),
			"correlations":       c.Stories.Load(),
			"tampered":           c.Tampered.Load(),
			"processors_dropped": c.Dropped.Load(),
			"processors_failed":  c.Misfits.Load(),
			"accounts_unread":    c.AccountsUnread.Load(),
			"unencodable":        b.loop.journal.unencodable.Load(),
			"unnamed":            c.Unnamed.Load(),
			"late":               c.Late.Load(),
			"evicted":            c.Evicted.Load(),
		}
	})
	show(reg, "model", func() readings {
		m := c.Model.Load()
		if m == nil {
			return nil
		}
		return readings{"age_s": uint64(m.Age / time.Second), "actors": positive(m.Actors), "rules": uint64(len(m.Rules))}
	})
	show(reg, "processes", func() readings {
		s := c.Processes.Load()
		if s == nil {
			return nil
		}
		return readings{
			"remembered":       positive(s.Processes),
			"evicted":          s.EvictedProcess,
			"sessions":         positive(s.Sessions),
			"sessions_evicted": s.EvictedSessions,
			"parents_unknown":  s.UnknownParent,
			"logins_forged":    s.ForgedLogins,
		}
	})
	show(reg, "executables", func() readings {
		s := b.host.Identified()
		return readings{"read": s.Read, "skipped": s.Skipped, "limited": s.Limited, "gone": s.Gone}
	})
	show(reg, "journal", func() readings {
		return readings{
			"appended":      journal.Appended.Load(),
			"repeated":      journal.Repeated.Load(),
			"committed":     journal.Committed.Load(),
			"commits":       journal.Commits.Load(),
			"dropped":       journal.Dropped.Load() + journal.DroppedWaiting.Load(),
			"waited":        journal.Waited.Load(),
			"unwritten":     journal.Unwritten.Load(),
			"lost":          journal.Lost.Load(),
			"forgotten":     journal.Forgotten.Load(),
			"damaged":       journal.Damaged.Load(),
			"set_aside":     journal.SetAside.Load(),
			"write_errors":  journal.WriteErrors.Load(),
			"snapshots":     journal.Snapshots.Load(),
			"pending":       positive(journal.Pending.Load()),
			"pending_bytes": positive(journal.PendingBytes.Load()),
			"bytes":         positive(journal.FileBytes.Load()),
			"commit_us":     positive(journal.CommitNanos.Load() / 1000),
		}
	})
	show(reg, "direct", func() readings { return readings{"dropped": b.direct.dropped.Load()} })
	show(reg, "feedback", func() readings {
		return readings{
			"polls": b.kibana.polls.Load(), "failures": b.kibana.failures.Load(),
			"applied": b.kibana.applied.Load(), "undone": b.kibana.undone.Load(),
		}
	})
	show(reg, "ring", func() readings { return readings{"dropped": b.ring.Dropped.Load(), "waiting": b.ring.Waiting()} })
	show(
		reg,
		"output",
		func() readings { return readings{"rejected": b.rejected.kept(), "rejected_lost": b.rejected.lost()} },
	)
	show(reg, "heartbeats", func() readings { return readings{"made": b.heart.made.Load()} })
	show(reg, "health", func() readings {
		active := readings{}
		for _, cond := range health.Conditions() {
			active[cond.Code] = 0
		}
		for _, s := range b.health.Active() {
			active[s.Condition.Code]++
		}
		return active
	})
	monitoring.NewFunc(reg, "modules", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		for _, r := range b.running.list() {
			monitoring.ReportNamespace(v, r.source.ID, func() {
				monitoring.ReportString(v, "module", r.kind.Name)
				moduleNumbers(r.stats).report(v)
			})
		}
	}, monitoring.Report)
	monitoring.NewFunc(reg, "controls", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		showControls(v, c.Controls.Load())
	}, monitoring.Report)
	monitoring.NewFunc(reg, "notify", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		for _, n := range b.notifiers {
			monitoring.ReportNamespace(v, n.ID(), func() {
				readings{
					"delivered": n.Stats.Delivered.Load(), "failed": n.Stats.Failed.Load(),
					"refused": n.Stats.Refused.Load(), "held_back": n.Stats.HeldBack.Load(),
					"missed": n.Stats.Missed.Load(),
				}.report(v)
			})
		}
	}, monitoring.Report)
	histograms := adapter.NewGoMetrics(reg, "latency", b.logger, adapter.Accept)
	for name, h := range map[string]metrics.Histogram{
		"judge_us":            b.latency.judge,
		"start_to_judge_us":   b.latency.judged,
		"start_to_publish_us": b.latency.publish,
		"publish_to_ack_us":   b.latency.ack,
	} {
		if err := histograms.Register(name, h); err != nil {
			b.logger.Errorf("the metric latency.%s is not shown: %v", name, err)
		}
	}
}

func moduleNumbers(s *module.Stats) readings {
	n := readings{
		"records":       s.Records.Load(),
		"execs":         s.Execs.Load(),
		"malformed":     s.Malformed.Load(),
		"truncated":     s.Truncated.Load(),
		"incomplete":    s.Incomplete.Load(),
		"lost_kernel":   s.LostKernel.Load(),
		"lost_socket":   s.LostSocket.Load(),
		"lost_sequence": s.LostSequence.Load(),
		"lost_race":     s.LostRace.Load(),
		"lost_file":     s.LostFile.Load(),
		"rules_lost":    s.RulesLost.Load(),
		"pages":         s.Pages.Load(),
		"retries":       s.Retries.Load(),
		"late":          s.Late.Load(),
		"repeated":      s.Repeated.Load(),
		"elsewhere":     s.Elsewhere.Load(),
		"asked":         s.Asked.Load(),
		"lag_ms":        positive(s.Lag.Load()),
	}
	if at := s.LastEvent.Load(); at != 0 {
		n["last_event_age_s"] = positive(int64(time.Since(time.Unix(0, at)) / time.Second))
	}
	return n
}

// showControls shows the controls that are used most, and what becomes of all.
func showControls(v monitoring.Visitor, set *control.Set) {
	if set == nil {
		return
	}
	all, now := mostUsed(set), time.Now()
	n := readings{"active": 0, "expired": 0, "unused": 0}
	for _, u := range all {
		switch {
		case u.Expired(now):
			n["expired"]++
			continue
		case u.Matches == 0:
			n["unused"]++
		}
		n["active"]++
	}
	n.report(v)
	monitoring.ReportNamespace(v, "items", func() {
		for _, u := range all[:min(mostListed, len(all))] {
			monitoring.ReportNamespace(v, u.ID, func() {
				monitoring.ReportString(v, "kind", u.Kind)
				used := readings{"matches": u.Matches, "alerts": u.Alerts}
				if !u.Last.IsZero() {
					used["last_use_age_s"] = positive(int64(now.Sub(u.Last) / time.Second))
				}
				used.report(v)
			})
		}
	})
}

// readings are some metrics of one part, by name.
type readings map[string]uint64

func (n readings) report(v monitoring.Visitor) {
	for name, number := range n {
		monitoring.ReportInt(v, name, int64(number)) // counters do not reach 2^63
	}
}

// show registers the metrics of one part, asked for whenever somebody looks.
func show(reg *monitoring.Registry, part string, get func() readings) {
	monitoring.NewFunc(reg, part, func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		get().report(v)
	}, monitoring.Report)
}

func positive[N int | int64](n N) uint64 { return uint64(max(0, n)) }
