// SPDX-License-Identifier: Apache-2.0

package icalendar

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/reconbeat/reconbeat/internal/control"
)

// written is a window as its file has it.
type written struct {
	ID       string   `yaml:"id"`
	Name     string   `yaml:"name,omitempty"`
	Comment  string   `yaml:"comment,omitempty"`
	Created  string   `yaml:"created,omitempty"`
	Timezone string   `yaml:"timezone,omitempty"`
	Start    string   `yaml:"start"`
	Duration string   `yaml:"duration"`
	Rule     string   `yaml:"rrule,omitempty"`
	Dates    []string `yaml:"dates,omitempty,flow"`
	Except   []string `yaml:"except,omitempty,flow"`
	Action   string   `yaml:"action"`
}

// Write writes windows as a file of windows has them.
func Write(out io.Writer, windows []control.Window) error {
	all := []written{}
	for i := range windows {
		w := &windows[i]
		one := written{
			ID: w.ID, Name: w.Name, Comment: w.Comment, Created: string(w.Created), Timezone: w.Timezone,
			Start: w.Start.String(), Duration: w.Duration.String(), Rule: w.Rule.String(), Action: w.Action,
		}
		for _, c := range w.Dates {
			one.Dates = append(one.Dates, c.String())
		}
		for _, c := range w.Except {
			one.Except = append(one.Except, c.String())
		}
		all = append(all, one)
	}
	e := yaml.NewEncoder(out)
	e.SetIndent(2)
	if err := e.Encode(all); err != nil {
		return fmt.Errorf("writing windows: %w", err)
	}
	return e.Close()
}
