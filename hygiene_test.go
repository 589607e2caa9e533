// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elastic/beats/v7/libbeat/mapping"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
)

const ours = "github.com/reconbeat/reconbeat"

// modules are the folders of the Go modules in this repository.
var modules = []string{".", "integration", "internal/evaluation", "tools", "x-pack/reconbeat"}

// rooms says which rooms a room may import, tests aside.
var rooms = map[string][]string{
	".": {"cmd"},
	"beater": {
		"config", "config/settings", "detector", "internal/control", "internal/dataset", "internal/document",
		"internal/engine", "internal/health", "internal/host", "internal/notify", "internal/plural", "internal/state",
		"module", "module/catalog", "module/elasticsearch", "process",
	},
	"cmd": {
		"beater", "config", "detector", "detector/habit", "detector/rare", "internal/component", "internal/control",
		"internal/dataset", "internal/datastream", "internal/engine", "internal/icalendar", "internal/include",
		"internal/managed", "internal/notify", "internal/plural", "internal/printable", "internal/report",
		"internal/secret", "internal/state", "module/catalog", "module/elasticsearch", "process",
	},
	"config": {
		"config/settings", "detector", "detector/rare", "detector/rules", "internal/control", "internal/dataset",
		"internal/notify", "internal/printable",
	},
	"config/settings":     {},
	"deploy":              {},
	"deploy/manual":       {"cmd"},
	"detector":            {"detector/habit", "detector/rare", "internal/plural", "process"},
	"detector/habit":      {"process"},
	"detector/rare":       {},
	"detector/rules":      {},
	"ecs":                 {"process"},
	"integration":         {"detector", "ecs", "internal/dataset", "internal/document"},
	"integration/fleet":   {},
	"integration/make":    {"integration"},
	"internal/agent":      {"internal/agent/wire"},
	"internal/agent/wire": {},
	"internal/agenttest":  {"internal/agent/wire", "internal/beattest"},
	"internal/beattest":   {},
	"internal/component":  {},
	"internal/control":    {"detector"},
	"internal/icalendar":  {"internal/control"},
	"internal/dataset":    {},
	"internal/datastream": {"internal/dataset"},
	"internal/document": {
		"config", "detector", "ecs", "internal/dataset", "internal/guide", "internal/host", "internal/host/account",
		"internal/host/logins", "internal/host/provenance", "internal/plural", "process",
	},
	"internal/engine": {
		"config", "detector", "detector/rare", "internal/control", "internal/document", "internal/health", "internal/host",
		"internal/race", "module", "module/catalog", "module/recording", "process",
	},
	"internal/evaluation": {"config", "detector", "detector/habit", "ecs", "process"},
	"internal/guide":      {},
	"internal/health":     {},
	"internal/host": {
		"internal/host/account", "internal/host/executable", "internal/host/logins", "internal/host/procfs",
		"internal/host/provenance", "internal/race", "process",
	},
	"internal/host/logins":     {},
	"internal/host/account":    {"internal/host/executable", "internal/host/sudoers", "internal/race", "process"},
	"internal/host/dpkg":       {},
	"internal/host/executable": {"process"},
	"internal/host/provenance": {
		"internal/host/dpkg", "internal/host/executable", "internal/host/procfs", "internal/host/rpm", "internal/race",
		"process",
	},
	"internal/host/procfs":  {"process"},
	"internal/host/rpm":     {},
	"internal/host/sudoers": {},
	"internal/include":      {},
	"internal/livetest":     {"internal/health", "module", "process"},
	"internal/managed": {
		"config", "internal/agent", "internal/agent/wire", "internal/dataset", "internal/secret",
	},
	"internal/notify":    {"internal/plural", "internal/printable"},
	"internal/plural":    {},
	"internal/printable": {},
	"internal/race":      {},
	"internal/report":    {"internal/guide", "internal/plural", "module"},
	"internal/secret":    {},
	"internal/stack":     {},
	"internal/state":     {"internal/health", "internal/plural", "process"},
	"module":             {"internal/health", "module/recording", "process"},
	"module/audisp": {
		"config/settings", "internal/health", "internal/plural", "module", "module/auditd/record", "module/auditlog",
		"module/follow", "module/recording", "process",
	},
	"module/auditd": {
		"config/settings", "internal/health", "internal/plural", "module", "module/auditd/record", "module/netlink",
		"process",
	},
	"module/auditd/record": {"internal/health", "internal/plural", "module", "process"},
	"module/auditlog": {
		"config/settings", "module", "module/auditd/record", "module/follow", "module/recording", "process",
	},
	"module/catalog": {
		"module", "module/audisp", "module/auditd", "module/auditlog", "module/elasticsearch", "module/ndjson",
		"module/procconn",
	},
	"module/elasticsearch": {"config/settings", "ecs", "internal/health", "internal/plural", "module", "process"},
	"module/follow":        {"module", "module/recording", "process"},
	"module/ndjson":        {"config/settings", "ecs", "module", "module/follow", "module/recording", "process"},
	"module/netlink":       {},
	"module/recording":     {},
	"module/procconn": {
		"config/settings", "internal/health", "internal/host/procfs", "internal/plural", "module", "module/netlink",
		"process",
	},
	"process":             {},
	"tools/campaign":      {},
	"tools/cpu":           {},
	"tools/integration":   {},
	"tools/kibana":        {"tools/kibana/fields", "tools/kibana/lint", "tools/kibana/query", "tools/kibana/saved"},
	"tools/kibana/esql":   {},
	"tools/kibana/fields": {},
	"tools/kibana/kql":    {},
	"tools/kibana/lint":   {"tools/kibana/esql", "tools/kibana/fields", "tools/kibana/kql", "tools/kibana/saved"},
	"tools/kibana/query":  {"tools/kibana/esql", "tools/kibana/kql", "tools/kibana/saved"},
	"tools/kibana/saved":  {},
	"tools/picture":       {},
	"tools/wire":          {},
	"x-pack/reconbeat":    {"cmd", "internal/agent/wire", "internal/managed"},
}

