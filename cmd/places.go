// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/elastic/beats/v7/libbeat/cfgfile"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/common"
	"github.com/elastic/elastic-agent-libs/config"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	reconfig "github.com/reconbeat/reconbeat/config"
)

// places settles where reconbeat finds its files, before libbeat looks. Each of libbeat's four paths comes from the
// first of these that names it: the user's flag, wherever in the command line it stands; the configuration file; the
// installation, by a variable of the environment; and for path.config the folder of the configuration file, in which
// modules.d and rules.d lie. A user with a configuration of their own, who may not write where the installation keeps
// state and log, has these at home.
type places struct {
	state   bool   // the user names the folder of the state
	data    string // the folder of the state, as far as it is known before the configuration is read
	secrets bool   // the configuration says where the keystore is
}

// installed is the variable in which an installation names one of libbeat's paths.
func installed(path string) string { return "RECONBEAT_PATH_" + strings.ToUpper(path) }

// settle runs when the command line was read, and before libbeat reads it.
func (p *places) settle(c *cobra.Command, _ []string) error {
	if _, reads := c.Annotations[onlyHelp]; reads {
		return nil // nothing is read
	}
	if err := readOnce(c.Root()); err != nil {
		return err
	}
	user := overwritten()
	if err := reconfig.CheckPaths(user); err != nil {
		return err // no path could be set
	}
	p.state = says(user, "data")
	// The configuration is looked for in these two.
	for _, path := range []string{"home", "config"} {
		if err := fromInstallation(user, path); err != nil {
			return err
		}
	}
	file, err := common.LoadFiles(configurationFiles()...)
	if err != nil {
		if err := errors.Join(forRoot(c), inThisFolder(c)); err != nil {
			return err
		}
		file = config.NewConfig() // whoever needs it reports what is wrong with it
	}
	own := err == nil && c.Flags().Changed("c") && !ofInstallation(configurationFiles())
	for _, path := range []string{"data", "logs"} {
		place := fromInstallation
		if (own || p.state) && forbidden(path) {
			place = atHome
		}
		if says(file, path) {
			continue
		}
		if err := place(user, path); err != nil {
			return err
		}
	}
	p.data, p.secrets = dataFolder(file), has(file, "keystore.path") || has(user, "keystore.path")
	if err == nil && !says(file, "config") && !says(user, "config") {
		if err := besideConfiguration(); err != nil {
			return err
		}
	}
	if err := errors.Join(p.kept(c), noLogFile(c, user)); err != nil {
		return err
	}
	return checkStart(c)
}

// logging are the commands that write a log file: those that run for long. `export config` shows what the others
// change.
var logging = []string{Name, "run", "watch", "replay", "export config"}

// noLogFile keeps a short command from writing into the folder of the service's log. Each would begin a file of its own
// there, and each takes the oldest away. With -e it logs as ever.
func noLogFile(c *cobra.Command, user *config.C) error {
	if slices.Contains(logging, wordsOf(c)) || has(user, "logging.to_files") {
		return nil
	}
	return setFlag("E", "logging.to_files=false")
}

// besideConfiguration makes path.config the folder of the first configuration file. To libbeat the files are relative
// to path.config, so they must not be any more.
func besideConfiguration() error {
	files := configurationFiles()
	for i, file := range files {
		file, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("looking for the folder of %s: %w", file, err)
		}
		files[i] = file
	}
	if err := configureBy(files...); err != nil {
		return err
	}
	return setFlag("path.config", filepath.Dir(files[0]))
}

// unconfigured are the commands that do something useful for a user who may not read the configuration that was found.
var unconfigured = []string{
	"watch", "replay", "diagnostics", "test modules", "test rules", "test controls", "controls known",
	"windows import", "exception import", "agent install", "agent status", "agent remove", "version", "help",
}

