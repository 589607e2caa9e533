// SPDX-License-Identifier: Apache-2.0

package ndjson

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// form is how documents stand in a recording.
type form int

const (
	unknown form = iota
	lines        // one a line, in an array too, with commas, or behind what syslog has put before them
	values       // one behind the other, or in arrays, over as many lines as they like
	answers      // in the answers of searches: hits.hits
	columns      // in answers of ES|QL or SQL: names apart from values
)

// firstLines is how many lines of a sample are looked at.
const firstLines = 20

// formOf finds out the form of the documents by the first bytes of a text.
func formOf(sample []byte) form {
	sample = bytes.TrimLeft(bytes.TrimPrefix(sample, utf8Mark), blank)
	if len(sample) == 0 {
		return unknown
	}
	first, _, whole := bytes.Cut(sample, []byte{'\n'})
	switch name := answerOf(sample); {
	case name == "columns":
		return columns
	case name != "":
		return answers
	case !whole && sample[0] == '{' && !jsontext.Value(first).IsValid() && !adjoining(first):
		if rest := bytes.TrimLeft(sample[1:], blank); len(rest) > 0 && (rest[0] == '"' || rest[0] == '}') {
			return lines // one long line
		}
		return unknown
	}
	if opening := bytes.TrimSpace(first); string(opening) == "{" {
		return values
	}
	n := 0
	for line := range bytes.Lines(sample) {
		line = bytes.TrimSpace(line)
		if string(line) == "{" && n == 1 && string(bytes.TrimSpace(first)) == "[" {
			return values
		}
		if doc := document(line); len(doc) > 1 && doc[0] == '{' && jsontext.Value(doc).IsValid() {
			return lines
		}
		if n++; n == firstLines {
			break
		}
	}
	if sample[0] != '[' && sample[0] != '{' {
		return unknown
	}
	d := jsontext.NewDecoder(bytes.NewReader(sample), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		switch _, err := d.ReadToken(); {
		case err == nil && d.InputOffset() < int64(len(sample)):
		case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return values
		default:
			return unknown
		}
	}
}

// blank is what may stand around a document; a file that was not written to its end has zero bytes there.
const blank = " \t\r\n\x00\x1e"

// document cuts off a line what is not its document: brackets and commas of an array around it, and what a syslog
// daemon has put before it.
func document(line []byte) []byte {
	line = bytes.Trim(line, blank)
	if n := len(line); n > 1 && line[0] == '{' && line[n-1] == '}' {
		return line
	}
	line = bytes.TrimPrefix(line, utf8Mark)
	if opened := bytes.TrimLeft(line, "[,"+blank); len(opened) == 0 || opened[0] == '{' {
		line = opened
	}
	if i := bytes.LastIndexByte(line, '}'); i >= 0 && len(bytes.TrimLeft(line[i+1:], "],"+blank)) == 0 {
		line = line[:i+1]
	} else if i < 0 {
		line = bytes.TrimLeft(line, "],"+blank)
	}
	i := bytes.IndexByte(line, '{')
	if i > 0 && bytes.HasPrefix(line[i:], []byte("{}")) { // Fluent Bit's metadata
		i += max(0, bytes.IndexByte(line[i+1:], '{')+1)
	}
	if i > 0 && bytes.IndexByte([]byte(" \t:"), line[i-1]) >= 0 && bytes.IndexByte(line[:i], '"') < 0 {
		line = line[i:]
	}
	return line
}

// adjoining says whether a line has several documents, one right behind the other.
func adjoining(line []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(line), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := d.ReadValue()
	return err == nil && d.PeekKind() == '{'
}

// answerOf is the member of the first object of a text that makes an answer of it, and not a document; empty: it has
// none.
func answerOf(sample []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(sample), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() == '[' {
		_, _ = d.ReadToken()
	}
	if d.PeekKind() != '{' {
		return ""
	}
	if _, err := d.ReadToken(); err != nil {
		return ""
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return ""
		}
		name, kind := key.String(), d.PeekKind()
		switch {
		case kind == '[' && (name == "columns" || name == "schema"):
			return "columns"
		case around(name, kind):
			return name
		case name == "@timestamp", name == "_source", name == "fields":
			return ""
		}
		if err := d.SkipValue(); err != nil {
			return ""
		}
	}
	return ""
}

