// SPDX-License-Identifier: Apache-2.0

// Package datastream is what Elasticsearch must know before reconbeat's documents arrive: for each kind of document a
// data stream logs-DATASET.KIND-NAMESPACE, and for those the index templates, their component templates, the lifecycle
// policies and the ingest pipeline.
//
// Make makes these assets from fields.yml. `reconbeat setup` installs all of them, an output that connects installs
// what is missing or older, and `reconbeat export` prints them. Whatever a user wants otherwise goes into the component
// template DATASET@custom, which reconbeat never writes:
//
//	logs-DATASET.KIND@template = DATASET@mappings + DATASET@settings + DATASET.KIND@lifecycle + DATASET@custom
package datastream
