// SPDX-License-Identifier: Apache-2.0

package ecs

import (
	"strconv"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// charDevice is the number of a terminal's character device.
type charDevice struct{ major, minor uint32 }

// unknownDevice is the numbers that a document has not said.
var unknownDevice = charDevice{process.Unset, process.Unset}

// terminals are the names of terminals by device number: name + (minor - first) from first to last (Linux, Documentation/admin-guide/devices.txt).
var terminals = []struct {
	name               string
	major, first, last uint32
}{
	{"tty", 4, 0, 63},
	{"ttyS", 4, 64, 255},
	{"pts", 136, 0, 1<<20 - 1}, // see devpts
	{"ttyUSB", 188, 0, 255},
	{"ttyAMA", 204, 64, 79},
	{"hvc", 229, 0, 255},
}

// devpts is how many minor numbers each of the majors 136 to 143 gave the pseudo-terminals. Today's kernels put all under 136.
const devpts = 256

// appendName appends the terminal's name as the kernel tells it: pts0, tty1, ttyS0, console; MAJOR:MINOR for others, nothing for none.
func (c charDevice) appendName(b []byte) []byte {
	if c.major == process.Unset || c.minor == process.Unset || c == (charDevice{}) {
		return b
	}
	if c == (charDevice{5, 1}) {
		return append(b, "console"...)
	}
	if c.major > 136 && c.major <= 143 && c.minor < devpts {
		c = charDevice{136, (c.major-136)*devpts + c.minor}
	}
	for _, t := range terminals {
		if c.major == t.major && c.minor >= t.first && c.minor <= t.last {
			return strconv.AppendUint(append(b, t.name...), uint64(c.minor-t.first), 10)
		}
	}
	return strconv.AppendUint(append(strconv.AppendUint(b, uint64(c.major), 10), ':'), uint64(c.minor), 10)
}

// deviceOf finds the device of a terminal's name.
func deviceOf(name string) (charDevice, bool) {
	if name == "console" {
		return charDevice{5, 1}, true
	}
	if major, minor, ok := strings.Cut(name, ":"); ok {
		a, err1 := strconv.ParseUint(major, 10, 32)
		b, err2 := strconv.ParseUint(minor, 10, 32)
		return charDevice{uint32(a), uint32(b)}, err1 == nil && err2 == nil
	}
	word := strings.TrimRight(name, "0123456789")
	n, err := strconv.ParseUint(name[len(word):], 10, 32)
	if err != nil {
		return charDevice{}, false
	}
	word = strings.TrimSuffix(word, "/") // pts/0, as ps and who write it
	for _, t := range terminals {
		if t.name == word && n <= uint64(t.last-t.first) {
			return charDevice{t.major, t.first + uint32(n)}, true
		}
	}
	return charDevice{}, false
}
