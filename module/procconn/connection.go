// SPDX-License-Identifier: Apache-2.0

package procconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/module/netlink"
)

// Of linux/connector.h and linux/cn_proc.h.
const (
	cnProc         = 1 // CN_IDX_PROC, CN_VAL_PROC
	multicastOn    = 1 // PROC_CN_MCAST_LISTEN
	multicastOff   = 2 // PROC_CN_MCAST_IGNORE
	eventNone      = 0 // an acknowledgement
	eventFork      = 1
	eventExec      = 2
	eventExit      = 0x80000000
	connectorBytes = 20 // struct cn_msg
	headerBytes    = 16 // of struct proc_event
	maxMessage     = 512
)

// notice is what the kernel says of one event.
type notice struct {
	what     uint32
	cpu      uint32
	sequence uint32 // counted per CPU
	ack      uint32
	time     uint64 // CLOCK_MONOTONIC, in nanoseconds
	pid      uint32 // the process; 0: an event of one of its threads only, or of no process
	parent   uint32 // of forks and exits
	exit     int32  // of exits: the exit code, or 128 and the signal's number, as shells say it
	errno    uint32 // of an acknowledgement
}

// parse reads a message, without its netlink header. Events of kinds that are not used keep what all have.
func parse(b []byte) (n notice, ok bool) {
	if len(b) < connectorBytes+headerBytes || binary.NativeEndian.Uint32(b) != cnProc {
		return n, false
	}
	n.sequence, n.ack = binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
	b = b[connectorBytes:]
	n.what, n.cpu = binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	n.time = binary.NativeEndian.Uint64(b[8:])
	b = b[headerBytes:]
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	switch n.what {
	case eventNone:
		if len(b) < 4 {
			return n, false
		}
		n.errno = word(0)
	case eventFork: // parent_pid, parent_tgid, child_pid, child_tgid
		if len(b) < 16 {
			return n, false
		}
		if word(2) == word(3) {
			n.pid, n.parent = word(3), word(1)
		}
	case eventExec: // process_pid, process_tgid
		if len(b) < 8 {
			return n, false
		}
		n.pid = word(1)
	case eventExit: // process_pid, process_tgid, exit_code, exit_signal, parent_pid, parent_tgid (since 4.18)
		if len(b) < 16 {
			return n, false
		}
		if word(0) != word(1) {
			break
		}
		n.pid = word(1)
		status := syscall.WaitStatus(word(2))
		if n.exit = int32(status.ExitStatus()); status.Signaled() {
			n.exit = 128 + int32(status.Signal())
		}
		if len(b) >= 24 {
			n.parent = word(5)
		}
	}
	if n.pid == 0 && (n.what == eventFork || n.what == eventExit) {
		n.what = ^uint32(0) // of a thread
	}
	return n, true
}

// numbers counts the sequence numbers that never arrived, of events of all kinds. The kernel counts per CPU and sends
// in order.
type numbers struct {
	next map[uint32]uint32
}

// add returns how many numbers before that of n are missing.
func (s *numbers) add(n notice) (lost uint64) {
	if n.cpu == ^uint32(0) {
		return 0 // an acknowledgement by an older kernel, which repeats the number of the request
	}
	if s.next == nil {
		s.next = map[uint32]uint32{}
	}
	if next, known := s.next[n.cpu]; known && int32(n.sequence-next) > 0 {
		lost = uint64(n.sequence - next)
	}
	s.next[n.cpu] = n.sequence + 1
	return lost
}

// connection is a socket that process events arrive on.
type connection struct {
	socket *netlink.Socket
}

// connect begins to listen. The kernel's answer is waited for: it may be no, and in a namespace it does not answer at
// all.
func connect(buffer int) (*connection, error) {
	s, err := netlink.Open(unix.NETLINK_CONNECTOR, cnProc, buffer, maxMessage)
	if err != nil {
		return nil, fmt.Errorf("listening to process events: %w", err)
	}
	c := &connection{socket: s}
	if err := c.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("listening to process events: %w", err), s.Close())
	}
	return c, nil
}

var (
	errNoAnswer = errors.New("the kernel does not answer")
	errRefused  = errors.New("the kernel refuses")
)

// listen asks for events, and waits a second for the answer.
func (c *connection) listen() error {
	mark := uint32(os.Getpid())
	if err := c.control(multicastOn, mark); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); ; {
		left := time.Until(end)
		if left <= 0 {
			return errNoAnswer
		}
		n, err := c.socket.Receive(left)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errNoAnswer
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		for i := range n {
			_, body, ok := c.socket.Message(i)
			answer, ok2 := parse(body)
			if !ok || !ok2 || answer.what != eventNone || answer.ack != mark+1 {
				continue
			}
			if answer.errno != 0 {
				return fmt.Errorf("%w: %w", errRefused, syscall.Errno(answer.errno))
			}
			return nil
		}
	}
}

// control switches the events on or off. The kernel answers with the mark, plus 1, to all who listen.
func (c *connection) control(operation, mark uint32) error {
	var b []byte
	for _, v := range []uint32{cnProc, cnProc, 0, mark} { // idx, val, seq, ack
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	b = binary.NativeEndian.AppendUint16(b, 4) // len
	b = binary.NativeEndian.AppendUint16(b, 0) // flags
	b = binary.NativeEndian.AppendUint32(b, operation)
	return c.socket.Send(unix.NLMSG_DONE, 0, b)
}

// Close ends the events: older kernels go on to make them otherwise.
func (c *connection) Close() error {
	return errors.Join(c.control(multicastOff, uint32(os.Getpid())), c.socket.Close())
}