// pkg is what `go list` says of a package.
type pkg struct {
	Dir        string
	ImportPath string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
}

// goList lists packages of the module in a folder.
func goList(t *testing.T, module string, args ...string) []pkg {
	args = append([]string{"-C", module, "list", "-json=Dir,ImportPath,GoFiles,CgoFiles,Imports"}, args...)
	c := exec.Command("go", args...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	require.NoError(t, err)
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return list
		}
		require.NoError(t, err)
		list = append(list, p)
	}
}

// packages are those of all modules.
func packages(t *testing.T) (list []pkg) {
	for _, module := range modules {
		list = append(list, goList(t, module, "./...")...)
	}
	return list
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, ours), "/")
		if room == "" {
			room = "."
		}
		allowed, known := rooms[room]
		assert.True(t, known, "%s is a room that the table of this test does not know", room)
		for _, imported := range p.Imports {
			if to, own := strings.CutPrefix(imported, ours+"/"); own {
				assert.Contains(t, allowed, to, "%s imports %s", room, to)
			}
		}
	}
}

func TestNothingThatIsLinkedIsElasticLicensed(t *testing.T) {
	for _, p := range goList(t, ".", "-deps", ".") {
		assert.NotContains(t, p.ImportPath, "x-pack/")
		assert.NotContains(t, p.ImportPath, "elastic-agent-client")
	}
}

// TestOnlyXPackIsElasticLicensed holds the wall where the licence changes, for tests and tools as well:
// Elastic-licensed code is imported, and required, in x-pack/ only.
func TestOnlyXPackIsElasticLicensed(t *testing.T) {
	walled := 0
	for _, name := range tracked(t, "*.go") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			elastic := strings.Contains(spec.Path.Value, "elastic-agent-client") ||
				strings.Contains(spec.Path.Value, "/beats/v7/x-pack/")
			if strings.HasPrefix(name, "x-pack/") {
				if elastic {
					walled++
				}
				continue
			}
			assert.False(t, elastic, "%s imports %s", name, spec.Path.Value)
			assert.NotContains(t, spec.Path.Value, ours+"/x-pack", name)
		}
	}
	assert.NotZero(t, walled, "nothing in x-pack/ is Elastic-licensed any more, and the wall can go")
	for _, file := range tracked(t, "*go.mod") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.HasPrefix(file, "x-pack/") {
			assert.NotContains(t, string(text), "elastic-agent-client", file)
		}
	}
}

// TestModulesRequireTheSameVersions holds that what is tested beside the Beat is tested with the libraries that the
// Beat is linked with. The tools import nothing of it and have versions of their own.
func TestModulesRequireTheSameVersions(t *testing.T) {
	var found []string
	for _, file := range tracked(t, "go.mod", "*/go.mod") {
		if file != "tools/lint/go.mod" { // it has tools, and no code
			found = append(found, path.Dir(file))
		}
	}
	assert.ElementsMatch(t, modules, found, "the folders that have a go.mod")
	versions := func(module string) map[string]string {
		out, err := exec.Command("go", "-C", module, "mod", "edit", "-json").Output()
		require.NoError(t, err)
		var file struct {
			Require []struct{ Path, Version string }
			Replace []struct {
				Old, New struct{ Path, Version string }
			}
		}
		require.NoError(t, json.Unmarshal(out, &file))
		required := map[string]string{}
		for _, r := range file.Require {
			required[r.Path] = r.Version
		}
		for _, r := range file.Replace {
			required[r.Old.Path] = "=> " + r.New.Path + " " + r.New.Version
		}
		return required
	}
	beat := versions(".")
	for _, module := range modules {
		if module == "tools" {
			continue
		}
		for name, version := range versions(module) {
			if want, shared := beat[name]; shared {
				assert.Equal(t, want, version, "%s requires another version of %s than the Beat", module, name)
			}
		}
	}
}

func TestTheDetectorIsALibrary(t *testing.T) {
	for _, p := range goList(t, ".", "./detector", "./detector/habit", "./detector/rare", "./internal/control",
		"./process", "./ecs") {
		for _, imported := range p.Imports {
			assert.NotContains(t, imported, "/libbeat", "%s", p.ImportPath)
			assert.NotContains(t, []string{"os", "net", "net/http", "os/exec", "syscall"}, imported, "%s", p.ImportPath)
		}
	}
}

