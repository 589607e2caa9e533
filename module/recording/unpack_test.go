// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

const text = "one\nzwölf\n"

func packed(t *testing.T, open func(io.Writer) (io.WriteCloser, error), text string) string {
	var b bytes.Buffer
	w, err := open(&b)
	require.NoError(t, err)
	_, err = io.WriteString(w, text)
	require.NoError(t, errors.Join(err, w.Close()))
	return b.String()
}

func encoded(t *testing.T, e encoding.Encoding) string {
	s, err := e.NewEncoder().String(text)
	require.NoError(t, err)
	return s
}

func file(t *testing.T, contents string) string {
	path := filepath.Join(t.TempDir(), "recording")
	require.NoError(t, os.WriteFile(path, []byte(contents), 0o600))
	return path
}

// twoLines is two lines as bzip2 writes them, which Go can only read.
const twoLines = "QlpoOTFBWSZTWacUK3cAAALBgAAQAgGEgCAAIYAMAjj1G4u5IpwoSFOKFbuA"

func TestWhatIsPackedOrInAnotherEncodingIsRead(t *testing.T) {
	zst := func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
	xzs := func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	half := len(text) / 2
	for name, contents := range map[string]string{
		"plain":                   text,
		"with a mark of UTF-8":    "\xef\xbb\xbf" + text,
		"gzip":                    packed(t, gz, text),
		"gzip of two parts":       packed(t, gz, text[:half]) + packed(t, gz, text[half:]),
		"gzip with padding":       packed(t, gz, text) + strings.Repeat("\x00", 5000),
		"gzip with little":        packed(t, gz, text[:half]) + packed(t, gz, text[half:]) + "\x00",
		"gzip of an empty part":   packed(t, gz, "") + packed(t, gz, text) + packed(t, gz, ""),
		"zstd":                    packed(t, zst, text),
		"zstd of two frames":      packed(t, zst, text[:half]) + packed(t, zst, text[half:]),
		"zstd behind a skip":      "\x50\x2a\x4d\x18\x02\x00\x00\x00ab" + packed(t, zst, text),
		"xz":                      packed(t, xzs, text),
		"xz of two streams":       packed(t, xzs, text[:half]) + packed(t, xzs, text[half:]),
		"gzip in zstd":            packed(t, zst, packed(t, gz, text)),
		"UTF-16LE with a mark":    encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)),
		"UTF-16BE with a mark":    encoded(t, unicode.UTF16(unicode.BigEndian, unicode.UseBOM)),
		"UTF-16LE without a mark": encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)),
		"UTF-16BE without a mark": encoded(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)),
		"UTF-32LE":                encoded(t, utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)),
		"UTF-16 in gzip":          packed(t, gz, encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM))),
	} {
		got, _, err := read(t, file(t, contents))
		require.NoError(t, err, name)
		require.Equal(t, []string{"one", "zwölf"}, got, name)
	}
	compressed, err := base64.StdEncoding.DecodeString(twoLines)
	require.NoError(t, err)
	got, _, err := read(t, file(t, string(compressed)))
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, got)
}

// A file that is still being packed, or of which a part was copied, ends in the middle; other programs give that part.
func TestPackedDataThatEndInTheMiddle(t *testing.T) {
	noise := strings.Repeat("a line\n", 100) + "and its end"
	for command, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"zcat":    func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"zstdcat": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"xzcat":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	} {
		whole := packed(t, open, noise)
		for _, end := range []int{20, len(whole) / 2, len(whole) - 3} {
			path := file(t, whole[:end])
			_, _, err := read(t, path)
			require.ErrorIs(t, err, errTorn, "%s %d", command, end)
			require.ErrorContains(t, err, command+" "+path+" | reconbeat replay -")
		}
	}
}

