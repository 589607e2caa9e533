// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, path string) ([]string, int64, error) {
	var got []string
	var progress atomic.Int64
	r, err := Open(path, &progress)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	for {
		line, err := r.Line()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return got, progress.Load(), err
		}
		got = append(got, string(line))
		require.EqualValues(t, len(got), r.Number())
	}
}

func TestARecordingIsReadToALastLineWithoutANewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("a\n\nb\nlast"), 0o600))
	got, n, err := read(t, path)
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
	got, n, err := read(t, path)
	require.NoError(t, err)
	require.Len(t, got, 100000)
	require.Equal(t, "99999", got[99999])
	require.EqualValues(t, b.Len(), n)
}

func TestAnEmptyFileHasNoLinesAndAMissingOneIsAnError(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	got, _, err := read(t, filepath.Join(dir, "empty"))
	require.NoError(t, err)
	require.Empty(t, got)
	_, _, err = read(t, filepath.Join(dir, "missing"))
	require.ErrorContains(t, err, "cannot read")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "torn.gz"), []byte{0x1f, 0x8b, 8}, 0o600))
	_, _, err = read(t, filepath.Join(dir, "torn.gz"))
	require.Error(t, err)
}

// A line of more than the bound is passed over however the text comes, and so is the last one.
func TestALongLineIsPassedOverInEveryPortion(t *testing.T) {
	long, most := strings.Repeat("x", MaxLine+1), strings.Repeat("y", MaxLine)
	for _, chunk := range []int{1000, 64 << 10, 1 << 20, 4 << 20} {
		for _, end := range []string{"\n", "", "\nlast\n", "\n" + long + long + "type=EXECVE "} {
			l := &Lines{Whole: true}
			l.Reset(&chopped{[]byte("a\n" + most + "\n" + long + end), chunk}, 0)
			var got []string
			over := 0
			for {
				line, err := l.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if errors.Is(err, ErrTooLong) {
					over++
					require.Len(t, l.Long, longBytes)
					continue
				}
				require.NoError(t, err)
				got = append(got, string(line))
			}
			want := []string{"a", most}
			if end == "\nlast\n" {
				want = append(want, "last")
			}
			require.Equal(t, want, got)
			require.Equal(t, 1+strings.Count(end, "type="), over)
		}
	}
}

// A writer that keeps its place in a file that was cut off leaves a hole, and a crash zero bytes.
func TestAHoleHidesNoLine(t *testing.T) {
	hole := strings.Repeat("\x00", 3<<20)
	for name, text := range map[string]string{
		"before": hole + "one\ntwo\n", "between": "one\n" + hole + "two\n", "behind": "one\ntwo\n" + hole,
		"a small one": "\x00\x00\x00\x00one\n\x00two\x00\x00\n\x00",
	} {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		r, err := Open(path, nil)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(r.Sample()), "one\n"), name)
		got, n, err := read(t, path)
		require.NoError(t, err)
		require.Len(t, got, 2, name)
		require.Equal(t, []string{"one", "two"}, []string{got[0], strings.TrimRight(got[1], "\x00")}, name)
		require.EqualValues(t, len(text), n, name)
	}
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte(hole), 0o600))
	_, err := Open(path, nil)
	require.ErrorContains(t, err, "it has nothing but zero bytes")
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\nccc"), uint8(3))
	f.Add([]byte("\x00\x00a\n\x00\nb\x00c\n\x00\x00"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		l := &Lines{Whole: true}
		l.Reset(&chopped{b, int(chunk)%7 + 1}, 0)
		var got []string
		for {
			line, err := l.Next()
			if err != nil {
				break
			}
			got = append(got, string(line))
		}
		want := strings.Split(string(b), "\n")
		for i, line := range want {
			want[i] = strings.TrimLeft(line, "\x00")
		}
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		if strings.Join(want, "\n") != strings.Join(got, "\n") || len(want) != len(got) || l.Offset != int64(len(b)) {
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
