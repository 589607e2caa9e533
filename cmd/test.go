// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
)

func newTestModulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "modules",
		Short: "Tell which sources of program starts work on this host, and what each sees",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, k := range beater.Modules() {
				s := k.Probe()
				verdict := "no"
				if s.Works {
					verdict = "works"
				}
				fmt.Printf("%-9s %-5s  %s\n", k.Name, verdict, wrapped(s.Why, supportIndent))
				printSupport("sees: ", strings.Join(s.Sees, "; "))
				printSupport("does not see: ", strings.Join(s.Blind, "; "))
				printSupport("", s.Help)
			}
			kind, support, err := beater.Choose()
			if err != nil {
				fmt.Printf("\n%s\n", wrapped("auto would find nothing: "+err.Error(), 0))
				return nil
			}
			fmt.Printf("\n%s\n", wrapped("auto would choose "+kind.Name+": "+support.Why, 0))
			return nil
		},
	}
}

// supportIndent is where the column begins that tells about a module.
const supportIndent = 17

func printSupport(what, text string) {
	if text != "" {
		fmt.Printf("%*s%s\n", supportIndent, "", wrapped(what+text, supportIndent))
	}
}

// wrapped is a text that begins at a column, broken so that no word of it is cut at the terminal's edge. Who reads a pipe gets one line.
func wrapped(s string, column int) string {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return s
	}
	return wrap(s, column, width)
}

func wrap(s string, column, width int) string {
	var b strings.Builder
	at := column
	for i, word := range strings.Split(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			at += n
		case at+1+n > width:
			word, at = "\n"+strings.Repeat(" ", column)+word, column+n
		default:
			word, at = " "+word, at+1+n
		}
		b.WriteString(word)
	}
	return b.String()
}

func newTestRulesCommand(settings instance.Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "rules [FILE...]",
		Short: "Check the shipped rules, the configured ones in rules.d, or the files given",
		RunE: func(_ *cobra.Command, files []string) error {
			b, err := configured(settings)
			if err != nil {
				return err
			}
			cfg, err := config.Parse(b.Beat.BeatConfig)
			if err != nil {
				return err
			}
			return testRules(b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), cfg, files)
		},
	}
}

func testRules(dir string, cfg config.Config, files []string) error {
	var list []detector.Rule
	var err error
	if len(files) == 0 {
		list, err = config.LoadRules(dir, cfg.Detector.Rules)
	} else {
		var errs []error
		for _, file := range files {
			r, err := config.ReadRule(file)
			errs = append(errs, err)
			list = append(list, r)
		}
		err = errors.Join(errs...)
	}
	if err != nil {
		return err
	}
	for _, r := range list {
		on := "off"
		if r.Enabled {
			on = "on"
		}
		fmt.Printf("%-3s  %-32s threshold %-4v %s\n", on, r.ID, r.Threshold, strings.Join(r.Programs, " "))
	}
	for _, note := range config.LintRules(list) {
		fmt.Println("note: " + note)
	}
	fmt.Println("Rules OK")
	return nil
}
