// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"errors"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/process"
)

// loop is the one goroutine that owns the engine: it feeds it from the ring, and lets time pass.
type loop struct {
	engine  *engine.Engine
	ring    *engine.Ring
	cursors *cursors
	host    *host.Host
	store   *state.Store
	journal *journal
	direct  *direct
	running *moduleSet
	heart   *heartbeat
	health  *health.Board
	latency *latencies
	trial   *trial
	clock   clock
	lag     worst // since the last heartbeat: from a program's start until it was judged
	logger  *logp.Logger

	applied func() bool // the modules that open episodes belong to are known
	calls   chan func()
	ended   chan struct{} // closed when the loop has ended

	rejected rejections
	saved    time.Time // when model and cursors were last saved
	drops    uint64    // events dropped by the ring when last looked
	dropAt   time.Time // and when that number last grew
}

// The kinds of messages by which other processes change the model of the Beat on this host.
const (
	InboxModel  = "model"  // what was learned, or exported, takes the place of what is known
	InboxForget = "forget" // an account, by id or name, is unknown again
	InboxReset  = "reset"  // everything is
	// InboxFeedback says what an alert was.
	InboxFeedback = "feedback"
	// InboxTrial asks for a self test: a TrialRequest.
	InboxTrial = "trial"
)

const (
	tickEvery = time.Second      // how often buckets and episodes may close
	saveEvery = 30 * time.Second // how often model and cursors are saved
)

// run feeds the engine until ctx ends.
func (l *loop) run(ctx context.Context) {
	defer close(l.ended)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.tick(time.Now())
		case call := <-l.calls:
			call()
		default:
		}
		if s := l.ring.Next(); s != nil {
			if s.Event.Kind != 0 { // one without carries a cursor alone
				l.take(s)
			}
			l.cursors.set(s.Source.ID, s.Event.Cursor)
			l.ring.Release()
			continue
		}
		select {
		case <-l.ring.Filled:
		case <-tick.C:
			l.tick(time.Now())
		case call := <-l.calls:
			call()
		case <-ctx.Done():
			return
		}
	}
}

// take has the engine judge an event, and notes how long that took and how late it was.
func (l *loop) take(s *engine.Slot) {
	began := time.Now()
	if s.Event.Time.Sub(l.clock.wall) > unwatched {
		l.watch(began)
	}
	matched := l.engine.Take(&s.Event, s.Source)
	if s.Event.Kind != process.Exec {
		return
	}
	now := time.Now()
	late := now.Sub(s.Event.Time)
	l.lag.note(late)
	if matched {
		l.latency.judge.Update(now.Sub(began).Microseconds())
		l.latency.judged.Update(late.Microseconds())
	}
}

// call calls f between two events, where it may touch the engine, and returns when it has.
func (l *loop) call(f func()) error {
	done := make(chan struct{})
	select {
	case l.calls <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-l.ended:
		return errors.New("reconbeat is stopping")
	}
}

// retire has the engine publish what is still to come of a module that ends. When the loop has ended, engine.Stop does.
func (l *loop) retire(from *document.Source) {
	_ = l.call(func() { l.engine.Retire(from, time.Now()) })
}

// configure changes the settings of the whole Beat while modules run. What was learned stays.
func (l *loop) configure(cfg config.Config, o detector.Options, controls *control.Set) error {
	var err error
	errCall := l.call(func() {
		if err = l.engine.Configure(cfg, o); err == nil {
			l.engine.SetControls(controls)
		}
		l.engine.Tally(time.Now())
	})
	if err := errors.Join(errCall, err); err != nil {
		return err
	}
	l.heart.every(cfg.Heartbeat.Period)
	return nil
}

// watch has the engine leave out what the clock has skipped.
func (l *loop) watch(now time.Time) {
	if l.clock.skipped(now) {
		l.logger.Infof("the host's clock was set forward, or the host slept: what lies between does not count as watched")
		l.engine.Skip()
	}
}

