// SPDX-License-Identifier: Apache-2.0

// Package habit is the model of who matches a rule, and in which context: how much likelier a match is an intruder's
// than the actor's own, and how often a host where all is well would see as much.
//
// An exec becomes a Match: an account of a class (a person who logged in, a service account, root without a login) and
// values of features: whom they act as, the parent program, terminal, entry, network, command line, folder, working
// day, hour. An actor is a person on a terminal, the same person without one, or an account without a login by one
// parent. What an actor does without a pause is a visit.
//
// A visit is a bet against the actor. Its surprise is the logarithm of how much likelier it is an intruder's: that they
// come today at all (evidence.go: arrival), and each value that they show (evidence). The actor's side of the bet is
// learned, with back-off from the actor to the class on this host, and so is how much novelty they are used to.
// Evidence adds up over the matches of a visit; repeats add nothing.
//
// The meaning of a surprise follows from the host's own past. The surprises of all visits of the class (of people: of
// strangers, or of the others), faded by age, and a prior that stands for hosts like it, give the number of visits a
// year that are expected to be at least as surprising (model.go: rate). The score is a function of that number alone:
// 25 are three a year, 50 one, 75 one in three years, 90 one in ten.
//
// A Model knows only the events' time, is bounded in everything that it remembers, and gives the same scores for the
// same stream, also across a snapshot. docs/model.md has the formulas, where the constants come from, and what an
// attacker can do.
package habit
