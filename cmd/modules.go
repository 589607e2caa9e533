// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/spf13/cobra"
)

// newModulesCommand is libbeat's, which ends at the first module that does not exist, when those before it are enabled
// already, and does not say which there are.
func newModulesCommand(settings instance.Settings) *cobra.Command {
	c := libcmd.GenModulesCmd(Name, Version, modulesManager)
	for _, sub := range c.Commands() {
		var enable bool
		switch sub.Name() {
		case "enable":
			enable = true
		case "disable":
		default:
			continue
		}
		sub.Run, sub.RunE = nil, func(_ *cobra.Command, names []string) error {
			b, err := instance.NewInitializedBeat(settings)
			if err != nil {
				return err
			}
			manager, err := modulesManager(&b.Beat)
			if err != nil {
				return err
			}
			return switchModules(manager, names, enable)
		}
	}
	return c
}

// switchModules enables modules, or disables them; nothing is changed where one of them does not exist.
func switchModules(manager libcmd.ModulesManager, names []string, enable bool) error {
	var errs []error
	for _, name := range names {
		if !manager.Exists(name) {
			errs = append(errs, fmt.Errorf("there is no module %q; there are %s", name, strings.Join(existing(manager), ", ")))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	word, act := "disabled", manager.Disable
	if enable {
		word, act = "enabled", manager.Enable
	}
	for _, name := range names {
		if manager.Enabled(name) == enable {
			fmt.Printf("%s is already %s\n", name, word)
			continue
		}
		if err := act(name); err != nil {
			return fmt.Errorf("module %s is not %s: %w", name, word, err)
		}
		fmt.Println(strings.ToUpper(word[:1])+word[1:], name)
	}
	return nil
}

// existing are the names of the modules that have a file.
func existing(manager libcmd.ModulesManager) (names []string) {
	for _, list := range [][]*cfgfile.CfgFile{manager.ListEnabled(), manager.ListDisabled()} {
		for _, m := range list {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}
