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
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// format is a way in which a file may be packed.
type format struct {
	magic   string
	at      int    // where the magic stands
	command string // what unpacks as much as there is
	open    func(*bufio.Reader) (io.Reader, func(), error)
}

// errTorn says that packed data end before their end.
var errTorn = errors.New("its packed data end in the middle, as in a file that is still being written or was copied " +
	"in part")

// errTrailing says that something else stands behind packed data.
var errTrailing = errors.New("what follows a part that is whole is not packed")

// torn explains an end in the middle of packed data, and gives the command that reads what is there.
func torn(path string, err error, command string) error {
	switch {
	case command == "":
		return err
	case errors.Is(err, errTrailing):
		return fmt.Errorf("%w: %s %s | reconbeat replay -", err, command, shellName(path))
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	}
	return fmt.Errorf("%w: %s %s | reconbeat replay -", errTorn, command, shellName(path))
}

// window bounds what unpacking keeps in memory, in bytes: zstd --long is 128 MiB.
const window = 128 << 20

var formats = []format{
	{magic: "\x1f\x8b", command: "zcat", open: openGzip},
	{magic: "\x28\xb5\x2f\xfd", command: "zstdcat", open: openZstandard},
	{magic: "\x2a\x4d\x18", at: 1, command: "zstdcat", open: openZstandard}, // a frame to skip comes first
	{magic: "\xfd7zXZ\x00", command: "xzcat", open: openXZ},
	{magic: "BZh", command: "bzcat", open: func(in *bufio.Reader) (io.Reader, func(), error) {
		return bzip2.NewReader(in), nil, nil
	}},
}

func openGzip(in *bufio.Reader) (io.Reader, func(), error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, nil, err
	}
	z.Multistream(false)
	return &gzipMembers{in: in, z: z}, nil, nil
}

// gzipMembers reads the members of a file one after the other. Unlike Go's own reader it takes zero bytes behind them
// for padding, as gzip does: tapes and block devices leave some.
type gzipMembers struct {
	in  *bufio.Reader
	z   *gzip.Reader
	err error // ends reading, for good
}

// Read reads what is unpacked.
func (g *gzipMembers) Read(b []byte) (int, error) {
	for {
		if g.err != nil {
			return 0, g.err
		}
		n, err := g.z.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if n > 0 {
			return n, nil // the next call finds the member at its end
		}
		g.err = g.next()
	}
}

// next goes on to the next member; io.EOF where there is none.
func (g *gzipMembers) next() error {
	for {
		c, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			break
		}
	}
	if err := g.in.UnreadByte(); err != nil {
		return err
	}
	if err := g.z.Reset(g.in); err != nil {
		if errors.Is(err, gzip.ErrHeader) {
			return errTrailing
		}
		return fmt.Errorf("what follows a part that is whole: %w", err)
	}
	g.z.Multistream(false)
	return nil
}

func openXZ(in *bufio.Reader) (io.Reader, func(), error) {
	ends := &ending{Reader: in}
	z, err := xz.NewReader(ends)
	return &xzWhole{Reader: z, ends: ends}, nil, err
}

// ending remembers with which bytes a stream ends, padding apart.
type ending struct {
	io.Reader
	last [2]byte
}

// Read implements io.Reader.
func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	for _, c := range b[:n] {
		if c != 0 {
			e.last[0], e.last[1] = e.last[1], c
		}
	}
	return n, err
}

// xzWhole reads xz, which calls it the end when a file breaks off before a block.
type xzWhole struct {
	io.Reader
	ends *ending
}

