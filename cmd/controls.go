// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elastic/beats/v7/libbeat/asset"
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/mapping"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/report"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module/catalog"
)

func newControlsCommand(settings instance.Settings, p *places) *cobra.Command {
	c := &cobra.Command{
		Use:   "controls",
		Short: "What holds alerts back on this host",
	}
	var format string
	listing := &cobra.Command{
		Use:   "list",
		Short: "List the controls, and how often each was used",
		Long: `list shows every control that is configured: until when it holds, to how many matches it applied, and how many
alerts it held back. The counts are those of the running reconbeat, at most 30 seconds old; they outlive a restart.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listControls(settings, format) },
	}
	listing.Flags().StringVar(&format, "format", "text", "text or json")
	c.AddCommand(listing, newKnownSoftwareCommand(settings, p))
	return c
}

// controlFolders are the folders of controls, of a command whose own state is elsewhere than the service's, too. What
// was approved is left aside where this user may not read it.
func (p *places) controlFolders(b *instance.Beat, cfg config.Config) config.ControlFolders {
	in := engine.ControlFolders(b.Paths, cfg)
	if in.Approvals = filepath.Join(p.data, filepath.Base(in.Approvals)); unreadable(in.Approvals) {
		in.Approvals = ""
	}
	return in
}

// configuredControls are the controls of a Beat's configuration; p is of a command whose own state is elsewhere, else
// nil.
func configuredControls(b *instance.Beat, p *places, local *time.Location) (config.Config, control.Items, error) {
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return cfg, control.Items{}, err
	}
	zone, err := cfg.Detector.Location(local)
	if err != nil {
		return cfg, control.Items{}, err
	}
	in := engine.ControlFolders(b.Paths, cfg)
	if p != nil {
		in = p.controlFolders(b, cfg)
	}
	items, err := cfg.ControlItems(in, zone)
	return cfg, items, err
}

func listControls(settings instance.Settings, format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--format %q is not allowed; it must be text or json", format)
	}
	b, err := configured(settings)
	if err != nil {
		return err
	}
	_, items, err := configuredControls(b, nil, time.Local)
	if err != nil {
		return err
	}
	set, err := control.New(items)
	if err != nil {
		return err
	}
	dir := beater.StateDir(b.Paths)
	snap, err := state.ReadSnapshot(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(snap.Controls) > 0 {
		var earlier []control.Usage
		if err := json.Unmarshal(snap.Controls, &earlier); err != nil {
			return fmt.Errorf("reading how often controls were used from %s: %w", dir, err)
		}
		set.Inherit(earlier)
	}
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(set.Usage())
	}
	printControls(os.Stdout, set.Usage(), snap.Taken, time.Now())
	return nil
}

// printControls prints how often each was used until the state was saved; taken is zero where it never was.
func printControls(out io.Writer, all []control.Usage, taken, now time.Time) {
	if len(all) == 0 {
		fmt.Fprintln(out, "There are no controls: every match over its rule's threshold raises an alert.")
		return
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tKIND\tID\tACTION\tUNTIL\tMATCHES\tALERTS HELD BACK\tLAST MATCH\tNAME")
	for _, u := range all {
		state := "on"
		if u.Expired(now) {
			state = "expired"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", state, u.Kind, u.ID, u.Action,
			timeOr(u.Expires, "no end"), u.Matches, u.Alerts, timeOr(u.Last, "never"), cmp.Or(u.Name, "-"))
	}
	w.Flush()
	if !taken.IsZero() {
		fmt.Fprintf(out, "\nCounted until %s, when the state was saved.\n", taken.UTC().Format(time.RFC3339))
	}
}

func timeOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

// mostShare is the share of a history's matches from which on a control is noted as too wide.
const mostShare = 0.05

func newTestControlsCommand(settings instance.Settings, p *places) *cobra.Command {
	share := mostShare
	c := &cobra.Command{
		Use:   "controls [RECORDING...]",
		Short: "Check the controls, say what each means, and what it would hold back of a recording",
		Long: `controls checks the exceptions, windows and newcomers of the configuration and of their folders (exceptions.d,
windows.d, onboarding.d), what was approved, and the known software that is on. It says what each means, and notes
what is probably a mistake: an unknown field, conditions that can never hold, one that has expired or that another one
shadows.

With recordings, as replay reads them, it also says to how many matches each applies, how many alerts it would have
held back, and notes which are too wide.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, files []string) error {
			return testControls(c, settings, p, share, files)
		},
	}
	c.Flags().Float64Var(&share, "most", share, "the share of a recording's matches from which on an exception is too "+
		"wide, 0 to 1")
	return c
}

