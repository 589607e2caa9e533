// SPDX-License-Identifier: Apache-2.0

package process

import "slices"

// maxAncestry bounds what Ancestry returns.
const maxAncestry = 16

// Unknown returns the pid of the nearest process above an exec of this host of which nothing is known, its parent or an
// ancestor: one that forked and runs its parent's program. 0: all are known, up to init.
func (t *Table) Unknown(e *Event) uint32 {
	s := t.scope(e)
	parent := t.parentOf(s, e)
	if parent == nil {
		return e.PPID
	}
	line := t.line(s, parent)
	above := line[len(line)-1].ppid
	if len(line) == ancestors || s.process(above) != nil {
		return 0
	}
	return above
}

// Ancestry returns the processes through which an exec came about: its parent first, then the parent's, up to the one
// that came in from outside (process.entry_leader), or as far up as they are known. Of a longer line than 16 these are
// the 15 nearest and the last. Args are those of the first KiB. It may be called after Complete, until the next
// Observe; nil: the parent is unknown.
func (t *Table) Ancestry(e *Event) []Process {
	s := t.scope(e)
	line := t.line(s, t.parentOf(s, e))
	for i, p := range line {
		if p.pid == e.Entry.PID && p.pid != 0 {
			line = line[:i+1]
			break
		}
		if slices.Contains(line[:i], p) { // parents that are each other's come of pids that were reused
			line = line[:i]
			break
		}
	}
	if len(line) > maxAncestry {
		line[maxAncestry-1] = line[len(line)-1]
		line = line[:maxAncestry]
	}
	var all []Process
	for _, p := range line {
		described := NoProcess
		t.describe(&described, p)
		if described.EntityID == "" {
			described.EntityID = t.entityID(s, e, &described)
		}
		all = append(all, described)
	}
	return all
}
