// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// filesMost is how many open files of a process are read for its sockets.
	filesMost = 256
	// socketsMost is how much of a table of sockets is read, in bytes: some 7,000 connections.
	socketsMost = 1 << 20
)

// PeerPort is the port at the other end of a TCP connection that a process has with an address; false: it has none, or
// may not be asked.
func (fs *FS) PeerPort(pid uint32, peer netip.Addr) (uint16, bool) {
	process := filepath.Join(fs.root, strconv.FormatUint(uint64(pid), 10))
	dir, err := os.Open(filepath.Join(process, "fd"))
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(filesMost)
	sockets := map[string]bool{}
	for _, name := range names {
		target, _ := os.Readlink(filepath.Join(process, "fd", name))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	if len(sockets) == 0 {
		return 0, false
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(filepath.Join(process, table))
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(io.LimitReader(f, socketsMost))
		f.Close()
		for line := range bytes.Lines(text) {
			words := strings.Fields(string(line))
			if len(words) < 10 || !sockets[words[9]] {
				continue
			}
			if remote, ok := endpoint(words[2]); ok && remote.Addr().Unmap() == peer.Unmap() {
				return remote.Port(), true
			}
		}
	}
	return 0, false
}

// endpoint reads ADDRESS:PORT as the kernel writes it: numbers of 32 bits as they lie in memory, in hexadecimal.
func endpoint(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	b, err2 := hex.DecodeString(address)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(number)), true
}
