// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	conf "github.com/elastic/elastic-agent-libs/config"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/config/settings"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/netlink"
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

// idle is how long the reader waits for records before it looks at the clock: for events whose end never came, and numbers that are missing.
const idle = time.Second

// Run reads execs, and the logins that they belong to, from the kernel until ctx ends. Whatever ends it, the kernel's rules and settings are as before.
func (m *auditd) Run(ctx context.Context, _ process.Cursor, emit func(*process.Event) error) (err error) {
	r := &run{auditd: m, nudge: make(chan struct{}, 1), emit: emit}
	c, denied := openControl()
	if denied == nil {
		r.control = c
		defer func() { err = errors.Join(err, r.control.Close()) }()
	}
	for {
		p := decide(look(c, denied), m.Options)
		if p.refused != "" {
			return fmt.Errorf("reading the kernel's audit: %s. %s", p.refused, p.help)
		}
		again, err := r.once(ctx, p)
		if !again {
			return err
		}
	}
}

// run is one call of Run.
type run struct {
	*auditd
	control *control // nil where it may only listen
	socket  *netlink.Socket
	plan    plan
	applied []setting // made, and to be taken back

	numbers   sequences
	assembler *record.Assembler
	nudge     chan struct{} // the configuration of audit has changed: look at once

	moved bool // the watch has ended the reader, because another socket is needed; read after the watch has ended
	lost  uint32
	freed time.Time // since when the audit pid that another daemon had is free
	quiet quiet

	tampering tampering
	emit      func(*process.Event) error
	failed    int // looks that failed, one after the other
}

// once carries out a plan until ctx ends, or until the plan no longer fits (again is true then).
func (r *run) once(ctx context.Context, p plan) (again bool, err error) {
	group := uint32(0)
	if p.socket == multicast {
		group = unix.AUDIT_NLGRP_READLOG
	}
	if r.socket, err = openSocket(group, r.SocketBuffer); err != nil {
		return false, err
	}
	r.plan, r.moved = p, false
	r.numbers.reset()
	o := record.Options{Stats: r.env.Stats, Logger: r.env.Logger, Started: r.env.Started, Changed: r.changed}
	emit := r.emit
	if p.blind {
		t := record.NewTampering(r.env, r.emit)
		o.Changed, emit = t.Changed, t.Watch(r.emit)
	}
	r.assembler = record.NewAssembler(o, emit)

	// Also when the reader panics, and when half of the set-up fails.
	defer func() {
		err = errors.Join(err, r.leave(again), r.socket.Close())
	}()
	if err := r.enter(); err != nil {
		return false, err
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })
	unhook := context.AfterFunc(ctx, r.socket.Interrupt)
	ended := false
	defer func() {
		unhook()
		stop()
		watch.Wait()
		again = err == nil && ctx.Err() == nil && r.moved
		if ended && err == nil && !again {
			err = r.lastJudgement()
		}
	}()
	err = r.read()
	ended = true
	return false, err
}

// enter makes the kernel send what we need: the socket first, then settings and rules, audit itself last, so that no record goes past us.
func (r *run) enter() error {
	if r.plan.socket == unicast {
		if err := r.takePID(); err != nil {
			return err
		}
	}
	if !r.plan.blind {
		for _, s := range r.plan.settings {
			if s.name == enabled.name {
				continue
			}
			if err := r.set(s); err != nil {
				return err
			}
		}
		if r.plan.addRules {
			if err := r.loadRules(); err != nil {
				return err
			}
		}
		for _, s := range r.plan.settings {
			if s.name == enabled.name {
				if err := r.set(s); err != nil {
					return err
				}
			}
		}
		s := look(r.control, nil)
		if s.denied != nil {
			return s.denied
		}
		r.lost = s.status.Lost
		r.accept(s, time.Now())
	}
	r.announce()
	return nil
}

func (r *run) set(s setting) error {
	if err := r.control.apply(s); err != nil {
		return err
	}
	r.applied = append(r.applied, s)
	return nil
}

// takePID makes this process the audit daemon, with the records' socket.
func (r *run) takePID() error {
	self := uint32(os.Getpid())
	status, err := r.control.status()
	if err != nil {
		return err
	}
	if status.PID == self { // left by an earlier socket of this process
		if err := register(r.socket, 0); err != nil {
			return err
		}
	}
	if err := register(r.socket, self); err != nil {
		return err
	}
	if status, err = r.control.status(); err != nil {
		return err
	}
	if status.PID != self {
		return fmt.Errorf("taking the audit pid: it belongs to %s (pid %d)", processName(status.PID), status.PID)
	}
	return nil
}

