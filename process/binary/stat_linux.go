// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// stat is unix.Stat for a path that ends with a zero byte already: unix.Stat copies the path, and this runs at every exec on the host.
// newfstatat, not statx: libbeat's seccomp filter allows the former.
func stat(path []byte, st *unix.Stat_t) error {
	dir := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(sysFstatat, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(st)), 0, 0, 0) //nolint:gosec // the system call's own interface
	if errno != 0 {
		return errno
	}
	return nil
}
