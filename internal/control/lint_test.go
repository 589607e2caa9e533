// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

func TestLint(t *testing.T) {
	known := func(field string) string {
		return map[string]string{
			"user.name": "keyword", "source.ip": "ip", "process.pid": "long", "process.args": "keyword",
			"reconbeat.anomaly.score": "float", "@timestamp": "date", "process.interactive": "boolean",
			"user.id": "keyword", "host.name": "keyword", "process.hash.sha256": "keyword", "event.kind": "keyword",
			"event.id": "keyword",
			"rule.id":  "keyword", "reconbeat.anomaly.record_score": "float",
		}[field]
	}
	alice := Condition{Field: "user.name", Is: Texts{"alice"}}
	bob := Condition{Field: "user.name", Is: Texts{"bob"}}
	id := func(id string) Condition { return Condition{Field: "user.id", Is: Texts{id}} }
	for _, c := range []struct {
		name  string
		items []Exception
		want  []string
	}{
		{name: "nothing to say", items: []Exception{{ID: "x", Conditions: []Condition{alice}}}},
		{
			name:  "expired, in every time zone",
			items: []Exception{{ID: "x", Expires: "2026-02-27", Conditions: []Condition{alice}}},
			want:  []string{`exception "x": expires: it has expired (2026-02-27) and holds nothing back`},
		},
		{
			name:  "a rule that there is not",
			items: []Exception{{ID: "x", Rules: []string{"mission", "misson"}, Conditions: []Condition{alice}}},
			want:  []string{`exception "x": rules: "misson" is the id of no rule; the rules are mission, other`},
		},
		{
			name: "an unknown field, in a nest",
			items: []Exception{{ID: "x", Conditions: []Condition{
				alice, {Any: []Condition{{Field: "user.nam", Exists: yes()}}},
			}}},
			want: []string{"exception \"x\": conditions.1.any.0.field: \"user.nam\" is unknown; no alert has it, unless a " +
				"module's `fields` or `processors` add it"},
		},
		{
			name: "types",
			items: []Exception{{ID: "x", Conditions: []Condition{
				alice, {Field: "user.name", CIDR: Texts{"10.0.0.0/8"}}, {Field: "process.pid", IsOneOf: Texts{"1", "init"}},
			}}},
			want: []string{
				`exception "x": conditions.1.cidr: user.name holds no addresses; it is of type keyword`,
				`exception "x": conditions.2: process.pid is a number (long), and "init" is none`,
				`exception "x": conditions: it can never apply: user.name has to be alice, and something else at once`,
			},
		},
		{
			name: "a day where a time belongs",
			items: []Exception{{ID: "x", Conditions: []Condition{
				{Field: "@timestamp", IsOneOf: Texts{"2026-01-31", "2026-01-31T08:00:00.5+01:00"}},
			}}},
			want: []string{`exception "x": conditions.0: @timestamp is a time such as 2026-01-31T08:00:00Z, and ` +
				`"2026-01-31" is none; a day is a range`},
		},
		{
			name: "one time in two ways is possible",
			items: []Exception{{ID: "x", Conditions: []Condition{
				{Field: "@timestamp", Is: Texts{"2026-01-31T08:00:00Z"}},
				{Field: "@timestamp", Is: Texts{"2026-01-31T08:00:00.000Z"}},
			}}},
		},
		{
			name:  "two values at once",
			items: []Exception{{ID: "x", Conditions: []Condition{alice, {Field: "user.name", IsOneOf: Texts{"bob", "eve"}}}}},
			want: []string{`exception "x": conditions: it can never apply: user.name has to be alice, and something else at ` +
				`once`},
		},
		{
			name: "two arguments at once are possible",
			items: []Exception{{ID: "x", Conditions: []Condition{
				{Field: "process.args", Is: Texts{"a"}}, {Field: "process.args", Is: Texts{"b"}},
			}}},
		},
		{
			name:  "yes and no",
			items: []Exception{{ID: "x", Conditions: []Condition{alice, {Field: "user.name", Is: Texts{"alice"}, Not: true}}}},
			want:  []string{`exception "x": conditions: it can never apply: user.name has to be alice, and must not`},
		},
		{
			name:  "absent with a value",
			items: []Exception{{ID: "x", Conditions: []Condition{alice, {Field: "user.name", Exists: no()}}}},
			want:  []string{`exception "x": conditions: it can never apply: user.name has to be absent, and to have a value`},
		},
		{
			name: "an empty interval",
			items: []Exception{{ID: "x", Conditions: []Condition{
				alice, {Field: "reconbeat.anomaly.score", Range: Range{GTE: Texts{"50"}, LT: Texts{"50"}}},
			}}},
			want: []string{`exception "x": conditions: it can never apply: the interval of reconbeat.anomaly.score is empty`},
		},
		{
			name: "what no alert has",
			items: []Exception{{ID: "x", Conditions: []Condition{
				alice, {Field: "source.ip", IsOneOf: Texts{"2001:DB8::7", "::ffff:192.0.2.1", "10.0.0.0/8", "jump", "::1"}},
				{Field: "process.interactive", Is: Texts{"yes"}}, {Field: "process.args", Is: Texts{""}},
				{Field: "@timestamp", Range: Range{GT: Texts{"5"}}},
				{Field: "process.pid", Range: Range{LT: Texts{"2026-03-02T09:59:00Z"}}},
			}}},
			want: []string{
				`exception "x": conditions.1: source.ip has this address as "2001:db8::7"; write it so, or write cidr`,
				`exception "x": conditions.1: source.ip has this address as "192.0.2.1"; write it so, or write cidr`,
				`exception "x": conditions.1: source.ip is an address, and "10.0.0.0/8" a network; write cidr`,
				`exception "x": conditions.1: source.ip is an address, and "jump" is none`,
				`exception "x": conditions.2: process.interactive is true or false, and never "yes"`,
				`exception "x": conditions.3: process.args is never empty; write exists: false where it has no value`,
				`exception "x": conditions.4.range.gt: @timestamp is of type date, and "5" is not`,
				`exception "x": conditions.5.range.lt: process.pid is of type long, and "2026-03-02T09:59:00Z" is not`,
			},
		},
		{
			name:  "wide",
			items: []Exception{{ID: "x", Conditions: []Condition{{Field: "user.name", Matches: Texts{"*"}}}}},
			want: []string{`exception "x": conditions: none of them names a value, the beginning of one, or a network, so ` +
				`that it is wide, and tried at every match`},
		},
		{
			name: "every alternative names somebody",
			items: []Exception{
				{ID: "x", Conditions: []Condition{{Any: []Condition{alice, {Field: "source.ip", CIDR: Texts{"192.0.2.0/24"}}}}}},
				{ID: "y", Conditions: []Condition{{All: []Condition{{Field: "source.ip", Exists: yes()}, bob}}}},
				{ID: "z", Conditions: []Condition{{Field: "user.name", InList: "people.txt"}}},
			},
		},
		{
			name: "one alternative names nobody",
			items: []Exception{
				{ID: "x", Conditions: []Condition{{Any: []Condition{alice, {Field: "source.ip", Exists: no()}}}}},
			},
			want: []string{`exception "x": conditions: none of them names a value, the beginning of one, or a network, so ` +
				`that it is wide, and tried at every match`},
		},
		{
			name: "shadowed",
			items: []Exception{
				{ID: "narrow", Action: detector.SkipResult, Conditions: []Condition{alice, {Field: "source.ip", Exists: yes()}}},
				{ID: "until", Action: detector.SkipBoth, Expires: "2026-12-31", Conditions: []Condition{alice}},
				{ID: "wide", Action: detector.SkipBoth, Conditions: []Condition{{Field: "user.name", Matches: Texts{"a*"}}}},
				{ID: "learned", Action: detector.SkipModelUpdate, Rules: []string{"mission"}, Conditions: []Condition{alice}},
			},
			want: []string{
				`exception "narrow": it is shadowed by "wide", which holds back the same and more`,
				`exception "until": it is shadowed by "wide", which holds back the same and more`,
				`exception "learned": it is shadowed by "wide", which holds back the same and more`,
			},
		},
		{
			name: "what is another in every alert",
			items: []Exception{
				{ID: "kind", Conditions: []Condition{alice, {Field: "event.kind", IsOneOf: Texts{"event", "alert"}}}},
				{ID: "rule", Conditions: []Condition{alice, {Any: []Condition{{Field: "rule.id", Is: Texts{"misson"}}, bob}}}},
				{ID: "no kind", Conditions: []Condition{alice, {Field: "event.kind", Is: Texts{"event"}, Not: true}}},
				{ID: "score", Conditions: []Condition{alice, {Field: "reconbeat.anomaly.score", Range: Range{GT: Texts{"100"}}}}},
				{ID: "record", Conditions: []Condition{
					alice, {Field: "reconbeat.anomaly.record_score", Range: Range{LT: Texts{"0"}}},
				}},
				{ID: "id", Conditions: []Condition{{Field: "event.id", Is: Texts{"JumV5bITVFljya51qtWd"}}}},
				{ID: "most", Conditions: []Condition{alice, {Field: "reconbeat.anomaly.score", Range: Range{LTE: Texts{"100"}}}}},
			},
			want: []string{
				`exception "kind": conditions.1: event.kind is alert, and never "event"`,
				`exception "rule": conditions.1.any.0: rule.id is mission or other, and never "misson"`,
				`exception "score": conditions.1.range: reconbeat.anomaly.score lies between 0 and 100`,
				`exception "record": conditions.1.range: reconbeat.anomaly.record_score lies between 0 and 100`,
				`exception "id": conditions.0.field: event.id is known only when the alert is raised, after the controls`,
			},
		},
		{
			name: "two patterns at once",
			items: []Exception{
				{ID: "x", Conditions: []Condition{
					{Field: "user.name", Matches: Texts{"svc-*", "app-*"}}, {Field: "user.name", Matches: Texts{"www*"}},
				}},
				{ID: "possible", Conditions: []Condition{
					{Field: "user.name", Matches: Texts{"svc-*"}}, {Field: "user.name", Matches: Texts{"svc-web*", "*x"}},
				}},
				{ID: "arguments", Conditions: []Condition{
					{Field: "process.args", Matches: Texts{"-a*"}}, {Field: "process.args", Matches: Texts{"-b*"}},
				}},
			},
			want: []string{`exception "x": conditions: it can never apply: user.name has to be like svc-* or app-*, and like ` +
				`www* at once`},
		},
		{
			name: "shadowed by the meaning of tests",
			items: []Exception{
				{ID: "pattern", Conditions: []Condition{{Field: "process.args", Matches: Texts{"-t*", "-u?"}}}},
				{ID: "network", Conditions: []Condition{{Field: "source.ip", CIDR: Texts{"10.0.0.0/8", "2001:db8::/32"}}}},
				{ID: "interval", Conditions: []Condition{{Field: "process.pid", Range: Range{GT: Texts{"10"}}}}},
				{ID: "any", Conditions: []Condition{{Any: []Condition{alice, bob}}}},
				{ID: "not", Conditions: []Condition{
					{Field: "host.name", Is: Texts{"db"}, Not: true}, {Field: "user.id", Is: Texts{"0"}},
				}},
				{ID: "there", Conditions: []Condition{{Field: "process.hash.sha256", Exists: no(), Not: true}}},

				{ID: "pattern-", Conditions: []Condition{{Field: "process.args", Matches: Texts{"-tu*", "-ux"}}}},
				{ID: "network-", Conditions: []Condition{{Field: "source.ip", CIDR: Texts{"10.1.0.0/16", "2001:db8::1"}}}},
				{ID: "interval-", Conditions: []Condition{{Field: "process.pid", Range: Range{GTE: Texts{"11"}, LT: Texts{"20"}}}}},
				{ID: "any-", Conditions: []Condition{
					{Any: []Condition{bob, {All: []Condition{alice, {Field: "source.ip", Exists: no()}}}}},
				}},
				{ID: "not-", Conditions: []Condition{
					{Field: "host.name", IsOneOf: Texts{"db", "web"}, Not: true}, {Field: "user.id", Is: Texts{"0"}},
				}},
				{ID: "there-", Conditions: []Condition{{Field: "process.hash.sha256", Matches: Texts{"a*"}}}},
			},
			want: []string{
				`exception "interval": conditions: none of them names a value, the beginning of one, or a network, so that it is ` +
					`wide, and tried at every match`,
				`exception "there": conditions: none of them names a value, the beginning of one, or a network, so that it is ` +
					`wide, and tried at every match`,
				`exception "pattern-": it is shadowed by "pattern", which holds back the same and more`,
				`exception "network-": it is shadowed by "network", which holds back the same and more`,
				`exception "interval-": conditions: none of them names a value, the beginning of one, or a network, so that it ` +
					`is wide, and tried at every match`,
				`exception "interval-": it is shadowed by "interval", which holds back the same and more`,
				`exception "any-": it is shadowed by "any", which holds back the same and more`,
				`exception "not-": it is shadowed by "not", which holds back the same and more`,
				`exception "there-": it is shadowed by "there", which holds back the same and more`,
			},
		},
		{
			name: "what only looks shadowed",
			items: []Exception{
				{ID: "pattern", Conditions: []Condition{{Field: "process.args", Matches: Texts{"-t*", "-u?"}}}},
				{ID: "pattern-", Conditions: []Condition{{Field: "process.args", Matches: Texts{"-u*"}}}},
				{ID: "network", Conditions: []Condition{{Field: "source.ip", CIDR: Texts{"10.0.0.0/16", "192.0.2.0/24"}}}},
				{ID: "network-", Conditions: []Condition{{Field: "source.ip", CIDR: Texts{"10.0.1.0/24", "198.51.100.1"}}}},
				{ID: "score", Conditions: []Condition{alice, {Field: "process.pid", Range: Range{GT: Texts{"10"}}}}},
				{ID: "score-", Conditions: []Condition{
					alice, {Field: "process.pid", Range: Range{GTE: Texts{"10"}, LT: Texts{"20"}}},
				}},
				{ID: "not", Conditions: []Condition{bob, {Field: "process.args", Is: Texts{"-a"}, Not: true}}},
				{ID: "not-", Conditions: []Condition{bob, {Field: "process.args", Is: Texts{"-b"}}}}, // of several
				{ID: "any", Conditions: []Condition{{Any: []Condition{id("1"), id("2")}}}},
				{ID: "any-", Conditions: []Condition{{Any: []Condition{id("1"), id("3")}}}},
			},
		},
		{
			name: "twins: one is shadowed",
			items: []Exception{
				{ID: "one", Action: detector.SkipBoth, Conditions: []Condition{alice}},
				{ID: "two", Action: detector.SkipBoth, Conditions: []Condition{alice}},
			},
			want: []string{`exception "two": it is shadowed by "one", which holds back the same and more`},
		},
		{
			name: "what expires sooner shadows nothing",
			items: []Exception{
				{ID: "one", Action: detector.SkipResult, Expires: "2026-12-31", Conditions: []Condition{alice}},
				{ID: "two", Action: detector.SkipBoth, Expires: "2026-06-30", Conditions: []Condition{alice}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.items {
				c.items[i].Comment = "a reason"
			}
			require.Equal(t, c.want, Lint(Items{Exceptions: c.items}, known, []string{"mission", "other"}, at))
		})
	}
}

// Of many items each is compared with few: all pairs of 10,000 would take minutes. What shadows another is found all
// the same, whichever of its conditions most items share.
func TestLintOfManyItems(t *testing.T) {
	var all Items
	for i := range 10000 {
		all.Exceptions = append(all.Exceptions, Exception{
			ID: fmt.Sprint(i), Comment: "a reason", Action: detector.SkipResult, Conditions: []Condition{
				{Field: "process.name", Is: Texts{"ss"}}, {Field: "user.name", Is: Texts{fmt.Sprint("u", i)}},
				{Field: "process.parent.executable", Matches: Texts{fmt.Sprintf("/opt/%d/*", i)}},
			},
		})
	}
	narrow := all.Exceptions[7]
	narrow.ID = "narrow"
	narrow.Conditions = append(slices.Clone(narrow.Conditions), Condition{Field: "source.ip", Exists: no()})
	gone := narrow
	gone.ID, gone.Expires = "gone", "2020-01-01"
	all.Exceptions = append(all.Exceptions, narrow, gone)
	s := newShadows(all.entries(), nil, at, time.UTC)
	compared := 0
	for _, items := range s.bySpot {
		compared = max(compared, len(items))
	}
	require.LessOrEqual(t, compared, 3)
	require.Equal(t, []string{
		`exception "narrow": it is shadowed by "7", which holds back the same and more`,
		`exception "gone": expires: it has expired (2020-01-01) and holds nothing back`,
	}, Lint(all, kinds, nil, at))
}

// So it is where items name no whole values.
func TestLintComparesFewWithEachOther(t *testing.T) {
	for name, condition := range map[string]func(i int) Condition{
		"networks": func(i int) Condition {
			return Condition{Field: "source.ip", CIDR: Texts{fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}}
		},
		"patterns": func(i int) Condition {
			return Condition{Field: "user.name", Matches: Texts{fmt.Sprintf("svc%04d-*", i)}}
		},
		"alternatives": func(i int) Condition {
			return Condition{Any: []Condition{
				{Field: "user.name", Is: Texts{fmt.Sprint("u", i)}}, {Field: "user.name", Matches: Texts{fmt.Sprintf("v%04d*", i)}},
			}}
		},
	} {
		var all Items
		for i := range 5000 {
			all.Exceptions = append(all.Exceptions, Exception{
				ID: fmt.Sprint(i), Action: detector.SkipResult, Conditions: []Condition{condition(i)},
			})
		}
		narrow := all.Exceptions[7]
		narrow.ID = "narrow"
		narrow.Conditions = append(slices.Clone(narrow.Conditions), Condition{Field: "host.name", Is: Texts{"web"}})
		all.Exceptions = append(all.Exceptions, narrow)
		entries := all.entries()
		s := newShadows(entries, nil, at, time.UTC)
		compared := 0
		for i := range entries {
			for j := range entries[i].Conditions {
				compared += len(s.candidates(&entries[i].Conditions[j], nil))
			}
		}
		require.Less(t, compared, 4*len(entries), name)
		wider, ok := s.of(5000)
		require.True(t, ok, name)
		require.Equal(t, "7", wider.ID, name)
	}
}

// Conditions that can never hold at once are seen, whatever they test and however deep they stand.
func TestContradictions(t *testing.T) {
	lists := map[string]*List{"people.txt": ReadList("alice\nbob\n"), "none.txt": ReadList("# nobody\n")}
	is := func(value string) Condition { return Condition{Field: "user.name", Is: Texts{value}} }
	not := func(c Condition) Condition { c.Not = true; return c }
	anyOf := func(all ...Condition) Condition { return Condition{Any: all} }
	in := func(networks ...string) Condition { return Condition{Field: "source.ip", CIDR: networks} }
	score := func(r Range) Condition { return Condition{Field: "reconbeat.anomaly.score", Range: r} }
	absent := Condition{Field: "user.name", Exists: no()}
	like := Condition{Field: "user.name", Matches: Texts{"b*"}}
	const never = "user.name has to be alice, and something else at once"
	for _, c := range []struct {
		name       string
		conditions []Condition
		want       string
	}{
		{
			name: "none", conditions: nil,
		},
		{
			name: "in all", conditions: []Condition{{All: []Condition{is("alice")}}, not(is("alice"))},
			want: "user.name has to be alice, and must not",
		},
		{
			name: "in every alternative", conditions: []Condition{anyOf(is("alice"), is("bob")), absent},
			want: "user.name has to be absent, and to have a value",
		},
		{
			name:       "not in one",
			conditions: []Condition{anyOf(is("alice"), Condition{Field: "source.ip", Exists: yes()}), absent},
		},
		{
			name: "neither", conditions: []Condition{not(anyOf(is("alice"), is("bob"))), is("bob")},
			want: "user.name has to be bob, and must not",
		},
		{
			name: "present and absent", conditions: []Condition{absent, {Field: "user.name", Exists: yes()}},
			want: "user.name has to be absent, and to have a value",
		},
		{
			name: "present and not absent", conditions: []Condition{not(absent), {Field: "user.name", Exists: yes()}},
		},
		{
			name: "a pattern", conditions: []Condition{is("alice"), like},
			want: never,
		},
		{
			name: "a pattern that fits", conditions: []Condition{is("bob"), like},
		},
		{
			name: "no pattern", conditions: []Condition{is("bob"), not(like)},
			want: "user.name has to be bob, and must not",
		},
		{
			name: "an expression", conditions: []Condition{is("alice"), {Field: "user.name", Regexp: "^b"}},
			want: never,
		},
		{
			name: "a list", conditions: []Condition{is("eve"), {Field: "user.name", InList: "people.txt"}},
			want: "user.name has to be eve, and something else at once",
		},
		{
			name: "an empty list", conditions: []Condition{{Field: "user.name", InList: "none.txt"}},
			want: "the list none.txt is empty",
		},
		{
			name: "not in an empty list", conditions: []Condition{{Field: "user.name", InList: "none.txt", Not: true}},
		},
		{
			name: "a list that is missing", conditions: []Condition{is("eve"), {Field: "user.name", InList: "other.txt"}},
		},
		{
			name: "two intervals", conditions: []Condition{score(Range{GT: Texts{"50"}}), score(Range{LT: Texts{"40"}})},
			want: "the interval of reconbeat.anomaly.score is empty",
		},
		{
			name: "they touch", conditions: []Condition{score(Range{GTE: Texts{"50"}}), score(Range{LTE: Texts{"50"}})},
		},
		{
			name: "they do not", conditions: []Condition{score(Range{GTE: Texts{"50"}}), score(Range{LT: Texts{"50"}})},
			want: "the interval of reconbeat.anomaly.score is empty",
		},
		{
			name: "outside of one", conditions: []Condition{score(Range{GTE: Texts{"50"}}), not(score(Range{LT: Texts{"40"}}))},
		},
		{
			name: "two networks", conditions: []Condition{in("10.0.0.0/8"), in("192.0.2.0/24", "2001:db8::/32")},
			want: "source.ip has to be in 10.0.0.0/8, and in 192.0.2.0/24 or 2001:db8::/32 at once",
		},
		{
			name: "one in the other", conditions: []Condition{in("10.0.0.0/8"), in("10.1.0.0/16", "192.0.2.0/24")},
		},
		{
			name:       "an address elsewhere",
			conditions: []Condition{in("10.0.0.0/8"), {Field: "source.ip", Is: Texts{"192.0.2.1"}}},
			want:       "source.ip has to be 192.0.2.1, and something else at once",
		},
		{
			name:       "several values",
			conditions: []Condition{{Field: "process.args", Is: Texts{"a"}}, {Field: "process.args", Is: Texts{"b"}}},
		},
		{
			name:       "several and none",
			conditions: []Condition{{Field: "process.args", Is: Texts{"a"}}, {Field: "process.args", Exists: no()}},
			want:       "process.args has to be absent, and to have a value",
		},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, contradiction(c.conditions, lists)) })
	}
}

