// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reconbeat/reconbeat/process"
)

// What makes a document none.
var (
	ErrJSON        = errors.New("malformed JSON")
	ErrNoObject    = errors.New("not a JSON object")
	ErrNoTimestamp = errors.New("no @timestamp, or none that can be read")
)

// Decoder reads documents into events. It is used again and again, by one goroutine. Its zero value is ready. It must
// not be copied.
type Decoder struct {
	json  jsontext.Decoder
	input bytes.Buffer
	draft draft
}

// Decode makes e what one JSON document says. Its keys may be nested, dotted, or both in any mix; where it says one
// thing twice the last counts. What is no field of the table is skipped, a value that makes no sense in its field (a
// pid of "x") is taken as not said.
//
// e.Kind is Exec, Fork or Exit, or 0 for a document that is well-formed and of something else: a connection, a file, an
// alert, a process that ran already, another operating system.
//
// The error says why it is no document: it is one of ErrJSON, ErrNoObject, or ErrNoTimestamp. e is then of no use.
func (d *Decoder) Decode(doc []byte, e *process.Event) error {
	d.draft.begin(e)
	d.input = *bytes.NewBuffer(doc[:len(doc):len(doc)])
	d.json.Reset(&d.input, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return d.document()
}

func (d *Decoder) document() error {
	if kind := d.json.PeekKind(); kind != '{' {
		if _, err := d.json.ReadValue(); err != nil {
			return malformed(err)
		}
		return ErrNoObject
	}
	if err := d.object(names); err != nil {
		return malformed(err)
	}
	if _, err := d.json.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the object at byte %d", ErrJSON, d.json.InputOffset())
	}
	if d.draft.Time.IsZero() {
		return ErrNoTimestamp
	}
	d.draft.resolve()
	return nil
}

func malformed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends in the middle: %w", ErrJSON, err)
	}
	return fmt.Errorf("%w: %w", ErrJSON, err)
}

// object reads an object whose name is n's.
func (d *Decoder) object(n *node) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		key, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		next := n.find(d.draft.bytes(value{raw: key}))
		if err := d.member(next); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// member reads the value of a key; n is nil where the key is no field's.
func (d *Decoder) member(n *node) error {
	switch kind := d.json.PeekKind(); {
	case n == nil:
		return d.json.SkipValue()
	case kind == '{' && n.next != nil:
		return d.object(n)
	case kind == '[' && n.field != nil:
		return d.list(n.field)
	case kind == '{' || kind == '[' || n.field == nil:
		return d.json.SkipValue()
	}
	raw, err := d.json.ReadValue()
	if err == nil && raw.Kind() != 'n' {
		n.field.set(&d.draft, value{raw: raw})
	}
	return err
}

// list reads a list: all of its scalars, or where the field has one value the first.
func (d *Decoder) list(f *Field) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for i := 0; ; {
		switch d.json.PeekKind() {
		case ']':
			_, err := d.json.ReadToken()
			return err
		case '{', '[':
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		raw, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if raw.Kind() != 'n' && (f.each || i == 0) {
			f.set(&d.draft, value{raw: raw, list: true, index: i})
			i++
		}
	}
}
