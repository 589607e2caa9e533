// SPDX-License-Identifier: Apache-2.0

// Package health is the one table of the ways in which reconbeat can be less than healthy, and a Board that keeps which
// of them hold.
//
// A condition is a value declared here and nowhere else. Whoever sees it sets it on the Board, and clears it when it
// does not hold. The Board tells its listeners (the log, the Elastic Agent's unit) when it begins and when it is over;
// heartbeats and /stats ask it what holds. A condition that comes and goes is over only when it has held off for a
// while, so that it is told at most once in that while, with how often it came.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Severity tells what a condition means for detection.
type Severity uint8

// The severities, in the words of the Elastic Agent.
const (
	Degraded Severity = iota + 1 // detection goes on, with something missing
	Failed                       // nothing is detected
)

// String returns "degraded" or "failed".
func (s Severity) String() string {
	if s == Failed {
		return "failed"
	}
	return "degraded"
}

// Condition is one way of not being healthy.
type Condition struct {
	Code     string // stable, snake_case: the key in /stats and documents
	Title    string // one line for people
	Help     string // what a person can do about it
	Severity Severity
}

// The table of conditions.
var (
	SourceFailed      = &Condition{"source_failed", "a module could not start or ended with an error", "Run `reconbeat test modules`: it says what works on this host.", Failed}
	RulesMissing      = &Condition{"rules_missing", "the kernel's audit rules for execs are gone or cannot be loaded", "Somebody else flushes the rules (auditctl -D, augenrules), or they are immutable (auditctl -s: enabled 2) until a reboot.", Failed}
	AuditTampered     = &Condition{"audit_tampered", "somebody keeps the kernel's audit from reporting program starts", "The document with event.kind alert and event.action changed-audit-configuration says who; `auditctl -s` and `auditctl -l` show it. It ends when that is taken back.", Degraded}
	KernelLost        = &Condition{"kernel_lost", "the kernel dropped events before reconbeat could read them", "Raise the backlog (auditctl -b) or lower the load; execs of that moment were not seen.", Degraded}
	SocketOverflow    = &Condition{"socket_overflow", "the socket's buffer overflowed (ENOBUFS)", "Raise the module's socket buffer; execs of that moment were not seen.", Degraded}
	RingFull          = &Condition{"ring_full", "a kernel source was faster than detection and events were dropped", "The host is overloaded; execs of that moment were not seen.", Degraded}
	StateUnreadable   = &Condition{"state_unreadable", "the state could not be read and was set aside", "reconbeat learns anew; the old file stands beside the new one for inspection.", Degraded}
	StateNotWritten   = &Condition{"state_not_written", "the state cannot be written", "Check space and permissions of path.data; until then a restart forgets, and unacknowledged alerts may be lost.", Degraded}
	OutputStalled     = &Condition{"output_stalled", "the output acknowledges nothing", "Run `reconbeat test output`; alerts are kept in the journal until it does.", Degraded}
	JournalFull       = &Condition{"journal_full", "the journal is at its bound and the oldest raw events are dropped", "Alerts are kept; bring the output back.", Degraded}
	ConfigRejected    = &Condition{"config_rejected", "a changed configuration is invalid; the last good one runs on", "Correct the file, or the Agent's policy, that the message names.", Degraded}
	SettingUnknown    = &Condition{"setting_unknown", "the Elastic Agent's policy has settings that reconbeat does not know and leaves aside", "Correct their spelling, or put a module's setting into its stream. What a newer Agent adds, a newer reconbeat knows.", Degraded}
	LossyModule       = &Condition{"lossy_module", "the only source that works here misses short programs", "Run as root, or follow auditd's log: see `reconbeat test modules`.", Degraded}
	DocumentsRejected = &Condition{"documents_rejected", "the output refused documents for good", "The data stream logs-reconbeat.rejected-NAMESPACE has them, each with the reason. See docs/elasticsearch.md.", Degraded}
	ModelNotRestored  = &Condition{"model_not_restored", "the learned model could not be restored", "reconbeat learns anew.", Degraded}
)

// Conditions returns the whole table.
func Conditions() []*Condition {
	return []*Condition{
		SourceFailed, RulesMissing, AuditTampered, KernelLost, SocketOverflow, RingFull, StateUnreadable, StateNotWritten, OutputStalled, JournalFull,
		DocumentsRejected, ConfigRejected, SettingUnknown, LossyModule, ModelNotRestored,
	}
}

// State is a condition that holds.
type State struct {
	Condition *Condition
	Subject   string // what it is about: a module's id, a file; may be empty
	Detail    string // the particulars for people
	Since     time.Time
	Count     int // how often it came since then: 1, more when it went in between
}

