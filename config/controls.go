// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/go-ucfg"
	ucfgyaml "github.com/elastic/go-ucfg/yaml"
	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/control"
)

// Controls is everything under `reconbeat.controls:`, by which people keep down false alarms.
type Controls struct {
	Exceptions     []*conf.C      `config:"exceptions"`      // beside those of the folder
	ExceptionsPath string         `config:"exceptions_path"` // the folder, relative to path.config
	Windows        []*conf.C      `config:"windows"`
	WindowsPath    string         `config:"windows_path"`
	Onboarding     []*conf.C      `config:"onboarding"`
	OnboardingPath string         `config:"onboarding_path"`
	KnownSoftware  []string       `config:"known_software"` // ids of the shipped list that are on, or all
	Reload         cfgfile.Reload `config:"reload"`
}

// ControlFolders are the folders that controls are read from. Each may be empty, or a folder that does not exist.
type ControlFolders struct {
	Exceptions string // which has the lists, too, that any control names
	Windows    string
	Onboarding string
	Approvals  string // what `reconbeat approve` writes
}

// All are the folders that there are.
func (f ControlFolders) All() []string {
	return slices.DeleteFunc([]string{f.Exceptions, f.Windows, f.Onboarding, f.Approvals},
		func(dir string) bool { return dir == "" })
}

// List is where a list of values lies that conditions name.
func (f ControlFolders) List(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.Exceptions, name)
}

// Items reads the controls: those in the configuration, and those of the files in the folders, *.yml and *.yaml, a list
// in each. The lists of values that they name lie in the folder of exceptions. zone is of days and times that are
// written without one. The error names everything that is wrong, each with its file, line and key, its value and what
// is allowed.
func (c Controls) Items(in ControlFolders, zone *time.Location) (control.Items, error) {
	r := controlReader{in: in, from: map[string]string{}}
	r.all = control.Items{Lists: map[string]*control.List{}, Zone: zone}
	r.known(c)
	r.read("exceptions", c.Exceptions, in.Exceptions, r.exception)
	r.read("windows", c.Windows, in.Windows, r.window)
	r.read("onboarding", c.Onboarding, in.Onboarding, r.newcomer)
	r.read("approvals", nil, in.Approvals, r.approval)
	return r.all, errors.Join(r.errs...)
}

// filesOf are the files of a folder of lists of a kind, in order.
func filesOf(kind, dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kind, err)
	}
	var files []string
	for _, f := range found {
		if ext := filepath.Ext(f.Name()); !f.IsDir() && (ext == ".yml" || ext == ".yaml") {
			files = append(files, filepath.Join(dir, f.Name()))
		}
	}
	return files, nil
}

// readGuarded reads a file by which reconbeat may be kept silent: with strict permissions (--strict.perms), nobody but
// its owner may write it, who is root or who runs reconbeat. libbeat holds reconbeat.yml and modules.d to the same.
func readGuarded(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil && common.IsStrictPerms() {
		err = common.OwnerHasExclusiveWritePerms(path)
	}
	return text, err
}

// controlReader gathers items, and what is wrong with them.
type controlReader struct {
	in   ControlFolders
	all  control.Items
	from map[string]string // where each id stands
	errs []error
}

