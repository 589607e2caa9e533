// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/reconbeat/reconbeat/internal/race"
	"github.com/reconbeat/reconbeat/process"
)

// Accounts resolves user and group ids of this host to names, late (only for execs that matched) and with a memory.
//
// With cgo the host's own NSS answers (files, LDAP, SSSD ...). A static build reads /etc/passwd and /etc/group, and
// asks `getent`, which knows NSS, for what is not there. Either may wait for a server: the caller waits for an answer
// at most accountWait, then goes on with the id alone; the answer is remembered when it comes.
type Accounts struct {
	mu     sync.Mutex
	names  map[accountKey]accountName
	lookup func(accountKey) (string, bool)
	now    func() time.Time
	wait   time.Duration // for an answer
}

type accountKey struct {
	group bool
	id    uint32
}

type accountName struct {
	name  string
	until time.Time     // when to ask again
	ready chan struct{} // closed once the answer is there
}

const (
	accountWait    = race.Slower * 100 * time.Millisecond
	accountKept    = 10 * time.Minute // a name that was found
	accountMissing = time.Minute      // an id that has none: useradd may be under way
	accountMax     = 10000
)

// NewAccounts makes a resolver that remembers nothing yet.
func NewAccounts() *Accounts {
	return &Accounts{names: map[accountKey]accountName{}, lookup: lookupAccount, now: time.Now, wait: accountWait}
}

// User fills in the name of a user known by the id alone; it stays empty where the id has no name.
func (a *Accounts) User(u *process.User) { a.fill(u, false) }

// Group does the same for a group.
func (a *Accounts) Group(u *process.User) { a.fill(u, true) }

func (a *Accounts) fill(u *process.User, group bool) {
	if u.ID == process.Unset || u.Name != "" {
		return
	}
	k := accountKey{group, u.ID}
	a.mu.Lock()
	known, ok := a.names[k]
	if !ok || known.expired(a.now()) {
		if len(a.names) >= accountMax {
			clear(a.names)
		}
		ready := make(chan struct{})
		known.ready = ready // an expired name stays until the new answer
		a.names[k] = known
		go a.resolve(k, ready)
	}
	a.mu.Unlock()
	if known.name == "" {
		select {
		case <-known.ready:
		case <-time.After(a.wait):
		}
		a.mu.Lock()
		known = a.names[k]
		a.mu.Unlock()
	}
	u.Name = known.name
}

// expired reports whether it is time to ask again, and nobody is asking yet.
func (n accountName) expired(now time.Time) bool {
	select {
	case <-n.ready:
		return now.After(n.until)
	default:
		return false
	}
}

func (a *Accounts) resolve(k accountKey, ready chan struct{}) {
	name, ok := a.lookup(k)
	kept := accountKept
	if !ok {
		kept = accountMissing
	}
	a.mu.Lock()
	a.names[k] = accountName{name: name, until: a.now().Add(kept), ready: ready}
	a.mu.Unlock()
	close(ready)
}

func lookupAccount(k accountKey) (string, bool) {
	id := strconv.FormatUint(uint64(k.id), 10)
	if k.group {
		if g, err := user.LookupGroupId(id); err == nil {
			return g.Name, true
		}
	} else if u, err := user.LookupId(id); err == nil {
		return u.Username, true
	}
	if cgoNSS {
		return "", false
	}
	database := "passwd"
	if k.group {
		database = "group"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", database, id).Output()
	if err != nil {
		return "", false
	}
	line, _, _ := bufio.NewReader(bytes.NewReader(out)).ReadLine()
	name, _, _ := strings.Cut(string(line), ":")
	return name, name != ""
}
