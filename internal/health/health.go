// SPDX-License-Identifier: Apache-2.0

// Package health is the one table of conditions in which reconbeat is less than healthy, and a Board that keeps which
// of them hold.
//
// A condition is a value declared here and nowhere else. Whoever sees it sets it on the Board, and clears it when it no
// longer holds. The Board calls its listeners (the log, the Elastic Agent's unit) when it begins and when it is over;
// heartbeats and /stats ask it what holds. A condition that comes and goes is over only when it was absent for a while,
// so that listeners hear of it at most once in that while, with how often it came.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Severity is what a condition means for detection.
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

// Condition is a state of less than full health.
type Condition struct {
	Code     string // stable, snake_case: the key in /stats and documents
	Title    string // one line for people
	Help     string // what a person can do about it
	Severity Severity
}

// The table of conditions.
var (
	SourceFailed = &Condition{
		Code: "source_failed", Severity: Failed,
		Title: "a module could not start or ended with an error",
		Help:  "Run `reconbeat test modules`: it says what works on this host.",
	}
	RulesMissing = &Condition{
		Code: "rules_missing", Severity: Failed,
		Title: "the kernel's audit rules for execs are gone or cannot be loaded",
		Help: "Somebody else flushes the rules (auditctl -D, augenrules), or they are immutable (auditctl -s: " +
			"enabled 2) until a reboot.",
	}
	AuditTampered = &Condition{
		Code: "audit_tampered", Severity: Degraded,
		Title: "somebody keeps the kernel's audit from reporting program starts",
		Help: "The document with event.kind alert and event.action changed-audit-configuration says who; `auditctl " +
			"-s` and `auditctl -l` show it. It ends when that is taken back.",
	}
	KernelLost = &Condition{
		Code: "kernel_lost", Severity: Degraded,
		Title: "the kernel dropped events before reconbeat could read them",
		Help:  "Raise the backlog (auditctl -b) or lower the load; execs of that moment were not seen.",
	}
	DispatcherLost = &Condition{
		Code: "dispatcher_lost", Severity: Degraded,
		Title: "auditd or its dispatcher dropped events before reconbeat could read them",
		Help: "Raise q_depth in auditd.conf, or the backlog (auditctl -b); execs of that moment were not seen. auditd's " +
			"own log says which queue was full.",
	}
	SocketOverflow = &Condition{
		Code: "socket_overflow", Severity: Degraded,
		Title: "the socket's buffer overflowed (ENOBUFS)",
		Help:  "Raise the module's socket buffer; execs of that moment were not seen.",
	}
	RingFull = &Condition{
		Code: "ring_full", Severity: Degraded,
		Title: "a kernel source was faster than detection and events were dropped",
		Help:  "The host is overloaded; execs of that moment were not seen.",
	}
	ClusterAway = &Condition{
		Code: "cluster_away", Severity: Degraded,
		Title: "the Elasticsearch cluster that a module reads does not answer, or refuses to",
		Help: "Nothing is lost: reading goes on where it was left. Check hosts and privileges; see " +
			"docs/modules/elasticsearch.md.",
	}
	StateUnreadable = &Condition{
		Code: "state_unreadable", Severity: Degraded,
		Title: "the state could not be read and was set aside",
		Help:  "reconbeat learns anew; the old file stands beside the new one for inspection.",
	}
	StateNotWritten = &Condition{
		Code: "state_not_written", Severity: Degraded,
		Title: "the state cannot be written",
		Help: "Check space and permissions of path.data; until then a restart forgets, and unacknowledged alerts may " +
			"be lost.",
	}
	OutputStalled = &Condition{
		Code: "output_stalled", Severity: Degraded,
		Title: "the output acknowledges nothing",
		Help:  "Run `reconbeat test output`; alerts are kept in the journal until it does.",
	}
	JournalFull = &Condition{
		Code: "journal_full", Severity: Degraded,
		Title: "the journal is at its bound and the oldest raw events are dropped",
		Help:  "Alerts are kept; bring the output back.",
	}
	EventsDropped = &Condition{
		Code: "events_dropped", Severity: Degraded,
		Title: "the output takes raw events more slowly than they come, and those that no rule matched are dropped",
		Help:  "Matches and alerts are kept; bring the output back, or set reconbeat.events to matched.",
	}
	ConfigRejected = &Condition{
		Code: "config_rejected", Severity: Degraded,
		Title: "a changed configuration is invalid; the last good one runs on",
		Help:  "Correct the file, or the Agent's policy, that the message names.",
	}
	SettingUnknown = &Condition{
		Code: "setting_unknown", Severity: Degraded,
		Title: "the Elastic Agent's policy has settings that reconbeat does not know and leaves aside",
		Help: "Correct their spelling, or put a module's setting into its stream. What a newer Agent adds, a newer " +
			"reconbeat knows.",
	}
	LossyModule = &Condition{
		Code: "lossy_module", Severity: Degraded,
		Title: "the only source that works here misses short programs",
		Help:  "Run as root, or follow auditd's log: see `reconbeat test modules`.",
	}
	DocumentsRejected = &Condition{
		Code: "documents_rejected", Severity: Degraded,
		Title: "the output refused documents for good",
		Help: "The data stream logs-reconbeat.rejected-NAMESPACE has them, each with the reason, or the failure store of " +
			"their own where that is on. See docs/elasticsearch.md.",
	}
	NotificationFailing = &Condition{
		Code: "notification_failing", Severity: Degraded,
		Title: "a target of reconbeat.notify does not take alerts",
		Help: "Run `reconbeat test notify`. What fails is tried again, and the output is not concerned; see " +
			"docs/notify.md.",
	}
	FeedbackUnread = &Condition{
		Code: "feedback_unread", Severity: Degraded,
		Title: "what analysts say of alerts in Kibana cannot be read",
		Help: "Detection goes on, and what was said is read later. Check hosts, space and privileges of " +
			"reconbeat.feedback.from_kibana; see docs/kibana.md.",
	}
	ModelNotRestored = &Condition{
		Code: "model_not_restored", Severity: Degraded,
		Title: "the learned model could not be restored",
		Help:  "reconbeat learns anew.",
	}
)