func TestWhatCannotBeReadIsCalledByItsName(t *testing.T) {
	tar := strings.Repeat("\x00", 257) + "ustar\x0000"
	for contents, want := range map[string]string{
		"\x04\x22\x4d\x18\x00":         "it is compressed with lz4: lz4 -dc FILE | reconbeat replay -",
		"PK\x03\x04":                   "it is a zip archive: unzip -p FILE | reconbeat replay -",
		"a" + tar[1:]:                  "it is a tar archive: tar -xOf FILE | reconbeat replay -",
		"PAR1\x15":                     "it is a Parquet file: duckdb",
		"LPKSHHRH\x00":                 "it is a file of the journal: journalctl --file FILE",
		"SQLite format 3\x00":          "it is an SQLite database, which holds nothing that reconbeat reads",
		"\x28\xb5\x2f\xfd\x00\x00":     "cannot read FILE",
		"\x1f\x8b\x08\x00\x00\x00":     "cannot read FILE",
		"\xfd7zXZ\x00\x00\x00\x00\x00": "cannot read FILE",
	} {
		path := file(t, contents)
		_, _, err := read(t, path)
		require.ErrorContains(t, err, strings.ReplaceAll(want, "FILE", path))
	}
}

// What follows a part is read, or reported, however much fits into a read.
func TestNothingBehindAGzipPartIsPassedOver(t *testing.T) {
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	for _, lines := range []int{2, 1000, 100_000} {
		part := packed(t, gz, strings.Repeat("a line\n", lines))
		got, _, err := read(t, file(t, part+part+part))
		require.NoError(t, err)
		require.Len(t, got, 3*lines)
		for _, garbage := range []string{"x", "garbage, as a tail", "\x00\x00plain text", part[:len(part)-3]} {
			got, _, err := read(t, file(t, part+garbage))
			require.ErrorContains(t, err, "zcat", "%q", garbage)
			require.ErrorContains(t, err, " | reconbeat replay -", "%q", garbage)
			require.GreaterOrEqual(t, len(got), lines, "%q", garbage)
		}
	}
}

// A packed file that was cut off gives what there is of it, and an error.
func TestATornPackedFileIsAnError(t *testing.T) {
	long := strings.Repeat("a line of the log\n", 100_000)
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.NoCompression) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	} {
		whole := packed(t, open, long)
		_, _, err := read(t, file(t, whole[:len(whole)/2]))
		require.Error(t, err, name)
	}
}

func TestAPipeLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	long := strings.Repeat("a line that is read once\n", 10_000)
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(path, []byte(long), 0) }()
	got, n, err := read(t, path)
	require.NoError(t, errors.Join(err, <-done))
	require.Len(t, got, 10_000)
	require.EqualValues(t, len(long), n)
}

// list is a source of times.
type list struct {
	times  []int64
	first  int64
	at     int64
	out    *[]int64
	opened *int
	open   bool
}

func (l *list) Next() error {
	if !l.open {
		l.open = true
		*l.opened++
	}
	if len(l.times) == 0 {
		return io.EOF
	}
	l.at, l.times = l.times[0], l.times[1:]
	return nil
}

func (l *list) Time() int64  { return l.at }
func (l *list) Take() error  { *l.out = append(*l.out, l.at); return nil }
func (l *list) First() int64 { return l.first }
func (l *list) Close() {
	if l.open {
		*l.opened--
	}
	l.open = false
}

func TestPartsAreReadInTheOrderOfTheirTimes(t *testing.T) {
	for name, parts := range map[string][][]int64{
		"none":                      {},
		"one":                       {{3, 1, 2}},
		"in the shell's order":      {{9, 10}, {1, 2}, {4, 7}},
		"overlapping":               {{1, 4, 9}, {2, 3, 10}, {5, 6, 7, 8}},
		"the same times":            {{1, 1, 2}, {1, 2, 2}},
		"an empty one":              {{1, 4}, {}, {2}},
		"two hosts, and a rotation": {{5, 7}, {1, 3}, {2, 4, 6}},
	} {
		var out []int64
		var opened int
		var sources []Source
		var all []int64
		for _, times := range parts {
			l := &list{times: times, out: &out, opened: &opened}
			if len(times) > 0 {
				l.first = times[0]
			}
			sources = append(sources, l)
			all = append(all, times...)
		}
		require.NoError(t, Merge(t.Context(), sources), name)
		if name != "one" {
			slices.Sort(all)
		}
		require.Equal(t, all, out, name)
		require.Zero(t, opened, name)
	}
}