// What a window says of its times is compared with them.
func TestLintOfTimes(t *testing.T) {
	day := func(text string) (c Clock) { require.NoError(t, c.Unpack(text)); return c }
	var weekly Recurrence
	require.NoError(t, weekly.Unpack("FREQ=WEEKLY"))
	window := func(id string, change func(*Window)) Window {
		w := NewWindow()
		w.ID, w.Comment, w.Start, w.Duration = id, "a reason", day("2026-03-05T22:00"), Length{Time: time.Hour}
		change(&w)
		require.NoError(t, w.Check())
		return w
	}
	all := Items{Windows: []Window{
		window("good", func(w *Window) {
			w.Rule, w.Except = weekly, []Clock{day("2026-03-12T22:00"), day("2026-03-19"), day("2030-01-03")}
			w.Dates = []Clock{day("2026-04-01T08:00")}
			w.Except = append(w.Except, day("2026-04-01"))
		}),
		window("amiss", func(w *Window) {
			w.Rule, w.Except = weekly, []Clock{day("2026-03-20"), day("2026-03-12T21:00"), day("2026-02-26T22:00")}
		}),
		window("late", func(w *Window) { w.Expires = "2026-03-04" }),
		window("over", func(w *Window) { w.Expires, w.Start = "2026-03-31", day("2026-01-01T08:00") }),
	}}
	require.Equal(t, []string{
		`window "amiss": except: 2026-02-26T22:00 is none of its times`,
		`window "amiss": except: 2026-03-12T21:00 is none of its times`,
		`window "amiss": except: 2026-03-20 is none of its times`,
		`window "late": expires: it expires (2026-03-04) before the next of its times`,
		`window "over": none of its times is within the next year`,
	}, Lint(all, kinds, nil, at))
}

func TestMeaning(t *testing.T) {
	e := Exception{
		Action: detector.SkipBoth, Rules: []string{"mission"}, Expires: "2026-12-31", Conditions: []Condition{
			{Field: "user.name", IsOneOf: Texts{"alice", "bob"}}, {Field: "source.ip", CIDR: Texts{"10.0.0.0/8"}, Not: true},
			{Any: []Condition{{Field: "container.id", Exists: no()}, {Field: "process.args", Matches: Texts{"-t*"}}}},
			{Field: "reconbeat.anomaly.score", Range: Range{GTE: Texts{"25"}, LT: Texts{"50"}}},
			{Field: "host.name", InList: "hosts.txt"}, {Field: "user.id", Regexp: "^1"},
		},
	}
	require.Equal(t, "A match of mission with user.name that is alice or bob and source.ip that is not in 10.0.0.0/8 and "+
		"(container.id absent or process.args that is like -t*) and reconbeat.anomaly.score that is >= 25 and < 50 and "+
		"host.name that is in the list hosts.txt and user.id that is like the regular expression ^1 raises no alert and is "+
		"not learned, until 2026-12-31.", e.meaning(""))
}
