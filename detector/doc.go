// SPDX-License-Identifier: Apache-2.0

// Package detector decides which program starts are worth an alert. It is a library: no clock, no files, no libbeat; the same events give the
// same findings, byte for byte.
//
//	Match    which rules name the program of an exec; allocates nothing, nearly every exec ends here
//	Judge    scores a match by what is known at its time, asks whether to alert and to learn, then learns
//	Advance  nothing more comes before a time: buckets and episodes close
//
// A Rule is data (detector/rules has the shipped ones). Its score comes from a model: in package rare what Elastic's job `rare by user.name` computes.
// An exec over the rule's threshold opens an episode of its actor, or belongs to the one that is open; a Finding says what became of it.
//
// A Detector belongs to one goroutine. Snapshot and Restore carry what it learned over a restart.
package detector
