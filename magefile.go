// SPDX-License-Identifier: Apache-2.0

//go:build mage

// Everything that is done to this repository: go tool mage TARGET.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/elastic/beats/v7/dev-tools/mage"
	"github.com/elastic/beats/v7/libbeat/asset"
	"github.com/elastic/beats/v7/libbeat/mapping"
	"github.com/magefile/mage/mg"
	"github.com/magefile/mage/sh"

	"github.com/reconbeat/reconbeat/detector"
	"github.com/reconbeat/reconbeat/ecs"
)

// Default is what `go tool mage` does without a target.
var Default = Build

// Build makes the binary, build/reconbeat, and puts beside it what `reconbeat setup` loads into Kibana.
func Build() error {
	commit, err := sh.Output("git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	at, err := sh.Output("git", "show", "-s", "--format=%cI", "HEAD")
	if err != nil {
		return err
	}
	const version = "github.com/elastic/beats/v7/libbeat/version."
	if err := sh.RunV("go", "build", "-trimpath", "-ldflags", "-s -w -X "+version+"commit="+commit+" -X "+version+"buildTime="+at, "-o", "build/reconbeat", "."); err != nil {
		return err
	}
	if err := os.RemoveAll("build/kibana"); err != nil {
		return err
	}
	return os.CopyFS("build/kibana", os.DirFS("_meta/kibana"))
}

// Test runs every test there is, with the race detector. As root it first installs what the live tests drive.
func Test() error {
	if err := installTools(); err != nil {
		return err
	}
	if err := sh.RunV("go", "test", "-race", "-timeout", "15m", "./..."); err != nil {
		return err
	}
	return sh.RunV("go", "-C", "tools", "test", "-race", "./...")
}

// driven are the commands that the live tests run, and Debian's packages with them.
var driven = map[string]string{
	"auditctl": "auditd", "busybox": "busybox", "cron": "cron", "netstat": "net-tools", "showmount": "nfs-common", "script": "bsdutils", "setpriv": "util-linux",
	"ss": "iproute2", "ssh": "openssh-client", "sshd": "openssh-server", "sudo": "sudo", "timeout": "coreutils", "useradd": "passwd", "gcc": "gcc",
}

// installTools installs what is missing of driven, where it can: as root on Debian and its kin. The tests say loudly what they miss.
func installTools() error {
	missing := map[string]bool{}
	for command, pkg := range driven {
		if _, err := exec.LookPath(command); err != nil {
			missing[pkg] = true
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil || len(missing) == 0 || os.Getuid() != 0 {
		return nil
	}
	// A package must not start its daemon: auditd would own the kernel's audit, and sshd a port.
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}
		defer os.Remove(policy)
	}
	env := map[string]string{"DEBIAN_FRONTEND": "noninteractive"}
	if err := sh.RunWithV(env, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	args := []string{"install", "-y", "-qq", "--no-install-recommends"}
	for pkg := range missing {
		args = append(args, pkg)
	}
	sort.Strings(args[4:])
	return sh.RunWithV(env, "apt-get", args...)
}

// Check looks for everything that a machine can find wrong: format, vet, staticcheck, requirements, generated files.
func Check() error {
	files, err := sh.Output("git", "ls-files", "*.go")
	if err != nil {
		return err
	}
	unformatted, err := sh.Output("gofmt", append([]string{"-l"}, strings.Fields(files)...)...)
	if err != nil {
		return err
	}
	if unformatted != "" {
		return fmt.Errorf("not gofmt-ed:\n%s", unformatted)
	}
	for _, c := range [][]string{
		{"go", "mod", "tidy", "-diff"},
		{"go", "vet", "./..."},
		{"go", "vet", "-tags", "mage", "magefile.go"},
		{"go", "tool", "-modfile=tools/go.mod", "staticcheck", "./..."},
		{"go", "-C", "tools", "mod", "tidy", "-diff"},
		{"go", "-C", "tools", "vet", "./..."},
		{"go", "-C", "tools", "tool", "staticcheck", "./..."},
	} {
		if err := sh.RunV(c[0], c[1:]...); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(c, " "), err)
		}
	}
	before, err := generated()
	if err != nil {
		return err
	}
	mg.Deps(Update)
	after, err := generated()
	if err != nil {
		return err
	}
	var stale []string
	for name := range after {
		if before[name] != after[name] {
			stale = append(stale, name)
		}
		delete(before, name)
	}
	for name := range before {
		stale = append(stale, name)
	}
	if len(stale) > 0 {
		sort.Strings(stale)
		return fmt.Errorf("not up to date, commit what `go tool mage update` made of them: %s", strings.Join(stale, ", "))
	}
	return sh.RunV("go", "-C", "tools", "run", "./kibana", "check")
}

