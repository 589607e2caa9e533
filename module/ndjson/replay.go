// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// replay reads recordings as one, in the order of their times.
func (m *documents) replay(ctx context.Context) error {
	list := m.env.Recordings
	if list == nil {
		var err error
		if list, err = recording.OpenAll(m.Paths, nil); err != nil {
			return err
		}
		defer recording.CloseAll(list)
	}
	var errs []error
	var sources []recording.Source
	for _, one := range list {
		f := recording.FormOf(one.Sample())
		switch f {
		case recording.Columns:
			errs = append(errs, fmt.Errorf("%s is an answer of ES|QL or SQL, which has names apart from values: "+
				"jq -c '%s' %s | reconbeat replay -", one.Path, joinColumns, one.Shell()))
		case recording.Unknown:
			errs = append(errs, one.Stranger())
		case recording.Values, recording.Answers:
			if bytes.Contains(one.Sample(), threeQuotes) {
				errs = append(errs, fmt.Errorf("%s is what Kibana's Dev Tools show, where a text in three quotes is not JSON: ask "+
					"with curl", one.Path))
			}
		}
		sources = append(sources, &source{Recording: one, of: m, form: f, trouble: trouble{path: one.Path}, errs: &errs})
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := recording.Merge(ctx, sources); err != nil {
		return err
	}
	if what, path := m.shortfall.What(); what != "" && m.env.Other != nil {
		m.env.Other(module.Other{File: path, What: what})
	}
	return errors.Join(errs...)
}

// joinColumns is jq's program that makes documents of an answer of ES|QL, SQL or PPL, by rows or by columns, also
// within Kibana's.
const joinColumns = `.rawResponse // .response // . | (.columns // .schema | map(.name)) as $names | ` +
	`.values // .rows // .datarows | if (.[0] | length) == ($names | length) then . else transpose end | ` +
	`.[] | [$names, .] | transpose | map({(.[0]): .[1]}) | add`

// threeQuotes stand in no JSON.
var threeQuotes = []byte(`"""`)

// source is one recording of documents.
type source struct {
	*recording.Recording
	of      *documents
	form    recording.Form
	cutter  *recording.Cutter // nil: documents are lines
	joiner  recording.Joiner
	decoder ecs.Decoder
	event   process.Event
	trouble trouble

	count    uint64 // documents, or what should be some
	bad      uint64 // that are none
	strange  uint64 // of which nothing is known
	stranger string // what the first of them is, and what it may be meant as
	errs     *[]error
}

// Next implements recording.Source.
func (s *source) Next() error {
	for {
		doc, err := s.document()
		switch {
		case errors.Is(err, io.EOF):
			s.end()
			return err
		case errors.Is(err, recording.ErrTooLong):
			s.count++
			s.of.env.Stats.Records.Add(1)
			s.malformed(s.Long(), fmt.Errorf("%w: it has more than %d bytes", err, recording.MaxLine))
			continue
		case err != nil && s.cutter != nil: // what follows cannot be found
			s.count++
			s.of.env.Stats.Records.Add(1)
			s.malformed(nil, fmt.Errorf("%w, and nothing behind it is read: %w", ecs.ErrJSON, err))
			s.end()
			return io.EOF
		case err != nil:
			return err
		}
		ok, err := s.decode(doc)
		if ok || err != nil {
			return err
		}
	}
}

// document returns the next document.
func (s *source) document() ([]byte, error) {
	if s.form.Cut() {
		if s.cutter == nil {
			s.cutter = recording.NewCutter(s.Recording, s.form)
		}
		doc, line, err := s.cutter.Next()
		s.trouble.line = line
		return doc, err
	}
	for {
		line, err := s.Line()
		s.trouble.line = s.Number()
		whole := true
		switch {
		case err == nil:
			line, whole = s.joiner.Line(line)
		case errors.Is(err, io.EOF):
			if line = s.joiner.Rest(); line != nil {
				err = nil
			}
		}
		if line = recording.Document(line); whole && len(line) > 0 || err != nil {
			return line, err
		}
	}
}

// decode makes an event of a document; not ok where it is none.
func (s *source) decode(doc []byte) (ok bool, err error) {
	env := &s.of.env
	env.Stats.Records.Add(1)
	err = s.decoder.Decode(doc, &s.event)
	switch {
	case err == nil && s.event.Kind != 0:
		s.count++
		return true, nil
	case err != nil && isAction(doc):
		return false, nil
	case err != nil:
		s.count++
		s.malformed(doc, explained(s.Shell(), doc, err))
		return false, nil
	}
	s.count++
	what, known := s.decoder.Other()
	if !known {
		s.strange++
		if s.stranger == "" {
			s.stranger = what
			if why := meant(s.Shell(), doc); why != "" {
				s.stranger += "; " + why
			}
		}
	}
	if env.Other != nil {
		env.Other(module.Other{File: s.Path, Line: s.trouble.line, What: what})
	}
	return false, nil
}

// Time implements recording.Source.
func (s *source) Time() int64 { return s.event.Time.UnixNano() }

// Take implements recording.Source.
func (s *source) Take() error { return s.of.hand(&s.event) }

// First implements recording.Source.
func (s *source) First() int64 {
	var d ecs.Decoder
	var e process.Event
	at := func(doc []byte) bool { return d.Decode(doc, &e) == nil && e.Kind != 0 }
	if s.form.Cut() {
		for c := recording.NewCutter(bytes.NewReader(s.Sample()), s.form); ; {
			doc, _, err := c.Next()
			if err != nil {
				return 0
			}
			if at(doc) {
				return e.Time.UnixNano()
			}
		}
	}
	for line := range bytes.Lines(s.Sample()) {
		if at(recording.Document(line)) {
			return e.Time.UnixNano()
		}
	}
	return 0
}

// malformed notes what is wrong with the present document.
func (s *source) malformed(doc []byte, err error) {
	s.bad++
	s.of.env.Stats.Malformed.Add(1)
	s.trouble.add(err)
	if s.of.env.Malformed == nil {
		if time.Since(s.trouble.logged) >= logEvery {
			s.of.log(&s.trouble)
		}
		return
	}
	kind := err
	for _, k := range []error{ecs.ErrJSON, ecs.ErrNoObject, ecs.ErrNoTimestamp, recording.ErrTooLong} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	s.of.env.Malformed(module.Malformed{
		File: s.Path, Line: s.trouble.line, Kind: kind.Error(), Why: err.Error(), Text: doc,
	})
}

// end says so where nothing was understood.
func (s *source) end() {
	if s.of.env.Malformed == nil {
		s.of.log(&s.trouble)
	}
	s.of.shortfall.Add(s.Path, s.cutter)
	if s.count == 0 && s.form == recording.Answers {
		*s.errs = append(*s.errs, s.empty())
	}
	if s.count == 0 || s.bad+s.strange < s.count {
		return
	}
	if why := s.Stranger(); why != nil && s.bad == s.count && !errors.Is(s.trouble.first, ecs.ErrNoTimestamp) {
		*s.errs = append(*s.errs, why) // documents of a stranger name it themselves
		return
	}
	if s.bad == s.count {
		text := "none of the %d lines of %s is a document: %w"
		if s.count == 1 {
			text = "the %d line of %s is not a document: %w"
		}
		*s.errs = append(*s.errs, fmt.Errorf(text, s.count, s.Path, s.trouble.first))
		return
	}
	text := "of the %d documents of %s none reports a program start: the first is %s"
	if s.count == 1 {
		text = "the %d document of %s does not report a program start: it is %s"
	}
	*s.errs = append(*s.errs, fmt.Errorf(text, s.count, s.Path, s.stranger))
}

// empty says what an answer is in which no documents stand where those of a search do.
func (s *source) empty() error {
	if why := s.Stranger(); why != nil {
		return why
	}
	if parsed, err := parse(s.Sample()); err == nil {
		if where := elsewhere(s.Shell(), parsed); where != "" {
			return fmt.Errorf("%s is an answer without hits, and %s", s.Path, where)
		}
	}
	return fmt.Errorf("%s is an answer without documents: its size is 0, or nothing matches its query", s.Path)
}