// Read implements io.Reader.
func (x *xzWhole) Read(b []byte) (int, error) {
	n, err := x.Reader.Read(b)
	if errors.Is(err, io.EOF) && string(x.ends.last[:]) != "YZ" {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func openZstandard(in *bufio.Reader) (io.Reader, func(), error) {
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
	{magic: "PK\x05\x06", what: "an empty zip archive"},
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

// HeadBytes is how much of a text shows what it is: a tar archive's mark ends there.
const HeadBytes = 262

// layers is how often a file may be packed.
const layers = 3

// unpacked is the text in a file, in UTF-8 and without a mark at its start. command unpacks the file where it is
// packed, as far as it goes, and decode makes UTF-8 of what is not.
func unpacked(in *bufio.Reader, path string) (text *bufio.Reader, command, decode string, end func(), err error) {
	var closing []func()
	end = func() {
		for _, c := range closing {
			c()
		}
	}
	for layer := 0; ; layer++ {
		magic, err := in.Peek(HeadBytes)
		if err != nil && len(magic) == 0 && !errors.Is(err, io.EOF) {
			return nil, command, "", end, err // else it is reported where it stands, behind what can be read
		}
		f, packed := packing(magic)
		if !packed {
			if magic, err = passZeros(in, magic); err != nil {
				return nil, command, "", end, err
			}
			text, decode, err := decoded(in, magic, path)
			return text, command, decode, end, err
		}
		if layer == layers {
			return nil, command, "", end, fmt.Errorf("it is packed more than %d times", layers)
		}
		if layer == 0 {
			command = f.command
		}
		out, c, err := f.open(in)
		if err != nil {
			return nil, command, "", end, err
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

// errZeros says that a file has nothing in it but its length.
var errZeros = errors.New("it has nothing but zero bytes, as a file that a crash has cut off")

// passZeros leaves out the zero bytes that a text begins with, of which four are no letter of any encoding: a file that
// was cut off under its writer has a hole there.
func passZeros(in *bufio.Reader, head []byte) ([]byte, error) {
	if !bytes.HasPrefix(head, []byte("\x00\x00\x00\x00")) {
		return head, nil
	}
	for {
		c, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errZeros
		case err != nil:
			return nil, err
		case c == 0:
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return nil, err
		}
		head, err := in.Peek(HeadBytes)
		if len(head) > 0 {
			err = nil // it is reported where it stands
		}
		return head, err
	}
}

// Growing is an error where a file that begins with the head cannot be read as it is written: it is packed, or not in
// UTF-8.
func Growing(head []byte) error {
	if f, packed := packing(head); packed {
		return fmt.Errorf("it is compressed, and only a replay reads that: %s FILE shows its text", f.command)
	}
	if name, _ := wide(head); name != "" {
		return fmt.Errorf("it is in %s, and only a replay reads that: have it written in UTF-8", name)
	}
	return nil
}

// decoded is a text in UTF-8, of whatever encoding. command does that in a shell; empty: it is UTF-8.
func decoded(in *bufio.Reader, head []byte, path string) (text *bufio.Reader, command string, err error) {
	for _, r := range refused {
		if len(head) < r.at || !bytes.HasPrefix(head[r.at:], []byte(r.magic)) {
			continue
		}
		if r.command == "" {
			return nil, "", fmt.Errorf("it is %s, which holds nothing that reconbeat reads", r.what)
		}
		return nil, "", fmt.Errorf("it is %s: %s | reconbeat replay -", r.what, fmt.Sprintf(r.command, shellName(path)))
	}
	if bytes.HasPrefix(head, utf8Mark) {
		_, err := in.Discard(len(utf8Mark))
		return in, "", err
	}
	if name, e := wide(head); e != nil {
		return bufio.NewReaderSize(transform.NewReader(in, e.NewDecoder()), SampleBytes), "iconv -t UTF-8 -f " + name, nil
	}
	return in, "", nil
}

// wide is the encoding of a text that begins with the head, as iconv calls it; nil: it is UTF-8.
func wide(head []byte) (name string, e encoding.Encoding) {
	has := func(mark string) bool { return bytes.HasPrefix(head, []byte(mark)) }
	switch {
	case has("\xff\xfe\x00\x00"):
		return "UTF-32", utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case has("\x00\x00\xfe\xff"):
		return "UTF-32", utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case has("\xff\xfe"), has("\xfe\xff"):
		return "UTF-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case len(head) > 3 && head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return "UTF-16LE", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case len(head) > 3 && head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return "UTF-16BE", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return "", nil
}
