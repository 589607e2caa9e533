// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	conf "github.com/elastic/elastic-agent-libs/config"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/dataset"
)

// Section is the name of our section, which is the Beat's.
const Section = "reconbeat"

// readElsewhere are the sections that a running Beat may never read, whose variables may be set for `setup` only; and
// ours, which Parse reads.
var readElsewhere = []string{"cloud", "instrumentation", "monitoring", Section, "setup"}

// CheckStart returns the values at which libbeat ends before anybody else may check: those of a wrong type that it
// reads first, and several where one is allowed. A variable may stand for any of them. After an error root is good only
// for finding more mistakes.
func CheckStart(root *conf.C) error {
	return inOrder([]error{
		settings.WithoutUnset(settings.Read("", root, newFile())), checkMappings(root), checkAlternatives(root),
	})
}

// IsUnset reports whether a value outside of our section refers to a variable that is not set, as far as that is known
// without the keystore.
func IsUnset(root *conf.C) bool {
	copied, err := conf.MergeConfigs(root)
	return err == nil && len(settings.Unset("", copied, newFile())) > 0
}

// UnsetPaths reports paths that refer to a variable that is not set. The keystore lies in one of them, and so does not
// have it.
func UnsetPaths(root *conf.C) error {
	copied, err := conf.MergeConfigs(root)
	if err != nil {
		return nil // whoever reads it reports that
	}
	var errs []error
	for path, name := range settings.Unset("", copied, &struct{ Path pathSettings }{}) {
		if !strings.HasPrefix(name, "path.") { // libbeat has a default for each of them
			errs = append(errs, fmt.Errorf("%s: ${%s} is not set; set the environment variable", path, name))
		}
	}
	return inOrder(errs)
}

// CheckPaths reports a value in the place of the sections of paths and of the log. Commands add to both, which
// hides such a value from CheckStart.
func CheckPaths(root *conf.C) error { return checkSections(root, "", false, "logging", "path") }

// checkMappings reports a value where a section belongs, for those sections that are read by nobody, or by libbeat
// alone.
func checkMappings(root *conf.C) error {
	errs := []error{
		checkSections(root, "", false, "logging", "path", Section), checkSections(root, "", true, "output", "queue"),
	}
	if ours, err := root.Child(Section, -1); err == nil {
		errs = append(errs, checkSections(ours, Section, false, "config"))
	}
	return errors.Join(errs...)
}

// checkSections reports those of the names in c that are no section; deeper looks at what is in them, too.
func checkSections(c *conf.C, path string, deeper bool, names ...string) error {
	var errs []error
	for _, name := range names {
		here := settings.Join(path, name)
		section, err := c.Child(name, -1)
		switch {
		case err == nil && section.IsArray():
			errs = append(errs, fmt.Errorf("%s: a list is not allowed; it must be a mapping of settings", here))
		case err == nil && deeper:
			errs = append(errs, checkSections(section, here, false, section.GetFields()...))
		case err != nil:
			if value, err := c.String(name, -1); err == nil {
				if _, err := strconv.ParseFloat(value, 64); err != nil {
					value = quoted(value)
				}
				errs = append(errs, fmt.Errorf("%s: %s is not allowed; it must be a mapping of settings", here, value))
			}
		}
	}
	return errors.Join(errs...)
}

// CheckFile returns what is wrong with a whole configuration file but for our section: unknown names, our names outside
// of it, values of a wrong type, and variables that are not set. After an error root is good only for finding more
// mistakes.
func CheckFile(root *conf.C) error {
	errs := []error{checkRoot(root), checkMappings(root), checkAlternatives(root)}
	for _, name := range slices.Sorted(slices.Values(root.GetFields())) {
		known := topLevel[name]
		section, err := root.Child(name, -1)
		if err != nil || known == nil || name == Section {
			continue
		}
		switch name {
		case "output":
			errs = append(errs, checkOutputs(section, has(root, "cloud.id")))
		case "queue":
			errs = append(errs, checkQueue(name, section))
		case "processors":
			errs = append(errs, CheckProcessors("", root))
		case "setup":
			errs = append(errs, settings.Unknown(name, section, known), checkSetup(section, datasetOf(root)))
		default:
			errs = append(errs, settings.Unknown(name, section, known))
		}
	}
	errs = append(errs, settings.WithoutUnset(settings.Read("", root, newFile()), readElsewhere...))
	return inOrder(errs)
}

