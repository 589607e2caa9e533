// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/printable"
)

// WriteExceptions writes exceptions as a file of exceptions.d has them, a condition in a line. What is empty is left
// out.
func WriteExceptions(w io.Writer, all []control.Exception) error {
	return writeItems(w, all, func(e *control.Exception) (itemHead, []control.Condition) {
		return itemHead{
			ID: e.ID, Name: e.Name, Comment: e.Comment, Author: e.Author, Created: string(e.Created),
			Expires: string(e.Expires), Rules: e.Rules, Action: e.Action,
		}, e.Conditions
	})
}

// WriteApprovals writes approvals as a file of approved work has them.
func WriteApprovals(w io.Writer, all []control.Approval) error {
	return writeItems(w, all, func(a *control.Approval) (itemHead, []control.Condition) {
		return itemHead{
			ID: a.ID, Name: a.Name, Comment: a.Comment, Ticket: a.Ticket, Author: a.Author, Created: string(a.Created),
			Expires: string(a.Expires), RevokedBy: a.RevokedBy, Rules: a.Rules, Action: a.Action,
		}, a.Conditions
	})
}

// WriteWindows writes windows as a file of windows.d has them.
func WriteWindows(w io.Writer, all []control.Window) error {
	return writeItems(w, all, func(one *control.Window) (itemHead, []control.Condition) {
		return itemHead{
			ID: one.ID, Name: one.Name, Comment: one.Comment, Author: one.Author, Created: string(one.Created),
			Expires: string(one.Expires), Timezone: one.Timezone, Start: one.Start.String(),
			Duration: one.Duration.String(), Recurs: one.Rule.String(), Dates: clocks(one.Dates),
			Except: clocks(one.Except), Rules: one.Rules, Action: one.Action,
		}, one.Conditions
	})
}

func clocks(all []control.Clock) (texts []string) {
	for _, c := range all {
		texts = append(texts, c.String())
	}
	return texts
}

// itemHead is an item as YAML has it, but for its conditions: what all kinds have, and what some have.
type itemHead struct {
	ID        string   `yaml:"id"`
	Name      string   `yaml:"name,omitempty"`
	Comment   string   `yaml:"comment,omitempty"`
	Ticket    string   `yaml:"ticket,omitempty"`
	Author    string   `yaml:"author,omitempty"`
	Created   string   `yaml:"created,omitempty"`
	Expires   string   `yaml:"expires,omitempty"`
	RevokedBy string   `yaml:"revoked_by,omitempty"`
	Timezone  string   `yaml:"timezone,omitempty"`
	Start     string   `yaml:"start,omitempty"`
	Duration  string   `yaml:"duration,omitempty"`
	Recurs    string   `yaml:"rrule,omitempty"`
	Dates     []string `yaml:"dates,omitempty,flow"`
	Except    []string `yaml:"except,omitempty,flow"`
	Rules     []string `yaml:"rules,omitempty,flow"`
	Action    string   `yaml:"action"`
}

// writeItems writes a list of items; parts gives the head and the conditions of one.
func writeItems[T any](w io.Writer, all []T, parts func(*T) (itemHead, []control.Condition)) error {
	list := yaml.Node{Kind: yaml.SequenceNode}
	for i := range all {
		n, err := itemNode(parts(&all[i]))
		if err != nil {
			return fmt.Errorf("writing controls: %w", err)
		}
		list.Content = append(list.Content, n)
	}
	if len(all) == 0 {
		list.Style = yaml.FlowStyle
	}
	quote(&list)
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	err := errors.Join(e.Encode(&list), e.Close())
	if err == nil {
		_, err = w.Write(printable.EscapeYAML(text.Bytes()))
	}
	if err != nil {
		return fmt.Errorf("writing controls: %w", err)
	}
	return nil
}

// quote puts texts that steer a terminal, or turn the direction of writing, into double quotes, where they can be
// escaped.
func quote(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && !printable.Plain(n.Value) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		quote(c)
	}
}

func itemNode(head itemHead, conditions []control.Condition) (*yaml.Node, error) {
	n := &yaml.Node{}
	if err := n.Encode(head); err != nil {
		return nil, err
	}
	if len(conditions) == 0 {
		return n, nil
	}
	list := yaml.Node{Kind: yaml.SequenceNode}
	for i := range conditions {
		c := &yaml.Node{}
		if err := c.Encode(conditionTree(&conditions[i])); err != nil {
			return nil, err
		}
		c.Style = yaml.FlowStyle
		list.Content = append(list.Content, c)
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "conditions"}, &list)
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
