// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"strings"

	libcmd "github.com/elastic/beats/v7/libbeat/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reconbeat/reconbeat/config"
)

// names are a flag that may be repeated, with commas between several. An empty one is refused: left to themselves, the
// quotes of a shell's variable that has no value would stand for no restriction at all.
type names []string

// Set adds names.
func (n *names) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			return errors.New("it must be a name, or several with commas between them; one is empty")
		}
		*n = append(*n, one)
	}
	return nil
}

// String is how it would be typed.
func (n *names) String() string { return strings.Join(*n, ",") }

// Type is what the help calls the value.
func (*names) Type() string { return "strings" }

// arguments are the words that those commands of libbeat take that take any.
var arguments = map[string]struct {
	use  string
	args cobra.PositionalArgs
}{
	"modules enable":  {"enable MODULE...", cobra.MinimumNArgs(1)},
	"modules disable": {"disable MODULE...", cobra.MinimumNArgs(1)},
	"keystore add":    {"add KEY", cobra.ExactArgs(1)},
	"keystore remove": {"remove KEY...", cobra.MinimumNArgs(1)},
}

// overwrite is the flag -E. libbeat's own panics at some names and values.
type overwrite struct{ pflag.Value }

// Set takes over a setting, as libbeat does.
func (o overwrite) Set(text string) (err error) {
	name, value, _ := strings.Cut(text, "=")
	if err := config.CheckName(name); err != nil {
		return fmt.Errorf("%w; write -E SETTING=VALUE, such as -E reconbeat.events=all", err)
	}
	defer func() {
		if p := recover(); p != nil { // go-ucfg's parser of values, which looks behind their end
			err = fmt.Errorf("%s: the value %q ends too early; close its brackets and quotes", name, value)
		}
	}()
	return o.Value.Set(text)
}

// kinds are the types of flags' values, in words.
var kinds = map[string]string{
	"duration": "a duration such as 90s, 15m or 24h", "bool": "true or false", "int": "a whole number",
}

// refuseUnknown makes every command refuse words that mean nothing to it. Left to itself cobra shows the help of
// `model` for `model shwo`, and libbeat starts the Beat for `run extra`, both as if all were well.
func refuseUnknown(root *libcmd.BeatsRootCmd) {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if strings.HasPrefix(err.Error(), "unknown") {
			return fmt.Errorf("%w; `%s --help` has those that it knows", err, c.CommandPath())
		}
		var invalid *pflag.InvalidValueError
		if errors.As(err, &invalid) && kinds[invalid.GetFlag().Value.Type()] != "" {
			err = fmt.Errorf("--%s %q is not allowed; it must be %s", invalid.GetFlag().Name, invalid.GetValue(),
				kinds[invalid.GetFlag().Value.Type()])
		}
		return fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())
	})
	settings := root.PersistentFlags().Lookup("E")
	settings.Value = overwrite{settings.Value}
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Run, c.RunE = nil, help
			continue
		}
		refuse(c)
	}
}

// onlyHelp annotates commands that do nothing but list those below them.
const onlyHelp = "help"

func refuse(c *cobra.Command) {
	for _, below := range c.Commands() {
		refuse(below)
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = noSuchCommand
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		c.DisableFlagsInUseLine = true
		c.Annotations = map[string]string{onlyHelp: ""}
		return
	}
	args := c.Args
	if a, ok := arguments[pathTo(c)]; ok {
		c.Use, args = a.use, a.args
	} else if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, words []string) error {
		if err := args(c, words); err != nil {
			return fmt.Errorf("%w; usage: %s", err, c.UseLine())
		}
		return nil
	}
}

// noSuchCommand says what a word behind a group of commands may have been meant to be.
func noSuchCommand(c *cobra.Command, words []string) error {
	if len(words) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if names := c.SuggestionsFor(words[0]); len(names) > 0 {
		return fmt.Errorf("unknown command %q for %q; did you mean %s?", words[0], c.CommandPath(),
			strings.Join(names, " or "))
	}
	if !c.HasAvailableSubCommands() {
		return fmt.Errorf("unknown command %q for %q, below which there is none", words[0], c.CommandPath())
	}
	var names []string
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			names = append(names, below.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q; it has %s", words[0], c.CommandPath(), strings.Join(names, ", "))
}

// help is the command of that name. cobra's own is content with topics that do not exist.
func help(c *cobra.Command, words []string) error {
	about, rest, err := c.Root().Find(words)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return noSuchCommand(about, rest)
	}
	about.InitDefaultHelpFlag()
	about.InitDefaultVersionFlag()
	return about.Help()
}
