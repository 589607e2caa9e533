// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// read gathers what an AlertReader has next.
func read(t *testing.T, r *AlertReader) (lines []string) {
	t.Helper()
	require.NoError(t, r.Next(func(line []byte) error { lines = append(lines, string(line)); return nil }))
	return lines
}

// What was added is read in order, also by a reader who follows it, and after a restart.
func TestTheAlertLogIsReadInOrder(t *testing.T) {
	dir := t.TempDir()
	follows := NewAlertReader(dir)
	require.ErrorIs(t, follows.Next(func([]byte) error { return nil }), fs.ErrNotExist)
	l, err := openAlertLog(dir)
	require.NoError(t, err)
	require.NoError(t, l.add([]byte(`{"n":1}`)))
	require.Equal(t, []string{`{"n":1}`}, read(t, follows))
	require.NoError(t, l.files.Close())

	l, err = openAlertLog(dir)
	require.NoError(t, err)
	require.NoError(t, l.add([]byte(`{"n":2}`)))
	require.NoError(t, l.files.Close())
	require.Equal(t, []string{`{"n":2}`}, read(t, follows))
	require.Empty(t, read(t, follows))
	require.Equal(t, []string{`{"n":1}`, `{"n":2}`}, read(t, NewAlertReader(dir)))
	require.ErrorIs(t, NewAlertReader(dir).Next(func([]byte) error { return errStop }), errStop)
}

var errStop = errors.New("stop")

// The alert log is bounded, the latest alerts are those that stay, and a reader who follows misses none.
func TestTheAlertLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	l, err := openAlertLog(dir)
	require.NoError(t, err)
	follows := NewAlertReader(dir)
	const n, size = 300, 100 << 10
	var followed []string
	for i := range n {
		require.NoError(t, l.add(fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", size))))
		followed = append(followed, read(t, follows)...)
	}
	require.NoError(t, l.files.Close())
	require.Len(t, followed, n)

	kept := read(t, NewAlertReader(dir))
	require.Greater(t, len(kept), alertLogFile*alertLogFiles/size*9/10)
	require.Less(t, len(kept), 3*alertLogFile*(alertLogFiles+1)/size)
	require.Equal(t, followed[n-len(kept):], kept)
	files, err := filepath.Glob(filepath.Join(dir, alertLogDir, "*"))
	require.NoError(t, err)
	require.Len(t, files, alertLogFiles+1)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

// Starts do not make it grow: what a file held before counts.
func TestTheAlertLogIsBoundedOverStarts(t *testing.T) {
	dir := t.TempDir()
	for range 100 {
		l, err := openAlertLog(dir)
		require.NoError(t, err)
		require.NoError(t, l.add([]byte(strings.Repeat("x", alertLogFile/3))))
		require.NoError(t, l.files.Close())
	}
	files, err := alertLogsIn(filepath.Join(dir, alertLogDir))
	require.NoError(t, err)
	require.Len(t, files, alertLogFiles+1)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(3*alertLogFile))
	}
}

// A line that a crash cut off spoils no other, and strange files are passed over.
func TestATornLineOfTheAlertLogStaysAlone(t *testing.T) {
	dir := t.TempDir()
	l, err := openAlertLog(dir)
	require.NoError(t, err)
	require.NoError(t, l.add([]byte(`{"n":1}`)))
	require.NoError(t, l.files.Close())
	files, err := filepath.Glob(filepath.Join(dir, alertLogDir, "*"))
	require.NoError(t, err)
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("\n{\"n\":")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, alertLogDir, "alerts-old.bak"), []byte("{}\n"), 0o600))

	follows := NewAlertReader(dir)
	require.Equal(t, []string{`{"n":1}`}, read(t, follows), "the torn line may still be in writing")
	l, err = openAlertLog(dir)
	require.NoError(t, err)
	require.NoError(t, l.add([]byte(`{"n":2}`)))
	require.NoError(t, l.files.Close())
	require.Equal(t, []string{`{"n":`, `{"n":2}`}, read(t, follows))
}
