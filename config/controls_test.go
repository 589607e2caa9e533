// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/internal/control"
)

// folder writes files into a folder.
func folder(t testing.TB, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestExceptionsOfTheFolderAndTheFile(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.yml": `
- id: backup
  name: The backup's script
  comment: it checks its own port
  author: alice
  created: 2026-01-05
  expires: 2026-07-01
  rules: [network-connection-discovery]
  action: both
  conditions:
    - {field: process.parent.executable, is: /opt/backup/run}
    - {field: process.pid, is_one_of: [1, "2", 3.5, true]}
    - {field: user.name, regexp: "^svc-${x}$", not: true}
    - any:
        - {field: source.ip, cidr: 10.0.0.0/8}
        - {field: source.ip, in_list: jump.txt}
    - {field: reconbeat.anomaly.score, range: {lt: 75}}
`,
		"a.yaml": "- {id: first, conditions: [{field: user.name, is: 'on'}]}\n", "c.yml": "# nothing yet\n",
		"jump.txt": "192.168.7.1\n", "d.yml.disabled": "nonsense",
	})
	inline := conf.MustNewConfigFrom(`{id: inline, conditions: [{field: user.name, exists: false}]}`)
	items, err := Controls{Exceptions: []*conf.C{inline}}.Items(ControlFolders{Exceptions: dir}, time.UTC)
	require.NoError(t, err)
	no := false
	require.Equal(t, []control.Exception{
		{ID: "inline", Action: "skip_result", Conditions: []control.Condition{{Field: "user.name", Exists: &no}}},
		{
			ID: "first", Action: "skip_result",
			Conditions: []control.Condition{{Field: "user.name", Is: control.Texts{"on"}}},
		},
		{
			ID: "backup", Name: "The backup's script", Comment: "it checks its own port", Author: "alice",
			Created: "2026-01-05", Expires: "2026-07-01", Rules: []string{"network-connection-discovery"}, Action: "both",
			Conditions: []control.Condition{
				{Field: "process.parent.executable", Is: control.Texts{"/opt/backup/run"}},
				{Field: "process.pid", IsOneOf: control.Texts{"1", "2", "3.5", "true"}},
				{Field: "user.name", Regexp: "^svc-${x}$", Not: true},
				{Any: []control.Condition{
					{Field: "source.ip", CIDR: control.Texts{"10.0.0.0/8"}}, {Field: "source.ip", InList: "jump.txt"},
				}},
				{Field: "reconbeat.anomaly.score", Range: control.Range{LT: control.Texts{"75"}}},
			},
		},
	}, items.Exceptions)
	set, err := control.New(items)
	require.NoError(t, err)
	require.Equal(t, 3, set.Len())
	none, err := Controls{}.Items(ControlFolders{Exceptions: filepath.Join(dir, "nowhere")}, time.UTC)
	require.NoError(t, err)
	require.Empty(t, none.Exceptions)
}

// TestEveryMistakeInExceptionsIsReported holds that each has its file, its line and its key.
func TestEveryMistakeInExceptionsIsReported(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.yml": `- id: one
  conditions:
    - {field: user.name, is: alice}
    - field: source.ip
      cidr: 10.0.0.0/99
  expires: soon
- id: one
  acton: both
  rules: network
  conditions:
    - {field: user.name, is: {a: b}}
    - {field: user.name, in_list: nowhere.txt}
`,
		"b.yml": "id: no-list\n", "c.yml": "- id: [\n", "d.yml": "- id: x\n  no: 1\n", "e.yml": "- just text\n",
	})
	inline := conf.MustNewConfigFrom(`{id: inline, action: drop, conditions: [{field: user.name}]}`)
	_, err := Controls{Exceptions: []*conf.C{inline}}.Items(ControlFolders{Exceptions: dir}, time.UTC)
	require.Equal(t, []string{
		"reconbeat.controls.exceptions.0.conditions.0: has no test; it must have one of is, is_one_of, exists, matches, " +
			"regexp, cidr, range, in_list, any or all",
		`reconbeat.controls.exceptions.0.action: "drop" is not allowed; it must be skip_result, skip_model_update or both`,
		`a.yml line 6: 0.expires: "soon" is not allowed; it must be a day such as 2026-01-31, or a time such as ` +
			`2026-01-31T08:00:00Z`,
		`a.yml line 5: 0.conditions.1.cidr: "10.0.0.0/99" is not allowed; it must be a network such as 10.0.0.0/8, or an ` +
			`address`,
		`a.yml line 11: 1.conditions.0.is: a mapping is not allowed; it must be a text, a number, true or false, or a list ` +
			`of these alone`,
		`a.yml line 8: 1.acton: no such setting; known here are action, author, comment, conditions, created, expires, id, ` +
			`name, rules`,
		`a.yml line 7: 1.id: "one" is used already in a.yml; choose another`,
		`a.yml line 12: 1.conditions.1.in_list: reading the list: open nowhere.txt: no such file or directory`,
		`b.yml: it must be a list, whose elements begin with a dash`,
		`c.yml: invalid YAML: yaml: line 1: did not find expected node content`,
		`d.yml line 2: 0.no: the name no is true or false in YAML; it must be text: put it in quotes if it is meant, "no"`,
		`e.yml line 1: 0: "just text" is not allowed; it must be a mapping of settings`,
	}, strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n"))
}

// TestAnEmptyTestIsRefused holds that a test without a value is none that counts as if it were not there.
func TestAnEmptyTestIsRefused(t *testing.T) {
	const texts, quantity = "a text, a number, true or false", "a number, or a time such as 2026-01-31T08:00:00Z"
	for condition, want := range map[string]string{
		"field: user.name, is_one_of: []":            ".is_one_of: an empty list is not allowed; it must be a list of",
		"field: user.name, is: alice, matches: []":   ".matches: an empty list is not allowed; it must be a pattern such as",
		"field: user.name, is: []":                   ".is: an empty list is not allowed; it must be " + texts,
		"field: user.name, is: ":                     ".is: nothing is not allowed; it must be " + texts,
		"field: user.name, exists: ~":                ".exists: nothing is not allowed; it must be true or false",
		"field: user.name, regexp: ''":               `.regexp: "" is not allowed; it must be a regular expression (RE2)`,
		"field: user.name, in_list: ''":              `.in_list: "" is not allowed; it must be the name of a file`,
		"field: source.ip, cidr: ['']":               `.cidr: "" is not allowed; it must be a network such as`,
		"field: process.pid, range: {}":              ".range: an empty mapping is not allowed; it must be at least",
		"field: process.pid, range: {gt: [], lt: 5}": ".range.gt: an empty list is not allowed; it must be " + quantity,
		"any: []": ".any: an empty list is not allowed; it must be at least one condition",
		"all: {}": ".all: an empty mapping is not allowed; it must be at least one condition",
		"all: [{any: [{field: user.name, is: []}]}]": ".all.0.any.0.is: an empty list is not allowed; it must be " + texts,
		"field: user.name, is_one_of: [~]":           ".is_one_of: a list is not allowed; it must be " + texts,
		"field: user.name, is: 0":                    "",
		"field: user.name, is: false":                "",
		"field: user.name, exists: false":            "",
		"field: process.pid, range: {gt: 0}":         "",
	} {
		t.Run(condition, func(t *testing.T) {
			dir := folder(t, map[string]string{"f.yml": "- {id: a, conditions: [{" + condition + "}]}\n"})
			_, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "f.yml line 1: 0.conditions.0"+want)
			require.Len(t, strings.Split(err.Error(), "\n"), 1)
		})
	}
}

// TestWhatYAMLMakesAnotherTextOfIsRefused holds that a value is the text that somebody wrote.
func TestWhatYAMLMakesAnotherTextOfIsRefused(t *testing.T) {
	for value, want := range map[string]string{
		"no": "true or false", "Y": "true or false", "on": "true or false", "01007": "the number 519",
		"0x10": "the number 16", "1_000": "the number 1000", "1e3": "the number 1000", "1.10": "the number 1.1",
		"1007": "", "-5": "", "0.5": "", "true": "", "'no'": "", `"01007"`: "", "!!str no": "", "nobody": "", "12:30": "",
		"2026-01-31": "", "1.2.3": "",
	} {
		dir := folder(t, map[string]string{
			"f.yml": "- id: a\n  conditions:\n  - {field: user.id, is_one_of: [x, " + value + "]}\n" +
				"  - {field: user.name, not: no, exists: yes}\n  - {field: process.pid, range: {gt: 1e3}}\n",
		})
		_, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
		if want == "" {
			require.NoError(t, err, value)
			continue
		}
		require.EqualError(t, err, fmt.Sprintf("%s/f.yml line 3: 0.conditions.0.is_one_of.1: %s is %s in YAML; put it in "+
			"quotes if it is meant, %q", dir, value, want, value))
	}
}

// What a YAML library passes over in silence would widen an exception, or lose one; what it cannot read has its line.
func TestFilesOfControlsAreReadWholeOrNot(t *testing.T) {
	const one = "- {id: a, conditions: [{field: user.name, is: x}]}\n"
	const two = "- {id: b, conditions: [{field: user.name, is: x}]}\n"
	for name, tt := range map[string]struct{ text, want string }{
		"CRLF":                     {strings.ReplaceAll(one, "\n", "\r\n"), ""},
		"a byte order mark":        {"\ufeff" + one, ""},
		"a document that is begun": {"---\n" + one + "---\n", ""},
		"a second document":        {one + "---\n" + two, "f.yml line 3: a second document begins here"},
		"a name twice": {
			"- id: a\n  conditions: [{field: user.name, is: x}]\n  conditions: [{field: user.id, is: 1}]\n",
			"f.yml line 3: 0.conditions: stands in line 2 already",
		},
		"a test twice": {
			"- id: a\n  conditions:\n  - field: user.name\n    is: x\n    is: y\n",
			"f.yml line 5: 0.conditions.0.is: stands in line 4 already",
		},
		"an id twice":         {one + one, "f.yml line 2: 1.id: \"a\" is used already in f.yml"},
		"no UTF-8":            {one + "- {id: b, comment: \"\xe4\xf6\"}\n", "f.yml: invalid YAML: yaml: line 2: "},
		"a control character": {one + "# \x00\n", "f.yml: invalid YAML: yaml: line 2: control characters"},
		"a tab in line 1":     {"-\tid: a\n", "f.yml: invalid YAML: yaml: line 1: "},
		"it contains itself":  {"- &a\n  id: a\n  conditions: [{any: [*a]}]\n", "anchor 'a' value contains itself"},
		"too deep": {
			"- {id: a, conditions: [" + strings.Repeat("{any: [", 20000) + strings.Repeat("]}", 20000) + "]}\n",
			"f.yml: invalid YAML: ",
		},
		"too many aliases": {
			"- id: a\n  conditions:\n  - field: user.name\n    is_one_of:\n    - &b0 [" + strings.Repeat("x,", 10) + "]\n" +
				aliases(8), "excessive aliasing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"f.yml": tt.text})
			items, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
			if tt.want == "" {
				require.NoError(t, err)
				require.Len(t, items.Exceptions, 1)
				return
			}
			require.Error(t, err)
			require.Contains(t, strings.ReplaceAll(err.Error(), dir+"/", ""), tt.want)
		})
	}
}

// aliases are lists of ten times the list before.
func aliases(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "    - &b%d [%s]\n", i, strings.Repeat(fmt.Sprintf("*b%d,", i-1), 10))
	}
	return b.String()
}

// TestWindowsNewcomersAndApprovals reads a file of each kind; the lists that they name lie beside the exceptions.
func TestWindowsNewcomersAndApprovals(t *testing.T) {
	in := ControlFolders{
		Exceptions: folder(t, map[string]string{"jump.txt": "alice\n"}),
		Windows: folder(t, map[string]string{"w.yml": `
- id: patch-night
  timezone: Europe/Berlin
  start: 2026-12-01T22:00
  duration: 4h
  rrule: FREQ=MONTHLY;BYDAY=1TU
  except: [2027-01-05, 2027-02-02 22:00]
  dates: [2027-01-12T22:00]
  action: both
  conditions: [{field: user.name, in_list: jump.txt}]
`}),
		Onboarding: folder(t, map[string]string{"o.yml": "- {id: new, users: carol, groups: [trainees], days: 14}\n"}),
		Approvals: folder(t, map[string]string{"a.yml": "- {id: ops, ticket: OPS-1, created: 2026-11-28T20:00:00Z, " +
			"expires: 2026-11-29T00:00:00Z, conditions: [{field: user.name, is: eve}]}\n", "a.yml.new": "- id: ["}),
	}
	items, err := Default().ControlItems(in, time.UTC)
	require.NoError(t, err)
	w := items.Windows[0]
	require.Equal(t, "FREQ=MONTHLY;BYDAY=1TU", w.Rule.String())
	require.Equal(t, "2026-12-01T22:00 4h 2027-01-12T22:00 2027-01-05 2027-02-02T22:00 both", fmt.Sprint(
		w.Start, " ", w.Duration, " ", w.Dates[0], " ", w.Except[0], " ", w.Except[1], " ", w.Action))
	require.Equal(t, control.Texts{"carol"}, items.Newcomers[0].Users)
	require.Equal(t, "both", items.Approvals[0].Action)
	set, err := control.New(items)
	require.NoError(t, err)
	require.Equal(t, 3, set.Len())
	require.Len(t, items.Meanings(), 3)

	rare := Default()
	rare.Detector.Model = "rare"
	_, err = rare.ControlItems(in, time.UTC)
	require.ErrorContains(t, err, `onboarding "new": days: is only possible with detector.model: context`)
	strange := ControlFolders{Onboarding: folder(t, map[string]string{"o.yml": `
- {id: half, users: [carol], days: 5.5}
- {id: nobody, users: "", groups: [""], days: 5}
- {id: many, users: ["car*"], days: 5}
`})}
	_, err = Controls{}.Items(strange, time.UTC)
	require.EqualError(t, err, strange.Onboarding+`/o.yml line 2: 0.days: 5.5 is not allowed; it must be a whole number
`+strange.Onboarding+`/o.yml line 3: 1.users: "" is not allowed; it must be a name, or a list of them
`+strange.Onboarding+`/o.yml line 3: 1.groups: "" is not allowed; it must be a name, or a list of them
`+strange.Onboarding+`/o.yml line 4: 2.users: "car*" is not allowed; it must be a name. `+
		"A pattern is a condition with matches")
	inline := Controls{Windows: []*conf.C{conf.MustNewConfigFrom(`{id: new, start: 2026-12-01, duration: never}`)}}
	_, err = inline.Items(in, time.UTC)
	require.ErrorContains(t, err,
		`reconbeat.controls.windows.0.duration: "never" is not allowed; it must be a duration from`)
	require.ErrorContains(t, err, `o.yml line 1: 0.id: "new" is used already in reconbeat.controls.windows.0`)
}

// TestFilesThatOthersCanWriteAreRefused holds every file by which reconbeat may be kept silent to libbeat's strict
// permissions.
func TestFilesThatOthersCanWriteAreRefused(t *testing.T) {
	open := func(dir, name string) {
		require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o666))
	}
	const item = "- {id: %s, start: 2026-12-01, duration: 1d, conditions: [{field: user.name, in_list: l.txt}]}\n"
	in := ControlFolders{
		Exceptions: folder(t, map[string]string{
			"e.yml": "- {id: e, conditions: [{field: user.name, in_list: l.txt}]}\n", "l.txt": "alice\n",
		}),
		Windows:    folder(t, map[string]string{"w.yml": fmt.Sprintf(item, "w")}),
		Onboarding: folder(t, map[string]string{"o.yml": "- {id: o, users: [carol], days: 14}\n"}),
	}
	_, err := Controls{}.Items(in, time.UTC)
	require.NoError(t, err)
	open(in.Exceptions, "e.yml")
	open(in.Exceptions, "l.txt")
	open(in.Windows, "w.yml")
	open(in.Onboarding, "o.yml")
	_, err = Controls{}.Items(in, time.UTC)
	for _, says := range []string{
		`reading exceptions: config file ("` + in.Exceptions + `/e.yml") can only be writable by the owner but the ` +
			`permissions are "-rw-rw-rw-"`,
		`reading windows: config file ("` + in.Windows, `reading onboarding: config file ("` + in.Onboarding,
	} {
		require.ErrorContains(t, err, says)
	}
	require.NoError(t, os.Chmod(filepath.Join(in.Exceptions, "e.yml"), 0o600))
	_, err = Controls{}.Items(in, time.UTC)
	require.ErrorContains(t, err, `e.yml line 1: 0.conditions.0.in_list: reading the list: config file ("`+in.Exceptions)

	own := folder(t, map[string]string{"r.yml": "id: own\nname: Own\nprograms: [own]\n"})
	open(own, "r.yml")
	_, err = LoadRules(own, nil)
	require.ErrorContains(t, err, `reading a rule: config file ("`+own)
}

// What keeps approvals cannot be read as a folder: it is an error, and nothing that was approved before is dropped
// unseen.
func TestApprovalsThatCannotBeRead(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"approvals": "no folder"}), "approvals")
	_, err := Controls{}.Items(ControlFolders{Approvals: file}, time.UTC)
	require.EqualError(t, err, "reading approvals: open "+file+": not a directory")

	dir := folder(t, map[string]string{})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "a.yml")))
	_, err = Controls{}.Items(ControlFolders{Approvals: dir}, time.UTC)
	require.EqualError(t, err, "reading approvals: open "+dir+"/a.yml: no such file or directory")
}

