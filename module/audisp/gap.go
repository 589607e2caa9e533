// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/follow"
)

// fillGap reads from auditd's log what passed before the first message of a connection and after the last one of that
// before it. auditd has written it there by now.
func (d *Dispatcher) fillGap(ctx context.Context, first message) error {
	n, ok := record.Sequence(first.body)
	if !ok || d.newest.at.IsZero() || d.o.Log == "" {
		return nil
	}
	after := d.newest
	if missing := int32(n - after.n); missing <= 1 {
		return nil // nothing passed, or the host was started anew
	}
	stats := &module.Stats{} // what of the log lies before the gap is no record of this module's
	for _, path := range append(follow.Rotated(d.o.Log, after.at.Add(-time.Second)), d.o.Log) {
		env := module.Env{Stats: stats, Logger: d.env.Logger}
		err := follow.Read(ctx, path, env, func(line []byte, _ uint64) error {
			m := lineOf(line)
			if !m.kernel() {
				return nil
			}
			passed, ok := record.Sequence(m.body)
			if !ok || int32(passed-after.n) <= 0 || int32(n-passed) <= 0 {
				return nil
			}
			if at, ok := record.Time(m.body); !ok || at.Before(after.at.Add(-time.Minute)) {
				return nil // the same number, of another start of the host
			}
			return d.message(m)
		})
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			d.env.Logger.Warnf("what passed while auditd's dispatcher was away is lost, for its log cannot be read: %v", err)
		case err != nil:
			return err
		}
	}
	d.env.Logger.Infof("%d events that passed while auditd's dispatcher was away were looked for in %s", n-after.n-1,
		d.o.Log)
	return d.assembler.Flush()
}
