// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/keystore"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/elastic/go-ucfg"
	"github.com/spf13/cobra"

	reconfig "github.com/reconbeat/reconbeat/config"
)

// heedless are the commands that work whatever stands in the configuration.
var heedless = []string{"agent install", "agent status", "agent remove", "diagnostics", "test modules",
	"windows import", "exception import", "version", "help"}

// checkStart looks for those mistakes in the configuration at which libbeat ends before it asks what else is wrong. It
// then reports everything that is. What cannot be read at all is left to libbeat.
func checkStart(c *cobra.Command) error {
	words := wordsOf(c)
	if slices.Contains(heedless, words) || words == "watch" && !c.Flags().Changed("c") || isCompletion(words) ||
		has(overwritten(), "management.enabled") {
		return nil
	}
	var keys []error
	for _, file := range configurationFiles() {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		wrong := reconfig.CheckYAML(file, text)
		if wrong == nil {
			if _, err := common.LoadFile(file); err != nil { // libbeat's message names no file
				wrong = fmt.Errorf("%s: invalid config: %w", file, err)
			}
		}
		keys = append(keys, wrong)
	}
	if err := errors.Join(keys...); err != nil {
		return err
	}
	file, err := common.LoadFiles(configurationFiles()...)
	if err != nil {
		return nil
	}
	notPaths := reconfig.CheckPaths(file)
	root, err := config.MergeConfigs(file, overwritten())
	if err != nil {
		return nil
	}
	unsetPaths := reconfig.UnsetPaths(root)
	// libbeat ends at the first variable that is not set, but for the commands by which it gets into the keystore.
	unset := reconfig.IsUnset(root) && !strings.HasPrefix(words, "keystore")
	wrong := errors.Join(notPaths, unsetPaths, reconfig.CheckStart(root)) // and root lacks it now
	if wrong == nil && !unset {
		return nil
	}
	if unsetPaths != nil {
		return wrong // where the keystore lies is unknown
	}
	err = errors.Join(instance.InitPaths(root), openKeystore(root))
	var whole *config.C
	if err == nil {
		whole, err = cfgfile.Load("", nil)
	}
	switch {
	case err != nil && wrong == nil:
		return nil // a command that needs it will say so
	case err != nil:
		return errors.Join(wrong, err)
	}
	info := beat.Info{Beat: Name, Version: Version, Logger: logp.NewNopLogger()}
	if err := checkFile(info, whole); err != nil || wrong == nil {
		return errors.Join(notPaths, err)
	}
	return errors.Join(notPaths, checkOurs(info, whole))
}

// openKeystore lets the configuration refer to secrets, as libbeat does.
func openKeystore(root *config.C) error {
	store, err := instance.LoadKeystore(root, Name, paths.Paths)
	if err != nil || store == nil {
		return err
	}
	config.OverwriteConfigOpts([]ucfg.Option{
		ucfg.PathSep("."), ucfg.Resolve(keystore.ResolverWrap(store)), ucfg.ResolveEnv, ucfg.VarExp,
	})
	return nil
}

func isCompletion(words string) bool {
	return strings.HasPrefix(words, "completion") || strings.HasPrefix(words, cobra.ShellCompRequestCmd)
}
