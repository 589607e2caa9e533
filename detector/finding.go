// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"time"

	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/process"
)

// Kind is what a Finding is about.
type Kind uint8

// The kinds of Finding. The first three are about one exec, the others about more.
const (
	// Observation is a match that alerts nobody: its score is below the threshold, or the model is too young.
	Observation Kind = iota + 1
	// Alert is a match over the threshold that opens an episode, or reaches a higher band in one.
	Alert
	// Repeat is a further match of an episode that has alerted, or any in a context that the actor is on probation in.
	Repeat
	// Summary is an episode that closed; from Advance, or from the Judge that opens the next one.
	Summary
	// Habitual is a context that raised an alert and has become a habit; from the Judge of the match that made it one.
	Habitual
	// Learned is a model that has become old enough to alert; from Advance.
	Learned
	// Limited is what the limit of alerts held back; from Advance, or from the Judge of a match behind its end.
	Limited
	// Answered is what a person has said of an alert; from Said.
	Answered
	// Correlated is an alert that several alerts of a host are one story; from the Judge of the one that showed it.
	Correlated
	// CorrelationEnd is all that came of a Correlated; from Advance, or from the Judge of the host's next alert.
	CorrelationEnd
)

// Finding is what the detector reports of one exec under one rule, of one episode at its end, or of what was learned.
type Finding struct {
	Kind      Kind
	Rule      *Rule
	Time      time.Time // of the exec, or of the episode's close
	Local     time.Time // of the exec, by the clock on the wall of its host; zero in a Summary
	Actor     Actor
	User      string // user.name as the rare model knows it
	Program   string // the rule's program that ran
	Threshold float64

	Score    float64 // of the model in charge, 0 to 100
	Rarity           // by the rare model
	Context  *Context
	Learning bool  // the context model is too young to alert
	Visit    Visit // that the match belongs to; zero where the context model is not in charge

	AlertID string // the _id of the alert; of a Repeat and a Summary, that of the one which opened the episode
	// EarlierID is, of an escalation, the alert that opened the episode; of an actor who was forgotten after an alert,
	// that one; else the last one of the actor's probations.
	EarlierID string
	Escalated bool
	// Aftermath is of the alert in whose aftermath an account came that had never been seen; zero: none.
	Aftermath Aftermath
	Episode   Episode // empty for an Observation
	Banded    bool    // the severity is that of the score's band, not the rule's

	Controls []Control // that hold something of the match back, or tag it; of a Habitual, under which it became one
	Held     string    // what they held back of a match over the threshold, HeldAlert or HeldRepeat; else empty

	// Feedback is what a person has said: of an Answered; of a match, of an alert in its context, where that changes what
	// becomes of the match.
	Feedback *Feedback
	Answer   string // what the feedback does; of an Answered
	Raised   int    // the band that it is raised to, because its context was called malicious; 0: none

	Correlation Correlation // of an alert and its summary, the id; of a Correlated and its end, all of it

	TypicalUsers []string // who usually does this, the most frequent first; of alerts only
	Habit        Habit    // when the actor's probation ends; of alerts only

	Summary  EpisodeSummary // of a Summary
	Became   Became         // of a Habitual
	Report   Report         // of a Learned
	Withheld Withheld       // of a Limited

	// After is of a match that was judged a second time, with what ran in its session after it: until when. Zero: it was
	// judged at once.
	After time.Time
	Exec  *process.Event // of an alert that is not from Judge: what it is about; valid until the detector is called again

	host    string // of a CorrelationEnd: its id
	counted bool   // the episode has the exec already
}

// Host is the id of the host that a finding about several alerts is of; empty: the document of an exec has it.
func (f *Finding) Host() string { return f.host }

// OfExec reports whether the finding is about one exec, which has a document of its own.
func (f *Finding) OfExec() bool { return f.Kind <= Repeat }

// Rarity is how rare the user of an exec is, by the rare model.
type Rarity struct {
	RecordScore     float64 // as if its bucket closed with this exec
	Probability     float64
	FirstOccurrence bool
	BucketStart     time.Time
	BucketSpan      time.Duration
	Buckets         int // learned so far
	Users           int // that the model knows
}

// Context is what the context model says of an exec, and what it saw.
type Context struct {
	habit.Result
	Match   habit.Match   // its strings are views into the event
	Profile habit.Profile // what is usual for the actor; of execs over the threshold
	Known   bool          // there is a Profile: the actor was seen before
}

// Aftermath is what an alert on an actor who had never been seen leaves behind for others: for 30 days, and until
// somebody explains it, an account that was never seen is the likelier an intruder's.
type Aftermath struct {
	AlertID string
	Account string    // that alerted, by its name, else its id
	Alerted time.Time // when
}

// Visit is what an actor does under a rule without a pause.
type Visit struct {
	ID       string
	Start    time.Time // of its first match
	Matches  int       // until now, this one included
	Commands []Command // the first distinct ones, this one's included; of alerts alone
}

// Command is a command line and how often it was.
type Command struct {
	Line  string `json:"line"`
	Count int    `json:"count"`
}

// Episode is what an actor does under a rule beginning with the first exec over the threshold, or in a context that
// they are on probation in.
type Episode struct {
	ID    string
	Start time.Time // of the opening exec
}

// Became is a context that has become a habit.
type Became struct {
	Context []string // in words
	Since   time.Time
	Days    int // on how many it was seen
}

// Report is what a rule has learned of a host when its alerts begin.
type Report struct {
	Host   string          // its id; empty: this host
	Days   float64         // for how long it was watched
	Actors []habit.Profile // all who did what the rule is about
}
