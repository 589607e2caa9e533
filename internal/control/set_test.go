// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

var at = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// fields is a Match.
type fields map[string]any

func (f fields) Value(name string) any { return f[name] }

// mallory is the match that the tables are about.
var mallory = fields{
	"user.name": "mallory", "user.id": "1007", "user.group.name": "staff", "process.pid": uint32(4711),
	"process.args": []string{"ss", "-tulpn", "dst", "10.0.0.1"}, "process.parent.executable": "/opt/backup/bin/run",
	"source.ip": "10.1.2.3", "reconbeat.anomaly.score": 66.25, "reconbeat.local.hour": "09",
	"process.interactive": true, "@timestamp": at, "labels.at": "2026-03-02T11:00:00+02:00",
}

func yes() *bool { v := true; return &v }
func no() *bool  { v := false; return &v }

func one(conditions ...Condition) Exception {
	return Exception{ID: "x", Action: detector.SkipBoth, Conditions: conditions}
}

func newSet(t testing.TB, lists map[string]*List, items ...Exception) *Set {
	for i := range items {
		require.NoError(t, items[i].Check())
	}
	s, err := New(Items{Exceptions: items, Lists: lists})
	require.NoError(t, err)
	return s
}

func TestConditions(t *testing.T) {
	lists := map[string]*List{"hosts.txt": ReadList("# jump hosts\n 10.9.0.1\n\n10.1.0.0/16\nmallory\n"),
		"six.txt": ReadList("::ffff:10.1.2.3\n"), "times.txt": ReadList("2026-03-02T09:00:00.0Z\n")}
	for _, c := range []struct {
		name string
		Condition
		want bool
	}{
		{"is", Condition{Field: "user.name", Is: Texts{"mallory"}}, true},
		{"is, in another case", Condition{Field: "user.name", Is: Texts{"Mallory"}}, false},
		{"is, of a number", Condition{Field: "process.pid", Is: Texts{"4711"}}, true},
		{"is, of a yes", Condition{Field: "process.interactive", Is: Texts{"true"}}, true},
		{"is, one of several values", Condition{Field: "process.args", Is: Texts{"dst"}}, true},
		{"is, of a field that is missing", Condition{Field: "container.id", Is: Texts{"x"}}, false},
		{"is not", Condition{Field: "user.name", Is: Texts{"alice"}, Not: true}, true},
		{"is not, of a field that is missing", Condition{Field: "container.id", Is: Texts{"x"}, Not: true}, true},
		{"is not, of several values", Condition{Field: "process.args", Is: Texts{"dst"}, Not: true}, false},
		{"is one of", Condition{Field: "user.name", IsOneOf: Texts{"alice", "mallory"}}, true},
		{"is one of others", Condition{Field: "user.name", IsOneOf: Texts{"alice", "bob"}}, false},
		{"is, of a time", Condition{Field: "@timestamp", Is: Texts{"2026-03-02T09:00:00Z"}}, true},
		{"is, of a time with a fraction", Condition{Field: "@timestamp", Is: Texts{"2026-03-02T09:00:00.000Z"}}, true},
		{"is, of a time elsewhere", Condition{Field: "@timestamp", Is: Texts{"2026-03-02T10:00:00+01:00"}}, true},
		{"is, of another time", Condition{Field: "@timestamp", Is: Texts{"2026-03-02T09:00:00.001Z"}}, false},
		{"is one of times", Condition{Field: "@timestamp", IsOneOf: Texts{"never", "2026-03-02T09:00:00.0Z"}}, true},
		{"is a text beside a time", Condition{Field: "user.name", IsOneOf: Texts{"mallory", "2026-03-02T09:00:00Z"}}, true},
		{"is, of a time in a text", Condition{Field: "labels.at", Is: Texts{"2026-03-02T09:00:00Z"}}, true},
		{"a time in a list", Condition{Field: "@timestamp", InList: "times.txt"}, true},
		{"exists", Condition{Field: "user.name", Exists: yes()}, true},
		{"exists not", Condition{Field: "container.id", Exists: no()}, true},
		{"exists, negated", Condition{Field: "user.name", Exists: yes(), Not: true}, false},
		{"exists not, negated", Condition{Field: "user.name", Exists: no(), Not: true}, true},
		{"matches *", Condition{Field: "process.parent.executable", Matches: Texts{"/opt/*/run"}}, true},
		{"matches ?", Condition{Field: "process.parent.executable", Matches: Texts{"/opt/backup/bin/r?n"}}, true},
		{"matches the whole alone", Condition{Field: "process.parent.executable", Matches: Texts{"/opt/*/bin"}}, false},
		{"matches one of", Condition{Field: "user.name", Matches: Texts{"b*", "m*y"}}, true},
		{"matches one of the values", Condition{Field: "process.args", Matches: Texts{"-t*"}}, true},
		{"regexp", Condition{Field: "user.name", Regexp: "^mal(l|)ory$"}, true},
		{"regexp, elsewhere", Condition{Field: "user.name", Regexp: "^mal$"}, false},
		{"cidr", Condition{Field: "source.ip", CIDR: Texts{"192.168.0.0/16", "10.1.0.0/16"}}, true},
		{"cidr, an address", Condition{Field: "source.ip", CIDR: Texts{"10.1.2.3"}}, true},
		{"cidr, IPv4 in IPv6", Condition{Field: "source.ip", CIDR: Texts{"::ffff:10.1.0.0/112"}}, true},
		{"cidr, another in IPv6", Condition{Field: "source.ip", CIDR: Texts{"::ffff:10.2.0.0/112"}}, false},
		{"cidr, all of IPv6", Condition{Field: "source.ip", CIDR: Texts{"::/0"}}, false},
		{"in a list, IPv4 in IPv6", Condition{Field: "source.ip", InList: "six.txt"}, true},
		{"cidr, another network", Condition{Field: "source.ip", CIDR: Texts{"10.2.0.0/16"}}, false},
		{"cidr, of a name", Condition{Field: "user.name", CIDR: Texts{"0.0.0.0/0"}}, false},
		{"range", Condition{Field: "reconbeat.anomaly.score", Range: Range{GTE: Texts{"66.25"}, LT: Texts{"75"}}}, true},
		{"range, below", Condition{Field: "reconbeat.anomaly.score", Range: Range{GT: Texts{"66.25"}}}, false},
		{"range, of hours", Condition{Field: "reconbeat.local.hour", Range: Range{GTE: Texts{"8"}, LTE: Texts{"9"}}}, true},
		{
			"range, of times",
			Condition{Field: "@timestamp", Range: Range{GT: Texts{"2026-03-02T09:59:00+01:00"}}}, true,
		},
		{"range, of a name", Condition{Field: "user.name", Range: Range{LT: Texts{"5"}}}, false},
		{"in a list", Condition{Field: "user.name", InList: "hosts.txt"}, true},
		{"in a network of a list", Condition{Field: "source.ip", InList: "hosts.txt"}, true},
		{"not in a list", Condition{Field: "user.group.name", InList: "hosts.txt", Not: true}, true},
		{"any", Condition{Any: []Condition{
			{Field: "user.name", Is: Texts{"alice"}}, {Field: "user.group.name", Is: Texts{"staff"}},
		}}, true},
		{"none of any", Condition{Not: true, Any: []Condition{
			{Field: "user.name", Is: Texts{"alice"}}, {Field: "user.group.name", Is: Texts{"staff"}},
		}}, false},
		{"all in any", Condition{Any: []Condition{{All: []Condition{
			{Field: "user.name", Is: Texts{"mallory"}}, {Field: "user.group.name", Is: Texts{"admins"}},
		}}}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSet(t, lists, one(c.Condition))
			require.Equal(t, c.want, s.Decide("rule", at, mallory).NoAlert)
			// So it is beside one by which the item is found.
			s = newSet(t, lists, one(Condition{Field: "user.id", Is: Texts{"1007"}}, c.Condition))
			require.Equal(t, c.want, s.Decide("rule", at, mallory).NoAlert)
		})
	}
}

