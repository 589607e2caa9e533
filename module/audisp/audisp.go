// SPDX-License-Identifier: Apache-2.0

// Package audisp reads the audit records that auditd hands to the clients of its dispatcher: from the socket that the
// dispatcher's plugin af_unix makes.
//
// Where auditd owns the kernel's audit, this is the way without loss. auditd queues for a client that falls behind,
// while the kernel drops what a multicast listener does not read in time, and the log is rotated away from a reader
// that was stopped for long.
//
// While nobody is connected, as while auditd restarts, the plugin throws records away; but auditd writes each to its
// log before it hands it on. So what passed between the last record of one connection and the first one of the next is
// read from the log (gap.go). What the log does not have either is counted as lost, by the numbers that never came.
package audisp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/auditlog"
	"github.com/reconbeat/reconbeat/process"
)

// DefaultSocket is where the plugin makes its socket unless its configuration says otherwise.
const DefaultSocket = "/var/run/audispd_events"

// Options are the module's own options.
type Options struct {
	Socket string `config:"socket"` // the socket of the plugin af_unix
	Log    string `config:"log"`    // auditd's log, for what passes while nobody is connected; empty: it has none
}

// Dispatcher is the module.
type Dispatcher struct {
	o   Options
	env module.Env
	// patience is how long the socket may be away, as while auditd restarts, before that is a condition; and for how
	// long nothing must come for an event without an end to count as complete.
	patience time.Duration

	assembler *record.Assembler
	tampering *record.Tampering
	numbers   record.Sequences
	last      place     // the record that came last
	lostAt    time.Time // when a number was last given up
}

// New checks the options.
func New(c *conf.C, env module.Env) (module.Module, error) {
	o := Options{Socket: DefaultSocket, Log: auditlog.DefaultPath}
	errRead := settings.Read("", c, &o)
	var errs []error
	if o.Socket == "" {
		errs = append(errs, fmt.Errorf("socket: %q is not allowed; it must be the path of a socket", o.Socket))
	}
	if env.Replay {
		errs = append(errs, errors.New("module audisp reads a live socket, and no recording"))
	}
	if err := settings.Behind(errRead, errors.Join(errs...)); err != nil {
		return nil, err
	}
	return &Dispatcher{o: o, env: env, patience: 5 * time.Second}, nil
}

const (
	// retryEvery is how often a socket that is not there is tried: what passes until then is read from the log.
	retryEvery = 20 * time.Millisecond
	// tick is how often time passes while nothing comes.
	tick = 100 * time.Millisecond
	// calm is for how long nothing may be lost for the condition to end.
	calm = time.Minute
)

// Run connects, reads, and connects again whenever auditd ends, until ctx ends.
func (d *Dispatcher) Run(ctx context.Context, _ process.Cursor, emit func(*process.Event) error) error {
	d.tampering = record.NewTampering(d.env, emit)
	defer d.tampering.Close()
	d.assembler = record.NewAssembler(record.Options{
		Stats: d.env.Stats, Logger: d.env.Logger, Source: "audisp", Names: true, Started: d.env.Started,
		Changed: d.tampering.Changed,
	}, d.tampering.Watch(emit))
	defer d.env.Health.Leave(health.DispatcherLost, d.env.ID)
	for {
		conn, err := d.connect(ctx)
		if err != nil || conn == nil {
			return err
		}
		began := time.Now()
		d.env.Logger.Infof("connected to auditd's dispatcher at %s", d.o.Socket)
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err = d.read(ctx, conn)
		stop()
		conn.Close()
		if err != nil || ctx.Err() != nil {
			return err
		}
		d.env.Logger.Warnf("auditd's dispatcher closed %s; connecting again", d.o.Socket)
		if time.Since(began) < time.Second { // who closes at once is not asked again at once
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
}

// connect waits for the socket; nil where ctx ends before it is there.
func (d *Dispatcher) connect(ctx context.Context) (net.Conn, error) {
	began, said := time.Now(), false
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", d.o.Socket)
		if err == nil {
			d.env.Health.Clear(health.SourceFailed, d.env.ID)
			return conn, nil
		}
		now := time.Now()
		if !said && now.Sub(began) > d.patience {
			said = true
			why := fmt.Sprintf("auditd's dispatcher cannot be reached and is waited for: %v", err)
			d.env.Logger.Warn(why)
			d.env.Health.Set(health.SourceFailed, d.env.ID, why, now)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(retryEvery):
		}
		if now.Sub(began) > d.patience && d.assembler.Pending() > 0 {
			if err := d.assembler.Flush(); err != nil {
				return nil, err
			}
		}
		if err := d.tampering.Advance(now); err != nil {
			return nil, err
		}
	}
}

// read hands on what comes over one connection until auditd closes it; nil then, and where ctx ends.
func (d *Dispatcher) read(ctx context.Context, conn net.Conn) error {
	s := &stream{in: conn}
	first, came, settled := true, time.Now(), time.Now()
	for {
		_ = conn.SetReadDeadline(time.Now().Add(tick))
		err := s.fill()
		for {
			m, more := s.next()
			if !more {
				break
			}
			if at, ok := placeOf(m); ok && first {
				first = false
				if err := d.fillGap(ctx, at); err != nil {
					return err
				}
			}
			if err := d.message(m); err != nil {
				return err
			}
		}
		d.env.Stats.Malformed.Add(s.malformed())
		silent := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case silent || err == nil:
		case ctx.Err() != nil:
			return nil
		default: // the end, or what cannot be understood any more
			if s.broken != nil {
				d.env.Logger.Warnf("%s: %v", d.o.Socket, s.broken)
			}
			return nil // the rest of an event may be in the log
		}
		// The rest of an event may come after auditd has started anew: it has left it in the kernel's queue.
		if !silent {
			came = time.Now()
		} else if d.assembler.Pending() > 0 && time.Since(came) > d.patience {
			if err := d.assembler.Flush(); err != nil {
				return err
			}
		}
		if now := time.Now(); now.Sub(settled) >= time.Second {
			settled = now
			if err := d.settle(now); err != nil {
				return err
			}
		}
	}
}