// generated are the files that Update makes, with their contents.
func generated() (map[string]string, error) {
	files := []string{"fields.yml", "include/fields.go", "docs/fields.md", "reconbeat.yml", "reconbeat.reference.yml", "NOTICE.txt", "tools/kibana/rules.sum"}
	err := filepath.WalkDir("_meta/kibana", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		m[name] = string(data)
	}
	return m, nil
}

// Update makes the generated files anew: fields, configuration, NOTICE, what Kibana is given.
func Update() {
	mg.SerialDeps(Fields, Config, Notice, Kibana)
}

// Kibana makes _meta/kibana from tools/kibana: data views, dashboards, saved queries, detection rules.
func Kibana() error { return sh.RunV("go", "-C", "tools", "run", "./kibana", "write") }

// Fields makes fields.yml (ECS, libbeat's and _meta/fields.yml), include/fields.go and docs/fields.md.
func Fields() error {
	if err := mage.GenerateFieldsYAML(); err != nil {
		return err
	}
	yml, err := os.ReadFile("fields.yml")
	if err != nil {
		return err
	}
	data, err := asset.EncodeData(string(yml))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// SPDX-License-Identifier: Apache-2.0\n\n// Code generated by go tool mage update from fields.yml. DO NOT EDIT.\n\n"+
		"// Package include holds what is compiled into the binary: the fields that templates are made of.\npackage include\n\n"+
		"// Fields returns fields.yml, compressed and encoded as libbeat's asset registry wants it.\nfunc Fields() string { return fields }\n\nconst fields = %q\n", data)
	source, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	if err := os.MkdirAll("include", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("include/fields.go", source, 0o644); err != nil {
		return err
	}
	return fieldsManual(yml)
}

// fieldsManual writes docs/fields.md: the fields that reconbeat's documents have, ours and ECS's.
func fieldsManual(yml []byte) error {
	all, err := mapping.LoadFields(yml)
	if err != nil {
		return err
	}
	described := map[string]mapping.Field{}
	describe("", all, described)
	filled := map[string]bool{}
	for f := range ecs.Fields() {
		filled[f.Name] = true
	}
	for _, f := range detector.Fields {
		filled[f.Name] = true
	}
	var own, schema []string
	for name := range described {
		switch {
		case strings.HasPrefix(name, "reconbeat.") || strings.HasPrefix(name, "user.audit."):
			own = append(own, name)
		case filled[name]:
			schema = append(schema, name)
		}
	}
	var b bytes.Buffer
	b.WriteString("# Exported fields\n\nMade by `go tool mage update` from [_meta/fields.yml](../_meta/fields.yml) and the tables of fields in the code.\n\n## reconbeat's own\n\n")
	table(&b, own, described)
	b.WriteString("\n## Of the Elastic Common Schema\n\nThose that reconbeat fills itself. libbeat adds `agent.*`, `ecs.version` and `host.*`; processors add their own.\n\n")
	table(&b, schema, described)
	return os.WriteFile("docs/fields.md", b.Bytes(), 0o644)
}

// describe puts the leaves of a tree of fields by their full names.
func describe(prefix string, fields mapping.Fields, into map[string]mapping.Field) {
	for _, f := range fields {
		name := strings.TrimPrefix(prefix+"."+f.Name, ".")
		if f.Type == "group" || len(f.Fields) > 0 {
			describe(name, f.Fields, into)
			continue
		}
		into[name] = f
	}
}

func table(b *bytes.Buffer, names []string, described map[string]mapping.Field) {
	sort.Strings(names)
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for _, name := range names {
		f := described[name]
		text := strings.Join(strings.Fields(f.Description), " ")
		if f.Type == "" {
			f.Type = "keyword"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, f.Type, strings.ReplaceAll(text, "|", `\|`))
	}
}

