// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/netip"
	"slices"
	"strings"
)

// List is what a file holds that in_list names.
type List struct {
	texts map[string]struct{}
	times instants
	nets  map[netip.Prefix]struct{}
	bits  []int // how long the networks are
}

// ReadList reads a list: a value a line. Blanks around it, empty lines, and lines that begin with # do not count. A
// line that is a network stands for its addresses, too, and an address or a time for itself, however it is written.
func ReadList(text string) *List {
	l := &List{texts: map[string]struct{}{}, times: instants{}, nets: map[netip.Prefix]struct{}{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		l.texts[line] = struct{}{}
		l.times.add(line)
		if !notAsWritten(line) {
			continue // most are neither a network nor an address
		}
		if n, err := network(line); err == nil {
			l.nets[n] = struct{}{}
			if !slices.Contains(l.bits, n.Bits()) {
				l.bits = append(l.bits, n.Bits())
			}
		}
	}
	return l
}

// Len is how many values it holds.
func (l *List) Len() int { return len(l.texts) }

func (l *List) has(text string) bool {
	if _, is := l.texts[text]; is || len(l.times) > 0 && l.times.has(text) {
		return true
	}
	return len(l.bits) > 0 && slices.ContainsFunc(networksOf(text, l.bits), func(n netip.Prefix) bool {
		_, is := l.nets[n]
		return is
	})
}

// networksOf are the networks of some lengths that an address is in; none of any other text.
func networksOf(text string, bits []int) (nets []netip.Prefix) {
	a, err := address(text)
	if err != nil {
		return nil
	}
	for _, n := range bits {
		if p, err := a.Prefix(n); err == nil {
			nets = append(nets, p)
		}
	}
	return nets
}
