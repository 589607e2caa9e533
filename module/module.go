// SPDX-License-Identifier: Apache-2.0

// Package module says what a source of process events is; each folder below holds one.
//
//	audisp    what auditd hands to the clients of its dispatcher
//	auditd    the kernel's audit netlink socket: complete; needs root, or CAP_AUDIT_CONTROL, and beside another audit
//	          daemon CAP_AUDIT_READ, too
//	auditlog  the log that auditd writes, followed, or read as a recording
//	ndjson    documents of other agents (Elastic Defend, auditd_manager, auditbeat) as NDJSON, followed, or read as a
//	          recording
//	elasticsearch
//	          documents of other agents in an Elasticsearch cluster, followed, or read as history
//	procconn  the kernel's process connector and /proc: works for a plain user, misses short programs
//
// Package catalog holds the literal table of constructors; there is no registry.
package module

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// Module is one configured source of process events. Its constructor validates options and opens nothing.
type Module interface {
	// Run reads from where the cursor says (the zero Cursor: from now on, or from the start in a replay) until ctx
	// ends, the input ends, or the source is lost for good. It is called once. emit is called from one goroutine, in
	// the source's order; the Event is valid only during the call. When emit returns an error, Run ends with it. nil
	// means ctx or the input ended.
	Run(ctx context.Context, from process.Cursor, emit func(*process.Event) error) error
}

// Env is what a module is given beside its options.
type Env struct {
	ID     string // of this configured module: "auditd", "auditlog-2"; the subject of its health conditions
	Logger *logp.Logger
	Stats  *Stats        // never nil
	Health *health.Board // never nil
	// Started is called at an exec on this host as soon as a source knows its pid, and before it knows the rest; may be
	// nil.
	Started func(pid uint32, at time.Time)
	// Recordings, in a replay, are the files of the option paths, opened; nil: the module opens them.
	Recordings []*recording.Recording
	// Malformed, in a replay, receives each thing that Stats.Malformed counts; may be nil.
	Malformed func(Malformed)
	// Other, in a replay, receives each thing that is well-formed and no program start, and what it is instead, in one
	// of a few texts; may be nil.
	Other  func(Other)
	Replay bool // a recording is read: from the start to the end, then Run returns; nothing on this host is read
	// Progress and Total, in a replay of a cluster, are kept at how many documents have been read, and are set to how
	// many there are; may be nil.
	Progress, Total *atomic.Int64
	// Programs returns the names of the programs that the enabled rules are about, so that a source may leave out the
	// others. It returns none where every exec is wanted. May be nil.
	Programs func() []string
	// Recent are the documents that an earlier run has read near the cursor; may be nil.
	Recent []byte
}

// Malformed is a record, line or document that could not be understood.
type Malformed struct {
	File string // where it stands, or which index; "-" is standard input
	Line uint64 // its number in the file, from 1
	ID   string // of a document in a cluster
	Kind string // what is wrong, in one of a few texts, by which a reader counts
	Why  string // what exactly is wrong
	Text []byte // how it begins; valid during the call only
}

// Other is a document that is well-formed and no program start.
type Other struct {
	File string // where it stands, or which index; "-" is standard input
	Line uint64 // its number in the file, from 1
	ID   string // of a document in a cluster
	What string // what it is instead, in one of a few texts
}

// Stats counts what a module saw and, above all, every way in which it missed something. All are safe to read at any
// time.
type Stats struct {
	Records    atomic.Uint64 // records, lines or documents read
	Execs      atomic.Uint64 // exec events handed on
	Malformed  atomic.Uint64 // records, lines or documents that could not be understood
	Truncated  atomic.Uint64 // events whose arguments were cut to the bound
	Incomplete atomic.Uint64 // events handed on without some of their records
	LostKernel atomic.Uint64 // records that the kernel says it dropped
	// times that the socket's buffer overflowed (ENOBUFS); how many records each cost is unknown
	LostSocket   atomic.Uint64
	LostSequence atomic.Uint64 // sequence numbers never seen
	LostRace     atomic.Uint64 // processes that were gone before /proc could be read
	LostFile     atomic.Uint64 // bytes of a followed file that vanished before they were read (rotation, truncation)
	// times that the kernel's audit rules were found deleted, or audit switched off, by somebody else
	RulesLost atomic.Uint64
	LastEvent atomic.Int64 // Unix time in nanoseconds of the newest event; 0: none yet

	// Of a cluster that is read:
	Pages     atomic.Uint64 // answers to searches for documents
	Retries   atomic.Uint64 // requests that failed and were sent again
	Late      atomic.Uint64 // documents that became visible after reading had gone past their place
	Repeated  atomic.Uint64 // documents that came again and were left out
	Elsewhere atomic.Uint64 // documents of hosts that belong to another partition
	Asked     atomic.Uint64 // ancestors that were asked for
	Lag       atomic.Int64  // how far the place of reading is behind now, in milliseconds
}

// Support is what a module says of itself on this host, for `test modules`, `auto` and the log line at start.
type Support struct {
	Works bool
	Why   string   // why it works or does not, one sentence
	Sees  []string // what it would see
	Blind []string // what it would not see
	Help  string   // what would make it work, or work better; may be empty
}

// Watermarker is a Module that knows better than the default until when nothing more can come.
type Watermarker interface {
	// Watermark returns the time before which the module will emit nothing more; it is safe for use while Run runs.
	Watermark(now time.Time) time.Time
}
