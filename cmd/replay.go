// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/detector/rare"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
	"github.com/reconbeat/reconbeat/internal/report"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module/catalog"
)

type replayFlags struct {
	module  string
	from    string
	format  string
	events  bool
	records bool
	job     string // that is compared; empty: none
	learn   bool
	host    string
	held    bool
	sure    confirmation
}

func newReplayCommand(settings instance.Settings, p *places) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [flags] FILE...",
		Short: "Judge recorded program starts: audit.log, NDJSON of other agents, or a cluster's history",
		Long: `replay runs recordings through the same detector as the live Beat. A FILE may be compressed (gzip, zstd, xz,
bzip2), may be a pipe, and may be - for standard input. Several files are read as one, in the order of their times, in
whatever order they are named. It starts knowing nothing and writes nothing; with --learn it saves what it learned as
this host's model, which a running reconbeat takes over within seconds and a stopped one at its next start.

With --module elasticsearch it takes no FILE. It reads, from the time that --from says, what other agents have shipped
to the cluster of the configured module elasticsearch, and judges each host by its own model. With --compare-job it
prints, in the place of the matches, what only a machine learning job has found, what only reconbeat has, and what both.

It ends, on standard error, with counts, the time and hosts of what was read, whom they taught, why nothing
alerted where nothing did, and what was passed over. The exit status is 1 when a file cannot be read, or nothing of
it can be understood; with --learn or --host also when it has no program start that counts.`,
		Args: func(c *cobra.Command, files []string) error {
			if f.module == clusterModule && len(files) > 0 {
				return fmt.Errorf("--module elasticsearch reads a cluster's history; leave out %s", strings.Join(files, " "))
			} else if f.module == clusterModule {
				return nil
			}
			return cobra.MinimumNArgs(1)(c, files)
		},
		RunE: func(c *cobra.Command, files []string) error { return replay(c, settings, p, &f, files) },
	}
	c.Flags().StringVar(&f.module, "module", "auto", "what the files are: auto (look), auditlog or ndjson; "+
		"elasticsearch: no files, but a cluster's history")
	c.Flags().
		StringVar(&f.from, "from", "", "with --module elasticsearch, from when on: now-60d, 2026-11-01, or beginning")
	c.Flags().
		StringVar(&f.format, "format", formatTable, "table for people; ndjson: ECS documents, one a line; html: one "+
			"page to read, print or file")
	c.Flags().
		BoolVar(&f.events, "events", false, "show the raw events too, not only alerts (the table and the page always "+
			"do)")
	c.Flags().
		BoolVar(&f.records, "records", false, "print every record of the rare model at its bucket's end, as NDJSON "+
			"in the shape of Elastic's anomaly records")
	c.Flags().StringVar(&f.job, "compare-job", "", "print what only this machine learning job has found in the same "+
		"time, what only reconbeat, and what both; the job's results are read from the cluster of module elasticsearch")
	c.Flags().BoolVar(&f.learn, "learn", false, "save what was learned as this host's model, in the place of the "+
		"one that is there")
	c.Flags().StringVar(&f.host, "host", "", "judge the events of this host alone, by its name or id; with --learn "+
		"of several hosts it says whose habits are meant, where that is not this host")
	c.Flags().BoolVar(&f.held, "explain-suppressed", false, "show what would have alerted instead of what does, and "+
		"which control held it back")
	f.sure.flag(c)
	return c
}

