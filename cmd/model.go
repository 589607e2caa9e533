// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/elastic/go-sysinfo"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/habit"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
	"github.com/reconbeat/reconbeat/internal/state"
)

// exported is what `model export` writes and `model import` reads.
type exported struct {
	Format  string          `json:"format"`  // exportFormat
	Version int             `json:"version"` // exportVersion
	Beat    string          `json:"beat"`    // the version of the reconbeat that wrote it
	Host    string          `json:"host"`    // where it was learned
	Taken   time.Time       `json:"taken"`
	Model   json.RawMessage `json:"model"`
}

const (
	exportFormat  = "reconbeat-model"
	exportVersion = 1
)

func newModelCommand(settings instance.Settings) *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Show, explain, move and mend what was learned on this host",
		Long: `model shows and changes what reconbeat has learned and keeps in --path.data. What it shows is at most half
a minute old. A change is left in the state's inbox: a running reconbeat takes it over within a second, a stopped
one when it starts. Until then the commands count it in, and say so. What replaces the whole model asks first,
where something was learned; --yes answers in scripts. The first snapshot of each of the last ten days is there to
go back to: see model revert.`,
	}
	var format string
	withFormat := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&format, "format", "text", "text for people, or json")
		return c
	}
	sure := &confirmation{}
	asking := func(c *cobra.Command) *cobra.Command {
		sure.flag(c)
		return c
	}
	c.AddCommand(
		withFormat(&cobra.Command{
			Use: "show", Short: "List everybody who is known, with what is usual for them", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return showModel(settings, format, "") },
		}),
		withFormat(&cobra.Command{
			Use: "explain USER", Short: "Show everything known of one user, by name or id", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return showModel(settings, format, args[0]) },
		}),
		&cobra.Command{
			Use:   "export [FILE]",
			Short: "Write what was learned to FILE, or to standard output",
			Args:  cobra.MaximumNArgs(1),
			RunE:  func(_ *cobra.Command, args []string) error { return exportModel(settings, args) },
		},
		asking(&cobra.Command{
			Use:   "import FILE",
			Short: "Put what another host exported in the place of what was learned here",
			Args:  cobra.ExactArgs(1),
			Long: `import puts an export in the place of what was learned here; - is standard input. What the exporting
host learned of itself counts for this host from then on: accounts with the same ids are taken to be the same. It is
meant for a host that was set up anew, and for the first days of one that is like another. Where something was learned
here it asks first.`,
			RunE: func(_ *cobra.Command, args []string) error { return importModel(settings, sure, args[0]) },
		}),
		&cobra.Command{
			Use: "forget USER", Short: "Make one user, by name or id, unknown again", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return forgetUser(settings, args[0]) },
		},
		asking(&cobra.Command{
			Use: "reset", Short: "Forget everything; learning begins anew", Args: cobra.NoArgs,
			Long: "reset says whom and what it is about to forget, and asks. Learning begins anew: for " +
				"detector.learn_for nothing alerts.",
			RunE: func(*cobra.Command, []string) error { return resetModel(settings, sure) },
		}),
		asking(&cobra.Command{
			Use:   "revert [DAY]",
			Short: "Go back to what was known when DAY began; without DAY, list the days",
			Args:  cobra.MaximumNArgs(1),
			Long: `revert goes back to the first snapshot of a day, YYYY-MM-DD in UTC. The last ten days with a ` +
				`snapshot are kept. Without DAY it lists them. Where something was learned since it asks first.`,
			RunE: func(_ *cobra.Command, args []string) error { return revertModel(settings, sure, args) },
		}),
	)
	return c
}

// ignorant makes a detector of the configuration that knows nothing, and returns where the state is.
func ignorant(b *instance.Beat) (dir string, d *detector.Detector, err error) {
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return "", nil, err
	}
	o, err := cfg.Detector.Options(b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), time.Local)
	if err != nil {
		return "", nil, err
	}
	d, err = detector.New(o)
	return beater.StateDir(b.Paths), d, err
}

// knowledge is what the Beat that keeps its state in dir knows, or will know once it has taken what waits for it.
type knowledge struct {
	dir      string
	detector *detector.Detector
	taken    time.Time // what is known is as of then; zero: nothing was ever learned there
}

// learned is known for a command that has only the settings.
func learned(settings instance.Settings) (knowledge, error) {
	b, err := configured(settings)
	if err != nil {
		return knowledge{}, err
	}
	return known(b)
}

