// SPDX-License-Identifier: Apache-2.0

// Package printable shows texts that a hostile process may have chosen: what a program is called, and what it was
// started with. Such a text may steer the terminal that it is printed on, end a line, or turn the direction of writing,
// so that one reads something else than what ran.
//
// People get a text with a mark in such a place. Programs get the text as it is, in JSON that escapes it: a terminal
// shows "\u202e", and a parser reads the character.
package printable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text replaces what controls a terminal, ends a line, or has no picture, such as a change of direction, by U+FFFD.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// JSON encodes a value so that whatever texts it has, the result prints as it is: one line, of which a parser reads the
// texts unchanged.
func JSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return Escape(b), nil
}

// Escape escapes in JSON what Text would replace, but for the ends of lines and indentation between values.
func Escape(b []byte) []byte {
	return escape(b, func(out []byte, r rune) []byte {
		if one, two := utf16.EncodeRune(r); one != unicode.ReplacementChar {
			return fmt.Appendf(out, `\u%04x\u%04x`, one, two)
		}
		return fmt.Appendf(out, `\u%04x`, r)
	})
}

// EscapeYAML does the same in YAML, where such characters stand in double quotes alone.
func EscapeYAML(b []byte) []byte {
	return escape(b, func(out []byte, r rune) []byte { return fmt.Appendf(out, `\U%08x`, r) })
}

// Plain reports whether Text would leave a text as it is.
func Plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// steers reports whether a character must be escaped. The encoders have escaped those below a blank, where they are of
// a text.
func steers(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }

func escape(b []byte, escaped func(out []byte, r rune) []byte) []byte {
	if !bytes.ContainsFunc(b, steers) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if steers(r) {
			out = escaped(out, r)
		} else {
			out = append(out, b[:size]...)
		}
		b = b[size:]
	}
	return out
}