// String is the condition's code, and how often it came where that is more than once.
func (s State) String() string {
	if s.Count > 1 {
		return fmt.Sprintf("%s (%d times)", s.Condition.Code, s.Count)
	}
	return s.Condition.Code
}

// Change is what became of a condition.
type Change uint8

// The changes that listeners hear of.
const (
	Begins Change = iota + 1
	Again         // it went and came again, perhaps many times, since it was last told
	Ends
)

// Listener hears of a condition's changes. It is called with the Board unlocked, one call at a time.
type Listener func(s State, change Change)

type key struct {
	c       *Condition
	subject string
}

// kept is a condition with what the Board must know of it.
type kept struct {
	State
	cleared bool      // it does not hold at the moment
	off     time.Time // since when, as Settle has found it; zero: not yet
	told    time.Time // when the listeners last heard of it
	count   int       // and what Count was then
}

// HoldOff is how long a condition must not have held to be over where things are told to people.
const HoldOff = time.Minute

// Board keeps the conditions that hold. It is safe for use by many goroutines. Its zero value is ready, has no
// listener, and takes a condition that is cleared for over.
type Board struct {
	// HoldOff is how long a condition must not have held to be over, and the least time between two tellings of it.
	// Somebody must call Settle then.
	HoldOff time.Duration

	mu        sync.Mutex
	active    map[key]*kept
	tell      sync.Mutex // serialises the listeners
	listeners []Listener
}

// Listen adds a listener. All are added before the first Set.
func (b *Board) Listen(l Listener) { b.listeners = append(b.listeners, l) }

// Set says that a condition holds for a subject since now. Listeners hear of it only when it was over, which Set
// reports.
func (b *Board) Set(c *Condition, subject, detail string, now time.Time) (began bool) {
	b.mu.Lock()
	if b.active == nil {
		b.active = map[key]*kept{}
	}
	k := b.active[key{c, subject}]
	if began = k == nil; began {
		k = &kept{State: State{Condition: c, Subject: subject, Since: now, Count: 1}, told: now, count: 1}
		b.active[key{c, subject}] = k
	} else if k.cleared {
		k.Count++
	}
	k.Detail, k.cleared, k.off = detail, false, time.Time{}
	s := k.State
	b.mu.Unlock()
	if began {
		b.announce(s, Begins)
	}
	return began
}

// Clear says that a condition does not hold for a subject at the moment. It is over when it has stayed so for HoldOff.
func (b *Board) Clear(c *Condition, subject string) {
	if b.HoldOff == 0 {
		b.End(c, subject)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.active[key{c, subject}]; k != nil {
		k.cleared = true
	}
}

// End says that a condition is over for a subject at once: the subject is gone, or somebody has decided it.
func (b *Board) End(c *Condition, subject string) {
	b.mu.Lock()
	k := b.active[key{c, subject}]
	delete(b.active, key{c, subject})
	b.mu.Unlock()
	if k != nil {
		b.announce(k.State, Ends)
	}
}

// Settle ends the conditions that have held off for HoldOff, and tells of those that came again, each at most once in
// HoldOff. It is called now and then.
func (b *Board) Settle(now time.Time) {
	var over, again []State
	b.mu.Lock()
	for at, k := range b.active {
		switch {
		case k.cleared && k.off.IsZero():
			k.off = now
		case k.cleared && now.Sub(k.off) >= b.HoldOff:
			delete(b.active, at)
			over = append(over, k.State)
			continue
		}
		if k.Count > k.count && now.Sub(k.told) >= b.HoldOff {
			k.told, k.count = now, k.Count
			again = append(again, k.State)
		}
	}
	b.mu.Unlock()
	for _, s := range inOrder(again) {
		b.announce(s, Again)
	}
	for _, s := range inOrder(over) {
		b.announce(s, Ends)
	}
}

func (b *Board) announce(s State, change Change) {
	b.tell.Lock()
	defer b.tell.Unlock()
	for _, l := range b.listeners {
		l(s, change)
	}
}

// Active returns the conditions that hold, or that have not held off for long enough, the worst first, then by code and
// subject.
func (b *Board) Active() []State {
	b.mu.Lock()
	out := make([]State, 0, len(b.active))
	for _, k := range b.active {
		out = append(out, k.State)
	}
	b.mu.Unlock()
	return inOrder(out)
}

func inOrder(states []State) []State {
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(
			cmp.Compare(b.Condition.Severity, a.Condition.Severity),
			cmp.Compare(a.Condition.Code, b.Condition.Code),
			cmp.Compare(a.Subject, b.Subject),
		)
	})
	return states
}

// Status is how things are all in all: "failed" or "degraded", as the worst of the conditions that hold, or "healthy"
// where none does.
func (b *Board) Status() string {
	if active := b.Active(); len(active) > 0 {
		return active[0].Condition.Severity.String()
	}
	return "healthy"
}
