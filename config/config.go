// SPDX-License-Identifier: Apache-2.0

// Package config is what a user may write under `reconbeat:` in reconbeat.yml, in modules.d and in rules.d: one tree of
// structs with its defaults and its checks.
//
// An error names the YAML path of a wrong setting, its value and what is allowed; all wrong settings are reported at
// once. The options of a module belong to the module; this package holds what every module has (processors, tags,
// fields, index ...).
package config

import (
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // for detector.timezone on a host without zoneinfo

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/common/fmtstr"
	"github.com/elastic/beats/v7/libbeat/processors"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/mapstr"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/dataset"
)

// Config is everything under `reconbeat:`.
type Config struct {
	Modules       []*conf.C             `config:"modules"`        // the static ones; empty, without modules.d: `auto`
	ConfigModules cfgfile.DynamicConfig `config:"config.modules"` // modules.d
	Detector      Detector              `config:"detector"`
	Controls      Controls              `config:"controls"`
	Events        string                `config:"events"`    // which raw events ship: matched, all or none
	Dataset       string                `config:"dataset"`   // the first part of the data streams' data sets
	Namespace     string                `config:"namespace"` // the last part of the data streams' names
	Heartbeat     Heartbeat             `config:"heartbeat"`
	Feedback      Feedback              `config:"feedback"`
	Notify        []*conf.C             `config:"notify"` // where alerts go beside the output; not under an Agent
}

// Feedback is everything under `reconbeat.feedback:`.
type Feedback struct {
	FromKibana *conf.C `config:"from_kibana"` // elasticsearch.TriageOptions; nil: nothing is read from Kibana
}

// Heartbeat is everything under `reconbeat.heartbeat:`.
type Heartbeat struct {
	Period time.Duration `config:"period"` // of the documents that report this host's health; 0: none
}

// Which raw events ship beside the alerts.
const (
	EventsMatched = "matched" // the execs that match a rule
	EventsAll     = "all"     // every exec
	EventsNone    = "none"    // alerts and summaries only
)

// Detector is everything under `reconbeat.detector:`.
type Detector struct {
	Model      string        `config:"model"`       // whose score a rule's threshold is for: context or rare
	Actor      string        `config:"actor"`       // login (the login user, else the real one), or user (the real one)
	Rules      []*conf.C     `config:"rules"`       // overrides of rules, by id
	RulesPath  string        `config:"rules_path"`  // the folder of the user's own rules, relative to path.config
	Timezone   string        `config:"timezone"`    // IANA name; empty: the host's
	BucketSpan time.Duration `config:"bucket_span"` // of the rare model
	MaxUsers   int           `config:"max_users"`   // that the rare model of one rule remembers
	MaxHosts   int           `config:"max_hosts"`   // whose contexts one rule remembers
	LearnFor   time.Duration `config:"learn_for"`   // how long the context model learns before it alerts
	HalfLife   time.Duration `config:"half_life"`   // after how long what the context model learned counts half
	Habit      Habit         `config:"habit"`
	Episode    Episode       `config:"episode"`
	Limit      Limit         `config:"limit"`
	Correlate  Correlation   `config:"correlation"`
	Severity   string        `config:"severity"` // of alerts: rule or banded
}

// Habit is everything under `reconbeat.detector.habit:`: when a context that alerted is the actor's habit, and their
// probation in it ends.
type Habit struct {
	Days int           `config:"days"` // on how many different days it must have been seen
	Span time.Duration `config:"span"` // and over how long
}

// Episode is everything under `reconbeat.detector.episode:`.
type Episode struct {
	Idle time.Duration `config:"idle"` // an episode closes after this long without an exec over the threshold
	Max  time.Duration `config:"max"`  // and after this long at the latest
	// GroupBy are the fields whose values an episode's matches have in common; none: the host and the actor.
	GroupBy       []string `config:"group_by"`
	MissingFields string   `config:"missing_fields_strategy"` // suppress or doNotSuppress
}

// Correlation is everything under `reconbeat.detector.correlation:`.
type Correlation struct {
	Enabled bool          `config:"enabled"`
	Window  time.Duration `config:"window"` // how long after its last alert a further one of the host belongs to it
}

