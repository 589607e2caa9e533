// SPDX-License-Identifier: Apache-2.0

package control

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

func TestLint(t *testing.T) {
	known := func(field string) string {
		return map[string]string{
			"user.name": "keyword", "source.ip": "ip", "process.pid": "long", "process.args": "keyword",
			"reconbeat.anomaly.score": "float",
		}[field]
	}
	alice := Condition{Field: "user.name", Is: Texts{"alice"}}
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
			},
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
			name:  "wide",
			items: []Exception{{ID: "x", Conditions: []Condition{{Field: "user.name", Matches: Texts{"*"}}}}},
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
