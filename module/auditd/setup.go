// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/plural"
	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/module/netlink"
)

// setup is a plan that is carried out for one socket. It knows what was changed of the kernel's audit, repairs it when
// somebody else undoes it, and takes it back.
type setup struct {
	*auditd
	control *control // nil where it may only listen
	socket  *netlink.Socket
	plan    plan
	applied []setting // made, and to be taken back
}

// enter makes the kernel send what we need: the socket first, then settings and rules, audit itself last, so that no
// record goes past us.
func (s *setup) enter() error {
	if s.plan.socket == unicast {
		if err := s.takePID(); err != nil {
			return err
		}
	}
	if s.plan.blind {
		return nil
	}
	if err := s.set(func(o setting) bool { return o.name != enabled.name }); err != nil {
		return err
	}
	if s.plan.addRules {
		if err := s.loadRules(); err != nil {
			return err
		}
	}
	return s.set(func(o setting) bool { return o.name == enabled.name })
}

// set makes those of the plan's settings that are chosen.
func (s *setup) set(chosen func(setting) bool) error {
	for _, o := range s.plan.settings {
		if !chosen(o) {
			continue
		}
		if err := s.control.apply(o); err != nil {
			return err
		}
		s.applied = append(s.applied, o)
	}
	return nil
}

// takePID makes this process the audit daemon, with the records' socket.
func (s *setup) takePID() error {
	self := uint32(os.Getpid())
	status, err := s.control.status()
	if err != nil {
		return err
	}
	if status.PID == self { // left by an earlier socket of this process
		if err := register(s.socket, 0); err != nil {
			return err
		}
	}
	if err := register(s.socket, self); err != nil {
		return err
	}
	if status, err = s.control.status(); err != nil {
		return err
	}
	if status.PID != self {
		return fmt.Errorf("taking the audit pid: it belongs to %s (pid %d)", processName(status.PID), status.PID)
	}
	return nil
}

// loadRules adds our rules and then deletes those that a killed reconbeat left behind.
func (s *setup) loadRules() error {
	self := uint32(os.Getpid())
	for i, a := range record.ABIs(goarch) {
		wire, err := ownRule(a, self)
		if err != nil {
			return err
		}
		if err := s.control.add(wire); err != nil {
			if i == 0 {
				return fmt.Errorf("%w (%s)", err, a.Name)
			}
			// A kernel without 32-bit programs may refuse their rule, and needs none.
			s.env.Logger.Infof("The rule for %s programs is not loaded: %v", a.Name, err)
		}
	}
	status, err := s.control.status()
	if err != nil {
		return err
	}
	// Whoever has the audit pid is alive, also under another name.
	return s.deleteRules(func(owner uint32) bool {
		return owner != self && owner != status.PID && !isReconbeat(owner)
	})
}

// deleteRules deletes those of our rules whose process is gone.
func (s *setup) deleteRules(gone func(pid uint32) bool) error {
	rules, err := s.control.rules()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range rules {
		if l.own() && gone(l.excludedPID()) {
			errs = append(errs, s.control.delete(l))
		}
	}
	return errors.Join(errs...)
}

// isReconbeat says whether a pid is that of another running process of this program.
func isReconbeat(pid uint32) bool {
	name := processName(pid)
	return name != "" && name == processName(uint32(os.Getpid()))
}

// conditions are those that the module raises.
var conditions = []*health.Condition{
	health.RulesMissing, health.AuditTampered, health.KernelLost, health.SocketOverflow,
}

// leave takes back what enter did. Where the module goes on with another socket, its rules stay, and audit stays on.
func (s *setup) leave(next step) error {
	if next == end {
		for _, c := range conditions {
			s.env.Health.Leave(c, s.env.ID)
		}
	}
	var errs []error
	if s.control != nil && !s.plan.blind {
		if next == end && s.plan.addRules {
			self := uint32(os.Getpid())
			errs = append(errs, s.deleteRules(func(owner uint32) bool { return owner == self }))
		}
		var keep, back []setting
		for _, o := range s.applied {
			if next == anew && o.name == enabled.name {
				keep = append(keep, o)
			} else {
				back = append(back, o)
			}
		}
		errs = append(errs, s.control.restore(back))
		s.applied = keep
	}
	if s.plan.socket == unicast {
		if status, err := s.control.status(); err != nil || status.PID == uint32(os.Getpid()) {
			errs = append(errs, err, register(s.socket, 0))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leaving the kernel's audit as it was: %w", err)
	}
	return nil
}

// announce says what was done, once.
func (s *setup) announce() {
	var changed []string
	for _, o := range s.applied {
		changed = append(changed, fmt.Sprintf("%s %d to %d", o.name, o.old, o.want))
	}
	rules := "no rules of its own"
	if s.plan.addRules {
		rules = "rules for " + abiNames(record.ABIs(goarch)) + " with the key " + Key
	}
	if len(changed) == 0 {
		changed = []string{"nothing"}
	}
	s.env.Logger.Infof("Reading the kernel's audit by %s, because %s; %s; "+
		"settings changed until the end: %s; socket buffer %d bytes.", s.plan.socket, s.plan.why, rules,
		strings.Join(changed, ", "), s.socket.Buffer)
	for _, w := range s.plan.notes {
		s.env.Logger.Warn(w)
	}
	if s.plan.incomplete != "" {
		s.env.Health.Set(health.RulesMissing, s.env.ID, s.plan.incomplete, time.Now())
	}
}

// deleted says whether the rule is gone that reports execs through the native ABI: ours, or, where we load none, all.
func (s *setup) deleted(now situation) bool {
	native := record.ABIs(goarch)[0]
	return !slices.ContainsFunc(now.rules, func(l loadedRule) bool {
		return (!s.plan.addRules || l.own() && l.excludedPID() == now.self) && l.reportsExecs(native)
	})
}

// repair takes back what keeps execs from us, but for the rules of others.
func (s *setup) repair(now situation) error {
	var back []setting
	put := func(o setting, want uint32) {
		o.want = want
		back = append(back, o)
	}
	if s.plan.socket == unicast && record.Starves(now.status.RateLimit) {
		put(rateLimit, 0)
	}
	if s.plan.socket == unicast && record.Starves(now.status.BacklogLimit) {
		put(backlogLimit, uint32(s.BacklogLimit)) // its check has bounds
	}
	if now.status.Enabled == 0 {
		put(enabled, 1)
	}
	for _, o := range back {
		if err := s.control.apply(o); err != nil {
			return err
		}
	}
	if s.plan.addRules {
		return s.loadRules()
	}
	return nil
}

// gone says what of the set-up somebody else has taken away; empty: nothing.
func (s *setup) gone(now situation) string {
	if now.status.Enabled == 0 {
		return "audit was switched off (enabled 0)"
	}
	if s.plan.addRules && s.deleted(now) {
		return "our audit rules were deleted"
	}
	if s.plan.socket == unicast && (record.Starves(now.status.RateLimit) || record.Starves(now.status.BacklogLimit)) {
		return fmt.Sprintf("audit was limited to %s a second and a backlog of %d",
			plural.Of(now.status.RateLimit, "record"), now.status.BacklogLimit)
	}
	return ""
}