func (r *controlReader) add(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// located is an item of a configuration with where it stands.
type located struct {
	*conf.C
	place string            // the file, or the setting
	where func(error) error // puts that before each error
}

// read reads the items of a kind, by a function that reads one.
func (r *controlReader) read(kind string, inline []*conf.C, dir string, item func(located)) {
	for i, one := range inline {
		if !settings.IsMapping(one) {
			continue
		}
		at := fmt.Sprintf("reconbeat.controls.%s.%d", kind, i)
		item(located{one, at, func(err error) error { return settings.At(at+".", err) }})
	}
	files, err := filesOf(kind, dir)
	r.add(err)
	read := readGuarded
	if dir == r.in.Approvals { // whose mode protects it, and which two users may write, as reconbeat and with sudo
		read = os.ReadFile
	}
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			r.add(fmt.Errorf("reading %s: %w", kind, err))
			continue
		}
		if err := CheckYAML(file, text); err != nil {
			r.add(err)
			continue
		}
		r.add(checkTexts(file, text, "not", "exists", "days", "gt", "gte", "lt", "lte"))
		list, err := listOf(text)
		if err != nil {
			r.add(AtLine(file, text, err))
			continue
		}
		for i, one := range list {
			where := func(err error) error { return AtLine(file, text, settings.At(strconv.Itoa(i)+".", err)) }
			item(located{one, file, where})
		}
	}
}

func (r *controlReader) exception(at located) {
	e := control.NewException()
	r.unpack(at, &e, e, &e, e.Check)
	r.all.Exceptions = append(r.all.Exceptions, e)
}

func (r *controlReader) window(at located) {
	w := control.NewWindow()
	r.unpack(at, &w, w, &w.Exception, w.Check)
	r.all.Windows = append(r.all.Windows, w)
}

func (r *controlReader) newcomer(at located) {
	n := control.NewNewcomer()
	r.unpack(at, &n, n, &n.Exception, n.Check)
	r.all.Newcomers = append(r.all.Newcomers, n)
}

func (r *controlReader) approval(at located) {
	a := control.NewApproval()
	r.unpack(at, &a, a, &a.Exception, a.Check)
	r.all.Approvals = append(r.all.Approvals, a)
}

// known reads the known software that is on, before the items of others: their ids must differ from its own.
func (r *controlReader) known(c Controls) {
	var err error
	r.all.Known, err = c.Known()
	r.add(err)
	for _, k := range r.all.Known {
		r.from[k.ID] = "the known software that is on"
	}
}

// unpack reads an item, and the lists that it names. keys has the settings that there are, common is what the item has
// in common with all others, check finds what is wrong with it.
func (r *controlReader) unpack(at located, item, keys any, common *control.Exception, check func() error) {
	errRead := errors.Join(settings.Read("", at.C, item), settings.Unknown("", at.C, keys), empty("conditions", at.C))
	if err := settings.Behind(errRead, check()); err != nil {
		r.add(at.where(err))
	}
	if other, exists := r.from[common.ID]; exists && common.ID != "" {
		r.add(at.where(fmt.Errorf("id: %q is used already in %s; choose another", common.ID, other)))
	}
	r.from[common.ID] = at.place
	lists := common.Lists()
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		name := lists[key]
		if r.all.Lists[name] != nil {
			continue
		}
		text, err := readGuarded(r.in.List(name))
		if err != nil {
			r.add(at.where(fmt.Errorf("%s: reading the list: %w", key, err)))
			continue
		}
		r.all.Lists[name] = control.ReadList(string(text))
	}
}

// tests are the keys of a condition, and of a range, of which none may be empty, with what each must be.
var tests = []struct{ key, must string }{
	{"is", "a text, a number, true or false"}, {"is_one_of", "a list of at least one text"}, {"exists", "true or false"},
	{"matches", "a pattern such as /opt/*, or a list of them"}, {"regexp", "a regular expression (RE2)"},
	{"cidr", "a network such as 10.0.0.0/8, or a list of them"}, {"range", "at least one of gt, gte, lt and lte"},
	{"in_list", "the name of a file"}, {"any", "at least one condition"}, {"all", "at least one condition"},
	{"gt", aQuantity}, {"gte", aQuantity}, {"lt", aQuantity}, {"lte", aQuantity},
}

const aQuantity = "a number, or a time such as 2026-01-31T08:00:00Z"

