// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	libaudit "github.com/elastic/go-libaudit/v2"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module/netlink"
)

// maxMessage holds the largest audit message: the kernel's limit of a record (MAX_AUDIT_MESSAGE_LENGTH, 8970) and its
// header.
const maxMessage = 9216

// openSocket opens a socket for records; group is 0 for unicast or AUDIT_NLGRP_READLOG.
func openSocket(group uint32, buffer int) (*netlink.Socket, error) {
	s, err := netlink.Open(unix.NETLINK_AUDIT, group, buffer, maxMessage)
	if err != nil {
		return nil, fmt.Errorf("opening the socket of audit records: %w", err)
	}
	return s, nil
}

// control speaks with the kernel about status and rules, on a socket of its own. It is used by one goroutine at a time.
type control struct {
	client *libaudit.AuditClient
}

func openControl() (*control, error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return nil, err
	}
	return &control{client: c}, nil
}

// Close leaves the kernel's settings as they are.
func (c *control) Close() error { return c.client.Close() }

// reopen takes a fresh socket: after a reply that came too late, the old one's answers no longer belong to its
// questions.
func (c *control) reopen() error {
	fresh, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return fmt.Errorf("opening the audit control socket again: %w", err)
	}
	err = c.client.Close()
	c.client = fresh
	return err
}

// register makes a socket the one that the kernel sends its records to (pid is this process's), or with 0 gives that
// up. The status says whether it was granted.
func register(s *netlink.Socket, pid uint32) error {
	var status []byte
	// struct audit_status of linux/audit.h
	for _, v := range []uint32{uint32(libaudit.AuditStatusPID), 0, 0, pid, 0, 0, 0, 0, 0, 0, 0} {
		status = binary.NativeEndian.AppendUint32(status, v)
	}
	if err := s.Send(unix.AUDIT_SET, unix.NLM_F_REQUEST, status); err != nil {
		return fmt.Errorf("setting the audit pid to %d: %w", pid, err)
	}
	return nil
}

// status returns the kernel's audit status.
func (c *control) status() (libaudit.AuditStatus, error) {
	s, err := c.client.GetStatus()
	if err != nil {
		return libaudit.AuditStatus{}, fmt.Errorf("reading the audit status: %w", err)
	}
	return *s, nil
}

// rules returns the rules that are loaded; an error, and none, where one cannot be understood.
func (c *control) rules() ([]loadedRule, error) {
	wires, err := c.client.GetRules()
	if err != nil {
		return nil, fmt.Errorf("listing the audit rules: %w", err)
	}
	rules := make([]loadedRule, 0, len(wires))
	for _, w := range wires {
		r, err := parseRule(w)
		if err != nil {
			return nil, fmt.Errorf("listing the audit rules: %w", err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// add loads a rule behind those that are there. It is not an error that the very same rule is there already.
func (c *control) add(wire []byte) error {
	// The library hides EEXIST behind a text.
	if err := c.client.AddRule(wire); err != nil && !strings.Contains(err.Error(), "rule exists") {
		return fmt.Errorf("adding an audit rule: %w", err)
	}
	return nil
}

// delete removes a rule that rules listed.
func (c *control) delete(r loadedRule) error {
	if err := c.client.DeleteRule(r.wire); err != nil {
		return fmt.Errorf("deleting an audit rule: %w", err)
	}
	return nil
}

// setting is one of the kernel's audit settings that reconbeat changes.
type setting struct {
	name string // as auditctl -s calls it
	old  uint32 // what it was, and will be again
	want uint32
	of   func(libaudit.AuditStatus) uint32
	set  func(*libaudit.AuditClient, uint32) error
}

// The settings, in the order in which they are made: audit is switched on last.
var (
	failure = setting{name: "failure",
		of: func(s libaudit.AuditStatus) uint32 { return s.Failure },
		set: func(c *libaudit.AuditClient, v uint32) error {
			return c.SetFailure(libaudit.FailureMode(v), libaudit.WaitForReply)
		}}
	rateLimit = setting{name: "rate_limit",
		of:  func(s libaudit.AuditStatus) uint32 { return s.RateLimit },
		set: func(c *libaudit.AuditClient, v uint32) error { return c.SetRateLimit(v, libaudit.WaitForReply) }}
	backlogLimit = setting{name: "backlog_limit",
		of:  func(s libaudit.AuditStatus) uint32 { return s.BacklogLimit },
		set: func(c *libaudit.AuditClient, v uint32) error { return c.SetBacklogLimit(v, libaudit.WaitForReply) }}
	backlogWaitTime = setting{name: "backlog_wait_time",
		of: func(s libaudit.AuditStatus) uint32 { return s.BacklogWaitTime },
		set: func(c *libaudit.AuditClient, v uint32) error {
			return c.SetBacklogWaitTime(int32(v), libaudit.WaitForReply)
		}}
	enabled = setting{name: "enabled",
		of:  func(s libaudit.AuditStatus) uint32 { return s.Enabled },
		set: func(c *libaudit.AuditClient, v uint32) error { return c.SetEnabled(v != 0, libaudit.WaitForReply) }}
)

// apply makes a setting.
func (c *control) apply(s setting) error {
	if err := s.set(c.client, s.want); err != nil {
		return fmt.Errorf("setting audit's %s to %d: %w", s.name, s.want, err)
	}
	return nil
}

// restore takes settings back, the last first. What somebody else has changed since stays as it is.
func (c *control) restore(settings []setting) error {
	if len(settings) == 0 {
		return nil
	}
	now, err := c.status()
	if err != nil {
		return err
	}
	var errs []error
	for i := len(settings) - 1; i >= 0; i-- {
		s := settings[i]
		if s.of(now) != s.want {
			continue
		}
		if err := s.set(c.client, s.old); err != nil {
			errs = append(errs, fmt.Errorf("setting audit's %s back to %d: %w", s.name, s.old, err))
		}
	}
	return errors.Join(errs...)
}
