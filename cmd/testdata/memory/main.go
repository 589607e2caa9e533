// SPDX-License-Identifier: Apache-2.0

// Command memory loads a program into memory and becomes it, as malware without files does: memory FILE ARGS...
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Fprintln(os.Stderr, become(os.Args[1], os.Args[2:]))
	os.Exit(1)
}

// become returns only when it failed.
func become(file string, args []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("kworker", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), args, nil)
}
