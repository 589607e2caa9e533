// SPDX-License-Identifier: Apache-2.0

// Package host asks the machine that reconbeat runs on: what it is, who its accounts are, what /proc says of a process
// (procfs), what an executable really contains (executable), and where it comes from (provenance, dpkg, rpm). It also
// asks what an account may do (account, sudoers), and where it came from before (logins). Everything is asked late, for
// the few execs that a rule matches, and answered from memory where it can be.
package host

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-system-metrics/metric/system/host"
	"github.com/elastic/go-sysinfo"

	"github.com/reconbeat/reconbeat/internal/host/account"
	"github.com/reconbeat/reconbeat/internal/host/executable"
	"github.com/reconbeat/reconbeat/internal/host/logins"
	"github.com/reconbeat/reconbeat/internal/host/procfs"
	"github.com/reconbeat/reconbeat/internal/host/provenance"
	"github.com/reconbeat/reconbeat/process"
)

// Description is a host as the documents of its events describe it.
type Description struct {
	ID     string   // host.id: the machine-id, else the host's name
	BootID string   // of the running kernel; empty: unknown
	Fields mapstr.M // host.*; nil: documents say nothing of their host
}

// Describe describes the host that reconbeat runs on, under the name that the user gave the Beat.
func Describe(name string) (Description, error) {
	h, err := sysinfo.Host()
	if err != nil {
		return Description{}, fmt.Errorf("asking for this host's description: %w", err)
	}
	info := h.Info()
	fields, _ := host.MapHostInfo(info, name)["host"].(mapstr.M)
	id := info.UniqueID
	if id == "" {
		id = info.Hostname // no machine-id: the best that is left, and the same after a restart
		fields["id"] = id
	}
	boot := ""
	if proc, err := procfs.Open("/proc"); err == nil {
		boot = proc.BootID()
	}
	return Description{ID: id, BootID: boot, Fields: fields}, nil
}

// Host is the running host, which is asked about an exec that has just happened: names of accounts, a parent that no
// event reported, the container, and the true contents of an executable.
type Host struct {
	proc     *procfs.FS
	accounts *Accounts
	origins  *provenance.Examiner
	rights   *account.Reader
	history  logins.History
	folders  *folders

	mu       sync.Mutex // of binaries: the module's goroutine identifies, the engine's counts and changes the rules
	binaries *executable.Identifier
}

// Open makes ready to ask the host. programs are the names of the programs that are known by their contents, too.
func Open(programs []string) (*Host, error) {
	proc, err := procfs.Open("/proc")
	if err != nil {
		return nil, err
	}
	root := procfs.HostRoot()
	h := &Host{
		proc: proc, accounts: NewAccounts(), origins: provenance.New(provenance.Options{Root: root}),
		rights: account.New(root), history: logins.New(root),
	}
	h.folders = newFolders("/proc", root, h.rights)
	h.Watch(programs)
	return h, nil
}

// Watch changes which programs are known by their contents.
func (h *Host) Watch(programs []string) {
	binaries := executable.New(executable.Options{Tools: programs})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.binaries = binaries
}

// Snapshot puts the processes that are alive now into the table.
func (h *Host) Snapshot(t *process.Table) error {
	return h.proc.Snapshot(t.PutProcess)
}

// Identify finds out what the executable of an exec really contains. It runs for every exec, where it is read and not
// where it is judged: a program that was removed, or never was a file, can be examined only as long as it runs.
func (h *Host) Identify(e *process.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.binaries.Identify(e)
}

// Glimpse examines a process that has started something, before it is known what.
func (h *Host) Glimpse(pid uint32, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.binaries.Glimpse(pid, at)
}

// Identified counts what Identify did.
func (h *Host) Identified() executable.Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.binaries.Stats()
}

