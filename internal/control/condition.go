// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Condition is one test of a field, or several tests of which all or any must hold. A field of several values passes
// where one of them does. A field that is missing passes no test; it passes one that is negated, and exists: false.
type Condition struct {
	Field   string      `config:"field"`
	Is      Texts       `config:"is"`        // exactly this, upper and lower case included; of times the same instant
	IsOneOf Texts       `config:"is_one_of"` // exactly one of these
	Exists  *bool       `config:"exists"`    // has a value, or has none
	Matches Texts       `config:"matches"`   // one of these patterns: * is any text, ? any character
	Regexp  string      `config:"regexp"`    // contains a match of this (RE2)
	CIDR    Texts       `config:"cidr"`      // an address in one of these networks
	Range   Range       `config:"range"`     // numbers, or times in RFC 3339
	InList  string      `config:"in_list"`   // one of the lines of a file, or an address in a network that is one
	Not     bool        `config:"not"`       // the opposite
	Any     []Condition `config:"any"`
	All     []Condition `config:"all"`
}

// Range is an interval; a bound that is left out does not bind.
type Range struct {
	GT  Texts `config:"gt"`
	GTE Texts `config:"gte"`
	LT  Texts `config:"lt"`
	LTE Texts `config:"lte"`
}

func (r Range) bounds() []bound {
	return []bound{
		{"gt", r.GT, func(c int) bool { return c > 0 }}, {"gte", r.GTE, func(c int) bool { return c >= 0 }},
		{"lt", r.LT, func(c int) bool { return c < 0 }}, {"lte", r.LTE, func(c int) bool { return c <= 0 }},
	}
}

func (r Range) empty() bool { return len(r.GT)+len(r.GTE)+len(r.LT)+len(r.LTE) == 0 }

// bound is one end of a Range.
type bound struct {
	key   string
	value Texts
	holds func(int) bool
}

// Texts are values as a person writes them, one or a list; numbers and true or false count as their texts.
type Texts []string

// Unpack reads them.
func (t *Texts) Unpack(v any) error {
	*t = nil
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	for _, one := range list {
		text, ok := textOf(one)
		if !ok {
			return errors.New("no text")
		}
		*t = append(*t, text)
	}
	return nil
}

// Allowed says what they may be.
func (Texts) Allowed() string { return "a text, a number, true or false, or a list of these alone" }

// textOf is a scalar as a text.
func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case uint32:
		return strconv.FormatUint(uint64(v), 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	case fmt.Stringer:
		return v.String(), true
	}
	return "", false
}

// operators are the keys of a Condition of which exactly one must be there.
func (c *Condition) operators() (keys []string) {
	for _, op := range []struct {
		key   string
		there bool
	}{
		{"is", len(c.Is) > 0}, {"is_one_of", len(c.IsOneOf) > 0}, {"exists", c.Exists != nil},
		{"matches", len(c.Matches) > 0}, {"regexp", c.Regexp != ""}, {"cidr", len(c.CIDR) > 0},
		{"range", !c.Range.empty()}, {"in_list", c.InList != ""}, {"any", len(c.Any) > 0}, {"all", len(c.All) > 0},
	} {
		if op.there {
			keys = append(keys, op.key)
		}
	}
	return keys
}

// mistakes gathers what is wrong, each with its path.
type mistakes []error

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

// deepest is how deep conditions may stand in each other.
const deepest = 8