// empty is the errors about empty tests in a list of conditions. They would count as if they did not stand there, and
// the condition beside them would apply to more than somebody wrote.
func empty(list string, c *conf.C) error {
	n, _ := c.CountField(list)
	var errs []error
	for i := range n {
		if one, err := c.Child(list, i); err == nil {
			errs = append(errs, settings.At(fmt.Sprintf("%s.%d.", list, i), emptyIn(one)))
		}
	}
	return errors.Join(errs...)
}

// emptyIn is the errors about empty tests in one condition, or in a range.
func emptyIn(condition *conf.C) error {
	var errs []error
	for _, t := range tests {
		if what := emptiness(condition, t.key); what != "" && condition.HasField(t.key) {
			errs = append(errs, fmt.Errorf("%s: %s is not allowed; it must be %s", t.key, what, t.must))
		}
	}
	if bounds, err := condition.Child("range", -1); err == nil {
		errs = append(errs, settings.At("range.", emptyIn(bounds)))
	}
	return errors.Join(append(errs, empty("any", condition), empty("all", condition))...)
}

// emptiness says in which way a test is empty; empty where it is not.
func emptiness(condition *conf.C, key string) string {
	text, errText := condition.String(key, -1)
	inner, err := condition.Child(key, -1)
	switch {
	case errText == nil && err == nil:
		return "nothing" // YAML's null is both
	case errText == nil && text == "" && key != "is": // no field is the empty text, and test controls says so
		return `""`
	case err != nil || len(inner.GetFields()) > 0:
		return ""
	case !inner.IsArray():
		return "an empty mapping"
	case key == "range":
		return "" // that it is no mapping is an error already
	}
	if n, err := condition.CountField(key); err != nil || n > 0 {
		return ""
	}
	return "an empty list"
}

// listOf reads a YAML file that is a list of mappings. An element that is none is nil, and in the error.
func listOf(text []byte) (list []*conf.C, err error) {
	defer func() {
		if p := recover(); p != nil { // the YAML library panics on some malformed documents
			err = fmt.Errorf("invalid YAML: %v", p)
		}
	}()
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, invalidYAML(text, err)
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		return nil, nil // comments alone
	}
	if root.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New("it must be a list, whose elements begin with a dash")
	}
	c, err := ucfgyaml.NewConfig(text, ucfg.PathSep("."))
	if err != nil {
		return nil, invalidYAML(text, err)
	}
	var errs []error
	list = make([]*conf.C, len(root.Content[0].Content))
	for i, n := range root.Content[0].Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind != yaml.MappingNode {
			value := quoted(n.Value)
			if n.Kind == yaml.SequenceNode {
				value = "a list"
			}
			errs = append(errs, fmt.Errorf("%d: %s is not allowed; it must be a mapping of settings", i, value))
			continue
		}
		if list[i], err = (*conf.C)(c).Child("", i); err != nil {
			errs = append(errs, fmt.Errorf("%d: reading a mapping: %w", i, err))
		}
	}
	return list, errors.Join(errs...)
}

// AtLine puts a file before errors that begin with the path of a setting in it, and the line of that setting in text,
// what the file holds. It returns nil for nil.
func AtLine(file string, text []byte, err error) error {
	if err == nil {
		return nil
	}
	lines := linesOf(text)
	var add func(error) error
	add = func(err error) error {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			var errs []error
			for _, one := range many.Unwrap() {
				errs = append(errs, add(one))
			}
			return errors.Join(errs...)
		}
		path, _, _ := strings.Cut(err.Error(), ": ")
		for path != "" {
			if n := lines[path]; n > 0 {
				return fmt.Errorf("%s line %d: %w", file, n, err)
			}
			path = path[:max(0, strings.LastIndexByte(path, '.'))]
		}
		return fmt.Errorf("%s: %w", file, err)
	}
	return add(err)
}

// linesOf are the lines of the settings in a YAML file, by their paths.
func linesOf(text []byte) map[string]int {
	lines := map[string]int{}
	visitSettings(text, func(path string, key, value *yaml.Node) { lines[path] = cmp.Or(key, value).Line })
	return lines
}
