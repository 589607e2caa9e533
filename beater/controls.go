// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/dataset"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/process"
)

// controlsSubject is what the condition config_rejected is about where controls are wrong.
const controlsSubject = "controls"

// controls keeps the engine's controls equal to what the configuration and the folders of controls say.
type controls struct {
	paths  *paths.Path
	health *health.Board
	logger *logp.Logger
	seed   maphash.Seed

	mu     sync.Mutex    // guards what follows, and that one at a time changes the engine's
	config config.Config // in force
	seen   uint64        // the files, as they were when they were last read
	found  uint64        // the files, as they were last found
	waits  int           // how often they were found changed once more
	wrong  string        // what was wrong with them when they were last read; empty: nothing
}

func newControls(p *paths.Path, cfg config.Config, board *health.Board, logger *logp.Logger) *controls {
	return &controls{paths: p, config: cfg, health: board, logger: logger, seed: maphash.MakeSeed()}
}

// load reads the controls of a configuration.
func (c *controls) load(cfg config.Config) (*control.Set, error) {
	return engine.NewControls(cfg, engine.ControlFolders(c.paths, cfg), time.Local)
}

// start reads the controls for the first time.
func (c *controls) start() (*control.Set, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = c.fingerprint(nil)
	return c.load(c.config)
}

// configure changes the settings, by a function that hands them to the engine.
func (c *controls) configure(cfg config.Config, apply func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := apply(); err != nil {
		return err
	}
	c.config = cfg
	return nil
}

// watch applies changes of the files until ctx ends.
func (c *controls) watch(ctx context.Context, l *loop) {
	every := time.NewTimer(0)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		every.Reset(c.check(l))
	}
}

// settle is after how long a second reading has to find what the first one has found.
const settle = time.Second

// mostWaits bounds how often a change is waited out: another file of the folder may change for ever.
const mostWaits = 10

// check takes up a change of the files that it finds for the second time, and returns when to check again. What an
// editor or a copy is still writing would be read by halves, and half an exception holds back more than a whole one.
func (c *controls) check(l *loop) (again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reload := c.config.Controls.Reload
	again = max(reload.Period, settle)
	if !reload.Enabled {
		return again
	}
	now := c.fingerprint(l)
	if now != c.seen && now != c.found && c.waits < mostWaits {
		c.found = now
		c.waits++
		return settle
	}
	c.waits = 0
	c.reload(l, now)
	return again
}

// reload reads the files where they have changed, or could not be read. One that is wrong leaves the last good set in
// force. c.mu is held.
func (c *controls) reload(l *loop, now uint64) {
	if now == c.seen && c.wrong == "" {
		return
	}
	changed := now != c.seen
	c.seen = now
	set, err := c.load(c.config)
	if err != nil {
		began := c.health.Set(health.ConfigRejected, controlsSubject, err.Error(), time.Now())
		if !began && (changed || err.Error() != c.wrong) { // nobody has heard of this change
			c.logger.Warnf("the changed controls are not applied either, the last good ones hold on: %v", err)
		}
		c.wrong = err.Error()
		return
	}
	c.wrong = ""
	if err := l.call(func() { l.engine.SetControls(set) }); err != nil {
		return // it is stopping
	}
	c.health.End(health.ConfigRejected, controlsSubject)
	c.logger.Infof("controls reloaded: %s", plural.Of(uint64(set.Len()), "item"))
}

// fingerprint is another one whenever a file of the folders, or a list that controls in force name, may have changed.
func (c *controls) fingerprint(l *loop) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	add := func(path string) {
		info, err := os.Stat(path) // of what a link leads to, as in a mounted ConfigMap
		if err != nil {
			fmt.Fprintln(&h, path, err)
			return
		}
		fmt.Fprintln(&h, path, info.Size(), info.ModTime().UnixNano())
	}
	in := engine.ControlFolders(c.paths, c.config)
	for _, dir := range in.All() {
		files, err := os.ReadDir(dir) // one that is missing has no files; one that cannot be read is found by load
		fmt.Fprintln(&h, dir, err)
		for _, f := range files {
			add(filepath.Join(dir, f.Name()))
		}
	}
	if l != nil {
		if set := l.engine.Counts.Controls.Load(); set != nil {
			for _, name := range set.Lists() {
				if path := in.List(name); filepath.Dir(path) != filepath.Clean(in.Exceptions) {
					add(path)
				}
			}
		}
	}
	return h.Sum64()
}

