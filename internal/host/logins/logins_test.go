// SPDX-License-Identifier: Apache-2.0

package logins

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// record is a login as login programs write it, on an architecture with a layout.
func (l layout) record(kind uint16, user, address string, at time.Time) []byte {
	b := make([]byte, l.size)
	binary.NativeEndian.PutUint16(b, kind)
	copy(b[userAt:userAt+userLen], user)
	if l.wide {
		binary.NativeEndian.PutUint64(b[l.seconds:], uint64(at.Unix()))
	} else {
		binary.NativeEndian.PutUint32(b[l.seconds:], uint32(at.Unix()))
	}
	if a := netip.MustParseAddr(address); a.Is4() {
		ip := a.As4()
		copy(b[l.address:], ip[:])
	} else {
		ip := a.As16()
		copy(b[l.address:], ip[:])
	}
	return b
}

var now = time.Unix(1795940000, 0).UTC()

func write(t testing.TB, root, name string, records ...[]byte) {
	t.Helper()
	path := filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	var all []byte
	for _, r := range records {
		all = append(all, r...)
	}
	require.NoError(t, os.WriteFile(path, all, 0o644))
}

// An answer has the account's logins from the address, and who else came from it; the session itself does not count.
func TestWhatTheHistorySaysOfAnAddress(t *testing.T) {
	root := t.TempDir()
	from, day := netip.MustParseAddr("::ffff:203.0.113.5"), 24*time.Hour
	old := []byte("torn")
	write(t, root, files[1],
		native.record(loginType, "carol", "198.51.100.1", now.Add(-60*day)),
		native.record(loginType, "ann", "203.0.113.5", now.Add(-50*day)),
		native.record(loginType, "bob", "203.0.113.5", now.Add(-40*day)))
	write(t, root, files[0],
		native.record(2, "reboot", "0.0.0.0", now.Add(-30*day)),
		native.record(loginType, "ann", "203.0.113.5", now.Add(-2*day)),
		native.record(8, "ann", "203.0.113.5", now.Add(-day)),
		native.record(loginType, "eve", "203.0.113.5", now.Add(-day)),
		native.record(loginType, "ann", "2001:db8::7", now.Add(-day)),
		native.record(loginType, "ann", "203.0.113.5", now), old)
	k, err := New(root).Of("ann", from, now)
	require.NoError(t, err)
	require.Equal(t, Known{
		Logins: 2, First: now.Add(-50 * day), Last: now.Add(-2 * day), Others: []string{"eve", "bob"},
		Since: now.Add(-60 * day),
	}, k)
	k, err = New(root).Of("ann", netip.MustParseAddr("2001:db8::7"), now)
	require.NoError(t, err)
	require.Equal(t, 1, k.Logins)
	require.Empty(t, k.Others)

	none, err := New(t.TempDir()).Of("ann", from, now)
	require.NoError(t, err)
	require.Zero(t, none)
	require.NoError(t, os.Remove(filepath.Join(root, files[0])))
	require.NoError(t, os.Mkdir(filepath.Join(root, files[0]), 0o755))
	_, err = New(root).Of("ann", from, now)
	require.ErrorContains(t, err, "reading the history of logins: ")
}

// Each architecture's records are read as its C library writes them.
func TestRecordsOfBothLayouts(t *testing.T) {
	for _, l := range layouts {
		got, ok := l.read(l.record(loginType, strings.Repeat("u", 32), "203.0.113.5", now))
		require.True(t, ok)
		require.Equal(t, login{user: strings.Repeat("u", 32), from: netip.MustParseAddr("203.0.113.5"), at: now}, got)
	}
}

// A long history is read from its end, up to the bound.
func TestALongHistoryIsReadFromItsEnd(t *testing.T) {
	root := t.TempDir()
	count := fileMost/native.size + 100
	records := make([][]byte, 0, count)
	for i := range count {
		user := fmt.Sprint("u", i)
		records = append(records, native.record(loginType, user, "203.0.113.5", now.Add(time.Duration(i-count)*time.Second)))
	}
	write(t, root, files[0], records...)
	k, err := New(root).Of("ann", netip.MustParseAddr("203.0.113.5"), now)
	require.NoError(t, err)
	require.Len(t, k.Others, othersMost)
	require.Equal(t, fmt.Sprint("u", count-1), k.Others[0])
	require.Equal(t, now.Add(-time.Duration(fileMost/native.size)*time.Second), k.Since)
}

// TestLastItselfSaysTheSame has last(1) of this host read the same records.
func TestLastItselfSaysTheSame(t *testing.T) {
	last, err := exec.LookPath("last")
	if err != nil {
		t.Skip("SKIPPED: this host has no last(1) (Debian: util-linux)")
	}
	root := t.TempDir()
	write(t, root, files[0], native.record(loginType, "ann", "203.0.113.5", now))
	c := exec.Command(last, "-i", "-F", "-f", filepath.Join(root, files[0]))
	c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Regexp(t, `^ann +203\.0\.113\.5 +`+now.Format("Mon Jan _2 15:04:05 2006"), string(out))
}

func FuzzHistory(f *testing.F) {
	f.Add(native.record(loginType, "ann", "203.0.113.5", now))
	f.Add([]byte("torn"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var k Known
		k.add(text, "ann", netip.MustParseAddr("203.0.113.5"), now)
		if k.Logins > len(text)/native.size || len(k.Others) > othersMost {
			t.Fatalf("%d bytes gave %+v", len(text), k)
		}
	})
}
