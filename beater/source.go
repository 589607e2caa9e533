// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"errors"
	"fmt"
	"maps"
	"sort"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/processors"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd"
	"github.com/reconbeat/reconbeat/module/auditlog"
	"github.com/reconbeat/reconbeat/module/ecs"
	"github.com/reconbeat/reconbeat/module/procconn"
)

// Kind is a kind of module, as the table Modules lists them.
type Kind struct {
	Name  string
	New   func(*conf.C, module.Env) (module.Module, error)
	Probe func() module.Support
	// Options are the zero value of its own options.
	Options any
	// Local: it reports this host's execs as they happen. At most one of these runs, and /proc and the accounts of this host may be asked about its events.
	Local bool
	// Rereadable: what it has emitted can be read again from a cursor, so it may be made to wait.
	Rereadable bool
}

// Modules is the table of modules, the best source of live execs first: the order in which `auto` tries the local ones.
func Modules() []Kind {
	return []Kind{
		{Name: "auditd", New: auditd.New, Probe: auditd.Probe, Options: auditd.Options{}, Local: true},
		{Name: "auditlog", New: auditlog.New, Probe: auditlog.Probe, Options: auditlog.Options{}, Local: true, Rereadable: true},
		{Name: "procconn", New: procconn.New, Probe: procconn.Probe, Options: procconn.Options{}, Local: true},
		{Name: "ecs", New: ecs.New, Probe: ecs.Probe, Options: ecs.Options{}, Rereadable: true},
	}
}

// autoModule is the name that stands for the best local module that works on this host.
const autoModule = "auto"

func kindOf(name string) (Kind, error) {
	var known []string
	for _, k := range Modules() {
		if k.Name == name {
			return k, nil
		}
		known = append(known, k.Name)
	}
	sort.Strings(known)
	return Kind{}, fmt.Errorf("module: %q is not allowed; it must be auto or one of %s", name, strings.Join(known, ", "))
}

// optionsOf are the options that a module of this name may have: of auto, those of every module that it may choose.
func optionsOf(name string) (options []any) {
	for _, k := range Modules() {
		if k.Name == name || name == autoModule && k.Local {
			options = append(options, k.Options)
		}
	}
	return options
}

// NoSourceError says that no local module works here, and why each does not.
type NoSourceError struct{ Reasons []string }

// Error lists the reasons.
func (e *NoSourceError) Error() string {
	return "no source of live program starts works on this host: " + strings.Join(e.Reasons, "; ")
}

// Choose returns the best local module that works on this host and says why, or a *NoSourceError.
func Choose() (Kind, module.Support, error) {
	var reasons []string
	for _, k := range Modules() {
		if !k.Local {
			continue
		}
		s := k.Probe()
		if s.Works {
			if len(reasons) > 0 {
				s.Why += " (not " + strings.Join(reasons, "; not ") + ")"
			}
			return k, s, nil
		}
		reasons = append(reasons, k.Name+": "+s.Why)
	}
	return Kind{}, module.Support{}, &NoSourceError{Reasons: reasons}
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
		w := struct {
			Module string   `config:"module"`
			Paths  []string `config:"paths"`
		}{}
		if err := c.Unpack(&w); err != nil {
			continue // New has told it
		}
		var kind Kind
		var support module.Support
		var err error
		if w.Module == autoModule {
			kind, support, err = Choose()
		} else if kind, err = kindOf(w.Module); err == nil {
			support = kind.Probe()
		}
		if err == nil {
			out = append(out, Watched{kind.Name, w.Paths, support})
		}
	}
	return out
}

// source is what the stream knows of the configured module that an event came from.
type source struct {
	config.Module
	kind       Kind
	local      bool
	rereadable bool
	stats      *module.Stats
	processors *processors.Processors
	agent      mapstr.M // what an index may name of the Beat beside the document's own fields
}

// newSource reads what every module takes.
func newSource(cfg config.Module, kind Kind, stats *module.Stats, agent mapstr.M, logger *logp.Logger) (*source, error) {
	p, err := processors.New(cfg.Processors, logger)
	if err != nil {
		return nil, fmt.Errorf("module %s: processors: %w", cfg.ID, err)
	}
	return &source{Module: cfg, kind: kind, local: kind.Local, rereadable: kind.Rereadable, stats: stats, processors: p, agent: agent}, nil
}

// setPaths tells the processors where the Beat keeps what; some refuse to run before.
func (s *source) setPaths(p *paths.Path) error {
	var errs []error
	for _, one := range s.processors.List {
		if setter, ok := one.(processors.PathSetter); ok {
			errs = append(errs, setter.SetPaths(p))
		}
	}
	return errors.Join(errs...)
}

// process applies what the user configured for the module to one of its documents, in the order of other Beats' inputs. nil: its processors dropped the document.
func (s *source) process(doc *beat.Event) (*beat.Event, error) {
	if err := mapstr.MergeFields(doc.Fields, s.Fields.Clone(), s.FieldsUnderRoot); err != nil {
		return doc, fmt.Errorf("adding the fields of module %s: %w", s.ID, err)
	}
	if err := mapstr.AddTags(doc.Fields, s.Tags); err != nil {
		return doc, fmt.Errorf("adding the tags of module %s: %w", s.ID, err)
	}
	if s.Pipeline != "" {
		doc.Meta["pipeline"] = s.Pipeline
	}
	if !s.hasProcessors() {
		return doc, nil
	}
	processed, err := s.processors.Run(doc)
	if err != nil && processed == nil {
		processed = doc // a processor that fails must not blind
	}
	if processed != nil && !s.KeepNull {
		removeNulls(processed.Fields)
	}
	return processed, err
}

// address says where a document goes that does not go into its data stream, unless a processor has said so.
func (s *source) address(doc *beat.Event) error {
	if s.Index.IsEmpty() || doc.Meta["raw_index"] != nil {
		return nil
	}
	fields := maps.Clone(doc.Fields)
	for name, v := range s.agent { // libbeat adds these later
		if _, there := fields[name]; !there {
			fields[name] = v
		}
	}
	index, err := s.Index.Run(&beat.Event{Timestamp: doc.Timestamp, Meta: doc.Meta, Fields: fields})
	if err != nil {
		return fmt.Errorf("the index of module %s does not fit a document, which goes into its data stream: %w", s.ID, err)
	}
	doc.Meta["raw_index"] = index
	return nil
}

// removeNulls takes out what has no value, and the objects that are empty then.
func removeNulls(m mapstr.M) {
	for name, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, name)
		case mapstr.M:
			if removeNulls(v); len(v) == 0 {
				delete(m, name)
			}
		case map[string]any:
			if removeNulls(v); len(v) == 0 {
				delete(m, name)
			}
		}
	}
}

// hasProcessors reports whether the module has processors of its own, which must see an exec before it is judged.
func (s *source) hasProcessors() bool { return s.processors != nil && len(s.processors.List) > 0 }
