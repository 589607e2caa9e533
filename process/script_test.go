// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScript(t *testing.T) {
	for _, c := range []struct{ name, line, cwd, want string }{
		{name: "python3.11", line: "python3 /opt/x.py -c", want: "/opt/x.py"},
		{name: "python3.11", line: "python3 -u -W ignore -Xdev x.py", cwd: "/srv", want: "/srv/x.py"},
		{name: "python3", line: "python3 ../x.py", cwd: "/srv/a", want: "/srv/x.py"},
		{name: "python3", line: "python3 x.py", want: "x.py"},
		{name: "python3", line: "python3 -c x"},
		{name: "python3", line: "python3 -Im http.server"},
		{name: "python3", line: "python3 -"},
		{name: "python3", line: "python3"},
		{name: "bash", line: "bash --rcfile /etc/rc -o pipefail /opt/x", want: "/opt/x"},
		{name: "bash", line: "-bash -l"},
		{name: "dash", line: "/bin/sh /usr/local/bin/x a", want: "/usr/local/bin/x"},
		{name: "bash", line: "bash -lc x"},
		{name: "bash", line: "bash -- -x", cwd: "/", want: "/-x"},
		{name: "bash", line: "bash --"},
		{name: "perl", line: "perl -I lib -w /x.pl", want: "/x.pl"},
		{name: "perl", line: "perl -ne 1"},
		{name: "node", line: "node --require a --inspect /x.js", want: "/x.js"},
		{name: "node", line: "node --require=a /x.js", want: "/x.js"},
		{name: "node", line: "node --eval 1"},
		{name: "busybox", line: "/bin/ash /x", want: "/x"},
		{name: "busybox", line: "ls /x"},
		{name: "ss", line: "ss -tunap state"},
	} {
		t.Run(c.line, func(t *testing.T) {
			p := Process{Name: c.name, Args: strings.Fields(c.line), CWD: c.cwd}
			require.Equal(t, c.want, p.Script())
		})
	}
}

func FuzzScript(f *testing.F) {
	f.Add("python3", "python3\x00-W\x00ignore\x00x.py")
	f.Add("bash", "bash\x00-\xff\x00--\x00x")
	f.Add("perl", "perl\x00-I")
	f.Fuzz(func(t *testing.T, name, line string) {
		p := Process{Name: name, Args: strings.Split(line, "\x00")}
		if s := p.Script(); s != "" && !strings.Contains(line, s) {
			t.Fatalf("%q of %q", s, line)
		}
	})
}

func TestWhatRunsItsArgumentIsKnownByItsName(t *testing.T) {
	others := []string{"ld.so", "ld64.so.2", "ld-linux-x86-64.so.2", "ld-musl-aarch64.so.1", "qemu-arm"}
	for _, name := range append(MultiCalls(), others...) {
		require.True(t, RunsArgument(name), name)
	}
	for _, name := range []string{"", "b", "bash", "busybox.1", "tar", "ls", "ld", "ldd", "qemu-img", "sh"} {
		require.False(t, RunsArgument(name), name)
	}
}
