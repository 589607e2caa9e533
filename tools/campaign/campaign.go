// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A step is something that takes long.
type step struct {
	name    string
	command string // for sh, at the top of the repository
	// what it depends on: a file; a folder with its testdata; all below, "folder/..."; "." is the Go files at the top
	of     []string
	length time.Duration // how long the command was told to fuzz, if it was
	// what the page says of it, out of what it printed; a step that has no figure did nothing
	figure func(log string) string
	reason func(log string) string // why it failed, where that is more than its exit status; may be nil
}

// logs is where the steps' output goes, from the top of the repository.
const logs = "build/campaign"

// A campaign runs steps in a repository.
type campaign struct {
	root string
	page string // from root
	out  io.Writer
}

// run runs those steps, of all there are, whose names contain one of only, and that are not good already.
func (c *campaign) run(ctx context.Context, all []step, only []string) error {
	file := filepath.Join(c.root, c.page)
	results, err := load(file)
	if err != nil {
		return err
	}
	last := map[string]result{}
	for _, r := range results {
		last[r.step] = r
	}
	wanted := slices.DeleteFunc(slices.Clone(all), func(s step) bool {
		return len(only) > 0 &&
			!slices.ContainsFunc(only, func(part string) bool { return strings.Contains(s.name, part) })
	})
	if len(wanted) == 0 {
		return fmt.Errorf("no step's name contains any of %q", only)
	}
	var bad, missed []string
	for i, s := range wanted {
		place := fmt.Sprintf("%d of %d, %s", i+1, len(wanted), s.name)
		code, err := c.code(s)
		if err != nil {
			return err
		}
		if r := last[s.name]; r.outcome == good && r.code == code && r.length >= s.length {
			fmt.Fprintf(c.out, "%s: good already\n", place)
			continue
		}
		fmt.Fprintf(c.out, "%s: %s\n", place, s.command)
		r, err := c.do(ctx, s)
		if err == nil && r.outcome == failed && r.figure == raced {
			r, err = c.do(ctx, s)
		}
		if err != nil {
			return err
		}
		r.code = code
		// A failure is one of whatever code; a fuzz target's changes the code itself, by the input that it leaves.
		if now, err := c.code(s); err != nil {
			return err
		} else if now != code && r.outcome != failed {
			fmt.Fprintf(c.out, "%s: THE CODE CHANGED WHILE IT RAN\n", place)
			bad = append(bad, s.name+": the code changed while it ran")
			continue
		}
		switch r.outcome {
		case failed:
			bad = append(bad, s.name+": "+r.figure)
		case leftOut:
			missed = append(missed, s.name+": "+r.figure)
		}
		fmt.Fprintf(c.out, "%s: %s in %v: %s\n", place, strings.ToUpper(string(r.outcome)), r.took, r.figure)
		last[s.name] = r
		if err := save(file, inOrder(all, last)); err != nil {
			return err
		}
	}
	if len(missed) > 0 {
		fmt.Fprintf(c.out, "LEFT OUT, because this host cannot do it:\n  %s\n", strings.Join(missed, "\n  "))
	}
	if len(bad) > 0 {
		return fmt.Errorf("failed (their output is in %s):\n  %s", logs, strings.Join(bad, "\n  "))
	}
	return nil
}

// inOrder are the last results of the steps that there are.
func inOrder(all []step, last map[string]result) (results []result) {
	for _, s := range all {
		if r, ok := last[s.name]; ok {
			results = append(results, r)
		}
	}
	return results
}

// skipped is how this project's tests say that they cannot run on a host.
var skipped = regexp.MustCompile(`SKIPPED: (.*)`)

// do runs one step. Its error is not the step's, but that there is no result.
func (c *campaign) do(ctx context.Context, s step) (result, error) {
	commit, err := c.git(nil, "rev-parse", "--short", "HEAD")
	if err != nil {
		return result{}, err
	}
	name := filepath.Join(c.root, logs, strings.NewReplacer("/", "_", " ", "_").Replace(s.name)+".log")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return result{}, err
	}
	log, err := os.Create(name)
	if err != nil {
		return result{}, err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, "sh", "-c", s.command)
	command.Dir, command.Stdout, command.Stderr = c.root, log, log
	// A group of its own, so that all that the command started can be ended with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) }
	command.WaitDelay = 10 * time.Second
	began := time.Now()
	fault := command.Run()
	if ctx.Err() != nil {
		if command.Process != nil {
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // what did not end when asked
		}
		return result{}, fmt.Errorf("%s was interrupted; what ended before is kept: %w", s.name, context.Cause(ctx))
	}
	r := result{
		step:   s.name,
		length: s.length,
		took:   time.Since(began).Round(time.Second),
		ended:  time.Now(),
		commit: strings.TrimSpace(commit),
	}
	said, err := os.ReadFile(name)
	if err != nil {
		return result{}, err
	}
	r.figure = s.figure(string(said))
	switch m := skipped.FindSubmatch(said); {
	case fault != nil:
		r.outcome, r.figure = failed, fault.Error()
		if s.reason != nil {
			if why := s.reason(string(said)); why != "" {
				r.figure = why
			}
		}
		fmt.Fprintf(c.out, "%s\n", tail(said, 20))
	case m != nil:
		r.outcome, r.figure = leftOut, string(m[1])
	case r.figure == "":
		r.outcome, r.figure = failed, "it did nothing"
	default:
		r.outcome = good
	}
	return r, nil
}

// tail is the last n lines of a text.
func tail(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}

// code is the digest of what a step depends on, as it is now in the folder; with a + when that is not what the last
// commit has.
func (c *campaign) code(s step) (string, error) {
	if len(s.of) == 0 {
		return "", fmt.Errorf("step %s is said to depend on nothing", s.name)
	}
	committed, err := c.digest("HEAD", s.of)
	if err != nil {
		return "", err
	}
	// What git would commit if all were added, by an index that is nobody's.
	index := filepath.Join(c.root, logs, "index")
	defer os.Remove(index)
	if err := os.MkdirAll(filepath.Dir(index), 0o755); err != nil {
		return "", err
	}
	env := []string{"GIT_INDEX_FILE=" + index}
	if _, err := c.git(env, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	if _, err := c.git(env, "add", "--all"); err != nil {
		return "", err
	}
	tree, err := c.git(env, "write-tree")
	if err != nil {
		return "", err
	}
	present, err := c.digest(strings.TrimSpace(tree), s.of)
	if err != nil || present == committed {
		return present, err
	}
	return present + "+", nil
}

// digest is that of some files of a tree, by their names, modes and contents.
func (c *campaign) digest(tree string, of []string) (string, error) {
	files, err := c.git(nil, "ls-tree", "-r", "-z", tree)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for entry := range strings.SplitSeq(files, "\x00") {
		_, name, _ := strings.Cut(entry, "\t")
		if name != "" && slices.ContainsFunc(of, func(o string) bool { return covers(o, name) }) {
			fmt.Fprintf(h, "%s\x00", entry)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// covers says whether what a step depends on has a file in it.
func covers(of, name string) bool {
	if of == "." {
		return path.Dir(name) == "." && path.Ext(name) == ".go"
	}
	if folder, all := strings.CutSuffix(of, "..."); all {
		return strings.HasPrefix(name, folder)
	}
	return name == of || path.Dir(name) == of || strings.HasPrefix(name, of+"/testdata/")
}

func (c *campaign) git(env []string, args ...string) (string, error) {
	command := exec.Command("git", args...)
	command.Dir, command.Env = c.root, append(os.Environ(), env...)
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
