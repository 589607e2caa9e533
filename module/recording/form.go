// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Form is how JSON documents stand in a recording.
type Form int

// The forms.
const (
	Unknown   Form = iota // none that is known, or no documents
	FormLines             // one a line, in an array too, with commas, or behind what syslog has put before them
	Values                // one behind the other, or in arrays, over as many lines as they like
	Answers               // in the answers of searches: hits.hits
	Columns               // in answers of ES|QL or SQL: names apart from values
)

// Cut says whether a Cutter finds the documents.
func (f Form) Cut() bool { return f == Values || f == Answers }

// firstLines is how many lines of a sample are looked at.
const firstLines = 20

// FormOf finds out the form of the documents by the first bytes of a text.
func FormOf(sample []byte) Form {
	sample = bytes.TrimLeft(bytes.TrimPrefix(sample, utf8Mark), Blank)
	if len(sample) == 0 {
		return Unknown
	}
	first, _, whole := bytes.Cut(sample, []byte{'\n'})
	switch name := answerOf(sample); {
	case name == "columns":
		return Columns
	case name != "":
		return Answers
	case !whole && sample[0] == '{' && !jsontext.Value(first).IsValid() && !adjoining(first):
		if rest := bytes.TrimLeft(sample[1:], Blank); len(rest) > 0 && (rest[0] == '"' || rest[0] == '}') {
			return FormLines // one long line
		}
		return Unknown
	}
	if opening := bytes.TrimSpace(first); string(opening) == "{" {
		return Values
	}
	n := 0
	for line := range bytes.Lines(sample) {
		line = bytes.TrimSpace(line)
		if string(line) == "{" && n == 1 && string(bytes.TrimSpace(first)) == "[" {
			return Values
		}
		if doc := Document(line); len(doc) > 1 && doc[0] == '{' && jsontext.Value(doc).IsValid() {
			return FormLines
		}
		if n++; n == firstLines {
			break
		}
	}
	if sample[0] != '[' && sample[0] != '{' {
		return Unknown
	}
	d := jsontext.NewDecoder(bytes.NewReader(sample), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		switch _, err := d.ReadToken(); {
		case err == nil && d.InputOffset() < int64(len(sample)):
		case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return Values
		default:
			return Unknown
		}
	}
}

// utf8Mark is what some programs begin a text of UTF-8 with.
var utf8Mark = []byte("\xef\xbb\xbf")

// Blank is what may stand around a document; a file that was not written to its end has zero bytes there.
const Blank = " \t\r\n\x00\x1e"

// Document cuts off a line what is not its document: brackets and commas of an array around it, and what a syslog
// daemon has put before it.
func Document(line []byte) []byte {
	line = bytes.Trim(line, Blank)
	if n := len(line); n > 1 && line[0] == '{' && line[n-1] == '}' {
		return line
	}
	line = bytes.TrimPrefix(line, utf8Mark)
	if opened := bytes.TrimLeft(line, "[,"+Blank); len(opened) == 0 || opened[0] == '{' {
		line = opened
	}
	if i := bytes.LastIndexByte(line, '}'); i >= 0 && len(bytes.TrimLeft(line[i+1:], "],"+Blank)) == 0 {
		line = line[:i+1]
	} else if i < 0 {
		line = bytes.TrimLeft(line, "],"+Blank)
	}
	i := bytes.IndexByte(line, '{')
	if i > 0 && bytes.HasPrefix(line[i:], []byte("{}")) { // Fluent Bit's metadata
		i += max(0, bytes.IndexByte(line[i+1:], '{')+1)
	}
	if i > 0 && i+1 < len(line) && 'a' <= line[i+1]|0x20 && line[i+1]|0x20 <= 'z' { // the labels of Loki's logcli
		if _, behind, ok := bytes.Cut(line[i:], []byte(`"} `)); ok {
			return bytes.TrimLeft(behind, Blank)
		}
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
	outer := "" // the member that the search's answer stands in
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return outer
		}
		name, kind := key.String(), d.PeekKind()
		switch {
		case kind == '[' && (name == "columns" || name == "schema"):
			if list, err := d.ReadValue(); err != nil || bytes.Contains(list, []byte(`"name"`)) {
				return "columns"
			}
			continue
		case (name == "response" || name == "rawResponse") && kind == '{': // of a search, or of ES|QL
			outer = name
			if _, err := d.ReadToken(); err != nil {
				return outer
			}
			continue
		case around(name, kind):
			return name
		case name == "@timestamp", name == "_source", name == "fields" && kind == '{':
			return outer
		}
		if err := d.SkipValue(); err != nil {
			return outer
		}
	}
	return outer
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

// holds says whether a member of an answer is the list of documents: of a search, of EQL, of _mget, of Azure's logs, or
// of AWS's, whose events carry the documents.
func holds(name string, kind jsontext.Kind) bool {
	switch name {
	case "hits", "events", "docs", "logEvents", "records", "results":
		return kind == '['
	}
	return false
}

