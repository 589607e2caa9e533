// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/notify"
	"github.com/reconbeat/reconbeat/internal/state"
)

// notifiers deliver alerts to people, beside the output. They read the alert log by themselves: nothing waits for them.
type notifiers []*notify.Notifier

// newNotifiers makes a notifier for each target of a configuration, on the state in dir, which is open.
func newNotifiers(
	cfg config.Config, dir, host string, board *health.Board, logger *logp.Logger,
) (all notifiers, err error) {
	items, err := cfg.Targets()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, item := range items {
		log, err := state.ResumeAlerts(dir, item.ID)
		if err != nil {
			logger.Errorf("notify %s begins with the next alert: %v", item.ID, err)
			if log, err = state.ResumeAlerts(dir, item.ID); err != nil {
				return nil, fmt.Errorf("notify %s: %w", item.ID, err)
			}
		}
		n, err := notify.New(item, host, undelivered{log}, targetHealth{board}, logger)
		if err != nil {
			return nil, err
		}
		all, ids = append(all, n), append(ids, item.ID)
	}
	return all, state.ForgetAlerts(dir, ids)
}

// start delivers alerts until the function that it returns is called. Then what is being delivered is cancelled, and
// comes again at the next start.
func (all notifiers) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, n := range all {
		wg.Go(func() { n.Run(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// undelivered are the alerts that one target has not taken yet.
type undelivered struct{ log *state.AlertDelivery }

var _ notify.Alerts = undelivered{}

// Next calls each with every document that is new. A line that is no document was cut off by a crash.
func (a undelivered) Next(each func(*beat.Event) error) error {
	return a.log.Next(func(line []byte) error {
		doc, err := decode(line)
		if err != nil {
			return nil
		}
		return each(&doc)
	})
}

// Save keeps the place of reading.
func (a undelivered) Save() error { return a.log.Save() }

// HeldBack is how many alerts are held back.
func (a undelivered) HeldBack() *int { return &a.log.HeldBack }

// Missed reports whether alerts were deleted before they were read, since it was last asked.
func (a undelivered) Missed() bool {
	missed := a.log.Missed > 0
	a.log.Missed = 0
	return missed
}

// targetHealth sets and clears the condition of a target.
type targetHealth struct{ board *health.Board }

// Failing notes that a target does not take alerts.
func (h targetHealth) Failing(target, detail string) {
	h.board.Set(health.NotificationFailing, target, detail, time.Now())
}

// Delivers notes that a target takes alerts.
func (h targetHealth) Delivers(target string) { h.board.Clear(health.NotificationFailing, target) }
