// SPDX-License-Identifier: Apache-2.0

// Package health is the one table of the ways in which reconbeat can be less than healthy, and a Board that keeps which of them hold.
//
// A condition is a value declared here and nowhere else. Whoever sees it sets it on the Board; the Board tells its listeners (the log, /stats,
// later the Elastic Agent unit and the heartbeat document) when it begins and when it ends, once each.
package health

import (
	"sort"
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
}

// Listener hears when a condition begins (active) or ends. It is called with the Board unlocked, one call at a time.
type Listener func(s State, active bool)

type key struct {
	c       *Condition
	subject string
}

// Board keeps the conditions that hold. It is safe for use by many goroutines. Its zero value is ready and has no listener.
type Board struct {
	mu        sync.Mutex
	active    map[key]State
	tell      sync.Mutex // serialises the listeners
	listeners []Listener
}

// Listen adds a listener. All are added before the first Set.
func (b *Board) Listen(l Listener) { b.listeners = append(b.listeners, l) }

// Set says that a condition holds for a subject since now. Listeners hear of it only when it did not hold already, which Set reports.
func (b *Board) Set(c *Condition, subject, detail string, now time.Time) (began bool) {
	s := State{Condition: c, Subject: subject, Detail: detail, Since: now}
	b.mu.Lock()
	if b.active == nil {
		b.active = map[key]State{}
	}
	old, was := b.active[key{c, subject}]
	if was {
		s.Since = old.Since
	}
	b.active[key{c, subject}] = s
	b.mu.Unlock()
	if !was {
		b.announce(s, true)
	}
	return !was
}

// Clear says that a condition does not hold (any more) for a subject.
func (b *Board) Clear(c *Condition, subject string) {
	b.mu.Lock()
	s, was := b.active[key{c, subject}]
	delete(b.active, key{c, subject})
	b.mu.Unlock()
	if was {
		b.announce(s, false)
	}
}

func (b *Board) announce(s State, active bool) {
	b.tell.Lock()
	defer b.tell.Unlock()
	for _, l := range b.listeners {
		l(s, active)
	}
}

// Active returns the conditions that hold, the worst first, then by code and subject.
func (b *Board) Active() []State {
	b.mu.Lock()
	out := make([]State, 0, len(b.active))
	for _, s := range b.active {
		out = append(out, s)
	}
	b.mu.Unlock()
	sort.Slice(out, func(i, j int) bool {
		a, c := out[i], out[j]
		if a.Condition.Severity != c.Condition.Severity {
			return a.Condition.Severity > c.Condition.Severity
		}
		if a.Condition.Code != c.Condition.Code {
			return a.Condition.Code < c.Condition.Code
		}
		return a.Subject < c.Subject
	})
	return out
}

// Status is how things are all in all: "failed" or "degraded", as the worst of the conditions that hold, or "healthy" where none does.
func (b *Board) Status() string {
	if active := b.Active(); len(active) > 0 {
		return active[0].Condition.Severity.String()
	}
	return "healthy"
}