// maxDocument bounds a document in bytes where it is not a line.
const maxDocument = 16 << 20

var errLongDocument = errors.New("the document is too long")

// Cutter cuts documents out of JSON that is not one document a line. It keeps one document in memory.
type Cutter struct {
	in     *numbered
	json   *jsontext.Decoder
	form   Form
	within []bool // of each array around the present place: whether it holds documents

	documents uint64 // that were cut out of answers
	total     uint64 // that a search has found at least, by its answer
	broken    bool   // an answer says that it lacks some: of shards or a search that failed or ran out of time
}

// NewCutter cuts documents of a form that Cut says yes to.
func NewCutter(in io.Reader, f Form) *Cutter {
	c := &Cutter{in: &numbered{in: in}, form: f}
	c.json = jsontext.NewDecoder(c.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return c
}

// Next returns the next document, valid until the next call, and on which line it begins; io.EOF at the end.
func (c *Cutter) Next() (doc []byte, line uint64, err error) {
	c.in.left = maxDocument
	for {
		kind := c.json.PeekKind()
		inDocuments := len(c.within) > 0 && c.within[len(c.within)-1]
		switch {
		case kind == '{' && (c.form == Values || inDocuments):
			c.documents++
			doc, err := c.json.ReadValue()
			return doc, c.in.line(c.json.InputOffset() - int64(len(doc))), err
		case kind == '{':
			_, err = c.json.ReadToken()
		case kind == '[':
			c.within = append(c.within, c.form == Values)
			_, err = c.json.ReadToken()
		case kind == ']':
			if len(c.within) > 0 {
				c.within = c.within[:len(c.within)-1]
			}
			_, err = c.json.ReadToken()
		case kind == '}':
			_, err = c.json.ReadToken()
		case kind == '"' && c.form == Answers && !c.inArray():
			err = c.member()
		case c.form == Values || inDocuments: // not a document, and that is to be said
			doc, err := c.json.ReadValue()
			return doc, c.in.line(c.json.InputOffset() - int64(len(doc))), err
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

func (c *Cutter) inArray() bool {
	kind, _ := c.json.StackIndex(c.json.StackDepth())
	return kind != '{'
}

// member goes into a member of an answer that holds hits, and past any other.
func (c *Cutter) member() error {
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
	case says(name, kind):
		err = c.note(name)
	default:
		if err = c.json.SkipValue(); err == nil {
			c.in.left = maxDocument
		}
	}
	return err
}

// says reports whether an answer says by this member whether it is whole.
func says(name string, kind jsontext.Kind) bool {
	switch name {
	case "timed_out", "is_partial":
		return kind == 't'
	case "_shards", "error":
		return kind == '{'
	case "total":
		return kind == '{' || kind == '0'
	}
	return false
}

// note reads a member by which an answer says whether it is whole.
func (c *Cutter) note(name string) error {
	ofHits := strings.HasSuffix(string(c.json.StackPointer()), "/hits/total")
	v, err := c.json.ReadValue()
	if err != nil {
		return err
	}
	var counted struct {
		Value    uint64 `json:"value"`
		Relation string `json:"relation"`
		Failed   uint64 `json:"failed"`
	}
	switch {
	case name == "total" && v.Kind() == '0': // before Elasticsearch 7
		err = json.Unmarshal(v, &counted.Value)
	case v.Kind() == '{':
		err = json.Unmarshal(v, &counted, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	}
	switch {
	case err != nil: // it is of something else
	case name == "_shards":
		c.broken = c.broken || counted.Failed > 0
	case name != "total":
		c.broken = true
	case ofHits:
		if counted.Relation == "gte" { // Elasticsearch counts no further
			counted.Value++
		}
		c.total = max(c.total, counted.Value)
	}
	return nil
}

// Shortfall is what the answers of searches leave out, by what they say themselves, over all recordings of a replay:
// pages of one search may stand in several.
type Shortfall struct {
	documents, total uint64
	short, broken    string // the recordings whose answers say so
}

// Add takes in what the answers of a recording said; nil: it has none.
func (s *Shortfall) Add(path string, c *Cutter) {
	if c == nil || c.form != Answers {
		return
	}
	s.documents += c.documents
	if c.total > s.total {
		s.total, s.short = c.total, path
	}
	if c.broken {
		s.broken = cmp.Or(s.broken, path)
	}
}

// What says what is left out, and where it was noticed; empty: nothing.
func (s *Shortfall) What() (what, path string) {
	switch {
	case s.broken != "":
		return "an answer that lacks what shards or searches did not answer: ask again", s.broken
	case s.documents < s.total:
		return fmt.Sprintf("an answer with %d of at least %d documents that its search found: export all with elasticdump",
			s.documents, s.total), s.short
	}
	return "", ""
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