// around says whether a member of an answer holds documents, or what holds them.
func around(name string, kind jsontext.Kind) bool {
	switch name {
	case "hits":
		return kind == '{' || kind == '['
	case "response", "rawResponse":
		return kind == '{'
	case "responses", "sequences":
		return kind == '['
	}
	return holds(name, kind)
}

// holds says whether a member of an answer is the list of documents: of a search, of EQL, of _mget, or of AWS's logs,
// whose events carry the documents.
func holds(name string, kind jsontext.Kind) bool {
	switch name {
	case "hits", "events", "docs", "logEvents":
		return kind == '['
	}
	return false
}

// maxDocument bounds a document in bytes where it is not a line.
const maxDocument = 16 << 20

var errLongDocument = errors.New("the document is too long")

// cutter cuts documents out of JSON that is not one document a line. It keeps one document in memory.
type cutter struct {
	in     *numbered
	json   *jsontext.Decoder
	form   form
	within []bool // of each array around the present place: whether it holds documents
}

func newCutter(in io.Reader, f form) *cutter {
	c := &cutter{in: &numbered{in: in}, form: f}
	c.json = jsontext.NewDecoder(c.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return c
}

// next returns the next document, valid until the next call, and on which line it begins; io.EOF at the end.
func (c *cutter) next() (doc []byte, line uint64, err error) {
	c.in.left = maxDocument
	for {
		kind := c.json.PeekKind()
		inDocuments := len(c.within) > 0 && c.within[len(c.within)-1]
		switch {
		case kind == '{' && (c.form == values || inDocuments):
			doc, err := c.json.ReadValue()
			return doc, c.in.line(c.json.InputOffset() - int64(len(doc))), err
		case kind == '{':
			_, err = c.json.ReadToken()
		case kind == '[':
			c.within = append(c.within, c.form == values)
			_, err = c.json.ReadToken()
		case kind == ']':
			if len(c.within) > 0 {
				c.within = c.within[:len(c.within)-1]
			}
			_, err = c.json.ReadToken()
		case kind == '}':
			_, err = c.json.ReadToken()
		case kind == '"' && c.form == answers && !c.inArray():
			err = c.member()
		default:
			if err = c.json.SkipValue(); err == nil {
				c.in.left = maxDocument
			}
		}
		if err != nil {
			return nil, c.in.line(c.json.InputOffset()), err
		}
	}
}

func (c *cutter) inArray() bool {
	kind, _ := c.json.StackIndex(c.json.StackDepth())
	return kind != '{'
}

// member goes into a member of an answer that holds hits, and past any other.
func (c *cutter) member() error {
	key, err := c.json.ReadToken()
	if err != nil {
		return err
	}
	name := key.String()
	switch kind := c.json.PeekKind(); {
	case holds(name, kind):
		c.within = append(c.within, true)
		_, err = c.json.ReadToken()
	case kind == '[' && around(name, kind):
		c.within = append(c.within, false)
		_, err = c.json.ReadToken()
	case kind == '{' && around(name, kind):
		_, err = c.json.ReadToken()
	default:
		if err = c.json.SkipValue(); err == nil {
			c.in.left = maxDocument
		}
	}
	return err
}

// numbered knows on which line of a stream a byte stands, of those that were read last.
type numbered struct {
	in     io.Reader
	read   int64
	left   int // bytes until what is read is too long
	ends   []int64
	before uint64 // newlines that are forgotten
}

func (n *numbered) Read(b []byte) (int, error) {
	if n.left <= 0 {
		return 0, errLongDocument
	}
	got, err := n.in.Read(b[:min(len(b), 64<<10)])
	for i, c := range b[:got] {
		if c == '\n' {
			n.ends = append(n.ends, n.read+int64(i))
		}
	}
	n.read += int64(got)
	n.left -= got
	return got, err
}

// line is the number of the line, from 1, on which the byte at an offset stands. Offsets must not go back.
func (n *numbered) line(offset int64) uint64 {
	passed := 0
	for passed < len(n.ends) && n.ends[passed] < offset {
		passed++
	}
	n.before += uint64(passed)
	n.ends = n.ends[:copy(n.ends, n.ends[passed:])]
	return n.before + 1
}