// forRoot says what to do where a command needs a configuration that this user may not read.
func forRoot(c *cobra.Command) error {
	if !installedHere(c) && (!c.Flags().Changed("c") || isCompletion(wordsOf(c))) {
		return nil
	}
	for _, file := range configurationFiles() {
		if unreadable(file) {
			return fmt.Errorf("%s cannot be read by this user: run `sudo %s`, or name another file with -c",
				file, commandLine())
		}
	}
	return nil
}

// wordsOf are the words that name a command, without that of the Beat.
func wordsOf(c *cobra.Command) string { return strings.TrimPrefix(c.CommandPath(), Name+" ") }

// installedHere reports whether a command works with what the installation has: its configuration, its state, or both.
func installedHere(c *cobra.Command) bool {
	words := wordsOf(c)
	if words == "exception from" && c.Flags().Changed("in") {
		return false // it reads that file alone
	}
	// replay without --learn keeps nothing
	return !isCompletion(words) && (!slices.Contains(unconfigured, words) || c.Flags().Changed("learn"))
}

// kept says what to do where a command needs the folder of the state, which this user may not enter.
func (p *places) kept(c *cobra.Command) error {
	closed := errors.Is(unix.Access(p.data, unix.X_OK), unix.EACCES)
	if !installedHere(c) || !closed && (p.secrets || !unreadable(filepath.Join(p.data, Name+".keystore"))) {
		return nil
	}
	return fmt.Errorf("%s, where reconbeat keeps its state and its secrets, cannot be read by this user: run `sudo %s`, "+
		"or name another folder with --path.data", p.data, commandLine())
}

// inThisFolder says how to name a configuration that was looked for beside the installation's, and lies in the folder
// that the user is in.
func inThisFolder(c *cobra.Command) error {
	if !c.Flags().Changed("c") {
		return nil
	}
	for _, file := range flag.Lookup("c").Value.(*config.StringsFlag).List() {
		here, err := filepath.Abs(file)
		if err != nil || filepath.IsAbs(file) || !isThere(here) || isThere(filepath.Join(cfgfile.GetPathConfig(), file)) {
			continue
		}
		return fmt.Errorf("%s is missing in %s, where a relative -c is looked for; say -c %s for the one in this folder",
			file, cfgfile.GetPathConfig(), here)
	}
	return nil
}

func isThere(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// ofInstallation reports whether the configuration is the one that the installation has.
func ofInstallation(files []string) bool {
	folder := os.Getenv(installed("config"))
	return folder != "" && filepath.Dir(files[0]) == filepath.Clean(folder)
}

// forbidden reports whether this user may not write where the installation has one of the paths.
func forbidden(path string) bool {
	folder := os.Getenv(installed(path))
	return folder != "" && errors.Is(unix.Access(folder, unix.W_OK|unix.X_OK), unix.EACCES)
}

// atHome puts one of the paths that the user does not name below their home.
func atHome(user *config.C, path string) error {
	if says(user, path) {
		return nil
	}
	folder := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(folder) {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("%s cannot be written by this user, and there is no home; name a folder with --path.%s: %w",
				os.Getenv(installed(path)), path, err)
		}
		folder = filepath.Join(home, ".local", "state")
	}
	return setFlag("path."+path, filepath.Join(folder, Name, path))
}

// commandLine is what the user has typed, for them to type again.
func commandLine() string {
	line := Name
	for _, word := range os.Args[1:] {
		if word == "" || strings.ContainsAny(word, " \t\n\"'`$&|;<>()*?[]{}#~!\\") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		line += " " + word
	}
	return line
}

// takeConfiguration makes a file the only configuration. Set as a flag it would be read beside the one that is there.
func takeConfiguration(file string) { flag.Lookup("c").Value.(*config.StringsFlag).SetDefault(file) }

// configureBy lets libbeat read these files, and none that was named or found before.
func configureBy(files ...string) error {
	takeConfiguration(files[0])
	for _, file := range files {
		if err := setFlag("c", file); err != nil {
			return err
		}
	}
	return nil
}