// TestEveryExportedNameIsDocumented holds that every package and every exported name says what it is for.
func TestEveryExportedNameIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		files := token.NewFileSet()
		var parsed []*ast.File
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			require.NoError(t, err)
			if !strings.HasSuffix(name, ".pb.go") { // protoc-gen-go's; the messages are described in the .proto file
				parsed = append(parsed, f)
			}
		}
		d, err := doc.NewFromFiles(files, parsed, p.ImportPath)
		require.NoError(t, err)
		assert.NotEmpty(t, d.Doc, "package %s has no doc comment", p.ImportPath)
		undocumented := func(text, name string) {
			assert.NotEmpty(t, text, "%s.%s has no docstring", p.ImportPath, name)
		}
		funcs := d.Funcs
		values := slices.Concat(d.Consts, d.Vars)
		for _, typ := range d.Types {
			undocumented(typ.Doc, typ.Name)
			funcs = slices.Concat(funcs, typ.Funcs, typ.Methods)
			values = slices.Concat(values, typ.Consts, typ.Vars)
		}
		for _, f := range funcs {
			undocumented(f.Doc, f.Name)
		}
		for _, v := range values {
			for _, s := range v.Decl.Specs {
				spec := s.(*ast.ValueSpec)
				undocumented(v.Doc+spec.Doc.Text()+spec.Comment.Text(), fmt.Sprint(spec.Names))
			}
		}
	}
}

// tracked are the files of the repository.
func tracked(t *testing.T, patterns ...string) []string {
	out, err := exec.Command("git", append([]string{"ls-files", "--cached", "--others", "--exclude-standard"},
		patterns...)...).
		Output()
	if err != nil {
		t.Skip("SKIPPED: THIS IS NO GIT REPOSITORY")
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		_, err := os.Stat(name)
		return err != nil
	})
}

// houseWords are words that say too many things at once, over identifiers, comments, messages and pages;
// docs/glossary.md has those that have one meaning.
var houseWords = []struct {
	word   *regexp.Regexp
	say    string
	except *regexp.Regexp // what may stand on the line
}{
	{
		word: regexp.MustCompile(`(?i)\b(told|tells?|telling)\b`),
		say:  "report, log, say, name or ask",
		// CONTRIBUTING.md names the word.
		// The latter is a constant of the context model that docs/model.md lists.
		except: regexp.MustCompile("`(tell|told)`"),
	},
	{
		word: regexp.MustCompile(`(?i)\b(an?|each|every|one|their|its|usual|unusual|past|first|last|many) looks?\b`),
		say:  "match, search or reading",
	},
	{
		word: regexp.MustCompile(`(?i)\bis no (day|number|name|time|path|list|address|file)\b`),
		say:  "invalid ... (want ...)",
		// What CONTRIBUTING.md shows.
		except: regexp.MustCompile(`"is no day"`),
	},
	{
		word: regexp.MustCompile(`(?i)\b(util|helper|manager|common)s?\.go\b|^package (util|helper|manager|common)s?$`),
		say:  "a noun that names what is in it",
	},
}

// housePart are words of which no name in the code is made: of a function, a method, a receiver, a field or a variable.
var housePart = regexp.MustCompile(`^(told|tells?|telling|look(s|ed|ing)?)$`)

// TestHouseWordsAreInNoName holds the parts of names, which camel case joins.
func TestHouseWordsAreInNoName(t *testing.T) {
	part := regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)
	for _, file := range tracked(t, "*.go") {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		seen := map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || seen[id.Name] || strings.EqualFold(id.Name, "LookPath") { // exec's
				return true
			}
			seen[id.Name] = true
			for _, p := range part.FindAllString(id.Name, -1) {
				if housePart.MatchString(strings.ToLower(p)) {
					assert.Fail(t, "a house word", "%s: %s: see houseWords for what to say", file, id.Name)
				}
			}
			return true
		})
	}
}

// TestReceiversHaveOneName holds that the methods of a type call it by one name.
func TestReceiversHaveOneName(t *testing.T) {
	names := map[string]string{}
	for _, file := range tracked(t, "*.go") {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || len(fn.Recv.List[0].Names) == 0 {
				continue
			}
			kind := fn.Recv.List[0].Type
			if p, ok := kind.(*ast.StarExpr); ok {
				kind = p.X
			}
			if p, ok := kind.(*ast.IndexExpr); ok { // of a generic type
				kind = p.X
			}
			id, ok := kind.(*ast.Ident)
			require.True(t, ok, "%s: %s: a receiver's type that this test cannot read", file, fn.Name)
			of := path.Dir(file) + " " + f.Name.Name + "." + id.Name
			name := fn.Recv.List[0].Names[0].Name
			if before, found := names[of]; found {
				assert.Equal(t, before, name, "the receivers of %s", of)
			}
			names[of] = name
		}
	}
}

