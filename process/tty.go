// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strconv"
	"strings"
)

// The kernel's device numbers of terminals (Documentation/admin-guide/devices.txt).
const (
	majorTTY       = 4   // minor 0-63: virtual consoles, from 64: serial lines
	majorConsole   = 5   // minor 1: /dev/console
	majorPTS       = 136 // to 143: pseudo terminals, 256 a number
	majorPTSLast   = 143
	minorSerial    = 64
	minorsPerMajor = 256
)

// TTYDevice returns the device numbers of a terminal by its name, "pts0", "pts/0", "tty1", "ttyS0" or "console"; false for what is none.
func TTYDevice(name string) (major, minor uint32, ok bool) {
	number := func(prefix string) (uint32, bool) {
		digits, found := strings.CutPrefix(name, prefix)
		n, err := strconv.ParseUint(digits, 10, 16)
		return uint32(n), found && err == nil
	}
	if n, ok := number("pts"); ok {
		return majorPTS + n/minorsPerMajor, n % minorsPerMajor, n/minorsPerMajor <= majorPTSLast-majorPTS
	}
	if n, ok := number("pts/"); ok {
		return majorPTS + n/minorsPerMajor, n % minorsPerMajor, n/minorsPerMajor <= majorPTSLast-majorPTS
	}
	if n, ok := number("ttyS"); ok {
		return majorTTY, minorSerial + n, n < minorsPerMajor-minorSerial
	}
	if n, ok := number("tty"); ok {
		return majorTTY, n, n < minorSerial
	}
	return majorConsole, 1, name == "console"
}

// TTYName returns the name of a terminal by its device numbers, as the kernel's audit writes it ("pts0"); empty for what is no terminal.
func TTYName(major, minor uint32) string {
	switch {
	case major >= majorPTS && major <= majorPTSLast:
		return "pts" + strconv.FormatUint(uint64((major-majorPTS)*minorsPerMajor+minor), 10)
	case major == majorTTY && minor < minorSerial:
		return "tty" + strconv.FormatUint(uint64(minor), 10)
	case major == majorTTY:
		return "ttyS" + strconv.FormatUint(uint64(minor-minorSerial), 10)
	case major == majorConsole && minor == 1:
		return "console"
	}
	return ""
}
