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
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

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
	log   *observer.ObservedLogs
	stop  func()
}

func follow(t *testing.T, path string, from process.Cursor, fromStart bool) *following {
	core, log := observer.New(zapcore.WarnLevel)
	logger, err := logp.NewZapLogger(zap.New(core))
	require.NoError(t, err)
	f := &following{t: t, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, Options{
			Path:      path,
			From:      from,
			FromStart: fromStart,
			Stats:     &f.stats,
			Logger:    logger,
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
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(f.t, want, f.lines)
}

// patience is for how long a test waits for what must come.
const patience = time.Minute

func (f *following) atEnd() {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.tail.AtEnd(time.Now()) > 0 }, patience, 5*time.Millisecond)
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
	require.Eventually(t, func() bool { return f.log.FilterMessageSnippet("was truncated").Len() == 1 }, patience,
		time.Millisecond)
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

func rewrite(t *testing.T, path, text string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, errors.Join(err, f.Close()))
}

// A copy over a file keeps its inode, and may be longer than what was there.
func TestAFileWrittenAnewInItsPlaceIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "one\ntwo\n")
	f := follow(t, path, process.Cursor{}, true)
	defer f.stop()
	f.wait("one", "two")
	f.atEnd()
	rewrite(t, path, "three\nfour\nfive\n")
	f.wait("one", "two", "three", "four", "five")
	appendTo(t, path, "six\n")
	f.wait("one", "two", "three", "four", "five", "six")
	require.Zero(t, f.stats.LostFile.Load())
}

// What begins as before and goes on otherwise is another content, too.
func TestOnlyTheEndMayShowThatAFileIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	head := strings.Repeat("x", 300) + "\n"
	appendTo(t, path, head+"one\n")
	f := follow(t, path, process.Cursor{}, true)
	defer f.stop()
	f.wait(head[:300], "one")
	f.atEnd()
	rewrite(t, path, head+"two\nthree\n")
	f.wait(head[:300], "one", head[:300], "two", "three")
}

// copytruncate copies what is there and cuts the file: what was not read of it stands in the copy.
func TestWhatWasCutIsReadInTheCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	head := strings.Repeat("x", 300)
	appendTo(t, path, head+"\none\n")
	cursor := func() process.Cursor {
		f := follow(t, path, process.Cursor{}, true)
		defer f.stop()
		f.wait(head, "one")
		return f.last
	}()
	appendTo(t, path, "two\n")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".1", text, 0o600))
	rewrite(t, path, "three\n")
	f := follow(t, path, cursor, false)
	defer f.stop()
	f.wait("two", "three")
	require.Zero(t, f.stats.LostFile.Load())
}

func TestRotatedFilesMayHaveDates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	appendTo(t, path, "one\n")
	cursor := func() process.Cursor {
		f := follow(t, path, process.Cursor{}, true)
		defer f.stop()
		f.wait("one")
		return f.last
	}()
	appendTo(t, path, "two\n")
	require.NoError(t, os.Rename(path, path+"-20260303"))
	appendTo(t, path, "three\n")
	f := follow(t, path, cursor, false)
	defer f.stop()
	f.wait("two", "three")
}

// Beats name each file by its date, and number those of a day.
func TestAPatternFollowsFilesThatAreNamedByDates(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, "auditbeat-"+s+".ndjson") }
	appendTo(t, name("20260302"), "one\n")
	f := follow(t, filepath.Join(dir, "auditbeat-*.ndjson"), process.Cursor{}, true)
	f.wait("one")
	appendTo(t, name("20260303"), "two\n")
	f.wait("one", "two")
	appendTo(t, name("20260303-1"), "three\n")
	f.wait("one", "two", "three")
	appendTo(t, name("20260303-1"), "four\n")
	f.wait("one", "two", "three", "four")
	f.stop()
	appendTo(t, name("20260303-1"), "five\n")
	appendTo(t, name("20260303-2"), "six\n")
	again := follow(t, filepath.Join(dir, "auditbeat-*.ndjson"), f.last, false)
	defer again.stop()
	again.wait("five", "six")
}

