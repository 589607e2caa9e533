// SPDX-License-Identifier: Apache-2.0

// Package kql reads the Kibana Query Language, as far as reconbeat's dashboards and rules use it: field:value, lists of
// values, ranges, wildcards, quotes, and, or, not, brackets. No parser of it is published for Go.
//
// It is stricter than Kibana's, because what Kibana lets pass is a query that silently finds nothing: an operator
// without a second operand, words in upper case, two words without quotes, a value without a field, are errors here.
package kql

import (
	"errors"
	"fmt"
	"strings"
)

// Query is a query that was understood.
type Query interface {
	// DSL is the query as Elasticsearch takes it, the way Kibana translates it.
	DSL() map[string]any
	// each calls f with every field that the query names.
	each(f func(field string))
}

// Fields returns the fields that a query names, in order and as often as it does.
func Fields(q Query) (fields []string) {
	q.each(func(f string) { fields = append(fields, f) })
	return fields
}

type (
	or  []Query
	and []Query
	not struct{ of Query }

	// match is field:value.
	match struct {
		field, value   string
		quoted, exists bool // exists: the value is a lone *
		wildcard       bool
	}
	// comparison is field < value and its like.
	comparison struct{ field, operator, value string }
	// everything is the empty query.
	everything struct{}
)

func (q or) DSL() map[string]any  { return boolean("should", q) }
func (q and) DSL() map[string]any { return boolean("filter", q) }
func (q not) DSL() map[string]any {
	return map[string]any{"bool": map[string]any{"must_not": []any{q.of.DSL()}}}
}
func (everything) DSL() map[string]any { return map[string]any{"match_all": map[string]any{}} }

func (q match) DSL() map[string]any {
	switch {
	case q.exists:
		return map[string]any{"exists": map[string]any{"field": q.field}}
	case q.wildcard:
		return map[string]any{"wildcard": map[string]any{q.field: map[string]any{"value": q.value}}}
	case q.quoted:
		return map[string]any{"match_phrase": map[string]any{q.field: q.value}}
	}
	return map[string]any{"match": map[string]any{q.field: q.value}}
}

func (q comparison) DSL() map[string]any {
	return map[string]any{"range": map[string]any{q.field: map[string]any{operators[q.operator]: q.value}}}
}

func boolean(clause string, of []Query) map[string]any {
	list := make([]any, len(of))
	for i, q := range of {
		list[i] = q.DSL()
	}
	b := map[string]any{clause: list}
	if clause == "should" {
		b["minimum_should_match"] = 1
	}
	return map[string]any{"bool": b}
}

func (q or) each(f func(string))         { all(q, f) }
func (q and) each(f func(string))        { all(q, f) }
func (q not) each(f func(string))        { q.of.each(f) }
func (q match) each(f func(string))      { f(q.field) }
func (q comparison) each(f func(string)) { f(q.field) }
func (everything) each(func(string))     {}

func all(list []Query, f func(string)) {
	for _, q := range list {
		q.each(f)
	}
}

var operators = map[string]string{"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}

// Parse reads a query. The empty query finds everything.
func Parse(text string) (Query, error) {
	words, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	p := parser{words: words}
	if len(words) == 0 {
		return everything{}, nil
	}
	q, err := p.or()
	if err == nil && p.at < len(words) {
		err = fmt.Errorf("%s where the query should end", p.peek())
	}
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	return q, nil
}

// word is a piece of a query: a value, an operator or a bracket.
type word struct {
	text     string
	value    bool // text is a value or a field, not a sign
	quoted   bool
	wildcard bool // there is a * that no backslash stands before
}

func (w word) String() string {
	switch {
	case w == word{}:
		return "the end"
	case w.quoted:
		return fmt.Sprintf("the value %q", w.text)
	}
	return "`" + w.text + "`"
}

const (
	blanks = " \t\r\n"
	signs  = `():<>"{}`
)

func split(text string) ([]word, error) {
	var words []word
	for rest := strings.TrimLeft(text, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		var w word
		var err error
		switch c := rest[0]; c {
		case '(', ')', ':':
			w, rest = word{text: rest[:1]}, rest[1:]
		case '<', '>':
			n := 1
			if len(rest) > 1 && rest[1] == '=' {
				n = 2
			}
			w, rest = word{text: rest[:n]}, rest[n:]
		case '{', '}':
			return nil, errors.New("nested fields, which no document of reconbeat has")
		case '"':
			w, rest, err = quoted(rest[1:])
		default:
			w, rest, err = plain(rest)
		}
		if err != nil {
			return nil, err
		}
		words = append(words, w)
	}
	return words, nil
}

func quoted(rest string) (word, string, error) {
	w := word{value: true, quoted: true}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			if i++; i == len(rest) {
				return w, "", errors.New("a quote that does not end")
			}
			w.text += rest[i : i+1]
		case '"':
			return w, rest[i+1:], nil
		default:
			w.text += rest[i : i+1]
		}
	}
	return w, "", errors.New("a quote that does not end")
}