// Limit is everything under `reconbeat.detector.limit:`.
type Limit struct {
	Alerts int           `config:"alerts"` // that a rule raises at most on a host within Per; 0: no limit
	Per    time.Duration `config:"per"`
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		ConfigModules: cfgfile.DynamicConfig{Reload: cfgfile.Reload{Period: 10 * time.Second}},
		Detector: Detector{
			Model:      detector.DefaultModel,
			Actor:      detector.DefaultActor,
			RulesPath:  "rules.d",
			BucketSpan: 15 * time.Minute,
			MaxUsers:   10000,
			MaxHosts:   detector.DefaultMaxHosts,
			LearnFor:   detector.DefaultLearnFor,
			HalfLife:   30 * 24 * time.Hour,
			Habit:      Habit(detector.DefaultHabit),
			Episode: Episode{
				Idle: 15 * time.Minute, Max: 24 * time.Hour, MissingFields: detector.MissingSuppress,
			},
			Limit: Limit(detector.DefaultLimit),

			Correlate: Correlation{Enabled: true, Window: detector.DefaultCorrelating.Window},
			Severity:  detector.SeverityRule,
		},
		Controls: Controls{
			ExceptionsPath: "exceptions.d", WindowsPath: "windows.d", OnboardingPath: "onboarding.d",
			Reload: cfgfile.Reload{Enabled: true, Period: 10 * time.Second},
		},
		Events:    EventsMatched,
		Dataset:   dataset.Prefix,
		Namespace: dataset.Namespace,
		Heartbeat: Heartbeat{Period: time.Minute},
	}
}

// Parse reads what stands under `reconbeat:`; nil is an empty file. The error names everything that is wrong.
func Parse(c *conf.C) (Config, error) {
	cfg := Default()
	if c == nil {
		return cfg, nil
	}
	err := settings.Read("reconbeat", c, &cfg)
	_, errNotify := cfg.Targets()
	return cfg, errors.Join(err, cfg.check(), errNotify, settings.Unknown("reconbeat", c, cfg))
}

// check returns every wrong value, not only the first.
func (c Config) check() error {
	var errs []error
	wrong := func(path string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("reconbeat.%s: %v is not allowed; it must be %s", path, value, allowed))
	}
	if c.Events != EventsMatched && c.Events != EventsAll && c.Events != EventsNone {
		wrong("events", quoted(c.Events), "matched, all or none")
	}
	const characters = `characters, lower case, without \ / * ? " < > | , # : - and blanks`
	if !dataStreamPart(c.Dataset, 80) {
		wrong("dataset", quoted(c.Dataset), "1 to 80 "+characters)
	}
	if !dataStreamPart(c.Namespace, 100) {
		wrong("namespace", quoted(c.Namespace), "1 to 100 "+characters)
	}
	d := c.Detector
	if d.Model != detector.ModelRare && d.Model != detector.ModelContext {
		wrong("detector.model", quoted(d.Model), "context or rare")
	}
	if d.LearnFor < 0 || d.LearnFor > 30*24*time.Hour {
		wrong("detector.learn_for", d.LearnFor, "0 to 720h")
	}
	if d.HalfLife < 24*time.Hour || d.HalfLife > 3650*24*time.Hour {
		wrong("detector.half_life", d.HalfLife, "24h to 87600h")
	}
	if d.Habit.Days < 1 || d.Habit.Days > 365 {
		wrong("detector.habit.days", d.Habit.Days, "1 to 365")
	}
	if d.Habit.Span < 0 || d.Habit.Span > 365*24*time.Hour {
		wrong("detector.habit.span", d.Habit.Span, "0 to 8760h")
	}
	if d.Actor != detector.ActorLogin && d.Actor != detector.ActorUser {
		wrong("detector.actor", quoted(d.Actor), "login or user")
	}
	if _, err := d.Location(time.UTC); err != nil {
		wrong("detector.timezone", quoted(d.Timezone),
			"an IANA time zone such as Europe/Berlin, or empty for the host's")
	}
	if d.BucketSpan < time.Minute || d.BucketSpan > 24*time.Hour || 24*time.Hour%d.BucketSpan != 0 {
		wrong("detector.bucket_span", d.BucketSpan, "1m to 24h and divide a day")
	}
	if d.MaxUsers < 100 || d.MaxUsers > 1000000 {
		wrong("detector.max_users", d.MaxUsers, "100 to 1000000")
	}
	if d.MaxHosts < 1 || d.MaxHosts > 100000 {
		wrong("detector.max_hosts", d.MaxHosts, "1 to 100000")
	}
	if d.Episode.Idle < time.Second || d.Episode.Idle > d.Episode.Max {
		wrong("detector.episode.idle", d.Episode.Idle, "at least 1s and at most detector.episode.max")
	}
	if d.Episode.Max > 7*24*time.Hour {
		wrong("detector.episode.max", d.Episode.Max, "at most 168h")
	}
	if by := d.Episode.GroupBy; len(by) > detector.MaxGroupFields || repeated(by) || slices.Contains(by, "") {
		wrong("detector.episode.group_by", by, "at most three different fields, or none for the actor")
	}
	if m := d.Episode.MissingFields; m != detector.MissingSuppress && m != detector.MissingDoNotSuppress {
		wrong("detector.episode.missing_fields_strategy", quoted(m), "suppress or doNotSuppress")
	}
	if n := d.Limit.Alerts; n < 0 || n > 10_000 {
		wrong("detector.limit.alerts", n, "1 to 10000, or 0 for no limit")
	}
	if d.Correlate.Window < time.Minute || d.Correlate.Window > 24*time.Hour {
		wrong("detector.correlation.window", d.Correlate.Window, "1m to 24h")
	}
	if d.Limit.Per < time.Minute || d.Limit.Per > 24*time.Hour {
		wrong("detector.limit.per", d.Limit.Per, "1m to 24h")
	}
	if d.Severity != detector.SeverityRule && d.Severity != detector.SeverityBanded {
		wrong("detector.severity", quoted(d.Severity), "rule or banded")
	}
	if p := c.Heartbeat.Period; p != 0 && (p < time.Second || p > 24*time.Hour) {
		wrong("heartbeat.period", p, "1s to 24h, or 0 for none")
	}
	if c.Controls.Reload.Enabled && c.Controls.Reload.Period < time.Second {
		wrong("controls.reload.period", c.Controls.Reload.Period, "at least 1s")
	}
	if c.ConfigModules.Reload.Enabled && c.ConfigModules.Reload.Period < time.Second {
		wrong("config.modules.reload.period", c.ConfigModules.Reload.Period, "at least 1s")
	}
	return errors.Join(errs...)
}

