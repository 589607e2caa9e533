// SPDX-License-Identifier: Apache-2.0

// Package document makes the documents that ship of what was judged. An Exec makes the raw event and the alerts of one
// program start. A conclusion is about more than one; another document reports that somebody tampers with the source.
//
//	exec ─> Maker.Exec ─> the module's processors (Source) ─> Raw, Alert
//	finding ─> Maker.Conclusion ─┐
//	tampering ─> Maker.Tampering ┴> the module's processors
//
// Each document has an _id that is the same however often its records are read, and says how safely it is to be kept.
package document