// fuzzKind reads whatever a file of a kind may hold.
func fuzzKind(f *testing.F, in func(dir string) ControlFolders) {
	f.Fuzz(func(t *testing.T, text string) {
		items, err := Controls{}.Items(in(folder(t, map[string]string{"x.yml": text})), time.UTC)
		if err != nil {
			return
		}
		set, err := control.New(items)
		require.NoError(t, err)
		require.Len(t, items.Meanings(), set.Len())
	})
}

func FuzzWindows(f *testing.F) {
	f.Add("- {id: x, start: 2026-12-01T22:00, duration: 4h, rrule: FREQ=WEEKLY;COUNT=3, timezone: Europe/Berlin}")
	f.Add("- {id: y, dates: [2026-12-01 22:00], except: [2026-12-02], duration: 1d, action: both, " +
		"conditions: [{field: a, is: b}]}")
	fuzzKind(f, func(dir string) ControlFolders { return ControlFolders{Windows: dir} })
}

func FuzzOnboarding(f *testing.F) {
	f.Add("- {id: x, users: [carol], days: 14}")
	f.Add("- {id: y, groups: trainees, expires: 2027-01-31, conditions: [{field: a, exists: true}]}")
	fuzzKind(f, func(dir string) ControlFolders { return ControlFolders{Onboarding: dir} })
}

func FuzzApprovals(f *testing.F) {
	f.Add("- {id: ops, ticket: OPS-1, created: 2026-11-28T20:00:00Z, expires: 2026-11-29T00:00:00Z, " +
		"conditions: [{field: user.name, is: eve}]}")
	fuzzKind(f, func(dir string) ControlFolders { return ControlFolders{Approvals: dir} })
}

// FuzzExceptions reads whatever a file may hold.
func FuzzExceptions(f *testing.F) {
	f.Add("- {id: x, conditions: [{field: user.name, is: x}]}")
	f.Add("- id: y\n  expires: 2026-01-01\n  conditions:\n  - any: [{field: a.b, matches: '*'}]\n    not: true\n")
	f.Add("- &a {id: x, conditions: [{all: [*a]}]}")
	f.Fuzz(func(t *testing.T, text string) {
		dir := folder(t, map[string]string{"x.yml": text})
		items, err := Controls{}.Items(ControlFolders{Exceptions: dir}, time.UTC)
		if err != nil {
			return
		}
		set, err := control.New(items)
		require.NoError(t, err)
		require.Equal(t, len(items.Exceptions), set.Len())
	})
}
