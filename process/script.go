// SPDX-License-Identifier: Apache-2.0

package process

import (
	"path"
	"slices"
	"strings"
)

// interpreter is how a program is asked to run a script.
type interpreter struct {
	names  []string // without a version: python for python3.11
	none   string   // options of one letter after which no file is run: -c CODE, -m MODULE
	takes  string   // options of one letter with an argument, which may be the next
	longs  []string // long options whose argument is the next
	nowhen []string // long options after which no file is run
}

// interpreters are those whose command lines are understood, by their manual pages.
var interpreters = []interpreter{
	{
		names: []string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"}, none: "cs", takes: "oO",
		longs: []string{"--rcfile", "--init-file"},
	},
	{names: []string{"fish"}, none: "c", takes: "CdDfo", nowhen: []string{"--command"}},
	{names: []string{"python", "pypy"}, none: "cm", takes: "WX"},
	{names: []string{"perl"}, none: "eE", takes: "IMmxCFVD"},
	{names: []string{"ruby"}, none: "e", takes: "IrECFTWx"},
	{
		names: []string{"node", "nodejs"}, none: "ep", takes: "rC",
		longs: []string{"--require", "--import"}, nowhen: []string{"--eval", "--print"},
	},
	{names: []string{"lua", "luajit"}, none: "", takes: "el"},
	{names: []string{"tclsh", "expect"}, none: "c"},
}

// Script is the path of the script that an interpreter was started with, joined with its working directory where it is
// relative and that is known. Empty: p is another program, or its code comes from elsewhere (sh -c, python3 -m, its
// input). It is what the command line says; whether the file was there is not asked.
func (p *Process) Script() string {
	if len(p.Args) < 2 {
		return ""
	}
	name := p.Name
	if IsMultiCall(name) {
		name = path.Base(p.Args[0])
	}
	name = strings.TrimRight(strings.TrimPrefix(name, "-"), "0123456789.")
	i := slices.IndexFunc(interpreters, func(in interpreter) bool { return slices.Contains(in.names, name) })
	if i < 0 {
		return ""
	}
	script := interpreters[i].script(p.Args[1:])
	if script != "" && !path.IsAbs(script) && p.CWD != "" {
		script = path.Join(p.CWD, script)
	}
	return script
}

// script is the first argument that is no option's.
func (in *interpreter) script(args []string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-":
			return ""
		case a == "--":
			if i+1 < len(args) {
				return args[i+1]
			}
			return ""
		case strings.HasPrefix(a, "--"):
			name, _, joined := strings.Cut(a, "=")
			if slices.Contains(in.nowhen, name) {
				return ""
			}
			if !joined && slices.Contains(in.longs, name) {
				i++
			}
		case strings.HasPrefix(a, "-"):
			for j, letter := range a[1:] {
				if strings.ContainsRune(in.none, letter) {
					return ""
				}
				if strings.ContainsRune(in.takes, letter) {
					if j == len(a)-2 {
						i++
					}
					break
				}
			}
		default:
			return a
		}
	}
	return ""
}
