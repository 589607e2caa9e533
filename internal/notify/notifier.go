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
	Missed() bool // something was deleted before it was read
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
	Refused   atomic.Uint64 // alerts that the target will not take, given up
	HeldBack  atomic.Uint64 // alerts that the limit held back, of which a message says how many
}

// Health takes note of a target's condition.
type Health interface {
	Failing(target string, detail string)
	Delivers(target string)
}

// The pauses of a Notifier.
const (
	lookEvery   = 250 * time.Millisecond
	firstRetry  = time.Second
	longestWait = 5 * time.Minute
)

// Notifier delivers alerts to one target.
type Notifier struct {
	Stats   Stats
	item    Item
	target  target
	alerts  Alerts
	limit   *rate.Limiter
	health  Health
	logger  *logp.Logger
	unsaved bool
}

// New makes the Notifier of an item that Check finds nothing wrong with.
func New(item Item, alerts Alerts, h Health, logger *logp.Logger) (*Notifier, error) {
	n := &Notifier{
		item: item, alerts: alerts, health: h, logger: logger.Named("notify").With("target", item.ID),
		limit: rate.NewLimiter(rate.Every(time.Hour/time.Duration(item.PerHour)), item.PerHour),
	}
	var err error
	switch {
	case item.Webhook != nil:
		n.target, err = newWebhook(item.Webhook, n.logger)
	case item.Syslog != nil:
		n.target, err = newSyslog(item.Syslog, n.logger)
	default:
		n.target, err = newProgram(item.Program)
	}
	if err != nil {
		return nil, fmt.Errorf("notify %s: %w", item.ID, err)
	}
	return n, nil
}

// ID is the item's.
func (n *Notifier) ID() string { return n.item.ID }

// Run delivers until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	defer n.target.close()
	missed := false
	for wait := firstRetry; ; {
		err := n.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if n.alerts.Missed() && !missed {
			missed = true
			n.logger.Error("alerts were not delivered: the target took none for so long that the oldest were deleted")
		}
		pause := lookEvery
		if err != nil {
			n.Stats.Failed.Add(1)
			n.health.Failing(n.item.ID, err.Error())
			pause, wait = wait, min(longestWait, 2*wait)
		} else {
			n.health.Delivers(n.item.ID)
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// pass delivers what is new. Its error says why the target does not take it.
func (n *Notifier) pass(ctx context.Context) error {
	err := n.alerts.Next(func(doc *beat.Event) error {
		if !n.item.wanted(doc) {
			return nil
		}
		n.save() // what came before this one
		return n.one(ctx, of(doc))
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if held := n.alerts.HeldBack(); err == nil && *held > 0 && n.limit.Tokens() >= 1 {
		if err = n.send(ctx, &Alert{Time: time.Now().UTC(), HeldBack: *held}); err == nil {
			*held = 0
		}
	}
	n.save()
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
	return n.send(ctx, a)
}

// send has the target take a message. What it refuses for good is given up.
func (n *Notifier) send(ctx context.Context, a *Alert) error {
	err := n.target.deliver(ctx, a)
	switch {
	case errors.Is(err, errRefused):
		n.Stats.Refused.Add(1)
		n.logger.Errorf("alert %s is not delivered: %v", a.ID, err)
	case err != nil:
		return err
	default:
		n.Stats.Delivered.Add(1)
	}
	n.limit.Allow()
	n.unsaved = true
	return nil
}

func (n *Notifier) save() {
	if !n.unsaved {
		return
	}
	n.unsaved = false
	if err := n.alerts.Save(); err != nil {
		n.logger.Errorf("after a restart alerts may be delivered again: %v", err)
	}
}