// Between two looks at the file a busy writer may rotate it more than once.
func TestTwoRotationsAtOnceLoseNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	appendTo(t, path, "one\n")
	f := follow(t, path, process.Cursor{}, true)
	defer f.stop()
	f.wait("one")
	f.atEnd()
	require.NoError(t, os.Rename(path, path+".2"))
	appendTo(t, path+".1", "two\n")
	at := time.Now() // a file system's clock may not separate the two
	require.NoError(t, errors.Join(os.Chtimes(path+".2", at, at), os.Chtimes(path+".1", at, at)))
	appendTo(t, path, "three\n")
	f.wait("one", "two", "three")
}

// The last line of a file that was rotated away may lack its newline.
func TestTheLastLineOfARotatedFileCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "one\ntwo")
	f := follow(t, path, process.Cursor{}, true)
	defer f.stop()
	f.wait("one")
	require.NoError(t, os.Rename(path, path+".1"))
	appendTo(t, path, "three\n")
	f.wait("one", "two", "three")
}

// What cannot be read as it grows is an error that says what it is, and nothing waits for a pipe's writer.
func TestWhatDoesNotGrowIsRefused(t *testing.T) {
	for want, make := range map[string]func(path string) error{
		"it is not a file":                      func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe is what reconbeat replay reads": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"it is compressed, and only a replay reads that: zcat FILE": func(path string) error {
			return os.WriteFile(path, []byte("\x1f\x8b\x08\x00"), 0o600)
		},
		"it is in UTF-16, and": func(path string) error { return os.WriteFile(path, []byte("\xff\xfea\x00"), 0o600) },
		"it is in UTF-16LE":    func(path string) error { return os.WriteFile(path, []byte("{\x00\"\x00"), 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, make(path))
		for _, from := range []process.Cursor{{}, {Device: 1, Inode: 2, Offset: 3}} {
			o := Options{Path: path, From: from, FromStart: true, Stats: &module.Stats{}, Logger: logp.NewNopLogger()}
			err := Follow(t.Context(), o, func([]byte, process.Cursor) error { return nil })
			require.ErrorContains(t, err, "following "+path+": ")
			require.ErrorContains(t, err, want)
		}
	}
}

func TestAFileIsAsFarAsTheTimesInIt(t *testing.T) {
	now := time.Now()
	at := now.AddDate(0, 0, -20)
	for name, c := range map[string]struct {
		execs []time.Time
		other time.Time // of a document of something else; zero: there is none
		end   time.Duration
		want  time.Time
	}{
		"nothing is known yet":                    {},
		"the newest program start":                {execs: []time.Time{at, at.Add(-time.Second)}, want: at},
		"before the end nothing else counts":      {execs: []time.Time{at}, other: at.Add(time.Minute), want: at},
		"at the end everything does":              {[]time.Time{at}, at.Add(time.Minute), time.Second, at.Add(time.Minute)},
		"after a minute the clock does":           {[]time.Time{at}, at, time.Minute, now.Add(-lag)},
		"a time that is still to come is none":    {execs: []time.Time{at, now.AddDate(70, 0, 0)}, want: at},
		"a clock that was wrong is wrong no more": {execs: []time.Time{at.AddDate(0, 0, 9), at}, want: at},
	} {
		t.Run(name, func(t *testing.T) {
			var tail Tail
			for _, exec := range c.execs {
				tail.Read(exec, true)
			}
			if !c.other.IsZero() {
				tail.Read(c.other, false)
			}
			if c.end > 0 {
				tail.since.Store(now.Add(-c.end).UnixNano())
			}
			require.True(t, c.want.Equal(tail.Watermark(now)), "%s", tail.Watermark(now))
		})
	}
}