// swept are the files in which the house's words are held: all code, and all pages.
var swept = regexp.MustCompile(`\.(go|txtar)$|^\.github/|^\.golangci\.yml$|^[A-Z]+\.md$|^docs/.*\.md$|` +
	`^x-pack/.*\.(md|yml)$|^integration/reconbeat/_dev/build/docs/|^_meta/(config/|fields\.yml)|` +
	`^(modules|rules)\.d/|^detector/rules/|^deploy/.*\.yml$|^reconbeat.*\.yml$`)

// generated are the pages that a program writes: from the results of the evaluation, or with texts of the Elastic
// Common Schema, which are not ours to edit.
var generated = regexp.MustCompile(`^(docs/(evaluation|fields)|integration/reconbeat/docs/README)\.md$`)

// TestHouseWords holds that one word has one meaning.
func TestHouseWords(t *testing.T) {
	if race.Enabled {
		t.Skip("SKIPPED UNDER THE RACE DETECTOR: this only reads; `go tool mage test` does without it")
	}
	for _, file := range tracked(t) {
		if !swept.MatchString(file) || generated.MatchString(file) {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, w := range houseWords {
			if !w.word.Match(text) {
				continue
			}
			for number, line := range strings.Split(string(text), "\n") {
				if w.except != nil {
					line = w.except.ReplaceAllString(line, "")
				}
				if m := w.word.FindString(line); m != "" && !strings.Contains(line, "regexp.MustCompile(") {
					assert.Fail(t, "a house word", "%s:%d: %q: say %s", file, number+1, m, w.say)
				}
			}
		}
	}
}

var (
	fence = regexp.MustCompile("^\\s*(```|~~~)")
	// block begins a paragraph of its own: an item of a list.
	block = regexp.MustCompile(`^\s*([*-]|\d+\.)\s`)
	// cell is what stands between the columns of a table.
	cell = regexp.MustCompile(`\s*\|\s*`)
	// inlined are code, pictures and the targets of links: no words of the sentence.
	inlined = regexp.MustCompile("`[^`]*`|!\\[[^\\]]*\\]\\([^)]*\\)|\\]\\([^)]*\\)")
	// stop ends a sentence, or a part of one that a reader takes in by itself.
	stop = regexp.MustCompile(`[.?!:;][)"*]*\s+`)
	word = regexp.MustCompile(`\S*\pL\S*`)
)

// sentences are those of a page's prose and of the cells of its tables.
func sentences(page string) (list []string) {
	var paragraph []string
	end := func() {
		text := inlined.ReplaceAllString(strings.Join(paragraph, " "), " ")
		list, paragraph = append(list, stop.Split(text, -1)...), nil
	}
	code := false
	for line := range strings.Lines(page) {
		switch trimmed := strings.TrimSpace(line); {
		case fence.MatchString(line):
			end()
			code = !code
		case code:
		case trimmed == "", strings.HasPrefix(trimmed, "#"), strings.HasPrefix(line, "    ") && len(paragraph) == 0:
			end() // an indented line without a paragraph before it is code, too
		case strings.HasPrefix(trimmed, "|"):
			end()
			for _, text := range cell.Split(trimmed, -1) {
				paragraph = []string{text}
				end()
			}
		default:
			if block.MatchString(line) {
				end()
			}
			paragraph = append(paragraph, trimmed)
		}
	}
	end()
	return list
}

func TestSentencesAreSplit(t *testing.T) {
	page := "# A title\n\nOne `code. code` [link](a.b). Two\nlines: *three.*\n\n* four\n* five\n```sh\nno. no\n```\n" +
		"| six | seven; eight |\n\n    no formula\n"
	var got []string
	for _, s := range sentences(page) {
		if words := word.FindAllString(s, -1); len(words) > 0 {
			got = append(got, strings.Join(words, " "))
		}
	}
	assert.Equal(t, []string{"One [link", "Two lines", "*three.*", "four", "five", "six", "seven", "eight"}, got)
}

// enumeration are lists rather than sentences: of values, and of simulated hosts.
var enumeration = regexp.MustCompile(`^\s*(terminal 0\.5/0\.5|a web server, a quiet database server), `)

// TestSentencesAreShort holds that a tired reader can follow the pages.
func TestSentencesAreShort(t *testing.T) {
	const longest = 30
	for _, file := range tracked(t, "*.md") {
		if generated.MatchString(file) {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, s := range sentences(string(text)) {
			if words := word.FindAllString(s, -1); len(words) > longest && !enumeration.MatchString(s) {
				assert.Fail(t, "a long sentence", "%s: %d words: %s", file, len(words), strings.TrimSpace(s))
			}
		}
	}
}

// TestTestsHaveShortNames holds that the name of a test is a name; the sentence stands in the comment above it.
func TestTestsHaveShortNames(t *testing.T) {
	const longest = 50
	name := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	for _, file := range tracked(t, "*_test.go") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range name.FindAllSubmatch(text, -1) {
			assert.LessOrEqual(t, len(m[1]), longest, "%s: the name %s is too long", file, m[1])
		}
	}
}

func TestEveryGoFileNamesItsLicence(t *testing.T) {
	for _, name := range tracked(t, "*.go") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.HasPrefix(text, []byte("// SPDX-License-Identifier: Apache-2.0\n")), name)
	}
}