// noteApproved logs and ships, once for each, that work was approved, and that an approval was taken back.
func (l *loop) noteApproved(now time.Time) {
	set := l.engine.Counts.Controls.Load()
	if set == nil {
		return
	}
	given, takenBack := set.News()
	for _, a := range given {
		l.audit(a, control.Approved, a.Author, fmt.Sprintf("%s approved work that raises no alert until %s: %s", a.Author,
			a.Expires, a.Ticket), now)
	}
	for _, a := range takenBack {
		l.audit(a, control.Revoked, a.RevokedBy, fmt.Sprintf("%s revoked approved work: %s", a.RevokedBy, a.Ticket), now)
	}
	if len(given)+len(takenBack) > 0 {
		l.saved = time.Time{} // soon, so that it is reported once
	}
}

// audit reports what somebody has done with an approval. The id is the same however often it is reported.
func (l *loop) audit(a *control.Approval, action, by, message string, now time.Time) {
	l.logger.Infof("%s (%s)", message, a.ID)
	doc := beat.Event{Timestamp: now, Fields: mapstr.M{}, Meta: mapstr.M{}}
	if host := l.heart.host.Fields; len(host) > 0 {
		doc.Fields["host"] = host.Clone()
	}
	id := process.ID(action, a.ID, string(a.Expires))
	for field, value := range map[string]any{
		"message": message, "event.kind": "event", "event.category": []string{"configuration"},
		"event.type": []string{"change"}, "event.action": action, "event.id": id,
		"event.reason": strings.TrimSpace(a.Ticket + " " + a.Comment), "user.name": by, "related.user": []string{by},
		"reconbeat.control.id": []string{a.ID}, "reconbeat.control.kind": []string{control.KindApproval},
		"reconbeat.control.action":  []string{a.Action},
		"reconbeat.control.expires": []string{a.End(time.Local).UTC().Format("2006-01-02T15:04:05.000Z")},
	} {
		put(doc.Fields, field, value)
	}
	document.Address(doc.Fields, l.engine.Config(), dataset.Alert)
	document.Identify(&doc, id)
	l.journal.ship(&document.Document{Event: doc, ID: id, Keep: document.Durable})
}

// noteExpired logs, once for each, the controls that have come to their end.
func (l *loop) noteExpired(now time.Time) {
	set := l.engine.Counts.Controls.Load()
	if set == nil {
		return
	}
	for _, u := range set.Lapse(now) {
		l.logger.Warnf("%s %q has expired (%s) and holds nothing back any more; it was used %s",
			u.Kind, u.ID, u.Expires.UTC().Format(time.RFC3339), plural.Of(u.Matches, "time"))
	}
}

// usage is how often each control was used, for the state; nil: there are none.
func (l *loop) usage() json.RawMessage {
	set := l.engine.Counts.Controls.Load()
	if set == nil || set.Len() == 0 {
		return nil
	}
	text, err := json.Marshal(set.Usage())
	if err != nil {
		l.logger.Errorf("saving how often controls were used: %v", err)
	}
	return text
}

// restoreUsage goes on counting where an earlier run ended.
func (l *loop) restoreUsage(text json.RawMessage) {
	set := l.engine.Counts.Controls.Load()
	if set == nil || len(text) == 0 {
		return
	}
	var earlier []control.Usage
	if err := json.Unmarshal(text, &earlier); err != nil {
		l.logger.Warnf("how often controls were used before is not known any more: %v", err)
		return
	}
	set.Inherit(earlier)
}

// mostListed bounds how many controls a heartbeat names in one list, and /stats shows.
const mostListed = 20

// inUse is what a heartbeat reports of the controls.
type inUse struct {
	active   int
	unused   int
	expired  []string // their ids, at most mostListed
	mostUsed []string
}

func reportUsage(set *control.Set, now time.Time) (r inUse) {
	if set == nil {
		return r
	}
	for _, u := range mostUsed(set) {
		switch {
		case u.Expired(now):
			r.expired = append(r.expired, u.ID)
			continue
		case u.Matches == 0:
			r.unused++
		case len(r.mostUsed) < mostListed:
			r.mostUsed = append(r.mostUsed, u.ID)
		}
		r.active++
	}
	r.expired = r.expired[:min(mostListed, len(r.expired))]
	return r
}

// mostUsed are all controls, the most used first.
func mostUsed(set *control.Set) []control.Usage {
	all := set.Usage()
	slices.SortStableFunc(all, func(a, b control.Usage) int { return cmp.Compare(b.Matches, a.Matches) })
	return all
}
