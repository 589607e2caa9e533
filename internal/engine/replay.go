// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
	"github.com/reconbeat/reconbeat/process"
)

// Replay runs recordings through the same engine as a live Beat, past journal and publisher. It starts knowing nothing,
// asks nothing of this host and writes nothing. The same recording gives the same documents.
type Replay struct {
	engine    *Engine
	logger    *logp.Logger
	malformed func(module.Malformed)
	stats     module.Stats
	health    health.Board
	// accounts fills in this host's names; nil where the recording may be another host's.
	accounts *host.Accounts
	read     atomic.Int64 // bytes of the file, or documents of the cluster
	total    atomic.Int64 // documents of the cluster
	err      error        // of the receiver of documents
	first    time.Time
	last     time.Time
	hosts    map[string]string // names by ids
}

// ReplayOptions are what a replay is made of.
type ReplayOptions struct {
	Config    config.Config           // the rules and the model; its modules are not used
	RulesPath string                  // the folder of the user's own rules
	HostID    string                  // of the documents that bring no host of their own, for their ids
	Logger    *logp.Logger            // where malformed input is reported
	Document  func(*beat.Event) error // receives alerts, summaries and, as Config.Events says, raw events
	// OwnHost: the recording is this host's, and so are the names of its accounts where it has ids alone.
	OwnHost bool
	// OneHost: whatever host a document names, it is the one that the model learns of.
	OneHost bool
	// Malformed receives what is malformed in the recordings; nil: nobody asks.
	Malformed func(module.Malformed)
	// Record receives every record of the rare model at its bucket's end; nil: nobody wants them.
	Record func(rule *detector.Rule, r rare.Record)
}

// NewReplay makes a replay.
func NewReplay(o ReplayOptions) (*Replay, error) {
	options, err := o.Config.Detector.Options(o.RulesPath, nil)
	if err != nil {
		return nil, err
	}
	options.HostID, options.OnRecord, options.OneHost = o.HostID, o.Record, o.OwnHost || o.OneHost
	r := &Replay{logger: o.Logger, malformed: o.Malformed, hosts: map[string]string{}}
	if o.OwnHost {
		r.accounts = host.NewAccounts()
	}
	r.engine, err = New(Options{
		Config:   o.Config,
		Detector: options,
		Host:     host.Description{ID: o.HostID},
		Logger:   o.Logger,
		Publish: func(doc *Document) {
			if err := o.Document(&doc.Event); err != nil && r.err == nil {
				r.err = err
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// File runs one recording, read by the named module, through the engine.
func (r *Replay) File(ctx context.Context, moduleName, path string) error {
	kind, err := catalog.Find(moduleName)
	if err != nil {
		return err
	}
	return r.run(ctx, kind, conf.MustNewConfigFrom(map[string]any{"module": moduleName, "paths": []string{path}}))
}

// Cluster runs what a cluster has through the engine; cfg are the options of module elasticsearch.
func (r *Replay) Cluster(ctx context.Context, cfg *conf.C) error {
	kind, err := catalog.Find("elasticsearch")
	if err != nil {
		return err
	}
	return r.run(ctx, kind, cfg)
}

// run runs what a module reads through the engine.
func (r *Replay) run(ctx context.Context, kind catalog.Kind, cfg *conf.C) error {
	m, err := kind.New(cfg, module.Env{
		ID: kind.Name, Logger: r.logger, Stats: &r.stats, Health: &r.health, Replay: true, Progress: &r.read,
		Total: &r.total, Malformed: r.malformed, Programs: r.engine.Programs,
	})
	if err != nil {
		return err
	}
	r.read.Store(0)
	r.total.Store(0)
	from := &Source{Module: config.Module{Module: kind.Name, ID: kind.Name}, Rereadable: true}
	return m.Run(ctx, process.Cursor{}, func(e *process.Event) error {
		if e.Kind == process.Exec && !e.Earlier {
			r.stats.Execs.Add(1)
			r.engine.Advance(e.Time)
			r.note(e)
			if r.accounts != nil {
				r.accounts.User(&e.User)
				r.accounts.User(&e.Session.User)
			}
		}
		r.engine.Take(e, from)
		return r.err
	})
}

// note keeps what the summary says of an exec.
func (r *Replay) note(e *process.Event) {
	if r.first.IsZero() || e.Time.Before(r.first) {
		r.first = e.Time
	}
	r.last = e.Time
	if _, known := r.hosts[cmp.Or(e.Host.ID, e.Host.Name)]; !known && len(r.hosts) < hostsNamed {
		id, name := strings.Clone(e.Host.ID), strings.Clone(e.Host.Name) // the event is used again
		r.hosts[cmp.Or(id, name)] = cmp.Or(name, id)
	}
}

// hostsNamed bounds how many hosts a replay remembers by name.
const hostsNamed = 10000

// ReplaySummary is what a person wants to know at the end.
type ReplaySummary struct {
	First, Last time.Time        // of the execs; zero: there were none
	Hosts       []string         // in order; without those of which nobody says which they are
	Known       []detector.Known // what was learned
	// for how long the model in charge has learned, of the host and rule that has for the longest
	Learned  time.Duration
	LearnFor time.Duration // how long it must before it alerts; 0 where it is rare
	Rules    []string      // the enabled ones
}

// Summary returns what is known at the end of the input. It must come before Finish, after which nothing is open any
// more.
func (r *Replay) Summary() ReplaySummary {
	r.engine.Settle()
	d, cfg := r.engine.detector, r.engine.config.Detector
	s := ReplaySummary{First: r.first, Last: r.last, Known: d.Known("", r.last), Learned: d.Age(r.last)}
	if cfg.Model == detector.ModelContext {
		s.LearnFor = cfg.LearnFor
	}
	for _, name := range r.hosts {
		if name != "" {
			s.Hosts = append(s.Hosts, name)
		}
	}
	slices.Sort(s.Hosts)
	for _, rule := range d.Rules() {
		s.Rules = append(s.Rules, rule.ID)
	}
	return s
}

// Model returns what the replay has learned so far, for a live Beat's state.
func (r *Replay) Model() ([]byte, error) {
	r.engine.Settle()
	return r.engine.detector.Learned()
}

// Read returns how many bytes of the present file have been read, or documents of the cluster; it may be called while
// File or Cluster runs.
func (r *Replay) Read() int64 { return r.read.Load() }

// Total returns how many documents the cluster has; 0: that is not known yet. It may be called while Cluster runs.
func (r *Replay) Total() int64 { return r.total.Load() }

// Finish closes the buckets and episodes that the end of the input left open.
func (r *Replay) Finish() error {
	r.engine.Settle()
	r.engine.Counts.Unnamed.Store(r.engine.detector.Unnamed())
	if !r.last.IsZero() {
		r.engine.detector.Stop() // what comes after the end of the input is not watched
		r.engine.Advance(r.last.Add(r.engine.config.Detector.Episode.Max + r.engine.config.Detector.BucketSpan))
	}
	return r.err
}

// ReplayCounts are the numbers that a replay ends with.
type ReplayCounts struct {
	Execs, Matched, Alerts, Malformed uint64
	Unnamed                           uint64 // matches without a user; set by Finish
}

// Counts returns what happened so far; it may be called while File runs.
func (r *Replay) Counts() ReplayCounts {
	c := r.engine.Counts
	return ReplayCounts{
		Execs: c.Execs.Load(), Matched: c.Matched.Load(), Alerts: c.Alerts.Load(),
		Malformed: r.stats.Malformed.Load(), Unnamed: c.Unnamed.Load(),
	}
}
