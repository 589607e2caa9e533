// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/netlink"
	"github.com/reconbeat/reconbeat/process"
)

// idle is how long the reader waits for records before it gives up what did not come: the ends of events, and numbers.
const idle = time.Second

// reader hands on what arrives on one socket.
type reader struct {
	stats     *module.Stats
	socket    *netlink.Socket
	exchange  *exchange
	losses    *losses
	assembler *record.Assembler
	emit      func(*process.Event) error
	numbers   record.Sequences
}

func (r *run) newReader(s *setup) *reader {
	o := record.Options{
		Stats: r.env.Stats, Logger: r.env.Logger, Ordered: true, Started: r.env.Started, Changed: r.exchange.changed,
	}
	emit := r.emit
	if s.plan.blind { // nobody can be asked, so records alone say what is tampering
		t := record.NewTampering(r.env, r.emit)
		o.Changed, emit = t.Changed, t.Watch(r.emit)
	}
	return &reader{
		stats: r.env.Stats, socket: s.socket, exchange: r.exchange, losses: r.losses,
		assembler: record.NewAssembler(o, emit), emit: r.emit,
	}
}

// read hands on what arrives until the socket is interrupted.
func (r *reader) read() error {
	settled := time.Now()
	for {
		n, err := r.socket.Receive(idle)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.ENOBUFS):
			r.stats.LostSocket.Add(1)
			r.losses.overflow.Store(time.Now().UnixNano())
			continue
		case errors.Is(err, netlink.ErrInterrupted):
			return nil
		default:
			return fmt.Errorf("receiving audit records: %w", err)
		}
		for i := range n {
			if err := r.message(r.socket.Message(i)); err != nil {
				return err
			}
		}
		if err := r.exchange.emit(r.emit); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(settled) >= idle {
			settled = now
			if err := r.settle(errors.Is(err, os.ErrDeadlineExceeded)); err != nil {
				return err
			}
		}
	}
}

// settle gives up what did not come: numbers that are missing, and, when the socket was silent for so long, the rest of
// events. While records come, the rest of an event may be next, and one whose end never comes is given up by the times
// of others.
func (r *reader) settle(silent bool) error {
	r.stats.LostSequence.Add(r.numbers.Settle())
	if !silent {
		return nil
	}
	return r.assembler.Flush()
}

// message handles one message.
func (r *reader) message(typ uint16, body []byte, ok bool) error {
	switch {
	case !ok:
		r.stats.Malformed.Add(1)
		return nil
	case typ < unix.AUDIT_FIRST_USER_MSG && typ != unix.AUDIT_LOGIN || typ == unix.AUDIT_REPLACE:
		return nil // netlink's own, and the kernel's question whether we are alive
	case typ == unix.AUDIT_CONFIG_CHANGE:
		r.exchange.hurry()
	}
	if n, ok := record.Sequence(body); ok {
		if lost := r.numbers.Add(n); lost > 0 {
			r.stats.LostSequence.Add(lost)
		}
	}
	return r.assembler.Record(typ, body, process.Cursor{})
}