// Config makes reconbeat.yml and reconbeat.reference.yml from our templates in _meta/config and libbeat's.
func Config() error {
	mage.BeatName, mage.BeatIndexPrefix = "reconbeat", "reconbeat"
	params := mage.DefaultConfigFileParams()
	params.Templates = append(params.Templates, "_meta/config/*.tmpl")
	params.Short.Template = "_meta/config/default.short.yml.tmpl"
	if err := mage.Config(mage.ShortConfigType|mage.ReferenceConfigType, params, "."); err != nil {
		return err
	}
	// The presets of the Elasticsearch output bring a queue that gathers events for seconds: reconbeat's alerts would wait.
	reference, err := os.ReadFile("reconbeat.reference.yml")
	if err != nil {
		return err
	}
	if bytes.Count(reference, []byte("  preset: balanced\n")) != 1 {
		return errors.New("libbeat's template of the Elasticsearch output no longer says `preset: balanced`; look what it says now")
	}
	reference = bytes.Replace(reference, []byte("  preset: balanced\n"), []byte("  # The others gather events for seconds; custom keeps reconbeat's queue, which hands an alert on at once.\n  preset: custom\n"), 1)
	return os.WriteFile("reconbeat.reference.yml", reference, 0o644)
}

// Notice makes NOTICE.txt: every module that is linked, with its licence. It fails on a licence that Apache-2.0 code cannot be linked with.
func Notice() error {
	linked, err := sh.Output("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	if err != nil {
		return err
	}
	modules := strings.Fields(linked)
	sort.Strings(modules)
	modules = slices.DeleteFunc(slices.Compact(modules), func(m string) bool { return m == "github.com/reconbeat/reconbeat" })
	list, err := sh.Output("go", append([]string{"list", "-m", "-json"}, modules...)...)
	if err != nil {
		return err
	}
	detect := exec.Command("go", "tool", "-modfile=tools/go.mod", "go-licence-detector", "-includeIndirect", "-noticeOut", "NOTICE.txt", "-noticeTemplate", "tools/notice.tmpl",
		"-rules", "tools/licence-rules.json", "-overrides", "tools/licence-overrides.ndjson")
	detect.Stdin = strings.NewReader(list)
	detect.Stdout, detect.Stderr = os.Stdout, os.Stderr
	return detect.Run()
}

// Bench runs the benchmarks, with allocations.
func Bench() error {
	return sh.RunV("go", "test", "-run", "^$", "-bench", ".", "-benchmem", "./...")
}

// Evaluate measures the models on simulated hosts and writes docs/evaluation.md with its plots: some minutes.
func Evaluate() error { return sh.RunV("go", "run", "./evaluation", "-report", "docs") }

// Fuzz runs every fuzz target for FUZZTIME (default 30s), and goes on where it was left: a target that is through is not run again until `mage clean`.
func Fuzz() error {
	fuzztime := os.Getenv("FUZZTIME")
	if fuzztime == "" {
		fuzztime = "30s"
	}
	for _, module := range []string{".", "tools"} {
		if err := fuzzModule(module, fuzztime); err != nil {
			return err
		}
	}
	return nil
}

// fuzzModule runs the fuzz targets of the module in a folder.
func fuzzModule(module, fuzztime string) error {
	listed, err := sh.Output("go", "-C", module, "test", "-list", "^Fuzz", "./...")
	if err != nil {
		return err
	}
	var targets []string
	for line := range strings.Lines(listed) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Fuzz") {
			targets = append(targets, line)
		} else if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "ok" {
			for _, target := range targets {
				if err := fuzz(module, fields[1], target, fuzztime); err != nil {
					return err
				}
			}
			targets = nil
		}
	}
	return nil
}

func fuzz(module, pkg, target, fuzztime string) error {
	done := filepath.Join("build", "fuzz", strings.ReplaceAll(pkg, "/", "_")+"."+target+"."+fuzztime)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	began := time.Now()
	if err := sh.RunV("go", "-C", module, "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", fuzztime, "-fuzzminimizetime", "1x", pkg); err != nil {
		return fmt.Errorf("%s of %s: %w", target, pkg, err)
	}
	if err := os.MkdirAll(filepath.Dir(done), 0o755); err != nil {
		return err
	}
	return os.WriteFile(done, []byte(time.Since(began).String()+"\n"), 0o644)
}

// Clean removes what the other targets made.
func Clean() error { return os.RemoveAll("build") }