func TestNoFileNamesTheMachineItWasWrittenOn(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	for _, name := range tracked(t) {
		if name == "go.sum" || strings.Contains(name, "testdata/") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.False(t, bytes.Contains(text, []byte(here+"/")), "%s has this folder's path", name)
		assert.False(t, bytes.Contains(text, []byte(home+"/go/")), "%s has the path of this machine's module cache",
			name)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestNoFileIsHalfMerged looks for what git leaves in a file that was committed before its conflict was settled.
func TestNoFileIsHalfMerged(t *testing.T) {
	conflict := regexp.MustCompile(`(?m)^(<{7}|>{7}) `)
	for _, name := range tracked(t, ".") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.NotRegexp(t, conflict, string(text), name)
	}
}

// TestLinksInTheManualLeadSomewhere looks up the file of each link, and in a page the heading.
func TestLinksInTheManualLeadSomewhere(t *testing.T) {
	for _, name := range tracked(t, "*.md") {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, heading, _ := strings.Cut(m[1], "#")
			page := name
			if target != "" {
				page = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(page); !assert.NoError(t, err, "%s links to %s", name, m[1]) || heading == "" {
				continue
			}
			assert.Contains(t, anchors(t, page), heading, "%s links to %s", name, m[1])
		}
	}
}

var (
	fencedText = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	headline   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAName = regexp.MustCompile(`[^\pL\pN_ -]`)
)

// anchors are the names by which links find a page's headings.
func anchors(t *testing.T, page string) (names []string) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range headline.FindAllStringSubmatch(fencedText.ReplaceAllString(string(text), ""), -1) {
		plain := notInAName.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "")), "")
		names = append(names, strings.ReplaceAll(plain, " ", "-"))
	}
	return names
}

// leaves are the fields of a tree, by their full names.
func leaves(prefix string, fields mapping.Fields, into map[string]mapping.Field) map[string]mapping.Field {
	for _, f := range fields {
		name := strings.TrimPrefix(prefix+"."+f.Name, ".")
		if f.Type == "group" || len(f.Fields) > 0 {
			leaves(name, f.Fields, into)
		} else {
			into[name] = f
		}
	}
	return into
}

func loadFields(t *testing.T, file string) map[string]mapping.Field {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	fields, err := mapping.LoadFields(text)
	require.NoError(t, err)
	return leaves("", fields, map[string]mapping.Field{})
}

// TestEveryFieldIsDeclared holds the tables in the code against fields.yml, in which ECS, libbeat's fields and ours are
// together.
func TestEveryFieldIsDeclared(t *testing.T) {
	declared := loadFields(t, "fields.yml")
	filled := map[string]string{ // the Beat's own
		"reconbeat.rules": "keyword", "reconbeat.process.event_id": "keyword", "reconbeat.alert.test": "boolean",
	}
	for _, f := range beater.HeartbeatFields {
		filled[f.Name] = f.Type
	}
	maps.Copy(filled, document.Fields())
	for _, name := range slices.Sorted(maps.Keys(filled)) {
		f, ok := declared[name]
		if !assert.True(t, ok, "%s is in no fields.yml: add it to _meta/fields.yml, then `go tool mage fields`", name) {
			continue
		}
		if f.Type == "" {
			f.Type = "keyword"
		}
		if f.Type == "wildcard" && filled[name] == "keyword" {
			continue // Elasticsearch indexes the same text in another way
		}
		assert.Equal(t, f.Type, filled[name], "the type of %s", name)
	}
	for name := range loadFields(t, "_meta/fields.yml") {
		assert.Contains(t, filled, name, "_meta/fields.yml declares what nothing fills")
	}
}

// timed are the ends of names of fields that are a length of time; their unit is declared.
var timed = regexp.MustCompile(`(days|span|uptime|\.ms)$`)

// TestEveryFieldOfOursIsDescribed holds what a reader of the exported fields relies on.
func TestEveryFieldOfOursIsDescribed(t *testing.T) {
	for name, f := range loadFields(t, "_meta/fields.yml") {
		if !strings.HasPrefix(name, "reconbeat.") {
			continue // ECS describes its own
		}
		assert.NotEmpty(t, f.Type, "the type of %s", name)
		assert.Regexp(t, `\.$`, strings.TrimSpace(f.Description), "the description of %s is a sentence", name)
		assert.Equal(t, timed.MatchString(name), f.Unit != "", "the unit of %s", name)
	}
	text, err := os.ReadFile("_meta/fields.yml")
	require.NoError(t, err)
	own, _, found := strings.Cut(string(text), "- key: ecs")
	require.True(t, found)
	described := regexp.MustCompile(`(?m)^ +type: (keyword|long|float|double|boolean|date|ip)\n`)
	exemplified := regexp.MustCompile(
		`(?m)^ +type: (keyword|long|float|double|boolean|date|ip)\n(?: +(?:unit|format|metric_type): .*\n)* +example: `)
	assert.Len(t, exemplified.FindAllString(own, -1), len(described.FindAllString(own, -1)),
		"every field has an example, after its type, unit and format")
}

