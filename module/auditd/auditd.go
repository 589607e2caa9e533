// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	conf "github.com/elastic/elastic-agent-libs/config"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/process"
)

// auditd is the module.
type auditd struct {
	Options
	env module.Env
}

// New makes the module from its options. It opens nothing; the error names every option that is wrong.
func New(cfg *conf.C, env module.Env) (module.Module, error) {
	o := defaults()
	if err := settings.Behind(settings.Read("", cfg, &o), o.check()); err != nil {
		return nil, err
	}
	return &auditd{Options: o, env: env}, nil
}

// Run reads execs, and the logins that they belong to, from the kernel until ctx ends. Whatever ends it, the kernel's
// rules and settings are as before.
func (m *auditd) Run(ctx context.Context, _ process.Cursor, emit func(*process.Event) error) (err error) {
	r := &run{auditd: m, emit: emit, exchange: newExchange(), losses: &losses{}}
	c, denied := openControl()
	if denied == nil {
		r.control = c
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	for {
		p := decide(situationOf(c, denied), m.Options)
		if p.refused != "" {
			return fmt.Errorf("reading the kernel's audit: %s. %s", p.refused, p.help)
		}
		next, err := r.once(ctx, p)
		if next == end {
			return err
		}
	}
}

// run is one call of Run: what outlives a change of the socket. One goroutine at a time works with it, and with all
// that reader and watch do not share: Run's while the socket is set up and left, the watch's in between.
type run struct {
	*auditd
	emit     func(*process.Event) error
	control  *control // nil where it may only listen
	exchange *exchange
	losses   *losses
	judge    *judge    // nil until audit is set up for the first time, and where it may only listen
	kept     []setting // made for an earlier socket, and still to be taken back
}

// step is what comes after a socket.
type step int

const (
	end  step = iota // nothing
	anew             // a new plan, for another socket
)

// once carries out a plan until ctx ends, or until it no longer fits.
func (r *run) once(ctx context.Context, p plan) (next step, err error) {
	group := uint32(0)
	if p.socket == multicast {
		group = unix.AUDIT_NLGRP_READLOG
	}
	socket, err := openSocket(group, r.SocketBuffer)
	if err != nil {
		return end, err
	}
	s := &setup{auditd: r.auditd, control: r.control, socket: socket, plan: p, applied: r.kept}
	// Also when the reader panics, and when half of the set-up fails.
	defer func() {
		err = errors.Join(err, s.leave(next), socket.Close())
		r.kept = s.applied
	}()
	if err := s.enter(); err != nil {
		return end, err
	}
	w, err := r.newWatch(s)
	if err != nil {
		return end, err
	}
	s.announce()
	return r.attend(ctx, w, r.newReader(s))
}

// attend reads, and watches beside it.
func (r *run) attend(ctx context.Context, w *watch, from *reader) (step, error) {
	watching, stop := context.WithCancel(ctx)
	unhook := context.AfterFunc(ctx, w.socket.Interrupt)
	var watches sync.WaitGroup
	next := end
	watches.Go(func() { next = w.run(watching) })
	join := func() {
		unhook()
		stop()
		watches.Wait()
	}
	defer join() // also when the reader panics
	if err := from.read(); err != nil {
		return end, err
	}
	if join(); next == anew && ctx.Err() == nil {
		return anew, nil
	}
	w.conclude()
	return end, r.exchange.emit(r.emit)
}
