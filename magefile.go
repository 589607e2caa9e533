// SPDX-License-Identifier: Apache-2.0

//go:build mage

// Everything that is done to this repository: go tool mage TARGET.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha512"
	"errors"
	"fmt"
	"go/format"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/beats/v7/dev-tools/mage"
	"github.com/elastic/beats/v7/libbeat/asset"
	"github.com/elastic/beats/v7/libbeat/mapping"
	"github.com/magefile/mage/sh"
	"golang.org/x/sync/errgroup"

	"github.com/reconbeat/reconbeat/internal/document"
)

// Default is what `go tool mage` does without a target.
var Default = Build

// Build makes the binary for this machine, build/reconbeat, and puts beside it what `reconbeat setup` loads into
// Kibana.
func Build() error {
	// As `go run .` builds it, so that what that has compiled is not compiled again.
	stamp, err := stamp()
	if err != nil {
		return err
	}
	if err := sh.RunV("go", "build", "-ldflags", stamp, "-o", "build/reconbeat", "."); err != nil {
		return err
	}
	if err := os.RemoveAll("build/kibana"); err != nil {
		return err
	}
	return os.CopyFS("build/kibana", os.DirFS("_meta/kibana"))
}

// XPack makes the Beat with Elastic's management, build/x-pack/reconbeat, and the specification by which an Agent runs
// it. It is linked with Elastic-licensed code, for tests alone: x-pack/reconbeat/README.md.
func XPack() error {
	if err := build(xpack, "build/x-pack/reconbeat", nil); err != nil {
		return err
	}
	return sh.Copy("build/x-pack/reconbeat.spec.yml", "internal/component/reconbeat.spec.yml")
}

// fleetMake runs the command of the integration's module that makes the Fleet package, and returns what it prints. The
// paths among its arguments, which are all but the first, are of this folder.
func fleetMake(what string, paths ...string) (string, error) {
	args := []string{"-C", "integration", "run", "./make", what}
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		args = append(args, abs)
	}
	return sh.Output("go", args...)
}

// xpack is the folder of the module that is linked with Elastic-licensed code.
const xpack = "x-pack/reconbeat"

// modules are the folders of this repository's Go modules, in which every check and test runs. What only a tool, the
// evaluation or the Fleet package needs stays out of what a user of the Beat downloads.
var modules = []string{".", "integration", "internal/evaluation", "tools", xpack}

// linters is the go.mod of golangci-lint and govulncheck, whose many libraries would choose the other tools' versions.
const linters = "tools/lint/go.mod"

// build makes the binary of a folder for the system that env names, by default this one, without C, so that it runs on
// every Linux and is the one that the packages have. It takes the commit and its time from git, and nothing from this
// machine.
func build(dir, binary string, env map[string]string) error {
	static := map[string]string{"CGO_ENABLED": "0"}
	maps.Copy(static, env)
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	stamp, err := stamp()
	if err != nil {
		return err
	}
	return sh.RunWithV(static, "go", "-C", dir, "build", "-trimpath", "-ldflags", "-s -w "+stamp, "-o", binary, ".")
}

