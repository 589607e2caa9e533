// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An outcome is how a step ended.
type outcome string

const (
	good    outcome = "good"
	failed  outcome = "failed"
	leftOut outcome = "left out" // it, or a part of it, cannot run on this host
)

// A result is a line of the page.
type result struct {
	step    string
	outcome outcome
	figure  string        // what it found, or why it failed or was left out
	length  time.Duration // how long it was told to fuzz; 0: it was told nothing
	took    time.Duration
	ended   time.Time
	commit  string
	code    string
}

const preface = `# Campaign

How each step ended last: written by ` + "`go tool mage campaign`" + `, a line when a step ends.
CONTRIBUTING.md says how to run it. The notes of a release have this table.

* **outcome**: *good*, *failed*, or *left out* where the step, or a part of it, cannot run on that host; only what is
  good is not run again.
* **length**: how long a fuzz target was told to run. What ran for less than the present campaign wants runs again.
* **code**: a digest of the files that the step depends on: its packages, those that they import, their test data. As
  long as that is the code's digest, the result holds; a ` + "`+`" + ` says that they were not all committed.

`

const (
	columns = "| step | outcome | what came of it | length | took | ended | commit | code |\n"
	minute  = "2006-01-02 15:04 MST"
)

// render makes the page.
func render(results []result) string {
	var b strings.Builder
	b.WriteString(preface + columns + "|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		length := ""
		if r.length > 0 {
			length = r.length.String()
		}
		figure := strings.NewReplacer("|", "/", "\n", " ").Replace(r.figure)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.step, r.outcome, figure, length, r.took,
			r.ended.UTC().Format(minute), r.commit, r.code)
	}
	return b.String()
}

// parse reads the page.
func parse(page string) ([]result, error) {
	_, table, found := strings.Cut(page, columns)
	if !found {
		return nil, errors.New("it has no table of results")
	}
	var results []result
	for i, line := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if len(cells) != 8 {
			return nil, fmt.Errorf("result %d has %d columns: %s", i+1, len(cells), line)
		}
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		r := result{step: cells[0], outcome: outcome(cells[1]), figure: cells[2], commit: cells[6], code: cells[7]}
		var errs [3]error
		if cells[3] != "" {
			r.length, errs[0] = time.ParseDuration(cells[3])
		}
		r.took, errs[1] = time.ParseDuration(cells[4])
		r.ended, errs[2] = time.Parse(minute, cells[5])
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("result %d: %w", i+1, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// load reads the page in a file; one that is not there is empty.
func load(file string) ([]result, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	results, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to begin anew", file, err)
	}
	return results, nil
}

// save writes the page whole, or not at all.
func save(file string, results []result) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(render(results)), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