func TestWhoAppliesWhen(t *testing.T) {
	is := []Condition{{Field: "user.name", Is: Texts{"mallory"}}}
	s := newSet(t, nil,
		Exception{ID: "result", Action: detector.SkipResult, Conditions: is},
		Exception{ID: "rule", Action: detector.SkipModelUpdate, Conditions: is, Rules: []string{"other", "that"}},
		Exception{ID: "until", Action: detector.SkipBoth, Conditions: is, Expires: "2026-03-02"},
	)
	names := func(d detector.Decision) (ids []string) {
		for _, c := range d.By {
			ids = append(ids, c.ID)
		}
		return ids
	}
	d := s.Decide("this", at, mallory)
	require.Equal(t, []string{"result", "until"}, names(d))
	require.True(t, d.NoAlert && d.NoLesson)
	require.Equal(t, time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), d.By[1].Expires, "a day ends at its end")
	d = s.Decide("that", at.AddDate(0, 0, 1), mallory)
	require.Equal(t, []string{"result", "rule"}, names(d))
	d = s.Decide("this", at.AddDate(0, 0, 1), mallory)
	require.Equal(t, []string{"result"}, names(d))
	require.False(t, d.NoLesson)
	require.Zero(t, s.Decide("this", at, fields{"user.name": "alice"}))

	f := detector.Finding{Kind: detector.Observation, Time: at, Held: detector.HeldAlert, Controls: d.By}
	s.Count(&f)
	again := newSet(t, nil, one(is...), Exception{ID: "result", Action: detector.SkipBoth, Conditions: is})
	again.Inherit(s.Usage())
	usage := again.Usage()
	require.Equal(t, Usage{
		Kind: "exception", ID: "result", Action: "both", Matches: 3, Alerts: 1, Last: at.AddDate(0, 0, 1),
	}, usage[1], "counts outlive a change of the file")
	require.Zero(t, usage[0].Matches)
	require.True(t, s.Usage()[2].Expired(at.AddDate(0, 0, 1)))
	require.False(t, s.Usage()[2].Expired(at))
}

