// SPDX-License-Identifier: Apache-2.0

package process

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTerminalsHaveNamesAndNumbers(t *testing.T) {
	for name, want := range map[string]Terminal{
		"tty0": {4, 0}, "tty63": {4, 63}, "ttyS0": {4, 64}, "ttyS191": {4, 255}, "console": {5, 1},
		"pts0": {136, 0}, "pts300": {136, 300}, "pts1048575": {136, 1<<20 - 1},
		"ttyACM0": {166, 0}, "ttyUSB0": {188, 0}, "ttyUSB255": {188, 255},
		"ttyAMA0": {204, 64}, "ttyAMA15": {204, 79}, "xvc0": {204, 191},
		"ttymxc0": {207, 16}, "hvc0": {229, 0}, "hvsi0": {229, 128},
		"8:1": {8, 1}, "204:63": {204, 63},
	} {
		got, ok := ParseTerminal(name)
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
		require.Equal(t, name, got.String())
	}
	for _, none := range []string{
		"", "?", "(none)", "ssh", "cron", ":0", "a:b", "pts", "pts-1", "pts99999999999", "tty64", "ttyS192", "ttyX", "xvc1",
	} {
		_, ok := ParseTerminal(none)
		require.False(t, ok, none)
	}
}

// TestEveryTerminalOfTheTableGoesThereAndBack holds the rows against each other: none shadows another.
func TestEveryTerminalOfTheTableGoesThereAndBack(t *testing.T) {
	for _, row := range terminals {
		for _, minor := range []uint32{row.first, (row.first + row.last) / 2, row.last} {
			at := Terminal{row.major, minor}
			require.Regexp(t, "^"+row.name+"[0-9]+$", at.String())
			got, ok := ParseTerminal(at.String())
			require.True(t, ok, at.String())
			require.Equal(t, at, got)
		}
		for _, minor := range []uint32{row.first - 1, row.last + 1} {
			require.NotRegexp(t, "^"+row.name+"[0-9]+$", Terminal{row.major, minor}.String())
		}
	}
}

func TestATerminalOfAnOlderKernelIsTheSame(t *testing.T) {
	require.Equal(t, "pts257", Terminal{137, 1}.String())
	require.Equal(t, "pts2047", Terminal{143, 255}.String())
	slash, ok := ParseTerminal("pts/3")
	require.True(t, ok)
	require.Equal(t, "pts3", slash.String())
}

func TestATerminalWithoutANumberHasNoName(t *testing.T) {
	require.Empty(t, Terminal{}.String())
	require.Empty(t, Terminal{Unset, 3}.String())
	require.Empty(t, Terminal{136, Unset}.String())
}

func FuzzTerminal(f *testing.F) {
	for _, name := range []string{
		"pts0", "pts/3", "tty1", "ttyS0", "console", "136:7", "ttyUSB255", "hvc0", "ssh", ":0", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		terminal, ok := ParseTerminal(name)
		if !ok {
			return
		}
		if shown := terminal.String(); shown != "" {
			again, ok := ParseTerminal(shown)
			require.True(t, ok, "%s", shown)
			require.Equal(t, shown, again.String())
		}
	})
}