// Complete fills a matched exec with what the host knows. It never overwrites what the event or the table knows.
func (h *Host) Complete(e *process.Event, t *process.Table) {
	gone := errors.Is(h.forkTime(&e.Process, e.Time), procfs.ErrGone)
	known := e.Container.ID != ""
	if !known && !gone {
		e.Container, known = h.proc.Container(e.PID)
	}
	if parent := cmp.Or(e.Parent.PID, e.PPID); !known && parent > 1 {
		e.Container, _ = h.proc.Container(parent) // the exec itself was gone; containers are inherited
	}
	h.readAncestors(e, t)
	t.Complete(e) // by the container, too: it is a way in
	if e.Container.ID != "" {
		return // the host's names are not the container's
	}
	h.Name(&e.User, &e.Effective, &e.Session.User, &e.Parent.User, &e.Parent.Effective,
		&e.Leader.User, &e.Leader.Effective, &e.Entry.User, &e.Entry.Effective)
	h.accounts.Group(&e.Group)
	h.accounts.Group(&e.EffGroup)
}

// Name fills in the names of users known by their ids alone.
func (h *Host) Name(users ...*process.User) {
	for _, u := range users {
		h.accounts.User(u)
	}
}

// Inspect says whether the account that logged in has a shell, and whether the executable of a match, and that of what
// started it, lie where their users can write. A wrapper that does may be anything that is called after one: it is what
// started the tool.
func (h *Host) Inspect(e *process.Event, t *process.Table) {
	if login := e.Session.User.ID; e.Container.ID == "" && login != process.Unset {
		a, _ := h.rights.Entry(login)
		e.Session.NoShell = a.LetsNobodyIn()
	}
	e.Place = h.folders.place(e, &e.Process)
	switch {
	case process.Place(e.Starter) != "": // known by its path
		return
	case !process.IsWrapper(path.Base(e.Parent.Executable)):
		e.StarterPlace = h.folders.place(e, &e.Parent)
		return
	}
	for _, p := range t.Ancestry(e) {
		wraps := process.IsWrapper(path.Base(p.Executable))
		place := h.folders.place(e, &p)
		if wraps && place == "" {
			continue
		}
		if wraps {
			e.Starter = p.Executable
		}
		if p.Executable == e.Starter {
			e.StarterPlace = place
		}
		return
	}
}

// Examine has the executables of a match, and of its parent, read in the background, as long as the processes may be
// there.
func (h *Host) Examine(e *process.Event) { h.origins.Ask(e) }

// Provenance says where the executables of a match, and of its parent, come from.
func (h *Host) Provenance(e *process.Event) (tool, parent provenance.Executable) {
	return h.origins.Answer(e)
}

// Account says what the host's files know at a time of an account. It may wait for account.HomeWait.
func (h *Host) Account(u process.User, at time.Time) account.Account {
	return h.rights.Of(u.ID, u.Name, at)
}

// Logins says what the host's history of logins has of an account and an address before a time.
func (h *Host) Logins(name string, from netip.Addr, before time.Time) (logins.Known, error) {
	return h.history.Of(name, from, before)
}

// Port is the port that a login session comes from, by the connection that its login program has now; false: unknown.
func (h *Host) Port(s *process.Session) (uint16, bool) {
	if s.Leader == 0 || !s.Source.IsValid() {
		return 0, false
	}
	return h.proc.PeerPort(s.Leader, s.Source)
}

// ancestorsRead is how many unknown ancestors of an exec are read from /proc at most.
const ancestorsRead = 16

// readAncestors reads from /proc into the table what is unknown of the processes above an exec: shells and servers that
// forked without exec. A process younger than the event is a later one with the pid, and nobody's ancestor.
func (h *Host) readAncestors(e *process.Event, t *process.Table) {
	var before uint32
	for range ancestorsRead {
		pid := t.Unknown(e)
		if pid == 0 || pid == before {
			return
		}
		var p process.Process
		ppid, s, err := h.proc.Read(pid, &p)
		if err != nil || p.Start.After(e.Time.Add(clockTick)) {
			return
		}
		t.PutProcess(&p, ppid, s)
		before = pid
	}
}

// clockTick is the resolution of the times of fork in /proc, and the second to which the time of boot is known.
const clockTick = time.Second + 10*time.Millisecond

// forkTime reads when the exec's own process was forked, which makes its entity id the same after a restart. The error
// is that of procfs.FS.StartTicks.
func (h *Host) forkTime(p *process.Process, at time.Time) error {
	if p.StartTicks != 0 || p.PID == 0 {
		return nil
	}
	ticks, start, err := h.proc.StartTicks(p.PID)
	if err == nil && !start.After(at.Add(clockTick)) {
		p.StartTicks = ticks
	}
	return err
}
