// SPDX-License-Identifier: Apache-2.0

// Command picture draws the manual's pictures of a terminal. It runs a reconbeat in a terminal of its own and draws the
// screen that is left, as a text that can be selected: nothing in a picture is written by hand.
//
// The picture of `watch` is the same on every host and at every time. The others, with -all, show the host that they
// are made on and the day of it.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// picture is one of the manual's: what a command leaves on a terminal.
type picture struct {
	file string   // in the manual's folder
	args []string // of reconbeat
	// what does not fit scrolls away at the top; lines that stay empty at the bottom are not drawn
	columns, rows int
}

// watch is reconbeat where the kernel shows it nothing: it plays the recording in the binary. Why the kernel shows
// nothing is the host's, and has scrolled away.
var watch = picture{file: "terminal-watch.svg", args: []string{"watch"}, columns: 125, rows: 25}

// local are the pictures that show this host, or what it was taught a moment ago.
var local = []picture{
	{file: "terminal-modules.svg", args: []string{"test", "modules"}, columns: 125, rows: 60},
	{file: "terminal-model-show.svg", args: []string{"model", "show"}, columns: 125, rows: 40},
	{file: "terminal-model-explain.svg", args: []string{"model", "explain", "alice"}, columns: 125, rows: 40},
}

func main() {
	all := flag.Bool("all", false, "draw those that show this host and this day, too")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: picture [-all] RECONBEAT RECORDING FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 3 {
		flag.Usage()
		os.Exit(2)
	}
	if err := drawAll(*all, flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func drawAll(all bool, binary, recording, folder string) error {
	home, err := newHome(binary)
	if err != nil {
		return fmt.Errorf("making a folder for reconbeat to run in: %w", err)
	}
	defer os.RemoveAll(home)
	reconbeat := filepath.Join(home, "reconbeat")
	alone := nowhere()
	if err := exec.Command(alone[0], append(alone[1:], "true")...).Run(); err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED: %s STAYS AS IT IS: NO NAMESPACE CAN BE MADE HERE: %v\n", watch.file, err)
	} else if err := watch.draw(folder, home, append(alone, reconbeat)); err != nil {
		return err
	}
	if !all {
		return nil
	}
	if err := teach(home, recording); err != nil {
		return fmt.Errorf("teaching reconbeat: %w", err)
	}
	for _, p := range local {
		if err := p.draw(folder, home, []string{reconbeat}); err != nil {
			return err
		}
	}
	return nil
}

// draw makes the picture of a reconbeat that is started by start.
func (p picture) draw(folder, home string, start []string) error {
	s, err := show(home, p.columns, p.rows, append(start, p.args...))
	if err == nil {
		err = s.write(filepath.Join(folder, p.file), "reconbeat "+strings.Join(p.args, " "))
	}
	if err != nil {
		return fmt.Errorf("drawing %s: %w", p.file, err)
	}
	return nil
}

// nowhere starts a command as a plain user in a network of its own, which has neither the kernel's audit nor its
// process connector.
func nowhere() []string {
	if os.Getuid() == 0 {
		return []string{"unshare", "--net", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	}
	return []string{"unshare", "--user", "--net"}
}

// newHome makes a folder with reconbeat and a configuration, in which a plain user may start it: its own folder is
// where it looks for its state.
func newHome(binary string) (home string, err error) {
	if home, err = os.MkdirTemp("", "reconbeat-picture-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(home)
		}
	}()
	if err := os.Chmod(home, 0o755); err != nil {
		return "", err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(home, "reconbeat"), data, 0o755); err != nil {
		return "", err
	}
	config := "reconbeat.modules: [{module: ndjson, paths: [" + filepath.Join(home,
		"none.ndjson") + "]}]\noutput.file: {path: " + home + ", filename: out}\n"
	return home, os.WriteFile(filepath.Join(home, "reconbeat.yml"), []byte(config), 0o600)
}

// teach has reconbeat learn the recording, as if it had ended within the last week: what it shows has faded since the
// last match.
func teach(home, recording string) error {
	history := filepath.Join(home, "history.ndjson")
	if err := movedToNow(recording, history); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, "none.ndjson"), nil, 0o600); err != nil {
		return err
	}
	reconbeat := filepath.Join(home, "reconbeat")
	learn := exec.Command(reconbeat, "replay", "--learn", "--host", "web-1", history)
	learn.Dir = home
	if out, err := learn.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// A Beat takes over at its start what was learned, and writes it down at its end.
	var log bytes.Buffer
	beat := exec.Command(reconbeat, "run", "-e")
	beat.Dir, beat.Stderr = home, &log
	if err := beat.Start(); err != nil {
		return err
	}
	for waited := time.Duration(0); ; waited += 100 * time.Millisecond {
		left, err := filepath.Glob(filepath.Join(home, "data", "state", "inbox", "*"))
		if err != nil || len(left) == 0 || waited > time.Minute {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := errors.Join(beat.Process.Signal(syscall.SIGTERM), beat.Wait()); err != nil {
		return fmt.Errorf("%w: %s", err, log.Bytes())
	}
	return nil
}

// movedToNow copies a recording, moved by whole weeks so that it ends in the last one: weekdays and hours stay what
// they are.
func movedToNow(recording, to string) error {
	f, err := os.Open(recording)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", recording, err)
	}
	var docs []map[string]any
	var times []time.Time
	for lines := bufio.NewScanner(z); lines.Scan(); {
		doc := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			return fmt.Errorf("reading %s: %w", recording, err)
		}
		stamp, _ := doc["@timestamp"].(string)
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return fmt.Errorf("reading %s: %w", recording, err)
		}
		docs, times = append(docs, doc), append(times, at)
	}
	if len(docs) == 0 {
		return fmt.Errorf("%s is empty", recording)
	}
	const week = 7 * 24 * time.Hour
	by := time.Since(times[len(times)-1]).Truncate(week)
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	e := json.NewEncoder(out)
	for i, doc := range docs {
		doc["@timestamp"] = times[i].Add(by)
		if err := e.Encode(doc); err != nil {
			return err
		}
	}
	return nil
}
