// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/go-ucfg"
	"github.com/elastic/go-ucfg/yaml"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/detector/rules"
)

// Options returns what the detector is made of: the settings here, and the rules that are shipped, in the folder, and
// overridden. local is the time zone of the host that the events are of. It is nil for a recording, which names none:
// then the zone is UTC, unless one is configured.
func (d Detector) Options(rulesDir string, local *time.Location) (detector.Options, error) {
	list, err := LoadRules(rulesDir, d.Rules)
	zone, errZone := d.Location(local)
	other, _ := d.Location(time.UTC)
	return detector.Options{
		Rules: list, Actor: d.Actor, EpisodeIdle: d.Episode.Idle, EpisodeMax: d.Episode.Max,
		Group:     detector.Grouping{Fields: d.Episode.GroupBy, Missing: d.Episode.MissingFields},
		Limit:     detector.Limit(d.Limit),
		Correlate: d.Correlate.correlating(),
		Severity:  d.Severity,
		MaxHosts:  d.MaxHosts,
		Rare:      rare.Options{BucketSpan: d.BucketSpan, MaxUsers: d.MaxUsers},
		Model:     d.Model, LearnFor: d.LearnFor, HalfLife: d.HalfLife, Habit: detector.Habit(d.Habit),
		Zone: zone, OtherZone: other,
	}, errors.Join(err, errZone)
}

