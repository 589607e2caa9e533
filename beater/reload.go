// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common/reload"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// configured keeps the modules that run equal to those that are configured: the static ones of reconbeat.yml and the files of modules.d together.
//
// libbeat's own cfgfile.Reloader stops the old runner of a changed file before it looks whether the new one is valid, so a typo ends detection.
// Here all modules are checked, alone and against each other, before any is touched; when anything is wrong the last good set runs on.
type configured struct {
	static  []*conf.C
	dynamic cfgfile.DynamicConfig
	glob    string // the absolute pattern of modules.d; empty: none
	factory *factory
	list    *cfgfile.RunnerList
	health  *health.Board
	logger  *logp.Logger
}

// load reads and checks the whole set. The error tells everything that is wrong with it.
func (c *configured) load() ([]*conf.C, error) {
	var all []*conf.C
	var errs []error
	add := func(m *conf.C, where string) {
		m, err := resolved(m)
		if err == nil && m.Enabled() {
			all = append(all, m)
			err = errors.Join(c.factory.CheckConfig(m), misspelt(m))
		}
		if err != nil {
			errs = append(errs, settings.At(where+": ", err))
		}
	}
	for i, m := range c.static {
		add(m, fmt.Sprintf("reconbeat.modules.%d", i))
	}
	if c.glob != "" {
		files, err := filepath.Glob(c.glob)
		if err != nil {
			return nil, fmt.Errorf("reconbeat.config.modules.path: %q is no pattern: %w", c.glob, err)
		}
		for _, file := range files {
			list, err := cfgfile.LoadList(file, c.logger)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, m := range list {
				add(m, file)
			}
		}
	}
	if len(all) == 0 && len(errs) == 0 {
		add(conf.MustNewConfigFrom(map[string]any{"module": catalog.Auto}), "no module is configured, so that auto was tried")
	}
	return all, errors.Join(append(errs, together(all)...)...)
}

// misspelt returns what is wrong with the names of a module's settings; nothing where it is no module at all, which is told already.
func misspelt(c *conf.C) error {
	m, err := config.ParseModule(c)
	if err != nil {
		return nil
	}
	if options := catalog.Options(m.Module); options != nil {
		return config.ModuleKeys(c, options...)
	}
	return nil
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
	ids := map[string]bool{}
	var local []string
	for _, c := range modules {
		m, err := config.ParseModule(c)
		if err != nil {
			continue // told already
		}
		if ids[m.ID] {
			errs = append(errs, fmt.Errorf("id: two modules are called %q; give one an `id` of its own", m.ID))
		}
		ids[m.ID] = true
		kind, err := catalog.Find(m.Module)
		if m.Module == catalog.Auto || err == nil && kind.Local {
			local = append(local, m.ID)
		}
	}
	if len(local) > 1 {
		errs = append(errs, fmt.Errorf("modules: %s would each report this host's execs, and every one would count double; only one of them is allowed", strings.Join(local, " and ")))
	}
	return errs
}

// apply makes the set run.
func (c *configured) apply(modules []*conf.C) error {
	with := make([]*reload.ConfigWithMeta, len(modules))
	for i, m := range modules {
		with[i] = &reload.ConfigWithMeta{Config: m}
	}
	return c.list.Reload(with)
}

// watch applies changes of modules.d until ctx ends.
func (c *configured) watch(ctx context.Context) {
	if c.glob == "" || !c.dynamic.Reload.Enabled {
		<-ctx.Done()
		return
	}
	changes := cfgfile.NewGlobWatcher(c.glob, c.logger)
	_, _, _ = changes.Scan() // what is there now was loaded at start
	tick := time.NewTicker(c.dynamic.Reload.Period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, updated, err := changes.Scan(); err != nil {
			c.logger.Errorf("cannot look for changed modules in %s: %v", c.glob, err)
			continue
		} else if !updated {
			continue
		}
		c.reload()
	}
}

func (c *configured) reload() {
	modules, err := c.load()
	if err == nil {
		err = c.apply(modules)
	}
	if err != nil {
		if !c.health.Set(health.ConfigRejected, c.glob, err.Error(), time.Now()) { // it held already, so that nobody has been told of this change
			c.logger.Warnf("the changed modules are not applied either, the last good ones run on: %v", err)
		}
		return
	}
	c.health.End(health.ConfigRejected, c.glob)
	c.logger.Infof("modules reloaded: watching with %s", c.factory.modules)
}