// stamp are the linker's flags by which a binary knows its commit.
func stamp() (string, error) {
	commit, err := sh.Output("git", "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	at, err := sh.Output("git", "show", "-s", "--format=%cI", "HEAD")
	if err != nil {
		return "", err
	}
	const version = "github.com/elastic/beats/v7/libbeat/version."
	return "-X " + version + "commit=" + commit + " -X " + version + "buildTime=" + at, nil
}

// A step is one of the things that a target does.
type step struct {
	name string
	run  func() error
}

// command is a step that runs a command.
func command(words ...string) step {
	return step{strings.Join(words, " "), func() error {
		err := sh.RunV(words[0], words[1:]...)
		if err != nil && sh.CmdRan(err) {
			err = fmt.Errorf("exit code %d", sh.ExitStatus(err)) // the step's name says the rest
		}
		return err
	}}
}

// all runs every step, whatever fails, and says in the end what did: one failure hides no other.
func all(steps ...step) error { return concurrently(1, steps) }

// concurrently is all, with n steps running at a time.
func concurrently(n int, steps []step) error {
	var running errgroup.Group
	running.SetLimit(n)
	failures := make([]error, len(steps))
	for i, s := range steps {
		running.Go(func() error {
			if err := s.run(); err != nil {
				fmt.Fprintf(os.Stderr, "FAILED: %s: %v\n", s.name, err)
				failures[i] = fmt.Errorf("%s: %w", s.name, err)
			}
			return nil // the others run all the same
		})
	}
	if err := running.Wait(); err != nil {
		return err
	}
	failures = slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d steps failed:\n%w", len(failures), len(steps), errors.Join(failures...))
}

// Test runs every test there is, with the race detector. As root it first installs what the live tests drive. It makes
// this machine's packages, which are tested, too.
func Test() error {
	steps := []step{{"installing what the live tests drive", installTools}}
	if machines[runtime.GOARCH] != "" {
		steps = append(steps, step{"making the packages", func() error { return pack(runtime.GOARCH) }})
	}
	return all(append(steps, step{"tests", testModules})...)
}

// testModules runs the tests of every module with the race detector, and those without it of the packages that import
// internal/race, where they do all their rounds. Two commands run at a time, each with three packages, and four tests
// of a package: the tests of the Beat, which are the longest, wait for the kernel, for each other's use of its audit,
// and for other programs more than they compute. What theirs print is seen at once, that of the others when all have
// ended.
func testModules() error {
	defer unsteady()
	var runs []testRun
	for _, module := range modules {
		runs = append(runs, testRun{module, []string{"./..."}, []string{"-race", "-p", "3", "-parallel", "4"}})
	}
	runs = append(runs,
		testRun{".", []string{".", "./ecs", "./detector/...", "./internal/engine"}, nil},
		testRun{"internal/evaluation", []string{"."}, nil})
	if err := os.RemoveAll(rerunReports); err != nil {
		return err
	}
	if err := os.MkdirAll(rerunReports, 0o755); err != nil {
		return err
	}
	var running errgroup.Group
	running.SetLimit(2)
	printed, failures := make([]bytes.Buffer, len(runs)), make([]error, len(runs))
	for i, r := range runs {
		out := io.Writer(&printed[i])
		if i == 0 {
			out = io.MultiWriter(os.Stdout, out)
		}
		running.Go(func() error {
			words, err := r.words(filepath.Join(rerunReports, strconv.Itoa(i)))
			if err == nil {
				_, err = sh.Exec(raced, out, out, "go", words...)
			}
			if err != nil {
				var failed []string
				for _, test := range failedTest.FindAllStringSubmatch(printed[i].String(), -1) {
					failed = append(failed, test[1])
				}
				slices.Sort(failed) // twice in what is printed: of the first run, and of the second
				failures[i] = fmt.Errorf("%w: %s", err, strings.Join(slices.Compact(failed), ", "))
			}
			return nil // the others run all the same
		})
	}
	if err := running.Wait(); err != nil {
		return err
	}
	for i := range printed[1:] {
		if _, err := printed[1+i].WriteTo(os.Stdout); err != nil {
			return err
		}
	}
	return errors.Join(failures...)
}

// testRun is one `go test` of packages of a module.
type testRun struct {
	module   string
	packages []string
	flags    []string
}

// words are the arguments of go for the run. A test that fails is run once more: the live tests share a kernel with
// whatever else the machine does. One that fails twice fails, and so do a data race, a panic, and more than three
// tests that fail. The report names each test that was run again.
func (r testRun) words(report string) ([]string, error) {
	tools, err := filepath.Rel(r.module, "tools/go.mod")
	if err != nil {
		return nil, err
	}
	if report, err = filepath.Abs(report); err != nil {
		return nil, err
	}
	words := []string{
		"-C", r.module, "tool", "-modfile", tools, "gotestsum", "--format", "standard-quiet",
		"--rerun-fails=1", "--rerun-fails-max-failures", "3", "--rerun-fails-abort-on-data-race",
		"--rerun-fails-run-root-test", "--rerun-fails-report", report,
		"--packages", strings.Join(r.packages, " "), "--", "-timeout", "40m",
		// Check has vetted them; without tables for a debugger the linker takes less time.
		"-vet=off", "-ldflags=-s -w",
	}
	return append(words, r.flags...), nil
}

// rerunReports is the folder of what testRun says of tests that were run again.
const rerunReports = "build/reruns"

// unsteady names the tests that failed once and passed then: each has a fault, of the product or of its own.
func unsteady() {
	reports, _ := filepath.Glob(filepath.Join(rerunReports, "*"))
	for _, report := range reports {
		if data, err := os.ReadFile(report); err == nil && len(bytes.TrimSpace(data)) > 0 {
			fmt.Printf("UNSTEADY, MEND THESE (runs, failures):\n%s\n", bytes.TrimSpace(data))
		}
	}
}

// failedTest finds in what gotestsum prints the tests and packages that failed.
var failedTest = regexp.MustCompile(`(?m)^(?:=== FAIL: \S+ |FAIL\t)([\w./-]+)`)

// raced is the environment of tests with the race detector: a process ends when it is done. By default it waits a
// second for other threads to report a race, and the tests run reconbeat some 500 times.
var raced = map[string]string{"GORACE": "atexit_sleep_ms=0 " + os.Getenv("GORACE")}

// Stack runs the tests against a real search node: what setup installs, every kind of document, and what happens when
// Elasticsearch has a bad day.
func Stack() error {
	if err := installTools(); err != nil {
		return err
	}
	return sh.RunWithV(raced, "go", "test", "-race", "-count", "1", "-run", "^TestStack", "./cmd")
}

// driven are the commands that the live tests run, and Debian's packages with them.
var driven = map[string]string{
	"ansible-playbook":    "ansible-core",
	"auditctl":            "auditd",
	"busybox":             "busybox",
	"chromium":            "chromium",
	"cron":                "cron",
	"curl":                "curl",
	"javac":               "default-jdk-headless",
	"jq":                  "jq",
	"mvn":                 "maven",
	"qemu-aarch64-static": "qemu-user-static",
	"netstat":             "net-tools",
	"redis-server":        "redis-server",
	"db5.3_load":          "db5.3-util",
	"podman":              "podman",
	"runc":                "runc",
	"rpm":                 "rpm",
	"sqlite3":             "sqlite3",
	"showmount":           "nfs-common",
	"script":              "bsdutils",
	"setpriv":             "util-linux",
	"ss":                  "iproute2",
	"ssh":                 "openssh-client",
	"sshd":                "openssh-server",
	"sudo":                "sudo",
	"timeout":             "coreutils",
	"useradd":             "passwd",
	"gcc":                 "gcc",
}

// installTools installs the packages of those commands of driven that are missing, where it can: as root on Debian and
// its kin. The tests say loudly what they miss.
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

// Check looks for everything that a machine can find wrong: format, what golangci-lint knows, with vet's and
// staticcheck's findings among it, requirements, generated files.
func Check() error {
	lint := []string{"go", "tool", "-modfile", linters, "golangci-lint", "run"}
	steps := []step{
		{"gofmt", formatted},
		command(append(lint, "--build-tags", "mage", "magefile.go")...),
		command("go", "-C", filepath.Dir(linters), "mod", "tidy", "-diff"),
	}
	for _, module := range modules {
		linters, err := filepath.Rel(module, linters)
		if err != nil {
			return err
		}
		steps = append(steps,
			command("go", "-C", module, "mod", "tidy", "-diff"),
			command("go", "-C", module, "tool", "-modfile", linters, "golangci-lint", "run", "./..."),
		)
	}
	return errors.Join(concurrently(2, steps), all(
		step{"generated files", upToDate},
		command("go", "-C", "tools", "run", "./kibana", "check"),
		step{"the Fleet package", func() error { return validate(fleetPackage) }},
	))
}

// formatted wants every Go file that is in the repository, or could be added to it, to be as gofmt writes it.
func formatted() error {
	names, err := sh.Output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "*.go")
	if err != nil {
		return err
	}
	files := slices.DeleteFunc(strings.Split(names, "\x00"), func(name string) bool {
		_, err := os.Stat(name)
		return errors.Is(err, fs.ErrNotExist) // removed, and not yet committed; or what follows the last name
	})
	unformatted, err := sh.Output("gofmt", append([]string{"-l"}, files...)...)
	if err == nil && unformatted != "" {
		err = fmt.Errorf("not gofmt-ed:\n%s", unformatted)
	}
	return err
}

