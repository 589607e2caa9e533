// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"golang.org/x/time/rate"
)

// Alerts are the alerts of this host, from where the target was before. Next calls each with every document that is
// new; the error is each's, and the next call begins with the same document again. Save keeps the place, and how many
// alerts are held back.
type Alerts interface {
	Next(each func(*beat.Event) error) error
	Save() error
	HeldBack() *int
	Missed() bool // since the last call, something was deleted before it was read
}

// target is what an alert is delivered to. An error that wraps errRefused is for good; any other one is tried again.
type target interface {
	deliver(ctx context.Context, a *Alert) error
	close()
}

// Stats counts what a Notifier did. All are safe to read at any time.
type Stats struct {
	Delivered atomic.Uint64 // messages that the target took
	Failed    atomic.Uint64 // attempts that failed and are made again
	Refused   atomic.Uint64 // messages that the target does not take, given up
	HeldBack  atomic.Uint64 // alerts that the limit held back, of which a message says how many
	Missed    atomic.Uint64 // times that alerts were deleted before the target took them
}

// Health takes note of a target's condition.
type Health interface {
	Failing(target string, detail string)
	Delivers(target string)
}

// The pauses of a Notifier.
const (
	checkEvery  = 250 * time.Millisecond
	firstRetry  = time.Second
	longestWait = 5 * time.Minute
)

// mostTries is after how many failed attempts with one alert the next one is tried as well: where that is taken, the
// first is at fault and not the target.
const mostTries = 10

// Notifier delivers alerts to one target.
type Notifier struct {
	Stats  Stats
	item   Item
	host   string
	target target
	alerts Alerts
	limit  *rate.Limiter
	health Health
	logger *logp.Logger
	after  func(time.Duration) <-chan time.Time

	unsaved bool
	trying  string // the id of the alert that the target does not take
	tries   int
	suspect *Alert // perhaps at fault itself, and passed over; the place is not saved meanwhile
	stuck   error  // why the suspect is not taken
}

// New makes the Notifier of an item that Check finds nothing wrong with. host is this host's name.
func New(item Item, host string, alerts Alerts, h Health, logger *logp.Logger) (*Notifier, error) {
	logger = logger.Named("notify").With("target", item.ID)
	t, err := newTarget(item, logger)
	if err != nil {
		return nil, err
	}
	return &Notifier{
		item: item, host: host, target: t, alerts: alerts, health: h, logger: logger, after: time.After,
		limit: rate.NewLimiter(rate.Every(time.Hour/time.Duration(item.PerHour)), item.PerHour),
	}, nil
}

func newTarget(item Item, logger *logp.Logger) (t target, err error) {
	switch {
	case item.Webhook != nil:
		t, err = newWebhook(item.Webhook, logger)
	case item.Syslog != nil:
		t, err = newSyslog(item.Syslog, logger)
	default:
		t = newProgram(item.Program, logger)
	}
	if err != nil {
		return nil, fmt.Errorf("notify %s: %w", item.ID, err)
	}
	return t, nil
}

// Try sends one alert to the target of an item, once.
func Try(ctx context.Context, item Item, a *Alert, logger *logp.Logger) error {
	t, err := newTarget(item, logger)
	if err != nil {
		return err
	}
	defer t.close()
	return t.deliver(ctx, a)
}

// ID is the item's.
func (n *Notifier) ID() string { return n.item.ID }

// Run delivers until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	defer n.target.close()
	for wait := firstRetry; ; {
		err := n.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		n.miss()
		pause := checkEvery
		if err != nil {
			n.health.Failing(n.item.ID, err.Error())
			pause, wait = wait, min(longestWait, 2*wait)
		} else {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-n.after(pause):
		}
	}
}

// pass delivers what is new. Its error says why the target does not take it.
func (n *Notifier) pass(ctx context.Context) error {
	defer n.save()
	if n.suspect != nil {
		if n.stuck = n.send(ctx, n.suspect); n.stuck == nil {
			n.acquit()
		}
	}
	err := n.alerts.Next(func(doc *beat.Event) error {
		if !n.item.wanted(doc) {
			return nil
		}
		n.save() // what came before this one
		return n.one(ctx, of(doc, n.host))
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && n.suspect != nil {
		return n.stuck // there is no other to try
	}
	if held := n.alerts.HeldBack(); err == nil && *held > 0 && n.limit.Tokens() >= 1 {
		if err = n.send(ctx, heldBack(n.host, *held, time.Now())); err == nil {
			*held = 0
		}
	}
	return err
}

// one delivers an alert, unless the limit holds it back.
func (n *Notifier) one(ctx context.Context, a *Alert) error {
	if n.limit.Tokens() < 1 {
		n.Stats.HeldBack.Add(1)
		*n.alerts.HeldBack()++
		n.unsaved = true
		return nil
	}
	before := n.Stats.Delivered.Load()
	err := n.send(ctx, a)
	switch {
	case ctx.Err() != nil: // it was cancelled, and comes again
	case n.suspect != nil && n.Stats.Delivered.Load() > before:
		n.judge(ctx)
	case err != nil && n.suspect == nil:
		if n.trying != a.ID {
			n.trying, n.tries = a.ID, 0
		}
		if n.tries++; n.tries >= mostTries {
			n.suspect, n.stuck = a, err
			return nil
		}
	}
	return err
}

// acquit ends a suspicion: the target takes the alert after all.
func (n *Notifier) acquit() { n.suspect, n.trying = nil, "" }

// judge gives an alert up that the target does not take right after it took another one.
func (n *Notifier) judge(ctx context.Context) {
	err := n.send(ctx, n.suspect)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		n.giveUp(n.suspect, fmt.Errorf("the target takes others: %w", err))
	}
	n.acquit()
}

// send has the target take a message. What it refuses for good is given up.
func (n *Notifier) send(ctx context.Context, a *Alert) error {
	err := n.target.deliver(ctx, a)
	switch {
	case errors.Is(err, errRefused):
		n.giveUp(a, err)
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		n.Stats.Failed.Add(1)
		return err
	default:
		n.Stats.Delivered.Add(1)
		n.health.Delivers(n.item.ID)
	}
	n.limit.Allow()
	n.unsaved = true
	return nil
}

// miss reports what will not be delivered because this host keeps it no longer.
func (n *Notifier) miss() {
	if !n.alerts.Missed() {
		return
	}
	const why = "the oldest alerts were deleted before the target took them"
	n.Stats.Missed.Add(1)
	n.health.Failing(n.item.ID, why)
	n.logger.Errorf("alerts are not delivered: %s", why)
}

// giveUp reports a message that will not be delivered.
func (n *Notifier) giveUp(a *Alert, why error) {
	n.Stats.Refused.Add(1)
	n.health.Failing(n.item.ID, why.Error())
	n.logger.Errorf("alert %s is not delivered: %v", a.ID, why)
}

func (n *Notifier) save() {
	if !n.unsaved || n.suspect != nil {
		return
	}
	n.unsaved = false
	if err := n.alerts.Save(); err != nil {
		n.logger.Errorf("after a restart alerts may be delivered again: %v", err)
	}
}
