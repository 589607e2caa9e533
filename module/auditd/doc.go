// SPDX-License-Identifier: Apache-2.0

// Package auditd reads process events from the kernel's audit subsystem over netlink, live.
//
// # Two sockets
//
// Records arrive on one socket (package netlink) that does nothing else, and each record is handed to package record,
// which puts events together. Status and rules travel on another (control.go), so that a reply never stands behind ten
// thousand records, and no record is lost because somebody waited for a reply.
//
// # From situation to records
//
// What the kernel says of itself is gathered into a situation, and decide (plan.go), a pure function, turns it into a
// plan: which socket, which settings, whether rules are added, or why nothing will come. A setup (setup.go) carries the
// plan out for one socket, and takes everything back at its end: own rules deleted, settings as they were, the audit
// pid free.
//
// Then two goroutines work beside each other. The reader (reader.go) hands on what arrives. The watch (watch.go)
// inspects status and rules every few seconds, for what silently ends a stream of records: rules flushed by somebody
// else, audit switched off, the audit pid taken, records dropped by the kernel. It asks for another plan where the
// socket no longer fits. They meet in an exchange (exchange.go): the reader hands over what records say of changes, the
// watch what its judge (judge.go) finds to be tampering, for the reader alone emits.
//
// # Manners
//
// Audit is shared by the whole host. Rules of others are never touched, and ours stand behind them, so that they keep
// their keys. With the audit pid ours, backlog_wait_time is 0: a program is never held up because reconbeat is slow;
// what does not fit into the kernel's queue is dropped and counted.
package auditd
