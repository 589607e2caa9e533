// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"math/bits"
	"strings"

	"github.com/reconbeat/reconbeat/process"
)

// RuleSet is a set of the detector's rules; the empty one is 0.
type RuleSet uint64

// maxRules is how many enabled rules a RuleSet can hold.
const maxRules = 64

// next returns the index of the set's first rule and the set without it.
func (s RuleSet) next() (int, RuleSet) {
	i := bits.TrailingZeros64(uint64(s))
	return i, s &^ (1 << i)
}

// Match returns the rules whose programs the event's exec is one of. It allocates nothing.
func (d *Detector) Match(e *process.Event) RuleSet {
	if e.Kind != process.Exec || !e.Success {
		return 0
	}
	program, _ := Program(&e.Process)
	set := d.programs[program]
	if tool := e.Binary.Tool; tool != "" && tool != program {
		set |= d.programs[tool]
	}
	return set
}

// Program returns the name of the program that really runs in a process, and the arguments after it: of a multi-call binary the applet, of the
// dynamic loader the program that it loads. A wrapper such as sudo or timeout is itself: the tool that it starts is an exec of its own.
func Program(p *process.Process) (string, []string) {
	name := p.Name
	if p.Executable != "" {
		name = base(p.Executable)
	}
	args := p.Args
	switch {
	case name == "busybox" || name == "toybox":
		return applet(name, args)
	case isLoader(name):
		return loaded(name, args)
	}
	return name, rest(args)
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func rest(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return args[1:]
}

// applet is what a multi-call binary runs as: what it is called, or its first argument where it is called by its own name.
func applet(name string, args []string) (string, []string) {
	for len(args) > 0 {
		if called := base(args[0]); called != name {
			return called, args[1:]
		}
		args = args[1:]
	}
	return name, nil
}

// isLoader reports whether a base name is a dynamic loader's: ld.so, ld-linux-x86-64.so.2, ld-musl-aarch64.so.1, ld-2.31.so.
func isLoader(name string) bool {
	return strings.HasPrefix(name, "ld") && strings.Contains(name, ".so") && (strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld.so") || strings.HasPrefix(name, "ld64.so"))
}

// loaderOptions are the options of glibc's and musl's loaders that take a value in the next argument (ld.so --help, musl ldso/dynlink.c).
func loaderOptionTakesValue(option string) bool {
	switch option {
	case "--library-path", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask", "--inhibit-rpath", "--audit", "--preload", "--argv0":
		return true
	}
	return false
}

// loaded is the program that a loader started by hand loads.
func loaded(name string, args []string) (string, []string) {
	for i := 1; i < len(args); i++ {
		switch a := args[i]; {
		case loaderOptionTakesValue(a):
			i++
		case strings.HasPrefix(a, "--") && len(a) > 2:
		case a == "--":
		default:
			return base(a), args[i+1:]
		}
	}
	return name, rest(args)
}