// upToDate wants generated files to be what Update makes.
func upToDate() error {
	before, err := generated()
	if err != nil {
		return err
	}
	if err := Update(); err != nil {
		return err
	}
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
		return fmt.Errorf("not up to date, commit what `go tool mage update` made of them: %s",
			strings.Join(stale, ", "))
	}
	return nil
}

// Vulncheck asks Go's database of vulnerabilities about what the code calls in its libraries. Where the database,
// https://vuln.go.dev or the one in GOVULNDB, is not to be reached, it says so and checks nothing.
func Vulncheck() error {
	database := cmp.Or(os.Getenv("GOVULNDB"), "https://vuln.go.dev")
	if strings.HasPrefix(database, "http") {
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Head(database + "/index/db.json")
		if err == nil {
			err = answer.Body.Close()
		}
		if err == nil && answer.StatusCode != http.StatusOK {
			err = errors.New(answer.Status)
		}
		if err != nil {
			fmt.Printf("SKIPPED: NOTHING WAS CHECKED, FOR THE DATABASE %s IS NOT TO BE REACHED: %v\n", database, err)
			return nil
		}
	}
	var steps []step
	for _, module := range modules {
		linters, err := filepath.Rel(module, linters)
		if err != nil {
			return err
		}
		steps = append(steps, command("go", "-C", module, "tool", "-modfile", linters, "govulncheck", "./..."))
	}
	return all(steps...)
}

