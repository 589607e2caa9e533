// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/config/settings"
)

// booleans are the words that YAML 1.1, which libbeat reads, takes for true and false, and YAML 1.2 for words.
var booleans = []string{"y", "yes", "on", "n", "no", "off"}

// CheckYAML returns an error for each thing in a configuration file at which libbeat ends with a stack trace, or which
// YAML's libraries pass over: a name that is no text, that has an empty part, or that stands twice, of which the last
// one counts; and a second document. A file that is not YAML has none of them: whoever reads it says what is wrong with
// it. file may be empty, where whoever calls names it.
func CheckYAML(file string, text []byte) error {
	return errors.Join(checkKeys(file, text), checkDocument(file, text))
}

// checkKeys reports names that are no text, and names with parts that a path cannot have.
func checkKeys(file string, text []byte) error {
	var errs []error
	visitSettings(text, func(path string, key, _ *yaml.Node) {
		if key == nil {
			return
		}
		line := strings.TrimSpace(fmt.Sprintf("%s line %d", file, key.Line))
		if kind := kindOfKey(key); kind != "" {
			errs = append(errs, fmt.Errorf("%s: %s: the name %s is %s in YAML; it must be text: put it in "+
				"quotes if it is meant, %q", line, path, key.Value, kind, key.Value))
		} else if err := CheckName(key.Value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", line, err))
		}
	})
	return errors.Join(errs...)
}

// CheckName reports a name, of parts between dots, that no setting can have. go-ucfg panics at some of them.
func CheckName(name string) error {
	for part := range strings.SplitSeq(name, ".") {
		if n, err := strconv.Atoi(part); part == "" || err == nil && n < 0 {
			return fmt.Errorf("the name %q is not allowed; it must have something between its dots, and no number below 0",
				name)
		}
	}
	return nil
}

// checkDocument reports names that stand twice, and a second document.
func checkDocument(file string, text []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var one, more yaml.Node
	if decoder.Decode(&one) != nil {
		return nil // empty, or no YAML: whoever reads it says so
	}
	var errs []error
	wrong := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", strings.TrimSpace(fmt.Sprintf("%s line %d", file, line)),
			fmt.Errorf(format, args...)))
	}
	visitNode(&one, func(path string, n *yaml.Node) {
		first := map[string]int{}
		for pair := range slices.Chunk(n.Content, 2) {
			name := pair[0].Value
			if at, twice := first[name]; twice {
				wrong(pair[0].Line, "%s: stands in line %d already; only one of them would count",
					settings.Join(path, name), at)
			} else {
				first[name] = pair[0].Line
			}
		}
	})
	for decoder.Decode(&more) == nil {
		if len(more.Content) > 0 && more.Content[0].ShortTag() != "!!null" {
			wrong(more.Content[0].Line, "a second document begins here, which would not be read; put it into a file of its own")
			break
		}
	}
	return errors.Join(errs...)
}

// visitNode calls visit with each mapping of a YAML document, and its path.
func visitNode(n *yaml.Node, visit func(path string, mapping *yaml.Node)) {
	var below func(path string, n *yaml.Node)
	below = func(path string, n *yaml.Node) {
		if n.Kind == yaml.MappingNode {
			visit(path, n)
		}
		for i, child := range n.Content {
			switch n.Kind {
			case yaml.MappingNode:
				if i%2 == 1 {
					below(settings.Join(path, n.Content[i-1].Value), child)
				}
			case yaml.SequenceNode:
				below(settings.Join(path, strconv.Itoa(i)), child)
			default:
				below(path, child)
			}
		}
	}
	below("", n)
}

// invalidYAML is an error of the YAML library with the line that it is about. The library leaves out the first line,
// and that of a byte that no text may have.
func invalidYAML(text []byte, err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.HasPrefix(message, "line ") || strings.Contains(message, "unmarshal errors") {
		return fmt.Errorf("invalid YAML: %w", err)
	}
	for _, whole := range []string{"aliasing", "max depth", "contains itself", "unknown anchor"} {
		if strings.Contains(message, whole) {
			return fmt.Errorf("invalid YAML: %w", err)
		}
	}
	line := 1
	if strings.Contains(message, "UTF-8") || strings.Contains(message, "control characters") {
		for rest := text; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
	}
	return fmt.Errorf("invalid YAML: yaml: line %d: %s", line, message)
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

// checkTexts reports values that are meant as texts, which all are but those of some keys, and that YAML 1.1 makes
// another text of: no is false, and 01007 is 519.
func checkTexts(file string, text []byte, others ...string) error {
	var errs []error
	visitSettings(text, func(path string, _, value *yaml.Node) {
		key := path
		for i := strings.LastIndexByte(key, '.'); i >= 0; i = strings.LastIndexByte(key, '.') {
			if _, err := strconv.Atoi(key[i+1:]); err != nil { // else it is an element of a list
				key = key[i+1:]
				break
			}
			key = key[:i]
		}
		if _, err := strconv.Atoi(key); err == nil {
			return // of no setting
		}
		if read := readAs(value); read != "" && !slices.Contains(others, key) {
			errs = append(errs, fmt.Errorf("%s line %d: %s: %s is %s in YAML; put it in quotes if it is meant, %q",
				file, value.Line, path, value.Value, read, value.Value))
		}
	})
	return errors.Join(errs...)
}

// readAs is what YAML 1.1 takes a value for that it changes; empty where it leaves it as it is written.
func readAs(value *yaml.Node) string {
	if value.Kind != yaml.ScalarNode || value.Style != 0 {
		return ""
	}
	var number any
	switch tag := value.ShortTag(); {
	case tag == "!!str" && slices.Contains(booleans, strings.ToLower(value.Value)):
		return "true or false"
	case tag != "!!int" && tag != "!!float", value.Decode(&number) != nil:
		return ""
	}
	read := fmt.Sprint(number)
	if f, ok := number.(float64); ok {
		read = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if read == value.Value {
		return ""
	}
	return "the number " + read
}
