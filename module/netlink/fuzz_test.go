// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessage lays into a socket's memory what recvmmsg might have laid there, whatever lengths the message claims of
// itself.
func FuzzMessage(f *testing.F) {
	const largest = 256
	record := binary.NativeEndian.AppendUint32(nil, 16+20)
	record = binary.NativeEndian.AppendUint16(record, unix.AUDIT_EXECVE)
	record = append(record, make([]byte, 10)...)
	f.Add(append(record, "audit(1.001:1): a0=1"...), uint32(0), uint32(36), int32(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3}, uint32(0), uint32(7), int32(0))
	f.Add(make([]byte, 300), uint32(1), uint32(300), int32(unix.MSG_TRUNC))
	f.Fuzz(func(t *testing.T, content []byte, sender, received uint32, flags int32) {
		s := &Socket{largest: largest, memory: bytes.Repeat([]byte{0xee}, batch*largest)}
		const place = batch - 1 // the last: to reach beyond it is to reach beyond the memory
		copy(s.memory[place*largest:], content)
		s.headers[place].received, s.headers[place].Flags, s.senders[place].Pid = received, flags, sender
		typ, body, ok := s.Message(place)
		if whole := received >= unix.NLMSG_HDRLEN && received <= largest &&
			flags&unix.MSG_TRUNC == 0; ok != (whole && sender == 0) {
			t.Fatalf("%d bytes of %d with the flags %x: %v", received, sender, flags, ok)
		}
		if !ok {
			return
		}
		if len(body) != int(received)-unix.NLMSG_HDRLEN ||
			typ != binary.NativeEndian.Uint16(s.memory[place*largest+4:]) {
			t.Fatalf("type %d, %d bytes", typ, len(body))
		}
	})
}
