// SPDX-License-Identifier: Apache-2.0

// Package state keeps what must survive a restart, a kill -9 and, for alerts, a power cut: the journal of documents that the output
// has not acknowledged, and the snapshot of the learned model with the cursors of the same moment.
//
// # The way of an entry
//
// Append gives an entry its sequence number and hands it to the one writer; it does not wait for the disk. The writer commits whatever waits
// as one group, so that a hundred alerts of the same moment cost one fsync, and only then passes the group on to Options.Committed, in
// order, from a goroutine of its own: an output that blocks stops neither the writer nor detection. What Acknowledged names leaves the
// journal, lazily. A crash in between ships a document again, with the same _id.
//
// After a crash, sources that can be read again are read from the cursors of the snapshot, and meet what is in the journal already.
// Append recognises it by its ID and leaves it out: the IDs of all that was appended since the snapshot before the last are kept, acknowledged or not; a snapshot taken while sources still meet what an earlier run had appended counts
// for as little as the one before it.
//
// # The directory
//
//	lock               one writer: locked as long as a Store is open; holds its pid
//	alerts.db          bbolt, fsync at every commit: durable entries (alerts, summaries)
//	events.db          bbolt, without fsync: raw events, the oldest dropped first at a stated bound
//	snapshot           model and cursors, replaced atomically; readable by any process at any time (ReadSnapshot)
//	snapshot.previous  the one before, used when the last cannot be read
//	daily/             the first snapshot of each of the last ten days
//	inbox/             commands of other processes, one file each
//	NAME.broken-TIME   what could not be read and was set aside; the last three of each name are kept
//
// The directory is 0700 and its files 0600.
//
// # What happens when
//
// A file that is torn, foreign or of a newer format is set aside with a warning and health.StateUnreadable, and a fresh one is begun: a
// detector that learns anew beats one that does not start. Files of an older format would be converted at Open; format 1 is the first.
// bbolt trusts its file and reads it through a memory map, so a damaged one can make it panic, loop or fault. That is why every page is
// checked before bbolt opens a file, every value carries a checksum, and every transaction runs with faults turned into errors.
//
// When the disk is full or failing, health.StateNotWritten holds, entries are passed on all the same (delivery matters more than the
// journal), and durable entries and the last snapshot are tried again every few seconds. When the disk hangs, raw events beyond a bound are
// dropped and counted; alerts beyond theirs make Append wait, as the last resort.
//
// After a power cut events.db may be torn, because it is never flushed between two snapshots; then its raw events are lost, and alerts are not.
package state
