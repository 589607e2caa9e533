// SPDX-License-Identifier: Apache-2.0

// Package detector decides which program starts are worth an alert. It is a library: it reads no clock and no file, and
// knows nothing of libbeat; the same events give the same findings, byte for byte.
//
//	Match    which rules name the program of an exec; allocates nothing, nearly every exec ends here
//	Judge    scores a match by what was known before it, places it in its actor's episode, then learns from it
//	Advance  nothing more comes before a time: buckets, visits and episodes close
//
// A Rule is data; package detector/rules has those that are shipped. The score of a match comes from one of two models.
// The context model (package habit) is what a configuration has by default: it knows who usually does this and in which
// circumstances. The rare model (package rare) computes what Elastic's job `rare by user.name` computes; it runs in any
// case, for its records and its field, and its score counts where Options.Model is ModelRare.
//
// A match over the rule's threshold opens an episode of its actor, or belongs to the one that is open. A Finding
// reports what became of a match, and of an episode at its end.
//
// A Detector belongs to one goroutine. Snapshot and Restore carry what it learned over a restart.
package detector
