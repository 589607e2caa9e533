// SPDX-License-Identifier: Apache-2.0

package beater

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/paths"
	"github.com/stretchr/testify/require"

	"github.com/reconbeat/reconbeat/config"
	"github.com/reconbeat/reconbeat/internal/control"
	"github.com/reconbeat/reconbeat/internal/health"
	"github.com/reconbeat/reconbeat/internal/state"
)

// TestChangedExceptionsAreTakenUp reloads a good file, a broken one, and a good one again: the broken one leaves the
// last good set in force, and what was counted outlives all of it.
func TestChangedExceptionsAreTakenUp(t *testing.T) {
	dir := t.TempDir()
	board := &health.Board{}
	where := &paths.Path{Config: dir, Data: filepath.Join(dir, "data")}
	c := newControls(where, config.Default(), board, logp.NewNopLogger())
	l := &loop{engine: testEngine(t), calls: make(chan func()), ended: make(chan struct{}), logger: logp.NewNopLogger()}
	go func() {
		for call := range l.calls {
			call()
		}
	}()
	defer close(l.calls)
	set, err := c.start()
	require.NoError(t, err)
	require.Zero(t, set.Len(), "a folder that is missing has none")
	l.engine.SetControls(set)

	folder := filepath.Join(dir, "exceptions.d")
	require.NoError(t, os.Mkdir(folder, 0o700))
	changes := 0
	write := func(name, text string) {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		changes++ // a file system's clock may be too coarse for what a test does
		at := time.Now().Add(time.Duration(changes) * time.Second)
		require.NoError(t, os.Chtimes(path, at, at))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reload(l, c.fingerprint(l))
	}
	inForce := func() []control.Usage { return l.engine.Counts.Controls.Load().Usage() }
	const good = "- {id: one, conditions: [{field: user.name, in_list: names.txt}]}\n"
	write("names.txt", "alice\n")
	write("a.yml", good)
	require.Len(t, inForce(), 1)
	first := l.engine.Counts.Controls.Load()
	first.Inherit([]control.Usage{{Kind: "exception", ID: "one", Matches: 7, Alerts: 2}})

	write("a.yml", good+"- {id: two}\n")
	require.Same(t, first, l.engine.Counts.Controls.Load(), "the last good set holds on")
	require.Len(t, board.Active(), 1)
	require.Equal(t, health.ConfigRejected, board.Active()[0].Condition)
	require.Contains(t, board.Active()[0].Detail, "a.yml line 2: 1.conditions: is missing")

	write("a.yml", good+"- {id: two, conditions: [{field: user.name, is: bob}]}\n")
	require.Empty(t, board.Active())
	require.Len(t, inForce(), 2)
	require.EqualValues(t, 7, inForce()[0].Matches)

	// A changed list is a change, too.
	before := l.engine.Counts.Controls.Load()
	write("names.txt", "alice\nbob\n")
	require.NotSame(t, before, l.engine.Counts.Controls.Load())

	// The counts survive a restart.
	saved := l.usage()
	l.engine.SetControls(set) // of none, as at the start
	again, err := c.load(c.config)
	require.NoError(t, err)
	l.engine.SetControls(again)
	l.restoreUsage(saved)
	require.EqualValues(t, 2, inForce()[0].Alerts)

	// Approved work is taken up, and reported once; so is that it was revoked.
	kept := t.TempDir()
	store, err := state.Open(kept, state.Options{Logger: logp.NewNopLogger()})
	require.NoError(t, err)
	l.heart, l.journal = &heartbeat{}, &journal{store: store, logger: logp.NewNopLogger()}
	approvals := filepath.Join(dir, "data", "approvals")
	require.NoError(t, os.MkdirAll(approvals, 0o700))
	approved := func(end, more string) {
		text := "- {id: ops, ticket: OPS-123, author: alice, created: 2026-11-28T20:00:00Z, expires: " + end +
			", conditions: [{field: user.name, is: eve}]" + more + "}\n"
		write("../data/approvals/ops.yml", text)
		l.noteApproved(time.Now())
		l.noteApproved(time.Now())
	}
	approved("2099-11-29T00:00:00Z", "")
	approved("2026-11-28T21:00:00Z", ", revoked_by: bob")
	var said []string
	require.NoError(t, store.Close())
	store, err = state.Open(kept, state.Options{Logger: logp.NewNopLogger()})
	require.NoError(t, err)
	require.NoError(t, store.Pending(func(e state.Entry) error {
		doc, err := decode(e.Document)
		require.NoError(t, err)
		message, err := doc.Fields.GetValue("message")
		require.NoError(t, err)
		action, err := doc.Fields.GetValue("event.action")
		require.NoError(t, err)
		said = append(said, action.(string)+": "+message.(string))
		return nil
	}))
	require.NoError(t, store.Close())
	require.Equal(t, []string{
		"approved: alice approved work that raises no alert until 2099-11-29T00:00:00Z: OPS-123",
		"approval-revoked: bob revoked approved work: OPS-123",
	}, said)
	require.NoError(t, os.RemoveAll(approvals))

	// One at its end is reported once.
	write("b.yml", "- {id: old, expires: 2020-01-01, conditions: [{field: user.name, is: eve}]}\n")
	require.Len(t, l.engine.Counts.Controls.Load().Lapse(time.Now()), 1)
	write("names.txt", "alice\n")
	require.Empty(t, l.engine.Counts.Controls.Load().Lapse(time.Now()))
	r := reportUsage(l.engine.Counts.Controls.Load(), time.Now())
	require.Equal(t, inUse{active: 2, unused: 1, expired: []string{"old"}, mostUsed: []string{"one"}}, r)
}

