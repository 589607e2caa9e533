// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// claim is a test of a field that must hold, or must not.
type claim struct {
	*Condition
	not bool
	// value is the test of one value; nil: it is whether there is one, or of a list that cannot be read.
	value func(string) bool
}

// contradiction says why conditions that must all hold never do; empty where nothing speaks against it.
func contradiction(all []Condition, lists map[string]*List) string {
	if len(all) == 0 {
		return ""
	}
	ways, err := alternatives(&Condition{All: all}, false, func(c *Condition, not bool) ([][]claim, error) {
		return [][]claim{{{Condition: c, not: not, value: c.valueTest(lists)}}}, nil
	})
	if err != nil {
		return "" // too many to try
	}
	first := ""
	for _, claims := range ways {
		why := contradictory(claims, lists)
		if why == "" {
			return ""
		}
		if first == "" {
			first = why
		}
	}
	return first
}

// valueTest is the test of one value of the field, whatever not says; nil where there is none.
func (c *Condition) valueTest(lists map[string]*List) func(string) bool {
	t, err := c.compile(&Set{byName: map[string]int{}}, lists)
	if err != nil {
		return nil
	}
	return t.value
}

// contradictory says why claims never hold at once.
func contradictory(claims []claim, lists map[string]*List) string {
	var fields []string
	about := map[string][]claim{}
	for _, c := range claims {
		if about[c.Field] == nil {
			fields = append(fields, c.Field)
		}
		about[c.Field] = append(about[c.Field], c)
	}
	for _, field := range fields {
		if why := contradictoryOf(field, about[field], lists); why != "" {
			return why
		}
	}
	return ""
}

func contradictoryOf(field string, claims []claim, lists map[string]*List) string {
	absent, present := false, false
	for _, c := range claims {
		switch {
		case c.Exists != nil && *c.Exists == c.not:
			absent = true
		case c.Exists != nil || !c.not:
			present = true
		}
		switch list := lists[c.InList]; {
		case c.not:
		case !c.Range.empty() && impossible(c.Range):
			return fmt.Sprintf("the interval of %s is empty", field)
		case list != nil && list.Len() == 0:
			return fmt.Sprintf("the list %s is empty", c.InList)
		}
	}
	if absent && present {
		return field + " has to be absent, and to have a value"
	}
	if several(field) { // each claim may be about another value
		return ""
	}
	for i, c := range claims {
		if values := c.exact(); len(values) > 0 && !c.not {
			return excluded(field, values, slices.Delete(slices.Clone(claims), i, i+1))
		}
	}
	var ranges []Range
	for i, c := range claims {
		if !c.Range.empty() && !c.not {
			ranges = append(ranges, c.Range)
		}
		for _, other := range claims[:i] {
			either := func(t Texts) string { return strings.Join(t, " or ") }
			switch {
			case c.not || other.not:
			case len(c.CIDR) > 0 && len(other.CIDR) > 0 && disjoint(c.CIDR, other.CIDR, overlap):
				return fmt.Sprintf("%s has to be in %s, and in %s at once", field, either(other.CIDR), either(c.CIDR))
			case len(c.Matches) > 0 && len(other.Matches) > 0 && disjoint(c.Matches, other.Matches, alike):
				return fmt.Sprintf("%s has to be like %s, and like %s at once", field, either(other.Matches), either(c.Matches))
			}
		}
	}
	if impossible(ranges...) {
		return fmt.Sprintf("the interval of %s is empty", field)
	}
	return ""
}

// excluded says why a field that must have one of some values does not pass the other claims.
func excluded(field string, values Texts, others []claim) string {
	left := values
	for _, c := range others {
		if c.value == nil {
			continue
		}
		before := left
		left = slices.DeleteFunc(slices.Clone(left), func(v string) bool { return c.value(v) == c.not })
		switch {
		case len(left) > 0:
		case c.not:
			return fmt.Sprintf("%s has to be %s, and must not", field, strings.Join(before, " or "))
		default:
			return fmt.Sprintf("%s has to be %s, and something else at once", field, strings.Join(before, " or "))
		}
	}
	return ""
}

// disjoint reports whether no text of a list may hold beside one of another.
func disjoint(a, b Texts, together func(x, y string) bool) bool {
	return !slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return together(x, y) })
	})
}

// overlap reports whether networks have an address in common.
func overlap(x, y string) bool {
	n, errX := network(x)
	o, errY := network(y)
	return errX != nil || errY != nil || n.Overlaps(o) // Check has refused what is none
}

// alike reports whether patterns may fit one text, by how they begin.
func alike(x, y string) bool {
	x, y = beginningOf(x), beginningOf(y)
	return strings.HasPrefix(x, y) || strings.HasPrefix(y, x)
}

// beginningOf is what every text begins with that a pattern fits.
func beginningOf(pattern string) string {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// several reports whether a field may have several values in our documents.
func several(field string) bool {
	return slices.Contains([]string{
		"process.args", "process.parent.args", "tags", "event.category", "event.type", "reconbeat.rules",
	}, field) || strings.HasPrefix(field, "related.") || strings.HasPrefix(field, "threat.") ||
		strings.HasPrefix(field, "host.")
}

// impossible reports whether nothing lies in all of some intervals.
func impossible(all ...Range) bool {
	var least, most *quantity
	strictLeast, strictMost := false, false
	for _, r := range all {
		for _, b := range r.bounds() {
			if len(b.value) == 0 {
				continue
			}
			q, _ := quantityOf(b.value[0]) // checked
			for _, other := range []*quantity{least, most} {
				if other != nil && other.isTime != q.isTime {
					return true
				}
			}
			strict := !b.holds(0)
			if b.holds(1) {
				if least == nil || q.compare(*least) > 0 || q.compare(*least) == 0 && strict {
					least, strictLeast = &q, strict
				}
			} else if most == nil || q.compare(*most) < 0 || q.compare(*most) == 0 && strict {
				most, strictMost = &q, strict
			}
		}
	}
	if least == nil || most == nil {
		return false
	}
	c := least.compare(*most)
	return c > 0 || c == 0 && (strictLeast || strictMost)
}

// canonical is an address as our documents have it; ok is false where a text is none.
func canonical(text string) (address string, ok bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "", false
	}
	return a.Unmap().String(), true
}