// settle gives up the numbers that did not come, and lets time pass for what is judged by it.
func (d *Dispatcher) settle(now time.Time) error {
	d.lost(d.numbers.Settle(), now)
	if !d.lostAt.IsZero() && now.Sub(d.lostAt) > calm {
		d.env.Health.Clear(health.DispatcherLost, d.env.ID)
	}
	return d.tampering.Advance(now)
}

// lost counts events that never came.
func (d *Dispatcher) lost(n uint64, now time.Time) {
	if n == 0 {
		return
	}
	d.lostAt = now
	all := d.env.Stats.LostSequence.Add(n)
	d.env.Health.Set(health.DispatcherLost, d.env.ID, plural.Of(all, "record")+" so far", now)
}

// message handles one message.
func (d *Dispatcher) message(m message) error {
	if at, ok := placeOf(m); ok {
		d.lost(d.numbers.Add(at.n), time.Now())
		d.last = at
	}
	if m.line != nil {
		return d.assembler.Line(m.line, process.Cursor{})
	}
	return d.assembler.Record(m.typ, m.body, process.Cursor{})
}

// The types of the records that auditd itself makes, with numbers of its own (AUDIT_FIRST_DAEMON and AUDIT_LAST_DAEMON
// of libaudit.h).
const (
	firstDaemon = 1200
	lastDaemon  = 1299
)

// kernel reports whether the kernel numbered the record.
func (m *message) kernel() bool { return m.body != nil && (m.typ < firstDaemon || m.typ > lastDaemon) }

// Probe says whether auditd's dispatcher can be read here, and hands on execs. A connection that is made to find out is
// closed at once.
func Probe() module.Support {
	s := module.Support{
		Sees: []string{
			"the execs that auditd's rules report, with arguments, users, login sessions and their addresses",
			"what passes while auditd restarts, from its log",
		},
		Blind: []string{
			"execs that no rule of auditd's reports",
			"what auditd or the kernel lost (missing numbers are counted)",
			"containers, but by their control group while the process lives",
		},
		Help: "Set active = yes in /etc/audit/plugins.d/af_unix.conf and have auditd read it (pkill -HUP auditd); to have " +
			"auditd report execs, add the rules of docs/modules/audisp.md.",
	}
	conn, err := net.Dial("unix", DefaultSocket)
	if err != nil {
		s.Why = fmt.Sprintf("auditd's dispatcher has no socket for clients: connecting to %s: %v", DefaultSocket,
			cause(err))
		return s
	}
	conn.Close()
	if why := auditlog.WritesExecs(auditlog.DefaultPath); why != "" {
		s.Why = fmt.Sprintf("auditd's dispatcher can be read at %s, but %s", DefaultSocket, why)
		return s
	}
	s.Works, s.Why = true, fmt.Sprintf("auditd hands execs to clients of its dispatcher at %s", DefaultSocket)
	return s
}

// cause is the system's word for an error.
func cause(err error) error {
	var no unix.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}
