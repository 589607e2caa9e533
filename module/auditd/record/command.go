// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/reconbeat/reconbeat/process"
)

// command is a command line in the making: the arguments that EXECVE records brought, a0=..., and of long ones the
// pieces, a0_len=N a0[0]=... a0[1]=..., in whatever order they came. Where something lacks it is never closed up: the
// start of the command line as PROCTITLE has it fills the gap, or a mark stands there.
type command struct {
	came    bool // an EXECVE record did
	counted bool // one of them said how many arguments there are
	missing bool // an argument, or a piece, did not come
	records int  // how many EXECVE records came
	most    int  // the highest argument that came, and one
	pieces  []piece
	text    []byte
	title   []byte // PROCTITLE's value as it stands in the record; empty: it did not come
	started []byte // what it says, with a zero byte between arguments; reused
}

// piece is an argument, a part of one, or its length.
type piece struct {
	index      int // of the argument
	number     int // of the piece; or whole, or length
	record     int // in which record it stood
	start, end int // in command.text
	raw        int // how long it was in the record, without quotes; of a length, the length
}

const (
	whole  = -1 // the argument stands in one piece
	length = -2 // how long the argument is
)

// gap stands for what is missing.
const gap = "\u2026"

// titleMax is where the kernel cuts PROCTITLE off.
const titleMax = 128

func (c *command) reset() {
	*c = command{pieces: c.pieces[:0], text: c.text[:0], title: c.title[:0], started: c.started[:0]}
	if cap(c.text) > 2*maxText {
		c.text = nil
	}
}

// add takes an argument, or a piece of one, and reports whether the bound cut it.
func (c *command) add(index, number int, v []byte) (cut bool) {
	at := piece{index: index, number: number, record: c.records, start: len(c.text), raw: len(v)}
	if number == length {
		at.raw = int(min(numberOf(v), maxText))
		at.end = at.start
		c.pieces = append(c.pieces, at)
		return false
	}
	if v = v[:len(v):len(v)]; len(v) > 0 && v[0] == '"' {
		c.missing = c.missing || torn(v)
		at.raw -= 2
	}
	c.text = text(v, c.text)
	if len(c.text) > maxText {
		c.text, cut = c.text[:maxText], true
	}
	at.end = len(c.text)
	c.pieces = append(c.pieces, at)
	c.most = max(c.most, index+1)
	return cut
}

func numberOf(v []byte) uint64 {
	n, _ := decimal(v)
	return n
}

// torn says whether a value in quotes lacks the last one: the rest of its record is missing.
func torn(v []byte) bool { return len(v) > 0 && v[0] == '"' && (len(v) == 1 || v[len(v)-1] != '"') }

// named takes what PROCTITLE says.
func (c *command) named(b []byte) {
	for key, v, rest, ok := next(b); ok; key, v, rest, ok = next(rest) {
		if string(key) == "proctitle" {
			c.title = append(c.title[:0], v[:min(len(v), 4*titleMax)]...)
		}
	}
}

// whole says whether all of count arguments came.
func (c *command) whole(count int) bool { return c.counted && c.most >= count }

// fill gives the arguments to an event. buf is used, and returned.
func (c *command) fill(e *process.Event, buf []byte) []byte {
	byPlace := func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.number, b.number))
	}
	if !slices.IsSortedFunc(c.pieces, byPlace) {
		slices.SortStableFunc(c.pieces, byPlace)
	}
	for i := 0; i < len(c.pieces); {
		first, same := c.pieces[i], i+1
		for same < len(c.pieces) && c.pieces[same].index == first.index {
			same++
		}
		// Old kernels leave empty arguments out; a record that was lost takes its last arguments along.
		empty := i > 0 && c.pieces[i-1].record == first.record
		c.close(e, first.index, empty)
		if first.number == whole {
			e.AddArg(&e.Process, c.text[first.start:first.end])
		} else {
			buf = c.join(c.pieces[i:same], buf[:0])
			e.AddArg(&e.Process, buf)
		}
		i = same
	}
	for len(e.Args) < e.ArgsCount || !c.counted {
		arg, ok := c.titled(len(e.Args))
		if !ok {
			break
		}
		e.AddArg(&e.Process, arg)
	}
	c.missing = c.missing || !c.counted
	return buf
}

// close fills the places before an argument for which nothing came.
func (c *command) close(e *process.Event, index int, empty bool) {
	for len(e.Args) < index {
		arg, ok := c.titled(len(e.Args))
		switch {
		case ok:
		case empty:
			c.missing = true
		default:
			arg, c.missing = []byte(gap), true
		}
		e.AddArg(&e.Process, arg)
	}
}

// join appends the pieces of one argument to buf.
func (c *command) join(pieces []piece, buf []byte) []byte {
	next, raw, want := 0, 0, -1
	for _, p := range pieces {
		switch {
		case p.number == length:
			want = p.raw
		case p.number < next: // again
		default:
			if p.number > next {
				buf, c.missing = append(buf, gap...), true
			}
			buf = append(buf, c.text[p.start:p.end]...)
			next, raw = p.number+1, raw+p.raw
		}
	}
	// Kernels count the bytes of the argument, or those of the record.
	if short := len(buf) < want && raw < want && len(c.text) < maxText; short {
		buf, c.missing = append(buf, gap...), true
	}
	return buf
}

// titled is the argument of that number as PROCTITLE has it; not ok where that lacks it, or may have cut it off.
func (c *command) titled(n int) (arg []byte, ok bool) {
	if len(c.title) > 0 && len(c.started) == 0 {
		c.started = text(c.title, c.started[:0])
		if !c.agrees() {
			c.title = c.title[:0]
		}
	}
	if len(c.title) == 0 {
		return nil, false
	}
	arg, last, ok := c.inTitle(n)
	if !ok || last && len(c.started) >= titleMax-1 {
		return nil, false
	}
	return arg, true
}

// agrees reports whether PROCTITLE begins as the arguments that came. Where a program started another in its place, the
// kernel may give the command line of the one before, which it remembers.
func (c *command) agrees() bool {
	for _, p := range c.pieces {
		arg, last, ok := c.inTitle(p.index)
		if !ok || p.number == length || p.number > 0 {
			continue
		}
		came := c.text[p.start:p.end]
		if same := p.number == whole && bytes.Equal(arg, came); !same && !(last && bytes.HasPrefix(came, arg)) {
			return false
		}
	}
	return true
}

// inTitle is the argument of that number as PROCTITLE has it, and whether it is the last one there, which may be cut
// off.
func (c *command) inTitle(n int) (arg []byte, last, ok bool) {
	rest, more := c.started, true
	for ; n >= 0 && more; n-- {
		arg, rest, more = bytes.Cut(rest, []byte{0})
	}
	return arg, !more, n < 0
}

// argument reads a key of EXECVE: a3 is argument 3, a3[1] its piece 1, a3_len its length. Anything else is none.
func argument(key []byte) (index, piece int, ok bool) {
	if len(key) < 2 || key[0] != 'a' {
		return 0, 0, false
	}
	key = key[1:]
	if name, ok := bytes.CutSuffix(key, []byte("_len")); ok {
		n, ok := number(name)
		return int(n), length, ok
	}
	name, in, pieces := bytes.Cut(key, []byte("["))
	n, ok := number(name)
	if !ok || !pieces {
		return int(n), whole, ok
	}
	m, ok := number(bytes.TrimSuffix(in, []byte("]")))
	return int(n), int(m), ok
}
