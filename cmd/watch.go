// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/beats/v7/libbeat/outputs"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/state"
	"github.com/reconbeat/reconbeat/module/catalog"
)

// recording is ten days of a small host, in which a web server's account looks at the connections in the end.
//
//go:embed recording.ndjson.gz
var recording []byte

// recordingEnd is when it ends, recordingShown how much of its end is shown.
var recordingEnd = time.Date(2026, time.March, 11, 17, 0, 0, 0, time.UTC)

const recordingShown = 2 * time.Hour

// watchConfig is what `watch` runs with where the user brings no configuration.
const watchConfig = `
reconbeat.modules: [{module: auto}]
logging: {to_stderr: true, level: warning, metrics.enabled: false}
`

func newWatchCommand(settings instance.Settings, p *places) *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show every match on this host, with its score, as it happens",
		Long: `watch runs the whole Beat with a built-in configuration and shows what it would ship: every exec of a
discovery command as a row with its score, what is unusual with its reason, and alerts marked. As root it
reads the kernel's audit; as a plain user the process connector, which misses short programs. Where neither
works it says why and plays a bundled recording. Ctrl-C ends it with a summary.

It watches for itself, also beside a reconbeat that runs as a service: it shows its own matches, scored by a
model of its own that begins with nothing, and touches neither the service's state nor its journal. What it
learns is forgotten at its end, unless --path.data names a folder to keep it in. With -c it runs the modules,
rules and controls of that configuration. It ships nothing, notifies nobody and listens on no port.

With --demo it first plays ten days of another host in seconds, and then watches this host as if those days
had been its own: somebody who is not one of its users raises an alert at once. It keeps nothing of this.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := watch(c, settings, p, f); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil // interrupted while a recording was played
		},
	}
	c.Flags().StringVar(&f.format, "format", formatTable,
		"table for people, or ndjson: raw events and alerts as ECS documents, one a line")
	c.Flags().BoolVar(&f.demo, "demo", false, "play a recorded history first, and watch as if it were this host's")
	return c
}

type watchFlags struct {
	format string
	demo   bool
}

func watch(c *cobra.Command, settings instance.Settings, p *places, f watchFlags) error {
	if f.format != formatTable && f.format != formatNDJSON {
		return fmt.Errorf("--format %q is not allowed; it must be table or ndjson", f.format)
	}
	own := c.Flags().Changed("c")
	if f.demo && (p.state || own) {
		return errors.New("--demo shows another host's history and keeps nothing: it goes neither with " +
			"--path.data nor with -c")
	}
	s := &screen{out: os.Stdout}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(interrupted)
	if !own {
		kind, support, err := catalog.Choose()
		var none *catalog.NoSourceError
		if errors.As(err, &none) {
			return showRecording(s, f.format, none)
		} else if err != nil {
			return err
		}
		printSources([]beater.Watched{{Module: kind.Name, Support: support}})
	}
	home, err := scratch(p)
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if f.demo {
		if err := demonstrate(s, f.format, filepath.Join(home, "data", "state")); err != nil {
			return err
		}
	}
	if err := setFlags(c, home, f.format); err != nil {
		return err
	}
	// When nobody reads any more (watch | head), the Beat ends in order: the kernel's audit must be as it was.
	signal.Ignore(unix.SIGPIPE)
	outputs.RegisterType("terminal", newTerminal(s))
	silence := func() {}
	if f.format == formatTable && !asItIs(c) {
		if silence, err = logInSentences(s); err != nil {
			return err
		}
	}
	began := time.Now()
	s.forgetAlerts() // those of the recording
	s.live = true
	stop := showStatus(s)
	report := func([]beater.Watched) {} // it was said before
	if own {
		report = printSources
	}
	err = instance.Run(settings, endedBy(interrupted, beater.NewGuest(report)))
	n := stop()
	s.setStatus("")
	silence()
	if err != nil && n.execs == 0 { // it never watched
		return err
	}
	held := ""
	if n.held > 0 {
		held = fmt.Sprintf(" and %d held back by controls", n.held)
	}
	fmt.Fprintf(os.Stderr, "\n%s: %s seen, %d matched, %s%s, %d lost.\n", since(time.Since(began)),
		plural.Of(n.execs, "exec"), n.matched, plural.Of(n.alerts, "alert"), held, n.lost)
	return err
}

// endedBy makes a Beat that ends in order when a signal comes, also before libbeat takes signals: no folder is left
// behind, and the kernel's audit is as it was.
func endedBy(signals <-chan os.Signal, creator beat.Creator) beat.Creator {
	return func(b *beat.Beat, c *conf.C) (beat.Beater, error) {
		made, err := creator(b, c)
		if err == nil {
			go func() {
				<-signals
				made.Stop()
			}()
		}
		return made, err
	}
}

// printSources says what is watched, and what stays unseen.
func printSources(sources []beater.Watched) {
	for _, s := range sources {
		why := s.Why
		if len(s.Files) > 0 {
			why = "it reads " + strings.Join(s.Files, ", ")
		}
		fmt.Fprintf(os.Stderr, "Watching with %s: %s.\nIt sees %s.\nIt does not see %s.\n", s.Module, why,
			strings.Join(s.Sees, ", "), strings.Join(s.Blind, ", "))
	}
}

// alone are the settings with which a configuration that somebody watches with stays on this terminal, and out of the
// way of a Beat that runs with it: nothing listens, nothing ships, and no file of the configuration's is written.
var alone = []string{
	"http.enabled=false", "monitoring.enabled=false", "instrumentation.enabled=false", "setup.dashboards.enabled=false",
	"queue.mem.flush.min_events=1", "queue.mem.flush.timeout=0s",
	"logging.to_files=false", "logging.to_syslog=false", "logging.to_stderr=true", "logging.event_data.to_files=false",
}

// quietLog are those by which the log is worth reading between the rows.
var quietLog = []string{"logging.level=warning", "logging.metrics.enabled=false"}

// setFlags gives libbeat, which reads its configuration by flags alone, what to run with.
func setFlags(c *cobra.Command, home, format string) error {
	user := overwritten()
	set := []string{
		"output.terminal.format=" + format, "output.terminal.enabled=true", "reconbeat.heartbeat.period=0s",
	}
	if c.Flags().Changed("c") {
		// The user's own configuration runs, with its modules and rules, but shows what it would ship.
		for _, name := range []string{"elasticsearch", "logstash", "kafka", "redis", "file", "console", "discard"} {
			set = append(set, "output."+name+".enabled=false")
		}
		guest := slices.Clone(alone)
		if !asItIs(c) {
			guest = append(guest, quietLog...)
		}
		if file, err := common.LoadFiles(configurationFiles()...); err == nil && has(file, "queue.disk") {
			guest = append(guest, "queue.disk.enabled=false") // a folder that a Beat which runs has locked
		}
		for _, setting := range guest {
			if name, _, _ := strings.Cut(setting, "="); !has(user, name) {
				set = append(set, setting)
			}
		}
	} else {
		file := filepath.Join(home, Name+".yml")
		if err := os.WriteFile(file, []byte(watchConfig), 0o600); err != nil {
			return fmt.Errorf("writing the built-in configuration: %w", err)
		}
		takeConfiguration(file)
	}
	for _, setting := range set {
		if err := setFlag("E", setting); err != nil {
			return err
		}
	}
	return nil
}

// showStatus keeps the status line up to date until the function that it returns is called, which has the last numbers.
func showStatus(s *screen) (stop func() watchNumbers) {
	end, last := make(chan struct{}), make(chan watchNumbers)
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		var n watchNumbers
		for {
			select {
			case <-end:
				last <- n.now(s)
				return
			case <-tick.C:
				n = n.now(s)
				s.setStatus(fmt.Sprintf("execs %d  matched %d  alerts %d  lost %d   (ctrl-C ends)", n.execs, n.matched,
					n.alerts, n.lost))
			}
		}
	}()
	return func() watchNumbers {
		close(end)
		return <-last
	}
}

type watchNumbers struct {
	alertCounts
	execs, matched, lost int64
}

// now reads the Beat's own metrics. A module's go with the module, so that what was lost before is kept. Alerts are
// those that the screen has shown: tampering alerts are not a detector's.
func (before watchNumbers) now(s *screen) watchNumbers {
	flat := monitoring.CollectFlatSnapshot(monitoring.GetNamespace("stats").GetRegistry(), monitoring.Full, false)
	n := watchNumbers{
		alertCounts: s.counted(),
		execs:       flat.Ints["reconbeat.detector.execs"],
		matched:     flat.Ints["reconbeat.detector.matched"],
		lost:        flat.Ints["reconbeat.ring.dropped"],
	}
	for name, v := range flat.Ints {
		if strings.HasPrefix(name, "reconbeat.modules.") && strings.Contains(name, ".lost_") {
			n.lost += v
		}
	}
	n.lost = max(n.lost, before.lost)
	return n
}

// showRecording shows what an alert looks like where this host can show none.
func showRecording(s *screen, format string, why *catalog.NoSourceError) error {
	fmt.Fprintln(os.Stderr, "No source of live program starts works on this host:")
	for _, r := range why.Reasons {
		fmt.Fprintln(os.Stderr, "  "+r)
	}
	fmt.Fprintln(
		os.Stderr,
		"What would help: run as root on the host itself (not in a container), or give the user CAP_AUDIT_CONTROL.\n\n"+
			"Instead, here is a RECORDING, not this host: ten days of a web server, the last hours shown.",
	)
	n, _, err := play(s, format, 0, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nEnd of the RECORDING: %s seen, %d matched, %s.\n", plural.Of(n.Execs, "exec"),
		n.Matched, plural.Of(n.Alerts, "alert"))
	return nil
}

// demonstrate plays the recording, moved by whole weeks so that it ends in the last one, and leaves what it taught
// where the Beat takes it over.
func demonstrate(s *screen, format, stateDir string) error {
	const week = 7 * 24 * time.Hour
	fmt.Fprintln(os.Stderr, "\nDEMO. First a RECORDING, not this host: ten days of a web server, of which the "+
		"last hours are shown.")
	s.demo = demoRecorded
	n, model, err := play(s, format, time.Since(recordingEnd).Truncate(week), false)
	if err != nil {
		return err
	}
	s.demo = demoLive
	if err := state.WriteInbox(stateDir, beater.InboxModel, model); err != nil {
		return fmt.Errorf("handing over what the recording taught: %w", err)
	}
	fmt.Fprintf(os.Stderr, "End of the RECORDING: %s, %s. From here on THIS HOST, live, as if those "+
		"ten days had been its own.\n"+
		"Now be the intruder: run `ss -tan` in another terminal, as yourself or with `sudo -u nobody ss -tan`. "+
		"Nothing of this is kept.\n\n", plural.Of(n.Execs, "exec"), plural.Of(n.Alerts, "alert"))
	return nil
}

// play shows the end of the recording, moved by a time. It returns what there was in all of it, and the model that
// has learned it.
func play(s *screen, format string, by time.Duration, slowly bool) (n engine.ReplayCounts, model []byte, err error) {
	tty := term.IsTerminal(int(os.Stdout.Fd()))
	s.format, s.colour = format, tty && os.Getenv("NO_COLOR") == ""
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	file, err := writeRecording(by)
	if err != nil {
		return n, nil, err
	}
	defer os.Remove(file)
	r, err := engine.NewReplay(engine.ReplayOptions{Config: config.Default(), HostID: "recording", OneHost: true,
		Logger: logp.NewNopLogger(), Document: func(doc *beat.Event) error {
			if doc.Timestamp.Before(recordingEnd.Add(by - recordingShown)) {
				return nil
			}
			if tty && slowly {
				time.Sleep(60 * time.Millisecond) // so that it can be followed
			}
			return s.show(doc)
		}})
	if err != nil {
		return n, nil, err
	}
	if err := r.File(ctx, "ndjson", file); err != nil && ctx.Err() == nil {
		return n, nil, fmt.Errorf("playing the recording: %w", err)
	}
	model, err = r.Model()
	err = errors.Join(err, r.Finish())
	return r.Counts(), model, errors.Join(err, ctx.Err())
}

var recordedTime = regexp.MustCompile(`^\{"@timestamp":"([^"]+)"`)

// writeRecording puts the bundled recording, moved by a time, where a module can read it.
func writeRecording(by time.Duration) (string, error) {
	f, err := os.CreateTemp("", "reconbeat-recording-*.ndjson")
	if err != nil {
		return "", fmt.Errorf("writing the recording: %w", err)
	}
	defer f.Close()
	if err := copyRecording(f, by); err != nil {
		return "", errors.Join(fmt.Errorf("writing the recording: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func copyRecording(to io.Writer, by time.Duration) error {
	z, err := gzip.NewReader(bytes.NewReader(recording))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(to)
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		line := lines.Text()
		stamp := recordedTime.FindStringSubmatch(line)
		if stamp == nil {
			return fmt.Errorf("a line without its time: %s", line)
		}
		at, err := time.Parse(time.RFC3339, stamp[1])
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "{\"@timestamp\":%q%s\n", at.Add(by).Format("2006-01-02T15:04:05.000Z"), line[len(stamp[0]):])
	}
	return errors.Join(lines.Err(), w.Flush())
}
