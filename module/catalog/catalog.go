// SPDX-License-Identifier: Apache-2.0

// Package catalog lists the modules that exist, and picks the one that `auto` stands for on this host.
package catalog

import (
	"fmt"
	"sort"
	"strings"

	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/audisp"
	"github.com/reconbeat/reconbeat/module/auditd"
	"github.com/reconbeat/reconbeat/module/auditlog"
	"github.com/reconbeat/reconbeat/module/elasticsearch"
	"github.com/reconbeat/reconbeat/module/ndjson"
	"github.com/reconbeat/reconbeat/module/procconn"
)

// Kind is a kind of module.
type Kind struct {
	Name   string
	Former string // an earlier name that configurations may still have; empty: none
	New    func(*conf.C, module.Env) (module.Module, error)
	Probe  func() module.Support
	// Recognises says whether a recording that begins so is one of the module's; nil: it reads none.
	Recognises func(sample []byte) bool
	// Options is the zero value of its own options.
	Options any
	// Local modules report this host's execs as they happen. At most one of them runs. /proc and the accounts of this
	// host may be asked about its events.
	Local bool
	// Rereadable: what it has emitted can be read again from a cursor, so it may be made to wait.
	Rereadable bool
}

// Auto is the name that stands for the best local module that works on this host.
const Auto = "auto"

// All returns every kind of module, the best source of live execs first: the order in which `auto` tries the local
// ones.
func All() []Kind {
	return []Kind{
		{Name: "audisp", New: audisp.New, Probe: audisp.Probe, Options: audisp.Options{}, Local: true},
		{Name: "auditd", New: auditd.New, Probe: auditd.Probe, Options: auditd.Options{}, Local: true},
		{
			Name: "auditlog", New: auditlog.New, Probe: auditlog.Probe, Options: auditlog.Options{},
			Local: true, Rereadable: true, Recognises: auditlog.Recognises,
		},
		{Name: "procconn", New: procconn.New, Probe: procconn.Probe, Options: procconn.Options{}, Local: true},
		{
			Name: "ndjson", Former: "ecs", New: ndjson.New, Probe: ndjson.Probe, Options: ndjson.Options{},
			Rereadable: true, Recognises: ndjson.Recognises,
		},
		{
			Name: "elasticsearch", New: elasticsearch.New, Probe: elasticsearch.Probe, Options: elasticsearch.Options{},
			Rereadable: true,
		},
	}
}

// Find returns the kind of a name, present or former. The error lists the names that are allowed.
func Find(name string) (Kind, error) {
	var known []string
	for _, k := range All() {
		if name != "" && (k.Name == name || k.Former == name) {
			return k, nil
		}
		known = append(known, k.Name)
	}
	sort.Strings(known)
	return Kind{}, fmt.Errorf(
		"module: %q is not allowed; it must be auto or one of %s",
		name,
		strings.Join(known, ", "),
	)
}

// Options returns the options that a module of this name may have: of auto, those of every module that it may choose;
// of an unknown name, those of all.
func Options(name string) (options []any) {
	if k, err := Find(name); err == nil {
		return []any{k.Options}
	}
	for _, k := range All() {
		if k.Local || name != Auto {
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
	for _, k := range All() {
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