func replay(c *cobra.Command, settings instance.Settings, p *places, f *replayFlags, files []string) error {
	if f.module != catalog.Auto {
		kind, err := catalog.Find(f.module)
		if err != nil || !kind.Rereadable {
			return fmt.Errorf("--module %q is not allowed; it must be auto, auditlog, ndjson or elasticsearch", f.module)
		}
		f.module = kind.Name
	}
	since, err := f.since(time.Now())
	if err != nil {
		return err
	}
	if f.format != formatTable && f.format != formatNDJSON && f.format != formatHTML {
		return fmt.Errorf("--format %q is not allowed; it must be table, ndjson or html", f.format)
	}
	if f.held && (f.records || f.format == formatHTML) {
		return errors.New("--explain-suppressed is a table or NDJSON; it goes together neither with --records nor with " +
			"--format html")
	}
	if f.records && f.format == formatHTML {
		return errors.New("--records prints NDJSON, which --format html has no place for")
	}
	if f.job != "" && (f.records || f.events || f.held || f.format == formatHTML) {
		return errors.New("--compare-job prints the comparison alone: leave out --records, --events, " +
			"--explain-suppressed and --format html")
	}
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	s := &screen{out: out, format: f.format, colour: term.IsTerminal(int(os.Stdout.Fd())) &&
		os.Getenv("NO_COLOR") == ""}
	if !f.learn {
		folder, err := scratch(p)
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
	}
	read := configured
	if !f.learn && f.module != clusterModule {
		read = readable(c, "these files are judged with the settings that are built in")
	}
	b, silence, err := inSentences(c, s, func() (*instance.Beat, error) { return read(settings) })
	if err != nil {
		return err
	}
	if f.learn {
		if err := replaces(b, &f.sure, f.teaching()); err != nil {
			return err
		}
	}
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return err
	}
	cfg.Events = config.EventsNone
	if f.events || f.held || f.format == formatHTML || f.format == formatTable && !f.records {
		cfg.Events = config.EventsMatched
	}
	rules := b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath)
	controls, err := engine.NewControls(cfg, p.controlFolders(b, cfg), nil)
	if err != nil {
		return err
	}
	var compared *comparison
	if f.job != "" {
		if compared, err = newComparison(f.job, cfg, rules); err != nil {
			return err
		}
	}
	found := report.Report{Idle: cfg.Detector.Episode.Idle}
	held := report.HeldBack{Idle: cfg.Detector.Episode.Idle}
	o := engine.ReplayOptions{
		Config:    cfg,
		RulesPath: rules,
		Logger:    b.Info.Logger,
		OwnHost:   f.learn && f.module != clusterModule, // a cluster has many hosts, each with its own model
		OnlyHost:  f.host,
		Controls:  controls,
		Document: func(doc *beat.Event) error {
			switch {
			case compared != nil:
				compared.document(doc)
				return nil
			case f.held:
				if held.Add(doc) && f.format == formatNDJSON {
					return s.show(doc)
				}
				return nil
			case f.format == formatHTML:
				found.Add(doc)
				return nil
			}
			if f.records && f.format == formatTable {
				return nil // records were asked for, and they are not a table
			}
			return s.show(doc)
		},
	}
	if f.format == formatHTML {
		o.Malformed = found.AddMalformed
	}
	if compared != nil {
		o.Config.Events, o.Record = config.EventsMatched, compared.record
	}
	if f.records {
		o.Record = func(rule *detector.Rule, r rare.Record) { writeRecord(out, rule, r) }
	}
	r, err := engine.NewReplay(o)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	if compared != nil {
		if err := compared.ask(ctx, b, cfg, since); err != nil {
			return err
		}
	}
	if f.module == clusterModule {
		files, err = replayCluster(ctx, r, b, cfg, f.from)
	} else {
		stop := showProgress(r, files)
		err = untilInterrupted(ctx, func() error { return r.Files(ctx, f.module, files) })
		stop()
	}
	switch {
	case ctx.Err() == nil:
	case err == nil || errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	default:
		err = fmt.Errorf("interrupted; before that: %w", err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replaying: %w", err), out.Flush())
	}
	var nothing error
	switch {
	case r.Counts().Execs == 0 && f.learn:
		nothing = errors.New("nothing was learned, because no program start was read; the model stays as it is")
	case r.Counts().Execs == 0 && f.host != "":
		nothing = fmt.Errorf("--host %q: no program start of this host was read", f.host)
	case f.learn:
		if err := learn(b.Paths, r); err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	summary := r.Summary()
	err = r.Finish()
	n := r.Counts()
	if f.format == formatHTML {
		facts := report.Facts{
			Files: files, Version: b.Info.Version, LearnFor: summary.LearnFor,
			Execs: n.Execs, Matched: n.Matched, Alerts: n.Alerts, Malformed: n.Malformed, Unnamed: n.Unnamed,
		}
		if n.Alerts == 0 {
			facts.Silence = quiet(summary, n)
		}
		err = errors.Join(err, found.Write(out, facts))
	}
	if compared != nil {
		compared.within(summary.First, summary.Last)
		err = errors.Join(err, compared.write(out, f.format))
	}
	if f.held && f.format == formatTable {
		printHeld(out, &held)
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	silence()
	fmt.Fprintf(os.Stderr, "%s, %d matched, %s, %d malformed%s%s%s\n", plural.Of(n.Execs, "exec"), n.Matched,
		plural.Of(n.Alerts, "alert"), n.Malformed, unnamed(n.Unnamed), incomplete(n.Incomplete), truncated(n.Truncated))
	if line := byControls(controls.Usage()); line != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	if n.Limited > 0 {
		fmt.Fprintf(os.Stderr, "detector.limit held back %s over the threshold, which its summaries count.\n",
			plural.Of(n.Limited, "match"))
	}
	for _, line := range inWords(summary, n) {
		fmt.Fprintln(os.Stderr, line)
	}
	if line := passedOver(summary.Passed); line != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	return nothing
}

// byControls says what controls held back, those first that held back most; empty: nothing.
func byControls(all []control.Usage) string {
	slices.SortStableFunc(all, func(a, b control.Usage) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(b.Matches, a.Matches))
	})
	var parts []string
	for _, u := range all {
		if u.Matches > 0 && u.Action != detector.Tag {
			parts = append(parts, fmt.Sprintf("%s %s held back %s in %s", u.Kind, u.ID, plural.Of(u.Alerts, "alert"),
				plural.Of(u.Matches, "match")))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Controls: " + listOf(parts) + "."
}

// passedOver says what was not judged, by reason, and where the first of each stands; empty: nothing.
func passedOver(list []engine.Passed) string {
	if len(list) == 0 {
		return ""
	}
	var all uint64
	var reasons []string
	for _, p := range list {
		all += p.Count
		reason := fmt.Sprintf("%d times %s", p.Count, p.What)
		if p.Count == 1 {
			reason = "once " + p.What
		}
		switch {
		case p.File != "" && p.Line == 0:
			reason += fmt.Sprintf(" (first %s)", p.File)
		case p.File != "":
			reason += fmt.Sprintf(" (first %s, line %d)", p.File, p.Line)
		case p.Host != "":
			reason += fmt.Sprintf(" (first %s, of %s)", p.Host, p.At.UTC().Format(time.RFC3339))
		case !p.At.IsZero():
			reason += fmt.Sprintf(" (first of %s)", p.At.UTC().Format(time.RFC3339))
		}
		reasons = append(reasons, reason)
	}
	return fmt.Sprintf("Passed over %d: %s.", all, strings.Join(reasons, "; "))
}

// incomplete reports of how many execs a part is missing, where there were any.
func incomplete(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d incomplete", n)
}

// truncated reports of how many execs the arguments were cut, where there were any.
func truncated(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d truncated", n)
}

// inWords says what the files were, whom they taught, and why nothing alerted where nothing did.
func inWords(s engine.ReplaySummary, n engine.ReplayCounts) (lines []string) {
	if s.First.IsZero() {
		if n.Records == 0 {
			return []string{"Nothing was read that starts a program."}
		}
		return []string{fmt.Sprintf("Nothing was read that starts a program: of %s none reports one.",
			plural.Of(n.Records, "line"))}
	}
	const minute = "2006-01-02 15:04 MST"
	line := fmt.Sprintf("From %s to %s, %s", s.First.UTC().Format(minute), s.Last.UTC().Format(minute),
		report.Span(s.Last.Sub(s.First)))
	if len(s.Hosts) > 0 {
		line += fmt.Sprintf(", on %s: %s", plural.Of(len(s.Hosts), "host"), listOf(s.Hosts))
	}
	lines = append(lines, line+".")
	if s.Disorder > time.Minute {
		lines = append(lines, fmt.Sprintf("Events were not in the order of their times, by up to %s, and were sorted.",
			report.Span(s.Disorder)))
	}
	var actors []string
	users := map[string]bool{}
	for _, k := range s.Known {
		for _, a := range k.Actors {
			name := userInWords(a.Name, a.ID)
			users[name] = true
			who := fmt.Sprintf("%s %s (%s)", name, wayInWords(a), plural.Of(a.Visits, "visit"))
			if k.Host != "" && len(s.Hosts) > 1 {
				who += " on " + k.Host
			}
			actors = append(actors, who)
		}
		for _, u := range k.Users {
			if _, err := strconv.ParseUint(u, 10, 32); err == nil {
				u = "uid " + u
			}
			users[cmp.Or(u, unknownUser)] = true
		}
	}
	if len(users) > 0 {
		lines = append(lines, fmt.Sprintf("Matches of %s: %s.", plural.Of(len(users), "user"),
			listOf(slices.Sorted(maps.Keys(users)))))
	}
	if len(actors) > 0 {
		lines = append(lines, fmt.Sprintf("Learned %s: %s.", plural.Of(len(actors), "actor"), listOf(actors)))
	}
	if n.Tampered > 0 {
		lines = append(lines, fmt.Sprintf("Tampering with audit: %s, which the number of alerts of matches leaves out.",
			plural.Of(n.Tampered, "alert")))
	}
	if n.Alerts == 0 {
		lines = append(lines, quiet(s, n))
	}
	return lines
}

// unknownUser stands for who is named nowhere, neither by name nor by id.
const unknownUser = "an unknown user"

// userInWords is a user's name, else the id.
func userInWords(name, id string) string {
	if name == "" && id != "" {
		return "uid " + id
	}
	return cmp.Or(name, unknownUser)
}

// quiet says why there was no alert.
func quiet(s engine.ReplaySummary, n engine.ReplayCounts) string {
	switch {
	case len(s.Rules) == 0:
		return "Nothing could alert: no rule is enabled."
	case n.Matched == 0:
		return "Nothing could alert: no program start matched the enabled rules, which are " +
			strings.Join(s.Rules, ", ") + "."
	case s.Learned < s.LearnFor:
		return fmt.Sprintf("No match could alert: what was read spans %s, and for the first %s of a host "+
			"(detector.learn_for) reconbeat only learns.", report.Span(s.Learned), report.Span(s.LearnFor))
	case n.Held > 0:
		return "Nothing alerted: controls held back " + plural.Of(n.Held, "alert") + "."
	}
	return fmt.Sprintf("No match alerted: after %s of learning no match was over the threshold.",
		report.Span(cmp.Or(s.LearnFor, s.Learned)))
}

// listOf is the first words of a list, printable, and how many there are beside them.
func listOf(words []string) string {
	const most = 12
	list := strings.Join(words[:min(most, len(words))], ", ")
	if more := len(words) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return printable.Text(list)
}

// unnamed reports how many matches have no named actor, where there were any.
func unnamed(n uint64) string {
	if n == 0 {
		return ""
	}
	return ", " + plural.Of(n, "match") + " without a user"
}

// configured reads the configuration as every libbeat command does, but takes the built-in one when the user names none
// and there is none.
func configured(settings instance.Settings) (*instance.Beat, error) {
	if named := flag.Lookup("c"); named == nil || named.Value.String() == Name+".yml" {
		if _, err := os.Stat(cfgfile.GetDefaultCfgfile()); errors.Is(err, os.ErrNotExist) {
			return builtIn(settings)
		}
	}
	return instance.NewInitializedBeat(settings)
}

// readable is how a command reads its configuration that does without one which this user cannot read. It then
// says so, and what it does instead.
func readable(c *cobra.Command, instead string) func(instance.Settings) (*instance.Beat, error) {
	if c.Flags().Changed("c") || !unreadable(cfgfile.GetDefaultCfgfile()) {
		return configured
	}
	fmt.Fprintf(os.Stderr, "%s cannot be read by this user: %s.\n", cfgfile.GetDefaultCfgfile(), instead)
	return builtIn
}

// builtIn takes the built-in configuration.
func builtIn(settings instance.Settings) (*instance.Beat, error) {
	empty, err := os.CreateTemp("", "reconbeat-*.yml")
	if err != nil {
		return nil, fmt.Errorf("writing the built-in configuration: %w", err)
	}
	defer os.Remove(empty.Name())
	defer empty.Close()
	if _, err := empty.WriteString("logging: {to_stderr: true, level: warning}\n"); err != nil {
		return nil, fmt.Errorf("writing the built-in configuration: %w", err)
	}
	takeConfiguration(empty.Name())
	defer takeConfiguration(Name + ".yml")
	return instance.NewInitializedBeat(settings)
}

// untilInterrupted runs what reads. A second after ctx has ended it leaves behind what still waits for a pipe's writer:
// nothing wakes that.
func untilInterrupted(ctx context.Context, read func() error) error {
	done := make(chan error, 1)
	go func() { done <- read() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return ctx.Err()
	}
}

// longFile is the size of all files that makes the progress worth a line.
const longFile = 16 << 20

func showProgress(r *engine.Replay, files []string) (stop func()) {
	name := files[0]
	if len(files) > 1 {
		name = plural.Of(len(files), "file")
	}
	return statusLine(func() string {
		read, size := r.Read()
		if size < longFile {
			return ""
		}
		return progress(name, read, size)
	})
}

// statusLine keeps a line on the terminal up to date until stop, where somebody looks.
func statusLine(line func() string) (stop func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	s := &screen{out: os.Stderr, status: true, colour: os.Getenv("NO_COLOR") == ""}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.setStatus(line())
			case <-done:
				s.setStatus("")
				return
			}
		}
	}()
	return func() { close(done); <-gone }
}

