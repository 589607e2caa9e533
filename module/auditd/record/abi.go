// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"

	"golang.org/x/sys/unix"
)

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

// foreign are the ABIs of machines that reconbeat is not built for: their logs come here.
var foreign = []ABI{
	{Name: "s390x", Arch: unix.AUDIT_ARCH_S390X, Execve: 11, Execveat: 354},
	{Name: "s390", Arch: unix.AUDIT_ARCH_S390, Execve: 11, Execveat: 354},
	{Name: "ppc64le", Arch: unix.AUDIT_ARCH_PPC64LE, Execve: 11, Execveat: 362},
	{Name: "ppc64", Arch: unix.AUDIT_ARCH_PPC64, Execve: 11, Execveat: 362},
	{Name: "ppc", Arch: unix.AUDIT_ARCH_PPC, Execve: 11, Execveat: 362},
	{Name: "riscv64", Arch: unix.AUDIT_ARCH_RISCV64, Execve: 221, Execveat: 281},
	{Name: "loongarch64", Arch: auditArchLoongArch64, Execve: 221, Execveat: 281},
	{Name: "mips64el", Arch: unix.AUDIT_ARCH_MIPSEL64, Execve: 5057, Execveat: 5316},
	{Name: "mipsel", Arch: unix.AUDIT_ARCH_MIPSEL, Execve: 4011, Execveat: 4356},
}

// auditArchLoongArch64 is EM_LOONGARCH, 64-bit and little-endian, which package unix has no name for.
const auditArchLoongArch64 = 0xc0000102

// startsProgram says whether a system call starts a program, by the architecture and the call in its record: numbers,
// or the names that ausearch makes of them. known is false for an unknown architecture: a log may be another machine's.
func startsProgram(arch, call []byte) (known, starts bool) {
	n, ok := number(call)
	if !ok {
		return len(call) > 0, string(call) == "execve" || string(call) == "execveat"
	}
	value, ok := hexadecimal(bytes.TrimPrefix(arch, []byte("0x")))
	if !ok {
		return false, false
	}
	for _, a := range [...]*ABI{&amd64, &i386, &arm64, &arm} {
		if a.Arch == value {
			return true, n == a.Execve || n == a.Execveat || a == &amd64 && (n == x32Execve || n == x32Execveat)
		}
	}
	for i := range foreign {
		if a := &foreign[i]; a.Arch == value {
			return true, n == a.Execve || n == a.Execveat
		}
	}
	return false, false
}