// TestAllMistakesAreReportedAtOnce holds that each names its key, its value and what is allowed.
func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	e := Exception{
		ID: " blanks", Action: "drop", Conditions: []Condition{
			{}, {Field: "a b", Is: Texts{"x"}}, {Field: "user.name", Is: Texts{"x", "y"}, Regexp: "("},
			{Field: "source.ip", CIDR: Texts{"10.0.0.0/99"}},
			{Field: "x", Any: []Condition{{Field: "process.pid", Range: Range{GT: Texts{"many"}}}}},
			{Field: "y", Range: Range{GT: Texts{"1"}, LT: Texts{"2026-01-01T00:00:00Z"}}},
		},
	}
	require.Equal(t, []string{
		`id: " blanks" is not allowed; it must be 1 to 1024 characters that can be read, without blanks around them`,
		`conditions.0: has no test; it must have one of is, is_one_of, exists, matches, regexp, cidr, range, in_list, any ` +
			`or all`,
		`conditions.1.field: "a b" is not allowed; it must be the name of a field such as user.name`,
		`conditions.2: is and regexp are several tests; it must have only one of is, is_one_of, exists, matches, regexp, ` +
			`cidr, range, in_list, any or all`,
		`conditions.2.is: a list is not allowed; write is_one_of`,
		"conditions.2.regexp: \"(\" is not allowed; it must be a regular expression (RE2): error parsing regexp: missing " +
			"closing ): `(`",
		`conditions.3.cidr: "10.0.0.0/99" is not allowed; it must be a network such as 10.0.0.0/8, or an address`,
		`conditions.4.field: "x" is not allowed beside any and all, whose conditions name their own`,
		`conditions.4.any.0.range.gt: "many" is not allowed; it must be a number, or a time such as 2026-01-31T08:00:00Z`,
		`conditions.5.range: lt is a time and gt a number; they must be of one kind`,
		`action: "drop" is not allowed; it must be skip_result, skip_model_update or both`,
	}, strings.Split(e.Check().Error(), "\n"))
	require.ErrorContains(t, (&Exception{ID: "x", Action: "both"}).Check(), "hold back everything")
	deep := Condition{Field: "user.name", Is: Texts{"x"}}
	for range deepest {
		deep = Condition{Any: []Condition{deep}}
	}
	e = one(deep)
	require.ErrorContains(t, e.Check(), "stands in more than 8 conditions")
	_, err := New(Items{Exceptions: []Exception{one(Condition{Field: "a", InList: "nowhere"})}})
	require.ErrorContains(t, err, `exception "x": the list "nowhere" is missing`)
	same := one(Condition{Field: "a", Is: Texts{"x"}})
	_, err = New(Items{Exceptions: []Exception{same, same}})
	require.ErrorContains(t, err, `exception "x": two have this id`)
}

// many makes items of every kind of anchor, in the shares of a long list that people keep.
func many(n int, r *rand.Rand) (items []Exception) {
	for i := range n {
		user := Condition{Field: "user.name", Is: Texts{fmt.Sprintf("user%d", r.IntN(n/2+1))}}
		parent := Condition{
			Field: "process.parent.executable", IsOneOf: Texts{"/usr/bin/sh", fmt.Sprintf("/opt/tool%d/run", r.IntN(n/4+1))},
		}
		folder := Condition{Field: "process.parent.executable", Matches: Texts{fmt.Sprintf("/opt/tool%d/*", r.IntN(n/4+1))}}
		net := Condition{Field: "source.ip", CIDR: Texts{fmt.Sprintf("10.%d.%d.0/24", r.IntN(8), r.IntN(256))}}
		args := Condition{Field: "process.args", Matches: Texts{"*n*"}}
		interactive := Condition{Field: "process.interactive", Is: Texts{"true"}}
		score := Condition{Field: "reconbeat.anomaly.score", Range: Range{LT: Texts{fmt.Sprint(r.IntN(100))}}}
		kinds := [][]Condition{
			{user}, {user, args}, {parent, score}, {parent, interactive}, {folder}, {folder, args, score}, {net}, {net, user},
		}
		conditions := kinds[i%len(kinds)]
		if i%500 == 499 {
			conditions = []Condition{{Field: "process.args", Matches: Texts{fmt.Sprintf("*%d*", i)}}, score} // no anchor
		}
		items = append(items, Exception{ID: fmt.Sprintf("e%d", i), Action: detector.SkipResult, Conditions: conditions})
	}
	return items
}

