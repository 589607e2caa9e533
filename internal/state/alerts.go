// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/elastic-agent-libs/file"
)

// The alert log holds the latest alerts and what was concluded of them, for people on the host. It is no part of
// delivery: the journal forgets a document once the output has it, the alert log keeps it.
const (
	alertLogDir   = "alerts"
	alertLogName  = "alerts"
	alertLogFile  = 2 << 20 // bytes; some 400 alerts
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
	// HeldBack is the reader's own: a number that Save keeps beside the place of reading.
	HeldBack int
	// Missed reports that something was deleted, for want of room, before it was read.
	Missed bool

	dir   string
	file  string           // that Save writes; empty: none
	at    map[string]int64 // by file, how far it was read
	sizes map[string]int64 // by file, how long it was
}

// NewAlertReader reads the alert log of the state in dir from its beginning.
func NewAlertReader(dir string) *AlertReader {
	return &AlertReader{dir: filepath.Join(dir, alertLogDir), at: map[string]int64{}, sizes: map[string]int64{}}
}

// ForgetAlertReaders removes the places of all readers but those of these names, which nobody resumes any more.
func ForgetAlertReaders(dir string, except []string) error {
	files, err := filepath.Glob(filepath.Join(dir, alertLogDir, "*"+placeSuffix))
	for _, file := range files {
		if !slices.Contains(except, strings.TrimSuffix(filepath.Base(file), placeSuffix)) {
			err = errors.Join(err, os.Remove(file))
		}
	}
	if err != nil {
		return fmt.Errorf("forgetting how far alerts were delivered: %w", err)
	}
	return nil
}

const placeSuffix = ".place"

// place is what Save keeps.
type place struct {
	At       map[string]int64 `json:"at"`
	HeldBack int              `json:"held_back,omitempty"`
}

// ResumeAlertReader goes on where the reader of this name, which is a file's, was when it last called Save; one that
// never did begins at the end. The error says that its place cannot be read; it is set aside, and another call begins
// at the end.
func ResumeAlertReader(dir, name string) (*AlertReader, error) {
	r := NewAlertReader(dir)
	r.file = filepath.Join(r.dir, name+placeSuffix)
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the alert log's directory: %w", err)
		}
		return r, errors.Join(r.Next(nil), r.Save())
	}
	var p place
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading how far the alerts were delivered: %w", err),
			os.Rename(r.file, r.file+".unreadable"))
	}
	r.HeldBack = p.HeldBack
	maps.Copy(r.at, p.At)
	return r, nil
}

// Save keeps the place of reading for the next ResumeAlertReader.
func (r *AlertReader) Save() error {
	text, err := json.Marshal(place{r.at, r.HeldBack})
	if err == nil {
		err = writeFile(r.file, nil, text)
	}
	if err != nil {
		return fmt.Errorf("writing how far the alerts were delivered: %w", err)
	}
	return nil
}

// Next calls each with every document that was written since the last call, the oldest first; nil passes over all. A
// line that is still being written waits for the next call. The error wraps fs.ErrNotExist where nothing was ever
// written, and is each's first one, which ends the reading: the next call begins with that document again.
func (r *AlertReader) Next(each func(document []byte) error) error {
	files, err := alertLogsIn(r.dir)
	if err != nil {
		return fmt.Errorf("reading the alert log: %w", err)
	}
	gone := maps.Clone(r.at)
	for _, f := range files {
		delete(gone, f.Name())
		if info, err := f.Info(); err == nil {
			r.sizes[f.Name()] = info.Size()
		}
	}
	for name := range gone {
		r.Missed = r.Missed || r.at[name] < r.sizes[name]
		delete(r.at, name)
		delete(r.sizes, name)
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
		if each != nil && len(line) > 1 {
			if err := each(line[:len(line)-1]); err != nil {
				return err
			}
		}
		r.at[name] += int64(len(line))
	}
}

// alertLogsIn are the files of an alert log, the oldest first.
func alertLogsIn(dir string) ([]os.DirEntry, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e os.DirEntry) bool { _, is := alertLogPlace(e.Name()); return !is })
	slices.SortFunc(all, func(a, b os.DirEntry) int {
		x, _ := alertLogPlace(a.Name())
		y, _ := alertLogPlace(b.Name())
		return cmp.Or(cmp.Compare(x.day, y.day), cmp.Compare(x.index, y.index))
	})
	return all, nil
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
