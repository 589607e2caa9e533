// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

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
				fmt.Printf("%-9s %-5s  %s\n", k.Name, verdict, s.Why)
				printList("sees", s.Sees)
				printList("does not see", s.Blind)
				if s.Help != "" {
					fmt.Printf("%17s%s\n", "", s.Help)
				}
			}
			kind, support, err := beater.Choose()
			if err != nil {
				fmt.Printf("\nauto would find nothing: %v\n", err)
				return nil
			}
			fmt.Printf("\nauto would choose %s: %s\n", kind.Name, support.Why)
			return nil
		},
	}
}

func printList(what string, list []string) {
	if len(list) > 0 {
		fmt.Printf("%17s%s: %s\n", "", what, strings.Join(list, "; "))
	}
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