// check adds what is wrong with a condition at a path.
func (c *Condition) check(path string, depth int, wrong *mistakes) {
	keys := c.operators()
	const one = "is, is_one_of, exists, matches, regexp, cidr, range, in_list, any or all"
	switch {
	case len(keys) == 0:
		wrong.add(path, "has no test; it must have one of %s", one)
		return
	case len(keys) > 1:
		wrong.add(path, "%s are several tests; it must have only one of %s", strings.Join(keys, " and "), one)
	case depth > deepest:
		wrong.add(path, "stands in more than %d conditions; at most so many are possible", deepest)
		return
	}
	nested := len(c.Any)+len(c.All) > 0
	switch {
	case nested && c.Field != "":
		wrong.add(path+".field", "%q is not allowed beside any and all, whose conditions name their own", c.Field)
	case !nested && !fieldName.MatchString(c.Field):
		wrong.add(path+".field", "%q is not allowed; it must be the name of a field such as user.name", c.Field)
	}
	if len(c.Is) > 1 {
		wrong.add(path+".is", "a list is not allowed; write is_one_of")
	}
	if c.Regexp != "" {
		if _, err := regexp.Compile(c.Regexp); err != nil {
			wrong.add(path+".regexp", "%q is not allowed; it must be a regular expression (RE2): %v", c.Regexp, err)
		}
	}
	for _, n := range c.CIDR {
		if _, err := network(n); err != nil {
			wrong.add(path+".cidr", "%q is not allowed; it must be a network such as 10.0.0.0/8, or an address", n)
		}
	}
	c.Range.check(path+".range", wrong)
	for i := range c.Any {
		c.Any[i].check(fmt.Sprintf("%s.any.%d", path, i), depth+1, wrong)
	}
	for i := range c.All {
		c.All[i].check(fmt.Sprintf("%s.all.%d", path, i), depth+1, wrong)
	}
}

var fieldName = regexp.MustCompile(`^[@\pL\pN_-]+(\.[\pL\pN_-]+)*$`)

func (r Range) check(path string, wrong *mistakes) {
	var times, numbers []string
	for _, b := range r.bounds() {
		if len(b.value) == 0 {
			continue
		}
		q, ok := quantityOf(b.value[0])
		if len(b.value) > 1 || !ok {
			wrong.add(path+"."+b.key, "%q is not allowed; it must be a number, or a time such as 2026-01-31T08:00:00Z",
				strings.Join(b.value, ", "))
			continue
		}
		if q.isTime {
			times = append(times, b.key)
		} else {
			numbers = append(numbers, b.key)
		}
	}
	if len(times) > 0 && len(numbers) > 0 {
		wrong.add(path, "%s is a time and %s a number; they must be of one kind", times[0], numbers[0])
	}
}

// quantity is a number or a time.
type quantity struct {
	number float64
	time   time.Time
	isTime bool
}

func quantityOf(text string) (q quantity, ok bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n == n {
		return quantity{number: n}, true
	}
	t, err := time.Parse(time.RFC3339, text)
	return quantity{time: t, isTime: true}, err == nil
}

// compare compares quantities of one kind.
func (q quantity) compare(other quantity) int {
	switch {
	case q.isTime:
		return q.time.Compare(other.time)
	case q.number < other.number:
		return -1
	case q.number > other.number:
		return 1
	}
	return 0
}

