// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
)

const (
	// watchPeriod is how often the kernel's status and rules are read: what ends the stream silently is noticed within
	// it.
	watchPeriod = 2 * time.Second
	// freeFor is how long the audit pid that another daemon had must be free before we take it: a daemon that restarts
	// gets it back.
	freeFor = time.Minute
	// calm is how long nothing must be lost before a loss is no longer a condition of the present.
	calm = 5 * time.Minute
)

// losses remembers when something was lost last, as Unix time in nanoseconds; 0: never, or long ago.
type losses struct {
	overflow atomic.Int64 // set by the reader
	kernel   int64        // the watch's own
}

// watch inspects status and rules beside the reader of one socket, and puts right what it can.
type watch struct {
	*setup
	exchange *exchange
	losses   *losses
	judge    *judge    // nil where it may only listen
	lost     uint32    // what the kernel had lost at the last inspection
	freed    time.Time // since when the audit pid that another daemon had is free
	failed   int       // inspections that failed, one after the other
}

// newWatch makes the watch of a set-up. What keeps execs from us at the first one is nobody's news: the plan says it.
func (r *run) newWatch(s *setup) (*watch, error) {
	if s.plan.blind {
		return &watch{setup: s, exchange: r.exchange, losses: r.losses}, nil
	}
	now := situationOf(r.control, nil)
	if now.denied != nil {
		return nil, now.denied
	}
	if r.judge == nil {
		r.judge = newJudge(r.env, r.exchange.send, s.findings(now), time.Now())
	}
	return &watch{setup: s, exchange: r.exchange, losses: r.losses, judge: r.judge, lost: now.status.Lost}, nil
}

// run inspects until ctx ends, or until another socket is needed; then it interrupts the reader. It inspects at once
// where a record says that something changed, but not twice within a period where it had to be put right.
func (w *watch) run(ctx context.Context) step {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	nudge := w.exchange.nudge
	for {
		select {
		case <-ctx.Done():
			return end
		case <-tick.C:
			nudge = w.exchange.nudge
		case <-nudge:
		}
		now := time.Now()
		w.report(now)
		if w.plan.blind {
			continue
		}
		moved, repaired, err := w.inspect(now)
		if repaired {
			nudge = nil
		}
		if w.failing(err); moved {
			w.socket.Interrupt()
			return anew
		}
	}
}

// failing logs inspections that fail, once in a row, and takes a new socket for the next one.
func (w *watch) failing(err error) {
	if err == nil {
		w.failed = 0
		return
	}
	if w.failed++; w.failed == 2 { // one late reply is no news
		w.env.Logger.Warnf("The kernel's audit cannot be watched: %v", err)
	}
	if err := w.control.reopen(); err != nil {
		w.env.Logger.Debugf("%v", err)
	}
}

// report raises and ends the conditions of lost records.
func (w *watch) report(now time.Time) {
	overflows := plural.Of(w.env.Stats.LostSocket.Load(), "overflow") + " so far"
	w.lossy(health.SocketOverflow, w.losses.overflow.Load(), overflows, now)
	w.lossy(health.KernelLost, w.losses.kernel, plural.Of(w.env.Stats.LostKernel.Load(), "record")+" so far", now)
}

func (w *watch) lossy(c *health.Condition, last int64, detail string, now time.Time) {
	switch {
	case last == 0:
	case now.Sub(time.Unix(0, last)) < calm:
		w.env.Health.Set(c, w.env.ID, detail, now)
	default:
		w.env.Health.Clear(c, w.env.ID)
	}
}

// inspect asks the kernel once, and puts right what it can. moved says that another socket is needed,
// repaired that something had to be put right.
func (w *watch) inspect(now time.Time) (moved, repaired bool, err error) {
	acts := w.exchange.noted()
	s := situationOf(w.control, nil)
	if s.denied != nil {
		w.exchange.putBack(acts)
		return false, false, s.denied
	}
	w.count(s.status.Lost, now)
	w.judge.weigh(w.findings(s), s.rules, acts, time.Now(), false)
	if moved, err := w.holdSocket(s, now); err != nil || moved {
		return moved, false, err
	}
	gone := w.gone(s)
	if gone == "" {
		if p := decide(s, w.Options); p.incomplete == "" {
			w.env.Health.Clear(health.RulesMissing, w.env.ID)
		} else {
			w.env.Health.Set(health.RulesMissing, w.env.ID, p.incomplete, now)
		}
		return false, false, nil
	}
	w.env.Stats.RulesLost.Add(1)
	w.env.Health.Set(health.RulesMissing, w.env.ID, gone, now)
	if s.status.Enabled == locked {
		return false, true, nil // until a reboot
	}
	w.env.Logger.Infof("%s; putting it right.", gone)
	if err := w.repair(s); err != nil {
		return false, true, err
	}
	if s := situationOf(w.control, nil); s.denied == nil {
		// What was hidden was until now, not until the next inspection.
		w.judge.weigh(w.findings(s), s.rules, nil, time.Now(), false)
	}
	return false, true, nil
}

// conclude judges what is left when the module ends.
func (w *watch) conclude() {
	if w.plan.blind {
		return
	}
	acts := w.exchange.noted()
	if s := situationOf(w.control, nil); s.denied == nil {
		w.judge.weigh(w.findings(s), s.rules, acts, time.Now(), true)
	}
}

// count adds what the kernel lost since the last inspection. Its counter is 32 bits wide, and anybody may reset it.
func (w *watch) count(lost uint32, now time.Time) {
	delta := lost - w.lost
	if int32(delta) < 0 { // reset, not wrapped
		delta = lost
	}
	w.lost = lost
	if delta > 0 {
		w.env.Stats.LostKernel.Add(uint64(delta))
		w.losses.kernel = now.UnixNano()
		w.report(now)
	}
}

// holdSocket keeps the audit pid. moved says that the other kind of socket is needed.
func (w *watch) holdSocket(s situation, now time.Time) (moved bool, err error) {
	if w.plan.socket == unicast {
		switch {
		case s.status.PID == s.self:
			return false, nil
		case s.owner == "":
			w.env.Logger.Info("The kernel has let go of us as its audit daemon; registering again.")
			return false, w.takePID()
		case w.SocketType == unicast:
			return false, fmt.Errorf(
				"the audit pid was taken by %s (pid %d), and socket_type is unicast",
				s.owner,
				s.status.PID,
			)
		}
		w.env.Logger.Infof("The audit pid was taken by %s (pid %d); listening in beside it.", s.owner, s.status.PID)
		w.exchange.send(takeover(s, now))
		return true, nil
	}
	if w.SocketType != auto || s.owner != "" || s.status.Enabled == locked {
		w.freed = time.Time{}
		return false, nil
	}
	if w.freed.IsZero() {
		w.freed = now
	}
	if now.Sub(w.freed) < freeFor {
		return false, nil
	}
	w.env.Logger.Infof("The audit pid has been free for %s.", freeFor)
	return true, nil
}
