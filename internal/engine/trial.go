// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"
	"time"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/process"
)

// TrialArgument is, with the token behind it, the last argument of the program that a self test starts. Only the token
// that Expect was given is recognised: whoever copies the argument is judged like everybody else.
const TrialArgument = "reconbeat-test="

// Trial is the program start that a self test waits for.
type Trial struct {
	Token string
	Until time.Time // event time; what starts later is judged like every program start
	// Seen is called once, when the program start has come: by which module, which rule matched, and the id of its alert.
	// The rule and the id are empty where the module's processors dropped it.
	Seen func(module, rule, alertID string)
}

// Expect has the engine recognise the program start of a self test: its alert is marked as a test, nothing is learned
// from it, no control is asked and no story begins with it. A new trial takes the place of one that has not come.
func (eng *Engine) Expect(t Trial) { eng.trial = &t }

// expected reports whether an exec that a rule matched is that of the self test.
func (eng *Engine) expected(e *process.Event) bool {
	t := eng.trial
	switch {
	case t == nil || len(e.Args) == 0:
		return false
	case e.Time.After(t.Until):
		eng.trial = nil
		return false
	}
	return e.Args[len(e.Args)-1] == TrialArgument+t.Token
}

// tried publishes the alert of a self test.
func (eng *Engine) tried(exec *document.Exec, e *process.Event, from *document.Source, rules detector.RuleSet) {
	t := eng.trial
	eng.trial = nil
	r := eng.detector.RuleOf(rules)
	id := process.ID("test alert", eng.documents.Host.ID, t.Token)
	f := trialFinding(r, e, id)
	f.Actor = eng.detector.Actor(e)
	alert := exec.Alert(f)
	if alert == nil {
		eng.Counts.Dropped.Add(1)
		t.Seen(from.ID, "", "")
		return
	}
	alert.MarkTest(f, "a test of the whole way, from the kernel to the output, made by `reconbeat test alert --exec`; "+
		"nobody has "+r.Habit)
	t.Seen(from.ID, r.ID, id)
	eng.publish(alert)
}

// trialFinding is an alert in which only the occasion is made up.
func trialFinding(r *detector.Rule, e *process.Event, id string) *detector.Finding {
	return &detector.Finding{
		Kind: detector.Alert, Rule: r, Time: e.Time, Local: e.Time,
		Actor: detector.Actor{ID: e.User.ID, Name: e.User.Name}, User: e.User.Name, Program: r.Programs[0],
		Threshold: r.Threshold, Score: r.Threshold, AlertID: id, Episode: detector.Episode{ID: id, Start: e.Time},
	}
}

// thisProcess is the program start of this process.
func thisProcess(now time.Time, pid, ppid, uid int, executable string) *process.Event {
	e := &process.Event{}
	e.Reset()
	e.Kind, e.Time, e.Success = process.Exec, now, true
	e.PID, e.PPID, e.Executable = uint32(pid), uint32(ppid), executable
	e.User.ID = uint32(uid)
	host.NewAccounts().User(&e.User)
	e.Name, e.Args = "reconbeat", []string{"reconbeat", "test", "alert"}
	return e
}

// testID is the id of an alert that a test makes now.
func testID(hostID string, now time.Time) string {
	return process.ID("test alert", hostID, strconv.FormatInt(now.UnixNano(), 10))
}
