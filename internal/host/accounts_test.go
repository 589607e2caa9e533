// SPDX-License-Identifier: Apache-2.0

package host

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/process"
)

// patience is for how long a test waits for what must come.
const patience = time.Minute

func TestRootIsCalledByItsName(t *testing.T) {
	a := NewAccounts()
	a.wait = patience
	u, g := process.User{ID: 0}, process.User{ID: 0}
	a.User(&u)
	a.Group(&g)
	require.Equal(t, "root", u.Name)
	require.Equal(t, "root", g.Name)
}

func TestIDWithoutAccountIsAskedForAgainAfterAMinute(t *testing.T) {
	var asked atomic.Int64
	now := time.Unix(0, 0)
	a := NewAccounts()
	a.wait = patience
	a.now = func() time.Time { return now }
	a.lookup = func(accountKey) (string, bool) {
		if asked.Add(1) == 1 {
			return "", false
		}
		return "late", true
	}
	u := process.User{ID: 4242}
	a.User(&u)
	a.User(&u)
	require.Empty(t, u.Name)
	require.EqualValues(t, 1, asked.Load())
	now = now.Add(2 * time.Minute)
	a.User(&u)
	require.Equal(t, "late", u.Name)
}

func TestSlowDirectoryDelaysOnlyTheFirstExec(t *testing.T) {
	answer := make(chan struct{})
	a := NewAccounts()
	a.lookup = func(accountKey) (string, bool) { <-answer; return "ldap-user", true }
	u := process.User{ID: 70000}
	a.User(&u)
	require.Empty(t, u.Name)
	close(answer)
	require.Eventually(t, func() bool {
		again := process.User{ID: 70000}
		a.User(&again)
		return again.Name == "ldap-user"
	}, patience, time.Millisecond)
}

func TestNobodyHasNoName(t *testing.T) {
	a := NewAccounts()
	a.lookup = func(accountKey) (string, bool) { t.Error("asked for nobody"); return "", false }
	u := process.User{ID: process.Unset}
	a.User(&u)
	require.Empty(t, u.Name)
}