// datasetOf is the data set of a configuration.
func datasetOf(root *conf.C) string {
	if set, err := root.String(Section+".dataset", -1); err == nil {
		return set
	}
	return dataset.Prefix
}

// inOrder joins errors by their paths, each once: several readers of a value may find the same wrong.
func inOrder(errs []error) error {
	var list []error
	seen := map[string]bool{}
	var add func(err error)
	add = func(err error) {
		many, ok := err.(interface{ Unwrap() []error })
		switch {
		case err == nil:
		case ok:
			for _, one := range many.Unwrap() {
				add(one)
			}
		case !seen[err.Error()]:
			seen[err.Error()] = true
			list = append(list, err)
		}
	}
	for _, err := range errs {
		add(err)
	}
	slices.SortFunc(list, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(list...)
}

// topLevel are the sections that a file may have, and what they are read into. A user may add others for ${...} to
// refer to.
var topLevel = func() map[string]any {
	all := map[string]any{Section: Config{}}
	maps.Copy(all, settings.Fields(file{}))
	return all
}()

// checkRoot reports names at the root of the file that are ours, or resemble one that belongs there. Those that a
// variable refers to are not mistakes.
func checkRoot(root *conf.C) error {
	ours := map[string]bool{}
	for name := range settings.Fields(Config{}) {
		first, _, _ := strings.Cut(name, ".")
		ours[first] = true
	}
	var errs []error
	for _, name := range slices.Sorted(slices.Values(root.GetFields())) {
		if topLevel[name] != nil || settings.RefersTo(root, name) {
			continue
		}
		if ours[name] {
			for _, path := range pathsUnder(root, name) {
				errs = append(errs, fmt.Errorf("%s: no such setting at the root of the file; write %s.%s",
					path, Section, path))
			}
			continue
		}
		if meant := misspelt(name, slices.Sorted(maps.Keys(topLevel))); meant != "" {
			errs = append(errs, fmt.Errorf("%s: no such setting; is %s meant?", name, meant))
		} else if meant := misspelt(name, slices.Sorted(maps.Keys(ours))); meant != "" {
			errs = append(errs, fmt.Errorf("%s: no such setting; is %s.%s meant?", name, Section, meant))
		}
	}
	return errors.Join(errs...)
}

// pathsUnder are the paths of the values at and under a name, a list's without its elements.
func pathsUnder(root *conf.C, name string) []string {
	section, err := root.Child(name, -1)
	if err != nil || !section.IsDict() || len(section.GetFields()) == 0 {
		return []string{name}
	}
	var paths []string
	for _, sub := range slices.Sorted(slices.Values(section.GetFields())) {
		for _, path := range pathsUnder(section, sub) {
			paths = append(paths, settings.Join(name, path))
		}
	}
	return paths
}

// checkAlternatives reports several outputs, or queues, where libbeat takes one.
func checkAlternatives(root *conf.C) error {
	var errs []error
	for _, name := range []string{"output", "queue"} {
		if section, err := root.Child(name, -1); err == nil {
			errs = append(errs, checkOne(name, section))
		}
	}
	return errors.Join(errs...)
}

// checkOne reports several sections that are on, where libbeat takes one.
func checkOne(path string, c *conf.C) error {
	var on []string
	for _, name := range slices.Sorted(slices.Values(c.GetFields())) {
		if sub, err := c.Child(name, -1); err == nil && sub.Enabled() {
			on = append(on, name)
		}
	}
	last := len(on) - 1
	if last < 1 {
		return nil
	}
	return fmt.Errorf("%s: %s and %s are on; only one is allowed: remove the others, or set `enabled: false` in them",
		path, strings.Join(on[:last], ", "), on[last])
}

// misspelt returns the known name from which a name is one or two letters off; empty where it is known, or like none.
func misspelt(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	for _, k := range known {
		if most := min(2, len(k)/3); distance(name, k) <= most {
			return k
		}
	}
	return ""
}

// distance is how many letters must be inserted, deleted or changed to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// has reports whether c has a setting.
func has(c *conf.C, setting string) bool {
	there, err := c.Has(setting, -1)
	return err == nil && there
}
