// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/icalendar"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/internal/printable"
)

func newWindowsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "windows",
		Short: "Maintenance and on-call times",
	}
	var zone string
	var named []string
	imports := &cobra.Command{
		Use:   "import FILE.ics",
		Short: "Make windows of a calendar, to review and save",
		Long: `import prints a file of windows, made of the events of a calendar (RFC 5545); - reads it from a pipe. Each
keeps its rule, the dates added to it and taken out, and what was moved or cancelled. Review it, add conditions and an
action, and save it into windows.d: as it is printed, it tags what happens in these times, and holds nothing back.

What cannot be a window is left out; standard error says which events, and why.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			zones, err := zonesOf(zone, named)
			if err != nil {
				return err
			}
			return importWindows(c, args[0], zones)
		},
	}
	imports.Flags().StringVar(&zone, "timezone", "", "IANA time zone of whole days, and of times without one; "+
		"empty: that of the host which reads the windows")
	imports.Flags().StringArrayVar(&named, "zone", nil, "NAME=ZONE: which IANA time zone the calendar means by a name; "+
		"may be repeated")
	c.AddCommand(imports)
	return c
}

// zonesOf checks what the flags say of time zones.
func zonesOf(floating string, named []string) (icalendar.Zones, error) {
	z := icalendar.Zones{Floating: floating, Named: map[string]string{}}
	known := func(name string) bool {
		_, err := time.LoadLocation(name)
		return err == nil && name != "Local"
	}
	if !known(floating) {
		return z, fmt.Errorf("--timezone %q is not allowed; it must be an IANA time zone such as Europe/Berlin", floating)
	}
	for _, pair := range named {
		name, zone, ok := strings.Cut(pair, "=")
		if !ok || name == "" || zone == "" || !known(zone) {
			return z, fmt.Errorf("--zone %q is not allowed; it must be NAME=ZONE, such as \"Our office=Europe/Berlin\"", pair)
		}
		z.Named[name] = zone
	}
	return z, nil
}

func importWindows(c *cobra.Command, path string, zones icalendar.Zones) error {
	in := io.NopCloser(c.InOrStdin())
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("reading the calendar: %w", err)
		}
		in = file
	}
	defer in.Close()
	windows, left, err := icalendar.Windows(in, zones)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, e := range left {
		fmt.Fprintf(os.Stderr, "left out: %s\n", printable.Text(e.Error()))
	}
	if len(windows) == 0 {
		fmt.Fprintln(os.Stderr, "The calendar has no event that can be a window.")
		return nil
	}
	for i := range windows {
		windows[i].Created = control.Moment(time.Now().Format(time.DateOnly))
	}
	fmt.Println("# Made of a calendar. Review it, add conditions and an action, and save it into windows.d: " +
		"docs/controls.md")
	if err := config.WriteWindows(os.Stdout, windows); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s, %d left out.\n", plural.Of(uint64(len(windows)), "window"), len(left))
	return nil
}
