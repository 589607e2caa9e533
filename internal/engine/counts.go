// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/process"
)

// Counts is what an engine did, for /stats and the summaries of `watch` and `replay`.
type Counts struct {
	Execs     atomic.Uint64 // execs judged or passed over
	Matched   atomic.Uint64 // execs that a rule matched
	Alerts    atomic.Uint64 // alerts, escalations among them
	Repeats   atomic.Uint64 // execs over the threshold in an episode that had alerted
	Held      atomic.Uint64 // alerts that a control held back, the limit among them
	Limited   atomic.Uint64 // matches over the threshold that the limit held back
	Unlearned atomic.Uint64 // matches that a control kept out of the model
	Summaries atomic.Uint64 // episodes closed
	Stories   atomic.Uint64 // correlations: alerts that several alerts are one story
	Tampered  atomic.Uint64 // changes that kept execs, or who is behind them, from being reported
	Dropped   atomic.Uint64 // execs that a module's processors dropped: neither judged nor learned
	Misfits   atomic.Uint64 // documents that a module's processors or index failed on: they ship all the same
	// alerts that lack a part of what their account may do, which could not be read
	AccountsUnread atomic.Uint64

	// What the engine's parts count for themselves, as of the last Tally.
	Unnamed   atomic.Uint64 // matches whose user is unknown: neither scored nor learned
	Late      atomic.Uint64 // matches older than their model's open bucket: judged, not learned
	Evicted   atomic.Uint64 // users and open episodes forgotten for want of room
	Processes atomic.Pointer[process.TableStats]
	Model     atomic.Pointer[Known]
	// Controls are those in force, with how often each was used; nil: none.
	Controls atomic.Pointer[control.Set]
}

// Known is how much the model in charge knows, and the rules that it serves.
type Known struct {
	Age    time.Duration // for how long it has learned
	Actors int
	Rules  []string // ids of the enabled rules
}

// add counts a finding.
func (c *Counts) add(f *detector.Finding) {
	if len(f.Controls) > 0 && f.OfExec() {
		if controls := c.Controls.Load(); controls != nil { // the limit holds back without any
			controls.Count(f)
		}
		if f.Held == detector.HeldAlert {
			c.Held.Add(1)
			if slices.ContainsFunc(f.Controls, detector.Control.Limits) {
				c.Limited.Add(1)
			}
		}
		if slices.ContainsFunc(f.Controls, func(by detector.Control) bool { return by.NoLesson() }) {
			c.Unlearned.Add(1)
		}
	}
	switch f.Kind {
	case detector.Alert:
		c.Alerts.Add(1)
	case detector.Repeat:
		c.Repeats.Add(1)
	case detector.Summary:
		c.Summaries.Add(1)
	case detector.Correlated:
		c.Stories.Add(1)
	}
}
