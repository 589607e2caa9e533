// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// format is a way in which a file may be packed.
type format struct {
	magic string
	at    int // where the magic stands
	open  func(io.Reader) (io.Reader, func(), error)
}

// window bounds what unpacking keeps in memory, in bytes: zstd --long is 128 MiB.
const window = 128 << 20

var formats = []format{
	{magic: "\x1f\x8b", open: func(in io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(in)
		return z, nil, err
	}},
	{magic: "\x28\xb5\x2f\xfd", open: openZstandard},
	{magic: "\x2a\x4d\x18", at: 1, open: openZstandard}, // a frame to skip comes first
	{magic: "\xfd7zXZ\x00", open: func(in io.Reader) (io.Reader, func(), error) {
		z, err := xz.NewReader(in)
		return z, nil, err
	}},
	{magic: "BZh", open: func(in io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(in), nil, nil }},
}

func openZstandard(in io.Reader) (io.Reader, func(), error) {
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// refused are the formats that others unpack: what they are, and the command that makes them readable, with the file
// for %s. It writes to standard output.
var refused = []struct {
	magic   string
	at      int
	what    string
	command string
}{
	{magic: "\x04\x22\x4d\x18", what: "compressed with lz4", command: "lz4 -dc %s"},
	{magic: "\x02\x21\x4c\x18", what: "compressed with lz4", command: "lz4 -dc %s"},
	{magic: "PK\x03\x04", what: "a zip archive", command: "unzip -p %s"},
	{magic: "7z\xbc\xaf\x27\x1c", what: "a 7z archive", command: "7z x -so %s"},
	{magic: "\x5d\x00\x00", what: "compressed with lzma", command: "xz -dc --format=lzma %s"},
	{magic: "\x1f\x9d", what: "compressed with compress", command: "zcat %s"},
	{magic: "\x89LZO\x00", what: "compressed with lzop", command: "lzop -dc %s"},
	{magic: "LZIP", what: "compressed with lzip", command: "lzip -dc %s"},
	{magic: "\xff\x06\x00\x00sNaPpY", what: "compressed with snappy", command: "snzip -dc %s"},
	{magic: "Rar!\x1a\x07", what: "a rar archive", command: "unrar p -inul %s"},
	{magic: "070701", what: "a cpio archive", command: "cpio -i --to-stdout < %s"},
	{magic: "070707", what: "a cpio archive", command: "cpio -i --to-stdout < %s"},
	{magic: "-----BEGIN PGP MESSAGE-----", what: "encrypted with PGP", command: "gpg -d %s"},
	{magic: "age-encryption.org/", what: "encrypted with age", command: "age -d %s"},
	{magic: "ustar", at: 257, what: "a tar archive", command: "tar -xOf %s"},
	{magic: "LPKSHHRH", what: "a file of the journal", command: journal},
	{
		magic: "PAR1", what: "a Parquet file",
		command: `duckdb -c "COPY (FROM '%s') TO '/dev/stdout' (FORMAT json)"`,
	},
	{magic: "ORC", what: "an ORC file", command: "orc-contents %s"},
	{magic: "Obj\x01", what: "an Avro file", command: "avrocat %s"},
	{magic: "SQLite format 3\x00", what: "an SQLite database"},
	{magic: "ElfFile\x00", what: "an event log of Windows"},
	{magic: "\xd4\xc3\xb2\xa1", what: "a recording of network packets"},
	{magic: "\x0a\x0d\x0d\x0a", what: "a recording of network packets"},
	{magic: "\x7fELF", what: "a program"},
	{magic: "%PDF", what: "a PDF file"},
}

// journal writes what audit sent to the journal as documents, which module auditlog reads.
const journal = `journalctl --file %s _TRANSPORT=audit -o json`

// layers is how often a file may be packed.
const layers = 3

// unpacked is the text in a file, in UTF-8 and without a mark at its start.
func unpacked(in *bufio.Reader, path string) (*bufio.Reader, func(), error) {
	var closing []func()
	end := func() {
		for _, c := range closing {
			c()
		}
	}
	for layer := 0; ; layer++ {
		magic, err := in.Peek(262)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, end, err
		}
		f, packed := packing(magic)
		if !packed {
			text, err := decoded(in, magic, path)
			return text, end, err
		}
		if layer == layers {
			return nil, end, fmt.Errorf("it is packed more than %d times", layers)
		}
		out, c, err := f.open(in)
		if err != nil {
			return nil, end, err
		}
		if c != nil {
			closing = append(closing, c)
		}
		in = bufio.NewReaderSize(out, SampleBytes)
	}
}

func packing(head []byte) (format, bool) {
	for _, f := range formats {
		if len(head) >= f.at && bytes.HasPrefix(head[f.at:], []byte(f.magic)) &&
			(f.at == 0 || head[0]&0xf0 == 0x50) {
			return f, true
		}
	}
	return format{}, false
}

// decoded is a text in UTF-8, of whatever encoding.
func decoded(in *bufio.Reader, head []byte, path string) (*bufio.Reader, error) {
	for _, r := range refused {
		if len(head) < r.at || !bytes.HasPrefix(head[r.at:], []byte(r.magic)) {
			continue
		}
		if r.command == "" {
			return nil, fmt.Errorf("it is %s, which holds nothing that reconbeat reads", r.what)
		}
		name := path
		if path == "-" {
			name = "FILE"
		}
		return nil, fmt.Errorf("it is %s: %s | reconbeat replay -", r.what, fmt.Sprintf(r.command, name))
	}
	wide := func(t transform.Transformer) (*bufio.Reader, error) {
		return bufio.NewReaderSize(transform.NewReader(in, t), SampleBytes), nil
	}
	has := func(mark string) bool { return bytes.HasPrefix(head, []byte(mark)) }
	switch {
	case has("\xef\xbb\xbf"):
		_, err := in.Discard(3)
		return in, err
	case has("\xff\xfe\x00\x00"):
		return wide(utf32.UTF32(utf32.LittleEndian, utf32.UseBOM).NewDecoder())
	case has("\x00\x00\xfe\xff"):
		return wide(utf32.UTF32(utf32.BigEndian, utf32.UseBOM).NewDecoder())
	case has("\xff\xfe"), has("\xfe\xff"):
		return wide(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	case len(head) > 3 && head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return wide(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder())
	case len(head) > 3 && head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return wide(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder())
	}
	return in, nil
}
