// SPDX-License-Identifier: Apache-2.0

// Package ndjson reads process events from documents that another agent writes: Elastic Defend, auditd_manager,
// auditbeat, or whoever else speaks the Elastic Common Schema. Documents are NDJSON, one a line. A file is followed
// like a log, or read once as a recording.
//
// What a document means is the matter of the ecs package at the root; this one reads lines, keeps the place, and counts
// what cannot be understood.
package ndjson

import (
	"context"
	"errors"
	"fmt"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/ecs"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/follow"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

// The values of from.
const (
	fromEnd       = "end"       // what is written from now on
	fromBeginning = "beginning" // what stands in the file, too
)

// Options is what a user may set for the module.
type Options struct {
	// the file to follow; in a replay one or more to read, also .gz and - for standard input
	Paths []string `config:"paths"`
	From  string   `config:"from"` // where to begin in a file that was never read before: end or beginning
}

func defaults() Options { return Options{From: fromEnd} }

// New makes the module from its options. It opens nothing; the error names every option that is wrong.
func New(cfg *conf.C, env module.Env) (module.Module, error) {
	o := defaults()
	if err := settings.Behind(settings.Read("", cfg, &o), o.check(env.Replay)); err != nil {
		return nil, err
	}
	return &documents{Options: o, env: env}, nil
}

// check returns every wrong value.
func (o Options) check(replay bool) error {
	var errs []error
	switch {
	case len(o.Paths) == 0:
		errs = append(errs, errors.New("paths: it is empty; name the file of documents to read"))
	case len(o.Paths) > 1 && !replay:
		errs = append(errs,
			fmt.Errorf(
				"paths: %q are %d files, and a module keeps the place in one; configure a module for each",
				o.Paths,
				len(o.Paths),
			),
		)
	}
	for i, p := range o.Paths {
		if p == "" || p == "-" && !replay {
			errs = append(errs, fmt.Errorf("paths.%d: %q is not allowed; it must be a file", i, p))
		}
	}
	if o.From != fromEnd && o.From != fromBeginning {
		errs = append(errs, fmt.Errorf("from: %q is not allowed; it must be end or beginning", o.From))
	}
	return errors.Join(errs...)
}

// documents is the module.
type documents struct {
	Options
	env  module.Env
	tail follow.Tail

	joiner  recording.Joiner
	decoder ecs.Decoder
	event   process.Event
	emit    func(*process.Event) error
	trouble trouble

	shortfall recording.Shortfall // of a replay's answers
}

// Run reads documents until ctx ends, and in a replay until the last file does.
func (m *documents) Run(ctx context.Context, from process.Cursor, emit func(*process.Event) error) error {
	m.emit = emit
	if m.env.Replay {
		return m.replay(ctx)
	}
	defer m.log(&m.trouble)
	m.trouble = trouble{path: m.Paths[0]}
	return follow.Follow(ctx, follow.Options{
		Path:      m.Paths[0],
		From:      from,
		FromStart: m.From == fromBeginning,
		Stats:     m.env.Stats,
		Logger:    m.env.Logger,
		Tail:      &m.tail,
		Idle:      m.idle,
	}, func(line []byte, next process.Cursor) error {
		m.trouble.line++
		return m.line(line, next)
	})
}

// Watermark implements module.Watermarker.
func (m *documents) Watermark(now time.Time) time.Time { return m.tail.Watermark(now) }

// line takes one line.
func (m *documents) line(line []byte, next process.Cursor) error {
	line, ok := m.joiner.Line(line)
	if line = recording.Document(line); !ok || len(line) == 0 {
		return nil
	}
	m.env.Stats.Records.Add(1)
	e := &m.event
	if err := m.decoder.Decode(line, e); err != nil {
		if isAction(line) {
			return nil
		}
		m.env.Stats.Malformed.Add(1)
		m.trouble.add(explained(m.trouble.path, line, err))
		return m.idle()
	}
	m.tail.Read(e.Time, e.Kind == process.Exec)
	if e.Kind == 0 {
		return nil
	}
	e.Cursor = next
	return m.hand(e)
}

// hand hands an event on.
func (m *documents) hand(e *process.Event) error {
	if e.Source == "" {
		e.Source = "ndjson"
	}
	err := m.emit(e)
	e.Shrink(maxEvent)
	return err
}

// maxEvent is how many bytes the memory of an event may keep from a long line for the next.
const maxEvent = 64 << 10
