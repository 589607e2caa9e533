// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/elastic-agent-libs/paths"

	"github.com/reconbeat/reconbeat/internal/state"
)

// AlertReader reads the alerts of this host's reconbeat, and what was concluded of them, whether an output has them or
// not. It takes no lock. It belongs to one goroutine.
type AlertReader struct {
	log *state.AlertReader
	// Malformed counts what was there and is no document, such as a line that a crash cut off.
	Malformed int
}

// NewAlertReader reads the alerts that are kept below path.data, from the oldest on.
func NewAlertReader(p *paths.Path) *AlertReader {
	return &AlertReader{log: state.NewAlertReader(StateDir(p))}
}

// Next calls each with every document that came since the last call, in the order in which they were made. The error
// wraps fs.ErrNotExist where there was never one, and is each's first one, which ends the reading.
func (r *AlertReader) Next(each func(*beat.Event) error) error {
	return r.log.Next(func(line []byte) error {
		doc, err := decode(line)
		if err != nil {
			r.Malformed++
			return nil
		}
		return each(&doc)
	})
}
