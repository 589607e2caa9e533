// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func resume(t *testing.T, dir, name string) *AlertDelivery {
	t.Helper()
	d, err := ResumeAlerts(dir, name)
	require.NoError(t, err)
	return d
}

// got gathers what an AlertDelivery has next.
func got(t *testing.T, d *AlertDelivery) (lines []string) {
	t.Helper()
	require.NoError(t, d.Next(func(line []byte) error { lines = append(lines, string(line)); return nil }))
	return lines
}

// A delivery begins at the end, and goes on where it last saved its place: what was refused comes again. Each has a
// place of its own, until it is forgotten.
func TestADeliveryResumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := openAlertLog(dir)
	require.NoError(t, err)
	defer l.files.Close()
	require.NoError(t, l.add([]byte("before")))
	d := resume(t, dir, "hook")
	require.Empty(t, got(t, d))
	for _, line := range []string{"1", "2", "3"} {
		require.NoError(t, l.add([]byte(line)))
	}
	var seen []string
	refuse := func(line []byte) error {
		if string(line) == "2" {
			return errStop
		}
		seen = append(seen, string(line))
		return nil
	}
	require.ErrorIs(t, d.Next(refuse), errStop)
	require.ErrorIs(t, d.Next(refuse), errStop)
	require.Equal(t, []string{"1"}, seen)
	d.HeldBack = 7
	require.NoError(t, d.Save())

	d = resume(t, dir, "hook")
	require.Equal(t, 7, d.HeldBack)
	require.Equal(t, []string{"2", "3"}, got(t, d))
	require.Empty(t, got(t, resume(t, dir, "other")))
	require.Zero(t, d.Missed)

	require.NoError(t, ForgetAlerts(dir, []string{"other"}))
	d = resume(t, dir, "hook")
	require.Zero(t, d.HeldBack)
	require.Empty(t, got(t, d), "it is new again")

	file := filepath.Join(dir, alertLogDir, "hook.place")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err = ResumeAlerts(dir, "hook")
	require.ErrorContains(t, err, "reading how far the alerts were delivered")
	require.FileExists(t, file+".unreadable")
	require.Empty(t, got(t, resume(t, dir, "hook")))
}

// A delivery knows when something was deleted that it had not read, also while it was not there; it never says so of
// what it has read.
func TestADeliveryNoticesWhatItMissed(t *testing.T) {
	t.Parallel()
	const files = alertLogFiles + 2
	full := []byte(strings.Repeat("x", alertLogFile-2))
	for name, c := range map[string]struct {
		stuck   bool // at the first line
		restart bool // while the log grows
		reads   bool // after every line
		missed  bool
	}{
		"reads":   {reads: true},
		"stuck":   {stuck: true, missed: true},
		"away":    {restart: true, missed: true},
		"at work": {stuck: true, restart: true, missed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l, err := openAlertLog(dir)
			require.NoError(t, err)
			defer l.files.Close()
			d := resume(t, dir, "hook")
			require.NoError(t, l.add([]byte("first")))
			if c.stuck {
				require.ErrorIs(t, d.Next(func([]byte) error { return errStop }), errStop)
			} else {
				require.Equal(t, []string{"first"}, got(t, d))
			}
			require.NoError(t, d.Save())
			for range 3 * files {
				require.NoError(t, l.add(full))
				if c.reads {
					require.Len(t, got(t, d), 1)
				}
			}
			if c.restart {
				d = resume(t, dir, "hook")
			}
			require.Less(t, len(got(t, d)), 3*files)
			require.Equal(t, c.missed, d.Missed > 0)
			missed := d.Missed
			require.Empty(t, got(t, d))
			require.Equal(t, missed, d.Missed, "it is counted once")
		})
	}
}

// A power cut may shorten the log below the place of a delivery, which goes on with what is written from then on.
func TestADeliverySurvivesAShorterLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := openAlertLog(dir)
	require.NoError(t, err)
	require.NoError(t, l.add([]byte("one")))
	d := resume(t, dir, "hook")
	require.NoError(t, l.add([]byte("two")))
	require.Equal(t, []string{"two"}, got(t, d))
	require.NoError(t, d.Save())
	require.NoError(t, l.files.Close())
	files, err := filepath.Glob(filepath.Join(dir, alertLogDir, "*.ndjson"))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(files[0], 3))

	d = resume(t, dir, "hook")
	require.Empty(t, got(t, d))
	l, err = openAlertLog(dir)
	require.NoError(t, err)
	defer l.files.Close()
	require.NoError(t, l.add([]byte("x")))
	require.Contains(t, got(t, d), "x")
}

// What a kill -9 kept out of the alert log is still in the journal, and written there at the next start: in order, and
// once.
func TestTheAlertLogGetsWhatAKillLeftOut(t *testing.T) {
	t.Parallel()
	for lost := range 5 {
		dir := folder(t)
		s := mustOpen(t, dir, Options{})
		var want []string
		for i := range 4 {
			e := alert(fmt.Sprint("a", i))
			e.Document = fmt.Append(nil, `{"n":`, i, `}`)
			want = append(want, string(e.Document))
			appendAll(t, s, e)
		}
		flush(t, s)
		s.Acknowledged(1)
		flush(t, s)
		require.NoError(t, s.Close())
		files, err := filepath.Glob(filepath.Join(dir, alertLogDir, "*.ndjson"))
		require.NoError(t, err)
		text, err := os.ReadFile(files[0])
		require.NoError(t, err)
		line := len(text) / 4
		require.NoError(t, os.Truncate(files[0], int64(len(text)-lost*line)))
		if lost == 4 {
			want = want[1:] // the output has it, and the journal not any longer
		}

		for range 2 { // starts
			s = mustOpen(t, dir, Options{})
			require.NoError(t, s.Close())
			require.Equal(t, want, read(t, NewAlertReader(dir)), lost)
		}
	}
}
