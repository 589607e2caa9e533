// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/reconbeat/reconbeat/internal/health"
)

// A real full disk: a tmpfs of 4 MiB.
func TestFullDiskDelaysWritingAndNothingElse(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("NOT TESTED: a full disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	dir, board, r := filepath.Join(disk, "state"), &health.Board{}, &receiver{}
	s := mustOpen(t, dir, Options{Health: board, Committed: r.committed})
	appendAll(t, s, alert("a0"), event("e0"))
	save(t, s, Snapshot{Model: []byte("before")})
	require.Empty(t, board.Active())

	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	require.NoError(t, err)
	for chunk := make([]byte, 4096); ; {
		if _, err := f.Write(chunk); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			break
		}
	}
	require.NoError(t, f.Close())

	want := []string{"a0", "e0"}
	for i := 1; i <= 40; i++ {
		a, e := alert(fmt.Sprint("a", i)), event(fmt.Sprint("e", i))
		a.Document, e.Document = make([]byte, 50_000), make([]byte, 50_000) // 4 MB: more than the files hold already
		appendAll(t, s, a, e)
		want = append(want, a.ID, e.ID)
	}
	require.NoError(t, s.SaveSnapshot(Snapshot{Model: []byte("after")}))
	wait(t, s, func() bool { return len(board.Active()) == 4 })
	wait(t, s, func() bool { return s.stats.Appended.Load() == s.stats.Committed.Load() })
	assert.Equal(t, want, r.ids(), "delivery matters more than the journal")
	codes := map[string]bool{}
	for _, c := range board.Active() {
		require.Equal(t, health.StateNotWritten, c.Condition)
		if c.Subject != "snapshot" { // which waits for the alerts
			require.Contains(t, c.Detail, unix.ENOSPC.Error())
		}
		codes[c.Subject] = true
	}
	assert.Equal(t, map[string]bool{
		"alerts": true, "alerts.journal": true, "events.journal": true, "snapshot": true,
	}, codes)
	assert.Positive(t, s.Stats().WriteErrors.Load())
	got, err := ReadSnapshot(dir)
	require.NoError(t, err)
	assert.Equal(t, "before", string(got.Model), "the old snapshot stands: what came after it is not on disk")

	require.NoError(t, os.Remove(ballast))
	appendAll(t, s, alert("last"), event("last raw"))
	flush(t, s)
	wait(t, s, func() bool { return len(board.Active()) == 0 }) // the snapshot, too
	require.NoError(t, s.Close())
	logged := 0
	require.NoError(t, NewAlertReader(dir).Next(func(line []byte) error {
		if len(line) == 50_000 || string(line) == string(alert("last").Document) {
			logged++
		}
		return nil
	}))
	assert.Equal(t, 41, logged)

	s = mustOpen(t, dir, Options{})
	require.Zero(t, s.Stats().SetAside.Load()+s.Stats().Damaged.Load())
	assert.Equal(t, "after", string(s.Snapshot().Model))
	ids := pending(t, s)
	for i := range 41 {
		assert.Contains(t, ids, fmt.Sprint("a", i), "alerts were tried again")
	}
	assert.Contains(t, ids, "last raw")
}

// What could not be written and was delivered meanwhile is owed no more: when there is room again, nothing is wrong,
// even if nothing comes that the journals would have to keep.
func TestADiskWithRoomAgainNeedsNoNewAlert(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("NOT TESTED: a full disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	board := &health.Board{}
	s := mustOpen(t, filepath.Join(disk, "state"), Options{Health: board})
	ballast := filepath.Join(disk, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 3<<20), 0o600))
	a, e := alert("a"), event("e")
	a.Document, e.Document = make([]byte, 2<<20), make([]byte, 2<<20)
	appendAll(t, s, a, e)
	subjects := func() (all []string) {
		for _, c := range board.Active() {
			all = append(all, c.Subject)
		}
		return all
	}
	wait(t, s, func() bool {
		return slices.Contains(subjects(), "alerts.journal") && slices.Contains(subjects(), "events.journal")
	})
	wait(t, s, func() bool { return s.stats.Appended.Load() == s.stats.Committed.Load() })
	s.Acknowledged(2)
	require.NoError(t, os.Remove(ballast))
	require.NoError(t, s.SaveSnapshot(Snapshot{Model: []byte("after")}))
	wait(t, s, func() bool { return len(board.Active()) == 0 })
	require.NoError(t, s.Close())
}

// When disk and output fail together, memory is bounded and what is lost is counted.
func TestWithDiskAndOutputDownMemoryIsBounded(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("NOT TESTED: a full disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	release := make(chan struct{})
	s := mustOpen(t, filepath.Join(disk, "state"), Options{Committed: func([]Entry) { <-release }})
	appendAll(t, s, event("first"))
	for i := range 20 {
		e := event(fmt.Sprint("e", i))
		e.Document = make([]byte, 5<<20) // none fits onto the disk
		appendAll(t, s, e)
		require.Eventually(t, func() bool { return s.Stats().Commits.Load() >= uint64(i+1) }, time.Minute, time.Millisecond)
	}
	s.outbox.mu.Lock()
	assert.LessOrEqual(t, s.outbox.bytes, int64(maxOutboxBytes))
	s.outbox.mu.Unlock()
	assert.Positive(t, s.Stats().Lost.Load())
	close(release)
	flush(t, s)
	assert.Equal(t, s.Stats().Appended.Load(), s.Stats().Committed.Load()+s.Stats().Lost.Load())
	_ = s.Close()
}
