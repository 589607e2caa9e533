// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"fmt"
	"sync"
	"time"

	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-system-metrics/metric/system/host"
	"github.com/elastic/go-sysinfo"

	"github.com/reconbeat/reconbeat/internal/host/executable"
	"github.com/reconbeat/reconbeat/internal/host/procfs"
	"github.com/reconbeat/reconbeat/process"
)

// thisHost describes the host that reconbeat runs on, called by the name that the user gave the Beat.
func thisHost(name string) (hostFields, error) {
	h, err := sysinfo.Host()
	if err != nil {
		return hostFields{}, fmt.Errorf("asking for this host's description: %w", err)
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
	return hostFields{id: id, bootID: boot, fields: fields}, nil
}

// local is what the running host can be asked about an exec that has just happened: names of accounts, what /proc says of a parent that
// no event told of, the container, and what an executable really contains.
type local struct {
	proc     *procfs.FS
	accounts *accounts

	mu       sync.Mutex // of binaries: the module's goroutine identifies, the stream's counts and changes the rules
	binaries *executable.Identifier
}

func newLocal(programs []string) (*local, error) {
	proc, err := procfs.Open("/proc")
	if err != nil {
		return nil, err
	}
	l := &local{proc: proc, accounts: newAccounts()}
	l.watch(programs)
	return l, nil
}

// watch says which programs are known by their contents.
func (l *local) watch(programs []string) {
	binaries := executable.New(executable.Options{Tools: programs})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.binaries = binaries
}

// snapshot puts the processes that are alive now into the table.
func (l *local) snapshot(t *process.Table) error {
	return l.proc.Snapshot(t.PutProcess)
}

// identify tells what the executable of an exec really contains. It runs for every exec, where it is read and not where
// it is judged: a program that was removed, or never was a file, can be looked at only as long as it runs.
func (l *local) identify(e *process.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.binaries.Identify(e)
}

// glimpse looks at a process that has started something, before it is known what.
func (l *local) glimpse(pid uint32, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.binaries.Glimpse(pid, at)
}

// identified counts what identify did.
func (l *local) identified() executable.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.binaries.Stats()
}

// complete fills a matched exec with what the host knows. A fact that the event or the table has is never written over.
func (l *local) complete(e *process.Event, t *process.Table) {
	if e.Container.ID == "" {
		e.Container = l.proc.Container(e.PID)
	}
	l.forkTime(&e.Process, e.Time)
	if !t.Complete(e) && l.ask(e, t) {
		t.Complete(e)
	}
	if e.Container.ID == "" && e.Parent.PID != 0 && e.Parent.PID != 1 {
		e.Container = l.proc.Container(e.Parent.PID) // the exec itself was gone; containers are inherited
	}
	if e.Container.ID != "" {
		return // the host's names are not the container's
	}
	for _, u := range []*process.User{
		&e.User, &e.Effective, &e.Session.User, &e.Parent.User, &e.Parent.Effective, &e.Leader.User, &e.Leader.Effective, &e.Entry.User, &e.Entry.Effective,
	} {
		l.accounts.user(u)
	}
	l.accounts.group(&e.Group)
	l.accounts.group(&e.EffGroup)
}

// ask reads the event's unknown parent from /proc into the table: a shell that forked without exec. A process younger than the event is a later one with the pid, and
// nobody's parent. It reports whether the table has learned something.
func (l *local) ask(e *process.Event, t *process.Table) bool {
	var p process.Process
	ppid, s, err := l.proc.Read(e.PPID, &p)
	if err != nil || p.Start.After(e.Time.Add(clockTick)) {
		return false
	}
	t.PutProcess(&p, ppid, s)
	return true
}

// clockTick is the resolution of the times of fork in /proc, and the second to which the time of boot is known.
const clockTick = time.Second + 10*time.Millisecond

// forkTime reads when the exec's own process was forked, which makes its entity id the same after a restart.
func (l *local) forkTime(p *process.Process, at time.Time) {
	if p.StartTicks != 0 || p.PID == 0 {
		return
	}
	var now process.Process
	if _, _, err := l.proc.Read(p.PID, &now); err == nil && !now.Start.After(at.Add(clockTick)) {
		p.StartTicks = now.StartTicks
	}
}
