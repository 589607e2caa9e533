// SPDX-License-Identifier: Apache-2.0

package executable

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cached asks a network or FUSE file system for what it knows already (AT_STATX_DONT_SYNC), so that no server that does
// not answer stops us. Before Linux 4.11 it is refused.
var cached atomic.Uintptr

func init() { cached.Store(unix.AT_STATX_DONT_SYNC) }

// stat is unix.Stat for a path that ends with a zero byte already: unix.Stat copies the path, and this runs at every
// exec on the host. newfstatat, not statx: libbeat's seccomp filter allows the former.
func stat(path []byte, st *unix.Stat_t) error {
	dir, flags := unix.AT_FDCWD, cached.Load()
	_, _, errno := unix.Syscall6(
		sysFstatat,
		uintptr(dir),
		uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(st)),
		flags,
		0,
		0,
	) //nolint:gosec // the system call's own interface
	if errno == unix.EINVAL && flags != 0 {
		cached.Store(0)
		return stat(path, st)
	}
	if errno != 0 {
		return errno
	}
	return nil
}
