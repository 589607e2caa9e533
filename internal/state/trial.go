// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Trial is how far a self test has come: the Beat that keeps its state in a directory writes it there, and the command
// that asked for it reads it. A step that has not been reached is zero.
type Trial struct {
	Token      string    `json:"token"`                // of the one who asked
	Taken      time.Time `json:"taken"`                // when the Beat took the request up
	Modules    []string  `json:"modules,omitempty"`    // that run and report this host's program starts
	Others     []string  `json:"others,omitempty"`     // the other modules that run
	Programs   []string  `json:"programs,omitempty"`   // the first program of each enabled rule
	Conditions []string  `json:"conditions,omitempty"` // what is wrong with the Beat, each with its help
	Dropped    string    `json:"dropped,omitempty"`    // the module whose processors dropped the program start
	Module     string    `json:"module,omitempty"`     // that reported the program start
	Rule       string    `json:"rule,omitempty"`       // that matched it
	AlertID    string    `json:"alert_id,omitempty"`
	Settled    time.Time `json:"settled,omitzero"`   // when libbeat was through with the alert
	Filtered   bool      `json:"filtered,omitempty"` // a processor of the user's dropped the alert
	// Refused is whether the output refused documents between the alert and its settling: probably this one.
	Refused bool `json:"refused,omitempty"`
}

func trialFile(dir string) string { return filepath.Join(dir, "trial.json") }

// WriteTrial replaces the trial in dir.
func WriteTrial(dir string, t Trial) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding how far a self test has come: %w", err)
	}
	return writeFile(trialFile(dir), b)
}

// ReadTrial reads the trial in dir; the zero Trial where there was never one.
func ReadTrial(dir string) (t Trial, err error) {
	b, err := os.ReadFile(trialFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return Trial{}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil {
		return Trial{}, fmt.Errorf("reading how far a self test has come: %w", err)
	}
	return t, nil
}

// InUse reports whether a Beat keeps its state in dir at this moment. It takes nothing from it.
func InUse(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the lock of the state: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for the lock of the state: %w", err)
	}
	return false, nil
}
