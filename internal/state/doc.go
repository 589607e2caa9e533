// SPDX-License-Identifier: Apache-2.0

// Package state keeps what must survive a restart, a kill -9 and, for alerts, a power cut: the journal of documents
// that the output has not acknowledged, and the snapshot of the learned model with the cursors of the same moment.
//
// # The way of an entry
//
// Append gives an entry its sequence number and hands it to the one writer; it does not wait for the disk. The writer
// commits whatever waits as one group, so that a hundred alerts of the same moment cost one fsync, and only then passes
// the group on to Options.Committed, in order, from a goroutine of its own: an output that blocks stops neither the
// writer nor detection. What Acknowledged names leaves the journal, lazily. A crash in between ships a document again,
// with the same _id.
//
// After a crash, sources that can be read again are read from the cursors of the snapshot, and meet what is in the
// journal already. Append recognises it by its ID and leaves it out: the IDs of all that was appended since the
// snapshot before the last are kept, acknowledged or not; a snapshot taken while sources still meet what an earlier run
// had appended counts for as little as the one before it.
//
// # The directory
//
//	lock               one writer: locked as long as a Store is open; holds its pid
//	alerts.journal     durable entries (alerts, summaries): flushed at every commit
//	events.journal     raw events, not flushed between two snapshots; the oldest dropped first at a stated bound
//	snapshot           model and cursors, replaced atomically; readable by any process at any time (ReadSnapshot)
//	snapshot.previous  the one before, used when the last cannot be read
//	daily/             the first snapshot of each of the last ten days
//	alerts/            the latest durable entries, delivered or not, for people on this host (AlertReader)
//	inbox/             commands of other processes, one file each
//	NAME.broken-TIME   what could not be read and was set aside; the last three of each name are kept
//
// docs/on-disk-formats.md says what stands in each of them.
//
// The directory is 0700 and its files 0600.
//
// # What happens when
//
// A snapshot that is torn, foreign or of a newer format is set aside with a warning and health.StateUnreadable: a
// detector that learns anew beats one that does not start. So is a journal that is foreign or newer. Of a journal that
// is damaged in places, the records around the damage go into a new file, the rest is counted, and the damaged file is
// set aside. A record that a crash left half-written at the end of a journal is cut off.
//
// What is settled leaves a journal by a mark at first. Once a journal is more than twice as long as what is needed of
// it, and a MiB, it is rewritten.
//
// When the disk is full or failing, health.StateNotWritten holds, entries are passed on all the same (delivery matters
// more than the journal), and durable entries and the last snapshot are tried again every few seconds. When the disk
// hangs, raw events beyond a bound are dropped and counted; alerts beyond theirs make Append wait, as the last resort.
//
// After a power cut events.journal may lack raw events since the last snapshot; alerts.journal lacks none.
package state
