// SPDX-License-Identifier: Apache-2.0

// Package report makes one HTML page of what a replay found, for a person who decides, or who files it with a case.
//
// A Report reads the documents of a replay as they come and keeps what the page shows, in bounded memory: a time line,
// the alerts with what made them unusual, each actor's week and commands, and how many visits each threshold would have
// alerted on. Write renders the page.
//
// The page is a single file that loads nothing and runs nothing. Whatever a document says is text in it, so that a
// hostile command line does no harm, and a content security policy forbids the rest.
package report
