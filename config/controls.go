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
	Reload         cfgfile.Reload `config:"reload"`
}

// exceptionsSetting is the name of the setting in messages.
const exceptionsSetting = "reconbeat.controls.exceptions"

// Items reads the controls: those in the configuration, and those of the files in a folder, *.yml and *.yaml, a list in
// each. The lists that they name lie in that folder, too. dir may be empty, or a folder that does not exist. zone is of
// days that are written without one. The error names everything that is wrong, each with its file, line and key, its
// value and what is allowed.
func (c Controls) Items(dir string, zone *time.Location) (control.Items, error) {
	r := controlReader{dir: dir, from: map[string]string{}}
	r.all = control.Items{Lists: map[string]*control.List{}, Zone: zone}
	for i, one := range c.Exceptions {
		at := fmt.Sprintf("%s.%d", exceptionsSetting, i)
		r.exception(one, at, func(err error) error { return settings.At(at+".", err) })
	}
	files, err := filesOf(dir)
	r.add(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.add(fmt.Errorf("reading exceptions: %w", err))
			continue
		}
		if err := CheckKeys(file, text); err != nil {
			r.add(err)
			continue
		}
		list, err := listOf(text)
		if err != nil {
			r.add(atLine(file, text, err))
			continue
		}
		for i, one := range list {
			where := func(err error) error { return atLine(file, text, settings.At(strconv.Itoa(i)+".", err)) }
			r.exception(one, file, where)
		}
	}
	return r.all, errors.Join(r.errs...)
}

// filesOf are the files of a folder of lists, in order.
func filesOf(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading exceptions: %w", err)
	}
	var files []string
	for _, f := range found {
		if ext := filepath.Ext(f.Name()); !f.IsDir() && (ext == ".yml" || ext == ".yaml") {
			files = append(files, filepath.Join(dir, f.Name()))
		}
	}
	return files, nil
}

// controlReader gathers items, and what is wrong with them.
type controlReader struct {
	dir  string
	all  control.Items
	from map[string]string // where each id stands
	errs []error
}

func (r *controlReader) add(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// exception reads one exception. place is where it stands, where puts that before each error.
func (r *controlReader) exception(c *conf.C, place string, where func(error) error) {
	e := control.NewException()
	errRead := errors.Join(settings.Read("", c, &e), settings.Unknown("", c, e))
	if err := settings.Behind(errRead, e.Check()); err != nil {
		r.add(where(err))
	}
	if other, exists := r.from[e.ID]; exists && e.ID != "" {
		r.add(where(fmt.Errorf("id: %q is used already in %s; choose another", e.ID, other)))
	}
	r.from[e.ID] = place
	lists := e.Lists()
	for _, at := range slices.Sorted(maps.Keys(lists)) {
		name := lists[at]
		if r.all.Lists[name] != nil {
			continue
		}
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.dir, name)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			r.add(where(fmt.Errorf("%s: reading the list: %w", at, err)))
			continue
		}
		r.all.Lists[name] = control.ReadList(string(text))
	}
	r.all.Exceptions = append(r.all.Exceptions, e)
}

// listOf reads a YAML file that is a list of mappings.
func listOf(text []byte) (list []*conf.C, err error) {
	defer func() {
		if p := recover(); p != nil { // the YAML library panics on some malformed documents
			err = fmt.Errorf("invalid YAML: %v", p)
		}
	}()
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("invalid YAML: %w", err)
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		return nil, nil // comments alone
	}
	if root.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New("it must be a list, whose elements begin with a dash")
	}
	for i, n := range root.Content[0].Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%d: %q is not allowed; it must be a mapping", i, n.Value)
		}
	}
	c, err := ucfgyaml.NewConfig(text, ucfg.PathSep("."))
	if err != nil {
		return nil, fmt.Errorf("invalid YAML: %w", err)
	}
	if err := (*conf.C)(c).Unpack(&list); err != nil {
		return nil, fmt.Errorf("reading a list: %w", err)
	}
	return list, nil
}

// atLine puts a file, and the line of what they are about, before errors that begin with the path of a setting.
func atLine(file string, text []byte, err error) error {
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
