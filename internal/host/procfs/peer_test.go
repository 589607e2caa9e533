// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The kernel says which port this process's own connections come from, by IPv4 and IPv6.
func TestThePortAtTheOtherEnd(t *testing.T) {
	fs, err := Open("/proc")
	require.NoError(t, err)
	pid := uint32(os.Getpid())
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil && address == "[::1]:0" {
			t.Skip("this host has no IPv6")
		}
		require.NoError(t, err)
		defer listener.Close()
		client, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		server, err := listener.Accept()
		require.NoError(t, err)
		defer server.Close()
		listener.Close()
		peer := netip.MustParseAddrPort(server.RemoteAddr().String())
		port, ok := fs.PeerPort(pid, peer.Addr())
		require.True(t, ok)
		// Both ends are this process's: either's other end is right.
		require.Contains(t, []uint16{peer.Port(), netip.MustParseAddrPort(client.RemoteAddr().String()).Port()}, port)
		_, ok = fs.PeerPort(pid, netip.MustParseAddr("192.0.2.1"))
		require.False(t, ok)
	}
	_, ok := fs.PeerPort(1<<22+1, netip.MustParseAddr("127.0.0.1"))
	require.False(t, ok)
}

func FuzzEndpoint(f *testing.F) {
	for _, text := range []string{"0100007F:0016", "0000000000000000FFFF00000100007F:D431", "", ":", "zz:1", "00:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e, ok := endpoint(text); ok && !e.Addr().IsValid() {
			t.Fatalf("%q has no valid address", text)
		}
	})
}
