// SPDX-License-Identifier: Apache-2.0

// Package netlink receives what the kernel sends to a netlink socket: in batches, into memory that is used again,
// without a thread that waits.
//
// It serves the modules that live on such a socket (auditd, procconn). What a message means is theirs.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many messages one system call fetches: for audit, eight execs or so.
const batch = 64

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	received uint32
}

// Socket is a netlink socket. One goroutine receives; Interrupt and Send may be called by others.
type Socket struct {
	file    *os.File // non-blocking, in the runtime's poller: waiting costs no thread and can be interrupted
	conn    syscall.RawConn
	stopped atomic.Bool

	headers [batch]mmsghdr
	vectors [batch]unix.Iovec
	senders [batch]unix.RawSockaddrNetlink
	largest int    // message that has room
	memory  []byte // batch times largest

	try   func(fd uintptr)      // fetches; made once, so that it does not allocate
	poll  func(fd uintptr) bool // fetches, and says whether there is no need to wait
	count int                   // what they received
	err   error                 // and how it failed
	// the size of the receive buffer that the kernel granted, in bytes, its bookkeeping included
	Buffer int
}

// ErrInterrupted is returned by Receive after Interrupt.
var ErrInterrupted = errors.New("interrupted")

// Open opens a socket of a netlink protocol and joins a multicast group (0: none). buffer is the size of its receive
// buffer in bytes, largest that of the largest message, its header included.
func Open(protocol int, group uint32, buffer, largest int) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	var groups uint32
	if group > 0 {
		groups = 1 << (group - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("binding a netlink socket: %w", err)
	}
	// Beyond net.core.rmem_max with CAP_NET_ADMIN, up to it without.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("setting a netlink socket's buffer to %d bytes: %w", buffer, err)
		}
	}
	s := &Socket{file: os.NewFile(uintptr(fd), "netlink"), largest: largest, memory: make([]byte, batch*largest)}
	if s.Buffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		s.Close()
		return nil, fmt.Errorf("reading a netlink socket's buffer size: %w", err)
	}
	if s.conn, err = s.file.SyscallConn(); err != nil {
		s.Close()
		return nil, fmt.Errorf("polling a netlink socket: %w", err)
	}
	for i := range s.headers {
		s.vectors[i].Base = &s.memory[i*s.largest]
		s.vectors[i].SetLen(largest)
		h := &s.headers[i]
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&s.senders[i]))
	}
	s.try = func(fd uintptr) { s.count, s.err = s.fetch(fd) }
	s.poll = func(fd uintptr) bool {
		s.try(fd)
		return s.err != unix.EAGAIN
	}
	return s, nil
}

// fetch receives what is there, at most a batch, without waiting. EAGAIN: nothing.
func (s *Socket) fetch(fd uintptr) (int, error) {
	for i := range s.headers {
		s.headers[i].Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		n, _, errno := unix.Syscall6(
			unix.SYS_RECVMMSG,
			fd,
			uintptr(unsafe.Pointer(&s.headers[0])),
			batch,
			unix.MSG_DONTWAIT,
			0,
			0,
		)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// Receive returns how many messages came. Where there are none it waits, at most for the given time (0: not at all),
// and then returns os.ErrDeadlineExceeded. unix.ENOBUFS says that messages were dropped since the last call; reading
// goes on after it.
func (s *Socket) Receive(wait time.Duration) (int, error) {
	if s.stopped.Load() {
		return 0, ErrInterrupted
	}
	// What is there already needs no timer.
	if err := s.conn.Control(s.try); err != nil {
		return 0, fmt.Errorf("reading a netlink socket: %w", err)
	}
	if s.err != unix.EAGAIN {
		return s.count, s.err
	}
	if wait <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	if err := s.file.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, fmt.Errorf("waiting for netlink messages: %w", err)
	}
	// Interrupt sets stopped first and the deadline then, so that one of the two is seen here.
	if s.stopped.Load() {
		return 0, ErrInterrupted
	}
	if err := s.conn.Read(s.poll); err != nil {
		if s.stopped.Load() {
			return 0, ErrInterrupted
		}
		return 0, err
	}
	return s.count, s.err
}

// Message returns one of the messages that Receive fetched, valid until the next Receive. It is not ok when it did not
// come from the kernel, is torn, or is larger than the largest.
func (s *Socket) Message(i int) (typ uint16, body []byte, ok bool) {
	h := &s.headers[i]
	n := int(h.received)
	if n < unix.NLMSG_HDRLEN || n > s.largest || h.Flags&unix.MSG_TRUNC != 0 || s.senders[i].Pid != 0 {
		return 0, nil, false
	}
	m := s.memory[i*s.largest : i*s.largest+n]
	// The length in the header is not to be trusted: of audit records some kernels leave the header out.
	return binary.NativeEndian.Uint16(m[4:]), m[unix.NLMSG_HDRLEN:], true
}

// Send sends one request to the kernel, which carries it out before Send returns. An answer arrives among the messages.
func (s *Socket) Send(typ, flags uint16, payload []byte) error {
	request := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(payload))
	binary.NativeEndian.PutUint32(request, uint32(unix.NLMSG_HDRLEN+len(payload)))
	binary.NativeEndian.PutUint16(request[4:], typ)
	binary.NativeEndian.PutUint16(request[6:], flags)
	request = append(request, payload...)
	var sent error
	err := s.conn.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("sending to the kernel by netlink: %w", err)
	}
	return nil
}

// Interrupt ends the current and every later Receive.
func (s *Socket) Interrupt() {
	s.stopped.Store(true)
	_ = s.file.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which nobody reads
}

// Close gives the socket up. Nobody may be receiving.
func (s *Socket) Close() error { return s.file.Close() }
