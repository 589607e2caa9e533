// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"context"
	"time"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/internal/health"
)

// reloader keeps the modules that run equal to those that are configured.
//
// libbeat's own cfgfile.Reloader stops the old runner of a changed file before it knows whether the new one is valid,
// so a typo ends detection. Here all modules are checked, alone and against each other, before any is touched; when
// anything is wrong the last good set runs on.
type reloader struct {
	config  *moduleConfig
	runners *runners
	running *moduleSet
	health  *health.Board
	logger  *logp.Logger
}

// watch applies changes of modules.d until ctx ends.
func (r *reloader) watch(ctx context.Context) {
	if r.config.glob == "" || !r.config.dynamic.Reload.Enabled {
		<-ctx.Done()
		return
	}
	changes := cfgfile.NewGlobWatcher(r.config.glob, r.logger)
	_, _, _ = changes.Scan() // what is there now was loaded at start
	tick := time.NewTicker(r.config.dynamic.Reload.Period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, updated, err := changes.Scan(); err != nil {
			r.logger.Errorf("cannot look for changed modules in %s: %v", r.config.glob, err)
			continue
		} else if !updated {
			continue
		}
		r.reload()
	}
}

func (r *reloader) reload() {
	modules, err := r.config.load()
	if err == nil {
		err = r.runners.apply(modules)
	}
	if err != nil {
		if !r.health.Set(health.ConfigRejected, r.config.glob, err.Error(), time.Now()) { // it held already, so that nobody has been told of this change
			r.logger.Warnf("the changed modules are not applied either, the last good ones run on: %v", err)
		}
		return
	}
	r.health.End(health.ConfigRejected, r.config.glob)
	r.logger.Infof("modules reloaded: watching with %s", r.running)
}
