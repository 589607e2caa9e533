// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/control"
)

// WriteExceptions writes exceptions as a file of exceptions.d has them, a condition in a line. What is empty, or the
// default, is left out.
func WriteExceptions(w io.Writer, all []control.Exception) error {
	list := yaml.Node{Kind: yaml.SequenceNode}
	for i := range all {
		n, err := exceptionNode(&all[i])
		if err != nil {
			return fmt.Errorf("writing exception %q: %w", all[i].ID, err)
		}
		list.Content = append(list.Content, n)
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&list); err != nil {
		return fmt.Errorf("writing exceptions: %w", err)
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("writing exceptions: %w", err)
	}
	return nil
}

func exceptionNode(e *control.Exception) (*yaml.Node, error) {
	head := struct {
		ID      string   `yaml:"id"`
		Name    string   `yaml:"name,omitempty"`
		Comment string   `yaml:"comment,omitempty"`
		Author  string   `yaml:"author,omitempty"`
		Created string   `yaml:"created,omitempty"`
		Expires string   `yaml:"expires,omitempty"`
		Rules   []string `yaml:"rules,omitempty,flow"`
		Action  string   `yaml:"action"`
	}{e.ID, e.Name, e.Comment, e.Author, string(e.Created), string(e.Expires), e.Rules, e.Action}
	n := &yaml.Node{}
	if err := n.Encode(head); err != nil {
		return nil, err
	}
	conditions := yaml.Node{Kind: yaml.SequenceNode}
	for i := range e.Conditions {
		c := &yaml.Node{}
		if err := c.Encode(conditionTree(&e.Conditions[i])); err != nil {
			return nil, err
		}
		c.Style = yaml.FlowStyle
		conditions.Content = append(conditions.Content, c)
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "conditions"}, &conditions)
	return n, nil
}

// tree is a condition as YAML has it.
type tree struct {
	Field   string         `yaml:"field,omitempty"`
	Is      any            `yaml:"is,omitempty"`
	IsOneOf []string       `yaml:"is_one_of,omitempty,flow"`
	Exists  *bool          `yaml:"exists,omitempty"`
	Matches any            `yaml:"matches,omitempty"`
	Regexp  string         `yaml:"regexp,omitempty"`
	CIDR    any            `yaml:"cidr,omitempty"`
	Range   map[string]any `yaml:"range,omitempty"`
	InList  string         `yaml:"in_list,omitempty"`
	Not     bool           `yaml:"not,omitempty"`
	Any     []tree         `yaml:"any,omitempty"`
	All     []tree         `yaml:"all,omitempty"`
}

func conditionTree(c *control.Condition) tree {
	t := tree{
		Field: c.Field, Is: oneOrMany(c.Is), IsOneOf: c.IsOneOf, Exists: c.Exists, Matches: oneOrMany(c.Matches),
		Regexp: c.Regexp, CIDR: oneOrMany(c.CIDR), InList: c.InList, Not: c.Not,
	}
	for key, bound := range map[string]control.Texts{
		"gt": c.Range.GT, "gte": c.Range.GTE, "lt": c.Range.LT, "lte": c.Range.LTE,
	} {
		if len(bound) > 0 {
			if t.Range == nil {
				t.Range = map[string]any{}
			}
			t.Range[key] = oneOrMany(bound)
		}
	}
	for i := range c.Any {
		t.Any = append(t.Any, conditionTree(&c.Any[i]))
	}
	for i := range c.All {
		t.All = append(t.All, conditionTree(&c.All[i]))
	}
	return t
}

// oneOrMany is one text, or the list where there are several; nil where there is none.
func oneOrMany(all control.Texts) any {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return []string(all)
}
