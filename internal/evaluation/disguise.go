// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path"

	"github.com/reconbeat/reconbeat/process"
)

// disguise is how a tool is started that does not run from where its package put it.
type disguise struct {
	folder string // that it lies in, "~/" and what follows for one's home; empty: its own
	name   string // that it has there, so that only its contents show what it is; empty: its own
	loader string // that is asked to start it; empty: none
}

// put disguises the tool of an event, and returns the arguments with which it is started. home is that of
// whoever does it.
func (d *disguise) put(e *process.Event, argv []string, home string) []string {
	if d.folder != "" {
		folder := d.folder
		if folder[0] == '~' {
			folder = home + folder[1:]
		}
		e.Executable = folder + e.Name
	}
	if d.name != "" {
		e.Binary.Tool = e.Name
		e.Executable = path.Join(path.Dir(e.Executable), d.name)
		e.Name, argv[0] = d.name, d.name
	}
	if d.loader != "" {
		argv = append([]string{d.loader, e.Executable}, argv[1:]...)
		e.Executable, e.Name = d.loader, path.Base(d.loader)
	}
	return argv
}
