// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// AlertDelivery reads an alert log for one receiver, who goes on over a restart where it was. It belongs to one
// goroutine.
type AlertDelivery struct {
	// HeldBack is the receiver's own: a number that Save keeps beside the place of reading.
	HeldBack int
	// Missed counts the files that were deleted, for want of room, before all of them was read; the receiver may set
	// it back.
	Missed int

	reader *AlertReader
	file   string           // that Save writes
	sizes  map[string]int64 // by file, how long it was at the last Next
}

const placeSuffix = ".place"

// place is what Save keeps.
type place struct {
	At       map[string]int64 `json:"at"`
	Sizes    map[string]int64 `json:"sizes"`
	HeldBack int              `json:"held_back,omitempty"`
}

// ResumeAlerts goes on where the delivery of this name, which is a file's, last called Save; one that never did begins
// at the end. The error says that its place cannot be read; it is set aside, and another call begins at the end.
func ResumeAlerts(dir, name string) (*AlertDelivery, error) {
	d := &AlertDelivery{reader: NewAlertReader(dir), sizes: map[string]int64{}}
	d.file = filepath.Join(d.reader.dir, name+placeSuffix)
	text, err := os.ReadFile(d.file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(d.reader.dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the alert log's directory: %w", err)
		}
		return d, errors.Join(d.Next(func([]byte) error { return nil }), d.Save())
	}
	p := place{d.reader.at, d.sizes, 0}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading how far the alerts were delivered: %w", err),
			os.Rename(d.file, d.file+".unreadable"))
	}
	d.HeldBack = p.HeldBack
	return d, nil
}

// ForgetAlerts removes the places of all deliveries but those of these names, which nobody resumes any more.
func ForgetAlerts(dir string, except []string) error {
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

// Save keeps the place of reading for the next ResumeAlerts.
func (d *AlertDelivery) Save() error {
	text, err := json.Marshal(place{d.reader.at, d.sizes, d.HeldBack})
	if err == nil {
		err = writeFile(d.file, text)
	}
	if err != nil {
		return fmt.Errorf("writing how far the alerts were delivered: %w", err)
	}
	return nil
}

// Next calls each as that of AlertReader does.
func (d *AlertDelivery) Next(each func(document []byte) error) error {
	files, err := alertLogsIn(d.reader.dir)
	if err != nil {
		return fmt.Errorf("reading the alert log: %w", err)
	}
	d.notice(files)
	return d.reader.Next(each)
}

// notice compares the files with those of the last call. Only the newest is written: how long it became, before it was
// deleted, nobody knows.
func (d *AlertDelivery) notice(files []os.DirEntry) {
	var newest string
	if len(d.sizes) > 0 {
		newest = slices.MaxFunc(slices.Collect(maps.Keys(d.sizes)), compareAlertLogs)
	}
	sizes := map[string]int64{}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			sizes[f.Name()] = info.Size()
		}
	}
	at := d.reader.at
	for name, size := range d.sizes {
		if _, there := sizes[name]; there {
			continue
		}
		if name == newest || at[name] < size {
			d.Missed++
		}
		delete(at, name)
	}
	for name, size := range sizes {
		if at[name] > size { // a power cut shortened the file
			at[name] = size
		}
	}
	d.sizes = sizes
}
