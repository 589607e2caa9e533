// SPDX-License-Identifier: Apache-2.0

// Package engine is the one way of every event, in order, on one goroutine: the table of processes, the rules, what the
// host adds to a match, the verdict, and the documents that come of it.
//
//	ring ─> Take (table, match, complete, judge) ─> documents ─> publish
//	              Advance (time closes what is open) ─┘
//
// A live Beat and a replay run the same engine. They differ in what it may ask of a host (Machine), and in where the
// documents go (Options.Publish). The engine knows nothing of libbeat's life cycle, of the journal or of the output.
package engine
