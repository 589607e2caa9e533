// SPDX-License-Identifier: Apache-2.0

package record

import "golang.org/x/sys/unix"

// ABI is a way to enter the kernel that numbers system calls by itself.
type ABI struct {
	Name     string // as auditctl calls it
	Arch     uint32 // AUDIT_ARCH_* of include/uapi/linux/audit.h
	Execve   uint32
	Execveat uint32
}

// The ABIs of the machines that reconbeat is built for.
var (
	amd64 = ABI{Name: "b64", Arch: unix.AUDIT_ARCH_X86_64, Execve: 59, Execveat: 322}
	i386  = ABI{Name: "b32", Arch: unix.AUDIT_ARCH_I386, Execve: 11, Execveat: 358}
	arm64 = ABI{Name: "b64", Arch: unix.AUDIT_ARCH_AARCH64, Execve: 221, Execveat: 281}
	arm   = ABI{Name: "b32", Arch: unix.AUDIT_ARCH_ARM, Execve: 11, Execveat: 387}
)

// The calls of x32, programs of 32-bit pointers that enter the kernel as amd64 with a bit of their own. No rule can
// name them: its mask ends before.
const (
	x32Execve   = 1<<30 | 520
	x32Execveat = 1<<30 | 545
)

// ABIs returns the ABIs of a machine by its name in Go, the native one first; none for a machine that is not known. A
// 64-bit program may enter by the 32-bit gate (int 0x80 on x86), so both are needed.
func ABIs(goarch string) []ABI {
	switch goarch {
	case "amd64":
		return []ABI{amd64, i386}
	case "arm64":
		return []ABI{arm64, arm}
	case "386":
		return []ABI{i386}
	case "arm":
		return []ABI{arm}
	}
	return nil
}

// startsProgram says whether a system call starts a program, by the architecture and the number in its record. known is
// false for an unknown architecture: a log may be another machine's.
func startsProgram(arch []byte, call uint32) (known, starts bool) {
	value, _ := hexadecimal(arch)
	for _, a := range [...]*ABI{&amd64, &i386, &arm64, &arm} {
		if a.Arch == value {
			return true, call == a.Execve || call == a.Execveat ||
				a == &amd64 && (call == x32Execve || call == x32Execveat)
		}
	}
	return false, false
}
