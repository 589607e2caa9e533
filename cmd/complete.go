// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cfgfile"
	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/keystore"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/internal/printable"
	"github.com/reconbeat/reconbeat/internal/state"
)

// completion are the words that may stand next, of a Beat that has read its configuration.
type completion func(b *instance.Beat) ([]string, error)

// complete has shells complete modules, users, days, rules and the values of flags as they are on this host. What
// cannot be read, because of its rights, is not completed.
func complete(root *libcmd.BeatsRootCmd, settings instance.Settings, p *places) {
	words := func(of completion, many bool) cobra.CompletionFunc {
		return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 && !many {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			if err := p.settle(c, nil); err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			b, err := configured(settings)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			list, err := of(b)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for path, f := range map[string]cobra.CompletionFunc{
		"modules enable":  words(modules(libcmd.ModulesManager.ListDisabled), true),
		"modules disable": words(modules(libcmd.ModulesManager.ListEnabled), true),
		"alerts show":     words(alertIDs, false),
		"exception from":  words(alertIDs, false),
		"test notify":     words(targetIDs, true),
		"feedback undo":   words(alertIDs, false),
		"model explain":   words(users, false),
		"model forget":    words(users, false),
		"model revert":    words(days, false),
		"keystore remove": words(secrets, true),
		"keystore add":    cobra.NoFileCompletions,
	} {
		find(&root.Command, path).ValidArgsFunction = f
	}
	find(&root.Command, "controls known").ValidArgsFunction = func(
		*cobra.Command, []string, string,
	) ([]string, cobra.ShellCompDirective) {
		all, _ := config.KnownSoftware()
		return idsOf(all), cobra.ShellCompDirectiveNoFileComp
	}
	rules := find(&root.Command, "test rules")
	rules.ValidArgsFunction = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		list, _ := words(ruleIDs, true)(c, args, word)
		return list, cobra.ShellCompDirectiveDefault // a file, too
	}
	find(&root.Command, "feedback").ValidArgsFunction = func(
		c *cobra.Command, args []string, word string,
	) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return []string{detector.Benign, detector.Malicious, detector.Unsure}, cobra.ShellCompDirectiveNoFileComp
		}
		return words(alertIDs, false)(c, args, word)
	}
	for path, flags := range map[string]map[string]cobra.CompletionFunc{
		"approve":          {"rule": words(ruleIDs, true), "user": words(users, true)},
		"exception import": {"rule": words(ruleIDs, true)},
	} {
		for flag, f := range flags {
			if err := find(&root.Command, path).RegisterFlagCompletionFunc(flag, f); err != nil {
				panic(err) // only a flag that does not exist fails
			}
		}
	}
	for path, values := range map[string]map[string][]string{
		"watch":  {"format": {formatTable, formatNDJSON}},
		"alerts": {"format": {"text", "json"}},
		"replay": {
			"format": {formatTable, formatNDJSON, formatHTML}, "module": {"auto", "auditlog", "elasticsearch", "ndjson"},
		},
		"model show":    {"format": {"text", "json"}},
		"model explain": {"format": {"text", "json"}},
		"controls list": {"format": {"text", "json"}},
		"feedback list": {"format": {"text", "json"}},
	} {
		for flag, list := range values {
			if err := find(&root.Command, path).RegisterFlagCompletionFunc(flag,
				cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)); err != nil {
				panic(err) // only a flag that does not exist fails
			}
		}
	}
}

// find is the command of a path; a programmer's mistake where there is none.
func find(root *cobra.Command, path string) *cobra.Command {
	c, rest, err := root.Find(strings.Fields(path))
	if err != nil || len(rest) > 0 {
		panic("no command " + path)
	}
	return c
}

func modules(list func(libcmd.ModulesManager) []*cfgfile.CfgFile) completion {
	return func(b *instance.Beat) (names []string, err error) {
		m, err := modulesManager(&b.Beat)
		if err != nil {
			return nil, err
		}
		for _, file := range list(m) {
			names = append(names, file.Name)
		}
		return names, nil
	}
}

func users(b *instance.Beat) ([]string, error) {
	k, err := known(b)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(k.names(), func(name string) bool { return !printable.Plain(name) }), nil
}

// alertIDs are the ids of the alerts that are kept, with what each is about.
func alertIDs(b *instance.Beat) (ids []string, err error) {
	err = beater.NewAlertReader(b.Paths).Next(func(doc *beat.Event) error {
		if isAlert(text(doc.Fields, "event.action")) {
			ids = append(ids, text(doc.Fields, "event.id")+"\t"+text(doc.Fields, "message"))
		}
		return nil
	})
	return ids, err
}

func days(b *instance.Beat) ([]string, error) { return state.Days(beater.StateDir(b.Paths)) }

func secrets(b *instance.Beat) ([]string, error) {
	store, err := keystore.AsListingKeystore(b.Keystore())
	if err != nil {
		return nil, err
	}
	return store.List()
}

// targetIDs are the targets of reconbeat.notify.
func targetIDs(b *instance.Beat) (ids []string, err error) {
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return nil, err
	}
	items, err := cfg.Targets()
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids, err
}

func ruleIDs(b *instance.Beat) (ids []string, err error) {
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return nil, err
	}
	list, err := config.LoadRules(b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), cfg.Detector.Rules)
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids, err
}
