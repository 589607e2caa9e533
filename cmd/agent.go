// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/reconbeat/reconbeat/internal/component"
)

// atAgents are the Elastic Agents that a command is about.
type atAgents struct {
	homes   []string
	refresh bool          // only Agents that have the component already
	wait    time.Duration // how long a version may need that is being unpacked
}

func newAgentCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "agent",
		Short: "Have Elastic Agents on this host run reconbeat",
	}
	var at atAgents
	install := &cobra.Command{
		Use:   "install",
		Short: "Make this reconbeat a component of the Agents on this host",
		Long: `install puts this binary and its specification into the folder of components of every version of an Elastic
Agent on this host. An Agent finds it when it starts: restart it. An upgrade of the Agent brings a new folder: with the
packages, systemd runs install --refresh as soon as that appears (reconbeat-agent.path), and so does an upgrade of
reconbeat. Elastic does not support components that are not its own.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return installComponents(c.Context(), c.OutOrStdout(), at) },
	}
	install.Flags().BoolVar(&at.refresh, "refresh", false, "only into Agents that have reconbeat, in whichever version")
	install.Flags().DurationVar(&at.wait, "wait", 0, "wait up to so long for a version that is being unpacked")
	status := &cobra.Command{
		Use:   "status",
		Short: "Show which Agents on this host can run this reconbeat",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return showComponents(c.OutOrStdout(), at) },
	}
	remove := &cobra.Command{
		Use:   "remove",
		Short: "Take reconbeat out of the Agents on this host",
		Long: `remove takes the binary and its specification out of every version of an Elastic Agent on this host. What it
has learned stays in the Agent's folder. First take reconbeat out of the Agent's policy.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return removeComponents(c.OutOrStdout(), at) },
	}
	for _, one := range []*cobra.Command{install, status, remove} {
		one.Flags().StringArrayVar(&at.homes, "home", component.Homes, "where an Elastic Agent is installed; may be repeated")
		c.AddCommand(one)
	}
	return c
}

// restart is what an Agent needs when its components changed.
const restart = "An Agent reads its components when it starts: run `elastic-agent restart`."

// errNoAgent is the error where there is nothing to do.
var errNoAgent = errors.New("no Elastic Agent is installed")

// checkEvery is how often a version that is being unpacked is looked at: within the seconds between its components and
// its start, which reads them.
const checkEvery = 200 * time.Millisecond

// places are the versions of Agents that are installed; without one there is nothing to do.
func (a atAgents) places() ([]component.Place, error) {
	places, err := component.Find(a.homes)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%w in %s; name its home with --home", errNoAgent, strings.Join(a.homes, " or "))
	}
	return places, nil
}

// installComponents installs the component where it is to be; then, while a version of an Agent is being unpacked and
// there is time, again.
func installComponents(ctx context.Context, out io.Writer, at atAgents) error {
	until := time.Now().Add(at.wait)
	for {
		unpacking, err := component.Unpacking(at.homes)
		if err != nil {
			return err
		}
		if err := installComponent(out, at); err != nil || len(unpacking) == 0 || !time.Now().Before(until) {
			return err
		}
		fmt.Fprintf(out, "waiting for the components in %s\n", strings.Join(unpacking, " and "))
		if err := unpacked(ctx, unpacking, until); err != nil {
			return err
		}
	}
}

// unpacked waits until one of these folders has components, or is gone, or the time is over.
func unpacked(ctx context.Context, folders []string, until time.Time) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for time.Now().Before(until) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, folder := range folders {
			_, errFolder := os.Stat(folder)
			_, err := os.Stat(filepath.Join(folder, "components"))
			if err == nil || errors.Is(errFolder, fs.ErrNotExist) {
				return nil
			}
		}
	}
	return nil
}

func installComponent(out io.Writer, at atAgents) error {
	places, err := at.places()
	if errors.Is(err, errNoAgent) && at.refresh {
		return nil // nothing has it
	}
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	var errs []error
	states := map[component.Place]component.State{}
	has := map[string]bool{} // by the Agent's home
	for _, p := range places {
		state, err := p.State(self)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		states[p] = state
		has[p.Home] = has[p.Home] || state != component.Absent
	}
	changed := false
	for _, p := range places {
		state, known := states[p]
		switch {
		case !known:
		case state == component.Current || at.refresh && !has[p.Home]:
			fmt.Fprintf(out, "%s: %s\n", p.Folder, state)
		default:
			if err := p.Install(self); err != nil {
				errs = append(errs, err)
				continue
			}
			changed = true
			fmt.Fprintf(out, "%s: installed now\n", p.Folder)
		}
	}
	if changed {
		fmt.Fprintln(out, restart)
	}
	return errors.Join(errs...)
}

func showComponents(out io.Writer, at atAgents) error {
	places, err := at.places()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AGENT\tRECONBEAT\tFOLDER")
	var errs []error
	for _, p := range places {
		state, err := p.State(self)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Version, state, p.Folder)
	}
	return errors.Join(append(errs, w.Flush())...)
}

func removeComponents(out io.Writer, at atAgents) error {
	places, err := at.places()
	if err != nil {
		return err
	}
	var errs []error
	changed := false
	for _, p := range places {
		removed, err := p.Remove()
		switch {
		case err != nil:
			errs = append(errs, err)
		case removed:
			changed = true
			fmt.Fprintf(out, "%s: removed\n", p.Folder)
		default:
			fmt.Fprintf(out, "%s: not installed\n", p.Folder)
		}
	}
	if changed {
		fmt.Fprintln(out, restart)
	}
	return errors.Join(errs...)
}