// tick closes what time closes: buckets, episodes, and the interval between two savings.
func (l *loop) tick(now time.Time) {
	if err := l.store.Inbox(l.accept); err != nil {
		l.logger.Errorf("reading the inbox: %v", err)
	}
	l.watch(now)
	l.engine.SettleOld()
	if mark := l.running.watermark(now, l.ring); l.applied() {
		l.engine.Advance(mark)
	}
	l.engine.Tally(now)
	l.direct.flush()
	l.direct.note(l.health, now)
	l.noteDrops(now)
	l.noteApproved(now)
	l.noteExpired(now)
	l.rejected.note(l.health, now)
	l.health.Settle(now)
	l.heart.beat(now)
	if now.Sub(l.saved) >= saveEvery {
		l.save()
		l.saved = now
	}
}

// noteDrops keeps the condition of a full ring as long as events were dropped within the last minute.
func (l *loop) noteDrops(now time.Time) {
	n := l.ring.Dropped.Load()
	switch {
	case n > l.drops:
		l.drops, l.dropAt = n, now
		l.health.Set(health.RingFull, "", plural.Of(n, "event")+" in all", now)
	case now.Sub(l.dropAt) > time.Minute:
		l.health.Clear(health.RingFull, "")
	}
}

// restore takes over what an earlier run had learned.
func (l *loop) restore(snap state.Snapshot) {
	l.restoreUsage(snap.Controls)
	if snap.Model == nil {
		return
	}
	if err := l.engine.Resume(snap.Model, snap.Taken); err != nil {
		l.health.Set(health.ModelNotRestored, "", err.Error(), time.Now())
		return
	}
	l.cursors.restore(snap)
}

// save hands model and cursors of this moment to the state. It runs where nothing is being judged.
func (l *loop) save() {
	var err error
	snap := state.Snapshot{Taken: time.Now()}
	if snap.Model, err = l.engine.Snapshot(); err == nil {
		err = l.cursors.snapshot(&snap)
	}
	if err == nil {
		snap.Controls = l.usage()
		err = l.store.SaveSnapshot(snap)
	}
	if err != nil {
		l.logger.Errorf("saving what was learned: %v", err)
	}
}

// keepDirect ends the way past the journal. What was not handed on is kept in the journal and ships at the next start,
// and so is what comes afterwards.
func (l *loop) keepDirect() {
	for _, doc := range l.direct.stop() {
		l.journal.write(doc)
	}
}

// accept takes a message of another process from the state's inbox.
func (l *loop) accept(kind string, payload []byte) error {
	switch kind {
	case InboxModel:
		if err := l.engine.Restore(payload); err != nil {
			l.logger.Errorf("the model that was handed over is not taken: %v", err)
			return nil // it would not be better the next time
		}
		l.health.End(health.ModelNotRestored, "")
		l.logger.Infof("the model that was handed over has been taken over")
	case InboxFeedback:
		fb, err := detector.ParseFeedback(payload)
		if err != nil {
			l.logger.Errorf("feedback is not taken: %v", err)
			return nil // it would not be better the next time
		}
		l.logger.Infof("feedback: %s", l.engine.Said(fb))
	case InboxTrial:
		if err := l.beginTrial(payload, time.Now()); err != nil {
			l.logger.Errorf("a self test is not begun: %v", err)
		}
		return nil // it changes nothing that was learned
	case InboxForget:
		l.logger.Infof("forgot %q, who was known to %s", payload, plural.Of(l.engine.Forget(string(payload)), "model"))
	case InboxReset:
		l.engine.Reset()
		l.health.End(health.ModelNotRestored, "")
		l.logger.Infof("everything that was learned has been forgotten, as was asked for")
	default:
		l.logger.Warnf("a message of the unknown kind %q is passed over", kind)
		return nil
	}
	l.saved = time.Time{} // soon
	return nil
}