// loadRules adds our rules and then deletes those that a killed reconbeat left behind.
func (r *run) loadRules() error {
	self := uint32(os.Getpid())
	for i, a := range record.ABIs(goarch) {
		wire, err := ownRule(a, self)
		if err != nil {
			return err
		}
		if err := r.control.add(wire); err != nil {
			if i == 0 {
				return fmt.Errorf("%w (%s)", err, a.Name)
			}
			// A kernel without 32-bit programs may refuse their rule, and needs none.
			r.env.Logger.Infof("The rule for %s programs is not loaded: %v", a.Name, err)
		}
	}
	status, err := r.control.status()
	if err != nil {
		return err
	}
	// Whoever has the audit pid is alive, also under another name.
	return r.deleteRules(func(owner uint32) bool { return owner != self && owner != status.PID && !isReconbeat(owner) })
}

// deleteRules deletes those of our rules that were added by a process for which gone says so.
func (r *run) deleteRules(gone func(pid uint32) bool) error {
	rules, err := r.control.rules()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range rules {
		if l.own() && gone(l.excludedPID()) {
			errs = append(errs, r.control.delete(l))
		}
	}
	return errors.Join(errs...)
}

// isReconbeat says whether a pid is that of another running process of this program.
func isReconbeat(pid uint32) bool {
	name := processName(pid)
	return name != "" && name == processName(uint32(os.Getpid()))
}

// leave takes back what enter did. Where the module goes on with another socket (again), its rules stay, and audit stays on.
func (r *run) leave(again bool) error {
	for _, c := range []*health.Condition{health.RulesMissing, health.AuditTampered, health.KernelLost, health.SocketOverflow} {
		if !again {
			r.env.Health.Clear(c, r.env.ID)
		}
	}
	var errs []error
	if r.control != nil && !r.plan.blind {
		if !again && r.plan.addRules {
			self := uint32(os.Getpid())
			errs = append(errs, r.deleteRules(func(owner uint32) bool { return owner == self }))
		}
		var keep, back []setting
		for _, s := range r.applied {
			if again && s.name == enabled.name {
				keep = append(keep, s)
			} else {
				back = append(back, s)
			}
		}
		errs = append(errs, r.control.restore(back))
		r.applied = keep
	}
	if r.plan.socket == unicast {
		if status, err := r.control.status(); err != nil || status.PID == uint32(os.Getpid()) {
			errs = append(errs, err, register(r.socket, 0))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leaving the kernel's audit as it was: %w", err)
	}
	return nil
}

// announce says what was done, once.
func (r *run) announce() {
	var changed []string
	for _, s := range r.applied {
		changed = append(changed, fmt.Sprintf("%s %d to %d", s.name, s.old, s.want))
	}
	rules := "no rules of its own"
	if r.plan.addRules {
		rules = "rules for " + abiNames(record.ABIs(goarch)) + " with the key " + Key
	}
	if len(changed) == 0 {
		changed = []string{"nothing"}
	}
	r.env.Logger.Infof("Reading the kernel's audit by %s, because %s; %s; settings changed until the end: %s; socket buffer %d bytes.",
		r.plan.socket, r.plan.why, rules, strings.Join(changed, ", "), r.socket.Buffer)
	for _, w := range r.plan.notes {
		r.env.Logger.Warn(w)
	}
	if r.plan.incomplete != "" {
		r.env.Health.Set(health.RulesMissing, r.env.ID, r.plan.incomplete, time.Now())
	}
}

// read hands on what arrives until the socket is interrupted.
func (r *run) read() error {
	looked := time.Now()
	for {
		n, err := r.socket.Receive(idle)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.ENOBUFS):
			r.env.Stats.LostSocket.Add(1)
			r.quiet.overflow.Store(time.Now().UnixNano())
			continue
		case errors.Is(err, netlink.ErrInterrupted):
			return nil
		default:
			return fmt.Errorf("receiving audit records: %w", err)
		}
		for i := range n {
			if err := r.take(r.socket.Message(i)); err != nil {
				return err
			}
		}
		if err := r.tampering.hand(r.emit); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(looked) >= idle {
			looked = now
			if err := r.settle(errors.Is(err, os.ErrDeadlineExceeded)); err != nil {
				return err
			}
		}
	}
}

// settle gives up what did not come: numbers that are missing, and, when the socket was silent for so long, the rest of events. While records come, the rest of an event may be next,
// and one whose end never comes is given up by the times of others.
func (r *run) settle(silent bool) error {
	r.env.Stats.LostSequence.Add(r.numbers.settle())
	if !silent {
		return nil
	}
	return r.assembler.Flush()
}

// lookSoon has the watch look at once.
func (r *run) lookSoon() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// take handles one message.
func (r *run) take(typ uint16, body []byte, ok bool) error {
	switch {
	case !ok:
		r.env.Stats.Malformed.Add(1)
		return nil
	case typ < unix.AUDIT_FIRST_USER_MSG && typ != unix.AUDIT_LOGIN || typ == unix.AUDIT_REPLACE:
		return nil // netlink's own, and the kernel's question whether we are alive
	case typ == unix.AUDIT_CONFIG_CHANGE:
		r.lookSoon()
	}
	if n, ok := sequence(body); ok {
		if lost := r.numbers.add(n); lost > 0 {
			r.env.Stats.LostSequence.Add(lost)
		}
	}
	return r.assembler.Record(typ, body, process.Cursor{})
}
