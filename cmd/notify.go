// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/notify"
	"github.com/reconbeat/reconbeat/internal/printable"
)

func newTestNotifyCommand(settings instance.Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "notify [TARGET...]",
		Short: "Send one alert, marked as a test, to each target of reconbeat.notify, and say what each answered",
		Long: `notify sends one alert to every target that is configured under reconbeat.notify, or to those with the ids
given, once. The alert has reconbeat.alert.test: true, and its text says that it is a test. A program is run, whatever
it does: RECONBEAT_TEST is true for it, and the hooks that are shipped do not act then. A running reconbeat is not
disturbed.

The exit status is 1 when a target did not take it, or waits for the alerts of a rule that there is not.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, ids []string) error { return testNotify(c, settings, ids) },
	}
}

func testNotify(c *cobra.Command, settings instance.Settings, ids []string) error {
	b, err := instance.NewInitializedBeat(settings)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(b.Beat.BeatConfig)
	if err != nil {
		return err
	}
	items, err := cfg.Targets()
	if err != nil {
		return err
	}
	var known []string
	for _, item := range items {
		known = append(known, item.ID)
	}
	if len(known) == 0 {
		return errors.New("no target is configured; name one under reconbeat.notify")
	}
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return fmt.Errorf("target %q is not configured; there are %s", id, strings.Join(known, ", "))
		}
	}
	if err := checkRules(items, b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath), cfg.Detector.Rules); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	failed := false
	for _, item := range items {
		if len(ids) > 0 && !slices.Contains(ids, item.ID) {
			continue
		}
		began := time.Now()
		if err := notify.Try(ctx, item, notify.Sample(b.Info.Name, began), b.Info.Logger); err != nil {
			failed = true
			fmt.Printf("%s: failed: %s\n", item.ID, printable.Text(err.Error()))
			continue
		}
		fmt.Printf("%s: delivered after %s\n", item.ID, time.Since(began).Round(time.Millisecond))
	}
	if failed {
		return errors.New("not every target took the alert")
	}
	return nil
}

// checkRules returns an error for each target that waits for the alerts of a rule that there is not.
func checkRules(items []notify.Item, dir string, overrides []*conf.C) error {
	rules, err := config.LoadRules(dir, overrides)
	if err != nil {
		return err
	}
	var ids []string
	for _, rule := range rules {
		ids = append(ids, rule.ID)
	}
	var errs []error
	for i, item := range items {
		for j, id := range item.Rules {
			if !slices.Contains(ids, id) {
				errs = append(errs, fmt.Errorf("reconbeat.notify.%d.rules.%d: %q is the id of no rule; the rules are %s",
					i, j, id, strings.Join(ids, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}