// readOnce keeps libbeat from reading flags once more. It would read those before the subcommand alone, which would
// then win over the ones behind it.
func readOnce(root *cobra.Command) error {
	c, rest, err := root.Find(os.Args[1:])
	if err != nil {
		return err
	}
	words := strings.Fields(c.CommandPath())[1:]
	if len(words) == 0 {
		words = []string{"run"}
	}
	// libbeat stops at the first word, and starts anew with all of them
	os.Args = append(append([]string{os.Args[0]}, words...), rest...)
	return nil
}

// fromInstallation takes over what the installation says of a path that the user does not name.
func fromInstallation(user *config.C, path string) error {
	value := os.Getenv(installed(path))
	if value == "" || says(user, path) {
		return nil
	}
	return setFlag("path."+path, value)
}

// overwritten is what flags say in the place of the configuration file.
func overwritten() *config.C { return flag.Lookup("E").Value.(*config.SettingsFlag).Config() }

// says reports whether flags or the file name one of the paths.
func says(c *config.C, path string) bool { return has(c, "path."+path) }

func has(c *config.C, setting string) bool {
	found, err := c.Has(setting, -1)
	return err == nil && found
}

// dataFolder is path.data as the flags, the file, or else libbeat's default has it. What the file refers to is not
// looked up.
func dataFolder(file *config.C) string {
	for _, c := range []*config.C{overwritten(), file} {
		if folder, err := c.String("path.data", -1); err == nil {
			return folder
		}
	}
	home, err := overwritten().String("path.home", -1)
	if err != nil {
		home = filepath.Dir(os.Args[0])
	}
	return filepath.Join(home, "data")
}

// configurationFiles are the files that libbeat will read.
func configurationFiles() []string {
	var files []string
	for _, file := range flag.Lookup("c").Value.(*config.StringsFlag).List() {
		if !filepath.IsAbs(file) {
			file = filepath.Join(cfgfile.GetPathConfig(), file)
		}
		files = append(files, file)
	}
	return files
}

// setFlag sets a flag of libbeat's as the command line would.
func setFlag(name, value string) error {
	if err := flag.Set(name, value); err != nil {
		return fmt.Errorf("setting -%s %s: %w", name, value, err)
	}
	return nil
}

// scratch makes a folder for what a command keeps while it runs, and lets it have its state there, so that it never
// touches the one of the service. Secrets stay where they are. Whoever named the folder of the state gets it. The
// caller removes the folder.
func scratch(p *places) (folder string, err error) {
	for _, parent := range []string{"", "/dev/shm"} { // the second: a container whose file system is read-only
		if folder, err = os.MkdirTemp(parent, Name+"-"); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("making a folder for what is kept while this runs: %w", err)
	}
	if p.state {
		return folder, nil
	}
	if secrets := filepath.Join(p.data, Name+".keystore"); !p.secrets && !unreadable(secrets) {
		err = setFlag("E", "keystore.path="+secrets)
	}
	for _, path := range []string{"data", "logs"} {
		err = errors.Join(err, setFlag("path."+path, filepath.Join(folder, path)))
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	return folder, nil
}

// aside makes the Beat of a command that leaves the service's state alone: its own is in a folder that end removes. Its
// log comes as sentences until then. A configuration that this user may not read gives way to the built-in one; instead
// says what that means.
func aside(
	c *cobra.Command, settings instance.Settings, p *places, instead string,
) (b *instance.Beat, end func(), err error) {
	folder, err := scratch(p)
	if err != nil {
		return nil, nil, err
	}
	read := readable(c, instead)
	b, silence, err := inSentences(c, &screen{}, func() (*instance.Beat, error) { return read(settings) })
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	return b, func() {
		silence()
		os.RemoveAll(folder)
	}, nil
}

// unreadable reports whether a file is there, and this user cannot read it, or not there at all as far as this
// user can see.
func unreadable(file string) bool {
	f, err := os.Open(file)
	if err == nil {
		f.Close()
	}
	return errors.Is(err, os.ErrPermission)
}
