// SPDX-License-Identifier: Apache-2.0

package process

import "strings"

// IsLoader reports whether a base name is a dynamic loader's: ld.so, ld-linux-x86-64.so.2, ld-musl-aarch64.so.1,
// ld-2.31.so.
func IsLoader(name string) bool {
	return strings.HasPrefix(name, "ld.so") || strings.HasPrefix(name, "ld64.so") ||
		strings.HasPrefix(name, "ld-") && strings.Contains(name, ".so")
}

// IsEmulator reports whether a base name is one of QEMU's emulators of a single program: qemu-aarch64,
// qemu-x86_64-static. Those of whole machines, and its tools for disks, are others.
func IsEmulator(name string) bool {
	arch, is := strings.CutPrefix(name, "qemu-")
	if !is {
		return false
	}
	arch, _, _ = strings.Cut(arch, "-")
	return emulated[arch]
}

// emulated are the architectures of QEMU's user mode, as its programs are called (qemu-user(1)).
var emulated = map[string]bool{
	"aarch64": true, "aarch64_be": true, "alpha": true, "arm": true, "armeb": true, "hexagon": true, "hppa": true,
	"i386": true, "loongarch64": true, "m68k": true, "microblaze": true, "microblazeel": true, "mips": true,
	"mips64": true, "mips64el": true, "mipsel": true, "mipsn32": true, "mipsn32el": true, "or1k": true, "ppc": true,
	"ppc64": true, "ppc64le": true, "riscv32": true, "riscv64": true, "s390x": true, "sh4": true, "sh4eb": true,
	"sparc": true, "sparc32plus": true, "sparc64": true, "x86_64": true, "xtensa": true, "xtensaeb": true,
}

// RunsArgument reports whether a program, by its base name, runs another in its own process, which its arguments name:
// one of MultiCalls, a dynamic loader, an emulator.
func RunsArgument(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] { // of every program this is asked, and few names begin so
	case 'b', 't':
		return IsMultiCall(name)
	case 'l':
		return IsLoader(name)
	case 'q':
		return IsEmulator(name)
	}
	return false
}

// Loaded finds the program that a loader or an emulator of that base name runs: its place among the arguments, 0 where
// it runs none, and what it is called by where an option says so.
func Loaded(name string, args []string) (at int, called string) {
	if IsEmulator(name) {
		return loaded(args, emulatorOption)
	}
	return loaded(args, loaderOption)
}

// option is what an option of a loader means for the arguments after it.
type option uint8

const (
	flag     option = iota // nothing
	takes                  // the next one is its value
	calls                  // the next one is what the program is called by
	prints                 // no program runs
	noOption               // it is the program
)

func loaded(args []string, meaning func(string) option) (at int, called string) {
	for i := 1; i < len(args); i++ {
		switch meaning(args[i]) {
		case flag:
		case takes:
			i++
		case calls:
			if i++; i < len(args) {
				called = args[i]
			}
		case prints:
			return 0, ""
		case noOption:
			return i, called
		}
	}
	return 0, ""
}

// loaderOption reads an option of glibc's or musl's loader (ld.so --help; musl ldso/dynlink.c).
func loaderOption(a string) option {
	switch a {
	case "--list", "--verify", "--help", "--version", "--list-tunables", "--list-diagnostics":
		return prints
	case "--library-path", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask", "--inhibit-rpath", "--audit", "--preload":
		return takes
	case "--argv0":
		return calls
	}
	if strings.HasPrefix(a, "--") {
		return flag
	}
	return noOption
}

// emulatorOption reads an option of QEMU's user mode, which may have one dash or two (qemu-user(1)).
func emulatorOption(a string) option {
	name, dash := strings.CutPrefix(a, "-")
	if !dash {
		return noOption
	}
	switch strings.TrimPrefix(name, "-") {
	case "h", "help", "version":
		return prints
	case "0":
		return calls
	case "g", "L", "s", "cpu", "E", "U", "r", "B", "R", "d", "dfilter", "D", "p", "seed", "trace", "plugin", "tb-size",
		"t":
		return takes
	}
	return flag
}
