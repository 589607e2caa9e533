// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tempMark is in the name of every file that is not complete yet.
const tempMark = ".tmp-"

// writeFile replaces path by the parts, or leaves it as it was.
func writeFile(path string, parts ...[]byte) error {
	return replaceFile(path, func(w io.Writer) error {
		for _, p := range parts {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// replaceFile replaces path by what fill writes, or leaves it as it was: temporary file, flush, rename, flush of the
// directory.
func replaceFile(path string, fill func(io.Writer) error) (err error) {
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("writing %s: it is not a regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+tempMark+"*") // created 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeTemps removes what a crash left half-written before a time: in a directory where others write, a younger file
// may be at work.
func removeTemps(dir string, before time.Time) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if !strings.Contains(f.Name(), tempMark) {
			continue
		}
		if fi, err := f.Info(); err == nil && fi.ModTime().Before(before) {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

// A framed file is one line that says what it is, then the checksum (CRC-32C, 4 bytes) and the length (8 bytes) of what
// follows, then that.
const (
	frameWord = "reconbeat "
	frameMax  = 256 << 20 // bytes of a framed file that are read; no model comes near it
)

var errNewer = errors.New("it was written by a newer version")

// frame returns the head of a framed file for a body in parts. what is a word like "snapshot", version a digit.
func frame(what string, version int, parts ...[]byte) []byte {
	var sum uint32
	var n uint64
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
		n += uint64(len(p))
	}
	h := fmt.Appendf(nil, "%s%s %d\n", frameWord, what, version)
	h = binary.BigEndian.AppendUint32(h, sum)
	return binary.BigEndian.AppendUint64(h, n)
}

// readFramed returns the body of a framed file.
func readFramed(path, what string, version int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > frameMax {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, frameMax)
	}
	b, err := io.ReadAll(io.LimitReader(f, frameMax))
	if err != nil {
		return nil, err
	}
	line, _, found := strings.Cut(string(b[:min(len(b), 64)]), "\n")
	kind, number, _ := strings.Cut(strings.TrimPrefix(line, frameWord), " ")
	v, err := strconv.Atoi(number)
	if !found || err != nil || v < 1 || !strings.HasPrefix(line, frameWord) || kind != what {
		return nil, fmt.Errorf("%s is not a %s of reconbeat", path, what)
	}
	if v > version {
		return nil, fmt.Errorf("%s: format %d: %w", path, v, errNewer)
	}
	b = b[len(line)+1:]
	if len(b) < 12 || binary.BigEndian.Uint64(b[4:]) != uint64(len(b)-12) {
		return nil, fmt.Errorf("%s is cut short", path)
	}
	if crc32.Checksum(b[12:], castagnoli) != binary.BigEndian.Uint32(b) {
		return nil, fmt.Errorf("%s: %w", path, errChecksum)
	}
	return b[12:], nil
}

// keptBroken is how many files of one name are kept after they were set aside.
const keptBroken = 3

// setAside renames a file that cannot be read to NAME.broken-TIME and returns the new path. Of those that pattern
// matches (a path with wildcards, without the suffix), the oldest beyond keptBroken are removed.
func setAside(path, pattern string, now time.Time) (string, error) {
	to := path + ".broken-" + now.UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	old, _ := filepath.Glob(pattern + ".broken-*")
	slices.SortFunc(old, func(a, b string) int {
		return strings.Compare(a[strings.LastIndex(a, ".broken-"):], b[strings.LastIndex(b, ".broken-"):])
	})
	for len(old) > keptBroken {
		os.RemoveAll(old[0])
		old = old[1:]
	}
	return to, nil
}
