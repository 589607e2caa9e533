// SPDX-License-Identifier: Apache-2.0

// Package procconn reads process events from the kernel's process connector (netlink, linux/cn_proc.h), and what the
// kernel does not say from /proc.
//
// It is for a plain user: since Linux 6.6 everybody may listen, before that CAP_NET_ADMIN was needed. The kernel says
// that a process has started a program, and no more than its pid; the program, its arguments and users are read from
// /proc a moment later. By then the process may be gone, or may run another program: such an exec is lost, and counted.
// So the module is lossy, says so of every event, and is never chosen over a better one.
package procconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/host/procfs"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/netlink"
	"github.com/reconbeat/reconbeat/process"
)

// Options is what a user may set for the module.
type Options struct {
	// of the receive buffer, in bytes; a plain user gets net.core.rmem_max at most
	SocketBuffer int `config:"socket_buffer"`
}

func defaults() Options { return Options{SocketBuffer: 4 << 20} }

// New makes the module from its options. It opens nothing; the error names every option that is wrong.
func New(cfg *conf.C, env module.Env) (module.Module, error) {
	o := defaults()
	err := settings.Read("", cfg, &o)
	if o.SocketBuffer < 64<<10 || o.SocketBuffer > 1<<30 {
		err = settings.Behind(err,
			fmt.Errorf("socket_buffer: %d is not allowed; it must be 65536 to 1073741824 (bytes)", o.SocketBuffer))
	}
	if err != nil {
		return nil, err
	}
	return &procconn{Options: o, env: env}, nil
}

// procconn is the module.
type procconn struct {
	Options
	env module.Env
}

const (
	// idle is how long the reader waits for messages before it reads the clock.
	idle = time.Second
	// most is how many events wait in our own memory for their turn. What comes then waits in the socket, which
	// overflows one day and says so.
	most = 1 << 16
	// calm is how long nothing must overflow before an overflow is no longer a condition of the present.
	calm = 5 * time.Minute
)

// Run reads execs, forks and exits from the kernel until ctx ends.
func (m *procconn) Run(ctx context.Context, _ process.Cursor, emit func(*process.Event) error) (err error) {
	proc, err := procfs.Open("/proc")
	if err != nil {
		return err
	}
	c, err := connect(m.SocketBuffer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	m.env.Logger.Infof(
		"Reading the kernel's process connector; socket buffer %d bytes. Programs that end at once may be missed; they "+
			"are counted.",
		c.socket.Buffer,
	)
	defer context.AfterFunc(ctx, c.socket.Interrupt)()
	defer m.env.Health.Leave(health.SocketOverflow, m.env.ID)
	r := &reader{procconn: m, connection: c, proc: proc, waiting: map[uint32]int{}, emit: emit}
	if err := r.read(); !errors.Is(err, netlink.ErrInterrupted) {
		return err
	}
	return nil
}

// reader turns the connector's messages into events.
type reader struct {
	*procconn
	*connection
	proc *procfs.FS
	emit func(*process.Event) error

	queue   []notice       // received, not yet handled
	waiting map[uint32]int // how many execs of each pid are in the queue
	numbers numbers
	clock   clock
	event   process.Event
	overrun time.Time // when the socket overflowed last
}

// read handles what arrives until an error, of which netlink.ErrInterrupted is the end that was asked for.
func (r *reader) read() error {
	for {
		if err := r.receive(idle); err != nil {
			return err
		}
		r.clock.set()
		for i := 0; i < len(r.queue); i++ { // the queue may grow meanwhile
			if err := r.handle(r.queue[i]); err != nil {
				return err
			}
		}
		r.queue = r.queue[:0]
		if !r.overrun.IsZero() && time.Since(r.overrun) > calm {
			r.overrun = time.Time{}
			r.env.Health.Clear(health.SocketOverflow, r.env.ID)
		}
	}
}

// receive appends what has arrived to the queue; where nothing has, it waits.
func (r *reader) receive(wait time.Duration) error {
	n, err := r.socket.Receive(wait)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case errors.Is(err, unix.ENOBUFS):
		times := r.env.Stats.LostSocket.Add(1)
		r.overrun = time.Now()
		r.env.Health.Set(
			health.SocketOverflow,
			r.env.ID,
			plural.Of(times, "overflow")+" so far",
			r.overrun,
		)
		return nil
	case errors.Is(err, netlink.ErrInterrupted):
		return err
	default:
		return fmt.Errorf("receiving process events: %w", err)
	}
	for i := range n {
		_, body, ok := r.socket.Message(i)
		r.env.Stats.Records.Add(1)
		notice, ok2 := parse(body)
		if !ok || !ok2 {
			r.env.Stats.Malformed.Add(1)
			continue
		}
		r.env.Stats.LostSequence.Add(r.numbers.add(notice))
		switch notice.what {
		case eventExec:
			r.waiting[notice.pid]++
			r.queue = append(r.queue, notice)
		case eventFork, eventExit:
			r.queue = append(r.queue, notice)
		}
	}
	return nil
}

// handle emits one event.
func (r *reader) handle(n notice) error {
	e := &r.event
	e.Reset()
	e.Time, e.Source, e.Lossy, e.PID = r.clock.time(n.time), "procconn", true, n.pid
	switch n.what {
	case eventFork:
		e.Kind, e.PPID = process.Fork, n.parent
	case eventExit:
		e.Kind, e.PPID, e.ExitCode = process.Exit, n.parent, n.exit
	case eventExec:
		if r.waiting[n.pid]--; r.waiting[n.pid] == 0 {
			delete(r.waiting, n.pid)
		}
		e.Kind = process.Exec
		if seen, err := r.fill(n.pid); err != nil || !seen {
			return err
		}
	}
	return r.emit(e)
}

// fill fills the event with what /proc says of a process that has started a program. It is not seen when the process is
// gone, or runs another program by now: then /proc speaks of that, whose own exec is on the way.
func (r *reader) fill(pid uint32) (seen bool, err error) {
	e := &r.event
	e.PPID, e.Session, err = r.proc.Read(pid, &e.Process)
	lost := err != nil
	// A later exec of the process that the kernel had done before we read has been announced by now.
	if !lost && len(r.queue) < most {
		if err := r.receive(0); err != nil {
			return false, err
		}
	}
	if lost || r.waiting[pid] > 0 {
		r.env.Stats.LostRace.Add(1)
		return false, nil
	}
	if len(e.Args) == 0 { // it has ended: what is left of it in /proc is its name and its users
		r.env.Stats.Incomplete.Add(1)
	}
	return true, nil
}

// clock turns the kernel's time of an event, nanoseconds of CLOCK_MONOTONIC (ktime_get_ns; the header's "since boot" is
// wrong where the host was suspended), into the time of day.
type clock struct {
	offset int64 // from CLOCK_MONOTONIC to Unix time, in nanoseconds
	read   time.Time
}

// set reads the clocks, at most once a second: the time of day may be stepped.
func (c *clock) set() {
	now := time.Now()
	if !c.read.IsZero() && now.Sub(c.read) < time.Second {
		return
	}
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return
	}
	c.read, c.offset = now, now.UnixNano()-mono.Nano()
}

func (c *clock) time(ns uint64) time.Time { return time.Unix(0, int64(ns)+c.offset) }
