// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/reconbeat/reconbeat/process"
)

// snapshotVersion is the format of the snapshot file.
const snapshotVersion = 1

// Snapshot is the learned model and where each source stood at the same event: what is read from the cursors on is what the model has not
// seen. The zero Snapshot: nothing learned, nothing read.
type Snapshot struct {
	Model   []byte                    // opaque here
	Cursors map[string]process.Cursor // by module id
	Taken   time.Time
	seq     uint64 // the last entry appended before it
}

type snapshotHead struct {
	Seq     uint64                    `json:"seq"`
	Taken   time.Time                 `json:"taken"`
	Cursors map[string]process.Cursor `json:"cursors"`
}

// ReadSnapshot reads the snapshot in a state directory, the one before it where the last cannot be read. It takes no lock and waits for
// nobody: a running Beat replaces the file as a whole. The error wraps fs.ErrNotExist when there is none.
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
	return Snapshot{Model: b[w+int(n):], Cursors: h.Cursors, Taken: h.Taken, seq: h.Seq}, nil
}

// writeSnapshot makes s the snapshot of the directory and the last one the previous.
func writeSnapshot(dir string, s *Snapshot) error {
	head, err := json.Marshal(snapshotHead{Seq: s.seq, Taken: s.Taken, Cursors: s.Cursors})
	if err != nil {
		return fmt.Errorf("encoding the snapshot: %w", err)
	}
	head = append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	next, last := filepath.Join(dir, "snapshot.next"), filepath.Join(dir, "snapshot")
	if err := writeFile(next, frame("snapshot", snapshotVersion, head, s.Model), head, s.Model); err != nil {
		return err
	}
	if err := os.Rename(last, filepath.Join(dir, "snapshot.previous")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the previous snapshot: %w", err)
	}
	if err := os.Rename(next, last); err != nil {
		return fmt.Errorf("replacing the snapshot: %w", err)
	}
	return syncDir(dir)
}