// errNothingLearned wraps the reason for which a state knows nothing.
var errNothingLearned = errors.New("nothing has been learned yet")

// known reads the snapshot of the configured state, and does to it what the changes in the inbox will do.
func known(b *instance.Beat) (knowledge, error) {
	dir, d, err := ignorant(b)
	k := knowledge{dir: dir, detector: d}
	if err != nil {
		return k, err
	}
	// before the snapshot: who takes one between the two does so once more here, which changes nothing
	waiting, err := state.Waiting(dir)
	if err != nil {
		return k, err
	}
	snap, err := state.ReadSnapshot(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(waiting) == 0:
		return k, fmt.Errorf("%w in %s", errNothingLearned, dir)
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return k, err
	default:
		if err := d.Restore(snap.Model); err != nil {
			return k, fmt.Errorf("the state in %s: %w", dir, err)
		}
		k.taken = snap.Taken
	}
	var kinds []string
	for _, m := range waiting {
		kinds = append(kinds, m.Kind)
		if m.Written.After(k.taken) {
			k.taken = m.Written
		}
		if err := k.change(m.Kind, m.Payload); err != nil {
			return k, fmt.Errorf("what waits in the inbox of %s: %w", dir, err)
		}
	}
	if len(waiting) > 0 {
		fmt.Fprintf(os.Stderr, "%s (%s) in %s, not yet taken over by reconbeat, counted in what follows.\n",
			plural.Of(len(waiting), "change"), strings.Join(kinds, ", "), dir)
	}
	return k, nil
}

// change does what the Beat will do with a message.
func (k knowledge) change(kind string, payload []byte) error {
	switch kind {
	case beater.InboxModel:
		return k.detector.Restore(payload)
	case beater.InboxFeedback:
		fb, err := detector.ParseFeedback(payload)
		if err != nil {
			return err
		}
		k.detector.Said(fb)
	case beater.InboxForget:
		k.detector.Forget(string(payload))
	case beater.InboxReset:
		k.detector.Reset()
	}
	return nil
}

