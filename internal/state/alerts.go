// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/elastic-agent-libs/file"
)

// The alert log holds the latest alerts and what was concluded of them, for people on the host. It is no part of
// delivery: the journal forgets a document once the output has it, the alert log keeps it. It is written last, so that
// no alert waits for it; what a kill -9 comes in between of is still in the journal, and written here at the next
// start.
const (
	alertLogDir   = "alerts"
	alertLogName  = "alerts"
	alertLogFile  = 2 << 20 // bytes; some 200 alerts
	alertLogFiles = 4       // beside the one that is written
)

// alertLog is written by a Store's writer.
type alertLog struct {
	files *file.Rotator
}

// openAlertLog opens the alert log of the state in dir for writing. The rotator counts what it writes itself: neither
// what a file held before, nor what a file begins with. So a file that is long at the start is not written any longer,
// and one may become three times as long as its bound.
func openAlertLog(dir string) (*alertLog, error) {
	long := false
	there, err := alertLogsIn(filepath.Join(dir, alertLogDir))
	if err == nil && len(there) > 0 {
		info, err := there[len(there)-1].Info()
		long = err == nil && info.Size() >= alertLogFile
	}
	files, err := file.NewFileRotator(filepath.Join(dir, alertLogDir, alertLogName), file.MaxSizeBytes(alertLogFile),
		file.MaxBackups(alertLogFiles), file.Permissions(0o600), file.RotateOnStartup(long))
	if err != nil {
		return nil, fmt.Errorf("opening the alert log: %w", err)
	}
	return &alertLog{files}, nil
}

var errTooLong = fmt.Errorf("it is longer than the %d bytes of a file", alertLogFile)

// add writes a document, JSON in one line. It is in the file when add returns, and need not be on disk.
func (l *alertLog) add(document []byte) error {
	// The line before may have been cut off by a crash: empty lines cost nothing.
	line := slices.Concat([]byte{'\n'}, document, []byte{'\n'})
	if len(line) > alertLogFile {
		return fmt.Errorf("writing the alert log: %w", errTooLong)
	}
	if _, err := l.files.Write(line); err != nil {
		return fmt.Errorf("writing the alert log: %w", err)
	}
	return nil
}

// AlertReader reads an alert log, also one that is being written. It belongs to one goroutine.
type AlertReader struct {
	dir string
	at  map[string]int64 // by file, how far it was read
}

// NewAlertReader reads the alert log of the state in dir from its beginning.
func NewAlertReader(dir string) *AlertReader {
	return &AlertReader{filepath.Join(dir, alertLogDir), map[string]int64{}}
}

// Next calls each with every document that was written since the last call, the oldest first. A line that is still
// being written waits for the next call. The error wraps fs.ErrNotExist where nothing was ever written, and is each's
// first one, which ends the reading: the next call begins with that document again.
func (r *AlertReader) Next(each func(document []byte) error) error {
	files, err := alertLogsIn(r.dir)
	if err != nil {
		return fmt.Errorf("reading the alert log: %w", err)
	}
	for _, f := range files {
		if err := r.read(f.Name(), each); err != nil {
			return err
		}
	}
	return nil
}

func (r *AlertReader) read(name string, each func([]byte) error) error {
	f, err := os.Open(filepath.Join(r.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the oldest goes when a new one begins
	}
	if err != nil {
		return fmt.Errorf("reading the alert log: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(r.at[name], io.SeekStart); err != nil {
		return fmt.Errorf("reading the alert log: %w", err)
	}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the alert log: %w", err)
		}
		if len(line) > 1 {
			if err := each(line[:len(line)-1]); err != nil {
				return err
			}
		}
		r.at[name] += int64(len(line))
	}
}

// unlogged are those of the entries of the journal, in the order of Seq, that a kill -9 kept out of the alert log in
// dir: both end with the newest, so they are what follows the last one that is in both.
func unlogged(dir string, entries []Entry) ([]Entry, error) {
	place := map[[sha256.Size]byte]int{}
	for i := range entries {
		place[sha256.Sum256(entries[i].Document)] = i + 1
	}
	from := 0
	err := NewAlertReader(dir).Next(func(document []byte) error {
		from = max(from, place[sha256.Sum256(document)])
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return entries[from:], err
}

// alertLogsIn are the files of an alert log, the oldest first.
func alertLogsIn(dir string) ([]os.DirEntry, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e os.DirEntry) bool { _, is := alertLogPlace(e.Name()); return !is })
	slices.SortFunc(all, func(a, b os.DirEntry) int { return compareAlertLogs(a.Name(), b.Name()) })
	return all, nil
}

// compareAlertLogs compares the names of two files of an alert log by their age, the older one first.
func compareAlertLogs(a, b string) int {
	x, _ := alertLogPlace(a)
	y, _ := alertLogPlace(b)
	return cmp.Or(cmp.Compare(x.day, y.day), cmp.Compare(x.index, y.index))
}

// alertLogOrder is where a file stands among the others.
type alertLogOrder struct {
	day   string
	index int
}

// alertLogPlace reads a file's name, such as alerts-20261128.ndjson or alerts-20261128-1.ndjson.
func alertLogPlace(name string) (alertLogOrder, bool) {
	rest, begins := strings.CutPrefix(name, alertLogName+"-")
	rest, ends := strings.CutSuffix(rest, ".ndjson")
	day, number, several := strings.Cut(rest, "-")
	index, err := strconv.Atoi(number)
	if !begins || !ends || day == "" || several && err != nil {
		return alertLogOrder{}, false
	}
	return alertLogOrder{day, index}, true
}
