// SPDX-License-Identifier: Apache-2.0

// Command campaign runs what is too long for `.ci/run`, a step after the other, and writes what came of each into a
// page when it ends: build/campaign.md, or the one given.
//
// A step whose line on that page says that it went well, with the code that it depends on as it is now, is not run
// again. So a campaign that was killed goes on where it was, a commit that changes only texts costs nothing, and a line
// that is removed is a step that runs. A step that fails does not stop the others; the command fails in the end. A step
// that could not run here, because a test of it was skipped, is left out, which is neither.
//
//	go run ./campaign [-page FILE] [-fuzztime 10m] [NAME...]
//
// NAME is a part of the names of the steps that are to run; without one, all do. What a step printed is in
// build/campaign. It runs anywhere in the repository.
//
// campaign.go is what runs steps, page.go what remembers them, steps.go the list.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	page := flag.String("page", "build/campaign.md", "where the results are kept, from the top of the repository")
	fuzztime := flag.Duration("fuzztime", 10*time.Minute, "how long each fuzz target runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *page, *fuzztime, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, page string, fuzztime time.Duration, only []string) error {
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("looking for the top of the repository: %w", err)
	}
	c := campaign{root: strings.TrimSpace(string(root)), page: page, out: os.Stdout}
	unlock, err := lock(filepath.Join(c.root, logs, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	all, err := list(c.root, fuzztime)
	if err != nil {
		return err
	}
	return c.run(ctx, all, only)
}

// lock keeps a second campaign away, which would write its lines over the first one's. It is gone with the process,
// however that ends.
func lock(file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another campaign runs in this folder (%s): %w", file, err)
	}
	return func() { f.Close() }, nil
}
