// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"errors"
	"fmt"
)

// The values of socket_type.
const (
	auto      = "auto"      // unicast when the audit pid is free, else multicast
	unicast   = "unicast"   // be the audit daemon: the kernel queues records for us and counts what it drops
	multicast = "multicast" // listen in while another daemon, or none, owns the audit pid
)

// Options is what a user may set for the module.
type Options struct {
	SocketType string `config:"socket_type"` // auto, unicast or multicast
	// SocketBuffer is the size of the receive buffer, in bytes; the kernel doubles it for its own bookkeeping.
	SocketBuffer int  `config:"socket_buffer"`
	BacklogLimit int  `config:"backlog_limit"` // records that the kernel queues for us; unicast only
	LoadRules    bool `config:"load_rules"`    // load own rules; false: somebody else's rules must report execs
}

func defaults() Options {
	return Options{SocketType: auto, SocketBuffer: 8 << 20, BacklogLimit: 8192, LoadRules: true}
}

// check returns every wrong value.
func (o Options) check() error {
	var errs []error
	if o.SocketType != auto && o.SocketType != unicast && o.SocketType != multicast {
		errs = append(errs,
			fmt.Errorf("socket_type: %q is not allowed; it must be auto, unicast or multicast", o.SocketType),
		)
	}
	if o.SocketBuffer < 64<<10 || o.SocketBuffer > 1<<30 {
		errs = append(errs,
			fmt.Errorf("socket_buffer: %d is not allowed; it must be 65536 to 1073741824 (bytes)", o.SocketBuffer),
		)
	}
	if o.BacklogLimit < 64 || o.BacklogLimit > 1<<20 {
		errs = append(errs,
			fmt.Errorf("backlog_limit: %d is not allowed; it must be 64 to 1048576 (records)", o.BacklogLimit),
		)
	}
	return errors.Join(errs...)
}