// LoadRules returns the shipped rules, then those of dir: *.yml and *.yaml, one rule each. dir may be empty, or a
// folder that does not exist. overrides are mappings with the id of a rule and the keys to change. The error names
// everything that is wrong, each with its file or path, its value and what is allowed.
func LoadRules(dir string, overrides []*conf.C) ([]detector.Rule, error) {
	list, errs := shipped()
	var files []string
	patterns := []string{"*.yml", "*.yaml"}
	if dir == "" {
		patterns = nil
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for rules in %s: %w", dir, err))
		}
		files = append(files, found...)
	}
	from := map[string]string{}
	for _, r := range list {
		from[r.ID] = "the shipped rules"
	}
	for _, file := range files {
		text, err := readGuarded(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading a rule: %w", err))
			continue
		}
		r, err := parseRule(text)
		if err != nil {
			errs = append(errs, settings.At(file+": ", err))
			continue
		}
		if where, exists := from[r.ID]; exists {
			errs = append(errs, fmt.Errorf("%s: id: %q is already used by %s; choose another, "+
				"or change that rule under reconbeat.detector.rules", file, r.ID, where))
			continue
		}
		from[r.ID] = file
		list = append(list, r)
	}
	for i, o := range overrides {
		if !settings.IsMapping(o) {
			continue // Parse has said so
		}
		if err := override(list, o); err != nil {
			errs = append(errs, settings.At(fmt.Sprintf("reconbeat.detector.rules.%d.", i), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return list, nil
}

func shipped() (list []detector.Rule, errs []error) {
	files, err := fs.Glob(rules.Files, "*.yml")
	if err != nil {
		return nil, []error{err}
	}
	// The mission comes first: its bit in a rule set, and its place in lists.
	const mission = "network-connection-discovery.yml"
	slices.SortFunc(files, func(a, b string) int {
		if (a == mission) != (b == mission) {
			if a == mission {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, file := range files {
		r, err := readRule(rules.Files, file)
		if err != nil {
			errs = append(errs, settings.At("shipped rule "+file+": ", err))
		}
		list = append(list, r)
	}
	return list, errs
}

// ReadRule reads and checks the rule in one file.
func ReadRule(file string) (detector.Rule, error) {
	r, err := readRule(os.DirFS(filepath.Dir(file)), filepath.Base(file))
	return r, settings.At(file+": ", err)
}

func readRule(dir fs.FS, file string) (detector.Rule, error) {
	text, err := fs.ReadFile(dir, file)
	if err != nil {
		return detector.Rule{}, fmt.Errorf("reading a rule: %w", err)
	}
	return parseRule(text)
}

// parseRule makes a rule of YAML. What a rule leaves out has the mission's value, so that a user's rule is short.
func parseRule(text []byte) (r detector.Rule, err error) {
	defer func() {
		if p := recover(); p != nil { // the YAML library panics on some malformed documents
			err = fmt.Errorf("invalid YAML: %v", p)
		}
	}()
	if err := CheckYAML("", text); err != nil {
		return detector.Rule{}, err
	}
	c, err := yaml.NewConfig(text, ucfg.PathSep("."))
	if err != nil {
		return detector.Rule{}, invalidYAML(text, err)
	}
	if c.IsArray() {
		return detector.Rule{}, errors.New("a list is not allowed; it must be one rule, a mapping of settings")
	}
	r = detector.Rule{Enabled: true, Version: 1, Threshold: 25, Severity: "low", RiskScore: 21}
	tree := (*conf.C)(c)
	return r, settings.Behind(errors.Join(settings.Read("", tree, &r), settings.Unknown("", tree, r)), r.Check())
}

func override(list []detector.Rule, o *conf.C) error {
	id, errID := o.String("id", -1)
	i := slices.IndexFunc(list, func(r detector.Rule) bool { return r.ID == id })
	switch {
	case errID != nil:
		errID = errors.New("id: is missing; it must be the id of a rule")
	case i < 0:
		errID = fmt.Errorf("id: %q is unknown; the rules are %s", id, strings.Join(ids(list), ", "))
	}
	if errID != nil {
		var unknown detector.Rule
		return errors.Join(errID, settings.Read("", o, &unknown), settings.Unknown("", o, unknown))
	}
	changed := list[i]
	v := reflect.ValueOf(&changed).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Slice && o.HasField(v.Type().Field(i).Tag.Get("config")) {
			v.Field(i).SetZero() // a list replaces a list
		}
	}
	errRead := errors.Join(settings.Read("", o, &changed), settings.Unknown("", o, changed))
	if o.HasField("programs") && !o.HasField("except") {
		changed.Except = exceptionsOf(changed.Programs, changed.Except)
	}
	if err := settings.Behind(errRead, changed.Check()); err != nil {
		return err
	}
	list[i] = changed
	return nil
}

// exceptionsOf are the exceptions that are about these programs: those of a program that a rule no longer has go with
// it.
func exceptionsOf(programs []string, exceptions []detector.Except) (kept []detector.Except) {
	for _, e := range exceptions {
		about := slices.DeleteFunc(slices.Clone(e.Programs), func(p string) bool {
			return !slices.Contains(programs, p)
		})
		if len(e.Programs) == 0 || len(about) > 0 {
			e.Programs = about
			kept = append(kept, e)
		}
	}
	return kept
}

func ids(list []detector.Rule) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.ID
	}
	return out
}

// LintRules returns what is legal in rules and yet probably a mistake: a program of two enabled rules, a threshold that
// everybody or nobody reaches, a rule without ATT&CK ids or without a guide.
func LintRules(list []detector.Rule) []string {
	var notes []string
	note := func(r detector.Rule, format string, args ...any) {
		notes = append(notes, fmt.Sprintf("rule %q: ", r.ID)+fmt.Sprintf(format, args...))
	}
	owner := map[string]string{}
	for _, r := range list {
		if r.Enabled {
			for _, p := range r.Programs {
				if other := owner[p]; other != "" {
					note(r, "programs: %q is a program of rule %q, too; one exec will make two alerts", p, other)
				}
				owner[p] = r.ID
			}
		}
		if r.Threshold == 0 {
			note(r, "threshold: 0 alerts on every exec of every user")
		}
		if r.Threshold > 95 {
			note(r, "threshold: %v is hardly ever reached", r.Threshold)
		}
		if len(r.Threat) == 0 {
			note(r, "threat: is missing; alerts will not show in ATT&CK views")
		}
		if r.Note == "" {
			note(r, "note: is missing; whoever investigates an alert finds no guide in the rule")
		}
	}
	return notes
}

// correlating is what the detector goes by.
func (c Correlation) correlating() detector.Correlating {
	if !c.Enabled {
		return detector.Correlating{}
	}
	return detector.Correlating{Window: c.Window}
}
