// SPDX-License-Identifier: Apache-2.0

package document

import (
	"errors"
	"fmt"
	"maps"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/processors"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
)

// Source is what is known of the configured module that an event came from. The zero Source is a module of
// which nothing is configured.
type Source struct {
	config.Module
	// Local: its events are this host's, and the host may be asked about them.
	Local bool
	// Rereadable: what it has emitted can be read again, so it may be made to wait.
	Rereadable bool

	processors *processors.Processors
	agent      mapstr.M // what an index may name of the Beat beside the document's own fields
}

// NewSource reads what every module takes. agent is what an index may name of the Beat. The error begins with the
// setting that it is about.
func NewSource(cfg config.Module, local, rereadable bool, agent mapstr.M, logger *logp.Logger) (*Source, error) {
	p, err := processors.New(cfg.Processors, logger)
	if err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	return &Source{Module: cfg, Local: local, Rereadable: rereadable, processors: p, agent: agent}, nil
}

// SetPaths says to the processors where the Beat keeps what; some refuse to run before.
func (s *Source) SetPaths(p *paths.Path) error {
	var errs []error
	for _, one := range s.processors.List {
		if setter, ok := one.(processors.PathSetter); ok {
			errs = append(errs, setter.SetPaths(p))
		}
	}
	return errors.Join(errs...)
}

// process applies what the user configured for the module to one of its documents, in the order of other Beats' inputs.
// nil: its processors dropped the document.
func (s *Source) process(doc *beat.Event) (*beat.Event, error) {
	if err := mapstr.MergeFields(doc.Fields, s.Fields.Clone(), s.FieldsUnderRoot); err != nil {
		return doc, fmt.Errorf("adding the fields of module %s: %w", s.ID, err)
	}
	if err := mapstr.AddTags(doc.Fields, s.Tags); err != nil {
		return doc, fmt.Errorf("adding the tags of module %s: %w", s.ID, err)
	}
	if s.Pipeline != "" {
		doc.Meta["pipeline"] = s.Pipeline
	}
	if !s.hasProcessors() {
		return doc, nil
	}
	processed, err := s.processors.Run(doc)
	if err != nil && processed == nil {
		processed = doc // a processor that fails must not blind
	}
	if processed != nil && !s.KeepNull {
		removeNulls(processed.Fields)
	}
	return processed, err
}

// address says where a document goes that does not go into its data stream, unless a processor has said so.
func (s *Source) address(doc *beat.Event) error {
	if s.Index.IsEmpty() || doc.Meta["raw_index"] != nil {
		return nil
	}
	fields := maps.Clone(doc.Fields)
	for name, v := range s.agent { // libbeat adds these later
		if _, there := fields[name]; !there {
			fields[name] = v
		}
	}
	index, err := s.Index.Run(&beat.Event{Timestamp: doc.Timestamp, Meta: doc.Meta, Fields: fields})
	if err != nil {
		return fmt.Errorf("the index of module %s does not fit a document, which goes into its data stream: %w", s.ID, err)
	}
	doc.Meta["raw_index"] = index
	return nil
}

// Close ends the processors.
func (s *Source) Close() error { return processors.Close(s.processors) }

// removeNulls takes out what has no value, and the objects that are empty then.
func removeNulls(m mapstr.M) {
	for name, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, name)
		case mapstr.M:
			if removeNulls(v); len(v) == 0 {
				delete(m, name)
			}
		case map[string]any:
			if removeNulls(v); len(v) == 0 {
				delete(m, name)
			}
		}
	}
}

// hasProcessors reports whether the module has processors of its own, which must see an exec before it is judged.
func (s *Source) hasProcessors() bool { return s.processors != nil && len(s.processors.List) > 0 }
