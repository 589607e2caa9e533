// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/outputs"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/monitoring"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
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
	var format string
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show every look at this host's network connections, with its score, as it happens",
		Long: `watch runs the whole Beat with a built-in configuration and shows what it would ship: every exec of a
discovery command as a row with its score, and alerts marked. As root it reads the kernel's audit; as a
plain user the process connector, which misses short programs. Where neither works it says why and plays
a bundled recording. It keeps what it learns only with --path.data. Ctrl-C ends it with a summary.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return watch(c, settings, p, format) },
	}
	c.Flags().StringVar(&format, "format", formatTable, "table for people, or ndjson: raw events and alerts as ECS documents, one a line")
	return c
}

func watch(c *cobra.Command, settings instance.Settings, p *places, format string) error {
	if format != formatTable && format != formatNDJSON {
		return fmt.Errorf("--format %q is not allowed; it must be table or ndjson", format)
	}
	s := &screen{out: os.Stdout}
	if !c.Flags().Changed("c") {
		kind, support, err := beater.Choose()
		var none *beater.NoSourceError
		if errors.As(err, &none) {
			return playRecording(s, format, none)
		} else if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "Watching with %s: %s.\nIt sees %s.\nIt does not see %s.\n", kind.Name, support.Why, strings.Join(support.Sees, ", "), strings.Join(support.Blind, ", "))
	}
	home, err := scratch(p)
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := setFlags(c, home, format); err != nil {
		return err
	}
	// When nobody reads any more (watch | head), the Beat ends in order: the kernel's audit must be as it was.
	signal.Ignore(unix.SIGPIPE)
	outputs.RegisterType("terminal", newTerminal(s))
	began := time.Now()
	stop := showStatus(s)
	err = instance.Run(settings, beater.New)
	stop()
	s.setStatus("")
	n := numbers()
	fmt.Fprintf(os.Stderr, "\n%s: %d execs seen, %d matched, %d alerts, %d lost.\n", since(time.Since(began)), n.execs, n.matched, n.alerts, n.lost)
	return err
}

// setFlags tells libbeat, which reads its configuration by flags alone, what to run with.
func setFlags(c *cobra.Command, home, format string) error {
	set := [][2]string{{"E", "output.terminal.format=" + format}, {"E", "output.terminal.enabled=true"}, {"E", "reconbeat.heartbeat.period=0s"}}
	if c.Flags().Changed("c") {
		// The user's own configuration runs, with its modules and rules, but shows what it would ship.
		for _, name := range []string{"elasticsearch", "logstash", "kafka", "redis", "file", "console", "discard"} {
			set = append(set, [2]string{"E", "output." + name + ".enabled=false"})
		}
	} else {
		file := filepath.Join(home, Name+".yml")
		if err := os.WriteFile(file, []byte(watchConfig), 0o600); err != nil {
			return fmt.Errorf("writing the built-in configuration: %w", err)
		}
		set = append(set, [2]string{"c", file})
	}
	for _, f := range set {
		if err := setFlag(f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

// showStatus keeps the status line up to date until the function that it returns is called.
func showStatus(s *screen) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				n := numbers()
				s.setStatus(fmt.Sprintf("execs %d  matched %d  alerts %d  lost %d   (ctrl-C ends)", n.execs, n.matched, n.alerts, n.lost))
			}
		}
	}()
	return func() { close(done) }
}

type watchNumbers struct{ execs, matched, alerts, lost int64 }

// numbers reads the Beat's own metrics.
func numbers() watchNumbers {
	flat := monitoring.CollectFlatSnapshot(monitoring.GetNamespace("stats").GetRegistry(), monitoring.Full, false)
	n := watchNumbers{
		execs:   flat.Ints["reconbeat.detector.execs"],
		matched: flat.Ints["reconbeat.detector.matched"],
		alerts:  flat.Ints["reconbeat.detector.alerts"],
		lost:    flat.Ints["reconbeat.ring.dropped"],
	}
	for name, v := range flat.Ints {
		if strings.HasPrefix(name, "reconbeat.modules.") && strings.Contains(name, ".lost_") {
			n.lost += v
		}
	}
	return n
}

// playRecording shows what an alert looks like where this host can show none.
func playRecording(s *screen, format string, why *beater.NoSourceError) error {
	fmt.Fprintln(os.Stderr, "No source of live program starts works on this host:")
	for _, r := range why.Reasons {
		fmt.Fprintln(os.Stderr, "  "+r)
	}
	fmt.Fprintln(os.Stderr, "What would help: run as root on the host itself (not in a container), or give the user CAP_AUDIT_CONTROL.\n\n"+
		"Instead, here is a RECORDING, not this host: ten days of a web server, the last hours shown.")
	tty := term.IsTerminal(int(os.Stdout.Fd()))
	s.format, s.colour = format, tty && os.Getenv("NO_COLOR") == ""
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	file, err := writeRecording()
	if err != nil {
		return err
	}
	defer os.Remove(file)
	cfg := config.Default()
	r, err := beater.NewReplay(beater.ReplayOptions{Config: cfg, HostID: "recording", Logger: logp.NewNopLogger(), Document: func(doc *beat.Event) error {
		if doc.Timestamp.Before(recordingEnd.Add(-recordingShown)) {
			return nil
		}
		if tty {
			time.Sleep(60 * time.Millisecond) // so that it can be followed
		}
		return s.show(doc)
	}})
	if err != nil {
		return err
	}
	if err := r.File(ctx, "ecs", file); err != nil && ctx.Err() == nil {
		return fmt.Errorf("playing the recording: %w", err)
	}
	if err := r.Finish(); err != nil {
		return err
	}
	n := r.Counts()
	fmt.Fprintf(os.Stderr, "\nEnd of the RECORDING: %d execs seen, %d matched, %d alerts.\n", n.Execs, n.Matched, n.Alerts)
	return nil
}

// writeRecording puts the bundled recording where a module can read it.
func writeRecording() (string, error) {
	f, err := os.CreateTemp("", "reconbeat-recording-*.ndjson.gz")
	if err != nil {
		return "", fmt.Errorf("writing the recording: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(recording); err != nil {
		return "", fmt.Errorf("writing the recording: %w", err)
	}
	return f.Name(), nil
}
