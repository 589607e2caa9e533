// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/module"
	"github.com/reconbeat/reconbeat/module/recording"
	"github.com/reconbeat/reconbeat/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// following is a follower in the background.
type following struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	last  process.Cursor
	stats module.Stats
	tail  Tail
	stop  func()
}

func follow(t *testing.T, path string, from process.Cursor, fromStart bool) *following {
	f := &following{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, Options{
			Path:      path,
			From:      from,
			FromStart: fromStart,
			Stats:     &f.stats,
			Logger:    logp.NewNopLogger(),
			Tail:      &f.tail,
		}, func(line []byte, next process.Cursor) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.lines = append(f.lines, string(line))
			f.last = next
			return nil
		})
	}()
	var once sync.Once
	f.stop = func() { once.Do(func() { cancel(); require.NoError(t, <-done) }) }
	t.Cleanup(f.stop)
	return f
}

func (f *following) wait(want ...string) {
	f.t.Helper()
	ok := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return strings.Join(f.lines, "|") == strings.Join(want, "|")
	}
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(f.t, want, f.lines)
}

func (f *following) atEnd() {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.tail.AtEnd(time.Now()) > 0 }, 5*time.Second, 5*time.Millisecond)
}

func appendTo(t *testing.T, path, text string) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestFollowingBeginsAtTheEndAndGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "old\n")
	f := follow(t, path, process.Cursor{}, false)
	f.atEnd()
	appendTo(t, path, "new\n")
	f.wait("new")
}

func TestATornLineIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := follow(t, path, process.Cursor{}, true)
	appendTo(t, path, "one\ntw")
	f.wait("one")
	f.atEnd()
	appendTo(t, path, "o\n")
	f.wait("one", "two")
}

func TestAFileThatComesLaterIsReadFromItsStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := follow(t, path, process.Cursor{}, false)
	f.atEnd()
	appendTo(t, path, "first\n")
	f.wait("first")
}

func TestARotatedFileIsReadToItsEndBeforeTheNewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a\n")
	f := follow(t, path, process.Cursor{}, true)
	f.wait("a")
	require.NoError(t, os.Rename(path, path+".1"))
	appendTo(t, path+".1", "b\n")
	appendTo(t, path, "c\n")
	f.wait("a", "b", "c")
}

func TestATruncatedFileIsReadFromItsStartAndCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a\nb\n")
	f := follow(t, path, process.Cursor{}, true)
	f.wait("a", "b")
	f.atEnd()
	require.NoError(t, os.Truncate(path, 0))
	require.Eventually(t, func() bool { return f.tail.AtEnd(time.Now()) > 0 }, 5*time.Second, time.Millisecond)
	time.Sleep(3 * pollEvery)
	appendTo(t, path, "c\n")
	f.wait("a", "b", "c")
	require.Zero(t, f.stats.LostFile.Load())
}

func TestReadingGoesOnWhereItWasLeftAtARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a\nb\n")
	f := follow(t, path, process.Cursor{}, true)
	f.wait("a", "b")
	f.stop()
	appendTo(t, path, "c\n")
	g := follow(t, path, f.last, false)
	g.wait("c")
}

func TestRotationsWhileNobodyReadLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a\n")
	f := follow(t, path, process.Cursor{}, true)
	f.wait("a")
	f.stop()
	appendTo(t, path, "b\n")
	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, os.Chtimes(path+".2", time.Now(), time.Now().Add(-2*time.Hour)))
	appendTo(t, path+".1", "c\n")
	require.NoError(t, os.Chtimes(path+".1", time.Now(), time.Now().Add(-time.Hour)))
	appendTo(t, path, "d\n")
	g := follow(t, path, f.last, false)
	g.wait("b", "c", "d")
	require.Zero(t, g.stats.LostFile.Load())
}

func TestAFileThatIsGoneIsCountedAndTheNextOneRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	appendTo(t, path, "a\nb\n")
	f := follow(t, path, process.Cursor{}, true)
	f.wait("a", "b")
	f.stop()
	require.NoError(t, os.Remove(path))
	appendTo(t, path, "other\n")
	g := follow(t, path, f.last, false)
	g.wait("other")
	require.EqualValues(t, 1, g.stats.LostFile.Load())
}

func TestALineThatIsTooLongIsPassedOverAndCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := follow(t, path, process.Cursor{}, true)
	appendTo(t, path, "a\n"+strings.Repeat("x", 3*recording.MaxLine)+"\nb\n")
	f.wait("a", "b")
	require.EqualValues(t, 1, f.stats.Malformed.Load())
}

func TestTheReceiversErrorEndsFollowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "a\n")
	stop := errors.New("stop")
	err := Follow(
		context.Background(),
		Options{Path: path, FromStart: true, Stats: &module.Stats{}, Logger: logp.NewNopLogger()},
		func([]byte, process.Cursor) error { return stop },
	)
	require.ErrorIs(t, err, stop)
}