// reuse finds what the Elastic Common Schema puts in several places: a process as a leader or a parent, a user, a
// group, an address.
var reuse = regexp.MustCompile(
	`^process\.(?:(?:entry_leader|session_leader|parent)\.)?(?:entry_meta\.(source\.ip)$|(?:real_)?((?:user|` +
		`group)\..+)|(.+))$`,
)

// TestFieldsOfTheSchemaAreAsItTypesThem holds the fields of ECS 9 that we declare, because libbeat's list is of ECS
// 8.0, against those of the list: the schema gives a field one type wherever it is reused.
func TestFieldsOfTheSchemaAreAsItTypesThem(t *testing.T) {
	// What 8.0 has nowhere, as https://www.elastic.co/docs/reference/ecs/ecs-process has it.
	later := map[string]string{
		"interactive":           "boolean",
		"tty.char_device.major": "long",
		"tty.char_device.minor": "long",
		"entry_meta.type":       "keyword",
	}
	ours, all := loadFields(t, "_meta/fields.yml"), loadFields(t, "fields.yml")
	compared := 0
	for name, f := range ours {
		if strings.HasPrefix(name, "reconbeat.") || strings.HasPrefix(name, "user.audit.") ||
			name == "process.Ext.ancestry" || // Elastic Endpoint's
			strings.HasPrefix(name, "rule.") { // what Kibana's own alerts have as kibana.alert.rule.*
			continue
		}
		compared++
		m := reuse.FindStringSubmatch(name)
		if !assert.NotNil(t, m, "%s is of no process", name) {
			continue
		}
		if want := later[m[3]]; want != "" {
			assert.Equal(t, want, f.Type, name)
			continue
		}
		original := m[1] + m[2]
		if original == "" {
			original = "process." + m[3]
		}
		of, ok := all[original]
		_, circular := ours[original]
		if !assert.True(t, ok && !circular, "%s: libbeat's list has no %s", name, original) {
			continue
		}
		assert.Equal(t, of.Type, f.Type, "%s, reused from %s", name, original)
		kinds := func(f mapping.Field) (list []string) {
			for _, m := range f.MultiFields {
				list = append(list, m.Name+" "+m.Type)
			}
			return list
		}
		assert.Equal(t, kinds(of), kinds(f), "the fields within %s, reused from %s", name, original)
	}
	assert.Greater(t, compared, 50)
}

// setting is a line of the reference configuration that is a setting in a comment; prose has one blank after the #.
var setting = regexp.MustCompile(`^(\s*)#(\S.*|  .*)$`)

// TestTheReferenceConfigurationIsTrue takes every setting under `reconbeat:` out of its comment and has it read.
func TestTheReferenceConfigurationIsTrue(t *testing.T) {
	text, err := os.ReadFile("reconbeat.reference.yml")
	require.NoError(t, err)
	own, _, found := strings.Cut(string(text), "= General =")
	require.True(t, found)
	var b strings.Builder
	for line := range strings.Lines(own) {
		line = strings.TrimSuffix(line, "\n")
		if m := setting.FindStringSubmatch(line); m != nil {
			line = m[1] + m[2]
		}
		b.WriteString(line + "\n")
	}
	all, err := conf.NewConfigWithYAML([]byte(strings.ReplaceAll(b.String(), "${path.config}", "/etc/reconbeat")),
		"reconbeat.reference.yml")
	require.NoError(t, err, b.String())
	section, err := all.Child("reconbeat", -1)
	require.NoError(t, err)
	cfg, err := config.Parse(section)
	require.NoError(t, err)
	require.Len(t, cfg.Modules, 1+len(catalog.All()), "auto and every module are in the reference")
	given := section.FlattenedKeys()
	for _, name := range []string{"detector.model", "detector.actor", "detector.rules_path", "detector.timezone",
		"detector.bucket_span", "detector.max_users", "detector.learn_for",
		"detector.episode.idle", "detector.episode.max", "events", "dataset", "namespace", "heartbeat.period", "notify.0.id",
		"feedback.from_kibana.space",
		"config.modules.path", "config.modules.reload.enabled", "config.modules.reload.period"} {
		assert.True(t, slices.ContainsFunc(given, func(k string) bool { return strings.HasSuffix(k, name) }),
			"%s is missing in the reference", name)
	}
	for _, c := range cfg.Modules {
		m, err := config.ParseModule(c)
		require.NoError(t, err)
		for _, kind := range catalog.All() {
			if kind.Name == m.Module {
				made, err := kind.New(c, module.Env{
					ID:     "test",
					Logger: logp.NewNopLogger(),
					Stats:  &module.Stats{},
					Health: &health.Board{},
				})
				require.NoError(t, err, m.Module)
				for _, option := range tags(optionsOf(reflect.ValueOf(made).Elem()).Type()) {
					assert.True(t, c.HasField(option), "%s of module %s is missing in the reference", option, m.Module)
				}
			}
		}
	}
	_, err = config.LoadRules("rules.d", cfg.Detector.Rules)
	require.NoError(t, err)
}

