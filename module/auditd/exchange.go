// SPDX-License-Identifier: Apache-2.0

package auditd

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/reconbeat/reconbeat/module/auditd/record"
	"github.com/reconbeat/reconbeat/process"
)

// maxActs bounds the changes that wait to be judged.
const maxActs = 1024

// exchange is where reader and watch hand each other what they find: the reader acts, the watch events, which the
// reader alone may emit.
type exchange struct {
	nudge chan struct{} // audit's configuration has changed: the watch inspects it at once

	mu     sync.Mutex
	acts   []act            // complete, and not judged yet
	out    []*process.Event // judged, and not emitted yet
	filled atomic.Bool      // out is not empty
}

// act is one change that somebody made.
type act struct {
	who    *process.Event
	change record.Change
}

func newExchange() *exchange { return &exchange{nudge: make(chan struct{}, 1)} }

// hurry has the watch inspect audit at once.
func (x *exchange) hurry() {
	select {
	case x.nudge <- struct{}{}:
	default:
	}
}

// changed notes what records say of changes, but for our own. It is the assembler's Options.Changed.
func (x *exchange) changed(who *process.Event, changes []record.Change) error {
	if who.PID == uint32(os.Getpid()) {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range changes {
		ours := who.PID == 0 && c.Operation == record.AddRule && c.Key == Key
		if !ours && len(x.acts) < maxActs {
			x.acts = append(x.acts, act{record.Tampered(who, &c, c.Text()), c})
		}
	}
	x.hurry()
	return nil
}

// noted returns the acts that wait to be judged. The kernel is asked after it: what somebody did shows by then.
func (x *exchange) noted() []act {
	x.mu.Lock()
	defer x.mu.Unlock()
	acts := x.acts
	x.acts = nil
	return acts
}

// putBack has acts judged later.
func (x *exchange) putBack(acts []act) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.acts = append(acts, x.acts...)
}

// send has the reader emit an event.
func (x *exchange) send(e *process.Event) {
	x.mu.Lock()
	x.out = append(x.out, e)
	x.mu.Unlock()
	x.filled.Store(true)
}

// emit emits what was sent.
func (x *exchange) emit(emit func(*process.Event) error) error {
	if !x.filled.Swap(false) {
		return nil
	}
	x.mu.Lock()
	out := x.out
	x.out = nil
	x.mu.Unlock()
	for _, e := range out {
		if err := emit(e); err != nil {
			return err
		}
	}
	return nil
}
