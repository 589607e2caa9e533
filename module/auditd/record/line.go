// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"html"
	"regexp"
)

// headerMark is what every record has behind its type.
var headerMark = []byte("audit(")

// cut parts a record's text from further ones on its line: a crash tears a line off and the next one follows at once;
// programs join the records of an event with blanks, carriage returns or zero bytes. more begins with `type=` or
// `node=`; nil: there is none. What stands within `msg='...'` a program wrote, and is no record.
func cut(body []byte) (one, more []byte) {
	for at := len(headerMark); at < len(body); {
		i := bytes.IndexByte(body[at:], '(') // of a header; there are few others
		if i < 0 {
			break
		}
		at += i + 1
		before, ok := bytes.CutSuffix(body[:at], headerMark)
		if !ok {
			continue
		}
		start, ok := typed(bytes.TrimSuffix(before, []byte("msg=")))
		if !ok || bytes.Count(body[:start], []byte("'"))%2 == 1 {
			continue
		}
		return bytes.TrimSuffix(bytes.TrimRight(body[:start], " \t\r\n\x00"), []byte(`\n`)), body[start:]
	}
	return body, nil
}

// typed says where the `type=` begins, or the `node=` before it, that a text ends with.
func typed(before []byte) (start int, ok bool) {
	start = bytes.LastIndex(before, typeMark)
	if start < 0 || !bytes.HasSuffix(before, []byte(" ")) {
		return 0, false
	}
	if name := before[start+len(typeMark) : len(before)-1]; len(name) == 0 || bytes.ContainsAny(name, " \"'=") {
		return 0, false
	}
	if node := bytes.LastIndex(before[:start], nodeMark); node >= 0 {
		if name := before[node+len(nodeMark) : start]; len(name) > 1 && bytes.IndexByte(name, ' ') == len(name)-1 {
			start = node
		}
	}
	return start, true
}

// unescapes takes back what JSON and C make of a record.
var unescapes = []struct{ from, to []byte }{
	{[]byte(`\"`), []byte(`"`)},
	{[]byte(`\u001d`), []byte("\x1d")},
	{[]byte(`\u001D`), []byte("\x1d")},
	{[]byte(`\x1d`), []byte("\x1d")},
	{[]byte(`\n`), []byte("\n")},
	{[]byte(`\\`), []byte(`\`)},
}

// restored is a record as it was before it was put into another text; within: it stands in quotes there, and what
// follows the last of them is not part of it. The record's first quote shows what became of them.
func restored(body []byte, within bool) []byte {
	first := bytes.IndexByte(body, '"')
	switch {
	case first < 0 && bytes.Contains(body, []byte("=&")) && entities.Match(body): // of a page, or of XML
		body = []byte(html.UnescapeString(string(body)))
	case first > 1 && string(body[first-2:first]) == `=\`:
		if within {
			body = beforeQuote(body, '\\')
		}
		for _, u := range unescapes {
			body = bytes.ReplaceAll(body, u.from, u.to)
		}
	case first > 0 && body[first-1] == '=' && doubled(body[first+1:]):
		if within {
			body = beforeQuote(body, '"')
		}
		body = bytes.ReplaceAll(body, []byte(`""`), []byte(`"`))
	case within && first > 0 && body[first-1] == '=':
		if bytes.Count(body, []byte(`"`))%2 == 1 { // the last one closes what the first has opened
			body = bytes.TrimSuffix(body, []byte(`"`))
		}
	case within:
		body, _, _ = bytes.Cut(body, []byte(`"`))
	}
	return body
}

// entities are how HTML and XML write the quote that a value begins with.
var entities = regexp.MustCompile(`=&(quot|#34|#x22);`)

// doubled says whether a quote is the first of two that stand for one, by what follows it. An empty value is two
// quotes, too, and then it ends.
func doubled(rest []byte) bool {
	return len(rest) > 1 && rest[0] == '"' && bytes.IndexByte([]byte(" \x1d',#"), rest[1]) < 0
}

// beforeQuote ends a text at its first quote that does not stand for one: behind a backslash, or twice.
func beforeQuote(body []byte, escape byte) []byte {
	for i := 0; i < len(body); i++ {
		switch {
		case escape == '\\' && body[i] == '\\', escape == '"' && body[i] == '"' && i+1 < len(body) && body[i+1] == '"':
			i++
		case body[i] == '"':
			return body[:i]
		}
	}
	return body
}

// colours are a terminal's, which grep and journalctl print.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[mK]")