// TestTheManualHasEverySetting holds the table in docs/configure.md against the defaults, name by name.
func TestTheManualHasEverySetting(t *testing.T) {
	defaults, err := conf.NewConfigFrom(config.Default())
	require.NoError(t, err)
	text, err := os.ReadFile("docs/configure.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "## reconbeat's settings")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(table, -1) {
		documented[m[1]] = strings.Trim(m[2], "`")
	}
	var flat map[string]any
	require.NoError(t, defaults.Unpack(&flat))
	m := mapstr.M(flat).Flatten()
	for _, list := range []string{ // they have sections of their own
		"modules", "controls.exceptions", "controls.windows", "controls.onboarding", "detector.rules", "notify",
		"feedback.from_kibana",
	} {
		delete(m, list)
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(m)), slices.Collect(maps.Keys(documented)))
	for name, want := range m {
		if d, err := time.ParseDuration(fmt.Sprint(want)); err == nil && d > 0 {
			given, err := time.ParseDuration(documented[name])
			assert.NoError(t, err, name)
			want, documented[name] = d, given.String()
		}
		if documented[name] != "none" && documented[name] != "the host's" {
			assert.Equal(t, fmt.Sprint(want), documented[name], name)
		}
	}
}

// TestTheManualHasEveryOption holds the table in docs/modules/NAME.md, and that in docs/configure.md of
// what every module takes, against the structs that the options are read into.
func TestTheManualHasEveryOption(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|")
	text, err := os.ReadFile("docs/configure.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "Every module takes these:\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	for _, name := range tags(reflect.TypeFor[config.Module]()) {
		assert.True(t, name == "module" || strings.Contains(section, "`"+name), "docs/configure.md does not describe %s",
			name)
	}
	for _, kind := range catalog.All() {
		page := "docs/modules/" + kind.Name + ".md"
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		_, section, found := strings.Cut(string(text), "\n## Options\n")
		require.True(t, found, "%s has no options", page)
		section, _, _ = strings.Cut(section, "\n## ")
		documented := map[string]string{}
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			documented[m[1]] = strings.Trim(m[2], "`")
		}

		given := map[string]any{"module": kind.Name}
		if documented["paths"] == "(required)" {
			_, err := kind.New(conf.MustNewConfigFrom(given),
				module.Env{Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}})
			require.Error(t, err, "%s works without what is said to be required", kind.Name)
			given["paths"] = []string{"(required)"}
		}
		m, err := kind.New(conf.MustNewConfigFrom(given),
			module.Env{Logger: logp.NewNopLogger(), Stats: &module.Stats{}, Health: &health.Board{}})
		require.NoError(t, err)
		options := optionsOf(reflect.ValueOf(m).Elem())
		require.True(t, options.IsValid(), "module %s has no field of its type Options", kind.Name)
		names := tags(options.Type())
		assert.ElementsMatch(t, names, slices.Collect(maps.Keys(documented)), page)
		for i, name := range names {
			value := valuesOf(options)[i]
			want := fmt.Sprint(value)
			switch {
			case value.Kind() == reflect.Slice && value.Len() == 1:
				assert.Contains(t, []string{value.Index(0).String(), want}, documented[name], "the default of %s in %s",
					name, page)
				continue
			case value.Kind() == reflect.Slice:
				want = strings.ReplaceAll(want, " ", ", ")
			case value.Kind() == reflect.Pointer, value.Kind() == reflect.String && value.Len() == 0:
				want = "none"
			case value.Type() == reflect.TypeFor[time.Duration](): // 10m0s
				given, err := time.ParseDuration(documented[name])
				require.NoError(t, err, name)
				documented[name] = given.String()
			}
			assert.Equal(t, want, documented[name], "the default of %s in %s", name, page)
		}
		assert.Contains(t, section, "takes [what every module takes](../configure.md#modules).", page)
	}
}

// optionsOf finds the options in a module.
func optionsOf(m reflect.Value) reflect.Value {
	for i := range m.NumField() {
		if m.Type().Field(i).Type.Name() == "Options" {
			return m.Field(i)
		}
	}
	return reflect.Value{}
}

// tags are the names in a configuration of a struct's fields.
func tags(s reflect.Type) (names []string) {
	for i := range s.NumField() {
		name, how, _ := strings.Cut(s.Field(i).Tag.Get("config"), ",")
		switch {
		case how == "inline":
			names = append(names, tags(s.Field(i).Type)...)
		case name != "":
			names = append(names, name)
		case s.Field(i).IsExported(): // as go-ucfg calls it
			names = append(names, strings.ToLower(s.Field(i).Name))
		}
	}
	return names
}

// valuesOf are the values of what tags names, in the same order.
func valuesOf(s reflect.Value) (values []reflect.Value) {
	for i := range s.NumField() {
		_, how, _ := strings.Cut(s.Type().Field(i).Tag.Get("config"), ",")
		switch {
		case how == "inline":
			values = append(values, valuesOf(s.Field(i))...)
		case s.Type().Field(i).IsExported():
			values = append(values, s.Field(i))
		}
	}
	return values
}

