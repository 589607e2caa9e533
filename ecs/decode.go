// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

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
	json    jsontext.Decoder
	input   bytes.Buffer
	draft   draft
	carried []byte // a document that another one carries in a text; reused
}

// Decode makes e what one JSON document says. Its keys may be nested, dotted, or both in any mix; where it says one
// thing twice the last counts. What is not a field of the table is skipped, a value that makes no sense in its field (a
// pid of "x") is taken as not said.
//
// e.Kind is Exec, Fork or Exit, or 0 for a document that is well-formed and of something else: a connection, a file, an
// alert, a process that ran already, another operating system. Other then says what. A document that carries another
// one in its message (as Filebeat and Docker ship lines) is the one that it carries.
//
// The error says why it is not a document: it is one of ErrJSON, ErrNoObject, or ErrNoTimestamp. e is then of no use.
func (d *Decoder) Decode(doc []byte, e *process.Event) error {
	err := d.decode(doc, e)
	if !d.carries(e, err) {
		return err
	}
	return d.inner(e, err)
}

// carries says whether the last document may be another one's envelope.
func (d *Decoder) carries(e *process.Event, err error) bool {
	return len(d.draft.message) > 0 && e.Kind == 0 && (err == nil || errors.Is(err, ErrNoTimestamp))
}

func (d *Decoder) decode(doc []byte, e *process.Event) error {
	d.draft.begin(e)
	d.input = *bytes.NewBuffer(doc[:len(doc):len(doc)])
	d.json.Reset(&d.input, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return d.document()
}

// mostCarried is how many documents may be within each other: Filebeat's has Docker's, and that the agent's.
const mostCarried = 3

// inner makes e the document that the last one carries; outer is what Decode returns where that is none.
func (d *Decoder) inner(e *process.Event, outer error) (err error) {
	var host process.Host
	var origin process.Origin
	at, what := e.Time, d.draft.other
	for n := 0; n == 0 || n < mostCarried && d.carries(e, err); n++ {
		if e.Host != (process.Host{}) {
			host = process.Host{
				ID: strings.Clone(e.Host.ID), Name: strings.Clone(e.Host.Name), OSType: strings.Clone(e.Host.OSType),
			}
		}
		if e.Origin != (process.Origin{}) {
			origin = process.Origin{Index: strings.Clone(e.Origin.Index), ID: strings.Clone(e.Origin.ID)}
		}
		d.carried = append(d.carried[:0], d.draft.message...)
		err = d.decode(d.carried, e)
	}
	if err != nil {
		e.Kind, e.Time, d.draft.other = 0, at, what
		return outer
	}
	if e.Host.Key() == "" {
		e.Host = host
	}
	if e.Origin == (process.Origin{}) {
		e.Origin = origin
	}
	return nil
}

// Other says what the last document was that made no event, and whether that is known: a document of which
// nothing is may carry one in a way that nobody has thought of.
func (d *Decoder) Other() (what string, known bool) {
	switch d.draft.other {
	case otherText, otherNothing, otherRecord, otherIntegration:
		return string(d.draft.other), false
	}
	return string(d.draft.other), true
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
		if len(d.draft.untimed) > 0 {
			return fmt.Errorf("%w: it is %s", ErrNoTimestamp, d.draft.untimed)
		}
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
		name := d.draft.bytes(value{raw: key})
		next := n.find(name)
		if n == names {
			next = d.draft.ofHit(name, next)
		}
		if err := d.member(next); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// member reads the value of a key; n is nil where the key is not a field's.
func (d *Decoder) member(n *node) error {
	switch kind := d.json.PeekKind(); {
	case n == nil:
		return d.json.SkipValue()
	case kind == '{' && n.next != nil:
		return d.object(n)
	case kind == '[' && n.next != nil:
		return d.objects(n)
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

// objects reads a list where an object belongs: its first one, or where a text may stand for it that.
func (d *Decoder) objects(n *node) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for first := true; ; {
		kind := d.json.PeekKind()
		var err error
		switch {
		case kind == ']':
			_, err := d.json.ReadToken()
			return err
		case kind == '{' && first:
			first = false
			err = d.object(n)
		case first && kind != '[' && n.field != nil:
			err = d.member(n)
		default:
			err = d.json.SkipValue()
		}
		if err != nil {
			return err
		}
	}
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
