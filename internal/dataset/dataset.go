// SPDX-License-Identifier: Apache-2.0

// Package dataset is the one table of reconbeat's data sets: which there are, and what the data streams are called that
// hold them, logs-reconbeat.KIND-NAMESPACE.
package dataset

import "strings"

// What a user has to say nothing of.
const (
	Prefix    = "reconbeat" // reconbeat.dataset: the first part of every data set
	Namespace = "default"   // reconbeat.namespace
)

// Type is the first part of every data stream.
const Type = "logs"

// Kind is a kind of document: the last part of a data set. Each has a data stream of its own.
type Kind string

// The kinds of documents.
const (
	Alert    Kind = "alert"    // alerts, and the summaries that close their episodes
	Process  Kind = "process"  // raw events: program starts
	Health   Kind = "health"   // heartbeats
	Rejected Kind = "rejected" // what Elasticsearch refused to index, as text, with the reason
)

// Shipped returns the kinds that reconbeat ships.
func Shipped() []Kind { return []Kind{Alert, Process, Health} }

// Kinds returns every kind.
func Kinds() []Kind { return append(Shipped(), Rejected) }

// Of returns the kind that a data set ends in, whatever its prefix; one that is none of the constants where it is not
// ours.
func Of(dataset string) Kind { return Kind(dataset[strings.LastIndexByte(dataset, '.')+1:]) }

// In returns the data set of the kind, under a prefix.
func (k Kind) In(prefix string) string { return prefix + "." + string(k) }

// Stream returns the data stream of the kind, under a prefix and in a namespace.
func (k Kind) Stream(prefix, namespace string) string {
	return Type + "-" + k.In(prefix) + "-" + namespace
}
