// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strconv"
	"strings"
)

// Terminal is the character device of a terminal. The zero Terminal is none. A number that a source leaves out is
// Unset, and the terminal has no name then.
type Terminal struct{ Major, Minor uint32 }

// terminals is how the kernel names its terminals: name and (minor - first), for the minors from first to last (Linux,
// Documentation/admin-guide/devices.txt).
var terminals = []struct {
	name               string
	major, first, last uint32
}{
	{name: "tty", major: 4, first: 0, last: 63},          // virtual consoles
	{name: "ttyS", major: 4, first: 64, last: 255},       // serial lines
	{name: "pts", major: 136, first: 0, last: 1<<20 - 1}, // pseudo-terminals: ssh, screen, a desktop's windows
	{name: "ttyACM", major: 166, first: 0, last: 255},    // USB modems
	{name: "ttyUSB", major: 188, first: 0, last: 255},    // serial lines over USB
	{name: "ttyAMA", major: 204, first: 64, last: 79},    // serial lines of ARM boards
	{name: "xvc", major: 204, first: 191, last: 191},     // the console of a Xen guest
	{name: "ttymxc", major: 207, first: 16, last: 31},    // serial lines of i.MX boards
	{name: "hvc", major: 229, first: 0, last: 127},       // the console of a guest: virtio, POWER
	{name: "hvsi", major: 229, first: 128, last: 255},    // the serial line of a POWER guest
}

// The pseudo-terminals of older kernels lie in eight majors with 256 minors each. Today's kernels put all under the
// first.
const (
	firstPTS = 136
	lastPTS  = 143
	eachPTS  = 256
)

// console is /dev/console, the one terminal that has no number in its name.
var console = Terminal{Major: 5, Minor: 1}

// AppendName appends the terminal's name as the kernel's audit writes it, "pts0" or "console", and MAJOR:MINOR where
// the table has no name for it. It appends nothing for none.
func (t Terminal) AppendName(b []byte) []byte {
	switch {
	case t == Terminal{}, t.Major == Unset, t.Minor == Unset:
		return b
	case t == console:
		return append(b, "console"...)
	case t.Major > firstPTS && t.Major <= lastPTS && t.Minor < eachPTS:
		t = Terminal{firstPTS, (t.Major-firstPTS)*eachPTS + t.Minor}
	}
	for _, row := range terminals {
		if t.Major == row.major && t.Minor >= row.first && t.Minor <= row.last {
			return strconv.AppendUint(append(b, row.name...), uint64(t.Minor-row.first), 10)
		}
	}
	b = append(strconv.AppendUint(b, uint64(t.Major), 10), ':')
	return strconv.AppendUint(b, uint64(t.Minor), 10)
}

// String returns the terminal's name, see AppendName.
func (t Terminal) String() string { return string(t.AppendName(nil)) }

// ParseTerminal finds a terminal by what AppendName writes, or by "pts/0", as ps and who write it.
func ParseTerminal(name string) (Terminal, bool) {
	if name == "console" {
		return console, true
	}
	if major, minor, ok := strings.Cut(name, ":"); ok {
		a, err1 := strconv.ParseUint(major, 10, 32)
		b, err2 := strconv.ParseUint(minor, 10, 32)
		return Terminal{uint32(a), uint32(b)}, err1 == nil && err2 == nil
	}
	word := strings.TrimRight(name, "0123456789")
	n, err := strconv.ParseUint(name[len(word):], 10, 32)
	if err != nil {
		return Terminal{}, false
	}
	word = strings.TrimSuffix(word, "/")
	for _, row := range terminals {
		if row.name == word && n <= uint64(row.last-row.first) {
			return Terminal{row.major, row.first + uint32(n)}, true
		}
	}
	return Terminal{}, false
}
