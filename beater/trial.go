// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/state"
)

// TrialTime is how long a self test waits for its program to arrive.
const TrialTime = 2 * time.Minute

// TrialRequest asks the running Beat to recognise the program start of a self test.
type TrialRequest struct {
	Token string    `json:"token"` // as rand.Text makes it
	At    time.Time `json:"at"`
}

var trialToken = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// trial keeps how far the latest self test has come, in the state, for the command that asked for it.
type trial struct {
	dir    string
	logger *logp.Logger

	mu      sync.Mutex
	now     state.Trial
	refused func() uint64 // documents so far that the output refused
	before  uint64        // of them, when the alert was made
}

// change changes and writes how far it has come.
func (t *trial) change(how func(*state.Trial)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	how(&t.now)
	if err := state.WriteTrial(t.dir, t.now); err != nil {
		t.logger.Errorf("self test: %v", err)
	}
}

// settled hears that libbeat is through with an alert of a test.
func (t *trial) settled(alertID string, dropped bool) {
	t.mu.Lock()
	mine := t.now.AlertID == alertID
	t.mu.Unlock()
	if mine {
		t.change(func(s *state.Trial) {
			s.Settled, s.Filtered, s.Refused = time.Now(), dropped, t.refused() > t.before
		})
	}
}

// beginTrial takes a request for a self test up. One that was written long ago is nobody's any more.
func (l *loop) beginTrial(payload []byte, now time.Time) error {
	var ask TrialRequest
	if err := json.Unmarshal(payload, &ask); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if !trialToken.MatchString(ask.Token) {
		return fmt.Errorf("invalid token %q (want 26 letters and digits)", ask.Token)
	}
	if late := now.Sub(ask.At); late > TrialTime || late < -TrialTime {
		return fmt.Errorf("the request is %s old", late.Round(time.Second))
	}
	t := state.Trial{Token: ask.Token, Taken: now}
	for _, s := range l.running.sources() {
		if s.Local {
			t.Modules = append(t.Modules, s.ID)
		} else {
			t.Others = append(t.Others, s.ID)
		}
	}
	for _, r := range l.engine.Rules() {
		t.Programs = append(t.Programs, r.Programs[0])
	}
	for _, s := range l.health.Active() {
		line := fmt.Sprintf("%s: %s. %s", s.Condition.Code, s.Condition.Title, s.Condition.Help)
		if s.Detail != "" {
			line = fmt.Sprintf("%s: %s (%s). %s", s.Condition.Code, s.Condition.Title, s.Detail, s.Condition.Help)
		}
		t.Conditions = append(t.Conditions, line)
	}
	l.engine.Expect(engine.Trial{
		Token: ask.Token, Until: now.Add(TrialTime),
		Seen: func(module, rule, alertID string) {
			l.trial.change(func(s *state.Trial) {
				if rule == "" {
					s.Dropped = module
					return
				}
				s.Module, s.Rule, s.AlertID = module, rule, alertID
				l.trial.before = l.trial.refused()
			})
		},
	})
	l.trial.change(func(s *state.Trial) { *s = t })
	return nil
}
