// SPDX-License-Identifier: Apache-2.0

package audisp

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/follow"
	"github.com/reconbeat/reconbeat/module/recording"
)

// place is a record by which two streams of the same records can be joined. The zero place is none.
type place struct {
	n    uint32    // the number of its event
	at   time.Time // when that was
	text uint64    // a hash of what the kernel wrote of it
}

// placeOf is the place of a record of the kernel's; ok is false where there is none, as of the mark at an event's end,
// which auditd hands on and does not write.
func placeOf(m message) (p place, ok bool) {
	if !m.kernel() || m.typ == unix.AUDIT_EOE {
		return place{}, false
	}
	if p.n, ok = record.Sequence(m.body); !ok {
		return place{}, false
	}
	if p.at, ok = record.MadeAt(m.body); !ok {
		return place{}, false
	}
	body, _, _ := bytes.Cut(m.body, []byte{0x1d}) // behind it are the names that auditd adds, or does not
	h := fnv.New64a()
	h.Write(body)
	p.text = h.Sum64()
	return p, true
}

// fillGap reads from auditd's log what passed between the last record of the connection before and the first one of
// this: auditd writes records to its log in the order in which it hands them on, and before it does.
func (d *Dispatcher) fillGap(ctx context.Context, first place) error {
	last := d.last
	if last == (place{}) || d.o.Log == "" || int32(first.n-last.n) < 0 {
		return nil // nothing passed, or the host was started anew
	}
	found, err := d.passed(ctx, last, first, false)
	if err == nil && !found { // the log with the last record has been rotated away
		_, err = d.passed(ctx, last, first, true)
	}
	return err
}

// passed hands on the records of the log between two others. found is whether the last one is there; without it
// everything is handed on that is newer.
func (d *Dispatcher) passed(ctx context.Context, last, first place, without bool) (found bool, err error) {
	passing := without
	for _, path := range append(follow.Rotated(d.o.Log, last.at.Add(-time.Second)), d.o.Log) {
		log, err := recording.Open(path, nil)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			d.env.Logger.Warnf("reading what passed while auditd's dispatcher was away: %v", err)
			continue
		}
		if err != nil {
			return found, err
		}
		end := false
		for ctx.Err() == nil && !end {
			var line []byte
			line, err = log.Line()
			if errors.Is(err, recording.ErrTooLong) {
				continue
			}
			if err != nil {
				break
			}
			m := lineOf(line)
			p, ok := placeOf(m)
			switch {
			case !ok:
			case p == first:
				end = true
			case p == last:
				found, passing = true, true
			case passing && (!without || int32(p.n-last.n) > 0 && p.at.After(last.at.Add(-time.Minute))):
				err = d.message(m)
			}
			if err != nil {
				break
			}
		}
		log.Close()
		if end {
			return found, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return found, err
		}
	}
	return found, nil
}
