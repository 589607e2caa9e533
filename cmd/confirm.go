// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/keystore"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// errDeclined ends a command that somebody was asked about.
var errDeclined = errors.New("nothing was changed")

// confirmation is a command's flag --yes, which answers for who is not there.
type confirmation struct{ yes bool }

func (y *confirmation) flag(c *cobra.Command) {
	c.Flags().BoolVarP(&y.yes, "yes", "y", false, "do it without asking")
}

// ask returns nil when whoever runs the command wants what the question says.
func (y *confirmation) ask(what string) error {
	if y.yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return fmt.Errorf("this would %s, and there is no terminal to ask on: say --yes", what)
	}
	fmt.Fprintf(os.Stderr, "This will %s. Go on? [y/N] ", what)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// askBeforeSecrets keeps libbeat's commands of the keystore from asking where nobody answers: they would take the
// secret for the answer, or panic. The commands work while what the configuration refers to is missing.
func askBeforeSecrets(store *cobra.Command, s *stackSetup) {
	for _, c := range store.Commands() {
		name := c.Name()
		c.PreRunE = func(c *cobra.Command, _ []string) error {
			s.secrets = true
			if name != "create" && name != "add" {
				return nil
			}
			force, _ := c.Flags().GetBool("force") // libbeat has given both this flag
			fromStdin := c.Flags().Lookup("stdin") != nil && c.Flags().Changed("stdin")
			if term.IsTerminal(int(os.Stdin.Fd())) && !fromStdin {
				return nil
			}
			if name == "add" && !fromStdin {
				return errors.New("standard input is not a terminal that could ask for the secret: pipe the secret " +
					"in and say --stdin")
			}
			if force {
				return nil
			}
			there, _, err := storedSecrets()
			switch {
			case err != nil:
				return err
			case name == "create" && there:
				return errors.New("there is a keystore already; --force replaces it, and the secrets in it are lost")
			case name == "add" && !there:
				return errNoKeystore
			}
			return nil
		}
		if name == "list" {
			c.PostRunE = func(*cobra.Command, []string) error { return noSecrets() }
		}
	}
}

var errNoKeystore = fmt.Errorf("there is no keystore yet: `%s keystore create` makes one", Name)

// noSecrets says why a list of secrets is empty, if it is.
func noSecrets() error {
	there, names, err := storedSecrets()
	switch {
	case err != nil:
		return err
	case !there:
		fmt.Fprintln(os.Stderr, errNoKeystore)
	case len(names) == 0:
		fmt.Fprintf(os.Stderr, "the keystore is empty: `%s keystore add NAME` puts a secret into it\n", Name)
	}
	return nil
}

// storedSecrets looks for the keystore where libbeat does: whether it is there, and the names of what it holds.
func storedSecrets() (there bool, names []string, err error) {
	if err := cfgfile.HandleFlags(); err != nil {
		return false, nil, fmt.Errorf("reading the flags: %w", err)
	}
	cfg, err := cfgfile.Load("", nil)
	if err != nil {
		return false, nil, fmt.Errorf("error loading config file: %w", err)
	}
	if err := instance.InitPaths(cfg); err != nil {
		return false, nil, err
	}
	store, err := instance.LoadKeystore(cfg, Name, paths.Paths)
	if err != nil {
		return false, nil, fmt.Errorf("opening the keystore: %w", err)
	}
	if listing, err := keystore.AsListingKeystore(store); err == nil {
		if names, err = listing.List(); err != nil {
			return false, nil, fmt.Errorf("reading the keystore: %w", err)
		}
	}
	return store.IsPersisted(), names, nil
}
