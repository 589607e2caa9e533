// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// list is the campaign.
func list(root string, fuzztime time.Duration) ([]step, error) {
	var modules []*goModule
	for _, folder := range []string{".", "integration", "internal/evaluation", "tools"} {
		m, err := listModule(root, folder)
		if err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	beat, evaluation := modules[0], modules[2]
	var fuzz []step
	for _, m := range modules {
		fuzz = append(fuzz, m.fuzz(fuzztime)...)
	}
	packed := slices.Concat(
		beat.of("."),
		[]string{"_meta/...", "deploy/...", "fields.yml", "integration/...", "modules.d", "reconbeat.reference.yml",
			"reconbeat.yml", "rules.d", "tools/go.mod", "tools/go.sum"},
	)
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	return slices.Concat(fuzz, []step{
		{
			name:    "evaluate",
			command: "go tool mage evaluate",
			of:      evaluation.of("internal/evaluation"),
			figure: func(string) string {
				report, _ := os.ReadFile(
					filepath.Join(root, "docs", "evaluation.md")) // one that is not there has no figure
				return line(`(?m)^\| \*\*settled\*\* \|  \| (.*) \| .* \| (.*) \| .* \| .* \| (.*) \| (.*) \|$`,
					"context: found %s, %s false alarms a host-month; rare: found %s, %s")(string(report))
			},
		},
		{name: "reproduce amd64", command: "ARCH=amd64 go tool mage reproduce", of: packed, figure: twice},
		{name: "reproduce arm64", command: "ARCH=arm64 go tool mage reproduce", of: packed, figure: twice},
		{
			name: "emulate " + foreign,
			of:   packed,
			command: "rm -rf build/package build/distributions && go tool mage package && go test -count 1 -timeout " +
				"30m -v -run Emulated ./deploy",
			figure: line(`(?m)^.* EMULATED: (.*)$`, "%s"),
		},
		{
			name: "bench",
			command: "go test -timeout 1h -run '^$' -bench . -skip '^(BenchmarkLiveAlert|BenchmarkReplay)$' " +
				"-benchmem -v ./...",
			of:     beat.everything(),
			figure: benchmarks,
		},
		{
			name:    "bench, from the exec to the alert",
			command: "go test -timeout 1h -run '^$' -bench LiveAlert -benchtime 200x -v ./cmd",
			of:      beat.of("cmd"),
			figure:  benchmarks,
		},
		{
			name:    "bench, replay",
			command: "go test -timeout 1h -run '^$' -bench Replay -benchtime 1x -v ./cmd",
			of:      beat.of("cmd"),
			figure:  benchmarks,
		},
	}), nil
}

// line makes a figure out of the groups of a line.
func line(pattern, format string) func(string) string {
	return func(log string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(log)
		if m == nil {
			return ""
		}
		var groups []any
		for _, g := range m[1:] {
			groups = append(groups, g)
		}
		return fmt.Sprintf(format, groups...)
	}
}

var sum = regexp.MustCompile(`(?m)^([0-9a-f]{128})  (\S+)$`)

// twice tells what two builds had in common.
func twice(log string) string {
	_, same, found := strings.Cut(log, "twice the same:\n")
	files := sum.FindAllStringSubmatch(same, -1)
	if !found || len(files) == 0 {
		return ""
	}
	var debs []string
	for _, f := range files {
		if strings.HasSuffix(f[2], ".deb") {
			debs = append(debs, fmt.Sprintf("sha512 of %s: %s…", f[2], f[1][:16]))
		}
	}
	return fmt.Sprintf("%d files twice the same; %s", len(files), strings.Join(debs, ", "))
}

var benchmark = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?[ \t]+\d+\t(.*)$`)

// benchmarks tells how many there were, and the figures of those few that docs/benchmarks.md begins with.
func benchmarks(log string) string {
	all := benchmark.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return ""
	}
	said := []string{fmt.Sprintf("%d benchmarks", len(all))}
	for _, b := range all {
		if strings.HasPrefix(b[1], "Way/") || strings.HasPrefix(b[1], "LiveAlert") ||
			strings.HasPrefix(b[1], "Replay") {
			said = append(said, b[1]+": "+strings.Join(strings.Fields(b[2]), " "))
		}
	}
	return strings.Join(said, "; ")
}

// A pkg is what `go list` says of a package.
type pkg struct {
	Dir, ImportPath           string
	DepOnly                   bool // another package of the list depends on it, and the list is not about it
	Module                    *struct{ Dir string }
	Deps                      []string
	TestGoFiles, XTestGoFiles []string
}

// A goModule knows what its packages are made of.
type goModule struct {
	folder  string              // from the top of the repository
	imports map[string][]string // the folders of the repository that a package and its tests are made of, by its folder
	fuzzers map[string][]string // the fuzz targets, by the package's folder
}

var fuzzer = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// listModule reads the module in a folder.
func listModule(root, folder string) (*goModule, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil { // as go list names folders
		return nil, err
	}
	command := exec.Command("go", "-C", filepath.Join(root, folder), "list", "-test", "-deps",
		"-json=Dir,ImportPath,DepOnly,Module,Deps,TestGoFiles,XTestGoFiles", "./...")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w", folder, err)
	}
	m := &goModule{folder: folder, imports: map[string][]string{}, fuzzers: map[string][]string{}}
	// By import path, those of the repository: of this module, and of the modules that it replaces by folders.
	folders := map[string][]string{}
	own := map[string]string{}
	deps := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("listing the packages of %s: %w", folder, err)
		}
		if p.Module == nil || p.Dir == "" {
			continue // the standard library
		}
		dir, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		if !filepath.IsLocal(dir) {
			continue // the module cache
		}
		of := strings.TrimSuffix(plain(p.ImportPath), ".test")
		if !p.DepOnly {
			deps[of] = append(deps[of], p.Deps...)
		}
		if strings.ContainsAny(p.ImportPath, " ") || strings.HasSuffix(p.ImportPath, ".test") {
			continue // made of the package for its tests
		}
		module, err := filepath.Rel(root, p.Module.Dir)
		if err != nil {
			return nil, err
		}
		folders[of] = []string{dir, path.Join(module, "go.mod"), path.Join(module, "go.sum")}
		if p.DepOnly {
			continue
		}
		own[of] = dir
		for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			for _, f := range fuzzer.FindAllSubmatch(text, -1) {
				m.fuzzers[dir] = append(m.fuzzers[dir], string(f[1]))
			}
		}
	}
	for of, dir := range own {
		made := slices.Clone(folders[of])
		for _, dep := range deps[of] {
			made = append(made, folders[plain(dep)]...)
		}
		slices.Sort(made)
		m.imports[dir] = slices.Compact(made)
	}
	return m, nil
}

// plain is an import path without the test that the package was compiled for, which `go list` puts behind it.
func plain(importPath string) string {
	p, _, _ := strings.Cut(importPath, " ")
	return p
}

// of is what the package in a folder depends on.
func (m *goModule) of(folder string) []string { return m.imports[folder] }

// everything is what the module's packages depend on.
func (m *goModule) everything() (all []string) {
	for _, folders := range m.imports {
		all = append(all, folders...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fuzz is a step for each fuzz target of the module.
func (m *goModule) fuzz(length time.Duration) (steps []step) {
	for folder, targets := range m.fuzzers {
		within, _ := filepath.Rel(m.folder, folder)
		for _, target := range targets {
			steps = append(steps, step{
				name:   "fuzz " + folder + " " + target,
				of:     m.of(folder),
				length: length,
				figure: fuzzed,
				// Minimising an input can outlast the time that is left, which go test takes for a failure.
				command: fmt.Sprintf(
					"go -C %s test -run '^$' -fuzz '^%s$' -fuzztime %v -fuzzminimizetime 1x -timeout 0 ./%s", m.folder,
					target, length, within),
				reason: func(log string) string { return input(folder, log) },
			})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.name, b.name) })
	return steps
}

var execs = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)

// fuzzed tells the last of go test's counts.
func fuzzed(log string) string {
	all := execs.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return ""
	}
	last := all[len(all)-1]
	return fmt.Sprintf("%s inputs, of which %s were new and interesting; %s kept", last[1], last[2], last[3])
}

var (
	written = regexp.MustCompile(`Failing input written to (\S+)`)
	seed    = regexp.MustCompile(`failure while testing seed corpus entry: (\S+)`)
)

// input tells where the failing input is: go test puts it where every later test finds it.
func input(folder, log string) string {
	if m := written.FindStringSubmatch(log); m != nil {
		return "fails on " + path.Join(folder, m[1]) + ", which is to be committed with what mends it"
	}
	if m := seed.FindStringSubmatch(log); m != nil {
		return "fails on " + path.Join(folder, "testdata/fuzz", m[1])
	}
	if strings.Contains(log, "context deadline exceeded") {
		return raced
	}
	return ""
}

// raced is why a target fails on no input: most often a race in go test itself when the time is over (golang/go#75804),
// so that it gets a second chance.
const raced = "out of time without a failing input: it hangs, or go test does"