// network reads a network, or an address as the network that has only it. IPv4 in IPv6 (::ffff:10.0.0.0/104) is IPv4,
// as it is in documents.
func network(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// test is a Condition made ready.
type test struct {
	field  int // in the Set
	exists bool
	value  func(text string) bool // of one value; nil: exists, any or all
	any    []test
	all    []test
	not    bool
}

// holds reports whether a match passes the test.
func (t *test) holds(s *subject) bool {
	var passes bool
	switch {
	case t.value != nil:
		passes = slices.ContainsFunc(s.texts(t.field), t.value)
	case t.exists:
		passes = len(s.texts(t.field)) > 0
	case len(t.any) > 0:
		for i := range t.any {
			if passes = t.any[i].holds(s); passes {
				break
			}
		}
	default:
		passes = allHold(t.all, s)
	}
	return passes != t.not
}

func allHold(tests []test, s *subject) bool {
	for i := range tests {
		if !tests[i].holds(s) {
			return false
		}
	}
	return true
}

// compile makes the test of a condition that is right.
func (c *Condition) compile(set *Set, lists map[string]*List) (test, error) {
	t := test{not: c.Not}
	for i := range c.Any {
		one, err := c.Any[i].compile(set, lists)
		if err != nil {
			return t, err
		}
		t.any = append(t.any, one)
	}
	for i := range c.All {
		one, err := c.All[i].compile(set, lists)
		if err != nil {
			return t, err
		}
		t.all = append(t.all, one)
	}
	if c.Field == "" {
		return t, nil
	}
	t.field = set.fieldIndex(c.Field)
	switch {
	case c.Exists != nil:
		t.exists, t.not = true, c.Not != !*c.Exists
	case len(c.Is)+len(c.IsOneOf) > 0:
		t.value = isOneOf(c.exact())
	case len(c.Matches) > 0:
		t.value = matchesOneOf(c.Matches)
	case c.Regexp != "":
		re, err := regexp.Compile(c.Regexp)
		if err != nil {
			return t, fmt.Errorf("compiling the regular expression %q: %w", c.Regexp, err)
		}
		t.value = re.MatchString
	case len(c.CIDR) > 0:
		var err error
		if t.value, err = inNetworks(c.CIDR); err != nil {
			return t, err
		}
	case !c.Range.empty():
		t.value = c.Range.holds()
	default:
		list := lists[c.InList]
		if list == nil {
			return t, fmt.Errorf("the list %q is missing", c.InList)
		}
		t.value = list.has
	}
	return t, nil
}

// exact are the values of which one must be the field's; none where the test is another.
func (c *Condition) exact() Texts { return slices.Concat(c.Is, c.IsOneOf) }

func isOneOf(values Texts) func(string) bool {
	times := instants{}
	for _, v := range values {
		times.add(v)
	}
	if len(times) > 0 {
		return func(text string) bool { return slices.Contains(values, text) || times.has(text) }
	}
	if len(values) <= 8 { // faster than a map
		return func(text string) bool { return slices.Contains(values, text) }
	}
	all := make(map[string]struct{}, len(values))
	for _, v := range values {
		all[v] = struct{}{}
	}
	return func(text string) bool { _, is := all[text]; return is }
}

// instants are times, which may be written in several ways: with a fraction of zeros, or by the clocks of another zone.
type instants map[int64]struct{}

// add adds a text, if it is a time.
func (i instants) add(text string) {
	if at, ok := instantOf(text); ok {
		i[at] = struct{}{}
	}
}

// has reports whether a text is one of the times.
func (i instants) has(text string) bool {
	at, ok := instantOf(text)
	_, is := i[at]
	return ok && is
}

// instantOf is the time that a text is, in nanoseconds since 1970; ok is false where it is none.
func instantOf(text string) (at int64, ok bool) {
	if len(text) < len("2006-01-02T15:04:05Z") { // so that most texts are not parsed
		return 0, false
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.UnixNano(), err == nil
}

func matchesOneOf(patterns Texts) func(string) bool {
	return func(text string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return wildcard(p, text) })
	}
}

func inNetworks(networks Texts) (func(string) bool, error) {
	var all []netip.Prefix
	for _, text := range networks {
		n, err := network(text)
		if err != nil {
			return nil, fmt.Errorf("reading the network %q: %w", text, err)
		}
		all = append(all, n)
	}
	return func(text string) bool {
		a, err := address(text)
		return err == nil && slices.ContainsFunc(all, func(n netip.Prefix) bool { return n.Contains(a) })
	}, nil
}

// address reads an address as networks contain it.
func address(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err
}

func (r Range) holds() func(string) bool {
	type end struct {
		at    quantity
		holds func(int) bool
	}
	var ends []end
	for _, b := range r.bounds() {
		if len(b.value) > 0 {
			at, _ := quantityOf(b.value[0]) // checked
			ends = append(ends, end{at, b.holds})
		}
	}
	return func(text string) bool {
		q, ok := quantityOf(text)
		return ok && !slices.ContainsFunc(ends, func(e end) bool {
			return q.isTime != e.at.isTime || !e.holds(q.compare(e.at))
		})
	}
}

// wildcard reports whether a text is what a pattern says, in which * is any text and ? any character. Its time is at
// most the product of both lengths.
func wildcard(pattern, text string) bool {
	p, t := 0, 0
	star, from := -1, 0 // the last *, and the text that it stands for ends here
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			t += characterAt(text[t:])
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// characterAt is how many bytes the first character of a text has.
func characterAt(text string) int {
	for i := range text {
		if i > 0 {
			return i
		}
	}
	return len(text)
}
