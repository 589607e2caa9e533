// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// snapshotVersion is the format of the snapshot file.
const snapshotVersion = 1

// Snapshot is the learned model and where each source stood at the same event: what is read from the cursors on is what
// the model has not seen. The zero Snapshot: nothing learned, nothing read.
type Snapshot struct {
	Model   []byte                    // opaque here
	Cursors map[string]process.Cursor // by module id
	Recent  map[string][]byte         // by module id: what it has read near its cursor; opaque here
	// Controls is how often each control was used, as JSON, opaque here; nil: nobody said.
	Controls json.RawMessage
	Taken    time.Time
	seq      uint64 // the last entry appended before it
}

type snapshotHead struct {
	Seq     uint64                    `json:"seq"`
	Taken   time.Time                 `json:"taken"`
	Cursors map[string]process.Cursor `json:"cursors"`
	Recent  map[string][]byte         `json:"recent,omitempty"`
	Size    int                       `json:"size"` // of the model before it was compressed, in bytes

	Controls json.RawMessage `json:"controls,omitempty"`
}

// modelMax bounds the model that a snapshot may hold, in bytes.
const modelMax = 1 << 30

// ReadSnapshot reads the snapshot in a state directory, the one before it where the last cannot be read. It takes no
// lock and waits for nobody: a running Beat replaces the file as a whole. The error wraps fs.ErrNotExist when there is
// none.
func ReadSnapshot(dir string) (Snapshot, error) {
	s, err := readSnapshot(filepath.Join(dir, "snapshot"))
	if err == nil {
		return s, nil
	}
	// Between its two renames a writer leaves only the previous one for a moment.
	p, perr := readSnapshot(filepath.Join(dir, "snapshot.previous"))
	if perr == nil {
		return p, nil
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(perr, fs.ErrNotExist) {
		err = perr
	}
	return Snapshot{}, fmt.Errorf("reading the snapshot: %w", err)
}

func readSnapshot(path string) (Snapshot, error) {
	b, err := readFramed(path, "snapshot", snapshotVersion)
	if err != nil {
		return Snapshot{}, err
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return Snapshot{}, fmt.Errorf("%s is cut short", path)
	}
	var h snapshotHead
	if err := json.Unmarshal(b[w:w+int(n)], &h); err != nil {
		return Snapshot{}, fmt.Errorf("reading %s: %w", path, err)
	}
	model, err := decompress(b[w+int(n):], h.Size)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading the model in %s: %w", path, err)
	}
	return Snapshot{
		Model: model, Cursors: h.Cursors, Recent: h.Recent, Controls: h.Controls, Taken: h.Taken, seq: h.Seq,
	}, nil
}

func compress(model []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(model); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decompress(b []byte, size int) ([]byte, error) {
	if size < 0 || size > modelMax {
		return nil, fmt.Errorf("it is of %d bytes; at most %d may be", size, modelMax)
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	model, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, err
	}
	if len(model) != size {
		return nil, fmt.Errorf("it is not of %d bytes, as the head says", size)
	}
	return model, nil
}

// writeSnapshot makes s the snapshot of the directory and the last one the previous.
func writeSnapshot(dir string, s *Snapshot) error {
	model, err := compress(s.Model)
	if err != nil {
		return fmt.Errorf("compressing the snapshot: %w", err)
	}
	head, err := json.Marshal(snapshotHead{
		Seq: s.seq, Taken: s.Taken, Cursors: s.Cursors, Recent: s.Recent, Size: len(s.Model), Controls: s.Controls,
	})
	if err != nil {
		return fmt.Errorf("encoding the snapshot: %w", err)
	}
	head = append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	next, last := filepath.Join(dir, "snapshot.next"), filepath.Join(dir, "snapshot")
	if err := writeFile(next, frame("snapshot", snapshotVersion, head, model), head, model); err != nil {
		return err
	}
	if err := os.Rename(last, filepath.Join(dir, "snapshot.previous")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the previous snapshot: %w", err)
	}
	if err := os.Rename(next, last); err != nil {
		return fmt.Errorf("replacing the snapshot: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return keepDaily(dir, s.Taken, head, model)
}

const (
	// dailies is how many daily snapshots are kept.
	dailies   = 10
	dayLayout = "2006-01-02"
)

// keepDaily keeps the first snapshot of a day (UTC), and removes what is too old. It writes a file of its own:
// libbeat's seccomp filter allows no links.
func keepDaily(dir string, taken time.Time, head, model []byte) error {
	daily := filepath.Join(dir, "daily")
	if err := os.MkdirAll(daily, 0o700); err != nil {
		return fmt.Errorf("keeping the day's snapshot: %w", err)
	}
	path := filepath.Join(daily, taken.UTC().Format(dayLayout))
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := writeFile(path, frame("snapshot", snapshotVersion, head, model), head, model); err != nil {
		return fmt.Errorf("keeping the day's snapshot: %w", err)
	}
	days, err := Days(dir)
	if err != nil {
		return err
	}
	for _, old := range days[:max(0, len(days)-dailies)] {
		if err := os.Remove(filepath.Join(daily, old)); err != nil {
			return fmt.Errorf("removing an old day's snapshot: %w", err)
		}
	}
	return syncDir(daily)
}

// Days returns the days of which a snapshot is kept, YYYY-MM-DD in UTC, the oldest first: at most ten. Each is of the
// day's first moments.
func Days(dir string) ([]string, error) {
	files, err := os.ReadDir(filepath.Join(dir, "daily")) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for daily snapshots: %w", err)
	}
	var days []string
	for _, f := range files {
		if _, err := time.Parse(dayLayout, f.Name()); err == nil {
			days = append(days, f.Name())
		}
	}
	return days, nil
}

// ReadDay reads the snapshot of a day that Days listed. The error wraps fs.ErrNotExist when there is none.
func ReadDay(dir, day string) (Snapshot, error) {
	if _, err := time.Parse(dayLayout, day); err != nil {
		return Snapshot{}, fmt.Errorf("the day %q is not allowed; it must be YYYY-MM-DD, such as 2026-01-31", day)
	}
	return readSnapshot(filepath.Join(dir, "daily", day))
}
