// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/detector"
)

func write(t *testing.T, dir, name, text string) string {
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestTheMissionIsFirstAndAloneOn(t *testing.T) {
	list, err := LoadRules(t.TempDir(), nil)
	require.NoError(t, err)
	first := list[0]
	require.Equal(t, "network-connection-discovery", first.ID)
	require.Equal(t, []string{"netstat", "ss", "route", "showmount"}, first.Programs)
	require.EqualValues(t, 25, first.Threshold)
	require.Equal(t, 21, first.SeverityNumber())
	require.EqualValues(t, 21, first.RiskScore)
	require.Equal(t, "T1049", first.Threat[0].Technique[0].ID)
	require.Contains(t, first.References[1], "c28c4d8c-f014-40ef-88b6-79a1d67cd499")
	require.NotEmpty(t, first.Note)
	require.NotEmpty(t, first.FalsePositives)
	for _, r := range list[1:] {
		require.False(t, r.Enabled, r.ID)
	}
	require.Empty(t, LintRules(list))
	require.Len(t, list, 8)
}

func TestARuleOfTheUsersOwnIsShort(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "vpn.yml",
		"id: vpn\nname: Unusual use of the VPN client\nhabit: used the VPN client\nprograms: [wg, openvpn]\n")
	list, err := LoadRules(dir, nil)
	require.NoError(t, err)
	r := list[len(list)-1]
	require.Equal(t, "vpn", r.ID)
	require.True(t, r.Enabled)
	require.EqualValues(t, 25, r.Threshold)
	require.Len(t, LintRules(list), 2, "no ATT&CK ids, no guide")
}

func TestAnOverrideChangesOnlyWhatItNames(t *testing.T) {
	list, err := LoadRules("",
		[]*conf.C{
			conf.MustNewConfigFrom(`{id: network-connection-discovery, threshold: 50, tags: [mine], references: []}`),
			conf.MustNewConfigFrom(`{id: sudo-use, enabled: true}`),
		})
	require.NoError(t, err)
	require.EqualValues(t, 50, list[0].Threshold)
	require.Equal(t, "low", list[0].Severity)
	require.Len(t, list[0].Programs, 4)
	require.Equal(t, []string{"mine"}, list[0].Tags, "a list replaces a list")
	require.Empty(t, list[0].References)
	for _, r := range list {
		require.Equal(t, r.ID == "sudo-use" || r.ID == "network-connection-discovery", r.Enabled, r.ID)
	}
}

// TestExceptionsGoWithTheirPrograms has a list of programs that is shorter than the shipped one.
func TestExceptionsGoWithTheirPrograms(t *testing.T) {
	exceptions := func(programs, more string) []detector.Except {
		list, err := LoadRules("", []*conf.C{conf.MustNewConfigFrom("{id: network-tool-discovery, programs: [" + programs +
			"]" + more + "}")})
		require.NoError(t, err)
		i := slices.IndexFunc(list, func(r detector.Rule) bool { return r.ID == "network-tool-discovery" })
		return list[i].Except
	}
	left := exceptions("lsof, conntrack", "")
	require.Len(t, left, 2)
	require.Equal(t, []string{"lsof"}, left[0].Programs)
	require.Equal(t, []string{"conntrack"}, left[1].Programs)
	require.Empty(t, exceptions("nstat", ""))
	require.Len(t, exceptions("nstat", ", except: [{no_args: true}]"), 1)

	_, err := LoadRules("", []*conf.C{conf.MustNewConfigFrom(
		`{id: network-connection-discovery, programs: [ss], except: [{programs: [route], no_args: true}]}`)})
	require.ErrorContains(t, err,
		`reconbeat.detector.rules.0.except.0.programs: "route" is missing from the rule's programs`)
}

func TestAllThatIsWrongWithRulesIsReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yml",
		"id: Bad Id\nname: x\nhabit: y\nprograms: [/bin/ss, a, a]\nversion: -1\nthreshold: 300\nseverity: dire\ntreshold: "+
			"5\nexcept: [{programs: [z]}]\n")
	write(t, dir, "b.yml", "id: sudo-use\nname: x\nhabit: y\nprograms: [a]\n")
	write(t, dir, "c.yml", "{{{")
	write(t, dir, "d.yml", "- id: d\n  name: x\n")
	write(t, dir, "e.yml", "id: e\nname: x\nid: f\n---\nid: g\n")
	_, err := LoadRules(dir,
		[]*conf.C{conf.MustNewConfigFrom(`{id: nowhere}`), conf.MustNewConfigFrom(`{threshold: 3}`)})
	for _, want := range []string{
		`a.yml: treshold: no such setting`, `id: "Bad Id" is not allowed`, `programs.0: "/bin/ss" is not allowed`,
		`programs.2: "a" is listed twice`,
		`e.yml: line 3: id: stands in line 1 already; only one of them would count`,
		`e.yml: line 5: a second document begins here`,
		`d.yml: a list is not allowed; it must be one rule, a mapping of settings`,
		`version: -1 is not allowed; it must be 0 or more`,
		`threshold: 300 is not allowed; it must be 0 to 100`, `severity: "dire" is not allowed`,
		`except.0: has no condition`, `except.0.programs: "z" is missing from`,
		`b.yml: id: "sudo-use" is already used by the shipped rules`, `c.yml: invalid YAML`,
		`reconbeat.detector.rules.0.id: "nowhere" is unknown; the rules are network-connection-discovery`,
		`reconbeat.detector.rules.1.id: is missing`,
	} {
		require.ErrorContains(t, err, want)
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add([]byte("id: vpn\nname: VPN\nhabit: used it\nprograms: [wg]\nexcept: [{any_arg: [\"-*\"]}]\n"))
	f.Add([]byte("programs: {a: 1}\nthreat: 3"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRule(text)
		if err == nil && r.Check() != nil {
			t.Fatal("a rule passed that does not hold")
		}
	})
}
