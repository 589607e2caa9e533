// SPDX-License-Identifier: Apache-2.0

package detector

import (
	"cmp"
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
	d.program = ""
	if e.Kind != process.Exec || !e.Success {
		return 0
	}
	program, _ := Program(e)
	d.program = program
	set := d.programs[program]
	if cutOff(&e.Process) {
		set |= d.cut[program]
	}
	if unseen(&e.Process, program) {
		set = d.all
	}
	if tool := e.Binary.Tool; tool != "" || process.IsInMemory(e.Executable) {
		set |= d.programs[tool]
		if named, _ := byName(&e.Process); named != program {
			set |= d.programs[named]
		}
		called, _ := byCall(&e.Process)
		set |= d.programs[called]
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
	name, args := Program(e)
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
	if name, args := byCall(&e.Process); slices.Contains(r.Programs, name) {
		return name, args
	}
	if unseen(&e.Process, name) {
		return name, args
	}
	return "", nil
}

// Program returns the name of the program that really runs after an exec, and the arguments after it. Of a multi-call
// binary that is the applet, of the dynamic loader and of an emulator the program that they load. Where the contents of
// a file are known, its name does not matter. A wrapper such as sudo or timeout is itself: the tool that it starts is
// an exec of its own.
func Program(e *process.Event) (string, []string) {
	name := nameOf(&e.Process)
	program := name
	if tool := e.Binary.Tool; tool != "" && process.RunsArgument(tool) {
		program = tool
	}
	return runs(program, name, e.Args, e.Loads)
}

// byName is Program by what the executables are called alone, a file in memory by what its maker has called it.
func byName(p *process.Process) (string, []string) {
	name := strings.TrimPrefix(nameOf(p), process.MemoryFile)
	return runs(name, name, p.Args, "")
}

// byCall is Program by what a file in memory was called by when it was started; empty for any other. Where such a file
// cannot be read, its maker's words are all that is known of it.
func byCall(p *process.Process) (string, []string) {
	if !process.IsInMemory(p.Executable) || len(p.Args) == 0 {
		return "", nil
	}
	name := base(strings.TrimPrefix(p.Args[0], "-"))
	return runs(name, name, p.Args, "")
}

// runs is what a program runs with arguments, itself where it runs no other. file is what its executable is called,
// loads what the contents of what it loads are known to be.
func runs(program, file string, args []string, loads string) (string, []string) {
	called, rest := "", args
	if len(args) > 0 {
		called, rest = args[0], args[1:]
	}
	if !process.RunsArgument(program) {
		return program, rest
	}
	for process.IsLoader(program) || process.IsEmulator(program) {
		at, as := process.Loaded(program, args)
		if at == 0 {
			return program, rest
		}
		file, args = base(args[at]), args[at:]
		program, called, rest = cmp.Or(loads, file), cmp.Or(as, args[0]), args[1:]
	}
	if process.IsMultiCall(program) {
		return applet(program, file, called, rest)
	}
	return program, rest
}

// nameOf is the base name of a process's executable, or what its source calls it.
func nameOf(p *process.Process) string {
	if p.Executable != "" {
		return base(p.Executable)
	}
	return p.Name
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// applet is what a multi-call binary runs as: the name that it is called by, with or without the dash of a login shell.
// Where that is its own (busybox-1.36, too) or its file's, the applet is the first argument.
func applet(binary, file, called string, rest []string) (string, []string) {
	called = strings.TrimPrefix(called, "-")
	for {
		name := base(called)
		if name != "" && name != file && !strings.HasPrefix(name, binary) {
			return name, rest
		}
		if len(rest) == 0 {
			return binary, nil
		}
		called, rest = rest[0], rest[1:]
	}
}

// unseen reports whether an exec runs another program that stands beyond the arguments which are kept: it may be any.
func unseen(p *process.Process, program string) bool {
	return p.ArgsCount > len(p.Args) && process.RunsArgument(program)
}