func TestTheManualHasEveryCondition(t *testing.T) {
	text, err := os.ReadFile("docs/monitor.md")
	require.NoError(t, err)
	for _, c := range health.Conditions() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", c.Code, c.Severity, c.Title, c.Help)
		assert.True(t, strings.Contains(string(text), row), "docs/monitor.md lacks the row\n%s", row)
	}
}

// TestTheManualHasEveryKeyOfARule holds the tables of docs/rules.md, with their defaults, against rules and their
// conditions, and the list of the shipped rules against these.
func TestTheManualHasEveryKeyOfARule(t *testing.T) {
	text, err := os.ReadFile("docs/rules.md")
	require.NoError(t, err)
	shippedTable, rest, found := strings.Cut(string(text), "## Change a rule")
	require.True(t, found)
	_, rest, found = strings.Cut(rest, "## Write a rule")
	require.True(t, found)
	keyTable, rest, found := strings.Cut(rest, "A condition of `except` has")
	require.True(t, found)

	minimal := filepath.Join(t.TempDir(), "minimal.yml")
	require.NoError(t, os.WriteFile(minimal, []byte("{id: a, name: b, habit: c, programs: [d]}"), 0o600))
	rule, err := config.ReadRule(minimal)
	require.NoError(t, err)
	kind := reflect.TypeFor[detector.Rule]()
	keys := tags(kind)
	var documented []string
	given := regexp.MustCompile("(?:, |^)`?([a-z0-9]+)`?(?: by default| \\(the default\\))")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*?) ?\\|").FindAllStringSubmatch(keyTable, -1) {
		for _, key := range regexp.MustCompile("[a-z_]+").FindAllString(row[1], -1) {
			documented = append(documented, key)
			i := slices.Index(keys, key)
			if !assert.GreaterOrEqual(t, i, 0, "docs/rules.md describes %s, which no rule has", key) {
				continue
			}
			value := reflect.ValueOf(rule).Field(i)
			if m := given.FindStringSubmatch(row[2]); m != nil {
				assert.Equal(t, m[1], fmt.Sprint(value), "the default of %s", key)
			} else if !slices.Contains([]string{"id", "name", "habit", "programs"}, key) {
				assert.True(t, value.IsZero(), "docs/rules.md does not give the default of %s", key)
			}
		}
	}
	assert.ElementsMatch(t, keys, documented)
	conditions, _, _ := strings.Cut(rest, "\n")
	for _, key := range tags(reflect.TypeFor[detector.Except]()) {
		assert.Contains(t, conditions, "`"+key, "a condition's key")
	}

	shipped, err := config.LoadRules("", nil)
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (.*) \\| (\\d+) \\| (yes|no) \\|$").
		FindAllStringSubmatch(shippedTable, -1)
	require.Len(t, rows, len(shipped))
	for _, row := range rows {
		i := slices.IndexFunc(shipped, func(r detector.Rule) bool { return r.ID == row[1] })
		if !assert.GreaterOrEqual(t, i, 0, "no rule %s is shipped", row[1]) {
			continue
		}
		assert.Equal(t, fmt.Sprint(shipped[i].Threshold), row[3], row[1])
		assert.Equal(t, shipped[i].Enabled, row[4] == "yes", row[1])
		programs := quoted(row[2])
		assert.Subset(t, shipped[i].Programs, programs, row[1])
		if !strings.HasSuffix(row[2], "...") {
			assert.ElementsMatch(t, shipped[i].Programs, programs, row[1])
		}
	}
}

// quoted are the names in backquotes.
func quoted(text string) (names []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// TestTheExampleInTheManualChangesRules reads the first example of docs/rules.md: it changes what it names, and
// nothing else.
func TestTheExampleInTheManualChangesRules(t *testing.T) {
	text, err := os.ReadFile("docs/rules.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(text), "```yaml\n")
	require.True(t, found)
	example, _, _ = strings.Cut(example, "```")
	require.NotContains(t, strings.SplitAfterN(string(text), "```yaml", 2)[1], "```yaml", "another example to be read")
	all, err := conf.NewConfigWithYAML([]byte(example), "docs/rules.md")
	require.NoError(t, err)
	section, err := all.Child("reconbeat", -1)
	require.NoError(t, err)
	cfg, err := config.Parse(section)
	require.NoError(t, err)
	list, err := config.LoadRules("", cfg.Detector.Rules)
	require.NoError(t, err)
	before, err := config.LoadRules("", nil)
	require.NoError(t, err)
	require.Len(t, list, len(before))
	for i, r := range list {
		want := before[i]
		switch r.ID {
		case "network-connection-discovery":
			want.Threshold = 50
		case "network-tool-discovery":
			want.Enabled, want.Programs = true, []string{"lsof", "conntrack"}
			require.Len(t, r.Except, 2)
			want.Except = r.Except
		}
		require.Equal(t, want, r)
	}
}

func TestTheExampleRuleIsARule(t *testing.T) {
	_, err := config.ReadRule("rules.d/example.yml.disabled")
	require.NoError(t, err)
}
