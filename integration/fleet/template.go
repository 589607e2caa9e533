// SPDX-License-Identifier: Apache-2.0

// Package fleet is, for the tests, what Kibana's Fleet does with a package: it makes of the options that somebody chose
// the inputs of an Agent's policy and what the Agent may write to, and takes them over into a newer package. Templates
// become YAML as compileTemplate in Kibana's x-pack/platform/plugins/shared/fleet/server/services/epm/agent/agent.ts
// has it.
package fleet

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mailgun/raymond/v2"
	"go.yaml.in/yaml/v3"
)

// Variable is an option.
type Variable struct {
	Name        string `yaml:"name"`
	Type        string `yaml:"type"`
	Title       string `yaml:"title"`
	Description string `yaml:"description"`
	Multi       bool   `yaml:"multi"`
	Required    bool   `yaml:"required"`
	Default     any    `yaml:"default"`
	Options     []struct {
		Value string `yaml:"value"`
	} `yaml:"options"`
}

var quoted = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"`)

// Render makes of a template what Fleet makes of it where these options are chosen, the others at their defaults. An
// option of type yaml is text; where it stands at the beginning of a line its YAML takes its place, elsewhere its value
// does.
func Render(template string, vars []Variable, chosen map[string]any) (map[string]any, error) {
	values, documents := map[string]any{}, map[string]any{}
	for _, v := range vars {
		value, given := chosen[v.Name]
		switch {
		case !given && v.Default == nil && v.Multi:
			value = []any{}
		case !given:
			value = v.Default
		}
		if v.Type != "yaml" {
			values[v.Name] = unescaped(value)
			continue
		}
		if text, ok := value.(string); ok && text != "" {
			var document any
			if err := yaml.Unmarshal([]byte(text), &document); err != nil {
				return nil, fmt.Errorf("option %s: %w", v.Name, err)
			}
			document = stored(document)
			placeholder := "##" + v.Name + "##"
			values[v.Name], documents[placeholder] = raymond.SafeString(`"`+placeholder+`"`), document
		}
	}
	parsed, err := raymond.Parse(template)
	if err != nil {
		return nil, fmt.Errorf("parsing the template: %w", err)
	}
	parsed.RegisterHelper("contains", contains)
	parsed.RegisterHelper("escape_string", escape)
	text, err := parsed.Exec(values)
	if err != nil {
		return nil, fmt.Errorf("executing the template: %w", err)
	}
	// A lone quote in a comment reaches to the next one, lines below.
	text = quoted.ReplaceAllStringFunc(text, func(s string) string {
		return regexp.MustCompile(`\n+`).
			ReplaceAllStringFunc(s, func(lines string) string { return strings.Repeat(`\n`, len(lines)-1) })
	})
	for placeholder, document := range documents {
		block, err := yaml.Marshal(document)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", placeholder, err)
		}
		text = regexp.MustCompile(`(?m)^"`+placeholder+`"`).ReplaceAllLiteralString(text, string(block))
	}
	var rendered map[string]any
	if err := yaml.Unmarshal([]byte(text), &rendered); err != nil {
		return nil, fmt.Errorf("%w in what the template makes:\n%s", err, text)
	}
	if rendered == nil {
		return nil, fmt.Errorf("the template makes nothing, of which Fleet cannot make a policy")
	}
	return replace(rendered, documents).(map[string]any), nil
}

// stored is a document of YAML as Fleet stores it, as JSON: a day or a time, which YAML knows, is text there.
func stored(value any) any {
	switch v := value.(type) {
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case map[string]any:
		for key := range v {
			v[key] = stored(v[key])
		}
	case []any:
		for i := range v {
			v[i] = stored(v[i])
		}
	}
	return value
}

// unescaped keeps text from becoming HTML.
func unescaped(value any) any {
	switch v := value.(type) {
	case string:
		return raymond.SafeString(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = unescaped(v[i])
		}
		return list
	}
	return value
}

// replace puts the documents in the place of their placeholders.
func replace(value any, documents map[string]any) any {
	switch v := value.(type) {
	case string:
		if document, ok := documents[v]; ok {
			return document
		}
	case map[string]any:
		for key := range v {
			v[key] = replace(v[key], documents)
		}
	case []any:
		for i := range v {
			v[i] = replace(v[i], documents)
		}
	}
	return value
}

// contains is Fleet's helper: a block for a list with an element, or a text with a part. Fleet's has no else.
func contains(item string, in any, options *raymond.Options) raymond.SafeString {
	has := false
	switch in := in.(type) {
	case raymond.SafeString:
		has = strings.Contains(string(in), item)
	case []any:
		has = slices.Contains(in, any(raymond.SafeString(item)))
	}
	if !has {
		return ""
	}
	return raymond.SafeString(options.Fn())
}

// escape is Fleet's helper: a text as YAML in quotes.
func escape(text string) raymond.SafeString {
	switch {
	case text == "":
		return ""
	case strings.Contains(text, "\n"):
		return raymond.SafeString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`)
	}
	return raymond.SafeString("'" + strings.ReplaceAll(text, "'", "''") + "'")
}