func plain(rest string) (word, string, error) {
	w := word{value: true}
	i := 0
	for ; i < len(rest) && !strings.ContainsRune(blanks+signs, rune(rest[i])); i++ {
		switch rest[i] {
		case '\\':
			if i++; i == len(rest) {
				return w, "", errors.New("a backslash with nothing behind it")
			}
		case '*':
			w.wildcard = true
		}
		w.text += rest[i : i+1]
	}
	return w, rest[i:], nil
}

type parser struct {
	words []word
	at    int
	depth int
}

// deepest is how many brackets and negations may stand within one another.
const deepest = 100

func (p *parser) peek() word {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return word{}
}

// keyword reports whether and, or, or not comes next.
func (p *parser) keyword(name string) bool {
	w := p.peek()
	return w.value && !w.quoted && w.text == name
}

func (p *parser) sign(text string) bool {
	w := p.peek()
	return !w.value && w.text == text
}

func (p *parser) or() (Query, error) {
	if p.depth++; p.depth > deepest {
		return nil, errors.New("brackets that are too deep")
	}
	defer func() { p.depth-- }()
	return joined(p, "or", p.and, func(list []Query) Query { return or(list) })
}

func (p *parser) and() (Query, error) {
	return joined(p, "and", p.not, func(list []Query) Query { return and(list) })
}

func joined(p *parser, by string, part func() (Query, error), of func([]Query) Query) (Query, error) {
	var list []Query
	for {
		q, err := part()
		if err != nil {
			return nil, err
		}
		list = append(list, q)
		if !p.keyword(by) {
			break
		}
		p.at++
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return of(list), nil
}

func (p *parser) not() (Query, error) {
	if !p.keyword("not") {
		return p.term()
	}
	p.at++
	if p.depth++; p.depth > deepest {
		return nil, errors.New("negations that are too deep")
	}
	defer func() { p.depth-- }()
	q, err := p.not()
	if err != nil {
		return nil, err
	}
	return not{q}, nil
}

func (p *parser) term() (Query, error) {
	if p.sign("(") {
		p.at++
		q, err := p.or()
		return q, p.closed(err)
	}
	name, err := p.value("a field")
	if err != nil {
		return nil, err
	}
	if name.quoted || name.wildcard {
		return nil, fmt.Errorf("%s where a field should be", name)
	}
	if operators[p.peek().text] != "" && !p.peek().value {
		operator := p.peek().text
		p.at++
		v, err := p.value("a value")
		if err != nil {
			return nil, err
		}
		if v.wildcard {
			return nil, fmt.Errorf("%s behind %s", v, operator)
		}
		return comparison{name.text, operator, v.text}, nil
	}
	if !p.sign(":") {
		return nil, fmt.Errorf("%s without a field", name)
	}
	p.at++
	if !p.sign("(") {
		return p.match(name.text)
	}
	p.at++
	q, err := p.list(name.text)
	return q, p.closed(err)
}

// list are the values in brackets behind field: of which all (and) or one (or) must be.
func (p *parser) list(field string) (Query, error) {
	return joined(p, "or", func() (Query, error) {
		return joined(p, "and", func() (Query, error) { return p.match(field) },
			func(list []Query) Query { return and(list) })
	}, func(list []Query) Query { return or(list) })
}

func (p *parser) match(field string) (Query, error) {
	v, err := p.value("a value")
	if err != nil {
		return nil, err
	}
	return match{
		field:    field,
		value:    v.text,
		quoted:   v.quoted,
		exists:   v.wildcard && v.text == "*",
		wildcard: v.wildcard,
	}, nil
}

func (p *parser) closed(err error) error {
	if err != nil {
		return err
	}
	if !p.sign(")") {
		return fmt.Errorf("%s where a bracket should close", p.peek())
	}
	p.at++
	return nil
}

// value takes a word that is a field or a value.
func (p *parser) value(what string) (word, error) {
	w := p.peek()
	if !w.value {
		return w, fmt.Errorf("%s where %s should be", w, what)
	}
	if lower := strings.ToLower(w.text); !w.quoted && (lower == "and" || lower == "or" || lower == "not") {
		return w, fmt.Errorf("%s where %s should be; operators are written in lower case", w, what)
	}
	p.at++
	return w, nil
}