// names are those of everybody who is known, each once.
func (k knowledge) names() []string {
	all := map[string]bool{}
	for _, rule := range k.detector.Known("", k.taken) {
		for _, a := range rule.Actors {
			all[cmp.Or(a.Name, a.ID)] = true
		}
		for _, u := range rule.Users {
			all[u] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// loss says in words what is gone once something else takes the place of what the configured state knows; "" when
// nothing is.
func loss(b *instance.Beat) (dir, what string, err error) {
	k, err := known(b)
	if k.detector == nil {
		return k.dir, "", err // the configuration is wrong
	}
	if errors.Is(err, errNothingLearned) {
		return k.dir, "", nil
	}
	if err != nil {
		return k.dir, fmt.Sprintf("what was learned in %s, which cannot be read (%v)", k.dir, err), nil
	}
	names := k.names()
	if len(names) == 0 {
		return k.dir, "", nil
	}
	visits, began := 0, k.taken
	for _, rule := range k.detector.Known("", k.taken) {
		for _, a := range rule.Actors {
			visits += a.Visits
		}
		if !rule.Began.IsZero() && rule.Began.Before(began) {
			began = rule.Began
		}
	}
	return k.dir, fmt.Sprintf("what was learned in %s since %s: %s of %s (%s)", k.dir,
		began.UTC().Format(time.DateOnly), plural.Of(visits, "visit"), plural.Of(len(names), "user"), listOf(names)), nil
}

func showModel(settings instance.Settings, format, user string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--format %q is not allowed; it must be text or json", format)
	}
	k, err := learned(settings)
	if err != nil {
		return err
	}
	list := k.detector.Known(user, k.taken)
	if user != "" && len(list) == 0 {
		return k.stranger(user)
	}
	if format == "json" {
		return writeJSON(os.Stdout, list)
	}
	if len(list) == 0 {
		fmt.Println("No actor is known: there was no match since learning began.")
	}
	for i, one := range list {
		if i > 0 {
			fmt.Println()
		}
		printKnown(os.Stdout, one, k.taken, user != "")
	}
	return nil
}

func printKnown(out io.Writer, k detector.Known, taken time.Time, whole bool) {
	host := "this host"
	if k.Host != "" {
		host = "host " + printable.Text(k.Host)
	}
	fmt.Fprintf(out, "rule %s on %s", k.Rule, host)
	if !k.Began.IsZero() {
		fmt.Fprintf(out, ", learned since %s, as of %s", k.Began.UTC().Format(time.DateOnly),
			taken.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	if len(k.Users) > 0 {
		fmt.Fprintf(out, "users known to rare, the most frequent first: %s\n", printable.Text(strings.Join(k.Users, ", ")))
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	if !whole && len(k.Actors) > 0 {
		fmt.Fprintln(w, "ACTOR\tCLASS\tBY\tDAYS\tVISITS\tFIRST SEEN\tLAST SEEN\tUSUAL COMMAND\tFROM\tALSO RUNS")
	}
	for _, a := range k.Actors {
		name := a.ID
		if a.Name != "" && a.Name != a.ID {
			name = a.Name + " (" + a.ID + ")"
		}
		if a.Container != "" {
			name += " in " + a.Container
		}
		name = printable.Text(name)
		by := printable.Text(way(a))
		if !whole {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", name, a.Class, by, a.Days, a.Visits,
				a.First.UTC().Format(time.DateOnly), a.Last.UTC().Format(time.DateOnly), most(a.Features["command"]),
				most(a.Features["network"]), programs(a.Features["session"]))
			continue
		}
		fmt.Fprintf(w, "\n%s, %s, by %s\n", name, a.Class, by)
		fmt.Fprintf(w, "  seen\ton %s in %s, from %s to %s\n", plural.Of(a.Days, "day"), plural.Of(a.Visits, "visit"),
			a.First.UTC().Format(time.RFC3339), a.Last.UTC().Format(time.RFC3339))
		for _, feature := range slices.Sorted(maps.Keys(a.Features)) {
			fmt.Fprintf(w, "  %s\t%s\n", feature, listed(a.Features[feature]))
		}
		fmt.Fprintf(w, "  hours\t%s\n", strings.Trim(fmt.Sprint(a.Hours), "[]"))
	}
	if whole && len(k.Actors) > 0 {
		fmt.Fprintln(w,
			"\nIn brackets: in how many visits a value was seen, faded with the half-life; of session, in how many login "+
				"sessions the account ran a program, whatever a rule means. Hours are the host's.")
	}
	for _, p := range k.Probations {
		fmt.Fprintf(w, "\n%s is on probation since the alert %s of %s\n", printable.Text(p.Actor), p.AlertID,
			p.First.UTC().Format(time.RFC3339))
		fmt.Fprintf(w, "  context\t%s\n", printable.Text(strings.Join(p.Context, ", ")))
		fmt.Fprintf(w, "  seen\ton %s, last at %s; a habit at %s over %s\n", plural.Of(p.Days, "day"),
			p.Last.UTC().Format(time.RFC3339), plural.Of(p.Habit.Days, "day"),
			plural.Of(int(p.Habit.Span/(24*time.Hour)), "day"))
	}
	w.Flush()
}

// way is how an actor looks: by which program, or on a terminal or not.
func way(a habit.Profile) string {
	if a.Class == "person" {
		return map[string]string{"terminal": "terminal", "none": "no terminal"}[a.Way]
	}
	return cmp.Or(a.Way, "unknown")
}

// wayInWords says after a name how it starts the programs.
func wayInWords(a habit.Profile) string {
	switch w := way(a); {
	case w == "terminal":
		return "at a terminal"
	case w == "no terminal":
		return "without a terminal"
	case a.Way == "":
		return "through an unknown parent"
	default:
		return "through " + w
	}
}

// most is the value seen most.
func most(values []habit.Seen) string {
	if len(values) == 0 {
		return ""
	}
	return printable.Text(values[0].Value)
}

// programs are those that an account mostly runs beside.
func programs(seen []habit.Seen) string {
	const shown = 3
	var names []string
	for _, p := range seen[:min(shown, len(seen))] {
		names = append(names, printable.Text(p.Value))
	}
	return strings.Join(names, ", ")
}

// listed names values with how often each was seen, faded.
func listed(values []habit.Seen) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%s (%.1f)", printable.Text(cmp.Or(v.Value, "unknown")), v.Visits)
	}
	return strings.Join(words, ", ")
}

// stranger says that nobody is known by a name or id, and who is.
func (k knowledge) stranger(user string) error {
	return fmt.Errorf("nobody with the name or id %q is known in %s as of %s; known are: %s",
		user, k.dir, k.taken.UTC().Format(time.RFC3339), printable.Text(cmp.Or(strings.Join(k.names(), ", "), "none")))
}

func exportModel(settings instance.Settings, args []string) error {
	k, err := learned(settings)
	if err != nil {
		return err
	}
	model, err := k.detector.Learned()
	if err != nil {
		return err
	}
	e := exported{Format: exportFormat, Version: exportVersion, Beat: Version, Taken: k.taken, Model: model}
	if host, err := sysinfo.Host(); err == nil {
		e.Host = host.Info().Hostname
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the export: %w", err)
	}
	data = append(data, '\n')
	if len(args) == 0 || args[0] == "-" {
		_, err = os.Stdout.Write(data)
		return err
	}
	return os.WriteFile(args[0], data, 0o600) // it shows who works here, and when
}

func importModel(settings instance.Settings, sure *confirmation, file string) error {
	data, err := readAll(file)
	if err != nil {
		return fmt.Errorf("reading the export: %w", err)
	}
	var e exported
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s is not an export: %w", file, err)
	}
	if e.Format != exportFormat {
		return fmt.Errorf("%s is not an export: its format is %q, not %q", file, e.Format, exportFormat)
	}
	if e.Version != exportVersion {
		return fmt.Errorf("%s has version %d; this reconbeat knows version %d", file, e.Version, exportVersion)
	}
	b, err := configured(settings)
	if err != nil {
		return err
	}
	dir, d, err := ignorant(b)
	if err != nil {
		return err
	}
	if err := d.Restore(e.Model); err != nil { // before the Beat gets it, so that somebody sees the error
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := replaces(b, sure, "what "+file+" holds"); err != nil {
		return err
	}
	return leave(dir, beater.InboxModel, e.Model,
		fmt.Sprintf("take over what %s had learned by %s", e.Host, e.Taken.UTC().Format(time.RFC3339)))
}

func readAll(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

func revertModel(settings instance.Settings, sure *confirmation, args []string) error {
	b, err := configured(settings)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		days, err := state.Days(beater.StateDir(b.Paths))
		if err != nil {
			return err
		}
		if len(days) == 0 {
			return fmt.Errorf("no day's snapshot is kept yet in %s", beater.StateDir(b.Paths))
		}
		fmt.Println(strings.Join(days, "\n"))
		return nil
	}
	dir, d, err := ignorant(b)
	if err != nil {
		return err
	}
	snap, err := state.ReadDay(dir, args[0])
	if errors.Is(err, fs.ErrNotExist) {
		days, _ := state.Days(dir)
		return fmt.Errorf("no snapshot of %s is kept in %s; kept are: %s", args[0], dir,
			cmp.Or(strings.Join(days, ", "), "none"))
	} else if err != nil {
		return err
	}
	if err := d.Restore(snap.Model); err != nil {
		return fmt.Errorf("the snapshot of %s in %s: %w", args[0], dir, err)
	}
	model, err := d.Learned() // the episodes of that day are over
	if err != nil {
		return err
	}
	if err := replaces(b, sure, "what was known on "+args[0]); err != nil {
		return err
	}
	return leave(dir, beater.InboxModel, model, "go back to what was known at "+snap.Taken.UTC().Format(time.RFC3339))
}

// replaces asks before something takes the place of what was learned, where that is anything.
func replaces(b *instance.Beat, sure *confirmation, by string) error {
	_, lost, err := loss(b)
	if err != nil || lost == "" {
		return err
	}
	return sure.ask("put " + by + " in the place of " + lost)
}

func forgetUser(settings instance.Settings, user string) error {
	k, err := learned(settings)
	if err != nil {
		return err
	}
	if k.detector.Forget(user) == 0 {
		return k.stranger(user)
	}
	return leave(k.dir, beater.InboxForget, []byte(user), "forget "+user)
}

func resetModel(settings instance.Settings, sure *confirmation) error {
	b, err := configured(settings)
	if err != nil {
		return err
	}
	dir, lost, err := loss(b)
	if err != nil {
		return err
	}
	if lost == "" {
		// There may be no snapshot yet of a Beat that runs.
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w in %s", errNothingLearned, dir)
		}
		return leave(dir, beater.InboxReset, nil, "forget everything (nothing is known there now)")
	}
	if err := sure.ask("forget " + lost); err != nil {
		return err
	}
	return leave(dir, beater.InboxReset, nil, "forget "+lost)
}

// leave leaves a message in the inbox of a state.
func leave(dir, kind string, payload []byte, what string) error {
	if err := state.WriteInbox(dir, kind, payload); err != nil {
		return fmt.Errorf("leaving a change in %s: %w", dir, err)
	}
	fmt.Fprintf(os.Stderr, "left in %s: %s. reconbeat does it within a second, or at its next start.\n", dir, what)
	return nil
}
