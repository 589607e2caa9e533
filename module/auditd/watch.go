// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/reconbeat/reconbeat/health"
	"github.com/reconbeat/reconbeat/module/auditd/record"
)

const (
	// watchPeriod is how often the kernel's status and rules are looked at: what ends the stream silently is noticed within it.
	watchPeriod = 2 * time.Second
	// freeFor is how long the audit pid that another daemon had must be free before we take it: a daemon that restarts gets it back.
	freeFor = time.Minute
	// calm is how long nothing must be lost before a loss is no longer a condition of the present.
	calm = 5 * time.Minute
)

// quiet remembers when something was lost last, as Unix time in nanoseconds; 0: never, or long ago.
type quiet struct {
	overflow atomic.Int64 // set by the reader
	kernel   int64        // the watch's own
}

// watch looks at the kernel's status and rules until ctx ends, at once where a record says that they changed, but not twice within a period where
// they had to be put right.
func (r *run) watch(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	nudge := r.nudge
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			nudge = r.nudge
		case <-nudge:
		}
		now := time.Now()
		r.losses(now)
		if r.plan.blind {
			continue
		}
		repaired, err := r.inspect(now)
		if repaired {
			nudge = nil
		}
		if r.failing(err); r.moved {
			r.socket.Interrupt()
			return
		}
	}
}

// failing tells of looks that fail, once in a row, and takes a new socket for the next one.
func (r *run) failing(err error) {
	if err == nil {
		r.failed = 0
		return
	}
	if r.failed++; r.failed == 2 { // one late reply is nothing to tell
		r.env.Logger.Warnf("The kernel's audit cannot be looked after: %v", err)
	}
	if err := r.control.reopen(); err != nil {
		r.env.Logger.Debugf("%v", err)
	}
}

func overflows(n uint64) string {
	return fmt.Sprintf("%d %s so far", n, english.PluralWord(int(n), "overflow", ""))
}

// losses raises and ends the conditions of lost records.
func (r *run) losses(now time.Time) {
	r.lossy(health.SocketOverflow, r.quiet.overflow.Load(), overflows(r.env.Stats.LostSocket.Load()), now)
	r.lossy(health.KernelLost, r.quiet.kernel, record.Records(r.env.Stats.LostKernel.Load())+" so far", now)
}

func (r *run) lossy(c *health.Condition, last int64, detail string, now time.Time) {
	switch {
	case last == 0:
	case now.Sub(time.Unix(0, last)) < calm:
		r.env.Health.Set(c, r.env.ID, detail, now)
	default:
		r.env.Health.Clear(c, r.env.ID)
	}
}

// inspect looks once, and puts right what it can. repaired says that it had to.
func (r *run) inspect(now time.Time) (repaired bool, err error) {
	acts := r.tampering.take()
	s := look(r.control, nil)
	if s.denied != nil {
		r.tampering.putBack(acts)
		return false, s.denied
	}
	r.count(s.status.Lost, now)
	r.judge(s, acts, time.Now(), false)
	if err := r.holdSocket(s, now); err != nil || r.moved {
		return false, err
	}
	gone := r.gone(s)
	if gone == "" {
		if p := decide(s, r.Options); p.incomplete == "" {
			r.env.Health.Clear(health.RulesMissing, r.env.ID)
		} else {
			r.env.Health.Set(health.RulesMissing, r.env.ID, p.incomplete, now)
		}
		return false, nil
	}
	r.env.Stats.RulesLost.Add(1)
	r.env.Health.Set(health.RulesMissing, r.env.ID, gone, now)
	if s.status.Enabled == locked {
		return true, nil // until a reboot
	}
	r.env.Logger.Infof("%s; putting it right.", gone)
	if err := r.repair(s); err != nil {
		return true, err
	}
	if s := look(r.control, nil); s.denied == nil {
		r.judge(s, nil, time.Now(), false) // what was hidden was until now, not until the next look
	}
	return true, nil
}

// repair takes back what keeps execs from us, but for the rules of others.
func (r *run) repair(s situation) error {
	var back []setting
	put := func(o setting, want uint32) {
		o.want = want
		back = append(back, o)
	}
	if r.plan.socket == unicast && record.Starves(s.status.RateLimit) {
		put(rateLimit, 0)
	}
	if r.plan.socket == unicast && record.Starves(s.status.BacklogLimit) {
		put(backlogLimit, uint32(r.BacklogLimit)) //nolint:gosec // its check has bounds
	}
	if s.status.Enabled == 0 {
		put(enabled, 1)
	}
	for _, o := range back {
		if err := r.control.apply(o); err != nil {
			return err
		}
	}
	if r.plan.addRules {
		return r.loadRules()
	}
	return nil
}

// gone says what of audit's set-up somebody else has taken away; empty: nothing.
func (r *run) gone(s situation) string {
	if s.status.Enabled == 0 {
		return "audit was switched off (enabled 0)"
	}
	if r.plan.addRules && r.deleted(s) {
		return "our audit rules were deleted"
	}
	if r.plan.socket == unicast && (record.Starves(s.status.RateLimit) || record.Starves(s.status.BacklogLimit)) {
		return fmt.Sprintf("audit was limited to %s a second and a backlog of %d", record.Records(s.status.RateLimit), s.status.BacklogLimit)
	}
	return ""
}

// deleted says whether the rule is gone that reports execs through the native ABI: ours, or, where we load none, all.
func (r *run) deleted(s situation) bool {
	native := abis(goarch)[0]
	return !slices.ContainsFunc(s.rules, func(l loadedRule) bool {
		return (!r.plan.addRules || l.own() && l.excludedPID() == s.self) && l.reportsExecs(native)
	})
}

// count adds what the kernel lost since the last look. The kernel's counter is 32 bits wide, and anybody may reset it.
func (r *run) count(lost uint32, now time.Time) {
	delta := lost - r.lost
	if int32(delta) < 0 { // reset, not wrapped
		delta = lost
	}
	r.lost = lost
	if delta > 0 {
		r.env.Stats.LostKernel.Add(uint64(delta))
		r.quiet.kernel = now.UnixNano()
		r.losses(now)
	}
}

// holdSocket keeps the audit pid, or ends the reader (moved) where the other kind of socket is needed.
func (r *run) holdSocket(s situation, now time.Time) error {
	if r.plan.socket == unicast {
		switch {
		case s.status.PID == s.self:
			return nil
		case s.owner == "":
			r.env.Logger.Info("The kernel has let go of us as its audit daemon; registering again.")
			return r.takePID()
		case r.SocketType == unicast:
			return fmt.Errorf("the audit pid was taken by %s (pid %d), and socket_type is unicast", s.owner, s.status.PID)
		}
		r.env.Logger.Infof("The audit pid was taken by %s (pid %d); listening in beside it.", s.owner, s.status.PID)
		r.tampering.send(takeover(s, now))
		r.moved = true
		return nil
	}
	if r.SocketType != auto || s.owner != "" || s.status.Enabled == locked {
		r.freed = time.Time{}
		return nil
	}
	if r.freed.IsZero() {
		r.freed = now
	}
	if now.Sub(r.freed) >= freeFor {
		r.env.Logger.Infof("The audit pid has been free for %s.", freeFor)
		r.moved = true
	}
	return nil
}