// Conditions returns the whole table.
func Conditions() []*Condition {
	return []*Condition{
		SourceFailed, RulesMissing, AuditTampered, KernelLost, DispatcherLost, SocketOverflow, RingFull,
		ClusterAway, StateUnreadable,
		StateNotWritten, OutputStalled, JournalFull, EventsDropped,
		DocumentsRejected, NotificationFailing, FeedbackUnread, ConfigRejected, SettingUnknown, LossyModule, ModelNotRestored,
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
	Again         // it went and came again, perhaps many times, since listeners last heard of it
	Ends
	Leaves // it held to the last, and whoever watches it watches no more: its module has ended
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
	off     time.Time // when Settle first found it cleared; zero: not yet
	heard   time.Time // when the listeners last heard of it
	count   int       // what Count was then
}

// HoldOff is a Board's HoldOff where people listen.
const HoldOff = time.Minute

// Board keeps the conditions that hold. It is safe for use by many goroutines. Its zero value is ready and has no
// listener.
type Board struct {
	// HoldOff is how long a condition must be absent to be over, and the least time between two calls about one that
	// comes and goes. Settle must be called now and then. 0: a condition is over when it is cleared.
	HoldOff time.Duration

	mu         sync.Mutex
	active     map[key]*kept
	announcing sync.Mutex // serialises the listeners
	listeners  []Listener
}

// Listen adds a listener. All are added before the first Set.
func (b *Board) Listen(l Listener) { b.listeners = append(b.listeners, l) }

// Set notes that a condition holds for a subject since now. Listeners hear of it when it begins, which Set reports.
func (b *Board) Set(c *Condition, subject, detail string, now time.Time) (began bool) {
	b.mu.Lock()
	if b.active == nil {
		b.active = map[key]*kept{}
	}
	k := b.active[key{c, subject}]
	if began = k == nil; began {
		k = &kept{State: State{Condition: c, Subject: subject, Since: now, Count: 1}, heard: now, count: 1}
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

// Clear notes that a condition does not hold for a subject at the moment. It is over when it stays absent for HoldOff.
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

// End ends a condition for a subject at once: somebody has decided it.
func (b *Board) End(c *Condition, subject string) {
	b.mu.Lock()
	k := b.active[key{c, subject}]
	delete(b.active, key{c, subject})
	b.mu.Unlock()
	if k != nil {
		b.announce(k.State, Ends)
	}
}

// Leave takes a condition of a subject off the Board that nobody watches any more. Whether it is over stays unknown,
// unless it did not hold at the moment.
func (b *Board) Leave(c *Condition, subject string) {
	b.mu.Lock()
	k := b.active[key{c, subject}]
	delete(b.active, key{c, subject})
	b.mu.Unlock()
	switch {
	case k == nil:
	case k.cleared:
		b.announce(k.State, Ends)
	default:
		b.announce(k.State, Leaves)
	}
}

// Settle ends the conditions that were absent for HoldOff, and reports those that came again, each at most once in
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
		if k.Count > k.count && now.Sub(k.heard) >= b.HoldOff {
			k.heard, k.count = now, k.Count
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
	b.announcing.Lock()
	defer b.announcing.Unlock()
	for _, l := range b.listeners {
		l(s, change)
	}
}

// Active returns the conditions that hold, or that were absent for less than HoldOff: the worst first, then by code and
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

// Status is "failed" or "degraded", as the worst of the conditions that hold, or "healthy" where none does.
func (b *Board) Status() string {
	if active := b.Active(); len(active) > 0 {
		return active[0].Condition.Severity.String()
	}
	return "healthy"
}
