// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/elastic/elastic-agent-libs/monitoring/adapter"
	"github.com/rcrowley/go-metrics"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host/executable"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// counts is what the stream did, for /stats and the summaries of `watch` and `replay`.
type counts struct {
	execs           atomic.Uint64 // execs judged or passed over
	matched         atomic.Uint64 // execs that a rule's program matched
	alerts          atomic.Uint64 // alerts, escalations among them
	repeats         atomic.Uint64 // execs over the threshold in an episode that had alerted
	suppressed      atomic.Uint64 // alerts that a decision kept back
	summaries       atomic.Uint64 // episodes closed
	tampered        atomic.Uint64 // changes that kept execs, or who is behind them, from being reported
	dropped         atomic.Uint64 // execs that a module's processors dropped: neither judged nor learned
	processorErrors atomic.Uint64 // execs that a module's processors failed on: judged all the same
	unencodable     atomic.Uint64 // documents that could not be encoded; should always be 0
	unnamed         atomic.Uint64 // matches whose user is unknown: neither scored nor learned
	late            atomic.Uint64 // matches older than their model's open bucket: judged, not learned
	evicted         atomic.Uint64 // users and open episodes forgotten for want of room

	lag worst // since the last heartbeat: from a program's start until it was judged

	// What the stream's parts count for themselves, as of the last tick: they belong to its goroutine.
	processes   atomic.Pointer[process.TableStats]
	executables atomic.Pointer[executable.Stats]
	model       atomic.Pointer[learnedSoFar]
}

// learnedSoFar is how much the model in charge knows, and the rules that it serves.
type learnedSoFar struct {
	age    time.Duration
	actors int
	rules  []string
}

// latencies are how long the stations of the way take, in microseconds; of matches and of alerts, so that what nobody waits for tells nothing. Recent ones weigh more.
type latencies struct {
	judge   metrics.Histogram // completing and judging a match, and making its documents
	judged  metrics.Histogram // from a match's start until it was judged
	publish metrics.Histogram // from an alert's exec until it was handed to libbeat
	ack     metrics.Histogram // from there until the output acknowledged it
}

func newLatencies() *latencies {
	recent := func() metrics.Histogram { return metrics.NewHistogram(metrics.NewExpDecaySample(1028, 0.015)) } // mostly the last five minutes
	return &latencies{recent(), recent(), recent(), recent()}
}

// register shows everything that is counted under `reconbeat` in /stats and in the log's metrics line. docs/monitor.md names all of it.
func (b *reconbeat) register(reg *monitoring.Registry, journal *state.Stats) {
	c := b.stream.counts
	show(reg, "detector", func() readings {
		return readings{
			"execs": c.execs.Load(), "matched": c.matched.Load(), "alerts": c.alerts.Load(), "repeats": c.repeats.Load(),
			"suppressed": c.suppressed.Load(), "summaries": c.summaries.Load(), "tampered": c.tampered.Load(),
			"processors_dropped": c.dropped.Load(), "processors_failed": c.processorErrors.Load(), "unencodable": c.unencodable.Load(),
			"unnamed": c.unnamed.Load(), "late": c.late.Load(), "evicted": c.evicted.Load(),
		}
	})
	show(reg, "model", func() readings {
		m := c.model.Load()
		if m == nil {
			return nil
		}
		return readings{"age_s": uint64(m.age / time.Second), "actors": positive(m.actors), "rules": uint64(len(m.rules))}
	})
	show(reg, "processes", func() readings {
		s := c.processes.Load()
		if s == nil {
			return nil
		}
		return readings{
			"remembered": positive(s.Processes), "evicted": s.EvictedProcess, "sessions": positive(s.Sessions), "sessions_evicted": s.EvictedSessions, "parents_unknown": s.UnknownParent,
		}
	})
	show(reg, "executables", func() readings {
		s := c.executables.Load()
		if s == nil {
			return nil
		}
		return readings{"read": s.Read, "skipped": s.Skipped, "limited": s.Limited, "gone": s.Gone}
	})
	show(reg, "journal", func() readings {
		return readings{
			"appended": journal.Appended.Load(), "repeated": journal.Repeated.Load(), "committed": journal.Committed.Load(), "commits": journal.Commits.Load(),
			"dropped": journal.Dropped.Load() + journal.DroppedWaiting.Load(), "waited": journal.Waited.Load(), "unwritten": journal.Unwritten.Load(), "lost": journal.Lost.Load(),
			"forgotten": journal.Forgotten.Load(), "damaged": journal.Damaged.Load(), "set_aside": journal.SetAside.Load(), "write_errors": journal.WriteErrors.Load(),
			"snapshots": journal.Snapshots.Load(), "pending": positive(journal.Pending.Load()), "pending_bytes": positive(journal.PendingBytes.Load()),
			"bytes": positive(journal.FileBytes.Load()), "commit_us": positive(journal.CommitNanos.Load() / 1000),
		}
	})
	show(reg, "ring", func() readings { return readings{"dropped": b.ring.dropped.Load(), "waiting": b.ring.waiting()} })
	show(reg, "output", func() readings { return readings{"rejected": b.rejected.kept(), "rejected_lost": b.rejected.lost()} })
	show(reg, "heartbeats", func() readings { return readings{"made": b.pulse.made.Load()} })
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
		for _, r := range b.modules.list() {
			monitoring.ReportNamespace(v, r.source.ID, func() {
				monitoring.ReportString(v, "module", r.source.kind.Name)
				moduleNumbers(r.stats).report(v)
			})
		}
	}, monitoring.Report)
	histograms := adapter.NewGoMetrics(reg, "latency", b.logger, adapter.Accept)
	for name, h := range map[string]metrics.Histogram{
		"judge_us": b.latency.judge, "start_to_judge_us": b.latency.judged, "start_to_publish_us": b.latency.publish, "publish_to_ack_us": b.latency.ack,
	} {
		if err := histograms.Register(name, h); err != nil {
			b.logger.Errorf("the metric latency.%s is not shown: %v", name, err)
		}
	}
}

func moduleNumbers(s *module.Stats) readings {
	n := readings{
		"records": s.Records.Load(), "execs": s.Execs.Load(), "malformed": s.Malformed.Load(), "truncated": s.Truncated.Load(),
		"incomplete": s.Incomplete.Load(), "lost_kernel": s.LostKernel.Load(), "lost_socket": s.LostSocket.Load(),
		"lost_sequence": s.LostSequence.Load(), "lost_race": s.LostRace.Load(), "lost_file": s.LostFile.Load(), "rules_lost": s.RulesLost.Load(),
	}
	if at := s.LastEvent.Load(); at != 0 {
		n["last_event_age_s"] = positive(int64(time.Since(time.Unix(0, at)) / time.Second))
	}
	return n
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
