// SPDX-License-Identifier: Apache-2.0

// Package context is the model of who looks, and in which context: the score that asks how often this host would see something as unusual as this, if all were well.
//
// An exec becomes a Look: an actor of a class (a person who logged in, a service account, root without a login) and values of features: whom they act as, the parent
// program, terminal, way in, network, command line, folder, working day, hour. For each feature the Model gives the probability that this actor shows a value as
// unlikely as this one. It learns how much novelty an actor is used to: who comes from a new address every day is not unusual on yet another. The logarithms of these
// probabilities, weighted, add up to the surprise of a visit, which is what an actor does without a pause; an actor who was never seen, and one who was silent for
// long, add to it.
//
// What a surprise means follows from the host's own past: from the surprises of all visits of the class, faded by age, and a prior that stands for a month of a host
// like others, comes the number of visits a year that are expected to be at least as surprising. The score is a function of that number alone: 25 are three a year, 50 one, 75
// one in three years, 90 one in ten.
//
// A Model knows no time but the events', is bounded in everything that it remembers, and gives the same scores for the same stream, also across a snapshot.
package context
