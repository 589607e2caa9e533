// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"os"
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
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/document"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/catalog"
	"github.com/reconbeat/reconbeat/module/recording"
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
	read     atomic.Int64 // bytes of the files, or documents of the cluster
	size     atomic.Int64 // how many there are; 0: that is not known yet
	order    order
	passed   []Passed
	onlyHost string                  // id or name; empty: all are judged
	ownHost  bool                    // all is to be the model of one host
	hostname string                  // of the host that reconbeat runs on
	hostID   string                  // of the same; empty where it is not asked for
	ownMet   bool                    // it is among those that were met
	adopted  string                  // the other host whose habits become its own; empty: none
	met      map[string]process.Host // by their keys
	from     document.Source
	seed     maphash.Seed
	at       time.Time // of the execs that seen has
	seen     []uint64
	err      error // of the receiver of documents
	first    time.Time
	last     time.Time
	hosts    map[string]string // names by ids
}

// ReplayOptions are what a replay is made of.
type ReplayOptions struct {
	Config    config.Config           // the rules and the model; its modules are not used
	RulesPath string                  // the folder of the user's own rules
	Controls  *control.Set            // nil: none
	HostID    string                  // of the documents that bring no host of their own, for their ids
	Logger    *logp.Logger            // where malformed input is reported
	Document  func(*beat.Event) error // receives alerts, summaries and, as Config.Events says, raw events
	// OwnHost: the recording is this host's, and so are the names of its accounts where it has ids alone.
	OwnHost bool
	// OnlyHost is the id or the name of the host whose events are judged; empty: every host's, or where the model is to be
	// OwnHost's those of one host alone.
	OnlyHost string
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
	r := &Replay{logger: o.Logger, malformed: o.Malformed, hosts: map[string]string{},
		onlyHost: o.OnlyHost, ownHost: o.OwnHost, met: map[string]process.Host{}}
	r.hostname, _ = os.Hostname()
	r.seed = maphash.MakeSeed()
	if o.OwnHost {
		r.accounts = host.NewAccounts()
		own, err := host.Describe("")
		if err != nil {
			return nil, err
		}
		r.hostID = own.ID
	}
	r.engine, err = New(Options{
		Config:   o.Config,
		Detector: options,
		Controls: o.Controls,
		Host:     host.Description{ID: o.HostID},
		Logger:   o.Logger,
		Publish: func(doc *document.Document) {
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
	return r.Files(ctx, moduleName, []string{path})
}

// Files runs recordings as one, in the order of their times. They are read by the named module, each by its own where
// the name is catalog.Auto.
func (r *Replay) Files(ctx context.Context, moduleName string, paths []string) error {
	if first := slices.Index(paths, "-"); first >= 0 && slices.Contains(paths[first+1:], "-") {
		return errors.New("- is named twice, and standard input can be read once")
	}
	list, err := recording.OpenAll(paths, &r.read)
	if err != nil {
		return err
	}
	defer recording.CloseAll(list)
	for _, one := range list {
		r.size.Add(one.Size)
	}
	r.order = order{take: r.take, late: func(e *process.Event) { r.passEvent(e, late) }}
	defer r.order.close()
	groups, err := grouped(moduleName, list)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return nil
	}
	name := groups[0].kind.Name
	r.from = document.Source{Module: config.Module{Module: name, ID: name}, Rereadable: true}
	if err := r.run(ctx, groups); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	return r.order.end()
}

// Cluster runs what a cluster has through the engine, in the order of its times; cfg are the options of module
// elasticsearch.
func (r *Replay) Cluster(ctx context.Context, cfg *conf.C) error {
	kind, err := catalog.Find("elasticsearch")
	if err != nil {
		return err
	}
	m, err := kind.New(cfg, module.Env{
		ID: kind.Name, Logger: r.logger, Stats: &r.stats, Health: &r.health, Replay: true, Progress: &r.read,
		Total: &r.size, Programs: r.engine.Programs,
		Malformed: func(bad module.Malformed) {
			r.passOver(bad.File+"/_doc/"+bad.ID, 0, bad.Kind)
			if r.malformed != nil {
				r.malformed(bad)
			}
		},
		Other: func(o module.Other) { r.passOver(o.File+"/_doc/"+o.ID, 0, o.What) },
	})
	if err != nil {
		return err
	}
	r.from = document.Source{Module: config.Module{Module: kind.Name, ID: kind.Name}, Rereadable: true}
	return m.Run(ctx, process.Cursor{}, func(e *process.Event) error {
		r.meet(e)
		return r.take(e)
	})
}

// late is an event that comes so much behind later ones that it was not sorted among them.
const late = "an event far behind later ones"

// group is the recordings that one module reads.
type group struct {
	kind catalog.Kind
	list []*recording.Recording
}

// grouped finds the module of each recording.
func grouped(moduleName string, list []*recording.Recording) (groups []group, err error) {
	var errs []error
	for _, one := range list {
		kind, err := kindOf(moduleName, one)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.kind.Name == kind.Name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{kind: kind})
		}
		groups[i].list = append(groups[i].list, one)
	}
	return groups, errors.Join(errs...)
}

