// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"math/bits"
	"slices"
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
	if cutOff(&e.Process) {
		set |= d.cut[program]
	}
	if tool := e.Binary.Tool; tool != "" {
		set |= d.programs[tool]
		if called, _ := byName(&e.Process); called != program {
			set |= d.programs[called]
		}
	}
	return set
}

// commLength is how many bytes of a program's name the kernel keeps as the name of a process (TASK_COMM_LEN in
// linux/sched.h, less the final 0).
const commLength = 15

// cutOff reports whether all that is known of the program is a name that the kernel may have cut off.
func cutOff(p *process.Process) bool { return p.Executable == "" && len(p.Name) == commLength }

// program returns which of the rule's programs an exec is, "" if none, and the arguments after it.
func (r *Rule) program(e *process.Event) (string, []string) {
	name, args := Program(&e.Process)
	switch {
	case slices.Contains(r.Programs, name):
		return name, args
	case cutOff(&e.Process):
		if i := slices.IndexFunc(r.Programs, func(p string) bool { return strings.HasPrefix(p, name) }); i >= 0 {
			return r.Programs[i], args
		}
	}
	if slices.Contains(r.Programs, e.Binary.Tool) {
		return e.Binary.Tool, args
	}
	if name, args := byName(&e.Process); slices.Contains(r.Programs, name) {
		return name, args
	}
	return "", nil
}

// Program returns the name of the program that really runs in a process, and the arguments after it. Of a multi-call
// binary that is the applet, of the dynamic loader the program that it loads. Where the contents of a file are known,
// its name does not matter. A wrapper such as sudo or timeout is itself: the tool that it starts is an exec of its own.
func Program(p *process.Process) (string, []string) {
	switch tool := p.Binary.Tool; {
	case tool == "": // as of almost every program
	case process.IsMultiCall(tool):
		return applet(tool, nameOf(p), p.Args)
	case isLoader(tool):
		return loaded(tool, p.Args)
	}
	return byName(p)
}

// byName is Program by what the executable is called alone.
func byName(p *process.Process) (string, []string) {
	name := nameOf(p)
	switch {
	case process.IsMultiCall(name):
		return applet(name, name, p.Args)
	case isLoader(name):
		return loaded(name, p.Args)
	}
	return name, rest(p.Args)
}

// nameOf is the base name of a process's executable, or what its source calls it.
func nameOf(p *process.Process) string {
	if p.Executable != "" {
		return base(p.Executable)
	}
	return p.Name
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func rest(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return args[1:]
}

// applet is what a multi-call binary runs as: the name that it is called by. Where that is its own (busybox-1.36, too)
// or its file's, the applet is the first argument.
func applet(binary, file string, args []string) (string, []string) {
	for len(args) > 0 {
		if called := base(args[0]); called != file && !strings.HasPrefix(called, binary) {
			return called, args[1:]
		}
		args = args[1:]
	}
	return binary, nil
}

// isLoader reports whether a base name is a dynamic loader's: ld.so, ld-linux-x86-64.so.2, ld-musl-aarch64.so.1,
// ld-2.31.so.
func isLoader(name string) bool {
	if !strings.HasPrefix(name, "ld") { // as hardly any program's does
		return false
	}
	return strings.HasPrefix(name, "ld.so") || strings.HasPrefix(name, "ld64.so") ||
		strings.HasPrefix(name, "ld-") && strings.Contains(name, ".so")
}

// loaderOptionTakesValue reports whether an option of glibc's or musl's loader has its value in the next argument
// (ld.so --help, musl ldso/dynlink.c).
func loaderOptionTakesValue(option string) bool {
	switch option {
	case "--library-path", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask", "--inhibit-rpath", "--audit", "--preload",
		"--argv0":
		return true
	}
	return false
}

// loaderOptionRunsNothing reports whether an option makes the loader print something and start no program.
func loaderOptionRunsNothing(option string) bool {
	switch option {
	case "--list", "--verify", "--help", "--version", "--list-tunables", "--list-diagnostics":
		return true
	}
	return false
}

// loaded is the program that a loader started by hand loads; the loader itself where it loads none.
func loaded(name string, args []string) (string, []string) {
	for i := 1; i < len(args); i++ {
		switch a := args[i]; {
		case loaderOptionRunsNothing(a):
			return name, rest(args)
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