func testControls(c *cobra.Command, settings instance.Settings, p *places, share float64, files []string) error {
	if !(share >= 0 && share <= 1) {
		return fmt.Errorf("--most %v is not allowed; it must be 0 to 1", share)
	}
	b, end, err := aside(c, settings, p, "these are the settings that are built in")
	if err != nil {
		return err
	}
	defer end()
	cfg, items, err := configuredControls(b, p, time.Local)
	if err != nil {
		return err
	}
	set, err := control.New(items)
	if err != nil {
		return err
	}
	rulesDir := b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath)
	rules, err := config.LoadRules(rulesDir, cfg.Detector.Rules)
	if err != nil {
		return err
	}
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.ID)
	}
	known, err := fieldTypes()
	if err != nil {
		return err
	}
	now := time.Now()
	meanings := items.Meanings()
	for i, u := range set.Usage() {
		state := "on"
		if u.Expired(now) {
			state = "off"
		}
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%-3s  %-14s %-31s %s", state, u.Kind, u.ID, u.Name)))
		fmt.Printf("%*s%s\n", ruleIndent, "", wrapped(os.Stdout, meanings[i], ruleIndent))
	}
	notes := append(control.Lint(items, known, ids, now), unknownGroups(cfg, known)...)
	if len(files) > 0 {
		more, err := tryControls(c, b, cfg, set, share, files)
		if err != nil {
			return err
		}
		notes = append(notes, more...)
	}
	for _, n := range notes {
		fmt.Println("note: " + wrapped(os.Stdout, n, len("note: ")))
	}
	fmt.Println("Controls OK")
	return nil
}

// tryControls runs recordings through the controls, and says what each would have held back.
func tryControls(
	c *cobra.Command, b *instance.Beat, cfg config.Config, set *control.Set, share float64, files []string,
) (notes []string, err error) {
	cfg.Events = config.EventsNone
	r, err := engine.NewReplay(engine.ReplayOptions{
		Config: cfg, RulesPath: b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), Logger: b.Info.Logger, Controls: set,
		Document: func(*beat.Event) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.Files(c.Context(), catalog.Auto, files), r.Finish()); err != nil {
		return nil, fmt.Errorf("replaying: %w", err)
	}
	n := r.Counts()
	fmt.Printf("\n%s, %d matched, %s, %d held back by controls:\n", plural.Of(n.Execs, "exec"), n.Matched,
		plural.Of(n.Alerts, "alert"), n.Held)
	for _, u := range set.Usage() {
		part := float64(u.Matches) / float64(max(1, n.Matched))
		fmt.Printf("  %s %s applied to %s (%.1f%%) and held back %s\n", u.Kind, u.ID, plural.Of(u.Matches, "match"),
			100*part, plural.Of(u.Alerts, "alert"))
		switch {
		case u.Matches == 0 && u.Kind == control.KindKnown: // not every host has it
		case u.Matches == 0:
			notes = append(notes, fmt.Sprintf("%s %q: it applied to no match of the recording", u.Kind, u.ID))
		case part > share:
			notes = append(notes, fmt.Sprintf("%s %q: it applied to %.1f%% of all matches, more than %.1f%%, and is "+
				"probably too wide", u.Kind, u.ID, 100*part, 100*share))
		}
	}
	fmt.Println()
	return notes, nil
}

// unknownGroups notes the fields to group by that no alert has by itself.
func unknownGroups(cfg config.Config, known func(field string) string) (notes []string) {
	for i, field := range cfg.Detector.Episode.GroupBy {
		if known(field) == "" {
			notes = append(notes, fmt.Sprintf("reconbeat.detector.episode.group_by.%d: %q is unknown; unless a module's "+
				"`fields` or `processors` add it, all matches of a rule lack it, and missing_fields_strategy (%s) decides",
				i, field, cfg.Detector.Episode.MissingFields))
		}
	}
	return notes
}

// fieldTypes gives the types of the documents' fields by their names.
func fieldTypes() (func(string) string, error) {
	text, err := asset.GetFields(Name)
	if err != nil {
		return nil, fmt.Errorf("reading the list of fields: %w", err)
	}
	fields, err := mapping.LoadFields(text)
	if err != nil {
		return nil, fmt.Errorf("reading the list of fields: %w", err)
	}
	types := map[string]string{}
	var visit func(prefix string, all mapping.Fields)
	visit = func(prefix string, all mapping.Fields) {
		for _, f := range all {
			name := prefix + f.Name
			if len(f.Fields) == 0 {
				types[name] = cmp.Or(f.Type, "keyword")
				continue
			}
			visit(name+".", f.Fields)
		}
	}
	visit("", fields)
	return func(name string) string { return types[name] }, nil
}

// printHeld says what would have alerted.
func printHeld(out io.Writer, h *report.HeldBack) {
	if len(h.Lines()) == 0 {
		fmt.Fprintln(out, "No control held an alert back.")
		return
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tACTOR\tSCORE\tMATCHES\tHELD BACK BY\tRULE\tCOMMANDS")
	for _, l := range h.Lines() {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%d\t%s\t%s\t%s\n", l.From.Format(time.RFC3339), printable(l.Actor), l.Score,
			l.Matches, listOf(l.Controls), l.Rules, cut(printable(strings.Join(l.Commands, "; ")), 120))
	}
	w.Flush()
	if h.More() > 0 {
		fmt.Fprintf(out, "and %s more\n", plural.Of(h.More(), "match"))
	}
}

// list are the texts of a field.
func list(m mapstr.M, field string) []string {
	v, err := m.GetValue(field)
	if err != nil {
		return nil
	}
	texts, _ := v.([]string)
	return texts
}
