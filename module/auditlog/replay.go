// SPDX-License-Identifier: Apache-2.0

package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// replay reads recordings as one log: an event whose records stand in two files is one.
func (l *Log) replay(ctx context.Context, o record.Options, emit func(*process.Event) error) error {
	list := l.env.Recordings
	if list == nil {
		var err error
		if list, err = recording.OpenAll(l.o.Paths, nil); err != nil {
			return err
		}
		defer recording.CloseAll(list)
	}
	var errs []error
	for _, one := range list {
		errs = append(errs, one.CheckHosts())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r := &replayed{env: l.env, alone: len(list) == 1}
	o.Malformed = r.malformed
	if l.env.Malformed != nil {
		o.Logger = nil // whoever receives them says so
	}
	r.assembler = record.NewAssembler(o, emit)
	var sources []recording.Source
	for _, one := range list {
		sources = append(sources, &part{Recording: one, of: r, form: recording.FormOf(one.Sample())})
	}
	if err := recording.Merge(ctx, sources); err != nil {
		return err
	}
	if what, path := r.shortfall.What(); what != "" && l.env.Other != nil {
		l.env.Other(module.Other{File: path, What: what})
	}
	return errors.Join(r.assembler.Flush(), errors.Join(r.errs...))
}

// replayed is a log in the making of its parts.
type replayed struct {
	env       module.Env
	assembler *record.Assembler
	alone     bool // there is one part: no time is asked for
	present   *part
	errs      []error // of parts of which nothing was understood
	shortfall recording.Shortfall
}

// malformed is called while a line of the present part is read.
func (r *replayed) malformed(why error) {
	p := r.present
	p.bad++
	if p.first == nil {
		p.first = fmt.Errorf("line %d: %w", p.number, why)
	}
	if r.env.Malformed != nil {
		r.env.Malformed(module.Malformed{
			File: p.Path, Line: p.number, Kind: why.Error(), Why: why.Error(), Text: p.line,
		})
	}
}

// part is one recording of a log.
type part struct {
	*recording.Recording
	of     *replayed
	form   recording.Form    // of the documents that carry records; Unknown: lines are records
	cutter *recording.Cutter // nil: documents are lines
	joiner recording.Joiner
	line   []byte
	number uint64 // of the line
	at     int64
	count  uint64 // lines, those apart that only part events
	bad    uint64 // lines that are not records
	first  error  // what was wrong first
}

// Next implements recording.Source.
func (p *part) Next() error {
	for {
		line, err := p.next()
		switch {
		case errors.Is(err, recording.ErrTooLong):
			p.tooLong(err)
			continue
		case errors.Is(err, io.EOF):
			p.end()
			return err
		case err != nil && p.cutter != nil: // what follows cannot be found
			p.of.present, p.line = p, nil
			p.count++
			p.of.env.Stats.Records.Add(1)
			p.of.env.Stats.Malformed.Add(1)
			p.of.malformed(fmt.Errorf("malformed JSON, and nothing behind it is read: %w", err))
			p.end()
			return io.EOF
		case err != nil:
			return err
		}
		p.line = line
		if p.of.alone {
			return nil
		}
		if at, ok := record.Time(line); ok {
			p.at = at
		}
		return nil
	}
}

// next returns the next line, or the next document.
func (p *part) next() (line []byte, err error) {
	if p.form.Cut() {
		if p.cutter == nil {
			p.cutter = recording.NewCutter(p.Recording, p.form)
		}
		line, p.number, err = p.cutter.Next()
		return line, err
	}
	for whole := false; !whole; {
		line, err = p.Line()
		p.number = p.Number()
		switch {
		case err == nil:
			line, whole = p.joiner.Line(line)
		case errors.Is(err, io.EOF):
			if line = p.joiner.Rest(); line != nil {
				err = nil
			}
			whole = true
		default:
			whole = true
		}
	}
	if p.form == recording.FormLines {
		line = element(line)
	}
	return line, err
}

// Time implements recording.Source: a line that has none of its own belongs to the one before it.
func (p *part) Time() int64 { return p.at }

// Take implements recording.Source.
func (p *part) Take() error {
	p.of.present = p
	records := &p.of.env.Stats.Records
	before := records.Load()
	err := p.of.assembler.Line(p.line, process.Cursor{})
	p.count += records.Load() - before
	return err
}

// First implements recording.Source.
func (p *part) First() int64 {
	for line := range carriers(p.Sample()) {
		if at, ok := record.Time(line); ok {
			return at
		}
	}
	return 0
}

func (p *part) tooLong(err error) {
	env := p.of.env
	env.Stats.Records.Add(1)
	env.Stats.Malformed.Add(1)
	p.count++
	p.bad++
	if env.Malformed != nil {
		env.Malformed(module.Malformed{
			File: p.Path, Line: p.number, Kind: err.Error(), Text: p.Long(),
			Why: fmt.Sprintf("%v: it has more than %d bytes", err, recording.MaxLine),
		})
	}
}

// end says so where nothing was understood.
func (p *part) end() {
	p.of.shortfall.Add(p.Path, p.cutter)
	if p.count > 0 && p.bad == p.count && p.first != nil {
		text := "none of the %d lines of %s is an audit record: %w"
		if p.count == 1 {
			text = "the %d line of %s is not an audit record: %w"
		}
		p.of.errs = append(p.of.errs, fmt.Errorf(text, p.count, p.Path, p.first))
	}
}

// element is the document on a line, which may be one of a list. What stands before it otherwise may name the host, and
// is left.
func element(line []byte) []byte {
	if opened := bytes.TrimLeft(line, recording.Blank); len(opened) > 0 && bytes.IndexByte([]byte("[{,"), opened[0]) < 0 {
		return line
	}
	return recording.Document(line)
}

// carriers are what may be records in a text that begins with the sample: its lines, or its documents.
func carriers(sample []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		form := recording.FormOf(sample)
		if form.Cut() {
			for c := recording.NewCutter(bytes.NewReader(sample), form); ; {
				doc, _, err := c.Next()
				if err != nil || !yield(doc) {
					return
				}
			}
		}
		for line := range bytes.Lines(sample) {
			if form == recording.FormLines {
				line = element(line)
			}
			if !yield(line) {
				return
			}
		}
	}
}
