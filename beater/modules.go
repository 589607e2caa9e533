// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// moduleConfig is which modules are configured: the static ones of reconbeat.yml and the files of modules.d together.
type moduleConfig struct {
	static  []*conf.C
	dynamic cfgfile.DynamicConfig
	glob    string   // the absolute pattern of modules.d; empty: none
	agent   mapstr.M // what an index may name of the Beat
	logger  *logp.Logger
}

// load reads and checks the whole set. The error names everything that is wrong with it.
func (c *moduleConfig) load() ([]*conf.C, error) {
	var all []*conf.C
	var errs []error
	add := func(m *conf.C, at func(error) error) {
		if !settings.IsMapping(m) {
			return // whoever has read the list has said so
		}
		whole, err := resolved(m)
		if err != nil {
			whole = m // without what cannot be read
		}
		if whole.Enabled() {
			all = append(all, whole)
			err = settings.Behind(err, errors.Join(checkProcessors(whole), c.check(whole), misspelt(whole)))
		}
		if err != nil {
			errs = append(errs, at(err))
		}
	}
	for i, m := range c.static {
		add(m, func(err error) error { return settings.At(fmt.Sprintf("reconbeat.modules.%d.", i), err) })
	}
	if c.glob != "" {
		files, err := filepath.Glob(c.glob)
		if err != nil {
			return nil, fmt.Errorf("reconbeat.config.modules.path: %q is not a pattern: %w", c.glob, err)
		}
		for _, file := range files {
			list, text, err := c.read(file)
			if err != nil {
				errs = append(errs, err)
			}
			for i, m := range list {
				add(m, func(err error) error { return config.AtLine(file, text, settings.At(fmt.Sprintf("%d.", i), err)) })
			}
		}
	}
	if len(all) == 0 && len(errs) == 0 {
		auto := conf.MustNewConfigFrom(map[string]any{"module": catalog.Auto})
		add(auto, func(err error) error { return settings.At("no module is configured, so that auto was tried: ", err) })
	}
	errs = append(errs, settings.At("reconbeat.modules: ", errors.Join(together(all)...)))
	return all, errors.Join(errs...)
}

// checkProcessors takes processors out of a module in which something is wrong: libbeat would report the first such
// thing again.
func checkProcessors(m *conf.C) error {
	err := config.CheckProcessors("", m)
	if err == nil {
		return nil
	}
	_, errRemove := m.Remove("processors", -1)
	return errors.Join(err, errRemove)
}

// read reads a file of modules.d. text is what the file holds.
func (c *moduleConfig) read(file string) (list []*conf.C, text []byte, err error) {
	text, err = os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading modules: %w", err)
	}
	if err := config.CheckYAML(file, text); err != nil {
		return nil, nil, err
	}
	if list, err = cfgfile.LoadList(file, c.logger); err != nil {
		return nil, nil, settings.At(file+": ", err)
	}
	for i, m := range list {
		if !settings.IsMapping(m) {
			err = errors.Join(err, fmt.Errorf("%d: a list is not allowed; it must be a mapping of settings", i))
		}
	}
	return list, text, config.AtLine(file, text, err)
}

// blueprint is a module that can be opened, as one configuration describes it.
type blueprint struct {
	kind   catalog.Kind
	why    string // why `auto` chose this kind; empty where the user did
	source *document.Source
	config *conf.C
	logger *logp.Logger
}

// blueprint reads the configuration of one module. It opens nothing; the error names everything that is wrong.
func (c *moduleConfig) blueprint(from *conf.C) (*blueprint, error) {
	cfg, errCommon := config.ParseModule(from)
	if cfg.Module == "" {
		return nil, errCommon
	}
	kind, why, err := kindOf(cfg.Module)
	if err != nil {
		return nil, errors.Join(errCommon, err)
	}
	logger := c.logger.Named("module").With("module", kind.Name, "id", cfg.ID)
	source, errSource := document.NewSource(cfg, kind.Local, kind.Rereadable, c.agent, logger)
	b := &blueprint{kind: kind, why: why, source: source, config: from, logger: logger}
	_, err = b.open(module.Env{ID: cfg.ID, Logger: logger, Stats: &module.Stats{}, Health: &health.Board{}})
	if err := errors.Join(errCommon, errSource, err); err != nil {
		return nil, err
	}
	return b, nil
}

// open makes the module.
func (b *blueprint) open(env module.Env) (module.Module, error) { return b.kind.New(b.config, env) }

// check reports what is wrong with the configuration of one module.
func (c *moduleConfig) check(from *conf.C) error {
	b, err := c.blueprint(from)
	if err != nil {
		return err
	}
	return b.source.Close()
}

// kindOf finds the kind of module that a configuration names, and why `auto` chose it.
func kindOf(name string) (kind catalog.Kind, why string, err error) {
	if name != catalog.Auto {
		kind, err = catalog.Find(name)
		return kind, "", err
	}
	kind, support, err := catalog.Choose()
	return kind, support.Why, err
}

// misspelt returns what is wrong with the names of a module's settings. Where it is unknown which module it is, those
// that no module has are wrong.
func misspelt(c *conf.C) error {
	m, _ := config.ParseModule(c) // its errors are reported already
	return config.ModuleKeys(c, catalog.Options(m.Module)...)
}

// resolved is a configuration with its variables filled in. A runner gets a copy without the rest of the file, in which
// ${path.home} and the like would mean nothing any more.
func resolved(c *conf.C) (*conf.C, error) {
	var m map[string]any
	if err := settings.Read("", c, &m); err != nil {
		return nil, err
	}
	return conf.NewConfigFrom(m)
}

// together returns what is wrong with modules side by side: two of one id, or two that would report the same execs.
func together(modules []*conf.C) []error {
	var errs []error
	ids := map[string]int{}
	var local []string
	for _, c := range modules {
		m, err := config.ParseModule(c)
		if err != nil {
			continue // reported already
		}
		if ids[m.ID]++; ids[m.ID] == 2 {
			errs = append(errs, fmt.Errorf("the id %q is that of several modules; give each an `id` of "+
				"its own", m.ID))
		}
		kind, err := catalog.Find(m.Module)
		if m.Module == catalog.Auto || err == nil && kind.Local {
			local = append(local, m.ID)
		}
	}
	if len(local) > 1 {
		errs = append(
			errs,
			fmt.Errorf(
				"%s would each report this host's execs, and every one would count several times; only one "+
					"of them is allowed", strings.Join(local, " and "),
			),
		)
	}
	return errs
}

// Watched is a source of a Beat that runs: its module, the files that it reads, and what the module sees on this host.
type Watched struct {
	Module string
	Files  []string
	module.Support
}

// watched says what the modules are that run with these settings; of auto, what it chooses.
func watched(modules []*conf.C) (out []Watched) {
	for _, c := range modules {
		var w struct {
			Module string   `config:"module"`
			Paths  []string `config:"paths"`
		}
		if err := c.Unpack(&w); err != nil {
			continue // reported already
		}
		var kind catalog.Kind
		var support module.Support
		var err error
		if w.Module == catalog.Auto {
			kind, support, err = catalog.Choose()
		} else if kind, err = catalog.Find(w.Module); err == nil {
			support = kind.Probe()
		}
		if err == nil {
			out = append(out, Watched{kind.Name, w.Paths, support})
		}
	}
	return out
}