func subjectOf(r *rand.Rand, n int) fields {
	f := fields{
		"user.name":                 fmt.Sprintf("user%d", r.IntN(n/2+1)),
		"process.parent.executable": fmt.Sprintf("/opt/tool%d/run", r.IntN(n/4+1)),
		"process.args":              []string{"ss", "-tulpn", "-4"}, "reconbeat.anomaly.score": float64(r.IntN(100)),
		"process.interactive": r.IntN(2) == 0, "source.ip": fmt.Sprintf("10.%d.%d.7", r.IntN(8), r.IntN(256)),
	}
	if r.IntN(4) == 0 {
		delete(f, "source.ip")
	}
	return f
}

// TestTheIndexFindsWhatATrialOfAllFinds compares them for many items and matches.
func TestTheIndexFindsWhatATrialOfAllFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 20 {
		items := many(300, r)
		s := newSet(t, nil, items...)
		require.Less(t, len(s.index.rest), 10)
		for range 200 {
			m := subjectOf(r, 300)
			var want []string
			s.subject.begin(s.fields, m)
			for _, it := range s.items {
				if it.applies("r", at, &s.subject) {
					want = append(want, it.ID)
				}
			}
			var got []string
			for _, c := range s.Decide("r", at, m).By {
				got = append(got, c.ID)
			}
			require.Equal(t, want, got)
			found += len(got)
		}
	}
	require.Greater(t, found, 1000)
}

// FuzzWildcard compares patterns with the regular expressions that mean the same.
func FuzzWildcard(f *testing.F) {
	for _, seed := range [][2]string{
		{"a*b?c", "axxbyc"}, {"*", ""}, {"", ""}, {"??", "é"}, {"*a*a*a*", "aaaa"}, {"a*", "b"}, {"é?", "éx"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(pattern) > 100 {
			t.Skip() // regexp reads UTF-8 alone
		}
		means := "(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$"
		require.Equal(t, regexp.MustCompile(means).MatchString(text), wildcard(pattern, text), "%q, %q", pattern, text)
	})
}

// FuzzList holds that a list has each of its lines, and each address of its networks.
func FuzzList(f *testing.F) {
	f.Add("a\n#b\n10.0.0.0/8\n::/0\n", "10.1.2.3")
	f.Add("10.0.0.0/33\n\r\n", "x")
	f.Fuzz(func(t *testing.T, text, value string) {
		l := ReadList(text)
		var want bool
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			require.True(t, l.has(line))
			want = want || line == value
			if n, err := netip.ParsePrefix(line); err == nil {
				a, err := netip.ParseAddr(value)
				want = want || err == nil && n.Contains(a.Unmap().WithZone(""))
			}
		}
		require.Equal(t, want, l.has(value))
	})
}

// BenchmarkTenThousandItems is one match against 10,000 exceptions: at most 50 µs.
func BenchmarkTenThousandItems(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	s := newSet(b, nil, many(10000, r)...)
	var matches []fields
	for range 256 {
		matches = append(matches, subjectOf(r, 10000))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Decide("r", at, matches[i%len(matches)])
	}
}

// BenchmarkTenThousandUsers is the same where no exception applies and each names a user.
func BenchmarkTenThousandUsers(b *testing.B) {
	var items []Exception
	for i := range 10000 {
		items = append(items, Exception{
			ID: fmt.Sprintf("e%d", i), Action: detector.SkipResult,
			Conditions: []Condition{{Field: "user.name", Is: Texts{fmt.Sprintf("user%d", i)}}},
		})
	}
	s := newSet(b, nil, items...)
	b.ReportAllocs()
	for b.Loop() {
		s.Decide("r", at, mallory)
	}
}

// TestAMatchThatNoControlMeansAllocatesNothing holds the bound that does not depend on the machine.
func TestAMatchThatNoControlMeansAllocatesNothing(t *testing.T) {
	s := newSet(t, nil, slices.Concat(many(1000, rand.New(rand.NewPCG(1, 2))))...)
	m := fields{"user.name": "nobody", "process.args": []string{"ss"}}
	s.Decide("r", at, m)
	require.Zero(t, testing.AllocsPerRun(100, func() { s.Decide("r", at, m) }))
}
