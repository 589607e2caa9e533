// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
)

func newKnownSoftwareCommand(settings instance.Settings, p *places) *cobra.Command {
	return &cobra.Command{
		Use:   "known [ID...]",
		Short: "List the shipped exceptions for agents and tools, or print some to copy",
		Long: `known lists the known software: agents and tools that look at connections as part of their work. For each item
it says whether it is on, what it covers, and which public code or document shows that the software does so.

controls.known_software turns items on, by their ids, or all of them. With ids, known prints these items as a file of
exceptions, to narrow and save in exceptions.d in the place of the item that is shipped.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, ids []string) error {
			all, err := config.KnownSoftware()
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				return printKnownSoftware(all, ids)
			}
			return listKnownSoftware(c, settings, p, all)
		},
	}
}

// printKnownSoftware prints items as a file of exceptions.
func printKnownSoftware(all []control.Known, ids []string) error {
	var copies []control.Exception
	var errs []error
	for n, id := range ids {
		if slices.Contains(ids[:n], id) {
			continue // two items of one id would be refused
		}
		i := slices.IndexFunc(all, func(k control.Known) bool { return k.ID == id })
		if i < 0 {
			errs = append(errs, fmt.Errorf("known software %q is not in the list; it must be one of %s", id,
				strings.Join(idsOf(all), ", ")))
			continue
		}
		copies = append(copies, config.CopyOfKnown(all[i]))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("# Known software. Narrow it, save it in exceptions.d, and turn the item of this id off: docs/controls.md")
	return config.WriteExceptions(os.Stdout, copies)
}

func idsOf(all []control.Known) (ids []string) {
	for _, k := range all {
		ids = append(ids, k.ID)
	}
	return ids
}

func listKnownSoftware(c *cobra.Command, settings instance.Settings, p *places, all []control.Known) error {
	b, end, err := aside(c, settings, p, "it may turn items on which are shown as off")
	if err != nil {
		return err
	}
	defer end()
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return err
	}
	on, err := cfg.Controls.Known()
	if err != nil {
		return err
	}
	for _, k := range all {
		state := "off"
		if slices.Contains(idsOf(on), k.ID) {
			state = "on"
		}
		fmt.Printf("%-3s  %-26s %s\n", state, k.ID, k.Name)
		for _, line := range append([]string{k.Comment}, k.Source...) {
			fmt.Printf("%*s%s\n", ruleIndent, "", wrapped(os.Stdout, line, ruleIndent))
		}
	}
	fmt.Printf("%d of %d are on. Turn some on in controls.known_software, by their ids.\n", len(on), len(all))
	return nil
}