// fleetPackage is the folder of the Fleet package.
const fleetPackage = "integration/reconbeat"

// agentPolicy is a policy for an Agent that runs reconbeat, with every setting.
const agentPolicy = "integration/policy.reference.yml"

// Integration makes the Fleet package for Kibana, build/distributions/reconbeat-VERSION.zip.
func Integration() error {
	if err := os.MkdirAll(distributions, 0o755); err != nil {
		return err
	}
	file, err := fleetMake("zip", fleetPackage, distributions)
	if err != nil {
		return err
	}
	if err := validate(file); err != nil {
		return err
	}
	return checksum(file)
}

// validate asks Elastic's package-spec whether a Fleet package, a folder or a zip file, is valid.
func validate(pkg string) error {
	abs, err := filepath.Abs(pkg)
	if err != nil {
		return err
	}
	return sh.RunV("go", "-C", "tools", "run", "./integration", abs)
}

// generated are the files that Update makes, with their contents; those of the Fleet package stand among some that are
// written by hand.
func generated() (map[string]string, error) {
	files := []string{"fields.yml", "internal/include/fields.go", "docs/fields.md", "reconbeat.yml",
		"reconbeat.reference.yml", "reconbeat.docker.yml", "NOTICE.txt", xpack + "/NOTICE.txt",
		agentPolicy, protocol + ".pb.go", "tools/kibana/rules.sum", "docs/terminal-watch.svg"}
	for _, folder := range []string{"_meta/kibana", fleetPackage} {
		err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, name)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
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

// Update makes the generated files anew: fields, configuration, the Agent's protocol, NOTICE, what Kibana is given, the
// picture of `watch`, and the parts of the Fleet package.
func Update() error {
	show := func() error { return pictures() }
	for _, generate := range []func() error{Fields, Config, Protocol, Notice, Kibana, show} {
		if err := generate(); err != nil {
			return err
		}
	}
	_, err := fleetMake("generate", fleetPackage, ".")
	return err
}

// Pictures makes the manual's pictures of a terminal, docs/terminal-*.svg. All but that of `watch` show this host and
// this day, so `update` leaves them as they are.
func Pictures() error { return pictures("-all") }

// pictures draws what a reconbeat shows that is built as the linter has built everything it is linked with.
func pictures(flags ...string) error {
	binary, err := filepath.Abs("build/picture/reconbeat")
	if err != nil {
		return err
	}
	if err := sh.RunV("go", "build", "-buildvcs=false", "-o", binary, "."); err != nil {
		return err
	}
	args := append([]string{"-C", "tools", "run", "./picture"}, flags...)
	return sh.RunV("go", append(args, binary, "../cmd/recording.ndjson.gz", "../docs")...)
}

// Dashboards makes the pictures of the dashboards anew, docs/kibana-*.png and those of the Fleet package: a search node
// answers each panel's query of a week with attacks, and Chromium draws the answers. It wants a JDK, Maven, Node.js
// with npm, and Chromium (Debian: default-jdk-headless, maven, npm, chromium, fonts-inter).
func Dashboards() error {
	answers, err := os.MkdirTemp("", "reconbeat-answers-")
	if err != nil {
		return fmt.Errorf("drawing the dashboards: %w", err)
	}
	defer os.RemoveAll(answers)
	asked := map[string]string{"RECONBEAT_ANSWERS": answers}
	if err := sh.RunWithV(asked, "go", "test", "./cmd", "-count=1", "-run", "^TestStackShowsTheAttack$"); err != nil {
		return err
	}
	if files, err := filepath.Glob(filepath.Join(answers, "*.json")); err != nil || len(files) == 0 {
		return errors.New("drawing the dashboards: the test was skipped, and nothing was answered")
	}
	if err := sh.RunV("npm", "ci", "--prefix", "tools/dashboards", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	img := filepath.Join(fleetPackage, "img")
	if err := sh.RunV("node", "tools/dashboards/draw.mjs", answers, "_meta/kibana", "docs", img); err != nil {
		return err
	}
	return nameSizes(filepath.Join(fleetPackage, "manifest.yml"), img)
}

// nameSizes writes into the Fleet package's manifest how large the pictures of the folder img are: with a panel more, a
// dashboard grows.
func nameSizes(manifest, img string) error {
	lines, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("naming the sizes of pictures: %w", err)
	}
	screenshot := regexp.MustCompile(`(?m)^  - src: /img/(\S+\.png)\n.*\n    size: (\S+)$`)
	text := string(lines)
	for _, found := range screenshot.FindAllStringSubmatch(text, -1) {
		file, err := os.Open(filepath.Join(img, found[1]))
		if err != nil {
			return fmt.Errorf("naming the sizes of pictures: %w", err)
		}
		picture, err := png.DecodeConfig(file)
		file.Close()
		if err != nil {
			return fmt.Errorf("naming the sizes of pictures: reading %s: %w", file.Name(), err)
		}
		named := strings.Replace(found[0], "size: "+found[2], fmt.Sprintf("size: %dx%d", picture.Width, picture.Height), 1)
		text = strings.Replace(text, found[0], named, 1)
	}
	return os.WriteFile(manifest, []byte(text), 0o644)
}

// protocol is what an Elastic Agent and reconbeat say to each other.
const protocol = "internal/agent/wire/agent"

// Protocol makes Go of the Agent's protocol, internal/agent/wire/agent.proto.
func Protocol() error { return sh.RunV("go", "-C", "tools", "run", "./wire", "..", protocol+".proto") }

// Kibana makes _meta/kibana from tools/kibana: data views, dashboards, saved queries, detection rules.
func Kibana() error { return sh.RunV("go", "-C", "tools", "run", "./kibana", "write") }

// Fields makes fields.yml (ECS, libbeat's and _meta/fields.yml), internal/include/fields.go and docs/fields.md.
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
	fmt.Fprintf(
		&b,
		"// SPDX-License-Identifier: Apache-2.0\n\n// Code generated by go tool mage update from fields.yml. DO NOT "+
			"EDIT.\n\n"+
			"// Package include holds what is compiled into the binary: the fields that templates are made "+
			"of.\npackage include\n\n"+
			"// Fields returns fields.yml, compressed and encoded as libbeat's asset registry wants it.\nfunc "+
			"Fields() string { return fields }\n\nconst fields = %q\n",
		data,
	)
	source, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	if err := os.MkdirAll("internal/include", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("internal/include/fields.go", source, 0o644); err != nil {
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
	filled := document.Fields()
	var own, schema []string
	for name := range described {
		switch {
		case strings.HasPrefix(name, "reconbeat.") || strings.HasPrefix(name, "user.audit."):
			own = append(own, name)
		case filled[name] != "":
			schema = append(schema, name)
		}
	}
	var b bytes.Buffer
	b.WriteString(
		"# Exported fields\n\nMade by `go tool mage update` from [_meta/fields.yml](../_meta/fields.yml) and the " +
			"tables of fields in the code.\n\n## reconbeat's own\n\n",
	)
	table(&b, own, described)
	b.WriteString(
		"\n## Of the Elastic Common Schema\n\nThose that reconbeat fills itself. libbeat adds `agent.*`, " +
			"`ecs.version` and `host.*`; processors add their own.\n\n",
	)
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
		if f.Unit != "" {
			f.Type += ", in " + f.Unit
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, f.Type, strings.ReplaceAll(text, "|", `\|`))
	}
}

// Config makes reconbeat.yml, reconbeat.reference.yml, and reconbeat.docker.yml, which is the image's, from our
// templates in _meta/config and libbeat's.
func Config() error {
	mage.BeatName, mage.BeatIndexPrefix = "reconbeat", "reconbeat"
	params := mage.DefaultConfigFileParams()
	params.Templates = append(params.Templates, "_meta/config/*.tmpl")
	params.Short.Template = "_meta/config/default.short.yml.tmpl"
	params.Docker.Template = "_meta/config/default.docker.yml.tmpl"
	if err := mage.Config(mage.ShortConfigType|mage.ReferenceConfigType|mage.DockerConfigType, params,
		"."); err != nil {
		return err
	}
	text, err := os.ReadFile("reconbeat.reference.yml")
	if err != nil {
		return err
	}
	reference := string(text)
	for _, c := range corrections {
		if strings.Count(reference, c.libbeat) != 1 {
			return fmt.Errorf("libbeat's templates no longer say %q once; look what they say now", c.libbeat)
		}
		reference = strings.Replace(reference, c.libbeat, c.ours, 1)
	}
	if err := os.WriteFile("reconbeat.reference.yml", []byte(reference), 0o644); err != nil {
		return err
	}
	return policyReference(reference)
}

// corrections are what libbeat's templates of the reference configuration say, and what is true of reconbeat.
var corrections = []struct{ libbeat, ours string }{
	{
		// The presets bring a queue that gathers events for seconds: reconbeat's alerts would wait.
		libbeat: "  preset: balanced\n",
		ours: "  # The others gather events for seconds; custom keeps reconbeat's queue, which hands an alert on at " +
			"once.\n  preset: custom\n",
	},
	{
		// libbeat reads the file's settings one level deeper than its template says.
		libbeat: "#logging.event_data:\n",
		ours:    "#logging.event_data.files:\n",
	},
}

// policyReference makes of the reference configuration the policy of an Elastic Agent with every setting: the modules
// are its streams, the rest stands in its input.
func policyReference(reference string) error {
	_, own, begins := strings.Cut(reference, "\nreconbeat:\n")
	own, _, ends := strings.Cut(own, "# ================================== General")
	modules, rest, files := strings.Cut(own, "  # Modules in files of their own")
	_, rest, detector := strings.Cut(rest, "\n\n")
	rest, _, notify := strings.Cut(rest, "\n  # ----------------------------------- Notify") // which a policy cannot have
	if !begins || !ends || !files || !detector || !notify || strings.Count(own, "\n  #modules:\n") != 1 ||
		strings.Count(own, "\n  #namespace: default\n") != 1 {
		return errors.New("the reference configuration has another shape; look what its policy is made of")
	}
	own = strings.Replace(modules+rest, "\n  #modules:\n", "\n  #streams:\n", 1)
	own = strings.Replace(own, "  # With no module here and none enabled in modules.d, `auto` runs.\n",
		"  # A policy needs at least one.\n", 1)
	own = strings.Replace(own, "\n  #namespace: default\n", "\n", 1)
	var b strings.Builder
	b.WriteString(
		"# An Elastic Agent's policy for reconbeat with every setting there is, and its default. Made by `go tool " +
			"mage update` from what reconbeat.reference.yml is made from.\n" +
			"inputs:\n  - id: reconbeat\n    type: reconbeat\n    use_output: default\n    # The last part of the " +
			"data streams' names.\n    data_stream.namespace: default\n\n",
	)
	for line := range strings.Lines(strings.TrimRight(own, "\n") + "\n") {
		if line != "\n" {
			line = "  " + line
		}
		b.WriteString(line)
	}
	return os.WriteFile(agentPolicy, []byte(b.String()), 0o644)
}

// Notice makes the NOTICE.txt of each binary: every module that is linked, with its licence. It fails on a licence that
// Apache-2.0 code cannot be linked with; in x-pack/ Elastic's own is allowed, too, and nowhere else.
func Notice() error {
	if err := notice(".", "tools/licence-rules.json", "tools/licence-overrides.ndjson",
		"tools/notice.tmpl"); err != nil {
		return err
	}
	return notice(xpack, xpack+"/licence-rules.json", xpack+"/licence-overrides.ndjson", xpack+"/notice.tmpl")
}

func notice(dir, rules, overrides, template string) error {
	list := func(args ...string) (string, error) {
		c := exec.Command("go", append([]string{"list"}, args...)...)
		c.Dir, c.Stderr = dir, os.Stderr
		out, err := c.Output()
		return string(out), err
	}
	linked, err := list("-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	if err != nil {
		return err
	}
	modules := strings.Fields(linked)
	sort.Strings(modules)
	modules = slices.DeleteFunc(slices.Compact(modules),
		func(m string) bool { return strings.HasPrefix(m, "github.com/reconbeat/reconbeat") })
	described, err := list(append([]string{"-m", "-json"}, modules...)...)
	if err != nil {
		return err
	}
	detect := exec.Command("go", "tool", "-modfile=tools/go.mod", "go-licence-detector", "-includeIndirect",
		"-noticeOut", filepath.Join(dir, "NOTICE.txt"), "-noticeTemplate", template, "-rules", rules, "-overrides",
		overrides)
	detect.Stdin = strings.NewReader(described)
	detect.Stdout, detect.Stderr = os.Stdout, os.Stderr
	return detect.Run()
}

// distributions is where the packages go, with their checksums and bills of materials.
const distributions = "build/distributions"

// machines are the architectures that packages are made for, by Go's name, and what the field calls them in the name of
// a tar.gz.
var machines = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

// Package makes deb, rpm and tar.gz for every architecture, or for the one in ARCH, and the Fleet package:
// build/distributions.
func Package() error {
	arches := slices.Sorted(maps.Keys(machines))
	if arch := os.Getenv("ARCH"); arch != "" {
		if machines[arch] == "" {
			return fmt.Errorf("ARCH is %q; packages are made for %s", arch, strings.Join(arches, ", "))
		}
		arches = []string{arch}
	}
	for _, arch := range arches {
		if err := pack(arch); err != nil {
			return fmt.Errorf("packages for %s: %w", arch, err)
		}
	}
	return Integration()
}

// pack makes the packages of one architecture. The same commit gives the same bytes on every machine: the time is the
// commit's (or SOURCE_DATE_EPOCH), users, modes and order are set here, and the binary is built without C and without
// paths.
func pack(arch string) error {
	number, err := version()
	if err != nil {
		return err
	}
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		if epoch, err = sh.Output("git", "show", "-s", "--format=%ct", "HEAD"); err != nil {
			return err
		}
	}
	name := "reconbeat-" + number + "-linux-" + machines[arch]
	stage := filepath.Join("build", "package", name)
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	env := map[string]string{"SOURCE_DATE_EPOCH": epoch, "VERSION": number, "ARCH": arch, "STAGE": stage}
	if err := build(".", filepath.Join(stage, "reconbeat"),
		map[string]string{"GOOS": "linux", "GOARCH": arch}); err != nil {
		return err
	}
	// Built as the binary is, it finds everything compiled.
	if err := sh.RunWithV(map[string]string{"SOURCE_DATE_EPOCH": epoch, "CGO_ENABLED": "0"}, "go", "run", "-trimpath",
		"./deploy/manual", stage); err != nil {
		return err
	}
	// Only what is in the repository goes in.
	kept, err := sh.Output("git", "ls-files", "--", "docs", "modules.d", "rules.d", "exceptions.d", "windows.d",
		"onboarding.d", "deploy/hooks", "deploy/systemd",
		"fields.yml", "reconbeat.yml", "reconbeat.reference.yml", ":(glob)*.md", "LICENSE", "NOTICE.txt")
	if err != nil {
		return err
	}
	commit, err := sh.Output("git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	for _, file := range strings.Fields(kept) {
		if filepath.Ext(file) == ".md" {
			err = stagePage(file, stage, commit)
		} else {
			err = copyFile(file, filepath.Join(stage, file))
		}
		if err != nil {
			return err
		}
	}
	if err := os.CopyFS(filepath.Join(stage, "kibana"), os.DirFS("_meta/kibana")); err != nil {
		return err
	}
	if err := level(stage, epoch); err != nil {
		return err
	}
	if err := os.MkdirAll(distributions, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(distributions, name+".tar.gz")
	if err := sh.Run("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu",
		"--use-compress-program=gzip -n", "-C", filepath.Dir(stage), "-cf", archive, name); err != nil {
		return err
	}
	bill := filepath.Join(distributions, name+".cdx.json")
	if err := sh.RunV("go", "tool", "-modfile=tools/go.mod", "cyclonedx-gomod", "bin", "-json", "-std", "-noserial",
		"-notimestamp", "-version", number, "-output", bill, filepath.Join(stage, "reconbeat")); err != nil {
		return err
	}
	made := []string{archive, bill}
	for packager, machine := range map[string]string{"deb": arch, "rpm": map[string]string{"amd64": "x86_64",
		"arm64": "aarch64"}[arch]} {
		file := filepath.Join(distributions, "reconbeat-"+number+"-"+machine+"."+packager)
		if err := sh.RunWithV(env, "go", "tool", "-modfile=tools/go.mod", "nfpm", "package", "-f", "deploy/nfpm.yml",
			"-p", packager, "-t", file); err != nil {
			return err
		}
		made = append(made, file)
	}
	for _, file := range made {
		if err := checksum(file); err != nil {
			return err
		}
	}
	return nil
}

// Reproduce makes the packages of the last commit twice, in two folders, and compares their checksums. ARCH names one
// architecture.
func Reproduce() error {
	var sums [2]string
	for i := range sums {
		folder, err := filepath.Abs(filepath.Join("build", "reproduce", strconv.Itoa(i)))
		if err != nil {
			return err
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
		if err := sh.Run("git", "clone", "--quiet", ".", folder); err != nil {
			return err
		}
		c := exec.Command("go", "tool", "mage", "package")
		c.Dir, c.Stdout, c.Stderr = folder, os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return err
		}
		made, err := filepath.Glob(filepath.Join(folder, distributions, "*.sha512"))
		if err != nil {
			return err
		}
		for _, file := range made {
			sum, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			sums[i] += string(sum)
		}
	}
	if sums[0] == "" || sums[0] != sums[1] {
		return fmt.Errorf("two builds of one commit differ:\n%s\n%s", sums[0], sums[1])
	}
	fmt.Print("twice the same:\n", sums[0])
	return nil
}

// version is the number in the source of package cmd.
func version() (string, error) {
	source, err := os.ReadFile("cmd/root.go")
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^var Version = "(.+)"$`).FindSubmatch(source)
	if m == nil {
		return "", errors.New("cmd/root.go no longer says `var Version = ...`")
	}
	return string(m[1]), nil
}

// linked is the target of a link in a page of the manual.
var linked = regexp.MustCompile(`\]\(([^)\s#]+)`)

// beside are the files that every kind of package has beside the manual; links to them stay as they are.
var beside = regexp.MustCompile(`^(docs/.*|[^/]*\.md|LICENSE|NOTICE\.txt)$`)

// stagePage writes a page of the manual into the stage. What it links to in the repository, and no package has, becomes
// an address of the commit on the web.
func stagePage(page, stage, commit string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text = linked.ReplaceAllFunc(text, func(link []byte) []byte {
		target := string(link[len("]("):])
		file := path.Join(path.Dir(page), target)
		if strings.Contains(target, "://") || beside.MatchString(file) {
			return link
		}
		return []byte("](https://github.com/reconbeat/reconbeat/blob/" + commit + "/" + file)
	})
	to := filepath.Join(stage, page)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return sh.Copy(to, from)
}

// level gives everything below a folder the modes that a package wants and one time, whatever this machine's umask and
// clock are.
func level(folder, epoch string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	at := time.Unix(seconds, 0)
	return filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		switch {
		case d.IsDir() || path == filepath.Join(folder, "reconbeat") ||
			filepath.Dir(path) == filepath.Join(folder, "deploy", "hooks"):
			mode = 0o755
		case path == filepath.Join(folder, "reconbeat.yml"):
			mode = 0o600 // it may hold the output's password
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, at, at)
	})
}

// checksum writes FILE.sha512, for `sha512sum -c`.
func checksum(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file+".sha512", fmt.Appendf(nil, "%x  %s\n", sha512.Sum512(data), filepath.Base(file)), 0o644)
}

