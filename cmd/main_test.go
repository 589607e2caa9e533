// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/beattest"
)

// asReconbeat in the environment makes the test binary be reconbeat, so that tests run the real command line without a
// build of their own.
const asReconbeat = beattest.AsReconbeat

// fromMemory in the environment makes the test binary a program that loads the file named there into memory and becomes
// it, as malware without files does.
const fromMemory = "RECONBEAT_TEST_FROM_MEMORY"

func TestMain(m *testing.M) {
	if tool := os.Getenv(fromMemory); tool != "" {
		fmt.Fprintln(os.Stderr, becomeFromMemory(tool, os.Args[1:]))
		os.Exit(1)
	}
	if os.Getenv(asReconbeat) != "" {
		if err := NewRootCommand().Execute(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// becomeFromMemory returns only when it failed.
func becomeFromMemory(tool string, args []string) error {
	data, err := os.ReadFile(tool)
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
