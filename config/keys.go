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
	var errs []error
	visitSettings(text, func(path string, key, _ *yaml.Node) {
		if kind := kindOfKey(key); kind != "" {
			line := strings.TrimSpace(fmt.Sprintf("%s line %d", file, key.Line))
			errs = append(errs, fmt.Errorf("%s: %s: the name %s is %s in YAML; it must be text: put it in "+
				"quotes if it is meant, %q", line, path, key.Value, kind, key.Value))
		}
	})
	return errors.Join(errs...)
}

// visitSettings calls visit with each setting of a YAML file, in its order: the path, the key (nil in a list) and the
// value. A text that is not YAML has none.
func visitSettings(text []byte, visit func(path string, key, value *yaml.Node)) {
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil {
		return
	}
	var below func(path string, n *yaml.Node)
	below = func(path string, n *yaml.Node) {
		switch n.Kind {
		case yaml.DocumentNode:
			for _, child := range n.Content {
				below(path, child)
			}
		case yaml.SequenceNode:
			for i, child := range n.Content {
				at := settings.Join(path, strconv.Itoa(i))
				visit(at, nil, child)
				below(at, child)
			}
		case yaml.MappingNode:
			for pair := range slices.Chunk(n.Content, 2) {
				at := settings.Join(path, pair[0].Value)
				visit(at, pair[0], pair[1])
				below(at, pair[1])
			}
		}
	}
	below("", &root)
}

// kindOfKey is what YAML 1.1 takes a name for that it does not take for text; empty where it does, and in a list (nil).
func kindOfKey(key *yaml.Node) string {
	switch {
	case key == nil, key.Kind != yaml.ScalarNode:
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
