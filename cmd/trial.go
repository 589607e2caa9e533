// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/cmd/instance"

	"github.com/reconbeat/reconbeat/beater"
	"github.com/reconbeat/reconbeat/internal/engine"
	"github.com/reconbeat/reconbeat/internal/printable"
	"github.com/reconbeat/reconbeat/internal/state"
)

// wholeWay is a self test on its way through the reconbeat that runs.
type wholeWay struct {
	out   io.Writer
	dir   string // of its state
	token string
	began time.Time
	ends  time.Time
	last  state.Trial
}

// tryTheWholeWay starts a marked program and follows its alert through the reconbeat that runs, step by step. The error
// says at which step it stopped, and why as far as that is known.
func tryTheWholeWay(out io.Writer, settings instance.Settings, timeout time.Duration) error {
	b, err := configured(settings)
	if err != nil {
		return err
	}
	now := time.Now()
	w := &wholeWay{
		out: out, dir: beater.StateDir(b.Paths), token: rand.Text(), began: now,
		ends: now.Add(min(timeout, beater.TrialTime)),
	}
	runs, err := state.InUse(w.dir)
	switch {
	case err != nil:
		return err
	case !runs:
		return fmt.Errorf("no reconbeat runs with the state in %s; start it, or name its folders by the same flags", w.dir)
	}
	ask, err := json.Marshal(beater.TrialRequest{Token: w.token, At: now})
	if err != nil {
		return fmt.Errorf("asking for a self test: %w", err)
	}
	if err := state.WriteInbox(w.dir, beater.InboxTrial, ask); err != nil {
		return err
	}
	if !w.reaches(func(t *state.Trial) bool { return true }) {
		return errors.New("the reconbeat that runs did not take the request up; it is busy, or of an older version")
	}
	w.step("service", "takes the test up")
	return w.follow()
}

// follow starts the program and waits for what comes of it.
func (w *wholeWay) follow() error {
	if len(w.last.Programs) == 0 {
		return errors.New("no rule is enabled, so that no alert can ever be raised")
	}
	if len(w.last.Modules) == 0 {
		return w.stopped("no module that reports this host's program starts runs" + w.others())
	}
	pid, err := startMarked(w.last.Programs[0], engine.TrialArgument+w.token)
	if err != nil {
		return err
	}
	w.step("kernel", fmt.Sprintf("%s ran as pid %d", w.last.Programs[0], pid))
	if !w.reaches(func(t *state.Trial) bool { return t.AlertID != "" || t.Dropped != "" }) {
		return w.stopped(fmt.Sprintf("no module has reported the program start (running: %s); `reconbeat test modules` "+
			"says what works on this host", strings.Join(w.last.Modules, ", ")))
	}
	if w.last.Dropped != "" {
		return w.stopped("a processor of module " + w.last.Dropped + " dropped the program start; real ones would be " +
			"dropped as well")
	}
	w.step("module", w.last.Module+" reported it")
	w.step("detector", "rule "+w.last.Rule+" matched it")
	w.step("alert", "_id "+w.last.AlertID)
	if !w.reaches(func(t *state.Trial) bool { return !t.Settled.IsZero() }) {
		return w.stopped("the alert is in the journal, and the output has not acknowledged it; `reconbeat test output` " +
			"says why")
	}
	if w.last.Filtered {
		return w.stopped("a processor of the configuration dropped the alert; real ones would be dropped as well")
	}
	if w.last.Refused {
		return w.stopped("the output refused documents while the alert was on its way, probably the alert, too; " +
			"`reconbeat test alert` without --exec says why")
	}
	w.step("output", "acknowledged it")
	return nil
}

// step prints that a step was reached.
func (w *wholeWay) step(what, how string) {
	fmt.Fprintf(w.out, "%-8s %s, after %s\n", what, printable.Text(how), time.Since(w.began).Round(time.Millisecond))
}

// reaches waits until the running reconbeat has come so far with this test.
func (w *wholeWay) reaches(far func(*state.Trial) bool) bool {
	for {
		t, err := state.ReadTrial(w.dir)
		if err == nil && t.Token == w.token {
			w.last = t
			if far(&t) {
				return true
			}
		}
		if time.Now().After(w.ends) {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stopped says where it stopped, and what reconbeat knows to be wrong.
func (w *wholeWay) stopped(where string) error {
	for _, c := range w.last.Conditions {
		where += "\n  known: " + printable.Text(c)
	}
	return errors.New(where)
}

func (w *wholeWay) others() string {
	if len(w.last.Others) == 0 {
		return "; `reconbeat test modules` says which can"
	}
	return " (running: " + strings.Join(w.last.Others, ", ") + "); `reconbeat test modules` says which can"
}

// startMarked runs a copy of true(1) under the name of a rule's program, with the mark as its only argument. It returns
// its process id. The copy does nothing, whatever the name promises.
func startMarked(name, mark string) (pid int, err error) {
	original, err := exec.LookPath("true")
	if err != nil {
		return 0, fmt.Errorf("looking for a harmless program: %w", err)
	}
	var failed error
	for _, parent := range []string{os.TempDir(), "/var/tmp"} { // one of them may be mounted noexec
		pid, err := runCopy(parent, original, name, mark)
		if err == nil {
			return pid, nil
		}
		failed = errors.Join(failed, err)
		if !errors.Is(err, fs.ErrPermission) {
			break
		}
	}
	return 0, fmt.Errorf("starting a copy of %s as %s: %w", original, name, failed)
}

func runCopy(parent, original, name, mark string) (pid int, err error) {
	dir, err := os.MkdirTemp(parent, "reconbeat-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(original)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o700); err != nil {
		return 0, err
	}
	command := exec.Command(path, mark)
	if err := command.Start(); err != nil {
		return 0, err
	}
	pid = command.Process.Pid
	var ended *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &ended) { // a multi-call true does not know the name: it ran
		return pid, err
	}
	return pid, nil
}