// Bench runs the benchmarks, with allocations.
func Bench() error {
	return sh.RunV("go", "test", "-run", "^$", "-bench", ".", "-benchmem", "./...")
}

// Evaluate measures the models on simulated hosts and writes docs/evaluation.md with its plots: some minutes.
func Evaluate() error {
	return sh.RunV("go", "-C", "internal/evaluation", "run", ".", "-report", "../../docs")
}

// Campaign runs what is too long for .ci/run, or the steps that have a word of STEPS in their names: every fuzz target
// for FUZZTIME (default 10m), evaluate, reproduce, the other architecture's packages under an emulator, the benchmarks.
// It goes on where it was left, and writes what came of each step into build/campaign.md; RELEASE.md says where that
// goes.
func Campaign() error {
	if err := installTools(); err != nil {
		fmt.Printf("NOT EVERYTHING COULD BE INSTALLED; steps that miss something are left out: %v\n", err)
	}
	return campaign(cmp.Or(os.Getenv("FUZZTIME"), "10m"), "build/campaign.md", strings.Fields(os.Getenv("STEPS"))...)
}

// Fuzz runs every fuzz target for FUZZTIME (default 30s), and goes on where it was left: a target that went well is not
// run again until its code changes, or `mage clean`.
func Fuzz() error {
	return campaign(cmp.Or(os.Getenv("FUZZTIME"), "30s"), "build/fuzz.md", "fuzz")
}

func campaign(fuzztime, page string, steps ...string) error {
	return sh.RunV(
		"go",
		append([]string{"-C", "tools", "run", "./campaign", "-fuzztime", fuzztime, "-page", page}, steps...)...)
}

// Clean removes what the other targets made.
func Clean() error { return os.RemoveAll("build") }