func kindOf(moduleName string, one *recording.Recording) (catalog.Kind, error) {
	if moduleName != catalog.Auto {
		return catalog.Find(moduleName)
	}
	for _, kind := range catalog.All() {
		if kind.Recognises != nil && kind.Recognises(one.Sample()) {
			return kind, nil
		}
	}
	if len(bytes.TrimSpace(one.Sample())) == 0 {
		return catalog.Find("ndjson") // nothing is nothing in every language
	}
	if err := one.Stranger(); err != nil {
		return catalog.Kind{}, err
	}
	first, _, _ := bytes.Cut(bytes.TrimSpace(one.Sample()), []byte{'\n'})
	return catalog.Kind{}, fmt.Errorf("%s looks like neither an audit.log nor JSON documents; it begins with %.80q",
		one.Path, first)
}

// run reads the groups, in the order of their events' times.
func (r *Replay) run(ctx context.Context, groups []group) error {
	if len(groups) == 1 {
		return r.read1(ctx, groups[0], r.order.add)
	}
	type head struct {
		next  func() (*process.Event, error, bool)
		event *process.Event
	}
	var heads []*head
	var errs []error
	advance := func(h *head) {
		e, err, ok := h.next()
		switch {
		case !ok:
			return
		case err != nil:
			errs = append(errs, err)
			return
		}
		h.event = e
		heads = append(heads, h)
	}
	for _, g := range groups {
		next, stop := iter.Pull2(func(yield func(*process.Event, error) bool) {
			err := r.read1(ctx, g, func(e *process.Event) error {
				if !yield(e, nil) {
					return context.Canceled
				}
				return nil
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				yield(nil, err)
			}
		})
		defer stop()
		advance(&head{next: next})
	}
	for len(heads) > 0 && ctx.Err() == nil {
		first := 0
		for i, h := range heads {
			if h.event.Time.Before(heads[first].event.Time) {
				first = i
			}
		}
		h := heads[first]
		heads = slices.Delete(heads, first, first+1)
		if err := r.order.add(h.event); err != nil {
			return err
		}
		advance(h)
	}
	return errors.Join(errs...)
}

// read1 has one module read its recordings.
func (r *Replay) read1(ctx context.Context, g group, emit func(*process.Event) error) error {
	var paths []string
	for _, one := range g.list {
		paths = append(paths, one.Path)
	}
	cfg := conf.MustNewConfigFrom(map[string]any{"module": g.kind.Name, "paths": paths})
	m, err := g.kind.New(cfg, module.Env{
		ID: g.kind.Name, Logger: r.logger, Stats: &r.stats, Health: &r.health, Replay: true, Recordings: g.list,
		Malformed: func(bad module.Malformed) {
			r.passOver(bad.File, bad.Line, bad.Kind)
			if r.malformed != nil {
				r.malformed(bad)
			}
		},
		Other: func(o module.Other) { r.passOver(o.File, o.Line, o.What) },
	})
	if err != nil {
		return err
	}
	return m.Run(ctx, process.Cursor{}, func(e *process.Event) error {
		r.meet(e)
		return emit(e)
	})
}

// take judges an event in its turn.
func (r *Replay) take(e *process.Event) error {
	if meant, err := r.meant(e); !meant || err != nil {
		return err
	}
	if e.Kind == process.Exec && !e.Earlier {
		if r.again(e) {
			r.passEvent(e, again)
			return nil
		}
		r.stats.Execs.Add(1)
		r.note(e)
		if r.accounts != nil && (e.Host.Key() == "" || r.own(e.Host)) {
			r.accounts.User(&e.User)
			r.accounts.User(&e.Session.User)
		}
	}
	r.engine.Take(e, &r.from)
	return r.err
}

// again is an exec that was judged before: a file may be read twice, or a copy of it, too.
const again = "an event that came before"

// again says whether an exec has come before, by its source's own id or number, by the id of its document, or else by
// its pid and command. Events come in the order of their times, so that those of one time are behind each other.
func (r *Replay) again(e *process.Event) bool {
	id := cmp.Or(e.ID, e.Origin.ID)
	if id == "" && e.Sequence == 0 && e.PID == 0 {
		return false
	}
	if !e.Time.Equal(r.at) {
		r.at, r.seen = e.Time, r.seen[:0]
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(id)
	_ = h.WriteByte(0)
	if id == "" && e.Sequence == 0 {
		_, _ = h.WriteString(e.Name)
		for _, arg := range e.Args {
			_ = h.WriteByte(0)
			_, _ = h.WriteString(arg)
		}
		_, _ = h.WriteString(e.Container.ID) // which has pids of its own
		_ = h.WriteByte(0)
	}
	_, _ = h.WriteString(e.Host.Key())
	var numbers [12]byte
	binary.LittleEndian.PutUint64(numbers[:], e.Sequence)
	binary.LittleEndian.PutUint32(numbers[8:], e.PID)
	_, _ = h.Write(numbers[:])
	sum := h.Sum64()
	if slices.Contains(r.seen, sum) {
		return true
	}
	if len(r.seen) < seenMax {
		r.seen = append(r.seen, sum)
	}
	return false
}

// seenMax bounds how many events of one time are remembered.
const seenMax = 1024

// meet notes the hosts of events before they are judged.
func (r *Replay) meet(e *process.Event) {
	if key := e.Host.Key(); key != "" {
		if _, known := r.met[key]; !known && len(r.met) < hostsNamed {
			id, name := strings.Clone(e.Host.ID), strings.Clone(e.Host.Name)
			r.met[cmp.Or(id, name)] = process.Host{ID: id, Name: name}
		}
	}
}

// meant says whether an event is one to judge: of the host that is asked for, and where all is to be one host's of that
// alone.
func (r *Replay) meant(e *process.Event) (bool, error) {
	if r.onlyHost == "" && !r.ownHost || e.Host.Key() == "" {
		return true, nil
	}
	switch {
	case r.onlyHost != "":
		if r.onlyHost == e.Host.ID || strings.EqualFold(r.onlyHost, e.Host.Name) {
			return true, nil
		}
	case r.own(e.Host):
		r.ownMet = true
		return true, nil
	case !r.ownMet: // events of this host may follow
		if err := r.choose(); err != nil {
			return false, err
		}
		if r.adopted != "" {
			return true, nil
		}
	}
	r.passEvent(e, otherHost)
	return false, nil
}

// choose decides whose habits become this host's model: its own where it is among the hosts that were met, else those
// of the only other one. Of several others only a person can say which.
func (r *Replay) choose() error {
	var names []string
	for _, h := range r.met {
		if r.own(h) {
			r.ownMet = true
			return nil
		}
		names = append(names, cmp.Or(h.Name, h.ID))
	}
	slices.Sort(names)
	names = slices.Compact(names) // one of which some documents have no id
	if len(names) > 1 {
		return fmt.Errorf("the files are about %d hosts, and none of them is this one: say with --host whose they should "+
			"be; there are %s", len(names), strings.Join(names[:min(len(names), 12)], ", "))
	}
	r.onlyHost, r.adopted = names[0], names[0]
	return nil
}

// Adopted is the other host whose habits this one has learned, because the files are about no other; empty: there is
// none, or it was asked for by name.
func (r *Replay) Adopted() string { return r.adopted }

// otherHost is an event that is not of the host that was asked for.
const otherHost = "an event of another host"

// own says whether a host is the one that reconbeat runs on.
func (r *Replay) own(h process.Host) bool {
	if h.ID != "" && h.ID == r.hostID {
		return true
	}
	short, _, _ := strings.Cut(r.hostname, ".")
	name, _, _ := strings.Cut(h.Name, ".")
	return r.hostname != "" && (strings.EqualFold(h.Name, r.hostname) || strings.EqualFold(name, short))
}

// passOver counts what is not judged, by what it is.
func (r *Replay) passOver(file string, line uint64, what string) {
	r.pass(Passed{What: what, File: file, Line: line})
}

// passEvent is passOver for an event, of which the time and the host say where it stands.
func (r *Replay) passEvent(e *process.Event, what string) {
	r.pass(Passed{What: what, At: e.Time, Host: cmp.Or(e.Host.Name, e.Host.ID)})
}

func (r *Replay) pass(first Passed) {
	what := first.What
	for i := range r.passed {
		if p := &r.passed[i]; p.What == what {
			p.Count++
			return
		}
	}
	if len(r.passed) == passedKinds {
		what = "something else"
		if last := &r.passed[passedKinds-1]; last.What == what {
			last.Count++
			return
		}
		r.passed[passedKinds-1].What = what
		r.passed[passedKinds-1].Count++
		return
	}
	first.What, first.Host, first.Count = strings.Clone(what), strings.Clone(first.Host), 1
	r.passed = append(r.passed, first)
}

// passedKinds bounds how many reasons are counted each for itself.
const passedKinds = 32

// Passed is what was not judged for one reason.
type Passed struct {
	What  string
	Count uint64
	File  string // where the first one stands; empty: that is not known, but of an event when and on which host it was
	Line  uint64 // 0: it is no line of a file
	At    time.Time
	Host  string // empty: nobody says which
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
	Passed   []Passed      // what was not judged, and why, the most frequent first
	Disorder time.Duration // by how much events lay behind later ones, which they were sorted before
}

// Summary returns what is known at the end of the input. It must come before Finish, after which nothing is open any
// more.
func (r *Replay) Summary() ReplaySummary {
	r.engine.Settle()
	d, cfg := r.engine.detector, r.engine.Config().Detector
	s := ReplaySummary{
		First: r.first, Last: r.last, Known: d.Known("", r.last), Learned: d.Age(r.last),
		Disorder: time.Duration(r.order.back), Passed: slices.Clone(r.passed),
	}
	if cfg.Model == detector.ModelContext {
		s.LearnFor = cfg.LearnFor
	}
	for i := range s.Known {
		s.Known[i].Host = cmp.Or(r.hosts[s.Known[i].Host], s.Known[i].Host) // a person knows it by its name
	}
	for _, name := range r.hosts {
		if name != "" {
			s.Hosts = append(s.Hosts, name)
		}
	}
	slices.Sort(s.Hosts)
	slices.SortStableFunc(s.Passed, func(a, b Passed) int { return cmp.Compare(b.Count, a.Count) })
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

// Read returns how many bytes of the files have been read, or documents of the cluster, and how many there are; 0: that
// is not known yet. It may be called while Files or Cluster runs.
func (r *Replay) Read() (n, of int64) { return r.read.Load(), r.size.Load() }

// Finish closes the buckets and episodes that the end of the input left open.
func (r *Replay) Finish() error {
	r.engine.Stop(r.last)
	r.engine.Counts.Unnamed.Store(r.engine.detector.Unnamed())
	if !r.last.IsZero() {
		r.engine.detector.Stop() // what comes after the end of the input is not watched
		settings := r.engine.Config().Detector
		r.engine.Advance(r.last.Add(settings.Episode.Max + settings.BucketSpan))
	}
	return r.err
}

// ReplayCounts are the numbers that a replay ends with.
type ReplayCounts struct {
	Execs, Matched, Alerts, Malformed uint64
	Unnamed                           uint64 // matches without a user; set by Finish
	Held                              uint64 // alerts that a control held back, the limit among them
	Limited                           uint64 // matches over the threshold that the limit held back
	Tampered                          uint64 // alerts of tampering with audit, which Alerts leaves out
	Records                           uint64 // records, lines and documents
	Incomplete                        uint64 // execs of which a part is missing
	Truncated                         uint64 // execs whose arguments were cut to the bound
}

// Counts returns what happened so far; it may be called while File runs.
func (r *Replay) Counts() ReplayCounts {
	c := r.engine.Counts
	return ReplayCounts{
		Execs: c.Execs.Load(), Matched: c.Matched.Load(), Alerts: c.Alerts.Load(),
		Malformed: r.stats.Malformed.Load(), Unnamed: c.Unnamed.Load(), Held: c.Held.Load(),
		Limited:  c.Limited.Load(),
		Tampered: c.Tampered.Load(),
		Records:  r.stats.Records.Load(), Incomplete: r.stats.Incomplete.Load(),
		Truncated: r.stats.Truncated.Load(),
	}
}
