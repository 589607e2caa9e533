// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProgramThatIsCalledOtherwise(t *testing.T) {
	tools := []string{"netstat", "ss", "route", "showmount"}
	for _, c := range []struct {
		executable, line string // of the arguments, parted by bars
		command          string // the command line
		want             bool
	}{
		{executable: "/usr/bin/ss", line: "ss|-tan"},
		{executable: "/usr/sbin/ss", line: "/usr/bin/ss"},
		{executable: "/usr/bin/ss", line: "./ss"},
		{executable: "/usr/bin/ss", line: "-ss"},
		{executable: "/usr/bin/ss", line: "netstat|-tan"}, // a tool that a host has by another's name
		{executable: "/usr/bin/ss"},
		{executable: "/usr/bin/ss", line: "|-tan"},
		{executable: "/usr/bin/ss", line: "-"},
		{executable: "", line: "kworker"},
		{executable: "/usr/bin/ss", line: "[kworker/0:1]|-tan", want: true},
		{executable: "/usr/bin/ss", line: "/home/x/foo|-tan", want: true},
		{executable: "/usr/bin/ss", line: "sshd: alice [priv]", want: true},
		{executable: "/usr/bin/ss", line: "-bash|-tan", want: true},
		{executable: "/usr/bin/ss", line: "s", want: true},
		{executable: "/usr/bin/ss", line: "sss", want: true},
		{executable: "/usr/bin/ss", line: "/usr/sbin/sshd -D /ss", want: true},
		{executable: "/usr/bin/netstat", line: "stat", want: true},

		// What agents leave out, or put together.
		{executable: "/usr/bin/ss", line: "-tan|state"},
		{executable: "/usr/bin/ss", line: "state|established", command: "ss state established"},
		{executable: "/usr/bin/ss", line: "x|-tan", command: "x -tan", want: true},
		{executable: "/usr/bin/ss", line: "/usr/bin/ss -n src 10.0.0.0/8"},
		{executable: "/home/my folder/ss", line: "/home/my folder/ss|-tan"},

		// What distributions call it.
		{executable: "/usr/bin/nc.openbsd", line: "nc|-z"},
		{executable: "/usr/bin/ncat", line: "/usr/bin/nc"},
		{executable: "/usr/bin/python3.11", line: "python3"},
		{executable: "/usr/bin/gcc", line: "x86_64-redhat-linux-gcc"},
		{executable: "/usr/bin/vim.basic", line: "vi"},
		{executable: "/usr/bin/mawk", line: "awk"},
		{executable: "/usr/bin/bash", line: "-sh"},
		{executable: "/usr/sbin/sshd", line: "sshd: alice [priv]"},
		{executable: "/usr/bin/hostname", line: "dnsdomainname"},
		{executable: "/usr/bin/sudo", line: "sudoedit|/etc/hosts"},
		{executable: "/usr/bin/nstat", line: "rtacct"},
	} {
		p := Process{Executable: c.executable, CommandLine: c.command}
		if c.line != "" {
			p.Args = strings.Split(c.line, "|")
		}
		require.Equal(t, c.want, p.CalledOtherwise(tools), "%s as %s", c.executable, c.line)
		require.Zero(t, testing.AllocsPerRun(10, func() { p.CalledOtherwise(tools) }))
	}
}
