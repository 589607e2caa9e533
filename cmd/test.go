// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/module/catalog"
	"github.com/reconbeat/reconbeat/process"
)

func newTestModulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "modules",
		Short: "Show which sources of program starts work on this host, and what each sees",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { testModules(os.Stdout); return nil },
	}
}

func testModules(w io.Writer) {
	for _, k := range catalog.All() {
		s := k.Probe()
		verdict := "no"
		if s.Works {
			verdict = "works"
		}
		fmt.Fprintf(w, "%-13s %-5s  %s\n", k.Name, verdict, wrapped(w, s.Why, supportIndent))
		printSupport(w, "sees: ", strings.Join(s.Sees, "; "))
		printSupport(w, "does not see: ", strings.Join(s.Blind, "; "))
		printSupport(w, "", s.Help)
	}
	kind, support, err := catalog.Choose()
	if err != nil {
		fmt.Fprintf(w, "\n%s\n", wrapped(w, "auto would find nothing: "+err.Error(), 0))
		return
	}
	fmt.Fprintf(w, "\n%s\n", wrapped(w, "auto would choose "+kind.Name+": "+support.Why, 0))
}

// supportIndent is where the column begins that describes a module.
const supportIndent = 21

func printSupport(w io.Writer, what, text string) {
	if text != "" {
		fmt.Fprintf(w, "%*s%s\n", supportIndent, "", wrapped(w, what+text, supportIndent))
	}
}

// wrapped is a text that begins at a column, broken so that no word of it is cut at the terminal's edge. Who reads a
// pipe or a file gets one line.
func wrapped(w io.Writer, s string, column int) string {
	out, isFile := w.(*os.File)
	if !isFile {
		return s
	}
	width, _, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return s
	}
	return wrap(s, column, width)
}

func wrap(s string, column, width int) string {
	var b strings.Builder
	at := column
	for i, word := range strings.Split(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			at += n
		case at+1+n > width:
			word, at = "\n"+strings.Repeat(" ", column)+word, column+n
		default:
			word, at = " "+word, at+1+n
		}
		b.WriteString(word)
	}
	return b.String()
}

func newTestRulesCommand(settings instance.Settings, p *places) *cobra.Command {
	return &cobra.Command{
		Use:   "rules [FILE|RULE...] [-- COMMAND ARGUMENT...]",
		Short: "Check the rules, say what each means, and explain why one matches a command or not",
		Long: `rules checks the shipped rules and the configured ones in rules.d, or the files given, and says what each
means. The id of a rule shows that one, with its guide for whoever investigates an alert.

With a command line behind -- it says for each rule whether it matches that, and why. The command is not run; its
program is looked up on this host.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, words []string) error {
			b, end, err := aside(c, settings, p, "these are the rules that are built in, and the files that you name")
			if err != nil {
				return err
			}
			defer end()
			cfg, err := config.Parse(b.Beat.BeatConfig)
			if err != nil {
				return err
			}
			dir := b.Paths.Resolve(paths.Config, cfg.Detector.RulesPath)
			dash := c.ArgsLenAtDash()
			if dash < 0 {
				return testRules(dir, cfg, words)
			}
			if dash == len(words) {
				return errors.New("a command line is missing after --")
			}
			return explainRules(dir, cfg, words[:dash], words[dash:])
		},
	}
}

// chosenRules are the rules of files, or those that are configured, all or some of them.
func chosenRules(dir string, cfg config.Config, words []string) (list []detector.Rule, err error) {
	all, err := config.LoadRules(dir, cfg.Detector.Rules)
	if len(words) == 0 {
		return all, err
	}
	var errs []error
	for _, word := range words {
		if i := slices.IndexFunc(all, func(r detector.Rule) bool { return r.ID == word }); i >= 0 {
			list = append(list, all[i])
			continue
		}
		r, err := config.ReadRule(word)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; nor is there a rule with this id", err)
		}
		errs = append(errs, err)
		list = append(list, r)
	}
	return list, errors.Join(errs...)
}

func testRules(dir string, cfg config.Config, words []string) error {
	list, err := chosenRules(dir, cfg, words)
	if err != nil {
		return err
	}
	printRules(os.Stdout, list, len(words) > 0)
	fmt.Println("Rules OK")
	return nil
}

// printRules says what each rule means, and what is noteworthy about it; with guides, also what a rule has for whoever
// investigates its alerts.
func printRules(w io.Writer, list []detector.Rule, guides bool) {
	for _, r := range list {
		fmt.Fprintf(w, "%-3s  %-32s threshold %-4v %s\n", onOff(r), r.ID, r.Threshold, strings.Join(r.Programs, " "))
		for _, line := range r.Meaning() {
			fmt.Fprintf(w, "%*s%s\n", ruleIndent, "", wrapped(w, line, ruleIndent))
		}
		if guides {
			printGuide(w, r)
		}
	}
	for _, note := range config.LintRules(list) {
		fmt.Fprintln(w, "note: "+note)
	}
}

// printGuide prints what a rule says of its alerts that has no field in them.
func printGuide(w io.Writer, r detector.Rule) {
	if len(r.Tags) > 0 {
		fmt.Fprintln(w, "\nTags: "+strings.Join(r.Tags, ", "))
	}
	for _, list := range []struct {
		title string
		items []string
	}{{"False positives", r.FalsePositives}, {"References", r.References}} {
		if len(list.items) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n\n", list.title)
		for _, item := range list.items {
			fmt.Fprintln(w, "- "+wrapped(w, item, len("- ")))
		}
	}
	if r.Note != "" {
		fmt.Fprintf(w, "\n%s\n\n", strings.TrimSpace(r.Note))
	}
}

// ruleIndent is the column in which the meaning of a rule begins.
const ruleIndent = 5

func onOff(r detector.Rule) string {
	if r.Enabled {
		return "on"
	}
	return "off"
}

// explainRules reports which rules match a command line, and why.
func explainRules(dir string, cfg config.Config, words, argv []string) error {
	list, err := chosenRules(dir, cfg, words)
	if err != nil {
		return err
	}
	p := process.Process{Name: filepath.Base(argv[0]), Executable: argv[0], Args: argv}
	found, err := exec.LookPath(argv[0])
	if err == nil {
		if p.Executable, err = filepath.EvalSymlinks(found); err != nil { // what runs is what a link leads to
			p.Executable = found
		}
		fmt.Printf("%s is %s here.\n", argv[0], p.Executable)
	} else {
		fmt.Printf("%s is not on this host; it is judged by its name.\n", argv[0])
	}
	matched := false
	for _, r := range list {
		matches, why := r.Explain(&p)
		verdict := "no match"
		if matches {
			verdict = "MATCH"
			if !r.Enabled {
				verdict = "would match"
				why += "; the rule is off"
			}
			matched = matched || r.Enabled
		}
		fmt.Printf("%-11s  %-32s %s\n", verdict, r.ID, wrapped(os.Stdout, why, explainIndent))
	}
	if !matched {
		fmt.Println("No enabled rule matches: this command is neither learned nor alerted on.")
	}
	return nil
}

// explainIndent is the column of the reasons.
const explainIndent = 46
