// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/config/settings"
)

// booleans are the words that YAML 1.1, which libbeat reads, takes for true and false, and YAML 1.2 for words.
var booleans = []string{"y", "yes", "on", "n", "no", "off"}

// CheckKeys returns an error for each name in a configuration file that YAML does not take for a text. libbeat ends
// there with a stack trace. A file that is not YAML has no such names: libbeat says what is wrong with it. file may be
// empty, where whoever calls names it.
func CheckKeys(file string, text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil
	}
	var errs []error
	var visit func(path string, n *yaml.Node)
	visit = func(path string, n *yaml.Node) {
		switch n.Kind {
		case yaml.DocumentNode:
			for _, child := range n.Content {
				visit(path, child)
			}
		case yaml.SequenceNode:
			for i, child := range n.Content {
				visit(settings.Join(path, strconv.Itoa(i)), child)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i]
				at := settings.Join(path, key.Value)
				if kind := kindOfKey(key); kind != "" {
					line := strings.TrimSpace(fmt.Sprintf("%s line %d", file, key.Line))
					errs = append(errs, fmt.Errorf("%s: %s: the name %s is %s in YAML; it must be text: put it in "+
						"quotes if it is meant, %q", line, at, key.Value, kind, key.Value))
				}
				visit(at, n.Content[i+1])
			}
		}
	}
	visit("", &root)
	return errors.Join(errs...)
}

// kindOfKey is what YAML 1.1 takes a name for that it does not take for text; empty where it does.
func kindOfKey(key *yaml.Node) string {
	switch {
	case key.Kind != yaml.ScalarNode:
		return ""
	case key.ShortTag() == "!!bool",
		key.Style == 0 && key.ShortTag() == "!!str" && slices.Contains(booleans, strings.ToLower(key.Value)):
		return "true or false"
	case key.ShortTag() == "!!int", key.ShortTag() == "!!float":
		return "a number"
	case key.ShortTag() == "!!null":
		return "nothing"
	}
	return ""
}
