// SPDX-License-Identifier: Apache-2.0

package process

import (
	"slices"
	"strings"
)

// aliases are other names that distributions link to a program, by the name of its file: what it is called by is then
// no disguise.
var aliases = map[string][]string{
	"bash":       {"sh", "rbash"},
	"dash":       {"sh"},
	"gawk":       {"awk"},
	"gcc":        {"cc"},
	"hostname":   {"dnsdomainname", "domainname", "nisdomainname", "nodename", "ypdomainname"},
	"last":       {"lastb"},
	"less":       {"more"},
	"lnstat":     {"ctstat", "rtstat"},
	"make":       {"gmake"},
	"mawk":       {"awk"},
	"ncat":       {"nc", "netcat"},
	"nc":         {"netcat"},
	"nstat":      {"rtacct"},
	"resolvectl": {"resolvconf", "systemd-resolve"},
	"ssh":        {"slogin"},
	"sudo":       {"sudoedit"},
	"systemctl":  {"halt", "poweroff", "reboot", "shutdown", "telinit"},
	"vim":        {"ex", "rview", "rvim", "vi", "view", "vimdiff"},
	"yasm":       {"tasm", "vsyasm", "ytasm"},
}

// CalledOtherwise reports whether a program was started under another name than its file's: exec -a, or a link that
// its user has made. It may have the name of one of tools, one that distributions give it, a version or a variant, and
// a login shell's dash. Of a source that leaves the name out nothing is known.
func (p *Process) CalledOtherwise(tools []string) bool {
	file := base(p.Executable)
	if file == "" || len(p.Args) == 0 || p.isNamed(p.Args[0], file, tools) {
		return false
	}
	// Some agents leave the name out of the arguments, and have it in the command line alone.
	return p.CommandLine == "" || !p.isNamed(p.CommandLine, file, tools)
}

// isNamed reports whether what a program was called by may be its file's name. The program may have made a title of it,
// and some agents put the arguments behind it.
func (p *Process) isNamed(called, file string, tools []string) bool {
	word := called
	if end := strings.IndexAny(called, blanks); end >= 0 {
		word = called[:end]
	}
	name := base(strings.TrimRight(word, ":"))
	plain, dash := strings.CutPrefix(name, "-")
	switch {
	case plain == "", plain == file, slices.Contains(tools, plain):
		return true
	case dash && !slices.Contains(loginShells, plain):
		return true // an option: the name is left out
	case strings.ContainsAny(p.Executable, blanks) && base(called) == file:
		return true // its folder has a blank
	}
	return varies(plain, file) || varies(file, plain) || slices.Contains(aliases[stem(file)], stem(plain))
}

const blanks = " \t\r\n"

// loginShells are started with a dash before their names.
var loginShells = []string{"ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "sh", "su", "tcsh", "zsh"}

// varies reports whether a name is another one with a version, a variant or an architecture: nc.openbsd is of nc,
// x86_64-linux-gnu-gcc-12 of gcc.
func varies(name, of string) bool {
	for at := 0; at+len(of) <= len(name); at++ {
		if name[at:at+len(of)] != of || at > 0 && name[at-1] != '-' {
			continue
		}
		if behind := name[at+len(of):]; behind == "" || strings.IndexByte(".-0123456789", behind[0]) >= 0 {
			return true
		}
	}
	return false
}

// stem is a name without what stands behind a dot or a version: vim of vim.basic.
func stem(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return strings.TrimRight(name, "0123456789")
}
