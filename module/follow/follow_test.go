// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reconbeat/reconbeat/module"
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
	appendTo(t, path, "a\n"+strings.Repeat("x", 3*maxLine)+"\nb\n")
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

func replay(t *testing.T, path string) ([]string, int64, error) {
	var got []string
	var progress atomic.Int64
	env := module.Env{Stats: &module.Stats{}, Logger: logp.NewNopLogger(), Progress: &progress}
	err := Read(context.Background(), path, env, func(line []byte, number uint64) error {
		got = append(got, string(line))
		require.EqualValues(t, len(got), number)
		return nil
	})
	return got, progress.Load(), err
}

func TestARecordingIsReadToALastLineWithoutANewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("a\n\nb\nlast"), 0o600))
	got, n, err := replay(t, path)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "", "b", "last"}, got)
	require.EqualValues(t, 9, n)
}

func TestACompressedRecordingIsUnpacked(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 100000 {
		fmt.Fprintln(z, i)
	}
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "log.gz")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	got, n, err := replay(t, path)
	require.NoError(t, err)
	require.Len(t, got, 100000)
	require.Equal(t, "99999", got[99999])
	require.EqualValues(t, b.Len(), n)
}

func TestAnEmptyFileHasNoLinesAndAMissingOneIsAnError(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	got, _, err := replay(t, filepath.Join(dir, "empty"))
	require.NoError(t, err)
	require.Empty(t, got)
	_, _, err = replay(t, filepath.Join(dir, "missing"))
	require.ErrorContains(t, err, "cannot read")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "torn.gz"), []byte{0x1f, 0x8b, 8}, 0o600))
	_, _, err = replay(t, filepath.Join(dir, "torn.gz"))
	require.Error(t, err)
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		l := &lines{whole: true}
		l.reset(&chopped{b, int(chunk)%7 + 1}, 0)
		var got []string
		for {
			line, err := l.next()
			if err != nil {
				break
			}
			got = append(got, string(line))
		}
		want := strings.Split(string(b), "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		if strings.Join(want, "\n") != strings.Join(got, "\n") || len(want) != len(got) || l.offset != int64(len(b)) {
			t.Fatalf("%q: got %q", b, got)
		}
	})
}

// chopped gives a few bytes at a time.
type chopped struct {
	b []byte
	n int
}

func (c *chopped) Read(b []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.b[:min(c.n, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}
