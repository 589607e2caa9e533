// SPDX-License-Identifier: Apache-2.0

// Package guide writes what somebody on call does with an alert: how to investigate it, how to respond, when it is
// benign. The steps are in guide.md, the one source of both texts: that in an alert's rule.note, where account, host,
// session and commands are filled in, and that of Kibana's detection rule, which names the fields instead.
//
// The values are chosen by whoever is suspected. In the text they stand in code spans, which they cannot leave; in a
// command they are single words of a POSIX shell.
package guide

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxBytes bounds the text of an alert. The steps come to four kilobytes with values of usual lengths.
	MaxBytes = 10 << 10
	// maxNote bounds the rule's own part, maxValue each value that is filled in, and maxItems each of the lists.
	maxNote  = 2 << 10
	maxValue = 160
	maxItems = 20
)

//go:embed guide.md
var steps string

// Alert is what the text of an alert is made of.
type Alert struct {
	Value          func(field string) string // of the document; empty: it has none
	Note           string                    // the rule's own part, Markdown; it comes from the configuration
	FalsePositives []string                  // the rule's
	References     []string                  // the rule's
	Parts          []Part                    // what made it unusual, the greatest first; none: another model is in charge
}

// Part is what one property of a match adds to its surprise.
type Part struct {
	Nats  float64 // a natural logarithm; negative: it speaks against
	Words string  // the property and its value, as a process may have chosen it
}

// placeholder is a field in guide.md whose value is filled in.
var placeholder = regexp.MustCompile(`\{([a-zA-Z_.]+)\}`)

// Markdown is the text of an alert, at most MaxBytes long. A line with a value that the alert lacks is left out.
func (a Alert) Markdown() string {
	var b strings.Builder
	if len(a.Parts) > 0 {
		b.WriteString("## What is unusual\n\n| weight (nats) | what |\n|---|---|\n")
		for _, p := range a.Parts[:min(len(a.Parts), maxItems)] {
			fmt.Fprintf(&b, "| %+.2f | %s |\n", p.Nats, strings.ReplaceAll(span(shown(p.Words)), "|", `\|`))
		}
		b.WriteByte('\n')
	}
	if note := strings.TrimSpace(a.Note); note != "" {
		b.WriteString("## About the rule\n\n" + cut(note, maxNote) + "\n\n")
	}
	b.WriteString(fill(a.Value))
	for _, f := range a.FalsePositives[:min(len(a.FalsePositives), maxItems)] {
		b.WriteString("- Known: " + cut(strings.TrimSpace(f), maxNote/8) + "\n")
	}
	if len(a.References) > 0 {
		b.WriteString("\n## References\n\n")
		for _, r := range a.References[:min(len(a.References), maxItems)] {
			b.WriteString("- " + cut(strings.TrimSpace(r), maxNote/8) + "\n")
		}
	}
	return cut(b.String(), MaxBytes)
}

// Fields is the text with the names of fields in place of values, for a detection rule in Kibana.
func Fields() string {
	var b strings.Builder
	for line := range strings.Lines(steps) {
		b.WriteString(filled(line, func(field string, command bool) string {
			if command {
				return "<" + field + ">"
			}
			return span(field)
		}))
	}
	return b.String()
}

// fill is guide.md with values.
func fill(value func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(steps) {
		whole := true
		line = filled(line, func(field string, command bool) string {
			v := value(field)
			whole = whole && v != ""
			if command {
				return Quote(v)
			}
			return span(shown(v))
		})
		if whole {
			b.WriteString(line)
		}
	}
	return b.String()
}

// filled is a line with its placeholders replaced. A code span of guide.md with one is a command.
func filled(line string, with func(field string, command bool) string) string {
	segments := strings.Split(line, "`")
	for i, s := range segments {
		command := i%2 == 1
		s = placeholder.ReplaceAllStringFunc(s, func(p string) string { return with(p[1:len(p)-1], command) })
		if command {
			s = span(s)
		}
		segments[i] = s
	}
	return strings.Join(segments, "")
}

// span is a code span of Markdown around a line: its fence is longer than any run of backticks inside.
func span(s string) string {
	longest, run := 0, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if longest > 0 {
		s = " " + s + " " // which a reader of Markdown takes away again
	}
	return fence + s + fence
}

// shown is a value as text: one line without anything that steers a terminal or turns the direction of writing.
func shown(s string) string {
	return cut(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")), maxValue)
}

// plainWord is what a shell takes as it stands.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// Quote makes one word of a POSIX shell of a value, on one line. A value that is too long, or that has what cannot be
// shown, becomes a word that names nobody: a command with a part of a name would mean another account.
func Quote(s string) string {
	switch {
	case len(s) > maxValue || shown(s) != s:
		return "'(unprintable)'"
	case plainWord.MatchString(s):
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cut is a text of at most n bytes; what is cut ends with a mark.
func cut(s string, n int) string {
	const mark = " …"
	if len(s) <= n {
		return s
	}
	s = s[:n-len(mark)]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + mark
}