// progress says how much of a file has been read. It fits on a line, which is redrawn in place.
func progress(file string, read, size int64) string {
	read = min(read, size) // a file that grows
	return fmt.Sprintf("%s: %d of %d MB, %d%%", cut(filepath.Base(file), 40), read>>20, size>>20, 100*read/size)
}

// record is an anomaly record in the shape of Elastic's results index.
type record struct {
	ResultType         string  `json:"result_type"`
	JobID              string  `json:"job_id"`
	Timestamp          int64   `json:"timestamp"` // of the bucket's start, in milliseconds
	BucketSpan         int64   `json:"bucket_span"`
	Function           string  `json:"function"`
	ByFieldName        string  `json:"by_field_name"`
	ByFieldValue       string  `json:"by_field_value"`
	Probability        float64 `json:"probability"`
	RecordScore        float64 `json:"record_score"`
	InitialRecordScore float64 `json:"initial_record_score"`
	IsInterim          bool    `json:"is_interim"`
}

func writeRecord(w io.Writer, rule *detector.Rule, r rare.Record) {
	line, err := printable.JSON(record{
		ResultType:         "record",
		JobID:              rule.ID,
		Timestamp:          r.BucketStart.UnixMilli(),
		BucketSpan:         int64(r.BucketSpan.Seconds()),
		Function:           "rare",
		ByFieldName:        "user.name",
		ByFieldValue:       r.User,
		Probability:        r.Probability,
		RecordScore:        r.Score,
		InitialRecordScore: r.Score,
	})
	if err == nil {
		_, _ = w.Write(append(line, '\n'))
	}
}

// learn puts what a replay learned where the Beat on this host takes it over.
func learn(p *paths.Path, r *engine.Replay) error {
	model, err := r.Model()
	if err != nil {
		return fmt.Errorf("saving what was learned: %w", err)
	}
	dir := beater.StateDir(p)
	if err := state.WriteInbox(dir, beater.InboxModel, model); err != nil {
		return fmt.Errorf("saving what was learned in %s: %w", dir, err)
	}
	if other := r.Adopted(); other != "" {
		fmt.Fprintf(os.Stderr, "learned: the files are about the host %s alone; its habits become this host's.\n", other)
	}
	fmt.Fprintf(os.Stderr, "learned: saved in %s. reconbeat takes it over within a second, or at its next start.\n",
		dir)
	return nil
}
