// SPDX-License-Identifier: Apache-2.0

// Package process holds what reconbeat knows of programs: the events that sources report (Event), the program that runs
// in a process (Process), the login session it belongs to (Session), and the Table of the processes that are alive.
//
// The package is pure: it reads no clock, no file and no socket. Time is the event's own. What must be read from the
// running host, a snapshot of /proc at start or the fate of one process, is in internal/host/procfs.
//
// # Ownership of text
//
// A source reads thousands of execs for one that matches a rule. So that the others cost no allocation, the strings of
// an Event are views into the Event's own arena (see Event.Text), which Reset and Copy write anew. They are valid until
// then: whoever keeps an Event beyond the call it was handed to takes a Copy, and whoever keeps one string clones it.
package process