// TestControlsAreReadWhenTheyCanBe does to files of controls what happens in file systems: what is still being
// written waits, what cannot be read is reported and tried again, and a list outside of the folder is read anew.
func TestControlsAreReadWhenTheyCanBe(t *testing.T) {
	dir := t.TempDir()
	board := &health.Board{}
	c := newControls(&paths.Path{Config: dir, Data: filepath.Join(dir, "data")}, config.Default(), board,
		logp.NewNopLogger())
	l := &loop{engine: testEngine(t), calls: make(chan func()), ended: make(chan struct{}), logger: logp.NewNopLogger()}
	go func() {
		for call := range l.calls {
			call()
		}
	}()
	defer close(l.calls)
	set, err := c.start()
	require.NoError(t, err)
	l.engine.SetControls(set)
	folder, approvals := filepath.Join(dir, "exceptions.d"), filepath.Join(dir, "data", "approvals")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Mkdir(filepath.Dir(approvals), 0o700))
	file, list := filepath.Join(folder, "a.yml"), filepath.Join(dir, "names.txt")
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	inForce := func() *control.Set { return l.engine.Counts.Controls.Load() }
	const period = 10 * time.Second
	require.Equal(t, settle, c.check(l), "the folder is new")
	require.Equal(t, period, c.check(l))
	require.Equal(t, period, c.check(l))

	// Half of a file is a file, too.
	const half = "- {id: one, conditions: [{field: user.name, in_list: ../names.txt}]}\n"
	write(list, "alice\n")
	write(file, half)
	require.Equal(t, settle, c.check(l))
	write(file, half+"- {id: two, conditions: [{field: user.name, is: bob}]}\n")
	require.Equal(t, settle, c.check(l))
	require.Zero(t, inForce().Len())
	require.Equal(t, period, c.check(l))
	require.Equal(t, 2, inForce().Len())
	c.check(l) // finds that the list lies elsewhere
	c.check(l)

	// A list outside of the folder is watched, too.
	before := inForce()
	write(list, "alice\nbob\n")
	require.Equal(t, settle, c.check(l))
	require.Equal(t, period, c.check(l))
	require.NotSame(t, before, inForce())
	before = inForce()

	// It goes, and comes back as it was: the last good ones hold on, and the condition ends.
	stands := func() (all []string) {
		for _, s := range board.Active() {
			all = append(all, s.Condition.Code+" "+s.Detail)
		}
		return all
	}
	require.NoError(t, os.Rename(list, list+".old"))
	c.check(l)
	c.check(l)
	require.Len(t, stands(), 1)
	require.Contains(t, stands()[0], "config_rejected "+file+" line 1: 0.conditions.0.in_list: reading the list: open ")
	require.Same(t, before, inForce())
	require.NoError(t, os.Rename(list+".old", list))
	c.check(l)
	c.check(l)
	require.Empty(t, stands())
	require.NotSame(t, before, inForce())
	before = inForce()

	// What approves work cannot be read.
	write(approvals, "no folder")
	c.check(l)
	c.check(l)
	require.Equal(t, []string{"config_rejected reading approvals: open " + approvals + ": not a directory"}, stands())
	require.Same(t, before, inForce())
	require.Equal(t, period, c.check(l), "it is tried again, without a change")
	require.Len(t, stands(), 1)
	require.NoError(t, os.Remove(approvals))
	c.check(l)
	c.check(l)
	require.Empty(t, stands())
	require.NotSame(t, before, inForce())

	// A file that is missing without being noticed is found by trying again: a fingerprint cannot name what is not there.
	before = inForce()
	write(file, half+"- {id: two, conditions: [{field: user.name, in_list: "+filepath.Join(dir, "more.txt")+"}]}\n")
	c.check(l)
	c.check(l)
	require.Len(t, stands(), 1)
	write(filepath.Join(dir, "more.txt"), "bob\n")
	require.Equal(t, period, c.check(l))
	require.Empty(t, stands())
	require.NotSame(t, before, inForce())

	// What never stops changing does not keep a change waiting for ever.
	before = inForce()
	for i := range mostWaits {
		write(filepath.Join(folder, "growing.log"), strings.Repeat("x", i+1))
		require.Equal(t, settle, c.check(l))
	}
	write(filepath.Join(folder, "growing.log"), "")
	require.Equal(t, period, c.check(l))
	require.NotSame(t, before, inForce())
}