// repeated reports whether a value stands in a list more than once.
func repeated(list []string) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) < len(list)
}

// ControlItems reads the controls, as Controls.Items does, and checks them against the other settings.
func (c Config) ControlItems(in ControlFolders, zone *time.Location) (control.Items, error) {
	items, err := c.Controls.Items(in, zone)
	errs := []error{err}
	for _, n := range items.Newcomers {
		if n.Days > 0 && c.Detector.Model != detector.ModelContext {
			errs = append(errs, fmt.Errorf("onboarding %q: days: is only possible with detector.model: context, which knows "+
				"when somebody was first seen; write expires", n.ID))
		}
	}
	return items, errors.Join(errs...)
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// dataStreamPart reports whether a data set or a namespace keeps the rules of data stream names
// (https://www.elastic.co/docs/reference/ecs/ecs-data_stream): at most 100 bytes, of a data set with the kind that is
// appended.
func dataStreamPart(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'A' && r <= 'Z', r <= ' ', r == 0x7f:
			return false
		}
		for _, bad := range `\/*?"<>|,#:-` {
			if r == bad {
				return false
			}
		}
	}
	return true
}

// Location returns the configured time zone; otherwise where none is.
func (d Detector) Location(otherwise *time.Location) (*time.Location, error) {
	if d.Timezone == "" {
		return otherwise, nil
	}
	return time.LoadLocation(d.Timezone)
}

// Module is what every module has beside its own options.
type Module struct {
	// Module is auto, or the name of a kind of module.
	Module string `config:"module"`
	// ID distinguishes two modules of one kind, and keeps the place in a file; empty: the module's name.
	ID      string `config:"id"`
	Enabled *bool  `config:"enabled"` // nil: yes
	// EventMetadata has tags, fields and fields_under_root.
	mapstr.EventMetadata `config:",inline"`
	// Processors run before an event is judged; what they drop is counted and teaches nothing.
	Processors processors.PluginConfig `config:"processors"`
	// Index is where its documents go instead of the data streams, a format string.
	Index    fmtstr.EventFormatString `config:"index"`
	Pipeline string                   `config:"pipeline"`  // the ingest pipeline of its documents
	KeepNull bool                     `config:"keep_null"` // fields that its processors made null stay

	PublisherPipeline struct {
		DisableHost bool `config:"disable_host"` // its documents lack this host's name and description
	} `config:"publisher_pipeline"`
}

// ParseModule reads what every module has; the module's constructor reads the rest.
func ParseModule(c *conf.C) (Module, error) {
	var m Module
	if err := settings.Read("", c, &m); err != nil {
		return m, err
	}
	if m.Module == "" {
		return m, errors.New("module: is missing; it must be auto, audisp, auditd, auditlog, elasticsearch, ndjson or " +
			"procconn")
	}
	if m.ID == "" {
		m.ID = m.Module
	}
	return m, nil
}

// ModuleKeys returns an error for each unknown key of a module's configuration. It knows those of every module
// and those of the options.
func ModuleKeys(c *conf.C, options ...any) error {
	return settings.Unknown("", c, append([]any{Module{}}, options...)...)
}
