// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"
)

type sample struct {
	Name    string                   `config:"name"`
	Most    int                      `config:"most"`
	Small   uint32                   `config:"small"`
	Share   float64                  `config:"share"`
	On      bool                     `config:"used"`
	After   time.Duration            `config:"after"`
	List    []string                 `config:"list"`
	Parts   []*conf.C                `config:"parts"`
	Index   fmtstr.EventFormatString `config:"index"`
	Wanted  string                   `config:"wanted"`
	Dotted  int                      `config:"a.b"`
	Inner   struct{ Deep int }       `config:"inner"`
	Beside  beside                   `config:",inline"`
	Tree    map[string]any           `config:"tree"`
	Pointer *beside                  `config:"pointer"`
}

type beside struct {
	Near int `config:"near"`
}

// Every value that cannot be read is reported with its path and what is allowed.
func TestEveryUnreadableValueIsReported(t *testing.T) {
	t.Setenv("RECONBEAT_TEST_SET", "7")
	root := conf.MustNewConfigFrom(`
top:
  name: {a: 1}
  most: many
  small: -1
  share: [1]
  used: maybe
  after: soon
  parts: [3, {x: 1}, text]
  index: "%{[unclosed"
  wanted: ${RECONBEAT_TEST_UNSET}
  a.b: x
  inner.deep: ${RECONBEAT_TEST_OTHER}-${RECONBEAT_TEST_SET}
  near: 1.5.2
  tree: {set: "${RECONBEAT_TEST_SET:}", other: "${RECONBEAT_TEST_TREE}"}
  pointer.near: far
  list: [a, "${RECONBEAT_TEST_IN_LIST}"]
`)
	c, err := root.Child("top", -1)
	require.NoError(t, err)
	into := sample{Most: 3, After: time.Second}
	err = Read("top", c, &into)
	const notSet = " is not set; set the environment variable, or put it into the keystore: reconbeat keystore add "
	want := []string{
		`top.most: "many" is not allowed; it must be a whole number`,
		`top.small: -1 is not allowed; it must be a whole number, 0 or more`,
		`top.share: a list is not allowed; it must be a number`,
		`top.used: "maybe" is not allowed; it must be true or false`,
		`top.after: "soon" is not allowed; it must be a duration such as 90s, 15m or 24h`,
		`top.name: a mapping is not allowed; it must be text`,
		`top.parts.0: 3 is not allowed; it must be a mapping of settings`,
		`top.parts.2: "text" is not allowed; it must be a mapping of settings`,
		`top.index: "%{[unclosed" is not allowed: `,
		`top.wanted: ${RECONBEAT_TEST_UNSET}` + notSet + `RECONBEAT_TEST_UNSET`,
		`top.a.b: "x" is not allowed; it must be a whole number`,
		`top.inner.deep: ${RECONBEAT_TEST_OTHER}` + notSet + `RECONBEAT_TEST_OTHER`,
		`top.near: "1.5.2" is not allowed; it must be a whole number`,
		`top.tree.other: ${RECONBEAT_TEST_TREE}` + notSet + `RECONBEAT_TEST_TREE`,
		`top.list.1: ${RECONBEAT_TEST_IN_LIST}` + notSet + `RECONBEAT_TEST_IN_LIST`,
		`top.pointer.near: "far" is not allowed; it must be a whole number`,
	}
	for _, one := range want {
		require.ErrorContains(t, err, one)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), len(want), "%v", err)
	require.Equal(t, 3, into.Most, "the default stays")
	require.Equal(t, map[string]any{"set": uint64(7)}, into.Tree)
	require.Len(t, into.Parts, 3)
}

// A number that would lose what stands behind its point is no whole number.
func TestFractionsAreNoWholeNumbers(t *testing.T) {
	root := conf.MustNewConfigFrom(`
list:
  - most: 3.7
    small: 2.0
    share: 0.5
    after: 1.5
    a.b: -0.5
    inner.deep: 1e3
    pointer.near: 2.5
`)
	c, err := root.Child("list", 0)
	require.NoError(t, err)
	var into sample
	require.EqualError(t, Read("top", c, &into), `top.a.b: -0.5 is not allowed; it must be a whole number
top.most: 3.7 is not allowed; it must be a whole number
top.pointer.near: 2.5 is not allowed; it must be a whole number`)
	require.EqualValues(t, 2, into.Small)
	require.Equal(t, 1000, into.Inner.Deep)
	require.InDelta(t, 0.5, into.Share, 0)
	require.Equal(t, 1500*time.Millisecond, into.After)
}

func TestNoErrorLosesItsPlace(t *testing.T) {
	require.NoError(t, At("x: ", nil))
	err := At("file: ",
		errors.Join(errors.New("a: 1"),
			At("b.", errors.Join(errors.New("c: 2"), fmt.Errorf("d: %w", errors.New("3"))))))
	require.EqualError(t, err, "file: a: 1\nfile: b.c: 2\nfile: b.d: 3")
}

// An unknown name is a mistake, and so is a mapping in the place of a list.
func TestUnknownNamesAreMistakes(t *testing.T) {
	c := conf.MustNewConfigFrom(`
naem: x
inner: {deep: 1, dep: 2}
list: {a: b}
parts: [{any: thing}]
near: 1
pointer: {far: 1}
tree: {any: thing}
wanted: ${RECONBEAT_TEST_UNSET}
`)
	err := Unknown("top", c, sample{})
	for _, want := range []string{
		"top.naem: no such setting; known here are a, after, index, inner, list, most, name, near, parts, pointer, " +
			"share, small, tree, used, wanted",
		"top.inner.dep: no such setting; known here are deep", "top.list: a mapping is not allowed; it must be a " +
			"list", "top.pointer.far: no such setting; known here are near",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "%v", err)
}

// What cannot be read is not reported a second time as missing.
func TestAMistakeIsReportedOnce(t *testing.T) {
	err := Behind(errors.New("a: no number"), errors.Join(errors.New("a: is missing"), errors.New("b: is missing")))
	require.EqualError(t, err, "a: no number\nb: is missing")
	require.NoError(t, Behind(nil, nil))
}

// A name that a variable stands for is in use, however deep it is; one that a default stands for is not.
func TestAVariableRefersToANameInTheFile(t *testing.T) {
	c := conf.MustNewConfigFrom(`
es: {host: a}
namespace: x
list: [1, 2]
alone: 1
output.elasticsearch.hosts: ["${es.host}"]
reconbeat: {namespace: "a-${namespace}", paths: "${list}", other: "${none:5}"}
`)
	for name, used := range map[string]bool{
		"es": true, "namespace": true, "list": true, "alone": false, "none": false, "output": false,
	} {
		require.Equal(t, used, RefersTo(c, name), name)
	}
}

// A struct may be in itself.
func TestUnknownNamesAreFoundInAStructWithinItself(t *testing.T) {
	type condition struct {
		Equals any              `config:"equals"`
		Not    *struct{ N int } `config:"not"`
		Or     []condition      `config:"or"`
		Beat   string           `config:",ignore"`
	}
	err := Unknown("when", conf.MustNewConfigFrom("or: [{equals.a: 1}, {or: [{eqals: 1}]}]\nbeat: x\n"), condition{})
	require.EqualError(t, err, "when.beat: no such setting; known here are equals, not, or\n"+
		"when.or.1.or.0.eqals: no such setting; known here are equals, not, or")
}
