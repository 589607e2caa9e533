// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/monitoring"

	"github.com/reconbeat/reconbeat/health"
	"github.com/reconbeat/reconbeat/process"
	"github.com/reconbeat/reconbeat/process/binary"
	"github.com/reconbeat/reconbeat/state"
)

// counts is what the stream did, for /stats and the summaries of `watch` and `replay`.
type counts struct {
	execs           atomic.Uint64 // execs judged or passed over
	matched         atomic.Uint64 // execs that a rule's program matched
	alerts          atomic.Uint64 // alerts, escalations among them
	repeats         atomic.Uint64 // execs over the threshold in an episode that had alerted
	suppressed      atomic.Uint64 // alerts that a decision kept back
	summaries       atomic.Uint64 // episodes closed
	dropped         atomic.Uint64 // execs that a module's processors dropped: neither judged nor learned
	processorErrors atomic.Uint64 // execs that a module's processors failed on: judged all the same
	unencodable     atomic.Uint64 // documents that could not be encoded; should always be 0
	unnamed         atomic.Uint64 // matches whose user is unknown: neither scored nor learned
	late            atomic.Uint64 // matches older than their model's open bucket: judged, not learned
	evicted         atomic.Uint64 // users and open episodes forgotten for want of room

	lag worst // since the last heartbeat: from a program's start until it was judged

	// What the stream's parts count for themselves, as of the last tick: they belong to its goroutine.
	processes   atomic.Pointer[process.TableStats]
	executables atomic.Pointer[binary.Stats]
	model       atomic.Pointer[learnedSoFar]
}

// learnedSoFar is how much the model in charge knows, and the rules that it serves.
type learnedSoFar struct {
	age    time.Duration
	actors int
	rules  []string
}

// register shows everything that is counted under `reconbeat` in /stats and in the log's metrics line.
func (b *reconbeat) register(reg *monitoring.Registry, journal *state.Stats) {
	c := b.stream.counts
	report := func(v monitoring.Visitor, numbers map[string]uint64) {
		for name, n := range numbers {
			monitoring.ReportInt(v, name, int64(n)) //nolint:gosec // counters do not reach 2^63
		}
	}
	monitoring.NewFunc(reg, "detector", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		report(v, map[string]uint64{
			"execs": c.execs.Load(), "matched": c.matched.Load(), "alerts": c.alerts.Load(), "repeats": c.repeats.Load(),
			"suppressed": c.suppressed.Load(), "summaries": c.summaries.Load(),
			"processors_dropped": c.dropped.Load(), "processors_failed": c.processorErrors.Load(), "unencodable": c.unencodable.Load(),
			"unnamed": c.unnamed.Load(), "late": c.late.Load(), "evicted": c.evicted.Load(),
		})
	}, monitoring.Report)
	monitoring.NewFunc(reg, "processes", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		if s := c.processes.Load(); s != nil {
			report(v, map[string]uint64{
				"remembered": uint64(max(0, s.Processes)), "evicted": s.EvictedProcess, "sessions": uint64(max(0, s.Sessions)),
				"sessions_evicted": s.EvictedSessions, "parents_unknown": s.UnknownParent,
			})
		}
	}, monitoring.Report)
	monitoring.NewFunc(reg, "executables", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		if s := c.executables.Load(); s != nil {
			report(v, map[string]uint64{"read": s.Read, "skipped": s.Skipped, "limited": s.Limited, "gone": s.Gone})
		}
	}, monitoring.Report)
	monitoring.NewFunc(reg, "journal", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		report(v, map[string]uint64{
			"appended": journal.Appended.Load(), "repeated": journal.Repeated.Load(), "committed": journal.Committed.Load(),
			"dropped": journal.Dropped.Load() + journal.DroppedWaiting.Load(), "lost": journal.Lost.Load(), "write_errors": journal.WriteErrors.Load(),
			"pending": uint64(max(0, journal.Pending.Load())), "bytes": uint64(max(0, journal.FileBytes.Load())),
			"commit_us": uint64(max(0, journal.CommitNanos.Load()/1000)),
		})
	}, monitoring.Report)
	monitoring.NewFunc(reg, "ring", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		report(v, map[string]uint64{"dropped": b.ring.dropped.Load(), "waiting": b.ring.waiting()})
	}, monitoring.Report)
	monitoring.NewFunc(reg, "modules", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		for _, r := range b.modules.list() {
			monitoring.ReportNamespace(v, r.source.ID, func() {
				s := r.stats
				monitoring.ReportString(v, "module", r.source.kind.Name)
				report(v, map[string]uint64{
					"records": s.Records.Load(), "execs": s.Execs.Load(), "malformed": s.Malformed.Load(), "truncated": s.Truncated.Load(),
					"incomplete": s.Incomplete.Load(), "lost_kernel": s.LostKernel.Load(), "lost_socket": s.LostSocket.Load(),
					"lost_sequence": s.LostSequence.Load(), "lost_race": s.LostRace.Load(), "lost_file": s.LostFile.Load(), "rules_lost": s.RulesLost.Load(),
				})
			})
		}
	}, monitoring.Report)
	monitoring.NewFunc(reg, "health", func(_ monitoring.Mode, v monitoring.Visitor) {
		v.OnRegistryStart()
		defer v.OnRegistryFinished()
		active := map[*health.Condition]uint64{}
		for _, s := range b.health.Active() {
			active[s.Condition]++
		}
		for cond, n := range active {
			monitoring.ReportInt(v, cond.Code, int64(n)) //nolint:gosec // a handful
		}
	}, monitoring.Report)
}
